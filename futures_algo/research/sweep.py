"""Thousands of parameter combinations at the speed of compiled code, with the trades and dollars of a backtest."""

import itertools
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from futures_algo.core.types import Bars, InputError, content_hash, did_you_mean
from futures_algo.indicators.base import Parameter
from futures_algo.research.sweep_columns import SharedColumns, run
from futures_algo.research.sweep_kernel import METRICS
from futures_algo.research.trades import Costs
from futures_algo.strategies.base import BaseStrategy
from futures_algo.strategies.batch import Market, as_market

if TYPE_CHECKING:
    import pandas as pd


def values_of(
    text: str,  # "10:40:5" (low:high:step, both ends) or "10,20,40"
    param: Parameter,
    name: str,
) -> list[Any]:
    "The values a text stands for, checked."
    spread, parts = ":" in text, [part.strip() for part in text.replace(":", ",").split(",")]
    if isinstance(param.default, str):
        return [param.check(part, name) for part in parts]
    if isinstance(param.default, bool):
        return [param.check({"true": True, "false": False}.get(part.lower(), part), name) for part in parts]
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        raise InputError(f"grid {name}", text, "must be numbers", "write 10:40:5 or 10,20,40") from None
    if spread:
        numbers = _steps(numbers, text, name)
    whole = isinstance(param.default, int)
    return [
        param.check(int(number) if whole and number == int(number) else number, name)
        for number in dict.fromkeys(numbers)
    ]


def _steps(bounds: list[float], text: str, name: str) -> list[float]:
    if len(bounds) != 3 or not all(map(math.isfinite, bounds)) or bounds[2] <= 0 or bounds[1] < bounds[0]:
        raise InputError(f"grid {name}", text, "must be low:high:step with a step above 0", "write 10:40:5")
    low, high, step = bounds
    _refuse_count(int((high - low) / step + 1e-9) + 1, MOST, f"values of {text}")
    return [round(low + k * step, 10) for k in range(int((high - low) / step + 1e-9) + 1)]


def checked_grid(
    kind: type[BaseStrategy],
    grid: Mapping[str, Any],  # values by parameter; a text is read by `values_of`
) -> dict[str, list[Any]]:
    "The grid with every value in its parameter's type and range."
    if not grid:
        raise InputError("grid", {}, "must name at least one parameter", 'write {"length": [10, 15, 20]}')
    found = {}
    for name, values in grid.items():
        if name not in kind.params:
            raise InputError("grid", name, f"must name a parameter of {kind.__name__}", did_you_mean(name, kind.params))
        if isinstance(values, str) and not kind.params[name].choices:
            values = values_of(values, kind.params[name], name)
        if isinstance(values, (str, Integral, float)) or not len(values):
            raise InputError(f"grid {name}", values, "must be a list of values to try", f'write {{"{name}": [10, 20]}}')
        found[name] = list(dict.fromkeys(kind.params[name].check(value, f"{kind.__name__} {name}") for value in values))
    return found


MOST = 1_000_000  # combinations built without being asked for by number
OBJECT = 1_500  # bytes a combination takes as an object, about, its row of figures included
Constraint = Callable[[dict[str, Any]], bool]  # whether to try a combination, told its values by parameter


def _refuse_count(count: int, most: int, what: str = "combinations") -> None:
    "Too many, told before one of them is built."
    if count > most:
        raise InputError(
            "grid",
            f"{count:,} {what}, about {count * OBJECT / 1e9:,.1f} GB",
            f"must be at most {most:,}",
            "use fewer values or larger steps, a constraint=, or pass most= when it is meant",
        )


def combinations_of(
    kind: type[BaseStrategy],
    grid: Mapping[str, Sequence],
    constraint: Constraint | None = None,
    most: int = MOST,  # more are refused, before any is built where there is no constraint
) -> tuple[list[BaseStrategy], list[dict[str, Any]], list[tuple[dict[str, Any], str]]]:
    "Strategies and their parameters in grid order, and what was left out with the reason."
    if constraint is None:
        _refuse_count(count := math.prod(map(len, grid.values())), most)
        _refuse_memory(count * OBJECT)
    strategies, chosen, skipped = [], [], []
    for values in (dict(zip(grid, row)) for row in itertools.product(*grid.values())):
        if constraint is not None and not constraint(dict(values)):
            continue
        _refuse_count(len(chosen) + 1, most)
        try:
            strategies.append(kind(**values))
        except InputError as error:
            skipped.append((values, str(error)))
        else:
            chosen.append(values)
    if not chosen and not skipped:
        raise InputError("constraint", constraint, "must hold for one combination of the grid", "loosen it")
    if not chosen:
        raise InputError("grid", dict(grid), f"must have a combination that can run; the first cannot: {skipped[0][1]}")
    return strategies, chosen, skipped


MEMORY = 400_000_000  # bytes of indicator columns kept at once; more are calculated again when needed
PART = 100  # combinations run, and stored, at a time


@dataclass(frozen=True)
class SweepPlan:
    "What a sweep would take."

    combinations: int  # that can run
    skipped: int  # left out
    bars: int
    parts: int
    threads: int
    bytes: int  # at most in memory, beside the bars
    seconds: float  # expected; NaN where it was not tried

    def __str__(self) -> str:
        left_out = f" ({self.skipped:,} impossible ones left out)" if self.skipped else ""
        took = f", about {self.seconds:,.1f} s" if self.seconds == self.seconds else ""
        return (
            f"{self.combinations:,} combinations{left_out} x {self.bars:,} bars in {self.parts:,} parts on"
            f" {self.threads} threads, at most {self.bytes / 1e6:,.0f} MB{took}"
        )


def _parts_of(needs: Sequence[Mapping[Any, int]], memory: int) -> list[tuple[int, int]]:
    "First and stop of each part: few enough combinations that their indicators fit, and that a kill costs little."
    most, first = max(1, min(PART, -(-len(needs) // 4))), 0
    parts: list[tuple[int, int]] = []
    known: dict[Any, int] = {}
    for row, own in enumerate(needs):
        if row > first and (row - first == most or sum({**known, **own}.values()) > memory):
            parts.append((first, row))
            first, known = row, {}
        known |= own
    return parts + [(first, len(needs))]


def _bytes_of(one: Any, bars: int) -> int:
    return 24 * bars * len(one.outputs)  # itself, as seen from the base bars, and a bar earlier


class _Run:
    "One sweep: what is asked, and its figures."

    def __init__(
        self,
        kind: type[BaseStrategy],
        market: Market,
        grid: Mapping[str, Any],
        costs: Costs,
        quantity: int,
        rows: slice | None,
        threads: int | None,
        memory: int,
        constraint: Constraint | None = None,
        most: int = MOST,
    ):
        _refuse(kind, market, costs, quantity, memory, rows)
        self.kind, self.market, self.costs, self.quantity, self.rows, self.memory = (
            kind,
            market,
            costs,
            int(quantity),
            rows,
            int(memory),
        )
        self.grid = checked_grid(kind, grid)
        self.strategies, self.chosen, self.skipped = combinations_of(kind, self.grid, constraint, most)
        self.constrained = constraint is not None
        self.shared = SharedColumns(market, rows)
        self.needs = [self._bytes(strategy) for strategy in self.strategies]
        self.parts = _parts_of(self.needs, self.memory)
        self.threads = threads or min(_cores(), len(self.chosen))
        self.figures = np.full((len(self.chosen), len(METRICS)), np.nan)

    def _bytes(self, strategy: BaseStrategy) -> dict[Any, int]:
        "Memory of each indicator it needs."
        numbers = self.shared.needs(strategy)
        return {
            (timeframe, number): _bytes_of(one, len(self.market.source))
            for timeframe, found in strategy.plan.items()
            for number, one in zip(numbers[timeframe], found)
        }

    def plan(self, tried: bool = True) -> SweepPlan:
        bars, known = len(self.market.source), {key: size for own in self.needs for key, size in own.items()}
        each = 24 * bars  # conditions and what they are made of, a thread
        need = (
            min(sum(known.values()), self.memory + max(known.values(), default=0))
            + bars * 100
            + self.threads * each
            + self.figures.nbytes
        )
        _refuse_memory(need)
        return SweepPlan(
            len(self.chosen),
            len(self.skipped),
            bars,
            len(self.parts),
            self.threads,
            need,
            self._try(len(known)) if tried else math.nan,
        )

    def _try(self, indicators: int) -> float:
        "Seconds expected, from the first combination."
        strategy = self.strategies[0]

        def seconds() -> float:
            began = time.perf_counter()
            run(strategy, self.shared, self.costs, self.quantity)
            return time.perf_counter() - began

        seconds()  # compiles
        self.shared.trim(0)
        cold, warm = seconds(), seconds()
        own = max(1, sum(len(found) for found in strategy.plan.values()))
        return (warm * len(self.chosen) + max(0.0, cold - warm) / own * indicators) / self.threads

    def part(self, first: int, stop: int, pool: ThreadPoolExecutor | None) -> None:
        "Indicators of these rows once, then their runs."
        strategies = self.strategies[first:stop]
        new = self.shared.indicators(strategies)
        if self.shared.bytes + sum(_bytes_of(one, len(self.market.source)) for _, one in new) > self.memory:
            self.shared.trim(0)
            new = self.shared.indicators(strategies)
        for timeframe in dict.fromkeys(timeframe for timeframe, _ in new):
            self.market.bars(timeframe)
        _all(
            pool,
            self.threads,
            len(new) + 1,
            lambda at: self.market.indicator(*new[at - 1]) if at else self._begin(strategies[0]),
        )
        _all(
            pool,
            self.threads,
            len(strategies),
            lambda at: run(strategies[at], self.shared, self.costs, self.quantity, self.figures[first + at]),
        )

    def _begin(self, strategy: BaseStrategy) -> None:
        "What every run reads, made beside the indicators: the first run would make it while all others wait."
        self.shared.stepped(strategy.base_timeframe, strategy.exit_rules(self.market.symbol).before_close)


def _all(pool: ThreadPoolExecutor | None, threads: int, count: int, work: Callable[[int], Any]) -> None:
    "Call with 0, 1, ... from all threads; the first error is raised."
    if pool is None:
        for at in range(count):
            work(at)
        return
    numbers = itertools.count()

    def some() -> None:
        while (at := next(numbers)) < count:
            work(at)

    for future in [pool.submit(some) for _ in range(min(threads, count))]:
        future.result()


def _cores() -> int:
    "Cores this process may use."
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _refuse(kind: Any, market: Market, costs: Any, quantity: Any, memory: int, rows: slice | None) -> None:
    "What cannot be run, before any work."
    if not (isinstance(kind, type) and issubclass(kind, BaseStrategy)):
        raise InputError(
            "strategy", kind, "must be a class derived from BaseStrategy", "pass the class, not an object of it"
        )
    if not isinstance(costs, Costs):
        raise InputError("costs", costs, "must be Costs", "write Costs(commission_usd=2.25, slippage_ticks=1)")
    if not isinstance(quantity, Integral) or quantity < 1:
        raise InputError("quantity", quantity, "must be a whole number of contracts, 1 or more", "write quantity=1")
    if memory < 1_000_000:
        raise InputError("memory", memory, "must be at least a million bytes", f"the default is {MEMORY:,}")
    if not len(market.source):
        raise InputError(
            f"bars of {market.symbol or 'the symbol'}", "none", "must hold at least one bar", "choose a range with data"
        )
    if rows is not None and (rows.step not in (None, 1) or not len(range(*rows.indices(len(market.source))))):
        raise InputError(
            "rows",
            rows,
            f"must be a slice of consecutive rows of the {len(market.source):,} bars",
            "write slice(1000, 2000)",
        )


def _refuse_memory(need: int) -> None:
    import psutil

    free = psutil.virtual_memory().available
    if need > free:
        raise InputError(
            "memory",
            f"{need / 1e6:,.0f} MB",
            f"must fit into the {free / 1e6:,.0f} MB that are free",
            "pass a smaller memory=, or fewer bars",
        )


LOWER_IS_BETTER = ("max_drawdown_usd", "commission_usd")


@dataclass
class SweepResult:
    "Every combination with its figures."

    kind: type[BaseStrategy]
    grid: dict[str, list[Any]]
    table: "pd.DataFrame" = field(repr=False)  # parameters, then `METRICS`; one combination a row, in grid order
    skipped: list[tuple[dict[str, Any], str]] = field(repr=False)  # combinations left out, and why
    metric: str  # what `best` goes by
    plan: SweepPlan
    min_trades: int = 0  # a combination with fewer is no candidate

    def best(self, metric: str = "", n: int = 1) -> "pd.DataFrame":
        "The best rows, best first, with their row numbers; undefined ones are no candidates."
        name = _known_metric(metric or self.metric)
        defined = self.table[self.table[name].notna() & (self.table["trades"] >= self.min_trades)]
        return defined.sort_values(name, ascending=name in LOWER_IS_BETTER, kind="stable").head(n)

    def strategy(self, row: int) -> BaseStrategy:
        "The strategy of a row of the table."
        return self.kind(**self.parameters(row))

    def parameters(self, row: int) -> dict[str, Any]:
        "The varied parameters of a row."
        return {
            name: value.item() if isinstance(value := self.table[name].iloc[row], np.generic) else value
            for name in self.grid
        }


def _known_metric(name: str) -> str:
    if name not in METRICS:
        raise InputError("metric", name, "must be a figure of the sweep", did_you_mean(name, METRICS))
    return name


def _result(work: _Run, metric: str, plan: SweepPlan, min_trades: int) -> SweepResult:
    import pandas as pd

    table = pd.concat(
        [pd.DataFrame(work.chosen), pd.DataFrame(work.figures, columns=list(METRICS)).astype({"trades": np.int64})],
        axis=1,
    )
    return SweepResult(work.kind, work.grid, table, work.skipped, metric, plan, min_trades)


def sweep(
    strategy_class: type[BaseStrategy],
    bars: "Bars | Market",  # base bars or finer
    grid: Mapping[str, Any],  # values by parameter: {"length": [10, 20]} or {"length": "10:40:5"}
    costs: Costs = Costs(),
    quantity: int = 1,  # contracts an entry
    *,
    metric: str = "sharpe",  # what `best` goes by
    rows: (
        slice | None
    ) = None,  # of the bars: those traded, flat at their start; the bars before only warm indicators up
    store: "Path | str | None" = None,  # folder to keep finished parts in; the same sweep takes them up again
    cluster: str = "",  # tcp://host:port of a dask.distributed scheduler to run on
    threads: int | None = None,  # all cores by default
    memory: int = MEMORY,  # bytes of indicator columns kept at once
    constraint: Constraint | None = None,  # lambda values: values["fast"] < values["slow"]
    min_trades: int = 0,  # fewer, and a combination is no candidate for the best
    most: int = MOST,  # combinations; more are refused before they are built
    announce: Callable[[str], Any] | None = None,  # told the plan before the start
    progress: Callable[[int, int], Any] | None = None,  # told combinations done, and of how many
) -> SweepResult:
    "Run every combination of a grid."
    work = _Run(strategy_class, as_market(bars), grid, costs, quantity, rows, threads, memory, constraint, most)
    _known_metric(metric)
    plan = work.plan(tried=announce is not None and not cluster)
    if announce:
        announce(str(plan))
    kept = _store(work, store) if store else None
    left, told = _taken_up(work, kept), progress or (lambda done, total: None)
    finished = len(work.chosen) - sum(stop - first for first, stop in left)
    if finished:
        told(finished, len(work.chosen))

    def done(first: int, stop: int) -> None:
        nonlocal finished
        finished += stop - first
        if kept:
            kept.save(first, stop, work.figures[first:stop])
        told(finished, len(work.chosen))

    (_on_cluster(work, cluster, left, done) if cluster else _on_threads(work, left, done))
    return _result(work, metric, plan, min_trades)


def _on_threads(work: _Run, left: list[tuple[int, int]], done: Callable[[int, int], None]) -> None:
    if work.threads == 1:
        for part in left:
            work.part(*part, None)
            done(*part)
        return
    with ThreadPoolExecutor(work.threads, "sweep") as pool:
        for part in left:
            work.part(*part, pool)
            done(*part)


def _on_cluster(work: _Run, address: str, left: list[tuple[int, int]], done: Callable[[int, int], None]) -> None:
    from futures_algo.research.sweep_cluster import Job, run_parts
    from futures_algo.research.sweep_store import bars_hash

    job = Job(
        f"{bars_hash(work.market.source)} {work.rows}",
        work.market.source,
        work.market.calendar,
        work.kind,
        work.costs,
        work.quantity,
        work.rows,
        work.memory,
    )

    def write(part: tuple[int, int], figures: np.ndarray) -> None:
        work.figures[slice(*part)] = figures
        done(*part)

    run_parts(address, job, {part: work.chosen[slice(*part)] for part in left}, write)


def _store(work: _Run, folder: "Path | str") -> Any:
    from futures_algo.config.fingerprint import strategy_fingerprint
    from futures_algo.research.sweep_store import PartStore, bars_hash

    rows = None if work.rows is None else list(work.rows.indices(len(work.market.source)))[:2]
    return PartStore(
        folder,
        {
            "strategy": work.kind.identity(),
            "code": strategy_fingerprint(work.kind),
            "bars": bars_hash(work.market.source),
            "rows": rows,
            "grid": work.grid,
            "chosen": content_hash(work.chosen) if work.constrained else "all",
            "costs": vars(work.costs),
            "quantity": work.quantity,
        },
    )


def _taken_up(work: _Run, kept: Any) -> list[tuple[int, int]]:
    "Parts still to run; what is stored is read."
    left = []
    for part in work.parts:
        if kept is None or (found := kept.load(*part)) is None:
            left.append(part)
        else:
            work.figures[slice(*part)] = found
    return left
