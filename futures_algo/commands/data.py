"""`import`, `validate-data`, `fetch`, `sessions`: bars in, and what is wrong with them."""

from collections import Counter
from pathlib import Path
from typing import Any

import typer

from futures_algo.cli import Json, app, finish
from futures_algo.commands.options import Zone

Symbol = typer.Option(None, help="Feed symbol or contract of a file that does not name one: NQ.c.0")
_PRICES = ("open", "high", "low", "close")
FAULTS_SHOWN = 10  # of one rule, in a terminal
Format = typer.Option("", "--format", help="ninjatrader, tradestation, sierra, tradingview, databento or firstrate.")
Stamp = typer.Option(None, "--stamp", help="What a time marks: the open (start) or the close (end) of its bar.")
Length = typer.Option(None, "--timeframe", help="1min; the most frequent step by default.")
Columns = typer.Option([], "--columns", help="Ours=the file's: time=caldt,volume=Menge; 1, 2, ... without a header.")
Sep = typer.Option("", "--sep", help="Between cells: comma, semicolon, tab, pipe, space, or the sign.")
Decimal = typer.Option("", "--decimal", help="Decimal sign: . or ,")
Thousands = typer.Option("", "--thousands", help="Between thousands: , . ' or space")
Header = typer.Option(None, "--header/--no-header", help="Whether the first line names the columns.")
DayFirst = typer.Option("", "--dayfirst", help="yes: 06/07/2025 is 6 July; no: it is June 7th.")
Encoding = typer.Option("", "--encoding", help="utf-8, utf-16, cp1252 ...")
NewestFirst = typer.Option(False, "--newest-first", help="The file runs back in time: turn it round.")
Dedupe = typer.Option("", "--dedupe", help="exact: of rows equal in every column keep one.")
Accept = typer.Option([], "--accept", help="A kind of impossible price that is true here: jump, spike ...")


@app.command("import")
def import_bars(
    file: Path = typer.Argument(help="Text (CSV and the like), Parquet or DBN of bars."),
    symbol: str = typer.Option(..., help="Feed symbol or contract the bars belong to: NQ.c.0"),
    out: Path | None = typer.Option(None, help="File to write: bars.dbn.zst, or bars.parquet for any timeframe."),
    look: bool = typer.Option(False, "--look", help="Only show how the file is understood; nothing is written."),
    format: str = Format,
    tz: str | None = Zone,
    stamp: str | None = Stamp,
    timeframe: str | None = Length,
    columns: list[str] = Columns,
    sep: str = Sep,
    decimal: str = Decimal,
    thousands: str = Thousands,
    header: bool | None = Header,
    dayfirst: str = DayFirst,
    encoding: str = Encoding,
    newest_first: bool = NewestFirst,
    dedupe: str = Dedupe,
    accept: list[str] = Accept,
    contract: str = typer.Option("", help="The one contract of all rows: NQZ5"),
    rolls: str = typer.Option("", help="split or adjust what the vendor rolled without saying so."),
    json: bool = Json,
) -> None:
    "Read bars from a file of any shape, check them, and write them as DBN or Parquet."
    from futures_algo.core.types import InputError
    from futures_algo.history import import_file
    from futures_algo.history.preview import preview

    said = dict(
        format=format,
        tz=tz,
        stamp=stamp,
        timeframe=timeframe,
        sep=sep,
        decimal=decimal,
        thousands=thousands,
        # fmt: skip
        header=header,
        encoding=encoding,
        newest_first=newest_first,
        dedupe=dedupe,
        contract=contract,
    )
    reading = _reading(said, columns, dayfirst, accept)
    if look:
        finish(preview(file, symbol, reading, rolls=rolls).as_dict(), json, _show_preview)
        return
    if out is None:
        raise InputError("out", None, "must name the file to write", "write --out bars.dbn.zst, or --look to see first")
    result = import_file(file, symbol, out, reading, rolls=rolls).as_dict()
    finish(result, json, lambda document: _show_import(file, document), finding=bool(result["faults"]))


def _reading(said: dict[str, Any], columns: list[str], dayfirst: str, accept: list[str]) -> Any:
    "What a command line says of a file."
    from futures_algo.history.sources import columns_of, reading_of

    named = columns_of(part for text in columns for part in text.split(","))
    texts = [f"dayfirst={dayfirst}"] if dayfirst else []
    kinds = tuple(kind for text in accept for kind in text.split(","))
    return reading_of(texts, **said, columns=named or None, accept=kinds)


def _show_preview(found: dict[str, Any]) -> None:
    "The first rows as understood, and what else an import would say."
    from futures_algo.commands.show import counted, table

    for note in found["notes"]:
        typer.echo(f"  {note}")
    typer.echo(
        f"{'start UTC':<21}{'in Chicago':<25}" + "".join(f"{name:>12}" for name in (*_PRICES, "volume", "contract"))
    )
    for row in found["first"]:
        cells = "".join(f"{row[name]!s:>12}" for name in (*_PRICES, "volume", "contract"))
        typer.echo(f"{row['start']:<21}{row['exchange']:<25}{cells}")
    table(
        f"{Path(found['path']).name} as it is understood",
        [
            ("symbol", found["symbol"]),
            ("timeframe", found["timeframe"]),
            ("bars", f"{found['rows']:,}"),
            ("first start", found["start"]),
            ("last end", found["end"]),
            (f"contracts (from {found['contracts_from']})", ", ".join(found["contracts"])),
            ("gaps inside sessions", f"{found['gap_count']:,} ({found['missing_bars']:,} bars)"),
            ("faults", counted(found["faults"])),
        ],
    )
    for gap in found["gaps"]:
        typer.echo(f"  no bar from {gap['start']} to {gap['end']}: {gap['missing']:,} missing")


def _show_import(file: Path, found: dict[str, Any]) -> None:
    "What was written, and what to look at before trusting it."
    from futures_algo.commands.show import counted, table

    table(
        f"Imported {file.name}",
        [
            ("written to", found["path"]),
            ("symbol", found["symbol"]),
            ("schema", found["schema"]),
            ("bars", f"{found['rows']:,}"),
            ("first start", found["start"]),
            ("last end", found["end"]),
            (f"contracts (from {found['contracts_from']})", ", ".join(found["contracts"])),
            (
                "minutes of trading without a bar" if found["schema"] == "ohlcv-1m" else "missing bars",
                f"{found['missing_bars']:,}",
            ),
            ("faults", counted(found["faults"])),
        ],
    )
    for note in found["notes"]:
        typer.echo(f"  {note}")
    if outside := found["faults"].get("session"):
        typer.echo(
            f"{outside:,} bars lie outside trading sessions: is --tz right, and --stamp? See futures-algo sessions and"
            " validate-data"
        )
    if rolled := found["faults"].get("roll"):
        typer.echo(
            f"{rolled:,} steps look like a vendor's roll: --rolls split names the contracts, --rolls adjust joins them"
        )


@app.command("validate-data")
def validate_data(
    file: Path = typer.Argument(help="Text (CSV and the like), Parquet or DBN of bars."),
    symbol: str | None = Symbol,
    format: str = Format,
    tz: str | None = Zone,
    stamp: str | None = Stamp,
    timeframe: str | None = Length,
    columns: list[str] = Columns,
    sep: str = Sep,
    decimal: str = Decimal,
    thousands: str = Thousands,
    header: bool | None = Header,
    dayfirst: str = DayFirst,
    encoding: str = Encoding,
    newest_first: bool = NewestFirst,
    dedupe: str = Dedupe,
    max_gap: str = typer.Option("60min", help="A longer hole inside sessions is a fault."),
    json: bool = Json,
) -> None:
    "Name every fault of a file of bars: order, duplicates, impossible prices, off-tick prices, rolls, gaps."
    from futures_algo.history import validate_file

    said = dict(format=format, tz=tz, stamp=stamp, timeframe=timeframe, sep=sep, decimal=decimal, thousands=thousands,
                header=header, encoding=encoding, newest_first=newest_first, dedupe=dedupe)  # fmt: skip
    document = validate_file(file, symbol, _reading(said, columns, dayfirst, []), max_gap=max_gap).as_dict()
    finish(document, json, _show_faults, finding=not document["ok"])


def _show_faults(document: dict[str, Any]) -> None:
    "How many faults of each kind, the first of each, and how many in all."
    kinds: Counter[str] = Counter()
    for series in document["series"]:
        kinds.update(series["counts"])
    for kind, count in kinds.most_common():
        typer.echo(f"{count:>9,} {kind}")
    seen: Counter[str] = Counter()
    for error in document["errors"]:
        seen[error["rule"]] += 1
        if seen[error["rule"]] <= FAULTS_SHOWN:
            typer.echo(f"{error['path']}: {error['rule']}, but was {error['value']}; {error['remedy']}")
    for rule, count in seen.items():
        if count > FAULTS_SHOWN:
            typer.echo(f"... and {count - FAULTS_SHOWN:,} more: {rule} (--json lists them)")
    faults = sum(kinds.values()) or len(document["errors"])
    plural = "s" if faults > 1 else ""
    typer.echo("no fault found" if document["ok"] else f"{faults:,} fault{plural}")


@app.command()
def fetch(
    symbols: list[str] = typer.Argument(help="Feed symbols or contracts: ES.c.0 NQZ5"),
    start: str = typer.Option(..., help="First date, or a moment with its zone."),
    end: str = typer.Option(..., help="The date after the last."),
    schema: str = typer.Option("ohlcv-1m", help="ohlcv-1s, ohlcv-1m, ohlcv-1h or ohlcv-1d"),
    max_cost: float = typer.Option(0.0, help="US dollars; above it nothing is fetched."),
    store: Path = typer.Option(Path("data/history"), help="Folder the bars are kept in."),
    out: Path | None = typer.Option(None, help="Also write the range as one DBN file: bars.dbn.zst"),
    url: str | None = typer.Option(None, help="Another server that speaks the API, such as the loopback one."),
    json: bool = Json,
) -> None:
    """Fetch what the store lacks from Databento (key in DATABENTO_API_KEY); the cost is asked first and must not exceed
    --max-cost."""
    from futures_algo.commands.show import demo_progress, table
    from futures_algo.config.files import environment
    from futures_algo.core.types import InputError
    from futures_algo.history import BarStore, export_range, historical_client
    from futures_algo.history.fetch import fetch as fetch_bars

    key = environment(Path("config")).get("DATABENTO_API_KEY", "").strip()
    if not key:
        raise InputError(
            "DATABENTO_API_KEY", key, "must be set", "export it, or write it into .env here or into config/.env"
        )
    kept = BarStore(store)
    with demo_progress(1, quiet=json, what="parts") as progress:
        result = fetch_bars(
            symbols,
            start,
            end,
            client=historical_client(key, url),
            store=kept,
            schema=schema,
            max_cost_usd=max_cost,
            progress=lambda done, total, label: progress(done, total),
        )
    document = result.as_dict() | ({"out": str(export_range(kept, symbols, schema, start, end, out))} if out else {})

    def show(document: dict) -> None:
        table(
            "Fetched",
            [
                ("cost", f"${document['quote']['cost_usd']:.2f}"),
                *((symbol, f"{rows:,} new bars") for symbol, rows in document["rows"].items()),
            ],
        )

    finish(document, json, show)


def _take_calendar(file: Path, as_json: bool) -> None:
    from futures_algo.core.calendar_file import reviewed_until, take_calendar

    kept, rows = take_calendar(file)
    found = {"calendar": str(kept), "rows": rows, "until": reviewed_until().isoformat()}
    finish(
        found,
        as_json,
        lambda document: typer.echo(f"{rows:,} sessions taken, kept in {kept}; known to {found['until']}"),
    )


@app.command()
def sessions(
    symbol: str = typer.Argument("", help="ES, ES.c.0 or ESZ5"),
    start: str = typer.Option("", help="First date: 2025-11-24"),
    end: str | None = typer.Option(None, help="Last date; the first when omitted."),
    update: Path | None = typer.Option(
        None, "--update", help="Take a newer calendar: CSV of group, session, open, close, over the shipped one."
    ),
    json: bool = Json,
) -> None:
    "Show when a product trades: segments of each session in exchange time; or take a newer calendar."
    import datetime as dt

    from futures_algo.core.sessions import EXCHANGE_ZONE, SessionCalendar
    from futures_algo.core.types import DAY, InputError

    if update is not None:
        _take_calendar(update, json)
        return
    if not symbol or not start:
        raise InputError("sessions", symbol or "nothing", "must name a symbol and --start", "or --update FILE")
    try:
        days = [dt.date.fromisoformat(day) for day in (start, end or start)]
    except ValueError:
        raise InputError("date", f"{start} {end or ''}".strip(), "must be a date", "write it as 2025-11-24") from None
    if days[1] < days[0]:
        raise InputError("end", end, f"must not lie before the start, {start}", "exchange the two")
    first, last = (int(dt.datetime.combine(day, dt.time(), EXCHANGE_ZONE).timestamp()) * 10**9 for day in days)
    local = lambda ns: dt.datetime.fromtimestamp(ns // 10**9, EXCHANGE_ZONE).isoformat(timespec="minutes")
    found = [
        s
        for s in SessionCalendar.of(symbol).segments(first - DAY, last + DAY)
        if str(days[0]) <= s.session <= str(days[1])
    ]
    rows = [
        {
            "session": s.session,
            "open": local(s.open),
            "close": local(s.close),
            "minutes": (s.close - s.open) // (60 * 10**9),
        }
        for s in found
    ]

    def show(document: dict) -> None:
        for row in document["segments"]:
            typer.echo(f"{row['session']}  {row['open']} -> {row['close']}  {row['minutes']:>5} min")
        if not document["segments"]:
            typer.echo("no session")

    finish({"symbol": symbol, "segments": rows}, json, show)
