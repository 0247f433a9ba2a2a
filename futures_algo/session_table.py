"""Regenerates `data/session_exceptions.csv`: the days on which a product group does not keep its regular hours.

`python -m futures_algo.session_table` asks pandas_market_calendars and lays the corrections below over it. Sessions themselves are computed from
the regular hours and this table, so nothing at run time needs the package; a test proves that the file is what this program writes.
"""
import csv
import datetime as dt
from collections.abc import Iterator
from pathlib import Path

TABLE = Path(__file__).parent / "data" / "session_exceptions.csv"
FIRST, LAST = dt.date(2008, 1, 1), dt.date(2030, 12, 31)
SOURCES = {   # product group -> calendar of pandas_market_calendars
    "equity": "CME Globex Equity", "energy": "CMEGlobex_CL", "metals": "CMEGlobex_GC", "fx": "CMEGlobex_FX",
    "rates": "CME Globex Fixed Income", "grains": "CMEGlobex_Grains", "livestock": "CMEGlobex_Livestock", "crypto": "CME Globex Cryptocurrencies",
}
CLOSED = "closed"


def good_friday_closed(day: dt.date) -> bool:
    """A Good Friday without trading: pandas_market_calendars gives each one a morning session, but Globex opens only when the monthly jobs report
    falls on it (the month's first Friday: 2010, 2012, 2015, 2021, 2023, 2026). Recorded ES and CL bars of 2024-03-29 and 2025-04-18: none."""
    from dateutil.easter import easter
    return day == easter(day.year) - dt.timedelta(days=2) and day.day > 7


def exceptions(group: str) -> Iterator[tuple[str, str, str]]:
    "Group, session date, and its last close in exchange time (or 'closed'), for every weekday off the regular hours."
    import pandas as pd
    import pandas_market_calendars
    from futures_algo.sessions import REGULAR
    schedule = pandas_market_calendars.get_calendar(SOURCES[group]).schedule(FIRST, LAST, tz="America/Chicago")
    closes = schedule["market_close"].dt.strftime("%H:%M")
    closes.index = pd.to_datetime(schedule.index).date
    regular = REGULAR[group][-1][1]
    for day in pd.bdate_range(FIRST, LAST).date:
        close = CLOSED if good_friday_closed(day) else closes.get(day, CLOSED)
        if close != regular: yield group, day.isoformat(), close


def rows() -> list[tuple[str, str, str]]:
    return [row for group in SOURCES for row in exceptions(group)]


def main() -> None:
    with TABLE.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("group", "session", "close"))
        writer.writerows(rows())


if __name__ == "__main__": main()
