"""The promises of the chain hold whatever is faster than what: the same tests over drawn interleavings, 200 of each
with --full."""

import datetime as dt
import random
from collections import Counter
from contextlib import ExitStack

import pytest
from interleavings import CCI, Schedule, World, short_days
from test_report_chain import FAULTS, FEED_FAULTS, reports, whole

from futures_algo.aggregator.aggregator import aggregate
from futures_algo.core.types import MINUTE, to_timestamp
from futures_algo.engine import engine as engine_module
from futures_algo.engine import reload as reload_module
from futures_algo.journal.journal import Journal
from futures_algo.sim.gateway_faults import Fault

SEEDS = {"week": 8, "sessions": 8, "people": 8}  # interleavings of each kind in an ordinary run
FULL = 200
FRIDAY = dt.date(2025, 9, 12)  # a weekend and a roll follow


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    return short_days(tmp_path_factory.mktemp("short"), FRIDAY, 3, "ES.c.0", "NQ.c.0")


@pytest.fixture
def drawn(monkeypatch):
    "A schedule whose time is the engine's."

    def draw(seed: int) -> Schedule:
        schedule = Schedule(seed)
        for module in (engine_module, reload_module):
            monkeypatch.setattr(module, "time", schedule.time)
        return schedule

    return draw


def pytest_generate_tests(metafunc):
    if "seed" not in metafunc.fixturenames:
        return
    kind = next(kind for kind in SEEDS if kind in metafunc.function.__name__)
    metafunc.parametrize("seed", range(FULL if metafunc.config.getoption("--full") else SEEDS[kind]))


def strategies() -> dict:
    return {"steady": {"class": CCI}, "moved": {"class": CCI, "parameters": {"length": 20}, "symbols": ["NQ.c.0"]}}


def events_of(recording) -> int:
    "Bars and markers of a recording, about."
    return recording.count + 3000


def check(world: World) -> list:
    "No bar lost or doubled, no order doubled, no difference without a cause."
    found = reports(world.journal_path, world.recording)
    whole(found)
    with Journal(world.journal_path, readonly=True) as journal:
        for symbol, bars in world.recording.bars.items():
            expected = aggregate(bars, 1, through=int(bars.end[-1]) + MINUTE).end.tolist()
            assert [
                row["end"] for row in journal.rows("bars", "symbol = ? AND timeframe = '1min'", symbol, order='"end"')
            ] == expected
        entries = Counter(row["signal_id"] for row in journal.rows("intents", "purpose = 'entry' AND state = 'Filled'"))
    assert max(entries.values(), default=1) == 1
    given = Counter(order.given_id for order in world.broker.books.orders.values() if order.given_id)
    assert max(given.values(), default=1) == 1
    return found


def reload(world: World, chance: random.Random):
    "Another length for one strategy, at times another size."

    def act() -> None:
        moved = world.content["strategies"]["moved"]
        moved["parameters"]["length"] = chance.randint(5, 40)
        if chance.random() < 0.3:
            moved["quantity"] = 3 - moved.get("quantity", 1)
        world.write()

    return act


def moments(recording, chance: random.Random, count: int, kinds) -> list[Fault]:
    "Feed faults while something trades."
    starts = recording.bars["ES.c.0"].start
    return [
        Fault(int(chance.choice(starts)) + chance.randrange(MINUTE), chance.choice(kinds), hold=0.02)
        for _ in range(count)
    ]


def test_a_week_of_faults_in_any_order(recording, tmp_path, drawn, seed):
    """Config changes found by the engine's own look or by a command, kills at any event, also between a change and its
    being found, and a config that is changed while no engine runs."""
    schedule, chance = drawn(seed), random.Random(seed)
    with ExitStack() as stack:
        world = World(stack, recording, tmp_path, schedule, strategies(), moments(recording, chance, 3, FEED_FAULTS))

        def change_and_kill() -> None:
            reload(world, chance)()
            world.kill()

        schedule.draw(
            events_of(recording),
            {
                "reload": (3, reload(world, chance)),
                "reload command": (1, lambda: world.command("reload")),
                "kill": (2, world.kill),
                "change and kill": (chance.randint(0, 2), change_and_kill),
            },
        )
        for _ in range(4):
            world.broker.faults.add(
                chance.choice(FAULTS),
                path="/place",
                method="POST",
                seconds=0.01,
                form="float",
                skip=chance.randrange(30),
            )
        world.run()
        assert not schedule.left, f"after {schedule.count} events"
        check(world)


def test_sessions_with_everything_going_wrong(recording, tmp_path, drawn, seed):
    "Reloads that are applied where the engine stands, and engines that die."
    schedule, chance = drawn(seed), random.Random(seed + 1000)
    with ExitStack() as stack:
        world = World(
            stack,
            recording,
            tmp_path,
            schedule,
            strategies(),
            moments(recording, chance, 3, FEED_FAULTS),
            reload_seconds=1e9,
        )

        def now() -> None:
            reload(world, chance)()
            world.engine.reloader.now(world.engine)

        schedule.draw(events_of(recording), {"reload": (4, now), "kill": (3, world.kill)})
        for _ in range(6):
            world.broker.faults.add(
                chance.choice(FAULTS),
                path="/place",
                method="POST",
                seconds=0.01,
                form="float",
                skip=chance.randrange(30),
            )
        world.run()
        assert not schedule.left, f"after {schedule.count} events"
        check(world)
        with Journal(world.journal_path, readonly=True) as journal:
            assert len(journal.rows("runs")) == 4 and len(journal.rows("configs")) > 2


def test_what_people_do_at_any_moment(recording, tmp_path, drawn, seed):
    "A halt, a resume, a stop that flattens, and a start: each command is answered, and what it changed has its cause."
    schedule, chance = drawn(seed), random.Random(seed + 2000)
    with ExitStack() as stack:
        world = World(stack, recording, tmp_path, schedule, strategies(), on_stop="flatten")
        halt, resume, stop = sorted(chance.sample(range(100, events_of(recording) - 100), 3))
        schedule.at(halt, "halt", lambda: world.command("halt", reason="lunch"))
        schedule.at(resume, "resume", lambda: world.command("resume"))
        schedule.at(stop, "stop", lambda: world.command("stop"))
        why = world.run()
        assert "command" in why and world.run() != why
        found = check(world)
        with Journal(world.journal_path, readonly=True) as journal:
            commands = journal.rows("commands")
            assert [row["state"] for row in commands] == ["done"] * 3
            halted = journal.rows("events", "kind = 'command' AND subject IN ('halt', 'resume')", order="seq")
            entries = journal.rows(
                "signals", "action LIKE '%ENTRY' AND bar_end > ? AND bar_end <= ?", halted[0]["at"], halted[1]["at"]
            )
        assert {row["denial"] for row in entries} <= {
            "HALTED",
            "STALE",
        }, f"between {to_timestamp(halted[0]['at'])} and {to_timestamp(halted[1]['at'])}"
        assert {cause for report in found for cause in report.causes} <= {
            "gate_halted",
            "gate_nothing_to_exit",
            "flatten",
            "gate_stale",
            "slippage",
            "carried_position",
            "gate_session_end",
        }
