"""A bar that cannot be, planted in the stream of the real client: no bar, no stop, but a journal row and an alarm."""

import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from databento_dbn import OHLCVMsg, SType, SymbolMappingMsg, SystemCode, SystemMsg

from futures_algo.core.types import MINUTE, SECOND, Bar, to_nanos
from futures_algo.feed.events import FeedAlarm, Position
from futures_algo.feed.record_decoder import Intake
from futures_algo.live.demo import Demo, recorded
from futures_algo.sim.market import generate_minutes

ROOT = Path(__file__).resolve().parents[2]
PLANTED = {400: 0.0, 700: 100.0, 1000: 1.4, 1001: 0.01}  # row -> factor of all four prices


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    bars = generate_minutes("ES.c.0", sessions=2)
    spoiled = replace(bars, **{name: getattr(bars, name).copy() for name in ("open", "high", "low", "close")})
    for row, factor in PLANTED.items():
        for name in ("open", "high", "low", "close"):
            column = getattr(spoiled, name)
            column[row] = np.round(column[row] * factor * 4) / 4
    summary = Demo(recorded({"ES.c.0": spoiled}, folder), folder, ROOT / "config" / "live_trading_config.json").run()
    with sqlite3.connect(folder / "journal.db") as journal:
        journal.row_factory = sqlite3.Row
        alarms = [dict(row) for row in journal.execute("SELECT * FROM events WHERE level = 'alarm' AND kind = 'feed'")]
        low, high = journal.execute("SELECT min(low), max(high) FROM bars").fetchone()
    return bars, summary, alarms, (low, high)


def test_none_of_them_is_a_bar_and_the_engine_goes_on(played):
    bars, summary, _, (low, high) = played
    assert summary["bars_in"] == len(bars) - len(PLANTED)
    assert bars.low.min() <= low and high <= bars.high.max()


def test_each_is_journaled_as_an_alarm_with_its_values(played):
    bars, _, alarms, _ = played
    found = [json.loads(row["data"]) for row in alarms]
    assert [one["data_time"] for one in found] == [int(bars.start[row]) for row in PLANTED]
    assert [one["price_kind"] for one in found] == ["placeholder", "scale", "jump", "scale"]
    assert all("set aside" in row["message"] and row["subject"] == "ES.c.0" for row in alarms)


# --- the intake alone, record by record


def intake(start: int) -> Intake:
    made = Intake("ohlcv-1m", ("ES.c.0",), Position(start, {}), None, lambda: 0)
    made.begin_session("GLBX.MDP3")
    names = {
        "stype_in": SType.CONTINUOUS,
        "stype_in_symbol": "ES.c.0",
        "stype_out": SType.RAW_SYMBOL,
        "stype_out_symbol": "ESU5",
    }
    made.readers[SymbolMappingMsg](
        SymbolMappingMsg(publisher_id=0, instrument_id=1, ts_event=start, start_ts=0, end_ts=2**63, **names)
    )
    return made


def send(made: Intake, at: int, price: int = 6000 * SECOND, **values) -> list:
    prices = dict.fromkeys(("open", "high", "low", "close"), price) | values
    made.readers[OHLCVMsg](OHLCVMsg(rtype=33, publisher_id=1, instrument_id=1, ts_event=at, volume=1, **prices))
    ended = SystemMsg(ts_event=at + MINUTE, msg="End of interval for ohlcv-1m", code=SystemCode.END_OF_INTERVAL)
    made.readers[SystemMsg](ended)
    return [event for event in made.take() if isinstance(event, (Bar, FeedAlarm))]


def test_the_wires_undefined_price_is_no_price():
    start = to_nanos("2025-06-10T13:30Z")
    made = intake(start)
    assert [type(event) for event in send(made, start)] == [Bar]
    (alarm,) = send(made, start + MINUTE, close=2**63 - 1)
    assert alarm.kind == "undefined" and made.quarantined == 1
    assert [type(event) for event in send(made, start + 2 * MINUTE)] == [Bar]


def test_a_bar_in_a_closed_market_is_taken_and_said_once():
    start = to_nanos("2025-06-13T20:58Z")  # two minutes before the weekend
    made = intake(start)
    events = [event for number in range(5) for event in send(made, start + number * MINUTE)]
    alarms = [event for event in events if isinstance(event, FeedAlarm)]
    assert len(events) - len(alarms) == 5
    assert [alarm.kind for alarm in alarms] == ["closed market"] and "the calendar holds for orders" in alarms[0].text


def test_ten_minutes_of_silence_of_a_product_that_trades_are_said_once():
    start = to_nanos("2025-06-10T13:30Z")
    made = intake(start)
    for number in range(40):
        assert len(send(made, start + number * MINUTE)) == 1
    alarms = []
    for number in range(40, 60):
        made.readers[SystemMsg](
            SystemMsg(
                ts_event=start + (number + 1) * MINUTE,
                msg="End of interval for ohlcv-1m",
                code=SystemCode.END_OF_INTERVAL,
            )
        )
        alarms += [event for event in made.take() if isinstance(event, FeedAlarm)]
    assert [alarm.kind for alarm in alarms] == ["silent market"] and alarms[0].at == start + 50 * MINUTE
    assert "the calendar has open" in alarms[0].text
