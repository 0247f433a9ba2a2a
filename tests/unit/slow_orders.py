"""A slow event loop of the rules in `guides/fills`, written from its words alone: plain numbers, one bar after another.

It shares nothing with the order model but the bars, the answers of the conditions and the calendar's closes.
"""

import math
from typing import NamedTuple


class Rules(NamedTuple):
    "What the strategy declares, ticks as numbers of ticks."

    tick: float
    stop: float = 0
    target: float = 0
    trail: float = 0
    trail_atr: float = 0
    break_even: float = 0
    bars_held: int = 0
    before_close: int = -1  # ns before the session's close within which a bar's end leaves; -1 never
    limit: str = "through"


class Inner(NamedTuple):
    open: float
    high: float
    low: float
    end: int
    moves: bool  # a bar of `manage_on` closes with it, before the base bar does


class Bar(NamedTuple):
    "A base bar and what is known when it has closed."

    start: int
    end: int
    open: float
    high: float
    low: float
    close: float
    contract: int
    segment: int  # when trading stops next
    session_close: int
    atr: float
    buy: bool
    leave_long: bool
    sell: bool
    leave_short: bool
    prices: tuple  # stop and target of a long, of a short; None where not declared
    inner: tuple  # `Inner`s; empty: the bar itself


class Trade(NamedTuple):
    entry_row: int
    exit_row: int
    side: int
    entry: float
    exit: float
    reason: str
    exit_time: int


def down(price, tick):
    return math.floor(price / tick + 1e-6) * tick


def up(price, tick):
    return math.ceil(price / tick - 1e-6) * tick


def equal_or_beyond(price, level, tick):
    return price >= level - 1e-6 * tick


class Position:
    "One open position with its pair."

    def __init__(self, rules, side, price, row, atr, stop, target):
        self.rules, self.side, self.entry, self.row = rules, side, price, row
        self.best, self.bars, self.stop, self.kind, self.target = price, 0, None, "", None
        tick = rules.tick
        if rules.stop:
            self.nearer(price - side * rules.stop * tick, "stop_order")
        if stop is not None:
            self.nearer(stop, "stop_order")
        if rules.trail:
            self.nearer(price - side * rules.trail * tick, "trail_order")
        if rules.trail_atr:
            self.nearer(price - side * rules.trail_atr * atr, "trail_order")
        targets = [price + side * rules.target * tick] if rules.target else []
        targets += [] if target is None else [target]
        if targets:
            wanted = min(targets) if side > 0 else max(targets)
            self.target = up(wanted, tick) if side > 0 else down(wanted, tick)

    def nearer(self, level, kind):
        level = down(level, self.rules.tick) if self.side > 0 else up(level, self.rules.tick)
        if self.stop is None or (level - self.stop) * self.side > 1e-6 * self.rules.tick:
            self.stop, self.kind = level, kind

    def meets(self, bar):
        "The fill of the pair in one inner bar: price and reason, or None."
        tick, side = self.rules.tick, self.side
        # seen from a short everything is turned round
        turn = lambda price: price * side
        opened, worst = turn(bar.open), turn(bar.low if side > 0 else bar.high)
        best = turn(bar.high if side > 0 else bar.low)
        stop = None if self.stop is None else turn(self.stop)
        target = None if self.target is None else turn(self.target)
        further = tick if self.rules.limit == "through" else 0
        beyond = None if target is None else target + further
        if stop is not None and equal_or_beyond(stop, opened, tick):
            return bar.open, self.kind
        if beyond is not None and equal_or_beyond(opened, beyond, tick):
            return bar.open, "target_order"
        if stop is not None and equal_or_beyond(stop, worst, tick):
            return self.stop, self.kind
        if beyond is not None and equal_or_beyond(best, beyond, tick):
            return self.target, "target_order"
        self.best = max(self.best * side, best) * side
        return None

    def move(self, atr):
        tick, side = self.rules.tick, self.side
        distances = [self.rules.trail * tick] if self.rules.trail else []
        if self.rules.trail_atr and atr == atr and atr > 0:
            distances.append(self.rules.trail_atr * atr)
        if distances:
            self.nearer(self.best - side * min(distances), "trail_order")
        if self.rules.break_even and equal_or_beyond(
            (self.best - self.entry) * side, self.rules.break_even * tick, tick
        ):
            self.nearer(self.entry, "break_even_order")


def run(bars, rules):
    "Closed trades."
    trades, held, entering, leaving = [], None, None, ""
    before = None
    for row, bar in enumerate(bars):
        rolled = before is not None and bar.contract != before.contract
        if held and leaving:
            price, at = (before.close, before.end) if rolled else (bar.open, bar.start)
            trades.append(Trade(held.row, row, held.side, held.entry, price, leaving, at))
            held = None
        leaving = ""
        if entering and not rolled and bar.segment == before.segment:
            side, (stop, target) = entering, before.prices[:2] if entering > 0 else before.prices[2:]
            held = Position(rules, side, bar.open, row, before.atr, stop, target)
        entering = None
        just_rolled = False
        if held and rolled:
            trades.append(Trade(held.row, row, held.side, held.entry, before.close, "roll", before.end))
            held, just_rolled = None, True
        for inner in bar.inner or (Inner(bar.open, bar.high, bar.low, bar.end, False),):
            if held and (found := held.meets(inner)):
                trades.append(Trade(held.row, row, held.side, held.entry, *found, inner.end))
                held = None
            if held and inner.moves:
                held.move(before.atr if before else math.nan)
        entering, leaving = decide(bar, rules, held, just_rolled)
        if held and not leaving:
            held.move(bar.atr)
        before = bar
    return trades


def decide(bar, rules, held, just_rolled):
    "Side to enter and reason to leave, when a base bar has closed."
    closing = rules.before_close >= 0 and bar.end >= bar.session_close - rules.before_close
    buy, sell = (allowed(bar, rules, side) and asked for side, asked in ((1, bar.buy), (-1, bar.sell)))
    if just_rolled:
        return None, ""
    if not held:
        if closing or not (buy or sell):
            return None, ""
        return (1 if buy else -1), ""
    held.bars += 1
    opposite = sell if held.side > 0 else buy
    if bar.leave_long if held.side > 0 else bar.leave_short:
        why = "rule"
    elif rules.bars_held and held.bars >= rules.bars_held:
        why = "bars_held"
    elif closing:
        why = "end_of_session"
    else:
        why = "reverse" if opposite else ""
    return (-held.side if why and opposite and not closing else None), why


def allowed(bar, rules, side):
    "Whether an entry may be decided on this bar."
    if bar.end >= bar.segment or (rules.trail_atr and not bar.atr > 0):
        return False
    stop, target = bar.prices[:2] if side > 0 else bar.prices[2:]
    near = rules.tick * (1 - 1e-6)
    for level, beyond in ((stop, -1), (target, 1)):
        if level is None:
            continue
        if level != level:
            return False
        away = side * beyond > 0
        level = up(level, rules.tick) if away else down(level, rules.tick)
        if (level - bar.close) * side * beyond < near:
            return False
    return True
