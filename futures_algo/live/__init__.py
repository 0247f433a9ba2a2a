"""The process around the engine: start, stop, supervision, schedule, alerts, doctor, demo."""

from futures_algo._facade import facade

__all__, __getattr__, __dir__ = facade(
    __name__,
    {
        "system": (
            "LOOPBACK",
            "LiveTradingSystem",
        ),
        "logs": ("daily_log",),
    },
)
