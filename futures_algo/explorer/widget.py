"""Move a slider, see what the strategy would have earned: the explorer of a JupyterLab page."""

import asyncio
from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as w
import numpy as np

from futures_algo.core.paths import asset
from futures_algo.core.types import FuturesAlgoError
from futures_algo.explorer.bokeh_widget import BokehWidget
from futures_algo.explorer.charts import EquityChart, RunChart
from futures_algo.explorer.model import Exploration, choices_of, slider_of
from futures_algo.explorer.save import SaveTab
from futures_algo.explorer.sweep_tab import SweepTab
from futures_algo.indicators.base import Param, Parameter
from futures_algo.research.backtest import BacktestResult
from futures_algo.research.performance import FIGURES, written
from futures_algo.research.trades import Costs
from futures_algo.strategies.base import BaseStrategy
from futures_algo.strategies.library import STRATEGIES


def _origin(origin: str) -> str:
    "The badge of bars no market made."
    return f"<b class='fx-origin'>{escape(origin)} bars, no evidence</b> " if origin else ""


class ParameterRow(w.VBox):
    "The controls of one parameter."

    def __init__(
        self,
        name: str,
        param: Parameter,
        value: Any,
        changed: Callable[[str, Any], Any],  # called with name and value
        choices: tuple[str, ...] = (),  # those of the parameter's that make sense here
    ):
        self.name, self._changed, self._quiet = name, changed, False
        title = w.HTML(f"<b>{escape(name.replace('_', ' '))}</b> <span>{escape(param.unit)}</span>")
        self.slider: Any
        self.box: Any
        self.slider, self.box = (
            (_choice(choices, value), None) if (offer := slider_of(param)) is None else _number(offer, value)
        )
        controls = [self.slider] if self.box is None else [self.slider, self.box]
        for control in controls:
            control.observe(self._moved, "value")
            control.tooltip = name
        super().__init__([title, w.HBox(controls, layout=w.Layout(width="100%", overflow="hidden"))])
        self.add_class("fx-parameter")

    @property
    def value(self) -> Any:
        return (self.box or self.slider).value

    def _snapped(self, value: Any) -> bool:
        "Whether a slider only reports the step nearest to the value in the box: browsers do so when a slider appears."
        return (
            self.box is not None
            and value != self.box.value
            and abs(value - self.box.value) <= self.slider.step * 0.500001
        )

    def show(self, value: Any) -> None:
        "Show a value without telling anybody."
        self._quiet = True
        try:
            self._place(value)
        finally:
            self._quiet = False

    def _place(self, value: Any) -> None:
        if self.box is not None:
            self.slider.min, self.slider.max = min(self.slider.min, value), max(self.slider.max, value)
            self.box.value = value
        self.slider.value = value

    def _moved(self, change: Any) -> None:
        if self._quiet or (change["owner"] is self.slider and self._snapped(change["new"])):
            return
        self.show(change["new"])
        self._changed(self.name, change["new"])


def _choice(choices: tuple[str, ...], value: Any) -> w.Widget:
    "A list of choices, or a box to tick."
    return (
        w.Dropdown(options=tuple(dict.fromkeys((*choices, value))), value=value, layout=w.Layout(width="100%"))
        if choices
        else w.Checkbox(value=value, indent=False)
    )


def _number(offer: Any, value: Any) -> tuple[w.Widget, w.Widget]:
    "A slider over the probable range and a box over the possible one."
    slider, box = (w.IntSlider, w.BoundedIntText) if offer.whole else (w.FloatSlider, w.BoundedFloatText)
    low, high = min(offer.low, value), max(offer.high, value)
    return (
        slider(
            value,
            min=low,
            max=high,
            step=offer.step,
            readout=False,
            layout=w.Layout(flex="1 1 0", width="auto", min_width="0"),
        ),
        box(
            value,
            min=max(offer.least, -1e9),
            max=min(offer.most, 1e9),
            step=offer.step,
            layout=w.Layout(flex="0 0 76px", width="76px"),
        ),
    )


SHOWN = (
    "net_profit_usd",
    "max_drawdown_usd",
    "sharpe",
    "profit_factor",
    "trades",
    "win_rate",
    "average_trade_usd",
    "exposure",
    "commission_usd",
    "open_profit_usd",
)


def statistics_html(
    stats: dict[str, float],
    before: dict[str, float] | None = None,  # of the run before
) -> str:
    "The figures as cards."
    cards = (_card(name, stats[name], before[name] if before else None) for name in SHOWN)
    return f"<div class='fx-figures'>{''.join(cards)}</div>"


def _card(name: str, value: float, before: float | None) -> str:
    title, sign = name.removesuffix("_usd").replace("_", " "), "down" if name == "net_profit_usd" and value < 0 else ""
    moved = ""
    if before is not None and before != value and np.isfinite([before, value]).all():
        moved = f"{'▲' if value > before else '▼'} {escape(written(name, abs(value - before)))}"
    return (
        f"<div title='{escape(FIGURES[name], quote=True)}'><span>{title}</span><b data-figure='{name}'"
        f" class='{sign}'>{escape(written(name, value))}</b><i>{moved}&nbsp;</i></div>"
    )


class Debounced:
    "Calls `do` once things have been quiet; at once where no event loop runs."

    def __init__(self, do: Callable[[], Any], seconds: float = 0.12):
        self._do, self._seconds = do, seconds
        self._waiting: asyncio.TimerHandle | None = None

    def __call__(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return self._do()
        self.cancel()
        self._waiting = loop.call_later(self._seconds, self._do)

    def cancel(self) -> None:
        "Forget the call that waits."
        if self._waiting:
            self._waiting.cancel()
        self._waiting = None


STYLE = f"<style>\n{asset('explorer', 'explorer.css')}</style>"
MISTAKES = (
    FuturesAlgoError,
    ArithmeticError,
    AttributeError,
    LookupError,
    NameError,
    TypeError,
    ValueError,
)  # what a strategy being written raises


class Explorer(w.VBox):
    "Explore a strategy on bars: `Explorer(bars, MyStrategy)` as the last line of a cell."

    def __init__(
        self,
        bars: Any,  # Bars, several of them, a market, or the path of a DBN file
        strategy: "type[BaseStrategy] | BaseStrategy" = STRATEGIES[0],  # where to start
        costs: Costs = Costs(),
        quantity: int = 1,  # contracts an entry
        strategies: Iterable[type[BaseStrategy]] = STRATEGIES,  # to choose from
        config: "str | Path" = "config/live_trading_config.json",  # where Save writes
    ):
        self._config = config
        self.exploration = Exploration(bars, strategy, costs, quantity, strategies)
        self.redraw = Debounced(self._draw)
        self._row: int | None = None
        self._chart_of: tuple | None = None
        super().__init__(
            [
                w.HTML(STYLE),
                self._top(),
                w.HBox([self._left(), self._right()], layout=w.Layout(width="100%", align_items="flex-start")),
            ],
            layout=w.Layout(width="100%"),
        )
        self.add_class("fx-explorer")
        self._list_parameters()
        self.refresh()
        if self.exploration.result is not None:
            self._draw()  # the first picture without a wait

    def __repr__(self) -> str:
        return f"Explorer({self.exploration.kind.__name__} on {', '.join(self.exploration.markets)})"

    # --- what is on the page

    def _top(self) -> w.Widget:
        "Strategy, symbol, and what the strategy is."
        known = self.exploration
        self.strategy = w.Dropdown(
            options=list(known.strategies),
            value=known.kind.__name__,
            description="Strategy",
            layout=w.Layout(width="320px"),
        )
        self.symbol = w.Dropdown(
            options=list(known.markets), value=known.symbol, description="Symbol", layout=w.Layout(width="200px")
        )
        self.about = w.HTML()
        self.strategy.observe(lambda change: self._choose(strategy=change["new"]), "value")
        self.symbol.observe(lambda change: self._choose(symbol=change["new"]), "value")
        return w.HBox([self.strategy, self.symbol, self.about])

    def _left(self) -> w.Widget:
        "Parameters, declared exits, costs."
        costs, quantity = self.exploration.costs, self.exploration.quantity
        self.rows: dict[str, ParameterRow] = {}
        self.parameters, self.exits = w.VBox(), w.VBox()
        self.money = [
            ParameterRow(name, Param(getattr(Costs(), name), 0, most, unit), getattr(costs, name), self._cost)
            for name, most, unit in (
                ("commission_usd", 100.0, "dollars a contract and side"),
                ("slippage_ticks", 20.0, "ticks a fill"),
            )
        ]
        self.money.append(ParameterRow("quantity", Param(1, 1, 1000, "contracts"), quantity, self._cost))
        self.reset = w.Button(
            description="Defaults",
            tooltip="All parameters as the strategy declares them",
            layout=w.Layout(width="100px"),
        )
        self.reset.on_click(lambda _: self._forget())
        sections = w.Accordion(
            [w.VBox([self.parameters, self.reset]), self.exits, w.VBox(self.money)],
            titles=("Parameters", "Declared exits", "Costs and size"),
            selected_index=0,
        )
        sections.layout.width = "100%"
        return w.Box([sections], layout=w.Layout(flex="0 0 290px", width="290px", margin="0 12px 0 0"))

    def _right(self) -> w.Widget:
        "Errors, figures, and the tabs."
        self.error, self.figures, self.price, self.place = w.HTML(), w.HTML(), BokehWidget(), w.HTML()
        self.error.add_class("fx-message")
        self.equity_chart = EquityChart()
        self.equity_chart.on_pick(self._go_to)
        self.equity = BokehWidget(self.equity_chart.view)
        titles = ("◀ Trade", "Trade ▶", "Last trade")
        steps = [w.Button(description=title, layout=w.Layout(width="auto")) for title in titles]
        for button, move in zip(steps, (-1, 1, 0)):
            button.on_click(lambda _, move=move: self._step(move))
        run = w.VBox([w.HBox([*steps, self.place]), self.price, self.equity])
        self.sweep, self.save = (
            SweepTab(self.exploration, self.choose_parameters),
            SaveTab(self.exploration, self._config),
        )
        self.tabs = w.Tab([run, self.sweep, self.save], titles=("Run", "Sweep", "Save"))
        self.tabs.observe(lambda change: self.sweep.estimate() if change["new"] == 1 else None, "selected_index")
        return w.VBox([self.error, self.figures, self.tabs], layout=w.Layout(flex="1 1 auto", min_width="0"))

    def _list_parameters(self) -> None:
        "Rows for the strategy's parameters."
        kind, values = self.exploration.kind, self.exploration.parameters
        self.rows = {
            name: ParameterRow(name, param, values[name], self._set, choices_of(param, self.exploration.market))
            for name, param in kind.params.items()
        }
        self.parameters.children = [row for name, row in self.rows.items() if name not in BaseStrategy.exit_params]
        self.exits.children = [row for name, row in self.rows.items() if name in BaseStrategy.exit_params]
        said = escape((kind.__doc__ or "").strip())
        self.about.value = f"{_origin(self.exploration.market.source.origin)}<span class='fx-soft'>{said}</span>"

    # --- what is done

    def _set(self, name: str, value: Any) -> None:
        self.exploration.set(**{name: value})
        self.refresh()

    def _cost(self, name: str, value: Any) -> None:
        if name == "quantity":
            self.exploration.quantity = value
        else:
            self.exploration.costs = Costs(**{**vars(self.exploration.costs), name: value})
        self.refresh()

    def _choose(self, **choice: str) -> None:
        self.exploration.choose(**choice)
        self._row = None
        self._list_parameters()
        self.sweep.list_parameters()
        self.save.rename()
        self.refresh()

    def choose_parameters(self, parameters: dict[str, Any]) -> None:
        "Show the run of a combination."
        self.exploration.set(**parameters)
        self.show_parameters()
        self.tabs.selected_index = 0
        self.refresh()

    def _forget(self) -> None:
        self.exploration.given.clear()
        self.show_parameters()
        self.refresh()

    def show_parameters(self) -> None:
        "Controls as the exploration is."
        for name, value in self.exploration.parameters.items():
            self.rows[name].show(value)

    def refresh(self) -> None:
        "Run what is set and show it, or say why not."
        before = self.exploration.result
        try:
            result = self.exploration.evaluate()
        except MISTAKES as error:
            return self._refuse(error)
        same = before is not None and type(before.strategy) is type(result.strategy) and before.symbol == result.symbol
        self.error.value, self.figures.value = "", statistics_html(result.stats, before.stats if same else None)
        self.figures.remove_class("fx-old")
        self.redraw()

    def _refuse(self, error: Exception) -> None:
        "One line; the last run stays, dimmed."
        text = (
            str(error)
            if isinstance(error, FuturesAlgoError)
            else f"{self.exploration.kind.__name__} raised {type(error).__name__}: {error}"
        )
        self.error.value = f"<div class='fx-error' role='alert'>{escape(' '.join(text.split()))}</div>"
        self.figures.add_class("fx-old")

    # --- figures

    def _draw(self) -> None:
        "Candles and equity of the last run."
        self.redraw.cancel()
        result = self.exploration.result
        market = self.exploration.markets[result.symbol]  # the run's own: another may be chosen that cannot run
        row = self._last(result) if self._row is None else min(self._row, len(result.base) - 1)
        shape = (type(result.strategy), tuple(result.strategy.outputs.items()), result.symbol)
        if shape != self._chart_of:
            self.chart, self._chart_of = RunChart(result, market), shape
            self.price.show(self.chart.view)
        stretch = self.chart.draw(result, market, row, keep_view=self._row is not None and row == self._row)
        self.equity_chart.draw(result)
        self.equity_chart.mark(stretch)
        self._say_place(result, row)

    def _last(self, result: BacktestResult) -> int:
        "The bar to look at first: a little after the last trade's exit, or the last of all."
        end = len(result.base) - 1
        return min(end, int(result.trades.exit_row[-1]) + 20) if len(result.trades) else end

    def _say_place(self, result: BacktestResult, row: int) -> None:
        moment = np.datetime_as_string(result.base.end[row].astype("M8[ns]"), "m").replace("T", " ")
        self.place.value = (
            f"<span class='fx-soft'>{len(result.base):,} bars of {result.base.timeframe} · to {moment} UTC</span>"
        )

    def _go(self, row: int | None) -> None:
        "Bring the candles to a bar."
        if self.exploration.result is None:
            return
        self._row = None
        self._row, result = row, self.exploration.result
        at = self._last(result) if row is None else row
        self.equity_chart.mark(self.chart.draw(result, self.exploration.markets[result.symbol], at))
        self._say_place(result, at)

    def _go_to(self, moment: int) -> None:
        self._go(
            min(int(np.searchsorted(self.exploration.result.base.end, moment)), len(self.exploration.result.base) - 1)
        )

    def _step(self, move: int) -> None:
        "To the trade before or after the place, or to the last one."
        result = self.exploration.result
        if result is None or not move or not len(result.trades):
            return self._go(None)
        seen = self._last(result) if self._row is None else self._row
        exits = np.minimum(result.trades.exit_row + 20, len(result.base) - 1)
        found = exits[exits < seen] if move < 0 else exits[exits > seen]
        if len(found):
            self._go(int(found[-1] if move < 0 else found[0]))
