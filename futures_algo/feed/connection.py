"""One session with Databento's live gateway: opened, read and ended without ever blocking its owner."""

import asyncio
import logging
import queue
import threading
from typing import Any, NamedTuple, cast

from futures_algo.core.contracts import Contract, FeedSymbol
from futures_algo.core.types import InputError

log = logging.getLogger(__name__)
_AUTH_POLL = 0.05  # s between two looks at the socket while the client authenticates
_LEAVE = 1.0  # s for the client's blocking call to return once its tasks are cancelled


class Opened(NamedTuple):
    "The gateway accepted the key and the subscription."

    session_id: str


class Ended(NamedTuple):
    "The session is over, and nothing of it follows."

    reason: str


class Wake(NamedTuple):
    "Nothing; wakes whoever waits on the queue."


class Subscription(NamedTuple):
    "What one session asks for."

    dataset: str  # "GLBX.MDP3"
    schema: str  # "ohlcv-1s"
    stype: str  # continuous or raw_symbol
    symbols: tuple[str, ...]  # "ES.c.0", ...
    start: int | None = None  # ns UTC to replay from; None is live from now


def symbology_of(symbols: tuple[str, ...]) -> str:
    "The one symbology of all symbols of a subscription: continuous or raw_symbol."
    if not symbols:
        raise InputError("symbols", symbols, "must name at least one", "such as 'ES.c.0'")
    continuous = ["." in symbol for symbol in symbols]
    if any(continuous) and not all(continuous):
        raise InputError("symbols", symbols, "must be all continuous or all contracts", "use one feed for each kind")
    for symbol in symbols:
        (FeedSymbol if continuous[0] else Contract).parse(symbol)
    return "continuous" if continuous[0] else "raw_symbol"


class _Loop(asyncio.SelectorEventLoop):
    "An event loop that remembers its transports, so that a socket can be cut in any state, authentication included."

    def __init__(self) -> None:
        super().__init__()
        self.transports: list[asyncio.Transport] = []
        # futures the client abandons are reported here; the session's end already carries the reason
        self.set_exception_handler(lambda loop, context: log.debug("connection: %s", context.get("message")))

    async def create_connection(self, *args, **kwargs):
        transport, protocol = await super().create_connection(*args, **kwargs)
        self.transports.append(transport)
        return transport, protocol


class Connection:
    "One session, from connecting to its end; everything it receives is on `records`."

    def __init__(
        self,
        key: str,  # Databento API key
        subscription: Subscription,
        gateway: str | None = None,  # host; Databento's own for the dataset by default
        port: int = 13000,
        heartbeat_s: int = 5,  # seconds of quiet after which the gateway sends a heartbeat
    ):
        import databento  # noqa: F401  takes a second the first time, which must not count against a deadline

        self.subscription = subscription
        self.records: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._client_settings: dict[str, Any] = {
            "key": key,
            "gateway": gateway,
            "port": port,
            "heartbeat_interval_s": heartbeat_s,
            "reconnect_policy": "none",
        }
        self._closing, self._lock = False, threading.Lock()
        self._loop: Any = None
        self._task: Any = None
        self._thread = threading.Thread(target=self._run, name="feed-connection", daemon=True)

    def open(self) -> "Connection":
        "Start connecting; `Opened` or `Ended` will follow on the queue."
        self._thread.start()
        return self

    def close(self) -> None:
        """End the session from any thread, at once and without waiting; what it still had to say is not put on the
        queue."""
        with self._lock:
            first, self._closing = not self._closing, True
            if first and self._loop is not None:
                self._loop.call_soon_threadsafe(self._task.cancel)

    def join(self, timeout: float | None = None) -> bool:
        "Wait for the session's thread; True when it has ended."
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        reason = "the client failed in an unknown way; the log has the traceback"
        try:
            with asyncio.Runner(loop_factory=_Loop) as runner:
                reason = runner.run(self._main())
        finally:
            self.records.put(Ended(reason))

    async def _main(self) -> str:
        "Serve the session; its end comes back as the reason."
        from databento import BentoError

        try:
            return await self._serve()
        except (BentoError, OSError, ValueError) as error:
            return str(error) or repr(error)
        except asyncio.CancelledError:
            return "closed by its owner"
        finally:
            with self._lock:
                self._loop = None

    async def _serve(self) -> str:
        import databento

        loop = asyncio.get_running_loop()
        with self._lock:
            if self._closing:
                return "closed by its owner"
            self._loop, self._task = loop, asyncio.current_task()
        client = databento.Live(**self._client_settings, loop=loop)
        client.add_callback(self.records.put)
        subscribing = loop.run_in_executor(
            None, self._subscribe, client
        )  # connects and authenticates: the one call that blocks
        try:
            await self._authenticated(cast(_Loop, loop), subscribing)
            self.records.put(Opened(client.session_id or ""))
            client.start()
            await client.wait_for_close()
        finally:
            await self._leave(cast(_Loop, loop), subscribing, client)
        return "the gateway closed the session"

    def _subscribe(self, client) -> None:
        ask = self.subscription
        client.subscribe(
            dataset=ask.dataset, schema=ask.schema, symbols=list(ask.symbols), stype_in=ask.stype, start=ask.start
        )

    async def _authenticated(self, loop: _Loop, subscribing: asyncio.Future) -> None:
        "Wait for the subscription; the client itself does not notice when the socket closes meanwhile."
        closing = 0
        while not subscribing.done():
            await asyncio.wait({subscribing}, timeout=_AUTH_POLL)
            closing += any(transport.is_closing() for transport in loop.transports)
            # a refusal closes the socket too, and is on its way as an exception
            if closing > 1 and not subscribing.done():
                raise ConnectionError("the gateway closed the connection during authentication")
        subscribing.result()

    async def _leave(self, loop: _Loop, subscribing: asyncio.Future, client) -> None:
        """Cut the sockets and cancel the client's tasks, whatever they wait for; then nothing holds its lock, and it
        can be terminated."""
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        for transport in loop.transports:
            if not transport.is_closing():
                transport.abort()
        await asyncio.wait({subscribing}, timeout=_LEAVE)
        if subscribing.done():
            subscribing.cancelled() or subscribing.exception()  # seen, so that nobody complains that it was not
            client.terminate()
