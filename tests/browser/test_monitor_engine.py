"The monitor beside the real engine on loopback servers: killed while it is watched, started again, and asked to halt."
import json
import os
import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
from test_engine_process import engine, eventually, recording  # noqa: F401  fixtures
from test_monitor import bars_drawn, panel, ready

from futures_algo.monitor import serve

pytestmark = pytest.mark.browser


def look(page, check, seconds: float = 60.0):
    "As `eventually`, while the page's own events are served."
    return eventually(lambda: check() or page.wait_for_timeout(50), seconds)


def test_a_killed_engine_is_said_and_comes_back_and_a_halt_reaches_it(engine, visit):   # noqa: F811
    content = json.loads(engine.config.read_text())
    content["engine"] = content.get("engine", {}) | {"reload_seconds": 3600}   # the page's command reloads, not the engine's own look
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
        look(page, lambda: panel(page, "Events").get_by_text("ended with -9").count())   # the supervisor's word
        look(page, lambda: engine.reached() >= engine.recording.end - 60 * 10**9, 120)
        page.get_by_role("button", name="Halt", exact=True).click()
        def halted():
            with engine.journal() as journal: return [row["answer"] for row in journal.rows("commands", "verb = 'halt'") if row["state"] == "done"]
        assert look(page, halted) == ["trading is HALTED"]
    finally: served.stop()
