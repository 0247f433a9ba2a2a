"""Bars from what a user holds: `Bars`, what `read_dbn` returned, a table."""

from collections.abc import Mapping
from typing import Any

from futures_algo.core.types import Bars, InputError
from futures_algo.history.checks import Report
from futures_algo.history.checks import validate_bars as report_on


def is_table(given: Any) -> bool:
    "Whether it is a `pd.DataFrame`, told without importing pandas."
    return type(given).__name__ == "DataFrame" and hasattr(given, "columns")


def table_bars(
    frame: Any,  # pd.DataFrame with the usual column names; `symbol` may be one of them
    symbol: str = "",  # of all rows, where the table has no such column
    check: bool = True,
) -> dict[str, Bars]:
    "A table's bars by symbol."
    from futures_algo.history.csv_parquet import bars_from_frame

    if "symbol" in frame.columns:
        return {
            name: bars_from_frame(rows, str(name), check=check) for name, rows in frame.groupby("symbol", sort=False)
        }
    return {symbol: bars_from_frame(frame, symbol, check=check)}


def bars_of(
    given: Any,  # Bars, `read_dbn`'s dictionary of one symbol, a table with a column `symbol`; others stay as they are
) -> Any:
    "The bars of one symbol; of several, the choice is the user's."
    if is_table(given):
        if "symbol" not in given.columns:
            remedy = "write DataAdapter().frame(table, 'ES.c.0')"
            raise InputError("symbol", None, "must be known of a table's bars", remedy)
        given = table_bars(given)
    if not isinstance(given, Mapping):
        return given
    if len(given) == 1:
        return next(iter(given.values()))
    names = ", ".join(map(str, given)) or "none"
    remedy = f"choose one: bars[{next(iter(given))!r}]" if given else "choose a file that has bars"
    raise InputError("symbols", names, "must be one here", remedy)


def validate_bars(
    bars: Any,  # Bars; a table with the usual column names; several by symbol, as `read_dbn` returns them
    *,
    symbol: str = "",  # of a table without a column `symbol`; without it sessions, gaps and ticks are not looked at
    **how: Any,  # tick_size, calendar, max_gap, path: as `checks.validate_bars` takes them
) -> "Report | dict[str, Report]":
    "Look at every row by every rule; of several symbols a report each."
    several = table_bars(bars, symbol, check=False) if is_table(bars) else bars
    if isinstance(several, Mapping) and len(several) != 1:
        return {name: report_on(one, **how) for name, one in several.items()}
    return report_on(bars_of(several), **how)
