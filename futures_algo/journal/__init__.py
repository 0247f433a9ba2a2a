"""What happened, row by row: the engine's state and everybody else's window."""

from futures_algo._facade import facade

__all__, __getattr__, __dir__ = facade(
    __name__,
    {
        "journal": ("Journal", "JournalError", "connect"),
        "reader": ("BarSeries", "JournalReader", "TERMINAL", "View", "judge"),
    },
)
