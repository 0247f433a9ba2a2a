"""Numbers as files write them: decimal commas, thousands, 32nds of a bond; what can be two numbers is an error."""

import re
from typing import Any, NamedTuple

import numpy as np

from futures_algo.core.contracts import Product
from futures_algo.core.types import DataError
from futures_algo.history.formats import Reading

_SPACES = "   "
_GROUPS = r"^[-+]?\d{1,3}(%s\d{3})+%s$"
_EMPTY = ("", "nan", "NaN", "NA", "N/A", "null", "NULL", "-", "None")


class Style(NamedTuple):
    "How a file writes numbers."

    decimal: str  # "." or ","
    thousands: str  # a sign, or nothing
    note: str = ""  # what was recognised


PLAIN = Style(".", "")


def style_of(columns: list[Any], reading: Reading, item: Product, path: str) -> Style:
    "The style of all price columns together (Arrow texts), as said or as the only one that reads every cell."
    thousands = " " if reading.thousands == "space" else reading.thousands
    if reading.decimal or thousands:
        return Style(reading.decimal or ("." if thousands != "." else ","), thousands)
    texts = [text for column in columns for text in _marked(column)]
    if not texts:
        return _style_of_points(columns, item, path)
    possible = [style for style in _candidates(texts, item) if all(_reads(style, text) for text in texts)]
    if not possible:
        return PLAIN  # the cell that is no number is named where it is read
    if len(possible) > 1:
        shown = " or ".join(f"{_plain(possible[i], texts[0])} ({possible[i].note})" for i in range(len(possible)))
        raise DataError("price", texts[0], f"can mean {len(possible)} numbers: {shown}",
                        "say --decimal , or --thousands ,", path)  # fmt: skip
    return possible[0]


def _marked(column: Any) -> list[str]:
    "The different texts with a mark other than a decimal point."
    import pyarrow.compute as pc

    odd = pc.filter(column, pc.match_substring_regex(column, rf"[,'’{_SPACES}]"))
    texts = pc.unique(pc.utf8_trim_whitespace(odd)).to_pylist()
    return [text for text in texts if re.search(rf"\d[,'’{_SPACES}]\d", text)]


def _candidates(texts: list[str], item: Product) -> list[Style]:
    marks = {mark for text in texts for mark in text if mark in ",'’" + _SPACES}
    if marks & set("'’"):
        ticks = item.calendar in ("rates", "grains")
        return [] if ticks else [Style(".", "'", "apostrophes group thousands"), Style(",", "'", "decimal comma")]
    if marks & set(_SPACES):
        return [Style(",", " ", "spaces group thousands, decimal comma"), Style(".", " ", "spaces group thousands")]
    found = [Style(".", ",", "commas group thousands"), Style(",", ".", "decimal comma")]
    return found


def _reads(style: Style, text: str) -> bool:
    "Whether a text is a number in this style; a text without either mark is one in every style."
    group, point = _mark_pattern(style.thousands), re.escape(style.decimal)
    return re.fullmatch(rf"[-+]?(\d+|\d{{1,3}}({group}\d{{3}})+)({point}\d*)?", text) is not None


def _plain(style: Style, text: str) -> str:
    "A text as Python writes the number."
    text = re.sub(f"[{_SPACES}'’]", "", text) if style.thousands in (" ", "'") else text.replace(style.thousands, "")
    return text.replace(style.decimal, ".")


def _style_of_points(columns: list[Any], item: Product, path: str) -> Style:
    """Points alone: decimals, unless every cell has three digits after each, as thousands would, and the product's tick
    needs fewer."""
    import pyarrow.compute as pc

    if decimals_of(item.tick_size) >= 3 or not columns or not len(columns[0]):
        return PLAIN
    if not re.fullmatch(_GROUPS % (r"\.", ""), columns[0][0].as_py() or ""):
        return PLAIN
    grouped = all(pc.all(pc.match_substring_regex(column, _GROUPS % (r"\.", ""))).as_py() for column in columns)
    text = columns[0][0].as_py()
    zeros = all(
        pc.all(pc.ends_with(column, "000" if decimals_of(item.tick_size) == 0 else "0")).as_py() for column in columns
    )
    if not grouped or (zeros and text.count(".") == 1):
        return PLAIN
    if text.count(".") > 1:
        return Style(",", ".", "points group thousands")
    rule = f"can mean 2 numbers: {text} (decimal point) or {text.replace('.', '')} (points group thousands)"
    raise DataError("price", text, rule, "say --decimal . or --thousands .", path)


def decimals_of(tick: float) -> int:
    "Decimals that write a tick in full: 2 of 0.25, 6 of 0.015625."
    return next(d for d in range(12) if abs(round(tick, d) - tick) < 1e-12)


def read_numbers(
    texts: Any,  # Arrow text column
    name: str,  # as errors name it
    style: Style,
    item: Product | None,  # for 32nds and eighths; None for volumes
    path: str,
) -> np.ndarray:  # float64[n], an empty cell is NaN
    "A column of numbers; a cell that is none is named by its row."
    import pyarrow as pa
    import pyarrow.compute as pc

    if style == PLAIN:
        try:
            return pc.cast(texts, pa.float64()).to_numpy()
        except pa.ArrowInvalid:
            pass
    texts = pc.utf8_trim_whitespace(texts)
    if item is not None and (fractions := _fractions(texts, item)) is not None:
        return fractions
    if style.thousands:
        _refuse_groups(texts, name, style, path)
        texts = pc.replace_substring_regex(texts, _mark_pattern(style.thousands), "")
    if style.decimal == ",":
        texts = pc.replace_substring(texts, ",", ".")
    texts = pc.if_else(pc.is_in(texts, pa.array(_EMPTY)), "nan", texts)
    try:
        return pc.cast(texts, pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        row, text = _first_odd(texts)
        hint = "write it out: K and M are rounded" if text[-1:] in "KkMmBb" else "correct the cell"
        raise DataError(name, text, "must be a number", hint, f"{path + ': ' if path else ''}row {row}") from None


def _refuse_groups(texts: Any, name: str, style: Style, path: str) -> None:
    "A mark that groups thousands stands before three digits; elsewhere it means something else."
    import pyarrow.compute as pc

    marked = pc.unique(pc.filter(texts, pc.match_substring_regex(texts, _mark_pattern(style.thousands)))).to_pylist()
    odd = next((text for text in marked if not _reads(style, text)), None)
    if odd is not None:
        row = pc.index(texts, odd).as_py()
        raise DataError(name, odd, "must be a number with thousands in groups of three", "correct the cell, or say"
                        " --decimal", f"{path + ': ' if path else ''}row {row}")  # fmt: skip


def _mark_pattern(sign: str) -> str:
    "What stands for a mark: any space, either apostrophe, or the mark itself."
    return {" ": f"[{_SPACES}]", "'": "['’]"}.get(sign, re.escape(sign))


def _first_odd(texts: Any) -> tuple[int, str]:
    import pandas as pd

    values = texts.to_pandas()
    odd = pd.to_numeric(values, errors="coerce").isna() & (values != "nan")
    row = int(np.flatnonzero(odd)[0]) if odd.any() else 0
    return row, str(values.iloc[row])


def _fractions(texts: Any, item: Product) -> np.ndarray | None:
    "Prices in 32nds (112'165, 112-16+) of rates, in eighths (445'2) of grains; None where they are not written so."
    import pyarrow.compute as pc

    if item.calendar not in ("rates", "grains") or not len(texts):
        return None
    form = r"^\d+['’-]\d{2}[0-8+]?$" if item.calendar == "rates" else r"^\d+['’-][0-7]$"
    if not pc.all(pc.match_substring_regex(texts, form)).as_py():
        return None
    unique = texts.dictionary_encode()
    unique = unique.combine_chunks() if hasattr(unique, "combine_chunks") else unique
    unique = unique.chunk(0) if hasattr(unique, "chunks") else unique
    values = np.array([_fraction(text, item.calendar) for text in unique.dictionary.to_pylist()])
    return values[unique.indices.to_numpy(zero_copy_only=False)]


_EIGHTHS = {"0": 0, "1": 1, "2": 2, "3": 3, "5": 4, "+": 4, "6": 5, "7": 6, "8": 7}  # of a 32nd, the third digit


def _fraction(text: str, group: str) -> float:
    whole, part = re.split("['’-]", text)
    if group == "grains":
        return int(whole) + int(part) / 8
    thirty_seconds, rest = int(part[:2]), part[2:] or "0"
    if thirty_seconds > 31 or rest not in _EIGHTHS:
        return float("nan")
    return int(whole) + (thirty_seconds + _EIGHTHS[rest] / 8) / 32


def snapped(prices: np.ndarray, tick: float) -> np.ndarray | None:
    """Prices a vendor wrote with fewer decimals than the tick has, on the tick grid again; None where they need it not,
    or where two ticks are possible."""
    full = decimals_of(tick)
    if full < 3 and tick not in (0.25,):
        return None
    finite = prices[np.isfinite(prices)]
    off = np.abs(finite / tick - np.round(finite / tick)) > 1e-6
    if not off.any():
        return None
    decimals = next((d for d in range(1, full) if np.allclose(finite, np.round(finite, d), rtol=0, atol=1e-9)), full)
    grid = np.round(prices / tick) * tick
    if decimals >= full or 10.0**-decimals >= tick / 2:
        return None
    return grid if np.nanmax(np.abs(grid - prices)) < 10.0**-decimals else None
