"""What a feed is to this package: the seam behind which Databento stands, or anybody's own.

The written contract, which `feed.kit` tries on any implementation:

- `events` yields bars (`Bar`), markers (`IntervalEnd`), contracts (`ContractMapped`) and states (`FeedState`) in stream
  order, each bar once: a symbol's bars rise, and none starts before a marker that has passed.
- `ContractMapped` comes before the first bar of that contract.
- It returns after `timeout` seconds at the latest, or when the feed has closed, and goes on at the next call where it
  stopped. The last event of a feed that ends is `FeedState("closed", why, at)`.
- `position` says what the consumer was handed; a feed opened with it as `resume` gives neither a bar twice nor misses
  one.
- `shutdown` ends it, from any thread.

```python
feed = open_feed("databento", FeedSettings(symbols=("ES.c.0",), data=config.databento, clock=WallClock()))
while feed.state != "closed":
    for event in feed.events(0.25):
        ...
```
"""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from futures_algo.feed.events import FeedEvent, Position


@runtime_checkable
class Feed(Protocol):
    "Everything the engine asks of a feed."

    @property
    def symbols(self) -> tuple[str, ...]:
        "What it was asked for: ES.c.0, ..."
        ...

    @property
    def state(self) -> str:
        "connecting, replaying, live, stale, down or closed."
        ...

    @property
    def reason(self) -> str:
        "Why it is in that state, in words."
        ...

    @property
    def contracts(self) -> dict[str, str]:
        "Symbol -> dated contract it means now."
        ...

    @property
    def position(self) -> Position | None:
        "Everything the consumer was handed, as the next feed's `resume`; None before it began."
        ...

    @property
    def duplicates(self) -> int:
        "Bars dropped because they had come before."
        ...

    def events(self, timeout: float | None = None) -> Iterator[FeedEvent]:
        "The stream's events as they come, for at most `timeout` seconds. One consumer."
        ...

    def shutdown(self, timeout: float = 5.0) -> None:
        "End the feed, from any thread."
        ...
