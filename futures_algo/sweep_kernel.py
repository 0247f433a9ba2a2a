"""One combination's whole run in one compiled pass: the position model's own step, money beside it, figures out; nothing kept a bar but the sessions' profits.

A bar that cannot change anything is not stepped through. Flat, without a decision waiting, the model waits for an entry; in a position without stop, target or
trailing stop it waits for a signal, the last bar of `bars_held`, a roll or the session's end. On every other bar `position_step` itself decides.
(numba's cache looks at this file only: after a change to `position.py` in place, touch it.)
"""
import numpy as np
from numba import njit

from futures_algo.performance import SESSIONS_A_YEAR
from futures_algo.position import CONTRACT, ENTRY_SIDE, EXIT_REASON, EXIT_SIDE, HELD, LAST_CLOSE, REASONS, SIDE, STARTED, position_step

METRICS = ("net_profit_usd", "max_drawdown_usd", "trades", "win_rate", "profit_factor", "average_trade_usd", "sharpe", "exposure", "commission_usd")
_ROLL = REASONS.index("roll")

# of the account: dollars and counts a run adds up
REALIZED, PEAK, DROP, GROSS, LOST, COMMISSION, NET, EQUITY, PRICE = range(9)
TRADES, WINS, BARS_IN, QUANTITY = range(4)
# of the money: what a point, a contract and a fill cost
POINT_VALUE, COMMISSION_USD, SLIP = range(3)


@njit(cache=True, nogil=True)
def _enter(account, count, money, side, quantity, price):
    "Buy or sell at a fill's price."
    account[PRICE], count[QUANTITY] = price + side * money[SLIP], quantity
    account[COMMISSION] += money[COMMISSION_USD] * quantity


@njit(cache=True, nogil=True)
def _leave(account, count, money, side, price):
    "Close what is held; an entry of no contracts was no trade."
    quantity = count[QUANTITY]
    if quantity == 0: return
    profit = (price - side * money[SLIP] - account[PRICE]) * side * quantity * money[POINT_VALUE] - money[COMMISSION_USD] * quantity * 2
    account[REALIZED] += profit
    account[COMMISSION] += money[COMMISSION_USD] * quantity
    count[TRADES] += 1
    if profit > 0:
        account[GROSS] += profit
        count[WINS] += 1
    else: account[LOST] -= profit
    count[QUANTITY] = 0


@njit(cache=True, nogil=True)
def simulate(
    rules,             # float64[6], `ExitRules`
    long_entry, long_exit, short_entry, short_exit,   # bool[n]
    open, high, low, close, end, session_close, contract, atr,
    watched,           # bool[n]: the contract changed, or `before_close` has come
    session_end,       # int64[m], row of each session's last bar
    money,             # float64[3]
    quantity,          # int64[n] or int64[1], contracts of an entry decided on each row
    figures,           # float64[len(METRICS)], written
):
    "Figures of a run."
    n, sessions = len(open), len(session_end)
    i, f, said = np.zeros(6, np.int64), np.zeros(3), np.zeros(4, np.int64)
    account, count, profits = np.zeros(9), np.zeros(4, np.int64), np.zeros(sessions)
    inside = rules[1] > 0 or rules[2] > 0 or rules[3] > 0 or rules[4] > 0   # a bar's high or low can end a position
    side, exiting, entering, session, before, t = 0, False, 0, 0, 0.0, 0
    same = len(quantity) == 1
    next_end = session_end[0] if sessions else n
    while t < n:
        begin = t
        if not exiting and entering == 0:
            if side == 0:
                while t < n and not (long_entry[t] or short_entry[t]): t += 1
                while next_end < t:
                    profits[session] = account[EQUITY] - before
                    before, session = account[EQUITY], session + 1
                    next_end = session_end[session] if session < sessions else n
            elif not inside:
                leave, other = (long_exit, short_entry) if side > 0 else (short_exit, long_entry)
                until = min(n, t + max(0, np.int64(np.ceil(rules[0])) - 1 - i[HELD])) if rules[0] > 0 else n
                worth = side * count[QUANTITY] * money[POINT_VALUE]
                paid = money[COMMISSION_USD] * count[QUANTITY]
                realized, price, peak, drop = account[REALIZED], account[PRICE], account[PEAK], account[DROP]
                while t < until and not (leave[t] or other[t] or watched[t]):
                    equity = realized + (close[t] - price) * worth - paid
                    peak = max(peak, equity)
                    drop = max(drop, peak - equity)
                    if t == next_end:
                        profits[session] = equity - before
                        before, session = equity, session + 1
                        next_end = session_end[session] if session < sessions else n
                    t += 1
                account[PEAK], account[DROP] = peak, drop
                if t > begin: account[EQUITY] = equity
                i[HELD] += t - begin
                if count[QUANTITY]: count[BARS_IN] += t - begin
            if t == n: break
            if t > begin: i[CONTRACT], i[STARTED], f[LAST_CLOSE] = contract[t - 1], 1, close[t - 1]
        if exiting or entering:   # decided on the bar before, filled now
            fill = close[t - 1] if contract[t] != contract[t - 1] else open[t]
            if exiting: _leave(account, count, money, side, fill)
            if entering: _enter(account, count, money, entering, quantity[0] if same else quantity[t - 1], fill)
            side = entering
        position_step(i, f, rules, long_entry[t], long_exit[t], short_entry[t], short_exit[t], open[t], high[t], low[t], close[t], end[t], session_close[t],
                      contract[t], atr[t], said)
        rolled = said[EXIT_REASON] == _ROLL
        if rolled:
            _leave(account, count, money, side, close[t - 1])
            side = 0
        exiting, entering = said[EXIT_SIDE] != 0 and not rolled, said[ENTRY_SIDE]
        equity = account[REALIZED]
        if side and count[QUANTITY]:
            equity += (close[t] - account[PRICE]) * (side * count[QUANTITY] * money[POINT_VALUE]) - money[COMMISSION_USD] * count[QUANTITY]
            count[BARS_IN] += 1
        account[EQUITY], account[PEAK] = equity, max(account[PEAK], equity)
        account[DROP] = max(account[DROP], account[PEAK] - equity)
        if t == next_end:
            profits[session] = equity - before
            before, session = equity, session + 1
            next_end = session_end[session] if session < sessions else n
        t += 1
    while session < sessions:
        profits[session] = account[EQUITY] - before
        before, session = account[EQUITY], session + 1
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
    if bars: figures[7] = count[BARS_IN] / bars
    sessions = len(profits)
    if sessions > 1:
        mean = profits.sum() / sessions
        spread = np.sqrt(((profits - mean) ** 2).sum() / (sessions - 1))
        if spread > 0: figures[6] = mean / spread * np.sqrt(SESSIONS_A_YEAR)
