"""Aggregator benchmarks: arrays of minutes to 27 minutes beside `pandas.resample`, and what the live form takes a
bar."""

import time
from collections.abc import Callable

import numpy as np

from futures_algo.aggregator.aggregator import BarAggregator, aggregate
from futures_algo.core.sessions import SessionCalendar
from futures_algo.core.types import MINUTE, Bars, Timeframe, to_nanos

_MINUTES = 350_000  # a year of one-minute ES bars
_TIMEFRAME = 27  # minutes
_LIVE_TIMEFRAMES = (5, 15, 27, 60, 240)
_ROUNDS = 15
_REPEATS = 10  # of ours a turn, so that both take about as long and other work on the machine strikes both alike


def aggregator() -> list[dict]:
    """Batch and live form on a year of minutes, each the median of rounds; the peer's bars are checked against ours
    first."""
    bars = year_of_minutes()
    compared = same_periods(bars)
    runs = [
        (_seconds(lambda: resampled(bars)), _seconds(lambda: aggregate(bars, _TIMEFRAME), _REPEATS))
        for _ in range(_ROUNDS)
    ]
    ratio = float(np.median([theirs / ours for theirs, ours in runs]))
    theirs, ours = (len(bars) / float(np.median(column)) for column in zip(*runs))
    live = float(np.median([_live_microseconds(bars[:100_000]) for _ in range(5)]))
    return [
        {
            "metric": f"arrays of {_MINUTES:,} minutes to {_TIMEFRAME} min ({compared:,} bars equal the peer's)",
            "value": ours,
            "unit": "bars/s",
            "peer": "pandas.resample",
            "peer_value": theirs,
            "ratio": ratio,
            "target": ">= 10 x the peer",
            "met": ratio >= 10.0,
        },
        {
            "metric": f"live form, a bar and timeframe ({len(_LIVE_TIMEFRAMES)} at once)",
            "value": live,
            "unit": "us",
            "peer": "",
            "peer_value": None,
            "ratio": None,
            "target": "< 3 us",
            "met": live < 3.0,
        },
    ]


def year_of_minutes(count: int = _MINUTES) -> Bars:
    "One-minute bars of ES over as many sessions as it takes, prices a seeded walk in ticks."
    opens = to_nanos("2024-01-01T23:00Z")
    segments = SessionCalendar.of("ES").segments(opens, opens + 2 * count * MINUTE)
    start = np.concatenate([np.arange(segment.open, segment.close, MINUTE) for segment in segments])[:count]
    random = np.random.default_rng(1)
    close = 5000 + 0.25 * np.cumsum(random.integers(-3, 4, count))
    open = np.concatenate(([5000.0], close[:-1]))
    high, low = np.maximum(open, close) + 0.25, np.minimum(open, close) - 0.25
    return Bars(
        "ES.c.0",
        Timeframe("1min"),
        start,
        start + MINUTE,
        open,
        high,
        low,
        close,
        random.integers(1, 500, count),
        contracts=("ESZ4",),
    )


def resampled(bars: Bars):
    "The peer: pandas counts its periods from the first bar on, through halts and weekends."
    import pandas as pd

    columns = {name: getattr(bars, name) for name in ("open", "high", "low", "close", "volume")}
    frame = pd.DataFrame(columns, index=pd.DatetimeIndex(bars.start.view("M8[ns]")))
    rules = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    return frame.resample(f"{_TIMEFRAME}min", origin="start").agg(rules).dropna()


def same_periods(bars: Bars) -> int:
    """How many periods both count alike (sessions that open a whole number of periods after the first); their bars must
    be equal."""
    made, frame = aggregate(bars, _TIMEFRAME), resampled(bars)
    made = made[made.end - made.start == _TIMEFRAME * MINUTE]
    starts = frame.index.as_unit("ns").asi8
    row = np.minimum(np.searchsorted(starts, made.start), len(starts) - 1)
    alike = starts[row] == made.start
    for name in ("open", "high", "low", "close", "volume"):
        if not np.array_equal(getattr(made, name)[alike], frame[name].to_numpy()[row[alike]]):
            raise AssertionError(f"{name} differs from pandas.resample")
    return int(alike.sum())


def _seconds(work: Callable[[], object], times: int = 1) -> float:
    began = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - began) / times


def _live_microseconds(bars: Bars) -> float:
    "What one bar costs a timeframe, the pushing loop included; the bars are made beforehand."
    one_by_one, live = list(bars), BarAggregator(_LIVE_TIMEFRAMES)

    def push_all() -> None:
        for bar in one_by_one:
            live.push(bar)

    return _seconds(push_all) / len(one_by_one) / len(_LIVE_TIMEFRAMES) * 1e6
