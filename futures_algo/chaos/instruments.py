"Instruments by every spelling the wire takes; NinjaTrader's dated form (`ES 03-26`) is the one inside."

import re
from dataclasses import dataclass

MONTHS = "FGHJKMNQUVXZ"
NAMES = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DATED = re.compile(r"^([A-Z0-9]{1,4}) (\d{2})-(\d{2})$")
_NAMED = re.compile(r"^([A-Z0-9]{1,4}) ([A-Z]{3})(\d{2})$")
_CODED = re.compile(r"^([A-Z0-9]{1,4})([FGHJKMNQUVXZ])(\d{1,2})$")


@dataclass(frozen=True)
class Product:
    "What one root trades as: `tick` in points, `point_value` in dollars for a point and contract."

    root: str
    tick: float
    point_value: float
    description: str = ""


PRODUCTS = {
    p.root: p
    for p in (
        Product("ES", 0.25, 50, "E-mini S&P 500 Futures"),
        Product("MES", 0.25, 5, "Micro E-mini S&P 500 Futures"),
        Product("NQ", 0.25, 20, "E-mini Nasdaq-100 Futures"),
        Product("MNQ", 0.25, 2, "Micro E-mini Nasdaq-100 Futures"),
        Product("RTY", 0.1, 50, "E-mini Russell 2000 Futures"),
        Product("M2K", 0.1, 5, "Micro E-mini Russell 2000 Futures"),
        Product("YM", 1, 5, "E-mini Dow Futures"),
        Product("MYM", 1, 0.5, "Micro E-mini Dow Futures"),
        Product("CL", 0.01, 1000, "Crude Oil Futures"),
        Product("MCL", 0.01, 100, "Micro Crude Oil Futures"),
        Product("NG", 0.001, 10000, "Natural Gas Futures"),
        Product("HG", 0.0005, 25000, "Copper Futures"),
        Product("GC", 0.1, 100, "Gold Futures"),
        Product("MGC", 0.1, 10, "Micro Gold Futures"),
        Product("SI", 0.005, 5000, "Silver Futures"),
        Product("6E", 0.00005, 125000, "Euro FX Futures"),
        Product("ZN", 1 / 64, 1000, "10-Year T-Note Futures"),
        Product("ZB", 1 / 32, 1000, "U.S. T-Bond Futures"),
    )
}


class UnknownInstrument(ValueError):
    "No product or no front month is known for the spelling."


class Instruments:
    "Every spelling to the dated form; `front` is the month a bare root means, set by the caller or by the first price."

    def __init__(self, year: int) -> None:
        self.year = year  # calendar year that single-digit years are read near
        self.products = dict(PRODUCTS)
        self.front: dict[str, str] = {}  # root -> dated form

    def dated(self, text: str) -> str:
        "`ES 03-26`, `ES MAR26`, `ESH26`, `ESH6`, `ES`, `ES1!` to `ES 03-26`; raises UnknownInstrument."
        name = str(text).strip().upper()
        return self._explicit(name) or self._front(name.removesuffix("1!"), text)

    def known(self, text: str) -> str | None:
        "The dated form, None for an unknown spelling."
        try:
            return self.dated(text)
        except UnknownInstrument:
            return None

    def product(self, dated: str) -> Product:
        return self.products[dated.split(" ")[0]]

    def learn(self, dated: str) -> None:
        "The first month heard of is the root's front month until the caller says otherwise."
        self.front.setdefault(dated.split(" ")[0], dated)

    def _explicit(self, name: str) -> str | None:
        if (found := _DATED.match(name)) and 1 <= int(found[2]) <= 12:
            return self._made(found[1], int(found[2]), int(found[3]))
        if (found := _NAMED.match(name)) and found[2] in NAMES:
            return self._made(found[1], NAMES.index(found[2]) + 1, int(found[3]))
        if (found := _CODED.match(name)) and found[1] in self.products:
            return self._made(found[1], MONTHS.index(found[2]) + 1, self._year(found[3]))
        return None

    def _made(self, root: str, month: int, year: int) -> str:
        if root not in self.products:
            raise UnknownInstrument(f"Instrument '{root}' not found")
        return f"{root} {month:02d}-{year:02d}"

    def _year(self, digits: str) -> int:
        if len(digits) == 2:
            return int(digits)
        near = [year for year in range(self.year - 2, self.year + 8) if year % 10 == int(digits)]
        return near[0] % 100

    def _front(self, root: str, text: str) -> str:
        if root in self.front:
            return self.front[root]
        raise UnknownInstrument(f"Instrument '{text}' not found")
