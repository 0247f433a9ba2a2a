"""The research form: the same strategy over columns, with the same position model, giving the same signals."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from futures_algo.aggregator.aggregator import aggregate
from futures_algo.core.contracts import product
from futures_algo.core.sessions import SessionCalendar
from futures_algo.core.types import Bars, InputError, Signal, Timeframe
from futures_algo.indicators.base import Indicator
from futures_algo.strategies.base import CONDITIONS, BaseStrategy
from futures_algo.strategies.live import make_signal
from futures_algo.strategies.position import ENTRY_SIDE, EXIT_REASON, REASONS, new_state, position_loop
from futures_algo.strategies.sizing import Sizing
from futures_algo.strategies.values import FIELDS, Columns, Known, Values, earlier, field_column, one_back


class Market:
    "Recorded bars of one symbol and what was made of them."

    def __init__(
        self,
        bars: Bars,  # the finest bars, e.g. one-minute
        calendar: SessionCalendar | None = None,  # the symbol's own when omitted
    ):
        self.source, self.symbol = bars, bars.symbol
        self.calendar = calendar or SessionCalendar.of(bars.symbol)
        self._bars: dict[Timeframe, Bars] = {bars.timeframe: bars}
        self._rows: dict[tuple[Timeframe, Timeframe], np.ndarray] = {}
        self._columns: dict[tuple[Timeframe, Indicator], dict[str, np.ndarray]] = {}
        self._closes: dict[Timeframe, np.ndarray] = {}

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


def as_market(bars: "Bars | Market", calendar: SessionCalendar | None = None) -> Market:
    "A market of bars; a market as it is."
    if isinstance(bars, Market):
        return bars
    if not isinstance(bars, Bars):
        several = isinstance(bars, (list, tuple, Mapping))
        raise InputError(
            "bars",
            f"{type(bars).__name__} of {len(bars)}" if several else type(bars).__name__,
            "must be the Bars of one symbol",
            "call it once a symbol" if several else "read them with read_dbn, or history.read_csv or read_parquet",
        )
    return Market(bars, calendar)


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
    """The position model's decision on every base bar, int64[n, 4]: exit reason, exited side, entered side, the exit's
    contract."""
    market = as_market(bars, calendar)
    base, rules, known = (
        market.bars(strategy.base_timeframe),
        strategy.exit_rules(market.symbol),
        known_columns(strategy, market),
    )
    asked = conditions or condition_columns(strategy, Values(known), len(base))
    closes = market.session_closes(base.timeframe) if rules.before_close >= 0 else np.zeros(len(base), np.int64)
    atr = known.values["atr"] if strategy.trail_atr else np.full(len(base), np.nan)
    out = np.zeros((len(base), 4), np.int64)
    position_loop(
        *new_state(),
        np.array(rules, np.float64),
        *(asked[name] for name in CONDITIONS),
        base.open,
        base.high,
        base.low,
        base.close,
        base.end,
        closes,
        base.contract.astype(np.int64),
        atr,
        out,
    )
    return out


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
    size, held = _sizes(strategy, market, quantity), 0
    for t in np.flatnonzero(decided[:, EXIT_REASON] | decided[:, ENTRY_SIDE]).tolist():
        reason, exited, entered, contract = decided[t].tolist()
        end, close = int(base.end[t]), float(base.close[t])
        if exited:
            price = float(base.close[t - 1]) if REASONS[reason] == "roll" else close
            found.append(
                make(
                    base.contracts[contract],
                    "LONG_EXIT" if exited > 0 else "SHORT_EXIT",
                    end,
                    price,
                    REASONS[reason],
                    held,
                )
            )
        if entered:
            held = size(t)
            found.append(
                make(
                    base.contracts[base.contract[t]],
                    "LONG_ENTRY" if entered > 0 else "SHORT_ENTRY",
                    end,
                    close,
                    "rule",
                    held,
                )
            )
    return found


def _sizes(strategy: BaseStrategy, market: Market, quantity: "int | Sizing") -> Any:
    "Contracts of an entry decided on a row."
    if not isinstance(quantity, Sizing):
        return lambda row: quantity
    rules, point_value = strategy.exit_rules(market.symbol), product(market.symbol).point_value
    atr = known_columns(strategy, market).values["atr"] if strategy.trail_atr else None
    return lambda row: quantity.contracts(
        rules.stop_distance(float("nan") if atr is None else float(atr[row])), point_value
    )
