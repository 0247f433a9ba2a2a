"""Files the way traders have them: each kind is recognised, or refused with both things it can mean."""

import datetime as dt
import json
from pathlib import Path

import numpy as np
import pytest

from futures_algo.core.types import DataError, FuturesAlgoError, InputError, to_nanos
from futures_algo.history import import_file, read_csv, read_file, read_parquet, validate_file
from futures_algo.history.formats import Reading
from futures_algo.history.preview import preview
from futures_algo.history.sources import columns_of, read_source, reading_of

START = to_nanos("2025-06-10T13:30Z")
ROWS = [
    (6010.25, 6010.75, 6009.25, 6009.75, 71),
    (6009.75, 6010.25, 6009.25, 6009.5, 38),
    (6009.5, 6009.75, 6009.0, 6009.75, 1137),
]


def file(folder: Path, text: str, name: str = "bars.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def table(times: list[str], header: str = "time,open,high,low,close,volume", sep: str = ",") -> str:
    lines = [sep.join((time, *map(str, row))) for time, row in zip(times, ROWS)]
    return "\n".join([header, *lines] if header else lines) + "\n"


def minutes(form: str, shift: int = 0, hours: int = 0) -> list[str]:
    first = dt.datetime(2025, 6, 10, 13, 30) + dt.timedelta(minutes=shift, hours=hours)
    return [(first + dt.timedelta(minutes=n)).strftime(form) for n in range(3)]


def right(bars) -> bool:
    return (
        len(bars) == 3 and bars.start[0] == START and bars.open[0] == 6010.25 and bars.volume.tolist() == [71, 38, 1137]
    )


class TestVendors:
    def test_ninjatraders_export_needs_its_format_or_stamp_and_zone(self, tmp_path):
        path = file(tmp_path, table(minutes("%Y%m%d %H%M%S", 1), "", ";").replace("\n", "\r\n"), "ES 06-25.Last.txt")
        assert right(read_csv(path, "ES.c.0", format="ninjatrader"))
        assert right(read_csv(path, "ES.c.0", tz="UTC", stamp="close"))
        with pytest.raises(DataError, match="can mean two bars.*NinjaTrader stamps the close.*--format ninjatrader"):
            read_csv(path, "ES.c.0", tz="UTC")
        with pytest.raises(DataError, match="must carry a zone; say --format ninjatrader"):
            read_csv(path, "ES.c.0")

    @pytest.mark.parametrize("root, hour", [("ES.c.0", "08"), ("CL.c.0", "09")])
    def test_tradestation_keeps_the_exchanges_clock(self, root, hour, tmp_path):
        header = '"Date","Time","Open","High","Low","Close","Up","Down"'
        lines = [f"06/10/2025,{hour}:{31 + n},60.25,60.75,60.25,60.50,35,{36 + n}" for n in range(3)]
        bars = read_csv(file(tmp_path, "\r\n".join([header, *lines])), root, format="tradestation")
        assert bars.start[0] == START and bars.volume.tolist() == [71, 72, 73]

    def test_sierra_has_spaces_and_fractions_of_a_second(self, tmp_path):
        header = "Date, Time, Open, High, Low, Last, Volume, NumberOfTrades, BidVolume, AskVolume"
        times = minutes("2025/6/10, %H:%M:%S.000000")
        text = "\n".join([header] + [f"{t}, {', '.join(map(str, row))}, 5, 3, 4" for t, row in zip(times, ROWS)])
        assert right(read_csv(file(tmp_path, text), "ES.c.0", tz="UTC"))
        assert "Sierra Chart's export" in " ".join(
            read_file(tmp_path / "bars.csv", "ES.c.0", Reading.of(tz="UTC")).notes
        )

    @pytest.mark.parametrize("factor", [1, 1_000, 10**6, 10**9])
    @pytest.mark.parametrize("tail", ["", ".0"])
    def test_counts_since_1970_of_any_unit_with_or_without_a_point(self, factor, tail, tmp_path):
        times = [f"{(START // 10**9 + 60 * n) * factor}{tail}" for n in range(3)]
        assert right(read_csv(file(tmp_path, table(times)), "ES.c.0"))

    def test_firstrate_is_on_new_yorks_clock(self, tmp_path):
        path = file(tmp_path, table(minutes("%Y-%m-%d %H:%M:%S", hours=-4), "timestamp,open,high,low,close,volume"))
        assert right(read_csv(path, "ES.c.0", format="firstrate"))

    def test_a_vendor_nobody_knows_is_named_with_the_known_ones(self, tmp_path):
        with pytest.raises(InputError, match="format was 'ninja'.*did you mean 'ninjatrader'"):
            read_csv(file(tmp_path, table(minutes("%Y-%m-%dT%H:%MZ"))), "ES.c.0", format="ninja")

    def test_a_file_of_several_symbols_gives_the_one_asked_for(self, tmp_path):
        times = minutes("%Y-%m-%dT%H:%M:%SZ")
        lines = [f"{t},{s},{','.join(map(str, row))}" for t, row in zip(times, ROWS) for s in ("ES.c.0", "NQ.c.0")]
        path = file(tmp_path, "\n".join(["ts_event,symbol,open,high,low,close,volume", *lines]))
        assert right(read_csv(path, "ES.c.0"))
        with pytest.raises(DataError, match="symbol column was 'ES.c.0, NQ.c.0'"):
            read_csv(path, "YM.c.0")

    def test_a_file_of_another_product_is_refused(self, tmp_path):
        text = table([f"{t},NQZ5" for t in minutes("%Y-%m-%dT%H:%M:%SZ")], "time,symbol,open,high,low,close,volume")
        with pytest.raises(DataError, match="symbol column was 'NQZ5'; it must be of ES's product"):
            read_csv(file(tmp_path, text), "ES.c.0")


class TestTwoMeanings:
    "What can mean two things is an error that shows both."

    @pytest.mark.parametrize("form", ["10/06/2025 %H:%M", "10-06-2025 %H:%M", "10/06/25 %H:%M"])
    def test_a_date_that_could_be_two_days(self, form, tmp_path):
        path = file(tmp_path, table(minutes(form)))
        with pytest.raises(DataError, match=r"2025-06-10 \(day first\) or 2025-10-06 \(month first\)"):
            read_csv(path, "ES.c.0", tz="UTC")
        assert right(read_csv(path, "ES.c.0", tz="UTC", dayfirst=True))
        assert read_csv(path, "ES.c.0", tz="UTC", dayfirst=False).start[0] == to_nanos("2025-10-06T13:30Z")

    def test_a_date_that_is_one_day_only_is_read(self, tmp_path):
        for form in ("10.06.2025 %H:%M", "2025/06/10 %H:%M", "10-Jun-2025 %H:%M"):
            assert right(read_csv(file(tmp_path, table(minutes(form))), "ES.c.0", tz="UTC"))
        thirteenth = [time.replace("10/", "13/") for time in minutes("10/06/2025 %H:%M")]
        assert read_csv(file(tmp_path, table(thirteenth)), "ES.c.0", tz="UTC").start[0] == to_nanos("2025-06-13T13:30Z")

    def test_two_forms_of_date_in_one_file_are_refused(self, tmp_path):
        times = ["13/06/2025 13:30", "06/14/2025 13:31", "06/14/2025 13:32"]
        with pytest.raises(DataError, match="must be written as the others are"):
            read_csv(file(tmp_path, table(times)), "ES.c.0", tz="UTC")

    def test_a_comma_before_three_digits(self, tmp_path):
        times = minutes("%Y-%m-%dT%H:%M:%SZ")
        text = "time;open;high;low;close;volume\n" + "".join(f"{t};6,010;6,011;6,009;6,010;5\n" for t in times)
        path = file(tmp_path, text)
        with pytest.raises(
            DataError, match=r"can mean 2 numbers: 6010 \(commas group thousands\) or 6.010 \(decimal comma\)"
        ):
            read_csv(path, "ES.c.0")
        assert read_csv(path, "ES.c.0", thousands=",").open[0] == 6010

    def test_points_that_could_group_thousands(self, tmp_path):
        times = minutes("%Y-%m-%dT%H:%M:%SZ")
        text = "time;open;high;low;close;volume\n" + "".join(f"{t};25.012;25.013;25.011;25.012;5\n" for t in times)
        with pytest.raises(DataError, match="25.012 .decimal point. or 25012 .points group thousands"):
            read_csv(file(tmp_path, text), "NQ.c.0")
        assert read_csv(tmp_path / "bars.csv", "NQ.c.0", decimal=",", thousands=".").open[0] == 25012

    def test_an_end_stamped_file_shows_on_the_session_grid(self, tmp_path):
        times = [f"2025-06-10T20:{minute}:00Z" for minute in (58, 59)] + ["2025-06-10T21:00:00Z"]
        path = file(tmp_path, table(times))
        with pytest.raises(DataError, match="can mean two bars.*on a session's close and none on an opening"):
            read_csv(path, "ES.c.0")
        assert read_csv(path, "ES.c.0", stamp="end").end[-1] == to_nanos("2025-06-10T21:00Z")
        assert validate_file(path, "ES.c.0").reports[0].counts == {"session": 1}

    def test_two_columns_with_one_claim(self, tmp_path):
        text = table(minutes("%Y-%m-%dT%H:%M:%SZ"), "time,open,high,low,close,last")
        with pytest.raises(DataError, match="'close' and 'last'.*can mean several columns.*--columns close=close"):
            read_csv(file(tmp_path, text), "ES.c.0")
        assert right(read_csv(tmp_path / "bars.csv", "ES.c.0", columns={"close": "close", "volume": "last"}))

    @pytest.mark.parametrize("zone", ["EST", "CST", "IST"])
    def test_an_abbreviated_zone(self, zone, tmp_path):
        with pytest.raises(DataError, match="abbreviation is used by several zones"):
            read_csv(file(tmp_path, table(minutes(f"%Y-%m-%d %H:%M:%S {zone}"))), "ES.c.0")

    def test_an_hour_the_clock_shows_twice(self, tmp_path):
        times = [f"2026-11-01 01:{minute}:00" for minute in (30, 31, 32)]
        with pytest.raises(DataError, match="must mean one moment in America/Chicago"):
            read_csv(file(tmp_path, table(times)), "MBT.c.0", tz="America/Chicago", check=False)


class TestCells:
    def test_offsets_that_change_within_a_file_are_moments(self, tmp_path):
        times = ["2025-10-31T14:59:00-05:00", "2025-10-31T15:00:00-05:00", "2025-11-02T17:00:00-06:00"]
        bars = read_csv(file(tmp_path, table(times)), "ES.c.0")
        assert bars.start[[1, 2]].tolist() == [to_nanos("2025-10-31T20:00Z"), to_nanos("2025-11-02T23:00Z")]

    def test_a_zone_in_some_rows_only_is_refused(self, tmp_path):
        times = minutes("%Y-%m-%dT%H:%M:%SZ")
        with pytest.raises(DataError, match="must carry a zone as other rows do.*row 1"):
            read_csv(file(tmp_path, table([times[0], times[1][:-1], times[2]])), "ES.c.0", tz="UTC")

    def test_newest_first_is_said_and_turned_round_when_asked(self, tmp_path):
        lines = table(minutes("%Y-%m-%dT%H:%M:%SZ")).splitlines()
        path = file(tmp_path, "\n".join([lines[0], *lines[:0:-1]]))
        with pytest.raises(DataError, match="this file is newest first; say newest_first=True"):
            read_csv(path, "ES.c.0")
        assert right(read_csv(path, "ES.c.0", newest_first=True))

    def test_exact_duplicates_go_when_asked_and_others_never(self, tmp_path):
        lines = table(minutes("%Y-%m-%dT%H:%M:%SZ")).splitlines()
        path = file(tmp_path, "\n".join([*lines[:2], *lines[1:]]))
        with pytest.raises(DataError, match="only row of its time.*--dedupe exact"):
            read_csv(path, "ES.c.0")
        assert right(read_csv(path, "ES.c.0", dedupe="exact"))
        other = file(tmp_path, "\n".join([*lines[:2], lines[1].replace(",71", ",72"), *lines[2:]]), "other.csv")
        with pytest.raises(DataError, match="only row of its time"):
            read_csv(other, "ES.c.0", dedupe="exact")

    def test_a_file_without_volume_is_marked_and_one_of_zeros_named(self, tmp_path):
        lines = [line.rpartition(",")[0] for line in table(minutes("%Y-%m-%dT%H:%M:%SZ")).splitlines()]
        read = read_file(file(tmp_path, "\n".join(lines)), "ES.c.0", Reading())
        assert read.bars.volume.sum() == 0 and any("without volume" in note for note in read.notes)
        assert validate_file(tmp_path / "bars.csv", "ES.c.0").ok
        zeros = file(tmp_path, "\n".join([lines[0] + ",volume", *(line + ",0" for line in lines[1:])]), "zeros.csv")
        assert validate_file(zeros, "ES.c.0").reports[0].counts == {"no_volume": 1}

    @pytest.mark.parametrize(
        "cell, said",
        [("7.5", "whole number of contracts"), ("1.2K", "must be a number; write it out"), ("7,5", "groups of three")],
    )
    def test_a_volume_that_is_none_is_named_by_its_row(self, cell, said, tmp_path):
        text = table(minutes("%Y-%m-%dT%H:%M:%SZ")).replace(",38", f',"{cell}"')
        with pytest.raises(DataError, match=f"{said}.*row 1"):
            read_csv(file(tmp_path, text), "ES.c.0")

    @pytest.mark.parametrize("clock", ["2561", "256199", "12345678", "24:01", "13:00 PM"])
    def test_a_time_that_no_clock_shows_is_named(self, clock, tmp_path):
        text = table(
            [f"2025-06-10;{one}" for one in (clock, "0931", "0932")], "date;time;open;high;low;close;volume", ";"
        )
        with pytest.raises(DataError, match=f"time was '{clock}'; it must be a time of the day"):
            read_csv(file(tmp_path, text), "ES.c.0", tz="UTC", timeframe="1min")

    def test_a_date_a_spreadsheet_cut_is_refused(self, tmp_path):
        with pytest.raises(DataError, match="a spreadsheet cut its digits"):
            read_csv(file(tmp_path, table(["1.74956E+12"] * 3)), "ES.c.0")

    @pytest.mark.parametrize(
        "encoding, lead",
        [("utf-8-sig", ""), ("utf-16", ""), ("utf-16-le", ""), ("utf-8", "sep=;\n"), ("utf-8", "# exported\n")],
    )
    def test_encodings_and_lines_before_the_table(self, encoding, lead, tmp_path):
        text = lead + table(minutes("%Y-%m-%dT%H:%M:%SZ"), "time;open;high;low;close;volume", ";")
        assert right(read_csv(file(tmp_path, text, encoding=encoding), "ES.c.0"))

    @pytest.mark.parametrize("sep", [";", "\t", "|", " "])
    def test_separators(self, sep, tmp_path):
        text = table(minutes("%Y-%m-%dT%H:%M:%SZ"), sep.join(("time", "open", "high", "low", "close", "volume")), sep)
        assert right(read_csv(file(tmp_path, text), "ES.c.0"))

    def test_a_ragged_row_is_named(self, tmp_path):
        with pytest.raises(DataError, match="must be rows of 6 cells"):
            read_csv(file(tmp_path, table(minutes("%Y-%m-%dT%H:%M:%SZ")) + "2025-06-10T13:33:00Z,1,2\n"), "ES.c.0")


class TestFractions:
    @pytest.mark.parametrize(
        "symbol, text, price",
        [
            ("ZN.c.0", "112'005", 112.015625),
            ("ZN.c.0", "112-16+", 112.515625),
            ("ZT.c.0", "103'318", 103.99609375),
            ("ZC.c.0", "445'2", 445.25),
            ("ZN.c.0", "112.0156", 112.015625),
            ("ZN.c.0", "112.01562", 112.015625),
            ("ZT.c.0", "103.996094", 103.99609375),
        ],
    )
    def test_prices_of_bonds_and_grains_as_vendors_write_them(self, symbol, text, price, tmp_path):
        lines = [f"{time},{text},{text},{text},{text},9" for time in minutes("%Y-%m-%dT%H:%M:%SZ")]
        bars = read_csv(file(tmp_path, "\n".join(["time,open,high,low,close,volume", *lines])), symbol)
        assert bars.close.tolist() == [price] * 3

    def test_rounding_that_could_be_two_ticks_is_refused_with_the_value_in_full(self, tmp_path):
        lines = [f"{time},112.01,112.02,112.01,112.02,9" for time in minutes("%Y-%m-%dT%H:%M:%SZ")]
        with pytest.raises(DataError, match=r"close=112\.02.*tick grid.*decimals"):
            read_csv(file(tmp_path, "\n".join(["time,open,high,low,close,volume", *lines])), "ZN.c.0")

    def test_a_single_price_off_the_grid_is_never_moved(self, tmp_path):
        text = table(minutes("%Y-%m-%dT%H:%M:%SZ")).replace("6009.25", "6009.3", 1)
        with pytest.raises(DataError, match=r"low=6009\.3 .*tick grid"):
            read_csv(file(tmp_path, text), "ES.c.0")


class TestImport:
    def five(self, folder: Path) -> Path:
        times = [f"2025-12-08T05:{minute:02d}:00Z" for minute in (0, 5, 10)]
        return file(folder, table(times), "five.csv")

    def test_any_timeframe_goes_into_parquet_and_comes_back_unasked(self, tmp_path):
        done = import_file(self.five(tmp_path), "ES.c.0", tmp_path / "five.parquet")
        bars = read_parquet(tmp_path / "five.parquet")
        assert (done.schema, bars.symbol, bars.timeframe, bars.contracts) == ("5min", "ES.c.0", "5min", ("ESZ5",))
        assert list(read_source(tmp_path / "five.parquet")) == ["ES.c.0"]
        with pytest.raises(InputError, match="no schema for others; write Parquet: --out five.parquet"):
            import_file(self.five(tmp_path), "ES.c.0", tmp_path / "five.dbn.zst")

    def test_a_look_writes_nothing_and_shows_rows_zone_contract_and_gaps(self, tmp_path):
        path = self.five(tmp_path)
        before = sorted(tmp_path.iterdir())
        found = preview(path, "ES.c.0", rows=2)
        assert sorted(tmp_path.iterdir()) == before
        assert found.first[0]["exchange"] == "Sun 2025-12-07 23:00:00" and found.first[0]["contract"] == "ESZ5"
        assert found.timeframe == "5min" and len(found.first) == 2 and found.gap_count == 0 and found.notes

    def test_the_verb_looks_and_every_option_has_its_name(self, tmp_path, capsys):
        from futures_algo.cli import main

        text = table(minutes("10/06/2025 %H:%M", 1), "Wann;A;B;C;D;Menge", ";").replace(".", ",")
        path = file(tmp_path, text)
        args = ["--tz", "UTC", "--stamp", "end", "--dayfirst", "yes", "--sep", "semicolon", "--decimal", ",",
                "--columns", "time=Wann,open=A,high=B,low=C,close=D,volume=Menge"]  # fmt: skip
        with pytest.raises(SystemExit) as ended:
            main(["import", str(path), "--symbol", "ES.c.0", "--look", *args, "--json"])
        document = json.loads(capsys.readouterr().out)
        assert (
            not ended.value.code
            and document["start"] == "2025-06-10T13:30:00Z"
            and document["first"][0]["open"] == 6010.25
        )

    def test_what_a_command_line_says_of_a_file(self):
        reading = reading_of(["stamp=close", "dayfirst=no", "columns=time:caldt"], tz="UTC")
        assert (reading.stamp, reading.dayfirst, reading.columns, reading.tz) == (
            "close",
            False,
            {"time": "caldt"},
            "UTC",
        )
        assert columns_of(["time=caldt"]) == {"time": "caldt"}
        with pytest.raises(InputError, match="option was 'stmp'.*did you mean 'stamp'"):
            reading_of(["stmp=close"])

    def test_no_error_is_another_than_one_of_ours(self, tmp_path):
        for number, text in enumerate(
            ("", "\n\n", "a,b\n1,2\n", "x" * 300, "time,open\n", "\x00\x01\x02", "1,2,3,4,5,6")
        ):
            with pytest.raises(FuturesAlgoError):
                read_csv(file(tmp_path, text, f"{number}.csv"), "ES.c.0", tz="UTC")


def test_parquet_with_a_foreign_time_column_and_its_zone(tmp_path):
    import pandas as pd

    times = pd.date_range("2025-06-10 13:30", periods=3, freq="min")
    frame = pd.DataFrame(ROWS, columns=["Open", "High", "Low", "Close", "Volume"], index=times)
    frame.to_parquet(tmp_path / "bars.parquet")
    with pytest.raises(DataError, match="must carry a zone"):
        read_parquet(tmp_path / "bars.parquet", "ES.c.0")
    assert right(read_parquet(tmp_path / "bars.parquet", "ES.c.0", tz="UTC"))
    assert np.array_equal(
        read_parquet(tmp_path / "bars.parquet", "ES.c.0", tz="UTC").end, START + 60 * 10**9 * np.arange(1, 4)
    )
