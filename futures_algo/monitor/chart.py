"""Candles, volume and indicators that grow bar by bar, in a page or a JupyterLab cell."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from bokeh.core.properties import value
from bokeh.layouts import column
from bokeh.models import (
    ColumnDataSource,
    CrosshairTool,
    CustomJS,
    CustomJSTicker,
    CustomJSTickFormatter,
    HoverTool,
    LabelSet,
    NumeralTickFormatter,
    Range1d,
)
from bokeh.plotting import figure

from futures_algo.core.paths import asset
from futures_algo.core.types import MINUTE, Bar, Bars

CLAMP = asset("monitor", "chart_clamp.js")
_FIT = asset("monitor", "chart_fit.js")
_ROOMY = asset("monitor", "chart_first_view.js")
_FOLLOW = asset("monitor", "chart_follow.js")
_FORMAT = asset("monitor", "chart_format.js")
_TICKS = _FORMAT + asset("monitor", "chart_ticks.js")
_LABEL = _FORMAT + asset("monitor", "chart_label.js")
_READOUT = _FORMAT + asset("monitor", "chart_readout.js")


RISING, FALLING, INK, GRID, ENTRY_LINE = "#1a9c74", "#d6524a", "#667080", "#8a94a3", "#2f78bd"
_SIDES = {"BUY": RISING, "SELL": FALLING}  # colours of working orders; any other level is an entry
_LINES = ("#3d8bd4", "#d18b1f", "#9a6fd0", "#1a9c9c", "#c75f93")
_OHLC = ("open", "high", "low", "close")
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"


def candle_columns(bars: "Bars | Sequence[Bar]", first: int = 0) -> dict[str, np.ndarray]:
    "The columns a candle needs; `first` is the `x` of the first bar."
    if not isinstance(bars, Bars):
        bars = Bars.from_bars(list(bars))
    n, rising = len(bars), bars.close >= bars.open
    columns = {name: np.asarray(getattr(bars, name), float) for name in _OHLC}
    columns |= dict(
        x=np.arange(first, first + n), start=bars.start / 1e6, end=bars.end / 1e6, volume=np.asarray(bars.volume, float)
    )  # browsers count milliseconds
    columns |= dict(
        middle=(columns["open"] + columns["close"]) / 2,
        size=abs(columns["close"] - columns["open"]),
        half=columns["volume"] / 2,
    )
    return columns | dict(colour=np.where(rising, RISING, FALLING), body=np.where(rising, 0.0, 0.9))


def style_figure(fig: figure) -> None:
    "Quiet axes on a transparent ground."
    fig.background_fill_color = fig.border_fill_color = None
    fig.outline_line_color, fig.min_border_left, fig.min_border_right = None, 6, 64
    fig.grid.grid_line_color, fig.grid.grid_line_alpha = GRID, 0.16
    fig.axis.axis_line_color = fig.axis.major_tick_line_color = fig.axis.minor_tick_line_color = None
    fig.axis.major_label_text_color, fig.axis.major_label_text_font, fig.axis.major_label_text_font_size = (
        INK,
        _FONT,
        "11px",
    )
    fig.yaxis.fixed_location = None
    fig.toolbar.logo, fig.toolbar_location = None, None


class _Panes:
    "Builds the figures of a chart, which has the sources."

    source: ColumnDataSource
    sessions: ColumnDataSource
    levels: ColumnDataSource
    marks: ColumnDataSource
    x_range: Range1d
    _tick: float
    _zone: Any
    _zone_name: Any

    def _figure(self, height: int, y_range: Range1d, **kw) -> figure:
        "One pane on the common time axis."
        fig = figure(
            height=height,
            x_range=self.x_range,
            y_range=y_range,
            tools="xpan,xwheel_zoom",
            active_drag="xpan",
            active_scroll="xwheel_zoom",
            y_axis_location="right",
            sizing_mode="stretch_width",
            **kw,
        )
        style_figure(fig)
        fig.xaxis.visible = False
        return fig

    def _build(self, height: int, overlays: Sequence[str], panes: Mapping[str, Sequence[str]]):
        "All panes under one another, the time axis under the last."
        price, traded, decimals = Range1d(0, 1), Range1d(0, 1), len(f"{self._tick:.10f}".rstrip("0").split(".")[1])
        main, volume = self._figure(height, price, title=" "), self._figure(64, traded)
        main.yaxis.formatter = NumeralTickFormatter(format="0,0." + "0" * decimals if decimals else "0,0")
        volume.yaxis.formatter, volume.yaxis.ticker.desired_num_ticks = NumeralTickFormatter(format="0.[0]a"), 2
        self._candles(main)
        self._lines(main, overlays)
        volume.rect(
            "x", "half", 0.7, "volume", source=self.source, fill_color="colour", line_color=None, fill_alpha=0.45
        )
        extra = [self._pane(title, names) for title, names in panes.items()]
        figures = [main, volume, *extra]
        self._axis(figures)
        self._crosshair(figures)
        self._scripts(
            main,
            price,
            traded,
            [(fig.y_range, list(names)) for fig, names in zip(extra, panes.values())],
            decimals,
            list(overlays),
        )
        return main, column(*figures, sizing_mode="stretch_width", spacing=0)

    def _candles(self, fig: figure) -> None:
        "Sessions, wicks, bodies, order levels and marks, from back to front."
        fig.vspan("x", source=self.sessions, line_color=GRID, line_dash=[2, 3], line_alpha=0.7)
        fig.segment("x", "low", "x", "high", source=self.source, line_color="colour")
        fig.rect(
            "x", "middle", 0.7, "size", source=self.source, line_color="colour", fill_color="colour", fill_alpha="body"
        )  # `vbar` paints what is out of view onto the edge
        fig.hspan("y", source=self.levels, line_color="colour", line_dash=[6, 3], line_alpha=0.8)
        fig.add_layout(
            LabelSet(
                x=6,
                x_units="screen",
                y="y",
                text="label",
                source=self.levels,
                text_color=INK,
                text_font_size="11px",
                text_font=value(_FONT),
                y_offset=2,
            )
        )
        marks = fig.scatter(
            "x",
            "y",
            marker="shape",
            size=11,
            source=self.marks,
            line_color="colour",
            fill_color="colour",
            fill_alpha="fill",
            line_width=1.6,
        )
        fig.add_tools(HoverTool(renderers=[marks], tooltips="@why", attachment="above"))
        fig.text(
            "x",
            "y",
            "label",
            source=self.marks,
            text_color=INK,
            text_font_size="10px",
            text_font=value(_FONT),
            text_align="center",
            text_baseline="middle",
            y_offset="above",
        )

    def _lines(self, fig: figure, names: Sequence[str]) -> None:
        "Indicator outputs as lines, a histogram as columns."
        for colour, name in zip(_LINES * 3, names):
            if "histogram" in name:
                fig.segment("x", 0, "x", name, source=self.source, line_color=GRID, line_alpha=0.6, line_width=2)
            else:
                fig.line("x", name, source=self.source, line_color=colour, line_width=1.4, legend_label=name)
        for legend in fig.legend:
            legend.update(
                location="top_left",
                orientation="horizontal",
                background_fill_alpha=0,
                border_line_alpha=0,
                padding=2,
                margin=0,
                label_text_font_size="10px",
                label_text_color=INK,
                label_text_font=_FONT,
                glyph_width=12,
            )

    def _pane(self, title: str, names: Sequence[str]) -> figure:
        "One indicator pane."
        fig = self._figure(96, Range1d(0, 1))
        fig.yaxis.ticker.desired_num_ticks = 3
        fig.hspan(0, line_color=GRID, line_alpha=0.5)
        self._lines(fig, names)
        return fig

    def _axis(self, figures: list[figure]) -> None:
        "Round times on the exchange's clock, written once, under the last pane."
        args = dict(source=self.source, zone=self._zone, main=figures[0])
        for fig in figures:
            fig.xaxis.ticker = CustomJSTicker(major_code=_TICKS, args=args)
            fig.xgrid.ticker = fig.xaxis[0].ticker
        figures[-1].xaxis.visible, figures[-1].xaxis.formatter = True, CustomJSTickFormatter(code=_LABEL, args=args)
        figures[-1].height += 32

    def _crosshair(self, figures: list[figure]) -> None:
        for fig in figures:
            fig.add_tools(
                CrosshairTool(dimensions="height" if fig is not figures[0] else "both", line_color=GRID, line_alpha=0.6)
            )

    def _scripts(
        self, main: figure, price: Range1d, traded: Range1d, panes: list, decimals: int, overlays: list[str]
    ) -> None:
        "Connect the browser scripts."
        main.title.update(text_font=_FONT, text_font_size="12px", text_font_style="normal", text_color=INK, offset=0)
        fit = CustomJS(
            code=_FIT,
            args=dict(
                source=self.source,
                xr=self.x_range,
                price=price,
                traded=traded,
                panes=panes,
                tick=self._tick,
                overlays=overlays,
                levels=self.levels,
            ),
        )
        follow = CustomJS(code=_FOLLOW, args=dict(source=self.source, xr=self.x_range))
        readout = CustomJS(
            code=_READOUT,
            args=dict(
                source=self.source,
                main=main,
                title=main.title,
                decimals=decimals,
                zone=self._zone,
                zone_name=self._zone_name,
            ),
        )
        for change in ("start", "end"):
            self.x_range.js_on_change(change, fit)
        for signal in ("streaming", "patching", "change:data"):
            self.source.js_on_change(signal, follow, fit, readout)
        self.levels.js_on_change("data", fit)
        for event in ("mousemove", "mouseleave"):
            main.js_on_event(event, readout)
        roomy = CustomJS(code=_ROOMY, args=dict(xr=self.x_range, main=main, source=self.source))
        main.js_on_change("inner_width", roomy, fit, readout)  # the first layout: the page has just been drawn


class Mark(NamedTuple):
    "Something that happened at a moment and a price."

    at: int  # ns UTC
    price: float  # points
    side: str  # BUY or SELL
    label: str = ""  # "+1", "exit", ...
    kind: str = "fill"  # fill, signal or denied
    why: str = ""  # said when it is touched


def mark_columns(marks: "Sequence[tuple[int, Mark]]") -> dict[str, list]:
    "Columns for marks and their `x`."
    buy = [mark.side == "BUY" for _, mark in marks]
    looks = [_look(mark) for _, mark in marks]
    return dict(
        x=[x for x, _ in marks],
        y=[mark.price for _, mark in marks],
        label=[mark.label for _, mark in marks],
        shape=[shape for shape, _ in looks],
        colour=[colour for _, colour in looks],
        fill=[0.85 if mark.kind == "fill" else 0.0 for _, mark in marks],
        above=[16 if b else -16 for b in buy],
        why=[mark.why or f"{mark.side} {mark.price:g}" for _, mark in marks],
    )


def _look(mark: Mark) -> tuple[str, str]:
    "Shape and colour: up is a buy, down a sale, neither was denied."
    if mark.kind == "denied":
        return "diamond", INK
    return ("triangle", RISING) if mark.side == "BUY" else ("inverted_triangle", FALLING)


class CandleChart(_Panes):
    "Candles, volume and indicator panes of one symbol and timeframe; `.view` is the Bokeh layout to show."

    def __init__(
        self,
        bars: "Bars | Sequence[Bar]" = (),  # what to start with, oldest first
        *,
        tick_size: float = 0.25,  # points; sets the decimals shown
        overlays: Sequence[str] = (),  # value names drawn over the candles
        panes: Mapping[str, Sequence[str]] | None = None,  # pane title -> value names drawn in it
        values: Mapping[str, Sequence[float]] | None = None,  # name -> one value a bar, for the starting bars
        zone: str = "America/Chicago",  # zone of the time axis
        zone_name: str = "CT",
        keep: int = 3000,  # bars kept; older ones leave the browser
        shown: int = 160,  # bars in view at the start
        height: int = 340,  # pixels of the candle pane
    ):
        self.names = [*overlays, *(name for group in (panes or {}).values() for name in group)]
        self.keep, self._tick, self._zone, self._zone_name = keep, tick_size, zone, zone_name
        bars = bars if isinstance(bars, Bars) else Bars.from_bars(list(bars))
        bars = bars[-keep:]
        self._starts, self._ends, self._first = bars.start.tolist(), bars.end.tolist(), 0
        columns = candle_columns(bars) | {name: self._column(values, name, len(bars)) for name in self.names}
        self.source = ColumnDataSource(columns)
        self.marks = ColumnDataSource(dict(x=[], y=[], shape=[], colour=[], fill=[], label=[], above=[], why=[]))
        self.levels = ColumnDataSource(dict(y=[], label=[], colour=[]))
        self.sessions = ColumnDataSource(dict(x=[]))
        last = max(len(bars) - 1, 0)
        self.x_range = Range1d(max(last - shown, -1) + 0.5, last + 4.5, tags=[last, shown])
        self.figure, self.view = self._build(height, overlays, panes or {})

    def _column(self, values: Mapping | None, name: str, n: int) -> np.ndarray:
        "The last n values of a name, or gaps."
        return np.asarray(values[name], float)[-n:] if values and name in values and n else np.full(n, np.nan)

    def push(
        self,
        bars: Iterable[Bar],  # new or corrected, oldest first
        values: Mapping[str, Sequence[float]] | None = None,  # name -> one value a bar of `bars`
    ) -> int:  # bars added
        "Stream what is new and patch what is known; a bar that is older than the newest and unknown is left out."
        last, fresh, rows = self._starts[-1] if self._starts else -1, [], []
        for row, bar in enumerate(bars):
            if bar.start > last:
                fresh.append(bar)
                rows.append(row)
                last = bar.start
            elif self._starts[at := bisect_left(self._starts, bar.start)] == bar.start:
                self._patch(at, bar, values, row)
        if fresh:
            self._stream(
                fresh, {name: np.asarray(values[name], float)[rows] for name in self.names} if values else None
            )
        return len(fresh)

    def _stream(self, bars: list[Bar], values: Mapping | None) -> None:
        "Append bars, dropping the oldest beyond `keep`."
        columns = candle_columns(bars, self._first + len(self._starts)) | {
            name: self._column(values, name, len(bars)) for name in self.names
        }
        self.source.stream(
            {name: column.tolist() for name, column in columns.items()}, rollover=self.keep
        )  # arrays travel in messages of their own
        self._starts += [bar.start for bar in bars]
        self._ends += [bar.end for bar in bars]
        if (surplus := len(self._starts) - self.keep) > 0:
            del self._starts[:surplus], self._ends[:surplus]
            self._first += surplus

    def _patch(self, at: int, bar: Bar, values: Mapping | None, row: int) -> None:
        "Correct the bar in row `at`."
        columns = candle_columns([bar])
        cells = {name: [(at, columns[name].tolist()[0])] for name in columns if name not in ("x", "start", "end")}
        if values:
            cells |= {name: [(at, float(values[name][row]))] for name in self.names}
        self.source.patch(cells)

    def x_of(
        self,
        at: int,  # ns UTC; a bar's end belongs to the bar
    ) -> int | None:  # `x` on the chart
        "The bar that holds a moment; None when the chart has none."
        row = bisect_left(self._ends, at)
        return self._first + row if row < len(self._ends) and self._starts[row] <= at else None

    def mark(self, marks: Iterable[Mark]) -> None:
        "Add marks; those outside the bars shown are left out."
        placed = [(x, mark) for mark in marks if (x := self.x_of(mark.at)) is not None]
        if placed:
            self.marks.stream(mark_columns(placed), rollover=2 * self.keep)

    def show_levels(self, levels: Iterable[tuple[float, str, str]]) -> None:
        "Working orders and entries as lines: (price, label, BUY, SELL or nothing); the few there are, as a whole."
        levels = list(levels)
        self.levels.data = dict(
            y=[p for p, _, _ in levels],
            label=[text for _, text, _ in levels],
            colour=[_SIDES.get(side, ENTRY_LINE) for _, _, side in levels],
        )

    def show_sessions(self, opens: Iterable[int]) -> None:
        "A line before the bar with which each session opens (ns UTC); known ones are not sent again."
        known = set(self.sessions.data["x"])
        fresh = [x - 0.5 for at in opens if (x := self.x_of(at + 1)) is not None and x - 0.5 not in known]
        if fresh:
            self.sessions.stream(dict(x=fresh), rollover=200)


def random_bars(
    n: int = 300,  # bars
    seed: int = 7,
    symbol: str = "ES.c.0",
    price: float = 6800.0,  # points, the first open
    start: int = 1_763_560_800_000_000_000,  # ns UTC: 2025-11-19 14:00
    tick: float = 0.25,
) -> list[Bar]:
    "A seeded random walk on the tick grid, one bar a minute."
    rng = np.random.default_rng(seed)
    closes = price + tick * np.cumsum(rng.integers(-6, 7, n))
    opens = np.concatenate([[price], closes[:-1]])
    high, low = (
        np.maximum(opens, closes) + tick * rng.integers(0, 5, n),
        np.minimum(opens, closes) - tick * rng.integers(0, 5, n),
    )
    volume = rng.integers(200, 3000, n)
    return [
        Bar(
            symbol,
            "1min",
            start + i * MINUTE,
            start + (i + 1) * MINUTE,
            float(opens[i]),
            float(high[i]),
            float(low[i]),
            float(closes[i]),
            int(volume[i]),
            "ESZ5",
        )
        for i in range(n)
    ]
