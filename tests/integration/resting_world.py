"A whole engine over recorded bars on the paper broker, and what its journal says."

import json
from contextlib import contextmanager

from futures_algo.aggregator.pipeline import BarPipeline
from futures_algo.core.types import DataClock
from futures_algo.crosstrade.client import CrossTradeClient
from futures_algo.engine.engine import Engine
from futures_algo.execution.executor import CrossTradeExecutor
from futures_algo.execution.gate import Gate, Limits
from futures_algo.execution.resting_pairs import Protection
from futures_algo.journal.journal import Journal
from futures_algo.sim.broker import PaperBroker
from futures_algo.sim.fills import FillRules
from futures_algo.sim.inprocess import BrokerLine, RecordedFeed
from futures_algo.strategies.live import StrategyRunner


@contextmanager
def engine_over(strategy, bars, folder, prices=None, protection=Protection(), rules=None, name="resting.db"):
    "An engine that trades the bars; the broker's prices are the same bars unless others are given."
    clock = DataClock(int(bars.start[0]))
    rules = rules or FillRules(limit=strategy.fill_limit)
    broker = PaperBroker(prices or {bars.symbol: bars}, clock, "Sim101", "paper-token", rules=rules)
    client = CrossTradeClient(
        "paper-token",
        "http://127.0.0.1:1",
        "Sim101",
        headers=lambda: {"X-Sim-Now": str(clock.now())},
        rate=float("inf"),
        transport=BrokerLine(broker),
    )
    with Journal(folder / name, durable=False) as journal, client:
        executor = CrossTradeExecutor(
            client,
            journal,
            Gate(Limits(max_orders_per_minute=None)),
            account="Sim101",
            clock=clock,
            dry_run=False,
            inline=True,
        )
        runner = StrategyRunner(strategy, "s", bars.symbol)
        engine = Engine(
            RecordedFeed(iter(list(bars)), (bars.symbol,)),
            BarPipeline(set(runner.timeframes), "ohlcv-1m"),
            [runner],
            executor,
            journal,
            clock=clock,
            mode="simulation",
            protection=protection,
        )
        executor.warm = lambda signal: True  # research trades from the first value on
        yield engine


def causes(journal):
    "Resting orders' events by cause."
    return [
        json.loads(row["data"]) | {"at": row["at"], "level": row["level"]}
        for row in journal.rows("events", "kind = 'resting'")
    ]


def round_trips(journal):
    "Entry and exit price and side of each round trip of one contract."
    fills = [((1 if row["side"] == "BUY" else -1), row["price"]) for row in journal.rows("fills")]
    return [(side, price, out) for (side, price), (_, out) in zip(fills[::2], fills[1::2], strict=False)]
