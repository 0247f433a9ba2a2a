"""Does the adapter give, with the vectorbt that is installed here, the trades of the model?"""

import time
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from futures_algo.core.types import FuturesAlgoError
from futures_algo.research.backtest import backtest
from futures_algo.research.trades import Costs, Trades
from futures_algo.sim.market import generate_minutes
from futures_algo.strategies.library import MACDCCIStrategy

COMPARED = ("entry_time", "exit_time", "side", "quantity", "entry_price", "exit_price", "pnl_usd")
SESSIONS = 5  # of the sample market that ships with the package


def installed() -> str:
    "The package the adapter would use; empty for none."
    return next((name for name in ("vectorbtpro", "vectorbt") if find_spec(name)), "")


def difference(model: Trades, other: Trades) -> str:
    "What differs first; empty when the trades are the same."
    if len(model) != len(other):
        return f"{len(model)} trades of the model, {len(other)} of vectorbt"
    for name in COMPARED:
        mine, theirs = getattr(model, name), getattr(other, name)
        if not np.allclose(mine, theirs, rtol=0, atol=1e-6):
            row = int(np.flatnonzero(~np.isclose(mine, theirs, rtol=0, atol=1e-6))[0])
            return f"trade {row}: {name} is {mine[row]} in the model and {theirs[row]} in vectorbt"
    return ""


@cache
def compare() -> tuple[bool, str]:
    "Whether the trades are the same, and what was found; takes some ten seconds, once a process."
    from futures_algo.research.vectorbt_adapter import find_vectorbt

    began = time.perf_counter()
    try:
        found = find_vectorbt()
        bars, costs = generate_minutes("ES.c.0", sessions=SESSIONS), Costs(commission_usd=2.25, slippage_ticks=1)
        strategy = MACDCCIStrategy(stop_ticks=30.0)
        runs: list[Any] = [backtest(strategy, bars, costs, engine=engine) for engine in ("model", "vectorbt")]
        model, other = (run.trades for run in runs)
    except (FuturesAlgoError, ImportError, AttributeError, TypeError) as error:  # a version with other names
        return False, f"{installed()}: the adapter failed: {type(error).__name__}: {error}"
    took = time.perf_counter() - began
    if differs := difference(model, other):
        return False, f"{found}: {differs}"
    return True, f"{found} gives the model's {len(model)} trades over {len(bars):,} sample bars ({took:.1f} s)"
