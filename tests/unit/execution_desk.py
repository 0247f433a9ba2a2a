"An executor on a paper broker over loopback, both on one clock that the test moves."

import pytest

from futures_algo.core.types import SECOND, DataClock, Signal, signal_id
from futures_algo.crosstrade.client import CrossTradeClient
from futures_algo.crosstrade.rate_limit import TokenBucket
from futures_algo.execution.executor import CrossTradeExecutor
from futures_algo.execution.gate import Gate, Limits
from futures_algo.journal.journal import Journal
from futures_algo.sim.broker import PaperBroker
from futures_algo.sim.faults import Variants

START = 1_763_046_000 * SECOND  # 2025-11-13 15:00 UTC, a Thursday
ES, ESZ5 = "ES 12-25", "ESZ5"


class Desk:
    "One executor; `restart` is what a crash and a new process amount to."

    def __init__(self, folder, prices=None, variants=None, limits=None, **options):
        self.clock, self.path, self.limits, self.options = DataClock(START), folder / "live.db", limits or {}, options
        self.broker = PaperBroker(
            prices or {ES: 5850.0, "NQ 12-25": 20_000.0, "MES 12-25": 5850.0},
            clock=self.clock,
            variants=Variants(**variants or {}),
        ).start()
        self.boot()

    def boot(self):
        self.journal = Journal(self.path)
        self.client = CrossTradeClient(
            self.broker.token, self.broker.url, account="Sim101", bucket=TokenBucket(10_000, 10_000), attempts=1
        )
        self.executor = CrossTradeExecutor(
            self.client,
            self.journal,
            Gate(Limits.of(self.limits)),
            account="Sim101",
            clock=self.clock,
            **{"dry_run": False} | self.options,
        )
        self.executor.recover()

    def restart(self):
        self.client.close()
        self.journal.close()
        self.boot()

    def close(self):
        self.client.close()
        self.journal.close()
        self.broker.stop()

    def signal(self, action="LONG_ENTRY", strategy="trend", contract=ESZ5, price=5850.0, quantity=1, **more):
        at = self.clock.now()
        return Signal(
            signal_id(strategy, "c0", contract, at, action),
            strategy,
            f"{contract[:-2]}.c.0",
            contract,
            action,
            at,
            "1min",
            price,
            "c0",
            quantity=quantity,
            **more,
        )

    def submit(self, *args, **fields):
        return self.executor.submit_signal(self.signal(*args, **fields))

    def fail_to_leave(self):
        "Hold a contract whose exit the broker refuses, again and again."
        self.submit()
        self.wait()
        self.broker.faults.add("refuse", path="/place", times=-1)
        self.submit("LONG_EXIT")

    def wait(self, seconds=1, looks=1):
        "Time passes, and the executor looks."
        for _ in range(looks):
            self.clock.advance(self.clock.now() + int(seconds * SECOND))
            self.executor.poll()

    def held(self, strategy="trend", instrument=ES):
        return getattr(self.executor.ledgers.get((strategy, instrument)), "quantity", 0)

    def at_broker(self, instrument=ES):
        return self.broker.books.accounts["Sim101"].held(instrument)

    def orders(self):
        return [order for order in self.broker.books.orders.values() if order.given_id]

    def events(self, kind):
        return [row for row in self.journal.rows("events") if row["kind"] == kind]


@pytest.fixture
def desk(tmp_path):
    "A function that opens a desk, closed at the end of the test."
    opened = []

    def open_desk(**options):
        opened.append(Desk(tmp_path, **options))
        return opened[-1]

    yield open_desk
    for each in opened:
        each.close()
