"What a demo leaves: the four logs as run writes them, and every number a person reads derived again from the journal."

import json
import sqlite3
from collections import Counter

import pytest

from futures_algo.core.contracts import product, root_of
from futures_algo.live.demo import Demo, recorded
from futures_algo.live.session import look, session_summary
from futures_algo.sim.market import generate


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    "A demo's folder and its summary: one session of two symbols, with more signals than a page shows."
    folder = tmp_path_factory.mktemp("demo")
    (path,) = generate(folder, 9, sessions=1).files["ohlcv-1s"]
    return folder, Demo(recorded([path], folder), folder).run()


def rows(folder, query: str, *values) -> list[dict]:
    "Straight from the file, with nothing of ours between."
    connection = sqlite3.connect(folder / "journal.db")
    connection.row_factory = sqlite3.Row
    found = [dict(row) for row in connection.execute(query, values)]
    connection.close()
    return found


def cash_of(fills: list[dict]) -> float:
    "What was paid and received, of positions that are closed."
    side = lambda row: 1 if row["side"] == "BUY" else -1
    return -sum(row["price"] * row["quantity"] * side(row) * product(row["instrument"]).point_value for row in fills)


def test_the_demo_writes_the_four_logs(played):
    folder, summary = played
    logs = {path.name: path.read_text().splitlines() for path in (folder / "logs").iterdir()}
    (daily,) = (name for name in logs if name.startswith("live_trading_"))
    assert set(logs) == {"signals.log", "executions.log", "scanner.log", daily} and all(logs.values())
    ids = [json.loads(line)["id"] for line in logs["signals.log"]]
    assert ids == [row["id"] for row in rows(folder, "SELECT id FROM signals ORDER BY rowid")]
    filled = [row for row in map(json.loads, logs["executions.log"]) if row.get("state") == "Filled"]
    assert {row["order_id"] for row in filled} >= {
        row["order_id"] for row in rows(folder, "SELECT order_id FROM fills")
    }
    assert len(logs["scanner.log"]) >= len(ids)


def test_the_demos_table_is_the_journals(played):
    folder, summary = played
    signals, fills = rows(folder, "SELECT * FROM signals"), rows(folder, "SELECT * FROM fills")
    assert summary["signals"] == len(signals) > 120
    assert summary["verdicts"] == Counter(row["verdict"] for row in signals)
    assert summary["orders"] == rows(folder, "SELECT count(*) AS n FROM intents")[0]["n"]
    assert summary["fills"] == len(fills)
    assert summary["fills_by_symbol"] == Counter(f"{root_of(row['instrument'])} {row['side']}" for row in fills)
    assert summary["commission_usd"] == round(sum(row["commission"] for row in fills), 2)
    by_timeframe = rows(folder, "SELECT timeframe, count(*) AS n FROM bars GROUP BY timeframe")
    assert summary["bars_out"] == {row["timeframe"]: row["n"] for row in by_timeframe}
    cash = cash_of(fills)
    held = sum(row["quantity"] * (1 if row["side"] == "BUY" else -1) for row in fills)
    assert held == 0 == len(summary["positions"])
    assert summary["pnl_usd"] == pytest.approx(cash - summary["commission_usd"], abs=0.01)


def test_the_nights_summary_counts_the_journal_not_the_pages_rows(played):
    folder, _ = played
    summary, view = session_summary(folder / "journal.db"), look(folder / "journal.db")
    since = min(row["start"] for row in rows(folder, "SELECT start FROM bars"))
    signals = rows(folder, "SELECT verdict FROM signals WHERE at >= ?", since)
    assert len(view.tables["signals"]) < len(signals)
    assert summary["signals"] == Counter(row["verdict"] for row in signals)
    fills = rows(folder, "SELECT * FROM fills WHERE at >= ?", since)
    assert sum(line["fills"] for line in summary["lines"]) == len(fills)
    cash = cash_of(fills)
    assert summary["net_usd"] == pytest.approx(cash - sum(row["commission"] for row in fills), abs=0.01)
    told = "SELECT message FROM events WHERE lower(level) IN ('error', 'critical', 'alarm')"
    assert summary["alarms"] == [row["message"] for row in rows(folder, told)]
