"""Seconds to minutes to any timeframe, by one rule for streams and for columns."""

from futures_algo._facade import facade

__all__, __getattr__, __dir__ = facade(
    __name__,
    {
        "aggregator": ("BarAggregator", "ByTimeframe", "SecondToMinuteAggregator", "aggregate"),
        "pipeline": ("BarPipeline", "by_instant", "replay"),
    },
)
