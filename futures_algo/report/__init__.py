"""A session explained to the last difference between research and what happened."""

from futures_algo._facade import facade

__all__, __getattr__, __dir__ = facade(
    __name__,
    {
        "report": ("Report", "curve", "page", "percentiles", "session_report", "slippage_summary", "table"),
    },
)
