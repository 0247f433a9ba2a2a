"""The engine as a process: killed at any moment it is started again and goes on; nothing it writes holds a key or a
token."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_restart import contents
from waiting import eventually

from futures_algo.core.types import DataClock, to_timestamp
from futures_algo.journal.journal import Journal, JournalError
from futures_algo.live.demo import DEFAULT_CONFIG, demo_config, generated
from futures_algo.sim.broker import PaperBroker
from futures_algo.sim.gateway import LoopbackGateway

ROOT = Path(__file__).resolve().parents[2]
KEY, TOKEN = "db-6b1fK3yThatMustNotBeSeen00000", "paper-t0kenThatMustNotBeSeen"
RUN = [sys.executable, "-c", "from futures_algo.cli import main; main()", "run"]


class Engine:
    "`futures-algo run` on a folder of its own, against loopback servers."

    def __init__(self, folder: Path, recording, gateway, broker):
        _, content = demo_config(ROOT / DEFAULT_CONFIG, recording, folder)
        content["databento"] |= {"gateway": "127.0.0.1", "port": gateway.port, "api_key": "${DATABENTO_API_KEY}"}
        content["strategies"] = {
            name: entry for name, entry in content["strategies"].items() if "scenario" not in entry
        }  # a scenario is a file beside the config
        content["execution"] |= {"crosstrade_base_url": broker.url, "crosstrade_api_key": "${CROSSTRADE_API_KEY}"}
        self.folder, self.recording, self.config, self.path = (
            folder,
            recording,
            folder / "config.json",
            folder / "journal.db",
        )
        self.config.write_text(json.dumps(content))
        self.process = None

    def start(self, *more: str, moment: int = 0) -> "Engine":
        at = f"{to_timestamp(moment or self.recording.start):%Y-%m-%dT%H:%M:%S}"
        output = (self.folder / "console.txt").open("ab")
        self.process = subprocess.Popen(
            [*RUN, "--config", str(self.config), "--simulation", at, "--loglevel", "DEBUG", *more],
            stdout=output,
            stderr=output,
            cwd=self.folder,
            env=os.environ | {"DATABENTO_API_KEY": KEY, "CROSSTRADE_API_KEY": TOKEN, "PYTHONPATH": str(ROOT)},
        )
        return self

    def journal(self) -> Journal:
        return Journal(self.path, readonly=True)

    def reached(self) -> int:
        "End of the newest one-minute bar in the journal."
        try:
            with self.journal() as journal:
                return max((end for (_, timeframe), end in journal.ends().items() if timeframe == "1min"), default=0)
        except JournalError:
            return 0  # not there yet, or its tables are not

    def running(self) -> int:
        "Process id of the engine at work, 0 while there is none."
        try:
            with self.journal() as journal:
                rows = journal.rows("runs", order="started DESC", limit=1)
        except JournalError:
            return 0
        return rows[0]["pid"] if rows and not rows[0]["ended"] and Journal.is_held(self.path) else 0

    def close(self) -> None:
        "Nothing of it outlives the test, whatever went wrong."
        pid = self.running() if self.process else 0
        if self.process and self.process.poll() is None:
            self.process.kill()
        if pid:
            os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    return generated(tmp_path_factory.mktemp("recorded"), seed=3)


@pytest.fixture
def engine(recording, tmp_path):
    with (
        LoopbackGateway({recording.schema: [recording.path]}, [KEY]) as gateway,
        PaperBroker(recording.bars, DataClock(recording.start), "Sim101", TOKEN) as broker,
    ):
        made = Engine(tmp_path, recording, gateway, broker)
        yield made
        made.close()


def test_a_supervised_engine_killed_at_random_moments_ends_with_the_whole_session(engine, recording, tmp_path_factory):
    from contextlib import ExitStack

    from test_restart import World

    with ExitStack() as stack:
        whole = contents(World(stack, recording, tmp_path_factory.mktemp("whole")).run())
    engine.start("--supervised")
    chance, length = random.Random(5), recording.end - recording.start
    for part in (0.15, 0.4, 0.65):
        moment = recording.start + int((part + chance.uniform(0, 0.2)) * length)
        eventually(lambda moment=moment: engine.reached() >= moment or engine.process.poll() is not None)
        victim = eventually(engine.running)
        os.kill(victim, signal.SIGKILL)
        eventually(lambda victim=victim: engine.running() not in (0, victim))
    eventually(lambda: engine.reached() >= whole[1][-1][3], 90)
    engine.process.send_signal(signal.SIGTERM)
    assert engine.process.wait(20) == 0
    with engine.journal() as journal:
        signals, bars = contents(journal)
        assert bars == whole[1]
        assert [row[:-1] for row in signals] == [row[:-1] for row in whole[0]]
        intents, fills = (
            journal.rows("intents", "state != 'NotSent'"),
            journal.rows("fills"),
        )  # one that never left may be followed by another attempt
        assert len({row["signal_id"] for row in intents}) == len(intents) and sum(
            row["quantity"] for row in fills
        ) == len(intents)
        restarts = [row["message"] for row in journal.rows("events", "kind = 'engine' AND level = 'alarm'")]
        assert len(restarts) == 3 and all("ended with -9" in message for message in restarts)
        assert len(journal.rows("runs")) == 4


def test_a_config_that_cannot_run_is_not_tried_again(engine):
    engine.config.write_text(engine.config.read_text().replace("SimpleBullishCCIStrategy", "NoSuchStrategy"))
    assert engine.start("--supervised").process.wait(60) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_engine_soon_with_its_state_saved(engine, number):
    engine.start()
    eventually(lambda: engine.reached() > engine.recording.start)
    pid = eventually(engine.running)
    began = time.monotonic()
    os.kill(pid, number)
    assert engine.process.wait(15) == 0
    with engine.journal() as journal:
        stopped = journal.rows("events", "kind = 'engine'")[-1]
        assert f"stopped: signal {int(number)}" in stopped["message"] and journal.one("snapshots", "key", "engine")
        assert journal.rows("runs")[0]["ended"] and time.monotonic() - began < 10


def test_a_second_engine_on_the_same_journal_is_refused(engine, recording):
    engine.start()
    eventually(engine.running)
    at = f"{to_timestamp(recording.start):%Y-%m-%dT%H:%M:%S}"
    second = subprocess.run(
        [*RUN, "--config", str(engine.config), "--simulation", at],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"DATABENTO_API_KEY": KEY, "CROSSTRADE_API_KEY": TOKEN, "PYTHONPATH": str(ROOT)},
    )
    assert second.returncode == 2 and "Another engine is using" in second.stderr
    engine.process.terminate()
    assert engine.process.wait(15) == 0


def test_recorded_time_never_reaches_a_real_broker(engine):
    engine.config.write_text(engine.config.read_text().replace("http://127.0.0.1", "https://app.crosstrade.io"))
    assert engine.start().process.wait(60) == 2
    assert "needs gateway and broker on this computer" in (engine.folder / "console.txt").read_text()


def test_nothing_a_run_leaves_behind_holds_a_secret(engine, recording):
    "Logs at DEBUG, journal, console, a crash's traceback, reprs, and a notebook that prints all it can reach."
    engine.start()
    eventually(lambda: engine.reached() > recording.start + (recording.end - recording.start) // 4)
    engine.process.terminate()
    assert engine.process.wait(15) == 0
    _notebook(engine)
    files = [path for path in engine.folder.rglob("*") if path.is_file()]
    assert {"journal.db", "console.txt", "signals.log", "executions.log", "peek.ipynb"} <= {path.name for path in files}
    for path in files:
        content = path.read_bytes()
        assert KEY.encode() not in content and TOKEN.encode() not in content, path.name


def _notebook(engine: Engine) -> None:
    "A notebook whose outputs are the reprs of everything that was given a secret, and the traceback of a refusal."
    import nbformat
    from nbclient import NotebookClient

    cells = [
        (
            "from futures_algo.live.system import LiveTradingSystem\nsystem ="
            f" LiveTradingSystem({str(engine.config)!r})\nprint(system.config, repr(system.config),"
            " system.config.model_dump(), vars(system))"
        ),
        (
            "from futures_algo import CrossTradeClient, DatabentoLiveFeed\nc = system.config\nclient ="
            " CrossTradeClient(c.execution.crosstrade_api_key, c.execution.crosstrade_base_url,"
            " 'Sim101')\nprint(client, vars(client))"
        ),
        "feed = DatabentoLiveFeed(c.databento.api_key, c.databento.symbols)\nprint(feed)",
        "client.get_account('NoSuchAccount')",
        "client.get_position('ES')",
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    os.environ |= {"DATABENTO_API_KEY": KEY, "CROSSTRADE_API_KEY": TOKEN}
    try:
        NotebookClient(book, timeout=120, allow_errors=True, kernel_name="python3").execute()
    finally:
        del os.environ["DATABENTO_API_KEY"], os.environ["CROSSTRADE_API_KEY"]
    assert sum(output.output_type == "error" for cell in book.cells for output in cell.outputs) == 2
    nbformat.write(book, engine.folder / "peek.ipynb")
