"""The chaos broker judged over its own wire, with httpx alone: endpoints, fill rules, commands."""

import threading

import httpx
import pytest

from futures_algo.chaos import SECOND, ChaosBroker, HandClock, ScaledClock, Settings
from tests.unit.chaos_wire import ES, A, client, order, place, state
from tests.waiting import eventually


@pytest.fixture
def broker():
    with ChaosBroker(["Sim101", "Apex-7"], clock=HandClock(), settings=Settings(limited=False)) as running:
        running.set_price(ES, 6000.0)
        yield running


@pytest.fixture
def wire(broker):
    with client(broker) as talking:
        yield talking


# reading
def test_a_market_order_fills_at_the_current_price_and_every_view_agrees(broker, wire):
    ref = place(wire, quantity=3, orderId="mine-1")
    assert len(ref) == 32 and int(ref, 16)
    row = wire.get(f"{A}/orders/mine-1").json()
    assert (row["orderId"], row["orderState"], row["filled"], row["averageFillPrice"]) == (ref, "Filled", 3, 6000.0)
    position = wire.get(f"{A}/position", params={"instrument": "ESH26"}).json()
    assert (position["marketPosition"], position["quantity"], position["success"]) == ("Long", 3, True)
    (execution,) = wire.get(f"{A}/executions").json()["executions"]
    assert (execution["orderId"], execution["quantity"], execution["price"]) == (ref, 3, 6000.0)
    assert execution["epoch"] == broker.now() // 1_000_000
    assert wire.get(f"{A}/executions/{execution['id']}").json()["id"] == execution["id"]
    assert wire.get("/positions").json()["count"] == 1 and broker.position("Sim101", "ES") == 3
    assert [one.id for one in broker.orders_by_client_id()["mine-1"]] == [ref]


def test_accounts_are_found_in_any_case_and_unknown_ones_are_named(broker, wire):
    place(wire)
    assert [one["name"] for one in wire.get("/accounts").json()["accounts"]] == ["Sim101", "Apex-7"]
    account = wire.get("/accounts/sIM101").json()
    assert account["name"] == "Sim101" and account["item"]["cashValue"] == 100_000 - 2.25
    broker.set_price(ES, 6002.0)
    assert wire.get(A).json()["item"]["unrealizedProfitLoss"] == 100.0
    assert wire.get("/accounts/Nobody").json() == {
        "success": False,
        "error": "invalid_account",
        "detail": "Account Nobody not found",
    }
    flat = [one["account"]["isAccountFlat"] for one in wire.get("/accounts/snapshot").json()["accounts"]]
    assert flat == [False, True]


def test_quotes_by_every_spelling(broker, wire):
    for name in ("ES", "ES1!", "ESH26", "ESH6", "ES MAR26", ES):
        quote = wire.get("/market/quote", params={"instrument": name}).json()
        assert (quote["instrument"], quote["last"], quote["pointValue"]) == (ES, 6000.0, 50)
        assert "success" not in quote and quote["epoch"] == broker.now() // SECOND
    broker.set_price("NQ 03-26", 21000.0)
    assert [one["instrument"] for one in wire.get("/market/quote?instrument=ES,NQ").json()] == [ES, "NQ 03-26"]
    assert wire.get("/market/quote?instrument=XX").status_code == 400
    assert wire.get("/market/info").json()["status"] == {"isOpen": True, "state": "Open"}


def test_lifecycle_by_either_id_and_under_any_account(wire):
    ref = place(wire, orderId="mine-2")
    for name in (ref, "mine-2"):
        told = wire.get(f"/accounts/Apex-7/orders/{name}/lifecycle").json()
        assert (told["orderId"], told["originalOrderId"], told["account"]) == (ref, "mine-2", "Sim101")
        assert told["events"][0]["source"] == "api_received" and told["count"] == len(told["events"])
        assert [one["quantity"] for one in told["events"] if one["source"] == "execution"] == [1]
    bare = wire.get(f"{A}/orders/{ref}/lifecycle", params={"includeFills": "false", "limit": 2}).json()
    assert bare["count"] == 2
    assert wire.get(f"{A}/orders/none/lifecycle").status_code == 400


def test_refusals_come_as_documented(broker, wire):
    assert httpx.get(broker.url + "/accounts").status_code == 401
    unknown = wire.get("/order")
    assert unknown.status_code == 404 and unknown.json()["did_you_mean"] == ["/v1/api/orders"]
    assert wire.post(f"{A}/orders/none/cancel", json={}).json()["error"] == (
        "Order linked to 'none' not found or already terminal."
    )
    assert wire.post(f"{A}/positions/close", json={"instrument": "ES 03-26"}).json() == {
        "error": "No positions found for instrument 'ES 03-26'"
    }
    assert wire.post("/accounts/sim101/positions/reverse", json={"instrument": ES}).json()["error"] == (
        "No position found for instrument 'ES 03-26' in account 'sim101'"
    )
    for wrong in ({"quantity": 0}, {"quantity": 1.5}, {"quantity": True}, {"action": "HOLD"}, {"orderType": "LIMIT"}):
        assert wire.post(f"{A}/orders/place", json=order() | wrong).status_code == 400
    assert wire.post(f"{A}/orders/place", content=b"[" * 5000).status_code == 400
    assert broker.orders() == ()


def test_with_the_addon_off_everything_but_watermarks_is_408(broker, wire):
    broker.set_addon(False)
    assert wire.get("/positions").status_code == 408
    assert wire.post(f"{A}/orders/place", json=order()).status_code == 408 and not broker.orders()
    assert wire.get(f"{A}/watermarks").json()["data"]["account"] == "Sim101"


def test_the_budget_is_twenty_and_three_a_second():
    clock = HandClock()
    with ChaosBroker(clock=clock) as broker, client(broker) as wire:
        answers = [wire.get("/accounts") for _ in range(21)]
        assert [one.status_code for one in answers] == [200] * 20 + [429]
        assert answers[-1].json()["error"] == "rate_limited" and float(answers[-1].headers["Retry-After"]) == 0.333
        clock.move(1.0)
        assert [wire.get("/accounts").status_code for _ in range(4)] == [200, 200, 200, 429]
        broker.settings.limited_body, broker.settings.limited_header = "old", False
        old = wire.get("/accounts")
        assert old.json() == {"error": "Rate limit exceeded"} and "Retry-After" not in old.headers


# fills
@pytest.mark.parametrize(
    ("kind", "action", "prices", "span", "price"),
    [
        ("LIMIT", "BUY", {"limitPrice": 5990.0}, (5995.0, 5990.0), 5990.0),
        ("LIMIT", "SELL", {"limitPrice": 6010.0}, (6010.0, 6000.0), 6010.0),
        ("LIMIT", "BUY", {"limitPrice": 5990.0}, (5985.0, 5980.0), 5985.0),
        ("STOPMARKET", "BUY", {"stopPrice": 6010.0}, (6011.0, 6000.0), 6010.0),
        ("STOPMARKET", "SELL", {"stopPrice": 5990.0}, (6000.0, 5980.0), 5990.0),
        ("STOPMARKET", "SELL", {"stopPrice": 5990.0}, (5985.0, 5980.0), 5985.0),
        ("STOPLIMIT", "BUY", {"stopPrice": 6010.0, "limitPrice": 6012.0}, (6011.0, 6000.0), 6010.0),
    ],
)
def test_what_rests_fills_when_touched(broker, wire, kind, action, prices, span, price):
    ref = place(wire, kind=kind, action=action, **prices)
    assert state(wire, ref) == ("Working" if kind == "LIMIT" else "Accepted")
    broker.touch(ES, 6005.0, 5995.0)
    assert not broker.executions()
    broker.touch(ES, *span)
    assert [one.price for one in broker.executions()] == [price] and state(wire, ref) == "Filled"


def test_a_stop_jumped_over_fills_at_the_jump_and_a_stop_limit_rests(broker, wire):
    place(wire, kind="STOPMARKET", action="SELL", stopPrice=5990.0)
    limited = place(wire, kind="STOPLIMIT", action="SELL", stopPrice=5990.0, limitPrice=5989.0)
    broker.set_price(ES, 5980.0)
    assert [one.price for one in broker.executions()] == [5980.0] and state(wire, limited) == "Working"
    broker.set_price(ES, 5989.0)
    assert state(wire, limited) == "Filled" and broker.position("Sim101", ES) == -2


def test_oco_cancels_the_sibling_and_burns_the_id(broker, wire):
    place(wire, quantity=2)
    target = place(wire, kind="LIMIT", action="SELL", quantity=2, limitPrice=6010.0, ocoId="pair")
    stop = place(wire, kind="STOPMARKET", action="SELL", quantity=2, stopPrice=5990.0, ocoId="pair")
    broker.touch(ES, 6010.0, 5990.0)  # both in one touch: the stop comes first
    assert (state(wire, target), state(wire, stop), broker.position("Sim101", ES)) == ("Cancelled", "Filled", 0)
    again = place(wire, kind="LIMIT", action="SELL", limitPrice=6010.0, ocoId="pair")
    assert state(wire, again) == "Rejected" and "reused" in broker.orders()[-1].reason


def test_required_position_and_the_version_that_ignores_it(broker, wire):
    close = order(action="SELL", requireMarketPosition="long")
    assert wire.post(f"{A}/orders/place", json=close).status_code == 400 and not broker.orders()
    place(wire)
    assert wire.post(f"{A}/orders/place", json=close).status_code == 200 and broker.position("Sim101", ES) == 0
    broker.settings.honour_require_position = False
    assert wire.post(f"{A}/orders/place", json=close).status_code == 200 and broker.position("Sim101", ES) == -1
    assert [held for _, held in broker.position_path("Sim101", ES)] == [1, 0, -1]


def test_max_positions_blocks_only_a_new_one(broker, wire):
    broker.set_price("NQ 03-26", 21000.0)
    place(wire)
    blocked = wire.post(f"{A}/orders/place", json=order(maxPositions=1) | {"instrument": "NQ 03-26"})
    assert blocked.status_code == 400
    place(wire, maxPositions=1)
    assert broker.positions() == {("Sim101", ES): 2}


def test_netting_averages_and_what_closing_realizes(broker, wire):
    place(wire, quantity=2)
    broker.set_price(ES, 6003.0)
    place(wire)
    assert wire.get("/positions").json()["positions"][0]["averagePrice"] == 6001.0
    broker.set_price(ES, 6010.0)
    place(wire, action="SELL", quantity=5)
    row = wire.get("/positions").json()["positions"][0]
    assert (row["marketPosition"], row["quantity"], row["averagePrice"]) == ("Short", 2, 6010.0)
    item = wire.get(A).json()["item"]
    assert item["grossRealizedProfitLoss"] == 3 * 9 * 50 and item["cashValue"] == 100_000 + 1350 - 8 * 2.25


# commands
def test_close_caps_rounds_up_and_leaves_working_orders(broker, wire):
    place(wire, quantity=5)
    stop = place(wire, kind="STOPMARKET", action="SELL", quantity=5, stopPrice=5990.0)
    rows = wire.post(f"{A}/positions/close", json={"instrument": "ES", "percent": 0.3}).json()["closedPositions"]
    assert rows[0]["quantity"] == 5 and broker.position("Sim101", ES) == 3
    wire.post(f"{A}/positions/close", json={"instrument": "ES", "quantity": 99, "percent": 0.1})
    assert broker.position("Sim101", ES) == 0 and state(wire, stop) == "Accepted"


def test_flatten_takes_positions_with_their_orders_and_everything_takes_all(broker, wire):
    place(wire)
    other = order(action="SELL") | {"instrument": "NQ 03-26"}
    broker.set_price("NQ 03-26", 21000.0)
    wire.post("/accounts/Apex-7/orders/place", json=other)
    resting = place(wire, kind="LIMIT", limitPrice=5000.0)
    far = order("LIMIT", limitPrice=100.0) | {"instrument": "NQ 03-26"}
    lone = wire.post(f"{A}/orders/place", json=far).json()["orderId"]
    assert wire.post(f"{A}/positions/flatten", json={}).json()["closedPositions"][0]["instrument"] == ES
    assert (state(wire, resting), state(wire, lone), broker.positions()) == (
        "Cancelled",
        "Working",
        {("Apex-7", "NQ 03-26"): -1},
    )
    assert wire.post("/positions/flatten", json={"marketPosition": "long"}).json()["closedPositions"] == []
    done = wire.post("/positions/flatten", json={}).json()
    assert len(done["closedPositions"]) == 1 and lone in done["orderIds"]
    assert broker.positions() == {} and not broker.orders(live=True)
    assert "warning" in wire.post(f"{A}/positions/flatten", json={}).json()


def test_cancel_change_replace(broker, wire):
    ref = place(wire, kind="LIMIT", limitPrice=5000.0, orderId="mine-3")
    assert wire.put(f"{A}/orders/mine-3/change", json={"limitPrice": 5001.0, "quantity": 4}).json()["success"]
    row = wire.get(f"{A}/orders/{ref}").json()
    assert (row["limitPrice"], row["quantity"], row["orderState"]) == (5001.0, 4, "Working")
    new = wire.post(f"{A}/orders/{ref}/replace", json=order("LIMIT", limitPrice=5002.0)).json()["orderId"]
    assert state(wire, ref) == "Cancelled"
    assert [one["id"] for one in wire.get(f"{A}/orders?activeOnly=true").json()["orders"]] == [new]
    assert wire.post(f"{A}/orders/{new}/cancel", json={}).json() == {"orderId": new, "success": True}
    assert "already terminal" in wire.post(f"{A}/orders/{new}/cancel", json={}).json()["error"]
    kept = place(wire, kind="LIMIT", limitPrice=5000.0)
    assert wire.post(f"{A}/orders/cancel", json={"instrument": "NQ 03-26"}).json()["orderIds"] == []
    assert wire.post(f"{A}/orders/cancel", json={"instrument": "ES"}).json()["orderIds"] == [kept]
    assert wire.post("/orders/cancelall", json={}).json() == {"orderIds": [], "success": True}


def test_reverse_and_flatplace(broker, wire):
    place(wire, quantity=2)
    assert wire.post(f"{A}/positions/reverse", json={"instrument": ES}).json()["success"]
    assert broker.position("Sim101", ES) == -2
    wire.post(f"{A}/positions/reverseposition", json=order(quantity=3))
    assert broker.position("Sim101", ES) == 3
    resting = place(wire, kind="LIMIT", limitPrice=5000.0)
    wire.post(f"{A}/orders/flatplace", json=order(action="SELL"))
    assert broker.position("Sim101", ES) == -1 and state(wire, resting) == "Cancelled"


def test_reverseposition_that_never_gets_flat_places_anyway():
    with ChaosBroker(clock=ScaledClock(50), settings=Settings(limited=False)) as broker, client(broker) as wire:
        broker.set_price(ES, 6000.0)
        place(wire)
        broker.faults.add("slow_fill", path="ReversePosition", seconds=20.0)
        begun = broker.now()
        wire.post(f"{A}/positions/reverseposition", json=order(action="SELL"))
        assert broker.now() - begun >= 5 * SECOND
        eventually(lambda: [held for _, held in broker.position_path("Sim101", ES)] == [1, 0, -1], 20)


def test_cancel_and_bracket_waits_clamps_and_aborts(broker, wire):
    place(wire, quantity=2)
    old = place(wire, kind="STOPMARKET", action="SELL", quantity=2, stopPrice=5900.0)
    body = {"instrument": ES, "action": "Buy", "quantity": 5, "takeProfit": 6010.0, "stopLoss": 5990.0}
    ids = wire.post(f"{A}/orders/cancel_and_bracket", json=body).json()["orderIds"]
    target, stop = broker.orders()[-2:]
    assert [target.id, stop.id] == ids and target.oco_id == stop.oco_id and state(wire, old) == "Cancelled"
    assert (target.action, target.quantity, target.limit_price, stop.stop_price) == ("Sell", 2, 6010.0, 5990.0)
    broker.touch(ES, 6010.0, 6000.0)
    assert broker.position("Sim101", ES) == 0 and state(wire, stop.id) == "Cancelled"
    assert wire.post(f"{A}/orders/cancel_and_bracket", json=body | {"quantity": 1}).status_code == 200
    assert [one.quantity for one in broker.orders(live=True)] == [1, 1]  # no position: a straddle entry


def test_a_bracket_whose_position_goes_flat_in_the_delay_is_aborted(broker, wire):
    place(wire)
    place(wire, kind="STOPMARKET", action="SELL", stopPrice=5900.0)
    body = {"instrument": ES, "action": "Buy", "quantity": 1, "stopLoss": 5990.0, "delay": 10}
    answers = []
    asking = threading.Thread(target=lambda: answers.append(wire.post(f"{A}/orders/cancel_and_bracket", json=body)))
    asking.start()
    eventually(lambda: not broker.orders(live=True), 20)  # the delay has begun
    broker.trade_by_hand("Sim101", ES, "Sell", 1)
    broker.clock.move(10)
    asking.join(20)
    assert answers[0].status_code == 400 and not broker.orders(live=True)


def test_an_atm_template_brackets_its_fill(broker, wire):
    broker.add_atm("scalp", 8, 4)
    place(wire, quantity=2, strategy="scalp")
    target, stop = broker.orders(live=True)
    assert (target.limit_price, stop.stop_price, stop.quantity) == (6002.0, 5999.0, 2)
    assert wire.get("/atm-templates").json()["templates"] == ["scalp"]
