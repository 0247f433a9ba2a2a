"""One JSON file says which symbols, strategies and account; every mistake in it is named with its path, rule and remedy before anything starts."""

import ast
import importlib
import importlib.util
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from futures_algo.core.contracts import FeedSymbol, add_product, product, product_of
from futures_algo.core.types import ConfigError, FuturesAlgoError, InputError, Timeframe, content_hash, did_you_mean


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)

    def __getitem__(self, name: str) -> Any:
        "A setting by the name it has in the file: config['databento']['symbols']."
        known = {field.alias or key: key for key, field in type(self).model_fields.items()}
        if name not in known:
            raise KeyError(f"{name!r} is not a setting; {did_you_mean(name, known)}")
        return getattr(self, known[name])


class DatabentoConfig(_Section):
    "Where bars come from."

    api_key: SecretStr = Field(
        SecretStr("${DATABENTO_API_KEY}"), validate_default=True, description="a ${VARIABLE}, never the key itself"
    )
    symbols: list[str] = Field(min_length=1, description='continuous feed symbols: ["ES.c.0", "NQ.c.0"]')
    dataset: str = Field("GLBX.MDP3", description="Databento's name of CME Globex")
    schema_: Literal["ohlcv-1s", "ohlcv-1m"] = Field(
        "ohlcv-1s", alias="schema", description="bars of a second, or of a minute"
    )
    replay_hours: float = Field(24, ge=0, le=24, description="hours of bars replayed at start to warm indicators up")
    warmup_days: float = Field(
        0, ge=0, le=365, description="days of one-minute history before the replay; they cost money the first time"
    )
    max_cost_usd: float = Field(
        1.0, ge=0, description="history that costs more is not fetched, and the engine does not start"
    )
    store: Path = Field(Path("data"), description="folder of the history that was fetched")
    historical_url: str | None = Field(None, description="another historical server; null is Databento's")
    gateway: str | None = Field(None, description="host of another gateway; null is Databento's")
    port: int = Field(13000, gt=0, lt=65536, strict=True, description="of the gateway")
    heartbeat_s: int = Field(
        10, ge=5, le=60, strict=True, description="seconds between signs of life the gateway is asked for"
    )

    @field_validator("symbols")
    @classmethod
    def _known_symbols(cls, symbols: list[str]) -> list[str]:
        for symbol in symbols:
            FeedSymbol.parse(symbol), product(symbol)
        if len(set(symbols)) < len(symbols):
            raise InputError("symbols", symbols, "must not repeat", "name each symbol once")
        return symbols


class StrategyConfig(_Section):
    "One strategy: its class, where it trades and with which parameters."

    enabled: bool = Field(
        True, strict=True, description="false leaves the strategy away, as if it were not in the file"
    )
    class_: str = Field(
        "",
        alias="class",
        validate_default=True,
        description="package.module.Class, or path/to/file.py:Class; left away when a scenario gives it",
    )
    scenario: str | dict[str, Any] | None = Field(
        None, description="file of best parameters that optimize wrote, beside this config; gives class and parameters"
    )
    symbols: list[str] | None = Field(None, min_length=1, description="feed symbols; null is all of the feed's")
    timeframes: list[int | str] = Field(default=[], description="checked against what the strategy's indicators use")
    indicators_by_timeframe: dict[str, dict[str, dict[str, Any]]] = Field(
        {}, description='{"6min": {"cci": {"parameters": {"length": 35}}}}'
    )
    parameters: dict[str, Any] = Field({}, description="by name; the class says which there are, and their ranges")
    quantity: int = Field(1, ge=1, strict=True, description="contracts an entry")
    risk_per_trade_usd: float | None = Field(
        None, gt=0, description="dollars one trade may lose at its stop; sizes the entry, may give 0"
    )
    priority: int = Field(0, strict=True, description="smaller goes first among entries of one moment")

    @field_validator("class_")
    @classmethod
    def _given(cls, path: str) -> str:
        if not path:
            raise InputError("class", None, "is required", "add it, or a scenario that gives it")
        return path

    @field_validator("timeframes", mode="before")
    @classmethod
    def _readable(cls, timeframes: Any) -> Any:
        return [Timeframe(t) for t in timeframes] if isinstance(timeframes, list) else timeframes

    @field_validator("symbols")
    @classmethod
    def _once_each(cls, symbols: list[str] | None) -> list[str] | None:
        if symbols and len(set(symbols)) < len(symbols):
            raise InputError("symbols", symbols, "must not repeat", "name each symbol once")
        return symbols

    @field_validator("indicators_by_timeframe")
    @classmethod
    def _well_formed(cls, found: dict) -> dict:
        for timeframe, indicators in found.items():
            Timeframe(timeframe)
            for indicator, spec in indicators.items():
                if not isinstance(given := spec.get("parameters", {}), dict):
                    raise InputError(
                        "parameters", given, f"must be an object, at {timeframe} {indicator}", 'write {"length": 35}'
                    )
        return found

    def all_parameters(self) -> dict[str, Any]:
        "Parameters from both places, flat; the same name given twice with different values is an error of the config."
        flat = dict(self.parameters)
        for timeframe, indicators in self.indicators_by_timeframe.items():
            for indicator, spec in indicators.items():
                for name, value in spec.get("parameters", {}).items():
                    if flat.setdefault(name, value) != value:
                        raise ConfigError(
                            name,
                            value,
                            f"must not contradict {flat[name]!r} given elsewhere",
                            "give it once",
                            f"indicators_by_timeframe.{timeframe}.{indicator}.parameters.{name}",
                        )
        return flat


class ExecutionConfig(_Section):
    "Where orders go, and what the gate lets through."

    crosstrade_api_key: SecretStr = Field(
        SecretStr("${CROSSTRADE_API_KEY}"), validate_default=True, description="a ${VARIABLE}, never the key itself"
    )
    crosstrade_base_url: str = Field("https://app.crosstrade.io/v1/api", description="of the REST interface")
    account: str = Field("Sim101", min_length=1, description="NinjaTrader account Name, not its display name")
    dry_run: bool = Field(True, strict=True, description="true sends nothing; going live also takes --live")
    poll_seconds: float = Field(1.0, gt=0, description="how often open orders are looked at")
    reconcile_seconds: float = Field(60.0, gt=0, description="how often both books are compared")
    limits: dict[str, Any] = Field({}, description="the gate's limits; see the table of denials")


class EngineConfig(_Section):
    "The process that trades."

    journal: Path = Field(
        Path("journal/live.db"), description="everything the engine saw, decided and sent; one engine a journal"
    )
    on_start: Literal["flat", "adopt", "align"] = Field(
        "flat",
        description=(
            "a strategy that would hold a position at the start waits, takes over what the account holds, or enters"
        ),
    )
    on_stop: Literal["leave", "flatten", "protect"] = Field(
        "leave", description="open positions at the end: left, closed, or each given a stop at the broker"
    )
    on_remove: Literal["flatten", "keep"] = Field(
        "flatten", description="what becomes of the position of a strategy that leaves the running config"
    )
    timeframes: list[int | str] = Field(default=[], description="also built, for charts")
    reload_seconds: float = Field(5.0, gt=0, description="how often the config file is looked at")
    signal_cooldown_s: float = Field(0.0, ge=0, description="no second signal of the same action within this time")

    @field_validator("timeframes", mode="before")
    @classmethod
    def _readable(cls, timeframes: Any) -> Any:
        return [Timeframe(t) for t in timeframes] if isinstance(timeframes, list) else timeframes


class LoggingConfig(_Section):
    folder: Path = Field(Path("logs"), description="of signals.log and executions.log")
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="of what is printed")


class WatchConfig(_Section):
    "Who is told, and where the numbers can be scraped."

    alert_urls: list[SecretStr] = Field(
        [], description="apprise URLs: mailto://, tgram://, slack://, ... as ${VARIABLES}"
    )
    alert_kinds: list[Literal["alarm", "state", "feed", "fill", "command"]] = Field(
        ["alarm", "state", "feed", "fill"], description="what is told"
    )
    repeat_seconds: float = Field(300.0, ge=0, description="the same thing is told once in this time")
    metrics_port: int | None = Field(
        None, gt=0, lt=65536, description="Prometheus text on this loopback port; null serves none"
    )


class ProductConfig(_Section):
    "A product that the shipped table lacks, or one to correct."

    name: str = Field("", description="in words")
    tick_size: float = Field(gt=0, description="points")
    point_value: float = Field(gt=0, description="of one contract, in its currency")
    calendar: str = Field(description="of a group: equity, energy, metals, fx, rates, grains, livestock, crypto ...")
    months: str = Field(description="letters of the listed months, in order: HMUZ")
    exchange: str = Field("CME", description="CME, CBOT, NYMEX, COMEX or ICE")
    currency: str = Field("USD", description="of the point value")
    dataset: str = Field("GLBX.MDP3", description="Databento's")


class LiveConfig(_Section):
    "The whole file."

    products: dict[str, ProductConfig] = Field({}, description="by root, over the shipped table and products.csv")
    databento: DatabentoConfig
    strategies: dict[str, StrategyConfig] = Field(min_length=1)
    execution: ExecutionConfig = ExecutionConfig.model_construct()
    engine: EngineConfig = EngineConfig()
    logging: LoggingConfig = LoggingConfig()
    watch: WatchConfig = WatchConfig()

    @field_validator("products")
    @classmethod
    def _known_from_here_on(cls, products: dict[str, ProductConfig]) -> dict[str, ProductConfig]:
        "Products come first in the file's order of checks, so that symbols may be of them."
        for root, one in products.items():
            add_product(product_of({"root": root} | one.model_dump(), f"products.{root}"))
        return products

    @model_validator(mode="after")
    def _symbols_within_feed(self):
        for name, entry in self.strategies.items():
            for symbol in entry.symbols or ():
                if symbol not in self.databento.symbols:
                    raise ConfigError(
                        "symbol",
                        symbol,
                        "must be one of the feed's",
                        did_you_mean(symbol, self.databento.symbols),
                        f"strategies.{name}.symbols",
                    )
        return self

    def symbols_of(self, strategy: str) -> list[str]:
        "Feed symbols a strategy trades."
        return self.strategies[strategy].symbols or self.databento.symbols


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


def _field_names(path: tuple) -> list[str]:
    "Names allowed where an unknown key was found."
    model: Any = LiveConfig
    for step in path[:-1]:
        fields = getattr(model, "model_fields", {})
        known = {(f.alias or name): f for name, f in fields.items()}
        if step in known:
            model = known[step].annotation
        if model == dict[str, StrategyConfig]:
            model = StrategyConfig
    return [field.alias or name for name, field in getattr(model, "model_fields", {}).items()]


def _field(path: tuple) -> Any:
    "The field a path leads to, None inside what is not modelled."
    model, field = LiveConfig, None
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


def _remedy(path: tuple) -> str:
    "What a field is, from its own description and default."
    field = _field(path)
    if path[:1] == ("strategies",) and len(path) < 3:
        return 'write { "my_strategy": { "class": "futures_algo.strategies.MACDCCIStrategy" } }'
    if field is None:
        field = _field(path[:3])  # inside what is described as a whole
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


def _explain(detail: dict) -> ConfigError:
    "One pydantic finding in the house's form."
    detail["loc"] = tuple("class" if step == "class_" else step for step in detail["loc"])
    path, value = ".".join(map(str, detail["loc"])), detail.get("input")
    if detail["loc"] and str(detail["loc"][-1]).endswith("api_key"):
        value = "(hidden)"
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, InputError):
        return ConfigError(cause.subject, cause.value, cause.rule, cause.remedy, cause.path or path)
    name = str(detail["loc"][-1]) if detail["loc"] else "config"
    if detail["type"] == "missing":
        return ConfigError(name, None, "is required", "add it", path)
    if detail["type"] == "extra_forbidden":
        return ConfigError(name, value, "is not a known setting", did_you_mean(name, _field_names(detail["loc"])), path)
    rule = (
        _RULES[detail["type"]].format(**detail.get("ctx", {}))
        if detail["type"] in _RULES
        else (detail["msg"][0].lower() + detail["msg"][1:]).replace("input should", "must")
    )
    return ConfigError(name, value, rule, _remedy(detail["loc"]), path)


_VARIABLE = re.compile(r"\$\{(\w+)\}")


def _object(pairs: list[tuple[str, Any]], repeated: list[tuple[dict, str]]) -> dict:
    "JSON lets a key repeat and keeps the last; we note it."
    seen: dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            repeated.append((seen, key))
        seen[key] = value
    return seen


def _path_to(wanted: Any, content: Any, path: str = "") -> str | None:
    "Where in the content this very object stands."
    if content is wanted:
        return path
    parts = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return next((found for key, part in parts if (found := _path_to(wanted, part, f"{path}{key}.")) is not None), None)


def read_json(path: "str | Path") -> dict:
    "The file as a dictionary; a missing file, bad JSON or a repeated key is a `ConfigError` that says where."
    path, repeated = Path(path), []
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=lambda pairs: _object(pairs, repeated))
    except FileNotFoundError:
        raise ConfigError(
            "config file", str(path), "must exist", "check the path, or name another (--config)"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            "config file", path.name, f"must be a readable UTF-8 file ({error})", "save it as UTF-8 text"
        ) from None
    except json.JSONDecodeError as error:
        raise ConfigError(
            "config file",
            path.name,
            f"must be valid JSON: {error.msg}",
            "fix it there",
            f"{path.name} line {error.lineno} column {error.colno}",
        ) from None
    for (
        holder,
        key,
    ) in repeated:  # in an object that was itself replaced by its twin the place cannot be told; its twin's can
        if (place := _path_to(holder, content)) is not None:
            raise ConfigError("key", key, "must not stand twice in one object", "rename or remove one", f"{place}{key}")
    if not isinstance(content, dict):
        raise ConfigError("config file", path.name, "must hold one JSON object", 'begin it with { "databento": ...')
    return content


def environment(folder: Path) -> dict[str, str]:
    """Variables of the process, over those of a `.env` file in the config's folder, over those of one in the project's,
    the folder above."""
    from dotenv import dotenv_values

    read = lambda file: (
        {name: value for name, value in dotenv_values(file).items() if value is not None} if file.is_file() else {}
    )
    return read(folder.resolve().parent / ".env") | read(folder / ".env") | dict(os.environ)


def resolve_variables(content: Any, variables: dict[str, str], path: str = "") -> Any:
    "The same content with every ${VARIABLE} replaced."
    if isinstance(content, dict):
        return {k: resolve_variables(v, variables, f"{path}.{k}".lstrip(".")) for k, v in content.items()}
    if isinstance(content, list):
        return [resolve_variables(v, variables, f"{path}.{i}") for i, v in enumerate(content)]
    if not isinstance(content, str):
        return content

    def value(match: re.Match) -> str:
        if found := variables.get(match[1], "").strip():
            return found
        raise ConfigError(
            "variable", match[0], "must be set and not empty", f"export {match[1]}=... or write it into .env", path
        )

    return _VARIABLE.sub(value, content)


def merge(content: dict, changes: dict) -> dict:
    "A copy of `content` with nested `changes` laid over it."
    merged = dict(content)
    for key, value in changes.items():
        merged[key] = (
            merge(merged.get(key, {}), value)
            if isinstance(value, dict) and isinstance(merged.get(key, {}), dict)
            else value
        )
    return merged


def with_scenarios(content: dict, folder: Path) -> dict:
    """The same content; strategies that name a scenario file have what it says in their entries. Those that have it
    already stay as they are."""
    strategies = content.get("strategies") if isinstance(content, dict) else None
    named = {
        name: entry
        for name, entry in (strategies if isinstance(strategies, dict) else {}).items()
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
        raise ConfigErrors([_explain(d) for d in error.errors()], source) from None


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


_MODULE_OF_SEEDS = {
    "MACDCCIStrategy",
    "SimpleBullishCCIStrategy",
}  # older configs name modules that this package replaced


def _definitions(source: str, path: Path) -> list[ast.stmt]:
    "A notebook cell's imports, classes, functions and literal constants; its work is left out."
    try:
        body = ast.parse(
            "\n".join(line for line in source.splitlines() if not line.lstrip().startswith(("%", "!"))), str(path)
        ).body
    except SyntaxError as error:
        raise ConfigError(
            "notebook cell", source.splitlines()[0], f"must be Python ({error.msg})", "fix or remove it", str(path)
        ) from None
    literal = lambda node: (
        isinstance(node, ast.Assign)
        and not any(isinstance(part, (ast.Call, ast.Name)) for part in ast.walk(node.value))
    )
    return [
        node
        for node in body
        if isinstance(node, (ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef)) or literal(node)
    ]


def notebook_definitions(path: Path) -> list[ast.stmt]:
    "What all cells of a notebook define."
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    return [node for cell in cells for node in _definitions("".join(cell["source"]), path)]


def _module_from_notebook(path: Path) -> ModuleType:
    "What a notebook defines, without running its work."
    module = ModuleType(f"user_{path.stem}")
    exec(compile(ast.Module(notebook_definitions(path), []), str(path), "exec"), vars(module))
    return module


def _module_from_file(path: Path) -> ModuleType:
    if path.suffix == ".ipynb":
        return _module_from_notebook(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    spec = importlib.util.spec_from_file_location(f"user_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def import_class(
    path: str,  # "package.module.Class", "path/to/file.py:Class" or "path/to/notebook.ipynb:Class"
) -> type:
    "The class behind a path."
    file, _, name = path.rpartition(":") if ":" in path else path.rpartition(".")
    if name in _MODULE_OF_SEEDS and file.startswith("strategies."):
        file = "futures_algo.strategies"
    forms = "write 'futures_algo.strategies.MACDCCIStrategy' or 'my/file.py:MyStrategy'"
    if not file or path.endswith((".py", ".ipynb")):
        raise ConfigError(
            "class",
            path,
            "must name a class and where it is",
            f"write '{path}:MyStrategy'" if file else f"write 'futures_algo.strategies.{path}' or 'my/file.py:{path}'",
        )
    try:
        module = _module_from_file(Path(file)) if file.endswith((".py", ".ipynb")) else importlib.import_module(file)
    except (
        ImportError,
        FileNotFoundError,
        ValueError,
        SyntaxError,
        NameError,
        TypeError,
        AttributeError,
    ) as error:  # what a file under work fails with
        if isinstance(error, (ImportError, FileNotFoundError)):
            raise ConfigError("class", path, f"must be importable ({error})", forms) from None
        raise ConfigError(
            "class", path, f"must be importable ({type(error).__name__}: {error})", "mend the file"
        ) from error
    if hasattr(module, name):
        return getattr(module, name)
    classes = [name for name in dir(module) if name.endswith("Strategy")]
    raise ConfigError("class", path, f"must be defined in {file}", did_you_mean(name, classes))


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
