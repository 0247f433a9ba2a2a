"An executor with the real client on the chaos broker, both on one clock that the test moves."

import pytest

from futures_algo.chaos import ChaosBroker, HandClock, Settings
from futures_algo.chaos.campaign import START, SetClock
from futures_algo.core.types import Signal, signal_id
from futures_algo.crosstrade.client import CrossTradeClient
from futures_algo.crosstrade.rate_limit import TokenBucket
from futures_algo.execution.executor import CrossTradeExecutor
from futures_algo.execution.gate import Gate, Limits
from futures_algo.journal.journal import Journal

ES, NQ, ESZ5, A = "ES 12-25", "NQ 12-25", "ESZ5", "Sim101"


class ChaosDesk:
    "One executor; `kill` is what kill -9 and a new process amount to."

    def __init__(self, folder, **settings):
        self.path, self.clock = folder / "live.db", HandClock(START)
        self.own_clock = SetClock(self.clock)
        self.broker = ChaosBroker([A, "Other7"], clock=self.clock, settings=Settings(limited=False, **settings)).start()
        self.broker.set_price(ES, 5850.0)
        self.broker.set_price(NQ, 20_000.0)
        self.boot()

    def boot(self):
        self.journal = Journal(self.path)
        self.client = CrossTradeClient(
            self.broker.token,
            self.broker.url,
            account=A,
            bucket=TokenBucket(10_000, 10_000),
            attempts=1,
            timeout=0.5,
        )
        gate = Gate(Limits(max_orders_per_minute=None))
        self.executor = CrossTradeExecutor(
            self.client, self.journal, gate, account=A, clock=self.own_clock, dry_run=False
        )
        self.executor.recover()

    def kill(self):
        self.client.close()
        self.journal._connection.close()
        self.boot()

    def close(self):
        self.client.close()
        self.journal.close()
        self.broker.stop()

    def submit(self, action="LONG_ENTRY", strategy="A", contract=ESZ5, quantity=1):
        at = self.own_clock.now()
        identity = signal_id(strategy, "c0", contract, at, action)
        symbol = f"{contract[:-2]}.c.0"
        return self.executor.submit_signal(
            Signal(identity, strategy, symbol, contract, action, at, "1min", 5850.0, "c0", quantity=quantity)
        )

    def wait(self, seconds=1.0, looks=1, compares=False):
        for _ in range(looks):
            self.clock.move(seconds)
            self.executor.poll()
            if compares:
                self.executor.reconcile()

    def held(self, strategy="A", instrument=ES):
        return self.executor.book.held((strategy, instrument))

    def at_broker(self, instrument=ES):
        return self.broker.position(A, instrument)

    def placed(self):
        return [request["json"] for request in self.broker.requests("PlaceOrder")]

    def alarms(self):
        return [row["message"] for row in self.journal.rows("events", "level = 'alarm'")]

    @property
    def locked(self):
        return self.executor.books.locked.get(ES, "")


@pytest.fixture
def chaos_desk(tmp_path):
    "A function that opens a desk, closed at the end of the test."
    opened = []

    def open_desk(**settings):
        opened.append(ChaosDesk(tmp_path, **settings))
        return opened[-1]

    yield open_desk
    for each in opened:
        each.close()
