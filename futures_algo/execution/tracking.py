"""Following an order to its end: NinjaTrader's states as a table, fills booked once, and doubt resolved by looking instead of guessing."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from futures_algo.broker.models import ORDER_STATES, TERMINAL_STATES, Execution, Order
from futures_algo.broker.outcomes import NotFound
from futures_algo.core.named import ByName
from futures_algo.core.types import SECOND, Clock

JOURNALED, NOT_SENT, UNKNOWN = "Journaled", "NotSent", "Unknown"
ENDED = TERMINAL_STATES | {NOT_SENT}

_AT_WORK = ("PartFilled", "Filled", "Rejected", "Cancelled", "ChangePending", "CancelPending")
STEPS: dict[str, tuple[str, ...]] = {
    JOURNALED: ("Initialized", "Submitted", "Rejected", NOT_SENT, UNKNOWN),
    "Initialized": ("Submitted", "Rejected", "Cancelled", UNKNOWN),
    "Submitted": ("Accepted", *_AT_WORK, UNKNOWN),
    "Accepted": ("Working", "TriggerPending", *_AT_WORK, UNKNOWN),
    "TriggerPending": ("Working", *_AT_WORK, UNKNOWN),
    "Working": ("TriggerPending", *_AT_WORK, UNKNOWN),
    "ChangePending": ("ChangeSubmitted", "Accepted", "Working", *_AT_WORK, UNKNOWN),
    "ChangeSubmitted": ("Accepted", "Working", *_AT_WORK, UNKNOWN),
    "CancelPending": (
        "CancelSubmitted",
        "Working",
        "PartFilled",
        "Filled",
        "Cancelled",
        "Rejected",
        UNKNOWN,
    ),  # Working again: the exchange refused the cancel
    "CancelSubmitted": ("Working", "PartFilled", "Filled", "Cancelled", "Rejected", UNKNOWN),
    "PartFilled": (*_AT_WORK, UNKNOWN),
    UNKNOWN: (*(state for state in ORDER_STATES if state != UNKNOWN), NOT_SENT),
    NOT_SENT: (UNKNOWN,),  # it arrived after all
    "Filled": (),
    "Cancelled": (),
    "Rejected": (),
}


def _reach(state: str) -> frozenset[str]:
    "States that a chain of known steps leads to; a chain through doubt counts for nothing."
    found, todo = set(), [state]
    while todo:
        for after in STEPS[todo.pop()]:
            if after in found:
                continue
            found.add(after)
            if after != UNKNOWN:
                todo.append(after)
    return frozenset(found)


REACHABLE = {state: _reach(state) for state in STEPS}


def may_follow(before: str, after: str) -> bool:
    "Whether an order in one state can later be in the other."
    return after in REACHABLE[before]


class Fill(NamedTuple):
    "Contracts that changed hands."

    execution_id: str
    order_id: str
    strategy: str
    instrument: str
    quantity: int  # signed: bought positive
    price: float  # points
    commission: float  # USD
    at: int  # ns UTC
    reason: str = ""  # of the signal behind it, where it is known


@dataclass
class Tracked(ByName):
    "An order that has not ended, as we know it."

    order_id: str  # ours
    signal_id: str
    strategy: str
    instrument: str  # NinjaTrader's name
    action: str  # BUY, SELL
    quantity: int  # contracts
    purpose: str  # entry, exit, target, stop
    reference_price: float = 0.0  # the signal's, points; 0 when there is none
    arrival_price: float = 0.0  # last price known when it was sent, points
    order_type: str = "MARKET"
    oco_id: str = ""
    state: str = JOURNALED
    names: set[str] = field(default_factory=set)  # every id the broker knows it by
    filled: int = 0  # contracts booked
    value: float = 0.0  # sum of price times contracts booked
    reported: int = 0  # contracts the broker says, or a market order is expected to have, filled
    average: float = 0.0  # points, as the broker says
    acknowledged: bool = False  # the broker answered that it took the order
    doubt_since: int = 0  # ns UTC since when its outcome is unknown
    looks: int = 0  # how often it was looked at since it ended without all its fills
    executions: set[str] = field(default_factory=set)  # ids booked
    reason: str = ""  # of its signal
    bracket: dict[str, float] | None = None  # target and stop to place once it filled

    @property
    def sign(self) -> int:
        return 1 if self.action == "BUY" else -1

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED

    @property
    def expected(self) -> int:
        return self.quantity if self.state == "Filled" else self.reported

    @property
    def is_resting(self) -> bool:
        "Whether it waits at its price, with nothing to be told about it."
        return (
            self.order_type != "MARKET"
            and self.state in ("Accepted", "Working", "TriggerPending")
            and self.filled >= self.reported
        )

    @property
    def broker_id(self) -> str:
        return next((name for name in self.names if name != self.order_id), "")


_MANY = 3  # from so many orders on, the list is asked once instead of each order


class Tracker:
    "Follows open orders and books their fills; it never sends one."

    def __init__(
        self,
        client,  # CrossTradeClient
        journal,  # Journal, writable
        clock: Clock,
        account: str,  # NT8 account Name
        grace_s: float = 10.0,  # how long an order may stay invisible before it counts as never arrived
        patience: int = 5,  # looks for the executions of an ended order before they are derived from its average price
    ):
        self.client, self.journal, self.clock, self.account = client, journal, clock, account
        self.grace, self.patience = int(grace_s * SECOND), patience
        self.open: dict[str, Tracked] = {}  # not ended, by our id
        self.ended: list[Tracked] = []  # ended since somebody last took them
        self.on_fill: Callable[[Fill], None] = lambda fill: None
        self._fills: list[Fill] = []

    def poll(self) -> list[Fill]:
        """Look at every open order; returns the fills that are new. `on_fill` gets each the moment it is journaled, so
        that a broken look loses none."""
        if not self.open:
            return []
        self._fills = []
        if any(order.filled < order.expected for order in self.open.values()):
            self._book()
        self._refresh([order for order in self.open.values() if not order.has_ended])
        if any(order.filled < order.expected and not order.looks for order in self.open.values()):
            self._book()
        for order in list(self.open.values()):
            self._close(order)
        return self._fills

    # --- fills

    def _book(self) -> None:
        "Book the executions of open orders that are new."
        known = {name: order for order in self.open.values() for name in (order.order_id, *order.names)}
        for execution in self.client.get_executions(self.account):
            order = known.get(execution.order_id) or known.get(execution.name)
            if order and execution.execution_id not in order.executions:
                self._book_one(order, execution)

    def _book_one(self, order: Tracked, execution: Execution) -> None:
        commission = (execution.commission or 0.0) + (execution.fee or 0.0)
        with self.journal.together():
            fill = self._add_fill(
                order,
                execution.execution_id,
                execution.quantity,
                execution.price,
                commission,
                execution.at or self.clock.now(),
            )
            if order.filled >= order.quantity:
                self._set_state(order, "Filled", "executions")
        self._tell(fill)

    def _add_fill(
        self, order: Tracked, execution_id: str, quantity: int, price: float, commission: float, at: int
    ) -> Fill:
        slippage = (price - order.reference_price) * order.sign if order.reference_price else None
        self.journal.add(
            "fills",
            execution_id=execution_id,
            order_id=order.order_id,
            signal_id=order.signal_id,
            strategy=order.strategy,
            account=self.account,
            instrument=order.instrument,
            side=order.action,
            quantity=quantity,
            price=price,
            commission=commission,
            at=at,
            reference_price=order.reference_price,
            slippage=slippage,
            arrival_price=order.arrival_price,
        )
        order.executions.add(execution_id)
        order.filled, order.value, order.looks = order.filled + quantity, order.value + price * quantity, 0
        order.reported = max(order.reported, order.filled)
        return Fill(
            execution_id,
            order.order_id,
            order.strategy,
            order.instrument,
            quantity * order.sign,
            price,
            commission,
            at,
            order.reason,
        )

    def _tell(self, fill: Fill) -> None:
        self._fills.append(fill)
        self.on_fill(fill)

    # --- states

    def _refresh(self, orders: list[Tracked]) -> None:
        "Ask for the state of orders that have not ended."
        listed = self.client.get_orders(self.account, active_only=False) if len(orders) >= _MANY else None
        for order in orders:
            if found := self._find(order, listed):
                self._learn(order, found)
            else:
                self._unseen(order)

    def _find(self, order: Tracked, listed: list[Order] | None) -> Order | None:
        "The broker's row of an order, wherever its id stands in it."
        for name in order.names if listed is None else ():
            try:
                return self.client.get_order(name, self.account)
            except NotFound:
                continue
        if listed is None:
            listed = self.client.get_orders(self.account, active_only=False)
        own = next(
            (
                row
                for row in listed
                if row.answers_to(order.order_id) or order.names & {row.order_id, row.ninjatrader_id}
            ),
            None,
        )
        return own or next(
            (
                row
                for row in listed
                if row.order_type in ("", order.order_type) and row.answers_to(order.order_id, order.oco_id)
            ),
            None,
        )  # two legs share an OCO id

    def _learn(self, order: Tracked, found: Order) -> None:
        order.names |= {found.order_id, found.ninjatrader_id} - {""}
        order.reported, order.average, order.acknowledged = max(found.filled, order.filled), found.average_price, True
        self._set_state(order, found.state, "poll")

    def _unseen(self, order: Tracked) -> None:
        "No list has the order: its lifecycle tells, or time does."
        try:
            life = self.client.get_order_lifecycle(order.order_id, self.account)
        except NotFound:
            life = None
        if life and life.order_id:
            order.names.add(life.order_id)
        if life and life.state:
            last = next((event for event in reversed(life.events) if event.filled is not None), None)
            if last:
                order.reported, order.average = max(last.filled, order.filled), last.average_price or 0.0
            elif life.state in TERMINAL_STATES - {"Filled"}:  # no numbers: its executions would have them
                self._book()
                order.reported = order.filled
            return self._set_state(order, life.state, "lifecycle")
        self._doubt(order, "no list has it")
        if self.clock.now() - order.doubt_since < self.grace or order.acknowledged:
            return
        self._book()
        if order.filled:
            return
        if life and life.events:
            self._set_state(order, "Rejected", "lifecycle", "it arrived and was never placed")
        else:
            self._set_state(
                order, NOT_SENT, "look-up", "neither orders, lifecycle nor executions know it after the grace time"
            )

    def _doubt(self, order: Tracked, why: str) -> None:
        if order.state != UNKNOWN or not order.doubt_since:
            order.doubt_since = self.clock.now()
        self._set_state(order, UNKNOWN, "look-up", why)

    def _set_state(self, order: Tracked, state: str, source: str, detail: str = "") -> None:
        "Journal a new state; one that cannot follow is an old answer and changes nothing."
        if state == order.state or not may_follow(order.state, state):
            return
        order.state, now = state, self.clock.now()
        with self.journal.together():
            self.journal.add(
                "order_events",
                order_id=order.order_id,
                at=now,
                state=state,
                filled=order.reported if order.acknowledged else order.filled,
                average_price=order.average,
                source=source,
                detail=detail,
            )
            self.journal.update(
                "intents", "order_id", order.order_id, state=state, updated=now, broker_id=order.broker_id
            )

    def _close(self, order: Tracked) -> None:
        "An order leaves when it has ended and all its fills are booked."
        if not order.has_ended:
            return
        if (missing := order.expected - order.filled) > 0:
            order.looks += 1
            if order.looks < self.patience or not (price := self._price_of_rest(order, missing)):
                return
            self._tell(self._add_fill(order, f"{order.order_id}-rest", missing, price, 0.0, self.clock.now()))
        del self.open[order.order_id]
        self.ended.append(order)

    def _price_of_rest(self, order: Tracked, missing: int) -> float:
        """What fills are booked at whose executions are older than the broker lists: what is left of the order's
        average. 0 while nothing tells."""
        if order.average:
            return (order.average * order.expected - order.value) / missing
        price = order.arrival_price or order.reference_price
        if (
            order.looks == self.patience
        ):  # the contracts are there whatever they cost: a ledger without them would never be closed
            self.journal.add_event(
                self.clock.now(),
                "alarm",
                "fill",
                order.instrument,
                f"{missing} of order {order.order_id} filled at a price nobody knows any more; "
                + (f"booked at {price:g}, the price it was sent at" if price else "look for it in NinjaTrader"),
            )
        return price

    # --- after a restart

    def resume(self) -> None:
        """Every order of the journal that has not ended is taken up again; what was only journaled may or may
        not have been sent.

        So is one that ended with fills we did not book: a process may die between the two."""
        booked: Counter = Counter()
        for fill in self.journal.rows("fills"):
            booked[fill["order_id"]] += fill["quantity"]
        said = {event["order_id"]: event for event in self.journal.rows("order_events")}  # the last of each order
        for row in self.journal.rows("intents"):
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

    def take_up(self, row: dict[str, Any]) -> Tracked:
        "Follow the order of a journal row."
        import json

        fills = self.journal.rows("fills", "order_id = ?", row["order_id"])
        signal = self.journal.one("signals", "id", row["signal_id"]) or {}
        order = Tracked(
            row["order_id"],
            row["signal_id"],
            row["strategy"],
            row["instrument"],
            row["action"],
            row["quantity"],
            row["purpose"],
            row["reference_price"] or 0.0,
            row["arrival_price"] or 0.0,
            row["order_type"],
            row["oco_id"] or "",
            row["state"],
            {row["broker_id"]} - {None, ""},
            sum(fill["quantity"] for fill in fills),
            sum(fill["price"] * fill["quantity"] for fill in fills),
            acknowledged=row["state"] not in (JOURNALED, UNKNOWN, NOT_SENT),
            executions={fill["execution_id"] for fill in fills},
            reason=signal.get("reason", ""),
            bracket=json.loads(row["bracket"]) if row["bracket"] else None,
        )
        order.reported = order.quantity if order.order_type == "MARKET" and order.acknowledged else order.filled
        self.open[order.order_id] = order
        if not order.acknowledged:
            self._doubt(order, "taken up after a restart")
        return order
