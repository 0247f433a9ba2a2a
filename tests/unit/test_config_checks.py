"Every check of a config, each by a bad file: the message names the place, the value, the rule and what to do."

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from futures_algo.config.loading import load_config
from futures_algo.config.mistakes import ConfigErrors
from futures_algo.core.types import ConfigError, InputError
from futures_algo.engine.build import check_config
from futures_algo.live.system import LiveTradingSystem

CLASS = "futures_algo.strategies.MACDCCIStrategy"
NOTHING = object()


class Bad(NamedTuple):
    "A file with one mistake."

    place: str  # dotted: what is set to `value`
    value: Any  # NOTHING takes it away
    rule: str  # in the message
    remedy: str  # in the message
    path: str = ""  # in the message; the place when omitted
    told: Any = None  # the value in the message; the one set when omitted


MINE = "strategies.mine"
CLASS_REMEDY, LEAVE = "futures_algo.strategies.MACDCCIStrategy", "the default is"
FILES = [
    # required
    Bad("databento", NOTHING, "is required", "add it", "databento.symbols"),
    Bad("databento.symbols", NOTHING, "is required", "add it"),
    Bad("strategies", NOTHING, "is required", "add it"),
    Bad("strategies", {}, "must not be empty", "my_strategy"),
    Bad(f"{MINE}.class", NOTHING, "is required", "add it"),
    Bad(f"{MINE}.enabled", False, "must have at least one enabled", "set enabled to true", "strategies", ["mine"]),
    # shape and spelling
    Bad("databento.shema", "ohlcv-1s", "is not a known setting", "did you mean 'schema'?"),
    Bad("execution.dry_rum", False, "is not a known setting", "did you mean 'dry_run'?"),
    Bad("extra", 1, "is not a known setting", "known: databento"),
    Bad("execution", 5, "must be an object", "guide"),
    Bad(MINE, 7, "must be an object", "class"),
    Bad("databento.symbols", "ES.c.0", "must be a list", '["ES.c.0", "NQ.c.0"]'),
    Bad("databento.schema", "mbo", "must be 'ohlcv-1s' or 'ohlcv-1m'", LEAVE),
    Bad("databento.replay_hours", 48, "must be at most 24", LEAVE),
    Bad("databento.port", "13000", "must be a whole number", LEAVE),
    Bad("databento.heartbeat_s", 1, "must be at least 5", LEAVE),
    Bad(f"{MINE}.quantity", 0, "must be at least 1", "contracts an entry"),
    Bad(f"{MINE}.quantity", 1.5, "must be a whole number", "contracts an entry"),
    Bad(f"{MINE}.quantity", True, "must be a whole number", "contracts an entry"),
    Bad(f"{MINE}.priority", "first", "must be a whole number", "smaller goes first"),
    Bad(f"{MINE}.enabled", "yes", "must be true or false", LEAVE),
    Bad(f"{MINE}.risk_per_trade_usd", -5, "must be above 0", "dollars one trade may lose"),
    Bad(f"{MINE}.risk_per_trade_usd", 100, "needs a stop to size by", "give the strategy stop_ticks"),
    Bad("execution.dry_run", "false", "must be true or false", "--live"),
    Bad("execution.account", "", "must not be empty", "account Name"),
    Bad("engine.on_start", "maybe", "must be 'flat', 'adopt' or 'align'", LEAVE),
    Bad("engine.on_stop", "maybe", "must be 'leave', 'flatten' or 'protect'", LEAVE),
    Bad("engine.on_remove", "maybe", "must be 'flatten' or 'keep'", LEAVE),
    Bad("engine.reload_seconds", 0, "must be above 0", LEAVE),
    Bad("watch.metrics_port", 99999, "must be below 65536", "null serves none"),
    Bad("logging.level", "LOUD", "must be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'", LEAVE),
    # symbols
    Bad("databento.symbols", ["ESZ5"], "must be ROOT.RULE.RANK", "write it as 'ES.c.0'", told="ESZ5"),
    Bad("databento.symbols", ["EZ.c.0"], "must belong to a known product", "known: 1OZ", told="EZ.c.0"),
    Bad("databento.symbols", ["ES.c.0", "ES.c.0"], "must not repeat", "name each symbol once"),
    Bad(f"{MINE}.symbols", ["NQ.v.0"], "must be one of the feed's", "did you mean 'NQ.c.0'?", told="NQ.v.0"),
    Bad(f"{MINE}.symbols", ["ES.c.0", "ES.c.0"], "must not repeat", "name each symbol once"),
    Bad(f"{MINE}.symbols", [], "must not be empty", "null is all of the feed's"),
    # classes
    Bad(f"{MINE}.class", "nowhere.Strategy", "must be importable", CLASS_REMEDY),
    Bad(f"{MINE}.class", "nowhere.py:Strategy", "must be importable", "my/file.py:MyStrategy"),
    Bad(
        f"{MINE}.class",
        "futures_algo.strategies.MACDCIStrategy",
        "must be defined in futures_algo.strategies",
        "did you mean 'MACDCCIStrategy'?",
    ),
    Bad(
        f"{MINE}.class",
        "futures_algo.core.types.Bar",
        "must be a BaseStrategy",
        "derive it from futures_algo.BaseStrategy",
    ),
    Bad(f"{MINE}.class", 5, "must be a text", "package.module.Class"),
    # timeframes
    Bad(f"{MINE}.timeframes", [0], "must be a positive whole number", "write 27", told=0),
    Bad(f"{MINE}.timeframes", [-5], "must be a positive whole number", "write 27", told=-5),
    Bad(f"{MINE}.timeframes", [2.5], "must be a positive whole number", "write 27", told=2.5),
    Bad(f"{MINE}.timeframes", [5], "must be one the strategy's indicators use", "did you mean '6min'?", told="5min"),
    Bad("engine.timeframes", ["daily"], "must be a positive whole number", "write 27", told="daily"),
    Bad(
        f"{MINE}.indicators_by_timeframe",
        {"0min": {}},
        "must be a positive whole number",
        "write 27",
        f"{MINE}.indicators_by_timeframe.0min",
        "0min",
    ),
    Bad(
        f"{MINE}.indicators_by_timeframe",
        {"5min": {}},
        "must be one the strategy's indicators use",
        "did you mean '6min'?",
        told="5min",
    ),
    # parameters
    Bad(f"{MINE}.parameters.length", 1, "must be at least 2", "the default is 35"),
    Bad(f"{MINE}.parameters.length", 10**6, "must be at most 500", "the default is 35"),
    Bad(f"{MINE}.parameters.length", math.nan, "must be a whole number", "the default is 35"),
    Bad(f"{MINE}.parameters.length", "20", "must be a whole number", "the default is 35"),
    Bad(f"{MINE}.parameters.threshold", math.inf, "must be a finite number", "the default is -100.0"),
    Bad(f"{MINE}.parameters.threshold", -math.inf, "must be a finite number", "the default is -100.0"),
    Bad(f"{MINE}.parameters.lenght", 20, "is not one it has", "did you mean 'length'?", told="lenght"),
    Bad(f"{MINE}.parameters.fast", 30, "must be below slow, 26", "swap them"),
    Bad(
        f"{MINE}.parameters",
        {"length": 4, "fast": 5},
        "must not contradict",
        "give it once",
        f"{MINE}.indicators_by_timeframe.6min.cci.parameters.length",
        35,
    ),
    Bad("databento.replay_hours", math.nan, "must be a finite number", LEAVE),
    # limits
    Bad(
        "execution.limits.max_position",
        3,
        "is not a known one",
        "did you mean 'max_position_account'?",
        told="max_position",
    ),
    Bad("execution.limits.max_position_contract", -1, "zero or more", "write null for no limit"),
    Bad("execution.limits.max_position_contract", 1.5, "must be a whole number", "write null for no limit"),
    Bad("execution.limits.max_daily_loss_usd", "500", "zero or more", "write null for no limit"),
    Bad("execution.limits.max_daily_loss_usd", math.inf, "zero or more", "write null for no limit"),
    Bad(
        "execution.limits.trading_windows", [["8", "25:00"]], "must be two times of day", '"08:30"', told=("8", "25:00")
    ),
    Bad(
        "execution.limits.blackouts",
        [["2025-01-02T00:00Z", "2025-01-01T00:00Z"]],
        "must end after it starts",
        "swap",
        told=("2025-01-02T00:00Z", "2025-01-01T00:00Z"),
    ),
    # variables
    Bad(
        "databento.api_key",
        "${NEVER_SET_ANYWHERE}",
        "must be set and not empty",
        "export NEVER_SET_ANYWHERE=... or write it into .env",
    ),
    Bad("execution.account", "${SET_BUT_EMPTY}", "must be set and not empty", "export SET_BUT_EMPTY"),
    Bad("databento.api_key", 12345, "must be a text", "${VARIABLE}", told="(hidden)"),
]


def good() -> dict:
    return {
        "databento": {"symbols": ["ES.c.0", "NQ.c.0"]},
        "execution": {},
        "engine": {},
        "logging": {},
        "strategies": {"mine": {"class": CLASS, "indicators_by_timeframe": {"6min": {"cci": {"parameters": {}}}}}},
    }


def write(folder: Path, bad: Bad) -> Path:
    content = good()
    if bad.rule == "must not contradict":
        content["strategies"]["mine"]["indicators_by_timeframe"]["6min"]["cci"]["parameters"]["length"] = 35
    *parents, name = bad.place.split(".")
    holder = content
    for parent in parents:
        holder = holder.setdefault(parent, {})
    holder[name] = bad.value
    if bad.value is NOTHING:
        del holder[name]
    return text(folder, json.dumps(content))


def text(folder: Path, content: str) -> Path:
    (folder / "config.json").write_text(content)
    return folder / "config.json"


def mistakes(file: Path) -> list[InputError]:
    "What `validate-config` names."
    try:
        check_config(load_config(file))
    except ConfigErrors as found:
        return found.errors
    except InputError as found:
        return [found]
    return []


@pytest.fixture(autouse=True)
def keys(monkeypatch):
    for name, value in {
        "DATABENTO_API_KEY": "db-0123456789",
        "CROSSTRADE_API_KEY": "token-0123456789",
        "SET_BUT_EMPTY": "  ",
    }.items():
        monkeypatch.setenv(name, value)


def test_the_file_the_bad_ones_are_made_of_is_good(tmp_path):
    assert mistakes(text(tmp_path, json.dumps(good()))) == []


@pytest.mark.parametrize(
    "bad", FILES, ids=lambda bad: f"{bad.place}={bad.value if bad.value is not NOTHING else 'missing'}"[:60]
)
def test_a_bad_file_is_named_by_path_value_rule_and_remedy(tmp_path, bad):
    (found,) = mistakes(write(tmp_path, bad))
    given = None if bad.value is NOTHING else bad.value
    told = given if bad.told is None else bad.told
    assert found.path == (bad.path or bad.place)
    assert found.value == told or repr(found.value) == repr(told)  # nan is not equal to itself
    assert bad.rule in found.rule and bad.remedy in found.remedy
    assert found.path in str(found) and found.rule in str(found) and found.remedy in str(found)


@pytest.mark.parametrize(
    "content, path, value, rule",
    [
        (
            '{"databento": {"symbols": ["ES.c.0"]}, "strategies": {"mine": {"class": "x"}, "mine": {"class": "y"}}}',
            "strategies.mine",
            "mine",
            "must not stand twice in one object",
        ),
        (
            '{"databento": {"symbols": ["ES.c.0"], "symbols": ["NQ.c.0"]}, "strategies": {}}',
            "databento.symbols",
            "symbols",
            "must not stand twice in one object",
        ),
        (
            '{"strategies": {"mine": {"parameters": {"length": 5, "length": 6}}}}',
            "strategies.mine.parameters.length",
            "length",
            "must not stand twice in one object",
        ),
        ('{"databento": {,}}', "config.json line 1 column 16", "config.json", "must be valid JSON"),
        ('{"databento": {"symbols": ["ES.c.0"', "config.json line 1 column 36", "config.json", "must be valid JSON"),
        ("[]", "", "config.json", "must hold one JSON object"),
        ("", "config.json line 1 column 1", "config.json", "must be valid JSON"),
    ],
    ids=["strategy twice", "setting twice", "parameter twice", "comma", "cut", "list", "empty"],
)
def test_a_file_that_is_not_one_config_is_named_by_its_place(tmp_path, content, path, value, rule):
    (found,) = mistakes(text(tmp_path, content))
    assert (found.path, found.value) == (path, value) and rule in found.rule and found.remedy


def test_a_file_that_is_not_text_is_named(tmp_path):
    (tmp_path / "config.json").write_bytes(b"\xff\xfe{}")
    (found,) = mistakes(tmp_path / "config.json")
    assert "must be a readable UTF-8 file" in found.rule and found.remedy


def test_all_mistakes_of_a_files_values_are_named_at_once(tmp_path):
    content = good() | {"engine": {"on_stop": "x", "reload_seconds": 0}, "logging": {"levl": "INFO"}}
    assert {error.path for error in mistakes(text(tmp_path, json.dumps(content)))} == {
        "engine.on_stop",
        "engine.reload_seconds",
        "logging.levl",
    }


def test_live_needs_both_the_config_and_the_flag(tmp_path):
    file = text(tmp_path, json.dumps(good()))
    with pytest.raises(ConfigError) as caught:
        LiveTradingSystem(file, live=True)
    assert (
        (caught.value.path, caught.value.value) == ("execution.dry_run", True)
        and "must be false" in caught.value.rule
        and "--live" in caught.value.remedy
    )
    file = text(tmp_path, json.dumps(good() | {"execution": {"dry_run": False}}))
    assert (LiveTradingSystem(file).mode, LiveTradingSystem(file, live=True).mode) == ("dry_run", "live")
