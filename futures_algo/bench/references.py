"""Our indicators against published reference values: `python -m futures_algo.bench.references FOLDER`.

FOLDER holds `skender/` (Skender.Stock.Indicators' expected results) and `lean/` (QuantConnect's test files). Each row
says how far we are, and by which limit
that counts as agreement; a reference of another convention has no limit and its difference is listed for what it is.
"""

import csv
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from futures_algo.core.types import DAY, Bars, Timeframe
from futures_algo.indicators import (
    ADX,
    ATR,
    CCI,
    EMA,
    MACD,
    RMA,
    RSI,
    SMA,
    VWAP,
    WMA,
    BollingerBands,
    Indicator,
    StandardDeviation,
    Stochastic,
    TrueRange,
)

EXACT = 1e-9  # relative to the value, or to 1 where the value is smaller


class Reference(NamedTuple):
    "One output of ours beside one column of a reference."

    file: str  # under the folder
    column: str
    indicator: Indicator
    output: str
    limit: float | None  # largest difference that is agreement; None where the convention differs
    note: str = ""  # what the limit or the difference comes from
    settled: int = 0  # rows left out at the head, where seeds differ


_SKENDER = [
    Reference("skender/sma.standard.json", "sma", SMA(20), "sma", EXACT),
    Reference("skender/ema.standard.json", "ema", EMA(20), "ema", EXACT),
    Reference("skender/wma.standard.json", "wma", WMA(14), "wma", EXACT),
    Reference("skender/smma.standard.json", "smma", RMA(20), "rma", EXACT),
    Reference("skender/rsi.standard.json", "rsi", RSI(14), "rsi", EXACT),
    *[
        Reference("skender/macd.standard.json", column, MACD(), output, EXACT)
        for column, output in (("macd", "macd"), ("signal", "macd_signal"), ("histogram", "macd_histogram"))
    ],
    Reference("skender/cci.standard.json", "cci", CCI(20), "cci", EXACT),
    Reference("skender/tr.standard.json", "tr", TrueRange(), "true_range", EXACT),
    Reference("skender/atr.standard.json", "atr", ATR(14), "atr", EXACT),
    Reference("skender/stdev.standard.json", "stdDev", StandardDeviation(14), "standard_deviation", EXACT),
    *[
        Reference("skender/bb.standard.json", column, BollingerBands(), output, EXACT)
        for column, output in (
            ("sma", "bollinger_middle"),
            ("upperBand", "bollinger_upper"),
            ("lowerBand", "bollinger_lower"),
        )
    ],
    *[
        Reference("skender/stoch.standard.json", column, Stochastic(), output, EXACT)
        for column, output in (("k", "stochastic_k"), ("d", "stochastic_d"))
    ],
    *[
        Reference("skender/adx.standard.json", column, ADX(), output, EXACT)
        for column, output in (("adx", "adx"), ("pdi", "plus_di"), ("mdi", "minus_di"))
    ],
    Reference("skender/vwap.standard.json", "vwap", VWAP(), "vwap", EXACT, "the whole file as one session"),
]
_LEAN = [
    Reference("lean/spy_with_indicators.txt", "SMA14", SMA(14), "sma", 1e-6, "two decimals"),
    Reference("lean/spy_with_indicators.txt", "EMA14", EMA(14), "ema", 1e-6, "two decimals"),
    Reference("lean/spy_with_indicators.txt", "MACD 12 26", MACD(), "macd", 1e-4, "four decimals"),
    Reference("lean/spy_with_indicators.txt", "RSI 14 Wilder", RSI(14), "rsi", 1e-6, "five decimals"),
    Reference("lean/spy_with_indicators.txt", "RSI 14", RSI(14), "rsi", None, "simple averages (Cutler)"),
    Reference("lean/spy_with_macd.txt", "MACD", MACD(), "macd", 1e-6, "six decimals"),
    Reference("lean/spy_with_macd.txt", "Signal", MACD(), "macd_signal", 1e-6, "six decimals"),
    Reference(
        "lean/spy_with_cci.txt",
        "Commodity Channel Index (CCI) 14",
        CCI(14),
        "cci",
        1e-3,
        "made in single precision: 0.002 of 244",
    ),
    Reference(
        "lean/spy_atr_wilder.txt", "Average True Range 14", ATR(14), "atr", None, "counts bar 0's range in the seed"
    ),
    Reference(
        "lean/spy_atr_wilder.txt", "Average True Range 14", ATR(14), "atr", 1e-5, "five decimals, seed faded", 200
    ),
    Reference("lean/spy_atr.txt", "Average True Range 14", ATR(14), "atr", None, "simple average of the true range"),
    *[
        Reference("lean/spy_bollinger_bands.txt", column, BollingerBands(), output, 1e-6, "four decimals")
        for column, output in (
            ("Moving Average 20", "bollinger_middle"),
            ("Bollinger Bands® 20 2 Top", "bollinger_upper"),
            ("Bollinger Bands® 20 2 Bottom", "bollinger_lower"),
        )
    ],
    *[
        Reference("lean/spy_with_stoch12k3.txt", column, Stochastic(12, 3, 5), output, 5e-5, "made in single precision")
        for column, output in (("Stochastics 12 %K 3", "stochastic_k"), ("%D 5", "stochastic_d"))
    ],
    *[
        Reference("lean/spy_with_adx.txt", column, ADX(), output, 0.01, "made from movements rounded to two decimals")
        for column, output in (("ADX 14", "adx"), ("+DI14", "plus_di"), ("-DI14", "minus_di"))
    ],
    Reference("lean/spy_with_vwap.txt", "Moving VWAP 50", VWAP(), "vwap", None, "a window of 50 bars, not a session"),
]
REFERENCES = _SKENDER + _LEAN


def read_table(path: Path) -> tuple[Bars, dict[str, np.ndarray]]:
    "The bars a reference was computed on, and its columns as float64 with NaN where it is silent."
    if path.suffix == ".json":
        rows = json.loads(path.read_text())
        bars = list(csv.DictReader((path.parent / "default.csv").open()))
    else:
        rows = bars = list(csv.DictReader(path.open(encoding="utf-8")))
    number = lambda row, key: float(row.get(key) or "nan")
    columns = {
        key: np.array([number(row, key) for row in rows]) for key in rows[0] if key not in ("timestamp", "Date", "date")
    }
    return _bars([{key.lower(): value for key, value in row.items()} for row in bars]), columns


def _bars(rows: list[dict]) -> Bars:
    "Daily bars; a file with closes only has them for highs and lows."
    column = lambda key: np.array([float(row.get(key) or row["close"]) for row in rows])
    start = DAY * np.arange(len(rows))
    volume = np.array([int(float(row.get("volume") or 0)) for row in rows])
    return Bars(
        "SPY",
        Timeframe("1440min"),
        start,
        start + DAY,
        volume=volume,
        contracts=("",),
        **{key: column(key) for key in ("open", "high", "low", "close")},
    )


def compare(reference: Reference, folder: Path) -> dict:
    "How far our values are from the reference's, over the rows both have."
    bars, columns = read_table(folder / reference.file)
    one_session = np.zeros(len(bars), np.int64), bars.start
    ours, theirs = reference.indicator.batch(bars, one_session)[reference.output], columns[reference.column]
    both = np.isfinite(ours) & np.isfinite(theirs)
    both[: reference.settled] = False
    difference = np.abs(ours - theirs)[both] / np.maximum(np.abs(theirs[both]), 1)
    largest = float(difference.max())
    return dict(
        file=reference.file,
        column=reference.column,
        indicator=repr(reference.indicator),
        rows=int(both.sum()),
        difference=largest,
        limit=reference.limit,
        agrees=None if reference.limit is None else largest <= reference.limit,
        note=reference.note,
    )


def comparisons(folder: Path) -> Iterator[dict]:
    "Every reference, compared."
    for reference in REFERENCES:
        yield compare(reference, folder)


def main(folder: str, write: Callable = print) -> None:
    for row in comparisons(Path(folder)):
        verdict = {True: "agrees", False: "DIFFERS", None: "other convention"}[row["agrees"]]
        write(
            f"{row['file'].split('/')[0]:8} {row['column']:34} {row['indicator']:40} {row['rows']:4} rows "
            f" {row['difference']:8.1e}  {verdict:17} {row['note']}"
        )


if __name__ == "__main__":
    main(sys.argv[1])
