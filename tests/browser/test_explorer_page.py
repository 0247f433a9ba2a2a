"""The explorer in JupyterLab, in a real browser: a copy of `explore.ipynb` in a folder of its own, run as a new user
runs it."""

import datetime as dt
import json
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import eventually

from futures_algo.config.loading import load_config
from futures_algo.config.scenario import read_scenario
from futures_algo.explorer.widget import SHOWN
from futures_algo.research.backtest import backtest
from futures_algo.research.performance import written
from futures_algo.sim.market import generate_minutes
from futures_algo.strategies import Market, OpeningRangeBreakout

pytestmark = pytest.mark.browser
ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (
    "JUPYTER_CONFIG_DIR",
    "JUPYTER_DATA_DIR",
    "JUPYTER_RUNTIME_DIR",
    "IPYTHONDIR",
    "JUPYTERLAB_SETTINGS_DIR",
    "JUPYTERLAB_WORKSPACES_DIR",
)
SESSIONS = 60  # generated for the copy, in place of the lesson's year


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab on loopback with a token, its settings and the notebook's copy in a temporary folder: (address,
    folder)."""
    folder = tmp_path_factory.mktemp("lab")
    work = folder / "work"
    shutil.copytree(ROOT / "config", work / "config")
    text = (ROOT / "nbs/explore.ipynb").read_text(encoding="utf-8")
    assert "sessions=252" in text
    (work / "explore.ipynb").write_text(text.replace("sessions=252", f"sessions={SESSIONS}"), encoding="utf-8")
    quiet = (
        folder / "JUPYTERLAB_SETTINGS_DIR" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    )
    quiet.parent.mkdir(parents=True)
    quiet.write_text('{"fetchNews": "false", "checkForUpdates": false}', encoding="utf-8")
    token = secrets.token_hex(16)
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    command = [
        sys.executable,
        "-m",
        "jupyter",
        "lab",
        "--no-browser",
        "--allow-root",
        "--ServerApp.ip=127.0.0.1",
        "--ServerApp.port=0",
        f"--ServerApp.root_dir={work}",
    ]
    with open(folder / "server.log", "w", encoding="utf-8") as log:
        server = subprocess.Popen(
            command,
            cwd=work,
            stdout=log,
            stderr=log,
            env=os.environ
            | {name: str(folder / name) for name in FOLDERS}
            | {"JUPYTER_TOKEN": token, "PYTHONPATH": path},
        )
        try:
            port = eventually(lambda: server.poll() is None and _port(folder / "JUPYTER_RUNTIME_DIR"), 60)
            yield f"http://127.0.0.1:{port}/lab/tree/explore.ipynb?reset&token={token}", work
        finally:
            server.terminate()
            server.wait(20)


def _port(folder: Path) -> int:
    "The port the server wrote down, 0 before it has."
    for file in folder.glob("jpserver-*.json"):
        try:
            return json.loads(file.read_text(encoding="utf-8"))["port"]
        except ValueError:
            return 0  # half written
    return 0


@pytest.fixture(scope="module")
def market():
    return Market(generate_minutes("ES.c.0", sessions=SESSIONS, first_session=dt.date(2025, 1, 2), seed=7))


@pytest.fixture(scope="module")
def page(browser, lab):
    "The notebook opened and run to its end; no other host may be asked and nothing may fail in the page."
    foreign, errors = [], []
    host = lab[0].split("/lab/")[0]
    context = browser.new_context(viewport={"width": 1500, "height": 1180})
    page = context.new_page()
    page.set_default_timeout(40_000)
    page.on(
        "request",
        lambda request: None if request.url.startswith((host, "blob:", "data:")) else foreign.append(request.url),
    )
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(lab[0])
    page.get_by_text("| Idle").wait_for()
    page.keyboard.press("Control+B")  # the file browser goes
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    page.locator(".fx-explorer [data-figure=net_profit_usd]").wait_for()
    eventually(lambda: documents(page))
    yield page
    context.close()
    assert not foreign, f"the page asked other hosts: {foreign}"
    assert not errors, errors


FIND = "[...document.querySelectorAll('.fx-explorer *')].map(e => e.bokehDocument).filter(d => d)"


def documents(page) -> int:
    return page.evaluate(f"() => {FIND}.length")


def source(page, column: str) -> dict:
    "The data of the first source in the page that has a column."
    return page.evaluate(
        f"""(name) => {{
        for (const d of {FIND}) for (const m of d.all_models ?? d._all_models.values())
            if (m.type == 'ColumnDataSource' && m.data[name])
                return Object.fromEntries(Object.entries(m.data).map(([k, v]) => [k, Array.from(v)]))
        }}""",
        column,
    )


def figures(page) -> dict[str, str]:
    "The figures on the page, as written."
    return page.locator(".fx-explorer [data-figure]").evaluate_all(
        "all => Object.fromEntries(all.map(e => [e.dataset.figure, e.innerText]))"
    )


def expected(market, **parameters) -> dict[str, str]:
    "The same figures of a backtest here."
    stats = backtest(OpeningRangeBreakout(**parameters), market).stats
    return {name: written(name, stats[name]) for name in SHOWN}


def row(page, name: str):
    return page.locator(".fx-parameter", has=page.locator("b", has_text=name)).first


def box(page, name: str):
    return row(page, name).locator("input[type=number]")


def tab(page, name: str):
    page.locator(".fx-explorer").get_by_role("tab", name=name, exact=True).click()


def error(page) -> str:
    return " ".join(page.locator(".fx-explorer [role=alert]").all_inner_texts())


def shot(page, name: str, tmp_path) -> None:
    "A picture of the explorer, kept as the run's output."
    page.locator(".fx-explorer").scroll_into_view_if_needed()
    page.wait_for_timeout(400)  # the canvas paints on the next frames
    folder = Path(os.environ.get("FUTURES_ALGO_CI_OUTPUT") or tmp_path)
    page.locator(".fx-explorer").screenshot(path=folder / f"explorer-{name}.png")


def test_the_figures_are_the_backtests(page, market, tmp_path):
    assert figures(page) == expected(market)
    trades = backtest(OpeningRangeBreakout(), market).trades
    drawn = source(page, "y1")
    assert (
        drawn["x0"] == trades.entry_row[-len(drawn["x0"]) :].tolist()
        and drawn["y1"] == trades.exit_price[-len(drawn["y1"]) :].tolist()
    )
    shot(page, "run", tmp_path)


def test_a_slider_moved_changes_them(page, market):
    before = figures(page)
    handle = row(page, "minutes").locator(".noUi-handle")
    handle.focus()
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    eventually(lambda: box(page, "minutes").input_value() == "42")
    eventually(lambda: figures(page) == expected(market, minutes=42))
    assert figures(page) != before
    trades = backtest(OpeningRangeBreakout(minutes=42), market).trades
    eventually(lambda: (drawn := source(page, "y1")) and drawn["x0"] == trades.entry_row[-len(drawn["x0"]) :].tolist())


def test_a_value_that_cannot_be_is_one_line(page, market):
    box(page, "minutes").fill("200")
    box(page, "minutes").press("Enter")
    eventually(lambda: "last_entry was 180; it must lie between minutes, 200, and leave, 385" in error(page))
    assert "Traceback" not in page.locator(".jp-Notebook").inner_text()
    box(page, "minutes").fill("30")
    box(page, "minutes").press("Enter")
    eventually(lambda: not error(page) and figures(page) == expected(market))


def test_another_strategy_has_its_own_sliders(page, market):
    chooser = page.locator(".fx-explorer select").first
    chooser.select_option("VWAPReversion")
    row(page, "width").wait_for()
    eventually(lambda: source(page, "vwap_upper"))
    chooser.select_option("OpeningRangeBreakout")
    row(page, "last entry").wait_for()
    eventually(lambda: figures(page) == expected(market))


def test_a_sweep_and_a_click_into_its_heat_map(page, market, tmp_path):
    tab(page, "Sweep")
    texts = page.locator(".fx-explorer input[type=text]").locator("visible=true")
    for at, text in enumerate(("10:60:10", "50:250:50")):
        texts.nth(at).fill(text)
        texts.nth(at).press("Enter")
    page.get_by_text("30 combinations, 2 of them refused by the strategy").wait_for()
    page.get_by_role("button", name="Run sweep").click()
    page.get_by_text("click one to see it run").wait_for()
    sharpe = {
        (minutes, last): backtest(OpeningRangeBreakout(minutes=minutes, last_entry=last), market).stats["sharpe"]
        for minutes in range(10, 70, 10)
        for last in range(50, 300, 50)
        if minutes < last
    }
    best = max(sharpe, key=sharpe.get)
    assert page.locator("[data-rank='1']").inner_text() == written("sharpe", sharpe[best])
    cells = source(page, "value")
    assert [value for value in cells["value"] if value is not None and value == value] == pytest.approx(
        [sharpe[key] for key in sorted(sharpe)], rel=1e-9
    )
    shot(page, "sweep", tmp_path)
    click_cell(page, 3, 2)
    eventually(lambda: figures(page) == expected(market, minutes=40, last_entry=150))
    assert (box(page, "minutes").input_value(), box(page, "last entry").input_value()) == ("40", "150")


def click_cell(page, x: int, y: int) -> None:
    "Click the middle of a cell of the heat map, the figure whose axes end between two cells."
    at = page.evaluate(
        """([x, y]) => {
        const documents = [...document.querySelectorAll('.fx-explorer *')].map(e => e.bokehDocument).filter(d => d)
        for (const shown of documents) for (const view of shown.views_manager.roots) {
            if (view.model.type != 'Figure' || view.model.x_range.end % 1 != 0.5) continue
            const box = view.canvas.el.getBoundingClientRect()
            return [box.x + view.frame.x_scale.compute(x), box.y + view.frame.y_scale.compute(y)] } }""",
        [x, y],
    )
    page.mouse.click(*at)


def test_saving_writes_a_scenario_the_live_config_refers_to(page, lab, market, tmp_path, monkeypatch):
    tab(page, "Save")
    page.get_by_role("button", name="Compare").click()
    page.get_by_text("this is what would change").wait_for()
    assert '"value": 150' in page.locator(".fx-difference").inner_text()
    save = page.get_by_role("button", name="Save to live config")
    assert save.is_disabled()
    page.get_by_text("I accept these parameters").click()
    eventually(save.is_enabled)
    shot(page, "save", tmp_path)
    save.click()
    page.get_by_text("saved opening_range_breakout in").wait_for()
    scenario = read_scenario(lab[1] / "config/live_scenario_config.json", "opening_range_breakout")
    assert (
        scenario.values() == OpeningRangeBreakout(minutes=40, last_entry=150).parameters()
        and scenario.accepted
        and not scenario.passed
    )
    for name in ("DATABENTO_API_KEY", "CROSSTRADE_API_KEY"):
        monkeypatch.setenv(name, "not-a-key")
    entry = load_config(lab[1] / "config/live_trading_config.json").strategies["opening_range_breakout"]
    assert entry.all_parameters()["minutes"] == 40 and not entry.enabled


# --- the page without Jupyter


def test_the_panel_page_shows_the_same_figures(visit, tmp_path):
    from futures_algo.explorer.page import serve

    bars = generate_minutes("ES.c.0", sessions=20, seed=3)
    server = serve(bars, OpeningRangeBreakout)
    try:
        page = visit(server.url)
        shown = lambda: page.locator("[data-figure]").evaluate_all(
            "all => Object.fromEntries(all.map(e => [e.dataset.figure, e.innerText]))"
        )
        eventually(lambda: shown() == expected(bars))
        slider = page.locator(".noUi-handle").first
        slider.focus()
        for _ in range(15):
            page.keyboard.press("ArrowRight")
        eventually(lambda: shown() == expected(bars, minutes=45))
        page.wait_for_timeout(400)  # the canvas paints on the next frames
        page.screenshot(path=Path(os.environ.get("FUTURES_ALGO_CI_OUTPUT") or tmp_path) / "explorer-page.png")
    finally:
        server.stop()
