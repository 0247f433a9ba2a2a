"Endpoints: method and path to the add-on's command, with the answers the reference documents."

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from futures_algo.chaos.book import Book
from futures_algo.chaos.bracket import Brackets
from futures_algo.chaos.catalogue import PLACING
from futures_algo.chaos.clock import SECOND
from futures_algo.chaos.desk import Desk
from futures_algo.chaos.endpoints import TABLE
from futures_algo.chaos.faults import Hits
from futures_algo.chaos.instruments import UnknownInstrument
from futures_algo.chaos.records import Execution, Order, Refusal, Request
from futures_algo.chaos.shapes import Row, Shapes


class Routes:
    "One method an endpoint, by name; a dict, a list or a `Wait` comes back, or `Refusal` is raised."

    def __init__(self, book: Book, desk: Desk, brackets: Brackets, shapes: Shapes) -> None:
        self.book = book
        self.desk = desk
        self.brackets = brackets
        self.shapes = shapes
        self.settings = book.settings
        self.attempts: dict[str, list[tuple[int, str]]] = defaultdict(list)  # the caller's id -> (ns, command), durable

    def run(self, request: Request, hits: Hits) -> Any:
        "Does what the request asks; the caller holds the book's lock."
        body = request.json if isinstance(request.json, dict) else {}
        self._record(request, body)
        handler: Callable[[Request, dict[str, Any], Hits], Any] = getattr(self, "do_" + request.rpc)
        return handler(request, body, hits)

    def _record(self, request: Request, body: dict[str, Any]) -> None:
        mine = body.get("orderId")
        if request.rpc in PLACING | {"ReversePosition"} and isinstance(mine, str) and mine:
            self.attempts[mine].append((self.book.now(), request.rpc))

    # commands
    def do_PlaceOrder(self, q, body, hits):
        return self.desk.place(q.parts["account"], body, hits)

    def do_FlatPlace(self, q, body, hits):
        return self.desk.flatplace(q.parts["account"], body, hits)

    def do_CancelReplace(self, q, body, hits):
        return self.desk.replace(q.parts["account"], q.parts["order"], body, hits)

    def do_Change(self, q, body, hits):
        return self.desk.change(q.parts["account"], q.parts["order"], body, hits)

    def do_Cancel(self, q, body, hits):
        return self.desk.cancel(q.parts["account"], q.parts["order"], hits)

    def do_CancelOrders(self, q, body, hits):
        return self.desk.cancel_orders(q.parts["account"], body, hits)

    def do_CancelAllOrders(self, q, body, hits):
        return self.desk.cancel_orders(None, body, hits)

    def do_CancelAndBracket(self, q, body, hits):
        return self.brackets.cancel_and_bracket(q.parts["account"], body, hits)

    def do_ClosePosition(self, q, body, hits):
        return self.desk.close(q.parts["account"], body, hits)

    def do_Flatten(self, q, body, hits):
        return self.desk.flatten(q.parts["account"], body, hits)

    def do_FlattenEverything(self, q, body, hits):
        return self.desk.flatten_everything(body, hits)

    def do_Reverse(self, q, body, hits):
        return self.desk.reverse(q.parts["account"], body, hits)

    def do_ReversePosition(self, q, body, hits):
        return self.desk.reverse_position(q.parts["account"], body, hits)

    # accounts and positions
    def do_ListAccounts(self, q, body, hits):
        rows = [self.shapes.account(account) for account in self.book.accounts.values()]
        return rows if self.settings.accounts_bare else {"accounts": rows, "success": True}

    def do_GetAccount(self, q, body, hits):
        return self.shapes.account(self.book.account(q.parts["account"])) | {"success": True}

    def do_GetAccountSummary(self, q, body, hits):
        now = self.book.now()
        rows = [self._snapshot(name) for name in self.book.accounts]
        return {
            "type": "snapshot",
            "timestamp": self.shapes.utc(now),
            "epoch": now // 1_000_000,
            "accounts": rows,
            "success": True,
        }

    def _snapshot(self, name: str) -> Row:
        account, held = self.book.accounts[name], self._positions(self.book.accounts[name].name, False)
        row = self.shapes.account(account) | {"type": "NinjaTrader.Cbi.Account", "isAccountFlat": not held}
        return {"account": row, "positions": held}

    def do_GetWatermarks(self, q, body, hits):
        name = self.book.account(q.parts["account"]).name
        return {"success": True, "data": {"account": name, "watermarks": {}, "stats": {}}}

    def _positions(self, account: str | None, flat: bool) -> list[Row]:
        held = [self.book.shown_position(*key) for key in self.book.positions if account in (None, key[0])]
        return [self.shapes.position(position) for position in held if position.quantity or flat]

    def do_ListPositions(self, q, body, hits):
        rows = self._positions(self.book.account(q.parts["account"]).name, truth(q, "includeFlat", False))
        return {"positions": rows, "success": True}

    def do_GetAllPositions(self, q, body, hits):
        rows = self._positions(None, truth(q, "includeFlat", False))
        return {"positions": rows, "count": len(rows), "success": True}

    def do_GetPosition(self, q, body, hits):
        account, instrument = self.book.account(q.parts["account"]), self._instrument(q)
        held = self.book.shown_position(account.name, instrument)
        if not held.quantity and self.settings.flat_position == "refuse":
            error = f"No position found for instrument '{instrument}' in account '{q.parts['account']}'"
            raise Refusal(error, self.settings.not_found_status)
        return self.shapes.position(held) | {"success": True}

    def _instrument(self, q: Request, default: str | None = None) -> str:
        given = q.query.get("instrument") or default
        if not given:
            raise Refusal("Missing required parameter: instrument")
        return self._dated(given)

    def _dated(self, given: str) -> str:
        try:
            return self.book.instruments.dated(given)
        except UnknownInstrument as error:
            raise Refusal(str(error)) from error

    # orders
    def _orders(self, account: str | None, q: Request) -> Row:
        active = truth(q, "activeOnly", False)
        seen = [one for one in self.book.orders if one.shown and account in (None, one.account)]
        rows = [self.shapes.order(one) for one in seen if not (active and self.book.shown_ended(one))]
        return {"orders": rows, "success": True}

    def do_ListOrders(self, q, body, hits):
        return self._orders(self.book.account(q.parts["account"]).name, q)

    def do_GetAllOrders(self, q, body, hits):
        return self._orders(None, q)

    def _order(self, q: Request) -> Order:
        account = self.book.account(q.parts["account"]).name
        found = [order for order in self.book.named(q.parts["order"]) if order.account == account]
        if not found:
            raise Refusal(f"Order '{q.parts['order']}' not found", self.settings.not_found_status)
        return found[-1]

    def do_GetOrder(self, q, body, hits):
        row = self.shapes.order(self._order(q))
        return {"order": row, "success": True} if self.settings.single_wrapped else row | {"success": True}

    def do_GetOrderStatus(self, q, body, hits):
        return {"status": self.book.shown_fill(self._order(q))[0], "success": True}

    def do_GetOrderLifecycle(self, q, body, hits):
        "By either id; the account in the path is no filter."
        ref = q.parts["order"]
        orders = self.book.named(ref)
        mine = next((order.client_id for order in orders if order.client_id), ref)
        events = [self._received(ns, rpc, mine) for ns, rpc in self.attempts.get(mine, ())]
        events += [
            self._stated(order, ns, state) for order in orders for ns, state in order.states if self._told(order, state)
        ]
        if not events:
            raise Refusal(f"No lifecycle found for order '{ref}'", self.settings.not_found_status)
        limit = min(2000, max(1, whole(q, "limit", 200)))
        events = sorted(events, key=lambda one: one["epoch"])[:limit]
        if truth(q, "includeFills", True) and len(events) < limit:
            events = sorted(events + self._filled(orders), key=lambda one: one["epoch"])[:limit]
        last = orders[-1] if orders else None
        return {
            "success": True,
            "orderId": last.id if last else None,
            "originalOrderId": mine if mine != (last and last.id) else None,
            "account": last.account if last else q.parts["account"],
            "count": len(events),
            "events": events,
        }

    def _told(self, order: Order, state: str) -> bool:
        "A fill not yet heard of shows no filled state."
        return state not in ("Filled", "PartFilled") or self.book.shown_fill(order)[1] == order.filled

    def _event(self, ns: int, source: str, event: str, state: str | None, ref: str) -> Row:
        return {
            "timestamp": self.shapes.utc(ns),
            "epoch": ns / 1e6,
            "source": source,
            "event": event,
            "orderState": state,
            "orderId": ref,
        }

    def _received(self, ns: int, rpc: str, mine: str) -> Row:
        return self._event(ns, "api_received", rpc, None, mine)

    def _stated(self, order: Order, ns: int, state: str) -> Row:
        detail = {"detail": order.reason} if state == "Rejected" else {}
        return self._event(ns, "order_update", "OrderUpdate", state, order.id) | detail

    def _filled(self, orders: list[Order]) -> list[Row]:
        fills = [one for one in self.book.executions if one.order in orders and one.listed and self.book.heard(one)]
        return [
            self._event(one.moment_ns, "execution", "Execution", None, one.order.id)
            | {"executionId": one.id, "price": one.price, "quantity": one.quantity}
            for one in fills
        ]

    # executions
    def _executions(self, account: str) -> list[Execution]:
        return [
            one for one in self.book.executions if one.order.account == account and one.listed and self.book.heard(one)
        ]

    def do_ListExecutions(self, q, body, hits):
        account = self.book.account(q.parts["account"]).name
        back = min(900, max(0, whole(q, "lookbackTime", 320)))
        since = self.book.now() - back * SECOND
        rows = [self.shapes.execution(one) for one in self._executions(account) if one.moment_ns >= since]
        return {"executions": rows, "success": True}

    def do_GetExecution(self, q, body, hits):
        found = [
            one
            for one in self._executions(self.book.account(q.parts["account"]).name)
            if one.id == q.parts["execution"]
        ]
        if not found:
            raise Refusal(f"Execution '{q.parts['execution']}' not found", self.settings.not_found_status)
        return self.shapes.execution(found[0]) | {"success": True}

    # market and the rest
    def do_GetQuote(self, q, body, hits):
        given = q.query.get("instrument", "")
        if "," in given:
            return [self.shapes.quote(self._dated(one)) for one in given.split(",") if one.strip()]
        return self.shapes.quote(self._instrument(q))

    def do_AccountQuote(self, q, body, hits):
        self.book.account(q.parts["account"])
        return self.shapes.quote(self._instrument(q)) | {"success": True}

    def do_MarketInfo(self, q, body, hits):
        return self.shapes.info(self._instrument(q, "ES"))

    def do_GetAtmTemplates(self, q, body, hits):
        return {"templates": sorted(self.brackets.templates), "success": True}

    def do_Endpoints(self, q, body, hits):
        return {"success": True, "endpoints": [{"api": name, "method": method} for name, method, _ in TABLE]}


def truth(request: Request, key: str, default: bool) -> bool:
    "A boolean of the query."
    given = request.query.get(key)
    return default if given is None else given.lower() in ("true", "1", "yes")


def whole(request: Request, key: str, default: int) -> int:
    "A whole number of the query; raises Refusal."
    given = request.query.get(key)
    if given is None:
        return default
    try:
        return int(given)
    except ValueError as error:
        raise Refusal(f"Invalid request: {key} {given!r}") from error
