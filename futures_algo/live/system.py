"""One config becomes one running engine."""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd

from futures_algo.aggregator.pipeline import BarPipeline
from futures_algo.config.loading import (
    LiveConfig,
    LoggingConfig,
    StrategyConfig,
    WatchConfig,
    config_hash,
    import_class,
    load_config,
    read_config,
)
from futures_algo.core.types import (
    HOUR,
    MINUTE,
    Clock,
    ConfigError,
    DataClock,
    FuturesAlgoError,
    InputError,
    Timeframe,
    WallClock,
    did_you_mean,
)
from futures_algo.crosstrade.client import CrossTradeClient
from futures_algo.engine import snapshot as engine_state
from futures_algo.engine.engine import Engine
from futures_algo.engine.warmup import warmup_bars
from futures_algo.execution.executor import CrossTradeExecutor, execution_log
from futures_algo.execution.gate import Gate, Limits
from futures_algo.execution.simple import attach_log
from futures_algo.execution.translator import SignalTranslator
from futures_algo.feed.databento_feed import DatabentoLiveFeed
from futures_algo.journal.journal import Journal
from futures_algo.live.alerts import Watch
from futures_algo.live.shutdown import on_console_close, on_signals, when_alone
from futures_algo.live.supervisor import RESTARTS
from futures_algo.signals.generator import signal_log
from futures_algo.strategies import BaseStrategy, StrategyRunner


def build_strategy(name: str, entry: StrategyConfig) -> BaseStrategy:
    "The strategy a config entry describes; a mistake is named with its path."
    path = f"strategies.{name}"
    try:
        strategy_class = import_class(entry.class_)
    except ConfigError as error:
        raise ConfigError(error.subject, error.value, error.rule, error.remedy, f"{path}.class") from None
    if not isinstance(strategy_class, type) or not issubclass(strategy_class, BaseStrategy):
        raise ConfigError(
            "class", entry.class_, "must be a BaseStrategy", "derive it from futures_algo.BaseStrategy", f"{path}.class"
        )
    if isinstance(entry.scenario, dict):
        _refuse_changed_code(name, entry)
    try:
        strategy = strategy_class(**entry.all_parameters())
    except InputError as error:
        raise ConfigError(
            error.subject, error.value, error.rule, error.remedy, _parameter_path(path, strategy_class, error)
        ) from None
    for place in ("timeframes", "indicators_by_timeframe"):
        for timeframe in map(Timeframe, getattr(entry, place)):
            if timeframe not in strategy.timeframes:
                raise ConfigError(
                    "timeframe",
                    str(timeframe),
                    "must be one the strategy's indicators use",
                    did_you_mean(timeframe, strategy.timeframes),
                    f"{path}.{place}",
                )
    return strategy


def _parameter_path(path: str, strategy_class: type[BaseStrategy], error: InputError) -> str:
    "Where in a strategy's entry the mistake stands."
    if error.path:
        return f"{path}.{error.path}"
    name = error.subject.rpartition(" ")[2]
    if name == "parameter":
        return f"{path}.parameters.{error.value}"
    return f"{path}.parameters.{name}" if name in strategy_class.params else f"{path}.parameters"


def _refuse_changed_code(name: str, entry: StrategyConfig) -> None:
    "A scenario's parameters belong to the code they were found with."
    from futures_algo.config.scenario import check_code

    check_code(name, entry.class_, entry.scenario["code"])


def build_runners(config: LiveConfig) -> list[StrategyRunner]:
    "A runner for each enabled strategy and symbol."
    return [
        StrategyRunner(build_strategy(name, entry), name, symbol, entry.quantity)
        for name, entry in config.strategies.items()
        if entry.enabled
        for symbol in config.symbols_of(name)
    ]


def check_config(config: LiveConfig) -> None:
    """Everything about a config that does not need a connection: strategies importable, parameters in range, limits
    known."""
    runners = build_runners(config)
    if not runners:
        raise ConfigError(
            "strategies", list(config.strategies), "must have at least one enabled", "set enabled to true", "strategies"
        )
    _refuse_seconds(config, runners)
    _translator(config, runners)
    Limits.of(config.execution.limits)


def _refuse_seconds(config: LiveConfig, runners: list[StrategyRunner]) -> None:
    "The engine builds its timeframes from whole minutes."
    wanted = [("engine.timeframes", timeframe) for timeframe in config.engine.timeframes] + [
        (f"strategies.{r.name}", timeframe) for r in runners for timeframe in r.timeframes
    ]
    for path, timeframe in wanted:
        if Timeframe(timeframe).seconds % 60:
            raise ConfigError(
                "timeframe", str(timeframe), "must be whole minutes in a live session", "write 1, 5 or '27min'", path
            )


def build_engine(
    config: LiveConfig,
    content: Mapping[str, Any],  # the file's content, secrets as ${NAMES}: goes into the journal
    journal: Journal,
    *,
    mode: str,  # dry_run, live or simulation
    clock: Clock,
    start: int | None = None,  # ns UTC the feed replays from, when the journal holds no snapshot that reaches further
    end: int | None = None,  # ns UTC at which the feed closes; None goes on
    on_turn: Callable[[Engine], None] = lambda engine: None,
    config_path: Path | None = None,  # the file the config was read from: the engine follows it
) -> "OwnedEngine":
    "An engine with its feed, client and executor; `close` releases them."
    runners, data, execution, simulated = (
        build_runners(config),
        config.databento,
        config.execution,
        mode == "simulation",
    )
    identity = config_hash(_without_secrets(content))
    journal.add_once("configs", hash=identity, at=clock.now(), content=_without_secrets(content))
    _note_scenarios(config, journal, clock.now())
    client = CrossTradeClient(
        execution.crosstrade_api_key,
        execution.crosstrade_base_url,
        execution.account,
        headers=(lambda: {"X-Sim-Now": str(clock.now())}) if simulated else None,
        rate=float("inf") if simulated else 3.0,
    )
    executor = CrossTradeExecutor(
        client,
        journal,
        Gate(Limits.of(execution.limits)),
        account=execution.account,
        clock=clock,
        dry_run=mode == "dry_run",
        translator=_translator(config, runners),
        inline=simulated,
    )
    saved = engine_state.load(journal, 0 if simulated else start or 0, data.symbols)
    feed = DatabentoLiveFeed(
        data.api_key,
        data.symbols,
        schema=data.schema_,
        dataset=data.dataset,
        gateway=data.gateway,
        port=data.port,
        start=start,
        end=end,
        resume=engine_state.position_of(saved) if saved else None,
        heartbeat_s=data.heartbeat_s,
        clock=clock,
    )
    pipeline = BarPipeline(
        {*config.engine.timeframes, *(timeframe for runner in runners for timeframe in runner.timeframes)}, data.schema_
    )
    handlers = [
        attach_log(signal_log, config.logging.folder / "signals.log"),
        attach_log(execution_log, config.logging.folder / "executions.log"),
    ]
    engine = OwnedEngine(
        feed,
        pipeline,
        runners,
        executor,
        journal,
        clock=clock,
        mode=mode,
        config_hash=identity,
        cooldown_s=config.engine.signal_cooldown_s,
        priority={name: entry.priority for name, entry in config.strategies.items()},
        poll_seconds=execution.poll_seconds,
        reconcile_seconds=execution.reconcile_seconds,
        on_turn=on_turn,
        handlers=handlers,
        saved=saved,
        history=None if saved or not data.warmup_days else lambda: warmup_bars(data, start),
        on_start=config.engine.on_start,
        on_stop=config.engine.on_stop,
    )
    if config_path:
        engine.reloader = _reloader(config_path, runners)
    return engine


def _reloader(path: Path, runners: list[StrategyRunner]) -> Any:
    "What follows the config file; it needs this module."
    from futures_algo.engine.reload import Reloader
    from futures_algo.engine.strategy_loader import StrategyLoader

    return Reloader(StrategyLoader(path, runners=runners))


def _note_scenarios(config: LiveConfig, journal: Journal, at: int) -> None:
    "An event for each strategy whose parameters come from a scenario; a warning where its gates had not all passed."
    for name, entry in config.strategies.items():
        if not entry.enabled or not isinstance(record := entry.scenario, dict):
            continue
        message = (
            f"{record['file']} of {record['created']}, hash {record['hash']},"
            f" {'gates passed' if record['passed'] else 'accepted although its gates had not all passed'}"
        )
        journal.add_event(at, "info" if record["passed"] else "warning", "scenario", name, message, **record)


class OwnedEngine(Engine):
    "An engine that closes the client and the logs it was built with."

    def __init__(self, *args, handlers: list, **kwargs):
        super().__init__(*args, **kwargs)
        self._handlers_of_logs = handlers

    def close(self) -> None:
        self.executor.client.close()
        for logger, handler in zip((signal_log, execution_log), self._handlers_of_logs):
            logger.removeHandler(handler)
            handler.close()


def _translator(config: LiveConfig, runners: list[StrategyRunner]) -> SignalTranslator:
    "Sizing by risk for the strategies that ask for it; they must declare a stop."
    budgets = {name: entry.risk_per_trade_usd for name, entry in config.strategies.items() if entry.risk_per_trade_usd}
    stops = {(r.name, r.symbol): r.strategy.exit_rules(r.symbol).stop for r in runners if r.name in budgets}
    for (name, _), stop in stops.items():
        if not stop:
            raise ConfigError(
                "risk_per_trade_usd",
                budgets[name],
                "needs a stop to size by",
                "give the strategy stop_ticks",
                f"strategies.{name}.risk_per_trade_usd",
            )
    return SignalTranslator(budgets, stops)


def _covered(value: Any) -> Any:
    "A secret as stars, its ${NAME} as it is; each of a list."
    if isinstance(value, (list, tuple)):
        return list(map(_covered, value))
    return "***" if isinstance(value, str) and not value.startswith("${") else value


def _without_secrets(content: Any) -> Any:
    "The content as it may be kept: keys and tokens as their ${NAMES} or not at all."
    hidden = lambda name, value: (
        _covered(value) if name.endswith("api_key") or name in ("alert_urls", "alerts") else _without_secrets(value)
    )  # an alert's URL holds its token
    if isinstance(content, Mapping):
        return {name: hidden(name, value) for name, value in content.items()}
    return list(map(_without_secrets, content)) if isinstance(content, (list, tuple)) else content


@contextmanager
def daily_log(config: LoggingConfig) -> Iterator[None]:
    """What the library logs goes to live_trading_DATE.log (UTC), and what the feed and the strategies do to scanner.log
    as well."""
    config.folder.mkdir(parents=True, exist_ok=True)
    handlers = {
        "futures_algo": _file(config.folder / f"live_trading_{pd.Timestamp.now('UTC'):%Y-%m-%d}.log"),
        "futures_algo.scanner": _file(config.folder / "scanner.log"),
    }
    for name, handler in handlers.items():
        logging.getLogger(name).addHandler(handler)
        logging.getLogger(name).setLevel(config.level)
    try:
        yield
    finally:
        for name, handler in handlers.items():
            logging.getLogger(name).removeHandler(handler)
            handler.close()


def _file(path: Path) -> logging.Handler:
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    return handler


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
                return self._engine.run()
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
        if self._engine.supervisor:
            when_alone(self._go_on_alone)
        if threading.current_thread() is not threading.main_thread():
            return
        on_signals(lambda number: self.shutdown(f"signal {number}"))
        self._console = on_console_close(self.shutdown, self._ended)

    def _go_on_alone(self) -> None:
        "The supervisor died, and with it what it told and served: the engine does that itself now."
        if not self._ended.is_set():
            self._open.enter_context(Watch(self.config.engine.journal, self.config.watch))
        self._engine.go_on_alone()

    def on_bar(self, symbol: str, bar: Mapping[str, Any]) -> None:
        "Feed one bar by hand, as the seeds' orchestrator did; the running feed does this itself."
        from futures_algo.aggregator.aggregator import as_bar

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
