"""Databento's records and trades as standard bars."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from futures_algo.core.bars import as_bar
from futures_algo.core.dbn import PRICE_SCALE, SCHEMA_RTYPE, SCHEMA_STEP, Header, symbol_intervals
from futures_algo.core.types import SECOND, Bar, Bars, DataError, InputError, Timeframe
from futures_algo.history.csv_parquet import bars_from_frame
from futures_algo.history.dbn_files import bars_from_records
from futures_algo.history.taking import is_table


def bars_from_trades(
    times: np.ndarray,  # int64[n], ns UTC, when each trade was received; not decreasing
    prices: np.ndarray,  # float64[n], points
    sizes: np.ndarray,  # int64[n], contracts
    symbol: str,
    timeframe: "str | int" = "1s",  # counted from 1970, as Databento's; must divide a day
    *,
    contract: str = "",
) -> Bars:
    "Bars of the intervals in which something traded; trades of size 0 are passed over."
    timeframe = Timeframe(timeframe)
    if 86_400 % timeframe.seconds:
        raise InputError(
            "timeframe",
            str(timeframe),
            "must divide a day when made from trades",
            "make 1s or 1min bars and aggregate them",
        )
    times = np.asarray(times, np.int64)
    if np.any(np.diff(times) < 0):
        raise DataError(
            "trade time",
            int(np.flatnonzero(np.diff(times) < 0)[0]) + 1,
            "must not be before the trade of the row above",
            "sort by time received, then sequence",
        )
    if np.any(np.asarray(sizes) < 0):
        raise DataError("trade size", int(np.min(sizes)), "must be 0 or more contracts")
    real = np.asarray(sizes) > 0
    times, prices, sizes = times[real], np.asarray(prices, np.float64)[real], np.asarray(sizes, np.int64)[real]
    start = times // timeframe.nanos * timeframe.nanos
    first = np.flatnonzero(np.diff(start, prepend=start[0] - 1)) if len(start) else np.empty(0, int)
    last = np.append(first[1:], len(start))[: len(first)] - 1
    high, low, volume = (
        ufunc.reduceat(column, first) if len(first) else column
        for ufunc, column in ((np.maximum, prices), (np.minimum, prices), (np.add, sizes))
    )
    begins = start[first]
    return Bars(
        symbol,
        timeframe,
        begins,
        begins + timeframe.nanos,
        prices[first],
        high,
        low,
        prices[last],
        volume,
        contracts=(contract,),
    )


WITH_TRADES = ("trades", "tbbo", "mbp-1", "mbp-10", "mbo")  # schemas whose records tell every trade


class Trades(NamedTuple):
    "The trades of one symbol, in the order they were received."

    times: np.ndarray  # int64[n], ns UTC, when received
    prices: np.ndarray  # float64[n], points
    sizes: np.ndarray  # int64[n], contracts
    sides: np.ndarray  # S1[n], of the aggressor: b"B" bought, b"A" sold, b"N" not said


def trades_of(path: "Path | str") -> dict[str, Trades]:
    "The trades of a DBN file of trades, of the top of the book or of all its orders, by the file's symbols."
    import databento

    try:
        store = databento.DBNStore.from_file(path)
    except FileNotFoundError as error:
        raise DataError(
            "file", str(path), f"must be a file that can be read ({error.strerror})", "check the path"
        ) from None
    if str(store.schema) not in WITH_TRADES:
        raise DataError(
            "schema", str(store.schema), f"must be one of {', '.join(WITH_TRADES)}", "read_dbn reads bars", str(path)
        )
    records = store.to_ndarray()
    records = records[
        records["action"] == b"T"
    ]  # the fills (F) of an order book are the same trades seen by the other side
    found = {}
    for name, intervals in store.mappings.items():
        own = records[np.isin(records["instrument_id"], [int(interval["symbol"]) for interval in intervals])]
        own = own[np.argsort(own["ts_recv"], kind="stable")]
        _refuse_undefined(own["price"], name, path)
        found[name] = Trades(own["ts_recv"].astype(np.int64), own["price"] / PRICE_SCALE, own["size"], own["side"])
    return found


def _refuse_undefined(prices: np.ndarray, name: str, path: "Path | str") -> None:
    odd = np.flatnonzero(prices == 2**63 - 1)
    if len(odd):
        raise DataError(
            f"{name} price", "undefined", "must be there in a trade", "fetch the range again", f"{path}: trade {odd[0]}"
        )


def read_trades(
    path: "Path | str",  # DBN, a schema of WITH_TRADES
    timeframe: "str | int" = "1s",
    *,
    symbols: Mapping[str, str] | None = None,  # name in the file -> the name to give: {"ESU4": "ES.c.0"}
) -> dict[str, Bars]:
    "Bars from the trades of a DBN file, by symbol."
    found = {}
    for name, trades in trades_of(path).items():
        renamed = (symbols or {}).get(name, name)
        contract = "" if "." in name else name
        found[renamed] = bars_from_trades(
            trades.times, trades.prices, trades.sizes, renamed, timeframe, contract=contract
        )
    return found


_STEP_OF_RTYPE = {rtype: SCHEMA_STEP[schema] for schema, rtype in SCHEMA_RTYPE.items()}


class DataAdapter:
    "Databento's stores, tables and records to standard bars."

    def __init__(
        self,
        symbols: Mapping[int, str] | None = None,  # instrument id -> feed symbol; mapping records add to it
        contracts: Mapping[int, str] | None = None,  # instrument id -> dated contract
    ):
        self.symbols, self.contracts = dict(symbols or {}), dict(contracts or {})

    def map(self, record: Any) -> None:
        "Learn from a `SymbolMappingMsg` what an instrument id means from here on."
        self.symbols[record.instrument_id], self.contracts[record.instrument_id] = (
            record.stype_in_symbol,
            record.stype_out_symbol,
        )

    def bar(
        self,
        record: Any,  # `OHLCVMsg`, or a dictionary with the usual names
        symbol: str = "",  # of a dictionary that names none
        timeframe: "str | int" = "1min",  # of a dictionary
    ) -> Bar:
        "One record as a bar."
        if hasattr(record, "keys"):  # a dictionary, a `Bar`, a table's row
            return as_bar(symbol, record, timeframe)
        if record.instrument_id not in self.symbols:
            raise DataError(
                "instrument id",
                record.instrument_id,
                "must have been mapped to a symbol",
                "pass symbols={id: symbol} or the mapping records first",
            )
        step = _STEP_OF_RTYPE[int(record.rtype)]
        open, high, low, close = (value / PRICE_SCALE for value in (record.open, record.high, record.low, record.close))
        return Bar(
            self.symbols[record.instrument_id],
            str(Timeframe(f"{step // SECOND}s")),
            record.ts_event,
            record.ts_event + step,
            open,
            high,
            low,
            close,
            volume=record.volume,
            contract=self.contracts.get(record.instrument_id, ""),
        )

    def bars(self, records: Any) -> dict[str, Bars]:
        "Many records, or a table, by symbol; mapping records among them are learned from, others passed over."
        import databento

        if is_table(records):
            return self.frame(records)

        found: dict[str, list[Bar]] = {}
        for record in records:
            if isinstance(record, databento.SymbolMappingMsg):
                self.map(record)
            elif isinstance(record, databento.OHLCVMsg) or hasattr(record, "keys"):
                found.setdefault((bar := self.bar(record)).symbol, []).append(bar)
        return {symbol: Bars.from_bars(bars) for symbol, bars in found.items()}

    def store(self, store: Any) -> dict[str, Bars]:
        "A `DBNStore` by symbol: a file or a download of bars, or a recording of a live session."
        if store.schema is None:
            return self.bars(store)
        header = Header(str(store.schema), store.dataset, symbol_intervals(store.mappings), ts_out=False, version=0)
        if header.schema not in SCHEMA_STEP:
            raise DataError("schema", header.schema, "must be a schema of bars", "read_trades makes bars of trades")
        return bars_from_records(header, [store.to_ndarray()], contracts=self.contracts)

    def frame(
        self,
        frame: Any,  # `DBNStore.to_df()`, or any table with the usual column names
        symbol: str | None = None,  # of all rows, where the table has no symbol column
        timeframe: "str | int | None" = None,
    ) -> dict[str, Bars]:
        "A table by symbol."
        if "symbol" not in frame.columns:
            if symbol is None:
                raise InputError("symbol", None, "must be given for a table without a symbol column")
            return {symbol: bars_from_frame(frame, symbol, timeframe=timeframe)}
        if timeframe is None and "rtype" in frame.columns and len(frame):
            timeframe = f"{_STEP_OF_RTYPE[int(frame['rtype'].iloc[0])] // SECOND}s"
        return {
            name: bars_from_frame(rows, name, timeframe=timeframe) for name, rows in frame.groupby("symbol", sort=False)
        }
