"""The engine at the speed of the market: every bar as it comes, nothing lost, nothing said that should worry anybody.
Half an hour with --full, a hundred seconds otherwise."""

import json
import time

import psutil
import pytest
from test_engine_process import KEY, TOKEN, Engine
from waiting import eventually

from futures_algo.aggregator.aggregator import aggregate
from futures_algo.core.types import HOUR, MINUTE, DataClock
from futures_algo.journal.journal import Journal
from futures_algo.live.demo import generated
from futures_algo.sim.broker import PaperBroker
from futures_algo.sim.gateway import LoopbackGateway


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_streams_at_real_speed_without_an_error(tmp_path, campaign):
    seconds = campaign(100, full=1800)
    recording = generated(tmp_path, seed=5)
    begin = recording.start + 16 * HOUR  # the morning in Chicago: bars every second
    with (
        LoopbackGateway({recording.schema: [recording.path]}, [KEY], speed=1.0, start_ns=begin) as gateway,
        PaperBroker(recording.bars, DataClock(begin), "Sim101", TOKEN) as broker,
    ):
        engine = Engine(tmp_path, recording, gateway, broker)
        engine.start(moment=begin)
        try:
            _watch(engine, begin, seconds)
        finally:
            engine.close()


def _watch(engine: Engine, begin: int, seconds: int) -> None:
    eventually(lambda: engine.running(), 60)
    began, memory = time.monotonic(), []
    process = psutil.Process(engine.running())
    while time.monotonic() - began < seconds:
        time.sleep(min(20.0, seconds / 4))  # between two readings
        memory.append(process.memory_info().rss)
    minutes = (seconds - 30) // 60 * MINUTE
    eventually(lambda: engine.reached() >= begin + minutes, 90)
    cpu = sum(process.cpu_times()[:2]) / (time.monotonic() - began)
    engine.process.terminate()
    assert engine.process.wait(20) == 0
    with engine.journal() as journal:
        lags = _check(journal, engine, begin, minutes)
    mebibytes = [round(memory[0] / 2**20), round(memory[-1] / 2**20)]
    found = {"seconds": seconds, "cpu_share": round(cpu, 3), "memory_mib": mebibytes, "bars": lags}
    print(f"\n{json.dumps(found)}")


def _check(journal: Journal, engine: Engine, begin: int, minutes: int) -> int:
    "Every minute is there, once; the feed stayed live; nothing is an alarm. Returns the minutes compared."
    compared = 0
    for symbol, bars in engine.recording.bars.items():
        expected = aggregate(bars[(bars.start >= begin) & (bars.end <= begin + minutes)], 1)
        found = {
            row["end"]: row["close"]
            for row in journal.rows(
                "bars", "symbol = ? AND timeframe = '1min' AND \"end\" <= ?", symbol, begin + minutes
            )
        }
        assert found == dict(zip(expected.end.tolist(), expected.close.tolist(), strict=True))
        compared += len(found)
    assert [row for row in journal.rows("events") if row["level"] == "alarm"] == []
    states = [row["subject"] for row in journal.rows("events", "kind = 'feed'")]
    assert set(states) <= {"connecting", "replaying", "live", "closed"}, states
    return compared
