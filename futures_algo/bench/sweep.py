"""Sweep benchmarks: 100 combinations of two crossing averages on a year of one-minute bars, beside vectorbt's plain
call and its best, in one run.

Both sides calculate their own averages, find signals, simulate, and report profit, drawdown, number of trades and win
rate; trades and profit must be equal.
vectorbt's best is its Rust engine, where that is installed, with the chunk size that is quickest here. Its plain call
needs some 100 MB a column, so it runs
fewer columns and its time is scaled up.
"""

import gc
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from futures_algo.bench.bars import year_of_minutes
from futures_algo.core.contracts import product
from futures_algo.core.types import Bars
from futures_algo.indicators.averages import SMA
from futures_algo.indicators.base import Param
from futures_algo.research.sweep import sweep as run_sweep
from futures_algo.research.trades import Costs
from futures_algo.strategies.base import BaseStrategy
from futures_algo.strategies.batch import Market

COSTS = Costs(2.25, 0.0)  # no slippage: vectorbt would need one more column for it
FAST, SLOW = list(range(5, 55, 5)), list(range(60, 260, 20))
CHUNKS = (1, 5, 20)  # columns a call of vectorbt
PLAIN_COLUMNS = 10
_ROUNDS = 5
_CASH = 1e9
_MANY = "import futures_algo.bench.sweep as bench; bench.thousand(); print(bench.peak_memory())"


class Crossing(BaseStrategy):
    "Long while the fast average is above the slow one."

    fast: int = Param(10, low=2, high=400, unit="bars")
    slow: int = Param(50, low=2, high=4000, unit="bars")

    def indicators(self):
        return {"1min": [SMA(self.fast, name="fast"), SMA(self.slow, name="slow")]}

    def entry(self, x):
        return x.fast > x.slow

    def exit(self, x):
        return x.fast < x.slow


def sweep() -> list[dict]:
    "Ratios to vectorbt at its best and as it comes, of two threads to one, and the memory of a thousand combinations."
    bars = year_of_minutes()
    found = run_sweep(Crossing, bars, {"fast": FAST, "slow": SLOW}, COSTS).table
    engine, chunk = _quickest(bars, found)
    before = [_ours(bars, 2) for _ in range(3)]
    best, plain = _best(bars, found, engine, chunk), _plain(bars, found)
    ours = float(
        np.median(before + [_ours(bars, 2) for _ in range(3)])
    )  # around the peers, so that other work on the machine strikes both alike
    one = _one_to_two(bars)
    columns, (megabytes, seconds) = len(found), thousand_apart()
    return [
        _row(
            f"{columns} combinations x {len(bars):,} bars, indicators and metrics included",
            ours,
            f"vectorbt, {engine} engine, {chunk} columns a call",
            best,
            20,
            "peer",
        ),
        _row(
            f"the same ({PLAIN_COLUMNS} columns run, time x {columns // PLAIN_COLUMNS})",
            ours,
            "vectorbt, one plain call",
            plain,
            100,
            "peer",
        ),
        _row("two threads", ours, "one thread", ours * one, 1.7, "one"),
        _stops_row(bars),
        {
            "metric": f"peak memory of 1,000 combinations x {len(bars):,} bars ({seconds:.1f} s with start)",
            "value": megabytes,
            "unit": "MB",
            "peer": "",
            "peer_value": None,
            "ratio": None,
            "target": "< 1,500 MB",
            "met": megabytes < 1500,
        },
    ]


STOPS = {"stop_ticks": [40.0], "target_ticks": [80.0]}


def _stops_row(bars: Bars) -> dict:
    "The same combinations with a stop and a target that rest, beside their own time without."
    with_stops, without = [], []
    for _ in range(_ROUNDS):  # in turns, so that other work on the machine strikes both alike
        without.append(_ours(bars, 1))
        with_stops.append(_ours(bars, 1, STOPS))
    ours, theirs = float(np.median(with_stops)), float(np.median(without))
    return {
        "metric": "the same with stops and targets that rest, one thread",
        "value": ours,
        "unit": "s",
        "peer": "without them",
        "peer_value": theirs,
        "ratio": ours / theirs,
        "target": "<= 1.5 x the time without",
        "met": ours <= 1.5 * theirs,
    }


def _row(metric: str, ours: float, peer: str, theirs: float, least: float, than: str) -> dict:
    return {
        "metric": metric,
        "value": ours,
        "unit": "s",
        "peer": peer,
        "peer_value": theirs,
        "ratio": theirs / ours,
        "target": f">= {least} x the {than}",
        "met": theirs / ours >= least,
    }


def _ours(bars: Bars, threads: int, more: dict[str, list] | None = None) -> float:
    "Seconds of the whole sweep, in a market of which nothing is calculated yet."
    grid = {"fast": FAST, "slow": SLOW} | (more or {})
    return _seconds(lambda: run_sweep(Crossing, Market(bars), grid, COSTS, threads=threads))


def _one_to_two(bars: Bars) -> float:
    "How many times longer one thread takes than two, the median of rounds that take turns."
    return float(np.median([_ours(bars, 1) / _ours(bars, 2) for _ in range(_ROUNDS)]))


def _seconds(work: Callable[[], object]) -> float:
    gc.collect()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


# --- vectorbt


def averages(bars: Bars, lengths: Sequence[int]) -> dict[int, np.ndarray]:
    "vectorbt's own moving averages, each once."
    import pandas as pd
    import vectorbt as vbt

    found = vbt.MA.run(pd.Series(bars.close), window=list(lengths)).ma.to_numpy()
    return {length: found[:, at] for at, length in enumerate(lengths)}


def columns_of(bars: Bars, made: dict[int, np.ndarray], pairs: Sequence[tuple[int, int]], engine: str) -> np.ndarray:
    """Profit, drawdown, trades and win rate of each pair, one call of `Portfolio.from_signals` for all; fills at the
    next open."""
    import pandas as pd
    import vectorbt as vbt

    fast, slow = (np.column_stack([made[pair[side]] for pair in pairs]) for side in (0, 1))
    late = lambda told: np.concatenate((np.zeros((1, len(pairs)), bool), told[:-1]))
    portfolio = vbt.Portfolio.from_signals(
        pd.Series(bars.close),
        late(fast > slow),
        late(fast < slow),
        price=bars.open[:, None],
        size=product(bars.symbol).point_value,
        fixed_fees=COSTS.commission_usd,
        init_cash=_CASH,
        freq="1min",
        engine=engine,
    )
    trades = portfolio.trades
    return np.column_stack(
        [
            np.atleast_1d(np.asarray(figure, float))
            for figure in (
                portfolio.total_profit(),
                portfolio.max_drawdown(),
                trades.closed.count(),
                trades.closed.win_rate(),
            )
        ]
    )


def _pairs(table) -> list[tuple[int, int]]:
    return list(zip(table["fast"].tolist(), table["slow"].tolist()))


def _quickest(bars: Bars, table) -> tuple[str, int]:
    "Engine, and how many columns a call it does quickest, tried on some."
    from vectorbt._engine import is_rust_available

    engine, some = "rust" if is_rust_available() else "numba", _pairs(table)[: max(CHUNKS)]
    columns_of(bars, averages(bars, FAST[:1] + SLOW[:1]), some[:1], engine)  # compiles
    made = averages(bars, FAST + SLOW)

    def in_chunks(chunk: int) -> None:
        for at in range(0, len(some), chunk):
            columns_of(bars, made, some[at : at + chunk], engine)

    seconds = {chunk: _seconds(partial(in_chunks, chunk)) for chunk in CHUNKS}
    return engine, min(seconds, key=lambda rows: seconds[rows])


def _best(bars: Bars, table, engine: str, chunk: int) -> float:
    "Seconds of all pairs, so many a call; profit, trades and win rates must be ours."
    found, pairs = [], _pairs(table)

    def run() -> None:
        made = averages(bars, FAST + SLOW)
        found.append(
            np.concatenate(
                [columns_of(bars, made, pairs[at : at + chunk], engine) for at in range(0, len(pairs), chunk)]
            )
        )

    seconds = _seconds(run)
    _must_agree(found[0], table)
    return seconds


def _plain(bars: Bars, table) -> float:
    "Seconds of all pairs in one call with nothing chosen, from fewer of them."
    some = table.iloc[:: len(table) // PLAIN_COLUMNS].head(PLAIN_COLUMNS)
    pairs = _pairs(some)
    columns_of(bars, averages(bars, FAST[:1] + SLOW[:1]), [(FAST[0], SLOW[0])], "numba")  # compiles
    found = []
    lengths = sorted({length for pair in pairs for length in pair})
    seconds = _seconds(lambda: found.append(columns_of(bars, averages(bars, lengths), pairs, "numba")))
    _must_agree(found[0], some)
    return seconds * len(table) / len(pairs)


def _must_agree(theirs: np.ndarray, table) -> None:
    if not np.array_equal(theirs[:, 2], table["trades"]):
        raise AssertionError("numbers of trades differ from vectorbt's")
    apart = np.abs(theirs[:, 0] - table["net_profit_usd"].to_numpy()).max()
    if apart > 0.005:
        raise AssertionError(f"profits differ from vectorbt's by {apart} dollars")
    if not np.allclose(theirs[:, 3], table["win_rate"]):
        raise AssertionError("win rates differ from vectorbt's")


# --- backtesting.py

PEER_BARS, PEER_PAIRS = 50_000, [(10, 100), (30, 200)]


def sweep_peers() -> list[dict]:
    """Ratio to backtesting.py on the same rule, run on fewer bars and pairs and scaled up; trades and profit must be
    equal."""
    bars = year_of_minutes()
    some = bars[:PEER_BARS]
    seconds = _seconds(lambda: [_agrees_with_backtesting(some, *pair) for pair in PEER_PAIRS])
    scale = len(FAST) * len(SLOW) / len(PEER_PAIRS) * len(bars) / len(some)
    ours = float(np.median([_ours(bars, 2) for _ in range(_ROUNDS)]))
    return [
        _row(
            f"{len(FAST) * len(SLOW)} combinations x {len(bars):,} bars ({len(PEER_PAIRS)} x {len(some):,} run, time x"
            f" {scale:,.0f})",
            ours,
            "backtesting.py",
            seconds * scale,
            100,
            "peer",
        )
    ]


def _agrees_with_backtesting(bars: Bars, fast: int, slow: int) -> None:
    "Run one pair there and compare; our part of the time is a few thousandths of a second."
    trades, profit = backtesting_py(bars, fast, slow)
    ours = run_sweep(Crossing, bars, {"fast": [fast], "slow": [slow]}, COSTS).table
    if trades != ours["trades"][0] or abs(profit - ours["net_profit_usd"][0]) > 0.01:
        raise AssertionError(
            f"backtesting.py found {trades} trades and {profit} dollars, we {ours['trades'][0]} and"
            f" {ours['net_profit_usd'][0]}"
        )


def backtesting_py(bars: Bars, fast: int, slow: int) -> tuple[int, float]:
    "Closed trades and profit of the same rule in backtesting.py, fills at the next open."
    import pandas as pd
    from backtesting import Backtest, Strategy

    contract = int(product(bars.symbol).point_value)
    sums = np.concatenate(
        ([0.0], np.cumsum(bars.close))
    )  # exact for prices in quarters, where a rolling sum's rounding decides ties by chance
    average = lambda length, absent: np.concatenate(
        (np.full(length - 1, absent), (sums[length:] - sums[:-length]) / length)
    )  # NaN would cost it the first bar after

    class Same(Strategy):
        def init(self):
            self.fast, self.slow = self.I(average, fast, -np.inf), self.I(average, slow, np.inf)

        def next(self):
            if not self.position:
                if self.fast[-1] > self.slow[-1]:
                    self.buy(size=contract)
            elif self.fast[-1] < self.slow[-1]:
                self.position.close()

    frame = pd.DataFrame(
        {name.capitalize(): getattr(bars, name) for name in ("open", "high", "low", "close", "volume")},
        index=pd.DatetimeIndex(bars.start.view("M8[ns]")),
    )
    done = Backtest(frame, Same, cash=_CASH, commission=(COSTS.commission_usd, 0.0)).run()
    return len(done["_trades"]), float(done["Equity Final [$]"] - _CASH)


# --- memory


def thousand() -> int:
    "A thousand combinations; how many ran."
    return len(run_sweep(Crossing, year_of_minutes(), {"fast": range(5, 30), "slow": range(40, 240, 5)}, COSTS).table)


def peak_memory() -> float:
    "Most memory this process had, MB; Linux counts the parent's into `ru_maxrss`, so its own mark is read there."
    import re
    import resource
    from pathlib import Path

    if (status := Path("/proc/self/status")).exists():
        return int(re.findall(r"VmHWM:\s+(\d+)", status.read_text())[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1024)


def thousand_apart() -> tuple[float, float]:
    "Peak memory in MB, and seconds, of a process that does nothing else."
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", _MANY], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1]), time.perf_counter() - began
