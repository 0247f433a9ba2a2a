"Which feed an engine follows: one that ships with the package, or a function of the user's."

from dataclasses import dataclass, field
from importlib import import_module

from futures_algo.config.classes import import_class
from futures_algo.config.model import DatabentoConfig
from futures_algo.core.named import did_you_mean
from futures_algo.core.types import Clock, ConfigError, WallClock
from futures_algo.feed.events import Position
from futures_algo.feed.protocol import Feed

SHIPPED = {"databento": "futures_algo.feed.databento_feed"}  # name in the config -> module with an `open_feed`


@dataclass(frozen=True)
class FeedSettings:
    "What an engine tells a feed when it opens it."

    data: DatabentoConfig  # the config's section: symbols, schema, key, gateway
    start: int | None = None  # ns UTC to replay from; None is live from now
    end: int | None = None  # ns UTC at which the feed closes; None goes on
    resume: Position | None = None  # where an earlier feed stopped; takes the place of start
    clock: Clock = field(default_factory=WallClock)


def open_feed(
    kind: str,  # "databento", or "my/file.py:open_my_feed", "package.module.open_my_feed"
    settings: FeedSettings,
) -> Feed:
    "A feed by its name in the config (`engine.feed`)."
    if kind in SHIPPED:
        opened: Feed = import_module(SHIPPED[kind]).open_feed(settings)
        return opened
    if not set(kind) & set(".:"):
        remedy = f"{did_you_mean(kind, SHIPPED)}; or name your own: my/file.py:open_my_feed"
        raise ConfigError("feed", kind, "must be a shipped one, or say where it is", remedy, "engine.feed")
    made = import_class(kind)(settings)
    if not isinstance(made, Feed):
        lacks = ", ".join(sorted(name for name in vars(Feed) if name[0] != "_" and not hasattr(made, name)))
        raise ConfigError("feed", kind, f"must be a Feed, and lacks {lacks}", "see feed.protocol", "engine.feed")
    return made
