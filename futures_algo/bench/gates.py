"""How often the gates pass what is nothing, and how often what is real: random walks, and walks with a planted edge."""

import math
from collections import Counter
from typing import NamedTuple

import numpy as np

from futures_algo.core.sessions import SessionCalendar
from futures_algo.core.types import DAY, MINUTE, Bars, Timeframe, to_nanos
from futures_algo.indicators.anchors import session_columns
from futures_algo.indicators.base import Param
from futures_algo.strategies.library import SessionTime
from futures_algo.research.performance import SESSIONS_A_YEAR
from futures_algo.research.trades import Costs
from futures_algo.research.walkforward import WalkForwardResult, walk_forward
from futures_algo.strategies.base import BaseStrategy

SEEDS, SESSIONS, FOLDS = 100, 5 * SESSIONS_A_YEAR, 6
_BAR = 30  # minutes
_DAILY = 50.0  # points, standard deviation of a day's change
_EDGE = (60, 180)  # minutes after the regular open between which the planted drift works
GRID = {"start": [0, 30, 60, 90, 120], "length": [60, 120, 180]}


class TimeOfDay(BaseStrategy):
    "Buy so long after the regular open, and hold so long."

    start: int = Param(60, low=0, high=400, unit="minutes")
    length: int = Param(120, low=5, high=400, unit="minutes")
    exit_before_close = 5

    def indicators(self):
        return {"30min": SessionTime()}

    def entry(self, x):
        return (x.minutes_since_open >= self.start) & (x.minutes_since_open < self.start + _BAR)

    def exit(self, x):
        return x.minutes_since_open >= self.start + self.length


def times(sessions: int = SESSIONS) -> tuple[np.ndarray, np.ndarray]:
    "Starts of the bars of about so many sessions of ES, ns UTC, and where the planted drift works, bool."
    opens = to_nanos("2020-11-01T23:00Z")
    found = SessionCalendar.of("ES").segments(opens, opens + int(sessions * 365.25 / SESSIONS_A_YEAR) * DAY)
    start = np.concatenate([np.arange(one.open, one.close, _BAR * MINUTE) for one in found])
    bars = _bars(start, np.full(len(start), 5000.0))
    session, since = session_columns(bars, "regular")
    minutes = since / MINUTE
    return start, (session >= 0) & (minutes >= _EDGE[0]) & (minutes < _EDGE[1])


def walk(
    seed: int,
    sharpe: float,  # a year's, of holding through the planted drift and nothing else, without costs
    start: np.ndarray,
    inside: np.ndarray,
) -> Bars:
    "A random walk in ticks with a drift at one time of the day."
    step = _DAILY * math.sqrt(_BAR / 1380)
    bars_a_day = (_EDGE[1] - _EDGE[0]) / _BAR
    drift = sharpe / math.sqrt(SESSIONS_A_YEAR) * step / math.sqrt(bars_a_day)
    change = np.random.default_rng(seed).normal(0.0, step, len(start)) + drift * inside
    return _bars(start, np.round((50_000 + np.cumsum(change)) * 4) / 4)


def _bars(start: np.ndarray, close: np.ndarray) -> Bars:
    opened = np.concatenate((close[:1], close[:-1]))
    size = len(start)
    return Bars(
        "ES.c.0",
        Timeframe(_BAR),
        start,
        start + _BAR * MINUTE,
        opened,
        np.maximum(opened, close),
        np.minimum(opened, close),
        close,
        np.full(size, 100),
        np.zeros(size, np.int32),
        ("ESH5",),
    )


class Power(NamedTuple):
    "What the gates said of many walks."

    sharpe: float  # planted
    walks: int
    passed: int
    told: int  # of those that failed, with the sessions they need
    more: float  # median of these; NaN without any
    failed: Counter  # by gate
    found: float  # mean Sharpe ratio of the joined test bars


def power(sharpe: float, seeds: int = SEEDS, sessions: int = SESSIONS) -> Power:
    "Walk forward over many walks with one planted Sharpe ratio."
    start, inside = times(sessions)
    results = [_judged(walk(1000 + seed, sharpe, start, inside)) for seed in range(seeds)]
    failed = [one for one in results if not one.passed]
    needs = [max(found) for one in failed if (found := [g.more_sessions for g in one.gates if g.more_sessions])]
    return Power(
        sharpe,
        seeds,
        sum(one.passed for one in results),
        len(needs),
        float(np.median(needs)) if needs else math.nan,
        Counter(gate.name for one in failed for gate in one.gates if not gate.passed),
        float(np.mean([one.stats["sharpe"] for one in results])),
    )


def _judged(bars: Bars) -> WalkForwardResult:
    return walk_forward(TimeOfDay, bars, GRID, Costs(0.0, 0.0), folds=FOLDS, anchored=True)


def gates() -> list[dict]:
    "False passes on random walks, and passes on planted edges, of the default limits."
    rows = []
    for sharpe, target in ((0.0, "<= 1"), (1.0, ""), (2.0, ">= 80"), (3.0, "")):
        found = power(sharpe)
        met = {0.0: found.passed <= 1, 2.0: found.passed >= 80}.get(sharpe)
        rows.append(_row(f"passes of {SEEDS} walks, planted Sharpe {sharpe:g}", found.passed, "walks", target, met))
        rows.append(_row("  its joined test bars' Sharpe, mean", found.found, "a year"))
        rows.append(_row("  of the others, told how many sessions they need", found.told, "walks"))
        rows.append(_row("  sessions they need, median", found.more, "sessions"))
        rows += [_row(f"  failed by {name}", count, "walks") for name, count in found.failed.most_common()]
    return rows


def _row(metric: str, value: float, unit: str, target: str = "", met: "bool | None" = None) -> dict:
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
