"""How a text file of bars is built: encoding, separator, header line; with the reason for each."""

import codecs
import csv
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from futures_algo.core.named import did_you_mean
from futures_algo.core.types import DataError, InputError
from futures_algo.history.formats import FORMATS, Reading, recognised

_SAMPLE = 1 << 16  # bytes looked at
_LINES = 200
SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "space": " "}
_NAMES = {sign: name for name, sign in SEPARATORS.items()}
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NUMBER = re.compile(r"[-+]?(\d[\d.,'’\s]*)?\d\.?([eE][-+]?\d+)?|[-+]?\.\d+|nan|NaN|null|NULL|\d+-\d{2,3}\+?")
_MOMENT = re.compile(r"\s*\d{1,4}[-/. ]?(\d{1,2}|[A-Za-z]{3,9})[-/. ,]*\d{1,4}.*|\s*\d{8,19}(\.\d*)?\s*")


class Layout(NamedTuple):
    "How a text file is built."

    encoding: str
    sep: str
    header: bool
    names: tuple[str, ...]  # of the columns, in order; positions from 1 where there is no header
    skip: int  # lines before the first row of data
    format: str  # key of FORMATS, or nothing
    why: tuple[str, ...]  # what was recognised, and by what

    @property
    def cells(self) -> int:
        return len(self.names)


def layout_of(path: "Path | str", reading: Reading) -> Layout:
    "The layout of a file, as the user says or as the file shows."
    sample, whole = _sample(path)
    encoding, why = _encoding(sample, reading, path)
    text = _decoded(sample, encoding, path)
    lines = text.splitlines()
    lines = (lines if whole else lines[:-1])[:_LINES]
    if not any(line.strip() for line in lines):
        raise DataError("file", Path(path).name, "must hold rows of bars", "it is empty", str(path))
    lead, told = _lead(lines)
    sep, reason = _separator(lines[lead:], reading, told, path)
    rows = [
        (number, row) for number, row in enumerate(_split(lines, sep)) if number >= lead and any(map(str.strip, row))
    ]
    return _with_columns(rows, lines, sep, encoding, reading, [*why, reason], path)  # fmt: skip


def _sample(path: "Path | str") -> tuple[bytes, bool]:
    "The first bytes, decompressed, and whether they are all there are."
    import pyarrow

    try:
        if not Path(path).is_file():
            raise FileNotFoundError(2, "No such file or directory")
        with pyarrow.input_stream(str(path)) as stream:
            found = stream.read(_SAMPLE)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError("file", str(path), f"must be a file that can be read ({reason})", "check the path") from None
    return found, len(found) < _SAMPLE


def _encoding(sample: bytes, reading: Reading, path: "Path | str") -> tuple[str, list[str]]:
    if reading.encoding:
        try:
            codecs.lookup(reading.encoding)
        except LookupError:
            raise InputError(
                "encoding", reading.encoding, "must be a known one", "such as utf-8, utf-16, cp1252"
            ) from None
        return reading.encoding, []
    for mark, name in _BOMS:
        if sample.startswith(mark):
            return name, [f"{name.upper()} by its byte order mark"]
    half = sample[: len(sample) // 2 * 2]
    for name, zeros in (("utf-16-le", half[1::2]), ("utf-16-be", half[::2])):
        if len(zeros) > 8 and zeros.count(0) > 0.9 * len(zeros):
            return name, [f"{name.upper()} by its zero bytes"]
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return "cp1252", ["Windows' Western encoding (cp1252), as it is not UTF-8"]
    return "utf-8", []


def _decoded(sample: bytes, encoding: str, path: "Path | str") -> str:
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeDecodeError as error:
        raise DataError("file", Path(path).name, f"must be text in {encoding} ({error.reason} at byte {error.start})",
                        "name its encoding with --encoding", str(path)) from None  # fmt: skip
    if "\x00" in text:
        raise DataError("file", Path(path).name, "must be text", "it holds zero bytes: is it CSV?", str(path))
    return text.removeprefix("\ufeff")


def _lead(lines: Sequence[str]) -> tuple[int, str]:
    "Lines that Excel or a vendor puts before the table, and the separator that `sep=;` names."
    lead, told = 0, ""
    while lead < len(lines) and (not lines[lead].strip() or lines[lead].startswith(("#", "sep="))):
        told = lines[lead][4:5] if lines[lead].startswith("sep=") else told
        lead += 1
    return lead, told


def _split(lines: Sequence[str], sep: str) -> list[list[str]]:
    if sep == " ":
        return [line.strip().split(" ") if "\t" in line else re.split(" +", line.strip()) for line in lines]
    return [next(csv.reader([line], delimiter=sep), []) for line in lines]


def _separator(lines: Sequence[str], reading: Reading, told: str, path: "Path | str") -> tuple[str, str]:
    "The separator, and the reason."
    given = reading.sep or (reading.preset.sep if reading.preset else "")
    if given:
        sep = SEPARATORS.get(given, "\t" if given == "\\t" else given)
        if len(sep) != 1:
            raise InputError("sep", given, "must be one sign, or its name", did_you_mean(given, SEPARATORS))
        return sep, f"{_NAMES.get(sep, sep)} between cells, as said"
    if told:
        return told, f"{_NAMES.get(told, told)} between cells, as its sep= line says"
    possible = [sep for sep in (";", "\t", ",", "|", " ") if _fits(_split(lines, sep))]
    if not possible:
        cells = max(len(row) for sep in (";", "\t", ",", "|") for row in _split(lines[:3], sep))
        raise DataError("file", Path(path).name, "must be rows of a time, four prices and more, one separator between",
                        f"no separator of comma, semicolon, tab, pipe or space gives that ({cells} cells at most in"
                        " the first lines); name it with --sep", str(path))  # fmt: skip
    if len(possible) > 1:
        shown = "; or ".join(f"{_NAMES[sep]}: {_split(lines[-1:], sep)[0]}" for sep in possible)
        raise DataError("separator", lines[-1][:80], f"can be read in {len(possible)} ways: {shown}",
                        "say which with --sep", str(path))  # fmt: skip
    return possible[0], f"{_NAMES[possible[0]]} between cells"


def _fits(rows: list[list[str]]) -> bool:
    "Whether every row has as many cells as the others, and the last ones are a time and numbers."
    rows = [row for row in rows if any(map(str.strip, row))]
    body = rows[1:] or rows
    widths = Counter(len(row) for row in body)
    width, count = widths.most_common(1)[0]
    if width < 5 or count < 0.6 * len(body) or (len(rows) > 1 and len(rows[0]) not in (width, width - 1)):
        return False
    return all(_is_data(row) for row in body[:20] if len(row) == width)


def _is_data(row: Sequence[str]) -> bool:
    "Whether cells are of a row of bars: at least four numbers, and a moment or a count of seconds before them."
    numbers = sum(_NUMBER.fullmatch(cell.strip()) is not None and bool(cell.strip()) for cell in row)
    return numbers >= 4 and any(_MOMENT.fullmatch(cell) for cell in row)


def _with_columns(
    rows: list[tuple[int, list[str]]],
    lines: Sequence[str],
    sep: str,
    encoding: str,
    reading: Reading,
    why: list[str],
    path: "Path | str",
) -> Layout:
    "Header or none, the columns' names, and the vendor they are of."
    preset = reading.preset
    header = reading.header
    if header is None and preset is not None:
        header = preset.header
    if header is None:
        header = not _is_data(rows[0][1])
    at, first = rows[0]
    cells = len(rows[1][1]) if header and len(rows) > 1 else len(first)
    if header:
        names = [name.strip().strip('"').strip() for name in first]
        names += [f"column {number}" for number in range(len(names) + 1, cells + 1)]
        data, skip = (rows[1][1] if len(rows) > 1 else []), at + 1
    else:
        names, data, skip = [str(number) for number in range(1, cells + 1)], first, at
        why = [*why, "no header line"]
    below = lines[rows[1][0]] if len(rows) > 1 else ""
    quoted = header and lines[at].startswith('"') and '"' not in below
    format = reading.format or recognised(names, header, sep, data, quoted)
    if format:
        shown = "as said" if reading.format else f"by: {FORMATS[format].why}"
        why = [*why, f"{FORMATS[format].vendor}'s export, {shown}"]
    return Layout(encoding, sep, header, tuple(names), skip, format, tuple(why))
