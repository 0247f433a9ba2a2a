"""Loopback gateway: speaks Databento's live protocol to the real `databento.Live` client and serves bars from DBN
files.

    with LoopbackGateway({"ohlcv-1s": ["day.dbn.zst"]}, keys=["db-sim"]) as gateway:
        feed = DatabentoLiveFeed("db-sim", ["ES.c.0"], print, gateway="127.0.0.1", port=gateway.port)

Time is virtual. At a finite `speed` it runs that many times faster than the wall, from `start_ns`. At `speed=inf` it
has no pace: a session is
sent everything as fast as it reads. As at Databento a continuous symbol is mapped once, when it is subscribed to (by
the date of `start`, or of
now), and a running session is never rolled. At `speed=inf` nobody could resubscribe in time, so there the clock of a
session with continuous
symbols stands still at the next UTC date change: whoever wants the next day subscribes anew from there, and sees a roll
exactly where it happened.
A long stretch in which nothing trades then passes with one end-of-interval marker.

Faults are scripted by data time (`faults=[Fault(at, "rst")]`) or sent by hand (`gateway.strike("rst")`); `FAULTS` lists
them.
"""

import asyncio
import itertools
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Self

from futures_algo.core.named import did_you_mean
from futures_algo.core.types import DAY, InputError
from futures_algo.sim.gateway_faults import DOOR_FAULTS, FAULTS, Fault
from futures_algo.sim.tape import Tape

log = logging.getLogger(__name__)


class LoopbackGateway:
    "A Databento live gateway on a loopback port, in a thread of its own."

    def __init__(
        self,
        files: "Mapping[str, Iterable[Path | str]]",  # {"ohlcv-1s": [paths], "ohlcv-1m": [...]}
        keys: Iterable[str] = ("db-sim",),  # API keys that authenticate
        dataset: str = "GLBX.MDP3",
        raw: (
            Mapping[int, str] | None
        ) = None,  # instrument id -> contract, {5482: "ESZ5"}; files that map contracts need none
        *,
        speed: float = math.inf,  # virtual seconds a second
        start_ns: int | None = None,  # virtual now when start() is called; the first bar by default
        end_ns: int | None = None,  # end of the recorded world at speed=inf; the last bar's end by default
        host: str = "127.0.0.1",
        port: int = 0,  # 0 takes a free one
        heartbeat_s: float | None = None,  # overrides the interval the client asks for
        replay_window: int = DAY,  # ns that `start` may lie back at a finite speed
        markers: bool = True,  # send end-of-interval markers
        close_at_end: bool = False,  # close a session that was sent everything
        mapped_by: str = "start",  # date that maps a replayed continuous symbol: of its "start", or "now"
        faults: Iterable[Fault] = (),
        batch: int = 4096,  # intervals a write
        on_sent: Callable[[int], None] = lambda through: (
            None
        ),  # called when every interval that ends by `through` (ns, data time) was written
    ):
        self.tapes = {schema: Tape(schema, list(paths), raw or {}) for schema, paths in files.items()}
        self.keys, self.dataset, self.speed, self.host, self.port = set(keys), dataset, speed, host, port
        self.start_ns = min(tape.start for tape in self.tapes.values()) if start_ns is None else start_ns
        self.end_ns = max(tape.end for tape in self.tapes.values()) if end_ns is None else end_ns
        self.heartbeat_s, self.replay_window, self.markers = heartbeat_s, replay_window, markers
        self.close_at_end, self.mapped_by, self.batch, self.on_sent = close_at_end, mapped_by, batch, on_sent
        self.faults = sorted(map(self._checked, faults))
        self.door: list[Fault] = []  # faults that wait for the next connections
        self.struck: list[str] = []  # faults that happened
        self.requests: list[dict[str, str]] = []  # every line clients sent after authenticating
        self.connections = 0  # ever accepted
        self.sessions: set = set()  # open now, authenticated or not
        self.session_ids = itertools.count(1)

    @staticmethod
    def _checked(fault: Fault) -> Fault:
        if fault.kind not in FAULTS:
            raise InputError("fault", fault.kind, "must be known", did_you_mean(fault.kind, FAULTS))
        return fault

    @property
    def paced(self) -> bool:
        "True when virtual time runs at a finite speed."
        return math.isfinite(self.speed)

    def now(self) -> int:
        "Virtual time, ns; without a pace it is the end of the recorded world."
        return self.start_ns + int((time.monotonic() - self._began) * 1e9 * self.speed) if self.paced else self.end_ns

    def start(self) -> Self:
        "Listen; returns when the port is open, or raises why it cannot be."
        opened: Future[None] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._main(opened)), name="loopback-gateway", daemon=True
        )
        self._thread.start()
        opened.result()
        return self

    def stop(self) -> None:
        "Reset every session and close the port."
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def strike(self, kind: str, hold: float = 0.05) -> None:
        "Let a fault happen now: to every running session, or to the next connection."
        fault = self._checked(Fault(0, kind, hold))

        async def happen() -> None:
            if kind in DOOR_FAULTS:
                self.shut_door(fault)
            for session in list(self.sessions):
                session.close() if kind in DOOR_FAULTS else session.strike(fault)

        asyncio.run_coroutine_threadsafe(happen(), self._loop).result()

    def send(self, record: "bytes | object") -> None:
        "Put a record of your own (bytes, or any databento_dbn record) into every running session."
        self._loop.call_soon_threadsafe(
            lambda: [session.send(record) for session in list(self.sessions) if session.started]
        )

    async def _main(self, opened: "Future[None]") -> None:
        self._loop, self._stopping, self._began = asyncio.get_running_loop(), asyncio.Event(), time.monotonic()
        try:
            await self._open()
        except OSError as error:
            opened.set_exception(error)
            return
        opened.set_result(None)
        await self._stopping.wait()
        self._server.close()
        handlers = [session.handler for session in self.sessions]
        for session in list(self.sessions):
            session.abort()
        await asyncio.gather(*handlers, return_exceptions=True)

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._accept, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def shut_door(self, fault: Fault) -> None:
        "Arrange what the next connection meets."
        if fault.kind != "refuse":
            self.door.append(fault)
            return
        self._server.close()
        self._loop.call_later(fault.hold, self._reopen)

    def _reopen(self) -> None:
        self._opening = self._loop.create_task(self._open())

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from futures_algo.sim.gateway_session import Session

        self.connections += 1
        session = Session(self, reader, writer, self.door.pop(0).kind if self.door else "")
        self.sessions.add(session)
        try:
            await session.run()
        except (ConnectionError, asyncio.IncompleteReadError) as gone:
            log.info("session %s: %r", session.id, gone)
        finally:
            self.sessions.discard(session)
            writer.close()


def main() -> None:
    "Serve files until standard input closes; prints the port as the first line."
    import argparse
    import json
    import sys

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("files", nargs="+", help="DBN files of one schema")
    parser.add_argument("--schema", default="ohlcv-1s")
    parser.add_argument("--key", default="db-sim")
    parser.add_argument("--speed", type=float, default=math.inf)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--close-at-end", action="store_true")
    given = parser.parse_args()
    with LoopbackGateway(
        {given.schema: given.files}, [given.key], speed=given.speed, port=given.port, close_at_end=given.close_at_end
    ) as gateway:
        print(json.dumps({"port": gateway.port, "start": gateway.start_ns, "end": gateway.end_ns}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
