"The config the documents show, and their loop from a one-minute bar to signals, written as they write it."

import random

import futures_algo as fa

STRATEGY = {
    "enabled": True,
    "class": "strategies.macd_cci_27min.MACDCCIStrategy",
    "timeframes": [1, 6, 27],
    "indicators_by_timeframe": {
        "27min": {"macd": {"parameters": {"fast": 12, "slow": 26, "signal": 9}}},
        "6min": {"cci": {"parameters": {"length": 35, "threshold": -100}}},
    },
}
CONFIG = {
    "databento": {"symbols": ["ES.c.0", "NQ.c.0"], "schema": "ohlcv-1m"},
    "strategies": {"macd_cci_27min": STRATEGY},
    "execution": {
        "crosstrade_api_key": "${CROSSTRADE_API_KEY}",
        "crosstrade_base_url": "https://app.crosstrade.io/v1/api",
    },
}
KEYS = {"DATABENTO_API_KEY": "db-not-a-real-key-000000000000", "CROSSTRADE_API_KEY": "not-a-real-key"}


def as_they_come(items: list) -> list:
    return items


def longest_first(items: list) -> list:
    return items[::-1]


def shuffled(items: list, chance: random.Random = random.Random(4)) -> list:
    return chance.sample(items, len(items))


ORDERS = (as_they_come, longest_first, shuffled)


def wired(strategies: list, entry: dict, timeframes: list, bars, order=as_they_come) -> list:
    "BarAggregator -> VBTIndicatorCalculator -> SignalGenerator.on_bar_complete."
    aggregator = fa.BarAggregator(timeframes=timeframes)
    calculator = fa.VBTIndicatorCalculator("ES.c.0", entry)
    generator = fa.SignalGenerator(strategies, None)
    signals = []
    for bar_1min in bars:
        completed = aggregator.process_bar("ES.c.0", bar_1min)
        for timeframe, bar in order(list(completed.items())):
            indicators = calculator.update_bar(timeframe, bar)
            signals += generator.on_bar_complete(timeframe, indicators)
    return signals
