"""What pydantic found, said in the house's form: path, value, rule, remedy."""

import json
from typing import Any

from futures_algo.config.model import LiveConfig, StrategyConfig
from futures_algo.core.named import did_you_mean
from futures_algo.core.types import ConfigError, FuturesAlgoError, InputError


class ConfigErrors(FuturesAlgoError, ValueError):
    "Everything wrong with a config file."

    def __init__(self, errors: list[ConfigError], source: str = "config"):
        self.errors = errors
        super().__init__("\n".join(f"{source}: {error}" for error in errors))


_RULES = {
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "string_type": "must be a text",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "path_type": "must be the name of a file",
}


def _field_names(path: tuple, model: Any) -> list[str]:
    "Names allowed where an unknown key was found."
    for step in path[:-1]:
        fields = getattr(model, "model_fields", {})
        known = {(f.alias or name): f for name, f in fields.items()}
        if step in known:
            model = known[step].annotation
        if model == dict[str, StrategyConfig]:
            model = StrategyConfig
    return [field.alias or name for name, field in getattr(model, "model_fields", {}).items()]


def _field(path: tuple, model: Any) -> Any:
    "The field a path leads to, None inside what is not modelled."
    field: Any = None
    for step in path:
        if model is StrategyConfig and field is None:
            field = model
            continue  # the name of a strategy
        known = {(f.alias or name): f for name, f in getattr(model, "model_fields", {}).items()}
        if step not in known:
            return field if isinstance(step, int) else None
        field = known[step]
        model, field = (
            (StrategyConfig, None) if field.annotation == dict[str, StrategyConfig] else (field.annotation, field)
        )
    return field


def _remedy(path: tuple, model: Any) -> str:
    "What a field is, from its own description and default."
    field = _field(path, model)
    if path[:1] == ("strategies",) and len(path) < 3:
        return 'write { "my_strategy": { "class": "futures_algo.strategies.MACDCCIStrategy" } }'
    if field is None:
        field = _field(path[:3], model)  # inside what is described as a whole
    if field is None or isinstance(field, type):
        return "see the guide to the config"
    default = (
        field.default if isinstance(field.default, (int, float, str, type(None))) and not field.is_required() else ...
    )
    told = [field.description] if field.description else []
    return (
        "; ".join([*told, *([f"the default is {json.dumps(default)}"] if default is not ... else [])])
        or "leave it away, or write it as the guide to the config shows"
    )


def explained(detail: dict, model: Any = LiveConfig) -> ConfigError:
    "One pydantic finding in the house's form."
    if detail["type"] != "extra_forbidden":
        detail["loc"] = tuple("class" if step == "class_" else step for step in detail["loc"])
    path, value = ".".join(map(str, detail["loc"])), detail.get("input")
    if detail["loc"] and str(detail["loc"][-1]).endswith("api_key"):
        value = "(hidden)"
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, InputError):
        place = ".".join(part for part in (path, cause.path) if part)
        return ConfigError(cause.subject, cause.value, cause.rule, cause.remedy, place)
    name = str(detail["loc"][-1]) if detail["loc"] else "config"
    if detail["type"] == "missing":
        return ConfigError(name, None, "is required", "add it", path)
    if detail["type"] == "extra_forbidden":
        return ConfigError(
            name, value, "is not a known setting", did_you_mean(name, _field_names(detail["loc"], model)), path
        )
    rule = (
        _RULES[detail["type"]].format(**detail.get("ctx", {}))
        if detail["type"] in _RULES
        else (detail["msg"][0].lower() + detail["msg"][1:]).replace("input should", "must")
    )
    return ConfigError(name, value, rule, _remedy(detail["loc"], model), path)
