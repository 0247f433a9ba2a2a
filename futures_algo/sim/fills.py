"""Prices a paper broker trades on, and the rules by which orders fill on them.

Rules, all on recorded bars of the order's own dated contract:

* market: the open of the first bar that starts at or after the order, plus slippage; without such a bar, the last known
price plus slippage
* limit: a bar that starts at or after the order touches the limit ("touch") or trades beyond it ("through"); the better
of limit and open
* stop: a bar touches the stop; the worse of stop and open, plus slippage
* stop-limit: a bar touches the stop, and from the *next* bar on it is a limit order, because bars do not say what came
first inside them
* of two orders that one bar could fill, stops go before limits: the pessimistic order
"""

import datetime as dt
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from futures_algo.core.contracts import Contract, product
from futures_algo.core.types import SECOND, Bar, InputError


@dataclass
class FillRules:
    "How orders fill; prices in ticks of the instrument."

    slippage_ticks: float = 0.0  # against the order, on market and stop fills
    limit: str = "touch"  # touch | through
    participation: float | None = None  # share of a bar's volume an order may take; None fills whole


class Print(NamedTuple):
    "One bar on the tape."

    start: int  # ns UTC
    end: int
    open: float  # points
    high: float
    low: float
    close: float
    volume: int  # contracts


class Tape:
    "The prices of one dated contract, in time order."

    def __init__(self, prints: Iterable[Print] = (), price: float | None = None):
        self.prints: list[Print] = sorted(prints)
        self.starts: list[int] = [bar.start for bar in self.prints]
        self.ends: list[int] = [bar.end for bar in self.prints]
        self.price = price  # a constant price, for a tape without bars

    def add(self, bar: Print) -> None:
        "Append a bar; one that is already there, or older, is ignored."
        if self.starts and bar.start <= self.starts[-1]:
            return
        self.prints.append(bar)
        self.starts.append(bar.start)
        self.ends.append(bar.end)

    def index_after(self, at: int) -> int:
        "Index of the first bar that starts at or after a time."
        return bisect_left(self.starts, at)

    def next_open(self, at: int) -> Print | None:
        "The first bar that starts at or after a time, if the tape has it."
        return self.prints[i] if (i := self.index_after(at)) < len(self.prints) else None

    def volume_to(self, at: int) -> int:
        "Contracts traded in the bars that ended by a time."
        return sum(bar.volume for bar in self.prints[: bisect_right(self.ends, at)])

    def last(self, at: int) -> float | None:
        "The last price known at a time: the close of the last bar that ended, else the first open, else the constant."
        if not self.prints:
            return self.price
        done = bisect_right(self.ends, at)
        return self.prints[done - 1].close if done else self.prints[0].open


def instrument_name(text: str, near: int | None = None) -> str:
    "NinjaTrader's name of a dated contract in any spelling; `near` (ns UTC) settles a single-digit year."
    return Contract.parse(
        text, near=dt.datetime.fromtimestamp(near // SECOND, dt.UTC).date() if near else None
    ).ninjatrader


def _prints_by_contract(value: Any, key: str) -> dict[str, list[Print]]:
    "Bars, however given, as prints of each contract."
    found: dict[str, list[Print]] = {}
    for bar in value:
        name = bar.contract or key
        found.setdefault(name, []).append(Print(bar.start, bar.end, bar.open, bar.high, bar.low, bar.close, bar.volume))
    return {instrument_name(name, prints[0].start): prints for name, prints in found.items()}


class PriceBook:
    "Every tape a broker has, by NinjaTrader name."

    def __init__(
        self,
        prices: Mapping[str, Any] | Any = None,  # {symbol or contract: Bars | [Bar] | constant price}, or Bars
    ):
        self.tapes: dict[str, Tape] = {}
        if prices is None:
            return
        for key, value in prices.items() if isinstance(prices, Mapping) else [("", prices)]:
            if isinstance(value, (int, float)):
                self.tapes[instrument_name(key)] = Tape(price=float(value))
                continue
            for name, prints in _prints_by_contract(value, key).items():
                self.tapes[name] = Tape(prints)

    def get(self, instrument: str) -> Tape | None:
        return self.tapes.get(instrument)

    def push(self, bar: Bar) -> str:
        "Add a bar as it happens; answers the instrument it belongs to."
        name = instrument_name(bar.contract or bar.symbol, bar.start)
        self.tapes.setdefault(name, Tape()).add(
            Print(bar.start, bar.end, bar.open, bar.high, bar.low, bar.close, bar.volume)
        )
        return name

    def set_price(self, instrument: str, price: float) -> None:
        "Give an instrument a constant price."
        self.tapes[instrument_name(instrument)] = Tape(price=price)

    def front(self, root: str, at: int) -> str:
        "The contract a bare root means: the one whose bars span the time, else the first that has prices."
        names = [name for name in self.tapes if name.split(" ")[0] == root]
        if not names:
            raise InputError("instrument", root, "must have prices here", f"known: {', '.join(self.tapes) or 'none'}")
        spanning = [
            name for name in names if (tape := self.tapes[name]).prints and tape.starts[0] <= at < tape.ends[-1]
        ]
        return (spanning or names)[0]


def tick_size(instrument: str) -> float:
    return product(instrument).tick_size


def point_value(instrument: str) -> float:
    return product(instrument).point_value


def slipped(price: float, sign: int, rules: FillRules, instrument: str) -> float:
    "A price moved against a buyer (sign 1) or seller (-1) by the slippage."
    tick = tick_size(instrument)
    return round(price / tick + sign * rules.slippage_ticks) * tick if rules.slippage_ticks else price


def stop_price(bar: Print, sign: int, stop: float) -> float | None:
    "Where a stop trades inside a bar before slippage, or None."
    touched = bar.high >= stop if sign > 0 else bar.low <= stop
    worse = max if sign > 0 else min
    return worse(bar.open, stop) if touched else None


def limit_price(bar: Print, sign: int, limit: float, rule: str) -> float | None:
    "Where a limit trades inside a bar, or None."
    reached = (
        (bar.low < limit or (rule == "touch" and bar.low == limit))
        if sign > 0
        else (bar.high > limit or (rule == "touch" and bar.high == limit))
    )
    better = min if sign > 0 else max
    return better(bar.open, limit) if reached else None
