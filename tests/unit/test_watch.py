"Alerts reach a real server through apprise, once and only when asked for; numbers are served as Prometheus text."

import json
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from waiting import eventually

from futures_algo.config.model import WatchConfig
from futures_algo.journal.journal import Journal
from futures_algo.live import alerts as watch_module
from futures_algo.live.alerts import Watch


@pytest.fixture
def inbox():
    "What a notification service was sent."
    received: list[dict] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            "Quiet."

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, received
    server.shutdown()


@pytest.fixture
def journal(tmp_path, monkeypatch):
    monkeypatch.setattr(watch_module, "LOOK_SECONDS", 0.05)
    with Journal(tmp_path / "live.db") as made:
        yield made


def settings(port: int, **more) -> WatchConfig:
    return WatchConfig(alert_urls=[f"json://127.0.0.1:{port}/"], **more)


def wait_for(received: list, count: int) -> list[str]:
    deadline = time.monotonic() + 10
    while len(received) < count and time.monotonic() < deadline:
        time.sleep(0.02)
    return [f"{mail['title']}: {mail['message']}" for mail in received]


def tell(journal: Journal, level: str, kind: str, subject: str, message: str) -> None:
    journal.add_event(1, level, kind, subject, message)
    journal.flush()


def test_what_happens_is_told_and_what_happened_before_is_not(inbox, journal):
    port, received = inbox
    tell(journal, "alarm", "lock", "ES 12-25", "old news")
    with Watch(journal.path, settings(port)):
        tell(journal, "alarm", "lock", "NQ 12-25", "our books hold +1, the broker's +0")
        tell(journal, "info", "feed", "replaying", "not worth a message")
        journal.add(
            "fills",
            execution_id="e1",
            strategy="macd",
            side="BUY",
            quantity=2,
            instrument="ES 12-25",
            price=5850.25,
            at=1,
        )
    assert sorted(wait_for(received, 2)) == [
        "futures-algo alarm: lock NQ 12-25: our books hold +1, the broker's +0",
        "futures-algo fill: e1: macd: BUY 2 ES 12-25 at 5850.25",
    ]


def test_the_same_thing_is_told_once_in_a_while(inbox, journal):
    port, received = inbox
    with Watch(journal.path, settings(port, repeat_seconds=3600)):
        for attempt in range(5):
            tell(journal, "alarm", "reconcile", "Sim101", f"attempt {attempt}")
    assert len(wait_for(received, 1)) == 1


def test_only_what_was_asked_for_is_told(inbox, journal):
    port, received = inbox
    with Watch(journal.path, settings(port, alert_kinds=["feed"])):
        tell(journal, "info", "engine", "run", "ready")
        tell(journal, "warning", "feed", "stale", "no bar for 20 s")
    assert wait_for(received, 1) == ["futures-algo feed: feed stale: no bar for 20 s"]


def test_an_engine_that_falls_silent_is_an_alarm_and_one_that_stopped_is_not(inbox, journal):
    port, received = inbox
    with Watch(journal.path, settings(port)):
        journal.set_status("engine", 1, state="ready", beat=time.time_ns() - 60_000_000_000)
        journal.flush()
        assert "has not been heard" in wait_for(received, 1)[0]
        journal.set_status("engine", 2, state="stopped", beat=time.time_ns() - 60_000_000_000)
        journal.flush()
    assert len(received) == 1


def test_numbers_are_served_on_loopback(journal):
    server, thread = watch_module.serve_metrics(journal.path, 0)
    journal.set_status("engine", 1, state="ready", beat=time.time_ns(), bars_in=42)
    journal.set_status("trading", 1, state="HALTED", pnl_usd=-12.5)
    tell(journal, "alarm", "halt", "x", "y")
    try:
        text = urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics", timeout=10).read().decode()
    finally:
        server.shutdown()
        server.server_close()
    assert (
        "futures_algo_bars_in 42.0" in text
        and "futures_algo_pnl_usd -12.5" in text
        and "futures_algo_trading_active 0.0" in text
    )
    assert 'futures_algo_events_total{kind="alarm"} 1.0' in text
    assert server.server_address[0] == "127.0.0.1"


def test_a_port_that_is_taken_does_not_keep_alerts_from_being_sent(inbox, journal):
    import socket

    port, received = inbox
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with Watch(journal.path, settings(port, metrics_port=taken.getsockname()[1])):
            journal.add_event(1, "alarm", "lock", "ES 12-25", "books differ")
            journal.flush()
            eventually(lambda: received, 20)
    assert received


def test_a_journal_that_cannot_be_read_for_a_while_does_not_end_the_alerts(inbox, journal):
    import sqlite3

    port, received = inbox
    watch = Watch(journal.path, settings(port))
    rename = lambda before, after: sqlite3.connect(journal.path).execute(f"ALTER TABLE {before} RENAME TO {after}")
    rename("events", "gone")
    watch._look()
    rename("gone", "events")
    journal.add_event(1, "alarm", "lock", "ES 12-25", "books differ")
    journal.flush()
    watch._look()
    assert received
