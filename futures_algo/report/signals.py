"""The session's signals, computed again three ways: over the recording, over the journal's bars, and bar by bar with
the engine's starts and reloads in their places."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, cast

import numpy as np

from futures_algo.core.types import HOUR, SECOND, Bar, Bars, Signal
from futures_algo.report.bars import MINUTE_BARS, BarCheck, difference
from futures_algo.report.causes import Cause
from futures_algo.report.facts import Break, Facts, Version, code_now, versions_of
from futures_algo.strategies.batch import Market, decisions, signals_of
from futures_algo.strategies.checks import Difference
from futures_algo.strategies.live import StrategyRunner
from futures_algo.strategies.position import RESTED

_REASONS = {
    "flatten": Cause.FLATTEN,
    "align": Cause.ON_START,
    "on_start": Cause.ON_START,
    "on_stop": Cause.FLATTEN,
    "reversal": Cause.REVERSAL,
    "on_remove": Cause.CONFIG_CHANGE,
    "removed": Cause.CONFIG_CHANGE,
    "touched_not_filled": Cause.TOUCHED_NOT_FILLED,
    "unprotected": Cause.UNPROTECTED,
    "stop_at_market": Cause.STOP_AT_MARKET,
}  # signals that no strategy made
_COMPARED = ("contract", "action", "price", "quantity", "reason")


@dataclass
class SignalCheck:
    "What was found; `model` are the signals research has in the session, `bars` the base bars they were decided on."

    checked: int = 0
    differences: list[Difference] = field(default_factory=list)
    model: dict[str, Signal] = field(default_factory=dict)
    bars: dict[str, Bars] = field(default_factory=dict)  # signal id -> base bars of its strategy
    held: dict[tuple[str, str], int] = field(
        default_factory=dict
    )  # (strategy, contract) -> signed contracts of the model when the session began
    causes: dict[str, Cause] = field(default_factory=dict)  # signal id -> why research and the session differ in it


def check_signals(facts: Facts, recorded: dict[str, Bars], bar_check: BarCheck) -> SignalCheck:
    check = SignalCheck()
    versions, failed = versions_of(facts)
    markets = {symbol: Market(bars[MINUTE_BARS]) for symbol, bars in facts.bars.items() if MINUTE_BARS in bars}
    theirs = {symbol: Market(bars) for symbol, bars in recorded.items()}
    lines = {(one.name, one.symbol) for one in versions} | {
        (row["strategy"], row["symbol"]) for row in facts.tables["signals"] if row["strategy"] in failed
    }
    for name, symbol in sorted(lines):
        if symbol not in markets:
            continue
        line = Line(
            facts,
            name,
            symbol,
            [one for one in versions if (one.name, one.symbol) == (name, symbol)],
            markets[symbol],
            theirs.get(symbol),
            bar_check.faults.get(symbol, []),
        )
        line.check(check, failed.get(name, ""))
    _check_foreign(check, facts, lines)
    return check


def _check_foreign(check: SignalCheck, facts: Facts, lines: set[tuple[str, str]]) -> None:
    "Signals of no strategy in the config: of a person, or of nobody."
    for row in facts.tables["signals"]:
        if (row["strategy"], row["symbol"]) in lines:
            continue
        cause = _REASONS.get(row["reason"], Cause.BY_HAND if row["strategy"] == "manual" else Cause.UNEXPLAINED)
        check.checked += 1
        _note(
            check,
            "extra",
            row["id"],
            row["bar_end"],
            cause,
            strategy=row["strategy"],
            symbol=row["symbol"],
            action=row["action"],
        )


def _note(check: SignalCheck, what: str, identity: str, at: int, cause: Cause, **detail: Any) -> None:
    check.causes[identity] = cause
    check.differences.append(difference("signal", identity, at, cause, what=what, **detail))


@dataclass
class Line:
    "One strategy on one symbol in one session."

    facts: Facts
    name: str
    symbol: str
    versions: list[Version]
    ours: Market  # of the journal's bars
    theirs: "Market | None"  # of the recording
    faults: list[tuple[int, Cause]]  # bars the two disagree on

    # --- the ways to the signals

    def over(self, market: Market) -> tuple[dict[str, Signal], dict[str, Bars], dict[str, int]]:
        "Research over a market: signals of the session by id, their base bars, and the contracts held when it began."
        opens, closes = self.facts.bounds(self.symbol)
        found: dict[str, Signal] = {}
        bars: dict[str, Bars] = {}
        held: dict[str, int] = {}
        for one in self.versions:
            base = market.bars(one.strategy.base_timeframe)
            for signal in signals_of(
                one.strategy, self.name, market, base, decisions(one.strategy, market), one.quantity
            ):
                if not one.since < signal.bar_end <= one.until:
                    continue
                if opens < signal.bar_end <= closes:
                    found[signal.id], bars[signal.id] = signal, base
                if signal.bar_end <= opens:
                    held[signal.contract] = held.get(signal.contract, 0) + signed(signal.action) * signal.quantity
        return found, bars, {contract: quantity for contract, quantity in held.items() if quantity}

    @cached_property
    def journal_model(self) -> dict[str, Signal]:
        return self.over(self.ours)[0]

    @cached_property
    def expected(self) -> tuple[dict[str, Signal], dict[str, Bars], dict[str, int]]:
        return self.over(self.theirs or self.ours)

    @cached_property
    def live(self) -> dict[str, dict[str, Any]]:
        return {
            row["id"]: row
            for row in self.facts.tables["signals"]
            if (row["strategy"], row["symbol"]) == (self.name, self.symbol)
        }

    @cached_property
    def breaks(self) -> list[Break]:
        "What happened to this strategy's state."
        mine = ("", self.name, f"{self.name}:{self.symbol}")
        return [one for one in self.facts.breaks if one.who in mine and one.how != "continue"]

    @cached_property
    def replayed(self) -> list[dict[str, Signal]]:
        """Bar by bar over the bars as they were written, with the starts and reloads in their places; a bar that ended
        at the very moment of one counts before it, or after."""
        sides: tuple[Literal["right"], Literal["left"]] = ("right", "left")
        return [{signal.id: signal for signal in self._replay(side)} for side in sides]

    def _replay(self, side: Literal["left", "right"]) -> Iterator[Signal]:
        runner: StrategyRunner | None = None
        kept: dict[str, Any] = {}  # the state it had where the next one is taken over from
        for moments, begin, end, one, how, at, stands, keep in self._stretches(side):
            if runner is None or how != "sizing":
                runner = self._begin(kept, one, how, moments, begin, at, stands)
            else:
                runner.sizing = StrategyRunner(one.strategy, self.name, self.symbol, one.quantity).sizing
            keep = min(max(keep, begin), end)
            for moment in moments[begin:keep]:
                yield from runner.on_bars(moment)
            kept = runner.save()
            for moment in moments[keep:end]:
                yield from runner.on_bars(moment)

    def _begin(
        self, kept: dict[str, Any], one: Version, how: str, moments: list[list[Bar]], begin: int, at: int, stands: int
    ) -> StrategyRunner:
        """A runner as the engine made it then: warmed up to where the stream stood, silent over what was decided on
        already."""
        runner = StrategyRunner(one.strategy, self.name, self.symbol, one.quantity)
        hours = float(self.facts.config_at(at).get("databento", {}).get("replay_hours", 24)) if how == "replay" else 1e6
        warmed = sum(moment[0].end <= stands for moment in moments[:begin])
        for moment in moments[:warmed]:
            if moment[0].end > at - hours * HOUR:
                runner.on_bars(moment)
        if how == "take_over" and kept:
            runner.take_over_saved(kept)
        for moment in moments[warmed:begin]:
            runner.on_bars(moment)
        return runner

    def _stretches(
        self, side: Literal["left", "right"]
    ) -> Iterator[tuple[list[list[Bar]], int, int, Version, str, int, int, int]]:
        """Between two breaks: the moments of the version in force, from which to which, how it began and when, where
        the stream stood then, and up to which it will have come for the next one."""
        breaks = {one.of(self.symbol): one for one in self.breaks if one.how != "told"}
        cuts = {one.since: self._how_begun(one) for one in self.versions} | {at: one.how for at, one in breaks.items()}
        stood = {at: at for at in cuts} | {
            at: min(at, one.stands) for at, one in breaks.items() if at in cuts and one.stands is not None
        }
        sides = {at: "right" if at in breaks and breaks[at].through else side for at in cuts} | {
            1 << 62: side
        }  # where the journal tells the bar there is nothing to try
        times = sorted(cuts)
        for at, until in zip(times, [*times[1:], 1 << 62]):
            one = next((one for one in self.versions if one.since <= at < one.until), None)
            if one is None:
                continue
            moments = self._moments(one)
            ends = np.array([moment[0].end for moment in moments], np.int64)
            end = min(until, one.until)
            yield (
                moments,
                int(np.searchsorted(ends, at, sides[at])),
                int(np.searchsorted(ends, end, sides.get(end, side))),
                one,
                cuts[at],
                at,
                stood[at],
                int(np.searchsorted(ends, stood.get(until, until), "right")),
            )

    def _how_begun(self, version: Version) -> str:
        "A version that follows another of equal parameters differs in size alone."
        before = next((one for one in self.versions if one.until == version.since), None)
        return "sizing" if before and before.strategy.config_hash() == version.strategy.config_hash() else "warm"

    def _moments(self, one: Version) -> list[list[Bar]]:
        "The journal's bars of the strategy's timeframes that closed together."
        kept = [bars for timeframe, bars in self.facts.bars[self.symbol].items() if timeframe in one.strategy.fed]
        rows = sorted((bar for bars in kept for bar in bars), key=lambda bar: (bar.end, bar.end - bar.start))
        found: list[list[Bar]] = []
        for bar in rows:
            if found and found[-1][0].end == bar.end:
                found[-1].append(bar)
            else:
                found.append([bar])
        return found

    # --- comparing

    def check(self, check: SignalCheck, failure: str) -> None:
        "Expected signals against the journal's, oldest first."
        expected, bars, held = self.expected
        check.held |= {(self.name, contract): quantity for contract, quantity in held.items()}
        check.model |= expected
        check.bars |= bars
        ends = {identity: signal.bar_end for identity, signal in expected.items()}
        ends |= {identity: row["bar_end"] for identity, row in self.live.items()}
        for identity, at in sorted(ends.items(), key=lambda pair: pair[1]):
            check.checked += 1
            model, row = expected.get(identity), self.live.get(identity)
            if model and row and not (changes := _changes(model, row)):
                continue
            what = "missing" if model else "extra"
            if model and row:
                what = "changed"
            cause, why = self._explain(identity, model, row, at) if not failure else (Cause.CODE_CHANGE, failure)
            told = cast(dict, model._asdict() if model else row)  # one of the two is there
            detail = {"strategy": self.name, "symbol": self.symbol, "action": told["action"], "why": why} | (
                {"changes": changes} if what == "changed" else {}
            )
            _note(check, what, identity, at, cause, **detail)

    def _explain(self, identity: str, model: "Signal | None", row: "dict | None", at: int) -> tuple[Cause, str]:
        "The first cause that is proven by another way to the signals, or by what the journal says happened."
        if row and row["reason"] in _REASONS:
            return _REASONS[row["reason"]], ""
        if resting := self._of_resting(model, row, at):
            return resting
        if row and not model and row["config_hash"] not in {one.strategy.config_hash() for one in self.versions}:
            return self._of_unknown_code(at)
        if self.theirs and _same(self.journal_model.get(identity), row):
            return self._of_bars(at)
        if model and not row and self._is_cooled(model):
            return Cause.COOLDOWN, ""
        if model and not row and any(one.cause == "restart" and one.of(self.symbol) == at for one in self.breaks):
            return Cause.RESTART, "the engine died on this bar, before it wrote what it had decided"
        if (then := self._code_then(at)) and then != self._code_now:
            return self._of_other_code(at, then)
        if self.breaks and self.breaks[0].of(self.symbol) <= at and (broken := self._of_break(identity, row, at)):
            return broken
        if not self._is_warm(at) and self._knew_more():
            return Cause.WARM_UP, "the engine was warmed from history that the journal does not hold"
        return Cause.UNEXPLAINED, "equal bars, parameters and state give another signal"

    def _of_resting(self, model: "Signal | None", row: "dict | None", at: int) -> tuple[Cause, str] | None:
        """A resting order that went another way at the broker, or before this moment; a pair that hung on the entry's
        fill."""
        if not any(one.strategy.rests for one in self.versions):
            return None
        before = [(when, told) for when, told in self._resting_events if when <= at + self._patience]
        if before and (cause := Cause.__members__.get(before[-1][1].upper())):
            return cause, "from there on the model followed the broker"
        rested = row and model and row["reason"] in RESTED and row["reason"] == model.reason
        return (Cause.ENTRY_FILL, "its prices hang on the entry's fill") if rested else None

    @cached_property
    def _resting_events(self) -> list[tuple[int, str]]:
        "When resting orders of this strategy went another way, and how."
        rows = [row for row in self.facts.tables["events"] if row["kind"] == "resting"]
        told = [
            (row["at"], json.loads(row["data"] or "{}").get("cause", ""))
            for row in rows
            if row["subject"].split(" ")[0] == self.name
        ]
        return [one for one in told if one[1]]

    @property
    def _patience(self) -> int:
        "A difference is told when the next base bar has closed."
        return 2 * max(one.strategy.base_timeframe.nanos for one in self.versions)

    def _code_then(self, at: int) -> str:
        """Identity of the code at a moment, as the reloads of the journal tell it; empty where they do not, or
        contradict each other (it was changed while no engine ran)."""
        told = [(one.at, *one.code) for one in self.breaks if one.code]
        before = [new for moment, _, new in told if moment < at]
        after = [old for moment, old, _ in told if moment >= at]
        known = {*before[-1:], *after[:1]}
        return known.pop() if len(known) == 1 else ""

    @cached_property
    def _code_now(self) -> str:
        return code_now(self._entry)

    def _of_other_code(self, at: int, then: str) -> tuple[Cause, str]:
        "What ran cannot be run again: that the code was another is proven, not that it decided otherwise for it."
        reloaded = any(one.code and one.at >= at for one in self.breaks)
        return (
            Cause.RELOAD if reloaded else Cause.CODE_CHANGE,
            f"the code was {then[:8]} then and is {self._code_now[:8] or 'the library'} now",
        )

    @property
    def _entry(self) -> dict[str, Any]:
        "The strategy's entry in the newest config that has it."
        return next(
            row["content"]["strategies"][self.name]
            for row in reversed(self.facts.configs)
            if self.name in row["content"].get("strategies", {})
        )

    def _of_unknown_code(self, at: int) -> tuple[Cause, str]:
        changed = [one for one in self.breaks if one.cause in ("config_change", "reload") and one.at <= at + HOUR]
        return (
            (Cause.__members__[changed[-1].cause.upper()], changed[-1].detail)
            if changed
            else (Cause.CODE_CHANGE, "no config of the journal gives these parameters")
        )

    def _of_bars(self, at: int) -> tuple[Cause, str]:
        "Over the journal's bars research decides as the engine did: the bars are why."
        before = [fault for fault in self.faults if self.ours.source.end[0] <= fault[0] <= at]
        if before:
            return before[-1][1], f"the bar that ended {difference('', '', before[-1][0], Cause.UNEXPLAINED).at}"
        if self.theirs and self.theirs.source.end[0] < self.ours.source.end[0]:
            return Cause.WARM_UP, "the recording begins before the journal"
        return Cause.UNEXPLAINED, "the bars are equal and research differs over them"

    def _is_cooled(self, model: Signal) -> bool:
        "Whether the same action was taken so shortly before that a repeat is dropped."
        seconds = float(self.facts.config_at(model.bar_end).get("engine", {}).get("signal_cooldown_s", 0))
        return model.is_entry and any(
            0 < model.bar_end - row["bar_end"] < seconds * SECOND and row["action"] == model.action
            for row in self.live.values()
        )

    def _of_break(self, identity: str, row: "dict | None", at: int) -> "tuple[Cause, str] | None":
        "A strategy begun anew at the breaks decides as the engine did."
        last = next(one for one in reversed(self.breaks) if one.of(self.symbol) <= at)
        if any(_same(way.get(identity), row) for way in self.replayed):
            return Cause.__members__[last.cause.upper()], f"proven by replay; {last.detail}"
        return None

    def _knew_more(self) -> bool:
        "Whether the engine said it warmed this strategy from history."
        return any(
            event["kind"] == "warm-up"
            and event["subject"] in (self.name, f"{self.name}:{self.symbol}")
            and "history" in event["message"]
            for event in self.facts.history
        )

    def _is_warm(self, at: int) -> bool:
        "Whether the journal's bars before a moment are enough for every indicator."
        for one in self.versions:
            for timeframe, indicators in one.strategy.plan.items():
                seen = int(np.searchsorted(self.ours.bars(timeframe).end, at, "right"))
                if any(
                    seen <= (indicator.converge if indicator.converge is not None else indicator.first_valid)
                    for indicator in indicators
                ):
                    return False
        return True


def signed(action: str) -> int:
    "+1 where an action buys, -1 where it sells."
    return 1 if action in ("LONG_ENTRY", "SHORT_EXIT") else -1


def _changes(model: Signal, row: dict[str, Any]) -> dict[str, list]:
    "What differs between two signals of one id."
    return {name: [getattr(model, name), row[name]] for name in _COMPARED if getattr(model, name) != row[name]}


def _same(model: "Signal | None", row: "dict | None") -> bool:
    if model is None or row is None:
        return model is row
    return not _changes(model, row)
