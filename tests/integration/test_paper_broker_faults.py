"""Everything that can go wrong between the client and the broker, each fault told apart from the others and nothing
sent twice."""

import socket
import threading
import time

import httpx
import pytest
from broker_line import ES, TOKEN, buy, connect, held, placements
from waiting import eventually

from futures_algo.broker.models import UnreadableAnswer
from futures_algo.broker.outcomes import (
    AddOnDown,
    Ambiguous,
    Answered,
    NotFound,
    NotSent,
    RateLimited,
    Refused,
    Unauthorized,
    Unreachable,
)
from futures_algo.crosstrade.client import CrossTradeClient
from futures_algo.crosstrade.rate_limit import TokenBucket
from futures_algo.sim.broker import PaperBroker
from futures_algo.sim.faults import KINDS, RATE_LIMIT_FORMS

# the outcome of an order under each fault: what the client says, and what really happened


@pytest.mark.parametrize(
    "kind, outcome, done",
    [
        ("addon_down", Ambiguous, False),
        ("lost_before", Ambiguous, False),
        ("server_error", Ambiguous, False),
        ("rate_limited", Refused, False),
        ("unauthorized", Refused, False),
        ("refuse", Refused, False),
        ("slow_before", Answered, True),
        ("lost_after", Ambiguous, True),
        ("addon_timeout", Ambiguous, True),
        ("server_error_after", Ambiguous, True),
        ("html", Ambiguous, True),
        ("cut_json", Ambiguous, True),
        ("empty", Ambiguous, True),
        ("no_success", Answered, True),
        ("slow", Answered, True),
        ("throttle", Answered, True),
        ("market_closed", Refused, False),
        ("reject_after_success", Answered, False),
        ("id_not_echoed", Answered, True),
        ("partial", Answered, True),
    ],
)
def test_the_outcome_of_an_order_under_each_fault_is_never_a_false_yes_or_no(broker, client, kind, outcome, done):
    broker.faults.add(kind, path="/place", seconds=0.01)
    answer = buy(client)
    assert type(answer) is outcome and held(broker) == done and placements(broker) == 1
    assert broker.faults.happened == {kind: 1}


def test_every_kind_of_fault_has_its_row_above():
    rows = next(
        mark
        for mark in test_the_outcome_of_an_order_under_each_fault_is_never_a_false_yes_or_no.pytestmark
        if mark.name == "parametrize"
    ).args[1]
    assert {row[0] for row in rows} | {"late"} == set(KINDS)


def test_a_late_order_is_absent_right_after_the_loss_and_there_a_moment_later(broker, client):
    broker.faults.add("late", path="/place", seconds=0.5)
    assert isinstance(buy(client), Ambiguous) and client.get_orders(active_only=False) == []
    with pytest.raises(NotFound):
        client.get_order_lifecycle("fa-1")
    eventually(lambda: client.get_orders(active_only=False))
    assert held(broker) == 1 and placements(broker) == 1


@pytest.mark.parametrize(
    "kind, error",
    [
        ("addon_down", AddOnDown),
        ("server_error", Unreachable),
        ("unauthorized", Unauthorized),
        ("html", UnreadableAnswer),
        ("cut_json", UnreadableAnswer),
        ("empty", UnreadableAnswer),
        ("no_success", UnreadableAnswer),
    ],
)
def test_a_question_under_a_fault_is_a_named_error_and_never_an_empty_list(broker, client, kind, error):
    buy(client)
    broker.faults.add(kind, method="GET", times=-1)
    with pytest.raises(error):
        client.get_positions()
    with pytest.raises(error):
        client.get_orders()


@pytest.mark.parametrize("kind", ["lost_before", "lost_after"])
def test_a_question_whose_connection_broke_is_asked_again(broker, client, kind):
    broker.faults.add(kind, method="GET", times=2)
    assert client.get_positions() == []
    broker.faults.add(kind, method="GET", times=3)
    with pytest.raises(Unreachable):
        client.get_positions()


def test_nobody_listening_means_not_sent():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    client = CrossTradeClient(TOKEN, url, "Sim101", bucket=TokenBucket(99, 99))
    assert isinstance(buy(client), NotSent)
    with pytest.raises(Unreachable, match="ConnectError"):
        client.get_positions()


def test_an_answer_slower_than_the_patience_is_ambiguous_for_an_order_and_unreachable_for_a_question(broker):
    impatient = connect(broker, timeout=httpx.Timeout(5.0, read=0.15))
    broker.faults.add("slow", times=2, seconds=0.4)
    answer = buy(impatient)
    assert isinstance(answer, Ambiguous) and "ReadTimeout" in answer.reason and held(broker) == 1
    with pytest.raises(Unreachable, match="ReadTimeout"):
        impatient.get_positions()


def test_the_client_waits_longer_than_the_broker_does():
    from futures_algo.crosstrade.http import TIMEOUT

    assert TIMEOUT.read > 15 + 5  # seen answers of 16 s, and a reverse that waits 5 s


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
    least = {"float": 0.19, "body": 0.19, "http_date": 0.15}.get(
        form, 0.95
    )  # a whole second where the header rounds up or nobody says
    assert time.monotonic() - started >= least and len(broker.requests) == 2


@pytest.mark.parametrize("form", RATE_LIMIT_FORMS)
def test_a_429_on_an_order_is_a_refusal_with_its_wait_and_is_not_retried(broker, client, form):
    broker.faults.add("rate_limited", form=form, seconds=2.0)
    answer = buy(client)
    assert (
        isinstance(answer, Refused)
        and answer.status == 429
        and answer.retry_after > 0.9
        and placements(broker) == 1
        and held(broker) == 0
    )


def test_a_question_refused_for_ever_ends_as_rate_limited(broker):
    broker.faults.add("rate_limited", form="float", times=-1, seconds=0.01)
    with pytest.raises(RateLimited):
        connect(broker).get_positions()


def test_twenty_orders_at_once_then_three_a_second_meet_no_429():
    with PaperBroker({ES: 5850.0}, token=TOKEN, rate=3.0, burst=20) as strict:
        client = connect(strict, bucket=TokenBucket())
        started = time.monotonic()
        for number in range(24):
            assert buy(client, f"fa-{number}").ok
        took = time.monotonic() - started
        burst = (strict.requests[19].at - strict.requests[0].at) / 1e9
        assert [seen.status for seen in strict.requests] == [200] * 24
        assert burst < 1.0 and 4 / 3 <= took < 5.0  # unpaced it would be 0.1 s, at 3/s from the start 7.7 s


def test_an_exit_passes_the_entries_and_reads_that_wait(broker):
    client = connect(broker, bucket=TokenBucket(rate=8.0, burst=1), patience=10.0)
    assert client.get_positions() == []  # the one token of the burst
    work = [threading.Thread(target=buy, args=(client, f"fa-{number}")) for number in range(3)] + [
        threading.Thread(target=client.get_positions)
    ]
    for thread in work:
        thread.start()
    eventually(lambda: len(client._core.bucket._lane) >= 3)
    client.flatten(ES)
    for thread in work:
        thread.join()
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


@pytest.mark.parametrize(
    "variant",
    [
        {"order_ids": "id"},
        {"order_ids": "orderId"},
        {"single_order": "wrapped"},
        {"not_found": 404},
        {"accounts": "list"},
        {"accounts": "names"},
        {"quote_success": True},
        {"epoch": "text"},
        {"lower_states": True},
        {"id_echo": "nt8"},
    ],
)
def test_the_client_reads_every_form(broker, client, variant):
    broker.variants.change(**variant)
    answered = buy(client).value
    order, (listed,), (fill,) = (
        client.get_order(answered),
        client.get_orders(active_only=False),
        client.get_executions(),
    )
    assert (
        order.state
        == listed.state
        == client.get_order_status(answered)
        == client.get_order_lifecycle("fa-1").state
        == "Filled"
    )
    assert (
        listed.answers_to("fa-1")
        and client.get_accounts() == ["Sim101"]
        and client.get_quote(ES).last == 5850.0
        and fill.order_id == order.order_id
    )
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
    buy(client, "fa-1", quantity=3)
    buy(client, "fa-2", quantity=3)
    assert [client.get_order(name).filled for name in ("fa-1", "fa-2")] == [3, 2]
