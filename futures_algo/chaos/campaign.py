"""Drawn episodes against the independent broker: the real client, journal and executor on a clock moved by hand, while
answers are lost, late, doubled, swapped and malformed, people trade, clocks are set, and the process is killed.

A failure is repeated by its seed alone."""

import random
import shutil
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from futures_algo.chaos import oracles
from futures_algo.chaos.broker import ChaosBroker
from futures_algo.chaos.catalogue import CATALOGUE
from futures_algo.chaos.clock import HandClock
from futures_algo.chaos.oracles import Violation
from futures_algo.chaos.settings import Settings
from futures_algo.core.types import SECOND, Signal, signal_id
from futures_algo.crosstrade.client import CrossTradeClient
from futures_algo.crosstrade.rate_limit import TokenBucket
from futures_algo.execution.executor import CrossTradeExecutor
from futures_algo.execution.gate import Gate, Limits
from futures_algo.journal.journal import Journal

START = 1_763_046_000 * SECOND  # 2025-11-13 15:00 UTC, a Thursday
ACCOUNT, ES, ESZ5, PRICE = "Sim101", "ES 12-25", "ESZ5", 5850.0
STEPS, FAULT_RATE, QUIET_LOOKS = 10, 0.15, 60
TIMEOUT_S = 0.3  # real seconds the client waits for an answer
_SLOW = {"hang": 0.1, "late_answer": 0.2, "drip": 0.1, "swapped": 0.1, "stuck_submitted": 0.5}  # cost real time


class SetClock:
    "The engine's clock: the broker's, with steps somebody made; `steady` has none."

    def __init__(self, clock: HandClock):
        self._clock, self.step = clock, 0

    def now(self) -> int:
        return self._clock() + self.step

    def steady(self) -> int:
        return self._clock()


@dataclass
class Outcome:
    "Of one episode."

    seed: int
    faults: Counter = field(default_factory=Counter)
    orders: int = 0
    violations: list[Violation] = field(default_factory=list)


class Episode:
    "One seed: two long strategies on one contract."

    def __init__(self, seed: int):
        self.seed, self.dice, self.clock = seed, random.Random(seed), HandClock(START)
        self.folder = Path(tempfile.mkdtemp(prefix="chaos-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        settings = Settings.drawn(seed)
        settings.limited = False
        self.broker = ChaosBroker([ACCOUNT, "Other7"], clock=self.clock, settings=settings, seed=seed)
        self.own_clock, self.outcome = SetClock(self.clock), Outcome(seed)
        self.quantities: dict[str, int] = {}

    def run(self) -> Outcome:
        with self.broker:
            self.broker.set_price(ES, PRICE)
            try:
                self._boot()
                self.broker.faults.draw(self.seed, FAULT_RATE, {name: _SLOW.get(name, 1.0) for name in CATALOGUE})
                self._live()
                self._settle()
                self._judge()
            # the judge's own boundary: whatever ends the executor is what the campaign looks for
            except Exception as error:
                self.outcome.violations.append(Violation("engine death", f"{type(error).__name__}: {error}"[:300]))
            finally:
                self._end()
        return self.outcome

    # --- life and death

    def _boot(self) -> None:
        self.journal = Journal(self.folder / "live.db", durable=False)
        self.client = CrossTradeClient(
            self.broker.token,
            self.broker.url,
            account=ACCOUNT,
            bucket=TokenBucket(1_000_000, 1_000_000),
            attempts=1,
            timeout=TIMEOUT_S,
        )
        gate = Gate(Limits(max_orders_per_minute=None))
        self.executor = CrossTradeExecutor(
            self.client, self.journal, gate, account=ACCOUNT, clock=self.own_clock, dry_run=False
        )
        self.executor.recover()

    def _kill(self) -> None:
        "As kill -9: rows of the group under way are gone, and a new process recovers."
        self.outcome.faults["kill"] += 1
        self.client.close()
        self.journal._connection.close()
        self._boot()

    def _end(self) -> None:
        self.outcome.faults.update(self.broker.faults.counts)
        self.outcome.orders = len(self.broker.requests("PlaceOrder"))
        self.client.close()
        self.journal.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- what happens

    def _live(self) -> None:
        for _ in range(STEPS):
            self._signal(self.dice.choice("AB"), self.dice.choice(("LONG_ENTRY", "LONG_EXIT")))
            for _ in range(self.dice.randint(1, 4)):
                self._pass(self.dice.choice((0.5, 1, 3, 8, 20)), self.dice.random() < 0.2)
            self._disturb(self.dice.random())

    def _disturb(self, chance: float) -> None:
        "What people and machines do."
        if chance < 0.08:
            self._kill()
        elif chance < 0.14:
            self.outcome.faults["manual trade"] += 1
            self.broker.trade_by_hand(ACCOUNT, ES, self.dice.choice(("Buy", "Sell")), 1)
        elif chance < 0.18:
            self.outcome.faults["clock step"] += 1
            self.own_clock.step += self.dice.choice((-3600, 3600)) * SECOND
        elif chance < 0.22:
            self.outcome.faults["broker restart"] += 1
            self.broker.restart(seconds=self.dice.choice((0.0, 5.0)))
        elif chance < 0.25:
            self.outcome.faults["flatten"] += 1
            self.executor.flatten("account")

    def _signal(self, strategy: str, action: str) -> None:
        at = self.own_clock.now()
        identity = signal_id(strategy, "c0", ESZ5, at, action)
        self.quantities[f"fa{identity[:24]}"] = 1
        self.executor.submit_signal(
            Signal(identity, strategy, "ES.c.0", ESZ5, action, at, "1min", PRICE, "c0", quantity=1)
        )

    def _pass(self, seconds: float, compares: bool) -> None:
        self.clock.move(seconds)
        self.executor.poll()
        if compares:
            self.executor.reconcile()

    def _settle(self) -> None:
        "Everything wrong ends; the executor is given time."
        self.broker.faults.clear()
        for look in range(QUIET_LOOKS):
            self._pass(5, look % 4 == 3)

    def _judge(self) -> None:
        executor, broker = self.executor, self.broker
        self.outcome.violations += [
            *oracles.reversals(broker, ACCOUNT),
            *oracles.doubled(broker, ACCOUNT, self.quantities),
            *oracles.sent_twice(broker),
            *oracles.unexplained(executor, broker, ACCOUNT),
            *oracles.unmanaged(executor),
        ]


def run_campaign(
    first: int,  # seed
    count: int | None = None,  # episodes; None goes on for `minutes`
    minutes: float = 8.0,
) -> dict[str, Any]:  # seeds, orders, faults, violations
    "Episodes from a seed on, until their count or the time is reached."
    deadline, seed, orders, violations = time.monotonic() + minutes * 60, first, 0, []
    faults: Counter[str] = Counter()
    while time.monotonic() < deadline and (count is None or seed < first + count):
        outcome = Episode(seed).run()
        faults.update(outcome.faults)
        orders += outcome.orders
        violations += [
            {"seed": seed, "kind": kind, "detail": detail, "repeat": f"futures-algo chaos --seed {seed} --seeds 1"}
            for kind, detail in outcome.violations
        ]
        seed += 1
    return {"seeds": seed - first, "orders": orders, "faults": dict(faults.most_common()), "violations": violations}
