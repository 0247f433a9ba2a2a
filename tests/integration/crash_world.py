"""An executor that may die at any journal commit and any request, a paper broker that misbehaves, and what must hold
when the dust has settled.

A crash here is an exception no code catches: the objects are thrown away, the file connection is cut with its buffered
rows, and a new executor
recovers from the journal file alone.
"""

import asyncio
import json
import os
import tempfile
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

from futures_algo.core.types import SECOND, Bar, DataClock, Signal, signal_id
from futures_algo.crosstrade.client import CrossTradeClient
from futures_algo.crosstrade.rate_limit import TokenBucket
from futures_algo.execution.executor import CrossTradeExecutor
from futures_algo.execution.gate import Gate, Limits
from futures_algo.journal.journal import Journal
from futures_algo.sim.broker import PaperBroker
from futures_algo.sim.faults import Variants
from futures_algo.sim.inprocess import BrokerLine

START = 1_763_046_000 * SECOND  # 2025-11-13 15:00 UTC, a Thursday
CONTRACTS = {"ES.c.0": ("ESZ5", "ES 12-25", 5850.0), "NQ.c.0": ("NQZ5", "NQ 12-25", 20_000.0)}
STRATEGIES = ("trend", "fade")
PLACE_FAULTS = (
    "lost_before",
    "lost_after",
    "late",
    "addon_down",
    "addon_timeout",
    "server_error",
    "server_error_after",
    "html",
    "cut_json",
    "empty",
    "no_success",
    "rate_limited",
    "refuse",
    "unauthorized",
    "reject_after_success",
    "partial",
    "id_not_echoed",
    "market_closed",
)
READ_FAULTS = ("addon_down", "lost_before", "server_error", "html", "cut_json", "unauthorized", "rate_limited")
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None  # what is under test is the order of commits, not the disk
LATE = 0.004  # seconds until an order arrives whose connection was cut


class Crash(BaseException):
    "The process ends here."


class Bomb:
    "Counts the boundaries passed, and goes off at one of them."

    def __init__(self):
        self.left, self.where, self.counts = -1, "", Counter()

    def pass_by(self, where: str) -> None:
        self.left -= 1
        if self.left == 0:
            self.counts[f"crash {where}"] += 1
            raise Crash(where)


class MortalJournal(Journal):
    "A journal whose process may die just before or just after any commit."

    bomb = Bomb()

    @contextmanager
    def _transaction(self, full=False):
        self.bomb.pass_by("before a commit")
        with super()._transaction(full):
            yield
        self.bomb.pass_by("after a commit")


class MortalLine(BrokerLine):
    """The broker's own server code without the socket, on a process that may die just before a request or just
    after its answer.

    Sockets take nine tenths of an episode's time; the kill -9 test goes through them."""

    def __init__(self, broker, loop, bomb):
        self.broker, self.loop, self.bomb = broker, loop, bomb

    def ask(self, request):
        self.bomb.pass_by(f"before {request.method}")
        reply = super().ask(request)
        self.bomb.pass_by(f"after {request.method}")
        return reply

    def close(self):
        "The loop is the world's."


def bars(symbol, price):
    "Ten-second bars of an hour, up and down a tick."
    contract = CONTRACTS[symbol][0]
    for i in range(400):
        at, level = START + (i - 5) * 10 * SECOND, price + 0.25 * (i % 7 - 3)
        yield Bar(symbol, "10s", at, at + 10 * SECOND, level, level + 0.5, level - 0.5, level + 0.25, 100, contract)


class World:
    "One episode."

    def __init__(self, variants=None):
        self.clock, self.bomb, self.counts, self.manual = DataClock(START), Bomb(), Counter(), set()
        self.broker = PaperBroker(
            {s: list(bars(s, price)) for s, (_, _, price) in CONTRACTS.items()},
            clock=self.clock,
            variants=Variants(**variants or {}),
        )
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY)
        self.path = Path(self.folder.name) / "live.db"
        self.sent, self.executor = {}, None
        self.guard(self.boot)

    # --- life and death

    def boot(self):
        MortalJournal.bomb = self.bomb
        self.journal = MortalJournal(self.path)
        self.journal.hold()
        client = CrossTradeClient(
            self.broker.token,
            self.broker.url,
            account="Sim101",
            bucket=TokenBucket(100_000, 100_000),
            attempts=1,
            transport=MortalLine(self.broker, self.loop, self.bomb),
        )
        self.executor = CrossTradeExecutor(
            client,
            self.journal,
            Gate(Limits(max_orders_per_minute=None)),
            account="Sim101",
            clock=self.clock,
            dry_run=False,
            grace_s=10,
        )
        self.executor.recover()

    def guard(self, work):
        "Do something; when it dies, the next process takes over."
        while work is not None:
            try:
                work()
                return
            except Crash:
                self.journal._connection.close()
                if self.journal._held:
                    self.journal._held.close()
                work = self.boot

    # --- what happens

    def signal(self, strategy, symbol, action):
        contract, _, price = CONTRACTS[symbol]
        at = self.clock.now()
        signal = Signal(
            signal_id(strategy, "c0", contract, at, action), strategy, symbol, contract, action, at, "10s", price, "c0"
        )
        self.sent[signal.id] = signal
        self.guard(lambda: self.executor.submit_signal(signal))

    def pass_time(self, seconds):
        self.clock.advance(self.clock.now() + int(seconds * SECOND))
        self.guard(lambda: self.executor.poll())

    def trade_by_hand(self, symbol, action):
        self.manual.add(CONTRACTS[symbol][1])
        self.counts["manual trade"] += 1
        self.broker.trade(CONTRACTS[symbol][1], action, 1)

    def misbehave(self, kind, path, times):
        self.broker.faults.add(
            kind, path=path, method="POST" if path == "/place" else "GET", times=times, seconds=LATE, form="float"
        )

    def restart_broker(self):
        self.counts["broker restart"] += 1
        self.broker.books.restore(json.loads(json.dumps(self.broker.books.to_dict())))

    def arm(self, boundaries):
        self.bomb.left = boundaries

    # --- the end

    def settle(self):
        "Let everything that is wrong end, and give the executor time."
        self.broker.faults.clear()
        self.bomb.left = -1
        if self.broker.faults.happened.get("late"):  # a timer set after the late ones goes off after them
            self.loop.run_until_complete(asyncio.sleep(2 * LATE))
        for _ in range(120):
            self.pass_time(2)
            self.executor.reconcile()
            if self.is_settled():
                return

    def is_settled(self):
        "Reconciled, or waiting behind a lock that has a reason."
        locked = self.executor.books.locked
        return (
            self.executor.books.reconciled
            and not self.executor.orders.open
            and all(key[1] in locked for key in self.executor.waiting.keys())
        )

    def close(self):
        self.counts.update(self.broker.faults.happened)
        self.counts.update(self.bomb.counts)
        self.journal.close()
        self.loop.close()
        self.folder.cleanup()

    def check(self):
        "No duplicate, no lost order, no unexplained position; reconciled, or locked with a reason."
        check_books(self.broker.books, self.journal, self.executor.books.locked, self.manual)
        assert self.is_settled(), (self.executor.orders.open, self.executor.waiting, self.executor.books.locked)
        rows = {row["id"]: row for row in self.journal.rows("signals")}
        waiting = {signal.id for signal in self.executor.waiting.signals()}
        assert all(row["verdict"] in ("sent", "denied") or row["id"] in waiting for row in rows.values())
        self._check_exits(rows)

    def _check_exits(self, rows):
        "An exit that passed leaves nothing of its side, until the next entry."
        last = {}
        for signal in self.sent.values():
            if rows.get(signal.id, {}).get("verdict") == "sent":
                last[signal.strategy, CONTRACTS[signal.symbol][1]] = signal
        for key, signal in last.items():
            ledger = self.executor.ledgers.get(key)
            side = 1 if signal.is_long else -1
            if not signal.is_entry and ledger:
                assert ledger.quantity * side <= 0 or key[1] in self.executor.books.locked, (key, ledger, signal)


def check_books(broker, journal, locked, manual=()):
    "What must hold between a broker's books and a journal, whatever happened."
    intents = {row["order_id"]: row for row in journal.rows("intents")}
    fills = journal.rows("fills")
    ours = [order for order in broker.orders.values() if order.given_id]
    assert max(Counter(order.given_id for order in ours).values(), default=0) <= 1, "an order was placed twice"
    assert {order.given_id for order in ours} <= intents.keys(), "an order was placed without an intent"
    entries = Counter(
        intents[order.given_id]["signal_id"] for order in ours if intents[order.given_id]["purpose"] == "entry"
    )
    assert max(entries.values(), default=0) <= 1, "an entry was acted on twice"
    for order in ours:
        booked = sum(fill["quantity"] for fill in fills if fill["order_id"] == order.given_id)
        assert booked == order.filled, f"{order.given_id}: booked {booked} of {order.filled}"
        assert intents[order.given_id]["state"] == order.state, (intents[order.given_id], order)
        if booked:
            assert (
                abs(
                    sum(f["price"] * f["quantity"] for f in fills if f["order_id"] == order.given_id) / booked
                    - order.average
                )
                < 1e-6
            )
    placed = {order.given_id for order in ours}
    assert all(
        row["state"] in ("NotSent", "Rejected") for order_id, row in intents.items() if order_id not in placed
    ), "an order is lost"
    check_positions(broker, fills, locked, manual)


def check_positions(broker, fills, locked, manual):
    "Every contract the broker holds is some ledger's, or its instrument is locked because a person traded."
    for _, name, _ in CONTRACTS.values():
        ours = sum(
            fill["quantity"] * (1 if fill["side"] == "BUY" else -1) for fill in fills if fill["instrument"] == name
        )
        held = broker.accounts["Sim101"].held(name)
        assert held == ours or (name in locked and name in manual), (
            f"{name}: ours {ours}, broker {held}, locked {locked}"
        )
        if held != ours:
            assert "books differ" in locked[name]
