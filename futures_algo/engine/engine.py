"""The engine: one loop that takes feed events and produces bars, signals and orders. Its state is the journal.

`LiveTradingSystem` (futures_algo.live.system) builds it from a config; the demo and the tests build it on the loopback
servers.
"""

import logging
import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from futures_algo.aggregator.pipeline import BarPipeline, Instant
from futures_algo.core.types import HOUR, MINUTE, SECOND, Bar, Clock, DataClock, Signal
from futures_algo.engine import position_sync as handover
from futures_algo.engine import snapshot as engine_state
from futures_algo.engine.strategy_guard import Guarded
from futures_algo.execution.orders import instrument_of
from futures_algo.feed.events import ContractMapped, FeedState, IntervalEnd
from futures_algo.signals.generator import SignalGenerator
from futures_algo.strategies.live import StrategyRunner

scanner = logging.getLogger("futures_algo.scanner")  # what the strategies found: logs/scanner.log

STATUS_SECONDS = 0.5  # between status documents, wall time
SNAPSHOT_SECONDS = 10.0  # between snapshots for a successor, wall time
TURN_SECONDS = 0.25  # longest wait for the feed before commands and orders are looked at
RECORDED_LOOK = (
    MINUTE  # ns of recorded time between two such looks: how fast the bars come through must not decide where they fall
)
RECORDED_SNAPSHOT = HOUR  # ns of recorded time between snapshots
STOP_PATIENCE = {
    "leave": 3.0,
    "protect": 10.0,
    "flatten": 10.0,
}  # seconds the broker has for each answer once the engine stops, by `on_stop`


class Engine:
    "Feed events in, orders out."

    def __init__(
        self,
        feed: Any,  # DatabentoLiveFeed
        pipeline: BarPipeline,
        runners: list[StrategyRunner],  # StrategyRunner, one per strategy and symbol
        executor: Any,  # CrossTradeExecutor
        journal: Any,  # Journal, writable
        *,
        clock: Clock,  # WallClock live, DataClock over recorded bars
        mode: str,  # dry_run, live or simulation
        config_hash: str = "",
        cooldown_s: float = 0.0,
        priority: dict[str, int] | None = None,
        poll_seconds: float = 1.0,  # between looks at open orders
        reconcile_seconds: float = 60.0,  # between comparisons of the books
        on_turn: Callable[["Engine"], None] = lambda engine: None,  # called between events: progress, config reload
        saved: dict[str, Any] | None = None,  # `engine_state.load`: where the engine before this one stood
        history: (
            Callable[[], Iterable[Bar]] | None
        ) = None,  # one-minute bars before the feed's first, to warm up with when nothing was saved
        on_start: str = "flat",  # flat, adopt or align: see `handover`
        on_stop: str = "leave",  # leave, flatten or protect open positions
    ) -> None:
        self.feed, self.pipeline, self.runners, self.executor, self.journal, self.clock = (
            feed,
            pipeline,
            runners,
            executor,
            journal,
            clock,
        )
        self.mode, self.config_hash, self.on_turn = mode, config_hash, on_turn
        self.on_start, self.on_stop, self._saved, self._history = on_start, on_stop, saved, history
        self.generator = SignalGenerator((), executor, cooldown_s, priority)
        self._journaled: dict[
            tuple[str, str], int
        ] = {}  # end of the newest bar in the journal, by symbol and timeframe
        self.follow(runners)
        self.counts: Counter[str] = Counter()  # bars_in, signals, and completed bars by timeframe
        self.feed_state = FeedState("connecting", "", 0)
        self.state, self.run_id, self.stop_reason = "starting", secrets.token_hex(8), ""
        self._poll_every, self._reconcile_every = int(poll_seconds * SECOND), int(reconcile_seconds * SECOND)
        self._next_poll = self._next_reconcile = self._compared = 0
        self._is_recorded, self._next_look = isinstance(clock, DataClock), 0
        self._next_status, self._next_snapshot = 0.0, self._snapshot_after()
        self._latest: dict[str, Bar] = {}  # the last closed bar of each symbol
        self._noted: dict[tuple[str, str], int] = {}  # (strategy, symbol) -> end of the evaluation in the journal
        self.trading_state = ("ACTIVE", 0)  # what entries meet, and since when (ns UTC)
        self._is_present = False  # the stream has reached the present once
        self._instruments: dict[str, str] = {}  # dated contract -> NinjaTrader's name
        self.reloader = None  # what follows the config file, see `reload`
        self.supervisor = os.environ.get(
            "FUTURES_ALGO_SUPERVISOR", ""
        )  # who starts this process again; "lost" when that one died
        executor.client.before_request(self.beat)
        self._handlers: dict[type, Callable[[Any], Any]] = {
            Bar: self._on_bar,
            IntervalEnd: self._on_interval_end,
            ContractMapped: self._on_contract,
            FeedState: self._on_feed_state,
        }
        executor.warm = self._is_warm

    # --- life

    def run(self) -> str:
        "Recover, then follow the feed until it closes or `stop` is called; returns why it ended."
        from futures_algo import __version__

        self.journal.hold()
        self.journal.add(
            "runs",
            run_id=self.run_id,
            started=time.time_ns(),
            pid=os.getpid(),
            mode=self.mode,
            account=self.executor.account,
            config_hash=self.config_hash,
            version=__version__,
        )
        if self._saved:
            self._advance(engine_state.last_moment(self._saved, self.journal))
        if why := os.environ.get("FUTURES_ALGO_RESTARTS"):
            self.journal.add_event(self.clock.now(), "alarm", "engine", self.run_id, why)
        try:
            self._begin()
            while not self.stop_reason and self.feed.state != "closed":
                self._turn()
        except (
            Exception
        ) as error:  # the one supervisor boundary: say it where everybody looks, and die; the next start recovers
            self.stop_reason = f"{type(error).__name__}: {error}"
            self.journal.add_event(self.clock.now(), "alarm", "engine", self.run_id, f"died of {self.stop_reason}")
            self.journal.flush()
            raise
        self._end()
        return self.stop_reason

    def _begin(self) -> None:
        "Reconcile, go back to where the last engine stood, and only then trade."
        engine_state.remember_commands(self)
        self._journaled = self.journal.ends()
        self._enter("recovering")
        self._report_differences(self.executor.recover())
        if self._saved:
            self._enter("warming up")
            engine_state.restore(self, self._saved)
        elif self._history:
            self._enter("warming up")
            engine_state.warm_up(self, engine_state.fetched(self, self._history))
        self.save()  # whatever comes, the next engine goes on from a moment this one has stood at
        self._enter("ready")

    def stop(self, reason: str) -> None:
        "Ask the loop to end; safe from a signal handler or another thread."
        self.stop_reason = self.stop_reason or reason

    def follow(self, runners: list[StrategyRunner]) -> None:
        "Ask these from now on; one that broke stays switched off until it is replaced."
        asked: list[Any] = self.generator.strategies
        known = {id(one.runner): one for one in asked}
        self.runners = list(runners)
        guarded: list[Any] = [known.get(id(runner)) or Guarded(runner, self._switch_off) for runner in runners]
        for one in guarded:
            if id(one.runner) not in known:  # an engine before this one decided there, by what held then
                one.silent_through = self.acted().get(one.symbol, 0)
        self.generator.strategies = guarded

    def is_broken(self, runner: Any) -> bool:
        asked: list[Any] = self.generator.strategies
        return any(one.is_broken for one in asked if one.runner is runner)

    def _switch_off(self, runner: Any, error: Exception) -> None:
        "A strategy's code raised: no exit of its would come, so what it holds is closed, as when it leaves the config."
        keeps = self.reloader is not None and self.reloader.loader.running.config.engine.on_remove == "keep"
        self.journal.add_event(
            self.clock.now(),
            "alarm",
            "strategy",
            f"{runner.name}:{runner.symbol}",
            f"raised {type(error).__name__}: {error}; it is switched off until its code or parameters change or the"
            f" engine starts again, and what it holds is {'kept: flatten it' if keeps else 'closed'}",
        )
        held = dict.fromkeys(handover.entering(self, runner), 0) | handover._held(self, runner)
        for instrument in () if keeps else held:
            self.executor.close((runner.name, instrument), "failed")

    def beat(self) -> None:
        "Say that it lives, in the middle of what may take long."
        if self.state != "starting" and time.monotonic() >= self._next_status:
            self.write_status()

    def go_on_alone(self) -> None:
        "The supervisor died; safe from another thread."
        self.supervisor = "lost"
        self.journal.add_event(
            self.clock.now(),
            "alarm",
            "engine",
            self.run_id,
            "its supervisor is gone: it trades on, and nothing starts it again when it dies; "
            "`futures-algo stop` ends it, then `run --supervised` starts a supervised one",
        )

    def _turn(self) -> None:
        "The feed's events for a moment, then everything that is due."
        heard = False
        for event in self.feed.events(TURN_SECONDS):
            heard = True
            self._handlers[type(event)](event)
            if self.stop_reason:
                return
            if self._is_look(event):
                self._due()
        if not (self.stop_reason or heard and self._is_recorded):
            self._due()

    def _is_look(self, event: Any) -> bool:
        """Whether to look up behind this event. Over recorded bars that is a matter of their time: behind an interval's
        end, and not in what an engine before this one has seen."""
        if not self._is_recorded:
            return time.monotonic() >= self._next_status
        if type(event) is not IntervalEnd or event.end < max(self._next_look, self.clock.now()):
            return False
        self._next_look = event.end - event.end % RECORDED_LOOK + RECORDED_LOOK if RECORDED_LOOK else 0
        return True

    def _due(self) -> None:
        "Commands, orders, books and status, each when its time has come."
        for command in self.journal.new_commands():
            self._obey(command)
        now = self.clock.now()
        if _is_due(now, self._next_poll, self._poll_every):
            self._next_poll = now + self._poll_every
            self.executor.poll()
        if (
            _is_due(now, self._next_reconcile, self._reconcile_every) or self.counts["signals"] != self._compared
        ):  # a trade is news for both books
            self._next_reconcile, self._compared = now + self._reconcile_every, self.counts["signals"]
            self._report_differences(self.executor.reconcile())
        if time.monotonic() >= self._next_status:
            self.write_status()
        if self.elapsed() >= self._next_snapshot:
            self.save()
        if self.reloader:
            self.reloader.follow(self)
        self.on_turn(self)

    def save(self) -> None:
        "Take a snapshot for a successor."
        engine_state.save(self)
        self._next_snapshot = self._snapshot_after()

    def elapsed(self) -> float:
        "What snapshots and looks at the config go by: seconds, of recorded time over recorded bars."
        return self.clock.now() / SECOND if self._is_recorded else time.monotonic()

    def _snapshot_after(self) -> float:
        return self.elapsed() + (RECORDED_SNAPSHOT / SECOND if self._is_recorded else SNAPSHOT_SECONDS)

    def _end(self) -> None:
        self.stop_reason = self.stop_reason or f"the feed closed: {self.feed.reason}"
        self._enter("stopping")
        self.save()
        self.feed.shutdown()
        self.executor.client.set_stop_timeout(STOP_PATIENCE[self.on_stop])
        handover.leave(self, self.on_stop)
        self._enter("stopped")
        self.journal.update("runs", "run_id", self.run_id, ended=time.time_ns())
        self.journal.flush()

    def _enter(self, state: str) -> None:
        self.state = state
        self.journal.add_event(
            self.clock.now(),
            "info",
            "engine",
            self.run_id,
            f"{state}{': ' + self.stop_reason if self.stop_reason else ''}",
            through=self.acted(),
        )
        self.write_status()

    # --- the stream

    def _on_bar(self, bar: Bar) -> None:
        self.counts["bars_in"] += 1
        self._advance(bar.start)  # what the bar closes, it closes before its own time begins
        for instant in self.pipeline.push(bar):
            self._advance(instant[0].end)
            self._on_instant(instant)

    def _on_interval_end(self, event: IntervalEnd) -> None:
        self._advance(event.end)
        for instant in self.pipeline.advance(event.end):
            self._on_instant(instant)

    def _advance(self, to: int) -> None:
        if isinstance(self.clock, DataClock):
            self.clock.advance(to)

    def _on_instant(self, instant: Instant) -> None:
        "Bars of one symbol closed: journal them, let strategies decide, journal what they saw."
        received = self.clock.now()
        self._mark(instant[0])
        for bar in instant:
            self.counts[bar.timeframe] += 1
            self.journal_bar(bar, received)
        signals = self.generator.on_bars(instant)
        self.counts["signals"] += len(signals)
        for signal in signals:
            scanner.info(
                "%s %s %s at %s: %s", signal.strategy, signal.action, signal.contract, signal.price, signal.reason
            )

    def acted(self) -> dict[str, int]:
        """End (ns UTC) of what was acted on of each symbol, by this engine or one before it: a change that is made now
        holds for what ends later."""
        reached = self.pipeline.minutes.reached()
        before = {symbol: end for (symbol, timeframe), end in self._journaled.items() if timeframe == "1min"}
        return {symbol: max(before.get(symbol, 0), reached.get(symbol, 0)) for symbol in {**before, **reached}}

    def journal_bar(self, bar: Bar, received: int) -> None:
        "Write a bar unless an engine before this one has."
        if bar.end > self._journaled.get((bar.symbol, bar.timeframe), 0):
            self.journal.add_bar(bar, received)

    def _mark(self, bar: Bar) -> None:
        "The latest price of a contract values what is open in it."
        self._latest[bar.symbol] = bar
        if bar.contract not in self._instruments:
            self._instruments[bar.contract] = instrument_of(bar.contract, bar.end) if bar.contract else ""
        if name := self._instruments[bar.contract]:
            self.executor.mark(name, bar.close, bar.end)

    def _note_evaluations(self) -> None:
        "What each strategy saw last, for whoever asks why it does not trade; the journal keeps one row each."
        for runner in self.runners:
            key, end = (runner.name, runner.symbol), runner.evaluation.get("bar_end")
            if end is None or self._noted.get(key) == end or self.is_broken(runner):
                continue
            self._noted[key] = end
            self._note(runner)

    def _note(self, runner: Any) -> None:
        self.journal.put(
            "evaluations",
            strategy=runner.name,
            symbol=runner.symbol,
            bar_end=runner.evaluation["bar_end"],
            ready=runner.is_ready(),
            position=runner.decided,
            vals=_finite(runner.describe()),
        )

    def _on_contract(self, event: ContractMapped) -> None:
        self.journal.add_event(
            event.at, "info", "contract", event.symbol, f"means {event.contract}", instrument_id=event.instrument_id
        )

    def _on_feed_state(self, event: FeedState) -> None:
        level = "info" if event.state in ("connecting", "replaying", "live", "closed") else "warning"
        self.feed_state = event
        self.journal.add_event(self.clock.now(), level, "feed", event.state, event.reason)

        if event.state == "live" and not self._is_present:
            self._is_present = True
            handover.settle(self, self.on_start)

    def latest(self, symbol: str) -> tuple[str, float]:
        "Contract and last close of a symbol."
        bar = self._latest.get(symbol)
        return (bar.contract, bar.close) if bar else (self.feed.contracts.get(symbol, ""), 0.0)

    def _is_warm(self, signal: Signal) -> bool:
        return any(r.is_ready() for r in self.runners if r.name == signal.strategy and r.symbol == signal.symbol)

    def _report_differences(self, differences: dict[str, tuple[int, int]]) -> None:
        for instrument, (ours, theirs) in differences.items():
            self.journal.add_event(
                self.clock.now(),
                "alarm",
                "reconcile",
                instrument,
                f"our books hold {ours:+d}, the broker's {theirs:+d}",
            )

    # --- commands and status

    def _obey(self, command: dict[str, Any]) -> None:
        from futures_algo.engine.commands import obey

        state, answer = obey(self, command["verb"], command["args"])
        self.write_status()  # what was answered must be found by the next engine
        self.journal.acknowledge(command["id"], state, answer)
        self.journal.add_event(
            self.clock.now(),
            "info" if state == "done" else "warning",
            "command",
            command["verb"],
            f"{command['who']}: {answer}",
        )

    def write_status(self) -> None:
        "What a watcher needs to know now."
        from futures_algo.engine.commands import status_documents

        self._next_status = time.monotonic() + STATUS_SECONDS
        at, trading = time.time_ns(), self.executor.books.trading
        if self.trading_state[0] != trading:
            self.trading_state = (trading, self.clock.now())
        for key, document in status_documents(self).items():
            self.journal.set_status(key, at, **document)
        self._note_evaluations()
        self.journal.flush()


def _is_due(now: int, at: int, every: int) -> bool:
    return not at - every <= now < at  # a clock that was set back must not end the looking


def _finite(content: Any) -> Any:
    "JSON has no NaN: a value not there yet is null."
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    return None if isinstance(content, float) and content != content else content
