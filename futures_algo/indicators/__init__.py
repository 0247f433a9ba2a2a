"""Every indicator, its batch and its live form, from one compiled step."""

from futures_algo._facade import facade

__all__, __getattr__, __dir__ = facade(
    __name__,
    {
        "averages": (
            "EMA",
            "MACD",
            "RMA",
            "SMA",
            "WMA",
        ),
        "base": (
            "INDICATORS",
            "Indicator",
            "LiveIndicator",
            "Param",
            "Parameter",
            "indicator",
        ),
        "calculator": (
            "VBTIndicatorCalculator",
            "indicators_by_timeframe",
        ),
        "kernel": (
            "RING",
            "compiled",
            "largest",
            "points",
            "push",
            "quotient",
            "smallest",
            "total",
            "units",
            "value_ago",
        ),
        "laws": (
            "check_laws",
            "measure_convergence",
            "random_walk",
        ),
        "oscillators": (
            "CCI",
            "RSI",
            "RateOfChange",
            "Stochastic",
        ),
        "plots": ("plot_indicators",),
        "wrappers": (
            "wrap_talib",
            "wrap_vectorbt",
        ),
        "session": (
            "OBV",
            "OpeningRange",
            "PreviousSessionLevels",
            "SessionHighLow",
            "VWAP",
        ),
        "anchors": ("session_columns",),
        "volatility": (
            "ADX",
            "ATR",
            "BollingerBands",
            "Donchian",
            "StandardDeviation",
            "TrueRange",
        ),
        "catalog": ("catalog",),
    },
)
