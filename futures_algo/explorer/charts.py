"""A run as figures: candles with entries and exits, the equity under them, and a sweep as a heat map."""

from collections.abc import Callable
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, NumeralTickFormatter, Range1d
from bokeh.plotting import figure

from futures_algo.core.contracts import product
from futures_algo.explorer.model import Stretch, panes_of, stretch_of, thinned
from futures_algo.monitor.chart import FALLING, GRID, INK, RISING, CandleChart, candle_columns, style_figure
from futures_algo.research.backtest import BacktestResult
from futures_algo.strategies.batch import Market


def trade_columns(
    run: BacktestResult,
    first: int,  # row of the first bar shown
    after: int,  # row after the last one
) -> dict[str, Any]:
    "The trades that touch a stretch, one a row."
    trades = run.trades
    keep = np.flatnonzero((trades.entry_row < after) & (trades.exit_row >= first))
    won = trades.pnl_usd[keep] > 0
    return dict(
        x0=trades.entry_row[keep],
        y0=trades.entry_price[keep],
        x1=trades.exit_row[keep],
        y1=trades.exit_price[keep],
        colour=np.where(won, RISING, FALLING),
        shape=np.where(trades.side[keep] > 0, "triangle", "inverted_triangle"),
        label=_dollars(trades.pnl_usd[keep]) if len(keep) <= 60 else [""] * len(keep),
    )  # many labels hide one another


def level_columns(run: BacktestResult, first: int, stop: int) -> dict[str, Any]:
    "Stops and targets that rested over these base bars, a short line a bar and order."
    levels = run.levels[first:stop]
    rows, kinds = np.nonzero(levels == levels)
    colours = [(FALLING, RISING)[kind] for kind in kinds]
    return {"x0": rows + first - 0.5, "x1": rows + first + 0.5, "y": levels[rows, kinds], "colour": colours}


def _dollars(values: np.ndarray) -> list[str]:
    signs = {1: "+", -1: "−"}
    return [f"{signs.get(np.sign(value), '')}${abs(value):,.0f}" for value in values.tolist()]


class RunChart(CandleChart):
    "Candles, indicators and trades of a stretch of a run; `.view` is the layout."

    def __init__(
        self,
        run: BacktestResult,
        market: Market,  # whose bars it ran over
        count: int = 1500,  # bars held at once
        shown: int = 150,  # bars in view at the start
        height: int = 300,  # pixels of the candle pane
    ):
        self.count, self.shown = count, shown
        self.trades = ColumnDataSource(trade_columns(run, 0, 0))
        self.levels = ColumnDataSource(level_columns(run, 0, 0))
        over, panes = panes_of(run.strategy)
        super().__init__(
            tick_size=product(run.base.symbol).tick_size, overlays=over, panes=panes, shown=shown, height=height
        )
        self.draw(run, market, len(run.base) - 1)

    def _candles(self, fig: figure) -> None:
        super()._candles(fig)
        fig.segment("x0", "y", "x1", "y", source=self.levels, line_color="colour", line_width=1.4)
        fig.segment(
            "x0",
            "y0",
            "x1",
            "y1",
            source=self.trades,
            line_color="colour",
            line_width=1.6,
            line_dash=[5, 3],
            line_alpha=0.9,
        )
        fig.scatter(
            "x0",
            "y0",
            marker="shape",
            size=12,
            source=self.trades,
            fill_color="colour",
            line_color="white",
            line_width=0.8,
        )
        fig.scatter(
            "x1",
            "y1",
            marker="circle",
            size=9,
            source=self.trades,
            fill_color="white",
            line_color="colour",
            line_width=2,
        )
        fig.text(
            "x1",
            "y1",
            "label",
            source=self.trades,
            text_color="colour",
            text_font_size="11px",
            x_offset=8,
            text_baseline="middle",
        )

    def draw(
        self,
        run: BacktestResult,
        market: Market,
        row: int,  # base bar to be seen, at the right of what is shown
        keep_view: bool = False,  # leave the browser's view where it is, when the stretch holds it
    ) -> Stretch:
        "The stretch of a run around a bar."
        stretch = stretch_of(run, market, min(row + self.count // 4, len(run.base)) - self.count, self.count)
        last = stretch.first + len(stretch.bars) - 1
        if not keep_view:
            self.x_range.update(start=row - self.shown + 0.5, end=row + 4.5, tags=[last])
        self.sessions.data = dict(x=self._opens(market, stretch))
        self.trades.data = trade_columns(run, stretch.first, last + 1)
        self.levels.data = level_columns(run, stretch.first, last + 1)
        self.source.data = candle_columns(stretch.bars, stretch.first) | {
            name: stretch.values[name] for name in self.names
        }
        return stretch

    def _opens(self, market: Market, stretch: Stretch) -> list[float]:
        "Where a session begins."
        closes = market.session_closes(stretch.bars.timeframe)[stretch.first : stretch.first + len(stretch.bars)]
        return (np.flatnonzero(np.diff(closes)) + stretch.first + 0.5).tolist()


class EquityChart:
    "Equity of a run over time; `.view` is the figure."

    def __init__(self, height: int = 150):
        self.source = ColumnDataSource(dict(time=[], equity=[], high=[]))
        self.band = ColumnDataSource(dict(left=[], right=[]))
        self.view = fig = figure(
            height=height,
            x_axis_type="datetime",
            x_range=Range1d(0, 1),
            y_range=Range1d(0, 1),
            tools="",
            y_axis_location="right",
            sizing_mode="stretch_width",
            title="Equity in dollars, falls below its highest shaded; click to bring the candles there",
        )
        style_figure(fig)
        fig.title.update(text_font_size="11px", text_font_style="normal", text_color=INK)
        fig.varea("time", "equity", "high", source=self.source, fill_color=FALLING, fill_alpha=0.18)
        fig.hspan(0, line_color=GRID, line_alpha=0.7)
        fig.line("time", "equity", source=self.source, line_color="#3d8bd4", line_width=1.6)
        fig.vspan("left", source=self.band, line_color=INK, line_alpha=0.6, line_dash=[4, 3])
        fig.vspan("right", source=self.band, line_color=INK, line_alpha=0.6, line_dash=[4, 3])
        fig.yaxis.formatter, fig.yaxis.ticker.desired_num_ticks = NumeralTickFormatter(format="$0,0"), 4

    def draw(self, run: BacktestResult) -> None:
        "Another run."
        time, equity = thinned(run.base.end, run.equity)
        low, high = min(equity.min(), 0.0), max(equity.max(), 0.0)
        room = (high - low) * 0.06 or 1.0
        self.view.x_range.update(start=time[0] / 1e6, end=time[-1] / 1e6)
        self.view.y_range.update(start=low - room, end=high + room)
        self.source.data = dict(time=time / 1e6, equity=equity, high=np.maximum.accumulate(np.maximum(equity, 0.0)))

    def mark(self, stretch: Stretch) -> None:
        "Say which bars the candles hold."
        self.band.data = dict(left=[stretch.bars.start[0] / 1e6], right=[stretch.bars.end[-1] / 1e6])

    def on_pick(self, do: Callable[[int], Any]) -> None:
        "Call with the moment (ns UTC) that is clicked."
        self.view.on_event("tap", lambda event: do(int(event.x * 1e6)))
