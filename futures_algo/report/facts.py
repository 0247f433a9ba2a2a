"""What a journal holds of one session: bars, decisions, orders, fills, and what happened to the engine meanwhile."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from futures_algo.core.contracts import FeedSymbol
from futures_algo.core.sessions import SessionCalendar
from futures_algo.core.types import Bars, DataError, FuturesAlgoError, InputError, Timeframe
from futures_algo.execution.ledgers import trading_day
from futures_algo.journal.journal import Journal
from futures_algo.strategies.base import BaseStrategy
from futures_algo.strategies.sizing import Sizing

_BAR = 'start, "end", open, high, low, close, volume, contract, partial, received'


class Version(NamedTuple):
    "A strategy on one symbol, as one config had it."

    name: str
    symbol: str
    strategy: BaseStrategy
    quantity: "int | Sizing"
    since: int  # ns UTC from which the config was in force
    until: int


class Break(NamedTuple):
    "A moment at which a strategy's state may not have gone on as before."

    at: int  # ns UTC, the engine's clock
    cause: str  # restart, config_change or reload
    detail: str
    who: str = ""  # the strategy, or "name:symbol"; "" is all of them
    # continue: restored bit for bit; warm: from the journal's bars; take_over: so, with the position it had; replay:
    # from what the feed replays; told: see the others
    how: str = "replay"
    code: tuple[str, str] | None = None  # identity of the strategy's code before and after, where a reload changed it
    through: dict[
        str, int
    ] = {}  # symbol -> end of the last bar that was decided on as before (ns UTC); empty where the journal does not say
    stands: int | None = (
        None  # ns UTC the stream stood at; what ends from there to `through` was seen again, and decided on no more
    )

    def of(self, symbol: str) -> int:
        "The moment it counts from for a symbol."
        return self.through.get(symbol, self.at)


class BarRow(NamedTuple):
    "What the report says of a bar besides its prices."

    symbol: str
    timeframe: str
    end: int
    received: int


@dataclass
class Facts:
    "A session as its journal tells it; `end` is its last close, times are ns UTC."

    session: str
    start: int
    end: int
    bars: dict[str, dict[Timeframe, Bars]]  # symbol -> timeframe -> all bars up to the session's end, each once
    received: dict[str, np.ndarray]  # symbol -> when each one-minute bar was known
    duplicates: list[BarRow]
    tables: dict[
        str, list[dict[str, Any]]
    ]  # signals, intents, fills, requests, order_events, positions, events of the session
    runs: list[dict[str, Any]]
    configs: list[
        dict[str, Any]
    ]  # at, hash, content (a dictionary), through (as of a `Break`), in the order they came into force
    breaks: list[Break] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)  # events of engine and feed since the journal began

    @property
    def symbols(self) -> list[str]:
        return list(self.bars)

    def bounds(self, symbol: str) -> tuple[int, int]:
        "The session's first open and last close for a symbol."
        return SessionCalendar.of(symbol).session_bounds(self.session) or (self.start, self.start)

    @cached_property
    def signals(self) -> dict[str, dict[str, Any]]:
        "Signals by id: the session's, and earlier ones that an order of the session carries out."
        return {row["id"]: row for row in (*self.tables["carried"], *self.tables["signals"])}

    def feed_at(self, at: int) -> str:
        "The feed's state at a moment, '' before it said anything."
        times, states = self._feed_states
        return states[row] if (row := int(np.searchsorted(times, at, "right")) - 1) >= 0 else ""

    @cached_property
    def _feed_states(self) -> tuple[np.ndarray, list[str]]:
        rows = [event for event in self.history if event["kind"] == "feed"]
        return np.array([row["at"] for row in rows], np.int64), [row["subject"] for row in rows]

    @cached_property
    def running(self) -> list[tuple[int, int]]:
        "When an engine ran, by its own clock; one that died ends with the last bar it knew."
        spans, ends = (
            [],
            {
                event["subject"]: event["at"]
                for event in self.history
                if event["kind"] == "engine" and event["message"].startswith(("stopped", "died"))
            },
        )
        starts = [event for event in self.history if event["kind"] == "engine" and event["message"] == "recovering"]
        last = max((int(times[-1]) for times in self.received.values() if len(times)), default=self.end)
        for event, following in zip(starts, [*starts[1:], None]):
            spans.append(
                (event["at"], ends.get(event["subject"], self._last_known(following["at"]) if following else last))
            )
        return spans

    def _last_known(self, before: int) -> int:
        return max(
            (
                int(times[row])
                for times in self.received.values()
                if (row := int(np.searchsorted(times, before)) - 1) >= 0
            ),
            default=before,
        )

    def config_at(self, at: int) -> dict[str, Any]:
        "The config in force at a moment."
        return next(
            (row["content"] for row in reversed(self.configs) if row["at"] <= at),
            self.configs[0]["content"] if self.configs else {},
        )


# --- reading


def read_facts(
    path: "str | Path",  # the journal
    session: str = "",  # date the session closes on; the newest one when empty
    config: dict | None = None,  # judge by this config instead of the journal's
) -> Facts:
    with Journal(path, readonly=True) as journal:
        symbols = [row[0] for row in journal._connection.execute("SELECT DISTINCT symbol FROM bars ORDER BY symbol")]
        if not symbols:
            raise DataError(
                "journal",
                str(path),
                "must hold the bars of a session",
                "run the engine first, or name another journal",
                str(path),
            )
        session = session or _newest_session(journal, symbols)
        start, end = _bounds(symbols, session)
        bars, received, duplicates = _read_bars(journal, symbols, start, end)
        if not any(
            len(found[Timeframe(1)][_inside(found[Timeframe(1)], start, end)])
            for found in bars.values()
            if Timeframe(1) in found
        ):
            raise InputError(
                "session",
                session,
                "must be one the journal has bars of",
                f"it has {', '.join(_sessions(journal, symbols[0])[-5:])}",
            )
        tables = {
            name: _session_rows(journal, name, start, end)
            for name in ("signals", "intents", "fills", "requests", "order_events", "positions", "events", "commands")
        }
        tables["carried"] = [
            row
            for intent in tables["intents"]
            if intent["signal_id"] and (row := journal.one("signals", "id", intent["signal_id"]))
        ]
        tables["filled_intents"] = [
            row
            for fill in tables["fills"]
            if fill["order_id"] and (row := journal.one("intents", "order_id", fill["order_id"]))
        ]
        tables["later_intents"] = journal.rows(
            "intents", "at >= ? AND signal_id IN (SELECT id FROM signals WHERE bar_end <= ?)", end, end
        )  # sent when the session was over
        placed = {intent["order_id"] for intent in tables["intents"]}
        tables["order_fills"] = [
            row for row in journal.rows("fills", "at >= ?", start, order="at, rowid") if row["order_id"] in placed
        ]  # also of an order that filled after the close
        tables["all_fills"] = [
            row
            for row in journal.rows("fills", order="at, rowid")
            if row["at"] <= start or trading_day(row["at"]) <= trading_day(end - 1)
        ]
        everything = _in_time(
            journal.rows("events", "kind IN ('engine', 'warm-up', 'config', 'feed') AND at <= ?", end, order="seq")
        )
        configs = _configs(journal, everything, config)
        return Facts(
            session,
            start,
            end,
            bars,
            received,
            duplicates,
            tables,
            journal.rows("runs"),
            configs,
            _breaks(everything),
            everything,
        )


def _newest_session(journal: Journal, symbols: list[str]) -> str:
    newest = {symbol: at for (symbol, _), at in journal.ends().items()}
    return max(SessionCalendar.of(symbol).session_date(newest[symbol] - 1) for symbol in symbols)


def _sessions(journal: Journal, symbol: str) -> list[str]:
    calendar = SessionCalendar.of(symbol)
    ends = [
        row[0]
        for row in journal._connection.execute(
            "SELECT \"end\" FROM bars WHERE symbol = ? AND timeframe = '60min' OR symbol = ? AND timeframe = '1min'",
            (symbol, symbol),
        )
    ]
    return sorted({calendar.session_date(end - 1) for end in ends})


def _bounds(symbols: Iterable[str], session: str) -> tuple[int, int]:
    try:
        found = [bounds for symbol in symbols if (bounds := SessionCalendar.of(symbol).session_bounds(session))]
    except ValueError:
        raise InputError("session", session, "must be a date, YYYY-MM-DD", "give the date it closes on") from None
    if not found:
        raise InputError(
            "session",
            session,
            "must be a day with a session",
            "give the date it closes on; see `futures-algo report --help`",
        )
    return min(opens for opens, _ in found), max(closes for _, closes in found)


def _inside(bars: Bars, start: int, end: int) -> np.ndarray:
    return (bars.end > start) & (bars.end <= end)


def _read_bars(journal: Journal, symbols: list[str], start: int, end: int) -> tuple[dict, dict, list[BarRow]]:
    "Every bar up to the session's end, each once, and the repeats inside it."
    bars: dict[str, dict[Timeframe, Bars]] = {}
    received: dict[str, np.ndarray] = {}
    repeats: list[BarRow] = []
    for symbol in symbols:
        FeedSymbol.parse(symbol)
        names = [
            row[0]
            for row in journal._connection.execute("SELECT DISTINCT timeframe FROM bars WHERE symbol = ?", (symbol,))
        ]
        bars[symbol] = {}
        for timeframe in map(Timeframe, names):
            rows = journal._connection.execute(
                f'SELECT {_BAR} FROM bars WHERE symbol = ? AND timeframe = ? AND "end" <= ? ORDER BY "end", seq',
                (symbol, str(timeframe), end),
            ).fetchall()
            first = [row for at, row in enumerate(rows) if not at or row[1] != rows[at - 1][1]]
            repeats += [
                BarRow(symbol, timeframe, row[1], row[9])
                for at, row in enumerate(rows)
                if at and row[1] == rows[at - 1][1] and row[1] > start
            ]
            bars[symbol][timeframe] = _columns(symbol, timeframe, first)
            if timeframe == "1min":
                received[symbol] = np.array([row[9] or 0 for row in first], np.int64)
    return bars, received, repeats


def _columns(symbol: str, timeframe: Timeframe, rows: list) -> Bars:
    names = tuple(dict.fromkeys(row[7] or "" for row in rows)) or ("",)
    code = {name: at for at, name in enumerate(names)}
    pick = lambda at, dtype: np.array([row[at] for row in rows], dtype)
    contract = np.array([code[row[7] or ""] for row in rows], np.int32)
    return Bars(
        symbol,
        timeframe,
        pick(0, np.int64),
        pick(1, np.int64),
        pick(2, np.float64),
        pick(3, np.float64),
        pick(4, np.float64),
        pick(5, np.float64),
        pick(6, np.int64),
        contract,
        names,
        pick(8, bool),
    )


def _session_rows(journal: Journal, name: str, start: int, end: int) -> list[dict[str, Any]]:
    "A table's rows of the session: a decision belongs where its bar closed, everything else where it happened."
    if name == "signals":
        return journal.rows(name, "bar_end > ? AND bar_end <= ?", start, end)
    return [row for row in journal.rows(name, "at >= ?", start) if trading_day(row["at"]) == trading_day(end - 1)]


# --- what happened to the engine


def _in_time(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    "An engine over recorded bars begins with an old clock: its events count from where the one before it stood."
    latest = 0
    for event in events:
        latest = max(latest, event["at"])
        if event["kind"] != "feed":
            event["at"] = latest
    return events


def _configs(journal: Journal, events: list[dict], given: dict | None) -> list[dict[str, Any]]:
    "Configs in the order they came into force: at a run's start, and where a reload took one up."
    if given is not None:
        return [{"at": 0, "hash": "given", "content": given, "through": {}}]
    known = {row["hash"]: json.loads(row["content"]) for row in journal.rows("configs")}
    of_run = {row["run_id"]: row["config_hash"] for row in journal.rows("runs")}
    found = [
        (event["at"], of_run[event["subject"]], _through(event))
        for event in events
        if event["kind"] == "engine" and event["message"] == "recovering" and event["subject"] in of_run
    ]
    found += [
        (event["at"], identity, _through(event))
        for event in events
        if event["kind"] == "config" and (identity := _hash_in(event)) in known
    ]
    told = {
        identity for _, identity, _ in found
    }  # a row says when its content was first read, which is not when it came into force
    found += [(row["at"], row["hash"], {}) for row in journal.rows("configs") if not told]
    return _in_force(
        [
            {"at": at, "hash": identity, "content": known[identity], "through": through}
            for at, identity, through in sorted(found, key=lambda one: one[0])
            if identity in known
        ]
    )


def _in_force(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without starts under the config there was; no config comes into force before the one it follows: a start tells
    the last bar, a reload how far the stream had come without any."""
    kept: list[dict[str, Any]] = []
    for row in rows:
        if kept and kept[-1]["hash"] == row["hash"]:
            continue
        before = kept[-1]["through"] if kept else {}
        kept.append(
            row | {"through": {symbol: max(end, before.get(symbol, 0)) for symbol, end in row["through"].items()}}
        )
    return kept


def _through(event: dict[str, Any]) -> dict[str, int]:
    "Where an event says the bars stood that were decided on before it."
    return json.loads(event["data"] or "{}").get("through", {})


def _hash_in(event: dict[str, Any]) -> str:
    "The config an event says was taken up."
    return str(json.loads(event["data"] or "{}").get("after", ""))


def _breaks(events: list[dict]) -> list[Break]:
    "What happened to strategies' states: starts after the first, and reloads; in order."
    found, state, starts, told = [], "", 0, False
    for event in events:
        if event["kind"] == "engine":
            state, starts = event["message"], starts + (event["message"] == "recovering")
            if state == "recovering":
                told = False
            if state == "ready" and starts > 1 and not told:
                found.append(
                    Break(
                        event["at"],
                        "restart",
                        f"run {event['subject']} began without a saved state",
                        how="replay",
                        through=_through(event),
                    )
                )
        elif event["kind"] == "warm-up":
            told, goes_on = True, event["message"].startswith("continues")
            reloaded = state == "ready"
            anew = "take_over" if reloaded or "keeps its position" in event["message"] else "warm"
            stands = json.loads(event["data"] or "{}").get("stands")
            found.append(
                Break(
                    event["at"],
                    "config_change" if reloaded else "restart",
                    event["message"],
                    event["subject"],
                    "continue" if goes_on else anew,
                    None,
                    _through(event),
                    stands,
                )
            )
        elif event["kind"] == "config":
            found += _changes_of(event)
    return found


def _changes_of(event: dict[str, Any]) -> list[Break]:
    "The strategies a reload changed; code that changed under equal parameters is a reload of its own kind."
    data = json.loads(event["data"] or "{}")
    changed = {
        name: "reload" if set(what) == {"code"} else "config_change" for name, what in data.get("changed", {}).items()
    }
    code = {
        name: (what["code"][0], what["code"][1]) for name, what in data.get("changed", {}).items() if "code" in what
    }
    causes = changed | dict.fromkeys([*data.get("added", ()), *data.get("removed", ())], "config_change")
    return [
        Break(event["at"], cause, event["message"], name, "told", code.get(name), _through(event))
        for name, cause in causes.items()
    ]


# --- strategies


def versions_of(facts: Facts) -> tuple[list[Version], dict[str, str]]:
    "Every strategy and symbol by the time its parameters were in force, and why some cannot be built any more."
    found, failed = [], {}
    for at, row in enumerate(facts.configs):
        following = facts.configs[at + 1] if at + 1 < len(facts.configs) else None
        for name, entry in row["content"].get("strategies", {}).items():
            if not entry.get("enabled", True):
                continue
            try:
                found += _versions(name, entry, row if at else None, following, row["content"])
            except FuturesAlgoError as error:
                failed[name] = str(error)
    return _joined(found), failed


def code_now(entry: dict[str, Any]) -> str:
    "Identity of a strategy's code as it is now."
    from futures_algo.config.classes import import_class
    from futures_algo.config.fingerprint import strategy_fingerprint

    return strategy_fingerprint(import_class(entry["class"]))


def _versions(name: str, entry: dict, row: "dict | None", following: "dict | None", content: dict) -> list[Version]:
    "By symbol: from where a config came into force (None: from the beginning) to where the next one did."
    from futures_algo.config.model import StrategyConfig
    from futures_algo.engine.build import build_strategy

    config = StrategyConfig.model_validate(entry)
    strategy = build_strategy(name, config)
    spans = {
        symbol: (
            row["through"].get(symbol, row["at"]) if row else 0,
            following["through"].get(symbol, following["at"]) if following else 1 << 62,
        )
        for symbol in config.symbols or content["databento"]["symbols"]
    }
    return [
        Version(name, symbol, strategy, config.quantity, *span) for symbol, span in spans.items() if span[0] < span[1]
    ]


def _joined(versions: list[Version]) -> list[Version]:
    "Versions that follow each other with the same parameters are one."
    found: list[Version] = []
    for one in sorted(versions, key=lambda v: (v.name, v.symbol, v.since)):
        last = found[-1] if found else None
        same = last and (last.name, last.symbol, last.until, last.quantity, last.strategy.config_hash()) == (
            one.name,
            one.symbol,
            one.since,
            one.quantity,
            one.strategy.config_hash(),
        )
        if last and same:
            found[-1] = last._replace(until=one.until)
        else:
            found.append(one)
    return found
