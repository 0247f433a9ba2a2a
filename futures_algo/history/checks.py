"""What is wrong with some bars, fault by fault and row by row."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from futures_algo.core.contracts import product
from futures_algo.core.sessions import SessionCalendar
from futures_algo.core.types import DAY, HOUR, Bars, DataError, Timeframe
from futures_algo.history.taking import bars_of, is_table, table_bars


class Fault(NamedTuple):
    "One row that breaks one rule."

    kind: str  # a key of RULES
    row: int  # index into the bars
    at: int  # ns UTC, the bar's start
    value: Any  # what stands there


class Gap(NamedTuple):
    "Trading time between two neighbouring rows for which there is no bar."

    row: int  # of the bar after it
    start: int  # ns UTC
    end: int
    missing: int  # bars


RULES = {  # kind -> (rule, remedy)
    "order": ("must be later than every row before it", "sort the rows by time"),
    "duplicate": ("must be the only row of its time", "find out which of the rows is right and drop the others"),
    "nan": ("must be a number", "complete the row or leave it out"),
    "ohlc": ("must have low <= open, close <= high", "fetch the row again from another source"),
    "volume": ("must be 0 or more contracts", "fetch the row again"),
    "tick": ("must lie on the product's tick grid", "check the product and whether the series was adjusted"),
    "alignment": (
        "must start on a multiple of its timeframe",
        "say stamp='close' if times mark the bar's close, or fetch the row again",
    ),
    "session": (
        "must lie inside a trading session",
        "check the zone of the times and the calendar (futures-algo sessions)",
    ),
    "gap": (
        "must follow the bar before it without a large hole in trading time",
        "fetch the range again, or raise max_gap for a thin contract",
    ),
}
_TIME_KINDS = ("order", "duplicate", "alignment", "session", "gap")


def _stamp(when: int) -> str:
    return f"{np.datetime64(int(when), 'ns').astype('M8[s]')}Z"


@dataclass(slots=True)
class Report:
    "What `validate_bars` found."

    symbol: str
    timeframe: str
    rows: int
    faults: list[Fault]  # every one, by row
    gaps: list[Gap] = field(default_factory=list)  # holes inside sessions, those too small to be faults included
    empty: int = 0  # bars without volume, as some vendors write them
    path: str = ""  # file the bars came from

    @property
    def ok(self) -> bool:
        return not self.faults

    @property
    def counts(self) -> dict[str, int]:
        "Faults by kind."
        return dict(Counter(fault.kind for fault in self.faults))

    def error(self, fault: Fault) -> DataError:
        "A fault as the error that refuses the data."
        rule, remedy = RULES[fault.kind]
        subject = f"{self.symbol} {'time' if fault.kind in _TIME_KINDS else 'bar'}"
        return DataError(
            subject,
            fault.value,
            rule,
            remedy,
            f"{self.path + ': ' if self.path else ''}row {fault.row}, {_stamp(fault.at)}",
        )

    def as_dict(
        self,
        limit: int = 1000,  # faults and gaps listed; the counts are of all
    ) -> dict[str, Any]:
        "What `validate-data --json` prints."
        gaps = [
            {"row": gap.row, "start": _stamp(gap.start), "end": _stamp(gap.end), "missing": gap.missing}
            for gap in self.gaps[:limit]
        ]
        return {
            "ok": self.ok,
            "errors": [self.error(fault).as_dict() for fault in self.faults[:limit]],
            "symbol": self.symbol,
            "timeframe": str(self.timeframe),
            "rows": self.rows,
            "counts": self.counts,
            "gaps": gaps,
            "gap_count": len(self.gaps),
            "missing_bars": sum(gap.missing for gap in self.gaps),
            "empty_bars": self.empty,
        }


_PRICES = ("open", "high", "low", "close")
_Found = tuple[np.ndarray, Callable[[int], Any]]  # rows, and what stands in one


def _disorder(bars: Bars) -> _Found:
    latest = np.maximum.accumulate(bars.start)
    return np.flatnonzero(bars.start[1:] < latest[:-1]) + 1, lambda row: _stamp(bars.start[row])


def _duplicates(bars: Bars) -> _Found:
    order = np.argsort(bars.start, kind="stable")
    again = bars.start[order][1:] == bars.start[order][:-1]
    return np.sort(order[1:][again]), lambda row: _stamp(bars.start[row])


def _row_prices(bars: Bars, row: int) -> str:
    return " ".join(f"{name}={float(getattr(bars, name)[row]):g}" for name in _PRICES)


def _not_numbers(bars: Bars) -> _Found:
    odd = ~np.logical_and.reduce([np.isfinite(getattr(bars, name)) for name in _PRICES])
    return np.flatnonzero(odd), lambda row: _row_prices(bars, row)


def _impossible(bars: Bars) -> _Found:
    high, low = np.maximum(bars.open, bars.close), np.minimum(bars.open, bars.close)
    return np.flatnonzero((bars.high < high) | (bars.low > low) | (bars.high < bars.low)), lambda row: _row_prices(
        bars, row
    )


def _negative_volume(bars: Bars) -> _Found:
    return np.flatnonzero(bars.volume < 0), lambda row: int(bars.volume[row])


def _off_grid(bars: Bars, tick_size: float) -> _Found:
    off = np.zeros(len(bars), bool)
    for name in _PRICES:
        ticks = getattr(bars, name) / tick_size
        off |= np.abs(ticks - np.round(ticks)) > 1e-6
    return np.flatnonzero(off), lambda row: _row_prices(bars, row)


def _misaligned(bars: Bars) -> _Found:
    "Only for timeframes that divide an hour; others are counted from the session's open."
    step = bars.timeframe.nanos
    return np.flatnonzero(bars.start % step) if HOUR % step == 0 else np.empty(0, int), lambda row: _stamp(
        bars.start[row]
    )


def _outside_sessions(bars: Bars, bounds: np.ndarray) -> _Found:
    "Rows whose time lies at or after as many closes as openings."
    return np.flatnonzero(np.searchsorted(bounds, bars.start, side="right") % 2 == 0), lambda row: _stamp(
        bars.start[row]
    )


def find_gaps(
    bars: Bars,
    calendar: SessionCalendar | None = None,  # the symbol's own by default
) -> list[Gap]:
    """Holes inside sessions between neighbouring rows, in order; a vendor that sends no bar without a trade leaves many
    small ones."""
    if len(bars) < 2:
        return []
    bounds = np.array((calendar or SessionCalendar.of(bars.symbol)).bounds)
    missing = (_trading_time(bars.start[1:], bounds) - _trading_time(bars.end[:-1], bounds)) // bars.timeframe.nanos
    rows = np.flatnonzero(missing > 0) + 1
    return [Gap(row, int(bars.end[row - 1]), int(bars.start[row]), int(missing[row - 1])) for row in rows.tolist()]


def _trading_time(when: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    "Trading time passed before each moment, ns, counted from the first opening of the calendar."
    passed = np.concatenate([[0], np.where(np.arange(len(bounds)) % 2, np.diff(bounds, prepend=bounds[0]), 0).cumsum()])
    at = np.searchsorted(bounds, when, side="right")
    return passed[at] + np.where(at % 2, when - bounds[np.maximum(at - 1, 0)], 0)


def validate_bars(
    bars: Any,  # Bars; a table with the usual column names; several by symbol, as `read_dbn` returns them
    *,
    symbol: str = "",  # of a table without a column `symbol`; without it sessions, gaps and ticks are not looked at
    tick_size: float | None = None,  # points; the product's by default, 0 looks at no grid
    calendar: SessionCalendar | None = None,  # the symbol's own by default
    max_gap: "str | int" = "60min",  # a longer hole inside sessions is a fault
    path: str = "",  # named in the report
) -> "Report | dict[str, Report]":
    "Look at every row by every rule; of several symbols a report each."
    several = table_bars(bars, symbol, check=False) if is_table(bars) else bars
    how = {"tick_size": tick_size, "calendar": calendar, "max_gap": max_gap, "path": path}
    if isinstance(several, Mapping) and len(several) != 1:
        return {name: validate_bars(one, **how) for name, one in several.items()}
    bars = bars_of(several)
    tick_size = _tick_of(bars.symbol) if tick_size is None else tick_size
    checks: dict[str, _Found] = dict(_structural(bars, tick_size))
    gaps: list[Gap] = []
    if bars.timeframe.nanos < DAY and (calendar or bars.symbol):
        calendar = calendar or SessionCalendar.of(bars.symbol)
        checks |= {"alignment": _misaligned(bars), "session": _outside_sessions(bars, np.array(calendar.bounds))}
        gaps = find_gaps(bars, calendar)
    faults = [
        Fault(kind, row, int(bars.start[row]), show(row))
        for kind, (rows, show) in checks.items()
        for row in rows.tolist()
    ]
    largest = Timeframe(max_gap).nanos // bars.timeframe.nanos
    faults += [
        Fault("gap", gap.row, gap.end, f"{gap.missing} bars missing since {_stamp(gap.start)}")
        for gap in gaps
        if gap.missing > largest
    ]
    return Report(
        bars.symbol,
        bars.timeframe,
        len(bars),
        sorted(faults, key=lambda fault: fault.row),
        gaps,
        int((bars.volume == 0).sum()),
        path,
    )


def _tick_of(symbol: str) -> float:
    return product(symbol).tick_size if symbol else 0.0


def _structural(bars: Bars, tick_size: float) -> Iterator[tuple[str, _Found]]:
    "The rules that need no calendar: a series that breaks one cannot be computed with."
    yield "order", _disorder(bars)
    yield "duplicate", _duplicates(bars)
    yield "nan", _not_numbers(bars)
    yield "ohlc", _impossible(bars)
    yield "volume", _negative_volume(bars)
    if tick_size:
        yield "tick", _off_grid(bars, tick_size)


def refuse_faults(
    bars: Bars,
    path: str = "",  # named in the error
) -> None:
    "Raise on the first structural fault, saying how many rows share it."
    report = Report(bars.symbol, bars.timeframe, len(bars), [], path=path)
    for kind, (rows, show) in _structural(bars, product(bars.symbol).tick_size):
        if not len(rows):
            continue
        error = report.error(Fault(kind, int(rows[0]), int(bars.start[rows[0]]), show(int(rows[0]))))
        more = f" ({len(rows):,} such rows)" if len(rows) > 1 else ""
        raise DataError(error.subject, error.value, error.rule + more, error.remedy, error.path)
