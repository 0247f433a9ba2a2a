"""Faults of the wire and of the answers, each struck and counted as it says: httpx and plain sockets alone."""

import json
import math
import socket
import threading

import httpx
import pytest

from futures_algo.chaos import SECOND, ChaosBroker, HandClock, ScaledClock, Settings
from tests.unit.chaos_wire import ES, A, client, order, place, post, rows
from tests.waiting import eventually

SWIFT = 100.0  # clock seconds in a wall second


@pytest.fixture
def broker():
    with ChaosBroker(["Sim101", "Apex-7"], clock=ScaledClock(SWIFT), settings=Settings(limited=False)) as running:
        running.set_price(ES, 6000.0)
        yield running


@pytest.fixture
def wire(broker):
    with client(broker) as talking:
        yield talking


# nothing done
@pytest.mark.parametrize(
    ("name", "settings", "status"),
    [
        ("refused_key", {"status": 401}, 401),
        ("refused_key", {"status": 403, "error": "api_requires_pro"}, 403),
        ("rate_limited", {"retry_after": 2.0}, 429),
        ("addon_down", {}, 408),
        ("html_page", {"status": 502}, 502),
        ("error_before", {"status": 503}, 503),
        ("refused", {"error": "Trading window closed"}, 400),
    ],
)
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
    assert len(broker.orders_by_client_id()["a"]) == 1
    assert [one["json"]["orderId"] for one in broker.requests("PlaceOrder")] == ["a", "a"]


def test_a_read_hangs_until_its_client_leaves(broker):
    broker.faults.add("hang", seconds=1e9)
    with client(broker) as wire, pytest.raises(httpx.ReadTimeout):
        wire.get("/positions", timeout=0.1)
    eventually(lambda: len(broker.wire._tasks) == 1, 5)  # the ticker alone


# late
def test_a_late_answer_has_acted(broker, wire):
    broker.faults.add("late_answer", path="PlaceOrder", seconds=10.0)
    assert post(wire).status_code == 200 and broker.now() - broker.executions()[0].moment_ns >= 10 * SECOND


def test_a_late_act_comes_after_its_client_has_left():
    clock = HandClock()
    with ChaosBroker(clock=clock) as broker:
        broker.set_price(ES, 6000.0)
        broker.faults.add("late_act", path="PlaceOrder", seconds=30.0)
        with client(broker) as hasty, pytest.raises(httpx.ReadTimeout):
            hasty.post(f"{A}/orders/place", json=order(), timeout=0.1)
        assert broker.orders() == ()
        clock.move(30.0)
        eventually(lambda: broker.position("Sim101", ES) == 1, 20)


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


@pytest.mark.parametrize(
    ("name", "settings", "status"),
    [("error_after", {"status": 500}, 500), ("addon_lost_answer", {}, 408), ("html_after", {}, 502)],
)
def test_errors_after_acting(broker, wire, name, settings, status):
    broker.faults.add(name, path="PlaceOrder", **settings)
    assert post(wire).status_code == status and broker.position("Sim101", ES) == 1


def test_a_stale_answer_is_the_one_before(broker, wire):
    broker.faults.add("stale", path="GetAllPositions")
    assert wire.get("/positions").json()["count"] == 0
    place(wire)
    assert wire.get("/positions").json()["count"] == 0 and wire.get("/positions").json()["count"] == 1


# JSON that says otherwise
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
