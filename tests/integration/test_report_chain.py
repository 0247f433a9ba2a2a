"""The report of sessions that were reloaded, killed, and fed faults: every difference has its cause, no bar is lost, no
order doubled."""

import random
import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest
import test_reload
import test_restart
from test_restart import recording  # noqa: F401, F811

from futures_algo.config.loading import load_config, read_config
from futures_algo.core.types import HOUR, DataClock
from futures_algo.engine import engine as engine_module
from futures_algo.engine.assembly import build_engine
from futures_algo.journal.journal import Journal
from futures_algo.live.demo import DEMO_KEY, DEMO_TOKEN
from futures_algo.report.facts import _sessions
from futures_algo.report.report import Report, session_report
from futures_algo.sim.broker import PaperBroker
from futures_algo.sim.gateway import LoopbackGateway
from futures_algo.sim.gateway_faults import Fault

FAULTS = (
    "lost_after",
    "lost_before",
    "addon_timeout",
    "reject_after_success",
    "partial",
    "server_error_after",
    "rate_limited",
    "refuse",
    "id_not_echoed",
    "html",
)
FEED_FAULTS = (
    "fin",
    "rst",
    "error",
    "garbage",
    "skipped",
    "slow_reader",
    "refuse",
    "close_auth",
    "close_before_metadata",
)  # those that are noticed at once


def reports(path: Path, recording) -> list[Report]:
    "Of every session of a journal, against what was recorded."
    with Journal(path, readonly=True) as journal:
        dates = _sessions(journal, next(iter(recording.bars)))
    return [session_report(path, recording.bars, session=date) for date in dates]


def whole(found: list[Report]) -> None:
    for report in found:
        assert report.ok, str(report)
        assert report.counts["lost_bars"] == report.counts["duplicate_bars"] == report.counts["duplicate_orders"] == 0
        assert all(abs(row["left_usd"]) < 0.01 and "unexplained" not in row["causes"] for row in report.pnl)


@pytest.mark.parametrize("crash", [False, True], ids=["stopped", "died"])
def test_a_session_of_several_engines_is_that_of_one(recording, tmp_path, monkeypatch, crash):
    monkeypatch.setattr(engine_module, "RECORDED_SNAPSHOT", 2 * HOUR)
    with ExitStack() as stack:
        world, chance = test_restart.World(stack, recording, tmp_path), random.Random(7)
        for part in (0.25, 0.6):
            world.run(part + chance.uniform(-0.1, 0.1), crash).close()
        world.run().close()
    found = reports(tmp_path / "journal.db", recording)
    whole(found)
    assert len(found) == 2 and sum(report.counts["signals"] for report in found) > 100
    assert not [one for report in found for one in report.differences if one.kind in ("bar", "signal")]


def test_an_engine_that_died_before_its_first_snapshot(recording, tmp_path, monkeypatch):
    monkeypatch.setattr(engine_module, "RECORDED_SNAPSHOT", 1 << 62)
    with ExitStack() as stack:
        world = test_restart.World(stack, recording, tmp_path)
        world.run(0.4, crash=True).close()
        world.run().close()
    whole(reports(tmp_path / "journal.db", recording))


def test_reloads_explain_what_they_changed(recording, tmp_path, monkeypatch, campaign):
    monkeypatch.setattr(engine_module, "RECORDED_LOOK", 0)
    chance = random.Random(5)
    with ExitStack() as stack:
        world = test_reload.World(stack, recording, tmp_path, test_reload.base())

        def change(number: int):
            def act(engine):
                strategies, kind = world.content["strategies"], number % 5
                if kind == 0:
                    strategies["moved"]["parameters"]["length"] = chance.randint(5, 60)
                elif kind == 1:
                    strategies[f"new{number}"] = {
                        "class": test_reload.MACD,
                        "parameters": {"length": chance.randint(5, 60)},
                    }
                elif kind == 2:
                    strategies.pop(next((name for name in strategies if name.startswith("new")), ""), None)
                elif kind == 3:
                    strategies["moved"]["quantity"] = 3 - strategies["moved"].get("quantity", 1)
                else:
                    strategies["moved"]["enabled"] = not strategies["moved"].get("enabled", True)
                world.write()
                engine.reloader.now(engine)

            return act

        moments = {
            at: change(number)
            for number, at in enumerate(sorted(chance.sample(range(100, recording.count - 100), campaign(15, full=60))))
        }
        world.run(moments).close()
    found = reports(tmp_path / "journal.db", recording)
    whole(found)
    assert any("config_change" in report.causes for report in found)
    assert not [
        one
        for report in found
        for one in report.differences
        if one.kind == "signal" and one.detail["strategy"] == "steady"
    ]


def test_broker_faults_have_their_causes(recording, tmp_path, campaign):
    chance = random.Random(3)
    with ExitStack() as stack:
        world = test_restart.World(stack, recording, tmp_path)
        for number in range(campaign(12, full=60)):
            world.broker.faults.add(
                FAULTS[number % len(FAULTS)],
                path="/place",
                method="POST",
                seconds=0.01,
                form="float",
                skip=chance.randrange(4),
            )
        world.run().close()
        happened = sum(world.broker.faults.happened.values())
    found = reports(tmp_path / "journal.db", recording)
    whole(found)
    assert happened >= 10 and {"broker_reject", "not_sent", "retry", "outcome_unknown"} & {
        cause for report in found for cause in report.causes
    }


def test_what_people_did_is_told_from_what_went_wrong(tmp_path):
    """A halt for lunch, positions flattened at each stop, and a trade by hand in NinjaTrader that nobody took into the
    books."""
    recording = test_reload.recorded(tmp_path, 2, "ES.c.0", "NQ.c.0")
    with ExitStack() as stack:
        world = test_restart.World(stack, recording, tmp_path, on_stop="flatten")
        command = lambda verb, **args: _command(world.demo.config.engine.journal, verb, **args)
        world.run(0.3).close()
        command("halt", reason="lunch")
        world.run(0.55).close()  # in the second session
        command("resume")
        world.broker.books.trade(world.broker.books.account("Sim101"), "ES 09-25", "BUY", 1, "Manual")
        world.run().close()
    first, second = reports(tmp_path / "journal.db", recording)
    whole([first, second])
    with Journal(tmp_path / "journal.db", readonly=True) as journal:
        flattened = {"flatten"} if journal.rows("signals", "config_hash = 'flatten' AND verdict = 'sent'") else set()
    assert (
        {"gate_halted", "gate_nothing_to_exit"}
        <= set(first.causes)
        <= {"gate_halted", "gate_nothing_to_exit"} | flattened
    )
    assert {"gate_locked", "books_differ"} <= set(second.causes) and set(second.causes) <= {
        "gate_halted",
        "gate_nothing_to_exit",
        "flatten",
        "gate_locked",
        "books_differ",
    }


def _command(path: Path, verb: str, **args: str) -> None:
    with Journal(path) as journal:
        journal.command(verb, "test", **args)


class Week:
    "Five sessions, one config file that changes, a feed that breaks, a broker that errs, and engines that die."

    def __init__(
        self,
        stack: ExitStack,
        folder: Path,
        chance: random.Random,
        feed_faults: int,
        broker_faults: int,
        reloads: int,
        crashes: int,
    ):
        self.recording = test_reload.recorded(folder, 5, "ES.c.0", "NQ.c.0")
        self.world, self.chance, self.folder = (
            test_reload.World(stack, self.recording, folder, test_reload.base()),
            chance,
            folder,
        )
        begin, end = self.recording.start, self.recording.end
        moment = lambda: chance.randrange(begin + HOUR, end - HOUR)
        faults = [Fault(moment(), chance.choice(FEED_FAULTS), hold=0.02) for _ in range(feed_faults)]
        self.gateway = gateway = stack.enter_context(
            LoopbackGateway({self.recording.schema: [self.recording.path]}, [DEMO_KEY], faults=faults)
        )
        self.broker = stack.enter_context(PaperBroker(self.recording.bars, DataClock(begin), "Sim101", DEMO_TOKEN))
        self.world.content["databento"]["port"], self.world.content["execution"]["crosstrade_base_url"] = (
            gateway.port,
            self.broker.url,
        )
        self.world.write()
        self.acts = sorted(
            [(moment(), self._reload) for _ in range(reloads)] + [(moment(), self._die) for _ in range(crashes)],
            key=lambda act: act[0],
        )
        for number in range(broker_faults):
            self.broker.faults.add(
                FAULTS[number % len(FAULTS)],
                path="/place",
                method="POST",
                seconds=0.01,
                form="float",
                skip=chance.randrange(300),
            )

    def _reload(self, engine) -> None:
        moved = self.world.content["strategies"]["moved"]
        moved["parameters"]["length"] = self.chance.randint(5, 60)
        if self.chance.random() < 0.3:
            moved["quantity"] = 3 - moved.get("quantity", 1)
        self.world.write()
        engine.reloader.now(engine)

    def _die(self, engine) -> None:
        raise test_restart.Died

    def run(self) -> None:
        "Engine after engine, to the end of the week."

        def watch(engine):
            if self.acts and engine.clock.now() >= self.acts[0][0]:
                self.acts.pop(0)[1](engine)

        while True:
            config = load_config(self.world.path)
            journal = Journal(config.engine.journal)
            engine = build_engine(
                config,
                read_config(self.world.path),
                journal,
                mode="simulation",
                clock=DataClock(self.recording.start),
                start=self.recording.start,
                end=self.recording.end,
                on_turn=watch,
                config_path=self.world.path,
            )
            try:
                engine.run()
                return
            except test_restart.Died:
                journal._waiting = []  # what was not committed is lost with the process
            finally:
                engine.close()
                engine.feed.shutdown()
                journal.close()


def test_five_sessions_with_everything_going_wrong(tmp_path, monkeypatch, campaign):
    monkeypatch.setattr(engine_module, "RECORDED_LOOK", 0)
    monkeypatch.setattr(engine_module, "RECORDED_SNAPSHOT", 2 * HOUR)
    for seed in range(campaign(1, full=12)):
        folder = tmp_path / str(seed)
        folder.mkdir()
        with ExitStack() as stack:
            week = Week(stack, folder, random.Random(seed), feed_faults=6, broker_faults=15, reloads=5, crashes=4)
            week.run()
        found = reports(folder / "journal.db", week.recording)
        whole(found)
        assert (
            not week.acts
            and len(found) == 5
            and sum(week.broker.faults.happened.values()) >= 8
            and len(week.gateway.struck) >= 4
        )
        with Journal(folder / "journal.db", readonly=True) as journal:
            assert len(journal.rows("runs")) == 5 and len(journal.rows("configs")) > 3


def test_a_report_that_is_wrong_is_told(recording, tmp_path):
    "The same chain with one signal and one bar taken out of its journal."
    import sqlite3

    with ExitStack() as stack:
        test_restart.World(stack, recording, tmp_path).run().close()
    path = Path(shutil.copy(tmp_path / "journal.db", tmp_path / "damaged.db"))
    with sqlite3.connect(path) as journal:
        journal.execute(
            "DELETE FROM signals WHERE id = (SELECT id FROM signals ORDER BY bar_end DESC LIMIT 1 OFFSET 10)"
        )
        journal.execute(
            "DELETE FROM bars WHERE seq = (SELECT seq FROM bars WHERE timeframe = '1min' ORDER BY \"end\" DESC LIMIT 1"
            " OFFSET 50)"
        )
    report = reports(path, recording)[-1]
    assert {one.kind for one in report.unexplained} >= {"bar", "signal"} and report.counts["lost_bars"] == 1
