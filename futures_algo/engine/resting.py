"""Exits that rest at the broker, on the engine's side: what the models want goes to the executor, what the broker did
comes back.

The order model (`strategies.orders`) predicts from bars what rests where; the broker's own book decides. The exit of a
resting order asks for no order, and where bars and broker differ, the broker is believed and the cause journaled
(`execution.resting_pairs.CAUSES`). Live the executor has a thread of its own: nothing here waits for it, and no order
or ledger is touched from here. Over recorded bars everything happens at once, in the order of the data.
"""

from collections import deque
from typing import Any

from futures_algo.core.contracts import root_of
from futures_algo.core.types import MINUTE, SECOND, Signal, Timeframe
from futures_algo.execution.orders import instrument_of
from futures_algo.execution.resting_pairs import CAUSES, Hung, Key, Left, News, PairDesk, Protection, Wish
from futures_algo.execution.verdicts import Decision
from futures_algo.strategies.live import StrategyRunner
from futures_algo.strategies.position import RESTED


class RestingOrders:
    "The pairs of an engine's strategies; the signal generator's executor."

    def __init__(self, engine: Any, settings: Protection):
        self.engine, self.executor, self.settings = engine, engine.executor, settings
        self._runners: list[StrategyRunner] = []
        self._queued: set[tuple[Key, float]] = set()  # targets whose wait in the queue was journaled
        self._news: deque[News] = deque()  # from the executor's thread
        self._is_asked = False  # a look at the pairs waits already
        self.desk = PairDesk(self.executor.here, settings, self._news.append)

    def attach(self, runners: list[StrategyRunner]) -> None:
        "Look after these; they ask whether a target that the bars reached was filled."
        self._runners = [one for one in runners if one.strategy.rests or self.settings.emergency_stop_ticks]
        for runner in self._runners:
            runner.has_filled = self.has_filled
        self.executor.after_look(self.desk.follow if self._runners else None)

    # --- signals

    def submit_signal(self, signal: Signal) -> Decision:
        "A signal on its way to the executor; the exit of an order that rests has nothing to send."
        if signal.reason not in RESTED or self.executor.books.dry_run:
            decision: Decision = self.executor.submit_signal(signal)
            return decision
        if self.executor.knows(signal):
            return Decision("duplicate")
        if self._is_past(signal.bar_end, Timeframe(signal.timeframe)):
            why = "of the past: the broker's book has gone on since"
            self.executor.post(lambda: self.executor.note(signal, "resting", why))
            return Decision("resting")
        key = signal.strategy, instrument_of(signal.contract, signal.bar_end)
        deadline = self.engine.clock.now() + int(self.settings.grace_s * SECOND)
        self.executor.post(lambda: self.desk.reach(signal, key, deadline))
        return Decision("resting")

    def has_filled(self, runner: StrategyRunner, price: float, at: int) -> bool:
        """Whether the broker's target filled, which the bars reached; yes where no target of the strategy rests. Live
        that is what the last look has shown."""
        if self.executor.books.dry_run or self._is_past(at, runner.strategy.base_timeframe):
            return True
        self.executor.poll()
        if self.executor.inline:
            self.desk.show()
        for key, rest in self.desk.rests.items():
            if key[0] == runner.name and root_of(key[1]) == root_of(runner.symbol) and rest.held and rest.has_target:
                self._wait_in_queue(key, price)
                return False
        return True

    def _wait_in_queue(self, key: Key, price: float) -> None:
        if (key, price) not in self._queued:
            self._queued.add((key, price))
            self.desk.say("info", key, "queue", "target_order", price, None)

    # --- following

    def follow(self) -> None:
        "Say what the models want, and take in what the broker did."
        if not self._runners or self.executor.books.dry_run:
            return
        self._take_news()
        self.desk.wishes = [self._wish(runner) for runner in self._runners if not self.engine.is_broken(runner)]
        if not self._is_asked:
            self._is_asked = True
            self.executor.post(self._look_at_pairs)
        self._take_news()

    def _look_at_pairs(self) -> None:
        self._is_asked = False
        self.desk.follow()

    def _wish(self, runner: StrategyRunner) -> Wish:
        rules, hang = runner.strategy.exit_rules(runner.symbol), runner.hanging()
        about = (runner.name, root_of(runner.symbol), runner.pair, runner.seen, runner.entering)
        is_past = self._is_past(runner.seen, runner.strategy.base_timeframe)
        is_flat = runner.strategy.rests and runner.position == "FLAT" and not runner.entering
        return Wish(*about, hang, rules.tick, rules.per_point, is_past, is_flat)

    def _is_past(self, at: int, base: Timeframe) -> bool:
        "Whether a bar's end lies so far back that the stream is replaying."
        return bool(self.engine.clock.now() - at > 2 * base.nanos + MINUTE)

    def look(self) -> None:
        "Over recorded bars the broker meets a bar when it is asked about it: ask before the strategies decide."
        if self.executor.inline and any(order.is_protective for order in self.executor.orders.open.values()):
            self.executor.poll()

    # --- where bars and broker differ

    def _take_news(self) -> None:
        while self._news:
            news = self._news.popleft()
            for runner in self._runners:
                if (runner.name, root_of(runner.symbol)) == (news.wish.strategy, news.wish.root):
                    self._take(runner, news)

    def _take(self, runner: StrategyRunner, news: News) -> None:
        "What was true of the model when it was told; one that went on since has nothing to learn from it."
        if isinstance(news, Hung):
            if runner.entering == news.wish.entering:
                runner.filled_at(news.price)
        elif runner.pair.get("side") == news.wish.pair["side"] and runner.pair["entry"] == news.wish.pair["entry"]:
            self._leave(runner, news)

    def _leave(self, runner: StrategyRunner, news: Left) -> None:
        model = runner.pair["target" if news.kind == "target_order" else "stop"]
        self.desk.say("info", news.key, "tick_path", news.kind, model, news.price)
        signal = runner.left(news.price, news.kind, self.engine.clock.now())
        self.executor.post(lambda: self.executor.note(signal, "resting", CAUSES["tick_path"]))
