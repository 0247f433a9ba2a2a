"""`backtest and sweep`."""
from pathlib import Path

import typer

from futures_algo.cli import Json, app, finish
from futures_algo.commands.checks import Parameters, Strategy


@app.command()
def backtest(
    strategy: str = Strategy,
    data: Path = typer.Option(None, help="DBN file of bars."),
    sample: int = typer.Option(0, help="Sessions of generated bars instead of data, to try it out."),
    parameters: str = Parameters,
    symbol: list[str] = typer.Option([], help="Feed symbols; all of the file by default, ES.c.0 of generated bars."),
    start: str = typer.Option("", help="First session date, 2025-03-10."),
    end: str = typer.Option("", help="Last session date."),
    commission: float = typer.Option(2.25, help="Dollars per contract and side."),
    slippage_ticks: float = typer.Option(1.0, help="Ticks each fill is worse than the next bar's open."),
    quantity: int = typer.Option(1, help="Contracts an entry."),
    engine: str = typer.Option("model", help="model, replay (bar by bar) or vectorbt; all find the same trades."),
    html: Path = typer.Option(None, help="Write the whole result as one HTML page."),
    json: bool = Json,
) -> None:
    "What a strategy would have made of recorded bars, in dollars."
    from futures_algo.backtest import backtest as run
    from futures_algo.backtest import bars_of_sessions
    from futures_algo.trades import Costs
    costs, subject = Costs(commission, slippage_ticks), _strategy(strategy, parameters)
    bars = [bars_of_sessions(found, start, end) for found in _bars(data, sample, symbol).values()]
    results = run(subject, bars, costs, quantity, engine)
    result = next(iter(results)) if len(results) == 1 else results
    if html: result.tearsheet(html)
    finish(_document(results, html), json, lambda _: typer.echo(str(result)))


def _strategy(path: str, parameters: str):
    "The strategy a command line names."
    import json
    from futures_algo.core import ConfigError
    from futures_algo.strategies import strategy_class
    try: given = json.loads(parameters)
    except json.JSONDecodeError as error: raise ConfigError("parameters", parameters, f"must be JSON ({error})", 'write {"length": 20}') from None
    if not isinstance(given, dict): raise ConfigError("parameters", parameters, "must be a JSON object", 'write {"length": 20}')
    return strategy_class(path)(**given)


def _bars(data: Path | None, sample: int, symbols: list[str]) -> dict:
    "Bars by symbol, of a file or generated."
    from futures_algo.core import InputError, did_you_mean
    from futures_algo.history import read_dbn
    from futures_algo.sim.market import generate_minutes
    if (data is None) == (sample == 0): raise InputError("data", str(data), "must be given, or --sample, and not both", "write --data FILE.dbn.zst, or --sample 60")
    if data is None: return {symbol: generate_minutes(symbol, sample) for symbol in symbols or ["ES.c.0"]}
    found = read_dbn(data)
    for symbol in symbols:
        if symbol not in found: raise InputError("symbol", symbol, f"must be in {data.name}", did_you_mean(symbol, found))
    return {symbol: found[symbol] for symbol in symbols or found}


def _document(results, html: Path | None) -> dict:
    "The run, its figures, and each symbol's; what is undefined or infinite is null."
    symbols = {one.symbol: one.as_dict()["stats"] for one in results}
    return results.as_dict() | {"symbols": symbols, "html": str(html) if html else None}


@app.command()
def sweep(
    strategy: str = Strategy,
    grid: list[str] = typer.Option(..., help='Values to try: length=10:40:5 (or length=10,20,40), once a parameter, or JSON: {"length": [10, 20]}'),
    data: Path = typer.Option(None, help="DBN file of bars."),
    sample: int = typer.Option(0, help="Sessions of generated bars instead of data, to try it out."),
    symbol: str = typer.Option("", help="Feed symbol; the file's only one by default, ES.c.0 of generated bars."),
    start: str = typer.Option("", help="First session date, 2025-03-10."),
    end: str = typer.Option("", help="Last session date."),
    commission: float = typer.Option(2.25, help="Dollars per contract and side."),
    slippage_ticks: float = typer.Option(1.0, help="Ticks each fill is worse than the next bar's open."),
    quantity: int = typer.Option(1, help="Contracts an entry."),
    metric: str = typer.Option("sharpe", help="What combinations are ranked by."),
    best: int = typer.Option(10, help="How many of the best to show."),
    store: Path = typer.Option(None, help="Folder to keep finished parts in; the same sweep goes on where it was killed."),
    cluster: str = typer.Option("", help="tcp://host:port of a dask.distributed scheduler to run on."),
    csv: Path = typer.Option(None, help="Write all combinations with their figures."),
    json: bool = Json,
) -> None:
    "Every combination of a grid of parameters, ranked."
    from futures_algo.backtest import bars_of_sessions
    from futures_algo.strategies import strategy_class
    from futures_algo.sweep import sweep as run
    from futures_algo.trades import Costs
    kind, bars = strategy_class(strategy), bars_of_sessions(_one_symbol(_bars(data, sample, [symbol] if symbol else [])), start, end)
    announce = lambda text: typer.echo(text, err=True)
    with _progress() as told:
        result = run(kind, bars, _grid(grid), Costs(commission, slippage_ticks), quantity, metric=metric, store=store, cluster=cluster, announce=announce, progress=told)
    if csv: result.table.to_csv(csv, index=False)
    ranked = result.best(n=best)
    finish(_sweep_document(result, ranked, bars.symbol, csv), json, lambda _: typer.echo(ranked.to_string()))


def _grid(texts: list[str]) -> dict:
    "Values by parameter, from NAME=VALUES or JSON."
    import json
    from futures_algo.core import ConfigError
    if texts[0].lstrip().startswith("{"):
        try: return json.loads(texts[0])
        except json.JSONDecodeError as error: raise ConfigError("grid", texts[0], f"must be JSON ({error})", 'write {"length": [10, 20]} or length=10:40:5') from None
    found = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not equals: raise ConfigError("grid", text, "must be NAME=VALUES", "write length=10:40:5")
        found[name.strip()] = values if ":" in values else [_number(value) for value in values.split(",")]
    return found


def _number(text: str):
    "A number, true or false, or the text itself."
    import json
    try: return json.loads(text)
    except json.JSONDecodeError: return text.strip()


def _one_symbol(found: dict):
    "The bars of the one symbol there is."
    from futures_algo.core import InputError
    if len(found) != 1: raise InputError("symbol", ", ".join(found), "must be one for a sweep", f"write --symbol {next(iter(found), 'ES.c.0')}")
    return next(iter(found.values()))


def _progress():
    "A progress bar on standard error, as a callback of done and total; nothing where that is no terminal."
    from contextlib import contextmanager
    from rich.console import Console
    from rich.progress import Progress

    @contextmanager
    def shown():
        console = Console(stderr=True)
        with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("combinations")
            yield lambda done, total: bar.update(task, completed=done, total=total)
    return shown()


def _sweep_document(result, ranked, symbol: str, csv: Path | None) -> dict:
    "What was run and the best rows; what is undefined or infinite is null."
    import math
    plain = lambda value: None if isinstance(value, float) and not math.isfinite(value) else value
    rows = [{"row": int(row)} | {name: plain(value) for name, value in found.items()} for row, found in zip(ranked.index, ranked.to_dict("records"))]
    return {"strategy": result.kind.__name__, "symbol": symbol, "grid": result.grid, "metric": result.metric, "combinations": result.plan.combinations, "skipped": result.plan.skipped,
            "skipped_reasons": sorted({reason for _, reason in result.skipped})[:10], "bars": result.plan.bars, "best": rows, "csv": str(csv) if csv else None}
