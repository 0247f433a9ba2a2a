"""One JSON file says which symbols, strategies and account; every mistake in it is named before anything starts."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from futures_algo.config.classes import import_class
from futures_algo.config.files import environment, merge, read_json, resolve_variables
from futures_algo.config.mistakes import ConfigErrors, explained
from futures_algo.config.model import LiveConfig
from futures_algo.core.types import ConfigError, content_hash, did_you_mean


def with_scenarios(content: dict, folder: Path) -> dict:
    """The same content; strategies that name a scenario file have what it says in their entries. Those that have it
    already stay as they are."""
    strategies = content.get("strategies") if isinstance(content, dict) else None
    strategies = strategies if isinstance(strategies, dict) else {}
    named = {
        name: entry
        for name, entry in strategies.items()
        if isinstance(entry, dict) and isinstance(entry.get("scenario"), str)
    }
    if not named:
        return content
    from futures_algo.config.scenario import entry_with_scenario

    return content | {
        "strategies": strategies | {name: entry_with_scenario(name, entry, folder) for name, entry in named.items()}
    }


def read_config(path: "str | Path") -> dict:
    """The config file's content with its scenarios in it, ${VARIABLES} as they are: what the journal keeps and
    `config_hash` identifies."""
    content = read_json(path)
    strategies = content.get("strategies") if isinstance(content, dict) else None
    for name, entry in (strategies if isinstance(strategies, dict) else {}).items():
        if isinstance(entry, dict) and isinstance(entry.get("scenario"), dict):
            raise ConfigError(
                "scenario",
                "an object",
                "must be the name of a file",
                'write "live_scenario_config.json"',
                f"strategies.{name}.scenario",
            )
    return with_scenarios(content, Path(path).parent)


def parse_config(
    content: dict,  # as read from JSON, ${VARIABLES} still in it
    variables: dict[str, str] | None = None,  # what the variables mean; the process environment when omitted
    source: str = "config",  # name for messages
    folder: Path = Path("config"),  # where scenario files are looked for
) -> LiveConfig:
    "A checked config, or `ConfigErrors` naming every mistake."
    secrets = {
        "databento": {"api_key": "${DATABENTO_API_KEY}"},
        "execution": {"crosstrade_api_key": "${CROSSTRADE_API_KEY}"},
    }
    try:
        resolved = resolve_variables(
            merge(secrets, with_scenarios(content, folder)), os.environ if variables is None else variables
        )
    except ConfigError as error:
        raise ConfigErrors([error], source) from None
    try:
        return LiveConfig.model_validate(resolved)
    except ValidationError as error:
        raise ConfigErrors([explained(dict(d)) for d in error.errors()], source) from None


def load_config(
    path: "str | Path",  # config/live_trading_config.json
    changes: dict | None = None,  # laid over the file before it is checked
) -> LiveConfig:
    "Read, resolve and check a config file."
    path = Path(path)
    return parse_config(merge(read_config(path), changes or {}), environment(path.parent), path.name, path.parent)


def config_hash(content: dict) -> str:
    "Identity of a config: of the file's content, in which secrets are only ${NAMES}."
    return content_hash(content)


def get_strategy_config(
    config: "LiveConfig | Mapping[str, Any]",  # as loaded, or the file's content
    strategy_name: str,
) -> Any:  # `StrategyConfig`, or the content's entry
    "One strategy's entry; an unknown name is answered with the closest known one."
    if strategy_name in (known := config["strategies"]):
        return known[strategy_name]
    raise ConfigError(
        "strategy", strategy_name, "must be in the config", did_you_mean(strategy_name, known), "strategies"
    )


def validate_config(
    content: dict,  # as read from JSON
    variables: dict[str, str] | None = None,  # what ${VARIABLES} mean; the process environment when omitted
) -> bool:
    """True for a config whose values are right and whose classes can be imported; `ConfigErrors` otherwise. `futures-
    algo validate-config` also tries the parameters."""
    errors = []
    for name, entry in parse_config(content, variables).strategies.items():
        try:
            import_class(entry.class_)
        except ConfigError as error:
            errors.append(ConfigError(error.subject, error.value, error.rule, error.remedy, f"strategies.{name}.class"))
    if errors:
        raise ConfigErrors(errors)
    return True
