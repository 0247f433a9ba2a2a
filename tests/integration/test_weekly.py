"""The weekly search as a timer starts it: bars fetched, a notebook for each strategy, and only what passed its gates
reaches the file that live reads."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from futures_algo.config.scenario import read_scenario
from futures_algo.core.types import DAY, to_timestamp
from futures_algo.history import BarStore, write_dbn
from futures_algo.live.weekly import brought_up
from futures_algo.sim.historical import HistoricalServer
from futures_algo.sim.market import generate_minutes

ROOT = Path(__file__).resolve().parents[2]
KEY = "db-weekly-0000000000000000000000"
CCI = {"class": "futures_algo.strategies.SimpleBullishCCIStrategy", "parameters": {"bars_held": 6}}
LAX = dict.fromkeys(
    (
        "folds",
        "retention_mean",
        "retention_each",
        "test_sharpe_mean",
        "test_sharpe_std",
        "max_drawdown",
        "profit_factor",
        "sharpe",
    )
) | {"trades": 1}


@pytest.fixture(scope="module")
def bars():
    return generate_minutes("ES.c.0", sessions=13)


@pytest.fixture(scope="module")
def server(bars, tmp_path_factory):
    path = write_dbn(tmp_path_factory.mktemp("history") / "minutes.dbn.zst", {"ES.c.0": bars})
    with HistoricalServer({"ohlcv-1m": [path]}, [KEY]) as running:
        yield running


def project(folder: Path, url: str, **strategies: dict) -> Path:
    "A project whose config asks the loopback server."
    (folder / "config").mkdir()
    config = folder / "config" / "live.json"
    config.write_text(
        json.dumps(
            {
                "databento": {"symbols": ["ES.c.0"], "historical_url": url, "max_cost_usd": 5},
                "strategies": strategies,
                "execution": {"account": "Sim101"},
            }
        )
    )
    return config


def week(config: Path, now: int, *more: str, code: int = 0) -> dict:
    "`schedule optimize` from another folder, as a timer would."
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "futures_algo",
            "schedule",
            "optimize",
            "--config",
            str(config),
            "--now",
            f"{to_timestamp(now):%Y-%m-%dT%H:%M:%SZ}",
            "--json",
            *more,
        ],
        cwd=config.parent.parent,
        env=os.environ | {"DATABENTO_API_KEY": KEY, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == code, done.stdout[-1500:] + done.stderr[-1500:]
    return json.loads(done.stdout.splitlines()[-1])


def test_new_bars_are_fetched_and_what_passed_is_written_whatever_becomes_of_the_others(bars, server, tmp_path):
    (tmp_path / "broken.py").write_text(
        "from futures_algo.strategies import SimpleBullishCCIStrategy\nclass Broken(SimpleBullishCCIStrategy):\n    def"
        " entry(self, x): return x.no_such_column > 0\n"
    )
    never = CCI | {"parameters": {"bars_held": 0}}  # enters once and stays: no trade
    config = project(tmp_path, server.url, never=never, broken={"class": f"{tmp_path}/broken.py:Broken"}, mine=CCI)
    file, now = config.with_name("live_scenario_config.json"), int(bars.end[-1]) + 2 * DAY
    found = week(config, now, "--days", "20", "--limits", json.dumps(LAX), code=1)["strategies"]
    assert {name: one["written"] for name, one in found.items()} == {"never": False, "broken": False, "mine": True}
    assert (
        found["never"]["error"] == ""
        and "no_such_column" in found["broken"]["error"]
        and list(json.loads(file.read_text())["scenarios"]) == ["mine"]
    )
    scenario, kept = read_scenario(file, "mine"), BarStore(tmp_path / "data").read("ES.c.0")
    assert scenario.passed and scenario.search["combinations"] == 3 and scenario.data[0].bars == len(kept) == len(bars)
    cells = nbformat.read(found["mine"]["notebook"], 4).cells
    assert any("image/png" in output.get("data", {}) for cell in cells for output in cell.get("outputs", []))


def test_days_the_service_does_not_sell_to_everybody_yet_are_not_asked_for(bars, server, tmp_path, monkeypatch):
    monkeypatch.setenv("DATABENTO_API_KEY", KEY)
    now = int(bars.end[-1]) - DAY // 3
    store = brought_up(project(tmp_path, server.url, mine=CCI), ["ES.c.0"], 20, now)
    kept = BarStore(store).read("ES.c.0")
    assert now - 2 * DAY < kept.end[-1] <= now - DAY and kept.start[0] == bars.start[0]


def test_without_a_price_limit_that_lets_it_nothing_is_fetched(bars, server, tmp_path):
    config = project(tmp_path, server.url, mine=CCI)
    config.write_text(config.read_text().replace('"max_cost_usd": 5', '"max_cost_usd": 0'))
    assert (
        "must not exceed the limit of $0.00"
        in week(config, int(bars.end[-1]) + 2 * DAY, "--days", "20", code=2)["error"]
        and not (tmp_path / "reports").exists()
    )
