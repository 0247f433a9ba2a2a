"Every mistake in a config is named with its value, rule and remedy."

import json

import pytest

from futures_algo.config.classes import import_class
from futures_algo.config.files import read_json
from futures_algo.config.loading import get_strategy_config, load_config, parse_config, validate_config
from futures_algo.config.mistakes import ConfigErrors
from futures_algo.core.types import ConfigError

KEYS = {"DATABENTO_API_KEY": "db-0123456789", "CROSSTRADE_API_KEY": "token-0123456789"}
CLASS = "futures_algo.strategies.MACDCCIStrategy"


def good(**changes) -> dict:
    content = {"databento": {"symbols": ["ES.c.0", "NQ.c.0"]}, "strategies": {"mine": {"class": CLASS}}}
    for path, value in changes.items():
        *parents, name = path.split("__")
        target = content
        for parent in parents:
            target = target.setdefault(parent, {})
        target[name] = value
    return content


def complaint(content: dict, variables: dict = KEYS) -> str:
    with pytest.raises(ConfigErrors) as caught:
        parse_config(content, variables)
    return str(caught.value)


def test_the_smallest_config_is_a_dry_run():
    config = parse_config(good(), KEYS)
    assert config.execution.dry_run and config.databento.schema_ == "ohlcv-1s"
    assert config.symbols_of("mine") == ["ES.c.0", "NQ.c.0"]


@pytest.mark.parametrize(
    "content, words",
    [
        (good(databento__symbols=["ESZ5"]), "ROOT.RULE.RANK"),
        (good(databento__symbols=["EZ.c.0"]), "known product"),
        (good(databento__symbols=["ES.c.0", "ES.c.0"]), "must not repeat"),
        (good(databento__symbols=[]), "databento.symbols"),
        (good(databento__schema="mbo"), "ohlcv-1s"),
        (good(databento__replay_hours=48), "databento.replay_hours"),
        (good(databento__shema="ohlcv-1s"), "did you mean 'schema'"),
        (good(execution__dry_rum=False), "did you mean 'dry_run'"),
        (good(strategies__mine__symbols=["CL.c.0"]), "one of the feed's"),
        (good(strategies__mine__timeframes=[0]), "positive whole number"),
        (good(strategies__mine__timeframes=[2.5]), "strategies.mine.timeframes"),
        (good(strategies__mine__quantity=0), "strategies.mine.quantity"),
        (good(strategies__mine__quantity=1.5), "strategies.mine.quantity"),
        (good(strategies__mine__risk_per_trade_usd=-5), "strategies.mine.risk_per_trade_usd"),
        (good(engine__on_start="maybe"), "engine.on_start"),
        (good(engine__reload_seconds=0), "engine.reload_seconds"),
        (good(strategies={}), "strategies"),
        ({"databento": {"symbols": ["ES.c.0"]}}, "strategies was None; it is required"),
    ],
)
def test_a_bad_value_is_named_with_its_place(content, words):
    assert words in complaint(content)


@pytest.mark.parametrize("value", [None, "", "   "])
def test_an_unset_or_empty_variable_never_goes_live(value):
    variables = {"CROSSTRADE_API_KEY": "x"} | ({} if value is None else {"DATABENTO_API_KEY": value})
    text = complaint(good(), variables)
    assert "${DATABENTO_API_KEY}" in text and "set and not empty" in text


def test_all_mistakes_are_reported_at_once():
    assert len(complaint(good(databento__schema="mbo", strategies__mine__quantity=0)).splitlines()) == 2


def test_the_same_parameter_given_twice_with_different_values_is_refused():
    entry = good(
        strategies__mine__parameters={"length": 10},
        strategies__mine__indicators_by_timeframe={"6min": {"cci": {"parameters": {"length": 35}}}},
    )
    with pytest.raises(ConfigError, match="contradict"):
        parse_config(entry, KEYS).strategies["mine"].all_parameters()


def test_a_duplicate_key_in_the_file_is_found(tmp_path):
    file = tmp_path / "config.json"
    file.write_text('{"strategies": {"a": {}, "a": {}}}')
    with pytest.raises(ConfigError, match="must not stand twice"):
        read_json(file)


def test_broken_json_says_where(tmp_path):
    file = tmp_path / "config.json"
    file.write_text('{"databento": {,}}')
    with pytest.raises(ConfigError, match="line 1 column 16"):
        read_json(file)


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(ConfigError, match="must exist"):
        load_config(tmp_path / "none.json")


def test_dotenv_beside_the_config_is_read_and_the_environment_wins(tmp_path, monkeypatch):
    (tmp_path / "c.json").write_text(json.dumps(good()))
    (tmp_path / ".env").write_text("DATABENTO_API_KEY=db-from-file\nCROSSTRADE_API_KEY=from-file\n")
    monkeypatch.delenv("DATABENTO_API_KEY", raising=False)
    monkeypatch.setenv("CROSSTRADE_API_KEY", "from-environment")
    config = load_config(tmp_path / "c.json")
    assert config.databento.api_key.get_secret_value() == "db-from-file"
    assert config.execution.crosstrade_api_key.get_secret_value() == "from-environment"


def test_secrets_never_show():
    config = parse_config(good(), KEYS)
    assert "0123456789" not in repr(config) + str(config) + config.model_dump_json()


def test_an_unknown_strategy_name_gets_a_hint():
    with pytest.raises(ConfigError, match="did you mean 'mine'"):
        get_strategy_config(parse_config(good(), KEYS), "mnie")


def test_a_class_is_found_by_module_by_file_and_by_its_older_path(tmp_path):
    file = tmp_path / "own.py"
    file.write_text("class OwnStrategy: pass\n")
    assert import_class(f"{file}:OwnStrategy").__name__ == "OwnStrategy"
    assert import_class("strategies.macd_cci_27min.MACDCCIStrategy") is import_class(CLASS)


def test_a_config_is_valid_when_its_classes_can_be_imported():
    assert validate_config(good(), KEYS)
    with pytest.raises(ConfigErrors, match="strategies.mine.class"):
        validate_config(good(strategies__mine__class="nowhere.Strategy"), KEYS)


@pytest.mark.parametrize(
    "path, words",
    [
        ("nowhere.at.all.Strategy", "importable"),
        ("futures_algo.core.types.Barr", "defined in"),
        ("Bare", "must name a class and where it is"),
    ],
)
def test_a_class_that_cannot_be_loaded_is_explained(path, words):
    with pytest.raises(ConfigError, match=words):
        import_class(path)


def test_a_key_stands_in_the_environment_beside_the_config_or_in_the_projects_folder(monkeypatch, tmp_path):
    from futures_algo.config.files import environment

    (folder := tmp_path / "config").mkdir()
    for name in ("FIRST", "SECOND", "THIRD"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".env").write_text("FIRST=project\nSECOND=project\nTHIRD=project\n")
    (folder / ".env").write_text("SECOND=config\nTHIRD=config\n")
    monkeypatch.setenv("THIRD", "process")
    assert [environment(folder)[name] for name in ("FIRST", "SECOND", "THIRD")] == ["project", "config", "process"]
