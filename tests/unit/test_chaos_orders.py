"""Faults of the orders themselves, scripts and draws, and a storm of all of them: the truth stays readable."""

import random
from pathlib import Path

import httpx
import pytest

from futures_algo.chaos import CATALOGUE, ChaosBroker, HandClock, ScaledClock, Settings
from tests.unit.chaos_wire import ES, A, client, place, post, rows, state
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


def after(broker: ChaosBroker, seconds: float, check) -> None:
    "Not just before that much of the clock has passed, and then."
    broker.clock.move(seconds - 0.001)
    assert not check()
    broker.clock.move(0.001)
    eventually(check, 20)


# the order itself
@pytest.mark.parametrize("reason", [None, "Insufficient margin"])
def test_rejected_after_success(broker, wire, reason):
    broker.faults.add("rejected", reason=reason)
    ref = place(wire)
    assert state(wire, ref) == "Rejected" and not broker.executions() and broker.orders()[0].reason == reason


@pytest.mark.parametrize("fills", [False, True])
def test_submitted_for_ever(broker, wire, fills):
    broker.faults.add("stuck_submitted", fills=fills)
    ref = place(wire, kind="LIMIT", limitPrice=5990.0)
    assert state(wire, ref) == "Submitted"
    broker.touch(ES, 6000.0, 5980.0)
    assert broker.position("Sim101", ES) == int(fills)


@pytest.mark.parametrize("fills", [False, True])
def test_cancel_pending_for_ever(broker, wire, fills):
    ref = place(wire, kind="LIMIT", limitPrice=5990.0)
    broker.faults.add("stuck_cancel", fills=fills)
    for _ in range(2):
        assert wire.post(f"{A}/orders/{ref}/cancel", json={}).json()["success"]
        assert state(wire, ref) == "CancelPending"
    broker.touch(ES, 6000.0, 5980.0)
    assert state(wire, ref) == ("Filled" if fills else "CancelPending")
    assert broker.cancel_by_hand(ref) == ([] if fills else [one for one in broker.book.orders if one.id == ref])


def test_cancels_and_changes_ignored_slow_or_stuck(broker, wire):
    ref = place(wire, kind="LIMIT", limitPrice=5990.0)
    for name in ("cancel_ignored", "change_ignored", "stuck_change"):
        broker.faults.add(name)
    wire.post(f"{A}/orders/{ref}/cancel", json={})
    wire.put(f"{A}/orders/{ref}/change", json={"limitPrice": 5991.0})
    assert state(wire, ref) == "Working" and broker.orders()[0].limit_price == 5990.0
    wire.put(f"{A}/orders/{ref}/change", json={"limitPrice": 5992.0})
    assert state(wire, ref) == "ChangePending" and broker.orders()[0].limit_price == 5990.0
    broker.faults.add("slow_cancel", seconds=20.0)
    wire.post(f"{A}/orders/{ref}/cancel", json={})
    assert state(wire, ref) == "CancelPending"
    after(broker, 20.0, lambda: state(wire, ref) == "Cancelled")


def test_acknowledged_and_vanished(broker, wire):
    broker.faults.add("vanished")
    ref = place(wire, orderId="gone")
    assert wire.get(f"{A}/orders/{ref}").status_code == 400 and rows(wire, "orders") == []
    assert broker.position("Sim101", ES) == 0
    assert [one["source"] for one in wire.get(f"{A}/orders/gone/lifecycle").json()["events"]] == ["api_received"]
    assert len(broker.orders_by_client_id()["gone"]) == 1
    broker.faults.add("vanished", fills=True)
    place(wire)
    assert broker.position("Sim101", ES) == 1 and rows(wire, "orders") == []
    assert rows(wire, "positions")[0]["quantity"] == 1


def test_a_fill_not_listed_and_a_fill_heard_late(broker, wire):
    broker.faults.add("fill_unlisted")
    ref = place(wire)
    assert state(wire, ref) == "Filled" and rows(wire, "executions") == [] and len(broker.executions()) == 1
    broker.faults.add("fill_late", seconds=40.0)
    late = place(wire, quantity=2)
    assert broker.position("Sim101", ES) == 3 and rows(wire, "positions")[0]["quantity"] == 1
    assert state(wire, late) == "Accepted" and rows(wire, "executions") == []
    assert wire.post(f"{A}/orders/{late}/cancel", json={}).json()["success"]  # too late, and says yes
    after(broker, 40.0, lambda: state(wire, late) == "Filled")
    assert rows(wire, "positions")[0]["quantity"] == 3 and len(rows(wire, "executions")) == 1


def test_slow_and_partial_and_too_large_fills(broker, wire):
    broker.faults.add("slow_fill", seconds=20.0)
    slow = place(wire)
    broker.set_price(ES, 6001.0)
    assert state(wire, slow) == "Accepted"
    after(broker, 20.0, lambda: state(wire, slow) == "Filled")
    assert broker.executions()[0].price == 6001.0
    broker.faults.add("partial_fill", first=2, seconds=20.0)
    part = place(wire, quantity=3)
    assert state(wire, part) == "PartFilled" and broker.position("Sim101", ES) == 3
    after(broker, 20.0, lambda: state(wire, part) == "Filled")
    broker.faults.add("partial_fill")
    rest = place(wire, quantity=3)
    broker.set_price(ES, 6002.0)
    assert (state(wire, rest), broker.position("Sim101", ES)) == ("PartFilled", 5)
    wire.post(f"{A}/orders/{rest}/cancel", json={})
    assert state(wire, rest) == "Cancelled"
    broker.faults.add("overfill", extra=2)
    row = wire.get(f"{A}/orders/{place(wire)}").json()
    assert (row["filled"], row["quantity"], row["hasOverfill"], broker.position("Sim101", ES)) == (3, 1, True, 8)


@pytest.mark.parametrize(("rule", "left"), [("cancel", []), ("reduce", [2]), ("keep", [3])])
def test_a_leg_part_filled(broker, wire, rule, left):
    broker.settings.oco_on_partial = rule
    place(wire, quantity=3)
    place(wire, kind="STOPMARKET", action="SELL", quantity=3, stopPrice=5990.0, ocoId="p")
    broker.faults.add("partial_fill", first=1)
    place(wire, kind="LIMIT", action="SELL", quantity=3, limitPrice=6010.0, ocoId="p")
    broker.touch(ES, 6010.0, 6000.0)
    assert [one.quantity for one in broker.orders(live=True) if one.type == "StopMarket"] == left


def test_oco_broken_lets_both_legs_fill(broker, wire):
    place(wire)
    broker.faults.add("oco_broken")
    place(wire, kind="LIMIT", action="SELL", limitPrice=6010.0, ocoId="p")
    place(wire, kind="STOPMARKET", action="SELL", stopPrice=5990.0, ocoId="p")
    broker.touch(ES, 6010.0, 6000.0)
    broker.touch(ES, 6000.0, 5990.0)
    assert [held for _, held in broker.position_path("Sim101", ES)] == [1, 0, -1]


def test_brackets_dropped_or_half_placed(broker, wire):
    body = {"instrument": ES, "action": "Buy", "quantity": 1, "takeProfit": 6010.0, "stopLoss": 5990.0}
    place(wire)
    broker.faults.add("bracket_dropped")
    ids = wire.post(f"{A}/orders/cancel_and_bracket", json=body).json()["orderIds"]
    assert len(ids) == 2 and not broker.orders(live=True)
    broker.faults.add("bracket_half", keep="target")
    ids = wire.post(f"{A}/orders/cancel_and_bracket", json=body).json()["orderIds"]
    assert [one.id for one in broker.orders(live=True)] == ids[:1]
    broker.faults.add("bracket_dropped", path="PlaceOrder")
    ref = place(wire, kind="STOPMARKET", action="SELL", stopPrice=5990.0, ocoId="q")
    assert wire.get(f"{A}/orders/{ref}").status_code == 400 and len(broker.orders(live=True)) == 1


# scripts and draws
def test_rules_skip_count_select_and_end(broker, wire):
    broker.faults.add("rejected", path="orders/place$", method="POST", skip=1, times=2)
    assert [state(wire, place(wire)) for _ in range(4)] == ["Filled", "Rejected", "Rejected", "Filled"]
    rule = broker.faults.add("refused", only=lambda request: request.json.get("quantity") == 2, times=None)
    assert post(wire, quantity=2).status_code == 400 and post(wire, quantity=1).status_code == 200
    broker.faults.remove(rule)
    assert post(wire, quantity=2).status_code == 200
    assert [event.data["name"] for event in broker.history("fault")] == ["rejected", "rejected", "refused"]
    assert broker.log.faults == broker.faults.counts
    for wrong in ({"name": "nonsense"}, {"name": "rejected", "nonsense": 1}):
        with pytest.raises(ValueError, match="nonsense"):
            broker.faults.add(**wrong)


def struck(seed: int, others: int) -> list:
    "Names drawn for twelve placements, with `others` reads in between."
    weights = {"rejected": 2.0, "refused": 1.0, "error_after": 1.0}
    with ChaosBroker(settings=Settings(limited=False)) as broker, client(broker) as wire:
        broker.set_price(ES, 6000.0)
        broker.faults.draw(seed, 0.5, weights)
        for _ in range(12):
            post(wire)
            for _ in range(others):
                wire.get("/positions")
        return [(event.data["name"], event.data["settings"]) for event in broker.history("fault")]


def test_draws_repeat_by_seed_whatever_else_is_asked():
    assert struck(3, 0) == struck(3, 2) != struck(4, 0)
    assert 3 <= len(struck(3, 0)) <= 9


def test_a_plan_is_scripted_from_a_seed(broker):
    plans = [[(one.name, one.skip, one.settings) for one in broker.faults.plan(seed, 30)] for seed in (1, 1, 2)]
    assert plans[0] == plans[1] != plans[2]


def storm(wire: httpx.Client, dice: random.Random, number: int) -> None:
    "One request of any kind; what comes back does not matter."
    limits = {"limitPrice": dice.choice([5995.0, 6005.0]), "ocoId": f"g{number // 2}"}
    asks = [
        lambda: post(wire, quantity=dice.randint(1, 3), action=dice.choice(["BUY", "SELL"]), orderId=f"s{number}"),
        lambda: post(wire, kind="LIMIT", action=dice.choice(["BUY", "SELL"]), **limits),
        lambda: wire.post(f"{A}/orders/cancel", json={"instrument": "ES"}),
        lambda: wire.post(f"{A}/positions/close", json={"instrument": "ES"}),
        lambda: wire.post(f"{A}/positions/flatten", json={}),
        lambda: wire.post(
            f"{A}/orders/cancel_and_bracket",
            json={"instrument": ES, "action": "BUY", "quantity": 1, "takeProfit": 6010.0, "stopLoss": 5990.0},
        ),
        lambda: wire.get(f"{A}/orders"),
        lambda: wire.get(f"{A}/executions"),
        lambda: wire.get("/positions"),
        lambda: wire.get(f"{A}/orders/s{number - 1}"),
        lambda: wire.put(f"{A}/orders/s{number - 1}/change", json={"quantity": 4}),
    ]
    try:
        dice.choice(asks)()
    except httpx.HTTPError:
        pass


def test_under_a_storm_of_every_fault_the_truth_adds_up():
    with ChaosBroker(clock=ScaledClock(3000), settings=Settings.drawn(5)) as broker:
        broker.settings.limited = False
        broker.set_price(ES, 6000.0)
        broker.faults.draw(11, 0.6)
        dice = random.Random(11)
        with client(broker) as wire:
            for number in range(400):
                storm(wire, dice, number)
                broker.touch(ES, 6000.0 + dice.randint(0, 12), 6000.0 - dice.randint(0, 12))
        assert len(broker.faults.counts) > 30
        signed = sum(one.order.sign * one.quantity for one in broker.executions())
        assert broker.position("Sim101", ES) == signed == sum(event.data["signed"] for event in broker.history("fill"))
        for one in broker.orders():
            assert one.filled == sum(fill.quantity for fill in broker.executions() if fill.order.id == one.id)
        assert broker.wire.failures == [] and broker.log.dropped == 0


def test_every_fault_of_the_catalogue_is_tested():
    text = "".join(file.read_text(encoding="utf-8") for file in Path(__file__).parent.glob("test_chaos_*.py"))
    assert [name for name in CATALOGUE if f'"{name}"' not in text] == []
