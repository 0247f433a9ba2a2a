"Which broker an engine trades through: one that ships with the package, or a function of the user's."

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from futures_algo.broker.protocol import Broker
from futures_algo.config.classes import import_class
from futures_algo.core.named import did_you_mean
from futures_algo.core.types import ConfigError

SHIPPED = {"crosstrade": "futures_algo.crosstrade.opening"}  # name in the config -> module with an `open_broker`


@dataclass(frozen=True)
class BrokerSettings:
    "What an engine tells a broker when it opens it."

    account: str  # the account's name at the broker
    key: Any = None  # secret, a text or a SecretStr
    url: str | None = None  # the broker's own when None
    now: Callable[[], int] | None = None  # recorded time, ns UTC, in a simulation; None live


def open_broker(
    kind: str,  # "crosstrade", or "my/file.py:open_my_broker", "package.module.open_my_broker"
    settings: BrokerSettings,
) -> Broker:
    "A broker by its name in the config (`execution.broker`)."
    if kind in SHIPPED:
        opened: Broker = import_module(SHIPPED[kind]).open_broker(settings)
        return opened
    if not set(kind) & set(".:"):
        remedy = f"{did_you_mean(kind, SHIPPED)}; or name your own: my/file.py:open_my_broker"
        raise ConfigError("broker", kind, "must be a shipped one, or say where it is", remedy, "execution.broker")
    made = import_class(kind)(settings)
    if not isinstance(made, Broker):
        lacks = ", ".join(sorted(name for name in _members() if not hasattr(made, name)))
        raise ConfigError(
            "broker", kind, f"must be a Broker, and lacks {lacks}", "see broker.protocol", "execution.broker"
        )
    return made


def _members() -> list[str]:
    return [name for name in vars(Broker) if not name.startswith("_")]
