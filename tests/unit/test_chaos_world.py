"""The world around the chaos broker: prices, clocks, hands, restarts, the stream, its own process."""

import ast
import json
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

import futures_algo.chaos
from futures_algo.chaos import ChaosBroker, HandClock, Settings
from futures_algo.chaos.control import call
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


def test_a_callable_drives_prices_and_resting_orders():
    prices = {ES: 6000.0}
    with ChaosBroker(price=prices.get, settings=Settings(limited=False)) as broker, client(broker) as wire:
        place(wire)
        stop = place(wire, kind="STOPMARKET", action="SELL", stopPrice=5990.0)
        prices[ES] = 5985.0
        eventually(lambda: broker.position("Sim101", ES) == 0, 5)
        assert state(wire, stop) == "Filled" and broker.executions()[-1].price == 5985.0


def test_delays_go_by_the_clock_that_is_given():
    clock = HandClock()
    with ChaosBroker(clock=clock, settings=Settings(ack_seconds=1.0, fill_seconds=2.0, limited=False)) as broker:
        with client(broker) as wire:
            broker.set_price(ES, 6000.0)
            ref = place(wire)
            assert state(wire, ref) == "Submitted"
            clock.move(1.0)
            assert state(wire, ref) == "Accepted"
            broker.set_price(ES, 6001.0)
            assert not broker.executions()
            clock.move(2.0)
            assert state(wire, ref) == "Filled" and broker.executions()[0].price == 6001.0


def test_executions_reach_back_as_far_as_documented():
    clock = HandClock()
    with ChaosBroker(clock=clock, settings=Settings(limited=False)) as broker, client(broker) as wire:
        broker.set_price(ES, 6000.0)
        place(wire)
        clock.move(400)
        assert wire.get(f"{A}/executions").json()["executions"] == []
        assert len(wire.get(f"{A}/executions?lookbackTime=900").json()["executions"]) == 1
        clock.move(600)
        assert wire.get(f"{A}/executions?lookbackTime=5000").json()["executions"] == []


def test_hands_trade_cancel_and_end_the_session(broker, wire):
    resting = place(wire, kind="LIMIT", limitPrice=5000.0, orderId="mine-4")
    broker.trade_by_hand("sim101", "ESH26", "sell", 2)
    assert broker.position("Sim101", ES) == -2
    assert len(wire.get(f"{A}/executions").json()["executions"]) == 1
    assert [one.id for one in broker.cancel_by_hand("mine-4")] == [resting] and state(wire, resting) == "Cancelled"
    body = order("LIMIT", limitPrice=5000.0) | {"timeInForce": "Day"}
    day = wire.post(f"{A}/orders/place", json=body).json()["orderId"]
    assert [one.id for one in broker.end_session()] == [day]
    assert [event.data["what"] for event in broker.history("hand")] == ["trade", "cancel", "end_session"]


def test_a_restart_keeps_or_loses_the_memory_never_the_position(broker, wire):
    place(wire, orderId="done")
    resting = place(wire, kind="LIMIT", limitPrice=5000.0, orderId="rests")
    broker.restart("kept", seconds=30)
    assert wire.get("/positions").status_code == 408
    broker.clock.move(30)
    eventually(lambda: wire.get("/positions").status_code == 200, 5)
    assert wire.get(f"{A}/orders/done").status_code == 200
    broker.restart("lost")
    assert [one["id"] for one in wire.get(f"{A}/orders").json()["orders"]] == [resting]
    assert wire.get(f"{A}/orders/rests").status_code == 400 and wire.get(f"{A}/executions").json()["executions"] == []
    assert wire.get(f"{A}/orders/done/lifecycle").json()["events"][0]["source"] == "api_received"
    assert wire.get("/positions").json()["positions"][0]["quantity"] == 1
    assert len(broker.orders()) == 2 and len(broker.executions()) == 1


def test_a_closed_market_rejects_or_lets_rest(broker, wire):
    broker.set_market_open(False)
    assert state(wire, place(wire)) == "Rejected"
    broker.settings.closed_market = "rest"
    ref = place(wire)
    assert state(wire, ref) == "Accepted"
    broker.set_market_open(True)
    assert state(wire, ref) == "Filled"


def test_duplicate_ids_are_taken_refused_or_rejected(broker, wire):
    place(wire, orderId="twice")
    place(wire, orderId="twice")
    assert len(broker.orders_by_client_id()["twice"]) == 2 and broker.position("Sim101", ES) == 2
    broker.settings.duplicate_id = "refuse"
    assert wire.post(f"{A}/orders/place", json=order(orderId="twice")).status_code == 400
    broker.settings.duplicate_id = "reject"
    assert state(wire, place(wire, orderId="twice")) == "Rejected" and broker.position("Sim101", ES) == 2


def test_shapes_switch(broker, wire):
    broker.settings.__dict__.update(answer_id="custom", row_id="id", row_echo=("name",), single_wrapped=True)
    assert place(wire, orderId="mine-5") == "mine-5"
    row = wire.get(f"{A}/orders/mine-5").json()["order"]
    assert "orderId" not in row and row["name"] == "mine-5" and "mine-5" not in row["userData"]
    drawn = [Settings.drawn(seed) for seed in range(40)]
    assert Settings.drawn(7) == drawn[7] and len({one.bracket_answer for one in drawn}) == 3


def test_the_wire_is_bounded_and_keeps_connections(broker):
    head = f"Host: x\r\nAuthorization: Bearer {broker.token}\r\n"
    with socket.create_connection(("127.0.0.1", broker.wire.port), 5) as plain:
        for _ in range(2):
            plain.sendall(f"GET /v1/api/accounts HTTP/1.1\r\n{head}\r\n".encode())
            assert plain.recv(65536).startswith(b"HTTP/1.1 200 OK\r\nContent-Length: ")
        plain.sendall(f"POST /v1/api/x HTTP/1.1\r\n{head}Content-Length: 99999999\r\n\r\n".encode())
        assert plain.recv(65536).startswith(b"HTTP/1.1 413") and plain.recv(10) == b""
    with socket.create_connection(("127.0.0.1", broker.wire.port), 5) as plain:
        plain.sendall(b"nonsense\r\n\r\n")
        assert plain.recv(65536).startswith(b"HTTP/1.1 400")


def told(talking, wanted: str) -> dict:
    "The next frame that has the key or type `wanted`."
    while True:
        frame = json.loads(talking.recv(timeout=5))
        if wanted in (frame.get("type"), *frame):
            return frame


def command(talking, name: str, api: str, args: dict) -> None:
    talking.send(json.dumps({"action": "rpc", "id": name, "api": api, "args": args | {"account": "Sim101"}}))


def test_the_stream_takes_commands_and_pushes_quotes(broker):
    websockets = pytest.importorskip("websockets.sync.client")
    address = broker.host.replace("http", "ws") + "/ws/stream"
    headers = {"Authorization": f"Bearer {broker.token}"}
    with websockets.connect(address, additional_headers=headers) as talking:
        talking.send(json.dumps({"action": "subscribe", "instruments": [ES]}))
        assert told(talking, "marketData")["quotes"][0]["last"] == 6000.0
        broker.set_price(ES, 6001.0)
        assert told(talking, "marketData")["quotes"][0]["last"] == 6001.0
        command(talking, "r1", "PlaceOrder", order(orderId="w"))
        assert told(talking, "id")["data"] == {"orderId": broker.orders()[0].id, "success": True}
        command(talking, "r2", "GetOrderStatus", {"orderId": "w"})
        assert told(talking, "id") | {"seq": 0, "epoch": 0} == {
            "id": "r2",
            "data": {"status": "Filled", "success": True},
            "seq": 0,
            "epoch": 0,
        }
        talking.send(json.dumps({"action": "streamPnl", "enabled": True, "interval": 50}))
        assert told(talking, "pnlUpdate")["accounts"][0]["name"] == "Sim101"
        with websockets.connect(address, additional_headers=headers) as second:
            second.send(json.dumps({"action": "ping"}))
            assert told(second, "pong")["seq"] == 1
            with pytest.raises(Exception, match="Session active elsewhere"):
                while True:
                    talking.recv(timeout=5)
    with pytest.raises(Exception, match="401"):
        websockets.connect(address)


def test_its_own_process_is_steered_from_outside():
    program = [sys.executable, "-m", "futures_algo.chaos", "--clock", "hand", "--account", "Sim101"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        told = json.loads(process.stdout.readline())
        steer = (told["host"], told["key"])
        call(*steer, "set_price", ES, 6000.0)
        headers = {"Authorization": f"Bearer {told['token']}"}
        call(*steer, "fault", "rejected", reason="no")
        for _ in range(2):
            httpx.post(told["url"] + f"{A}/orders/place", json=order(orderId="far"), headers=headers)
        assert call(*steer, "position", "Sim101", ES) == 1 and call(*steer, "counts") == {"rejected": 1}
        assert [one["state"] for one in call(*steer, "orders_by_client_id")["far"]] == ["Rejected", "Filled"]
        assert call(*steer, "move_clock", 2.0) == call(*steer, "now")
        assert len(call(*steer, "requests", "PlaceOrder")) == 2
        with pytest.raises(RuntimeError, match="no setting"):
            call(*steer, "set", nonsense=1)
        process.stdin.close()
        assert process.wait(10) == 0


def test_it_stands_on_the_standard_library_and_itself_alone():
    files = set(Path(futures_algo.chaos.__file__).parent.glob("*.py"))
    for file in {file for file in files if file.name != "campaign.py"}:  # which puts the product's executor on it
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                own = name.startswith("futures_algo.chaos")
                assert own or name.split(".")[0] in sys.stdlib_module_names, (file.name, name)
