"""What the exports of known vendors look like, and how a user says what a file means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

from futures_algo.core.named import did_you_mean
from futures_algo.core.types import InputError

STAMPS = {"start": "start", "open": "start", "close": "close", "end": "close"}


class Format(NamedTuple):
    "A vendor's export: what it always is, whatever the file shows."

    vendor: str
    why: str  # what it is recognised by
    stamp: str  # what its times mark: "start" or "close" of the bar
    tz: str = ""  # zone of its clock; "exchange" is the product's own exchange, "" is known to the user alone
    sep: str = ""  # "" is told by the file
    header: bool | None = None  # None is told by the file
    names: tuple[str, ...] = ()  # columns of a file without a header line
    dayfirst: bool | None = None  # where a date could be two days


_OHLCV = ("open", "high", "low", "close", "volume")
FORMATS = {
    "ninjatrader": Format(
        "NinjaTrader",
        "no header, semicolons, yyyyMMdd HHmmss",
        "close",
        "UTC",
        ";",
        False,
        ("time", *_OHLCV),
    ),
    "tradestation": Format(
        "TradeStation", 'quoted header "Date","Time","Open", ... with "Up","Down" or "Volume"', "close", "exchange",
        ",", True, dayfirst=False,
    ),
    "sierra": Format("Sierra Chart", "header Date, Time, Open, High, Low, Last, Volume, NumberOfTrades", "start"),
    "tradingview": Format("TradingView", "header time,open,high,low,close in lower case", "start", "", ",", True),
    "databento": Format("Databento", "header with ts_event", "start", "UTC", ",", True),
    "firstrate": Format(
        "FirstRate Data", "timestamp,open,high,low,close,volume on New York's clock", "start", "America/New_York", ","
    ),
}  # fmt: skip


def recognised(
    names: Sequence[str],  # of the header as it is written; positions where there is none
    header: bool,
    sep: str,
    first: Sequence[str],  # the first row of data
    quoted: bool = False,  # whether the header's names stand in quotation marks and the data do not
) -> str:
    "The name of the format a file shows, or nothing; only what cannot be another vendor's."
    spelled = [name.strip().lower() for name in names]
    if not header:
        cell = first[0] if first else ""
        digits = cell.replace(" ", "")
        compact = len(cell) in (8, 15) and digits.isdigit() and len(digits) in (8, 14)
        return "ninjatrader" if sep == ";" and len(first) == 6 and compact else ""
    if "ts_event" in spelled:
        return "databento" if "rtype" in spelled or "instrument_id" in spelled else ""
    if quoted and list(names[:6]) == ["Date", "Time", "Open", "High", "Low", "Close"]:
        return "tradestation"
    if spelled[:2] == ["date", "time"] and ("up" in spelled and "down" in spelled):
        return "tradestation"
    if "numberoftrades" in spelled or "bidvolume" in spelled:
        return "sierra"
    if list(names[:5]) == ["time", "open", "high", "low", "close"]:
        return "tradingview"
    return ""


@dataclass(frozen=True, slots=True)
class Reading:
    "What the user says of a file; everything left out is told by the file, or asked for."

    format: str = ""  # a key of FORMATS
    timeframe: "str | int | None" = None  # "5min"; the most frequent step between rows by default
    tz: str | None = None  # zone of times that carry none: "America/New_York"
    stamp: str | None = None  # what a time marks: "start" (or "open") or "close" (or "end") of its bar
    columns: Mapping[str, str] | None = None  # ours -> the file's: {"time": "caldt", "volume": "Menge"}
    contract: str = ""  # dated contract of all rows, where the file has no such column
    sep: str = ""  # between cells: "," ";" "tab" "|" "space"
    decimal: str = ""  # "." or ","
    thousands: str = ""  # "," "." "'" or "space"
    header: bool | None = None  # whether the first line names the columns
    dayfirst: bool | None = None  # of 06/07/2025: True is 6 July, False is June 7th
    encoding: str = ""  # "utf-16", "cp1252"
    newest_first: bool = False  # the file runs back in time
    dedupe: str = ""  # "exact": of rows equal in every column one is kept
    accept: tuple[str, ...] = ()  # kinds of impossible prices that are true here: ("jump",)

    @classmethod
    def of(cls, given: "Reading | None" = None, **options: Any) -> "Reading":
        "Checked options; a wrong one is refused with the known ones."
        known = [field.name for field in fields(cls)]
        for name in options:
            if name not in known:
                raise InputError("option", name, "must be one of reading files", did_you_mean(name, known))
        return replace(given or cls(), **options)._checked()

    def _checked(self) -> "Reading":
        if self.format and self.format not in FORMATS:
            raise InputError("format", self.format, "must be a known one", did_you_mean(self.format, FORMATS))
        if self.stamp is not None and self.stamp not in STAMPS:
            raise InputError("stamp", self.stamp, "must be open (or start) or close (or end)",
                             did_you_mean(str(self.stamp), ["start", "close"]))  # fmt: skip
        if self.dedupe not in ("", "exact"):
            raise InputError("dedupe", self.dedupe, "must be 'exact'", "rows that differ are not duplicates")
        for name, allowed in (("decimal", (".", ",")), ("thousands", (",", ".", "'", "space", " "))):
            if (value := getattr(self, name)) and value not in allowed:
                raise InputError(name, value, f"must be one of {' '.join(allowed).rstrip()}", "as the file writes it")
        if self.decimal and self.decimal == self.thousands:
            raise InputError("thousands", self.thousands, "must differ from the decimal sign", "name one of the two")
        return self

    @property
    def preset(self) -> Format | None:
        "The format the user named."
        return FORMATS[self.format] if self.format else None
