"""The chart of the monitor: a symbol, a timeframe, the strategies' indicators, and everything the journal knows about
them."""

import json
from collections.abc import Iterable

import numpy as np
import panel as pn

from futures_algo.config.classes import import_class
from futures_algo.core.contracts import product
from futures_algo.core.paths import asset
from futures_algo.core.sessions import SessionCalendar
from futures_algo.core.types import Bar, FuturesAlgoError, Timeframe
from futures_algo.indicators.base import Indicator
from futures_algo.journal.daily_pnl import contract_code, signed
from futures_algo.journal.reader import View
from futures_algo.monitor.chart import CLAMP, CandleChart, Mark
from futures_algo.monitor.html import CARD_CSS, number, price, tag
from futures_algo.monitor.panes import Words, flow
from futures_algo.monitor.trading_panels import why_verdict


def strategy_indicators(
    document: dict,  # a `strategy:` status document
    timeframe: str,  # of the chart
    class_path: str,  # package.module.Class, or path/to/file.py:Class
) -> list[Indicator]:
    "The indicators a strategy uses on a timeframe; none when its class cannot be loaded here."
    try:
        plan = import_class(class_path)(**(document.get("parameters") or {})).indicators()
    except (KeyError, TypeError, ImportError, FuturesAlgoError):
        return []
    found = [wanted for key, wanted in plan.items() if Timeframe(key) == timeframe]
    return [one for wanted in found for one in ([wanted] if isinstance(wanted, Indicator) else wanted)]


def chart_indicators(view: View, symbol: str, timeframe: str) -> list[Indicator]:
    "Every strategy's indicators on this symbol and timeframe, each once."
    documents = [(name, document) for (name, traded), document in sorted(view.strategies.items()) if traded == symbol]
    return list(
        dict.fromkeys(
            one
            for name, document in documents
            for one in strategy_indicators(document, timeframe, _class_path(view, name, document))
        )
    )


def _class_path(view: View, name: str, document: dict) -> str:
    "Where a strategy's class is, as the config in the journal says."
    config = json.loads(next((row["content"] for row in view.tables.get("configs", ())), None) or "{}")
    return config.get("strategies", {}).get(name, {}).get("class") or document.get("class", "")


class IndicatorLines:
    "Live indicators that follow a chart bar by bar."

    def __init__(self, indicators: Iterable[Indicator], symbol: str):
        self.live = [(one, one.live(SessionCalendar.of(symbol)) if one.anchored else one.live()) for one in indicators]
        self.names = {
            id(one): [
                f"{name}({', '.join(map(str, one.values.values()))})" if i == 0 else name
                for i, name in enumerate(one.outputs)
            ]
            for one, _ in self.live
        }

    def step(self, bars: list[Bar]) -> dict[str, list[float]]:
        "One value a bar and output."
        rows: dict[str, list] = {name: [] for names in self.names.values() for name in names}
        for bar in bars:
            for one, state in self.live:
                for name, value in zip(self.names[id(one)], state.step(bar)):
                    rows[name].append(value)
        return rows

    def split(self, values: dict[str, list[float]], level: float) -> tuple[list[str], dict[str, list[str]]]:
        "Names drawn over the candles, and panes with theirs."
        over, panes = [], {}
        for one, _ in self.live:
            names = self.names[id(one)]
            centre = np.nanmedian(values[names[0]]) if np.isfinite(values[names[0]]).any() else np.nan
            if 0.8 * level < centre < 1.25 * level:
                over += names
            else:
                panes[names[0]] = names
        return over, panes


def marks_of(view: View, symbol: str, contracts: set[str]) -> dict[str, Mark]:
    "Fills and denied signals of the symbol by their id."
    found = {
        f["execution_id"]: Mark(
            f["at"],
            f["price"],
            "BUY" if signed(f) > 0 else "SELL",
            number(signed(f), sign=True) if abs(signed(f)) > 1 else "",
            "fill",
            f"{f['side']} {f['quantity']} at {price(f['price'], f['instrument'])}: {f['strategy'] or 'no strategy'}",
        )
        for f in view.tables.get("fills", ())
        if contract_code(f["instrument"]) in contracts
    }
    for s in view.tables.get("signals", ()):
        if s["symbol"] != symbol or s["verdict"] not in ("denied", "dry_run"):
            continue
        side = "BUY" if s["action"] in ("LONG_ENTRY", "SHORT_EXIT") else "SELL"
        found[s["id"]] = Mark(
            s["bar_end"],
            s["price"],
            side,
            "" if s["verdict"] == "denied" else "dry",
            "denied" if s["verdict"] == "denied" else "signal",
            why_verdict(s),
        )
    return found


def levels_of(view: View, contracts: set[str]) -> list[tuple[float, str, str]]:
    "Working limit and stop prices of these contracts, and the average price of what is held."
    found = _entries_of(view, contracts)
    for order in view.tables.get("orders", ()):
        if contract_code(order["instrument"]) not in contracts:
            continue
        for kind in ("limit", "stop"):
            if (at := order[f"{kind}_price"]) is not None:
                found.append(
                    (
                        at,
                        f"{order['action']} {order['quantity']} {kind} {price(at, order['instrument'])}",
                        order["action"],
                    )
                )
    return found


def _entry_words(row: dict) -> str:
    at = price(row["average_price"], row["instrument"])
    return f"{number(row['quantity'], sign=True)} {row['strategy']} at {at}"


def _entries_of(view: View, contracts: set[str]) -> list[tuple[float, str, str]]:
    "The strategies' open positions at their average prices."
    return [
        (row["average_price"], _entry_words(row), "")
        for row in view.tables.get("positions", ())
        if row["source"] == "ledger"
        and row["quantity"]
        and row["average_price"]
        and contract_code(row["instrument"]) in contracts
    ]


def session_opens(symbol: str, bars: list[Bar]) -> list[int]:
    "Opens of the sessions these bars lie in."
    if not bars:
        return []
    calendar = SessionCalendar.of(symbol)
    segments = calendar.segments(bars[0].start, bars[-1].end)
    return list(dict.fromkeys(calendar.session_span(segment.open)[0] for segment in segments))


_MOVE = CLAMP + asset("monitor", "chart_move.js")
_ZOOM = CLAMP + asset("monitor", "chart_zoom.js")
_LATEST = CLAMP + asset("monitor", "chart_latest.js")
_BUTTONS = (
    ("◀ Earlier", _MOVE, -0.5),
    ("Later ▶", _MOVE, 0.5),
    ("Zoom out", _ZOOM, 1.5),
    ("Zoom in", _ZOOM, 1 / 1.5),
    ("Latest", _LATEST, 0),
)

_PLOT_CSS = asset("monitor", "plot.css")
CHART_CSS = asset("monitor", "chart.css")
CONTROL_CSS = asset("monitor", "control.css")


class ChartPanel:
    "A `CandleChart` that follows the journal; `.view` is the Panel object."

    def __init__(self, height: int = 300):
        self.symbol = pn.widgets.Select(options=[], width=104, margin=(8, 0, 4, 10), stylesheets=[CONTROL_CSS])
        self.timeframe = pn.widgets.Select(options=[], width=84, margin=(8, 0, 4, 6), stylesheets=[CONTROL_CSS])
        self.tools = flow(self.symbol, self.timeframe)
        self.plot = pn.pane.Bokeh(None, sizing_mode="stretch_width", margin=(0, 6), stylesheets=[_PLOT_CSS])
        empty = Words(
            tag("h2", "Chart") + tag("p", "no bar yet", cls="empty"),
            stylesheets=[CARD_CSS],
            margin=0,
            sizing_mode="stretch_width",
        )
        self.view = pn.Column(empty, sizing_mode="stretch_width", margin=0, stylesheets=[CHART_CSS])
        self.chart: CandleChart | None = None
        self._height, self._seq = height, 0
        self._shown: tuple = ()
        self._versions: tuple = ()
        self._marked: set = set()
        self._looked: View | None = None

    def update(self, view: View) -> None:
        "Bring the chart up to the view: another symbol draws anew, new bars stream."
        if view is self._looked and self._shown[:1] == ((self.symbol.value, self.timeframe.value),):
            return
        self._looked = view
        self._choices(view)
        key = (self.symbol.value, self.timeframe.value)
        if key not in view.bars:
            return
        if (key, view.generation) != self._shown:
            self._draw(view, *key)
        else:
            self._stream(view, *key)
        versions = tuple(view.versions.get(part, 0) for part in ("fills", "signals", "orders", "positions")) + (
            self._seq,
        )
        if versions != self._versions:
            self._annotate(view, *key)
            self._versions = versions

    def _choices(self, view: View) -> None:
        "Symbols and timeframes the journal has bars of."
        symbols = sorted({symbol for symbol, _ in view.bars})
        if symbols and symbols != self.symbol.options:
            self.symbol.param.update(
                options=symbols, value=self.symbol.value if self.symbol.value in symbols else symbols[0]
            )
        frames = sorted((t for s, t in view.bars if s == self.symbol.value), key=lambda t: Timeframe(t).seconds)
        if frames and frames != self.timeframe.options:
            wanted = (self.timeframe.value, "1min", frames[0])
            self.timeframe.param.update(options=frames, value=next(frame for frame in wanted if frame in frames))

    def _draw(self, view: View, symbol: str, timeframe: str) -> None:
        "A new chart of everything known."
        series = view.bars[symbol, timeframe]
        self._seq, bars = series.since()[0], series.bars()
        self._lines = IndicatorLines(chart_indicators(view, symbol, timeframe), symbol)
        values = self._lines.step(bars)
        overlays, panes = self._lines.split(values, bars[-1].close if bars else 0.0)
        self.chart = CandleChart(
            bars,
            tick_size=product(symbol).tick_size,
            overlays=overlays,
            panes=panes,
            values=values,
            height=self._height,
        )
        self._marked, self._contracts, self._shown, self._versions = (
            set(),
            {contract_code(bar.contract) for bar in bars},
            ((symbol, timeframe), view.generation),
            (),
        )
        self.chart.show_sessions(session_opens(symbol, bars))
        self.tools[2:] = [self._button(*button) for button in _BUTTONS]
        self.plot.object = self.chart.view
        if self.tools not in self.view:
            self.view[:] = [self.tools, self.plot]

    def _button(self, text: str, code: str, share: float) -> pn.widgets.Button:
        "A button that moves this chart in the browser, without a word to the server."
        button = pn.widgets.Button(label=text, margin=(8, 0, 4, 6), stylesheets=[CONTROL_CSS])
        button.jscallback(args=dict(xr=self.chart.x_range, source=self.chart.source, share=share), clicks=code)
        return button

    def _stream(self, view: View, symbol: str, timeframe: str) -> None:
        "New bars and their indicator values; a corrected bar changes its candle only."
        self._seq, bars = view.bars[symbol, timeframe].since(self._seq)
        if not bars:
            return
        newest = self.chart._starts[-1] if self.chart._starts else -1
        fresh = [bar for bar in bars if bar.start > newest]
        self.chart.push([bar for bar in bars if bar.start <= newest])
        self.chart.push(fresh, self._lines.step(fresh) if fresh else None)
        self._contracts |= {contract_code(bar.contract) for bar in fresh}
        self.chart.show_sessions(session_opens(symbol, fresh))

    def _annotate(self, view: View, symbol: str, timeframe: str) -> None:
        "New marks, and the working orders' levels."
        marks = {
            key: mark
            for key, mark in marks_of(view, symbol, self._contracts).items()
            if key not in self._marked and self.chart.x_of(mark.at) is not None
        }
        self.chart.mark(marks.values())
        self._marked |= marks.keys()
        levels = levels_of(view, self._contracts)
        if levels != list(zip(self.chart.levels.data["y"], self.chart.levels.data["label"])):
            self.chart.show_levels(levels)
