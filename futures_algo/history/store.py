"""Bars kept on disk as Parquet, a month a file, so that nothing is paid for twice."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from futures_algo.core.dbn import SCHEMA_STEP, replacing
from futures_algo.core.named import did_you_mean
from futures_algo.core.types import MINUTE, SECOND, Bars, DataError, InputError, Timeframe
from futures_algo.history.checks import Gap, find_gaps


class Range(NamedTuple):
    "Time from `start` (inclusive) to `end` (exclusive), ns UTC."

    start: int
    end: int


def union(ranges: Iterable[tuple[int, int]]) -> list[Range]:
    "The same time in as few ranges as possible, in order."
    found: list[Range] = []
    for start, end in sorted(ranges):
        if found and start <= found[-1].end:
            found[-1] = Range(found[-1].start, max(found[-1].end, end))
        elif start < end:
            found.append(Range(start, end))
    return found


def without(
    whole: tuple[int, int],
    covered: Iterable[tuple[int, int]],
) -> list[Range]:
    "What of a range is not covered."
    at, end = whole
    found: list[Range] = []
    for start, until in union(covered):
        if at < min(start, end):
            found.append(Range(at, min(start, end)))
        at = max(at, until)
    return found + ([Range(at, end)] if at < end else [])


def _month(when: int) -> str:
    return str(np.datetime64(when, "ns").astype("M8[M]"))


def by_month(start: int, end: int) -> Iterator[tuple[str, Range]]:
    "A range cut at the first of every month, UTC."
    while start < end:
        month = np.datetime64(start, "ns").astype("M8[M]")
        until = min(end, int((month + np.timedelta64(1, "M")).astype("M8[ns]").astype(np.int64)))
        yield str(month), Range(start, until)
        start = until


_PRICES = ("open", "high", "low", "close")


class Written(NamedTuple):
    "What `BarStore.write` did."

    added: int  # rows that were not there
    duplicates: int  # rows that were there already, equal in every column
    months: list[str]  # files written


class BarStore:
    "A folder of bars by dataset, schema, symbol and month."

    def __init__(
        self,
        folder: "Path | str",  # made when something is written
        dataset: str = "GLBX.MDP3",
    ):
        self.folder, self.dataset = Path(folder), dataset

    def __repr__(self) -> str:
        return f"BarStore({str(self.folder)!r}, {self.dataset!r})"

    def path(self, symbol: str, schema: str, month: str) -> Path:
        "Where a month is kept."
        step_of(schema)
        return self.folder / f"dataset={self.dataset}" / f"schema={schema}" / f"symbol={symbol}" / f"{month}.parquet"

    def series(self) -> list[tuple[str, str]]:
        "Symbol and schema of everything kept."
        folders = self.folder.glob(f"dataset={self.dataset}/schema=*/symbol=*")
        return sorted(
            (folder.name.removeprefix("symbol="), folder.parent.name.removeprefix("schema=")) for folder in folders
        )

    def write(
        self,
        bars: Bars,
        # the range the bars are complete for; from the first to the last of them by default
        covered: "tuple[int, int] | None" = None,
        *,
        replace: bool = False,  # a row that differs from the kept one takes its place instead of being refused
    ) -> Written:
        """Merge bars into their months; a row kept already is skipped, one that contradicts it is refused before
        anything is written."""
        if len(bars) and np.any(np.diff(bars.start) <= 0):
            raise DataError(
                "bars", bars.symbol, "must be in order of time, each time once", "validate_bars names the rows"
            )
        covered = covered or ((int(bars.start[0]), int(bars.end[-1])) if len(bars) else (0, 0))
        if len(bars) and not covered[0] <= bars.start[0] < bars.start[-1] + 1 <= covered[1]:
            raise InputError("covered", covered, "must span the bars")
        merged = [self._merge(bars, month, part, replace) for month, part in by_month(*covered)]
        for month, table, _, _ in merged:
            self._save(self.path(bars.symbol, schema_of(bars.timeframe), month), table)
        return Written(sum(m[2] for m in merged), sum(m[3] for m in merged), [m[0] for m in merged])

    def _merge(self, bars: Bars, month: str, part: Range, replace: bool) -> tuple[str, Any, int, int]:
        "Month, its new table, and how many rows are new and how many were there."
        import pandas as pd

        path = self.path(bars.symbol, schema_of(bars.timeframe), month)
        kept, ranges = _load(path)
        new = _frame(bars[(bars.start >= part.start) & (bars.start < part.end)])
        again = new.index.intersection(kept.index)
        if len(again) and not replace:
            _refuse_contradiction(kept.loc[again], new.loc[again], path)
        whole = pd.concat([kept.drop(again) if replace else kept, new if replace else new.drop(again)]).sort_index()
        return month, _table(whole, union([*ranges, part])), len(new) - len(again), len(again)

    def _save(self, path: Path, table: Any) -> None:
        from pyarrow import parquet

        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as draft:
            parquet.write_table(table, draft, compression="zstd")

    def read(
        self,
        symbol: str,  # "ES.c.0"
        schema: str = "ohlcv-1m",
        start: int | None = None,  # ns UTC; everything kept by default
        end: int | None = None,  # exclusive
    ) -> Bars:
        "The bars kept for a range; ask `missing` whether it was ever fetched."
        import pandas as pd

        low, high = _month(start) if start is not None else "", _month(end - 1) if end is not None else "~"
        frames = [_load(path)[0] for path in self._files(symbol, schema) if low <= path.stem <= high]
        if not frames:
            raise DataError(
                "symbol",
                symbol,
                f"must have {schema} bars in the store for these dates",
                f"it keeps {self.series()}; fetch them first",
                str(self.folder),
            )
        whole = pd.concat(frames)
        whole = whole[
            (whole.index >= (start if start is not None else 0))
            & (whole.index < (end if end is not None else 2**63 - 1))
        ]
        return _bars(whole, symbol, Timeframe(f"{step_of(schema) // SECOND}s"))

    def _files(self, symbol: str, schema: str) -> list[Path]:
        return sorted(self.path(symbol, schema, "x").parent.glob("????-??.parquet"))

    def covered(self, symbol: str, schema: str) -> list[Range]:
        "What was fetched."
        return union(range for path in self._files(symbol, schema) for range in _load(path, rows=False)[1])

    def missing(self, symbol: str, schema: str, start: int, end: int) -> list[Range]:
        "What of a range was never fetched."
        return without((start, end), self.covered(symbol, schema))

    def gaps(self, symbol: str, schema: str) -> list[Gap]:
        "Trading time inside what is kept for which there is no bar, fetched or not."
        return find_gaps(self.read(symbol, schema))


def schema_of(timeframe: Timeframe) -> str:
    "The DBN schema of a timeframe, or a name of the same form where DBN has none: ohlcv-5m, ohlcv-30s."
    step = Timeframe(timeframe).nanos
    for schema, nanos in SCHEMA_STEP.items():
        if nanos == step:
            return schema
    seconds = step // SECOND
    return f"ohlcv-{seconds}s" if seconds % 60 else f"ohlcv-{seconds // 60}m"


_OTHER_SCHEMA = re.compile(r"ohlcv-([1-9]\d*)([sm])")


def step_of(schema: str) -> int:
    "Nanoseconds of a schema's bars, DBN's or of the same form."
    if schema in SCHEMA_STEP:
        return SCHEMA_STEP[schema]
    if not (match := _OTHER_SCHEMA.fullmatch(schema)):
        raise InputError("schema", schema, "must be a schema of bars", did_you_mean(schema, SCHEMA_STEP))
    return int(match[1]) * (SECOND if match[2] == "s" else MINUTE)


def _frame(bars: Bars) -> Any:
    "Bars as a table indexed by start in ns."
    import pandas as pd

    columns = {name: getattr(bars, name) for name in (*_PRICES, "volume")}
    return pd.DataFrame(
        columns | {"contract": np.array(bars.contracts, object)[bars.contract]},
        index=pd.Index(bars.start, name="start"),
    )


def _bars(frame: Any, symbol: str, timeframe: Timeframe) -> Bars:
    codes, names = frame["contract"].factorize()
    start = frame.index.to_numpy(np.int64)
    return Bars(
        symbol,
        timeframe,
        start,
        start + timeframe.nanos,
        volume=frame["volume"].to_numpy(np.int64),
        contract=codes.astype(np.int32),
        contracts=tuple(names) or ("",),
        **{name: frame[name].to_numpy(np.float64) for name in _PRICES},
    )


def _table(frame: Any, ranges: list[Range]) -> Any:
    "An Arrow table whose metadata says which ranges it is complete for."
    import pyarrow

    stamps = pyarrow.array(frame.index.to_numpy(np.int64), pyarrow.int64()).cast(pyarrow.timestamp("ns", "UTC"))
    table = pyarrow.Table.from_pandas(frame, preserve_index=False).add_column(0, "start", stamps)
    return table.replace_schema_metadata({"covered": json.dumps(ranges)})


def _load(path: Path, rows: bool = True) -> tuple[Any, list[Range]]:
    "A month's rows (none when there is no file yet, or when they are not asked for) and the ranges it is complete for."
    import pandas as pd
    from pyarrow import parquet

    if not path.exists():
        return _frame(Bars.from_bars([])), []
    try:
        ranges = [Range(*pair) for pair in json.loads(parquet.read_schema(path).metadata[b"covered"])]
        table = parquet.read_table(path, partitioning=None) if rows else None
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            "file",
            path.name,
            "must be a month this store wrote",
            f"{error}; remove it and fetch the month again",
            str(path),
        ) from None
    if table is None:
        return None, ranges
    frame = table.to_pandas()
    return (
        frame.set_index(
            pd.Index(frame.pop("start").dt.as_unit("ns").to_numpy("M8[ns]").astype(np.int64), name="start")
        ),
        ranges,
    )


def _refuse_contradiction(kept: Any, new: Any, path: Path) -> None:
    "Two sources of one bar must agree in every column."
    differ = (kept != new).to_numpy()
    if not differ.any():
        return
    row, column = (int(index[0]) for index in np.nonzero(differ))
    more = f", as must {count} more rows" if (count := int(differ.any(axis=1).sum()) - 1) else ""
    raise DataError(
        str(new.columns[column]),
        new.iat[row, column],
        f"must equal the one kept, {kept.iat[row, column]!r}{more}",
        "find out which is right, then write with replace=True",
        f"{path}: {np.datetime64(int(kept.index[row]), 'ns')}",
    )
