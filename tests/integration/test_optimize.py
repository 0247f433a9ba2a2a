"The weekly job: searched, judged and written by the notebook and the command, traded by an engine whose journal names the scenario."
import json
import subprocess
import sys
from pathlib import Path

import pytest

from futures_algo.demo import Demo, recorded
from futures_algo.history import write_dbn
from futures_algo.journal import Journal
from futures_algo.scenario import make_scenario, read_scenario, write_scenario
from futures_algo.sim.market import generate_minutes
from futures_algo.strategies import SimpleBullishCCIStrategy
from futures_algo.trades import Costs

ROOT = Path(__file__).resolve().parents[2]
CLASS = "futures_algo.strategies.SimpleBullishCCIStrategy"


@pytest.fixture(scope="module")
def bars(tmp_path_factory) -> Path:
    "One session of one-minute ES bars."
    path = tmp_path_factory.mktemp("bars") / "es.dbn.zst"
    write_dbn(path, {"ES.c.0": generate_minutes("ES.c.0", sessions=1)})
    return path


def config_with(folder: Path, **entry) -> Path:
    config = folder / "live.json"
    config.write_text(json.dumps({"databento": {"symbols": ["ES.c.0"]}, "strategies": {"mine": entry}, "execution": {"account": "Sim101"}}))
    return config


def play(config: Path, bars: Path, folder: Path) -> dict:
    "A demo session on this config; what its journal holds of the scenario."
    folder.mkdir()
    summary = Demo(recorded([bars], folder), folder, config).run()
    with Journal(summary["journal"], readonly=True) as journal:
        run = journal.rows("runs")[0]
        return {"events": journal.rows("events", "kind = 'scenario'"), "entry": json.loads(journal.one("configs", "hash", run["config_hash"])["content"])["strategies"]["mine"],
                "strategies": {row["strategy"] for row in journal.rows("signals")}, "summary": summary}


def futures_algo(*args: "str | Path", code: int = 0) -> str:
    done = subprocess.run([sys.executable, "-m", "futures_algo", *map(str, args)], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stdout[-1000:] + done.stderr[-2000:]
    return done.stderr if code == 2 else done.stdout


# --- the engine

@pytest.mark.parametrize("passed", [True, False])
def test_the_journal_of_an_engine_names_the_scenario_it_trades(bars, tmp_path, passed):
    gates = [{"symbol": "ES.c.0", "name": "trades", "value": 40, "limit": 30, "passed": passed}]
    scenario = make_scenario("mine", SimpleBullishCCIStrategy(length=11), generate_minutes("ES.c.0", sessions=2), Costs(), class_path=CLASS, gates=gates, accepted=not passed)
    write_scenario(tmp_path / "live_scenario_config.json", scenario)
    seen = play(config_with(tmp_path, scenario="live_scenario_config.json"), bars, tmp_path / "run")
    event, = seen["events"]
    assert (event["subject"], event["level"]) == ("mine", "info" if passed else "warning") and scenario.hash in event["message"]
    assert json.loads(event["data"])["data"][0]["hash"] == scenario.data[0].hash
    assert seen["entry"]["scenario"]["hash"] == scenario.hash and seen["entry"]["parameters"]["length"] == 11
    assert seen["strategies"] == {"mine"} and seen["summary"]["fills"] > 0


def test_a_scenario_and_the_same_parameters_by_hand_trade_alike(bars, tmp_path):
    write_scenario(tmp_path / "live_scenario_config.json", make_scenario("mine", SimpleBullishCCIStrategy(length=11), generate_minutes("ES.c.0", sessions=2), Costs(), class_path=CLASS, accepted=True))
    by_file = play(config_with(tmp_path, scenario="live_scenario_config.json"), bars, tmp_path / "file")
    by_hand = play(config_with(tmp_path, **{"class": CLASS, "parameters": {"length": 11}}), bars, tmp_path / "hand")
    compared = ("signals", "fills", "pnl_usd")
    assert [by_file["summary"][key] for key in compared] == [by_hand["summary"][key] for key in compared] and not by_hand["events"]


def test_an_engine_does_not_start_on_a_file_somebody_edited(bars, tmp_path):
    file = write_scenario(tmp_path / "live_scenario_config.json", make_scenario("mine", SimpleBullishCCIStrategy(length=11), generate_minutes("ES.c.0", sessions=2), Costs(), class_path=CLASS, accepted=True))
    file.write_text(file.read_text().replace('"value": 11', '"value": 12'))
    message = futures_algo("demo", "--headless", "--data", bars, "--config", config_with(tmp_path, scenario=file.name), "--folder", tmp_path / "run", code=2)
    assert "changed after it was written; run futures-algo optimize again (strategies.mine.scenario" in message and len(message.strip().splitlines()) == 1
    assert not (tmp_path / "run" / "journal.db").exists()
