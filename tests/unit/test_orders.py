"Order states, the manager's verbs, fills booked once, doubt resolved by looking."

import pytest
from execution_desk import ES, desk  # noqa: F401

from futures_algo.broker.models import ORDER_STATES, TERMINAL_STATES
from futures_algo.core.types import BrokerError, InputError
from futures_algo.execution.ledgers import DayResult, Ledger, compare, trading_day
from futures_algo.execution.order_states import ENDED, JOURNALED, NOT_SENT, STEPS, UNKNOWN, may_follow
from futures_algo.execution.orders import leg_id, order_id, split_slippage

# states


@pytest.mark.parametrize("state", ORDER_STATES)
def test_each_state_of_ninjatrader_is_in_the_table(state):
    assert set(STEPS[state]) <= set(STEPS)
    assert (state in TERMINAL_STATES) == (not STEPS[state])


@pytest.mark.parametrize("state", sorted(TERMINAL_STATES))
def test_nothing_follows_an_end(state):
    assert not any(may_follow(state, after) for after in STEPS)


@pytest.mark.parametrize(
    "before, after, allowed",
    [
        (JOURNALED, "Submitted", True),
        ("Submitted", "Filled", True),
        ("Working", "Submitted", False),
        ("PartFilled", "Accepted", True),
        ("Accepted", "Initialized", False),
        ("CancelPending", "Filled", True),
        ("CancelSubmitted", "Working", True),
        ("Filled", "Working", False),
        (NOT_SENT, UNKNOWN, True),
        (NOT_SENT, "Filled", False),
        ("Working", NOT_SENT, False),
        (UNKNOWN, NOT_SENT, True),
        ("TriggerPending", "Filled", True),
        ("ChangeSubmitted", "PartFilled", True),
    ],
)
def test_which_state_may_follow_which(before, after, allowed):
    assert may_follow(before, after) is allowed


def test_an_old_answer_moves_no_order_back(desk):  # noqa: F811
    it = desk()
    order = it.executor.orders.submit_limit_order(ES, "BUY", 1, 5800.0)
    it.wait()
    assert order.state == "Working"
    it.executor.tracker.set_state(order, "Submitted", "test")
    assert order.state == "Working" and it.executor.orders.get_order_status(order.order_id) == "Working"


# verbs


@pytest.mark.parametrize(
    "verb, prices, kind",
    [
        ("submit_market_order", {}, "MARKET"),
        ("submit_limit_order", {"limit_price": 5800.0}, "LIMIT"),
        ("submit_stop_order", {"stop_price": 5900.0}, "STOPMARKET"),
        ("submit_stop_order", {"stop_price": 5900.0, "limit_price": 5901.0}, "STOPLIMIT"),
    ],
)
def test_each_order_type_reaches_the_broker_and_the_journal(desk, verb, prices, kind):  # noqa: F811
    it = desk()
    order = getattr(it.executor.orders, verb)(ES, "BUY", 2, **prices)
    (placed,), row = it.orders(), it.journal.one("intents", "order_id", order.order_id)
    assert (
        (placed.order_type, placed.quantity, placed.given_id)
        == (kind, 2, order.order_id)
        == (row["order_type"], row["quantity"], row["order_id"])
    )
    it.wait()
    assert it.executor.orders.get_order_status(order.order_id) == ("Filled" if kind == "MARKET" else "Working")


def test_an_atm_order_names_its_template(desk):  # noqa: F811
    it = desk()
    it.executor.orders.submit_atm_order(ES, "BUY", 1, "Bracket")
    assert it.orders()[0].template == "Bracket" and sorted(o.name for o in it.broker.books.active()) == [
        "Stop1",
        "Target1",
    ]


def test_of_an_oco_pair_one_fill_cancels_the_other(desk):  # noqa: F811
    it = desk()
    stop, target = it.executor.orders.submit_oco_pair(ES, "SELL", 1, 5900.0, 5800.0)
    it.wait()
    it.broker.prices.set_price(ES, 5901.0)
    it.wait(looks=2)
    assert (target.state, stop.state) == ("Filled", "Cancelled") and not it.executor.orders.open
    assert stop.oco_id == target.oco_id


def test_a_limit_of_a_pair_is_not_sent_while_its_stop_is_in_doubt(desk):  # noqa: F811
    it = desk()
    it.broker.faults.add("lost_before", path="/place")
    assert [order.state for order in it.executor.orders.submit_oco_pair(ES, "SELL", 1, 5900.0, 5800.0)] == [UNKNOWN]
    assert it.orders() == []


def test_a_bracket_protects_what_filled_and_an_exit_takes_it_away_first(desk):  # noqa: F811
    it = desk()
    entry = it.executor.orders.submit_bracket_order(ES, "BUY", 2, target=5900.0, stop=5800.0, strategy="trend")
    it.wait(looks=2)
    legs = {order.order_type: order for order in it.orders() if order.is_active}
    assert set(legs) == {"LIMIT", "STOPMARKET"} and all(
        (leg.action, leg.quantity) == ("SELL", 2) for leg in legs.values()
    )
    assert it.executor.orders.protect(entry) == [] and it.held() == 2
    it.executor.flatten("strategy", "trend")
    it.wait(looks=3)
    assert it.held() == it.at_broker() == 0 and not it.broker.books.active()


@pytest.mark.parametrize("action, target, stop", [("BUY", 5800.0, 5900.0), ("SELL", 5900.0, 5800.0)])
def test_a_bracket_the_wrong_way_round_is_refused(desk, action, target, stop):  # noqa: F811
    it = desk()
    with pytest.raises(InputError, match="its target"):
        it.executor.orders.submit_bracket_order(ES, action, 1, target=target, stop=stop)
    assert it.orders() == []


def test_a_cancel_is_over_when_the_broker_says_so(desk):  # noqa: F811
    it = desk()
    order = it.executor.orders.submit_limit_order(ES, "BUY", 1, 5800.0)
    assert it.executor.orders.cancel(order).ok and order.state == "CancelPending"
    it.wait()
    assert order.state == "Cancelled" and not it.executor.orders.open


def test_a_change_reaches_the_broker(desk):  # noqa: F811
    it = desk()
    order = it.executor.orders.submit_limit_order(ES, "BUY", 1, 5800.0)
    assert it.executor.orders.change(order, quantity=3, limit_price=5801.0).ok
    assert (it.orders()[0].quantity, it.orders()[0].limit, order.quantity) == (3, 5801.0, 3)
    it.wait()
    assert order.state == "Working"


def test_the_same_intent_is_not_acted_on_twice(desk):  # noqa: F811
    it = desk()
    signal = it.signal()
    request = it.executor.translator.request(signal, 1)
    it.executor.orders.submit(request, signal)
    with pytest.raises(InputError, match="stands in the journal"):
        it.executor.orders.submit(request, signal)
    assert len(it.orders()) == 1


def test_flatten_position_closes_everybodys_share(desk):  # noqa: F811
    it = desk()
    it.broker.trade(ES, "BUY", 3)
    assert it.executor.orders.flatten_position(ES).ok and it.at_broker() == 0


def test_an_order_nobody_sent_has_no_status(desk):  # noqa: F811
    with pytest.raises(BrokerError, match="not in the journal"):
        desk().executor.orders.get_order_status("fa-none")


# fills and doubt


def test_ids_are_derived_and_differ_by_attempt_and_leg():
    base = order_id("0123456789abcdef0123456789abcdef")
    assert len({base, order_id("0123456789abcdef0123456789abcdef", 1), leg_id(base, 90), leg_id(base, 91)}) == 4
    assert base == order_id("0123456789abcdef0123456789abcdef")


def test_partial_fills_are_booked_one_by_one(desk):  # noqa: F811
    it = desk(variants={"partial": "half"})
    it.submit(quantity=4)
    it.wait(looks=3)
    assert it.held() == 4 and sum(row["quantity"] for row in it.journal.rows("fills")) == 4
    assert all(row["commission"] == 2.0 * row["quantity"] for row in it.journal.rows("fills"))


@pytest.mark.parametrize("kind", ["lost_after", "addon_timeout", "server_error_after", "html", "cut_json", "empty"])
@pytest.mark.parametrize("echo", ["echo", "nt8", "lost"])
def test_an_order_whose_answer_was_lost_is_found_and_not_sent_again(desk, kind, echo):  # noqa: F811
    it = desk(variants={"id_echo": echo})
    it.broker.faults.add(kind, path="/place")
    assert it.submit().detail == UNKNOWN and ES in it.executor.books.locked
    assert it.submit(strategy="fade").denial == "LOCKED"
    it.wait(looks=2)
    assert (it.held(), it.at_broker(), len(it.orders())) == (1, 1, 1) and not it.executor.books.locked


@pytest.mark.parametrize("kind", ["lost_before", "addon_down", "server_error"])
def test_an_order_that_never_arrived_is_given_up_after_the_grace_time_only(desk, kind):  # noqa: F811
    it = desk()
    it.broker.faults.add(kind, path="/place")
    order = it.submit().order_id
    it.wait(1)
    it.wait(72)
    assert it.executor.orders.get_order_status(order) == UNKNOWN
    it.wait(3)
    assert it.executor.orders.get_order_status(order) == NOT_SENT and not it.executor.books.locked and it.held() == 0


def test_an_order_that_arrives_after_it_was_given_up_is_adopted(desk):  # noqa: F811
    it = desk()
    it.broker.faults.add("lost_before", path="/place")
    signal = it.signal()
    order = it.executor.submit_signal(signal).order_id
    it.wait(1)
    it.wait(76)
    assert it.executor.orders.get_order_status(order) == NOT_SENT
    it.client.place_order(it.executor.translator.request(signal, 1))  # the network delivers it now
    it.executor.reconcile()
    it.wait(looks=2)
    assert it.held() == it.at_broker() == 1 and it.executor.orders.get_order_status(order) == "Filled"
    assert it.executor.reconcile() == {} and not it.executor.books.locked and it.events("adopt")


def test_fills_older_than_the_broker_lists_come_from_the_average_price(desk):  # noqa: F811
    it = desk()
    it.submit()
    it.broker.books.executions.clear()
    it.wait(looks=6)
    (fill,) = it.journal.rows("fills")
    assert (it.held(), fill["price"], fill["execution_id"][-5:]) == (1, 5850.0, "-rest")


def test_an_acknowledged_order_the_broker_forgot_is_locked_then_dead_and_never_called_unsent(desk):  # noqa: F811
    it = desk()
    order = it.executor.orders.submit_limit_order(ES, "BUY", 1, 5800.0, strategy="trend")
    it.broker.books.orders.clear()
    it.broker.books.live.clear()
    it.wait(14, looks=6)
    assert order.state == UNKNOWN and "unknown for over" in it.executor.books.locked[ES]
    it.wait(14)
    assert order.state == "Cancelled" and it.events("order") and it.journal.rows("fills") == []
    assert not it.executor.books.locked


def test_what_a_person_gives_up_books_nothing(desk):  # noqa: F811
    it = desk()
    order = it.executor.orders.submit_market_order(ES, "BUY", 1, strategy="trend", arrival_price=5850.0)
    it.broker.books.orders.clear()
    it.broker.books.accounts["Sim101"].holdings.clear()
    it.broker.books.executions.clear()
    it.wait(5, looks=3)
    it.executor.give_up(order, "ann")
    it.wait(looks=10)
    assert order.state == NOT_SENT and order.state in ENDED and it.held() == 0 and it.journal.rows("fills") == []
    assert not it.executor.books.locked and it.submit("LONG_EXIT").denial == "NOTHING_TO_EXIT"


def test_nothing_open_costs_no_request(desk):  # noqa: F811
    it = desk()
    before = len(it.broker.requests)
    it.wait(looks=5)
    assert len(it.broker.requests) == before


# arithmetic


@pytest.mark.parametrize("side, delay, execution", [("BUY", 0.5, 0.25), ("SELL", -0.5, -0.25)])
def test_slippage_is_split_and_adds_up(side, delay, execution):
    assert split_slippage({"side": side, "reference_price": 5850.0, "arrival_price": 5850.5, "price": 5850.75}) == (
        delay,
        execution,
    )


def test_slippage_without_prices_is_unknown():
    assert split_slippage({"side": "BUY", "reference_price": 0.0, "arrival_price": None, "price": 5850.75}) == (
        None,
        None,
    )


def test_a_ledger_that_turns_round():
    ledger = Ledger("MES 12-25")
    assert [ledger.apply(2, 6700.0), ledger.apply(2, 6702.0), ledger.apply(-6, 6703.0), ledger.apply(2, 6700.0)] == [
        0.0,
        0.0,
        40.0,
        30.0,
    ]
    assert (ledger.quantity, ledger.average_price) == (0, 0.0)


def test_the_day_begins_at_five_in_the_afternoon_exchange_time():
    evening = 1_763_074_800 * 10**9  # 2025-11-13 17:00 in Chicago
    assert [trading_day(evening - 1), trading_day(evening)] == ["2025-11-13", "2025-11-14"]
    day = DayResult()
    assert [day.update(evening - 1, -300.0), day.now_usd, day.update(evening, -200.0), day.now_usd, day.best_usd] == [
        True,
        -300.0,
        True,
        100.0,
        100.0,
    ]


def test_both_books_stand_in_a_difference():
    ledgers = {("trend", ES): Ledger(ES, 2, 6700.0), ("fade", ES): Ledger(ES, -1, 6700.0)}
    (difference,) = compare(ledgers, {ES: 0})
    assert "ours +1 (trend +2, fade -1), broker +0" in str(difference) and "buy 1 by hand" in str(difference)
    assert compare(ledgers, {ES: 1}) == compare(ledgers, {ES: 0}, [ES]) == []
