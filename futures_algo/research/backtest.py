"""What a strategy would have made of recorded bars: trades in dollars, equity, figures, pictures."""

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from futures_algo.core.contracts import product
from futures_algo.core.sessions import SessionCalendar
from futures_algo.core.types import Bars, InputError, Signal, did_you_mean, to_timestamp
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
from futures_algo.strategies.batch import Market, as_market, decisions, known_columns
from futures_algo.strategies.checks import replay
from futures_algo.strategies.position import ENTRY_SIDE, EXIT_CONTRACT, EXIT_REASON, EXIT_SIDE, REASONS
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
) -> "BacktestResult | BacktestResults":
    "Run a strategy over recorded bars."
    _refuse_arguments(strategy, costs, engine)
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
            BacktestResult(strategy, base, market.calendar, costs, engine, decided, trades, equity_curve(base, trades))
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
    base = market.bars(strategy.base_timeframe)
    if not len(base):
        raise InputError(
            f"bars of {market.symbol}",
            len(market.source),
            f"must fill at least one bar of {base.timeframe}",
            "choose a longer range",
        )
    decided = (
        decisions(strategy, market)
        if engine != "replay"
        else decisions_of(base, replay(strategy, "backtest", market.source, market.calendar))
    )
    return base, decided, contracts_of(strategy, market, decided, size) if isinstance(size, Sizing) else size


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


def contracts_of(strategy: BaseStrategy, market: Market, decided: np.ndarray, sizing: Sizing) -> np.ndarray:
    "Contracts of the entry decided on each base bar, 0 elsewhere."
    rules, point_value = strategy.exit_rules(market.symbol), product(market.symbol).point_value
    atr = known_columns(strategy, market).values["atr"] if strategy.trail_atr else None
    found = np.zeros(len(decided), np.int64)
    for row in np.flatnonzero(decided[:, ENTRY_SIDE]):
        found[row] = sizing.contracts(
            rules.stop_distance(float("nan") if atr is None else float(atr[row])), point_value
        )
    return found


def decisions_of(base: Bars, signals: Sequence[Signal]) -> np.ndarray:
    "Signals, however they were made, as the decisions they stand for: int64[n, 4]."
    out, row_of = np.zeros((len(base), 4), np.int64), {int(end): row for row, end in enumerate(base.end)}
    for signal in signals:
        row, side = row_of[signal.bar_end], 1 if signal.is_long else -1
        if signal.is_entry:
            out[row, ENTRY_SIDE] = side
        else:
            out[row, EXIT_REASON], out[row, EXIT_SIDE], out[row, EXIT_CONTRACT] = (
                REASONS.index(signal.reason),
                side,
                base.contracts.index(signal.contract),
            )
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

        return [one for one in remarks(self.by_symbol()) if one.raised]

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
        about = self.about()
        if not about["origin"]:
            del about["origin"]
        texts = about | {"parameters": ", ".join(f"{name} {value}" for name, value in own.items()) or "none"}
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
        "start": str(to_timestamp(start)),
        "end": str(to_timestamp(int(result.time[-1]))),
        "bars": bars,
        "origin": ", ".join(sorted({part.base.origin for part in result.by_symbol() if part.base.origin})),
        "costs": (
            f"${costs.commission_usd:g} a contract and side, {costs.slippage_ticks:g}"
            f" tick{'' if costs.slippage_ticks == 1 else 's'} a fill"
        ),
    }


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
