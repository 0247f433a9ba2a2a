"""`doctor`."""

from pathlib import Path

import typer

from futures_algo.cli import Json, app, finish
from futures_algo.commands.live import Config

_MARKS = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}


@app.command()
def doctor(
    config: Path = Config,
    offline: bool = typer.Option(False, "--offline", help="Ask no server."),
    port: int = typer.Option(5006, help="Of the monitor's page."),
    ntp: str = typer.Option("pool.ntp.org", help="Time server, host or host:port."),
    json: bool = Json,
) -> None:
    "Is this computer ready for a session? A failing check names its remedy and ends with exit code 1."
    from futures_algo.live.doctor import as_dict, examine

    found = examine(config.resolve(), offline=offline, port=port, ntp=ntp)

    def show(document: dict) -> None:
        for one in found:
            typer.echo(
                f"{_MARKS[one.status]} {one.name}: {one.detail}" + (f"\n     -> {one.remedy}" if one.remedy else "")
            )

    document = as_dict(found)
    finish(document, json, show, finding=not document["ok"])
