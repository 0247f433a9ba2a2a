"""Seconds to minutes to any timeframe, session-aware, each period completed exactly once."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Any, cast

import numpy as np

from futures_algo.core.sessions import SessionCalendar
from futures_algo.core.types import MINUTE, Bar, Bars, InputError, Timeframe, to_nanos


class _Period:
    "The period of one symbol and timeframe that is under way."

    __slots__ = (
        "symbol",
        "timeframe",
        "nanos",
        "start",
        "end",
        "open",
        "high",
        "low",
        "close",
        "volume",
        "contract",
        "partial",
        "active",
        "fresh",
    )

    def __init__(self, symbol: str, timeframe: Timeframe):
        self.symbol, self.timeframe, self.nanos = symbol, timeframe, timeframe.nanos
        self.start = self.end = 0  # ns UTC
        self.active, self.fresh = False, True  # fresh: nothing was seen before, so the first period may lack bars

    def begin(self, bar: Bar, opened: int, closes: int) -> None:
        "Start the period the bar lies in; its trading interval is `[opened, closes)`."
        start = bar.start - (bar.start - opened) % self.nanos
        self.start, self.end = (
            max(start, self.end),
            min(start + self.nanos, closes),
        )  # after a roll inside the period, its second part starts there
        self.open, self.high, self.low, self.close, self.volume, self.contract = (
            bar.open,
            bar.high,
            bar.low,
            bar.close,
            bar.volume,
            bar.contract,
        )
        self.partial = bar.partial or (self.fresh and bar.start > start)
        self.active, self.fresh = True, False

    def finish(self) -> Bar:
        "The completed bar."
        self.active = False
        return Bar(
            self.symbol,
            self.timeframe,
            self.start,
            self.end,
            self.open,
            self.high,
            self.low,
            self.close,
            self.volume,
            self.contract,
            True,
            self.partial,
        )


class _SymbolState:
    "What the aggregator knows of one symbol."

    __slots__ = ("periods", "opened", "closes", "through", "clock", "contract", "before", "calendar")

    def __init__(self, symbol: str, timeframes: Iterable[Timeframe], calendar: SessionCalendar):
        self.periods = [_Period(symbol, timeframe) for timeframe in timeframes]
        self.opened = self.closes = 0  # the trading interval of the last bar
        self.through = self.clock = -1  # ns UTC: end of the last bar; time as `advance` told it
        self.contract, self.before, self.calendar = "", "", calendar  # before: the contract rolled out of


_by_end = lambda bar: (bar.end, bar.end - bar.start)


class ByTimeframe(dict):
    "Bars by timeframe; 27, '27min' and 'm27' find the same one."

    def __getitem__(self, timeframe: int | str) -> Bar:
        return super().__getitem__(Timeframe(timeframe))

    def __contains__(self, timeframe: object) -> bool:
        return super().__contains__(Timeframe(cast(str, timeframe)))

    def get(self, timeframe: int | str, default: Any = None) -> Any:
        return super().get(Timeframe(timeframe), default)


class BarAggregator:
    "Bars of any number of symbols in, completed bars of every timeframe out; a few comparisons a bar and timeframe."

    _taken = "1min"  # what a bar given as a mapping covers

    def __init__(
        self,
        timeframes: Iterable[int | str],  # [1, 6, "27min"]
        calendar: SessionCalendar | None = None,  # None takes each symbol's own
        keep: int = 2000,  # completed bars kept per symbol and timeframe for get_bars
    ):
        self._timeframes = sorted({Timeframe(t) for t in timeframes}, key=lambda t: t.seconds)
        self._calendar, self._keep = calendar, keep
        self._states: dict[str, _SymbolState] = {}
        self._kept: dict[tuple[str, str], deque[Bar]] = {}
        self.rejected: Counter = Counter()  # "late", "duplicate", "off_session" (aggregated, but counted)
        self.last_rejected: Bar | None = None

    def get_available_timeframes(self) -> list[str]:
        "The timeframes built, finest first."
        return list(self._timeframes)

    def add_timeframes(self, timeframes: Iterable[int | str]) -> None:
        """Build more timeframes from the next bar on; the first bar of each is flagged partial unless it begins with
        its period."""
        new = sorted({Timeframe(t) for t in timeframes} - set(self._timeframes), key=lambda t: t.seconds)
        self._timeframes = sorted([*self._timeframes, *new], key=lambda t: t.seconds)
        for symbol, state in self._states.items():
            state.periods = sorted([*state.periods, *(_Period(symbol, t) for t in new)], key=lambda p: p.nanos)

    def get_bars(self, symbol: str, timeframe: int | str, n: int = 100) -> list[Bar]:
        "The last `n` completed bars, oldest first."
        return list(self._kept.get((symbol, Timeframe(timeframe)), ()))[-n:]

    def push(self, bar: Bar) -> list[Bar]:
        "What completes when this bar arrives, in order of end, finest first."
        state = self._states.get(bar.symbol) or self._new_state(bar)
        start, end = bar.start, bar.end
        closed: list[Bar] = []
        if (start < state.through or end <= state.clock) and bar.contract in (state.contract, state.before):
            return self._reject(bar, state)
        if bar.contract != state.contract:
            closed = self._cut(state, start)
            state.before, state.contract = state.contract, bar.contract
        if not state.opened <= start < state.closes:
            self._enter(state, bar)
        state.through = end
        for period in state.periods:
            if start >= period.end:
                if period.active:
                    closed.append(period.finish())
                period.begin(bar, state.opened, state.closes)
            elif not period.active:
                period.begin(bar, state.opened, state.closes)
            else:
                if bar.high > period.high:
                    period.high = bar.high
                if bar.low < period.low:
                    period.low = bar.low
                period.close = bar.close
                period.volume += bar.volume
                if bar.partial:
                    period.partial = True
            if end >= period.end:
                closed.append(period.finish())
        return self._out(closed) if closed else closed

    def advance(
        self,
        symbol: str,
        now: int,  # ns UTC: every bar that ends by now has been sent
    ) -> list[Bar]:
        "What completes because time passed: an end-of-interval marker or the clock."
        state = self._states.get(symbol)
        if state is None or now <= state.clock:
            return []
        state.clock = now
        closed = [period.finish() for period in state.periods if period.active and period.end <= now]
        return self._out(closed) if closed else closed

    def process_bar(self, symbol: str, bar: "Bar | Mapping[str, Any]") -> ByTimeframe:
        "The newest completed bar of each timeframe after this one; `push` gives all of them in order."
        bar = bar if isinstance(bar, Bar) else as_bar(symbol, bar, self._taken)
        return ByTimeframe({done.timeframe: done for done in self.push(bar)})

    def _new_state(self, bar: Bar) -> _SymbolState:
        base = Timeframe(bar.timeframe)
        for timeframe in self._timeframes:
            if timeframe.seconds % base.seconds:
                raise InputError(
                    "timeframe",
                    str(timeframe),
                    f"must be a whole multiple of the {base} bars it is built from",
                    "choose another, or feed finer bars",
                )
        state = self._states[bar.symbol] = _SymbolState(
            bar.symbol, self._timeframes, self._calendar or SessionCalendar.of(bar.symbol)
        )
        state.contract = state.before = bar.contract
        return state

    def _enter(self, state: _SymbolState, bar: Bar) -> None:
        "Find the trading interval of a bar outside the current one."
        state.opened, state.closes, is_open = state.calendar.interval(bar.start)
        if not is_open:
            self.rejected["off_session"] += (
                1  # outages and special sessions come from the data; the bar is kept, counted from the last close
            )

    def _cut(self, state: _SymbolState, start: int) -> list[Bar]:
        """The contract changed at `start`: end what is under way there, both parts flagged partial, so that no bar
        mixes two contracts."""
        under_way = [period for period in state.periods if period.active and start < period.end]
        parting = max(
            state.through, start - start % MINUTE
        )  # whole minutes, so that seconds and minutes part at the same moment
        for period in under_way:
            period.partial, period.fresh, period.end = True, True, parting
        return [period.finish() for period in under_way]

    def _reject(self, bar: Bar, state: _SymbolState) -> list[Bar]:
        self.rejected["duplicate" if bar.end == state.through else "late"] += 1
        self.last_rejected = bar
        return []

    def _out(self, closed: list[Bar]) -> list[Bar]:
        if len(closed) > 1:
            closed.sort(key=_by_end)
        for bar in closed:
            kept = self._kept.get((bar.symbol, bar.timeframe))
            if kept is None:
                kept = self._kept[bar.symbol, bar.timeframe] = deque(maxlen=self._keep)
            kept.append(bar)
        return closed

    def reached(self) -> dict[str, int]:
        "How far each symbol's stream has come, ns UTC."
        return {symbol: max(state.through, state.clock) for symbol, state in self._states.items()}

    def save(self) -> dict:
        "The state as JSON-able data, for a restart in the middle of periods."
        periods = lambda state: [
            {name: getattr(p, name) for name in _Period.__slots__ if hasattr(p, name)} for p in state.periods
        ]
        return {
            symbol: {
                "through": s.through,
                "clock": s.clock,
                "contract": s.contract,
                "before": s.before,
                "periods": periods(s),
            }
            for symbol, s in self._states.items()
        }

    def restore(self, saved: dict) -> None:
        "Continue where `save` stopped; a timeframe that was not built then begins with its next bar."
        for symbol, content in saved.items():
            state = self._states[symbol] = _SymbolState(
                symbol, self._timeframes, self._calendar or SessionCalendar.of(symbol)
            )
            state.through, state.clock, state.contract, state.before = (
                content[name] for name in ("through", "clock", "contract", "before")
            )
            known = {fields["timeframe"]: fields for fields in content["periods"]}
            for period in state.periods:
                for name, value in known.get(period.timeframe, {}).items():
                    if name not in ("symbol", "timeframe", "nanos"):
                        setattr(period, name, value)

    def remember(self, bars: Iterable[Bar]) -> None:
        "Completed bars of an earlier run, oldest first, for `get_bars`."
        for bar in bars:
            self._kept.setdefault((bar.symbol, bar.timeframe), deque(maxlen=self._keep)).append(bar)


def as_bar(symbol: str, fields: Mapping[str, Any], timeframe: str = "1min") -> Bar:
    "A bar from a mapping with `start` (or `timestamp`) and open, high, low, close, volume."
    start = fields.get("start", fields.get("timestamp"))
    if start is None:
        raise InputError("bar", dict(fields), "must carry 'start' or 'timestamp'", "add the bar's start with a zone")
    if missing := [name for name in ("open", "high", "low", "close", "volume") if name not in fields]:
        raise InputError("bar", dict(fields), f"must have {', '.join(missing)}", "add them")
    start = to_nanos(start)
    open, high, low, close = (float(fields[name]) for name in ("open", "high", "low", "close"))
    return Bar(
        symbol,
        Timeframe(timeframe),
        start,
        start + Timeframe(timeframe).nanos,
        open,
        high,
        low,
        close,
        volume=int(fields["volume"]),
        contract=fields.get("contract", ""),
    )


class SecondToMinuteAggregator(BarAggregator):
    "One-second bars in, one-minute bars out."

    _taken = "1s"

    def __init__(self, calendar: SessionCalendar | None = None, keep: int = 0):
        super().__init__(["1min"], calendar, keep)


def aggregate(
    bars: Bars,  # ordered, finer than the timeframe
    timeframe: int | str,
    calendar: SessionCalendar | None = None,  # None takes the symbol's own
    through: int | None = None,  # ns UTC up to which all bars are known; the last bar's end when omitted
) -> Bars:
    "Completed bars of a timeframe: equal, bit for bit, to what the live form gives for the same bars."
    timeframe = Timeframe(timeframe)
    if timeframe.seconds % bars.timeframe.seconds:
        raise InputError(
            "timeframe",
            str(timeframe),
            f"must be a whole multiple of the {bars.timeframe} bars it is built from",
            "choose another, or use finer bars",
        )
    if not len(bars):
        return Bars(
            bars.symbol,
            timeframe,
            *(getattr(bars, n)[:0] for n in ("start", "end", "open", "high", "low", "close", "volume")),
            origin=bars.origin,
        )
    start, end, *values, contract, partial, cut = _grouped(bars, timeframe, calendar or SessionCalendar.of(bars.symbol))
    columns = dict(zip(("open", "high", "low", "close", "volume"), values, strict=True))
    made = Bars(
        bars.symbol,
        timeframe,
        start,
        end,
        contract=contract,
        contracts=bars.contracts,
        partial=partial,
        origin=bars.origin,
        **columns,
    )
    done = cut | (made.end <= (bars.end[-1] if through is None else through))
    return made if done.all() else made[done]


def _grouped(bars: Bars, timeframe: Timeframe, calendar: SessionCalendar) -> tuple[np.ndarray, ...]:
    "What `group_bars` gives for the bars; times the calendar does not cover are refused."
    from futures_algo.aggregator.kernel import group_bars

    calendar.interval(int(bars.start[0]))
    calendar.interval(int(bars.start[-1]))
    partial = bars.partial if bars.partial.any() else bars.partial[:0]
    rolls = np.flatnonzero(np.diff(bars.contract)) + 1 if len(bars.contracts) > 1 else np.empty(0, np.int64)
    return group_bars(
        bars.start,
        bars.end,
        bars.open,
        bars.high,
        bars.low,
        bars.close,
        bars.volume,
        bars.contract,
        partial,
        rolls,
        calendar.edges,
        timeframe.nanos,
        bars.timeframe.nanos,
    )
