"""A scenario is traded only while it is what was validated: every other file is refused with its path, value, rule and
remedy."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from futures_algo.config.loading import load_config, parse_config, read_config
from futures_algo.config.mistakes import ConfigErrors
from futures_algo.config.scenario import (
    Scenario,
    TypedParameter,
    bars_hash,
    code_hash,
    data_range,
    make_scenario,
    plain,
    read_scenario,
    save_to_live,
    scenario_of_run,
    scenarios_text,
    typed_parameters,
    write_scenario,
)
from futures_algo.core.types import ConfigError, InputError
from futures_algo.engine.build import build_runners, check_config
from futures_algo.research.trades import Costs
from futures_algo.sim.market import generate_minutes
from futures_algo.strategies import MACDCCIStrategy, OpeningRangeBreakout, SimpleBullishCCIStrategy

KEYS = {"DATABENTO_API_KEY": "db-0123456789", "CROSSTRADE_API_KEY": "token-0123456789"}
CLASS = "futures_algo.strategies.SimpleBullishCCIStrategy"
OWN = """
from futures_algo import BaseStrategy
from futures_algo.indicators.base import Param
from futures_algo.indicators import CCI
LEVEL = {level}
def deep(x): return x.cci < LEVEL
class OwnStrategy(BaseStrategy):
    "Its words do not count."
    length: int = Param(20, low=2, high=100)
    bars_held = 5
    def indicators(self): return {{"5min": CCI(self.length)}}
    def entry(self, x): return deep(x)
"""


@pytest.fixture(scope="module")
def bars():
    return generate_minutes("ES.c.0", sessions=3)


@pytest.fixture
def scenario(bars) -> Scenario:
    gates = [{"symbol": "ES.c.0", "name": "trades", "value": 41, "limit": 30, "passed": True}]
    return make_scenario(
        "mine",
        SimpleBullishCCIStrategy(length=18, stop_ticks=40),
        bars,
        Costs(),
        class_path=CLASS,
        gates=gates,
        created="2025-11-21T10:00:00Z",
    )


@pytest.fixture
def folder(tmp_path, scenario, monkeypatch) -> Path:
    "A config that refers to a scenario beside it."
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    write_scenario(tmp_path / "live_scenario_config.json", scenario)
    write_config(tmp_path)
    return tmp_path


def write_config(folder: Path, **entry) -> Path:
    content = {
        "databento": {"symbols": ["ES.c.0", "NQ.c.0"]},
        "strategies": {"mine": {"scenario": "live_scenario_config.json"} | entry},
    }
    (folder / "live.json").write_text(json.dumps(content))
    return folder / "live.json"


def change(folder: Path, seal: bool = False, **fields) -> None:
    "Plant other values in the file; `seal` gives it the hash of what it then says."
    file = folder / "live_scenario_config.json"
    document = json.loads(file.read_text())
    document["scenarios"]["mine"] |= fields
    if seal:
        document["scenarios"]["mine"]["hash"] = Scenario.model_validate(document["scenarios"]["mine"]).content()
    file.write_text(json.dumps(document))


def refusal(folder: Path) -> ConfigError:
    "What the live config answers; it has a path, a rule and a remedy."
    with pytest.raises((ConfigError, ConfigErrors)) as caught:
        check_config(load_config(folder / "live.json"))
    error = getattr(caught.value, "errors", [caught.value])[0]
    assert error.path.startswith("strategies.mine") and error.rule and error.remedy, error
    return error


# --- what is written is what is read


def test_a_scenario_comes_back_as_it_was_written(tmp_path, scenario):
    assert read_scenario(write_scenario(tmp_path / "s.json", scenario)) == scenario


def test_the_same_scenario_gives_the_same_bytes(tmp_path, scenario):
    first, second = (write_scenario(tmp_path / name, scenario).read_bytes() for name in ("a.json", "b.json"))
    assert first == second


def test_only_the_time_differs_between_two_runs(tmp_path, scenario, bars):
    later = make_scenario(
        "mine",
        SimpleBullishCCIStrategy(length=18, stop_ticks=40),
        bars,
        Costs(),
        class_path=CLASS,
        gates=plain([gate.model_dump() for gate in scenario.gates]),
    )
    texts = [
        write_scenario(tmp_path / name, one).read_text().splitlines()
        for name, one in (("a.json", scenario), ("b.json", later))
    ]
    assert [a.strip().split('"')[1] for a, b in zip(*texts, strict=True) if a != b] == [
        "created"
    ] and later.hash == scenario.hash


def test_a_strategys_other_scenarios_stay_as_they_are(tmp_path, scenario, bars):
    file = write_scenario(tmp_path / "s.json", scenario)
    write_scenario(file, make_scenario("another", MACDCCIStrategy(), bars, Costs()))
    assert read_scenario(file, "mine") == scenario and read_scenario(file, "another").values()["fast"] == 12


def test_a_write_that_fails_leaves_the_file_that_was(tmp_path, scenario):
    file = write_scenario(tmp_path / "s.json", scenario)
    before = file.read_bytes()
    with pytest.raises(ConfigError, match="the hash of what the scenario says"):
        write_scenario(file, scenario.model_copy(update={"note": "changed"}))
    assert file.read_bytes() == before and [path.name for path in tmp_path.iterdir()] == ["s.json"]


@pytest.mark.parametrize(
    "strategy",
    [
        MACDCCIStrategy(threshold=-50, fast=10),
        OpeningRangeBreakout(minutes=15, stop_ticks=12.5),
        SimpleBullishCCIStrategy(timeframe="15min"),
    ],
)
def test_parameters_keep_their_types_through_the_file(tmp_path, strategy, bars):
    again = read_scenario(write_scenario(tmp_path / "s.json", make_scenario("mine", strategy, bars, Costs()))).values()
    assert again == strategy.parameters() and {name: type(value) for name, value in again.items()} == {
        name: type(value) for name, value in strategy.parameters().items()
    }
    assert type(strategy)(**again).config_hash() == strategy.config_hash()


def test_a_whole_number_is_a_float_where_the_type_says_so(scenario):
    value = scenario.model_copy(
        update={"parameters": {"threshold": TypedParameter(type="float", value=-100)}}
    ).values()["threshold"]
    assert type(value) is float and value == -100.0


def test_what_json_cannot_hold_is_written_as_null_or_text():
    assert plain({"a": np.float64("nan"), "b": np.inf, "c": np.int64(3), "d": (np.bool_(True), -np.inf)}) == {
        "a": None,
        "b": "inf",
        "c": 3,
        "d": [True, "-inf"],
    }


# --- identity of data and code


@pytest.mark.parametrize("column", ["start", "end", "open", "high", "low", "close", "volume"])
def test_one_changed_number_changes_the_hash_of_the_bars(bars, column):
    values = getattr(bars, column).copy()
    values[len(values) // 2] += 1
    assert bars_hash(replace(bars, **{column: values})) != bars_hash(bars) == bars_hash(bars[:])


def test_symbol_timeframe_and_contract_belong_to_the_hash_and_unused_contracts_do_not(bars):
    others = [
        replace(bars, symbol="MES.c.0"),
        replace(bars, timeframe="2min"),
        replace(bars, contracts=tuple(name + "0" for name in bars.contracts)),
    ]
    assert bars_hash(bars) not in map(bars_hash, others)
    assert bars_hash(replace(bars, contracts=("OLD", *bars.contracts), contract=bars.contract + 1)) == bars_hash(bars)


def test_an_empty_range_is_refused(bars):
    with pytest.raises(InputError, match="must not be empty"):
        data_range(bars[:0])


def test_code_is_the_class_and_what_it_uses_of_its_file_but_not_its_words(tmp_path):
    file = tmp_path / "own.py"

    def code(text: str) -> str:
        file.write_text(text)
        return code_hash(f"{file}:OwnStrategy")

    first = code(OWN.format(level=-100))
    assert (
        code(
            OWN.format(level=-100)
            .replace("Its words", "Other words")
            .replace("bars_held = 5", "bars_held = 5   # a remark")
            + "\nUNUSED = 1\n"
        )
        == first
    )
    assert code(OWN.format(level=-101)) != first != code(OWN.format(level=-100).replace("x.cci <", "x.cci <="))


def test_a_class_of_a_notebook_cell_has_to_move_into_a_file_first(bars):
    local = type("Local", (SimpleBullishCCIStrategy,), {"__module__": "__main__"})
    with pytest.raises(ConfigError, match="file that live can import"):
        make_scenario("mine", local(), bars, Costs())


# --- the live config takes it


def test_the_engine_gets_class_parameters_symbols_and_timeframes_from_it(folder):
    config = load_config(folder / "live.json")
    runners = build_runners(config)
    assert [
        (runner.symbol, type(runner.strategy), runner.strategy.length, runner.strategy.stop_ticks) for runner in runners
    ] == [("ES.c.0", SimpleBullishCCIStrategy, 18, 40.0)]
    assert config.strategies["mine"].timeframes == ["5min"]


def test_the_content_the_journal_keeps_says_which_scenario_it_was(folder, scenario):
    entry = read_config(folder / "live.json")["strategies"]["mine"]
    assert (
        entry["scenario"]["hash"] == scenario.hash
        and entry["parameters"] == scenario.values()
        and entry["class"] == CLASS
    )


def test_another_scenario_is_another_config(folder, scenario, bars):
    from futures_algo.config.loading import config_hash

    before = config_hash(read_config(folder / "live.json"))
    write_scenario(
        folder / "live_scenario_config.json",
        make_scenario("mine", SimpleBullishCCIStrategy(length=19), bars, Costs(), class_path=CLASS, accepted=True),
    )
    assert config_hash(read_config(folder / "live.json")) != before


def test_quantity_priority_and_whether_it_runs_stay_the_configs(folder):
    entry = load_config(write_config(folder, quantity=3, priority=2, enabled=False)).strategies["mine"]
    assert (entry.quantity, entry.priority, entry.enabled) == (3, 2, False)


# --- refusals


def test_a_missing_file_is_refused(folder):
    (folder / "live_scenario_config.json").unlink()
    assert "must exist" in str(refusal(folder))


def test_a_file_cut_short_is_refused(folder):
    file = folder / "live_scenario_config.json"
    file.write_text(file.read_text()[:-30])
    with pytest.raises((ConfigError, ConfigErrors), match="valid JSON.*live_scenario_config.json line"):
        load_config(folder / "live.json")


@pytest.mark.parametrize("text", ["[]", "{}", '{"format": 2, "scenarios": {}}', '{"format": 1, "scenarios": []}'])
def test_another_format_is_refused(folder, text):
    (folder / "live_scenario_config.json").write_text(text)
    assert refusal(folder).subject in ("format", "config file")


def test_a_file_without_this_strategy_is_refused_with_the_closest_name(folder):
    file = folder / "live_scenario_config.json"
    file.write_text(file.read_text().replace('"mine": {', '"mien": {'))
    assert "did you mean 'mien'" in str(refusal(folder))


CHANGES = [
    ("parameters", {"length": {"type": "int", "value": 81}}),
    ("symbols", ["NQ.c.0"]),
    ("timeframes", ["1min"]),
    ("costs", {"commission_usd": 0.0, "slippage_ticks": 0.0}),
    ("quantity", 9),
    ("class", "futures_algo.strategies.RSIStrategy"),
    ("note", "other"),
    ("accepted", True),
    ("engine", {"name": "another"}),
    ("walk_forward", {"ES.c.0": {"retention": 1.0}}),
    ("statistics", {"ES.c.0": {"sharpe": 9.0}}),
    ("gates", []),
    ("code", "0" * 16),
    ("hash", "0" * 16),
    ("hash", ""),
    (
        "data",
        [
            {
                "symbol": "ES.c.0",
                "timeframe": "1min",
                "start": "2020-01-01T00:00:00Z",
                "end": "2021-01-01T00:00:00Z",
                "bars": 1,
                "hash": "0" * 16,
            }
        ],
    ),
]


@pytest.mark.parametrize("field, value", CHANGES, ids=[f"{field}-{i}" for i, (field, _) in enumerate(CHANGES)])
def test_any_field_changed_after_it_was_written_is_refused(folder, field, value):
    change(folder, **{field: value})
    error = refusal(folder)
    assert error.subject == "hash" and "changed after it was written" in error.rule


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"parameters": {"length": {"type": "int", "value": 2.5}}}, "must be of type int"),
        ({"parameters": {"length": {"type": "int", "value": True}}}, "must be of type int"),
        ({"parameters": {"length": {"type": "bool", "value": 1}}}, "must be of type bool"),
        ({"parameters": {"length": {"type": "float", "value": "18"}}}, "must be of type float"),
        ({"parameters": {"length": {"type": "number", "value": 18}}}, "input should be 'int'"),
        ({"parameters": {"length": 18}}, "parameters.length"),
        ({"symbols": []}, "at least 1 item"),
        ({"data": []}, "at least 1 item"),
        ({"quantity": 0}, "greater than or equal to 1"),
        ({"costs": {"commission_usd": -1, "slippage_ticks": 1}}, "greater than or equal to 0"),
        ({"cost": {}}, "is not known"),
    ],
)
def test_a_wrong_form_is_refused_with_its_place(folder, fields, words):
    change(folder, **fields)
    error = refusal(folder)
    assert words in str(error) and "scenarios.mine" in error.path


def test_a_parameter_the_class_does_not_take_is_refused(folder):
    change(folder, seal=True, parameters={"length": {"type": "int", "value": 1}})
    assert "must be at least 2" in str(refusal(folder))


def test_a_class_other_than_the_configs_is_refused(folder):
    write_config(folder, **{"class": "futures_algo.strategies.RSIStrategy"})
    assert refusal(folder).path == "strategies.mine.class"
    write_config(
        folder, **{"class": "futures_algo.strategies.library.SimpleBullishCCIStrategy"}
    )  # the same by its other name
    check_config(load_config(folder / "live.json"))


def test_a_class_whose_code_changed_is_refused(tmp_path, bars, monkeypatch):
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "own.py"
    file.write_text(OWN.format(level=-100))
    from futures_algo.config.classes import import_class

    path = f"{file}:OwnStrategy"
    write_scenario(
        tmp_path / "live_scenario_config.json",
        make_scenario("mine", import_class(path)(), bars, Costs(), class_path=path, accepted=True),
    )
    check_config(load_config(write_config(tmp_path)))
    file.write_text(OWN.format(level=-90))
    assert refusal(tmp_path).subject == "code of the class"


def test_a_class_that_is_gone_is_refused(folder):
    change(folder, seal=True, **{"class": "futures_algo.strategies.GoneStrategy"})
    with pytest.raises(ConfigError, match="must be defined in futures_algo.strategies"):
        check_config(load_config(folder / "live.json"))


@pytest.mark.parametrize(
    "entry, path",
    [
        ({"parameters": {"length": 18}}, "strategies.mine.parameters"),
        (
            {"indicators_by_timeframe": {"5min": {"cci": {"parameters": {"length": 18}}}}},
            "strategies.mine.indicators_by_timeframe",
        ),
        ({"symbols": ["ES.c.0", "NQ.c.0"]}, "strategies.mine.symbols"),
        ({"scenario": ""}, "strategies.mine.scenario"),
        ({"scenario": {"hash": "0"}}, "strategies.mine.scenario"),
        ({"timeframes": [7]}, "strategies.mine.timeframes"),
    ],
)
def test_an_entry_that_contradicts_its_scenario_is_refused(folder, entry, path):
    write_config(folder, **entry)
    assert refusal(folder).path == path


@pytest.mark.parametrize(
    "gates", [[], [{"symbol": "ES.c.0", "name": "trades", "value": 3, "limit": 30, "passed": False}]]
)
def test_gates_that_did_not_pass_take_a_persons_yes(folder, gates):
    change(folder, seal=True, gates=gates)
    assert refusal(folder).subject == "gates"
    change(folder, seal=True, accepted=True)
    check_config(load_config(folder / "live.json"))


def test_an_entry_without_class_and_scenario_is_refused():
    with pytest.raises(
        ConfigErrors, match="class was None; it is required; add it, or a scenario that gives it .strategies.mine.class"
    ):
        parse_config({"databento": {"symbols": ["ES.c.0"]}, "strategies": {"mine": {}}}, KEYS)


# --- saving from a notebook


def test_the_difference_is_shown_before_anything_is_written(folder, scenario, bars):
    config = write_config(folder)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    better = make_scenario("mine", SimpleBullishCCIStrategy(length=25), bars, Costs(), class_path=CLASS, accepted=True)
    difference = save_to_live(better, config, write=False)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert (
        '-        "length": {"type": "int", "value": 18}' in difference
        and '+        "length": {"type": "int", "value": 25}' in difference
    )


def test_a_run_somebody_chose_is_saved_as_accepted_without_gates(folder, bars):
    from futures_algo.research.backtest import backtest

    chosen = scenario_of_run("mine", backtest(SimpleBullishCCIStrategy(length=21), bars), bars, quantity=2)
    save_to_live(chosen, folder / "live.json")
    kept = read_scenario(folder / "live_scenario_config.json")
    assert (kept.values()["length"], kept.accepted, kept.passed, kept.gates) == (
        21,
        True,
        False,
        [],
    ) and kept.statistics["ES.c.0"]["trades"] > 0
    check_config(load_config(folder / "live.json"))


def test_saving_changes_the_strategys_entry_and_nothing_else_of_the_config(folder, scenario):
    config = folder / "live.json"
    former = f'{{"class": "{CLASS}", "symbols": ["ES.c.0", "NQ.c.0"], "quantity": 2}}'
    text = (
        '{\n  "databento": {"symbols": ["ES.c.0", "NQ.c.0"]},\n  "strategies": {\n    "other": {"class":  '
        f' "{CLASS}"}},\n    "mine": {former}\n  }}\n}}\n'
    )
    config.write_text(text)
    save_to_live(scenario, config)
    assert config.read_text() == text.replace(
        former, '{"symbols": ["ES.c.0"], "quantity": 2, "scenario": "live_scenario_config.json"}'
    )
    check_config(load_config(config))
    assert save_to_live(scenario, config) == ""


def test_a_strategy_the_config_does_not_have_is_added_but_not_enabled(folder, bars):
    save_to_live(
        make_scenario("new", SimpleBullishCCIStrategy(), bars, Costs(), class_path=CLASS, accepted=True),
        folder / "live.json",
    )
    entries = load_config(folder / "live.json").strategies
    assert entries["mine"].enabled and not entries["new"].enabled


def test_a_scenario_that_live_would_refuse_is_not_saved(folder, bars):
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ConfigError, match="accepted by a person"):
        save_to_live(
            make_scenario("mine", SimpleBullishCCIStrategy(), bars, Costs(), class_path=CLASS), folder / "live.json"
        )
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_the_text_of_a_file_is_json_with_scenarios_by_name(tmp_path, scenario):
    assert list(json.loads(scenarios_text(tmp_path / "none.json", scenario))["scenarios"]) == ["mine"]
    assert typed_parameters(SimpleBullishCCIStrategy())["timeframe"].type == "str"


# --- the one that is shipped


def test_the_shipped_scenario_is_an_example_that_says_so_and_is_not_enabled(monkeypatch):
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    folder = Path(__file__).resolve().parents[2] / "config"
    entry = load_config(folder / "live_trading_config.json").strategies["rsi_es"]
    shipped = read_scenario(folder / "live_scenario_config.json", "rsi_es")
    assert (
        not entry.enabled
        and entry.scenario["hash"] == shipped.hash
        and "generated sample bars, not from a market" in shipped.note
    )
    assert shipped.code == code_hash(shipped.class_), (
        "RSIStrategy changed: futures-algo optimize --strategy rsi_es --sample 120 --accept makes the example anew"
    )
