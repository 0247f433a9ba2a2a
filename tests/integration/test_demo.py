"""The main job end to end: real clients, loopback servers, and numbers that agree with the journal, the files and the
vendor."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


def futures_algo(*args: str, code: int = 0) -> str:
    "Run a verb as a user does; returns its standard output, or standard error when it could not run."
    done = subprocess.run(
        [sys.executable, "-m", "futures_algo", *map(str, args)], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == code, done.stderr[-2000:]
    return done.stderr if code == 2 else done.stdout


def demo(*args: str) -> dict:
    return json.loads(futures_algo("demo", "--headless", "--json", *args).splitlines()[-1])


def rows(folder: Path, query: str) -> list[tuple]:
    with sqlite3.connect(folder / "journal.db") as journal:
        return journal.execute(query).fetchall()


@pytest.fixture(scope="module")
def played(tmp_path_factory) -> tuple[dict, Path]:
    folder = tmp_path_factory.mktemp("demo")
    return demo("--folder", str(folder)), folder


def test_every_bar_arrives_once_and_no_order_is_doubled(played):
    summary, _ = played
    assert (
        summary["bars_in"] > 100_000
        and summary["lost_bars"] == summary["duplicate_bars"] == summary["duplicate_orders"] == 0
    )
    assert {
        "bars_in",
        "bars_out",
        "signals",
        "orders",
        "fills",
        "duplicate_orders",
        "lost_bars",
        "positions",
        "pnl_usd",
        "elapsed_s",
    } <= summary.keys()


def test_each_symbol_is_entered_and_left(played):
    summary, folder = played
    filled = rows(
        folder, "SELECT DISTINCT substr(intents.instrument, 1, 2), purpose FROM fills JOIN intents USING (order_id)"
    )
    assert {("ES", "entry"), ("ES", "exit"), ("NQ", "entry"), ("NQ", "exit")} <= set(filled)


def test_the_numbers_agree_with_the_journal(played):
    summary, folder = played
    count = lambda table: rows(folder, f"SELECT count(*) FROM {table}")[0][0]
    assert (summary["signals"], summary["orders"], summary["fills"]) == (
        count("signals"),
        count("intents"),
        count("fills"),
    )
    assert summary["bars_out"] == dict(rows(folder, "SELECT timeframe, count(*) FROM bars GROUP BY timeframe"))
    cash = sum(
        (-1 if side == "BUY" else 1) * quantity * price * {"ES": 50, "NQ": 20}[name[:2]] - fee
        for side, quantity, price, name, fee in rows(
            folder, "SELECT side, quantity, price, instrument, commission FROM fills"
        )
    )
    assert summary["positions"] == {} and summary["pnl_usd"] == pytest.approx(cash, abs=0.01)


def test_the_roll_is_seen_once_per_symbol(played):
    _, folder = played
    meant = rows(folder, "SELECT subject, message FROM events WHERE kind = 'contract' ORDER BY seq")
    assert (
        sorted(meant) == sorted({*meant})
        and {symbol for symbol, _ in meant} == {"ES.c.0", "NQ.c.0"}
        and len(meant) == 4
    )


def test_logs_hold_one_json_line_a_signal(played):
    summary, folder = played
    lines = (folder / "logs" / "signals.log").read_text().splitlines()
    assert len(lines) == summary["signals"] and all(json.loads(line)["id"] for line in lines)


def test_no_key_or_token_reaches_the_journal_or_the_logs(played):
    from futures_algo.live.demo import DEMO_KEY, DEMO_TOKEN

    _, folder = played
    content = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert DEMO_KEY.encode() not in content and DEMO_TOKEN.encode() not in content


def test_the_same_seed_gives_the_same_trades(played, tmp_path):
    summary, _ = played
    again = demo("--folder", str(tmp_path))
    assert {k: v for k, v in again.items() if k not in ("elapsed_s", "journal")} == {
        k: v for k, v in summary.items() if k not in ("elapsed_s", "journal")
    }


def test_real_databento_bars_run_the_same_path(shared_data):
    summary = demo(
        "--data", str(shared_data / "databento/nautilus/futures_ohlcv-1m_2024-07-01T23-40_2024-07-02T00-10.dbn.zst")
    )
    assert (summary["bars_in"], summary["lost_bars"], summary["duplicate_bars"], summary["bars_out"]["1min"]) == (
        60,
        0,
        0,
        60,
    )


@pytest.fixture(scope="module")
def real_nq(shared_data, tmp_path_factory) -> tuple[dict, Path]:
    "The engine's run over the real NQ minutes."
    folder = tmp_path_factory.mktemp("nq")
    futures_algo(
        "import",
        shared_data / "bars_1m" / "NQ_1min_sample.csv",
        "--symbol",
        "NQ.c.0",
        "--tz",
        "America/New_York",
        "--out",
        folder / "nq.dbn.zst",
    )
    return demo("--data", str(folder / "nq.dbn.zst"), "--folder", str(folder)), folder


def test_the_real_minutes_give_the_same_signal_ids_in_sweep_replay_and_run(real_nq):
    from futures_algo.engine.build import build_strategy
    from futures_algo.live.demo import DEFAULT_CONFIG, demo_config, recorded
    from futures_algo.strategies import evaluate
    from futures_algo.strategies.checks import replay

    _, folder = real_nq
    (folder / "again").mkdir()
    recording = recorded([folder / "nq.dbn.zst"], folder / "again")
    config, _ = demo_config(ROOT / DEFAULT_CONFIG, recording, folder / "again")
    bars, seen = recording.bars["NQ.c.0"], 0
    for name, entry in config.strategies.items():
        if not entry.enabled:
            continue
        run = {
            row[0] for row in rows(folder, f"SELECT id FROM signals WHERE strategy = '{name}' AND symbol = 'NQ.c.0'")
        }
        sweep = {signal.id for signal in evaluate(build_strategy(name, entry), name, bars)}
        assert run == sweep == {signal.id for signal in replay(build_strategy(name, entry), name, bars)}, name
        seen += len(run)
    assert seen > 100


def test_bars_of_the_live_path_equal_the_vendors(shared_data, real_nq):
    import pandas as pd

    folder, (summary, tmp_path) = shared_data / "bars_1m", real_nq
    assert summary["bars_in"] == 14_714 and summary["lost_bars"] == 0
    for timeframe, file in (
        ("5min", "NQ_5min_sample.csv"),
        ("30min", "NQ_30min_sample.csv"),
        ("60min", "NQ_1hour_sample.csv"),
    ):
        vendor = pd.read_csv(folder / file, parse_dates=["timestamp"])
        starts = (
            vendor.timestamp.dt.tz_localize("America/New_York")
            .dt.tz_convert("UTC")
            .astype("datetime64[ns, UTC]")
            .astype("int64")
        )
        ours = {
            row[0]: row[1:]
            for row in rows(
                tmp_path,
                f"SELECT start, open, high, low, close, volume FROM bars WHERE timeframe = '{timeframe}' AND"
                " partial = 0",
            )
        }
        theirs = dict(
            zip(starts, vendor[["open", "high", "low", "close", "volume"]].itertuples(index=False, name=None))
        )
        assert (
            ours.keys() <= theirs.keys() and len(theirs) - len(ours) <= 1
        )  # the recording may end inside the last period
        assert all(np.array_equal(ours[start], theirs[start]) for start in ours), timeframe


@pytest.mark.parametrize(
    "arrange, words",
    [
        (lambda folder: ("demo", "--headless", "--data", folder / "none.dbn.zst"), "none.dbn.zst"),
        (lambda folder: ("demo", "--headless", "--data", truncated(folder)), "truncated"),
        (
            lambda folder: (
                "import",
                without_close(folder),
                "--symbol",
                "NQ.c.0",
                "--tz",
                "UTC",
                "--out",
                folder / "out.dbn.zst",
            ),
            "close",
        ),
        (
            lambda folder: (
                "import",
                without_close(folder),
                "--symbol",
                "QQ.c.0",
                "--tz",
                "UTC",
                "--out",
                folder / "out.dbn.zst",
            ),
            "known product",
        ),
        (lambda folder: ("demo", "--headless", "--config", folder / "none.json"), "must exist"),
        (lambda folder: ("demo", "--headless", "--config", unknown_class(folder)), "must be importable"),
    ],
)
def test_bad_input_ends_in_one_clear_line_and_leaves_nothing(tmp_path, arrange, words):
    message = futures_algo(*arrange(tmp_path), code=2)
    said = [line for line in message.splitlines() if line.strip()]
    assert len(said) == 1 and words in said[0], message
    assert not (tmp_path / "out.dbn.zst").exists() and not list(tmp_path.glob("*.tmp"))


def truncated(folder: Path) -> Path:
    from futures_algo.sim.market import generate

    whole = generate(folder / "market", sessions=1, symbols=("ES.c.0",)).files["ohlcv-1s"][0]
    path = folder / "cut.dbn.zst"
    path.write_bytes(whole.read_bytes()[:-500])
    return path


def without_close(folder: Path) -> Path:
    path = folder / "bars.csv"
    path.write_text("timestamp,open,high,low,volume\n2025-03-10 10:00:00,1,2,0.5,3\n")
    return path


def unknown_class(folder: Path) -> Path:
    path = folder / "config.json"
    path.write_text(
        json.dumps({"databento": {"symbols": ["ES.c.0"]}, "strategies": {"mine": {"class": "nowhere.Strategy"}}})
    )
    return path


def test_readme_shows_the_commands_and_its_links_exist():
    import re

    text = (ROOT / "README.md").read_text()
    first_screen = text[:1200]
    assert (
        "pip install -e . -c constraints.txt && futures-algo demo" in first_screen
        and 'pip install -e ".[dev]" -c constraints.txt && pytest' in first_screen
    )
    assert not [
        link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link and not (ROOT / link).exists()
    ]
