"""Quotes and profit as CrossTrade pushes them: a hint that saves polling, never the truth."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from futures_algo.broker.models import Quote, UnreadableAnswer
from futures_algo.broker.requests import dated_instrument
from futures_algo.core.contracts import Contract
from futures_algo.crosstrade.http import Token
from futures_algo.crosstrade.parsing import read_quotes

BACKOFF = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0)  # seconds before each further try
PING = 20.0  # seconds between pings, and the longest silence after one


class StreamState(NamedTuple):
    "How the stream is doing."

    name: str  # connecting | live | down | kicked | refused | closed
    reason: str
    at: int  # ns UTC


def stream_url(base_url: str) -> str:
    "The WebSocket beside a REST base URL: https://app.crosstrade.io/v1/api -> wss://app.crosstrade.io/ws/stream."
    parts = urlsplit(base_url)
    return urlunsplit(("wss" if parts.scheme == "https" else "ws", parts.netloc, "/ws/stream", "", ""))


def quiet_logger() -> logging.Logger:
    "A logger for the WebSocket library that stays above DEBUG, where it would print the token's header."
    logger = logging.getLogger("futures_algo.crosstrade.stream.socket")
    logger.setLevel(logging.INFO)
    return logger


class MarketStream:
    "Keeps the latest quote of each instrument and the latest profit of each account, from a thread of its own."

    def __init__(
        self,
        token: Any = None,  # as `CrossTradeClient`
        base_url: str = "https://app.crosstrade.io/v1/api",
        instruments: "Iterable[str | Contract]" = (),  # dated contracts
        *,
        profit_every: int = 0,  # ms between profit updates; 0 for none
        on_quote: Callable[[Quote], None] | None = None,  # called on the stream's thread
        on_profit: Callable[[Mapping], None] | None = None,
        on_gap: Callable[[str], None] | None = None,  # frames were lost: poll what matters
        backoff: tuple[float, ...] = BACKOFF,
    ):
        self._token, self.url = Token.of(token), stream_url(base_url)
        self.instruments = {dated_instrument(name) for name in instruments}
        self.profit_every, self._backoff = profit_every, backoff
        self._on_quote, self._on_profit, self._on_gap = on_quote, on_profit, on_gap
        self.state, self.reconnects, self.gaps = StreamState("closed", "not started", time.time_ns()), 0, 0
        self.profit: dict[str, Mapping] = {}
        self._quotes: dict[str, tuple[Quote, float]] = {}
        self._socket: Any = None
        self._stop = threading.Event()
        self._seq: int | None = None
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"MarketStream({self.url!r}, {self.state.name})"

    def start(self) -> "MarketStream":
        "Connect in the background, and stay connected."
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="crosstrade-stream", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        "Disconnect and end the thread."
        self._stop.set()
        if socket := self._socket:
            socket.close()
        if self._thread:
            self._thread.join()
        self._enter("closed", "stopped")

    def subscribe(self, *instruments: "str | Contract") -> None:
        "Add instruments, now and after every reconnect."
        new = {dated_instrument(name) for name in instruments} - self.instruments
        self.instruments |= new
        if new and self._socket:
            self._send({"action": "subscribe", "instruments": sorted(new)})

    def quote(self, instrument: "str | Contract", max_age: float = 2.0) -> Quote | None:
        "The latest pushed quote if it came within `max_age` seconds on a live stream."
        quote, received = self._quotes.get(dated_instrument(instrument), (None, 0.0))
        return quote if quote and self.state.name == "live" and time.monotonic() - received <= max_age else None

    def _enter(self, name: str, reason: str = "") -> None:
        self.state = StreamState(name, reason, time.time_ns())

    def _send(self, message: Mapping) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            self._socket.send(json.dumps(message))
        except ConnectionClosed:
            pass  # the reader sees it too, reconnects, and subscribes again

    def _run(self) -> None:
        "Connect, read to the end, wait, again; a refused token ends it."
        tries = 0
        while not self._stop.is_set():
            self._enter("connecting")
            name, reason, heard = self._connection()
            if self._stop.is_set():
                return
            self._enter(name, reason)
            if name == "refused":
                return
            tries = 0 if heard else tries + 1
            self.reconnects += 1
            self._stop.wait(self._backoff[-1 if name == "kicked" else min(tries, len(self._backoff) - 1)])

    def _connection(self) -> tuple[str, str, bool]:
        "One connection from handshake to end: how it ended, why, and whether anything was heard."
        from websockets.exceptions import InvalidHandshake, InvalidStatus
        from websockets.sync.client import connect

        try:
            socket = connect(
                self.url,
                additional_headers={"Authorization": self._token.header()},
                logger=quiet_logger(),
                proxy=None,
                open_timeout=10.0,
                close_timeout=1.0,
                ping_interval=PING,
                ping_timeout=PING,
            )
        except InvalidStatus as error:
            status = error.response.status_code
        except (OSError, TimeoutError, InvalidHandshake) as error:
            return "down", self._token.redact(f"{type(error).__name__}: {error}"), False
        else:
            with socket:
                return self._read(socket)
        return ("refused" if status in (401, 403) else "down"), f"HTTP {status}", False

    def _read(self, socket: Any) -> tuple[str, str, bool]:
        "Subscribe, then take frames until the connection ends."
        from websockets.exceptions import ConnectionClosed

        self._socket, self._seq, heard = socket, None, False
        if self.instruments:
            self._send({"action": "subscribe", "instruments": sorted(self.instruments)})
        if self.profit_every:
            self._send({"action": "streamPnl", "enabled": True, "interval": self.profit_every})
        self._enter("live")
        if self._stop.is_set():
            return "closed", "stopped", False
        try:
            for text in socket:
                self._take(text)
                heard = True
        except ConnectionClosed as error:
            reason = str(error)
        else:
            reason = str(socket.close_reason or "closed by the server")
        finally:
            self._socket = None
        return ("kicked" if "active elsewhere" in reason else "down"), self._token.redact(reason), heard

    def _take(self, text: Any) -> None:
        "One frame; what cannot be read is a gap, not an end."
        try:
            frame = json.loads(text)
        except ValueError:
            return self._gap("a frame was not JSON")
        if not isinstance(frame, Mapping):
            return self._gap("a frame was not an object")
        self._check_sequence(frame)
        if frame.get("type") == "marketData":
            self._take_quotes(frame.get("quotes"))
        elif frame.get("type") == "pnlUpdate":
            self._take_profit(frame)
        elif frame.get("type") == "resync":
            self._gap("the server asks to read everything again")
        elif frame.get("type") == "error":
            self._enter(
                "kicked" if "elsewhere" in str(frame) else self.state.name,
                self._token.redact(str(frame.get("error", frame))[:200]),
            )

    def _check_sequence(self, frame: Mapping) -> None:
        seq, last = frame.get("seq"), self._seq
        if frame.get("dropped"):
            self._gap(f"the server dropped {frame['dropped']} frames")
        elif isinstance(seq, int) and last is not None and seq != last + 1:
            self._gap(f"frames {last + 1} to {seq - 1} are missing")
        if isinstance(seq, int):
            self._seq = seq

    def _gap(self, why: str) -> None:
        self.gaps += 1
        if self._on_gap:
            self._on_gap(why)

    def _take_quotes(self, rows: Any) -> None:
        try:
            quotes = read_quotes(rows if isinstance(rows, list) else [])
        except UnreadableAnswer as error:
            return self._gap(str(error))
        for quote in quotes:
            self._quotes[quote.instrument] = quote, time.monotonic()
            if self._on_quote:
                self._on_quote(quote)

    def _take_profit(self, frame: Mapping) -> None:
        for row in frame.get("accounts") or ():
            if isinstance(row, Mapping) and (name := row.get("name") or row.get("account")):
                self.profit[str(name)] = row
        if self._on_profit:
            self._on_profit(frame)
