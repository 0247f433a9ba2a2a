"""Each fault of the chaos broker strikes as it says, is counted, and leaves the truth readable: httpx and plain sockets alone."""
import json
import math
import random
import socket
import threading

import httpx
import pytest

from futures_algo.chaos import CATALOGUE, SECOND, ChaosBroker, HandClock, ScaledClock, Settings
from tests.unit.test_chaos_broker import A, ES, client, order, place, state
from tests.waiting import eventually

SWIFT = 100.0                   # clock seconds in a wall second


@pytest.fixture
def broker():
    with ChaosBroker(["Sim101", "Apex-7"], clock=ScaledClock(SWIFT), settings=Settings(limited=False)) as running:
        running.set_price(ES, 6000.0)
        yield running


@pytest.fixture
def wire(broker):
    with client(broker) as talking:
        yield talking


def post(wire: httpx.Client, **body) -> httpx.Response:
    return wire.post(f"{A}/orders/place", json=order(**body))


# nothing done
@pytest.mark.parametrize(("name", "settings", "status"), [
    ("refused_key", {"status": 401}, 401), ("refused_key", {"status": 403}, 403), ("rate_limited", {"retry_after": 2.0}, 429),
    ("addon_down", {}, 408), ("html_page", {"status": 502}, 502), ("error_before", {"status": 503}, 503),
    ("refused", {"error": "Trading window closed"}, 400),
])
def test_answers_without_acting(broker, wire, name, settings, status):
    broker.faults.add(name, path="PlaceOrder", **settings)
    answer = post(wire)
    assert answer.status_code == status and broker.orders() == () and broker.faults.counts == {name: 1}
    assert ("<html>" in answer.text) == (name == "html_page")
    assert post(wire).status_code == 200 and len(broker.orders()) == 1


def test_lost_before_and_lost_after(broker, wire):
    broker.faults.add("lost_before", path="PlaceOrder")
    with pytest.raises(httpx.RemoteProtocolError):
        post(wire, orderId="a")
    assert broker.orders() == ()
    broker.faults.add("lost_after", path="PlaceOrder")
    with pytest.raises(httpx.RemoteProtocolError):
        post(wire, orderId="a")
    assert len(broker.orders_by_client_id()["a"]) == 1 and [one["json"]["orderId"] for one in broker.requests("PlaceOrder")] == ["a", "a"]


def test_a_read_hangs_until_its_client_leaves(broker):
    broker.faults.add("hang", seconds=1e9)
    with client(broker) as wire, pytest.raises(httpx.ReadTimeout):
        wire.get("/positions", timeout=0.1)
    eventually(lambda: len(broker.wire._tasks) == 1, 5)              # the ticker alone


# late
def test_a_late_answer_has_acted_and_a_late_act_has_not(broker, wire):
    broker.faults.add("late_answer", path="PlaceOrder", seconds=10.0)
    begun = broker.now()
    assert post(wire).status_code == 200 and broker.now() - begun >= 10 * SECOND
    assert broker.executions()[0].moment_ns - begun < 5 * SECOND
    broker.faults.add("late_act", path="PlaceOrder", seconds=30.0)
    with client(broker) as hasty, pytest.raises(httpx.ReadTimeout):
        hasty.post(f"{A}/orders/place", json=order(), timeout=0.05)
    assert len(broker.orders()) == 1
    eventually(lambda: len(broker.orders()) == 2, 5)


def test_a_hand_moved_clock_holds_the_answer():
    clock = HandClock()
    with ChaosBroker(clock=clock) as broker, client(broker) as wire:
        broker.faults.add("late_answer", seconds=60.0)
        with pytest.raises(httpx.ReadTimeout):
            wire.get("/accounts", timeout=0.1)
        answers = []
        broker.faults.add("late_answer", seconds=60.0)
        reader = threading.Thread(target=lambda: answers.append(wire.get("/accounts").status_code))
        reader.start()
        eventually(lambda: len(broker.requests()) == 2, 5)
        clock.move(60.0)
        reader.join(5)
        assert answers == [200]


def test_drip_is_slow_and_whole(broker, wire):
    broker.faults.add("drip", seconds=10.0, pieces=20)
    begun = broker.now()
    assert wire.get(A).json()["name"] == "Sim101" and broker.now() - begun >= 10 * SECOND


# bytes
def test_a_body_cut_half_way(broker, wire):
    broker.faults.add("cut_body", path="PlaceOrder", share=0.5)
    with pytest.raises(httpx.RemoteProtocolError):
        post(wire)
    assert broker.position("Sim101", ES) == 1


def ask(plain: socket.socket, token: str, path: str) -> None:
    plain.sendall(f"GET /v1/api{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())


def bodies(plain: socket.socket, count: int) -> list[dict]:
    "So many answers from one connection."
    file, found = plain.makefile("rb"), []
    for _ in range(count):
        length = 0
        while (line := file.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        found.append(json.loads(file.read(length)))
    return found


@pytest.mark.parametrize("when", ["now", "next"])
def test_an_answer_doubled_on_a_kept_connection(broker, when):
    broker.faults.add("doubled", path="GetAccount", when=when)
    with socket.create_connection(("127.0.0.1", broker.wire.port), 5) as plain:
        ask(plain, broker.token, A)
        eventually(lambda: broker.faults.counts["doubled"] == 1, 5)
        ask(plain, broker.token, "/positions")
        first, second, third = bodies(plain, 3)
    assert first == second and first["name"] == "Sim101" and third["positions"] == []


def test_answers_swapped_between_two_requests_at_once(broker):
    broker.faults.add("swapped", path="GetAccount", wait=5.0)
    answers = {}
    def read(name):
        with client(broker) as wire:
            answers[name] = wire.get(f"/accounts/{name}").json()["name"]
    first = threading.Thread(target=read, args=["Sim101"])
    first.start()
    eventually(lambda: len(broker.requests()) == 1, 5)
    read("Apex-7")
    first.join(5)
    assert answers == {"Sim101": "Apex-7", "Apex-7": "Sim101"}


def test_answers_swapped_one_after_another_and_alone_nothing_is_struck(broker, wire):
    one, two = place(wire, kind="LIMIT", limitPrice=1.0), place(wire, kind="LIMIT", limitPrice=2.0)
    wire.get(f"{A}/orders/{one}/status")
    wire.put(f"{A}/orders/{one}/change", json={"quantity": 2})
    broker.faults.add("swapped", path="Change", mode="carry")
    assert wire.put(f"{A}/orders/{two}/change", json={"quantity": 3}).json()["orderId"] == one
    assert wire.put(f"{A}/orders/{one}/change", json={"quantity": 4}).json()["orderId"] == two
    rule = broker.faults.add("swapped", path="GetAccount", wait=0.05)
    assert wire.get(A).json()["name"] == "Sim101" and rule.used == 0 and broker.faults.counts["swapped"] == 1


def test_what_is_no_json(broker, wire):
    broker.faults.add("malformed_json")
    broker.faults.add("empty_body", skip=1)
    assert wire.get("/positions").text.endswith(",,]")
    assert wire.get("/positions").content == b""
    broker.faults.add("deep_json")
    deep = wire.get("/positions").content
    assert deep.count(b"[") == 100_000
    with pytest.raises(RecursionError):
        json.loads(deep)


@pytest.mark.parametrize(("name", "settings", "status"), [
    ("error_after", {"status": 500}, 500), ("addon_lost_answer", {}, 408), ("html_after", {}, 502)])
def test_errors_after_acting(broker, wire, name, settings, status):
    broker.faults.add(name, path="PlaceOrder", **settings)
    assert post(wire).status_code == status and broker.position("Sim101", ES) == 1


def test_a_stale_answer_is_the_one_before(broker, wire):
    broker.faults.add("stale", path="GetAllPositions")
    assert wire.get("/positions").json()["count"] == 0
    place(wire)
    assert wire.get("/positions").json()["count"] == 0 and wire.get("/positions").json()["count"] == 1


# JSON that says otherwise
def rows(wire: httpx.Client, what: str) -> list:
    return wire.get(f"{A}/{what}").json()[what]


def test_surrogates_odd_numbers_and_types(broker, wire):
    place(wire)
    broker.faults.add("lone_surrogate", raw=True)
    raw = wire.get("/positions").content
    assert b"\xed\xa0\x80" in raw
    with pytest.raises(UnicodeDecodeError):
        raw.decode()
    broker.faults.add("lone_surrogate")
    assert wire.get("/positions").json()["serverName"] == "\udfff"
    broker.faults.add("odd_numbers")
    assert math.isnan(rows(wire, "positions")[0]["quantity"])
    broker.faults.add("odd_numbers", value=1e20)
    assert rows(wire, "executions")[0]["quantity"] == 1e20
    for how, value in (("text", "1 "), ("null", None), ("list", [1]), ("bool", True)):
        broker.faults.add("wrong_types", how=how)
        assert rows(wire, "positions")[0]["quantity"] == value
    broker.faults.add("wrong_types", how="top")
    assert isinstance(wire.get("/positions").json(), list)
    broker.faults.add("wrong_types", how="rows")
    assert list(rows(wire, "positions")) == ["0"]


def test_foreign_ids_and_rows_and_one_unreadable(broker, wire):
    one = place(wire, orderId="one")
    broker.faults.add("foreign_order_id", path="PlaceOrder")
    told = place(wire, orderId="two")
    assert told in {one, broker.orders()[-1].id} and broker.faults.counts["foreign_order_id"] == 1
    broker.faults.add("foreign_order_id", path="GetOrder")
    assert wire.get(f"{A}/orders/two").json()["orderId"] == one
    for what in ("orders", "positions", "executions"):
        broker.faults.add("foreign_rows", times=2)
        first, again = rows(wire, what), rows(wire, what)
        assert first[-1]["account"] == "Foreign9" and first[-1].get("id") == again[-1].get("id")
    for how, bad in (("null", None), ("number", 17), ("text", "row"), ("empty", {})):
        broker.faults.add("unreadable_row", how=how)
        assert bad in rows(wire, "orders")
    assert wire.get("/accounts/Apex-7/positions").json()["positions"] == []


def test_executions_listed_twice_beyond_not_at_all(broker, wire):
    place(wire, quantity=2)
    broker.faults.add("executions_twice", times=2)
    first, again = rows(wire, "executions"), rows(wire, "executions")
    assert first == again and len({one["id"] for one in first}) == 2
    broker.faults.add("executions_beyond", quantity=5)
    assert [one["quantity"] for one in rows(wire, "executions")] == [2, 5]
    broker.faults.add("missing_row", which=0)
    assert rows(wire, "executions") == []
    broker.faults.add("empty_list", path="GetAllPositions")
    assert wire.get("/positions").json() == {"positions": [], "count": 0, "success": True}
    broker.faults.add("no_success")
    assert "success" not in wire.get("/positions").json()
    assert len(broker.executions()) == 1


@pytest.mark.parametrize(("unit", "share"), [("us", 1e3), ("ns", 1e6), ("s", 1e-3)])
def test_times_in_other_units(broker, wire, unit, share):
    place(wire)
    right = rows(wire, "executions")[0]["epoch"]
    broker.faults.add("odd_times", unit=unit)
    assert rows(wire, "executions")[0]["epoch"] == pytest.approx(right * share)
    broker.faults.add("odd_times", unit="past", path="executions$")
    assert rows(wire, "executions")[0]["time"].startswith("0001-")


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
    eventually(lambda: state(wire, ref) == "Cancelled", 5)


def test_acknowledged_and_vanished(broker, wire):
    broker.faults.add("vanished")
    ref = place(wire, orderId="gone")
    assert wire.get(f"{A}/orders/{ref}").status_code == 400 and rows(wire, "orders") == [] and broker.position("Sim101", ES) == 0
    assert [one["source"] for one in wire.get(f"{A}/orders/gone/lifecycle").json()["events"]] == ["api_received"]
    assert len(broker.orders_by_client_id()["gone"]) == 1
    broker.faults.add("vanished", fills=True)
    place(wire)
    assert broker.position("Sim101", ES) == 1 and rows(wire, "orders") == [] and rows(wire, "positions")[0]["quantity"] == 1


def test_a_fill_not_listed_and_a_fill_heard_late(broker, wire):
    broker.faults.add("fill_unlisted")
    ref = place(wire)
    assert state(wire, ref) == "Filled" and rows(wire, "executions") == [] and len(broker.executions()) == 1
    broker.faults.add("fill_late", seconds=40.0)
    late = place(wire, quantity=2)
    assert broker.position("Sim101", ES) == 3 and rows(wire, "positions")[0]["quantity"] == 1
    assert state(wire, late) == "Accepted" and rows(wire, "executions") == []
    assert wire.post(f"{A}/orders/{late}/cancel", json={}).json()["success"]        # too late, and says yes
    eventually(lambda: state(wire, late) == "Filled", 5)
    assert rows(wire, "positions")[0]["quantity"] == 3 and len(rows(wire, "executions")) == 1


def test_slow_and_partial_and_too_large_fills(broker, wire):
    broker.faults.add("slow_fill", seconds=20.0)
    slow = place(wire)
    broker.set_price(ES, 6001.0)
    assert state(wire, slow) == "Accepted"
    eventually(lambda: state(wire, slow) == "Filled", 5)
    assert broker.executions()[0].price == 6001.0
    broker.faults.add("partial_fill", first=2, seconds=20.0)
    part = place(wire, quantity=3)
    assert state(wire, part) == "PartFilled" and broker.position("Sim101", ES) == 3
    eventually(lambda: state(wire, part) == "Filled", 5)
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
        lambda: wire.post(f"{A}/orders/cancel_and_bracket", json={
            "instrument": ES, "action": "BUY", "quantity": 1, "takeProfit": 6010.0, "stopLoss": 5990.0}),
        lambda: wire.get(f"{A}/orders"), lambda: wire.get(f"{A}/executions"), lambda: wire.get("/positions"),
        lambda: wire.get(f"{A}/orders/s{number - 1}"), lambda: wire.put(f"{A}/orders/s{number - 1}/change", json={"quantity": 4}),
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
        assert all(one.filled == sum(e.quantity for e in broker.executions() if e.order.id == one.id) for one in broker.orders())
        assert broker.wire.failures == [] and broker.log.dropped == 0


def test_every_fault_of_the_catalogue_is_tested_here():
    with open(__file__, encoding="utf-8") as own:
        text = own.read()
    assert [name for name in CATALOGUE if f'"{name}"' not in text] == []
