"Orders, fills, positions: the broker's true state, and what of it NinjaTrader has heard."

import heapq
import itertools
import random
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from futures_algo.chaos.clock import SECOND
from futures_algo.chaos.faults import Hits
from futures_algo.chaos.hearing import Hearing
from futures_algo.chaos.instruments import Instruments
from futures_algo.chaos.records import Account, Execution, Order, Position, Refusal
from futures_algo.chaos.settings import Settings
from futures_algo.chaos.truth import TruthLog

NO_HITS = Hits([], lambda rule, data: None)
FILL_QUIRKS = ("fill_unlisted", "fill_late", "slow_fill", "overfill")


class Book(Hearing):
    "All acts hold `lock`. Delayed acts wait in an agenda that `advance` runs when the clock has come."

    def __init__(
        self, now: Callable[[], int], settings: Settings, log: TruthLog, instruments: Instruments, seed: int | str
    ) -> None:
        self.now = now
        self.settings = settings
        self.log = log
        self.instruments = instruments
        self.lock = threading.RLock()
        self.accounts: dict[str, Account] = {}  # by lower-case name
        self.orders: list[Order] = []
        self.executions: list[Execution] = []
        self.positions: dict[tuple[str, str], Position] = {}
        self.live: dict[str, dict[int, Order]] = defaultdict(dict)  # instrument -> number -> order
        self.market_open = True
        self.on_rest: Callable[[Order], None] = lambda order: None  # the market looks at what has come to rest
        self.price_later: Callable[[Order, float], float] = lambda order, price: price  # of a fill put off
        self.on_fill: Callable[[Order], None] = lambda order: None  # ATM brackets
        self._named: dict[str, list[Order]] = defaultdict(list)  # either id -> orders, oldest first
        self._burned: set[str] = set()  # oco ids whose group resolved
        self._late: list[Execution] = []
        self._agenda: list[tuple[int, int, Callable[[], None]]] = []
        self._ticket = itertools.count()
        self._dice = random.Random(f"ids:{seed}")

    # time
    def later(self, seconds: float, act: Callable[[], None]) -> None:
        "Now, or when the clock has passed `seconds`."
        if seconds <= 0:
            act()
        else:
            heapq.heappush(self._agenda, (self.now() + round(seconds * SECOND), next(self._ticket), act))

    def run_due(self) -> None:
        while self._agenda and self._agenda[0][0] <= self.now():
            heapq.heappop(self._agenda)[2]()

    # finding
    def new_id(self) -> str:
        return f"{self._dice.getrandbits(128):032x}"

    def account(self, name: str) -> Account:
        found = self.accounts.get(name.lower())
        if found is None:
            raise Refusal("invalid_account", self.settings.not_found_status, f"Account {name} not found")
        return found

    def named(self, ref: str) -> list[Order]:
        "Orders by NinjaTrader's id or the caller's, as the wire knows them, oldest first."
        return [
            order for order in self._named.get(ref, ()) if order.shown and not (order.forgotten and order.id != ref)
        ]

    def working(self, account: str | None = None, instrument: str | None = None) -> list[Order]:
        "Orders the wire knows that are not terminal."
        instruments = [instrument] if instrument else list(self.live)
        orders = [order for name in instruments for order in self.live[name].values()]
        return [order for order in orders if order.shown and account in (None, order.account)]

    def group(self, order: Order) -> list[Order]:
        "The other live legs of its OCO group."
        if not order.oco_id:
            return []
        legs = list(self.live[order.instrument].values())
        return [leg for leg in legs if leg is not order and leg.oco_id == order.oco_id and leg.account == order.account]

    # orders
    def submit(self, order: Order, hits: Hits = NO_HITS) -> Order:
        "Takes the order in and sends it on its way; what becomes of it shows in its state."
        order.number, order.id, order.placed_ns = len(self.orders) + 1, self.new_id(), self.now()
        self.orders.append(order)
        for ref in filter(None, {order.id, order.client_id}):
            self._named[ref].append(order)
        self.live[order.instrument][order.number] = order
        self._collect(order, hits)
        self.to(order, "Initialized")
        self.to(order, "Submitted")
        self._send(order, hits)
        return order

    def _collect(self, order: Order, hits: Hits) -> None:
        for name in FILL_QUIRKS:
            if (settings := hits.take(name, order=order.id)) is not None:
                order.quirks[name] = settings
        if order.quantity > 1 and (settings := hits.take("partial_fill", order=order.id)) is not None:
            order.quirks["partial_fill"] = settings
        if order.oco_id and (settings := hits.take("oco_broken", order=order.id)) is not None:
            order.quirks["oco_broken"] = settings

    def _send(self, order: Order, hits: Hits) -> None:
        if (lost := hits.take("vanished", order=order.id)) is not None:
            self._lose(order, lost["fills"])
        if order.oco_id and hits.take("bracket_dropped", order=order.id) is not None:
            self._lose(order, False)
        if (stuck := hits.take("stuck_submitted", order=order.id)) is not None:
            order.quirks["stuck_submitted"], order.inert = stuck, not stuck["fills"]
        if (no := hits.take("rejected", order=order.id)) is not None:
            order.inert = True
            return self.later(no["seconds"], lambda: self.reject(order, no["reason"]))
        if not order.inert:
            self.later(self.settings.ack_seconds, lambda: self._accept(order))

    def _lose(self, order: Order, fills: bool) -> None:
        "The wire knows it no more; it may live on at the exchange."
        order.shown, order.inert, order.lost = False, not fills, not fills
        if order.lost:
            self.live[order.instrument].pop(order.number, None)

    def _accept(self, order: Order) -> None:
        if order.terminal:
            return
        if order.oco_id in self._burned and self.settings.oco_reuse != "accept":
            return self.reject(order, f"OCO ID '{order.oco_id}' cannot be reused")
        if not self.market_open and self.settings.closed_market == "reject":
            return self.reject(order, "Market is closed")
        if "stuck_submitted" not in order.quirks and order.state != "CancelPending":
            self.to(order, "Accepted")
            self.to(order, self.resting_state(order))
        self.on_rest(order)

    def resting_state(self, order: Order) -> str:
        return "PartFilled" if order.filled else self.rests_as(order)

    def to(self, order: Order, state: str) -> None:
        "Sets and logs the state; a terminal one leaves the live orders and may resolve its OCO group."
        if state == order.state and state != "Initialized":
            return
        order.state, order.changed_ns = state, self.now()
        order.states.append((order.changed_ns, state))
        self.log.note(
            "state",
            order=order.id,
            client_id=order.client_id,
            account=order.account,
            instrument=order.instrument,
            state=state,
            filled=order.filled,
            reason=order.reason,
        )
        if order.terminal:
            self.live[order.instrument].pop(order.number, None)
            self._resolve(order)

    def _resolve(self, order: Order) -> None:
        if not order.oco_id:
            return
        if order.state == "Filled" or not self.group(order):
            self._burned.add(order.oco_id)
        if order.state != "Filled" and self.settings.oco_cancel_cascades and order.reason is None:
            self._cancel_legs(order)

    def reject(self, order: Order, reason: str | None) -> None:
        if not order.terminal:
            order.reason = reason
            self.to(order, "Rejected")

    # cancel and change
    def cancel(self, order: Order, hits: Hits = NO_HITS) -> None:
        "Asks for the cancel; the order may still fill on its way."
        if order.terminal or order.cancel_stuck or hits.take("cancel_ignored", order=order.id) is not None:
            return
        stuck = hits.take("stuck_cancel", order=order.id)
        slow = hits.take("slow_cancel", order=order.id) or {"seconds": self.settings.cancel_seconds}
        self.to(order, "CancelPending")
        if stuck is None:
            return self.later(slow["seconds"], lambda: self._cancelled(order))
        order.cancel_stuck, order.inert = True, order.inert or not stuck["fills"]

    def _cancelled(self, order: Order) -> None:
        if not order.terminal:
            self.to(order, "Cancelled")

    def drop(self, order: Order) -> None:
        "Cancelled at once, whatever faults hold it: by hand, by the exchange."
        self._cancelled(order)

    def change(self, order: Order, wanted: dict[str, Any], hits: Hits = NO_HITS) -> None:
        "`wanted` holds any of quantity, limit_price, stop_price."
        if order.terminal:
            return  # its fill is not heard of yet: the change comes too late
        if wanted.get("quantity", order.quantity) <= order.filled:
            raise Refusal(f"Quantity must be above the {order.filled} already filled")
        if hits.take("change_ignored", order=order.id) is not None:
            return
        stuck = hits.take("stuck_change", order=order.id)
        self.to(order, "ChangePending")
        if stuck is None or stuck["applies"]:
            self.later(self.settings.change_seconds, lambda: self._changed(order, wanted, stuck is not None))

    def _changed(self, order: Order, wanted: dict[str, Any], stuck: bool) -> None:
        if order.terminal:
            return
        for key, value in wanted.items():
            setattr(order, key, value)
        self.log.note("note", what="changed", order=order.id, **wanted)
        if not stuck and order.state == "ChangePending":
            self.to(order, self.resting_state(order))
        self.on_rest(order)

    # fills
    def execute(self, order: Order, price: float) -> None:
        "Fills what remains at `price` (points), as its faults have it."
        if (slow := order.quirks.pop("slow_fill", None)) is not None:
            order.inert = True
            self.later(slow["seconds"], lambda: self._resume(order, price))
            return
        if (part := order.quirks.pop("partial_fill", None)) is None or order.remaining < 2:
            self.fill(order, order.remaining + order.quirks.pop("overfill", {"extra": 0})["extra"], price)
            return
        order.inert = True
        self.fill(order, min(part["first"], order.remaining - 1), price)
        if part["seconds"] is not None:
            self.later(part["seconds"], lambda: self._resume(order, price))

    def _resume(self, order: Order, price: float) -> None:
        order.inert = False
        if not order.terminal:
            self.execute(order, self.price_later(order, price))

    def fill(self, order: Order, quantity: int, price: float) -> Execution:
        "`quantity` contracts at `price`: execution, position, order, siblings."
        position = self.positions.setdefault(
            (order.account, order.instrument), Position(order.account, order.instrument)
        )
        position.apply(order.sign * quantity, price, self.instruments.product(order.instrument).point_value)
        order.average_fill = (order.average_fill * order.filled + price * quantity) / (order.filled + quantity)
        order.filled += quantity
        execution = Execution(
            self.new_id(), order, price, quantity, self.now(), position.quantity, self.settings.fee * quantity
        )
        self._hide(execution)
        self.executions.append(execution)
        self.log.note(
            "fill",
            execution=execution.id,
            order=order.id,
            client_id=order.client_id,
            account=order.account,
            instrument=order.instrument,
            signed=order.sign * quantity,
            price=price,
            position=position.quantity,
        )
        self._after(order)
        return execution

    def _hide(self, execution: Execution) -> None:
        quirks = execution.order.quirks
        execution.listed = "fill_unlisted" not in quirks
        if "fill_late" in quirks:
            execution.shown_ns = execution.moment_ns + round(quirks["fill_late"]["seconds"] * SECOND)
            self._late.append(execution)

    def _after(self, order: Order) -> None:
        if not order.remaining:
            self.to(order, "Filled")
        elif order.state not in ("CancelPending", "ChangePending"):
            self.to(order, "PartFilled")
        if "oco_broken" not in order.quirks:
            self.later(self.settings.oco_seconds, lambda: self._siblings(order))
        self.on_fill(order)

    def _siblings(self, order: Order) -> None:
        rule = "cancel" if not order.remaining else self.settings.oco_on_partial
        if rule == "cancel":
            self._cancel_legs(order)
        if rule == "reduce":
            for leg in self.group(order):
                self._changed(leg, {"quantity": max(leg.filled + 1, order.remaining)}, stuck=True)

    def _cancel_legs(self, order: Order) -> None:
        for leg in self.group(order):
            self.to(leg, "CancelPending")
            self._cancelled(leg)
