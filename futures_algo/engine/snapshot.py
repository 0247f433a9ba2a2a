"""What an engine keeps for its successor: after a restart indicators, open periods and model positions go on bit for
bit.

A snapshot is taken between two events of the feed, with the feed's own position in it. The next engine resumes the feed
exactly there, so it sees
once more what came after the snapshot: bars the journal holds are not written again, and signals it holds are not
judged again.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import wait
from typing import Any

from futures_algo.aggregator.pipeline import by_instant
from futures_algo.core.sessions import SessionCalendar
from futures_algo.core.types import SECOND, Bar, FuturesAlgoError, InputError
from futures_algo.engine.replay import PAST_MINUTES, closed, grow, warm
from futures_algo.engine.user_code import FIRST_SECONDS, user_code
from futures_algo.feed.events import Position, clock_text
from futures_algo.strategies.live import StrategyRunner

MOMENT_SECONDS = 60.0  # that an engine may take to start again; older commands of the moment were meant for another one
_OF_THE_MOMENT = ("resume", "enable", "stop", "adopt", "unlock", "give_up")


def save(engine: Any) -> None:
    "Keep what the engine knows now; nothing before the feed has a position."
    position = engine.feed.position
    if position is None:
        return
    content = {
        "position": [position.closed_through, dict(position.last), dict(position.contracts)],
        "pipeline": engine.pipeline.save(),
        "runners": {_key(runner): runner.save() for runner in engine.runners if not engine.is_broken(runner)},
        "cooldowns": [[*key, at] for key, at in engine.generator.last_actions.items()],
        "silent": {_key(one.runner): one.silent_through for one in engine.generator.strategies},
    }
    engine.journal.put("snapshots", key="engine", at=engine.clock.now(), content=content)


def last_moment(saved: dict[str, Any], journal: Any) -> int:
    "ns UTC up to which the engine before this one had come: time over recorded bars does not run backwards."
    decided = (
        journal.rows(table, order=f"{column} DESC", limit=1)
        for table, column in (("signals", "bar_end"), ("intents", "at"), ("order_events", "at"))
    )
    moments: list[int] = [
        saved["position"][0],
        *journal.ends().values(),
        *(max(row.get("bar_end", 0), row["at"]) for rows in decided for row in rows),
    ]
    return max(moments)


def load(
    journal: Any,
    oldest: int = 0,  # ns UTC: a feed replays no further back
    symbols: Iterable[str] = (),  # of the feed
) -> dict[str, Any] | None:
    """The journal's snapshot; None when there is none, or when more traded since than the feed replays. A weekend in
    which nothing traded is passed over."""
    row = journal.one("snapshots", "key", "engine")
    content: dict[str, Any] | None = json.loads(row["content"]) if row else None
    if not content or content["position"][0] >= oldest:
        return content
    stopped, last, _ = content["position"]
    if not symbols or any(SessionCalendar.of(symbol).minutes_expected(stopped, oldest) for symbol in symbols):
        return None
    return content | {"position": [oldest, last, {}]}  # what the symbols mean is asked anew


def position_of(saved: dict[str, Any]) -> Position:
    "Where the feed goes on."
    return Position(*saved["position"])


def restore(engine: Any, saved: dict[str, Any]) -> None:
    "Put a new engine where the saved one was; what is new since then is built from the journal's minutes."
    through, aggregator = saved["position"][0], engine.pipeline.minutes
    minutes = {
        symbol: engine.journal.bars(symbol, "1min", through, PAST_MINUTES) for symbol in saved["pipeline"]["symbols"]
    }
    grow(saved["pipeline"]["minutes"], aggregator.timeframes, lambda symbol: minutes.get(symbol, []))
    engine.pipeline.restore(saved["pipeline"])
    engine.generator.last_actions.update(
        {(strategy, symbol, action): at for strategy, symbol, action, at in saved["cooldowns"]}
    )

    def past(symbol: str, timeframes: Any) -> list[Bar]:
        clock = saved["pipeline"]["minutes"].get(symbol, {}).get("clock", 0)
        return [bar for moment in closed(minutes.get(symbol, []), timeframes, clock) for bar in moment]

    for symbol in minutes:
        aggregator.remember(past(symbol, aggregator.timeframes))
    for one in engine.generator.strategies:
        try:
            with user_code(one.name, FIRST_SECONDS):  # which is warmed here
                goes_on = _restore_runner(engine, one.runner, saved["runners"].get(_key(one.runner)), past, through)
        except FuturesAlgoError as error:
            one.fail(error)
        else:
            one.silent_through = (
                saved.get("silent", {}).get(_key(one.runner), 0) if goes_on else engine.acted().get(one.symbol, 0)
            )  # the engine before decided there, by what held then


def _restore_runner(
    engine: Any,
    runner: StrategyRunner,
    saved: dict[str, Any] | None,
    past: Callable[[str, Iterable[str]], list[Bar]],
    through: int,
) -> bool:
    "Whether it goes on bit for bit; else it is warmed up to where the stream is resumed."
    at, name, stands = engine.clock.now(), _key(runner), engine.pipeline.minutes.reached().get(runner.symbol, through)
    try:
        if saved is None:
            raise InputError("saved state", name, "must have been saved", "it is new")
        runner.restore(saved)
        engine.journal.add_event(
            at, "info", "warm-up", name, f"continues from {clock_text(through)}", stands=stands, through=engine.acted()
        )
        return True
    except InputError as error:
        runner.reset()
        seen = warm(runner, past(runner.symbol, runner.timeframes))
        if saved:
            runner.take_over_saved(saved)
        engine.journal.add_event(
            at,
            "info",
            "warm-up",
            name,
            f"warmed from {seen} bars of the journal{', keeps its position' if saved else ''} ({error})",
            stands=stands,
            through=engine.acted(),
        )
        return False


def fetched(engine: Any, history: Callable[[], Iterable[Bar]]) -> Iterator[Bar]:
    """The history's bars. Its first one takes as long as the fetching does: the engine goes on beating, and stops
    waiting when it is told to stop."""
    from futures_algo.engine.warmup import in_background

    bars = iter(history())
    first = in_background(lambda: next(bars, None))
    while not first.done():
        engine.heartbeat()
        if engine.stop_reason:
            return
        wait([first], 0.1)
    if (bar := first.result()) is not None:
        yield bar
    yield from bars


def warm_up(engine: Any, minutes: Iterable[Bar]) -> None:
    """Let pipeline and strategies see the minutes before the feed's first bar; their signals are the past's and go
    nowhere."""
    seen, pipeline = 0, engine.pipeline
    for bar in minutes:
        engine.heartbeat()
        if engine.stop_reason:
            break
        pipeline.symbols.setdefault(bar.symbol)
        seen += 1
        for moment in by_instant(pipeline.minutes.push(bar)):
            for done in moment:
                engine.journal_bar(done, bar.end)
            for runner in engine.generator.strategies:
                if runner.symbol == bar.symbol:
                    runner.on_bars(moment)
    engine.journal.add_event(engine.clock.now(), "info", "warm-up", "history", f"{seen:,} one-minute bars of history")


def _key(runner: StrategyRunner) -> str:
    return f"{runner.name}:{runner.symbol}"


def remember_commands(engine: Any) -> None:
    """What people decided stays decided: the trading state, and which strategies are disabled. What they asked an
    engine that was not there is carried out only where it makes safer."""
    for command in engine.journal.new_commands():
        if command["verb"] in _OF_THE_MOMENT and command["at"] < time.time_ns() - MOMENT_SECONDS * SECOND:
            engine.journal.acknowledge(command["id"], "refused", "asked long before this engine was started: ask again")
    books, trading = engine.executor.books, engine.journal.status().get("trading", {})
    if trading.get("state") in ("HALTED", "REDUCING"):
        books.trading, books.trading_reason = trading["state"], trading.get("reason", "")
        engine.trading_state = (trading["state"], trading.get("since", 0))
    for row in engine.journal.rows(
        "commands", "state = 'done' AND verb IN ('enable', 'disable')", order="acked_at, rowid"
    ):
        args = _arguments(row["args"])
        name = args.get("strategy", args.get("name", ""))
        (books.disabled.add if row["verb"] == "disable" else books.disabled.discard)(name)


def _arguments(text: str) -> dict[str, str]:
    "Of a command in the journal; none where they cannot be read."
    try:
        found = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
