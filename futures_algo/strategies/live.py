"""The live form: a strategy on one symbol, fed with the bars that closed at one moment."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from futures_algo.core.contracts import product
from futures_algo.core.sessions import SessionCalendar
from futures_algo.core.types import Bar, InputError, Signal, Timeframe, signal_id
from futures_algo.indicators.calculator import VBTIndicatorCalculator
from futures_algo.strategies.base import BaseStrategy
from futures_algo.strategies.explain import evaluated
from futures_algo.strategies.position import (
    ENTERING,
    ENTRY_SIDE,
    EXIT_CONTRACT,
    EXIT_REASON,
    EXIT_SIDE,
    EXITING,
    LAST_CLOSE,
    REASONS,
    SIDE,
    new_state,
    position_step,
)
from futures_algo.strategies.sizing import Sizing
from futures_algo.strategies.values import FIELDS, Known, Values, nothing, prices


def make_signal(
    name: str,
    config_hash: str,
    symbol: str,
    timeframe: str,  # of the strategy
    contract: str,
    action: str,
    bar_end: int,
    price: float,
    reason: str = "rule",
    quantity: int = 1,  # of the decision
) -> Signal:
    "A signal with its id."
    identity = signal_id(name, config_hash, contract, bar_end, action)
    return Signal(identity, name, symbol, contract, action, bar_end, timeframe, price, config_hash, reason, quantity)


def refuse_scalar_code(strategy: BaseStrategy) -> None:
    "Ask the conditions about two empty rows, so that code which cannot be swept is refused before it trades."
    rows = lambda names, frames={}, prev=None: Known(dict.fromkeys((*FIELDS, *names), np.full(2, np.nan)), frames, prev)
    own = {
        t: rows([output for output, timeframe in strategy.outputs.items() if timeframe == t])
        for t in strategy.timeframes
    }
    frames = {t: known._replace(prev=known) for t, known in own.items()}
    strategy.conditions(Values(rows(strategy.outputs, frames, rows(strategy.outputs, own))))


class StrategyRunner:
    "A strategy's indicators, position and signals on one symbol, bar by bar."

    def __init__(
        self,
        strategy: BaseStrategy,
        name: str,  # its name in the config
        symbol: str,  # feed symbol
        quantity: "int | Sizing" = 1,  # contracts an entry
        calendar: SessionCalendar | None = None,  # the symbol's own when omitted
    ):
        refuse_scalar_code(strategy)
        self.strategy, self.name, self.symbol = strategy, name, symbol
        self.sizing = quantity if isinstance(quantity, Sizing) else Sizing(quantity)
        self.calendar = calendar or SessionCalendar.of(symbol)
        self.timeframes = frozenset(strategy.timeframes)
        self._base, self._hash, self._rules = (
            strategy.base_timeframe,
            strategy.config_hash(),
            strategy.exit_rules(symbol),
        )
        self._point_value = product(symbol).point_value
        self.reset()

    def reset(self) -> None:
        "Forget every bar."
        plan = self.strategy.plan
        self.calculator = VBTIndicatorCalculator(self.symbol, plan, calendar=self.calendar)
        self._state, self._out = new_state(), np.zeros(4, np.int64)
        own = {timeframe: nothing([o for one in plan[timeframe] for o in one.outputs]) for timeframe in self.timeframes}
        self._frames: dict[str, Known] = {timeframe: known._replace(prev=known) for timeframe, known in own.items()}
        self._outputs = dict.fromkeys(self.strategy.outputs, np.float64(np.nan))
        self._previous = Known({**own[self._base].values, **self._outputs}, dict(self._frames))
        self._codes: dict[str, int] = {}  # dated contract -> number in the position's state
        self._closes = (0, 0)  # end of the open segment, last close of its session
        self._held = 0  # contracts the open position was entered with
        self._rule_row = np.array(
            self._rules, np.float64
        )  # exits in force: the strategy's, or those a position was taken over with
        self.evaluation: dict[str, Any] = {}  # the latest: bar_end, known, conditions

    @property
    def position(self) -> str:
        "The model position: FLAT, LONG or SHORT."
        return {0: "FLAT", 1: "LONG", -1: "SHORT"}[int(self._state[0][SIDE])]

    @property
    def decided(self) -> str:
        "What the model will hold once the decisions of its last bar are filled: FLAT, LONG or SHORT."
        state = self._state[0]
        if state[ENTERING]:
            return {1: "LONG", -1: "SHORT"}[int(state[ENTERING])]
        return "FLAT" if state[EXITING] else self.position

    @property
    def held(self) -> int:
        "Contracts the model position was entered with, or the last one was."
        return self._held

    def is_ready(self) -> bool:
        "Every indicator has a value."
        return self.calculator.is_ready()

    def is_converged(self) -> bool:
        "No indicator still shows where the stream began."
        return self.calculator.is_converged()

    def on_bars(self, completed: list[Bar]) -> list[Signal]:
        "Signals of closed bars, of any timeframe, in order of their end; those of one moment are judged together."
        mine = [bar for bar in completed if bar.timeframe in self.timeframes]
        if len(mine) < 2 or mine[0].end == mine[-1].end:
            return self._on_moment(mine)
        return [
            signal
            for end in sorted({bar.end for bar in mine})
            for signal in self._on_moment([bar for bar in mine if bar.end == end])
        ]

    def _on_moment(self, bars: list[Bar]) -> list[Signal]:
        base = None
        for bar in bars:
            if bar.timeframe == self._base:
                base = bar
            outputs = {
                name: np.float64(value) for name, value in self.calculator.update_bar(bar.timeframe, bar).items()
            }
            self._outputs |= outputs
            self._frames[bar.timeframe] = Known(prices(bar) | outputs, prev=Known(self._frames[bar.timeframe].values))
        return self._decide(base) if base is not None else []

    def _decide(self, bar: Bar) -> list[Signal]:
        known = Known({**self._frames[self._base].values, **self._outputs}, dict(self._frames), self._previous)
        self._previous = Known(known.values, known.frames)
        decide = self.strategy.conditions(Values(known))
        last_close, atr = float(self._state[1][LAST_CLOSE]), float(self._outputs.get("atr", np.nan))
        code = self._codes.setdefault(bar.contract, len(self._codes))
        position_step(
            *self._state,
            self._rule_row,
            *map(bool, decide.values()),
            bar.open,
            bar.high,
            bar.low,
            bar.close,
            bar.end,
            self._session_close(bar),
            code,
            atr,
            self._out,
        )
        self.evaluation = {"bar_end": bar.end, "known": known, "conditions": decide}
        return list(self._signals(bar, last_close, atr)) if self._out[EXIT_SIDE] or self._out[ENTRY_SIDE] else []

    def _signals(self, bar: Bar, last_close: float, atr: float) -> Iterator[Signal]:
        "What the position model decided, as signals."
        make = lambda *row: make_signal(self.name, self._hash, self.symbol, self._base, *row)
        reason, exited, entered = REASONS[self._out[EXIT_REASON]], int(self._out[EXIT_SIDE]), int(self._out[ENTRY_SIDE])
        if exited:
            self._rule_row[:] = self._rules
            contract = next(name for name, code in self._codes.items() if code == self._out[EXIT_CONTRACT])
            yield make(
                contract,
                "LONG_EXIT" if exited > 0 else "SHORT_EXIT",
                bar.end,
                last_close if reason == "roll" else bar.close,
                reason,
                self._held,
            )
        if entered:
            self._held = self.sizing.contracts(self._rules.stop_distance(atr), self._point_value)
            yield make(
                bar.contract, "LONG_ENTRY" if entered > 0 else "SHORT_ENTRY", bar.end, bar.close, "rule", self._held
            )

    def _session_close(self, bar: Bar) -> int:
        "Last close of the bar's session."
        if self._rule_row[-1] < 0:
            return 0  # its before_close
        if bar.start >= self._closes[0]:
            self._closes = self.calendar.next_close(bar.start), self.calendar.session_close(bar.start)
        return self._closes[1]

    def take_over(self, other: "StrategyRunner") -> None:
        "Go on with another runner's model position."
        self.take_over_saved(other.save())

    def take_over_saved(self, saved: Mapping[str, Any]) -> None:
        """Go on with a saved model position, of other parameters too; one that is open, or about to be, keeps the exits
        it was opened with until it is left."""
        for mine, theirs in zip(self._state, (saved["integers"], saved["floats"]), strict=True):
            mine[:] = theirs
        self._codes, self._held = dict(saved["codes"]), saved["held"]
        side, exiting, entering = (int(self._state[0][k]) for k in (SIDE, EXITING, ENTERING))
        if (side and not exiting) or entering:
            self._rule_row[:] = saved["rules"]

    def describe(self) -> dict[str, Any]:
        "The latest evaluation as plain numbers: what the monitor shows under 'why no trade?'."
        if not self.evaluation:
            return {"values": {}, "conditions": {}}
        return {
            "values": {name: float(value) for name, value in self.evaluation["known"].values.items()},
            "conditions": {name: bool(answer) for name, answer in self.evaluation["conditions"].items()},
            "terms": evaluated(self.strategy, self.evaluation["known"]),
        }

    # --- across restarts

    def save(self) -> dict[str, Any]:
        "The whole state as JSON-able data."
        return {
            "hash": self._hash,
            "calculator": self.calculator.save().decode(),
            "integers": self._state[0].tolist(),
            "floats": self._state[1].tolist(),
            "codes": self._codes,
            "held": self._held,
            "rules": self._rule_row.tolist(),
            "frames": {t: known.as_dict() for t, known in self._frames.items()},
            "previous": self._previous.as_dict(),
        }

    def restore(self, saved: Mapping[str, Any]) -> "StrategyRunner":
        "Continue where `save` was called; the state of other parameters is refused."
        if saved["hash"] != self._hash:
            raise InputError("saved state", saved["hash"], f"must be of {self._hash}", "warm up from history instead")
        self.calculator.restore(saved["calculator"].encode())
        self._state[0][:], self._state[1][:] = saved["integers"], saved["floats"]
        self._codes, self._held, self._closes, self.evaluation = dict(saved["codes"]), saved["held"], (0, 0), {}
        self._rule_row[:] = saved["rules"]
        self._frames = {Timeframe(timeframe): Known.from_dict(known) for timeframe, known in saved["frames"].items()}
        self._previous = Known.from_dict(saved["previous"])
        for known in self._frames.values():
            self._outputs |= {name: value for name, value in known.values.items() if name in self._outputs}
        return self
