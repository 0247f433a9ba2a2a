"""`walk-forward`, `optimize`: parameters that hold on bars they were not chosen on."""

import json as json_module
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from futures_algo.cli import Json, app, finish
from futures_algo.commands import options


def _said_of(name: str, say: Callable[[str], None], text: str) -> None:
    "What is told of one symbol's walk."
    say(f"{name}: {text}")


@app.command()
def optimize(
    config: Path = typer.Option(
        Path("config/live_trading_config.json"), help="The live config whose strategies are searched."
    ),
    strategy: list[str] = typer.Option([], help="Name in the config; all enabled ones by default."),
    data: list[str] = options.Data,
    tz: str | None = options.Zone,
    sample: int = options.Sample,
    grid: list[str] = typer.Option(
        [], help=f"Values to try: {options.GRID}, or the same by strategy name; around the present values by default."
    ),
    metric: str = options.Metric,
    folds: int = typer.Option(4, help="Of the walk-forward."),
    anchored: bool = options.Anchored,
    purge: int = options.Purge,
    embargo: int = options.Embargo,
    limits: str = options.Limits,
    commission: float = options.Commission,
    slippage_ticks: float = options.Slippage,
    store: Path | None = options.Store,
    cluster: str = options.Cluster,
    runs: Path | None = options.Runs,
    out: Path | None = typer.Option(
        None, help="File to write; live_scenario_config.json beside the config by default."
    ),
    accept: bool = typer.Option(False, "--accept", help="Write although a gate failed; the file says so."),
    json: bool = Json,
) -> None:
    "The weekly job: sweep, walk forward, judge by the gates, and write the best parameters for live."
    from futures_algo.research.optimization import plans_of, sample_note
    from futures_algo.research.trades import Costs

    plans, file = (
        plans_of(config, strategy, options.grid_of(grid)),
        out or config.with_name("live_scenario_config.json"),
    )
    symbols = list(dict.fromkeys(symbol for plan in plans for symbol in plan.symbols))
    bars, note = options.bars_of(data, sample, symbols, tz), sample_note(sample) if sample else ""
    how = {
        "metric": metric,
        "folds": folds,
        "anchored": anchored,
        "purge": purge,
        "embargo": embargo,
        "limits": options.limits_of(limits),
        "note": note,
        "accepted": accept,
        "store": store,
        "cluster": cluster,
        "runs": options.runs_of(runs),
    }
    results = {plan.name: _searched(plan, bars, Costs(commission, slippage_ticks), file, json, **how) for plan in plans}
    document = {"ok": all(result["written"] for result in results.values()), "file": str(file), "strategies": results}
    finish(document, json, _show, finding=not document["ok"])


def _searched(plan: Any, bars: dict, costs: Any, file: Path, quiet: bool, **how: Any) -> dict[str, Any]:
    "Search one strategy and keep what was found when it may be kept."
    from futures_algo.research.optimization import keep, optimize

    say = (lambda text: None) if quiet else lambda text: typer.echo(text, err=True)
    found = optimize(plan, bars, costs, progress=say, **how)
    return found.as_dict() | {"written": keep(found, file)}


def _show(document: dict[str, Any]) -> None:
    "A line a gate, and what became of the file."
    for name, result in document["strategies"].items():
        chosen = ", ".join(f"{parameter} {value}" for parameter, value in result["best"].items())
        typer.echo(f"{name}: best of {result['combinations']:,} by {result['metric']} {result['value']:.3g}: {chosen}")
        for gate in result["gates"]:
            typer.echo(f"  {'pass' if gate['passed'] else 'FAIL'}  {gate['symbol']} {gate['name']}: {gate['reason']}")
        done = (
            f"written to {document['file']}"
            if result["written"]
            else "not written; the file stays as it was (--accept writes it all the same)"
        )
        typer.echo(f"  {done}")


@app.command("walk-forward")
def walk_forward(
    strategy: str = options.Strategy,
    grid: list[str] = typer.Option(..., help=f"Values to try: {options.GRID}"),
    data: list[str] = options.Data,
    tz: str | None = options.Zone,
    sample: int = options.Sample,
    symbol: list[str] = options.Symbols,
    folds: int = typer.Option(6, help="Tests, one after the other."),
    train: float = typer.Option(3.0, help="Length of the (first) training, in tests."),
    anchored: bool = options.Anchored,
    purge: int = options.Purge,
    embargo: int = options.Embargo,
    metric: str = options.Metric,
    quantity: int = options.Quantity,
    commission: float = options.Commission,
    slippage_ticks: float = options.Slippage,
    limits: str = options.Limits,
    store: Path | None = options.Store,
    cluster: str = options.Cluster,
    runs: Path | None = options.Runs,
    out: Path | None = typer.Option(None, help="Write everything as JSON; the same run writes the same bytes."),
    json: bool = Json,
) -> None:
    "Choose parameters on past bars, judge them on the bars that follow, fold by fold, and end with the gates' verdict."
    from functools import partial

    from futures_algo.research.sweep import sweep
    from futures_algo.research.trades import Costs
    from futures_algo.research.walkforward import walk_forward as walk
    from futures_algo.strategies import strategy_class

    kind, tried, held, costs = (
        strategy_class(strategy),
        options.grid_of(grid),
        options.limits_of(limits),
        Costs(commission, slippage_ticks),
    )
    say = (lambda text: None) if json else lambda text: typer.echo(text, err=True)
    results = {}
    for name, bars in options.bars_of(data, sample, symbol, tz).items():
        results[name] = walk(
            kind,
            bars,
            tried,
            costs,
            quantity,
            folds=folds,
            train=train,
            anchored=anchored,
            purge=purge,
            embargo=embargo,
            metric=metric,
            limits=held,
            search=partial(sweep, store=store, cluster=cluster),
            runs=options.runs_of(runs),
            progress=partial(_said_of, name, say),
        )
    document: dict[str, Any] = {
        "passed": all(result.passed for result in results.values()),
        "symbols": {name: result.as_dict() for name, result in results.items()},
    }
    if out:
        out.write_text(json_module.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    finish(document, json, lambda _: _show_walks(results, document["passed"]), finding=not document["passed"])


def _show_walks(results: dict[str, Any], passed: bool) -> None:
    "Each symbol's gates and notes, then the verdict."
    for result in results.values():
        typer.echo(str(result))
    typer.echo("passed: every gate held" if passed else "not passed: a gate failed")
