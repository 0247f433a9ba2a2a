"The token bucket never lets more through than the broker allows, and lets exits through first."

import math
import threading
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from futures_algo.core.types import InputError
from futures_algo.crosstrade.rate_limit import Priority, TokenBucket, shared_bucket

RATE, BURST = 3.0, 20


class HandClock:
    "A clock the test turns."

    def __init__(self):
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class BrokerBucket:
    "The broker's own bucket, as its page describes it, seeing requests when they arrive."

    def __init__(self):
        self.tokens, self.at = float(BURST), 0.0

    def arrives(self, at: float) -> bool:
        self.tokens, self.at = min(self.tokens + max(at - self.at, 0.0) * RATE, BURST), max(at, self.at)
        self.tokens -= 1
        return self.tokens >= -1e-6


def drain(
    bucket: TokenBucket, clock: HandClock, count: int, priority: Priority = Priority.ENTRY, step: float = 0.001
) -> list[float]:
    "Take `count` tokens as early as the bucket allows; the times they went."
    times = []
    for _ in range(count):
        ticket = bucket.ticket(priority)
        while (wait := bucket.try_take(ticket)) > 0:
            clock.now += max(wait, step)
        times.append(clock.now)
    return times


def test_twenty_go_at_once_then_three_a_second():
    clock = HandClock()
    times = drain(TokenBucket(clock=clock), clock, 26)
    assert times[:20] == [100.0] * 20
    gaps = [later - earlier for earlier, later in pairwise(times[20:])]
    assert times[20] - 100.0 == pytest.approx(1 / RATE + 0.1)  # a third of a second, and the lag
    assert gaps == pytest.approx([1 / RATE] * 5)


@given(st.lists(st.tuples(st.floats(0, 8), st.integers(1, 25), st.floats(0, 0.1)), min_size=1, max_size=12))
@settings(max_examples=150, deadline=None)
def test_the_broker_never_sees_more_than_it_allows_whatever_the_pattern_and_the_delay(bursts):
    clock, broker = HandClock(), BrokerBucket()
    bucket = TokenBucket(clock=clock)
    for rest, count, delay in bursts:
        clock.now += rest
        sent = drain(bucket, clock, count)
        assert all(broker.arrives(at + delay) for at in sent)  # requests of one burst keep their order


def test_without_a_limit_nobody_waits():
    clock = HandClock()
    bucket = TokenBucket(math.inf, clock=clock)
    assert drain(bucket, clock, 500, Priority.READ) == [100.0] * 500


def test_an_exit_passes_entries_and_reads_that_wait():
    clock = HandClock()
    bucket = TokenBucket(clock=clock)
    drain(bucket, clock, BURST)
    waiting = {
        "read": bucket.ticket(Priority.READ),
        "entry": bucket.ticket(Priority.ENTRY),
        "exit": bucket.ticket(Priority.EXIT),
    }
    order = []
    while waiting:
        clock.now += 0.01
        for name, ticket in list(waiting.items()):
            if bucket.try_take(ticket) == 0.0:
                order.append(name)
                del waiting[name]
    assert order == ["exit", "entry", "read"]


def test_reads_leave_tokens_for_orders():
    clock = HandClock()
    bucket = TokenBucket(clock=clock, reserve=3)
    reads = [bucket.ticket(Priority.READ) for _ in range(BURST)]
    assert sum(bucket.try_take(ticket) == 0.0 for ticket in reads) == BURST - 3
    assert all(bucket.try_take(bucket.ticket(Priority.EXIT)) == 0.0 for _ in range(3))


def test_a_pause_stops_everyone_even_exits_and_then_releases_one_at_a_time():
    clock = HandClock()
    bucket = TokenBucket(clock=clock)
    bucket.pause(5.0)
    exits = [bucket.ticket(Priority.EXIT) for _ in range(3)]
    assert bucket.try_take(exits[0]) == pytest.approx(5.0)
    clock.now += 5.0
    assert [bucket.try_take(ticket) == 0.0 for ticket in exits] == [True, False, False]


def test_a_shorter_pause_does_not_cut_a_longer_one_short():
    clock = HandClock()
    bucket = TokenBucket(clock=clock)
    bucket.pause(5.0)
    bucket.pause(1.0)
    assert bucket.try_take(bucket.ticket(Priority.EXIT)) == pytest.approx(5.0)


def test_who_leaves_the_lane_holds_nobody_up():
    clock = HandClock()
    bucket = TokenBucket(clock=clock)
    first, second = bucket.ticket(Priority.EXIT), bucket.ticket(Priority.ENTRY)
    assert bucket.try_take(second) > 0
    bucket.leave(first)
    bucket.leave(first)  # leaving twice is harmless
    assert bucket.try_take(second) == 0.0


def test_the_estimate_of_a_place_in_the_lane_is_never_too_late():
    clock = HandClock()
    bucket = TokenBucket(clock=clock)
    drain(bucket, clock, BURST)
    tickets = [bucket.ticket(Priority.ENTRY) for _ in range(4)]
    waits = [bucket.try_take(ticket) for ticket in tickets]
    assert waits == pytest.approx([(place + 1) / RATE + 0.1 for place in range(4)])


def test_threads_share_one_bucket_without_spending_a_token_twice():
    bucket, taken = TokenBucket(rate=0.001, burst=50, reserve=0), []

    def work():
        for _ in range(20):
            ticket = bucket.ticket(Priority.ENTRY)
            deadline = time.monotonic() + 5.0  # a ticket of another thread may stand ahead for an instant
            while (wait := bucket.try_take(ticket)) and wait < 500 and time.monotonic() < deadline:
                pass
            if not wait:
                taken.append(1)
            bucket.leave(ticket)

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 50


def test_clients_of_one_token_share_one_bucket():
    assert shared_bucket("owner-a", 3.0, 20) is shared_bucket("owner-a", 3.0, 20)
    assert shared_bucket("owner-a", 3.0, 20) is not shared_bucket("owner-b", 3.0, 20)


@pytest.mark.parametrize("rate, burst", [(0, 20), (-1, 20), (3, 0), (float("nan"), 20)])
def test_a_limit_that_makes_no_sense_is_refused(rate, burst):
    with pytest.raises(InputError, match="rate limit"):
        TokenBucket(rate, burst)
