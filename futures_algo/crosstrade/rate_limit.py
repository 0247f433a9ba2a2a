"""The broker's token bucket on our side, with a fast lane for exits."""

import enum
import heapq
import itertools
import math
import threading
import time
from collections.abc import Callable, Hashable
from typing import NamedTuple

from futures_algo.core.types import InputError


class Priority(enum.IntEnum):
    "Who goes first when requests must wait."

    EXIT = 0  # exits, cancels, flattens
    ENTRY = 1
    READ = 2


class Ticket(NamedTuple):
    "A place in the lane."

    priority: Priority
    number: int


class TokenBucket:
    "The broker's rate limit, kept on our side; safe to share between threads and event loops."

    def __init__(
        self,
        rate: float = 3.0,  # requests a second; math.inf for no limit
        burst: int = 20,  # requests at once after a rest
        reserve: int = 3,  # tokens that reads leave for orders
        lag: float = 0.1,  # seconds a request may take to reach the broker
        clock: Callable[[], float] = time.monotonic,
    ):
        if not rate > 0 or burst < 1:
            raise InputError("rate limit", (rate, burst), "must have a positive rate and a burst of at least 1")
        self.rate, self.burst, self.reserve, self.lag, self._clock = (
            rate,
            burst,
            min(reserve, burst - 1),
            lag if math.isfinite(rate) else 0.0,
            clock,
        )
        self._tokens, self._since, self._paused_until = float(burst), -math.inf, -math.inf
        self._lane: list[Ticket] = []
        self._numbers, self._lock = itertools.count(), threading.Lock()

    def ticket(self, priority: Priority = Priority.READ) -> Ticket:
        "Queue up."
        with self._lock:
            heapq.heappush(self._lane, ticket := Ticket(priority, next(self._numbers)))
            return ticket

    def try_take(self, ticket: Ticket) -> float:
        "0.0 when the ticket may go now, else the seconds after which it is worth asking again."
        with self._lock:
            now = self._clock()
            self._refill(now)
            if now < self._paused_until:
                return self._paused_until - now
            ahead = sum(other < ticket for other in self._lane)
            wait = (1 + ahead + self._kept(ticket) - self._tokens) / self.rate
            if not ahead and wait <= 1e-9:
                return self._spend(ticket, now)
            return max(wait, self._since - now + wait, 0.005)

    def leave(self, ticket: Ticket) -> None:
        "Give the place up."
        with self._lock:
            if ticket in self._lane:
                self._lane.remove(ticket)
                heapq.heapify(self._lane)

    def pause(self, seconds: float) -> None:
        "The broker said 429: nobody goes for so long, and the burst is gone."
        with self._lock:
            now = self._clock()
            self._paused_until = max(self._paused_until, now + seconds)
            self._tokens, self._since = min(self._tokens, 1.0), self._paused_until

    def _kept(self, ticket: Ticket) -> int:
        return self.reserve if ticket.priority is Priority.READ else 0

    def _refill(self, now: float) -> None:
        if now <= self._since:
            return
        self._tokens = (
            min(self._tokens + (now - self._since) * self.rate, float(self.burst))
            if self._since > -math.inf
            else self._tokens
        )
        self._since = now

    def _spend(self, ticket: Ticket, now: float) -> float:
        full = (
            now + self.lag - (self.burst - self._tokens) / self.rate
        )  # refilling before this could outrun a broker that is full when the request arrives
        self._since = max(self._since, full)
        self._tokens -= 1
        self._lane.remove(ticket)
        heapq.heapify(self._lane)
        return 0.0


_buckets: dict[Hashable, TokenBucket] = {}


def shared_bucket(
    owner: Hashable,  # who the broker counts: a token at a base URL
    rate: float,  # requests a second
    burst: int,
) -> TokenBucket:
    "The one bucket of this process for an owner; the first client's rate and burst hold."
    return _buckets.setdefault(owner, TokenBucket(rate, burst))
