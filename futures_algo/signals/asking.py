"""How a strategy is asked with the bars of one moment, in whatever order its timeframes come."""

import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from futures_algo.core.named import did_you_mean
from futures_algo.core.sessions import SessionCalendar
from futures_algo.core.types import ACTIONS, Bar, InputError, Signal, Timeframe, signal_id
from futures_algo.strategies.base import BaseStrategy
from futures_algo.strategies.live import StrategyRunner
from futures_algo.strategies.orders import NEXT_STOP, NEXT_TARGET, place
from futures_algo.strategies.position import BEST, ENTERING, ENTRY, EXITING, HELD, LAST_CLOSE, SIDE
from futures_algo.strategies.values import FIELDS

Told = Mapping[str, float]  # indicator values handed in with a bar

_ALLOWED = {"FLAT": ("LONG_ENTRY", "SHORT_ENTRY"), "LONG": ("LONG_EXIT",), "SHORT": ("SHORT_EXIT",)}
_MEANING = {
    ("BUY", "FLAT"): "LONG_ENTRY",
    ("SELL", "LONG"): "LONG_EXIT",
    ("SELL", "FLAT"): "SHORT_ENTRY",
    ("BUY", "SHORT"): "SHORT_EXIT",
}
_SIDES = {"LONG": 1, "SHORT": -1, "FLAT": 0}


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


class Moments:
    "Bars of one symbol, held until every timeframe that closes at the base bar's moment has come."

    def __init__(self, timeframes: list[Timeframe], calendar: SessionCalendar | None):
        self.base, self.longer, self.calendar = timeframes[0], timeframes[1:], calendar
        self.held: list[tuple[Bar, Told]] = []
        self._open: dict[Timeframe, list[tuple[int, int]]] = {t: [] for t in self.longer}  # (start, end due)
        self._closed: dict[Timeframe, int] = dict.fromkeys(self.longer, 0)  # end of the latest bar
        self._contract = ""

    def take(self, bar: Bar, told: Told) -> list[list[tuple[Bar, Told]]]:
        "What can be judged now. A moment whose missing timeframe never came is judged when the next one begins."
        ready = []
        if bar.timeframe == self.base:
            ready = [self._release(self._waiting())] if self._waiting() and bar.end > self._waiting() else []
            self._expect(bar)
        else:
            timeframe = Timeframe(bar.timeframe)
            self._closed[timeframe] = max(self._closed[timeframe], bar.end)
            self._open[timeframe] = [due for due in self._open[timeframe] if due[0] >= bar.end]
        self.held.append((bar, told))
        at = self._waiting()
        if at and not any(due <= at for several in self._open.values() for _, due in several):
            ready.append(self._release(at))
        return ready

    def _waiting(self) -> int:
        "End of the base bar that is held, 0 for none."
        return max((bar.end for bar, _ in self.held if bar.timeframe == self.base), default=0)

    def _release(self, until: int) -> list[tuple[Bar, Told]]:
        ready = [pair for pair in self.held if pair[0].end <= until]
        self.held = [pair for pair in self.held if pair[0].end > until]
        for several in self._open.values():
            several[:] = [due for due in several if due[1] > until]
        return ready

    def _expect(self, bar: Bar) -> None:
        "Note when each longer period that this base bar lies in will close; a new contract closes all of them."
        if self._contract not in ("", bar.contract):
            for several in self._open.values():
                several[:] = [(start, min(due, bar.start)) for start, due in several]
        self._contract = bar.contract
        if not self.longer:
            return
        calendar = self.calendar or SessionCalendar.of(bar.symbol)
        opened, closes, _ = calendar.interval(bar.start)
        for timeframe in self.longer:
            due = min(bar.start - (bar.start - opened) % timeframe.nanos + timeframe.nanos, closes)
            several = self._open[timeframe]
            if due > self._closed[timeframe] and (not several or several[-1][1] != due):
                several.append((bar.start, due))


class _ToldCalculator:
    "A calculator whose values give way to those handed in."

    def __init__(self, calculator: Any):
        self._calculator = calculator
        self.told: dict[Timeframe, Told] = {}

    def update_bar(self, timeframe: Timeframe, bar: Bar) -> dict[str, float]:
        own = self._calculator.update_bar(timeframe, bar)
        told = self.told.get(timeframe, {})
        return own | {name: value for name, value in told.items() if name in own and value == value}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._calculator, name)


class ToldRunner(StrategyRunner):
    "A strategy with the position model that research has; values handed in go before those it calculates itself."

    def reset(self) -> None:
        super().reset()
        self.calculator: Any = _ToldCalculator(self.calculator)

    def tell(self, values: Told) -> None:
        "Values of a timeframe whose bar is not known."
        self._outputs |= {
            name: np.float64(value) for name, value in values.items() if name in self._outputs and value == value
        }

    def judge(self, moment: list[tuple[Bar, Told]]) -> list[Signal]:
        "Signals of the bars that closed at one moment."
        self._follow()
        self.calculator.told = {bar.timeframe: told for bar, told in moment}
        return self.on_bars([bar for bar, _ in moment])

    def _follow(self) -> None:
        "The position the strategy was told goes before the model's."
        integers, floats = self._state
        side = _SIDES[self.strategy.get_position()]
        settled = 0 if integers[EXITING] else integers[SIDE]
        if side == (integers[ENTERING] or settled):
            return
        integers[[SIDE, HELD, EXITING, ENTERING]] = side, 0, 0, 0
        floats[[ENTRY, BEST]] = floats[LAST_CLOSE]
        if side and self.strategy.rests:  # the pair hangs on the price it was told at
            floats[[NEXT_STOP, NEXT_TARGET]] = math.nan  # of an entry that was not told
            place(integers, floats, self._rule_row, side, floats[LAST_CLOSE])


class Asked:
    "One strategy or runner, asked with values and bars as they come."

    def __init__(self, strategy: Any):
        self.strategy = strategy
        self.is_runner = not hasattr(strategy, "check_conditions")
        self.known: dict[str, float] = {}
        self.timeframes = sorted(map(Timeframe, strategy.timeframes), key=lambda one: one.seconds)
        self._moments: dict[str, Moments] = {}
        self._models: dict[str, ToldRunner] = {}

    @property
    def _has_model(self) -> bool:
        "Whether the position model of research decides: its conditions are the strategy's, and its plan is known."
        return (
            isinstance(self.strategy, BaseStrategy)
            and bool(self.timeframes)
            and type(self.strategy).check_conditions is BaseStrategy.check_conditions
        )

    def take(self, timeframe: Timeframe, values: Told, bar: Bar | None) -> list[Signal]:
        "The signals these values, and this bar, lead to."
        if self.timeframes and timeframe not in self.timeframes:
            return []
        if bar is None:
            return self._without_bar(timeframe, values)
        if not self.timeframes:
            return self._asked(timeframe, [(bar, values)])
        return [
            signal
            for moment in self._moment(bar.symbol).take(bar, values)
            for signal in self._judged(bar.symbol, moment)
        ]

    def _moment(self, symbol: str) -> Moments:
        if symbol not in self._moments:
            calendar = SessionCalendar.of(symbol) if len(self.timeframes) > 1 else None
            self._moments[symbol] = Moments(self.timeframes, calendar)
        return self._moments[symbol]

    def _judged(self, symbol: str, moment: list[tuple[Bar, Told]]) -> list[Signal]:
        if self.is_runner:
            return self.strategy.on_bars([bar for bar, _ in moment])
        if self._has_model:
            for _, values in moment:
                self.known |= values
            return self._model(symbol).judge(moment)
        return self._asked(self.timeframes[0], sorted(moment, key=lambda pair: pair[0].end))

    def _model(self, symbol: str) -> ToldRunner:
        if symbol not in self._models:
            self._models[symbol] = ToldRunner(self.strategy, type(self.strategy).__name__, symbol)
            self._models[symbol].tell(self.known)
        return self._models[symbol]

    def _without_bar(self, timeframe: Timeframe, values: Told) -> list[Signal]:
        "Values alone: there is no moment to wait for, so the base timeframe's are judged as they come."
        if self.is_runner:
            raise InputError(
                "bar",
                None,
                f"must be there: {self.strategy.name} is fed with bars",
                "hand in bar=..., or what VBTIndicatorCalculator.update_bar returned",
            )
        self.known |= values
        for model in self._models.values():
            model.tell(values)
        return self._answer(timeframe, None) if timeframe in self.timeframes[:1] or not self.timeframes else []

    def _asked(self, base: Timeframe, moment: list[tuple[Bar, Told]]) -> list[Signal]:
        "The answer of `check_conditions` once all values of a moment are in."
        last = None
        for bar, values in moment:
            if bar.timeframe == base or not self.timeframes:
                last = bar
                self.known |= {name: getattr(bar, name) for name in FIELDS[:-1]} | {"time": bar.end / 1e9}
            self.known |= values
        return self._answer(base, last)

    def _answer(self, timeframe: Timeframe, bar: Bar | None) -> list[Signal]:
        strategy = self.strategy
        asked = dict.fromkeys(strategy.outputs, math.nan) | self.known
        action = as_action(strategy.check_conditions(asked), strategy.get_position())
        if action is None:
            return []
        end = bar.end if bar else time.time_ns()
        name, contract, price = type(strategy).__name__, bar.contract if bar else "", float(self.known.get("close", 0))
        symbol, own = strategy.symbol or (bar.symbol if bar else ""), strategy.config_hash()
        identity = signal_id(name, own, contract, end, action)
        return [Signal(identity, name, symbol, contract, action, end, str(timeframe), price, own, "rule", 1)]
