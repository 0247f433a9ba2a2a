"Exits, flattens and protective orders are never larger than what the account holds in that direction now."

import pytest
from chaos_desk import ES, NQ, A, chaos_desk  # noqa: F401

from futures_algo.core.types import SECOND


@pytest.mark.parametrize("held, sold", [(2, 1), (3, 1), (3, 2), (2, 2), (2, 3)])
def test_an_exit_closes_what_a_person_left(chaos_desk, held, sold):  # noqa: F811
    it = chaos_desk()
    it.submit(quantity=held)
    it.wait()
    it.broker.trade_by_hand(A, ES, "Sell", sold)
    it.submit("LONG_EXIT")
    it.wait(5, looks=20, compares=True)
    assert it.at_broker() == min(held - sold, 0) and "adopt" in it.locked
    assert [body["quantity"] for body in it.placed()] == [held, *([held - sold] if held > sold else [])]


@pytest.mark.parametrize("bought", [1, 2])
def test_a_flatten_of_a_short_buys_no_more_than_is_short(chaos_desk, bought):  # noqa: F811
    it = chaos_desk()
    it.submit("SHORT_ENTRY", quantity=3)
    it.wait()
    it.broker.trade_by_hand(A, ES, "Buy", bought)
    it.executor.flatten("account")
    it.wait(5, looks=10, compares=True)
    assert it.at_broker() == 0


@pytest.mark.parametrize("seconds", [2.0, 25.0, 60.0])
@pytest.mark.parametrize("honoured", [True, False])
@pytest.mark.parametrize("kill", [False, True])
def test_a_late_exit_is_executed_once_and_reverses_nothing(chaos_desk, seconds, honoured, kill):  # noqa: F811
    it = chaos_desk(honour_require_position=honoured)
    it.submit(strategy="A")
    it.submit(strategy="B", contract="NQZ5")
    it.wait(looks=2)
    it.broker.faults.add("late_act", path="PlaceOrder", seconds=seconds)
    it.submit("LONG_EXIT", strategy="A")
    if kill:
        it.wait(3)
        it.kill()
    it.wait(5, looks=40, compares=True)
    assert it.at_broker() == it.held() == 0 and not it.locked and it.at_broker(NQ) == 1
    assert sum(order.filled for order in it.broker.orders(A) if order.sign < 0) == 1


def test_two_strategies_on_one_contract_a_late_exit_takes_its_own_share(chaos_desk):  # noqa: F811
    it = chaos_desk()
    for strategy in "AB":
        it.submit(strategy=strategy)
        it.wait(looks=2)
    it.broker.faults.add("late_act", path="PlaceOrder", seconds=50.0)
    it.submit("LONG_EXIT", strategy="A")
    it.wait(5, looks=4)
    it.submit("LONG_EXIT", strategy="B")
    it.wait(5, looks=40, compares=True)
    assert (it.held("A"), it.held("B"), it.at_broker()) == (0, 0, 0) and not it.locked


@pytest.mark.parametrize("kill", [False, True])
def test_an_exit_that_was_taken_and_lost_is_dead_by_one_rule_and_sent_again(chaos_desk, kill):  # noqa: F811
    it = chaos_desk()
    it.submit()
    it.wait()
    it.broker.faults.add("vanished", path="PlaceOrder", fills=False)
    it.submit("LONG_EXIT")
    it.wait(5, looks=4)
    if kill:
        it.kill()
    assert it.held() == it.at_broker() == 1 and len(it.placed()) == 2
    it.wait(5, looks=30, compares=True)
    assert it.held() == it.at_broker() == 0 and len(it.placed()) == 3
    assert any("known to it no more" in text for text in it.alarms())


def test_before_a_second_attempt_the_first_id_is_cancelled(chaos_desk):  # noqa: F811
    it = chaos_desk()
    it.submit()
    it.wait()
    it.broker.faults.add("lost_before", path="PlaceOrder")
    it.submit("LONG_EXIT")
    it.wait(5, looks=30)
    first = it.placed()[1]["orderId"]
    cancels = [request["path"] for request in it.broker.requests("Cancel")]
    assert any(first in path for path in cancels) and it.at_broker() == 0


@pytest.mark.parametrize("step", [-3600, 3600])
@pytest.mark.parametrize("fault", ["rate_limited", "lost_before", "late_act"])
def test_waiting_is_measured_by_a_clock_nobody_sets(chaos_desk, step, fault):  # noqa: F811
    it = chaos_desk(honour_require_position=False)
    it.submit()
    it.wait()
    it.broker.faults.add(fault, path="PlaceOrder")
    it.submit("LONG_EXIT")
    it.own_clock.step += step * SECOND
    it.wait(1, looks=4)
    assert len(it.placed()) == (3 if fault == "rate_limited" else 2)
    it.wait(5, looks=30)
    assert it.held() == it.at_broker() == 0


@pytest.mark.parametrize("kill", [False, True])
def test_a_ledger_on_a_side_nobody_asked_for_is_locked_said_and_closed(chaos_desk, kill):  # noqa: F811
    "An exit that filled at the broker although it was given up by a person, after a second one went."
    it = chaos_desk(honour_require_position=False)
    for strategy in "AB":
        it.submit(strategy=strategy)
        it.wait(looks=2)
    it.broker.faults.add("late_act", path="PlaceOrder", seconds=40.0)
    it.submit("LONG_EXIT", strategy="A")
    (lost,) = it.executor.orders.open.values()
    it.executor.give_up(lost, "ann")
    it.wait(5, looks=4)
    assert it.held("A") == 0 and it.held("B") == 1
    it.wait(5, looks=6)
    if kill:
        it.kill()
    it.wait(5, looks=20, compares=True)
    assert any("never asked for" in text for text in it.alarms())
    assert (it.held("A"), it.held("B"), it.at_broker()) == (0, 1, 1) and not it.locked


@pytest.mark.parametrize("scope, name", [("account", ""), ("instrument", "ESZ5")])
@pytest.mark.parametrize("side", ["Buy", "Sell"])
def test_flatten_closes_what_no_ledger_owns(chaos_desk, scope, name, side):  # noqa: F811
    it = chaos_desk()
    it.submit(contract="ESZ5")
    it.wait()
    it.broker.trade_by_hand(A, ES, side, 3)
    it.executor.reconcile()
    it.executor.flatten(scope, name)
    it.wait(2, looks=4, compares=True)
    assert it.at_broker() == 0


def test_the_lock_of_one_ledgers_exit_opens_when_that_ledger_is_flat(chaos_desk):  # noqa: F811
    it = chaos_desk()
    for strategy in "AB":
        it.submit(strategy=strategy)
        it.wait(looks=2)
    it.broker.faults.add("refused", path="PlaceOrder", times=None)
    it.submit("LONG_EXIT", strategy="A")
    it.wait(5, looks=6)
    it.broker.faults.clear()
    it.submit("LONG_EXIT", strategy="B")
    it.executor.poll()
    assert it.held("B") == 0 and "A failed" in it.locked
    it.wait(30, looks=4)
    assert it.held("A") == 0 and not it.locked


@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.parametrize("by", ["exit", "flatten"])
def test_a_leg_that_filled_in_part_blocks_nothing(chaos_desk, part, by):  # noqa: F811
    it = chaos_desk(oco_on_partial="keep")
    it.executor.orders.submit_bracket_order(ES, "BUY", 2, target=5860.0, stop=5840.0, strategy="A")
    it.wait(looks=3)
    if part:
        target = next(order for order in it.broker.orders(A) if order.type == "Limit")
        with it.broker.book.lock:
            it.broker.book.fill(it.broker.book.orders[target.number - 1], 1, 5860.0)
        it.wait(looks=2)
    it.submit("LONG_EXIT") if by == "exit" else it.executor.flatten("account")
    it.wait(2, looks=10)
    assert it.held() == it.at_broker() == 0 and not list(it.broker.orders(A, live=True))


@pytest.mark.parametrize("sold", [1, 2])
def test_a_protective_stop_is_made_as_small_as_what_is_held(chaos_desk, sold):  # noqa: F811
    it = chaos_desk()
    it.executor.orders.submit_bracket_order(ES, "BUY", 2, target=5900.0, stop=5800.0, strategy="A")
    it.wait(looks=3)
    it.broker.trade_by_hand(A, ES, "Sell", sold)
    it.wait(2, looks=6, compares=True)
    resting = [order.remaining for order in it.broker.orders(A, live=True)]
    assert resting == ([1, 1] if sold == 1 else [])


@pytest.mark.parametrize("fault", ["rate_limited", "error_before", "malformed_json"])
def test_an_account_that_cannot_be_looked_at_is_what_it_was_at_the_last_look(chaos_desk, fault):  # noqa: F811
    it = chaos_desk()
    it.submit()
    it.wait()
    it.broker.trade_by_hand(A, ES, "Sell", 1)
    it.executor.reconcile()
    it.broker.faults.add(fault, path="ListPositions", times=None)
    it.submit("LONG_EXIT")
    it.wait(5, looks=5)
    assert it.at_broker() == 0 and len(it.placed()) == 1
