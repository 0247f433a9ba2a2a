"""What a strategy sees: prices and indicator values, numbers live and columns in research, under the same names."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import count
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from futures_algo.core.named import did_you_mean
from futures_algo.core.types import Bar, Bars, InputError, Timeframe

FIELDS = ("open", "high", "low", "close", "volume", "time")


class Known(NamedTuple):
    "Values by name, those of each timeframe, and those of one bar before."

    values: Mapping[str, Any]
    frames: "Mapping[Any, Known]" = MappingProxyType({})
    prev: "Known | None" = None

    def as_dict(self) -> dict[str, Any]:
        "Plain numbers, None where a value is not there yet."
        plain = {name: None if value != value else float(value) for name, value in self.values.items()}
        return {
            "values": plain,
            "frames": {t: known.as_dict() for t, known in self.frames.items()},
            "prev": self.prev and self.prev.as_dict(),
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> "Known":
        "Back from `as_dict`."
        values = {name: np.float64(np.nan if value is None else value) for name, value in saved["values"].items()}
        frames = {Timeframe(t): cls.from_dict(known) for t, known in saved["frames"].items()}
        return cls(values, frames, saved["prev"] and cls.from_dict(saved["prev"]))


def prices(bar: Bar) -> dict[str, np.float64]:
    "A bar's fields as scalars."
    return {
        name: np.float64(value)
        for name, value in zip(FIELDS, (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.end / 1e9))
    }


def nothing(names: "list[str] | tuple[str, ...]") -> Known:
    "The values before the first bar."
    return Known(dict.fromkeys((*FIELDS, *names), np.float64(np.nan)))


class Columns(Mapping):
    "Columns by name, each made once, when first read."

    def __init__(self, makers: Mapping[str, Callable[[], np.ndarray]]):
        self._makers = makers
        self._made: dict[str, np.ndarray] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]


def field_column(bars: Bars, name: str) -> np.ndarray:
    "One of `FIELDS` as float64."
    return bars.end / 1e9 if name == "time" else getattr(bars, name).astype(np.float64)


def one_back(column: np.ndarray) -> np.ndarray:
    "The column one row later; the first row has no value."
    return np.concatenate((np.full(min(1, len(column)), np.nan), column[:-1]))


def earlier(known: Known) -> Known:
    "What was known one row before."
    values = Columns(
        {name: partial(lambda source, name: one_back(source[name]), known.values, name) for name in known.values}
    )
    return Known(values, {timeframe: earlier(frame) for timeframe, frame in known.frames.items()})


class Values:
    "What is known at one base bar, or at all of them, by attribute; keeps note of what was read."

    __slots__ = ("_known", "_reads")

    def __init__(self, known: Known, reads: list | None = None):
        self._known, self._reads = known, [] if reads is None else reads

    def __getattr__(self, name: str) -> Any:
        if name[0] == "_":
            raise AttributeError(name)
        try:
            value = self._known.values[name]
        except KeyError:
            raise self._unknown(name) from None
        self._reads.append(value)
        return value

    def _unknown(self, name: str) -> InputError:
        return InputError(
            "value",
            name,
            "must be an output of the strategy's indicators or one of its bar",
            did_you_mean(name, self._known.values),
        )

    def __getitem__(self, timeframe: "str | int") -> "Values":
        "The last closed bar of a timeframe, with its indicators."
        if (wanted := Timeframe(timeframe)) in self._known.frames:
            return Values(self._known.frames[wanted], self._reads)
        raise InputError(
            "timeframe",
            str(timeframe),
            "must be one the strategy's indicators use",
            f"they are {', '.join(self._known.frames) or 'the base only here'}",
        )

    @property
    def prev(self) -> "Values":
        "One bar before."
        if self._known.prev is not None:
            return Values(self._known.prev, self._reads)
        raise InputError(
            "value",
            "prev.prev",
            "must not look back more than one bar",
            "use an indicator for more, such as RateOfChange or Donchian",
        )

    def names(self) -> list[str]:
        return list(self._known.values)

    def __dir__(self) -> list[str]:
        return [*self.names(), "prev", "names"]


def all_there(reads: list) -> Any:
    "Whether every value read is there: bool for scalars, bool[n] for columns."
    if reads and isinstance(reads[0], np.ndarray):
        return np.logical_and.reduce([column == column for column in {id(column): column for column in reads}.values()])
    for (
        value
    ) in reads:  # numbers, on every bar of a live session: a loop takes a third of what `all` and a generator do
        if value != value:
            return np.False_
    return np.True_  # which joins a comparison of numpy's thirty times faster than Python's own


_SEVERAL = ((1.0, 1), (1.0, -1), (-1.0, 1), (-1.0, -1), (1.0, 0))  # sign of what stands for missing values, their order


class _Guessed(Mapping):
    "Values of some rows in which something far off stands for what is missing."

    def __init__(self, values: Mapping[str, Any], rows: np.ndarray | None, sign: float, order: int, number: Iterator):
        self._values, self._rows, self._sign, self._order, self._number = values, rows, sign, order, number
        self._made: dict[str, Any] = {}  # a name read twice is the same value twice

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            value = self._values[name] if self._rows is None else self._values[name][self._rows]
            far = self._sign * 1e100 * 2.0 ** (self._order * next(self._number))
            self._made[name] = np.where(value == value, value, far)[()]
        return self._made[name]


def guesses(known: Known, rows: np.ndarray | None) -> Iterator[Known]:
    "The same values, with far-off ones in place of the missing: all high or all low, in rising, falling or no order."
    for sign, order in _SEVERAL:
        number = count(1)
        make = lambda values, sign=sign, order=order, number=number: _Guessed(values, rows, sign, order, number)
        yield _each(known, make)


def _each(known: Known, make: Callable[[Mapping], Mapping]) -> Known:
    frames = {timeframe: _each(frame, make) for timeframe, frame in known.frames.items()}
    return Known(make(known.values), frames, known.prev and _each(known.prev, make))
