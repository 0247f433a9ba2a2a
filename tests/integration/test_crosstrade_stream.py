"The WebSocket is a hint: it reconnects, subscribes again, tells of gaps, and a stale quote is polled instead."

import logging
import time

import pytest
from waiting import eventually

from futures_algo.broker.models import UnreadableAnswer
from futures_algo.core.contracts import Contract
from futures_algo.crosstrade.client import CrossTradeClient, MarketDataManager
from futures_algo.crosstrade.rate_limit import TokenBucket
from futures_algo.crosstrade.stream import MarketStream
from futures_algo.sim.broker import PaperBroker

ES, NQ, TOKEN = "ES 12-25", "NQ 12-25", "stream-s3cret-77ab"


@pytest.fixture
def broker():
    with PaperBroker({ES: 5850.0, NQ: 20_000.0}, token=TOKEN) as running:
        yield running


@pytest.fixture
def stream(broker):
    "A function that starts a stream, stopped at the end of the test."
    started = []

    def start(*instruments, token=TOKEN, **options):
        started.append(MarketStream(token, broker.url, instruments, **{"backoff": (0.01,)} | options).start())
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.fixture
def market(broker):
    return lambda stream=None, **options: MarketDataManager(
        CrossTradeClient(TOKEN, broker.url, bucket=TokenBucket(1000, 1000)), stream, **options
    )


def trouble(broker, kind):
    broker._on_loop(lambda: broker.stream.trouble(kind))


def polls(broker) -> int:
    return sum(seen.path.endswith("/market/quote") for seen in broker.requests)


def test_quotes_and_profit_are_pushed(broker, stream):
    quotes, profits = [], []
    live = stream(ES, profit_every=1000, on_quote=quotes.append, on_profit=profits.append)
    assert eventually(lambda: live.quote(ES)).last == 5850.0
    eventually(lambda: "Sim101" in live.profit)
    broker.prices.set_price(ES, 5851.0)
    broker.advance(1)
    eventually(lambda: live.quote(ES).last == 5851.0)
    assert [quote.last for quote in quotes][-1] == 5851.0 and profits and live.state.name == "live" and live.gaps == 0


def test_an_instrument_may_be_added_while_it_runs(broker, stream):
    live = stream(ES)
    eventually(lambda: live.quote(ES))
    live.subscribe("NQZ25", ES)
    assert eventually(lambda: live.quote(Contract("NQ", 2025, 12))).last == 20_000.0


@pytest.mark.parametrize("kind, state", [("cut", "live"), ("kick", "live")])
def test_after_a_loss_it_reconnects_and_subscribes_again(broker, stream, kind, state):
    live = stream(ES)
    eventually(lambda: live.quote(ES))
    trouble(broker, kind)
    eventually(lambda: live.reconnects == 1 and live.state.name == state)
    broker.prices.set_price(ES, 5852.0)
    broker.advance(broker.clock.now() + 1)
    assert eventually(lambda: (quote := live.quote(ES)) and quote.last == 5852.0) and broker.stream.connections == 2


def test_a_second_session_kicks_the_first_which_does_not_fight_back_at_once(broker, stream):
    first = stream(ES, backoff=(0.01, 30.0))
    eventually(lambda: first.quote(ES))
    second = stream(ES)
    eventually(lambda: first.state.name == "kicked")
    assert (
        "active elsewhere" in first.state.reason
        and eventually(lambda: second.quote(ES))
        and broker.stream.connections == 2
    )
    assert first.quote(ES) is None  # a stream that is not live has no quotes


@pytest.mark.parametrize("kind", ["gap", "dropped", "resync", "garbage"])
def test_lost_frames_are_told(broker, stream, kind):
    told = []
    live = stream(ES, on_gap=told.append)
    eventually(lambda: live.quote(ES))
    trouble(broker, kind)
    eventually(lambda: live.gaps == 1)
    assert len(told) == 1 and live.state.name == "live"


@pytest.mark.parametrize(
    "frame, gaps",
    [
        ("[1]", 1),
        ('{"type": "marketData", "quotes": [{"last": 1}]}', 1),
        ('{"type": "marketData"}', 0),
        ('{"type": "news"}', 0),
        ('{"type": "pnlUpdate", "accounts": ["x"]}', 0),
    ],
)
def test_a_frame_of_another_shape_does_not_end_the_stream(broker, stream, frame, gaps):
    live = stream(ES)
    eventually(lambda: live.quote(ES))
    broker._on_loop(lambda: broker.stream.session.send_text(frame))
    broker.prices.set_price(ES, 5853.0)
    broker.advance(broker.clock.now() + 1)
    eventually(lambda: live.quote(ES).last == 5853.0)
    assert live.gaps == gaps and live.reconnects == 0


def test_an_error_frame_about_another_session_is_shown(broker, stream):
    live = stream(ES)
    eventually(lambda: live.quote(ES))
    broker._on_loop(lambda: broker.stream.session.send_text('{"type": "error", "error": "Session active elsewhere"}'))
    assert eventually(lambda: live.state.name == "kicked") and "elsewhere" in live.state.reason


def test_a_refused_token_ends_it_and_is_nowhere_in_the_logs(stream, caplog):
    caplog.set_level(logging.DEBUG)
    live = stream(ES, token="wrong-s3cret-51cc")
    eventually(lambda: live.state.name == "refused")
    assert live.state.reason == "HTTP 401" and "wrong-s3cret" not in caplog.text + repr(live) + repr(live.state)


def test_the_token_is_nowhere_in_the_logs_of_a_good_session(broker, stream, caplog):
    caplog.set_level(logging.DEBUG)
    live = stream(ES)
    eventually(lambda: live.quote(ES))
    trouble(broker, "kick")
    assert TOKEN not in caplog.text


def test_without_a_broker_it_backs_off_and_can_be_stopped_at_once(broker, stream):
    broker.stop()
    live = stream(ES, backoff=(0.01, 30.0))
    eventually(lambda: live.state.name == "down" and live.reconnects >= 1)
    started = time.monotonic()
    live.stop()
    assert time.monotonic() - started < 3.0 and live.state.name == "closed"


def test_it_comes_back_when_the_broker_restarts(broker, stream):
    live = stream(ES)
    eventually(lambda: live.quote(ES))
    broker.restart()
    assert eventually(lambda: live.reconnects >= 1 and live.quote(ES))


# market data for users


def test_a_fresh_pushed_quote_saves_the_poll_and_a_stale_one_does_not(broker, stream, market):
    live = stream(ES)
    eventually(lambda: live.quote(ES))
    assert market(live, max_age=60.0).get_quote(ES).last == 5850.0 and polls(broker) == 0
    assert market(live, max_age=0.0).get_quote(ES).last == 5850.0 and polls(broker) == 1


def test_a_quote_is_polled_no_more_often_than_its_age_allows(broker, market):
    patient, eager = market(max_age=60.0), market(max_age=0.0)
    for _ in range(3):
        patient.get_quote(ES)
    assert polls(broker) == 1
    for _ in range(2):
        eager.get_quote(Contract("ES", 2025, 12))
    assert polls(broker) == 3


def test_the_front_contract_prices_bars_and_hours(broker, market):
    manager = market()
    assert manager.get_front_contract("ES") == Contract("ES", 2025, 12) and manager.get_last_price(ES) == 5850.0
    assert {name: quote.last for name, quote in manager.get_quotes([ES, NQ]).items()} == {ES: 5850.0, NQ: 20_000.0}
    assert manager.get_bars(ES) == [] and manager.is_market_open(ES)
    broker.variants.change(hours="closed")
    assert not manager.is_market_open(ES)


def test_a_quote_without_a_last_price_is_no_price(market):
    with pytest.raises(UnreadableAnswer, match="no last price"):
        market().get_last_price("CL 01-26")
