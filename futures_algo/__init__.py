"""futures-algo: from a notebook idea to a supervised live session.

The public names are listed here once and loaded when first used, so that importing the package costs next to nothing.
"""

import logging

from futures_algo._facade import facade

__version__ = "0.1.0"
logging.getLogger(__name__).addHandler(logging.NullHandler())  # a library says nothing until the application asks

__all__, __getattr__, __dir__ = facade(
    __name__,
    {
        "core": (
            "Bar", "Bars", "BrokerError", "ConfigError", "Contract", "DataError", "FeedError", "FeedSymbol",
            "FuturesAlgoError", "InputError", "Product", "SessionCalendar", "Signal", "Timeframe", "product",
        ),
        "config": ("get_strategy_config", "load_config", "validate_config"),
        "history": ("DataAdapter", "read_dbn", "validate_bars"),
        "feed": ("DatabentoLiveFeed",),
        "aggregator": ("BarAggregator", "SecondToMinuteAggregator", "aggregate"),
        "indicators": ("Param", "VBTIndicatorCalculator"),
        "explorer": ("Explorer",),
        "strategies": (
            "BaseStrategy", "MACDCCIStrategy", "OpeningRangeBreakout", "RSIStrategy", "SimpleBullishCCIStrategy",
            "VWAPReversion", "evaluate", "lookahead", "parity",
        ),
        "research": ("BacktestResult", "Costs", "SweepResult", "backtest", "sweep", "walk_forward"),
        "signals": ("SignalGenerator",),
        "crosstrade": ("CrossTradeClient", "MarketDataManager"),
        "execution": ("CrossTradeExecutor", "OrderManager", "SignalTranslator", "SimpleExecutor"),
        "journal": ("Journal",),
        "live": ("LiveTradingSystem",),
        "engine": ("StrategyLoader",),
    },
)  # fmt: skip
