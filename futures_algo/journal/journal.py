"""The journal: everything the engine saw, decided, sent and was answered, in one SQLite file.

The engine is the only writer, except that anybody may append a command. Readers (notebook, page, command line) open it
read-only while it is
written. Rows that orders depend on are committed one by one with a full sync, *before* the act they announce; bars and
evaluations go in groups.
"""

import json
import logging
import os
import secrets
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self, TextIO

from futures_algo.core.named import did_you_mean
from futures_algo.core.types import Bar, FuturesAlgoError, InputError, Signal, Timeframe
from futures_algo.journal.schema import DURABLE, INDEXES, SCHEMA_VERSION, TABLES
from futures_algo.journal.side_file import SideFile

log = logging.getLogger(__name__)
_LOG_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "alarm": logging.ERROR}

GROUP_ROWS, GROUP_SECONDS = 512, 0.25  # a group of buffered rows is committed at the first of the two
BUSY_SECONDS = 5.0
RETRY_SECONDS = 2.0  # between attempts to write a journal that could not be written
CLAIM_SECONDS = 1.0  # that claiming the journal is tried for


class JournalError(FuturesAlgoError):
    "The journal cannot be used: missing, of another version, damaged, or held by another engine."


def connect(path: Path, readonly: bool) -> sqlite3.Connection:
    "A connection in autocommit mode whose rows read like dictionaries."
    if readonly and not path.is_file():
        raise JournalError(f"There is no journal at {path}; start the engine, or name another with --journal")
    uri = f"{path.resolve().as_uri()}?mode={'ro' if readonly else 'rwc'}"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    return connection


class Journal:
    "One journal file. `with Journal(path) as journal:` writes; `Journal(path, readonly=True)` reads."

    def __init__(
        self,
        path: "str | Path",  # journal/live.db; its folder is made
        readonly: bool = False,
        # wait for the disk before an order leaves; recorded time, where nothing is at stake, need not
        durable: bool = True,
    ):
        self.path, self._durable = Path(path), durable
        if not readonly:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._waiting: list[tuple[str, tuple[Any, ...]]] = []  # statements of the group under way
        self._since = 0.0
        self._together, self._together_full = 0, False
        self._held: TextIO | None = None
        self.trouble = ""  # why it cannot be written now; empty while it can
        self.on_trouble: Callable[[str], None] = lambda why: None  # told once
        self._side: SideFile | None = None  # an engine's
        self._retry_at = 0.0  # monotonic seconds
        self._connection = connect(self.path, readonly)
        self._full = False
        if not readonly:
            self._create()
        self._check_version()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- opening and closing

    def _create(self) -> None:
        execute = self._connection.execute
        execute("PRAGMA journal_mode=WAL")
        execute("PRAGMA synchronous=NORMAL")
        with self._transaction():  # two processes may make the file at the same moment: the second finds it made
            if execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                return
            for name, columns in TABLES.items():
                execute(f"CREATE TABLE {name} ({columns})")
            for index in INDEXES:
                execute(index)
            execute("INSERT INTO meta VALUES ('schema_version', ?)", (str(SCHEMA_VERSION),))

    def _check_version(self) -> None:
        try:
            found = self._connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise JournalError(f"{self.path} is not a journal ({error}); name another file") from None
        if found and int(found[0]) == SCHEMA_VERSION:
            return
        self._connection.close()
        kind = "an older" if found and int(found[0]) < SCHEMA_VERSION else "a newer"
        raise JournalError(
            f"{self.path} has {kind} schema ({found and found[0]}) than this version reads ({SCHEMA_VERSION}); move it"
            " away or use the version that wrote it"
        )

    def close(self) -> None:
        "Commit what is buffered, release the engine's lock and close the file."
        with self._lock:
            if self._waiting:
                self.flush()
            self._connection.close()
            if self._side is not None:
                self._side.close()
            if self._held is not None:
                self._held.close()

    def hold(self) -> None:
        "Claim the journal for this engine until the process ends; a second engine on it is refused."
        if self._held is not None:
            return
        file = self.path.with_name(self.path.name + ".lock").open("a+")
        if not _claims(file):
            file.close()
            raise JournalError(
                f"Another engine is using {self.path}; stop it, or give this one another journal (engine.journal)"
            )
        self._held = file
        self._side = SideFile(self.path.with_name(self.path.name + ".side"))
        with self._lock:
            self._waiting += self._side.statements()  # of an engine that could not write
            self.flush(full=True)
            if not self.trouble:
                self._side.clear()

    def touch(self) -> None:
        "A sign of life that needs no room on the disk: the lock's time."
        if self._held is not None:
            with suppress(OSError):
                os.utime(self._held.name)

    @staticmethod
    def is_held(path: "str | Path") -> bool:
        "Whether an engine is using this journal now."
        lock = Path(path).with_name(Path(path).name + ".lock")
        if not lock.is_file():
            return False
        with lock.open("a+") as probe:
            try:
                _lock_file(probe)
            except OSError:
                return True
        return False

    # --- writing

    @contextmanager
    def _transaction(self, full: bool = False) -> Iterator[None]:
        "One transaction; `full` makes it wait for the disk."
        with self._lock:
            if (full := full and self._durable) != self._full:
                self._connection.execute(f"PRAGMA synchronous={'FULL' if full else 'NORMAL'}")
                self._full = full
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # a full disk has ended the transaction itself
                    self._connection.execute("ROLLBACK")
                raise

    def _write(self, table: str, sql: str, values: tuple[Any, ...], durable: bool = False) -> None:
        "Commit now, with everything buffered before, when the row must be durable; else join the group."
        durable = durable or table in DURABLE
        with self._lock:
            if self.trouble and self._keep_aside(table, sql, values, durable):
                return
            if not self._waiting:
                self._since = time.monotonic()
            self._waiting.append((sql, values))
            if self._together:
                self._together_full |= durable
            elif durable:
                self.flush(full=True)
            elif len(self._waiting) >= GROUP_ROWS or time.monotonic() - self._since > GROUP_SECONDS:
                self.flush()

    def flush(self, full: bool = False) -> None:
        "Commit the group under way, in the order it was written."
        with self._lock:
            if not self._waiting or (self.trouble and time.monotonic() < self._retry_at):
                return
            try:
                self._commit(full)
            except (sqlite3.OperationalError, sqlite3.DatabaseError) as error:
                if isinstance(error, sqlite3.IntegrityError) or self._side is None:
                    raise
                return self._fall_back(error)
            self._waiting = []
            if self.trouble:
                self._recover()

    def _commit(self, full: bool) -> None:
        with self._transaction(full):
            for done, (sql, values) in enumerate(self._waiting):
                try:
                    self._connection.execute(sql, values)
                except (
                    sqlite3.IntegrityError
                ):  # a key stands there already: that row is refused, the rest of the group is not lost with it
                    del self._waiting[done]
                    raise

    # --- when it cannot be written

    def _fall_back(self, error: sqlite3.Error) -> None:
        "An engine goes on for its exits: what they depend on goes into the side file, the rest waits in memory."
        self._retry_at = time.monotonic() + RETRY_SECONDS
        if self.trouble:
            return
        self.trouble = f"{self.path}: {error}"
        self._connection.execute("PRAGMA busy_timeout = 0")
        for sql, values in self._waiting:
            self._aside(sql, values)
        self.on_trouble(self.trouble)

    def _keep_aside(self, table: str, sql: str, values: tuple[Any, ...], durable: bool) -> bool:
        "Whether a row is dealt with while the journal cannot be written; what only says how things stand is dropped."
        if table in ("status", "evaluations"):
            self.flush()
            return bool(self.trouble)
        if durable or table == "signals":
            self._aside(sql, values)
        return False

    def _aside(self, sql: str, values: tuple[Any, ...]) -> None:
        if self._side is None:
            return
        with suppress(OSError, ValueError):  # not even that: exits go on from memory
            self._side.append(sql, values)

    def _recover(self) -> None:
        "It can be written again, and everything that waited is in it."
        why, self.trouble = self.trouble, ""
        self._connection.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
        if self._side is not None:
            self._side.clear()
        self.add_event(time.time_ns(), "alarm", "journal", self.path.name, f"could not be written for a while: {why}")

    @contextmanager
    def together(self) -> Iterator[None]:
        "Rows written inside become durable in one commit, or not at all."
        with self._lock:
            self._together, before = self._together + 1, len(self._waiting)
            try:
                yield
            except BaseException:
                del self._waiting[before:]
                raise
            finally:
                self._together -= 1
            if not self._together:
                full, self._together_full = self._together_full, False
                if full:
                    self.flush(full=True)

    def add(self, table: str, **fields: Any) -> None:
        "Append a row; a key that stands there already is an error."
        self._write(table, _insert(table, tuple(fields), "INSERT"), _values(fields))

    def put(self, table: str, **fields: Any) -> None:
        "Write a row, replacing the one with the same key."
        self._write(table, _insert(table, tuple(fields), "INSERT OR REPLACE"), _values(fields))

    def add_once(self, table: str, **fields: Any) -> None:
        "Append a row unless its key stands there already."
        self._write(table, _insert(table, tuple(fields), "INSERT OR IGNORE"), _values(fields))

    def update(self, table: str, key: str, equals: Any, /, **fields: Any) -> None:
        "Change some fields of the row whose `key` column equals a value."
        changes = ", ".join(f"{name} = ?" for name in fields)
        self._write(table, f"UPDATE {_known(table)} SET {changes} WHERE {key} = ?", (*_values(fields), equals))

    # --- what the engine writes most

    def add_bar(self, bar: Bar, received: int) -> None:
        "A bar the engine acted on."
        self._write(
            "bars",
            _ADD_BAR,
            (
                bar.symbol,
                bar.timeframe,
                bar.start,
                bar.end,
                bar.open,
                bar.high,
                bar.low,
                bar.close,
                bar.volume,
                bar.contract,
                bar.partial,
                received,
            ),
        )

    def add_signal(self, signal: Signal, at: int, verdict: str, denial: str = "", detail: str = "") -> None:
        "A signal with what was decided about it; the same decision again keeps the first row."
        fields = dict(signal._asdict(), at=at, verdict=verdict, denial=denial, detail=detail)
        self._write(
            "signals",
            _insert("signals", tuple(fields), "INSERT OR IGNORE"),
            _values(fields),
            durable=verdict in ("sent", "pending"),
        )

    def add_event(self, at: int, level: str, kind: str, subject: str, message: str, **data: Any) -> None:
        "Something a person may want to know; the log says it too."
        log.log(_LOG_LEVELS.get(level, logging.INFO), "%s %s: %s", kind, subject, message)
        self.add("events", at=at, level=level, kind=kind, subject=subject, message=message, data=data)

    def set_status(self, key: str, at: int, /, **value: Any) -> None:
        "The latest state of one part, for whoever watches."
        self.put("status", key=key, at=at, value=value)

    # --- reading

    def rows(
        self, table: str, where: str = "", *values: Any, order: str = "rowid", limit: int = -1
    ) -> list[dict[str, Any]]:
        "Rows as dictionaries."
        with self._lock:
            if self._waiting:
                self.flush()
            condition = f" WHERE {where}" if where else ""
            return [
                dict(row)
                for row in self._connection.execute(
                    f"SELECT * FROM {_known(table)}{condition} ORDER BY {order} LIMIT {limit}", values
                )
            ]

    def since(self, table: str, seq: int, limit: int = 10_000) -> list[dict[str, Any]]:
        "Rows appended after `seq`, oldest first."
        return self.rows(table, "seq > ?", seq, order="seq", limit=limit)

    def after(self, table: str, rowid: int, limit: int = 10_000) -> list[dict[str, Any]]:
        "Rows of any table written after a row number, which they carry as `number`."
        with self._lock:
            return [
                dict(row)
                for row in self._connection.execute(
                    f"SELECT rowid AS number, * FROM {_known(table)} WHERE rowid > ? ORDER BY rowid LIMIT ?",
                    (rowid, limit),
                )
            ]

    def last(self, table: str) -> int:
        "The newest row number of a table, 0 when it is empty."
        with self._lock:
            row = self._connection.execute(f"SELECT coalesce(max(rowid), 0) FROM {_known(table)}").fetchone()
            return int(row[0])

    def tally(self, table: str, column: str) -> dict[str, int]:
        "How many rows have each value of a column."
        with self._lock:
            return dict(
                tuple(row)
                for row in self._connection.execute(f"SELECT {column}, count(*) FROM {_known(table)} GROUP BY {column}")
            )

    def one(self, table: str, key: str, value: Any) -> dict[str, Any] | None:
        "The row with this key, or None."
        return next(iter(self.rows(table, f"{key} = ?", value, limit=1)), None)

    def has(self, table: str, key: str, value: Any) -> bool:
        "Whether a committed row with this key stands there; cheap, and blind to a group under way."
        with self._lock:
            return (
                self._connection.execute(f"SELECT 1 FROM {_known(table)} WHERE {key} = ?", (value,)).fetchone()
                is not None
            )

    def status(self) -> dict[str, dict[str, Any]]:
        "All status documents."
        return {row["key"]: {"at": row["at"]} | json.loads(row["value"]) for row in self.rows("status")}

    def count(self, table: str) -> int:
        with self._lock:
            if self._waiting:
                self.flush()
            return int(self._connection.execute(f"SELECT count(*) FROM {_known(table)}").fetchone()[0])

    def bars(self, symbol: str, timeframe: str, through: int, limit: int) -> list[Bar]:
        "The latest closed bars of a series that end by `through` (ns UTC), oldest first."
        found = self.rows(
            "bars",
            'symbol = ? AND timeframe = ? AND "end" <= ?',
            symbol,
            timeframe,
            through,
            order='"end" DESC',
            limit=limit,
        )
        fields = ("start", "end", "open", "high", "low", "close", "volume", "contract")
        name = Timeframe(timeframe)
        return [
            Bar._make((symbol, name, *(row[field] for field in fields), True, bool(row["partial"])))
            for row in reversed(found)
        ]

    def ends(self) -> dict[tuple[str, str], int]:
        "End (ns UTC) of the newest bar of each symbol and timeframe."
        with self._lock:
            if self._waiting:
                self.flush()
            return {
                (row[0], row[1]): row[2]
                for row in self._connection.execute(
                    'SELECT symbol, timeframe, max("end") FROM bars GROUP BY symbol, timeframe'
                )
            }

    def damage(self) -> list[str]:
        "What SQLite's integrity check finds; empty when the file is sound."
        try:
            return [row[0] for row in self._connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
        except sqlite3.DatabaseError as error:
            return [str(error)]

    # --- commands

    def command(self, verb: str, who: str, **args: Any) -> str:
        "Append a command for the engine and return its id; any process may."
        identity = secrets.token_hex(8)
        self.add("commands", id=identity, at=time.time_ns(), who=who, verb=verb, args=args, state="new")
        return identity

    def new_commands(self) -> list[dict[str, Any]]:
        """Commands the engine has not answered, oldest first. Any process may append one: arguments that cannot be read
        are None, which every verb refuses."""
        with (
            self._lock
        ):  # commands and answers are never part of a group under way, so it need not be committed for this
            found = self._connection.execute("SELECT * FROM commands WHERE state = 'new' ORDER BY rowid").fetchall()
        return [dict(row) | {"args": _read_arguments(row["args"])} for row in found]

    def acknowledge(self, identity: str, state: str, answer: str) -> None:
        "The engine's answer to a command: 'done' or 'refused'."
        self.update("commands", "id", identity, state=state, answer=answer, acked_at=time.time_ns())


def _read_arguments(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return None


def _known(table: str) -> str:
    if table not in TABLES:
        raise InputError("table", table, "must be one of the journal's", did_you_mean(table, TABLES))
    return table


def _values(fields: dict[str, Any]) -> tuple[Any, ...]:
    "Dictionaries and lists are stored as JSON, and nothing a column cannot hold is handed to SQLite."
    return tuple(_storable(value) for value in fields.values())


def _storable(value: Any) -> Any:
    "Half a character, as a cut answer gives, becomes a question mark; a number beyond 64 bits becomes its text."
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, default=str)
    return value


_statements: dict[tuple[str, tuple[str, ...], str], str] = {}


def _insert(table: str, names: tuple[str, ...], verb: str) -> str:
    key = (table, names, verb)
    if key not in _statements:
        columns = ", ".join(f'"{name}"' for name in names)
        _statements[key] = f"{verb} INTO {_known(table)} ({columns}) VALUES ({', '.join('?' * len(names))})"
    return _statements[key]


_ADD_BAR = _insert(
    "bars",
    (
        "symbol",
        "timeframe",
        "start",
        "end",
        "open",
        "high",
        "low",
        "close",
        "volume",
        "contract",
        "partial",
        "received",
    ),
    "INSERT",
)


def _claims(file: TextIO) -> bool:
    "Whether the lock was free. Who asks `is_held` holds it for a moment, so one refusal says nothing."
    deadline = time.monotonic() + CLAIM_SECONDS
    while True:
        try:
            _lock_file(file)
        except OSError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        else:
            return True


def _lock_file(file: TextIO) -> None:
    "An exclusive lock the operating system drops with the process, however it ends."
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
