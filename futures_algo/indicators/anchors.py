"The session each bar belongs to, for whole columns and bar by bar."

import datetime as dt

import numpy as np

from futures_algo.core.sessions import SessionCalendar
from futures_algo.core.types import Bar, Bars

_EPOCH = dt.date(1970, 1, 1).toordinal()


def _spans(calendar: SessionCalendar, hours: str, start: int, end: int) -> list[tuple[int, int, int, int]]:
    "Open, close, session and the session's own open of every trading interval that overlaps `[start, end)`."
    found = []
    for segment in calendar.segments(start, end):
        span = segment if hours == "session" else calendar.regular_hours(segment.session)
        if span is None:
            continue
        anchor = calendar.session_span(segment.open)[0] if hours == "session" else span.open
        found.append((span.open, span.close, dt.date.fromisoformat(span.session).toordinal() - _EPOCH, anchor))
    return sorted(set(found))


def session_columns(
    bars: Bars,
    hours: str = "session",  # "session" or "regular"
    calendar: SessionCalendar | None = None,  # the symbol's own when omitted
) -> tuple[np.ndarray, np.ndarray]:  # int64[n] session (days since 1970-01-01, -1 outside), int64[n] ns since its open
    "Where each bar stands in its session."
    session, since_open = np.full(len(bars), -1, np.int64), np.zeros(len(bars), np.int64)
    if not len(bars):
        return session, since_open
    for open, close, day, anchor in _spans(
        calendar or SessionCalendar.of(bars.symbol), hours, int(bars.start[0]), int(bars.end[-1])
    ):
        rows = slice(*np.searchsorted(bars.start, (open, close)))
        session[rows], since_open[rows] = day, bars.start[rows] - anchor
    return session, since_open


class SessionLocator:
    "The same, bar by bar: the calendar is asked only when a bar leaves the interval of the one before."

    def __init__(self, hours: str = "session", calendar: SessionCalendar | None = None):
        self.hours, self.calendar = hours, calendar
        self._start, self._end, self._day, self._anchor = 0, 0, -1, 0

    def __call__(self, bar: Bar) -> tuple[int, int]:
        if not self._start <= bar.start < self._end:
            self._move(bar)
        return (self._day, bar.start - self._anchor) if self._day >= 0 else (-1, 0)

    def _move(self, bar: Bar) -> None:
        self.calendar = self.calendar or SessionCalendar.of(bar.symbol)
        inside = [
            span
            for span in _spans(self.calendar, self.hours, bar.start, bar.start + 1)
            if span[0] <= bar.start < span[1]
        ]
        self._start, self._end, self._day, self._anchor = inside[0] if inside else (bar.start, bar.start + 1, -1, 0)
