"""Times as files write them, as moments: texts, dates and times in two columns, counts since 1970, spreadsheet days."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from futures_algo.core.types import SECOND, DataError
from futures_algo.history.clock_times import Clock, Coded, Moments, joined, localized, row_text
from futures_algo.history.dates import date_readings, days_of

_EPOCHS = ((1, SECOND, "seconds"), (1_000, 1_000_000, "milliseconds"), (10**6, 1_000, "microseconds"),
           (SECOND, 1, "nanoseconds"))  # fmt: skip  # fmt: skip
_FIRST, _LAST = 315_532_800, 4_102_444_800  # 1980 and 2100 in seconds: what a count since 1970 may mean
_SERIAL = 29_221.0, 73_415.0  # the same in days since 1899-12-30, as spreadsheets count
_NUMERIC = re.compile(r"-?\d+(\.\d*)?([eE][+-]?\d+)?")
_BLOCK = 1 << 17  # rows read together


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
    days, note = days_of(dates, clock)
    return joined(days, note, None if rests.texts == [""] else rests, clock)


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
        row = pc.index(empty, True).as_py()
        raise DataError("time", "missing", "must be there in every row", "complete it", row_text(clock, row + begin))


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


def _counted(texts: Any, clock: Clock) -> Moments:
    "Numbers: compact dates, counts since 1970, or a spreadsheet's days."
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths = pc.min_max(pc.binary_length(texts)).as_py()
    if lengths["min"] == lengths["max"] and lengths["max"] in (8, 12, 14) and texts[0].as_py()[:2] in ("19", "20"):
        dates, rests = pc.utf8_slice_codeunits(texts, 0, 8), pc.utf8_slice_codeunits(texts, 8)
        if lengths["max"] == 8 or date_readings(dates[0].as_py(), clock):
            coded, more = Coded(), Coded()
            coded.add(dates)
            more.add(rests)
            return joined(*days_of(coded, clock), more if lengths["max"] > 8 else None, clock)
    if pc.any(pc.match_substring_regex(texts, "[eE]")).as_py():
        raise DataError("time", texts[0].as_py(), "must be written in full: a spreadsheet cut its digits",
                        "export the column as a whole number", f"{clock.path}: column {clock.subject}")  # fmt: skip
    try:
        if pc.any(pc.match_substring(texts, ".")).as_py():
            return _with_point(pc.cast(texts, pa.decimal128(29, 9)), texts, clock)
        return Moments(*_epoch(pc.cast(texts, pa.int64()).to_numpy(), clock))
    except pa.ArrowInvalid as error:
        rule = f"must be a moment or a count, all rows in one form ({error})"
        remedy = "export it as 2025-03-10T09:30:00Z"
        raise DataError("time", texts[0].as_py(), rule, remedy, f"{clock.path}: column {clock.subject}") from None


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
