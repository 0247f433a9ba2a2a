"""One canonical contract that knows every spelling, its tick and its point value."""

import datetime as dt
import math
import re
from typing import NamedTuple

from futures_algo.core.types import InputError, did_you_mean

MONTH_CODES = "FGHJKMNQUVXZ"  # January .. December
_MONTH_NAMES = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_FEED = re.compile(r"(?P<root>[A-Z0-9]{1,3})\.(?P<rule>[cvn])\.(?P<rank>\d+)")
_CODE = re.compile(r"(?P<root>[A-Z0-9]{1,3}?)(?P<code>[FGHJKMNQUVXZ])(?P<year>\d{4}|\d{2}|\d)")
_NUMERIC = re.compile(r"(?P<root>[A-Z0-9]{1,3}) (?P<month>\d\d)-(?P<year>\d\d)")
_NAMED = re.compile(r"(?P<root>[A-Z0-9]{1,3}) ?(?P<name>" + "|".join(_MONTH_NAMES) + r") ?(?P<year>\d{4}|\d\d)", re.I)


def root_of(symbol: str) -> str:
    "The root of a feed symbol, a contract in any spelling, or a bare root."
    if m := _FEED.fullmatch(symbol):
        return m["root"]
    if symbol in PRODUCTS:
        return symbol
    for form in (_NUMERIC, _NAMED, _CODE):
        if m := form.fullmatch(symbol.strip()):
            return m["root"].upper()
    return symbol.removesuffix("1!")


class Product(NamedTuple):
    "What all contracts of one root share."

    root: str  # "ES"
    name: str  # "E-mini S&P 500"
    tick_size: float  # points
    point_value: float  # US dollars a point, one contract
    calendar: str  # session calendar group: equity, energy, metals, fx, rates, grains, livestock, crypto
    months: str  # listed month codes, in order
    exchange: str = "CME"
    currency: str = "USD"  # of a point's value

    @property
    def calendar_group(self) -> str:
        "The group its calendar belongs to: equity of equity.nikkei."
        return self.calendar.partition(".")[0]

    @property
    def tick_value(self) -> float:
        "US dollars a tick, one contract."
        return self.tick_size * self.point_value

    def to_ticks(self, price: float) -> int:
        "The price as a whole number of ticks; a price off the grid is refused."
        ticks = round(price / self.tick_size)
        if not math.isfinite(price) or abs(price - ticks * self.tick_size) > self.tick_size * 1e-6:
            raise InputError(
                f"{self.root} price",
                price,
                f"must be a multiple of {self.tick_size}",
                "round it to the tick grid first",
            )
        return ticks


_ROWS = """
ES  | E-mini S&P 500          | 0.25      | 50      | equity    | HMUZ         | CME
MES | Micro E-mini S&P 500    | 0.25      | 5       | equity    | HMUZ         | CME
NQ  | E-mini Nasdaq-100       | 0.25      | 20      | equity    | HMUZ         | CME
MNQ | Micro E-mini Nasdaq-100 | 0.25      | 2       | equity    | HMUZ         | CME
RTY | E-mini Russell 2000     | 0.1       | 50      | equity    | HMUZ         | CME
M2K | Micro E-mini Russell    | 0.1       | 5       | equity    | HMUZ         | CME
YM  | E-mini Dow              | 1         | 5       | equity    | HMUZ         | CBOT
MYM | Micro E-mini Dow        | 1         | 0.5     | equity    | HMUZ         | CBOT
CL  | WTI Crude Oil           | 0.01      | 1000    | energy    | FGHJKMNQUVXZ | NYMEX
MCL | Micro WTI Crude Oil     | 0.01      | 100     | energy    | FGHJKMNQUVXZ | NYMEX
NG  | Henry Hub Natural Gas   | 0.001     | 10000   | energy    | FGHJKMNQUVXZ | NYMEX
RB  | RBOB Gasoline           | 0.0001    | 42000   | energy    | FGHJKMNQUVXZ | NYMEX
HO  | NY Harbor ULSD          | 0.0001    | 42000   | energy    | FGHJKMNQUVXZ | NYMEX
GC  | Gold                    | 0.1       | 100     | metals    | GJMQVZ       | COMEX
MGC | Micro Gold              | 0.1       | 10      | metals    | GJMQVZ       | COMEX
SI  | Silver                  | 0.005     | 5000    | metals    | HKNUZ        | COMEX
SIL | Micro Silver            | 0.005     | 1000    | metals    | HKNUZ        | COMEX
HG  | Copper                  | 0.0005    | 25000   | metals    | HKNUZ        | COMEX
MHG | Micro Copper            | 0.0005    | 2500    | metals    | HKNUZ        | COMEX
PL  | Platinum                | 0.1       | 50      | metals    | FJNV         | NYMEX
6E  | Euro FX                 | 0.00005   | 125000  | fx        | HMUZ         | CME
M6E | Micro Euro FX           | 0.0001    | 12500   | fx        | HMUZ         | CME
6B  | British Pound           | 0.0001    | 62500   | fx        | HMUZ         | CME
M6B | Micro British Pound     | 0.0001    | 6250    | fx        | HMUZ         | CME
6J  | Japanese Yen            | 0.0000005 | 12500000| fx        | HMUZ         | CME
6A  | Australian Dollar       | 0.00005   | 100000  | fx        | HMUZ         | CME
M6A | Micro Australian Dollar | 0.0001    | 10000   | fx        | HMUZ         | CME
6C  | Canadian Dollar         | 0.00005   | 100000  | fx        | HMUZ         | CME
6S  | Swiss Franc             | 0.00005   | 125000  | fx        | HMUZ         | CME
6N  | New Zealand Dollar      | 0.00005   | 100000  | fx        | HMUZ         | CME
ZB  | 30-Year T-Bond          | 0.03125   | 1000    | rates     | HMUZ         | CBOT
UB  | Ultra T-Bond            | 0.03125   | 1000    | rates     | HMUZ         | CBOT
ZN  | 10-Year T-Note          | 0.015625  | 1000    | rates     | HMUZ         | CBOT
TN  | Ultra 10-Year T-Note    | 0.015625  | 1000    | rates     | HMUZ         | CBOT
ZF  | 5-Year T-Note           | 0.0078125 | 1000    | rates     | HMUZ         | CBOT
ZT  | 2-Year T-Note           | 0.00390625| 2000    | rates     | HMUZ         | CBOT
ZC  | Corn                    | 0.25      | 50      | grains    | HKNUZ        | CBOT
ZS  | Soybeans                | 0.25      | 50      | grains    | FHKNQUX      | CBOT
ZW  | Chicago Wheat           | 0.25      | 50      | grains    | HKNUZ        | CBOT
ZL  | Soybean Oil             | 0.01      | 600     | grains    | FHKNQUVZ     | CBOT
ZM  | Soybean Meal            | 0.1       | 100     | grains    | FHKNQUVZ     | CBOT
HE  | Lean Hogs               | 0.025     | 400     | livestock | GJKMNQVZ     | CME
LE  | Live Cattle             | 0.025     | 400     | livestock | GJMQVZ       | CME
BTC | Bitcoin                 | 5         | 5       | crypto    | FGHJKMNQUVXZ | CME
MBT | Micro Bitcoin           | 5         | 0.1     | crypto    | FGHJKMNQUVXZ | CME
ETH | Ether                   | 0.5       | 50      | crypto    | FGHJKMNQUVXZ | CME
MET | Micro Ether             | 0.5       | 0.1     | crypto    | FGHJKMNQUVXZ | CME
"""


def _product(row: str) -> Product:
    root, name, tick, value, calendar, months, exchange = (cell.strip() for cell in row.split("|"))
    return Product(root, name, float(tick), float(value), calendar, months, exchange)


PRODUCTS: dict[str, Product] = {p.root: p for p in map(_product, _ROWS.strip().splitlines())}


def product(
    symbol: str,  # a root, a feed symbol or any spelling of a contract: "ES", "ES.c.0", "ESZ5", "ES 12-25"
) -> Product:
    "The product behind any symbol; an unknown root is refused with the closest known one."
    root = root_of(symbol)
    if root not in PRODUCTS:
        raise InputError(
            "symbol",
            symbol,
            f"must belong to a known product, and {root!r} is none",
            did_you_mean(root, PRODUCTS) + "; add others with add_product()",
        )
    return PRODUCTS[root]


def add_product(new: Product) -> None:
    "Make a product known that the shipped table lacks, or correct one."
    PRODUCTS[new.root] = new


_MONTHS_AFTER_EXPIRY = 3  # how long an expired contract is still the likelier reading of a single-digit year


def _full_year(digits: str, month: int, near: dt.date) -> int:
    "The year that one, two or four digits mean, near a date."
    if len(digits) == 4:
        return int(digits)
    span = 10 ** len(digits)
    oldest = near.year * 12 + near.month - 1 - (_MONTHS_AFTER_EXPIRY if span == 10 else 600)
    year = int(digits) + (oldest // 12 // span) * span
    while year * 12 + month - 1 < oldest:
        year += span
    return year


class Contract(NamedTuple):
    "One dated futures contract."

    root: str  # "ES"
    year: int  # 2025
    month: int  # 1..12

    @classmethod
    def parse(
        cls,
        text: str,  # "ESZ5", "ESZ25", "ESZ2025", "ES 12-25", "ES DEC25", "ES Dec 2025"
        near: dt.date | None = None,  # a date the contract traded near; today when omitted
    ) -> "Contract":
        "Read any spelling of a dated contract."
        near = near or dt.date.today()
        text = text.strip()
        if m := _NUMERIC.fullmatch(text):
            month = int(m["month"])
        elif m := _NAMED.fullmatch(text):
            month = _MONTH_NAMES.index(m["name"].upper()) + 1
        elif m := _CODE.fullmatch(text):
            month = MONTH_CODES.index(m["code"]) + 1
        if not m or not 1 <= month <= 12:
            raise InputError(
                "contract",
                text,
                "must name a root, a month and a year",
                "write it as 'ESZ5', 'ESZ25', 'ES 12-25' or 'ES DEC25'",
            )
        return cls(m["root"].upper(), _full_year(m["year"], month, near), month)

    @property
    def code(self) -> str:
        "Exchange and Databento spelling: 'ESZ5'."
        return f"{self.root}{MONTH_CODES[self.month - 1]}{self.year % 10}"

    @property
    def long_code(self) -> str:
        "Two-digit-year spelling: 'ESZ25'."
        return f"{self.root}{MONTH_CODES[self.month - 1]}{self.year % 100:02d}"

    @property
    def ninjatrader(self) -> str:
        "NinjaTrader 8 spelling: 'ES 12-25'."
        return f"{self.root} {self.month:02d}-{self.year % 100:02d}"

    @property
    def month_name(self) -> str:
        "Charting spelling: 'ES DEC25'."
        return f"{self.root} {_MONTH_NAMES[self.month - 1]}{self.year % 100:02d}"

    @property
    def product(self) -> Product:
        return product(self.root)

    def next(self) -> "Contract":
        "The contract listed after this one."
        months = self.product.months
        at = months.index(MONTH_CODES[self.month - 1]) + 1
        code, year = months[at % len(months)], self.year + at // len(months)
        return Contract(self.root, year, MONTH_CODES.index(code) + 1)


class FeedSymbol(NamedTuple):
    "A continuous symbol such as ES.c.0: root, roll rule, rank."

    root: str
    rule: str  # c nearest expiry, v highest volume, n highest open interest
    rank: int  # 0 the front

    @classmethod
    def parse(cls, text: str) -> "FeedSymbol":
        if not isinstance(text, str) or not (m := _FEED.fullmatch(text)):
            raise InputError("feed symbol", text, "must be ROOT.RULE.RANK with rule c, v or n", "write it as 'ES.c.0'")
        return cls(m["root"], m["rule"], int(m["rank"]))

    def __str__(self) -> str:
        return f"{self.root}.{self.rule}.{self.rank}"
