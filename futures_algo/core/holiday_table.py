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
from futures_algo.core.regular_hours import CLOSED, REGULAR
from futures_algo.core.sessions import CONTINUOUS

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


_EVENINGS_KEPT = (dt.date(2018, 1, 2), dt.date(2022, 12, 27), dt.date(2023, 1, 3))
NIGHT_OFF = "08:30"  # grains: the evening before did not exist, the session opens with the day's trading


def energy_close(day: dt.date, close: str) -> str:
    """Energy's and metals' early close where pandas_market_calendars has another one (its issue 464 names the same
    for 2026). Recorded CL bars, and GC's
    where that file has them, prove each rule: they end at 13:30 on 2024-09-02 and 2025-09-01, at 13:45 on
    2024-11-29 and 2025-11-28, at 12:45 on
    2024-12-24 and 2025-12-24, and at 12:00 on Friday 2025-07-04."""
    if is_christmas_eve(day) and close != CLOSED:
        return "12:45"  # and so in LEAN's table since 2009
    if day.year >= 2022 and day.month == 9 and day.weekday() == 0 and day.day <= 7:
        return "13:30"  # Labor Day, as every Monday holiday since 2022
    if day.year >= 2024 and is_after_thanksgiving(day):
        return "13:45"
    if day.year >= 2022 and day.weekday() == 4 and close == "13:30":
        return "12:00"  # a holiday before a weekend
    return close


def fx_close(day: dt.date, close: str) -> str:
    """FX: noon on a holiday before a weekend; 13:45 after Thanksgiving since 2025, 12:45 on Christmas Eve since
    2024. The
    exchange's trading-hours service by way of exchange-hours-rs; LEAN's table has 12:15 for 2024-12-24. Recorded 6E
    bars
    of 2025-07-04 end at 12:00, those of 2025-11-28 go past 12:15."""
    if is_friday_holiday(day):
        return "12:00"
    if day.year >= 2025 and is_after_thanksgiving(day):
        return "13:45"
    return "12:45" if day.year >= 2024 and is_christmas_eve(day) and close != CLOSED else close


def crypto_close(day: dt.date, close: str) -> str:
    "Crypto: FX's holidays, but no early close on July 3rd since 2023 (LEAN's table; DTN's holiday page of 2024)."
    if (day.month, day.day) == (7, 3) and day.year >= 2023 and not is_friday_holiday(day) and day.weekday() != 4:
        return "16:00"
    return fx_close(day, close)


def grains_close(day: dt.date, close: str) -> str:
    """Grains: 12:05 on the day after Thanksgiving and on Christmas Eve, and before Independence Day until 2020 (LEAN's
    table); closed on Juneteenth since 2022 (LEAN; the exchange's notices by way of kdhlradio.com)."""
    if is_juneteenth(day):
        return CLOSED
    early = is_after_thanksgiving(day) or is_christmas_eve(day) or is_before_independence(day)
    return "12:05" if early and close != CLOSED else close


def livestock_close(day: dt.date, close: str) -> str:
    """Livestock: Juneteenth as the grains; 12:15 where the exchange's schedules say so and pandas_market_calendars
    12:05 or
    nothing. For 2026-12-24 its service has 12:05 and LEAN's table 12:15: the earlier one stands."""
    if is_juneteenth(day):
        return CLOSED
    if close != CLOSED and is_before_independence(day):
        return "12:15"
    later = (is_after_thanksgiving(day) and day.year in (2018, 2019)) or (
        is_christmas_eve(day) and day.year in (2018, 2019, 2024, 2025)
    )
    return "12:15" if later and close != CLOSED else close


def is_christmas_eve(day: dt.date) -> bool:
    return (day.month, day.day) == (12, 24)


def is_after_thanksgiving(day: dt.date) -> bool:
    return day.month == 11 and day.weekday() == 4 and 23 <= day.day <= 29


def is_friday_holiday(day: dt.date) -> bool:
    "Juneteenth or Independence Day kept on a Friday, since 2025."
    return day.year >= 2025 and day.weekday() == 4 and (day.month, day.day) in ((6, 18), (6, 19), (7, 3), (7, 4))


def is_juneteenth(day: dt.date) -> bool:
    "The weekday on which Juneteenth is kept, since 2022."
    kept = {5: dt.date(day.year, 6, 18), 6: dt.date(day.year, 6, 20)}
    true = dt.date(day.year, 6, 19)
    return day.year >= 2022 and day == kept.get(true.weekday(), true)


def is_before_independence(day: dt.date) -> bool:
    "The early close before July 4th that grains and livestock kept until 2020."
    return day in (dt.date(2018, 7, 3), dt.date(2019, 7, 3), dt.date(2020, 7, 2))


def grains_open(day: dt.date) -> str:
    """The late opening of a session whose evening fell on Thanksgiving, Christmas, New Year or Independence Day: grains
    reopen at 08:30 of the next morning (the exchange's holiday schedules and its trading-hours service by way of
    exchange-hours-rs; LEAN's table says so for 2018-07-05, 2019-07-05, 2026-01-02 and 2026-11-27). Other holidays keep
    their evening, and so did three that were kept on a Monday."""
    if day in _EVENINGS_KEPT:
        return ""
    evening = day - dt.timedelta(days=1)
    if day.weekday() == 0 or day.year < 2018:
        return ""
    kept = [_kept(dt.date(evening.year, *date)) for date in ((1, 1), (7, 4), (12, 25))]
    return NIGHT_OFF if evening in kept or is_after_thanksgiving(day) else ""


def _kept(day: dt.date) -> dt.date:
    "The weekday on which a fixed holiday is kept."
    return day + dt.timedelta(days={5: -1, 6: 1}.get(day.weekday(), 0))


_CLOSES = {"energy": energy_close, "metals": energy_close, "fx": fx_close, "crypto": crypto_close,
           "grains": grains_close, "livestock": livestock_close}  # fmt: skip


def corrected(group: str, day: dt.date, close: str) -> str:
    "The last close of a day: what pandas_market_calendars says with the corrections above."
    if group in CONTINUOUS and day > CONTINUOUS[group]:
        return CLOSED if is_holiday(day) else "16:00"
    if good_friday_closed(day):
        return CLOSED
    if group in MOURNING.get(day, {}):
        return MOURNING[day][group]
    return _CLOSES[group](day, close) if group in _CLOSES else close


def is_holiday(day: dt.date) -> bool:
    "A weekday that is no trade date of a group that never closes: its trading belongs to the next session."
    from futures_algo.core.expiry import is_business_day

    return not is_business_day(day)


def exceptions(group: str) -> Iterator[tuple[str, str, str, str]]:
    """Group, session date, late opening (or nothing) and last close in exchange time (or 'closed'), for every
    weekday off
    the regular hours."""
    import pandas as pd
    import pandas_market_calendars

    schedule = pandas_market_calendars.get_calendar(SOURCES[group]).schedule(FIRST, LAST, tz="America/Chicago")
    closes = schedule["market_close"].dt.strftime("%H:%M")
    closes.index = pd.to_datetime(schedule.index).date
    regular = REGULAR[group][-1][1]
    for day in pd.bdate_range(FIRST, LAST).date:
        close = corrected(group, day, closes.get(day, CLOSED))
        opens = grains_open(day) if group == "grains" and close != CLOSED else ""
        if close != regular or opens:
            yield group, day.isoformat(), opens, close


def ice_exceptions(group: str) -> Iterator[tuple[str, str, str, str]]:
    """ICE Futures U.S.: soft commodities are closed on every exchange holiday, the dollar index on New Year's Day, Good
    Friday and Christmas, and until 12:00 on the others. Not reviewed against another table: its early closes around
    Thanksgiving and Christmas are not here."""
    import pandas as pd

    for day in pd.bdate_range(dt.date(2018, 1, 1), LAST).date:
        if not is_holiday(day):
            continue
        shut = group != "ice_dollar" or day.month in (1, 12) and day.day < 3 or day.month == 12 or is_good_friday(day)
        yield group, day.isoformat(), "", CLOSED if shut else "12:00"


def is_good_friday(day: dt.date) -> bool:
    from dateutil.easter import easter

    friday: dt.date = easter(day.year) - dt.timedelta(days=2)
    return day == friday


def rows() -> list[tuple[str, str, str, str]]:
    ice = [row for group in REGULAR if group.startswith("ice_") for row in ice_exceptions(group)]
    return [row for group in SOURCES for row in exceptions(group)] + ice


def main() -> None:
    with TABLE.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("group", "session", "open", "close"))
        writer.writerows(rows())


if __name__ == "__main__":
    main()
