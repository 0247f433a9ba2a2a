"""One combination's whole run in one compiled pass: the position model's own step, money beside it, figures out;
nothing kept a bar but the sessions' profits.

A bar that cannot change anything is not stepped through. Flat, without a decision waiting, the model waits for an
entry; in a position without a
trailing stop it waits for a signal, a touch, the last bar of `bars_held`, a roll or the session's end. On every other
bar `position_step` itself decides.
(numba's cache looks at this file only: after a change to `position.py` in place, touch it.)
"""

import numpy as np
from numba import njit

from futures_algo.research.performance import SESSIONS_A_YEAR
from futures_algo.strategies.position import (
    CONTRACT,
    ENTRY,
    ENTRY_SIDE,
    EXIT_REASON,
    EXIT_SIDE,
    HELD,
    LAST_CLOSE,
    REASONS,
    STARTED,
    position_step,
)

METRICS = (
    "net_profit_usd",
    "max_drawdown_usd",
    "trades",
    "win_rate",
    "profit_factor",
    "average_trade_usd",
    "sharpe",
    "exposure",
    "commission_usd",
)
_ROLL = REASONS.index("roll")

# of the account: dollars and counts a run adds up
REALIZED, PEAK, DROP, GROSS, LOST, COMMISSION, NET, EQUITY, PRICE = range(9)
TRADES, WINS, BARS_IN, QUANTITY = range(4)
# of the money: what a point, a contract and a fill cost
POINT_VALUE, COMMISSION_USD, SLIP = range(3)
# of a row: prices, ns to the session's close (negative), contract, and the bar before's close and contract
OPEN, HIGH, LOW, CLOSE, TO_CLOSE, CONTRACT_CODE, CLOSE_BEFORE, CONTRACT_BEFORE = range(8)
BLOCK = 64  # bars whose highest and lowest close are known beforehand

_inlined = njit(nogil=True, forceinline=True)
_step = _inlined(position_step.py_func)  # the same function, compiled into the loop


@_inlined
def _enter(account, count, money, side, quantity, price):
    "Buy or sell at a fill's price."
    account[PRICE], count[QUANTITY] = price + side * money[SLIP], quantity
    account[COMMISSION] += money[COMMISSION_USD] * quantity


@_inlined
def _leave(account, count, money, side, price):
    "Close what is held; an entry of no contracts was no trade."
    quantity = count[QUANTITY]
    if quantity == 0:
        return
    profit = (price - side * money[SLIP] - account[PRICE]) * side * quantity * money[POINT_VALUE] - money[
        COMMISSION_USD
    ] * quantity * 2
    account[REALIZED] += profit
    account[COMMISSION] += money[COMMISSION_USD] * quantity
    count[TRADES] += 1
    if profit > 0:
        account[GROSS] += profit
        count[WINS] += 1
    else:
        account[LOST] -= profit
    count[QUANTITY] = 0


@_inlined
def _next(flags, words, t, stop):
    "First row from t on that is flagged, `stop` when there is none before; eight rows are looked at in one word."
    while t < stop and t & 7:
        if flags[t]:
            return t
        t += 1
    word, last = t >> 3, (stop + 7) >> 3
    while word < last and words[word] == 0:
        word += 1
    t = max(t, word << 3)
    while t < stop and not flags[t]:
        t += 1
    return min(t, stop)


@_inlined
def _touches(rules, high, low, entry, side, t, stop):
    """First row from t on whose high or low touches stop or target, `stop` when there is none before; as
    `position_step` sees it."""
    while t < stop:
        worst, best = (low[t], high[t]) if side > 0 else (high[t], low[t])
        if rules[1] > 0 and (worst - entry) * side <= -rules[1]:
            return t
        if rules[2] > 0 and (best - entry) * side >= rules[2]:
            return t
        t += 1
    return stop


@_inlined
def _mark(account, close, block_high, block_low, worth, paid, t, stop):
    """Height and fall of the equity over bars of one position; a block whose extremes cannot change them is not walked
    through."""
    realized, price, peak, drop = account[REALIZED], account[PRICE], account[PEAK], account[DROP]
    while t < stop:
        block = t // BLOCK
        after = min(stop, (block + 1) * BLOCK)
        top, bottom = (block_high[block], block_low[block]) if worth > 0 else (block_low[block], block_high[block])
        highest, lowest = realized + (top - price) * worth - paid, realized + (bottom - price) * worth - paid
        if highest <= peak and peak - lowest <= drop:
            pass
        elif after - t == BLOCK and highest - lowest <= drop and peak - lowest <= drop:
            peak = max(peak, highest)
        else:
            for row in range(t, after):
                equity = realized + (close[row] - price) * worth - paid
                if equity > peak:
                    peak = equity
                elif peak - equity > drop:
                    drop = peak - equity
        t = after
    account[PEAK], account[DROP] = peak, drop


@njit(cache=True, nogil=True)
def simulate(
    rules,  # float64[6], `ExitRules`
    long_entry,
    long_exit,
    short_entry,
    short_exit,  # bool[n]
    begins,
    begin_words,  # bool[8k] and int64[k] of the same memory: an entry of either side
    ends_long,
    # a long's exit, a short's entry, or a watched bar: the contract changed, or `before_close` has come
    end_long_words,
    ends_short,
    end_short_words,  # the same of a short
    rows,  # float64[n, 8], a bar in one line of the processor's cache: `OPEN` and its neighbours
    high,
    low,
    close,
    atr,
    block_high,
    block_low,  # of the closes of every `BLOCK` bars
    session_end,  # int64[m], row of each session's last bar
    money,  # float64[3]
    quantity,  # int64[n] or int64[1], contracts of an entry decided on each row
    figures,  # float64[len(METRICS)], written
):
    "Figures of a run."
    n, sessions, same = len(rows), len(session_end), len(quantity) == 1
    i, f, said = np.zeros(6, np.int64), np.zeros(3), np.zeros(4, np.int64)
    account, count, profits = np.zeros(9), np.zeros(4, np.int64), np.zeros(sessions)
    trails, inside = rules[3] > 0 or rules[4] > 0, rules[1] > 0 or rules[2] > 0
    most = np.int64(np.ceil(rules[0]))
    side, exiting, entering, session, before, t = 0, False, 0, 0, 0.0, 0
    while t < n:
        begin = t
        if not exiting and entering == 0:
            if side == 0:
                t = _next(begins, begin_words, t, n)
                while session < sessions and session_end[session] < t:
                    profits[session] = account[EQUITY] - before
                    before, session = account[EQUITY], session + 1
            elif not trails:
                until = min(n, t + max(0, most - 1 - i[HELD])) if most > 0 else n
                t = (
                    _next(ends_long, end_long_words, t, until)
                    if side > 0
                    else _next(ends_short, end_short_words, t, until)
                )
                if inside:
                    t = _touches(rules, high, low, f[ENTRY], side, begin, t)
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
        if exiting or entering:  # decided on the bar before, filled now
            fill = rows[t, CLOSE_BEFORE] if rows[t, CONTRACT_CODE] != rows[t, CONTRACT_BEFORE] else rows[t, OPEN]
            if exiting:
                _leave(account, count, money, side, fill)
            if entering:
                _enter(account, count, money, entering, quantity[0] if same else quantity[t - 1], fill)
            side = entering
        _step(
            i,
            f,
            rules,
            long_entry[t],
            long_exit[t],
            short_entry[t],
            short_exit[t],
            rows[t, OPEN],
            rows[t, HIGH],
            rows[t, LOW],
            rows[t, CLOSE],
            np.int64(rows[t, TO_CLOSE]),
            0,
            np.int64(rows[t, CONTRACT_CODE]),
            atr[t] if trails else np.nan,
            said,
        )
        rolled = said[EXIT_REASON] == _ROLL
        if rolled:
            _leave(account, count, money, side, rows[t, CLOSE_BEFORE])
            side = 0
        exiting, entering = said[EXIT_SIDE] != 0 and not rolled, said[ENTRY_SIDE]
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


@njit(cache=True, nogil=True)
def _judge(account, count, profits, bars, figures):
    "What was added up, as `METRICS`."
    trades = count[TRADES]
    figures[:] = np.nan
    figures[0], figures[1], figures[2], figures[8] = account[EQUITY], account[DROP], trades, account[COMMISSION]
    if trades:
        closed = account[GROSS] - account[LOST]
        figures[3], figures[5] = count[WINS] / trades, closed / trades
        figures[4] = account[GROSS] / account[LOST] if account[LOST] > 0 else np.inf
    if bars:
        figures[7] = count[BARS_IN] / bars
    sessions = len(profits)
    if sessions > 1:
        mean = profits.sum() / sessions
        spread = np.sqrt(((profits - mean) ** 2).sum() / (sessions - 1))
        if spread > 0:
            figures[6] = mean / spread * np.sqrt(SESSIONS_A_YEAR)
