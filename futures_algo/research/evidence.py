"""What a walk-forward proves: figures of its joined test bars with their sampling errors, and the sessions missing."""

import itertools
import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from futures_algo.research.overfitting import Moments, expected_maximum_sharpe, moments, probabilistic_sharpe
from futures_algo.research.performance import SESSIONS_A_YEAR, session_ends
from futures_algo.research.sweep import sweep
from futures_algo.research.trades import Costs
from futures_algo.strategies.base import BaseStrategy
from futures_algo.strategies.batch import Market

_NORMAL, _YEAR = NormalDist(), math.sqrt(SESSIONS_A_YEAR)
CONFIDENCE = 0.90  # one-sided, of every bound here
BLOCKS = 10  # of sessions, for the probability of overfitting: 252 ways to take half of them
NEVER = -1  # more sessions do not help


class Evidence(NamedTuple):
    "Figures by gate, and the sessions each gate would need beyond those there are (`NEVER` where none would do)."

    figures: dict[str, float]
    needs: dict[str, int]


class Blocks(NamedTuple):
    "Every combination's profits in blocks of sessions that follow each other, each begun flat."

    total: np.ndarray  # float64[blocks, combinations], dollars
    squares: np.ndarray  # the same, of squared profits of a session
    counts: np.ndarray  # float64[blocks], sessions


def spread_of(own: Moments) -> float:
    "Standard error of a period's Sharpe ratio times the root of the periods less one (Lo 2002, Mertens 2002)."
    return math.sqrt(max(1 - own.skew * own.sharpe + (own.kurtosis - 1) / 4 * own.sharpe**2, 1e-12))


def sharpe_bound(own: Moments, confidence: float = CONFIDENCE) -> float:
    "Lower bound of the true Sharpe ratio of a year."
    if own.length < 2 or math.isnan(own.sharpe):
        return math.nan
    return (own.sharpe - _NORMAL.inv_cdf(confidence) * spread_of(own) / math.sqrt(own.length - 1)) * _YEAR


def sessions_for(own: Moments, probability: float, trials: int = 1, floor: float = 0.0) -> int:
    """Sessions beyond the record's after which a Sharpe ratio that stays as it is would be above `floor` (a year's)
    with that probability, as the best of so many trials; `NEVER` when it is not above it."""
    above = own.sharpe - floor / _YEAR
    if not above > 0:
        return NEVER
    # the benchmark of several trials falls with the root of the sessions as the error does
    distance = _NORMAL.inv_cdf(probability) * spread_of(own) + expected_maximum_sharpe(trials, 1.0)
    return max(0, math.ceil((distance / above) ** 2) + 1 - own.length)


def deflated(own: Moments, trials: int) -> float:
    "Probability that the true Sharpe ratio is above 0 though this is the best of so many records of the same bars."
    if own.length < 2:
        return math.nan
    best_of_luck = expected_maximum_sharpe(trials, 1 / (own.length - 1))
    return probabilistic_sharpe(own.sharpe, own.length, own.skew, own.kurtosis, best_of_luck)


def retention_bound(own: Moments, trained: Sequence[float]) -> float:
    """Upper bound of what the test keeps of the training's Sharpe ratio (mean over the folds, a year): below a limit,
    less is kept for sure than the limit, not by chance. NaN where training made nothing."""
    known = [value for value in trained if not math.isnan(value)]
    mean = float(np.mean(known)) if known else math.nan
    if not mean > 0 or own.length < 2 or math.isnan(own.sharpe):
        return math.nan
    error = _NORMAL.inv_cdf(CONFIDENCE) * spread_of(own) / math.sqrt(own.length - 1)
    return (own.sharpe + error) * _YEAR / mean


def stressed_profit(stats: Mapping[str, float], times: float) -> float:
    "Dollars of the same trades at so many times their costs."
    return stats["net_profit_usd"] - (times - 1) * (stats["commission_usd"] + stats["slippage_usd"])


def evidence_of(
    session_usd: np.ndarray,  # float64[n], of all test sessions joined
    stats: Mapping[str, float],  # `performance` of them
    trained: Sequence[float],  # Sharpe ratio of the choice in each fold's training, a year's
    trials: int,  # searches judged by these test bars, this one included
    limits: Any,  # `gates.Limits`
    blocks: Blocks | None,  # of all combinations over all bars, where a gate asks for them
) -> Evidence:
    "Every gate's figure, and the sessions it needs."
    own, crossed = moments(session_usd), cross_validated(blocks)
    figures = {
        "probabilistic_sharpe": probabilistic_sharpe(own.sharpe, own.length, own.skew, own.kurtosis),
        "deflated_sharpe": deflated(own, trials),
        "cross_validated": deflated(crossed, trials),
        "overfitting": overfitting_of(blocks),
        "sharpe_lower": sharpe_bound(own),
        "retention_upper": retention_bound(own, trained),
        "cost_stress": stressed_profit(stats, limits.cost_times),
    }
    wanted = {
        "probabilistic_sharpe": (limits.probabilistic_sharpe, 1, 0.0),
        "deflated_sharpe": (limits.deflated_sharpe, trials, 0.0),
        "sharpe_lower": (CONFIDENCE, 1, limits.sharpe_lower or 0.0),
    }
    needs = {name: sessions_for(own, *how) for name, how in wanted.items() if how[0]}
    if limits.cross_validated and blocks:
        needs["cross_validated"] = sessions_for(crossed, limits.cross_validated, trials)
    needs |= dict.fromkeys(("retention_upper", "cost_stress", "overfitting", "max_drawdown"), NEVER)
    return Evidence(figures, needs | {"trades": _trades_needed(stats, limits.trades, own.length)})


def _trades_needed(stats: Mapping[str, float], limit: "float | None", sessions: int) -> int:
    "Sessions until there are more than that many trades, at the rate there was."
    if limit is None or not stats["trades"]:
        return NEVER
    return max(0, math.ceil((limit + 1 - stats["trades"]) * sessions / stats["trades"]))


# --- probability of backtest overfitting


def blocks_of(
    strategy_class: type[BaseStrategy],
    market: Market,
    grid: Mapping[str, Any],
    costs: Costs = Costs(),
    quantity: int = 1,
    constraint: Any = None,  # as `sweep` takes it
    blocks: int = BLOCKS,  # even
) -> Blocks | None:  # None where the sessions are too few
    "Run every combination on every block."
    ends, _ = session_ends(market.source.start, market.calendar)
    if len(ends) < 4 * blocks:
        return None
    edges = [0, *(int(part[-1]) + 1 for part in np.array_split(ends, blocks))]
    parts = [
        sweep(strategy_class, market, grid, costs, quantity, rows=slice(first, stop), constraint=constraint).table
        for first, stop in itertools.pairwise(edges)
    ]
    counts = np.array([len(part) for part in np.array_split(ends, blocks)], np.float64)
    return Blocks(*_sums(parts, counts), counts)


def _sums(parts: Sequence[Any], counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    "Sum and sum of squares of the sessions' profits, block by combination, from profit and Sharpe ratio of each."
    total = np.array([part["net_profit_usd"].to_numpy(np.float64) for part in parts])
    ratio = np.array([part["sharpe"].to_numpy(np.float64) for part in parts]) / _YEAR
    mean, count = total / counts[:, None], counts[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        deviation = np.where(np.abs(ratio) > 0, mean / ratio, 0.0)
    return total, (count - 1) * deviation**2 + count * mean**2


def overfitting_of(found: Blocks | None) -> float:  # 0 to 1; 0 where there is nothing to choose from
    """Probability of backtest overfitting by combinatorially symmetric cross-validation (Bailey, Borwein, López de
    Prado, Zhu 2017): how often the best of one half of the sessions is below the median in the other half."""
    if found is None:
        return math.nan
    total, squares, counts = found
    blocks, tried = total.shape
    if tried < 2:
        return 0.0
    below = []
    for half in itertools.combinations(range(blocks), blocks // 2):
        inside = np.isin(np.arange(blocks), half)
        chosen = int(np.argmax(_ratio(total[inside], squares[inside], counts[inside])))
        outside = _ratio(total[~inside], squares[~inside], counts[~inside])
        rank = (np.sum(outside < outside[chosen]) + 0.5 * (np.sum(outside == outside[chosen]) - 1) + 1) / (tried + 1)
        below.append(rank <= 0.5)
    return float(np.mean(below))


def cross_validated(found: Blocks | None) -> Moments:
    """A record over all sessions in which each block is traded with what was best in all the others (López de Prado
    2018, chapter 12, one block left out); a block begins flat, so no trade reaches over its edge."""
    if found is None:
        return Moments(math.nan, 0, math.nan, math.nan)
    total, squares, counts = found
    at = np.arange(len(counts))
    chosen = [int(np.argmax(_ratio(total[at != k], squares[at != k], counts[at != k]))) for k in at]
    own = _ratio(total[at, chosen][:, None], squares[at, chosen][:, None], counts)
    return Moments(float(own[0]), int(counts.sum()), 0.0, 3.0)


def _ratio(total: np.ndarray, squares: np.ndarray, counts: np.ndarray) -> np.ndarray:
    "Sharpe ratio of a session over several blocks, by combination; 0 where nothing varies."
    count = counts.sum()
    mean = total.sum(0) / count
    variance = np.maximum(squares.sum(0) - count * mean**2, 0.0) / (count - 1)
    return np.divide(mean, np.sqrt(variance), out=np.zeros_like(mean), where=variance > 1e-9)
