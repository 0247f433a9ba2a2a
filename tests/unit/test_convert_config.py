"Older configs come out in the present shape, and nothing of them is lost without a word."

import json
import subprocess
import sys

import pytest

from futures_algo.config.files import read_json
from futures_algo.config.loading import load_config
from futures_algo.live.convert_config import convert_config

SHIPPED = "futures_algo.strategies.SimpleBullishCCIStrategy"
PLAN = {
    "databento": {"symbols": ["ES.c.0", "NQ.c.0"], "schema": "ohlcv-1m"},  # the seeds' build plan
    "strategies": {
        "macd_cci_27min": {
            "enabled": True,
            "class": "strategies.macd_cci_27min.MACDCCIStrategy",
            "timeframes": [1, 6, 27],
            "indicators_by_timeframe": {
                "27min": {"macd": {"parameters": {"fast": 12, "slow": 26, "signal": 9}}},
                "6min": {"cci": {"parameters": {"length": 35, "threshold": -100}}},
            },
        }
    },
    "execution": {
        "crosstrade_api_key": "${CROSSTRADE_API_KEY}",
        "crosstrade_base_url": "https://app.crosstrade.io/v1/api",
    },
}
ORDERS = {
    "crosstrade_url": "http://localhost:8080",
    "nt8_account": "Sim101",
    "default_quantity": 2,
    "use_market_orders": True,
}


def entry(**old) -> dict:
    return {
        "databento": {"symbols": ["ES.c.0", "NQ.c.0"]},
        "strategies": {"mine": {"class": SHIPPED, **old}},
        "execution": {"dry_run": True},
    }


def test_the_build_plans_config_needs_only_the_present_path_of_its_class():
    result = convert_config(PLAN)
    assert not result.unknown and not result.errors
    assert result.content["strategies"]["macd_cci_27min"] == PLAN["strategies"]["macd_cci_27min"] | {
        "class": "futures_algo.strategies.MACDCCIStrategy"
    }


def test_order_settings_of_their_own_file_join_the_config():
    result = convert_config(PLAN | {"execution": {}}, ORDERS)
    assert not result.unknown and not result.errors
    assert (
        result.content["execution"]
        | {
            "crosstrade_base_url": "http://localhost:8080",
            "account": "Sim101",
            "dry_run": True,
        }
        == result.content["execution"]
    )
    assert result.content["strategies"]["macd_cci_27min"]["quantity"] == 2


def test_two_values_for_one_setting_are_not_chosen_between_in_silence():
    result = convert_config(PLAN, ORDERS)
    assert result.content["execution"][
        "crosstrade_base_url"
    ] == "https://app.crosstrade.io/v1/api" and result.unknown == {"execution.crosstrade_url": "http://localhost:8080"}


def test_the_shipped_config_comes_out_as_it_went_in():
    shipped = read_json("config/live_trading_config.json")
    result = convert_config(shipped)
    assert result.content == shipped and not result.unknown and not result.errors and not result.notes


@pytest.mark.parametrize(
    "old, new",
    [
        ({"symbol": "NQ.c.0"}, {"symbols": ["NQ.c.0"]}),
        ({"params": {"cci_period": 20}}, {"parameters": {"length": 20}}),
        ({"timeframe": 15}, {"parameters": {"timeframe": "15min"}}),
        ({"contracts": 3, "active": False}, {"quantity": 3, "enabled": False}),
    ],
)
def test_an_older_name_is_the_present_one_and_said(old, new):
    result = convert_config(entry(**old))
    assert result.content["strategies"]["mine"] == {"class": SHIPPED} | new
    assert (
        len(result.notes) >= len(old)
        and all("mine" in note for note in result.notes if "dry_run" not in note)
        and not result.unknown
    )


def test_a_list_of_strategies_becomes_an_object_by_name():
    result = convert_config(entry() | {"strategies": [{"name": "first", "class": SHIPPED}, {"class": SHIPPED}]})
    assert list(result.content["strategies"]) == ["first", "strategy_2"] and not result.errors


def test_parameters_by_symbol_become_a_strategy_for_each():
    result = convert_config(entry(parameters={"bars_held": 4, "ES.c.0": {"length": 15}, "NQ.c.0": {"length": 20}}))
    found = {name: (new["symbols"], new["parameters"]) for name, new in result.content["strategies"].items()}
    assert found == {
        "mine_es": (["ES.c.0"], {"bars_held": 4, "length": 15}),
        "mine_nq": (["NQ.c.0"], {"bars_held": 4, "length": 20}),
    }


@pytest.mark.parametrize(
    "old, path",
    [
        (entry() | {"webhooks": {"url": "x"}}, "webhooks"),
        (entry(conditions={"rising": True}), "strategies.mine.conditions"),
        (entry(parameters={"length": 15, "smoothing": 3}), "strategies.mine.parameters.smoothing"),
        (entry() | {"execution": {"use_market_orders": False}}, "execution.use_market_orders"),
        (entry() | {"databento": {"symbols": ["ES.c.0"], "retries": 3}}, "databento.retries"),
        (entry() | {"logging": "logs"}, "logging"),
        (entry() | {"strategies": {"mine": {"class": SHIPPED}, "other": 5}}, "strategies.other"),
    ],
)
def test_what_has_no_place_any_more_is_named(old, path):
    assert list(convert_config(old).unknown) == [path]


def test_no_leaf_of_an_old_file_vanishes_without_a_word():
    old = {
        "databento": {"symbols": ["ES.c.0"], "a1": 1},
        "a2": 2,
        "strategies": [{"name": "x", "class": SHIPPED, "a3": 3, "parameters": {"a4": 4, "period": 15}}],
        "execution": {"a5": 5},
        "engine": {"a6": 6},
        "logging": {"log_dir": "logs", "a7": 7},
    }
    assert {path.rpartition(".")[2] for path in convert_config(old).unknown} == {f"a{number}" for number in range(1, 8)}


def test_a_key_itself_is_not_copied_and_not_shown():
    result = convert_config(
        entry()
        | {
            "databento": {"symbols": ["ES.c.0"], "key": "db-secret-1"},
            "execution": {"api_key": "secret-2"},
            "telegram": {"token": "secret-3"},
        }
    )
    assert (
        "secret-" not in json.dumps(result.as_dict())
        and result.content["databento"]["api_key"] == "${DATABENTO_API_KEY}"
    )


def test_what_is_wrong_after_all_is_said():
    assert "one of the feed's" in str(convert_config(entry(symbols=["CL.c.0"])).errors[0])


def test_the_command_writes_prints_and_refuses_to_overwrite(tmp_path):
    (tmp_path / "old.json").write_text(json.dumps(PLAN))
    (tmp_path / "orders.json").write_text(json.dumps(ORDERS | {"retries": 3}))
    (tmp_path / ".env").write_text("DATABENTO_API_KEY=db-x\nCROSSTRADE_API_KEY=x\n")
    command = lambda *args: subprocess.run(
        [sys.executable, "-m", "futures_algo", "convert-config", *args],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    written = command("old.json", "--output", "new.json", "--json")
    assert written.returncode == 0 and json.loads(written.stdout.splitlines()[-1])["unknown"] == {}
    assert load_config(tmp_path / "new.json").execution.dry_run
    assert command("old.json", "--output", "new.json").returncode == 2
    shown = command("old.json", "orders.json")
    assert (
        shown.returncode == 1
        and "no place for retries = 3" in shown.stderr
        and json.loads(shown.stdout)["execution"]["account"] == "Sim101"
    )
