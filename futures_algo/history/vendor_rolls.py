"""Rolls a vendor made without saying so: bars after a contract's end, and steps as from one contract to the next."""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from futures_algo.core.contracts import Contract, Product
from futures_algo.core.expiry import expiry, front_contract, last_day
from futures_algo.core.named import did_you_mean
from futures_algo.core.sessions import SessionCalendar
from futures_algo.core.types import DAY, HOUR, MINUTE, Bars, InputError

_Found = tuple[np.ndarray, Callable[[int], Any]]
ROLLS = ("split", "adjust")  # what --rolls does with a roll that was found
_WINDOW = {"equity": 16, "fx": 16, "rates": 40, "metals": 45, "grains": 40, "livestock": 40, "energy": 31, "crypto": 16}
_SHARE = 0.0025  # of the price: smaller steps are no spread worth a word
_TIMES = 15  # a step is a roll's when it is so many times what the series steps elsewhere at its 99th percentile
_TOGETHER = (
    30 * MINUTE
)  # rows further apart may differ by what the market did meanwhile, which no rule can tell from a roll
_STAYS = 12  # bars that the new level must hold


class Step(NamedTuple):
    "A step from one bar to the next that looks like a roll."

    row: int  # of the first bar of the new level
    points: float  # how far the series stepped
    old: str  # contract in front before, by the calendar
    new: str  # the one after it


def vendor_rolls(bars: Bars, item: Product) -> dict[str, _Found]:
    "What `validate_bars` says of rolls: kind -> rows, and what stands there."
    steps = {step.row: step for step in find_steps(bars, item)}
    after, said = _after_expiry(bars)
    told = lambda row: (
        f"{steps[row].points:+g} points from {float(bars.close[row - 1])!r} to {float(bars.open[row])!r} as from"
        f" {steps[row].old} to {steps[row].new}, all rows of one contract"
    )
    return {"expired": (after, said), "roll": (np.array(sorted(steps), np.int64), told)}


def _after_expiry(bars: Bars) -> _Found:
    "Rows of a dated contract that lie after its last session."
    late = np.zeros(len(bars), bool)
    ends: dict[int, tuple[str, int]] = {}
    if len(bars):
        near = _day(bars.start[0])
        for code, name in enumerate(bars.contracts):
            if contract := _contract(name or (bars.symbol if "." not in bars.symbol else ""), near):
                ends[code] = contract.code, _end_of(contract)
                late |= (bars.contract == code) & (bars.start >= ends[code][1])

    def said(row: int) -> str:
        code, end = ends[int(bars.contract[row])]
        return f"{_text(int(bars.start[row]))}, and {code} ended {_text(end)}"

    return np.flatnonzero(late), said


def _end_of(contract: Contract) -> int:
    "The close of the session in which a contract expires."
    at = expiry(contract)
    return max(at, SessionCalendar.of(contract.root).session_close(at - 1)) + HOUR


def _contract(name: str, near: dt.date) -> Contract | None:
    try:
        return Contract.parse(name, near)
    except InputError:
        return None


def _day(when: int) -> dt.date:
    return dt.date(1970, 1, 1) + dt.timedelta(days=int(when) // DAY)


def _text(when: int) -> str:
    return f"{np.datetime64(int(when), 'ns').astype('M8[s]')}Z"


def find_steps(bars: Bars, item: Product) -> list[Step]:
    "Steps inside one contract's rows that stay, near an expiry, far beyond what the series steps elsewhere."
    if len(bars) < 6 or bars.timeframe.nanos >= DAY:
        return []
    step = bars.open[1:] - bars.close[:-1]
    same = (bars.contract[1:] == bars.contract[:-1]) & (bars.start[1:] - bars.end[:-1] <= _TOGETHER)
    finite = np.isfinite(step) & np.isfinite(bars.close[:-1])
    usual = np.abs(step[same & finite])
    if not len(usual):
        return []
    if len(usual) < 200:
        typical = float(np.median(bars.high - bars.low)) / 3
    else:
        typical = float(np.quantile(usual, 0.99))
    least = np.maximum(np.abs(bars.close[:-1]) * _SHARE, max(typical * _times(bars), item.tick_size * 4))
    rows = np.flatnonzero(same & finite & (np.abs(step) > least)) + 1
    return [found for row in rows.tolist() if (found := _step(bars, item, row, float(step[row - 1])))]


def _times(bars: Bars) -> float:
    return _TIMES if len(bars) >= 200 else _TIMES / 2


def _step(bars: Bars, item: Product, row: int, points: float) -> Step | None:
    "The step at a row, when it stays and a roll is due."
    before, after = bars.close[max(0, row - _STAYS) : row], bars.close[row : row + _STAYS]
    settled = float(np.median(after) - np.median(before))
    if len(after) < 2 or settled * points < 0 or abs(settled) < abs(points) * 0.6:
        return None
    day = _day(bars.start[row])
    front = front_contract(item.root, day)
    if (last_day(front) - day).days > _WINDOW.get(item.calendar_group, 31):
        return None
    return Step(row, points, front.code, front.next().code)


def with_rolls(
    bars: Bars,
    rolls: str,  # split: rows get their contracts; adjust: and earlier prices move by the step
    item: Product,
) -> Bars:
    "A series whose vendor rolled in silence, with its rolls said."
    if rolls not in ROLLS:
        raise InputError("rolls", rolls, f"must be one of {', '.join(ROLLS)}", did_you_mean(rolls, ROLLS))
    steps = find_steps(bars, item)
    if not steps:
        return bars
    split = _split(bars, steps)
    if rolls == "split":
        return split
    from futures_algo.history.rolls import continuous

    return continuous(split, "difference")


def _split(bars: Bars, steps: list[Step]) -> Bars:
    "Rows named by contract: the front's before a step, the next one's after it."
    names = [steps[0].old]
    codes = np.zeros(len(bars), np.int32)
    for step in steps:
        if step.new not in names:
            names.append(step.new)
        codes[step.row :] = names.index(step.new)
    return replace(bars, contract=codes, contracts=tuple(names))
