"""The loopback servers without their sockets: a feed that hands over recorded bars, and a line into the paper broker's
own server code.

For measuring and for tests that need thousands of sessions; everything else goes over the wire.
"""

import asyncio
import json
from collections.abc import Iterable, Iterator

import httpx

from futures_algo.core.types import Bar
from futures_algo.feed.events import FeedEvent, FeedState, Position
from futures_algo.sim.broker import PaperBroker
from futures_algo.sim.httpd import Reply, decode

BURST = 2000  # bars handed over before the consumer may look at its clocks


class RecordedFeed:
    "Bars of any symbols in order of their ends, at once; the engine's face of `DatabentoLiveFeed`."

    def __init__(self, bars: Iterable[Bar], symbols: tuple[str, ...]):
        self.symbols, self.state, self.reason, self.duplicates = symbols, "replaying", "recorded bars", 0
        self.contracts: dict[str, str] = {}
        self.position: Position | None = None
        self._bars = iter(bars)

    def events(self, timeout: float | None = None) -> Iterator[FeedEvent]:
        "The next bars; the feed closes after the last."
        for _, bar in zip(range(BURST), self._bars):
            self.contracts[bar.symbol] = bar.contract
            yield bar
        if (following := next(self._bars, None)) is None:
            self.state, self.reason = "closed", "every recorded bar was read"
            yield FeedState("closed", self.reason, 0)
        else:
            yield following

    def shutdown(self, timeout: float = 5.0) -> None:
        self.state = "closed"


class BrokerLine(httpx.BaseTransport):
    "Carries a client's requests to a paper broker in this process."

    def __init__(self, broker: PaperBroker):
        self.broker, self.loop = broker, asyncio.new_event_loop()

    def ask(self, request: httpx.Request) -> Reply:
        "The server's own answer."
        head = f"{request.method} {request.url.raw_path.decode()} HTTP/1.1\r\n" + "".join(
            f"{name}: {value}\r\n" for name, value in request.headers.items()
        )
        return self.loop.run_until_complete(self.broker._answer(decode(head.encode(), request.read())))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        reply = self.ask(request)
        if reply.cut:
            raise httpx.ReadError("connection cut", request=request)
        content = json.dumps(reply.payload).encode() if reply.content is None else reply.content
        return httpx.Response(reply.status, headers=dict(reply.headers), content=content)

    def close(self) -> None:
        self.loop.close()
