"""What may pass to the broker. Every refusal has a name; an exit passes in every state; a check that fails halts."""

import dataclasses
import datetime as dt
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from itertools import takewhile
from typing import Any

from futures_algo.core.named import did_you_mean
from futures_algo.core.sessions import EXCHANGE_ZONE, SessionCalendar
from futures_algo.core.types import DAY, MINUTE, SECOND, InputError, Signal, to_nanos


class Denial(Enum):
    "Why a signal was not sent."

    DRY_RUN = "dry run: nothing is sent"
    HALTED = "trading is halted"
    REDUCING = "only exits are let through"
    NOT_RECONCILED = "the books have not been compared with the broker's"
    LOCKED = "the instrument is locked: the books disagree or an order's outcome is unknown"
    DISABLED = "the strategy is disabled"
    STALE = "the signal's bar is too old"
    NOT_WARM = "the strategy's indicators have not converged"
    DUPLICATE = "the decision was acted on before"
    CONTRACT = "the contract behind the symbol is not known"
    EXPIRED = "the contract is past its last trading day"
    ROLL_WINDOW = "the contract is about to roll"
    MARKET_CLOSED = "the market is closed"
    TRADING_WINDOW = "outside the hours the config allows"
    BLACKOUT = "inside a blackout interval of the config"
    QUANTITY = "the size came out as zero"
    POSITION_OPEN = "the strategy already holds a position or has an order under way"
    MAX_POSITION_CONTRACT = "more contracts of this instrument than allowed"
    MAX_POSITION_STRATEGY = "more contracts of this strategy than allowed"
    MAX_POSITION_ACCOUNT = "more contracts in the account than allowed"
    ORDER_RATE = "more orders a minute than allowed"
    DAILY_LOSS = "the day's loss limit is reached"
    DRAWDOWN = "the day's drawdown limit is reached"
    COOL_DOWN = "too soon after a loss"
    STOP_STREAK = "too many stops in a row"
    NOTHING_TO_EXIT = "the strategy's ledger holds nothing to close"
    JOURNAL = "the journal cannot be written, and an entry needs its row first"
    CHECK_FAILED = "a safety check failed; trading is halted"

    @classmethod
    def table(cls) -> list[tuple[str, str]]:
        "Name and meaning of each, for the documentation."
        return [(denial.name, denial.value) for denial in cls]


@dataclass(frozen=True)
class Limits:
    "The gate's limits, `execution.limits` in the config; `None` is no limit."

    max_signal_age_s: float | None = 90.0  # entries only; None executes everything
    max_position_contract: int | None = 5  # contracts of one instrument, all strategies
    max_position_strategy: int | None = 5  # contracts of one strategy, all instruments
    max_position_account: int | None = 20  # contracts, all instruments
    max_orders_per_minute: int | None = 30  # entries counted
    max_daily_loss_usd: float | None = None  # realised and open, since the session began
    max_daily_drawdown_usd: float | None = None  # from the day's best
    cool_down_s: float = 0.0  # after a losing trade of the strategy
    max_stop_streak: int | None = None  # stops in a row of one strategy today
    roll_window_days: int = 0  # days before the last trading day
    trading_windows: tuple[
        tuple[str, str], ...
    ] = ()  # exchange time, (("08:30", "15:00"),), also over midnight; none is all day
    blackouts: tuple[tuple[int, int], ...] = ()  # ns UTC intervals without entries: news

    @classmethod
    def of(cls, given: dict[str, Any], path: str = "execution.limits") -> "Limits":
        "From a config's dictionary; unknown names and impossible values are refused."
        known = {f.name: f for f in dataclasses.fields(cls)}
        for name, value in given.items():
            if name not in known:
                raise InputError("limit", name, "is not a known one", did_you_mean(name, known), f"{path}.{name}")
            if not _is_limit(value, str(known[name].type)):
                raise InputError(
                    f"limit {name}",
                    value,
                    f"must be {'a whole number, ' if 'int |' in str(known[name].type) else ''}zero or more",
                    "write null for no limit",
                    f"{path}.{name}",
                )
        readers: dict[str, Callable[[Any, str], tuple[Any, Any]]] = {"trading_windows": _window, "blackouts": _blackout}
        values: dict[str, Any] = {
            name: tuple(readers[name](pair, f"{path}.{name}") for pair in value) if name in readers else value
            for name, value in given.items()
        }
        return cls(**values)


def _is_limit(value: Any, kind: str) -> bool:
    "Whether the value fits the field: pairs are looked at by their readers."
    if kind.startswith("tuple"):
        return isinstance(value, (list, tuple))
    if value is None:
        return "None" in kind
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e12
    return number and ("float" in kind or value == int(value))


def _pair(pair: Any, subject: str, path: str) -> tuple[Any, Any]:
    if isinstance(pair, str) or not isinstance(pair, Iterable) or len(pair := tuple(pair)) != 2:
        raise InputError(subject, pair, "must be a pair of start and end", "", path)
    return pair[0], pair[1]


def _window(pair: Any, path: str) -> tuple[str, str]:
    "Two times of day, HH:MM."
    opens, closes = _pair(pair, "trading window", path)
    try:
        return dt.time.fromisoformat(opens).strftime("%H:%M"), dt.time.fromisoformat(closes).strftime("%H:%M")
    except (TypeError, ValueError):
        raise InputError(
            "trading window",
            (opens, closes),
            "must be two times of day",
            'write ["08:30", "15:00"], exchange time',
            path,
        ) from None


def _blackout(pair: Any, path: str) -> tuple[int, int]:
    "Two moments, ns or text with a zone, in order."
    start, end = map(to_nanos, _pair(pair, "blackout", path))
    if start >= end:
        raise InputError("blackout", tuple(pair), "must end after it starts", "swap the two", path)
    return start, end


@dataclass
class RiskState:
    "The state the gate judges by; the executor keeps it current."

    trading: str = "ACTIVE"  # ACTIVE, REDUCING or HALTED
    trading_reason: str = ""
    dry_run: bool = True
    reconciled: bool = False
    locked: dict[str, str] = field(default_factory=dict)  # instrument -> reason
    disabled: set[str] = field(default_factory=set)  # strategies
    by_ledger: dict[tuple[str, str], int] = field(
        default_factory=dict
    )  # (strategy, instrument) -> signed contracts, orders under way included
    under_way: set[tuple[str, str]] = field(default_factory=set)  # ledgers with an order not yet ended
    day_pnl_usd: float = 0.0
    day_best_usd: float = 0.0
    last_loss: dict[str, int] = field(default_factory=dict)  # strategy -> ns of its last losing exit
    stop_streak: dict[str, int] = field(default_factory=dict)
    entries: deque[int] = field(default_factory=lambda: deque(maxlen=10_000))  # ns of entries sent

    def halt(self, reason: str) -> None:
        self.trading, self.trading_reason = "HALTED", reason


def _age(age: int, limit: float) -> str:
    "Words for a bar that ended too long ago, or in this computer's future."
    return (
        f"{age / SECOND:.1f} s old, limit {limit:g} s"
        if age > 0
        else f"its bar ends {-age / SECOND:.1f} s ahead of this computer's clock: set the clock"
    )


class Gate:
    "Judges a signal; `None` lets it pass."

    def __init__(self, limits: Limits = Limits()):
        self.limits = limits

    def judge(
        self,
        signal: Signal,
        risk: RiskState,
        now: int,  # ns UTC, of the engine's clock
        instrument: str = "",  # NinjaTrader's name of the contract; empty when not resolved
        quantity: int = 1,  # contracts after sizing
        warm: bool = True,  # the strategy's indicators have converged
        last_trade: int | None = None,  # ns UTC of the contract's last trading, where known
        reversing: bool = False,  # the position it is against is closed first
    ) -> tuple[Denial, str] | None:
        "The first reason not to send it, with detail. A check that raises halts trading and refuses the entry."
        if not signal.is_entry:
            return self._judge_exit(signal, risk, instrument)
        try:
            found = iter(self._denials(signal, risk, now, instrument, quantity, warm, last_trade, reversing))
            return next(found, None)
        except (
            ArithmeticError,
            LookupError,
            TypeError,
            ValueError,
            AttributeError,
            RuntimeError,
            OSError,
        ) as error:  # fails closed: a broken check lets nothing through
            risk.halt(f"a safety check failed: {error!r}")
            return Denial.CHECK_FAILED, repr(error)

    def _judge_exit(self, signal: Signal, risk: RiskState, instrument: str) -> tuple[Denial, str] | None:
        if risk.dry_run:
            return Denial.DRY_RUN, ""
        key = (signal.strategy, instrument)
        held = risk.by_ledger.get(key, 0)
        if key not in risk.under_way and held * (1 if signal.is_long else -1) <= 0:
            return Denial.NOTHING_TO_EXIT, f"ledger holds {held}"
        return None

    def _denials(
        self,
        signal: Signal,
        risk: RiskState,
        now: int,
        instrument: str,
        quantity: int,
        warm: bool,
        last_trade: int | None,
        reversing: bool,
    ) -> Iterable[tuple[Denial, str]]:
        limits, age = self.limits, now - signal.bar_end
        if not instrument:
            yield Denial.CONTRACT, signal.symbol
        if limits.max_signal_age_s is not None and abs(age) > limits.max_signal_age_s * SECOND:
            yield Denial.STALE, _age(age, limits.max_signal_age_s)
        if risk.dry_run:
            yield Denial.DRY_RUN, ""
        if risk.trading != "ACTIVE":
            yield Denial[risk.trading], risk.trading_reason
        if not risk.reconciled:
            yield Denial.NOT_RECONCILED, ""
        if instrument in risk.locked:
            yield Denial.LOCKED, risk.locked[instrument]
        if signal.strategy in risk.disabled:
            yield Denial.DISABLED, ""
        if not warm:
            yield Denial.NOT_WARM, ""
        yield from self._calendar_denials(signal, now, last_trade)
        yield from self._size_denials(signal, risk, instrument, quantity, reversing)
        yield from self._loss_denials(signal, risk, now)

    def _calendar_denials(self, signal: Signal, now: int, last_trade: int | None) -> Iterable[tuple[Denial, str]]:
        if not SessionCalendar.of(signal.symbol).is_open(now):
            yield Denial.MARKET_CLOSED, signal.symbol
        if last_trade is not None and now >= last_trade:
            yield Denial.EXPIRED, signal.contract
        if last_trade is not None and now >= last_trade - self.limits.roll_window_days * DAY:
            yield Denial.ROLL_WINDOW, f"{self.limits.roll_window_days} days"
        clock = dt.datetime.fromtimestamp(now / SECOND, EXCHANGE_ZONE).strftime("%H:%M")
        windows = self.limits.trading_windows
        if windows and not any(
            start <= clock < end if start <= end else clock >= start or clock < end for start, end in windows
        ):
            yield Denial.TRADING_WINDOW, clock
        if any(start <= now < end for start, end in self.limits.blackouts):
            yield Denial.BLACKOUT, clock

    def _size_denials(
        self, signal: Signal, risk: RiskState, instrument: str, quantity: int, reversing: bool
    ) -> Iterable[tuple[Denial, str]]:
        if quantity < 1:
            yield Denial.QUANTITY, f"{quantity}"
        own = (signal.strategy, instrument)
        if not reversing and (risk.by_ledger.get(own, 0) or own in risk.under_way):
            yield Denial.POSITION_OPEN, f"ledger holds {risk.by_ledger.get(own, 0)}"

        def total(wanted: Callable[[str, str], bool]) -> int:
            others = [
                abs(held) for key, held in risk.by_ledger.items() if wanted(*key) and not (reversing and key == own)
            ]
            return quantity + sum(others)

        for denial, limit, wanted in (
            (
                Denial.MAX_POSITION_CONTRACT,
                self.limits.max_position_contract,
                lambda strategy, name: name == instrument,
            ),
            (
                Denial.MAX_POSITION_STRATEGY,
                self.limits.max_position_strategy,
                lambda strategy, name: strategy == signal.strategy,
            ),
            (Denial.MAX_POSITION_ACCOUNT, self.limits.max_position_account, lambda strategy, name: True),
        ):
            if limit is not None and total(wanted) > limit:
                yield denial, f"{total(wanted)} of {limit}"

    def _loss_denials(self, signal: Signal, risk: RiskState, now: int) -> Iterable[tuple[Denial, str]]:
        limits = self.limits
        recent = sum(1 for _ in takewhile(lambda at: at > now - MINUTE, reversed(risk.entries)))
        if limits.max_orders_per_minute is not None and recent >= limits.max_orders_per_minute:
            yield Denial.ORDER_RATE, f"{recent} in the last minute"
        if limits.max_daily_loss_usd is not None and -risk.day_pnl_usd >= limits.max_daily_loss_usd:
            yield Denial.DAILY_LOSS, f"${risk.day_pnl_usd:,.2f} today"
        fall = risk.day_best_usd - risk.day_pnl_usd
        if limits.max_daily_drawdown_usd is not None and fall >= limits.max_daily_drawdown_usd:
            yield Denial.DRAWDOWN, f"${fall:,.2f} below the day's best"
        since = now - risk.last_loss.get(signal.strategy, -(10**19))
        if limits.cool_down_s and since < limits.cool_down_s * SECOND:
            yield Denial.COOL_DOWN, f"{since / SECOND:.0f} s after a loss"
        streak = risk.stop_streak.get(signal.strategy, 0)
        if limits.max_stop_streak is not None and streak >= limits.max_stop_streak:
            yield Denial.STOP_STREAK, f"{streak} in a row"
