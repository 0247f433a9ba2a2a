"Signals that wait for the orders of their ledger to end, or for their next attempt."

from collections.abc import Callable
from typing import NamedTuple

from futures_algo.core.types import Signal

Key = tuple[str, str]  # strategy, instrument


class Waiting(NamedTuple):
    "A signal that waits."

    signal: Signal
    attempt: int = 0  # of an exit
    not_before: int = 0  # steady ns
    blind: int = 0  # looks at the account that failed before it


class WaitingQueue:
    "One queue a ledger; exits are taken before entries."

    def __init__(self):
        self._queues: dict[Key, list[Waiting]] = {}

    def __bool__(self) -> bool:
        return bool(self._queues)

    def keys(self) -> list[Key]:
        return list(self._queues)

    def of(self, key: Key) -> list[Waiting]:
        return list(self._queues.get(key, ()))

    def signals(self) -> list[Signal]:
        return [waiting.signal for queue in self._queues.values() for waiting in queue]

    def add(self, key: Key, waiting: Waiting) -> None:
        "Once for each signal."
        if not any(one.signal.id == waiting.signal.id for one in self._queues.get(key, ())):
            self._queues.setdefault(key, []).append(waiting)

    def has_exit(self, key: Key) -> bool:
        return any(not waiting.signal.is_entry for waiting in self._queues.get(key, ()))

    def take(self, key: Key) -> list[Waiting]:
        "The whole queue of a ledger, exits first; it is empty then."
        return sorted(self._queues.pop(key, []), key=lambda waiting: waiting.signal.is_entry)

    def put_back(self, key: Key, queue: list[Waiting]) -> None:
        "What could not go, before what was added meanwhile."
        if queue or key in self._queues:
            self._queues[key] = queue + self._queues.get(key, [])

    def clear(self) -> None:
        self._queues.clear()

    def take_entries(self, inside: Callable[[Key], bool]) -> list[Waiting]:
        "The entries that wait in some ledgers; they wait no more."
        taken = []
        for key in filter(inside, self.keys()):
            queue = self._queues.pop(key)
            taken += [waiting for waiting in queue if waiting.signal.is_entry]
            self.put_back(key, [waiting for waiting in queue if not waiting.signal.is_entry])
        return taken
