"Exits that rest: the guide's bars in every form, a slow reading of its rules, bad input, sizes, restarts, peers."

import json
import math

import numpy as np
import pytest
import slow_orders
from hypothesis import given, settings
from hypothesis import strategies as st

from futures_algo import BaseStrategy, Costs, backtest, evaluate, sweep
from futures_algo.core.sessions import SessionCalendar
from futures_algo.core.types import MINUTE, Bars, InputError, to_nanos
from futures_algo.indicators import ATR
from futures_algo.research.backtest import backtest as run_backtest
from futures_algo.research.walkforward import walk_forward
from futures_algo.sim.market import generate_minutes
from futures_algo.strategies.batch import Market
from futures_algo.strategies.checks import parity, replay
from futures_algo.strategies.live import StrategyRunner
from futures_algo.strategies.position import REASONS
from futures_algo.strategies.sizing import Sizing

BUY, SHORT, LEAVE = 1, 2, 3
TEN = to_nanos("2025-06-10T15:00Z")
NO_COSTS = Costs(0, 0)


class ByHand(BaseStrategy):
    "Does on a bar what its volume says."

    def indicators(self):
        return {"5min": []}

    def entry(self, x):
        return x.volume == BUY

    def short_entry(self, x):
        return x.volume == SHORT

    def exit(self, x):
        return x.volume == LEAVE

    def short_exit(self, x):
        return x.volume == LEAVE


class Moving(BaseStrategy):
    "Random enough: both sides, by the last digits of the volume."

    def indicators(self):
        return {"5min": ATR(5)}

    def entry(self, x):
        return x.volume % 7 == 1

    def short_entry(self, x):
        return x.volume % 7 == 2

    def exit(self, x):
        return x.volume % 11 == 3

    def short_exit(self, x):
        return x.volume % 11 == 4


class Priced(Moving):
    "Prices off the grid, and sometimes on the wrong side."

    def stop_price(self, x):
        return x.close - 1.37 * x.atr + 0.5

    def target_price(self, x):
        return x.close + 1.91 * x.atr - 0.6

    def short_stop_price(self, x):
        return x.close + 1.37 * x.atr - 0.5

    def short_target_price(self, x):
        return x.close - 1.91 * x.atr + 0.6


def bars_of(rows, start=TEN, length=5, contract=None):
    open, high, low, close, volume = (np.array(column, float) for column in zip(*rows, strict=True))
    starts = start + np.arange(len(rows)) * length * MINUTE
    codes = np.zeros(len(rows), np.int32) if contract is None else np.array(contract, np.int32)
    names = tuple(("ESM5", "ESU5")[: codes.max() + 1])
    ends, whole = starts + length * MINUTE, volume.astype(np.int64)
    return Bars("ES.c.0", f"{length}min", starts, ends, open, high, low, close, whole, codes, names)


FLAT, ENTRY, SELL = (100, 101, 99, 100, 0), (100, 101, 99, 100, BUY), (100, 101, 99, 100, SHORT)
HAND = {
    "the stop fills at its price": (
        [ENTRY, FLAT, (100, 100, 97, 97.5, 0), FLAT],
        {"stop_ticks": 8},
        [(98, 2, "stop_order")],
    ),
    "a gap fills at the open": (
        [ENTRY, FLAT, (96.5, 97, 96, 96, 0), FLAT],
        {"stop_ticks": 8},
        [(96.5, 2, "stop_order")],
    ),
    "a short's stop": ([SELL, FLAT, (100, 103, 100, 101, 0), FLAT], {"stop_ticks": 8}, [(102, 2, "stop_order")]),
    "a touched target rests on": (
        [ENTRY, FLAT, (100, 102, 100, 101, 0), (101, 102.25, 100, 102, 0), FLAT],
        {"target_ticks": 8},
        [(102, 3, "target_order")],
    ),
    "a touched target fills where the rule says so": (
        [ENTRY, FLAT, (100, 102, 100, 101, 0), FLAT],
        {"target_ticks": 8, "fill_limit": "touch"},
        [(102, 2, "target_order")],
    ),
    "a target gapped through fills at the open": (
        [ENTRY, FLAT, (103, 104, 90, 103, 0), FLAT],
        {"target_ticks": 8, "stop_ticks": 20},
        [(103, 2, "target_order")],
    ),
    "a bar that touches both is the stop": (
        [ENTRY, (100, 103, 97, 102, 0), FLAT],
        {"stop_ticks": 8, "target_ticks": 8},
        [(98, 1, "stop_order")],
    ),
    "a trail follows closed bars": (
        [ENTRY, FLAT, (100, 104, 99.5, 103, 0), (103, 103, 101, 101, 0), FLAT],
        {"trail_ticks": 8},
        [(102, 3, "trail_order")],
    ),
    "break even, then a gap": (
        [ENTRY, FLAT, (100, 102, 99.5, 101, 0), (99.5, 100, 99, 99, 0), FLAT],
        {"stop_ticks": 20, "break_even_ticks": 8},
        [(99.5, 3, "break_even_order")],
    ),
    "a rule leaves at the next open": (
        [ENTRY, FLAT, (100, 101, 99, 100, LEAVE), (100.5, 101, 97, 98, 0), FLAT],
        {"stop_ticks": 8},
        [(100.5, 3, "rule")],
    ),
    "a pair that fills on the deciding bar wins": (
        [ENTRY, FLAT, (100, 101, 97, 100, LEAVE), FLAT],
        {"stop_ticks": 8},
        [(98, 2, "stop_order")],
    ),
    "entered again on the bar of the fill": (
        [ENTRY, FLAT, (100, 101, 97, 98, BUY), (98.5, 99, 98, 98, 0), (98, 99, 96, 97, 0), FLAT],
        {"stop_ticks": 8},
        [(98, 2, "stop_order"), (96.5, 4, "stop_order")],
    ),
    "a reversal takes the pair along": (
        [ENTRY, FLAT, (100, 101, 99, 100, SHORT), (100, 102.5, 100, 101, 0), FLAT],
        {"stop_ticks": 8},
        [(100, 3, "reverse"), (102, 3, "stop_order")],
    ),
}


@pytest.mark.parametrize("name", HAND)
@pytest.mark.parametrize("engine", ["model", "replay"])
def test_the_guides_bars(name, engine):
    rows, exits, wanted = HAND[name]
    found = backtest(ByHand(**exits), bars_of(rows), NO_COSTS, engine=engine).trades_frame()
    assert list(zip(found.exit_price, found.exit_row, found.reason, strict=True)) == wanted


@pytest.mark.parametrize("name", HAND)
def test_the_guides_bars_in_a_sweep(name):
    rows, exits, _ = HAND[name]
    ours = backtest(ByHand(**exits), bars_of(rows)).stats
    row = sweep(ByHand, bars_of(rows), {key: [value] for key, value in exits.items()}, threads=1).table.iloc[0]
    for figure in ("net_profit_usd", "trades", "max_drawdown_usd", "commission_usd"):
        assert row[figure] == pytest.approx(ours[figure])


def test_no_entry_is_decided_whose_fill_lies_beyond_the_close():
    last = to_nanos("2025-06-10T20:50Z")
    assert not evaluate(ByHand(stop_ticks=8), "x", bars_of([FLAT, ENTRY, FLAT, FLAT], last))
    assert evaluate(ByHand(stop_ticks=8), "x", bars_of([ENTRY, FLAT, FLAT], last))


def test_an_entry_lapses_when_the_next_bar_is_of_another_segment():
    bars = bars_of([FLAT, ENTRY, FLAT, FLAT, FLAT], to_nanos("2025-06-10T20:45Z"))
    late = bars.start.copy()
    late[2:] += 90 * MINUTE  # the last five minutes of the session had no trade
    bars = Bars(
        *(getattr(bars, n) for n in ("symbol", "timeframe")),
        late,
        late + 5 * MINUTE,
        *(getattr(bars, n) for n in ("open", "high", "low", "close", "volume", "contract", "contracts")),
    )
    for engine in ("model", "replay"):
        assert len(backtest(ByHand(stop_ticks=8), bars, NO_COSTS, engine=engine).trades) == 0
    assert [one.action for one in evaluate(ByHand(stop_ticks=8), "x", bars)] == ["LONG_ENTRY"]
    assert sweep(ByHand, bars, {"stop_ticks": [8.0]}, threads=1).table.trades.iloc[0] == 0


def test_a_roll_leaves_at_the_old_contracts_last_close():
    bars = bars_of([ENTRY, FLAT, (90, 91, 80, 85, BUY), FLAT], contract=[0, 0, 1, 1])
    found = backtest(ByHand(stop_ticks=8), bars, NO_COSTS).trades_frame()
    assert found[["exit_price", "reason"]].values.tolist() == [[100, "roll"]]


# --- the slow reading


def walk(seed, minutes=1500, tick=0.25):
    "One-minute bars with gaps, missing minutes, a roll and the end of a session."
    chance = np.random.default_rng(seed)
    step = chance.normal(0, 1.2, minutes) + (chance.random(minutes) < 0.02) * chance.normal(0, 12, minutes)
    close = 4000 + np.round(np.cumsum(step) / tick) * tick
    open = np.concatenate(([4000.0], close[:-1])) + np.round(chance.normal(0, 0.4, minutes) / tick) * tick
    reach = lambda: np.abs(np.round(chance.normal(0, 1, minutes) / tick) * tick)
    high, low = np.maximum(open, close) + reach(), np.minimum(open, close) - reach()
    start = to_nanos("2025-06-10T08:00Z") + np.arange(minutes) * MINUTE
    kept = (chance.random(minutes) < 0.93) & (np.arange(minutes) * MINUTE + start[0] < to_nanos("2025-06-11T21:00Z"))
    kept &= ~((start >= to_nanos("2025-06-10T21:00Z")) & (start < to_nanos("2025-06-10T22:00Z")))
    volume = chance.integers(1, 100, minutes)
    contract = (np.arange(minutes) > 1200).astype(np.int32)
    columns = [column[kept] for column in (start, start + MINUTE, open, high, low, close, volume, contract)]
    return Bars("ES.c.0", "1min", *columns, ("ESM5", "ESU5"))


def slowly(strategy, bars):
    "The strategy's trades by the slow loop; conditions and ATR come from the strategy, everything else from the bars."
    from futures_algo.strategies.batch import condition_columns, known_columns
    from futures_algo.strategies.values import Values

    market = Market(bars)
    base, known = market.bars("5min"), known_columns(strategy, market)
    asked = condition_columns(strategy, Values(known), len(base))
    atr = np.asarray(known.values["atr"])
    prices = {name: np.broadcast_to(v, len(base)) for name, v in strategy.declared_prices(Values(known)).items()}
    calendar, rows, fine = SessionCalendar.of("ES.c.0"), [], list(bars)
    moved = strategy.manage_on and set(market.bars(strategy.manage_on).end.tolist())
    for t in range(len(base)):
        start, end = int(base.start[t]), int(base.end[t])
        inside = [one for one in fine if start <= one.start and one.end <= end] if strategy.watched else []
        ends = [one.end for one in inside]
        moves = {max((e for e in ends if e <= m), default=0) for m in moved or () if start < m < end}
        inner = tuple(slow_orders.Inner(o.open, o.high, o.low, o.end, o.end in moves) for o in inside)
        declared = [
            float(prices[n][t]) if n in prices else None
            for n in ("stop_price", "target_price", "short_stop_price", "short_target_price")
        ]
        rows.append(
            slow_orders.Bar(
                start,
                end,
                *(float(getattr(base, n)[t]) for n in ("open", "high", "low", "close")),
                int(base.contract[t]),
                calendar.next_close(start),
                calendar.session_close(start),
                float(atr[t]),
                *(bool(asked[n][t]) for n in ("entry", "exit", "short_entry", "short_exit")),
                tuple(declared),
                inner,
            )
        )
    before = strategy.exit_before_close
    return slow_orders.run(
        rows,
        slow_orders.Rules(
            0.25,
            strategy.stop_ticks,
            strategy.target_ticks,
            strategy.trail_ticks,
            strategy.trail_atr,
            strategy.break_even_ticks,
            strategy.bars_held,
            before * MINUTE + 5 * MINUTE - 1 if before >= 0 else -1,
            strategy.fill_limit,
        ),
    )


def ours(strategy, bars):
    frame = backtest(strategy, bars, NO_COSTS).trades
    columns = (frame.entry_row, frame.exit_row, frame.side, frame.entry_price, frame.exit_price)
    reasons = [REASONS[code] for code in frame.reason]
    return [slow_orders.Trade(*row) for row in zip(*(c.tolist() for c in columns), reasons, frame.exit_time.tolist())]


EXITS = st.fixed_dictionaries(
    {},
    optional={
        "stop_ticks": st.sampled_from([6.0, 9.5, 20.0]),
        "target_ticks": st.sampled_from([5.0, 12.5]),
        "trail_ticks": st.sampled_from([7.0, 13.0]),
        "trail_atr": st.sampled_from([0.9, 2.3]),
        "break_even_ticks": st.sampled_from([4.0, 9.0]),
        "bars_held": st.sampled_from([0, 6]),
        "exit_before_close": st.sampled_from([-1, 0, 12]),
        "manage_on": st.sampled_from(["", "1min"]),
        "fill_bars": st.sampled_from(["", "1min"]),
        "fill_limit": st.sampled_from(["through", "touch"]),
    },
)


@settings(max_examples=40, deadline=None)
@given(exits=EXITS, kind=st.sampled_from([Moving, Priced]), seed=st.integers(0, 10_000))
def test_the_model_trades_as_the_guide_says(exits, kind, seed):
    strategy, bars = kind(**exits), walk(seed)
    if not strategy.rests:
        return
    mine = ours(strategy, bars)
    assert mine == slowly(strategy, bars)
    assert parity(strategy, bars).ok
    grid = {name: [value] for name, value in exits.items()} or {"stop_ticks": [0.0]}
    row = sweep(kind, bars, grid, NO_COSTS, threads=1).table.iloc[0]
    assert row.trades == len(mine)
    assert row.net_profit_usd == pytest.approx(backtest(strategy, bars, NO_COSTS).stats["net_profit_usd"])


# --- finer bars


def test_finer_bars_of_another_recording_decide_where_they_are():
    bars, strategy = walk(5), Moving(stop_ticks=6, target_ticks=5, fill_bars="1min")
    base = Market(bars).bars("5min")
    half = bars[len(bars) // 2 :]
    found = run_backtest(strategy, Market(base, finer=half), NO_COSTS)
    assert found.decided_by["1min"] > 5 and found.decided_by["5min"] > 5
    assert run_backtest(strategy, bars, NO_COSTS).decided_by["5min"] == 0
    assert run_backtest(strategy, base, NO_COSTS).decided_by["1min"] == 0
    with pytest.raises(InputError, match="manage_on"):
        run_backtest(Moving(trail_ticks=6, manage_on="1min"), base)


# --- bad input


class LongsOnly(Moving):
    def stop_price(self, x):
        return x.close - x.atr


class WrongSide(ByHand):
    def stop_price(self, x):
        return x.close + 2.0

    def short_stop_price(self, x):
        return x.close - 2.0


@pytest.mark.parametrize(
    "make, text",
    [
        (lambda: Moving(target_ticks=0.5), "target_ticks"),
        (lambda: Moving(stop_ticks=0.25), "stop_ticks"),
        (lambda: ByHand(trail_atr=2.0), "trail_atr"),
        (lambda: Moving(resting=False, break_even_ticks=5), "resting"),
        (lambda: Priced(resting=False), "stop_price"),
        (lambda: LongsOnly(), "short_stop_price"),
        (lambda: Moving(stop_ticks=8, manage_on="5min"), "manage_on"),
        (lambda: Moving(stop_ticks=8, fill_bars="2min"), "fill_bars"),
        (lambda: Moving(stop_ticks=8, manage_on="1min", fill_bars="3min"), "fill_bars"),
        (lambda: Moving(stop_ticks=-1), "stop_ticks"),
        (lambda: evaluate(WrongSide(), "x", bars_of([ENTRY] * 12)), "stop_price"),
    ],
)
def test_what_cannot_rest_is_refused_by_name(make, text):
    with pytest.raises(InputError, match=text):
        make()


# --- identity, size, restarts


def test_without_resting_exits_nothing_has_another_identity():
    "Two hashes of releases before there were resting exits."
    from futures_algo import MACDCCIStrategy, RSIStrategy

    assert MACDCCIStrategy(stop_ticks=30.0, target_ticks=45.0, resting=False).config_hash() != (
        MACDCCIStrategy(stop_ticks=30.0, target_ticks=45.0).config_hash()
    )
    assert MACDCCIStrategy().config_hash() == MACDCCIStrategy(resting=False).config_hash()
    assert RSIStrategy(manage_on="1min").config_hash() == RSIStrategy().config_hash()


def test_the_exit_of_an_order_carries_its_kind_in_its_id():
    bars = bars_of(HAND["the stop fills at its price"][0])
    stopped = evaluate(ByHand(stop_ticks=8), "x", bars)[-1]
    trailed = evaluate(ByHand(trail_ticks=8), "x", bars)[-1]
    assert (stopped.reason, stopped.price, stopped.action) == ("stop_order", 98.0, "LONG_EXIT")
    assert stopped.id != trailed.id


@pytest.mark.parametrize("exits", [{"stop_ticks": 9.0}, {"trail_atr": 1.0}, {"trail_ticks": 8.0, "stop_ticks": 20.0}])
def test_a_trade_sized_by_risk_loses_no_more_than_that_beyond_gaps(exits):
    bars, risk = walk(11), 400.0
    found = backtest(Moving(**exits), bars, NO_COSTS, Sizing(risk_usd=risk))
    frame, base = found.trades_frame(), found.base
    inside = [
        not math.isclose(row.exit_price, base.open[row.exit_row])
        for row in frame.itertuples()
        if row.reason in ("stop_order", "trail_order")
    ]
    stopped = frame[frame.reason.isin(["stop_order", "trail_order"])][inside]
    assert len(stopped) > 20
    assert stopped.pnl_usd.min() >= -risk - 1e-6
    assert stopped.pnl_usd.min() < -risk / 2  # and the budget is used
    row = sweep(Moving, bars, {k: [v] for k, v in exits.items()}, NO_COSTS, Sizing(risk_usd=risk), threads=1).table
    assert row.net_profit_usd.iloc[0] == pytest.approx(found.stats["net_profit_usd"])


def test_risk_sizes_go_through_a_walk_forward():
    result = walk_forward(
        Moving,
        generate_minutes("ES.c.0", sessions=5, seed=2),
        {"stop_ticks": [9.0, 15.0]},
        NO_COSTS,
        Sizing(risk_usd=400.0),
        folds=2,
        train=1.0,
    )
    assert {int(q) for one in result.results for q in one.test.trades.quantity} <= {2, 3}


@pytest.mark.parametrize("exits", [{"trail_ticks": 7.0, "manage_on": "1min"}, {"stop_ticks": 9.0, "target_ticks": 9.0}])
def test_a_runner_saved_and_restored_at_any_bar_goes_on(exits):
    from futures_algo.aggregator.aggregator import BarAggregator

    bars, strategy = walk(3, 500), Moving(**exits)
    wanted = [signal.id for signal in replay(strategy, "x", bars)]
    for every in (1, 7):
        runner, feed, found = StrategyRunner(strategy, "x", "ES.c.0"), BarAggregator(strategy.fed), []
        for number, bar in enumerate(bars):
            found += [signal.id for signal in runner.on_bars(feed.push(bar))]
            if number % every == 0:
                saved = json.loads(json.dumps(runner.save()))
                runner = StrategyRunner(strategy, "x", "ES.c.0").restore(saved)
        assert found == wanted


def test_a_position_of_the_older_form_gets_its_pair_when_it_is_taken_over():
    from futures_algo.aggregator.aggregator import BarAggregator

    old = StrategyRunner(ByHand(stop_ticks=8, resting=False), "x", "ES.c.0")
    feed = BarAggregator(["5min"])
    for bar in bars_of([ENTRY, FLAT]):
        old.on_bars(feed.push(bar))
    new = StrategyRunner(ByHand(stop_ticks=8), "x", "ES.c.0")
    new.take_over(old)
    assert new.pair == {"side": 1, "entry": 100.0, "stop": 98.0, "target": None, "kind": "stop_order"}
