"""The words every other module speaks: errors that teach, timeframes, bars, signals and clocks."""

import hashlib
import json
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self, cast

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


GENERATED = "GENERATED"  # origin of bars a generator made


class FuturesAlgoError(Exception):
    "Base of every error this library raises on purpose."


class InputError(FuturesAlgoError, ValueError):
    "A value breaks a rule; the message says which value, which rule, and what to do."

    def __init__(
        self,
        subject: str,  # what the value is, as the user knows it: "CCI length"
        value: Any,  # the offending value
        rule: str,  # the rule, as "must be at least 2"
        remedy: str = "",  # what to do instead
        path: str = "",  # where it stands: a config path, a file and row
    ):
        self.subject, self.value, self.rule, self.remedy, self.path = subject, value, rule, remedy, path
        text = f"{subject} was {value!r}; it {rule}"
        if remedy:
            text += f"; {remedy}"
        if path:
            text += f" ({path})"
        super().__init__(text)

    def as_dict(self) -> dict[str, str]:
        "The row that `validate-config` and `validate-data` print."
        return dict(path=self.path, value=repr(self.value), rule=f"{self.subject} {self.rule}", remedy=self.remedy)


class ConfigError(InputError):
    "A configuration value breaks a rule."


class DataError(InputError):
    "Market data breaks a rule."


class BrokerError(FuturesAlgoError):
    "The broker refused, or its answer could not be understood."


class FeedError(FuturesAlgoError):
    "The market data feed failed in a way that retrying does not mend."


SECOND = 1_000_000_000  # nanoseconds
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def to_nanos(
    when: Any,  # int nanoseconds, or anything pandas reads as a moment *with* a zone
) -> int:  # nanoseconds since 1970-01-01 UTC
    "The moment as integer nanoseconds UTC; a time without a zone is refused rather than guessed."
    if isinstance(when, (int, np.integer)):
        return int(when)
    import pandas as pd

    try:
        moment = pd.Timestamp(when)
    except (ValueError, TypeError):
        raise InputError(
            "time", str(when), "must be a moment", "write it as 2025-03-10T09:30:00-05:00 or ...Z"
        ) from None
    if moment.tzinfo is None:
        raise InputError("time", str(when), "must carry a zone", "write it as 2025-03-10T09:30:00-05:00 or ...Z")
    return int(moment.as_unit("ns").value)


def to_timestamp(nanos: int) -> "pd.Timestamp":
    "The moment as a `pd.Timestamp` in UTC, for the edges of the system."
    import pandas as pd

    return pd.Timestamp(int(nanos), unit="ns", tz="UTC")


_TIMEFRAME_FORMS = re.compile(
    r"(?:(?P<n>\d+)\s*(?P<unit>s|sec|second|m|min|t|minute|h|hour)s?|(?P<unit2>[smh])(?P<n2>\d+))", re.I
)
_UNIT_SECONDS = {"s": 1, "m": 60, "t": 60, "h": 3600}


def _timeframe_seconds(spec: Any) -> int:
    "Seconds of any accepted spelling, or 0 when it is none."
    if isinstance(spec, bool):
        return 0
    if isinstance(spec, (int, np.integer)):
        return int(spec) * 60
    if not isinstance(spec, str):
        return 0
    if spec.isdigit():
        return int(spec) * 60
    if not (match := _TIMEFRAME_FORMS.fullmatch(spec.strip())):
        return 0
    number, unit = match["n"] or match["n2"], match["unit"] or match["unit2"]
    return int(number) * _UNIT_SECONDS[unit[0].lower()]


class Timeframe(str):
    """A bar length: `Timeframe(27)`, `Timeframe('27min')`, `Timeframe('m27')` and `Timeframe('1620s')` are the same
    string '27min'."""

    seconds: int

    def __new__(
        cls,
        spec: Any,  # minutes, or a text such as "27min", "m27", "90s", "1h"
    ) -> Self:
        if isinstance(spec, Timeframe):
            return cast(Self, spec)
        seconds = _timeframe_seconds(spec)
        if seconds <= 0:
            raise InputError(
                "timeframe",
                spec,
                "must be a positive whole number of seconds or minutes",
                "write 27, '27min', 'm27' or '30s'",
            )
        self = super().__new__(cls, f"{seconds // 60}min" if seconds % 60 == 0 else f"{seconds}s")
        self.seconds = seconds
        return self

    @property
    def nanos(self) -> int:
        "Length in nanoseconds."
        return self.seconds * SECOND

    def __reduce__(self) -> tuple[type["Timeframe"], tuple[str]]:
        return Timeframe, (str(self),)


class Bar(NamedTuple):
    "One OHLCV bar over `[start, end)`; prices in points, volume in contracts."

    symbol: str  # feed symbol: "ES.c.0"
    timeframe: str  # canonical `Timeframe`: "1min"
    start: int  # ns UTC, inclusive
    end: int  # ns UTC, exclusive: when the bar is known
    open: float  # points
    high: float
    low: float
    close: float
    volume: int  # contracts
    contract: str = ""  # dated contract behind the symbol: "ESZ5"
    complete: bool = True  # its period is over
    partial: bool = False  # the stream began inside it, so it may lack trades


_PRICES = ("open", "high", "low", "close")


@dataclass(slots=True, eq=False)
class Bars:
    "Many bars of one symbol and timeframe as columns, oldest first."

    symbol: str  # feed symbol
    timeframe: Timeframe
    start: np.ndarray  # int64[n], ns UTC
    end: np.ndarray  # int64[n], ns UTC
    open: np.ndarray  # float64[n], points
    high: np.ndarray  # float64[n]
    low: np.ndarray  # float64[n]
    close: np.ndarray  # float64[n]
    volume: np.ndarray  # int64[n], contracts
    contract: np.ndarray = cast(np.ndarray, None)  # int32[n], index into `contracts`
    contracts: tuple[str, ...] = ("",)  # dated contracts in order of first use
    partial: np.ndarray = cast(np.ndarray, None)  # bool[n]
    origin: str = ""  # GENERATED where no market made them; what is made of them says so

    def __post_init__(self) -> None:
        self.timeframe = Timeframe(self.timeframe)
        if self.contract is None:
            self.contract = np.zeros(len(self.start), np.int32)
        if self.partial is None:
            self.partial = np.zeros(len(self.start), bool)

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, rows: "slice | np.ndarray") -> "Bars":
        "The same bars, fewer of them; `rows` is a slice, a mask or an index array."
        columns = {name: getattr(self, name)[rows] for name in _COLUMNS}
        return Bars(self.symbol, self.timeframe, contracts=self.contracts, origin=self.origin, **columns)

    def __iter__(self) -> Iterator[Bar]:
        "One `Bar` at a time, with plain Python numbers."
        columns = [getattr(self, name).tolist() for name in ("start", "end", *_PRICES, "volume", "contract", "partial")]
        for start, end, open, high, low, close, volume, contract, partial in zip(*columns):
            yield Bar(
                self.symbol,
                self.timeframe,
                start,
                end,
                open,
                high,
                low,
                close,
                volume,
                self.contracts[contract],
                True,
                partial,
            )

    @classmethod
    def from_bars(cls, bars: "list[Bar]", symbol: str = "", timeframe: Any = "1min") -> "Bars":
        "Columns from a list of `Bar`; symbol and timeframe are the first bar's where there is one."
        if bars:
            symbol, timeframe = bars[0].symbol, bars[0].timeframe
        contracts = tuple(dict.fromkeys(bar.contract for bar in bars)) or ("",)
        code = {name: i for i, name in enumerate(contracts)}
        kinds = dict.fromkeys(("start", "end", "volume"), np.int64) | dict.fromkeys(_PRICES, np.float64)
        columns = {name: np.array([getattr(bar, name) for bar in bars], kind) for name, kind in kinds.items()}
        return cls(
            symbol,
            timeframe,
            contract=np.array([code[bar.contract] for bar in bars], np.int32),
            contracts=contracts,
            partial=np.array([bar.partial for bar in bars], bool),
            **columns,
        )

    def to_frame(self) -> "pd.DataFrame":
        "A `pd.DataFrame` indexed by bar start (UTC): open, high, low, close, volume, contract."
        import pandas as pd

        index = pd.DatetimeIndex(self.start.view("M8[ns]"), tz="UTC", name="start")
        prices = {name: getattr(self, name) for name in (*_PRICES, "volume")}
        return pd.DataFrame(prices | {"contract": np.array(self.contracts, object)[self.contract]}, index=index)


_COLUMNS = ("start", "end", *_PRICES, "volume", "contract", "partial")


ACTIONS = ("LONG_ENTRY", "LONG_EXIT", "SHORT_ENTRY", "SHORT_EXIT")


def signal_id(
    strategy: str,  # name in the config: "macd_cci_27min"
    config_hash: str,  # `content_hash` of the strategy's class and parameters
    contract: str,  # dated contract: "ESZ5"
    bar_end: int,  # ns UTC of the bar that decided
    action: str,  # one of `ACTIONS`
    leg: int = 0,  # 0 for the whole decision, 1.. for parts of it
) -> str:  # 32 hexadecimal digits
    "The identity of a decision; equal inputs give the equal id on every machine."
    text = f"{strategy}|{config_hash}|{contract}|{bar_end}|{action}|{leg}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def content_hash(content: Any) -> str:
    "Sixteen hexadecimal digits that identify JSON-like content, whatever its key order."
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


class Signal(NamedTuple):
    "A strategy's decision on one closed bar."

    id: str  # `signal_id`
    strategy: str  # name in the config
    symbol: str  # feed symbol
    contract: str  # dated contract the decision is about
    action: str  # one of `ACTIONS`
    bar_end: int  # ns UTC
    timeframe: str  # base timeframe the strategy decided on
    price: float  # reference: the deciding bar's close, points
    config_hash: str
    reason: str = "rule"  # rule, stop, target, trail, bars_held, end_of_session, roll
    quantity: int = 1  # contracts asked for
    leg: int = 0

    @property
    def is_entry(self) -> bool:
        return self.action.endswith("ENTRY")

    @property
    def is_long(self) -> bool:
        return self.action.startswith("LONG")


class Clock(Protocol):
    "Anything that tells the time as ns UTC."

    def now(self) -> int: ...


class WallClock:
    "The computer's clock."

    def now(self) -> int:
        return time.time_ns()


class DataClock:
    "Time as the data tells it: the latest moment it was advanced to."

    def __init__(self, start: int = 0):
        self._now = start

    def now(self) -> int:
        return self._now

    def advance(self, to: int) -> None:
        "Move forward to `to`; moving back is ignored, so late bars do not turn time round."
        if to > self._now:
            self._now = to


def did_you_mean(name: str, known: Iterable[str]) -> str:
    "A hint naming the closest known name, or the known ones when none is close."
    import difflib

    known = [str(k) for k in known]
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known))}"
