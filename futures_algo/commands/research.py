"""`backtest and sweep`."""
from pathlib import Path

import typer

from futures_algo.cli import Json, app, finish
from futures_algo.commands.checks import Data, Parameters, Strategy, _arguments


@app.command()
def backtest(
    strategy: str = Strategy, data: Path = Data, parameters: str = Parameters,
    commission: float = typer.Option(2.25, help="Dollars per contract and side."),
    slippage_ticks: float = typer.Option(1.0, help="Ticks each fill is worse than the next bar's open."),
    quantity: int = typer.Option(1, help="Contracts an entry."),
    engine: str = typer.Option("model", help="model, replay (bar by bar) or vectorbt; all find the same trades."),
    html: Path = typer.Option(None, help="Write the whole result as one HTML page."),
    json: bool = Json,
) -> None:
    "What a strategy would have made of recorded bars, in dollars."
    from futures_algo.backtest import backtest as run
    from futures_algo.trades import Costs
    costs = Costs(commission, slippage_ticks)
    subject, bars = _arguments(strategy, data, parameters)
    results = run(subject, bars, costs, quantity, engine)
    result = next(iter(results)) if len(results) == 1 else results
    if html: result.tearsheet(html)
    finish(_document(results, html), json, lambda _: typer.echo(str(result)))


def _document(results, html: Path | None) -> dict:
    "The run, its figures, and each symbol's; what is undefined or infinite is null."
    symbols = {one.symbol: one.as_dict()["stats"] for one in results}
    return results.as_dict() | {"symbols": symbols, "html": str(html) if html else None}
