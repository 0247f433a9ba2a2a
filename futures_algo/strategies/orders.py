"""The order model: exits that rest at the broker from the entry's fill on, met by every bar, moved when bars close.

`guides/fills` says the rules in words and in this order. A base bar is `begin_bar` (what was decided fills at its
open), `meet` for each of its inner bars (itself, when there are no finer ones) and `end_bar` (the stop moves, the
closed bar decides). `order_loop` is that over columns; the live form calls the same three as bars arrive. Compiled;
the row of rules is `position.ExitRules`.
"""

import math

import numpy as np
from numba import njit

from futures_algo.strategies.position import (
    BEST,
    BY_FINER,
    CONTRACT,
    ENTERING,
    ENTRY,
    ENTRY_SIDE,
    EXIT_AT,
    EXIT_CONTRACT,
    EXIT_PRICE,
    EXIT_REASON,
    EXIT_SIDE,
    EXITING,
    HELD,
    LAPSED,
    LAST_CLOSE,
    REASONS,
    SIDE,
    STARTED,
    STOP_AT,
    TARGET_AT,
    conclude,
)

# after the integers and floats of `position`'s state
STOP_KIND, BEGUN, SEGMENT = range(6, 9)  # reason a stop's fill has; inside a base bar; close of the last bar's segment
# the pair; prices of an entry decided; the last bar's ATR; what the broker filled the entry at, NaN in research
STOP, TARGET, NEXT_STOP, NEXT_TARGET, ATR, FILLED_AT = range(3, 9)
INTEGERS, FLOATS = 9, 9
# places in a row of rules
_STOP, _TARGET, _TRAIL, _TRAIL_ATR, _BREAK_EVEN, _TICK, _PER_POINT, _THROUGH = 1, 2, 3, 4, 6, 7, 8, 9
# of an entry's declared prices
LONG_STOP, LONG_TARGET, SHORT_STOP, SHORT_TARGET = range(4)

ROLL = REASONS.index("roll")
STOP_ORDER, TARGET_ORDER, TRAIL_ORDER, BREAK_EVEN_ORDER = range(ROLL + 1, ROLL + 5)
SLACK = 1e-6  # of a tick, in every comparison of prices


def new_order_state() -> tuple[np.ndarray, np.ndarray]:
    "A flat position's integers and floats."
    floats = np.zeros(FLOATS)
    floats[STOP:] = np.nan
    return np.zeros(INTEGERS, np.int64), floats


def on_tick(price: float, tick: float, per_point: float, up: bool) -> float:
    "The price on the tick grid, exactly: 7,531 ticks of 0.01 are 75.31."
    if not math.isfinite(price):
        return price
    steps = math.ceil(price / tick - SLACK) if up else math.floor(price / tick + SLACK)
    return steps / per_point if per_point > 0 else steps * tick


_inlined = njit(nogil=True, forceinline=True)  # calls with arrays cost more than what these do
_on_tick = _inlined(on_tick)


@_inlined
def _tighten(i, f, rules, side, level, kind):
    "Take a stop that is nearer to the market than the one in force: a stop is never loosened."
    level = _on_tick(level, rules[_TICK], rules[_PER_POINT], side < 0)
    if f[STOP] != f[STOP] or (level - f[STOP]) * side > rules[_TICK] * SLACK:
        f[STOP], i[STOP_KIND] = level, kind


@_inlined
def _trailing(rules, atr):
    "Points a trail keeps from the best price; 0 for none."
    distance, by_atr = rules[_TRAIL], rules[_TRAIL_ATR] * atr
    return by_atr if by_atr > 0 and (distance <= 0 or by_atr < distance) else distance


@_inlined
def place(i, f, rules, side, price):
    "The pair of an entry that filled at a price."
    i[SIDE], i[HELD], f[ENTRY], f[BEST] = side, 0, price, price
    f[STOP], f[TARGET], i[STOP_KIND] = np.nan, np.nan, STOP_ORDER
    if rules[_STOP] > 0:
        _tighten(i, f, rules, side, price - side * rules[_STOP], STOP_ORDER)
    if f[NEXT_STOP] == f[NEXT_STOP]:
        _tighten(i, f, rules, side, f[NEXT_STOP], STOP_ORDER)
    if rules[_TRAIL] > 0:
        _tighten(i, f, rules, side, price - side * rules[_TRAIL], TRAIL_ORDER)
    if rules[_TRAIL_ATR] * f[ATR] > 0:
        _tighten(i, f, rules, side, price - side * rules[_TRAIL_ATR] * f[ATR], TRAIL_ORDER)
    if rules[_TARGET] > 0:
        f[TARGET] = _on_tick(price + side * rules[_TARGET], rules[_TICK], rules[_PER_POINT], side > 0)
    if f[NEXT_TARGET] == f[NEXT_TARGET] and not (f[TARGET] - f[NEXT_TARGET]) * side < 0:
        f[TARGET] = f[NEXT_TARGET]


@njit(cache=True, nogil=True)
def begin_bar(i, f, rules, open, segment, contract, out):
    "A base bar opens: what was decided on the one before fills."
    out[:] = 0
    out[EXIT_CONTRACT] = i[CONTRACT]
    rolled = i[STARTED] and contract != i[CONTRACT]
    if i[EXITING]:
        i[SIDE], i[EXITING] = 0, 0
    if i[ENTERING]:
        if rolled or segment != i[SEGMENT]:
            out[LAPSED] = 1
        else:
            place(i, f, rules, i[ENTERING], f[FILLED_AT] if f[FILLED_AT] == f[FILLED_AT] else open)
        i[ENTERING], f[FILLED_AT] = 0, np.nan
    if rolled and i[SIDE]:
        out[EXIT_REASON], out[EXIT_SIDE] = ROLL, i[SIDE]
        i[SIDE] = 0
    i[CONTRACT], i[STARTED], i[SEGMENT], i[BEGUN] = contract, 1, segment, 1


@njit(cache=True, nogil=True)
def meet(i, f, rules, open, high, low, end, finer, out, prices):
    "An inner bar meets the pair; `prices` is `out` seen as float64."
    side = i[SIDE]
    if not side:
        return
    slack, stop, target = rules[_TICK] * SLACK, f[STOP], f[TARGET]
    beyond = rules[_THROUGH] - slack
    worst, best = (low, high) if side > 0 else (high, low)
    kind, price = 0, open
    if (open - stop) * side <= slack:
        kind = i[STOP_KIND]
    elif (open - target) * side >= beyond:
        kind = TARGET_ORDER
    elif (worst - stop) * side <= slack:
        kind, price = i[STOP_KIND], stop
    elif (best - target) * side >= beyond:
        kind, price = TARGET_ORDER, target
    if kind:
        out[EXIT_REASON], out[EXIT_SIDE], out[EXIT_CONTRACT], out[EXIT_AT] = kind, side, i[CONTRACT], end
        prices[EXIT_PRICE], out[BY_FINER], i[SIDE] = price, finer, 0
    elif (best - f[BEST]) * side > 0:
        f[BEST] = best


@njit(cache=True, nogil=True)
def move(i, f, rules, atr):
    "The stop after a closed bar: trail, then break even."
    side = i[SIDE]
    if not side:
        return
    distance = _trailing(rules, atr)
    if distance > 0:
        _tighten(i, f, rules, side, f[BEST] - side * distance, TRAIL_ORDER)
    if rules[_BREAK_EVEN] > 0 and (f[BEST] - f[ENTRY]) * side >= rules[_BREAK_EVEN] - rules[_TICK] * SLACK:
        _tighten(i, f, rules, side, f[ENTRY], BREAK_EVEN_ORDER)


@njit(cache=True, nogil=True)
def end_bar(
    i,
    f,
    rules,
    long_entry,
    long_exit,
    short_entry,
    short_exit,
    close,
    end,
    session_close,
    contract,
    atr,
    declared,  # float64[4], prices of an entry decided on this bar: `LONG_STOP` and its neighbours
    out,
):
    "A base bar closes: it decides, and the stop of a position that stays moves."
    if i[SIDE]:
        i[HELD] += 1
    if out[EXIT_REASON] != ROLL:
        conclude(i, rules, 0, long_entry, long_exit, short_entry, short_exit, end, session_close, contract, out)
    if not i[EXITING]:
        move(i, f, rules, atr)
    i[ENTERING] = out[ENTRY_SIDE]
    if out[ENTRY_SIDE] > 0:
        f[NEXT_STOP], f[NEXT_TARGET] = declared[LONG_STOP], declared[LONG_TARGET]
    elif out[ENTRY_SIDE] < 0:
        f[NEXT_STOP], f[NEXT_TARGET] = declared[SHORT_STOP], declared[SHORT_TARGET]
    f[ATR], f[LAST_CLOSE], i[BEGUN] = atr, close, 0


@njit(cache=True, nogil=True)
def order_loop(
    i,
    f,
    rules,
    long_entry,
    long_exit,
    short_entry,
    short_exit,
    open,
    high,
    low,
    close,
    end,
    session_close,
    segment,  # int64[n], close of each bar's trading segment
    contract,
    atr,
    declared,  # float64[n, 4], or float64[1, 4] where no prices are declared
    first,
    stop,  # int64[n], inner bars of each base bar; none where they are equal
    inner_open,
    inner_high,
    inner_low,
    inner_end,
    inner_moves,  # bool[m], the stop moves at its end
    out,  # int64[n, 10], written
    prices,  # the same memory as float64
):
    "Every base bar with its inner bars."
    same = len(declared) == 1
    for t in range(len(open)):
        begin_bar(i, f, rules, open[t], segment[t], contract[t], out[t])
        prices[t, STOP_AT], prices[t, TARGET_AT] = (f[STOP], f[TARGET]) if i[SIDE] else (np.nan, np.nan)
        if first[t] == stop[t]:
            meet(i, f, rules, open[t], high[t], low[t], end[t], 0, out[t], prices[t])
        for k in range(first[t], stop[t]):
            meet(i, f, rules, inner_open[k], inner_high[k], inner_low[k], inner_end[k], 1, out[t], prices[t])
            if inner_moves[k]:
                move(i, f, rules, f[ATR])
        end_bar(
            i,
            f,
            rules,
            long_entry[t],
            long_exit[t],
            short_entry[t],
            short_exit[t],
            close[t],
            end[t],
            session_close[t],
            contract[t],
            atr[t],
            declared[0] if same else declared[t],
            out[t],
        )
