"""Prices that cannot be are named by row, and nothing that happened is."""

from dataclasses import replace

import numpy as np
import pytest

from futures_algo.core.contracts import product
from futures_algo.core.types import MINUTE, Bars, DataError, InputError, to_nanos
from futures_algo.history import validate_bars
from futures_algo.history.checks import refuse_impossible
from futures_algo.history.plausible import CONFIRMED, Judge, implausible
from futures_algo.sim.market import generate_minutes


def walk(symbol: str = "ES.c.0", price: float = 6000.0, rows: int = 200, tick: float = 0.25) -> Bars:
    chance = np.random.default_rng(7)
    close = price + tick * np.cumsum(chance.integers(-6, 7, rows))
    open = np.append(price, close[:-1])
    high, low = np.maximum(open, close) + tick, np.minimum(open, close) - tick
    start = to_nanos("2025-06-10T13:30Z") + MINUTE * np.arange(rows)
    return Bars(symbol, "1min", start, start + MINUTE, open, high, low, close, np.full(rows, 50))


def spoiled(bars: Bars, rows: slice, **values) -> Bars:
    copy = replace(bars, **{name: getattr(bars, name).copy() for name in ("open", "high", "low", "close", "volume")})
    for name, value in values.items():
        column = getattr(copy, name)
        column[rows] = value(column[rows]) if callable(value) else value
    return copy


PRICES = ("open", "high", "low", "close")


def all_prices(factor):
    return dict.fromkeys(PRICES, lambda prices: prices * factor)


KINDS = {
    "zeros": ("placeholder", [20, 21], lambda b: spoiled(b, slice(20, 22), **dict.fromkeys((*PRICES, "volume"), 0))),
    "minus one": ("placeholder", [20], lambda b: spoiled(b, slice(20, 21), **dict.fromkeys(PRICES, -1.0))),
    "a zero low": ("placeholder", [20], lambda b: spoiled(b, slice(20, 21), low=0.0)),
    "the wire's undefined": ("undefined", [20], lambda b: spoiled(b, slice(20, 21), close=(2**63 - 1) / 1e9)),
    "times 100": ("scale", [30, 31, 32], lambda b: spoiled(b, slice(30, 33), **all_prices(100))),
    "a tenth": ("scale", [30], lambda b: spoiled(b, slice(30, 31), **all_prices(0.1))),
    "times 100 at the end": ("scale", [198, 199], lambda b: spoiled(b, slice(198, 200), **all_prices(100))),
    "times 100 at the start": ("scale", [0, 1], lambda b: spoiled(b, slice(0, 2), **all_prices(100))),
    "a jump both sides deny": ("jump", [40], lambda b: spoiled(b, slice(40, 41), **all_prices(1.3))),
    "a low alone": ("spike", [50], lambda b: spoiled(b, slice(50, 51), low=lambda v: v * 0.5)),
    "a high alone": ("spike", [50], lambda b: spoiled(b, slice(50, 51), high=lambda v: v * 1.5)),
    "volume beyond belief": ("volume_size", [60], lambda b: spoiled(b, slice(60, 61), volume=2**31)),
}  # fmt: skip


@pytest.mark.parametrize(
    "symbol, price, tick", [("ES.c.0", 6000.0, 0.25), ("6E.c.0", 1.1, 0.00005), ("ZN.c.0", 112.0, 0.015625)]
)
@pytest.mark.parametrize("name", KINDS)
def test_each_kind_is_named_by_its_rows_and_refused(name, symbol, price, tick):
    kind, rows, spoil = KINDS[name]
    bars = spoil(walk(symbol, price, tick=tick))
    found = {kind: rows.tolist() for kind, rows in implausible(bars, product(symbol)).items() if len(rows)}
    assert found == {kind: rows}
    assert {fault.row for fault in validate_bars(bars).faults if fault.kind == kind} == set(rows)
    with pytest.raises(DataError, match=f"row {rows[0]}"):
        refuse_impossible(bars)


def test_what_a_user_says_is_true_is_taken():
    bars = KINDS["a jump both sides deny"][2](walk())
    refuse_impossible(bars, accept=("jump",))
    with pytest.raises(InputError, match="accept was 'jmp'|must be a kind"):
        refuse_impossible(bars, accept=("jmp",))


def test_oil_may_go_through_zero_and_other_products_may_not():
    close = np.round(np.linspace(5.0, -37.0, 200), 2)
    bars = replace(walk("CL.c.0"), open=close, high=close + 0.05, low=close - 0.05, close=close)
    assert not any(len(rows) for rows in implausible(bars, product("CL")).values())
    assert len(implausible(replace(bars, symbol="GC.c.0"), product("GC"))["placeholder"])


def test_a_market_that_moved_for_good_is_no_fault():
    bars = walk(rows=400)
    for name in PRICES:
        getattr(bars, name)[200:] *= 0.93  # limit down over a weekend
    assert not any(len(rows) for rows in implausible(bars, product("ES")).values())


def test_generated_and_recorded_bars_are_plausible(shared_data):
    from futures_algo.history import read_parquet

    for symbol in ("ES.c.0", "CL.c.0"):
        assert not any(
            len(rows) for rows in implausible(generate_minutes(symbol, sessions=5), product(symbol)).values()
        )
    for root in ("ES", "NQ", "CL", "GC"):
        bars = read_parquet(shared_data / f"bars_5m/{root}_5m.parquet", f"{root}.v.0", tz="UTC")
        assert not any(len(rows) for rows in implausible(bars, product(root)).values())


class TestStream:
    "The judge of a live stream knows no next bar."

    def judged(self, bars: Bars) -> list[int]:
        judge = Judge(product(bars.symbol))
        return [row for row, bar in enumerate(bars) if judge.judge(bar.open, bar.high, bar.low, bar.close, bar.volume)]

    @pytest.mark.parametrize("name", [name for name in KINDS if "start" not in name])
    def test_each_kind_is_set_aside_and_the_next_bar_is_one_again(self, name):
        _, rows, spoil = KINDS[name]
        assert self.judged(spoil(walk())) == rows

    def test_a_new_level_is_believed_when_it_stays(self):
        bars = walk(rows=100)
        for name in PRICES:
            getattr(bars, name)[50:] *= 0.8
        assert self.judged(bars) == list(range(50, 50 + CONFIRMED["jump"] - 1))

    def test_a_first_bar_that_was_wrong_does_not_shut_the_stream_out(self):
        assert len(self.judged(KINDS["times 100 at the start"][2](walk()))) < CONFIRMED["scale"] + 2

    def test_another_contract_has_its_own_level(self):
        judge = Judge(product("NG.c.0"))
        assert judge.judge(3.0, 3.0, 3.0, 3.0, 1) is None
        judge.forget()
        assert judge.judge(5.0, 5.0, 5.0, 5.0, 1) is None
