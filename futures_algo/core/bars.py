"""A bar from whatever a user holds: a `Bar`, a dictionary, a table's row."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from futures_algo.core.types import Bar, DataError, InputError, Timeframe, to_nanos

STARTS = ("start", "timestamp", "ts_event", "time", "datetime", "date", "index")  # names of a bar's start, best first
NEEDED = ("open", "high", "low", "close", "volume")
_FIRST_NANOS = 10**17  # a smaller integer is seconds, milliseconds or microseconds since 1970


def as_bar(
    symbol: str,  # feed symbol: "ES.c.0"; the row's own `symbol` when empty
    fields: "Bar | Mapping[str, Any] | Any",  # open, high, low, close, volume and one of `STARTS`; or a table's row
    timeframe: "int | str" = "1min",  # what it covers
    *,
    timed: bool = True,  # False takes a bar without a time, which then is at 0
) -> Bar:
    "The bar. Its time is when it began: nanoseconds, or anything with a zone."
    if isinstance(fields, Bar):
        return fields
    row = {str(name).lower(): value for name, value in _pairs(fields)}
    if missing := [name for name in NEEDED if name not in row and (timed or name != "volume")]:
        raise DataError(
            "bar", dict(_pairs(fields)), f"must have {', '.join(missing)}", "add them", _place(symbol, timeframe)
        )
    length, symbol = Timeframe(timeframe), symbol or str(row.get("symbol", ""))
    start = _start(row, fields, length, timed, symbol)
    open, high, low, close = (_number(row[name], name, symbol, length) for name in NEEDED[:4])
    volume = int(_number(row.get("volume", 0), "volume", symbol, length))
    end = start + length.nanos if start else 0
    if isinstance(row.get("end"), (int, np.integer)):
        end = int(row["end"])
    return Bar(symbol, length, start, end, open, high, low, close, volume, str(row.get("contract", "")))


def _pairs(fields: Any) -> Any:
    if not hasattr(fields, "keys"):
        raise InputError(
            "bar", fields, "must be a Bar, a dictionary or a table's row", 'write {"timestamp": ..., "open": ...}'
        )
    return ((name, fields[name]) for name in fields.keys())  # noqa: SIM118 (a table's row iterates its values)


def _start(row: Mapping[str, Any], fields: Any, length: Timeframe, timed: bool, symbol: str) -> int:
    "When the bar began, ns UTC; 0 for a bar without a time where that is allowed."
    found = next((row[name] for name in STARTS if row.get(name) is not None), None)
    if found is None and hasattr(fields, "index") and hasattr(fields, "name") and not isinstance(fields, Mapping):
        found = fields.name if hasattr(fields.name, "tzinfo") else None  # a row of a table indexed by time
    if found is None and row.get("end") is not None:
        found = to_nanos(row["end"]) - length.nanos
    if found is None and timed:
        raise DataError(
            "bar",
            dict(_pairs(fields)),
            "must carry 'start', 'timestamp' or 'ts_event'",
            "add the bar's start with a zone",
            _place(symbol, length),
        )
    start = 0 if found is None else to_nanos(found)
    if found is not None and 0 < start < _FIRST_NANOS:
        raise DataError(
            "bar time",
            found,
            "must be nanoseconds since 1970, or a moment with a zone",
            "write pd.Timestamp(seconds, unit='s', tz='UTC')",
            _place(symbol, length),
        )
    return start


def _number(value: Any, name: str, symbol: str, length: Timeframe) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"bar {name}", value, "must be a finite number", "leave out the bar", _place(symbol, length))
    return number


def _place(symbol: str, timeframe: Any) -> str:
    return f"{symbol} {timeframe}".strip()
