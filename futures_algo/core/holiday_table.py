"""Regenerates `data/session_exceptions.csv`: the days on which a product group does not keep its regular hours.

`python -m futures_algo.core.holiday_table` asks pandas_market_calendars and lays the corrections below over it.
Sessions themselves are computed from
the regular hours and this table, so nothing at run time needs the package; a test proves that the file is what this
program writes.
"""

import csv
import datetime as dt
from collections.abc import Iterator

from futures_algo.core.paths import DATA

TABLE = DATA / "session_exceptions.csv"
FIRST, LAST = dt.date(2008, 1, 1), dt.date(2030, 12, 31)
SOURCES = {  # product group -> calendar of pandas_market_calendars
    "equity": "CME Globex Equity",
    "energy": "CMEGlobex_CL",
    "metals": "CMEGlobex_GC",
    "fx": "CMEGlobex_FX",
    "rates": "CME Globex Fixed Income",
    "grains": "CMEGlobex_Grains",
    "livestock": "CMEGlobex_Livestock",
    "crypto": "CME Globex Cryptocurrencies",
}
CLOSED = "closed"


def good_friday_closed(day: dt.date) -> bool:
    """A Good Friday without trading: pandas_market_calendars gives each one a morning session, but Globex opens
    only when the monthly jobs report
    falls on it (the month's first Friday: 2010, 2012, 2015, 2021, 2023, 2026). Recorded ES and CL bars of
    2024-03-29 and 2025-04-18: none."""
    from dateutil.easter import easter

    return day == easter(day.year) - dt.timedelta(days=2) and day.day > 7


# national days of mourning, which pandas_market_calendars leaves out; CME Group's notices of 2018-12-02 and
MOURNING = {
    # 2024-12-30. Recorded ES and NQ bars of 2025-01-09 end at 08:30, CL's and GC's go on to 16:00
    dt.date(2018, 12, 5): {"equity": "08:30", "rates": CLOSED},
    dt.date(2025, 1, 9): {"equity": "08:30", "rates": "12:15", "grains": "12:15", "livestock": "12:15"},
}


def energy_close(day: dt.date, close: str) -> str:
    """Energy's and metals' early close where pandas_market_calendars has another one (its issue 464 names the same
    for 2026). Recorded CL bars, and GC's
    where that file has them, prove each rule: they end at 13:30 on 2024-09-02 and 2025-09-01, at 13:45 on
    2024-11-29 and 2025-11-28, at 12:45 on
    2024-12-24 and 2025-12-24, and at 12:00 on Friday 2025-07-04."""
    if (day.month, day.day) == (12, 24) and close != CLOSED:
        return "12:45"  # and so in LEAN's table since 2009
    if day.year >= 2022 and day.month == 9 and day.weekday() == 0 and day.day <= 7:
        return "13:30"  # Labor Day, as every Monday holiday since 2022
    if day.year >= 2024 and day.month == 11 and day.weekday() == 4 and 23 <= day.day <= 29:
        return "13:45"  # after Thanksgiving
    if day.year >= 2022 and day.weekday() == 4 and close == "13:30":
        return "12:00"  # a holiday before a weekend
    return close


def corrected(group: str, day: dt.date, close: str) -> str:
    "The last close of a day: what pandas_market_calendars says with the corrections above."
    if good_friday_closed(day):
        return CLOSED
    if group in MOURNING.get(day, {}):
        return MOURNING[day][group]
    return energy_close(day, close) if group in ("energy", "metals") else close


def exceptions(group: str) -> Iterator[tuple[str, str, str]]:
    "Group, session date, and its last close in exchange time (or 'closed'), for every weekday off the regular hours."
    import pandas as pd
    import pandas_market_calendars

    from futures_algo.core.sessions import REGULAR

    schedule = pandas_market_calendars.get_calendar(SOURCES[group]).schedule(FIRST, LAST, tz="America/Chicago")
    closes = schedule["market_close"].dt.strftime("%H:%M")
    closes.index = pd.to_datetime(schedule.index).date
    regular = REGULAR[group][-1][1]
    for day in pd.bdate_range(FIRST, LAST).date:
        close = corrected(group, day, closes.get(day, CLOSED))
        if close != regular:
            yield group, day.isoformat(), close


def rows() -> list[tuple[str, str, str]]:
    return [row for group in SOURCES for row in exceptions(group)]


def main() -> None:
    with TABLE.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("group", "session", "close"))
        writer.writerows(rows())


if __name__ == "__main__":
    main()
