"""A running engine follows its config file: what changed is changed, what did not change goes on to the bit, and no bar
is lost."""

import json
import random
from contextlib import ExitStack
from pathlib import Path

import pytest

from futures_algo.config.loading import load_config, read_config
from futures_algo.core.types import DataClock
from futures_algo.engine import engine as engine_module
from futures_algo.engine.assembly import build_engine
from futures_algo.history import write_dbn
from futures_algo.journal.journal import Journal
from futures_algo.live.demo import DEMO_KEY, DEMO_TOKEN, Recording
from futures_algo.sim.broker import PaperBroker
from futures_algo.sim.gateway import LoopbackGateway
from futures_algo.sim.market import generate_minutes

SYMBOLS = ("ES.c.0", "NQ.c.0")
CCI, MACD, RSI = (
    f"futures_algo.strategies.{name}" for name in ("SimpleBullishCCIStrategy", "MACDCCIStrategy", "RSIStrategy")
)
BAR = ("symbol", "timeframe", "start", "end", "open", "high", "low", "close", "volume", "contract", "partial")
SIGNAL = (
    "id",
    "symbol",
    "contract",
    "action",
    "bar_end",
    "price",
    "quantity",
    "reason",
)  # what the gate says depends on the others' positions


def recorded(folder: Path, sessions: int, *symbols: str) -> Recording:
    "Sessions of one-minute bars."
    path, bars = (
        folder / "minutes.ohlcv-1m.dbn.zst",
        {symbol: generate_minutes(symbol, sessions=sessions) for symbol in symbols},
    )
    write_dbn(path, bars)
    return Recording(path, "ohlcv-1m", bars)


@pytest.fixture(scope="module")
def recording(tmp_path_factory, campaign) -> Recording:
    return recorded(tmp_path_factory.mktemp("both"), campaign(1, full=4), *SYMBOLS)


@pytest.fixture(scope="module")
def session(tmp_path_factory) -> Recording:
    return recorded(tmp_path_factory.mktemp("one"), 1, "ES.c.0")


class World:
    "Gateway, broker, a config file, and one engine that follows it."

    def __init__(self, stack: ExitStack, recording: Recording, folder: Path, strategies: dict, **engine):
        gateway = stack.enter_context(LoopbackGateway({recording.schema: [recording.path]}, [DEMO_KEY]))
        broker = stack.enter_context(PaperBroker(recording.bars, DataClock(recording.start), "Sim101", DEMO_TOKEN))
        self.recording, self.path = recording, folder / "config.json"
        self.content = {
            "databento": {
                "api_key": DEMO_KEY,
                "symbols": list(recording.bars),
                "schema": recording.schema,
                "gateway": "127.0.0.1",
                "port": gateway.port,
            },
            "strategies": strategies,
            "execution": {
                "crosstrade_api_key": DEMO_TOKEN,
                "crosstrade_base_url": broker.url,
                "account": "Sim101",
                "dry_run": False,
            },
            "engine": {"journal": str(folder / "journal.db"), "reload_seconds": 1000, **engine},
            "logging": {"folder": str(folder / "logs")},
        }
        self.write()

    def write(self, text: str = "") -> None:
        self.path.write_text(text or json.dumps(self.content))

    def run(self, moments: dict | None = None, always=lambda engine: None) -> Journal:
        """The whole recording; each of the `moments`, bars in -> function of the engine, is met once and in a turn of
        its own, from that bar on."""
        waiting = sorted((moments or {}).items())

        def watch(engine):
            always(engine)
            if waiting and engine.counts["bars_in"] >= waiting[0][0]:
                waiting.pop(0)[1](engine)

        config = load_config(self.path)
        with Journal(config.engine.journal) as journal:
            engine = build_engine(
                config,
                read_config(self.path),
                journal,
                mode="simulation",
                clock=DataClock(self.recording.start),
                start=self.recording.start,
                end=self.recording.end,
                on_turn=watch,
                config_path=self.path,
            )
            try:
                engine.run()
            finally:
                engine.close()
        assert not waiting, "the recording ended before every moment was met"
        return Journal(config.engine.journal, readonly=True)


@pytest.fixture(autouse=True)
def many_turns(monkeypatch):
    "The engine looks up after every few events, so that a change may fall between any two."
    monkeypatch.setattr(engine_module, "RECORDED_LOOK", 0)


def bars(journal: Journal, timeframes: set[str]) -> list[tuple]:
    return sorted(tuple(row[name] for name in BAR) for row in journal.rows("bars") if row["timeframe"] in timeframes)


def signals(journal: Journal, strategy: str) -> list[tuple]:
    return sorted(tuple(row[name] for name in SIGNAL) for row in journal.rows("signals", "strategy = ?", strategy))


def events(journal: Journal, level: str = "info") -> list[str]:
    return [row["message"] for row in journal.rows("events", "kind = 'config' AND level = ?", level)]


def base() -> dict:
    return {"steady": {"class": CCI}, "moved": {"class": CCI, "parameters": {"length": 20}, "symbols": ["NQ.c.0"]}}


def test_twenty_reloads_lose_no_bar_and_leave_other_strategies_alone(recording, tmp_path, campaign):
    chance, kinds, answers = random.Random(5), 7, []
    with ExitStack() as stack:
        (tmp_path / "whole").mkdir()
        (tmp_path / "changed").mkdir()
        whole = World(stack, recording, tmp_path / "whole", base()).run()
        world = World(stack, recording, tmp_path / "changed", base())

        def change(number: int):
            def act(engine):
                strategies = world.content["strategies"]
                kind = number % kinds
                if kind == 0:
                    strategies["moved"]["parameters"]["length"] = chance.randint(5, 60)
                elif kind == 1:
                    strategies[f"new{number}"] = {"class": MACD, "parameters": {"length": chance.randint(5, 60)}}
                elif kind == 2:
                    strategies.pop(next((n for n in strategies if n.startswith("new")), ""), None)
                elif kind == 3:
                    strategies["moved"]["quantity"] = 3 - strategies["moved"].get("quantity", 1)
                elif kind == 4:
                    strategies["moved"]["enabled"] = not strategies["moved"].get("enabled", True)
                elif kind == 5:
                    world.content["engine"]["timeframes"] = [chance.randint(2, 90)]
                else:
                    strategies[f"rsi{number}"] = {
                        "class": RSI,
                        "parameters": {"timeframe": chance.choice(["3min", "10min"])},
                        "priority": number,
                    }
                world.write()
                answers.append(engine.reloader.now(engine))

            return act

        moments = {
            at: change(number)
            for number, at in enumerate(
                sorted(chance.sample(range(100, recording.count - 100), campaign(20, full=120)))
            )
        }
        journal = world.run(moments)
        assert bars(journal, {"1min", "5min"}) == bars(whole, {"1min", "5min"})
        assert signals(whole, "steady") and signals(journal, "steady") == signals(whole, "steady")
        changed = [answer for answer in answers if "equals" not in answer]
        assert len(changed) > len(moments) / 2 and len(
            [message for message in events(journal) if message.startswith("applied")]
        ) == len(changed)
        assert not events(journal, "alarm")


# --- one session of one symbol


def world_of(stack: ExitStack, session: Recording, folder: Path, strategies: dict, **engine) -> World:
    folder.mkdir(exist_ok=True)
    return World(stack, session, folder, strategies, **engine)


def change(world: World, **strategies):
    "Put strategies into the file, or take them out with None, and reload."

    def act(engine):
        for name, entry in strategies.items():
            if entry is None:
                del world.content["strategies"][name]
            else:
                world.content["strategies"][name] = entry
        world.write()
        engine.reloader.now(engine)

    return act


ODD = {"class": RSI, "parameters": {"timeframe": "3min", "trend_timeframe": "10min"}}  # timeframes nothing else uses
KEPT = {"class": CCI}


def values_of(journal: Journal, strategy: str) -> dict:
    row = journal.one("evaluations", "strategy", strategy)
    return json.loads(row["vals"])["values"] | {"bar_end": row["bar_end"], "ready": row["ready"]}


@pytest.mark.parametrize("at", [401, 402, 403])  # within a period of the new timeframe, and at its end
def test_a_strategy_added_later_sees_what_it_would_have_seen_from_the_start(session, tmp_path, at):
    with ExitStack() as stack:
        whole = world_of(stack, session, tmp_path / "whole", {"kept": KEPT, "late": ODD}).run()
        world = world_of(stack, session, tmp_path / "later", {"kept": KEPT})
        journal = world.run({at: change(world, late=ODD)})
        assert values_of(journal, "late") == values_of(whole, "late")  # to the bit
        assert bars(journal, {"3min", "10min"}) == bars(whole, {"3min", "10min"})
        joined = next(row["at"] for row in journal.rows("events", "kind = 'config'"))
        assert {row[0] for row in signals(journal, "late")} == {
            row[0] for row in signals(whole, "late") if row[4] > joined
        }


def test_a_strategy_without_enough_history_enters_only_when_it_is_warm(session, tmp_path):
    with ExitStack() as stack:
        world = world_of(stack, session, tmp_path, {"kept": KEPT})
        journal = world.run({60: change(world, late={"class": CCI, "parameters": {"length": 100}})})
        first = min(row[4] for row in signals(journal, "late"))
        assert first >= int(session.bars["ES.c.0"].start[0]) + 100 * 5 * 60 * 10**9
        assert any(
            "not ready, enters when it is" in row["message"] for row in journal.rows("events", "kind = 'warm-up'")
        )


def test_changed_parameters_make_new_signal_ids_and_keep_the_position(session, tmp_path):
    seen = {}

    def while_long(world):
        def act(engine):
            runner = engine.runners[0]
            if (
                seen
                or engine.counts["bars_in"] < 300
                or runner.position != "LONG"
                or not any(ledger.quantity for ledger in engine.executor.ledgers.values())
            ):
                return  # not when its exit is decided
            change(world, kept={"class": CCI, "parameters": {"length": 30, "bars_held": 3}})(engine)
            seen.update(
                was=runner,
                now=engine.runners[0],
                position=engine.runners[0].position,
                hash=runner.strategy.config_hash(),
            )

        return act

    with ExitStack() as stack:
        world = world_of(stack, session, tmp_path, {"kept": {"class": CCI, "parameters": {"bars_held": 9}}})
        journal = world.run(always=while_long(world))
        assert seen["position"] == "LONG" and seen["now"] is not seen["was"]
        rows = journal.rows("signals", "strategy = 'kept'", order="bar_end, action DESC")
        hashes = [row["config_hash"] for row in rows]
        turn = hashes.index(next(h for h in hashes if h != seen["hash"]))
        assert set(hashes[:turn]) == {seen["hash"]} and len(set(hashes[turn:])) == 1
        entry, leave = rows[turn - 1], rows[turn]
        assert (entry["action"], leave["action"]) == ("LONG_ENTRY", "LONG_EXIT")  # the position was carried over
        assert leave["bar_end"] - entry["bar_end"] == 9 * 5 * 60 * 10**9  # and left by the rule it was opened with
        pairs = list(zip(rows[turn + 1 :: 2], rows[turn + 2 :: 2]))
        assert pairs and {b["bar_end"] - a["bar_end"] for a, b in pairs if b["reason"] == "bars_held"} == {
            3 * 5 * 60 * 10**9
        }


@pytest.mark.parametrize("on_remove", ["flatten", "keep"])
def test_the_position_of_a_removed_strategy_is_handed_over(session, tmp_path, on_remove):
    taken = []

    def remove_when_held(world):
        def act(engine):
            held = {key: ledger.quantity for key, ledger in engine.executor.ledgers.items() if ledger.quantity}
            if taken or ("gone", "ES 09-25") not in held:
                return
            taken.append(held)
            change(world, gone=None)(engine)

        return act

    with ExitStack() as stack:
        world = world_of(
            stack,
            session,
            tmp_path,
            {"kept": KEPT, "gone": {"class": CCI, "parameters": {"length": 30}}},
            on_remove=on_remove,
        )
        journal = world.run(always=remove_when_held(world))
        assert taken, "the strategy never held a position"
        orders = journal.rows("intents", "strategy = 'gone'")
        left = sum(
            row["quantity"] * (1 if row["side"] == "BUY" else -1) for row in journal.rows("fills", "strategy = 'gone'")
        )
        message = next(row for row in journal.rows("events", "kind = 'config' AND subject = 'gone:ES.c.0'"))
        assert (
            message["level"] == "warning" and ("closing" if on_remove == "flatten" else "keeps") in message["message"]
        )
        assert left == (0 if on_remove == "flatten" else 1) and (orders[-1]["purpose"] == "exit") is (
            on_remove == "flatten"
        )
        assert "gone" not in {row["strategy"] for row in journal.rows("signals") if row["at"] > message["at"]}


# --- what is not applied


def test_a_mistake_changes_nothing_and_is_shown_until_it_is_mended(session, tmp_path):
    shown = []
    with ExitStack() as stack:
        world = world_of(stack, session, tmp_path, {"kept": KEPT}, reload_seconds=0.001)

        def spoil(engine):
            world.content["strategies"]["kept"] = {"class": CCI, "parameters": {"lenght": 20}}
            world.write()

        def mend(engine):
            shown.append((engine.journal.status()["config"], engine.runners[0], engine.config_hash))
            world.content["strategies"]["kept"] = KEPT
            world.write()

        before = []
        journal = world.run(
            {200: lambda engine: before.append((engine.runners[0], engine.config_hash)), 300: spoil, 600: mend}
        )
        document, runner, identity = shown[0]
        assert (
            (runner, identity) == before[0]
            and document["state"] == "refused"
            and "did you mean 'length'" in document["errors"][0]
        )
        assert (
            len(alarms := events(journal, "alarm")) == 1
            and "strategies.kept.parameters" in alarms[0]
            and "the running config stays" in alarms[0]
        )
        assert "the file is valid again" in events(journal) and journal.status()["config"] | {
            "checked": 0,
            "at": 0,
        } == document | {"state": "current", "errors": [], "checked": 0, "at": 0}
        assert journal.count("configs") == 1


def test_code_that_fails_on_real_bars_is_refused_and_the_engine_goes_on(session, tmp_path):
    own = tmp_path / "mine.py"
    own.write_text("""
from futures_algo import BaseStrategy

class Mine(BaseStrategy):
    def indicators(self): return {'1min': []}
    def entry(self, x):
        if getattr(x.close, 'size', 1) == 1 and x.close > 0: raise KeyError('no such column')
        return x.close > x.open
""")
    with ExitStack() as stack:
        world = world_of(stack, session, tmp_path, {"kept": KEPT})

        def add(engine):
            world.content["strategies"]["mine"] = {"class": f"{own}:Mine"}
            world.write()
            engine.journal.command("reload", "test")

        journal = world.run({300: add})
        (command,) = journal.rows("commands")
        assert (
            command["state"] == "refused"
            and "KeyError" in command["answer"]
            and "strategies.mine.class" in command["answer"]
        )
        assert len(bars(journal, {"1min"})) == session.count and {
            row["strategy"] for row in journal.rows("signals")
        } == {"kept"}


@pytest.mark.parametrize(
    "section, name, value",
    [
        ("databento", "symbols", ["ES.c.0", "NQ.c.0"]),
        ("execution", "account", "Sim102"),
        ("engine", "journal", "other.db"),
        ("execution", "crosstrade_api_key", "another-secret"),
    ],
)
def test_what_needs_a_restart_is_refused_by_name(session, tmp_path, section, name, value):
    told = []
    with ExitStack() as stack:
        world = world_of(stack, session, tmp_path, {"kept": KEPT})

        def spoil(engine):
            world.content[section][name] = value
            world.content["strategies"]["kept"] = {"class": CCI, "quantity": 2}  # applied neither: nothing is half done
            world.write()
            engine.journal.command("reload", "test")

        def look(engine):
            told.append((engine.journal.rows("commands")[-1], engine.runners[0].sizing))

        journal = world.run({200: spoil, 500: look})
        ((command, sizing),) = told
        assert (
            command["state"] == "refused"
            and f"({section}.{name})" in command["answer"]
            and "restart the engine" in command["answer"]
        )
        assert sizing.quantity == 1 and "another-secret" not in command["answer"] + "".join(events(journal, "alarm"))


def test_the_reload_command_answers_with_the_difference(session, tmp_path):
    with ExitStack() as stack:
        world = world_of(stack, session, tmp_path, {"kept": KEPT})

        def ask(engine):
            world.content["strategies"]["kept"] = {"class": CCI, "quantity": 2}
            world.write()
            engine.journal.command("reload", "test")

        journal = world.run({200: ask, 400: lambda engine: engine.journal.command("reload", "test")})
        assert [(row["state"], row["answer"]) for row in journal.rows("commands")] == [
            ("done", "~ strategies.kept.quantity: 1 -> 2"),
            ("done", "the file equals the running config"),
        ]
        event = next(row for row in journal.rows("events", "kind = 'config'"))
        data = json.loads(event["data"])
        assert data["changed"] == {"kept": {"quantity": [1, 2]}} and {data["before"], data["after"]} == {
            row["hash"] for row in journal.rows("configs")
        }
        assert {
            row["quantity"] for row in journal.rows("signals", "at > ? AND action = 'LONG_ENTRY'", event["at"])
        } == {2}


def test_edited_code_and_the_code_of_its_parent_are_taken_up(session, tmp_path, monkeypatch):
    parent, own = tmp_path / "house_rules.py", tmp_path / "mine.py"
    parent.write_text(
        "from futures_algo import BaseStrategy\n\nclass House(BaseStrategy):\n    def indicators(self): return {'5min':"
        " []}\n    def entry(self, x): return x.close > x.open\n"
    )
    own.write_text("from house_rules import House\n\nclass Mine(House):\n    bars_held = 2\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    decided = []
    with ExitStack() as stack:
        world = world_of(
            stack, session, tmp_path, {"mine": {"class": f"{own}:Mine"}, "kept": KEPT}, reload_seconds=0.001
        )

        def edit(file, before, after):
            return lambda engine: file.write_text(file.read_text().replace(before, after))

        look = lambda engine: decided.append(
            (engine.runners[0], engine.runners[1], engine.runners[0].strategy.bars_held)
        )
        journal = world.run(
            {
                200: look,
                201: edit(parent, "x.close > x.open", "x.close < x.open"),
                500: look,
                501: edit(own, "bars_held = 2", "bars_held = 4"),
                800: look,
            }
        )
        assert [held for *_, held in decided] == [2, 2, 4] and len({id(runner) for runner, *_ in decided}) == 3
        assert len({id(kept) for _, kept, _ in decided}) == 1  # the other strategy kept its very runner
        assert [message.partition(": ")[2].split(":")[0] for message in events(journal)] == [
            "~ strategies.mine.code",
            "~ strategies.mine.code",
        ]
        bar = {row["end"]: row for row in journal.rows("bars", "timeframe = '5min'")}
        entries = [
            bar[row["bar_end"]] for row in journal.rows("signals", "strategy = 'mine' AND action = 'LONG_ENTRY'")
        ]
        rising = [row["close"] > row["open"] for row in entries]
        assert rising == sorted(rising, reverse=True) and set(rising) == {
            True,
            False,
        }  # first on rising bars, after the edit on falling ones


# --- history for those who join late

SLOW = {"class": CCI, "parameters": {"timeframe": "30min", "length": 100}}  # fifty hours: more than the session has


@pytest.fixture(scope="module")
def week(tmp_path_factory):
    "Four sessions as history, the last of them as the recording."
    folder, whole = tmp_path_factory.mktemp("week"), generate_minutes("ES.c.0", sessions=4)
    start = int(whole.start[-1380])
    path = folder / "minutes.ohlcv-1m.dbn.zst"
    write_dbn(path, {"ES.c.0": whole[whole.start >= start]})
    return Recording(path, "ohlcv-1m", {"ES.c.0": whole[whole.start >= start]}), write_dbn(
        folder / "history.dbn.zst", {"ES.c.0": whole}
    )


def joined_late(stack: ExitStack, week, folder: Path, keys: list[str]) -> Journal:
    "A first engine without history; its successor may fetch some, and a strategy that needs it joins in the middle."
    from concurrent.futures import wait

    from futures_algo.sim.historical import HistoricalServer

    recording, history = week
    server = stack.enter_context(HistoricalServer({"ohlcv-1m": [history]}, keys))
    world = world_of(stack, recording, folder, {"kept": KEPT})
    world.run({300: lambda engine: engine.stop("for the night")})
    world.content["databento"] |= {
        "historical_url": server.url,
        "warmup_days": 5,
        "store": str(folder / "store"),
        "max_cost_usd": 10,
    }
    world.write()
    return world.run(
        {
            400: change(world, late=SLOW),
            410: lambda engine: wait([asked.bars for asked in engine.reloader._late._asked], 60),
        }
    )


def test_a_strategy_that_needs_more_than_the_journal_holds_is_warmed_from_history_while_the_engine_goes_on(
    week, tmp_path
):
    from futures_algo.sim.historical import HistoricalServer

    recording, history = week
    with ExitStack() as stack:
        server = stack.enter_context(HistoricalServer({"ohlcv-1m": [history]}, [DEMO_KEY]))
        world = world_of(stack, recording, tmp_path / "whole", {"kept": KEPT, "late": SLOW})
        world.content["databento"] |= {
            "historical_url": server.url,
            "warmup_days": 5,
            "store": str(tmp_path / "whole" / "store"),
            "max_cost_usd": 10,
        }
        world.write()
        whole = world.run()
        journal = joined_late(stack, week, tmp_path / "later", [DEMO_KEY])
        assert (
            values_of(journal, "late") == values_of(whole, "late") and values_of(journal, "late")["ready"]
        )  # to the bit
        said = [row["message"] for row in journal.rows("events", "kind = 'warm-up' AND subject = 'late:ES.c.0'")]
        assert (
            "not ready" in said[0] and "being fetched" in said[1] and said[2].endswith("of history and journal: ready")
        )
        assert bars(journal, {"1min"}) == [
            row for row in bars(whole, {"1min"}) if row[2] >= recording.start
        ]  # none was lost meanwhile


def test_history_that_cannot_be_had_is_said_and_changes_nothing(week, tmp_path):
    with ExitStack() as stack:
        journal = joined_late(stack, week, tmp_path, ["db-another-key-00000000000000000"])
        said = journal.rows("events", "kind = 'warm-up' AND subject = 'late:ES.c.0'")[-1]
        assert said["level"] == "warning" and "could not be had" in said["message"] and "key" in said["message"]
        assert not signals(journal, "late") and signals(journal, "kept")


# --- code that breaks while it trades

BREAKS = """
import numpy as np
from futures_algo import BaseStrategy

asked = []

class Breaks(BaseStrategy):
    bars_held = 500
    def indicators(self): return {"5min": []}
    def entry(self, x):
        if np.ndim(x.close) == 0: asked.append(1)
        if len(asked) > MANY: raise KeyError("a level that is not there")
        return x.close > 0
"""


@pytest.mark.parametrize("many", [60, 0])  # in the middle, holding a position; and at once
def test_a_strategy_that_raises_is_switched_off_and_the_others_go_on(session, tmp_path, many):
    own = tmp_path / "own.py"
    own.write_text(BREAKS.replace("MANY", str(many)))
    with ExitStack() as stack:
        whole = world_of(stack, session, tmp_path / "whole", {"kept": KEPT}).run()
        world = world_of(stack, session, tmp_path / "broken", {"kept": KEPT, "breaks": {"class": f"{own}:Breaks"}})
        journal = world.run({900: lambda engine: engine.stop("for the night")})
        (alarm,) = journal.rows("events", "kind = 'strategy'")
        assert alarm["level"] == "alarm" and "KeyError" in alarm["message"] and "closed" in alarm["message"]
        held = [
            row["quantity"] * (1 if row["side"] == "BUY" else -1)
            for row in journal.rows("fills", "strategy = 'breaks'")
        ]
        assert sum(held) == 0 and bool(held) == bool(many)
        journal = world.run()  # the next engine warms it from the journal, where it raises again
        assert signals(journal, "kept") == signals(whole, "kept") and journal.status()["engine"]["state"] == "stopped"
        assert not journal.status()["strategy:breaks:ES.c.0"]["ready"]
