"""The weekly job: searched, judged and written by the notebook and the command, traded by an engine whose journal names
the scenario."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from futures_algo.config.scenario import make_scenario, read_scenario, write_scenario
from futures_algo.history import write_dbn
from futures_algo.journal.journal import Journal
from futures_algo.live.demo import Demo, recorded
from futures_algo.research.trades import Costs
from futures_algo.sim.market import generate_minutes
from futures_algo.strategies import SimpleBullishCCIStrategy

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
    config.write_text(
        json.dumps(
            {"databento": {"symbols": ["ES.c.0"]}, "strategies": {"mine": entry}, "execution": {"account": "Sim101"}}
        )
    )
    return config


def play(config: Path, bars: Path, folder: Path) -> dict:
    "A demo session on this config; what its journal holds of the scenario."
    folder.mkdir()
    summary = Demo(recorded([bars], folder), folder, config).run()
    with Journal(summary["journal"], readonly=True) as journal:
        run = journal.rows("runs")[0]
        return {
            "events": journal.rows("events", "kind = 'scenario'"),
            "entry": json.loads(journal.one("configs", "hash", run["config_hash"])["content"])["strategies"]["mine"],
            "strategies": {row["strategy"] for row in journal.rows("signals")},
            "summary": summary,
        }


def futures_algo(*args: "str | Path", code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "futures_algo", *map(str, args)], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == code, done.stdout[-1000:] + done.stderr[-2000:]
    return done.stderr if code == 2 else done.stdout


# --- the engine


@pytest.mark.parametrize("passed", [True, False])
def test_the_journal_of_an_engine_names_the_scenario_it_trades(bars, tmp_path, passed):
    gates = [{"symbol": "ES.c.0", "name": "trades", "value": 40, "limit": 30, "passed": passed}]
    scenario = make_scenario(
        "mine",
        SimpleBullishCCIStrategy(length=11),
        generate_minutes("ES.c.0", sessions=2),
        Costs(),
        class_path=CLASS,
        gates=gates,
        accepted=not passed,
    )
    write_scenario(tmp_path / "live_scenario_config.json", scenario)
    seen = play(config_with(tmp_path, scenario="live_scenario_config.json"), bars, tmp_path / "run")
    (event,) = seen["events"]
    assert (event["subject"], event["level"]) == ("mine", "info" if passed else "warning") and scenario.hash in event[
        "message"
    ]
    assert json.loads(event["data"])["data"][0]["hash"] == scenario.data[0].hash
    assert seen["entry"]["scenario"]["hash"] == scenario.hash and seen["entry"]["parameters"]["length"] == 11
    assert seen["strategies"] == {"mine"} and seen["summary"]["fills"] > 0


def test_a_scenario_and_the_same_parameters_by_hand_trade_alike(bars, tmp_path):
    write_scenario(
        tmp_path / "live_scenario_config.json",
        make_scenario(
            "mine",
            SimpleBullishCCIStrategy(length=11),
            generate_minutes("ES.c.0", sessions=2),
            Costs(),
            class_path=CLASS,
            accepted=True,
        ),
    )
    by_file = play(config_with(tmp_path, scenario="live_scenario_config.json"), bars, tmp_path / "file")
    by_hand = play(config_with(tmp_path, **{"class": CLASS, "parameters": {"length": 11}}), bars, tmp_path / "hand")
    compared = ("signals", "fills", "pnl_usd")
    assert [by_file["summary"][key] for key in compared] == [
        by_hand["summary"][key] for key in compared
    ] and not by_hand["events"]


def test_an_engine_does_not_start_on_a_file_somebody_edited(bars, tmp_path):
    file = write_scenario(
        tmp_path / "live_scenario_config.json",
        make_scenario(
            "mine",
            SimpleBullishCCIStrategy(length=11),
            generate_minutes("ES.c.0", sessions=2),
            Costs(),
            class_path=CLASS,
            accepted=True,
        ),
    )
    file.write_text(file.read_text().replace('"value": 11', '"value": 12'))
    message = futures_algo(
        "demo",
        "--headless",
        "--data",
        bars,
        "--config",
        config_with(tmp_path, scenario=file.name),
        "--folder",
        tmp_path / "run",
        code=2,
    )
    assert (
        "changed after it was written; run futures-algo optimize again (strategies.mine.scenario" in message
        and len(message.strip().splitlines()) == 1
    )
    assert not (tmp_path / "run" / "journal.db").exists()


@pytest.mark.parametrize("length", [11, 25], ids=["found again", "found anew"])
def test_next_weeks_scenario_reaches_a_running_engine_and_its_journal(bars, tmp_path, length):
    from contextlib import ExitStack

    from test_reload import World

    found = [
        make_scenario(
            "mine",
            SimpleBullishCCIStrategy(length=n),
            generate_minutes("ES.c.0", sessions=sessions),
            Costs(),
            class_path=CLASS,
            accepted=True,
        )
        for n, sessions in ((11, 2), (length, 3))
    ]
    file = write_scenario(tmp_path / "live_scenario_config.json", found[0])

    def next_week(engine):
        write_scenario(file, found[1])
        engine.reloader.now(engine)

    with ExitStack() as stack:
        journal = World(stack, recorded([bars], tmp_path), tmp_path, {"mine": {"scenario": file.name}}).run(
            {200: next_week}
        )
    noted = journal.rows("events", "kind = 'scenario'")
    assert [json.loads(event["data"])["hash"] for event in noted] == [one.hash for one in found]
    contents = [json.loads(row["content"])["strategies"]["mine"] for row in journal.rows("configs")]
    assert [(entry["scenario"]["hash"], entry["parameters"]["length"]) for entry in contents] == [
        (found[0].hash, 11),
        (found[1].hash, length),
    ]


# --- the job

GRID = '{"length": [10, 20], "bars_held": [4, 8]}'


def test_the_notebook_writes_a_file_an_engine_trades(bars, tmp_path):
    import papermill

    file = tmp_path / "live_scenario_config.json"
    given = {
        "name": "mine",
        "strategy": CLASS,
        "grid": json.loads(GRID),
        "folds": 2,
        "sessions": 20,
        "output": str(file),
        "accept": True,
    }
    papermill.execute_notebook(
        str(ROOT / "nbs/optimize.ipynb"),
        str(tmp_path / "report.ipynb"),
        given,
        cwd=str(ROOT / "nbs"),
        progress_bar=False,
    )
    scenario = read_scenario(file, "mine")
    assert (
        scenario.values()["length"] in (10, 20)
        and "generated sample bars" in scenario.note
        and scenario.search["combinations"] == 4
    )
    seen = play(config_with(tmp_path, scenario=file.name), bars, tmp_path / "run")
    assert scenario.hash in seen["events"][0]["message"] and seen["entry"]["scenario"]["hash"] == scenario.hash


def optimize(folder: Path, *args: str, code: int = 0, grid: tuple = ("--grid", GRID)) -> dict:
    config = folder / "live.json"
    if not config.exists():
        config_with(folder, **{"class": CLASS})
    return json.loads(
        futures_algo(
            "optimize", "--config", config, "--sample", "20", "--folds", "2", *grid, "--json", *args, code=code
        ).splitlines()[-1]
    )


def test_a_failed_gate_leaves_the_file_that_was_unless_a_person_accepts(tmp_path):
    file = tmp_path / "live_scenario_config.json"
    former = write_scenario(
        file,
        make_scenario(
            "mine",
            SimpleBullishCCIStrategy(),
            generate_minutes("ES.c.0", sessions=2),
            Costs(),
            class_path=CLASS,
            accepted=True,
        ),
    ).read_bytes()
    refused = optimize(tmp_path, code=1)["strategies"]["mine"]
    assert (
        not refused["passed"]
        and not refused["written"]
        and file.read_bytes() == former
        and not all(gate["passed"] for gate in refused["gates"])
    )
    accepted = optimize(tmp_path, "--accept")
    assert (
        accepted["ok"]
        and read_scenario(file).accepted
        and not read_scenario(file).passed
        and file.read_bytes() != former
    )


def test_a_job_keeps_its_parts_where_it_is_told_and_reads_the_grid_in_either_form(tmp_path):
    plain = optimize(tmp_path, "--accept")
    again = optimize(
        tmp_path,
        "--accept",
        "--store",
        str(tmp_path / "parts"),
        "--grid",
        "length=10,20",
        "--grid",
        "bars_held=4:8:4",
        grid=(),
    )
    assert [one["strategies"]["mine"]["best"] for one in (plain, again)] == 2 * [
        plain["strategies"]["mine"]["best"]
    ] and len(list((tmp_path / "parts").glob("*/part_*.npy"))) >= 3


def test_a_cluster_that_does_not_answer_is_said_and_nothing_is_written(tmp_path):
    said = futures_algo(
        "optimize",
        "--config",
        config_with(tmp_path, **{"class": CLASS}),
        "--sample",
        "5",
        "--cluster",
        "tcp://127.0.0.1:9",
        code=2,
    )
    assert (
        "must be a scheduler that answers" in said.splitlines()[-1]
        and not (tmp_path / "live_scenario_config.json").exists()
    )


def test_the_same_search_gives_the_same_file_but_for_the_time(tmp_path):
    texts = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        optimize(folder, "--accept")
        texts.append((folder / "live_scenario_config.json").read_text().splitlines())
    assert {a.split(":")[0].strip() for a, b in zip(*texts, strict=True) if a != b} <= {'"created"'}


def test_two_real_years_end_with_a_verdict_on_both_symbols_and_the_same_bytes(shared_data, tmp_path):
    config = tmp_path / "live.json"
    config.write_text(
        json.dumps(
            {
                "databento": {"symbols": ["ES.c.0", "NQ.c.0"]},
                "strategies": {"rsi": {"class": "futures_algo.strategies.RSIStrategy"}},
            }
        )
    )
    sources = [
        part
        for symbol in ("ES", "NQ")
        for part in ("--data", f"{symbol}.c.0={shared_data / 'bars_5m' / f'{symbol}_5m.parquet'}")
    ]
    contents = []
    for name in ("a.json", "b.json"):
        said = futures_algo(
            "optimize",
            "--config",
            config,
            *sources,
            "--tz",
            "UTC",
            "--grid",
            '{"length": [8, 14, 20], "oversold": [30, 40]}',
            "--accept",
            "--out",
            tmp_path / name,
        )
        contents.append([line for line in (tmp_path / name).read_text().splitlines() if '"created"' not in line])
    assert contents[0] == contents[1] and "ES.c.0 retention_mean" in said and "NQ.c.0 retention_mean" in said
    scenario = read_scenario(tmp_path / "a.json", "rsi")
    assert [(one.symbol, one.timeframe, one.bars > 120_000) for one in scenario.data] == [
        ("ES.c.0", "5min", True),
        ("NQ.c.0", "5min", True),
    ] and len(scenario.gates) == 18
    assert {name: len(walk["folds"]) for name, walk in scenario.walk_forward.items()} == {"ES.c.0": 4, "NQ.c.0": 4}


@pytest.mark.parametrize(
    "arguments, words",
    [
        ((), "must be given, or --sample"),
        (("--sample", "20", "--data", "none.dbn.zst"), "not both"),
        (("--data", "none.dbn.zst"), "none.dbn.zst"),
        (("--sample", "20", "--strategy", "mien"), "did you mean 'mine'"),
        (("--sample", "20", "--grid", '{"lenght": [10]}'), "did you mean 'length'"),
        (("--sample", "20", "--grid", '{"length": [10'), "must be JSON"),
        (("--sample", "20", "--grid", '{"length": [1]}'), "must be at least 2"),
        (("--sample", "20", "--grid", '{"length": []}'), "length"),
        (("--sample", "20", "--grid", '{"length": 10}'), "length"),
        (("--sample", "20", "--metric", "sharp"), "sharpe"),
        (("--sample", "20", "--folds", "0"), "folds"),
        (("--sample", "20", "--limits", "[1]"), "must be a JSON object"),
        (("--sample", "20", "--slippage", "-1"), "slippage_ticks"),
        (
            (
                "--sample",
                "-3",
            ),
            "sample",
        ),
    ],
)
def test_bad_input_is_refused_in_one_line_before_any_work(tmp_path, capsys, arguments, words):
    from futures_algo.cli import main

    config = config_with(tmp_path, **{"class": CLASS})
    with pytest.raises(SystemExit) as ended:
        main(["optimize", "--config", str(config), *arguments])
    message = capsys.readouterr().err
    assert (
        ended.value.code == 2
        and words in message
        and len(message.strip().splitlines()) == 1
        and [path.name for path in tmp_path.iterdir()] == ["live.json"]
    )
