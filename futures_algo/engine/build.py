"""From a config to what runs by it: strategies, runners, sizing, and what of the config may be kept.

Every mistake is named by its path before anything is connected.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from futures_algo.config.classes import import_class
from futures_algo.config.files import environment, read_json
from futures_algo.config.loading import (
    entry_mistakes,
    inspect_config,
    read_simple_config,
    scenario_mistakes,
    with_scenarios,
)
from futures_algo.config.mistakes import ConfigErrors
from futures_algo.config.model import LiveConfig, SimpleConfig, StrategyConfig
from futures_algo.core.contracts import product
from futures_algo.core.types import ConfigError, InputError, Timeframe
from futures_algo.execution.gate import Limits
from futures_algo.execution.translator import SignalTranslator
from futures_algo.journal.journal import Journal
from futures_algo.strategies import BaseStrategy, StrategyRunner
from futures_algo.strategies.sizing import Sizing


def build_strategy(name: str, entry: StrategyConfig) -> BaseStrategy:
    "The strategy a config entry describes; a mistake is named with its path."
    path = f"strategies.{name}"
    try:
        strategy_class = import_class(entry.class_)
    except ConfigError as error:
        raise ConfigError(error.subject, error.value, error.rule, error.remedy, f"{path}.class") from None
    if not isinstance(strategy_class, type) or not issubclass(strategy_class, BaseStrategy):
        raise ConfigError(
            "class", entry.class_, "must be a BaseStrategy", "derive it from futures_algo.BaseStrategy", f"{path}.class"
        )
    if isinstance(entry.scenario, dict):
        _refuse_changed_code(name, entry)
    kind: Any = strategy_class
    if mistakes := kind.mistakes_of(entry.content()):
        raise _at(path, mistakes[0])
    try:
        return strategy_class(**entry.all_parameters())
    except InputError as error:
        raise _at(path, error) from None


def _at(path: str, error: InputError) -> ConfigError:
    "The same mistake with its path in the file."
    return ConfigError(error.subject, error.value, error.rule, error.remedy, f"{path}.{error.path or 'parameters'}")


def _refuse_changed_code(name: str, entry: StrategyConfig) -> None:
    "A scenario's parameters belong to the code they were found with."
    from futures_algo.config.scenario import check_code

    check_code(name, entry.class_, cast(dict[str, Any], entry.scenario)["code"])


def build_runners(config: LiveConfig) -> list[StrategyRunner]:
    "A runner for each enabled strategy and symbol."
    return [
        StrategyRunner(strategy, name, symbol, sizing_of(strategy, entry))
        for name, entry in config.strategies.items()
        if entry.enabled
        for symbol in config.symbols_of(name)
        for strategy in [build_strategy(name, entry)]
    ]


def sizing_of(strategy: BaseStrategy, entry: StrategyConfig) -> int | Sizing:
    "Where exits rest the model sizes by risk itself: it knows the stop of each entry."
    if strategy.rests and entry.risk_per_trade_usd:
        return Sizing(entry.quantity, entry.risk_per_trade_usd)
    return entry.quantity


def check_config(config: LiveConfig) -> None:
    """Everything about a config that does not need a connection: strategies importable, parameters in range, limits
    known. A mistake is a `ConfigError`, several are `ConfigErrors`."""
    enabled = {name: entry for name, entry in config.strategies.items() if entry.enabled}
    mistakes = entry_mistakes(enabled) + limit_mistakes(config.execution.limits)
    if not mistakes:
        mistakes = _whole_mistakes(config)
    if mistakes:
        raise mistakes[0] if len(mistakes) == 1 else ConfigErrors(mistakes)


def mistakes_in(path: "str | Path") -> list[ConfigError]:
    "Every mistake of a config file, of strategies that are switched off too."
    path = Path(path)
    content = read_json(path)
    if is_simple(content):
        return _simple_mistakes(path)
    config, mistakes = inspect_config(content, environment(path.parent), path.parent)
    mistakes += scenario_mistakes(content)
    execution = content.get("execution")
    limits = execution.get("limits") if isinstance(execution, dict) else None
    seen: list[ConfigError] = []
    entries = with_scenarios(content, path.parent, seen).get("strategies")
    mistakes += entry_mistakes(entries) + limit_mistakes(limits if isinstance(limits, dict) else {})
    if not mistakes and config is not None:
        mistakes += _whole_mistakes(config)
    return mistakes


def is_simple(content: dict[str, Any]) -> bool:
    "Whether the content is that of `SimpleExecutor`'s file."
    return not {"databento", "strategies"} & set(content) and bool(set(SimpleConfig.model_fields) & set(content))


def _simple_mistakes(path: Path) -> list[ConfigError]:
    try:
        return limit_mistakes(read_simple_config(path).limits, "limits")
    except ConfigErrors as found:
        return found.errors


def limit_mistakes(limits: Mapping[str, Any], path: str = "execution.limits") -> list[ConfigError]:
    "What is wrong with each of the gate's limits."
    found = []
    for name, value in limits.items():
        try:
            Limits.of({name: value}, path)
        except InputError as error:
            found.append(ConfigError(error.subject, error.value, error.rule, error.remedy, error.path or path))
    return found


def _whole_mistakes(config: LiveConfig) -> list[ConfigError]:
    "What only the whole config shows, once its parts are right."
    try:
        runners = build_runners(config)
        if not runners:
            names, rule = list(config.strategies), "must have at least one enabled"
            return [ConfigError("strategies", names, rule, "set enabled to true", "strategies")]
        _refuse_seconds(config, runners)
        translator_of(config, runners)
        refuse_stops_beyond(Limits.of(config.execution.limits).max_daily_loss_usd, runners, config)
    except ConfigError as error:
        return [error]
    return []


def _refuse_seconds(config: LiveConfig, runners: list[StrategyRunner]) -> None:
    "Timeframes that are no whole minutes are built from seconds."
    if config.databento.schema_ == "ohlcv-1s":
        return
    wanted = [("engine.timeframes", timeframe) for timeframe in config.engine.timeframes] + [
        (f"strategies.{r.name}", timeframe) for r in runners for timeframe in r.timeframes
    ]
    for path, timeframe in wanted:
        if Timeframe(timeframe).seconds % 60:
            rule = "must be whole minutes where the feed sends minutes"
            raise ConfigError("timeframe", str(timeframe), rule, "set databento.schema to ohlcv-1s", path)


def translator_of(config: LiveConfig, runners: list[StrategyRunner]) -> SignalTranslator:
    "Sizing by risk for the strategies that ask for it; they must declare a stop."
    budgets = {name: entry.risk_per_trade_usd for name, entry in config.strategies.items() if entry.risk_per_trade_usd}
    for runner in runners:
        if runner.name in budgets and not _has_stop(runner):
            raise ConfigError(
                "risk_per_trade_usd",
                budgets[runner.name],
                "needs a stop to size by",
                "give the strategy stop_ticks",
                f"strategies.{runner.name}.risk_per_trade_usd",
            )
    looked_at = [runner for runner in runners if runner.name in budgets and not runner.strategy.rests]
    stops = {(r.name, r.symbol): r.strategy.exit_rules(r.symbol).stop for r in looked_at}
    return SignalTranslator({name: budgets[name] for name, _ in stops}, stops)


def _has_stop(runner: StrategyRunner) -> bool:
    strategy = runner.strategy
    if not strategy.rests:
        return bool(strategy.stop_ticks)
    return bool(strategy.stop_ticks or strategy.trail_ticks or strategy.trail_atr or strategy.defines("stop_price"))


def refuse_stops_beyond(limit: float | None, runners: list[StrategyRunner], config: LiveConfig) -> None:
    "A stop that loses more than the day may is no stop: the limit would act first."
    for runner in runners:
        rules, entry = runner.strategy.exit_rules(runner.symbol), config.strategies[runner.name]
        distances = [points for points in (rules.stop, rules.trail) if points]
        if limit is None or not distances or entry.risk_per_trade_usd:
            continue
        loss = min(distances) * product(runner.symbol).point_value * entry.quantity
        if loss > limit:
            raise ConfigError(
                "stop",
                f"${loss:,.0f} of {entry.quantity} {runner.symbol}",
                f"must lose at most max_daily_loss_usd, ${limit:,.0f}",
                "bring stop_ticks nearer, or trade fewer contracts",
                f"strategies.{runner.name}.parameters.stop_ticks",
            )


def note_scenarios(config: LiveConfig, journal: Journal, at: int) -> None:
    "An event for each strategy whose parameters come from a scenario; a warning where its gates had not all passed."
    for name, entry in config.strategies.items():
        if not entry.enabled or not isinstance(record := entry.scenario, dict):
            continue
        message = (
            f"{record['file']} of {record['created']}, hash {record['hash']},"
            f" {'gates passed' if record['passed'] else 'accepted although its gates had not all passed'}"
        )
        journal.add_event(at, "info" if record["passed"] else "warning", "scenario", name, message, **record)


def _hidden(name: str, value: Any) -> Any:
    "A field's value, covered where it is a key; an alert's URL holds its token."
    if name.endswith("api_key") or name in ("alert_urls", "alerts"):
        return _covered(value)
    return without_secrets(value)


def _covered(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return list(map(_covered, value))
    return value if not isinstance(value, str) or value.startswith("${") else "***"


def without_secrets(content: Any) -> Any:
    "The content as it may be kept: keys and tokens as their ${NAMES} or not at all."
    if isinstance(content, Mapping):
        return {name: _hidden(name, value) for name, value in content.items()}
    return list(map(without_secrets, content)) if isinstance(content, (list, tuple)) else content
