"""The DBN file as arrays: one home for the wire layout of an OHLCV record, one reader, one writer.

The layout is our own constant on purpose. `databento` keeps it in a list shared by the whole process and appends
`ts_out` to that list
when somebody reads a live recording, after which it reads every ordinary file with the wrong row length.
"""

import contextlib
import datetime as dt
import itertools
import os
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from futures_algo.core.named import did_you_mean
from futures_algo.core.types import DAY, HOUR, MINUTE, SECOND, DataError

OHLCV_DTYPE = np.dtype(
    [
        ("length", "u1"),  # record length in words of four bytes: 14
        ("rtype", "u1"),  # 32 second, 33 minute, 34 hour, 35 day
        ("publisher_id", "<u2"),  # 1 for GLBX.MDP3
        ("instrument_id", "<u4"),
        ("ts_event", "<u8"),  # ns UTC, start of the interval
        ("open", "<i8"),
        ("high", "<i8"),
        ("low", "<i8"),
        ("close", "<i8"),  # 1e-9 points
        ("volume", "<u8"),  # contracts
    ]
)
SCHEMA_STEP = {"ohlcv-1s": SECOND, "ohlcv-1m": MINUTE, "ohlcv-1h": HOUR, "ohlcv-1d": DAY}  # ns an interval
SCHEMA_RTYPE = {"ohlcv-1s": 32, "ohlcv-1m": 33, "ohlcv-1h": 34, "ohlcv-1d": 35}
PRICE_SCALE = 1e9  # price in points = raw / PRICE_SCALE; a division, so it equals parsing the decimal text
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_READ_SIZE = 1 << 17  # bytes; small enough for what it inflates to to stay in the cache


class SymbolInterval(NamedTuple):
    "Which instrument a symbol meant over `[start, end)` dates."

    start: dt.date
    end: dt.date
    instrument_id: int


class Header(NamedTuple):
    "What stands at the head of a DBN file of bars."

    schema: str  # "ohlcv-1s"
    dataset: str  # "GLBX.MDP3"
    mappings: dict[str, tuple[SymbolInterval, ...]]  # "ES.c.0" -> which instrument on which dates
    ts_out: bool  # every record carries the gateway's send time
    version: int  # of DBN, 1 to 3


class Records(NamedTuple):
    "What a DBN file of bars holds."

    rows: np.ndarray  # OHLCV_DTYPE, in file order
    mappings: dict[str, tuple[SymbolInterval, ...]]
    schema: str
    dataset: str


def read_records(
    path: "Path | str",  # DBN version 1 to 3, plain or zstd
) -> Records:
    "The bars of a DBN file as they lie on the wire, with the file's symbol mappings; a truncated file is refused."
    header, blocks = stream_records(path)
    rows = np.concatenate([np.empty(0, OHLCV_DTYPE), *blocks])
    return Records(rows, header.mappings, header.schema, header.dataset)


def stream_records(
    path: "Path | str",  # DBN version 1 to 3, plain or zstd
) -> tuple[Header, Iterator[np.ndarray]]:
    "The header of a DBN file of bars and its rows in blocks, so that a large file never stands in memory whole."
    chunks = _chunks(path)
    data = bytearray(next(chunks, b""))
    if data[:3] != b"DBN":
        raise DataError(
            "file",
            str(path),
            "must be DBN",
            "bring CSV and Parquet in with futures-algo import, or read_csv and read_parquet",
        )
    length = 8 + int.from_bytes(data[4:8], "little")
    while len(data) < length:
        if not (more := next(chunks, b"")):
            raise _truncated(path, f"a header of {length} bytes")
        data += more
    header = _header(bytes(data[:length]), path)
    return header, _rows(chunks, data[length:], header.ts_out, path)


def _chunks(path: "Path | str") -> Iterator[bytes]:
    "The file's bytes piece by piece, decompressed; frames may follow each other, and each must end."
    import zstandard

    inflater = None
    with _open(path) as file:
        first = file.read(_READ_SIZE)
        compressed = first.startswith(_ZSTD_MAGIC)
        for chunk in itertools.chain((first,), iter(lambda: file.read(_READ_SIZE), b"")):
            if not compressed:
                yield chunk
            while compressed and chunk:
                if inflater is None or inflater.eof:
                    inflater = zstandard.ZstdDecompressor().decompressobj()
                try:
                    plain = inflater.decompress(chunk)
                except zstandard.ZstdError as error:
                    raise DataError(
                        "file",
                        Path(path).name,
                        "must be whole zstd frames",
                        f"it is damaged ({error}): fetch it again",
                        str(path),
                    ) from None
                if plain:
                    yield plain
                chunk = inflater.unused_data
    if inflater is not None and not inflater.eof:
        raise _truncated(path, "a whole zstd frame at its end")


def _open(path: "Path | str") -> BinaryIO:
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise DataError(
            "file", str(path), f"must be a file that can be read ({error.strerror})", "check the path"
        ) from None


def _truncated(path: "Path | str", missing: str) -> DataError:
    return DataError("file", Path(path).name, f"must hold {missing}", "it is truncated: fetch it again", str(path))


def _header(content: bytes, path: "Path | str") -> Header:
    from databento_dbn import DBNError, Metadata

    try:
        metadata = Metadata.decode(content)
        mappings = symbol_intervals(metadata.mappings)
    except (DBNError, ValueError) as error:  # ValueError: a date that is none
        raise DataError(
            "file",
            Path(path).name,
            "must begin with a sound DBN header",
            f"it is damaged ({error}): fetch it again",
            str(path),
        ) from None
    if metadata.schema is None:
        raise DataError(
            "schema",
            "a live recording",
            "must be a schema of bars",
            "read it with DataAdapter().bars(databento.DBNStore.from_file(path))",
            str(path),
        )
    schema = str(metadata.schema)
    if schema not in SCHEMA_STEP:
        raise DataError("schema", schema, "must be a schema of bars", did_you_mean(schema, SCHEMA_STEP), str(path))
    return Header(schema, metadata.dataset, mappings, metadata.ts_out, metadata.version)


def _rows(chunks: Iterator[bytes], left: bytearray, ts_out: bool, path: "Path | str") -> Iterator[np.ndarray]:
    "Whole records, a block at a time; what a block cuts off leads the next."
    layout = np.dtype([*OHLCV_DTYPE.descr, ("ts_out", "<u8")]) if ts_out else OHLCV_DTYPE
    count = 0
    for chunk in itertools.chain((b"",), chunks):
        left += chunk
        whole = len(left) // layout.itemsize * layout.itemsize
        rows = np.frombuffer(bytes(left[:whole]), layout)
        odd = np.flatnonzero(rows["length"] != layout.itemsize // 4)
        if len(odd):
            raise DataError(
                "record",
                count + int(odd[0]),
                f"must be a bar of {layout.itemsize} bytes",
                "the file mixes record types",
                f"{path}: row {count + odd[0]}",
            )
        if len(rows):
            yield rows[list(OHLCV_DTYPE.names or ())].astype(OHLCV_DTYPE) if ts_out else rows
        left, count = left[whole:], count + len(rows)
    if left:
        raise DataError(
            "file",
            Path(path).name,
            f"must hold whole records, and {len(left)} bytes are left over",
            "it is truncated: fetch it again",
            str(path),
        )


def symbol_intervals(
    mappings: Mapping[
        str, Sequence[Mapping[str, Any]]
    ],  # as `databento` gives them: symbol -> [{"start_date", "end_date", "symbol"}]
) -> dict[str, tuple[SymbolInterval, ...]]:
    "Symbol -> which instrument on which dates; a symbol that did not resolve is left out."
    read = lambda row: SymbolInterval(row["start_date"], row["end_date"], int(row["symbol"]))
    return {
        symbol: tuple(map(read, rows))
        for symbol, rows in mappings.items()
        if all(row["symbol"].isdigit() for row in rows)
    }


def write_records(
    path: "Path | str",  # "x.dbn" plain, "x.dbn.zst" compressed
    rows: np.ndarray,  # OHLCV_DTYPE, ordered by ts_event
    mappings: Mapping[
        str, Iterable[SymbolInterval]
    ],  # symbol -> instrument by dates; raw symbols may stand beside continuous ones
    schema: str = "ohlcv-1s",
    dataset: str = "GLBX.MDP3",
) -> None:
    """Write bars as a DBN version 3 file that Databento's tools read; of two names for an instrument its `to_df` shows
    either."""
    import zstandard
    from databento_dbn import Metadata, Schema, SType

    start, end = (int(rows["ts_event"][0]), int(rows["ts_event"][-1]) + SCHEMA_STEP[schema]) if len(rows) else (0, 0)
    listed = [
        SimpleNamespace(
            raw_symbol=symbol,
            intervals=[
                SimpleNamespace(start_date=i.start, end_date=i.end, symbol=str(i.instrument_id)) for i in intervals
            ],
        )
        for symbol, intervals in mappings.items()
    ]
    metadata = Metadata(
        dataset=dataset,
        start=start,
        end=end,
        schema=Schema.from_str(schema),
        stype_in=SType.from_str("continuous"),
        stype_out=SType.from_str("instrument_id"),
        symbols=list(mappings),
        partial=[],
        not_found=[],
        mappings=listed,
        limit=None,
        ts_out=False,
        version=3,
    )
    content = metadata.encode() + np.ascontiguousarray(rows, OHLCV_DTYPE).tobytes()
    if str(path).endswith(".zst"):
        content = zstandard.ZstdCompressor(write_checksum=True).compress(content)
    with replacing(path) as draft:
        draft.write_bytes(content)


@contextlib.contextmanager
def replacing(path: "Path | str") -> Iterator[Path]:
    """A file beside `path` to write to; it takes the path's place when the block ends well and vanishes when it does
    not."""
    path = Path(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
    try:
        yield draft
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def contract_names(mappings: Mapping[str, Iterable[SymbolInterval]]) -> dict[int, str]:
    "Instrument id -> dated contract, from the mappings whose symbol is a contract rather than a continuous symbol."
    return {
        interval.instrument_id: symbol
        for symbol, intervals in mappings.items()
        if "." not in symbol
        for interval in intervals
    }


def stable_id(
    contract: str,  # dated contract: "ESZ5"
) -> int:  # 1..2**31-1, the same on every machine
    "An instrument id for a contract to which no exchange gave one."
    return zlib.crc32(contract.encode()) & 0x7FFFFFFF or 1
