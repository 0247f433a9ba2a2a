"""The seams stand: a broker and a feed from outside keep the written contract and run a whole session by their names in
the config, and so do CrossTrade and Databento."""

import dataclasses
import sys
from pathlib import Path

import feed_world
import pytest

from futures_algo import evaluate
from futures_algo.broker.kit import Market, check_broker
from futures_algo.broker.opening import BrokerSettings, open_broker
from futures_algo.config.loading import parse_config
from futures_algo.core.types import ConfigError, DataClock
from futures_algo.engine.assembly import build_engine
from futures_algo.engine.build import build_strategy
from futures_algo.feed.kit import check_feed
from futures_algo.history import write_dbn
from futures_algo.journal.journal import Journal
from futures_algo.sim.broker import PaperBroker
from futures_algo.sim.gateway import LoopbackGateway
from futures_algo.sim.market import generate_minutes

OWN = Path(__file__).resolve().parents[1] / "fixtures" / "own_broker_and_feed.py"
sys.path.insert(0, str(OWN.parent))
from own_broker_and_feed import MemoryBroker, RecordedFeed  # noqa: E402

ES = "ES 09-25"


def test_a_broker_in_memory_keeps_the_contract():
    broker = MemoryBroker()
    assert check_broker(broker, Market(ES, broker.move)) == []


def test_crosstrade_keeps_the_contract():
    with PaperBroker({ES: 5000.0}, token="a-token") as paper:
        client = open_broker("crosstrade", BrokerSettings("Sim101", "a-token", paper.url, now=paper.clock.now))

        def move(price: float) -> None:
            paper.prices.set_price(ES, price)
            client.get_orders()  # the broker meets resting orders when it is asked

        assert check_broker(client, Market(ES, move)) == []


class Nameless(MemoryBroker):
    "Forgets the id it was given."

    def place_order(self, order, account=None, *, urgent=False):
        return super().place_order(dataclasses.replace(order, order_id=f"own{next(self.count)}"), account)


class Reversing(MemoryBroker):
    "Closes as much as it is told, held or not."

    def close_position(self, instrument, quantity=None, *, account=None):
        held = self.held.get(instrument, (0, 0.0))[0]
        self._trade(instrument, f"close{next(self.count)}", -(quantity or held))
        return self._answer("close", [])


@pytest.mark.parametrize(("kind", "words"), [(Nameless, "not listed"), (Reversing, "flat, not reversed")])
def test_the_kit_names_what_a_broker_breaks(kind, words):
    broker = kind()
    assert any(words in sentence for sentence in check_broker(broker, Market(ES, broker.move)))


def minutes():
    return generate_minutes("ES.c.0", sessions=1)


def test_a_recorded_feed_keeps_the_contract():
    bars = list(minutes())
    assert check_feed(lambda resume: RecordedFeed(bars, ("ES.c.0",), resume), bars) == []


class Forgetful(RecordedFeed):
    "Begins anew wherever it is told to resume."

    def __post_init__(self):
        self.resume = None
        super().__post_init__()


def test_the_kit_names_what_a_feed_breaks():
    bars = list(minutes())
    assert any("came twice" in one for one in check_feed(lambda resume: Forgetful(bars, (), resume), bars))


def test_databento_keeps_the_contract(tmp_path):
    world = feed_world.record(tmp_path / "bars.dbn")
    with LoopbackGateway({"ohlcv-1s": [world.path]}, [feed_world.KEY]) as gateway:
        make = lambda resume: feed_world.feed_of(gateway, start=world.start, end=world.end, resume=resume)
        assert check_feed(make, world.bars) == []


def test_a_session_by_names_in_the_config(tmp_path):
    "Engine, journal, gate and executor are the package's; broker and feed are the file's."
    bars = minutes()
    write_dbn(tmp_path / "bars.dbn", {"ES.c.0": bars})
    entry = {"class": "futures_algo.strategies.SimpleBullishCCIStrategy", "symbols": ["ES.c.0"]}
    content = {
        "databento": {
            "symbols": ["ES.c.0"],
            "schema": "ohlcv-1m",
            "api_key": "none",
            "gateway": str(tmp_path / "bars.dbn"),
        },
        "execution": {
            "broker": f"{OWN}:open_my_broker",
            "crosstrade_api_key": "none",
            "crosstrade_base_url": str(tmp_path / "bars.dbn"),
            "dry_run": False,
        },
        "engine": {"feed": f"{OWN}:open_my_feed", "journal": str(tmp_path / "journal.db")},
        "logging": {"folder": str(tmp_path / "logs")},
        "strategies": {"mine": entry},
    }
    config = parse_config(content, {}, "config", tmp_path)
    start, end = int(bars.start[0]), int(bars.end[-1])
    with Journal(config.engine.journal) as journal:
        engine = build_engine(config, content, journal, mode="simulation", clock=DataClock(start), start=start, end=end)
        assert engine.run() == "the feed closed: every bar was read"
        engine.close()
        expected = [one.id for one in evaluate(build_strategy("mine", config.strategies["mine"]), "mine", bars)]
        signals = journal.rows("signals", order="bar_end, rowid")
        assert [row["id"] for row in signals] == expected and len(expected) > 20
        sent = [row for row in signals if row["verdict"] == "sent"]
        assert len(journal.rows("fills")) == len(journal.rows("intents")) == len(sent) > 20
        assert not engine.executor.books.locked


def test_a_name_nobody_has_is_answered():
    with pytest.raises(ConfigError, match="did you mean 'crosstrade'"):
        open_broker("crosstade", BrokerSettings("Sim101"))
    with pytest.raises(ConfigError, match="lacks .*place_order"):
        open_broker("dataclasses.replace", BrokerSettings("Sim101"))
