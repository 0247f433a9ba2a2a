"""From a signal to an order: judged by the gate, journaled, sent once, followed to its fill. Exits wait for what is under way and then always go."""

import json
import logging
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from futures_algo.broker.outcomes import is_already_ended
from futures_algo.core.contracts import Contract
from futures_algo.core.types import SECOND, BrokerError, Clock, InputError, Signal, signal_id
from futures_algo.execution.gate import Denial, Gate
from futures_algo.execution.orders import instrument_of
from futures_algo.execution.reconcile import Bookkeeper
from futures_algo.execution.tracking import ENDED, NOT_SENT, UNKNOWN, Fill, Tracked
from futures_algo.execution.translator import SignalTranslator

execution_log = logging.getLogger("futures_algo.executions")  # the engine attaches logs/executions.log to it


class Decision(NamedTuple):
    "What became of a signal."

    verdict: str  # sent, denied, dry_run, duplicate, pending
    denial: str = ""  # a `Denial`'s name
    detail: str = ""
    order_id: str = ""


class Waiting(NamedTuple):
    "A signal that waits for the orders of its ledger to end."

    signal: Signal
    attempt: int = 0  # of an exit
    not_before: int = 0  # ns UTC


_ALARM_AFTER = 3  # failed attempts of an exit until it is an alarm; it goes on being tried
_LAST_ATTEMPT = 89
_LONGEST_PAUSE = 60  # seconds between attempts
_DOUBT_ALARM = 60  # seconds an outcome may be unknown before it is an alarm


class CrossTradeExecutor(Bookkeeper):
    "Turns signals into orders and keeps the ledgers; one caller at a time."

    def __init__(
        self,
        client,  # CrossTradeClient
        journal,  # Journal, writable
        gate: Gate | None = None,
        *,
        account: str,  # NT8 account Name
        clock: Clock | None = None,
        dry_run: bool = True,
        translator: SignalTranslator | None = None,
        inline: bool = False,  # over recorded bars: follow each order at once, so fills come in the order of the data
        reverse: bool = True,  # an entry against the position closes it first; False denies it
        grace_s: float = 10.0,
    ):
        super().__init__(client, journal, account=account, clock=clock, dry_run=dry_run, grace_s=grace_s)
        self.gate, self.translator, self.inline, self.reverse = (
            gate or Gate(),
            translator or SignalTranslator(account_value=lambda: self.account_value),
            inline,
            reverse,
        )
        self.warm = lambda signal: True  # the engine sets it: have this strategy's indicators converged?
        self.last_trade = last_trade  # instrument -> ns of its last trading, None when not known
        self._waiting: dict[tuple[str, str], list[Waiting]] = {}
        self._seen = {row["id"] for row in journal.rows("signals")}

    # --- signals in

    def submit_signal(self, signal: Signal) -> Decision:
        "Judge a signal, journal the verdict, and send what passes."
        if signal.id in self._seen:
            return Decision("duplicate", Denial.DUPLICATE.name, signal.id)
        self._seen.add(signal.id)
        key = signal.strategy, self._instrument(signal)
        decision = self._take_entry(signal, key) if signal.is_entry else self._take_exit(signal, key)
        self._settle()
        if self.inline:
            self._follow()
        return self._outcome(signal) if decision.verdict in ("sent", "pending") else decision

    def knows(self, signal: Signal) -> bool:
        "Whether a signal was submitted or noted before, by an engine before this one too."
        return signal.id in self._seen

    def note(self, signal: Signal, verdict: str, detail: str = "") -> Decision:
        "Journal a signal that asks for no order: one whose order rests at the broker, or what became of it."
        self._seen.add(signal.id)
        self._journal_verdict(signal, verdict, detail=detail)
        return Decision(verdict, detail=detail)

    def is_leaving(self, key: tuple[str, str]) -> bool:
        "Whether an exit of a ledger is under way or waits."
        return self._is_leaving(key)

    def _instrument(self, signal: Signal) -> str:
        "NinjaTrader's name of the contract; empty when it cannot be told."
        try:
            return instrument_of(signal.contract, signal.bar_end) if signal.contract else ""
        except InputError:
            return ""

    def _take_exit(self, signal: Signal, key: tuple[str, str]) -> Decision:
        if refused := self.gate.judge(signal, self.books, self.clock.now(), key[1]):
            return self._refuse(signal, *refused)
        if self._is_busy(key) or not self._is_clear(key):
            return self._wait(signal, key)
        return self._place(signal, key, abs(self._ledger(key).quantity))

    def _take_entry(self, signal: Signal, key: tuple[str, str]) -> Decision:
        if self._is_leaving(key):
            return self._wait(signal, key)
        reversing = (
            self.reverse and self._ledger(key).quantity * (1 if signal.is_long else -1) < 0 and not self._is_busy(key)
        )
        quantity, refused = self._judge_entry(signal, key, reversing)
        if refused:
            return self._refuse(signal, *refused)
        if not reversing:
            return self._place(signal, key, quantity)
        leaving = self.translator.exit_of(signal)
        self._seen.add(leaving.id)
        self._take_exit(leaving, key)
        return self._wait(signal, key)

    def _judge_entry(
        self, signal: Signal, key: tuple[str, str], reversing: bool = False
    ) -> tuple[int, tuple[Denial, str] | None]:
        "Size and the gate's refusal, if any."
        try:
            quantity, problem = self.translator.size(signal), ""
        except InputError as error:
            quantity, problem = 0, str(error)
        refused = self.gate.judge(
            signal,
            self.books,
            self.clock.now(),
            key[1],
            quantity,
            self.warm(signal),
            self.last_trade(key[1]),
            reversing,
        )
        return quantity, (refused[0], problem) if refused and problem and refused[0] is Denial.QUANTITY else refused

    def _refuse(self, signal: Signal, denial: Denial, detail: str) -> Decision:
        verdict, now = "dry_run" if denial is Denial.DRY_RUN else "denied", self.clock.now()
        self._journal_verdict(signal, verdict, denial.name, detail)
        if denial is Denial.CHECK_FAILED:
            self.journal.add_event(now, "alarm", "halt", signal.strategy, detail)
        return Decision(verdict, denial.name, detail)

    def _journal_verdict(self, signal: Signal, verdict: str, denial: str = "", detail: str = "") -> None:
        "The first verdict is a new row; that of a signal that waited changes its row."
        if self.journal.has("signals", "id", signal.id):
            self.journal.update("signals", "id", signal.id, verdict=verdict, denial=denial, detail=detail)
        else:
            self.journal.add_signal(signal, self.clock.now(), verdict, denial, detail)

    # --- one thing at a time

    def _is_busy(self, key: tuple[str, str]) -> bool:
        "Whether an order of this ledger is under way."
        return any(
            (order.strategy, order.instrument) == key and not order.is_resting for order in self.orders.open.values()
        )

    def _is_leaving(self, key: tuple[str, str]) -> bool:
        "Whether an exit of this ledger is under way or waits."
        under_way = any(
            order.purpose == "exit" and (order.strategy, order.instrument) == key for order in self.orders.open.values()
        )
        return under_way or any(not waiting.signal.is_entry for waiting in self._waiting.get(key, ()))

    def _is_clear(self, key: tuple[str, str]) -> bool:
        "Whether no order rests for this ledger; those that do are cancelled, and the exit waits for their end."
        resting = [
            order
            for order in self.orders.open.values()
            if (order.strategy, order.instrument) == key and order.is_resting
        ]
        for order in resting:
            self._cancel(order)
        return not resting

    def _cancel(self, order: Tracked) -> None:
        "Ask for an order's end; where that fails the exit behind it cannot go, which somebody must know."
        outcome = self.orders.cancel(order)
        if outcome.ok or is_already_ended(outcome):
            return
        self._lock(
            order.instrument,
            "exit",
            f"orders of {order.strategy} cannot be cancelled ({outcome.reason}), and its exit waits for that; look at"
            " NinjaTrader",
        )

    def _wait(self, signal: Signal, key: tuple[str, str]) -> Decision:
        self._journal_verdict(signal, "pending", detail="waits for the order under way")
        self._waiting.setdefault(key, []).append(Waiting(signal))
        return Decision("pending", detail="waits for the order under way")

    def _outcome(self, signal: Signal) -> Decision:
        "What became meanwhile of a signal that had to wait."
        row = self.journal.one("signals", "id", signal.id)
        order = next(iter(self.journal.rows("intents", "signal_id = ?", signal.id, order="rowid DESC", limit=1)), {})
        return Decision(row["verdict"], row["denial"], order.get("state") or row["detail"], order.get("order_id", ""))

    # --- sending

    def _place(self, signal: Signal, key: tuple[str, str], quantity: int, attempt: int = 0) -> Decision:
        "Journal verdict and intent in one commit, then send."
        net = sum(ledger.quantity for (_, name), ledger in self.ledgers.items() if name == key[1])
        request = self.translator.request(signal, quantity, attempt, net)
        with self.journal.together():
            self._journal_verdict(signal, "sent")
            order = self.orders.prepare(
                request, signal, "entry" if signal.is_entry else "exit", arrival_price=self.marks.get(key[1], 0.0)
            )
        if signal.is_entry:
            self.books.entries.append(self.clock.now())
        self.orders.send(order, request)
        self._log(order)
        return Decision("sent", order_id=order.order_id, detail=order.state)

    def _log(self, order: Tracked) -> None:
        execution_log.info(
            json.dumps(
                {
                    "order_id": order.order_id,
                    "signal_id": order.signal_id,
                    "instrument": order.instrument,
                    "action": order.action,
                    "quantity": order.quantity,
                    "state": order.state,
                    "at": self.clock.now(),
                }
            )
        )

    # --- following

    def poll(self) -> list[Fill]:
        "Look at open orders, book fills, and send what waited. Costs nothing when nothing is open."
        if not (self.orders.open or self.orders.ended or self._waiting):
            return []
        try:
            fills = self.orders.poll()
        except BrokerError as error:
            self.broker_state, fills = ("down", str(error)), []
        else:
            self.broker_state = ("connected", "")
        self._settle()
        return fills

    def _follow(self) -> None:
        "Over recorded bars: look until nothing is under way, a few times at most."
        for _ in range(4):
            if not self.unsettled() and not self._waiting:
                return
            self.poll()

    def reconcile(self) -> dict[str, tuple[int, int]]:
        "As `Bookkeeper.reconcile`; then what waited goes."
        differ = super().reconcile()
        if self.translator.risk_percent:
            self.read_account()
        self._settle()
        return differ

    def recover(self) -> dict[str, tuple[int, int]]:
        "As `Bookkeeper.recover`; signals that waited and exits that never came through are taken up again."
        self._waiting.clear()
        for row in self.journal.rows("signals", "verdict = 'pending'"):
            self._wait_again(_signal(row))
        self.orders.ended.clear()
        differ = super().recover()
        for key, ledger in self.ledgers.items():
            if ledger.quantity:
                self._resume_exit(key)
        self._settle()
        return differ

    def _wait_again(self, signal: Signal, attempt: int = 0, pause: int = 0) -> None:
        key = signal.strategy, self._instrument(signal)
        if not any(waiting.signal.id == signal.id for waiting in self._waiting.get(key, ())):
            self._waiting.setdefault(key, []).append(Waiting(signal, attempt, self.clock.now() + pause * SECOND))

    def _resume_exit(self, key: tuple[str, str]) -> None:
        "The ledger's last order was an exit that ended without closing it: it is tried again."
        last = next(
            iter(self.journal.rows("intents", "strategy = ? AND instrument = ?", *key, order="rowid DESC", limit=1)),
            None,
        )
        if last and last["purpose"] == "exit" and last["state"] in ENDED:
            self._retry(last["signal_id"], last["order_id"])

    def _settle(self) -> None:
        "Act on orders that ended, keep the gate's picture current, and send what no longer has to wait."
        recheck = self._lock_unknown()
        self._end_orders()
        self._paint()
        for key in [key for key in self._waiting if not self._is_busy(key)]:
            self._release(key)
        self._end_orders()  # what was released may have been refused at once
        self._warn_of_doubt()
        if recheck:
            Bookkeeper.reconcile(self)  # a doubt was settled: do the positions say the same?
        self._paint()

    def _end_orders(self) -> None:
        while self.orders.ended:
            self._act_on_end(self.orders.ended.pop(0))

    def _paint(self) -> None:
        "What the gate judges by."
        held = {key: ledger.quantity for key, ledger in self.ledgers.items() if ledger.quantity}
        self.books.under_way = set()
        for order in self.orders.open.values():
            key = order.strategy, order.instrument
            if order.purpose == "entry":
                held[key] = held.get(key, 0) + (order.quantity - order.filled) * order.sign
            if order.purpose == "entry" or not order.is_resting:
                self.books.under_way.add(key)
        self.books.by_ledger = held

    def _act_on_end(self, order: Tracked) -> None:
        "An exit that did not close its ledger is tried again; a bracket is placed for what filled."
        key = order.strategy, order.instrument
        execution_log.info(
            json.dumps(
                {
                    "order_id": order.order_id,
                    "state": order.state,
                    "filled": order.filled,
                    "at": self.clock.now(),
                    "average_price": order.value / order.filled if order.filled else None,
                }
            )
        )
        if order.bracket:
            self._protect(order)
        if order.purpose == "stop" and order.state in ("Rejected", NOT_SENT):
            self.journal.add_event(
                self.clock.now(),
                "alarm",
                "protect",
                order.instrument,
                f"the stop of {order.strategy} was not taken ({order.state}): {order.quantity} contracts are"
                " without it",
            )
        if order.purpose != "exit":
            return
        left = self._ledger(key).quantity * order.sign
        if left < 0 and order.signal_id:
            self._retry(order.signal_id, order.order_id)
        elif left > 0:
            self._lock(
                order.instrument,
                "exit",
                f"exits of {order.strategy} closed {left} more than it held: one that counted as lost arrived after"
                " all; flatten the strategy",
            )
        elif not self._ledger(key).quantity:
            self._end_alarm(order.instrument)

    def _protect(self, order: Tracked) -> None:
        if not self.books.dry_run:
            self.orders.protect(order)
        elif order.filled:
            self.journal.add_event(
                self.clock.now(),
                "alarm",
                "protect",
                order.instrument,
                f"{order.strategy} holds {order.filled} without the stop it was entered with: a dry run places none",
            )

    def _end_alarm(self, instrument: str) -> None:
        "The lock of failing exits opens when no strategy has an exit of the instrument under way or waiting any more."
        if not any(self._is_leaving(key) for key in {*self.ledgers, *self._waiting} if key[1] == instrument):
            self._unlock(instrument, "exit")

    def _retry(self, signal_identity: str, order_id: str) -> None:
        "Let an exit wait for another attempt, each after a longer pause."
        attempt, row = int(order_id[-2:]) + 1, self.journal.one("signals", "id", signal_identity)
        if row is None:
            return
        signal, pause = _signal(row), min(2 ** (attempt - 1), _LONGEST_PAUSE)
        key = signal.strategy, self._instrument(signal)
        if attempt >= _ALARM_AFTER:
            self._lock(
                key[1],
                "exit",
                f"an exit of {row['strategy']} failed {_ALARM_AFTER} times and goes on being tried; look at"
                " NinjaTrader",
            )
        if attempt <= _LAST_ATTEMPT:
            self._wait_again(signal, attempt, pause)
        elif not self._is_leaving(key):
            self._wait_again(self._renewed(signal), 0, pause)

    def _renewed(self, signal: Signal) -> Signal:
        "The same exit decided anew: an id has room for so many attempts, and a weekend has more minutes."
        now = self.clock.now()
        fresh = signal._replace(
            id=signal_id(signal.strategy, "flatten", signal.contract, now, signal.action, len(self._seen)),
            bar_end=now,
            timeframe="",
            config_hash="flatten",
        )
        self._seen.add(fresh.id)
        self._journal_verdict(fresh, "pending", detail=f"goes on where the attempts of {signal.id} ended")
        return fresh

    def _release(self, key: tuple[str, str]) -> None:
        "The first that waited and may go now: exits before entries. In a dry run exits wait for the next live one."
        queue = sorted(self._waiting.pop(key), key=lambda waiting: waiting.signal.is_entry)
        if self.books.dry_run:
            queue = self._deny_entries(queue, key)
        while queue and queue[0].not_before <= self.clock.now() and not self._is_busy(key):
            if not queue[0].signal.is_entry and self._exits(queue[0].signal, key) and not self._is_clear(key):
                break
            self._go(queue.pop(0), key)
        if queue:
            self._waiting[key] = queue

    def _deny_entries(self, queue: list[Waiting], key: tuple[str, str]) -> list[Waiting]:
        "The exits of a queue of a dry run, put back; its entries are judged, which denies them."
        for waiting in queue:
            if waiting.signal.is_entry:
                self._go(waiting, key)
        if exits := [waiting for waiting in queue if not waiting.signal.is_entry]:
            self._waiting[key] = exits
        return []

    def _exits(self, signal: Signal, key: tuple[str, str]) -> bool:
        "Whether the ledger holds what the signal would close."
        return self._ledger(key).quantity * (1 if signal.is_long else -1) > 0

    def _go(self, waiting: Waiting, key: tuple[str, str]) -> None:
        signal = waiting.signal
        self._paint()
        if not signal.is_entry:
            if self._exits(signal, key):
                self._place(signal, key, abs(self._ledger(key).quantity), waiting.attempt)
            else:
                self._drop_exit(waiting, key)
            return
        quantity, refused = self._judge_entry(signal, key)
        if refused:
            self._refuse(signal, *refused)
        else:
            self._place(signal, key, quantity)

    def _drop_exit(self, waiting: Waiting, key: tuple[str, str]) -> None:
        "An exit whose ledger became flat while it waited."
        if not waiting.attempt:
            self._refuse(waiting.signal, Denial.NOTHING_TO_EXIT, "the ledger was flat when its turn came")
        self._end_alarm(key[1])

    def _warn_of_doubt(self) -> None:
        limit = self.clock.now() - _DOUBT_ALARM * SECOND
        for order in self.orders.open.values():
            if order.state != UNKNOWN or not 0 < order.doubt_since < limit:
                continue
            self._lock(
                order.instrument,
                "unknown",
                f"the outcome of order {order.order_id} has been unknown for over {_DOUBT_ALARM} s; look for it in"
                " NinjaTrader",
            )

    # --- by hand

    def flatten(
        self,
        scope: str,  # strategy, instrument or account
        name: str = "",  # the strategy, or the instrument in any spelling
    ) -> list[Decision]:
        """Close what the ledgers of a scope hold, one exit a ledger; cancel their resting orders, and take back entries
        that wait. Passes in every trading state."""
        if scope not in ("strategy", "instrument", "account"):
            raise InputError("flatten scope", scope, "must be strategy, instrument or account")
        wanted = instrument_of(name, self.clock.now()) if scope == "instrument" else name
        inside = lambda key: scope == "account" or key[0 if scope == "strategy" else 1] == wanted
        self.withdraw_entries(f"flatten {scope} {name}".rstrip(), inside)
        for key in {(order.strategy, order.instrument) for order in self.orders.open.values()}:
            if inside(key) and not self.books.dry_run:
                self._is_clear(key)
        return [
            self.submit_signal(self._flatten_signal(key))
            for key, ledger in list(self.ledgers.items())
            if inside(key) and (ledger.quantity or self._is_busy(key))
        ]

    def withdraw_entries(
        self,
        why: str,
        inside: Callable[[tuple[str, str]], bool] = lambda key: True,  # which ledgers'
    ) -> None:
        "Deny the entries that wait: who flattens or stops wants no position to follow."
        for key, queue in list(self._waiting.items()):
            if not inside(key):
                continue
            for waiting in queue:
                if waiting.signal.is_entry:
                    self._refuse(waiting.signal, Denial.REDUCING, why)
            self._waiting[key] = [waiting for waiting in queue if not waiting.signal.is_entry]
            if not self._waiting[key]:
                del self._waiting[key]

    def close(self, key: tuple[str, str], reason: str) -> Decision:
        "Close what one ledger holds."
        return self.submit_signal(self._flatten_signal(key)._replace(reason=reason))

    def _flatten_signal(self, key: tuple[str, str]) -> Signal:
        (strategy, instrument), now = key, self.clock.now()
        contract, held = Contract.parse(instrument), self.books.by_ledger.get(key, 0)
        action = "SHORT_EXIT" if held < 0 else "LONG_EXIT"
        identity = signal_id(strategy, "flatten", contract.code, now, action, len(self._seen))
        return Signal(
            identity,
            strategy,
            f"{contract.root}.c.0",
            contract.long_code,
            action,
            now,
            "",
            self.marks.get(instrument, 0.0),
            "flatten",
            "flatten",
        )


@lru_cache
def last_trade(instrument: str) -> int | None:
    "ns UTC of a contract's last trading; None for a product whose rule is not known."
    from futures_algo.core.expiry import expiry

    try:
        return expiry(Contract.parse(instrument)) if instrument else None
    except InputError:
        return None


def _signal(row: dict[str, Any]) -> Signal:
    return Signal(**{name: row[name] for name in Signal._fields})
