"""The complete engine on recorded bars: how many a second beside nautilus_trader's backtest of the same strategy, and
what a week costs in memory.

Aggregation, indicators, strategy, signals, gate, orders and paper fills run in this process, the journal is written;
only the sockets are left out.
"""

import contextlib
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from futures_algo.core.types import Bar, Bars, DataClock, Timeframe
from futures_algo.indicators import CCI, EMA, SMA
from futures_algo.strategies import BaseStrategy, StrategyRunner

MINUTES, RUNS = 350_000, 3
SYMBOLS, TIMEFRAMES, STRATEGIES, SECONDS = 20, (1, 5, 15, 30, 60), 10, 1800


class Cross(BaseStrategy):
    "Long while the fast average is above the slow one."

    fast: int = 20
    slow: int = 200

    def indicators(self):
        return {"1min": [EMA(self.fast, name="quick"), EMA(self.slow, name="calm")]}

    def entry(self, x):
        return x.quick > x.calm

    def exit(self, x):
        return x.quick < x.calm


class Five(BaseStrategy):
    "Reads five timeframes."

    length: int = 20

    def indicators(self):
        return {f"{t}min": SMA(self.length, name=f"sma{t}") for t in TIMEFRAMES[:-1]} | {
            f"{TIMEFRAMES[-1]}min": CCI(self.length)
        }

    def entry(self, x):
        return (x.close < x.sma1) & (x.close > x.sma5) & (x.sma5 > x.sma15) & (x.cci > 100)

    def exit(self, x):
        return x.close < x.sma30


def _row(
    metric: str,
    value: float,
    unit: str,
    target: str = "",
    met: bool | None = None,
    peer: str = "",
    peer_value: float | None = None,
) -> dict:
    ratio = value / peer_value if peer_value else None
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


def engine() -> list[dict]:
    "Bars a second over 350,000 minutes, and whether the cost grows with what was there before."
    from futures_algo.sim.market import generate_minutes

    bars = generate_minutes("ES.c.0", sessions=280)[:MINUTES]
    runs = [_run(bars) for _ in range(RUNS)]
    ours, orders = statistics.median(run[0] for run in runs), runs[0][2]
    rows = [
        _row(
            "second half's time for the first half's",
            statistics.median(run[1] for run in runs),
            "x",
            "< 1.2",
            statistics.median(run[1] for run in runs) < 1.2,
        ),
        _row(f"orders over {len(bars):,} bars", orders, "orders"),
    ]
    if not importlib.util.find_spec("nautilus_trader"):
        return [
            _row(
                f"complete engine over {len(bars):,} one-minute bars",
                ours,
                "bars/s",
                "nautilus_trader is not installed (it needs Python 3.12)",
            ),
            *rows,
        ]
    theirs, their_orders = _nautilus(bars)
    return [
        _row(
            f"complete engine over {len(bars):,} one-minute bars",
            ours,
            "bars/s",
            ">= 10x nautilus_trader's backtest",
            ours >= 10 * theirs,
            "nautilus_trader",
            theirs,
        ),
        _row("orders of nautilus_trader", their_orders, "orders"),
        *rows,
    ]


def _run(bars: Bars) -> tuple[float, float, int]:
    "Bars a second, time of the second half for that of the first, and orders."
    rows, moments = list(bars), []

    def watched() -> Iterator[Bar]:
        for number, bar in enumerate(rows):
            if number in (0, len(rows) // 2):
                moments.append(time.perf_counter())
            yield bar

    with _engine({"ES.c.0": bars}, watched(), [StrategyRunner(Cross(), "cross", "ES.c.0")]) as made:
        made.run()
        moments.append(time.perf_counter())
        orders = made.journal.count("intents")
    first, second = moments[1] - moments[0], moments[2] - moments[1]
    return len(rows) / (first + second), second / first, orders


@contextlib.contextmanager
def _engine(
    prices: dict[str, Bars],
    stream: Iterator[Bar],
    runners: list[StrategyRunner],
    schema: str = "ohlcv-1m",
    timeframes: tuple = (),
) -> Iterator:
    "An engine on a feed and a broker without sockets, its journal on the disk."
    from futures_algo.aggregator.pipeline import BarPipeline
    from futures_algo.crosstrade.client import CrossTradeClient
    from futures_algo.engine.engine import Engine
    from futures_algo.execution.executor import CrossTradeExecutor
    from futures_algo.execution.gate import Gate, Limits
    from futures_algo.journal.journal import Journal
    from futures_algo.sim.broker import PaperBroker
    from futures_algo.sim.inprocess import BrokerLine, RecordedFeed

    clock = DataClock(min(int(bars.start[0]) for bars in prices.values()))
    broker = PaperBroker(prices, clock, "Sim101", "paper-token")
    client = CrossTradeClient(
        "paper-token",
        "http://127.0.0.1:1",
        "Sim101",
        headers=lambda: {"X-Sim-Now": str(clock.now())},
        rate=float("inf"),
        transport=BrokerLine(broker),
    )
    with tempfile.TemporaryDirectory() as folder, Journal(Path(folder) / "bench.db", durable=False) as journal, client:
        executor = CrossTradeExecutor(
            client,
            journal,
            Gate(Limits(max_orders_per_minute=None)),
            account="Sim101",
            clock=clock,
            dry_run=False,
            inline=True,
        )
        frames = {*timeframes, *(timeframe for runner in runners for timeframe in runner.timeframes)}
        yield Engine(
            RecordedFeed(stream, tuple(prices)),
            BarPipeline(frames, schema),
            runners,
            executor,
            journal,
            clock=clock,
            mode="simulation",
        )


def _nautilus(bars: Bars) -> tuple[float, int]:
    "Bars a second of nautilus_trader's backtest of `Cross`, and its orders."
    from futures_algo.bench.nautilus import backtest

    return backtest(bars)


# --- a week, and many symbols


def soak() -> list[dict]:
    "A simulated week's memory, and the share of a core that many symbols and strategies take."
    share = statistics.median(_share() for _ in range(RUNS))
    first, last = _week()
    return [
        _row(
            f"{SYMBOLS} symbols x {len(TIMEFRAMES)} timeframes x {STRATEGIES} strategies on one-second bars",
            share * 100,
            "% of a core",
            "< 50 %",
            share < 0.5,
        ),
        _row(
            "resident memory after a week of two symbols",
            last / 2**20,
            "MiB",
            "within 5 % of the first hour's",
            last <= 1.05 * first,
            "after the first hour",
            first / 2**20,
        ),
    ]


def _share() -> float:
    "Processor seconds a second of data."
    prices = {f"ES.c.{number}": _seconds(f"ES.c.{number}") for number in range(SYMBOLS)}
    stream = sorted((bar for bars in prices.values() for bar in bars), key=lambda bar: bar.end)
    runners = [
        StrategyRunner(Five(length=10 + number), f"five{number}", symbol)
        for number, symbol in zip(range(STRATEGIES), prices)
    ]
    with _engine(prices, iter(stream), runners, "ohlcv-1s", TIMEFRAMES) as made:
        began = time.process_time()
        made.run()
        return (time.process_time() - began) / SECONDS


def _seconds(symbol: str) -> Bars:
    "A bar every second of half an hour."
    from futures_algo.indicators.laws import random_walk

    walk = random_walk(SECONDS, tick=0.25, seed=sum(map(ord, symbol)))
    start = 1_763_046_000_000_000_000 + 1_000_000_000 * walk.start.argsort()
    return Bars(
        symbol,
        Timeframe("1s"),
        start,
        start + 1_000_000_000,
        walk.open,
        walk.high,
        walk.low,
        walk.close,
        walk.volume,
        walk.contract,
        ("ESZ5",),
    )


def _week() -> tuple[int, int]:
    "Resident bytes after the first hour and after the last of a week of sessions."
    from futures_algo.sim.market import generate_minutes

    prices = {symbol: generate_minutes(symbol, sessions=5) for symbol in ("ES.c.0", "NQ.c.0")}
    stream = sorted((bar for bars in prices.values() for bar in bars), key=lambda bar: bar.end)
    process, seen = psutil.Process(), list[int]()
    hour = stream[0].end + 3600 * 1_000_000_000

    def watched() -> Iterator[Bar]:
        for bar in stream:
            if bar.end >= hour and not seen:
                seen.append(process.memory_info().rss)
            yield bar

    with _engine(prices, watched(), [StrategyRunner(Cross(), "cross", symbol) for symbol in prices]) as made:
        made.run()
        return seen[0], process.memory_info().rss
