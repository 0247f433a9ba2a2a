"""Prices that cannot be: placeholders, undefined values, factors of ten, spikes both neighbours deny, volume beyond
belief.

The limits are far above what an exchange lets happen within one bar, so that a crash passes and a typing error does
not.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from futures_algo.core.contracts import Product
from futures_algo.core.types import DAY, HOUR, Bars

IMPOSSIBLE = {  # kind -> (rule, remedy)
    "undefined": (
        "must be a price, not the value that stands for none",
        "leave the row out, or fetch it again",
    ),
    "placeholder": (
        "must be a traded price: this product has none at or below zero",
        "leave the row out, or fetch it again",
    ),
    "scale": (
        "must be of its neighbours' size, and is theirs times a power of ten",
        "bring the rows to one scale, or fetch them again",
    ),
    "jump": (
        "must not leave its neighbours on both sides by more than the product can move in a bar",
        "fetch the row again, or accept it as true (--accept jump)",
    ),
    "spike": (
        "must not have a high or low that neither its own open and close nor its neighbours know",
        "fetch the row again, or accept it as true (--accept spike)",
    ),
    "volume_size": (
        "must have a volume that can be traded in one bar",
        "fetch the row again, or accept it as true (--accept volume_size)",
    ),
}


class Limit(NamedTuple):
    "What one bar can move."

    share: float  # of the price
    points: float = 0.0  # at least this, for prices that pass through zero
    may_be_negative: bool = False


_LIMITS = {  # product group -> limit; exchanges halt earlier (equity at 7, 13 and 20 %)
    "equity": Limit(0.10),
    "energy": Limit(0.25, 10.0, True),  # 10 points: oil on 2020-04-20 fell by several dollars a minute, through zero
    "metals": Limit(0.12),
    "fx": Limit(0.06),
    "rates": Limit(0.05),
    "grains": Limit(0.12),
    "livestock": Limit(0.12),
    "crypto": Limit(0.25),
}
_OWN = {"NG": Limit(0.25, 0.5), "QG": Limit(0.25, 0.5), "RB": Limit(0.25, 0.3), "HO": Limit(0.25, 0.3)}
UNDEFINED = 9_223_372_036.0  # points: int64's largest in units of 1e-9, as the wire writes "no price"
_BIGGEST_VOLUME = 10_000_000  # contracts in a bar shorter than a day: ten times the busiest hour there was
_RUN = 0.02  # a run of wrong rows is at most this share of the series, or 60 rows
_TENS = np.array([1e-4, 1e-3, 1e-2, 1e-1, 10.0, 1e2, 1e3, 1e4])


def limit_of(item: Product) -> Limit:
    "What one bar of a product can move."
    return _OWN.get(item.root) or _LIMITS.get(item.calendar_group, Limit(0.25, 0.0, True))


_BLOCK = 1 << 17  # rows looked at together, so that the checks of long series take little memory


def implausible(bars: Bars, item: Product) -> dict[str, np.ndarray]:
    "Kind of IMPOSSIBLE -> rows of it; a row has one kind."
    limit = limit_of(item)
    if bars.timeframe.nanos >= DAY:
        limit = limit._replace(share=limit.share * 3, points=limit.points * 3)
    undefined, placeholder = (
        np.concatenate(found) for found in zip(*_blocks(bars, lambda part: _senseless(part, limit)))
    )
    wrong = undefined | placeholder
    scale, jump = _off_level(bars, wrong, limit)
    wrong[scale] = wrong[jump] = True
    spike = _spikes_of(bars, wrong, limit)
    most = _BIGGEST_VOLUME * (100 if bars.timeframe.nanos > HOUR else 1)
    return {
        "undefined": np.flatnonzero(undefined),
        "placeholder": np.flatnonzero(placeholder),
        "scale": scale,
        "jump": jump,
        "spike": spike,
        "volume_size": np.flatnonzero(bars.volume >= most),
    }


def _blocks(bars: Bars, look: Callable[[Bars], Any]) -> Iterator[Any]:
    "What a look at each block of rows gives; an empty series is one block."
    for first in range(0, max(len(bars), 1), _BLOCK):
        yield look(bars[first : first + _BLOCK])


def _spikes_of(bars: Bars, wrong: np.ndarray, limit: Limit) -> np.ndarray:
    "Spikes among the rows that are not wrong otherwise, each beside its nearest right neighbours."
    if wrong.any():
        return _spikes(bars, np.flatnonzero(~wrong), limit)
    found = [np.empty(0, np.int64)]
    for first in range(0, len(bars), _BLOCK):
        begin, end = max(0, first - 1), min(len(bars), first + _BLOCK + 1)
        rows = _spikes(bars[begin:end], np.arange(end - begin), limit) + begin
        found.append(rows[(rows >= first) & (rows < first + _BLOCK)])
    return np.concatenate(found)


def _senseless(bars: Bars, limit: Limit) -> tuple[np.ndarray, np.ndarray]:
    "Rows with undefined prices, and rows with zeros or, where there can be none, with prices below."
    highest = np.maximum(np.maximum(bars.high, bars.open), bars.close)
    lowest = np.minimum(np.minimum(bars.low, bars.open), bars.close)
    undefined = (highest >= UNDEFINED) | (lowest <= -UNDEFINED)
    if limit.may_be_negative:
        flat = (bars.open == 0) & (bars.high == 0) & (bars.low == 0) & (bars.close == 0)
        return undefined, flat & ~undefined & _far_from_zero(bars, flat, limit)
    return undefined, (lowest <= 0) & ~undefined


def _far_from_zero(bars: Bars, flat: np.ndarray, limit: Limit) -> np.ndarray:
    "Rows of zeros whose nearest other rows are not about zero."
    others = np.flatnonzero(~flat)
    if not len(others):
        return np.ones(len(flat), bool)
    before = np.clip(np.searchsorted(others, np.arange(len(flat))) - 1, 0, None)
    return np.abs(bars.close[others[before]]) > limit.points


def _allowed(price: np.ndarray, limit: Limit) -> np.ndarray:
    "Points that one bar can move from a price."
    return np.maximum(np.abs(price) * limit.share, limit.points)


def _off_level(bars: Bars, wrong: np.ndarray, limit: Limit) -> tuple[np.ndarray, np.ndarray]:
    "Runs of rows at a level that the series leaves and comes back from: those of a power of ten, and the others."
    right = np.isfinite(bars.close) & ~wrong
    rows = None if right.all() else np.flatnonzero(right)
    close = bars.close if rows is None else bars.close[rows]
    empty = np.empty(0, np.int64)
    if len(close) < 3:
        return empty, empty
    breaks = _breaks(close, limit)
    if not len(breaks):
        return empty, empty
    runs = list(zip([0, *breaks.tolist()], [*breaks.tolist(), len(close)]))
    odd = _wrong_runs(runs, close, limit)
    scale = [(a, b) for a, b, reference in odd if _is_power_of_ten(close[a], reference)]
    jump = [(a, b) for a, b, reference in odd if not _is_power_of_ten(close[a], reference)]
    rows = np.arange(len(close)) if rows is None else rows
    spread = lambda found: rows[np.concatenate([np.arange(a, b) for a, b in found])] if found else empty
    return spread(scale), spread(jump)


def _breaks(close: np.ndarray, limit: Limit) -> np.ndarray:
    "Rows that leave the level of the row before."
    found = [np.empty(0, np.int64)]
    for first in range(1, len(close), _BLOCK):
        part = close[first - 1 : first + _BLOCK]
        step = np.abs(np.diff(part))
        found.append(np.flatnonzero(step > np.minimum(_allowed(part[:-1], limit), _allowed(part[1:], limit))) + first)
    return np.concatenate(found)


def _wrong_runs(runs: list[tuple[int, int]], close: np.ndarray, limit: Limit) -> list[tuple[int, int, float]]:
    "Runs off the level of those around them, with that level; the longest run is right."
    longest = max(range(len(runs)), key=lambda i: runs[i][1] - runs[i][0])
    most = max(60, int(len(close) * _RUN))
    forward = _walk(runs[longest:], close, limit, most, 1)
    backward = _walk(runs[longest::-1], close, limit, most, -1)
    return sorted([*backward, *forward])


def _walk(
    runs: list[tuple[int, int]], close: np.ndarray, limit: Limit, most: int, way: int
) -> list[tuple[int, int, float]]:
    """From a right run on in one direction: a run is right when it continues the level, or when it is too long to be
    wrong."""
    near, far = (0, -1) if way > 0 else (-1, 0)
    edge = lambda run, side: float(close[run[0] if side == 0 else run[1] - 1])
    level, found = edge(runs[0], far), []
    for at, run in enumerate(runs[1:], 1):
        here = edge(run, near)
        ahead = runs[at + 1] if at + 1 < len(runs) else None
        continues = abs(here - level) <= float(np.maximum(_allowed(np.array(level), limit), limit.points))
        returns = (
            ahead is None or abs(edge(ahead, near) - level) < abs(here - level) / 2 or _is_power_of_ten(here, level)
        )
        last = ahead is None and not _is_power_of_ten(here, level) and run[1] - run[0] > 3
        if continues or run[1] - run[0] > most or not returns or last:
            level = edge(run, far)
            continue
        found.append((*run, level))
    return found


def _is_power_of_ten(price: float, level: float) -> bool:
    return bool(level) and bool(np.any(np.abs(price / level / _TENS - 1.0) < 0.05))


def _spikes(bars: Bars, rows: np.ndarray, limit: Limit) -> np.ndarray:
    "Rows whose high or low alone lies far from its own body and from both neighbours."
    if not len(rows):
        return np.empty(0, np.int64)
    open, high, low, close = (getattr(bars, name)[rows] for name in ("open", "high", "low", "close"))
    top, bottom = np.maximum(open, close), np.minimum(open, close)
    around = lambda edge, pick: pick(edge, pick(np.roll(edge, 1), np.roll(edge, -1)))
    allowed = _allowed(close, limit)
    out = (high - around(top, np.maximum) > allowed) | (around(bottom, np.minimum) - low > allowed)
    body = np.abs(close - open) > allowed * 1.0
    alone = np.minimum(np.abs(open - np.roll(close, 1)), np.abs(open - close)) > allowed
    return rows[out | (body & alone)]


CONFIRMED = {"jump": 3, "scale": 20}  # bars in a row at a new level after which the stream is believed


class Verdict(NamedTuple):
    "Why a bar of a live stream is none."

    kind: str  # of IMPOSSIBLE, or "ohlc"
    value: str  # what stands there


class Judge:
    """Looks at a stream's bars one by one: nothing is known of the next one, so a level that jumps is believed when
    further bars confirm it."""

    def __init__(self, item: Product):
        self.limit = limit_of(item)
        self._level: float | None = None  # close of the last bar that was one
        self._doubted: float | None = None  # close of a bar that jumped
        self._times = 0  # bars in a row that jumped to that level

    def forget(self) -> None:
        "Another contract begins: its level is its own."
        self._level, self._doubted, self._times = None, None, 0

    def judge(self, open: float, high: float, low: float, close: float, volume: int) -> Verdict | None:
        "None for a bar that can be."
        prices = (open, high, low, close)
        value = f"open={open!r} high={high!r} low={low!r} close={close!r} volume={volume}"
        if not all(-UNDEFINED < price < UNDEFINED for price in prices):
            return Verdict("undefined", value)
        if high < low or high < max(open, close) or low > min(open, close):
            return Verdict("ohlc", value)
        if volume < 0 or volume >= _BIGGEST_VOLUME:
            return Verdict("volume_size", value)
        if kind := self._off(prices):
            return Verdict(kind, value)
        self._level, self._doubted, self._times = close, None, 0
        return None

    def _off(self, prices: tuple[float, float, float, float]) -> str:
        "The kind of a bar that the stream so far denies."
        open, high, low, close = prices
        if not self.limit.may_be_negative and low <= 0 or (self._level is not None and not any(prices)
                                                           and abs(self._level) > self.limit.points):  # fmt: skip
            return "placeholder"
        level = self._level if self._level is not None else open
        allowed = max(abs(level) * self.limit.share, self.limit.points)
        if abs(close - level) > allowed:
            near = max(abs(close) * self.limit.share, self.limit.points)
            agrees = self._doubted is not None and abs(close - self._doubted) <= near
            kind = "scale" if _is_power_of_ten(close, level) else "jump"
            self._doubted, self._times = close, self._times + 1 if agrees else 1
            return "" if self._times >= CONFIRMED[kind] else kind
        top, bottom = max(close, level), min(close, level)
        return "spike" if high - top > allowed or bottom - low > allowed else ""
