"""One loop: feed events in, orders out; its state is the journal."""

from futures_algo._facade import facade

__all__, __getattr__, __dir__ = facade(
    __name__,
    {
        "assembly": ("OwnedEngine", "build_engine"),
        "build": ("build_runners", "build_strategy", "check_config"),
        "engine": ("Engine",),
        "strategy_loader": (
            "Changes",
            "Loaded",
            "RESTART",
            "StrategyLoader",
            "UNREADABLE_LOOKS",
            "code_files",
            "compare",
            "fresh_modules",
            "needed_timeframes",
            "refuse_fixed",
        ),
    },
)
