"What the add-on does with a command: place, cancel, close, flatten, reverse, bracket."

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from futures_algo.chaos import orderform as form
from futures_algo.chaos.book import Book
from futures_algo.chaos.faults import Hits
from futures_algo.chaos.records import Order, Position, Refusal
from futures_algo.chaos.shapes import Shapes

Body = dict[str, Any]
ENDED = "Order linked to '{}' not found or already terminal."  # stable by the reference


@dataclass
class Wait:
    "The command goes on with `then` when `ready`, or after `seconds` of the clock."

    ready: Callable[[], bool]
    seconds: float
    then: Callable[[], Any]


class Desk:
    "Commands of one request; each holds the book's lock while it runs. Bodies answered are flat, as documented."

    def __init__(self, book: Book, shapes: Shapes) -> None:
        self.book = book
        self.settings = book.settings
        self.shapes = shapes
        self.dated = book.instruments.dated

    # placing
    def place(self, account: str, body: Body, hits: Hits) -> Body:
        order = self._checked(account, body)
        if order.client_id and self.book.named(order.client_id) and self.settings.duplicate_id != "accept":
            return self._duplicate(order)
        self.book.submit(order, hits)
        return self._placed(order)

    def _checked(self, account: str, body: Body) -> Order:
        order = form.read_order(body, self.book.account(account).name, self.dated)
        if order.oco_id in self.book._burned and self.settings.oco_reuse == "refuse":
            raise Refusal(f"OCO ID '{order.oco_id}' cannot be reused")
        self._require_position(order, body)
        self._require_room(order, body)
        return order

    def _duplicate(self, order: Order) -> Body:
        if self.settings.duplicate_id == "refuse":
            raise Refusal(f"Order ID '{order.client_id}' already in use")
        order.inert = True
        self.book.submit(order)
        self.book.reject(order, f"Order ID '{order.client_id}' already in use")
        return self._placed(order)

    def _placed(self, order: Order) -> Body:
        custom = self.settings.answer_id == "custom" and order.client_id
        return {"orderId": order.client_id if custom else order.id, "success": True}

    def _require_position(self, order: Order, body: Body) -> None:
        wanted = form.text(body, "requireMarketPosition")
        if wanted is None or not self.settings.honour_require_position:
            return
        held = self._side(self.position(order.account, order.instrument).quantity)
        if held.lower() not in {word.strip().lower() for word in wanted.split(",")}:
            raise Refusal(f"Market position {held} does not meet requirement '{wanted}'")

    def _require_room(self, order: Order, body: Body) -> None:
        if body.get("maxPositions") is None or not self.settings.honour_max_positions:
            return
        most = form.quantity(body, "maxPositions")
        opening = self.position(order.account, order.instrument).quantity == 0
        if opening and len(self.open_positions(order.account)) >= most:
            raise Refusal(f"Maximum of {most} open positions reached")

    def flatplace(self, account: str, body: Body, hits: Hits) -> Wait:
        "Cancels and closes the instrument, waits for flat, then places."
        order = self._checked(account, body)
        self._close_out(order.account, order.instrument, hits)
        return self._when_flat(order, hits)

    def _when_flat(self, order: Order, hits: Hits) -> Wait:
        def place() -> Body:
            self.book.submit(order, hits)
            return self._placed(order)

        return Wait(lambda: not self.position(order.account, order.instrument).quantity, self.settings.flat_wait, place)

    def replace(self, account: str, ref: str, body: Body, hits: Hits) -> Body:
        new = self._checked(account, body)
        self._cancel_one(account, ref, hits)
        self.book.submit(new, hits)
        return self._placed(new)

    # cancel and change
    def cancel(self, account: str, ref: str, hits: Hits) -> Body:
        self._cancel_one(account, ref, hits)
        return {"orderId": ref, "success": True}

    def _cancel_one(self, account: str, ref: str, hits: Hits) -> None:
        for order in self._open_named(account, ref):
            self.book.cancel(order, hits)

    def _open_named(self, account: str, ref: str) -> list[Order]:
        name = self.book.account(account).name
        found = [order for order in self.book.named(ref) if order.account == name]
        live = [order for order in found if not self.book.shown_ended(order)]
        if not live:
            raise Refusal(ENDED.format(ref))
        return live

    def cancel_orders(self, account: str | None, body: Body, hits: Hits) -> Body:
        "Every working order of the account (None: of all accounts), or of one instrument."
        name = None if account is None else self.book.account(account).name
        wanted = form.instrument(body, self.dated) if body.get("instrument") else None
        orders = self.book.working(name, wanted)
        for order in orders:
            self.book.cancel(order, hits)
        return {"orderIds": [order.id for order in orders], "success": True}

    def change(self, account: str, ref: str, body: Body, hits: Hits) -> Body:
        order = self._open_named(account, ref)[-1]
        self.book.change(order, form.changes(body), hits)
        return {"orderId": ref, "success": True}

    # closing
    def position(self, account: str, instrument: str) -> Position:
        "As the add-on decides on it."
        if self.settings.decide_on_shown:
            return self.book.shown_position(account, instrument)
        return self.book.positions.get((account, instrument), Position(account, instrument))

    def open_positions(self, account: str | None = None) -> list[Position]:
        held = [self.position(*key) for key in self.book.positions if account in (None, key[0])]
        return [position for position in held if position.quantity]

    @staticmethod
    def _side(signed: int) -> str:
        if signed == 0:
            return "Flat"
        return "Long" if signed > 0 else "Short"

    def market(self, account: str, instrument: str, signed: int, hits: Hits, name: str) -> Order:
        action = "Buy" if signed > 0 else "Sell"
        return self.book.submit(
            Order(0, "", None, account, instrument, action, "Market", abs(signed), tif="Gtc", name=name), hits
        )

    def close(self, account: str, body: Body, hits: Hits) -> Body:
        "At most the open size; a close with quantity or percent leaves the working orders alone."
        name, instrument = self.book.account(account).name, form.instrument(body, self.dated)
        held = self.position(name, instrument)
        if not held.quantity:
            raise Refusal(f"No positions found for instrument '{body['instrument']}'")
        row = self.shapes.position(held)
        size = form.share(body, abs(held.quantity))
        if self.settings.full_close_cancels and body.get("quantity") is None and body.get("percent") is None:
            self.cancel_orders(name, {"instrument": instrument}, hits)
        self.market(name, instrument, -size if held.quantity > 0 else size, hits, "Close")
        return {"closedPositions": [row], "success": True}

    def _close_out(self, account: str, instrument: str, hits: Hits) -> None:
        for order in self.book.working(account, instrument):
            self.book.cancel(order, hits)
        if size := self.position(account, instrument).quantity:
            self.market(account, instrument, -size, hits, "Close")

    def flatten(self, account: str, body: Body, hits: Hits) -> Body:
        "One account: its positions and their orders, or one instrument's."
        name = self.book.account(account).name
        wanted = form.instrument(body, self.dated) if body.get("instrument") else None
        rows = self._flatten(name, wanted, None, hits)
        if self.settings.flatten_all_orders:
            self.cancel_orders(name, {"instrument": wanted} if wanted else {}, hits)
        return {"closedPositions": rows, "success": True} | ({} if rows else {"warning": "No open positions"})

    def _flatten(self, account: str | None, instrument: str | None, side: str | None, hits: Hits) -> list[Body]:
        held = [p for p in self.open_positions(account) if instrument in (None, p.instrument)]
        held = [p for p in held if side is None or self._side(p.quantity).lower() == side]
        rows = [self.shapes.position(p) for p in held]
        for position in held:
            self._close_out(position.account, position.instrument, hits)
        return rows

    def flatten_everything(self, body: Body, hits: Hits) -> Body:
        "An empty body flattens every position and cancels every order of every account."
        account = form.text(body, "account")
        name = self.book.account(account).name if account else None
        wanted = form.instrument(body, self.dated) if body.get("instrument") else None
        side = body.get("marketPosition")
        if side is not None and str(side).lower() not in ("long", "short"):
            raise Refusal(f"Invalid request: marketPosition {side!r}")
        filtered = bool(account or wanted or side)
        before = len(self.book.orders)
        cancelled = [] if filtered else self.cancel_orders(None, {}, hits)["orderIds"]
        rows = self._flatten(name, wanted, None if side is None else str(side).lower(), hits)
        return {
            "orderIds": cancelled + [one.id for one in self.book.orders[before:]],
            "closedPositions": rows,
            "success": True,
        }

    def reverse(self, account: str, body: Body, hits: Hits) -> Body:
        name, instrument = self.book.account(account).name, form.instrument(body, self.dated)
        size = self.position(name, instrument).quantity
        if not size:
            error = f"No position found for instrument '{body['instrument']}' in account '{account}'"
            raise Refusal(error)
        return self._placed(self.market(name, instrument, -2 * size, hits, "Reverse"))

    def reverse_position(self, account: str, body: Body, hits: Hits) -> Wait:
        "Closes, waits for flat up to the flat wait, then places the new order anyway."
        order = self._checked(account, body)
        self._close_out(order.account, order.instrument, hits)
        return self._when_flat(order, hits)
