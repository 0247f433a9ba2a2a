"""A root the shipped table lacks comes from products.csv or the config; the exchange's definitions win over both."""

import datetime as dt
from types import SimpleNamespace

import pytest

from futures_algo.core import contracts
from futures_algo.core.contracts import Contract, Product, load_products, product, read_products
from futures_algo.core.expiry import last_day
from futures_algo.core.sessions import SessionCalendar
from futures_algo.core.types import InputError
from futures_algo.history.definitions import learn

HEADER = "root,tick_size,point_value,calendar,months\n"


@pytest.fixture(autouse=True)
def shipped(monkeypatch):
    "Every test begins with the shipped table."
    monkeypatch.setattr(contracts, "PRODUCTS", dict(contracts.PRODUCTS))
    monkeypatch.setattr("futures_algo.history.definitions.PRODUCTS", contracts.PRODUCTS)


def test_every_shipped_product_has_a_calendar_an_expiry_and_sane_values():
    for one in contracts.PRODUCTS.values():
        assert SessionCalendar.of(one.root).session_bounds("2025-03-11")
        assert last_day(Contract(one.root, 2026, contracts.MONTH_CODES.index(one.months[0]) + 1)).year in (2025, 2026)
        assert 0.05 <= one.tick_value <= 50, one


@pytest.mark.parametrize(
    "root, tick, value", [("KE", 0.25, 50), ("SR3", 0.0025, 2500), ("ZQ", 0.0025, 4167), ("NKD", 5, 5),
                          ("6M", 0.00001, 500_000),
                          ("1OZ", 0.25, 1), ("PA", 0.5, 100), ("GF", 0.025, 500), ("ZO", 0.25, 50), ("BZ", 0.01, 1000)],
)  # fmt: skip
def test_what_the_table_grew_by(root, tick, value):
    assert (product(root).tick_size, product(root).point_value) == (tick, value)


def test_a_users_table_is_taken_from_the_folder_or_where_the_variable_says(tmp_path, monkeypatch):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "products.csv").write_text(HEADER + "HRC,1,20,metals,FGHJKMNQUVXZ\n")
    assert load_products(tmp_path) == ["HRC"] and product("HRCZ5").tick_value == 20
    other = tmp_path / "mine.csv"
    other.write_text(HEADER + "ES,0.5,60,equity,HMUZ\n")
    monkeypatch.setenv("FUTURES_ALGO_PRODUCTS", str(other))
    assert load_products(tmp_path) == ["ES"] and product("ES.c.0").point_value == 60


@pytest.mark.parametrize(
    "row, said",
    [
        ("ABC,x,20,metals,HMUZ", "tick_size was 'x'; it must be a number above 0.*row 0"),
        ("ABC,1,0,metals,HMUZ", "point_value was '0'"),
        ("ABC,1,20,metal,HMUZ", "calendar was 'metal'.*did you mean 'metals'"),
        ("ABC,1,20,metals,ABC", "months was 'ABC'"),
        ("toolong,1,20,metals,HMUZ", "root was 'toolong'"),
        ("ABC,,20,metals,HMUZ", "tick_size is missing"),
    ],
)
def test_a_wrong_row_is_named(row, said, tmp_path):
    (tmp_path / "products.csv").write_text(HEADER + row + "\n")
    with pytest.raises(InputError, match=said):
        read_products(tmp_path / "products.csv")


def test_the_config_names_a_product_before_its_symbols_are_checked():
    from futures_algo.config.loading import parse_config

    environment = {"DATABENTO_API_KEY": "db-0000", "CROSSTRADE_API_KEY": "token"}
    content = {
        "products": {"HRC": {"tick_size": 1, "point_value": 20, "calendar": "metals", "months": "FGHJKMNQUVXZ"}},
        "databento": {"symbols": ["HRC.c.0"]},
        "strategies": {"one": {"class": "futures_algo.strategies.library.RSIStrategy"}},
    }
    parse_config(content, environment)
    assert product("HRC").tick_size == 1
    with pytest.raises(Exception, match="calendar was 'meal'"):
        parse_config(content | {"products": {"HRC": content["products"]["HRC"] | {"calendar": "meal"}}}, environment)


def definition(**values):
    "A definition record of ES as the feed sends it, values in its units."
    made = {"asset": "ES", "instrument_class": "F", "currency": "USD", "min_price_increment": 250_000_000,
            "min_price_increment_amount": 125_000_000, "unit_of_measure_qty": 50_000_000_000}  # fmt: skip
    return SimpleNamespace(**made | values)


def test_a_definition_that_agrees_says_nothing_and_one_that_differs_wins():
    assert learn([definition()]) == []
    (said,) = learn([definition(min_price_increment=500_000_000)])
    assert (
        "tick_size 0.5 instead of 0.25" in said and product("ES").tick_size == 0.5 and product("ES").point_value == 50
    )


def test_a_definition_of_an_option_or_an_unknown_root_is_passed_over():
    assert learn([definition(instrument_class="C", min_price_increment=1), definition(asset="XYZ")]) == []


def test_a_serial_month_is_followed_by_a_main_one():
    assert Contract("GC", 2025, 11).next() == Contract("GC", 2025, 12)
    assert Contract("6E", 2025, 12).next() == Contract("6E", 2026, 3) and Contract("6E", 2025, 11).next().month == 12


def test_products_made_by_hand_keep_their_seven_values():
    assert Product("1OZ", "1-Ounce Gold", 0.25, 1.0, "metals", "GJMQVZ", "COMEX").currency == "USD"


def test_a_newer_calendar_is_taken_and_the_doctor_warns_of_one_that_ends(tmp_path, monkeypatch):
    from futures_algo.core import calendar_file, sessions

    monkeypatch.setenv("FUTURES_ALGO_CALENDAR", str(tmp_path / "kept.csv"))
    assert "0 days from now" in calendar_file.calendar_warning(calendar_file.REVIEWED_UNTIL)
    assert calendar_file.calendar_warning(calendar_file.REVIEWED_UNTIL - dt.timedelta(days=90)) == ""
    newer = tmp_path / "newer.csv"
    newer.write_text("group,session,open,close\ngrains,2028-03-14,08:30,12:05\nequity,2028-03-15,,closed\n")
    assert calendar_file.take_calendar(newer) == (tmp_path / "kept.csv", 2)
    assert calendar_file.reviewed_until() == dt.date(2028, 3, 15)
    sessions._exceptions.cache_clear()
    grains, equity = sessions.SessionCalendar("grains"), sessions.SessionCalendar("equity")
    bounds = grains.session_bounds("2028-03-14")
    assert (bounds[1] - bounds[0]) // 60_000_000_000 == 215 and equity.session_bounds("2028-03-15") is None
    sessions._exceptions.cache_clear()


@pytest.mark.parametrize(
    "row, said",
    [
        ("grain,2028-03-14,,closed", "must be a known one"),
        ("grains,2028-3-14x,,closed", "must be a date"),
        # fmt: skip
        ("grains,2028-03-14,,12h", "must be a time"),
        ("grains,2028-03-14,,", "must be a time, or closed"),
    ],
)
def test_a_calendar_with_a_wrong_row_is_refused(row, said, tmp_path):
    from futures_algo.core.calendar_file import read_calendar

    (tmp_path / "c.csv").write_text(f"group,session,open,close\n{row}\n")
    with pytest.raises(InputError, match=said):
        read_calendar(tmp_path / "c.csv")
