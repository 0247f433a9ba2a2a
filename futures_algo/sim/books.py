"The books of a paper broker: accounts, orders, positions, executions, and how fills change them. No network here."

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from futures_algo.core.contracts import product, root_of
from futures_algo.core.types import Clock, InputError
from futures_algo.sim.faults import Fault, FaultPlan, Variants
from futures_algo.sim.fills import FillRules, PriceBook, Tape, instrument_name, point_value
from futures_algo.sim.ledger import ORDER_TYPES, Holding, PaperAccount, PaperOrder, Refusal, Terms, invalid
from futures_algo.sim.matching import AT, Matching


def side_of(held: int) -> str:
    "The word for contracts held: long, short or flat."
    if not held:
        return "flat"
    return "long" if held > 0 else "short"


class Books(Matching):
    "Everything a broker remembers."

    def __init__(
        self,
        prices: PriceBook,
        clock: Clock,
        accounts: Mapping[str, str],
        rules: FillRules,
        terms: Terms,
        variants: Variants,
        faults: FaultPlan,
    ):
        self.prices, self.clock, self.rules, self.terms, self.variants, self.faults = (
            prices,
            clock,
            rules,
            terms,
            variants,
            faults,
        )
        self.accounts = {name: PaperAccount(name, display, terms.start_cash) for name, display in accounts.items()}
        self.orders: dict[str, PaperOrder] = {}
        self.live: dict[str, PaperOrder] = {}  # those of `orders` that may still be active
        self.executions: list[dict] = []
        self.attempts: dict[str, list[dict]] = {}  # api_received of placements that were refused, by the client's id
        self.burned: set[str] = set()  # OCO ids whose group is over
        self.counter = 0

    # looking up

    def account(self, name: str) -> PaperAccount:
        "An account by its Name, in any case; a display name is not a name."
        for known, account in self.accounts.items():
            if known.lower() == name.lower():
                return account
        raise Refusal(
            self.variants.not_found, success=False, error="invalid_account", detail=f"Account {name} not found"
        )

    def instrument(self, text: Any) -> str:
        "NinjaTrader's name of whatever the client wrote."
        if not isinstance(text, str) or not text.strip():
            raise invalid("Invalid request")
        try:
            product(text)
            return (
                self.prices.front(root_of(text), self.clock.now())
                if root_of(text) == text.removesuffix("1!")
                else instrument_name(text, self.clock.now() or None)
            )
        except InputError:
            raise invalid(f"Instrument '{text}' not found") from None

    def find(self, order_id: str, in_lifecycle: bool = False) -> PaperOrder | None:
        "The newest order with that id, NinjaTrader's or, where it is kept, the client's."
        if found := self.orders.get(order_id):
            return found
        named = [
            order for order in self.orders.values() if order.given_id == order_id and (order.echoed or in_lifecycle)
        ]
        return named[-1] if named else None

    def tape(self, instrument: str) -> Tape:
        return self.prices.get(instrument) or Tape()

    def new_id(self) -> str:
        self.counter += 1
        return hashlib.blake2b(str(self.counter).encode(), digest_size=16).hexdigest()

    # placing

    def place(self, account: PaperAccount, fields: Mapping[str, Any], api: str = "PlaceOrder") -> PaperOrder:
        "Take an order from the client, or refuse it."
        given, now = str(fields.get("orderId") or ""), self.clock.now()
        self.attempts.setdefault(given, []).append(
            {"at": now, "source": "api_received", "event": api, "state": None, "filled": None, "average": None}
        )
        order = self.read_order(account, fields, now)
        self.check(account, order, fields)
        order.events = self.attempts.pop(given) if given else [self.attempts.pop("")[-1]]
        self.enter(account, order)
        return order

    def read_order(self, account: PaperAccount, fields: Mapping[str, Any], now: int) -> PaperOrder:
        "The order a body asks for; a body that makes no sense is refused."
        action, kind = str(fields.get("action", "")).upper(), str(fields.get("orderType", "")).upper()
        tif, quantity = str(fields.get("timeInForce", "")).upper(), fields.get("quantity")
        sound = (
            action in ("BUY", "SELL")
            and kind in ORDER_TYPES
            and tif in ("DAY", "GTC")
            and isinstance(quantity, int)
            and quantity > 0
        )
        limit, stop = (
            None if fields.get(name) is None else float(fields[name]) for name in ("limitPrice", "stopPrice")
        )
        if (
            not sound
            or not isinstance(quantity, int)
            or ("LIMIT" in kind and not limit)
            or (kind.startswith("STOP") and not stop)
        ):
            raise invalid("Invalid request")
        return PaperOrder(
            self.new_id(),
            account.name,
            self.instrument(fields.get("instrument")),
            action,
            quantity,
            kind,
            now,
            limit or 0.0,
            stop or 0.0,
            tif,
            str(fields.get("orderId") or ""),
            str(fields.get("ocoId") or ""),
            str(fields.get("strategy") or ""),
            active_from=now,
        )

    def check(self, account: PaperAccount, order: PaperOrder, fields: Mapping[str, Any]) -> None:
        "The add-on's own checks, each a 400 before anything is placed."
        wanted = [
            side.strip().lower() for side in str(fields.get("requireMarketPosition") or "").split(",") if side.strip()
        ]
        held = account.held(order.instrument)
        side = side_of(held)
        if wanted and side not in wanted:
            raise invalid(f"Order blocked: market position is {side}, required {','.join(wanted)}")
        limit = fields.get("maxPositions")
        if limit is not None and not held and len(account.open()) >= limit:
            raise invalid(f"Order blocked: account already has {len(account.open())} open positions (max {limit})")
        if order.template and order.template not in self.terms.templates:
            raise invalid(f"ATM strategy template '{order.template}' not found")
        if self.variants.duplicate_id == "refuse" and order.given_id and self.find(order.given_id, in_lifecycle=True):
            raise invalid(f"Order id '{order.given_id}' already used")
        if self.variants.oco_reuse == "refuse" and order.oco in self.burned:
            raise invalid(f"OCO id '{order.oco}' cannot be reused")
        if self.variants.margin_breach == "refuse" and self.lacks_margin(account, order):
            raise invalid("Insufficient margin")
        if not self.is_open(order.instrument):
            raise invalid(f"Market closed for '{order.instrument}'")

    def is_open(self, instrument: str) -> bool:
        "Whether orders are taken now, by the variant chosen."
        if self.variants.hours == "calendar":
            from futures_algo.core.sessions import SessionCalendar

            return SessionCalendar.of(instrument.split(" ")[0]).is_open(self.clock.now())
        return self.variants.hours == "always"

    def next_change(self, instrument: str) -> int | None:
        "When the market closes, or opens when it is closed; None without a calendar."
        if self.variants.hours != "calendar":
            return None
        from futures_algo.core.sessions import SessionCalendar

        calendar, now = SessionCalendar.of(instrument.split(" ")[0]), self.clock.now()
        return calendar.next_close(now) if calendar.is_open(now) else calendar.next_open(now)

    def enter(self, account: PaperAccount, order: PaperOrder) -> None:
        "Hand an order to the exchange: from here on it has states."
        self.orders[order.order_id] = self.live[order.order_id] = order
        self.script(order)
        order.log(order.placed, "order_update", "Submitted", "Submitted")
        if reason := self.rejection(account, order):
            return order.log(order.placed, "order_update", "Rejected", "Rejected", detail=reason)
        order.log(order.placed, "order_update", "Accepted", "Accepted")
        order.log(order.placed, "order_update", "Working", "Working")
        self.work(order)

    def script(self, order: PaperOrder) -> None:
        "Meet the faults that concern placements."
        order.echoed = self.variants.id_echo != "lost"
        if self.meets("id_not_echoed", order):
            order.echoed = False
        if fault := self.meets("partial", order):
            order.first_part = fault.quantity
        if self.variants.partial == "half":
            order.first_part = order.quantity // 2

    def meets(self, kind: str, order: PaperOrder) -> Fault | None:
        "The scripted fault of a kind that this order runs into, matched by the client's id."
        return self.faults.take((kind,), "POST", f"/orders/place/{order.given_id}")

    def rejection(self, account: PaperAccount, order: PaperOrder) -> str:
        "Why the exchange side rejects an order the add-on took, or nothing."
        if self.meets("reject_after_success", order):
            return "Rejected by the exchange"
        if self.variants.oco_reuse == "reject" and order.oco in self.burned:
            return f"OCO id '{order.oco}' cannot be reused"
        return "Insufficient margin" if self.lacks_margin(account, order) else ""

    def lacks_margin(self, account: PaperAccount, order: PaperOrder) -> bool:
        "Whether an order would take the account beyond its cash; a reduction never does."
        held = account.held(order.instrument)
        after = held + order.sign * order.quantity
        if abs(after) <= abs(held):
            return False
        others = {name: holding.quantity for name, holding in account.open().items() if name != order.instrument}
        return self.margin_of(others | {order.instrument: after}) > account.cash + self.unrealized(account)

    def margin_of(self, quantities: Mapping[str, int]) -> float:
        "Initial margin of holdings, USD."
        return sum(
            abs(n) * (self.mark(name) or 0.0) * point_value(name) * self.terms.margin for name, n in quantities.items()
        )

    def mark(self, instrument: str) -> float | None:
        return self.tape(instrument).last(self.clock.now())

    def unrealized(self, account: PaperAccount) -> float:
        "USD, at the last known prices."
        return sum(self.open_profit(name, held) for name, held in account.open().items())

    def open_profit(self, instrument: str, held: Holding) -> float:
        mark = self.mark(instrument)
        return 0.0 if mark is None else (mark - held.average) * held.quantity * point_value(instrument)

    # ending and changing

    def end(self, order: PaperOrder, at: int, why: str = "") -> None:
        "Cancel an order."
        order.log(at, "order_update", "CancelPending", "CancelPending")
        order.log(at, "order_update", "Cancelled", "Cancelled", detail=why)
        if order.oco:
            self.burned.add(order.oco)

    def cancel(self, order_id: str) -> PaperOrder:
        "Cancel one order; the text of the refusal is documented as stable."
        order = self.find(order_id)
        if order is None or not order.is_active:
            raise Refusal(400, error=f"Order linked to '{order_id}' not found or already terminal.")
        self.end(order, self.clock.now())
        return order

    def active(self, account: PaperAccount | None = None, instrument: str | None = None) -> list[PaperOrder]:
        "Orders not ended, of an account and instrument where given."
        return [
            order
            for order in self.live.values()
            if order.is_active
            and (account is None or order.account == account.name)
            and instrument in (None, order.instrument)
        ]

    def cancel_many(self, account: PaperAccount | None, instrument: str | None) -> list[PaperOrder]:
        ended = self.active(account, instrument)
        for order in ended:
            self.end(order, self.clock.now())
        return ended

    def trade(self, account: PaperAccount, instrument: str, action: str, quantity: int, name: str = "") -> PaperOrder:
        "A market order that did not come from the client: the user at the screen, or a close."
        now = self.clock.now()
        order = PaperOrder(
            self.new_id(),
            account.name,
            self.instrument(instrument),
            action.upper(),
            quantity,
            "MARKET",
            now,
            name=name,
            active_from=now,
        )
        self.enter(account, order)
        return order

    def close(self, account: PaperAccount, instrument: str, quantity: int) -> None:
        "Close so many contracts of a holding at the market."
        self.trade(account, instrument, "SELL" if account.held(instrument) > 0 else "BUY", quantity, "Close")

    # remembering

    def to_dict(self) -> dict[str, Any]:
        "Everything, as JSON-like content."
        return {
            "accounts": [asdict(account) for account in self.accounts.values()],
            "orders": [asdict(order) for order in self.orders.values()],
            "executions": self.executions,
            "attempts": self.attempts,
            "burned": sorted(self.burned),
            "counter": self.counter,
        }

    def restore(self, content: Mapping[str, Any]) -> None:
        "Take up what `to_dict` wrote."
        self.accounts = {
            row["name"]: PaperAccount(
                **row | {"holdings": {name: Holding(**held) for name, held in row["holdings"].items()}}
            )
            for row in content["accounts"]
        }
        self.orders = {row["order_id"]: PaperOrder(**row) for row in content["orders"]}
        self.live = {order_id: order for order_id, order in self.orders.items() if order.is_active}
        self.executions, self.attempts = sorted(content["executions"], key=AT), dict(content["attempts"])
        self.burned, self.counter = set(content["burned"]), content["counter"]
