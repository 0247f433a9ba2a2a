"""History for strategies that join a running engine whose journal does not reach far enough: the same as at a start,
fetched and aggregated in a
thread while the engine goes on, and taken over between two events. Until then the gate holds their entries back."""

import time
from collections import defaultdict, deque
from concurrent.futures import Future
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from futures_algo.config.model import DatabentoConfig
from futures_algo.core.types import DAY, Bar, FuturesAlgoError
from futures_algo.engine import position_sync as handover
from futures_algo.engine.replay import PAST_MINUTES, closed, warm
from futures_algo.engine.user_code import FIRST_SECONDS, user_code
from futures_algo.engine.warmup import in_background, warmup_bars
from futures_algo.journal.journal import Journal
from futures_algo.strategies.live import StrategyRunner

# closed bars of a series that warm one strategy: the engine waits meanwhile, a third of a second for three timeframes
LONGEST_PAST = 5_000
HISTORY_SECONDS = 300.0  # after which history that has not come is given up


class Asked(NamedTuple):
    "A strategy that waits for its past."

    runner: StrategyRunner
    bars: "Future[list[Bar]]"
    through: int  # ns UTC: where they end; what closed after that is in the journal
    keeps: bool  # it goes on with the model position of the runner before it
    began: float  # monotonic seconds


class LateHistory:
    "What was asked for, and its taking over."

    def __init__(self) -> None:
        self._asked: list[Asked] = []

    def ask(self, engine: Any, config: DatabentoConfig, runner: StrategyRunner, through: int, keeps: bool) -> None:
        "Begin to fetch for a runner that the journal could not warm."
        engine.journal.flush()  # the thread reads the file
        work = lambda: past_of(config, engine.journal.path, runner.symbol, list(runner.timeframes), through)
        self._asked.append(Asked(runner, in_background(work), through, keeps, time.monotonic()))
        _say(
            engine,
            runner,
            "info",
            f"the journal does not reach far enough: up to {config.warmup_days:g} days of history are being fetched",
        )

    def take(self, engine: Any) -> None:
        "Take over what has come, and give up what has not for too long; costs nothing when nothing was asked for."
        for asked in list(self._asked):
            late = time.monotonic() - asked.began > HISTORY_SECONDS
            if not asked.bars.done() and not late:
                continue
            self._asked.remove(asked)
            if not any(runner is asked.runner for runner in engine.runners):
                continue  # it was changed again, or left
            error = (
                asked.bars.exception() if asked.bars.done() else TimeoutError(f"nothing within {HISTORY_SECONDS:.0f} s")
            )
            if error:
                _say(
                    engine,
                    asked.runner,
                    "warning",
                    f"its history could not be had: {error}; it enters when the feed has warmed it",
                )
            elif asked.runner.is_ready():
                _say(engine, asked.runner, "info", "was warm before its history came")
            else:
                self._warm(engine, asked)

    def _warm(self, engine: Any, asked: Asked) -> None:
        runner, saved, reached = (
            asked.runner,
            asked.runner.save(),
            engine.pipeline.minutes.reached().get(asked.runner.symbol, -1),
        )
        since = [
            bar
            for timeframe in runner.timeframes
            for bar in engine.journal.bars(runner.symbol, timeframe, reached, LONGEST_PAST)
            if bar.end > asked.through
        ]
        runner.reset()
        try:
            with user_code(runner.name, FIRST_SECONDS):
                seen = warm(runner, chain(asked.bars.result(), since))
        except FuturesAlgoError as error:
            runner.restore(saved)
            return _say(engine, runner, "alarm", f"cannot be warmed from history: it raised {error}")
        if asked.keeps:
            runner.take_over_saved(saved)
        _say(
            engine,
            runner,
            "info",
            f"warmed from {seen} bars of history and journal:"
            f" {'ready' if runner.is_ready() else 'not ready, enters when it is'}",
        )
        if engine._is_present:
            handover._settle_one(engine, runner, engine.on_start)


def past_of(config: DatabentoConfig, path: Path, symbol: str, timeframes: list[str], through: int) -> list[Bar]:
    "The latest closed bars of a symbol that end by `through`: of the journal's minutes, and of history before them."
    with Journal(path, readonly=True) as journal:
        minutes = journal.bars(symbol, "1min", through, PAST_MINUTES)
    until = minutes[0].start if minutes else through
    older = warmup_bars(config.model_copy(update={"symbols": [symbol]}), until)
    kept: dict[str, deque[Bar]] = defaultdict(lambda: deque(maxlen=LONGEST_PAST))
    for moment in closed(chain(older, minutes), timeframes, through):
        for bar in moment:
            kept[bar.timeframe].append(bar)
    return [bar for bars in kept.values() for bar in bars]


def reach(engine: Any, symbol: str, config: DatabentoConfig, through: int) -> bool:
    "Whether the journal holds as much as would be fetched."
    first = engine.journal.rows("bars", "symbol = ? AND timeframe = '1min'", symbol, order='"end"', limit=1)
    return bool(first) and first[0]["start"] <= through - config.warmup_days * DAY


def _say(engine: Any, runner: StrategyRunner, level: str, message: str) -> None:
    engine.journal.add_event(engine.clock.now(), level, "warm-up", f"{runner.name}:{runner.symbol}", message)
