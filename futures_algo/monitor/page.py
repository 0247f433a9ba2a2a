"""The page a trader leaves open all day: it reads the journal, and asks the engine through it."""

import getpass
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import panel as pn
from bokeh.document import Document
from bokeh.models import CustomJS

from futures_algo.core.paths import asset
from futures_algo.core.types import InputError
from futures_algo.journal.daily_pnl import Day, view_day
from futures_algo.journal.journal import Journal
from futures_algo.journal.reader import JournalReader, View
from futures_algo.monitor import status_panels as panels
from futures_algo.monitor import trading_panels as books
from futures_algo.monitor.access import refusal
from futures_algo.monitor.chart_panel import ChartPanel
from futures_algo.monitor.controls import Controls, no_controls
from futures_algo.monitor.html import CARD_CSS, ROOT_CSS, Clocks, Safe, card, tag
from futures_algo.monitor.page_shell import frame
from futures_algo.monitor.panes import Words
from futures_algo.monitor.status_panels import BAND_CSS, NOTICE_CSS
from futures_algo.monitor.trading_panels import BOOKS_CSS

_ROLES = ("trader", "viewer")
PANELS_NS = 450_000_000  # between repaints of what is not the chart
_DAY_SECONDS = 1.0  # between results that differ in prices alone
_PARTS = {  # panel -> (function, parts of the view it depends on)
    "result": (lambda v, d, c, now: books.result(v, d, c, now), ("day", "configs", "intents")),
    "positions": (
        lambda v, d, c, now: books.positions(v, d, c, now),
        ("day", "positions", "broker", "reconciliation", "orders"),
    ),
    "latest": (lambda v, d, c, now: books.last_signals(v, c), ("signals",)),
    "orders": (lambda v, d, c, now: books.orders(v, c), ("orders",)),
    "fills": (lambda v, d, c, now: books.fills(v, d, c), ("day",)),
    "signals": (lambda v, d, c, now: books.signals(v, c), ("signals",)),
    "strategies": (
        lambda v, d, c, now: books.strategies(v, d, c, now),
        ("day", "strategy", "evaluations", "trading", "reconciliation", "positions"),
    ),
    "feed": (lambda v, d, c, now: panels.feed_health(v, c, now), ("day", "feed")),
    "events": (lambda v, d, c, now: panels.events(v, c, now), ("events",)),
    "commands": (lambda v, d, c, now: panels.commands(v, c, now), ("commands", "positions")),
}


class JournalViews:
    "One reader and the HTML of its panels, made once for all pages that look at it."

    def __init__(self, path: "str | Path"):
        self.reader = JournalReader(path)
        self._made: dict[Any, Any] = {}
        self._made_day: tuple = ((), 0, 0, 0.0, None)  # what it was made from, its number, when, the day
        self._lock = threading.Lock()

    def day(self, view: View) -> tuple[int, Day]:
        "The day's result and its number: anew with every fill, and once a second while only prices move."
        key, prices = (
            (view.generation, view.versions.get("fills", 0), view.versions.get("positions", 0)),
            view.versions.get("bars", 0),
        )
        known, priced, count, at, _ = self._made_day
        if known != key or (priced != prices and time.monotonic() > at + _DAY_SECONDS):
            self._made_day = (key, prices, count + 1, time.monotonic(), view_day(view))
        return self._made_day[2], self._made_day[4]

    def html(self, name: str, view: View, clocks: Clocks, now: int) -> Safe:
        "A panel's HTML, made again only when its parts changed, or the engine came to life or died."
        make, parts = _PARTS[name]
        with self._lock:
            count, day = self.day(view)
            key, place = (
                (
                    view.generation,
                    view.state,
                    panels.is_alive(view, now),
                    *(count if part == "day" else view.versions.get(part, 0) for part in parts),
                ),
                (name, str(clocks.local)),
            )
            if self._made.get(place, (None,))[0] != key:
                self._made[place] = (key, make(view, day, clocks, now))
            return self._made[place][1]


_SHARED: dict[Path, JournalViews] = {}
_SHARED_LOCK = threading.Lock()


def shared_views(path: "str | Path") -> JournalViews:
    "The process's one reader of a journal, started with the first page."
    path = Path(path).resolve()
    with _SHARED_LOCK:
        if path not in _SHARED:
            _SHARED[path] = JournalViews(path)
        views = _SHARED[path]
        views.reader.start()
    return views


def release(path: "str | Path") -> None:
    "Stop following a journal nobody looks at any more."
    with _SHARED_LOCK:
        views = _SHARED.pop(Path(path).resolve(), None)
    if views:
        views.reader.stop()


_STACKS = {
    "chart": ("chart",),
    "lines": ("strategies", "orders"),
    "side": ("result", "positions", "latest"),
    "tables": ("signals", "fills"),
    "log": ("actions", "commands", "events", "feed"),
}  # in the order a phone shows them
_NOW = {
    "band": panels.band,
    "notices": panels.notices,
    "clock": panels.clock_line,
    "answer": panels.last_command,
}  # what changes with the time of day too
_CSS = [CARD_CSS, BAND_CSS, NOTICE_CSS, BOOKS_CSS]
_TOP_CSS = asset("monitor", "top.css")
_THEME_CSS = asset("monitor", "theme_button.css")
_REACH_CSS = asset("monitor", "reach.css")
_STACK_CSS = asset("monitor", "stack.css")
_LOOK_CSS = asset("monitor", "first_look.css")


def _pane() -> Words:
    return Words("", stylesheets=_CSS, margin=0, sizing_mode="stretch_width")


class Page:
    """One open page; `.view` is the Panel object, `.fill()` puts the panels into it, `.update()` brings them up to the
    journal."""

    def __init__(
        self,
        views: JournalViews,
        send: Callable[[str, dict], None] | None,  # appends a command; None makes the page read-only
        config_path: "str | Path | None" = None,
        zone: str = "",  # the reader's time zone
        theme: str = "",  # dark, light, or "" for the system's
    ):
        self.views, self.clocks = views, Clocks(zone)
        self._told: tuple[View, bool] | None = None  # the view in the panels, and whether its engine lived
        self._painted = 0  # since when (ns)
        self.panes = {name: _pane() for name in (*_NOW, *_PARTS)}
        self.chart, self._send, self._config = ChartPanel(), send, config_path
        self.controls: Controls | None = None
        self.actions = pn.Column(sizing_mode="stretch_width", margin=0)
        self.reach = pn.Row(margin=0, css_classes=["reach"], stylesheets=[_REACH_CSS])  # Halt and Flatten
        self.view = pn.Column(
            sizing_mode="stretch_width", margin=0, stylesheets=[ROOT_CSS], css_classes=[theme] if theme else []
        )

    def fill(self) -> None:
        "Put the panels in, up to date; once."
        if len(self.view):
            return
        self.update()
        self.view[:] = self._cells()
        if not self._send:
            self.actions.append(no_controls())
            self.reach.append(Words("view only", margin=0, stylesheets=[CARD_CSS]))

    def equip(self) -> None:
        "Put the controls in: after the chart, which is waited for."
        if self._send:
            self.controls = Controls(self._send, self._config)
            self.controls.update(self.views.reader.view)
            self.actions.append(self.controls.view)
            self.reach[:] = self.controls.reach

    def _cells(self) -> list:
        "The band, what needs attention, then two columns of panels."
        self.theme = pn.widgets.Button(
            label="Dark / light", width=96, margin=0, align="center", stylesheets=[_THEME_CSS]
        )
        self.theme.on_click(lambda _: self._turn())
        top = pn.Row(
            self.panes["band"],
            self.reach,
            self.panes["clock"],
            self.theme,
            self.panes["answer"],
            sizing_mode="stretch_width",
            margin=0,
            css_classes=["wide", "band"],
            stylesheets=[_TOP_CSS],
        )
        for name, cls in (("band", ["state"]), ("clock", ["time"]), ("notices", ["wide"]), ("answer", ["said"])):
            self.panes[name].css_classes = cls
        cells = self.panes | {"chart": self.chart.view, "actions": self.actions}
        stack = lambda names, cls: pn.Column(
            *(cells[name] for name in names),
            sizing_mode="stretch_width",
            margin=0,
            stylesheets=[_STACK_CSS],
            css_classes=[cls],
        )
        return [top, self.panes["notices"], *(stack(names, cls) for cls, names in _STACKS.items())]

    def _turn(self) -> None:
        "Dark to light and back; from the system's choice to dark first."
        theme = "light" if "dark" in self.view.css_classes else "dark"
        self.view.css_classes = [theme]
        if pn.state.location:
            query: dict[str, Any] = {"theme": theme}
            pn.state.location.update_query(**query)

    def set_zone(self, zone: str) -> None:
        "Local times in the reader's zone from now on."
        self.clocks, self._told, self._painted = Clocks(zone), None, 0

    def update(self) -> None:
        "Repaint what changed since the last look: the chart at once, what stands beside it twice a second."
        view, now = self.views.reader.view, time.time_ns()
        self.chart.update(view)  # also when the view is the same: another symbol may have been chosen
        if now - self._painted >= PANELS_NS:
            self._paint(view, now)

    def _paint(self, view: View, now: int) -> None:
        "The panels; those whose text is the same are not sent."
        self._painted = now
        for name, make in _NOW.items():
            self.panes[name].say(make(view, self.clocks, now))
        if _served():
            pn.state.curdoc.title = (
                panels.tab_title(view, self.clocks, now) + " – futures-algo monitor"
            )  # Bokeh sends it when it is another one
        if self.controls:
            self.controls.show_armed()
        told = (view, panels.is_alive(view, now))
        if self._told and told[0] is self._told[0] and told[1] == self._told[1]:
            return
        self._told = told
        for name in _PARTS:
            self.panes[name].say(self.views.html(name, view, self.clocks, now))
        if self.controls:
            self.controls.update(view)


REFRESH_MS, ANSWER_MS = (
    100,
    250,
)  # between looks at what the shared reader saw; from a visit to its panels, when answer and scripts are on their way


def monitor_page(
    journal_path: "str | Path",
    role: str = "trader",  # trader may command, viewer only sees
    *,
    config_path: "str | Path | None" = None,  # the config file `reload config` compares with
    who: str = "",  # name in the journal; the logged-in user, else the computer's
):
    "The monitor as a Panel object, following the journal until the page is closed."
    if role not in _ROLES:
        raise InputError("role", role, "must be trader or viewer")
    if refused := refusal():
        return refused
    views = shared_views(journal_path)
    user = who or (pn.state.user if pn.state.user not in (None, "guest") else getpass.getuser())
    send = (lambda verb, args: append_command(views.reader.path, user, verb, args)) if role == "trader" else None
    page = Page(views, send, config_path, _zone(), _theme())
    if _served():
        _follow(page, pn.state.curdoc)
    else:
        page.fill()
        page.equip()
        pn.state.add_periodic_callback(page.update, period=REFRESH_MS)
    return page.view


def monitor_app(journal_path: "str | Path", role: str = "trader", **options):
    "The monitor with its frame, for `serve` and `panel serve`."
    page = monitor_page(journal_path, role, **options)
    if not _served():
        return page
    frame(
        pn.state.curdoc,
        "" if refusal() else first_look(shared_views(journal_path), Clocks(_zone())),
        "\n".join(
            (
                ROOT_CSS,
                *_CSS,
                _TOP_CSS.replace(":host", ":host .top"),
                _REACH_CSS.replace(":host", ":host .reach"),
                _LOOK_CSS,
            )
        ),
        _theme(),
    )
    return page


def first_look(views: JournalViews, clocks: Clocks) -> Safe:
    "The page without its chart and its buttons, which need scripts."
    view, now = views.reader.view, time.time_ns()
    cells = {name: make(view, clocks, now) for name, make in _NOW.items()} | {
        name: views.html(name, view, clocks, now) for name in _PARTS
    }
    cells |= {
        "chart": card("Chart", tag("p", "drawing …", cls="empty"), cls="later"),
        "actions": card("Actions", tag("p", "…", cls="empty")),
    }
    top = tag(
        "div",
        tag("div", cells["band"], cls="state"),
        tag("div", cls="reach"),
        tag("div", cells["clock"], cls="time"),
        tag("div", cells["answer"], cls="said"),
        cls="wide band top",
    )
    return Safe(
        "".join(
            (
                top,
                tag("div", cells["notices"], cls="wide"),
                *(tag("div", *(cells[name] for name in names), cls=f"stack {cls}") for cls, names in _STACKS.items()),
            )
        )
    )


def _served() -> bool:
    return bool(pn.state.curdoc and pn.state.curdoc.session_context)


def _follow(page: Page, document: Document) -> None:
    "Fill the page, look as long as it is open, and say in the browser when its socket closes."
    document.add_timeout_callback(lambda: document.session_context.session.connection_count or page.fill(), ANSWER_MS)
    pn.state.onload(lambda: _start(page, document))
    if pn.state.browser_info:
        pn.state.browser_info.param.watch(lambda event: page.set_zone(event.new or ""), "timezone")
    document.js_on_event("connection_lost", CustomJS(code=asset("monitor", "connection_lost.js")))


def _start(page: Page, document: Document) -> None:
    "From here on: what changes while a browser connects, Panel drops."
    page.fill()
    page.update()
    page.equip()
    document.add_periodic_callback(page.update, REFRESH_MS)  # Bokeh's own: Panel's tells the browser of every look


def _zone() -> str:
    "The browser's time zone, where it is known."
    return (pn.state.browser_info.timezone or "") if pn.state.browser_info else ""


def _theme() -> str:
    wanted = (pn.state.session_args or {}).get("theme", [b""])[0].decode("utf-8", "replace").strip('"')
    return wanted if wanted in ("dark", "light") else ""


def append_command(
    path: "str | Path",
    who: str,  # who asks
    verb: str,  # halt, resume, reduce, flatten, enable, disable, acknowledge, reload
    args: dict,
) -> None:
    "Append a command for the engine to acknowledge."
    if not Path(path).exists():
        raise InputError("journal", str(path), "must exist before a command can be given", "start the engine first")
    with Journal(path) as journal:
        journal.command(verb, who, **args)
