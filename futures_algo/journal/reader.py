"""One thread follows the journal; every open page looks at what it last saw."""

import json
import os
import sqlite3
import threading
import time
from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from futures_algo.core.types import DAY, SECOND, Bar
from futures_algo.journal.schema import SCHEMA_VERSION

Row = dict[str, Any]


class BarSeries:
    "The latest bars of one symbol and timeframe, in journal order."

    def __init__(
        self,
        keep: int = 3000,  # bars remembered
    ):
        self._keep, self._ordered = keep, True
        self._rows: deque[tuple[int, Bar]] = deque()
        self._known: dict[int, Bar] = {}

    def add(self, seq: int, bar: Bar) -> bool:
        "Take one journal row; False when it says nothing new."
        if self._known.get(bar.start) == bar:
            return False
        self._ordered = self._ordered and (
            bar.start in self._known or not self._known or bar.start > next(reversed(self._known))
        )
        self._known[bar.start] = bar
        self._rows.append((seq, bar))
        if len(self._rows) > self._keep:
            _, old = self._rows.popleft()
            if self._known.get(old.start) == old:
                del self._known[old.start]
        return True

    def since(
        self,
        seq: int = 0,  # the newest row already shown
    ) -> tuple[int, list[Bar]]:  # the newest row there is, and the bars after `seq`
        "What came after a row."
        fresh = []
        for at, bar in reversed(self._rows.copy()):
            if at <= seq:
                break
            fresh.append(bar)
        return (self._rows[-1][0] if self._rows else seq), fresh[::-1]

    def bars(self) -> list[Bar]:
        "All of them by start, each once, the latest word on each."
        return list(self._known.values()) if self._ordered else [bar for _, bar in sorted(self._known.copy().items())]

    @property
    def last(self) -> Bar | None:
        return self._rows[-1][1] if self._rows else None


@dataclass(frozen=True)
class View:
    "The journal as last read."

    state: str = "no_journal"  # ok, no_journal, empty, not_a_journal, older, newer, busy
    problem: str = ""  # what is wrong, for a person
    remedy: str = ""
    run: dict[str, Any] = field(default_factory=dict)  # the latest run
    status: dict[str, Any] = field(default_factory=dict)  # status documents by key
    written: dict[str, int] = field(default_factory=dict)  # key -> ns when the document was written
    tables: dict[str, list[Row]] = field(
        default_factory=dict
    )  # signals, intents, fills, positions, events, ...: newest first
    bars: dict[tuple[str, str], BarSeries] = field(default_factory=dict)  # (symbol, timeframe)
    lags: tuple[int, ...] = ()  # ns from a one-minute bar's end to its arrival, the latest bars
    versions: dict[str, int] = field(
        default_factory=dict
    )  # table, bars, or kind of status document ("feed", "strategy") -> number of its changes
    generation: int = 0  # grows when the file is another one

    def document(self, key: str) -> dict[str, Any]:
        "A status document, {} when the engine wrote none."
        return self.status.get(key) or {}

    @property
    def strategies(self) -> dict[tuple[str, str], dict[str, Any]]:
        "Strategy documents by (name, symbol)."
        return {_strategy_and_symbol(key): value for key, value in self.status.items() if key.startswith("strategy:")}


TERMINAL = ("filled", "cancelled", "rejected", "notsent")  # order states nothing follows, lower case
_LATEST = {  # part -> the rows a page shows
    "signals": "SELECT * FROM signals ORDER BY rowid DESC LIMIT 120",
    "commands": "SELECT * FROM commands ORDER BY at DESC LIMIT 30",
    "events": "SELECT * FROM events ORDER BY seq DESC LIMIT 150",
    "evaluations": "SELECT * FROM evaluations",
    "order_events": "SELECT * FROM order_events ORDER BY seq DESC LIMIT 120",
    "requests": (
        "SELECT seq, order_id, at, method, path, status, latency_ns, outcome FROM requests ORDER BY seq DESC LIMIT 60"
    ),
    "orders": f"SELECT * FROM intents WHERE lower(state) NOT IN {TERMINAL} ORDER BY rowid DESC LIMIT 100",
    "intents": "SELECT * FROM intents ORDER BY rowid DESC LIMIT 120",
    "configs": "SELECT * FROM configs ORDER BY rowid DESC LIMIT 1",
}
_BAR_COLUMNS = "seq, symbol, timeframe, start, end, open, high, low, close, volume, contract, partial, received"


def _strategy_and_symbol(key: str) -> tuple[str, str]:
    "What stands behind `strategy:` in the key of a status document."
    name, symbol = key.split(":", 1)[1].rsplit(":", 1)
    return name, symbol


def _rows(connection: sqlite3.Connection, query: str, *values: Any) -> list[Row]:
    "Rows as dictionaries."
    cursor = connection.execute(query, values)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row)) for row in cursor]


def _newest_while(connection: sqlite3.Connection, table: str, at_least: int, cap: int = 20_000) -> list[Row]:
    "Rows from the newest back to a moment, without needing an index on time."
    cursor = connection.execute(f"SELECT * FROM {table} ORDER BY rowid DESC LIMIT {cap}")
    found: list[Row] = []
    names = [column[0] for column in cursor.description]
    for row in cursor:
        found.append(dict(zip(names, row)))
        if found[-1]["at"] < at_least:
            return found[:-1]
    return found


SILENT_AFTER = 5 * SECOND  # without a beat of the engine


def engine_beat(view: View) -> int:
    "When the engine was last heard of, ns UTC of the wall clock; 0 when it never was."
    return view.document("engine").get("beat") or view.written.get("engine", 0)


def engine_word(
    view: View,
    now: int,  # ns UTC, wall clock
) -> str:  # none, stopped, silent, or the state it says of itself: ready, recovering, ...
    "What the engine is doing."
    document = view.document("engine")
    if not document:
        return "none"
    state: str = document.get("state", "unknown")
    return state if state == "stopped" or now - engine_beat(view) <= SILENT_AFTER else "silent"


def judge(connection: sqlite3.Connection) -> tuple[str, str, str]:
    "State, problem and remedy of an opened file."
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        return "empty", "The journal is being created", "the page goes on when the engine has written its first row"
    if "meta" not in tables:
        return "not_a_journal", "The file is a database, but not a journal", "name the file the engine writes"
    found = connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    version = int(found[0]) if found else 0
    if version == SCHEMA_VERSION:
        return "ok", "", ""
    kind = "older" if version < SCHEMA_VERSION else "newer"
    return (
        kind,
        f"The journal has an {kind} schema ({version}) than this page reads ({SCHEMA_VERSION})".replace(
            "an newer", "a newer"
        ),
        "open it with the version of futures-algo that wrote it, or move it away and start the engine anew",
    )


class JournalReader:
    "Follows a journal file in a thread; `view` is what it last saw."

    def __init__(
        self,
        path: "str | Path",
        *,
        poll_s: float = 0.1,  # seconds between looks
        keep_bars: int = 3000,  # bars kept of each symbol and timeframe
        first_rows: int = 30_000,  # bar rows read at the start
        fills_days: float = 4.0,  # days of fills kept: a weekend and a holiday back to the last session
    ):
        self.path, self.view, self.users = Path(path), View(), 0
        self._poll, self._keep, self._first_rows, self._fills_span = (
            poll_s,
            keep_bars,
            first_rows,
            int(fills_days * DAY),
        )
        self._connection: sqlite3.Connection | None = None
        self._inode: int | None = None
        self._data_version: int | None = None
        self._seq, self._busy_since = 0, 0.0
        self._lags: deque[int] = deque(maxlen=1000)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> "JournalReader":
        "Read once, then follow."
        if self._thread is None:
            self.look()
            self._thread = threading.Thread(target=self._follow, name="journal reader", daemon=True)
            self._thread.start()
        return self

    def stop(self) -> None:
        "Stop following and close the file."
        self._stop.set()
        if self._thread:
            self._thread.join(5)
        self._close()

    def _follow(self) -> None:
        while not self._stop.wait(self._poll):
            self.look()

    def look(self) -> View:
        "One look: notice another file, a file that cannot be read, or new rows."
        try:
            if not self._same_file():
                self._open()
            if self._connection and self._changed(self._connection):
                with self._connection:
                    self._read(self._connection)  # one moment for all tables
        except sqlite3.OperationalError as error:
            self._wait(error)
        except sqlite3.DatabaseError:
            self._trouble(
                "not_a_journal",
                f"{self.path.name} is not a journal",
                "name the file the engine writes with --journal or engine.journal in the config",
            )
        return self.view

    def _same_file(self) -> bool:
        "Whether the open file is still the one at the path."
        try:
            inode = os.stat(self.path).st_ino
        except FileNotFoundError:
            if self._connection or self.view.state != "no_journal" or not self.view.problem:
                self._close()
                self._missing()
            return True
        return self._connection is not None and inode == self._inode

    def _missing(self) -> None:
        self._trouble(
            "no_journal",
            f"There is no journal at {self.path}",
            "start the engine with `futures-algo run`, or `futures-algo demo`; this page fills in by itself",
        )

    def _open(self) -> None:
        "Open the file read-only and judge what it is."
        self._close()
        self._inode = os.stat(self.path).st_ino
        connection = sqlite3.connect(
            f"{self.path.resolve().as_uri()}?mode=ro", uri=True, timeout=1.0, check_same_thread=False
        )
        try:
            state, problem, remedy = judge(connection)
        except sqlite3.Error:
            connection.close()
            raise
        if state != "ok":
            connection.close()
            return self._trouble(state, problem, remedy)
        self._connection, self._data_version, self._seq = connection, None, 0
        self._lags.clear()
        self.view = View("ok", generation=self.view.generation + 1)

    def _changed(self, connection: sqlite3.Connection) -> bool:
        "Whether anybody committed since the last look."
        version: int = connection.execute("PRAGMA data_version").fetchone()[0]
        changed, self._data_version = version != self._data_version, version
        return changed

    def _read(self, connection: sqlite3.Connection) -> None:
        "Read what is new and publish it."
        connection.execute("BEGIN")
        old, versions = self.view, dict(self.view.versions)
        tables = {part: _rows(connection, query) for part, query in _LATEST.items()}
        tables["fills"] = _newest_while(connection, "fills", _newest_time(connection) - self._fills_span)
        tables["positions"] = self._positions(connection, old)
        status, written = _status(connection)
        run = (_rows(connection, "SELECT * FROM runs ORDER BY rowid DESC LIMIT 1") or [{}])[0]
        for part, now, before in [
            *((p, rows, old.tables.get(p)) for p, rows in tables.items()),
            ("status", status, old.status),
            ("run", run, old.run),
        ]:
            if now != before:
                versions[part] = versions.get(part, 0) + 1
        for kind in {key.split(":")[0] for key, document in status.items() if document != old.status.get(key)}:
            versions[kind] = versions.get(kind, 0) + 1
        bars = self._bars(connection, old, versions)
        self._busy_since = 0.0
        self.view = replace(
            old,
            state="ok",
            problem="",
            remedy="",
            run=run,
            status=status,
            written=written,
            tables=tables,
            bars=bars,
            lags=tuple(self._lags),
            versions=versions,
        )

    def _positions(self, connection: sqlite3.Connection, old: View) -> list[Row]:
        "The latest row of each book, account, instrument and strategy."
        known = {_book(row): row for row in old.tables.get("positions", ())}
        since = max((row["seq"] for row in known.values()), default=-1)
        query = "SELECT * FROM positions WHERE seq > ? ORDER BY seq DESC LIMIT 5000"
        for row in reversed(_rows(connection, query, since)):
            known[_book(row)] = row
        return sorted(known.values(), key=lambda row: row["seq"], reverse=True)

    def _bars(
        self, connection: sqlite3.Connection, old: View, versions: dict[str, int]
    ) -> dict[tuple[str, str], BarSeries]:
        "Bars since the last look into their series; the first time, the newest `first_rows`."
        query = f"SELECT {_BAR_COLUMNS} FROM bars WHERE seq > ? ORDER BY seq DESC LIMIT {self._first_rows}"
        bars = dict(old.bars)
        for seq, symbol, timeframe, *values, contract, partial, received in reversed(
            connection.execute(query, (self._seq,)).fetchall()
        ):
            key = (symbol, timeframe)
            if key not in bars:
                bars[key] = BarSeries(self._keep)
            if bars[key].add(seq, Bar._make((symbol, timeframe, *values, contract or "", True, bool(partial)))):
                versions["bars"] = versions.get("bars", 0) + 1
            if timeframe == "1min" and received:
                self._lags.append(received - values[1])
            self._seq = seq
        return bars

    def _wait(self, error: sqlite3.OperationalError) -> None:
        "The file could not be read just now: keep what is shown, and say so when it lasts."
        self._data_version = None
        self._busy_since = self._busy_since or time.monotonic()
        if time.monotonic() - self._busy_since > 3:
            self._trouble(
                "busy",
                f"The journal cannot be read: {error}",
                "the page goes on as soon as it can; if it lasts, check the disk and the file's permissions",
            )

    def _trouble(self, state: str, problem: str, remedy: str) -> None:
        "Publish why there is nothing (new) to show."
        versions = self.view.versions | {"state": self.view.versions.get("state", 0) + 1}
        if (state, problem) != (self.view.state, self.view.problem):
            self.view = replace(self.view, state=state, problem=problem, remedy=remedy, versions=versions)

    def _close(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = self._inode = None


def _newest_time(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT at FROM fills ORDER BY rowid DESC LIMIT 1").fetchone()
    return row[0] if row else 0


def _status(connection: sqlite3.Connection) -> tuple[dict[str, Any], dict[str, int]]:
    "Status documents and when each was written."
    rows = connection.execute("SELECT key, at, value FROM status").fetchall()
    return {key: json.loads(value) for key, _, value in rows}, {key: at for key, at, _ in rows}


def _book(row: Row) -> tuple[Any, ...]:
    "What a position row is the latest word on."
    return row["source"], row["account"], row["instrument"], row["strategy"]
