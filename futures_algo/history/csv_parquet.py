"""Bars out of CSV and Parquet files, whatever their vendor calls things."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from futures_algo.core.types import Bars, DataError
from futures_algo.history.checks import refuse_faults
from futures_algo.history.columns import PRICES, Table, find_columns, positions
from futures_algo.history.detect import Layout, layout_of
from futures_algo.history.formats import Reading
from futures_algo.history.table import bars_of_table

TEXT_ENDINGS = (
    ".csv",
    ".csv.gz",
    ".csv.zst",
    ".csv.bz2",
    ".txt",
    ".txt.gz",
    ".tsv",
    ".tsv.gz",
    ".dat",
    ".asc",
    ".scid.txt",
)


class Read(NamedTuple):
    "A file as it was understood."

    bars: Bars
    notes: tuple[str, ...]  # what was recognised, and by what
    layout: Layout | None  # of a text file


def read_csv(
    path: "Path | str",  # .csv, .txt, .tsv; .gz, .zst and .bz2 of them
    symbol: str,  # feed symbol the bars are of: "NQ.c.0"
    reading: Reading | None = None,  # what is known of the file
    *,
    check: bool = True,  # refuse unsorted, duplicate and impossible rows
    **options: Any,  # fields of `Reading`, over it: tz="America/New_York", format="ninjatrader"
) -> Bars:
    "The bars of a text file; what can mean two things is an error that shows both."
    return read_text(path, symbol, Reading.of(reading, **options), check).bars


def read_parquet(
    path: "Path | str",
    symbol: str = "",  # the one the file names by default
    reading: Reading | None = None,
    *,
    check: bool = True,
    **options: Any,
) -> Bars:
    "The bars of a Parquet file; the parameters are those of `read_csv`, the time may be its index."
    return read_arrow(path, symbol, Reading.of(reading, **options), check).bars


def bars_from_frame(
    frame: Any,  # pd.DataFrame, the time in a column or as index
    symbol: str,
    reading: Reading | None = None,
    *,
    check: bool = True,
    path: str = "",  # named in errors
    **options: Any,
) -> Bars:
    "Bars from a table; the parameters are those of `read_csv`."
    return _of_frame(frame, symbol, Reading.of(reading, **options), check, path).bars


def read_text(path: "Path | str", symbol: str, reading: Reading, check: bool = True) -> Read:
    "A text file with what was recognised in it."
    layout = layout_of(path, reading)
    first: list[str] = []
    if not layout.header and not (layout.format and layout.cells == 6):
        first = _first_cells(path, layout)
    where = dict(reading.columns or {})
    told = positions(first, layout.names) if first else {}
    given = {ours: layout.names[at] for ours, at in told.items()} | where if told else where
    if "time" in where and "date" in given:
        given.pop("date")
        given.pop("clock", None)
    found = find_columns(layout.names, given, layout.format, layout.header, str(path))
    table = Table(_columns(path, layout, found, reading), [layout.names[at] for at in found.values()], True)
    return _finish(table, symbol, reading, layout, check, str(path))


def _columns(path: "Path | str", layout: Layout, found: Mapping[str, int], reading: Reading) -> dict[str, Any]:
    "Columns by our names: plain numbers as such, which saves their texts, all others as they are written."
    wanted = sorted(set(found.values()))
    plain = {found[name] for name in (*PRICES, "volume") if name in found} if _is_plain(reading, layout) else set()
    try:
        columns = _load(path, layout, wanted, numbers=plain)
        if plain and _could_be_grouped(columns[found["open"]]):
            columns = _load(path, layout, wanted)
    except DataError:
        if not plain:
            raise
        columns = _load(path, layout, wanted)
    return {ours: columns.pop(at) if list(found.values()).count(at) == 1 else columns[at] for ours, at in found.items()}


def _is_plain(reading: Reading, layout: Layout) -> bool:
    return not (reading.decimal or reading.thousands or layout.sep == " ")


def _could_be_grouped(opens: Any) -> bool:
    "Only prices below 1000 can be thousands behind a point; their texts are looked at."
    import pyarrow.compute as pc

    highest = pc.max(opens).as_py()
    return highest is None or not highest >= 1000


def _finish(table: Table, symbol: str, reading: Reading, layout: Layout | None, check: bool, path: str) -> Read:
    bars, notes = bars_of_table(table, symbol, reading, layout.format if layout else "", check, path)
    if check:
        refuse_faults(bars, path, reading.accept)
    return Read(bars, (*(layout.why if layout else ()), *notes), layout)


def _first_cells(path: "Path | str", layout: Layout) -> list[str]:
    columns = _load(path, layout, range(layout.cells), rows=1)
    return [columns[at][0].as_py() if len(columns[at]) else "" for at in range(layout.cells)]


def _load(
    path: "Path | str", layout: Layout, wanted: Any, rows: int | None = None, numbers: Collection[int] = ()
) -> dict[int, Any]:
    "Columns by position as Arrow texts, some as numbers."
    import pyarrow as pa
    from pyarrow import csv

    names = [str(at) for at in range(layout.cells)]
    keep = [str(at) for at in wanted]
    convert = csv.ConvertOptions(
        column_types={name: pa.float64() if int(name) in numbers else pa.string() for name in names},
        include_columns=keep,
        strings_can_be_null=False,
        null_values=[],
    )
    read = csv.ReadOptions(
        column_names=names, skip_rows=layout.skip, encoding=layout.encoding, use_threads=True, block_size=1 << 20
    )
    parse = csv.ParseOptions(delimiter=layout.sep)
    try:
        if layout.sep == " ":
            return _spaced(path, layout, keep)
        with pa.input_stream(str(path)) as stream:
            if rows is not None:
                with csv.open_csv(stream, read, parse, convert) as batches:
                    table = pa.Table.from_batches([batches.read_next_batch()])
            else:
                table = csv.read_csv(stream, read, parse, convert)
    except (pa.ArrowInvalid, UnicodeDecodeError, StopIteration, OSError) as error:
        text = str(error).strip().replace("\n", " ")[:300] or "it holds no rows"
        remedy = "name its encoding with --encoding" if "UTF" in text or "codec" in text else "correct the row it names"
        raise DataError(
            "file", Path(path).name, f"must be rows of {layout.cells} cells: {text}", remedy, str(path)
        ) from None
    return {at: table.column(str(at)) for at in wanted}


def _spaced(path: "Path | str", layout: Layout, keep: list[str]) -> dict[int, Any]:
    "Cells with any number of spaces between."
    import pyarrow as pa

    with pa.input_stream(str(path)) as stream:
        lines = stream.read().decode(layout.encoding).splitlines()[layout.skip :]
    rows = [line.split() for line in lines if line.strip()]
    for row, cells in enumerate(rows):
        if len(cells) != layout.cells:
            raise DataError(
                "row", " ".join(cells)[:80], f"must have {layout.cells} cells", "correct the row", f"{path}: row {row}"
            )
    return {int(at): pa.chunked_array([[cells[int(at)] for cells in rows]], pa.string()) for at in keep}


def read_arrow(path: "Path | str", symbol: str, reading: Reading, check: bool = True) -> Read:
    "A Parquet file with what was recognised in it."
    import pandas as pd
    import pyarrow

    try:
        frame = pd.read_parquet(path)
    except OSError as error:
        reason = error.strerror or error
        raise DataError("file", str(path), f"must be a file that can be read ({reason})", "check the path") from None
    except pyarrow.ArrowInvalid as error:
        raise DataError("file", Path(path).name, "must be Parquet", str(error), str(path)) from None
    kept = frame.attrs.get("futures_algo") or _kept_facts(path)
    symbol = symbol or kept.get("symbol", "")
    if not symbol:
        raise DataError(
            "symbol", "none", "must be given for a file that does not name one", "write NQ.c.0=FILE", str(path)
        )
    if kept and reading.timeframe is None:
        reading = Reading.of(reading, timeframe=kept["timeframe"], stamp=reading.stamp or "start")
    return _of_frame(frame, symbol, reading, check, str(path))


def _kept_facts(path: "Path | str") -> Mapping[str, str]:
    "What `import` wrote beside the rows."
    import json

    from pyarrow import parquet

    found = (parquet.read_schema(path).metadata or {}).get(b"futures_algo")
    return json.loads(found) if found else {}


def _of_frame(frame: Any, symbol: str, reading: Reading, check: bool, path: str) -> Read:
    if frame.index.name is not None or frame.index.dtype.kind == "M":
        frame = frame.reset_index(names=frame.index.name or "time")
    names = [str(name) for name in frame.columns]
    found = find_columns(names, dict(reading.columns or {}), reading.format, True, path)
    columns = {ours: frame.iloc[:, at] for ours, at in found.items()}
    return _finish(Table(columns, [names[at] for at in found.values()], False), symbol, reading, None, check, path)
