"""Live bars that arrive once, in order, whatever the connection does, with the contract behind them and the state of
the feed."""

import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Self

from futures_algo.core.contracts import product
from futures_algo.core.dbn import SCHEMA_STEP
from futures_algo.core.named import did_you_mean
from futures_algo.core.types import SECOND, Bar, Clock, DataClock, FeedError, InputError, WallClock
from futures_algo.feed.connection import Connection, Ended, Opened, Wake, symbology_of
from futures_algo.feed.events import FeedEvent, Position
from futures_algo.feed.record_decoder import Demand, Intake
from futures_algo.feed.silence_watch import Patience, Watchdog

if TYPE_CHECKING:
    from futures_algo.feed.opening import FeedSettings

log = logging.getLogger(__name__)


_BURST = 256  # records read between two looks at the deadline
_FATAL = ("Authentication failed", "deactivated", "Unknown dataset")  # words of a refusal that a retry does not mend


class _Readers(dict):
    "Which method reads which record; one of a kind nobody asked for is passed over and does not end the session."

    def __missing__(self, kind: type) -> Callable[[Any], None]:
        self[kind] = lambda record: None
        log.warning("records of %s are not read", kind.__name__)
        return self[kind]


class DatabentoLiveFeed:
    "Live bars of one schema; see `events` and `stream`."

    def __init__(
        self,
        api_key: "str | Any",  # Databento key, or a SecretStr of it
        symbols: "Iterable[str] | str",  # "ES.c.0", ... or "ESZ5", ...
        on_bar_callback: Callable[[Bar], None] | None = None,  # called by stream() with each bar
        schema: str = "ohlcv-1s",
        *,
        dataset: str = "GLBX.MDP3",
        gateway: str | None = None,  # host; Databento's own by default
        port: int = 13000,
        start: int | None = None,  # ns UTC to replay from, at most 24 h back; None is live from now
        end: int | None = None,  # ns UTC; the feed closes when everything before was sent
        resume: Position | None = None,  # where an earlier feed stopped; takes the place of start
        heartbeat_s: int = 5,  # asked of the gateway; Databento takes 5 to 1800
        patience: Patience | None = None,  # deadlines and back-off
        expected_open: (
            Callable[[int], bool] | None
        ) = None,  # is the market open at a moment (ns UTC)? by default as the session calendars say
        clock: Clock | None = None,
    ):
        if schema not in SCHEMA_STEP:
            raise InputError("schema", schema, "must be a schema of bars", did_you_mean(schema, SCHEMA_STEP))
        symbols = (symbols,) if isinstance(symbols, str) else tuple(dict.fromkeys(symbols))
        self.schema, self.dataset, self.on_bar_callback, self._clock = (
            schema,
            dataset,
            on_bar_callback,
            clock or WallClock(),
        )
        begin = resume or (None if start is None else Position(start, {}))
        self._intake = Intake(schema, symbols, begin, end, self._clock.now)
        for symbol in symbols if expected_open is None else ():
            product(symbol)  # an unknown one has no calendar: say so now
        self._settings: dict[str, Any] = {
            "key": getattr(api_key, "get_secret_value", lambda: api_key)(),
            "gateway": gateway,
            "port": port,
            "heartbeat_s": heartbeat_s,
        }
        self.expected_open, self._patience = expected_open or self._market_open, patience or Patience()
        self._watchdog = Watchdog(self._patience, SCHEMA_STEP[schema] / SECOND, self.expected_open)
        own: dict[type, Callable[[Any], Any]] = {
            Opened: self._on_opened,
            Ended: self._on_ended,
            Wake: lambda _: None,
        }
        self._read = _Readers(self._intake.readers)
        self._read |= own
        self._connection: Connection | None = None
        self._ending: list[Connection] = []  # given up, perhaps still closing
        self._stopping, self._lock = threading.Event(), threading.Lock()
        self._fatal: FeedError | None = None
        self._delay, self._retry_at = self._patience.retry, 0.0
        self.sessions = 0  # ever authenticated

    def __repr__(self) -> str:
        return f"<DatabentoLiveFeed {self.schema} {','.join(self.symbols)} {self.state}: {self.reason}>"

    @property
    def symbols(self) -> tuple[str, ...]:
        return self._intake.symbols

    @property
    def state(self) -> str:
        "connecting, replaying, live, stale, down or closed."
        return self._intake.state

    @property
    def reason(self) -> str:
        return self._intake.reason

    @property
    def contracts(self) -> dict[str, str]:
        "Symbol -> contract it means now."
        return dict(self._intake.contracts)

    @property
    def position(self) -> Position | None:
        "Everything the consumer was handed, as the next feed's `resume`; None before it began."
        return self._intake.position

    @property
    def bars(self) -> int:
        "Bars read so far."
        return self._intake.bars

    @property
    def duplicates(self) -> int:
        "Bars dropped because they had come before."
        return self._intake.duplicates

    # -- the user's four verbs

    def connect(self) -> None:
        "Open the first session and wait until it is authenticated; a refusal or the deadline is a `FeedError`."
        if self._connection is None:
            self._open()
        while not self.sessions and self._connection:
            self._next(self._patience.poll)
        if self.sessions:
            return
        self.shutdown()
        raise FeedError(f"No session with Databento: {self.reason}")

    def subscribe(self, *symbols: str) -> tuple[str, ...]:
        "Add symbols; a running feed resumes at its position with all of them. Returns the symbols of the feed."
        more = tuple(dict.fromkeys((*self.symbols, *symbols)))
        if more != self.symbols:
            self._intake.symbology, self._intake.symbols = symbology_of(more), more
            if self._connection:
                self._connection.records.put(Ended("resubscribing: symbols were added"))
        return self.symbols

    def stream(self) -> None:
        "Call `on_bar_callback` with every bar until `shutdown`, or until `end` was reached."
        for event in self.events():
            if isinstance(event, Bar) and self.on_bar_callback:
                self.on_bar_callback(event)

    def shutdown(self, timeout: float = 5.0) -> None:
        "End the feed from any thread, and wait for its connections' threads."
        self._stopping.set()
        with self._lock:
            connections = [*self._ending, *filter(None, [self._connection])]
        for connection in connections:
            connection.close()
            connection.records.put(Wake())
        for connection in connections:
            connection.join(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()

    def events(
        self,
        timeout: float | None = None,  # seconds this call may go on; None until the feed closes
    ) -> Iterator[FeedEvent]:
        "The stream's events as they come. One consumer; call it again to go on where it stopped."
        deadline = float("inf") if timeout is None else time.monotonic() + timeout
        while True:
            yield from self._intake.take()
            if self._fatal:
                raise self._fatal
            if self.state == "closed":
                return
            left = deadline - time.monotonic()
            if left <= 0:
                return
            self._next(min(left, self._patience.poll))

    # -- one step of the machine

    def _next(self, wait: float) -> None:
        "Read what is there, or wait for it and look at the clocks."
        if self._stopping.is_set():
            self._obey(Demand("close", "shut down"))
        elif self._intake.is_complete:
            self._obey(Demand("close", "everything was sent"))
        elif self._connection is None:
            self._open_when_due(wait)
        elif self._read_burst(self._connection.records):
            self._heard()
        elif self._watch():
            self._wait(self._connection.records, wait)

    def _read_burst(self, records: queue.SimpleQueue) -> bool:
        "Read some of what the queue holds, as long as the session goes on; True when there was anything."
        get, read = records.get_nowait, self._read
        for count in range(_BURST):
            try:
                item = get()
            except queue.Empty:
                return count > 0
            if demand := read[type(item)](item):
                self._obey(demand)
                break
        return True

    def _wait(self, records: queue.SimpleQueue, seconds: float) -> None:
        "Wait until there is something to read, and read it."
        try:
            item = records.get(timeout=seconds)
        except queue.Empty:
            return
        if demand := self._read[type(item)](item):
            self._obey(demand)
        self._heard()

    def _heard(self) -> None:
        "Something came; if it was data the session is good, and the next back-off starts small."
        data = self._intake.took_data()
        if data:
            self._delay = self._patience.retry
        self._watchdog.heard(time.monotonic(), data)

    def _watch(self) -> bool:
        "Nothing is there to read; True while that is all right."
        reached = self._clock.now() if self._intake.closed_through is None else self._intake.closed_through
        verdict = self._watchdog.judge(time.monotonic(), reached, self._is_at_hand())
        if verdict.state == "stale" and self.state != "stale":
            self._intake.say("stale", verdict.reason)
        if verdict.state == "lost":
            self._obey(Demand("retry", verdict.reason))
        return verdict.state != "lost"

    def _is_at_hand(self) -> bool:
        """Whether what comes next is recorded already: then no closed market excuses a silence, whose recorded time
        stands still."""
        return isinstance(self._clock, DataClock) and self._intake.is_replaying

    def _market_open(self, at: int) -> bool:
        "Whether any symbol's session calendar is open at a moment (ns UTC)."
        from futures_algo.core.sessions import SessionCalendar

        return any(SessionCalendar.of(symbol).is_open(at) for symbol in self.symbols)

    # -- sessions

    def _open(self) -> None:
        "Start a new session at the position reached."
        with self._lock:
            if self._stopping.is_set():
                return
            self._ending = [connection for connection in self._ending if not connection.join(0)]
            self._connection = Connection(
                subscription=self._intake.begin_session(self.dataset), **self._settings
            ).open()
        self._watchdog.begin(time.monotonic())

    def _open_when_due(self, wait: float) -> None:
        left = self._retry_at - time.monotonic()
        if left > 0:
            self._stopping.wait(min(wait, left))
        else:
            self._open()

    def _obey(self, demand: Demand) -> None:
        "End the session as demanded, and arrange for the next one."
        log.info("%s: %s", demand.action, demand.reason)
        with self._lock:
            if self._connection:
                self._connection.close()
                self._ending.append(self._connection)
            self._connection = None
        if demand.action == "resume":
            self._open()
        elif demand.action == "close":
            self._intake.say("closed", demand.reason)
        elif demand.action == "refuse":
            self._refuse(demand.reason)
        else:
            self._back_off(demand)

    def _back_off(self, demand: Demand) -> None:
        "The next attempt comes after a while; jitter, because clients dropped together must not return together."
        if self._intake.took_data():
            self._delay = self._patience.retry
        delay = self._patience.retry_most if demand.action == "retry_late" else self._delay
        self._retry_at = time.monotonic() + delay * random.uniform(0.5, 1.0)
        self._delay = min(self._delay * 2, self._patience.retry_most)
        self._intake.say("down", demand.reason)

    def _refuse(self, reason: str) -> None:
        self._intake.say("down", reason)
        self._intake.say("closed", reason)
        self._fatal = FeedError(f"Databento refused: {reason}; check the key, the dataset and the symbols")

    def _on_opened(self, item: Opened) -> None:
        self._watchdog.authenticated = True
        self.sessions += 1

    def _on_ended(self, item: Ended) -> Demand:
        if not self.sessions and any(words in item.reason for words in _FATAL):
            return Demand("refuse", item.reason)
        return Demand("resume" if item.reason.startswith("resubscribing") else "retry", item.reason)


def open_feed(settings: "FeedSettings") -> DatabentoLiveFeed:
    "Databento as the feed of an engine."
    data = settings.data
    return DatabentoLiveFeed(
        data.api_key,
        data.symbols,
        schema=data.schema_,
        dataset=data.dataset,
        gateway=data.gateway,
        port=data.port,
        start=settings.start,
        end=settings.end,
        resume=settings.resume,
        heartbeat_s=data.heartbeat_s,
        clock=settings.clock,
    )
