"""Latency of orders on loopback: from the signal to the request at the broker, the journal's full sync included, and a burst against the rate limit.

The broker is a process of its own, and the moments are the wall clock of one machine: before `submit_signal`, and when the broker has read the request.
"""
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from futures_algo.core import Signal, signal_id

_RUNS, _SIGNALS, _WARM, _BURST = 5, 300, 20, 26
_MEDIAN_MS, _TAIL_MS = 1.5, 8.0
_BROKER = """
import sys, threading
from futures_algo.core import WallClock
from futures_algo.sim.broker import PaperBroker
rate = float(sys.argv[1]) or None
with PaperBroker({'ES 12-27': 5850.0}, clock=WallClock(), rate=rate) as broker:
    print(broker.url, flush=True)
    sys.stdin.read()
"""


def latency() -> list[dict]:
    "Signal to wire, and twenty orders at once with more behind them."
    runs = [sorted(_signal_to_wire()) for _ in range(_RUNS)]
    median, tail = (statistics.median(waits[int(len(waits) * part)] for waits in runs) for part in (0.5, 0.99))
    seconds, refused = _burst()
    return [_row("signal to request on the wire, median", median, "ms", f"< {_MEDIAN_MS} ms", median < _MEDIAN_MS),
            _row("signal to request on the wire, 99th percentile", tail, "ms", f"< {_TAIL_MS} ms", tail < _TAIL_MS),
            _row(f"{_BURST} orders, 20 at once and then 3/s", seconds, "s"),
            _row("of them answered 429", refused, "orders", "0", refused == 0)]


def _row(metric: str, value: float, unit: str, target: str = "", met: bool | None = None) -> dict:
    return {"metric": metric, "value": value, "unit": unit, "peer": "", "peer_value": None, "ratio": None, "target": target, "met": met}


@contextlib.contextmanager
def _broker(rate: float) -> Iterator[str]:
    "A paper broker in its own process; its URL."
    with subprocess.Popen([sys.executable, "-c", _BROKER, str(rate)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try: yield process.stdout.readline().strip()
        finally: process.stdin.close()


@contextlib.contextmanager
def _executor(url: str, **options) -> Iterator:
    "An executor on a journal that syncs to the disk, its gate open at any hour."
    from futures_algo.crosstrade import CrossTradeClient
    from futures_algo.execution import CrossTradeExecutor, Gate, Limits
    from futures_algo.journal import Journal

    class AnyHour(Gate):
        "The bench runs on weekends too; every other check is made."
        def _calendar_denials(self, signal, now, last_trade): return ()

    limits = Limits(max_orders_per_minute=None, max_position_contract=None, max_position_strategy=None, max_position_account=None)
    with tempfile.TemporaryDirectory() as folder, Journal(Path(folder) / "bench.db") as journal, CrossTradeClient("paper-token", url, "Sim101", **options) as client:
        executor = CrossTradeExecutor(client, journal, AnyHour(limits), account="Sim101", dry_run=False)
        executor.recover()
        yield executor


def _signal(number: int, action: str = "LONG_ENTRY") -> Signal:
    at, strategy = time.time_ns(), f"bench{number}"
    return Signal(signal_id(strategy, "c0", "ESZ7", at, action), strategy, "ES.c.0", "ESZ27", action, at, "1min", 5850.0, "c0")


def _signal_to_wire() -> list[float]:
    "Milliseconds of each signal, positions opened and closed in turn."
    began: dict[str, int] = {}
    with _broker(0) as url, _executor(url, rate=100_000.0, burst=10_000) as executor:
        for number in range(_WARM + _SIGNALS):
            signal = _signal(number // 2, "LONG_EXIT" if number % 2 else "LONG_ENTRY")
            at = time.time_ns()
            began[executor.submit_signal(signal).order_id] = at
            executor.poll()
        arrived = _arrivals(url)
    return [(arrived[order_id] - at) / 1e6 for order_id, at in list(began.items())[_WARM:]]


def _arrivals(url: str) -> dict[str, int]:
    "When the broker had read each placement, ns, by our id."
    import httpx
    state = httpx.get(url.removesuffix("/v1/api") + "/sim/state", headers={"Authorization": "Bearer paper-token"}, timeout=30.0)
    return {row["body"]["orderId"]: row["at"] for row in json.loads(state.text)["requests"] if row["path"].endswith("/place")}


def _burst() -> tuple[float, int]:
    "Seconds for a burst of orders through the broker's own limit, and how many it turned away."
    with _broker(3.0) as url, _executor(url) as executor:
        time.sleep(7.0)   # recovery spent tokens; the broker refills a full burst in 7 s
        started = time.perf_counter()
        for number in range(_BURST): executor.submit_signal(_signal(number))
        seconds = time.perf_counter() - started
        rows = executor.journal.rows("requests")
    return seconds, sum(row["status"] == 429 for row in rows)
