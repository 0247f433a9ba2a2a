"""A watchdog over the engine's process: what dies or hangs is started again, and recovers by reconciliation.

A clean end is final, and so is an engine that could not start (bad config, another engine on the journal). Anything
else is a crash: it is started
again after a pause that grows with each crash and shrinks when an engine has lived a while. A supervisor that is killed
itself leaves its engine
trading: the engine notices, says so in the journal and sees to its alerts itself, but nothing starts it again; stop it
and start a new supervisor.
"""

import logging
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from futures_algo.journal.journal import Journal, JournalError
from futures_algo.live.shutdown import on_signals

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds before the next start
LIVED = 300.0  # seconds after which an engine counts as having worked
# seconds of looking without a new beat after which it counts as hung; one question to the broker may take 105
SILENCE = 120.0
LOOK = 1.0  # seconds between looks at the beat
STOP_SECONDS = 15.0  # that a stopping engine may be silent for
STOP_MOST = 900.0  # that it may take in all, however alive it is
SAME_DEATHS = 3  # in a row, after which the engine is started with exits only
CAUTION = "FUTURES_ALGO_CAUTION"  # tells the engine to begin in REDUCING, and why
RESTARTS = "FUTURES_ALGO_RESTARTS"  # tells the engine why it was started, for its journal
SUPERVISOR = "FUTURES_ALGO_SUPERVISOR"  # tells the engine who started it, for its beats


class Supervisor:
    "Keeps one engine process alive."

    def __init__(
        self,
        command: Sequence[str],  # of the engine
        journal: "str | Path",  # where it beats
        *,
        silence: float = SILENCE,  # seconds
        pause: float = FIRST_PAUSE,  # seconds
        by_journal: bool = os.name == "nt",  # stop the engine by a command: Windows' signals to another process kill it
    ):
        self.command, self.journal, self.silence, self.first_pause, self.by_journal = (
            list(command),
            Path(journal),
            silence,
            pause,
            by_journal,
        )
        self.restarts = 0
        self.process: Any = None  # of the engine that runs now
        self._stopping = 0.0  # monotonic seconds
        self._name, self._last_beat, self._quiet = (
            "",
            0,
            0.0,
        )  # of the engine under way: who it says started it, its newest beat, seconds without a new one

    def run(self) -> int:
        "Until the engine ends cleanly, cannot start, or we are told to stop; its exit code."
        refuse_second(self.journal)
        on_signals(self._pass_on)
        pause, why, deaths = self.first_pause, "", []
        while True:
            began = time.monotonic()
            code = self._watch(why, _caution(deaths))
            lived = time.monotonic() - began
            if self._stopping or code == 0 or (code == 2 and not self._beat()):
                return self._say_what_is_open(code)
            deaths = [*deaths[1 - SAME_DEATHS :], self._death(code)]
            if lived > LIVED:
                pause = self.first_pause
            self.restarts, why = (
                self.restarts + 1,
                f"restart {self.restarts + 1}: the engine before ended with {code} after {lived:.0f} s",
            )
            log.error("%s; starting it again in %.0f s", why, pause)
            if self._sleep(pause):
                return 0
            pause = min(pause * 2, LONGEST_PAUSE)

    def _say_what_is_open(self, code: int) -> int:
        "The exit code of a clean end: 1 where the engine was to flatten and something is left, or had to be killed."
        if code < 0:
            log.error("the engine was killed while it stopped: look at NinjaTrader for what is open")
            return 1
        return code

    def _death(self, code: int) -> str:
        "What the engine died of: its own words, that it hung, else its code; nothing where somebody killed it."
        if self._was_hung:
            return "did not answer"
        if code in (-9, -15):
            return ""
        try:
            with Journal(self.journal, readonly=True) as reader:
                said = reader.rows("events", "kind = 'engine' AND level = 'alarm'", order="seq DESC", limit=1)
        except (JournalError, sqlite3.Error):
            said = []
        words = [row["message"] for row in said if row["message"].startswith("died of")]
        return words[0] if words else f"ended with {code}"

    def _watch(self, why: str, caution: str = "") -> int:
        """Start the engine and wait for its end; a hung one is killed. Its standard input closes when we die, however
        we do."""
        self._name, self._last_beat, self._quiet = f"{os.getpid()}.{self.restarts}", 0, 0.0
        self._was_hung, self._last_touch = False, 0
        with subprocess.Popen(
            self.command,
            env=os.environ | {RESTARTS: why, SUPERVISOR: self._name, CAUTION: caution},
            stdin=subprocess.PIPE,
        ) as self.process:
            while True:
                try:
                    return self.process.wait(timeout=LOOK)
                except subprocess.TimeoutExpired:
                    pass
                if (hung := self._is_hung()) or self._stops_too_long():
                    self._was_hung = hung
                    log.error("the engine (pid %d) does not answer; it is killed", self.process.pid)
                    self.process.kill()

    def _beat(self) -> int:
        "The newest beat of the engine we started, 0 before its first; what cannot be read is no news."
        try:
            with Journal(self.journal, readonly=True) as reader:
                document = reader.status().get("engine", {})
        except (JournalError, sqlite3.Error):
            return self._last_beat
        return document.get("beat", 0) if document.get("supervisor") == self._name else 0

    def _touched(self) -> int:
        "When the engine last touched its lock (ns): a life sign where the journal cannot be written."
        try:
            return self.journal.with_name(self.journal.name + ".lock").stat().st_mtime_ns
        except OSError:
            return 0

    def _is_hung(self) -> bool:
        """Whether it was looked at for so long without a new beat: clocks may be set, and a computer that slept must
        not blame the engine."""
        beat, touched = self._beat(), self._touched()
        is_same = beat == self._last_beat and touched == self._last_touch
        self._quiet = self._quiet + LOOK if is_same else 0.0
        self._last_beat, self._last_touch = beat, touched
        return self._quiet > self.silence

    def _stops_too_long(self) -> bool:
        "A stopping engine closes what it has to as long as it lives: it is killed for silence, not for being slow."
        if not self._stopping:
            return False
        stopping = time.monotonic() - self._stopping
        return stopping > STOP_MOST or (stopping > STOP_SECONDS and self._quiet > STOP_SECONDS)

    def _pass_on(self, number: int) -> None:
        "Tell the engine; it stops by itself."
        self._stopping = self._stopping or time.monotonic()
        if not self.process or self.process.poll() is not None:
            return
        if not self.by_journal:
            return self.process.send_signal(number)
        with Journal(self.journal) as book:
            book.command("stop", "supervisor")

    def _sleep(self, seconds: float) -> bool:
        "A pause that ends early, with True, when we are told to stop."
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self._stopping:
            time.sleep(0.05)
        return bool(self._stopping)


def _caution(deaths: Sequence[str]) -> str:
    "Why the next engine is to begin with exits only; empty while it need not."
    if len(deaths) < SAME_DEATHS or len(set(deaths)) > 1 or not deaths[0]:
        return ""
    return f"the engine {deaths[0]} {SAME_DEATHS} times in a row: only exits until somebody looked and said `resume`"


def refuse_second(journal: Path) -> None:
    "A journal has one engine: say which, and how to take over."
    if not (Journal.is_held(journal) and Journal.is_held(journal)):
        return  # twice, because another's question holds it for a moment
    with Journal(journal, readonly=True) as reader:
        engine = reader.status().get("engine", {})
    watched = {"": "without a supervisor", "lost": "its supervisor is gone"}.get(
        engine.get("supervisor", ""), "with a supervisor of its own"
    )
    raise JournalError(
        f"Another engine is using {journal} (pid {engine.get('pid', 'not known yet')}, {watched}) and trades on; "
        f"stop it with `futures-algo stop --journal {journal}`, or give this one another journal (engine.journal)"
    )


def engine_command(*arguments: str) -> list[str]:
    "`futures-algo run ...` with this Python."
    return [sys.executable, "-c", "from futures_algo.cli import main; main()", "run", *arguments]
