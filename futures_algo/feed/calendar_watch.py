"""A live stream against the calendar: bars in a market it has closed, none in one it has open."""

from collections import deque

from futures_algo.core.sessions import SessionCalendar
from futures_algo.core.types import HOUR, MINUTE, InputError
from futures_algo.feed.events import FeedAlarm, clock_text

SILENCE = 10 * MINUTE  # of an open market, after which a product that trades is missed
_BUSY = 30  # of the last 60 minutes of trading must have had a bar in a product that trades
_HOLDS = "the calendar holds for orders until it is corrected (sessions --update FILE)"


class CalendarWatch:
    "One symbol's bars, judged by its calendar; each contradiction is said once."

    def __init__(self, symbol: str):
        self.symbol, self.calendar = symbol, SessionCalendar.of(symbol)
        self._minutes: deque[int] = deque(maxlen=60)  # the last minutes with a bar, since 1970
        self._last = 0  # ns UTC, end of the last bar
        self._bounds = (0, 0, True)  # the interval of the calendar around the present
        self._said: set[tuple[str, int]] = set()

    def _interval(self, at: int) -> tuple[int, int, bool]:
        "Start and end of the open or closed time around a moment; a moment outside the calendar is taken as open."
        start, end, _ = self._bounds
        if not start <= at < end:
            try:
                self._bounds = self.calendar.interval(at)
            except InputError:
                self._bounds = (at, at + HOUR, True)
        return self._bounds

    def bar(self, start: int, end: int) -> FeedAlarm | None:
        "A bar came."
        opened, until, is_open = self._interval(start)
        minute = start // MINUTE
        if not self._minutes or self._minutes[-1] != minute:
            self._minutes.append(minute)
        self._last = max(self._last, end)
        if is_open:
            return None
        text = (
            f"{self.symbol} has a bar at {clock_text(start)}, in a market the calendar has closed from"
            f" {clock_text(opened)} to {clock_text(until)}: the bar is taken, and {_HOLDS}"
        )
        return self._once("closed market", opened, text, start)

    def passed(self, end: int) -> FeedAlarm | None:
        "Every bar that ends by now was sent."
        opened, _, is_open = self._interval(end - 1)
        since = max(self._last, opened)
        if not is_open or end - since < SILENCE or not self._is_busy():
            return None
        text = (
            f"{self.symbol} has had no bar since {clock_text(since)}, in a market the calendar has open: an exchange"
            f" that halted or a holiday the calendar lacks; {_HOLDS}, and entries wait for bars"
        )
        return self._once("silent market", since, text, end)

    def _is_busy(self) -> bool:
        "Whether most of the last hour of bars had one in every minute."
        return len(self._minutes) >= _BUSY and self._minutes[-1] - self._minutes[-_BUSY] < 60

    def _once(self, kind: str, since: int, text: str, at: int) -> FeedAlarm | None:
        if (kind, since) in self._said:
            return None
        self._said.add((kind, since))
        return FeedAlarm(self.symbol, kind, text, at)
