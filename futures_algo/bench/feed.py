"""Feed benchmarks: the queue against a no-op callback on the bare client, and a day of one-second bars from the wire to
completed bars."""

import contextlib
import datetime as dt
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from futures_algo.core.dbn import OHLCV_DTYPE, SymbolInterval, write_records
from futures_algo.core.types import DAY, SECOND, Bar, to_nanos

_KEY = "db-bench"
_DAY = to_nanos("2025-11-05T00:00:00Z")
_INSTRUMENTS = {"ES.c.0": (101, "ESZ5"), "NQ.c.0": (102, "NQZ5")}
_RECORDS = 3 * DAY // SECOND  # two bars and a marker each second
_ROUNDS = 5
_TIMEFRAMES = ("1min", "6min", "27min")


def feed() -> list[dict]:
    "The feed's callback and queue against a no-op callback; the ratio is the median of runs taken in turns."
    with _day_file() as path:
        pairs = [(_bare_seconds(path), _queue_seconds(path)) for _ in range(_ROUNDS)]
        events = min(_feed_seconds(path) for _ in range(2))
    ratio = statistics.median(bare / queued for bare, queued in pairs)
    bare_rate, queue_rate = (_RECORDS / min(column) for column in zip(*pairs))
    return [
        _row(
            "callback and queue",
            queue_rate,
            "records/s",
            "no-op callback on databento.Live",
            bare_rate,
            ratio,
            ">= 0.70 of the peer",
            ratio >= 0.70,
        ),
        _row(
            "feed events, converted",
            _RECORDS / events,
            "records/s",
            "no-op callback on databento.Live",
            bare_rate,
            _RECORDS / events / bare_rate,
        ),
    ]


def replay() -> list[dict]:
    "24 hours of one-second ES and NQ bars, from a gateway in another process to completed 1, 6 and 27 minute bars."
    with _day_file() as path:
        seconds, completed = min(_replay(path) for _ in range(3))
    return [
        _row("24 h of one-second ES and NQ bars to completed bars", seconds, "s", target="< 5 s", met=seconds < 5.0),
        _row("completed bars", completed, "bars"),
    ]


def _row(
    metric: str,
    value: float,
    unit: str,
    peer: str = "",
    peer_value: float | None = None,
    ratio: float | None = None,
    target: str = "",
    met: bool | None = None,
) -> dict:
    return {
        "metric": metric,
        "value": value,
        "unit": unit,
        "peer": peer,
        "peer_value": peer_value,
        "ratio": ratio,
        "target": target,
        "met": met,
    }


@contextlib.contextmanager
def _day_file() -> Iterator[Path]:
    "A UTC day in which ES and NQ trade every second."
    rng, count = np.random.default_rng(0), DAY // SECOND
    rows = np.zeros((count, 2), OHLCV_DTYPE)
    rows["length"], rows["rtype"], rows["publisher_id"], rows["volume"] = 14, 32, 1, rng.integers(1, 500, (count, 2))
    rows["instrument_id"], rows["ts_event"] = [101, 102], (_DAY + SECOND * np.arange(count))[:, None]
    rows["open"] = rows["close"] = 250_000_000 * (24000 + rng.integers(-1, 2, (count, 2)).cumsum(axis=0))
    rows["high"], rows["low"] = rows["open"] + 250_000_000, rows["open"] - 250_000_000
    dates = dt.date(2025, 11, 1), dt.date(2025, 12, 1)
    mappings = {
        name: [SymbolInterval(*dates, i)]
        for symbol, (i, contract) in _INSTRUMENTS.items()
        for name in (symbol, contract)
    }
    with tempfile.TemporaryDirectory() as folder:
        write_records(path := Path(folder) / "day.dbn", rows.ravel(), mappings)
        yield path


@contextlib.contextmanager
def _gateway(path: Path) -> Iterator[int]:
    "A gateway in a process of its own, so that client and server do not share an interpreter; yields its port."
    command = [sys.executable, "-m", "futures_algo.sim.gateway", str(path), "--key", _KEY, "--close-at-end"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield json.loads(process.stdout.readline())["port"]
        finally:
            process.stdin.close()


def _bare_seconds(path: Path) -> float:
    "databento.Live alone, with a callback that does nothing."
    import databento

    with _gateway(path) as port:
        client = databento.Live(key=_KEY, gateway="127.0.0.1", port=port)
        client.add_callback(lambda record: None)
        client.subscribe(
            dataset="GLBX.MDP3", schema="ohlcv-1s", symbols=list(_INSTRUMENTS), stype_in="continuous", start=_DAY
        )
        began = time.perf_counter()
        client.start()
        client.block_for_close()
        return time.perf_counter() - began


def _queue_seconds(path: Path) -> float:
    "Our connection: the same client, its callback the queue, and a reader that takes the records off it."
    from futures_algo.feed.connection import Connection, Ended, Opened, Subscription

    with _gateway(path) as port:
        ask = Subscription("GLBX.MDP3", "ohlcv-1s", "continuous", tuple(_INSTRUMENTS), _DAY)
        get = Connection(_KEY, ask, "127.0.0.1", port).open().records.get
        assert isinstance(opened := get(), Opened), opened
        began = time.perf_counter()
        while type(get()) is not Ended:
            pass
        return time.perf_counter() - began


def _events(path: Path) -> Iterator:
    "What a feed hands out for the day."
    from futures_algo.feed.databento_feed import DatabentoLiveFeed

    with (
        _gateway(path) as port,
        DatabentoLiveFeed(
            _KEY,
            list(_INSTRUMENTS),
            gateway="127.0.0.1",
            port=port,
            start=_DAY,
            end=_DAY + DAY,
            expected_open=lambda at: True,
        ) as source,
    ):
        source.connect()
        yield from source.events()


def _feed_seconds(path: Path) -> float:
    stream = _events(path)
    next(stream)
    began = time.perf_counter()
    assert sum(type(event) is Bar for event in stream) == 2 * DAY // SECOND
    return time.perf_counter() - began


def _replay(path: Path) -> tuple[float, int]:
    "Seconds from the first event to the last completed bar, and how many there were."
    from futures_algo.aggregator.aggregator import BarAggregator
    from futures_algo.feed.events import IntervalEnd

    stream, aggregator, completed = _events(path), BarAggregator(_TIMEFRAMES), 0
    next(stream)
    began = time.perf_counter()
    for event in stream:
        if type(event) is Bar:
            completed += len(aggregator.push(event))
        elif type(event) is IntervalEnd:
            completed += sum(len(aggregator.advance(symbol, event.end)) for symbol in _INSTRUMENTS)
    return time.perf_counter() - began, completed
