"""Many strategies decide at once; what leaves here is one deduplicated list, exits first, each line of it in
signals.log."""

import json
import logging
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from futures_algo.core.types import (
    ACTIONS,
    SECOND,
    Bar,
    InputError,
    Signal,
    Timeframe,
    did_you_mean,
    signal_id,
    to_timestamp,
)


class Runner(Protocol):
    "One strategy on one symbol, fed with closed bars."

    name: str
    symbol: str
    timeframes: Sequence[str]

    def on_bars(self, completed: list[Bar]) -> list[Signal]: ...


class Executor(Protocol):
    "Whatever turns a signal into an order, or says why not."

    def submit_signal(self, signal: Signal) -> Any: ...


signal_log = logging.getLogger("futures_algo.signals")  # the engine attaches logs/signals.log to it


def log_line(signal: Signal) -> str:
    "The signal as one line of JSON."
    return json.dumps({"time": to_timestamp(signal.bar_end).isoformat(), **signal._asdict()})


_ALLOWED = {"FLAT": ("LONG_ENTRY", "SHORT_ENTRY"), "LONG": ("LONG_EXIT",), "SHORT": ("SHORT_EXIT",)}
_MEANING = {
    ("BUY", "FLAT"): "LONG_ENTRY",
    ("SELL", "LONG"): "LONG_EXIT",
    ("SELL", "FLAT"): "SHORT_ENTRY",
    ("BUY", "SHORT"): "SHORT_EXIT",
}


def as_action(
    answer: str | None,  # one of core.ACTIONS, "BUY", "SELL" or None
    position: str,  # FLAT, LONG or SHORT
) -> str | None:
    "The action an answer means in a position; None where there is none."
    if answer is None:
        return None
    if answer not in (*ACTIONS, "BUY", "SELL"):
        raise InputError(
            "answer of check_conditions",
            answer,
            "must be an action, BUY, SELL or None",
            did_you_mean(str(answer), ACTIONS),
        )
    action = _MEANING.get((answer, position)) if answer in ("BUY", "SELL") else answer
    return action if action in _ALLOWED[position] else None


class SignalGenerator:
    "Asks every strategy, drops repeats, orders what is left, and hands it to the executor."

    def __init__(
        self,
        strategies: Iterable[Runner] = (),  # runners, one per strategy and symbol
        executor: Executor | None = None,  # None only collects
        cooldown_s: float = 0.0,  # seconds between equal actions of one strategy on one symbol
        priority: dict[str, int] | None = None,  # strategy name -> rank among entries; smaller first
        remember: int = 100_000,  # ids kept to recognise a repeat
    ):
        self.strategies = list(strategies)
        self.executor, self.priority = executor, priority or {}
        self.cooldown = int(cooldown_s * SECOND)
        self.dropped: list[tuple[Signal, str]] = []  # the latest repeats and their reason
        self._seen: dict[str, None] = {}
        self._known: dict[int, dict[str, float]] = {}  # the latest values of each strategy that is asked
        self.last_actions: dict[tuple[str, str, str], int] = {}  # (strategy, symbol, action) -> ns UTC
        self._remember = remember

    def on_bar_complete(
        self,
        timeframe: "int | str",  # whose bar completed: 27, "27min"
        indicators: Mapping[str, float],  # its values by name; those of other timeframes are remembered
        *,
        bar: Bar | None = None,  # the bar itself: prices, contract and moment; without it the moment is now
        symbol: str = "",  # whose bar; every strategy's when neither this nor the bar says
    ) -> list[Signal]:
        """What strategies that are asked through `check_conditions` answer. Each is asked when a bar of its
        finest timeframe completes, and a condition that
        reads a value which is not there yet is false; so hand in the longer timeframes of the same moment first."""
        prices = {name: getattr(bar, name) for name in ("open", "high", "low", "close", "volume")} if bar else {}
        symbol, found = bar.symbol if bar else symbol, []
        for strategy in self.strategies:
            if not hasattr(strategy, "check_conditions") or symbol not in ("", strategy.symbol):
                continue
            known = self._known.setdefault(id(strategy), {})
            known |= (
                {**prices, **indicators}
                if Timeframe(timeframe) in strategy.timeframes[:1] or not strategy.timeframes
                else indicators
            )
            found += self._asked(strategy, Timeframe(timeframe), known, bar)
        return self.process_signals(found)

    def _asked(self, strategy: Any, timeframe: Timeframe, known: Mapping[str, float], bar: Bar | None) -> list[Signal]:
        "A strategy's answer to what is known, as a signal; nothing where its position does not allow it."
        if strategy.timeframes and timeframe != strategy.timeframes[0]:
            return []
        action = as_action(
            strategy.check_conditions({**dict.fromkeys(strategy.outputs, math.nan), **known}), strategy.get_position()
        )
        if action is None:
            return []
        end = bar.end if bar else time.time_ns()
        name, contract, price = type(strategy).__name__, bar.contract if bar else "", float(known.get("close", 0.0))
        identity = signal_id(name, strategy.config_hash(), contract, end, action)
        return [
            Signal(
                identity,
                name,
                strategy.symbol,
                contract,
                action,
                end,
                str(timeframe),
                price,
                strategy.config_hash(),
                "rule",
                1,
            )
        ]

    def on_bars(self, completed: list[Bar]) -> list[Signal]:
        "Signals of the strategies that trade these bars' symbol, deduplicated and ordered."
        found: list[Signal] = []
        for runner in self.strategies:
            if completed and runner.symbol == completed[0].symbol:
                found += runner.on_bars(completed)
        return self.process_signals(found) if found else found

    def process_signals(self, signals: list[Signal]) -> list[Signal]:
        "Drop repeats, put exits before entries and entries by priority, then log and execute each."
        fresh = sorted((s for s in signals if self._is_fresh(s)), key=self._rank)
        for signal in fresh:
            signal_log.info(log_line(signal))
            self._tell(signal)
            if self.executor is not None:
                self.executor.submit_signal(signal)
        return fresh

    def _tell(self, signal: Signal) -> None:
        "A strategy that is asked learns the position its answer makes."
        for strategy in self.strategies:
            if hasattr(strategy, "set_position") and (type(strategy).__name__, strategy.symbol) == (
                signal.strategy,
                signal.symbol,
            ):
                side = "LONG" if signal.is_long else "SHORT"
                strategy.set_position(side if signal.is_entry else "FLAT")

    def _rank(self, signal: Signal) -> tuple:
        return signal.is_entry, signal.bar_end, self.priority.get(signal.strategy, 0), signal.strategy, signal.leg

    def _is_fresh(self, signal: Signal) -> bool:
        "Whether this decision is new; remembers it."
        key = (signal.strategy, signal.symbol, signal.action)
        if signal.id in self._seen:
            return self._drop(signal, "the same decision again")
        if (
            signal.is_entry
            and self.cooldown
            and signal.bar_end - self.last_actions.get(key, -self.cooldown) < self.cooldown
        ):
            return self._drop(signal, f"within {self.cooldown / SECOND:g} s of the last {signal.action}")
        self._seen[signal.id] = None
        if len(self._seen) > self._remember:
            del self._seen[next(iter(self._seen))]
        self.last_actions[key] = signal.bar_end
        return True

    def _drop(self, signal: Signal, why: str) -> bool:
        self.dropped = [*self.dropped[-99:], (signal, why)]
        return False
