"""What was searched on which data, in one SQLite file: how often bars were looked at decides what the best is worth."""

import os
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from futures_algo.core.contracts import root_of
from futures_algo.core.types import ConfigError, content_hash

VARIABLE = "FUTURES_ALGO_RUNS"
_TABLE = """CREATE TABLE IF NOT EXISTS searches (
    key TEXT PRIMARY KEY, root TEXT, symbol TEXT, start INTEGER, end INTEGER, strategy TEXT, combinations INTEGER,
    sharpe REAL, sessions INTEGER, created INTEGER)"""


def default_runs() -> Path:
    "The run store of this folder: `data/runs.db`, or what FUTURES_ALGO_RUNS names."
    return Path(os.environ.get(VARIABLE) or "data/runs.db")


class Search(NamedTuple):
    "One walk-forward: what was tried, and the record it was judged by."

    content: Mapping[str, Any]  # all that tells it from another: code, grid, costs, folds
    symbol: str
    start: int  # ns UTC, of the test bars
    end: int
    strategy: str
    combinations: int
    sharpe: float  # of the joined test bars, a year
    sessions: int  # of them

    @property
    def key(self) -> str:
        return content_hash([dict(self.content), self.symbol, self.start, self.end])


class RunStore:
    "The searches that were made; the same one again counts once."

    def __init__(self, path: "Path | str"):
        self.path = Path(path)

    def count(self, search: Search) -> int:
        "Keep it, and tell how many searches were judged by test bars of the same product that overlap its own."
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=30)) as file, file:
                file.execute(_TABLE)
                file.execute("INSERT OR REPLACE INTO searches VALUES (?,?,?,?,?,?,?,?,?,?)", self._row(search))
                asked = "SELECT count(*) FROM searches WHERE root = ? AND start < ? AND end > ?"
                return int(file.execute(asked, (root_of(search.symbol), search.end, search.start)).fetchone()[0])
        except (sqlite3.Error, OSError) as error:
            raise ConfigError(
                "run store",
                str(self.path),
                f"must be an SQLite file that can be written ({error})",
                f"name another one with --runs, or in {VARIABLE}",
            ) from error

    @staticmethod
    def _row(one: Search) -> tuple[Any, ...]:
        facts = one.symbol, one.start, one.end, one.strategy, one.combinations, one.sharpe, one.sessions
        return one.key, root_of(one.symbol), *facts, time.time_ns()
