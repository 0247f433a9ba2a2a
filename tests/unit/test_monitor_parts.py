"The monitor without a browser: what the numbers are made of, what is refused, what never becomes markup."

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fixtures"))
from journal_maker import Day

from futures_algo.core.types import MINUTE, SECOND, Bar, ConfigError
from futures_algo.journal.daily_pnl import Book, day_of, view_day
from futures_algo.journal.reader import BarSeries, JournalReader, View
from futures_algo.monitor.access import Refused, check_exposure, hash_password, password_fits, read_users
from futures_algo.monitor.chart import CandleChart, Mark, random_bars
from futures_algo.monitor.controls import config_difference, flatten_scopes, masked, open_alarms
from futures_algo.monitor.html import Clocks, esc, money, number, table, tag
from futures_algo.monitor.serving import serve
from futures_algo.monitor.status_panels import (
    answer_of,
    band,
    countdown,
    engine_state,
    market_state,
    tab_title,
    troubles,
)
from futures_algo.monitor.trading_panels import limit_use, limits, positions, verdict_tag, why_no_trade, why_verdict


def bars_of(*closes: float, contract: str = "ESZ5") -> list[Bar]:
    return [Bar("ES.c.0", "1min", i * MINUTE, (i + 1) * MINUTE, c, c, c, c, 1, contract) for i, c in enumerate(closes)]


def fill(minute: float, side: str, quantity: int, price: float, commission: float = 0.0) -> dict:
    return {
        "at": int(minute * MINUTE),
        "side": side,
        "quantity": quantity,
        "price": price,
        "commission": commission,
        "strategy": "s",
        "instrument": "ES 12-25",
    }


# --- dollars


def test_a_position_carried_into_the_day_counts_from_the_last_price_before_the_open():
    day = day_of([], {"ES.c.0": bars_of(100.0, 101.0, 105.0)}, {("s", "ESZ5"): 2}, start=2 * MINUTE)
    assert day.net == 2 * (105.0 - 101.0) * 50


def test_a_days_net_is_cash_plus_what_is_held_whatever_the_order_of_trades():
    rng = np.random.default_rng(3)
    for _ in range(200):
        closes = (100 + rng.integers(-8, 9, 30).cumsum() * 0.25).tolist()
        fills = [
            fill(float(m), side, int(q), closes[int(m) - 1], 1.0)
            for m, side, q in zip(sorted(rng.integers(2, 30, 8)), rng.choice(["BUY", "SELL"], 8), rng.integers(1, 4, 8))
        ]
        held = sum(f["quantity"] if f["side"] == "BUY" else -f["quantity"] for f in fills)
        cash = -sum((1 if f["side"] == "BUY" else -1) * f["quantity"] * f["price"] for f in fills)
        day = day_of(fills, {"ES.c.0": bars_of(*closes)}, {("s", "ESZ5"): held}, start=MINUTE)
        assert day.net == pytest.approx(50 * (cash + held * closes[-1]) - 8.0)
        assert day.equity[-1] == pytest.approx(day.net)
        assert day.worst_drawdown >= day.drawdown >= 0


def test_average_price_survives_adding_reducing_and_reversing():
    book = Book()
    for quantity, price in [(1, 100.0), (1, 110.0), (-3, 120.0)]:
        book.fill(quantity, price)
    assert (book.quantity, book.average, book.realised) == (-1, 120.0, 30.0)


# --- text and numbers


def test_nothing_but_our_own_tags_is_markup():
    evil = "<script>alert(1)</script>"
    assert "<script" not in tag("b", evil, cls=evil) + table([evil], [[evil]], evil) + table(
        [], [], evil
    ) + verdict_tag({"verdict": evil}) + esc(evil)


@pytest.mark.parametrize(
    ("value", "text"), [(1234.5, "+$1,234.50"), (-0.004, "$0.00"), (-3.0, "−$3.00"), (float("nan"), "–")]
)
def test_money_is_signed_grouped_and_in_dollars(value, text):
    assert text in money(value)


def test_minus_zero_is_zero():
    assert number(-0.0, 1, sign=True) == "0.0"


def test_both_clocks_stand_beside_each_other():
    text = Clocks("Europe/Berlin").show(1_763_560_800 * SECOND)
    assert "08:00:00" in text and "15:00" in text


# --- the chart


def test_push_streams_new_bars_patches_known_ones_and_forgets_the_oldest():
    bars = random_bars(30)
    chart = CandleChart(bars[:20], keep=25)
    assert chart.push(bars[15:30]) == 10 and len(chart.source.data["x"]) == 25
    assert list(chart.source.data["x"]) == list(range(5, 30))
    chart.push([bars[29]._replace(close=1.0)])
    assert chart.source.data["close"][-1] == 1.0
    assert chart.push([bars[0]]) == 0


def test_a_moment_finds_its_bar_and_marks_outside_are_left_out():
    bars = random_bars(10)
    chart = CandleChart(bars)
    assert chart.x_of(bars[4].end) == 4 and chart.x_of(bars[4].end + 1) == 5 and chart.x_of(bars[-1].end + 1) is None
    chart.mark([Mark(bars[4].end, 1.0, "BUY"), Mark(bars[-1].end + MINUTE, 1.0, "SELL")])
    assert list(chart.marks.data["x"]) == [4]


# --- the reader


def test_a_restart_that_replays_a_day_says_nothing_new():
    series, bars = BarSeries(), random_bars(5)
    for seq, bar in enumerate([*bars, *bars], 1):
        series.add(seq, bar)
    assert series.since(5) == (5, []) and series.bars() == bars


def test_the_reader_follows_a_journal_that_is_being_written(tmp_path):
    day = Day(tmp_path / "live.db").run(10)
    reader = JournalReader(day.journal.path)
    first = reader.look()
    assert first.state == "ok" and len(first.bars["ES.c.0", "1min"].bars()) == 10
    day.step()
    assert len(reader.look().bars["ES.c.0", "1min"].bars()) == 11
    versions = reader.view.versions
    assert reader.look().versions is versions, "nothing was committed, nothing is read"
    reader.stop()
    day.journal.close()


def test_all_tables_are_of_one_moment(tmp_path, monkeypatch):
    "A fill written while the reader reads is in the next view, with its position, or in none of this one."
    day = Day(tmp_path / "live.db").run(40)
    reader, positions = JournalReader(day.journal.path), JournalReader._positions

    def meanwhile(self, connection, old):
        day.book("ES.c.0", "ledger", day.strategy, 7)
        day.journal.flush()
        return positions(self, connection, old)

    monkeypatch.setattr(JournalReader, "_positions", meanwhile)
    assert 7 not in [row["quantity"] for row in reader.look().tables["positions"]]
    assert 7 in [row["quantity"] for row in reader.look().tables["positions"]]
    reader.stop()
    day.journal.close()


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [0, 1, 3, 4, 2], [3, 4, 0, 1, 2]])
def test_bars_are_in_order_whatever_the_order_they_came_in(order):
    series, bars = BarSeries(), random_bars(5)
    for seq, i in enumerate(order):
        series.add(seq, bars[i])
    assert series.bars() == bars
    series.add(9, bars[1]._replace(close=1.0))
    assert [bar.close == 1.0 for bar in series.bars()] == [False, True, False, False, False]


def test_another_file_at_the_path_starts_anew(tmp_path):
    Day(tmp_path / "live.db").run(10).journal.close()
    reader = JournalReader(tmp_path / "live.db")
    before = reader.look().generation
    for file in tmp_path.iterdir():
        file.unlink()
    assert reader.look().state == "no_journal"
    Day(tmp_path / "live.db").run(3).journal.close()
    assert reader.look().generation > before and len(reader.view.bars["ES.c.0", "1min"].bars()) == 3
    reader.stop()


# --- words


def view(**status) -> View:
    return View("ok", status=status)


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ({}, "none"),
        ({"engine": {"state": "ready", "beat": 0}}, "silent"),
        ({"engine": {"state": "stopped", "beat": 0}}, "stopped"),
        ({"engine": {"state": "ready", "beat": 99 * SECOND}}, "ready"),
    ],
)
def test_a_silent_engine_is_not_a_stopped_one(status, word):
    assert engine_state(view(**status), 100 * SECOND)[1] == word


def test_why_no_trade_names_the_first_thing_in_the_way():
    base = {"enabled": True, "warmup": {"27min": [120, 120]}, "position": 0}
    ask = lambda evaluation=None, trading=None, **change: why_no_trade(
        View(
            "ok",
            status={"strategy:s:ES.c.0": base | change, "trading": trading or {"state": "ACTIVE"}},
            tables={
                "evaluations": (
                    [{"strategy": "s", "symbol": "ES.c.0", "vals": json.dumps({"conditions": evaluation})}]
                    if evaluation
                    else []
                )
            },
        ),
        "s",
        "ES.c.0",
    )
    assert ask(enabled=False) == "The strategy is disabled."
    assert ask(warmup={"27min": [34, 120]}) == "Warming up: 27min needs 86 more bars."
    assert ask() == "No bar has been evaluated yet."
    assert ask({"entry": False, "cci < -100": False, "macd > signal": True}) == "Entry is false: cci < -100."
    assert (
        ask({"entry": False}, trading={"state": "HALTED", "reason": "daily loss"}) == "Trading is HALTED: daily loss."
    )
    apart = "Model +1, account 0: the model's trade was not made, or was closed by hand."
    assert ask({"entry": False, "exit": False}, position=1) == apart


def test_a_lock_and_a_halt_say_what_is_still_allowed():
    found = troubles(
        view(
            engine={"state": "ready", "beat": SECOND},
            trading={"state": "HALTED", "reason": "loss"},
            reconciliation={"locked": {"ESZ5": "ledger +1, broker +2"}},
        ),
        Clocks("UTC"),
        SECOND,
    )
    assert [what.split(":")[0] for _, what, _ in found] == ["HALTED", "ESZ5 is locked"] and all(
        "exits" in then for _, _, then in found
    )


def test_nothing_a_dead_engine_said_is_green():
    status = dict(
        engine={"state": "ready", "beat": SECOND, "mode": "live", "pid": 2**22 + 1},
        trading={"state": "ACTIVE"},
        feed={"state": "live"},
        broker={"state": "connected"},
        reconciliation={"state": "ok"},
        market={"ES.c.0": {"open": True, "next": 10**18}},
    )
    alive, dead = (band(view(**status), Clocks("UTC"), now) for now in (2 * SECOND, 60 * SECOND))
    assert "chip ok" in alive and "mode live" in alive
    assert "chip ok" not in dead and "mode live" not in dead and dead.count("as of 18:00:01 CT") == 5
    assert "its process 4194305 is gone" in engine_state(view(**status), 60 * SECOND)[2]
    assert "agreed, as of" in positions(view(**status), view_day(view()), Clocks("UTC"), 60 * SECOND)


def test_a_closed_market_says_the_day_it_opens_and_how_long_that_is():
    saturday, sunday = 1_764_428_400 * SECOND, 1_764_543_600 * SECOND  # 2025-11-29 09:00, 2025-11-30 17:00 exchange
    closed = view(engine={"state": "ready", "beat": saturday}, market={"ES.c.0": {"open": False, "next": sunday}})
    assert market_state(closed, saturday, Clocks("UTC"))[2] == "opens Sun 17:00 CT"
    assert countdown(closed, Clocks("UTC"), saturday) == ("session opens Sun 17:00 CT", "in 1 d 8 h")


def test_the_answer_to_flatten_is_followed_until_it_is_flat():
    row = {"source": "ledger", "instrument": "ES 12-25", "strategy": "s", "quantity": 1}
    asked = {"verb": "flatten", "state": "done", "answer": "1 exit orders sent", "at": 1}
    asked |= {"args": '{"scope": "account", "name": "Sim101"}'}
    said = lambda quantity: answer_of(
        View("ok", tables={"positions": [row | {"quantity": quantity}], "commands": [asked]}), asked
    )
    assert said(1) == "1 exit orders sent: ESZ5 +1 held now" and said(0) == "1 exit orders sent: flat"


def test_each_limit_of_the_gate_says_what_is_left():
    config = {"execution": {"limits": {"max_daily_loss_usd": 400, "max_position_account": 2}}}
    tables = {
        "configs": [{"content": json.dumps(config)}],
        "positions": [{"source": "ledger", "instrument": "ES 12-25", "strategy": "s", "quantity": -2, "seq": 1}],
    }
    shown = View("ok", status={"day": {"now_usd": -250.0, "best_usd": 100.0}}, tables=tables)
    use = {name: (used, limit) for name, used, limit, _ in limit_use(shown, view_day(View("ok")), SECOND)}
    assert use["Day's loss"] == (250.0, 400) and use["Below the day's best"] == (350.0, None)
    assert use["Contracts, account"] == (2, 2) and use["Contracts, one strategy"] == (2, 5)
    said = limits(shown, view_day(View("ok")), SECOND)
    assert "$150 left of $400" in said and "reached" in said and "no limit" in said


def test_a_position_says_where_its_stop_is_and_what_it_would_cost(tmp_path):
    day = Day(tmp_path / "live.db", symbols=("ES.c.0",)).run(60)
    day.positions["ES.c.0"], day.averages["ES.c.0"] = 1, day.prices["ES.c.0"]
    day.book("ES.c.0", "ledger", day.strategy, 1)
    day.journal.flush()
    reader = JournalReader(day.journal.path)
    shown = lambda: positions(view := reader.look(), view_day(view), Clocks("UTC"), time.time_ns())
    assert "no stop rests at the broker" in shown()
    day.working("ES.c.0", day.prices["ES.c.0"] - 4)
    day.journal.flush()
    assert "−$200.00" in shown() and "no stop rests" not in shown()
    reader.stop()
    day.journal.close()


def test_a_refusal_is_told_in_the_gates_own_words():
    signal = {"denial": "DAILY_LOSS", "detail": "$-412.00 today", "reason": "rule", "verdict": "denied"}
    assert why_verdict(signal) == "the day's loss limit is reached: $-412.00 today"
    assert why_verdict(signal | {"denial": None, "detail": None}) == "its rule"
    assert "refused" in verdict_tag(signal)


# --- asking


def test_an_acknowledged_alarm_is_no_longer_open():
    events = [
        {"seq": 7, "level": "alarm", "subject": "ESZ5", "message": "differs"},
        {"seq": 8, "level": "info", "subject": "x", "message": "y"},
    ]
    assert list(open_alarms(View("ok", tables={"events": events})).values()) == [7]
    asked = [{"verb": "acknowledge", "args": '{"event": 7}', "state": "new"}]
    assert not open_alarms(View("ok", tables={"events": events, "commands": asked}))


def test_flatten_offers_only_what_there_is():
    rows = [{"quantity": 1, "instrument": "ES 12-25"}, {"quantity": 0, "instrument": "NQ 12-25"}]
    found = flatten_scopes(View("ok", status={"engine": {"account": "Sim101"}}, tables={"positions": rows}))
    assert list(found.values()) == [{"scope": "instrument", "name": "ESZ5"}, {"scope": "account", "name": "Sim101"}]


def test_secrets_never_reach_the_page():
    shown = masked(
        {
            "databento": {"api_key": "db-1234"},
            "alerts": ["slack://abc"],
            "watch": {"alert_urls": ["tgram://token/7"], "alert_kinds": ["alarm"]},
            "crosstrade_api_key": "${KEY}",
            "account": "Sim101",
        }
    )
    assert shown == {
        "databento": {"api_key": "(hidden)"},
        "alerts": ["(hidden)"],
        "watch": {"alert_urls": ["(hidden)"], "alert_kinds": ["alarm"]},
        "crosstrade_api_key": "${KEY}",
        "account": "Sim101",
    }
    assert not any("db-" in line for line in config_difference({"api_key": "db-1"}, {"api_key": "db-2"}))


# --- who may look


@pytest.mark.parametrize("address", ["0.0.0.0", "192.168.1.7", "::", "monitor.example"])
def test_other_computers_need_a_login_and_encryption(address, tmp_path):
    with pytest.raises(Refused, match="password or OAuth"):
        serve(tmp_path / "live.db", address=address)
    with pytest.raises(Refused, match="unencrypted"):
        check_exposure(address, login=True, encrypted=False)
    check_exposure(address, login=True, encrypted=True)


def test_passwords_are_kept_hashed_and_plain_ones_refused():
    hashed = hash_password("correct horse")
    assert (
        "correct" not in hashed and password_fits("correct horse", hashed) and not password_fits("correct hors", hashed)
    )
    with pytest.raises(ConfigError, match="must be hashed"):
        read_users({"anna": {"password": "correct horse"}})
    assert read_users({"anna": {"password": hashed}})["anna"]["role"] == "viewer"


def test_the_days_numbers_come_from_the_journal_alone(tmp_path):
    day = Day(tmp_path / "live.db").run(300)
    view = (reader := JournalReader(day.journal.path)).look()
    assert sum(line.fills for line in view_day(view).lines) == day.journal.count("fills")
    reader.stop()
    day.journal.close()


# --- why no trade, and books between two comparisons


def test_a_condition_is_told_in_its_parts_with_their_numbers():
    from futures_algo.strategies import MACDCCIStrategy
    from futures_algo.strategies.explain import evaluated
    from futures_algo.strategies.values import Known

    known = Known({"macd": 1.0, "macd_signal": 2.0, "cci": -120.0, "close": 10.0, "open": float("nan"), "sma": 9.0})
    terms = evaluated(MACDCCIStrategy(), known)
    assert [(term["text"], term["value"], term["operands"]) for term in terms["entry"]] == [
        ("macd > macd_signal", False, [1.0, 2.0]),
        ("cci < threshold", True, [-120.0, -100.0]),
        ("close > open", False, [10.0, None]),
    ]
    assert [term["value"] for term in terms["exit"]] == [False, True] and set(terms) == {"entry", "exit"}


def test_a_condition_whose_source_does_not_show_its_parts_stands_alone():
    from futures_algo.strategies.explain import terms_of

    limit = 3

    def closes_over(self, x):
        return (x.close > limit) & (x.open > 1)

    def two_lines(self, x):
        low = x.low
        return low > 1

    assert terms_of(closes_over) == terms_of(two_lines) == () and limit

    def one_line(self, x):
        return (x.close > self.limit) & (x.max > 1)

    assert [term.text for term in terms_of(one_line)] == ["close > limit", "max > 1"]


def test_the_sentence_names_the_false_parts_of_the_entry():
    terms = {
        "entry": [
            {"text": "cci < threshold", "value": False, "operator": "<", "operands": [-62.4, -100.0]},
            {"text": "close > open", "value": True, "operator": ">", "operands": [2.0, 1.0]},
        ]
    }
    view = View(
        "ok",
        status={
            "strategy:s:ES.c.0": {"enabled": True, "ready": True, "warmup": {}, "position": 0},
            "trading": {"state": "ACTIVE"},
        },
        tables={
            "evaluations": [
                {
                    "strategy": "s",
                    "symbol": "ES.c.0",
                    "bar_end": 1,
                    "vals": json.dumps({"conditions": {"entry": False, "exit": False}, "terms": terms}),
                }
            ]
        },
    )
    said = "Entry is false: cci < threshold (-62.40 < -100.00)."
    assert why_no_trade(view, "s", "ES.c.0") == said.replace("-", "−")


@pytest.mark.parametrize(
    ("broker", "says"),
    [({}, "not known"), ({"state": "down"}, "unknown"), ({"state": "connected"}, "flat in both books")],
)
def test_no_position_is_flat_only_where_a_broker_was_asked(broker, says):
    view = View("ok", status={"broker": broker})
    assert says in positions(view, view_day(view), Clocks("UTC"))


def test_the_tab_names_the_worst_trouble():
    engine = {"engine": {"state": "ready", "beat": SECOND, "mode": "live"}}
    assert tab_title(view(**engine, trading={"state": "ACTIVE"}), Clocks("UTC"), SECOND) == "● LIVE ACTIVE"
    assert (
        tab_title(view(**engine, trading={"state": "HALTED", "reason": "loss"}), Clocks("UTC"), SECOND)
        == "✖ HALTED: loss"
    )


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"state": "ok", "locked": {}}, "▲ being compared"),
        ({"state": "locked", "locked": {"ES 12-25": "books differ"}}, "✖ the books differ by"),
        ({"state": "locked", "locked": {"NQ 12-25": "books differ"}}, "▲ being compared"),
        ({}, "✖ the books differ by"),
    ],
)
def test_books_differ_only_where_the_engine_has_compared_and_found_it(document, says):
    row = {"account": "Sim101", "instrument": "ES 12-25", "average_price": 1.0, "mark": 1.0, "at": 1}
    view = View(
        "ok",
        status={"reconciliation": document},
        tables={
            "positions": [
                row | {"source": "ledger", "strategy": "s", "quantity": 1, "seq": 2},
                row | {"source": "broker", "strategy": "", "quantity": 0, "seq": 1},
            ]
        },
    )
    shown = positions(view, view_day(view), Clocks("UTC"))
    assert says in shown and sum(words in shown for words in ("being compared", "the books differ by")) == 1
