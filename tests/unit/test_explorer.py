"The explorer without a browser: what its controls offer, refuse, run, sweep and save."

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest

from futures_algo.config.scenario import read_scenario
from futures_algo.core.types import Bars, DataError, InputError
from futures_algo.explorer.model import Exploration, choices_of, markets_of, panes_of, slider_of, stretch_of, thinned
from futures_algo.explorer.save import name_in_config, nearest
from futures_algo.explorer.sweep_tab import Grid, axis_values, offered_values
from futures_algo.explorer.widget import SHOWN, Debounced, Explorer
from futures_algo.history import write_dbn
from futures_algo.research.backtest import backtest
from futures_algo.research.performance import written
from futures_algo.sim.market import generate_minutes
from futures_algo.strategies import (
    STRATEGIES,
    BaseStrategy,
    MACDCCIStrategy,
    Market,
    OpeningRangeBreakout,
    Param,
    RSIStrategy,
    VWAPReversion,
)


@pytest.fixture(scope="module")
def minutes():
    return generate_minutes("ES.c.0", sessions=25, seed=3)


@pytest.fixture
def explorer(minutes, tmp_path):
    return Explorer(minutes, OpeningRangeBreakout, config=tmp_path / "live_trading_config.json")


def shown(explorer) -> dict[str, str]:
    "The figures in the page's HTML."
    parts = explorer.figures.value.split("data-figure='")[1:]
    return {part.split("'")[0]: part.split(">")[1].split("<")[0] for part in parts}


def expected(strategy, minutes) -> dict[str, str]:
    return {name: written(name, backtest(strategy, minutes).stats[name]) for name in SHOWN}


# --- controls


@pytest.mark.parametrize("kind", STRATEGIES)
def test_a_slider_holds_the_default_and_stays_within_the_limits(kind):
    for name, param in kind.params.items():
        if (offer := slider_of(param)) is None:
            continue
        assert offer.low <= param.default <= offer.high and offer.step > 0, name
        param.check(offer.low, name)
        param.check(offer.high, name)


@pytest.mark.parametrize("kind", STRATEGIES)
def test_the_values_offered_for_a_sweep_are_allowed(kind):
    for name, param in kind.params.items():
        assert axis_values(offered_values(param), param, name)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "at least one value"),
        ("a, b", "must be numbers"),
        ("60:10:10", "low:high:step"),
        ("1:1e12:1", "at most 2,500"),
        ("10:20:nan", "low:high:step"),
        ("9.5", "whole number"),
        ("900", "at most 240"),
    ],
)
def test_bad_values_are_one_line(text, says):
    with pytest.raises(InputError, match=says):
        axis_values(text, OpeningRangeBreakout.params["minutes"], "minutes")


def test_timeframes_finer_than_the_bars_are_not_offered(minutes):
    market = Market(Market(minutes).bars("5min"))
    assert choices_of(RSIStrategy.params["timeframe"], market) == (
        "5min",
        "10min",
        "15min",
        "20min",
        "30min",
        "60min",
        "120min",
        "240min",
    )


def test_bars_come_from_a_file_a_list_or_a_market(minutes, tmp_path):
    path = write_dbn(tmp_path / "bars.dbn.zst", {"ES.c.0": minutes})
    for given in (minutes, [minutes], {"ES.c.0": minutes}, Market(minutes), path):
        assert list(markets_of(given)) == ["ES.c.0"]
    with pytest.raises(DataError, match="must not be empty"):
        markets_of(Bars.from_bars([], "ES.c.0"))
    with pytest.raises(DataError, match="must exist"):
        markets_of(tmp_path / "none.dbn")


# --- running


def test_a_moved_slider_shows_the_backtest_of_its_value(explorer, minutes):
    assert shown(explorer) == expected(OpeningRangeBreakout(), minutes)
    explorer.rows["minutes"].slider.value = 60
    assert explorer.rows["minutes"].box.value == 60 and shown(explorer) == expected(
        OpeningRangeBreakout(minutes=60), minutes
    )
    explorer.rows["last_entry"].box.value = 90
    assert explorer.rows["last_entry"].slider.value == 90 and shown(explorer) == expected(
        OpeningRangeBreakout(minutes=60, last_entry=90), minutes
    )


def test_a_number_beyond_the_slider_moves_its_end(explorer):
    explorer.rows["stop_ticks"].box.value = 1234
    assert explorer.rows["stop_ticks"].slider.max == 1234 and explorer.exploration.result.strategy.stop_ticks == 1234


def test_a_slider_reporting_its_nearest_step_changes_nothing(explorer):
    row = explorer.money[0]  # 2.25 dollars on a slider of tenths of a dollar or so
    row.slider.step = 0.1
    row.slider.value = 2.3
    assert row.value == 2.25 and explorer.exploration.costs.commission_usd == 2.25
    row.slider.value = 2.4
    assert explorer.exploration.costs.commission_usd == 2.4


def test_a_refused_value_is_a_line_and_the_last_run_stays(explorer, minutes):
    before = shown(explorer)
    explorer.rows["minutes"].box.value = 200
    assert (
        "last_entry was 180; it must lie between minutes, 200, and leave, 385" in explorer.error.value
        and "\n" not in explorer.error.value
    )
    assert shown(explorer) == before and "fx-old" in explorer.figures._dom_classes
    explorer.rows["minutes"].box.value = 45
    assert explorer.error.value == "" and shown(explorer) == expected(OpeningRangeBreakout(minutes=45), minutes)


def test_another_symbol_that_cannot_run_leaves_the_last_run_on_the_chart(minutes):
    coarse = Market(generate_minutes("NQ.c.0", sessions=5, seed=3)).bars("5min")
    explorer = Explorer([minutes, coarse], MACDCCIStrategy)
    explorer.symbol.value = "NQ.c.0"
    assert "finer bars" in explorer.error.value
    explorer._step(-1)
    rows = explorer.chart.source.data["x"]
    assert np.array_equal(explorer.chart.source.data["close"], minutes.close[rows])
    explorer.strategy.value = "VWAPReversion"
    assert explorer.error.value == "" and explorer.exploration.result.symbol == "NQ.c.0"


class BrokenStrategy(BaseStrategy):
    "Reads what is not there."

    length: int = Param(5, low=1, high=9, unit="<b>bars</b>")

    def indicators(self):
        return {"5min": []}

    def entry(self, x):
        return x.close > undefined_name  # noqa: F821


def test_a_mistake_in_a_strategy_is_a_line(minutes):
    explorer = Explorer(minutes, BrokenStrategy)
    assert "NameError" in explorer.error.value and "undefined_name" in explorer.error.value
    assert "&lt;b&gt;bars" in explorer.rows["length"].children[0].value, "text is text"
    explorer.strategy.value = "VWAPReversion"
    assert explorer.error.value == "" and shown(explorer) == expected(VWAPReversion(), minutes)


def test_each_strategy_keeps_its_parameters(explorer):
    explorer.rows["minutes"].box.value = 45
    explorer.strategy.value = "VWAPReversion"
    assert set(explorer.rows) == set(VWAPReversion.params)
    explorer.strategy.value = "OpeningRangeBreakout"
    assert explorer.rows["minutes"].value == 45 == explorer.exploration.result.strategy.minutes
    explorer.reset.click()
    assert explorer.rows["minutes"].value == 30 == explorer.exploration.result.strategy.minutes


def test_a_strategy_object_gives_the_parameters_to_start_with(minutes):
    assert Exploration(minutes, VWAPReversion(width=3.0)).strategy.width == 3.0


def test_drawing_waits_until_the_slider_is_still():
    drawn = []

    async def drag():
        draw = Debounced(lambda: drawn.append(1), seconds=0.01)
        for _ in range(20):
            draw()
        assert not drawn
        while not drawn:
            await asyncio.sleep(0.005)

    asyncio.run(asyncio.wait_for(drag(), 10))
    assert drawn == [1]


def test_the_memory_of_indicators_is_bounded(minutes):
    market, most = Market(minutes), 3 * len(minutes) * 8
    for length in range(2, 40):
        backtest(MACDCCIStrategy(exit_length=length), market)
    market.trim(most)
    assert sum(column.nbytes for columns in market._columns.values() for column in columns.values()) <= most
    assert (
        backtest(MACDCCIStrategy(exit_length=2), market).equity.tolist()
        == backtest(MACDCCIStrategy(exit_length=2), minutes).equity.tolist()
    )


# --- the chart


def test_the_chart_holds_the_runs_bars_values_and_trades(explorer):
    result, chart = explorer.exploration.result, explorer.chart
    rows = chart.source.data["x"]
    assert np.array_equal(chart.source.data["close"], result.base.close[rows])
    inside = (result.trades.exit_row >= rows[0]) & (result.trades.entry_row <= rows[-1])
    assert (
        chart.trades.data["x0"].tolist() == result.trades.entry_row[inside].tolist()
        and chart.trades.data["y1"].tolist() == result.trades.exit_price[inside].tolist()
    )
    explorer._step(-1)
    seen = chart.x_range.end
    explorer._step(-1)
    assert chart.x_range.end < seen
    assert panes_of(result.strategy)[0] == ["opening_range_high", "opening_range_low"]


def test_a_stretch_is_moved_inside_what_there_is(minutes):
    exploration = Exploration(minutes, VWAPReversion)
    result = exploration.evaluate()
    for first in (-50, 0, len(result.base) - 10, 10**9):
        stretch = stretch_of(result, exploration.market, first, 100)
        assert len(stretch.bars) == 100 and all(len(values) == 100 for values in stretch.values.values())
    assert len(stretch_of(result, exploration.market, 0, 10**9).bars) == len(result.base)


def test_a_thinned_curve_keeps_its_extremes_and_its_end():
    rng = np.random.default_rng(1)
    time, equity = np.arange(50_000), rng.standard_normal(50_000).cumsum()
    at, thin = thinned(time, equity, 300)
    assert (
        len(at) <= 310
        and thin.min() == equity.min()
        and thin.max() == equity.max()
        and thin[-1] == equity[-1]
        and np.all(np.diff(at) > 0)
    )


# --- sweep and save


def test_a_grids_figures_are_the_backtests(minutes):
    exploration = Exploration(minutes, OpeningRangeBreakout)
    exploration.set(leave=300)
    grid = Grid(exploration, {"minutes": [15, 60, 90], "last_entry": [70, 120]})
    while grid.step():
        pass
    assert grid.refused == 1 and grid.figures[4] is None, "90 minutes are over before the last entry at 70"
    for chosen, found in zip(grid.combinations, grid.figures):
        if found is None:
            continue
        stats = backtest(OpeningRangeBreakout(leave=300, **chosen), minutes).stats
        for name, value in found.items():
            assert value == pytest.approx(stats[name], rel=1e-9, nan_ok=True), name
    best = grid.best("max_drawdown_usd", 1)[0]
    assert grid.figures[best]["max_drawdown_usd"] == min(found["max_drawdown_usd"] for found in grid.figures if found)
    assert len(grid.to_frame()) == 6


def test_a_sweep_in_the_page_and_a_pick(explorer, minutes):
    tab = explorer.sweep
    tab.texts[0].value, tab.texts[1].value = "15, 60", "100, 200"
    tab.run()
    assert tab.grid.done == 4 and not tab.start.disabled and len(tab.best.children) == 4
    tab.pick(2)
    assert explorer.exploration.given == {"minutes": 60, "last_entry": 100} and explorer.rows["minutes"].value == 60
    assert shown(explorer) == expected(OpeningRangeBreakout(minutes=60, last_entry=100), minutes)


def test_a_sweep_is_cancelled_between_columns(explorer):
    tab = explorer.sweep
    tab.texts[0].value, tab.texts[1].value = "5:100:5", "120:300:10"

    async def start_and_stop():
        tab.run()
        while not tab.grid.done:
            await asyncio.sleep(0.001)
        tab.cancel()
        await tab._task

    asyncio.run(asyncio.wait_for(start_and_stop(), 60))
    assert 0 < tab.grid.done < len(tab.grid.combinations) and "cancelled" in tab.line.value and not tab.start.disabled
    assert all(found is not None for found in tab.grid.figures[: tab.grid.done])


@pytest.mark.parametrize(
    ("across", "says"), [("1:2000:1", "at most 240"), ("x", "must be numbers"), ("100:200:1", "at most 2,500")]
)
def test_a_sweep_that_cannot_be_is_refused_before_it_starts(explorer, across, says):
    explorer.sweep.texts[1].value = "205:300:1"
    explorer.sweep.texts[0].value = across
    assert says in explorer.sweep.error.value and explorer.sweep.start.disabled


def test_saving_takes_an_acceptance_and_shows_the_difference(explorer, tmp_path):
    explorer.rows["minutes"].box.value = 45
    tab, place = explorer.save, tmp_path / "live_scenario_config.json"
    tab.act(write=False)
    assert "+" in tab.difference.value and not place.exists() and tab.save.disabled
    tab.act(write=True)
    assert "accepted by a person" in tab.line.value and not place.exists()
    tab.accept.value = True
    assert not tab.save.disabled
    tab.save.click()
    scenario = read_scenario(place)
    assert (
        scenario.values() == OpeningRangeBreakout(minutes=45).parameters()
        and scenario.accepted
        and "no walk-forward" in scenario.note
    )
    assert scenario.statistics["ES.c.0"]["net_profit_usd"] == explorer.exploration.result.stats["net_profit_usd"]
    tab.name.value = " "
    tab.act(write=True)
    assert "must not be empty" in tab.line.value


def test_the_configs_own_name_for_the_strategy_is_offered(tmp_path):
    path = tmp_path / "live.json"
    path.write_text(json.dumps({"strategies": {"morning": {"class": "futures_algo.strategies.OpeningRangeBreakout"}}}))
    assert name_in_config(path, "futures_algo.strategies.library.OpeningRangeBreakout", "other") == "morning"
    assert name_in_config(path, "futures_algo.strategies.library.VWAPReversion", "other") == "other"


def test_a_notebook_in_a_folder_below_saves_to_the_projects_config(monkeypatch, tmp_path):
    (tmp_path / "config").mkdir()
    (tmp_path / "nbs").mkdir()
    (tmp_path / "config" / "live.json").write_text("{}")
    monkeypatch.chdir(tmp_path / "nbs")
    assert nearest("config/live.json") == Path("../config/live.json") and nearest("config/none.json") == Path(
        "config/none.json"
    )
    monkeypatch.chdir(tmp_path)
    assert nearest("config/live.json") == Path("config/live.json")


def test_a_refused_strategy_is_not_saved(explorer, tmp_path):
    explorer.rows["minutes"].box.value = 200
    explorer.save.accept.value = True
    explorer.save.act(write=True)
    assert "must lie between" in explorer.save.line.value and not (tmp_path / "live_scenario_config.json").exists()
