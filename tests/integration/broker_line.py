"A paper broker at a constant price and a client that is not paced, for tests of what goes wrong between them."

import pytest

from futures_algo.broker.requests import OrderRequest
from futures_algo.crosstrade.client import CrossTradeClient
from futures_algo.crosstrade.rate_limit import TokenBucket
from futures_algo.sim.broker import PaperBroker

ES, TOKEN = "ES 12-25", "paper-s3cret-91f0"


@pytest.fixture
def broker():
    with PaperBroker({ES: 5850.0}, token=TOKEN) as running:
        yield running


def connect(broker, **options):
    return CrossTradeClient(TOKEN, broker.url, **{"account": "Sim101", "bucket": TokenBucket(1000, 1000)} | options)


@pytest.fixture
def client(broker):
    with connect(broker) as talking:
        yield talking


def buy(client, order_id="fa-1", quantity=1, **fields):
    return client.place_order(OrderRequest(ES, "BUY", quantity, order_id=order_id, **fields))


def held(broker) -> int:
    return broker.books.accounts["Sim101"].held(ES)


def placements(broker) -> int:
    return sum(seen.path.endswith("/place") for seen in broker.requests)
