"""A table's times as moments: their zone, order and step, and whether they mark a bar's start or its close."""

from typing import Any

import numpy as np

from futures_algo.core.contracts import Product
from futures_algo.core.types import DAY, SECOND, DataError, Timeframe
from futures_algo.history.clock_times import Clock, Moments, localized, shown
from futures_algo.history.columns import Table
from futures_algo.history.formats import FORMATS, STAMPS, Reading
from futures_algo.history.stamps import read_moments

_EXCHANGE_ZONES = {"NYMEX": "America/New_York", "COMEX": "America/New_York"}
_BLOCK = 1 << 17  # rows looked at together


def moments_of(table: Table, reading: Reading, format: str, item: Product, path: str) -> Moments:
    ours = "time" if "time" in table.columns else "date"
    preset = FORMATS[format] if format else None
    said = reading.tz or _zone_of(reading.preset.tz if reading.preset else "", item)
    tz = said or ("UTC" if table.name(ours).strip().lower().endswith("utc") else None)
    dayfirst, why = reading.dayfirst, "as said"
    if dayfirst is None and preset and preset.dayfirst is not None:
        dayfirst, why = preset.dayfirst, f"as {preset.vendor} writes them"
    hint = f"say --format {format}, as it looks like {preset.vendor}'s, or " if preset and preset.tz else ""
    clock = Clock(tz, dayfirst, table.name(ours), path, why, hint)
    column = table.columns[ours]
    if not table.texts and column.dtype.kind in "Mi":
        return _typed(column, clock)
    first, second = (_texts(table.columns.get(name)) for name in (ours, "clock"))
    table.columns[ours] = None
    if not len(first):
        return Moments(np.empty(0, np.int64), "no rows")
    return read_moments(first, second, clock)


def _zone_of(tz: str, item: Product) -> str:
    return _EXCHANGE_ZONES.get(item.exchange, "America/Chicago") if tz == "exchange" else tz


def _typed(column: Any, clock: Clock) -> Moments:
    "Times that a table holds as times or whole numbers."
    import pandas as pd

    if column.isna().any():
        row = int(np.flatnonzero(column.isna())[0])
        raise DataError("time", "missing", "must be there in every row", "complete it", f"{clock.path}: row {row}")
    if column.dtype.kind == "i":
        return read_moments(_texts(column), None, clock) if len(column) else Moments(np.empty(0, np.int64), "")
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return Moments(
            column.dt.tz_convert("UTC").dt.as_unit("ns").to_numpy("M8[ns]").astype(np.int64), "times with their zone"
        )
    local = column.dt.as_unit("ns").to_numpy("M8[ns]").astype(np.int64)
    return Moments(localized(local, clock), f"times on the clock of {clock.tz}")


def _texts(column: Any) -> Any:
    "A column as Arrow texts."
    import pyarrow as pa

    if column is None or isinstance(column, (pa.ChunkedArray, pa.Array)):
        return column
    if column.dtype.kind == "M":
        return pa.chunked_array([pa.array(column.dt.strftime("%Y-%m-%dT%H:%M:%S.%f%z"), pa.string())])
    if column.dtype.kind == "f":
        column = column.map("{:f}".format)
    return pa.chunked_array(
        [pa.array([None if one is None or one != one else str(one) for one in column], pa.string())]
    )


def in_order(columns: list[np.ndarray], reading: Reading, path: str) -> tuple[list[np.ndarray], str]:
    "Newest first turned round when asked; said otherwise."
    times = columns[0]
    backwards = len(times) > 1 and bool((times[1:] <= times[:-1]).all()) and bool(times[-1] < times[0])
    if reading.newest_first:
        if len(times) > 1 and not backwards:
            later = np.flatnonzero(times[1:] > times[:-1])
            row = int(later[0]) + 1 if len(later) else 1
            raise DataError("time", shown(columns[0][row]), "must lie before the row above in a file that is newest"
                            " first", "leave --newest-first out", f"{path}: row {row}")  # fmt: skip
        return [column[::-1] for column in columns], "newest first, turned round as asked"
    if backwards:
        rule = "must be oldest first: this file is newest first"
        remedy = "say newest_first=True (--newest-first), and it is turned round"
        raise DataError("rows", f"{shown(times[0])} first, {shown(times[-1])} last", rule, remedy, path)
    return columns, ""


def timeframe_of(times: np.ndarray, reading: Reading, path: str) -> Timeframe:
    "The one said, or the most frequent step."
    if reading.timeframe is not None:
        return Timeframe(reading.timeframe)
    parts = [
        np.unique(np.diff(times[max(begin - 1, 0) : begin + _BLOCK]), return_counts=True)
        for begin in range(0, len(times), _BLOCK)
    ]
    steps, at = np.unique(np.concatenate([part[0] for part in parts] or [times]), return_inverse=True)
    counts = np.bincount(at, np.concatenate([part[1] for part in parts] or [times]), len(steps))
    steps, counts = steps[steps > 0], counts[steps > 0]
    if not len(steps):
        raise DataError("timeframe", "unknown", "must be given when fewer than two times differ",
                        "say it with timeframe='1min' (--timeframe 1min)", path)  # fmt: skip
    step = int(steps[counts.argmax()])
    if step % SECOND:
        raise DataError("time", f"{step} ns apart", "must be whole seconds apart", "are these ticks? bars_from_trades"
                        " makes bars of them", path)  # fmt: skip
    return Timeframe(f"{step // SECOND}s")


def stamp_of(
    times: np.ndarray, timeframe: Timeframe, symbol: str, reading: Reading, format: str, check: bool, path: str
) -> tuple[str, str]:
    "Whether times mark a bar's start or its close: as said, as the vendor always does, or as the sessions show."
    if reading.stamp:
        stamp = STAMPS[reading.stamp]
        return stamp, f"times mark the bar's {stamp}, as said"
    if reading.preset:
        return reading.preset.stamp, f"times mark the bar's {reading.preset.stamp}, as {reading.preset.vendor}'s do"
    if not check or not len(times):
        return "start", "times taken as the bar's start"
    at, before = shown(times[0]), shown(times[0] - timeframe.nanos)
    rule = f"can mean two bars: {at} is the start of the first bar (open), or its close (it starts {before})"
    if format and FORMATS[format].stamp == "close":
        remedy = f"say --format {format}, or --stamp close or open"
        raise DataError("stamp", at, f"{rule}; {FORMATS[format].vendor} stamps the close", remedy, path)
    at_close, at_open = _on_the_grid(times, timeframe, symbol)
    if at_close and not at_open:
        why = f"{at_close} of the times lie on a session's close and none on an opening, as those of a bar's close do"
        raise DataError("stamp", at, f"{rule}; {why}", "say --stamp close or open", path)
    return "start", "times taken as the bar's start"


def _on_the_grid(times: np.ndarray, timeframe: Timeframe, symbol: str) -> tuple[int, int]:
    "How many times lie on a close of a session, and how many on an opening."
    from futures_algo.core.sessions import SessionCalendar

    if timeframe.nanos >= DAY or not symbol:
        return 0, 0
    edges, at_close, at_open = SessionCalendar.of(symbol).edges, 0, 0
    for begin in range(0, len(times), _BLOCK):
        part = times[begin : begin + _BLOCK]
        at = np.searchsorted(edges, part, side="left")
        hit = (at < len(edges)) & (edges[np.minimum(at, len(edges) - 1)] == part)
        reopens = edges[np.minimum(at + 1, len(edges) - 1)] == part  # a session that begins where the last one ended
        at_close += int((hit & (at % 2 == 1) & ~reopens).sum())
        at_open += int((hit & (at % 2 == 0)).sum())
    return at_close, at_open
