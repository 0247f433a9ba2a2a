"""A table's prices and volumes as numbers, the prices on their tick grid."""

from typing import Any

import numpy as np

from futures_algo.core.contracts import Product
from futures_algo.core.types import DataError
from futures_algo.history.columns import PRICES, Table
from futures_algo.history.formats import Reading
from futures_algo.history.numbers import PLAIN, Style, decimals_of, read_numbers, snapped, style_of

WITHOUT_VOLUME = "without volume: the file has no such column, every bar has 0"
_BLOCK = 1 << 17  # rows looked at together


def prices_of(table: Table, reading: Reading, item: Product, path: str) -> tuple[list[np.ndarray], Style]:
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


def volume_of(table: Table, style: Style, count: int, path: str) -> tuple[np.ndarray, str]:
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


def on_grid(prices: list[np.ndarray], item: Product) -> tuple[list[np.ndarray], str]:
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
