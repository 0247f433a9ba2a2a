"A small HTTP/1.1 server on its own event loop: enough for a JSON API, and able to misbehave on purpose."

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

_PHRASES = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    408: "Request Timeout",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
}


class Request(NamedTuple):
    "One request as it arrived."

    method: str
    path: str  # decoded, without the query
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    body: Any  # parsed JSON, {} for none, None when it does not parse
    raw: bytes  # head as received, for an upgrade


class Reply(NamedTuple):
    "One answer; `cut` closes the connection instead."

    status: int = 200
    payload: Any = None
    headers: Mapping[str, str] = MappingProxyType({})
    content: bytes | None = None  # instead of the payload as JSON
    cut: bool = False


CUT = Reply(cut=True)


def encode(reply: Reply) -> bytes:
    "The answer as bytes on the wire."
    content = json.dumps(reply.payload, separators=(",", ":")).encode() if reply.content is None else reply.content
    headers = {"Content-Type": "application/json", "Content-Length": str(len(content)), **reply.headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {reply.status} {_PHRASES.get(reply.status, 'Status')}\r\n{head}\r\n".encode() + content


def decode(head: bytes, body: bytes) -> Request:
    "A request from its head and body."
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, version = first.split(" ", 2)
    if not version.startswith("HTTP/1."):
        raise ValueError("not HTTP/1")
    headers = {
        name.strip().lower(): value.strip() for name, value in (line.split(":", 1) for line in lines if ":" in line)
    }
    url = urlsplit(target)
    try:
        content = json.loads(body) if body else {}
    except ValueError:
        content = None
    segments = "/".join(unquote(part).replace("/", "%2F") for part in url.path.split("/"))
    return Request(method, segments, dict(parse_qsl(url.query)), headers, content, head)


class LoopServer:
    "Serves `answer(request)` from a thread of its own, quick to start and to stop."

    def __init__(self, answer: Callable[[Request], Awaitable[Reply]], host: str = "127.0.0.1", port: int = 0):
        self.answer, self.host, self.port = answer, host, port
        self.upgrade: Callable[[Request, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]] | None = None
        self.loop: Any = None  # the three are there from `start` on
        self._thread: Any = None
        self._server: Any = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        "Listen; returns when the port is open, raises when it cannot be."
        ready: list[BaseException | None] = []
        opened = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready, opened), name="paper-broker", daemon=True)
        self._thread.start()
        opened.wait()
        if ready[0]:
            raise ready[0]

    def _run(self, ready: list, opened: threading.Event) -> None:
        self.loop = asyncio.new_event_loop()
        try:
            self.loop.run_until_complete(self.listen())
            ready.append(None)
        except OSError as error:
            ready.append(error)
        opened.set()
        if ready[0] is None:
            self.loop.run_forever()
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    async def listen(self) -> None:
        "Open the port; the same one after a pause."
        self._server = await asyncio.start_server(self._serve, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        "Close the port and cut every connection, as a process that died does."
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    def stop(self) -> None:
        "Close everything and end the thread."
        if not self.is_running:
            return
        asyncio.run_coroutine_threadsafe(self._finish(), self.loop)
        self._thread.join()

    async def _finish(self) -> None:
        await self.refuse()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        self.loop.call_soon(self.loop.stop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while await self._turn(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        except (ValueError, asyncio.LimitOverrunError):
            writer.transport.abort()  # not HTTP
        finally:
            self._writers.discard(writer)
            writer.transport.abort() if writer.transport.is_closing() else writer.close()

    async def _turn(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        "One request and its answer; False when the connection is over."
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        request = decode(head, await reader.readexactly(length) if length else b"")
        if self.upgrade and request.headers.get("upgrade", "").lower() == "websocket":
            await self.upgrade(request, reader, writer)
            return False
        reply = await self.answer(request)
        if reply.cut:
            writer.transport.abort()
            return False
        writer.write(encode(reply))
        await writer.drain()
        return True
