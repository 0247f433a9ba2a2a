"""From a signal to an order: judged by the gate, journaled, sent once, followed to its fill. Exits wait for what is
under way and then always go; none closes more than the account holds.

The parts, each usable on its own: `Context` (what all share), `OrderTracker` and `OrderManager` (orders), `LedgerBook`
(who holds what), `Locks`, `Reconciler` (our books against the broker's), `WaitingQueue`, `ExitSizer`, `ExitDesk`
(exits to their end). `CrossTradeExecutor` is what the engine talks to.
"""

import json
import logging
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

from futures_algo.broker.protocol import Broker
from futures_algo.core.contracts import Contract
from futures_algo.core.types import BrokerError, Clock, InputError, Signal, WallClock
from futures_algo.execution.context import Context
from futures_algo.execution.exits import ExitDesk
from futures_algo.execution.gate import Denial, Gate, RiskState
from futures_algo.execution.ledger_book import Key, LedgerBook
from futures_algo.execution.ledgers import DayResult, Ledger
from futures_algo.execution.locks import Locks
from futures_algo.execution.open_order import Fill, OpenOrder
from futures_algo.execution.order_states import NOT_SENT
from futures_algo.execution.orders import OrderManager, instrument_of
from futures_algo.execution.reconcile import Reconciler
from futures_algo.execution.sizing_exits import ExitSizer
from futures_algo.execution.tracking import GRACE_S, OrderTracker
from futures_algo.execution.translator import SignalTranslator
from futures_algo.execution.verdicts import Decision, Verdicts, as_signal
from futures_algo.execution.waiting import Waiting, WaitingQueue
from futures_algo.journal.journal import Journal

_T = TypeVar("_T")
execution_log = logging.getLogger("futures_algo.executions")  # the engine attaches logs/executions.log to it


class CrossTradeExecutor:
    "Turns signals into orders and keeps the ledgers; one caller at a time."

    def __init__(
        self,
        client: Broker,
        journal: Journal,  # writable
        gate: Gate | None = None,
        *,
        account: str,  # its Name at the broker
        clock: Clock | None = None,
        dry_run: bool = True,
        translator: SignalTranslator | None = None,
        inline: bool = False,  # over recorded bars: follow each order at once, so fills come in the order of the data
        reverse: bool = True,  # an entry against the position closes it first; False denies it
        grace_s: float = GRACE_S,  # how long a lost order may stay invisible before it counts as never arrived
    ):
        context = Context(client, journal, account, clock or WallClock(), RiskState(dry_run=dry_run))
        self.context, self.gate, self.inline, self.reverse = context, gate or Gate(), inline, reverse
        self.translator = translator or SignalTranslator(account_value=lambda: self.account_value)
        self.book, self.locks, self.waiting = LedgerBook(context), Locks(context), WaitingQueue()
        self.tracker = OrderTracker(context, grace_s)
        self.orders = OrderManager(tracker=self.tracker)
        self.reconciler = Reconciler(context, self.orders, self.book, self.locks)
        self.verdicts = Verdicts(context)
        self.exits = ExitDesk(
            context,
            self.orders,
            self.book,
            self.locks,
            self.waiting,
            ExitSizer(context, self.orders, self.book, self.reconciler),
            self.verdicts,
            lambda: self.translator,
        )
        self.tracker.fills.on_fill, self.tracker.is_lost = self._on_fill, self._is_lost
        self.warm: Callable[[Signal], bool] = lambda signal: True  # have this strategy's indicators converged?
        self.on_fill: Callable[[Fill], None] = lambda fill: None  # told of each fill once its ledger has it
        self.last_trade = last_trade  # instrument -> ns of its last trading, None when not known

    # --- what others read

    @property
    def client(self) -> Broker:
        return self.context.broker

    @property
    def journal(self) -> Journal:
        return self.context.journal

    @property
    def account(self) -> str:
        return self.context.account

    @property
    def clock(self) -> Clock:
        return self.context.clock

    @property
    def books(self) -> RiskState:
        "What the gate judges by."
        return self.context.risk

    @property
    def ledgers(self) -> dict[Key, Ledger]:
        return self.book.ledgers

    @property
    def day(self) -> DayResult:
        return self.book.day

    @property
    def broker_state(self) -> tuple[str, str]:
        return self.reconciler.broker_state

    @property
    def account_value(self) -> float | None:
        return self.reconciler.account_value

    def mark(self, instrument: str, price: float, at: int) -> None:
        self.book.mark(instrument, price, at)

    def pnl_usd(self) -> float:
        return self.book.pnl_usd()

    def day_document(self) -> dict[str, Any]:
        return self.book.day_document()

    def unsettled(self) -> set[str]:
        return self.reconciler.unsettled()

    def adopt(self, instrument: str, who: str = "command", strategy: str = "manual", side: int = 0) -> int:
        "As `Reconciler.adopt`: a person's decision about what no order explains."
        taken = self.reconciler.adopt(instrument, who, strategy, side)
        self._settle()
        return taken

    def unlock(self, instrument: str) -> None:
        self.reconciler.unlock(instrument)

    def read_account(self) -> float | None:
        return self.reconciler.read_account()

    def ask(self, work: "Callable[[CrossTradeExecutor], _T]", rank: int = 0) -> _T:
        "What a person asks; the form with a thread of its own queues it (`OwnThread.ask`)."
        return work(self)

    @property
    def here(self) -> "CrossTradeExecutor":
        "What does the work, for what runs beside it (`OwnThread.inner`)."
        return self

    def post(self, work: Callable[[], Any], rank: int = 0) -> None:
        "Do this where orders and ledgers are kept: here and now; `OwnThread.post` queues it."
        work()

    def after_look(self, work: Callable[[], None] | None) -> None:
        "Who calls looks after what follows a look himself; `OwnThread.after_look` does it in its thread."

    def start(self) -> None:
        "Nothing to start: whoever calls waits."

    def finish(self, seconds: float) -> bool:
        "Nothing under way behind the caller's back."
        return True

    def give_up(self, order: OpenOrder, who: str) -> None:
        "A person's word that an order of unknown outcome never arrived; the books are compared again."
        self.orders.give_up(order, who)
        self.reconcile()

    @property
    def marks(self) -> dict[str, float]:
        "Instrument -> last price known, points."
        return self.context.marks

    # --- signals in

    def knows(self, signal: Signal) -> bool:
        "Whether a signal was submitted or noted before, by an engine before this one too."
        return self.verdicts.knows(signal)

    def note(self, signal: Signal, verdict: str, detail: str = "") -> Decision:
        "Journal a signal that asks for no order: one whose order rests at the broker, or what became of it."
        self.verdicts.is_new(signal)
        self.verdicts.note(signal, verdict, detail=detail)
        return Decision(verdict, detail=detail)

    def is_leaving(self, key: Key) -> bool:
        "Whether an exit of a ledger is under way or waits."
        return self.exits.is_leaving(key)

    def submit_signal(self, signal: Signal) -> Decision:
        "Judge a signal, journal the verdict, and send what passes."
        if not self.verdicts.is_new(signal):
            return Decision("duplicate", Denial.DUPLICATE.name, signal.id)
        key = signal.strategy, instrument_name(signal)
        decision = self._take_entry(signal, key) if signal.is_entry else self._take_exit(signal, key)
        self._settle()
        if self.inline:
            self._follow()
        return self.verdicts.outcome(signal) if decision.verdict in ("sent", "pending") else decision

    def _take_exit(self, signal: Signal, key: Key) -> Decision:
        if refused := self.gate.judge(signal, self.books, self.context.now(), key[1]):
            return self.verdicts.refuse(signal, *refused)
        return self.exits.take(signal, key)

    def _take_entry(self, signal: Signal, key: Key) -> Decision:
        if self.exits.is_leaving(key):
            return self._wait(signal, key)
        side = 1 if signal.is_long else -1
        reversing = self.reverse and self.book.held(key) * side < 0 and not self.exits.is_busy(key)
        quantity, refused = self._judge_entry(signal, key, reversing)
        if refused:
            return self.verdicts.refuse(signal, *refused)
        if not reversing:
            return self._enter(signal, key, quantity)
        leaving = self.translator.exit_of(signal)
        self.verdicts.is_new(leaving)
        self.exits.take(leaving, key)
        return self._wait(signal, key)

    def _judge_entry(self, signal: Signal, key: Key, reversing: bool = False) -> tuple[int, tuple[Denial, str] | None]:
        "Size and the gate's refusal, if any."
        if self.journal.trouble:
            return 0, (Denial.JOURNAL, self.journal.trouble)
        try:
            quantity, problem = self.translator.size(signal), ""
        except InputError as error:
            quantity, problem = 0, str(error)
        warm, last = self.warm(signal), self.last_trade(key[1])
        refused = self.gate.judge(signal, self.books, self.context.now(), key[1], quantity, warm, last, reversing)
        return quantity, (refused[0], problem) if refused and problem and refused[0] is Denial.QUANTITY else refused

    def _wait(self, signal: Signal, key: Key) -> Decision:
        self.waiting.add(key, Waiting(signal))
        return self.verdicts.pending(signal)

    def _enter(self, signal: Signal, key: Key, quantity: int) -> Decision:
        "Journal verdict and intent in one commit, then send."
        request = self.translator.request(signal, quantity)
        with self.context.journal.together():
            self.verdicts.note(signal, "sent")
            mark = self.context.marks.get(key[1], 0.0)
            order = self.orders.prepare(request, signal, "entry", arrival_price=mark)
        self.books.entries.append(self.context.now())
        self.orders.send(order, request)
        log_order(order, self.context.now())
        return Decision("sent", order_id=order.order_id, detail=order.state)

    # --- following

    def poll(self) -> list[Fill]:
        "Look at open orders, book fills, and send what waited. Costs nothing when nothing is open."
        if not (self.tracker.open or self.tracker.ended or self.waiting):
            return []
        try:
            fills = self.tracker.poll()
        except BrokerError as error:
            self.reconciler.broker_state, fills = ("down", str(error)), []
        else:
            self.reconciler.broker_state = ("connected", "")
        self._settle()
        return fills

    def _follow(self) -> None:
        "Over recorded bars: look until nothing is under way, a few times at most."
        for _ in range(4):
            if not self.unsettled() and not self.waiting:
                return
            self.poll()

    def reconcile(self) -> dict[str, tuple[int, int]]:
        "Compare the books; protective orders larger than the account are trimmed, and what waited goes."
        differ = self.reconciler.reconcile()
        for instrument in differ:
            self.exits.trim_protection(instrument)
        if self.translator.risk_percent:
            self.read_account()
        self._settle()
        return differ

    def recover(self) -> dict[str, tuple[int, int]]:
        "Start-up and crash recovery: books, then signals that waited and exits that never came through."
        self.waiting.clear()
        for row in self.context.journal.rows("signals", "verdict = 'pending'"):
            signal = as_signal(row)
            self.waiting.add((signal.strategy, instrument_name(signal)), Waiting(signal))
        self.tracker.ended.clear()
        differ = self.reconciler.recover()
        for key, ledger in list(self.ledgers.items()):
            if ledger.quantity:
                self.exits.resume(key)
        self._settle()
        return differ

    def _on_fill(self, fill: Fill) -> None:
        ledger = self.book.apply(fill)
        self.context.journal.add(
            "positions",
            at=fill.at,
            source="ledger",
            account=self.account,
            instrument=fill.instrument,
            strategy=fill.strategy,
            quantity=ledger.quantity,
            average_price=ledger.average_price,
            mark=fill.price,
        )
        self.on_fill(fill)

    def _is_lost(self, order: OpenOrder) -> bool:
        "A lost order may be given up when its cancel found nothing, and the account holds what the ledgers say."
        if not self.orders.cancel_lost(order):
            return False
        return not order.acknowledged or self.reconciler.is_absent(order.instrument)

    def _settle(self) -> None:
        "Act on orders that ended, keep the gate's picture current, and send what no longer has to wait."
        recheck = self.reconciler.lock_doubts()
        self._end_orders()
        self._paint()
        self.exits.close_wrong_sides()
        self.exits.trim_to_ledgers()
        for key in self.waiting.keys():
            if not self.exits.is_busy(key):
                self._release(key)
        self._end_orders()  # what was released may have been refused at once
        self.reconciler.lock_doubts()
        if recheck or self.tracker.fills.has_excess:
            self.tracker.fills.has_excess = False
            self.reconciler.reconcile()  # a doubt was settled: do the positions say the same?
        self._paint()

    def _end_orders(self) -> None:
        while self.tracker.ended:
            self._act_on_end(self.tracker.ended.pop(0))

    def _act_on_end(self, order: OpenOrder) -> None:
        "An exit that did not close its ledger is tried again; a bracket is placed for what filled."
        log_order(order, self.context.now())
        self.locks.open(order.instrument, f"stuck:{order.order_id}")
        if order.purpose == "entry" and order.state in ("Rejected", NOT_SENT):
            words = (
                f"{order.action} {order.quantity} of {order.strategy} {order.state}: {order.words or 'no reason given'}"
            )
            self.context.say("warning", "order", order.instrument, words)
        if order.bracket:
            self.exits.protect(order)
        self.exits.act_on_end(order)

    def _paint(self) -> None:
        "What the gate judges by."
        held = {key: ledger.quantity for key, ledger in list(self.ledgers.items()) if ledger.quantity}
        self.books.under_way = set()
        for order in self.orders.open.values():
            if order.purpose == "entry":
                held[order.key] = held.get(order.key, 0) + order.left * order.sign
            if not order.is_protective:
                self.books.under_way.add(order.key)
        self.books.by_ledger = held

    def _release(self, key: Key) -> None:
        "The first that waited and may go now: exits before entries. In a dry run exits wait for the next live one."
        queue = self.waiting.take(key)
        if self.books.dry_run:
            queue = self._deny_entries(queue, key)
        while queue and queue[0].not_before <= self.context.steady() and not self.exits.is_busy(key):
            first = queue[0]
            if not first.signal.is_entry and not self.exits.may_go(first.signal, key):
                break
            self._go(queue.pop(0), key)
        self.waiting.put_back(key, queue)

    def _deny_entries(self, queue: list[Waiting], key: Key) -> list[Waiting]:
        "The exits of a queue of a dry run, put back; its entries are judged, which denies them."
        for waiting in queue:
            if waiting.signal.is_entry:
                self._go(waiting, key)
        self.waiting.put_back(key, [waiting for waiting in queue if not waiting.signal.is_entry])
        return []

    def _go(self, waiting: Waiting, key: Key) -> None:
        signal = waiting.signal
        self._paint()
        if not signal.is_entry:
            self.exits.go(waiting, key)
            return
        quantity, refused = self._judge_entry(signal, key)
        if refused:
            self.verdicts.refuse(signal, *refused)
        else:
            self._enter(signal, key, quantity)

    # --- by hand

    def flatten(
        self,
        scope: str,  # strategy, instrument or account
        name: str = "",  # the strategy, or the instrument in any spelling
    ) -> list[Decision]:
        """Close what a scope holds: one exit a ledger; of an instrument and of the account also what no ledger owns.
        Resting orders are cancelled, and entries that wait taken back. Passes in every trading state."""
        if scope not in ("strategy", "instrument", "account"):
            raise InputError("flatten scope", scope, "must be strategy, instrument or account")
        wanted = instrument_of(name, self.context.now()) if scope == "instrument" else name
        inside = lambda key: scope == "account" or key[0 if scope == "strategy" else 1] == wanted
        self.withdraw_entries(f"flatten {scope} {name}".rstrip(), inside)
        for key in {order.key for order in self.orders.open.values()}:
            if inside(key) and not self.books.dry_run:
                self.exits.clear(key)
        closed = self.exits.close_unowned(inside) if scope != "strategy" and not self.books.dry_run else []
        open_keys = [
            key
            for key, held in list(self.ledgers.items())
            if inside(key) and (held.quantity or self.exits.is_busy(key))
        ]
        return [self._flatten_one(key) for key in open_keys] + closed

    def _flatten_one(self, key: Key) -> Decision:
        "An exit of one ledger; one that waits already goes now instead of a second behind it."
        if not self.exits.waits_to_leave(key):
            return self.submit_signal(self.exits.flatten_signal(key))
        self.exits.hurry(key)
        self._settle()
        return Decision("pending", detail=f"the exit of {key[0]} that waited goes now")

    def withdraw_entries(
        self,
        why: str,
        inside: Callable[[Key], bool] = lambda key: True,  # which ledgers'
    ) -> None:
        "Deny the entries that wait: who flattens or stops wants no position to follow."
        for waiting in self.waiting.take_entries(inside):
            self.verdicts.refuse(waiting.signal, Denial.REDUCING, why)

    def close(self, key: Key, reason: str) -> Decision:
        "Close what one ledger holds."
        return self.submit_signal(self.exits.flatten_signal(key)._replace(reason=reason))


def log_order(order: OpenOrder, at: int) -> None:
    "A line of executions.log."
    average = order.value / order.filled if order.filled else None
    about = ("order_id", "signal_id", "instrument", "action", "quantity", "state", "filled")
    line = {name: getattr(order, name) for name in about} | {"at": at, "average_price": average}
    execution_log.info(json.dumps(line))


def instrument_name(signal: Signal) -> str:
    "NinjaTrader's name of a signal's contract; empty when it cannot be told."
    try:
        return instrument_of(signal.contract, signal.bar_end) if signal.contract else ""
    except InputError:
        return ""


@lru_cache
def last_trade(instrument: str) -> int | None:
    "ns UTC of a contract's last trading; None for a product whose rule is not known."
    from futures_algo.core.expiry import expiry

    try:
        return expiry(Contract.parse(instrument)) if instrument else None
    except InputError:
        return None
