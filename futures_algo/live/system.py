"""One config becomes one running engine."""

import os
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from futures_algo.config.loading import load_config, read_config
from futures_algo.config.model import WatchConfig
from futures_algo.core.types import (
    HOUR,
    MINUTE,
    ConfigError,
    DataClock,
    FuturesAlgoError,
    WallClock,
)
from futures_algo.engine.assembly import OwnedEngine, build_engine
from futures_algo.engine.build import check_config
from futures_algo.journal.journal import Journal
from futures_algo.live.alerts import Watch
from futures_algo.live.logs import daily_log
from futures_algo.live.shutdown import on_console_close, on_signals, when_alone
from futures_algo.live.supervisor import RESTARTS

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class LiveTradingSystem:
    "The engine of one config file, from start to clean shutdown."

    def __init__(
        self,
        config_path: "str | Path" = "config/live_trading_config.json",
        live: bool = False,  # send orders; the config must also say "dry_run": false
        simulation: (
            int | None
        ) = None,  # ns UTC: follow a loopback gateway's recorded time from here, and trade on its paper broker
    ):
        self.path = Path(config_path)
        self.config, self.content = load_config(self.path), read_config(self.path)
        check_config(self.config)
        if live and self.config.execution.dry_run:
            raise ConfigError(
                "dry_run",
                True,
                "must be false in the config to go live",
                'set "dry_run": false, or leave --live away',
                "execution.dry_run",
            )
        self.mode, self.simulation = "live" if live else "dry_run", simulation
        if simulation is not None:
            self.mode = "simulation"
            self._refuse_real_servers()
        self._engine: OwnedEngine | None = None
        self._ended = threading.Event()
        # contracts by strategy and instrument that `on_stop: flatten` could not close
        self.left_open: dict[tuple[str, str], int] = {}

    def start(self) -> str:
        "Run until stopped by a signal, a command or the feed's end; returns why."
        clock = WallClock() if self.simulation is None else DataClock(self.simulation)
        replay = (
            clock.now() - int(self.config.databento.replay_hours * HOUR) if self.simulation is None else self.simulation
        )
        replay -= replay % MINUTE  # history before it is made of whole minutes
        with Journal(self.config.engine.journal) as journal, ExitStack() as self._open:
            journal.hold()  # before anything is read from it or written to it
            self._engine = build_engine(
                self.config, self.content, journal, mode=self.mode, clock=clock, start=replay, config_path=self.path
            )
            self._open.callback(self._engine.close)
            self._listen_for_the_end()
            self._open.enter_context(daily_log(self.config.logging))
            self._open.enter_context(self._watch())
            try:
                reason = self._engine.run()
                self.left_open = self._engine.left if self.config.engine.on_stop == "flatten" else {}
                return reason
            finally:
                self._ended.set()

    def _watch(self) -> Watch:
        "Alerts and numbers; a supervisor sees to them itself."
        return Watch(self.config.engine.journal, WatchConfig() if RESTARTS in os.environ else self.config.watch)

    def _refuse_real_servers(self) -> None:
        "Recorded time belongs to the loopback servers; nothing of it may reach Databento or NinjaTrader."
        broker = self.config.execution.crosstrade_base_url
        if self.config.databento.gateway not in LOOPBACK or urlsplit(broker).hostname not in LOOPBACK:
            raise ConfigError(
                "simulation",
                broker,
                "needs gateway and broker on this computer",
                "point databento.gateway and execution.crosstrade_base_url at 127.0.0.1",
            )

    def _listen_for_the_end(self) -> None:
        "Signals, a console that closes, and a supervisor that dies."
        if self._engine and self._engine.supervisor:
            when_alone(self._go_on_alone)
        if threading.current_thread() is not threading.main_thread():
            return
        on_signals(lambda number: self.shutdown(f"signal {number}"))
        self._console = on_console_close(self.shutdown, self._ended)

    def _go_on_alone(self) -> None:
        "The supervisor died, and with it what it told and served: the engine does that itself now."
        if not self._ended.is_set():
            self._open.enter_context(Watch(self.config.engine.journal, self.config.watch))
        if self._engine:
            self._engine.go_on_alone()

    def on_bar(self, symbol: str, bar: Mapping[str, Any]) -> None:
        "Feed one bar by hand, as the seeds' orchestrator did; the running feed does this itself."
        from futures_algo.core.bars import as_bar

        if self._engine is None:
            raise FuturesAlgoError("The system is not running; call start() first")
        self._engine._on_bar(as_bar(symbol, bar))

    def shutdown(self, reason: str = "asked to") -> None:
        "Stop after the event under way; open positions stay as they are."
        if self._engine:
            self._engine.stop(reason)

    def get_status(self) -> dict[str, Any]:
        "The status documents of the journal; none before the first start."
        if not self.config.engine.journal.is_file():
            return {}
        with Journal(self.config.engine.journal, readonly=True) as reader:
            return reader.status()
