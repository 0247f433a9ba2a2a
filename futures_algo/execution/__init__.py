"""From a signal to an order that is journaled, judged, sent once, followed and booked."""

from futures_algo._facade import facade

__all__, __getattr__, __dir__ = facade(
    __name__,
    {
        "executor": ("CrossTradeExecutor", "Decision", "execution_log"),
        "gate": ("Books", "Denial", "Gate", "Limits"),
        "ledgers": ("Ledger",),
        "orders": ("OrderManager", "instrument_of", "order_id"),
        "tracking": ("Fill", "Tracked"),
        "translator": ("SignalTranslator", "risk_size"),
        "simple": ("SimpleExecutor",),
    },
)
