"""Names and calls that older code and documents of such systems use: each works as it is written there."""

import datetime as dt
import json

import pytest

import futures_algo as fa
from futures_algo.broker.models import Position
from futures_algo.core.types import InputError
from futures_algo.sim.market import generate_minutes
from futures_algo.strategies import STRATEGIES

OPEN = dt.datetime(2025, 11, 13, 15, 0, tzinfo=dt.UTC)
STRATEGY = {
    "enabled": True,
    "class": "strategies.macd_cci_27min.MACDCCIStrategy",
    "timeframes": [1, 6, 27],
    "indicators_by_timeframe": {
        "27min": {"macd": {"parameters": {"fast": 12, "slow": 26, "signal": 9}}},
        "6min": {"cci": {"parameters": {"length": 35, "threshold": -100}}},
    },
}
CONFIG = {
    "databento": {"symbols": ["ES.c.0", "NQ.c.0"], "schema": "ohlcv-1m"},
    "strategies": {"macd_cci_27min": STRATEGY},
    "execution": {
        "crosstrade_api_key": "${CROSSTRADE_API_KEY}",
        "crosstrade_base_url": "https://app.crosstrade.io/v1/api",
    },
}
BULLISH = {"macd": 0.45, "macd_signal": 0.38, "cci": -102.0, "open": 1.0, "close": 2.0, "sma": 1.5}


def plain(seconds: int, price: float = 5850.0) -> dict:
    "A bar as a dictionary, so long after the open."
    return {
        "timestamp": OPEN + dt.timedelta(seconds=seconds),
        "open": price,
        "high": price + 1,
        "low": price - 1,
        "close": price + 0.5,
        "volume": 100,
    }


@pytest.fixture(autouse=True)
def keys(monkeypatch):
    for name in ("DATABENTO_API_KEY", "CROSSTRADE_API_KEY"):
        monkeypatch.setenv(name, "not-a-real-key")


def test_completed_bars_are_found_by_minutes_and_by_name():
    aggregator = fa.BarAggregator([3, 30])
    completed = [aggregator.process_bar("ES.c.0", plain(60 * minute)) for minute in range(30)]
    assert [minute for minute, done in enumerate(completed) if 3 in done] == list(range(2, 30, 3))
    assert completed[-1][30] is completed[-1]["30min"] is completed[-1].get(30) and completed[-1][30].volume == 3000
    assert 30 not in completed[2] and completed[2].get(30) is None
    with pytest.raises(KeyError):
        completed[2][30]


def test_dictionaries_of_a_second_make_minutes():
    aggregator = fa.SecondToMinuteAggregator()
    done = [bar for second in range(120) for bar in aggregator.process_bar("ES.c.0", plain(second)).values()]
    assert [bar.volume for bar in done] == [6000, 6000]


def test_a_dictionary_that_is_no_bar_is_named():
    with pytest.raises(InputError, match="close, volume"):
        fa.BarAggregator([3]).process_bar(
            "ES.c.0", {name: plain(0)[name] for name in ("timestamp", "open", "high", "low")}
        )


def test_a_loaded_config_reads_like_its_file(tmp_path):
    (file := tmp_path / "config.json").write_text(json.dumps(CONFIG))
    config = fa.load_config(file)
    assert config["databento"]["symbols"] == ["ES.c.0", "NQ.c.0"] and config["databento"]["schema"] == "ohlcv-1m"
    assert config["strategies"]["macd_cci_27min"]["class"] == config.strategies["macd_cci_27min"].class_
    with pytest.raises(KeyError, match="did you mean 'symbols'"):
        config["databento"]["symbol"]


def test_a_strategys_entry_comes_from_a_loaded_config_or_from_the_plain_dictionary(tmp_path):
    (file := tmp_path / "config.json").write_text(json.dumps(CONFIG))
    assert fa.get_strategy_config(fa.load_config(file), "macd_cci_27min").enabled
    assert fa.get_strategy_config(CONFIG, "macd_cci_27min") is STRATEGY
    with pytest.raises(InputError, match="did you mean 'macd_cci_27min'"):
        fa.get_strategy_config(CONFIG, "macd_cci")


def test_the_calculator_takes_every_timeframe_the_config_lists():
    calculator, aggregator = fa.VBTIndicatorCalculator("ES.c.0", STRATEGY), fa.BarAggregator([1, 6, 27])
    for bar in generate_minutes("ES.c.0", sessions=3):
        for timeframe, done in aggregator.process_bar("ES.c.0", bar).items():
            calculator.update_bar(timeframe, done)
    assert (
        calculator.is_ready()
        and set(calculator.get_indicators(27)) >= {"macd", "macd_signal"}
        and calculator.get_indicators(1) == {}
    )
    with pytest.raises(InputError, match="must be one of"):
        calculator.get_indicators(5)
    calculator.reset()
    assert not calculator.is_ready()


class OnlyAsked(fa.BaseStrategy):
    "Overrides nothing but check_conditions, as the first strategies of such systems did."

    def __init__(self, symbol, config):
        super().__init__(symbol, config)

    def check_conditions(self, indicators):
        if indicators["close"] > indicators["open"]:
            return "BUY"
        return "SELL" if indicators["close"] < indicators["open"] else None


def test_a_strategy_may_define_check_conditions_alone():
    strategy = OnlyAsked("ES.c.0", {})
    assert strategy.check_conditions({"open": 1, "close": 2}) == "BUY" and strategy.get_metadata()["timeframes"] == []
    with pytest.raises(InputError, match=r"indicators\(\)"):
        strategy.base_timeframe
    with pytest.raises(InputError, match=r"indicators\(\)"):
        fa.BaseStrategy("ES.c.0", {})


def bar_at(seconds: int) -> fa.Bar:
    start = int(OPEN.timestamp() + seconds) * 10**9
    return fa.Bar("ES.c.0", "1min", start, start + 60 * 10**9, 1.0, 2.5, 0.5, 2.0, 10, "ESZ5")


class Collects:
    "An executor that keeps what it is given."

    def __init__(self):
        self.given = []

    def submit_signal(self, signal):
        self.given.append(signal)


def test_the_generator_asks_strategies_when_a_bar_of_their_finest_timeframe_completes():
    executor, strategy = Collects(), fa.MACDCCIStrategy("ES.c.0", STRATEGY)
    generator = fa.SignalGenerator([strategy], executor)
    assert (
        generator.on_bar_complete(27, {"macd": 0.45, "macd_signal": 0.38})
        == generator.on_bar_complete(6, {"cci": -102.0})
        == []
    )
    (entry,) = generator.on_bar_complete(1, {"sma": 1.5}, bar=bar_at(0))
    assert (entry.action, entry.symbol, entry.contract, entry.price, entry.bar_end) == (
        "LONG_ENTRY",
        "ES.c.0",
        "ESZ5",
        2.0,
        bar_at(0).end,
    )
    assert executor.given == [entry] and strategy.get_position() == "LONG"
    assert generator.on_bar_complete(1, {"sma": 1.5}, bar=bar_at(60)) == []  # no second entry while long
    generator.on_bar_complete(27, {"macd": 0.30, "macd_signal": 0.38})
    (leave,) = generator.on_bar_complete(1, {"sma": 1.5}, bar=bar_at(120))
    assert leave.action == "LONG_EXIT" and strategy.get_position() == "FLAT"
    assert generator.on_bar_complete(1, {"sma": 1.5}, bar=bar_at(180)) == []  # no exit while flat


def test_a_condition_on_a_value_that_is_not_there_yet_is_false():
    generator = fa.SignalGenerator([fa.MACDCCIStrategy("ES.c.0", STRATEGY)], Collects())
    assert generator.on_bar_complete(1, {"sma": 1.5}, bar=bar_at(0)) == []
    (entry,) = generator.on_bar_complete(1, BULLISH)  # without a bar the moment is now
    assert entry.price == 2.0 and entry.bar_end > bar_at(0).end


def test_buy_and_sell_mean_what_the_position_allows():
    generator = fa.SignalGenerator([strategy := OnlyAsked("ES.c.0", {})])
    up, down = {"open": 1.0, "close": 2.0}, {"open": 2.0, "close": 1.0}
    actions = [
        signal.action
        for n, values in enumerate((up, up, down, down, up))
        for signal in generator.on_bar_complete(1, values, bar=bar_at(60 * n)._replace(**values))
    ]
    assert actions == ["LONG_ENTRY", "LONG_EXIT", "SHORT_ENTRY", "SHORT_EXIT"] and strategy.get_position() == "FLAT"


def test_equal_answers_within_the_cool_down_do_not_leave():
    generator = fa.SignalGenerator([strategy := fa.MACDCCIStrategy("ES.c.0", STRATEGY)], cooldown_s=90)
    assert len(generator.on_bar_complete(1, BULLISH, bar=bar_at(0))) == 1
    strategy.set_position("FLAT")
    assert generator.on_bar_complete(1, BULLISH, bar=bar_at(60)) == [] and strategy.get_position() == "FLAT"
    assert len(generator.on_bar_complete(1, BULLISH, bar=bar_at(120))) == 1


def test_the_translator_can_know_its_broker():
    class Broker:
        def get_positions(self, account):
            return [
                Position(instrument="ES 12-25", market_position="Long", quantity=2),
                Position(instrument="NQ 12-25", market_position="Short", quantity=1),
            ]

    translator = fa.SignalTranslator(client=Broker())
    assert [translator.check_existing_position(name) for name in ("ES 12-25", "NQZ25", "CL 12-25")] == [2, -1, 0]
    with pytest.raises(InputError, match="client"):
        fa.SignalTranslator().check_existing_position("ES 12-25")


def test_a_system_that_never_ran_has_a_status(tmp_path):
    content = CONFIG | {"engine": {"journal": str(tmp_path / "live.db")}, "logging": {"folder": str(tmp_path)}}
    (file := tmp_path / "config.json").write_text(json.dumps(content))
    assert fa.LiveTradingSystem(file).get_status() == {}


def test_shipped_strategies_are_public_names():
    assert {
        fa.MACDCCIStrategy,
        fa.SimpleBullishCCIStrategy,
        fa.RSIStrategy,
        fa.OpeningRangeBreakout,
        fa.VWAPReversion,
    } == set(STRATEGIES)
