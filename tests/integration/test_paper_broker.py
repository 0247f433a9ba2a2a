"The real client against the paper broker over loopback: fills by the stated rules, positions, orders and market data."

import pytest
from broker_desk import ES, NQ, START, WALK, minute

from futures_algo.broker.outcomes import Refused
from futures_algo.broker.requests import OrderRequest
from futures_algo.core.types import DAY, MINUTE, Bars
from futures_algo.crosstrade.client import CrossTradeClient
from futures_algo.crosstrade.rate_limit import TokenBucket
from futures_algo.sim.fills import FillRules
from futures_algo.sim.ledger import Terms

# the seeds' names


def test_the_first_lines_of_the_quick_start_work(desk):
    client = desk().client
    assert client.get_accounts() == ["Sim101"]
    assert client.get_positions() == []


def test_the_local_base_url_without_the_api_prefix_works_too(desk):
    it = desk()
    assert (
        it.connect().get_accounts()
        == CrossTradeClient(
            it.broker.token, f"http://127.0.0.1:{it.broker.port}", bucket=TokenBucket(99, 99)
        ).get_accounts()
    )


# fills by the stated rules


def test_a_market_order_fills_at_the_open_of_the_next_bar_and_at_its_start(desk):
    it = desk()
    assert it.order(order_id="fa-1").value == "fa-1"
    order, (fill,) = it.client.get_order("fa-1"), it.client.get_executions()
    assert (order.state, order.average_price, fill.price, fill.at, fill.commission) == (
        "Filled",
        5850.75,
        5850.75,
        START + MINUTE,
        2.0,
    )
    assert it.client.get_position(ES).signed == 1


def test_a_market_order_between_two_bars_waits_for_the_next_open(desk):
    it = desk()
    it.at(1.5)
    it.order(order_id="fa-1")
    assert it.client.get_order("fa-1").average_price == 5852.25


@pytest.mark.parametrize("action, price", [("BUY", 5851.25), ("SELL", 5850.25)])
def test_slippage_goes_against_the_order(desk, action, price):
    it = desk(rules=FillRules(slippage_ticks=2))
    it.order(action, order_id="fa-1")
    assert it.client.get_order("fa-1").average_price == price


def test_after_the_last_bar_a_market_order_fills_at_the_last_known_price(desk):
    it = desk()
    it.at(60)
    it.order(order_id="fa-1")
    order = it.client.get_order("fa-1")
    assert (order.state, order.average_price) == ("Filled", 5857.5)


def test_without_instant_fills_a_market_order_works_until_its_bar_has_begun(desk):
    it = desk()
    it.broker.variants.change(instant=False)
    it.at(1.5)
    it.order(order_id="fa-1")
    assert it.client.get_order_status("fa-1") == "Working"
    assert it.at(2).get_order_status("fa-1") == "Filled"


@pytest.mark.parametrize(
    "action, limit, filled_at, price",
    [
        ("BUY", 5849.0, 3, 5849.0),
        ("BUY", 5853.0, 2, 5850.75),
        ("SELL", 5858.0, 5, 5858.0),
        ("SELL", 5853.0, 2, 5853.0),
        ("BUY", 5800.0, None, 0.0),
    ],
)
def test_a_limit_fills_when_touched_at_the_better_of_limit_and_open(desk, action, limit, filled_at, price):
    it = desk()
    it.order(action, 1, "LIMIT", limit_price=limit, order_id="fa-1")
    ends = [minutes for minutes in range(1, 8) if it.at(minutes).get_order_status("fa-1") == "Filled"]
    assert (ends[0] if ends else None, it.client.get_order("fa-1").average_price) == (filled_at, price)


def test_with_the_through_rule_a_touch_is_not_enough(desk):
    it = desk(rules=FillRules(limit="through"))
    it.order("SELL", 1, "LIMIT", limit_price=5858.0, order_id="fa-1")
    it.order("SELL", 1, "LIMIT", limit_price=5857.75, order_id="fa-2")
    it.at(7)
    assert (it.client.get_order_status("fa-1"), it.client.get_order_status("fa-2")) == ("Working", "Filled")


@pytest.mark.parametrize(
    "action, stop, price", [("BUY", 5852.5, 5852.5), ("SELL", 5846.0, 5846.0), ("BUY", 5850.25, 5850.75)]
)
def test_a_stop_fills_when_touched_at_the_worse_of_stop_and_open(desk, action, stop, price):
    it = desk()
    it.order(action, 1, "STOPMARKET", stop_price=stop, order_id="fa-1")
    it.at(7)
    assert it.client.get_order("fa-1").average_price == price


def test_a_stop_limit_becomes_a_limit_on_the_bar_after_its_stop(desk):
    it = desk()
    it.order("BUY", 1, "STOPLIMIT", stop_price=5852.5, limit_price=5850.0, order_id="fa-1")
    assert (
        it.at(2).get_order_status("fa-1") == "Working"
    )  # the minute that touched the stop also touched the limit, nobody knows which first
    assert it.at(3).get_order("fa-1").average_price == 5850.0


def test_a_stop_goes_before_a_limit_when_one_bar_could_fill_both(desk):
    it = desk([minute(0, 100.0, 100.0, 100.0, 100.0), minute(1, 100.0, 110.0, 90.0, 100.0)])
    it.order("SELL", 1, "LIMIT", limit_price=110.0, oco_id="o-1", order_id="target")
    it.order("SELL", 1, "STOPMARKET", stop_price=90.0, oco_id="o-1", order_id="stop")
    it.at(2)
    assert (it.client.get_order_status("stop"), it.client.get_order_status("target")) == ("Filled", "Cancelled")


def test_an_order_takes_only_its_share_of_a_bars_volume(desk):
    it = desk(rules=FillRules(participation=0.02))
    it.order("BUY", 5, order_id="fa-1")
    seen = [it.client.get_order("fa-1").filled, it.at(2).get_order("fa-1").filled, it.at(3).get_order("fa-1").filled]
    assert seen == [2, 4, 5] and it.client.get_order("fa-1").average_price == pytest.approx(
        (2 * 5850.75 + 2 * 5852.25 + 5846.25) / 5
    )


def test_a_constant_price_fills_market_orders_now_and_limits_by_touch(desk):
    it = desk()
    it.order("BUY", 1, instrument=NQ, order_id="fa-1")
    it.order("SELL", 1, "LIMIT", NQ, limit_price=20_001.0, order_id="fa-2")
    assert (it.client.get_order("fa-1").average_price, it.client.get_order_status("fa-2")) == (20_000.0, "Working")
    it.broker.prices.set_price(NQ, 20_001.0)
    assert it.client.get_order_status("fa-2") == "Filled"


def test_bars_may_be_pushed_as_they_happen(desk):
    it = desk([WALK[0]])
    it.at(1.5)
    it.order("BUY", 1, "LIMIT", limit_price=5850.0, order_id="fa-1")
    it.broker.push(minute(2, 5852.25, 5852.5, 5845.0, 5846.0))
    it.broker.push(minute(2, 1.0, 1.0, 1.0, 1.0))  # a bar that is already there changes nothing
    it.broker.advance(START + 3 * MINUTE)
    assert it.client.get_order("fa-1").average_price == 5850.0


def test_each_contract_trades_on_its_own_bars(desk):
    roll = [
        minute(0, 10.0, 10.0, 10.0, 10.0),
        minute(1, 10.0, 10.0, 10.0, 10.0),
        minute(2, 60.0, 60.0, 60.0, 60.0, "ESH6"),
        minute(3, 61.0, 61.0, 61.0, 61.0, "ESH6"),
    ]
    it = desk({"ES.c.0": Bars.from_bars(roll)})
    it.order("BUY", instrument=ES, order_id="old")
    it.at(2)
    it.order("SELL", instrument=ES, order_id="roll")  # no bar of December is left: its last close
    it.order("BUY", instrument="ES 03-26", order_id="new")
    assert [it.client.get_order(name).average_price for name in ("old", "roll", "new")] == [10.0, 10.0, 60.0]
    assert it.client.get_quote("ES").instrument == "ES 03-26"


# accounts and positions


def test_profit_commission_and_cash_follow_the_fills(desk):
    it = desk()
    it.order("BUY", 2)
    it.at(4)
    it.order("SELL", 3)  # from 2 long at 5850.75 to 1 short at 5847.25
    account, position = it.client.get_account(), it.client.get_position(ES)
    assert (account.commission, account.realized, account.cash) == (10.0, 2 * -3.5 * 50 - 10.0, 100_000 - 350.0 - 10.0)
    assert (position.signed, position.average_price, position.unrealized) == (-1, 5847.25, 12.5)
    assert account.net_liquidation == account.cash + 12.5 and account.initial_margin == pytest.approx(
        5847.0 * 50 * 0.05
    )


def test_adding_to_a_position_averages_its_price(desk):
    it = desk()
    it.order("BUY", 1)
    it.at(2)
    it.order("BUY", 3)
    assert it.client.get_position(ES).average_price == (5850.75 + 3 * 5852.25) / 4


def test_snapshot_watermarks_and_lists_agree(desk):
    it = desk(accounts={"Sim102": "Second"})
    it.order("BUY", 1)
    snapshot = {row.account.name: row for row in it.client.get_snapshot()}
    assert (snapshot["Sim101"].is_flat, snapshot["Sim102"].is_flat, snapshot["Sim101"].positions[0].signed) == (
        False,
        True,
        1,
    )
    assert (
        [position.account for position in it.connect(account=None).get_positions()]
        == ["Sim101"]
        == [position.account for position in it.client.get_positions()]
    )
    assert it.client.get_watermarks().account == "Sim101" and [account.name for account in it.client.accounts()] == [
        "Sim101",
        "Sim102",
    ]


@pytest.mark.parametrize(
    "arguments, left",
    [
        ({}, 0),
        ({"quantity": 1}, 2),
        ({"quantity": 9}, 0),
        ({"percent": 0.5}, 1),
        ({"percent": 0.1}, 2),
        ({"quantity": 1, "percent": 1.0}, 2),
    ],
)
def test_close_takes_quantity_before_percent_capped_and_rounded_up(desk, arguments, left):
    it = desk()
    it.order("BUY", 3)
    assert it.client.close_position(ES, **arguments).value[0].quantity == 3
    assert sum(position.signed for position in it.client.get_positions()) == left


def test_a_partial_close_leaves_working_orders_alone_and_a_full_one_does_not(desk):
    it = desk()
    it.order("BUY", 2)
    it.order("SELL", 2, "STOPMARKET", stop_price=5800.0)
    it.client.close_position(ES, quantity=1)
    assert len(it.client.get_orders(active_only=True)) == 1
    it.client.close_position(ES)
    assert it.client.get_orders(active_only=True) == []


def test_flatten_closes_and_cancels_one_instrument_or_the_account(desk):
    it = desk()
    for name in (ES, NQ):
        it.order("BUY", 1, instrument=name)
        it.order("SELL", 1, "LIMIT", name, limit_price=30_000.0)
    it.client.flatten(ES)
    assert (
        [position.instrument for position in it.client.get_positions()]
        == [NQ]
        == [order.instrument for order in it.client.get_orders(active_only=True)]
    )
    it.client.flatten()
    assert it.client.get_positions() == [] == it.client.get_orders(active_only=True)
    nothing = it.client.flatten()
    assert nothing.ok and nothing.value == [] and "warning" in nothing.answer


def test_flatten_everything_reaches_every_account(desk):
    it = desk(accounts={"Sim102": "Second"})
    for account in ("Sim101", "Sim102"):
        it.client.place_order(OrderRequest(ES, "BUY", 1), account)
    assert len(it.client.flatten_everything(every_account=True).value) == 2
    assert it.connect(account=None).get_positions() == []


def test_reverse_and_reverse_position_turn_round(desk):
    it = desk()
    it.order("BUY", 2)
    assert it.client.reverse(ES).ok and it.client.get_position(ES).signed == -2
    assert it.client.reverse_position(OrderRequest(ES, "BUY", 1)).ok and it.client.get_position(ES).signed == 1


def test_flat_place_flattens_first(desk):
    it = desk()
    it.order("BUY", 2)
    assert it.client.flat_place(OrderRequest(ES, "SELL", 1, order_id="fa-2")).value == "fa-2"
    assert it.client.get_position(ES).signed == -1


# orders


def test_cancel_change_and_replace_a_working_order(desk):
    it = desk()
    it.order("BUY", 1, "LIMIT", limit_price=5800.0, order_id="fa-1")
    assert it.client.change_order("fa-1", quantity=3, limit_price=5801.0).ok
    changed = it.client.get_order("fa-1")
    assert (changed.quantity, changed.limit_price, changed.state) == (3, 5801.0, "Working")
    replaced = it.client.replace_order("fa-1", OrderRequest(ES, "BUY", 2, "LIMIT", limit_price=5802.0, order_id="fa-2"))
    assert replaced.value == "fa-2" and it.client.get_order_status("fa-1") == "Cancelled"
    assert it.client.cancel_order("fa-2").ok and it.client.get_order_status("fa-2") == "Cancelled"


def test_cancel_orders_by_instrument_account_or_all(desk):
    it = desk()
    for name in (ES, NQ, ES):
        it.order("SELL", 1, "LIMIT", name, limit_price=30_000.0)
    assert len(it.client.cancel_orders(ES).value) == 2
    assert len(it.client.cancel_orders(None).value) == 1
    it.order("SELL", 1, "LIMIT", limit_price=30_000.0)
    assert len(it.client.cancel_all_orders().value) == 1 and it.client.cancel_all_orders().value == []


def test_one_of_an_oco_pair_cancels_the_other(desk):
    it = desk()
    it.order("BUY", 1)
    it.order("SELL", 1, "LIMIT", limit_price=5852.5, oco_id="o-1", order_id="target")
    it.order("SELL", 1, "STOPMARKET", stop_price=5800.0, oco_id="o-1", order_id="stop")
    it.at(3)
    assert (it.client.get_order_status("target"), it.client.get_order_status("stop")) == ("Filled", "Cancelled")


def test_an_oco_order_that_fills_in_parts_cancels_its_partner_once(desk):
    it = desk(rules=FillRules(participation=0.01))
    it.order("SELL", 2, "LIMIT", limit_price=5852.0, oco_id="o-1", order_id="target")
    it.order("SELL", 2, "STOPMARKET", stop_price=5800.0, oco_id="o-1", order_id="stop")
    it.at(6)  # two bars meet the target inside one request
    assert it.client.get_order("target").filled == 2
    assert [event.state for event in it.client.get_order_lifecycle("stop").events][-2:] == [
        "CancelPending",
        "Cancelled",
    ]
    assert len(it.client.get_order_lifecycle("stop").events) == 6


def test_a_scripted_part_larger_than_the_order_fills_the_order_and_no_more(desk):
    it = desk(rules=FillRules(participation=0.5))
    it.broker.faults.add("partial", quantity=9)
    it.order("BUY", 2, order_id="fa-1")
    assert it.client.get_order("fa-1").filled == it.client.get_position(ES).signed == 2


def test_an_atm_template_places_target_and_stop_after_the_fill(desk):
    it = desk(terms=Terms(templates={"Scalp": (4, 8)}))
    assert it.client.get_atm_templates() == ["Scalp"]
    it.order("BUY", 2, strategy="Scalp")
    orders = {order.name: order for order in it.client.get_orders(active_only=True)}
    assert (orders["Target1"].limit_price, orders["Stop1"].stop_price, orders["Target1"].quantity) == (
        5851.75,
        5848.75,
        2,
    )
    strategy = orders["Stop1"].extra["ownerStrategy"]["id"]
    assert it.client.close_strategy(strategy).value == strategy
    assert it.client.get_positions() == [] == it.client.get_orders(active_only=True)


def test_cancel_and_bracket_protects_a_position_and_clamps_to_it(desk):
    it = desk()
    it.order("BUY", 2)
    it.order("SELL", 2, "STOPMARKET", stop_price=5800.0, order_id="old")
    assert len(it.client.cancel_and_bracket(ES, "buy", 5, take_profit=5860.0, stop_loss=5840.0).value) == 2
    orders = it.client.get_orders(active_only=True)
    assert it.client.get_order_status("old") == "Cancelled"
    assert [(order.action, order.quantity, order.limit_price, order.stop_price) for order in orders] == [
        ("SELL", 2, 5860.0, 0.0),
        ("SELL", 2, 0.0, 5840.0),
    ]
    assert len({order.oco_id for order in orders}) == 1 and len(it.client.get_all_orders()) == 4


def test_cancel_and_bracket_without_a_position_is_a_straddle_entry(desk):
    it = desk()
    it.client.cancel_and_bracket(ES, "BUY", 1, stop_loss=5846.0)
    assert it.at(3).get_position(ES).signed == -1


def test_the_lifecycle_tells_the_whole_story(desk):
    it = desk()
    it.order("BUY", 1, order_id="fa-1")
    life = it.client.get_order_lifecycle("fa-1")
    assert [(event.source, event.state) for event in life.events] == [
        ("api_received", None),
        ("order_update", "Submitted"),
        ("order_update", "Accepted"),
        ("order_update", "Working"),
        ("order_update", "Filled"),
    ]
    assert (life.original_id, life.state, life.events[-1].filled) == ("fa-1", "Filled", 1) and life.order_id != "fa-1"
    assert len(it.client.get_order_lifecycle("fa-1", limit=2).events) == 2


def test_a_refused_placement_still_left_its_arrival_in_the_lifecycle(desk):
    it = desk()
    assert isinstance(it.order(order_id="fa-1", require_market_position="long"), Refused)
    life = it.client.get_order_lifecycle("fa-1")
    assert [event.source for event in life.events] == ["api_received"] and life.state is None


def test_executions_reach_back_no_further_than_nine_hundred_seconds(desk):
    it = desk()
    it.order("BUY", 1)
    (fill,) = it.client.get_executions()
    assert it.at(15).get_executions(lookback=320) == [] and it.client.get_executions() == [fill]
    assert it.at(17).get_executions() == [] and it.client.get_execution(fill.execution_id) == fill


# market data


def test_quotes_bars_and_hours(desk):
    it = desk()
    it.broker.variants.change(hours="calendar")
    quotes, info = it.client.get_quotes([ES, NQ]), it.client.get_market_info(ES)
    assert [(quote.instrument, quote.last, quote.tick_size) for quote in quotes] == [
        (ES, 5850.5, 0.25),
        (NQ, 20_000.0, 0.25),
    ]
    assert (info.is_open, info.session, info.seconds_remaining > 0) == (True, "Current Session", True)
    assert [bar.close for bar in it.at(3).get_bars("ES")] == [5850.5, 5852.0, 5846.0] and it.client.get_bars(
        ES, limit=1
    )[0].at == START + 3 * MINUTE
    it.now = START + 2 * DAY
    assert not it.client.get_market_info(ES).is_open and not it.client.get_quote(ES).is_open
