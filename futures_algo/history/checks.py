"""What is wrong with some bars, fault by fault and row by row."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from futures_algo.core.contracts import Product, product
from futures_algo.core.named import did_you_mean
from futures_algo.core.sessions import SessionCalendar
from futures_algo.core.types import DAY, HOUR, Bars, DataError, InputError, Timeframe
from futures_algo.history.plausible import IMPOSSIBLE, implausible
from futures_algo.history.vendor_rolls import vendor_rolls


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
    "duplicate": (
        "must be the only row of its time",
        "find out which of the rows is right; --dedupe exact keeps one of rows that are equal",
    ),
    "nan": ("must be a number", "complete the row or leave it out"),
    "ohlc": ("must have low <= open, close <= high", "fetch the row again from another source"),
    "volume": ("must be 0 or more contracts", "fetch the row again"),
    "tick": (
        "must lie on the product's tick grid",
        "check the product, the decimals its vendor wrote, and whether the series was adjusted",
    ),
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
    "no_volume": (
        "must hold traded contracts: every bar has volume 0",
        "export it with volume; what needs volume refuses such a series",
    ),
    "expired": (
        "must not be later than its contract's last trading moment",
        "name the contract of each row, or a .c symbol",
    ),
    "roll": (
        "must not step from one bar to the next as to another contract",
        "split the file at its rolls (--rolls split), or name the contract of each row",
    ),
} | IMPOSSIBLE
_TIME_KINDS = ("order", "duplicate", "alignment", "session", "gap", "expired")


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
        limit: int | None = None,  # faults and gaps listed, all by default; the counts are of all
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
_BLOCK = 1 << 17  # rows looked at together, so that long series take little memory
_Found = tuple[np.ndarray, Callable[[int], Any]]  # rows, and what stands in one


def _disorder(bars: Bars) -> _Found:
    if (bars.start[1:] >= bars.start[:-1]).all():
        return np.empty(0, np.int64), lambda row: ""
    latest = np.maximum.accumulate(bars.start)
    return np.flatnonzero(bars.start[1:] < latest[:-1]) + 1, lambda row: _stamp(bars.start[row])


def _duplicates(bars: Bars) -> _Found:
    if (bars.start[1:] > bars.start[:-1]).all():
        return np.empty(0, np.int64), lambda row: ""
    order = np.argsort(bars.start, kind="stable")
    again = bars.start[order][1:] == bars.start[order][:-1]
    return np.sort(order[1:][again]), lambda row: _stamp(bars.start[row])


def _row_prices(bars: Bars, row: int) -> str:
    return " ".join(f"{name}={float(getattr(bars, name)[row])!r}" for name in _PRICES)


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
        for begin in range(0, len(bars), _BLOCK):
            ticks = getattr(bars, name)[begin : begin + _BLOCK] / tick_size
            off[begin : begin + _BLOCK] |= np.abs(ticks - np.round(ticks)) > 1e-6
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
    bars: Bars,  # without a symbol their sessions, gaps and ticks are not looked at
    *,
    tick_size: float | None = None,  # points; the product's by default, 0 looks at no grid
    calendar: SessionCalendar | None = None,  # the symbol's own by default
    max_gap: "str | int" = "60min",  # a longer hole inside sessions is a fault
    path: str = "",  # named in the report
) -> Report:
    "Look at every row by every rule."
    item = product(bars.symbol) if bars.symbol else None
    checks: dict[str, _Found] = dict(_structural(bars, _grid(item, tick_size), item)) | {"no_volume": _no_volume(bars)}
    if item:
        checks |= vendor_rolls(bars, item)
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


def _grid(item: Product | None, tick_size: float | None) -> float:
    "The tick size to look at, points; 0 looks at none."
    if tick_size is None:
        return item.tick_size if item else 0.0
    return tick_size


def _no_volume(bars: Bars) -> _Found:
    rows = np.zeros(int(len(bars) > 1 and not bars.volume.any()), int)
    return rows, lambda row: f"volume 0 in all {len(bars):,} bars"


def _structural(bars: Bars, tick_size: float, item: Product | None) -> Iterator[tuple[str, _Found]]:
    "The rules that need no calendar: a series that breaks one cannot be computed with."
    yield "order", _disorder(bars)
    yield "duplicate", _duplicates(bars)
    yield "nan", _not_numbers(bars)
    yield "ohlc", _impossible(bars)
    yield "volume", _negative_volume(bars)
    if tick_size:
        yield "tick", _off_grid(bars, tick_size)
    for kind, rows in implausible(bars, item).items() if item else ():
        yield kind, (rows, _with_volume(bars))


def refuse_impossible(bars: Bars, path: str = "", accept: tuple[str, ...] = ()) -> None:
    "Raise on the first price that cannot be."
    found = implausible(bars, product(bars.symbol))
    _refuse(bars, {kind: (rows, _with_volume(bars)) for kind, rows in found.items()}.items(), path, accept)


def _with_volume(bars: Bars) -> Callable[[int], str]:
    return lambda row: f"{_row_prices(bars, row)} volume={int(bars.volume[row])}"


def refuse_faults(
    bars: Bars,
    path: str = "",  # named in the error
    accept: tuple[str, ...] = (),  # kinds of impossible prices that are true here
) -> None:
    "Raise on the first structural fault, saying how many rows share it."
    item = product(bars.symbol)
    _refuse(bars, _structural(bars, item.tick_size, item), path, accept)


def _refuse(bars: Bars, found: Iterable[tuple[str, _Found]], path: str, accept: tuple[str, ...]) -> None:
    report = Report(bars.symbol, bars.timeframe, len(bars), [], path=path)
    for kind in accept:
        if kind not in IMPOSSIBLE:
            raise InputError("accept", kind, "must be a kind of price that cannot be", did_you_mean(kind, IMPOSSIBLE))
    for kind, (rows, show) in found:
        if not len(rows) or kind in accept:
            continue
        error = report.error(Fault(kind, int(rows[0]), int(bars.start[rows[0]]), show(int(rows[0]))))
        more = f" ({len(rows):,} such rows)" if len(rows) > 1 else ""
        raise DataError(error.subject, error.value, error.rule + more, error.remedy, error.path)
