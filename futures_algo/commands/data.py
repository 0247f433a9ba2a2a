"""`import`, `validate-data`, `sessions`: bars in, and what is wrong with them."""
from pathlib import Path

import typer

from futures_algo.cli import Json, app, finish


@app.command("import")
def import_bars(
    file: Path = typer.Argument(help="CSV, Parquet or DBN of bars."),
    symbol: str = typer.Option(..., help="Feed symbol the bars belong to: NQ.c.0"),
    out: Path = typer.Option(..., help="DBN file to write: bars.dbn.zst"),
    tz: str | None = typer.Option(None, help="Zone of times without one: America/New_York"),
    stamp: str = typer.Option("start", help="What a time marks: the start or the close of its bar."),
    json: bool = Json,
) -> None:
    "Read bars from a file of any shape, check them, and write them as DBN."
    from futures_algo.commands.show import table
    from futures_algo.history import import_file
    result = import_file(file, symbol, out, tz=tz, stamp=stamp).as_dict()
    finish(result, json, lambda document: table(f"Imported {file.name}", list(document.items())))


@app.command("validate-data")
def validate_data(file: Path, symbol: str | None = typer.Option(None), tz: str | None = typer.Option(None), json: bool = Json) -> None:
    "Name every fault of a file of bars: order, duplicates, impossible prices, off-tick prices, gaps."
    from futures_algo.history import validate_file
    document = validate_file(file, symbol, tz=tz).as_dict()
    def show(document: dict) -> None:
        for error in document["errors"]: typer.echo(f"{error['path']}: {error['value']}; {error['rule']}; {error['remedy']}")
        typer.echo("no fault found" if document["ok"] else f"{len(document['errors'])} faults")
    finish(document, json, show, finding=not document["ok"])


@app.command()
def sessions(
    symbol: str = typer.Argument(help="ES, ES.c.0 or ESZ5"),
    start: str = typer.Option(..., help="First date: 2025-11-24"),
    end: str | None = typer.Option(None, help="Last date; the first when omitted."),
    json: bool = Json,
) -> None:
    "Show when a product trades: segments of each session in exchange time."
    import datetime as dt
    from futures_algo.core import DAY, InputError
    from futures_algo.sessions import EXCHANGE_ZONE, SessionCalendar
    try: first, last = (int(dt.datetime.combine(dt.date.fromisoformat(d), dt.time(), EXCHANGE_ZONE).timestamp()) * 10**9 for d in (start, end or start))
    except ValueError: raise InputError("date", f"{start} {end or ''}".strip(), "must be a date", "write it as 2025-11-24") from None
    local = lambda ns: dt.datetime.fromtimestamp(ns // 10**9, EXCHANGE_ZONE).isoformat(timespec="minutes")
    wanted = {start, end or start}
    found = [s for s in SessionCalendar.of(symbol).segments(first - DAY, last + DAY) if min(wanted) <= s.session <= max(wanted)]
    rows = [{"session": s.session, "open": local(s.open), "close": local(s.close), "minutes": (s.close - s.open) // (60 * 10**9)} for s in found]
    def show(document: dict) -> None:
        for row in document["segments"]: typer.echo(f"{row['session']}  {row['open']} -> {row['close']}  {row['minutes']:>5} min")
        if not document["segments"]: typer.echo("no session")
    finish({"symbol": symbol, "segments": rows}, json, show)
