"""A table's columns as bars: whose rows they are, times, numbers, contracts, and what had to be said about them."""

import numpy as np

from futures_algo.core.contracts import Contract, Product, product, root_of
from futures_algo.core.types import DAY, Bars, DataError, InputError
from futures_algo.history.clock_times import shown
from futures_algo.history.columns import PRICES, Table
from futures_algo.history.formats import Reading
from futures_algo.history.table_numbers import on_grid, prices_of, volume_of
from futures_algo.history.table_times import in_order, moments_of, stamp_of, timeframe_of

# whose the rows are is not known: no grid, no fractions, nothing but the numbers
NO_PRODUCT = Product("", "", 0.0, 0.0, "", "")


def bars_of_table(
    table: Table, symbol: str, reading: Reading, format: str, check: bool, path: str
) -> tuple[Bars, list[str]]:
    "Bars, and what was understood."
    item = product(symbol) if symbol else NO_PRODUCT
    table, notes = _of_symbol(table, symbol, path)
    moments = moments_of(table, reading, format, item, path)
    _give_back()
    prices, style = prices_of(table, reading, item, path)
    volume, volume_note = volume_of(table, style, len(moments.nanos), path)
    _give_back()
    codes, names = _contract_codes(table, reading.contract, len(moments.nanos))
    columns = [moments.nanos, *prices, volume, codes]
    columns, order_note = in_order(columns, reading, path)
    times, *prices, volume, codes = columns
    timeframe = timeframe_of(times, reading, path)
    stamp, stamp_note = stamp_of(times, timeframe, symbol, reading, format, check, path)
    if moments.dates_only and timeframe.nanos < DAY:
        raise DataError("time", shown(times[0]), "must carry a time of the day", "name the column with --columns", path)
    start = times - timeframe.nanos if stamp == "close" else times
    prices, snap_note = on_grid(prices, item) if item.tick_size else (prices, "")
    open, high, low, close = prices
    bars = Bars(symbol, timeframe, start, start + timeframe.nanos, open, high, low, close, volume, codes, names)
    bars, dedupe_note = _deduplicated(bars, reading)
    told = [*notes, moments.note, style.note, order_note, stamp_note, volume_note, snap_note, dedupe_note]
    return bars, [note for note in told if note]


def _give_back() -> None:
    "Let the system have the memory of columns that are done with."
    import pyarrow

    pyarrow.default_memory_pool().release_unused()


def _of_symbol(table: Table, symbol: str, path: str) -> tuple[Table, list[str]]:
    "The rows of the symbol asked for, where the table names whose rows they are."
    if "symbol" not in table.columns:
        return table, []
    import pandas as pd

    own = table.columns["symbol"]
    values = pd.Series(own.to_pandas() if table.texts else own).astype(str).str.strip()
    kinds = values.unique().tolist()
    columns = {ours: column for ours, column in table.columns.items() if ours != "symbol"}
    names = [name for ours, name in zip(table.columns, table.names) if ours != "symbol"]
    if symbol in kinds and len(kinds) > 1:
        mask = (values == symbol).to_numpy()
        cut = {ours: column.filter(mask) if table.texts else column[mask] for ours, column in columns.items()}
        return Table(cut, names, table.texts), [f"{int(mask.sum()):,} of {len(mask):,} rows are {symbol}'s"]
    if all(_same_product(kind, symbol) and _is_contract(kind) for kind in kinds) and "contract" not in columns:
        return Table(columns | {"contract": own}, [*names, table.name("symbol")], table.texts), []
    if len(kinds) > 1:
        raise DataError("symbol column", ", ".join(kinds[:8]), f"must hold {symbol}, or one symbol only",
                        "name one of them, or leave its column out with --columns", path)  # fmt: skip
    if kinds and not _same_product(kinds[0], symbol):
        raise DataError(
            "symbol column", kinds[0], f"must be of {root_of(symbol)}'s product", f"ask for {kinds[0]}", path
        )
    return Table(columns, names, table.texts), [f"the file calls it {kinds[0]}"] if kinds and kinds[0] != symbol else []


def _same_product(theirs: str, symbol: str) -> bool:
    "Whether a vendor's name can be of a symbol's product; a name we cannot read can."
    try:
        return product(theirs).root == product(symbol).root
    except InputError:
        return True


def _is_contract(text: str) -> bool:
    try:
        Contract.parse(text)
    except InputError:
        return False
    return True


def _contract_codes(table: Table, contract: str, count: int) -> tuple[np.ndarray, tuple[str, ...]]:
    "Index of each row's contract, and the contracts in order of first use."
    if contract or "contract" not in table.columns:
        return np.zeros(count, np.int32), (contract,)
    own = table.columns["contract"]
    codes, names = (own.to_pandas() if table.texts else own).astype(str).str.strip().factorize()
    return codes.astype(np.int32), tuple(names) or ("",)


def _deduplicated(bars: Bars, reading: Reading) -> tuple[Bars, str]:
    "Rows equal in every column to one of the same time dropped, when asked."
    if reading.dedupe != "exact" or not len(bars):
        return bars, ""
    order = np.argsort(bars.start, kind="stable")
    same = np.ones(len(bars) - 1, bool)
    for name in ("start", *PRICES, "volume", "contract"):
        column = getattr(bars, name)[order]
        same &= column[1:] == column[:-1]
    keep = np.ones(len(bars), bool)
    keep[order[1:][same]] = False
    dropped = int((~keep).sum())
    return (bars[keep] if dropped else bars), f"{dropped:,} exact duplicates left out" if dropped else ""
