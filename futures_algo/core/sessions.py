"""When each product trades: open, daily halt, early close, holiday, session date, and how many minutes to expect."""

import csv
import datetime as dt
from bisect import bisect_right
from functools import cache, cached_property, lru_cache
from typing import NamedTuple, cast
from zoneinfo import ZoneInfo

import numpy as np

from futures_algo.core.contracts import product
from futures_algo.core.paths import DATA
from futures_algo.core.regular_hours import CLOSED, REGULAR
from futures_algo.core.types import MINUTE, SECOND, InputError

EXCHANGE_ZONE = ZoneInfo("America/Chicago")


# Globex equity index futures paused 15:15-15:30 until the pause was removed with trade date 2021-06-28 (CME Globex
# notice of 2021-06-21).
_EQUITY_PAUSE = [("17:00", "15:15"), ("15:30", "16:00")]
_EQUITY_PAUSE_ENDS = dt.date(2021, 6, 28)
# Pit hours that traders still call the regular session, exchange time.
RTH = {
    "equity": ("08:30", "15:00"),
    "energy": ("08:00", "13:30"),
    "metals": ("07:20", "12:30"),
    "fx": ("07:20", "14:00"),
    "rates": ("07:20", "14:00"),
    "crypto": ("08:30", "15:00"),
    "grains": ("08:30", "13:20"),
    "livestock": ("08:30", "13:05"),
    "ice_sugar": ("07:30", "12:00"),
    "ice_coffee": ("07:30", "12:30"),
    "ice_cocoa": ("07:30", "12:30"),
    "ice_cotton": ("07:30", "13:20"),
    "ice_juice": ("07:30", "13:00"),
    "ice_dollar": ("07:00", "14:00"),
}
# Groups that never close from the close of this date's session on. CME's crypto products (announced on 2026-02-19,
# filing
# 26-114 by way of exchange-hours-rs): trading from Friday evening to Sunday evening, and on holidays, has the next
# business day's date; maintenance on Saturdays from 02:00 to 04:00, longer on the days named. The pause from 16:00 to
# 16:02 of every business day is left out: the sources differ on it, and a bar of those minutes is no fault.
CONTINUOUS = {"crypto": dt.date(2026, 5, 29)}
MAINTENANCE = ("02:00", "04:00")
_LONGER = {dt.date(2026, 8, 1): "09:00", dt.date(2026, 8, 29): "06:00", dt.date(2026, 9, 19): "08:00"}
_FIRST_YEAR, _LAST_YEAR = 2008, 2030


class Segment(NamedTuple):
    "An unbroken trading interval."

    open: int  # ns UTC
    close: int  # ns UTC, exclusive
    session: str  # date the session closes on, "2025-03-10"


def _clock(text: str) -> dt.time:
    return dt.time.fromisoformat(text)


def _nanos(day: dt.date, at: dt.time) -> int:
    "Exchange date and time as ns UTC."
    return int(dt.datetime.combine(day, at, EXCHANGE_ZONE).timestamp()) * SECOND


class Hours(NamedTuple):
    "How a session differs from the regular ones."

    open: str  # late opening on the session's own date, "08:30", or nothing
    close: str  # last close, or "closed"


@lru_cache(maxsize=1)
def _exceptions() -> dict[str, dict[str, Hours]]:
    "Group -> session date -> its hours: the shipped table, and over it the file that `sessions --update` took."
    from futures_algo.core.calendar_file import newer_rows

    table: dict[str, dict[str, Hours]] = {}
    with (DATA / "session_exceptions.csv").open() as file:
        for row in csv.DictReader(file):
            table.setdefault(row["group"], {})[row["session"]] = Hours(row["open"], row["close"])
    for row in newer_rows():
        table.setdefault(row["group"], {})[row["session"]] = Hours(row["open"], row["close"])
    return table


def _segments_of(group: str, day: dt.date, own: Hours | None) -> list[Segment]:
    "The segments of one session, cut at a late opening and an early close."
    last_close = own.close if own else None
    first_open = _nanos(day, _clock(own.open)) if own and own.open else None
    hours = _EQUITY_PAUSE if group == "equity" and day < _EQUITY_PAUSE_ENDS else REGULAR[group]
    evening = _clock(REGULAR[group][-1][1])
    end = _nanos(day, _clock(last_close)) if last_close else None
    found = []
    for opens, closes in hours:
        before = _clock(opens) > evening
        open = _nanos(day - dt.timedelta(days=before), _clock(opens))
        close = _nanos(day, _clock(closes))
        if end is not None:
            close = min(close, end)
        if first_open is not None:
            open = max(open, first_open)
        if open < close:
            found.append(Segment(open, close, day.isoformat()))
    return found


def _all_segments(group: str) -> list[Segment]:
    "Every segment of the covered years, in order."
    off = _exceptions().get(group, {})
    day, last = dt.date(_FIRST_YEAR, 1, 1), dt.date(_LAST_YEAR, 12, 31)
    found: list[Segment] = []
    while day <= last:
        own = off.get(day.isoformat())
        if day.weekday() < 5 and not (own and own.close == CLOSED):
            if group in CONTINUOUS and day > CONTINUOUS[group]:
                found += _continued(found[-1].close, group, day, own)
            else:
                found += _segments_of(group, day, own)
        day += dt.timedelta(days=1)
    return found


def _continued(open: int, group: str, day: dt.date, own: Hours | None) -> list[Segment]:
    "A session that begins where the one before it ended, cut by the maintenance of the Saturdays in it."
    found, close = [], _nanos(day, _clock(own.close if own else REGULAR[group][-1][1]))
    for back in range(7, 0, -1):
        saturday = day - dt.timedelta(days=back)
        if saturday.weekday() != 5 or _nanos(saturday, _clock(MAINTENANCE[0])) < open:
            continue
        found.append(Segment(open, _nanos(saturday, _clock(MAINTENANCE[0])), day.isoformat()))
        open = _nanos(saturday, _clock(_LONGER.get(saturday, MAINTENANCE[1])))
    return [*found, Segment(open, close, day.isoformat())]


class SessionCalendar:
    "Trading hours of one product group; get one with `SessionCalendar.of('ES.c.0')`."

    def __init__(self, group: str):
        group = group.partition(".")[0]
        if group not in REGULAR:
            raise InputError("calendar", group, "must be a product group", f"known: {', '.join(REGULAR)}")
        self.group = group
        self._list = _all_segments(group)
        self._opens = [segment.open for segment in self._list]

    @classmethod
    def of(
        cls,
        symbol: str,  # a root, feed symbol or contract: "ES", "ES.c.0", "ESZ5"
    ) -> "SessionCalendar":
        "The calendar of a symbol's product; one object a product group."
        return _calendar(product(symbol).calendar)

    def __repr__(self) -> str:
        return f"SessionCalendar({self.group!r})"

    @property
    def bounds(self) -> list[int]:
        "Openings and closes in turn, ns UTC: every moment lies in one interval between two of them, open or closed."
        return [bound for segment in self._list for bound in segment[:2]]

    @cached_property
    def edges(self) -> np.ndarray:
        "The same as int64 array, not to be written to."
        edges = np.array(self.bounds, np.int64)
        edges.flags.writeable = False
        return edges

    def interval(self, when: int) -> tuple[int, int, bool]:
        "Start and end of the trading or closed time around `when`, and whether it is trading time."
        at = self._at(when)
        found = self._list[at]
        return (found.open, found.close, True) if when < found.close else (found.close, self._list[at + 1].open, False)

    def _at(self, when: int) -> int:
        "Index of the last segment that opened at or before `when`."
        if not self._opens[0] <= when < self._list[-1].close:
            raise InputError(
                "time",
                str(np.datetime64(int(when), "ns"))[:19] + "Z",
                f"must lie in the years {_FIRST_YEAR} to {_LAST_YEAR}",
                "regenerate the table with futures_algo.core.holiday_table",
            )
        return bisect_right(self._opens, when) - 1

    def segment(self, when: int) -> Segment | None:
        "The segment that is open at `when` (ns UTC), or None while the market is closed."
        found = self._list[self._at(when)]
        return found if when < found.close else None

    def segments(self, start: int, end: int) -> list[Segment]:
        "All segments that overlap `[start, end)`."
        first = self._at(start)
        if self._list[first].close <= start:
            first += 1
        return self._list[first : bisect_right(self._opens, end - 1)]

    def is_open(self, when: int) -> bool:
        "Whether the product trades at `when`."
        return self.segment(when) is not None

    def next_open(self, when: int) -> int:
        "The first opening after `when`."
        return self._list[self._at(when) + 1].open

    def next_close(self, when: int) -> int:
        "The end of the open segment, or of the next one."
        at = self._at(when)
        return self._list[at if when < self._list[at].close else at + 1].close

    def session_date(self, when: int) -> str:
        "Date of the session that is open at `when`, or of the next one."
        at = self._at(when)
        return self._list[at if when < self._list[at].close else at + 1].session

    def session_bounds(self, session: str) -> tuple[int, int] | None:
        "First open and last close of a session by its date; None on a day without one."
        day = _nanos(dt.date.fromisoformat(session), dt.time(0))
        own = [s for s in self._list[max(0, self._at(day) - 2) : self._at(day) + 4] if s.session == session]
        return (own[0].open, own[-1].close) if own else None

    def session_close(self, when: int) -> int:
        "Last close of the session that is open at `when`, or of the next one, halts inside it passed over."
        return self.session_span(when)[1]

    def session_span(self, when: int) -> tuple[int, int]:
        "First open and last close of the session that is open at `when`, or of the next one."
        return cast(tuple[int, int], self.session_bounds(self.session_date(when)))  # a date of the table has bounds

    def minutes_expected(self, start: int, end: int) -> int:
        "Whole minutes of trading time in `[start, end)`."
        return sum(min(end, s.close) - max(start, s.open) for s in self.segments(start, end)) // MINUTE

    def regular_hours(self, session: str) -> Segment | None:
        "The session's regular trading hours (RTH), cut at an early close."
        bounds, day = self.session_bounds(session), dt.date.fromisoformat(session)
        if bounds is None:
            return None
        opens, closes = (_nanos(day, _clock(text)) for text in RTH[self.group])
        return Segment(opens, min(closes, bounds[1]), session) if opens < bounds[1] else None


@cache
def _calendar(group: str) -> SessionCalendar:
    return SessionCalendar(group)
