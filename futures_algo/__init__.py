"""futures-algo: from a notebook idea to a supervised live session.

The public names are listed here once and loaded when first used, so that importing the package costs next to nothing.
"""
from importlib import import_module

__version__ = "0.1.0"

_HOMES = {
    "core": ("Bar", "Bars", "Signal", "Timeframe", "FuturesAlgoError", "InputError", "ConfigError", "DataError", "BrokerError", "FeedError"),
    "contracts": ("Contract", "FeedSymbol", "Product", "product"),
    "config": ("load_config", "validate_config", "get_strategy_config"),
    "sessions": ("SessionCalendar",),
    "history": ("DataAdapter", "read_dbn", "validate_bars"),
    "feed": ("DatabentoLiveFeed",),
    "aggregator": ("BarAggregator", "SecondToMinuteAggregator", "aggregate"),
    "indicators": ("VBTIndicatorCalculator",),
    "strategies": ("BaseStrategy", "MACDCCIStrategy", "SimpleBullishCCIStrategy", "evaluate"),
    "signals": ("SignalGenerator",),
    "crosstrade": ("CrossTradeClient", "MarketDataManager"),
    "execution": ("CrossTradeExecutor", "OrderManager", "SignalTranslator", "SimpleExecutor"),
    "journal": ("Journal",),
    "live": ("LiveTradingSystem",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}
__all__ = sorted(_HOME_OF)


def __getattr__(name: str):
    "Load a public name from its home the first time it is asked for."
    if name not in _HOME_OF: raise AttributeError(f"module 'futures_algo' has no attribute {name!r}")
    value = getattr(import_module(f"futures_algo.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]: return [*globals(), *__all__]
