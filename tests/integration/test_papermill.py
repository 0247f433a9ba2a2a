"""nbs/live.ipynb without a screen: it starts or finds the engine, ends with the session, and leaves the report as its
output; what kills it does not touch the engine."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import nbformat
import psutil
import pytest
from waiting import eventually

from futures_algo.core.types import HOUR, DataClock, to_timestamp
from futures_algo.history import read_dbn
from futures_algo.journal.journal import Journal, JournalError
from futures_algo.live.demo import DEFAULT_CONFIG, Recording, demo_config
from futures_algo.live.session import ensure_engine, look, running
from futures_algo.sim.broker import PaperBroker
from futures_algo.sim.gateway import LoopbackGateway
from futures_algo.sim.market import generate

ROOT = Path(__file__).resolve().parents[2]
KEY, TOKEN = "db-papermill-000000000000000000", "papermill-token"


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Recording:
    path = generate(tmp_path_factory.mktemp("recorded"), seed=9, symbols=("ES.c.0",), sessions=1).files["ohlcv-1s"][0]
    return Recording(path, "ohlcv-1s", read_dbn(path))


class Night:
    "A project's folder, with the loopback servers in its config."

    def __init__(self, folder: Path, recording: Recording, gateway, broker):
        _, content = demo_config(ROOT / DEFAULT_CONFIG, recording, folder)
        content["databento"] |= {"gateway": "127.0.0.1", "port": gateway.port, "api_key": "${DATABENTO_API_KEY}"}
        content["strategies"] = {
            name: entry for name, entry in content["strategies"].items() if "scenario" not in entry
        }  # a scenario is a file beside the config
        content["execution"] |= {"crosstrade_base_url": broker.url, "crosstrade_api_key": "${CROSSTRADE_API_KEY}"}
        self.folder, self.recording, self.path, self.config = (
            folder,
            recording,
            folder / "journal.db",
            folder / "config" / "live.json",
        )
        self.config.parent.mkdir()
        self.config.write_text(json.dumps(content))
        self.begin = f"{to_timestamp(recording.start):%Y-%m-%dT%H:%M:%S}"

    def papermill(self, name: str, session_end: int | str, **more: str) -> subprocess.Popen:
        "`papermill nbs/live.ipynb` as a timer starts it."
        given = {
            "config": self.config,
            "start_engine": True,
            "session_end": session_end,
            "simulation": self.begin,
        } | more
        parameters = [text for key, value in given.items() for text in ("-p", key, str(value))]
        with (self.folder / f"{name}.txt").open("wb") as console:
            return subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "papermill",
                    str(ROOT / "nbs/live.ipynb"),
                    str(self.folder / f"{name}.ipynb"),
                    "--cwd",
                    str(self.folder),
                    *parameters,
                ],
                stdout=console,
                stderr=console,
                env=os.environ | {"DATABENTO_API_KEY": KEY, "CROSSTRADE_API_KEY": TOKEN, "PYTHONPATH": str(ROOT)},
            )

    def output(self, name: str) -> str:
        "What the cells of an output notebook printed and showed."
        cells = nbformat.read(self.folder / f"{name}.ipynb", 4).cells
        return "\n".join(
            str(out.get("text") or out.get("data", {}).get("text/plain", ""))
            for cell in cells
            for out in cell.get("outputs", [])
        )

    def runs(self) -> list[dict]:
        try:
            with Journal(self.path, readonly=True) as journal:
                return journal.rows("runs")
        except JournalError:
            return []  # not there yet

    def reached(self) -> int:
        try:
            with Journal(self.path, readonly=True) as journal:
                return max(journal.ends().values(), default=0)
        except JournalError:
            return 0

    def stop(self) -> None:
        "End the engine by command, and what did not obey by its process id."
        if not self.path.exists():
            return
        with Journal(self.path) as journal:
            journal.command("stop", "test")
        deadline = time.monotonic() + 20
        while Journal.is_held(self.path) and time.monotonic() < deadline:
            time.sleep(0.1)
        for pid in (row["pid"] for row in self.runs() if not row["ended"]):
            if psutil.pid_exists(pid):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def night(folder: Path, recording: Recording, speed: float):
    with (
        LoopbackGateway({recording.schema: [recording.path]}, [KEY], speed=speed) as gateway,
        PaperBroker(recording.bars, DataClock(recording.start), "Sim101", TOKEN) as broker,
    ):
        made = Night(folder, recording, gateway, broker)
        try:
            yield made
        finally:
            made.stop()


@pytest.mark.timeout(900)
def test_a_session_runs_to_its_end_and_the_output_holds_the_report(recording, tmp_path):
    with night(tmp_path, recording, float("inf")) as world:
        run = world.papermill("session", recording.end - HOUR, report=str(tmp_path / "report.html"))
        assert run.wait(240) == 0, (tmp_path / "session.txt").read_text()[-2000:]
        said = world.output("session")
        assert (
            "started an engine" in said
            and "the session is over" in said
            and "comparisons" in said
            and " 0 unexplained" in said
        ), said
        assert "<span class='good'>" in (tmp_path / "report.html").read_text()  # every difference has a cause
        assert running(look(world.path)) and len(world.runs()) == 1  # the engine goes on
        verb = subprocess.run(
            [sys.executable, "-m", "futures_algo", "report", "--journal", str(world.path), "--json"],
            capture_output=True,
            text=True,
            timeout=120,
        )
        document = json.loads(verb.stdout.splitlines()[-1])
        assert verb.returncode == 0 and document["signals"] > 10 and document["fills"] > 10


@pytest.mark.timeout(900)
@pytest.mark.parametrize("victim", ["papermill", "kernel"])
def test_what_kills_the_notebook_leaves_the_engine_running_and_a_new_one_attaches(recording, tmp_path, victim):
    with night(tmp_path, recording, 1500.0) as world:
        run = world.papermill("killed", recording.end + 10 * HOUR)
        eventually(lambda: world.reached() > recording.start + HOUR, 90)
        kernel = next(child for child in psutil.Process(run.pid).children() if "ipykernel" in " ".join(child.cmdline()))
        os.kill(run.pid if victim == "papermill" else kernel.pid, signal.SIGKILL)
        eventually(lambda: run.poll() is not None)
        eventually(lambda: not kernel.is_running() or kernel.status() == psutil.STATUS_ZOMBIE)
        (engine,) = world.runs()
        seen = world.reached()
        assert psutil.pid_exists(engine["pid"]) and Journal.is_held(world.path)
        eventually(lambda: world.reached() > seen + HOUR // 6)  # and it goes on trading
        assert ensure_engine(world.config, world.path, start=True, simulation=world.begin).startswith("attached")
        again = world.papermill("again", world.reached() + HOUR // 6)
        assert again.wait(120) == 0, (tmp_path / "again.txt").read_text()[-2000:]
        assert "attached to the running engine" in world.output("again") and " 0 unexplained" in world.output("again")
        assert [row["run_id"] for row in world.runs()] == [engine["run_id"]]


def test_a_closed_market_is_said_and_ends_the_run(recording, tmp_path):
    with night(tmp_path, recording, 1.0) as world:
        world.begin = "2025-09-13T12:00:00"  # a Saturday
        run = world.papermill("closed", "close")
        assert run.wait(120) == 0, (tmp_path / "closed.txt").read_text()[-2000:]
        assert (
            "the market is closed; the session of 2025-09-15 opens at 2025-09-14 17:00" in world.output("closed")
            and not world.path.exists()
        )
