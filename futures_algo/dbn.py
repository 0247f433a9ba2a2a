"""The DBN file as arrays: one home for the wire layout of an OHLCV record, one reader, one writer.

The layout is our own constant on purpose. `databento` keeps it in a list shared by the whole process and appends `ts_out` to that list
when somebody reads a live recording, after which it reads every ordinary file with the wrong row length.
"""
import datetime as dt
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from futures_algo.core import DAY, HOUR, MINUTE, SECOND, DataError, did_you_mean

OHLCV_DTYPE = np.dtype([
    ("length", "u1"),           # record length in words of four bytes: 14
    ("rtype", "u1"),            # 32 second, 33 minute, 34 hour, 35 day
    ("publisher_id", "<u2"),    # 1 for GLBX.MDP3
    ("instrument_id", "<u4"),
    ("ts_event", "<u8"),        # ns UTC, start of the interval
    ("open", "<i8"), ("high", "<i8"), ("low", "<i8"), ("close", "<i8"),   # 1e-9 points
    ("volume", "<u8"),          # contracts
])
SCHEMA_STEP = {"ohlcv-1s": SECOND, "ohlcv-1m": MINUTE, "ohlcv-1h": HOUR, "ohlcv-1d": DAY}   # ns an interval
SCHEMA_RTYPE = {"ohlcv-1s": 32, "ohlcv-1m": 33, "ohlcv-1h": 34, "ohlcv-1d": 35}
PRICE_SCALE = 1e9               # price in points = raw / PRICE_SCALE; a division, so it equals parsing the decimal text
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_READ_SIZE = 1 << 20


class SymbolInterval(NamedTuple):
    "Which instrument a symbol meant over `[start, end)` dates."
    start: dt.date
    end: dt.date
    instrument_id: int


class Records(NamedTuple):
    "What a DBN file of bars holds."
    rows: np.ndarray                                   # OHLCV_DTYPE, in file order
    mappings: dict[str, tuple[SymbolInterval, ...]]    # "ES.c.0" -> which instrument on which dates
    schema: str                                        # "ohlcv-1s"
    dataset: str                                       # "GLBX.MDP3"


def read_records(
    path: "Path | str",  # DBN version 1 to 3, plain or zstd
) -> Records:
    "The bars of a DBN file as they lie on the wire, with the file's symbol mappings; a truncated file is refused."
    from databento_dbn import Metadata
    data = _content(path)
    if data[:3] != b"DBN": raise DataError("file", bytes(data[:4]), "must be DBN", "use read_csv or read_parquet for other formats", str(path))
    header = 8 + int.from_bytes(data[4:8], "little")
    metadata = Metadata.decode(bytes(data[:header]))
    schema = str(metadata.schema) if metadata.schema is not None else "a live recording"
    if schema not in SCHEMA_STEP:
        raise DataError("schema", schema, "must be a schema of bars", did_you_mean(schema, SCHEMA_STEP), str(path))
    return Records(_rows(data, header, metadata.ts_out, path), _mappings(metadata.mappings), schema, metadata.dataset)


def _content(path: "Path | str") -> bytearray:
    "The file's bytes, decompressed; frames may follow each other, and each must end."
    import zstandard
    data, inflater = bytearray(), None
    with open(path, "rb") as file:
        while chunk := file.read(_READ_SIZE):
            if not data and inflater is None and not chunk.startswith(_ZSTD_MAGIC): return bytearray(chunk + file.read())
            while chunk:
                if inflater is None or inflater.eof: inflater = zstandard.ZstdDecompressor().decompressobj()
                data += inflater.decompress(chunk)
                chunk = inflater.unused_data
    if inflater is not None and not inflater.eof:
        raise DataError("file", Path(path).name, "must end with a whole zstd frame", "it is truncated: fetch it again", str(path))
    return data


def _rows(data: bytearray, header: int, ts_out: bool, path: "Path | str") -> np.ndarray:
    layout = np.dtype([*OHLCV_DTYPE.descr, ("ts_out", "<u8")]) if ts_out else OHLCV_DTYPE
    left = (len(data) - header) % layout.itemsize
    if left:
        raise DataError("file", Path(path).name, f"must hold whole records, and {left} bytes are left over", "it is truncated: fetch it again", str(path))
    rows = np.frombuffer(data, layout, offset=header)
    odd = np.flatnonzero(rows["length"] != layout.itemsize // 4)
    if len(odd): raise DataError("record", int(odd[0]), f"must be a bar of {layout.itemsize} bytes", "the file mixes record types", f"{path}: row {odd[0]}")
    return rows[list(OHLCV_DTYPE.names)].astype(OHLCV_DTYPE) if ts_out else rows


def _mappings(mappings: Mapping[str, list]) -> dict[str, tuple[SymbolInterval, ...]]:
    read = lambda row: SymbolInterval(row["start_date"], row["end_date"], int(row["symbol"]))
    return {symbol: tuple(map(read, rows)) for symbol, rows in mappings.items() if all(row["symbol"].isdigit() for row in rows)}


def write_records(
    path: "Path | str",                                     # "x.dbn" plain, "x.dbn.zst" compressed
    rows: np.ndarray,                                       # OHLCV_DTYPE, ordered by ts_event
    mappings: Mapping[str, Iterable[SymbolInterval]],       # symbol -> instrument by dates; raw symbols may stand beside continuous ones
    schema: str = "ohlcv-1s",
    dataset: str = "GLBX.MDP3",
) -> None:
    "Write bars as a DBN version 3 file that Databento's tools read; of two names for an instrument its `to_df` shows either."
    import zstandard
    from databento_dbn import Metadata, Schema, SType
    start, end = (int(rows["ts_event"][0]), int(rows["ts_event"][-1]) + SCHEMA_STEP[schema]) if len(rows) else (0, 0)
    listed = [SimpleNamespace(raw_symbol=symbol, intervals=[SimpleNamespace(start_date=i.start, end_date=i.end, symbol=str(i.instrument_id)) for i in intervals])
              for symbol, intervals in mappings.items()]
    metadata = Metadata(dataset=dataset, start=start, end=end, schema=Schema.from_str(schema), stype_in=SType.CONTINUOUS, stype_out=SType.INSTRUMENT_ID,
                        symbols=list(mappings), partial=[], not_found=[], mappings=listed, limit=None, ts_out=False, version=3)
    content = metadata.encode() + np.ascontiguousarray(rows, OHLCV_DTYPE).tobytes()
    if str(path).endswith(".zst"): content = zstandard.ZstdCompressor(write_checksum=True).compress(content)
    Path(path).write_bytes(content)


def contract_names(mappings: Mapping[str, Iterable[SymbolInterval]]) -> dict[int, str]:
    "Instrument id -> dated contract, from the mappings whose symbol is a contract rather than a continuous symbol."
    return {interval.instrument_id: symbol for symbol, intervals in mappings.items() if "." not in symbol for interval in intervals}
