"The paper broker's WebSocket `/ws/stream`: quotes and profit, one session per user, and the ways it can misbehave."

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Any

from futures_algo.core.types import InputError
from futures_algo.sim.books import Books
from futures_algo.sim.httpd import Request
from futures_algo.sim.rows import account_row, quote_row

_log = logging.getLogger("futures_algo.sim.stream")
_log.setLevel(logging.INFO)  # at DEBUG the library would print the token's header

TROUBLE = ("kick", "cut", "gap", "dropped", "resync", "garbage")


class Session:
    "One WebSocket connection."

    def __init__(self, writer: asyncio.StreamWriter):
        from websockets.server import ServerProtocol

        self.protocol, self.writer = ServerProtocol(logger=_log), writer
        self.instruments: set[str] = set()
        self.profit, self.seq = False, 0

    def accept(self, head: bytes) -> None:
        "Answer the upgrade."
        self.protocol.receive_data(head)
        request: Any = self.protocol.events_received()[0]  # the first is the upgrade
        self.protocol.send_response(self.protocol.accept(request))
        self.flush()

    def flush(self) -> None:
        for data in self.protocol.data_to_send():
            if data:
                self.writer.write(data)

    def send(self, **frame: Any) -> None:
        self.seq += 1
        self.send_text(json.dumps({"seq": self.seq} | frame))

    def send_text(self, text: str) -> None:
        self.protocol.send_text(text.encode())
        self.flush()

    def close(self, reason: str) -> None:
        self.protocol.send_close(4000, reason)
        self.flush()


class StreamHub:
    "The connection of the broker's one user."

    def __init__(self, books: Books, token: str):
        self.books, self.token = books, token
        self.session: Session | None = None
        self.connections = 0

    async def serve(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        "From upgrade to end; a new session drops the one before."
        if request.headers.get("authorization") != f"Bearer {self.token}":
            writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
            return
        if self.session:
            self.session.close("Session active elsewhere")
        session = self.session = Session(writer)
        self.connections += 1
        session.accept(request.raw)
        try:
            await self._read(session, reader)
        finally:
            if self.session is session:
                self.session = None

    async def _read(self, session: Session, reader: asyncio.StreamReader) -> None:
        from websockets.frames import Frame, Opcode

        while data := await reader.read(65_536):
            session.protocol.receive_data(data)
            for frame in session.protocol.events_received():
                if isinstance(frame, Frame) and frame.opcode is Opcode.TEXT:
                    self._act(session, json.loads(bytes(frame.data)))
            session.flush()
            if session.protocol.close_expected():
                return

    def _act(self, session: Session, message: Mapping[str, Any]) -> None:
        "One client message."
        action = message.get("action")
        if action == "subscribe":
            session.instruments |= set(message["instruments"])
        elif action == "unsubscribe":
            session.instruments -= set(message["instruments"])
        elif action == "streamPnl":
            session.profit = bool(message.get("enabled"))
        elif action == "ping":
            session.send(type="pong")
        self.push()

    def push(self) -> None:
        "Send what the session asked for, as it is now."
        if not (session := self.session):
            return
        quotes = [quote_row(self.books, name) for name in sorted(session.instruments) if self.books.prices.get(name)]
        if quotes:
            session.send(type="marketData", quotes=quotes)
        accounts = (
            [account_row(self.books, account) for account in self.books.accounts.values()] if session.profit else []
        )
        if accounts:
            session.send(type="pnlUpdate", epoch=self.books.clock.now() // 1_000_000, accounts=accounts)

    def trouble(self, kind: str) -> None:
        "Misbehave: one of `TROUBLE`."
        if kind not in TROUBLE:
            raise InputError("stream trouble", kind, f"must be one of {', '.join(TROUBLE)}")
        if not (session := self.session):
            raise InputError("stream", "not connected", "must have a session to trouble")
        if kind == "kick":
            session.close("Session active elsewhere")
        elif kind == "cut":
            session.writer.transport.abort()
        elif kind == "gap":
            session.seq += 3
            self.push()
        elif kind == "dropped":
            session.send(type="status", state="ready", dropped=7)
        elif kind == "resync":
            session.send(type="resync")
        else:
            session.send_text("{not json")
