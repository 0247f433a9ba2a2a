"""Many strategies decide at once; what leaves here is one deduplicated list, exits first, each line of it in
signals.log."""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from futures_algo.core.bars import as_bar
from futures_algo.core.types import SECOND, Bar, InputError, Signal, Timeframe, to_timestamp
from futures_algo.signals.asking import Asked, as_action

__all__ = ["Executor", "Runner", "SignalGenerator", "as_action", "log_line", "signal_log"]


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


def _refuse_no_strategy(strategy: Any) -> None:
    "What can be asked neither way would stay silent for ever."
    asked = all(hasattr(strategy, name) for name in ("check_conditions", "get_position", "symbol", "timeframes"))
    fed = all(hasattr(strategy, name) for name in ("on_bars", "symbol"))
    if isinstance(strategy, type) or not (asked or fed):
        raise InputError(
            "strategy",
            strategy,
            "must be a strategy or a runner",
            "give MACDCCIStrategy(symbol, entry), or what StrategyLoader.get_active_strategies() returns",
        )


class SignalGenerator:
    "Asks every strategy, drops repeats, orders what is left, and hands it to the executor."

    def __init__(
        self,
        strategies: Iterable[Any] = (),  # strategies, or runners, one per strategy and symbol
        executor: Executor | None = None,  # None only collects
        cooldown_s: float = 0.0,  # seconds between equal actions of one strategy on one symbol
        priority: dict[str, int] | None = None,  # strategy name -> rank among entries; smaller first
        remember: int = 100_000,  # ids kept to recognise a repeat
    ):
        self.strategies = list(strategies)
        for strategy in self.strategies:
            _refuse_no_strategy(strategy)
        self.executor, self.priority = executor, priority or {}
        self.cooldown = int(cooldown_s * SECOND)
        self.dropped: list[tuple[Signal, str]] = []  # the latest repeats and their reason
        self._seen: dict[str, None] = {}
        self._known: dict[int, Asked] = {}  # by identity of the strategy
        self.last_actions: dict[tuple[str, str, str], int] = {}  # (strategy, symbol, action) -> ns UTC
        self._remember = remember

    def on_bar_complete(
        self,
        timeframe: "int | str",  # whose bar completed: 27, "27min"
        indicators: Mapping[str, float],  # its values by name; those of other timeframes are remembered
        *,
        bar: "Bar | Mapping[str, Any] | None" = None,  # the bar; the one `update_bar` took when omitted
        symbol: str = "",  # whose bar; every strategy's when neither this nor the bar says
    ) -> list[Signal]:
        """Signals of the strategies on this bar. The timeframes of one moment may come in any order: a strategy decides
        when the last one that closes with its base bar is in. A missing value makes an entry false. Values
        without a bar are judged as they come, and their moment is now."""
        timeframe, bar = Timeframe(timeframe), bar if bar is not None else getattr(indicators, "bar", None)
        if bar is not None:
            bar = as_bar(symbol, bar, timeframe)
        if bar is not None and not bar.end:
            bar = None  # a bar without its time is as good as its values
        symbol, found = bar.symbol if bar else symbol, []
        for asked in self._asked():
            if symbol in ("", asked.strategy.symbol) or not asked.strategy.symbol:
                found += asked.take(timeframe, indicators, bar)
        return self.process_signals(found)

    def _asked(self) -> list[Asked]:
        "What each strategy was told so far."
        for strategy in self.strategies:
            if id(strategy) not in self._known:
                _refuse_no_strategy(strategy)
                self._known[id(strategy)] = Asked(strategy)
        return [self._known[id(strategy)] for strategy in self.strategies]

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
            if not hasattr(strategy, "set_position") or strategy.symbol not in ("", signal.symbol):
                continue
            if (type(strategy).__name__, strategy.config_hash()) == (signal.strategy, signal.config_hash):
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
