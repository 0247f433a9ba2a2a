"DBN files as arrays: what is written comes back, Databento reads the same, and what is broken is named."

import datetime as dt

import numpy as np
import pytest

from futures_algo.core.dbn import OHLCV_DTYPE, SymbolInterval, contract_names, read_records, write_records
from futures_algo.core.types import SECOND, DataError

DAY = dt.date(2025, 12, 15), dt.date(2025, 12, 16)
MAPPINGS = {"ES.c.0": (SymbolInterval(*DAY, 101),), "ESZ5": (SymbolInterval(*DAY, 101),)}


@pytest.fixture
def rows() -> np.ndarray:
    made = np.zeros(50, OHLCV_DTYPE)
    made["length"], made["rtype"], made["publisher_id"], made["instrument_id"] = 14, 32, 1, 101
    made["ts_event"] = 1_765_800_000 * SECOND + SECOND * np.arange(50)
    made["open"] = made["low"] = 6890_000_000_000 + 250_000_000 * np.arange(50)
    made["high"] = made["close"] = made["open"] + 250_000_000
    made["volume"] = np.arange(50)
    return made


@pytest.mark.parametrize("name", ["bars.dbn", "bars.dbn.zst"])
def test_what_is_written_comes_back(tmp_path, rows, name):
    write_records(tmp_path / name, rows, MAPPINGS)
    back = read_records(tmp_path / name)
    assert (
        (back.rows == rows).all()
        and back.mappings == MAPPINGS
        and back.schema == "ohlcv-1s"
        and back.dataset == "GLBX.MDP3"
    )
    assert contract_names(back.mappings) == {101: "ESZ5"}


@pytest.mark.filterwarnings("ignore")
def test_databento_reads_the_same(tmp_path, rows):
    import databento

    write_records(tmp_path / "bars.dbn.zst", rows, MAPPINGS)
    frame = databento.DBNStore.from_file(tmp_path / "bars.dbn.zst").to_df()
    assert set(frame["symbol"]) <= set(MAPPINGS) and (frame["close"].to_numpy() == rows["close"] / 1e9).all()
    assert (frame.index.as_unit("ns").asi8 == rows["ts_event"].astype(np.int64)).all()


def test_frames_that_follow_each_other_are_one_file(tmp_path, rows):
    import zstandard

    write_records(tmp_path / "bars.dbn", rows, MAPPINGS)
    plain = (tmp_path / "bars.dbn").read_bytes()
    (tmp_path / "two.dbn.zst").write_bytes(
        b"".join(zstandard.ZstdCompressor().compress(part) for part in (plain[:1000], plain[1000:]))
    )
    assert (read_records(tmp_path / "two.dbn.zst").rows == rows).all()


@pytest.mark.parametrize("name", ["bars.dbn", "bars.dbn.zst"])
def test_a_truncated_file_is_refused(tmp_path, rows, name):
    write_records(tmp_path / name, rows, MAPPINGS)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-10])
    with pytest.raises(DataError, match="truncated"):
        read_records(tmp_path / name)


def test_a_file_of_something_else_is_refused(tmp_path, rows):
    (tmp_path / "bars.csv").write_text("time,open\n")
    with pytest.raises(DataError, match="must be DBN"):
        read_records(tmp_path / "bars.csv")
    odd = rows.copy()
    odd["length"][7] = 20
    write_records(tmp_path / "odd.dbn", odd, MAPPINGS)
    with pytest.raises(DataError, match="row 7"):
        read_records(tmp_path / "odd.dbn")


def test_every_version_of_the_format_and_every_other_schema(shared_data):
    v1, v2, v3 = (
        read_records(shared_data / f"databento/dbn/test_data.ohlcv-1s.v{version}.dbn.zst") for version in (1, 2, 3)
    )
    assert (v1.rows == v2.rows).all() and (v2.rows == v3.rows).all() and v1.mappings == v2.mappings == v3.mappings
    with pytest.raises(DataError, match="schema was 'trades'"):
        read_records(shared_data / "databento/dbn/test_data.trades.v3.dbn.zst")
    with pytest.raises(DataError, match="live recording"):
        read_records(shared_data / "databento/live/test_data.live.dbn.zst")
