"Periods complete exactly once, count from the session's opening, never span a halt, and come out of arrays the same as out of a stream."
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from futures_algo.aggregator import BarAggregator, SecondToMinuteAggregator, aggregate
from futures_algo.core import MINUTE, SECOND, Bar, Bars, InputError, to_nanos
from futures_algo.sessions import SessionCalendar

OPEN = to_nanos("2025-11-12T17:00:00-06:00")          # Wednesday evening
BEFORE_HALT = to_nanos("2025-11-12T15:00:00-06:00")   # the last hour of the session before


def bar(start: int, price: float = 5000.0, step: int = MINUTE, contract: str = "ESZ5", symbol: str = "ES.c.0", volume: int = 10) -> Bar:
    return Bar(symbol, f"{step // SECOND}s" if step < MINUTE else f"{step // MINUTE}min", start, start + step, price, price + 1, price - 1, price + 0.25, volume, contract)


@st.composite
def streams(draw, step=MINUTE, most=400) -> list[Bar]:
    "Bars with gaps, around a halt, with at most one roll."
    begin = draw(st.sampled_from([OPEN, BEFORE_HALT, OPEN + 7 * MINUTE]))
    offsets = sorted(draw(st.sets(st.integers(0, most), min_size=1, max_size=150)))
    roll = draw(st.one_of(st.none(), st.integers(0, most)))
    prices = draw(st.lists(st.integers(-40, 40), min_size=len(offsets), max_size=len(offsets)))
    calendar = SessionCalendar.of("ES")
    starts = [(o, begin + o * step, p) for o, p in zip(offsets, prices)]
    made = [bar(s, 5000 + p / 4, step, "ESZ5" if roll is None or o < roll else "ESH6") for o, s, p in starts if calendar.is_open(s)]
    return made or [bar(OPEN, step=step)]


def run(aggregator, bars, marks=()) -> list[Bar]:
    "Push bars, advancing the clock before those whose index is in `marks`."
    done = []
    for i, one in enumerate(bars):
        if i in marks: done += aggregator.advance(one.symbol, one.start)
        done += aggregator.push(one)
    return done


@given(streams(), st.sampled_from([2, 5, 6, 15, 27, 60, 240]))
@settings(max_examples=150, deadline=None)
def test_batch_equals_live_bit_for_bit(bars, minutes):
    columns = Bars.from_bars(bars)
    assert run(BarAggregator([minutes]), columns) == list(aggregate(columns, minutes))


@given(streams(step=SECOND), st.sampled_from([5, 7, 27]))
@settings(max_examples=60, deadline=None)
def test_seconds_to_minutes_to_n_equals_seconds_to_n(bars, minutes):
    second, through = SecondToMinuteAggregator(), BarAggregator([minutes])
    two_steps = [done for one in bars for minute in second.push(one) for done in through.push(minute)]
    end = bars[-1].end + 1000 * MINUTE
    two_steps += [done for minute in second.advance("ES.c.0", end) for done in through.push(minute)] + through.advance("ES.c.0", end)
    direct = BarAggregator([minutes])
    one_step = run(direct, bars) + direct.advance("ES.c.0", end)
    assert two_steps == one_step


@given(streams())
@settings(max_examples=60, deadline=None)
def test_fifteen_from_five_equals_fifteen_from_one(bars):
    columns = Bars.from_bars(bars)
    end = bars[-1].end + 1000 * MINUTE
    values = lambda made: [one[2:] for one in made]
    assert values(aggregate(aggregate(columns, 5, through=end), 15, through=end)) == values(aggregate(columns, 15, through=end))


@given(streams(), st.data())
@settings(max_examples=150, deadline=None)
def test_a_period_completes_once_however_the_stream_is_split(bars, data):
    marks = data.draw(st.sets(st.integers(0, len(bars) - 1)))
    timeframes = [1, 5, 27]
    plain, split = BarAggregator(timeframes), BarAggregator(timeframes)
    end = bars[-1].end + 1000 * MINUTE
    a = run(plain, bars) + plain.advance("ES.c.0", end)
    b = run(split, bars, marks) + split.advance("ES.c.0", end)
    assert sorted(a) == sorted(b)
    keys = [(one.timeframe, one.start, one.contract) for one in b]
    assert len(keys) == len(set(keys))
    assert sum(one.volume for one in b if one.timeframe == "27min") == sum(one.volume for one in bars)


@given(streams(), st.integers(0, 149))
@settings(max_examples=60, deadline=None)
def test_a_restart_in_mid_period_changes_nothing(bars, cut):
    import json
    whole = run(BarAggregator([5, 27]), bars)
    first, second = BarAggregator([5, 27]), BarAggregator([5, 27])
    done = run(first, bars[:cut])
    second.restore(json.loads(json.dumps(first.save())))
    assert done + run(second, bars[cut:]) == whole


@given(streams(), st.sampled_from([7, 27, 240]))
@settings(max_examples=60, deadline=None)
def test_no_bar_spans_a_halt(bars, minutes):
    calendar = SessionCalendar.of("ES")
    for made in aggregate(Bars.from_bars(bars), minutes, through=bars[-1].end + 1000 * MINUTE):
        opened, closes, _ = calendar.interval(made.start)
        assert opened <= made.start < made.end <= closes


def test_the_bar_of_0640_is_out_when_the_0644_bar_arrives():
    start = to_nanos("2025-11-13T06:40:00-06:00")
    five = BarAggregator([5])
    counts = [len(five.push(bar(start + i * MINUTE))) for i in range(5)]
    assert counts == [0, 0, 0, 0, 1]


def test_an_empty_last_minute_completes_by_the_clock_or_by_a_later_bar():
    clocked, later = BarAggregator([5]), BarAggregator([5])
    for aggregator in (clocked, later):
        for i in range(3): assert aggregator.push(bar(OPEN + i * MINUTE)) == []
    assert clocked.advance("ES.c.0", OPEN + 5 * MINUTE - 1) == []
    assert [one.end for one in clocked.advance("ES.c.0", OPEN + 5 * MINUTE)] == [OPEN + 5 * MINUTE]
    assert [one.end for one in later.push(bar(OPEN + 7 * MINUTE))] == [OPEN + 5 * MINUTE]


def test_late_and_repeated_bars_are_counted_and_change_nothing():
    five = BarAggregator([5])
    for i in range(5): five.push(bar(OPEN + i * MINUTE))
    assert five.push(bar(OPEN + 4 * MINUTE)) == five.push(bar(OPEN)) == []
    assert five.rejected == {"duplicate": 1, "late": 1}


def test_a_roll_inside_a_period_ends_it_and_flags_both_parts():
    five = BarAggregator([5])
    five.push(bar(OPEN))
    old, = five.push(bar(OPEN + MINUTE, contract="ESH6"))
    new, = five.advance("ES.c.0", OPEN + 5 * MINUTE)
    assert (old.contract, old.partial, new.contract, new.partial) == ("ESZ5", True, "ESH6", True)
    assert (old.end, new.end) == (OPEN + MINUTE, OPEN + 5 * MINUTE)   # the old part is known when the new contract begins, and no later


def test_the_first_period_is_partial_when_the_stream_began_inside_it():
    assert not BarAggregator([1]).push(bar(OPEN + 2 * MINUTE))[0].partial
    five = BarAggregator([5])
    five.push(bar(OPEN + 2 * MINUTE))
    assert five.advance("ES.c.0", OPEN + 5 * MINUTE)[0].partial


def test_timeframes_can_be_added_while_running():
    aggregator = BarAggregator([5])
    aggregator.push(bar(OPEN))
    aggregator.add_timeframes([2, "1min"])
    assert aggregator.get_available_timeframes() == ["1min", "2min", "5min"]
    assert [one.timeframe for one in aggregator.push(bar(OPEN + MINUTE))] == ["1min", "2min"]
    assert len(aggregator.get_bars("ES.c.0", 2)) == 1


def test_bars_outside_every_session_are_kept_and_counted():
    noon_halt = to_nanos("2025-11-12T16:30:00-06:00")
    aggregator = BarAggregator([5])
    for i in range(5): closed = aggregator.push(bar(noon_halt + i * MINUTE))
    assert len(closed) == 1 and aggregator.rejected["off_session"] == 1


def test_a_timeframe_the_base_does_not_divide_is_refused():
    with pytest.raises(InputError, match="whole multiple"): BarAggregator([7]).push(bar(OPEN, step=5 * MINUTE))


def test_process_bar_takes_the_seeds_dictionary():
    fields = {"timestamp": OPEN, "open": 1, "high": 2, "low": 0.5, "close": 1.5, "volume": 3}
    done = BarAggregator([1]).process_bar("ES.c.0", fields)
    assert np.isclose(done["1min"].close, 1.5) and done["1min"].volume == 3
