"""A strategy is written once; sweep, replay and live session run that one definition."""

from futures_algo._facade import facade

__all__, __getattr__, __dir__ = facade(
    __name__,
    {
        "position": ("ExitRules", "ModelFill", "model_fills"),
        "sizing": ("Sizing", "contracts_for_risk"),
        "base": ("BaseStrategy", "Param"),
        "batch": ("Market", "columns", "condition_columns", "decisions", "evaluate", "known_columns", "signals_of"),
        "library": (
            "MACDCCIStrategy",
            "OpeningRangeBreakout",
            "RSIStrategy",
            "STRATEGIES",
            "SessionTime",
            "SimpleBullishCCIStrategy",
            "TIMEFRAMES",
            "VWAPReversion",
        ),
        "live": ("StrategyRunner", "make_signal"),
        "checks": ("lookahead", "parity"),
        "values": ("Known", "Values"),
        "shipped": ("strategy_class",),
    },
)
