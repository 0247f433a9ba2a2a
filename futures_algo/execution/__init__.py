"""From a signal to an order that is journaled, judged, sent once, followed and booked."""

from futures_algo._facade import facade

__all__, __getattr__, __dir__ = facade(
    __name__,
    {
        "executor": ("CrossTradeExecutor", "execution_log"),
        "gate": ("Denial", "Gate", "Limits", "RiskState"),
        "ledgers": ("Ledger",),
        "orders": ("OrderManager", "instrument_of", "order_id"),
        "open_order": ("Fill", "OpenOrder"),
        "verdicts": ("Decision",),
        "translator": ("SignalTranslator", "risk_size"),
        "simple": ("SimpleExecutor",),
    },
)
