"""The engine's parts when something else went wrong first: stops twice, crashes between two writes, odd commands,
clocks that are set."""

import json

import pytest
from execution_desk import ES, START, desk  # noqa: F401

from futures_algo.aggregator.pipeline import BarPipeline
from futures_algo.core.types import HOUR, SECOND, Bar
from futures_algo.engine import position_sync as handover
from futures_algo.engine.engine import Engine
from futures_algo.engine.snapshot import remember_commands
from futures_algo.feed.databento_feed import DatabentoLiveFeed
from futures_algo.strategies import SimpleBullishCCIStrategy, StrategyRunner


def engine_of(it, names=("trend",), symbols=("ES.c.0",), **more) -> Engine:
    "An engine on a desk's executor, with a feed that is never connected."
    feed = DatabentoLiveFeed("db-" + "x" * 29, list(symbols), schema="ohlcv-1m", clock=it.clock)
    runners = [
        StrategyRunner(SimpleBullishCCIStrategy(stop_ticks=40), name, symbol) for name in names for symbol in symbols
    ]
    engine = Engine(
        feed,
        BarPipeline(["1min", "5min"], "ohlcv-1m"),
        runners,
        it.executor,
        it.journal,
        clock=it.clock,
        mode="live",
        **more,
    )
    it.executor.warm = lambda signal: True
    remember_commands(engine)
    return engine


class SetClock:
    "A clock somebody sets."

    def __init__(self, now: int):
        self.at = now

    def now(self) -> int:
        return self.at


# the end of a run


@pytest.mark.parametrize("policy", ["leave", "flatten"])
def test_a_stopping_engine_sends_no_entry_that_waited(desk, policy):  # noqa: F811
    it = desk()
    engine = engine_of(it)
    it.submit()
    it.wait()
    it.broker.faults.add("lost_after", path="/place")
    it.submit("LONG_EXIT")
    assert it.submit("SHORT_ENTRY").verdict == "pending"
    it.clock.advance(it.clock.now() + 5 * SECOND)
    handover.leave(engine, policy)
    it.wait(looks=3)
    assert it.held() == it.at_broker() == 0


def test_a_position_is_protected_by_one_stop_however_often_the_engine_stops(desk):  # noqa: F811
    it = desk()
    engine = engine_of(it)
    it.submit()
    it.wait()
    handover.leave(engine, "protect")
    it.wait()
    it.restart()
    handover.leave(engine_of(it), "protect")  # stopped again before its stream had reached the present
    assert [order.order_type for order in it.broker.books.active()] == ["STOPMARKET"]
    it.broker.prices.set_price(ES, 5700.0)
    it.wait(looks=2)
    assert it.held() == it.at_broker() == 0


def test_a_stop_the_broker_refuses_is_an_alarm(desk):  # noqa: F811
    it = desk()
    engine = engine_of(it)
    it.submit()
    it.wait()
    it.broker.faults.add("refuse", path="/place")
    handover.leave(engine, "protect")
    row = it.events("present")[-1]
    assert row["level"] == "alarm" and "Rejected" in row["message"]


# the present


def test_a_ledger_in_a_symbol_its_strategy_no_longer_trades_is_named(desk):  # noqa: F811
    it = desk()
    it.submit(contract="NQZ5", price=20_000.0)
    it.wait()
    handover.settle(engine_of(it, symbols=("ES.c.0",)), "flat")
    row = it.events("present")[-1]
    assert row["level"] == "alarm" and "NQ 12-25" in row["message"] and "not in the config" in row["message"]


def test_the_position_of_a_removed_strategy_is_closed_though_its_entry_was_under_way(desk):  # noqa: F811
    from futures_algo.engine.reload import _hand_over

    it = desk()
    engine = engine_of(it)
    before = list(engine.runners)
    it.broker.faults.add("lost_after", path="/place")
    it.submit()
    engine.runners = []
    _hand_over(engine, before, "flatten")
    it.wait(looks=4)
    assert it.held() == it.at_broker() == 0


# commands


def test_a_halt_that_was_answered_is_remembered_by_the_next_engine(desk):  # noqa: F811
    it = desk()
    engine = engine_of(it)
    engine.write_status()
    it.journal.command("halt", "ann", reason="holiday")
    for command in it.journal.new_commands():
        engine._obey(command)
    it.restart()  # killed before it wrote another status
    engine_of(it)
    assert it.journal.rows("commands")[0]["state"] == "done" and it.executor.books.trading == "HALTED"


@pytest.mark.parametrize(
    "verb, args",
    [
        ("flatten", {"scope": "instrument", "name": None}),
        ("flatten", {"scope": "instrument", "name": 5}),
        ("flatten", {"scope": ["account"]}),
        ("disable", {"strategy": ["trend"]}),
        ("halt", []),
        ("nonsense", {}),
    ],
)
def test_a_command_that_makes_no_sense_is_refused_and_stops_nothing(desk, verb, args):  # noqa: F811
    it = desk()
    engine = engine_of(it)
    it.journal.add("commands", id="c1", at=1, who="ann", verb=verb, args=json.dumps(args), state="new")
    for command in it.journal.new_commands():
        engine._obey(command)
    row = it.journal.one("commands", "id", "c1")
    assert row["state"] == "refused" and row["answer"]


# time


def test_a_clock_that_is_set_back_does_not_stop_the_looking(desk):  # noqa: F811
    it = desk()
    engine = engine_of(it, poll_seconds=1.0, reconcile_seconds=60.0)
    engine.clock = SetClock(START + HOUR)
    engine._due()
    asked = len(it.broker.requests)
    engine.clock.at -= HOUR
    engine._due()
    assert len(it.broker.requests) > asked and engine.executor.books.reconciled
    asked = len(it.broker.requests)
    engine._due()
    assert len(it.broker.requests) == asked  # and not at every turn


# the day's result, over a restart


def test_the_days_best_and_start_outlive_the_engine(desk):  # noqa: F811
    it = desk(limits={"max_daily_drawdown_usd": 1000})
    it.submit()
    it.wait()
    engine = engine_of(it)
    it.executor.mark(ES, 5880.0, it.clock.now())  # +1,500 at best
    engine.write_status()
    it.restart()
    assert it.executor.books.day_best_usd == pytest.approx(1498)
    it.executor.mark(ES, 5855.0, it.clock.now())
    assert it.submit(strategy="fade").denial == "DRAWDOWN"


def test_yesterdays_open_loss_is_not_todays(desk):  # noqa: F811
    it = desk(limits={"max_daily_loss_usd": 1000})
    it.submit()
    it.wait()
    engine = engine_of(it)
    it.executor.mark(ES, 5820.0, it.clock.now())  # -1,500 open at the end of the day
    engine.write_status()
    it.restart()
    it.clock.advance(START + 24 * HOUR)
    it.executor.mark(ES, 5820.0, it.clock.now())
    assert it.executor.books.day_pnl_usd == pytest.approx(0)
    it.executor.mark(ES, 5799.0, it.clock.now())  # -1,050 today
    assert it.submit(strategy="fade").denial == "DAILY_LOSS"


# signs of life


def test_before_each_question_to_the_broker_the_engine_says_that_it_lives(desk, monkeypatch):  # noqa: F811
    "Ten slow answers in a row are not a hung engine."
    from futures_algo.engine import engine as engine_module

    monkeypatch.setattr(engine_module, "STATUS_SECONDS", 0.0)
    it = desk()
    engine, beats = engine_of(it), []
    engine.state = "ready"
    engine.write_status()
    for question in (it.executor.reconcile, it.submit, it.executor.poll):
        beats.append(it.journal.status()["engine"]["beat"])
        question()
    assert sorted(set(beats)) == beats and it.journal.status()["engine"]["beat"] > beats[-1]


@pytest.mark.parametrize(
    "verb, refused", [("stop", True), ("resume", True), ("enable", True), ("halt", False), ("flatten", False)]
)
def test_what_was_asked_of_an_absent_engine_is_carried_out_only_where_it_makes_safer(desk, verb, refused):  # noqa: F811
    import time

    it = desk()
    it.journal.add(
        "commands",
        id="c1",
        at=time.time_ns() - 3600 * SECOND,
        who="ann",
        verb=verb,
        args='{"strategy": "trend", "scope": "account"}',
        state="new",
    )
    engine = engine_of(it)
    engine._due()
    assert (it.journal.one("commands", "id", "c1")["state"] == "refused") is refused and not engine.stop_reason


def test_what_was_asked_while_the_engine_started_again_is_carried_out(desk):  # noqa: F811
    it = desk()
    it.journal.command("stop", "ann")
    engine = engine_of(it)
    engine._due()
    assert engine.stop_reason == "stopped by command"


def test_while_history_is_fetched_the_engine_beats_and_can_be_stopped(desk, monkeypatch):  # noqa: F811
    import threading
    import time

    from futures_algo.engine import engine as engine_module
    from futures_algo.engine.snapshot import fetched
    from futures_algo.journal.journal import Journal

    monkeypatch.setattr(engine_module, "STATUS_SECONDS", 0.0)
    it, released, beats = desk(), threading.Event(), set()

    def slow():
        deadline = time.monotonic() + 20
        with Journal(it.path, readonly=True) as reader:
            while len(beats) < 4 and time.monotonic() < deadline:
                beats.add(reader.status().get("engine", {}).get("beat"))
        engine.stop("signal 15")
        released.wait(60)
        yield from ()

    engine = engine_of(it, history=slow)
    engine.state = "warming up"
    assert list(fetched(engine, slow)) == [] and not released.is_set() and len(beats) == 4
    released.set()


@pytest.mark.parametrize("stopped", [True, False])
def test_an_engine_stopped_in_the_middle_of_history_leaves_no_half_of_it_to_go_on_from(desk, stopped):  # noqa: F811
    it = desk()

    def history():
        if stopped:
            engine.stop("signal 15")
        yield from ()

    engine = engine_of(it, history=history)
    engine.feed = DatabentoLiveFeed(
        "db-" + "x" * 29, ["ES.c.0"], schema="ohlcv-1m", start=it.clock.now(), clock=it.clock
    )
    engine._begin()
    engine.save()
    assert (it.journal.one("snapshots", "key", "engine") is None) == stopped


# over a weekend


def _snapshot(it, at: int) -> None:
    it.journal.put(
        "snapshots",
        key="engine",
        at=at,
        content={
            "position": [at, {"ES.c.0": at - 60 * SECOND}, {"ES.c.0": "ESZ5"}],
            "pipeline": {},
            "runners": {},
            "cooldowns": [],
        },
    )


@pytest.mark.parametrize(
    "stopped, found", [(22 * HOUR, True), (21 * HOUR, False)]
)  # Friday 14 November 2025, UTC: at the close, and an hour before it
def test_what_an_engine_knew_on_friday_is_good_on_sunday(desk, stopped, found):  # noqa: F811
    "A feed replays a day, and a weekend is longer; but nothing traded in it."
    from futures_algo.engine.snapshot import load

    it, friday = desk(), START // (24 * HOUR) * 24 * HOUR + 24 * HOUR
    saturday = friday + 47 * HOUR  # a day before Sunday's opening
    _snapshot(it, friday + stopped)
    saved = load(it.journal, saturday, ["ES.c.0"])
    assert bool(saved) is found
    if found:
        assert saved["position"] == [
            saturday,
            {"ES.c.0": friday + stopped - 60 * SECOND},
            {},
        ]  # the feed begins where it still has something


# what a person may do about a lock


def test_a_lock_is_settled_by_commands(desk):  # noqa: F811
    it = desk()
    engine = engine_of(it)
    it.submit()
    it.wait()
    it.broker.trade(ES, "SELL", 1)
    it.executor.reconcile()

    def ask(verb, **args):
        it.journal.command(verb, "ann", **args)
        for command in it.journal.new_commands():
            engine._obey(command)
        row = it.journal.rows("commands")[-1]
        return row["state"], row["answer"]

    assert ask("adopt", name="ESZ5")[0] == "refused" and "trend holds +1" in ask("adopt", name="ESZ5")[1]
    assert (
        ask("adopt", name="ESZ5", strategy="trend") == ("done", "-1 ES 12-25 taken into the books of trend")
        and not it.executor.books.locked
    )
    assert ask("unlock", name="ESZ5")[0] == "done"
    it.broker.faults.add("lost_before", path="/place")
    it.submit(strategy="fade")
    (order,) = it.executor.orders.open
    assert ask("give_up", name="fa0")[0] == "refused"
    assert ask("give_up", name=order)[0] == "done" and not it.executor.orders.open and not it.executor.books.locked


# dry runs, and a broker that is down at the start


def test_a_dry_run_neither_withdraws_nor_places_stops(desk):  # noqa: F811
    it = desk()
    engine = engine_of(it)
    it.submit()
    it.wait()
    handover.leave(engine, "protect")
    it.options["dry_run"] = True
    it.restart()
    engine = engine_of(it)
    handover.settle(engine, "flat")
    it.wait(looks=2)
    assert [order.order_type for order in it.broker.books.active()] == ["STOPMARKET"]
    it.broker._on_loop(lambda: it.broker.books.cancel_many(it.broker.books.accounts["Sim101"], ES))
    it.wait(looks=2)
    handover.leave(engine, "protect")
    assert not it.broker.books.active() and "dry run" in it.events("present")[-1]["message"]


def test_taking_over_from_a_broker_that_is_down_is_said_and_ends_nothing(desk):  # noqa: F811
    from futures_algo.strategies.position import SIDE

    it = desk()
    engine = engine_of(it)
    engine.runners[0]._state[0][SIDE] = 1
    engine._mark(Bar("ES.c.0", "1min", START - 60 * SECOND, START, 5850.0, 5850.0, 5850.0, 5850.0, 1, "ESZ5"))
    it.broker.faults.add("addon_down", times=-1)
    handover.settle(engine, "adopt")
    assert (
        "could not take over" in it.events("present")[-2]["message"]
        and "waiting for its next entry" in it.events("present")[-1]["message"]
    )


def test_an_engine_that_stops_does_not_wait_long_for_a_broker_that_hangs(desk, monkeypatch):  # noqa: F811
    from futures_algo.engine import engine as engine_module

    monkeypatch.setattr(engine_module, "STOP_PATIENCE", {"leave": 0.2})
    it = desk()
    engine = engine_of(it)
    it.broker.faults.add("lost_after", path="/place")
    it.submit()
    it.broker.faults.add("slow", seconds=20.0, times=-1)
    engine.stop("signal 15")
    engine._end()
    assert engine.state == "stopped" and not any(
        seen.path.endswith("/orders") for seen in list(it.broker.requests)[3:]
    )  # its answer is not there yet
