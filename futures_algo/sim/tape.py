"""Recorded bars of one schema, cut into what Databento's wire would carry: the bars of each interval, then its end-of-
interval marker."""

import datetime as dt
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from futures_algo.core.dbn import OHLCV_DTYPE, SCHEMA_STEP, SymbolInterval, contract_names, read_records
from futures_algo.core.types import DataError

ALWAYS = (0, 2**63 - 1)  # ns, bounds of a mapping that never changes
_BAR_WORDS = OHLCV_DTYPE.itemsize // 8


def midnight(day: dt.date) -> int:
    "Start of a UTC date, ns."
    return int(np.datetime64(day, "ns").astype(np.int64))


class Tape:
    "Bars of one schema from one or several files, ordered by time."

    def __init__(
        self,
        schema: str,  # "ohlcv-1s"
        paths: "Iterable[Path | str]",  # DBN files of that schema
        raw: Mapping[int, str],  # instrument id -> dated contract, over what the files say
    ):
        files = [read_records(path) for path in paths]
        for path, file in zip(paths, files):
            if file.schema != schema:
                raise DataError(
                    "schema", file.schema, f"must be {schema} here", "list the file under its own schema", str(path)
                )
        rows = np.concatenate([file.rows for file in files])
        if not len(rows):
            raise DataError(
                "files", [str(path) for path in paths], "must hold bars", f"list at least one file with {schema} bars"
            )
        self.schema, self.step = schema, SCHEMA_STEP[schema]
        self.rows = rows[np.lexsort((rows["instrument_id"], rows["ts_event"]))]
        self.mappings: dict[str, list[SymbolInterval]] = {}
        for file in files:
            for symbol, intervals in file.mappings.items():
                self.mappings.setdefault(symbol, []).extend(intervals)
        self.names = contract_names(self.mappings) | dict(raw)
        self.start, self.end = int(self.rows["ts_event"][0]), int(self.rows["ts_event"][-1]) + self.step

    def resolve(
        self,
        symbol: str,  # "ES.c.0", "ESZ5" or "5482"
        stype: str,  # continuous, raw_symbol or instrument_id
        at: int,  # ns UTC; the mapping of that date is the answer
    ) -> tuple[int, int, int] | None:
        "Start, end (ns) and instrument id of the symbol's mapping at a moment; None when it does not resolve."
        if symbol.isdigit():
            return (*ALWAYS, int(symbol))  # an id, or a contract that nobody named and that goes by its id
        if stype == "raw_symbol":
            return next(((*ALWAYS, i) for i, name in self.names.items() if name == symbol), None)
        return next(
            (
                (midnight(start), midnight(end), i)
                for start, end, i in self.mappings.get(symbol, ())
                if midnight(start) <= at < midnight(end)
            ),
            None,
        )

    def select(self, instruments: "set[int]") -> np.ndarray:
        "The rows of some instruments."
        return self.rows[np.isin(self.rows["instrument_id"], list(instruments))]


def wire(
    rows: np.ndarray,  # OHLCV_DTYPE, all inside [begin, begin + count * step)
    marker: bytes,  # an end-of-interval record, its ts_event to be filled in; empty sends none
    begin: int,  # ns, start of the first interval
    step: int,  # ns an interval
    count: int,  # intervals
    ts_out: int | None = None,  # ns, send time to append to every record
) -> bytes:
    "Bars and markers interleaved as the gateway sends them: the bars of an interval, then its marker, traded or not."
    ends = begin + step * np.arange(1, count + 1)
    before_end = np.searchsorted(rows["ts_event"], ends.astype(np.uint64))
    bars = _records(rows.view("<u8").reshape(-1, _BAR_WORDS), ts_out)
    if not marker:
        return bars.tobytes()
    marks = _records(np.tile(np.frombuffer(marker, "<u8"), (count, 1)), ts_out)
    marks[:, 1] = ends
    width, marker_width = bars.shape[1], marks.shape[1]
    interval = (rows["ts_event"].astype(np.int64) - begin) // step
    out = np.empty(bars.size + marks.size, "<u8")
    out[(width * np.arange(len(bars)) + marker_width * interval)[:, None] + np.arange(width)] = bars
    out[(marker_width * np.arange(count) + width * before_end)[:, None] + np.arange(marker_width)] = marks
    return out.tobytes()


def stamped(record: bytes, ts_out: int | None) -> bytes:
    "One record, with the send time appended when the session asked for it."
    return _records(np.frombuffer(record, "<u8").reshape(1, -1), ts_out).tobytes()


def _records(words: np.ndarray, ts_out: int | None) -> np.ndarray:
    "Records as rows of 8-byte words; `ts_out` makes each a word longer and says so in its length byte."
    if ts_out is None:
        return words.copy()
    longer = np.empty((len(words), words.shape[1] + 1), "<u8")
    longer[:, :-1], longer[:, -1] = words, ts_out
    longer[:, 0] += 2
    return longer
