"Resting exits over real bars: research, replay and the engine on the paper broker; vectorbt and backtesting.py beside."

import dataclasses

import numpy as np
import pytest
from resting_world import causes, engine_over, round_trips

from futures_algo import BaseStrategy, Costs, backtest
from futures_algo.execution.resting_pairs import Protection
from futures_algo.history import read_csv, read_parquet
from futures_algo.indicators import ATR, RSI
from futures_algo.sim.fills import FillRules
from futures_algo.strategies.batch import Market, condition_columns, declared_columns, known_columns
from futures_algo.strategies.checks import replay
from futures_algo.strategies.values import Values

NO_COSTS = Costs(0, 0)


class Turning(BaseStrategy):
    "RSI on five minutes, both sides."

    length: int = 9

    def indicators(self):
        return {"5min": [RSI(self.length), ATR(14)]}

    def entry(self, x):
        return x.rsi < 35

    def short_entry(self, x):
        return x.rsi > 65

    def exit(self, x):
        return x.rsi > 55

    def short_exit(self, x):
        return x.rsi < 45


class Priced(Turning):
    "Its own prices."

    def stop_price(self, x):
        return x.close - 2 * x.atr

    def target_price(self, x):
        return x.close + 1.3 * x.atr

    def short_stop_price(self, x):
        return x.close + 2 * x.atr

    def short_target_price(self, x):
        return x.close - 1.3 * x.atr


@pytest.fixture(scope="module")
def nq(shared_data):
    "Two weeks of NQ, one-minute bars."
    bars = read_csv(shared_data / "bars_1m/NQ_1min_sample.csv", "NQ.c.0", tz="America/New_York")
    return dataclasses.replace(bars, contracts=("NQZ3",))


def es_contracts(shared_data):
    "ES in five minutes, contract by contract, without the first and the last."
    bars = read_parquet(shared_data / "bars_5m/ES_5m.parquet", "ES.v.0", tz="UTC")
    edges = [0, *(np.flatnonzero(np.diff(bars.contract)) + 1), len(bars)]
    return [bars[a:b] for a, b in zip(edges[1:-2], edges[2:-1], strict=True)]


CASES = [
    (Turning, {"stop_ticks": 40.0, "target_ticks": 60.0, "fill_bars": "1min"}),
    (Turning, {"stop_ticks": 40.0, "target_ticks": 60.0, "fill_bars": "1min", "fill_limit": "touch"}),
    (Turning, {"trail_ticks": 40.0, "manage_on": "1min"}),
    (Turning, {"trail_ticks": 30.0, "break_even_ticks": 20.0, "fill_bars": "1min"}),
    (Priced, {"trail_atr": 1.0, "manage_on": "1min"}),
]


@pytest.mark.parametrize("kind, exits", CASES)
def test_real_minutes_trade_alike_in_research_replay_and_engine(kind, exits, nq, tmp_path):
    bars, strategy = nq[:3000], kind(**exits)
    model = backtest(strategy, bars, NO_COSTS)
    wanted = [signal.id for signal in replay(strategy, "s", bars)]
    with engine_over(strategy, bars, tmp_path) as engine:
        engine.run()
        journal = engine.journal
        found = {row["id"] for row in journal.rows("signals") if row["config_hash"] == strategy.config_hash()}
        assert found == set(wanted)
        made = list(zip(model.trades.side.tolist(), model.trades.entry_price, model.trades.exit_price, strict=True))
        assert len(made) > 25
        assert round_trips(journal)[: len(made)] == made
        assert not [event for event in causes(journal) if event["cause"]]


def test_where_ticks_went_another_way_the_broker_is_believed(nq, tmp_path):
    "The broker's own bars dip below stops the strategy's bars never reach: cause tick_path, and the model goes flat."
    bars, strategy = nq[:1500], Turning(stop_ticks=40.0)
    low = bars.low.copy()
    low[::3] -= 9.0
    with engine_over(strategy, bars, tmp_path, {"NQ.c.0": dataclasses.replace(bars, low=low)}) as engine:
        engine.run()
        found = [event for event in causes(engine.journal) if event["cause"] == "tick_path"]
        assert found and all(event["broker"] is not None and event["model"] is not None for event in found)
        last = engine.executor.ledgers["s", "NQ 12-23"].quantity
        assert (last > 0) - (last < 0) == {"FLAT": 0, "LONG": 1, "SHORT": -1}[engine.runners[0].position]


def test_a_touched_stop_the_broker_did_not_fill_is_left_at_market(nq, tmp_path):
    bars, strategy = nq[:1500], Turning(stop_ticks=40.0)
    calm = dataclasses.replace(bars, low=np.minimum(bars.open, bars.close), high=np.maximum(bars.open, bars.close))
    with engine_over(strategy, bars, tmp_path, {"NQ.c.0": calm}) as engine:
        engine.run()
        found = [event for event in causes(engine.journal) if event["cause"] == "touched_not_filled"]
        assert found and all(event["level"] == "alarm" for event in found)
        exits = engine.journal.rows("signals", "reason = 'touched_not_filled'")
        assert len(exits) == len(found)
        assert all(row["verdict"] in ("sent", "denied") for row in exits)


def test_a_touched_target_that_waits_in_the_queue_goes_on_resting(nq, tmp_path):
    bars, strategy = nq[:1500], Turning(target_ticks=30.0, stop_ticks=200.0, fill_limit="touch")
    with engine_over(strategy, bars, tmp_path, rules=FillRules(limit="through")) as engine:
        engine.run()
        found = [event for event in causes(engine.journal) if event["cause"] == "queue"]
        assert found and all(event["order"] == "target_order" for event in found)
        assert engine.journal.rows("intents", "purpose = 'target' AND state = 'Filled'")


def test_a_strategy_without_a_stop_gets_the_emergency_one(nq, tmp_path):
    bars, strategy = nq[:900], Turning()
    with engine_over(strategy, bars, tmp_path, protection=Protection(emergency_stop_ticks=400)) as engine:
        engine.run()
        entries = engine.journal.rows("fills")
        stops = engine.journal.rows("intents", "purpose = 'stop'")
        assert stops and all(row["order_type"] == "STOPMARKET" for row in stops)
        first = entries[0]
        side = 1 if first["side"] == "BUY" else -1
        assert stops[0]["stop_price"] == first["price"] - side * 100


# --- peers


class Dips(BaseStrategy):
    "Longs alone, no exit of its own."

    length: int = 5

    def indicators(self):
        return {"5min": RSI(self.length)}

    def entry(self, x):
        return x.rsi < 35


class DipsOfMinutes(Dips):
    def indicators(self):
        return {"1min": RSI(self.length)}


class PricedDips(Dips):
    "Prices from the deciding close, as backtesting.py wants them."

    def stop_price(self, x):
        return x.close - 6.0

    def target_price(self, x):
        return x.close + 8.0


class PricedDipsOfMinutes(DipsOfMinutes):
    def stop_price(self, x):
        return x.close - 12.0

    def target_price(self, x):
        return x.close + 15.0


def entries_of(strategy, bars):
    "Rows that decide an entry while flat, bool[n]."
    market = Market(bars)
    known = known_columns(strategy, market)
    asked = condition_columns(strategy, Values(known), len(bars))["entry"]
    segment = market.segment_closes(bars.timeframe)
    fills = np.append(segment[1:] == segment[:-1], False)
    return asked & declared_columns(strategy, market, Values(known)).may_buy & fills


def markets(shared_data, nq, minutes, fives):
    return [(fives, bars) for bars in es_contracts(shared_data)[:3]] + [(minutes, nq)]


def test_vectorbt_stops_the_same_trades(shared_data, nq):
    "`sl_stop`, `tp_stop`; it looks from the bar after the entry's on, so the distances are ones no entry bar reaches."
    vbt = pytest.importorskip("vectorbt")
    import pandas as pd

    trades = 0
    for kind, bars in markets(shared_data, nq, DipsOfMinutes, Dips):
        strategy = kind(stop_ticks=200.0, target_ticks=220.0, fill_limit="touch")
        mine = backtest(strategy, bars, NO_COSTS).trades
        enter = np.concatenate(([False], entries_of(strategy, bars)[:-1]))
        column = lambda values: pd.Series(values)
        portfolio = vbt.Portfolio.from_signals(
            column(bars.close),
            entries=column(enter),
            exits=column(np.zeros(len(bars), bool)),
            price=column(bars.open),
            open=column(bars.open),
            high=column(bars.high),
            low=column(bars.low),
            size=1.0,
            init_cash=1e9,
            sl_stop=column((50.0 - 1e-7) / bars.open),  # a fraction of the entry price: a hair nearer than the tick
            tp_stop=column((55.0 - 1e-7) / bars.open),
            stop_entry_price="fillprice",
            stop_exit_price="stoplimit",
            freq="5min",
        )
        theirs = portfolio.trades.closed.records
        assert not (mine.entry_row == mine.exit_row).any()
        np.testing.assert_array_equal(mine.entry_row, theirs["entry_idx"])
        np.testing.assert_array_equal(mine.exit_row, theirs["exit_idx"])
        np.testing.assert_allclose(mine.exit_price, theirs["exit_price"], rtol=0, atol=1e-5)
        trades += len(mine)
    assert trades > 60


def test_backtesting_py_stops_the_same_trades(shared_data, nq):
    backtesting = pytest.importorskip("backtesting", reason="backtesting.py is not installed")
    trades, same_bar = 0, 0
    for kind, bars in markets(shared_data, nq, PricedDipsOfMinutes, PricedDips):
        strategy = kind(fill_limit="touch")
        mine = backtest(strategy, bars, NO_COSTS).trades
        enter, down, up = entries_of(strategy, bars), *strategy_prices(strategy, bars)

        theirs = their_trades(backtesting, bars, enter, down, up)
        np.testing.assert_array_equal(mine.entry_row, theirs["EntryBar"])
        np.testing.assert_array_equal(mine.exit_row, theirs["ExitBar"])
        np.testing.assert_array_equal(mine.exit_price, theirs["ExitPrice"])
        trades, same_bar = trades + len(mine), same_bar + int((mine.entry_row == mine.exit_row).sum())
    assert trades > 500
    assert same_bar > 10


def their_trades(backtesting, bars, enter, down, up):
    import pandas as pd

    class Same(backtesting.Strategy):
        def init(self):
            pass

        def next(self):
            row = len(self.data) - 1
            if not self.position and enter[row]:
                self.buy(size=1, sl=down[row], tp=up[row])

    frame = pd.DataFrame(
        {name.capitalize(): getattr(bars, name) for name in ("open", "high", "low", "close", "volume")},
        index=pd.DatetimeIndex(bars.start.view("M8[ns]")),
    )
    done = backtesting.Backtest(frame, Same, cash=1e9, commission=0.0).run()
    return done["_trades"].sort_values("EntryBar", kind="stable")


def strategy_prices(strategy, bars):
    found = declared_columns(strategy, Market(bars), Values(known_columns(strategy, Market(bars)))).prices
    return found[:, 0], found[:, 1]
