"""Another project's table of market hours (LEAN's market-hours-database.json), read as sessions, to be compared with
ours.

A product's entry is laid over its exchange's `[*]` entry: an early close or a late open of the product's own outranks a
market-wide holiday of that date.
A date with both trades up to the early close and again from the late open; a holiday takes the whole calendar day in
the entry's zone.
"""

import datetime as dt
import json
from itertools import groupby
from pathlib import Path
from zoneinfo import ZoneInfo

from futures_algo.core.contracts import PRODUCTS
from futures_algo.core.sessions import EXCHANGE_ZONE, SessionCalendar

MARKETS = {
    item.root: item.exchange.lower() for item in PRODUCTS.values() if item.exchange in ("CME", "CBOT", "NYMEX", "COMEX")
}
NOT_IN_TABLE = {
    "1OZ",
    "ALI",
    "MHG",
    "MNG",
    "MSL",
    "MXP",
    "QG",
    "QM",
    "SOL",
    "SR1",
    "SR3",
    "TWE",
    "XRP",
    "Z3N",
    "ZQ",
    "ZR",
}  # roots the other project has no entry for
DAY, SESSION_SHIFT = (
    dt.timedelta(days=1),
    dt.timedelta(hours=7),
)  # a session begins at 17:00 in Chicago, seven hours before its date does
Span = tuple[dt.datetime, dt.datetime]


def _date(text: str) -> dt.date:
    return dt.datetime.strptime(text, "%m/%d/%Y").date()


def _minutes(text: str) -> int:
    "'18:00:00' or '1.00:00:00' as minutes after midnight."
    days, _, clock = text.rpartition(".")
    hours, minutes, _ = clock.split(":")
    return int(days or 0) * 1440 + int(hours) * 60 + int(minutes)


class MarketHours:
    "What the table says of one product."

    def __init__(self, file: Path, root: str):
        entries = json.loads(file.read_text())["entries"]
        own, market = entries[f"Future-{MARKETS[root]}-{root}"], entries[f"Future-{MARKETS[root]}-[*]"]
        self.zone = ZoneInfo(own["exchangeTimeZone"])
        self.week = [
            own[name] for name in ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
        ]
        self.early = {_date(day): _minutes(at) for day, at in own["earlyCloses"].items()}
        self.late = {_date(day): _minutes(at) for day, at in own["lateOpens"].items()}
        outranked = set(self.early) | set(self.late)
        self.holidays = {_date(day) for day in own["holidays"]} | {_date(day) for day in market["holidays"]} - outranked
        self.last_year = max(day.year for day in self.holidays | outranked)

    def _spans_of(self, day: dt.date) -> list[tuple[int, int]]:
        "Trading time of a calendar day, minutes after its midnight."
        if day in self.holidays:
            return []
        found = [(_minutes(part["start"]), _minutes(part["end"])) for part in self.week[day.weekday()]]
        early, late = self.early.get(day), self.late.get(day)
        before = [(start, min(end, early)) for start, end in found if start < early] if early is not None else []
        after = [(max(start, late), end) for start, end in found if end > late] if late is not None else []
        return before + after if (early, late) != (None, None) else found

    def spans(self, first: dt.date, last: dt.date) -> list[Span]:
        "Unbroken trading times, exchange time, of the calendar days given."
        joined: list[list[dt.datetime]] = []
        for number in range((last - first).days + 1):
            midnight = dt.datetime.combine(first + number * DAY, dt.time(0))
            for start, end in self._spans_of(midnight.date()):
                begin, finish = (self._exchange(midnight + dt.timedelta(minutes=at)) for at in (start, end))
                if joined and joined[-1][1] == begin:
                    joined[-1][1] = finish
                else:
                    joined.append([begin, finish])
        return [(start, end) for start, end in joined]

    def _exchange(self, local: dt.datetime) -> dt.datetime:
        "A local time of the table as naive exchange time."
        return local.replace(tzinfo=self.zone).astimezone(EXCHANGE_ZONE).replace(tzinfo=None)


def _by_session(spans: list[Span]) -> dict[dt.date, str]:
    "Session date -> its trading times as text; a Sunday evening belongs to Monday."
    session = lambda span: (span[0] + SESSION_SHIFT).date()
    return {day: " ".join(f"{start:%H:%M}-{end:%H:%M}" for start, end in own) for day, own in groupby(spans, session)}


def theirs(file: Path, root: str, first: dt.date, last: dt.date) -> dict[dt.date, str]:
    "The table's sessions."
    sessions = _by_session(MarketHours(file, root).spans(first - 4 * DAY, last + DAY))
    return {day: text for day, text in sessions.items() if first <= day <= last}


def ours(root: str, first: dt.date, last: dt.date) -> dict[dt.date, str]:
    "Our sessions in the same form."
    at = lambda nanos: dt.datetime.fromtimestamp(nanos / 1e9, EXCHANGE_ZONE).replace(tzinfo=None)
    nanos = lambda day: int(dt.datetime.combine(day, dt.time(0), EXCHANGE_ZONE).timestamp()) * 10**9
    segments = SessionCalendar.of(root).segments(nanos(first - DAY), nanos(last + DAY))
    sessions = _by_session([(at(one.open), at(one.close)) for one in segments])
    return {day: text for day, text in sessions.items() if first <= day <= last}


def differences(file: Path, root: str, first: dt.date, last: dt.date) -> dict[dt.date, tuple[str, str]]:
    """Session date -> our hours and theirs, where they are not the same; every day of the range is looked at, weekends
    too."""
    mine, other = ours(root, first, last), theirs(file, root, first, last)
    days = (first + number * DAY for number in range((last - first).days + 1))
    pairs = {day: (mine.get(day, "closed"), other.get(day, "closed")) for day in days}
    return {day: pair for day, pair in pairs.items() if pair[0] != pair[1]}
