"Walk-forward: training never sees the future, tests are disjoint, and the same run gives the same bytes."

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import BUY, SELL, Scripted, same_trades

from futures_algo.core.sessions import SessionCalendar
from futures_algo.core.types import MINUTE, Bars, InputError
from futures_algo.research.backtest import backtest
from futures_algo.research.gates import Limits
from futures_algo.research.overfitting import deflated_sharpe, moments
from futures_algo.research.performance import performance, session_ends
from futures_algo.research.sweep import sweep
from futures_algo.research.trades import Costs
from futures_algo.research.walkforward import best_row, folds_of, one_by_one, run_on, walk_forward
from futures_algo.sim.market import generate_minutes
from futures_algo.strategies import BaseStrategy, RSIStrategy, SimpleBullishCCIStrategy
from futures_algo.strategies.batch import Market

GRID = {"length": [5, 15, 30], "bars_held": [3, 10]}
CALENDAR = SessionCalendar.of("ES.c.0")

DOCUMENTS = Limits.preset("documents")
AMOUNTS = ("capital_usd", "capital_per_contract_usd", "cost_times")
OFF = {name: None for name in vars(Limits()) if name not in AMOUNTS}


@pytest.fixture(scope="module")
def bars() -> Bars:
    return generate_minutes("ES.c.0", sessions=24)


@pytest.fixture(scope="module")
def market(bars) -> Market:
    return Market(bars)


def poisoned(bars: Bars, rows: slice, seed: int = 3) -> Bars:
    "The same bars with other prices in these rows."
    draw = np.random.default_rng(seed)
    prices = {name: getattr(bars, name).copy() for name in ("open", "high", "low", "close")}
    walk = 6000 + np.round(np.cumsum(draw.normal(0, 8, rows.stop - rows.start)) * 4) / 4
    prices["open"][rows], prices["close"][rows] = walk, walk + draw.integers(-20, 21, len(walk)) / 4
    prices["high"][rows], prices["low"][rows] = (
        np.maximum(prices["open"], prices["close"])[rows] + 1,
        np.minimum(prices["open"], prices["close"])[rows] - 1,
    )
    return dataclasses.replace(bars, **prices)


class Foresight(BaseStrategy):
    "Looks at the bar `ahead`, as no strategy may."

    ahead: int = 1
    bars_held = 3

    def indicators(self):
        return {"5min": []}

    def entry(self, x):
        return np.append(x.close[self.ahead :], np.full(self.ahead, x.close[-1])) > x.close


# --- folds


@settings(settings.get_profile("campaign"), max_examples=60)
@given(
    folds=st.integers(1, 8),
    train=st.floats(0.5, 8),
    anchored=st.booleans(),
    purge=st.integers(0, 400),
    embargo=st.integers(0, 400),
)
def test_tests_are_disjoint_and_follow_their_training_at_the_distance_asked_for(folds, train, anchored, purge, embargo):
    bars = MANY
    found = folds_of(bars, folds, train, anchored, purge, embargo)
    ends = set((session_ends(bars.start, CALENDAR)[0] + 1).tolist()) | {0}
    assert [fold.number for fold in found] == list(range(1, folds + 1)) and found[-1].test.stop == len(bars)
    for fold in found:
        assert 0 <= fold.train.start < fold.train.stop <= fold.test.start < fold.test.stop
        assert fold.test.start - fold.train.stop == purge + embargo
        assert {
            fold.train.start,
            fold.train.stop + purge,
            fold.test.start - embargo,
            fold.test.stop,
        } <= ends, "cut inside a session"
        assert not anchored or fold.train.start == 0
    for before, after in zip(found, found[1:]):
        assert before.test.stop == after.test.start - embargo


MANY = generate_minutes("ES.c.0", sessions=24)


def test_a_rolling_fold_trains_on_so_many_tests_and_an_anchored_one_on_everything_before(bars):
    sessions = lambda rows: len(set(map(CALENDAR.session_date, bars.start[rows][::30].tolist())))
    rolling, anchored = folds_of(bars, 5, 3.0), folds_of(bars, 5, 3.0, True)
    assert [(sessions(fold.train), sessions(fold.test)) for fold in rolling] == [(9, 3)] * 5
    assert [(sessions(fold.train), sessions(fold.test)) for fold in anchored] == [(9 + 3 * k, 3) for k in range(5)]
    assert [fold.test for fold in rolling] == [fold.test for fold in anchored]


@pytest.mark.parametrize(
    "how, said",
    [
        ({"folds": 0}, "folds was 0"),
        ({"train": 0}, "train was 0"),
        ({"purge": -1}, "purge was -1"),
        ({"embargo": -5}, "embargo was -5"),
        ({"purge": 60_000}, "must leave bars in fold 1"),
        ({"embargo": 60_000}, "must leave bars in fold 1"),
        ({"folds": 40}, "must hold at least 43"),
    ],
)
def test_folds_that_cannot_be_are_refused_in_one_line(bars, how, said):
    with pytest.raises(InputError, match=said) as refused:
        walk_forward(SimpleBullishCCIStrategy, bars, GRID, search=None, **how)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "grid, how, said",
    [
        ({}, {}, "at least one parameter"),
        ({"lenght": [5]}, {}, "did you mean 'length'"),
        ({"length": 5}, {}, "must be a list"),
        ({"length": []}, {}, "must be a list"),
        ({"length": "many"}, {}, "must be numbers"),
        ({"length": [5, 0]}, {}, "length was 0"),
        (GRID, {"metric": "sharp"}, "did you mean 'sharpe'"),
    ],
)
def test_a_grid_that_cannot_be_searched_is_refused_before_any_search(bars, grid, how, said):
    with pytest.raises(InputError, match=said):
        walk_forward(SimpleBullishCCIStrategy, bars, grid, search=None, **how)


def test_impossible_combinations_of_valid_values_are_left_out_and_counted(bars):
    grid = {"timeframe": ["5min", "30min"], "trend_timeframe": ["30min"]}
    found = walk_forward(RSIStrategy, bars, grid, folds=2).as_dict()
    assert (found["combinations"], found["impossible"]) == (1, 1) and {
        fold["timeframe"] for fold in found["folds"]
    } == {"5min"}
    with pytest.raises(InputError, match="trend_timeframe"):
        walk_forward(RSIStrategy, bars, {**grid, "timeframe": ["30min"]}, folds=2, search=None)


def test_no_bars_are_refused(bars):
    with pytest.raises(InputError, match="at least one bar"):
        walk_forward(SimpleBullishCCIStrategy, bars[:0], GRID)


# --- training never sees the future


@pytest.mark.parametrize("anchored", [False, True])
@pytest.mark.parametrize("kind, grid", [(SimpleBullishCCIStrategy, GRID), (Foresight, {"ahead": [1, 2, 5]})])
def test_whatever_happens_from_the_training_s_end_on_the_choice_stays(bars, kind, grid, anchored):
    "Even of a strategy that looks ahead: the bars are not there to be looked at."
    how = {"folds": 3, "anchored": anchored, "purge": 30, "embargo": 45}
    before = walk_forward(kind, bars, grid, **how)
    for at, one in enumerate(before.results):
        after = walk_forward(kind, poisoned(bars, slice(one.fold.train.stop, len(bars))), grid, **how).results[at]
        assert after.parameters == one.parameters and after.trained == pytest.approx(
            one.trained, nan_ok=True, rel=0, abs=0
        )
        assert after.deflated == one.deflated
        assert after.test.stats["net_profit_usd"] != one.test.stats["net_profit_usd"], "the poison must reach the test"


def test_the_poison_would_be_noticed(bars):
    "The choice follows the training bars, so that the test above could fail."
    chosen = {
        tuple(
            walk_forward(SimpleBullishCCIStrategy, poisoned(bars, slice(0, len(bars)), seed), GRID, folds=1)
            .results[0]
            .parameters.values()
        )
        for seed in range(6)
    }
    assert len(chosen) > 1


def test_a_test_sees_no_bar_after_itself(bars, market):
    rows = folds_of(bars, 3)[0].test
    one, other = (
        run_on(Foresight(), Market(some), rows) for some in (bars, poisoned(bars, slice(rows.stop, len(bars))))
    )
    same_trades(one.trades, other.trades)


# --- a test starts flat and warm


def test_a_position_decided_on_before_the_test_is_not_carried_in(bars):
    rows = folds_of(bars, 3)[0].test
    said = np.full(len(bars), 16)
    said[rows.start - 1] |= BUY  # would be filled by the test's first open
    said[rows.start + 20] |= BUY  # could not enter if that position were still held
    said[rows.start + 50] |= SELL
    found = run_on(Scripted(), Market(dataclasses.replace(bars, volume=said)), rows)
    assert (
        found.trades.entry_time.tolist() == [bars.start[rows.start + 21]] and len(found.base) == rows.stop - rows.start
    )


def test_a_strategy_without_indicators_is_tested_as_its_own_bars_alone_would_be(bars, market):
    said = np.random.default_rng(5).integers(0, 400, len(bars)).clip(0, 16)
    scripted = dataclasses.replace(bars, volume=said)
    rows = folds_of(bars, 4)[2].test
    ours, alone = (
        run_on(Scripted(), Market(scripted), rows, Costs(2.25, 1), 2),
        backtest(Scripted(), scripted[rows], Costs(2.25, 1), 2),
    )
    assert len(alone.trades) > 20
    same_trades(ours.trades, alone.trades)
    assert ours.stats == pytest.approx(alone.stats, nan_ok=True)


def test_indicators_are_warm_on_the_test_s_first_bar(bars, market):
    """From the first moment both are flat its trades are those of the whole run; with no bars before it, it waits for
    its indicators."""
    rows = folds_of(bars, 3)[1].test
    strategy = SimpleBullishCCIStrategy(timeframe="10min", length=200)  # 33 hours
    whole, warm, cold = (
        backtest(strategy, bars).trades,
        run_on(strategy, market, rows).trades,
        run_on(strategy, market, rows, warmup=0).trades,
    )
    begin, end = int(bars.start[rows.start]), int(bars.end[rows.stop - 1])

    def inside(trades, since):
        return trades.entry_time[(trades.entry_time > since) & (trades.exit_time < end)].tolist()

    shared = next(at for at in warm.exit_time.tolist() if at in set(whole.exit_time.tolist()))
    assert (
        shared < begin + 12 * 60 * MINUTE
        and inside(warm, shared) == inside(whole, shared)
        and len(inside(warm, shared)) > 20
    )
    assert warm.entry_time[0] < begin + 180 * MINUTE < begin + 33 * 60 * MINUTE < cold.entry_time[0]


@pytest.mark.parametrize(
    "kind, grid", [(SimpleBullishCCIStrategy, GRID), (RSIStrategy, {"length": [7, 14], "oversold": [35.0, 45.0]})]
)
def test_the_compiled_sweep_and_backtests_one_by_one_choose_alike(bars, kind, grid):
    how = {"folds": 3, "anchored": True, "purge": 7, "embargo": 11}
    fast, plain = (
        walk_forward(kind, bars, grid, Costs(2.25, 1), 2, search=search, **how) for search in (sweep, one_by_one)
    )
    for one, other in zip(fast.results, plain.results):
        assert one.parameters == other.parameters and one.trained == pytest.approx(other.trained, nan_ok=True, rel=1e-9)
        same_trades(one.test.trades, other.test.trades)


# --- figures


class Always(BaseStrategy):
    "In the market for `bars_held` bars at a time."

    side: int = 1
    bars_held = 30

    def indicators(self):
        return {"5min": []}

    def entry(self, x):
        return (x.close > 0) & (self.side > 0)

    def short_entry(self, x):
        return (x.close > 0) & (self.side < 0)


def trending(slopes: list[float], sessions: int = 24) -> Bars:
    "Generated bars pulled up or down, one slope (points a bar) for each equal part of the sessions."
    bars = generate_minutes("ES.c.0", sessions)
    ends = session_ends(bars.start, CALENDAR)[0] + 1
    starts = [0, *ends[np.arange(1, len(slopes)) * len(ends) // len(slopes) - 1].tolist(), len(bars)]
    slope = np.concatenate([np.full(b - a, s) for a, b, s in zip(starts, starts[1:], slopes)])
    lift = np.round(np.cumsum(slope) * 4) / 4 + 5000
    return dataclasses.replace(bars, **{name: getattr(bars, name) + lift for name in ("open", "high", "low", "close")})


def test_retention_is_test_over_training_sharpe_and_undefined_when_training_lost(bars):
    found = walk_forward(Always, trending([0.2, -0.2, 0.2, 0.2]), {"side": [1]}, folds=3, train=1.0, limits=DOCUMENTS)
    trained, test = (
        np.array([get(one) for one in found.results])
        for get in (lambda one: one.trained["sharpe"], lambda one: one.test.stats["sharpe"])
    )
    assert trained[0] > 0 > test[0] and trained[1] < 0 < test[1] and trained[2] > 0 < test[2]
    assert (
        found.retention[0] == test[0] / trained[0] < 0
        and math.isnan(found.retention[1])
        and found.retention[2] == test[2] / trained[2] > 0
    )
    gates = {gate.name: gate for gate in found.gates}
    assert not gates["retention_each"].passed and "undefined in fold 2" in gates["retention_each"].reason


def test_the_choice_is_the_best_of_the_training_by_the_metric_asked_for():
    bars = trending([0.2, -0.2, 0.2, 0.2])
    found = walk_forward(Always, bars, {"side": [-1, 1]}, folds=3, train=1.0, metric="net_profit_usd")
    assert [one.parameters["side"] for one in found.results] == [1, -1, 1]
    table = one_by_one(Always, bars[found.results[1].fold.train], {"side": [-1, 1]}).table
    assert found.results[1].trained["net_profit_usd"] == pytest.approx(table["net_profit_usd"].max())
    assert table["side"][best_row(table, "max_drawdown_usd")] == table["side"][table["max_drawdown_usd"].idxmin()] == -1


def test_the_deflated_ratio_is_of_the_choice_s_training_sessions_against_all_that_was_tried(bars):
    one = walk_forward(SimpleBullishCCIStrategy, bars, GRID, folds=2).results[0]
    tried = one_by_one(SimpleBullishCCIStrategy, bars[: one.fold.train.stop], GRID).table["sharpe"] / math.sqrt(252)
    own = moments(backtest(SimpleBullishCCIStrategy(**one.parameters), bars[one.fold.train]).record.session_usd)
    assert own.sharpe == pytest.approx(tried.max()) and 0 < one.deflated < 1
    assert one.deflated == pytest.approx(
        deflated_sharpe(own.sharpe, own.length, 6, tried.var(ddof=1), own.skew, own.kurtosis)
    )


@pytest.mark.parametrize(
    "costs, quantity, said",
    [({"commission": 2.25}, 1, "must be Costs"), (Costs(), 0, "quantity"), (Costs(), 1.5, "quantity")],
)
def test_costs_and_sizes_that_mean_nothing_are_refused_in_one_line(bars, costs, quantity, said):
    with pytest.raises(InputError, match=said) as refused:
        walk_forward(SimpleBullishCCIStrategy, bars, GRID, costs, quantity)
    assert "\n" not in str(refused.value)


def test_out_of_sample_figures_are_those_of_the_joined_tests(bars):
    found = walk_forward(SimpleBullishCCIStrategy, bars, GRID, folds=4, embargo=30)
    tests = [one.test for one in found.results]
    assert found.stats["trades"] == sum(len(test.trades) for test in tests) == len(found.record.pnl_usd) > 50
    assert (
        found.stats["net_profit_usd"]
        == pytest.approx(sum(test.equity[-1] for test in tests))
        == pytest.approx(found.equity.iloc[-1])
    )
    assert found.record.sessions == sorted(set(found.record.sessions)), "no session twice"
    daily = found.record.session_usd
    assert found.stats["sharpe"] == pytest.approx(daily.mean() / daily.std(ddof=1) * math.sqrt(252))
    assert np.all(np.diff(found.record.time) > 0)
    assert {name: found.stats[name] for name in performance(found.record)} == pytest.approx(
        performance(found.record), nan_ok=True
    )


def test_a_fold_whose_training_never_trades_chooses_nothing_and_fails_the_gates(bars):
    class Never(Always):
        "Waits."

        def entry(self, x):
            return x.close < 0

    found = walk_forward(Never, bars, {"side": [1, 2]}, folds=2)
    assert (
        [one.parameters for one in found.results] == [None, None]
        and np.isnan(found.retention).all()
        and found.stats["trades"] == 0
    )
    assert not found.passed and found.as_dict()["folds"][0]["side"] is None and found.folds["side"].isna().all()


def test_gates_are_those_asked_for(bars):
    lax = Limits(**OFF | {"folds": 2, "trades": 1})
    found = walk_forward(SimpleBullishCCIStrategy, bars, {"length": [15]}, folds=2, limits=lax)
    assert [gate.name for gate in found.gates] == ["folds", "trades"] and found.passed


# --- the same again


def test_running_again_gives_the_same_bytes(bars, tmp_path):
    for name in ("one", "two"):
        walk_forward(SimpleBullishCCIStrategy, generate_minutes("ES.c.0", sessions=24), GRID, folds=3, purge=5).save(
            tmp_path / name
        )
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    content = json.loads((tmp_path / "one").read_text())
    assert (
        [fold["fold"] for fold in content["folds"]] == [1, 2, 3] and content["purge"] == 5 and content["data"]["hash"]
    )
    walk_forward(SimpleBullishCCIStrategy, bars, GRID, folds=3, purge=6).save(tmp_path / "other")
    assert (tmp_path / "other").read_bytes() != (tmp_path / "one").read_bytes()


def run(arguments: list[str], capsys) -> tuple[int, dict]:
    "Exit code and JSON of the command line."
    from futures_algo.cli import main

    try:
        code = main([*arguments, "--json"]) or 0
    except SystemExit as done:
        code = done.code or 0
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


def test_the_verb_ends_with_the_verdict_and_its_exit_code(capsys, tmp_path):
    words = [
        "walk-forward",
        "--strategy",
        "SimpleBullishCCIStrategy",
        "--sample",
        "15",
        "--grid",
        '{"length": [5, 15]}',
        "--folds",
        "2",
        "--out",
    ]
    (code, failed), (_, again) = (run([*words, str(tmp_path / name)], capsys) for name in ("a", "b"))
    assert (
        code == 1
        and failed["passed"] is False
        and failed == again
        and (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    )
    assert any(not gate["passed"] and gate["reason"] for gate in failed["symbols"]["ES.c.0"]["gates"])
    off = {name: value for name, value in OFF.items() if name != "trades"}
    code, passed = run([*words, str(tmp_path / "c"), "--limits", json.dumps(off)], capsys)
    assert (
        code == 0
        and passed["passed"] is True
        and [gate["name"] for gate in passed["symbols"]["ES.c.0"]["gates"]] == ["trades"]
    )
    code, refused = run(
        ["walk-forward", "--strategy", "SimpleBullishCCIStrategy", "--sample", "15", "--grid", '{"lenght": [5]}'],
        capsys,
    )
    assert code == 2 and "did you mean 'length'" in refused["error"]


def test_bars_come_from_files_of_any_kind_and_what_cannot_be_told_is_refused(capsys, tmp_path, bars):
    from futures_algo.history import write_dbn

    table, dbn = tmp_path / "minutes.parquet", tmp_path / "minutes.dbn.zst"
    bars.to_frame().to_parquet(table)
    write_dbn(dbn, {"ES.c.0": bars})
    words = ["walk-forward", "--strategy", "SimpleBullishCCIStrategy", "--grid", '{"length": [5, 15]}', "--folds", "2"]
    (_, named), (_, recorded) = (run([*words, "--data", source], capsys) for source in (f"ES.c.0={table}", str(dbn)))
    assert (
        list(named["symbols"]) == ["ES.c.0"]
        and named == recorded
        and named["symbols"]["ES.c.0"]["data"]["bars"] == len(bars)
    )
    for wrong, said in (
        ([str(table)], "write ES.c.0="),
        ([str(tmp_path)], "write --symbol"),
        ([str(dbn), "--data", f"ES.c.0={table}"], "one file only"),
        ([str(dbn), "--symbol", "NQ.c.0"], "must have bars"),
        ([str(dbn), "--sample", "5"], "not both"),
        ([str(tmp_path / "none.dbn")], "must"),
    ):
        code, refused = run([*words, "--data", *wrong], capsys)
        assert code == 2 and said in refused["error"], wrong


def test_two_real_years_of_five_minute_bars_end_with_the_verdict_and_the_same_file_again(
    shared_data, campaign, capsys, tmp_path
):
    "ES and NQ with their rolls, through the verb; in full with more combinations and anchored too."
    grid = (
        {"minutes": [15, 60], "last_entry": [120, 180]}
        if campaign(1, 2) == 1
        else {"minutes": [15, 30, 45, 60], "last_entry": [90, 120, 180], "stop_ticks": [0, 40, 80]}
    )
    words = [
        "walk-forward",
        "--strategy",
        "OpeningRangeBreakout",
        "--tz",
        "UTC",
        "--grid",
        json.dumps(grid),
        "--purge",
        "36",
        "--embargo",
        "12",
    ]
    for root in ("ES", "NQ"):
        words += ["--data", f"{root}.v.0={shared_data}/bars_5m/{root}_5m.parquet"]
    for scheme in [[], ["--anchored"]][: campaign(1, 2)]:
        (code, found), _ = (run([*words, *scheme, "--out", str(tmp_path / name)], capsys) for name in ("one", "two"))
        assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
        assert code == (0 if found["passed"] else 1) and list(found["symbols"]) == ["ES.v.0", "NQ.v.0"]
        for symbol in found["symbols"].values():
            assert (
                len(symbol["gates"]) == 9
                and all(gate["reason"] for gate in symbol["gates"])
                and symbol["passed"] == all(gate["passed"] for gate in symbol["gates"])
            )
            assert (
                symbol["data"]["bars"] > 130_000
                and symbol["out_of_sample"]["trades"] > 200
                and len(symbol["folds"]) == 6
            )
            assert all(fold["test_start"] > fold["train_end"] for fold in symbol["folds"])


# --- searches are counted


def test_every_other_search_of_the_same_bars_is_a_trial_and_the_same_one_is_not(bars, tmp_path):
    from futures_algo.research.runs import RunStore

    walk = lambda grid, bars=bars: walk_forward(
        SimpleBullishCCIStrategy, bars, {"length": grid}, folds=2, runs=tmp_path / "runs.db", limits=DOCUMENTS
    )
    assert [walk([10, 20]).trials, walk([10, 20]).trials, walk([10, 30]).trials] == [1, 1, 2]
    assert walk([10, 20], generate_minutes("NQ.c.0", sessions=24)).trials == 1
    (tmp_path / "text.db").write_text("no database, whatever its name says")
    with pytest.raises(InputError, match="must be an SQLite file"):
        walk_forward(SimpleBullishCCIStrategy, bars, {"length": [10]}, folds=2, runs=tmp_path / "text.db")
    assert RunStore(tmp_path / "runs.db").path.exists()


def test_more_trials_deflate_the_same_record_and_ask_for_more_sessions():
    from futures_algo.research.evidence import deflated, sessions_for
    from futures_algo.research.overfitting import Moments, probabilistic_sharpe

    own = Moments(0.1, 500, 0.0, 3.0)
    found = [deflated(own, trials) for trials in (1, 2, 10, 100)]
    assert found[0] == probabilistic_sharpe(0.1, 500) and found == sorted(found, reverse=True)
    needs = [sessions_for(own, 0.98, trials) for trials in (1, 2, 10)]
    assert needs == sorted(needs) and sessions_for(own._replace(sharpe=-0.1), 0.98) < 0
    later = own._replace(length=500 + needs[2])
    assert deflated(later, 10) >= 0.98 > deflated(later._replace(length=later.length - 2), 10)


def test_the_probability_of_overfitting_is_that_of_the_session_profits_themselves():
    import itertools

    from futures_algo.research.evidence import Blocks, overfitting_of

    for seed in (1, 2, 3):
        profit = np.random.default_rng(seed).normal(0.02 * seed, 1, (200, 7))
        parts = np.array_split(profit, 10)
        total, squares = (np.array([(part**power).sum(0) for part in parts]) for power in (1, 2))
        below = []
        for half in itertools.combinations(range(10), 5):
            inside = np.vstack([parts[k] for k in half])
            outside = np.vstack([parts[k] for k in range(10) if k not in half])
            ratio = lambda one: one.mean(0) / one.std(0, ddof=1)
            rank = (ratio(outside) < ratio(outside)[ratio(inside).argmax()]).sum() + 1
            below.append(rank / 8 <= 0.5)
        assert overfitting_of(Blocks(total, squares, np.full(10, 20.0))) == pytest.approx(np.mean(below))


def test_the_gates_pass_no_random_walk_and_planted_edges_and_tell_what_is_missing(campaign):
    from futures_algo.bench.gates import power

    walks = campaign(4, 100)
    nothing, real, small = (power(sharpe, walks) for sharpe in (0.0, 4.0, 1.0))
    assert nothing.passed <= walks // 100 and real.passed >= 0.75 * walks
    assert small.told >= 1 and small.more > 0
