"History on real files: Databento's, two vendors' CSV and two years of Parquet with their rolls and their holes."

import io
import zipfile

import numpy as np
import pandas as pd
import pytest

from futures_algo.core.contracts import Contract
from futures_algo.core.types import HOUR, MINUTE, SECOND, Bars, DataError
from futures_algo.history import (
    DataAdapter,
    bars_from_trades,
    continuous,
    import_file,
    read_csv,
    read_dbn,
    read_parquet,
    read_trades,
    roll_table,
    validate_bars,
    validate_file,
)

NAUTILUS = "databento/nautilus/futures_ohlcv-1m_2024-07-01T23-40_2024-07-02T00-10.dbn.zst"


def vendor(path) -> pd.DataFrame:
    "A vendor's own bars, UTC."
    table = pd.read_csv(path, parse_dates=["timestamp"])
    return table.assign(
        timestamp=table["timestamp"].dt.tz_localize("America/New_York").dt.tz_convert("UTC").dt.as_unit("ns")
    ).set_index("timestamp")


@pytest.fixture(scope="module")
def nq(shared_data) -> Bars:
    return read_csv(shared_data / "bars_1m/NQ_1min_sample.csv", "NQ.c.0", tz="America/New_York")


class TestDatabento:
    def test_sixty_real_minutes_of_two_contracts(self, shared_data):
        bars = read_dbn(shared_data / NAUTILUS)
        assert {symbol: (len(one), one.contracts) for symbol, one in bars.items()} == {
            "ESU4": (30, ("ESU4",)),
            "NQU4": (30, ("NQU4",)),
        }
        assert (
            bars["ESU4"].start[0] == 1_719_877_200 * SECOND
            and validate_bars(bars["ESU4"]).ok
            and validate_bars(bars["NQU4"]).ok
        )

    @pytest.mark.filterwarnings("ignore")
    def test_every_real_file_of_bars_equals_databentos_own_reading(self, shared_data):
        import databento

        files = sorted((shared_data / "databento").rglob("*ohlcv*.dbn.zst"))
        assert len(files) >= 12
        for path in files:
            table = databento.DBNStore.from_file(path).to_df()
            for symbol, bars in read_dbn(path).items():
                theirs = table[table["symbol"] == symbol]
                assert np.array_equal(bars.start, theirs.index.as_unit("ns").asi8), path
                for name in ("open", "high", "low", "close", "volume"):
                    assert np.array_equal(getattr(bars, name), theirs[name].to_numpy()), (path, name)
            assert validate_file(path).ok

    def test_versions_one_to_three_read_alike(self, shared_data):
        first, second, third = (
            read_dbn(shared_data / f"databento/dbn/test_data.ohlcv-1m.v{version}.dbn.zst")["ESH1"]
            for version in (1, 2, 3)
        )
        assert (
            np.array_equal(first.close, second.close) and np.array_equal(second.close, third.close) and len(first) == 2
        )

    def test_trades_make_the_minutes_databento_made(self, shared_data):
        made = read_trades(
            shared_data / "databento/nautilus/futures_trades_2024-07-01T23-58_2024-07-02T00-02.dbn.zst", "1min"
        )["ESU4"]
        theirs = read_dbn(shared_data / NAUTILUS)["ESU4"]
        theirs = theirs[(theirs.start >= made.start[0]) & (theirs.start <= made.start[-1])]
        assert len(made) == 4 and made.contracts == ("ESU4",)
        for name in ("start", "open", "high", "low", "close", "volume"):
            assert np.array_equal(getattr(made, name), getattr(theirs, name)), name

    def test_one_second_bars_from_trades_sum_to_the_minutes(self, shared_data):
        path = shared_data / "databento/nautilus/futures_trades_2024-07-01T23-58_2024-07-02T00-02.dbn.zst"
        seconds, minutes = read_trades(path, "1s")["ESU4"], read_trades(path, "1min")["ESU4"]
        assert seconds.volume.sum() == minutes.volume.sum()
        assert np.array_equal(np.unique(seconds.start // MINUTE * MINUTE), minutes.start)

    def test_a_live_recording_through_the_adapter(self, shared_data):
        import databento

        bars = DataAdapter().store(databento.DBNStore.from_file(shared_data / "databento/live/test_data.live.dbn.zst"))
        assert sum(map(len, bars.values())) == 4
        assert all(
            Contract.parse(one.contracts[0], near=pd.Timestamp(one.start[0]).date()).root == "ES"
            for one in bars.values()
        )


class TestCsv:
    def test_two_weeks_of_new_york_time(self, nq, shared_data):
        table = vendor(shared_data / "bars_1m/NQ_1min_sample.csv")
        assert (
            len(nq) == 14_714
            and np.array_equal(nq.start, table.index.asi8)
            and np.array_equal(nq.close, table["close"].to_numpy())
        )
        report = validate_bars(nq)
        assert report.ok and sum(gap.missing for gap in report.gaps) == 1  # Thanksgiving's halts included

    def test_the_wrong_zone_shows_as_bars_outside_sessions(self, shared_data):
        wrong = read_csv(shared_data / "bars_1m/NQ_1min_sample.csv", "NQ.c.0", tz="America/Chicago", stamp="open")
        assert validate_bars(wrong).counts["session"] > 500

    def test_it_is_imported_whole_with_its_contract(self, nq, shared_data, tmp_path):
        done = import_file(
            shared_data / "bars_1m/NQ_1min_sample.csv", "NQ.c.0", tmp_path / "nq.dbn.zst", tz="America/New_York"
        )
        assert (done.rows, done.contracts, done.contracts_from, done.faults) == (14_714, ["NQZ3"], "calendar", {})
        back = read_dbn(tmp_path / "nq.dbn.zst")["NQ.c.0"]
        for name in ("start", "open", "high", "low", "close", "volume"):
            assert np.array_equal(getattr(back, name), getattr(nq, name))

    def test_a_thin_contract_stamped_at_the_close(self, shared_data):
        path = shared_data / "bars_1m/6EH4.XCME_1min_bars_20240101_20240131.csv.gz"
        with pytest.raises(DataError, match="can mean two bars.*--stamp close or open"):
            read_csv(path, "6EH4")
        right, wrong = read_csv(path, "6EH4", stamp="close"), read_csv(path, "6EH4", stamp="open")
        assert len(right) == 29_996 and validate_bars(right).ok
        assert right.start[0] == 1_704_150_000 * SECOND  # 2024-01-01 17:00 in Chicago, the open to the minute
        assert (
            validate_bars(wrong).counts["session"] > 0
        )  # read as starts, the last bar of each session lies in the halt

    def test_dirty_rows_are_refused_by_row(self, shared_data):
        with pytest.raises(DataError, match="row"):
            read_csv(shared_data / "indicators/skender/bad.csv", "ES.c.0", tz="UTC", timeframe="1440min")
        assert not validate_file(shared_data / "indicators/skender/bad.csv", "ES.c.0", tz="UTC", timeframe="1440min").ok


class TestParquet:
    @pytest.mark.parametrize(
        ("root", "first", "rolls"), [("ES", "ESH4", 8), ("NQ", "NQH4", 9), ("CL", "CLH4", 9), ("GC", "GCH4", 8)]
    )
    def test_two_years_read_with_their_contracts_and_rolls(self, shared_data, root, first, rolls):
        bars = read_parquet(shared_data / f"bars_5m/{root}_5m.parquet", f"{root}.v.0", tz="UTC")
        table = roll_table(bars)
        assert bars.timeframe == "5min" and bars.contracts[0] == first and len(table) == rolls
        months = [
            Contract.parse(name, near=pd.Timestamp(roll.at).date()) for roll in table for name in (roll.old, roll.new)
        ]
        assert all(old < new for old, new in zip(months[::2], months[1::2]))
        assert not {"order", "duplicate", "nan", "ohlc", "volume", "tick", "alignment"} & set(
            validate_bars(bars).counts
        )

    def test_holes_in_real_data_are_found(self, shared_data):
        "The NQ file lacks the regular hours of every Tuesday: 158 bars from 08:50 UTC to the halt."
        report = validate_bars(read_parquet(shared_data / "bars_5m/NQ_5m.parquet", "NQ.v.0", tz="UTC"))
        large = [gap for gap in report.gaps if gap.missing > 12]
        assert len(large) == report.counts["gap"] == 105
        assert sum(pd.Timestamp(gap.start, tz="UTC").day_name() == "Tuesday" for gap in large) >= 100
        assert report.empty == 2

    def test_a_panama_series_runs_through_real_rolls(self, shared_data):
        bars = read_parquet(shared_data / "bars_5m/ES_5m.parquet", "ES.v.0", tz="UTC")
        adjusted, rolls = continuous(bars, "difference"), roll_table(bars)
        at = [int(np.searchsorted(bars.start, roll.at)) for roll in rolls]
        assert min(abs(bars.open[row] - bars.close[row - 1]) for row in at) > 20  # the carry of a quarter
        assert all(adjusted.open[row] == adjusted.close[row - 1] for row in at)
        assert validate_bars(adjusted).counts == validate_bars(bars).counts

    def test_a_series_that_rolled_at_a_session_open_survives_the_import(self, shared_data, tmp_path):
        done = import_file(shared_data / "bars_5m/NQ_1h.parquet", "NQ.v.0", tmp_path / "nq.dbn.zst", tz="UTC")
        bars = read_parquet(shared_data / "bars_5m/NQ_1h.parquet", "NQ.v.0", tz="UTC")
        back = read_dbn(tmp_path / "nq.dbn.zst")["NQ.v.0"]
        assert (
            done.schema == "ohlcv-1h"
            and done.contracts_from == "file"
            and np.array_equal(back.close, bars.close)
            and (back.end - back.start == HOUR).all()
        )
        assert [back.contracts[code] for code in back.contract.tolist()] == [
            bars.contracts[code] for code in bars.contract.tolist()
        ]


class TestTicks:
    def test_a_day_of_gold_trades_with_rows_of_no_size(self, shared_data):
        with zipfile.ZipFile(shared_data / "ticks/20131008_trade.zip") as archive:
            name = max(archive.namelist(), key=lambda name: archive.getinfo(name).file_size)
            ticks = pd.read_csv(
                io.BytesIO(archive.read(name)),
                header=None,
                names=["ms", "price", "size", "exchange", "condition", "suspicious"],
            )
        midnight = (
            pd.Timestamp("2013-10-08", tz="UTC").as_unit("ns").value
        )  # UTC: the daily halt shows at 21:15, which was 16:15 in Chicago
        arguments = (
            midnight + ticks["ms"].to_numpy(np.int64) * 1_000_000,
            ticks["price"].to_numpy(),
            ticks["size"].to_numpy(np.int64),
            "GC.v.0",
        )
        assert (ticks["size"] == 0).any()
        seconds, minutes = bars_from_trades(*arguments, "1s"), bars_from_trades(*arguments, "1min")
        assert seconds.volume.sum() == minutes.volume.sum() == ticks["size"].sum()
        assert (seconds.volume > 0).all() and len(minutes) > 1000
        real = ticks[ticks["size"] > 0]
        assert seconds.high.max() == real["price"].max() and seconds.low.min() == real["price"].min()
        counts = validate_bars(minutes).counts
        assert not {"order", "duplicate", "ohlc", "tick"} & set(counts)
        assert counts.get("session", 0) <= 15  # gold closed at 16:15 in 2013, today at 16:00
