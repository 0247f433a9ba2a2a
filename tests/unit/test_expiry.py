"Expiries: known dates, the published last trade dates of 40 products, and which contract is in front."

import datetime as dt
import itertools
from xml.etree import ElementTree

import pytest

from futures_algo.core.contracts import MONTH_CODES, PRODUCTS, Contract
from futures_algo.core.expiry import business_days_from, expiry, front_contract, fronts, is_business_day, last_day
from futures_algo.core.types import InputError, to_nanos

# Where the published list and the rules differ, and why.
DIFFERENT = {
    ("GC", 2021, 12),
    ("SI", 2021, 12),
    ("HG", 2021, 12),
    ("NG", 2022, 1),  # the list takes Friday 2021-12-31 for a holiday; the exchange was open
    ("HE", 2017, 10),
    ("HE", 2018, 10),  # the list leaves out Columbus Day when it counts ten business days
    ("HE", 2018, 12),  # and the day of mourning of 2018-12-05
    ("BZ", 2022, 2),  # 2021-12-31, a business day here, is none in the list
    ("GF", 2017, 11),  # feeder cattle of November ended before Thanksgiving's week by the contract's own rule
    ("GF", 2018, 5),  # and before Memorial Day's
}


@pytest.mark.parametrize(
    ("code", "moment"),
    [
        ("ESU5", "2025-09-19T08:30-05:00"),
        ("NQZ5", "2025-12-19T08:30-06:00"),
        ("CLQ5", "2025-07-22T13:30-05:00"),
        ("NGQ5", "2025-07-29T13:30-05:00"),
        ("GCQ5", "2025-08-27T12:30-05:00"),
        ("6EU5", "2025-09-15T09:16-05:00"),
        ("ZNU5", "2025-09-19T12:01-05:00"),
        ("ZCU5", "2025-09-12T12:01-05:00"),
    ],
)
def test_the_last_moment_of_well_known_contracts(code, moment):
    assert expiry(Contract.parse(code, near=dt.date(2025, 7, 1))) == to_nanos(moment)


def test_last_days_agree_with_the_published_lists(shared_data):
    items = ElementTree.parse(shared_data / "calendar/FuturesExpiryFunctionsTestData.xml").getroot().iter("Item")
    checked, different = 0, set()
    for item in items:
        root = item.attrib["Symbol"]
        for dates in item.iter("Dates") if root in PRODUCTS else ():
            month, last = (dt.date.fromisoformat(dates.find(name).text[:10]) for name in ("ContractMonth", "LastTrade"))
            if MONTH_CODES[month.month - 1] not in PRODUCTS[root].months:
                continue
            checked += 1
            if last_day(Contract(root, month.year, month.month)) != last:
                different.add((root, month.year, month.month))
    assert checked > 650 and different == DIFFERENT


def test_a_contract_is_in_front_through_its_last_day():
    assert (
        front_contract("ES", dt.date(2025, 12, 19)).code == "ESZ5"
        and front_contract("ES", dt.date(2025, 12, 20)).code == "ESH6"
    )


def test_fronts_cover_every_day_once_and_in_order():
    for root in PRODUCTS:
        spells = fronts(root, dt.date(2024, 1, 1), dt.date(2026, 1, 1))
        assert spells[0][0] == dt.date(2024, 1, 1) and spells[-1][1] == dt.date(2026, 1, 1)
        assert all(left[1] == right[0] and left[2].next() == right[2] for left, right in itertools.pairwise(spells))


def test_a_rank_is_the_contract_that_many_after_the_front():
    assert (
        front_contract("CL", dt.date(2025, 7, 22)).code == "CLQ5"
        and front_contract("CL", dt.date(2025, 7, 22), rank=2).code == "CLV5"
    )


def test_holidays_are_no_business_days():
    closed = (
        "2025-01-01",
        "2025-01-20",
        "2025-04-18",
        "2025-06-19",
        "2025-07-04",
        "2025-11-27",
        "2025-12-25",
        "2026-04-03",
        "2022-12-26",
    )
    assert not any(is_business_day(dt.date.fromisoformat(day)) for day in closed)
    assert is_business_day(dt.date(2025, 11, 28)) and is_business_day(dt.date(2025, 10, 13))
    assert business_days_from(dt.date(2025, 11, 30), -2) == dt.date(2025, 11, 26)


def test_an_empty_range_is_refused():
    with pytest.raises(InputError, match="must span at least a day"):
        fronts("ES", dt.date(2025, 1, 1), dt.date(2025, 1, 1))
