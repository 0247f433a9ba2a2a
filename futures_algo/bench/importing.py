"""How fast text files of bars are read, and the memory it takes beside their size."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from futures_algo.core.types import MINUTE, to_nanos
from futures_algo.history.checks import validate_bars
from futures_algo.history.csv_parquet import read_csv

_ROWS = 1_000_000
_ROUNDS = 3
_SHAPES: dict[str, tuple[str, str, str, dict[str, str]]] = {  # name -> (header, form of the time, separator, options)
    "ISO with Z, comma": ("time,open,high,low,close,volume", "%Y-%m-%dT%H:%M:%SZ", ",", {}),
    "clock time, comma": ("time,open,high,low,close,volume", "%Y-%m-%d %H:%M:%S", ",", {"tz": "UTC"}),
    "seconds since 1970": ("time,open,high,low,close,volume", "%s", ",", {}),
    "NinjaTrader": ("", "%Y%m%d %H%M%S", ";", {"format": "ninjatrader"}),
    "date and time": ("Date;Time;Open;High;Low;Close;Volume", "%d.%m.%Y;%H:%M", ";", {"tz": "UTC"}),
}


def rows() -> list[dict]:
    "Rows a second of each shape, the checks included, and the most memory of a process that does nothing else."
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for name, shape in _SHAPES.items():
            path = _written(Path(folder) / "bars.csv", *shape[:3])
            found += [_speed(name, path, shape[3]), _memory(name, path, shape[3])]
        return [*found, _checks(path, shape[3])]


def _written(path: Path, header: str, form: str, sep: str) -> Path:
    "A million minutes of sessions of one product."
    import pandas as pd

    from futures_algo.core.sessions import SessionCalendar

    segments = SessionCalendar.of("ES").segments(to_nanos("2021-07-01T00:00Z"), to_nanos("2024-10-01T00:00Z"))
    starts = np.concatenate([np.arange(one.open, one.close, MINUTE) for one in segments])[:_ROWS]
    chance = np.random.default_rng(3)
    close = 20_000 + chance.integers(-2, 3, len(starts)).cumsum()
    open = np.append(20_000, close[:-1])
    columns = [open / 4, (np.maximum(open, close) + 1) / 4, (np.minimum(open, close) - 1) / 4, close / 4]
    times = pd.DatetimeIndex(starts + (MINUTE if sep == ";" and not header else 0))
    texts = (starts // 10**9).astype(str) if form == "%s" else times.strftime(form)
    frame = pd.DataFrame(
        {
            "time": texts,
            **{str(at): column for at, column in enumerate(columns)},
            "volume": chance.integers(1, 2_000, len(starts)),
        }
    )
    lines = frame.to_csv(sep="\x1f", header=False, index=False, float_format="%.2f").replace("\x1f", sep)
    path.write_text((header + "\n" if header else "") + lines)
    return path


def _speed(name: str, path: Path, options: dict) -> dict:
    best = min(_seconds(lambda: read_csv(path, "ES.c.0", **options)) for _ in range(_ROUNDS))
    return _row(f"CSV to bars ({name})", _ROWS / best, "rows/s of processor time", ">= 1 M rows/s", _ROWS / best >= 1e6)


def _memory(name: str, path: Path, options: dict) -> dict:
    "Growth of a fresh process beyond one that has read a few rows."
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(path), repr(options)], capture_output=True, text=True, check=True
    )
    times = int(done.stdout) / path.stat().st_size
    return _row(f"peak memory, CSV to bars ({name})", times, "x the file", "<= 3 x", times <= 3.0)


_MEASURE = """
import ast, sys
from pathlib import Path
from futures_algo.history.csv_parquet import read_csv
path, options = Path(sys.argv[1]), ast.literal_eval(sys.argv[2])
small = path.with_name("small.csv")
with path.open() as whole:
    small.write_text("".join(next(whole) for _ in range(2_000)))
read_csv(small, "ES.c.0", **options)
peak = lambda: next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
before = peak()
bars = read_csv(path, "ES.c.0", **options)
print(peak() - before)
"""


def _checks(path: Path, options: dict) -> dict:
    bars = read_csv(path, "ES.c.0", **options)
    whole, half = (
        min(_seconds(partial(validate_bars, part)) for _ in range(_ROUNDS)) for part in (bars, bars[: _ROWS // 2])
    )
    return _row(
        "checks of a million rows against half of them", whole / half, "x the time", "<= 2.6 x", whole / half <= 2.6
    )


def _seconds(work: Callable[[], object]) -> float:
    "Processor time of all threads: what a neighbour on the machine does is not in it."
    began = time.process_time()
    work()
    return time.process_time() - began


def _row(metric: str, value: float, unit: str, target: str, met: bool) -> dict:
    return {
        "metric": metric, "value": value, "unit": unit, "peer": "", "peer_value": None, "ratio": None, "target": target,
        "met": bool(met),
    }  # fmt: skip
