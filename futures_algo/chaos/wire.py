"The loopback server: an asyncio loop in a thread, 127.0.0.1, a port of the system's choice."

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

from futures_algo.chaos import stream
from futures_algo.chaos.clock import SECOND
from futures_algo.chaos.endpoints import resolve
from futures_algo.chaos.httpbytes import MOST_HEAD, Unreadable, read_request
from futures_algo.chaos.records import Request
from futures_algo.chaos.serve import Service
from futures_algo.chaos.spoil import Cut, Line, Spoiler, refused_bytes
from futures_algo.chaos.truth import TruthLog

MOST_CONNECTIONS = 128
TICK_SECONDS = 0.004  # wall seconds between looks at the agenda, the prices and waits
LONGEST_WAIT = 180.0  # wall seconds any answer is held, whatever the clock does


class Wire:
    "Start and stop once. `failures` holds what must never happen: an exception inside the broker itself."

    def __init__(self, now: Callable[[], int], log: TruthLog, tick: Callable[[], None]) -> None:
        self._now = now
        self._log = log
        self._tick = tick
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = threading.Event()
        self._end: asyncio.Event | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._spoiler = Spoiler(self._sleep)
        self.failures: list[BaseException] = []
        self.service: Service | None = None
        self.control: Callable[[Request, Line], Awaitable[None]] | None = None
        self._session: stream.Stream | None = None
        self.port = 0

    # life
    def start(self, port: int = 0) -> int:
        "Listens; the port."
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main(port)), name="chaos-broker", daemon=True)
        self._thread.start()
        if not self._ready.wait(10) or self.failures:
            raise RuntimeError(f"chaos broker did not start: {self.failures}")
        return self.port

    def stop(self) -> None:
        "Closes every connection; raises RuntimeError if the broker itself failed."
        if self._loop and self._end and self._thread and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join(10)
        if self.failures:
            raise RuntimeError(f"the chaos broker itself failed: {self.failures!r}") from self.failures[0]

    async def _main(self, port: int) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        try:
            server = await asyncio.start_server(self._accept, "127.0.0.1", port, limit=MOST_HEAD)
        except OSError as error:
            self.failures.append(error)
            return self._ready.set()
        self.port = server.sockets[0].getsockname()[1]
        self._keep(self._ticking())
        self._ready.set()
        await self._end.wait()
        server.close()
        await self._finish()

    async def _finish(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures.append(error)

    async def _ticking(self) -> None:
        while True:
            self._tick()
            await asyncio.sleep(TICK_SECONDS)

    # time
    async def until(self, ready: Callable[[], bool], seconds: float) -> None:
        "Until `ready` or `seconds` of the broker's clock, at most LONGEST_WAIT of the wall's."
        due, limit = self._now() + round(seconds * SECOND), time.monotonic() + LONGEST_WAIT
        while not ready() and self._now() < due and time.monotonic() < limit:
            await asyncio.sleep(TICK_SECONDS)

    async def _sleep(self, seconds: float) -> None:
        await self.until(lambda: False, seconds)

    # connections
    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) > MOST_CONNECTIONS:
            writer.write(refused_bytes(503))
            return writer.close()
        self._keep(self._serve(Line(reader, writer)))

    async def _serve(self, line: Line) -> None:
        try:
            while (request := await read_request(line.reader)) is not None:
                await self._one(request, line)
        except Unreadable as error:
            line.writer.write(refused_bytes(error.status))
        except (Cut, ConnectionError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the connection's end is the outcome
        finally:
            line.writer.close()

    async def _streamed(self, request: Request, line: Line) -> None:
        "One connection a user: the one before ends."
        session = stream.Stream(cast(Service, self.service), line, self._log.note)
        if self._session is not None and not self._session.line.writer.is_closing():
            await self._session.end("Session active elsewhere")
        self._session = session
        await session.run(request)

    async def _one(self, request: Request, line: Line) -> None:
        if self.control and request.path.startswith("/_chaos/"):
            return await self.control(request, line)
        if request.path == stream.PATH:
            await self._streamed(request, line)
        resolve(request)
        service = cast(Service, self.service)
        hits = service.faults.strike(request)
        self._log.note(
            "request",
            number=request.number,
            method=request.method,
            path=request.path,
            rpc=request.rpc,
            query=request.query,
            body=request.body[:65536],
            json=request.json,
        )
        try:
            answer = await service.answer(request, hits, line)
            kept = None if request.method == "GET" else answer.body  # reads would fill the memory
            self._log.note("answer", request=request.number, status=answer.status, body=kept)
            await self._spoiler.deliver(answer, request, hits, line)
        except Cut:
            self._log.note("answer", request=request.number, status=None, body=None)
            raise
        finally:
            hits.give_back()
