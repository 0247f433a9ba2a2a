"""From feed bars to signals: the part of the engine that is the same in a replay, a demo and a live session.

It knows nothing of threads, journals or brokers. Feed it bars and end-of-interval markers in stream order;
it yields the bars that closed, one instant at a time, and the strategies' signals on them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from futures_algo.aggregator.aggregator import BarAggregator, SecondToMinuteAggregator
from futures_algo.core.types import MINUTE, Bar, InputError, Timeframe

Instant = list[Bar]  # bars of one symbol that closed at the same moment, finest first


class BarPipeline:
    "Feed bars of any number of symbols in, closed bars of every asked-for timeframe out."

    def __init__(
        self,
        timeframes: Iterable[int | str],  # what strategies and charts need; 1min is always there
        schema: str = "ohlcv-1s",  # what the feed sends: ohlcv-1s or ohlcv-1m
    ):
        wanted = {Timeframe(1), *map(Timeframe, timeframes)}
        self.schema = schema
        self.minutes = BarAggregator(whole_minutes(wanted))
        self.seconds = SecondToMinuteAggregator() if schema == "ohlcv-1s" else None
        self.fine: BarAggregator | None = None  # timeframes that are no whole minutes, from the feed's seconds
        self.add_fine(wanted)
        self.symbols: dict[str, None] = {}  # in order of first bar

    def add_fine(self, timeframes: Iterable[int | str]) -> None:
        "Build more of those that are no whole minutes, from the next bar on."
        if not (fine := {Timeframe(t) for t in timeframes} - set(whole_minutes(timeframes))):
            return
        if not self.seconds:
            raise InputError(
                "timeframe", ", ".join(sorted(fine)), f"needs bars of a second, not {self.schema}", "use ohlcv-1s"
            )
        if self.fine is None:
            self.fine = BarAggregator(())
        self.fine.add_timeframes(fine)

    def push(self, bar: Bar) -> Iterator[Instant]:
        "What closes when this feed bar arrives."
        self.symbols.setdefault(bar.symbol)
        minutes = self.seconds.push(bar) if self.seconds else (bar,)
        if self.fine is not None:
            yield from by_instant(self._with_fine(self.fine, bar, minutes))
            return
        for minute in minutes:
            yield from by_instant(self.minutes.push(minute))

    def _with_fine(self, fine: BarAggregator, bar: Bar, minutes: Iterable[Bar]) -> list[Bar]:
        "What closes of both kinds: a second that has come says that every minute before its own is over."
        closed = fine.push(bar) + [done for minute in minutes for done in self.minutes.push(minute)]
        closed += self.minutes.advance(bar.symbol, bar.start - bar.start % MINUTE)
        return sorted(closed, key=lambda done: (done.end, done.end - done.start))

    def advance(self, now: int) -> Iterator[Instant]:
        """What closes because every bar that ends by `now` (ns UTC) has been sent: an end-of-interval marker or the
        clock."""
        for symbol in self.symbols:
            closed = self.fine.advance(symbol, now) if self.fine is not None else []
            if self.seconds:
                for minute in self.seconds.advance(symbol, now):
                    closed += self.minutes.push(minute)
            known = (
                now - now % MINUTE if self.seconds else now
            )  # a minute a roll cuts short ends before markers that have already passed
            closed += self.minutes.advance(symbol, known)
            yield from by_instant(sorted(closed, key=lambda done: (done.end, done.end - done.start)))

    def save(self) -> dict[str, Any]:
        "The state as JSON-able data."
        return {
            "symbols": list(self.symbols),
            "minutes": self.minutes.save(),
            "seconds": self.seconds and self.seconds.save(),
            "fine": self.fine and self.fine.save(),
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        "Continue where `save` stopped."
        self.symbols = dict.fromkeys(saved["symbols"])
        self.minutes.restore(saved["minutes"])
        if self.seconds and saved["seconds"]:
            self.seconds.restore(saved["seconds"])
        if self.fine and saved.get("fine"):
            self.fine.restore(saved["fine"])


def whole_minutes(timeframes: Iterable[int | str]) -> list[Timeframe]:
    "Those that are made of whole minutes."
    return [timeframe for timeframe in map(Timeframe, timeframes) if timeframe.seconds % 60 == 0]


def by_instant(closed: list[Bar]) -> Iterator[Instant]:
    "Bars of one symbol in the order they closed, grouped by the moment they closed."
    if len(closed) < 2 or closed[0].end == closed[-1].end:
        if closed:
            yield closed
        return
    for end in sorted({bar.end for bar in closed}):
        yield [bar for bar in closed if bar.end == end]


def replay(
    bars: Iterable[Bar],  # feed bars in stream order
    timeframes: Iterable[int | str],
    on_instant: Callable[[Instant], object],
    schema: str = "ohlcv-1m",
) -> BarPipeline:
    "Run recorded bars through the live path, bar by bar."
    pipeline = BarPipeline(timeframes, schema)
    for bar in bars:
        for instant in pipeline.push(bar):
            on_instant(instant)
    return pipeline
