"""Our sessions against another project's table, session by session from 2018 on, and against what was recorded.

Every session on which the two tables differ, of every product both have, stands in
futures_algo/core/data/calendar_differences.csv with the reason and its source (calendar_differences.py writes it);
guides/market_hours shows it.
"""

import csv
import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from market_hours import DAY, MARKETS, NOT_IN_TABLE, MarketHours, differences, ours, theirs

import futures_algo
from futures_algo.core.sessions import EXCHANGE_ZONE, SessionCalendar
from futures_algo.core.types import MINUTE, Bars
from futures_algo.history import read_parquet, validate_bars

LISTED = Path(futures_algo.__file__).parent / "core" / "data" / "calendar_differences.csv"
FIRST, LAST = dt.date(2018, 1, 1), dt.date(2027, 12, 31)  # the table's last holidays lie in 2027
RECORDED = ("ES", "NQ", "CL", "GC")  # products of which years of bars are here
COMPARED = [root for root in MARKETS if root not in NOT_IN_TABLE]


@pytest.fixture(scope="session")
def table(shared_data) -> Path:
    return shared_data / "calendar/market-hours-database.json"


@pytest.fixture(scope="session")
def found(table) -> dict[str, dict[dt.date, tuple[str, str]]]:
    return {root: differences(table, root, FIRST, LAST) for root in COMPARED}


@pytest.fixture(scope="session")
def recorded(shared_data) -> dict[str, Bars]:
    return {
        root: read_parquet(shared_data / f"bars_5m/{root}_5m.parquet", f"{root}.v.0", tz="UTC") for root in RECORDED
    }


def listed() -> list[dict]:
    with LISTED.open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row |= {
            "first": dt.date.fromisoformat(row["first"]),
            "last": dt.date.fromisoformat(row["last"]),
            "sessions": int(row["sessions"]),
        }
    return rows


def covered(row: dict, root: str, found: dict) -> set[dt.date]:
    "Sessions of a product a row speaks of: the differing ones in its span with exactly its hours."
    return {
        day
        for day, pair in found[root].items()
        if row["first"] <= day <= row["last"] and pair == (row["ours"], row["theirs"])
    }


class TestEveryDifferenceIsListed:
    def test_the_range_ends_with_the_tables_last_holidays(self, table):
        assert {MarketHours(table, root).last_year for root in RECORDED} == {LAST.year}

    @pytest.mark.parametrize("root", COMPARED)
    def test_no_session_differs_that_is_not_listed(self, root, found):
        known = set().union(*(covered(row, root, found) for row in listed() if root in row["products"].split()))
        assert {day: pair for day, pair in found[root].items() if day not in known} == {}

    def test_nothing_listed_has_vanished(self, found):
        gone = [
            (root, row)
            for row in listed()
            for root in row["products"].split()
            if len(covered(row, root, found)) != row["sessions"]
        ]
        assert gone == []

    def test_every_row_has_a_reason_and_a_source(self):
        assert all(row["reason"] and row["source"] for row in listed())

    @pytest.mark.parametrize("root", COMPARED)
    def test_all_other_sessions_agree(self, root, table, found):
        mine, other = ours(root, FIRST, LAST), theirs(table, root, FIRST, LAST)
        agreed = [day for day in mine if mine[day] == other.get(day)]
        assert (
            len(mine) - len(agreed) == sum(pair[0] != "closed" for pair in found[root].values()) and len(agreed) > 1600
        )


def minutes_of(text: str, session: dt.date) -> set[int]:
    "Five-minute steps (ns UTC) of a session's hours written as text."
    steps: set[int] = set()
    for span in text.split() if text != "closed" else ():
        start, end = (dt.datetime.combine(session, dt.time.fromisoformat(clock)) for clock in span.split("-"))
        start, end = (at - DAY if at.hour >= 17 else at for at in (start, end))
        begin, finish = (int(at.replace(tzinfo=EXCHANGE_ZONE).timestamp()) * 10**9 for at in (start, end))
        steps |= set(range(begin, finish, 5 * MINUTE))
    return steps


class TestRecordedBarsDecide:
    """Two years of five-minute bars; NQ's file lacks Tuesdays' regular hours, GC's every Friday from 06:05 and the
    quiet hours before a roll."""

    @pytest.mark.parametrize("root", RECORDED)
    def test_a_difference_in_the_recorded_years_is_decided_for_our_hours(self, root, found, recorded):
        starts = set(recorded[root].start.tolist())
        first, last = (pd.Timestamp(recorded[root].start[row], tz="UTC").date() for row in (0, -1))
        judged = {day: pair for day, pair in found[root].items() if first < day < last}
        assert judged
        for day, (mine, other) in judged.items():
            here, there = minutes_of(mine, day), minutes_of(other, day)
            assert not starts & (there - here), (day, "bars outside our hours")
            if mine != "closed" and here - there:
                assert starts & (here - there), (day, "no bar in the hours only we have")

    @pytest.mark.parametrize("root", RECORDED)
    def test_no_recorded_bar_lies_outside_our_sessions(self, root, recorded):
        assert "session" not in validate_bars(recorded[root]).counts

    @pytest.mark.parametrize(
        "root, holes",
        [
            ("ES", {"2025-06-27T21:00": 276, "2025-11-28T02:50": 128}),
            ("CL", {"2025-06-27T21:00": 276, "2026-02-11T04:40": 208}),
        ],
    )
    def test_the_only_holes_of_more_than_an_hour_are_the_files_own_and_the_outage_of_2025_11_28(
        self, root, holes, recorded
    ):
        large = [gap for gap in validate_bars(recorded[root]).gaps if gap.missing > 12]
        assert {f"{pd.Timestamp(gap.start):%Y-%m-%dT%H:%M}": gap.missing for gap in large} == holes

    @pytest.mark.parametrize(
        "root, holes", [("ES", []), ("CL", []), ("NQ", ["2024-12-24"]), ("GC", ["2024-11-29", "2025-11-28"])]
    )
    def test_the_last_bar_of_an_early_close_ends_at_our_close(self, root, holes, recorded):
        bars, calendar, short = recorded[root], SessionCalendar.of(root), []
        sessions = sorted(
            {one.session for one in calendar.segments(int(bars.start[0]), int(bars.start[-1]) - 24 * 60 * MINUTE)}
        )
        for session in sessions:
            opens, closes = calendar.session_bounds(session)
            own = bars.end[(bars.start >= opens) & (bars.start < closes)]
            if closes - opens == 23 * 60 * MINUTE or not len(own):
                continue
            if own[-1] != closes:
                short.append(session)
        assert short == holes

    @pytest.mark.parametrize("root", ["ES", "CL"])
    def test_every_session_we_expect_was_recorded(self, root, recorded):
        "But Monday 2025-06-30, which both files lack."
        bars, calendar = recorded[root], SessionCalendar.of(root)
        expected = {one.session for one in calendar.segments(int(bars.start[0]), int(bars.start[-1]))}
        had = {
            calendar.session_date(int(start))
            for start in bars.start[np.flatnonzero(np.diff(bars.start, prepend=0) > 30 * MINUTE)]
        }
        assert expected - had == {"2025-06-30"} and had <= expected
