"""Exits to their end: each waits for what is under way in its ledger, closes at most what the account holds, and is
tried again until the ledger is flat. What no ledger owns is closed on a person's word alone."""

from collections.abc import Callable
from typing import Any

from futures_algo.broker.outcomes import is_already_ended
from futures_algo.core.contracts import Contract
from futures_algo.core.types import SECOND, BrokerError, Signal, signal_id
from futures_algo.execution.context import Context
from futures_algo.execution.gate import Denial
from futures_algo.execution.ledger_book import Key, LedgerBook
from futures_algo.execution.locks import Locks
from futures_algo.execution.open_order import OpenOrder
from futures_algo.execution.order_states import ENDED, NOT_SENT
from futures_algo.execution.orders import OrderManager, instrument_of
from futures_algo.execution.sizing_exits import ExitSize, ExitSizer
from futures_algo.execution.translator import SignalTranslator
from futures_algo.execution.verdicts import Decision, Verdicts
from futures_algo.execution.waiting import Waiting, WaitingQueue

_ALARM_AFTER = 3  # failed attempts of an exit until it is an alarm; it goes on being tried
_LAST_ATTEMPT = 89
_LONGEST_PAUSE = 60  # seconds between attempts
_BLIND_LOOKS = 8  # failed looks at the account until an exit goes by what was known of it
_EXCESS_S = 3  # seconds a protective order may be larger than its ledger


class ExitDesk:
    "Everything that makes a position smaller."

    def __init__(
        self,
        context: Context,
        orders: OrderManager,
        book: LedgerBook,
        locks: Locks,
        waiting: WaitingQueue,
        sizer: ExitSizer,
        verdicts: Verdicts,
        translator: Callable[[], SignalTranslator],
    ):
        self._context, self._orders, self._book, self._locks = context, orders, book, locks
        self._excess: dict[str, int] = {}  # protective orders larger than their ledger, and since when (steady ns)
        self._waiting, self._sizer, self._verdicts, self._translator = waiting, sizer, verdicts, translator

    # --- what is under way

    def is_busy(self, key: Key) -> bool:
        "Whether an order of this ledger is under way."
        return any(not order.is_resting for order in self._orders.of(key))

    def is_leaving(self, key: Key) -> bool:
        "Whether an exit of this ledger is under way or waits."
        return any(order.purpose == "exit" for order in self._orders.of(key)) or self._waiting.has_exit(key)

    def waits_to_leave(self, key: Key) -> bool:
        "Whether an exit of this ledger waits: another one would only wait behind it."
        return self._waiting.has_exit(key)

    def hurry(self, key: Key) -> None:
        "Let an exit that waits for its next attempt go now: a person asks for it."
        self._waiting.put_back(key, [waiting._replace(not_before=0) for waiting in self._waiting.take(key)])

    def clear(self, key: Key) -> bool:
        "Whether no order rests for this ledger; those that do are cancelled, and the exit waits for their end."
        resting = [order for order in self._orders.of(key) if order.is_resting]
        for order in resting:
            self._cancel(order)
        return not resting

    def _cancel(self, order: OpenOrder) -> None:
        "Ask for an order's end; where that fails the exit behind it cannot go, which somebody must know."
        outcome = self._orders.cancel(order)
        if outcome.ok or is_already_ended(outcome):
            return
        words = f"orders of {order.strategy} cannot be cancelled ({outcome.reason}), and its exit waits for that"
        self._alarm(order.key, f"{words}; look at NinjaTrader")

    def _alarm(self, key: Key, reason: str) -> None:
        "The lock of one ledger's exit; it opens when that ledger is flat."
        self._locks.set(key[1], f"exit:{key[0]}", reason)

    def _end_alarm(self, key: Key) -> None:
        if not self._book.held(key):
            self._locks.open(key[1], f"exit:{key[0]}")
            self._locks.open(key[1], f"side:{key[0]}")

    def size(self, key: Key) -> ExitSize:
        "How much of a ledger may be closed now."
        return self._sizer.size(key)

    # --- going

    def take(self, signal: Signal, key: Key) -> Decision:
        "An exit the gate let through: now, or when what is under way has ended."
        if self.is_busy(key) or not self.clear(key):
            self._waiting.add(key, Waiting(signal))
            return self._verdicts.pending(signal)
        return self._place(Waiting(signal), key)

    def closes(self, signal: Signal, key: Key) -> bool:
        "Whether the ledger holds what the signal would close."
        return self._book.held(key) * (1 if signal.is_long else -1) > 0

    def may_go(self, signal: Signal, key: Key) -> bool:
        "Whether nothing rests in its way any more."
        return not self.closes(signal, key) or self.clear(key)

    def go(self, waiting: Waiting, key: Key) -> None:
        "An exit whose turn has come."
        if self.closes(waiting.signal, key):
            self._place(waiting, key)
            return
        if not waiting.attempt:  # the ledger became flat while it waited
            self._verdicts.refuse(waiting.signal, Denial.NOTHING_TO_EXIT, "the ledger was flat when its turn came")
        self._end_alarm(key)

    def _place(self, waiting: Waiting, key: Key) -> Decision:
        "Look at the account, journal verdict and intent in one commit, then send."
        signal, size = waiting.signal, self._sizer.size(key)
        if not size.wanted:
            return self._verdicts.refuse(signal, Denial.NOTHING_TO_EXIT, "its ledger is flat")
        if size.is_blind and waiting.blind < _BLIND_LOOKS:
            return self._look_again(waiting)
        if not size.quantity:
            return self._hold_back(waiting, key, size)
        if size.quantity < size.wanted and not size.is_waiting:
            self._say_smaller(key, size)
        request = self._translator().request(signal, size.quantity, waiting.attempt, size.net)
        with self._context.journal.together():
            self._verdicts.note(signal, "sent")
            mark = self._context.marks.get(key[1], 0.0)
            order = self._orders.prepare(request, signal, "exit", arrival_price=mark)
        self._orders.send(order, request)
        return Decision("sent", order_id=order.order_id, detail=order.state)

    def _look_again(self, waiting: Waiting) -> Decision:
        "The account did not answer: asked again a few times, for a second or two each, before an exit goes blind."
        self._wait_again(waiting.signal, waiting.attempt, 1, waiting.blind + 1)
        return self._verdicts.pending(waiting.signal, "the account could not be looked at, and is asked again")

    def _hold_back(self, waiting: Waiting, key: Key, size: ExitSize) -> Decision:
        "The account has nothing to close: sent anyway it would open the other side. It is looked at again and again."
        if not size.is_waiting:
            self._say_smaller(key, size)
        pause = 0 if size.is_waiting else self._pause(waiting.attempt + 1)
        self._wait_again(waiting.signal, waiting.attempt, pause)
        why = "another exit takes what the account holds" if size.is_waiting else "the account holds nothing of it"
        return self._verdicts.pending(waiting.signal, why)

    def _say_smaller(self, key: Key, size: ExitSize) -> None:
        self._alarm(
            key,
            f"{key[0]} holds {size.wanted} by its ledger and the account only {size.net:+d}, so its exit closes"
            f" {size.quantity}: somebody else closed the rest; take it into the books with `adopt`",
        )

    # --- again

    def act_on_end(self, order: OpenOrder) -> None:
        "An exit that did not close its ledger is tried again."
        if order.purpose == "stop" and order.state in ("Rejected", NOT_SENT):
            words = (
                f"the stop of {order.strategy} was not taken ({order.state}): {order.quantity} contracts are without it"
            )
            self._context.say("alarm", "protect", order.instrument, words)
        if order.purpose == "entry":
            return
        left = self._book.held(order.key) * order.sign
        if left < 0 and order.signal_id and order.purpose == "exit":
            self._retry(order)
        self._end_alarm(order.key)

    def _retry(self, order: OpenOrder) -> None:
        if signal := self._verdicts.signal(order.signal_id):
            self._try_again(signal, order.order_id, order.key)

    def _try_again(self, signal: Signal, order_id: str, key: Key) -> None:
        "Let an exit wait for another attempt, each after a longer pause."
        attempt = int(order_id[-2:]) + 1
        if attempt >= _ALARM_AFTER:
            words = f"an exit of {key[0]} failed {_ALARM_AFTER} times and goes on being tried; look at NinjaTrader"
            self._alarm(key, words)
        if attempt <= _LAST_ATTEMPT:
            self._wait_again(signal, attempt, self._pause(attempt))
        elif not self.is_leaving(key):
            self._wait_again(self._renewed(signal), 0, _LONGEST_PAUSE)

    def _pause(self, attempt: int) -> int:
        "Seconds."
        return min(2 ** (attempt - 1), _LONGEST_PAUSE)

    def _wait_again(self, signal: Signal, attempt: int, pause: float, blind: int = 0) -> None:
        key = signal.strategy, instrument_of(signal.contract, signal.bar_end)
        self._waiting.add(key, Waiting(signal, attempt, self._context.steady() + int(pause * SECOND), blind))

    def _renewed(self, signal: Signal) -> Signal:
        "The same exit decided anew: an id has room for so many attempts, and a weekend has more minutes."
        now, number = self._context.now(), len(self._verdicts)
        identity = signal_id(signal.strategy, "flatten", signal.contract, now, signal.action, number)
        fresh = signal._replace(id=identity, bar_end=now, timeframe="", config_hash="flatten")
        self._verdicts.is_new(fresh)
        self._verdicts.pending(fresh, f"goes on where the attempts of {signal.id} ended")
        return fresh

    def resume(self, key: Key) -> None:
        "After a restart: the ledger's last order was an exit that ended without closing it."
        rows = self._context.journal.rows(
            "intents", "strategy = ? AND instrument = ?", *key, order="rowid DESC", limit=1
        )
        last: dict[str, Any] = next(iter(rows), {})
        if not last or last["purpose"] != "exit" or last["state"] not in ENDED or self._waiting.has_exit(key):
            return
        if signal := self._verdicts.signal(last["signal_id"]):
            self._try_again(signal, last["order_id"], key)

    # --- sides nobody asked for

    def close_wrong_sides(self) -> None:
        "A ledger its exits took past flat: locked, said, and closed."
        for key in list(self._book.ledgers):
            if not self._book.is_wrong_side(key):
                continue
            words = (
                f"exits of {key[0]} closed more than it held: it stands at {self._book.held(key):+d}, which it never"
            )
            self._locks.set(key[1], f"side:{key[0]}", f"{words} asked for; closing that")
            if self._context.risk.dry_run or self.is_leaving(key) or self.is_busy(key):
                continue
            signal = self.flatten_signal(key)._replace(reason="wrong_side")
            self._verdicts.is_new(signal)
            self.take(signal, key)

    # --- protective orders

    def protect(self, entry: OpenOrder) -> None:
        "Place the bracket of an entry that filled, no larger than what the account holds of it."
        if not entry.filled:
            return
        if self._context.risk.dry_run:
            words = f"{entry.strategy} holds {entry.filled} without the stop it was entered with: a dry run places none"
            self._context.say("alarm", "protect", entry.instrument, words)
            return
        size = self._sizer.size(entry.key)
        self._orders.protect(entry, size.quantity)

    def trim_protection(self, instrument: str) -> None:
        "Make resting protective orders no larger than what the account holds; where it holds nothing they go."
        if self._context.risk.dry_run:
            return
        for order in list(self._orders.open.values()):
            if order.instrument != instrument or not (order.is_protective and order.is_resting):
                continue
            size = self._sizer.size(order.key) if self._book.held(order.key) else ExitSize(0, 0, 0)
            if size.is_waiting or size.quantity >= order.left:
                continue
            self._trim(order, size.quantity)

    def trim_to_ledgers(self) -> None:
        """A protective order that rests for more than its ledger holds would open the other side: after a moment, in
        which its group's other leg may end it, it is made as small."""
        now, excess = self._context.steady(), {}
        for order in self._orders.open.values():
            held = max(-self._book.held(order.key) * order.sign, 0)
            if order.is_protective and order.is_resting and order.left > held:
                excess[order.order_id] = self._excess.get(order.order_id, now)
        self._excess = excess
        for order_id in [name for name, since in excess.items() if now - since >= _EXCESS_S * SECOND]:
            if not self._context.risk.dry_run:
                order = self._orders.open[order_id]
                self._trim(order, max(-self._book.held(order.key) * order.sign, 0))

    def _trim(self, order: OpenOrder, quantity: int) -> None:
        words = f"only {quantity} are held of the {order.left} that {order.purpose} {order.order_id} would close"
        self._context.say("alarm", "protect", order.instrument, f"{words}: it is made that small")
        if quantity:
            self._orders.change(order, quantity=quantity + order.filled)
        else:
            self._cancel(order)

    # --- by hand

    def close_unowned(self, inside: Callable[[Key], bool]) -> list[Decision]:
        "Close what the account holds beyond the ledgers; NinjaTrader caps it at what is open."
        try:
            positions = self._sizer.positions()
        except BrokerError as error:
            return [Decision("denied", "", f"what no ledger owns could not be looked at: {error}")]
        unowned = {
            name: min(abs(net - self._book.net(name)), abs(net))
            for name, net in positions.items()
            if inside(("", name)) and (net - self._book.net(name)) * net > 0
        }
        return [self._close_unowned(name, quantity) for name, quantity in unowned.items() if self._is_settled(name)]

    def _is_settled(self, name: str) -> bool:
        return all(order.is_resting for order in self._orders.open.values() if order.instrument == name)

    def _close_unowned(self, name: str, quantity: int) -> Decision:
        outcome = self._orders.close_unowned(name, quantity)
        how = "closed" if outcome.ok else f"still open ({outcome.reason}): close them in NinjaTrader"
        words = f"{quantity} {name} that no ledger owns: {how}"
        self._context.say("warning" if outcome.ok else "alarm", "flatten", name, words)
        return Decision("closed" if outcome.ok else "pending", detail=words)

    def flatten_signal(self, key: Key) -> Signal:
        "An exit decided now, of what a ledger holds."
        (strategy, instrument), now = key, self._context.now()
        contract = Contract.parse(instrument)
        held = self._book.held(key) or self._context.risk.by_ledger.get(key, 0)
        action = "SHORT_EXIT" if held < 0 else "LONG_EXIT"
        identity = signal_id(strategy, "flatten", contract.code, now, action, len(self._verdicts))
        price = self._context.marks.get(instrument, 0.0)
        symbol, name = f"{contract.root}.c.0", contract.long_code
        return Signal(identity, strategy, symbol, name, action, now, "", price, "flatten", "flatten")
