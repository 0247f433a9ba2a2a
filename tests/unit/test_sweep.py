"A sweep's figures are those of the backtest, combination for combination, whatever way they were run."

import json
import multiprocessing
import os
import signal
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import Scripted, scripted_bars

from futures_algo import Costs, backtest
from futures_algo.core.types import InputError
from futures_algo.research.performance import performance, record_of
from futures_algo.research.sweep import sweep, values_of
from futures_algo.research.sweep_columns import run
from futures_algo.research.sweep_kernel import METRICS
from futures_algo.research.trades import equity_curve, trades_of
from futures_algo.sim.market import generate_minutes
from futures_algo.strategies import STRATEGIES, MACDCCIStrategy, RSIStrategy, SimpleBullishCCIStrategy, VWAPReversion
from futures_algo.strategies.batch import Market, columns, condition_columns, decisions

GRIDS = {
    "MACDCCIStrategy": {"fast": [8, 12], "length": [10, 35], "exit_length": [20]},
    "SimpleBullishCCIStrategy": {"timeframe": ["5min", "15min"], "length": [10, 20], "bars_held": [1, 5]},
    "RSIStrategy": {"length": [7, 14], "oversold": [35, 45]},
    "OpeningRangeBreakout": {"minutes": [15, 30], "leave": [300, 385]},
    "VWAPReversion": {"width": [1, 2], "trail_atr": [0, 4]},
}
EXITS = [
    {},
    {"stop_ticks": [12], "target_ticks": [20]},
    {"trail_ticks": [10], "bars_held": [7]},
    {"exit_before_close": [0, 30]},
]


class SlowMACDCCI(MACDCCIStrategy):
    "For data of five minutes."

    def indicators(self):
        from futures_algo.indicators import CCI, MACD, SMA

        return {
            "30min": MACD(self.fast, self.slow, self.signal),
            "10min": CCI(self.length),
            "5min": SMA(self.exit_length),
        }


def same_as_backtests(result, market, costs, quantity: int, engine: str = "model") -> None:
    for row in range(len(result.table)):
        stats = backtest(result.strategy(row), market, costs, quantity, engine).stats
        for name in METRICS:
            np.testing.assert_allclose(
                result.table[name][row], stats[name], rtol=1e-9, atol=1e-6, err_msg=f"{name} of {result.strategy(row)}"
            )


@pytest.fixture(scope="module")
def month():
    return Market(generate_minutes("ES.c.0", sessions=22, seed=11))


@pytest.mark.parametrize("exits", EXITS, ids=lambda exits: "+".join(exits) or "own")
@pytest.mark.parametrize("kind", STRATEGIES, ids=lambda kind: kind.__name__)
def test_every_shipped_strategy_has_its_backtests_figures(kind, exits, month):
    result = sweep(kind, month, GRIDS[kind.__name__] | exits, Costs(2.25, 1), 3)
    assert result.table["trades"].sum() > 10
    same_as_backtests(result, month, Costs(2.25, 1), 3)


@pytest.mark.parametrize("root", ["ES", "NQ"])
@pytest.mark.parametrize("kind", [SlowMACDCCI, *STRATEGIES[1:]], ids=lambda kind: kind.__name__)
def test_sweep_vectorbt_and_the_bar_by_bar_engine_agree_on_real_bars_with_their_rolls(
    kind, root, shared_data, campaign
):
    """Trade for trade among the engines, figure for figure with the sweep, and the sum of their trades is its profit to
    the cent."""
    from scripted import same_trades

    from futures_algo.history import read_parquet

    bars = read_parquet(shared_data / f"bars_5m/{root}_5m.parquet", f"{root}.v.0", tz="UTC")
    roll = int(np.flatnonzero(np.diff(bars.contract))[2])
    market = Market(bars[roll - campaign(3000, roll) : roll + campaign(1000, len(bars))])
    name = next(iter(set(kind.params) - set(SimpleBullishCCIStrategy.exit_params) - {"timeframe", "trend_timeframe"}))
    result = sweep(kind, market, {name: [kind.params[name].default]})
    runs = [backtest(kind(), market, engine=engine) for engine in ("model", "replay", "vectorbt")]
    for other in runs[1:]:
        same_trades(runs[0].trades, other.trades)
    assert len(runs[0].trades) == result.table["trades"][0] > 5 and len(set(runs[0].trades.contract)) > 1
    for one in runs:
        for metric in METRICS:
            np.testing.assert_allclose(
                result.table[metric][0], one.stats[metric], rtol=1e-6, atol=1e-3, err_msg=f"{metric} by {one.engine}"
            )


said = st.integers(0, 15) | st.just(0)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_random_signals_exits_sizes_costs_and_rolls_have_the_backtests_figures(data):
    length = data.draw(st.integers(1, 60))
    ticks = np.cumsum(data.draw(st.lists(st.integers(-6, 6), min_size=2 * length, max_size=2 * length))) + 20_000
    rolls = data.draw(st.sets(st.integers(1, max(1, length - 1)), max_size=3))
    names = ["ESH25", "ESM25", "ESU25", "ESZ25"]
    contracts = [names[sum(roll <= row for roll in rolls)] for row in range(length)]
    bars = scripted_bars(
        "ES.c.0",
        ticks[::2] * 0.25,
        ticks[1::2] * 0.25,
        data.draw(st.lists(said, min_size=length, max_size=length)),
        contracts,
        start=1_757_966_400_000_000_000 - data.draw(st.sampled_from([0, 30, 50])) * 60_000_000_000,
    )  # around 2025-09-15 15:00 in Chicago, and the session's last hour
    grid = data.draw(
        st.fixed_dictionaries(
            {
                "bars_held": st.just([0, 1, 4]),
                "stop_ticks": st.sampled_from([[0], [0, 5]]),
                "target_ticks": st.sampled_from([[0], [0, 7]]),
                "trail_ticks": st.sampled_from([[0], [0, 6]]),
                "exit_before_close": st.sampled_from([[-1], [0, 20]]),
            }
        )
    )
    costs = Costs(data.draw(st.sampled_from([0, 0.62, 2.25])), data.draw(st.sampled_from([0, 1, 2.5])))
    quantity = data.draw(st.integers(1, 7))
    same_as_backtests(sweep(Scripted, bars, grid, costs, quantity, threads=1), Market(bars), costs, quantity)


def test_rows_trade_alone_after_the_bars_before_warmed_up(month):
    rows = slice(6000, 12_000)
    result = sweep(
        RSIStrategy, month, {"length": [7, 14], "timeframe": ["1min"], "trend_timeframe": ["30min"]}, rows=rows
    )
    for row in range(2):
        stats = _rows_alone(result.strategy(row), month, rows)
        for name in METRICS:
            np.testing.assert_allclose(result.table[name][row], stats[name], rtol=1e-9, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("kind", STRATEGIES, ids=lambda kind: kind.__name__)
def test_the_simulators_trades_are_the_backtests_one_by_one(kind, month):
    """Stopped after each of a sample of fills, a run has made exactly the trades of then, to the cent: so entry, exit,
    size and profit of each are the same."""
    strategy, costs = kind(), Costs(2.25, 1)
    base = month.bars(strategy.base_timeframe)
    trades = trades_of(base, decisions(strategy, month), costs, 2)
    equity = equity_curve(base, trades)
    assert len(trades) > 10
    for row in sorted(
        {
            *trades.entry_row[:: max(1, len(trades) // 12)].tolist(),
            *trades.exit_row[:: max(1, len(trades) // 12)].tolist(),
        }
    ):
        stop = (
            int(np.searchsorted(month.source.end, base.end[row], "left")) + 1
        )  # a bar whose last minute is empty closes with the next minute
        table = sweep(
            kind,
            month,
            {name: [value] for name, value in list(strategy.parameters().items())[:1]},
            costs,
            2,
            rows=slice(0, stop),
        ).table
        assert (
            table["trades"][0] == (trades.exit_row <= row).sum()
            and abs(table["net_profit_usd"][0] - equity[row]) < 0.005
        ), row


def _rows_alone(strategy, market, rows: slice) -> dict:
    "Figures of the rows' own trades; conditions hold on no other row, and no later bar is known."
    seen = Market(market.source[: rows.stop], market.calendar)
    base, values = columns(strategy, seen)
    asked = {
        name: told & (np.arange(len(base)) >= rows.start)
        for name, told in condition_columns(strategy, values, len(base)).items()
    }
    decided, own = decisions(strategy, seen, conditions=asked)[rows.start :], base[rows]
    trades = trades_of(own, decided)
    return performance(record_of(own, trades, equity_curve(own, trades), market.calendar))


def test_no_run_waits_for_another_to_make_what_all_of_them_read(month, monkeypatch):
    module, found = sys.modules["futures_algo.research.sweep"], []

    def noting(strategy, shared, *rest):
        found.append(bool(shared._rows) and bool(shared._bases))
        return run(strategy, shared, *rest)

    monkeypatch.setattr(module, "run", noting)
    sweep(RSIStrategy, month, {"length": [7, 14, 21, 28, 35]}, threads=2)
    assert found == [True] * 5


def test_threads_parts_and_little_memory_change_nothing(month):
    grid = {"length": "5:40:3", "oversold": [35, 45]}
    plain = sweep(RSIStrategy, month, grid, threads=1).table
    for how in ({"threads": 2}, {"threads": 4, "memory": 1_000_000}):
        assert plain.equals(sweep(RSIStrategy, month, grid, **how).table)


# --- the grid


def test_impossible_combinations_are_left_out_and_counted_with_their_reason(month):
    told = []
    result = sweep(MACDCCIStrategy, month, {"fast": [10, 30], "slow": [20, 40]}, announce=told.append)
    assert result.table[["fast", "slow"]].to_numpy().tolist() == [[10, 20], [10, 40], [30, 40]]
    assert [values for values, _ in result.skipped] == [
        {"fast": 30, "slow": 20}
    ] and "must be below slow" in result.skipped[0][1]
    assert (
        "3 combinations (1 impossible" in told[0]
        and f"{len(month.source):,} bars" in told[0]
        and " MB, about " in told[0]
    )


def test_bad_input_is_refused_in_one_line_before_work(month):
    for arguments, words in [
        ((RSIStrategy, month, {}), "at least one parameter"),
        ((RSIStrategy, month, {"lenght": [1]}), "did you mean 'length'"),
        ((RSIStrategy, month, {"length": [1, 10]}), "at least 2"),
        ((RSIStrategy, month, {"length": 10}), "list of values"),
        ((RSIStrategy, month, {"length": []}), "list of values"),
        ((RSIStrategy(), month, {"length": [10]}), "class"),
        ((RSIStrategy, month.source[:0], {"length": [10]}), "at least one bar"),
        ((RSIStrategy, month, {"length": [10]}, {"commission": 2}), "must be Costs"),
        ((RSIStrategy, month, {"length": [10]}, Costs(), 0), "1 or more"),
        ((MACDCCIStrategy, month, {"fast": [30], "slow": [20]}), "the first cannot"),
    ]:
        with pytest.raises(InputError, match=words) as error:
            sweep(*arguments)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="did you mean 'sharpe'"):
        sweep(RSIStrategy, month, {"length": [10]}, metric="sharp")
    with pytest.raises(InputError, match="consecutive rows"):
        sweep(RSIStrategy, month, {"length": [10]}, rows=slice(10, 10))
    with pytest.raises(InputError, match="MB that are free"):
        sweep(RSIStrategy, month, {"length": [10]}, memory=10**15, threads=10**9)


def test_values_are_read_as_texts():
    length, oversold = RSIStrategy.params["length"], RSIStrategy.params["oversold"]
    assert values_of("10:40:15", length, "length") == [10, 25, 40] and values_of("5, 7,5", length, "length") == [5, 7]
    assert values_of("30:31:0.5", oversold, "oversold") == [30.0, 30.5, 31.0]
    for wrong in ("10:40", "10:40:0", "40:10:5", "a,b", "", "10:inf:1"):
        with pytest.raises(InputError):
            values_of(wrong, length, "length")


def test_ranking_by_any_metric_knows_which_way_is_better(month):
    result = sweep(VWAPReversion, month, {"width": [1, 1.5, 2, 2.5, 5]})
    for metric in METRICS:
        values = result.table[metric].dropna()
        assert result.best(metric)[metric].iloc[0] == (
            values.min() if metric in ("max_drawdown_usd", "commission_usd") else values.max()
        )
    ranked = result.best("net_profit_usd", 5)
    assert (
        ranked["net_profit_usd"].is_monotonic_decreasing
        and result.strategy(int(ranked.index[0])).width == ranked["width"].iloc[0]
    )


# --- resuming

GRID = {"length": "5:40:1", "oversold": [35, 45]}


def _killed_half_way(folder: str) -> None:
    "A process that ends like a killed one after some parts."

    def progress(done: int, total: int) -> None:
        if done > total // 2:
            os.kill(os.getpid(), signal.SIGKILL)

    sweep(RSIStrategy, generate_minutes("ES.c.0", sessions=4), GRID, store=folder, progress=progress)


def test_a_killed_sweep_goes_on_where_it_was(tmp_path):
    killed = multiprocessing.get_context("spawn").Process(target=_killed_half_way, args=(str(tmp_path),))
    killed.start()
    killed.join(120)
    assert killed.exitcode == -signal.SIGKILL
    bars, told = generate_minutes("ES.c.0", sessions=4), []
    resumed = sweep(RSIStrategy, bars, GRID, store=tmp_path, progress=lambda done, total: told.append(done))
    assert told[0] > 72 // 2 and told[-1] == 72
    assert resumed.table.equals(sweep(RSIStrategy, bars, GRID).table)


def test_a_store_serves_only_the_same_sweep_and_no_damaged_part(tmp_path):
    bars = generate_minutes("ES.c.0", sessions=3)

    def run(**changed):
        told = []
        arguments = {"bars": bars, "costs": Costs(), "grid": GRID, "quantity": 1} | changed
        table = sweep(RSIStrategy, store=tmp_path, progress=lambda done, total: told.append(done), **arguments).table
        return len(told), table

    whole, table = run()
    assert run()[0] == 1  # all of it was there
    for changed in (
        {"costs": Costs(1, 1)},
        {"quantity": 2},
        {"bars": bars[:-1]},
        {"grid": GRID | {"oversold": [36, 45]}},
    ):
        assert run(**changed)[0] == whole
    part = sorted(tmp_path.glob("*/part_0_*.npy"))
    for one in part:
        one.write_bytes(one.read_bytes()[:50])
    again, repaired = run()
    assert again == 2 and repaired.equals(table)
    assert json.loads(next(tmp_path.glob("*/sweep.json")).read_text())["version"]


# --- a cluster


def test_a_cluster_gives_the_same_table_though_a_worker_dies(month):
    "Two workers in processes of their own; one is killed when the first part is back."
    from distributed import LocalCluster

    plain = sweep(RSIStrategy, month, GRID).table
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        victims = [worker.pid for worker in cluster.workers.values()][:1]

        def progress(done: int, total: int) -> None:
            while victims:
                os.kill(victims.pop(), signal.SIGKILL)

        assert plain.equals(sweep(RSIStrategy, month, GRID, cluster=cluster.scheduler_address, progress=progress).table)
        assert not victims


def test_a_scheduler_that_does_not_answer_is_refused(month):
    with pytest.raises(InputError, match="scheduler that answers"):
        sweep(RSIStrategy, month, {"length": [10]}, cluster="tcp://127.0.0.1:9")


# --- the command line


def said_by(capsys, *arguments: str) -> tuple[int, dict]:
    "Exit code and the JSON of the last line."
    from futures_algo.cli import main

    with pytest.raises(SystemExit) as ended:
        main(["sweep", "--json", *arguments])
    return ended.value.code or 0, json.loads(capsys.readouterr().out.strip().splitlines()[-1])


def test_the_verb_ranks_a_grid_given_either_way(capsys, tmp_path):
    common = (
        "--strategy",
        "RSIStrategy",
        "--sample",
        "5",
        "--metric",
        "net_profit_usd",
        "--csv",
        str(tmp_path / "all.csv"),
    )
    code, spread = said_by(capsys, *common, "--grid", "length=5:15:5", "--grid", "oversold=35,45")
    assert code == 0 and spread["combinations"] == 6 and spread["bars"] > 6000
    assert said_by(capsys, *common, "--grid", '{"length": [5, 10, 15], "oversold": [35, 45]}')[1] == spread
    profits = [row["net_profit_usd"] for row in spread["best"]]
    assert profits == sorted(profits, reverse=True) and len((tmp_path / "all.csv").read_text().splitlines()) == 7


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("--sample", "2", "--grid", "length"), "NAME=VALUES"),
        (("--sample", "2", "--grid", "{length: 1}"), "must be JSON"),
        (("--sample", "2", "--grid", "length=1:5:1"), "at least 2"),
        (("--grid", "length=5:15:5"), "or --sample"),
        (("--sample", "2", "--grid", "length=5:15:5", "--metric", "sharp"), "did you mean 'sharpe'"),
    ],
)
def test_the_verb_could_not_run(capsys, arguments, words):
    code, said = said_by(capsys, "--strategy", "RSIStrategy", *arguments)
    assert code == 2 and words in said["error"]


# --- what is too much, and what is left out


def test_too_many_combinations_are_told_with_their_memory_before_one_is_built():
    bars = generate_minutes("ES.c.0", sessions=1)
    built = []

    class Counted(RSIStrategy):
        def check(self):
            built.append(1)

    grid = {"length": "2:100:1", "trend_length": "2:100:1", "oversold": "1:49:1", "overbought": "51:64:1"}
    with pytest.raises(InputError, match=r"6,723,486 combinations, about 10\.1 GB.*at most 1,000,000"):
        sweep(Counted, bars, grid)
    with pytest.raises(InputError, match="999,999,999 values"):
        sweep(Counted, bars, {"length": "2:1000000000:1"})
    assert not built
    with pytest.raises(InputError, match="3 combinations.*at most 2"):
        sweep(RSIStrategy, bars, {"length": [5, 6, 7]}, most=2)


def test_a_constraint_leaves_out_and_few_trades_are_no_candidate(tmp_path):
    bars, grid = generate_minutes("ES.c.0", sessions=4), {"length": [5, 10, 30], "oversold": [20, 40]}
    whole = sweep(RSIStrategy, bars, grid).table
    part = sweep(RSIStrategy, bars, grid, constraint=lambda v: v["length"] * 2 < v["oversold"], store=tmp_path)
    kept = whole[whole["length"] * 2 < whole["oversold"]].reset_index(drop=True)
    assert part.table.equals(kept) and 0 < len(kept) < len(whole)
    assert len(sweep(RSIStrategy, bars, grid, store=tmp_path).table) == len(whole)
    most = int(whole["trades"].max())
    assert sweep(RSIStrategy, bars, grid, min_trades=most).best(n=9)["trades"].tolist() == [most]
    with pytest.raises(InputError, match="must hold for one combination"):
        sweep(RSIStrategy, bars, grid, constraint=lambda values: False)


def test_pace_tells_rate_and_time_left():
    from futures_algo.commands.options import Pace

    pace = Pace(every=0.0)
    pace.told(0, 100)
    assert "50 of 100 combinations" in (line := pace.told(50, 100)) and "/s, about" in line and "left" in line


# --- bad input


def _asking(wanted):
    return type("Asking", (RSIStrategy,), {"indicators": lambda self: wanted})


@pytest.mark.parametrize(
    "wanted, said",
    [
        ({"5min": lambda bars: bars}, "function <lambda>.*must be an indicator.*ResearchIndicator"),
        ({"5min": [len]}, "must be an indicator.*ResearchIndicator"),
        ({"5min": 20}, "'?20'?.*must be an indicator.*SMA"),
        ({"5min": None}, "must be an indicator.*empty list"),
        ({"5min": "sma"}, "'sma'.*must be an indicator"),
        ([len], "must be by timeframe"),
        (None, "must be by timeframe"),
    ],
)
def test_indicators_that_are_none_are_named_with_the_remedy(wanted, said):
    with pytest.raises(InputError, match=said):
        _asking(wanted)()


@pytest.mark.parametrize("given", [["ES.c.0", "NQ.c.0"], "ES.c.0", None, 5, {"ES.c.0": 1}])
def test_bars_of_anything_but_one_symbol_are_named_with_the_remedy(given):
    from futures_algo.research.walkforward import walk_forward

    for search in (sweep, walk_forward):
        with pytest.raises(InputError, match="bars was .*must be the Bars of one symbol; (call it once|read them)"):
            search(RSIStrategy, given, {"length": [5]})
    if isinstance(given, list):
        with pytest.raises(InputError, match="must be one feed symbol as text"):
            RSIStrategy(given)
