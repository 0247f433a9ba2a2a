"""Records of one session after another become one stream of events: each bar once and in order, under the contract it
belongs to."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from futures_algo.core.contracts import product
from futures_algo.core.dbn import PRICE_SCALE, SCHEMA_STEP
from futures_algo.core.types import DAY, SECOND, Bar, Timeframe
from futures_algo.feed.calendar_watch import CalendarWatch
from futures_algo.feed.connection import Subscription, symbology_of
from futures_algo.feed.events import (
    ContractMapped,
    FeedAlarm,
    FeedEvent,
    FeedState,
    IntervalEnd,
    Position,
    clock_text,
)
from futures_algo.history.definitions import learn
from futures_algo.history.plausible import Judge

_UNDEFINED = 2**64 - 1  # a time that Databento leaves open


class Demand(NamedTuple):
    "What has to happen to the session."

    # resume: a new one at once; retry: one after the back-off; retry_late: after the longest; refuse, close: none any
    # more
    action: str
    reason: str


class _PerSymbol(dict):
    "What is made for a symbol when it is first met: symbols may join a running feed."

    def __init__(self, make: Callable[[str], Any]):
        self._make = make

    def __missing__(self, symbol: str) -> Any:
        self[symbol] = self._make(symbol)
        return self[symbol]


class Intake:
    "The stream as its consumer sees it: events, position, state."

    def __init__(
        self,
        schema: str,  # "ohlcv-1s"
        symbols: tuple[str, ...],
        position: Position | None,  # where the stream begins; None is live from now
        end: int | None,  # ns UTC; the stream closes when everything before was sent
        now: Callable[[], int],  # ns UTC, to stamp states with
    ):
        self.schema, self.symbols, self.symbology, self._end, self._now = (
            schema,
            symbols,
            symbology_of(symbols),
            end,
            now,
        )
        self.step, self._timeframe = SCHEMA_STEP[schema], Timeframe(f"{SCHEMA_STEP[schema] // SECOND}s")
        through: Any
        through, last, contracts = position or (None, {}, {})
        self.closed_through: Any = through  # ns UTC, None before a live stream began
        self._last = dict(last)  # symbol -> start of its last bar
        self._before = -1 if position is None else self.closed_through - 1  # the same for a symbol without a bar yet
        # symbol -> contract, and the UTC day (since 1970) for which it is known
        self._dated = {symbol: (contract, (self.closed_through - 1) // DAY) for symbol, contract in contracts.items()}
        self._delivered = self.closed_through, dict(last), dict(contracts)  # the position as the consumer has seen it
        self.contracts: dict[str, str] = {}  # symbol -> contract, as mapped now
        self._instrument: dict[str, int] = {}
        self._out: deque[FeedEvent] = deque()  # events ready for the consumer
        self.state, self.reason, self._flow = "down", "not connected yet", "live"
        self.bars = self.duplicates = self.quarantined = 0
        self._judges = _PerSymbol(lambda symbol: Judge(product(symbol)))
        self._watches = _PerSymbol(CalendarWatch)
        self._everything = self._fresh = False  # ask for all the gateway keeps; data came since somebody looked
        self.is_complete = (
            end is not None and position is not None and position.closed_through >= end
        )  # the feed before this one took everything: no marker would come
        self.readers = self._readers()

    def _readers(self) -> dict[type, Callable[..., Demand | None]]:
        "Which method reads which record."
        from databento_dbn import (
            ErrorCode,
            ErrorMsg,
            InstrumentDefMsg,
            OHLCVMsg,
            SymbolMappingMsg,
            SystemCode,
            SystemMsg,
        )

        self._system, self._error = SystemCode, ErrorCode
        return {
            OHLCVMsg: self._on_bar,
            SystemMsg: self._on_system,
            SymbolMappingMsg: self._on_mapping,
            ErrorMsg: self._on_error,
            InstrumentDefMsg: self._on_definition,
        }

    # -- what the consumer sees

    def take(self) -> Iterator[FeedEvent]:
        "The events that are ready."
        _, last, contracts = self._delivered
        while self._out:
            event = self._out.popleft()
            if type(event) is Bar:
                last[event.symbol] = event.start
            elif type(event) is IntervalEnd:
                self._delivered = event.end, last, contracts
            elif type(event) is ContractMapped:
                contracts[event.symbol] = event.contract
            yield event

    @property
    def position(self) -> Position | None:
        "Everything the consumer took."
        closed_through, last, contracts = self._delivered
        return None if closed_through is None else Position(closed_through, dict(last), dict(contracts))

    @property
    def is_replaying(self) -> bool:
        return self._flow == "replaying"

    def say(self, state: str, reason: str) -> None:
        "Enter a state, or say something in the one that is."
        self.state, self.reason = state, reason
        self._out.append(FeedState(state, reason, self._now()))

    def took_data(self) -> bool:
        "Whether data came since the last call."
        fresh, self._fresh = self._fresh, False
        if fresh and self.state == "stale":
            self.say(self._flow, "data is back")
        return fresh

    # -- sessions

    def begin_session(self, dataset: str) -> Subscription:
        "What the next session asks for; its records are read from here on."
        start = 0 if self._everything else self.closed_through
        symbology, self._asked = self._ask()
        self._names: dict[
            int, dict[str, str]
        ] = {}  # instrument -> symbol -> contract; two symbols may mean one instrument
        self._whole_from, self._fresh = 0, False  # ns, bars that start before it began before we listened
        self._set_boundary()
        since = f"from {clock_text(start)}" if start else "all that is kept"
        self.say("connecting", "live from now" if start is None else since)
        return Subscription(dataset, self.schema, symbology, tuple(self._asked), start)

    def _ask(self) -> tuple[str, dict[str, list[str]]]:
        "The symbology to subscribe in, and for each name asked for the symbols it answers."
        today = None if self.closed_through is None else self.closed_through // DAY
        answers: dict[str, list[str]] = {}
        for symbol in self.symbols:
            contract, day = self._dated.get(symbol, ("", None))
            if day is None or day != today:
                return self.symbology, {symbol: [symbol] for symbol in self.symbols}
            answers.setdefault(contract, []).append(symbol)
        return "raw_symbol", answers

    def _set_boundary(self) -> None:
        "The date change that ends this session's mapping; a contract's never ends."
        known = self.closed_through is not None and self.symbology == "continuous"
        self._boundary = (self.closed_through // DAY + 1) * DAY if known else 2**63

    def _change_date(self) -> Demand:
        """The session's mapping is yesterday's, and what it says of today is of contracts that may have rolled:
        subscribe anew from the date change."""
        self.closed_through = max(self.closed_through, self._boundary)
        return Demand("resume", "the date changed")

    # -- bars and markers

    def _on_bar(self, record) -> Demand | None:
        start, named = record.ts_event, self._names.get(record.instrument_id)
        if start % self.step:
            return Demand("retry", f"a bar that starts at {start} ns: the stream cannot be decoded any more")
        if not named:
            self.say(self.state, f"a bar of instrument {record.instrument_id}, which nothing maps")
            return None
        if start >= self._boundary:
            return self._change_date()
        self._fresh = True
        for symbol, contract in named.items():
            if start <= self._last.get(symbol, self._before):
                self.duplicates += 1
                continue
            self._last[symbol] = start
            self._take(
                Bar(
                    symbol,
                    self._timeframe,
                    start,
                    start + self.step,
                    record.open / PRICE_SCALE,
                    record.high / PRICE_SCALE,
                    record.low / PRICE_SCALE,
                    record.close / PRICE_SCALE,
                    record.volume,
                    contract,
                    True,
                    start < self._whole_from,
                )
            )
        return None

    def _take(self, bar: Bar) -> None:
        "Hand a bar on, or set one aside that cannot be; the consumer hears of either."
        verdict = self._judges[bar.symbol].judge(bar.open, bar.high, bar.low, bar.close, bar.volume)
        if verdict is not None:
            self.quarantined += 1
            text = f"{bar.symbol} bar at {clock_text(bar.start)} set aside ({verdict.kind}): {verdict.value} cannot be"
            self._out.append(FeedAlarm(bar.symbol, verdict.kind, text, bar.start, bar))
            return
        self.bars += 1
        if alarm := self._watches[bar.symbol].bar(bar.start, bar.end):
            self._out.append(alarm)
        self._out.append(bar)

    def _on_interval_end(self, end: int) -> Demand | None:
        if self.closed_through is None:
            self._on_acknowledged(end)
        self._fresh = True
        if end % self.step:
            return Demand("retry", f"an interval that ends at {end} ns: the stream cannot be decoded any more")
        through = min(
            end, self._boundary
        )  # a marker may pass a whole weekend; what trades behind the date change was not asked for under its contract
        if through <= self.closed_through:
            return None if end < self._boundary else self._change_date()
        self.closed_through, self._everything = through, False
        for watch in self._watches.values():
            if alarm := watch.passed(through):
                self._out.append(alarm)
        self._out.append(IntervalEnd(self.schema, through))
        if self._end is not None and through >= self._end:
            return Demand("close", "everything was sent")
        return self._change_date() if end >= self._boundary else None

    # -- what the gateway says

    def _on_system(self, record) -> Demand | None:
        code, known = record.code, self._system
        if code == known.END_OF_INTERVAL:
            return self._on_interval_end(record.ts_event)
        if code == known.SUBSCRIPTION_ACK:
            self._on_acknowledged(record.ts_event)
        elif code == known.REPLAY_COMPLETED:
            self._flows("live", "replay completed")
        elif code == known.SLOW_READER_WARNING:
            self.say(self.state, "the gateway says we read slowly: bars come late, none is lost")
        elif code not in (known.HEARTBEAT, known.UNSUBSCRIBE_ACK):
            self.say(self.state, f"system message {code}: {record.msg}")
        return None

    def _on_acknowledged(self, at: int) -> None:
        if self.closed_through is not None:
            self._flows("replaying", f"from {clock_text(self.closed_through)}")
            return
        self.closed_through, self._whole_from = (
            at // self.step * self.step,
            at,
        )  # live from now: the interval under way began before
        self._set_boundary()
        self._flows("live", "subscribed")

    def _flows(self, state: str, reason: str) -> None:
        self._flow = state
        self.say(state, reason)

    def _on_mapping(self, record) -> None:
        if self.closed_through is None:
            self._on_acknowledged(record.ts_event)
        contract, instrument = record.stype_out_symbol, record.instrument_id
        symbols = self._asked.get(record.stype_in_symbol, [])
        for named in self._names.values():
            for symbol in symbols:
                named.pop(symbol, None)  # a symbol means one instrument at a time
        self._names.setdefault(instrument, {}).update(dict.fromkeys(symbols, contract))
        if self.closed_through < record.start_ts < _UNDEFINED:
            self.say(
                self.state,
                f"{contract} is mapped from {clock_text(record.start_ts)} on, but its bars come from"
                f" {clock_text(self.closed_through)} on",
            )
        for symbol in symbols:
            self._map(symbol, contract, instrument)

    def _map(self, symbol: str, contract: str, instrument: int) -> None:
        "A symbol means this contract today; say so when that is news."
        self._dated[symbol] = contract, self.closed_through // DAY
        if (contract, instrument) == (self.contracts.get(symbol), self._instrument.get(symbol)):
            return
        if self.contracts.get(symbol, contract) != contract:
            self._judges[symbol].forget()
        self.contracts[symbol], self._instrument[symbol] = contract, instrument
        self._out.append(ContractMapped(symbol, contract, instrument, self.closed_through))

    def _on_definition(self, record) -> None:
        "The exchange's own tick and point value win over the table."
        for text in learn([record]):
            self._out.append(FeedAlarm(record.asset, "definition", text, record.ts_event))

    def _on_error(self, record) -> Demand | None:
        code, known, text = record.code, self._error, f"{record.code}: {record.err}"
        if code == known.SYMBOL_RESOLUTION_FAILED:
            return self._on_unresolved(record.err)
        if code == known.INVALID_SUBSCRIPTION:
            return Demand("refuse", text)
        if code == known.REPLAY_DATA_AGED_OUT:
            return self._on_aged_out()
        return Demand("retry_late" if code == known.CONNECTION_LIMIT_EXCEEDED else "retry", text)

    def _on_unresolved(self, text: str) -> Demand | None:
        "Said, and nothing more; but a contract that lost its name is asked for by its continuous symbol again."
        self.say(self.state, text)
        lost = [name for name in self._asked if name in text.split() and name not in self.symbols]
        if not lost:
            return None
        self._dated.clear()
        return Demand("resume", f"{lost[0]} does not resolve any more")

    def _on_aged_out(self) -> Demand:
        "The position is older than what the gateway keeps: take all it keeps, and say what is missing."
        self._everything = True
        self._dated.clear()  # the contracts of that date may have expired
        return Demand(
            "retry",
            f"what traded from {clock_text(self.closed_through)} on is no longer kept by the gateway: backfill it from"
            " history",
        )
