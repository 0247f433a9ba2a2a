"The synthetic market looks like Databento's bars of a real one, and equal seeds give equal bars."

import datetime as dt
import time

import numpy as np
import pytest

from futures_algo.core.contracts import Contract, product
from futures_algo.core.dbn import read_records
from futures_algo.core.expiry import expiry
from futures_algo.core.sessions import SessionCalendar
from futures_algo.core.types import InputError
from futures_algo.sim.market import generate, generate_minutes


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    return generate(tmp_path_factory.mktemp("market"))


@pytest.fixture(scope="module")
def tape(market):
    return read_records(market.files["ohlcv-1s"][0])


def test_equal_seeds_give_equal_bars_and_other_seeds_do_not(tmp_path, tape):
    again = read_records(generate(tmp_path / "again").files["ohlcv-1s"][0])
    other = read_records(generate(tmp_path / "other", seed=8).files["ohlcv-1s"][0])
    assert np.array_equal(again.rows, tape.rows)
    assert again.mappings == tape.mappings
    assert not np.array_equal(other.rows[:1000], tape.rows[:1000])


def test_two_sessions_of_two_symbols_are_made_in_under_two_seconds(tmp_path):
    began = time.perf_counter()
    generate(tmp_path)
    assert time.perf_counter() - began < 2.0


def test_prices_lie_on_the_tick_grid_inside_their_bar(tape):
    rows = tape.rows
    quarter = round(product("ES").tick_size * 1e9)
    for name in ("open", "high", "low", "close"):
        assert not (rows[name] % quarter).any()
    assert (rows["high"] >= np.maximum(rows["open"], rows["close"])).all()
    assert (rows["low"] <= np.minimum(rows["open"], rows["close"])).all()
    assert (rows["volume"] > 0).all()


def test_nothing_trades_in_the_halt_and_many_night_seconds_are_empty(tape, market):
    calendar = SessionCalendar.of("ES")
    es = tape.rows[tape.rows["instrument_id"] == tape.mappings["ESU5"][0].instrument_id]["ts_event"].astype(np.int64)
    assert all(calendar.is_open(int(second)) for second in es[::50])
    opens, closes = calendar.session_bounds(market.sessions[0])
    assert es[0] == opens and es[-1] < closes
    regular = calendar.regular_hours(market.sessions[0])
    busy = ((es >= regular.open) & (es < regular.close)).sum() / ((regular.close - regular.open) / 1e9)
    night = (es < regular.open).sum() / ((regular.open - opens) / 1e9)
    assert busy > 0.8 and night < 0.7


def test_volume_peaks_at_the_open_and_the_close(tape):
    es = tape.rows[tape.rows["instrument_id"] == tape.mappings["ESU5"][0].instrument_id]
    hour = (es["ts_event"] // 3_600_000_000_000 % 24).astype(int)  # UTC; Chicago is five hours behind in September
    volume = np.bincount(hour, es["volume"], minlength=24)
    assert volume[14] > 1.5 * volume[17] and volume[19] > 1.5 * volume[17] and volume[17] > 3 * volume[2]


def test_the_contract_rolls_between_the_sessions_with_a_step_in_price(tape, market):
    old, new = tape.mappings["ES.c.0"]
    assert market.raw[old.instrument_id] == "ESU5" and market.raw[new.instrument_id] == "ESZ5"
    assert old.end == new.start == dt.date(2025, 9, 14)  # the Sunday the second session opens
    before = tape.rows[tape.rows["instrument_id"] == old.instrument_id]
    after = tape.rows[tape.rows["instrument_id"] == new.instrument_id]
    assert before["ts_event"][-1] < after["ts_event"][0]
    assert 40e9 < after["open"][0] - before["close"][-1] < 80e9


def test_symbols_move_together(tape):
    def returns(contract):
        rows = tape.rows[tape.rows["instrument_id"] == tape.mappings[contract][0].instrument_id]
        minute = rows["ts_event"] // 60_000_000_000
        last = np.flatnonzero(np.diff(minute))
        return dict(zip(minute[last][1:].tolist(), np.diff(rows["close"][last].astype(float)).tolist()))

    es, nq = returns("ESU5"), returns("NQU5")
    both = sorted(es.keys() & nq.keys())
    assert np.corrcoef([es[m] for m in both], [nq[m] for m in both])[0, 1] > 0.5


@pytest.mark.filterwarnings("ignore")  # pandas 3.1 warns inside databento
def test_databento_reads_the_file(market):
    import databento

    frame = databento.DBNStore.from_file(market.files["ohlcv-1s"][0]).to_df()
    assert len(frame) == market.bars
    assert set(frame["symbol"]) <= {*market.symbols, *market.raw.values()}


def test_months_of_minutes_have_halts_empty_minutes_and_a_roll():
    bars = generate_minutes(sessions=60)
    assert bars.contracts == ("ESU5", "ESZ5") and set(np.diff(bars.contract)) == {0, 1}
    gaps = np.diff(bars.start) // 60_000_000_000
    assert 60 < (gaps > 60).sum() + 2 <= 62  # one between sessions each
    assert 200 < ((gaps > 1) & (gaps < 10)).sum() < 10_000  # empty minutes
    assert np.array_equal(generate_minutes(sessions=3).close, generate_minutes(sessions=3).close)


def test_every_product_trades_a_contract_that_has_not_ended():
    for symbol in ("CL.c.0", "NG.c.0", "GC.c.0", "6E.c.0", "ZN.c.0", "ZC.c.0", "BTC.c.0"):
        bars = generate_minutes(symbol, sessions=30, first_session=dt.date(2025, 9, 2))
        for code, name in enumerate(bars.contracts):
            last = int(bars.end[bars.contract == code][-1])
            assert last <= expiry(Contract.parse(name, near=dt.date(2025, 9, 2))), (symbol, name)


def test_a_holiday_is_passed_over():
    bars = generate_minutes("CL.c.0", sessions=3, first_session=dt.date(2025, 12, 24), seed=1)
    sessions = {SessionCalendar.of("CL").session_date(int(start)) for start in bars.start[::200]}
    assert sessions == {"2025-12-24", "2025-12-26", "2025-12-29"}
    assert not np.any(np.abs(bars.close / 0.01 - np.round(bars.close / 0.01)) > 1e-6)


def test_no_sessions_is_refused(tmp_path):
    with pytest.raises(InputError, match="sessions was 0; it must be at least 1"):
        generate(tmp_path, sessions=0)
