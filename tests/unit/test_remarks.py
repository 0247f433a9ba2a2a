"Each remark by a planted case: a run that earns it, and the same run without the fault."

import dataclasses
import datetime as dt
import math

import numpy as np
import pytest
from scripted import BUY, SELL, Scripted, scripted_bars

from futures_algo.core.types import DAY, HOUR, MINUTE, to_nanos
from futures_algo.research.backtest import BacktestResult, backtest
from futures_algo.research.cautions import Remark, Thresholds, remarks
from futures_algo.research.trades import Costs

OPEN = to_nanos("2025-09-15T14:00:00Z")  # Monday 09:00 in Chicago, and the days after it
SESSIONS = [OPEN + day * DAY for day in (*range(5), *range(7, 12), *range(14, 19), *range(21, 26))]


def a_run(
    points: np.ndarray, at: np.ndarray, costs: Costs = Costs(0, 0), volume: int = 1000, contracts=None, hold: int = 5
) -> BacktestResult:
    """Long trades on ES of these points each, entered at these times and held some minutes; all decided by scripted
    bars."""
    starts, opens, said = [], [], []
    for gain, begin in zip(points, at):
        for minute in range(hold + 3):
            starts.append(int(begin) + (minute - 1) * MINUTE)
            opens.append(6000.0 + (gain if minute > hold else 0.0))
            said.append({hold: SELL, 0: BUY}.get(minute, 0))
    bars = scripted_bars("ES.c.0", opens, opens, said, contracts)
    bars = dataclasses.replace(
        bars, start=np.array(starts), end=np.array(starts) + MINUTE, volume=bars.volume - 16 + volume * 16
    )
    found = backtest(Scripted(), bars, costs)
    assert len(found.trades) == len(points) and found.trades.entry_time.tolist() == [int(begin) for begin in at]
    np.testing.assert_allclose(
        found.trades.pnl_usd, points * 50 - 4 * costs.slippage_ticks * 6.25 - 2 * costs.commission_usd
    )
    return found


def spread(count: int = 200) -> np.ndarray:
    "Entry times over twenty sessions and several hours."
    return np.array(sorted(SESSIONS[k % 20] + (k // 20 % 5) * HOUR + (k // 100) * 20 * MINUTE for k in range(count)))


def of(name: str, *runs: BacktestResult, **more) -> Remark:
    return next(
        one for one in remarks(runs if len(runs) > 1 else runs[0], Thresholds(**more), parameters=2) if one.name == name
    )


EVEN = np.where(np.arange(200) % 3, 3.0, -2.0)  # points; two of three trades win


def test_a_run_without_a_fault_earns_no_remark():
    found = remarks(a_run(EVEN, spread()), parameters=2)
    assert len(found) == 8 and not [one.name for one in found if one.raised]
    assert all(one.text and one.advice and one.threshold for one in found)


def test_too_few_trades():
    few = of("too_few_trades", a_run(EVEN[:99], spread()[:99]))
    assert few.raised and few.value == 99 and not of("too_few_trades", a_run(EVEN[:100], spread()[:100])).raised


def test_parameters_against_trades():
    run = a_run(EVEN, spread())
    by_count = {
        count: next(one for one in remarks(run, parameters=count) if one.name == "parameters_against_trades")
        for count in (10, 11)
    }
    assert by_count[10].value == 20 and not by_count[10].raised and by_count[11].raised


def test_parameters_are_counted_without_declared_exits_left_alone():
    run = a_run(EVEN, spread())
    text = lambda one: next(said.text for said in remarks(one) if said.name == "parameters_against_trades")
    assert "each of 0 parameters" in text(run)
    assert "each of 1 parameters" in text(dataclasses.replace(run, strategy=Scripted(stop_ticks=400)))


def test_one_trade_carries_the_result():
    points = EVEN.copy()
    assert not of("one_trade_carries_the_result", a_run(points, spread())).raised
    points[50] = 1000.0
    found = of("one_trade_carries_the_result", a_run(points, spread()))
    assert found.raised and found.value == pytest.approx(1000 / points.sum())


@pytest.mark.parametrize("sixteens, thin", [(7, False), (6, True)])
def test_fills_in_thin_minutes(sixteens, thin):
    "One contract is more than a hundredth of 96, and less than one of 112."
    assert of("fills_in_thin_minutes", a_run(EVEN, spread(), volume=sixteens)).raised is thin


def test_only_the_bars_that_filled_count_as_thin():
    run = a_run(EVEN, spread(), volume=1000)
    rows = np.setdiff1d(np.arange(len(run.base)), np.concatenate([run.trades.entry_row, run.trades.exit_row]))
    volume = run.base.volume.copy()
    volume[rows] = 1
    assert (
        of("fills_in_thin_minutes", dataclasses.replace(run, base=dataclasses.replace(run.base, volume=volume))).value
        == 0
    )
    volume[run.trades.exit_row[:20]] = 1  # 20 of 400 fills
    assert (
        of("fills_in_thin_minutes", dataclasses.replace(run, base=dataclasses.replace(run.base, volume=volume))).value
        == 0.05
    )
    volume[run.trades.entry_row[0]] = 1
    assert of(
        "fills_in_thin_minutes", dataclasses.replace(run, base=dataclasses.replace(run.base, volume=volume))
    ).raised


def test_trades_in_the_roll_window():
    times = spread()
    names = ["ESU25" if time < SESSIONS[10] - HOUR else "ESZ25" for time in np.repeat(times, 8)]
    found = of("trades_in_the_roll_window", a_run(EVEN, times, contracts=names))
    near = np.mean(np.abs(times - SESSIONS[10]) < DAY)  # the roll is the first bar of session 10, a Monday
    assert found.value == pytest.approx(near, abs=0.006) and not found.raised
    assert of(
        "trades_in_the_roll_window", a_run(EVEN, times, contracts=names), roll_days=2.0 + 5 / 24, roll_trades=0.09
    ).raised
    assert of("trades_in_the_roll_window", a_run(EVEN, times)).value == 0


def test_cost_sensitivity_is_the_ticks_a_fill_that_take_the_profit():
    run = a_run(EVEN, spread(), Costs(0, 0))
    found = of("cost_sensitivity", run)
    assert found.value == pytest.approx(EVEN.sum() * 50 / (200 * 2 * 12.5)) and not found.raised
    gone = of("cost_sensitivity", a_run(EVEN, spread(), Costs(0, found.value)))
    assert gone.value == pytest.approx(0, abs=1e-9) and gone.raised
    assert of("cost_sensitivity", a_run(EVEN, spread(), Costs(0, found.value - 0.99))).raised
    assert not of("cost_sensitivity", a_run(EVEN, spread(), Costs(0, found.value - 1.01))).raised


def test_profit_from_one_hour_of_the_exchange():
    times, points = spread(), EVEN.copy()
    hours = np.array([dt.datetime.fromtimestamp(time / 1e9, dt.UTC).hour for time in times]) - 5
    points[hours == 11] = 30.0
    found = of("profit_in_one_hour", a_run(points, times))
    assert (
        found.raised
        and found.value == pytest.approx(points[hours == 11].sum() / points.sum())
        and "11:00" in found.text
    )
    assert not of("profit_in_one_hour", a_run(EVEN, times)).raised


def test_profit_from_one_session():
    times, points = spread(), EVEN.copy()
    of_day = (times // DAY) == SESSIONS[7] // DAY
    points[of_day] = 60.0
    found = of("profit_in_one_session", a_run(points, times))
    assert (
        found.raised
        and "2025-09-24" in found.text
        and found.value == pytest.approx(points[of_day].sum() / points.sum())
    )
    assert not of("profit_in_one_session", a_run(EVEN, times)).raised


def test_an_evening_trade_belongs_to_the_session_it_opens():
    "18:00 in Chicago is the next day's session."
    evening = np.array([SESSIONS[0] + 9 * HOUR])
    assert "2025-09-16" in of("profit_in_one_session", a_run(np.array([4.0]), evening)).text


def test_a_trade_held_over_night_belongs_to_the_session_it_ends_in():
    run = a_run(np.array([4.0]), np.array([SESSIONS[0]]))
    start = run.base.start + np.where(np.arange(len(run.base)) >= run.trades.exit_row[0], DAY, 0)
    assert (
        "2025-09-16"
        in of("profit_in_one_session", dataclasses.replace(run, base=dataclasses.replace(run.base, start=start))).text
    )


def test_shares_of_a_loss_mean_nothing_and_are_not_raised():
    run = a_run(-np.abs(EVEN), spread())
    for name in ("one_trade_carries_the_result", "profit_in_one_hour", "profit_in_one_session"):
        found = of(name, run)
        assert math.isnan(found.value) and not found.raised and "no profit" in found.text
    assert of("cost_sensitivity", run).raised and "nothing is left" in of("cost_sensitivity", run).text


def test_a_run_without_trades_has_too_few():
    bars = scripted_bars("ES.c.0", [6000.0] * 10, [6000.0] * 10, [0] * 10)
    assert [one.name for one in remarks(backtest(Scripted(), bars), parameters=1) if one.raised] == [
        "too_few_trades",
        "parameters_against_trades",
    ]


def test_several_runs_are_taken_together():
    times = spread()
    parts = [a_run(EVEN[rows], times[rows]) for rows in (slice(0, 90), slice(90, 200))]
    whole = remarks(a_run(EVEN, times), parameters=2)
    for one, both in zip(whole, remarks(parts, parameters=2)):
        assert (one.name, one.raised, one.text) == (both.name, both.raised, both.text) and both.value == pytest.approx(
            one.value
        )


def test_a_roll_s_exit_is_filled_in_the_bar_before():
    names = ["ESU25"] * 6 + ["ESZ25"] * 6
    bars = scripted_bars("ES.c.0", [6000.0] * 12, [6000.0] * 12, [BUY] + [0] * 11, names)
    volume = bars.volume * 1000 + np.where(np.arange(12) == 0, BUY, 0)
    volume[6:] = 16
    run = backtest(Scripted(), dataclasses.replace(bars, volume=volume))
    assert run.trades.to_frame()["reason"].tolist() == ["roll"]
    assert (
        of("fills_in_thin_minutes", run).value == 0 and of("trades_in_the_roll_window", run, roll_days=0.0).value == 1
    )


def test_a_roll_over_a_weekend_counts_although_its_last_fill_is_days_before():
    bars = scripted_bars("ES.c.0", [6000.0] * 12, [6000.0] * 12, [BUY] + [0] * 11, ["ESU25"] * 6 + ["ESZ25"] * 6)
    later = np.where(np.arange(12) >= 6, 3 * DAY, 0)
    run = backtest(Scripted(), dataclasses.replace(bars, start=bars.start + later, end=bars.end + later))
    assert run.trades.to_frame()["reason"].tolist() == ["roll"] and of("trades_in_the_roll_window", run).value == 1
