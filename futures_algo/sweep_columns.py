"""What the combinations of a sweep share: each column made once, conditions asked of them, and each combination's run."""
from collections.abc import Callable, Iterable, Iterator, Mapping
from threading import Lock
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from futures_algo.contracts import product
from futures_algo.core import Bars, Timeframe
from futures_algo.indicator_base import Indicator
from futures_algo.performance import session_ends
from futures_algo.position import ExitRules
from futures_algo.strategy_base import CONDITIONS, BaseStrategy
from futures_algo.strategy_columns import Market
from futures_algo.strategy_values import FIELDS, Known, Values, field_column, one_back
from futures_algo.sweep_kernel import METRICS, simulate
from futures_algo.trades import Costs

NOW, FRAME_BEFORE, BAR_BEFORE = range(3)   # of a timeframe's value: as seen at the base bar, its own bar before, as seen one base bar before


class Column(NamedTuple):
    "Which column."
    base: Timeframe
    timeframe: Timeframe
    indicator: Indicator | None   # None for one of `FIELDS`
    name: str
    shift: int = NOW


class Named(Mapping):
    "Columns by the names a strategy gives them."
    def __init__(self, shared: "SharedColumns", columns: dict[str, Column], shift: int = NOW): self._shared, self._columns, self._shift = shared, columns, shift
    def __iter__(self) -> Iterator[str]: return iter(self._columns)
    def __len__(self) -> int: return len(self._columns)
    def __getitem__(self, name: str) -> np.ndarray: return self._shared.column(self._columns[name]._replace(shift=self._shift))


class BaseColumns(NamedTuple):
    "What every run on one timeframe's bars reads."
    bars: Bars
    rows: slice                    # of them, that are traded
    nothing: np.ndarray            # bool[n], a condition that never holds
    unknown: np.ndarray            # float64[n], the ATR of who needs none
    contract: np.ndarray           # int64[n]
    rolled: np.ndarray             # bool[n]
    session_end: np.ndarray        # rows of the traded bars


class SharedColumns:
    "A market's columns for many parameter sets, from several threads."
    def __init__(self,
        market: Market,
        rows: slice | None = None,   # of the market's bars: those traded; the others only warm up
    ):
        self.market, self.rows = market, rows
        self._columns: dict[Column, np.ndarray] = {}
        self._there: dict[int, np.ndarray | None] = {}
        self._bases: dict[Timeframe, BaseColumns] = {}
        self._closing: dict[tuple[Timeframe, float], tuple[np.ndarray, np.ndarray]] = {}
        self._lock = Lock()

    def base(self, timeframe: Timeframe) -> BaseColumns:
        "The base bars and what belongs to them."
        with self._lock:
            if timeframe not in self._bases: self._bases[timeframe] = self._make_base(timeframe)
        return self._bases[timeframe]

    def _make_base(self, timeframe: Timeframe) -> BaseColumns:
        bars, source = self.market.bars(timeframe), self.market.source
        first, stop, _ = (self.rows or slice(None)).indices(len(source))
        rows = slice(int(np.searchsorted(bars.start, source.start[first])), int(np.searchsorted(bars.end, source.end[stop - 1], "right"))) if stop > first else slice(0, 0)
        traded = bars[rows]
        rolled = np.concatenate(([False], np.diff(traded.contract) != 0)) if len(traded) else np.zeros(0, bool)
        return BaseColumns(bars, rows, np.zeros(len(bars), bool), np.full(len(traded), np.nan), traded.contract.astype(np.int64), rolled,
                           np.asarray(session_ends(traded.start, self.market.calendar)[0], np.int64))

    def closing(self, base: Timeframe, before: float) -> tuple[np.ndarray, np.ndarray]:
        "Last close of each traded bar's session, ns, and the bars at which a run without stops must be stepped."
        own = self.base(base)
        with self._lock:
            if (key := (base, before)) not in self._closing:
                closes = self.market.session_closes(base)[own.rows] if before >= 0 else np.zeros(len(own.contract), np.int64)
                watched = own.rolled | (own.bars.end[own.rows] >= closes - np.int64(before)) if before >= 0 else own.rolled
                self._closing[key] = closes, watched
        return self._closing[key]

    def column(self, key: Column) -> np.ndarray:
        "A column on the base bars, made when first read."
        if (found := self._columns.get(key)) is None: found = self._columns.setdefault(key, self._make(key))   # of two threads' the first stays: `_there` goes by id
        return found

    def _make(self, key: Column) -> np.ndarray:
        if key.shift == BAR_BEFORE: return one_back(self.column(key._replace(shift=NOW)))
        own = field_column(self.market.bars(key.timeframe), key.name) if key.indicator is None else self.market.indicator(key.timeframe, key.indicator)[key.name]
        return self.market.seen(key.base, key.timeframe, one_back(own) if key.shift == FRAME_BEFORE else own)

    def known(self, strategy: BaseStrategy) -> Known:
        "What the strategy may read, as `strategy_columns.known_columns` has it."
        base, frames = strategy.base_timeframe, {}
        for timeframe in strategy.timeframes:
            frames[timeframe] = {name: Column(base, timeframe, None, name) for name in FIELDS}
            frames[timeframe] |= {name: Column(base, timeframe, one, name) for one in strategy.plan[timeframe] for name in one.outputs}
        values = {name: frames[base][name] for name in FIELDS} | {name: frames[timeframe][name] for name, timeframe in strategy.outputs.items()}
        by_frame = {timeframe: Known(Named(self, own), prev=Known(Named(self, own, FRAME_BEFORE))) for timeframe, own in frames.items()}
        before = {timeframe: Known(Named(self, own, BAR_BEFORE)) for timeframe, own in frames.items()}
        return Known(Named(self, values), MappingProxyType(by_frame), Known(Named(self, values, BAR_BEFORE), before))

    def there(self, reads: list) -> Any:
        "`strategy_values.all_there`, remembering where each column has values."
        masks = [mask for column in {id(value): value for value in reads if isinstance(value, np.ndarray)}.values() if (mask := self._mask(column)) is not None]
        if not masks: return True
        joined = masks[0]
        for mask in masks[1:]: joined = joined & mask
        return joined

    def _mask(self, column: np.ndarray) -> np.ndarray | None:
        if (key := id(column)) not in self._there:
            mask = column == column
            self._there[key] = None if mask.all() else mask
        return self._there[key]

    def indicators(self, strategies: Iterable[BaseStrategy]) -> list[tuple[Timeframe, Indicator]]:
        "Those not made yet."
        wanted = dict.fromkeys((timeframe, one) for strategy in strategies for timeframe, found in strategy.plan.items() for one in found)
        return [key for key in wanted if key not in self.market._columns]

    def trim(self, most: int) -> None:
        "Forget every column of indicators when they take more than so many bytes."
        if self.bytes <= most: return
        for key in [key for key in self._columns if key.indicator is not None]: self._there.pop(id(self._columns.pop(key)), None)
        self.market.trim(0)

    @property
    def bytes(self) -> int:
        "Memory of all columns."
        arrays = {id(column): column.nbytes for column in [*self._columns.values(), *(c for found in self.market._columns.values() for c in found.values())]}
        return sum(arrays.values()) + sum(mask.nbytes for mask in self._there.values() if mask is not None)


def run(
    strategy: BaseStrategy,
    shared: SharedColumns,
    costs: Costs,
    quantity: "int | np.ndarray" = 1,   # contracts an entry, or int64[n] of an entry decided on each base bar
    figures: np.ndarray | None = None,  # float64[len(METRICS)], written
) -> np.ndarray:                        # `METRICS`
    "One combination's figures."
    base, rules, known = shared.base(strategy.base_timeframe), strategy.exit_rules(shared.market.symbol), shared.known(strategy)
    bars, rows = base.bars, base.rows
    answers = strategy.conditions(Values(known), shared.there)
    asked = [_condition(answers[name], base.nothing)[rows] for name in CONDITIONS]
    closes, watched = shared.closing(bars.timeframe, rules.before_close)
    atr = known.values["atr"][rows] if strategy.trail_atr else base.unknown
    sizes = np.atleast_1d(np.asarray(quantity, np.int64))
    figures = np.empty(len(METRICS)) if figures is None else figures
    kind = product(bars.symbol)
    simulate(np.array(rules, np.float64), *asked, bars.open[rows], bars.high[rows], bars.low[rows], bars.close[rows], bars.end[rows], closes, base.contract, atr,
             watched, base.session_end, np.array([kind.point_value, costs.commission_usd, costs.slippage_ticks * kind.tick_size]),
             sizes if len(sizes) == 1 else sizes[rows], figures)
    return figures


def _condition(answer: Any, nothing: np.ndarray) -> np.ndarray:
    "A condition as bool[n]."
    if isinstance(answer, np.ndarray) and answer.shape == nothing.shape: return answer
    return nothing if not np.any(answer) else np.broadcast_to(answer, nothing.shape).copy()
