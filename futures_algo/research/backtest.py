"""What a strategy would have made of recorded bars: trades in dollars, equity, figures, pictures."""

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from futures_algo.core.contracts import product
from futures_algo.core.named import did_you_mean
from futures_algo.core.sessions import SessionCalendar
from futures_algo.core.types import Bars, DataError, InputError, Signal, to_timestamp
from futures_algo.history.vendor_rolls import find_steps
from futures_algo.research.performance import (
    Record,
    held_position,
    performance,
    record_of,
    session_ends,
    together,
    written,
)
from futures_algo.research.trades import Costs, Trades, equity_curve, trades_of
from futures_algo.strategies.base import BaseStrategy
from futures_algo.strategies.batch import Market, as_market, contracts_of, decisions
from futures_algo.strategies.checks import replay, replayed
from futures_algo.strategies.orders import ROLL
from futures_algo.strategies.position import (
    BY_FINER,
    ENTRY_SIDE,
    EXIT_AT,
    EXIT_CONTRACT,
    EXIT_PRICE,
    EXIT_REASON,
    EXIT_SIDE,
    LAPSED,
    ORDER_WIDTH,
    REASONS,
    RESTED,
    STOP_AT,
    TARGET_AT,
    WIDTH,
)
from futures_algo.strategies.sizing import Sizing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from futures_algo.research.cautions import Remark


ENGINES = ("model", "replay", "vectorbt")


def backtest(
    strategy: BaseStrategy,
    # base bars or finer; of several symbols as a list, or as `read_dbn` returns them
    bars: "Bars | Market | Mapping[str, Bars | Market] | Sequence[Bars | Market]",
    costs: Costs = Costs(),
    quantity: "int | Sizing | Mapping[str, int | Sizing]" = 1,  # contracts an entry, for all symbols or by symbol
    engine: str = "model",  # model, replay or vectorbt
    *,
    calendar: SessionCalendar | None = None,  # the symbol's own when omitted
    **orders,  # `fill_bars`, `fill_limit`, `manage_on`, `resting`: in place of what the strategy declares
) -> "BacktestResult | BacktestResults":
    "Run a strategy over recorded bars."
    _refuse_arguments(strategy, costs, engine)
    strategy = _with_orders(strategy, orders)
    if isinstance(bars, (Bars, Market)):
        return _simulated(strategy, [as_market(bars, calendar)], costs, quantity, engine)[0]
    several = list(bars.values()) if isinstance(bars, Mapping) else bars
    if not isinstance(several, Sequence) or not all(isinstance(one, (Bars, Market)) for one in several):
        raise InputError(
            "bars",
            type(bars).__name__,
            "must be Bars, or several as a list or by symbol",
            "read them with read_dbn, or futures_algo.history.read_csv or read_parquet",
        )
    markets = [as_market(one, calendar) for one in several]
    if not markets:
        raise InputError("bars", "none", "must hold at least one symbol", "pass Bars, or a list of them")
    symbols = [market.symbol for market in markets]
    if len(set(symbols)) < len(symbols):
        raise InputError("symbols", ", ".join(symbols), "must differ", "give each symbol's bars once")
    return BacktestResults({result.symbol: result for result in _simulated(strategy, markets, costs, quantity, engine)})


def _refuse_arguments(strategy: Any, costs: Any, engine: str) -> None:
    if isinstance(strategy, type):
        raise InputError(
            "strategy", strategy.__name__, "must be an object, and is its class", f"write {strategy.__name__}(...)"
        )
    if not isinstance(strategy, BaseStrategy):
        raise InputError(
            "strategy", type(strategy).__name__, "must be a BaseStrategy", "derive it from futures_algo.BaseStrategy"
        )
    if not isinstance(costs, Costs):
        raise InputError("costs", costs, "must be Costs", "write Costs(commission_usd=2.25, slippage_ticks=1)")
    if engine not in ENGINES:
        raise InputError("engine", engine, "must be a known one", did_you_mean(engine, ENGINES))


def _with_orders(strategy: BaseStrategy, orders: Mapping[str, Any]) -> BaseStrategy:
    "The strategy, or a copy with other rules for its resting orders."
    if not orders:
        return strategy
    for name in orders:
        if name not in strategy.order_params:
            raise InputError("argument", name, "is not one of backtest", did_you_mean(name, strategy.order_params))
    changed = deepcopy(strategy)
    changed.update_parameters(orders)
    return changed


def _simulated(
    strategy: BaseStrategy, markets: "list[Market]", costs: Costs, quantity: Any, engine: str
) -> "list[BacktestResult]":
    "One result a market."
    runs = [_decided(strategy, market, quantity, engine) for market in markets]
    if engine == "vectorbt":
        return _by_vectorbt(strategy, markets, runs, costs)
    results = []
    for market, (base, decided, sizes) in zip(markets, runs):
        trades = trades_of(base, decided, costs, sizes)
        results.append(
            BacktestResult(
                strategy,
                base,
                market.calendar,
                costs,
                engine,
                decided,
                trades,
                equity_curve(base, trades),
                silent_rolls=len(find_steps(market.source, product(market.symbol))),
            )
        )
    return results


def _by_vectorbt(strategy: BaseStrategy, markets: "list[Market]", runs: list, costs: Costs) -> "list[BacktestResult]":
    from futures_algo.research.vectorbt_adapter import fills_of, simulate

    done = simulate([fills_of(base, decided, sizes) for base, decided, sizes in runs], costs)
    return [
        BacktestResult(
            strategy,
            base,
            market.calendar,
            costs,
            done.engine,
            decided,
            done.trades[base.symbol],
            done.equity[base.symbol],
            done.portfolio,
        )
        for market, (base, decided, _) in zip(markets, runs)
    ]


def _refuse_without_volume(strategy: BaseStrategy, bars: Bars) -> None:
    "An indicator that reads volume has nothing to read in bars without volume."
    if bars.volume.any():
        return
    for timeframe, made in strategy.indicators().items():
        for one in made if isinstance(made, (list, tuple)) else [made]:
            if "volume" in getattr(one, "inputs", ()):
                raise DataError(
                    f"volume of {bars.symbol}",
                    0,
                    f"must be known for {type(one).__name__} ({timeframe}), and these bars are without volume",
                    "use a file with volume, or an indicator of prices alone",
                )


def _decided(strategy: BaseStrategy, market: Market, quantity: Any, engine: str) -> tuple[Bars, np.ndarray, Any]:
    "Base bars, the decision on each, and contracts of the entries."
    size = quantity.get(market.symbol) if isinstance(quantity, Mapping) else quantity
    if not isinstance(size, Sizing) and not (isinstance(size, Integral) and int(size) > 0):
        raise InputError(
            f"quantity of {market.symbol}",
            size,
            "must be a whole number of contracts, 1 or more, or a Sizing",
            "write quantity=1",
        )
    if not len(market.source):
        raise InputError(
            f"bars of {market.symbol or 'the symbol'}", "none", "must hold at least one bar", "choose a range with data"
        )
    _refuse_without_volume(strategy, market.source)
    base = market.bars(strategy.base_timeframe)
    if not len(base):
        raise InputError(
            f"bars of {market.symbol}",
            len(market.source),
            f"must fill at least one bar of {base.timeframe}",
            "choose a longer range",
        )
    if engine != "replay":
        decided = decisions(strategy, market)
    else:
        signals = replay(strategy, "backtest", market.source, market.calendar)
        finer = any(one in replayed(strategy, market.source) for one in strategy.watched)
        decided = decisions_of(base, signals, lapsing(strategy, market) if strategy.rests else None, finer)
    return base, decided, contracts_of(strategy, market, decided, size)


def lapsing(strategy: BaseStrategy, market: Market) -> np.ndarray:
    "Base bars on which an entry decided on the bar before does not fill: another segment, another contract."
    base = market.bars(strategy.base_timeframe)
    segment = market.segment_closes(base.timeframe)
    return np.concatenate(([False], (np.diff(segment) != 0) | (np.diff(base.contract) != 0)))


def bars_of_sessions(
    bars: Bars,
    start: str = "",  # first session date, "2025-03-10"; the data's own when empty
    end: str = "",  # last session date
    calendar: SessionCalendar | None = None,  # the symbol's own when omitted
) -> Bars:
    "The bars of these sessions."
    for name, date in (("start", start), ("end", end)):
        _refuse_date(name, date)
    rows, dates = session_ends(bars.start, calendar or SessionCalendar.of(bars.symbol))
    chosen = [at for at, date in enumerate(dates) if start <= date and (not end or date <= end)]
    if chosen:
        return bars[rows[chosen[0] - 1] + 1 if chosen[0] else 0 : rows[chosen[-1]] + 1]
    held = f"which holds {dates[0]} to {dates[-1]}" if dates else "which is empty"
    raise InputError(
        "range",
        f"{start or 'the start'} to {end or 'the end'}",
        f"must have a session in the data of {bars.symbol}, {held}",
        "choose other dates",
    )


def _refuse_date(name: str, date: str) -> None:
    try:
        dt.date.fromisoformat(date or "2025-01-01")
    except ValueError:
        raise InputError(name, date, "must be a session date", "write 2025-03-10") from None


def decisions_of(
    base: Bars,
    signals: Sequence[Signal],
    lapsed: "np.ndarray | None" = None,  # bool[n], a base bar on which no entry of the bar before fills
    finer: bool = False,  # resting orders were met by finer bars
) -> np.ndarray:
    "Signals, however they were made, as the decisions they stand for: int64[n, 4], int64[n, 10] where exits rest."
    rests = lapsed is not None or any(signal.reason in RESTED for signal in signals)
    out = np.zeros((len(base), ORDER_WIDTH if rests else WIDTH), np.int64)
    prices = out.view(np.float64)
    for signal in signals:
        row, side = int(np.searchsorted(base.end, signal.bar_end)), 1 if signal.is_long else -1
        if signal.is_entry:
            out[row, ENTRY_SIDE] = side
            if lapsed is not None and row + 1 < len(base):
                out[row + 1, LAPSED] = lapsed[row + 1]
            continue
        reason = REASONS.index(signal.reason)
        out[row, [EXIT_REASON, EXIT_SIDE, EXIT_CONTRACT]] = reason, side, base.contracts.index(signal.contract)
        if reason > ROLL:
            out[row, EXIT_AT], prices[row, EXIT_PRICE] = signal.bar_end, signal.price
            out[row, BY_FINER] = finer
    return out


class _Judged(ABC):
    "What one symbol's result and several together have in common: figures and pictures of a `record`."

    strategy: BaseStrategy

    @property
    @abstractmethod
    def record(self) -> Record: ...

    @abstractmethod
    def by_symbol(self) -> "list[BacktestResult]": ...

    @abstractmethod
    def about(self) -> dict[str, Any]: ...

    @cached_property
    def stats(self) -> dict[str, float]:
        "All figures by name, as `performance.FIGURES` explains them; NaN is undefined."
        return performance(self.record)

    @cached_property
    def remarks(self) -> "list[Remark]":
        "What is worth a worry about this run."
        from futures_algo.research.cautions import remarks

        return [one for one in [*remarks(self.by_symbol()), *self._silent_rolls()] if one.raised]

    def _silent_rolls(self) -> "Iterator[Remark]":
        "A remark a series whose vendor rolled without saying so: its steps look like profits and losses."
        from futures_algo.research.cautions import Remark

        for result in self.by_symbol():
            steps = result.silent_rolls
            text = f"{result.symbol} steps {steps} times as from one contract to the next, all rows of one contract"
            yield Remark("silent_rolls", float(steps), 0.0, bool(steps), text,
                         "import it again with --rolls split or adjust")  # fmt: skip

    @property
    def time(self) -> np.ndarray:
        return self.record.time

    def plot(self) -> "Figure":
        "Price with trades, equity and drawdown."
        from futures_algo.research.backtest_plots import overview

        return overview(self)

    def tearsheet(self, path: "Path | str | None" = None) -> str:
        "One HTML page that needs nothing else; written to `path` when given."
        from futures_algo.research.backtest_plots import tearsheet

        return tearsheet(self, path)

    def as_dict(self) -> dict[str, Any]:
        "For JSON: what was run and the figures; undefined and infinite ones are None."
        known = lambda values: {
            name: None if isinstance(value, float) and not np.isfinite(value) else value
            for name, value in values.items()
        }
        return self.about() | {"stats": known(self.stats), "remarks": [known(one._asdict()) for one in self.remarks]}

    def __str__(self) -> str:
        return "\n".join(
            [
                *(f"{name:<20} {value}" for name, value in self._shown().items()),
                *(f"{'note':<20} {one.text}; {one.advice}" for one in self.remarks),
            ]
        )

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{name}</td><td style='text-align:right'>{value}</td></tr>"
            for name, value in self._shown().items()
        )
        return f"<table>{rows}</table>" + "".join(f"<p>{one.text}; {one.advice}</p>" for one in self.remarks)

    def _shown(self) -> dict[str, str]:
        "What was run and the figures, for people: of the declared exits only those in use."
        own = {
            name: value
            for name, value in self.strategy.parameters().items()
            if name not in BaseStrategy.exit_params or value != BaseStrategy.params[name].default
        }
        texts = self.about() | {"parameters": ", ".join(f"{name} {value}" for name, value in own.items()) or "none"}
        return {**texts, **{name: written(name, value) for name, value in self.stats.items()}}


@dataclass(repr=False)
class BacktestResult(_Judged):
    "What a strategy made of one symbol's bars."

    strategy: BaseStrategy
    base: Bars  # the bars decided on
    calendar: SessionCalendar
    costs: Costs
    engine: str  # model, replay, or which vectorbt
    decided: np.ndarray  # int64[n, 4], see `position.EXIT_REASON` and its neighbours
    trades: Trades
    equity: np.ndarray  # float64[n], dollars after each base bar
    portfolio: Any = None  # vectorbt's, of all symbols of the run
    silent_rolls: int = 0  # steps of the bars as from one contract to the next, which their vendor did not say

    @property
    def symbol(self) -> str:
        return self.base.symbol

    def by_symbol(self) -> "list[BacktestResult]":
        "Of one symbol: itself."
        return [self]

    @cached_property
    def record(self) -> Record:
        return record_of(self.base, self.trades, self.equity, self.calendar, self.slippage_usd)

    @property
    def slippage_usd(self) -> float:
        "What all fills lost to slippage."
        kind, still = product(self.symbol), self.trades.open_trade
        contracts = 2 * self.trades.quantity.sum() + (still.quantity.sum() if still else 0)
        return float(contracts * self.costs.slippage_ticks * kind.tick_size * kind.point_value)

    @property
    def position(self) -> np.ndarray:
        "Contracts held after each base bar, negative when short."
        return held_position(self.trades, len(self.base))

    @property
    def decided_by(self) -> dict[str, int]:
        "Trades that ended in a resting order, by the timeframe of the bars that showed it."
        rested = self.trades.reason > ROLL
        finer = rested & (self.trades.by_finer if self.trades.by_finer is not None else False)
        counts = {str(one): int(finer.sum()) for one in self.strategy.watched[:1]}
        return counts | {str(self.base.timeframe): int((rested & ~finer).sum())} if self.strategy.rests else {}

    @property
    def levels(self) -> np.ndarray:
        "Stop and target in force when each base bar began, float64[n, 2]; NaN where none rests."
        if self.decided.shape[1] < ORDER_WIDTH:
            return np.full((len(self.base), 2), np.nan)
        found = self.decided.view(np.float64)[:, [STOP_AT, TARGET_AT]]
        return np.where(found == 0, np.nan, found)

    def trades_frame(self):
        "Closed trades as a `pd.DataFrame`, with their symbol."
        frame = self.trades.to_frame()
        frame.insert(0, "symbol", self.symbol)
        return frame

    def to_frame(self):
        "Bar by bar, indexed by the bars' ends (UTC): close, position and equity."
        import pandas as pd

        index = pd.DatetimeIndex(self.base.end.view("M8[ns]"), tz="UTC", name="end")
        return pd.DataFrame(
            {"close": self.base.close, "position": self.position, "equity_usd": self.equity}, index=index
        )

    def about(self) -> dict[str, Any]:
        "What was run."
        return _about(self, self.symbol, len(self.base), int(self.base.start[0]))


def _about(result: "BacktestResult | BacktestResults", symbol: str, bars: int, start: int) -> dict[str, Any]:
    one, costs = result.strategy, result.costs
    return {
        "strategy": type(one).__name__,
        "parameters": one.parameters(),
        "symbol": symbol,
        "timeframe": str(one.base_timeframe),
        "engine": result.engine,
        "exits": exits_of(one),
        "start": str(to_timestamp(start)),
        "end": str(to_timestamp(int(result.time[-1]))),
        "bars": bars,
        "costs": (
            f"${costs.commission_usd:g} a contract and side, {costs.slippage_ticks:g}"
            f" tick{'' if costs.slippage_ticks == 1 else 's'} a fill"
        ),
    }


def exits_of(strategy: BaseStrategy) -> str:
    "The form of its declared exits in words, wherever results are shown."
    if strategy.rests:
        moved = f", moved on {strategy.manage_on} bars" if strategy.manage_on else ""
        finer = f", met by {strategy.watched[0]} bars" if strategy.watched else ""
        return f"rest at the broker, limits fill {strategy.fill_limit}{finer}{moved}"
    declared = any(getattr(strategy, name) for name in ("stop_ticks", "target_ticks", "trail_ticks", "trail_atr"))
    return "looked at when a bar has closed (resting: false), filled at the next open" if declared else "at market"


class BacktestResults(_Judged):
    "What a strategy made of several symbols; `results['ES.c.0']` is one of them."

    def __init__(self, results: "dict[str, BacktestResult]"):
        self.results, first = results, next(iter(results.values()))
        self.strategy, self.costs, self.engine, self.portfolio, self.symbols = (
            first.strategy,
            first.costs,
            first.engine,
            first.portfolio,
            tuple(results),
        )

    def __getitem__(self, symbol: str) -> BacktestResult:
        if symbol in self.results:
            return self.results[symbol]
        raise InputError(
            "symbol", symbol, f"must be one of {', '.join(self.symbols)}", did_you_mean(symbol, self.symbols)
        )

    def __iter__(self):
        return iter(self.results.values())

    def __len__(self) -> int:
        return len(self.results)

    def by_symbol(self) -> list[BacktestResult]:
        "The results of the symbols."
        return list(self)

    @property
    def symbol(self) -> str:
        return ", ".join(self.symbols)

    @cached_property
    def record(self) -> Record:
        return together([one.record for one in self], [one.trades.exit_time for one in self])

    @property
    def equity(self) -> np.ndarray:
        "Dollars after each moment of `time`, all symbols together."
        return self.record.equity

    def trades_frame(self):
        "Closed trades of all symbols as a `pd.DataFrame`, by time of exit."
        import pandas as pd

        return pd.concat([one.trades_frame() for one in self], ignore_index=True).sort_values(
            "exit_time", kind="stable", ignore_index=True
        )

    def table(self):
        "The figures of each symbol and of all together as a `pd.DataFrame`."
        import pandas as pd

        return pd.DataFrame({one.symbol: one.stats for one in self} | {"together": self.stats})

    def about(self) -> dict[str, Any]:
        "What was run."
        return _about(
            self, self.symbol, sum(len(one.base) for one in self), min(int(one.base.start[0]) for one in self)
        )
