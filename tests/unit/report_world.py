"""A session's journal as an engine writes it, made quickly from generated minutes, and the ways to plant something in
it."""

import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from futures_algo.aggregator.pipeline import BarPipeline
from futures_algo.config.loading import config_hash
from futures_algo.config.model import StrategyConfig
from futures_algo.core.types import SECOND, Bars, Signal
from futures_algo.engine.build import build_strategy
from futures_algo.execution.ledgers import Ledger
from futures_algo.execution.orders import instrument_of, order_id
from futures_algo.journal.journal import Journal
from futures_algo.report.signals import signed
from futures_algo.sim.market import generate_minutes
from futures_algo.strategies.live import StrategyRunner

SYMBOL, ACCOUNT = "ES.c.0", "Sim101"


def content(**parameters) -> dict:
    "A config with one strategy."
    entry = {
        "class": "futures_algo.strategies.SimpleBullishCCIStrategy",
        "parameters": {"length": 10, **parameters},
        "quantity": 1,
    }
    return {
        "databento": {"symbols": [SYMBOL], "replay_hours": 2},
        "strategies": {"cci": entry},
        "execution": {},
        "engine": {},
    }


class World:
    """An engine that trades one strategy on generated minutes; orders fill at the next bar's open plus `slip` points
    against them."""

    def __init__(self, path: Path, config: dict | None = None, sessions: int = 2, seed: int = 3):
        self.path, self.config = path, config or content()
        self.minutes = generate_minutes(SYMBOL, sessions, seed=seed)
        self.journal, self.ledger, self.run = Journal(path), None, 0
        self.slip, self.verdict = 0.0, lambda signal: ("sent", "", "")

    def start(self, at: int, config: dict | None = None) -> None:
        "A run begins."
        self.config, self.run = config or self.config, self.run + 1
        self.hash = config_hash(self.config)
        self.journal.add_once("configs", hash=self.hash, at=at, content=self.config)
        self.journal.add(
            "runs",
            run_id=f"run{self.run}",
            started=at,
            pid=1,
            mode="live",
            account=ACCOUNT,
            config_hash=self.hash,
            version="0",
        )
        for state in ("recovering", "ready"):
            self.journal.add_event(at, "info", "engine", f"run{self.run}", state)
        self.journal.add_event(at, "info", "feed", "live", "")
        self.pipeline = BarPipeline([5], "ohlcv-1m")
        self.begin_strategy()

    def begin_strategy(self) -> None:
        entry = StrategyConfig.model_validate(self.config["strategies"]["cci"])
        self.runner = StrategyRunner(build_strategy("cci", entry), "cci", SYMBOL, entry.quantity)

    def stop(self, at: int) -> None:
        self.journal.add_event(at, "info", "engine", f"run{self.run}", "stopped: asked to")

    def play(self, bars: Bars, quiet: bool = False) -> None:
        "Bars through the engine; `quiet` ones are replayed: known already, they only warm the strategy."
        for bar in bars:
            for instant in self.pipeline.push(bar):
                for closed in instant:
                    if not quiet:
                        self.journal.add_bar(closed, closed.end + SECOND // 10)
                signals = self.runner.on_bars(instant)
                for signal in signals:
                    if not self.journal.has("signals", "id", signal.id):
                        self._decide(signal)

    def _decide(self, signal: Signal) -> None:
        verdict, denial, why = self.verdict(signal)
        self.journal.add_signal(signal, signal.bar_end + SECOND // 5, verdict, denial, why)
        if verdict == "sent":
            self.order(signal)

    def order(self, signal: Signal, attempt: int = 0, filled: int | None = None, state: str = "Filled") -> str:
        "An order with its fill."
        identity, at = order_id(signal.id, attempt), signal.bar_end + SECOND // 4
        side, name = "BUY" if signed(signal.action) > 0 else "SELL", instrument_of(signal.contract, signal.bar_end)
        self.journal.add(
            "intents",
            order_id=identity,
            signal_id=signal.id,
            at=at,
            account=ACCOUNT,
            instrument=name,
            strategy=signal.strategy,
            action=side,
            quantity=signal.quantity,
            order_type="MARKET",
            purpose="entry" if signal.is_entry else "exit",
            state=state,
            updated=at,
            reference_price=signal.price,
            arrival_price=signal.price,
        )
        self.journal.add(
            "requests",
            order_id=identity,
            at=at,
            method="POST",
            path=f"/accounts/{ACCOUNT}/orders/place",
            latency_ns=2_000_000,
            outcome="Answered",
        )
        self.journal.add(
            "order_events",
            order_id=identity,
            at=at,
            state=state,
            filled=signal.quantity,
            average_price=0.0,
            source="poll",
            detail="",
        )
        if filled is None:
            filled = signal.quantity if state == "Filled" else 0
        if filled:
            self.fill(signal, identity, side, name, filled)
        return identity

    def fill(self, signal: Signal, identity: str, side: str, name: str, quantity: int) -> None:
        row, sign = int(np.searchsorted(self.minutes.start, signal.bar_end)), 1 if side == "BUY" else -1
        price = float(self.minutes.open[row]) if row < len(self.minutes) else signal.price
        price, at = price + sign * self.slip, signal.bar_end + SECOND
        self.ledger = self.ledger if self.ledger and self.ledger.instrument == name else Ledger(name)
        self.ledger.apply(sign * quantity, price, 2.25)
        self.journal.add(
            "fills",
            execution_id=f"x{identity}",
            order_id=identity,
            signal_id=signal.id,
            strategy=signal.strategy,
            account=ACCOUNT,
            instrument=name,
            side=side,
            quantity=quantity,
            price=price,
            commission=2.25,
            at=at,
            reference_price=signal.price,
            slippage=0.0,
            arrival_price=signal.price,
        )
        self.book("ledger", signal.strategy, at)

    def book(self, source: str, strategy: str, at: int, quantity: int | None = None) -> None:
        self.journal.add(
            "positions",
            at=at,
            source=source,
            account=ACCOUNT,
            instrument=self.ledger.instrument,
            strategy=strategy,
            quantity=self.ledger.quantity if quantity is None else quantity,
            average_price=self.ledger.average_price,
            mark=0.0,
        )

    def close(self) -> Path:
        self.journal.close()
        return self.path


def whole(path: Path, slip: float = 0.0, verdict: Callable | None = None, config: dict | None = None) -> World:
    "Two sessions without a fault."
    world = World(path, config)
    world.slip = slip
    if verdict:
        world.verdict = verdict
    world.start(int(world.minutes.start[0]))
    world.play(world.minutes)
    world.stop(int(world.minutes.end[-1]))
    world.close()
    return world


def sql(path: Path, statement: str, *values) -> list[tuple]:
    with sqlite3.connect(path) as connection:
        return connection.execute(statement, values).fetchall()


def last_session(bars: Bars) -> np.ndarray:
    "Rows of the newest session."
    from futures_algo.core.sessions import SessionCalendar

    calendar = SessionCalendar.of(SYMBOL)
    opens, _ = calendar.session_bounds(calendar.session_date(int(bars.end[-1]) - 1))
    return np.flatnonzero(bars.start >= opens)


def without(bars: Bars, rows: Iterable[int]) -> Bars:
    return bars[np.setdiff1d(np.arange(len(bars)), list(rows))]
