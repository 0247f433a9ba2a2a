"""The live feed against the loopback gateway, through the real databento client: what arrives, what it is called, and
how it ends."""

import json
import subprocess
import sys
import threading
import time
from itertools import groupby

import pytest
from databento_dbn import ErrorCode, ErrorMsg, SystemMsg
from feed_world import HEARTBEAT, IMPATIENT, KEY, MIDNIGHT, check_stream, feed_of, only, record, states
from waiting import eventually

from futures_algo.core.dbn import read_records, write_records
from futures_algo.core.types import MINUTE, SECOND, Bar, Bars, FeedError, InputError, to_nanos
from futures_algo.feed.databento_feed import DatabentoLiveFeed
from futures_algo.feed.events import ContractMapped, FeedState, IntervalEnd, join
from futures_algo.sim.gateway import LoopbackGateway
from futures_algo.sim.gateway_faults import Fault

DEADLINE = 10  # s that anything may take


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return record(tmp_path_factory.mktemp("feed") / "roll.dbn.zst")


@pytest.fixture
def gateway_of(world):
    "Gateways over the recorded world, stopped at the end."
    running = []

    def make(**settings) -> LoopbackGateway:
        settings = {"heartbeat_s": HEARTBEAT, "start_ns": world.start, "end_ns": world.end} | settings
        running.append(LoopbackGateway({"ohlcv-1s": [world.path]}, [KEY], **settings).start())
        return running[-1]

    yield make
    for gateway in running:
        gateway.stop()


# -- what arrives


def test_a_day_change_with_a_roll_at_full_speed(world, gateway_of):
    with feed_of(gateway_of(), end=world.end) as feed:
        events = list(feed.events(DEADLINE))
    check_stream(events, world)
    assert feed.sessions == 2 and feed.duplicates == 0


def test_the_roll_stands_between_the_last_bar_of_one_contract_and_the_first_of_the_next(world, gateway_of):
    with feed_of(gateway_of(), end=world.end) as feed:
        events = list(feed.events(DEADLINE))
    roll = next(i for i, event in enumerate(events) if isinstance(event, ContractMapped) and event.contract == "ESH6")
    assert events[roll].at == MIDNIGHT
    assert {bar.contract for bar in only(Bar, events[:roll]) if bar.symbol == "ES.c.0"} == {"ESZ5"}
    assert {bar.contract for bar in only(Bar, events[roll:]) if bar.symbol == "ES.c.0"} == {"ESH6"}


@pytest.mark.parametrize("speed", [50.0, 500.0])
def test_a_paced_gateway_gives_the_same(world, gateway_of, speed):
    with feed_of(gateway_of(speed=speed), start=world.start, end=world.end) as feed:
        events = list(feed.events(DEADLINE))
    check_stream(events, world)


@pytest.mark.parametrize("mapped_by", ["start", "now"])
def test_a_break_over_the_midnight_of_a_roll_does_not_roll_early(world, gateway_of, mapped_by):
    gateway = gateway_of(speed=20.0, mapped_by=mapped_by, faults=[Fault(MIDNIGHT - 3 * SECOND, "refuse", hold=0.3)])
    with feed_of(gateway, start=world.start, end=world.end) as feed:
        events = list(feed.events(DEADLINE))
    check_stream(events, world)
    asked = [(line["stype_in"], line["symbols"]) for line in gateway.requests if "schema" in line]
    asked = [kind for kind, _ in groupby(asked)]  # a slow machine may need a second attempt
    assert asked == [("continuous", "ES.c.0,NQ.c.0"), ("raw_symbol", "ESZ5,NQZ5"), ("continuous", "ES.c.0,NQ.c.0")]


def test_two_symbols_that_mean_one_contract_both_get_its_bars(world, gateway_of, tmp_path):
    file = read_records(world.path)
    write_records(tmp_path / "both.dbn", file.rows, file.mappings | {"NQ.v.0": file.mappings["NQ.c.0"]})
    with (
        LoopbackGateway(
            {"ohlcv-1s": [tmp_path / "both.dbn"]},
            [KEY],
            heartbeat_s=HEARTBEAT,
            faults=[Fault(MIDNIGHT - 5 * SECOND, "rst")],
        ) as gateway,
        feed_of(gateway, ["NQ.c.0", "NQ.v.0"], end=world.end) as feed,
    ):
        bars = only(Bar, feed.events(DEADLINE))
    expected = [bar.start for bar in world.bars if bar.symbol == "NQ.c.0"]
    for symbol in ("NQ.c.0", "NQ.v.0"):
        assert [bar.start for bar in bars if bar.symbol == symbol] == expected


def test_a_contract_is_its_own_symbol_and_crosses_midnight_in_one_session(world, gateway_of):
    with feed_of(gateway_of(), ["NQZ5"], end=world.end) as feed:
        bars = only(Bar, feed.events(DEADLINE))
    assert feed.sessions == 1 and {(bar.symbol, bar.contract) for bar in bars} == {("NQZ5", "NQZ5")}
    assert [bar.start for bar in bars] == [bar.start for bar in world.bars if bar.symbol == "NQ.c.0"]


def test_real_minutes_from_databento(shared_data):
    path = shared_data / "databento/nautilus/futures_ohlcv-1m_2024-07-01T23-40_2024-07-02T00-10.dbn.zst"
    rows = read_records(path).rows
    with (
        LoopbackGateway({"ohlcv-1m": [path]}, [KEY]) as gateway,
        feed_of(gateway, ["ESU4", "NQU4"], schema="ohlcv-1m", end=gateway.end_ns) as feed,
    ):
        bars = only(Bar, feed.events(DEADLINE))
    assert (
        len(bars) == 60
        and {bar.timeframe for bar in bars} == {"1min"}
        and {bar.end - bar.start for bar in bars} == {MINUTE}
    )
    assert sorted(bar[4:9] for bar in bars) == sorted(
        (o / 1e9, h / 1e9, low / 1e9, c / 1e9, v)
        for o, h, low, c, v in rows[["open", "high", "low", "close", "volume"]].tolist()
    )


def test_the_first_bar_is_partial_when_the_stream_began_inside_it(world, gateway_of):
    first = world.bars[3].start
    gateway = gateway_of(speed=20.0, start_ns=first + SECOND // 2)
    with feed_of(gateway, end=first + 6 * SECOND) as feed:
        bars = only(Bar, feed.events(DEADLINE))
    assert {bar.start for bar in bars if bar.partial} == {first} and not all(bar.partial for bar in bars)


def test_history_and_stream_join_without_seam_or_overlap(world, gateway_of):
    seam = MIDNIGHT - 5 * SECOND
    history = [
        Bars.from_bars([bar for bar in world.bars if bar.symbol == symbol and bar.start < seam + 2 * SECOND])
        for symbol in ("ES.c.0", "NQ.c.0")
    ]
    for start in (world.start, seam):  # an overlap, and none
        with feed_of(gateway_of(), start=start, end=world.end) as feed:
            joined = only(Bar, join(history, feed.events(DEADLINE), seam))
        assert sorted(joined) == sorted(world.bars)
    with (
        feed_of(gateway_of(), start=seam + SECOND, end=world.end) as feed,
        pytest.raises(InputError, match="must not lie after the end of history"),
    ):
        list(join(history, feed.events(DEADLINE), seam))


# -- how it is used


def test_stream_calls_back_and_ends(world, gateway_of):
    bars: list[Bar] = []
    with feed_of(gateway_of(), callback=bars.append, end=world.end) as feed:
        feed.stream()
    assert bars == world.bars and feed.state == "closed"


def test_shutdown_from_another_thread_ends_a_stream_and_leaves_nothing_behind(gateway_of):
    gateway, threads, bars = gateway_of(speed=20.0), threading.active_count(), []
    feed = feed_of(gateway, callback=bars.append)
    streaming = threading.Thread(target=feed.stream)
    streaming.start()
    eventually(lambda: len(bars) > 3)
    feed.shutdown()
    streaming.join(DEADLINE)
    assert not streaming.is_alive() and feed.state == "closed"
    eventually(lambda: not gateway.sessions and threading.active_count() == threads)


def test_shutdown_before_anything(gateway_of):
    feed = feed_of(gateway_of())
    feed.shutdown()
    assert states(feed.events(DEADLINE)) == ["closed"]


def test_events_keep_their_deadline_and_go_on_where_they_stopped(world, gateway_of):
    with feed_of(gateway_of(speed=20.0), start=world.start, end=world.end) as feed:
        events, slices = [], 0
        while feed.state != "closed" or not slices:
            began = time.monotonic()
            events += feed.events(timeout=0.05)
            slices += 1
            assert time.monotonic() - began < 1.0  # the stream goes on for two
    check_stream([*events, *feed.events(1)], world)
    assert slices > 5


def test_symbols_added_while_it_runs_arrive_from_there_on(world, gateway_of):
    with feed_of(gateway_of(speed=50.0), ["ES.c.0"], start=world.start, end=world.end) as feed:
        events = []
        for event in feed.events(DEADLINE):
            events.append(event)
            if isinstance(event, IntervalEnd) and event.end == world.start + 5 * SECOND:
                assert feed.subscribe("NQ.c.0") == ("ES.c.0", "NQ.c.0")
    bars = only(Bar, events)
    assert [bar for bar in bars if bar.symbol == "ES.c.0"] == [bar for bar in world.bars if bar.symbol == "ES.c.0"]
    added = [bar.start for bar in bars if bar.symbol == "NQ.c.0"]
    expected = [bar.start for bar in world.bars if bar.symbol == "NQ.c.0"]
    assert added and added == expected[-len(added) :]


def test_a_consumer_that_was_busy_itself_does_not_blame_the_gateway(world, gateway_of):
    gateway = gateway_of(speed=200.0)
    with feed_of(gateway, ["NQZ5"], start=world.start, end=world.end) as feed:
        feed.connect()
        idle_until = time.monotonic() + 2 * IMPATIENT.silence
        eventually(lambda: time.monotonic() > idle_until)
        bars = only(Bar, feed.events(DEADLINE))
    assert feed.sessions == 1 and len(bars) == sum(bar.symbol == "NQ.c.0" for bar in world.bars)


def test_the_gateway_as_a_process(world):
    command = [sys.executable, "-m", "futures_algo.sim.gateway", str(world.path), "--key", KEY]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        told = json.loads(process.stdout.readline())
        with DatabentoLiveFeed(
            KEY, ["ES.c.0"], gateway="127.0.0.1", port=told["port"], end=told["end"], expected_open=lambda at: True
        ) as feed:
            bars = only(Bar, feed.events(DEADLINE))
        process.stdin.close()
        assert process.wait(DEADLINE) == 0
    assert bars == [bar for bar in world.bars if bar.symbol == "ES.c.0"]


# -- the states it is in


def test_states_of_a_replay_that_becomes_live(world, gateway_of):
    with feed_of(gateway_of(speed=100.0, start_ns=MIDNIGHT + 5 * SECOND), start=MIDNIGHT, end=world.end) as feed:
        told = states(feed.events(DEADLINE))
    assert told == ["connecting", "replaying", "live", "closed"]


def test_heartbeats_without_data_are_stale_in_an_open_market_only(world, gateway_of):
    mute, calm = (
        [Fault(world.start + 5 * SECOND, "mute")],
        IMPATIENT._replace(connect=5.0, silence=3.0, stale=0.3, dead=1.0),
    )
    with feed_of(gateway_of(faults=mute), end=world.end, patience=calm) as feed:
        told = states(feed.events(DEADLINE))
    assert told[:4] == ["connecting", "live", "stale", "down"] and told[-1] == "closed"
    with feed_of(gateway_of(faults=mute), end=world.end, patience=calm, expected_open=lambda at: False) as feed:
        told = states(feed.events(1.5 * calm.dead))
    assert told == ["connecting", "live"]


def test_data_that_comes_back_ends_stale(world, gateway_of):
    patient = IMPATIENT._replace(dead=DEADLINE)
    gateway = gateway_of(faults=[Fault(world.start + 5 * SECOND, "mute")])
    with feed_of(gateway, end=world.end, patience=patient) as feed:
        told = []
        for event in feed.events(DEADLINE):
            if isinstance(event, FeedState):
                told.append(event.state)
            if isinstance(event, FeedState) and event.state == "stale":
                for session in gateway.sessions:
                    session.muted = False
    assert told[:4] == ["connecting", "live", "stale", "live"] and "down" not in told


def test_the_date_change_is_noticed_when_no_marker_tells_it(world, gateway_of):
    gateway = gateway_of(speed=50.0, markers=False)
    bars: list[Bar] = []
    with feed_of(gateway, start=world.start, callback=bars.append) as feed:
        streaming = threading.Thread(target=feed.stream)
        streaming.start()
        eventually(lambda: len(bars) == len(world.bars))
    streaming.join(DEADLINE)
    for symbol in ("ES.c.0", "NQ.c.0"):
        assert [bar for bar in bars if bar.symbol == symbol] == [bar for bar in world.bars if bar.symbol == symbol]


# -- refusals and codes


def test_a_wrong_key_is_an_error_that_does_not_show_the_key(gateway_of):
    for use in (lambda feed: feed.connect(), lambda feed: list(feed.events(DEADLINE)), lambda feed: feed.stream()):
        feed = DatabentoLiveFeed(
            "db-secret", ["ES.c.0"], gateway="127.0.0.1", port=gateway_of().port, patience=IMPATIENT
        )
        with feed, pytest.raises(FeedError, match="Authentication failed") as refused:
            use(feed)
        assert "db-secret" not in str(refused.value) + repr(feed)


@pytest.mark.parametrize(
    "fault, reason",
    [
        ("hang_auth", "not authenticated"),
        ("close_auth", "closed the connection during authentication"),
        ("refuse", "failed"),
    ],
)
def test_connect_ends_within_its_deadline_and_leaves_no_thread(gateway_of, fault, reason):
    gateway, threads = gateway_of(), threading.active_count()
    gateway.strike(fault, hold=DEADLINE)
    feed, began = feed_of(gateway), time.monotonic()
    with pytest.raises(FeedError, match=reason):
        feed.connect()
    assert time.monotonic() - began < 2 * IMPATIENT.connect + 1
    eventually(lambda: threading.active_count() == threads)


def test_an_unknown_schema_at_the_gateway_is_final(gateway_of):
    feed = feed_of(gateway_of(), schema="ohlcv-1m")
    with feed, pytest.raises(FeedError, match="No data for schema"):
        list(feed.events(DEADLINE))


def test_a_symbol_that_does_not_resolve_leaves_the_others_alone(world, gateway_of):
    with feed_of(gateway_of(), ["ES.c.0", "CL.c.0"], end=world.end) as feed:
        events = list(feed.events(DEADLINE))
    assert any("CL.c.0" in event.reason for event in only(FeedState, events))
    assert only(Bar, events) == [bar for bar in world.bars if bar.symbol == "ES.c.0"]


def test_a_contract_that_lost_its_name_is_asked_for_by_its_continuous_symbol_again(world, gateway_of):
    gateway = gateway_of(faults=[Fault(world.start + 5 * SECOND, "fin")])
    with feed_of(gateway, ["ES.c.0"], end=world.end) as feed:
        bars = []
        for event in feed.events(DEADLINE):
            if isinstance(event, FeedState) and event.state == "down":
                gateway.tapes["ohlcv-1s"].names.pop(101, None)
            if isinstance(event, Bar):
                bars.append(event.start)
    assert bars == [bar.start for bar in world.bars if bar.symbol == "ES.c.0"]
    assert [line["stype_in"] for line in gateway.requests if "schema" in line] == [
        "continuous",
        "raw_symbol",
        "continuous",
        "continuous",
    ]


def test_a_start_the_gateway_no_longer_keeps_is_said_and_what_it_keeps_is_taken(world, gateway_of):
    gateway = gateway_of(speed=50.0, start_ns=MIDNIGHT, replay_window=5 * SECOND)
    with feed_of(gateway, start=world.start, end=world.end) as feed:
        events = list(feed.events(DEADLINE))
    assert any("backfill it from history" in event.reason for event in only(FeedState, events))
    starts = [bar.start for bar in only(Bar, events)]
    assert starts and starts[0] < MIDNIGHT and starts[-1] == world.bars[-1].start


@pytest.mark.parametrize(
    "code, patience",
    [
        (ErrorCode.CONNECTION_LIMIT_EXCEEDED, "longest"),
        (ErrorCode.API_KEY_DEACTIVATED, "short"),
        (ErrorCode.INTERNAL_ERROR, "short"),
    ],
)
def test_an_error_in_a_running_session_is_down_and_resumed(world, gateway_of, code, patience):
    slow_to_return = IMPATIENT._replace(retry_most=0.6)
    gateway = gateway_of(speed=50.0)
    with feed_of(gateway, start=world.start, end=world.end, patience=slow_to_return) as feed:
        events, fell = [], 0.0
        for event in feed.events(DEADLINE):
            events.append(event)
            if event == IntervalEnd("ohlcv-1s", world.start + 5 * SECOND):
                gateway.send(ErrorMsg(ts_event=event.end, err="no more", code=code))
            if isinstance(event, FeedState) and event.state == "down":
                fell = time.monotonic()
            if isinstance(event, FeedState) and event.state == "connecting" and fell:
                waited, fell = time.monotonic() - fell, 0.0
    check_stream(events, world)
    assert (waited > 0.25) == (patience == "longest")


def test_an_unknown_system_message_is_said_and_nothing_more(world, gateway_of):
    gateway = gateway_of(speed=50.0)
    with feed_of(gateway, start=world.start, end=world.end) as feed:
        events = []
        for event in feed.events(DEADLINE):
            events.append(event)
            if event == IntervalEnd("ohlcv-1s", world.start + SECOND):
                gateway.send(SystemMsg(ts_event=event.end, msg="maintenance at noon"))
    check_stream(events, world)
    assert any("maintenance at noon" in event.reason for event in only(FeedState, events)) and "down" not in states(
        events
    )


@pytest.mark.parametrize(
    "settings, says",
    [
        ({"symbols": []}, "must name at least one"),
        ({"symbols": ["ES.c.0", "NQZ5"]}, "all continuous or all contracts"),
        ({"symbols": ["ES.x.0"]}, "must be ROOT.RULE.RANK"),
        ({"symbols": ["XYZ.c.0"]}, "must belong to a known product"),
        ({"symbols": ["ES.c.0"], "schema": "ohlcv-1min"}, "did you mean 'ohlcv-1m'"),
    ],
)
def test_settings_that_cannot_be(settings, says):
    with pytest.raises(InputError, match=says):
        DatabentoLiveFeed(KEY, **settings)


def test_without_a_word_about_it_the_session_calendar_says_when_the_market_is_open():
    feed = DatabentoLiveFeed(KEY, ["ES.c.0", "NQ.c.0"])
    saturday, halt = to_nanos("2025-12-13T12:00:00Z"), to_nanos("2025-12-15T22:30:00Z")  # 16:30 in Chicago
    assert [feed.expected_open(at) for at in (MIDNIGHT, saturday, halt)] == [True, False, False]
