"""Bars of a session: lost, doubled, late, and different from what was recorded."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from futures_algo.aggregator.aggregator import aggregate
from futures_algo.core.contracts import root_of
from futures_algo.core.types import SECOND, Bars, InputError, Timeframe, to_timestamp
from futures_algo.report.causes import Cause
from futures_algo.report.facts import Facts
from futures_algo.strategies.checks import Difference

MINUTE_BARS = Timeframe(1)
_PRICES = ("open", "high", "low", "close", "volume")
_NOT_LIVE = ("connecting", "stale", "down", "closed")


def when(at: int) -> str:
    return to_timestamp(at).isoformat()


def difference(kind: str, identity: str, at: int, cause: Cause, **detail: Any) -> Difference:
    return Difference(kind, identity, when(at), cause.code, detail)


@dataclass
class BarCheck:
    """What was found; `faults` are the ends of one-minute bars that strategies saw otherwise than the recording has
    them."""

    checked: int = 0
    lost: int = 0
    replayed: int = 0  # bars known long after their end because the feed replayed them
    differences: list[Difference] = field(default_factory=list)
    faults: dict[str, list[tuple[int, Cause]]] = field(default_factory=dict)  # symbol -> (end, what is wrong), in order


def read_recording(data: "Path | str | dict[str, Bars] | None", facts: Facts) -> dict[str, Bars]:
    "One-minute bars of the recording up to the session's end, by the journal's feed symbols."
    if data is None:
        return {}
    if not isinstance(data, dict):
        from futures_algo.history.sources import read_source

        data = read_source(data)
    found: dict[str, Bars] = {}
    for symbol, bars in data.items():
        name = (
            symbol
            if symbol in facts.symbols
            else next((own for own in facts.symbols if root_of(own) == root_of(symbol)), symbol)
        )
        minutes = bars if bars.timeframe == MINUTE_BARS else aggregate(bars, MINUTE_BARS)
        found[name] = minutes[minutes.end <= facts.end]
    if not any(len(bars) for name, bars in found.items() if name in facts.symbols):
        raise InputError(
            "recording",
            ", ".join(data),
            "must hold bars of the journal's symbols",
            f"they are {', '.join(facts.symbols)}",
        )
    return found


def check_bars(facts: Facts, recorded: dict[str, Bars], late_s: float) -> BarCheck:
    check = BarCheck()
    for symbol in facts.symbols:
        opens, closes = facts.bounds(symbol)
        check.faults[symbol] = []
        if symbol in recorded:
            _compare(check, facts, symbol, recorded[symbol], opens)
        _late(check, facts, symbol, opens, closes, int(late_s * SECOND))
        for timeframe, bars in facts.bars[symbol].items():
            if timeframe != MINUTE_BARS:
                _rebuild(check, facts, symbol, bars, opens)
    for row in facts.duplicates:
        check.differences.append(
            difference("bar", f"{row.symbol} {row.timeframe}", row.end, _doubled(facts, row.received), what="duplicate")
        )
    return check


def _compare(check: BarCheck, facts: Facts, symbol: str, recorded: Bars, opens: int) -> None:
    "The journal's one-minute bars against the recording's, where the recording has any."
    ours = facts.bars[symbol].get(MINUTE_BARS)
    if ours is None or not len(recorded):
        return
    ours = ours[(ours.end >= recorded.end[0]) & (ours.end <= recorded.end[-1])]
    _, at_ours, at_theirs = np.intersect1d(ours.end, recorded.end, return_indices=True)
    changed = np.any([getattr(ours, name)[at_ours] != getattr(recorded, name)[at_theirs] for name in _PRICES], axis=0)
    missing, extra = np.setdiff1d(recorded.end, ours.end), np.setdiff1d(ours.end, recorded.end)
    faults = [(int(end), Cause.BAR_MISSING) for end in missing] + [(int(end), Cause.BAR_EXTRA) for end in extra]
    faults += [(int(ours.end[row]), Cause.BAR_CHANGED) for row in at_ours[changed]]
    check.faults[symbol] = sorted(faults, key=lambda fault: fault[0])
    inside = [fault for fault in check.faults[symbol] if fault[0] > opens]
    partial = set(ours.end[ours.partial].tolist())
    for end, what in inside:
        cause = Cause.WARM_UP if end in partial else Cause.UNEXPLAINED
        if what is Cause.BAR_MISSING:
            cause = _why_missing(facts, end)
        check.lost += what is Cause.BAR_MISSING and cause is Cause.UNEXPLAINED
        check.differences.append(difference("bar", f"{symbol} 1min", end, cause, what=what.code))
    check.checked += int((recorded.end > opens).sum())


def _why_missing(facts: Facts, end: int) -> Cause:
    "No engine ran, the feed was away, or nobody knows."
    if facts.running and not any(start < end <= stop for start, stop in facts.running):
        return Cause.ENGINE_DOWN
    return Cause.STALE_FEED if facts.feed_at(end) in _NOT_LIVE else Cause.UNEXPLAINED


def _doubled(facts: Facts, received: int) -> Cause:
    "A new engine sees again what the last one wrote; anything else must not be."
    return (
        Cause.RESTART
        if any(one.cause == "restart" and one.at <= received for one in facts.breaks)
        else Cause.UNEXPLAINED
    )


def _late(check: BarCheck, facts: Facts, symbol: str, opens: int, closes: int, limit: int) -> None:
    "One-minute bars known long after their end, replayed ones aside."
    bars, received = facts.bars[symbol].get(MINUTE_BARS), facts.received.get(symbol)
    if bars is None or received is None:
        return
    rows = np.flatnonzero((bars.end > opens) & (bars.end <= closes))
    check.checked += len(rows)
    for row in rows[received[rows] - bars.end[rows] > limit]:
        end, delay = int(bars.end[row]), (int(received[row]) - int(bars.end[row])) / SECOND
        state = facts.feed_at(int(received[row]))
        if state not in ("live", "stale", "down"):
            check.replayed += 1
        else:
            check.differences.append(
                difference(
                    "bar",
                    f"{symbol} 1min",
                    end,
                    Cause.STALE_FEED if facts.feed_at(end) in _NOT_LIVE else Cause.BAR_LATE,
                    what="late",
                    seconds=delay,
                )
            )


def _rebuild(check: BarCheck, facts: Facts, symbol: str, bars: Bars, opens: int) -> None:
    "A longer timeframe must be what the journal's one-minute bars make; a bar cut by a restart is not."
    minutes = facts.bars[symbol].get(MINUTE_BARS)
    if minutes is None or not len(bars):
        return
    made = aggregate(minutes, bars.timeframe)
    made, ours = made[(made.end > opens) & (made.end >= bars.end[0])], bars[bars.end > opens]
    _, at_ours, at_made = np.intersect1d(ours.end, made.end, return_indices=True)
    changed = np.any([getattr(ours, name)[at_ours] != getattr(made, name)[at_made] for name in _PRICES], axis=0)
    wrong = [(int(ours.start[row]), int(ours.end[row]), "changed", bool(ours.partial[row])) for row in at_ours[changed]]
    wrong += [
        (int(made.start[row]), int(made.end[row]), "missing", False)
        for row in np.setdiff1d(np.arange(len(made)), at_made)
    ]
    wrong += [
        (int(ours.start[row]), int(ours.end[row]), "extra", bool(ours.partial[row]))
        for row in np.setdiff1d(np.arange(len(ours)), at_ours)
    ]
    check.checked += len(made)
    for start, end, what, partial in wrong:
        cut = next((one for one in facts.breaks if start < one.at <= end or partial), None)
        cause = Cause.WARM_UP if partial else Cause.UNEXPLAINED
        if cut:
            cause = Cause.__members__[cut.cause.upper()]
        check.differences.append(difference("bar", f"{symbol} {bars.timeframe}", end, cause, what=what))
