"""`parity`, `lookahead`, `warmup`: what a user proves of a strategy before trusting it."""

import typer

from futures_algo.cli import Json, app, finish
from futures_algo.commands.options import Parameters, Read, Strategy, Zone, all_of, strategy_of

Data = typer.Option(..., "--data", help="Bars of any timeframe: DBN, Parquet that import wrote, or ES.c.0=FILE.")


def _arguments(strategy: str, data: str, parameters: str, tz: str | None, read: list[str]):
    "The strategy and the bars of each symbol."
    from futures_algo.history.sources import reading_of

    return strategy_of(strategy, parameters), all_of([data], reading_of(read, tz=tz))


def _finish(reports: dict, as_json: bool) -> None:
    "All symbols' reports as one."
    document = {
        "checked": sum(r.checked for r in reports.values()),
        "differences": [d for r in reports.values() for d in r.as_dict()["differences"]],
    }

    def show(document: dict) -> None:
        for symbol, report in reports.items():
            typer.echo(f"{symbol}: {report}")

    finish(document, as_json, show, finding=bool(document["differences"]))


@app.command()
def parity(
    strategy: str = Strategy,
    data: str = Data,
    tz: str | None = Zone,
    read: list[str] = Read,
    parameters: str = Parameters,
    json: bool = Json,
) -> None:
    "Sweep form and bar-by-bar replay must give identical signals; the first difference is named with its cause."
    from futures_algo.strategies import checks

    subject, bars = _arguments(strategy, data, parameters, tz, read)
    _finish({symbol: checks.parity(subject, found) for symbol, found in bars.items()}, json)


@app.command()
def lookahead(
    strategy: str = Strategy,
    data: str = Data,
    tz: str | None = Zone,
    read: list[str] = Read,
    parameters: str = Parameters,
    cuts: int = typer.Option(80, help="How many times the bars are cut and everything rebuilt."),
    json: bool = Json,
) -> None:
    "Cut the bars, rebuild everything, and name whatever a later bar changed."
    from futures_algo.strategies import checks

    subject, bars = _arguments(strategy, data, parameters, tz, read)
    _finish({symbol: checks.lookahead(subject, found, cuts) for symbol, found in bars.items()}, json)


@app.command()
def warmup(
    strategy: str = Strategy,
    data: str = Data,
    tz: str | None = Zone,
    read: list[str] = Read,
    parameters: str = Parameters,
    json: bool = Json,
) -> None:
    "How signals change with the amount of history, and how many bars to trust."
    from futures_algo.strategies import checks

    subject, bars = _arguments(strategy, data, parameters, tz, read)
    reports = {symbol: checks.warmup(subject, found) for symbol, found in bars.items()}

    def show(document: dict) -> None:
        for symbol, report in reports.items():
            typer.echo(f"{symbol}: {report}")

    finish({symbol: report.as_dict() for symbol, report in reports.items()}, json, show)
