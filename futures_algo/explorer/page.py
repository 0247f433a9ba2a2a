"""The explorer as a page of its own, for a browser without Jupyter."""

from html import escape
from typing import Any

import panel as pn

from futures_algo.core.types import FuturesAlgoError
from futures_algo.explorer.charts import EquityChart, RunChart
from futures_algo.explorer.model import Exploration, choices_of, slider_of
from futures_algo.explorer.widget import MISTAKES, STYLE, statistics_html
from futures_algo.indicators.base import Parameter
from futures_algo.monitor.serving import PageServer
from futures_algo.strategies.base import BaseStrategy
from futures_algo.strategies.library import STRATEGIES


def _control(name: str, param: Parameter, value: Any, choices: tuple[str, ...]) -> pn.widgets.Widget:
    "Panel's control for a parameter; a slider's value may be typed."
    label = f"{name.replace('_', ' ')} ({param.unit})" if param.unit else name.replace("_", " ")
    if choices:
        return pn.widgets.Select(label=label, options=list(dict.fromkeys((*choices, value))), value=value)
    if (offer := slider_of(param)) is None:
        return pn.widgets.Checkbox(label=label, value=value)
    kind = pn.widgets.EditableIntSlider if offer.whole else pn.widgets.EditableFloatSlider
    hard = {"fixed_start": max(offer.least, -1e9), "fixed_end": min(offer.most, 1e9)}
    if offer.whole:
        hard = {key: int(limit) for key, limit in hard.items()}
    return kind(
        label=label, start=min(offer.low, value), end=max(offer.high, value), step=offer.step, value=value, **hard
    )


class ExplorerPage:
    "The explorer under Panel; `.view` is the Panel object."

    def __init__(
        self,
        bars: Any,  # see `exploration.markets_of`
        strategy: "type[BaseStrategy] | BaseStrategy" = STRATEGIES[0],
        **more: Any,  # of `Exploration`: costs, quantity, strategies
    ):
        self.exploration = known = Exploration(bars, strategy, **more)
        self.strategy = pn.widgets.Select(label="Strategy", options=list(known.strategies), value=known.kind.__name__)
        self.symbol = pn.widgets.Select(label="Symbol", options=list(known.markets), value=known.symbol)
        self.strategy.param.watch(lambda event: self._choose(strategy=event.new), "value")
        self.symbol.param.watch(lambda event: self._choose(symbol=event.new), "value")
        self.controls: dict[str, pn.widgets.Widget] = {}
        self.list, self.message = pn.Column(), pn.pane.HTML("", sizing_mode="stretch_width")
        self.figures, self.price = (
            pn.pane.HTML("", sizing_mode="stretch_width"),
            pn.pane.Bokeh(None, sizing_mode="stretch_width"),
        )
        self.equity_chart = EquityChart()
        self.chart: RunChart | None = None
        self._chart_of: tuple | None = None
        self.equity_chart.on_pick(self._go_to)
        right = pn.Column(
            self.message,
            self.figures,
            self.price,
            pn.pane.Bokeh(self.equity_chart.view, sizing_mode="stretch_width"),
            sizing_mode="stretch_width",
        )
        self.view = pn.Row(
            pn.Column(self.strategy, self.symbol, self.list, width=320), right, sizing_mode="stretch_width"
        )
        self._list_parameters()
        self.refresh()

    def _list_parameters(self) -> None:
        kind, values = self.exploration.kind, self.exploration.parameters
        self.controls = {
            name: _control(name, param, values[name], choices_of(param, self.exploration.market))
            for name, param in kind.params.items()
        }
        for name, control in self.controls.items():
            control.param.watch(lambda event, name=name: self._set(name, event.new), "value")
        own = [control for name, control in self.controls.items() if name not in BaseStrategy.exit_params]
        exits = pn.Card(
            *(self.controls[name] for name in BaseStrategy.exit_params), title="Declared exits", collapsed=True
        )
        self.list.objects = [*own, exits]

    def _set(self, name: str, value: Any) -> None:
        self.exploration.set(**{name: value})
        self.refresh()

    def _choose(self, **choice: str) -> None:
        self.exploration.choose(**choice)
        self._list_parameters()
        self.refresh()

    def refresh(self) -> None:
        "Run what is set and show it, or say in one line why not."
        before = self.exploration.result
        try:
            result = self.exploration.evaluate()
        except MISTAKES as error:
            text = (
                str(error)
                if isinstance(error, FuturesAlgoError)
                else f"{self.exploration.kind.__name__} raised {type(error).__name__}: {error}"
            )
            self.message.object = f"{STYLE}<div class='fx-error' role='alert'>{escape(' '.join(text.split()))}</div>"
            return
        same = before is not None and type(before.strategy) is type(result.strategy) and before.symbol == result.symbol
        self.message.object, self.figures.object = (
            "",
            STYLE + statistics_html(result.stats, before.stats if same else None),
        )
        self._draw(
            min(len(result.base), int(result.trades.exit_row[-1]) + 20 if len(result.trades) else len(result.base)) - 1
        )

    def _draw(self, row: int) -> None:
        "Candles up to a bar, and the equity."
        result = self.exploration.result
        market = self.exploration.markets[result.symbol]
        shape = (type(result.strategy), tuple(result.strategy.outputs.items()), result.symbol)
        if shape != self._chart_of:
            self.chart, self._chart_of = RunChart(result, market), shape
            self.price.object = self.chart.view
        stretch = self.chart.draw(result, market, row)
        self.equity_chart.draw(result)
        self.equity_chart.mark(stretch)

    def _go_to(self, moment: int) -> None:
        end = self.exploration.result.base.end
        self._draw(int(min(end.searchsorted(moment), len(end) - 1)))


def serve(
    bars: Any,
    strategy: "type[BaseStrategy] | BaseStrategy" = STRATEGIES[0],
    port: int = 0,  # any free one
    **more: Any,  # of `ExplorerPage`
) -> PageServer:  # `.url`, `.stop()`
    "Serve the page on this computer; every browser tab has an exploration of its own over the same bars."
    markets = Exploration(bars, strategy).markets

    def build():
        if pn.state.curdoc:
            pn.state.curdoc.title = "futures-algo explorer"
        return ExplorerPage(markets, strategy, **more).view

    return PageServer(build, "127.0.0.1", port, None, {}, lambda: None).start()
