"""History benchmarks: a DBN file to arrays, against the package's own way to a table, and the memory it takes."""

import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from futures_algo.bench import importing
from futures_algo.core.dbn import OHLCV_DTYPE, read_records, write_records
from futures_algo.history.dbn_files import read_dbn
from futures_algo.sim.market import generate

_ROWS = 1_000_000
_ROUNDS = 3


def history() -> list[dict]:
    """`read_dbn` against `DBNStore.to_df()` on a million one-second ES and NQ bars, and its memory against the file's
    uncompressed size."""
    with tempfile.TemporaryDirectory() as folder:
        records = [row for name in ("bars.dbn.zst", "bars.dbn") for row in _file_rows(_file(Path(folder) / name))]
    return records + importing.rows()


def _file_rows(path: Path) -> list[dict]:
    "Speed and memory on one file; the ratio of speeds is the median of runs taken in turns."
    runs = [(_seconds(_frame, path), _seconds(read_dbn, path)) for _ in range(_ROUNDS)]
    ratio = float(np.median([theirs / ours for theirs, ours in runs]))
    theirs, ours = (_ROWS / min(column) for column in zip(*runs))
    kind = "zstd" if path.suffix == ".zst" else "plain"
    memory = _peak_bytes(path) / (_ROWS * OHLCV_DTYPE.itemsize)
    return [
        {
            "metric": f"DBN ({kind}) to arrays",
            "value": ours,
            "unit": "rows/s",
            "peer": "DBNStore.to_df()",
            "peer_value": theirs,
            "ratio": ratio,
            "target": ">= 3 x the peer",
            "met": ratio >= 3.0,
        },
        {
            "metric": f"peak memory, DBN ({kind}) to arrays",
            "value": memory,
            "unit": "x the uncompressed file",
            "peer": "",
            "peer_value": None,
            "ratio": None,
            "target": "<= 2 x",
            "met": memory <= 2.0,
        },
    ]


def _file(path: Path) -> Path:
    "A million rows: generated sessions, said again a week later until there are enough."
    with tempfile.TemporaryDirectory() as folder:
        made = read_records(generate(folder, sessions=1).files["ohlcv-1s"][0])
    repeats = -(-_ROWS // len(made.rows))
    rows = np.tile(made.rows, repeats)
    rows["ts_event"] += np.repeat(np.arange(repeats, dtype=np.uint64) * np.uint64(7 * 86_400 * 10**9), len(made.rows))
    rows = rows[:_ROWS]
    last = np.datetime64(int(rows["ts_event"][-1]), "ns").astype("M8[D]").item()
    mappings = {
        symbol: [interval._replace(end=last.replace(year=last.year + 1)) for interval in intervals]
        for symbol, intervals in made.mappings.items()
        if "." in symbol
    }
    write_records(path, rows, mappings)
    return path


def _frame(path: Path) -> object:
    import databento

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return databento.DBNStore.from_file(path).to_df()


def _seconds(read: Callable[[Path], object], path: Path) -> float:
    began = time.perf_counter()
    read(path)
    return time.perf_counter() - began


def _peak_bytes(path: Path) -> int:
    "Most memory held at once while reading, the result included."
    tracemalloc.start()
    read_dbn(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak
