'Another process steers the broker: POST /_chaos/<name> with {"args": [...], "kw": {...}} and the control key.'

import dataclasses
import hmac
import http.client
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from futures_algo.chaos.broker import ChaosBroker
from futures_algo.chaos.clock import HandClock
from futures_algo.chaos.httpbytes import written
from futures_algo.chaos.records import Answer, Refusal, Request
from futures_algo.chaos.spoil import Line

NAMES = (
    "set_price",
    "touch",
    "set_front",
    "add_atm",
    "set_market_open",
    "set_addon",
    "set_connection",
    "end_session",
    "trade_by_hand",
    "cancel_by_hand",
    "restart",
    "position",
    "executions",
    "orders",
    "orders_by_client_id",
    "history",
    "requests",
    "position_path",
    "now",
)


def plain(value: Any) -> Any:
    "JSON of the broker's records; keys that are no text become text."
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [field.name for field in dataclasses.fields(value)]
        return {name: plain(getattr(value, name)) for name in fields if name not in ("kind", "only")}
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def controls(broker: ChaosBroker) -> dict[str, Callable[..., Any]]:
    "Every call by name."
    calls = {name: getattr(broker, name) for name in NAMES}
    faults = broker.faults
    calls |= {
        "fault": faults.add,
        "draw": faults.draw,
        "plan": faults.plan,
        "clear": faults.clear,
        "counts": lambda: dict(faults.counts),
        "set": lambda **switches: _set(broker, switches),
        "failures": lambda: [repr(error) for error in broker.wire.failures],
    }
    if isinstance(broker.clock, HandClock):
        calls["move_clock"] = broker.clock.move
    return calls


def _set(broker: ChaosBroker, switches: dict[str, Any]) -> None:
    for name, value in switches.items():
        if not hasattr(broker.settings, name):
            raise ValueError(f"no setting {name!r}")
        setattr(broker.settings, name, value)


def steer(broker: ChaosBroker, key: str) -> Callable[[Request, Line], Awaitable[None]]:
    'The handler of control requests: 200 {"result"}, 4xx {"error"}.'
    calls = controls(broker)

    def result(request: Request) -> Answer:
        name = request.path.removeprefix("/_chaos/")
        if not hmac.compare_digest(request.headers.get("x-chaos-key", "").encode(), key.encode()):
            return Answer(403, {"error": "control key"})
        if name not in calls:
            return Answer(404, {"error": f"no call {name!r}", "calls": sorted(calls)})
        given = request.json if isinstance(request.json, dict) else {}
        try:
            return Answer(200, {"result": plain(calls[name](*given.get("args", []), **given.get("kw", {})))})
        except (TypeError, ValueError, KeyError, Refusal) as error:
            return Answer(400, {"error": repr(error)})

    async def handle(request: Request, line: Line) -> None:
        head, body = written(result(request))
        await line.send(head + body)

    return handle


def call(host: str, key: str, name: str, *args: Any, **kw: Any) -> Any:
    "From the campaign's process: the call's result; raises RuntimeError on an error answer."
    where = urlsplit(host)
    connection = http.client.HTTPConnection(where.hostname or "127.0.0.1", where.port, timeout=30)
    try:
        headers = {"X-Chaos-Key": key, "Content-Type": "application/json"}
        connection.request("POST", f"/_chaos/{name}", json.dumps({"args": args, "kw": kw}), headers)
        answer = connection.getresponse()
        body = json.loads(answer.read())
    finally:
        connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{name}: {body['error']}")
    return body["result"]
