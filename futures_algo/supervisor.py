"""A watchdog over the engine's process: what dies or hangs is started again, and recovers by reconciliation.

A clean end is final, and so is an engine that could not start (bad config, another engine on the journal). Anything else is a crash: it is started
again after a pause that grows with each crash and shrinks when an engine has lived a while.
"""
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from futures_algo.journal import Journal, JournalError

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0   # seconds before the next start
LIVED = 300.0                            # seconds after which an engine counts as having worked
SILENCE = 60.0                           # seconds without a beat after which it counts as hung
STOP_SECONDS = 15.0                      # that a stopping engine may take
RESTARTS = "FUTURES_ALGO_RESTARTS"       # tells the engine why it was started, for its journal


class Supervisor:
    "Keeps one engine process alive."
    def __init__(self,
        command: Sequence[str],       # of the engine
        journal: "str | Path",        # where it beats
        *,
        silence: float = SILENCE,     # seconds
        pause: float = FIRST_PAUSE,   # seconds
    ):
        self.command, self.journal, self.silence, self.first_pause = list(command), Path(journal), silence, pause
        self.restarts, self.process = 0, None
        self._stopping = self._started = 0.0   # monotonic and wall clock

    def run(self) -> int:
        "Until the engine ends cleanly, cannot start, or we are told to stop; its exit code."
        for number in (signal.SIGINT, signal.SIGTERM): signal.signal(number, self._pass_on)
        pause, why = self.first_pause, ""
        while True:
            began = time.monotonic()
            code = self._watch(why)
            lived = time.monotonic() - began
            if self._stopping or code == 0 or (code == 2 and not self._was_ready()): return max(code, 0)
            if lived > LIVED: pause = self.first_pause
            self.restarts, why = self.restarts + 1, f"restart {self.restarts + 1}: the engine before ended with {code} after {lived:.0f} s"
            log.error("%s; starting it again in %.0f s", why, pause)
            if self._sleep(pause): return 0
            pause = min(pause * 2, LONGEST_PAUSE)

    def _watch(self, why: str) -> int:
        "Start the engine and wait for its end; a hung one is killed."
        self._started = time.time()
        self.process = subprocess.Popen(self.command, env=os.environ | {RESTARTS: why})
        while True:
            try: return self.process.wait(timeout=1.0)
            except subprocess.TimeoutExpired: pass
            if self._stopping and time.monotonic() - self._stopping > STOP_SECONDS or self._is_hung():
                log.error("the engine (pid %d) does not answer; it is killed", self.process.pid)
                self.process.kill()

    def _beat(self) -> float:
        "Seconds since the epoch of the engine's last beat, 0 without one."
        try:
            with Journal(self.journal, readonly=True) as reader: return reader.status().get("engine", {}).get("beat", 0) / 1e9
        except JournalError: return 0.0

    def _is_hung(self) -> bool: return time.time() - max(self._beat(), self._started) > self.silence
    def _was_ready(self) -> bool: return self._beat() > self._started

    def _pass_on(self, number: int, _) -> None:
        "Tell the engine; it stops by itself."
        self._stopping = time.monotonic()
        if self.process and self.process.poll() is None: self.process.send_signal(number)

    def _sleep(self, seconds: float) -> bool:
        "A pause that ends early, with True, when we are told to stop."
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self._stopping: time.sleep(0.05)
        return bool(self._stopping)


def engine_command(*arguments: str) -> list[str]:
    "`futures-algo run ...` with this Python."
    return [sys.executable, "-c", "from futures_algo.cli import main; main()", "run", *arguments]
