"""One definition, three forms: sweep, replay and the engine's pipeline give equal signals, over real minutes and over
awkward synthetic months."""

import datetime as dt
import json

import numpy as np
import pytest

from futures_algo.aggregator.aggregator import BarAggregator
from futures_algo.aggregator.pipeline import BarPipeline
from futures_algo.core.sessions import SessionCalendar
from futures_algo.core.types import MINUTE, Bars, Signal
from futures_algo.sim.market import generate_minutes
from futures_algo.strategies import STRATEGIES, BaseStrategy, Sizing, StrategyRunner, VWAPReversion, evaluate
from futures_algo.strategies.checks import parity


def all_at_once(bars: Bars) -> dict[str, list[Signal]]:
    "Every shipped strategy behind one aggregator, as the engine runs them."
    runners = [StrategyRunner(kind(), kind.__name__, bars.symbol) for kind in STRATEGIES]
    aggregator = BarAggregator({timeframe for runner in runners for timeframe in runner.timeframes})
    found: dict[str, list[Signal]] = {runner.name: [] for runner in runners}
    for bar in bars:
        closed = aggregator.push(bar)
        for runner in runners:
            found[runner.name] += runner.on_bars(closed)
    return found


def with_markers(strategy: BaseStrategy, name: str, bars: Bars) -> list[Signal]:
    "The engine's pipeline, with an end-of-interval marker after every minute the market is open."
    runner, pipeline, signals = (
        StrategyRunner(strategy, name, bars.symbol),
        BarPipeline(strategy.timeframes, "ohlcv-1m"),
        [],
    )
    calendar, at = SessionCalendar.of(bars.symbol), int(bars.start[0])
    take = lambda instants: [signals.extend(runner.on_bars(instant)) for instant in instants]
    for bar in bars:
        while at < bar.start:
            at += MINUTE
            if calendar.is_open(at - MINUTE):
                take(pipeline.advance(at))
        take(pipeline.push(bar))
        at = bar.end
        take(pipeline.advance(at))
    return signals


def awkward(seed: int, sessions: int) -> Bars:
    """A month with a roll at midnight UTC inside a session, an outage, and lost minutes; odd seeds have Thanksgiving,
    even ones a DST change."""
    first = dt.date(2025, 11, 24) if seed % 2 else dt.date(2025, 10, 30)
    if seed % 3 == 0:
        first = dt.date(2025, 9, 8)
    bars = generate_minutes(("ES.c.0", "NQ.c.0", "CL.c.0")[seed % 3], sessions=sessions, first_session=first, seed=seed)
    dice = np.random.default_rng(seed)
    keep = dice.random(len(bars)) > 0.03
    outage = int(dice.integers(len(bars) // 4, len(bars) // 2))
    keep[outage : outage + int(dice.integers(30, 120))] = False
    bars = bars[keep]
    midnights = np.flatnonzero(np.diff(bars.start // (24 * 60 * MINUTE)) > 0) + 1
    roll = int(midnights[len(midnights) // 2])
    bars.contract, bars.contracts = (np.arange(len(bars)) >= roll).astype(np.int32), ("ESZ5", "ESH6")
    return bars


@pytest.fixture(scope="module")
def nq_minutes(shared_data) -> Bars:
    "Real NQ minutes, two weeks around Thanksgiving 2023."
    import pandas as pd

    frame = pd.read_csv(shared_data / "bars_1m" / "NQ_1min_sample.csv")
    start = (
        pd.to_datetime(frame.timestamp)
        .dt.tz_localize("America/New_York")
        .astype("datetime64[ns, America/New_York]")
        .astype("int64")
        .to_numpy()
    )
    return Bars(
        "NQ.c.0",
        "1min",
        start,
        start + MINUTE,
        *(frame[name].to_numpy(float) for name in ("open", "high", "low", "close")),
        frame.volume.to_numpy("int64"),
        contracts=("NQZ3",),
    )


@pytest.mark.parametrize("kind", STRATEGIES, ids=lambda kind: kind.__name__)
def test_no_difference_on_the_real_nq_minutes(kind, nq_minutes):
    report = parity(kind(), nq_minutes, paths={"pipeline": with_markers})
    assert report.ok, report
    assert report.checked >= 20, "the strategy hardly trades, so the check says little"


@pytest.mark.parametrize("seed", range(10))
def test_no_difference_on_synthetic_months_with_halts_gaps_empty_minutes_and_a_roll(seed, campaign):
    bars = awkward(seed, campaign(5, full=21))
    live = all_at_once(bars)
    for kind in STRATEGIES:
        assert evaluate(kind(), kind.__name__, bars) == live[kind.__name__], parity(kind(), bars)
    assert sum(map(len, live.values())) > 50


def test_some_position_is_rolled():
    reasons = {s.reason for seed in (1, 2) for signals in all_at_once(awkward(seed, 5)).values() for s in signals}
    assert {"roll", "rule", "bars_held", "end_of_session"} <= reasons


def test_a_restart_in_mid_session_changes_nothing(nq_minutes):
    for kind in STRATEGIES:
        cut, runner, aggregator, signals = (
            7_777,
            StrategyRunner(kind(), "s", "NQ.c.0"),
            BarAggregator(kind().timeframes),
            [],
        )
        for bar in nq_minutes[:cut]:
            signals += runner.on_bars(aggregator.push(bar))
        saved = json.loads(json.dumps(runner.save(), allow_nan=False))
        resumed = StrategyRunner(kind(), "s", "NQ.c.0").restore(saved)
        for bar in nq_minutes[cut:]:
            signals += resumed.on_bars(aggregator.push(bar))
        assert signals == evaluate(kind(), "s", nq_minutes)


def test_sizes_by_risk_agree_and_may_be_zero(nq_minutes):
    strategy, sizing = VWAPReversion(), Sizing(risk_usd=1_500.0)
    runner, aggregator = StrategyRunner(strategy, "s", "NQ.c.0", sizing), BarAggregator(strategy.timeframes)
    live = [signal for bar in nq_minutes for signal in runner.on_bars(aggregator.push(bar))]
    assert live == evaluate(strategy, "s", nq_minutes, sizing)
    assert {0, 1, 2} <= {signal.quantity for signal in live}
    assert [s.id for s in live] == [s.id for s in evaluate(strategy, "s", nq_minutes)], "sizes change no decision"


class Counting(BaseStrategy):
    "Keeps count of its own, which columns cannot."

    asked = 0

    def indicators(self):
        return {"5min": []}

    def entry(self, x):
        self.asked += 1
        return (x.close > x.open) & (self.asked % 2 == 0)

    def exit(self, x):
        return x.close < x.open


def test_a_difference_is_found_and_its_cause_named():
    bars = generate_minutes("ES.c.0", sessions=1)
    report = parity(Counting(), bars)
    assert (
        not report.ok and "state of its own" in report.differences[0].cause and "entry()" in report.differences[0].cause
    )


def test_a_path_that_loses_a_bar_is_found_and_blamed():
    bars = generate_minutes("ES.c.0", sessions=2)
    lossy = lambda strategy, name, bars: evaluate(strategy, name, bars[np.arange(len(bars)) % 97 != 5])
    report = parity(STRATEGIES[1](), bars, paths={"lossy": lossy})
    assert not report.ok and all(d.detail["path"] == "lossy" for d in report.differences)
    assert "this path fed other bars" in report.differences[0].cause
    assert set(report.as_dict()) == {"checked", "differences"}


class Forming(STRATEGIES[1]):
    "Its indicator differs between batch and live."

    def indicators(self):
        from futures_algo.indicators import CCI

        class Leaky(CCI):
            def batch(self, bars, sessions=None):
                return {name: np.roll(column, -1) for name, column in super().batch(bars, sessions).items()}

        return {self.timeframe: Leaky(self.length)}


def test_a_value_that_differs_is_named_with_its_timeframe():
    report = parity(Forming(), generate_minutes("ES.c.0", sessions=1))
    assert "cci of 5min was" in report.differences[0].cause
