"The documents' wiring, BarAggregator -> VBTIndicatorCalculator -> SignalGenerator, gives the signals research gives."

import json

import numpy as np
import pytest
from documents import CONFIG, KEYS, ORDERS, STRATEGY, as_they_come, wired
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import futures_algo as fa
from futures_algo.core.types import InputError
from futures_algo.indicators import SMA, VWAP
from futures_algo.sim.market import generate_minutes
from futures_algo.strategies import STRATEGIES
from futures_algo.strategies.checks import replay


@pytest.fixture(scope="module")
def bars():
    return generate_minutes("ES.c.0", sessions=6)


def ids(signals: list) -> list[str]:
    return [signal.id for signal in signals]


@pytest.mark.parametrize("order", ORDERS)
def test_the_documents_own_config_gives_the_signals_of_research(bars, order):
    reference = fa.evaluate(fa.MACDCCIStrategy(), "MACDCCIStrategy", bars)
    signals = wired([fa.MACDCCIStrategy("ES.c.0", STRATEGY)], STRATEGY, STRATEGY["timeframes"], bars, order)
    assert len(reference) > 100 and ids(signals) == ids(reference)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", STRATEGIES)
def test_every_shipped_strategy_does_with_its_declared_exits(bars, kind, order):
    strategy = kind("ES.c.0")
    entry = {"timeframes": strategy.timeframes, "indicators_by_timeframe": {}}
    reference = fa.evaluate(kind(), kind.__name__, bars)
    assert len(reference) > 4 and ids(wired([strategy], entry, strategy.timeframes, bars, order)) == ids(reference)


def test_across_a_roll_and_thin_hours_the_order_does_not_matter(bars):
    "Minutes are missing and the contract changes in the middle of a period of every length."
    keep = np.random.default_rng(3).random(len(bars)) > 0.3
    thin = bars[keep]
    thin.contracts, thin.contract = ("ESU5", "ESZ5"), (np.arange(len(thin)) > 2222).astype(np.int32)
    reference = ids(fa.evaluate(fa.MACDCCIStrategy(), "MACDCCIStrategy", thin))
    assert len(reference) > 50
    for order in ORDERS:
        assert ids(wired([fa.MACDCCIStrategy("ES.c.0", STRATEGY)], STRATEGY, [1, 6, 27], thin, order)) == reference


@pytest.mark.parametrize("order", ORDERS)
def test_the_loaders_strategies_go_into_the_generator(bars, tmp_path, monkeypatch, order):
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    (file := tmp_path / "config.json").write_text(json.dumps(CONFIG))
    active = fa.StrategyLoader(str(file), fa.BarAggregator([1])).get_active_strategies()
    signals = wired(active, STRATEGY, STRATEGY["timeframes"], bars, order)
    assert ids(signals) == ids(fa.evaluate(fa.MACDCCIStrategy(), "macd_cci_27min", bars))


@pytest.mark.parametrize("stranger", [fa.MACDCCIStrategy, "macd_cci_27min", STRATEGY, None, 27, object()])
def test_what_is_no_strategy_is_refused(stranger):
    with pytest.raises(InputError, match="must be a strategy or a runner"):
        fa.SignalGenerator([fa.MACDCCIStrategy("ES.c.0", STRATEGY), stranger])


def test_a_runner_without_a_bar_is_refused_not_skipped(tmp_path, monkeypatch):
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    (file := tmp_path / "config.json").write_text(json.dumps(CONFIG))
    generator = fa.SignalGenerator(fa.StrategyLoader(str(file)).get_active_strategies())
    with pytest.raises(InputError, match="is fed with bars"):
        generator.on_bar_complete(27, {"macd": 1.0, "macd_signal": 0.0})


def test_a_timeframe_that_never_comes_holds_a_decision_for_one_bar_at_most(bars):
    strategy = fa.MACDCCIStrategy("ES.c.0", STRATEGY)
    generator = fa.SignalGenerator([strategy])
    aggregator, late = fa.BarAggregator([1]), []
    calculator = fa.VBTIndicatorCalculator("ES.c.0", {"1min": SMA(20)})
    strategy.set_position("LONG")
    for bar in bars[:600]:
        for timeframe, done in aggregator.process_bar("ES.c.0", bar).items():
            found = generator.on_bar_complete(timeframe, calculator.update_bar(timeframe, done))
            late += [done.end - signal.bar_end for signal in found]
            if found:
                strategy.set_position("LONG")
    assert len(late) > 20 and max(late) <= 10 * 60 * 10**9 and min(late) == 0


# --- a missing value: an entry is false, an exit whose known half is true fires, in every form alike

TERMS = (
    "(x.close < x.slow)",
    "(x.close < x.fast)",
    "(x.close > x.vwap)",
    "(x.fast > x.prev.slow)",
    "(x.close > x.open)",
)
EXPRESSIONS = st.recursive(
    st.sampled_from(TERMS),
    lambda inner: (
        st.tuples(inner, st.sampled_from("&|"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})")
        | inner.map(lambda text: f"(~{text})")
    ),
    max_leaves=5,
)


def drawn(rule: str) -> fa.BaseStrategy:
    "A strategy that leaves by this rule and enters on every falling bar."

    class Drawn(fa.BaseStrategy):
        def indicators(self):
            return {"1min": [SMA(5, name="fast"), VWAP()], "5min": SMA(40, name="slow")}

        def entry(self, x):
            return x.close < x.open

        def exit(self, x):
            return eval(rule)

    return Drawn()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rule=EXPRESSIONS)
def test_exits_with_missing_values_are_equal_in_columns_live_and_sweep(bars, rule):
    strategy, some = drawn(rule), bars[:900]
    signals = fa.evaluate(strategy, "drawn", some)
    assert ids(signals) == ids(replay(strategy, "drawn", some))
    (row,) = fa.sweep(type(strategy), some, {"bars_held": [0]}).table.itertuples()
    assert row.trades == len(fa.backtest(strategy, some).trades)


def answer(rule: str, **values: float) -> bool:
    "What an exit says of these values."
    known = {"open": 10.0, "close": 10.0, "fast": np.nan, "slow": np.nan, "vwap": np.nan} | values
    strategy = drawn(rule)
    strategy.set_position("LONG")
    return strategy.check_conditions(known) == "LONG_EXIT"


def test_an_exit_whose_known_half_is_true_fires():
    assert answer("(x.close < x.slow) | (x.close < x.fast)", fast=11.0)
    assert answer("(x.close < x.fast) | (x.close < x.slow)", slow=11.0)
    assert not answer("(x.close < x.slow) & (x.close < x.fast)", fast=11.0)
    assert not answer("(x.close < x.slow) | (x.close < x.fast)")


def test_an_exit_that_only_a_missing_value_makes_true_does_not_fire():
    assert not answer("~(x.close > x.slow)")
    assert not answer("~(x.slow > x.fast)")
    assert not answer("~((x.close > x.slow) & (x.close > x.fast))", fast=9.0)
    assert answer("~((x.close > x.slow) & (x.close > x.fast))", fast=11.0)  # whatever slow is
    assert not answer("x.slow != x.fast")


def test_an_entry_with_a_missing_value_stays_false():
    class Either(fa.BaseStrategy):
        def indicators(self):
            return {"1min": [SMA(5, name="fast"), SMA(9, name="slow")]}

        def entry(self, x):
            return (x.close > x.fast) | (x.close > x.slow)

    known = {"open": 10.0, "close": 10.0, "fast": 9.0, "slow": np.nan}
    assert Either("ES.c.0").check_conditions(known) is None
    assert Either("ES.c.0").check_conditions(known | {"slow": 11.0}) == "LONG_ENTRY"


def test_values_know_their_bar_and_a_bar_in_the_call_goes_before_it(bars):
    calculator = fa.VBTIndicatorCalculator("ES.c.0", {"1min": SMA(2)})
    assert calculator.update_bar(1, bar := next(iter(bars))).bar is bar is calculator.get_indicators(1).bar
    assert wired([], STRATEGY, [1], bars[:3], as_they_come) == []
