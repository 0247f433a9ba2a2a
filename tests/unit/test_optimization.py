"What the weekly job searches, on which bars, and which combination it takes."

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from futures_algo.config.scenario import bars_hash, make_scenario, write_scenario
from futures_algo.core.types import ConfigError, DataError
from futures_algo.history import write_dbn
from futures_algo.history.store import BarStore
from futures_algo.research.optimization import (
    default_grid,
    mean_table,
    optimize,
    plan_of,
    plans_of,
    plateau,
    recorded_bars,
)
from futures_algo.research.trades import Costs
from futures_algo.research.walkforward import best_row
from futures_algo.sim.market import generate_minutes, sample_bars
from futures_algo.strategies import STRATEGIES, MACDCCIStrategy, RSIStrategy, SimpleBullishCCIStrategy

CCI, RSI = (f"futures_algo.strategies.{name}" for name in ("SimpleBullishCCIStrategy", "RSIStrategy"))


@pytest.fixture(scope="module")
def bars():
    return generate_minutes("ES.c.0", sessions=2)


def config_with(folder: Path, **strategies) -> Path:
    path = folder / "live.json"
    path.write_text(json.dumps({"databento": {"symbols": ["ES.c.0", "NQ.c.0"]}, "strategies": strategies}))
    return path


# --- what is searched


@pytest.mark.parametrize("kind", STRATEGIES)
def test_every_combination_around_a_shipped_strategy_is_a_strategy(kind):
    grid = default_grid(kind())
    made = [kind(**dict(zip(grid, values))) for values in itertools.product(*grid.values())]
    assert 3 <= len(made) <= 1000 and len({one.config_hash() for one in made}) == len(made)
    assert any(one.parameters() == kind().parameters() for one in made)


def test_the_grid_goes_around_what_a_strategy_has_and_keeps_what_is_not_varied():
    grid = default_grid(SimpleBullishCCIStrategy(length=40, stop_ticks=30, timeframe="15min"))
    assert grid == {"length": [30, 40, 50], "stop_ticks": [30.0], "timeframe": ["15min"]}


def test_values_stay_within_the_parameters_limits_and_in_its_type():
    grid = default_grid(RSIStrategy(overbought=99, length=2))
    assert (
        grid["overbought"] == [74.25, 99.0]
        and grid["length"] == [2]
        and {type(value) for value in grid["overbought"]} == {float}
    )


def test_a_given_grid_is_searched_over_what_the_config_fixes():
    plan = plan_of(
        "mine",
        {"class": CCI, "parameters": {"length": 9, "stop_ticks": 20}, "symbols": ["ES.c.0"], "quantity": 3},
        Path(),
        grid={"length": [5, 10], "bars_held": [2, 4, 6]},
    )
    assert plan.grid == {"length": [5, 10], "stop_ticks": [20], "bars_held": [2, 4, 6]} and (
        plan.combinations,
        plan.quantity,
        plan.symbols,
    ) == (6, 3, ["ES.c.0"])


def test_a_scenario_is_where_the_next_search_starts(tmp_path, bars):
    file = write_scenario(
        tmp_path / "s.json",
        make_scenario("mine", SimpleBullishCCIStrategy(length=80), bars, Costs(), class_path=CCI, accepted=True),
    )
    plan = plan_of("mine", {"scenario": "s.json"}, tmp_path, ["ES.c.0"])
    assert plan.class_path == CCI and plan.grid["length"] == [60, 80, 100]
    file.write_text(
        file.read_text().replace('"value": 80', '"value": 81')
    )  # refused by live, but the class is still known
    assert plan_of("mine", {"scenario": "s.json"}, tmp_path, ["ES.c.0"]).grid["length"] == [11, 15, 19]


def test_without_a_class_anywhere_the_entry_has_to_name_it(tmp_path):
    (tmp_path / "s.json").write_text('{"format": 1, "scenarios": {}}')
    with pytest.raises(ConfigError, match="write it into the strategy's entry"):
        plan_of("mine", {"scenario": "s.json"}, tmp_path)


def test_all_enabled_strategies_are_searched_or_those_named(tmp_path):
    config = config_with(tmp_path, on={"class": CCI}, off={"class": RSI, "enabled": False, "symbols": ["NQ.c.0"]})
    assert [(plan.name, plan.symbols) for plan in plans_of(config)] == [("on", ["ES.c.0", "NQ.c.0"])]
    assert [(plan.name, plan.symbols) for plan in plans_of(config, ["off"])] == [("off", ["NQ.c.0"])]


def test_a_grid_may_be_for_all_or_by_strategy(tmp_path):
    config = config_with(tmp_path, one={"class": CCI}, two={"class": RSI})
    assert [plan.grid["length"] for plan in plans_of(config, grids={"length": [7, 8]})] == [[7, 8], [7, 8]]
    one, two = plans_of(config, grids={"two": {"length": [7, 8]}})
    assert one.grid["length"] == [11, 15, 19] and two.grid == {"length": [7, 8]}


@pytest.mark.parametrize(
    "strategies, words",
    [
        ({}, "at least one enabled"),
        ({"off": {"class": CCI, "enabled": False}}, "at least one enabled"),
        ({"mine": {"class": CCI, "parameters": {"length": 1}}}, "must be at least 2"),
        ({"mine": {"class": "nowhere.Strategy"}}, "must be importable"),
    ],
)
def test_a_config_that_cannot_be_searched_is_refused(tmp_path, strategies, words):
    with pytest.raises(ConfigError, match=words):
        plans_of(config_with(tmp_path, **strategies))


# --- on which bars


def test_bars_of_a_file_and_of_a_store_are_the_same_bars(tmp_path, bars):
    write_dbn(tmp_path / "es.dbn.zst", {"ES.c.0": bars})
    BarStore(tmp_path / "store").write(bars)
    assert {
        bars_hash(recorded_bars([source], ["ES.c.0"])["ES.c.0"])
        for source in (tmp_path / "es.dbn.zst", tmp_path / "store")
    } == {bars_hash(bars)}


def test_a_symbol_comes_from_one_source_and_must_be_there(tmp_path, bars):
    for name in ("a", "b"):
        write_dbn(tmp_path / f"{name}.dbn.zst", {"ES.c.0": bars})
    with pytest.raises(DataError, match="one file only"):
        recorded_bars([tmp_path / "a.dbn.zst", tmp_path / "b.dbn.zst"], ["ES.c.0"])
    with pytest.raises(DataError, match="must have bars in the data; the data has ES.c.0"):
        recorded_bars([tmp_path / "a.dbn.zst"], ["ES.c.0", "NQ.c.0"])
    bars.to_frame().to_parquet(tmp_path / "es.parquet")
    with pytest.raises(DataError, match="must say whose bars they are; write ES.c.0="):
        recorded_bars([tmp_path / "es.parquet"], ["ES.c.0"])
    assert bars_hash(recorded_bars([f"ES.c.0={tmp_path / 'es.parquet'}"], ["ES.c.0"])["ES.c.0"]) == bars_hash(bars)
    with pytest.raises(DataError, match="must exist"):
        recorded_bars([tmp_path / "none.dbn.zst"], ["ES.c.0"])


def test_sample_bars_are_the_same_every_time():
    first, second = (sample_bars(["ES.c.0"], 1)["ES.c.0"] for _ in range(2))
    assert bars_hash(first) == bars_hash(second)


# --- where it is searched

SMALL = {"length": [10, 20], "bars_held": [4, 8]}


@pytest.fixture(scope="module")
def job():
    return plan_of("mine", {"class": CCI, "symbols": ["ES.c.0"]}, Path(), grid=SMALL), {
        "ES.c.0": generate_minutes("ES.c.0", sessions=12)
    }


def test_the_sweep_and_every_folds_search_keep_their_parts_and_take_them_up_again(job, tmp_path):
    first = optimize(*job, folds=2, store=tmp_path, created="now")
    kept = {path.name for path in tmp_path.iterdir()}
    assert len(kept) == 3  # one over all bars, one a fold
    for path in tmp_path.glob("*/part_*.npy"):
        np.save(path, np.load(path) + 1000)
    again = optimize(*job, folds=2, store=tmp_path, created="now")
    assert {path.name for path in tmp_path.iterdir()} == kept and np.allclose(
        again.table.net_profit_usd, first.table.net_profit_usd + 1000
    )
    assert [one.trained["trades"] for one in again.walks["ES.c.0"].results] == [
        one.trained["trades"] + 1000 for one in first.walks["ES.c.0"].results
    ]


def test_a_cluster_finds_what_one_computer_finds(job):
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
        there, here = (
            optimize(*job, folds=2, created="now", cluster=address) for address in (cluster.scheduler_address, "")
        )
    assert there.scenario.hash == here.scenario.hash and there.table.equals(here.table)


# --- which combination


def table(*sharpe: float, **more) -> pd.DataFrame:
    return pd.DataFrame({"length": range(len(sharpe)), "sharpe": sharpe, **more})


def test_several_symbols_count_alike_and_one_that_is_undefined_leaves_the_combination_out():
    together = mean_table({"ES.c.0": table(1, 4, 9), "NQ.c.0": table(3, 3, np.nan)}, ["length"])
    assert together.length.tolist() == [0, 1, 2] and best_row(together, "sharpe") == 1 and together.sharpe[0] == 2


def test_the_plateau_is_the_mean_over_what_it_does_not_show():
    grid = {"fixed": [1], "a": [1, 2], "b": [10, 20], "c": [0, 1]}
    found = pd.DataFrame([dict(zip(grid, values)) for values in itertools.product(*grid.values())]).assign(
        sharpe=range(8)
    )
    view = plateau(found, grid)
    assert (view.index.name, view.columns.name) == ("a", "b") and view.to_numpy().tolist() == [[0.5, 2.5], [4.5, 6.5]]
    assert plateau(found, {"a": [1, 2]}).shape == (2, 1)


def test_macd_of_the_shipped_config_is_searched_with_what_stands_in_both_places():
    entry = {
        "class": "futures_algo.strategies.MACDCCIStrategy",
        "parameters": {"fast": 8},
        "indicators_by_timeframe": {"6min": {"cci": {"parameters": {"length": 20}}}},
    }
    grid = plan_of("mine", entry, Path(), ["ES.c.0"]).grid
    assert (
        grid["fast"] == [6, 8, 10]
        and grid["length"] == [15, 20, 25]
        and grid["slow"] == default_grid(MACDCCIStrategy())["slow"]
    )
