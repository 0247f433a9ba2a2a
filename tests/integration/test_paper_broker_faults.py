"Everything that can go wrong between the client and the broker, each fault told apart from the others and nothing sent twice."
import io
import json
import logging
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest

from futures_algo.core import InputError, WallClock
from futures_algo.crosstrade import Ambiguous, Answered, CrossTradeClient, NotSent, OrderRequest, Refused
from futures_algo.crosstrade_limits import TokenBucket
from futures_algo.crosstrade_models import UnreadableAnswer
from futures_algo.crosstrade_wire import AddOnDown, NotFound, RateLimited, RefusedQuery, Unauthorized, Unreachable
from futures_algo.sim.broker import PaperBroker
from futures_algo.sim.faults import KINDS, RATE_LIMIT_FORMS, Fault, Variants

ES, TOKEN = "ES 12-25", "paper-s3cret-91f0"


@pytest.fixture
def broker():
    with PaperBroker({ES: 5850.0}, token=TOKEN) as running: yield running


def connect(broker, **options): return CrossTradeClient(TOKEN, broker.url, **{"account": "Sim101", "bucket": TokenBucket(1000, 1000)} | options)


@pytest.fixture
def client(broker):
    with connect(broker) as talking: yield talking


def buy(client, order_id="fa-1", quantity=1, **fields): return client.place_order(OrderRequest(ES, "BUY", quantity, order_id=order_id, **fields))
def held(broker) -> int: return broker.books.accounts["Sim101"].held(ES)
def placements(broker) -> int: return sum(seen.path.endswith("/place") for seen in broker.requests)


def until(condition, seconds: float = 5.0):
    "Poll with a deadline."
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "never happened"
        time.sleep(0.002)
    return value


# the outcome of an order under each fault: what the client says, and what really happened

@pytest.mark.parametrize("kind, outcome, done", [
    ("addon_down", Ambiguous, False), ("lost_before", Ambiguous, False), ("server_error", Ambiguous, False), ("rate_limited", Refused, False), ("unauthorized", Refused, False),
    ("refuse", Refused, False), ("slow_before", Answered, True), ("lost_after", Ambiguous, True), ("addon_timeout", Ambiguous, True), ("server_error_after", Ambiguous, True),
    ("html", Ambiguous, True), ("cut_json", Ambiguous, True), ("empty", Ambiguous, True), ("no_success", Answered, True), ("slow", Answered, True), ("throttle", Answered, True),
    ("market_closed", Refused, False), ("reject_after_success", Answered, False), ("id_not_echoed", Answered, True), ("partial", Answered, True)])
def test_the_outcome_of_an_order_under_each_fault_is_never_a_false_yes_or_no(broker, client, kind, outcome, done):
    broker.faults.add(kind, path="/place", seconds=0.01)
    answer = buy(client)
    assert type(answer) is outcome and held(broker) == done and placements(broker) == 1
    assert broker.faults.happened == {kind: 1}


def test_every_kind_of_fault_has_its_row_above():
    rows = next(mark for mark in test_the_outcome_of_an_order_under_each_fault_is_never_a_false_yes_or_no.pytestmark if mark.name == "parametrize").args[1]
    assert {row[0] for row in rows} | {"late"} == set(KINDS)


def test_a_late_order_is_absent_right_after_the_loss_and_there_a_moment_later(broker, client):
    broker.faults.add("late", path="/place", seconds=0.5)
    assert isinstance(buy(client), Ambiguous) and client.get_orders(active_only=False) == []
    with pytest.raises(NotFound): client.get_order_lifecycle("fa-1")
    until(lambda: client.get_orders(active_only=False))
    assert held(broker) == 1 and placements(broker) == 1


@pytest.mark.parametrize("kind, error", [("addon_down", AddOnDown), ("server_error", Unreachable), ("unauthorized", Unauthorized), ("html", UnreadableAnswer), ("cut_json", UnreadableAnswer),
                                         ("empty", UnreadableAnswer), ("no_success", UnreadableAnswer)])
def test_a_question_under_a_fault_is_a_named_error_and_never_an_empty_list(broker, client, kind, error):
    buy(client)
    broker.faults.add(kind, method="GET", times=-1)
    with pytest.raises(error): client.get_positions()
    with pytest.raises(error): client.get_orders()


@pytest.mark.parametrize("kind", ["lost_before", "lost_after"])
def test_a_question_whose_connection_broke_is_asked_again(broker, client, kind):
    broker.faults.add(kind, method="GET", times=2)
    assert client.get_positions() == []
    broker.faults.add(kind, method="GET", times=3)
    with pytest.raises(Unreachable): client.get_positions()


def test_nobody_listening_means_not_sent():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    client = CrossTradeClient(TOKEN, url, "Sim101", bucket=TokenBucket(99, 99))
    assert isinstance(buy(client), NotSent)
    with pytest.raises(Unreachable, match="ConnectError"): client.get_positions()


def test_an_answer_slower_than_the_patience_is_ambiguous_for_an_order_and_unreachable_for_a_question(broker):
    impatient = connect(broker, timeout=httpx.Timeout(5.0, read=0.15))
    broker.faults.add("slow", times=2, seconds=0.4)
    answer = buy(impatient)
    assert isinstance(answer, Ambiguous) and "ReadTimeout" in answer.reason and held(broker) == 1
    with pytest.raises(Unreachable, match="ReadTimeout"): impatient.get_positions()


def test_the_client_waits_longer_than_the_broker_does():
    from futures_algo.crosstrade_wire import TIMEOUT
    assert TIMEOUT.read > 15 + 5   # seen answers of 16 s, and a reverse that waits 5 s


def test_throttling_as_latency_grows_and_is_waited_for(broker, client):
    broker.faults.add("throttle", times=3, seconds=0.02)
    took = []
    for _ in range(3):
        started = time.perf_counter()
        assert client.get_positions() == []
        took.append(time.perf_counter() - started)
    assert took[0] >= 0.02 and took[1] >= 0.04 and took[2] >= 0.06


# 429 in every form

@pytest.mark.parametrize("form", RATE_LIMIT_FORMS)
def test_a_429_in_each_form_pauses_everyone_and_the_question_is_asked_again(broker, form):
    bucket = TokenBucket(1000, 1000)
    client = connect(broker, bucket=bucket)
    broker.faults.add("rate_limited", form=form, seconds=0.2)
    started = time.monotonic()
    assert client.get_positions() == []
    least = {"float": 0.19, "body": 0.19, "http_date": 0.15}.get(form, 0.95)   # a whole second where the header rounds up or nobody says
    assert time.monotonic() - started >= least and len(broker.requests) == 2


@pytest.mark.parametrize("form", RATE_LIMIT_FORMS)
def test_a_429_on_an_order_is_a_refusal_with_its_wait_and_is_not_retried(broker, client, form):
    broker.faults.add("rate_limited", form=form, seconds=2.0)
    answer = buy(client)
    assert isinstance(answer, Refused) and answer.status == 429 and answer.retry_after > 0.9 and placements(broker) == 1 and held(broker) == 0


def test_a_question_refused_for_ever_ends_as_rate_limited(broker):
    broker.faults.add("rate_limited", form="float", times=-1, seconds=0.01)
    with pytest.raises(RateLimited): connect(broker).get_positions()


def test_twenty_orders_at_once_then_three_a_second_meet_no_429():
    with PaperBroker({ES: 5850.0}, token=TOKEN, rate=3.0, burst=20) as strict:
        client = connect(strict, bucket=TokenBucket())
        started = time.monotonic()
        for number in range(24): assert buy(client, f"fa-{number}").ok
        took = time.monotonic() - started
        burst = (strict.requests[19].at - strict.requests[0].at) / 1e9
        assert [seen.status for seen in strict.requests] == [200] * 24
        assert burst < 1.0 and 4 / 3 <= took < 5.0   # unpaced it would be 0.1 s, at 3/s from the start 7.7 s


def test_an_exit_passes_the_entries_and_reads_that_wait(broker):
    client = connect(broker, bucket=TokenBucket(rate=8.0, burst=1), patience=10.0)
    assert client.get_positions() == []   # the one token of the burst
    work = [threading.Thread(target=buy, args=(client, f"fa-{number}")) for number in range(3)] + [threading.Thread(target=client.get_positions)]
    for thread in work: thread.start()
    until(lambda: len(client._core.bucket._lane) >= 3)
    client.flatten(ES)
    for thread in work: thread.join()
    paths = [seen.path.rsplit("/", 1)[1] for seen in broker.requests][1:]
    assert paths.index("flatten") <= 1 and paths[-1] == "positions" and paths.count("place") == 3


def test_a_client_that_does_not_pace_itself_does_meet_429s():
    with PaperBroker({ES: 5850.0}, token=TOKEN, rate=3.0, burst=5) as strict:
        statuses = [buy(connect(strict), f"fa-{number}").status for number in range(8)]
        assert statuses[:5] == [200] * 5 and 429 in statuses[5:]


def test_two_clients_with_one_token_share_the_budget(broker):
    first, second = CrossTradeClient("shared-token", broker.url), CrossTradeClient("shared-token", broker.url)
    assert first._core.bucket is second._core.bucket is not CrossTradeClient("other-token", broker.url)._core.bucket


# the forms of undocumented answers

@pytest.mark.parametrize("variant", [{"order_ids": "id"}, {"order_ids": "orderId"}, {"single_order": "wrapped"}, {"not_found": 404}, {"accounts": "list"}, {"accounts": "names"},
                                     {"quote_success": True}, {"epoch": "text"}, {"lower_states": True}, {"id_echo": "nt8"}])
def test_the_client_reads_every_form(broker, client, variant):
    broker.variants.change(**variant)
    answered = buy(client).value
    order, (listed,), (fill,) = client.get_order(answered), client.get_orders(active_only=False), client.get_executions()
    assert order.state == listed.state == client.get_order_status(answered) == client.get_order_lifecycle("fa-1").state == "Filled"
    assert listed.answers_to("fa-1") and client.get_accounts() == ["Sim101"] and client.get_quote(ES).last == 5850.0 and fill.order_id == order.order_id
    assert (order.action, order.order_type, order.time_in_force, fill.at) == ("BUY", "MARKET", "DAY", order.at)


def test_an_id_lost_by_ninjatrader_is_found_by_lifecycle_or_oco(broker, client):
    broker.variants.change(id_echo="lost")
    answered = buy(client, oco_id="oco-fa-1").value
    (listed,) = client.get_orders(active_only=False)
    assert answered != "fa-1" and listed.order_id == answered
    assert not listed.answers_to("fa-1") and listed.answers_to("fa-1", "oco-fa-1")
    assert client.get_order_lifecycle("fa-1").order_id == answered


def test_orders_in_two_parts(broker, client):
    broker.variants.change(partial="half")
    buy(client, quantity=3)
    assert (client.get_order("fa-1").state, client.get_order("fa-1").filled) == ("PartFilled", 1)
    assert client.cancel_order("fa-1").ok and client.get_order("fa-1").state == "Cancelled" and held(broker) == 1
    buy(client, "fa-2", quantity=2)
    broker.advance(broker.clock.now() + 1)
    assert client.get_order("fa-2").filled == 2 and len(client.get_executions()) == 3


def test_a_scripted_part_waits_for_time_to_move(broker, client):
    broker.faults.add("partial", quantity=2, path="fa-2")
    buy(client, "fa-1", quantity=3); buy(client, "fa-2", quantity=3)
    assert [client.get_order(name).filled for name in ("fa-1", "fa-2")] == [3, 2]


# the world outside the client

def test_a_manual_trade_shows_up_as_a_position_and_an_order_nobody_asked_for(broker, client):
    order_id = broker.trade(ES, "SELL", 2)
    assert client.get_position(ES).signed == -2 and client.get_order(order_id).name == "Manual"


def test_a_restart_keeps_the_books_and_the_port(broker, client):
    buy(client); buy(client, "fa-2", order_type="LIMIT", limit_price=5800.0)
    port = broker.port
    broker.restart()
    assert broker.port == port and client.get_position(ES).signed == 1 and client.get_order_status("fa-2") == "Working"
    assert client.cancel_order("fa-2").ok and client.get_order_lifecycle("fa-1").state == "Filled"


def test_a_state_file_keeps_the_books_over_a_new_process(tmp_path):
    path = tmp_path / "books.json"
    with PaperBroker({ES: 5850.0}, token=TOKEN, state=path) as first: buy(connect(first))
    with PaperBroker({ES: 5850.0}, token=TOKEN, state=path) as second:
        assert connect(second).get_position(ES).signed == 1 and connect(second).get_order_status("fa-1") == "Filled"


def test_at_real_speed_it_runs_on_the_clock_it_was_given():
    with PaperBroker({ES: 5850.0}, WallClock(), token=TOKEN) as live:
        client = connect(live, headers={"X-Sim-Now": "1"})
        before = time.time_ns()
        assert buy(client).ok
        assert before <= client.get_executions()[0].at <= time.time_ns()


@pytest.mark.parametrize("raw", [b"\x16\x03\x01 not http\r\n\r\n", b"GET\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n", b"x" * 100_000])
def test_what_is_not_http_is_cut_and_harms_nobody(broker, client, raw):
    with socket.create_connection(("127.0.0.1", broker.port), timeout=5) as rough:
        try: rough.sendall(raw); assert rough.recv(100) == b""
        except ConnectionError: pass
    assert client.get_positions() == []


@pytest.mark.parametrize("header", ["soon", "1e9", ""])
def test_a_clock_header_that_is_no_number_is_an_invalid_request(broker, header):
    talking = connect(broker, headers={"X-Sim-Now": header})
    if not header: assert talking.get_positions() == []; return
    with pytest.raises(RefusedQuery, match="Invalid request"): talking.get_positions()


def test_start_and_stop_are_quick_and_stop_may_come_twice():
    started = time.perf_counter()
    broker = PaperBroker({ES: 5850.0}).start()
    broker.stop(); broker.stop()
    assert time.perf_counter() - started < 1.0


def test_a_port_in_use_is_an_error_at_start(broker):
    with pytest.raises(OSError): PaperBroker(port=broker.port).start()


@pytest.mark.parametrize("make", [lambda: Fault("gremlins"), lambda: Fault("rate_limited", form="smoke"), lambda: Variants().change(colour="red"),
                                  lambda: Variants().change(order_ids="neither"), lambda: PaperBroker(token="")])
def test_a_mistyped_script_is_refused(make):
    with pytest.raises(InputError): make()


# another process scripts it

def control(broker, method, path, body=None, token=TOKEN):
    answer = httpx.request(method, f"http://127.0.0.1:{broker.port}/sim/{path}", json=body, headers={"Authorization": f"Bearer {token}"})
    return answer.status_code, answer.json()


def test_another_process_scripts_faults_variants_prices_time_and_trades(broker, client):
    assert control(broker, "POST", "faults", {"kind": "lost_after", "path": "/place"})[0] == 200
    assert control(broker, "POST", "variants", {"single_order": "wrapped"})[0] == 200
    assert isinstance(buy(client), Ambiguous)
    assert control(broker, "POST", "trade", {"instrument": ES, "action": "BUY", "quantity": 2})[1]["orderId"]
    assert control(broker, "POST", "price", {"instrument": ES, "price": 5900.0})[0] == 200 and client.get_quote(ES).last == 5900.0
    assert control(broker, "POST", "clock", {"now": 5})[0] == 200 and broker.clock.now() == 5
    state = control(broker, "GET", "state")[1]
    assert state["happened"] == {"lost_after": 1} and state["books"]["accounts"][0]["holdings"][ES]["quantity"] == 3 and state["requests"][0]["path"].endswith("/place")
    control(broker, "POST", "faults", {"kind": "addon_down", "times": -1})
    with pytest.raises(AddOnDown): client.get_positions()
    control(broker, "DELETE", "faults")
    assert client.get_position(ES).signed == 3


@pytest.mark.parametrize("method, path, body, status", [("POST", "faults", {"kind": "gremlins"}, 400), ("POST", "faults", {"flavour": 1}, 400), ("GET", "nowhere", None, 404),
                                                        ("POST", "trade", {}, 400), ("POST", "trade", {"instrument": "QQ", "action": "BUY", "quantity": 1}, 400),
                                                        ("POST", "stream", {"kind": "kick"}, 400)])
def test_a_control_request_that_makes_no_sense_is_answered_and_changes_nothing(broker, client, method, path, body, status):
    assert control(broker, method, path, body)[0] == status
    assert client.get_positions() == []


def test_the_controls_need_the_token(broker): assert control(broker, "GET", "state", token="wrong")[0] == 401


def test_a_restart_asked_for_by_another_process_cuts_and_comes_back(broker, client):
    buy(client)
    assert control(broker, "POST", "restart", {"outage": 0.05})[0] == 200
    deadline, failures = time.monotonic() + 5, 0
    while time.monotonic() < deadline:
        try: position = client.get_position(ES)
        except Unreachable: failures += 1
        else:
            if failures: break
    assert failures and position.signed == 1


def test_it_runs_alone_until_interrupted():
    code = f"from futures_algo.sim.broker import serve; serve({{'{ES}': 5850.0}}, port=0, token='{TOKEN}', announce=lambda url: print(url, flush=True))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        client = CrossTradeClient(TOKEN, process.stdout.readline().strip(), "Sim101", bucket=TokenBucket(99, 99))
        assert buy(client).ok and client.get_position(ES).signed == 1
    finally: process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0


# secrets

def test_a_whole_conversation_leaves_the_token_in_no_log(broker):
    stream = io.StringIO()
    handler, root = logging.StreamHandler(stream), logging.getLogger()
    level = root.level
    root.addHandler(handler); root.setLevel(logging.DEBUG)
    try:
        client = connect(broker)
        for kind in ("addon_down", "lost_after", "unauthorized", "html"): broker.faults.add(kind, path="/place")
        answers = [repr(buy(client, f"fa-{number}")) for number in range(6)]
        broker.faults.add("addon_down", method="GET")
        try: client.get_positions()
        except AddOnDown as error: answers.append(repr(error) + json.dumps(vars(error)))
    finally: root.removeHandler(handler); root.setLevel(level)
    assert "httpx" in stream.getvalue() or "HTTP Request" in stream.getvalue()   # the debug logs were really on
    assert TOKEN not in stream.getvalue() + "".join(answers)
