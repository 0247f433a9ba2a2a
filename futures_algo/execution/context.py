"What the parts of one account's execution share: broker, journal, clocks, the gate's picture, and a voice."

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from futures_algo.broker.protocol import Broker
from futures_algo.core.types import SECOND, Clock, DataClock, WallClock
from futures_algo.execution.gate import RiskState
from futures_algo.journal.journal import Journal

LONGEST_STEP = 30 * SECOND  # that one look at a clock which may be set counts for


class Steps:
    "Time that has passed by the looks at a clock somebody may set: back is nothing, and a leap counts little."

    def __init__(self, now: Callable[[], int]):
        self._now, self._last, self._passed = now, now(), SECOND

    def __call__(self) -> int:
        now = self._now()
        self._passed += min(max(now - self._last, 0), LONGEST_STEP)
        self._last = now
        return self._passed


def steady(clock: Clock) -> Callable[[], int]:
    "Nanoseconds that only go forward: what waiting is measured by."
    if isinstance(clock, WallClock):
        return time.monotonic_ns
    if own := getattr(clock, "steady", None):  # a clock that says itself what passes on a clock nobody sets
        return cast(Callable[[], int], own)
    return clock.now if isinstance(clock, DataClock) else Steps(clock.now)


@dataclass
class Context:
    "Shared by the parts of one executor."

    broker: Broker
    journal: Journal
    account: str  # its Name at the broker
    clock: Clock
    risk: RiskState
    marks: dict[str, float] = field(default_factory=dict)  # instrument -> last price known, points
    _told: set[Any] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.steady = steady(self.clock)

    def set_clock(self, clock: Clock) -> None:
        self.clock = clock
        self.__post_init__()

    def now(self) -> int:
        "ns UTC."
        return self.clock.now()

    def is_ours(self, account: str) -> bool:
        "Whether a row of the broker belongs to this account; one that names none does."
        return account.lower() in ("", self.account.lower())

    def say(self, level: str, kind: str, subject: str, message: str) -> None:
        self.journal.add_event(self.now(), level, kind, subject, message)

    def say_once(self, key: Any, level: str, kind: str, subject: str, message: str) -> bool:
        "The first time only; True when it was."
        if key in self._told:
            return False
        self._told.add(key)
        self.say(level, kind, subject, message)
        return True

    def forget(self, key: Any) -> None:
        "What was said once may be said again."
        self._told.discard(key)
