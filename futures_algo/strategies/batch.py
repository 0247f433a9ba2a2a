"""The research form: the same strategy over columns, with the same position model, giving the same signals."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from futures_algo.aggregator.aggregator import aggregate
from futures_algo.core.contracts import product
from futures_algo.core.sessions import SessionCalendar
from futures_algo.core.types import Bars, InputError, Signal, Timeframe
from futures_algo.history.taking import bars_of
from futures_algo.indicators.base import Indicator
from futures_algo.strategies.base import CONDITIONS, PRICES, BaseStrategy
from futures_algo.strategies.declared import Declared, declared, permitted, stop_points
from futures_algo.strategies.live import make_signal
from futures_algo.strategies.orders import ROLL, new_order_state, order_loop
from futures_algo.strategies.position import (
    ENTRY_SIDE,
    EXIT_AT,
    EXIT_REASON,
    ORDER_WIDTH,
    REASONS,
    WIDTH,
    new_state,
    position_loop,
    resting_price,
)
from futures_algo.strategies.sizing import Sizing
from futures_algo.strategies.values import FIELDS, Columns, Known, Values, all_there, earlier, field_column, one_back


class InnerBars(NamedTuple):
    "Finer bars inside base bars; a base bar without any has `first` equal to `stop`."

    first: np.ndarray  # int64[n]
    stop: np.ndarray  # int64[n]
    open: np.ndarray  # float64[m]
    high: np.ndarray
    low: np.ndarray
    end: np.ndarray  # int64[m]
    moves: np.ndarray  # bool[m], the stop moves at its end


def inner_bars(base: Bars, fine: Bars | None, moved: Bars | None) -> InnerBars:
    "The finer bars of those base bars they make up: inside it, with its very high and low."
    if fine is None or not len(fine):
        nothing, no_prices = np.zeros(len(base), np.int64), np.zeros(0)
        none = np.zeros(0, np.int64)
        return InnerBars(nothing, nothing, no_prices, no_prices, no_prices, none, np.zeros(0, bool))
    first = np.searchsorted(fine.start, base.start).astype(np.int64)
    stop = np.maximum(first, np.searchsorted(fine.end, base.end, "right")).astype(np.int64)
    stop = np.where(_same_extremes(base, fine, first, stop), stop, first)
    moves = np.zeros(len(fine), bool)
    if moved is not None:
        ends = moved.end[~np.isin(moved.end, base.end)]
        rows = np.searchsorted(fine.end, ends, "right") - 1
        moves[rows[rows >= 0]] = True
    return InnerBars(first, stop, fine.open, fine.high, fine.low, fine.end, moves)


def _same_extremes(base: Bars, fine: Bars, first: np.ndarray, stop: np.ndarray) -> np.ndarray:
    "Which base bars have the high and low of the finer bars in [first, stop)."
    filled = np.flatnonzero(stop > first)
    found = np.zeros(len(base), bool)
    if len(filled):
        edges = np.column_stack((first[filled], stop[filled])).ravel()
        edges = edges[:-1] if edges[-1] == len(fine) else edges
        highest, lowest = np.maximum.reduceat(fine.high, edges)[::2], np.minimum.reduceat(fine.low, edges)[::2]
        found[filled] = (highest == base.high[filled]) & (lowest == base.low[filled])
    return found


class Market:
    "Recorded bars of one symbol and what was made of them."

    def __init__(
        self,
        bars: Any,  # the finest bars, e.g. one-minute: Bars, what `read_dbn` returned for one symbol, a table
        calendar: SessionCalendar | None = None,  # the symbol's own when omitted
        finer: Any = None,  # bars of a finer recording, of any part of the time, for `fill_bars`, `manage_on`
    ):
        bars, finer = bars_of(bars), None if finer is None else bars_of(finer)
        if finer is not None and (finer.symbol != bars.symbol or finer.timeframe.seconds >= bars.timeframe.seconds):
            raise InputError(
                "finer bars",
                f"{finer.symbol} {finer.timeframe}",
                f"must be of {bars.symbol} and finer than {bars.timeframe}",
                "pass them as the bars, without finer=, when they cover everything",
            )
        self.source, self.symbol, self.finer = bars, bars.symbol, finer
        self.calendar = calendar or SessionCalendar.of(bars.symbol)
        self._bars: dict[Timeframe, Bars] = {bars.timeframe: bars}
        self._rows: dict[tuple[Timeframe, Timeframe], np.ndarray] = {}
        self._columns: dict[tuple[Timeframe, Indicator], dict[str, np.ndarray]] = {}
        self._closes: dict[Timeframe, np.ndarray] = {}
        self._segments: dict[Timeframe, np.ndarray] = {}
        self._still_open: dict[Timeframe, np.ndarray] = {}
        self._inner: dict[tuple[Timeframe, ...], InnerBars] = {}

    def bars(self, timeframe: "Timeframe | str | int") -> Bars:
        "The bars of a timeframe."
        if (timeframe := Timeframe(timeframe)) not in self._bars:
            self._bars[timeframe] = aggregate(self.source, timeframe, self.calendar)
        return self._bars[timeframe]

    def indicator(self, timeframe: Timeframe, one: Indicator) -> dict[str, np.ndarray]:
        "An indicator's columns on the rows of its own timeframe."
        if (key := (timeframe, one)) not in self._columns:
            bars = self.bars(timeframe)
            self._columns[key] = one.batch(bars, one.session_columns(bars, self.calendar) if one.anchored else None)
        return self._columns[key]

    def trim(self, most: int) -> None:
        "Forget the indicators made first, until the others take at most so many bytes."
        sizes = {key: sum(column.nbytes for column in columns.values()) for key, columns in list(self._columns.items())}
        excess = sum(sizes.values()) - most
        for key, size in sizes.items():
            if excess <= 0:
                return
            self._columns.pop(key, None)
            excess -= size

    def rows(self, base: Timeframe, timeframe: Timeframe) -> np.ndarray:
        "For every base bar the row of the timeframe's last closed bar, -1 before the first."
        if (key := (base, timeframe)) not in self._rows:
            self._rows[key] = np.searchsorted(self.bars(timeframe).end, self.bars(base).end, "right") - 1
        return self._rows[key]

    def seen(self, base: Timeframe, timeframe: Timeframe, column: np.ndarray) -> np.ndarray:
        "A timeframe's column as it was known at each base bar."
        if base == timeframe:
            return column
        at = self.rows(base, timeframe)
        return np.where(at >= 0, column[at], np.nan) if len(column) else np.full(len(at), np.nan)

    def session_closes(self, base: Timeframe) -> np.ndarray:
        "Last close of each base bar's session, ns."
        if base not in self._closes:
            segment_ends = np.array(self.calendar.bounds[1::2])
            at, rows = np.unique(np.searchsorted(segment_ends, self.bars(base).start, "right"), return_inverse=True)
            self._closes[base] = np.array(
                [self.calendar.session_close(int(segment_ends[i]) - 1) for i in at], np.int64
            )[rows]
        return self._closes[base]

    def segment_closes(self, base: Timeframe) -> np.ndarray:
        "When trading stops next after each base bar's start, ns: a halt, or the session's last close."
        if base not in self._segments:
            ends = self.calendar.edges[1::2]
            self._segments[base] = ends[np.searchsorted(ends, self.bars(base).start, "right")]
        return self._segments[base]

    def still_open(self, base: Timeframe) -> np.ndarray:
        "Whether the product trades on when a base bar has ended, bool[n]: an order sent then can fill."
        if base not in self._still_open:
            self._still_open[base] = self.bars(base).end < self.segment_closes(base)
        return self._still_open[base]

    def inner(self, base: Timeframe, watched: Sequence[Timeframe], moved: Timeframe) -> InnerBars:
        "The finer bars inside the base bars; the stop moves when bars of `moved` end."
        if (key := (base, *watched, moved)) not in self._inner:
            fine = self._finer(watched[0]) if watched else None
            self._inner[key] = inner_bars(self.bars(base), fine, self._finer(moved) if moved != base else None)
        return self._inner[key]

    def _finer(self, timeframe: Timeframe) -> Bars | None:
        "Bars of a timeframe from whichever recording is fine enough; None without one."
        if timeframe.seconds >= self.source.timeframe.seconds:
            return self.bars(timeframe)
        if self.finer is None or timeframe.seconds < self.finer.timeframe.seconds:
            return None
        if timeframe not in self._bars:
            self._bars[timeframe] = aggregate(self.finer, timeframe, self.calendar)
        return self._bars[timeframe]


def as_market(bars: "Bars | Market", calendar: SessionCalendar | None = None) -> Market:
    "A market of bars; a market as it is."
    return bars if isinstance(bars, Market) else Market(bars, calendar)


def known_columns(strategy: BaseStrategy, market: Market) -> Known:
    "Everything a strategy may read, as columns on its base bars; each is made when it is read."
    base = strategy.base_timeframe
    frames = {timeframe: _frame(strategy, market, base, timeframe) for timeframe in strategy.timeframes}
    outputs = {name: partial(_take, frames[timeframe], name) for name, timeframe in strategy.outputs.items()}
    own = {name: partial(_take, frames[base], name) for name in FIELDS}
    values = Columns(own | outputs)
    return Known(values, frames, earlier(Known(values, frames)))


def _take(known: Known, name: str) -> np.ndarray:
    return known.values[name]


def _frame(strategy: BaseStrategy, market: Market, base: Timeframe, timeframe: Timeframe) -> Known:
    "One timeframe's values and those of its bar before."
    own = {name: partial(field_column, market.bars(timeframe), name) for name in FIELDS}
    for one in strategy.plan[timeframe]:
        own |= {
            name: partial(lambda one, name: market.indicator(timeframe, one)[name], one, name) for name in one.outputs
        }
    seen = lambda shift: Columns(
        {name: partial(lambda make: market.seen(base, timeframe, shift(make())), make) for name, make in own.items()}
    )
    return Known(seen(lambda column: column), prev=Known(seen(one_back)))


def columns(
    strategy: BaseStrategy,
    bars: "Bars | Market",
    calendar: SessionCalendar | None = None,
) -> tuple[Bars, Values]:  # base bars, and the values at each of them
    "What a strategy sees on every base bar."
    market = as_market(bars, calendar)
    return market.bars(strategy.base_timeframe), Values(known_columns(strategy, market))


def condition_columns(strategy: BaseStrategy, x: Values, length: int) -> dict[str, np.ndarray]:
    "The four conditions as bool[n]."
    return {
        name: np.ascontiguousarray(np.broadcast_to(answer, length)) for name, answer in strategy.conditions(x).items()
    }


def decisions(
    strategy: BaseStrategy,
    bars: "Bars | Market",
    calendar: SessionCalendar | None = None,
    conditions: dict[str, np.ndarray] | None = None,  # `condition_columns` when at hand
) -> np.ndarray:
    """The decision on every base bar: exit reason, exited side, entered side, the exit's contract (int64[n, 4]); where
    exits rest also their fills and what lapsed (int64[n, 10]), see `position.EXIT_REASON` and its neighbours."""
    market = as_market(bars, calendar)
    base, rules, known = (
        market.bars(strategy.base_timeframe),
        strategy.exit_rules(market.symbol),
        known_columns(strategy, market),
    )
    asked = conditions or condition_columns(strategy, Values(known), len(base))
    closes = market.session_closes(base.timeframe) if rules.before_close >= 0 else np.zeros(len(base), np.int64)
    atr = known.values["atr"] if strategy.trail_atr else np.full(len(base), np.nan)
    series = base.open, base.high, base.low, base.close, base.end, closes
    row, contract = np.array(rules, np.float64), base.contract.astype(np.int64)
    if not strategy.rests:
        out = np.zeros((len(base), WIDTH), np.int64)
        position_loop(*new_state(), row, *(asked[name] for name in CONDITIONS), *series, contract, atr, out)
        return out
    out = np.zeros((len(base), ORDER_WIDTH), np.int64)
    found = declared_columns(strategy, market, Values(known))
    refuse_wrong_side(strategy, asked, found)
    inner = inner_of(strategy, market)
    segment = market.segment_closes(base.timeframe)
    order_loop(
        *new_order_state(),
        row,
        *map(np.ascontiguousarray, permitted(asked, found)),
        *series,
        segment,
        contract,
        atr,
        found.prices,
        *inner,
        out,
        out.view(np.float64),
    )
    return out


def declared_columns(strategy: BaseStrategy, market: Market, x: Values, there: Callable = all_there) -> Declared:
    "What its entries declare and where they may be decided, over columns."
    base = market.bars(strategy.base_timeframe)
    still_open = market.still_open(base.timeframe)
    return declared(strategy, x, strategy.exit_rules(market.symbol), base.close, still_open, there)


def refuse_wrong_side(strategy: BaseStrategy, asked: Mapping[str, np.ndarray], found: Declared) -> None:
    "Prices that never let an entry through are on the wrong side, or never there."
    for name, may, column in (("entry", found.may_buy, 0), ("short_entry", found.may_sell, 2)):
        rows = np.flatnonzero(asked[name] if len(found.prices) > 1 else ())
        if len(rows) < 10 or np.any(np.asarray(may)[rows]):
            continue
        kind, side = type(strategy).__name__, "below" if name == "entry" else "above"
        raise InputError(
            f"{kind} {PRICES[column]} and {PRICES[column + 1]}",
            ", ".join(f"{price:g}" for price in found.prices[rows[-1], column : column + 2]),
            f"must put the stop a tick {side} the close and the target beyond it; all {len(rows)} entries were refused",
            "return x.close - ... for a long's stop, x.close + ... for a short's",
        )


def inner_of(strategy: BaseStrategy, market: Market) -> InnerBars:
    "The finer bars its resting exits are looked at on; those that move stops must be there."
    base = strategy.base_timeframe
    moved = Timeframe(strategy.manage_on) if strategy.manage_on else base
    if moved != base and market._finer(moved) is None:
        raise InputError(
            "manage_on",
            strategy.manage_on,
            f"needs bars so fine, and there are {market.source.timeframe}",
            "give finer bars: Market(bars, finer=...)",
        )
    return market.inner(base, [one for one in strategy.watched if market._finer(one) is not None], moved)


def evaluate(
    strategy: BaseStrategy,
    name: str,  # its name in the config; part of every signal's id
    bars: "Bars | Market",  # base bars or finer
    quantity: "int | Sizing" = 1,  # contracts an entry
    calendar: SessionCalendar | None = None,
) -> list[Signal]:
    "All signals of a strategy over recorded bars."
    market = as_market(bars, calendar)
    base = market.bars(strategy.base_timeframe)
    return signals_of(strategy, name, market, base, decisions(strategy, market), quantity)


def signals_of(
    strategy: BaseStrategy, name: str, market: Market, base: Bars, decided: np.ndarray, quantity: "int | Sizing" = 1
) -> list[Signal]:
    "Decisions as signals."
    found: list[Signal] = []
    make = partial(make_signal, name, strategy.config_hash(), base.symbol, base.timeframe)
    sizes, held = np.broadcast_to(contracts_of(strategy, market, decided, quantity), len(base)), 0
    for t in np.flatnonzero(decided[:, EXIT_REASON] | decided[:, ENTRY_SIDE]).tolist():
        reason, exited, entered, contract = decided[t, :WIDTH].tolist()
        end, close = int(base.end[t]), float(base.close[t])
        if exited:
            action = "LONG_EXIT" if exited > 0 else "SHORT_EXIT"
            at, price = end, float(base.close[t - 1]) if reason == ROLL else close
            if reason > ROLL:
                at, price = int(decided[t, EXIT_AT]), resting_price(decided, t)
            found.append(make(base.contracts[contract], action, at, price, REASONS[reason], held))
        if entered:
            held, action = int(sizes[t]), "LONG_ENTRY" if entered > 0 else "SHORT_ENTRY"
            found.append(make(base.contracts[base.contract[t]], action, end, close, "rule", held))
    return found


def contracts_of(
    strategy: BaseStrategy, market: Market, decided: np.ndarray, quantity: "int | Sizing"
) -> "int | np.ndarray":
    "Contracts of an entry: a number for all, or int64[n] of the one decided on each base bar."
    if not isinstance(quantity, Sizing):
        return quantity
    if quantity.risk_usd is None:
        return quantity.quantity
    long, short = contracts_by_side(strategy, market, quantity, known_columns(strategy, market))
    return np.where(decided[:, ENTRY_SIDE] == 0, 0, np.where(decided[:, ENTRY_SIDE] > 0, long, short))


def contracts_by_side(
    strategy: BaseStrategy, market: Market, sizing: Sizing, known: Known, there: Callable = all_there
) -> tuple[np.ndarray, np.ndarray]:
    "Contracts of a long and of a short entry decided on each base bar, int64[n] each."
    rules, point_value = strategy.exit_rules(market.symbol), product(market.symbol).point_value
    close = market.bars(strategy.base_timeframe).close
    atr = known.values["atr"] if strategy.trail_atr else np.nan
    if not strategy.rests:
        near = np.broadcast_to(rules.stop_distance(atr), len(close))
        return (sizing.column(near, point_value),) * 2
    found = declared_columns(strategy, market, Values(known), there)
    long, short = stop_points(rules, found, close, atr)
    return sizing.column(long, point_value), sizing.column(short, point_value)
