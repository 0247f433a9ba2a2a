"""Parameters chosen on past bars, judged on the bars that follow, again and again."""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from futures_algo.config.fingerprint import fingerprint, strategy_fingerprint
from futures_algo.core.sessions import SessionCalendar
from futures_algo.core.types import Bars, InputError, did_you_mean, to_timestamp
from futures_algo.research.backtest import BacktestResult
from futures_algo.research.cautions import Remark, Thresholds, remarks
from futures_algo.research.evidence import Blocks, blocks_of, evidence_of
from futures_algo.research.gates import Gate, Limits, judge
from futures_algo.research.overfitting import (
    bootstrap,
    deflated_sharpe,
    moments,
    monte_carlo,
    plateau_of,
    probabilistic_sharpe,
)
from futures_algo.research.performance import SESSIONS_A_YEAR, Record, performance, session_ends
from futures_algo.research.runs import RunStore, Search
from futures_algo.research.sweep import LOWER_IS_BETTER, Constraint, checked_grid, combinations_of, sweep
from futures_algo.research.sweep_kernel import METRICS
from futures_algo.research.trades import Costs, equity_curve, trades_of
from futures_algo.strategies.base import BaseStrategy
from futures_algo.strategies.batch import Market, as_market, columns, condition_columns, decisions

if TYPE_CHECKING:
    import pandas as pd


class Fold(NamedTuple):
    "Rows of the bars given, start inclusive, stop exclusive."

    number: int  # from 1
    train: slice
    test: slice


def folds_of(
    bars: Bars,
    folds: int = 6,
    train: float = 3.0,  # length of the (first) training, in tests
    anchored: bool = False,
    purge: int = 0,  # bars
    embargo: int = 0,  # bars
    calendar: SessionCalendar | None = None,
) -> list[Fold]:
    "Folds whose tests are disjoint, follow each other and end with the last bar."
    _refuse_folds(folds, train, purge, embargo)
    ends, _ = session_ends(bars.start, calendar or SessionCalendar.of(bars.symbol))
    if len(ends) < math.ceil(folds + train):
        raise InputError(
            "bars",
            f"{len(ends)} sessions",
            f"must hold at least {math.ceil(folds + train)} for {folds} folds",
            "use more bars or fewer folds",
        )
    cut = [0, *(ends + 1).tolist()]
    at = lambda tests: cut[round(tests * len(ends) / (folds + train))]
    found = [
        Fold(
            k + 1,
            slice(0 if anchored else at(k), at(train + k) - purge),
            slice(at(train + k) + embargo, at(train + k + 1)),
        )
        for k in range(folds)
    ]
    for fold in found:
        for name, rows in (("purge", fold.train), ("embargo", fold.test)):
            if rows.stop <= rows.start:
                raise InputError(
                    name,
                    purge if name == "purge" else embargo,
                    f"must leave bars in fold {fold.number}",
                    "choose a smaller one, or fewer folds",
                )
    return found


def _refuse_folds(folds: int, train: float, purge: int, embargo: int) -> None:
    if folds < 1:
        raise InputError("folds", folds, "must be at least 1", "6 is usual")
    if not 0 < train < math.inf:
        raise InputError("train", train, "must be above 0", "3 trains on three times a test's length")
    for name, value in (("purge", purge), ("embargo", embargo)):
        if value < 0:
            raise InputError(name, value, "must be a number of bars, 0 or more")


def run_on(
    strategy: BaseStrategy,
    market: Market,
    rows: slice,  # of the market's bars
    costs: Costs = Costs(),
    quantity: int = 1,
    warmup: int | None = None,  # bars before the rows for the indicators; all there are when omitted
) -> BacktestResult:
    "A backtest of these rows alone, flat at their start."
    seen, own = _window(market, rows, warmup)
    base, values = columns(strategy, seen)
    first = int(np.searchsorted(base.start, seen.source.start[own.start]))
    asked = {
        name: told & (np.arange(len(base)) >= first)
        for name, told in condition_columns(strategy, values, len(base)).items()
    }
    decided, kept = decisions(strategy, seen, conditions=asked)[first:], base[first:]
    trades = trades_of(kept, decided, costs, quantity)
    return BacktestResult(strategy, kept, market.calendar, costs, "model", decided, trades, equity_curve(kept, trades))


def _window(market: Market, rows: slice, warmup: int | None) -> tuple[Market, slice]:
    "A market that ends with these rows, and where they are in it."
    first = 0 if warmup is None else max(0, rows.start - warmup)
    return Market(market.source[first : rows.stop], market.calendar), slice(rows.start - first, rows.stop - first)


class Searched(NamedTuple):
    "What a search found."

    table: "pd.DataFrame"  # one row a combination in grid order: parameters, then figures


def one_by_one(
    strategy_class: type[BaseStrategy],
    bars: "Bars | Market",
    grid: Mapping[str, Sequence],
    costs: Costs = Costs(),
    quantity: int = 1,
    *,
    metric: str = "sharpe",
    rows: slice | None = None,
) -> Searched:
    "Every combination of a grid as its own backtest."
    import pandas as pd

    market = as_market(bars)
    strategies, chosen, _ = combinations_of(strategy_class, grid)
    found = [
        run_on(strategy, market, rows or slice(0, len(market.source)), costs, quantity).stats for strategy in strategies
    ]
    return Searched(
        pd.DataFrame([values | {name: figures[name] for name in METRICS} for values, figures in zip(chosen, found)])
    )


def best_row(
    table: "pd.DataFrame",
    metric: str,
    min_trades: int = 0,  # fewer, and a row is no candidate
) -> int | None:  # None when it is undefined for all
    "Place of the best value, the first of equal ones."
    values = table[metric].to_numpy(np.float64)
    if min_trades:
        values = np.where(table["trades"].to_numpy() >= min_trades, values, np.nan)
    if np.isnan(values).all():
        return None
    return int(np.nanargmin(values) if metric in LOWER_IS_BETTER else np.nanargmax(values))


@dataclass
class FoldResult:
    "What one fold chose, and what became of it."

    fold: Fold
    parameters: dict[str, Any] | None  # None when no combination was defined
    trained: dict[str, float]  # figures of the choice on the training bars
    test: BacktestResult
    deflated: float  # deflated Sharpe ratio of the choice in training
    plateau: float  # mean of the choice's neighbours in the grid over its own value, in training

    @property
    def retention(self) -> float:
        "Test over training Sharpe ratio; NaN where the training's is not positive."
        sharpe = self.trained.get("sharpe", math.nan)
        return self.test.stats["sharpe"] / sharpe if sharpe > 0 else math.nan


def _run_fold(
    fold: Fold,
    strategy_class: type[BaseStrategy],
    market: Market,
    grid: Mapping[str, Sequence],
    costs: Costs,
    quantity: int,
    metric: str,
    warmup: int | None,
    search: Callable,
    min_trades: int = 0,
) -> FoldResult:
    "Choose on the training rows, run on the test rows."
    training, rows = _window(market, fold.train, warmup)
    table = search(strategy_class, training, grid, costs, quantity, metric=metric, rows=rows).table
    if (row := best_row(table, metric, min_trades)) is None:
        return FoldResult(
            fold, None, {}, _nothing(strategy_class, market, fold, table, grid, costs), math.nan, math.nan
        )
    chosen = _chosen(table, grid, row)
    strategy = strategy_class(**chosen)
    figures = {name: float(table[name].iloc[row]) for name in table.columns if name not in grid}
    plateau = math.nan if metric in LOWER_IS_BETTER else plateau_of(table, grid, metric).ratio
    return FoldResult(
        fold,
        chosen,
        figures,
        run_on(strategy, market, fold.test, costs, quantity, warmup),
        _deflated(run_on(strategy, training, rows, costs, quantity), table),
        plateau,
    )


def _nothing(
    strategy_class: type[BaseStrategy],
    market: Market,
    fold: Fold,
    table: "pd.DataFrame",
    grid: Mapping[str, Sequence],
    costs: Costs,
) -> BacktestResult:
    "A test in which nothing is traded."
    strategy, base = strategy_class(**_chosen(table, grid, 0)), market.source[fold.test]
    decided = np.zeros((len(base), 4), np.int64)
    trades = trades_of(base, decided, costs)
    return BacktestResult(strategy, base, market.calendar, costs, "model", decided, trades, equity_curve(base, trades))


def _chosen(table: "pd.DataFrame", grid: Mapping[str, Sequence], row: int) -> dict[str, Any]:
    "The parameters of a row as Python's own numbers."
    return {name: value.item() if isinstance(value := table[name].iloc[row], np.generic) else value for name in grid}


def _deflated(trained: BacktestResult, table: "pd.DataFrame") -> float:
    "Of the choice's sessions, against all combinations tried."
    own, tried = (
        moments(trained.record.session_usd),
        table["sharpe"].dropna().to_numpy(np.float64) / math.sqrt(SESSIONS_A_YEAR),
    )
    variance = float(tried.var(ddof=1)) if len(tried) > 1 else 0.0
    return deflated_sharpe(own.sharpe, own.length, len(tried), variance, own.skew, own.kurtosis)


def walk_forward(
    strategy_class: type[BaseStrategy],
    bars: "Bars | Market",
    grid: Mapping[str, Any],  # values by parameter: {"length": [10, 20]} or {"length": "10:40:5"}
    costs: Costs = Costs(),
    quantity: int = 1,  # contracts an entry
    *,
    folds: int = 6,
    train: float = 3.0,  # length of the (first) training, in tests
    anchored: bool = False,  # train on everything before the test
    purge: int = 0,  # bars dropped at the training's end
    embargo: int = 0,  # bars dropped at the test's start
    warmup: int | None = None,  # bars before a test for its indicators; all there are when omitted
    metric: str = "sharpe",  # what the choice is made by
    limits: Limits = Limits(),
    thresholds: Thresholds = Thresholds(),
    search: Callable = sweep,  # or `one_by_one`
    progress: Callable[[str], None] = lambda text: None,
    constraint: Constraint | None = None,  # lambda values: values["fast"] < values["slow"]
    min_trades: int = 0,  # in training; a combination with fewer is not chosen
    runs: "Path | str | None" = None,  # run store, in which every search of these bars is counted; none when omitted
) -> "WalkForwardResult":
    "Choose on past bars, judge on the bars that follow, fold by fold."
    market = as_market(bars)
    if not len(market.source):
        raise InputError(
            f"bars of {market.symbol or 'the symbol'}", "none", "must hold at least one bar", "choose a range with data"
        )
    if metric not in METRICS:
        raise InputError("metric", metric, "must be a figure of the sweep", did_you_mean(metric, METRICS))
    kept = checked_grid(strategy_class, grid)
    _, chosen, skipped = combinations_of(strategy_class, kept, constraint)
    if constraint is not None:
        search = partial(search, constraint=constraint)
    how: dict[str, Any] = dict(folds=folds, train=train, anchored=anchored, purge=purge, embargo=embargo)
    cut = folds_of(market.source, **how, calendar=market.calendar)
    done, began = [], time.monotonic()
    for fold in cut:
        pace = _left(time.monotonic() - began, len(done), folds, chosen)
        progress(
            f"fold {fold.number} of {folds}: {fold.train.stop - fold.train.start:,} training bars,"
            f" {fold.test.stop - fold.test.start:,} test bars{pace}"
        )
        done.append(_run_fold(fold, strategy_class, market, kept, costs, quantity, metric, warmup, search, min_trades))
    how |= {"min_trades": min_trades} if min_trades else {}
    how |= {"warmup": warmup, "metric": metric, "combinations": len(chosen), "impossible": len(skipped)}
    found = WalkForwardResult(strategy_class, market, kept, costs, quantity, how, done, limits, thresholds)
    found.constraint = constraint
    if runs is not None:
        found.trials = RunStore(runs).count(_search_of(found))
    return found


def _left(seconds: float, done: int, folds: int, chosen: Sequence) -> str:
    "How fast it goes and how long it will take, once a fold is done."
    if not done or not seconds > 0:
        return ""
    return f"; {len(chosen) * done / seconds:,.0f} combinations/s, about {seconds / done * (folds - done):,.0f} s left"


def _search_of(found: "WalkForwardResult") -> Search:
    "What the run store keeps of it."
    times = found.record.time
    content = {
        "code": strategy_fingerprint(found.strategy_class),
        "grid": found.grid,
        "constraint": fingerprint(found.constraint),
        "costs": vars(found.costs),
        "quantity": found.quantity,
        **found.how,
    }
    return Search(
        content,
        found.market.symbol,
        int(times[0]),
        int(times[-1]),
        found.strategy_class.identity(),
        found.how["combinations"],
        found.stats["sharpe"],
        len(found.record.sessions),
    )


def joined(results: Sequence[BacktestResult]) -> Record:
    "One record of runs that follow each other."
    parts = [one.record for one in results]
    before = np.concatenate([[0.0], np.cumsum([one.equity[-1] for one in parts])])
    equity = np.concatenate([one.equity + start for one, start in zip(parts, before)])
    column = lambda name: np.concatenate([getattr(one, name) for one in parts])
    money = (sum(getattr(one, name) for one in parts) for name in ("commission_usd", "slippage_usd", "open_profit_usd"))
    return Record(
        column("time"),
        equity,
        column("in_position"),
        [date for one in parts for date in one.sessions],
        column("session_usd"),
        column("side"),
        column("pnl_usd"),
        column("held"),
        *money,
    )


@dataclass(repr=False)
class WalkForwardResult:
    "All folds and the verdict on them."

    strategy_class: type[BaseStrategy]
    market: Market
    grid: dict[str, list]
    costs: Costs
    quantity: int
    how: dict[str, Any]  # folds, train, anchored, purge, embargo, warmup, metric, combinations, impossible
    results: list[FoldResult]
    limits: Limits = Limits()
    thresholds: Thresholds = Thresholds()
    constraint: Constraint | None = None
    trials: int = 1  # searches judged by these test bars, this one included

    @cached_property
    def folds(self) -> "pd.DataFrame":
        "One row a fold."
        import pandas as pd

        return pd.DataFrame([self._row(one) for one in self.results])

    def _row(self, one: FoldResult) -> dict[str, Any]:
        time = lambda rows: (
            to_timestamp(int(self.market.source.start[rows.start])),
            to_timestamp(int(self.market.source.end[rows.stop - 1])),
        )
        (train_start, train_end), (test_start, test_end) = time(one.fold.train), time(one.fold.test)
        row = {
            "fold": one.fold.number,
            "train_start": train_start,
            "train_end": train_end,
            "test_start": test_start,
            "test_end": test_end,
        }
        row |= one.parameters or dict.fromkeys(self.grid)
        figures = dict.fromkeys(
            (self.how["metric"], "sharpe", "net_profit_usd", "max_drawdown_usd", "profit_factor", "trades")
        )
        for side, found in (("train", one.trained), ("test", one.test.stats)):
            row |= {f"{side}_{name}": found.get(name, math.nan) for name in figures}
        return row | {"train_deflated_sharpe": one.deflated, "train_plateau": one.plateau, "retention": one.retention}

    @property
    def retention(self) -> np.ndarray:
        "float64[folds], NaN where it is undefined."
        return np.array([one.retention for one in self.results])

    @cached_property
    def record(self) -> Record:
        "All test bars."
        return joined([one.test for one in self.results])

    @property
    def equity(self) -> "pd.Series":
        "Dollars over all test bars, by the bars' ends."
        import pandas as pd

        return pd.Series(
            self.record.equity,
            index=pd.DatetimeIndex(self.record.time.view("M8[ns]"), tz="UTC", name="end"),
            name="equity_usd",
        )

    @cached_property
    def stats(self) -> dict[str, float]:
        """Figures of all test bars, as `performance.FIGURES` explains them, and the probability that their true Sharpe
        ratio is above 0."""
        own = moments(self.record.session_usd)
        return performance(self.record) | {
            "probabilistic_sharpe": probabilistic_sharpe(own.sharpe, own.length, own.skew, own.kurtosis)
        }

    @cached_property
    def gates(self) -> list[Gate]:
        trained = [one.trained.get("sharpe", math.nan) for one in self.results]
        found = evidence_of(self.record.session_usd, self.stats, trained, self.trials, self.limits, self.blocks)
        figures = {**self.stats, **found.figures}
        tests = [one.test.stats["sharpe"] for one in self.results]
        return judge(figures, self.retention, tests, self.limits, self.quantity, found.needs)

    @cached_property
    def blocks(self) -> Blocks | None:
        "Every combination in blocks of all bars; None where no gate asks for them, or the sessions are too few."
        if self.limits.overfitting is None and self.limits.cross_validated is None:
            return None
        return blocks_of(self.strategy_class, self.market, self.grid, self.costs, self.quantity, self.constraint)

    @property
    def passed(self) -> bool:
        return all(gate.passed for gate in self.gates)

    @cached_property
    def remarks(self) -> list[Remark]:
        "On the trades of all tests."
        varied = sum(len(values) > 1 for values in self.grid.values())
        return remarks([one.test for one in self.results], self.thresholds, varied or None)

    def as_dict(self) -> dict[str, Any]:
        """For JSON, without the time of day: the same run gives the same bytes. What is undefined is null, infinity a
        text."""
        from futures_algo.config.scenario import data_range, plain

        trades = self.record.pnl_usd
        luck = {name: found._asdict() for name, found in bootstrap(trades).items()} | {
            "shuffled_max_drawdown_usd": monte_carlo(trades)._asdict()
        }
        return plain(
            {
                "strategy": f"{self.strategy_class.__module__}.{self.strategy_class.__qualname__}",
                "data": data_range(self.market.source).model_dump(),
                "grid": self.grid,
                **self.how,
                "costs": vars(self.costs),
                "quantity": self.quantity,
                "folds": [self._row(one) for one in self.results],
                "retention": self.retention,
                "out_of_sample": self.stats,
                "luck": luck,
                "trials": self.trials,
                "limits": vars(self.limits),
                "gates": [gate._asdict() for gate in self.gates],
                "remarks": [one._asdict() for one in self.remarks],
                "passed": self.passed,
            }
        )

    def save(self, path: "Path | str") -> None:
        "Write `as_dict` as JSON."
        Path(path).write_text(json.dumps(self.as_dict(), indent=1, allow_nan=False) + "\n", encoding="utf-8")

    def plot(self):
        "Equity over all test bars, folds shaded, and the Sharpe ratios of training and test. A matplotlib figure."
        from matplotlib.figure import Figure

        figure, equity = Figure(figsize=(10, 3.4), layout="constrained"), self.equity
        money, ratios = figure.subplots(1, 2, width_ratios=(3, 1))
        money.plot(equity.index, equity.to_numpy(), lw=1)
        money.axhline(0, color="grey", lw=0.6)
        money.set_ylabel("dollars")
        for one in self.results[1::2]:
            money.axvspan(
                *(to_timestamp(int(at)) for at in (one.test.base.start[0], one.test.base.end[-1])),
                color="grey",
                alpha=0.12,
            )
        for name, shift in (("train", -0.2), ("test", 0.2)):
            ratios.bar(self.folds["fold"] + shift, self.folds[f"{name}_sharpe"].astype(float), 0.4, label=name)
        ratios.set(xlabel="fold", ylabel="Sharpe ratio")
        ratios.legend()
        money.tick_params(axis="x", rotation=30)
        return figure

    def __str__(self) -> str:
        kept = ", ".join("undefined" if math.isnan(value) else f"{value:.0%}" for value in self.retention)
        lines = [f"{self.strategy_class.__name__} on {self.market.symbol}, {len(self.results)} folds; retention {kept}"]
        lines += [f"  {'pass' if gate.passed else 'FAIL'}  {gate.name}: {gate.reason}" for gate in self.gates]
        return "\n".join(lines + [f"  note  {one.text}; {one.advice}" for one in self.remarks if one.raised])

    __repr__ = __str__
