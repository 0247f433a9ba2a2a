"""The calendar as data with a date: until when it is reviewed, and a newer table over the shipped one."""

import csv
import datetime as dt
import os
from pathlib import Path

from futures_algo.core.regular_hours import CLOSED, REGULAR
from futures_algo.core.types import DataError, InputError

REVIEWED_UNTIL = dt.date(2027, 12, 31)  # the last year whose holidays were compared with another table
WARN_DAYS = 90
FIELDS = ("group", "session", "open", "close")


def update_path() -> Path:
    "Where `sessions --update` keeps a newer table: FUTURES_ALGO_CALENDAR, or the user's own folder."
    named = os.environ.get("FUTURES_ALGO_CALENDAR", "")
    return Path(named) if named else Path.home() / ".config" / "futures-algo" / "session_exceptions.csv"


def newer_rows() -> list[dict[str, str]]:
    "The rows of the newer table, none where there is no such file."
    path = update_path()
    return read_calendar(path) if path.is_file() else []


def read_calendar(path: "Path | str") -> list[dict[str, str]]:
    "Rows of a calendar file, each checked."
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(line for line in file if not line.startswith("#"))
            if tuple(reader.fieldnames or ()) != FIELDS:
                rule, remedy = f"must have the columns {','.join(FIELDS)}", "copy the shipped table and change it"
                raise DataError("calendar", ",".join(reader.fieldnames or ()), rule, remedy, str(path))
            rows = list(reader)
    except OSError as error:
        raise DataError("calendar", str(path), f"must be a file that can be read ({error.strerror})") from None
    for number, row in enumerate(rows):
        where = f"{path}: row {number}"
        if row["group"] not in REGULAR:
            raise DataError("calendar group", row["group"], "must be a known one", ", ".join(REGULAR), where)
        _checked(row["session"], dt.date.fromisoformat, "must be a date", where)
        for name in ("open", "close"):
            if row[name] and row[name] != CLOSED:
                _checked(row[name], dt.time.fromisoformat, "must be a time such as 12:15, or closed", where)
        if not row["close"]:
            raise DataError("calendar close", "", "must be a time, or closed", "write 16:00 for the regular one", where)
    return rows


def _checked(text: str, read: object, rule: str, where: str) -> None:
    try:
        read(text)  # type: ignore[operator]
    except (ValueError, TypeError):
        raise DataError("calendar", text, rule, "", where) from None


def take_calendar(path: "Path | str") -> tuple[Path, int]:
    "Check a newer table and keep it; sessions are computed from it from the next start on."
    from futures_algo.core.dbn import replacing

    rows = read_calendar(path)
    if not rows:
        raise InputError("calendar", str(path), "must hold rows", "copy the shipped table and change it")
    kept = update_path()
    kept.parent.mkdir(parents=True, exist_ok=True)
    with replacing(kept) as draft:
        draft.write_bytes(Path(path).read_bytes())
    return kept, len(rows)


def reviewed_until() -> dt.date:
    "The last date the calendar in use speaks for: the shipped review's, or the newer table's last row."
    return max([REVIEWED_UNTIL, *(dt.date.fromisoformat(row["session"]) for row in newer_rows())])


def calendar_warning(today: dt.date) -> str:
    "What `doctor` says when the calendar ends soon, or nothing."
    last = reviewed_until()
    left = (last - today).days
    if left >= WARN_DAYS:
        return ""
    return (
        f"the calendar was reviewed until {last} ({left} days from now): take a newer one with sessions --update FILE"
    )
