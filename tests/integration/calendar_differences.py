"""Writes the table of sessions on which ours and another project's calendar differ, each with its reason and source.

`python tests/integration/calendar_differences.py market-hours-database.json`; a difference no rule here explains is
printed and left out, and test_calendar_reference.py fails on it. Reasons already written by hand stay.
"""

import csv
import datetime as dt
import sys
from collections import defaultdict
from pathlib import Path

from market_hours import MARKETS, NOT_IN_TABLE, differences

import futures_algo
from futures_algo.core.contracts import PRODUCTS

TABLE = Path(futures_algo.__file__).parent / "core" / "data" / "calendar_differences.csv"
FIELDS = ("products", "first", "last", "sessions", "ours", "theirs", "reason", "source")
FIRST, LAST = dt.date(2018, 1, 1), dt.date(2027, 12, 31)
CONTINUOUS = dt.date(2026, 5, 29)
SCHEDULES = "the exchange's holiday schedules and trading-hours service by way of exchange-hours-rs"
CALENDARS = "CME Globex holiday calendar by way of pandas_market_calendars"
_REGULAR = ("17:00-16:00", "19:00-07:45 08:30-13:20", "08:30-13:05", "17:00-15:15 15:30-16:00")
Pair = tuple[str, str]


def reason_of(root: str, day: dt.date, pair: Pair) -> tuple[str, str] | None:
    "Why the two differ on a session, and who says so."
    ours, theirs = pair
    group = PRODUCTS[root].calendar_group
    if group == "crypto" and day >= CONTINUOUS:
        return (
            "crypto trades without a close since 2026-05-29 16:00 but for Saturday's maintenance; "
            "the database keeps the old hours",
            "CME filing 26-114 by way of exchange-hours-rs",
        )
    if day in (dt.date(2018, 12, 5), dt.date(2018, 12, 6)):
        return (
            "national day of mourning of 2018-12-05: only equity index and rates changed their hours; "
            "the database closes the calendar day",
            "CME Group notice of 2018-12-02 (prnewswire 300758702)",
        )
    if day in (dt.date(2025, 1, 9), dt.date(2025, 1, 10)):
        return (
            "national day of mourning of 2025-01-09: equity index closed at 08:30, rates and agriculture at 12:15, "
            "the others not; the database has the calendar day or nothing",
            "CME Group notice of 2024-12-30; recorded ES, NQ, CL and GC bars",
        )
    if day.year == 2027 and theirs in _REGULAR:
        return "a holiday of 2027 that the database does not have yet", SCHEDULES
    if day == dt.date(2024, 11, 29):
        return "early close the day after Thanksgiving, which the database lacks for 2024", SCHEDULES
    if ours == "closed" and theirs.endswith(("-00:00", "-23:00")):
        return (
            "closed for the whole session; the database closes the holiday's calendar day only "
            "and leaves the evening before it open",
            CALENDARS,
        )
    if theirs.startswith(("00:00", "23:00")) and ours.startswith("08:30"):
        return (
            "no evening session: grains reopened at 08:30 after the holiday; "
            "the database closes the holiday's calendar day and resumes at midnight",
            SCHEDULES,
        )
    if theirs.startswith(("00:00", "23:00")) and ours.startswith(("17:00", "19:00")):
        return (
            "the session opens on the holiday's evening; the database closes the holiday's whole calendar day",
            "the database itself says so from 2023-12-25 on; " + SCHEDULES,
        )
    if ours != "closed" and theirs.endswith(("-00:00", "-23:00")):
        return "early close; the database closes the holiday's calendar day", SCHEDULES
    if ours != "closed" and theirs == "closed":
        return "a session that the database has as a holiday", SCHEDULES
    if ours == "closed":
        return "a holiday that the database lacks for this product", SCHEDULES
    if theirs in _REGULAR:
        return "early close that the database lacks for this product", SCHEDULES
    if ours in _REGULAR:
        return "regular hours, where the database has an early close", SCHEDULES
    return "another time of the early close: the sources differ, the exchange's own stands", SCHEDULES


def by_hand(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return [row for row in csv.DictReader(file) if set(row["products"].split()) & {"ES", "NQ", "CL", "GC"}]


def known(rows: list[dict[str, str]], day: dt.date, pair: Pair) -> tuple[str, str] | None:
    "A reason that stands already for these hours on this date."
    for row in rows:
        if (row["ours"], row["theirs"]) == pair and row["first"] <= day.isoformat() <= row["last"]:
            return row["reason"], row["source"]
    return None


def rows_of(found: dict[str, dict[dt.date, Pair]], written: list[dict[str, str]]) -> list[dict[str, object]]:
    "One row a date and pair of hours, for all products it holds for; one for all dates where a rule holds for a span."
    spans: dict[tuple, dict[str, list[dt.date]]] = defaultdict(lambda: defaultdict(list))
    for root, days in found.items():
        for day, pair in days.items():
            always = PRODUCTS[root].calendar_group == "crypto" and day >= CONTINUOUS
            told = (None if always else known(written, day, pair)) or reason_of(root, day, pair)
            if told is None:
                print(root, day, pair, file=sys.stderr)
                continue
            lasting = "paused 15:15" in told[0] or "without a close" in told[0]
            spans[(pair, told, None if lasting else day)][root].append(day)
    rows = []
    for (pair, (reason, source), _), roots in spans.items():
        alike: dict[tuple, list[str]] = defaultdict(list)
        for root, days in roots.items():
            alike[tuple(days)].append(root)
        rows += [dict(zip(FIELDS, (" ".join(products), days[0], days[-1], len(days), *pair, reason, source)))
                 for days, products in alike.items()]  # fmt: skip
    return sorted(rows, key=lambda row: (row["first"], row["products"]))


def main(database: Path) -> None:
    found = {root: differences(database, root, FIRST, LAST) for root in MARKETS if root not in NOT_IN_TABLE}
    rows = rows_of(found, by_hand(TABLE))
    with TABLE.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{len(rows)} rows of {len(found)} products")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
