"""One combination's whole run where exits rest at the broker: the order model's own functions, money beside them.

As in `sweep_kernel` a bar that cannot change anything is not stepped through: while no stop moves, a position waits
for a signal, the last bar of `bars_held`, a roll, the session's end, or a bar that reaches stop or target; blocks of
bars that reach neither are passed over whole.
(numba's cache looks at this file only: after a change to `orders.py` in place, touch it.)
"""

import numpy as np
from numba import njit

from futures_algo.research.sweep_kernel import (
    BARS_IN,
    CLOSE,
    CLOSE_BEFORE,
    COMMISSION_USD,
    CONTRACT_BEFORE,
    CONTRACT_CODE,
    DROP,
    EQUITY,
    HIGH,
    LOW,
    OPEN,
    PEAK,
    POINT_VALUE,
    PRICE,
    QUANTITY,
    REALIZED,
    TO_CLOSE,
    _enter,
    _inlined,
    _judge,
    _leave,
    _mark,
    _next,
)
from futures_algo.strategies.orders import (
    ATR,
    FLOATS,
    INTEGERS,
    ROLL,
    SEGMENT,
    SLACK,
    STOP,
    TARGET,
    begin_bar,
    end_bar,
    meet,
    move,
)
from futures_algo.strategies.position import (
    CONTRACT,
    ENTRY_SIDE,
    EXIT_PRICE,
    EXIT_REASON,
    EXIT_SIDE,
    HELD,
    LAPSED,
    LAST_CLOSE,
    ORDER_WIDTH,
    SIDE,
    STARTED,
)

_begin, _meet, _move, _end = (_inlined(one.py_func) for one in (begin_bar, meet, move, end_bar))  # into the loop
REACH = 16  # bars whose highest high and lowest low are known beforehand


@_inlined
def _reached(high, low, extremes, over, under, t, stop):
    "First row from t on with a high at or above `over` or a low at or below `under`, `stop` when there is none before."
    while t < stop:
        block = t // REACH
        after = (block + 1) * REACH
        if extremes[block, 0] < over and extremes[block, 1] > under:
            t = after
            continue
        for row in range(t, min(after, stop)):
            if high[row] >= over or low[row] <= under:
                return row
        t = after
    return stop


@njit(cache=True, nogil=True)
def simulate_orders(
    rules,  # float64[10], `ExitRules`
    long_entry,
    long_exit,
    short_entry,
    short_exit,  # bool[n]
    begins,
    begin_words,
    ends_long,
    end_long_words,
    ends_short,
    end_short_words,  # flags, as in `sweep_kernel.simulate`
    rows,  # float64[n, 8]
    high,
    low,
    close,
    extremes,  # float64[m, 2], highest high and lowest low of every `REACH` bars
    lapsing,  # bool[n], another trading segment than the bar before: no entry fills (one byte, for the cache's sake)
    atr,  # see `orders.order_loop`, as what follows
    declared,
    first,
    stop,
    inner_open,
    inner_high,
    inner_low,
    inner_moves,
    block_high,
    block_low,
    session_end,
    money,
    quantity,  # int64[n, 2] or int64[1, 2], contracts of a long and of a short entry decided on each row
    figures,
):
    "Figures of a run."
    n, sessions, same, alike = len(rows), len(session_end), len(quantity) == 1, len(declared) == 1
    i, f = np.zeros(INTEGERS, np.int64), np.full(FLOATS, np.nan)
    said = np.zeros(ORDER_WIDTH, np.int64)
    prices = said.view(np.float64)
    account, count, profits = np.zeros(9), np.zeros(4, np.int64), np.zeros(sessions)
    moving = rules[3] > 0 or rules[4] > 0 or rules[6] > 0
    by_atr, walked = rules[4] > 0, len(inner_open) > 0
    slack, most = rules[7] * SLACK, np.int64(np.ceil(rules[0]))
    side, exiting, entering, session, before, t = 0, False, 0, 0, 0.0, 0
    while t < n:
        begin = t
        if not exiting and entering == 0:
            if side == 0:
                t = _next(begins, begin_words, t, n)
                while session < sessions and session_end[session] < t:
                    profits[session] = account[EQUITY] - before
                    before, session = account[EQUITY], session + 1
            elif not moving:
                until = min(n, t + max(0, most - 1 - i[HELD])) if most > 0 else n
                t = (
                    _next(ends_long, end_long_words, t, until)
                    if side > 0
                    else _next(ends_short, end_short_words, t, until)
                )
                over, under = (f[TARGET], f[STOP]) if side > 0 else (f[STOP], f[TARGET])
                over = over - slack if over == over else np.inf
                under = under + slack if under == under else -np.inf
                t = _reached(high, low, extremes, over, under, begin, t)
                worth, paid = side * count[QUANTITY] * money[POINT_VALUE], money[COMMISSION_USD] * count[QUANTITY]
                if t > begin and count[QUANTITY]:
                    _mark(account, close, block_high, block_low, worth, paid, begin, t)
                    account[EQUITY] = account[REALIZED] + (close[t - 1] - account[PRICE]) * worth - paid
                    count[BARS_IN] += t - begin
                while session < sessions and session_end[session] < t:
                    equity = account[REALIZED]
                    if count[QUANTITY]:
                        equity += (close[session_end[session]] - account[PRICE]) * worth - paid
                    profits[session] = equity - before
                    before, session = equity, session + 1
                i[HELD] += t - begin
            if t == n:
                break
            if t > begin:
                i[CONTRACT], i[STARTED], f[LAST_CLOSE] = np.int64(rows[t, CONTRACT_BEFORE]), 1, rows[t, CLOSE_BEFORE]
        rolled = rows[t, CONTRACT_CODE] != rows[t, CONTRACT_BEFORE]
        _begin(i, f, rules, rows[t, OPEN], i[SEGMENT] + lapsing[t], np.int64(rows[t, CONTRACT_CODE]), said)
        if exiting:
            _leave(account, count, money, side, rows[t, CLOSE_BEFORE] if rolled else rows[t, OPEN])
            side = 0
        if entering and not said[LAPSED]:
            contracts = quantity[0 if same else t - 1, 0 if entering > 0 else 1]
            _enter(account, count, money, entering, contracts, rows[t, OPEN])
            side = entering
        if said[EXIT_REASON] == ROLL:
            _leave(account, count, money, side, rows[t, CLOSE_BEFORE])
            side = 0
        if i[SIDE]:
            finer = walked and first[t] < stop[t]
            if not finer:
                _meet(i, f, rules, rows[t, OPEN], rows[t, HIGH], rows[t, LOW], 0, 0, said, prices)
            for k in range(first[t] if finer else 0, stop[t] if finer else 0):
                _meet(i, f, rules, inner_open[k], inner_high[k], inner_low[k], 0, 1, said, prices)
                if inner_moves[k]:
                    _move(i, f, rules, f[ATR])
            if said[EXIT_REASON] > ROLL:
                _leave(account, count, money, side, prices[EXIT_PRICE])
                side = 0
        _end(
            i,
            f,
            rules,
            long_entry[t],
            long_exit[t],
            short_entry[t],
            short_exit[t],
            rows[t, CLOSE],
            np.int64(rows[t, TO_CLOSE]),
            0,
            np.int64(rows[t, CONTRACT_CODE]),
            atr[t] if by_atr else np.nan,
            declared[0 if alike else t],
            said,
        )
        exiting = said[EXIT_SIDE] != 0 and said[EXIT_REASON] < ROLL
        entering = said[ENTRY_SIDE]
        equity = account[REALIZED]
        if side and count[QUANTITY]:
            equity += (rows[t, CLOSE] - account[PRICE]) * (side * count[QUANTITY] * money[POINT_VALUE]) - money[
                COMMISSION_USD
            ] * count[QUANTITY]
            count[BARS_IN] += 1
        account[EQUITY], account[PEAK] = equity, max(account[PEAK], equity)
        account[DROP] = max(account[DROP], account[PEAK] - equity)
        if session < sessions and session_end[session] == t:
            profits[session] = equity - before
            before, session = equity, session + 1
        t += 1
    _judge(account, count, profits, n, figures)
