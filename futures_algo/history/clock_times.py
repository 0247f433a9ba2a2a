"""Times of the day as files write them, and dates with them as moments.

An hour that a clock shows twice, or never, is an error.
"""

import re
from typing import Any, NamedTuple

import numpy as np

from futures_algo.core.types import DAY, MINUTE, SECOND, DataError, InputError

_CLOCK = re.compile(
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(:(?P<second>\d{2})([.,](?P<part>\d{1,9}))?)?"
    r"\s*(?P<half>[AaPp]\.?[Mm]\.?)?\s*(?P<zone>Z|z|UTC|GMT|[+-]\d{2}(:?\d{2}(:\d{2})?)?|[A-Za-z][A-Za-z/_]+)?"
)


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


def joined(days: np.ndarray, note: str, rests: Coded | None, clock: Clock) -> Moments:
    "Days and clock times as moments."
    if rests is None:
        return Moments(days * DAY, f"{note}, without a time", True)
    codes, texts = rests.codes, rests.texts
    digits = max((len(text) for text in texts if text.isdigit()), default=0)
    read = [_read_clock(text, digits, clock) for text in texts]
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
                        row_text(clock, odd))  # fmt: skip
    return Moments(localized(local, clock), f"{note}, times on the clock of {clock.tz}")


def _read_clock(text: str, digits: int, clock: Clock) -> tuple[int, int | None]:
    if (found := _clock_time(text, digits, clock)) is not None:
        return found
    raise DataError("time", text, "must be a time of the day, all rows in one form", "export it as 09:30:00",
                    f"{clock.path}: column {clock.subject}")  # fmt: skip


def _clock_time(text: str, digits: int, clock: Clock) -> tuple[int, int | None] | None:
    "Nanoseconds since midnight, and the offset from UTC where one is written."
    if text.isdigit():
        text = text.zfill(4 if digits <= 4 else 6)
        parts = [int(text[at : at + 2]) for at in range(0, len(text), 2)] if len(text) in (4, 6) else [99]
        bare = _since_midnight(parts, 0)
        return None if bare is None else (bare, None)
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
        rule = "must be an offset such as -05:00, or Z: an abbreviation is used by several zones"
        remedy = "remove it and name the zone with --tz America/Chicago"
        raise DataError("zone", text, rule, remedy, f"{clock.path}: column {clock.subject}")
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


def shown(nanos: int) -> str:
    "A moment for a message."
    return f"{np.datetime64(int(nanos), 'ns').astype('M8[s]')}Z"


def row_text(clock: Clock, row: int) -> str:
    return f"{clock.path + ': ' if clock.path else ''}row {row}"
