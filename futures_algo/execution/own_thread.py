"""The executor on a thread of its own: the feed, the bars and the strategies go on while a broker is slow.

One queue: exits overtake entries, entries overtake look-ups, and equal ones keep their order. An error of the thread is
raised where the engine next asks for something. Over recorded bars (`inline`) there is no thread and nothing waits."""

import itertools
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from typing import Any, TypeVar

from futures_algo.core.types import FuturesAlgoError, Signal
from futures_algo.execution.executor import CrossTradeExecutor
from futures_algo.execution.ledger_book import Key
from futures_algo.execution.open_order import Fill
from futures_algo.execution.verdicts import Decision

_T = TypeVar("_T")
EXIT, ASKED, END, ENTRY, LOOK = range(5)  # what goes first
ANSWER_S = 8.0  # seconds a person waits for a command's answer; the work goes on behind it


class OwnThread:
    """What the engine talks to instead of a `CrossTradeExecutor`: the same verbs. Signals and look-ups are queued, what
    a person asks (`ask`) is answered, and everything else is the executor's own."""

    def __init__(self, inner: CrossTradeExecutor):
        self.inner = inner
        self._jobs: queue.PriorityQueue[tuple[int, int, Callable[[], Any], Future[Any]]] = queue.PriorityQueue()
        self._number = itertools.count()
        self._thread: threading.Thread | None = None
        self._after_look: Callable[[], None] | None = None
        self._looks: set[str] = set()  # look-ups that wait already
        self._failure: BaseException | None = None
        self._is_ending = False
        self._differ: dict[str, tuple[int, int]] = {}  # of the latest comparison nobody took

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("translator", "warm", "last_trade"):  # the executor's, set by who assembles or reloads
            setattr(self.inner, name, value)
        else:
            super().__setattr__(name, value)

    # --- life

    def start(self) -> None:
        "From now on in the thread; before that, and after `finish`, in the caller's."
        self.inner.client.before_request(lambda: None)  # who may have to wait is not the engine any more
        self._thread = threading.Thread(target=self._work, name="executor", daemon=True)
        self._thread.start()

    @property
    def here(self) -> CrossTradeExecutor:
        "What does the work, for what runs beside it in this thread."
        return self.inner

    def finish(self, seconds: float) -> bool:
        "Carry out the exits that wait, drop the look-ups, and end the thread; False when a request holds it longer."
        if self._thread is None:
            return True
        if not self._is_ending:
            self._is_ending = True
            self._put(END, lambda: None)
        self._thread.join(seconds)
        if self._thread.is_alive():
            return False
        self._thread = None
        self._raise()
        self._deny_rest()
        return True

    def _deny_rest(self) -> None:
        "Entries that still waited are judged, and denied: who stops wants no position to follow."
        risk = self.inner.books
        before, risk.trading, risk.trading_reason = (risk.trading, risk.trading_reason), "REDUCING", "the engine stops"
        while not self._jobs.empty():
            rank, _, work, future = self._jobs.get()
            if rank == ENTRY:
                future.set_result(work())
        risk.trading, risk.trading_reason = before

    def _work(self) -> None:
        while True:
            rank, _, work, future = self._jobs.get()
            if rank == END:
                return
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except FuturesAlgoError as error:
                future.set_exception(error)
            except BaseException as error:  # raised in the engine's thread: `_raise`
                self._failure = error
                future.set_exception(error)

    def _put(self, rank: int, work: Callable[[], _T]) -> "Future[_T]":
        future: Future[_T] = Future()
        self._jobs.put((rank, next(self._number), work, future))
        return future

    def _raise(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    # --- the executor's verbs

    def submit_signal(self, signal: Signal) -> Decision:
        "Queue it; the journal has its verdict."
        if self._thread is None:
            return self.inner.submit_signal(signal)
        self._raise()
        rank = ENTRY if signal.is_entry else EXIT
        self._put(rank, lambda: self._followed(lambda: self.inner.submit_signal(signal)))
        return Decision("pending", detail="handed to the executor's thread")

    def post(self, work: Callable[[], Any], rank: int = EXIT) -> None:
        "Do this in the thread; nobody waits for it, and its error is raised where the engine next asks for something."
        if self._thread is None:
            work()
            return
        self._raise()
        self._put(rank, lambda: self._carry_out(work))

    def after_look(self, work: Callable[[], None] | None) -> None:
        "What follows every look at the broker and every signal, in the thread."
        self._after_look = work

    def _carry_out(self, work: Callable[[], _T]) -> _T:
        "Work nobody waits for: what it raises is the engine's."
        try:
            return work()
        except FuturesAlgoError as error:
            self._failure = error
            raise

    def _followed(self, work: Callable[[], _T]) -> _T:
        def both() -> _T:
            done = work()
            if self._after_look:
                self._after_look()
            return done

        return self._carry_out(both)

    def close(self, key: Key, reason: str) -> Decision:
        if self._thread is None:
            return self.inner.close(key, reason)
        self._put(EXIT, lambda: self._followed(lambda: self.inner.close(key, reason)))
        return Decision("pending", detail="handed to the executor's thread")

    def poll(self) -> list[Fill]:
        if self._thread is None:
            return self.inner.poll()
        self._look("poll", self.inner.poll)
        return []

    def reconcile(self) -> dict[str, tuple[int, int]]:
        "Have the books compared; what the comparison before this one found."
        if self._thread is None:
            return self.inner.reconcile()
        self._look("reconcile", self._compare)
        differ, self._differ = self._differ, {}
        return differ

    def _compare(self) -> None:
        self._differ = self.inner.reconcile()

    def _look(self, name: str, work: Callable[[], Any]) -> None:
        "Queue a look-up unless the same one waits already."
        self._raise()
        if name in self._looks:
            return
        self._looks.add(name)

        def look() -> None:
            self._looks.discard(name)
            self._followed(work)

        self._put(LOOK, look)

    def ask(self, work: Callable[[CrossTradeExecutor], _T], rank: int = ASKED) -> _T:
        "Do this in the thread and wait for the answer, though not for ever."
        if self._thread is None:
            return work(self.inner)
        try:
            return self._put(rank, lambda: work(self.inner)).result(ANSWER_S)
        except NotYet:
            raise FuturesAlgoError(
                f"The broker has not answered for {ANSWER_S:g} s; what was asked is done when it does: see the events"
            ) from None
