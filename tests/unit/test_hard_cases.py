"""Cases that cost money and happen rarely: what must hold for exits, entries, books and the day when something else
went wrong first."""

import pytest
from execution_desk import ES, START, desk  # noqa: F401

from futures_algo.core.types import MINUTE, SECOND, InputError
from futures_algo.journal.journal import Journal

DAY = 86_400 * SECOND


# entries that wait


def _reversal_in_doubt(it):
    "A long whose exit is in doubt, and a short entry that waits for it."
    it.submit()
    it.wait()
    it.broker.faults.add("lost_after", path="/place")
    it.submit("LONG_EXIT")
    assert it.submit("SHORT_ENTRY").verdict == "pending"


def test_a_flatten_takes_back_the_entries_that_wait(desk):  # noqa: F811
    it = desk()
    _reversal_in_doubt(it)
    it.executor.flatten("account")
    it.wait(looks=5)
    assert it.held() == it.at_broker() == 0
    assert [row["verdict"] for row in it.journal.rows("signals", "action = 'SHORT_ENTRY'")] == ["denied"]


def test_a_flatten_of_one_strategy_leaves_the_entries_of_others(desk):  # noqa: F811
    it = desk()
    _reversal_in_doubt(it)
    it.executor.flatten("strategy", "fade")
    it.wait(looks=5)
    assert it.held() == it.at_broker() == -1


# exits that fail for long


def test_an_exit_is_tried_for_as_long_as_its_position_is_open(desk):  # noqa: F811
    "A weekend holds more minutes than an id has attempts."
    it = desk()
    it.fail_to_leave()
    it.wait(61, looks=120)
    it.broker.faults.clear()
    it.wait(61, looks=5)
    assert it.held() == it.at_broker() == 0 and not it.executor.books.locked


def test_an_exit_that_used_up_its_attempts_is_tried_again_after_a_restart(desk):  # noqa: F811
    it = desk()
    it.fail_to_leave()
    it.wait(61, looks=120)
    it.broker.faults.clear()
    it.restart()
    it.wait(61, looks=5)
    assert it.held() == it.at_broker() == 0


def test_the_lock_of_a_failing_exit_stays_while_another_strategys_exit_succeeds(desk):  # noqa: F811
    it = desk()
    it.submit(strategy="trend")
    it.submit(strategy="fade")
    it.wait()
    it.broker.faults.add("refuse", path="/place", times=-1)
    it.submit("LONG_EXIT", strategy="trend")
    it.wait(5, looks=6)
    it.broker.faults.clear()
    assert ES in it.executor.books.locked
    it.submit("LONG_EXIT", strategy="fade")
    it.executor.poll()
    assert it.held("fade") == 0 and it.held("trend") == 1 and "trend failed" in it.executor.books.locked[ES]


def test_the_lock_of_a_failing_exit_opens_when_a_person_closed_the_position(desk):  # noqa: F811
    it = desk()
    it.fail_to_leave()
    it.wait(5, looks=6)
    it.broker.trade(ES, "SELL", 1)
    it.executor.reconcile()
    it.executor.adopt(ES, "test", "trend")
    it.wait(61, looks=2)
    assert it.held() == it.at_broker() == 0 and not it.executor.books.locked and not it.executor.waiting


# the legs of an OCO pair


@pytest.mark.parametrize("echo", ["echo", "nt8", "lost"])
def test_many_open_legs_keep_their_own_states_and_fills(desk, echo):  # noqa: F811
    it = desk(variants={"id_echo": echo})
    pairs = [
        it.executor.orders.submit_oco_pair(name, "SELL", 1, limit_price=high, stop_price=low, strategy="trend")
        for name, high, low in ((ES, 5900.0, 5800.0), ("NQ 12-25", 21_000.0, 19_000.0))
    ]
    it.wait(looks=2)
    assert all(leg.state in ("Accepted", "Working") for pair in pairs for leg in pair)
    assert all(pair[0].names.isdisjoint(pair[1].names) for pair in pairs)
    it.broker.prices.set_price(ES, 5901.0)
    it.wait(looks=2)
    (stop, target), _ = pairs
    assert (stop.state, target.state, stop.filled, target.filled) == ("Cancelled", "Filled", 0, 1) and it.held() == -1
    assert it.executor.reconcile() == {} and it.held() == it.at_broker()


# the day's result


def test_a_lost_day_ends_with_the_day(desk):  # noqa: F811
    it = desk(limits={"max_daily_loss_usd": 400, "max_stop_streak": 1})
    it.submit()
    it.wait()
    it.broker.prices.set_price(ES, 5842.0)
    it.submit("LONG_EXIT", reason="stop")
    it.wait()
    assert it.submit().denial == "DAILY_LOSS"
    it.clock.advance(START + DAY)
    it.executor.mark(ES, 5842.0, it.clock.now())  # a bar of the next day; nothing is held
    assert it.submit().verdict == "sent"


def test_an_old_price_does_not_turn_the_day_back(desk):  # noqa: F811
    "A replay begins a day before what was lost today."
    it = desk(limits={"max_daily_loss_usd": 400})
    it.submit(strategy="fade", contract="NQZ5", price=20_000.0)
    it.submit()
    it.wait()
    it.broker.prices.set_price(ES, 5842.0)
    it.submit("LONG_EXIT")
    it.wait()
    lost = it.executor.books.day_pnl_usd
    it.executor.mark("NQ 12-25", 20_000.0, START - DAY)
    it.executor.mark("NQ 12-25", 20_000.0, START + MINUTE)
    assert it.executor.books.day_pnl_usd == lost < -400 and it.submit().denial == "DAILY_LOSS"


def test_the_entries_of_the_last_minute_count_after_a_restart(desk):  # noqa: F811
    it = desk(limits={"max_orders_per_minute": 1})
    it.submit()
    it.wait()
    assert it.submit(contract="NQZ5").denial == "ORDER_RATE"
    it.restart()
    it.wait()
    assert it.submit(contract="NQZ5").denial == "ORDER_RATE"
    it.wait(61)
    assert it.submit(contract="NQZ5").verdict == "sent"


# time


def test_a_signal_from_the_future_says_that_a_clock_is_wrong_and_is_not_sent(desk):  # noqa: F811
    it = desk()
    signal = it.signal()
    decision = it.executor.submit_signal(signal._replace(bar_end=signal.bar_end + 3600 * SECOND))
    assert decision.denial == "STALE" and "clock" in decision.detail and not it.orders()


# the journal


def test_rows_written_together_are_forgotten_together(tmp_path):
    with Journal(tmp_path / "j.db") as journal:
        with pytest.raises(RuntimeError), journal.together():
            journal.add("events", at=1, level="info", kind="a", subject="", message="")
            raise RuntimeError("half way")
        journal.add("events", at=2, level="info", kind="b", subject="", message="")
        assert [row["kind"] for row in journal.rows("events")] == ["b"]


def test_looking_whether_a_journal_is_held_refuses_no_engine(tmp_path):
    import threading

    path, done, looks = tmp_path / "j.db", threading.Event(), []
    Journal(path).close()

    def look():
        while not done.is_set():
            looks.append(Journal.is_held(path))

    watchers = [threading.Thread(target=look) for _ in range(2)]
    for each in watchers:
        each.start()
    try:
        for _ in range(300):
            with Journal(path) as journal:
                journal.hold()
    finally:
        done.set()
        for each in watchers:
            each.join()
    assert looks


# a broker that answers for ever


@pytest.mark.parametrize("kind", ["question", "order"])
def test_an_answer_that_drips_has_an_end(monkeypatch, kind):
    "One byte at a time satisfies every read time-out."
    import socket
    import threading
    import time

    from futures_algo.broker.outcomes import Ambiguous, Unreachable
    from futures_algo.broker.requests import OrderRequest
    from futures_algo.crosstrade import http as crosstrade_wire
    from futures_algo.crosstrade.client import CrossTradeClient

    monkeypatch.setattr(crosstrade_wire, "LONGEST_ANSWER", 0.5)
    stopped = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip():
            line, _ = server.accept()
            with line:
                line.recv(65_536)
                line.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n")
                deadline = time.monotonic() + 30
                while not stopped.wait(0.02) and time.monotonic() < deadline:
                    try:
                        line.sendall(b" ")
                    except OSError:
                        return

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            with CrossTradeClient(
                "token", f"http://127.0.0.1:{server.getsockname()[1]}", "Sim101", attempts=1
            ) as client:
                if kind == "order":
                    assert isinstance(client.place_order(OrderRequest(ES, "BUY", 1)), Ambiguous)
                else:
                    with pytest.raises(Unreachable, match="had not ended"):
                        client.get_positions()
        finally:
            stopped.set()
            dripping.join()


# orders only the lifecycle knows


def _forgotten(it, state, filled):
    "NinjaTrader's lists are emptied by its restart; the lifecycle stays, and need not have numbers."
    (order,) = it.orders()
    order.account, order.state = "of yesterday", state
    order.events = [event | {"filled": None, "average": None} for event in order.events[:2]] + [
        order.events[-1] | {"state": state, "filled": filled, "average": None}
    ]


@pytest.mark.parametrize("state", ["Rejected", "Cancelled"])
def test_an_order_that_did_not_fill_ends_though_only_the_lifecycle_knows_and_has_no_numbers(desk, state):  # noqa: F811
    it = desk(variants={"instant": False})
    it.submit()
    it.broker.books.accounts["Sim101"].holdings.clear()
    it.broker.books.executions.clear()
    _forgotten(it, state, None)
    it.restart()
    it.wait(looks=8)
    assert not it.executor.orders.open and it.held() == 0 and it.executor.reconcile() == {}
    assert it.submit().verdict == "sent"


def test_an_order_that_filled_is_booked_though_nobody_knows_its_price_any_more(desk):  # noqa: F811
    it = desk()
    it.submit(price=5849.0)
    it.broker.books.executions.clear()
    _forgotten(it, "Filled", None)
    it.restart()
    it.wait(looks=8)
    assert it.held() == it.at_broker() == 1 and not it.executor.orders.open
    (fill,) = it.journal.rows("fills")
    assert fill["price"] == 5849.0 and any("price" in row["message"] for row in it.events("fill"))
    it.submit("LONG_EXIT")
    it.wait(looks=2)
    assert it.held() == it.at_broker() == 0


# a broker that cannot do everything


def test_an_add_on_without_lifecycles_does_not_blind_the_engine(desk):  # noqa: F811
    "One order that cannot be looked up must not keep the others from being followed."
    it = desk()
    it.broker.faults.add(
        "refuse",
        path="/lifecycle",
        times=-1,
        body={"success": False, "error": "Unknown API command: GetOrderLifecycle"},
    )
    it.broker.faults.add("lost_before", path="/place")
    it.submit()
    it.wait(20, looks=5)
    assert not it.executor.orders.open and not it.executor.books.locked and it.executor.broker_state[0] == "connected"
    assert it.submit(strategy="fade").verdict == "sent"


def test_an_exit_that_waits_for_a_cancel_the_broker_refuses_is_an_alarm(desk):  # noqa: F811
    it = desk()
    it.executor.orders.submit_bracket_order(ES, "BUY", 1, target=5900.0, stop=5800.0, strategy="trend")
    it.wait(looks=2)
    it.broker.faults.add("refuse", path="/cancel", times=-1)
    it.submit("LONG_EXIT")
    it.wait(looks=2)
    assert it.held() == 1 and "cannot be cancelled" in it.executor.books.locked[ES] and len(it.events("lock")) == 1
    it.broker.faults.clear()
    it.wait(looks=4)
    assert it.held() == it.at_broker() == 0 and not it.executor.books.locked and not it.broker.books.active()


# what a person did


def test_what_a_person_closed_is_taken_from_the_strategy_that_held_it(desk):  # noqa: F811
    "Booked as somebody else's short, the strategy's exit would open a real one."
    it = desk()
    it.submit()
    it.wait()
    it.broker.trade(ES, "SELL", 1)
    it.executor.reconcile()
    with pytest.raises(InputError, match="trend holds \\+1"):
        it.executor.adopt(ES, "ann")
    assert it.executor.adopt(ES, "ann", "trend") == -1 and it.held() == 0
    assert it.submit("LONG_EXIT").denial == "NOTHING_TO_EXIT" and it.at_broker() == 0


# a dry run after a live one


def _dry(it):
    "The next engine on the same journal is started without --live."
    it.options["dry_run"] = True
    placed = len(it.orders())
    it.restart()
    return placed


def test_a_dry_run_does_not_take_up_the_exits_of_a_live_one(desk):  # noqa: F811
    it = desk()
    it.submit()
    it.wait()
    it.broker.faults.add("refuse", path="/place")
    it.submit("LONG_EXIT")
    placed = _dry(it)
    it.wait(5, looks=4)
    assert len(it.orders()) == placed and it.at_broker() == it.held() == 1


def test_a_dry_run_does_not_send_what_waited_in_a_live_one(desk):  # noqa: F811
    it = desk()
    it.submit()
    it.wait()
    it.broker.faults.add("lost_after", path="/place")
    it.submit("LONG_EXIT")
    it.submit("SHORT_ENTRY")
    placed = _dry(it)
    it.wait(looks=4)
    assert len(it.orders()) == placed and it.journal.rows("signals", "action = 'SHORT_ENTRY'")[0]["denial"] == "DRY_RUN"


def test_a_dry_run_cancels_no_order_of_a_live_one(desk):  # noqa: F811
    it = desk()
    it.executor.orders.submit_bracket_order(ES, "BUY", 1, target=5900.0, stop=5800.0, strategy="trend")
    it.wait(looks=2)
    _dry(it)
    assert [each.verdict for each in it.executor.flatten("account")] == ["dry_run"]
    it.wait(looks=2)
    assert len(it.broker.books.active()) == 2 and it.at_broker() == 1


def test_a_dry_run_places_no_bracket_for_an_entry_of_a_live_one(desk):  # noqa: F811
    it = desk()
    it.broker.faults.add("lost_after", path="/place")
    it.executor.orders.submit_bracket_order(ES, "BUY", 1, target=5900.0, stop=5800.0, strategy="trend")
    placed = _dry(it)
    it.wait(looks=3)
    assert it.held() == 1 and len(it.orders()) == placed


@pytest.mark.parametrize(
    "send", [lambda orders: orders.submit_market_order(ES, "BUY", 1), lambda orders: orders.flatten_position(ES)]
)
def test_in_a_dry_run_no_way_leads_to_the_broker(desk, send):  # noqa: F811
    it = desk(dry_run=True)
    with pytest.raises(InputError, match="dry run"):
        send(it.executor.orders)
    assert not any(seen.method != "GET" for seen in it.broker.requests)


@pytest.mark.parametrize("kind", ["refuse", "lost_before", "reject_after_success"])
def test_a_bracket_whose_stop_is_not_taken_is_an_alarm(desk, kind):  # noqa: F811
    it = desk()
    it.broker.faults.add(kind, path="/place", skip=1)
    it.executor.orders.submit_bracket_order(ES, "BUY", 2, target=5900.0, stop=5800.0, strategy="trend")
    it.wait(20, looks=6)
    (row,) = it.events("protect")
    assert row["level"] == "alarm" and "2 contracts are without it" in row["message"]
