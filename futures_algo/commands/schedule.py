"""`schedule install`, `schedule run`, `schedule optimize`."""

import json as json_module
import time
from pathlib import Path
from typing import Any

import typer

from futures_algo.cli import Json, app, finish
from futures_algo.commands import options
from futures_algo.commands.live import Config

schedule = typer.Typer(
    help="Start sessions by the exchange calendar, and the weekly search.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
app.add_typer(schedule, name="schedule")

Live = typer.Option(False, "--live/--dry-run", help="Whether the runs send orders; the config must say so too.")
Now = typer.Option("", "--now", help="Take this moment (with a zone) for the present.", hidden=True)
Data = typer.Option(
    [],
    "--data",
    help="What the weekly search reads, as optimize does; the config's store, brought up to date, when left away.",
)


@schedule.command()
def install(
    config: Path = Config,
    show_only: bool = typer.Option(False, "--print", help="Show the units and write nothing."),
    system: str = typer.Option("", help="systemd or windows; this computer's own when left away."),
    days: int = typer.Option(365, min=1, help="How far ahead sessions are scheduled."),
    early: float = typer.Option(5.0, min=0, help="Minutes before the open at which a run starts."),
    live: bool = Live,
    optimize: str = typer.Option("", help='Also search parameters every week: sat, or "sat 20:00" in exchange time.'),
    data: list[str] = Data,
    limits: str = options.Limits,
    folder: Path | None = typer.Option(None, help="Where the units go; the system's own place when left away."),
    renew: bool = typer.Option(
        False,
        "--renew",
        help="Only when the installed units end within 30 days; the units themselves do this before each session.",
    ),
    now: str = Now,
    json: bool = Json,
) -> None:
    """Write the units that start every session from the exchange calendar (holidays left out, early closes known,
    summer time right) and the weekly search."""
    from futures_algo.core.types import InputError
    from futures_algo.live import schedule as module
    from futures_algo.live.session import find_config, symbols_of

    path, moment, system, more = find_config(config), _moment(now), system or module.own_system(), _search(data, limits)
    if more and not optimize:
        raise InputError("optimize", "", "must name a day when --data or --limits are given", "write --optimize sat")
    job = module.Job(path, dry_run=not live)
    if renew and (there := module.installed(system, job)) and not module.ends_soon(there, moment):
        finish(
            {"system": system, "sessions": len(there), "written": []},
            json,
            lambda _: typer.echo("the installed units reach far enough: nothing to renew"),
        )
        return
    sessions = module.sessions_between(symbols_of(path), moment, days)
    weekly = ["--optimize", optimize, *more] if optimize else []
    renewal = [] if folder else job.renewal(system, days, early, weekly)
    files = module.unit_files(system, job, sessions, early, renewal) | (
        module.weekly_files(system, job, module.Weekly.of(optimize), moment, more) if optimize else {}
    )
    document = {
        "system": system,
        "sessions": len(sessions),
        "first": sessions[0].date,
        "last": sessions[-1].date,
        "units": files,
        "written": [],
    }
    if not show_only:
        document |= _written(module, files, system, folder or module.target_folder(system, job), here=folder is None)
    finish(document, json, lambda document: _show(document, show_only))


def _moment(now: str) -> int:
    from futures_algo.core.types import to_nanos

    return to_nanos(now) if now else time.time_ns()


def _absolute(source: str) -> str:
    "A source of bars whatever folder a unit runs in: FILE or ES.c.0=FILE."
    symbol, equals, file = source.rpartition("=")
    return f"{symbol}{equals}{Path(file).resolve()}"


def _search(data: list[str], limits: str) -> list[str]:
    "The options of the weekly search, checked, as its unit gives them."
    given = options.limits_given(limits)
    return [part for source in data for part in ("--data", _absolute(source))] + (
        ["--limits", json_module.dumps(given)] if given else []
    )


def _written(module: Any, files: dict[str, str], system: str, folder: Path, here: bool) -> dict[str, Any]:
    "Write the units, and make the computer read them where they stand in its own place."
    paths = module.write_units(files, folder)
    commands = module.activation(system, paths)
    if here:
        module.activate(commands)
    return {"written": [str(path) for path in paths], "activate": [" ".join(command) for command in commands]}


def _show(document: dict[str, Any], units: bool) -> None:
    if units:
        for name, content in document["units"].items():
            typer.echo(f"# --- {name}\n{content}")
    typer.echo(f"{document['sessions']} sessions from {document['first']} to {document['last']}")
    for path in document["written"]:
        typer.echo(f"wrote {path}")
    for command in document.get("activate", ()):
        typer.echo(f"activate with: {command}")


@schedule.command()
def run(
    config: Path = Config,
    live: bool = Live,
    output: Path | None = typer.Option(
        None, help="Folder of the notebooks that runs leave; reports/ beside config/ when left away."
    ),
    now: str = Now,
    json: bool = Json,
) -> None:
    "Run the session under way with papermill and nbs/live.ipynb; a closed market is said and ends with 0."
    from futures_algo.live import schedule as module
    from futures_algo.live.session import find_config, run_session

    path, moment = find_config(config), _moment(now)
    warning = module.ends_soon(module.installed(module.own_system(), module.Job(path)), moment)
    if warning:
        typer.echo(f"{warning}; run futures-algo schedule install again", err=True)
    document = run_session(path, not live, output, moment) | {"schedule": warning}
    finish(document, json, lambda document: typer.echo(document["said"]))


@schedule.command()
def optimize(
    config: Path = Config,
    data: list[str] = Data,
    days: int = typer.Option(
        365, min=1, help="History the config's store must hold; what it lacks is fetched, up to databento.max_cost_usd."
    ),
    limits: str = options.Limits,
    store: Path | None = options.Store,
    cluster: str = options.Cluster,
    output: Path | None = typer.Option(
        None, help="Folder of the notebooks that runs leave; reports/ beside config/ when left away."
    ),
    now: str = Now,
    json: bool = Json,
) -> None:
    """The weekly search: nbs/optimize.ipynb under papermill for every enabled strategy; what passed its gates goes into
    live_scenario_config.json."""
    from futures_algo.live.session import find_config
    from futures_algo.live.weekly import said, weekly_search

    given = {
        "limits": options.limits_given(limits),
        "store": str(store.resolve()) if store else "",
        "cluster": cluster,
    }
    document = weekly_search(
        find_config(config),
        [_absolute(source) for source in data],
        days,
        output and output.resolve(),
        _moment(now),
        **given,
    )
    finish(document, json, lambda document: typer.echo("\n".join(said(document))), finding=not document["ok"])
