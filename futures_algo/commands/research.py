"""`backtest` and `sweep`: what a strategy, or a grid of its parameters, would have made."""

from pathlib import Path
from typing import Any

import typer

from futures_algo.cli import Json, app, finish
from futures_algo.commands import options


@app.command()
def backtest(
    strategy: str = options.Strategy,
    data: list[str] = options.Data,
    tz: str | None = options.Zone,
    sample: int = options.Sample,
    parameters: str = options.Parameters,
    symbol: list[str] = options.Symbols,
    start: str = options.Start,
    end: str = options.End,
    commission: float = options.Commission,
    slippage_ticks: float = options.Slippage,
    quantity: int = options.Quantity,
    engine: str = typer.Option("model", help="model, replay (bar by bar) or vectorbt; all find the same trades."),
    html: Path = typer.Option(None, help="Write the whole result as one HTML page."),
    json: bool = Json,
) -> None:
    "What a strategy would have made of recorded bars, in dollars."
    from futures_algo.research.backtest import BacktestResults, bars_of_sessions
    from futures_algo.research.backtest import backtest as run
    from futures_algo.research.trades import Costs

    costs, subject = Costs(commission, slippage_ticks), options.strategy_of(strategy, parameters)
    bars = [bars_of_sessions(found, start, end) for found in options.bars_of(data, sample, symbol, tz).values()]
    results = run(subject, bars, costs, quantity, engine)
    result = next(iter(results)) if isinstance(results, BacktestResults) and len(results) == 1 else results
    if html:
        result.tearsheet(html)
    finish(_document(results, html), json, lambda _: typer.echo(str(result)))


def _document(results: Any, html: Path | None) -> dict[str, Any]:
    "The run, its figures, and each symbol's; what is undefined or infinite is null."
    symbols = {one.symbol: one.as_dict()["stats"] for one in results}
    return results.as_dict() | {"symbols": symbols, "html": str(html) if html else None}


@app.command()
def sweep(
    strategy: str = options.Strategy,
    grid: list[str] = typer.Option(..., help=f"Values to try: {options.GRID}"),
    data: list[str] = options.Data,
    tz: str | None = options.Zone,
    sample: int = options.Sample,
    symbol: str = typer.Option("", help="Feed symbol; the files' only one by default, ES.c.0 of generated bars."),
    start: str = options.Start,
    end: str = options.End,
    commission: float = options.Commission,
    slippage_ticks: float = options.Slippage,
    quantity: int = options.Quantity,
    metric: str = options.Metric,
    best: int = typer.Option(10, help="How many of the best to show."),
    store: Path | None = options.Store,
    cluster: str = options.Cluster,
    csv: Path = typer.Option(None, help="Write all combinations with their figures."),
    json: bool = Json,
) -> None:
    "Every combination of a grid of parameters, ranked."
    from futures_algo.research.backtest import bars_of_sessions
    from futures_algo.research.sweep import sweep as run
    from futures_algo.research.trades import Costs
    from futures_algo.strategies import strategy_class

    kind, bars = (
        strategy_class(strategy),
        bars_of_sessions(_one_symbol(options.bars_of(data, sample, [symbol] if symbol else [], tz)), start, end),
    )
    announce = lambda text: typer.echo(text, err=True)
    with _progress() as told:
        result = run(
            kind,
            bars,
            options.grid_of(grid),
            Costs(commission, slippage_ticks),
            quantity,
            metric=metric,
            store=store,
            cluster=cluster,
            announce=announce,
            progress=told,
        )
    if csv:
        result.table.to_csv(csv, index=False)
    ranked = result.best(n=best)
    finish(_sweep_document(result, ranked, bars.symbol, csv), json, lambda _: typer.echo(ranked.to_string()))


def _one_symbol(found: dict[str, Any]) -> Any:
    "The bars of the one symbol there is."
    from futures_algo.core.types import InputError

    if len(found) != 1:
        raise InputError(
            "symbol", ", ".join(found), "must be one for a sweep", f"write --symbol {next(iter(found), 'ES.c.0')}"
        )
    return next(iter(found.values()))


def _progress() -> Any:
    "Combinations done, their rate and the time left on standard error, as a callback of done and total."
    from contextlib import contextmanager

    from rich.console import Console
    from rich.progress import Progress, TextColumn

    @contextmanager
    def shown():
        console, pace = Console(stderr=True), options.Pace()
        if not console.is_terminal:
            yield lambda done, total: typer.echo(text, err=True) if (text := pace.told(done, total)) else None
            return
        with Progress(*Progress.get_default_columns(), TextColumn("{task.fields[rate]}"), console=console) as bar:
            task = bar.add_task("combinations", rate="")
            yield lambda done, total: bar.update(task, completed=done, total=total, rate=pace.rate(done))

    return shown()


def _sweep_document(result: Any, ranked: Any, symbol: str, csv: Path | None) -> dict[str, Any]:
    "What was run and the best rows; what is undefined or infinite is null."
    import math

    plain = lambda value: None if isinstance(value, float) and not math.isfinite(value) else value
    rows = [
        {"row": int(row)} | {name: plain(value) for name, value in found.items()}
        for row, found in zip(ranked.index, ranked.to_dict("records"))
    ]
    return {
        "strategy": result.kind.__name__,
        "symbol": symbol,
        "grid": result.grid,
        "metric": result.metric,
        "combinations": result.plan.combinations,
        "skipped": result.plan.skipped,
        "skipped_reasons": sorted({reason for _, reason in result.skipped})[:10],
        "bars": result.plan.bars,
        "best": rows,
        "csv": str(csv) if csv else None,
    }
