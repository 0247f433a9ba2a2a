"""History before the feed's replay: fetched into the store at start, its price known and limited, so that slow
indicators are warm when trading begins."""

import heapq
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TypeVar

from futures_algo.config.model import DatabentoConfig
from futures_algo.core.types import DAY, Bar
from futures_algo.history.fetch import fetch, historical_client
from futures_algo.history.store import BarStore

_T = TypeVar("_T")


def in_background(work: Callable[[], _T]) -> "Future[_T]":
    "Do this in a thread that nobody has to wait for, not even the end of the process."
    future: Future[_T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)  # raised again where the result is asked for

    threading.Thread(target=run, name="history", daemon=True).start()
    return future


def warmup_bars(
    config: DatabentoConfig,
    until: int,  # ns UTC, a whole minute: where the feed's replay begins
) -> Iterator[Bar]:
    """One-minute bars of all symbols before `until`, in order of their ends; what the store lacks is fetched, or
    refused when it costs too much."""
    store, start = BarStore(config.store, config.dataset), until - int(config.warmup_days * DAY)
    client = historical_client(config.api_key.get_secret_value(), config.historical_url)
    fetch(config.symbols, start, until, client=client, store=store, schema="ohlcv-1m", max_cost_usd=config.max_cost_usd)
    yield from heapq.merge(
        *(store.read(symbol, "ohlcv-1m", start, until) for symbol in config.symbols), key=lambda bar: bar.end
    )
