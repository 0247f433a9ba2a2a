"""Periods complete exactly once, count from the session's opening, never span a halt, and come out of arrays the same
as out of a stream."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from futures_algo.aggregator.aggregator import BarAggregator, aggregate
from futures_algo.aggregator.pipeline import BarPipeline
from futures_algo.core.sessions import SessionCalendar
from futures_algo.core.types import MINUTE, SECOND, Bar, Bars, InputError, Timeframe, to_nanos

OPEN = to_nanos("2025-11-12T17:00:00-06:00")  # Wednesday evening
BEFORE_HALT = to_nanos("2025-11-12T15:00:00-06:00")  # the last hour of the session before


def bar(
    start: int,
    price: float = 5000.0,
    step: int = MINUTE,
    contract: str = "ESZ5",
    symbol: str = "ES.c.0",
    volume: int = 10,
) -> Bar:
    return Bar(
        symbol,
        f"{step // SECOND}s" if step < MINUTE else f"{step // MINUTE}min",
        start,
        start + step,
        price,
        price + 1,
        price - 1,
        price + 0.25,
        volume,
        contract,
    )


LAW = settings(settings.get_profile("campaign"))
LATER = 1000 * MINUTE  # by then everything has completed
MIDNIGHT = to_nanos("2025-11-13T00:00Z")  # where a feed's mappings change, an hour into the session


@st.composite
def streams(draw, step=MINUTE, most=400, rolls="any") -> list[Bar]:
    "Bars with gaps, around a halt, with at most one roll: at any bar, or where the date changes in UTC."
    begin = draw(st.sampled_from([OPEN, BEFORE_HALT, OPEN + 7 * MINUTE]))
    offsets = sorted(draw(st.sets(st.integers(0, most), min_size=1, max_size=150)))
    roll = begin + draw(st.integers(0, most)) * step if rolls == "any" else MIDNIGHT
    old, new = draw(st.sampled_from([("ESZ5", "ESZ5"), ("ESZ5", "ESH6")]))
    prices = draw(st.lists(st.integers(-40, 40), min_size=len(offsets), max_size=len(offsets)))
    calendar = SessionCalendar.of("ES")
    starts = [(begin + offset * step, price) for offset, price in zip(offsets, prices)]
    made = [
        bar(start, 5000 + price / 4, step, old if start < roll else new)
        for start, price in starts
        if calendar.is_open(start)
    ]
    return made or [bar(OPEN, step=step)]


def run(aggregator, bars, marks=()) -> list[Bar]:
    "Push bars, advancing the clock before those whose index is in `marks`."
    done = []
    for i, one in enumerate(bars):
        if i in marks:
            done += aggregator.advance(one.symbol, one.start)
        done += aggregator.push(one)
    return done


def through_minutes(bars, minutes, marks, end) -> list[Bar]:
    "Seconds to minutes to N as the engine does it, end-of-interval markers included."
    pipeline, instants = BarPipeline([minutes]), []
    for i, one in enumerate(bars):
        if i in marks:
            instants += pipeline.advance(one.start)
        instants += pipeline.push(one)
    instants += pipeline.advance(end)
    return [made for instant in instants for made in instant if made.timeframe == Timeframe(minutes)]


class TestFiveRules:
    "What every bar this module makes keeps, whatever comes in; 2,000 streams each with --full."

    @given(streams(step=SECOND), st.sampled_from([5, 7, 27]), st.sets(st.integers(0, 149)))
    @LAW
    def test_seconds_to_minutes_to_n_equals_seconds_to_n(self, bars, minutes, marks):
        end = bars[-1].end + LATER
        direct = BarAggregator([minutes])
        assert through_minutes(bars, minutes, marks, end) == run(direct, bars, marks) + direct.advance("ES.c.0", end)

    @given(streams(rolls="date"))
    @LAW
    def test_fifteen_from_five_equals_fifteen_from_one(self, bars):
        one, end = Bars.from_bars(bars), bars[-1].end + LATER
        assert list(aggregate(aggregate(one, 5, through=end), 15, through=end)) == list(aggregate(one, 15, through=end))

    @given(streams(), st.sampled_from([7, 27, 240]))
    @LAW
    def test_no_bar_spans_a_halt(self, bars, minutes):
        calendar = SessionCalendar.of("ES")
        for made in aggregate(Bars.from_bars(bars), minutes, through=bars[-1].end + LATER):
            opened, closes, _ = calendar.interval(made.start)
            assert opened <= made.start < made.end <= closes

    @given(streams(), st.data())
    @LAW
    def test_a_period_completes_once_under_any_split_of_the_stream(self, bars, data):
        marks = data.draw(st.sets(st.integers(0, len(bars) - 1)))
        timeframes, end = [1, 5, 27], bars[-1].end + LATER
        plain, split = BarAggregator(timeframes), BarAggregator(timeframes)
        a = run(plain, bars) + plain.advance("ES.c.0", end)
        b = run(split, bars, marks) + split.advance("ES.c.0", end)
        assert sorted(a) == sorted(b)
        keys = [(one.timeframe, one.start, one.contract) for one in b]
        assert len(keys) == len(set(keys))
        for timeframe in split.get_available_timeframes():
            assert sum(one.volume for one in b if one.timeframe == timeframe) == sum(one.volume for one in bars)

    @given(streams(), st.sampled_from([2, 5, 6, 15, 27, 60, 240]))
    @LAW
    def test_batch_equals_live_bit_for_bit(self, bars, minutes):
        columns = Bars.from_bars(bars)
        assert run(BarAggregator([minutes]), columns) == list(aggregate(columns, minutes))


@given(streams())
@LAW
def test_a_roll_inside_a_coarse_bar_leaves_open_only_where_in_the_silence_its_two_parts_meet(bars):
    """Five-minute bars no longer know in which minute the new contract began, so from them the parts may meet
    elsewhere; all else is equal."""
    one, end = Bars.from_bars(bars), bars[-1].end + LATER
    fine, coarse = aggregate(one, 15, through=end), aggregate(aggregate(one, 5, through=end), 15, through=end)
    same = lambda made: [row._replace(start=0, end=0) for row in made]
    assert same(fine) == same(coarse)
    for name in ("start", "end"):
        apart = np.flatnonzero(getattr(fine, name) != getattr(coarse, name))
        assert len(apart) <= 1
        for row in apart:
            rolled = int(np.flatnonzero(np.diff(one.contract))[0])
            assert all(one.end[rolled] <= getattr(made, name)[row] <= one.start[rolled + 1] for made in (fine, coarse))


@given(streams(), st.integers(0, 149))
@LAW
def test_a_restart_in_mid_period_changes_nothing(bars, cut):
    import json

    whole = run(BarAggregator([5, 27]), bars)
    first, second = BarAggregator([5, 27]), BarAggregator([5, 27])
    done = run(first, bars[:cut])
    second.restore(json.loads(json.dumps(first.save())))
    assert done + run(second, bars[cut:]) == whole


def test_the_bar_of_0640_is_out_when_the_0644_bar_arrives():
    start = to_nanos("2025-11-13T06:40:00-06:00")
    five = BarAggregator([5])
    counts = [len(five.push(bar(start + i * MINUTE))) for i in range(5)]
    assert counts == [0, 0, 0, 0, 1]


def test_an_empty_last_minute_completes_by_the_clock_or_by_a_later_bar():
    clocked, later = BarAggregator([5]), BarAggregator([5])
    for aggregator in (clocked, later):
        for i in range(3):
            assert aggregator.push(bar(OPEN + i * MINUTE)) == []
    assert clocked.advance("ES.c.0", OPEN + 5 * MINUTE - 1) == []
    assert [one.end for one in clocked.advance("ES.c.0", OPEN + 5 * MINUTE)] == [OPEN + 5 * MINUTE]
    assert [one.end for one in later.push(bar(OPEN + 7 * MINUTE))] == [OPEN + 5 * MINUTE]


def test_late_and_repeated_bars_are_counted_and_change_nothing():
    five = BarAggregator([5])
    for i in range(5):
        five.push(bar(OPEN + i * MINUTE))
    assert five.push(bar(OPEN + 4 * MINUTE)) == five.push(bar(OPEN)) == []
    assert five.rejected == {"duplicate": 1, "late": 1}


def test_a_roll_inside_a_period_ends_it_and_flags_both_parts():
    five = BarAggregator([5])
    five.push(bar(OPEN))
    (old,) = five.push(bar(OPEN + MINUTE, contract="ESH6"))
    (new,) = five.advance("ES.c.0", OPEN + 5 * MINUTE)
    assert (old.contract, old.partial, new.contract, new.partial) == ("ESZ5", True, "ESH6", True)
    assert (old.end, new.end) == (
        OPEN + MINUTE,
        OPEN + 5 * MINUTE,
    )  # the old part is known when the new contract begins, and no later


def test_a_roll_in_mid_minute_loses_no_second_though_markers_have_passed_it():
    pipeline = BarPipeline([5])
    seconds = [bar(OPEN + i * SECOND, step=SECOND, contract="ESZ5" if i < 31 else "ESH6") for i in range(60)]
    instants = [
        instant for one in seconds for part in (pipeline.advance(one.start), pipeline.push(one)) for instant in part
    ]
    instants += pipeline.advance(OPEN + 5 * MINUTE)
    made = [(one.contract, one.timeframe, one.volume) for instant in instants for one in instant]
    assert made == [("ESZ5", "1min", 310), ("ESZ5", "5min", 310), ("ESH6", "1min", 290), ("ESH6", "5min", 290)]


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
    for i in range(5):
        closed = aggregator.push(bar(noon_halt + i * MINUTE))
    assert len(closed) == 1 and aggregator.rejected["off_session"] == 1


def test_a_timeframe_the_base_does_not_divide_is_refused():
    with pytest.raises(InputError, match="whole multiple"):
        BarAggregator([7]).push(bar(OPEN, step=5 * MINUTE))


def test_bars_beyond_the_calendar_are_refused_by_both_forms():
    late = bar(to_nanos("2040-01-02T12:00Z"))
    with pytest.raises(InputError, match="2040-01-02T12:00:00Z.*2008 to 2030"):
        BarAggregator([5]).push(late)
    with pytest.raises(InputError, match="2040-01-02T12:00:00Z.*2008 to 2030"):
        aggregate(Bars.from_bars([bar(OPEN), late]), 5)


def test_process_bar_takes_the_seeds_dictionary():
    fields = {"timestamp": OPEN, "open": 1, "high": 2, "low": 0.5, "close": 1.5, "volume": 3}
    done = BarAggregator([1]).process_bar("ES.c.0", fields)
    assert np.isclose(done["1min"].close, 1.5) and done["1min"].volume == 3
