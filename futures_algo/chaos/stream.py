"The WebSocket /ws/stream: RPC, quotes, profit and loss; one connection a user."

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

from futures_algo.chaos.endpoints import TABLE
from futures_algo.chaos.httpbytes import MOST_BODY, dumped, head_of
from futures_algo.chaos.records import Answer, Request
from futures_algo.chaos.serve import Service
from futures_algo.chaos.spoil import Cut, Line

PATH = "/ws/stream"
METHODS = {name: method for name, method, _ in TABLE}
ALIASES = {"CancelOrder": "Cancel"}
PUSH_SECONDS = 0.02  # wall seconds between looks at prices
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


def frame(kind: int, data: bytes) -> bytes:
    "One unmasked frame."
    size = len(data)
    if size < 126:
        return bytes([0x80 | kind, size]) + data
    if size < 65536:
        return bytes([0x80 | kind, 126]) + size.to_bytes(2, "big") + data
    return bytes([0x80 | kind, 127]) + size.to_bytes(8, "big") + data


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    "(kind, data) of one masked, whole frame; raises Cut on anything else."
    first, second = await reader.readexactly(2)
    size = second & 0x7F
    if size > 125:
        size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
    if not first & 0x80 or not second & 0x80 or size > MOST_BODY:
        raise Cut
    mask = await reader.readexactly(4)
    data = await reader.readexactly(size)
    return first & 0x0F, bytes(byte ^ mask[place % 4] for place, byte in enumerate(data))


class Stream:
    "One connection; `note` receives each RPC for the truth log as a request."

    def __init__(self, service: Service, line: Line, note: Callable[..., Any]) -> None:
        self.service = service
        self.line = line
        self.note = note
        self.seq = 0
        self.sent: dict[str, float | None] = {}  # subscribed instrument -> last price pushed
        self.profit_seconds: float | None = None
        self._profit_due = 0.0

    async def run(self, request: Request) -> None:
        "Upgrades and serves until either side ends; raises Cut at the end."
        if not hmac.compare_digest(request.headers.get("authorization", ""), f"Bearer {self.service.token}"):
            await self.line.send(head_of(Answer(401, headers={"Connection": "close"}), 0))
            raise Cut
        await self._upgrade(request)
        push = asyncio.create_task(self._pushing())
        try:
            while True:
                await self._one(*await read_frame(self.line.reader))
        finally:
            push.cancel()

    async def _upgrade(self, request: Request) -> None:
        key = request.headers.get("sec-websocket-key", "").encode()
        accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest()).decode()
        head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        await self.line.send(f"{head}Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())

    async def end(self, reason: str) -> None:
        "Another session of the same user has come."
        await self.line.send(frame(CLOSE, (4001).to_bytes(2, "big") + reason.encode()))
        self.line.writer.close()

    async def send(self, body: dict[str, Any]) -> None:
        self.seq += 1
        stamp = {"seq": self.seq, "epoch": self.service.routes.book.now() // 1_000_000}
        await self.line.send(frame(TEXT, dumped(body | stamp)))

    async def _one(self, kind: int, data: bytes) -> None:
        if kind == CLOSE:
            await self.line.send(frame(CLOSE, data[:2]))
            raise Cut
        if kind == PING:
            return await self.line.send(frame(PONG, data))
        if kind != TEXT:
            return
        try:
            asked = json.loads(data)
        except ValueError:
            asked = None
        await self._asked(asked if isinstance(asked, dict) else {})

    async def _asked(self, asked: dict[str, Any]) -> None:
        action, names = asked.get("action"), asked.get("instruments") or []
        if action == "rpc":
            return await self._rpc(asked)
        if action == "subscribe":
            self.sent |= dict.fromkeys(map(str, names))
        elif action == "unsubscribe":
            self.sent = {name: price for name, price in self.sent.items() if name not in names}
        elif action == "streamPnl":
            self.profit_seconds = asked.get("interval", 1000) / 1000 if asked.get("enabled") else None
        elif action == "ping":
            await self.send({"type": "pong"})
        else:
            await self.send({"success": False, "error": "unknown_action"})

    async def _rpc(self, asked: dict[str, Any]) -> None:
        "Meets the same faults as REST, those of its bytes left out; a lost answer is no frame."
        request = self._request(asked)
        hits = self.service.faults.strike(request)
        self.note(
            "request",
            number=request.number,
            method="RPC",
            path=PATH,
            rpc=request.rpc,
            query={},
            body=b"",
            json=request.json,
        )
        try:
            answer = await self.service.answer(request, hits, self.line)
            if (late := hits.take("late_answer")) is not None:
                await self.service.until(lambda: False, late["seconds"])
            lost = hits.take("lost_after") is not None
        finally:
            hits.give_back()
        if not lost:
            await self.send({"id": asked.get("id"), "data": answer.body})

    def _request(self, asked: dict[str, Any]) -> Request:
        name = ALIASES.get(asked.get("api", ""), asked.get("api", ""))
        given = asked.get("args")
        args: dict[str, Any] = given if isinstance(given, dict) else {}
        named = {"account": args.get("account"), "order": args.get("orderId"), "execution": args.get("executionId")}
        headers = {"authorization": f"Bearer {self.service.token}"}
        query = {key: str(value) for key, value in args.items()}
        parts = {key: str(value) for key, value in named.items()}
        return Request(
            0, METHODS.get(name, "GET"), PATH, query, headers, b"", name if name in METHODS else "", parts, args
        )

    async def _pushing(self) -> None:
        while True:
            await asyncio.sleep(PUSH_SECONDS)
            await self._push_quotes()
            await self._push_profit()

    async def _push_quotes(self) -> None:
        routes = self.service.routes
        with routes.book.lock:
            known = {name: dated for name in self.sent if (dated := routes.book.instruments.known(name))}
            prices = {name: routes.shapes.market.price(dated) for name, dated in known.items()}
            fresh = [name for name, price in prices.items() if price is not None and price != self.sent[name]]
            quotes = [routes.shapes.quote(known[name]) for name in fresh]
        self.sent |= {name: prices[name] for name in fresh}
        if quotes:
            await self.send({"type": "marketData", "quotes": quotes})

    async def _push_profit(self) -> None:
        now = asyncio.get_running_loop().time()
        if self.profit_seconds is None or now < self._profit_due:
            return
        self._profit_due = now + max(0.05, self.profit_seconds)
        routes = self.service.routes
        with routes.book.lock:
            rows = [routes.shapes.account(account) for account in routes.book.accounts.values()]
        await self.send({"type": "pnlUpdate", "accounts": rows})
