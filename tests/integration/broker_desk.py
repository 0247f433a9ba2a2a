"A paper broker with a walk of one-minute bars, a client, and the data's clock between them."

import pytest

from futures_algo.broker.requests import OrderRequest
from futures_algo.core.types import MINUTE, SECOND, Bar, Bars
from futures_algo.crosstrade.client import CrossTradeClient
from futures_algo.crosstrade.rate_limit import TokenBucket
from futures_algo.sim.broker import PaperBroker

START = 1_763_046_000 * SECOND  # 2025-11-13 15:00 UTC, a Thursday
ES, NQ = "ES 12-25", "NQ 12-25"


def minute(i, open, high, low, close, contract="ESZ5", volume=100):
    return Bar(
        contract[:-2] + ".c.0",
        "1min",
        START + i * MINUTE,
        START + (i + 1) * MINUTE,
        open,
        high,
        low,
        close,
        volume,
        contract,
    )


WALK = [
    minute(0, 5850.0, 5851.0, 5849.0, 5850.5),
    minute(1, 5850.75, 5853.0, 5850.0, 5852.0),
    minute(2, 5852.25, 5852.5, 5845.0, 5846.0),
    minute(3, 5846.25, 5848.0, 5844.0, 5847.0),
    minute(4, 5847.25, 5858.0, 5847.0, 5857.0),
    minute(5, 5857.25, 5858.0, 5856.0, 5857.5),
]


class Desk:
    "A broker, a client, and the data's clock between them."

    def __init__(self, prices=None, **options):
        prices = {"ES.c.0": Bars.from_bars(WALK), "NQ 12-25": 20_000.0} if prices is None else prices
        self.now = START + MINUTE
        self.broker = PaperBroker(prices, **options).start()
        self.client = self.connect()

    def connect(self, **options) -> CrossTradeClient:
        settings = {
            "account": "Sim101",
            "bucket": TokenBucket(1000, 1000),
            "headers": lambda: {"X-Sim-Now": str(self.now)},
        } | options
        return CrossTradeClient(self.broker.token, self.broker.url, **settings)

    def at(self, minutes: float) -> CrossTradeClient:
        "Move time so many minutes after the start."
        self.now = START + int(minutes * MINUTE)
        return self.client

    def order(self, action="BUY", quantity=1, kind="MARKET", instrument=ES, **fields):
        return self.client.place_order(OrderRequest(instrument, action, quantity, kind, **fields))


@pytest.fixture
def desk():
    "A function that opens a desk, closed at the end of the test."
    opened = []

    def open_desk(*args, **options):
        opened.append(Desk(*args, **options))
        return opened[-1]

    yield open_desk
    for each in opened:
        each.client.close()
        each.broker.stop()
