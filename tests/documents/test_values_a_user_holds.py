"Bars, signals, configs, tables and what read_dbn returns, read the way a notebook reads them."

import json
import pickle

import pandas as pd
import pytest
from documents import CONFIG, KEYS

import futures_algo as fa
from futures_algo.core.types import DataError, InputError, Minutes, Timeframe
from futures_algo.history import read_dbn, write_dbn
from futures_algo.sim.market import generate_minutes
from futures_algo.strategies import STRATEGIES


@pytest.fixture(scope="module")
def bars():
    return generate_minutes("ES.c.0", sessions=4)


@pytest.fixture(scope="module")
def read(bars, tmp_path_factory):
    "What read_dbn returns of one symbol's file."
    write_dbn(path := tmp_path_factory.mktemp("dbn") / "es.dbn.zst", {"ES.c.0": bars})
    return read_dbn(path)


def test_a_bar_answers_like_a_dictionary(bars):
    bar = next(iter(bars))
    assert bar["close"] == bar.close == dict(bar)["close"] == bar.get("close") == bar[7]
    assert "close" in bar and "colse" not in bar and bar.get("colse", 0) == 0
    assert bar["timestamp"] == pd.Timestamp(bar.start, tz="UTC") and bar["ts_event"] == bar.start
    assert list(dict(bar)) == list(bar._fields) and dict(bar.items()) == bar._asdict() == {**bar}
    assert pickle.loads(pickle.dumps(bar)) == bar and bar._replace(close=1.0).close == 1.0
    symbol, timeframe, *_ = bar
    assert (symbol, timeframe, len(bar)) == ("ES.c.0", "1min", 12)
    with pytest.raises(KeyError, match="did you mean 'close'"):
        bar["colse"]


def test_a_signal_answers_by_its_own_names_and_those_of_the_documents():
    signal = fa.Signal("x", "s", "ES.c.0", "ESZ5", "LONG_ENTRY", 1_760_000_040 * 10**9, "1min", 6701.25, "h")
    assert signal["signal_type"] == signal["action"] == "LONG_ENTRY" and signal["instrument"] == "ESZ5"
    assert "signal_type" in signal and signal["timestamp"] == pd.Timestamp(signal.bar_end, tz="UTC")
    assert dict(signal)["price"] == 6701.25


def test_an_order_answers_like_a_dictionary():
    from futures_algo.execution.open_order import OpenOrder

    order = OpenOrder("fa1", "", "manual", "ES 12-25", "BUY", 1, "entry", 0.0, 0.0)
    assert order["quantity"] == 1 and "action" in order and dict(order)["instrument"] == "ES 12-25"


def test_a_mapping_by_timeframe_answers_to_every_spelling(bars):
    aggregator = fa.BarAggregator(timeframes=[3, 27])
    done = next(done for bar in bars if len(done := aggregator.process_bar("ES.c.0", bar)) == 2)
    assert done[27] is done["27min"] is done["m27"] is done[Timeframe(27)]
    assert 27 in done and "27min" in done and "m27" in done and 5 not in done
    assert dict(done)[27] is done[27] and set(done) == {3, 27} == set(dict(done)) and sorted(done) == [3, 27]
    available = aggregator.get_available_timeframes()
    assert available == [3, 27] and available == ["3min", "m27"] and 3 in available and "m3" in available
    assert (
        str(Minutes(27)) == "27min" and Timeframe(Minutes(27)) == "27min" == Minutes(27) != 26 and {Minutes(27): 1}[27]
    )


def test_a_loaded_config_reads_like_a_dictionary_and_validates(tmp_path, monkeypatch):
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    (path := tmp_path / "live_trading_config.json").write_text(json.dumps(CONFIG))
    config = fa.load_config(path)
    assert (
        fa.validate_config(config) and fa.validate_config(CONFIG) and fa.validate_config(json.loads(path.read_text()))
    )
    assert config.get("databento").get("schema") == "ohlcv-1m" and config.get("nothing", 7) == 7
    assert dict(config.items())["databento"] is config["databento"] and "strategies" in config
    assert "execution" in config and "symbols" in config["databento"] and {**config["databento"]}["symbols"]
    assert fa.get_strategy_config(config, "macd_cci_27min").get("timeframes") == ["1min", "6min", "27min"]


ROW = {"open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 3}
WHEN = pd.Timestamp("2025-11-13T15:00:00Z")
ROWS = {
    "timestamp": {"timestamp": WHEN, **ROW},
    "text": {"timestamp": "2025-11-13T15:00:00+00:00", **ROW},
    "ts_event": {"ts_event": WHEN.value, **ROW},
    "start": {"start": WHEN.value, **ROW},
    "index": {"index": WHEN, **ROW},
    "a table's row": pd.DataFrame([ROW], index=pd.DatetimeIndex([WHEN], name="ts_event")).iloc[0],
    "capitals": {"Timestamp": WHEN, **{name.capitalize(): value for name, value in ROW.items()}},
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_bar_in_any_dress_is_read_alike_everywhere(row):
    (bar,) = fa.BarAggregator([1]).process_bar("ES.c.0", row).values()
    assert (bar.start, bar.close, bar.volume) == (WHEN.value, 1.5, 3)
    calculator = fa.VBTIndicatorCalculator("ES.c.0", {"1min": {"vwap": {"parameters": {}}}})
    assert calculator.update_bar(1, row).bar.start == WHEN.value
    with pytest.raises(DataError, match="must be after the last one"):
        calculator.update_bar(1, row)
    assert fa.DataAdapter().bar(row, "ES.c.0").start == WHEN.value
    generator = fa.SignalGenerator([strategy := fa.SimpleBullishCCIStrategy("ES.c.0", {"timeframe": "1min"})])
    assert generator.on_bar_complete(1, {}, bar=row, symbol="ES.c.0") == [] and strategy.get_position() == "FLAT"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"timestamp": 1_763_046_000, **ROW}, "nanoseconds since 1970"),
        ({"timestamp": "2025-11-13 15:00", **ROW}, "must carry a zone"),
        ({**ROW}, "must carry 'start', 'timestamp'"),
        ({"timestamp": WHEN, **ROW, "close": float("nan")}, "must be a finite number"),
        ({"timestamp": WHEN, "open": 1.0}, "must have high, low, close, volume"),
    ],
)
def test_a_bar_that_cannot_be_read_says_why(wrong, words):
    with pytest.raises(InputError, match=words):
        fa.BarAggregator([1]).process_bar("ES.c.0", wrong)


def test_tables_are_taken_by_validate_bars_and_the_adapter(bars):
    table = bars.to_frame()
    assert fa.validate_bars(table, symbol="ES.c.0").ok and fa.validate_bars(table).rows == len(bars)
    named = table.assign(symbol="ES.c.0").rename(columns=str.capitalize).rename(columns={"Symbol": "symbol"})
    assert fa.validate_bars(named).ok
    wrong = table.copy()
    wrong.iloc[5, wrong.columns.get_loc("high")] = 0.0
    assert fa.validate_bars(wrong).counts == {"ohlc": 1}
    (adapted,) = fa.DataAdapter().bars(named).values()
    assert len(adapted) == len(bars) and (adapted.close == bars.close).all()


def test_what_read_dbn_returns_goes_everywhere(bars, read):
    kind, grid = fa.SimpleBullishCCIStrategy, {"length": [10, 15]}
    assert [s.id for s in fa.evaluate(kind(), "x", read)] == [s.id for s in fa.evaluate(kind(), "x", bars)]
    assert (fa.sweep(kind, read, grid).table == fa.sweep(kind, bars, grid).table).all(axis=None)
    assert not fa.parity(kind(), read).differences and not fa.lookahead(kind(), read, cuts=3).differences
    assert len(fa.walk_forward(kind, read, grid, folds=2, train=1.0).folds) == 2
    assert fa.backtest(kind(), read) is not None and fa.validate_bars(read).rows == len(bars)


def test_several_symbols_are_refused_with_the_choice(bars, read):
    with pytest.raises(InputError, match=r"choose one: bars\['ES.c.0'\]"):
        fa.sweep(fa.SimpleBullishCCIStrategy, {**read, "NQ.c.0": bars}, {"length": [10]})


@pytest.mark.parametrize("name", ["walk_forward", "lookahead", "parity", "Explorer", "Param", "evaluate", "sweep"])
def test_what_a_notebook_needs_is_in_the_package_itself(name):
    assert getattr(fa, name) and name in fa.__all__


@pytest.mark.parametrize("timeframe", ["45min", 45, "2h", "m7", "90min"])
@pytest.mark.parametrize("kind", [k for k in STRATEGIES if "timeframe" in k.params])
def test_every_shipped_strategy_takes_any_whole_timeframe(bars, kind, timeframe):
    longer = {"trend_timeframe": "4h"} if "trend_timeframe" in kind.params else {}
    strategy = kind(timeframe=timeframe, **longer)
    assert strategy.base_timeframe == Timeframe(timeframe)
    assert not fa.parity(strategy, bars).differences
    assert (
        kind(timeframe=timeframe, **longer).config_hash()
        == kind(timeframe=str(Timeframe(timeframe)), **longer).config_hash()
    )


def test_seconds_are_a_timeframe_of_every_shipped_strategy():
    for kind in (k for k in STRATEGIES if "timeframe" in k.params):
        assert kind(timeframe="30s").base_timeframe.seconds == 30
    with pytest.raises(InputError, match="RSIStrategy trend_timeframe was '30s'"):
        fa.RSIStrategy(trend_timeframe="30s")
    with pytest.raises(InputError, match="positive whole number"):
        fa.RSIStrategy(timeframe="2.5min")
