"""`schedule install` and `schedule run`."""
import sys
from pathlib import Path

import typer

from futures_algo.cli import Json, app, finish
from futures_algo.commands.live import Config

schedule = typer.Typer(help="Start sessions by the exchange calendar.", no_args_is_help=True, add_completion=False, rich_markup_mode=None)
app.add_typer(schedule, name="schedule")


@schedule.command()
def install(
    config: Path = Config,
    show_only: bool = typer.Option(False, "--print", help="Show the units and write nothing."),
    system: str = typer.Option("windows" if sys.platform == "win32" else "systemd", help="systemd or windows"),
    days: int = typer.Option(365, min=1, help="How far ahead sessions are scheduled."),
    early: float = typer.Option(5.0, min=0, help="Minutes before the open at which a run starts."),
    live: bool = typer.Option(False, "--live/--dry-run", help="Whether the runs send orders; the config must say so too."),
    folder: Path | None = typer.Option(None, help="Where the units go; the system's own place when left away."),
    now: str = typer.Option("", help="Schedule from this moment (with a zone) instead of the present."),
    json: bool = Json,
) -> None:
    "Write the units that start every session from the exchange calendar: holidays left out, early closes known, summer time right."
    import time
    from futures_algo import schedule as module
    from futures_algo.core import to_nanos
    from futures_algo.live_session import find_config, symbols_of
    path = find_config(config)
    job = module.Job(path, dry_run=not live)
    sessions = module.sessions_between(symbols_of(path), to_nanos(now) if now else time.time_ns(), days)
    files = module.unit_files(system, job, sessions, early)
    document = {"system": system, "sessions": len(sessions), "first": sessions[0].date, "last": sessions[-1].date, "units": files, "written": []}
    if not show_only:
        paths = module.write_units(files, folder or module.target_folder(system, job))
        document["written"], document["activate"] = [str(path) for path in paths], [" ".join(command) for command in module.activation(system, paths)]
        if folder is None: module.activate(module.activation(system, paths))
    finish(document, json, lambda document: _show(document, show_only))


def _show(document: dict, units: bool) -> None:
    if units:
        for name, content in document["units"].items(): typer.echo(f"# --- {name}\n{content}")
    typer.echo(f"{document['sessions']} sessions from {document['first']} to {document['last']}")
    for path in document["written"]: typer.echo(f"wrote {path}")
    for command in document.get("activate", ()): typer.echo(f"activate with: {command}")


@schedule.command()
def run(
    config: Path = Config,
    live: bool = typer.Option(False, "--live/--dry-run", help="Send orders; the config must say so too."),
    output: Path | None = typer.Option(None, help="Folder of the notebooks that runs leave; reports/ beside config/ when left away."),
    now: str = typer.Option("", hidden=True),
    json: bool = Json,
) -> None:
    "Run the session under way with papermill and nbs/live.ipynb; a closed market is said and ends with 0."
    import time
    from futures_algo.core import to_nanos
    from futures_algo.live_session import find_config, run_session
    document = run_session(find_config(config), not live, output, to_nanos(now) if now else time.time_ns())
    finish(document, json, lambda document: typer.echo(document["said"]))
