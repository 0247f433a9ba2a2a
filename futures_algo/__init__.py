"""futures-algo: from a notebook idea to a supervised live session.

The public names are listed here once and loaded when first used, so that importing the package costs next to nothing.
"""

import logging
import sys
from importlib import import_module
from types import ModuleType

__version__ = "0.1.0"
logging.getLogger(__name__).addHandler(logging.NullHandler())  # a library says nothing until the application asks

_HOMES = {
    "core.types": (
        "Bar",
        "Bars",
        "Signal",
        "Timeframe",
        "FuturesAlgoError",
        "InputError",
        "ConfigError",
        "DataError",
        "BrokerError",
        "FeedError",
    ),
    "core.contracts": ("Contract", "FeedSymbol", "Product", "product"),
    "config.loading": ("load_config", "validate_config", "get_strategy_config"),
    "core.sessions": ("SessionCalendar",),
    "history": ("DataAdapter", "read_dbn", "validate_bars"),
    "feed.databento_feed": ("DatabentoLiveFeed",),
    "aggregator.aggregator": ("BarAggregator", "SecondToMinuteAggregator", "aggregate"),
    "indicators": ("VBTIndicatorCalculator",),
    "strategies": (
        "BaseStrategy",
        "MACDCCIStrategy",
        "OpeningRangeBreakout",
        "RSIStrategy",
        "SimpleBullishCCIStrategy",
        "VWAPReversion",
        "evaluate",
    ),
    "research.trades": ("Costs",),
    "research.backtest": ("backtest", "BacktestResult"),
    "research.sweep": ("sweep", "SweepResult"),
    "signals": ("SignalGenerator",),
    "crosstrade.client": ("CrossTradeClient", "MarketDataManager"),
    "execution.simple": ("CrossTradeExecutor", "OrderManager", "SignalTranslator", "SimpleExecutor"),
    "journal.journal": ("Journal",),
    "live.system": ("LiveTradingSystem",),
    "engine.strategy_loader": ("StrategyLoader",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}
__all__ = sorted(_HOME_OF)


def __getattr__(name: str):
    "Load a public name from its home the first time it is asked for."
    if name not in _HOME_OF:
        raise AttributeError(f"module 'futures_algo' has no attribute {name!r}")
    value = getattr(import_module(f"futures_algo.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]


class _Package(ModuleType):
    """Where a function has its module's name, as `backtest` has, the package's attribute is the function, whichever was
    imported first."""

    def __setattr__(self, name: str, value: object) -> None:
        if name not in _HOME_OF or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
