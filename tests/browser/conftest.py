"A real browser for the tests: Debian's chromium, driven by playwright; without either the tests skip and say why."

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fixtures"))

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(
    scope="module"
)  # not session: while playwright runs, no other test can run an event loop in this thread
def browser():
    "One chromium for the tests of a file."
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed (pip install playwright)"
    )
    if not shutil.which(CHROMIUM):
        pytest.skip(f"{CHROMIUM} is missing (apt-get install chromium)")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser):
    """`visit(url, **context)` opens a page in a browser of its own; at the end it must have asked no other host and
    raised no error."""
    contexts, foreign, errors = [], [], []

    def open_page(url: str, **options):
        contexts.append(context := browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options}))
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on(
            "request",
            lambda request: None if request.url.startswith((url, "blob:", "data:")) else foreign.append(request.url),
        )
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not foreign, f"the page asked other hosts: {foreign}"
    assert not errors, errors
