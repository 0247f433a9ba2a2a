"The watchdog blames the gateway for silence, and never for a closed market or a busy consumer."

import pytest

from futures_algo.core.types import SECOND
from futures_algo.feed.silence_watch import Patience, Watchdog

PATIENCE = Patience(connect=8, silence=10, stale=5, dead=20, poll=1)


def _dog(open: bool = True, bar_seconds: float = 1.0) -> Watchdog:
    dog = Watchdog(PATIENCE, bar_seconds, lambda at: open)
    dog.authenticated = True
    return dog


def _first(dog: Watchdog, state: str, heartbeats: bool = True, data_until: int = 0) -> int | None:
    "The second of the first verdict of that name; data stop at a second, heartbeats go on."
    for second in range(100):
        if heartbeats:
            dog.heard(second, data=second < data_until)
        if dog.judge(second, reached=0).state == state:
            return second
    return None


def test_data_that_stops_in_an_open_market_is_stale_then_lost():
    assert (_first(_dog(), "stale", data_until=30), _first(_dog(), "lost", data_until=30)) == (36, 51)


def test_a_closed_market_owes_nothing():
    assert _first(_dog(open=False), "stale") is None and _first(_dog(open=False), "lost") is None


def test_silence_is_lost_whether_the_market_is_open_or_not():
    assert _first(_dog(open=False), "lost", heartbeats=False) == 11


def test_a_minute_bar_may_take_its_minute():
    assert _first(_dog(bar_seconds=60.0), "stale") == 66


def test_a_market_that_opens_later_starts_its_own_clock():
    opens = 50 * SECOND
    dog = Watchdog(PATIENCE, 1.0, lambda at: at >= opens)
    dog.authenticated = True
    assert _first(dog, "stale") == 56


def test_authentication_has_its_own_deadline():
    dog = Watchdog(PATIENCE, 1.0, lambda at: True)
    dog.begin(0)
    assert dog.judge(8, 0).state == "fine" and dog.judge(8.1, 0).reason == "not authenticated after 8 s"


@pytest.mark.parametrize("away", [5.0, 50.0])
def test_time_the_consumer_was_away_is_not_the_gateways(away):
    dog = _dog()
    dog.judge(0, 0)
    dog.heard(away, data=False)
    assert dog.judge(away, 0).state == "fine"
