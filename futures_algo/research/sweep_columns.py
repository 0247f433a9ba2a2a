"""What the combinations of a sweep share: each column made once, conditions asked of them, and each combination's
run."""

from collections.abc import Iterable, Iterator, Mapping
from threading import Lock
from types import MappingProxyType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from futures_algo.core.contracts import product
from futures_algo.core.types import Bars, Timeframe
from futures_algo.indicators.base import Indicator
from futures_algo.research.performance import session_ends
from futures_algo.research.sweep_kernel import BLOCK, METRICS, TO_CLOSE, simulate
from futures_algo.research.sweep_orders import REACH, simulate_orders
from futures_algo.research.trades import Costs
from futures_algo.strategies.base import CONDITIONS, BaseStrategy
from futures_algo.strategies.batch import Market, contracts_by_side, declared_columns, inner_of
from futures_algo.strategies.sizing import Sizing
from futures_algo.strategies.values import FIELDS, Known, Values, field_column, one_back

NOW, FRAME_BEFORE, BAR_BEFORE = range(
    3
)  # of a timeframe's value: as seen at the base bar, its own bar before, as seen one base bar before


class Column(NamedTuple):
    "Which column."

    base: Timeframe
    timeframe: Timeframe
    indicator: int  # its place in `SharedColumns`, -1 for one of `FIELDS`: hashing an indicator for every look is slow
    name: str
    shift: int = NOW


class Named(Mapping):
    "Columns by the names a strategy gives them."

    def __init__(self, shared: "SharedColumns", columns: dict[str, Column], shift: int = NOW):
        self._shared, self._columns, self._shift = shared, columns, shift

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __getitem__(self, name: str) -> np.ndarray:
        return self._shared.column(self._columns[name]._replace(shift=self._shift))


class BaseColumns(NamedTuple):
    "What every run on one timeframe's bars reads."

    bars: Bars
    rows: slice  # of them, that are traded
    nothing: np.ndarray  # bool[n] of the traded bars, a condition that never holds
    rolled: np.ndarray  # bool[n]
    session_end: np.ndarray  # rows of the traded bars
    block_high: np.ndarray  # of the traded bars' closes, by `BLOCK`
    block_low: np.ndarray
    extremes: np.ndarray  # float64[m, 2], highest high and lowest low of every `REACH` of them
    lapsing: np.ndarray  # bool[n], of another trading segment than the bar before


class SharedColumns:
    "A market's columns for many parameter sets, from several threads."

    def __init__(
        self,
        market: Market,
        rows: slice | None = None,  # of the market's bars: those traded; the others only warm up
    ):
        self.market, self.rows = market, rows
        self._columns: dict[Column, np.ndarray] = {}
        self._there: dict[int, np.ndarray | None] = {}
        self._bases: dict[Timeframe, BaseColumns] = {}
        self._rows: dict[tuple[Timeframe, bool], np.ndarray] = {}
        self._watched: dict[tuple[Timeframe, float], np.ndarray] = {}
        self._indicators: dict[Indicator, int] = {}
        self._numbers: WeakKeyDictionary[BaseStrategy, dict[Timeframe, list[int]]] = WeakKeyDictionary()
        self._lock = Lock()

    def base(self, timeframe: Timeframe) -> BaseColumns:
        "The base bars and what belongs to them."
        with self._lock:
            if timeframe not in self._bases:
                self._bases[timeframe] = self._make_base(timeframe)
        return self._bases[timeframe]

    def _make_base(self, timeframe: Timeframe) -> BaseColumns:
        bars, source = self.market.bars(timeframe), self.market.source
        first, stop, _ = (self.rows or slice(None)).indices(len(source))
        rows = (
            slice(
                int(np.searchsorted(bars.start, source.start[first])),
                int(np.searchsorted(bars.end, source.end[stop - 1], "right")),
            )
            if stop > first
            else slice(0, 0)
        )
        traded = bars[rows]
        rolled = np.concatenate(([False], np.diff(traded.contract) != 0)) if len(traded) else np.zeros(0, bool)
        edges, reaches = np.arange(0, len(traded), BLOCK), np.arange(0, len(traded), REACH)
        return BaseColumns(
            bars,
            rows,
            np.zeros(len(traded), bool),
            rolled,
            np.asarray(session_ends(traded.start, self.market.calendar)[0], np.int64),
            np.maximum.reduceat(traded.close, edges),
            np.minimum.reduceat(traded.close, edges),
            np.column_stack((np.maximum.reduceat(traded.high, reaches), np.minimum.reduceat(traded.low, reaches))),
            np.concatenate(([False], np.diff(self.market.segment_closes(timeframe)[rows]) != 0))[: len(traded)],
        )

    def stepped(self, base: Timeframe, before: float) -> tuple[np.ndarray, np.ndarray]:
        "The traded bars as `simulate` takes them, and those at which a position may end whatever the signals."
        own = self.base(base)
        with self._lock:
            if (key := (base, before >= 0)) not in self._rows:
                self._rows[key] = self._make_rows(own, before >= 0)
            rows = self._rows[key]
            if (watched := (base, before)) not in self._watched:
                self._watched[watched] = own.rolled | (rows[:, TO_CLOSE] >= -before) if before >= 0 else own.rolled
        return rows, self._watched[watched]

    def _make_rows(self, own: BaseColumns, sessions: bool) -> np.ndarray:
        "`sweep_kernel.OPEN` and its neighbours; the session's close only where somebody leaves before it."
        bars = own.bars[own.rows]
        to_close = bars.end - self.market.session_closes(bars.timeframe)[own.rows] if sessions else np.zeros(len(bars))
        contract = bars.contract.astype(np.float64)
        before = [np.concatenate((column[:1], column[:-1])) for column in (bars.close, contract)]
        return np.column_stack((bars.open, bars.high, bars.low, bars.close, to_close, contract, *before))

    def column(self, key: Column) -> np.ndarray:
        "A column on the base bars, made when first read."
        if (found := self._columns.get(key)) is None:
            found = self._columns.setdefault(
                key, self._make(key)
            )  # of two threads' the first stays: `_there` goes by id
        return found

    def _make(self, key: Column) -> np.ndarray:
        if key.shift == BAR_BEFORE:
            return one_back(self.column(key._replace(shift=NOW)))
        own = (
            field_column(self.market.bars(key.timeframe), key.name)
            if key.indicator < 0
            else self.market.indicator(key.timeframe, list(self._indicators)[key.indicator])[key.name]
        )
        return self.market.seen(key.base, key.timeframe, one_back(own) if key.shift == FRAME_BEFORE else own)

    def known(self, strategy: BaseStrategy) -> Known:
        "What the strategy may read, as `strategy_columns.known_columns` has it."
        base, frames, needs = strategy.base_timeframe, {}, self.needs(strategy)
        for timeframe in strategy.timeframes:
            frames[timeframe] = {name: Column(base, timeframe, -1, name) for name in FIELDS}
            frames[timeframe] |= {
                name: Column(base, timeframe, number, name)
                for one, number in zip(strategy.plan[timeframe], needs[timeframe])
                for name in one.outputs
            }
        values = {name: frames[base][name] for name in FIELDS} | {
            name: frames[timeframe][name] for name, timeframe in strategy.outputs.items()
        }
        by_frame = {
            timeframe: Known(Named(self, own), prev=Known(Named(self, own, FRAME_BEFORE)))
            for timeframe, own in frames.items()
        }
        before = {timeframe: Known(Named(self, own, BAR_BEFORE)) for timeframe, own in frames.items()}
        return Known(Named(self, values), MappingProxyType(by_frame), Known(Named(self, values, BAR_BEFORE), before))

    def needs(self, strategy: BaseStrategy) -> dict[Timeframe, list[int]]:
        "Its indicators by their numbers, looked up once."
        with self._lock:
            if strategy not in self._numbers:
                number = lambda one: self._indicators.setdefault(one, len(self._indicators))
                self._numbers[strategy] = {
                    timeframe: [number(one) for one in found] for timeframe, found in strategy.plan.items()
                }
            return self._numbers[strategy]

    def there(self, reads: list) -> Any:
        "`strategy_values.all_there`, remembering where each column has values."
        masks = [
            mask
            for column in {id(value): value for value in reads if isinstance(value, np.ndarray)}.values()
            if (mask := self._mask(column)) is not None
        ]
        if not masks:
            return True
        joined = masks[0]
        for mask in masks[1:]:
            joined = joined & mask
        return joined

    def _mask(self, column: np.ndarray) -> np.ndarray | None:
        if (key := id(column)) not in self._there:
            mask = column == column
            self._there[key] = None if mask.all() else mask
        return self._there[key]

    def indicators(self, strategies: Iterable[BaseStrategy]) -> list[tuple[Timeframe, Indicator]]:
        "Those not made yet."
        wanted = {
            (timeframe, number): (timeframe, one)
            for strategy in strategies
            for timeframe, numbers in self.needs(strategy).items()
            for number, one in zip(numbers, strategy.plan[timeframe])
        }
        return [key for key in wanted.values() if key not in self.market._columns]

    def trim(self, most: int) -> None:
        "Forget every column of indicators when they take more than so many bytes."
        if self.bytes <= most:
            return
        for key in [key for key in self._columns if key.indicator >= 0]:
            self._there.pop(id(self._columns.pop(key)), None)
        self.market.trim(0)

    @property
    def bytes(self) -> int:
        "Memory of all columns."
        arrays = {
            id(column): column.nbytes
            for column in [
                *self._columns.values(),
                *(c for found in self.market._columns.values() for c in found.values()),
            ]
        }
        return sum(arrays.values()) + sum(mask.nbytes for mask in self._there.values() if mask is not None)


def run(
    strategy: BaseStrategy,
    shared: SharedColumns,
    costs: Costs,
    quantity: "int | np.ndarray | Sizing" = 1,  # contracts an entry, or int64[n] of one decided on each base bar
    figures: np.ndarray | None = None,  # float64[len(METRICS)], written
) -> np.ndarray:  # `METRICS`
    "One combination's figures."
    base, rules, known = (
        shared.base(strategy.base_timeframe),
        strategy.exit_rules(shared.market.symbol),
        shared.known(strategy),
    )
    bars, rows = base.bars, base.rows
    answers = strategy.conditions(Values(known), shared.there)
    asked = [_condition(answers[name], base.nothing, rows) for name in CONDITIONS]
    stepped, watched = shared.stepped(bars.timeframe, rules.before_close)
    if strategy.rests:
        permit = declared_columns(strategy, shared.market, Values(known), shared.there)
        entries = (permit.may_buy, permit.may_sell)
        asked[0], asked[2] = (_permitted(own, may, base.nothing, rows) for own, may in zip(asked[::2], entries))
    figures = np.empty(len(METRICS)) if figures is None else figures
    long_entry, long_exit, short_entry, short_exit = asked
    begins, ends_long = _flags(long_entry, short_entry), _flags(long_exit, short_entry, watched)
    ends_short = ends_long if short_entry is base.nothing else _flags(short_exit, long_entry, watched)
    kind = product(bars.symbol)
    money = np.array([kind.point_value, costs.commission_usd, costs.slippage_ticks * kind.tick_size])
    common = (np.array(rules, np.float64), *asked, *begins, *ends_long, *ends_short, stepped)
    prices = (bars.high[rows], bars.low[rows], bars.close[rows])
    atr = known.values["atr"][rows] if strategy.trail_atr else prices[2]  # not looked at
    blocks = (base.block_high, base.block_low, base.session_end)
    if not strategy.rests:
        sizes = _sizes(strategy, shared, quantity, known)
        simulate(*common, *prices, atr, *blocks, money, sizes if len(sizes) == 1 else sizes[rows], figures)
        return figures
    inner = inner_of(strategy, shared.market)
    simulate_orders(
        *common,
        *prices,
        base.extremes,
        base.lapsing,
        atr,
        permit.prices if len(permit.prices) == 1 else permit.prices[rows],
        inner.first[rows],
        inner.stop[rows],
        inner.open,
        inner.high,
        inner.low,
        inner.moves,
        *blocks,
        money,
        _sizes_by_side(strategy, shared, quantity, known, rows),
        figures,
    )
    return figures


def _sizes(strategy: BaseStrategy, shared: SharedColumns, quantity: Any, known: Known) -> np.ndarray:
    "Contracts of an entry, int64[1], or of one decided on each base bar."
    if isinstance(quantity, Sizing):
        return contracts_by_side(strategy, shared.market, quantity, known, shared.there)[0]
    return np.atleast_1d(np.asarray(quantity, np.int64))


def _sizes_by_side(
    strategy: BaseStrategy, shared: SharedColumns, quantity: Any, known: Known, rows: slice
) -> np.ndarray:
    "Contracts of a long and of a short entry, int64[1, 2], or int64[n, 2] of those decided on each traded bar."
    if isinstance(quantity, Sizing):
        return np.column_stack(contracts_by_side(strategy, shared.market, quantity, known, shared.there))[rows]
    sizes = np.atleast_1d(np.asarray(quantity, np.int64))
    return np.column_stack((sizes, sizes) if len(sizes) == 1 else (sizes[rows], sizes[rows]))


def _permitted(own: np.ndarray, may: Any, nothing: np.ndarray, rows: slice) -> np.ndarray:
    "An entry's condition where it may be decided; `nothing` itself stays it."
    if own is nothing:
        return own
    return own & (may[rows] if np.ndim(may) else may)


def _flags(*columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    "Where any of the columns holds, as bool[8k] and as int64[k] of the same memory."
    words = np.zeros(len(columns[0]) // 8 + 1, np.int64)
    flags = words.view(bool)
    own = np.logical_or(columns[0], columns[1], out=flags[: len(columns[0])])
    for column in columns[2:]:
        np.logical_or(own, column, out=own)
    return flags, words


def _condition(answer: Any, nothing: np.ndarray, rows: slice) -> np.ndarray:
    "A condition on the traded bars as bool[n]; `nothing` itself where it never holds."
    if isinstance(answer, np.ndarray) and answer.ndim:
        return answer[rows]
    return np.ones(len(nothing), bool) if answer else nothing
