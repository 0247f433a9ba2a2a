"""One JSON file says which symbols, strategies and account; every mistake in it is named before anything starts."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from futures_algo.config.classes import import_class
from futures_algo.config.files import environment, merge, read_json, resolve_variables
from futures_algo.config.mistakes import ConfigErrors, explained
from futures_algo.config.model import LiveConfig, SimpleConfig, StrategyConfig
from futures_algo.core.named import did_you_mean
from futures_algo.core.types import ConfigError, content_hash


def with_scenarios(
    content: dict,
    folder: Path,
    mistakes: list[ConfigError] | None = None,  # takes what is wrong; the first mistake is raised when omitted
) -> dict:
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

    found = {}
    for name, entry in named.items():
        try:
            found[name] = entry_with_scenario(name, entry, folder)
        except ConfigError as error:
            path = error.path or f"strategies.{name}.{error.subject}"
            placed = ConfigError(error.subject, error.value, error.rule, error.remedy, path)
            if mistakes is None:
                raise placed from None
            mistakes.append(placed)
    kept = {name: entry for name, entry in strategies.items() if name not in named or name in found}
    return content | {"strategies": {name: found.get(name, entry) for name, entry in kept.items()}}


def read_config(path: "str | Path") -> dict:
    """The config file's content with its scenarios in it, ${VARIABLES} as they are: what the journal keeps and
    `config_hash` identifies."""
    return with_scenarios(_content(path), Path(path).parent)


def _content(path: "str | Path") -> dict:
    "The file's content, scenarios only named."
    content = read_json(path)
    if wrong := scenario_mistakes(content):
        raise wrong[0]
    return content


def scenario_mistakes(content: dict) -> list[ConfigError]:
    "Scenarios that are no file's name: what such a file says stands in the entry only once it is read."
    strategies = content.get("strategies")
    return [
        ConfigError(
            "scenario",
            "an object",
            "must be the name of a file",
            'write "live_scenario_config.json"',
            f"strategies.{name}.scenario",
        )
        for name, entry in (strategies if isinstance(strategies, dict) else {}).items()
        if isinstance(entry, dict) and isinstance(entry.get("scenario"), dict)
    ]


def parse_config(
    content: dict,  # as read from JSON, ${VARIABLES} still in it
    variables: dict[str, str] | None = None,  # what the variables mean; the process environment when omitted
    source: str = "config",  # name for messages
    folder: Path = Path("config"),  # where scenario files are looked for
) -> LiveConfig:
    "A checked config, or `ConfigErrors` naming every mistake."
    config, mistakes = inspect_config(content, variables, folder)
    if mistakes or config is None:
        raise ConfigErrors(mistakes, source)
    return config


def inspect_config(
    content: dict,  # as read from JSON, ${VARIABLES} still in it
    variables: dict[str, str] | None = None,
    folder: Path = Path("config"),
) -> tuple[LiveConfig | None, list[ConfigError]]:  # no config where its shape is wrong
    "The config as far as it can be read, and every mistake of its shape, its values and its variables."
    secrets = {
        "databento": {"api_key": "${DATABENTO_API_KEY}"},
        "execution": {"crosstrade_api_key": "${CROSSTRADE_API_KEY}"},
    }
    mistakes: list[ConfigError] = []
    whole = with_scenarios(content, folder, mistakes)
    left_out = bool(mistakes)  # an entry whose scenario cannot be read
    resolved = resolve_variables(
        merge(secrets, whole), os.environ if variables is None else variables, mistakes=mistakes
    )
    try:
        config = LiveConfig.model_validate(resolved)
    except ValidationError as error:
        found = [explained(dict(detail)) for detail in error.errors()]
        mistakes += [one for one in found if not (left_out and one.path == "strategies" and one.value == {})]
        config = None
    return config, mistakes + _beyond_the_feed(resolved)


def _beyond_the_feed(resolved: dict) -> list[ConfigError]:
    "Symbols of strategies that the feed does not have."
    feed, strategies = resolved.get("databento"), resolved.get("strategies")
    symbols = feed.get("symbols") if isinstance(feed, dict) else None
    if not isinstance(symbols, list) or not isinstance(strategies, dict):
        return []
    return [
        ConfigError(
            "symbol", symbol, "must be one of the feed's", did_you_mean(symbol, symbols), f"strategies.{name}.symbols"
        )
        for name, entry in strategies.items()
        if isinstance(entry, dict) and isinstance(entry.get("symbols"), list)
        for symbol in entry["symbols"]
        if isinstance(symbol, str) and symbol not in symbols
    ]


def entry_mistakes(
    strategies: Any,  # of the file: entries by name
) -> list[ConfigError]:
    "What is wrong with the entries that are well formed: classes, parameters, indicators, timeframes."
    found: list[ConfigError] = []
    for name, entry in (strategies if isinstance(strategies, dict) else {}).items():
        try:
            found += _mistakes_of(StrategyConfig.model_validate(entry), f"strategies.{name}")
        except ValidationError:
            continue  # told with the file's shape
    return found


def _mistakes_of(entry: StrategyConfig, path: str) -> list[ConfigError]:
    try:
        kind = import_class(entry.class_)
    except ConfigError as error:
        return [ConfigError(error.subject, error.value, error.rule, error.remedy, f"{path}.class")]
    if not isinstance(kind, type) or not hasattr(kind, "mistakes_of"):
        remedy = "derive it from futures_algo.BaseStrategy"
        return [ConfigError("class", entry.class_, "must be a BaseStrategy", remedy, f"{path}.class")]
    return [
        ConfigError(error.subject, error.value, error.rule, error.remedy, f"{path}.{error.path}")
        for error in kind.mistakes_of(entry.content())
    ]


def load_config(
    path: "str | Path",  # config/live_trading_config.json
    changes: dict | None = None,  # laid over the file before it is checked
) -> LiveConfig:
    "Read, resolve and check a config file."
    path = Path(path)
    return parse_config(merge(_content(path), changes or {}), environment(path.parent), path.name, path.parent)


def read_simple_config(
    path: "str | Path",  # config/execution_config.json
    changes: dict | None = None,  # laid over the file before it is checked
) -> SimpleConfig:
    "The settings of `SimpleExecutor`, checked; `ConfigErrors` names every mistake."
    path = Path(path)
    mistakes: list[ConfigError] = []
    variables = environment(path.parent)
    from_environment = {"crosstrade_api_key": key} if (key := variables.get("CROSSTRADE_API_KEY")) else {}
    given = from_environment | merge(read_json(path), changes or {})
    content = resolve_variables(given, variables, mistakes=mistakes)
    try:
        config = SimpleConfig.model_validate(content)
    except ValidationError as error:
        mistakes += [explained(dict(detail), SimpleConfig) for detail in error.errors()]
    if mistakes:
        raise ConfigErrors(mistakes, path.name)
    return config


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
    content: "dict | LiveConfig",  # as read from JSON, or as `load_config` gives it
    variables: dict[str, str] | None = None,  # what ${VARIABLES} mean; the process environment when omitted
) -> bool:
    """True for a config that runs as it is written: shape, values, classes, parameters and indicators; `ConfigErrors`
    names every mistake otherwise. `futures-algo validate-config` also looks at the gate's limits."""
    if isinstance(content, LiveConfig):
        mistakes = [
            one for name, entry in content.strategies.items() for one in _mistakes_of(entry, f"strategies.{name}")
        ]
    else:
        mistakes = inspect_config(content, variables)[1] + entry_mistakes(content.get("strategies"))
    if mistakes:
        raise ConfigErrors(mistakes)
    return True
