"Each check of `doctor` finds what it is there for, names a remedy, and shows no key."

import json
import os
import socket
import sqlite3
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from futures_algo.core.types import DataClock
from futures_algo.journal.journal import Journal
from futures_algo.live import doctor
from futures_algo.live.doctor import FAIL, NTP_EPOCH, OK, WARN, ask_time, examine
from futures_algo.sim.broker import PaperBroker
from futures_algo.sim.gateway import LoopbackGateway
from futures_algo.sim.market import generate

ROOT = Path(__file__).resolve().parents[2]
KEY, TOKEN = "db-doctor-00000000000000000000000", "doctor-t0ken-never-shown"


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    path = generate(tmp_path_factory.mktemp("recorded"), seed=1, symbols=("ES.c.0",), sessions=1).files["ohlcv-1s"][0]
    with (
        LoopbackGateway({"ohlcv-1s": [path]}, [KEY]) as gateway,
        PaperBroker({"ES 09-25": 6500.0}, DataClock(1_757_628_000_000_000_000), "Sim101", TOKEN) as broker,
    ):
        yield gateway, broker


class TimeServer(threading.Thread):
    "Answers SNTP questions with a clock that is `behind` seconds behind ours."

    def __init__(self, behind: float = 0.0):
        super().__init__(daemon=True)
        self.behind, self.line = behind, socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.line.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.line.getsockname()[1]}"
        self.start()

    def run(self) -> None:
        while True:
            question, asker = self.line.recvfrom(512)
            if question == b"stop":
                return
            now = time.time() - self.behind + NTP_EPOCH
            stamp = struct.pack("!II", int(now), int(now % 1 * 2**32))
            self.line.sendto(bytes([0x24, 2]) + 30 * b"\0" + stamp + stamp, asker)

    def stop(self) -> None:
        self.line.sendto(b"stop", self.line.getsockname())
        self.join(5)
        self.line.close()


@pytest.fixture
def time_server():
    made = []
    yield lambda behind=0.0: made.append(TimeServer(behind)) or made[-1].address
    for server in made:
        server.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def project(tmp_path, servers, monkeypatch) -> Path:
    "A project whose config points at the loopback servers; returns the config."
    gateway, broker = servers
    content = json.loads((ROOT / "config" / "live_trading_config.json").read_text())
    content["databento"] |= {"gateway": "127.0.0.1", "port": gateway.port, "symbols": ["ES.c.0"]}
    content["strategies"] = {
        "cci": {"class": "futures_algo.strategies.SimpleBullishCCIStrategy", "parameters": {"length": 20}}
    }
    content["execution"] |= {"crosstrade_base_url": broker.url}
    path = tmp_path / "config" / "live.json"
    path.parent.mkdir()
    path.write_text(json.dumps(content))
    monkeypatch.setenv("DATABENTO_API_KEY", KEY)
    monkeypatch.setenv("CROSSTRADE_API_KEY", TOKEN)
    return path


def change(path: Path, section: str, **values) -> None:
    content = json.loads(path.read_text())
    content[section] |= values
    path.write_text(json.dumps(content))


def statuses(found) -> dict[str, str]:
    return {one.name: one.status for one in found}


def one(found, name: str):
    return next(check for check in found if check.name == name)


# --- a computer that is ready


def test_everything_is_fine_against_the_loopback_servers(project, time_server):
    found = examine(project, port=free_port(), ntp=time_server())
    assert set(statuses(found).values()) == {OK}, found
    assert {
        "python",
        "packages",
        "config",
        "key DATABENTO_API_KEY",
        "key CROSSTRADE_API_KEY",
        "calendar",
        "disk",
        "journal folder",
        "monitor port",
        "clock",
        "databento",
        "crosstrade",
        "account",
    } <= statuses(found).keys()


def test_offline_asks_no_server(project):
    change(project, "databento", port=1)
    change(project, "execution", crosstrade_base_url="http://127.0.0.1:1")
    assert (
        not {"databento", "crosstrade", "account", "clock"}
        & statuses(examine(project, offline=True, port=free_port())).keys()
    )


def test_every_finding_that_is_not_fine_has_a_remedy_and_none_shows_a_key(project, monkeypatch, time_server):
    change(project, "databento", port=1)
    change(project, "execution", account="Nobody", limits={"max_position": 1})
    found = examine(project, port=free_port(), ntp=time_server(60))
    wrong = [check for check in found if check.status != OK]
    assert len(wrong) >= 3 and all(check.remedy for check in wrong)
    assert KEY not in str(found) and TOKEN not in str(found)


# --- what each finds


def test_a_package_that_is_missing_or_too_old_is_named(project, monkeypatch):
    wanted = ["numpy>=99", "no-such-package>=1", 'only-elsewhere; sys_platform == "nowhere"']
    real = doctor.metadata.distribution

    class Distribution:
        requires, metadata = wanted, real("futures_algo").metadata

    monkeypatch.setattr(
        doctor.metadata, "distribution", lambda name: Distribution if name == doctor.PACKAGE else real(name)
    )
    (check,) = doctor.packages(doctor.Patient(project))
    assert (
        check.status == FAIL
        and "numpy is" in check.detail
        and "no-such-package is missing" in check.detail
        and "only-elsewhere" not in check.detail
    )


def test_a_config_with_mistakes_fails_with_each_of_them(project):
    change(project, "databento", schema="ohlcv-1y")
    change(project, "engine", on_stop="hide")
    found = one(examine(project, offline=True, port=free_port()), "config")
    assert found.status == FAIL and "databento.schema" in found.detail and "engine.on_stop" in found.detail


def test_a_config_that_is_not_there_fails(tmp_path):
    assert one(examine(tmp_path / "config" / "none.json", offline=True, port=free_port()), "config").status == FAIL


def test_a_key_that_is_not_set_fails_once_and_its_server_is_not_asked(project, monkeypatch):
    monkeypatch.delenv("DATABENTO_API_KEY")
    found = examine(project, port=free_port(), ntp="")
    assert (
        one(found, "key DATABENTO_API_KEY").status == FAIL
        and "DATABENTO_API_KEY=" in one(found, "key DATABENTO_API_KEY").remedy
    )
    assert (
        statuses(found)["config"] == OK and "databento" not in statuses(found) and statuses(found)["crosstrade"] == OK
    )


def test_a_key_written_into_the_config_is_warned_about_and_not_shown(project):
    change(project, "execution", crosstrade_api_key=TOKEN)
    found = examine(project, offline=True, port=free_port())
    assert one(found, "key CROSSTRADE_API_KEY").status == WARN and TOKEN not in str(found)


def test_a_key_in_the_env_file_counts(project, monkeypatch):
    monkeypatch.delenv("DATABENTO_API_KEY")
    (project.parent / ".env").write_text(f"DATABENTO_API_KEY={KEY}\n")
    assert one(examine(project, offline=True, port=free_port()), "key DATABENTO_API_KEY").status == OK


@pytest.mark.parametrize("variable, name", [("DATABENTO_API_KEY", "databento"), ("CROSSTRADE_API_KEY", "crosstrade")])
def test_a_wrong_key_is_refused_by_its_server(project, monkeypatch, variable, name):
    monkeypatch.setenv(variable, "db-wrong-0000000000000000000000000")
    found = one(examine(project, port=free_port(), ntp=""), name)
    assert found.status == FAIL and found.remedy and "db-wrong" not in str(found)


def test_servers_that_cannot_be_reached_fail(project):
    change(project, "databento", port=free_port())
    change(project, "execution", crosstrade_base_url=f"http://127.0.0.1:{free_port()}")
    found = statuses(examine(project, port=free_port(), ntp=""))
    assert found["databento"] == found["crosstrade"] == FAIL and "account" not in found


def test_an_account_that_is_not_there_fails(project):
    change(project, "execution", account="Sim202")
    assert one(examine(project, port=free_port(), ntp=""), "account").status == FAIL


@pytest.mark.parametrize("behind, status", [(0.0, OK), (0.5, WARN), (-0.5, WARN), (30.0, FAIL), (-30.0, FAIL)])
def test_the_clock_is_compared_with_a_time_server(project, time_server, behind, status):
    (check,) = doctor.clock(doctor.Patient(project, ntp=time_server(behind)))
    assert check.status == status
    skew, within = ask_time(time_server(behind))
    assert skew == pytest.approx(behind, abs=within + 0.01)


def test_a_time_server_that_does_not_answer_is_a_warning(project, monkeypatch):
    monkeypatch.setattr(doctor, "ask_time", lambda server: (_ for _ in ()).throw(TimeoutError("timed out")))
    (check,) = doctor.clock(doctor.Patient(project))
    assert check.status == WARN and "--ntp" in check.remedy


@pytest.mark.parametrize("free, status", [(0.5, FAIL), (3, WARN), (50, OK)])
def test_disk_space(project, monkeypatch, free, status):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: type("Usage", (), {"free": free * 2**30}))
    (check,) = doctor.disk(doctor.Patient(project))
    assert check.status == status


def test_a_port_in_use_fails(project):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        (check,) = doctor.port_free(doctor.Patient(project, port=taken.getsockname()[1]))
    assert check.status == FAIL


def test_the_journals_version_and_soundness(project):
    book = project.parent.parent / "journal" / "live.db"
    with Journal(book):
        pass
    look = lambda: one(examine(project, offline=True, port=free_port()), "journal")
    assert look().status == OK and "no engine writes it" in look().detail
    with Journal(book) as held:
        held.hold()
        assert "an engine writes it now" in look().detail
    with sqlite3.connect(book) as older:
        older.execute("UPDATE meta SET value = '0' WHERE key = 'schema_version'")
    assert look().status == FAIL and "older schema" in look().detail
    for extra in ("-wal", "-shm"):
        Path(f"{book}{extra}").unlink(missing_ok=True)
    book.write_bytes(b"no database at all" * 100)
    assert look().status == FAIL


@pytest.mark.skipif(
    os.name == "nt" or os.geteuid() == 0 if hasattr(os, "geteuid") else True, reason="root may write everywhere"
)
def test_a_folder_that_cannot_be_written_fails(project):
    folder = project.parent.parent / "journal"
    folder.mkdir(mode=0o500)
    assert one(examine(project, offline=True, port=free_port()), "journal folder").status == FAIL


def test_a_calendar_that_has_ended_fails(project, monkeypatch):
    monkeypatch.setattr(doctor.time, "time_ns", lambda: 1_930_000_000 * 10**9)  # in 2031
    check, *_ = doctor.calendar(doctor.Patient(project))
    assert check.status == FAIL and "update" in check.remedy


# --- the verb


def run(*args: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "futures_algo", "doctor", *map(str, args)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | environment,
    )


def test_the_verb_ends_with_zero_when_fine_and_with_a_finding_when_not(project, time_server):
    fine = run("--config", project, "--port", str(free_port()), "--ntp", time_server(), "--json")
    document = json.loads(fine.stdout.splitlines()[-1])
    assert (
        fine.returncode == 0
        and document["ok"]
        and {"name", "status", "detail", "remedy"} == document["checks"][0].keys()
    )
    wrong = run("--config", project, "--offline", "--port", str(free_port()), CROSSTRADE_API_KEY="")
    assert wrong.returncode == 1 and "FAIL key CROSSTRADE_API_KEY" in wrong.stdout and "->" in wrong.stdout
    assert KEY not in fine.stdout + fine.stderr + wrong.stdout + wrong.stderr and TOKEN not in fine.stdout + fine.stderr
