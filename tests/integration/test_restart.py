"An engine that stops, or dies, in the middle of a session is followed by one that goes on as if nothing had happened."

import random
from contextlib import ExitStack

import pytest

from futures_algo.core.types import HOUR, DataClock
from futures_algo.engine import engine as engine_module
from futures_algo.engine.assembly import build_engine
from futures_algo.journal.journal import Journal
from futures_algo.live.demo import DEMO_KEY, DEMO_TOKEN, Demo, generated
from futures_algo.sim.broker import PaperBroker
from futures_algo.sim.gateway import LoopbackGateway

SIGNAL = ("id", "strategy", "symbol", "contract", "action", "bar_end", "price", "quantity", "verdict")
BAR = ("symbol", "timeframe", "start", "end", "open", "high", "low", "close", "volume", "contract", "partial")


class Died(Exception):
    "What a crash looks like from inside."


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    return generated(tmp_path_factory.mktemp("recorded"), seed=3)


class World:
    "Gateway and broker that outlive the engines."

    def __init__(self, stack: ExitStack, recording, folder, **engine):
        self.demo = Demo(recording, folder)
        self.engine_settings, self.recording = engine, recording
        self.gateway = stack.enter_context(LoopbackGateway({recording.schema: [recording.path]}, [DEMO_KEY]))
        self.clock = DataClock(recording.start)
        self.broker = stack.enter_context(PaperBroker(recording.bars, self.clock, "Sim101", DEMO_TOKEN))

    def config(self):
        config = self.demo.config
        return config.model_copy(
            update={
                "databento": config.databento.model_copy(update={"gateway": "127.0.0.1", "port": self.gateway.port}),
                "execution": config.execution.model_copy(update={"crosstrade_base_url": self.broker.url}),
                "engine": config.engine.model_copy(update=self.engine_settings),
            }
        )

    def run(self, until: float = 1.0, crash: bool = False) -> Journal:
        "One engine, until so much of the recording is read; then it is stopped, or dies."
        journal, limit = Journal(self.demo.config.engine.journal), int(until * self.recording.count)
        before = max(journal.ends().values(), default=0)

        def watch(engine):
            done = (
                engine.counts["bars_in"]
                if not before
                else self.recording.count
                * (engine.clock.now() - self.recording.start)
                / (self.recording.end - self.recording.start)
            )
            if done < limit or until >= 1:
                return
            if crash:
                raise Died
            engine.stop("the test said so")

        engine = build_engine(
            self.config(),
            self.demo.content,
            journal,
            mode="simulation",
            clock=DataClock(self.recording.start),
            start=self.recording.start,
            end=self.recording.end,
            on_turn=watch,
        )
        try:
            engine.run()
        except Died:
            pass
        finally:
            engine.close()
            engine.feed.shutdown()
            if crash:
                journal._waiting = []  # what was not committed is lost with the process
            journal.close()
        return Journal(self.demo.config.engine.journal, readonly=True)


def contents(journal: Journal) -> tuple[list, list]:
    "Signals and bars, as they should be however often the engine was started."
    signals = sorted(tuple(row[name] for name in SIGNAL) for row in journal.rows("signals"))
    return signals, sorted(tuple(row[name] for name in BAR) for row in journal.rows("bars"))


@pytest.fixture(scope="module")
def whole(recording, tmp_path_factory):
    with ExitStack() as stack:
        return contents(World(stack, recording, tmp_path_factory.mktemp("whole")).run())


@pytest.mark.parametrize("crash", [False, True], ids=["stopped", "died"])
def test_an_interrupted_session_has_the_bars_and_signals_of_a_whole_one(recording, whole, tmp_path, monkeypatch, crash):
    monkeypatch.setattr(engine_module, "RECORDED_SNAPSHOT", 2 * HOUR)
    with ExitStack() as stack:
        world, chance = World(stack, recording, tmp_path), random.Random(11)
        for part in (0.2, 0.45, 0.7):
            world.run(part + chance.uniform(-0.1, 0.1), crash).close()
        journal = world.run()
        signals, bars = contents(journal)
        assert bars == whole[1]
        assert [row[:-1] for row in signals] == [row[:-1] for row in whole[0]]
        intents, fills = journal.rows("intents"), journal.rows("fills")
        assert len({row["signal_id"] for row in intents}) == len(intents)  # no signal was ordered twice
        assert sum(row["quantity"] for row in fills) == sum(row["quantity"] for row in intents)
        assert any(row["kind"] == "warm-up" and "continues from" in row["message"] for row in journal.rows("events"))


def test_a_strategy_that_is_new_after_the_restart_is_warmed_from_the_journal(recording, whole, tmp_path):
    with ExitStack() as stack:
        world = World(stack, recording, tmp_path)
        name = next(iter(world.demo.config.strategies))
        others = {other: e for other, e in world.demo.config.strategies.items() if other != name}
        everything = world.demo.config
        world.demo.config = everything.model_copy(update={"strategies": others})
        world.run(0.4).close()
        world.demo.config = everything
        journal = world.run()
        assert any(
            row["kind"] == "warm-up" and row["subject"].startswith(name) and "warmed from" in row["message"]
            for row in journal.rows("events")
        )
        cut = next(row["at"] for row in journal.rows("events", "kind = 'warm-up'"))
        expected = {row[0] for row in whole[0] if row[1] == name and row[5] > cut}
        assert expected and {row["id"] for row in journal.rows("signals", "strategy = ?", name)} >= expected


def test_a_halt_outlives_the_engine(recording, tmp_path):
    with ExitStack() as stack:
        world = World(stack, recording, tmp_path)
        with Journal(world.demo.config.engine.journal) as journal:
            journal.command("halt", "test", reason="holiday")
            journal.command("disable", "test", strategy="bullish_cci_es")
        world.run(0.2).close()
        journal = world.run(0.6)
        assert journal.status()["trading"]["state"] == "HALTED" and "holiday" in journal.status()["trading"]["reason"]
        assert not journal.status()["strategy:bullish_cci_es:ES.c.0"]["enabled"]


@pytest.mark.parametrize("policy, left", [("flatten", 0), ("leave", 1)])
def test_open_positions_at_the_end_are_left_or_flattened_as_the_config_says(recording, tmp_path, policy, left):
    with ExitStack() as stack:
        world = World(stack, recording, tmp_path, on_stop=policy)
        for part in (0.30, 0.31, 0.32, 0.33, 0.34):  # until it stops with something open
            journal = world.run(part)
            said = [row for row in journal.rows("events", "kind = 'present'") if row["message"].startswith("on_stop")]
            if said:
                break
        assert said, "the session held no position at any of these moments"
        held = {}
        for row in journal.rows("fills"):
            held[row["strategy"], row["instrument"]] = held.get((row["strategy"], row["instrument"]), 0) + row[
                "quantity"
            ] * (1 if row["side"] == "BUY" else -1)
        assert any(held.values()) == bool(left)


def test_history_and_replay_join_without_a_seam(recording, whole, tmp_path):
    """Started in the middle with what came before fetched from the historical service, an engine decides as one that
    saw everything."""
    from futures_algo.aggregator.aggregator import aggregate
    from futures_algo.core.types import MINUTE
    from futures_algo.history import write_dbn
    from futures_algo.sim.historical import HistoricalServer

    middle = (recording.start + (recording.end - recording.start) * 2 // 5) // MINUTE * MINUTE
    write_dbn(tmp_path / "minutes.dbn.zst", {symbol: aggregate(bars, 1) for symbol, bars in recording.bars.items()})
    with ExitStack() as stack, HistoricalServer({"ohlcv-1m": [tmp_path / "minutes.dbn.zst"]}, [DEMO_KEY]) as server:
        world = World(stack, recording, tmp_path)
        config = world.config()
        feed = {"historical_url": server.url, "warmup_days": 5, "store": tmp_path / "store", "max_cost_usd": 10}
        config = config.model_copy(update={"databento": config.databento.model_copy(update=feed)})
        with Journal(tmp_path / "live.db") as journal:
            engine = build_engine(
                config,
                world.demo.content,
                journal,
                mode="simulation",
                clock=DataClock(middle),
                start=middle,
                end=recording.end,
            )
            engine.run()
            engine.close()
            signals, bars = contents(journal)
    assert bars == whole[1]
    assert {row[0] for row in signals} == {row[0] for row in whole[0] if row[5] > middle}
