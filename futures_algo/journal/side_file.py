"""Rows that orders depend on, while the journal cannot be written: an append-only file whose room was taken at the
start, so that a full disk does not end it. The next start, or the journal itself once it can be written again, takes
them over."""

import json
import os
from pathlib import Path
from typing import Any

SIZE = 1 << 20  # bytes taken at the start


class SideFile:
    "Statements as JSON lines behind each other; zeros are the rest."

    def __init__(self, path: Path):
        self.path = path
        is_new = not path.is_file() or path.stat().st_size < SIZE
        self._file = path.open("r+b" if path.is_file() else "w+b")
        if is_new:
            kept = self._file.read().rstrip(b"\0")
            self._file.seek(0)
            self._file.write(kept + b"\0" * (SIZE - len(kept)))
            self._sync()
        self._end = len(self._content())

    def _content(self) -> bytes:
        self._file.seek(0)
        return self._file.read().partition(b"\0")[0]

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def append(self, sql: str, values: tuple[Any, ...]) -> None:
        "One statement, on the disk when this returns."
        line = json.dumps([sql, values], default=str).encode() + b"\n"
        self._file.seek(self._end)
        self._file.write(line)
        self._sync()
        self._end += len(line)

    def statements(self) -> list[tuple[str, tuple[Any, ...]]]:
        "What stands there; a line the power cut is none."
        found = []
        for line in self._content().splitlines():
            try:
                sql, values = json.loads(line)
            except ValueError:
                continue
            found.append((sql.replace("INSERT INTO", "INSERT OR IGNORE INTO", 1), tuple(values)))
        return found

    def clear(self) -> None:
        if self._end:
            self._file.seek(0)
            self._file.write(b"\0" * self._end)
            self._sync()
            self._end = 0

    def close(self) -> None:
        self._file.close()
