"""Telling people: a reader of the journal that sends alerts through apprise and serves Prometheus text on loopback.

It runs beside the engine, or in the supervisor when there is one, so that an engine's death is told too. It writes
nothing.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

from futures_algo.config.model import WatchConfig
from futures_algo.journal.journal import Journal, JournalError

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0  # between looks at the journal
SILENT_SECONDS = 30.0  # without a beat after which the engine counts as silent
_STATES = {
    "engine": "state",
    "feed": "feed",
    "lock": "alarm",
    "unlock": "alarm",
    "command": "command",
    "config": "state",
    "present": "state",
}


class Alert(NamedTuple):
    "Something to tell."

    kind: str  # alarm, state, feed, fill or command
    subject: str  # what it is about
    message: str


class Watch:
    "Follows a journal in a thread of its own."

    def __init__(self, journal: "str | Path", config: WatchConfig):
        self.path, self.config = Path(journal), config
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._server: Any = None
        self._seen = {"events": 0, "fills": 0}
        self._told: dict[tuple[str, str], float] = {}  # (kind, subject) -> monotonic seconds
        self._silent = False

    @property
    def is_wanted(self) -> bool:
        return bool(self.config.alert_urls or self.config.metrics_port)

    def start(self) -> Self:
        "Watch from now on; what the journal held before is history."
        if self.config.metrics_port:
            self._server = self._serve(self.config.metrics_port)
        if self.config.alert_urls:
            self._seen = self._last_rows()
            self._thread = threading.Thread(target=self._follow, name="watch", daemon=True)
            self._thread.start()
        return self

    def _serve(self, port: int) -> Any:
        "The numbers' server; a port that is taken must not keep an engine from trading, or its alerts from being sent."
        try:
            return serve_metrics(self.path, port)
        except OSError as error:
            log.error("no numbers are served on port %d (watch.metrics_port): %s", port, error)

    def stop(self, timeout: float = 5.0) -> None:
        "One last look, and the end."
        self._stop.set()
        if self._thread:
            self._thread.join(timeout)
        if self._server:
            self._server[0].shutdown()
            self._server[0].server_close()

    def __enter__(self) -> Self:
        return self.start() if self.is_wanted else self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _follow(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            self._look()
        self._look()

    def _look(self) -> None:
        try:
            alerts = list(self._news())
        except (JournalError, sqlite3.Error):
            return  # not there yet, or not to be read now
        for alert in alerts:
            if self._is_due(alert):
                self._tell(alert)

    def _last_rows(self) -> dict[str, int]:
        try:
            with Journal(self.path, readonly=True) as journal:
                return {table: journal.last(table) for table in self._seen}
        except JournalError:
            return dict(self._seen)

    def _news(self) -> Iterator[Alert]:
        "What happened since the last look."
        with Journal(self.path, readonly=True) as journal:
            for row in journal.after("events", self._seen["events"]):
                self._seen["events"] = row["number"]
                if (kind := "alarm" if row["level"] == "alarm" else _STATES.get(row["kind"])) and not (
                    kind == "feed" and row["level"] == "info"
                ):
                    yield Alert(kind, f"{row['kind']} {row['subject']}", row["message"])
            for row in journal.after("fills", self._seen["fills"]):
                self._seen["fills"] = row["number"]
                yield Alert(
                    "fill",
                    row["execution_id"],
                    f"{row['strategy']}: {row['side']} {row['quantity']} {row['instrument']} at {row['price']:g}",
                )
            yield from self._silence(journal.status().get("engine", {}))

    def _silence(self, engine: dict[str, Any]) -> Iterator[Alert]:
        "An engine that stopped beating without saying that it stops."
        silent = (
            engine.get("state") not in (None, "stopped") and time.time() - engine.get("beat", 0) / 1e9 > SILENT_SECONDS
        )
        if silent and not self._silent:
            yield Alert(
                "alarm",
                "engine silent",
                f"the engine has not been heard for {SILENT_SECONDS:.0f} s; look at the machine and at NinjaTrader",
            )
        self._silent = silent

    def _is_due(self, alert: Alert) -> bool:
        "Asked for, and not told a moment ago."
        now, key = time.monotonic(), (alert.kind, alert.subject)
        if (
            alert.kind not in self.config.alert_kinds
            or now - self._told.get(key, float("-inf")) < self.config.repeat_seconds
        ):
            return False
        self._told[key] = now
        return True

    def _tell(self, alert: Alert) -> None:
        import apprise

        sender = apprise.Apprise()
        for url in self.config.alert_urls:
            sender.add(url.get_secret_value())
        kind = apprise.NotifyType.FAILURE if alert.kind == "alarm" else apprise.NotifyType.INFO
        if not sender.notify(title=f"futures-algo {alert.kind}: {alert.subject}", body=alert.message, notify_type=kind):
            log.error("an alert could not be sent: %s", alert)


def serve_metrics(journal: Path, port: int) -> tuple[Any, threading.Thread]:
    "Prometheus text on loopback, read from the journal at every scrape."
    from prometheus_client import CollectorRegistry, start_http_server

    registry = CollectorRegistry()
    registry.register(_Metrics(journal))
    return start_http_server(port, "127.0.0.1", registry)


class _Metrics:
    "The journal's numbers, in Prometheus' naming."

    def __init__(self, journal: Path):
        self.journal = journal

    def describe(self) -> list:
        return []

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        try:
            with Journal(self.journal, readonly=True) as journal:
                status = journal.status()
                counted = {
                    "signals": journal.tally("signals", "verdict"),
                    "events": journal.tally("events", "level"),
                    "orders": journal.tally("intents", "state"),
                }
                fills = journal.count("fills")
        except JournalError:
            return
        for name, rows in counted.items():
            family = CounterMetricFamily(f"futures_algo_{name}", f"{name} in the journal", labels=["kind"])
            for kind, number in rows.items():
                family.add_metric([str(kind)], number)
            yield family
        yield CounterMetricFamily("futures_algo_fills", "fills in the journal", value=fills)
        for name, help, value in _gauges(status):
            yield GaugeMetricFamily(f"futures_algo_{name}", help, value=value)


def _gauges(status: dict[str, Any]) -> Iterator[tuple[str, str, float]]:
    "One row a number of the status documents."
    engine, trading = status.get("engine", {}), status.get("trading", {})
    yield "beat_age_seconds", "since the engine last said that it lives", time.time() - engine.get("beat", 0) / 1e9
    yield "bars_in", "feed bars of this run", engine.get("bars_in", 0)
    yield "engine_ready", "1 while the engine trades", float(engine.get("state") == "ready")
    yield "feed_live", "1 while the feed is live", float(status.get("feed", {}).get("state") == "live")
    yield "broker_connected", "1 while CrossTrade answers", float(status.get("broker", {}).get("state") == "connected")
    yield (
        "locked_instruments",
        "instruments whose books disagree",
        len(status.get("reconciliation", {}).get("locked", {})),
    )
    yield "trading_active", "1 while entries are let through", float(trading.get("state") == "ACTIVE")
    yield "pnl_usd", "realised and open, since the journal began", trading.get("pnl_usd", 0.0)
