"Resting pairs while the executor has its own thread and the broker takes its time: the real client over loopback."

import time

import pytest
from execution_desk import ES, desk  # noqa: F401  (a fixture)
from test_resting_orders import BUY, LEAVE, World
from waiting import eventually

from futures_algo.core.types import SECOND
from futures_algo.execution.own_thread import OwnThread
from futures_algo.execution.resting_pairs import Protection

PAIR = {"stop_ticks": 20.0, "target_ticks": 40.0}
SLOW = 0.4  # seconds each answer of the broker takes
TURN = 0.15  # seconds an engine's turn may take on a crowded machine, well below one answer


class LiveWorld(World):
    "As `World`, the executor on its thread; `turn` is the engine's part of a look, and is timed."

    def __init__(self, it, **given):
        it.executor = OwnThread(it.executor)
        self.turns = []
        super().__init__(it, **given)
        it.executor.start()

    def look(self):
        began = time.monotonic()
        self.it.executor.poll()
        self.resting.follow()
        self.turns.append(time.monotonic() - began)

    def until(self, check):
        "Turns until it is so; the engine's clock goes on."

        def turned():
            self.it.clock.advance(self.it.clock.now() + SECOND // 20)
            self.look()
            return check()

        return eventually(turned)

    def purposes(self, purpose):
        return self.it.journal.rows("intents", "purpose = ?", purpose)

    def sold(self):
        "Contracts of every order on the selling side that filled at the broker."
        return sum(order.filled for order in self.it.broker.books.orders.values() if order.action == "SELL")


@pytest.fixture
def live(desk):  # noqa: F811
    opened = []

    def open_world(protection=Protection(grace_s=600), **exits):
        opened.append(LiveWorld(desk(), protection=protection, **exits))
        return opened[-1]

    yield open_world
    for it in opened:
        it.it.broker.faults.clear()
        assert it.it.executor.finish(30)


def entered(it):
    "A position with its pair at rest."
    it.bar(5850.0, volume=BUY)
    it.until(lambda: it.rest() == [("LIMIT", 1, 5860.0), ("STOPMARKET", 1, 5845.0)])
    return it


def test_a_slow_broker_delays_the_pair_and_not_the_engine(live):
    it = live(**PAIR)
    it.it.broker.faults.add("slow", times=-1, seconds=SLOW)
    entered(it)
    it.bar(5850.0, 5851.0)
    it.bar(5851.0, 5861.0)
    it.until(lambda: not it.it.held("hand") and not it.rest() and not it.it.executor.orders.open)
    assert sorted(it.turns)[-2] < TURN, "a turn waited for the broker"
    assert len(it.purposes("stop")) == len(it.purposes("target")) == 1 and not it.purposes("exit")
    assert it.sold() == 1 and it.it.at_broker() == 0
    it.until(lambda: it.runner.position == "FLAT")


def test_a_market_exit_cancels_the_pair_first_and_sells_once(live):
    it = entered(live(**PAIR))
    it.it.broker.faults.add("slow", times=-1, seconds=SLOW)
    it.bar(5850.0, 5851.0, volume=LEAVE)
    it.until(lambda: not it.it.held("hand") and not it.it.executor.orders.open)
    assert it.sold() == 1 and it.it.at_broker() == 0 and it.rest() == []
    (exit_order,) = it.purposes("exit")
    ended = it.it.journal.rows("order_events", "order_id != ? AND state = 'Cancelled'", exit_order["order_id"])
    assert len(ended) >= 1 and all(row["at"] <= exit_order["at"] for row in ended)


@pytest.mark.parametrize("price", [5861.0, 5844.0])
def test_a_pair_that_fills_while_an_exit_waits_wins(live, price):
    it = entered(live(**PAIR))
    it.it.broker.faults.add("slow_before", path="/cancel", times=-1, seconds=2 * SLOW)
    it.bar(5850.0, 5851.0, volume=LEAVE)
    it.it.broker.prices.set_price(ES, price)
    it.it.broker.books.settle()  # it fills before the cancel has arrived
    it.until(lambda: not it.it.held("hand") and not it.it.executor.orders.open and not it.it.executor.waiting)
    assert it.sold() == 1 and it.it.at_broker() == 0 and it.rest() == []
    assert not it.purposes("exit") and len(it.purposes("stop")) == 1


def test_the_bound_runs_from_the_fill_in_the_executors_thread(live):
    it = live(protection=Protection(protect_within_s=2.0), **PAIR)
    it.it.broker.faults.add("refuse", path="/place", times=2, skip=1)  # the entry passes, two stops do not
    it.bar(5850.0, volume=BUY)
    it.until(lambda: it.it.executor.ledgers.get(("hand", ES)) and len(it.purposes("stop")) >= 1)
    key, desk_of_pairs = ("hand", ES), it.resting.desk
    fill = it.it.journal.rows("fills")[0]
    since = desk_of_pairs._naked.get(key, fill["at"])
    assert 0 <= it.it.clock.now() - since and since <= fill["at"] + 2 * SECOND
    it.until(lambda: it.rest() or not it.it.held("hand"))
