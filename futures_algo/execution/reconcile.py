"""Our books against the broker's: at start, after a crash, and on a timer, all by the same code. A difference locks the
instrument and says what to do."""

import re
from collections.abc import Iterable
from typing import Any

from futures_algo.broker.models import Order
from futures_algo.core.types import MINUTE, SECOND, BrokerError, InputError
from futures_algo.execution.account_view import AccountView, one_spelling
from futures_algo.execution.context import Context
from futures_algo.execution.ledger_book import LedgerBook
from futures_algo.execution.ledgers import Difference, compare
from futures_algo.execution.locks import Locks
from futures_algo.execution.open_order import Fill
from futures_algo.execution.order_states import ENDED, LONGEST_STAY_S, UNKNOWN
from futures_algo.execution.orders import OURS, OrderManager, instrument_of
from futures_algo.execution.tracking import OrderTracker

DOUBT_ALARM_S = 60.0  # seconds an outcome may be unknown before it is an alarm
_OUR_ID = re.compile(rf"{OURS}[0-9a-f]{{24}}\d\d")


class Reconciler:
    "Compares ledgers, orders and positions with the broker's, and locks what does not agree."

    def __init__(self, context: Context, orders: OrderManager, book: LedgerBook, locks: Locks):
        self.context, self.orders, self.book, self.locks = context, orders, book, locks
        self.tracker: OrderTracker = orders.tracker
        self.view = AccountView(context)
        self.broker_state = ("unknown", "")  # unknown, connected or down; and why
        self.account_value: float | None = None  # net liquidation, USD, as of the last reconciliation
        self._foreign: dict[str, int] = {}  # at the last look: what the account held beyond the ledgers, signed
        self._reported: set[str] = set()  # foreign orders told about

    # --- the comparison

    def reconcile(self) -> dict[str, tuple[int, int]]:
        """Compare the books; returns what differs, {instrument: (ours, theirs)}. A question that fails leaves the gate
        shut."""
        try:
            differ = self.compare_twice()
        except BrokerError as error:
            return self._unread(error)
        self.broker_state, self.context.risk.reconciled = ("connected", ""), True
        self.tracker.fills.has_excess = False
        self.lock_doubts()
        for difference in differ:
            self.locks.set(difference.instrument, "books", str(difference))
        still = {difference.instrument for difference in differ} | self.unsettled()
        for name, kind in self.locks.of_kind("books"):
            if name not in still:
                self.locks.open(name, kind)
        return {difference.instrument: (difference.ours, difference.theirs) for difference in differ}

    def _unread(self, error: BrokerError) -> dict[str, tuple[int, int]]:
        risk = self.context.risk
        if self.broker_state[0] != "down" or risk.reconciled:
            self.context.say(
                "alarm", "reconcile", self.context.account, f"the broker's books could not be read: {error}"
            )
        risk.reconciled, self.broker_state = False, ("down", str(error))
        return {}

    def compare_twice(self) -> list[Difference]:
        "A difference counts when it stands after another look at every order: a fill may fall between two questions."
        self.tracker.poll()
        self._adopt_orders(self._listed(active_only=True))
        differ = compare(self.book.ledgers, self.positions(), self.unsettled())
        if not differ:
            return differ
        self._adopt_orders(self._listed(active_only=False))
        self.tracker.poll()
        return compare(self.book.ledgers, self.positions(), self.unsettled())

    def _listed(self, active_only: bool) -> list[Order]:
        return self.context.broker.get_orders(self.context.account, active_only=active_only)

    def positions(self) -> dict[str, int]:
        "What the broker holds, journaled: instrument to signed contracts."
        mine = {name for _, name in list(self.book.ledgers)}
        mine |= {order.instrument for order in list(self.orders.open.values())}
        held = self.view.read(mine)
        self._foreign = {name: held.get(name, 0) - self.book.net(name) for name in {*held, *mine}}
        return held

    def presumed(self, instrument: str) -> int:
        "What the account holds when it does not answer: our books, and what was not ours at the last look."
        return self.book.net(instrument) + self._foreign.get(instrument, 0)

    def unsettled(self) -> set[str]:
        "Instruments with an order whose fills are not all known."
        return {order.instrument for order in self.orders.open.values() if not order.is_resting}

    def is_absent(self, instrument: str) -> bool:
        "Whether the account holds just what the ledgers say: an order of unknown outcome has done nothing there."
        return self.positions().get(instrument, 0) == self.book.net(instrument)

    def read_account(self) -> float | None:
        "The account's net liquidation, USD, for sizing; None when the broker does not say."
        try:
            self.account_value = self.context.broker.get_account(self.context.account).net_liquidation
        except BrokerError:
            self.account_value = None
        return self.account_value

    # --- doubts and states that do not pass

    def lock_doubts(self) -> bool:
        "Lock what has an order of unknown outcome and open what has none any more; True when one was opened."
        doubtful = {order.instrument: order for order in self.orders.open.values() if order.state == UNKNOWN}
        for name, order in doubtful.items():
            self.locks.set(
                name,
                "unknown",
                f"the outcome of order {order.order_id} is unknown; it is being looked up ({order.words})",
            )
        settled = [name for name, kind in self.locks.of_kind("unknown") if name not in doubtful]
        for name in settled:
            self.locks.open(name, "unknown")
            self.locks.open(name, "doubt")
        self._warn_of_long_doubt()
        self._warn_of_stuck()
        return bool(settled)

    def _warn_of_long_doubt(self) -> None:
        limit = self.context.steady() - int(DOUBT_ALARM_S * SECOND)
        for order in self.orders.open.values():
            if order.state == UNKNOWN and 0 < order.doubt_since < limit:
                self.locks.set(
                    order.instrument,
                    "doubt",
                    f"the outcome of order {order.order_id} has been unknown for over {DOUBT_ALARM_S:.0f} s; look for"
                    " it"
                    " in NinjaTrader",
                )

    def _warn_of_stuck(self) -> None:
        "A state that ought to pass and does not: it was looked up at every poll, so somebody must know."
        limit = self.context.steady() - int(LONGEST_STAY_S * SECOND)
        stuck = {o.order_id: o for o in self.orders.open.values() if o.is_passing and 0 < o.since < limit}
        for order in stuck.values():
            self.locks.set(
                order.instrument,
                f"stuck:{order.order_id}",
                f"{order.purpose} {order.order_id} of {order.strategy} has been {order.state} for over"
                f" {LONGEST_STAY_S:.0f} s, and what waits for it cannot go; look at NinjaTrader",
            )
        for name, kind in self.locks.of_kind("stuck:"):
            if kind.removeprefix("stuck:") not in stuck:
                self.locks.open(name, kind)

    # --- orders nobody follows

    def _adopt_orders(self, rows: Iterable[Order]) -> None:
        "Ours that we gave up on too early are taken up again; those of others are reported."
        followed = {name for order in self.orders.open.values() for name in (order.order_id, *order.names)}
        for row in rows:
            if followed & _names(row) or not self.context.is_ours(row.account):
                continue
            intent = next((found for name in sorted(_names(row)) if (found := self._intent(name))), None)
            if intent:
                self._adopt_order(intent, row)
            else:
                self._report_foreign(row)

    def _intent(self, name: str) -> dict[str, Any] | None:
        if name.startswith(OURS):
            return self.context.journal.one("intents", "order_id", name)
        return self.context.journal.one("intents", "broker_id", name)

    def _adopt_order(self, intent: dict[str, Any], row: Order) -> None:
        if one_spelling(row.instrument) != intent["instrument"] or not row.action.startswith(intent["action"]):
            return self._report_foreign(row)  # it has our id and is not that order
        fills = self.context.journal.rows("fills", "order_id = ?", intent["order_id"])
        booked = sum(fill["quantity"] for fill in fills)
        filled = min(row.filled, intent["quantity"])
        if intent["order_id"] in self.orders.open or (
            row.is_terminal and filled <= booked and intent["state"] in ENDED
        ):
            return
        self.context.say(
            "warning",
            "adopt",
            row.instrument,
            f"order {intent['order_id']} was {intent['state']} for us and is {row.state} at the broker",
        )
        order = self.tracker.take_up(intent)
        self.tracker.claim(order, row.order_id, row.ninjatrader_id)
        order.reported, order.average, order.acknowledged = max(filled, order.filled), row.average_price, True

    def _report_foreign(self, row: Order) -> None:
        "An order of somebody else is told once and never touched; one with an id of ours is another engine's."
        if row.order_id in self._reported:
            return
        self._reported.add(row.order_id)
        if theirs := next((name for name in sorted(_names(row)) if _OUR_ID.fullmatch(name)), ""):
            return self._find_another_engine(theirs)
        if not row.is_terminal:
            self.context.say(
                "warning",
                "foreign",
                row.instrument,
                f"working order {row.order_id} is not ours: {row.action} {row.quantity} {row.order_type} {row.state}",
            )

    def _find_another_engine(self, order_id: str) -> None:
        "An id only an engine gives, and this journal never sent it: two engines trade one account."
        why = (
            f"order {order_id} on account {self.context.account} is another engine's: this journal never sent it; stop"
            " that engine, or `futures-algo resume` when its journal was put away"
        )
        if self.context.say_once("another engine", "alarm", "engine", self.context.account, why):
            risk = self.context.risk
            risk.trading, risk.trading_reason = ("REDUCING" if risk.trading == "ACTIVE" else risk.trading), why

    # --- start-up

    def recover(self) -> dict[str, tuple[int, int]]:
        """Start-up, which is the same as crash recovery: ledgers from the journal's fills, open orders looked up, books
        compared."""
        self.book.recover()
        since, risk = self.context.now() - MINUTE, self.context.risk
        rows = self.context.journal.rows("intents", "purpose = 'entry' AND at > ?", since, order="at")
        risk.entries.clear()
        risk.entries.extend(row["at"] for row in rows)
        self.tracker.resume()
        differ = self.reconcile()
        if risk.reconciled:
            self._look_for_another_engine()
        return differ

    def _look_for_another_engine(self) -> None:
        "Before the first order: orders that ended may be another engine's too."
        try:
            self._adopt_orders(self._listed(active_only=False))
        except BrokerError as error:
            self.context.say("warning", "reconcile", self.context.account, f"ended orders could not be read: {error}")

    # --- what a person may do about a lock

    def adopt(
        self,
        instrument: str,  # in any spelling
        who: str = "command",
        strategy: str = "manual",  # whose ledger takes it
        side: int = 0,  # +1 long, -1 short: take it only when it lies on this side; 0 takes either
    ) -> int:  # signed contracts taken
        "Take the broker's position into our books: the difference becomes a fill of a ledger, by a person's decision."
        name = instrument_of(instrument, self.context.now())
        difference = next((d for d in self.compare_twice() if d.instrument == name), None)
        if difference is None:
            locked = ", ".join(each for each, _ in self.locks.of_kind("books")) or "none"
            raise InputError("adoption", instrument, "must name an instrument whose books differ", f"locked: {locked}")
        excess, now = difference.theirs - difference.ours, self.context.now()
        _check_adoption(difference, excess, strategy, side)
        row = next((p for p in self.context.broker.get_positions(self.context.account) if p.instrument == name), None)
        price = (row.market_price or row.average_price) if row else self.context.marks.get(name, 0.0)
        self._book_adopted(Fill(f"adopt-{name}-{now}", "", strategy, name, excess, price, 0.0, now), who)
        self.reconcile()
        return excess

    def _book_adopted(self, fill: Fill, who: str) -> None:
        self.context.journal.add(
            "fills",
            execution_id=fill.execution_id,
            order_id="",
            signal_id="",
            strategy=fill.strategy,
            account=self.context.account,
            instrument=fill.instrument,
            side="BUY" if fill.quantity > 0 else "SELL",
            quantity=abs(fill.quantity),
            price=fill.price,
            commission=0.0,
            at=fill.at,
        )
        self.tracker.fills.on_fill(fill)
        words = f"{who} took {fill.quantity:+d} into the books as {fill.strategy}"
        self.context.say("warning", "adopt", fill.instrument, words)

    def unlock(self, instrument: str) -> None:
        "Open an instrument by command; refused while its books differ or an outcome is unknown."
        name = instrument_of(instrument, self.context.now())
        self.locks.open_like(name, "exit:")
        self.reconcile()
        if name in self.context.risk.locked:
            raise InputError("lock", name, f"stays: {self.context.risk.locked[name]}")


def _check_adoption(difference: Difference, excess: int, strategy: str, side: int) -> None:
    "Whose contracts they were must be said, and a strategy takes over only what lies on its side."
    if excess * side < 0:
        remedy = "close it in NinjaTrader, or adopt it by hand"
        raise InputError("adoption", f"{excess:+d}", "must lie on the strategy's side", remedy)
    owners = [
        f"{owner} holds {held:+d}" for owner, held in difference.shares if owner != "manual" and held * excess < 0
    ]
    # booked beside it, that strategy's exit would open a position the other way
    if strategy == "manual" and owners:
        rule = f"must say whose contracts these were: {', '.join(owners)}"
        raise InputError("adoption", f"{excess:+d}", rule, "name the strategy")


def _names(row: Order) -> set[str]:
    "Every id an order may be known by, ours inside an OCO id included."
    ids = {row.order_id, row.original_id, row.ninjatrader_id, row.automated_id, row.name}
    return (ids | {row.oco_id.removeprefix("oco-")}) - {""}
