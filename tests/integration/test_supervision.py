"Who watches the engine, and what holds when the watcher itself dies, its clock is set, or another engine is there."

import ctypes
import os
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
from test_engine_process import KEY, ROOT, TOKEN, engine, recording  # noqa: F401
from waiting import eventually

from futures_algo.journal.journal import Journal, JournalError
from futures_algo.live import shutdown as stopping
from futures_algo.live import supervisor
from futures_algo.live.shutdown import console_handler, on_console_close, on_signals
from futures_algo.live.supervisor import RESTARTS, SUPERVISOR, Supervisor

BEATS = f"""
import os, sys, time
from futures_algo.journal.journal import Journal
journal = Journal(sys.argv[1])
journal.hold()
def beat(ago=0):
    at, supervisor = time.time_ns() - ago * 10**9, os.environ["{SUPERVISOR}"]
    journal.set_status("engine", 1, beat=at, supervisor=supervisor, pid=os.getpid())
    journal.flush()
"""


@pytest.fixture
def watched(tmp_path, monkeypatch):
    "A function that supervises a small script in the engine's place; it returns exit code and restarts."
    monkeypatch.setattr(supervisor, "LOOK", 0.1)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    path, before = tmp_path / "live.db", {number: signal.getsignal(number) for number in stopping.SIGNALS}
    Journal(path).close()

    def run(script: str, **options):
        made = Supervisor(
            [sys.executable, "-c", BEATS + script, str(path)], path, **{"silence": 3.0, "pause": 0.01} | options
        )
        return made.run(), made.restarts

    run.path = path
    yield run
    for number, handler in before.items():
        signal.signal(number, handler)


def test_an_engine_whose_clock_was_set_is_not_taken_for_hung(watched):
    "A computer that slept an hour, or a clock set forward: the last beat looks old and the next one is on its way."
    assert watched("for _ in range(60): beat(ago=3600); time.sleep(0.1)") == (0, 0)


def test_an_engine_that_beats_no_more_is_killed_and_started_again(watched):
    assert watched(f"beat()\nif not os.environ['{RESTARTS}']: time.sleep(600)") == (0, 1)


def test_an_engine_that_cannot_start_is_not_tried_again_though_another_one_beats_in_its_journal(watched):
    with Journal(watched.path) as journal:
        journal.set_status("engine", 1, beat=2**62, supervisor="another")
    assert watched("sys.exit(2)") == (2, 0)


def test_where_signals_would_kill_the_engine_is_stopped_by_a_command(watched):
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    assert watched(
        "while not journal.rows('commands', \"verb = 'stop'\"): beat(); time.sleep(0.05)", by_journal=True
    ) == (0, 0)
    timer.join()


def test_a_journal_in_use_is_refused_at_once_and_says_by_whom(watched):
    with Journal(watched.path) as journal:
        journal.hold()
        journal.set_status("engine", 1, beat=1, supervisor="lost", pid=4711)
        journal.flush()
        with pytest.raises(JournalError, match="pid 4711, its supervisor is gone.*futures-algo stop"):
            watched("")


def test_an_engine_whose_supervisor_is_killed_goes_on_says_so_and_is_stopped_by_a_command(engine):  # noqa: F811
    engine.start("--supervised")
    eventually(lambda: engine.reached() > engine.recording.start)
    worker, reached = eventually(engine.running), engine.reached()
    engine.process.kill()
    engine.process.wait(10)

    def alarm():
        with engine.journal() as journal:
            return [row["message"] for row in journal.rows("events", "kind = 'engine' AND level = 'alarm'")]

    (said,) = eventually(alarm)
    assert "its supervisor is gone: it trades on" in said
    eventually(lambda: engine.reached() > reached)

    def document():
        with engine.journal() as journal:
            return journal.status()["engine"]

    eventually(lambda: document()["supervisor"] == "lost")
    run = lambda *words: subprocess.run(
        [sys.executable, "-m", "futures_algo", *words],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=engine.folder,
        env=os.environ | {"DATABENTO_API_KEY": KEY, "CROSSTRADE_API_KEY": TOKEN, "PYTHONPATH": str(ROOT)},
    )
    second = run("run", "--supervised", "--config", str(engine.config), "--simulation", "2025-09-12T00:00")
    assert second.returncode == 2 and f"pid {worker}, its supervisor is gone" in second.stderr
    assert run("stop", "--journal", str(engine.path)).returncode == 0
    eventually(lambda: not Journal.is_held(engine.path), 20)
    assert document()["state"] == "stopped"


# signals and consoles


@pytest.mark.parametrize("number", stopping.SIGNALS)
def test_every_signal_that_asks_for_the_end_is_heard(number):
    before, heard = {each: signal.getsignal(each) for each in stopping.SIGNALS}, []
    try:
        signal.signal(number, signal.SIG_DFL)  # this run may stand under nohup itself
        on_signals(heard.append)
        os.kill(os.getpid(), number)
        assert heard == [int(number)]
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def test_a_signal_that_is_ignored_stays_so():
    before = {each: signal.getsignal(each) for each in stopping.SIGNALS}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what nohup does
        on_signals(lambda number: None)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@pytest.mark.parametrize("event", [2, 5, 6])
def test_a_console_that_closes_waits_for_the_engines_end(event):
    asked, ended, answers = [], threading.Event(), []
    handle = console_handler(asked.append, ended, seconds=30.0)
    waiting = threading.Thread(target=lambda: answers.append(handle(event)))
    waiting.start()
    eventually(lambda: asked)
    assert not answers
    ended.set()
    waiting.join(10)
    assert answers == [True] and len(asked) == 1


@pytest.mark.parametrize("event", [0, 1])
def test_control_keys_are_left_to_the_signals(event):
    asked = []
    assert console_handler(asked.append, threading.Event())(event) is False and not asked


def test_windows_is_asked_to_tell_when_the_console_closes(monkeypatch):
    registered, asked, ended = [], [], threading.Event()
    ended.set()
    monkeypatch.setattr(stopping, "os", SimpleNamespace(name="nt"))
    monkeypatch.setattr(ctypes, "WINFUNCTYPE", lambda *types: lambda call: call, raising=False)
    monkeypatch.setattr(
        ctypes,
        "windll",
        SimpleNamespace(kernel32=SimpleNamespace(SetConsoleCtrlHandler=lambda *given: registered.append(given))),
        raising=False,
    )
    handler = on_console_close(asked.append, ended)
    assert registered == [(handler, True)] and handler(2) and asked == ["the console was closed"]


def test_elsewhere_there_is_no_console_to_ask():
    assert os.name == "nt" or on_console_close(lambda why: None, threading.Event()) is None
