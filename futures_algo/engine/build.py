"""From a config to what runs by it: strategies, runners, sizing, and what of the config may be kept.

Every mistake is named by its path before anything is connected.
"""

from collections.abc import Mapping
from typing import Any, cast

from futures_algo.config.classes import import_class
from futures_algo.config.model import LiveConfig, StrategyConfig
from futures_algo.core.contracts import product
from futures_algo.core.types import (
    ConfigError,
    InputError,
    Timeframe,
    did_you_mean,
)
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
    try:
        strategy = strategy_class(**entry.all_parameters())
    except InputError as error:
        raise ConfigError(
            error.subject, error.value, error.rule, error.remedy, _parameter_path(path, strategy_class, error)
        ) from None
    for place in ("timeframes", "indicators_by_timeframe"):
        for timeframe in map(Timeframe, getattr(entry, place)):
            if timeframe not in strategy.timeframes:
                raise ConfigError(
                    "timeframe",
                    str(timeframe),
                    "must be one the strategy's indicators use",
                    did_you_mean(timeframe, strategy.timeframes),
                    f"{path}.{place}",
                )
    return strategy


def _parameter_path(path: str, strategy_class: type[BaseStrategy], error: InputError) -> str:
    "Where in a strategy's entry the mistake stands."
    if error.path:
        return f"{path}.{error.path}"
    name = error.subject.rpartition(" ")[2]
    if name == "parameter":
        return f"{path}.parameters.{error.value}"
    return f"{path}.parameters.{name}" if name in strategy_class.params else f"{path}.parameters"


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
    known."""
    runners = build_runners(config)
    if not runners:
        raise ConfigError(
            "strategies", list(config.strategies), "must have at least one enabled", "set enabled to true", "strategies"
        )
    _refuse_seconds(config, runners)
    translator_of(config, runners)
    refuse_stops_beyond(Limits.of(config.execution.limits).max_daily_loss_usd, runners, config)


def _refuse_seconds(config: LiveConfig, runners: list[StrategyRunner]) -> None:
    "The engine builds its timeframes from whole minutes."
    wanted = [("engine.timeframes", timeframe) for timeframe in config.engine.timeframes] + [
        (f"strategies.{r.name}", timeframe) for r in runners for timeframe in r.timeframes
    ]
    for path, timeframe in wanted:
        if Timeframe(timeframe).seconds % 60:
            raise ConfigError(
                "timeframe", str(timeframe), "must be whole minutes in a live session", "write 1, 5 or '27min'", path
            )


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
