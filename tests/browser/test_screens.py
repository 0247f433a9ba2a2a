"""The page as people see it: one picture a state, and what holds in all of them.

Nothing is cut or lies over something else, Halt and Flatten are in the first screen, every text can be read, and the
browser has nothing to complain about. The pictures are the README's too: they land in `$FUTURES_ALGO_CI_OUTPUT`.
"""

import os
from pathlib import Path

import pytest
from journal_maker import Answering, Day
from test_monitor import bars_drawn, panel
from waiting import eventually

from futures_algo.monitor.serving import serve

pytestmark = pytest.mark.browser
AUDIT = (Path(__file__).resolve().parent / "audit.js").read_text(encoding="utf-8")
DESK = {"viewport": {"width": 1440, "height": 900}}
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}
FIRST_SCREEN = (
    "P&L today",
    "Positions",
    "Last signals",
    "Strategies",
    "Working orders",
)  # without scrolling, at a desk


def holding(day: Day) -> None:
    "One contract with its stop and target at the broker, and limits to keep."
    day.positions["ES.c.0"], day.averages["ES.c.0"] = 1, day.prices["ES.c.0"] - 2
    for source, strategy in (("ledger", day.strategy), ("broker", "")):
        day.book("ES.c.0", source, strategy, 1)
    day.working("ES.c.0", day.prices["ES.c.0"] - 9)


def halted(day: Day) -> None:
    day.trading = {"state": "HALTED", "reason": "the day's loss limit of $1,000 is reached", "since": day.now}


def locked(day: Day) -> None:
    day.locked = {"ESZ5": "ledger +1, broker +2"}
    day.book("ES.c.0", "broker", "", 2)


@pytest.fixture
def folder(tmp_path) -> Path:
    return Path(os.environ.get("FUTURES_ALGO_CI_OUTPUT") or tmp_path)


@pytest.fixture
def looked_at(browser, folder):
    "`looked_at(url, name, **context)`: opens, waits until it is drawn, takes the picture, and audits the page."
    contexts = []

    def look(url: str, name: str, bars: int, **options):
        contexts.append(context := browser.new_context(**options))
        page, complaints = context.new_page(), []
        page.set_default_timeout(30_000)
        page.on("console", lambda said: complaints.append(f"{said.text} {said.location}") if said.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        panel(page, "P&L today").locator("visible=true").first.wait_for()
        page.wait_for_function("() => window.faDrawn && !document.getElementById('shell')")
        page.get_by_role("button", name="Flatten all").wait_for()
        eventually(lambda: bars_drawn(page) == bars)
        page.wait_for_timeout(700)  # the canvas paints on the next frames
        page.screenshot(path=folder / f"monitor-{name}.png")
        for found in (audit(page), complaints):
            assert not found, "\n".join(found)
        for button in ("Halt", "Flatten all"):
            box, height = (
                page.get_by_role("button", name=button, exact=True).bounding_box(),
                page.viewport_size["height"],
            )
            assert box and 0 <= box["y"] and box["y"] + box["height"] <= height, f"{button} is out of reach: {box}"
        return page

    yield look
    for context in contexts:
        context.close()


def audit(page) -> list[str]:
    "What is cut, overlaps, or cannot be read."
    return page.evaluate(AUDIT)


@pytest.fixture
def day(tmp_path):
    made = Day(tmp_path / "live.db", mode="simulation").run(1000)
    holding(made)
    made.status()
    yield made
    made.journal.close()


@pytest.mark.parametrize(
    ("name", "state", "options"),
    [
        ("light", None, DESK | {"color_scheme": "light"}),
        ("dark", None, DESK | {"color_scheme": "dark"}),
        ("phone", None, PHONE | {"color_scheme": "light"}),
        ("phone-dark", None, PHONE | {"color_scheme": "dark"}),
        ("halted", halted, DESK | {"color_scheme": "light"}),
        ("locked", locked, DESK | {"color_scheme": "dark"}),
    ],
)
def test_a_running_engine(day, looked_at, name, state, options):
    if state:
        state(day)
    engine = Answering(day)
    engine.start()
    served = serve(day.journal.path)
    try:
        page = looked_at(served.url, name, 1000, **options)
        if name == "light":
            for title in FIRST_SCREEN:
                box = panel(page, title).bounding_box()
                assert box and box["y"] + box["height"] <= 900, f"{title} ends below the first screen: {box}"
            page.evaluate("window.scrollTo(0, 600)")
            assert page.get_by_role("button", name="Halt", exact=True).bounding_box()["y"] < 100, "the band stays"
    finally:
        engine.stop()
        served.stop()


def test_a_silent_engine_has_no_green_light(day, looked_at):
    served = serve(day.journal.path)
    day.journal.set_status("engine", 1, **(day.journal.status()["engine"] | {"beat": 1, "pid": 2**22 + 1}))
    day.journal.flush()
    try:
        page = looked_at(served.url, "silent", 1000, **DESK)
        assert page.locator(".chip.ok").count() == 0 and page.locator(".mode.none").count() == 1
        assert page.get_by_text("its process 4194305 is gone").count()
        assert page.get_by_text("books agree").count() == 0
    finally:
        served.stop()


def test_no_engine_at_all(tmp_path, browser, folder):
    served = serve(tmp_path / "live.db")
    context = browser.new_context(**DESK)
    page = context.new_page()
    try:
        page.goto(served.url)
        page.wait_for_function("() => window.faDrawn && !document.getElementById('shell')")
        page.get_by_text("There is no journal at").locator("visible=true").first.wait_for()
        page.wait_for_timeout(500)
        page.screenshot(path=folder / "monitor-no-engine.png")
        assert not audit(page)
        assert page.locator(".chip.ok").count() == 0
    finally:
        context.close()
        served.stop()
