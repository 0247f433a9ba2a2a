"A small recorded market with a roll, written as DBN, and feeds that lose patience quickly enough for tests."

import datetime as dt
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from futures_algo.core.dbn import OHLCV_DTYPE, SymbolInterval, write_records
from futures_algo.core.types import SECOND, Bar, to_nanos
from futures_algo.feed.databento_feed import DatabentoLiveFeed
from futures_algo.feed.events import ContractMapped, FeedState, IntervalEnd
from futures_algo.feed.silence_watch import Patience

KEY = "db-sim"
MIDNIGHT = to_nanos("2025-12-16T00:00:00Z")
ROLL = dt.date(2025, 12, 16)
_FIRST, _LAST = dt.date(2025, 12, 1), dt.date(2026, 3, 1)
_INSTRUMENTS = {"ES.c.0": (101, 202), "NQ.c.0": (303, 303)}  # before and after midnight: ES rolls, NQ does not
_CONTRACTS = {101: "ESZ5", 202: "ESH6", 303: "NQZ5"}
IMPATIENT = Patience(connect=0.5, silence=0.25, stale=0.1, dead=0.25, retry=0.005, retry_most=0.05, poll=0.01)
HEARTBEAT = 0.05  # s, of the loopback gateway


class World(NamedTuple):
    "A DBN file and the bars a feed owes for it."

    path: Path
    bars: list[Bar]
    start: int  # ns
    end: int  # ns


def record(path: Path, seed: int = 0, seconds: int = 40) -> World:
    "Bars of ES and NQ around a midnight, four of five seconds traded, ES rolling at midnight."
    rng = np.random.default_rng(seed)
    starts = MIDNIGHT + SECOND * np.arange(-seconds // 2, seconds // 2)
    parts = [_rows(rng, starts[rng.random(len(starts)) < 0.8], *_INSTRUMENTS[symbol]) for symbol in _INSTRUMENTS]
    rows = np.concatenate(parts)
    rows = rows[np.lexsort((rows["instrument_id"], rows["ts_event"]))]
    write_records(path, rows, _mappings())
    return World(path, list(map(_bar, rows)), int(starts[0]), int(starts[-1]) + SECOND)


def _rows(rng: np.random.Generator, starts: np.ndarray, before: int, after: int) -> np.ndarray:
    rows = np.zeros(len(starts), OHLCV_DTYPE)
    rows["length"], rows["rtype"], rows["publisher_id"], rows["ts_event"] = 14, 32, 1, starts
    rows["instrument_id"] = np.where(starts < MIDNIGHT, before, after)
    rows["open"], rows["close"] = rng.integers(20000, 21000, (2, len(rows))) * 250_000_000
    rows["high"] = np.maximum(rows["open"], rows["close"]) + 500_000_000
    rows["low"] = np.minimum(rows["open"], rows["close"]) - 250_000_000
    rows["volume"] = rng.integers(1, 500, len(rows))
    return rows


def _mappings() -> dict[str, list[SymbolInterval]]:
    continuous = {
        symbol: [SymbolInterval(_FIRST, ROLL, before), SymbolInterval(ROLL, _LAST, after)]
        for symbol, (before, after) in _INSTRUMENTS.items()
    }
    return continuous | {name: [SymbolInterval(_FIRST, _LAST, instrument)] for instrument, name in _CONTRACTS.items()}


def _bar(row: np.void) -> Bar:
    symbol = next(symbol for symbol, ids in _INSTRUMENTS.items() if row["instrument_id"] in ids)
    start = int(row["ts_event"])
    prices = (int(row[name]) / 1e9 for name in ("open", "high", "low", "close"))
    return Bar(symbol, "1s", start, start + SECOND, *prices, int(row["volume"]), _CONTRACTS[int(row["instrument_id"])])


def feed_of(gateway, symbols: Iterable[str] = ("ES.c.0", "NQ.c.0"), callback=None, **settings) -> DatabentoLiveFeed:
    "A feed on the loopback gateway that takes the market to be open always."
    settings = {"patience": IMPATIENT, "expected_open": lambda at: True} | settings
    return DatabentoLiveFeed(KEY, symbols, callback, gateway="127.0.0.1", port=gateway.port, **settings)


def only(kind: type, events: Iterable) -> list:
    return [event for event in events if isinstance(event, kind)]


def check_stream(events: list, world: World) -> None:
    """Every bar once, in order, under its contract; markers increase and each stands after all it closes; one roll,
    before the first bar of the new contract."""
    bars, ends = only(Bar, events), [event.end for event in only(IntervalEnd, events)]
    for symbol in _INSTRUMENTS:
        assert [bar for bar in bars if bar.symbol == symbol] == [bar for bar in world.bars if bar.symbol == symbol]
    assert ends == sorted(set(ends)) and ends[-1] == world.end
    closed, contract = 0, {}
    for event in events:
        if isinstance(event, IntervalEnd):
            closed = event.end
        elif isinstance(event, ContractMapped):
            contract[event.symbol] = event.contract
        elif isinstance(event, Bar):
            assert event.start >= closed and event.contract == contract[event.symbol]
    mapped = [(event.symbol, event.contract) for event in only(ContractMapped, events)]
    assert sorted(mapped) == [("ES.c.0", "ESH6"), ("ES.c.0", "ESZ5"), ("NQ.c.0", "NQZ5")], mapped


def states(events: Iterable) -> list[str]:
    return [event.state for event in only(FeedState, events)]
