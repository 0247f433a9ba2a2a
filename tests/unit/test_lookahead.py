"Planted leaks are caught whole, each by its own name; honest strategies, some of them odd, raise no alarm."

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from futures_algo.aggregator.aggregator import aggregate
from futures_algo.core.types import Bars, InputError
from futures_algo.indicators import ATR, CCI, EMA, RSI, SMA, Donchian, SessionHighLow
from futures_algo.sim.market import generate_minutes
from futures_algo.strategies import STRATEGIES, BaseStrategy, Param, SessionTime, decisions
from futures_algo.strategies.checks import lookahead
from futures_algo.strategies.position import ModelFill, model_fills


@pytest.fixture(scope="module")
def bars() -> Bars:
    "A week with a roll in it."
    made = generate_minutes("ES.c.0", sessions=5, first_session=dt.date(2025, 9, 11), seed=5)
    assert len(made.contracts) == 2
    return made


class FiveMinutes(BaseStrategy):
    "The base of the suite: five-minute bars and an average."

    bars_held = 4

    def indicators(self):
        return {"5min": SMA(20)}


def stamps(x) -> pd.DatetimeIndex:
    return pd.to_datetime(x.time - 300, unit="s")  # left labels, as most vendors stamp


def days(x) -> np.ndarray:
    return np.floor(x.time / 86_400)


def series(x) -> pd.Series:
    return pd.Series(x.close, stamps(x))


# --- leaks in a condition


class NextClose(FiveMinutes):
    "shift(-1)"

    def entry(self, x):
        return series(x).shift(-1).to_numpy() > x.close


class NextLow(FiveMinutes):
    "An exit that knows the next bar's low."

    def entry(self, x):
        return x.close > x.open

    def exit(self, x):
        return np.roll(x.low, -1) < x.low - 1


class FullMean(FiveMinutes):
    "The mean of the whole column."

    def entry(self, x):
        return x.close < np.mean(x.close)


class FullZScore(FiveMinutes):
    "A z-score by the whole column's mean and deviation."

    def entry(self, x):
        return (x.close - x.sma - np.nanmean(x.close - x.sma)) / np.nanstd(x.close - x.sma) > 1


class FullRank(FiveMinutes):
    "The rank among all bars, later ones too."

    def entry(self, x):
        return pd.Series(x.volume).rank(pct=True).to_numpy() > 0.8


class ScaledByMaximum(FiveMinutes):
    "Min-max scaling over the whole column."

    def entry(self, x):
        return (x.close - x.close.min()) / (x.close.max() - x.close.min()) > 0.7


class CentredWindow(FiveMinutes):
    "A rolling mean about the middle of its window."

    def entry(self, x):
        return x.close < series(x).rolling(7, center=True).mean().to_numpy()


class TwoSidedFilter(FiveMinutes):
    "Smoothing with np.convolve's mode 'same'."

    def entry(self, x):
        return x.close < np.convolve(x.close, np.ones(9) / 9, "same")


class Detrended(FiveMinutes):
    "A trend line fitted to all bars."

    def entry(self, x):
        return x.close < np.polyval(np.polyfit(x.time - x.time[0], x.close, 1), x.time - x.time[0])


class FilledForward(FiveMinutes):
    "Half-hour bars labelled by their start and filled forward."

    def entry(self, x):
        return series(x).resample("30min").last().reindex(stamps(x), method="ffill").to_numpy() > x.close


class FormingHigh(FiveMinutes):
    "The hour's high, known from its first bar on."

    def entry(self, x):
        return pd.Series(x.high, stamps(x)).groupby(stamps(x).floor("60min")).transform("max").to_numpy() - x.close < 2


class SessionHighAtOpen(FiveMinutes):
    "The day's high, known at its open."

    def entry(self, x):
        return x.high >= pd.Series(x.high).groupby(days(x)).transform("max").to_numpy()


class TodaysPivot(FiveMinutes):
    "A pivot from today's own high, low and close."

    def entry(self, x):
        day = pd.DataFrame({"high": x.high, "low": x.low, "close": x.close}).groupby(days(x))
        return (
            x.close
            < (day.high.transform("max") + day.low.transform("min") + day.close.transform("last")).to_numpy() / 3
        )


class FilledBackward(FiveMinutes):
    "Values of every sixth bar, filled backward."

    def entry(self, x):
        return pd.Series(np.where(x.time % 1800 == 0, x.close, np.nan)).bfill().to_numpy() > x.close


class Interpolated(FiveMinutes):
    "A straight line between half-hourly values."

    def entry(self, x):
        known = np.flatnonzero(x.time % 1800 == 0)
        return np.interp(x.time, x.time[known], x.close[known]) > x.close


class FutureMaximum(FiveMinutes):
    "The highest close from here to the end."

    def entry(self, x):
        return np.maximum.accumulate(x.close[::-1])[::-1] > x.close + 20


class LabelledTarget(FiveMinutes):
    "Trains on the sign of the next hour's change and trades what it learnt."

    def entry(self, x):
        return (series(x).shift(-12) - x.close).rolling(3).mean().to_numpy() > 0


# --- leaks in a value, of a timeframe that is to be named


class CentredAverage(SMA):
    "An indicator whose batch form looks half its window ahead."

    def batch(self, bars, sessions=None):
        return {
            name: np.concatenate((column[5:], column[-5:])) for name, column in super().batch(bars, sessions).items()
        }


class UnclosedValue(FiveMinutes):
    def indicators(self):
        return {"5min": [], "30min": CentredAverage(10)}

    def entry(self, x):
        return x.close > x.sma


class NormalisedCCI(CCI):
    "Scaled by the largest value there will ever be."

    def batch(self, bars, sessions=None):
        return {name: column / np.nanmax(np.abs(column)) for name, column in super().batch(bars, sessions).items()}


class NormalisedValue(FiveMinutes):
    def indicators(self):
        return {"5min": EMA(10), "15min": NormalisedCCI(14)}

    def entry(self, x):
        return x.cci > 0.5


# --- leaks in what is done around a strategy


class Plain(FiveMinutes):
    def entry(self, x):
        return (x.close > x.sma) & (x.prev.close <= x.prev.sma)


class Quantile(FiveMinutes):
    level: float = Param(0.0, low=0, high=1e9)

    def entry(self, x):
        return x.volume > self.level


def fitted(bars: Bars) -> BaseStrategy:
    "A parameter taken from the whole sample."
    return Quantile(level=float(np.quantile(bars.volume, 0.9)) * 5)


def back_adjusted(bars: Bars) -> Bars:
    "Older contracts lifted by the gap of a roll that has not happened yet."
    rolls = np.flatnonzero(np.diff(bars.contract)) + 1
    shift = np.zeros(len(bars))
    for row in rolls:
        shift[:row] += bars.open[row] - bars.close[row - 1]
    return Bars(
        bars.symbol,
        bars.timeframe,
        bars.start,
        bars.end,
        *(getattr(bars, n) + shift for n in ("open", "high", "low", "close")),
        bars.volume,
    )


def despiked(bars: Bars) -> Bars:
    "Volumes clipped at a level that only the whole file tells."
    changed = bars[:]
    changed.high = np.minimum(bars.high, np.quantile(bars.high, 0.99))
    return changed


def at_signal_open(strategy: BaseStrategy, bars: Bars) -> list[ModelFill]:
    "Fills at the open of the very bar that decides."
    return [
        fill._replace(at=int(bars.start[fill.decided]), price=float(bars.open[fill.decided]))
        for fill in at_next_open(strategy, bars)
    ]


def at_signal_low(strategy: BaseStrategy, bars: Bars) -> list[ModelFill]:
    "Fills at the next bar's best price."
    fills = at_next_open(strategy, bars)
    return [
        fill._replace(price=float(bars.low[fill.decided + 1]))
        for fill in fills
        if fill.side > 0 and fill.decided + 1 < len(bars)
    ]


def at_next_open(strategy: BaseStrategy, bars: Bars) -> list[ModelFill]:
    return model_fills(bars, decisions(strategy, bars))


IN_CONDITIONS = [
    NextClose,
    NextLow,
    FullMean,
    FullZScore,
    FullRank,
    ScaledByMaximum,
    CentredWindow,
    TwoSidedFilter,
    Detrended,
    FilledForward,
    FormingHigh,
    SessionHighAtOpen,
    TodaysPivot,
    FilledBackward,
    Interpolated,
    FutureMaximum,
    LabelledTarget,
]


@pytest.mark.parametrize("kind", IN_CONDITIONS, ids=lambda kind: kind.__name__)
def test_a_leak_in_a_condition_is_caught_and_named(kind, bars):
    report = lookahead(kind(), bars)
    name = "exit" if kind is NextLow else "entry"
    assert [(d.kind, d.id) for d in report.differences] == [("condition", f"5min {name}")], report
    assert " became " in report.differences[0].cause


@pytest.mark.parametrize(
    "kind, leak", [(UnclosedValue, "30min sma"), (NormalisedValue, "15min cci")], ids=["centred", "normalised"]
)
def test_a_leaking_value_is_named_with_its_timeframe(kind, leak, bars):
    report = lookahead(kind(), bars)
    assert [(d.kind, d.id) for d in report.differences] == [("value", leak)], report


def test_a_parameter_fitted_to_the_whole_sample_is_caught(bars):
    assert [d.id for d in lookahead(fitted, bars).differences] == ["5min entry"]


@pytest.mark.parametrize("prepare, leak", [(back_adjusted, "5min close"), (despiked, "5min high")])
def test_a_preparation_that_knows_later_bars_is_caught(prepare, leak, bars):
    assert leak in {d.id for d in lookahead(Plain(), bars, prepare=prepare).differences if d.kind == "bars"}


@pytest.mark.parametrize("fills", [at_signal_open, at_signal_low])
def test_a_fill_at_a_price_of_the_past_or_the_future_is_caught(fills, bars):
    assert [d.kind for d in lookahead(Plain(), bars, fills=fills).differences] == ["fill"]


# --- honest strategies


class LimitOrder(BaseStrategy):
    "A resting buy below the bar before, taken when a bar trades through it."

    depth: float = Param(2.0, low=0.25, high=50, unit="points")
    stop_ticks = 16
    target_ticks = 12

    def indicators(self):
        return {"1min": ATR(14)}

    def entry(self, x):
        return x.low <= x.prev.close - self.depth


class SessionFilter(BaseStrategy):
    "Trades in the morning of the regular session only, and is out before its close."

    exit_before_close = 15

    def indicators(self):
        return {"5min": [EMA(9, name="fast"), EMA(21, name="slow"), SessionTime()]}

    def entry(self, x):
        return (x.fast > x.slow) & (x.minutes_since_open >= 15) & (x.minutes_since_open <= 120)

    def exit(self, x):
        return (x.fast < x.slow) | (x.minutes_since_open >= 300)


class Weekday(FiveMinutes):
    "Not on Mondays."

    def entry(self, x):
        return (x.close > x.sma) & (np.floor(x.time / 86_400 + 3) % 7 != 0)


class Breakout(FiveMinutes):
    trail_atr = 3.0

    def indicators(self):
        return {"5min": [Donchian(20), ATR(14)]}

    def entry(self, x):
        return x.close > x.prev.donchian_upper

    def short_entry(self, x):
        return x.close < x.prev.donchian_lower


class SlowerBar(FiveMinutes):
    def indicators(self):
        return {"5min": RSI(14), "30min": EMA(5), "60min": []}

    def entry(self, x):
        return (x["30min"].ema > x["30min"].prev.ema) & (x["60min"].close > x["60min"].open) & (x.rsi < 60)


class SoFar(FiveMinutes):
    "The session's high so far is known; the whole session's is not."

    def indicators(self):
        return {"5min": SessionHighLow()}

    def entry(self, x):
        return x.high >= x.session_high


class Expanding(FiveMinutes):
    "The mean of all bars up to here."

    def entry(self, x):
        return x.close < np.cumsum(x.close) / np.arange(1, len(x.close) + 1)


class Trailing(FiveMinutes):
    "A rolling deviation that ends here."

    def entry(self, x):
        return x.close < x.sma - series(x).rolling(20).std().to_numpy()


class LaggedResample(FiveMinutes):
    "Half-hour closes labelled by their end: honest, if clumsy."

    def entry(self, x):
        closes = (
            pd.Series(x.close, pd.to_datetime(x.time, unit="s")).resample("30min", label="right", closed="right").last()
        )
        done = closes.reindex(pd.to_datetime(x.time, unit="s") - pd.Timedelta("30min"), method="ffill")
        return done.to_numpy() > x.close


class Quiet(FiveMinutes):
    "Never trades."

    def entry(self, x):
        return x.close < 0


CLEAN = [
    *STRATEGIES,
    LimitOrder,
    SessionFilter,
    Weekday,
    Breakout,
    SlowerBar,
    SoFar,
    Expanding,
    Trailing,
    LaggedResample,
    Quiet,
]


@pytest.mark.parametrize("kind", CLEAN, ids=lambda kind: kind.__name__)
def test_an_honest_strategy_raises_no_alarm(kind, bars):
    report = lookahead(kind(), bars, cuts=40, fills=at_next_open)
    assert report.ok, report
    assert report.checked > 1_000


def test_the_suites_are_as_large_as_promised():
    assert len(IN_CONDITIONS) + 7 >= 15 and len(CLEAN) >= 10


def test_chosen_cuts_are_used_and_too_little_data_is_refused(bars):
    assert lookahead(Plain(), bars, cuts=[500, 1000]).checked == sum(
        len(aggregate(bars[:cut], 5)) for cut in (500, 1000)
    )
    with pytest.raises(InputError, match="at least 10"):
        lookahead(Plain(), bars[:5])
