"Every denial alone, exits through every state, and a broken check that halts."

import datetime as dt

import pytest

from futures_algo.core.types import DAY, HOUR, MINUTE, SECOND, InputError, Signal, to_nanos
from futures_algo.execution.gate import Denial, Gate, Limits, RiskState

NOW = to_nanos("2025-11-13T09:30:00-06:00")  # a Thursday morning in Chicago
SATURDAY = to_nanos("2025-11-15T12:00:00-06:00")
ES, KEY = "ES 12-25", ("mine", "ES 12-25")
ENTRY = Signal("id", "mine", "ES.c.0", "ESZ5", "LONG_ENTRY", NOW, "1min", 6700.0, "c0")
EXIT = ENTRY._replace(action="LONG_EXIT")


def books(**changes) -> RiskState:
    "A state in which everything passes."
    return RiskState(**{"dry_run": False, "reconciled": True} | changes)


def judge(signal=ENTRY, limits=None, state=None, now=NOW, **about):
    found = Gate(Limits(**limits or {})).judge(signal, state or books(), now, **{"instrument": ES} | about)
    return found and found[0]


def test_a_fresh_entry_in_a_sound_state_passes():
    assert judge() is None


CASES = {
    Denial.DRY_RUN: {"state": books(dry_run=True)},
    Denial.HALTED: {"state": books(trading="HALTED")},
    Denial.REDUCING: {"state": books(trading="REDUCING")},
    Denial.NOT_RECONCILED: {"state": books(reconciled=False)},
    Denial.LOCKED: {"state": books(locked={ES: "books differ"})},
    Denial.DISABLED: {"state": books(disabled={"mine"})},
    Denial.STALE: {"now": NOW + 91 * SECOND},
    Denial.NOT_WARM: {"warm": False},
    Denial.CONTRACT: {"instrument": ""},
    Denial.EXPIRED: {"last_trade": NOW},
    Denial.ROLL_WINDOW: {"limits": {"roll_window_days": 2}, "last_trade": NOW + 2 * DAY},
    Denial.MARKET_CLOSED: {"signal": ENTRY._replace(bar_end=SATURDAY), "now": SATURDAY},
    Denial.TRADING_WINDOW: {"limits": {"trading_windows": (("10:00", "15:00"),)}},
    Denial.BLACKOUT: {"limits": {"blackouts": ((NOW - 1, NOW + 1),)}},
    Denial.QUANTITY: {"quantity": 0},
    Denial.POSITION_OPEN: {"state": books(by_ledger={KEY: 1})},
    Denial.MAX_POSITION_CONTRACT: {
        "limits": {"max_position_contract": 2},
        "state": books(by_ledger={("other", ES): -2}),
    },
    Denial.MAX_POSITION_STRATEGY: {
        "limits": {"max_position_strategy": 2},
        "state": books(by_ledger={("mine", "NQ 12-25"): 2}),
    },
    Denial.MAX_POSITION_ACCOUNT: {
        "limits": {"max_position_account": 2},
        "state": books(by_ledger={("other", "NQ 12-25"): 2}),
    },
    Denial.DAILY_LOSS: {"limits": {"max_daily_loss_usd": 500.0}, "state": books(day_pnl_usd=-500.0)},
    Denial.DRAWDOWN: {
        "limits": {"max_daily_drawdown_usd": 500.0},
        "state": books(day_pnl_usd=100.0, day_best_usd=600.0),
    },
    Denial.COOL_DOWN: {"limits": {"cool_down_s": 60}, "state": books(last_loss={"mine": NOW - 59 * SECOND})},
    Denial.STOP_STREAK: {"limits": {"max_stop_streak": 2}, "state": books(stop_streak={"mine": 2})},
    Denial.CHECK_FAILED: {"quantity": "one"},
}


@pytest.mark.parametrize("denial", CASES, ids=lambda denial: denial.name)
def test_each_denial_by_name(denial):
    assert judge(**CASES[denial]) is denial


def test_the_order_rate_counts_the_last_minute():
    state = books()
    state.entries.extend([NOW - 61 * SECOND, NOW - 30 * SECOND, NOW - SECOND])
    assert judge(limits={"max_orders_per_minute": 2}, state=state) is Denial.ORDER_RATE
    assert judge(limits={"max_orders_per_minute": 3}, state=state) is None


def test_the_rest_of_the_denials_have_tests_too():
    elsewhere = {Denial.ORDER_RATE, Denial.NOTHING_TO_EXIT, Denial.DUPLICATE, Denial.JOURNAL}  # in other pages
    assert CASES.keys() | elsewhere == set(Denial)


NEAR = {
    "exactly 90 s old": {"now": NOW + 90 * SECOND},
    "no limit on age": {"limits": {"max_signal_age_s": None}, "now": NOW + HOUR},
    "another instrument is locked": {"state": books(locked={"NQ 12-25": "x"})},
    "another strategy is disabled": {"state": books(disabled={"other"})},
    "before the roll window": {"limits": {"roll_window_days": 2}, "last_trade": NOW + 2 * DAY + 1},
    "inside the trading window": {"limits": {"trading_windows": (("09:30", "15:00"),)}},
    "inside a window over midnight": {"limits": {"trading_windows": (("17:00", "10:00"),)}},
    "the blackout is over": {"limits": {"blackouts": ((NOW - HOUR, NOW),)}},
    "just at the position limit": {
        "limits": {"max_position_contract": 3},
        "state": books(by_ledger={("other", ES): 2}),
    },
    "no limit on position": {
        "limits": {"max_position_contract": None, "max_position_account": None},
        "state": books(by_ledger={("other", ES): 50}),
    },
    "a smaller loss": {"limits": {"max_daily_loss_usd": 500.0}, "state": books(day_pnl_usd=-499.99)},
    "the cool-down is over": {"limits": {"cool_down_s": 60}, "state": books(last_loss={"mine": NOW - MINUTE})},
    "no cool-down, and a loss that the broker dates ahead of our clock": {
        "state": books(last_loss={"mine": NOW + SECOND})
    },
    "reversing its own position": {"state": books(by_ledger={KEY: -5}), "reversing": True},
}


@pytest.mark.parametrize("case", NEAR)
def test_just_inside_each_limit_passes(case):
    assert judge(**NEAR[case]) is None


ANY_STATE = {
    "halted": {"state": books(trading="HALTED", by_ledger={KEY: 1})},
    "reducing": {"state": books(trading="REDUCING", by_ledger={KEY: 1})},
    "not reconciled": {"state": books(reconciled=False, by_ledger={KEY: 1})},
    "locked": {"state": books(locked={ES: "x"}, by_ledger={KEY: 1})},
    "disabled": {"state": books(disabled={"mine"}, by_ledger={KEY: 1})},
    "stale": {"now": NOW + DAY, "state": books(by_ledger={KEY: 1})},
    "closed": {"now": SATURDAY, "state": books(by_ledger={KEY: 1})},
    "daily loss": {"limits": {"max_daily_loss_usd": 0}, "state": books(day_pnl_usd=-9.0, by_ledger={KEY: 1})},
    "cold": {"warm": False, "state": books(by_ledger={KEY: 1})},
    "under way": {"state": books(under_way={KEY})},
}


@pytest.mark.parametrize("case", ANY_STATE)
def test_an_exit_passes_in_every_state(case):
    assert judge(EXIT, **ANY_STATE[case]) is None


@pytest.mark.parametrize("held", [0, -1])
def test_an_exit_that_would_not_reduce_is_refused_by_name(held):
    assert judge(EXIT, state=books(by_ledger={KEY: held})) is Denial.NOTHING_TO_EXIT


def test_an_exit_in_a_dry_run_is_not_sent():
    assert judge(EXIT, state=books(dry_run=True, by_ledger={KEY: 1})) is Denial.DRY_RUN


def test_a_broken_check_halts_for_everything_after_it():
    state = books()
    assert judge(state=state, quantity="one") is Denial.CHECK_FAILED
    assert state.trading == "HALTED" and "safety check failed" in state.trading_reason
    assert judge(state=state) is Denial.HALTED


def test_a_calendar_that_cannot_answer_halts_too():
    assert judge(ENTRY._replace(symbol="QQQQ.c.0")) is Denial.CHECK_FAILED


def test_the_table_of_the_documentation_is_the_enum():
    assert Denial.table() == [(denial.name, denial.value) for denial in Denial] and all(
        meaning for _, meaning in Denial.table()
    )


def test_limits_from_a_config():
    limits = Limits.of(
        {
            "max_signal_age_s": None,
            "trading_windows": [["08:30", "15:00"]],
            "blackouts": [["2025-11-13T13:25:00Z", "2025-11-13T13:45:00Z"]],
        }
    )
    assert limits.max_signal_age_s is None and limits.trading_windows == (("08:30", "15:00"),)
    assert limits.blackouts == ((to_nanos("2025-11-13T13:25:00Z"), to_nanos("2025-11-13T13:45:00Z")),)


@pytest.mark.parametrize(
    "given, words",
    [
        ({"max_dayly_loss_usd": 1}, "max_daily_loss_usd"),
        ({"cool_down_s": -1}, "zero or more"),
        ({"max_daily_loss_usd": float("nan")}, "zero or more"),
        ({"trading_windows": [["8h", "9h"]]}, "two times of day"),
        ({"trading_windows": ["08:30"]}, "pair"),
        ({"blackouts": [["2025-11-13T13:25:00", "2025-11-13T13:45:00Z"]]}, "zone"),
        ({"blackouts": [[2, 1]]}, "end after it starts"),
    ],
)
def test_a_bad_limit_is_named(given, words):
    with pytest.raises(InputError, match=words):
        Limits.of(given)


def test_windows_are_exchange_time_in_winter_and_summer():
    for date, offset in ((dt.date(2025, 7, 10), "-05:00"), (dt.date(2025, 11, 13), "-06:00")):
        at = to_nanos(f"{date}T09:30:00{offset}")
        assert judge(ENTRY._replace(bar_end=at), limits={"trading_windows": (("09:30", "09:31"),)}, now=at) is None
