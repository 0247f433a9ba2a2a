"The laws every indicator keeps, on random streams and on the real NQ minutes; parameters, names and definitions."

import csv
import datetime as dt
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import FunctionType
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from futures_algo.core.types import MINUTE, Bar, Bars, DataError, InputError
from futures_algo.indicators import (
    ADX,
    ATR,
    CCI,
    EMA,
    INDICATORS,
    MACD,
    OBV,
    RMA,
    RSI,
    SMA,
    VWAP,
    WMA,
    BollingerBands,
    Donchian,
    Indicator,
    OpeningRange,
    Param,
    PreviousSessionLevels,
    RateOfChange,
    SessionHighLow,
    StandardDeviation,
    Stochastic,
    TrueRange,
    indicator,
    wrap_talib,
    wrap_vectorbt,
)
from futures_algo.indicators.kernel import compiled, fingerprint, push, units
from futures_algo.indicators.laws import (
    allocates_nothing,
    batch_equals_live,
    blind_to_the_future,
    check_laws,
    forgets_its_start,
    measure_convergence,
    random_walk,
    survives_a_restart,
)

ALL = [
    SMA(5),
    EMA(4),
    WMA(5),
    RMA(3),
    MACD(3, 6, 4),
    RSI(3),
    CCI(5),
    Stochastic(5, 3, 2),
    RateOfChange(4),
    TrueRange(),
    ATR(3),
    StandardDeviation(5),
    StandardDeviation(5, sample=True),
    BollingerBands(5, 2.0),
    Donchian(5),
    ADX(3),
    VWAP(2.0),
    VWAP(hours="regular"),
    OpeningRange(15),
    OpeningRange(5, hours="session"),
    SessionHighLow(),
    PreviousSessionLevels(),
    PreviousSessionLevels(hours="regular"),
    OBV(),
]
WINDOWS = [each for each in ALL if each.memory == "window"]
_BEFORE_A_CLOSE = 1_741_636_800_000_000_000  # 2025-03-10 20:00 UTC, an hour before the halt


def _bars(ticks: list[tuple[int, int, int, int]], tick: float, gaps: list[int]) -> Bars:
    "Bars of (close step, reach up, reach down, volume) on a tick grid; a gap leaves out minutes."
    step, up, down, volume = (np.array(column, np.int64) for column in zip(*ticks))
    close = round(75 / tick) + np.cumsum(step)
    price = lambda count: np.round(count * tick, 10)
    start = _BEFORE_A_CLOSE + MINUTE * np.cumsum(1 + np.array(gaps[: len(ticks)]))
    return Bars(
        "ES.c.0",
        "1min",
        start,
        start + MINUTE,
        price(close),
        price(close + up),
        price(close - down),
        price(close),
        volume,
    )


@st.composite
def streams(draw) -> Bars:
    "Streams with flat stretches, jumps, empty minutes and halts, on ticks that floating point can and cannot hold."
    bar = st.tuples(st.integers(-40, 40) | st.just(0), st.integers(0, 30), st.integers(0, 30), st.integers(0, 5000))
    ticks = draw(st.lists(bar, min_size=2, max_size=120))
    gaps = draw(st.lists(st.sampled_from([0, 0, 0, 0, 1, 20, 700]), min_size=len(ticks), max_size=len(ticks)))
    return _bars(ticks, draw(st.sampled_from([0.25, 0.01, 0.00005, 0.015625])), gaps)


def law_test(law, indicators):
    @pytest.mark.parametrize("indicator", indicators, ids=repr)
    def test(indicator, campaign):
        @settings(max_examples=campaign(25, full=500), deadline=None, derandomize=True, database=None)
        @given(streams())
        def holds(bars):
            assert law(indicator, bars) == ""

        holds()

    return test


test_batch_equals_live = law_test(batch_equals_live, ALL)
test_later_bars_change_nothing = law_test(blind_to_the_future, ALL)
test_a_window_forgets_its_start = law_test(forgets_its_start, WINDOWS)
test_a_session_forgets_its_start = law_test(forgets_its_start, [each for each in ALL if each.anchored])
test_a_restart_continues = law_test(survives_a_restart, ALL)


@pytest.fixture(scope="module")
def nasdaq(shared_data) -> Bars:
    "The NQ minutes of the vendor's sample: 14,714 rows over a Thanksgiving week, stamped in US Eastern."
    rows = list(csv.DictReader((shared_data / "bars_1m" / "NQ_1min_sample.csv").open()))
    eastern = ZoneInfo("America/New_York")
    start = (
        np.array([int(dt.datetime.fromisoformat(row["timestamp"]).replace(tzinfo=eastern).timestamp()) for row in rows])
        * 1_000_000_000
    )
    return Bars(
        "NQ.c.0",
        "1min",
        start,
        start + MINUTE,
        *(np.array([float(row[key]) for row in rows]) for key in ("open", "high", "low", "close")),
        np.array([int(row["volume"]) for row in rows]),
    )


DEFAULTS = [
    INDICATORS[name]()
    for name in (
        "sma",
        "ema",
        "wma",
        "rma",
        "macd",
        "rsi",
        "cci",
        "stochastic",
        "rate_of_change",
        "true_range",
        "atr",
        "standard_deviation",
        "bollinger_bands",
        "donchian",
        "adx",
        "vwap",
        "opening_range",
        "session_high_low",
        "previous_session_levels",
        "obv",
    )
]


@pytest.mark.parametrize("indicator", DEFAULTS, ids=repr)
def test_every_law_on_the_real_minutes(indicator, nasdaq, campaign):
    assert check_laws(indicator, nasdaq[: campaign(4000, full=len(nasdaq))]) == []


@pytest.mark.parametrize("indicator", [EMA(20), RMA(14), RSI(14), ATR(14), MACD(), ADX(14), EMA(100)], ids=repr)
def test_converge_is_kept(indicator, nasdaq, campaign):
    starts = campaign(20, full=300)
    for bars in (nasdaq, random_walk(9000, 0.01, 1), random_walk(9000, 0.25, 2)):
        assert 0 < measure_convergence(indicator, bars, starts) <= indicator.converge


def test_session_values_on_the_real_minutes(nasdaq):
    table = PreviousSessionLevels().batch(nasdaq) | SessionHighLow().batch(nasdaq)
    dates = np.array(
        [
            dt.datetime.fromtimestamp(end / 1e9 - 1 + 6 * 3600, ZoneInfo("America/New_York")).date().isoformat()
            for end in nasdaq.end
        ]
    )
    second, third = dates == "2023-11-21", dates == "2023-11-22"
    assert set(table["previous_high"][third]) == {nasdaq.high[second].max()}
    assert set(table["previous_close"][third]) == {nasdaq.close[second][-1]}
    np.testing.assert_array_equal(table["session_low"][third], np.minimum.accumulate(nasdaq.low[third]))


def test_opening_range_is_known_when_it_is_over(nasdaq):
    high = OpeningRange(30).batch(nasdaq)["opening_range_high"]
    eastern = [dt.datetime.fromtimestamp(end / 1e9, ZoneInfo("America/New_York")) for end in nasdaq.end]
    day = [k for k, when in enumerate(eastern) if when.date() == dt.date(2023, 11, 21)]
    first = next(k for k in day if not np.isnan(high[k]))
    opening = [k for k in day if dt.time(9, 30) < eastern[k].time() <= dt.time(10)]
    assert eastern[first].time() == dt.time(10) and high[first] == nasdaq.high[opening].max()
    assert all(np.isnan(high[k]) for k in day if eastern[k].time() <= dt.time(9, 30) or eastern[k].time() > dt.time(16))


def test_constant_prices_come_back_unchanged():
    "An average of equal prices is that price to the last bit, on every tick."
    for price in (0.1, 75.03, 1.08755, 110.015625, 15895.25, 0.0067735, -37.63):
        bars = Bars.from_bars([Bar("X", "1min", k, k + 1, price, price, price, price, 1) for k in range(1300)])
        for each in (SMA(20), SMA(1200), WMA(20), EMA(20), RMA(14), BollingerBands(20)):
            assert all(column[-1] == price for column in each.batch(bars).values()), (each, price)


def test_long_windows_do_not_overflow():
    "The longest window of the largest prices is still exact."
    price = np.resize([999_999.25, 999_998.75], 5000)
    start = np.arange(5000)
    bars = Bars("X", "1min", start, start + 1, price, price, price, price, start)
    assert set(SMA(4000).batch(bars)["sma"][3999:]) == {999_999.0}
    np.testing.assert_allclose(WMA(400).batch(bars)["wma"][399:], 999_999.0, rtol=1e-8)
    np.testing.assert_allclose(np.abs(CCI(250).batch(bars)["cci"][249:]), 1 / 0.015, rtol=1e-12)
    np.testing.assert_allclose(StandardDeviation(1000).batch(bars)["standard_deviation"][999:], 0.25, rtol=1e-12)


class Momentum(Indicator):
    "A user's own, written as in the notebook."

    length: int = Param(10, low=1, high=1000, unit="bars")
    outputs = ("momentum",)

    def state(self):
        return 3 + self.length, 0

    @property
    def first_valid(self):
        return self.length

    @staticmethod
    def step(bar, p, i, f, out):
        old = push(i, 1, int(p.length), units(bar.close))
        if i[0] >= p.length:
            out[0] = (units(bar.close) - old) / 1e9
        i[0] += 1


class ForgetsNothing(Momentum):
    "Wrong: compares with the first bar there ever was."

    @staticmethod
    def step(bar, p, i, f, out):
        if i[0] == 0:
            f[0] = bar.close
        i[0] += 1
        if i[0] > p.length:
            out[0] = bar.close - f[0]

    def state(self):
        return 1, 1


class TooEarly(Momentum):
    "Wrong: speaks before it promised to."

    @staticmethod
    def step(bar, p, i, f, out):
        out[0] = bar.close


class Allocates(Momentum):
    "Wrong: makes an array at every bar."

    @staticmethod
    def step(bar, p, i, f, out):
        window = np.zeros(int(p.length) + i[0])
        i[0] += 1
        if i[0] > p.length:
            out[0] = window.sum() + bar.close

    def state(self):
        return 1, 0


def test_the_laws_hold_for_an_indicator_of_ones_own():
    assert check_laws(Momentum(10), random_walk(800)) == []


@pytest.mark.parametrize(
    "indicator, law",
    [
        (ForgetsNothing(10), "forgets_its_start"),
        (TooEarly(10), "blank_until_first_valid"),
        (Allocates(10), "allocates_nothing"),
    ],
    ids=lambda value: value if isinstance(value, str) else repr(value),
)
def test_a_broken_law_is_found(indicator, law):
    assert law in [broken.law for broken in check_laws(indicator, random_walk(800))]


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: SMA(0), "SMA length was 0; it must be at least 1"),
        (lambda: SMA(2.5), "SMA length was 2.5; it must be a whole number"),
        (lambda: SMA(float("nan")), "must be a whole number"),
        (lambda: SMA("20"), "must be a whole number"),
        (lambda: BollingerBands(20, float("inf")), "BollingerBands width was inf; it must be a finite number"),
        (lambda: CCI(lenght=20), "did you mean 'length'?"),
        (lambda: SMA(20, length=20), "must be given once"),
        (lambda: SMA(20, 30), "must be at most 1"),
        (lambda: MACD(26, 12), "MACD fast was 26; it must be below slow, 12"),
        (lambda: VWAP(hours="regula"), "did you mean 'regular'?"),
        (lambda: indicator("bolinger_bands"), "did you mean 'bollinger_bands'?"),
    ],
)
def test_wrong_parameters_are_named(make, message):
    with pytest.raises(InputError, match=message.replace("?", r"\?")):
        make()


@pytest.mark.parametrize("price", [float("nan"), float("inf"), -float("inf"), 1e6])
@pytest.mark.parametrize("name", ["open", "high", "low", "close"])
def test_prices_that_are_none_are_refused(name, price):
    bars = list(random_walk(30))
    broken = bars[:10] + [bars[10]._replace(**{name: price})]
    with pytest.raises(DataError, match=f"{name} price was {price}.*row 10"):
        SMA(5).batch(Bars.from_bars(broken))
    live = SMA(5).live()
    for bar in broken[:-1]:
        live.step(bar)
    with pytest.raises(DataError, match=f"{name} price was {price}"):
        live.step(broken[-1])
    assert live.seen == 10


def test_definitions_are_values():
    assert (
        MACD(12, 26, 9) == MACD()
        and hash(MACD()) == hash(MACD(12, 26, 9))
        and SMA(20) != SMA(21)
        and SMA(20) != SMA(20, name="slow")
    )
    assert pickle.loads(pickle.dumps(MACD(5, 35, 5, name="m"))) == MACD(5, 35, 5, name="m")
    with pytest.raises(AttributeError, match="does not change"):
        MACD().fast = 3


def test_names_replace_the_prefix_of_the_outputs():
    assert MACD(name="slow").outputs == ("slow", "slow_signal", "slow_histogram")
    assert BollingerBands(name="band").outputs == ("band_middle", "band_upper", "band_lower")
    assert ADX(name="trend").outputs == ("trend", "trend_plus_di", "trend_minus_di")
    assert SMA(20, name="slow").batch(random_walk(30)).keys() == {"slow"}


def test_every_indicator_says_what_it_is():
    for each in DEFAULTS:
        assert (
            each.formula
            and each.__doc__
            and each.outputs
            and each.inputs
            and all(param.unit or param.choices or param.default is False for param in each.params.values())
        ), each
        assert each.source or each.anchored, each


def test_no_bars_no_values():
    empty = random_walk(10)[:0]
    for each in ALL:
        assert all(len(column) == 0 for column in each.batch(empty).values())
    assert np.isnan(MACD().batch(random_walk(20))["macd"]).all()


def test_wrapped_indicators_are_for_research_only():
    walk = random_walk(300)
    np.testing.assert_allclose(
        wrap_talib("RSI", timeperiod=14).batch(walk)["rsi"][14:], RSI(14).batch(walk)["rsi"][14:], rtol=1e-9
    )
    assert wrap_talib("MACD", name="t").outputs == ("t_macd", "t_macdsignal", "t_macdhist")
    np.testing.assert_allclose(
        wrap_vectorbt("MA", window=20).batch(walk)["ma"][19:], SMA(20).batch(walk)["sma"][19:], rtol=1e-12
    )
    for wrapped in (wrap_talib("RSI"), wrap_vectorbt("RSI", window=14)):
        with pytest.raises(InputError, match="must have a live form to trade"):
            wrapped.live()
    with pytest.raises(InputError, match="did you mean 'RSI'"):
        wrap_talib("RSJ")


def test_an_edited_step_or_helper_is_compiled_anew():
    "The cache on disk is named by what a function does and by everything it calls."

    @compiled
    def other_push(i, at, length, value):
        return value

    step = lambda code, push: FunctionType(code, {"push": push, "units": units})
    first = fingerprint(step(Momentum.step.__code__, push))
    assert fingerprint(step(Momentum.step.__code__, push)) == first
    assert fingerprint(step(Momentum.step.__code__, other_push)) != first
    assert fingerprint(step(TooEarly.step.__code__, push)) != first


def test_a_warm_import_gives_its_first_value_within_three_seconds():
    "Counted in processor time, so that a busy machine does not fail it."
    program = (
        "from futures_algo.indicators import MACD\nfrom futures_algo.indicators.laws import random_walk\nimport time\n"
        "MACD().batch(random_walk(100))\nprint(time.process_time())"
    )
    first, warm = (
        float(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout)
        for _ in range(2)
    )
    assert warm < 3.0


def test_no_step_allocates():
    for each in ALL:
        assert allocates_nothing(each, random_walk(300)) == "", each


def test_batches_in_threads_do_not_disturb_each_other():
    "The loops run without the interpreter's lock; each has memory of its own."
    walks = [random_walk(4000, seed=seed) for seed in range(8)]
    calls = [(each, walk) for walk in walks for each in (MACD(), BollingerBands(), ADX(14), CCI(20))] * 3
    table = lambda call: np.column_stack(list(call[0].batch(call[1]).values()))
    wanted = [table(call) for call in calls]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(table, calls))
    for one, other in zip(found, wanted):
        np.testing.assert_array_equal(one, other)
