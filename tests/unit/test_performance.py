"Every figure against an independent calculation or by hand; what cannot be known is undefined."

import math

import numpy as np
import pandas as pd
import pytest
from scripted import BUY, SELL, SHORT, Scripted, scripted_bars

from futures_algo import Costs, backtest
from futures_algo.core.sessions import SessionCalendar
from futures_algo.core.types import DAY, HOUR, to_nanos
from futures_algo.research.performance import FIGURES, Record, drawdown, performance, session_ends, together, written
from futures_algo.sim.market import generate_minutes
from futures_algo.strategies import RSIStrategy


@pytest.fixture(scope="module")
def result():
    return backtest(RSIStrategy(), generate_minutes("ES.c.0", sessions=25, seed=4), quantity=2)


def record(equity, sessions_usd=(), pnl=(), side=None, hours=1.0) -> Record:
    equity, pnl = np.asarray(equity, float), np.asarray(pnl, float)
    return Record(
        np.arange(1, len(equity) + 1) * DAY,
        equity,
        np.ones(len(equity), bool),
        [f"2025-01-{k + 1:02d}" for k in range(len(sessions_usd))],
        np.asarray(sessions_usd, float),
        np.ones(len(pnl), np.int64) if side is None else np.asarray(side),
        pnl,
        np.full(len(pnl), int(hours * HOUR)),
        0.0,
        0.0,
        0.0,
    )


def test_each_figure_is_explained_and_there_are_no_others(result):
    assert list(result.stats) == list(FIGURES) and all(len(text) > 5 for text in FIGURES.values())


def test_profit_drawdown_and_trades_as_pandas_finds_them(result):
    equity, pnl, stats = pd.Series(result.equity), result.trades.to_frame()["pnl_usd"], result.stats
    assert stats["net_profit_usd"] == equity.iloc[-1] == pytest.approx(pnl.sum() + stats["open_profit_usd"])
    assert stats["max_drawdown_usd"] == pytest.approx((equity.cummax().clip(lower=0) - equity).max())
    assert (stats["trades"], stats["win_rate"], stats["average_trade_usd"]) == (
        len(pnl),
        pytest.approx((pnl > 0).mean()),
        pytest.approx(pnl.mean()),
    )
    assert stats["profit_factor"] == pytest.approx(pnl[pnl > 0].sum() / -pnl[pnl < 0].sum())
    assert stats["commission_usd"] == pytest.approx(len(pnl) * 2 * 2 * 2.25) and stats["slippage_usd"] == pytest.approx(
        len(pnl) * 2 * 2 * 12.5
    )
    assert stats["long_trades"] + stats["short_trades"] == len(pnl)
    assert stats["long_net_profit_usd"] + stats["short_net_profit_usd"] == pytest.approx(pnl.sum())


def test_sharpe_is_of_session_dates_that_begin_the_evening_before(result):
    exchange = pd.DatetimeIndex(result.base.start.view("M8[ns]"), tz="UTC").tz_convert("America/Chicago")
    dates = (exchange + pd.Timedelta(hours=7)).date  # 17:00 belongs to the next day
    daily = (
        pd.Series(result.equity)
        .groupby(dates)
        .last()
        .diff()
        .fillna(pd.Series(result.equity).groupby(dates).last().iloc[0])
    )
    assert result.stats["sessions"] == len(daily) == 25
    assert result.stats["sharpe"] == pytest.approx(daily.mean() / daily.std() * math.sqrt(252), rel=1e-9)
    assert result.stats["sortino"] == pytest.approx(
        daily.mean() / math.sqrt((daily.clip(upper=0) ** 2).mean()) * math.sqrt(252), rel=1e-9
    )
    assert (result.stats["best_session_usd"], result.stats["worst_session_usd"]) == (
        pytest.approx(daily.max()),
        pytest.approx(daily.min()),
    )


def test_exposure_counts_bars_at_whose_close_something_is_held():
    bars = scripted_bars("ES.c.0", [100] * 8, [100] * 8, [BUY, 0, SELL, 0, SHORT, 0, 0, 0])
    result = backtest(Scripted(), bars, Costs(0, 0))
    assert result.position.tolist() == [0, 1, 1, 0, 0, -1, -1, -1] and result.stats["exposure"] == 5 / 8


def test_a_session_ends_with_its_last_bar_and_a_halt_inside_it_ends_nothing():
    calendar = SessionCalendar.of("ES")
    start = np.array(
        [
            to_nanos(f"{at}:00-05:00")
            for at in (
                "2025-09-15T09:00",
                "2025-09-15T15:59",
                "2025-09-15T17:00",
                "2025-09-16T03:00",
                "2025-09-17T10:00",
            )
        ]
    )
    rows, dates = session_ends(start, calendar)
    assert (rows.tolist(), dates) == ([1, 3, 4], ["2025-09-15", "2025-09-16", "2025-09-17"])
    assert session_ends(start[:0], calendar)[1] == []
    around_a_halt = np.array(
        [to_nanos(f"2021-06-21T{at}:00-05:00") for at in ("15:00", "15:35", "17:00")]
    )  # stock indices paused from 15:15 to 15:30 until that week
    assert session_ends(around_a_halt, calendar)[1] == ["2021-06-21", "2021-06-22"]


def test_by_hand():
    stats = performance(
        record([10, -20, 40, 30, 35, 60, 20], [100, -50, 70], [50, -10, -10, -10, 30], [1, -1, 1, 1, -1], hours=1.5)
    )
    assert (
        stats["max_drawdown_usd"] == 40 and stats["max_drawdown_days"] == 3
    )  # below 40 from the third day to the sixth
    assert (
        stats["longest_losing_run"] == 3
        and stats["largest_trade_share"] == pytest.approx(1.0)
        and stats["average_hours_held"] == 1.5
    )
    assert (stats["average_win_usd"], stats["average_loss_usd"], stats["expectancy_ratio"]) == (40, -10, 1.0)
    assert stats["calmar"] == pytest.approx(40 * 252 / 40) and stats["winning_sessions"] == pytest.approx(2 / 3)


def test_a_drawdown_that_never_ended_counts_to_the_end():
    assert performance(record([10, 5, 20, 19, 18, 17, 16]))["max_drawdown_days"] == 4
    assert performance(record([-5, -4, -6, -7]))["max_drawdown_days"] == 3


def test_the_first_loss_is_a_drawdown_from_zero():
    assert drawdown(np.array([-5.0, -3.0, 2.0, 1.0])).tolist() == [5, 3, 0, 1]


def test_without_trades_ratios_are_undefined_and_not_zero():
    result = backtest(Scripted(), scripted_bars("ES.c.0", [100, 101], [100, 101], [0, 0]))
    for name in (
        "win_rate",
        "profit_factor",
        "average_trade_usd",
        "sharpe",
        "sortino",
        "calmar",
        "average_win_usd",
        "largest_trade_share",
        "average_hours_held",
        "long_win_rate",
    ):
        assert math.isnan(result.stats[name]), name
    assert (
        result.stats["trades"],
        result.stats["net_profit_usd"],
        result.stats["max_drawdown_usd"],
        result.stats["exposure"],
    ) == (0, 0, 0, 0)
    assert result.as_dict()["stats"]["sharpe"] is None and "undefined" in str(result)


def test_one_session_has_no_sharpe_and_wins_alone_an_infinite_profit_factor():
    stats = performance(record([10, 20], [20], [5, 15]))
    assert math.isnan(stats["sharpe"]) and stats["profit_factor"] == math.inf


def test_symbols_together_add_up_at_every_moment_even_where_one_has_no_bar():
    one, other = record([1, 2, 3], [3], [4, -1]), record([10, 30], [30], [7])
    other = other._replace(time=other.time + DAY, in_position=np.zeros(2, bool), sessions=["2025-01-02"])
    both = together([one, other], [np.array([1, 5]), np.array([3])])
    assert both.equity.tolist() == [1, 12, 33] and both.pnl_usd.tolist() == [4, 7, -1]
    assert (both.sessions, both.session_usd.tolist()) == (["2025-01-01", "2025-01-02"], [3, 30])


@pytest.mark.parametrize(
    "name, value, text",
    [
        ("net_profit_usd", -1234.5, "-$1,234.50"),
        ("open_profit_usd", -0.001, "$0.00"),
        ("win_rate", 0.5, "50.0%"),
        ("sharpe", math.nan, "undefined"),
        ("trades", 1200, "1,200"),
        ("profit_factor", math.inf, "inf"),
    ],
)
def test_figures_are_written_with_their_unit(name, value, text):
    assert written(name, value) == text
