"The REST surface of a paper broker: each documented route, its answer and its refusals."

import bisect
import math
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from futures_algo.core.contracts import Contract
from futures_algo.core.named import did_you_mean
from futures_algo.core.types import SECOND
from futures_algo.sim.books import Books
from futures_algo.sim.httpd import Request
from futures_algo.sim.ledger import Holding, PaperAccount, PaperOrder, Refusal, invalid
from futures_algo.sim.matching import AT
from futures_algo.sim.rows import (
    account_row,
    event_row,
    execution_row,
    info_row,
    order_row,
    position_row,
    quote_row,
    shown_id,
    stamp,
)

Handler = Callable[..., Any]
_ROUTES: list[tuple[str, re.Pattern, str, Handler]] = []
LONGEST_LOOKBACK = 900  # seconds


def route(method: str, path: str) -> Callable[[Handler], Handler]:
    "Register a handler; `{name}` in the path becomes an argument."
    pattern = re.compile("^" + re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path) + "$")

    def register(handler: Handler) -> Handler:
        _ROUTES.append((method, pattern, path, handler))
        return handler

    return register


def dispatch(books: Books, request: Request) -> Any:
    "The payload of a request; raises `Refusal` for every no."
    path = re.sub(r"^/v1/api", "", request.path) or "/"
    if request.body is None or not isinstance(request.body, Mapping):
        raise invalid("Invalid request")
    for method, pattern, _, handler in _ROUTES:
        if method != request.method or not (match := pattern.match(path)):
            continue
        arguments: dict[str, Any] = {name: unquote(text) for name, text in match.groupdict().items()}
        if "account" in arguments:
            arguments["account"] = books.account(arguments["account"])
        return handler(books, request, **arguments)
    raise Refusal(
        404,
        success=False,
        error="not_found",
        did_you_mean=did_you_mean(path, sorted({known for _, _, known, _ in _ROUTES})),
    )


# accounts


@route("GET", "/accounts")
def list_accounts(books: Books, request: Request) -> Any:
    rows = [account_row(books, account) for account in books.accounts.values()]
    if books.variants.accounts == "names":
        return {"accounts": [row["name"] for row in rows]}
    return rows if books.variants.accounts == "list" else {"accounts": rows, "success": True}


@route("GET", "/accounts/snapshot")
def snapshot(books: Books, request: Request) -> Any:
    now, rows = books.clock.now(), []
    for account in books.accounts.values():
        inner = account_row(books, account) | {"type": "NinjaTrader.Cbi.Account", "isAccountFlat": not account.open()}
        rows.append({"account": inner, "positions": _positions(books, account, False)})
    return {"type": "snapshot", "timestamp": stamp(now), "epoch": now // 1_000_000, "accounts": rows}


@route("GET", "/accounts/{account}")
def get_account(books: Books, request: Request, account: PaperAccount) -> Any:
    return account_row(books, account) | {"success": True}


@route("GET", "/accounts/{account}/watermarks")
def watermarks(books: Books, request: Request, account: PaperAccount) -> Any:
    return {"success": True, "data": {"account": account.name, "watermarks": {}, "stats": {}}}


# positions


def _positions(books: Books, account: PaperAccount, include_flat: bool) -> list[dict]:
    holdings = account.holdings if include_flat else account.open()
    return [position_row(books, account, name, held) for name, held in holdings.items()]


def _wants_flat(request: Request) -> bool:
    return request.query.get("includeFlat", "false").lower() == "true"


@route("GET", "/accounts/{account}/positions")
def list_positions(books: Books, request: Request, account: PaperAccount) -> Any:
    return {"positions": _positions(books, account, _wants_flat(request)), "success": True}


@route("GET", "/positions")
def all_positions(books: Books, request: Request) -> Any:
    rows = [row for account in books.accounts.values() for row in _positions(books, account, _wants_flat(request))]
    return {"positions": rows, "count": len(rows), "success": True}


@route("GET", "/accounts/{account}/position")
def get_position(books: Books, request: Request, account: PaperAccount) -> Any:
    name = books.instrument(request.query.get("instrument"))
    held = account.open().get(name)
    if held is None and books.variants.flat_position == "refuse":
        raise Refusal(
            books.variants.not_found, error=f"No position found for instrument '{name}' in account '{account.name}'"
        )
    return position_row(books, account, name, held or Holding()) | {"success": True}


@route("POST", "/accounts/{account}/positions/close")
def close_position(books: Books, request: Request, account: PaperAccount) -> Any:
    text = request.body.get("instrument")
    name = books.instrument(text)
    if not (held := account.open().get(name)):
        raise invalid(f"No positions found for instrument '{text}'")
    size, quantity, percent = abs(held.quantity), request.body.get("quantity"), request.body.get("percent")
    if quantity is None:
        quantity = size if percent is None else math.ceil(size * percent - 1e-9)
    row = position_row(books, account, name, held)
    if min(quantity, size) == size:
        books.cancel_many(account, name)
    books.close(account, name, min(quantity, size))
    return {"closedPositions": [row], "success": True}


def _flatten(
    books: Books, accounts: list[PaperAccount], instrument: str | None, side: str | None = None
) -> tuple[list[dict], list[str]]:
    "Cancel orders and close holdings; the rows show the holdings as they were."
    rows, orders = [], []
    for account in accounts:
        orders += [shown_id(order, books.variants) for order in books.cancel_many(account, instrument)]
        for name, held in list(account.open().items()):
            if instrument not in (None, name) or side not in (None, "long" if held.quantity > 0 else "short"):
                continue
            rows.append(position_row(books, account, name, held))
            books.close(account, name, abs(held.quantity))
    return rows, orders


@route("POST", "/accounts/{account}/positions/flatten")
def flatten(books: Books, request: Request, account: PaperAccount) -> Any:
    text = request.body.get("instrument")
    rows, _ = _flatten(books, [account], None if text is None else books.instrument(text))
    return {"closedPositions": rows, "success": True} | ({} if rows else {"warning": "No open positions"})


@route("POST", "/positions/flatten")
def flatten_everything(books: Books, request: Request) -> Any:
    text, name = request.body.get("instrument"), request.body.get("account")
    accounts = [books.account(name)] if name else list(books.accounts.values())
    rows, orders = _flatten(
        books, accounts, None if text is None else books.instrument(text), request.body.get("marketPosition")
    )
    return {"orderIds": orders, "closedPositions": rows, "success": True}


@route("POST", "/accounts/{account}/positions/reverse")
def reverse(books: Books, request: Request, account: PaperAccount) -> Any:
    text = request.body.get("instrument")
    name = books.instrument(text)
    asked = unquote(request.path.split("/accounts/")[1].split("/")[0])
    if not (held := account.open().get(name)):
        raise invalid(f"No position found for instrument '{text}' in account '{asked}'")
    books.cancel_many(account, name)
    return _placed(
        books, books.trade(account, name, "SELL" if held.quantity > 0 else "BUY", 2 * abs(held.quantity), "Reverse")
    )


@route("POST", "/accounts/{account}/positions/reverseposition")
@route("POST", "/accounts/{account}/orders/flatplace")
def flat_place(books: Books, request: Request, account: PaperAccount) -> Any:
    books.read_order(account, request.body, books.clock.now())
    _flatten(books, [account], books.instrument(request.body.get("instrument")))
    return _placed(books, books.place(account, request.body, "FlatPlace"))


# orders


def _placed(books: Books, order: PaperOrder) -> dict[str, Any]:
    return {"orderId": shown_id(order, books.variants), "success": True}


def _order(books: Books, order_id: str, account: PaperAccount) -> PaperOrder:
    order = books.find(order_id)
    if order is None or order.account != account.name:
        raise Refusal(books.variants.not_found, success=False, error=f"Order '{order_id}' not found")
    return order


@route("GET", "/accounts/{account}/orders")
def list_orders(books: Books, request: Request, account: PaperAccount) -> Any:
    only_active = request.query.get("activeOnly", "true").lower() == "true"
    rows = [
        order_row(order, books.variants)
        for order in books.orders.values()
        if order.account == account.name and (order.is_active or not only_active)
    ]
    return {"orders": rows, "success": True}


@route("GET", "/orders")
def all_orders(books: Books, request: Request) -> Any:
    return {"orders": [order_row(order, books.variants) for order in books.orders.values()], "success": True}


@route("GET", "/accounts/{account}/orders/{order_id}")
def get_order(books: Books, request: Request, account: PaperAccount, order_id: str) -> Any:
    row = order_row(_order(books, order_id, account), books.variants)
    return {"order": row, "success": True} if books.variants.single_order == "wrapped" else row


@route("GET", "/accounts/{account}/orders/{order_id}/status")
def get_status(books: Books, request: Request, account: PaperAccount, order_id: str) -> Any:
    state = _order(books, order_id, account).state
    return {"status": state.lower() if books.variants.lower_states else state, "success": True}


@route("GET", "/accounts/{account}/orders/{order_id}/lifecycle")
def get_lifecycle(books: Books, request: Request, account: PaperAccount, order_id: str) -> Any:
    order = books.find(order_id, in_lifecycle=True)
    events = order.events if order else books.attempts.get(order_id)
    if events is None:
        raise Refusal(books.variants.not_found, success=False, error=f"Order '{order_id}' not found")
    native, given = (order.order_id, order.given_id) if order else (order_id, order_id)
    rows = [event_row(event, native, books.variants) for event in events[: int(request.query.get("limit", 200))]]
    return {
        "success": True,
        "orderId": native,
        "originalOrderId": given or native,
        "account": order.account if order else account.name,
        "count": len(rows),
        "events": rows,
    }


@route("POST", "/accounts/{account}/orders/place")
def place(books: Books, request: Request, account: PaperAccount) -> Any:
    return _placed(books, books.place(account, request.body))


@route("POST", "/accounts/{account}/orders/{order_id}/replace")
def replace(books: Books, request: Request, account: PaperAccount, order_id: str) -> Any:
    books.read_order(account, request.body, books.clock.now())
    books.cancel(order_id)
    return _placed(books, books.place(account, request.body, "CancelReplace"))


@route("PUT", "/accounts/{account}/orders/{order_id}/change")
def change(books: Books, request: Request, account: PaperAccount, order_id: str) -> Any:
    order, body = _order(books, order_id, account), request.body
    if not order.is_active:
        raise invalid(f"Order linked to '{order_id}' not found or already terminal.")
    if body.get("quantity") is not None and body["quantity"] < order.filled:
        raise invalid("Invalid request")
    order.quantity, order.limit, order.stop = (
        body.get("quantity") or order.quantity,
        body.get("limitPrice") or order.limit,
        body.get("stopPrice") or order.stop,
    )
    order.active_from = max(order.active_from, books.clock.now())  # bars that have passed did not see these prices
    for state in ("ChangePending", "ChangeSubmitted", "PartFilled" if order.filled else "Working"):
        order.log(books.clock.now(), "order_update", state, state)
    return _placed(books, order)


@route("POST", "/accounts/{account}/orders/{order_id}/cancel")
def cancel(books: Books, request: Request, account: PaperAccount, order_id: str) -> Any:
    return _placed(books, books.cancel(order_id))


@route("POST", "/accounts/{account}/orders/cancel")
def cancel_orders(books: Books, request: Request, account: PaperAccount) -> Any:
    text = request.body.get("instrument")
    ended = books.cancel_many(account, None if text is None else books.instrument(text))
    return {"orderIds": [shown_id(order, books.variants) for order in ended], "success": True}


@route("POST", "/orders/cancelall")
def cancel_all(books: Books, request: Request) -> Any:
    return {"orderIds": [shown_id(order, books.variants) for order in books.cancel_many(None, None)], "success": True}


@route("POST", "/accounts/{account}/orders/cancel_and_bracket")
def cancel_and_bracket(books: Books, request: Request, account: PaperAccount) -> Any:
    body, (profit, loss) = request.body, books.variants.bracket_names
    action, quantity, name = (
        str(body.get("action", "")).upper(),
        body.get("quantity"),
        books.instrument(body.get("instrument")),
    )
    if (
        action not in ("BUY", "SELL")
        or not isinstance(quantity, int)
        or quantity < 1
        or not (body.get(profit) or body.get(loss))
    ):
        raise invalid("Invalid request")
    books.cancel_many(account, name)
    held = account.held(name)
    side = PaperOrder("", account.name, name, action, 0, "MARKET", books.clock.now())
    made = books.bracket(
        side, min(quantity, abs(held)) if held else quantity, books.clock.now(), body.get(profit), body.get(loss)
    )
    return {"orderIds": [order.order_id for order in made], "success": True}


@route("GET", "/atm-templates")
def templates(books: Books, request: Request) -> Any:
    return {"templates": list(books.terms.templates), "success": True}


@route("POST", "/accounts/{account}/strategies/{strategy_id}/close")
def close_strategy(books: Books, request: Request, account: PaperAccount, strategy_id: str) -> Any:
    orders = [order for order in books.orders.values() if order.strategy_id == strategy_id]
    if not orders:
        raise Refusal(books.variants.not_found, success=False, error=f"Strategy '{strategy_id}' not found")
    for order in orders:
        if order.is_active:
            books.end(order, books.clock.now(), "CloseStrategy")
    open_size = sum(order.sign * order.filled for order in orders)
    if open_size:
        books.close(account, orders[0].instrument, min(abs(open_size), abs(account.held(orders[0].instrument))))
    return {"strategyId": strategy_id, "success": True}


# executions and market data


@route("GET", "/accounts/{account}/executions")
def list_executions(books: Books, request: Request, account: PaperAccount) -> Any:
    lookback = min(int(request.query.get("lookbackTime", 320)), LONGEST_LOOKBACK)
    since = books.clock.now() - lookback * SECOND
    recent = books.executions[bisect.bisect_left(books.executions, since, key=AT) :]
    rows = [
        execution_row(row, books.orders[row["order_id"]], books.variants)
        for row in recent
        if row["account"] == account.name
    ]
    return {"executions": rows, "success": True}


@route("GET", "/accounts/{account}/executions/{execution_id}")
def get_execution(books: Books, request: Request, account: PaperAccount, execution_id: str) -> Any:
    found = next((row for row in books.executions if row["id"] == execution_id), None)
    if found is None:
        raise Refusal(books.variants.not_found, success=False, error=f"Execution '{execution_id}' not found")
    return execution_row(found, books.orders[found["order_id"]], books.variants) | {"success": True}


@route("GET", "/market/quote")
def quote(books: Books, request: Request) -> Any:
    rows = [quote_row(books, books.instrument(text.strip())) for text in request.query.get("instrument", "").split(",")]
    return rows[0] if len(rows) == 1 else rows


@route("GET", "/market/info")
def info(books: Books, request: Request) -> Any:
    return info_row(books, books.instrument(request.query.get("instrument", "ES")))


@route("POST", "/market/bars")
def bars(books: Books, request: Request) -> Any:
    body, now = request.body, books.clock.now()
    name = books.instrument(body.get("instrument"))
    kind, period = body.get("periodType", "minute"), body.get("period", 1)
    if kind not in ("minute", "day", "week", "month", "year"):
        raise invalid("Invalid request")
    since = now - body.get("daysBack", 1) * 86_400 * SECOND
    known = [bar for bar in books.tape(name).prints if since <= bar.start and bar.end <= now][
        -body.get("limit", 5000) :
    ]
    rows = [
        {
            "time": stamp(bar.end),
            "epoch": bar.end // 1_000_000,
            "open": bar.open,
            "high": bar.high,
            "low": bar.low,
            "close": bar.close,
            "volume": bar.volume,
        }
        for bar in known
    ]
    return {
        "instrument": Contract.parse(name).ninjatrader,
        "periodType": kind,
        "period": period,
        "count": len(rows),
        "bars": rows,
    }
