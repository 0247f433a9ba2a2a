"""A running engine follows its config file: a valid change is applied between two events of the feed, an invalid one is
said and changes nothing.

Strategies that did not change keep the very runner they had. New ones, and those whose parameters or code changed, are
warmed from the journal's bars
before they may enter, and from history, fetched meanwhile, where the journal is too short; a changed one goes on with
its model position, under the
exits that position was opened with.
"""

import time
from concurrent.futures import Future
from typing import Any, cast

from futures_algo.aggregator.pipeline import whole_minutes
from futures_algo.config.loading import config_hash
from futures_algo.config.mistakes import ConfigErrors
from futures_algo.core.types import MINUTE, SECOND, Bar, ConfigError, FuturesAlgoError, InputError, Timeframe
from futures_algo.engine import position_sync as handover
from futures_algo.engine.late_warmup import LONGEST_PAST, LateHistory, reach
from futures_algo.engine.replay import PAST_MINUTES, extend, warm
from futures_algo.engine.strategy_loader import Changes, Loaded, StrategyLoader, needed_timeframes
from futures_algo.engine.user_code import FIRST_SECONDS, user_code
from futures_algo.engine.warmup import in_background
from futures_algo.execution.gate import Limits

LOOK_PATIENCE = 0.5  # seconds the loop waits for a look at the files
RECORDED_PATIENCE = 60.0  # over recorded bars a change belongs to a moment of theirs: the look is waited for


class Reloader:
    "What the engine asks between events: has the config changed?"

    def __init__(self, loader: StrategyLoader) -> None:
        self.loader = loader
        self._next_look = (0.0, 0.0)  # seconds, by the engine's time and by the wall's: recorded time may stand still
        self._checked = self._applied = 0  # ns UTC, wall
        self._lines: list[str] = []  # the latest change
        self._told: list[str] = []  # errors that were said
        self._late = LateHistory()
        self._looking: Future[bool] | None = None  # a look under way

    def follow(self, engine: Any) -> None:
        "Look at the file when its time has come; apply what is valid, and take over history that has come."
        self._late.take(engine)
        if self._looking is not None:
            return self._take_look(engine, 0.0)
        now, every = (engine.elapsed(), time.monotonic()), self.loader.running.config.engine.reload_seconds
        if all(at < due for at, due in zip(now, self._next_look)):
            return
        self._next_look, self._checked = (now[0] + every, now[1] + every), time.time_ns()
        self._looking = in_background(self.loader.look)
        self._take_look(engine, RECORDED_PATIENCE if engine.is_recorded else LOOK_PATIENCE)

    def _take_look(self, engine: Any, seconds: float) -> None:
        "Act on what a look found. An import that takes long goes on in its thread, and the feed and exits meanwhile."
        if self._looking is None:
            return
        try:
            news = self._looking.result(seconds)
        except TimeoutError:
            return
        self._looking = None
        if news:
            self._act(engine)

    def now(self, engine: Any) -> str:
        "The `reload` command: what was changed, in words; what is wrong is raised."
        self._checked = time.time_ns()
        if self._looking is not None:
            raise InputError("reload", self.loader.path.name, "is being read", "ask again in a moment")
        self.loader.look_now()
        applied = self._act(engine)
        if self.loader.errors:
            raise ConfigErrors(cast(Any, self.loader.errors), self.loader.path.name)
        return "\n".join(applied.lines()) if applied else "the file equals the running config"

    def document(self) -> dict[str, Any]:
        "The status document `config`."
        state = "refused" if self.loader.errors else "current"
        return {
            "state": state,
            "file": str(self.loader.path),
            "checked": self._checked,
            "applied": self._applied,
            "changes": self._lines,
            "errors": [str(error) for error in self.loader.errors],
        }

    # --- one change

    def _act(self, engine: Any) -> Changes | None:
        "Apply what waits, or say what is wrong with it."
        applied = self._apply(engine) if self.loader.next else None
        self._tell(engine)
        return applied

    def _tell(self, engine: Any) -> None:
        "Each mistake once, and once that there is none any more."
        at, name = engine.clock.now(), self.loader.path.name
        errors = [str(error) for error in self.loader.errors]
        for error in self.loader.errors:
            if str(error) not in self._told:
                engine.journal.add_event(
                    at, "alarm", "config", name, f"{error}; the running config stays", path=getattr(error, "path", "")
                )
        if self._told and not errors:
            engine.journal.add_event(at, "info", "config", name, "the file is valid again")
        self._told = errors

    def _apply(self, engine: Any) -> Changes | None:
        loaded, before = cast(Any, self.loader.next)[0], list(engine.runners)
        past = _Past(engine)
        try:
            past.extend(needed_timeframes(loaded))
            changes = self.loader.apply(past.warm)
        except ConfigError as error:
            self.loader.errors, self.loader.next = [error], None
            return None
        _install(engine, loaded, self.loader.runners)
        self._applied, self._lines = time.time_ns(), changes.lines()
        with (
            engine.journal.together()
        ):  # an engine that goes on from before the change would decide by it where this one did not
            past.tell()
            _record(engine, loaded, changes, self.loader.path.name)
            engine.save()
        self._ask_history(engine, loaded, before, past)
        _hand_over(engine, before, loaded.config.engine.on_remove)
        _settle(engine, before)
        return changes

    def _ask_history(self, engine: Any, loaded: Loaded, before: list[Any], past: "_Past") -> None:
        "For runners that the journal could not warm, where the config allows history and the journal holds less of it."
        config, knew = loaded.config.databento, {(runner.name, runner.symbol) for runner in before}
        for runner in engine.runners:
            if runner in before or runner.is_ready() or not config.warmup_days:
                continue
            through = past.through.get(runner.symbol, engine.clock.now() // MINUTE * MINUTE)
            if not reach(engine, runner.symbol, config, through):
                self._late.ask(engine, config, runner, through, (runner.name, runner.symbol) in knew)


class _Past:
    """The journal's closed bars up to where the engine's stream stands; later ones, of a run before a restart, it will
    see again."""

    def __init__(self, engine: Any) -> None:
        self.engine, self.through = engine, engine.pipeline.minutes.reached()
        self._told: list[tuple[str, str, int]] = []  # subject, message, where its bars end

    def minutes(self, symbol: str) -> list[Bar]:
        return self.bars(symbol, Timeframe(1), PAST_MINUTES)

    def bars(self, symbol: str, timeframe: Timeframe, limit: int = LONGEST_PAST) -> list[Bar]:
        "The latest closed bars of a series, oldest first."
        return list(self.engine.journal.bars(symbol, timeframe, self.through.get(symbol, -1), limit))

    def extend(self, timeframes: Any) -> None:
        """Build more timeframes; what has closed of them goes into the journal, where strategies are warmed from and
        charts are drawn from."""
        journal, now, known = self.engine.journal, self.engine.clock.now(), {}
        self.engine.pipeline.add_fine(timeframes)
        for bar in extend(self.engine.pipeline.minutes, whole_minutes(timeframes), self.minutes):
            key = bar.symbol, bar.timeframe
            if key not in known:
                known[key] = {row["end"] for row in journal.rows("bars", "symbol = ? AND timeframe = ?", *key)}
            if bar.end not in known[key]:
                journal.add_bar(bar, now)

    def warm(self, runner: Any) -> int:
        past = [bar for timeframe in runner.timeframes for bar in self.bars(runner.symbol, timeframe)]
        try:
            with user_code(runner.name, FIRST_SECONDS):  # which here sees real bars for the first time
                seen = warm(runner, past)
        except FuturesAlgoError as error:
            raise ConfigError(
                "class",
                runner.strategy.class_path,
                f"must run over the bars there are, and raised {error}",
                "mend the code",
                f"strategies.{runner.name}.class",
            ) from error
        self._told.append(
            (
                f"{runner.name}:{runner.symbol}",
                f"warmed from {seen} bars: {'ready' if runner.is_ready() else 'not ready, enters when it is'}",
                self.through.get(runner.symbol, 0),
            )
        )
        return seen

    def tell(self) -> None:
        "What was warmed, once the change is made."
        for subject, message, stands in self._told:
            self.engine.journal.add_event(
                self.engine.clock.now(), "info", "warm-up", subject, message, stands=stands, through=self.engine.acted()
            )


def _install(engine: Any, loaded: Loaded, runners: list[Any]) -> None:
    "Everything that runs by the config, from its new content."
    from futures_algo.engine.build import translator_of

    config, execution = loaded.config, loaded.config.execution
    engine.follow(runners)
    engine.generator.priority = {name: entry.priority for name, entry in config.strategies.items()}
    engine.generator.cooldown = int(config.engine.signal_cooldown_s * SECOND)
    engine.executor.gate.limits, engine.executor.translator = (
        Limits.of(execution.limits),
        translator_of(config, runners),
    )
    engine._poll_every, engine._reconcile_every = (
        int(execution.poll_seconds * SECOND),
        int(execution.reconcile_seconds * SECOND),
    )
    engine.on_start, engine.on_stop = config.engine.on_start, config.engine.on_stop


def _record(engine: Any, loaded: Loaded, changes: Changes, name: str) -> None:
    "The new content and its hash, with what changed."
    from futures_algo.engine.build import note_scenarios, without_secrets

    content, at, before = without_secrets(loaded.content), engine.clock.now(), engine.config_hash
    engine.config_hash = config_hash(content)
    engine.journal.add_once("configs", hash=engine.config_hash, at=at, content=content)
    engine.journal.add_event(
        at,
        "info",
        "config",
        name,
        "applied: " + "; ".join(changes.lines()),
        before=before,
        after=engine.config_hash,
        through=engine.acted(),
        **changes.as_dict(),
    )
    if changes.added or any("scenario" in found for found in changes.changed.values()):
        note_scenarios(loaded.config, engine.journal, at)


def _hand_over(engine: Any, before: list[Any], on_remove: str) -> None:
    "What strategies that left still hold is closed, or kept and said."
    stay = {(runner.name, runner.symbol) for runner in engine.runners}
    for runner in before:
        if (runner.name, runner.symbol) in stay:
            continue
        held = dict.fromkeys(handover.entering(engine, runner), 0) | handover._held(
            engine, runner
        )  # an entry under way may fill yet
        for instrument, quantity in held.items():
            kept = f"keeps {quantity:+d} {instrument} without a strategy: flatten it, or put the strategy back"
            engine.journal.add_event(
                engine.clock.now(),
                "warning",
                "config",
                f"{runner.name}:{runner.symbol}",
                f"removed: {f'closing {quantity:+d} {instrument}' if on_remove == 'flatten' else kept}",
            )
            if on_remove == "flatten":
                engine.executor.close((runner.name, instrument), "on_remove")


def _settle(engine: Any, before: list[Any]) -> None:
    "A strategy that joins while the stream is at the present is compared with its ledger, as at a start."
    knew = {(runner.name, runner.symbol) for runner in before}
    for runner in engine.runners:
        if engine._is_present and (runner.name, runner.symbol) not in knew:
            handover._settle_one(engine, runner, engine.on_start)
