"Sessions open, halt and close when the exchange says."
import csv
import datetime as dt

import pytest

from futures_algo.core import InputError, to_nanos
from futures_algo.sessions import REGULAR, SessionCalendar
from futures_algo.session_table import TABLE

ES = SessionCalendar.of("ES.c.0")


def chicago(text: str) -> int:
    from zoneinfo import ZoneInfo
    return to_nanos(dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("America/Chicago")))


@pytest.mark.parametrize("session, opens, closes", [
    ("2025-03-07", "2025-03-06 17:00", "2025-03-07 16:00"),   # before daylight saving
    ("2025-03-10", "2025-03-09 17:00", "2025-03-10 16:00"),   # the Monday after
    ("2025-11-03", "2025-11-02 17:00", "2025-11-03 16:00"),   # back to standard time
    ("2023-11-23", "2023-11-22 17:00", "2023-11-23 12:00"),   # Thanksgiving
    ("2023-11-24", "2023-11-23 17:00", "2023-11-24 12:15"),   # the day after
    ("2024-12-24", "2024-12-23 17:00", "2024-12-24 12:15"),   # Christmas Eve
    ("2023-04-07", "2023-04-06 17:00", "2023-04-07 08:15"),   # Good Friday with a jobs report
    ("2023-06-19", "2023-06-18 17:00", "2023-06-19 12:00"),   # Juneteenth
])
def test_golden_sessions_of_the_equity_index(session, opens, closes):
    assert ES.session_bounds(session) == (chicago(opens), chicago(closes))


@pytest.mark.parametrize("day", ["2024-12-25", "2024-03-29", "2025-01-01", "2025-03-08", "2025-03-09"])
def test_days_without_a_session(day):
    assert ES.session_bounds(day) is None


def test_the_daily_halt_is_closed_and_belongs_to_the_next_session():
    halt = chicago("2025-03-11 16:30")
    assert not ES.is_open(halt) and ES.segment(halt) is None
    assert ES.session_date(halt) == "2025-03-12"
    assert ES.next_open(halt) == chicago("2025-03-11 17:00") and ES.next_close(halt) == chicago("2025-03-12 16:00")


def test_boundaries_are_half_open():
    assert ES.is_open(chicago("2025-03-10 17:00")) and not ES.is_open(chicago("2025-03-11 16:00"))
    assert not ES.is_open(chicago("2025-03-10 17:00") - 1) and ES.is_open(chicago("2025-03-11 16:00") - 1)


def test_the_pause_before_2021_06_28():
    assert not ES.is_open(chicago("2021-06-25 15:20")) and ES.is_open(chicago("2021-06-28 15:20"))


def test_minutes_expected_counts_trading_time_only():
    assert ES.minutes_expected(chicago("2025-03-11 15:30"), chicago("2025-03-11 17:30")) == 60
    assert ES.minutes_expected(chicago("2025-03-08 00:00"), chicago("2025-03-09 12:00")) == 0
    assert ES.minutes_expected(*ES.session_bounds("2025-03-11")) == 23 * 60


def test_regular_hours_are_cut_by_an_early_close():
    assert ES.regular_hours("2025-03-11")[:2] == (chicago("2025-03-11 08:30"), chicago("2025-03-11 15:00"))
    assert ES.regular_hours("2023-11-24").close == chicago("2023-11-24 12:15")
    assert ES.regular_hours("2023-04-07") is None


def test_grains_have_two_segments_a_session():
    corn = SessionCalendar.of("ZC.c.0")
    assert [s.session for s in corn.segments(*corn.session_bounds("2025-03-11"))] == ["2025-03-11"] * 2


def test_a_time_outside_the_table_is_refused():
    with pytest.raises(InputError, match="2008 to 2030"): ES.is_open(to_nanos("2040-01-01T00:00Z"))


def test_segments_are_ordered_and_disjoint():
    for group in REGULAR:
        bounds = SessionCalendar(group).bounds
        assert all(a < b for a, b in zip(bounds, bounds[1:])), group


def test_the_shipped_table_is_what_its_program_writes():
    from futures_algo.session_table import rows
    with TABLE.open() as file: shipped = [tuple(row) for row in csv.reader(file)][1:]
    assert shipped == rows()
