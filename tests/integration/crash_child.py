"""A trading process made to be killed, and the process that makes them.

Started once, it imports everything and then forks a child for each line `JOURNAL URL SEED MODE` on its standard input:
`trade` submits signals until it is
killed, `settle` recovers, waits until nothing is open, prints what is locked and ends. Answers: `pid N`, then `end
STATUS`.
"""

import json
import os
import random
import sys
import time

from futures_algo.core.types import ACTIONS, Signal, WallClock, signal_id
from futures_algo.crosstrade.client import CrossTradeClient
from futures_algo.crosstrade.rate_limit import TokenBucket
from futures_algo.execution.executor import CrossTradeExecutor
from futures_algo.execution.gate import Gate, Limits
from futures_algo.journal.journal import Journal

SETTLE_SECONDS = 20


class AlwaysOpen(Gate):
    "The market's hours are not what is tested here, and the test runs on weekends too."

    def _calendar_denials(self, signal, now, last_trade):
        return ()


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def boot(path: str, url: str) -> CrossTradeExecutor:
    journal = Journal(path)
    journal.hold()
    client = CrossTradeClient(
        "paper-token", url, account="Sim101", bucket=TokenBucket(100_000, 100_000), timeout=2.0, attempts=1
    )
    executor = CrossTradeExecutor(
        client, journal, AlwaysOpen(Limits(max_orders_per_minute=None)), account="Sim101", dry_run=False, grace_s=0.3
    )
    executor.recover()
    return executor


def trade(executor: CrossTradeExecutor, seed: int) -> None:
    "Signals and looks, as fast as they go, until somebody ends it."
    rng = random.Random(seed)
    while True:
        at, action, strategy = WallClock().now(), rng.choice(ACTIONS), rng.choice(("trend", "fade"))
        identity = signal_id(strategy, "c0", "ESZ7", at, action)
        executor.submit_signal(Signal(identity, strategy, "ES.c.0", "ESZ27", action, at, "1min", 5850.0, "c0"))
        for _ in range(rng.randrange(3)):
            executor.poll()
        if not executor.books.reconciled:
            executor.reconcile()


def settle(executor: CrossTradeExecutor) -> None:
    "Wait until nothing is open, with a deadline."
    deadline = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < deadline:
        executor.poll()
        executor.reconcile()
        locked, waiting = executor.books.locked, executor.waiting.keys()
        if executor.books.reconciled and not executor.orders.open and all(key[1] in locked for key in waiting):
            break
        time.sleep(0.02)
    say(
        "settled "
        + json.dumps({"locked": locked, "open": len(executor.orders.open), "reconciled": executor.books.reconciled})
    )
    executor.journal.close()


def main() -> None:
    say("ready")
    for line in sys.stdin:
        path, url, seed, mode = line.split()
        if pid := os.fork():
            say(f"pid {pid}")
            say(f"end {os.waitpid(pid, 0)[1]}")
            continue
        executor = boot(path, url)
        if mode == "trade":
            trade(executor, int(seed))
        settle(executor)
        os._exit(0)


if __name__ == "__main__":
    main()
