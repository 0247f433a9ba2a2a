"""Latency of orders on loopback: from the last bar of a minute, and from the signal, to the request at the broker, the
journal's full sync included;
and a burst against the rate limit.

Gateway and broker are processes of their own, and the moments are the wall clock of one machine: when the gateway has
written the bar, before
`submit_signal`, and when the broker has read the request.
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

from futures_algo.core.types import MINUTE, DataClock, Signal, signal_id
from futures_algo.indicators import CCI, EMA
from futures_algo.strategies import BaseStrategy

_RUNS, _SIGNALS, _WARM, _BURST = 5, 300, 20, 26
_MEDIAN_MS, _TAIL_MS = 1.5, 8.0
_MINUTES, _SPEED, _WIRE_MEDIAN_MS, _WIRE_TAIL_MS = 420, 300.0, 3.0, 15.0
_BROKER = """
import sys
from futures_algo.core.types import WallClock
from futures_algo.sim.broker import PaperBroker
rate = float(sys.argv[1]) or None
with PaperBroker({'ES 12-27': 5850.0}, clock=WallClock(), rate=rate) as broker:
    print(broker.url, flush=True)
    sys.stdin.read()
"""
_RECORDED_BROKER = """
import sys
from futures_algo.core.types import DataClock
from futures_algo.history import read_dbn
from futures_algo.sim.broker import PaperBroker
with PaperBroker(read_dbn(sys.argv[1]), DataClock(int(sys.argv[2]))) as broker:
    print(broker.url, flush=True)
    sys.stdin.read()
"""
_GATEWAY = """
import json, sys, time
from futures_algo.sim.gateway import LoopbackGateway
sent = []
note = lambda through: sent.append((through, time.time_ns()))
speed = float(sys.argv[2])
with LoopbackGateway({'ohlcv-1s': [sys.argv[1]]}, ['db-bench'], speed=speed, on_sent=note) as gateway:
    print(gateway.port, flush=True)
    sys.stdin.readline()
print(json.dumps(sent), flush=True)
"""


class EveryMinute(BaseStrategy):
    "Enters on one minute and leaves on the next, with indicators of two timeframes to compute."

    def indicators(self):
        return {"1min": EMA(20), "5min": CCI(20)}

    def entry(self, x):
        return x.time % 120 < 60

    def exit(self, x):
        return x.time % 120 >= 60


def latency() -> list[dict]:
    "Bar to wire, signal to wire, and twenty orders at once with more behind them."
    bar_to_wire = sorted(_bar_to_wire())
    wire_median, wire_tail = bar_to_wire[len(bar_to_wire) // 2], bar_to_wire[int(len(bar_to_wire) * 0.99)]
    runs = [sorted(_signal_to_wire()) for _ in range(_RUNS)]
    median, tail = (statistics.median(waits[int(len(waits) * part)] for waits in runs) for part in (0.5, 0.99))
    seconds, refused = _burst()
    return [
        _row(
            "a minute's last bar on the wire to request on the wire, median",
            wire_median,
            "ms",
            f"< {_WIRE_MEDIAN_MS} ms",
            wire_median < _WIRE_MEDIAN_MS,
        ),
        _row(
            "a minute's last bar on the wire to request on the wire, 99th percentile",
            wire_tail,
            "ms",
            f"< {_WIRE_TAIL_MS} ms",
            wire_tail < _WIRE_TAIL_MS,
        ),
        _row("signal to request on the wire, median", median, "ms", f"< {_MEDIAN_MS} ms", median < _MEDIAN_MS),
        _row("signal to request on the wire, 99th percentile", tail, "ms", f"< {_TAIL_MS} ms", tail < _TAIL_MS),
        _row(f"{_BURST} orders, 20 at once and then 3/s", seconds, "s"),
        _row("of them answered 429", refused, "orders", "0", refused == 0),
    ]


def _row(metric: str, value: float, unit: str, target: str = "", met: bool | None = None) -> dict:
    return {
        "metric": metric,
        "value": value,
        "unit": unit,
        "peer": "",
        "peer_value": None,
        "ratio": None,
        "target": target,
        "met": met,
    }


@contextlib.contextmanager
def _server(script: str, *arguments: object) -> Iterator[subprocess.Popen]:
    "A server in its own process; it ends when its standard input does."
    with subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.stdin.close()


@contextlib.contextmanager
def _broker(rate: float) -> Iterator[str]:
    "A paper broker in its own process; its URL."
    with _server(_BROKER, rate) as process:
        yield process.stdout.readline().strip()


# --- the whole chain


def _bar_to_wire() -> list[float]:
    """Milliseconds of each order, from the last second's bar of the minute that decided it: real Databento client,
    complete engine, real CrossTrade client."""
    from futures_algo.journal.journal import Journal
    from futures_algo.sim.market import generate

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        market = generate(folder, symbols=("ES.c.0",), sessions=1)
        recording, start = market.files["ohlcv-1s"][0], market.start
        with _server(_RECORDED_BROKER, recording, start) as broker, Journal(folder / "bench.db") as journal:
            url = broker.stdout.readline().strip()
            sent = _play(recording, start, url, journal)
            ends = {row["id"]: row["bar_end"] for row in journal.rows("signals")}
            signals = {row["order_id"]: ends[row["signal_id"]] for row in journal.rows("intents")}
            arrived = _arrivals(url)
    written = iter(sent)
    waits = []
    for order_id, end in sorted(signals.items(), key=lambda pair: pair[1]):
        at = next(at for through, at in written if through >= end)
        waits.append((arrived[order_id] - at) / 1e6)
    return waits[_WARM:]


def _play(recording: Path, start: int, url: str, journal) -> list[tuple[int, int]]:
    "Run the engine on a paced gateway; (data time, wall time) of each write of the gateway."
    from futures_algo.config.loading import parse_config
    from futures_algo.engine.assembly import build_engine

    with _server(_GATEWAY, recording, _SPEED) as gateway:
        content = {
            "databento": {
                "api_key": "db-bench",
                "symbols": ["ES.c.0"],
                "gateway": "127.0.0.1",
                "port": int(gateway.stdout.readline()),
            },
            "strategies": {"every_minute": {"class": f"{__name__}.EveryMinute", "symbols": ["ES.c.0"]}},
            "execution": {
                "crosstrade_api_key": "paper-token",
                "crosstrade_base_url": url,
                "account": "Sim101",
                "dry_run": False,
            },
        }
        engine = build_engine(
            parse_config(content, {}),
            content,
            journal,
            mode="simulation",
            clock=DataClock(start),
            start=start,
            end=start + _MINUTES * MINUTE,
        )
        try:
            engine.run()
        finally:
            engine.close()
        gateway.stdin.write("\n")
        gateway.stdin.flush()
        return json.loads(gateway.stdout.readline())


# --- orders alone


@contextlib.contextmanager
def _executor(url: str, **options) -> Iterator:
    "An executor on a journal that syncs to the disk, its gate open at any hour."
    from futures_algo.crosstrade.client import CrossTradeClient
    from futures_algo.execution.executor import CrossTradeExecutor
    from futures_algo.execution.gate import Gate, Limits
    from futures_algo.journal.journal import Journal

    class AnyHour(Gate):
        "The bench runs on weekends too; every other check is made."

        def _calendar_denials(self, signal, now, last_trade):
            return ()

    limits = Limits(
        max_orders_per_minute=None, max_position_contract=None, max_position_strategy=None, max_position_account=None
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        Journal(Path(folder) / "bench.db") as journal,
        CrossTradeClient("paper-token", url, "Sim101", **options) as client,
    ):
        executor = CrossTradeExecutor(client, journal, AnyHour(limits), account="Sim101", dry_run=False)
        executor.recover()
        yield executor


def _signal(number: int, action: str = "LONG_ENTRY") -> Signal:
    at, strategy = time.time_ns(), f"bench{number}"
    return Signal(
        signal_id(strategy, "c0", "ESZ7", at, action), strategy, "ES.c.0", "ESZ27", action, at, "1min", 5850.0, "c0"
    )


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

    state = httpx.get(
        url.removesuffix("/v1/api") + "/sim/state", headers={"Authorization": "Bearer paper-token"}, timeout=30.0
    )
    return {
        row["body"]["orderId"]: row["at"]
        for row in json.loads(state.text)["requests"]
        if row["path"].endswith("/place")
    }


def _burst() -> tuple[float, int]:
    "Seconds for a burst of orders through the broker's own limit, and how many it turned away."
    with _broker(3.0) as url, _executor(url) as executor:
        time.sleep(7.0)  # recovery spent tokens; the broker refills a full burst in 7 s
        started = time.perf_counter()
        for number in range(_BURST):
            executor.submit_signal(_signal(number))
        seconds = time.perf_counter() - started
        rows = executor.journal.rows("requests")
    return seconds, sum(row["status"] == 429 for row in rows)
