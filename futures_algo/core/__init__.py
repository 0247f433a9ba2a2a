"""The words every room speaks: time, bars, contracts, products, sessions, expiry, DBN, errors. It imports no other
room."""

from futures_algo._facade import facade

__all__, __getattr__, __dir__ = facade(
    __name__,
    {
        "bars": ("as_bar",),
        "types": ("ACTIONS", "Bar", "Bars", "BrokerError", "Clock", "ConfigError", "DAY", "DataClock", "DataError", "FeedError", "FuturesAlgoError", "HOUR", "InputError", "MINUTE", "Minutes", "SECOND", "Signal", "Timeframe", "WallClock", "by_minutes", "content_hash", "signal_id", "to_nanos", "to_timestamp",),
        "named": ("did_you_mean",),
        "contracts": ("Contract", "FeedSymbol", "MONTH_CODES", "PRODUCTS", "Product", "add_product", "load_products", "product", "read_products", "root_of",),
        "regular_hours": ("REGULAR",),
        "sessions": ("EXCHANGE_ZONE", "RTH", "Segment", "SessionCalendar",),
        "expiry": ("business_days_from", "expiry", "front_contract", "fronts", "is_business_day", "last_day",),
    },
)
