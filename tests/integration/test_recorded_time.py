"""Over recorded bars their time decides, and nothing waits for the wall's: each cause that once let another machine's
speed show, in the smallest world that has it."""

import datetime as dt
import time
from contextlib import ExitStack

import pytest
from feed_world import IMPATIENT, KEY, check_stream, record
from interleavings import CCI, Schedule, World, short_days

from futures_algo.core.types import DAY, HOUR, MINUTE, SECOND, Bar, DataClock, to_nanos
from futures_algo.engine import engine as engine_module
from futures_algo.engine import reload as reload_module
from futures_algo.feed.databento_feed import DatabentoLiveFeed
from futures_algo.feed.events import ContractMapped, FeedState, IntervalEnd, Position
from futures_algo.feed.record_decoder import Intake
from futures_algo.journal.journal import Journal
from futures_algo.sim.gateway import LoopbackGateway
from futures_algo.sim.gateway_faults import Fault

SATURDAY = to_nanos("2025-09-13T00:00:00Z")
DEADLINE = 20.0  # seconds; only a failure takes that long


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    return short_days(tmp_path_factory.mktemp("short"), dt.date(2025, 9, 12), 2, "ES.c.0", "NQ.c.0")


def moved() -> dict:
    return {"moved": {"class": CCI, "parameters": {"length": 20}, "symbols": ["NQ.c.0"]}}


def run(recording, folder, monkeypatch, seed: int, acts=lambda world: None) -> World:
    "A world read by a seed's bursts and clock."
    schedule = Schedule(seed)
    folder.mkdir()
    for module in (engine_module, reload_module):
        monkeypatch.setattr(module, "time", schedule.time)
    with ExitStack() as stack:
        world = World(stack, recording, folder, schedule, moved())
        acts(world)
        world.run()
    return world


def test_the_looks_fall_at_the_same_moments_whatever_the_machine(recording, tmp_path, monkeypatch):
    """Cause: commands, config, snapshots and on_turn were looked at every so many seconds of the wall's time, in which
    a fast machine passes a day."""
    seen = {seed: [] for seed in (1, 2, 3)}
    original = engine_module.Engine._due

    def look(engine):
        seen[int(engine.journal.path.parent.name)].append(engine.clock.now())
        original(engine)

    monkeypatch.setattr(engine_module.Engine, "_due", look)
    for seed in seen:
        run(recording, tmp_path / str(seed), monkeypatch, seed)
    inside = lambda moments: [
        at for at in dict.fromkeys(moments) if recording.start < at < recording.end
    ]  # where a stream pauses it is looked at again, also before its first bar and behind its last
    first, second, third = map(inside, seen.values())
    assert first == second == third and max(b - a for a, b in zip(first, first[1:]) if b - a < HOUR) <= MINUTE


def test_a_feed_resumed_where_its_recording_ends_closes(tmp_path):
    """Cause: the engine before had come to the end between two looks; no marker follows there, so the next one waited
    for ever in `_wait`."""
    world = record(tmp_path / "bars.dbn.zst")
    with LoopbackGateway({"ohlcv-1s": [world.path]}, [KEY]) as gateway:
        feed = DatabentoLiveFeed(
            KEY,
            ["ES.c.0", "NQ.c.0"],
            gateway="127.0.0.1",
            port=gateway.port,
            resume=Position(world.end, {}),
            end=world.end,
            patience=IMPATIENT,
            clock=DataClock(world.end),
        )
        began = time.monotonic()
        while feed.state != "closed" and time.monotonic() - began < DEADLINE:
            list(feed.events(0.1))
        feed.shutdown()
    assert feed.state == "closed" and feed.reason == "everything was sent" and not feed.bars


def test_a_mute_stream_in_a_closed_recorded_market_goes_on(tmp_path):
    "Cause: the calendar excused the silence, and its recorded time stood still."
    world = record(tmp_path / "bars.dbn.zst")
    with LoopbackGateway(
        {"ohlcv-1s": [world.path]}, [KEY], faults=[Fault(world.start + 5 * SECOND, "mute")], heartbeat_s=0.05
    ) as gateway:
        feed = DatabentoLiveFeed(
            KEY,
            ["ES.c.0", "NQ.c.0"],
            gateway="127.0.0.1",
            port=gateway.port,
            start=world.start,
            end=world.end,
            patience=IMPATIENT,
            clock=DataClock(world.start),
            expected_open=lambda at: False,
        )
        events, began = [], time.monotonic()
        while feed.state != "closed" and time.monotonic() - began < DEADLINE:
            events += feed.events(0.1)
        feed.shutdown()
    check_stream(events, world)
    assert any(isinstance(event, FeedState) and event.state == "down" for event in events)


def intake_of_yesterday() -> Intake:
    "After a reconnect on Friday night: asked for by contract, and about to pass the weekend."
    intake = Intake("ohlcv-1m", ("ES.c.0",), Position(SATURDAY - HOUR, {}, {"ES.c.0": "ESU5"}), None, lambda: 0)
    assert intake.begin_session("GLBX.MDP3").stype == "raw_symbol"
    return intake


@pytest.mark.parametrize("past", [0, MINUTE, 20 * HOUR, 2 * DAY])
def test_a_marker_behind_the_date_change_closes_nothing_of_the_new_date(past):
    """Cause: one marker may pass a weekend; all up to it counted as sent, and what a new contract traded there was
    lost: 145 bars from Sunday 22:05 on."""
    intake = intake_of_yesterday()
    demand = intake._on_interval_end(SATURDAY + past)
    assert demand and demand.action == "resume" and intake.closed_through == SATURDAY
    assert [event.end for event in intake.take() if isinstance(event, IntervalEnd)] == [
        SATURDAY
    ] and intake.position.closed_through == SATURDAY
    again = intake.begin_session("GLBX.MDP3")
    assert again.stype == "continuous" and again.start == SATURDAY  # by the mapping of the new date


def test_a_bar_of_the_old_contract_behind_the_date_change_closes_nothing_of_the_new_date():
    from databento_dbn import OHLCVMsg

    intake = intake_of_yesterday()
    intake._names = {1: {"ES.c.0": "ESU5"}}
    record_ = OHLCVMsg(
        rtype=33,
        publisher_id=1,
        instrument_id=1,
        ts_event=SATURDAY + 46 * HOUR,
        open=1,
        high=1,
        low=1,
        close=1,
        volume=1,
    )
    demand = intake._on_bar(record_)
    assert (
        demand.action == "resume"
        and intake.closed_through == SATURDAY
        and not [event for event in intake.take() if isinstance(event, Bar | ContractMapped)]
    )


def test_an_engine_that_dies_behind_a_reload_is_followed_from_the_reload(recording, tmp_path, monkeypatch):
    """Cause: the snapshot was older than the reload, so the next engine decided anew, by the new config, what had been
    decided by the old one."""

    def acts(world):
        def change():
            world.content["strategies"]["moved"]["parameters"]["length"] = 9
            world.write()
            world.engine.reloader.now(world.engine)

        world.schedule.at(300, "reload", change)
        world.schedule.at(301, "kill", world.kill)

    world = run(recording, tmp_path / "w", monkeypatch, 5, acts)
    with Journal(world.journal_path, readonly=True) as journal:
        warmed = [
            row["message"]
            for row in journal.rows("events", "kind = 'warm-up' AND subject = 'moved:NQ.c.0'", order="seq")
        ]
    assert len(warmed) == 2 and warmed[0].startswith("warmed from") and warmed[1].startswith("continues from")


def test_what_an_engine_decided_is_not_decided_again_by_a_config_changed_since(recording, tmp_path, monkeypatch):
    """Cause: an engine started behind a change went over the bars since its snapshot with the new config, and the
    report took that config for the one in force then."""
    died = []

    def acts(world):
        def change_and_die():
            world.content["strategies"]["moved"]["parameters"]["length"] = 9
            world.write()
            world.engine.journal.flush()  # what is not written is not decided
            died.append(world.engine.clock.now())
            world.kill()

        world.schedule.at(1650, "change and kill", change_and_die)

    world = run(recording, tmp_path / "w", monkeypatch, 6, acts)
    with Journal(world.journal_path, readonly=True) as journal:
        before, after = (
            {row["config_hash"] for row in journal.rows("signals", f"strategy = 'moved' AND bar_end {side} ?", died[0])}
            for side in ("<", ">")
        )
    assert after and not before & after
    from test_report_chain import reports, whole

    whole(reports(world.journal_path, recording))


def test_a_late_order_is_late_in_the_time_of_the_one_who_waits_for_it(recording, tmp_path):
    """Cause: it came after so many seconds of the wall's time, in which a recorded day had passed: the engine had taken
    it for lost and sent another, and both were filled."""
    from futures_algo.crosstrade.client import CrossTradeClient
    from futures_algo.sim.broker import PaperBroker

    clock = DataClock(recording.start + 30 * MINUTE)
    with PaperBroker(recording.bars, DataClock(recording.start), "Sim101", "token") as broker:
        client = CrossTradeClient(
            "token", broker.url, "Sim101", headers=lambda: {"X-Sim-Now": str(clock.now())}, rate=float("inf")
        )
        broker.faults.add("late", path="/place", method="POST", seconds=5.0)
        from futures_algo.broker.requests import OrderRequest

        client.place_order(OrderRequest("ES 09-25", "BUY", 1, "MARKET", order_id="one"))

        def arrived() -> int:
            client.get_positions()
            return len(broker.books.orders)

        assert arrived() == 0
        clock.advance(clock.now() + 4 * SECOND)
        assert arrived() == 0
        clock.advance(clock.now() + SECOND)
        assert arrived() == 1
        client.close()
