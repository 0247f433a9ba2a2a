"""The batch form's loop, compiled: one pass over the bars, reading times only where a period may end."""

import numpy as np
from numba import njit

_MINUTE = 60_000_000_000  # ns


@njit(cache=True, nogil=True)
def _next_row(start: np.ndarray, row: int, period_end: int, most: int) -> int:
    """First row at or past the end of the period `row` lies in, at most `most` on; where no bar is missing, two looks
    find it."""
    at = min(row + most, len(start))
    while at < len(start) and start[at] < period_end:
        at += 1  # rows of one time
    if start[at - 1] < period_end:
        return at
    return row + np.searchsorted(start[row:at], period_end)  # type: ignore[return-value]  # bars are missing


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})  # prices are numbers, so that eight rows are compared at once
def _reduced(high: np.ndarray, low: np.ndarray, volume: np.ndarray, row: int, after: int) -> tuple[float, float, int]:
    """Highest, lowest and total of the rows; unsigned indices, because those that may count from the end are not
    vectorised."""
    most, least, total = high[row], low[row], 0
    for at in range(np.uint64(row), np.uint64(after)):
        most = max(most, high[at])
        least = min(least, low[at])
        total += volume[at]
    return most, least, total


@njit(cache=True, nogil=True)
def _most_periods(start: np.ndarray, rolls: np.ndarray, bounds: np.ndarray, nanos: int) -> int:
    """How many periods the rows can lie in: those of the whole span, a short one at each opening and close, two where a
    roll parts one."""
    crossed = np.searchsorted(bounds, start[-1], "right") - np.searchsorted(bounds, start[0], "right")
    return min(len(start), (start[-1] - start[0]) // nanos + 2 + crossed + len(rolls))


@njit(cache=True, nogil=True)
def group_bars(
    start: np.ndarray,
    end: np.ndarray,
    open: np.ndarray,
    high: np.ndarray,
    low: np.ndarray,
    close: np.ndarray,
    volume: np.ndarray,
    contract: np.ndarray,
    partial: np.ndarray,  # bool[n], or of length 0 when no row is
    rolls: np.ndarray,  # int64[r], rows whose contract is not the one before's
    bounds: np.ndarray,  # int64[m], ns UTC: openings and closes in turn
    nanos: int,  # of a period
    base: int,  # of a bar
) -> tuple[np.ndarray, ...]:
    "Start, end, open, high, low, close, volume, contract, partial and cut (ended by a roll) of every period."
    size = _most_periods(start, rolls, bounds, nanos)
    times, prices, totals = np.empty((2, size), np.int64), np.empty((4, size), np.float64), np.empty(size, np.int64)
    codes, flags = np.empty(size, np.int32), np.empty((2, size), np.bool_)
    row, made, roll, parted = 0, 0, 0, np.int64(-1)  # parted: where the contract before ended inside this period
    interval = np.searchsorted(bounds, start[0], "right") - 1
    fresh, most = True, nanos // base  # fresh: nothing was seen before, so the first period may lack bars
    while row < len(start):
        while bounds[interval + 1] <= start[row]:
            interval += 1
        begins = start[row] - (start[row] - bounds[interval]) % nanos
        ends = min(begins + nanos, bounds[interval + 1])
        after = _next_row(start, row, ends, most)
        while roll < len(rolls) and rolls[roll] <= row:
            roll += 1
        cut = roll < len(rolls) and rolls[roll] < after
        if cut:
            after = rolls[roll]
        flag = cut or (fresh and start[row] > begins)
        for at in range(row, after if len(partial) else row):
            flag |= partial[at]
        if parted >= 0:
            begins = parted
        parted, fresh = np.int64(-1), False
        if cut:
            parted, fresh = (
                max(end[after - 1], start[after] - start[after] % _MINUTE),
                True,
            )  # whole minutes, so that seconds and minutes part alike
            ends = parted
        times[0, made], times[1, made], prices[0, made], prices[3, made] = begins, ends, open[row], close[after - 1]
        prices[1, made], prices[2, made], totals[made] = _reduced(high, low, volume, row, after)
        codes[made], flags[0, made], flags[1, made] = contract[row], flag, cut
        row, made = after, made + 1
    return (
        times[0, :made],
        times[1, :made],
        prices[0, :made],
        prices[1, :made],
        prices[2, :made],
        prices[3, :made],
        totals[:made],
        codes[:made],
        flags[0, :made],
        flags[1, :made],
    )
