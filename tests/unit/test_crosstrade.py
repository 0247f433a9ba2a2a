"What an answer means, what the client refuses to send, and where the token never shows."

import asyncio
import copy
import datetime as dt
import email.utils
import io
import logging
import pickle
import ssl
import subprocess
import sys
import time
import traceback

import httpx
import pytest
from pydantic import SecretStr

from futures_algo.broker.models import UnreadableAnswer
from futures_algo.broker.outcomes import (
    AddOnDown,
    Ambiguous,
    Answered,
    NotFound,
    NotSent,
    RateLimited,
    Refused,
    RefusedQuery,
    Unauthorized,
    Unreachable,
)
from futures_algo.broker.requests import OrderRequest
from futures_algo.core.types import ConfigError, InputError
from futures_algo.crosstrade.client import AsyncCrossTradeClient, CrossTradeClient
from futures_algo.crosstrade.http import Reply, Token, checked_base_url, error_of, outcome_of, read_reply, retry_after
from futures_algo.crosstrade.rate_limit import TokenBucket

SECRET = "s3cr3t-bearer/9f27b1c4"
ORDER = {"id": "n1", "instrument": "ES 12-25", "orderState": "Working", "quantity": 2}


# what an answer means


def reply(status=200, body=b'{"success": true, "orderId": "n1"}', headers=None):
    return read_reply(status, headers or {}, body, Token(SECRET), 1, 2)


def order_id(payload):
    if "orderId" not in payload:
        raise UnreadableAnswer("no id")
    return payload["orderId"]


def outcome(answer):
    return outcome_of(answer, "POST", "/place", order_id)


@pytest.mark.parametrize(
    "answer, kind",
    [
        (reply(), Answered),
        (reply(200, b'{"orderId": "n1"}'), Answered),
        (reply(200, b'{"success": false, "error": "invalid_account", "detail": "Account Sim999 not found"}'), Refused),
        (reply(200, b'{"error": "Order rejected"}'), Refused),
        (reply(200, b"<html>"), Ambiguous),
        (reply(200, b""), Ambiguous),
        (reply(200, b'{"orderId": "n'), Ambiguous),
        (reply(200, b'{"success": true}'), Ambiguous),
        (reply(302, b""), Ambiguous),
        (reply(400, b'{"error": "Invalid request"}'), Refused),
        (reply(400, b"<html>"), Refused),
        (reply(401, b'{"error": "api_requires_pro"}'), Refused),
        (reply(403, b"{}"), Refused),
        (reply(404, b'{"did_you_mean": "/accounts"}'), Refused),
        (reply(408, b'{"success": false, "error": "addon_disconnected"}'), Ambiguous),
        (reply(429, b'{"error": "rate_limited", "retryAfter": 2}'), Refused),
        (reply(500, b"oops"), Ambiguous),
        (reply(502, b"<html>"), Ambiguous),
        (reply(503, b"{}"), Ambiguous),
        (Reply(0, None, "", "lost", "ReadTimeout", None, 1, 2), Ambiguous),
        (Reply(0, None, "", "not_sent", "ConnectError", None, 0, 2), NotSent),
    ],
)
def test_every_answer_to_a_mutation_is_one_of_four_outcomes(answer, kind):
    assert type(outcome(answer)) is kind
    assert outcome(answer).ok == (kind is Answered)


def test_a_refusal_keeps_reason_detail_and_wait():
    refused = outcome(reply(429, b'{"error": "rate_limited", "retryAfter": 2}'))
    assert (refused.reason, refused.retry_after) == ("rate_limited", 2.0)
    assert (
        outcome(reply(400, b'{"error": "invalid_account", "detail": "Account Sim999 not found"}')).detail
        == "Account Sim999 not found"
    )
    assert outcome(reply(404, b'{"error": "not_found", "did_you_mean": "/accounts"}')).detail == "/accounts"


@pytest.mark.parametrize(
    "answer, kind",
    [
        (reply(408, b'{"error": "addon_disconnected"}'), AddOnDown),
        (reply(401, b"{}"), Unauthorized),
        (reply(403, b"<html>"), Unauthorized),
        (reply(404, b"{}"), NotFound),
        (reply(400, b'{"error": "Order \'x\' not found"}'), NotFound),
        (reply(400, b'{"error": "Invalid request"}'), RefusedQuery),
        (reply(400, b'{"error": "No position found for instrument"}'), NotFound),
        (reply(429, b"{}"), RateLimited),
        (reply(500, b""), Unreachable),
        (reply(302, b""), RefusedQuery),
        (reply(200, b'{"success": false, "error": "x"}'), RefusedQuery),
        (reply(200, b"<html>"), UnreadableAnswer),
        (reply(200, b"plain"), UnreadableAnswer),
        (Reply(0, None, "", "lost", "ReadTimeout", None, 1, 2), Unreachable),
        (Reply(0, None, "", "not_sent", "held back", 2.0, 0, 2), RateLimited),
    ],
)
def test_every_failed_query_is_a_named_error(answer, kind):
    assert type(error_of(answer, "GET /positions")) is kind


def test_a_rate_limit_error_carries_its_wait():
    assert error_of(reply(429, b'{"error": "rate_limited", "retryAfter": 2}'), "GET /x").retry_after == 2.0


def test_a_good_answer_is_no_error():
    assert error_of(reply(), "GET /x") is None


@pytest.mark.parametrize(
    "headers, body, wait",
    [
        ({"retry-after": "2"}, {}, 2.0),
        ({"retry-after": "0.7"}, {}, 0.7),
        ({}, {"retryAfter": 3.5}, 3.5),
        ({}, {"retry_after": 4}, 4.0),
        ({}, {}, 1.0),
        ({}, None, 1.0),
        ({"retry-after": "soon"}, {"retryAfter": 2}, 2.0),
        ({"retry-after": "-5"}, {}, 0.0),
        ({"retry-after": "99999"}, {}, 60.0),
        ({"retry-after": "nan"}, {}, 1.0),
    ],
)
def test_a_429_is_honoured_from_header_body_or_neither(headers, body, wait):
    assert retry_after(headers, body, time.time()) == wait


def test_a_429_with_an_http_date_is_honoured():
    now = time.time()
    header = email.utils.format_datetime(dt.datetime.fromtimestamp(now + 5, dt.UTC), usegmt=True)
    assert retry_after({"retry-after": header}, {}, now) == pytest.approx(5.0, abs=1.0)


# the token


@pytest.mark.parametrize("text", [None, "", "  ", "${CROSSTRADE_API_KEY}", "two words", "nön-ascii"])
def test_an_unset_empty_or_unexpanded_token_is_refused_before_anything_is_sent(text, monkeypatch):
    for name in ("XTRADE_TOKEN", "CROSSTRADE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match="XTRADE_TOKEN or CROSSTRADE_API_KEY") as caught:
        CrossTradeClient(text)
    assert "words" not in str(caught.value) and "ascii" not in str(caught.value)  # a mistyped token is still a secret


@pytest.mark.parametrize("name", ["XTRADE_TOKEN", "CROSSTRADE_API_KEY"])
def test_the_token_comes_from_the_environment_under_either_name(name, monkeypatch):
    for other in ("XTRADE_TOKEN", "CROSSTRADE_API_KEY"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, SECRET)
    assert Token.of().header() == f"Bearer {SECRET}"


def test_a_pydantic_secret_and_a_token_are_taken():
    assert Token.of(Token.of(SecretStr(SECRET))).fingerprint() == Token(SECRET).fingerprint()


def test_the_token_is_not_in_repr_pickle_or_copy():
    token, client = Token(SECRET), CrossTradeClient(SECRET, "http://localhost:1")
    for thing in (token, client, client._core, vars(client), client._core.transport):
        assert SECRET not in repr(thing)
    with pytest.raises(TypeError):
        pickle.dumps(token)
    with pytest.raises(TypeError):
        copy.deepcopy(token)


class Echoing(httpx.BaseTransport):
    "A server that repeats the token in its answer, or dies of it."

    def __init__(self, dies: bool):
        self.dies = dies

    def handle_request(self, request):
        if self.dies:
            raise httpx.ReadError(f"died on {request.headers['authorization']}", request=request)
        return httpx.Response(
            401,
            json={"success": False, "error": f"bad token {request.headers['authorization']}", "detail": SECRET},
            request=request,
        )


@pytest.mark.parametrize("dies", [False, True])
def test_the_token_is_in_no_log_error_or_traceback_even_when_the_server_repeats_it(dies, caplog):
    caplog.set_level(logging.DEBUG)
    client = CrossTradeClient(
        SECRET, "http://localhost:1", "Sim101", transport=Echoing(dies), bucket=TokenBucket(1000, 1000)
    )
    texts = [repr(client.place_order(OrderRequest("ES 12-25", "BUY", 1)))]
    try:
        client.get_positions()
    except (Unauthorized, Unreachable) as error:
        texts += [
            str(error),
            repr(vars(error)),
            "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format()),
        ]
        chain = error
        while chain := chain.__cause__ or chain.__context__:
            texts.append(repr(chain))
    assert len(texts) > 2
    for text in (*texts, caplog.text):
        assert SECRET not in text and SECRET.replace("/", "\\/") not in text


def test_the_token_is_not_in_the_debug_logs_of_the_http_and_websocket_libraries():
    from futures_algo.crosstrade.stream import quiet_logger

    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger().addHandler(handler)
    try:
        quiet_logger().debug("> Authorization: Bearer %s", SECRET)
    finally:
        logging.getLogger().removeHandler(handler)
    assert SECRET not in stream.getvalue()


# the client before the wire


@pytest.mark.parametrize(
    "url",
    ["http://broker.example/v1/api", "ftp://localhost", "localhost:8080", "", "https://user:pass@app.crosstrade.io"],
)
def test_a_base_url_that_would_leak_the_token_or_is_none_is_refused(url):
    with pytest.raises(InputError, match="base URL") as caught:
        checked_base_url(url)
    assert "pass" not in str(caught.value)


def test_the_base_url_is_the_vendors_unless_the_environment_or_the_call_says_otherwise(monkeypatch):
    monkeypatch.delenv("CROSSTRADE_BASE_URL", raising=False)
    assert CrossTradeClient(SECRET).base_url == "https://app.crosstrade.io/v1/api"
    monkeypatch.setenv("CROSSTRADE_BASE_URL", "http://localhost:8080/")
    assert CrossTradeClient(SECRET).base_url == "http://localhost:8080"
    assert CrossTradeClient(SECRET, "https://dev.crosstrade.io/v1/api").base_url == "https://dev.crosstrade.io/v1/api"


def test_certificates_are_checked_wherever_tls_is_spoken():
    context = CrossTradeClient(
        SECRET, "https://app.crosstrade.io/v1/api"
    )._core.transport._http._transport._pool._ssl_context
    assert context.verify_mode is ssl.CERT_REQUIRED and context.check_hostname


def client(handler, **options):
    return CrossTradeClient(
        SECRET,
        "http://localhost:1",
        transport=httpx.MockTransport(handler),
        **{"account": "Sim101", "bucket": TokenBucket(1000, 1000)} | options,
    )


def never(request):
    raise AssertionError(f"sent {request.method} {request.url}")


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.close_position("ES", 1),
        lambda c: c.close_position("ES 12-25", 0),
        lambda c: c.close_position("ES 12-25", percent=0),
        lambda c: c.close_position("ES 12-25", percent=1.5),
        lambda c: c.flatten("ES"),
        lambda c: c.flatten_everything(every_account=False),
        lambda c: c.reverse("ES1!"),
        lambda c: c.cancel_orders("ES"),
        lambda c: c.change_order("n1"),
        lambda c: c.change_order("n1", quantity=0),
        lambda c: c.change_order("n1", limit_price=float("nan")),
        lambda c: c.cancel_and_bracket("ES 12-25", "BUY", 1),
        lambda c: c.cancel_and_bracket("ES 12-25", "BUY", 1, stop_loss=5000.1),
        lambda c: c.get_executions(lookback=901),
        lambda c: c.get_executions(lookback=0),
        lambda c: c.get_position("ES"),
    ],
)
def test_senseless_calls_are_refused_before_the_wire(call):
    with pytest.raises(InputError):
        call(client(never))


def test_a_call_without_an_account_says_so():
    with pytest.raises(InputError, match="account"):
        client(never, account=None).get_orders()


@pytest.mark.parametrize("order_id", ["", " ", ".", "..", "..."])
def test_an_id_that_would_turn_a_cancel_into_a_cancel_of_everything_is_refused(order_id):
    with pytest.raises(InputError, match="must not be empty"):
        client(never).cancel_order(order_id)
    with pytest.raises(InputError, match="must not be empty"):
        client(never, account=order_id or " ").flatten()


def test_path_parts_are_url_encoded():
    seen = []

    def handler(request):
        seen.append(request.url.raw_path.decode())
        return httpx.Response(200, json=ORDER | {"success": True})

    client(handler).get_order("a/b c", account="Sim 1/2")
    assert seen == ["/accounts/Sim%201%2F2/orders/a%2Fb%20c"]


def test_headers_may_be_computed_for_each_request():
    seen, moments = [], iter("12")

    def handler(request):
        seen.append(request.headers["x-sim-now"])
        return httpx.Response(200, json={"accounts": ["Sim101"]})

    talking = client(handler, headers=lambda: {"X-Sim-Now": next(moments)})
    talking.get_accounts()
    talking.get_accounts()
    assert seen == ["1", "2"]


@pytest.mark.parametrize(
    "error, kind",
    [
        (httpx.ConnectError, NotSent),
        (httpx.ConnectTimeout, NotSent),
        (httpx.PoolTimeout, NotSent),
        (httpx.ReadTimeout, Ambiguous),
        (httpx.WriteTimeout, Ambiguous),
        (httpx.ReadError, Ambiguous),
        (httpx.WriteError, Ambiguous),
        (httpx.RemoteProtocolError, Ambiguous),
    ],
)
def test_each_way_a_connection_fails_is_not_sent_or_ambiguous_and_a_mutation_goes_once(error, kind):
    tries = []

    def handler(request):
        tries.append(request)
        raise error("broken", request=request)

    assert type(client(handler).place_order(OrderRequest("ES 12-25", "BUY", 1))) is kind
    assert len(tries) == 1


def test_a_query_is_asked_again_after_a_lost_connection_but_not_after_a_time_out():
    for error, count in ((httpx.ReadError, 3), (httpx.ReadTimeout, 1), (httpx.ConnectError, 1)):
        tries = []

        def handler(request, error=error, tries=tries):
            tries.append(request)
            raise error("broken", request=request)

        with pytest.raises(Unreachable):
            client(handler).get_positions()
        assert len(tries) == count


def test_an_entry_that_would_wait_too_long_is_not_sent_and_a_query_says_why():
    bucket = TokenBucket(rate=0.001, burst=1)
    assert bucket.try_take(bucket.ticket()) == 0.0
    held = client(never, bucket=bucket, patience=0.1).place_order(OrderRequest("ES 12-25", "BUY", 1))
    assert isinstance(held, NotSent) and "rate limit" in held.reason and held.sent_at == 0
    with pytest.raises(RateLimited, match="held back"):
        client(never, bucket=bucket).get_positions()


@pytest.mark.parametrize(
    "payload, kind",
    [
        ({"success": True}, Answered),
        ({"orderId": "n1"}, Answered),
        ([], Ambiguous),
        ({}, Ambiguous),
        ({"id": "n1"}, Answered),
    ],
)
def test_a_placement_needs_an_id_or_success(payload, kind):
    assert (
        type(client(lambda request: httpx.Response(200, json=payload)).place_order(OrderRequest("ES 12-25", "BUY", 1)))
        is kind
    )


def test_lists_of_ids_and_closed_positions_need_success():
    bare = client(lambda request: httpx.Response(200, json={"orderIds": ["a"], "closedPositions": []}))
    assert type(bare.cancel_all_orders()) is Ambiguous and type(bare.flatten()) is Ambiguous


@pytest.mark.parametrize("payload", [{"templates": ["A"]}, {"templates": [{"name": "A"}]}])
def test_atm_templates_come_as_names_or_rows(payload):
    assert client(lambda request: httpx.Response(200, json=payload)).get_atm_templates() == ["A"]


def test_atm_templates_that_are_no_list_are_unreadable():
    with pytest.raises(UnreadableAnswer):
        client(lambda request: httpx.Response(200, json=[])).get_atm_templates()


def test_the_asynchronous_face_is_the_same_client_awaited():
    async def talk(transport):
        async with AsyncCrossTradeClient(SECRET, "http://localhost:1", "Sim101", transport=transport) as talking:
            return await talking.get_accounts(), (await talking.place_order(OrderRequest("ES 12-25", "BUY", 1))).value

    transport = httpx.MockTransport(
        lambda request: httpx.Response(200, json={"accounts": ["Sim101"], "success": True, "orderId": "n1"})
    )
    assert asyncio.run(talk(transport)) == (["Sim101"], "n1")


def test_importing_the_library_does_not_import_the_client():
    code = (
        "import sys, futures_algo; print([m for m in ('httpx', 'websockets', 'futures_algo.crosstrade.client') if m in"
        " sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
