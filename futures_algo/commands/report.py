"""`report`."""

from pathlib import Path

import typer

from futures_algo.cli import Json, app, finish
from futures_algo.commands import options
from futures_algo.commands.live import JournalPath


def _recorded(data: str | None, tz: str | None, read: list[str]) -> dict | None:
    from futures_algo.history.sources import reading_of

    return options.all_of([data], reading_of(read, tz=tz)) if data else None


@app.command()
def report(
    journal: Path = JournalPath,
    session: str = typer.Option(
        "", "--session", "--date", help="Date the session closes on, YYYY-MM-DD; the newest one when left away."
    ),
    data: str | None = typer.Option(
        None,
        help="Recorded bars to compare with: DBN, Parquet that import wrote, or ES.c.0=FILE; the journal's own bars "
        "when"
        " left away.",
    ),
    tz: str | None = options.Zone,
    read: list[str] = options.Read,
    config: Path | None = typer.Option(None, help="Judge by this config instead of those in the journal."),
    html: Path | None = typer.Option(None, help="Write the report as a page here."),
    late: float = typer.Option(5.0, help="Seconds after its end from which a live bar is late."),
    json: bool = Json,
) -> None:
    "Explain a session from its journal; a difference without a cause ends with exit code 1."
    from futures_algo.config.loading import read_config
    from futures_algo.report.report import session_report

    found = session_report(
        journal, _recorded(data, tz, read), read_config(config) if config else None, session=session, late_s=late
    )
    if html:
        html.write_text(found.html(), encoding="utf-8")

    def show(document: dict) -> None:
        from futures_algo.commands.show import dollars

        typer.echo(str(found))
        for row in found.pnl:
            typer.echo(
                f"  {row['strategy']} {row['product']}: model {dollars(row['model_usd'])}, account"
                f" {dollars(row['account_usd'])}, net {dollars(row['net_usd'])} {row['causes'] or ''}".rstrip()
            )

    finish(found.as_dict(), json, show, finding=not found.ok)
