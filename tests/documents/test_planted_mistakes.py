"Fifty drawn mistakes in the shipped config, a key misspelt, moved or retyped: each is refused by its path."

import copy
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from documents import KEYS

from futures_algo.core.paths import PROJECT
from futures_algo.engine.build import mistakes_in

SHIPPED = json.loads((PROJECT / "config/live_trading_config.json").read_text())
SIMPLE = json.loads((PROJECT / "config/execution_config.json").read_text())
FULL = SHIPPED | {
    "execution": SHIPPED["execution"]
    | {
        "poll_seconds": 1.0,
        "reconcile_seconds": 60.0,
        "limits": {
            "max_signal_age_s": 90.0,
            "max_position_contract": 5,
            "max_daily_loss_usd": 800.0,
            "trading_windows": [["08:30", "15:00"]],
        },
    },
    "watch": {"alert_kinds": ["alarm"], "repeat_seconds": 300.0, "metrics_port": 9100},
    "logging": {"folder": "logs", "level": "INFO"},
}
NAMES = {"strategies", "indicators_by_timeframe"}  # whose keys are names the user gives, or a timeframe's


def keys_of(content: dict, path: tuple = ()) -> Iterator[tuple]:
    "The path of every key that has a meaning, deepest last."
    for key, value in content.items():
        if path != ("strategies",):
            yield (*path, key)
        if isinstance(value, dict):
            yield from keys_of(value, (*path, key))


def at(content: dict, path: tuple) -> dict:
    for step in path:
        content = content[step]
    return content


def misspelt(content: dict, path: tuple, chance: random.Random) -> str:
    "Two letters swapped, one lost or one doubled."
    holder, key = at(content, path[:-1]), path[-1]
    place = chance.randrange(len(key))
    wrong = chance.choice([key[:place] + key[place + 1 :], key[: place + 1] + key[place:], key + "_", f"x{key}"])
    holder[wrong] = holder.pop(key)
    return ".".join((*path[:-1], wrong))


def moved(content: dict, path: tuple, chance: random.Random) -> str:
    "The key stands in another object."
    places = [()] + [p for p in keys_of(content) if isinstance(at(content, p), dict)]
    allowed = [p for p in places if p != path[:-1] and p[: len(path)] != path and path[-1] not in at(content, p)]
    allowed = [p for p in allowed if p != ("strategies",)]  # there it would be a strategy's name
    place = chance.choice(allowed)
    at(content, place)[path[-1]] = at(content, path[:-1]).pop(path[-1])
    return ".".join((*place, path[-1]))


def retyped(content: dict, path: tuple, chance: random.Random) -> str:
    "The value is of another kind."
    holder, key = at(content, path[:-1]), path[-1]
    others = ["some text", 12.75, True, ["a", 1], {"one": 1}, float("nan"), str(holder[key])]
    is_number = lambda value: isinstance(value, (int, float)) and not isinstance(value, bool)
    kind = lambda value: "number" if is_number(value) and value == value else type(value)
    holder[key] = chance.choice([other for other in others if kind(other) != kind(holder[key])])
    return ".".join(path)


def planted(seed: int, whole: dict) -> tuple[str, dict, str]:
    "The kind of mistake, the content with it, and its path."
    chance = random.Random(seed)
    content = copy.deepcopy(whole)
    plant = chance.choice((misspelt, moved, retyped))
    path = chance.choice(list(keys_of(content)))
    return f"{plant.__name__} {'.'.join(path)}", content, plant(content, path, chance)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "live_scenario_config.json").write_text((PROJECT / "config/live_scenario_config.json").read_text())
    return tmp_path


def paths_of(folder: Path, content: dict) -> list[str]:
    (file := folder / "config.json").write_text(json.dumps(content))
    return [mistake.path for mistake in mistakes_in(file)]


def is_named(path: str, found: list[str]) -> bool:
    "The very key, or what it lies in or holds, when that already is of the wrong kind."
    return any(one == path or one.startswith(f"{path}.") for one in found)


def test_what_is_planted_in_is_fine_before(folder):
    assert paths_of(folder, FULL) == [] == paths_of(folder, SIMPLE)


@pytest.mark.parametrize("seed", range(60))
def test_a_planted_mistake_is_refused_by_its_path(folder, seed):
    what, content, path = planted(seed, FULL)
    found = paths_of(folder, content)
    assert is_named(path, found), f"{what}: planted at {path}, found {found}"


@pytest.mark.parametrize("seed", range(40))
def test_a_planted_mistake_in_the_scripts_file_is_refused_by_its_path(folder, seed):
    chance = random.Random(seed)
    content = copy.deepcopy(SIMPLE)
    path = chance.choice(list(keys_of(content)))
    wrong = chance.choice((misspelt, retyped))(content, path, chance)
    assert is_named(wrong, paths_of(folder, content)), (path, wrong)


def test_five_mistakes_are_five_errors(folder):
    content = copy.deepcopy(FULL)
    content["databento"]["replay_hours"] = "24"
    content["strategies"]["macd_cci_27min"]["indicators_by_timeframe"]["27mn"] = {}
    content["strategies"]["bullish_cci_es"]["parameters"]["legnth"] = 3
    content["strategies"]["bullish_cci_nq"]["symbols"] = ["CL.c.0"]
    content["execution"]["limits"]["max_postion_contract"] = 3
    assert len(paths_of(folder, content)) == 5


def test_the_verb_prints_each_by_its_path(folder):
    _, content, path = planted(3, FULL)
    (file := folder / "config.json").write_text(json.dumps(content))
    command = [sys.executable, "-m", "futures_algo", "validate-config", str(file), "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    document = json.loads(done.stdout.strip().splitlines()[-1])
    assert done.returncode == 1 and not document["ok"]
    assert is_named(path, [row["path"] for row in document["errors"]])
