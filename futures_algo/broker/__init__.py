"""What a broker is: requests, models, outcomes. It knows no vendor."""

from futures_algo._facade import facade

__all__, __getattr__, __dir__ = facade(
    __name__,
    {
        "models": (
            "Account",
            "AccountSnapshot",
            "Execution",
            "Lifecycle",
            "LifecycleEvent",
            "MarketInfo",
            "Model",
            "ORDER_STATES",
            "Order",
            "Position",
            "PriceBar",
            "Quote",
            "TERMINAL_STATES",
            "UnreadableAnswer",
            "Watermarks",
            "epoch_nanos",
            "flag",
            "look",
            "market_side",
            "number",
            "order_state",
            "whole",
            "wire",
            "word",
        ),
        "requests": ("ORDER_TYPES", "OrderRequest", "checked_price", "checked_quantity", "dated_instrument"),
    },
)
