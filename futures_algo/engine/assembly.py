"""An engine put together from a config: its feed, its broker, its journal, and what follows the file."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from futures_algo.aggregator.pipeline import BarPipeline
from futures_algo.broker.opening import BrokerSettings, open_broker
from futures_algo.config.loading import config_hash
from futures_algo.config.model import LiveConfig
from futures_algo.core.logs import attach_log
from futures_algo.core.types import (
    Clock,
)
from futures_algo.engine import snapshot as engine_state
from futures_algo.engine.build import build_runners, note_scenarios, translator_of, without_secrets
from futures_algo.engine.engine import Engine
from futures_algo.engine.warmup import warmup_bars
from futures_algo.execution.executor import CrossTradeExecutor, execution_log
from futures_algo.execution.gate import Gate, Limits
from futures_algo.execution.own_thread import OwnThread
from futures_algo.execution.resting_pairs import Protection
from futures_algo.feed.opening import FeedSettings, open_feed
from futures_algo.journal.journal import Journal
from futures_algo.signals.generator import signal_log
from futures_algo.strategies import StrategyRunner


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
    identity = config_hash(without_secrets(content))
    journal.add_once("configs", hash=identity, at=clock.now(), content=without_secrets(content))
    note_scenarios(config, journal, clock.now())
    settings = BrokerSettings(
        execution.account,
        execution.crosstrade_api_key,
        execution.crosstrade_base_url,
        clock.now if simulated else None,
    )
    client = open_broker(execution.broker, settings)
    executor = CrossTradeExecutor(
        client,
        journal,
        Gate(Limits.of(execution.limits)),
        account=execution.account,
        clock=clock,
        dry_run=mode == "dry_run",
        translator=translator_of(config, runners),
        inline=simulated,
    )
    worker = executor if simulated else OwnThread(executor)
    saved = engine_state.load(journal, 0 if simulated else start or 0, data.symbols)
    resume = engine_state.position_of(saved) if saved else None
    feed = open_feed(config.engine.feed, FeedSettings(data, start, end, resume, clock))
    pipeline = BarPipeline(
        {*config.engine.timeframes, *(timeframe for runner in runners for timeframe in runner.timeframes)}, data.schema_
    )
    handlers = [
        attach_log(signal_log, config.logging.folder / "signals.log"),
        attach_log(execution_log, config.logging.folder / "executions.log"),
    ]
    engine = _owned(
        handlers,
        feed,
        pipeline,
        runners,
        worker,
        journal,
        clock=clock,
        mode=mode,
        config_hash=identity,
        cooldown_s=config.engine.signal_cooldown_s,
        priority={name: entry.priority for name, entry in config.strategies.items()},
        poll_seconds=execution.poll_seconds,
        reconcile_seconds=execution.reconcile_seconds,
        on_turn=on_turn,
        saved=saved,
        history=None if saved or not data.warmup_days else lambda: warmup_bars(data, cast(int, start)),
        on_start=config.engine.on_start,
        on_stop=config.engine.on_stop,
        protection=Protection(
            config.engine.protect_within_s, config.engine.emergency_stop_ticks, config.engine.resting_grace_s
        ),
    )
    if config_path:
        engine.reloader = _reloader(config_path, runners)
    return engine


def _reloader(path: Path, runners: list[StrategyRunner]) -> Any:
    "What follows the config file; it needs this module."
    from futures_algo.engine.reload import Reloader
    from futures_algo.engine.strategy_loader import StrategyLoader

    return Reloader(StrategyLoader(path, runners=runners))


def _owned(handlers: list[logging.Handler], *parts: Any, **settings: Any) -> "OwnedEngine":
    "The engine; one that cannot be made leaves no log open."
    try:
        return OwnedEngine(*parts, handlers=handlers, **settings)
    except BaseException:
        detach_logs(handlers)
        raise


def detach_logs(handlers: list[logging.Handler]) -> None:
    for logger, handler in zip((signal_log, execution_log), handlers, strict=True):
        logger.removeHandler(handler)
        handler.close()


class OwnedEngine(Engine):
    "An engine that closes the client and the logs it was built with."

    def __init__(self, *args: Any, handlers: list[Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._handlers_of_logs = handlers

    def close(self) -> None:
        self.executor.client.close()
        detach_logs(self._handlers_of_logs)
