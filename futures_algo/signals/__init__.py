"""Decisions of several strategies on the same bars: duplicates dropped, the important first."""

from futures_algo._facade import facade

__all__, __getattr__, __dir__ = facade(
    __name__,
    {
        "generator": (
            "Executor",
            "Runner",
            "SignalGenerator",
            "log_line",
            "signal_log",
        ),
        "asking": ("as_action",),
    },
)
