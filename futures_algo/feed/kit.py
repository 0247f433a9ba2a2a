"""The written contract of `feed.protocol`, tried on any implementation over bars that are known.

```python
def test_my_feed_keeps_the_contract():
    broken = check_feed(lambda resume: MyFeed(resume=resume), expected_bars)
    assert not broken, "\\n".join(broken)
```
"""

import threading
import time
from collections.abc import Callable, Sequence

from futures_algo.core.types import Bar
from futures_algo.feed.events import ContractMapped, FeedEvent, FeedState, IntervalEnd, Position
from futures_algo.feed.protocol import Feed

PATIENCE = 30.0  # seconds a whole reading may take


def check_feed(
    open_feed: Callable[[Position | None], Feed],  # a new feed over the same bars, from a position on
    expected: Sequence[Bar],  # every bar it owes, in stream order
) -> list[str]:
    "Every rule that is broken, as a sentence; none when the contract is kept."
    whole = open_feed(None)
    events = _read(whole)
    broken = [*_order(events), *_bars([one for one in events if isinstance(one, Bar)], expected, "one reading")]
    if not events or not (isinstance(events[-1], FeedState) and events[-1].state == "closed" == whole.state):
        broken.append(f"a feed that ended is {whole.state}; its last event must be FeedState('closed', why, at)")
    return [*broken, *_resumed(open_feed, expected), *_ended_from_outside(open_feed)]


def _read(feed: Feed, most: int | None = None) -> list[FeedEvent]:
    "The events until it closes, or until so many bars came."
    found: list[FeedEvent] = []
    deadline, bars = time.monotonic() + PATIENCE, 0
    while feed.state != "closed" and time.monotonic() < deadline:
        for event in feed.events(0.1):
            found.append(event)
            bars += isinstance(event, Bar)
            if most is not None and bars >= most:
                return found
    return found


def _order(events: Sequence[FeedEvent]) -> list[str]:
    closed, last, contracts, broken = 0, dict[str, int](), dict[str, str](), []
    for event in events:
        if isinstance(event, IntervalEnd):
            if event.end < closed:
                broken.append(f"a marker of {event.end} came after one of {closed}")
            closed = event.end
        elif isinstance(event, ContractMapped):
            contracts[event.symbol] = event.contract
        elif isinstance(event, Bar):
            broken += _misplaced(event, closed, last, contracts)
            last[event.symbol] = event.start
    return broken[:10]


def _misplaced(bar: Bar, closed: int, last: dict[str, int], contracts: dict[str, str]) -> list[str]:
    found = []
    if bar.start < closed and bar.end <= closed:
        found.append(f"the bar of {bar.symbol} at {bar.start} came after the marker {closed} that closed it")
    if bar.start <= last.get(bar.symbol, -1):
        found.append(f"the bars of {bar.symbol} do not rise: {bar.start} after {last[bar.symbol]}")
    if bar.contract and contracts.get(bar.symbol) != bar.contract:
        found.append(f"the bar of {bar.symbol} at {bar.start} is of {bar.contract}, which no ContractMapped announced")
    return found


def _bars(found: Sequence[Bar], expected: Sequence[Bar], what: str) -> list[str]:
    key = lambda bar: (bar.symbol, bar.start)
    missing = {key(bar) for bar in expected} - {key(bar) for bar in found}
    broken = [f"{what}: {len(missing)} bars are missing, first {min(missing)}"] if missing else []
    if len({key(bar) for bar in found}) < len(found):
        broken.append(f"{what}: {len(found) - len({key(bar) for bar in found})} bars came twice")
    return broken


def _resumed(open_feed: Callable[[Position | None], Feed], expected: Sequence[Bar]) -> list[str]:
    "Stopped in the middle and opened again where it stood."
    first = open_feed(None)
    before = [one for one in _read(first, most=max(1, len(expected) // 2)) if isinstance(one, Bar)]
    position = first.position
    first.shutdown()
    if position is None:
        return ["position is None after half of the bars"]
    after = [one for one in _read(open_feed(position)) if isinstance(one, Bar)]
    return _bars([*before, *after], expected, "stopped and resumed")


def _ended_from_outside(open_feed: Callable[[Position | None], Feed]) -> list[str]:
    feed, done = open_feed(None), threading.Event()

    def read() -> None:
        _read(feed)
        done.set()

    threading.Thread(target=read, daemon=True).start()
    feed.shutdown()
    return [] if done.wait(PATIENCE) else ["shutdown from another thread did not end events()"]
