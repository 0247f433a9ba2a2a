"The user's code cannot take the engine down, and a slow broker delays only itself."

import sys
import time

import pytest
from chaos_desk import ES, NQ, chaos_desk  # noqa: F401
from waiting import eventually

from futures_algo.core.types import InputError
from futures_algo.engine import user_code as module
from futures_algo.engine.strategy_guard import Guarded
from futures_algo.engine.user_code import UserCodeError, user_code
from futures_algo.execution.own_thread import OwnThread
from futures_algo.live.supervisor import SAME_DEATHS, _caution


def _loop():
    while True:
        pass


def _deep():
    return _deep()


def _greedy():
    return bytearray(1 << 62)


@pytest.mark.parametrize("work", [sys.exit, _loop, _deep, _greedy, lambda: 1 // 0, lambda: sys.exit(0)])
def test_a_strategy_that_does_anything_is_switched_off_and_told_once(monkeypatch, work):
    monkeypatch.setattr("futures_algo.engine.strategy_guard.CALL_SECONDS", 0.5)
    monkeypatch.setattr("futures_algo.engine.strategy_guard.FIRST_SECONDS", 0.5)
    told = []

    class Runner:
        name, symbol, timeframes = "q", "ES.c.0", ()

        def on_bars(self, completed):
            return work()

    guarded = Guarded(Runner(), lambda runner, error: told.append(error))
    began = time.monotonic()
    assert guarded.on_bars([]) == [] == guarded.on_bars([]) and len(told) == 1 and guarded.is_broken
    assert isinstance(told[0], UserCodeError) and time.monotonic() - began < 10


def test_a_loop_that_swallows_every_exception_is_interrupted():
    def stubborn():
        while True:
            try:
                _loop()
            except Exception:
                continue

    with pytest.raises(UserCodeError, match="did not come back"), user_code("q", 0.5):
        stubborn()


def test_a_call_in_time_is_not_interrupted_later():
    for _ in range(3):
        with user_code("q", 0.3):
            pass
    deadline = time.monotonic() + 0.8
    while time.monotonic() < deadline:
        pass
    assert module._watchdog._calls == {}


def test_a_mistake_this_library_names_passes_as_it_is():
    with pytest.raises(InputError), user_code("q"):
        raise InputError("length", 0, "must be at least 2")


@pytest.fixture
def threaded(chaos_desk):  # noqa: F811
    it = chaos_desk()
    it.thread = OwnThread(it.executor)
    it.thread.start()
    yield it
    assert it.thread.finish(10)


def test_a_broker_that_hangs_holds_neither_the_caller_nor_the_exits_behind(threaded):
    it = threaded
    for contract in ("ESZ5", "NQZ5"):
        it.executor.submit_signal(_signal(it, "LONG_ENTRY", contract))
    it.executor.poll()
    it.broker.faults.add("hang", path="ListOrders", times=1)
    began = time.monotonic()
    it.thread.reconcile()
    decision = it.thread.submit_signal(_signal(it, "LONG_EXIT", "NQZ5"))
    assert time.monotonic() - began < 0.2 and decision.verdict == "pending"
    eventually(lambda: it.at_broker(NQ) == 0, 10)
    assert it.at_broker(ES) == 1


def test_exits_overtake_entries_and_look_ups(threaded):
    it = threaded
    it.executor.submit_signal(_signal(it, "LONG_ENTRY", "ESZ5"))
    it.executor.poll()
    it.broker.faults.add("hang", path="ListOrders", times=1)
    it.thread.reconcile()
    it.thread.poll()
    it.thread.submit_signal(_signal(it, "LONG_ENTRY", "NQZ5"))
    it.thread.submit_signal(_signal(it, "LONG_EXIT", "ESZ5"))
    eventually(lambda: len(it.placed()) == 3, 10)
    assert [body["action"] for body in it.placed()] == ["BUY", "SELL", "BUY"]


def test_an_entry_that_waits_when_the_engine_stops_is_denied(chaos_desk):  # noqa: F811
    it = chaos_desk()
    thread = OwnThread(it.executor)
    thread.start()
    it.broker.faults.add("hang", path="ListOrders", times=1)
    thread.reconcile()
    eventually(lambda: not thread._looks, 5)
    thread.submit_signal(_signal(it, "LONG_ENTRY", "ESZ5"))
    assert thread.finish(10) and it.placed() == []
    assert it.journal.rows("signals")[0]["denial"] == "REDUCING" and it.executor.books.trading == "ACTIVE"


def _signal(it, action, contract):
    from futures_algo.core.types import Signal, signal_id

    at = it.own_clock.now()
    identity = signal_id("A", "c0", contract, at, action)
    return Signal(identity, "A", f"{contract[:-2]}.c.0", contract, action, at, "1min", 5850.0, "c0")


@pytest.mark.parametrize(
    "deaths, cautious",
    [
        (["died of x"] * 3, True),
        (["died of x"] * 2, False),
        (["a", "died of x", "died of x"], False),
        ([""] * 3, False),
    ],
)
def test_the_same_death_three_times_starts_with_exits_only(deaths, cautious):
    assert bool(_caution(deaths[-SAME_DEATHS:])) is cautious
