"""NinjaTrader 8 through CrossTrade: the first implementation of a broker."""

from futures_algo._facade import facade

__all__, __getattr__, __dir__ = facade(
    __name__,
    {
        "client": ("AsyncCrossTradeClient", "CrossTradeClient", "MarketDataManager"),
        "stream": ("MarketStream",),
    },
)
