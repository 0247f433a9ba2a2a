"""A table's columns as bars: times, numbers, volume, contracts, and what had to be said about them."""

from typing import Any, NamedTuple

import numpy as np

from futures_algo.core.contracts import Contract, Product, product, root_of
from futures_algo.core.types import DAY, SECOND, Bars, DataError, InputError, Timeframe
from futures_algo.history.columns import PRICES
from futures_algo.history.formats import FORMATS, STAMPS, Reading
from futures_algo.history.numbers import PLAIN, Style, decimals_of, read_numbers, snapped, style_of
from futures_algo.history.stamps import Clock, Moments, localized, read_moments, shown

WITHOUT_VOLUME = "without volume: the file has no such column, every bar has 0"
_EXCHANGE_ZONES = {"NYMEX": "America/New_York", "COMEX": "America/New_York"}


_BLOCK = 1 << 17  # rows looked at together


class Table(NamedTuple):
    "Columns by our names."

    columns: dict[str, Any]  # Arrow texts, or pandas' columns
    names: list[str]  # the file's names, in the same order
    texts: bool

    def name(self, ours: str) -> str:
        "What the file calls a column."
        return self.names[list(self.columns).index(ours)]


def bars_of_table(
    table: Table, symbol: str, reading: Reading, format: str, check: bool, path: str
) -> tuple[Bars, list[str]]:
    "Bars, and what was understood."
    item = product(symbol)
    table, notes = _of_symbol(table, symbol, path)
    moments = _moments(table, reading, format, item, path)
    _give_back()
    prices, style = _prices(table, reading, item, path)
    volume, volume_note = _volume(table, style, len(moments.nanos), path)
    _give_back()
    codes, names = _contract_codes(table, reading.contract, len(moments.nanos))
    columns = [moments.nanos, *prices, volume, codes]
    columns, order_note = _in_order(columns, reading, path)
    times, *prices, volume, codes = columns
    timeframe = _timeframe(times, reading, path)
    stamp, stamp_note = _stamp(times, timeframe, symbol, reading, format, check, path)
    if moments.dates_only and timeframe.nanos < DAY:
        raise DataError("time", shown(times[0]), "must carry a time of the day", "name the column with --columns", path)
    start = times - timeframe.nanos if stamp == "close" else times
    prices, snap_note = _on_grid(prices, item)
    bars = Bars(symbol, timeframe, start, start + timeframe.nanos, *prices, volume, codes, names)
    bars, dedupe_note = _deduplicated(bars, reading)
    told = [*notes, moments.note, style.note, order_note, stamp_note, volume_note, snap_note, dedupe_note]
    return bars, [note for note in told if note]


def _give_back() -> None:
    "Let the system have the memory of columns that are done with."
    import pyarrow

    pyarrow.default_memory_pool().release_unused()


# -- whose rows


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


# -- times


def _moments(table: Table, reading: Reading, format: str, item: Product, path: str) -> Moments:
    ours = "time" if "time" in table.columns else "date"
    preset = FORMATS[format] if format else None
    tz = reading.tz or _zone_of(reading.preset.tz if reading.preset else "", item)
    tz = tz or ("UTC" if table.name(ours).strip().lower().endswith("utc") else None)
    dayfirst, why = reading.dayfirst, "as said"
    if dayfirst is None and preset and preset.dayfirst is not None:
        dayfirst, why = preset.dayfirst, f"as {preset.vendor} writes them"
    hint = f"say --format {format}, as it looks like {preset.vendor}'s, or " if preset and preset.tz else ""
    clock = Clock(tz, dayfirst, table.name(ours), path, why, hint)
    column = table.columns[ours]
    if not table.texts and column.dtype.kind in "Mi":
        return _typed(column, clock)
    first, second = (_texts(table.columns.get(name)) for name in (ours, "clock"))
    table.columns[ours] = None
    if not len(first):
        return Moments(np.empty(0, np.int64), "no rows")
    return read_moments(first, second, clock)


def _zone_of(tz: str, item: Product) -> str:
    return _EXCHANGE_ZONES.get(item.exchange, "America/Chicago") if tz == "exchange" else tz


def _typed(column: Any, clock: Clock) -> Moments:
    "Times that a table holds as times or whole numbers."
    import pandas as pd

    if column.isna().any():
        row = int(np.flatnonzero(column.isna())[0])
        raise DataError("time", "missing", "must be there in every row", "complete it", f"{clock.path}: row {row}")
    if column.dtype.kind == "i":
        return read_moments(_texts(column), None, clock) if len(column) else Moments(np.empty(0, np.int64), "")
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return Moments(
            column.dt.tz_convert("UTC").dt.as_unit("ns").to_numpy("M8[ns]").astype(np.int64), "times with their zone"
        )
    local = column.dt.as_unit("ns").to_numpy("M8[ns]").astype(np.int64)
    return Moments(localized(local, clock), f"times on the clock of {clock.tz}")


def _texts(column: Any) -> Any:
    "A column as Arrow texts."
    import pyarrow as pa

    if column is None or isinstance(column, (pa.ChunkedArray, pa.Array)):
        return column
    if column.dtype.kind == "M":
        return pa.chunked_array([pa.array(column.dt.strftime("%Y-%m-%dT%H:%M:%S.%f%z"), pa.string())])
    if column.dtype.kind == "f":
        column = column.map("{:f}".format)
    return pa.chunked_array(
        [pa.array([None if one is None or one != one else str(one) for one in column], pa.string())]
    )


def _in_order(columns: list[np.ndarray], reading: Reading, path: str) -> tuple[list[np.ndarray], str]:
    "Newest first turned round when asked; said otherwise."
    times = columns[0]
    backwards = len(times) > 1 and bool((times[1:] <= times[:-1]).all()) and bool(times[-1] < times[0])
    if reading.newest_first:
        if len(times) > 1 and not backwards:
            later = np.flatnonzero(times[1:] > times[:-1])
            row = int(later[0]) + 1 if len(later) else 1
            raise DataError("time", shown(columns[0][row]), "must lie before the row above in a file that is newest"
                            " first", "leave --newest-first out", f"{path}: row {row}")  # fmt: skip
        return [column[::-1] for column in columns], "newest first, turned round as asked"
    if backwards:
        raise DataError(
            "rows",
            f"{shown(columns[0][0])} first, {shown(columns[0][-1])} last",
            "must be oldest first: this"
            # fmt: skip
            " file is newest first",
            "say newest_first=True (--newest-first), and it is turned round",
            path,
        )
    return columns, ""


def _timeframe(times: np.ndarray, reading: Reading, path: str) -> Timeframe:
    "The one said, or the most frequent step."
    if reading.timeframe is not None:
        return Timeframe(reading.timeframe)
    parts = [
        np.unique(np.diff(times[max(begin - 1, 0) : begin + _BLOCK]), return_counts=True)
        for begin in range(0, len(times), _BLOCK)
    ]
    steps, at = np.unique(np.concatenate([part[0] for part in parts] or [times]), return_inverse=True)
    counts = np.bincount(at, np.concatenate([part[1] for part in parts] or [times]), len(steps))
    steps, counts = steps[steps > 0], counts[steps > 0]
    if not len(steps):
        raise DataError("timeframe", "unknown", "must be given when fewer than two times differ",
                        "say it with timeframe='1min' (--timeframe 1min)", path)  # fmt: skip
    step = int(steps[counts.argmax()])
    if step % SECOND:
        raise DataError("time", f"{step} ns apart", "must be whole seconds apart", "are these ticks? bars_from_trades"
                        " makes bars of them", path)  # fmt: skip
    return Timeframe(f"{step // SECOND}s")


def _stamp(
    times: np.ndarray, timeframe: Timeframe, symbol: str, reading: Reading, format: str, check: bool, path: str
) -> tuple[str, str]:
    "Whether times mark a bar's start or its close: as said, as the vendor always does, or as the sessions show."
    if reading.stamp:
        stamp = STAMPS[reading.stamp]
        return stamp, f"times mark the bar's {stamp}, as said"
    if reading.preset:
        return reading.preset.stamp, f"times mark the bar's {reading.preset.stamp}, as {reading.preset.vendor}'s do"
    if not check or not len(times):
        return "start", "times taken as the bar's start"
    first = f"{shown(times[0])} is the start of the first bar (open), or its close (it starts {shown(times[0] - timeframe.nanos)})"
    if format and FORMATS[format].stamp == "close":
        raise DataError("stamp", shown(times[0]), f"can mean two bars: {first}; {FORMATS[format].vendor} stamps the close",
                        f"say --format {format}, or --stamp close or open", path)  # fmt: skip
    at_close, at_open = _on_the_grid(times, timeframe, symbol)
    if at_close and not at_open:
        raise DataError(
            "stamp",
            shown(times[0]),
            f"can mean two bars: {first}; {at_close} of the times lie on a session's"
            # fmt: skip
            " close and none on an opening, as those of a bar's close do",
            "say --stamp close or open",
            path,
        )
    return "start", "times taken as the bar's start"


def _on_the_grid(times: np.ndarray, timeframe: Timeframe, symbol: str) -> tuple[int, int]:
    "How many times lie on a close of a session, and how many on an opening."
    from futures_algo.core.sessions import SessionCalendar

    if timeframe.nanos >= DAY:
        return 0, 0
    edges, at_close, at_open = SessionCalendar.of(symbol).edges, 0, 0
    for begin in range(0, len(times), _BLOCK):
        part = times[begin : begin + _BLOCK]
        at = np.searchsorted(edges, part, side="left")
        hit = (at < len(edges)) & (edges[np.minimum(at, len(edges) - 1)] == part)
        reopens = edges[np.minimum(at + 1, len(edges) - 1)] == part  # a session that begins where the last one ended
        at_close += int((hit & (at % 2 == 1) & ~reopens).sum())
        at_open += int((hit & (at % 2 == 0)).sum())
    return at_close, at_open


# -- numbers


def _prices(table: Table, reading: Reading, item: Product, path: str) -> tuple[list[np.ndarray], Style]:
    if not table.texts:
        return [_typed_numbers(table, name, path) for name in PRICES], PLAIN
    if _is_number(table.columns["open"]):
        return [_taken(table, name) for name in PRICES], PLAIN
    columns = [table.columns[name] for name in PRICES]
    style = style_of(columns, reading, item, path)
    return [read_numbers(column, table.name(name), style, item, path) for name, column in zip(PRICES, columns)], style


def _cast(column: Any) -> np.ndarray:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.cast(column, pa.float64()).to_numpy()


def _is_number(column: Any) -> bool:
    import pyarrow as pa

    return isinstance(column, (pa.ChunkedArray, pa.Array)) and pa.types.is_floating(column.type)


def _taken(table: Table, name: str) -> np.ndarray:
    "A column of numbers out of the table, which does not keep it."
    column, table.columns[name] = table.columns[name], None
    return column.to_numpy()


def _typed_numbers(table: Table, ours: str, path: str) -> np.ndarray:
    import pandas as pd

    column = table.columns[ours]
    numbers = pd.to_numeric(column, errors="coerce")
    odd = np.flatnonzero(numbers.isna() & column.notna())
    if len(odd):
        raise DataError(
            table.name(ours), column.iloc[odd[0]], "must be a number", "correct the cell", f"{path}: row {odd[0]}"
        )
    return numbers.to_numpy(np.float64)


def _volume(table: Table, style: Style, count: int, path: str) -> tuple[np.ndarray, str]:
    "Contracts traded; the sum of up and down; or zeros with a word."
    parts = [name for name in ("volume",) if name in table.columns] or [n for n in ("up", "down") if n in table.columns]
    if not parts:
        return np.zeros(count, np.int64), WITHOUT_VOLUME
    if parts == ["up"] or parts == ["down"]:
        raise DataError(
            "volume", table.name(parts[0]), "must come with its other half", "name the columns with --columns", path
        )
    values = [_volume_numbers(table, name, style, path) for name in parts]
    whole = [_whole(numbers, table.name(name), path) for name, numbers in zip(parts, values)]
    return sum(whole[1:], whole[0]), "volume is up and down together" if len(parts) > 1 else ""


def _volume_numbers(table: Table, ours: str, style: Style, path: str) -> np.ndarray:
    if not table.texts:
        return _typed_numbers(table, ours, path)
    column = table.columns[ours]
    if style == PLAIN:
        style = Style(".", ",")
    try:
        return _cast(column)
    except ValueError:
        return read_numbers(column, table.name(ours), style, None, path)


def _whole(volume: np.ndarray, name: str, path: str) -> np.ndarray:
    odd = np.flatnonzero(~((volume == np.floor(volume)) & (np.abs(volume) < 2**62)))
    if len(odd):
        raise DataError(name, float(volume[odd[0]]), "must be a whole number of contracts",
                        "complete it; 0 where it is unknown", f"{path + ': ' if path else ''}row {odd[0]}")  # fmt: skip
    return volume.astype(np.int64)


def _on_grid(prices: list[np.ndarray], item: Product) -> tuple[list[np.ndarray], str]:
    "Prices whose vendor wrote fewer decimals than a tick has, on the grid again."
    whole = np.concatenate(prices) if _any_off(prices, item.tick_size) else np.empty(0)
    grid = snapped(whole, item.tick_size) if len(whole) else None
    if grid is None:
        return prices, _coarse(prices, item.tick_size)
    moved = int((grid != whole).sum())
    return list(
        np.split(grid, 4)
    ), f"{moved:,} prices rounded by their vendor put back on the tick grid of {item.tick_size}"


def _coarse(prices: list[np.ndarray], tick: float) -> str:
    "A word where no price uses the tick's last decimal though many could."
    decimals = decimals_of(tick) - 1
    if decimals < 2 or len(prices[0]) < 25 or round(tick * 10**decimals, 6) >= 1:
        return ""
    if any((np.abs(column - np.round(column, decimals)) > 1e-9 * np.maximum(1, np.abs(column))).any() or
           np.abs(column - np.round(column, decimals)).max(initial=0.0) > tick / 4 for column in prices):  # fmt: skip
        return ""
    return (
        f"no price uses the last of the {decimals + 1} decimals of the tick {tick:.10f}".rstrip("0")
        + ": they may be rounded"
    )


def _any_off(prices: list[np.ndarray], tick: float) -> bool:
    parts = (column[begin : begin + _BLOCK] for column in prices for begin in range(0, len(column), _BLOCK))
    return any((np.abs((ticks := part / tick) - np.round(ticks)) > 1e-6).any() for part in parts)


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
