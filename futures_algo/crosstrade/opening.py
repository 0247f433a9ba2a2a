"CrossTrade as a broker of the engine."

import math

from futures_algo.broker.opening import BrokerSettings
from futures_algo.crosstrade.client import CrossTradeClient


def open_broker(settings: BrokerSettings) -> CrossTradeClient:
    "The client of an account; over recorded time it tells the paper broker the moment and is not paced."
    now = settings.now
    if now is None:
        return CrossTradeClient(settings.key, settings.url, settings.account)
    told = lambda: {"X-Sim-Now": str(now())}
    return CrossTradeClient(settings.key, settings.url, settings.account, headers=told, rate=math.inf)
