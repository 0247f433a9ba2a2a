"""Any vendor's bars as one file of ours, DBN or Parquet, with the contract behind every row."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from futures_algo.core.contracts import Contract, FeedSymbol, product, root_of
from futures_algo.core.dbn import SCHEMA_STEP, replacing
from futures_algo.core.expiry import fronts
from futures_algo.core.types import DAY, Bars, DataError, InputError
from futures_algo.history.checks import Report, refuse_faults, validate_bars
from futures_algo.history.csv_parquet import TEXT_ENDINGS, Read, read_arrow, read_text
from futures_algo.history.dbn_files import read_dbn, write_dbn
from futures_algo.history.formats import Reading
from futures_algo.history.table_numbers import WITHOUT_VOLUME
from futures_algo.history.trades import WITH_TRADES, read_trades
from futures_algo.history.vendor_rolls import with_rolls


def name_contracts(
    bars: Bars,
) -> Bars:
    "The same bars with their contracts filled in from the calendar, where no contract is named yet."
    if any(bars.contracts) or not len(bars):
        return bars
    first, last = _date(bars.start[0]), _date(bars.start[-1])
    if "." not in bars.symbol:
        return replace(bars, contracts=(Contract.parse(bars.symbol, near=first).code,))
    root, rule, rank = FeedSymbol.parse(bars.symbol)
    if rule != "c":
        raise DataError(
            "contract",
            "missing",
            f"must be known for {bars.symbol}, whose rolls no calendar tells",
            "add a contract column, name one with contract=, or use a .c symbol",
        )
    spells = fronts(root, first, last + dt.timedelta(days=1), rank)
    edges = np.array([np.datetime64(start, "ns").astype(np.int64) for start, _, _ in spells])
    codes = np.searchsorted(edges, bars.start, side="right") - 1
    return replace(bars, contract=codes.astype(np.int32), contracts=tuple(contract.code for _, _, contract in spells))


def _date(when: int) -> dt.date:
    return dt.date(1970, 1, 1) + dt.timedelta(days=int(when) // DAY)


@dataclass(slots=True)
class Imported:
    "What an import wrote."

    path: str  # the file written
    symbol: str
    schema: str  # "ohlcv-1m" of a DBN file, "5min" of a Parquet file
    rows: int
    start: str  # first bar's start, UTC
    end: str  # last bar's end, UTC
    contracts: list[str]  # in order
    contracts_from: str  # "file", "argument", "calendar" or "rolls"
    faults: dict[str, int]  # by kind, of rows that were imported as they stand: outside sessions, long gaps
    missing_bars: int  # trading time without a bar, in bars
    notes: list[str]  # how the file was understood

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def import_file(
    path: "Path | str",  # text (.csv, .txt ...), .parquet or .dbn(.zst)
    symbol: str,  # feed symbol "NQ.c.0", or a dated contract "6EH4"
    out: "Path | str",  # .dbn or .dbn.zst, or .parquet for any timeframe; written whole or not at all
    reading: Reading | None = None,
    *,
    rolls: str = "",  # "split" or "adjust" what a vendor rolled in silence
    dataset: str = "GLBX.MDP3",
    **options: Any,  # fields of `Reading`
) -> Imported:
    "Read a file of bars, refuse what is structurally wrong, name the contracts, and write it."
    product(symbol)
    kind = _kind_of(out)
    reading = Reading.of(reading, **options)
    if reading.contract:
        reading = Reading.of(reading, contract=Contract.parse(reading.contract).code)
    read = read_file(path, symbol, reading)
    bars, source = understood(read.bars, reading, rolls, path)
    report = validate_bars(bars)
    if kind == "parquet":
        write_parquet(out, bars, read.notes)
    else:
        _refuse_step(bars, out)
        write_dbn(out, {symbol: bars}, dataset=dataset)
    return _imported(report, bars, out, source, list(read.notes))


def _kind_of(out: "Path | str") -> str:
    name = str(out)
    if name.endswith((".dbn", ".dbn.zst")):
        return "dbn"
    if name.endswith(".parquet"):
        return "parquet"
    raise InputError("out", name, "must end in .dbn, .dbn.zst or .parquet")


def understood(bars: Bars, reading: Reading, rolls: str, path: "Path | str") -> tuple[Bars, str]:
    "The bars with their contracts, and where those are from."
    if not len(bars):
        raise DataError("file", Path(path).name, "must hold at least one bar", path=str(path))
    if rolls and len(set(bars.contract.tolist())) == 1:
        rolled = with_rolls(bars, rolls, product(bars.symbol))
        if rolled is not bars:
            return rolled, "rolls"
    if reading.contract:
        return name_contracts(bars), "argument"
    return name_contracts(bars), "file" if any(bars.contracts) else "calendar"


def _refuse_step(bars: Bars, out: "Path | str") -> None:
    "DBN has no schema for every timeframe."
    if bars.timeframe.nanos not in SCHEMA_STEP.values():
        raise InputError(
            "timeframe",
            str(bars.timeframe),
            "must be 1s, 1min, 60min or 1440min in a DBN file, which has"
            # fmt: skip
            " no schema for others",
            f"write Parquet: --out {Path(out).name.split('.')[0]}.parquet",
        )


def write_parquet(path: "Path | str", bars: Bars, notes: "tuple[str, ...]" = ()) -> None:
    "Bars of one symbol and any timeframe as Parquet that names both; `read_parquet` needs to be told nothing."
    import json

    import pyarrow
    from pyarrow import parquet

    table = pyarrow.Table.from_pandas(bars.to_frame().reset_index(names="ts_event"), preserve_index=False)
    facts = {"symbol": bars.symbol, "timeframe": str(bars.timeframe), "notes": list(notes)}
    table = table.replace_schema_metadata({"futures_algo": json.dumps(facts)})
    with replacing(path) as draft:
        parquet.write_table(table, draft, compression="zstd")


def read_bars(
    path: "Path | str",
    symbol: str = "",  # needed where the file does not name one
    reading: Reading | None = None,
    check: bool = True,
    **options: Any,  # fields of `Reading`
) -> Bars:
    "One symbol's bars out of a file of any known kind."
    return read_file(path, symbol, Reading.of(reading, **options), check).bars


def read_file(path: "Path | str", symbol: str, reading: Reading, check: bool = True) -> Read:
    "One symbol's bars out of a file of any known kind, told by its name, with how it was understood."
    name = Path(path).name.lower()
    if name.endswith((".dbn", ".dbn.zst")):
        bars = _only(_dbn_bars(path, reading), symbol, path)
        if check:
            refuse_faults(bars, str(path), reading.accept)
        return Read(bars, ("Databento's own file",), None)
    if name.endswith((".parquet", ".pq")):
        return read_arrow(path, symbol, reading, check)
    if name.endswith(TEXT_ENDINGS) or reading.format:
        if not symbol:
            raise InputError("symbol", None, "must be given for a file that does not name one", "write NQ.c.0=FILE")
        return read_text(path, symbol, reading, check)
    raise InputError("file", str(path), "must be .csv, .txt, .tsv (or .gz of it), .parquet, .dbn or .dbn.zst",
                     "rename it by what it holds")  # fmt: skip


def _dbn_bars(path: "Path | str", reading: Reading) -> dict[str, Bars]:
    "The bars of a DBN file, or those its trades make."
    try:
        return read_dbn(path)
    except DataError as error:
        if error.subject != "schema" or error.value not in WITH_TRADES:
            raise
    return read_trades(path, reading.timeframe or "1s")


def _only(found: Mapping[str, Bars], symbol: str, path: "Path | str") -> Bars:
    "A symbol's bars, or those of the only symbol of its product, under the new name."
    if symbol in found:
        return found[symbol]
    same = [bars for name, bars in found.items() if not symbol or root_of(name) == root_of(symbol)]
    if len(same) != 1:
        raise DataError("symbol", symbol, "must name one series of the file", f"it holds {', '.join(found)}", str(path))
    return replace(same[0], symbol=symbol) if symbol else same[0]


def _imported(report: Report, bars: Bars, out: "Path | str", source: str, notes: list[str]) -> Imported:
    "The account of an import."
    steps = {step: schema for schema, step in SCHEMA_STEP.items()}
    is_dbn = _kind_of(out) == "dbn"
    moment = lambda when: f"{np.datetime64(int(when), 'ns').astype('M8[s]')}Z"
    counts = {
        kind: count for kind, count in report.counts.items() if kind != "no_volume" or WITHOUT_VOLUME not in notes
    }
    return Imported(
        str(out),
        bars.symbol,
        steps[bars.timeframe.nanos] if is_dbn else str(bars.timeframe),
        len(bars),
        moment(bars.start[0]),
        moment(bars.end[-1]),
        [bars.contracts[code] for code in dict.fromkeys(bars.contract.tolist())],
        source,
        counts,
        sum(gap.missing for gap in report.gaps),
        notes,
    )


@dataclass(slots=True)
class FileReport:
    "What `validate_file` found."

    path: str
    reports: list[Report]  # one a symbol
    unreadable: DataError | None  # why the file could not be read
    notes: list[str]  # how it was understood

    @property
    def ok(self) -> bool:
        return self.unreadable is None and all(report.ok for report in self.reports)

    def as_dict(
        self,
        limit: int | None = None,  # faults listed a series; all by default
    ) -> dict[str, Any]:
        "What `validate-data --json` prints: errors of all symbols in one list, the rest by symbol."
        series = [report.as_dict(limit) for report in self.reports]
        errors = ([self.unreadable.as_dict()] if self.unreadable else []) + [
            error for one in series for error in one.pop("errors")
        ]
        return {"ok": self.ok, "path": self.path, "errors": errors, "series": series, "notes": self.notes}


def validate_file(
    path: "Path | str",
    symbol: str | None = None,  # needed for text and foreign Parquet; of a DBN file only this one is looked at
    reading: Reading | None = None,
    *,
    max_gap: "str | int" = "60min",  # a longer hole inside sessions is a fault
    **options: Any,  # fields of `Reading`
) -> FileReport:
    "Every fault of a file of bars; a file that is not there is an error, one that cannot be read a finding."
    if not Path(path).is_file():
        raise DataError("file", str(path), "must exist", "check the path")
    try:
        found = _series(path, symbol, Reading.of(reading, **options))
    except DataError as error:
        return FileReport(str(path), [], error, [])
    reports = [validate_bars(bars, max_gap=max_gap, path=str(path)) for bars, _ in found]
    for report, (_, notes) in zip(reports, found):
        if WITHOUT_VOLUME in notes:
            report.faults = [fault for fault in report.faults if fault.kind != "no_volume"]
    return FileReport(str(path), reports, None, [note for _, notes in found for note in notes])


def _series(path: "Path | str", symbol: str | None, reading: Reading) -> list[tuple[Bars, tuple[str, ...]]]:
    if str(path).lower().endswith((".dbn", ".dbn.zst")):
        return [(bars, ()) for bars in read_dbn(path, [symbol] if symbol else None).values()]
    if symbol is None and not str(path).lower().endswith((".parquet", ".pq")):
        raise InputError("symbol", None, "must be given for a file that does not name one", "add --symbol NQ.c.0")
    read = read_file(path, symbol or "", reading, check=False)
    return [(read.bars, read.notes)]
