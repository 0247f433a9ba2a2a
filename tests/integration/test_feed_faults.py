"""The fault battery: whatever goes wrong between the gateway and the feed, in any order and at any time, every bar
arrives exactly once."""

import itertools
import math
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from feed_world import HEARTBEAT, KEY, World, check_stream, feed_of, record

from futures_algo.feed.events import ContractMapped
from futures_algo.sim.gateway import LoopbackGateway
from futures_algo.sim.gateway_faults import FAULTS, Fault

_AT_ONCE = 8  # episodes in parallel: most of an episode is waiting
_PATIENCE = 60  # s an episode may take at most


def _script(rng: np.random.Generator, world: World) -> list[Fault]:
    "Two to five faults at any moment, at least one of every kind in the long run."
    kinds = rng.choice(list(FAULTS), rng.integers(2, 6))
    moments = rng.integers(world.start, world.end - 1, len(kinds))
    return [Fault(int(at), str(kind), hold=float(rng.uniform(0.01, 0.08))) for at, kind in zip(moments, kinds)]


def _consume(rng: np.random.Generator, gateway: LoopbackGateway, world: World) -> list:
    """All events, from as many feeds as it takes: a process may stop at any event, and the next resumes where it
    stopped."""
    events, contracts, position = [], {}, None
    deadline = time.monotonic() + _PATIENCE
    for stop_after in [*rng.integers(1, 80, rng.integers(0, 3)), 10**9]:
        with feed_of(gateway, start=world.start, end=world.end, resume=position) as feed:
            for event in itertools.islice(feed.events(deadline - time.monotonic()), stop_after):
                # a new process is told its contracts again; only what changed is news
                if not isinstance(event, ContractMapped) or contracts.get(event.symbol) != event.contract:
                    events.append(event)
                if isinstance(event, ContractMapped):
                    contracts[event.symbol] = event.contract
        position = feed.position or position
        if position.closed_through == world.end:
            return events
    raise AssertionError(f"not done after {_PATIENCE} s: {feed!r}")


def _episode(seed: int, world: World) -> Counter:
    "One run through a script of faults; returns what struck."
    rng = np.random.default_rng(seed)
    script, speed = _script(rng, world), float(rng.choice([math.inf, 100.0, 400.0]))
    settings = {"speed": speed, "start_ns": world.start, "end_ns": world.end, "heartbeat_s": HEARTBEAT}
    with LoopbackGateway({"ohlcv-1s": [world.path]}, [KEY], faults=script, **settings) as gateway:
        events = _consume(rng, gateway, world)
        assert sorted(gateway.struck) == sorted(fault.kind for fault in script)
    check_stream(events, world)
    return Counter(gateway.struck)


def _numbered(seed: int, world: World) -> Counter:
    try:
        return _episode(seed, world)
    except AssertionError as wrong:
        raise AssertionError(f"seed {seed}: {wrong}") from wrong


def test_every_bar_arrives_once_whatever_goes_wrong(tmp_path, campaign):
    world = record(tmp_path / "roll.dbn.zst")
    threads = threading.active_count()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        struck = sum(pool.map(lambda seed: _numbered(seed, world), range(campaign(200, 2000))), Counter())
    assert set(struck) == set(FAULTS), "a kind of fault never happened"
    assert threading.active_count() <= threads, "threads were left behind"
