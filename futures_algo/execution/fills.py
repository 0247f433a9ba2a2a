"""Fills: each execution is booked once, to the one order, account, contract and side it belongs to, or to nobody.

A fill is never assumed. What the broker's own row says has filled, and no execution tells any more (it lists fifteen
minutes), is booked at the row's average price, marked `-rest`."""

import json
from collections.abc import Callable
from typing import Any

from futures_algo.broker.models import Execution
from futures_algo.core.types import HOUR, MINUTE
from futures_algo.execution.account_view import one_spelling
from futures_algo.execution.context import Context
from futures_algo.execution.open_order import Fill, OpenOrder

_RESTING = {"stop": "stop_order", "target": "target_order"}  # reason of a protective order's fill, by its purpose
OLDEST, NEWEST = 2 * HOUR, 5 * MINUTE  # around our clock, of a fill's time that is believed


class FillBook:
    "Books executions; `on_fill` is told of each the moment it is journaled."

    def __init__(self, context: Context, set_state: Callable[..., None]):
        self._context, self._set_state = context, set_state
        self.on_fill: Callable[[Fill], None] = lambda fill: None
        self.new: list[Fill] = []
        self.has_excess = False  # executions came that fit no order: the books are to be compared now
        self._booked: set[str] = set()  # execution ids, of every order

    def remember(self) -> None:
        "The executions the journal has."
        self._booked = {row["execution_id"] for row in self._context.journal.rows("fills")}

    def book(self, orders: list[OpenOrder]) -> None:
        "Ask for executions and book those of these orders that are new."
        rows = self._context.broker.get_executions(self._context.account)
        for aside in getattr(rows, "aside", ()):
            self._say_aside(aside)
        known = {name: order for order in orders for name in (order.order_id, *order.names)}
        for execution in rows:
            order = known.get(execution.order_id) or known.get(execution.name)
            if order and execution.execution_id not in self._booked:
                self._take(order, execution)

    def _say_aside(self, aside: Any) -> None:
        if not aside.account or self._context.is_ours(aside.account):
            self._context.say_once(
                ("execution", aside.reason), "warning", "unreadable", aside.instrument, f"set aside: {aside.reason}"
            )

    def _take(self, order: OpenOrder, execution: Execution) -> None:
        if why := self._why_not(order, execution):
            self.has_excess = True
            self._context.say_once(
                ("execution", execution.execution_id),
                "alarm",
                "fill",
                order.instrument,
                f"execution {execution.execution_id} of order {order.order_id} is not booked: {why}; the books are"
                " compared now",
            )
            return
        self._book_one(order, execution)

    def _why_not(self, order: OpenOrder, execution: Execution) -> str:
        "Why an execution that names the order is not its own; empty when it is."
        if not self._context.is_ours(execution.account):
            return f"it is of account {execution.account}"
        if one_spelling(execution.instrument) != order.instrument:
            return f"it is of {execution.instrument}"
        if execution.sign != order.sign:
            return f"it is on the other side ({execution.market_position})"
        if execution.quantity < 1 or order.filled + execution.quantity > order.quantity:
            return f"{order.filled} of {order.quantity} are booked, and it has {execution.quantity} more"
        return ""

    def _book_one(self, order: OpenOrder, execution: Execution) -> None:
        paid = (execution.commission or 0.0) + (execution.fee or 0.0)
        with self._context.journal.together():
            moved = (execution.quantity, execution.price, paid, self._moment(execution.at))
            fill = self._add(order, execution.execution_id, *moved)
            if order.filled >= order.quantity:
                self._set_state(order, "Filled", "executions")
            # what the ledger holds then is written with it: a death between the two would leave books that contradict
            self._tell(fill)

    def _moment(self, at: int | None) -> int:
        "A fill's time as the broker has it, or ours where that cannot be."
        now = self._context.now()
        return at if at and now - OLDEST <= at <= now + NEWEST else now

    def _add(
        self, order: OpenOrder, execution_id: str, quantity: int, price: float, commission: float, at: int
    ) -> Fill:
        self._context.journal.add(
            "fills",
            execution_id=execution_id,
            order_id=order.order_id,
            signal_id=order.signal_id,
            strategy=order.strategy,
            account=self._context.account,
            instrument=order.instrument,
            side=order.action,
            quantity=quantity,
            price=price,
            commission=commission,
            at=at,
            reference_price=order.reference_price,
            slippage=(price - order.reference_price) * order.sign if order.reference_price else None,
            arrival_price=order.arrival_price,
        )
        self._booked.add(execution_id)
        order.executions.add(execution_id)
        order.filled, order.value, order.looks = order.filled + quantity, order.value + price * quantity, 0
        order.reported = max(order.reported, order.filled)
        moved = (order.strategy, order.instrument, quantity * order.sign, price, commission, at)
        return Fill(execution_id, order.order_id, *moved, order.reason, order.purpose)

    def _tell(self, fill: Fill) -> None:
        self.new.append(fill)
        self.on_fill(fill)

    # --- fills whose executions are gone

    def book_rest(self, order: OpenOrder, is_first: bool) -> bool:
        "Book what the broker's row says has filled beyond the executions; False while no price is known."
        missing = order.expected - order.filled
        if not (price := self._price_of_rest(order, missing, is_first)):
            return False
        with self._context.journal.together():
            self._tell(self._add(order, f"{order.order_id}-rest", missing, price, 0.0, self._context.now()))
        return True

    def _price_of_rest(self, order: OpenOrder, missing: int, is_first: bool) -> float:
        "What is left of the order's average; where nobody knows it, the price it was sent at, with an alarm."
        if order.average:
            return (order.average * order.expected - order.value) / missing
        price = order.arrival_price or order.reference_price
        if is_first:  # the contracts are there whatever they cost: a ledger without them would never be closed
            self._context.say(
                "alarm",
                "fill",
                order.instrument,
                f"{missing} of order {order.order_id} filled at a price nobody knows any more; "
                + (f"booked at {price:g}, the price it was sent at" if price else "look for it in NinjaTrader"),
            )
        return price

    # --- from the journal

    def order_of(self, row: dict[str, Any], acknowledged: bool) -> OpenOrder:
        "The order of a journal row with what is booked of it."
        fills = self._context.journal.rows("fills", "order_id = ?", row["order_id"])
        signal = self._context.journal.one("signals", "id", row["signal_id"]) or {}
        filled = sum(fill["quantity"] for fill in fills)
        return OpenOrder(
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
            filled,
            sum(fill["price"] * fill["quantity"] for fill in fills),
            reported=filled,
            acknowledged=acknowledged,
            executions={fill["execution_id"] for fill in fills},
            reason=signal.get("reason", "") or _RESTING.get(row["purpose"], ""),
            bracket=json.loads(row["bracket"]) if row["bracket"] else None,
        )
