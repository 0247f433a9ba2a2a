"""Rebuilt bars equal the vendors' own: Databento's minutes from trades, two vendors' coarser bars from minutes, an hour
from five minutes.

Trades straight to minutes: test_history_real.py, test_trades_make_the_minutes_databento_made. NQ through feed, engine
and journal: test_demo.py,
test_bars_of_the_live_path_equal_the_vendors.
"""

import numpy as np
import pandas as pd
import pytest

from futures_algo.aggregator.aggregator import BarAggregator, SecondToMinuteAggregator, aggregate
from futures_algo.core.types import HOUR, MINUTE, Bars, to_nanos
from futures_algo.history import bars_from_frame, read_csv, read_dbn, read_parquet, read_trades

NAUTILUS = "databento/nautilus/futures_{}.dbn.zst"
COLUMNS = ("start", "open", "high", "low", "close", "volume")


def live(bars: Bars, minutes: int, through: int) -> Bars:
    "What the live form makes of the bars, one by one."
    aggregator = BarAggregator([minutes])
    done = [made for bar in bars for made in aggregator.push(bar)] + aggregator.advance(bars.symbol, through)
    assert not aggregator.rejected
    return Bars.from_bars(done)


def both_forms(bars: Bars, minutes: int) -> list[Bars]:
    "Batch and live, the last period completed by the clock."
    through = int(bars.end[-1]) + HOUR
    return [aggregate(bars, minutes, through=through), live(bars, minutes, through)]


def assert_equal(made: Bars, theirs: Bars) -> None:
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(made, name), getattr(theirs, name), err_msg=name)


def test_databentos_minutes_from_its_trades_through_one_second_bars(shared_data):
    seconds = read_trades(shared_data / NAUTILUS.format("trades_2024-07-01T23-58_2024-07-02T00-02"), "1s")["ESU4"]
    minutes = read_dbn(shared_data / NAUTILUS.format("ohlcv-1m_2024-07-01T23-40_2024-07-02T00-10"))["ESU4"]
    theirs = minutes[(minutes.start >= seconds.start[0] // MINUTE * MINUTE) & (minutes.start <= seconds.start[-1])]
    assert len(theirs) == 4
    second_by_second = SecondToMinuteAggregator()
    made = [minute for bar in seconds for minute in second_by_second.push(bar)] + second_by_second.advance(
        "ESU4", int(theirs.end[-1])
    )
    for bars in (Bars.from_bars(made), aggregate(seconds, 1, through=int(theirs.end[-1]))):
        assert_equal(bars, theirs)


@pytest.mark.parametrize("minutes, file, count", [(5, "5min", 2_943), (30, "30min", 491), (60, "1hour", 246)])
def test_two_weeks_of_nq_equal_the_vendors_files(minutes, file, count, shared_data):
    "Daylight saving over, two Thanksgiving halts inside."
    one = read_csv(shared_data / "bars_1m/NQ_1min_sample.csv", "NQ.c.0", tz="America/New_York")
    theirs = read_csv(shared_data / f"bars_1m/NQ_{file}_sample.csv", "NQ.c.0", tz="America/New_York")
    assert len(theirs) == count
    for made in both_forms(one, minutes):
        assert_equal(made, theirs)


def test_fifteen_minutes_of_the_reference_workbook(shared_data):
    """1,564 one-minute bars of a share and the 108 fifteen-minute bars their author made of them; a share's prices lie
    on no future's tick grid."""
    sheet = pd.read_excel(shared_data / "indicators/skender/Data.Aggregate.xlsx", sheet_name="Intraday", header=0)
    table = sheet.iloc[:, 1:7].set_axis(["time", "open", "high", "low", "close", "volume"], axis=1)
    own = sheet.iloc[:, 14:20].set_axis(table.columns, axis=1).dropna()
    own["time"] = pd.to_datetime(own["time"].str.strip(), format="%m/%d/%Y %H:%M:%S")
    one, theirs = (
        bars_from_frame(frame, "ES.c.0", tz="America/New_York", timeframe=step, check=False)
        for frame, step in ((table, 1), (own, 15))
    )
    assert (len(one), len(theirs)) == (1_564, 108)
    for made in both_forms(one, 15):
        assert_equal(made, theirs)


class TestThinContract:
    "6EH4, January 2024: many minutes without a trade, and a hundred periods without one in their last minute."

    FILE = "bars_1m/6EH4.XCME_1min_bars_20240101_20240131.csv.gz"

    @pytest.mark.parametrize("stamp, count, without_last_minute", [("start", 6_105, 119), ("close", 6_084, 87)])
    def test_no_period_is_lost(self, stamp, count, without_last_minute, shared_data):
        """6,105 periods with the stamps taken as they stand; 6,084 when they are read as what they are, the closes of
        their bars."""
        bars = read_csv(shared_data / self.FILE, "6EH4", stamp=stamp)
        periods = np.unique(bars.start // (5 * MINUTE)) * 5 * MINUTE
        silent = ~np.isin(periods + 4 * MINUTE, bars.start)
        assert (len(periods), silent.sum()) == (count, without_last_minute)
        aggregator = BarAggregator([5])
        done = [made for bar in bars for made in aggregator.push(bar)] + aggregator.advance(
            "6EH4", int(bars.end[-1]) + HOUR
        )
        assert [made.start for made in done] == periods.tolist()
        assert done == list(aggregate(bars, 5, through=int(bars.end[-1]) + HOUR))
        assert sum(made.volume for made in done) == bars.volume.sum()


def test_two_years_of_es_hours_from_five_minutes(shared_data):
    """Three hours of 12,279 differ: late corrections of February 2026. Hours without any five-minute bar in that file
    are its holes, and are not made up."""
    five, theirs = (
        read_parquet(shared_data / f"bars_5m/ES_{step}.parquet", "ES.v.0", tz="UTC") for step in ("5m", "1h")
    )
    for made in both_forms(five, 60):
        assert len(made) == 12_279 and np.isin(made.start, theirs.start).all()
        own = theirs[np.isin(theirs.start, made.start)]
        equal = np.all([getattr(made, name) == getattr(own, name) for name in COLUMNS], axis=0)
        assert round(100 * equal.mean(), 2) >= 99.98
        assert made.start[~equal].tolist() == [
            to_nanos(at) for at in ("2026-02-12T06:00Z", "2026-02-17T23:00Z", "2026-02-23T05:00Z")
        ]
        missing = np.setdiff1d(theirs.start, made.start)
        assert not np.isin(missing, five.start // HOUR * HOUR).any()


@pytest.mark.parametrize("root", ["ES", "NQ", "CL", "GC"])
def test_two_years_with_their_rolls_and_holes_come_out_of_arrays_as_out_of_a_stream(root, shared_data):
    bars = read_parquet(shared_data / f"bars_5m/{root}_5m.parquet", f"{root}.v.0", tz="UTC")
    lengths = (15, 35, 240)
    aggregator = BarAggregator(lengths)
    done = [made for bar in bars for made in aggregator.push(bar)]
    for length in lengths:
        assert [made for made in done if made.timeframe == f"{length}min"] == list(aggregate(bars, length))
