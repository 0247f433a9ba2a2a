"""What a config may hold: every key with its type, its default and what it is for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from futures_algo.core.contracts import FeedSymbol, add_product, product, product_of
from futures_algo.core.named import did_you_mean
from futures_algo.core.types import ConfigError, InputError, Timeframe


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    def __getitem__(self, name: str) -> Any:
        "A setting by the name it has in the file: config['databento']['symbols']."
        known = {field.alias or key: key for key, field in type(self).model_fields.items()}
        if name not in known:
            raise KeyError(f"{name!r} is not a setting; {did_you_mean(name, known)}")
        return getattr(self, known[name])

    def __contains__(self, name: object) -> bool:
        return name in self.keys()  # noqa: SIM118 (it has no other way to be iterated)

    def get(self, name: str, default: Any = None) -> Any:
        "A setting by its name in the file, or the default."
        return self[name] if name in self else default

    def keys(self) -> list[str]:
        "The names of the settings, as the file has them."
        return [field.alias or key for key, field in type(self).model_fields.items()]

    def values(self) -> list[Any]:
        return [self[name] for name in self.keys()]  # noqa: SIM118

    def items(self) -> list[tuple[str, Any]]:
        "Names and values of the settings."
        return [(name, self[name]) for name in self.keys()]  # noqa: SIM118


def _timeframes(given: Any) -> Any:
    "Every one in its canonical form."
    if not isinstance(given, list):
        return given
    return list(map(Timeframe, given))


def _one_spelling(given: Any, names: Mapping[str, str], at: str = "") -> Any:
    "The content with each further spelling under its documented name; both at once are refused."
    if not isinstance(given, dict):
        return given
    for other, name in names.items():
        if other in given and name in given:
            raise ConfigError(
                other, given[other], f"must not stand beside {name}, which is the same", "keep one", other
            )
    return {names.get(name, name): value for name, value in given.items()}


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
    store: Path = Field(Path("data"), strict=False, description="folder of the history that was fetched")
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
            FeedSymbol.parse(symbol)
            product(symbol)
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
        return _timeframes(timeframes)

    @field_validator("symbols")
    @classmethod
    def _once_each(cls, symbols: list[str] | None) -> list[str] | None:
        if symbols and len(set(symbols)) < len(symbols):
            raise InputError("symbols", symbols, "must not repeat", "name each symbol once")
        return symbols

    def content(self) -> dict[str, Any]:
        "What the entry says of class, parameters and indicators, as the file has it."
        return {
            "class": self.class_,
            "parameters": self.parameters,
            "timeframes": self.timeframes,
            "indicators_by_timeframe": self.indicators_by_timeframe,
        }

    def all_parameters(self) -> dict[str, Any]:
        "The parameters of the class that the entry means; a mistake is a `ConfigError` with its path in the entry."
        from futures_algo.config.classes import import_class

        kind: Any = import_class(self.class_)
        return dict(kind.parameters_of(self.content()))


class ExecutionConfig(_Section):
    "Where orders go, and what the gate lets through."

    broker: str = Field(
        "crosstrade", min_length=1, description="crosstrade, or a broker of your own: my/file.py:open_my_broker"
    )
    crosstrade_api_key: SecretStr = Field(
        SecretStr("${CROSSTRADE_API_KEY}"), validate_default=True, description="a ${VARIABLE}, never the key itself"
    )
    crosstrade_base_url: str = Field("https://app.crosstrade.io/v1/api", description="of the REST interface")
    account: str = Field("Sim101", min_length=1, description="NinjaTrader account Name, not its display name")
    dry_run: bool = Field(True, strict=True, description="true sends nothing; going live also takes --live")
    poll_seconds: float = Field(1.0, gt=0, description="how often open orders are looked at")
    reconcile_seconds: float = Field(60.0, gt=0, description="how often both books are compared")
    limits: dict[str, Any] = Field({}, description="the gate's limits; see the table of denials")

    @model_validator(mode="before")
    @classmethod
    def _spelled(cls, given: Any) -> Any:
        return _one_spelling(given, {"nt8_account": "account", "crosstrade_url": "crosstrade_base_url"})


class SimpleConfig(_Section):
    "config/execution_config.json: where `SimpleExecutor` sends the signals of a script."

    crosstrade_url: str = Field("https://app.crosstrade.io/v1/api", min_length=1, description="of the REST interface")
    crosstrade_api_key: SecretStr | None = Field(
        None, description="a ${VARIABLE}, never the key itself; null is CROSSTRADE_API_KEY or XTRADE_TOKEN"
    )
    nt8_account: str = Field(min_length=1, description="NinjaTrader account Name, not its display name")
    default_quantity: int = Field(1, ge=1, description="contracts of a signal that names none")
    use_market_orders: bool = Field(True, description="false enters with limits at the signal's price")
    limit_seconds: float = Field(60.0, gt=0, description="a limit that has not filled by then is cancelled")
    dry_run: bool = Field(True, description="true sends nothing")
    broker: str = Field("crosstrade", min_length=1, description="crosstrade, or a broker of your own")
    max_signal_age_s: float | None = Field(90.0, ge=0, description="an older entry is refused; null takes any age")
    limits: dict[str, Any] = Field({}, description="the gate's limits; see the table of denials")

    @model_validator(mode="before")
    @classmethod
    def _spelled(cls, given: Any) -> Any:
        return _one_spelling(given, {"account": "nt8_account", "crosstrade_base_url": "crosstrade_url"})


class EngineConfig(_Section):
    "The process that trades."

    feed: str = Field(
        "databento", min_length=1, description="databento, or a feed of your own: my/file.py:open_my_feed"
    )
    journal: Path = Field(
        Path("journal/live.db"),
        strict=False,
        description="everything the engine saw, decided and sent; one engine a journal",
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
    protect_within_s: float = Field(
        5.0, gt=0, description="a position whose stop is not acknowledged after so many seconds is closed"
    )
    emergency_stop_ticks: float = Field(
        0.0, ge=0, description="a far stop for positions whose strategy has none, from the entry; 0 places none"
    )
    resting_grace_s: float = Field(
        5.0, ge=0, description="a stop that bars touched and the broker did not fill is left at market after this"
    )
    timeframes: list[int | str] = Field(default=[], description="also built, for charts")
    reload_seconds: float = Field(5.0, gt=0, description="how often the config file is looked at")
    signal_cooldown_s: float = Field(0.0, ge=0, description="no second signal of the same action within this time")

    @field_validator("timeframes", mode="before")
    @classmethod
    def _readable(cls, timeframes: Any) -> Any:
        return _timeframes(timeframes)


class LoggingConfig(_Section):
    folder: Path = Field(Path("logs"), strict=False, description="of signals.log and executions.log")
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
            add_product(product_of({"root": root} | one.model_dump(), root))
        return products

    def symbols_of(self, strategy: str) -> list[str]:
        "Feed symbols a strategy trades."
        return self.strategies[strategy].symbols or self.databento.symbols
