"""`walk-forward`, `optimize`: parameters that hold on bars they were not chosen on."""
import json as json_module
from pathlib import Path
from typing import Any

import typer

from futures_algo.cli import Json, app, finish


@app.command()
def optimize(
    config: Path = typer.Option(Path("config/live_trading_config.json"), help="The live config whose strategies are searched."),
    strategy: list[str] = typer.Option([], help="Name in the config; all enabled ones by default."),
    data: list[str] = typer.Option([], help="DBN files of bars, the folder fetch keeps them in, or ES.c.0=FILE for CSV and Parquet."),
    tz: str | None = typer.Option(None, help="Zone of times without one, in CSV and Parquet: America/New_York"),
    sample: int = typer.Option(0, help="Sessions of generated bars instead of data, to try it out."),
    grid: str = typer.Option("{}", help='JSON or a file of it: {"length": [10, 15, 20]}, or the same by strategy name; around the present values by default.'),
    metric: str = typer.Option("sharpe", help="What combinations are ranked by."),
    folds: int = typer.Option(4, help="Of the walk-forward."),
    anchored: bool = typer.Option(False, "--anchored", help="Train on everything before the test, not on the same length every time."),
    purge: int = typer.Option(0, help="Bars dropped at each training's end."),
    embargo: int = typer.Option(0, help="Bars dropped at each test's start."),
    limits: str = typer.Option("{}", help='Of the gates, JSON or a file of it: {"sharpe": 1.0, "trades": null}; null switches a gate off.'),
    commission: float = typer.Option(2.25, help="US dollars per contract and side."),
    slippage: float = typer.Option(1.0, help="Ticks each fill is worse."),
    out: Path | None = typer.Option(None, help="File to write; live_scenario_config.json beside the config by default."),
    accept: bool = typer.Option(False, "--accept", help="Write although a gate failed; the file says so."),
    json: bool = Json,
) -> None:
    "The weekly job: sweep, walk forward, judge by the gates, and write the best parameters for live."
    from futures_algo.optimization import plans_of
    from futures_algo.research_gates import Limits
    from futures_algo.trades import Costs
    plans, file = plans_of(config, strategy, _grid(grid)), out or config.with_name("live_scenario_config.json")
    symbols = list(dict.fromkeys(symbol for plan in plans for symbol in plan.symbols))
    bars, note = _bars(data, sample, symbols, tz)
    how = {"metric": metric, "folds": folds, "anchored": anchored, "purge": purge, "embargo": embargo, "limits": Limits.of(_grid(limits, "limits", '{"sharpe": 1.0}')), "note": note, "accepted": accept}
    results = {plan.name: _searched(plan, bars, Costs(commission, slippage), file, json, **how) for plan in plans}
    document = {"ok": all(result["written"] for result in results.values()), "file": str(file), "strategies": results}
    finish(document, json, _show, finding=not document["ok"])


def _grid(text: str, subject: str = "grid", example: str = '{"length": [10, 15, 20]}') -> dict[str, Any]:
    "Values by parameter, or by strategy and parameter, from JSON or a file of it."
    from futures_algo.config import read_json
    from futures_algo.core import ConfigError
    if not text.lstrip().startswith("{"): return read_json(text)
    try: return json_module.loads(text)
    except json_module.JSONDecodeError as error: raise ConfigError(subject, text, f"must be JSON ({error})", f"write {example}") from None


def _bars(data: list[str], sample: int, symbols: list[str], tz: str | None) -> tuple[dict, str]:
    "Bars by symbol, and what the file must say of them."
    from futures_algo.core import InputError
    from futures_algo.optimization import recorded_bars, sample_bars
    if sample < 0: raise InputError("sample", sample, "must be a number of sessions", "write --sample 60")
    if bool(data) == bool(sample): raise InputError("data", data, "must be given, or --sample, and not both", "write --data FILE.dbn.zst, --data data/history, or --sample 60")
    if data: return recorded_bars(data, symbols, tz), ""
    return sample_bars(symbols, sample), f"made from {sample} sessions of generated sample bars, not from a market: an example of the form, nothing to trade"


def _searched(plan: Any, bars: dict, costs: Any, file: Path, quiet: bool, **how: Any) -> dict[str, Any]:
    "Search one strategy and keep what was found when it may be kept."
    from futures_algo.optimization import keep, optimize
    say = (lambda text: None) if quiet else lambda text: typer.echo(text, err=True)
    found = optimize(plan, bars, costs, progress=say, **how)
    return found.as_dict() | {"written": keep(found, file)}


def _show(document: dict[str, Any]) -> None:
    "A line a gate, and what became of the file."
    for name, result in document["strategies"].items():
        chosen = ", ".join(f"{parameter} {value}" for parameter, value in result["best"].items())
        typer.echo(f"{name}: best of {result['combinations']:,} by {result['metric']} {result['value']:.3g}: {chosen}")
        for gate in result["gates"]: typer.echo(f"  {'pass' if gate['passed'] else 'FAIL'}  {gate['symbol']} {gate['name']}: {gate['reason']}")
        done = f"written to {document['file']}" if result["written"] else "not written; the file stays as it was (--accept writes it all the same)"
        typer.echo(f"  {done}")


@app.command("walk-forward")
def walk_forward(
    strategy: str = typer.Option(..., help="A shipped one by its name, package.module.Class, or my/file.py:MyStrategy"),
    grid: str = typer.Option(..., help='JSON or a file of it: {"length": [10, 15, 20]}'),
    data: list[str] = typer.Option([], help="DBN files of bars, the folder fetch keeps them in, or ES.c.0=FILE for CSV and Parquet."),
    tz: str | None = typer.Option(None, help="Zone of times without one, in CSV and Parquet: America/New_York"),
    sample: int = typer.Option(0, help="Sessions of generated bars instead of data, to try it out."),
    symbol: list[str] = typer.Option([], help="Feed symbols; all of the files by default, ES.c.0 of generated bars."),
    folds: int = typer.Option(6, help="Tests, one after the other."),
    train: float = typer.Option(3.0, help="Length of the (first) training, in tests."),
    anchored: bool = typer.Option(False, "--anchored", help="Train on everything before the test, not on the same length every time."),
    purge: int = typer.Option(0, help="Bars dropped at each training's end."),
    embargo: int = typer.Option(0, help="Bars dropped at each test's start."),
    metric: str = typer.Option("sharpe", help="What the parameters are chosen by."),
    quantity: int = typer.Option(1, help="Contracts an entry."),
    commission: float = typer.Option(2.25, help="US dollars per contract and side."),
    slippage: float = typer.Option(1.0, help="Ticks each fill is worse."),
    limits: str = typer.Option("{}", help='JSON or a file of it: {"sharpe": 1.0, "trades": null}; null switches a gate off.'),
    out: Path | None = typer.Option(None, help="Write everything as JSON; the same run writes the same bytes."),
    json: bool = Json,
) -> None:
    "Choose parameters on past bars, judge them on the bars that follow, fold by fold, and end with the gates' verdict."
    from futures_algo.research_gates import Limits
    from futures_algo.strategies import strategy_class
    from futures_algo.trades import Costs
    from futures_algo.walkforward import walk_forward as walk
    kind, tried, held, costs = strategy_class(strategy), _grid(grid), Limits.of(_grid(limits, "limits", '{"sharpe": 1.0}')), Costs(commission, slippage)
    say = (lambda text: None) if json else lambda text: typer.echo(text, err=True)
    results = {}
    for name, bars in _series(data, sample, symbol, tz).items():
        results[name] = walk(kind, bars, tried, costs, quantity, folds=folds, train=train, anchored=anchored, purge=purge, embargo=embargo, metric=metric, limits=held,
                             progress=lambda text, name=name: say(f"{name}: {text}"))
    document = {"passed": all(result.passed for result in results.values()), "symbols": {name: result.as_dict() for name, result in results.items()}}
    if out: out.write_text(json_module.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    finish(document, json, lambda _: _show_walks(results, document["passed"]), finding=not document["passed"])


def _series(data: list[str], sample: int, symbols: list[str], tz: str | None) -> dict[str, Any]:
    "Bars of these symbols, or of all there are."
    from futures_algo.core import InputError
    from futures_algo.history import read_dbn
    if symbols or sample or not data: return _bars(data, sample, symbols or ["ES.c.0"], tz)[0]
    found: dict[str, Any] = {}
    for source in data:
        if Path(source).is_dir(): raise InputError("symbol", "none", "must be named for a folder of bars", "write --symbol ES.c.0")
        own = read_dbn(source) if source.endswith((".dbn", ".dbn.zst")) and "=" not in source else _bars([source], 0, [source.rpartition("=")[0]], tz)[0]
        for name in own:
            if name in found: raise InputError("symbol", name, "must stand in one file only", "join the files with import first", source)
        found |= own
    return found


def _show_walks(results: dict[str, Any], passed: bool) -> None:
    "Each symbol's gates and notes, then the verdict."
    for result in results.values(): typer.echo(str(result))
    typer.echo("passed: every gate held" if passed else "not passed: a gate failed")
