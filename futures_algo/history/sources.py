"""Bars from whatever a command line names: files of any kind and timeframe, folders of a store."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from futures_algo.core.contracts import product
from futures_algo.core.types import Bars, DataError, InputError, Timeframe
from futures_algo.history.checks import refuse_impossible
from futures_algo.history.dbn_files import read_dbn
from futures_algo.history.formats import Reading
from futures_algo.history.importing import read_bars
from futures_algo.history.store import BarStore

_DBN = (".dbn", ".dbn.zst")
_BOOLEANS = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}


def split_source(source: str) -> tuple[str, Path]:
    "Symbol (or nothing) and path of FILE or ES.c.0=FILE; a path may hold an equals sign itself."
    if Path(source).exists():
        return "", Path(source)
    symbol, _, file = source.partition("=")
    return (symbol, Path(file)) if _ else ("", Path(source))


def read_source(
    source: "str | Path",  # a file, SYMBOL=FILE, or the folder of a store
    symbols: Sequence[str] = (),  # needed for a folder; of a file all are read by default
    reading: Reading | None = None,  # what is known of a text file
) -> dict[str, Bars]:
    "Bars by symbol; prices that cannot be are refused, whatever kind of file they stand in."
    symbol, path = split_source(str(source))
    if not path.exists():
        raise DataError("data", str(source), "must exist", "name a file of bars, the folder fetch keeps its bars in, or"
                        " ES.c.0=bars.csv")  # fmt: skip
    if path.is_dir():
        return {name: _kept(path, name, reading) for name in _named(symbols, symbol)}
    if symbol:
        return {symbol: read_bars(path, symbol, reading)}
    if path.name.lower().endswith(_DBN):
        return _possible(read_dbn(path), path, reading)
    if path.name.lower().endswith((".parquet", ".pq")) and _names_itself(path):
        bars = read_bars(path, "", reading)
        return {bars.symbol: bars}
    raise DataError("data", str(source), "must say whose bars they are", f"write ES.c.0={path}, or bring it in with"
                    " futures-algo import")  # fmt: skip


def _named(symbols: Sequence[str], symbol: str) -> Sequence[str]:
    named = list(symbols) or ([symbol] if symbol else [])
    if not named:
        raise InputError("symbol", "none", "must be named for a folder of bars", "write --symbol ES.c.0")
    return named


def _kept(folder: Path, symbol: str, reading: Reading | None) -> Bars:
    "A symbol's bars of a store: of the timeframe said, minutes, or the only one kept."
    store = BarStore(folder)
    kept = [schema for name, schema in store.series() if name == symbol]
    from futures_algo.history.store import schema_of

    if reading is not None and reading.timeframe is not None:
        return store.read(symbol, schema_of(Timeframe(reading.timeframe)))
    return store.read(symbol, kept[0] if len(kept) == 1 else "ohlcv-1m")


def _names_itself(path: Path) -> bool:
    from pyarrow import ArrowInvalid, parquet

    try:
        return b"futures_algo" in (parquet.read_schema(path).metadata or {})
    except ArrowInvalid as error:
        raise DataError("file", path.name, "must be Parquet", str(error), str(path)) from None


def _possible(found: dict[str, Bars], path: Path, reading: Reading | None) -> dict[str, Bars]:
    for bars in found.values():
        product(bars.symbol)
        refuse_impossible(bars, str(path), reading.accept if reading else ())
    return found


def reading_of(
    texts: Iterable[str],  # NAME=VALUE as a command line says them: "stamp=close", "columns=time:caldt"
    **given: object,  # fields said by options of their own; None and nothing are left out
) -> Reading:
    "What a command line says of files."
    found: dict[str, Any] = {name: value for name, value in given.items() if value not in (None, "", ())}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError("read", text, "must be NAME=VALUE", "write --read stamp=close")
        name = name.strip().replace("-", "_")
        if name in ("dayfirst", "header", "newest_first"):
            found[name] = _boolean(name, value)
        elif name == "columns":
            found[name] = {**dict(found.get("columns", {})), **columns_of(value.split(","))}
        elif name == "accept":
            found[name] = (*found.get("accept", ()), *value.split(","))
        else:
            found[name] = value
    return Reading.of(**found)


def columns_of(texts: Iterable[str]) -> dict[str, str]:
    "Ours -> the file's, from time=caldt or time:caldt."
    found = {}
    for text in texts:
        ours, sign, theirs = text.partition("=" if "=" in text else ":")
        if not sign or not ours or not theirs:
            raise InputError("columns", text, "must be OURS=THEIRS", "write --columns time=caldt,volume=Menge")
        found[ours.strip()] = theirs.strip()
    return found


def _boolean(name: str, value: str) -> bool:
    if value.lower() not in _BOOLEANS:
        raise InputError(name, value, "must be yes or no", f"write {name}=yes")
    return _BOOLEANS[value.lower()]
