"""The demo: the whole chain on loopback servers, with no key, no account and no network.

Real `databento.Live` client <- loopback gateway; real CrossTrade client -> NT8 paper broker; everything between is what
runs live.
"""

import math
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from futures_algo.config.files import merge
from futures_algo.config.loading import parse_config, read_config
from futures_algo.config.model import LiveConfig
from futures_algo.core.contracts import product, root_of
from futures_algo.core.types import GENERATED, Bars, ConfigError, DataClock, DataError

DEMO_KEY, DEMO_TOKEN = (
    "db-demo-0000000000000000000000",
    "demo-token",
)  # the loopback servers accept these and nothing else
DEFAULT_CONFIG = Path("config/live_trading_config.json")


class Recording(NamedTuple):
    "The bars a demo plays."

    path: Path  # one DBN file with continuous symbols
    schema: str  # ohlcv-1s or ohlcv-1m
    bars: dict[str, Bars]  # by feed symbol
    origin: str = ""  # GENERATED where no market made them

    @property
    def count(self) -> int:  # type: ignore[override]  # of bars; nobody counts fields
        return sum(map(len, self.bars.values()))

    @property
    def start(self) -> int:
        return min(int(bars.start[0]) for bars in self.bars.values())

    @property
    def end(self) -> int:
        return max(int(bars.end[-1]) for bars in self.bars.values())


def generated(folder: Path, seed: int) -> Recording:
    "Two sessions of ES and NQ with a roll between them."
    from futures_algo.history import read_dbn
    from futures_algo.sim.market import generate

    path = generate(folder, seed).files["ohlcv-1s"][0]
    return Recording(path, "ohlcv-1s", read_dbn(path), GENERATED)


def recorded(files: list[Path], folder: Path) -> Recording:
    "The user's files as one; a file that names contracts (ESU4) plays them as their root's front (ES.c.0)."
    from futures_algo.history import read_dbn, write_dbn

    bars: dict[str, Bars] = {}
    for path in files:
        for symbol, found in read_dbn(path).items():
            name = symbol if "." in symbol else f"{root_of(symbol)}.c.0"
            if not len(found):
                raise DataError("file", path.name, f"must hold bars of {symbol}", "choose a longer range", str(path))
            if name in bars:
                raise DataError(
                    "symbol",
                    symbol,
                    f"must stand in one file only, and another one holds {name} too",
                    "join the files with import first",
                    str(path),
                )
            product(name)
            bars[name] = replace(found, symbol=name)
    timeframes = {found.timeframe for found in bars.values()}
    if len(timeframes) > 1 or not timeframes <= {"1s", "1min"}:
        raise DataError(
            "timeframe",
            ", ".join(sorted(timeframes)),
            "must be 1s or 1min, the same in all files",
            "use ohlcv-1s or ohlcv-1m files",
        )
    schema = "ohlcv-1s" if timeframes == {"1s"} else "ohlcv-1m"
    path = folder / f"demo.{schema}.dbn.zst"
    write_dbn(path, bars)
    return Recording(path, schema, bars)


def demo_config(path: Path, recording: Recording, folder: Path) -> tuple[LiveConfig, dict]:
    """The user's config with feed, broker and folders pointed at the demo; strategies keep the recorded symbols they
    trade."""
    content = read_config(path)
    symbols = list(recording.bars)
    changes = {
        "databento": {"symbols": symbols, "schema": recording.schema, "api_key": DEMO_KEY},
        "execution": {
            "crosstrade_api_key": DEMO_TOKEN,
            "dry_run": False,
            "reconcile_seconds": 900,
        },  # recorded seconds: nobody trades beside us
        "engine": {"journal": str(folder / "journal.db")},
        "logging": {"folder": str(folder / "logs")},
    }
    content = merge(content, changes)
    strategies = content.get("strategies")
    if not isinstance(strategies, dict):
        raise ConfigError(
            "strategies",
            strategies,
            "must be an object of strategies by name",
            "see config/live_trading_config.json",
            "strategies",
        )
    wanted = {
        name: {**entry, "symbols": [s for s in entry.get("symbols") or symbols if s in symbols]}
        for name, entry in strategies.items()
        if isinstance(entry, dict)
    }
    kept = {name: entry for name, entry in wanted.items() if entry["symbols"]}
    content["strategies"] = kept or {name: {**entry, "symbols": symbols} for name, entry in wanted.items()}
    return parse_config(content, {}, path.name, path.parent), content


class Demo:
    "Gateway, paper broker and engine on one recording."

    def __init__(
        self,
        recording: Recording,
        folder: Path,  # journal and logs go here
        config: Path = DEFAULT_CONFIG,
        speed: float = math.inf,  # data seconds a second; inf is as fast as the engine reads
        serve: Callable[[Path], Any]
        | None = None,  # serves a journal's page, as `monitor.serve` does; None has no page
    ):
        from futures_algo.engine.build import check_config

        self.recording, self.folder, self.speed, self.serve = recording, folder, speed, serve
        self.config, self.content = demo_config(config, recording, folder)
        self.on_progress: Callable[[int, int], None] = lambda done, total: None  # bars in, bars in all
        check_config(self.config)

    def run(
        self,
        on_page: Callable[[str], None] = lambda url: None,  # told the page's URL when it is up
        on_end: Callable[[dict[str, Any]], None] = lambda summary: None,  # told the summary while the page is still up
    ) -> dict[str, Any]:
        "Play the recording to its end and return the summary."
        from futures_algo.journal.journal import Journal
        from futures_algo.sim.broker import PaperBroker
        from futures_algo.sim.gateway import LoopbackGateway

        began = time.perf_counter()
        clock = DataClock(self.recording.start)
        with ExitStack() as stack:
            gateway = stack.enter_context(
                LoopbackGateway({self.recording.schema: [self.recording.path]}, [DEMO_KEY], speed=self.speed)
            )
            broker = stack.enter_context(
                PaperBroker(self.recording.bars, clock, self.config.execution.account, DEMO_TOKEN)
            )
            journal = stack.enter_context(Journal(self.config.engine.journal))
            journal.set_status("data", time.time_ns(), origin=self.recording.origin)
            if self.serve:
                on_page(self._page(stack, self.serve))
            engine = self._engine(stack, gateway, broker, journal, clock)
            engine.run()
            engine.executor.reconcile()
            engine.write_status()
            summary = self._summary(engine, time.perf_counter() - began)
            on_end(summary)
            return summary

    def _page(self, stack: ExitStack, serve: Callable[[Path], Any]) -> str:
        page = serve(self.config.engine.journal)
        stack.callback(page.stop)
        return page.url

    def _engine(self, stack: ExitStack, gateway, broker, journal, clock: DataClock):
        from futures_algo.engine.assembly import build_engine

        changed = self.config.model_copy(
            update={
                "databento": self.config.databento.model_copy(update={"gateway": "127.0.0.1", "port": gateway.port}),
                "execution": self.config.execution.model_copy(update={"crosstrade_base_url": broker.url}),
            }
        )
        engine = build_engine(
            changed,
            self.content,
            journal,
            mode="simulation",
            clock=clock,
            start=self.recording.start,
            end=self.recording.end,
            on_turn=lambda engine: self.on_progress(engine.counts["bars_in"], self.recording.count),
        )
        stack.callback(engine.close)
        return engine

    def _summary(self, engine, elapsed: float) -> dict[str, Any]:
        "The numbers of the final table, read from the journal."
        journal, counts = engine.journal, engine.counts
        fills, signals, intents = journal.rows("fills"), journal.rows("signals"), journal.rows("intents")
        at_broker = Counter(
            order.order_id
            for order in engine.executor.client.get_orders(self.config.execution.account, active_only=False)
        )
        timeframes = sorted({row["timeframe"] for row in journal.rows("bars")}, key=lambda t: (len(t), t))
        positions = {name: ledger.quantity for (_, name), ledger in engine.executor.ledgers.items() if ledger.quantity}
        return {
            "origin": self.recording.origin,
            "bars_in": counts["bars_in"],
            "bars_out": {timeframe: counts[timeframe] for timeframe in timeframes},
            "signals": len(signals),
            "verdicts": dict(Counter(row["verdict"] for row in signals)),
            "orders": len(intents),
            "fills": len(fills),
            "fills_by_symbol": dict(Counter(f"{root_of(row['instrument'])} {row['side']}" for row in fills)),
            "duplicate_orders": sum(at_broker.values()) - len(at_broker) + max(0, len(at_broker) - len(intents)),
            "lost_bars": self.recording.count - counts["bars_in"],
            "duplicate_bars": engine.feed.duplicates,
            "positions": positions,
            "pnl_usd": round(engine.executor.pnl_usd(), 2),
            "commission_usd": round(sum(row["commission"] for row in fills), 2),
            "locked": dict(engine.executor.books.locked),
            "elapsed_s": round(elapsed, 2),
            "journal": str(self.config.engine.journal),
        }
