"""Whatever dies and whatever the broker does: no duplicate order, no lost order, no unexplained position.

Episodes are drawn by hypothesis: signals, polls, broker faults, manual trades, and crashes at any commit or request. `-s` prints how often each fault happened.
"""
from collections import Counter

from crash_world import CONTRACTS, PLACE_FAULTS, READ_FAULTS, STRATEGIES, World
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from futures_algo.core import ACTIONS

TALLY = Counter()
VARIANTS = st.fixed_dictionaries({"id_echo": st.sampled_from(("echo", "nt8", "lost")), "not_found": st.sampled_from((400, 404)), "instant": st.booleans(),
                                  "single_order": st.sampled_from(("flat", "wrapped")), "partial": st.sampled_from(("whole", "half")), "lower_states": st.booleans(),
                                  "order_ids": st.sampled_from(("both", "id", "orderId")), "duplicate_id": st.sampled_from(("accept", "refuse"))})
NAMES, MOVES = st.sampled_from(STRATEGIES), st.sampled_from(ACTIONS)
SYMBOLS = st.sampled_from(sorted(CONTRACTS))


class Episode(RuleBasedStateMachine):
    @initialize(variants=VARIANTS)
    def begin(self, variants): self.world = World(variants)

    @rule(strategy=NAMES, symbol=SYMBOLS, action=MOVES)
    def signal(self, strategy, symbol, action): self.world.signal(strategy, symbol, action)

    @rule(strategy=NAMES, symbol=SYMBOLS, action=MOVES, kind=st.sampled_from(PLACE_FAULTS), times=st.integers(1, 2))
    def signal_under_a_fault(self, strategy, symbol, action, kind, times):
        self.world.misbehave(kind, "/place", times)
        self.world.signal(strategy, symbol, action)

    @rule(strategy=NAMES, symbol=SYMBOLS, action=MOVES, boundaries=st.integers(1, 8))
    def signal_and_die(self, strategy, symbol, action, boundaries):
        self.world.arm(boundaries)
        self.world.signal(strategy, symbol, action)

    @rule(seconds=st.integers(1, 15))
    def pass_time(self, seconds): self.world.pass_time(seconds)

    @rule(kind=st.sampled_from(READ_FAULTS), times=st.integers(1, 4), boundaries=st.integers(0, 12))
    def look_under_a_fault(self, kind, times, boundaries):
        self.world.misbehave(kind, "", times)
        self.world.arm(boundaries or -1)
        self.world.pass_time(1)
        self.world.guard(lambda: self.world.executor.reconcile())

    @rule(symbol=SYMBOLS, happening=st.sampled_from(("BUY", "SELL", "restart", "reconcile")))
    def something_else(self, symbol, happening):
        if happening == "reconcile": self.world.guard(lambda: self.world.executor.reconcile())
        elif happening == "restart": self.world.restart_broker()
        else: self.world.trade_by_hand(symbol, happening)

    def teardown(self):
        if not hasattr(self, "world"): return
        try:
            self.world.settle()
            self.world.check()
        finally:
            self.world.close()
            TALLY.update(self.world.counts)
            TALLY["episodes"] += 1


def test_every_episode_ends_reconciled_or_locked_with_a_reason(campaign):
    count = campaign(1900, full=9500)
    run_state_machine_as_test(Episode, settings=settings(max_examples=count, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck), database=None))
    print("\n" + "\n".join(f"{number:7d} {name}" for name, number in sorted(TALLY.items())))
    assert TALLY["episodes"] >= count
    assert all(TALLY[kind] for kind in {*PLACE_FAULTS, *READ_FAULTS, "manual trade", "broker restart", "crash before a commit", "crash after a commit",
                                        "crash before POST", "crash after POST", "crash before GET", "crash after GET"})
