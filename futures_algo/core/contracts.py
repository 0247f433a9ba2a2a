"""One canonical contract that knows every spelling, its tick and its point value."""

import csv
import datetime as dt
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from futures_algo.core.named import did_you_mean
from futures_algo.core.paths import DATA
from futures_algo.core.types import DataError, InputError

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
    dataset: str = "GLBX.MDP3"  # Databento's, where it is traded

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


CALENDARS = ("equity", "energy", "metals", "fx", "rates", "grains", "livestock", "crypto",
             "ice_sugar", "ice_coffee", "ice_cocoa", "ice_cotton", "ice_juice", "ice_dollar")  # fmt: skip
_NEEDED = ("root", "tick_size", "point_value", "calendar", "months")


def read_products(
    path: "Path | str",  # CSV with root, tick_size, point_value, calendar, months; name, exchange, currency, dataset
) -> list[Product]:
    "The products of a table, each checked."
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise DataError("products", str(path), f"must be a file that can be read ({error.strerror})") from None
    return [product_of(row, f"{path}: row {number}") for number, row in enumerate(rows)]


def product_of(row: Mapping[str, Any], path: str = "") -> Product:
    "A product from its named values; a wrong one is named."
    given = {name: str(value).strip() for name, value in row.items() if name and value not in (None, "")}
    for name in _NEEDED:
        if name not in given:
            raise InputError(f"product {name}", given.get("root", "missing"), f"must be given: {name} is missing",
                             f"write {', '.join(_NEEDED)}", path)  # fmt: skip
    for name in given:
        if name not in Product._fields:
            raise InputError("product", name, "must be a known value", did_you_mean(name, Product._fields), path)
    if not re.fullmatch(r"[A-Z0-9]{1,3}", given["root"]):
        raise InputError(
            "root", given["root"], "must be up to three capital letters or digits", "as the exchange writes it", path
        )
    if given["calendar"].partition(".")[0] not in CALENDARS:
        raise InputError(
            "calendar", given["calendar"], "must be a known one", did_you_mean(given["calendar"], CALENDARS), path
        )
    if not given["months"] or set(given["months"]) - set(MONTH_CODES):
        raise InputError("months", given["months"], f"must be letters of {MONTH_CODES}, in order", "write HMUZ", path)
    values: dict[str, Any] = {"name": given["root"]} | given
    values |= {name: _positive(given[name], name, path) for name in ("tick_size", "point_value")}
    return Product(**values)


def _positive(text: str, name: str, path: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < math.inf:
        raise InputError(name, text, "must be a number above 0", "", path)
    return value


PRODUCTS: dict[str, Product] = {one.root: one for one in read_products(DATA / "products.csv")}


def load_products(folder: "Path | str" = ".") -> list[str]:
    """Take the user's products.csv over the shipped table: the file FUTURES_ALGO_PRODUCTS names, or the one in a
    folder or
    its config/; the roots it has."""
    named = os.environ.get("FUTURES_ALGO_PRODUCTS", "")
    places = [Path(named)] if named else [Path(folder) / "products.csv", Path(folder) / "config" / "products.csv"]
    found = [product for place in places if named or place.is_file() for product in read_products(place)]
    for product in found:
        add_product(product)
    return [product.root for product in found]


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
            did_you_mean(root, PRODUCTS) + "; add others to products.csv or to the config's products",
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
    span = int(10 ** len(digits))
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
        "The contract of the main months after this one; a serial month is followed by a main one too."
        numbers = [MONTH_CODES.index(code) + 1 for code in self.product.months]
        later = [month for month in numbers if month > self.month]
        return Contract(self.root, self.year + (not later), later[0] if later else numbers[0])


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
