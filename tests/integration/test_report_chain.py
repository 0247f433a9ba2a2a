"The report of sessions that were reloaded, killed, and fed faults: every difference has its cause, no bar is lost, no order doubled."
import random
import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest

import test_reload
import test_restart
from test_restart import recording  # noqa: F401

from futures_algo import engine as engine_module
from futures_algo.journal import Journal
from futures_algo.report import Report, session_report
from futures_algo.report_facts import _sessions

FAULTS = ("lost_after", "lost_before", "addon_timeout", "reject_after_success", "partial", "server_error_after", "rate_limited", "refuse", "id_not_echoed", "html")


def reports(path: Path, recording) -> list[Report]:
    "Of every session of a journal, against what was recorded."
    with Journal(path, readonly=True) as journal: dates = _sessions(journal, next(iter(recording.bars)))
    return [session_report(path, recording.bars, session=date) for date in dates]


def whole(found: list[Report]) -> None:
    for report in found:
        assert report.ok, str(report)
        assert report.counts["lost_bars"] == report.counts["duplicate_bars"] == report.counts["duplicate_orders"] == 0
        assert all(abs(row["left_usd"]) < 0.01 and "unexplained" not in row["causes"] for row in report.pnl)


@pytest.mark.parametrize("crash", [False, True], ids=["stopped", "died"])
def test_a_session_of_several_engines_is_that_of_one(recording, tmp_path, monkeypatch, crash):
    monkeypatch.setattr(engine_module, "SNAPSHOT_SECONDS", 0.3)
    with ExitStack() as stack:
        world, chance = test_restart.World(stack, recording, tmp_path), random.Random(7)
        for part in (0.25, 0.6): world.run(part + chance.uniform(-0.1, 0.1), crash).close()
        world.run().close()
    found = reports(tmp_path / "journal.db", recording)
    whole(found)
    assert len(found) == 2 and sum(report.counts["signals"] for report in found) > 100
    assert not [one for report in found for one in report.differences if one.kind in ("bar", "signal")]


def test_an_engine_that_died_before_its_first_snapshot(recording, tmp_path, monkeypatch):
    monkeypatch.setattr(engine_module, "SNAPSHOT_SECONDS", 1000.0)
    with ExitStack() as stack:
        world = test_restart.World(stack, recording, tmp_path)
        world.run(0.4, crash=True).close()
        world.run().close()
    whole(reports(tmp_path / "journal.db", recording))


def test_reloads_explain_what_they_changed(recording, tmp_path, monkeypatch, campaign):
    monkeypatch.setattr(engine_module, "STATUS_SECONDS", 0.004)
    chance = random.Random(5)
    with ExitStack() as stack:
        world = test_reload.World(stack, recording, tmp_path, test_reload.base())

        def change(number: int):
            def act(engine):
                strategies, kind = world.content["strategies"], number % 5
                if kind == 0: strategies["moved"]["parameters"]["length"] = chance.randint(5, 60)
                elif kind == 1: strategies[f"new{number}"] = {"class": test_reload.MACD, "parameters": {"length": chance.randint(5, 60)}}
                elif kind == 2: strategies.pop(next((name for name in strategies if name.startswith("new")), ""), None)
                elif kind == 3: strategies["moved"]["quantity"] = 3 - strategies["moved"].get("quantity", 1)
                else: strategies["moved"]["enabled"] = not strategies["moved"].get("enabled", True)
                world.write()
                engine.reloader.now(engine)
            return act

        moments = {at: change(number) for number, at in enumerate(sorted(chance.sample(range(100, recording.count - 100), campaign(15, full=60))))}
        world.run(moments).close()
    found = reports(tmp_path / "journal.db", recording)
    whole(found)
    assert any("config_change" in report.causes for report in found)
    assert not [one for report in found for one in report.differences if one.kind == "signal" and one.detail["strategy"] == "steady"]


def test_broker_faults_have_their_causes(recording, tmp_path, campaign):
    chance = random.Random(3)
    with ExitStack() as stack:
        world = test_restart.World(stack, recording, tmp_path)
        for number in range(campaign(12, full=60)):
            world.broker.faults.add(FAULTS[number % len(FAULTS)], path="/place", method="POST", seconds=0.01, form="float", skip=chance.randrange(4))
        world.run().close()
        happened = sum(world.broker.faults.happened.values())
    found = reports(tmp_path / "journal.db", recording)
    whole(found)
    assert happened >= 10 and {"broker_reject", "not_sent", "retry", "outcome_unknown"} & {cause for report in found for cause in report.causes}


def test_a_report_that_is_wrong_is_told(recording, tmp_path):
    "The same chain with one signal and one bar taken out of its journal."
    import sqlite3
    with ExitStack() as stack: test_restart.World(stack, recording, tmp_path).run().close()
    path = Path(shutil.copy(tmp_path / "journal.db", tmp_path / "damaged.db"))
    with sqlite3.connect(path) as journal:
        journal.execute("DELETE FROM signals WHERE id = (SELECT id FROM signals ORDER BY bar_end DESC LIMIT 1 OFFSET 10)")
        journal.execute("DELETE FROM bars WHERE seq = (SELECT seq FROM bars WHERE timeframe = '1min' ORDER BY \"end\" DESC LIMIT 1 OFFSET 50)")
    report = reports(path, recording)[-1]
    assert {one.kind for one in report.unexplained} >= {"bar", "signal"} and report.counts["lost_bars"] == 1
