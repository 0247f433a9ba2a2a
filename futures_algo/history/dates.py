"""Dates as files write them, as days since 1970: a date that can be two days is an error that shows both."""

import datetime as dt
import re

import numpy as np

from futures_algo.core.types import DataError
from futures_algo.history.clock_times import Clock, Coded

_PARTS = re.compile(r"(\d{1,4})([-/. ])(\d{1,2})\2(\d{1,4})")
_NAMED = re.compile(r"(\d{1,2})[-/. ]([A-Za-z]{3,9})\.?[-/. ,]+(\d{2}|\d{4})|([A-Za-z]{3,9})\.? (\d{1,2}),? (\d{4})"
                    r"|(\d{4})[-/. ]([A-Za-z]{3,9})\.?[-/. ](\d{1,2})")  # fmt: skip  # fmt: skip
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def days_of(dates: Coded, clock: Clock) -> tuple[np.ndarray, str]:
    "Days since 1970 of each row, and what was understood."
    texts, codes = dates.texts, dates.codes
    read = [date_readings(text, clock) for text in texts]
    names = [name for name in read[0] if all(name in one for one in read)] if read else []
    if read and not names:
        _refuse_dates(texts, read, clock)
    chosen, note = _chosen(names, texts, read, codes, clock)
    return np.array([one[chosen] for one in read], np.int64)[codes], note


def date_readings(text: str, clock: Clock) -> dict[str, int]:
    "What a date may mean: order of its parts -> days since 1970."
    text = text.strip()
    if len(text) == 8 and text.isdigit():
        return _valid({"year first": (text[:4], text[4:6], text[6:])})
    if match := _NAMED.fullmatch(text):
        return _named(match)
    if not (match := _PARTS.fullmatch(text)):
        return {}
    a, sign, b, c = match.groups()
    if len(a) == 4:
        return _valid({"year first": (a, b, c)}) if len(c) <= 2 else {}
    if len(c) not in (2, 4) or len(a) > 2:
        return {}
    orders = {"day first": (c, b, a), "month first": (c, a, b)}
    if sign == "." and clock.dayfirst is None:
        orders.pop("month first")
    if len(c) == 2 and len(a) == 2 and sign != "." and clock.dayfirst is None:
        orders["year first"] = (a, b, c)
    return _valid(orders)


def _valid(orders: dict[str, tuple[str, str, str]]) -> dict[str, int]:
    found = {}
    for name, (year, month, day) in orders.items():
        try:
            found[name] = (dt.date(_full_year(year), int(month), int(day)) - dt.date(1970, 1, 1)).days
        except ValueError:
            continue
    return found


def _full_year(year: str) -> int:
    "Two digits are 1970 to 2069."
    if len(year) == 4:
        return int(year)
    return int(year) + (2000 if int(year) < 70 else 1900)


def _named(match: re.Match) -> dict[str, int]:
    groups = match.groups()
    day, month, year = groups[:3] if groups[0] else (groups[4], groups[3], groups[5])
    if groups[6]:
        year, month, day = groups[6:]
    key = month[:3].lower()
    return _valid({"named month": (year, str(_MONTHS.index(key) + 1), day)}) if key in _MONTHS else {}


def _refuse_dates(texts: list[str], read: list[dict[str, int]], clock: Clock) -> None:
    "No one order of day and month reads all rows."
    odd = next((i for i, one in enumerate(read) if not one), None)
    if odd is not None:
        raise DataError("time", texts[odd], "must be a date and time, all rows in one form",
                        "export it as 2025-03-10T09:30:00Z", f"{clock.path}: column {clock.subject}")  # fmt: skip
    first, other = texts[0], next(text for text, one in zip(texts, read) if not set(one) & set(read[0]))
    raise DataError("time", other, f"must be written as the others are: {first!r} is {' or '.join(read[0])}",
                    "export all rows in one form", f"{clock.path}: column {clock.subject}")  # fmt: skip


def _chosen(
    names: list[str], texts: list[str], read: list[dict[str, int]], codes: np.ndarray, clock: Clock
) -> tuple[str, str]:
    "The one order of day and month that is left, or the error that shows them."
    if not read:
        return "", "no rows"
    if clock.dayfirst is not None and len(names) > 1:
        names = [name for name in names if name == ("day first" if clock.dayfirst else "month first")] or names
        return names[0], f"dates {names[0]} {clock.dayfirst_why}"
    if len(names) > 1 and all(len({one[name] for name in names}) == 1 for one in read):
        return names[0], f"dates {names[0]}"
    if len(names) > 1:
        ordered = [name for name in names if _runs_one_way(np.array([one[name] for one in read], np.int64)[codes])]
        if len(ordered) == 1:
            return ordered[0], f"dates {ordered[0]}: no other reading is in order"
        row = next(i for i, one in enumerate(read) if len({one[name] for name in names}) > 1)
        shown = " or ".join(f"{_day(read[row][name])} ({name})" for name in names)
        raise DataError("time", texts[row], f"can mean {len(names)} days: {shown}",
                        "say --dayfirst yes or no (dayfirst=True or False)", f"{clock.path}: column {clock.subject}"
                        )  # fmt: skip
    return names[0], f"dates {names[0]}"


def _runs_one_way(days: np.ndarray) -> bool:
    steps = np.diff(days)
    return bool((steps >= 0).all() or (steps <= 0).all())


def _day(number: int) -> str:
    return (dt.date(1970, 1, 1) + dt.timedelta(days=int(number))).isoformat()
