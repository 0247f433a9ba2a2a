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
