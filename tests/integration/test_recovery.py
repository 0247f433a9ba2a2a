"""Whatever dies and whatever the broker does: no duplicate order, no lost order, no unexplained position.

Episodes are drawn by hypothesis: signals, polls, broker faults, manual trades, and crashes at any commit or request.
`-s` prints how often each fault happened.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from crash_world import CONTRACTS, PLACE_FAULTS, READ_FAULTS, STRATEGIES, World, check_books
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from futures_algo.core.types import ACTIONS, WallClock
from futures_algo.journal.journal import Journal
from futures_algo.sim.broker import PaperBroker

TALLY = Counter()
VARIANTS = st.fixed_dictionaries(
    {
        "id_echo": st.sampled_from(("echo", "nt8", "lost")),
        "not_found": st.sampled_from((400, 404)),
        "instant": st.booleans(),
        "single_order": st.sampled_from(("flat", "wrapped")),
        "partial": st.sampled_from(("whole", "half")),
        "lower_states": st.booleans(),
        "order_ids": st.sampled_from(("both", "id", "orderId")),
        "duplicate_id": st.sampled_from(("accept", "refuse")),
    }
)
NAMES, MOVES = st.sampled_from(STRATEGIES), st.sampled_from(ACTIONS)
SYMBOLS = st.sampled_from(sorted(CONTRACTS))


class Episode(RuleBasedStateMachine):
    @initialize(variants=VARIANTS)
    def begin(self, variants):
        self.world = World(variants)

    @rule(strategy=NAMES, symbol=SYMBOLS, action=MOVES)
    def signal(self, strategy, symbol, action):
        self.world.signal(strategy, symbol, action)

    @rule(strategy=NAMES, symbol=SYMBOLS, action=MOVES, kind=st.sampled_from(PLACE_FAULTS), times=st.integers(1, 2))
    def signal_under_a_fault(self, strategy, symbol, action, kind, times):
        self.world.misbehave(kind, "/place", times)
        self.world.signal(strategy, symbol, action)

    @rule(strategy=NAMES, symbol=SYMBOLS, action=MOVES, boundaries=st.integers(1, 8))
    def signal_and_die(self, strategy, symbol, action, boundaries):
        self.world.arm(boundaries)
        self.world.signal(strategy, symbol, action)

    @rule(seconds=st.integers(1, 15))
    def pass_time(self, seconds):
        self.world.pass_time(seconds)

    @rule(kind=st.sampled_from(READ_FAULTS), times=st.integers(1, 4), boundaries=st.integers(0, 12))
    def look_under_a_fault(self, kind, times, boundaries):
        self.world.misbehave(kind, "", times)
        self.world.arm(boundaries or -1)
        self.world.pass_time(1)
        self.world.guard(lambda: self.world.executor.reconcile())

    @rule(symbol=SYMBOLS, happening=st.sampled_from(("BUY", "SELL", "restart", "reconcile")))
    def something_else(self, symbol, happening):
        if happening == "reconcile":
            self.world.guard(lambda: self.world.executor.reconcile())
        elif happening == "restart":
            self.world.restart_broker()
        else:
            self.world.trade_by_hand(symbol, happening)

    def teardown(self):
        if not hasattr(self, "world"):
            return
        try:
            self.world.settle()
            self.world.check()
        finally:
            self.world.close()
            TALLY.update(self.world.counts)
            TALLY["episodes"] += 1


def test_every_episode_ends_reconciled_or_locked_with_a_reason(campaign):
    count = campaign(2000, full=10_000)
    run_state_machine_as_test(
        Episode,
        settings=settings(
            max_examples=count,
            stateful_step_count=12,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
    print("\n" + "\n".join(f"{number:7d} {name}" for name, number in sorted(TALLY.items())))
    assert TALLY["episodes"] >= count
    assert all(
        TALLY[kind]
        for kind in {
            *PLACE_FAULTS,
            *READ_FAULTS,
            "manual trade",
            "broker restart",
            "crash before a commit",
            "crash after a commit",
            "crash before POST",
            "crash after POST",
            "crash before GET",
            "crash after GET",
        }
    )


def test_a_fill_between_two_commits_is_found_even_when_the_positions_happen_to_agree():
    """The order was known to be filled, the process died before its fill was booked, and a trade by hand made both
    positions zero."""
    world = World()
    world.trade_by_hand("NQ.c.0", "SELL")
    world.misbehave("lost_after", "/place", 1)
    world.signal("trend", "NQ.c.0", "LONG_ENTRY")
    world.misbehave("addon_down", "", 3)
    world.pass_time(1)
    world.guard(lambda: world.executor.reconcile())
    world.pass_time(1)
    world.arm(4)
    world.signal("trend", "ES.c.0", "LONG_ENTRY")
    world.settle()
    world.check()
    assert [(fill["instrument"], fill["quantity"]) for fill in world.journal.rows("fills")] == [
        ("NQ 12-25", 1)
    ] and "NQ 12-25" in world.executor.books.locked
    world.close()


class Forge:
    "The process that forks trading processes."

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("crash_child.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.expect("ready")

    def expect(self, word):
        line = self.process.stdout.readline()
        assert line.startswith(word), line
        return line[len(word) + 1 :].strip()

    def start(self, path, url, seed, mode):
        self.process.stdin.write(f"{path} {url} {seed} {mode}\n")
        self.process.stdin.flush()
        return int(self.expect("pid"))

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)


@pytest.fixture
def forge():
    made = Forge()
    yield made
    made.close()


def live_for_a_while(forge, broker, path, rng):
    "One process: it trades among faults until it is killed."
    before, began = len(broker.requests), time.monotonic()
    pid = forge.start(path, broker.url, rng.randrange(10**6), "trade")
    while time.monotonic() - began < 2.0 and len(broker.requests) == before:
        time.sleep(0.001)  # it has come up as far as its first question
    for _ in range(rng.randrange(4)):
        broker.faults.add(
            rng.choice(PLACE_FAULTS), path="/place", method="POST", seconds=0.01, form="float", skip=rng.randrange(4)
        )
    time.sleep(rng.uniform(0.0, 0.4))  # the moment of death is the point of the test
    os.kill(pid, signal.SIGKILL)
    assert int(forge.expect("end")) == signal.SIGKILL


def test_a_process_killed_at_random_moments_recovers_from_its_journal(campaign, forge, tmp_path):
    rng, tally = random.Random(7), Counter()
    for episode in range(campaign(20, full=200)):
        path = tmp_path / f"{episode}.db"
        with PaperBroker({"ES 12-27": 5850.0}, clock=WallClock()) as broker:
            for _ in range(3):
                live_for_a_while(forge, broker, path, rng)
            broker.faults.clear()
            forge.start(path, broker.url, 0, "settle")
            end = json.loads(forge.expect("settled"))
            assert int(forge.expect("end")) == 0
            with Journal(path, readonly=True) as journal:
                check_books(broker.books, journal, end["locked"])
                tally["orders"] += journal.count("intents")
                tally["fills"] += journal.count("fills")
            assert end["reconciled"] and not end["open"], end
            tally.update(broker.faults.happened)
            tally["kill -9"] += 3
    print("\n" + "\n".join(f"{number:7d} {name}" for name, number in sorted(tally.items())))
    assert tally["kill -9"] >= 50 and tally["orders"] > tally["kill -9"]
