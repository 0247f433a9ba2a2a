"""What a mistake on the command line is answered with: one line that names value, rule and remedy, and exit code 2;
never a stack trace."""

import json
from pathlib import Path

import pytest

from futures_algo.cli import main
from futures_algo.history import write_dbn
from futures_algo.sim.market import generate_minutes

SHIPPED = Path(__file__).resolve().parents[2] / "config/live_trading_config.json"


@pytest.fixture(scope="module")
def bars(tmp_path_factory) -> Path:
    "Three generated sessions of ES as a file."
    path = tmp_path_factory.mktemp("bars") / "es.dbn.zst"
    write_dbn(path, {"ES.c.0": generate_minutes("ES.c.0", sessions=3)})
    return path


def said(capsys, *words: object) -> tuple[int, str, str]:
    "Exit code, standard output and standard error of a verb."
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, words)))
    shown = capsys.readouterr()
    return ended.value.code or 0, shown.out, shown.err


@pytest.mark.parametrize(
    "words, told",
    [
        (["run", "--loglevel", "LOUD"], ["loglevel was 'LOUD'", "known: DEBUG, ERROR, INFO, WARNING"]),
        (
            ["schedule", "install", "--print", "--now", "yesterday", "--config", SHIPPED],
            ["time was 'yesterday'", "must be a moment"],
        ),
        (["run", "--simulation", "yesterday"], ["simulation was 'yesterday'", "2025-09-12T22:00"]),
        (["flatten", "--scope", "acount"], ["scope was 'acount'", "did you mean 'account'"]),
        (["flatten", "--scope", "strategy"], ["must say which strategy", "--name"]),
        (["convert-config", "none.json"], ["none.json", "must exist", "check the path"]),
        (["validate-data", "none.csv"], ["none.csv", "must exist", "check the path"]),
        (["backtest", "--strategy", "MACDCCI", "--sample", "2"], ["'MACDCCI'", "did you mean 'MACDCCIStrategy'"]),
        (["backtest", "--strategy", "mine.py", "--sample", "2"], ["'mine.py'", "mine.py:MyStrategy"]),
        (["backtest", "--strategy", "nowhere.py:Mine", "--sample", "2"], ["nowhere.py", "there is no file"]),
    ],
)
def test_a_mistake_is_one_line_with_its_remedy(capsys, monkeypatch, tmp_path, words, told):
    monkeypatch.chdir(tmp_path)
    code, _, line = said(capsys, *words)
    assert code == 2 and line.count("\n") == 1
    assert all(part in line for part in told)


@pytest.mark.parametrize(
    "words",
    [
        ["sweep", "--strategy", "RSIStrategy", "--grid", "length=5:6:1", "--csv"],
        ["backtest", "--strategy", "RSIStrategy", "--html"],
    ],
)
def test_a_result_that_cannot_be_written_is_one_line(capsys, tmp_path, bars, words):
    nowhere = tmp_path / "none" / "out"
    code, out, line = said(capsys, words[0], "--data", bars, *words[1:], nowhere, "--json")
    assert code == 2 and "none" in line and "Traceback" not in line
    assert json.loads(out.splitlines()[-1])["kind"] == "OSError"


@pytest.mark.parametrize(
    "text, told",
    [
        ("def broken(:\n", "line 1"),
        ("nothing_of_that_name\n", "nothing_of_that_name"),
        ("class Mine: pass\n", "BaseStrategy"),
    ],
)
def test_a_strategy_file_that_fails_says_where(capsys, tmp_path, text, told):
    (tmp_path / "mine.py").write_text(text)
    code, _, line = said(capsys, "backtest", "--strategy", f"{tmp_path / 'mine.py'}:Mine", "--sample", "2")
    assert code == 2 and told in line and "Traceback" not in line


def test_bars_that_are_no_dbn_are_sent_to_import(capsys, tmp_path):
    file = tmp_path / "bars.csv"
    file.write_text("datetime,open,high,low,close,volume\n")
    code, _, line = said(capsys, "parity", "--strategy", "RSIStrategy", "--data", file)
    assert code == 2 and "futures-algo import" in line and "bars.csv" in line


def test_many_faults_are_counted_by_rule_and_only_the_first_are_listed(capsys, tmp_path):
    frame = generate_minutes("ES.c.0", sessions=3).to_frame().reset_index()
    frame["start"] = frame["start"].dt.tz_localize(None)  # UTC hours, read as Chicago's below
    frame.drop(columns="contract").to_csv(file := tmp_path / "bars.csv", index=False)
    code, out, _ = said(capsys, "validate-data", file, "--symbol", "ES.c.0", "--tz", "America/Chicago")
    lines = out.splitlines()
    assert code == 1 and len(lines) < 30 and "more" in lines[-2] and lines[-1].endswith("faults")
    code, out, _ = said(
        capsys, "import", file, "--symbol", "ES.c.0", "--tz", "America/Chicago", "--out", tmp_path / "bars.dbn.zst"
    )
    assert code == 1 and "outside" in out and "--tz" in out


def test_the_demo_finds_the_shipped_config_from_any_folder(monkeypatch, tmp_path):
    from futures_algo.commands.demo import config_of

    monkeypatch.chdir(tmp_path)
    shipped = config_of(Path("config/live_trading_config.json"))
    assert shipped.is_file() and config_of(Path("mine.json")) == Path("mine.json")
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "live_trading_config.json").write_text("{}")
    assert config_of(Path("config/live_trading_config.json")) == Path("config/live_trading_config.json")


def test_every_argument_of_every_verb_is_explained():
    import typer

    from futures_algo.cli import app, load_verbs

    load_verbs()

    def silent(command, path):
        children = getattr(command, "commands", {})
        if children:
            return [found for name, child in children.items() for found in silent(child, f"{path} {name}")]
        return [
            f"{path} {parameter.name}"
            for parameter in command.params
            if parameter.name != "help" and not getattr(parameter, "help", None)
        ]

    assert silent(typer.main.get_command(app), "futures-algo") == []


def test_a_broker_that_does_not_answer_is_named_with_the_setting(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("CROSSTRADE_API_KEY", "not-a-real-key")
    content = {
        "databento": {"symbols": ["ES.c.0"]},
        "execution": {"crosstrade_base_url": "http://127.0.0.1:9/v1/api"},
        "strategies": {"mine": {"class": "futures_algo.strategies.MACDCCIStrategy"}},
    }
    (file := tmp_path / "config.json").write_text(json.dumps(content))
    code, _, line = said(capsys, "broker", "positions", "--config", file)
    assert code == 2 and "http://127.0.0.1:9/v1/api" in line and "execution.crosstrade_base_url" in line


def test_status_says_each_part_in_words_and_dollars():
    from futures_algo.commands.show import status_rows

    at = 1_757_970_000_000_000_000
    documents = {
        "engine": {"state": "ready", "mode": "dry_run", "account": "Sim101", "beat": at},
        "trading": {"state": "HALTED", "reason": "by hand", "pnl_usd": -12.5},
        "feed": {"state": "live", "reason": ""},
        "clock": {"now": at},
        "day": {"day": "2025-09-15", "start_usd": 100.0, "now_usd": -60.0},
        "market": {"at": at, "ES.c.0": {"open": True, "next": at}, "NQ.c.0": {"open": False, "next": 0}},
        "reconciliation": {"state": "differs", "locked": {"ES 12-25": "1 here, 2 there"}},
        "strategy:mine:ES.c.0": {"position": -2, "enabled": False, "ready": False},
        "strategy:mine:NQ.c.0": {"position": 0, "enabled": True, "ready": True},
        "config": {"state": "refused"},
    }
    assert dict(status_rows(documents)) == {
        "engine": "ready (dry_run, Sim101), last beat 2025-09-15 21:00:00 UTC",
        "trading": "HALTED: by hand, P&L -$12.50",
        "feed": "live",
        "clock": "2025-09-15 21:00:00 UTC",
        "day": "2025-09-15: -$60.00",
        "market": "ES.c.0 open until 2025-09-15 21:00:00 UTC  NQ.c.0 closed",
        "reconciliation": "differs  ES 12-25 locked: 1 here, 2 there",
        "strategy:mine:ES.c.0": "short 2, disabled, warming up",
        "strategy:mine:NQ.c.0": "flat",
        "config": "refused",
    }
