"""An NT8 paper broker: CrossTrade's REST API over recorded or pushed prices, with scripted faults.

Over recorded bars its time is the latest `X-Sim-Now` header (ns UTC) it has seen; with a clock of its own it ignores
that header.
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

from futures_algo.core.types import SECOND, Bar, Clock, DataClock, InputError
from futures_algo.sim.books import Books
from futures_algo.sim.control import control
from futures_algo.sim.faults import AFTER, BEFORE, Fault, FaultPlan, Variants
from futures_algo.sim.fills import FillRules, PriceBook
from futures_algo.sim.httpd import CUT, LoopServer, Reply, Request
from futures_algo.sim.ledger import Refusal, Terms
from futures_algo.sim.routes import dispatch
from futures_algo.sim.stream import StreamHub


class Seen(NamedTuple):
    "A request the broker received."

    at: int  # ns UTC on the wall clock, when its last byte was read
    method: str
    path: str
    body: Any
    status: int  # answered; 0 when the connection was cut


class PaperBroker:
    "NinjaTrader's accounts, orders and fills behind CrossTrade's REST API, on loopback."

    def __init__(
        self,
        prices: Any = None,  # {contract or feed symbol: Bars | [Bar] | constant price}
        clock: Clock | None = None,  # None: the data's clock, moved by X-Sim-Now
        account: str = "Sim101",  # NT8 account Name
        token: str = "paper-token",
        port: int = 0,  # 0: a free one
        faults: FaultPlan | None = None,
        *,
        accounts: Mapping[str, str] | None = None,  # further accounts, name -> display name
        host: str = "127.0.0.1",
        rules: FillRules | None = None,
        terms: Terms | None = None,
        variants: Variants | None = None,
        rate: float | None = None,  # requests a second the broker allows; None: no limit
        burst: int = 20,
        state: "str | Path | None" = None,  # file that keeps the books over a restart of the process
    ):
        if not token:
            raise InputError("paper broker token", token, "must not be empty", "any text will do")
        self.clock, self.token, self.state = clock or DataClock(), token, Path(state) if state else None
        self.rate, self.burst, self._tokens, self._refilled = rate, burst, float(burst), time.monotonic()
        self.faults, self.prices = faults or FaultPlan(), prices if isinstance(prices, PriceBook) else PriceBook(prices)
        self.books = Books(
            self.prices,
            self.clock,
            {account: account} | dict(accounts or {}),
            rules or FillRules(),
            terms or Terms(),
            variants or Variants(),
            self.faults,
        )
        self.requests: deque[Seen] = deque(maxlen=100_000)
        self._throttle = 0.0
        self._late: list[Any] = []  # ns UTC -> requests on their way
        self._server = LoopServer(self._answer, host, port)
        self.stream = StreamHub(self.books, token)
        self._server.upgrade = self.stream.serve
        if self.state and self.state.exists():
            self.books.restore(json.loads(self.state.read_text()))

    @property
    def variants(self) -> Variants:
        return self.books.variants

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def url(self) -> str:
        "The base URL a client takes."
        return f"http://{self._server.host}:{self.port}/v1/api"

    def start(self) -> Self:
        "Listen; returns itself."
        self._server.start()
        return self

    def stop(self) -> None:
        self._server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    # what a user or a test does at the broker's own screen; safe from any thread

    def _on_loop(self, work: Any) -> Any:
        "Run something where the requests run, so nothing interleaves."
        if not self._server.is_running:
            return work()

        async def run():
            return work()

        return asyncio.run_coroutine_threadsafe(run(), self._server.loop).result()

    def trade(self, instrument: str, action: str, quantity: int, account: str | None = None) -> str:
        "A manual market order by the user at the screen; answers NinjaTrader's order id."
        name = account or next(iter(self.books.accounts))
        return self._on_loop(
            lambda: self.books.trade(self.books.account(name), instrument, action, quantity, "Manual").order_id
        )

    def push(self, bar: Bar) -> None:
        "Give the broker a bar as it happens, and let orders meet it."

        def work():
            self.prices.push(bar)
            self.refresh()

        self._on_loop(work)

    def advance(self, to: int) -> None:
        "Move the data's clock, and let orders meet the bars passed."

        def work():
            self.clock.advance(to)
            self.refresh()

        self._on_loop(work)

    def refresh(self) -> None:
        "Time or prices moved: settle the orders, tell the stream."
        self.books.settle()
        self.stream.push()

    def restart(self, outage: float = 0.0) -> None:
        "Die and come back on the same port with the same books, after `outage` seconds."
        asyncio.run_coroutine_threadsafe(self._restart(outage), self._server.loop).result()

    async def _restart(self, outage: float) -> None:
        kept = json.dumps(self.books.to_dict())
        await self._server.refuse()
        if outage:
            await asyncio.sleep(outage)
        self.books.restore(json.loads(kept))
        await self._server.listen()

    # answering

    async def _answer(self, request: Request) -> Reply:
        at = time.time_ns()
        reply = await self._decide(request)
        if not request.path.startswith("/sim/"):
            self.requests.append(Seen(at, request.method, request.path, request.body, 0 if reply.cut else reply.status))
        return reply

    async def _decide(self, request: Request) -> Reply:
        "Token, control, rate limit, faults before, the books, faults after."
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return Reply(401, {"success": False, "error": "unauthorized"})
        if request.path.startswith("/sim/"):
            return await control(self, request)
        if (wait := self._over_limit()) is not None:
            return rate_limited(Fault("rate_limited", seconds=wait))
        fault = self.faults.take(BEFORE, request.method, request.path)
        if fault and fault.kind == "late":
            self._delay(fault.seconds, request)
            return CUT
        if fault and fault.kind == "slow_before":
            await asyncio.sleep(fault.seconds)
        elif fault:
            return _BEFORE[fault.kind](fault)
        reply = self._act(request)
        if fault := self.faults.take(AFTER, request.method, request.path):
            return await self._spoil(fault, reply)
        return reply

    def _delay(self, seconds: float, request: Request) -> None:
        """Let a request arrive later: by the data's clock where it moves it, else by the wall's. Who waits in one of
        them must not be overtaken in the other."""
        if isinstance(self.clock, DataClock) and (moment := request.headers.get("x-sim-now")):
            self._late.append((int(moment) + int(seconds * SECOND), request))
        else:
            asyncio.get_running_loop().call_later(seconds, self._act, request)

    def _arrive(self) -> None:
        "What was late and is due."
        due, self._late = (
            [request for at, request in self._late if at <= self.clock.now()],
            [(at, request) for at, request in self._late if at > self.clock.now()],
        )
        for request in due:
            self._act(request)

    def _over_limit(self) -> float | None:
        "Seconds to wait when the bucket is empty, None when the request may pass."
        if self.rate is None:
            return None
        now = time.monotonic()
        self._tokens, self._refilled = min(self._tokens + (now - self._refilled) * self.rate, float(self.burst)), now
        if self._tokens < 1:
            return (1 - self._tokens) / self.rate
        self._tokens -= 1
        return None

    def _act(self, request: Request) -> Reply:
        "The books' answer."
        try:
            if isinstance(self.clock, DataClock) and (moment := request.headers.get("x-sim-now")):
                self.clock.advance(int(moment))
            self._arrive()
            self.books.settle()
            if request.method != "GET" and self.faults.take(("market_closed",), request.method, request.path):
                raise Refusal(400, error="Market closed")
            reply = Reply(200, dispatch(self.books, request))
        except Refusal as refusal:
            reply = Reply(refusal.status, refusal.body)
        except (TypeError, ValueError):
            reply = Reply(400, {"error": "Invalid request"})  # a body whose values make no sense
        if request.method != "GET":
            self._save()
            self.stream.push()
        return reply

    def _save(self) -> None:
        if not self.state:
            return
        fresh = self.state.with_suffix(".new")
        fresh.write_text(json.dumps(self.books.to_dict()))
        fresh.replace(self.state)

    async def _spoil(self, fault: Fault, reply: Reply) -> Reply:
        "Do to a true answer what the fault says."
        if fault.kind == "throttle":
            self._throttle += fault.seconds
        if fault.kind in ("slow", "throttle"):
            await asyncio.sleep(self._throttle if fault.kind == "throttle" else fault.seconds)
            return reply
        return _AFTER[fault.kind](reply)


def rate_limited(fault: Fault) -> Reply:
    "A 429 in one of its forms."
    wait = fault.seconds
    header = {"header": f"{max(1, round(wait))}", "float": f"{wait:.3f}"}.get(fault.form)
    if fault.form == "http_date":
        header = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + wait + 1))
    body = {"success": False, "error": "rate_limited"} | (
        {"retryAfter": wait} if fault.form in ("header", "body") else {}
    )
    return Reply(
        429,
        {"error": "Rate limit exceeded"} if fault.form == "old" else body,
        {"Retry-After": header} if header else {},
    )


def _html(status: int) -> Reply:
    return Reply(
        status,
        headers={"Content-Type": "text/html"},
        content=b"<!DOCTYPE html><html><body><h1>Something went wrong</h1></body></html>",
    )


def _without_success(reply: Reply) -> Reply:
    payload = (
        {name: value for name, value in reply.payload.items() if name != "success"}
        if isinstance(reply.payload, dict)
        else reply.payload
    )
    return reply._replace(payload=payload)


_ADDON_DOWN = Reply(
    408, {"success": False, "error": "addon_disconnected", "detail": "NinjaTrader add-on is not connected"}
)
_BEFORE = {
    "addon_down": lambda fault: _ADDON_DOWN,
    "lost_before": lambda fault: CUT,
    "rate_limited": rate_limited,
    "server_error": lambda fault: _html(502),
    "unauthorized": lambda fault: Reply(401, {"success": False, "error": "api_requires_pro"}),
    "refuse": lambda fault: Reply(fault.status, fault.body if fault.body is not None else {"error": "Invalid request"}),
}
_AFTER = {
    "lost_after": lambda reply: CUT,
    "addon_timeout": lambda reply: _ADDON_DOWN,
    "server_error_after": lambda reply: _html(500),
    "html": lambda reply: _html(200),
    "cut_json": lambda reply: Reply(200, content=json.dumps(reply.payload).encode()[:-3]),
    "empty": lambda reply: Reply(200, content=b""),
    "no_success": _without_success,
}


def serve(
    prices: Any = None,  # as `PaperBroker`
    *,
    port: int = 8080,
    announce: Any = print,  # called with the URL once it listens
    **options: Any,  # as `PaperBroker`
) -> None:
    "Run a paper broker until interrupted: what `futures-algo paper-broker` does."
    import threading

    with PaperBroker(prices, port=port, **options) as broker:
        announce(broker.url)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            pass
