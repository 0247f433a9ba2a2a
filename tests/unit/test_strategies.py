"""Strategies: parameters that teach, values equal as scalars and columns, nothing traded on what is not there, sizes
that never round up."""

import json
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from futures_algo.aggregator.aggregator import BarAggregator
from futures_algo.config.model import StrategyConfig
from futures_algo.core.types import ACTIONS, ConfigError, InputError
from futures_algo.indicators import ATR, CCI, EMA, RSI, SMA
from futures_algo.sim.market import generate_minutes
from futures_algo.strategies import (
    STRATEGIES,
    BaseStrategy,
    MACDCCIStrategy,
    Market,
    Param,
    RSIStrategy,
    SimpleBullishCCIStrategy,
    StrategyRunner,
    Values,
    columns,
    contracts_for_risk,
    decisions,
    evaluate,
    strategy_class,
)
from futures_algo.strategies.checks import parity, warmup
from futures_algo.strategies.values import Known


@pytest.fixture(scope="module")
def minutes():
    return generate_minutes("ES.c.0", sessions=3)


# --- parameters


@pytest.mark.parametrize(
    "wrong, words",
    [
        (dict(lenght=15), "did you mean 'length'"),
        (dict(length=1), "at least 2"),
        (dict(length=501), "at most 500"),
        (dict(length=15.5), "whole number"),
        (dict(length=float("nan")), "whole number"),
        (dict(length="15"), "whole number"),
        (dict(length=True), "whole number"),
        (dict(timeframe="2.5min"), "positive whole number"),
        (dict(threshold=float("inf")), "finite"),
        (dict(fast=30), "must be below slow"),
        (dict(trail_atr=2), "add ATR"),
        (dict(stop_ticks=-1), "at least 0"),
    ],
)
def test_a_wrong_parameter_is_named_with_its_rule(wrong, words):
    kind = SimpleBullishCCIStrategy if {"timeframe", "lenght"} & set(wrong) else MACDCCIStrategy
    with pytest.raises(InputError, match=words):
        kind(**wrong)


def test_plain_defaults_params_and_inherited_defaults_are_all_parameters():
    class Mine(SimpleBullishCCIStrategy):
        factor: float = 2
        careful: bool = True
        bars_held = 9
        length: int = 21
        _private: int = 3

    assert Mine().parameters() | {"factor": 2.0, "careful": True, "bars_held": 9, "length": 21} == Mine().parameters()
    assert isinstance(Mine().factor, float) and "_private" not in Mine.params and Mine.params["length"].high == 500
    assert SimpleBullishCCIStrategy().bars_held == 5, "a subclass does not change its base"


def test_a_default_out_of_its_range_or_without_a_type_is_refused_when_the_class_is_made():
    with pytest.raises(InputError, match="at least 2"):

        class Short(SimpleBullishCCIStrategy):
            length: int = 0

    with pytest.raises(InputError, match="choices"):

        class Text(BaseStrategy):
            mode: str = "fast"


def test_an_update_changes_everything_or_nothing():
    strategy = MACDCCIStrategy(length=20)
    before = strategy.parameters(), strategy.plan
    with pytest.raises(InputError):
        strategy.update_parameters({"length": 30, "slow": 5})
    assert (strategy.parameters(), strategy.plan) == before
    strategy.update_parameters({"length": 30})
    assert strategy.length == 30 and CCI(30) in strategy.plan["6min"]


def test_the_hash_follows_class_parameters_and_declared_exits_and_nothing_else():
    assert MACDCCIStrategy("ES.c.0").config_hash() == MACDCCIStrategy("NQ.c.0", {"length": 35}).config_hash()
    different = {
        MACDCCIStrategy(**changed).config_hash()
        for changed in ({}, {"length": 36}, {"stop_ticks": 8}, {"exit_before_close": 5})
    }
    assert len(different | {SimpleBullishCCIStrategy().config_hash()}) == 5


ENTRY = {
    "class": "strategies.macd_cci_27min.MACDCCIStrategy",
    "timeframes": [1, 6, 27],
    "indicators_by_timeframe": {
        "27min": {"macd": {"parameters": {"fast": 10, "slow": 26, "signal": 9}}},
        "6min": {"cci": {"parameters": {"length": 35, "threshold": -110}}},
    },
}


def test_the_seeds_config_builds_the_strategy():
    for strategy in (
        MACDCCIStrategy("ES.c.0", ENTRY),
        MACDCCIStrategy.from_config("macd", StrategyConfig.model_validate(ENTRY)),
    ):
        assert (strategy.fast, strategy.length, strategy.threshold) == (10, 35, -110.0)
    with pytest.raises(ConfigError, match=r"strategies\.macd\.parameters"):
        MACDCCIStrategy.from_config("macd", ENTRY | {"parameters": {"legnth": 3}})
    with pytest.raises(ConfigError, match="contradict"):
        MACDCCIStrategy("ES.c.0", ENTRY | {"parameters": {"fast": 11}})


SOURCE = """from futures_algo.indicators import SMA
from futures_algo.strategies import BaseStrategy
LENGTH = 12
class Mine(BaseStrategy):
    length: int = LENGTH
    def indicators(self): return {"5min": SMA(self.length)}
    def entry(self, x): return x.close > x.sma
"""


def test_a_strategy_is_loaded_from_a_file_or_a_notebook_by_path(tmp_path):
    (tmp_path / "mine.py").write_text(SOURCE)
    cells = [
        {"cell_type": "markdown", "source": ["# idea"]},
        *(
            {"cell_type": "code", "source": text}
            for text in ("%matplotlib inline\n" + SOURCE, "raise SystemExit('work')")
        ),
    ]
    (tmp_path / "mine.ipynb").write_text(json.dumps({"cells": cells}))
    file, notebook = (strategy_class(f"{tmp_path}/mine{suffix}:Mine") for suffix in (".py", ".ipynb"))
    assert file().length == notebook().length == 12
    assert file().config_hash() == notebook().config_hash(), "the same strategy, wherever it is kept under one name"


@pytest.mark.parametrize(
    "path, words",
    [
        ("futures_algo.strategies.MACDCIStrategy", "MACDCCIStrategy"),
        ("futures_algo.core.types.Bar", "BaseStrategy"),
        ("no.such.Thing", "importable"),
    ],
)
def test_a_wrong_class_path_is_answered(path, words):
    with pytest.raises(ConfigError, match=words):
        strategy_class(path)


# --- the seeds' interface

VALUES = dict(
    open=5000.0,
    high=5002.0,
    low=4999.0,
    close=5001.0,
    volume=10,
    sma=4999.0,
    macd=1.2,
    macd_signal=0.8,
    macd_histogram=0.4,
    cci=-130.0,
)


def test_check_conditions_answers_with_an_action_and_respects_the_position():
    strategy = MACDCCIStrategy("ES.c.0")
    assert strategy.get_position() == "FLAT" and strategy.check_conditions(VALUES) == "LONG_ENTRY"
    strategy.set_position("LONG")
    assert (
        strategy.check_conditions(VALUES) is None and strategy.check_conditions(VALUES | {"macd": 0.0}) == "LONG_EXIT"
    )
    with pytest.raises(InputError, match="did you mean 'LONG'"):
        strategy.set_position("LNG")
    short = RSIStrategy()
    short.check_conditions({"rsi": 70, "trend": 40})
    assert short.check_conditions({"rsi": 55, "trend": 40}) == "SHORT_ENTRY" in ACTIONS


def test_check_conditions_sees_the_call_before_as_the_bar_before():
    strategy = SimpleBullishCCIStrategy()
    assert strategy.check_conditions(dict(open=1.0, close=2.0, cci=5.0)) is None, "there is no bar before the first"
    assert strategy.check_conditions(dict(open=2.0, close=3.0, cci=6.0)) == "LONG_ENTRY"
    assert strategy.check_conditions(dict(open=2.0, close=3.0, cci=7.0)) is None


# --- values


class Probe(BaseStrategy):
    "Conditions of every form, to be compared between scalars and columns."

    def indicators(self):
        return {"1min": SMA(3), "5min": [RSI(3), ATR(3)], "15min": EMA(2)}

    def entry(self, x):
        return ~(x.close < x.sma) & ((x.rsi > 50) | (x["15min"].close > x["15min"].prev.ema))

    def exit(self, x):
        return (np.abs(x.close - x.prev.close) > x.atr / 4) | (x.prev.rsi > x.rsi)

    def short_entry(self, x):
        return (x["5min"].prev.close > x.close) & ~(x.volume > x.prev.volume) & (np.maximum(x.ema, x.sma) == x.ema)

    def short_exit(self, x):
        return x.prev["5min"].close < x["5min"].close


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.5, 1.0), st.integers(60, 400))
def test_scalars_and_columns_decide_alike_from_any_start_over_random_gaps(minutes, seed, share, length):
    dice = np.random.default_rng(seed)
    start = int(dice.integers(0, len(minutes) - 900))
    bars = minutes[start : start + length][dice.random(length) < share]
    report = parity(Probe(stop_ticks=8, target_ticks=12, trail_atr=1.5, bars_held=30, exit_before_close=3), bars)
    assert report.ok, report


def test_a_condition_is_false_until_every_value_it_reads_is_there(minutes):
    class Inverted(BaseStrategy):
        "`~` of a comparison with NaN is True."

        def indicators(self):
            return {"1min": SMA(30)}

        def entry(self, x):
            return ~(x.close < x.sma)

        def exit(self, x):
            return x.close < x.open

    bars, x = columns(Inverted(), minutes)
    asked = Inverted().conditions(x)
    assert not asked["entry"][:29].any() and asked["entry"].any()
    assert asked["exit"][:29].any(), "an exit needs its own values only"


def test_a_higher_timeframe_is_seen_when_its_bar_has_closed(minutes):
    bars, x = columns(Probe(), minutes)
    market = Market(minutes)
    fifteen = market.bars("15min")
    for row in (20, 700, 2500):
        closed = [bar for bar in fifteen if bar.end <= bars.end[row]]
        assert (
            x["15min"].close[row] == closed[-1].close and x["15min"].prev.close[row] == closed[-2].close
            if len(closed) > 1
            else np.isnan(x["15min"].prev.close[row])
        )


def test_values_answer_a_wrong_name_and_a_look_too_far_back():
    x = Values(Known({"close": 1.0}, prev=Known({"close": 0.5})))
    for wrong, words in (
        (lambda: x.clsoe, "did you mean 'close'"),
        (lambda: x.prev.prev, "more than one bar"),
        (lambda: x["5min"], "timeframe"),
    ):
        with pytest.raises(InputError, match=words):
            wrong()


class UsesAnd(Probe):
    def entry(self, x):
        return x.close > x.sma and x.rsi > 50


class UsesIf(Probe):
    def entry(self, x):
        return True if x.close > x.sma else False


class UsesMath(Probe):
    def entry(self, x):
        import math

        return math.log(x.close) > 8


class ForgetsToCompare(Probe):
    def entry(self, x):
        return x.rsi


class OtherTimeframe(Probe):
    def entry(self, x):
        return x["15min"].rsi > 50


@pytest.mark.parametrize(
    "kind, words",
    [
        (UsesAnd, "&"),
        (UsesIf, "np.where"),
        (UsesMath, "np.log"),
        (ForgetsToCompare, "comparisons"),
        (OtherTimeframe, "output"),
    ],
)
def test_code_that_cannot_be_swept_is_refused_before_it_trades(kind, words, minutes):
    with pytest.raises(InputError, match=words):
        evaluate(kind(), "s", minutes)
    with pytest.raises(InputError, match=words):
        StrategyRunner(kind(), "s", "ES.c.0")


def test_two_indicators_of_one_name_are_refused():
    class Twice(BaseStrategy):
        def indicators(self):
            return {"1min": SMA(5), "5min": SMA(9)}

    with pytest.raises(InputError, match="name="):
        Twice()


def test_one_market_calculates_an_indicator_once(minutes):
    calls = []

    class Counted(CCI):
        def batch(self, bars, sessions=None):
            return calls.append(self) or super().batch(bars, sessions)

    class Mine(SimpleBullishCCIStrategy):
        def indicators(self):
            return {"6min": Counted(self.length)}

    market = Market(minutes)
    several = [decisions(Mine(bars_held=held), market).tolist() for held in (1, 5, 9)]
    assert calls == [Counted(15)] and several[0] != several[2]


# --- the runner


def test_late_completions_of_several_moments_are_judged_one_by_one(minutes):
    one, many = (StrategyRunner(Probe(), "s", "ES.c.0") for _ in range(2))
    aggregator, closed = BarAggregator(Probe().timeframes), []
    for bar in minutes[:600]:
        closed.append(aggregator.push(bar))
    together = [
        signal
        for i in range(0, 600, 7)
        for signal in many.on_bars(sorted(chain.from_iterable(closed[i : i + 7]), key=lambda bar: bar.end))
    ]
    assert together == [signal for bars in closed for signal in one.on_bars(bars)] != []


def test_a_saved_runner_is_json_and_refuses_other_parameters(minutes):
    runner, aggregator = StrategyRunner(Probe(), "s", "ES.c.0"), BarAggregator(Probe().timeframes)
    for bar in minutes[:40]:
        runner.on_bars(aggregator.push(bar))
    saved = json.loads(json.dumps(runner.save(), allow_nan=False))
    assert StrategyRunner(Probe(), "s", "ES.c.0").restore(saved).save() == runner.save()
    with pytest.raises(InputError, match="warm up"):
        StrategyRunner(Probe(bars_held=3), "s", "ES.c.0").restore(saved)


def test_the_runner_says_why_it_does_not_trade(minutes):
    runner = StrategyRunner(MACDCCIStrategy(), "s", "ES.c.0")
    assert runner.describe() == {"values": {}, "conditions": {}} and not runner.is_ready() and runner.position == "FLAT"
    runner.on_bars(list(minutes[:1]))
    said = runner.describe()
    assert (
        said["values"]["close"] == minutes.close[0]
        and np.isnan(said["values"]["cci"])
        and said["conditions"]["entry"] is False
    )


@pytest.mark.parametrize("kind", STRATEGIES, ids=lambda kind: kind.__name__)
def test_every_shipped_strategy_trades_on_the_generated_market_and_alternates(kind):
    for symbol in ("ES.c.0", "NQ.c.0"):
        signals = evaluate(kind(), "s", generate_minutes(symbol, sessions=8, seed=7))
        sides = [(s.is_entry, s.is_long) for s in signals]
        assert len(signals) >= 4 and all(entry != after for (entry, _), (after, _) in zip(sides, sides[1:]))
        assert len({s.id for s in signals}) == len(signals)


# --- sizes and warm-up


@settings(max_examples=200, deadline=None)
@given(
    st.floats(1, 1e6),
    st.integers(1, 4000),
    st.sampled_from([(0.25, 50.0), (0.1, 100.0), (0.01, 1000.0), (0.00005, 125_000.0)]),
)
def test_the_loss_at_the_stop_never_exceeds_the_budget(risk, ticks, spec):
    tick, point_value = spec
    size = contracts_for_risk(risk, ticks * tick, point_value)
    loss = ticks * tick * point_value
    assert size * loss <= risk * (1 + 1e-8) + 1e-8 * loss and (size + 1) * loss > risk * (1 - 1e-8)


@pytest.mark.parametrize(
    "risk, stop, size",
    [(199.99, 4.0, 0), (200, 4.0, 1), (399.99, 4.0, 1), (300, 3 * 0.1 * 20, 1), (500, float("nan"), 0)],
)
def test_a_budget_below_one_contract_buys_none(risk, stop, size):
    assert contracts_for_risk(risk, stop, 50.0) == size


def test_a_budget_must_be_money():
    for wrong in (0, -5, float("nan")):
        with pytest.raises(InputError):
            contracts_for_risk(wrong, 4, 50)


def test_warmup_finds_the_history_a_strategy_needs():
    class Slow(BaseStrategy):
        "A window of 200 bars, and a position of three bars."

        length: int = Param(200, low=2, high=500)
        bars_held = 3

        def indicators(self):
            return {"1min": SMA(self.length)}

        def entry(self, x):
            return (x.close > x.sma) & (x.prev.close <= x.prev.sma)

    bars = generate_minutes("ES.c.0", sessions=2)
    report = warmup(Slow(), bars, histories=(0, 50, 198, 240, 400, 800))
    assert report.bars_to_trust == 240 and report.rows[0]["missing"] > 0 and report.converge == {"1min": 199}
    assert set(report.as_dict()) == {"checked", "rows", "bars_to_trust", "converge"}
