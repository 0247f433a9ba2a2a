"""The explorer's sweep: two parameters, a heat map, the best combinations, and a click to see one of them run."""

import asyncio
import itertools
import math
import time
from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets as w
import numpy as np
from bokeh.models import ColumnDataSource, LinearColorMapper, Range1d
from bokeh.palettes import RdYlGn11
from bokeh.plotting import figure

from futures_algo.core.types import FuturesAlgoError, InputError
from futures_algo.explorer.bokeh_widget import BokehWidget
from futures_algo.explorer.model import Exploration, round_step, slider_of
from futures_algo.indicators.base import Parameter
from futures_algo.monitor.chart import style_figure
from futures_algo.research.performance import written
from futures_algo.research.sweep import LOWER_IS_BETTER, sweep, values_of
from futures_algo.strategies.batch import Market

MOST_COMBINATIONS = 2500  # a page's sweep; more is work for `futures-algo sweep`


def axis_values(
    text: str,  # "10:60:10" or "10, 20, 40"
    param: Parameter,
    name: str,
) -> list[Any]:
    "The values a text stands for; too many are refused before they are made."
    parts = text.split(":")
    try:
        count = (float(parts[1]) - float(parts[0])) / float(parts[2]) if len(parts) == 3 else 0
    except (ValueError, ZeroDivisionError):
        count = 0  # `values_of` says what is wrong
    if count > MOST_COMBINATIONS:
        raise InputError(f"{name} values", text, f"must be at most {MOST_COMBINATIONS:,}", "choose a larger step")
    if not text.strip(" ,"):
        raise InputError(f"{name} values", text, "must name at least one value", "write 10:60:10 or 10, 20, 40")
    return values_of(text, param, name)


def offered_values(param: Parameter) -> str:
    "About ten values around the default, as a text for `values_of`."
    if (offer := slider_of(param)) is None:
        return ", ".join(param.choices or ("false", "true"))
    step = round_step((offer.high - offer.low) / 10, offer.whole)
    first = max(step, math.ceil(offer.low / step) * step) if offer.low >= 0 else offer.low
    return f"{first:g}:{offer.high:g}:{step:g}"


METRICS = ("sharpe", "net_profit_usd", "profit_factor", "max_drawdown_usd", "win_rate", "average_trade_usd", "trades")
BREAK_EVEN = {"sharpe": 0.0, "net_profit_usd": 0.0, "average_trade_usd": 0.0, "profit_factor": 1.0}


class Grid:
    "Every combination of one or two parameters' values over the exploration's others."

    def __init__(self, exploration: Exploration, axes: dict[str, list[Any]]):
        self.axes, self.kind, self.symbol, self.fixed = (
            axes,
            exploration.kind,
            exploration.symbol,
            dict(exploration.given),
        )
        self.market, self.costs, self.quantity = (
            Market(exploration.market.source, exploration.market.calendar),
            exploration.costs,
            exploration.quantity,
        )
        self.combinations = [dict(zip(axes, values)) for values in itertools.product(*axes.values())]
        if len(self.combinations) > MOST_COMBINATIONS:
            raise InputError(
                "combinations",
                len(self.combinations),
                f"must be at most {MOST_COMBINATIONS:,} here",
                "choose larger steps, or run futures-algo sweep",
            )
        self.strategies = [self._strategy(chosen) for chosen in self.combinations]
        self.figures: list[dict[str, float] | None] = [None] * len(self.combinations)
        self.done = 0

    def _strategy(self, chosen: dict[str, Any]) -> Any:
        "The strategy, or None where it refuses the combination."
        try:
            return self.kind(self.symbol, {**self.fixed, **chosen})
        except FuturesAlgoError:
            return None

    @property
    def refused(self) -> int:
        return self.strategies.count(None)

    def step(self) -> bool:
        "Run the next column; False when all are done."
        up = len(self.combinations) // len(next(iter(self.axes.values())))
        rows = range(self.done, min(self.done + up, len(self.combinations)))
        if able := [row for row in rows if self.strategies[row] is not None]:
            values = {name: [value] for name, value in self.fixed.items()} | {
                name: list(dict.fromkeys(self.combinations[row][name] for row in able)) for name in self.axes
            }
            table = sweep(self.kind, self.market, values, self.costs, self.quantity).table
            for row, found in zip(able, table[list(METRICS)].to_dict("records")):
                self.figures[row] = found
            self.market.trim(2**27)
        self.done = rows.stop
        return self.done < len(self.combinations)

    def column(self, metric: str) -> np.ndarray:
        "A figure of every combination; NaN where there is none."
        return np.array([np.nan if found is None else found[metric] for found in self.figures])

    def best(self, metric: str, count: int = 10) -> list[int]:
        "The best rows, best first."
        values = self.column(metric) * (-1 if metric in LOWER_IS_BETTER else 1)
        order = np.argsort(-np.where(np.isnan(values), -np.inf, values), kind="stable")
        return [int(row) for row in order[:count] if not np.isnan(values[row])]

    def to_frame(self):
        "A `pd.DataFrame`: parameters, then figures, one combination a row."
        import pandas as pd

        return pd.concat(
            [pd.DataFrame(self.combinations), pd.DataFrame([found or {} for found in self.figures])], axis=1
        )


class HeatMap:
    "A figure over two parameters (or one); `.view` is the Bokeh figure."

    def __init__(self, height: int = 380):
        self.source = ColumnDataSource({name: [] for name in ("x", "y", "text", "value")})
        self.mapper = LinearColorMapper(RdYlGn11[::-1], nan_color="rgba(128,128,128,0.18)")
        self.view = fig = figure(
            height=height, x_range=Range1d(0, 1), y_range=Range1d(0, 1), tools="", sizing_mode="stretch_width"
        )
        style_figure(fig)
        fig.grid.visible, fig.min_border_right = False, 16
        fig.rect(
            "x",
            "y",
            0.97,
            0.95,
            source=self.source,
            fill_color={"field": "value", "transform": self.mapper},
            fill_alpha=0.72,
            line_color=None,
        )
        fig.text(
            "x",
            "y",
            "text",
            source=self.source,
            text_align="center",
            text_baseline="middle",
            text_font_size="10px",
            text_color="#1d2733",
        )
        fig.xaxis.axis_label_text_font_style = fig.yaxis.axis_label_text_font_style = "normal"
        self.shape = (0, 0)

    def draw(self, grid: Grid, metric: str) -> None:
        "Colour the cells."
        names, values = list(grid.axes), grid.column(metric)
        across, up = len(grid.axes[names[0]]), len(grid.axes[names[1]]) if len(names) > 1 else 1
        self.shape = (across, up)
        self._axes(names, grid)
        self.mapper.update(**_scale(metric, values[np.isfinite(values)]))
        rows = np.arange(len(values))
        crowded = across > 26
        self.source.data = {
            "x": rows // up,
            "y": rows % up,
            "value": np.where(np.isfinite(values), values * (-1 if metric in LOWER_IS_BETTER else 1), np.nan),
            "text": ["" if crowded or np.isnan(value) else _short(metric, value) for value in values],
        }

    def _axes(self, names: list[str], grid: Grid) -> None:
        for axis, span, size, name in (
            (self.view.xaxis, self.view.x_range, self.shape[0], names[0]),
            (self.view.yaxis, self.view.y_range, self.shape[1], names[1] if len(names) > 1 else ""),
        ):
            span.update(start=-0.5, end=size - 0.5)
            every = max(1, size // 24)
            axis.ticker = list(range(0, size, every))
            axis.major_label_overrides = (
                {at: _tick_text(grid.axes[name][at]) for at in range(size)} if name else {0: ""}
            )
            axis.axis_label = name.replace("_", " ")

    def on_pick(self, do: Callable[[int], Any]) -> None:
        "Call with the row of the grid that is clicked."

        def picked(event: Any) -> None:
            x, y = round(event.x), round(event.y)
            if 0 <= x < self.shape[0] and 0 <= y < self.shape[1]:
                do(x * self.shape[1] + y)

        self.view.on_event("tap", picked)


def _scale(metric: str, values: np.ndarray) -> dict[str, float]:
    "Where the colours begin and end: around break-even, where a figure has one."
    if not len(values):
        return {"low": 0.0, "high": 1.0}
    if metric in BREAK_EVEN:
        reach = float(abs(values - BREAK_EVEN[metric]).max()) or 1.0
        return {"low": BREAK_EVEN[metric] - reach, "high": BREAK_EVEN[metric] + reach}
    good = values * (-1 if metric in LOWER_IS_BETTER else 1)
    return {"low": float(good.min()), "high": float(max(good.max(), good.min() + 1e-9))}


def _tick_text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)


def _short(metric: str, value: float) -> str:
    "A figure that fits into a cell."
    if metric.endswith("_usd"):
        return f"{value / 1000:.1f}k" if abs(value) >= 1000 else f"{value:.0f}"
    return format(value, {"win_rate": ".0%", "trades": ".0f"}.get(metric, ".2f"))


class SweepTab(w.VBox):
    "Sweep one or two parameters and show one of the combinations."

    def __init__(
        self,
        exploration: Exploration,
        show: Callable[[dict[str, Any]], Any],  # called with the parameters of the combination chosen
    ):
        self.exploration, self._show, self._running, self._listing = exploration, show, False, False
        self.grid: Grid | None = None
        self.names = [w.Dropdown(layout=w.Layout(width="190px")) for _ in range(2)]
        self.texts = [
            w.Text(placeholder="10:60:10 or 10, 20, 40", continuous_update=False, layout=w.Layout(width="190px"))
            for _ in range(2)
        ]
        self.metric = w.Dropdown(options=METRICS, layout=w.Layout(width="170px"))
        self.start, self.stop = (
            w.Button(description="Run sweep", button_style="primary"),
            w.Button(description="Cancel", disabled=True),
        )
        self.progress, self.line, self.error = (
            w.IntProgress(0, 0, 1, layout=w.Layout(width="240px", display="none")),
            w.HTML(),
            w.HTML(),
        )
        self.map, self.best = HeatMap(), w.VBox()
        self.map.on_pick(self.pick)  # before the figure gets its document: Bokeh subscribes then
        self.picture = BokehWidget(
            self.map.view, layout=w.Layout(visibility="hidden", flex="1 1 420px", min_width="320px")
        )
        for at, name in enumerate(self.names):
            name.observe(lambda change, at=at: self._named(at), "value")
        for text in self.texts:
            text.observe(lambda _: self.estimate(), "value")
        self.metric.observe(lambda _: self._draw(), "value")
        self.start.on_click(lambda _: self.run())
        self.stop.on_click(lambda _: self.cancel())
        table = w.VBox([w.HTML("<b>Best combinations</b>"), self.best], layout=w.Layout(flex="0 1 400px"))
        super().__init__(
            [
                w.HBox(
                    [
                        _labelled("Across", self.names[0], self.texts[0]),
                        _labelled("Up", self.names[1], self.texts[1]),
                        _labelled("Rank by", self.metric),
                    ],
                    layout=w.Layout(flex_flow="row wrap"),
                ),
                w.HBox([self.start, self.stop, self.progress, self.line]),
                self.error,
                w.HBox([self.picture, table], layout=w.Layout(flex_flow="row wrap")),
            ]
        )
        self.list_parameters()

    def list_parameters(self) -> None:
        "The parameters of the exploration's strategy."
        names = list(self.exploration.kind.params)
        own = [name for name in names if name not in self.exploration.kind.exit_params] + [
            name for name in names if name in self.exploration.kind.exit_params
        ]
        numbers = [name for name in own if slider_of(self.exploration.kind.params[name])]
        self._listing = True
        self.names[0].options, self.names[1].options = own, ["none", *own]
        self.names[0].value, self.names[1].value = numbers[0], numbers[1]
        self._listing = False
        for at in (0, 1):
            self._named(at)

    def _named(self, at: int) -> None:
        if self._listing:
            return
        name = self.names[at].value
        self.texts[at].value = "" if name == "none" else offered_values(self.exploration.kind.params[name])
        self.texts[at].disabled = name == "none"
        self.estimate()

    def axes(self) -> dict[str, list[Any]]:
        "The values chosen, by parameter."
        params = self.exploration.kind.params
        chosen = {
            name.value: axis_values(text.value, params[name.value], name.value)
            for name, text in zip(self.names, self.texts)
            if name.value != "none"
        }
        if self.names[0].value == self.names[1].value:
            raise InputError("parameters", self.names[0].value, "must be two different ones", "choose another, or none")
        return chosen

    def estimate(self) -> None:
        "Say what the sweep would take."
        if self._listing:
            return
        self.error.value = ""
        try:
            grid = Grid(self.exploration, self.axes())
        except FuturesAlgoError as error:
            return self._refuse(error)
        seconds = (len(grid.combinations) - grid.refused) * self.exploration.seconds
        refused = f", {grid.refused} of them refused by the strategy" if grid.refused else ""
        self.line.value = (
            f"<span class='fx-soft'>{len(grid.combinations):,} combinations{refused}, at most about"
            f" {_duration(seconds)}</span>"
        )
        self.start.disabled = self._running or grid.refused == len(grid.combinations)

    def _refuse(self, error: FuturesAlgoError) -> None:
        self.line.value, self.start.disabled = "", True
        self.error.value = f"<div class='fx-error' role='alert'>{escape(' '.join(str(error).split()))}</div>"

    def run(self) -> None:
        "Run the grid: beside everything else in a notebook, at once where no event loop runs."
        if self._running:
            return
        try:
            self.grid = Grid(self.exploration, self.axes())
        except FuturesAlgoError as error:
            return self._refuse(error)
        self._running, self._began = True, time.monotonic()
        self.start.disabled, self.stop.disabled = True, False
        self.progress.max, self.progress.value, self.progress.layout.display = len(self.grid.combinations), 0, None
        try:
            self._task = asyncio.get_running_loop().create_task(self._beside())
        except RuntimeError:
            while self._running and self.grid.step():
                pass
            self._end()

    async def _beside(self) -> None:
        "Step by step in a thread; after each, look whether to go on."
        loop, going = asyncio.get_running_loop(), True
        try:
            while going and self._running:
                going = await loop.run_in_executor(None, self.grid.step)
                self.progress.value = self.grid.done
                self.line.value = f"<span class='fx-soft'>{self.grid.done:,} of {len(self.grid.combinations):,}</span>"
        except FuturesAlgoError as error:
            self._refuse(error)
        finally:
            self._end()

    def cancel(self) -> None:
        "Stop after the column that runs now; what was found stays."
        self._running = False

    def _end(self) -> None:
        stopped = self.grid.done < len(self.grid.combinations)
        self._running = False
        self.start.disabled, self.stop.disabled, self.progress.layout.display = False, True, "none"
        self.line.value = (
            f"<span class='fx-soft'>{'cancelled after ' if stopped else ''}{self.grid.done:,} combinations in"
            f" {_duration(time.monotonic() - self._began)}; click one to see it run</span>"
        )
        self._draw()

    def _draw(self) -> None:
        "Heat map and table of what was found."
        if self.grid is None:
            return
        metric = self.metric.value
        self.picture.layout.visibility = "visible"
        self.map.draw(self.grid, metric)
        self.best.children = [self._line(rank, row, metric) for rank, row in enumerate(self.grid.best(metric), 1)]

    def _line(self, rank: int, row: int, metric: str) -> w.Widget:
        "One of the best, with a button to see it."
        button = w.Button(
            description=str(rank), tooltip="Show this run", layout=w.Layout(width="38px", flex="0 0 38px")
        )
        button.add_class("fx-rank")
        button.on_click(lambda _: self.pick(row))
        found: Any = self.grid.figures[row]
        chosen = self.grid.combinations[row]
        text = ", ".join(
            (
                f"{name.replace('_', ' ')} {value:g}"
                if isinstance(value, (int, float))
                else f"{name.replace('_', ' ')} {value}"
            )
            for name, value in chosen.items()
        )
        extra = f"{written('net_profit_usd', found['net_profit_usd']).split('.')[0]} · {found['trades']} trades"
        return w.HBox(
            [
                button,
                w.HTML(
                    f"<div class='fx-line'><b data-rank='{rank}'>{escape(written(metric, found[metric]))}</b>"
                    f" &nbsp;{escape(text)} <span class='fx-soft'>{escape(extra)}</span></div>"
                ),
            ]
        )

    def pick(self, row: int) -> None:
        "Show a combination."
        if self.grid is not None and self.grid.strategies[row] is not None:
            self._show(self.grid.combinations[row])


def _labelled(text: str, *controls: w.Widget) -> w.Widget:
    return w.VBox([w.HTML(f"<span class='fx-soft'>{text}</span>"), *controls], layout=w.Layout(margin="0 14px 0 0"))


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
