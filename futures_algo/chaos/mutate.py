"Answers that read as JSON and say otherwise: each function changes a body, None where it finds nothing to change."

import hashlib
import random
from collections.abc import Callable
from typing import Any

from futures_algo.chaos.book import Book
from futures_algo.chaos.faults import Rule
from futures_algo.chaos.records import Request

Rows = list[Any]
Change = Callable[[Any, "Scene"], Any]
LIST_KEYS = ("orders", "positions", "executions", "accounts", "events", "closedPositions")
BAD_ROWS: dict[str, Any] = {
    "null": None,
    "number": 17,
    "text": "row",
    "list": [[], {}],
    "empty": {},
    "bad": {
        "id": {},
        "orderId": [],
        "account": 5,
        "instrument": None,
        "quantity": {"q": 1},
        "orderState": 3,
        "price": "x",
    },
}


class Scene:
    "What a change may look at: the rule, the request, the book, dice that fall alike each time."

    def __init__(self, rule: Rule, request: Request, book: Book) -> None:
        self.settings = rule.settings
        self.request = request
        self.book = book
        self.dice = random.Random(f"{rule.number}:{rule.used}")


def other_id(row_id: Any, salt: str) -> str:
    "A second id for the same thing, the same every time."
    return hashlib.sha256(f"{salt}:{row_id}".encode()).hexdigest()[:32]


def rows_of(body: Any) -> Rows | None:
    if isinstance(body, list):
        return body
    if not isinstance(body, dict):
        return None
    return next((body[key] for key in LIST_KEYS if isinstance(body.get(key), list)), None)


def all_rows(body: Any) -> list[dict[str, Any]]:
    "The rows of a list answer, or the single row; dicts only."
    rows = rows_of(body)
    if rows is None:
        wrapped = body.get("order") if isinstance(body, dict) else None
        rows = [wrapped if isinstance(wrapped, dict) else body]
    return [row for row in rows if isinstance(row, dict)]


def lone_surrogate(body: Any, scene: Scene) -> Any:
    if not isinstance(body, dict):
        return None
    return body | {"note": "\ud800 lone", "serverName": "\udfff"}


def odd_numbers(body: Any, scene: Scene) -> Any:
    given = scene.settings["value"]
    value = float(given) if isinstance(given, str) else given
    touched = False
    for row in all_rows(body):
        for key in ("quantity", "filled", "price", "averagePrice"):
            if key in row:
                row[key] = value
                touched = True
    return body if touched else None


def wrong_types(body: Any, scene: Scene) -> Any:
    how = scene.settings["how"]
    if how == "top":
        return [body]
    if how == "rows":
        return _rows_as_dict(body)
    make: dict[str, Callable[[Any], Any]] = {
        "text": lambda value: f"{value} ",
        "null": lambda value: None,
        "list": lambda value: [value],
        "bool": lambda value: True,
    }
    touched = False
    for row in all_rows(body):
        for key in [key for key in row if key not in ("success", "type") and not isinstance(row[key], list | dict)]:
            row[key] = make[how](row[key])
            touched = True
    return body if touched else None


def _rows_as_dict(body: Any) -> Any:
    if not isinstance(body, dict):
        return None
    key = next((key for key in LIST_KEYS if isinstance(body.get(key), list)), None)
    return None if key is None else body | {key: {str(number): row for number, row in enumerate(body[key])}}


def foreign_order_id(body: Any, scene: Scene) -> Any:
    "Another order's id where this one's belongs; a made-up one if there is no other."
    if not isinstance(body, dict):
        return None
    row = body["order"] if isinstance(body.get("order"), dict) else body
    keys = [key for key in ("orderId", "id") if isinstance(row.get(key), str)]
    own = {row[key] for key in keys} | {scene.request.parts.get("order")}
    others = [order.id for order in scene.book.orders if not own & {order.id, order.client_id}]
    new = scene.settings["id"] or (scene.dice.choice(others) if others else other_id(scene.request.number, "foreign"))
    for key in keys:
        row[key] = new
    return body if keys else None


def foreign_rows(body: Any, scene: Scene) -> Any:
    "A row of an account that is not asked for, on the same instrument, always under the same id."
    rows = rows_of(body)
    if rows is None:
        return None
    model = next((row for row in rows if isinstance(row, dict)), _model(scene.request.rpc))
    row = model | {"account": scene.settings["account"], "quantity": scene.settings["quantity"]}
    for key in ("id", "orderId"):
        if key in row:
            row[key] = other_id(row[key], "foreign")
    rows.append(row)
    return body


def _model(rpc: str) -> dict[str, Any]:
    "A row for an answer that has none."
    if "Position" in rpc:
        return {
            "type": "NinjaTrader.Cbi.Position",
            "instrument": "ES 03-26",
            "instrumentType": "Future",
            "marketPosition": "Long",
            "averagePrice": 6000.0,
            "marketPrice": 6000.0,
            "unrealizedProfitLoss": 0.0,
            "tag": None,
        }
    common = {
        "id": "f0",
        "orderId": "f1",
        "instrument": "ES 03-26",
        "instrumentType": "Future",
        "name": "",
        "epoch": 1_764_000_000_000,
    }
    if "Execution" in rpc:
        return common | {"type": "NinjaTrader.Cbi.Execution", "marketPosition": "Long", "price": 6000.0, "position": 7}
    return common | {
        "orderType": "Limit",
        "orderState": "Working",
        "orderAction": "Buy",
        "limitPrice": 6000.0,
        "stopPrice": 0.0,
        "filled": 0,
        "averageFillPrice": 0.0,
        "ocoId": "",
        "timeInForce": "Gtc",
    }


def unreadable_row(body: Any, scene: Scene) -> Any:
    rows = rows_of(body)
    if rows is None:
        return None
    rows.insert(scene.dice.randint(0, len(rows)), BAD_ROWS[scene.settings["how"]])
    return body


def executions_twice(body: Any, scene: Scene) -> Any:
    "Every execution a second time under another id, the same other id in every answer."
    rows = rows_of(body)
    if not rows:
        return None
    rows.extend([row | {"id": other_id(row["id"], "twice")} for row in list(rows) if isinstance(row, dict)])
    return body


def executions_beyond(body: Any, scene: Scene) -> Any:
    "One more execution of the last order than it had contracts, the same in every answer."
    rows = rows_of(body)
    if not rows or not isinstance(rows[-1], dict):
        return None
    last = rows[-1]
    rows.append(last | {"id": other_id(last["orderId"], "beyond"), "quantity": scene.settings["quantity"]})
    return body


def odd_times(body: Any, scene: Scene) -> Any:
    unit = scene.settings["unit"]
    scale: dict[str, Callable[[float], Any]] = {
        "us": lambda ms: int(ms * 1000),
        "ns": lambda ms: int(ms * 1_000_000),
        "s": lambda ms: ms / 1000,
        "past": lambda ms: 1,
        "text": lambda ms: f"{ms:.0f}",
        "future": lambda ms: int(ms + 4e12),
    }
    dated = [row for row in [*all_rows(body), *_events(body)] if "epoch" in row]
    for row in dated:
        row["epoch"] = scale[unit](row["epoch"])
        if unit == "past" and "time" in row:
            row["time"] = "0001-01-01T00:00:00.0000000"
    return body if dated else None


def _events(body: Any) -> list[dict[str, Any]]:
    events = body.get("events", []) if isinstance(body, dict) else []
    return [] if rows_of(body) is events else events


def empty_list(body: Any, scene: Scene) -> Any:
    rows = rows_of(body)
    if not rows:
        return None
    rows.clear()
    return body | {"count": 0} if isinstance(body, dict) and "count" in body else body


def missing_row(body: Any, scene: Scene) -> Any:
    "`which` counts as a list index does; an index past the end finds nothing."
    rows, which = rows_of(body), scene.settings["which"]
    if not rows or not -len(rows) <= which < len(rows):
        return None
    rows.pop(which)
    return body


def no_success(body: Any, scene: Scene) -> Any:
    if not isinstance(body, dict) or "success" not in body:
        return None
    value = scene.settings["value"]
    rest = {key: one for key, one in body.items() if key != "success"}
    return rest if value is None else rest | {"success": value}


CHANGES: dict[str, Change] = {
    change.__name__: change
    for change in (
        lone_surrogate,
        odd_numbers,
        wrong_types,
        foreign_order_id,
        foreign_rows,
        unreadable_row,
        executions_twice,
        executions_beyond,
        odd_times,
        empty_list,
        missing_row,
        no_success,
    )
}
