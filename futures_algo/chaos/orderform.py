"A placement's body to an Order: every field checked, case ignored."

import math
from collections.abc import Callable
from typing import Any

from futures_algo.chaos.instruments import UnknownInstrument
from futures_algo.chaos.records import Order, Refusal

ACTIONS = {"buy": "Buy", "sell": "Sell"}
TYPES = {"market": "Market", "limit": "Limit", "stopmarket": "StopMarket", "stoplimit": "StopLimit"}
TIFS = {"day": "Day", "gtc": "Gtc"}
MOST = 10_000  # contracts in one order


def read_order(body: dict[str, Any], account: str, dated: Callable[[str], str]) -> Order:
    "The order of a place, flatplace, replace or reverseposition body; raises Refusal."
    kind = choice(body, "orderType", TYPES)
    order = Order(
        0,
        "",
        text(body, "orderId"),
        account,
        instrument(body, dated),
        choice(body, "action", ACTIONS),
        kind,
        quantity(body),
        tif=choice(body, "timeInForce", TIFS),
        oco_id=text(body, "ocoId") or "",
        strategy=text(body, "strategy"),
    )
    if kind in ("Limit", "StopLimit"):
        order.limit_price = price(body, "limitPrice")
    if kind in ("StopMarket", "StopLimit"):
        order.stop_price = price(body, "stopPrice")
    return order


def instrument(body: dict[str, Any], dated: Callable[[str], str]) -> str:
    given = text(body, "instrument")
    if not given:
        raise Refusal("Missing required field: instrument")
    try:
        return dated(given)
    except UnknownInstrument as error:
        raise Refusal(str(error)) from error


def choice(body: dict[str, Any], key: str, choices: dict[str, str]) -> str:
    given = body.get(key)
    if not isinstance(given, str) or given.lower() not in choices:
        raise Refusal(f"Invalid request: {key} {given!r}")
    return choices[given.lower()]


def text(body: dict[str, Any], key: str) -> str | None:
    given = body.get(key)
    if given is None or given == "":
        return None
    if not isinstance(given, str) or len(given) > 256:
        raise Refusal(f"Invalid request: {key}")
    return given


def quantity(body: dict[str, Any], key: str = "quantity") -> int:
    "Whole contracts, 1 to 10,000."
    given = body.get(key)
    number = given if isinstance(given, int | float) and not isinstance(given, bool) else 0
    if not math.isfinite(number) or number != int(number) or not 1 <= number <= MOST:
        raise Refusal(f"Invalid request: {key} {given!r}")
    return int(number)


def price(body: dict[str, Any], key: str) -> float:
    "Points, finite."
    given = body.get(key)
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        raise Refusal(f"Invalid request: {key} {given!r}")
    return float(given)


def changes(body: dict[str, Any]) -> dict[str, Any]:
    "quantity, limitPrice and stopPrice of a change body, those that are given."
    wanted: dict[str, Any] = {}
    if body.get("quantity") is not None:
        wanted["quantity"] = quantity(body)
    for key, name in (("limitPrice", "limit_price"), ("stopPrice", "stop_price")):
        if body.get(key) is not None:
            wanted[name] = price(body, key)
    return wanted


def share(body: dict[str, Any], size: int) -> int:
    "Contracts to close of `size`: quantity wins over percent (0..1, rounded up), neither is all."
    if body.get("quantity") is not None:
        return min(quantity(body), size)
    if body.get("percent") is None:
        return size
    part = price(body, "percent")
    if not 0 < part <= 1:
        raise Refusal(f"Invalid request: percent {part!r}")
    return min(size, math.ceil(round(size * part, 9)))
