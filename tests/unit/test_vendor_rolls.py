"""A roll that a vendor made without a word is named; what the market did is not."""

from dataclasses import replace

import numpy as np
import pytest

from futures_algo.core.contracts import product
from futures_algo.core.types import InputError
from futures_algo.history import validate_bars
from futures_algo.history.vendor_rolls import find_steps, with_rolls
from futures_algo.sim.market import generate_minutes


@pytest.fixture(scope="module")
def rolled():
    "Minutes of NQ over a September roll, all rows of one nameless contract, and the row of the step."
    bars = generate_minutes("NQ.c.0", sessions=40)
    row = int(np.flatnonzero(np.diff(bars.contract))[0]) + 1
    row += int(np.argmax(bars.start[row + 30 :] - bars.end[row + 29 : -1] == 0)) + 30  # inside a session, not on a halt
    step = 236.0 - float(bars.open[row] - bars.close[row - 1])
    plain = replace(bars, contract=np.zeros(len(bars), np.int32), contracts=("",))
    for name in ("open", "high", "low", "close"):
        column = getattr(plain, name).copy()
        column[row:] += np.round(step * 4) / 4
        plain = replace(plain, **{name: column})
    return plain, row


def test_the_step_is_named_with_its_contracts(rolled):
    bars, row = rolled
    report = validate_bars(bars)
    (fault,) = [fault for fault in report.faults if fault.kind == "roll"]
    assert fault.row == row and "+236 points" in fault.value and "all rows of one contract" in fault.value


def test_split_names_the_contracts_and_adjust_takes_the_step_out(rolled):
    bars, row = rolled
    split = with_rolls(bars, "split", product("NQ"))
    assert np.flatnonzero(np.diff(split.contract)).tolist() == [row - 1] and len(split.contracts) == 2
    joined = with_rolls(bars, "adjust", product("NQ"))
    assert joined.open[row] == joined.close[row - 1] and joined.close[-1] == bars.close[-1]
    with pytest.raises(InputError, match="rolls was 'cut'"):
        with_rolls(bars, "cut", product("NQ"))


def test_a_series_whose_contracts_are_named_has_no_silent_roll():
    assert find_steps(generate_minutes("NQ.c.0", sessions=60), product("NQ")) == []


def test_no_step_is_found_in_recorded_bars(shared_data):
    from futures_algo.history import read_parquet

    for root in ("ES", "NQ", "CL", "GC"):
        bars = read_parquet(shared_data / f"bars_5m/{root}_5m.parquet", f"{root}.v.0", tz="UTC")
        assert "roll" not in validate_bars(bars).counts and "expired" not in validate_bars(bars).counts


def test_bars_after_the_contracts_end_are_named():
    bars = generate_minutes("ES.c.0", sessions=60)
    dated = replace(bars, contract=np.zeros(len(bars), np.int32), contracts=(bars.contracts[0],))
    late = [fault.row for fault in validate_bars(dated).faults if fault.kind == "expired"]
    assert (
        late
        and late == list(range(late[0], len(bars)))
        and "ended"
        in validate_bars(dated).error(next(f for f in validate_bars(dated).faults if f.kind == "expired")).value
    )


def test_a_result_on_such_a_series_says_so(rolled):
    from futures_algo.research.backtest import backtest
    from futures_algo.strategies import strategy_class

    strategy = strategy_class("RSIStrategy")()
    said = [remark for remark in backtest(strategy, rolled[0]).remarks if remark.name == "silent_rolls"]
    assert len(said) == 1 and "--rolls split" in said[0].advice
    clean = backtest(strategy, generate_minutes("NQ.c.0", sessions=10))
    assert not [remark for remark in clean.remarks if remark.name == "silent_rolls"]


def test_what_needs_volume_refuses_bars_without_it():
    from futures_algo import BaseStrategy
    from futures_algo.core.types import DataError
    from futures_algo.indicators import VWAP
    from futures_algo.research.backtest import backtest

    class Above(BaseStrategy):
        "Buys above the session's average price."

        def indicators(self):
            return {"5min": VWAP()}

        def entry(self, x):
            return x.close > x.vwap

        def exit(self, x):
            return x.close < x.vwap

    bars = generate_minutes("ES.c.0", sessions=2)
    backtest(Above(), bars)
    with pytest.raises(DataError, match="VWAP .5min., and these bars are without volume"):
        backtest(Above(), replace(bars, volume=np.zeros(len(bars), np.int64)))
