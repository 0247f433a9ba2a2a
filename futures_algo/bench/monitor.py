"""The monitor measured in a browser: first paint, bar to screen, server CPU, bytes and memory while four symbols
stream.

The figures it is held against were measured on the same kind of chart (2,000 candles, 5 updates a second): Bokeh by
stream 15 ms to screen,
3 % server CPU and 3 KB/s; plotly by replacement 54 ms and 440 KB/s; holoviews and echarts 20 to 30 % server CPU.
"""

import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from futures_algo.core.types import Bar, FuturesAlgoError
from futures_algo.journal.journal import Journal
from futures_algo.monitor.chart import random_bars

_SYMBOLS = {
    "ES.c.0": ("ESZ5", 6800.0),
    "NQ.c.0": ("NQZ5", 25000.0),
    "YM.c.0": ("YMZ5", 47000.0),
    "RTY.c.0": ("RTYZ5", 2400.0),
}
_DAY, _STREAMED, _HOURS = (
    1380,
    60,
    480,
)  # minutes loaded, minutes streamed at 5 bars/s, minutes pumped for the memory figure
_SERVE = (
    "import sys; from futures_algo.monitor.page import serve; page = serve(sys.argv[1]); print(page.url, flush=True);"
    " page.wait()"
)
_SOURCE = "[...Bokeh.documents[0].all_models].filter(m => m.type == 'ColumnDataSource' && m.data.open).at(-1)"
_WATCH = (
    f"() => {{ window.seen = []; {_SOURCE}.streaming.connect(() => requestAnimationFrame(() =>"
    f" window.seen.push([{_SOURCE}.data.start.at(-1), Date.now()]))) }}"
)
_CHROMIUM, _FLAGS = (
    "/usr/bin/chromium",
    [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--enable-precise-memory-info",
    ],
)


def monitor() -> list[dict]:
    "First paint, bar to screen, server CPU, traffic and memory."
    with tempfile.TemporaryDirectory() as folder, Journal(Path(folder) / "live.db") as journal:
        tape = _tape()
        _write(journal, tape, range(_DAY))
        with _server(journal.path) as (url, server), _browser() as browser:
            paints = [_first_paint(browser, url) for _ in range(5)]
            page, frames = _open(browser, url)
            return [
                *_paint_rows(paints),
                *_stream_rows(page, frames, server, journal, tape),
                *_memory_rows(page, server, journal, tape),
            ]


def _row(
    metric: str,
    value: float,
    unit: str,
    peer: str = "",
    peer_value: float | None = None,
    target: str = "",
    met: bool | None = None,
) -> dict:
    ratio = value / peer_value if peer_value else None
    return {
        "metric": metric,
        "value": value,
        "unit": unit,
        "peer": peer,
        "peer_value": peer_value,
        "ratio": ratio,
        "target": target,
        "met": met,
    }


def _tape() -> dict[str, list[Bar]]:
    "Enough minutes of every symbol."
    count = _DAY + _STREAMED + _HOURS
    return {
        symbol: [
            bar._replace(contract=contract)
            for bar in random_bars(
                count,
                seed=i,
                symbol=symbol,
                price=price,
                start=1_763_593_200_000_000_000,
                tick=1.0 if symbol.startswith("YM") else 0.25,
            )
        ]
        for i, (symbol, (contract, price)) in enumerate(_SYMBOLS.items())
    }


def _write(journal: Journal, tape: dict[str, list[Bar]], minutes: Any) -> None:
    "Minutes of all symbols, and the documents an engine writes with them."
    for minute in minutes:
        for bars in tape.values():
            journal.add_bar(bars[minute], time.time_ns())
    now = bars[minute].end
    journal.set_status(
        "engine", time.time_ns(), state="ready", mode="simulation", account="Sim101", beat=time.time_ns()
    )
    journal.set_status("clock", time.time_ns(), now=now)
    journal.flush()


@contextlib.contextmanager
def _server(path: Path) -> Iterator[tuple[str, Any]]:
    "The page in a process of its own, so that its CPU and memory are its own."
    import psutil

    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _SERVE, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process.stdout.readline().strip(), psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def _browser() -> Iterator[Any]:
    "Debian's chromium."
    if not Path(_CHROMIUM).exists():
        raise FuturesAlgoError(
            f"{_CHROMIUM} is missing; the monitor is measured in a real browser: apt-get install chromium"
        )
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=_FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def _first_paint(browser, url: str) -> tuple[float, float]:
    "Seconds from asking for the page to its first content, and to the drawn chart; a fresh browser profile each time."
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page, began = context.new_page(), time.perf_counter()
    page.goto(url)
    page.get_by_role("button", name="Latest").wait_for()
    drawn = time.perf_counter() - began
    painted = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime / 1000")
    context.close()
    return painted, drawn


def _paint_rows(paints: list[tuple[float, float]]) -> list[dict]:
    painted, drawn = (statistics.median(column) for column in zip(*paints))
    return [
        _row("first paint, a day of one-minute bars of 4 symbols", painted, "s", target="< 1.5 s", met=painted < 1.5),
        _row("chart drawn", drawn, "s"),
    ]


def _open(browser, url: str) -> tuple[Any, list[int]]:
    "A page to stream into, and the sizes of what the server sends it."
    page, frames = browser.new_context(viewport={"width": 1440, "height": 900}).new_page(), []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda payload: frames.append(len(payload))))
    page.goto(url)
    page.get_by_role("button", name="Halt", exact=True).wait_for()
    page.wait_for_function(f"() => {_SOURCE}?.data.x.length >= {_DAY}")
    page.evaluate(_WATCH)
    return page, frames


def _stream_rows(page, frames: list[int], server, journal: Journal, tape: dict[str, list[Bar]]) -> list[dict]:
    "Five bars a second: when each was in the journal, and when the browser drew it."
    written, before, began, sent = {}, sum(server.cpu_times()[:2]), time.perf_counter(), sum(frames)
    for n, minute in enumerate(range(_DAY, _DAY + _STREAMED)):
        _write(journal, tape, [minute])
        written[tape["ES.c.0"][minute].start / 1e6] = time.time() * 1000
        page.wait_for_timeout(max(0.0, (n + 1) / 5 - (time.perf_counter() - began)) * 1000)
    page.wait_for_timeout(1000)
    span = time.perf_counter() - began
    cpu, rate = 100 * (sum(server.cpu_times()[:2]) - before) / span, (sum(frames) - sent) / span / 1000
    delays = sorted(at - written[start] for start, at in page.evaluate("window.seen") if start in written)
    median, worst = statistics.median(delays), delays[int(len(delays) * 0.99)]
    return [
        _row(
            "bar in the journal to screen, median",
            median,
            "ms",
            "Bokeh by stream, without a journal between",
            15.0,
            "< 500 ms",
            median < 500,
        ),
        _row("bar in the journal to screen, 99 %", worst, "ms", target="< 500 ms", met=worst < 500),
        _row("server CPU, 5 updates a second of 4 symbols", cpu, "%", "chart alone", 3.0),
        _row("sent to the browser", rate, "KB/s", "chart alone", 3.0),
    ]


def _memory_rows(page, server, journal: Journal, tape: dict[str, list[Bar]]) -> list[dict]:
    "Eight hours of four symbols in a minute: what server and browser grow by."
    heap = lambda: page.evaluate("() => { window.gc && gc(); return performance.memory.usedJSHeapSize }") / 1e6
    rss, used = server.memory_info().rss / 1e6, heap()
    for minute in range(_DAY + _STREAMED, _DAY + _STREAMED + _HOURS):
        _write(journal, tape, [minute])
        if minute % 8 == 0:
            page.wait_for_timeout(100)
    page.wait_for_function(f"() => {_SOURCE}.data.x.at(-1) == {_DAY + _STREAMED + _HOURS - 1}")
    grown, heap_grown = server.memory_info().rss / 1e6 - rss, heap() - used
    return [
        _row("server memory after 8 hours of 4 symbols, growth", grown, "MB", target="< 50 MB", met=grown < 50),
        _row(
            "browser memory after 8 hours of 4 symbols, growth",
            heap_grown,
            "MB",
            target="< 100 MB",
            met=heap_grown < 100,
        ),
        _row("server memory", server.memory_info().rss / 1e6, "MB"),
    ]
