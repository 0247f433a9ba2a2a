"Pairs that rest, on a paper broker over loopback: placed, grown, moved, found again, withdrawn; and drawn episodes."

import json
import os
import random
from types import SimpleNamespace

import pytest
from execution_desk import ES, desk  # noqa: F401  (a fixture)

from futures_algo import BaseStrategy
from futures_algo.core.types import MINUTE, SECOND, Bar
from futures_algo.engine.resting import RestingOrders
from futures_algo.execution.resting_pairs import Protection
from futures_algo.strategies.live import StrategyRunner

BUY, SHORT, LEAVE = 1, 2, 3
EPISODES = int(os.environ.get("RESTING_EPISODES", "12"))


class ByHand(BaseStrategy):
    "Does on a bar what its volume says."

    def indicators(self):
        return {"5min": []}

    def entry(self, x):
        return x.volume == BUY

    def short_entry(self, x):
        return x.volume == SHORT

    def exit(self, x):
        return x.volume == LEAVE

    def short_exit(self, x):
        return x.volume == LEAVE


class World:
    "One strategy, its executor and its resting orders; prices walk a path inside each five-minute bar."

    def __init__(self, it, quantity=1, protection=Protection(), **exits):
        self.it, self.quantity, self.protection, self.exits = it, quantity, protection, exits
        self.runner = self.new_runner()
        self.resting = self.new_resting()
        self.naked, self.worst, self.most = None, 0, 0

    def new_runner(self):
        return StrategyRunner(ByHand(**self.exits), "hand", "ES.c.0", self.quantity)

    def new_resting(self):
        it, runner = self.it, self.runner
        shell = SimpleNamespace(
            executor=it.executor, clock=it.clock, journal=it.journal, runners=[runner], is_broken=lambda runner: False
        )
        resting = RestingOrders(shell, self.protection)
        resting.attach([runner])
        return resting

    def restart(self):
        "A crash and a new process: the runner's snapshot, the journal, the broker."
        saved = json.loads(json.dumps(self.runner.save()))
        self.it.restart()
        self.runner = self.new_runner().restore(saved)
        self.resting = self.new_resting()
        self.look()

    def look(self):
        self.it.executor.poll()
        self.resting.follow()
        held = abs(self.it.at_broker())
        self.most = max(self.most, held)
        now = self.it.clock.now()
        safe = not held or any(order.order_type == "STOPMARKET" for order in self.active())
        self.naked = None if safe else self.naked or now
        self.worst = max(self.worst, now - self.naked if self.naked else 0)

    def active(self):
        return [
            order for order in self.it.broker.books.orders.values() if order.is_active and order.order_type != "MARKET"
        ]

    def bar(self, *path, volume=0):
        "A five-minute bar along these prices, the last its close."
        it, step = self.it, 5 * MINUTE // len(path)
        start = it.clock.now()
        for price in path:
            it.broker.prices.set_price(ES, price)
            it.clock.advance(it.clock.now() + step)
            self.look()
            self.look()
        it.clock.advance(start + 5 * MINUTE)
        it.executor.mark(ES, path[-1], it.clock.now())
        self.resting.look()
        bar = Bar("ES.c.0", "5min", start, start + 5 * MINUTE, path[0], max(path), min(path), path[-1], volume, "ESZ5")
        signals = self.runner.on_bars([bar])
        for signal in sorted(signals, key=lambda signal: signal.is_entry):
            self.resting.submit_signal(signal)
        for _ in range(3):
            self.look()

    def rest(self):
        "Type, remaining contracts and price of what is active at the broker."
        return sorted((o.order_type, o.remaining, o.stop or o.limit) for o in self.active())


@pytest.fixture
def world(desk):  # noqa: F811
    def open_world(quantity=1, protection=Protection(), variants=None, **exits):
        return World(desk(variants=variants), quantity, protection, **exits)

    return open_world


PAIR = {"stop_ticks": 20.0, "target_ticks": 40.0}


def test_the_pair_rests_from_the_fill_on_good_till_cancelled(world):
    it = world(**PAIR)
    it.bar(5850.0, volume=BUY)
    assert it.rest() == [("LIMIT", 1, 5860.0), ("STOPMARKET", 1, 5845.0)]
    assert {order.time_in_force for order in it.active()} == {"GTC"} and len({order.oco for order in it.active()}) == 1
    entry = it.it.journal.rows("intents", "purpose = 'entry'")[0]
    legs = it.it.journal.rows("intents", "purpose != 'entry'")
    assert {leg["order_id"][:-2] for leg in legs} == {entry["order_id"][:-2]}
    it.bar(5850.0, 5861.0)
    assert it.it.held("hand") == 0 and it.rest() == []
    signals = it.it.journal.rows("signals", "reason = 'target_order'")
    assert [row["verdict"] for row in signals] == ["resting"]
    assert not it.it.journal.rows("intents", "purpose = 'exit'")


def test_it_grows_with_part_fills(world):
    it = world(quantity=4, variants={"partial": "half"}, **PAIR)
    it.bar(5850.0, volume=BUY)
    assert it.it.at_broker() == 2 and {left for _, left, _ in it.rest()} == {2}
    it.bar(5850.0, 5851.0)
    assert it.it.at_broker() == 4
    assert {(kind, left) for kind, left, _ in it.rest()} == {("LIMIT", 4), ("STOPMARKET", 4)}


def test_a_trail_moves_the_stop_and_never_back(world):
    it = world(trail_ticks=20.0)
    it.bar(5850.0, volume=BUY)
    assert it.rest() == [("STOPMARKET", 1, 5845.0)]
    it.bar(5850.0, 5858.0, 5856.0)
    assert it.rest() == [("STOPMARKET", 1, 5853.0)]
    it.bar(5856.0, 5854.0, 5855.0)
    assert it.rest() == [("STOPMARKET", 1, 5853.0)]
    it.bar(5855.0, 5853.0)
    assert it.it.held("hand") == 0 and it.rest() == []


def test_a_stop_moved_through_the_market_leaves_there(world):
    it = world(stop_ticks=40.0, break_even_ticks=8.0)
    it.bar(5850.0, volume=BUY)
    it.bar(5850.0, 5852.0, 5849.0)
    assert it.it.at_broker() == 0 and it.rest() == []


def test_a_rules_exit_takes_the_pair_away_first(world):
    it = world(**PAIR)
    it.bar(5850.0, volume=BUY)
    it.bar(5850.0, 5851.0, volume=LEAVE)
    it.it.wait(looks=3)
    it.look()
    assert it.it.at_broker() == 0 and it.rest() == []
    assert it.most == 1


def test_a_reversal_gets_a_pair_of_its_own(world):
    it = world(**PAIR)
    it.bar(5850.0, volume=BUY)
    it.bar(5850.0, 5851.0, volume=SHORT)
    it.it.wait(looks=4)
    it.look()
    it.look()
    assert it.it.at_broker() == -1
    assert it.rest() == [("LIMIT", 1, 5841.0), ("STOPMARKET", 1, 5856.0)]


def test_a_restart_finds_what_rests_and_places_only_what_is_missing(world):
    it = world(**PAIR)
    it.bar(5850.0, volume=BUY)
    before = it.rest()
    it.restart()
    it.bar(5850.0, 5851.0)
    assert it.rest() == before
    assert len(it.it.journal.rows("intents", "purpose = 'stop'")) == 1
    for order in it.active():
        it.it.broker.books.cancel(order.order_id)  # somebody did in NinjaTrader
    it.look()
    it.look()
    assert it.rest() == before
    assert len(it.it.journal.rows("intents", "purpose = 'stop'")) == 2


def test_what_filled_while_the_engine_was_down_ends_the_models_position(world):
    it = world(**PAIR)
    it.bar(5850.0, volume=BUY)
    it.bar(5850.0, 5851.0)
    saved = json.loads(json.dumps(it.runner.save()))
    it.it.broker.prices.set_price(ES, 5844.0)
    it.it.broker.books.settle()
    it.it.restart()
    it.runner = it.new_runner().restore(saved)
    it.resting = it.new_resting()
    it.look()
    it.bar(5846.0, 5847.0)  # the bars of the gap were not touched
    it.bar(5847.0, 5847.0)
    assert it.runner.position == "FLAT" and it.it.held("hand") == 0 and it.rest() == []


def test_without_an_acknowledged_stop_the_position_is_closed(world):
    it = world(protection=Protection(protect_within_s=2.0), **PAIR)
    it.it.broker.faults.add("refuse", path="/place", times=-1, skip=1)  # the entry passes
    it.bar(5850.0, volume=BUY)
    assert it.it.at_broker() == 1 and it.rest() == []
    it.it.broker.faults.clear()
    it.it.broker.faults.add("reject_after_success", times=5)
    for _ in range(40):
        it.it.clock.advance(it.it.clock.now() + SECOND)
        it.look()
    assert it.it.at_broker() == 0 and it.rest() == []
    assert [json.loads(row["data"])["cause"] for row in it.it.events("resting") if row["level"] == "alarm"]


def test_a_part_that_fills_after_the_pair_is_closed(world):
    it = world(quantity=4, variants={"partial": "half"}, **PAIR)
    it.bar(5850.0, volume=BUY)
    assert it.it.at_broker() == 2
    it.runner._state[0][:] = 0  # the model went flat with what it had
    for _ in range(6):
        it.it.clock.advance(it.it.clock.now() + SECOND)
        it.look()
    assert it.it.at_broker() == 0 and it.rest() == []


def test_replayed_bars_move_nothing_at_the_broker(world):
    it = world(**PAIR)
    it.bar(5850.0, volume=BUY)
    before = it.rest()
    it.runner = it.new_runner()  # a process without a snapshot
    it.resting = it.new_resting()
    start = it.it.clock.now() - 10 * 60 * MINUTE
    for low, volume in ((5849.0, BUY), (5849.0, 0), (5700.0, 0)):  # of the morning, far below the stop
        bar = Bar("ES.c.0", "5min", start, start + 5 * MINUTE, 5850.0, 5851.0, low, 5850.0, volume, "ESZ5")
        for signal in it.runner.on_bars([bar]):
            if not signal.is_entry:
                it.resting.submit_signal(signal)
        start = bar.end
        it.look()
    assert it.rest() == before and it.it.at_broker() == 1


def test_an_order_left_after_flat_is_withdrawn(world):
    it = world(**PAIR)
    it.bar(5850.0, volume=BUY)
    it.it.executor.flatten("account")
    it.it.wait(looks=3)
    it.look()
    it.look()
    assert it.it.at_broker() == 0 and it.rest() == []


FAULTS = (
    "lost_after",
    "lost_before",
    "addon_timeout",
    "server_error_after",
    "refuse",
    "reject_after_success",
    "addon_down",
)


@pytest.mark.parametrize("seed", range(EPISODES))
def test_drawn_episodes_hold_no_naked_reversed_or_orphaned_order(seed, world):
    """Paths, part fills, faults of the broker and crashes at random; afterwards, with the faults gone, the account
    holds     what the ledger holds, a position its one stop of its size, and a flat account no order."""
    chance = random.Random(seed)
    exits = chance.choice(
        [PAIR, {"trail_ticks": 16.0}, {"stop_ticks": 30.0, "break_even_ticks": 8.0, "target_ticks": 24.0}]
    )
    quantity, partial = chance.choice([1, 3]), chance.choice(["whole", "half"])
    it = world(quantity=quantity, variants={"partial": partial}, **exits)
    price = 5850.0
    for _ in range(chance.randint(4, 8)):
        if chance.random() < 0.5:
            it.it.broker.faults.add(chance.choice(FAULTS), method="POST", path="/orders/", skip=chance.randint(0, 2))
        path = [price := price + chance.randint(-12, 12) * 0.25 for _ in range(chance.randint(1, 4))]
        it.bar(*path, volume=chance.choice([0, 0, BUY, SHORT, LEAVE]))
        if chance.random() < 0.3:
            it.restart()
        assert it.most <= quantity
    it.it.broker.faults.clear()
    for _ in range(200):
        it.it.clock.advance(it.it.clock.now() + SECOND)
        it.look()
    held = it.it.at_broker()
    assert it.it.held("hand") == held
    stops = [order for order in it.active() if order.order_type == "STOPMARKET"]
    targets = [order for order in it.active() if order.order_type == "LIMIT"]
    if not held:
        assert not stops and not targets
    else:
        assert [(order.sign, order.remaining) for order in stops] == [(-1 if held > 0 else 1, abs(held))]
        assert len(targets) <= 1 and all(order.remaining == abs(held) for order in targets)
