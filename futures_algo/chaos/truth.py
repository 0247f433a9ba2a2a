"The truth log: every request, act, fault and hand, with its moment; a judge reads it, the wire never does."

import itertools
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MOST_EVENTS = 2_000_000


@dataclass(frozen=True)
class Event:
    "`kind`: request, answer, state, fill, price, fault, hand, note. `moment_ns` is on the broker's clock."

    number: int
    moment_ns: int
    kind: str
    data: dict[str, Any]


class TruthLog:
    "Append only, in one order over all threads. Past `MOST_EVENTS` it counts what it had to drop."

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._events: list[Event] = []
        self.dropped = 0
        self.faults: Counter[str] = Counter()  # struck, by name

    def note(self, kind: str, **data: Any) -> Event:
        with self._lock:
            event = Event(next(self._numbers), self._now(), kind, data)
            if kind == "fault":
                self.faults[data["name"]] += 1
            if len(self._events) < MOST_EVENTS:
                self._events.append(event)
            else:
                self.dropped += 1
            return event

    def events(self, *kinds: str) -> tuple[Event, ...]:
        "All of them, or those of `kinds`, oldest first."
        with self._lock:
            seen = tuple(self._events)
        return tuple(event for event in seen if not kinds or event.kind in kinds)
