"Sessions open, halt and close when the exchange says."

import csv
import datetime as dt
import json

import pytest

from futures_algo.core.holiday_table import TABLE
from futures_algo.core.regular_hours import REGULAR
from futures_algo.core.sessions import SessionCalendar
from futures_algo.core.types import HOUR, InputError, to_nanos

ES = SessionCalendar.of("ES.c.0")


def chicago(text: str) -> int:
    from zoneinfo import ZoneInfo

    return to_nanos(dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("America/Chicago")))


# name: session date -> evening it opens on, last close of the equity index (ES, NQ) and of energy and metals (CL, GC),
# Chicago time; None: no session.
GOLDEN = {
    "last session before spring's daylight saving": ("2025-03-07", "2025-03-06", "16:00", "16:00"),
    "first session of daylight saving": ("2025-03-10", "2025-03-09", "16:00", "16:00"),
    "last session before autumn's standard time": ("2025-10-31", "2025-10-30", "16:00", "16:00"),
    "first session of standard time": ("2025-11-03", "2025-11-02", "16:00", "16:00"),
    "Thanksgiving 2021": ("2021-11-25", "2021-11-24", "12:00", "12:00"),
    "Thanksgiving 2024": ("2024-11-28", "2024-11-27", "12:00", "13:30"),
    "day after Thanksgiving 2023": ("2023-11-24", "2023-11-23", "12:15", "12:45"),
    "day after Thanksgiving 2024": ("2024-11-29", "2024-11-28", "12:15", "13:45"),
    "Christmas Eve": ("2024-12-24", "2024-12-23", "12:15", "12:45"),
    "Christmas": ("2024-12-25", "2024-12-24", None, None),
    "day after Christmas opens on Christmas evening": ("2024-12-26", "2024-12-25", "16:00", "16:00"),
    "Christmas on a Saturday": ("2021-12-24", "2021-12-23", None, None),
    "Christmas on a Sunday": ("2022-12-26", "2022-12-25", None, None),
    "Good Friday with a jobs report 2021": ("2021-04-02", "2021-04-01", "08:15", None),
    "Good Friday with a jobs report 2023": ("2023-04-07", "2023-04-06", "08:15", None),
    "Good Friday with a jobs report 2026": ("2026-04-03", "2026-04-02", "08:15", None),
    "Good Friday without a jobs report 2024": ("2024-03-29", "2024-03-28", None, None),
    "Good Friday without a jobs report 2025": ("2025-04-18", "2025-04-17", None, None),
    "Juneteenth before it was kept": ("2021-06-18", "2021-06-17", "16:00", "16:00"),
    "Juneteenth 2023": ("2023-06-19", "2023-06-18", "12:00", "13:30"),
    "Juneteenth on a Friday": ("2026-06-19", "2026-06-18", "12:00", "12:00"),
    "Labor Day": ("2024-09-02", "2024-09-01", "12:00", "13:30"),
    "Independence Day on a Friday": ("2025-07-04", "2025-07-03", "12:00", "12:00"),
    "day before Independence Day": ("2025-07-03", "2025-07-02", "12:15", "16:00"),
    "national day of mourning 2018": ("2018-12-05", "2018-12-04", "08:30", "16:00"),
    "national day of mourning 2025": ("2025-01-09", "2025-01-08", "08:30", "16:00"),
}


@pytest.mark.parametrize("root", ["ES", "NQ", "CL", "GC"])
@pytest.mark.parametrize("name", GOLDEN)
def test_golden_sessions(name, root):
    session, evening, equity, energy = GOLDEN[name]
    closes = equity if root in ("ES", "NQ") else energy
    expected = (chicago(f"{evening} 17:00"), chicago(f"{session} {closes}")) if closes else None
    assert SessionCalendar.of(root).session_bounds(session) == expected


def test_an_hour_of_utc_moves_with_daylight_saving_and_no_session_is_longer_for_it():
    before, after = (ES.session_bounds(session) for session in ("2025-03-07", "2025-03-10"))
    hour_of_day = lambda at: at // HOUR % 24
    assert [hour_of_day(at) for at in before] == [23, 22] and [hour_of_day(at) for at in after] == [22, 21]
    assert before[1] - before[0] == after[1] - after[0] == 23 * HOUR


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
    with pytest.raises(InputError, match="2040-01-01T00:00:00Z.*2008 to 2030"):
        ES.is_open(to_nanos("2040-01-01T00:00Z"))


def test_segments_are_ordered_and_disjoint():
    for group in REGULAR:
        bounds = SessionCalendar(group).bounds
        assert all(a < b for a, b in zip(bounds[::2], bounds[1::2])), group
        assert all(a <= b for a, b in zip(bounds[1::2], bounds[2::2])), group  # crypto opens where it closed


def test_the_shipped_table_is_what_its_program_writes():
    from futures_algo.core.holiday_table import rows

    with TABLE.open() as file:
        shipped = [tuple(row) for row in csv.reader(file)][1:]
    assert shipped == rows()


class TestVerb:
    @pytest.fixture
    def sessions(self, capsys):
        "Runs `futures-algo sessions`; gives its exit code and what it printed."
        from futures_algo.cli import main

        def run(*args: str) -> tuple[int, str, str]:
            with pytest.raises(SystemExit) as ended:
                main(["sessions", *args])
            return ended.value.code or 0, *capsys.readouterr()

        return run

    def test_it_shows_each_session_in_exchange_time(self, sessions):
        code, out, _ = sessions("CLZ4", "--start", "2024-11-28", "--end", "2024-11-29")
        assert code == 0 and out.splitlines() == [
            "2024-11-28  2024-11-27T17:00-06:00 -> 2024-11-28T13:30-06:00   1230 min",
            "2024-11-29  2024-11-28T17:00-06:00 -> 2024-11-29T13:45-06:00   1245 min",
        ]

    def test_json_is_one_object_and_a_day_without_a_session_has_no_segment(self, sessions):
        code, out, _ = sessions("ES.c.0", "--start", "2024-12-24", "--end", "2024-12-26", "--json")
        document = json.loads(out)
        assert code == 0 and [(one["session"], one["minutes"]) for one in document["segments"]] == [
            ("2024-12-24", 1155),
            ("2024-12-26", 1380),
        ]
        assert sessions("ES", "--start", "2024-12-25")[:2] == (0, "no session\n")

    @pytest.mark.parametrize(
        "args, said",
        [
            (("QQ", "--start", "2024-12-26"), "must belong to a known product"),
            (("ES", "--start", "2024-13-26"), "must be a date; write it as 2025-11-24"),
            (
                ("ES", "--start", "2024-12-26", "--end", "2024-12-24"),
                "end was '2024-12-24'; it must not lie before the start, 2024-12-26",
            ),
            (("ES", "--start", "2044-03-26"), "must lie in the years 2008 to 2030"),
        ],
    )
    def test_what_it_cannot_show_ends_in_one_clear_line(self, args, said, sessions):
        code, _, err = sessions(*args)
        assert code == 2 and said in err and err.count("\n") == 1
