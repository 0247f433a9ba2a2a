"What CrossTrade sends is read in every form seen and never guessed; what an order asks for is checked before the wire."

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from futures_algo.broker.models import (
    ORDER_STATES,
    TERMINAL_STATES,
    Account,
    Execution,
    Lifecycle,
    MarketInfo,
    Order,
    Position,
    Quote,
    UnreadableAnswer,
    epoch_nanos,
    order_state,
)
from futures_algo.broker.requests import OrderRequest, dated_instrument
from futures_algo.core.contracts import Contract
from futures_algo.core.types import InputError
from futures_algo.crosstrade.parsing import (
    read_accounts,
    read_executions,
    read_order,
    read_orders,
    read_positions,
    read_quotes,
    read_snapshot,
    read_state,
    read_watermarks,
)

ORDER = {"id": "n1", "instrument": "ES 12-25", "orderState": "Working", "quantity": 2}
POSITION = {"instrument": "ES 12-25", "marketPosition": "Long", "quantity": 2}


# reading rows


def test_a_position_is_read_from_the_documented_sample():
    row = {
        "type": "NinjaTrader.Cbi.Position",
        "account": "Sim101",
        "instrument": "MES 03-26",
        "instrumentType": "Future",
        "marketPosition": "Short",
        "quantity": 7,
        "averagePrice": 6615.178571428572,
        "marketPrice": 6614.25,
        "unrealizedProfitLoss": -32.50000000000455,
        "tag": None,
    }
    position = Position.parse(row)
    assert (position.signed, position.contract, position.average_price, position.tag) == (
        -7,
        Contract("MES", 2026, 3),
        6615.178571428572,
        None,
    )
    assert position.extra == {"type": "NinjaTrader.Cbi.Position", "instrumentType": "Future"}


@pytest.mark.parametrize("missing", ["instrument", "marketPosition", "quantity"])
@pytest.mark.parametrize("how", ["absent", "null"])
def test_a_position_without_a_required_field_is_unreadable_and_not_flat(missing, how):
    row = {name: value for name, value in POSITION.items() if name != missing} | (
        {missing: None} if how == "null" else {}
    )
    with pytest.raises(UnreadableAnswer, match=missing):
        Position.parse(row)


@pytest.mark.parametrize(
    "name, value",
    [
        ("quantity", 1.5),
        ("quantity", "many"),
        ("quantity", True),
        ("quantity", float("nan")),
        ("quantity", 1e400),
        ("marketPosition", "Sideways"),
        ("quantity", 1e20),
    ],
)
def test_a_field_of_the_wrong_kind_is_unreadable_and_named(name, value):
    with pytest.raises(UnreadableAnswer, match=name):
        Position.parse(POSITION | {name: value})


@pytest.mark.parametrize("row", [None, [], "flat", 3])
def test_a_row_that_is_no_object_is_unreadable(row):
    with pytest.raises(UnreadableAnswer, match="object was expected"):
        Position.parse(row)


def test_a_flat_position_counts_zero():
    assert Position.parse(POSITION | {"marketPosition": "FLAT", "quantity": 0}).signed == 0


@pytest.mark.parametrize("ids", [{"id": "n1"}, {"orderId": "n1"}, {"id": "n1", "orderId": "n1"}])
@pytest.mark.parametrize(
    "wrap", [lambda row: row, lambda row: {"order": row, "success": True}, lambda row: {"data": row, "success": True}]
)
def test_an_order_is_read_from_id_or_order_id_flat_or_wrapped(ids, wrap):
    row = {name: value for name, value in ORDER.items() if name != "id"} | ids
    assert read_order(wrap(row)).order_id == "n1"


def test_an_order_that_is_no_object_is_unreadable():
    with pytest.raises(UnreadableAnswer):
        read_order([ORDER])


@pytest.mark.parametrize("state", ORDER_STATES)
def test_every_order_state_is_read_in_any_case_and_only_three_are_terminal(state):
    for spelling in (state, state.upper(), state.lower()):
        assert order_state(spelling) == state
    assert Order.parse(ORDER | {"orderState": state}).is_terminal == (state in ("Filled", "Cancelled", "Rejected"))
    assert frozenset({"Filled", "Cancelled", "Rejected"}) == TERMINAL_STATES


@pytest.mark.parametrize(
    "text, state",
    [
        ("Canceled", "Cancelled"),
        ("PARTIALLY_FILLED", "PartFilled"),
        ("Part Filled", "PartFilled"),
        ("Nonsense", "Unknown"),
    ],
)
def test_foreign_spellings_of_states_are_read_and_unknown_ones_are_not_terminal(text, state):
    assert order_state(text) == state


@pytest.mark.parametrize(
    "row",
    [
        {"id": "fa-17"},
        {"orderId": "fa-17"},
        {"id": "n1", "originalOrderId": "fa-17"},
        {"id": "n1", "automatedTradingOrderId": "fa-17"},
        {"id": "n1", "name": "fa-17"},
        {"id": "n1", "ocoId": "oco-17"},
        {"id": "n1", "userData": "<x><AutomatedTradingOrderId>fa-17</AutomatedTradingOrderId></x>"},
    ],
)
def test_an_order_is_recognised_wherever_the_id_stands(row):
    order = Order.parse({name: value for name, value in ORDER.items() if name != "id"} | row)
    assert order.answers_to("fa-17", "oco-17")
    assert not order.answers_to("fa-1", "oco-1")
    assert not order.answers_to("fa-18")


def test_orders_tell_side_and_rest():
    order = Order.parse(ORDER | {"orderAction": "Sell", "filled": 1})
    assert (order.sign, order.remaining, Order.parse(ORDER | {"orderAction": "Buy"}).sign) == (-1, 1, 1)


@pytest.mark.parametrize(
    "value, nanos",
    [
        (1773867114, 1773867114 * 10**9),
        (1773864000000, 1773864000 * 10**9),
        (1779114612118.5, 1779114612118_500_000),
        ("1779114612118.0", 1779114612118_000_000),
    ],
)
def test_epochs_are_seconds_or_milliseconds(value, nanos):
    assert epoch_nanos(value) == nanos


def test_a_lifecycle_knows_its_last_state_and_that_the_placement_arrived():
    rows = [
        {
            "epoch": 1779114612118.0,
            "source": "api_received",
            "event": "PlaceOrder",
            "orderState": None,
            "orderId": "fa-17",
        },
        {"orderState": "Filled", "filled": 2},
    ]
    full, arrived = Lifecycle.parse({"orderId": "n1", "events": rows}), Lifecycle.parse({"events": rows[:1]})
    assert (full.state, arrived.state, arrived.events[0].source) == ("Filled", None, "api_received")
    with pytest.raises(UnreadableAnswer):
        Lifecycle.parse({"orderId": "n1"})


def test_an_execution_takes_its_time_from_the_epoch():
    row = {
        "id": "e1",
        "time": "2025-09-26T18:09:38.3736787",
        "epoch": 1727399378373,
        "instrument": "ES 12-25",
        "marketPosition": "Short",
        "price": 5804.5,
        "quantity": 1,
    }
    execution = Execution.parse(row)
    assert (
        execution.at,
        execution.sign,
        execution.commission,
        Execution.parse(row | {"marketPosition": "Long"}).sign,
    ) == (1727399378373_000_000, -1, None, 1)


def test_a_quote_and_market_info_are_read_from_the_documented_samples():
    quote = Quote.parse(
        {
            "tickSize": 0.25,
            "pointValue": 50.0,
            "instrument": "ES 03-26",
            "bid": 1.0,
            "epoch": 1773867114,
            "dataSource": {"status": "Live"},
            "isMarketOpen": True,
        }
    )
    info = MarketInfo.parse(
        {
            "status": {"isOpen": "false", "state": "Closed"},
            "session": {"label": "Next Session", "secondsRemaining": 810.97},
        }
    )
    assert (quote.is_open, quote.feed_status, quote.last, info.is_open, info.seconds_remaining) == (
        True,
        "Live",
        None,
        False,
        810.97,
    )
    with pytest.raises(UnreadableAnswer):
        MarketInfo.parse({"status": {"isOpen": "perhaps"}})


def test_an_account_says_whether_it_is_connected():
    row = {
        "name": "Sim101",
        "displayName": "Paper",
        "connectionStatus": "Connected",
        "item": {"cashValue": 100.5, "netLiquidation": 90},
    }
    account = Account.parse(row)
    assert (account.cash, account.net_liquidation, account.is_connected, Account.parse({"name": "x"}).is_connected) == (
        100.5,
        90.0,
        True,
        False,
    )


# reading whole answers


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"positions": []},
        {"positions": [], "success": False},
        {"positions": [], "success": 1},
        {"success": True},
        [],
        None,
        "ok",
        {"success": True, "positions": None},
        {"success": True, "positions": {}},
    ],
)
def test_a_list_of_positions_counts_only_with_success_true(payload):
    with pytest.raises(UnreadableAnswer):
        read_positions(payload)
    with pytest.raises(UnreadableAnswer):
        read_orders(payload)


def test_an_empty_list_with_success_true_is_empty():
    assert read_positions({"positions": [], "count": 0, "success": True}) == []


@pytest.mark.parametrize(
    "payload",
    [
        {"accounts": [{"name": "Sim101"}], "success": True},
        {"accounts": [{"name": "Sim101"}]},
        [{"name": "Sim101"}],
        {"accounts": ["Sim101"]},
        {"success": True, "data": {"accounts": [{"name": "Sim101"}]}},
    ],
)
def test_accounts_come_as_object_list_or_names(payload):
    assert [account.name for account in read_accounts(payload)] == ["Sim101"]


@pytest.mark.parametrize("payload", [{}, None, {"accounts": "Sim101"}])
def test_accounts_that_are_no_list_are_unreadable(payload):
    with pytest.raises(UnreadableAnswer):
        read_accounts(payload)


def test_executions_need_no_flag():
    assert read_executions({"executions": []}) == [] == read_executions([])


def test_quotes_are_one_or_many():
    assert [
        len(read_quotes(payload)) for payload in ({"instrument": "ES 03-26"}, [{"instrument": "ES 03-26"}] * 3)
    ] == [1, 3]


@pytest.mark.parametrize("payload", [{"status": "Filled"}, {"orderState": "filled"}])
def test_a_status_is_read_under_either_name(payload):
    assert read_state(payload) == "Filled"


@pytest.mark.parametrize("payload", [{}, [], {"status": 3}])
def test_a_status_that_is_missing_is_unreadable(payload):
    with pytest.raises(UnreadableAnswer):
        read_state(payload)


@pytest.mark.parametrize("payload", [{}, [], {"accounts": [{"account": {"name": "Sim101"}}]}])
def test_a_snapshot_without_positions_is_unreadable(payload):
    with pytest.raises(UnreadableAnswer):
        read_snapshot(payload)


def test_watermarks_come_inside_data():
    answer = read_watermarks(
        {"success": True, "data": {"account": "Sim101", "watermarks": {"pnlhigh": 3.5}, "stats": {}}}
    )
    assert (answer.account, answer.watermarks) == ("Sim101", {"pnlhigh": 3.5})


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["positions", "orders", "accounts", "success", "data", "status", "instrument"]), inner
            )
        ),
    )
)
@settings(max_examples=200, deadline=None)
def test_no_json_at_all_makes_a_reader_fail_in_any_other_way(payload):
    for read in (
        read_positions,
        read_orders,
        read_accounts,
        read_order,
        read_state,
        read_quotes,
        read_snapshot,
        read_watermarks,
        read_executions,
    ):
        try:
            read(payload)
        except UnreadableAnswer:
            pass


# what an order may ask for


@pytest.mark.parametrize("text", ["ES 12-25", "ESZ25", "ES DEC25", "ES Dec 2025", Contract("ES", 2025, 12)])
def test_every_spelling_of_a_dated_contract_becomes_ninjatraders(text):
    assert dated_instrument(text) == "ES 12-25"


@pytest.mark.parametrize("text", ["ES", "ES1!", "ES.c.0", "", "ES 13-25", None, 7])
def test_a_root_or_continuous_symbol_is_refused(text):
    with pytest.raises(InputError, match="dated contract"):
        OrderRequest(text, "BUY", 1)


@pytest.mark.parametrize("quantity", [0, -1, 1.5, True, "1", None, float("nan"), float("inf")])
def test_quantity_must_be_a_positive_whole_number(quantity):
    with pytest.raises(InputError, match="quantity"):
        OrderRequest("ES 12-25", "BUY", quantity)


@pytest.mark.parametrize("price", [5850.1, float("nan"), float("inf"), "5850", True])
def test_off_tick_and_senseless_prices_are_refused_not_rounded(price):
    with pytest.raises(InputError, match="price"):
        OrderRequest("ES 12-25", "BUY", 1, "LIMIT", limit_price=price)


@pytest.mark.parametrize(
    "fields, name",
    [
        ({"order_type": "LIMIT"}, "limit_price"),
        ({"order_type": "STOPMARKET"}, "stop_price"),
        ({"order_type": "STOPLIMIT", "stop_price": 5850.0}, "limit_price"),
        ({"limit_price": 5850.0}, "limit_price"),
        ({"order_type": "LIMIT", "limit_price": 5850.0, "stop_price": 5850.0}, "stop_price"),
    ],
)
def test_prices_must_fit_the_order_type(fields, name):
    with pytest.raises(InputError, match=name):
        OrderRequest("ES 12-25", "BUY", 1, **fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"action": "HOLD"},
        {"action": None},
        {"order_type": "ICEBERG"},
        {"time_in_force": "IOC"},
        {"require_market_position": "sideways"},
    ],
)
def test_unknown_words_are_refused(fields):
    with pytest.raises(InputError, match="must be one of"):
        OrderRequest(**{"instrument": "ES 12-25", "action": "BUY", "quantity": 1} | fields)


def test_the_body_carries_what_was_given_and_nothing_else():
    order = OrderRequest(
        "MNQH6",
        "sell",
        2.0,
        "stoplimit",
        limit_price=20000.25,
        stop_price=20000.5,
        time_in_force="gtc",
        order_id="fa-1",
        oco_id="o-1",
        strategy="Bracket",
        require_market_position="flat,long",
        max_positions=2,
    )
    near = Contract.parse("MNQH6").ninjatrader
    assert order.body() == {
        "instrument": near,
        "action": "SELL",
        "quantity": 2,
        "orderType": "STOPLIMIT",
        "limitPrice": 20000.25,
        "stopPrice": 20000.5,
        "timeInForce": "GTC",
        "orderId": "fa-1",
        "ocoId": "o-1",
        "strategy": "Bracket",
        "maxPositions": 2,
        "requireMarketPosition": "flat,long",
    }
    assert OrderRequest("ES 12-25", "BUY", 1).body() == {
        "instrument": "ES 12-25",
        "action": "BUY",
        "quantity": 1,
        "orderType": "MARKET",
        "timeInForce": "DAY",
    }


def test_an_unknown_product_is_not_checked_against_a_grid():
    assert OrderRequest("ZZX 12-25", "BUY", 1, "LIMIT", limit_price=1.2345).limit_price == 1.2345
