"""Follows a config file and the code it names: a valid change becomes a list of differences and new strategies, an
invalid one leaves everything as it was."""

import hashlib
import importlib
import importlib.util
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from futures_algo.aggregator.aggregator import BarAggregator
from futures_algo.config.classes import import_class
from futures_algo.config.files import environment, merge
from futures_algo.config.fingerprint import imports_of_file, strategy_fingerprint, user_files, walk_of
from futures_algo.config.loading import parse_config, read_config
from futures_algo.config.model import LiveConfig
from futures_algo.core.types import ConfigError, FuturesAlgoError, InputError, Timeframe, content_hash
from futures_algo.engine.build import build_strategy, check_config
from futures_algo.engine.replay import extend, warm
from futures_algo.strategies import BaseStrategy, StrategyRunner
from futures_algo.strategies.live import refuse_scalar_code


def code_files(
    path: str,  # as the config names the class
    kind: type,
) -> dict[str, Path]:
    "Files, by module, whose change may change the class: its own, and those of the user's that it reaches."
    own = Path(path.rpartition(":")[0]) if ":" in path else None
    walk = walk_of(kind)
    for module in imports_of_file(own) if own else ():
        walk.modules.setdefault(module.__name__, module)
    return ({"": own} if own else {}) | user_files(walk)


@contextmanager
def fresh_modules(names: Iterable[str], files: Iterable[Path] = ()) -> Iterator[None]:
    "Inside, these modules are imported anew; an error puts the old ones back."
    before = {name: sys.modules.pop(name) for name in dict.fromkeys(names) if name in sys.modules}
    for file in files:
        _forget_compiled(file)
    importlib.invalidate_caches()
    try:
        yield
    except BaseException:
        for name, module in before.items():
            _put_back(name, module)
        raise


def _forget_compiled(file: Path) -> None:
    "Python trusts a compiled file of the same size and second; an edit may be quicker."
    if file.suffix == ".py":
        Path(importlib.util.cache_from_source(str(file))).unlink(missing_ok=True)


def _put_back(name: str, module: Any) -> None:
    sys.modules[name] = module
    package, _, child = name.rpartition(".")
    if package in sys.modules:
        setattr(sys.modules[package], child, module)


@dataclass(frozen=True)
class Loaded:
    "A config file read and checked, with the strategies it describes."

    config: LiveConfig
    content: dict[str, Any]  # the file's, secrets as ${NAMES}
    strategies: dict[str, BaseStrategy]  # enabled ones
    code: dict[str, str]  # identity of each one's code
    files: list[Path]  # what all of it was read from

    @property
    def keys(self) -> list[tuple[str, str]]:
        "Strategy and symbol of every runner, in the config's order."
        return [(name, symbol) for name in self.strategies for symbol in self.config.symbols_of(name)]


@dataclass(frozen=True)
class Changes:
    "The differences of two configs."

    added: list[str] = field(default_factory=list)  # strategies
    removed: list[str] = field(default_factory=list)
    changed: dict[str, dict[str, tuple[Any, Any]]] = field(default_factory=dict)  # strategy -> what -> (before, after)
    settings: dict[str, tuple[Any, Any]] = field(default_factory=dict)  # dotted path -> (before, after)
    timeframes: list[str] = field(default_factory=list)  # to be built from now on

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.settings)

    def lines(self) -> list[str]:
        "One line a difference: + added, - removed, ~ changed."
        inside = [
            (f"strategies.{name}.{what}", pair) for name, found in self.changed.items() for what, pair in found.items()
        ]
        return [
            *(f"+ strategies.{name}" for name in self.added),
            *(f"- strategies.{name}" for name in self.removed),
            *(
                f"~ {path}: {_shown(before)} -> {_shown(after)}"
                for path, (before, after) in [*inside, *self.settings.items()]
            ),
            *(f"+ timeframe {timeframe}" for timeframe in self.timeframes),
        ]

    def as_dict(self) -> dict[str, Any]:
        "The same as JSON: goes into the journal."

        def pairs(found: dict[str, tuple[Any, Any]]) -> dict[str, list[Any]]:
            return {path: list(pair) for path, pair in found.items()}

        return {
            "added": self.added,
            "removed": self.removed,
            "changed": {name: pairs(found) for name, found in self.changed.items()},
            "settings": pairs(self.settings),
            "timeframes": self.timeframes,
        }


def _shown(value: Any) -> str:
    return json.dumps(value, default=str)


def compare(before: Loaded, after: Loaded) -> Changes:
    "What is different in `after`."
    names = [
        *before.config.strategies,
        *(name for name in after.config.strategies if name not in before.config.strategies),
    ]
    both = [name for name in names if name in before.config.strategies and name in after.config.strategies]
    changed = {name: found for name in both if (found := _differences(_entry(before, name), _entry(after, name)))}
    return Changes(
        [n for n in names if n not in before.config.strategies],
        [n for n in names if n not in after.config.strategies],
        changed,
        _differences(_settings(before.config), _settings(after.config)),
        sorted(needed_timeframes(after) - needed_timeframes(before), key=lambda t: Timeframe(t).seconds),
    )


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    names = (
        ["enabled"]
        if before.get("enabled") != after.get("enabled")
        else [*before, *(name for name in after if name not in before)]
    )
    return {name: (before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)}


def _entry(loaded: Loaded, name: str) -> dict[str, Any]:
    """What one strategy's entry means, flat. Parameters count only while it is enabled: nothing else says what a
    disabled one's defaults are."""
    entry, strategy = loaded.config.strategies[name], loaded.strategies.get(name)
    if strategy is None:
        return {"enabled": False}
    meant = {
        "enabled": True,
        "class": entry.class_,
        "code": loaded.code[name],
        "symbols": loaded.config.symbols_of(name),
        "quantity": entry.quantity,
        "risk_per_trade_usd": entry.risk_per_trade_usd,
        "priority": entry.priority,
        "scenario": entry.scenario["hash"] if isinstance(entry.scenario, dict) else None,
    }
    return meant | {f"parameters.{key}": value for key, value in strategy.parameters().items()}


def _settings(config: LiveConfig) -> dict[str, Any]:
    "Everything but the strategies, by dotted path; secrets as the hash that tells whether they changed."
    found: dict[str, Any] = {}
    for section in ("databento", "execution", "engine", "logging", "watch"):
        for name, info in type(getattr(config, section)).model_fields.items():
            found |= _flat(f"{section}.{info.alias or name}", getattr(getattr(config, section), name))
    return found


def _flat(path: str, value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {k: v for key, part in value.items() for k, v in _flat(f"{path}.{key}", part).items()}
    if hasattr(value, "get_secret_value"):
        value = f"(hidden {content_hash(value.get_secret_value())[:4]})"
    return {path: str(value) if isinstance(value, Path) else value}


def needed_timeframes(loaded: Loaded) -> set[Timeframe]:
    "What its strategies and charts are built from."
    return {
        Timeframe(1),
        *map(Timeframe, loaded.config.engine.timeframes),
        *(t for strategy in loaded.strategies.values() for t in strategy.timeframes),
    }


RESTART = (
    "databento",
    "execution.crosstrade_api_key",
    "execution.crosstrade_base_url",
    "execution.account",
    "execution.dry_run",
    "engine.journal",
    "logging",
    "watch",
)


def refuse_fixed(changes: Changes) -> list[ConfigError]:
    "An error for each setting that cannot change while the engine runs."
    fixed = [
        path for path in changes.settings if any(path == start or path.startswith(f"{start}.") for start in RESTART)
    ]
    return [
        ConfigError(
            path.rpartition(".")[2],
            changes.settings[path][1],
            f"cannot change from {changes.settings[path][0]!r} while the engine runs",
            "restart the engine, or put it back",
            path,
        )
        for path in fixed
    ]


_log = logging.getLogger("futures_algo.engine.reload")
UNREADABLE_LOOKS = 2  # looks at the same unreadable file before it is called a mistake: an editor may be writing it


class StrategyLoader:
    "The strategies of a config file, kept as the file says."

    def __init__(
        self,
        config_path: "str | Path",
        bar_aggregator: (
            BarAggregator | None
        ) = None,  # gets the strategies' timeframes, and warms new strategies from its bars
        *,
        changes: Mapping[str, Any] | None = None,  # laid over the file each time it is read
        variables: Mapping[str, str] | None = None,  # what ${VARIABLES} mean; the environment and .env when omitted
        runners: list[StrategyRunner] | None = None,  # running ones of this config; made here when omitted
    ) -> None:
        self.path, self.aggregator = Path(config_path), bar_aggregator
        self._overlay, self._variables = dict(changes or {}), variables
        self._modules: set[str] = set()
        self.running = self._load()
        self.errors: list[FuturesAlgoError] = []  # of the file as it is now; empty while it is what runs
        self.next: tuple[Loaded, Changes] | None = None  # checked, waiting to be applied
        self._seen, self._judged, self._unreadable = self._stamps(), self._text(), 0
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self.runners = (
            runners if runners is not None else [self.make_runner(self.running, *key) for key in self.running.keys]
        )
        if self.aggregator is not None and runners is None:
            self._extend(self.running)

    # --- reading

    def _load(self) -> Loaded:
        "Read and check everything; raises `FuturesAlgoError` and leaves no trace then."
        content = merge(read_config(self.path), self._overlay)
        variables = environment(self.path.parent) if self._variables is None else dict(self._variables)
        config = parse_config(content, variables, self.path.name, self.path.parent)
        paths = {name: entry.class_ for name, entry in config.strategies.items() if entry.enabled}
        with fresh_modules(self._modules, self._code_files()):
            built = {name: self._build(name, config) for name in paths}
            check_config(config)
        strategies, code = {name: one[0] for name, one in built.items()}, {name: one[2] for name, one in built.items()}
        self._modules |= {module for one in built.values() for module in one[1] if module}
        scenarios = [
            self.path.parent / str(record["file"])
            for entry in config.strategies.values()
            if isinstance(record := entry.scenario, dict)
        ]
        return Loaded(
            config,
            content,
            strategies,
            code,
            list(dict.fromkeys([self.path, *scenarios, *(file for one in built.values() for file in one[1].values())])),
        )

    def _build(self, name: str, config: LiveConfig) -> tuple[BaseStrategy, dict[str, Path], str]:
        """One strategy, the files of its code by module, and the code's identity. The code is the user's and may raise
        anything; what it raises is told with its place."""
        path = f"strategies.{name}"
        try:
            strategy = build_strategy(name, config.strategies[name])
            refuse_scalar_code(strategy)
            files = code_files(config.strategies[name].class_, type(strategy))
            return strategy, files, strategy_fingerprint(type(strategy))
        except ConfigError:
            raise
        except InputError as error:
            raise ConfigError(error.subject, error.value, error.rule, error.remedy, path) from error
        except (
            Exception
        ) as error:  # the boundary to the user's code: the strategies that run must go on whatever it does
            raise ConfigError(
                "class",
                config.strategies[name].class_,
                f"must run, and raised {type(error).__name__}: {error}",
                "mend the code",
                f"{path}.class",
            ) from error

    def _code_files(self) -> list[Path]:
        return [file for file in self.running.files if file.suffix == ".py"] if hasattr(self, "running") else []

    def _import_class(self, class_path: str) -> type:
        "The class behind a path."
        return import_class(class_path)

    # --- looking

    def look(self) -> bool:
        "Look at the files once; True when there is news: `next` to apply, or `errors`."
        doubtful = (
            self._unreadable or self.errors
        )  # looked at again whatever its time says: what is wrong may stand in a file that is not followed yet
        if (stamps := self._stamps()) == self._seen and not doubtful:
            return False
        text, self._seen = self._text(), stamps
        if text == self._judged and not doubtful:
            return False
        if text != self._judged:
            self._unreadable = 0
        self._judged = text
        return self._read()

    def look_now(self) -> bool:
        "Look whether or not a file seems changed; what cannot be read is a mistake at once."
        self._seen, self._judged, self._unreadable = self._stamps(), self._text(), UNREADABLE_LOOKS
        return self._read()

    def _read(self) -> bool:
        try:
            loaded = self._load()
        except (FuturesAlgoError, OSError, UnicodeError) as found:
            error = (
                found
                if isinstance(found, FuturesAlgoError)
                else ConfigError(
                    "config file",
                    self.path.name,
                    f"must be readable, with what stands beside it ({found})",
                    "save it as UTF-8 text",
                )
            )
            self._unreadable += _is_unreadable(error)
            if 0 < self._unreadable < UNREADABLE_LOOKS:
                return False
            return self._news(None, list(getattr(error, "errors", [error])))
        changes = compare(self.running, loaded)
        return self._news((loaded, changes), refuse_fixed(changes))

    def _news(self, found: tuple[Loaded, Changes] | None, errors: list[Any]) -> bool:
        "Keep what was found; True when it is not what was known before."
        known, self.errors, self._unreadable = list(map(str, self.errors)), errors, 0
        if found and not found[1]:
            self.running = found[0]  # the same in other words
        self.next = found if found and found[1] and not errors else None
        return self.next is not None or list(map(str, errors)) != known

    def _stamps(self) -> dict[Path, tuple[int, int] | None]:
        "Time and size of each file."
        return {file: _stamp(file) for file in [*self.running.files, self.path.parent / ".env"]}

    def _text(self) -> str:
        "Hash of what is in them."
        return content_hash([_hash(file) for file in self.running.files + [self.path.parent / ".env"]])

    # --- applying

    def apply(self, warm_up: Callable[[StrategyRunner], int]) -> Changes:
        """Put `next` in the place of what runs: runners of changed strategies are replaced, those of others stay the
        very objects they are."""
        loaded, changes = cast(tuple[Loaded, Changes], self.next)
        runners = {(runner.name, runner.symbol): runner for runner in self.runners}
        fresh = [self._next_runner(loaded, changes, key, runners.get(key), warm_up) for key in loaded.keys]
        self.runners, self.running, self.next = fresh, loaded, None
        return changes

    def _next_runner(
        self,
        loaded: Loaded,
        changes: Changes,
        key: tuple[str, str],
        old: StrategyRunner | None,
        warm_up: Callable[[StrategyRunner], Any],
    ) -> StrategyRunner:
        what = set(changes.changed.get(key[0], ()))
        if old is not None and not any(part in ("class", "code") or part.startswith("parameters.") for part in what):
            if "quantity" in what:
                old.sizing = self.make_runner(loaded, *key).sizing
            return old
        runner = self.make_runner(loaded, *key)
        warm_up(runner)
        if old is not None:
            runner.take_over(old)
        return runner

    @staticmethod
    def make_runner(loaded: Loaded, name: str, symbol: str) -> StrategyRunner:
        "A runner of one strategy on one symbol that has seen nothing."
        return StrategyRunner(loaded.strategies[name], name, symbol, loaded.config.strategies[name].quantity)

    # --- on its own, without an engine

    def start_watching(self) -> None:
        """Look at the file every `engine.reload_seconds` in a thread; what it finds is applied by the next
        `get_active_strategies`."""
        if self._thread is not None:
            return
        self._stopping.clear()
        self._thread = threading.Thread(target=self._watch, name="strategy-loader", daemon=True)
        self._thread.start()

    def stop_watching(self) -> None:
        "End the thread."
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self._thread = None

    def _watch(self) -> None:
        while not self._stopping.wait(self.running.config.engine.reload_seconds):
            self._check_and_reload()

    def _check_and_reload(self) -> None:
        if not self.look():
            return
        for error in self.errors:
            _log.error("%s: %s", self.path.name, error)
        if self.next:
            _log.info("%s: %s", self.path.name, "; ".join(self.next[1].lines()))

    def get_active_strategies(self) -> list[StrategyRunner]:
        """A runner for each enabled strategy and symbol. Call it between two bars: a change that was found is applied
        here."""
        if self.next is not None:
            self._extend(self.next[0])
            self.apply(self._warm_from_aggregator)
        return list(self.runners)

    def _extend(self, loaded: Loaded) -> None:
        if self.aggregator is None:
            return
        aggregator = self.aggregator
        wanted, have = needed_timeframes(loaded), aggregator.get_available_timeframes()
        finest = have[0] if have else None
        extend(aggregator, wanted, lambda symbol: aggregator.get_bars(symbol, finest, _ALL) if finest else [])

    def _warm_from_aggregator(self, runner: StrategyRunner) -> int:
        if self.aggregator is None:
            return 0
        return warm(
            runner,
            [
                bar
                for timeframe in runner.timeframes
                for bar in self.aggregator.get_bars(runner.symbol, timeframe, _ALL)
            ],
        )


_ALL = 1_000_000  # bars: as many as are kept


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _hash(file: Path) -> str | None:
    try:
        return hashlib.blake2b(file.read_bytes()).hexdigest() if file.is_file() else None
    except OSError:
        return None  # held by an editor, or gone between two looks


def _is_unreadable(error: FuturesAlgoError) -> bool:
    "Whether the file may just be being written: it is missing or no whole JSON, or a class's file no whole Python."
    return isinstance(error, ConfigError) and error.subject == "config file" or "SyntaxError" in str(error)
