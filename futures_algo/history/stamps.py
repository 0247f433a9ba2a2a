"""Times as files write them, as moments: texts, dates and times in two columns, counts since 1970, spreadsheet days.

A date that can be two days is an error that shows both; so is an hour a clock shows twice.
"""

import datetime as dt
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from futures_algo.core.types import DAY, MINUTE, SECOND, DataError, InputError

_EPOCHS = ((1, SECOND, "seconds"), (1_000, 1_000_000, "milliseconds"), (10**6, 1_000, "microseconds"),
           (SECOND, 1, "nanoseconds"))  # fmt: skip
_FIRST, _LAST = 315_532_800, 4_102_444_800  # 1980 and 2100 in seconds: what a count since 1970 may mean
_SERIAL = 29_221.0, 73_415.0  # the same in days since 1899-12-30, as spreadsheets count
_NUMERIC = re.compile(r"-?\d+(\.\d*)?([eE][+-]?\d+)?")
_PARTS = re.compile(r"(\d{1,4})([-/. ])(\d{1,2})\2(\d{1,4})")
_NAMED = re.compile(r"(\d{1,2})[-/. ]([A-Za-z]{3,9})\.?[-/. ,]+(\d{2}|\d{4})|([A-Za-z]{3,9})\.? (\d{1,2}),? (\d{4})"
                    r"|(\d{4})[-/. ]([A-Za-z]{3,9})\.?[-/. ](\d{1,2})")  # fmt: skip
_CLOCK = re.compile(
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(:(?P<second>\d{2})([.,](?P<part>\d{1,9}))?)?"
    r"\s*(?P<half>[AaPp]\.?[Mm]\.?)?\s*(?P<zone>Z|z|UTC|GMT|[+-]\d{2}(:?\d{2}(:\d{2})?)?|[A-Za-z][A-Za-z/_]+)?"
)
_BLOCK = 1 << 17  # rows read together
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


class Moments(NamedTuple):
    "Times read."

    nanos: np.ndarray  # int64[n], ns UTC
    note: str  # how they were understood
    dates_only: bool = False


class Clock(NamedTuple):
    "What is known of a file's times beside their text."

    tz: str | None  # zone of times that carry none
    dayfirst: bool | None  # order of a date that could be two
    subject: str  # column, as errors name it
    path: str
    dayfirst_why: str = "as said"
    hint: str = ""  # what may tell the zone: a format that was recognised


def read_moments(first: Any, second: Any | None, clock: Clock) -> Moments:
    "Moments of a text column (Arrow, one chunk or more), or of a column of dates and one of times."
    import pyarrow.compute as pc

    if second is None and _NUMERIC.fullmatch(str(first[0].as_py()).strip()):
        if pc.any(pc.match_substring_regex(first, r"^\s|\s$")).as_py():
            first = pc.utf8_trim_whitespace(first)
        _refuse_missing(first, clock)
        return _counted(first, clock)
    dates, rests = Coded(), Coded()
    for text, clock_text in _blocks(first, second, clock):
        dates.add(text)
        rests.add(clock_text)
    days, note = _days(dates, clock)
    return _joined(days, note, None if rests.texts == [""] else rests, clock)


class Coded:
    "A column as the index of each row's text among the different texts: few of dates, and of times of a day."

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._index: dict[str, int] = {}
        self._parts: list[np.ndarray] = []

    def add(self, column: Any) -> None:
        "The next rows (Arrow texts)."
        import pyarrow as pa

        whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        coded = whole.dictionary_encode()
        codes = np.array(
            [self._index.setdefault(text, len(self._index)) for text in coded.dictionary.to_pylist()], np.int32
        )
        self.texts = list(self._index)
        self._parts.append(codes[coded.indices.to_numpy(zero_copy_only=False)])

    @property
    def codes(self) -> np.ndarray:
        "int32[n]"
        if len(self._parts) != 1:
            self._parts = [np.concatenate(self._parts) if self._parts else np.empty(0, np.int32)]
        return self._parts[0]


def _blocks(first: Any, second: Any | None, clock: Clock) -> Iterator[tuple[Any, Any]]:
    "Dates and what follows them, some rows at a time, so that no second copy of a long column is made."
    import pyarrow.compute as pc

    for begin in range(0, len(first), _BLOCK):
        dates = pc.utf8_trim_whitespace(first.slice(begin, _BLOCK))
        _refuse_missing(dates, clock, begin)
        if second is None:
            yield _halves(dates)
            continue
        rests = pc.utf8_trim_whitespace(second.slice(begin, _BLOCK))
        _refuse_missing(rests, clock, begin)
        yield _bare_dates(dates), rests


def _refuse_missing(texts: Any, clock: Clock, begin: int = 0) -> None:
    import pyarrow.compute as pc

    empty = pc.or_kleene(pc.is_null(texts), pc.equal(pc.binary_length(texts), 0))
    if pc.any(empty).as_py():
        row = int(np.flatnonzero(empty.to_numpy(zero_copy_only=False))[0]) if not hasattr(empty, "chunks") else int(
            np.flatnonzero(empty.combine_chunks().to_numpy(zero_copy_only=False))[0])  # fmt: skip
        raise DataError("time", "missing", "must be there in every row", "complete it", _row(clock, row + begin))


def _row(clock: Clock, row: int) -> str:
    return f"{clock.path + ': ' if clock.path else ''}row {row}"


def _halves(texts: Any) -> tuple[Any, Any]:
    "Dates and what follows them; by position where all rows are built as the first one."
    import pyarrow.compute as pc

    lengths = pc.min_max(pc.binary_length(texts)).as_py()
    at = _split_at(texts[0].as_py()) or len(texts[0].as_py())
    if lengths["min"] == lengths["max"]:
        dates, rests = pc.utf8_slice_codeunits(texts, 0, at), pc.utf8_slice_codeunits(texts, at)
        if pc.all(pc.match_substring_regex(pc.unique(dates), r"^[^T:]*$")).as_py():
            return dates, pc.utf8_trim(rests, "T ,")
    halves = pc.extract_regex(texts, r"^(?P<date>[^:]*?)(?P<rest>[T ,]+\d{1,2}(?::.*)|[T ]\d{4,6}|)$")
    dates, rests = (pc.struct_field(halves, [name]) for name in ("date", "rest"))
    return pc.if_else(pc.is_null(dates), texts, dates), pc.fill_null(pc.utf8_trim(rests, "T ,"), "")


def _split_at(text: str) -> int | None:
    "Where the date of a text ends."
    if match := re.match(r"(\d{8}|.*?\d)(?=[T ,]+\d{1,2}:|[T ]\d{4,6}$)", text):
        return match.end()
    return None


def _bare_dates(dates: Any) -> Any:
    "A column of dates whose clock is left at midnight beside a column of times."
    import pyarrow.compute as pc

    return pc.replace_substring_regex(dates, r"[T ]+0{1,2}:00(:00(\.0+)?)?$", "")


# -- dates


def _days(dates: Coded, clock: Clock) -> tuple[np.ndarray, str]:
    "Days since 1970 of each row, and what was understood."
    texts, codes = dates.texts, dates.codes
    read = [_date_readings(text, clock) for text in texts]
    names = [name for name in read[0] if all(name in one for one in read)] if read else []
    if read and not names:
        _refuse_dates(texts, read, clock)
    chosen, note = _chosen(names, texts, read, codes, clock)
    return np.array([one[chosen] for one in read], np.int64)[codes], note


def _date_readings(text: str, clock: Clock) -> dict[str, int]:
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
        full = int(year) if len(year) == 4 else int(year) + (2000 if int(year) < 70 else 1900)
        try:
            found[name] = (dt.date(full, int(month), int(day)) - dt.date(1970, 1, 1)).days
        except ValueError:
            continue
    return found


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


# -- times of the day


def _joined(days: np.ndarray, note: str, rests: Coded | None, clock: Clock) -> Moments:
    "Days and clock times as moments."
    if rests is None:
        return Moments(days * DAY, f"{note}, without a time", True)
    codes, texts = rests.codes, rests.texts
    digits = max((len(text) for text in texts if text.isdigit()), default=0)
    read = [_clock_time(text, digits, clock) for text in texts]
    for text, one in zip(texts, read):
        if one is None:
            raise DataError("time", text, "must be a time of the day, all rows in one form", "export it as 09:30:00",
                            f"{clock.path}: column {clock.subject}")  # fmt: skip
    local = days
    local *= DAY
    local += np.array([one[0] for one in read], np.int64)[codes]
    zoned = [one[1] is not None for one in read]
    if all(zoned) and read:
        offsets = np.array([one[1] for one in read], np.int64)
        kinds = "with their own offsets" if len(set(offsets.tolist())) > 1 or offsets[0] else "in UTC"
        if offsets.any():
            local -= offsets[codes]
        return Moments(local, f"{note}, times {kinds}")
    if any(zoned):
        odd = int(np.flatnonzero(~np.array(zoned)[codes])[0])
        raise DataError("time", texts[codes[odd]], "must carry a zone as other rows do", "export all rows in one form",
                        _row(clock, odd))  # fmt: skip
    return Moments(localized(local, clock), f"{note}, times on the clock of {clock.tz}")


def _clock_time(text: str, digits: int, clock: Clock) -> tuple[int, int | None] | None:
    "Nanoseconds since midnight, and the offset from UTC where one is written."
    if text.isdigit():
        text = text.zfill(4 if digits <= 4 else 6)
        parts = [int(text[at : at + 2]) for at in range(0, len(text), 2)] if len(text) in (4, 6) else [99]
        return _since_midnight(parts, 0), None
    if not (match := _CLOCK.fullmatch(text)):
        return None
    hour, minute, second = int(match["hour"]), int(match["minute"]), int(match["second"] or 0)
    if half := match["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half[0] in "Pp" else 0)
    since = _since_midnight([hour, minute, second], int((match["part"] or "0").ljust(9, "0")))
    return None if since is None else (since, _offset(match["zone"], clock))


def _since_midnight(parts: list[int], part: int) -> int | None:
    hour, minute, second = (*parts, 0, 0)[:3]
    if minute > 59 or second > 59 or hour > 24 or (hour == 24 and (minute or second or part)):
        return None
    return (hour * 3600 + minute * 60 + second) * SECOND + part


def _offset(text: str | None, clock: Clock) -> int | None:
    "Nanoseconds that a written zone is ahead of UTC."
    if text is None:
        return None
    if text.upper() in ("Z", "UTC", "GMT"):
        return 0
    if text[0] not in "+-":
        raise DataError("zone", text, "must be an offset such as -05:00, or Z: an abbreviation is used by several zones",
                        "remove it and name the zone with --tz America/Chicago", f"{clock.path}: column {clock.subject}"
                        )  # fmt: skip
    digits = text[1:].replace(":", "").ljust(4, "0")
    size = (int(digits[:2]) * 60 + int(digits[2:4])) * MINUTE
    return -size if text[0] == "-" else size


def localized(local: np.ndarray, clock: Clock) -> np.ndarray:
    "Times of a zone's clock as moments; an hour the clock shows twice, or never, is refused."
    if clock.tz is None:
        shown = str(local[:1].astype("M8[ns]").astype("M8[s]")[0]) if len(local) else ""
        raise DataError("time", shown, "must carry a zone", f"{clock.hint}say which with tz='America/New_York' (--tz on"
                        " the command line)", clock.path)  # fmt: skip
    from zoneinfo import ZoneInfoNotFoundError

    import pandas as pd

    try:
        stamps = pd.DatetimeIndex(local.view("M8[ns]")).tz_localize(clock.tz)
    except (ZoneInfoNotFoundError, KeyError, TypeError):
        raise InputError(
            "tz", clock.tz, "must be a zone of the tz database", "write it as 'America/New_York'"
        ) from None
    except ValueError as error:
        raise DataError("time", str(error).splitlines()[0], f"must mean one moment in {clock.tz}",
                        "export the data in UTC", clock.path) from None  # fmt: skip
    return stamps.asi8 if stamps.unit == "ns" else stamps.as_unit("ns").asi8


# -- counts


def _counted(texts: Any, clock: Clock) -> Moments:
    "Numbers: compact dates, counts since 1970, or a spreadsheet's days."
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths = pc.min_max(pc.binary_length(texts)).as_py()
    if lengths["min"] == lengths["max"] and lengths["max"] in (8, 12, 14) and texts[0].as_py()[:2] in ("19", "20"):
        dates, rests = pc.utf8_slice_codeunits(texts, 0, 8), pc.utf8_slice_codeunits(texts, 8)
        if lengths["max"] == 8 or _date_readings(dates[0].as_py(), clock):
            coded, more = Coded(), Coded()
            coded.add(dates)
            more.add(rests)
            return _joined(*_days(coded, clock), more if lengths["max"] > 8 else None, clock)
    if pc.any(pc.match_substring_regex(texts, "[eE]")).as_py():
        raise DataError("time", texts[0].as_py(), "must be written in full: a spreadsheet cut its digits",
                        "export the column as a whole number", f"{clock.path}: column {clock.subject}")  # fmt: skip
    try:
        if pc.any(pc.match_substring(texts, ".")).as_py():
            return _with_point(pc.cast(texts, pa.decimal128(29, 9)), texts, clock)
        return Moments(*_epoch(pc.cast(texts, pa.int64()).to_numpy(), clock))
    except pa.ArrowInvalid as error:
        raise DataError(
            "time",
            texts[0].as_py(),
            f"must be a moment or a count, all rows in one form ({error})",
            # fmt: skip
            "export it as 2025-03-10T09:30:00Z",
            f"{clock.path}: column {clock.subject}",
        ) from None


def _with_point(numbers: Any, texts: Any, clock: Clock) -> Moments:
    import pyarrow as pa
    import pyarrow.compute as pc

    rough = pc.cast(numbers, pa.float64()).to_numpy()
    if _SERIAL[0] <= rough.min() and rough.max() < _SERIAL[1]:
        return _serial(rough, texts, clock)
    whole = pc.cast(pc.floor(numbers), pa.decimal128(29, 0))
    part = pc.cast(pc.subtract(numbers, pc.floor(numbers)), pa.float64()).to_numpy()
    found, note = _epoch(pc.cast(whole, pa.int64()).to_numpy(), clock)
    unit = next(factor for size, factor, _ in _EPOCHS if _FIRST * size <= rough.min() < _LAST * size)
    return Moments(found + np.round(part * unit).astype(np.int64), note)


def _epoch(numbers: np.ndarray, clock: Clock) -> tuple[np.ndarray, str]:
    "Whole numbers since 1970 as ns: their size tells the unit."
    if not len(numbers):
        return numbers, "no rows"
    for size, factor, name in _EPOCHS:
        if _FIRST * size <= numbers.min() and numbers.max() < _LAST * size:
            return numbers * factor, f"{name} since 1970"
    raise DataError("time", int(numbers.min()), "must count seconds, ms, us or ns since 1970, one unit in all rows", "",
                    clock.path)  # fmt: skip


def _serial(days: np.ndarray, texts: Any, clock: Clock) -> Moments:
    "A spreadsheet's days since 1899-12-30, as clock times to the second."
    import pyarrow.compute as pc

    digits = pc.max(pc.binary_length(pc.replace_substring_regex(texts, r"^\d+\.?", ""))).as_py()
    if 0 < digits < 5:
        raise DataError("time", texts[0].as_py(), f"must have 5 decimals: {digits} do not tell seconds of a day",
                        "export the column as a date and time", f"{clock.path}: column {clock.subject}")  # fmt: skip
    local = (np.round(days * 86_400).astype(np.int64) - 25_569 * 86_400) * SECOND
    return Moments(localized(local, clock), f"a spreadsheet's days, on the clock of {clock.tz}")


def shown(nanos: int) -> str:
    "A moment for a message."
    return f"{np.datetime64(int(nanos), 'ns').astype('M8[s]')}Z"
