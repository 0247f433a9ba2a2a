"What is made of generated bars says so, and the generator hands no edge to a breakout."

import numpy as np

from futures_algo.aggregator.aggregator import aggregate
from futures_algo.core.types import GENERATED
from futures_algo.research.backtest import backtest
from futures_algo.sim.market import generate_minutes
from futures_algo.strategies.library import OpeningRangeBreakout


def test_the_origin_goes_with_the_bars_through_slices_and_timeframes():
    bars = generate_minutes("ES.c.0", sessions=2)
    assert bars.origin == bars[:100].origin == aggregate(bars, 5).origin == aggregate(bars[:0], 5).origin == GENERATED


def test_figure_page_text_and_document_say_generated():
    result = backtest(OpeningRangeBreakout(), generate_minutes("ES.c.0", sessions=8))
    titles = [axis.get_title(loc="right") for axis in result.plot().axes]
    assert GENERATED in titles
    assert GENERATED in result.tearsheet() and GENERATED in str(result) and GENERATED in result._repr_html_()
    assert result.as_dict()["origin"] == GENERATED


def test_steps_of_the_generated_price_carry_no_trend():
    "Correlation of an hour's move with the next one's: sampling error over 250 sessions is 0.013."
    found = []
    for seed in range(1, 5):
        close = generate_minutes("ES.c.0", 252, seed=seed).close
        moves = np.diff(close[::60])
        moves = np.clip(moves, *np.quantile(moves, [0.01, 0.99]))  # a roll is no move
        found.append(np.corrcoef(moves[:-1], moves[1:])[0, 1])
    assert abs(np.mean(found)) < 0.04


def test_an_opening_range_breakout_earns_nothing_by_the_generator():
    sharpe = [
        backtest(OpeningRangeBreakout(), generate_minutes("ES.c.0", 252, seed=seed)).stats["sharpe"]
        for seed in range(1, 9)
    ]
    assert abs(np.mean(sharpe)) < 0.3 and min(sharpe) < 0 < max(sharpe)
