"""The live form: a strategy on one symbol, fed with the bars that closed at one moment."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from futures_algo.core.contracts import product
from futures_algo.core.sessions import SessionCalendar
from futures_algo.core.types import Bar, InputError, Signal, Timeframe, signal_id
from futures_algo.indicators.calculator import VBTIndicatorCalculator
from futures_algo.strategies.base import BaseStrategy
from futures_algo.strategies.declared import Declared, declared, permitted, stop_points
from futures_algo.strategies.explain import evaluated
from futures_algo.strategies.orders import (
    ATR,
    BEGUN,
    FILLED_AT,
    ROLL,
    STOP,
    STOP_KIND,
    TARGET,
    TARGET_ORDER,
    begin_bar,
    end_bar,
    meet,
    move,
    new_order_state,
    place,
)
from futures_algo.strategies.position import (
    BEST,
    CONTRACT,
    ENTERING,
    ENTRY,
    ENTRY_SIDE,
    EXIT_AT,
    EXIT_CONTRACT,
    EXIT_PRICE,
    EXIT_REASON,
    EXIT_SIDE,
    EXITING,
    LAPSED,
    LAST_CLOSE,
    ORDER_WIDTH,
    REASONS,
    SIDE,
    WIDTH,
    new_state,
    position_step,
)
from futures_algo.strategies.sizing import Sizing
from futures_algo.strategies.values import FIELDS, Known, Values, nothing, prices

_BEFORE_CLOSE = 5  # place of `before_close` in a row of rules


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
    "A signal with its id; that of an order that rested carries the order's kind."
    rested = REASONS.index(reason) > ROLL if reason in REASONS else False
    identity = signal_id(name, config_hash, contract, bar_end, f"{action}|{reason}" if rested else action)
    return Signal(identity, name, symbol, contract, action, bar_end, timeframe, price, config_hash, reason, quantity)


def refuse_scalar_code(strategy: BaseStrategy) -> None:
    "Ask the conditions about two empty rows, so that code which cannot be swept is refused before it trades."
    rows = lambda names, frames={}, prev=None: Known(dict.fromkeys((*FIELDS, *names), np.full(2, np.nan)), frames, prev)
    own = {
        t: rows([output for output, timeframe in strategy.outputs.items() if timeframe == t])
        for t in strategy.timeframes
    }
    frames = {t: known._replace(prev=known) for t, known in own.items()}
    known = Values(rows(strategy.outputs, frames, rows(strategy.outputs, own)))
    strategy.conditions(known)
    strategy.declared_prices(known)


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
        self.timeframes = frozenset(strategy.fed)
        self._base, self._hash, self._rules = (
            strategy.base_timeframe,
            strategy.config_hash(),
            strategy.exit_rules(symbol),
        )
        self._point_value = product(symbol).point_value
        self.has_filled: Callable[[StrategyRunner, float, int], bool] | None = None  # live: did the broker's target?
        self.reset()

    def reset(self) -> None:
        "Forget every bar."
        plan = self.strategy.plan
        self.calculator = VBTIndicatorCalculator(self.symbol, plan, calendar=self.calendar)
        rests, watched = self.strategy.rests, self.strategy.watched
        self._state = new_order_state() if rests else new_state()
        self._out = np.zeros(ORDER_WIDTH if rests else WIDTH, np.int64)
        self._inner = watched[0] if watched else None
        self._moved = Timeframe(self.strategy.manage_on) if watched and self.strategy.manage_on else None
        own = {timeframe: nothing([o for one in plan[timeframe] for o in one.outputs]) for timeframe in plan}
        self._frames: dict[Timeframe, Known] = {
            timeframe: known._replace(prev=known) for timeframe, known in own.items()
        }
        self._outputs = dict.fromkeys(self.strategy.outputs, np.float64(np.nan))
        self._previous = Known({**own[self._base].values, **self._outputs}, dict(self._frames))
        self._codes: dict[str, int] = {}  # dated contract -> number in the position's state
        self._closes = (0, 0)  # end of the open segment, last close of its session
        self._held = 0  # contracts the open position was entered with
        self.seen = 0  # end of the last bar the model saw, ns UTC
        self._told = False  # the exit of an order that filled inside the open base bar has been signalled
        self._declared: Declared | None = None  # what an entry decided on the last base bar declares
        self._rule_row = np.array(
            self._rules, np.float64
        )  # exits in force: the strategy's, or those a position was taken over with
        self.evaluation: dict[str, Any] = {}  # the latest: bar_end, known, conditions

    @property
    def position(self) -> str:
        "The model position: FLAT, LONG or SHORT."
        return {0: "FLAT", 1: "LONG", -1: "SHORT"}[int(self._state[0][SIDE])]

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
        base, found = None, []
        for bar in bars:
            if bar.timeframe == self._inner:
                found += self._meet(bar)
            if bar.timeframe not in self._frames:
                continue
            if bar.timeframe == self._base:
                base = bar
            outputs = {
                name: np.float64(value) for name, value in self.calculator.update_bar(bar.timeframe, bar).items()
            }
            self._outputs |= outputs
            self._frames[bar.timeframe] = Known(prices(bar) | outputs, prev=Known(self._frames[bar.timeframe].values))
        if base is not None:
            return found + self._decide(base)
        if self._moved and any(bar.timeframe == self._moved for bar in bars):
            move(*self._state, self._rule_row, self._state[1][ATR])
        return found

    def _decide(self, bar: Bar) -> list[Signal]:
        known = Known({**self._frames[self._base].values, **self._outputs}, dict(self._frames), self._previous)
        self._previous = Known(known.values, known.frames)
        decide = self.strategy.conditions(Values(known))
        last_close, atr = float(self._state[1][LAST_CLOSE]), float(self._outputs.get("atr", np.nan))
        self.evaluation, self.seen = {"bar_end": bar.end, "known": known, "conditions": decide}, bar.end
        if self.strategy.rests:
            self._end(bar, known, decide, atr)
        else:
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
                self._code(bar),
                atr,
                self._out,
            )
        return list(self._signals(bar, last_close, atr)) if self._out[EXIT_SIDE] or self._out[ENTRY_SIDE] else []

    def _code(self, bar: Bar) -> int:
        return self._codes.setdefault(bar.contract, len(self._codes))

    def _meet(self, bar: Bar) -> list[Signal]:
        "A finer bar inside the base bar that is still open."
        if not self._state[0][BEGUN]:
            self._begin(bar)
        self._met(bar, 1)
        rested = self._out[EXIT_REASON] > ROLL and self._out[EXIT_AT] == bar.end
        return [self._rested()] if rested else []

    def _met(self, bar: Bar, finer: int) -> None:
        "A bar meets the pair; a target that only the bars say was filled goes on resting, as the broker's does."
        integers, floats = self._state
        self.seen = max(self.seen, bar.end)
        meet(integers, floats, self._rule_row, bar.open, bar.high, bar.low, bar.end, finer, *self._both())
        if self._out[EXIT_REASON] != TARGET_ORDER or self._out[EXIT_AT] != bar.end or self.has_filled is None:
            return
        side, best = int(self._out[EXIT_SIDE]), bar.high if self._out[EXIT_SIDE] > 0 else bar.low
        if not self.has_filled(self, float(self._out.view(np.float64)[EXIT_PRICE]), bar.end):
            integers[SIDE], self._out[[EXIT_REASON, EXIT_SIDE, EXIT_AT]] = side, 0
            floats[BEST] = max(floats[BEST] * side, best * side) * side

    def _begin(self, bar: Bar) -> None:
        segment = self._closing(bar)[0]
        begin_bar(*self._state, self._rule_row, bar.open, segment, self._code(bar), self._out)
        self._told = False
        if self._out[LAPSED]:
            self._held = 0

    def _end(self, bar: Bar, known: Known, decide: Mapping[str, Any], atr: float) -> None:
        "The base bar itself."
        if not self._state[0][BEGUN]:
            self._begin(bar)
            self._met(bar, 0)
        segment, session = self._closing(bar)
        self._declared = declared(self.strategy, Values(known), self._rules, bar.close, bar.end < segment)
        end_bar(
            *self._state,
            self._rule_row,
            *map(bool, permitted(decide, self._declared)),
            bar.close,
            bar.end,
            session if self._rule_row[_BEFORE_CLOSE] >= 0 else 0,
            self._code(bar),
            atr,
            self._declared.prices[0],
            self._out,
        )

    def _both(self) -> tuple[np.ndarray, np.ndarray]:
        return self._out, self._out.view(np.float64)

    def _rested(self) -> Signal:
        "The exit of an order that filled in the bar just met."
        self._told, reason = True, REASONS[self._out[EXIT_REASON]]
        self._rule_row[:] = self._rules
        contract = next(name for name, code in self._codes.items() if code == self._out[EXIT_CONTRACT])
        action = "LONG_EXIT" if self._out[EXIT_SIDE] > 0 else "SHORT_EXIT"
        at, price = int(self._out[EXIT_AT]), float(self._out.view(np.float64)[EXIT_PRICE])
        return make_signal(
            self.name, self._hash, self.symbol, self._base, contract, action, at, price, reason, self._held
        )

    def _signals(self, bar: Bar, last_close: float, atr: float) -> Iterator[Signal]:
        "What the position model decided, as signals."
        make = lambda *row: make_signal(self.name, self._hash, self.symbol, self._base, *row)
        reason, exited, entered = REASONS[self._out[EXIT_REASON]], int(self._out[EXIT_SIDE]), int(self._out[ENTRY_SIDE])
        if exited and self._out[EXIT_REASON] > ROLL:
            if not self._told:
                yield self._rested()
        elif exited:
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
            self._held = self.sizing.contracts(self._stop_points(entered, bar.close, atr), self._point_value)
            yield make(
                bar.contract, "LONG_ENTRY" if entered > 0 else "SHORT_ENTRY", bar.end, bar.close, "rule", self._held
            )

    def _stop_points(self, side: int, close: float, atr: float) -> float:
        "From an entry decided now to its stop."
        if not self.strategy.rests:
            return self._rules.stop_distance(atr)
        return float(stop_points(self._rules, self._declared, close, atr)[side < 0])

    def _closing(self, bar: Bar) -> tuple[int, int]:
        "When trading stops next after the bar's start, and the last close of its session."
        if bar.start >= self._closes[0]:
            self._closes = self.calendar.next_close(bar.start), self.calendar.session_close(bar.start)
        return self._closes

    def _session_close(self, bar: Bar) -> int:
        "Last close of the bar's session."
        return self._closing(bar)[1] if self._rule_row[_BEFORE_CLOSE] >= 0 else 0

    # --- the broker's word, which a live engine passes on

    @property
    def entering(self) -> int:
        "Side of an entry decided on the last base bar, whose own bar has not closed; 0 for none."
        integers, exiting = self._state[0], self._state[0][EXITING]
        return int(integers[ENTERING]) if self.strategy.rests and not (exiting and not integers[ENTERING]) else 0

    def filled_at(self, price: float) -> dict[str, Any]:
        "The broker filled the entry decided last, at an average price: the pair hangs on it. Answers the pair."
        integers, floats = (values.copy() for values in self._state)
        self._state[1][FILLED_AT] = price
        place(integers, floats, self._rule_row, integers[ENTERING], price)
        return self._pair_of(integers, floats)

    def hanging(self) -> Callable[[float], dict[str, Any]]:
        "`filled_at` as of now without its effect, to be asked from another thread."
        state, rules = [values.copy() for values in self._state], self._rule_row.copy()

        def pair(price: float) -> dict[str, Any]:
            integers, floats = (values.copy() for values in state)
            place(integers, floats, rules, integers[ENTERING], price)
            return self._pair_of(integers, floats)

        return pair

    def left(self, price: float, kind: str, at: int) -> Signal:
        "The broker filled an order of the pair which the bars did not reach: the model is flat from there on."
        integers = self._state[0]
        self._out[[EXIT_REASON, EXIT_SIDE, EXIT_AT]] = REASONS.index(kind), integers[SIDE], at
        self._out[EXIT_CONTRACT], self._out.view(np.float64)[EXIT_PRICE] = integers[CONTRACT], price
        integers[SIDE] = 0
        return self._rested()

    @property
    def pair(self) -> dict[str, Any]:
        "The orders that should rest now: side, entry price, stop with its kind, target; {} without a position."
        integers, floats = self._state
        if not self.strategy.rests or not integers[SIDE] or integers[EXITING]:
            return {}
        return self._pair_of(integers, floats)

    def _pair_of(self, integers: np.ndarray, floats: np.ndarray) -> dict[str, Any]:
        known = lambda price: None if price != price else float(price)
        return {
            "side": int(integers[SIDE]),
            "entry": float(floats[ENTRY]),
            "stop": known(floats[STOP]),
            "target": known(floats[TARGET]),
            "kind": REASONS[integers[STOP_KIND]],
        }

    def take_over(self, other: "StrategyRunner") -> None:
        "Go on with another runner's model position."
        self.take_over_saved(other.save())

    def take_over_saved(self, saved: Mapping[str, Any]) -> None:
        """Go on with a saved model position, of other parameters too; one that is open, or about to be, keeps the exits
        it was opened with until it is left."""
        shorter = self._take(saved)
        self._codes, self._held = dict(saved["codes"]), saved["held"]
        side, exiting, entering = (int(self._state[0][k]) for k in (SIDE, EXITING, ENTERING))
        if (side and not exiting) or entering:
            self._rule_row[: len(saved["rules"])] = saved["rules"]
        if side and shorter:  # opened while exits were looked at when bars had closed: its orders rest from now on
            place(*self._state, self._rule_row, side, float(self._state[1][ENTRY]))

    def _take(self, saved: Mapping[str, Any]) -> bool:
        "A saved state's numbers; whether they were of the form without resting orders and this one has them."
        for mine, theirs in zip(self._state, (saved["integers"], saved["floats"]), strict=True):
            shared = min(len(mine), len(theirs))
            mine[:shared] = [np.nan if value is None else value for value in theirs[:shared]]
        return len(saved["integers"]) < len(self._state[0])

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
            "floats": [None if value != value else value for value in self._state[1].tolist()],
            "out": [self._out.tolist(), self._told, self.seen],
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
        self._take(saved)
        if "out" in saved:
            self._out[:], self._told, self.seen = saved["out"]
        self._codes, self._held, self._closes, self.evaluation = dict(saved["codes"]), saved["held"], (0, 0), {}
        self._rule_row[: len(saved["rules"])] = saved["rules"]
        self._frames = {Timeframe(timeframe): Known.from_dict(known) for timeframe, known in saved["frames"].items()}
        self._previous = Known.from_dict(saved["previous"])
        for known in self._frames.values():
            self._outputs |= {name: value for name, value in known.values.items() if name in self._outputs}
        return self
