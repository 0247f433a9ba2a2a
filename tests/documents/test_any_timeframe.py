"Seconds, odd minutes and hours, in the engine as in research."

import json

import numpy as np
import pytest
from documents import KEYS

import futures_algo as fa
from futures_algo.aggregator.pipeline import BarPipeline
from futures_algo.config.loading import parse_config
from futures_algo.core.types import Bars, ConfigError, InputError
from futures_algo.engine.build import check_config
from futures_algo.history import read_dbn
from futures_algo.live.demo import Demo, recorded
from futures_algo.sim.market import generate
from futures_algo.strategies import StrategyRunner

MIXED = {"timeframe": "30s", "trend_timeframe": "45min"}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seconds")
    (path,) = generate(folder, 5, symbols=("ES.c.0",), sessions=1).files["ohlcv-1s"]
    return path


@pytest.fixture(scope="module")
def seconds(file) -> Bars:
    return read_dbn(file)["ES.c.0"]


def through_the_pipeline(strategy, bars: Bars, markers: int = 0, restart: int = 0) -> list[str]:
    "Ids of the signals, with an end-of-interval marker every so many bars, and a restart after so many."
    runner = StrategyRunner(strategy, "x", bars.symbol)
    pipeline, found = BarPipeline(strategy.timeframes), []
    for row, bar in enumerate(bars):
        found += [signal.id for instant in pipeline.push(bar) for signal in runner.on_bars(instant)]
        if markers and row % markers == 0:
            found += [signal.id for instant in pipeline.advance(bar.end) for signal in runner.on_bars(instant)]
        if restart and row == restart:
            saved = json.loads(json.dumps([pipeline.save(), runner.save()]))
            pipeline, runner = BarPipeline(strategy.timeframes), StrategyRunner(strategy, "x", bars.symbol)
            pipeline.restore(saved[0])
            runner.restore(saved[1])
    return found


@pytest.mark.parametrize(("markers", "restart"), [(0, 0), (1, 0), (37, 0), (0, 10_001)])
@pytest.mark.parametrize("keep", [1.0, 0.03])
def test_seconds_beside_minutes_give_the_signals_of_research(seconds, keep, markers, restart):
    thin = seconds[np.random.default_rng(2).random(len(seconds)) < keep][:40_000]
    thin.contracts, thin.contract = ("ESU5", "ESZ5"), (np.arange(len(thin)) > len(thin) * 0.7).astype(np.int32)
    for strategy in (fa.RSIStrategy(**MIXED), fa.SimpleBullishCCIStrategy(timeframe="90s")):
        expected = [signal.id for signal in fa.evaluate(strategy, "x", thin)]
        if not restart or restart < len(thin):
            assert through_the_pipeline(strategy, thin, markers, restart) == expected
        assert len(expected) > 4 or keep < 1


def config(**databento) -> dict:
    entry = {"class": "futures_algo.strategies.RSIStrategy", "parameters": MIXED}
    return {
        "databento": {"symbols": ["ES.c.0"], **databento},
        "strategies": {"seconds": entry},
        "engine": {"timeframes": ["90s", "2h", 45]},
    }


def test_the_engine_trades_them(file, seconds, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(config()))
    summary = Demo(recorded([file], tmp_path), tmp_path, tmp_path / "config.json").run()
    assert summary["lost_bars"] == summary["duplicate_orders"] == 0
    assert {"30s", "90s", "45min", "120min"} <= set(summary["bars_out"])
    with fa.Journal(tmp_path / "journal.db", readonly=True) as journal:
        ids = [row["id"] for row in journal.rows("signals")]
    assert ids == [signal.id for signal in fa.evaluate(fa.RSIStrategy(**MIXED), "seconds", seconds)] and len(ids) > 10


def test_a_feed_of_minutes_cannot_build_seconds():
    check_config(parse_config(config(), KEYS))
    with pytest.raises(ConfigError, match=r"where the feed sends minutes.*\(engine.timeframes\)"):
        check_config(parse_config(config(schema="ohlcv-1m"), KEYS))
    with pytest.raises(InputError, match="needs bars of a second"):
        BarPipeline(["30s"], "ohlcv-1m")
