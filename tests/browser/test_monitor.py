"The monitor in a real browser, on a journal written by the real `Journal`."

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from journal_maker import CONTRACTS, Answering, Day
from waiting import eventually

from futures_algo.core.contracts import product, root_of
from futures_algo.core.sessions import EXCHANGE_ZONE
from futures_algo.monitor.page import shared_views
from futures_algo.monitor.serving import serve

pytestmark = pytest.mark.browser
ROOT = Path(__file__).resolve().parents[2]
WORDS = {"sent": "sent", "denied": "refused", "dry_run": "not sent: dry run"}  # verdicts as the page says them
# the newest
FIND = (
    "(type) => [...(window.Bokeh?.documents?.[0]?.all_models ?? [])].filter(m => m.type == type && (type !="
    " 'ColumnDataSource' || m.data.open)).at(-1)"
)


@pytest.fixture
def day(tmp_path):
    "Seven hours of two symbols."
    made = Day(tmp_path / "live.db").run(420)
    yield made
    made.journal.close()


@pytest.fixture
def engine(day):
    "Answers commands and beats, as an engine does."
    answering = Answering(day)
    answering.start()
    yield answering
    answering.stop()


@pytest.fixture
def served(day):
    page = serve(day.journal.path)
    yield page
    page.stop()


def panel(page, title: str):
    return page.locator(f"section[aria-label='{title}']")


def cells(page, title: str) -> list[list[str]]:
    "The texts of a panel's table."
    return (
        panel(page, title)
        .locator("tbody tr")
        .evaluate_all("rows => rows.map(row => [...row.cells].map(cell => cell.innerText.trim()))")
    )


def dollars(text: str) -> float:
    return float(text.replace("−", "-").replace("+", "").replace("$", "").replace(",", ""))


def exchange(nanos: int) -> str:
    return f"{datetime.fromtimestamp(nanos // 10**9, EXCHANGE_ZONE):%H:%M:%S}"


def bars_drawn(page) -> int:
    return page.evaluate(f"() => {{ const s = ({FIND})('ColumnDataSource'); return s ? s.data.x.length : 0 }}")


def ready(page):
    panel(page, "P&L today").wait_for()
    page.get_by_role("button", name="Latest").wait_for()
    return page


# --- every number on the page is the journal's


def test_fills_signals_and_orders_are_the_journals(day, served, visit):
    day.working("ES.c.0", day.prices["ES.c.0"] - 10)
    day.status()
    page = ready(visit(served.url))
    eventually(lambda: cells(page, "Working orders"))
    fills = day.journal.rows("fills", order="rowid DESC")
    shown = cells(page, "Fills")
    assert len(shown) == len(fills)
    for row, fill in zip(shown, fills):
        assert row[0].startswith(exchange(fill["at"])) and row[2].endswith(fill["side"])
        assert float(row[4].replace(",", "")) == fill["price"]
        ticks = (
            (fill["price"] - fill["reference_price"])
            * (1 if fill["side"] == "BUY" else -1)
            / product(root_of(fill["instrument"])).tick_size
        )
        assert dollars(row[5]) == ticks and dollars(row[6]) == -fill["commission"]
    signals = day.journal.rows("signals", order="rowid DESC", limit=80)
    assert [(row[0][:8], row[5][2:]) for row in cells(page, "Signals")] == [
        (exchange(s["bar_end"]), WORDS[s["verdict"]]) for s in signals
    ]
    assert cells(page, "Working orders")[0][5] == f"stop {day.prices['ES.c.0'] - 10:,.2f}"


def test_the_days_result_is_the_sum_over_fills_and_last_prices(day, served, visit):
    page = ready(visit(served.url))
    net = 0.0
    for fill in day.journal.rows("fills"):
        sign = 1 if fill["side"] == "BUY" else -1
        net -= (
            sign * fill["quantity"] * fill["price"] * product(root_of(fill["instrument"])).point_value
            + fill["commission"]
        )
    net += sum(day.positions[s] * day.prices[s] * product(s).point_value for s in day.symbols)
    assert dollars(page.locator("#net-today").inner_text()) == pytest.approx(net, abs=0.005)
    held = {row[0].split()[0]: (row[1], row[2]) for row in cells(page, "Positions") if row[1:2] > [""]}
    for symbol, quantity in day.positions.items():
        assert {int(q.replace("−", "-")) for q in held[CONTRACTS[symbol][0]]} == {quantity}


def test_the_journal_is_on_screen_before_any_script(day, engine, served, browser):
    "The answer to a visit holds the panels as plain HTML; the drawn page then takes its place."
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(served.url)
    assert page.locator("#net-today").inner_text().startswith(("+$", "−$")) and page.locator(
        "section[aria-label='Fills'] tbody tr"
    ).count() == day.journal.count("fills")
    assert page.locator(".mode.dry_run").inner_text().startswith("DRY RUN")
    context.close()


def test_local_times_are_the_readers(day, served, visit):
    page = ready(visit(served.url, timezone_id="Asia/Tokyo"))
    last = day.journal.rows("fills", order="rowid DESC", limit=1)[0]
    local = f"{datetime.fromtimestamp(last['at'] // 10**9, ZoneInfo('Asia/Tokyo')):%H:%M}"
    eventually(lambda: cells(page, "Fills")[0][0] == exchange(last["at"]) + local)


# --- the chart streams


def test_a_new_bar_streams_and_the_readers_view_stays(day, served, visit):
    page = ready(visit(served.url))
    eventually(lambda: bars_drawn(page) == 420)
    page.evaluate(f"() => {{ window.kept = ({FIND})('ColumnDataSource') }}")
    xr = f"() => {{ const x = ({FIND})('Figure').x_range; return [x.start, x.end] }}"
    before = page.evaluate(xr)
    day.step()
    eventually(lambda: bars_drawn(page) == 421)
    assert page.evaluate(xr) == [before[0] + 1, before[1] + 1], "the newest bar was in view, so the view follows"
    page.get_by_role("button", name="Earlier").click()
    looking_back = page.evaluate(xr)
    assert looking_back[1] < before[1]
    day.step()
    eventually(lambda: bars_drawn(page) == 422)
    assert page.evaluate(xr) == looking_back, "the reader looks at the past, so the view stays"
    page.get_by_role("button", name="Latest").click()
    assert page.evaluate(xr)[1] == 421 + 4.5
    assert page.evaluate(f"() => window.kept === ({FIND})('ColumnDataSource')"), (
        "streamed into the same source, never replaced"
    )
    last = day.journal.rows("bars", "symbol = 'ES.c.0' AND timeframe = '1min'", order="seq DESC", limit=1)[0]
    drawn = page.evaluate(
        f"() => {{ const d = ({FIND})('ColumnDataSource').data, i = d.x.length - 1; return [d.open[i], d.high[i],"
        " d.low[i], d.close[i], d.volume[i], d.start[i]] }"
    )
    assert drawn == [last["open"], last["high"], last["low"], last["close"], last["volume"], last["start"] / 1e6]


def test_each_bar_reaches_the_screen_by_itself(day, served, visit):
    "How soon is measured by `futures-algo bench monitor`, not here."
    page = ready(visit(served.url))
    eventually(lambda: bars_drawn(page) == 420)
    page.evaluate(
        f"() => {{ window.seen = []; ({FIND})('ColumnDataSource').streaming.connect(() => requestAnimationFrame(() =>"
        " window.seen.push(Date.now()))) }"
    )
    for n in range(1, 8):
        day.step()
        eventually(lambda n=n: page.evaluate("window.seen.length") >= n)


def test_other_symbols_and_timeframes(day, served, visit):
    page = ready(visit(served.url))
    page.locator("select").nth(0).select_option("NQ.c.0")
    page.locator("select").nth(1).select_option("6min")
    eventually(lambda: bars_drawn(page) == 70)
    last = day.journal.rows("bars", "symbol = 'NQ.c.0' AND timeframe = '6min'", order="seq DESC", limit=1)[0]
    assert page.evaluate(f"() => ({FIND})('ColumnDataSource').data.close.at(-1)") == last["close"]
    page.get_by_text("cci(35)")  # the strategy's indicator on this timeframe has a pane
    assert page.evaluate(f"() => Object.keys(({FIND})('ColumnDataSource').data).includes('cci(35)')")


# --- the page asks, the engine answers


def test_every_action_is_journaled_with_who_and_when_and_answered(day, engine, visit, tmp_path):
    day.journal.add_event(day.now, "alarm", "reconcile", "ESZ5", "our books hold +1, the broker's +2")
    file = tmp_path / "config.json"
    file.write_text(json.dumps(day.config | {"execution": {"account": "Sim102"}}))
    served = serve(day.journal.path, config_path=file)
    page = ready(visit(served.url))
    began = time.time_ns()
    page.get_by_role("button", name="Halt", exact=True).click()
    page.get_by_text("HALTED since").wait_for()
    eventually(lambda: page.title().startswith("✖ HALTED"))
    resume = page.get_by_role("button", name="Resume")
    assert resume.is_disabled()
    page.get_by_placeholder("type RESUME").press_sequentially("RESUME")
    eventually(resume.is_enabled)
    resume.click()
    page.get_by_text("HALTED since").wait_for(state="detached")
    page.get_by_role("button", name="Reduce only").click()
    flatten = page.get_by_role("button", name="Flatten", exact=True)
    page.get_by_placeholder("type its name").press_sequentially("something else")
    assert flatten.is_disabled()
    page.locator("select").nth(2).select_option(f"strategy {day.strategy}")
    page.get_by_placeholder("type its name").fill("")
    page.get_by_placeholder("type its name").press_sequentially(day.strategy)
    eventually(flatten.is_enabled)
    flatten.click()
    page.get_by_role("button", name="Disable").click()
    page.get_by_text("○ disabled").first.wait_for()
    page.get_by_role("button", name="Enable").click()
    page.get_by_role("button", name="Acknowledge").click()
    page.get_by_role("button", name="Compare config file").click()
    page.get_by_text('"account": "Sim102"').wait_for()
    page.get_by_role("button", name="Apply it").click()
    wanted = [
        ("halt", {"reason": "asked on the page"}),
        ("resume", {}),
        ("reduce", {"reason": "asked on the page"}),
        ("flatten", {"scope": "strategy", "name": day.strategy}),
        ("disable", {"strategy": day.strategy}),
        ("enable", {"strategy": day.strategy}),
        ("acknowledge", {"event": 2}),
        ("reload", {}),
    ]
    rows = eventually(
        lambda: (
            (r := day.journal.rows("commands", order="at"))
            and len(r) == len(wanted)
            and all(c["state"] == "done" for c in r)
            and r
        )
    )
    assert [(row["verb"], json.loads(row["args"])) for row in rows] == wanted
    assert all(row["who"] and began <= row["at"] <= time.time_ns() for row in rows)
    eventually(
        lambda: (
            [row[2] for row in cells(page, "Commands")] == [verb for verb, _ in reversed(wanted)]
            and all("done" in row[4] for row in cells(page, "Commands"))
        )
    )
    served.stop()


def test_two_browsers_share_one_reader_and_a_viewer_can_only_look(day, engine, visit):
    from futures_algo.monitor.access import hash_password

    users = {
        "anna": {"password": hash_password("correct horse"), "role": "trader"},
        "guest": {"password": hash_password("battery staple"), "role": "viewer"},
    }
    served = serve(day.journal.path, users=users)

    def log_in(name: str, password: str):
        page = visit(served.url)
        page.get_by_label("User").fill(name)
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Log in").click()
        return page

    wrong = log_in("anna", "wrong horse")
    assert "wrong" in wrong.get_by_role("alert").inner_text()
    trader, viewer = ready(log_in("anna", "correct horse")), ready(log_in("guest", "battery staple"))
    viewer.get_by_text("Read-only").wait_for()
    assert viewer.get_by_role("button", name="Halt", exact=True).count() == 0
    assert sum(thread.name == "journal reader" for thread in threading.enumerate()) == 1
    trader.get_by_role("button", name="Halt", exact=True).click()
    viewer.get_by_text("HALTED since").wait_for()
    assert [row["who"] for row in day.journal.rows("commands")] == ["anna"]
    assert cells(trader, "Fills") == cells(viewer, "Fills")
    served.stop()


# --- when things go away


def test_an_engine_that_dies_and_comes_back(day, served, visit):
    page = ready(visit(served.url))
    page.get_by_text("The engine is silent").wait_for()
    engine = Answering(day)
    engine.start()
    page.get_by_text("The engine is silent").wait_for(state="detached")
    count = bars_drawn(page)
    day.step()
    eventually(lambda: bars_drawn(page) == count + 1)
    engine.stop()
    day.status("stopped")
    page.get_by_text("No engine is running").wait_for()


def test_a_page_whose_socket_never_opens_is_called_dead(day, engine, served, browser):
    context = browser.new_context()
    page = context.new_page()
    page.route_web_socket("**/ws*", lambda socket: socket.close(code=1011))
    page.goto(served.url)
    page.locator("#fa-lost").wait_for(timeout=15_000)
    assert "Not connected" in page.locator("#fa-lost").inner_text()
    assert "grayscale" in page.locator("#shell").evaluate("one => getComputedStyle(one).filter")
    page.reload()
    page.locator("#fa-lost").wait_for(timeout=2_000)  # it stays said
    context.close()


def test_flatten_all_asks_twice_and_is_followed_until_flat(day, engine, served, visit):
    day.book("ES.c.0", "ledger", day.strategy, 1)
    day.journal.flush()
    page = ready(visit(served.url))
    page.get_by_role("button", name="Flatten all").dblclick()
    sure = page.get_by_role("button", name="Sure? Flatten Sim101")
    sure.wait_for()
    assert not day.journal.count("commands"), "a double click is no confirmation"
    page.wait_for_timeout(600)
    sure.click()
    page.get_by_text("ESZ5 +1 held now").first.wait_for()
    day.book("ES.c.0", "ledger", day.strategy, 0)
    for symbol in day.symbols:
        for source, strategy in (("ledger", day.strategy), ("broker", "")):
            day.book(symbol, source, strategy, 0)
    day.journal.flush()
    page.get_by_text("as asked: flat").first.wait_for()
    asked = day.journal.rows("commands")
    assert [(row["verb"], json.loads(row["args"])["scope"]) for row in asked] == [("flatten", "account")]


def test_zooming_and_moving_never_leave_the_bars(day, served, visit):
    page = ready(visit(served.url))
    page.locator("select").nth(1).select_option("27min")
    eventually(lambda: bars_drawn(page) == 15)
    page.wait_for_timeout(300)
    view = f"() => {{ const x = ({FIND})('Figure').x_range; return [x.start, x.end] }}"
    for name in ("Zoom out", "Zoom out", "Earlier", "Earlier", "Zoom in", "Later", "Later", "Zoom out"):
        page.get_by_role("button", name=name).click()
        start, end = page.evaluate(view)
        assert -0.51 < start < end < 18.51, name
    assert page.evaluate(view) == pytest.approx([-0.5, 18.5])


def test_a_strategys_line_stays_open_while_its_text_changes(day, engine, served, visit):
    page = ready(visit(served.url))
    line = page.locator("details").first
    line.locator("summary").click()
    day.step()
    day.step()
    page.wait_for_timeout(1500)
    assert line.evaluate("one => one.open") and line.locator("ul").is_visible()


def test_a_server_that_dies_and_comes_back(day, engine, visit):
    first = serve(day.journal.path)
    page = ready(visit(first.url))
    first.stop()
    page.get_by_text("Connection to the monitor lost").wait_for()
    second = serve(day.journal.path, port=first.port)
    page.get_by_text("Connected again").wait_for()
    ready(page)
    second.stop()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "There is no journal at"),
        (lambda path: path.write_text("not a database, but long enough to be one " * 100), "is not a journal"),
        (lambda path: sqlite3.connect(path).executescript("CREATE TABLE other(x)").close(), "but not a journal"),
        (
            lambda path: (
                sqlite3.connect(path)
                .executescript("CREATE TABLE meta(key, value); INSERT INTO meta VALUES ('schema_version', '0')")
                .close()
            ),
            "older schema",
        ),
    ],
)
def test_a_file_that_is_no_journal_is_a_sentence(make, says, visit, tmp_path):
    path = tmp_path / "live.db"
    make(path)
    served = serve(path)
    page = visit(served.url)
    eventually(lambda: bars_drawn(page) == 0 and says in page.locator(".notice").first.inner_text())
    if path.exists():
        path.unlink()
    made = Day(path).run(5)
    eventually(lambda: bars_drawn(page) == 5)  # the page goes on by itself
    served.stop()
    made.journal.close()


def test_a_huge_journal_opens_with_its_latest_bars(campaign, visit, tmp_path):
    path, rows = tmp_path / "live.db", campaign(300_000, full=10_000_000)
    made = Day(path)
    with sqlite3.connect(path) as other:
        other.execute(
            f"""
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
            INSERT INTO bars (
                symbol, timeframe, start, "end", open, high, low, close, volume, contract, partial, received
            )
            SELECT
                'ES.c.0', '1min', {made.now} - ({rows} - i + 1) * 60000000000, {made.now} - ({rows} - i) * 60000000000,
                6800, 6801, 6799, 6800, 100, 'ESZ5', 0, 0
            FROM n
            """
        )
    made.run(10)
    assert shared_views(path).reader.view.state == "ok"
    served = serve(path)
    page = ready(visit(served.url))
    eventually(lambda: bars_drawn(page) == 3000)
    served.stop()
    made.journal.close()


# --- safety


def test_text_is_text(tmp_path, visit):
    evil = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>"
    day = Day(tmp_path / "live.db", strategy=evil).run(120)
    day.journal.add_event(day.now, "alarm", evil, evil, evil)
    day.trading = {"state": "HALTED", "reason": evil, "since": day.now}
    day.locked = {"ESZ5": evil}
    day.status()
    served = serve(day.journal.path)
    page = ready(visit(served.url))
    panel(page, "Strategies").get_by_text(evil).first.wait_for()
    panel(page, "Events").get_by_text(evil).first.wait_for()
    page.wait_for_timeout(300)
    assert page.evaluate("window.hacked") is None
    served.stop()
    day.journal.close()


def test_a_websocket_of_another_origin_is_refused(served):
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    with pytest.raises(InvalidStatus) as refused:
        connect(f"ws://127.0.0.1:{served.port}/ws", origin="http://evil.example", subprotocols=["bokeh", "token"])
    assert refused.value.response.status_code == 403


# --- the notebook


def test_panel_serve_of_the_live_notebook_is_the_page(day, visit):
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "panel", "serve", "nbs/live.ipynb", "--port", "0"],
        cwd=ROOT,
        env=os.environ | {"FUTURES_ALGO_JOURNAL": str(day.journal.path)},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        port = next(line.rsplit(":", 1)[1].split("/")[0].strip() for line in process.stderr if "app running at" in line)
        page = ready(visit(f"http://localhost:{port}"))
        eventually(lambda: bars_drawn(page) == 420)
    finally:
        process.terminate()
        process.wait(10)


def test_papermill_runs_the_live_notebook_to_the_sessions_end_and_leaves_a_report(day, tmp_path):
    import papermill

    report, end = tmp_path / "report.json", str(time.time_ns() + 5 * 10**9)
    papermill.execute_notebook(
        str(ROOT / "nbs/live.ipynb"),
        str(tmp_path / "out.ipynb"),
        {"journal": str(day.journal.path), "session_end": end, "report": str(report)},
        cwd=str(ROOT / "nbs"),
        progress_bar=False,
    )
    summary = json.loads(report.read_text())
    assert sum(line["fills"] for line in summary["lines"]) == day.journal.count("fills")
    assert sum(summary["signals"].values()) == day.journal.count("signals")


# --- the whole chain


def test_a_demo_session_watched_from_start_to_end(visit, tmp_path):
    """The real engine on the loopback servers, from before its first row to its last; then every fill and the day's
    dollars against the journal."""
    served = serve(tmp_path / "journal.db")
    page = visit(served.url)
    page.get_by_text("There is no journal at").locator("visible=true").first.wait_for()
    demo = subprocess.Popen(
        [
            sys.executable,
            "-W",
            "ignore",
            "-c",
            "from futures_algo.cli import main; main()",
            "demo",
            "--headless",
            "--folder",
            str(tmp_path),
            "--json",
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    counts = []
    while demo.poll() is None:
        counts.append(bars_drawn(page))
        page.wait_for_timeout(200)
    summary = json.loads(demo.stdout.read().splitlines()[-1])
    eventually(lambda: bars_drawn(page) == summary["bars_out"]["1min"] // 2)
    assert counts == sorted(counts) and len(set(counts)) > 3, "bars came while the engine ran"
    page.get_by_text("No engine is running").wait_for()
    from futures_algo.journal.journal import Journal

    with Journal(tmp_path / "journal.db", readonly=True) as journal:
        opened = shared_views(journal.path).day(shared_views(journal.path).reader.view)[1].start
        fills = journal.rows("fills", "at >= ?", opened, order="rowid DESC")
    net = sum(
        -(1 if f["side"] == "BUY" else -1) * f["quantity"] * f["price"] * product(root_of(f["instrument"])).point_value
        - f["commission"]
        for f in fills
    )
    eventually(lambda: dollars(page.locator("#net-today").inner_text()) == pytest.approx(net, abs=0.005))
    assert f"{len(fills)} today" in panel(page, "Fills").locator("h2").inner_text()
    assert [float(row[4].replace(",", "")) for row in cells(page, "Fills")] == [f["price"] for f in fills[:100]]
    served.stop()
