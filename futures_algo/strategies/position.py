"""Exits, reversals and the one position a strategy holds: one compiled step that sweep, replay and live run."""

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from futures_algo.core.types import MINUTE, Bars, Timeframe

# what left at market, then the orders that rested at the broker (`strategies.orders`)
REASONS: tuple[str, ...] = ("", "stop", "target", "trail", "rule", "bars_held", "end_of_session", "reverse", "roll")
RESTED = ("stop_order", "target_order", "trail_order", "break_even_order")
REASONS += RESTED


_STOP, _TARGET, _TRAIL, _RULE, _HELD, _SESSION, _REVERSE, _ROLL = range(1, 9)

# integers of the state
SIDE, HELD, EXITING, ENTERING, CONTRACT, STARTED = range(
    6
)  # side +1 long, -1 short; bars held; decisions waiting for the next open
# floats of the state
ENTRY, BEST, LAST_CLOSE = range(3)  # model entry price; best price since entry; last bar's close
# what a step decides; where exits rest, too: end of the bar that showed the fill (0 for a market order), its price (the
# bits of a float64), whether finer bars showed it, whether the entry decided on the bar before lapsed, and the stop and
# target in force when the bar began (bits of float64s)
EXIT_REASON, EXIT_SIDE, ENTRY_SIDE, EXIT_CONTRACT, EXIT_AT, EXIT_PRICE, BY_FINER, LAPSED, STOP_AT, TARGET_AT = range(10)
WIDTH = 4  # of a row of decisions at market
ORDER_WIDTH = 10  # of one where exits rest


def new_state() -> tuple[np.ndarray, np.ndarray]:
    "A flat position's integers and floats."
    return np.zeros(6, np.int64), np.zeros(3, np.float64)


class ExitRules(NamedTuple):
    "Declared exits as the step reads them; 0 (or -1 for the session) is off."

    bars_held: float = 0  # bars
    stop: float = 0  # points from the entry
    target: float = 0  # points from the entry
    trail: float = 0  # points from the best price
    trail_atr: float = 0  # multiples of ATR from the best price
    before_close: float = -1  # ns before the session's last close within which a bar's end counts as the last
    break_even: float = 0  # points in favour after which the stop goes to the entry; exits that rest only
    tick: float = 0  # points
    per_point: float = 0  # ticks a point where that is a whole number: prices are divided by it, and so exact
    through: float = 0  # points beyond its price a limit must trade to fill

    @classmethod
    def of(
        cls,
        bars_held: int = 0,
        stop_ticks: float = 0,
        target_ticks: float = 0,
        trail_ticks: float = 0,
        trail_atr: float = 0,
        exit_before_close: int = -1,
        break_even_ticks: float = 0,
        fill_limit: str = "through",
        *,
        tick_size: float,
        timeframe: "Timeframe | str | int" = 1,
    ) -> "ExitRules":
        "From the parameters a strategy declares: ticks, minutes before the close; `timeframe` is the base bars'."
        before = (
            exit_before_close * MINUTE + Timeframe(timeframe).nanos - 1 if exit_before_close >= 0 else -1
        )  # the bar after this one would end too late
        stop, target, trail = (ticks * tick_size for ticks in (stop_ticks, target_ticks, trail_ticks))
        whole = round(1 / tick_size)
        return cls(
            bars_held,
            stop,
            target,
            trail,
            trail_atr,
            before,
            break_even_ticks * tick_size,
            tick_size,
            whole if whole and abs(whole * tick_size - 1) < 1e-9 else 0,
            tick_size if fill_limit == "through" else 0,
        )

    def stop_distance(self, atr: "float | np.ndarray") -> "float | np.ndarray":
        "Points from the entry to the nearest declared stop, NaN without one; `atr` is the deciding bar's, or a column."
        near: Any = np.float64(np.nan)
        for distance in (self.stop, self.trail, self.trail_atr * atr):
            near = np.fmin(near, np.where(np.asarray(distance) > 0, distance, np.nan))
        return near


@njit(cache=True, nogil=True)
def _settle(i, f, price):
    "Fill what was decided on the bar before."
    if i[EXITING]:
        i[SIDE] = 0
        i[EXITING] = 0
    if i[ENTERING]:
        i[SIDE], i[HELD], f[ENTRY], f[BEST] = i[ENTERING], 0, price, price
        i[ENTERING] = 0


@njit(cache=True, nogil=True)
def _touched(i, f, rules, high, low, atr):
    "Which of stop, target and trailing stop this bar touched; 0 for none."
    side, entry = i[SIDE], f[ENTRY]
    worst, best = (low, high) if side > 0 else (high, low)
    if rules[1] > 0 and (worst - entry) * side <= -rules[1]:
        return _STOP
    if rules[2] > 0 and (best - entry) * side >= rules[2]:
        return _TARGET
    distance = rules[3]
    if rules[4] > 0 and atr == atr and (distance <= 0 or rules[4] * atr < distance):
        distance = rules[4] * atr
    trailed = distance > 0 and (worst - f[BEST]) * side <= -distance
    if (best - f[BEST]) * side > 0:
        f[BEST] = best  # the order of high and low inside a bar is unknown, so its best counts from the next bar on
    return _TRAIL if trailed else 0


@njit(nogil=True, forceinline=True)
def conclude(i, rules, touched, long_entry, long_exit, short_entry, short_exit, end, session_close, contract, out):
    "What a closed bar decides of the position held, or of none; `touched` is the reason that comes before all others."
    closing = rules[5] >= 0 and end >= session_close - np.int64(rules[5])
    side, reason = i[SIDE], touched
    if side:
        if not reason:
            if (side > 0 and long_exit) or (side < 0 and short_exit):
                reason = _RULE
            elif rules[0] > 0 and i[HELD] >= rules[0]:
                reason = _HELD
            elif closing:
                reason = _SESSION
        opposite = (side > 0 and short_entry) or (side < 0 and long_entry)
        if not reason and opposite:
            reason = _REVERSE
        if reason:
            out[EXIT_REASON], out[EXIT_SIDE], out[EXIT_CONTRACT] = reason, side, contract
            i[EXITING] = 1
            if opposite and not closing:
                out[ENTRY_SIDE] = -side
    elif not closing:
        if long_entry:
            out[ENTRY_SIDE] = 1
        elif short_entry:
            out[ENTRY_SIDE] = -1


@njit(cache=True, nogil=True)
def position_step(
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
    contract,
    atr,
    out,
):
    """One closed base bar: settle at its open, then decide; `out` takes exit reason, exited side, entered side and the
    exit's contract."""
    out[EXIT_REASON], out[EXIT_SIDE], out[ENTRY_SIDE], out[EXIT_CONTRACT] = 0, 0, 0, i[CONTRACT]
    rolled = i[STARTED] and contract != i[CONTRACT]
    _settle(i, f, f[LAST_CLOSE] if rolled else open)
    if rolled and i[SIDE]:
        out[EXIT_REASON], out[EXIT_SIDE] = _ROLL, i[SIDE]
        i[SIDE] = 0
    i[CONTRACT], i[STARTED], f[LAST_CLOSE] = contract, 1, close
    reason = 0
    if i[SIDE]:
        i[HELD] += 1
        reason = _touched(i, f, rules, high, low, atr)
    if not out[EXIT_REASON]:
        conclude(i, rules, reason, long_entry, long_exit, short_entry, short_exit, end, session_close, contract, out)
    i[ENTERING] = out[ENTRY_SIDE]


@njit(cache=True, nogil=True)
def position_loop(
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
    contract,
    atr,
    out,
):
    "`position_step` over every row; `out` is int64[n, 4]."
    for t in range(len(open)):
        position_step(
            i,
            f,
            rules,
            long_entry[t],
            long_exit[t],
            short_entry[t],
            short_exit[t],
            open[t],
            high[t],
            low[t],
            close[t],
            end[t],
            session_close[t],
            contract[t],
            atr[t],
            out[t],
        )


class ModelFill(NamedTuple):
    "What research takes a decision to cost."

    decided: int  # row of the bar that decided
    at: int  # ns UTC: the next bar's open, the roll, or the end of the bar in which a resting order filled
    price: float  # points
    side: int  # +1 bought, -1 sold
    reason: str  # of an exit; "" for an entry


def model_fills(bars: Bars, decisions: np.ndarray) -> list[ModelFill]:
    "Fills of the decisions `position_loop` wrote, in order; a decision on the last bar has none yet."
    found: list[ModelFill] = []
    for t in np.flatnonzero(decisions[:, EXIT_REASON] | decisions[:, ENTRY_SIDE]).tolist():
        reason, exited, entered = (int(decisions[t, k]) for k in (EXIT_REASON, EXIT_SIDE, ENTRY_SIDE))
        if reason == _ROLL:
            found.append(ModelFill(t, int(bars.end[t - 1]), float(bars.close[t - 1]), -exited, "roll"))
            continue
        if rested := reason > _ROLL:
            found.append(
                ModelFill(t, int(decisions[t, EXIT_AT]), resting_price(decisions, t), -exited, REASONS[reason])
            )
        if t + 1 == len(bars):
            break
        rolls = bars.contract[t + 1] != bars.contract[t]
        at, price = (
            (int(bars.end[t]), float(bars.close[t])) if rolls else (int(bars.start[t + 1]), float(bars.open[t + 1]))
        )
        if exited and not rested:
            found.append(ModelFill(t, at, price, -exited, REASONS[reason]))
        if entered and not lapses(decisions, t):
            found.append(ModelFill(t, at, price, entered, ""))
    return found


def resting_price(decisions: np.ndarray, row: int) -> float:
    "At which a resting order filled on a row, points."
    return float(decisions[row, EXIT_PRICE : EXIT_PRICE + 1].view(np.float64)[0])


def lapses(decisions: np.ndarray, row: int) -> bool:
    "Whether the entry decided on a row came to nothing, which the row after it says."
    return decisions.shape[1] > LAPSED and bool(decisions[row + 1, LAPSED])
