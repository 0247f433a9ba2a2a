"Every refusal the reference documents, by name, through the real client over loopback."

import pytest
from broker_desk import ES, NQ, START

from futures_algo.broker.outcomes import Answered, NotFound, Refused, RefusedQuery, Unauthorized, is_already_ended
from futures_algo.broker.requests import OrderRequest
from futures_algo.core.types import DAY, InputError
from futures_algo.crosstrade.client import CrossTradeClient
from futures_algo.crosstrade.rate_limit import TokenBucket
from futures_algo.sim.fills import FillRules
from futures_algo.sim.ledger import Terms


def refusal(outcome) -> str:
    assert isinstance(outcome, Refused), outcome
    return outcome.reason


def test_error_cancel_not_found_or_already_terminal(desk):
    it = desk()
    it.order(order_id="fa-1")
    for order_id in ("fa-1", "nobody"):
        late = it.client.cancel_order(order_id)
        assert (
            refusal(late) == f"Order linked to '{order_id}' not found or already terminal."
            and late.status == 400
            and is_already_ended(late)
        )
    assert not is_already_ended(it.order(order_id="fa-2"))


def test_error_change_of_an_ended_order(desk):
    it = desk()
    it.order(order_id="fa-1")
    assert "not found or already terminal" in refusal(it.client.change_order("fa-1", quantity=2))


def test_error_close_without_a_position(desk):
    assert refusal(desk().client.close_position(ES)) == "No positions found for instrument 'ES 12-25'"


def test_error_reverse_without_a_position_echoes_the_account_as_typed(desk):
    assert (
        refusal(desk().client.reverse(ES, account="sim101"))
        == "No position found for instrument 'ES 12-25' in account 'sim101'"
    )


@pytest.mark.parametrize(
    "body",
    [
        {"action": "HOLD"},
        {"quantity": 0},
        {"quantity": 1.5},
        {"orderType": "ICEBERG"},
        {"timeInForce": None},
        {"orderType": "LIMIT"},
        {"instrument": None},
        {"instrument": ""},
        {"orderType": "LIMIT", "limitPrice": "cheap"},
        {"maxPositions": "two"},
    ],
)
def test_error_invalid_request(desk, body):
    sent = {"instrument": ES, "action": "BUY", "quantity": 1, "orderType": "MARKET", "timeInForce": "DAY"} | body
    assert (
        refusal(
            desk().client._do(
                "/accounts/Sim101/orders/place",
                dict,
                {name: value for name, value in sent.items() if value is not None},
            )
        )
        == "Invalid request"
    )


def test_error_invalid_account(desk):
    it = desk()
    wrong = it.client.place_order(OrderRequest(ES, "BUY", 1), "Sim999")
    assert (refusal(wrong), wrong.detail) == ("invalid_account", "Account Sim999 not found")
    with pytest.raises(NotFound, match="invalid_account"):
        it.client.get_positions("Sim999")


def test_error_display_name_is_not_an_account_name(desk):
    it = desk(accounts={"Sim102": "My Paper Account"})
    with pytest.raises(NotFound, match="My Paper Account not found"):
        it.client.get_account("My Paper Account")
    assert it.client.get_account("SIM102").display_name == "My Paper Account"  # a Name is taken in any case


@pytest.mark.parametrize(
    "wanted, remedy",
    [("My Paper Account", "use 'Sim102'"), ("Sim10l", "did you mean 'Sim10"), ("", "did you mean|known")],
)
def test_check_account_names_what_was_meant(desk, wanted, remedy):
    it = desk(accounts={"Sim102": "My Paper Account"})
    with pytest.raises(InputError, match=remedy):
        it.connect(account=wanted).check_account()
    assert it.client.check_account("sim102") == "Sim102" and it.client.check_account() == "Sim101"


def test_error_order_not_found(desk):
    it = desk()
    for ask in (it.client.get_order, it.client.get_order_status, it.client.get_order_lifecycle):
        with pytest.raises(NotFound, match="'nobody' not found"):
            ask("nobody")
    with pytest.raises(NotFound):
        it.client.get_execution("nobody")
    assert "not found" in refusal(it.client.close_strategy("nobody"))


def test_error_position_not_found_or_a_flat_row(desk):
    it = desk()
    with pytest.raises(NotFound, match="No position found"):
        it.client.get_position(ES)
    it.broker.variants.change(flat_position="flat")
    assert it.client.get_position(ES).signed == 0


def test_error_unknown_instrument(desk):
    it = desk()
    assert refusal(it.order(instrument="ZZX 12-25")) == "Instrument 'ZZX 12-25' not found"
    with pytest.raises(NotFound, match="'QQ' not found"):
        it.client.get_quote("QQ")


def test_error_unknown_route_suggests_the_nearest(desk):
    with pytest.raises(NotFound, match="did you mean"):
        desk().client._ask("/acounts", dict)


def test_error_unauthorized(desk):
    it = desk()
    stranger = CrossTradeClient("another-token", it.broker.url, "Sim101", bucket=TokenBucket(99, 99))
    with pytest.raises(Unauthorized, match="unauthorized"):
        stranger.get_positions()
    assert (
        refusal(stranger.place_order(OrderRequest(ES, "BUY", 1))) == "unauthorized" and it.client.get_positions() == []
    )


@pytest.mark.parametrize("wanted, ok", [("flat", True), ("flat,long", True), ("long", False), ("long,short", False)])
def test_error_required_market_position_unmet_places_nothing(desk, wanted, ok):
    it = desk()
    outcome = it.order(require_market_position=wanted)
    assert isinstance(outcome, Answered) == ok and len(it.client.get_positions()) == ok
    if not ok:
        assert "market position is flat" in refusal(outcome)


def test_error_max_positions_blocks_opening_only(desk):
    it = desk()
    it.order("BUY", 1)
    assert "already has 1 open positions" in refusal(it.order("BUY", 1, instrument=NQ, max_positions=1))
    assert it.order("BUY", 1, max_positions=1).ok


def test_error_unknown_atm_template(desk):
    assert "template 'Nope' not found" in refusal(desk().order(strategy="Nope"))


def test_error_market_closed(desk):
    it = desk()
    it.broker.variants.change(hours="closed")
    assert "Market closed" in refusal(it.order())
    it.broker.variants.change(hours="calendar")
    it.now = START + 2 * DAY
    assert "Market closed" in refusal(it.order())


def test_error_margin_is_a_rejected_state_or_a_refusal(desk):
    it = desk(terms=Terms(start_cash=20_000.0))
    assert it.order("BUY", 1, order_id="fits").ok and it.order("BUY", 1, order_id="breach").ok
    assert [it.client.get_order_status(name) for name in ("fits", "breach")] == ["Filled", "Rejected"]
    assert it.client.get_order_lifecycle("breach").events[-1].detail == "Insufficient margin"
    it.broker.variants.change(margin_breach="refuse")
    assert refusal(it.order("BUY", 1)) == "Insufficient margin"
    assert it.order("SELL", 1).ok  # a reduction never lacks margin


def test_error_duplicate_order_id_where_the_broker_refuses_it(desk):
    it = desk()
    assert it.order(order_id="fa-1").ok and it.order(order_id="fa-1").ok
    assert it.client.get_position(ES).signed == 2  # the worst case: no suppression, so the client must never send twice
    it.broker.variants.change(duplicate_id="refuse")
    assert "already used" in refusal(it.order(order_id="fa-1"))


@pytest.mark.parametrize("variant", ["reject", "refuse", "accept"])
def test_error_a_burned_oco_id(desk, variant):
    it = desk()
    it.broker.variants.change(oco_reuse=variant)
    it.order("BUY", 1, oco_id="o-1")
    again = it.order("BUY", 1, oco_id="o-1", order_id="again")
    if variant == "refuse":
        assert "cannot be reused" in refusal(again)
    else:
        assert it.client.get_order_status("again") == {"reject": "Rejected", "accept": "Filled"}[variant]


def test_error_bracket_without_prices_and_change_below_filled(desk):
    it = desk(rules=FillRules(participation=0.02))
    assert (
        refusal(it.client.cancel_and_bracket(ES, "BUY", 1, take_profit=5860.0, names=("target", "stop")))
        == "Invalid request"
    )
    it.order("BUY", 5, order_id="fa-1")
    assert refusal(it.client.change_order("fa-1", quantity=1)) == "Invalid request"
    assert it.client.change_order("fa-1", quantity=4).ok and it.client.get_order_status("fa-1") == "PartFilled"


def test_error_bars_of_an_unknown_period(desk):
    with pytest.raises(RefusedQuery, match="Invalid request"):
        desk().client.get_bars(ES, "fortnight")
