"""A file as it would be understood, before anything is written."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from futures_algo.core.sessions import EXCHANGE_ZONE
from futures_algo.core.types import DataError
from futures_algo.history.checks import validate_bars
from futures_algo.history.formats import Reading
from futures_algo.history.importing import read_file, understood


@dataclass(slots=True)
class Preview:
    "What `import --look` prints."

    path: str
    symbol: str
    timeframe: str
    rows: int
    start: str  # first bar's start, UTC
    end: str  # last bar's end, UTC
    contracts: list[str]
    contracts_from: str
    notes: list[str]  # how the file was understood, and why
    first: list[dict[str, Any]]  # the first rows as understood, in UTC and exchange time
    faults: dict[str, int]  # by kind
    gaps: list[dict[str, Any]]  # the largest, in order of time
    gap_count: int
    missing_bars: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def preview(
    path: "Path | str",
    symbol: str = "",
    reading: Reading | None = None,
    *,
    rolls: str = "",
    rows: int = 5,  # shown
    gaps: int = 5,  # shown, the largest
    **options: Any,  # fields of `Reading`
) -> Preview:
    "Read a file and say how; what cannot be read one way only is an error, as in an import."
    reading = Reading.of(reading, **options)
    read = read_file(path, symbol, reading)
    bars, source = understood(read.bars, reading, rolls, path)
    if not len(bars):
        raise DataError("file", Path(path).name, "must hold at least one bar", path=str(path))
    report = validate_bars(bars)
    largest = sorted(sorted(report.gaps, key=lambda gap: -gap.missing)[:gaps])
    names = [bars.contracts[code] for code in dict.fromkeys(bars.contract.tolist())]
    return Preview(
        str(path),
        bars.symbol,
        str(bars.timeframe),
        len(bars),
        _text(bars.start[0]),
        _text(bars.end[-1]),
        names,
        source,
        list(read.notes),
        [_row(bar) for bar in bars[:rows]],
        report.counts,
        [{"start": _text(gap.start), "end": _text(gap.end), "missing": gap.missing} for gap in largest],
        len(report.gaps),
        sum(gap.missing for gap in report.gaps),
    )


def _text(when: int) -> str:
    return f"{np.datetime64(int(when), 'ns').astype('M8[s]')}Z"


def _row(bar: Any) -> dict[str, Any]:
    import datetime as dt

    local = dt.datetime.fromtimestamp(bar.start / 1e9, EXCHANGE_ZONE)
    values = {name: getattr(bar, name) for name in ("open", "high", "low", "close", "volume", "contract")}
    return {"start": _text(bar.start), "exchange": f"{local:%a %Y-%m-%d %H:%M:%S}", **values}
