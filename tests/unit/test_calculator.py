"""VBTIndicatorCalculator: both shapes of config, honest readiness, restarts bit for bit, and mistakes named with their
path."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from futures_algo.bench.indicators import indicators as bench_indicators
from futures_algo.core.types import MINUTE, Bars, ConfigError, DataError, InputError, Timeframe
from futures_algo.indicators import (
    ATR,
    CCI,
    EMA,
    MACD,
    OBV,
    RSI,
    SMA,
    VWAP,
    OpeningRange,
    VBTIndicatorCalculator,
    indicators_by_timeframe,
    wrap_talib,
)
from futures_algo.indicators.laws import random_walk

FIVE = [MACD(3, 6, 4), CCI(5), RSI(3), ATR(3), SMA(5)]
SEEDS = {
    "class": "strategies.macd_cci_27min.MACDCCIStrategy",
    "timeframes": [1, 6, 27],
    "indicators_by_timeframe": {
        "27min": {"macd": {"parameters": {"fast": 12, "slow": 26, "signal": 9}}},
        "6min": {"cci": {"parameters": {"length": 35, "threshold": -100}}},
    },
}


def fed(config, bars: Bars, timeframe="1min") -> VBTIndicatorCalculator:
    calculator = VBTIndicatorCalculator(bars.symbol, config)
    for bar in bars:
        calculator.update_bar(timeframe, bar)
    return calculator


def test_it_reads_the_config_of_the_seeds():
    calculator = VBTIndicatorCalculator("ES.c.0", SEEDS)
    assert calculator.indicators == {
        "27min": (MACD(12, 26, 9),),
        "6min": (CCI(35),),
        "1min": (),
    }  # listed, and without an indicator
    assert set(calculator.get_indicators(27)) == {"macd", "macd_signal", "macd_histogram"} and set(
        calculator.get_indicators("6min")
    ) == {"cci"}


def test_it_reads_what_a_strategy_returns():
    plan = indicators_by_timeframe({"27min": MACD(), "m6": [CCI(35), RSI()], 1: (SMA(20),)})
    assert plan == {"27min": (MACD(),), "6min": (CCI(35), RSI()), "1min": (SMA(20),)}
    assert all(isinstance(timeframe, Timeframe) for timeframe in plan)


def test_a_second_indicator_of_a_kind_is_named_by_its_key():
    plan = indicators_by_timeframe(
        {
            "indicators_by_timeframe": {
                "1min": {
                    "sma": {"parameters": {"length": 20}},
                    "slow": {"indicator": "sma", "parameters": {"length": 200}},
                }
            }
        }
    )
    assert plan == {"1min": (SMA(20), SMA(200, name="slow"))}


def test_values_are_the_batch_columns():
    walk = random_walk(400)
    calculator = VBTIndicatorCalculator("CL.c.0", {"1min": [*FIVE, VWAP(), OBV()]})
    wanted = {name: column for each in (*FIVE, VWAP(), OBV()) for name, column in each.batch(walk).items()}
    for row, bar in enumerate(walk):
        found = calculator.update_bar("1min", bar)
        assert found.keys() == wanted.keys()
        np.testing.assert_array_equal([*found.values()], [column[row] for column in wanted.values()])
    assert calculator.get_indicators("1min") == found


def test_ready_when_every_output_of_every_timeframe_has_a_value():
    calculator = VBTIndicatorCalculator("CL.c.0", {"1min": SMA(5), "6min": RSI(3)})
    walk = list(random_walk(20))
    for bar in walk[:10]:
        calculator.update_bar("1min", bar)
    assert not calculator.is_ready() and np.isnan(calculator.get_indicators("6min")["rsi"])
    for bar in walk[:3]:
        calculator.update_bar("6min", bar)
    assert not calculator.is_ready()
    calculator.update_bar("6min", walk[3])
    assert calculator.is_ready() and not calculator.is_converged()


def test_converged_when_the_start_no_longer_shows():
    walk = random_walk(RSI(3).converge + 2)
    assert not fed({"1min": RSI(3)}, walk[:-2]).is_converged()
    assert fed({"1min": RSI(3)}, walk).is_converged()
    assert not fed({"1min": OBV()}, walk).is_converged(), "OBV never forgets its start"


def test_progress_counts_bars():
    (row,) = fed({"1min": EMA(4)}, random_walk(3)).progress()
    assert row == {
        "timeframe": "1min",
        "indicator": "EMA(length=4)",
        "seen": 3,
        "first_valid": 4,
        "converge": EMA(4).converge + 1,
        "ready": False,
        "converged": False,
    }


def test_a_session_indicator_is_not_ready_before_it_is_known():
    walk = random_walk(16 * 60, seed=4)  # from the session's open at 17:00 Chicago to the next morning at 09:00
    calculator, ready = VBTIndicatorCalculator("ES.c.0", {"1min": OpeningRange(15)}), []
    for bar in walk:
        calculator.update_bar("1min", bar)
        ready.append(calculator.is_ready())
    first = ready.index(True)
    assert (walk.end[first] - walk.start[0]) // MINUTE == 15 * 60 + 30 + 15, "08:30 and 15 minutes more"


def test_reset_forgets_every_bar():
    walk = random_walk(50)
    calculator = fed({"1min": FIVE}, walk)
    before = calculator.get_indicators("1min")
    calculator.reset()
    assert not calculator.is_ready() and np.isnan([*calculator.get_indicators("1min").values()]).all()
    for bar in walk:
        calculator.update_bar("1min", bar)
    assert calculator.get_indicators("1min") == before


@settings(max_examples=15, deadline=None, derandomize=True, database=None)
@given(cut=st.integers(0, 119), tick=st.sampled_from([0.25, 0.01]), seed=st.integers(0, 50))
def test_a_restart_continues_bit_for_bit(cut, tick, seed):
    walk, plan = list(random_walk(120, tick, seed)), {"1min": FIVE, "6min": [VWAP(), EMA(4, name="trend")]}

    def update(calculator, bar):
        return [calculator.update_bar(timeframe, bar) for timeframe in plan]

    whole, first, second = (VBTIndicatorCalculator("CL.c.0", plan) for _ in range(3))
    wanted = [update(whole, bar) for bar in walk]
    for bar in walk[:cut]:
        update(first, bar)
    second.restore(first.save())
    assert second.save() == first.save()
    np.testing.assert_equal([update(second, bar) for bar in walk[cut:]], wanted[cut:])
    assert second.save() == whole.save() and second.progress() == whole.progress()


def test_state_of_something_else_is_refused_and_nothing_changes():
    calculator = fed({"1min": [SMA(5), RSI(3)]}, random_walk(30))
    before = calculator.save()
    for other in (
        fed({"1min": [SMA(5), RSI(4)]}, random_walk(30)),
        fed({"1min": SMA(5)}, random_walk(30)),
        fed({"6min": [SMA(5), RSI(3)]}, random_walk(30), "6min"),
    ):
        with pytest.raises(InputError, match="saved (state|indicator)"):
            calculator.restore(other.save())
        assert calculator.save() == before


def test_state_of_an_older_step_is_refused():
    calculator = fed({"1min": SMA(5)}, random_walk(30))
    older = json.loads(calculator.save())
    live = json.loads(older["banks"]["1min"]["live"][0])
    older["banks"]["1min"]["live"][0] = json.dumps(live | {"code": "0" * 12})
    with pytest.raises(InputError, match="same version of its step"):
        calculator.restore(json.dumps(older).encode())


def test_bars_as_mappings():
    calculator = VBTIndicatorCalculator("ES.c.0", {5: SMA(2)})
    for close in (10, 11, 14):
        values = calculator.update_bar(
            5, {"open": close, "high": close, "low": close, "close": close, "volume": 1, "vendor": "x"}
        )
    assert values == {"sma": 12.5}
    with pytest.raises(DataError, match="must have high, low"):
        calculator.update_bar(5, {"open": 1, "close": 1})


def test_a_bar_twice_or_out_of_order_is_refused():
    walk = list(random_walk(3))
    calculator = VBTIndicatorCalculator("CL.c.0", {"1min": SMA(2)})
    calculator.update_bar("1min", walk[1])
    for bar in walk[:2]:
        with pytest.raises(DataError, match="must be after the last one"):
            calculator.update_bar("1min", bar)
    assert calculator.update_bar("1min", walk[2])["sma"] == SMA(2).batch(random_walk(3))["sma"][2]


def test_a_price_that_is_none_leaves_the_values_alone():
    walk = list(random_walk(10))
    calculator = VBTIndicatorCalculator("CL.c.0", {"1min": FIVE})
    for bar in walk[:9]:
        calculator.update_bar("1min", bar)
    before = calculator.save()
    with pytest.raises(DataError, match="close price was nan.*CL.c.0 1min bar ending"):
        calculator.update_bar("1min", walk[9]._replace(close=float("nan")))
    assert calculator.save() == before


@pytest.mark.parametrize(
    "config, message",
    [
        (
            {"6min": {"cci": {"parameters": {"length": 0}}}},
            r"CCI length was 0; it must be at least 2.*\(indicators_by_timeframe.6min.cci.parameters.length\)",
        ),
        (
            {"6min": {"cci": {"parameters": {"lenght": 20}}}},
            r"did you mean 'length'\?.*\(indicators_by_timeframe.6min.cci",
        ),
        ({"6min": {"ccy": {"parameters": {}}}}, r"did you mean 'cci'\? \(indicators_by_timeframe.6min.ccy\)"),
        (
            {"6min": {"cci": {"params": {"length": 35}}}},
            r"did you mean 'parameters'\?.*\(indicators_by_timeframe.6min.cci.params\)",
        ),
        (
            {"1min": {"a": {"indicator": "sma"}, "sma": {}, "b": {"indicator": "macd", "parameters": {"fast": 30}}}},
            r"MACD fast was 30.*\.b\.parameters\.fast",
        ),
    ],
)
def test_mistakes_in_a_config_are_named_with_their_path(config, message):
    with pytest.raises(ConfigError, match=message):
        VBTIndicatorCalculator("ES.c.0", {"indicators_by_timeframe": config})


def test_two_outputs_of_one_name_are_refused():
    with pytest.raises(ConfigError, match="must not come from both.*name="):
        VBTIndicatorCalculator("ES.c.0", {"1min": [SMA(20), SMA(50)]})
    VBTIndicatorCalculator("ES.c.0", {"1min": [SMA(20), SMA(50, name="slow")]})


def test_an_unknown_timeframe_is_refused():
    with pytest.raises(InputError, match="must be one of 1min, 6min, 27min"):
        VBTIndicatorCalculator("ES.c.0", SEEDS).get_indicators("5min")


def test_a_research_indicator_does_not_trade():
    with pytest.raises(InputError, match="must have a live form to trade"):
        VBTIndicatorCalculator("ES.c.0", {"1min": wrap_talib("KAMA")})


def test_saved_state_is_json_of_a_size_that_does_not_grow():
    small, large = fed({"1min": FIVE}, random_walk(100)).save(), fed({"1min": FIVE}, random_walk(3000)).save()
    assert json.loads(small)["symbol"] == "CL.c.0" and abs(len(large) - len(small)) < 64


def test_the_benchmark_meets_its_targets_that_do_not_depend_on_a_quiet_machine(campaign):
    rows = {row["metric"].split(" over")[0]: row for row in bench_indicators(growth=campaign(200_000, full=10_000_000))}
    assert rows["growth of memory"]["met"] and rows["live updates of the five"]["met"]
    assert rows["one live update of the five, median"]["value"] < 30 and rows["batch of the five"]["ratio"] < 4
