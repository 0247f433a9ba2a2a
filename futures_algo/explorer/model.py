"""What the explorer knows, without a screen: bars, a strategy, its parameters, and what they would have earned."""

import math
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from futures_algo.core.named import did_you_mean
from futures_algo.core.types import Bars, DataError, InputError, Timeframe
from futures_algo.indicators.base import Parameter
from futures_algo.research.backtest import BacktestResult, backtest
from futures_algo.research.trades import Costs
from futures_algo.strategies.base import BaseStrategy
from futures_algo.strategies.batch import Market, known_columns
from futures_algo.strategies.library import STRATEGIES

_REACH = {"ATR": 10, "minutes": 120}  # how far a slider goes whose default is off, by unit


class Slider(NamedTuple):
    "What a slider for a parameter offers."

    low: float
    high: float
    step: float
    whole: bool  # int rather than float
    unit: str = ""
    least: float = -math.inf  # the parameter's own limits
    most: float = math.inf


def slider_of(param: Parameter) -> Slider | None:
    "The slider of a number; None for a choice or a yes or no."
    if param.choices or isinstance(param.default, bool):
        return None
    start: Any = param.default
    whole, reach = (
        isinstance(start, int),
        4 * abs(start) if abs(start) > 1 else _REACH.get(param.unit, 200),
    )
    least, most = -math.inf if param.low is None else param.low, math.inf if param.high is None else param.high
    bottom = -reach if least < -1 else min(least, 0)  # from nought where the least is above it
    low, high = max(least, bottom), min(most, reach)
    return Slider(
        *((int(low), int(high)) if whole else (low, high)), _step(high - low, whole), whole, param.unit, least, most
    )


def _step(span: float, whole: bool) -> float:
    "A hundredth of the span, made round."
    return 1 if whole else round_step(span / 100, whole)


def round_step(least: float, whole: bool) -> float:
    "The next of 1, 2, 5, 10, ... or, where fractions are allowed, their tenths and so on."
    size = 10.0 ** math.floor(math.log10(max(least, 1.0) if whole else least))
    step = next(round(size * factor, 10) for factor in (1, 2, 5, 10) if size * factor >= least * 0.999)
    return int(step) if whole else step


def choices_of(param: Parameter, market: Market) -> tuple[str, ...]:
    "The choices of a parameter; of timeframes only those the market's bars can make."
    try:
        frames = [Timeframe(choice) if choice else market.source.timeframe for choice in param.choices]
    except InputError:
        return param.choices
    own = market.source.timeframe.seconds
    return tuple(choice for choice, frame in zip(param.choices, frames) if frame.seconds % own == 0)


def markets_of(
    # a path is what `history.sources.read_source` takes: DBN, Parquet that import wrote, "ES.c.0=bars.csv"
    bars: "Bars | Market | str | Path | Mapping[str, Bars] | Iterable",
) -> dict[str, Market]:
    "Markets by symbol; empty bars are refused."
    if isinstance(bars, Market):
        found = {bars.symbol: bars}
    elif isinstance(bars, Bars):
        found = {bars.symbol: Market(bars)}
    elif isinstance(bars, (str, Path)):
        found = {symbol: Market(own) for symbol, own in _read(bars).items()}
    else:
        found = {
            symbol: market
            for one in (bars.values() if isinstance(bars, Mapping) else bars)
            for symbol, market in markets_of(one).items()
        }
    for symbol, market in found.items():
        if not len(market.source):
            raise DataError("bars", 0, "must not be empty", "choose another range", symbol)
    if not found:
        raise DataError("bars", "none", "must be of at least one symbol", "load bars first")
    return found


def _read(path: "str | Path") -> dict[str, Bars]:
    "The bars of a file by symbol."
    from futures_algo.history.sources import read_source

    return read_source(path)


_MEMORY = 2**28  # bytes of indicators kept, of the many values a slider passes


class Exploration:
    "Bars, a strategy and its parameters, and their run."

    def __init__(
        self,
        bars: Any,  # see `markets_of`
        strategy: "type[BaseStrategy] | BaseStrategy" = STRATEGIES[0],  # where to start
        costs: Costs = Costs(),
        quantity: int = 1,  # contracts an entry
        strategies: Iterable[type[BaseStrategy]] = STRATEGIES,  # to choose from
    ):
        self.markets = markets_of(bars)
        kind = strategy if isinstance(strategy, type) else type(strategy)
        self.strategies = {one.__name__: one for one in (kind, *strategies)}
        self.symbol, self.kind, self.costs, self.quantity = next(iter(self.markets)), kind, costs, quantity
        self._given: dict[type, dict[str, Any]] = (
            {} if isinstance(strategy, type) else {kind: changed_parameters(strategy)}
        )
        self.result: Any = None  # a `BacktestResult`, once something was run
        self.seconds = 0.0  # the last run took

    @property
    def market(self) -> Market:
        return self.markets[self.symbol]

    @property
    def given(self) -> dict[str, Any]:
        "The parameters of the strategy that were set, by name."
        return self._given.setdefault(self.kind, {})

    @property
    def strategy(self) -> BaseStrategy:
        "The strategy as it is set now; refused values raise `InputError`."
        return self.kind(self.symbol, self.given)

    @property
    def parameters(self) -> dict[str, Any]:
        "All parameters, set or not; they may be refused."
        return {name: self.given.get(name, param.default) for name, param in self.kind.params.items()}

    def choose(self, strategy: str = "", symbol: str = "") -> None:
        "Another strategy or symbol, by name."
        for name, known in ((strategy, self.strategies), (symbol, self.markets)):
            if name and name not in known:
                raise InputError("choice", name, "is not one of those here", did_you_mean(name, known))
        self.kind, self.symbol = self.strategies[strategy] if strategy else self.kind, symbol or self.symbol

    def set(self, **parameters: Any) -> None:
        "Parameters by name; they are looked at when the strategy is run."
        self.given.update(parameters)

    def evaluate(self) -> BacktestResult:
        "Backtest what is set now and keep the result."
        began = time.perf_counter()
        result = cast(BacktestResult, backtest(self.strategy, self.market, self.costs, self.quantity))
        _ = result.stats  # calculated now, so that a mistake is found here
        self.result, self.seconds = result, time.perf_counter() - began
        self.market.trim(_MEMORY)
        return result


def changed_parameters(strategy: BaseStrategy) -> dict[str, Any]:
    "The parameters that differ from their defaults."
    return {name: value for name, value in strategy.parameters().items() if value != strategy.params[name].default}


class Stretch(NamedTuple):
    "Some bars of a run and what belongs to them."

    first: int  # row of the first bar
    bars: Bars
    values: dict[str, np.ndarray]  # output name -> float64, a value a bar


def stretch_of(result: BacktestResult, market: Market, first: int, count: int) -> Stretch:
    "`count` base bars from row `first`, moved inside what there is."
    first = max(0, min(first, len(result.base) - count))
    rows = slice(first, first + count)
    known = known_columns(result.strategy, market)
    return Stretch(first, result.base[rows], {name: known.values[name][rows] for name in result.strategy.outputs})


def panes_of(strategy: BaseStrategy) -> tuple[list[str], dict[str, list[str]]]:
    "Names of the outputs drawn over the price, and of those under it by pane."
    over: list[Any] = []
    panes: dict[str, Any] = {}
    for timeframe, found in strategy.plan.items():
        for one in found:
            if one.overlay:
                over += one.outputs
            else:
                panes[f"{one.outputs[0]} {timeframe}"] = list(one.outputs)
    return over, panes


def thinned(
    time: np.ndarray,  # int64[n], ns UTC
    equity: np.ndarray,  # float64[n], dollars
    points: int = 1500,  # about so many
) -> tuple[np.ndarray, np.ndarray]:
    "A curve with the lowest and the highest of each stretch, which looks as the whole does."
    if len(time) <= points:
        return time, equity
    edges = np.linspace(0, len(time), points // 2 + 1).astype(int)
    rows = np.unique(
        [row for a, b in zip(edges, edges[1:]) for row in (a + equity[a:b].argmin(), a + equity[a:b].argmax())]
        + [len(time) - 1]
    )
    return time[rows], equity[rows]
