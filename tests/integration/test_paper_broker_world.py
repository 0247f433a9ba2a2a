"The world around a paper broker: manual trades, restarts, other processes that script it, and what leaks into logs."

import io
import json
import logging
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest
from broker_line import ES, TOKEN, buy, connect

from futures_algo.broker.outcomes import AddOnDown, Ambiguous, RefusedQuery, Unreachable
from futures_algo.core.types import InputError, WallClock
from futures_algo.crosstrade.client import CrossTradeClient
from futures_algo.crosstrade.rate_limit import TokenBucket
from futures_algo.sim.broker import PaperBroker
from futures_algo.sim.faults import Fault, Variants

# the world outside the client


def test_a_manual_trade_shows_up_as_a_position_and_an_order_nobody_asked_for(broker, client):
    order_id = broker.trade(ES, "SELL", 2)
    assert client.get_position(ES).signed == -2 and client.get_order(order_id).name == "Manual"


def test_a_restart_keeps_the_books_and_the_port(broker, client):
    buy(client)
    buy(client, "fa-2", order_type="LIMIT", limit_price=5800.0)
    port = broker.port
    broker.restart()
    assert broker.port == port and client.get_position(ES).signed == 1 and client.get_order_status("fa-2") == "Working"
    assert client.cancel_order("fa-2").ok and client.get_order_lifecycle("fa-1").state == "Filled"


def test_a_state_file_keeps_the_books_over_a_new_process(tmp_path):
    path = tmp_path / "books.json"
    with PaperBroker({ES: 5850.0}, token=TOKEN, state=path) as first:
        buy(connect(first))
    with PaperBroker({ES: 5850.0}, token=TOKEN, state=path) as second:
        assert connect(second).get_position(ES).signed == 1 and connect(second).get_order_status("fa-1") == "Filled"


def test_at_real_speed_it_runs_on_the_clock_it_was_given():
    with PaperBroker({ES: 5850.0}, WallClock(), token=TOKEN) as live:
        client = connect(live, headers={"X-Sim-Now": "1"})
        before = time.time_ns()
        assert buy(client).ok
        assert before <= client.get_executions()[0].at <= time.time_ns()


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01 not http\r\n\r\n",
        b"GET\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"x" * 100_000,
    ],
)
def test_what_is_not_http_is_cut_and_harms_nobody(broker, client, raw):
    with socket.create_connection(("127.0.0.1", broker.port), timeout=5) as rough:
        try:
            rough.sendall(raw)
            assert rough.recv(100) == b""
        except ConnectionError:
            pass
    assert client.get_positions() == []


@pytest.mark.parametrize("header", ["soon", "1e9", ""])
def test_a_clock_header_that_is_no_number_is_an_invalid_request(broker, header):
    talking = connect(broker, headers={"X-Sim-Now": header})
    if not header:
        assert talking.get_positions() == []
        return
    with pytest.raises(RefusedQuery, match="Invalid request"):
        talking.get_positions()


def test_start_and_stop_are_quick_and_stop_may_come_twice():
    started = time.perf_counter()
    broker = PaperBroker({ES: 5850.0}).start()
    broker.stop()
    broker.stop()
    assert time.perf_counter() - started < 1.0


def test_a_port_in_use_is_an_error_at_start(broker):
    with pytest.raises(OSError):
        PaperBroker(port=broker.port).start()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Fault("gremlins"),
        lambda: Fault("rate_limited", form="smoke"),
        lambda: Variants().change(colour="red"),
        lambda: Variants().change(order_ids="neither"),
        lambda: PaperBroker(token=""),
    ],
)
def test_a_mistyped_script_is_refused(make):
    with pytest.raises(InputError):
        make()


# another process scripts it


def control(broker, method, path, body=None, token=TOKEN):
    answer = httpx.request(
        method, f"http://127.0.0.1:{broker.port}/sim/{path}", json=body, headers={"Authorization": f"Bearer {token}"}
    )
    return answer.status_code, answer.json()


def test_another_process_scripts_faults_variants_prices_time_and_trades(broker, client):
    assert control(broker, "POST", "faults", {"kind": "lost_after", "path": "/place"})[0] == 200
    assert control(broker, "POST", "variants", {"single_order": "wrapped"})[0] == 200
    assert isinstance(buy(client), Ambiguous)
    assert control(broker, "POST", "trade", {"instrument": ES, "action": "BUY", "quantity": 2})[1]["orderId"]
    assert (
        control(broker, "POST", "price", {"instrument": ES, "price": 5900.0})[0] == 200
        and client.get_quote(ES).last == 5900.0
    )
    assert control(broker, "POST", "clock", {"now": 5})[0] == 200 and broker.clock.now() == 5
    state = control(broker, "GET", "state")[1]
    assert (
        state["happened"] == {"lost_after": 1}
        and state["books"]["accounts"][0]["holdings"][ES]["quantity"] == 3
        and state["requests"][0]["path"].endswith("/place")
    )
    control(broker, "POST", "faults", {"kind": "addon_down", "times": -1})
    with pytest.raises(AddOnDown):
        client.get_positions()
    control(broker, "DELETE", "faults")
    assert client.get_position(ES).signed == 3


@pytest.mark.parametrize(
    "method, path, body, status",
    [
        ("POST", "faults", {"kind": "gremlins"}, 400),
        ("POST", "faults", {"flavour": 1}, 400),
        ("GET", "nowhere", None, 404),
        ("POST", "trade", {}, 400),
        ("POST", "trade", {"instrument": "QQ", "action": "BUY", "quantity": 1}, 400),
        ("POST", "stream", {"kind": "kick"}, 400),
    ],
)
def test_a_control_request_that_makes_no_sense_is_answered_and_changes_nothing(
    broker, client, method, path, body, status
):
    assert control(broker, method, path, body)[0] == status
    assert client.get_positions() == []


def test_the_controls_need_the_token(broker):
    assert control(broker, "GET", "state", token="wrong")[0] == 401


def test_a_restart_asked_for_by_another_process_cuts_and_comes_back(broker, client):
    buy(client)
    assert control(broker, "POST", "restart", {"outage": 0.05})[0] == 200
    deadline, failures = time.monotonic() + 5, 0
    while time.monotonic() < deadline:
        try:
            position = client.get_position(ES)
        except Unreachable:
            failures += 1
        else:
            if failures:
                break
    assert failures and position.signed == 1


def test_it_runs_alone_until_interrupted():
    code = (
        f"from futures_algo.sim.broker import serve; serve({{'{ES}': 5850.0}}, port=0, token='{TOKEN}', announce=lambda"
        " url: print(url, flush=True))"
    )
    heard = lambda: signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a test run in the background inherits an ignored SIGINT
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, preexec_fn=heard)
    try:
        client = CrossTradeClient(TOKEN, process.stdout.readline().strip(), "Sim101", bucket=TokenBucket(99, 99))
        assert buy(client).ok and client.get_position(ES).signed == 1
    finally:
        process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0


# secrets


def test_a_whole_conversation_leaves_the_token_in_no_log(broker):
    stream = io.StringIO()
    handler, root = logging.StreamHandler(stream), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        client = connect(broker)
        for kind in ("addon_down", "lost_after", "unauthorized", "html"):
            broker.faults.add(kind, path="/place")
        answers = [repr(buy(client, f"fa-{number}")) for number in range(6)]
        broker.faults.add("addon_down", method="GET")
        try:
            client.get_positions()
        except AddOnDown as error:
            answers.append(repr(error) + json.dumps(vars(error)))
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    assert "httpx" in stream.getvalue() or "HTTP Request" in stream.getvalue()  # the debug logs were really on
    assert TOKEN not in stream.getvalue() + "".join(answers)
