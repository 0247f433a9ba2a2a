"A backtest's dollars: trades worked out by hand, and three engines that must agree trade for trade."

import datetime as dt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import BUY, COVER, SELL, SHORT, Scripted, same_trades, scripted_bars

from futures_algo import Costs, backtest, evaluate
from futures_algo.core.contracts import product
from futures_algo.core.types import FuturesAlgoError, InputError
from futures_algo.indicators import CCI, MACD, SMA
from futures_algo.research.backtest import ENGINES, bars_of_sessions, decisions_of
from futures_algo.sim.market import generate_minutes
from futures_algo.strategies import STRATEGIES, MACDCCIStrategy, RSIStrategy, VWAPReversion
from futures_algo.strategies.position import REASONS
from futures_algo.strategies.sizing import Sizing

engines = pytest.mark.parametrize("engine", ENGINES)

# symbol, side, fills at, quantity, costs, dollars: (exit - entry) points x point value x contracts, less slippage and
# commission on both sides
BY_HAND = [
    ("ES.c.0", 1, (5000.25, 5004.00), 1, Costs(2.25, 1), (3.75 - 2 * 0.25) * 50 - 2 * 2.25),
    ("ES.c.0", 1, (5000.25, 5004.00), 3, Costs(2.25, 1), 3 * 158.00),
    ("ES.c.0", -1, (5000.25, 5004.00), 1, Costs(2.25, 1), -217.00),
    ("ES.c.0", 1, (5000.25, 5004.00), 1, Costs(0, 0), 187.50),
    ("MES.c.0", 1, (5000.25, 5004.00), 1, Costs(0.62, 1), 15.01),
    ("MES.c.0", -1, (5004.00, 5000.25), 10, Costs(0.62, 2), 125.10),
    ("CL.c.0", 1, (63.10, 63.52), 1, Costs(2.40, 1), 395.20),
    ("CL.c.0", -1, (63.52, 63.10), 2, Costs(2.40, 1.5), 770.40),
    ("NQ.c.0", -1, (20000.00, 20010.25), 1, Costs(2.25, 1), -219.50),
]


@engines
@pytest.mark.parametrize("symbol, side, fills, quantity, costs, dollars", BY_HAND)
def test_a_trade_by_hand_to_the_cent(engine, symbol, side, fills, quantity, costs, dollars):
    "Decided on the first bar, filled at the second's open; decided on the third, filled at the fourth's open."
    opens, said = (
        [fills[0] + 1, fills[0], fills[0], fills[1]],
        [BUY if side > 0 else SHORT, 0, SELL if side > 0 else COVER, 0],
    )
    result = backtest(Scripted(), scripted_bars(symbol, opens, np.array(opens) + 0.5, said), costs, quantity, engine)
    trades = result.trades
    assert trades.pnl_usd == pytest.approx([dollars], abs=1e-6) and result.equity[-1] == pytest.approx(
        dollars, abs=1e-6
    )
    slip = side * costs.slippage_ticks * product(symbol).tick_size
    assert (trades.entry_price[0], trades.exit_price[0]) == pytest.approx((fills[0] + slip, fills[1] - slip), abs=1e-9)
    assert (trades.entry_row.tolist(), trades.exit_row.tolist(), trades.side.tolist(), trades.quantity.tolist()) == (
        [1],
        [3],
        [side],
        [quantity],
    )
    assert (
        trades.commission_usd == pytest.approx([2 * quantity * costs.commission_usd])
        and REASONS[trades.reason[0]] == "rule"
    )


@engines
def test_a_reversal_is_two_fills_and_pays_commission_on_both(engine):
    bars = scripted_bars("ES.c.0", [100, 101, 105, 103, 102], [100, 104, 104, 103, 102], [BUY, SHORT, COVER, 0, 0])
    result = backtest(Scripted(), bars, Costs(2.0, 0), 1, engine)
    assert result.trades.pnl_usd == pytest.approx([4 * 50 - 4, 2 * 50 - 4]) and result.stats[
        "commission_usd"
    ] == pytest.approx(8)
    assert [REASONS[code] for code in result.trades.reason] == ["reverse", "rule"]


@engines
def test_a_roll_closes_at_the_old_contracts_last_close(engine):
    "The new contract opens 40 points higher; none of that is profit."
    bars = scripted_bars(
        "ES.c.0", [100, 101, 142, 143], [100, 103, 142, 143], [BUY, 0, 0, 0], ["ESU25", "ESU25", "ESZ25", "ESZ25"]
    )
    trades = backtest(Scripted(), bars, Costs(0, 0), 1, engine).trades
    assert trades.pnl_usd == pytest.approx([2 * 50]) and trades.exit_price == pytest.approx([103])
    assert (trades.to_frame()["contract"].tolist(), trades.to_frame()["reason"].tolist()) == (["ESU25"], ["roll"])
    assert trades.exit_time[0] == bars.end[1]


@engines
def test_a_reversal_decided_on_the_old_contracts_last_bar_is_three_fills_at_its_close(engine):
    bars = scripted_bars(
        "ES.c.0", [100, 101, 142, 143], [100, 103, 142, 143], [BUY, SHORT, 0, 0], ["ESU25", "ESU25", "ESZ25", "ESZ25"]
    )
    trades = backtest(Scripted(), bars, Costs(1, 1), 1, engine).trades
    assert trades.pnl_usd == pytest.approx([(2 - 0.5) * 50 - 2, -0.5 * 50 - 2])
    assert (trades.entry_row.tolist(), trades.exit_row.tolist()) == ([1, 2], [2, 2])


@engines
def test_what_is_open_at_the_end_is_no_closed_trade_but_is_in_the_equity(engine):
    result = backtest(
        Scripted(), scripted_bars("ES.c.0", [100, 101, 105], [100, 102, 107], [BUY, 0, 0]), Costs(2, 1), 1, engine
    )
    assert len(result.trades) == 0 and result.trades.open_trade.pnl_usd == pytest.approx([(107 - 101.25) * 50 - 2])
    assert result.stats["net_profit_usd"] == result.stats["open_profit_usd"] == pytest.approx(285.50)
    assert result.equity == pytest.approx([0, (102 - 101.25) * 50 - 2, 285.50]) and result.position.tolist() == [
        0,
        1,
        1,
    ]


@engines
def test_a_decision_of_the_last_bar_has_no_fill(engine):
    result = backtest(Scripted(), scripted_bars("ES.c.0", [100, 101], [100, 102], [0, BUY]), engine=engine)
    assert len(result.trades) == 0 and result.trades.open_trade is None and result.equity.tolist() == [0, 0]


@engines
def test_a_risk_budget_buys_what_it_pays_for(engine):
    "400 dollars against a stop of 10 ticks of 12.50 are 3 contracts; against 40 ticks none, so nothing is traded."
    bars = scripted_bars("ES.c.0", [100, 101, 102, 103], [100, 102, 102, 103], [BUY, SELL, 0, 0])
    assert backtest(Scripted(stop_ticks=10), bars, Costs(), Sizing(risk_usd=400), engine).trades.quantity.tolist() == [
        3
    ]
    assert len(backtest(Scripted(stop_ticks=40), bars, Costs(), Sizing(risk_usd=400), engine).trades) == 0


def test_a_budget_against_a_trailing_stop_in_atr_buys_what_the_signals_say():
    bars = generate_minutes("ES.c.0", sessions=3, seed=2)
    bought = {
        signal.bar_end: signal.quantity
        for signal in evaluate(VWAPReversion(), "x", bars, Sizing(risk_usd=100_000))
        if signal.is_entry and signal.quantity
    }
    trades = backtest(VWAPReversion(), bars, quantity=Sizing(risk_usd=100_000)).trades
    assert len(set(trades.quantity)) > 1
    ends = backtest(VWAPReversion(), bars).base.end
    assert [bought[int(ends[row - 1])] for row in trades.entry_row] == trades.quantity.tolist()


# --- the three engines


def agree(strategy, bars, costs=Costs(), quantity=1, ways=ENGINES):
    "Trades of the model, after asserting that the other engines find the same."
    model, *others = (backtest(strategy, bars, costs, quantity, engine) for engine in ways)
    for other in others:
        same_trades(model.trades, other.trades)
        np.testing.assert_allclose(other.equity, model.equity, rtol=0, atol=1e-4)
        assert list(other.stats) == list(model.stats) and all(
            other.stats[n] == pytest.approx(v, rel=1e-6, abs=1e-5, nan_ok=True) for n, v in model.stats.items()
        )
    return model.trades


@pytest.mark.parametrize("kind", STRATEGIES, ids=lambda kind: kind.__name__)
def test_every_shipped_strategy_trades_alike_in_all_engines_over_generated_months(kind, campaign):
    "With a roll, and with as many sides as the strategy has."
    bars = generate_minutes("NQ.c.0", sessions=campaign(7, 130), first_session=dt.date(2025, 9, 11), seed=11)
    assert len(bars.contracts) > 1
    assert len(agree(kind(), bars, Costs(2.25, 1), 2)) > 5


class SlowMACDCCI(MACDCCIStrategy):
    "The same rules for data of five minutes."

    def indicators(self):
        return {
            "135min": MACD(self.fast, self.slow, self.signal),
            "30min": CCI(self.length),
            "5min": SMA(self.exit_length),
        }


@pytest.mark.parametrize("root", ["ES", "NQ"])
@pytest.mark.parametrize("kind", [SlowMACDCCI, *STRATEGIES[1:]], ids=lambda kind: kind.__name__)
def test_every_shipped_strategy_trades_alike_in_all_engines_on_real_bars_with_their_rolls(
    kind, root, shared_data, campaign
):
    from futures_algo.history import read_parquet

    bars = read_parquet(shared_data / f"bars_5m/{root}_5m.parquet", f"{root}.v.0", tz="UTC")
    roll = int(np.flatnonzero(np.diff(bars.contract))[2])
    some = bars[roll - campaign(4000, roll) : roll + campaign(1500, len(bars))]
    trades = agree(kind(), some)
    assert len(trades) > 10 and len(set(trades.contract)) > 1


@pytest.mark.parametrize("kind", [SlowMACDCCI, *STRATEGIES[1:]], ids=lambda kind: kind.__name__)
def test_two_real_years_through_vectorbt(kind, shared_data, campaign):
    "All bars, two symbols in one portfolio, against the model; the reduced form takes one strategy's year."
    from futures_algo.history import read_parquet

    bars = {
        root: read_parquet(shared_data / f"bars_5m/{root}_5m.parquet", f"{root}.v.0", tz="UTC")[
            : campaign(20_000, 200_000)
        ]
        for root in ("ES", "NQ")
    }
    model, theirs = (backtest(kind(), list(bars.values()), engine=engine) for engine in ("model", "vectorbt"))
    for ours, other in zip(model, theirs):
        same_trades(ours.trades, other.trades)
    np.testing.assert_allclose(theirs.equity, model.equity, rtol=0, atol=1e-3)


said = st.integers(0, 15) | st.just(0)


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_random_signals_exits_sizes_costs_and_rolls_trade_alike(data):
    "Any signals, contradictory ones too, with any declared exits."
    length = data.draw(st.integers(3, 60))
    ticks = np.cumsum(data.draw(st.lists(st.integers(-6, 6), min_size=2 * length, max_size=2 * length))) + 20_000
    rolls = data.draw(st.sets(st.integers(1, length - 1), max_size=3))
    names = ["ESH25", "ESM25", "ESU25", "ESZ25"]
    contracts = [names[sum(roll <= row for roll in rolls)] for row in range(length)]
    bars = scripted_bars(
        "ES.c.0",
        ticks[::2] * 0.25,
        ticks[1::2] * 0.25,
        data.draw(st.lists(said, min_size=length, max_size=length)),
        contracts,
    )
    exits = data.draw(
        st.fixed_dictionaries(
            {
                "bars_held": st.integers(0, 5),
                "stop_ticks": st.integers(0, 12),
                "target_ticks": st.integers(0, 12),
                "trail_ticks": st.integers(0, 12),
            }
        )
    )
    costs = Costs(data.draw(st.sampled_from([0, 0.62, 2.25])), data.draw(st.sampled_from([0, 1, 2.5])))
    agree(Scripted(**exits), bars, costs, data.draw(st.integers(1, 7)))


def test_vectorbt_from_the_raw_conditions_finds_the_models_trades():
    "No position model on this side: conditions shifted by a bar, filled at the open, as vectorbt's own users do it."
    import pandas as pd
    import vectorbt as vbt

    rng, length = np.random.default_rng(3), 3000
    ticks = np.cumsum(rng.integers(-8, 9, 2 * length)) + 20_000
    said = np.select(
        [rng.random(length) < 0.05, rng.random(length) < 0.05, rng.random(length) < 0.05, rng.random(length) < 0.05],
        [BUY, SELL, SHORT, COVER],
    )  # one at a time
    bars = scripted_bars("ES.c.0", ticks[::2] * 0.25, ticks[1::2] * 0.25, said)
    ours = backtest(Scripted(), bars, Costs(0, 0)).trades
    on = lambda bit: pd.Series(said == bit).shift(1, fill_value=False)
    portfolio = vbt.Portfolio.from_signals(
        pd.Series(bars.close),
        on(BUY),
        on(SELL),
        on(SHORT),
        on(COVER),
        price=pd.Series(bars.open),
        size=50,
        init_cash=1e8,
        upon_opposite_entry="reverse",
    )
    theirs = portfolio.trades.closed.records
    assert len(ours) > 100
    np.testing.assert_array_equal(ours.entry_row, theirs["entry_idx"])
    np.testing.assert_array_equal(ours.exit_row, theirs["exit_idx"])
    np.testing.assert_array_equal(ours.side, np.where(theirs["direction"] == 0, 1, -1))
    np.testing.assert_allclose(ours.pnl_usd, theirs["pnl"], rtol=0, atol=1e-6)


def test_signals_say_the_same_as_decisions():
    bars = generate_minutes("ES.c.0", sessions=3, seed=2)
    result = backtest(VWAPReversion(), bars)
    found = decisions_of(result.base, evaluate(VWAPReversion(), "x", bars))
    on = result.decided.any(axis=1) & ((result.decided[:, 0] != 0) | (result.decided[:, 2] != 0))
    np.testing.assert_array_equal(found[on][:, :3], result.decided[on][:, :3])
    assert not found[~on].any()


# --- several symbols


def test_several_symbols_are_kept_apart_and_added_up():
    bars = {symbol: generate_minutes(symbol, sessions=4, seed=3) for symbol in ("ES.c.0", "CL.c.0")}
    for engine in ENGINES:
        both = backtest(RSIStrategy(), bars, quantity={"ES.c.0": 1, "CL.c.0": 2}, engine=engine)
        alone = backtest(RSIStrategy(), bars["CL.c.0"], quantity=2)
        same_trades(both["CL.c.0"].trades, alone.trades)
        assert both.stats["trades"] == sum(len(one.trades) for one in both) == len(both.trades_frame())
        assert both.stats["net_profit_usd"] == pytest.approx(sum(one.stats["net_profit_usd"] for one in both))
        assert both.trades_frame()["exit_time"].is_monotonic_increasing and set(both.trades_frame()["symbol"]) == set(
            bars
        )
        assert max(one.stats["exposure"] for one in both) < both.stats["exposure"] <= 1


def test_a_part_of_the_history_is_whole_sessions():
    bars = generate_minutes("ES.c.0", sessions=8, seed=3)
    result = backtest(RSIStrategy(), bars)
    dates = result.record.sessions
    assert backtest(RSIStrategy(), bars_of_sessions(bars, dates[2], dates[4])).record.sessions == dates[2:5]
    pieces = [bars_of_sessions(bars, date, date) for date in dates]
    assert np.array_equal(np.concatenate([piece.start for piece in pieces]), bars.start)
    assert (
        len(bars_of_sessions(bars))
        == len(bars)
        == sum(map(len, (bars_of_sessions(bars, end=dates[3]), bars_of_sessions(bars, start=dates[4]))))
    )


# --- refusals


def test_refusals_name_value_rule_and_remedy():
    bars = generate_minutes("ES.c.0", sessions=1)
    for arguments, words in [
        ((RSIStrategy, bars), "write RSIStrategy(...)"),
        (("RSI", bars), "must be a BaseStrategy"),
        ((RSIStrategy(), bars, {"commission": 1}), "must be Costs"),
        ((RSIStrategy(), bars, Costs(), 0), "1 or more"),
        ((RSIStrategy(), bars, Costs(), 1.5), "whole number"),
        ((RSIStrategy(), bars, Costs(), {"NQ.c.0": 1}), "quantity of ES.c.0"),
        ((RSIStrategy(), bars, Costs(), 1, "vectorbtt"), "vectorbt"),
        ((RSIStrategy(), bars[:0]), "at least one bar"),
        ((RSIStrategy(), {}), "at least one symbol"),
        ((RSIStrategy(), bars.to_frame()), "read_parquet"),
        ((RSIStrategy(), "bars.csv"), "read_csv"),
        ((RSIStrategy(), [bars, bars], Costs(), 1, "model"), "must differ"),
        ((MACDCCIStrategy(), backtest(RSIStrategy(), bars).base), "1min"),
    ]:
        with pytest.raises(FuturesAlgoError, match=words.replace("(", r"\(").replace(")", r"\)").replace(".", r"\.")):
            backtest(*arguments)
    for wrong in (-1, float("nan"), float("inf")):
        with pytest.raises(InputError, match="commission_usd"):
            Costs(wrong)
