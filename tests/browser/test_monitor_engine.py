"""The monitor beside the real engine on loopback servers: killed while it is watched, started again, and asked
everything a page can ask."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
from test_engine_process import engine, recording  # noqa: F401  fixtures
from test_monitor import WORDS, bars_drawn, cells, exchange, panel, ready
from waiting import eventually

from futures_algo.monitor.serving import serve

pytestmark = pytest.mark.browser


def look(page, check, seconds: float = 60.0):
    "As `eventually`, while the page's own events are served."
    return eventually(lambda: check() or page.wait_for_timeout(50), seconds)


def test_a_killed_engine_is_said_and_comes_back_and_every_action_reaches_it(engine, visit):  # noqa: F811
    content = json.loads(engine.config.read_text())
    content["engine"] = content.get("engine", {}) | {
        "reload_seconds": 3600
    }  # the page's command reloads, not the engine's own look
    engine.config.write_text(json.dumps(content))
    served = serve(engine.path, config_path=engine.config)
    try:
        page = visit(served.url)
        engine.start()
        look(page, lambda: bars_drawn(page) > 20)
        ready(page)
        os.kill(eventually(engine.running), signal.SIGKILL)
        page.get_by_text("The engine is silent").wait_for()
        drawn = bars_drawn(page)
        engine.process.wait(10)
        engine.start("--supervised")
        page.get_by_text("The engine is silent").wait_for(state="detached", timeout=60_000)
        look(page, lambda: bars_drawn(page) > drawn)
        victim = eventually(engine.running)
        os.kill(victim, signal.SIGKILL)
        look(page, lambda: engine.running() not in (0, victim))
        look(page, lambda: panel(page, "Events").get_by_text("ended with -9").count())  # the supervisor's word
        look(page, lambda: engine.reached() >= engine.recording.end - 60 * 10**9, 300)
        _ask_everything(page, engine, content)
        _numbers(page, engine)
    finally:
        served.stop()


def _ask_everything(page, engine, content) -> None:  # noqa: F811
    "Every button once; the engine's answers are in the journal."
    name = next(iter(content["strategies"]))
    press = lambda label: page.get_by_role("button", name=label, exact=True).click()

    def answered(verb: str):
        def row():
            with engine.journal() as journal:
                return next(
                    (r for r in journal.rows("commands", "verb = ?", verb) if r["state"] != "pending" and r["answer"]),
                    None,
                )

        return look(page, row)

    press("Halt")
    answered("halt")
    page.get_by_text("HALTED since").wait_for()
    page.get_by_placeholder("type RESUME").press_sequentially("RESUME")
    press("Resume")
    answered("resume")
    press("Reduce only")
    answered("reduce")
    page.locator("select").nth(2).select_option(f"strategy {name}")
    page.get_by_placeholder("type its name").press_sequentially(name)
    press("Flatten")
    answered("flatten")
    page.locator("select").nth(3).select_option(name)
    press("Disable")
    answered("disable")
    page.get_by_text("○ disabled").first.wait_for()
    press("Enable")
    answered("enable")
    press("Acknowledge")
    answered("acknowledge")
    content["execution"]["poll_seconds"] = 3.0
    engine.config.write_text(json.dumps(content))
    press("Compare config file")
    page.get_by_text('"poll_seconds": 3.0').wait_for()
    press("Apply it")
    answered("reload")
    with engine.journal() as journal:
        rows = journal.rows("commands", order="at")
    assert [row["verb"] for row in rows] == [
        "halt",
        "resume",
        "reduce",
        "flatten",
        "disable",
        "enable",
        "acknowledge",
        "reload",
    ]
    assert all(row["state"] == "done" and row["who"] and row["at"] for row in rows), rows


def _numbers(page, engine) -> None:  # noqa: F811
    "Fills, signals and the day's dollars are the journal's."
    with engine.journal() as journal:
        fills, signals = (
            journal.rows("fills", order="rowid DESC"),
            journal.rows("signals", order="rowid DESC", limit=80),
        )
    assert fills and signals
    look(
        page,
        lambda: [row[5][2:] for row in cells(page, "Signals")] == [WORDS[s["verdict"]] for s in signals],
    )
    assert [row[0][:8] for row in cells(page, "Signals")] == [exchange(s["bar_end"]) for s in signals]
    shown = cells(page, "Fills")
    assert [float(row[4].replace(",", "")) for row in shown] == [f["price"] for f in fills[: len(shown)]] and shown
