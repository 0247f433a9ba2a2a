"Time for a campaign: any callable is a clock; real, scaled and hand-moved ones are here."

import threading
import time
from collections.abc import Callable

SECOND = 1_000_000_000  # nanoseconds
_SECONDS_BELOW = 10**12  # a smaller number is taken for seconds, a larger one for nanoseconds

Clock = Callable[[], float]  # nanoseconds or seconds since 1970, UTC


def nanoseconds(moment: float, unit: str = "auto") -> int:
    "A clock's answer as ns; `unit` is `s`, `ns` or `auto` (by size: below 10^12 is seconds)."
    seconds = unit == "s" or (unit == "auto" and abs(moment) < _SECONDS_BELOW)
    return round(moment * SECOND) if seconds else int(moment)


class HandClock:
    "Stands still until moved; ns since 1970."

    def __init__(self, start: float = 1_764_000_000 * SECOND) -> None:
        self._now = nanoseconds(start)
        self._lock = threading.Lock()

    def __call__(self) -> int:
        return self._now

    def move(self, seconds: float) -> int:
        "Forward by `seconds`; the new moment in ns."
        if seconds < 0:
            raise ValueError(f"move by {seconds} s: a clock only goes forward")
        with self._lock:
            self._now += round(seconds * SECOND)
            return self._now


class ScaledClock:
    "Runs `scale` times as fast as the wall clock, from `start` (ns or s since 1970; default now)."

    def __init__(self, scale: float, start: float | None = None) -> None:
        if scale <= 0:
            raise ValueError(f"scale {scale}: must be above zero")
        self.scale = scale
        self._start = time.time_ns() if start is None else nanoseconds(start)
        self._begun = time.monotonic_ns()

    def __call__(self) -> int:
        return self._start + int((time.monotonic_ns() - self._begun) * self.scale)
