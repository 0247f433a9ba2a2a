"""What every indicator is: a definition with checked parameters, a batch form and a live form of the same compiled
step."""

import inspect
import json
import math
import re
from base64 import b64decode, b64encode
from typing import Any, ClassVar, dataclass_transform

import numpy as np

from futures_algo.core.types import Bar, Bars, DataError, InputError, did_you_mean
from futures_algo.indicators.kernel import (
    LARGEST_PRICE,
    Step,
    bank_row,
    bank_runner,
    batch_loop,
    fingerprint,
    first_bad_price,
    update_function,
)


class Parameter:
    "A typed parameter: default, range, unit."

    def __init__(
        self,
        default: "int | float | bool | str",  # its type is the parameter's type
        low: float | None = None,  # smallest value allowed
        high: float | None = None,  # largest value allowed
        unit: str = "",  # "bars", "points", "minutes"
        choices: tuple[str, ...] = (),  # the texts allowed, for a text
    ):
        self.default, self.low, self.high, self.unit, self.choices = default, low, high, unit, choices

    def check(self, value: Any, subject: str) -> "int | float | bool | str":
        "The value in the parameter's own type, or `InputError`."
        kind = type(self.default)
        if kind is str:
            return self._check_choice(value, subject)
        if kind is bool:
            return self._check_bool(value, subject)
        number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or (kind is int and value != int(value)):
            raise InputError(
                subject,
                value,
                "must be a whole number" if kind is int else "must be a finite number",
                f"the default is {self.default}",
            )
        if self.low is not None and value < self.low:
            raise InputError(subject, value, f"must be at least {self.low}", f"the default is {self.default}")
        if self.high is not None and value > self.high:
            raise InputError(subject, value, f"must be at most {self.high}", f"the default is {self.default}")
        return kind(value)

    def _check_choice(self, value: Any, subject: str) -> str:
        if value in self.choices:
            return value
        raise InputError(
            subject, value, f"must be one of {', '.join(self.choices)}", did_you_mean(str(value), self.choices)
        )

    def _check_bool(self, value: Any, subject: str) -> bool:
        if isinstance(value, (bool, np.bool_)):
            return bool(value)
        raise InputError(subject, value, "must be true or false", f"the default is {self.default}")

    def number(self, value: Any) -> float:
        "The value as a step sees it: a choice is its index."
        return float(self.choices.index(value) if self.choices else value)

    def __repr__(self) -> str:
        return f"Param({self.default!r}, low={self.low}, high={self.high}, unit={self.unit!r})"


INDICATORS: dict[str, type["Indicator"]] = {}  # snake-case name -> class, for configs: "bollinger_bands"


def snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def Param(
    default: "int | float | bool | str",  # its type is the parameter's type
    low: float | None = None,  # smallest value allowed
    high: float | None = None,  # largest value allowed
    unit: str = "",  # "bars", "points", "minutes"
    choices: tuple[str, ...] = (),  # the texts allowed, for a text
) -> Any:  # a `Parameter`, which the class turns into the value's own type: `length: int = Param(20)`
    "Declare a parameter of an indicator or a strategy."
    return Parameter(default, low, high, unit, choices)


@dataclass_transform(field_specifiers=(Param,))
class Indicator:
    "Base of all indicators: subclass it with `Param`s, `outputs`, `state` and a `step`."

    outputs: ClassVar[tuple[str, ...]] = ()  # names of what the step writes, in order
    inputs: ClassVar[tuple[str, ...]] = ("close",)  # price columns it reads
    prefix: ClassVar[str] = ""  # what `name=` replaces in the outputs; the class's own name in snake case when empty
    overlay: ClassVar[bool] = False  # drawn over the price
    memory: ClassVar[str] = "window"  # window | recursive | session | stream: how far back a value depends on bars
    anchored: ClassVar[bool] = False  # sees sessions: `bar.session`, `bar.since_open`
    formula: ClassVar[str] = ""  # in words or symbols
    source: ClassVar[str] = ""  # where the formula is from
    equals: ClassVar[str] = ""  # platforms it equals, and how far others are
    params: ClassVar[dict[str, Parameter]] = {}
    name: ClassVar[str | None] = None  # replaces the prefix of its outputs; each has its own
    first_valid: int = 0  # index of the first bar with a value

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls.params = cls.params | {name: value for name, value in vars(cls).items() if isinstance(value, Parameter)}
        keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD
        fields = [
            inspect.Parameter(name, keyword, default=param.default, annotation=type(param.default))
            for name, param in cls.params.items()
        ]
        cls.__signature__ = inspect.Signature(
            [*fields, inspect.Parameter("name", inspect.Parameter.KEYWORD_ONLY, default=None, annotation="str | None")]
        )
        cls.prefix = vars(cls).get("prefix") or snake_case(cls.__name__)
        if "step" in vars(cls):
            INDICATORS[snake_case(cls.__name__)] = cls

    def __init__(self, *args, name: str | None = None, **kwargs):
        "Parameters in the order they are declared or by name; `name` renames the outputs."
        given = self._bind(args, kwargs)
        set_ = lambda attribute, value: object.__setattr__(self, attribute, value)
        for key, param in self.params.items():
            set_(key, param.check(given.get(key, param.default), f"{type(self).__name__} {key}"))
        set_("name", name)
        set_(
            "outputs",
            (
                type(self).outputs
                if name is None
                else tuple(_renamed(output, self.prefix, name) for output in type(self).outputs)
            ),
        )
        self.check()

    def _bind(self, args: tuple, kwargs: dict) -> dict[str, Any]:
        "Arguments by parameter name, or an `InputError` that names the closest parameter."
        if len(args) > len(self.params):
            raise InputError(
                f"{type(self).__name__} arguments",
                args,
                f"must be at most {len(self.params)}",
                f"they are {', '.join(self.params) or 'none'}",
            )
        given = dict(zip(self.params, args))
        for key, value in kwargs.items():
            if key not in self.params:
                raise InputError(
                    f"{type(self).__name__} parameter", key, "is not one it has", did_you_mean(key, self.params)
                )
            if key in given:
                raise InputError(
                    f"{type(self).__name__} {key}",
                    value,
                    "must be given once",
                    f"it was already given as {given[key]!r}",
                )
            given[key] = value
        return given

    def check(self) -> None:
        "Rules between parameters; raise `InputError`."

    def state(self) -> tuple[int, int]:
        "How many integers and how many floats of state the step needs."
        return 0, 0

    @staticmethod
    def step(bar, p, i, f, out):
        "One bar; compiled by numba. See `indicator_kernel` for what it is given."
        raise NotImplementedError

    @property
    def converge(self) -> int | None:
        """Bars after which a value equals, bit for bit, the one from any longer history; None where it never does, by
        definition."""
        return None if self.memory == "stream" else self.first_valid

    @property
    def values(self) -> dict[str, Any]:
        "Parameters by name."
        return {key: getattr(self, key) for key in self.params}

    def __fingerprint__(self) -> dict[str, Any]:
        "What tells it from another of its class, for `config.fingerprint`."
        return self.values | {"outputs": self.outputs}

    def _parameters(self) -> tuple[float, ...]:
        return tuple(param.number(getattr(self, key)) for key, param in self.params.items())

    def _step(self) -> Step:
        return Step(type(self).step, tuple(self.params), len(self.outputs), type(self).__name__)

    def _blank(self, extra: int = 0) -> tuple[np.ndarray, np.ndarray]:
        integers, floats = self.state()
        return np.zeros(integers + extra, np.int64), np.zeros(floats, np.float64)

    def batch(
        self,
        bars: Bars,  # oldest first
        # `session_columns(bars)` when at hand; only anchored indicators look
        sessions: "tuple[np.ndarray, np.ndarray] | None" = None,
    ) -> dict[str, np.ndarray]:  # float64[n] by output name
        "The values at every bar."
        refuse_bad_prices(bars)
        out = np.empty((len(self.outputs), len(bars)))
        if not self.anchored:
            sessions = (bars.start, bars.start)
        elif sessions is None:
            sessions = self.session_columns(bars)
        loop = batch_loop(self._step())
        loop(
            bars.start,
            bars.end,
            bars.open,
            bars.high,
            bars.low,
            bars.close,
            bars.volume,
            *sessions,
            self._parameters(),
            *self._blank(),
            np.empty(len(out)),
            out,
        )
        return dict(zip(self.outputs, out))

    def session_columns(self, bars: Bars, calendar: Any = None) -> tuple[np.ndarray, np.ndarray]:
        "The session and the time since its open of every bar."
        from futures_algo.indicators.anchors import session_columns

        return session_columns(bars, getattr(self, "hours", "session"), calendar)

    def session_locator(self, calendar: Any = None) -> Any:
        "The same, bar by bar."
        from futures_algo.indicators.anchors import SessionLocator

        return SessionLocator(getattr(self, "hours", "session"), calendar)

    def live(
        self,
        calendar: Any = None,  # a `SessionCalendar`; the bars' own symbol's when omitted; only anchored indicators look
        *,
        out: np.ndarray | None = None,  # float64 to write the outputs to; an array of its own when omitted
    ) -> "LiveIndicator":
        "State to step through bars."
        return LiveIndicator(self, calendar, out)

    def plot(
        self,
        bars: Bars,
        last: int = 200,  # bars shown
    ):  # a matplotlib Figure
        "A picture of it."
        from futures_algo.indicators.plots import plot_indicators

        return plot_indicators([self], bars, last)

    def __setattr__(self, name, value):
        raise AttributeError(f"{type(self).__name__} is a definition and does not change; make another one")

    def __repr__(self) -> str:
        fields = [f"{key}={value!r}" for key, value in self.values.items()]
        if self.name:
            fields.append(f"name={self.name!r}")
        return f"{type(self).__name__}({', '.join(fields)})"

    def __eq__(self, other) -> bool:
        return type(self) is type(other) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))


def _renamed(output: str, prefix: str, name: str) -> str:
    "`macd_signal` of MACD(name='slow') is `slow_signal`."
    if output == prefix:
        return name
    return name + output.removeprefix(prefix) if output.startswith(prefix + "_") else f"{name}_{output}"


def refuse_bad_prices(bars: Bars) -> None:
    "Raise `DataError` at the first price that is NaN, infinite or beyond `LARGEST_PRICE`."
    for name in ("open", "high", "low", "close"):
        if (row := first_bad_price(getattr(bars, name))) >= 0:
            raise _bad_price(name, getattr(bars, name)[row], f"{bars.symbol} {bars.timeframe} row {row}")


def refuse_bad_bar(bar: Bar) -> None:
    "Raise `DataError` at the bar's first such price."
    for name in ("open", "high", "low", "close"):
        if not abs(price := getattr(bar, name)) < LARGEST_PRICE:
            raise _bad_price(name, price, f"{bar.symbol} {bar.timeframe} bar ending {bar.end}")


def _bad_price(name: str, value: float, path: str) -> DataError:
    return DataError(
        f"{name} price",
        float(value),
        f"must be finite and below {LARGEST_PRICE:,.0f} points",
        "drop or repair the bar: validate_bars() lists such rows",
        path,
    )


class LiveIndicator:
    "An indicator's state: step it through bars, save it, restore it."

    __slots__ = ("definition", "table", "out", "_locate", "_run", "_p", "_i", "_f")

    def __init__(
        self,
        definition: Indicator,
        calendar: Any = None,
        out: np.ndarray | None = None,
    ):
        self.definition = definition
        self.out = np.empty(len(definition.outputs)) if out is None else out
        self.out[:] = np.nan
        self._locate = definition.session_locator(calendar) if definition.anchored else nowhere
        self._p, (self._i, self._f) = np.array(definition._parameters(), np.float64), definition._blank(extra=1)
        self.table = bank_row(update_function(definition._step()), self._p, self._i, self._f, self.out)
        self._run = bank_runner()

    def step(self, bar: Bar) -> tuple[float, ...]:
        "The outputs after this closed bar; NaN before the first value."
        if not self._run(self.table, *bar[2:9], *self._locate(bar)):
            refuse_bad_bar(bar)
        return tuple(self.out.tolist())

    @property
    def seen(self) -> int:
        "Bars stepped through."
        return int(self._i[-1])

    @property
    def values(self) -> dict[str, float]:
        "The latest outputs by name."
        return dict(zip(self.definition.outputs, self.out.tolist()))

    @property
    def ready(self) -> bool:
        "Every output has a value."
        return bool(np.isfinite(self.out).all())

    @property
    def converged(self) -> bool:
        "The start of the stream no longer shows in the values."
        return self.ready and self.definition.converge is not None and self.seen > self.definition.converge

    def save(self) -> bytes:
        "The whole state."
        pack = lambda array: b64encode(array.tobytes()).decode()
        return json.dumps(
            dict(
                indicator=repr(self.definition),
                code=fingerprint(type(self.definition).step),
                i=pack(self._i),
                f=pack(self._f),
                out=pack(self.out),
            )
        ).encode()

    def restore(self, saved: bytes) -> "LiveIndicator":
        """Continue where `save` was called; a state of another definition, or of an older version of its code, is
        refused."""
        state = json.loads(saved)
        if state["indicator"] != repr(self.definition):
            raise InputError(
                "saved indicator",
                state["indicator"],
                f"must be {self.definition!r}",
                "restore it into the definition it was saved from",
            )
        if state["code"] != fingerprint(type(self.definition).step):
            raise InputError(
                "saved indicator",
                state["indicator"],
                "must be of the same version of its step",
                "warm it up from history instead",
            )
        for target, key in ((self._i, "i"), (self._f, "f"), (self.out, "out")):
            target[:] = np.frombuffer(b64decode(state[key]), target.dtype)
        return self


def nowhere(bar: Bar) -> tuple[int, int]:
    "Session columns of an indicator that does not look at sessions."
    return 0, 0


def indicator(
    name: str,  # "macd", "bollinger_bands"; classes made in a notebook are known too
    /,
    **parameters,  # as the class takes them
) -> Indicator:
    "The indicator of that name, as configs spell it."
    if (key := snake_case(name)) not in INDICATORS:
        raise InputError("indicator", name, "must be a known one", did_you_mean(key, INDICATORS))
    return INDICATORS[key](**parameters)
