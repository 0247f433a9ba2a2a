"""`run`, `validate-config`, `status`, and the commands a running engine takes."""

import getpass
from pathlib import Path

import typer

from futures_algo.cli import Json, app, finish

Config = typer.Option(Path("config/live_trading_config.json"), "--config", help="The live config.")
SCOPES = ("strategy", "instrument", "account")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
JournalPath = typer.Option(Path("journal/live.db"), "--journal", help="The engine's journal.")
Name = typer.Argument(help="Its name in the config.")
Instrument = typer.Argument(help="The contract, in any spelling.")


@app.command()
def run(
    config: Path = Config,
    live: bool = typer.Option(
        False, "--live/--dry-run", help="Send orders; the config must say so too. Dry run is the default."
    ),
    simulation: str | None = typer.Option(
        None, help="Follow a loopback gateway's recorded time from this UTC moment: 2025-09-12T22:00"
    ),
    supervised: bool = typer.Option(False, "--supervised", help="Start the engine again when it dies or hangs."),
    loglevel: str = typer.Option("INFO", help="DEBUG, INFO, WARNING or ERROR"),
    json: bool = Json,
) -> None:
    "Run the engine on a config until it is stopped."
    import logging

    from futures_algo.core.types import InputError, did_you_mean
    from futures_algo.live.system import LiveTradingSystem

    if loglevel.upper() not in LEVELS:
        raise InputError("loglevel", loglevel, "must be a known one", did_you_mean(loglevel.upper(), LEVELS))
    logging.basicConfig(level=loglevel.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    system = LiveTradingSystem(config, live, None if simulation is None else _utc(simulation))
    if supervised:
        raise typer.Exit(_supervise(system, config, live, simulation, loglevel))
    reason = system.start()
    finish({"stopped": reason}, json, lambda document: typer.echo(document["stopped"]))


def _utc(text: str) -> int:
    "Nanoseconds of a moment written in UTC."
    from futures_algo.core.types import InputError, to_nanos

    try:
        return to_nanos(f"{text.removesuffix('Z')}+00:00")
    except ValueError:
        raise InputError("simulation", text, "must be a moment in UTC", "write --simulation 2025-09-12T22:00") from None


def _supervise(system, config: Path, live: bool, simulation: str | None, loglevel: str) -> int:
    "The same in a process of its own, watched."
    from futures_algo.live.alerts import Watch
    from futures_algo.live.supervisor import Supervisor, engine_command

    more = [] if simulation is None else ["--simulation", simulation]
    with Watch(system.config.engine.journal, system.config.watch):
        return Supervisor(
            engine_command("--config", str(config), "--live" if live else "--dry-run", "--loglevel", loglevel, *more),
            system.config.engine.journal,
        ).run()


@app.command("validate-config")
def validate_config(
    config: Path = typer.Argument(Path("config/live_trading_config.json"), help="The live config."), json: bool = Json
) -> None:
    "Name every mistake in a config: path, value, rule and remedy."
    from futures_algo.config.loading import load_config
    from futures_algo.config.mistakes import ConfigErrors
    from futures_algo.core.types import ConfigError
    from futures_algo.engine.build import check_config

    errors: list[ConfigError] = []
    try:
        check_config(load_config(config))
    except ConfigErrors as found:
        errors = found.errors
    except ConfigError as found:
        errors = [found]

    def show(document: dict) -> None:
        for error in errors:
            typer.echo(str(error))
        if not errors:
            typer.echo("the config is fine")

    finish({"ok": not errors, "errors": [error.as_dict() for error in errors]}, json, show, finding=bool(errors))


@app.command()
def status(journal: Path = JournalPath, json: bool = Json) -> None:
    "What the engine last said of itself, its feed, its broker and its strategies."
    from futures_algo.commands.show import status_rows, table
    from futures_algo.journal.journal import Journal

    with Journal(journal, readonly=True) as reader:
        documents = reader.status()
    finish(documents, json, lambda document: table("Status", status_rows(document), words=True))


@app.command()
def events(
    journal: Path = JournalPath, last: int = typer.Option(30, min=1, help="How many."), json: bool = Json
) -> None:
    "The latest events of the journal, newest last."
    from futures_algo.core.types import to_timestamp
    from futures_algo.journal.journal import Journal

    with Journal(journal, readonly=True) as reader:
        rows = reader.rows("events", order="seq DESC", limit=last)[::-1]
    line = lambda row: (
        f"{to_timestamp(row['at']):%Y-%m-%d %H:%M:%S} {row['level']:<8}{row['kind']:<10} {row['subject']}:"
        f" {row['message']}"
    )
    finish({"events": rows}, json, lambda document: [typer.echo(line(row)) for row in document["events"]])


def send(journal: Path, as_json: bool, verb: str, **args: str) -> None:
    "Append a command and wait for the engine's answer."
    import time

    from futures_algo.core.types import FuturesAlgoError
    from futures_algo.journal.journal import Journal

    if not journal.is_file():
        raise FuturesAlgoError(f"There is no journal at {journal}; start the engine, or name another with --journal")
    with Journal(journal) as book:
        identity, deadline = book.command(verb, getpass.getuser(), **args), time.monotonic() + 10
        while (row := book.one("commands", "id", identity) or {})["state"] == "new" and time.monotonic() < deadline:
            time.sleep(0.05)
        if row["state"] == "new":
            book.acknowledge(identity, "refused", "no engine answered within 10 s")
    if row["state"] == "new":
        raise FuturesAlgoError("No engine answered within 10 s; is one running on this journal?")
    finish(
        {"verb": verb, "state": row["state"], "answer": row["answer"]},
        as_json,
        lambda document: typer.echo(document["answer"]),
        finding=row["state"] != "done",
    )


@app.command()
def halt(
    reason: str = typer.Option("by command", help="Kept in the journal and shown on the page."),
    journal: Path = JournalPath,
    json: bool = Json,
) -> None:
    "Let no entry through; exits pass."
    send(journal, json, "halt", reason=reason)


@app.command()
def resume(journal: Path = JournalPath, json: bool = Json) -> None:
    "Let entries through again."
    send(journal, json, "resume")


@app.command()
def flatten(
    scope: str = typer.Option(..., help="strategy, instrument or account"),
    name: str = typer.Option("", help="The strategy's name in the config, or the contract in any spelling."),
    journal: Path = JournalPath,
    json: bool = Json,
) -> None:
    "Close what the engine's ledgers hold."
    from futures_algo.core.types import InputError, did_you_mean

    if scope not in SCOPES:
        raise InputError("scope", scope, "must be strategy, instrument or account", did_you_mean(scope, SCOPES))
    if scope != "account" and not name:
        raise InputError("name", name, f"must say which {scope}", "add --name")
    send(journal, json, "flatten", scope=scope, name=name)


@app.command()
def enable(strategy: str = Name, journal: Path = JournalPath, json: bool = Json) -> None:
    "Let a strategy enter again."
    send(journal, json, "enable", strategy=strategy)


@app.command()
def disable(strategy: str = Name, journal: Path = JournalPath, json: bool = Json) -> None:
    "Let a strategy enter no more; its exits pass."
    send(journal, json, "disable", strategy=strategy)


@app.command()
def adopt(
    name: str = Instrument,
    strategy: str = typer.Option("manual", help="Whose ledger takes the difference."),
    journal: Path = JournalPath,
    json: bool = Json,
) -> None:
    "Take the difference between the broker's position and the books into a ledger, which opens the lock."
    send(journal, json, "adopt", name=name, strategy=strategy)


@app.command()
def unlock(name: str = Instrument, journal: Path = JournalPath, json: bool = Json) -> None:
    "Open an instrument that is locked; refused while its books differ or an order's outcome is unknown."
    send(journal, json, "unlock", name=name)


@app.command("give-up")
def give_up(
    order: str = typer.Argument(help="Its id, as the lock shows it."), journal: Path = JournalPath, json: bool = Json
) -> None:
    "Say that an order of unknown outcome never arrived: look for it in NinjaTrader first."
    send(journal, json, "give_up", name=order)


@app.command()
def stop(journal: Path = JournalPath, json: bool = Json) -> None:
    "End the engine; on_stop says what becomes of open positions."
    send(journal, json, "stop")


@app.command("reload")
def reload_config(journal: Path = JournalPath, json: bool = Json) -> None:
    "Let the engine look at its config file now; it answers with what it changed, or with what is wrong."
    send(journal, json, "reload")
