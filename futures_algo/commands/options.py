"""Options that several verbs take, and what their texts stand for."""

import json
import time
from pathlib import Path
from typing import Any

import typer

Strategy = typer.Option(
    ..., "--strategy", help="A shipped one by its name, package.module.Class, or my/file.py:MyStrategy"
)
Parameters = typer.Option("{}", "--parameters", help='JSON of parameters: {"length": 20}')
Data = typer.Option(
    [], "--data", help="DBN files of bars, the folder fetch keeps them in, or ES.c.0=FILE for CSV and Parquet."
)
Zone = typer.Option(None, "--tz", help="Zone of times without one, in CSV and Parquet: America/New_York")
Sample = typer.Option(0, "--sample", help="Sessions of generated bars instead of data, to try it out.")
Symbols = typer.Option([], "--symbol", help="Feed symbols; all of the files by default, ES.c.0 of generated bars.")
Start = typer.Option("", "--start", help="First session date, 2025-03-10.")
End = typer.Option("", "--end", help="Last session date.")
Commission = typer.Option(2.25, "--commission", help="US dollars per contract and side.")
Slippage = typer.Option(
    1.0, "--slippage-ticks", "--slippage", help="Ticks each fill is worse than the next bar's open."
)
Quantity = typer.Option(1, "--quantity", help="Contracts an entry.")
Metric = typer.Option("sharpe", "--metric", help="What combinations are ranked by.")
Store = typer.Option(
    None, "--store", help="Folder to keep finished parts of searches in; the same one goes on where it was killed."
)
Cluster = typer.Option("", "--cluster", help="tcp://host:port of a dask.distributed scheduler to search on.")
Anchored = typer.Option(
    False, "--anchored", help="Train on everything before the test, not on the same length every time."
)
Purge = typer.Option(0, "--purge", help="Bars dropped at each training's end.")
Embargo = typer.Option(0, "--embargo", help="Bars dropped at each test's start.")
Limits = typer.Option(
    "{}",
    "--limits",
    help="Of the gates: default, strict or documents, or JSON or a file of it: "
    '{"preset": "strict", "sharpe": 1.0, "trades": null}; null switches a gate off.',
)
Runs = typer.Option(
    None, "--runs", help="Run store in which every search of the data is counted; data/runs.db by default."
)

GRID = 'length=10:40:5 (or length=10,20,40), once a parameter, or JSON, or a file of it: {"length": [10, 20]}'


class Pace:
    "How fast combinations are done, told now and then."

    def __init__(self, every: float = 10.0):  # seconds between two lines
        self._every, self._began = every, time.monotonic()
        self._last = self._began
        self._first: int | None = None  # done at the first call: what a store gave counts for no speed

    def rate(self, done: int) -> str:
        "Combinations a second since the first call."
        if self._first is None:
            self._first, self._began = done, time.monotonic()
        return f"{self._speed(done):,.0f}/s"

    def _speed(self, done: int) -> float:
        return (done - (self._first or 0)) / max(time.monotonic() - self._began, 1e-9)

    def told(self, done: int, total: int) -> str:
        "A line when it is time for one, else an empty text."
        rate, now = self.rate(done), time.monotonic()
        if now - self._last < self._every and done < total:
            return ""
        self._last = now
        left = (total - done) / speed if (speed := self._speed(done)) > 0 else float("nan")
        rest = f", about {left:,.0f} s left" if 0 < left < float("inf") else ""
        return f"{done:,} of {total:,} combinations, {rate}{rest}"


def json_of(text: str, subject: str, example: str) -> dict[str, Any]:
    "A JSON object, written out or named as a file."
    from futures_algo.config.files import read_json
    from futures_algo.core.types import ConfigError

    if _names_a_file(text):
        return read_json(text)
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(
            subject, text, f"must be JSON ({error}), or a file of it that is there", f"write {example}"
        ) from None
    if not isinstance(found, dict):
        raise ConfigError(subject, text, "must be a JSON object", f"write {example}")
    return found


def _names_a_file(text: str) -> bool:
    return not set("{[=") & set(text) and Path(text).is_file()


def strategy_of(path: str, parameters: str) -> Any:
    "The strategy a command line names."
    from futures_algo.strategies import strategy_class

    return strategy_class(path)(**json_of(parameters, "parameters", '{"length": 20}'))


def limits_of(text: str) -> Any:
    "The gates' limits."
    from futures_algo.research.gates import Limits

    return Limits.of(limits_given(text))


def limits_given(text: str) -> dict[str, Any]:
    "The same as it was written; a word alone is a preset."
    return {"preset": text} if text.isidentifier() else json_of(text, "limits", 'strict, or {"sharpe": 1.0}')


def runs_of(path: Path | None) -> Path:
    "The run store."
    from futures_algo.research.runs import default_runs

    return path or default_runs()


def grid_of(texts: list[str]) -> dict[str, Any]:
    "Values by parameter (or by strategy and parameter), from NAME=VALUES, JSON or a file of it."
    from futures_algo.core.types import ConfigError

    if len(texts) == 1 and (texts[0].lstrip().startswith("{") or _names_a_file(texts[0])):
        return json_of(texts[0], "grid", '{"length": [10, 20]} or length=10:40:5')
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not equals:
            raise ConfigError(
                "grid", text, "must be NAME=VALUES, JSON, or a file of it that is there", "write length=10:40:5"
            )
        found[name.strip()] = values if ":" in values else [_value(value) for value in values.split(",")]
    return found


def _value(text: str) -> Any:
    "A number, true or false, or the text itself."
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text.strip()


def bars_of(data: list[str], sample: int, symbols: list[str], tz: str | None) -> dict[str, Any]:
    "Bars by symbol: of these symbols, or of all there are."
    from futures_algo.core.types import InputError
    from futures_algo.research.optimization import recorded_bars
    from futures_algo.sim.market import sample_bars

    if sample < 0:
        raise InputError("sample", sample, "must be a number of sessions", "write --sample 60")
    if bool(data) == bool(sample):
        raise InputError(
            "data",
            ", ".join(data) or "none",
            "must be given, or --sample, and not both",
            "write --data FILE.dbn.zst, --data data/history, or --sample 60",
        )
    if sample:
        return sample_bars(symbols or ["ES.c.0"], sample)
    return recorded_bars(data, symbols, tz) if symbols else _all_of(data, tz)


def _all_of(data: list[str], tz: str | None) -> dict[str, Any]:
    "Whatever the files hold."
    from futures_algo.core.types import InputError
    from futures_algo.history import read_dbn
    from futures_algo.research.optimization import recorded_bars

    found: dict[str, Any] = {}
    for source in data:
        if Path(source).is_dir():
            raise InputError("symbol", "none", "must be named for a folder of bars", "write --symbol ES.c.0")
        named = "=" in source or not source.endswith((".dbn", ".dbn.zst"))
        for name, bars in (
            recorded_bars([source], [source.rpartition("=")[0]], tz) if named else read_dbn(source)
        ).items():
            if name in found:
                raise InputError(
                    "symbol", name, "must stand in one file only", "join the files with import first", source
                )
            found[name] = bars
    return found
