"""Indicator benchmarks: one live update, memory over ten million bars, the batch beside TA-Lib, live updates beside
talipp, and the first value after import.

The five are MACD, CCI, RSI, ATR and SMA at their usual lengths. Ratios are medians of runs taken in turns, so a busy
machine slows both sides.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from futures_algo.core.types import Bars, Timeframe
from futures_algo.indicators import ATR, CCI, MACD, RSI, SMA, VBTIndicatorCalculator

FIVE = (MACD(12, 26, 9), CCI(20), RSI(14), ATR(14), SMA(20))
_ROWS = 350_000  # a year of one-minute bars
_BARS_OF_GROWTH = 10_000_000
_FIRST_VALUE = """
import time; began = time.perf_counter()
from futures_algo.indicators import MACD
from futures_algo.core.types import Bar
live = MACD(2, 3, 2).live()
values = [live.step(Bar("ES.c.0", "1min", k, k + 1, 1.0, 2.0, 0.5, 1.5 + k, 1)) for k in range(9)]
assert values[-1][0] == values[-1][0]
print(time.perf_counter() - began)
"""


def indicators(
    growth: int = _BARS_OF_GROWTH,  # live updates over which memory must not grow
) -> list[dict]:
    "What the indicators cost, live and in batch."
    bars = _walk(_ROWS)
    return [
        _live_update(bars),
        _memory(bars, growth),
        _batch_beside_talib(bars),
        _live_beside_talipp(bars),
        _first_value(),
    ]


def _row(
    metric: str,
    value: float,
    unit: str,
    target: str,
    met: bool,
    peer: str = "",
    peer_value: float | None = None,
    ratio: float | None = None,
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


def _walk(rows: int) -> Bars:
    "A walk on ES's ticks."
    draw = np.random.default_rng(1)
    close = 5000 + 0.25 * np.cumsum(draw.integers(-4, 5, rows))
    open = np.r_[close[:1], close[:-1]]
    high, low = (
        np.maximum(open, close) + 0.25 * draw.integers(0, 4, rows),
        np.minimum(open, close) - 0.25 * draw.integers(0, 4, rows),
    )
    end = 60_000_000_000 * np.arange(1, rows + 1)
    return Bars(
        "ES.c.0", Timeframe("1min"), end - 60_000_000_000, end, open, high, low, close, draw.integers(1, 500, rows)
    )


def _calculator() -> VBTIndicatorCalculator:
    return VBTIndicatorCalculator("ES.c.0", {"1min": FIVE})


def _live_update(bars: Bars) -> dict:
    calculator, taken = _calculator(), []
    for bar in bars[:50_000]:
        began = time.perf_counter_ns()
        calculator.update_bar("1min", bar)
        taken.append(time.perf_counter_ns() - began)
    microseconds = statistics.median(taken) / 1000
    return _row("one live update of the five, median", microseconds, "us", "< 10 us", microseconds < 10)


def _memory(bars: Bars, updates: int) -> dict:
    "Memory of the process after all updates, less that after the first tenth of them."
    import psutil

    calculator, some = (
        _calculator(),
        [bar._replace(end=0) for bar in bars[:10_000]],
    )  # without an end, bars may come round again

    def run(count: int) -> int:
        for _ in range(count // len(some)):
            for bar in some:
                calculator.update_bar("1min", bar)
        return psutil.Process().memory_info().rss // 1024

    began = run(updates // 10)
    grown = run(updates - updates // 10) - began
    return _row(f"growth of memory over {updates:,} bars", grown, "KiB", "< 1024 KiB", grown < 1024)


def _in_turns(ours: Callable, theirs: Callable, rounds: int = 9) -> tuple[float, float, float]:
    "Best times of both and the median of ours / theirs."
    pairs = [(_seconds(ours), _seconds(theirs)) for _ in range(rounds)]
    return min(pair[0] for pair in pairs), min(pair[1] for pair in pairs), statistics.median(a / b for a, b in pairs)


def _seconds(call: Callable) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _batch_beside_talib(bars: Bars) -> dict:
    import talib

    def theirs() -> None:
        talib.MACD(bars.close, 12, 26, 9)
        talib.CCI(bars.high, bars.low, bars.close, 20)
        talib.RSI(bars.close, 14)
        talib.ATR(bars.high, bars.low, bars.close, 14)
        talib.SMA(bars.close, 20)

    def ours() -> None:
        for each in FIVE:
            each.batch(bars)

    ours()
    theirs()
    value, peer, ratio = _in_turns(ours, theirs)
    return _row(
        f"batch of the five over {len(bars):,} bars",
        1000 * value,
        "ms",
        "<= 2x TA-Lib's time",
        ratio <= 2,
        "TA-Lib",
        1000 * peer,
        ratio,
    )


def _live_beside_talipp(bars: Bars) -> dict:
    from talipp import indicators as talipp
    from talipp.ohlcv import OHLCV

    some = list(bars[:4_000])

    def theirs() -> None:
        on_close, on_bar = (talipp.MACD(12, 26, 9), talipp.RSI(14), talipp.SMA(20)), (talipp.CCI(20), talipp.ATR(14))
        for bar in some:
            for each in on_close:
                each.add(bar.close)
            whole = OHLCV(bar.open, bar.high, bar.low, bar.close, bar.volume)
            for each in on_bar:
                each.add(whole)

    def ours() -> None:
        calculator = _calculator()
        for bar in some:
            calculator.update_bar("1min", bar)

    value, peer, ratio = _in_turns(ours, theirs, 3)
    return _row(
        "live updates of the five",
        len(some) / value,
        "bars/s",
        ">= 5x talipp's rate",
        ratio <= 1 / 5,
        "talipp",
        len(some) / peer,
        1 / ratio,
    )


def _first_value() -> dict:
    "In a process of its own, twice: the first run warms the cache of compiled code."
    seconds = [
        float(subprocess.run([sys.executable, "-c", _FIRST_VALUE], check=True, capture_output=True, text=True).stdout)
        for _ in range(2)
    ][-1]
    return _row("import to first value, warm cache", seconds, "s", "< 3 s", seconds < 3)
