"A picture of any indicators."

from collections.abc import Sequence
from typing import Any

from futures_algo.core.types import Bars


def plot_indicators(
    indicators: Sequence[Any],  # of `Indicator`
    bars: Bars,
    last: int = 200,  # bars shown; values are computed over all of them
):  # a matplotlib Figure
    "The close with the indicators over it, and a panel below for each that has a scale of its own."
    from matplotlib import pyplot

    apart = [each for each in indicators if not each.overlay]
    figure, axes = pyplot.subplots(
        1 + len(apart),
        sharex=True,
        squeeze=False,
        figsize=(9, 2.5 + 1.3 * len(apart)),
        dpi=72,
        layout="constrained",
        height_ratios=[2] + [1] * len(apart),
    )
    pyplot.close(figure)  # the caller shows it
    panels, times = dict(zip(apart, axes[1:, 0])), bars.end[-last:].view("M8[ns]")
    axes[0, 0].plot(
        times, bars.close[-last:], color="0.4", linewidth=0.8, label=f"{bars.symbol} {bars.timeframe} close"
    )
    for each in indicators:
        for name, column in each.batch(bars).items():
            panels.get(each, axes[0, 0]).plot(times, column[-last:], linewidth=1, label=f"{name} {each!r}"[:60])
    for panel in axes[:, 0]:
        panel.legend(loc="upper left", fontsize=7)
    return figure
