"""How far other libraries' defaults are from our indicators: `python -m futures_algo.bench.libraries`.

The same random walk goes through ours and theirs; the differences are taken at rows 50, 100 and 500, and the largest
after row 2,000, where no seed shows any
more and what is left is the definition.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from futures_algo.core.types import Bars
from futures_algo.indicators import ADX, ATR, CCI, MACD, RSI, SMA, BollingerBands, Indicator, wrap_talib
from futures_algo.indicators.laws import random_walk

ROWS = 20_000


class Variant(NamedTuple):
    "Another library's form of one of our outputs."

    indicator: Indicator
    output: str
    library: str
    columns: Callable[[Bars], np.ndarray]
    tick: float = 0.01


def _talib(function: str, output: str, **parameters) -> Callable[[Bars], np.ndarray]:
    return lambda bars: wrap_talib(function, **parameters).batch(bars)[output]


def _vectorbt(
    name: str, output: str, inputs: tuple[str, ...] = ("close",), **parameters
) -> Callable[[Bars], np.ndarray]:
    def columns(bars: Bars) -> np.ndarray:
        import vectorbt

        run = getattr(vectorbt, name).run(*(getattr(bars, key) for key in inputs), **parameters)
        return np.asarray(getattr(run, output)).reshape(len(bars))

    return columns


def _macd_from_first_close(bars: Bars) -> np.ndarray:
    "MACD's line with both averages seeded by the first close, as NinjaTrader 8 does."
    fast = slow = bars.close[0]
    line = np.empty(len(bars))
    for row, close in enumerate(bars.close):
        fast, slow = fast + 2 / 13 * (close - fast), slow + 2 / 27 * (close - slow)
        line[row] = fast - slow
    return line


VARIANTS = [
    Variant(SMA(20), "sma", "TA-Lib", _talib("SMA", "sma", timeperiod=20)),
    Variant(RSI(14), "rsi", "TA-Lib", _talib("RSI", "rsi", timeperiod=14)),
    Variant(RSI(14), "rsi", "vectorbt, default (simple averages)", _vectorbt("RSI", "rsi", window=14)),
    Variant(RSI(14), "rsi", "vectorbt, ewm=True (span)", _vectorbt("RSI", "rsi", window=14, ewm=True)),
    Variant(MACD(), "macd", "TA-Lib (both averages start together)", _talib("MACD", "macd_macd")),
    Variant(MACD(), "macd", "first close as seed (NinjaTrader 8)", _macd_from_first_close),
    Variant(MACD(), "macd", "vectorbt, default (simple averages)", _vectorbt("MACD", "macd")),
    Variant(MACD(), "macd", "vectorbt, macd_ewm=True", _vectorbt("MACD", "macd", macd_ewm=True, signal_ewm=True)),
    Variant(CCI(20), "cci", "TA-Lib", _talib("CCI", "cci", timeperiod=20)),
    Variant(ATR(14), "atr", "TA-Lib", _talib("ATR", "atr", timeperiod=14)),
    Variant(ATR(14), "atr", "vectorbt, default (span)", _vectorbt("ATR", "atr", ("high", "low", "close"), window=14)),
    Variant(
        ATR(14),
        "atr",
        "vectorbt, ewm=False (simple average)",
        _vectorbt("ATR", "atr", ("high", "low", "close"), window=14, ewm=False),
    ),
    Variant(BollingerBands(), "bollinger_upper", "TA-Lib", _talib("BBANDS", "bbands_upperband", timeperiod=20)),
    Variant(BollingerBands(), "bollinger_upper", "vectorbt, default", _vectorbt("BBANDS", "upper", window=20)),
    Variant(ADX(14), "adx", "TA-Lib, ticks of 0.25", _talib("ADX", "adx", timeperiod=14), 0.25),
    Variant(ADX(14), "adx", "TA-Lib, ticks of 0.01", _talib("ADX", "adx", timeperiod=14)),
]


def differences(rows: int = ROWS) -> Iterator[dict]:
    "One row a variant, in the indicator's own unit."
    walks = {tick: random_walk(rows, tick, seed=5) for tick in (0.01, 0.25)}
    for variant in VARIANTS:
        bars = walks[variant.tick]
        apart = np.abs(variant.indicator.batch(bars)[variant.output] - variant.columns(bars))
        yield {
            "indicator": repr(variant.indicator),
            "output": variant.output,
            "library": variant.library,
            "at 50": apart[50],
            "at 100": apart[100],
            "at 500": apart[500],
            "after 2000": np.nanmax(apart[2000:]),
        }


def crosses_that_depend_on_the_start(later: int = 137, rows: int = ROWS) -> dict[str, int]:
    """Bars on which close > SMA(20) differs between a stream and the same stream begun `later` bars in: TA-Lib's
    rolling sum, and ours."""
    whole = random_walk(rows, 0.01, seed=5)
    above = lambda indicator, bars: bars.close > next(iter(indicator.batch(bars).values()))
    count = lambda indicator: int((above(indicator, whole)[later + 20 :] != above(indicator, whole[later:])[20:]).sum())
    return {"TA-Lib": count(wrap_talib("SMA", timeperiod=20)), "ours": count(SMA(20))}


def main() -> None:
    for row in differences():
        print(
            f"{row['indicator']:36} {row['library']:40} "
            + " ".join(f"{key} {row[key]:8.1e}" for key in ("at 50", "at 100", "at 500", "after 2000"))
        )
    print("bars on which close > SMA(20) depends on the start:", crosses_that_depend_on_the_start())


if __name__ == "__main__":
    main()
