"""One JSON file, checked, with every mistake named by its path; scenarios that research hands to live."""

from futures_algo._facade import facade

__all__, __getattr__, __dir__ = facade(
    __name__,
    {
        "mistakes": ("ConfigErrors",),
        "model": (
            "DatabentoConfig",
            "EngineConfig",
            "ExecutionConfig",
            "LiveConfig",
            "LoggingConfig",
            "StrategyConfig",
            "WatchConfig",
        ),
        "loading": (
            "config_hash",
            "get_strategy_config",
            "load_config",
            "parse_config",
            "read_config",
            "validate_config",
            "with_scenarios",
        ),
        "files": (
            "environment",
            "merge",
            "read_json",
            "resolve_variables",
        ),
        "classes": (
            "import_class",
            "notebook_definitions",
        ),
        "scenario": (
            "DEFAULT_SCENARIOS",
            "DataRange",
            "FORMAT",
            "GateVerdict",
            "Scenario",
            "ScenarioCosts",
            "TypedParameter",
            "WIDTH",
            "bars_hash",
            "check_code",
            "class_in_file",
            "code_hash",
            "data_range",
            "entry_with_scenario",
            "legible",
            "make_scenario",
            "plain",
            "read_scenario",
            "save_to_live",
            "scenario_of_run",
            "scenarios_text",
            "typed_parameters",
            "versions",
            "write_scenario",
        ),
    },
)
