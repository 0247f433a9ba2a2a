"""The command line: `futures-algo VERB`.

Every verb takes `--json` and then prints exactly one JSON object as the last line of standard output; logs go to
standard error.
Exit codes: 0 fine, 1 a finding (a difference, a leak, a missed target), 2 could not run (bad input, no engine).
Verbs live in `futures_algo.commands`; each imports what it needs when it runs, so that `--help` stays quick.
"""

import importlib
import json
import sys
from collections.abc import Callable
from typing import Any

import typer

from futures_algo.core.contracts import load_products
from futures_algo.core.types import FuturesAlgoError

FINDING, COULD_NOT_RUN = 1, 2
GROUPS = (
    "demo",
    "data",
    "checks",
    "research",
    "optimize",
    "live",
    "broker",
    "report",
    "schedule",
    "doctor",
    "convert",
    "tools",
    "chaos",
)

app = typer.Typer(
    name="futures-algo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Take a futures strategy from a notebook idea to a supervised live session.",
)
Json = typer.Option(False, "--json", help="Print one JSON object as the last line.")


def finish(
    document: dict[str, Any],  # what --json prints
    as_json: bool,
    show: Callable[[dict], Any] | None,  # prints it for a person
    finding: bool = False,  # exit with 1
) -> None:
    "End a verb: print its result in the form asked for and leave with its exit code."
    if as_json:
        print(json.dumps(document, default=str), flush=True)
    elif show:
        show(document)
    if finding:
        raise typer.Exit(FINDING)


def load_verbs() -> None:
    "Import the command groups; each registers its verbs on `app`."
    for group in GROUPS:
        importlib.import_module(f"futures_algo.commands.{group}")


def main(args: list[str] | None = None) -> None:
    """Run one verb; an error we raise on purpose, or a file that cannot be read or written, becomes one clear line and
    exit code 2."""
    args = sys.argv[1:] if args is None else args
    load_verbs()
    try:
        load_products()
        app(args)
    except FuturesAlgoError as error:
        _could_not_run(str(error), type(error).__name__, args)
    except OSError as error:  # a folder that is not there, a full disk, a port in use
        _could_not_run(
            f"{error.filename}: {error.strerror}; name another place" if error.filename else str(error), "OSError", args
        )


def _could_not_run(message: str, kind: str, args: list[str]) -> None:
    "Say why and leave."
    if "--json" in args:
        print(json.dumps({"error": message, "kind": kind}), flush=True)
    print(message, file=sys.stderr)
    raise SystemExit(COULD_NOT_RUN) from None
