"""History on our own data: readers refuse what is broken, writers leave nothing half-written, the store fetches nothing
twice, rolls do not leak."""

import datetime as dt
import itertools
import subprocess
import sys
import tempfile
import tracemalloc
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from futures_algo.core.dbn import read_records
from futures_algo.core.types import DAY, MINUTE, SECOND, Bars, DataError, InputError
from futures_algo.history import (
    BarStore,
    DataAdapter,
    bars_from_frame,
    bars_from_trades,
    continuous,
    import_file,
    load_rolls,
    name_contracts,
    read_csv,
    read_dbn,
    read_parquet,
    roll_table,
    save_rolls,
    validate_bars,
    validate_file,
    write_dbn,
)
from futures_algo.history.store import Range, union, without
from futures_algo.sim.market import generate, generate_minutes

COLUMNS = ("start", "end", "open", "high", "low", "close", "volume")


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    return generate(tmp_path_factory.mktemp("market"))


@pytest.fixture(scope="module")
def path(market):
    return market.files["ohlcv-1s"][0]


@pytest.fixture(scope="module")
def minutes() -> Bars:
    return generate_minutes(sessions=60)


def names(bars: Bars) -> list[str]:
    return [bars.contracts[code] for code in bars.contract.tolist()]


def assert_equal(left: Bars, right: Bars) -> None:
    "Bit for bit, contracts by name."
    for name in COLUMNS:
        assert np.array_equal(getattr(left, name), getattr(right, name), equal_nan=True), name
    assert names(left) == names(right) and left.timeframe == right.timeframe


def frame(minutes: Bars, rows: slice = slice(0, 50), zone: str | None = "UTC") -> pd.DataFrame:
    table = minutes[rows].to_frame().drop(columns="contract").reset_index().rename(columns={"start": "timestamp"})
    table["timestamp"] = table["timestamp"].dt.tz_convert(zone or "America/New_York").dt.tz_localize(None)
    return table


class TestDbn:
    def test_every_record_is_read_once_with_its_contract(self, path, market):
        bars, records = read_dbn(path), read_records(path)
        assert sum(map(len, bars.values())) == len(records.rows) == market.bars
        for symbol, one in bars.items():
            rows = records.rows[
                np.isin(records.rows["instrument_id"], [i.instrument_id for i in records.mappings[symbol]])
            ]
            assert np.array_equal(one.start, rows["ts_event"].astype(np.int64)) and np.array_equal(
                one.close, rows["close"] / 1e9
            )
            assert names(one) == [market.raw[number] for number in rows["instrument_id"].tolist()]
            assert (one.end - one.start == SECOND).all() and one.timeframe == "1s"

    def test_memory_stays_below_twice_the_uncompressed_file(self, path, market):
        tracemalloc.start()
        bars = read_dbn(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(bars) == 2 and peak < 2 * 56 * market.bars

    def test_a_contract_can_be_asked_for_by_its_own_name(self, path):
        old = read_dbn(path, ["ESU5"])
        assert list(old) == ["ESU5"] and set(names(old["ESU5"])) == {"ESU5"}
        assert len(old["ESU5"]) < len(read_dbn(path, ["ES.c.0"])["ES.c.0"])

    def test_an_unknown_symbol_is_named_with_a_hint(self, path):
        with pytest.raises(
            DataError, match=r"symbol was 'ES\.c\.1'; it must be one the file maps; did you mean 'ES\.c\.0'"
        ):
            read_dbn(path, ["ES.c.1"])

    def test_a_row_outside_its_mapped_dates_is_named(self, tmp_path, minutes):
        from futures_algo.core.dbn import write_records

        write_dbn(tmp_path / "a.dbn", {"ES.c.0": minutes[:10]})
        records = read_records(tmp_path / "a.dbn")
        rows = records.rows.copy()
        rows["ts_event"][7:] += 40 * DAY
        write_records(tmp_path / "b.dbn", rows, records.mappings, "ohlcv-1m")
        with pytest.raises(DataError, match=r"must be mapped to a symbol on the row's date.*row 7\)"):
            read_dbn(tmp_path / "b.dbn")
        assert len(read_dbn(tmp_path / "b.dbn", ["ES.c.0"])["ES.c.0"]) == 7

    def test_contracts_come_from_the_calendar_where_the_file_has_only_the_continuous_symbol(self, tmp_path, path):
        from futures_algo.core.dbn import SymbolInterval, write_records

        records = read_records(path)
        es = records.rows[np.isin(records.rows["instrument_id"], [i.instrument_id for i in records.mappings["ES.c.0"]])]
        held = {
            "ES.c.0": [
                SymbolInterval(dt.date(2025, 9, 1), dt.date(2025, 9, 20), int(es["instrument_id"][0])),
                SymbolInterval(dt.date(2025, 9, 20), dt.date(2025, 12, 1), 7),
            ]
        }
        write_records(tmp_path / "c.dbn", es[:1000], held)
        assert names(read_dbn(tmp_path / "c.dbn")["ES.c.0"][:1]) == ["ESU5"]
        assert read_dbn(tmp_path / "c.dbn", contracts={7: "ESH6"})["ES.c.0"].contracts == ("ESU5", "ESH6")

    def test_undefined_prices_are_not_numbers(self, tmp_path, minutes):
        from futures_algo.core.dbn import write_records

        write_dbn(tmp_path / "a.dbn", {"ES.c.0": minutes[:5]})
        records = read_records(tmp_path / "a.dbn")
        rows = records.rows.copy()
        rows["high"][2] = 2**63 - 1
        write_records(tmp_path / "b.dbn", rows, records.mappings, "ohlcv-1m")
        assert np.flatnonzero(np.isnan(read_dbn(tmp_path / "b.dbn")["ES.c.0"].high)).tolist() == [2]

    @pytest.mark.parametrize("name", ["x.dbn", "x.dbn.zst"])
    def test_write_and_read_are_inverse_over_a_roll_and_two_symbols(self, tmp_path, minutes, name):
        nq = generate_minutes("NQ.c.0", sessions=60)
        back = read_dbn(write_dbn(tmp_path / name, {"ES.c.0": minutes, "NQ.c.0": nq}))
        assert_equal(back["ES.c.0"], minutes)
        assert_equal(back["NQ.c.0"], nq)

    def test_a_roll_inside_a_day_keeps_every_row_and_its_contract(self, tmp_path, minutes):
        codes = np.zeros(3000, np.int32)
        codes[1000:1500], codes[2000:] = 1, 1  # to and fro, as a volume rule can
        rolled = replace(minutes[:3000], contract=codes, contracts=("ESU5", "ESZ5"))
        assert_equal(read_dbn(write_dbn(tmp_path / "x.dbn", {"ES.v.0": rolled}))["ES.v.0"], rolled)

    def test_nothing_half_written_remains_when_writing_fails(self, tmp_path, minutes):
        target = tmp_path / "x.dbn"
        target.write_bytes(b"before")
        with pytest.raises(InputError, match="timeframe was '5min'"):
            write_dbn(target, {"ES.c.0": replace(minutes, timeframe="5min")})
        with pytest.raises(InputError, match="instrument ids"):
            write_dbn(target, {"ES.c.0": minutes}, ids={"ESU5": 5, "ESZ5": 5})
        assert [p.name for p in tmp_path.iterdir()] == ["x.dbn"] and target.read_bytes() == b"before"

    def test_a_missing_and_a_truncated_file_end_in_one_line(self, tmp_path, path):
        with pytest.raises(
            DataError, match=r"must be a file that can be read \(No such file or directory\)"
        ) as missing:
            read_dbn(tmp_path / "none.dbn")
        content = path.read_bytes()
        (tmp_path / "cut.dbn.zst").write_bytes(content[: len(content) // 2])
        with pytest.raises(DataError, match="truncated: fetch it again") as truncated:
            read_dbn(tmp_path / "cut.dbn.zst")
        (tmp_path / "bad.dbn.zst").write_bytes(content[:5000] + bytes(100) + content[5100:])
        with pytest.raises(DataError, match="damaged") as damaged:
            read_dbn(tmp_path / "bad.dbn.zst")
        assert not any("\n" in str(error.value) for error in (missing, truncated, damaged))

    @pytest.mark.parametrize("name", ["x.dbn", "x.dbn.zst"])
    def test_a_file_damaged_anywhere_is_read_or_refused_in_one_line(self, tmp_path, minutes, campaign, name):
        content = write_dbn(tmp_path / name, {"ES.c.0": minutes[:500]}).read_bytes()
        random, refused = np.random.default_rng(11), 0
        for _ in range(campaign(150, full=3000)):
            at = int(random.integers(0, min(600, len(content)) if random.random() < 0.6 else len(content)))
            bit = bytes([content[at] ^ 1 << int(random.integers(0, 8))])
            spoiled = (content[:at], content[:at] + bit + content[at + 1 :], content[:at] + bytes(13) + content[at:])[
                int(random.integers(0, 3))
            ]
            (tmp_path / name).write_bytes(spoiled)
            try:
                read_dbn(tmp_path / name)
            except InputError as error:
                refused += 1
                assert "\n" not in str(error)
        assert refused > 90


class TestTables:
    @pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "x.parquet"])
    def test_the_same_bars_come_back_from_every_form(self, tmp_path, minutes, name):
        table = frame(minutes, slice(0, 500), zone=None)
        table.to_parquet(tmp_path / name) if name.endswith("parquet") else table.to_csv(tmp_path / name, index=False)
        reader = read_parquet if name.endswith("parquet") else read_csv
        assert_equal(reader(tmp_path / name, "ES.c.0", tz="America/New_York", contract="ESU5"), minutes[:500])

    def test_a_naive_time_is_refused_and_the_remedy_says_how(self, tmp_path, minutes):
        frame(minutes).to_csv(tmp_path / "x.csv", index=False)
        with pytest.raises(DataError, match=r"must carry a zone; say which with tz='America/New_York' \(--tz"):
            read_csv(tmp_path / "x.csv", "ES.c.0")

    def test_a_column_named_utc_and_a_written_offset_carry_their_zone(self, minutes):
        named = frame(minutes).rename(columns={"timestamp": "timestamp_utc"})
        written = frame(minutes).assign(timestamp=lambda t: t["timestamp"].astype(str) + "+00:00")
        for table in (named, written):
            assert np.array_equal(bars_from_frame(table, "ES.c.0").start, minutes.start[:50])

    @pytest.mark.parametrize("unit", [1, 1_000, 1_000_000, 1_000_000_000])
    def test_whole_numbers_count_from_1970_in_the_unit_their_size_tells(self, minutes, unit):
        table = frame(minutes).assign(timestamp=minutes.start[:50] // unit)
        assert np.array_equal(bars_from_frame(table, "ES.c.0").start, minutes.start[:50])

    def test_a_stamp_at_the_close_moves_the_bar_back(self, minutes):
        table = frame(minutes).assign(timestamp=pd.to_datetime(minutes.end[:50], utc=True))
        assert np.array_equal(bars_from_frame(table, "ES.c.0", stamp="close").start, minutes.start[:50])

    @pytest.mark.parametrize(
        ("spoil", "message"),
        [
            (
                lambda t: t.drop(columns="close"),
                r"close column was 'missing'; it must be there.*the file has timestamp, open, high, low, volume",
            ),
            (lambda t: t.rename(columns={"timestamp": "wann"}), "time column was 'missing'"),
            (lambda t: t.iloc[[0, 2, 1, 3]], r"must be later than every row before it.*row 2, 2025-07-27T22:01:00Z"),
            (lambda t: t.iloc[[0, 1, 1, 1, 2]], r"must be the only row of its time \(2 such rows\).*row 2"),
            (lambda t: t.assign(close=t["close"].where(t.index != 5)), r"must be a number.*row 5"),
            (
                lambda t: t.assign(close=t["close"].astype(object).where(t.index != 5, "n/a")),
                r"close was 'n/a'; it must be a number.*row 5",
            ),
            (lambda t: t.assign(high=t["low"] - 1), r"must have low <= open, close <= high \(50 such rows\)"),
            (lambda t: t.assign(open=t["open"] + 0.1, high=t["high"] + 0.25), "must lie on the product's tick grid"),
            (lambda t: t.assign(volume=-1), "must be 0 or more contracts"),
            (lambda t: t.assign(volume=0.5), r"volume was 0\.5; it must be a whole number of contracts"),
            (
                lambda t: t.assign(timestamp="yesterday"),
                r"time was 'yesterday'; it must be a date and time, all rows in one form",
            ),
        ],
    )
    def test_each_fault_is_refused_by_name_and_row(self, minutes, spoil, message):
        with pytest.raises(DataError, match=message):
            bars_from_frame(spoil(frame(minutes)), "ES.c.0", tz="UTC")

    def test_an_hour_the_clock_shows_twice_is_refused(self, minutes):
        twice = frame(minutes).assign(timestamp=pd.date_range("2025-11-02 01:00", periods=50, freq="min"))
        with pytest.raises(DataError, match="must mean one moment in America/New_York; export the data in UTC"):
            bars_from_frame(twice, "ES.c.0", tz="America/New_York")

    def test_a_zone_a_stamp_and_a_symbol_that_do_not_exist(self, minutes):
        with pytest.raises(InputError, match="tz was 'Mars/Olympus'"):
            bars_from_frame(frame(minutes), "ES.c.0", tz="Mars/Olympus")
        with pytest.raises(InputError, match="stamp was 'middle'"):
            bars_from_frame(frame(minutes), "ES.c.0", tz="UTC", stamp="middle")
        with pytest.raises(InputError, match="must belong to a known product"):
            bars_from_frame(frame(minutes), "QQ.c.0", tz="UTC")

    def test_columns_may_be_named_by_hand(self, minutes):
        table = frame(minutes).rename(columns={"timestamp": "Zeit", "volume": "Menge"})
        bars = bars_from_frame(table, "ES.c.0", tz="UTC", columns={"time": "Zeit", "volume": "Menge"})
        assert np.array_equal(bars.volume, minutes.volume[:50])

    def test_files_that_are_no_table(self, tmp_path):
        (tmp_path / "empty.csv").write_text("")
        (tmp_path / "x.parquet").write_bytes(b"PAR?")
        with pytest.raises(DataError, match="must hold rows of bars"):
            read_csv(tmp_path / "empty.csv", "ES.c.0")
        with pytest.raises(DataError, match="must be Parquet"):
            read_parquet(tmp_path / "x.parquet", "ES.c.0")
        with pytest.raises(DataError, match="must be a file that can be read"):
            read_csv(tmp_path / "none.csv", "ES.c.0")


class TestChecks:
    def test_clean_bars_have_no_fault(self, minutes):
        report = validate_bars(minutes)
        assert report.ok and report.as_dict()["errors"] == [] and report.as_dict()["counts"] == {}
        assert report.gaps and max(gap.missing for gap in report.gaps) < 10  # quiet minutes of the night

    def test_every_kind_of_fault_is_found_where_it_was_planted(self, minutes):
        rows = np.arange(5000)
        rows[[700, 701]] = rows[[701, 700]]  # order
        rows[900] = 899  # duplicate
        spoiled = minutes[rows]
        for name in COLUMNS:
            setattr(spoiled, name, getattr(spoiled, name).copy())
        spoiled.close[1000] = np.nan
        spoiled.high[1100] = spoiled.low[1100] - 1.0
        spoiled.volume[1200] = -5
        spoiled.open[1300] = spoiled.high[1300] = spoiled.high[1300] + 0.1
        spoiled.start[1400] += 7 * SECOND
        spoiled.start[4999] = spoiled.start[4999] // DAY * DAY + 21 * 60 * MINUTE + 30 * MINUTE  # 16:30 in Chicago
        found = {(fault.kind, fault.row) for fault in validate_bars(spoiled).faults}
        assert {
            ("order", 701),
            ("duplicate", 900),
            ("nan", 1000),
            ("ohlc", 1100),
            ("volume", 1200),
            ("tick", 1300),
            ("alignment", 1400),
            ("session", 4999),
        } <= found

    def test_4999_duplicates_are_counted_and_every_one_is_listed(self, minutes):
        rows = np.sort(np.concatenate([np.arange(10_000), np.arange(4_999)]))
        report = validate_bars(minutes[rows])
        assert report.counts == {"duplicate": 4_999} and len({fault.row for fault in report.faults}) == 4_999
        document = report.as_dict(limit=10)
        assert not document["ok"] and len(document["errors"]) == 10 and document["counts"] == {"duplicate": 4_999}
        assert set(document["errors"][0]) == {"path", "value", "rule", "remedy"}

    def test_a_hole_is_a_gap_and_only_a_large_one_a_fault(self, minutes):
        holed = minutes[np.delete(np.arange(3000), range(500, 540))]
        small, large = validate_bars(holed), validate_bars(holed, max_gap="20min")
        assert small.ok and max(gap.missing for gap in small.gaps) >= 40
        assert [fault.kind for fault in large.faults] == ["gap"] and large.faults[0].row == 500

    def test_the_halt_the_weekend_and_a_holiday_are_no_gaps(self):
        bars = generate_minutes("ES.c.0", sessions=6, first_session=dt.date(2025, 11, 24), seed=3)  # Thanksgiving week
        assert validate_bars(bars, max_gap="5min").ok

    def test_a_whole_file_is_looked_at(self, tmp_path, path, minutes):
        assert validate_file(path).ok
        table = pd.concat([frame(minutes, slice(0, 10)), frame(minutes, slice(5, 8))])
        table.to_csv(tmp_path / "x.csv", index=False)
        report = validate_file(tmp_path / "x.csv", "ES.c.0", tz="UTC")
        assert not report.ok and [fault.row for fault in report.reports[0].faults] == [10, 10, 11, 11, 12, 12]
        assert report.reports[0].counts == {"order": 3, "duplicate": 3}
        (tmp_path / "cut.dbn.zst").write_bytes(path.read_bytes()[:4000])
        assert "truncated" in validate_file(tmp_path / "cut.dbn.zst").as_dict()["errors"][0]["remedy"]
        with pytest.raises(DataError, match="must exist"):
            validate_file(tmp_path / "none.csv", "ES.c.0")


class TestImport:
    def test_the_contract_comes_from_the_calendar(self, tmp_path, minutes):
        frame(minutes, slice(None), zone=None).to_csv(tmp_path / "x.csv", index=False)
        done = import_file(tmp_path / "x.csv", "ES.c.0", tmp_path / "x.dbn.zst", tz="America/New_York")
        assert (done.schema, done.rows, done.contracts, done.contracts_from) == (
            "ohlcv-1m",
            len(minutes),
            ["ESU5", "ESZ5"],
            "calendar",
        )
        back = read_dbn(tmp_path / "x.dbn.zst")["ES.c.0"]
        assert np.array_equal(back.close, minutes.close)
        assert int(back.start[names(back).index("ESZ5")]) // DAY * DAY == int(
            np.datetime64("2025-09-21", "ns").astype(np.int64)
        )  # the Sunday after expiry

    def test_each_product_rolls_by_its_own_expiry(self):
        crude = generate_minutes("CL.c.0", sessions=30, first_session=dt.date(2025, 7, 1))
        named = name_contracts(replace(crude, contracts=("",), contract=np.zeros(len(crude), np.int32)))
        assert named.contracts == ("CLQ5", "CLU5")  # CLQ5 ends on 22 July, in the month before its own

    def test_a_volume_series_must_bring_its_contracts(self, minutes):
        nameless = replace(minutes, symbol="ES.v.0", contracts=("",), contract=np.zeros(len(minutes), np.int32))
        with pytest.raises(DataError, match=r"contract was 'missing'; it must be known for ES\.v\.0"):
            name_contracts(nameless)

    def test_a_dated_contract_is_its_own(self, tmp_path, minutes):
        frame(minutes).to_csv(tmp_path / "x.csv", index=False)
        done = import_file(tmp_path / "x.csv", "ES 09-25", tmp_path / "x.dbn", tz="UTC")
        assert done.contracts == ["ESU5"]

    def test_bad_input_writes_nothing(self, tmp_path, minutes):
        frame(minutes).drop(columns="close").to_csv(tmp_path / "x.csv", index=False)
        for symbol, out, error in (
            ("ES.c.0", "x.dbn", "close column"),
            ("QQ.c.0", "x.dbn", "known product"),
            ("ES.c.0", "x.bin", "must end in .dbn"),
        ):
            with pytest.raises(InputError, match=error):
                import_file(tmp_path / "x.csv", symbol, tmp_path / out, tz="UTC")
        assert [file.name for file in tmp_path.iterdir()] == ["x.csv"]


SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=8)


class TestStore:
    @given(SPANS, st.integers(0, 60), st.integers(0, 60))
    def test_every_moment_is_either_covered_or_missing(self, spans, start, end):
        covered, missing = union(spans), without((start, end), spans)
        moments = lambda ranges: {moment for low, high in ranges for moment in range(low, high)}
        assert moments(covered) == moments(spans) and all(
            left.end < right.start for left, right in itertools.pairwise(covered)
        )
        assert moments(missing) == set(range(start, end)) - moments(spans) and sum(
            high - low for low, high in missing
        ) == len(moments(missing))

    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 1500)), min_size=1, max_size=5))
    def test_pieces_in_any_order_add_up_to_their_union(self, minutes, pieces):
        with tempfile.TemporaryDirectory() as folder:
            store = BarStore(folder)
            for first, count in pieces:
                store.write(minutes[first : first + count])
            rows = sorted({row for first, count in pieces for row in range(first, first + count)})
            assert_equal(store.read("ES.c.0"), minutes[np.array(rows)])

    def test_a_writer_killed_at_any_moment_leaves_whole_months(self, tmp_path, minutes):
        source = write_dbn(tmp_path / "x.dbn", {"ES.c.0": minutes})
        code = (
            "import sys; from futures_algo.history import BarStore, read_dbn\nbars = read_dbn(sys.argv[1])['ES.c.0'];"
            " store = BarStore(sys.argv[2])\nfor first in range(0, len(bars), 2000): store.write(bars[first:first +"
            " 2000]); print(first, flush=True)"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code, source, tmp_path / "store"], stdout=subprocess.PIPE, text=True
        ) as writer:
            said = [int(writer.stdout.readline()) for _ in range(9)]
            writer.kill()
        store = BarStore(tmp_path / "store")
        kept = store.read("ES.c.0")
        assert len(kept) >= said[-1] + 2000 and np.array_equal(kept.close, minutes.close[: len(kept)])
        assert store.missing("ES.c.0", "ohlcv-1m", int(minutes.start[0]), int(minutes.start[said[-1]])) == []
        store.write(minutes)
        assert_equal(store.read("ES.c.0"), minutes)

    def test_ranges(self):
        assert union([(5, 9), (1, 3), (3, 4), (8, 12)]) == [Range(1, 4), Range(5, 12)]
        assert without((0, 10), [(2, 3), (5, 20)]) == [Range(0, 2), Range(3, 5)]
        assert without((0, 10), [(-5, 15)]) == [] and without((0, 10), []) == [Range(0, 10)]

    def test_what_is_written_in_overlapping_pieces_is_read_as_one(self, tmp_path, minutes):
        store = BarStore(tmp_path)
        first, second = store.write(minutes[:50_000]), store.write(minutes[30_000:])
        assert (first.added, first.duplicates, second.added, second.duplicates) == (
            50_000,
            0,
            len(minutes) - 50_000,
            20_000,
        )
        assert_equal(store.read("ES.c.0"), minutes)
        files = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.parquet"))
        assert files[0] == "dataset=GLBX.MDP3/schema=ohlcv-1m/symbol=ES.c.0/2025-07.parquet" and len(files) == 4
        assert not list(tmp_path.rglob("*.part"))

    def test_a_range_is_read_alone(self, tmp_path, minutes):
        store = BarStore(tmp_path)
        store.write(minutes)
        assert_equal(
            store.read("ES.c.0", start=int(minutes.start[40_000]), end=int(minutes.start[45_000])),
            minutes[40_000:45_000],
        )

    def test_what_was_fetched_is_known_even_where_nothing_traded(self, tmp_path, minutes):
        store, start = BarStore(tmp_path), int(minutes.start[0])
        store.write(minutes[:100], (start - DAY, int(minutes.end[99]) + 60 * MINUTE))
        assert store.missing("ES.c.0", "ohlcv-1m", start - 2 * DAY, int(minutes.end[99])) == [
            Range(start - 2 * DAY, start - DAY)
        ]
        assert store.missing("NQ.c.0", "ohlcv-1m", 0, 10) == [Range(0, 10)]

    def test_a_row_that_contradicts_a_kept_one_is_refused_and_nothing_changes(self, tmp_path, minutes):
        store = BarStore(tmp_path)
        store.write(minutes[:100])
        other = minutes[50:150]
        other.close = other.close.copy()
        other.close[10] += 0.25
        with pytest.raises(DataError, match="must equal the one kept"):
            store.write(other)
        assert_equal(store.read("ES.c.0"), minutes[:100])
        store.write(other, replace=True)
        assert len(store.read("ES.c.0")) == 150 and store.read("ES.c.0").close[60] == minutes.close[60] + 0.25

    def test_gaps_are_listed_and_strangers_named(self, tmp_path, minutes):
        store = BarStore(tmp_path)
        store.write(
            minutes[np.delete(np.arange(1000), range(300, 400))], (int(minutes.start[0]), int(minutes.end[999]))
        )
        assert max(gap.missing for gap in store.gaps("ES.c.0", "ohlcv-1m")) >= 100
        with pytest.raises(DataError, match="must have ohlcv-1m bars in the store"):
            store.read("NQ.c.0")
        with pytest.raises(
            InputError, match="schema was 'ohlcv-1min'; it must be a schema of bars; did you mean 'ohlcv-1m'"
        ):
            store.read("ES.c.0", "ohlcv-1min")
        next(tmp_path.rglob("*.parquet")).write_bytes(b"PAR1")
        with pytest.raises(DataError, match="must be a month this store wrote"):
            store.read("ES.c.0")


class TestRolls:
    def test_the_table_holds_every_change_of_contract(self, minutes, tmp_path):
        (roll,) = roll_table(minutes)
        row = names(minutes).index("ESZ5")
        assert roll[:5] == (minutes.start[row], "ESU5", "ESZ5", minutes.close[row - 1], minutes.open[row])
        assert roll.difference == roll.new_open - roll.old_close
        save_rolls(tmp_path / "rolls.csv", [roll])
        assert load_rolls(tmp_path / "rolls.csv") == [roll]

    def test_an_overlap_measures_the_step_at_one_moment(self, minutes):
        row = names(minutes).index("ESZ5")
        old = minutes[row - 100 : row]
        new = replace(old, close=old.close + 59.5)
        assert roll_table(minutes, {"ESU5": old, "ESZ5": new})[0].difference == 59.5

    def test_difference_keeps_the_grid_and_every_move_inside_a_contract(self, minutes):
        adjusted, row = continuous(minutes, "difference"), names(minutes).index("ESZ5")
        assert np.array_equal(adjusted.close[row:], minutes.close[row:])
        assert np.array_equal(np.diff(adjusted.close[:row]), np.diff(minutes.close[:row]))
        assert adjusted.close[row - 1] == adjusted.open[row]
        assert validate_bars(adjusted).counts == {}

    def test_ratio_keeps_every_return_inside_a_contract(self, minutes):
        adjusted, row = continuous(minutes, "ratio"), names(minutes).index("ESZ5")
        assert np.allclose(
            adjusted.close[1:row] / adjusted.close[: row - 1],
            minutes.close[1:row] / minutes.close[: row - 1],
            rtol=1e-12,
        )
        assert np.isclose(adjusted.close[row - 1], adjusted.open[row])

    @pytest.mark.parametrize("method", ["difference", "ratio", "raw"])
    def test_what_is_known_at_a_moment_does_not_depend_on_what_comes_after(self, method):
        bars = generate_minutes(sessions=130)  # two rolls
        for row in (1, 20_000, names(bars).index("ESZ5"), names(bars).index("ESZ5") + 1, len(bars) - 1):
            known_at = int(bars.end[row - 1])
            assert_equal(continuous(bars, method, known_at=known_at), continuous(bars[:row], method))
            assert_equal(continuous(bars, method, roll_table(bars), known_at=known_at), continuous(bars[:row], method))

    def test_several_rolls_add_up(self):
        bars = generate_minutes(sessions=200)
        rolls = roll_table(bars)
        assert len(rolls) == 3
        assert continuous(bars, "difference").close[0] == bars.close[0] + sum(roll.difference for roll in rolls)
        assert np.isclose(continuous(bars, "ratio").close[0], bars.close[0] * np.prod([roll.ratio for roll in rolls]))

    def test_a_table_that_lacks_a_roll_and_a_method_nobody_knows(self, minutes):
        with pytest.raises(DataError, match="roll was 'ESZ5'; it must stand in the roll table"):
            continuous(minutes, rolls=[])
        with pytest.raises(InputError, match="did you mean 'ratio'"):
            continuous(minutes, "ration")


class TestTrades:
    def test_a_trade_of_no_size_makes_no_price(self):
        seconds = np.array([0, 1, 1, 59, 61, 300]) * SECOND
        bars = bars_from_trades(
            seconds, np.array([10.0, 99.0, 11.0, 9.5, 10.5, 77.0]), np.array([1, 0, 2, 3, 4, 0]), "ES.c.0", "1min"
        )
        assert [list(bar[2:9]) for bar in bars] == [
            [0, MINUTE, 10.0, 11.0, 9.5, 9.5, 6],
            [MINUTE, 2 * MINUTE, 10.5, 10.5, 10.5, 10.5, 4],
        ]

    def test_nothing_traded_gives_no_bar(self):
        assert len(bars_from_trades(np.array([], np.int64), np.array([]), np.array([], np.int64), "ES.c.0")) == 0
        assert len(bars_from_trades(np.array([5]), np.array([1.0]), np.array([0]), "ES.c.0")) == 0

    def test_disorder_and_odd_timeframes_are_refused(self):
        with pytest.raises(DataError, match="trade time was 1; it must not be before the trade of the row above"):
            bars_from_trades(np.array([2, 1]), np.ones(2), np.ones(2, int), "ES.c.0")
        with pytest.raises(InputError, match="must divide a day"):
            bars_from_trades(np.array([1]), np.ones(1), np.ones(1, int), "ES.c.0", "7min")


class TestAdapter:
    def test_a_store_and_our_reader_agree(self, path):
        import databento

        adapted = DataAdapter().store(databento.DBNStore.from_file(path))
        for symbol, bars in read_dbn(path).items():
            assert_equal(adapted[symbol], bars)

    @pytest.mark.filterwarnings("ignore")
    def test_a_table_and_our_reader_agree(self, tmp_path, minutes):
        import databento

        write_dbn(
            tmp_path / "x.dbn",
            {
                "ESU5": replace(minutes[:500], symbol="ESU5"),
                "NQ": replace(minutes[:300], symbol="NQ", contracts=("NQU5", "NQZ5")),
            },
            ids={"NQU5": 3},
        )
        table = DataAdapter().frame(databento.DBNStore.from_file(tmp_path / "x.dbn").to_df())
        assert np.array_equal(table["ESU5"].close, minutes.close[:500]) and table["ESU5"].timeframe == "1min"
        assert np.array_equal(table["ESU5"].start, minutes.start[:500])

    def test_mapping_records_teach_the_adapter(self):
        from databento_dbn import OHLCVMsg, SType, SymbolMappingMsg

        mapping = SymbolMappingMsg(
            publisher_id=0,
            instrument_id=42,
            ts_event=0,
            stype_in=SType.CONTINUOUS,
            stype_in_symbol="ES.c.0",
            stype_out=SType.RAW_SYMBOL,
            stype_out_symbol="ESZ5",
            start_ts=0,
            end_ts=1,
        )
        record = OHLCVMsg(
            rtype=33,
            publisher_id=1,
            instrument_id=42,
            ts_event=60 * SECOND,
            open=10**9,
            high=2 * 10**9,
            low=10**9,
            close=2 * 10**9,
            volume=5,
        )
        with pytest.raises(DataError, match="instrument id was 42; it must have been mapped"):
            DataAdapter().bar(record)
        (bar,) = DataAdapter().bars([mapping, record])["ES.c.0"]
        assert bar[:10] == ("ES.c.0", "1min", 60 * SECOND, 120 * SECOND, 1.0, 2.0, 1.0, 2.0, 5, "ESZ5")
