"""Text files of bars written at random, in every shape the README names: what is read is what was written, or an error.

The writer below knows nothing of the readers: it follows the page on importing (separators, encodings, dates, counts,
decimal signs, stamps, order, missing cells) and nothing else.
"""

import datetime as dt
import random
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from futures_algo.core.types import MINUTE, FuturesAlgoError
from futures_algo.history import read_csv

UTC = dt.UTC
ZONED = (
    "iso_z",
    "iso_offset",
    "iso_space_offset",
    "seconds",
    "millis",
    "micros",
    "nanos",
    "seconds_point",
    "millis_point",
)
LOCAL = (
    "iso", "compact", "ymd_slash", "dmy_dot", "dmy_slash", "mdy_slash", "mdy_12h", "named_month", "serial",
    "two_columns_dmy", "two_columns_mdy", "two_columns_iso",
)  # fmt: skip


class Shape(NamedTuple):
    "How a file is written."

    sep: str
    encoding: str
    ending: str
    header: bool
    form: str
    decimal: str
    thousands: str
    stamp: str
    newest_first: bool
    volume: bool
    missing: str  # column of one missing cell, or nothing
    quoted: bool


class Row(NamedTuple):
    start: int  # minutes since 1970
    open: int  # quarters of a point
    high: int
    low: int
    close: int
    volume: int


@st.composite
def shapes(draw) -> Shape:
    form, sep = draw(st.sampled_from((*ZONED, *LOCAL))), draw(st.sampled_from((",", ";", "\t", "|")))
    decimal = draw(st.sampled_from((".", ","))) if sep != "," else "."
    thousands = draw(st.sampled_from(("", "", "." if decimal == "," else ",", " ")))
    return Shape(
        sep,
        draw(st.sampled_from(("utf-8", "utf-8-sig", "utf-16", "cp1252"))),
        draw(st.sampled_from(("\n", "\r\n"))),
        draw(st.booleans()),
        form,
        decimal,
        thousands,
        draw(st.sampled_from(("open", "close"))),
        draw(st.booleans()),
        draw(st.integers(0, 4)) > 0,
        draw(st.sampled_from(("", "", "", "time", "open", "close", "volume"))),
        draw(st.booleans()),
    )


def bars_of(seed: int) -> list[Row]:
    "Consecutive minutes of one trading day, prices on the tick grid."
    chance = random.Random(seed)
    day = dt.datetime(2025, 1, 6, tzinfo=UTC) + dt.timedelta(weeks=chance.randrange(52), days=chance.randrange(4))
    first = day + dt.timedelta(hours=chance.randrange(2, 20), minutes=chance.randrange(60))
    minute, price, rows = int(first.timestamp()) // 60, chance.randrange(4_800, 24_800), []
    for number in range(chance.randrange(8, 30)):
        close = price + chance.randrange(-6, 7)
        high, low = max(price, close) + chance.randrange(4), min(price, close) - chance.randrange(4)
        rows.append(Row(minute + number, price, high, low, close, chance.randrange(1, 3_000)))
        price = close
    return rows


def moment(row: Row, shape: Shape) -> list[str]:
    "The cells of a row's time."
    at = dt.datetime.fromtimestamp(60 * (row.start + (shape.stamp == "close")), UTC)
    seconds = int(at.timestamp())
    local = at.astimezone(dt.timezone(dt.timedelta(hours=-5)))
    offset = f"{local:%Y-%m-%dT%H:%M:%S}-05:00"
    forms = {
        "iso_z": [f"{at:%Y-%m-%dT%H:%M:%SZ}"],
        "iso_offset": [offset],
        "iso_space_offset": [offset.replace("T", " ")],
        "seconds": [str(seconds)],
        "millis": [str(seconds * 1000)],
        "micros": [str(seconds * 10**6)],
        "nanos": [str(seconds * 10**9)],
        "seconds_point": [f"{seconds}.0"],
        "millis_point": [f"{seconds * 1000}.0"],
        "iso": [f"{at:%Y-%m-%d %H:%M:%S}"],
        "compact": [f"{at:%Y%m%d %H%M%S}"],
        "ymd_slash": [f"{at.year}/{at.month}/{at.day} {at:%H:%M}"],
        "dmy_dot": [f"{at:%d.%m.%Y %H:%M}"],
        "dmy_slash": [f"{at:%d/%m/%Y %H:%M}"],
        "mdy_slash": [f"{at:%m/%d/%Y %H:%M}"],
        "mdy_12h": [f"{at:%m/%d/%Y %I:%M:%S %p}"],
        "named_month": [f"{at:%d-%b-%Y %H:%M}"],
        "serial": [f"{(seconds / 86_400) + 25_569:.6f}"],
        "two_columns_dmy": [f"{at:%d/%m/%Y}", f"{at:%H:%M}"],
        "two_columns_mdy": [f"{at:%m/%d/%Y}", f"{at:%H:%M:%S}"],
        "two_columns_iso": [f"{at:%Y-%m-%d}", f"{at:%H:%M}"],
    }
    return forms[shape.form]


def number(quarters: int, shape: Shape) -> str:
    text = f"{quarters / 4:,.2f}"
    return text.replace(",", "#").replace(".", shape.decimal).replace("#", shape.thousands)


def written(rows: list[Row], shape: Shape) -> bytes:
    two = shape.form.startswith("two_columns")
    names = (["Date", "Time"] if two else ["DateTime"]) + ["Open", "High", "Low", "Close"] + ["Volume"] * shape.volume
    lines = [names] if shape.header else []
    body = []
    for row in rows:
        cells = moment(row, shape) + [number(price, shape) for price in row[1:5]] + [str(row.volume)] * shape.volume
        body.append(cells)
    if shape.missing and (shape.missing != "volume" or shape.volume):
        column = {"time": 0, "open": 1 + two, "close": 4 + two, "volume": 5 + two}[shape.missing]
        body[len(body) // 2][column] = ""
    lines += body[::-1] if shape.newest_first else body
    quote = lambda cell: f'"{cell}"' if shape.quoted or shape.sep in cell else cell
    text = "".join(shape.sep.join(map(quote, cells)) + shape.ending for cells in lines)
    return text.encode(shape.encoding)


def equal(bars, rows: list[Row], shape: Shape) -> bool:
    "Whether the bars are the rows, to the tick."
    wanted = np.array([[row.start * MINUTE, *row[1:5], row.volume if shape.volume else 0] for row in rows])
    if len(bars) != len(rows) or bars.timeframe != "1min":
        return False
    found = np.column_stack(
        [
            bars.start,
            *(np.round(getattr(bars, name) * 4).astype(np.int64) for name in ("open", "high", "low", "close")),
            bars.volume,
        ]
    )
    return bool((found == wanted).all())


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "bars.csv"


SETTINGS = settings(settings.get_profile("campaign"), suppress_health_check=[HealthCheck.function_scoped_fixture])


@SETTINGS
@given(seed=st.integers(0, 2**32), shape=shapes())
def test_a_file_nobody_explained_is_read_right_or_refused(seed, shape, file):
    "Only the zone is said, and what the times mark; all else is the file's own."
    rows = bars_of(seed)
    file.write_bytes(written(rows, shape))
    try:
        bars = read_csv(file, "ES.c.0", tz="UTC", stamp=shape.stamp)
    except FuturesAlgoError:
        return
    assert equal(bars, rows, shape), shape


@SETTINGS
@given(seed=st.integers(0, 2**32), shape=shapes())
def test_a_file_that_was_explained_is_read(seed, shape, file):
    rows = bars_of(seed)
    file.write_bytes(written(rows, shape))
    said = {
        "tz": "UTC",
        "stamp": shape.stamp,
        "sep": shape.sep,
        "decimal": shape.decimal,
        "thousands": "space" if shape.thousands == " " else shape.thousands,
        "header": shape.header,
        "dayfirst": "dmy" in shape.form,
        "encoding": shape.encoding,
        "newest_first": shape.newest_first,
        "timeframe": "1min",
    }
    if shape.missing and (shape.missing != "volume" or shape.volume):
        with pytest.raises(FuturesAlgoError):
            read_csv(file, "ES.c.0", **said)
    else:
        assert equal(read_csv(file, "ES.c.0", **said), rows, shape), shape
