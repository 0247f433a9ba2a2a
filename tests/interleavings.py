"""What another machine's speed decides, drawn from a seed: how many events come between two looks, how fast the wall's
clock runs beside them, and
before which event somebody writes the config, gives a command, kills the engine or starts the next one.

A seed gives the same interleaving again, on every machine: the feed's real client on a real loopback gateway is read
event by event, and what is
drawn happens between two of them.
"""

import heapq
import json
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from futures_algo.core.sessions import SessionCalendar
from futures_algo.core.types import MINUTE, Bar, DataClock
from futures_algo.feed.events import FeedEvent, IntervalEnd
from futures_algo.history import write_dbn
from futures_algo.live.demo import DEMO_KEY, DEMO_TOKEN, Recording
from futures_algo.sim.market import generate_minutes

SILENCE = 60.0  # seconds of the wall's time without an event after which a stream counts as hung
CCI = "futures_algo.strategies.SimpleBullishCCIStrategy"


class Killed(BaseException):
    "kill -9: nothing of the engine runs any more."


class Hung(AssertionError):
    "The engine waited for what does not come."


def short_days(folder: Path, first_session, sessions: int, *symbols: str, minutes: int = 75) -> Recording:
    "Sessions of one-minute bars whose middle is left out: they open, close, pass a weekend and roll as whole ones do."
    path, bars = (
        folder / "short.ohlcv-1m.dbn.zst",
        {symbol: _ends(generate_minutes(symbol, sessions, first_session), minutes) for symbol in symbols},
    )
    write_dbn(path, bars)
    return Recording(path, "ohlcv-1m", bars)


def _ends(bars, minutes: int):
    "The first and the last minutes of each session."
    calendar = SessionCalendar.of(bars.symbol)
    dates = np.array([calendar.session_date(int(start)) for start in bars.start])
    bounds = {date: calendar.session_bounds(date) for date in set(dates)}
    near = [
        min(start - bounds[date][0], bounds[date][1] - start) <= minutes * MINUTE
        for start, date in zip(bars.start.tolist(), dates)
    ]
    return bars[np.array(near)]


class DrawnTime:
    "Stands in the engine's modules for `time`: how fast the wall's clock runs beside the events is drawn."

    def __init__(self, chance: random.Random):
        self.chance, self.pace, self.now = chance, 10 ** chance.uniform(-6, -1.5), time.monotonic()
        self.time_ns, self.sleep, self.gmtime, self.strftime = time.time_ns, time.sleep, time.gmtime, time.strftime

    def monotonic(self) -> float:
        "Seconds; each look at the clock finds it moved on by a drawn bit."
        self.now += self.chance.expovariate(1.0) * self.pace
        return self.now


class Schedule:
    "One seed's interleaving: what happens before which event of the stream, over all engines of the run."

    def __init__(self, seed: int):
        self.chance, self.count, self._order = random.Random(seed), 0, 0
        self.time, self.done, self._acts = DrawnTime(self.chance), [], []
        self.longest = int(10 ** self.chance.uniform(0.5, 3.5))  # events of a burst, at most

    def at(self, number: int, name: str, act: Callable[[], None]) -> None:
        "Before the event of this number, or the first one there is behind it."
        self._order += 1
        heapq.heappush(self._acts, (number, self._order, name, act))

    def draw(self, events: int, many: dict[str, tuple[int, Callable[[], None]]]) -> None:
        "So many of each act, before drawn events of the first `events`."
        for name, (times, act) in many.items():
            for _ in range(times):
                self.at(self.chance.randrange(1, events), name, act)

    def drive(self, feed) -> None:
        "Let this feed's events come in drawn bursts, and what is drawn happen between them."
        real, stream = feed.events, []

        def events(timeout: float | None = None) -> Iterator[FeedEvent]:
            if self.chance.random() < 0.05 and feed.state != "closed":
                return  # a look at which nothing has come
            if not stream:
                stream.append(self._endless(feed, real))
            left = self.chance.randint(1, self.longest)
            while left > 0 or feed.state == "closed":  # what a closed feed still had to say comes with it
                self._act()  # the event before has been handled, and the next one is not taken yet
                event, left = next(stream[0], None), left - 1
                if event is None:
                    return
                self.count += isinstance(event, Bar | IntervalEnd)
                yield event

        feed.events = events

    def _endless(self, feed, real) -> Iterator[FeedEvent]:
        deadline = time.monotonic() + SILENCE
        while feed.state != "closed":
            for event in real(0.25):
                deadline = time.monotonic() + SILENCE
                yield event
            if time.monotonic() > deadline:
                raise Hung(f"nothing came for {SILENCE:g} s: {feed}")

    def _act(self) -> None:
        while self._acts and self._acts[0][0] <= self.count:
            _, _, name, act = heapq.heappop(self._acts)
            self.done.append((self.count, name))
            act()

    @property
    def left(self) -> list[str]:
        return [name for _, _, name, _ in self._acts]


class World:
    """A config file, a gateway and a broker that outlive the engines, and the engines, one after the other, each read
    by the schedule."""

    def __init__(
        self, stack, recording: Recording, folder: Path, schedule: Schedule, strategies: dict, faults=(), **engine: Any
    ):
        from futures_algo.sim.broker import PaperBroker
        from futures_algo.sim.gateway import LoopbackGateway

        self.recording, self.schedule, self.folder, self.path, self.engine = (
            recording,
            schedule,
            folder,
            folder / "config.json",
            None,
        )
        self.gateway = stack.enter_context(
            LoopbackGateway({recording.schema: [recording.path]}, [DEMO_KEY], faults=faults)
        )
        self.broker = stack.enter_context(PaperBroker(recording.bars, DataClock(recording.start), "Sim101", DEMO_TOKEN))
        self.content = {
            "databento": {
                "api_key": DEMO_KEY,
                "symbols": list(recording.bars),
                "schema": recording.schema,
                "gateway": "127.0.0.1",
                "port": self.gateway.port,
            },
            "strategies": strategies,
            "execution": {
                "crosstrade_api_key": DEMO_TOKEN,
                "crosstrade_base_url": self.broker.url,
                "account": "Sim101",
                "dry_run": False,
                "reconcile_seconds": 900,
            },
            "engine": {"journal": str(folder / "journal.db"), "reload_seconds": 0.2} | engine,
            "logging": {"folder": str(folder / "logs")},
        }
        self.write()

    @property
    def journal_path(self) -> Path:
        return self.folder / "journal.db"

    def write(self) -> None:
        "As an editor does."
        draft = self.path.with_suffix(".draft")
        draft.write_text(json.dumps(self.content))
        os.replace(draft, self.path)

    def command(self, verb: str, **args: str) -> None:
        from futures_algo.journal.journal import Journal

        with Journal(self.journal_path) as journal:
            journal.command(verb, "test", **args)

    def kill(self) -> None:
        raise Killed

    def run(self) -> str:
        "Engines until one ends by itself; why it did."
        while True:
            try:
                return self._one()
            except Killed:
                pass

    def _one(self) -> str:
        from futures_algo.config.loading import load_config, read_config
        from futures_algo.engine.assembly import build_engine
        from futures_algo.journal.journal import Journal

        config, recording = load_config(self.path), self.recording
        journal = Journal(config.engine.journal)
        engine = self.engine = build_engine(
            config,
            read_config(self.path),
            journal,
            mode="simulation",
            clock=DataClock(recording.start),
            start=recording.start,
            end=recording.end,
            config_path=self.path,
        )
        self.schedule.drive(engine.feed)
        try:
            return engine.run()
        except Killed:
            journal._waiting = []  # what was not committed is lost with the process
            raise
        finally:
            engine.close()
            engine.feed.shutdown()
            journal.close()
