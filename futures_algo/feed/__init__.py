"""Market data as it happens: the events an engine reads, and Databento as the first source of them."""

from futures_algo._facade import facade

__all__, __getattr__, __dir__ = facade(
    __name__,
    {
        "databento_feed": ("DatabentoLiveFeed",),
        "events": (
            "ContractMapped",
            "FeedEvent",
            "FeedAlarm",
            "FeedState",
            "IntervalEnd",
            "Position",
            "clock_text",
            "join",
        ),
        "silence_watch": ("Patience", "Verdict", "Watchdog"),
    },
)
