"""Bars that are over: what closes of them, timeframes that join late, and strategies that see the past before they may
enter."""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any

from futures_algo.aggregator.aggregator import BarAggregator
from futures_algo.aggregator.pipeline import by_instant, whole_minutes
from futures_algo.core.types import Bar, Timeframe
from futures_algo.strategies.live import StrategyRunner

PAST_MINUTES = (
    45_000  # one-minute bars of a symbol taken from the journal to warm a strategy or build a timeframe: about a month
)


def closed(
    minutes: Iterable[Bar],  # of one symbol, oldest first
    timeframes: Iterable[str],
    clock: int = 0,  # ns UTC: everything that ends by then has been sent
) -> Iterator[list[Bar]]:
    "What closes, moment by moment, when these minutes are aggregated; of timeframes of seconds minutes say nothing."
    aggregator, symbol = BarAggregator(whole_minutes(timeframes), keep=0), ""
    for bar in minutes:
        symbol = bar.symbol
        yield from by_instant(aggregator.push(bar))
    yield from by_instant(aggregator.advance(symbol, clock))


def grow(
    state: dict[str, Any],  # `BarAggregator.save`: gets the periods under way that it lacks
    timeframes: Iterable[str],
    minutes: Callable[[str], list[Bar]],  # symbol -> the bars it was fed, oldest first, as far back as they are at hand
) -> list[Bar]:  # what has closed of them
    "Let more timeframes have been built all along."
    wanted, made = {Timeframe(t) for t in timeframes}, []
    for symbol, content in state.items():
        if not (new := wanted - {period["timeframe"] for period in content["periods"]}):
            continue
        past = BarAggregator(new, keep=0)
        made += [done for bar in minutes(symbol) for done in past.push(bar)] + past.advance(symbol, content["clock"])
        content["periods"] += past.save().get(symbol, {}).get("periods", [])
    return made


def extend(aggregator: BarAggregator, timeframes: Iterable[str], minutes: Callable[[str], list[Bar]]) -> list[Bar]:
    "Build more timeframes, with their past and the period that is under way; returns what has closed of them."
    new = sorted({Timeframe(t) for t in timeframes} - set(aggregator.timeframes), key=lambda t: t.seconds)
    if not new:
        return []
    state = aggregator.save()
    made = grow(state, new, minutes)
    aggregator.add_timeframes(new)
    aggregator.restore(state)
    aggregator.remember(made)
    return made


def warm(runner: StrategyRunner, bars: Iterable[Bar]) -> int:
    """Let a runner see closed bars of its timeframes; what it would have done then is its model position, and no signal
    goes anywhere. Returns how many it saw."""
    seen = sorted(
        (bar for bar in bars if bar.symbol == runner.symbol and bar.timeframe in runner.timeframes),
        key=lambda bar: (bar.end, bar.end - bar.start),
    )
    for _, moment in groupby(seen, key=lambda bar: bar.end):
        runner.on_bars(list(moment))
    return len(seen)
