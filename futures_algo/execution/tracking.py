"""Following an order to its end: fills booked once and only from what the broker lists, doubt resolved by looking
instead of guessing, and no state that lasts for ever without a word."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from futures_algo.broker.models import TERMINAL_STATES, Lifecycle, Order
from futures_algo.broker.outcomes import RateLimited, RefusedQuery, Unauthorized, Unreachable
from futures_algo.core.types import SECOND, BrokerError
from futures_algo.execution.account_view import one_spelling
from futures_algo.execution.context import Context
from futures_algo.execution.fills import FillBook
from futures_algo.execution.open_order import Fill, OpenOrder
from futures_algo.execution.order_states import ENDED, JOURNALED, NOT_SENT, UNKNOWN, may_follow

GRACE_S = 75.0  # an add-on has been seen to carry a request out after a minute
_MANY = 3  # from so many orders on, the list is asked once instead of each order


class OrderTracker:
    "Follows open orders and books their fills; it never sends one."

    def __init__(
        self,
        context: Context,
        grace_s: float = GRACE_S,  # how long an order may stay invisible before it counts as lost; steady time
        patience: int = 5,  # looks for the executions of an ended order before they are derived from its average price
    ):
        self.context, self.grace, self.patience = context, int(grace_s * SECOND), patience
        self.open: dict[str, OpenOrder] = {}  # not ended, by our id
        self.ended: list[OpenOrder] = []  # ended since somebody last took them
        self.fills = FillBook(context, self.set_state)
        # may a lost order be given up? its cancel was tried, and nothing at the broker says that it filled
        self.is_lost: Callable[[OpenOrder], bool] = lambda order: True
        self._owners: dict[str, str] = {}  # the broker's id -> ours, of every order seen

    def poll(self) -> list[Fill]:
        """Look at every open order; returns the fills that are new. `on_fill` gets each the moment it is journaled, so
        that a broken look loses none."""
        if not self.open:
            return []
        self.fills.new = []
        if any(order.may_have_filled for order in self.open.values()):
            self.book()
        self._refresh([order for order in self.open.values() if not order.has_ended])
        if any(order.filled < order.expected and not order.looks for order in self.open.values()):
            self.book()
        for order in list(self.open.values()):
            self.close(order)
        return self.fills.new

    def book(self) -> None:
        "Book what is new of the executions the broker lists."
        self.fills.book(list(self.open.values()))

    # --- states

    def _refresh(self, orders: list[OpenOrder]) -> None:
        "Ask for the state of orders that have not ended; one that cannot be read leaves the others theirs."
        listed = self._listed() if len(orders) >= _MANY else None
        for order in orders:
            try:
                self._look_at(order, listed)
            except (Unreachable, Unauthorized, RateLimited):
                raise  # nobody is there: the others need not be asked
            except BrokerError as error:
                self.doubt(order, f"it cannot be looked up: {error}")

    def _look_at(self, order: OpenOrder, listed: list[Order] | None) -> None:
        if found := self._find(order, listed):
            self._learn(order, found)
        else:
            self._unseen(order)

    def _listed(self) -> list[Order]:
        "Every order of the account the broker still lists."
        return self.context.broker.get_orders(self.context.account, active_only=False)

    def _find(self, order: OpenOrder, listed: list[Order] | None) -> Order | None:
        "The broker's row of an order, wherever its id stands in it."
        for name in sorted(order.names) if listed is None else ():
            try:
                if self._is_of(order, row := self.context.broker.get_order(name, self.context.account)):
                    return row
            except RefusedQuery:
                continue
        rows = [row for row in (self._listed() if listed is None else listed) if self._is_of(order, row)]
        return self._named(order, rows) or self._in_group(order, rows)

    def _named(self, order: OpenOrder, rows: list[Order]) -> Order | None:
        ids = order.names
        is_it = lambda row: row.answers_to(order.order_id) or bool(ids & {row.order_id, row.ninjatrader_id})
        return next(filter(is_it, rows), None)

    def _in_group(self, order: OpenOrder, rows: list[Order]) -> Order | None:
        "By the OCO id, which two legs share."
        is_it = lambda row: (
            row.order_type in ("", order.order_type)
            and row.answers_to(order.order_id, order.oco_id)
            and self.owner_of(row.order_id) in ("", order.order_id)
        )
        return next(filter(is_it, rows), None)

    def _is_of(self, order: OpenOrder, row: Order) -> bool:
        "Whether a row can be this order's: account, contract and side are its own, and no other of ours has its id."
        side = row.action.replace("TOCOVER", "").replace("SHORT", "")
        return (
            self.context.is_ours(row.account)
            and one_spelling(row.instrument) == order.instrument
            and side in ("", order.action)
            and self.owner_of(row.order_id) in ("", order.order_id)
        )

    def owner_of(self, name: str) -> str:
        "Our id of the order a broker's id belongs to; empty when none of ours has it."
        return self._owners.get(name, "")

    def claim(self, order: OpenOrder, *names: str) -> bool:
        "Take ids of the broker for an order; False when one belongs to another of ours."
        wanted = set(names) - {""}
        if any(self.owner_of(name) not in ("", order.order_id) for name in wanted):
            return False
        order.names |= wanted
        self._owners |= dict.fromkeys(wanted, order.order_id)
        return True

    def _learn(self, order: OpenOrder, found: Order) -> None:
        self.claim(order, found.order_id, found.ninjatrader_id)
        self._report(order, found.filled, found.average_price)
        order.acknowledged = True
        self.set_state(order, found.state, "poll")

    def _report(self, order: OpenOrder, filled: int, average: float) -> None:
        "What the broker says has filled; more than was ordered is said and not believed."
        if filled > order.quantity:
            self.context.say_once(
                ("overfilled", order.order_id),
                "alarm",
                "fill",
                order.instrument,
                f"order {order.order_id} for {order.quantity} is reported with {filled} filled; look at NinjaTrader",
            )
        order.reported, order.average = max(min(filled, order.quantity), order.filled), average

    # --- lost orders

    def _unseen(self, order: OpenOrder) -> None:
        "No list has the order: its lifecycle tells, or time does."
        life = self._lifecycle(order)
        if life and life.state:
            return self._take_lifecycle(order, life)
        self.doubt(order, "no list has it")
        if self.context.steady() - order.doubt_since < self.grace or not self._is_out_of_sight(order):
            return
        if order.filled:
            self.set_state(order, "Cancelled", "look-up", "gone from NinjaTrader after a part of it filled")
        elif order.acknowledged:
            self._bury(order)
        elif life and life.events:
            self.set_state(order, "Rejected", "lifecycle", "it arrived and was never placed")
        else:
            words = "neither orders, lifecycle nor executions know it after the grace time"
            self.set_state(order, NOT_SENT, "look-up", words)

    def _lifecycle(self, order: OpenOrder) -> Lifecycle | None:
        try:
            life = self.context.broker.get_order_lifecycle(order.order_id, self.context.account)
        except RefusedQuery:  # it has none, or is an add-on from before there were any
            return None
        if life.original_id not in ("", order.order_id) or not self.claim(order, life.order_id):
            return None  # another order's
        return life

    def _take_lifecycle(self, order: OpenOrder, life: Lifecycle) -> None:
        last = next((event for event in reversed(life.events) if event.filled is not None), None)
        if last:
            self._report(order, last.filled or 0, last.average_price or 0.0)
        elif life.state in TERMINAL_STATES - {"Filled"}:  # no numbers: its executions would have them
            self.book()
            order.reported = order.filled
        order.words = next((event.detail for event in reversed(life.events) if event.detail), order.words)
        self.set_state(order, life.state or order.state, "lifecycle")

    def _is_out_of_sight(self, order: OpenOrder) -> bool:
        "After the grace time: the cancel is tried, then executions and list are looked at once more."
        if not self.is_lost(order):
            return False
        self.book()
        if order.has_ended:
            return False
        if found := self._find(order, rows := self._listed()):
            self._learn(order, found)
            return False
        return not any(aside.may_be(order.instrument, order.order_id) for aside in getattr(rows, "aside", ()))

    def _bury(self, order: OpenOrder) -> None:
        "One rule for an order that was taken and is known no more: dead after the grace time, with an alarm."
        self.set_state(order, "Cancelled", "look-up", "it was taken, and NinjaTrader knows it no more")
        self.context.say(
            "alarm",
            "order",
            order.instrument,
            f"{order.purpose} {order.order_id} of {order.strategy} was taken by the broker and is known to it no more;"
            " the account stands as if it had done nothing: it counts as dead",
        )

    def doubt(self, order: OpenOrder, why: str) -> None:
        "Its outcome is not known."
        if order.state != UNKNOWN or not order.doubt_since:
            order.doubt_since = self.context.steady()
        self.set_state(order, UNKNOWN, "look-up", why)

    def set_state(self, order: OpenOrder, state: str, source: str, detail: str = "") -> None:
        "Journal a new state; one that cannot follow is an old answer and changes nothing."
        if state == order.state or not may_follow(order.state, state):
            return
        order.state, order.since, now = state, self.context.steady(), self.context.now()
        order.words = detail or order.words
        with self.context.journal.together():
            self.context.journal.add(
                "order_events",
                order_id=order.order_id,
                at=now,
                state=state,
                filled=order.reported if order.acknowledged else order.filled,
                average_price=order.average,
                source=source,
                detail=detail,
            )
            self.context.journal.update(
                "intents", "order_id", order.order_id, state=state, updated=now, broker_id=order.broker_id
            )

    def close(self, order: OpenOrder) -> None:
        "An order leaves when it has ended and all its fills are booked."
        if not order.has_ended:
            return
        if order.filled < order.expected:
            order.looks += 1
            if order.looks < self.patience or not self.fills.book_rest(order, is_first=order.looks == self.patience):
                return
        self.open.pop(order.order_id, None)
        self.ended.append(order)

    # --- after a restart

    def resume(self) -> None:
        """Every order of the journal that has not ended is taken up again; what was only journaled may or may
        not have been sent.

        So is one that ended with fills we did not book: a process may die between the two."""
        journal, booked = self.context.journal, Counter[str]()
        self.fills.remember()
        for fill in journal.rows("fills"):
            booked[fill["order_id"]] += fill["quantity"]
        said = {event["order_id"]: event for event in journal.rows("order_events")}  # the last of each order
        for row in journal.rows("intents"):
            if row["broker_id"]:
                self._owners[row["broker_id"]] = row["order_id"]
            if row["state"] not in ENDED:
                self.take_up(row)
            elif event := said.get(row["order_id"]):
                self._take_up_ended(row, event, booked[row["order_id"]])

    def _take_up_ended(self, row: dict[str, Any], event: dict[str, Any], booked: int) -> None:
        filled = row["quantity"] if row["state"] == "Filled" else event["filled"]
        if filled <= booked:
            return
        order = self.take_up(row)
        order.reported, order.average = filled, event["average_price"] or 0.0

    def take_up(self, row: dict[str, Any]) -> OpenOrder:
        "Follow the order of a journal row."
        order = self.fills.order_of(row, self._was_acknowledged(row))
        order.since = self.context.steady()
        self.open[order.order_id] = order
        if order.state in (JOURNALED, UNKNOWN, NOT_SENT):
            self.doubt(order, "taken up after a restart")
        return order

    def _was_acknowledged(self, row: dict[str, Any]) -> bool:
        "Whether the broker ever said that it took the order; a restart forgets nothing."
        if row["state"] not in (JOURNALED, UNKNOWN, NOT_SENT) or row["broker_id"]:
            return True
        journal, order_id = self.context.journal, row["order_id"]
        answered = journal.rows("requests", "order_id = ? AND outcome = 'Answered' AND path LIKE '%/place'", order_id)
        return bool(answered) or bool(journal.rows("order_events", "order_id = ? AND source = 'poll'", order_id))
