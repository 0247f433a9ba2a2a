"A running engine follows its config file: what changed is changed, what did not change goes on to the bit, and no bar is lost."
import json
import random
from contextlib import ExitStack
from pathlib import Path

import pytest

from futures_algo import engine as engine_module
from futures_algo.config import load_config, read_config
from futures_algo.core import DataClock
from futures_algo.demo import DEMO_KEY, DEMO_TOKEN, Recording
from futures_algo.history import write_dbn
from futures_algo.journal import Journal
from futures_algo.live import build_engine
from futures_algo.sim.broker import PaperBroker
from futures_algo.sim.gateway import LoopbackGateway
from futures_algo.sim.market import generate_minutes

SYMBOLS = ("ES.c.0", "NQ.c.0")
CCI, MACD, RSI = (f"futures_algo.strategies.{name}" for name in ("SimpleBullishCCIStrategy", "MACDCCIStrategy", "RSIStrategy"))
BAR = ("symbol", "timeframe", "start", "end", "open", "high", "low", "close", "volume", "contract", "partial")
SIGNAL = ("id", "symbol", "contract", "action", "bar_end", "price", "quantity", "reason")   # what the gate says depends on the others' positions


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Recording:
    "Two sessions of one-minute bars of two symbols."
    path = tmp_path_factory.mktemp("recorded") / "minutes.ohlcv-1m.dbn.zst"
    bars = {symbol: generate_minutes(symbol, sessions=2) for symbol in SYMBOLS}
    write_dbn(path, bars)
    return Recording(path, "ohlcv-1m", bars)


class World:
    "Gateway, broker, a config file, and one engine that follows it."
    def __init__(self, stack: ExitStack, recording: Recording, folder: Path, strategies: dict, **engine):
        gateway = stack.enter_context(LoopbackGateway({recording.schema: [recording.path]}, [DEMO_KEY]))
        broker = stack.enter_context(PaperBroker(recording.bars, DataClock(recording.start), "Sim101", DEMO_TOKEN))
        self.recording, self.path = recording, folder / "config.json"
        self.content = {"databento": {"api_key": DEMO_KEY, "symbols": list(SYMBOLS), "schema": recording.schema, "gateway": "127.0.0.1", "port": gateway.port},
                        "strategies": strategies,
                        "execution": {"crosstrade_api_key": DEMO_TOKEN, "crosstrade_base_url": broker.url, "account": "Sim101", "dry_run": False},
                        "engine": {"journal": str(folder / "journal.db"), "reload_seconds": 1000, **engine}, "logging": {"folder": str(folder / "logs")}}
        self.write()

    def write(self, text: str = "") -> None: self.path.write_text(text or json.dumps(self.content))

    def run(self, moments: dict | None = None) -> Journal:
        "The whole recording; each of the `moments`, bars in -> function of the engine, is met once, at the first turn from that bar on."
        waiting = sorted((moments or {}).items())
        def watch(engine):
            while waiting and engine.counts["bars_in"] >= waiting[0][0]: waiting.pop(0)[1](engine)
        config = load_config(self.path)
        with Journal(config.engine.journal) as journal:
            engine = build_engine(config, read_config(self.path), journal, mode="simulation", clock=DataClock(self.recording.start), start=self.recording.start,
                                  end=self.recording.end, on_turn=watch, config_path=self.path)
            try: engine.run()
            finally: engine.close()
        assert not waiting, "the recording ended before every moment was met"
        return Journal(config.engine.journal, readonly=True)


@pytest.fixture(autouse=True)
def many_turns(monkeypatch):
    "Commands are looked at after nearly every event, so that a change may fall between any two."
    monkeypatch.setattr(engine_module, "STATUS_SECONDS", 0.01)


def bars(journal: Journal, timeframes: set[str]) -> list[tuple]:
    return sorted(tuple(row[name] for name in BAR) for row in journal.rows("bars") if row["timeframe"] in timeframes)


def signals(journal: Journal, strategy: str) -> list[tuple]:
    return sorted(tuple(row[name] for name in SIGNAL) for row in journal.rows("signals", "strategy = ?", strategy))


def events(journal: Journal, level: str = "info") -> list[str]: return [row["message"] for row in journal.rows("events", "kind = 'config' AND level = ?", level)]


def base() -> dict: return {"steady": {"class": CCI}, "moved": {"class": CCI, "parameters": {"length": 20}, "symbols": ["NQ.c.0"]}}


def test_twenty_reloads_lose_no_bar_and_leave_other_strategies_alone(recording, tmp_path, campaign):
    chance, kinds, answers = random.Random(5), 7, []
    with ExitStack() as stack:
        (tmp_path / "whole").mkdir(), (tmp_path / "changed").mkdir()
        whole = World(stack, recording, tmp_path / "whole", base()).run()
        world = World(stack, recording, tmp_path / "changed", base())

        def change(number: int):
            def act(engine):
                strategies = world.content["strategies"]
                kind = number % kinds
                if kind == 0: strategies["moved"]["parameters"]["length"] = chance.randint(5, 60)
                elif kind == 1: strategies[f"new{number}"] = {"class": MACD, "parameters": {"length": chance.randint(5, 60)}}
                elif kind == 2: strategies.pop(next((n for n in strategies if n.startswith("new")), ""), None)
                elif kind == 3: strategies["moved"]["quantity"] = 3 - strategies["moved"].get("quantity", 1)
                elif kind == 4: strategies["moved"]["enabled"] = not strategies["moved"].get("enabled", True)
                elif kind == 5: world.content["engine"]["timeframes"] = [chance.randint(2, 90)]
                else: strategies[f"rsi{number}"] = {"class": RSI, "parameters": {"timeframe": chance.choice(["3min", "10min"])}, "priority": number}
                world.write()
                answers.append(engine.reloader.now(engine))
            return act

        moments = {at: change(number) for number, at in enumerate(sorted(chance.sample(range(100, recording.count - 100), campaign(20, full=120))))}
        journal = world.run(moments)
        assert bars(journal, {"1min", "5min"}) == bars(whole, {"1min", "5min"})
        assert signals(whole, "steady") and signals(journal, "steady") == signals(whole, "steady")
        changed = [answer for answer in answers if "equals" not in answer]
        assert len(changed) > len(moments) / 2 and len([message for message in events(journal) if message.startswith("applied")]) == len(changed)
        assert not events(journal, "alarm")
