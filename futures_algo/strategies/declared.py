"""What an entry's declared prices come to, the same for a row of columns and for a number: the pair's prices on the
tick grid, whether an entry may be decided at all, and how far its stop is.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from futures_algo.strategies.base import CONDITIONS, PRICES, BaseStrategy
from futures_algo.strategies.orders import LONG_STOP, LONG_TARGET, SHORT_STOP, SHORT_TARGET, SLACK
from futures_algo.strategies.position import ExitRules
from futures_algo.strategies.values import Values, all_there

_UP = (False, True, True, False)  # away from the position, in the order of `PRICES`


class Declared(NamedTuple):
    "Prices and permissions of the entries decided on each row."

    prices: np.ndarray  # float64[n, 4] on the tick grid, or float64[1, 4] of NaN when none are declared
    may_buy: Any  # bool, or bool[n]
    may_sell: Any


def declared(
    strategy: BaseStrategy,
    x: Values,
    rules: ExitRules,
    close: Any,  # of the deciding bar: a number, or float64[n]
    is_open: Any,  # whether the market still trades when the bar has ended: bool or bool[n]
    there: Callable[[list], Any] = all_there,
) -> Declared:
    "Read the declared prices; `guides/fills`, Entries, says when none is decided."
    answers = strategy.declared_prices(x, there)
    may_buy = may_sell = is_open
    if strategy.trail_atr:
        may_buy = may_sell = is_open & (np.asarray(x.atr) > 0)
    if not answers:
        return Declared(np.full((1, 4), np.nan), may_buy, may_sell)
    length = np.size(close)
    prices = np.full((length, 4), np.nan)
    for column, name in enumerate(PRICES):
        if name in answers:
            prices[:, column] = _on_ticks(answers[name], rules, _UP[column])
    allowed = lambda column, side, beyond: (
        (prices[:, column] - close) * side * beyond >= rules.tick * (1 - SLACK) if PRICES[column] in answers else True
    )
    buy = np.asarray(may_buy) & allowed(LONG_STOP, 1, -1) & allowed(LONG_TARGET, 1, 1)
    sell = np.asarray(may_sell) & allowed(SHORT_STOP, -1, -1) & allowed(SHORT_TARGET, -1, 1)
    return Declared(prices, buy, sell) if np.ndim(close) else Declared(prices, bool(buy[0]), bool(sell[0]))


def _on_ticks(price: Any, rules: ExitRules, up: bool) -> Any:
    "`orders.on_tick` of a column."
    steps = np.ceil(price / rules.tick - SLACK) if up else np.floor(price / rules.tick + SLACK)
    return steps / rules.per_point if rules.per_point else steps * rules.tick


def permitted(asked: Mapping[str, Any], found: Declared) -> list[Any]:
    "The four conditions, entries only where they may be decided."
    entry, leave, short_entry, short_exit = (asked[name] for name in CONDITIONS)
    return [entry & found.may_buy, leave, short_entry & found.may_sell, short_exit]


def stop_points(
    rules: ExitRules,
    found: Declared,
    close: Any,
    atr: Any,  # of the deciding bar; NaN without one
) -> tuple[Any, Any]:
    "Points from an entry to its stop, of a long and of a short, NaN without one; numbers, or float64[n]."
    fixed: list[Any] = [points for points in (rules.stop, rules.trail) if points > 0]
    if rules.trail_atr:
        fixed.append(np.asarray(atr) * rules.trail_atr)
    near = np.full(np.shape(close), np.nan)
    for points in fixed:
        near = np.fmin(near, _on_ticks(points, rules, True))
    at = (lambda column: found.prices[:, column]) if np.ndim(close) else (lambda column: found.prices[0, column])
    return np.fmin(near, close - at(LONG_STOP)), np.fmin(near, at(SHORT_STOP) - close)
