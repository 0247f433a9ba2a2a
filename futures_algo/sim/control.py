"""The paper broker's own controls under `/sim/`, so that another process can script it.

POST /sim/faults {"kind": ..}   DELETE /sim/faults   POST /sim/variants {..}   POST /sim/trade {"instrument", "action",
"quantity", "account"}
POST /sim/price {"instrument", "price"}   POST /sim/clock {"now": ns}   POST /sim/restart {"outage": seconds}   POST
/sim/stream {"kind": ..}   GET /sim/state
"""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from futures_algo.core.types import InputError
from futures_algo.sim.httpd import Reply, Request
from futures_algo.sim.ledger import Refusal

PaperBroker = Any  # sim.broker.PaperBroker, which owns this table


async def control(broker: PaperBroker, request: Request) -> Reply:
    "Carry out one control request."
    action = _ACTIONS.get((request.method, request.path))
    if not action:
        return Reply(404, {"success": False, "error": f"known: {', '.join(path for _, path in _ACTIONS)}"})
    try:
        return Reply(200, {"success": True} | (action(broker, request.body) or {}))
    except (InputError, KeyError, TypeError) as error:
        return Reply(400, {"success": False, "error": str(error)})
    except Refusal as refusal:
        return Reply(refusal.status, refusal.body)


def _trade(broker: PaperBroker, body: Mapping[str, Any]) -> dict[str, Any]:
    account = broker.books.account(body.get("account") or next(iter(broker.books.accounts)))
    return {
        "orderId": broker.books.trade(account, body["instrument"], body["action"], body["quantity"], "Manual").order_id
    }


def _clock(broker: PaperBroker, body: Mapping[str, Any]) -> None:
    broker.clock.advance(body["now"])
    broker.refresh()


def _price(broker: PaperBroker, body: Mapping[str, Any]) -> None:
    broker.prices.set_price(body["instrument"], body["price"])
    broker.refresh()


def _restart(broker: PaperBroker, body: Mapping[str, Any]) -> None:
    asyncio.get_running_loop().call_later(0.01, lambda: asyncio.ensure_future(broker._restart(body.get("outage", 0.0))))


def _state(broker: PaperBroker, body: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "now": broker.clock.now(),
        "books": broker.books.to_dict(),
        "requests": [seen._asdict() for seen in broker.requests],
        "variants": asdict(broker.variants),
        "faults": [asdict(fault) for fault in broker.faults.faults],
        "happened": broker.faults.happened,
    }


_ACTIONS = {
    ("POST", "/sim/faults"): lambda broker, body: broker.faults.add(**body) and None,
    ("DELETE", "/sim/faults"): lambda broker, body: broker.faults.clear(),
    ("POST", "/sim/variants"): lambda broker, body: broker.variants.change(**body),
    ("POST", "/sim/stream"): lambda broker, body: broker.stream.trouble(**body),
    ("POST", "/sim/trade"): _trade,
    ("POST", "/sim/clock"): _clock,
    ("POST", "/sim/price"): _price,
    ("POST", "/sim/restart"): _restart,
    ("GET", "/sim/state"): _state,
}
