"""The base of all strategies: typed parameters, indicators by timeframe, four conditions and declared exits."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from futures_algo.core.contracts import product
from futures_algo.core.types import ConfigError, InputError, Timeframe, content_hash, did_you_mean
from futures_algo.indicators.base import Indicator, Param, Parameter
from futures_algo.indicators.calculator import indicators_by_timeframe
from futures_algo.strategies.position import ExitRules
from futures_algo.strategies.values import FIELDS, Known, Values, all_there


def _declared(cls: type, inherited: Mapping[str, Parameter]) -> dict[str, Parameter]:
    "The parameters a class body declares, new ones and new defaults for inherited ones."
    body, found = vars(cls), {}
    for name, kind in body.get("__annotations__", {}).items():
        if name.startswith("_") or "ClassVar" in str(kind):
            continue
        found[name] = _parameter(f"{cls.__name__} {name}", kind, body.get(name), inherited.get(name))
    changed = {
        name: _parameter(f"{cls.__name__} {name}", "", body[name], param)
        for name, param in inherited.items()
        if name in body and name not in found
    }
    return found | changed


def _parameter(subject: str, kind: Any, value: Any, inherited: Parameter | None) -> Parameter:
    if isinstance(value, Parameter):
        return value
    if inherited:
        return Parameter(
            inherited.check(value, subject), inherited.low, inherited.high, inherited.unit, inherited.choices
        )
    if isinstance(value, (int, float)):
        return Parameter(float(value) if kind in (float, "float") else value)
    raise InputError(
        subject,
        value,
        "must have a number, True or False as its default",
        "for a text write Param('fast', choices=('fast', 'slow'))",
    )


def flat_parameters(
    config: Mapping[str, Any],  # parameters, or a config entry with `parameters` and `indicators_by_timeframe`
) -> dict[str, Any]:
    "All parameters of either shape by name; two values for one name are refused."
    if "parameters" not in config and "indicators_by_timeframe" not in config:
        return dict(config)
    found = dict(config.get("parameters", {}))
    for timeframe, indicators in config.get("indicators_by_timeframe", {}).items():
        for key, spec in indicators.items():
            for name, value in spec.get("parameters", {}).items():
                if found.setdefault(name, value) == value:
                    continue
                raise ConfigError(
                    name,
                    value,
                    f"must not contradict {found[name]!r} given elsewhere",
                    "give it once",
                    f"indicators_by_timeframe.{timeframe}.{key}.parameters.{name}",
                )
    return found


CONDITIONS = ("entry", "exit", "short_entry", "short_exit")
POSITIONS = ("FLAT", "LONG", "SHORT")


class BaseStrategy:
    "Base of all strategies: declare parameters, say which indicators, and when to enter and to leave."

    bars_held: int = Param(0, low=0, high=100_000, unit="bars")  # leave after this many base bars; 0 never
    stop_ticks: float = Param(0.0, low=0, high=100_000, unit="ticks")  # from the entry; 0 none
    target_ticks: float = Param(0.0, low=0, high=100_000, unit="ticks")
    trail_ticks: float = Param(0.0, low=0, high=100_000, unit="ticks")  # from the best price
    trail_atr: float = Param(
        0.0, low=0, high=100, unit="ATR"
    )  # the same in ATR; needs an indicator with the output `atr`
    exit_before_close: int = Param(
        -1, low=-1, high=1440, unit="minutes"
    )  # leave so long before the session's close; -1 never
    params: ClassVar[dict[str, Parameter]] = {}
    _identity: ClassVar[str] = ""  # the pinned name of a shipped class, its own alone
    exit_params: ClassVar[tuple[str, ...]] = (
        "bars_held",
        "stop_ticks",
        "target_ticks",
        "trail_ticks",
        "trail_atr",
        "exit_before_close",
    )

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        inherited = {
            name: param for base in reversed(cls.__mro__[1:]) for name, param in vars(base).get("params", {}).items()
        }
        cls.params = inherited | _declared(cls, inherited)

    def __init__(
        self,
        symbol: str = "",  # feed symbol, for a strategy asked through `check_conditions`
        config: Mapping[str, Any] | None = None,  # parameters, flat or as a config entry has them
        **parameters,  # parameters by name; they go over the config's
    ):
        if not isinstance(symbol, str):
            raise InputError(
                f"{type(self).__name__} symbol",
                symbol,
                "must be one feed symbol as text",
                "write 'ES.c.0', one a strategy",
            )
        self.symbol, self._side = symbol, "FLAT"
        self._seen: Known | None = None
        self._set(
            {**flat_parameters(config or {}), **parameters},
            {name: param.default for name, param in self.params.items()},
        )

    @classmethod
    def from_config(
        cls,
        name: str,  # its name in the config, for messages
        entry: Any,  # `StrategyConfig` or the same as a mapping
        symbol: str = "",
    ) -> "BaseStrategy":
        "The strategy with a config entry's parameters; a mistake is named with its path."
        given = (
            entry.all_parameters() if hasattr(entry, "all_parameters") else flat_parameters({"parameters": {}, **entry})
        )
        try:
            return cls(symbol, given)
        except InputError as error:
            raise ConfigError(
                error.subject, error.value, error.rule, error.remedy, f"strategies.{name}.parameters"
            ) from None

    def _set(self, given: Mapping[str, Any], start: Mapping[str, Any]) -> None:
        "Check everything, then change everything."
        kind = type(self).__name__
        for name in given:
            if name not in self.params:
                raise InputError(f"{kind} parameter", name, "is not one it has", did_you_mean(name, self.params))
        checked = {
            name: param.check(given.get(name, start[name]), f"{kind} {name}") for name, param in self.params.items()
        }
        before = dict(vars(self))
        vars(self).update(checked)
        try:
            self._plan()
        except InputError:
            vars(self).clear()
            vars(self).update(before)
            raise

    def _plan(self) -> None:
        "The indicators these parameters need."
        self.check()
        self.plan = indicators_by_timeframe({} if self._is_only_asked else self.indicators())
        if self._is_only_asked:
            return
        if not self.plan:
            raise InputError(
                f"{type(self).__name__} indicators()",
                {},
                "must name at least one timeframe",
                'return {"5min": []} for its bars alone',
            )
        _refuse_shared_names(self.plan)
        if self.trail_atr and "atr" not in self.outputs:
            raise InputError(
                f"{type(self).__name__} trail_atr",
                self.trail_atr,
                "needs an indicator with the output 'atr'",
                "add ATR() to indicators()",
            )

    # --- what a strategy defines

    def indicators(self) -> "dict[str, Indicator | list[Indicator]]":
        "Indicators by timeframe; an empty list asks for the timeframe's bars alone."
        raise InputError(
            f"{type(self).__name__} indicators()",
            None,
            "must be defined",
            'def indicators(self): return {"5min": CCI(20)}, or {"5min": []} for its bars alone',
        )

    def entry(self, x: Values):
        "Buy?"

    def exit(self, x: Values):
        "Leave a long position?"

    def short_entry(self, x: Values):
        "Sell short?"

    def short_exit(self, x: Values):
        "Leave a short position?"

    def check(self) -> None:
        "Rules between parameters; raise `InputError`."

    # --- what it is

    @property
    def timeframes(self) -> list[Timeframe]:
        "Timeframes used, finest first; the first is the base, on whose bars decisions are made."
        return sorted(self.plan, key=lambda timeframe: timeframe.seconds)

    @property
    def base_timeframe(self) -> Timeframe:
        if self._is_only_asked:
            BaseStrategy.indicators(self)  # raises: it can be asked, but not swept, tested or run
        return self.timeframes[0]

    @property
    def _is_only_asked(self) -> bool:
        "Whether the class defines `check_conditions` and no indicators."
        return (
            type(self).indicators is BaseStrategy.indicators
            and type(self).check_conditions is not BaseStrategy.check_conditions
        )

    @property
    def outputs(self) -> dict[str, Timeframe]:
        "The timeframe of every indicator output."
        return {output: timeframe for timeframe, found in self.plan.items() for one in found for output in one.outputs}

    def parameters(self) -> dict[str, Any]:
        "All parameters, declared exits included."
        return {name: getattr(self, name) for name in self.params}

    @property
    def class_path(self) -> str:
        "Module and name of the class."
        return f"{type(self).__module__}.{type(self).__qualname__}"

    def __fingerprint__(self) -> dict[str, Any]:
        "What tells it from another of its class, for `config.fingerprint`."
        return self.parameters()

    def config_hash(self) -> str:
        "Identity of class and parameters; part of every signal's id."
        return content_hash({"class": self.identity(), "parameters": self.parameters()})

    @classmethod
    def identity(cls) -> str:
        """What signal ids know the class by: its own `_identity` where one is pinned, else module and name; a subclass
        has its own."""
        return vars(cls).get("_identity") or f"{cls.__module__}.{cls.__qualname__}"

    def exit_rules(self, symbol: str) -> ExitRules:
        "The declared exits in points of the symbol."
        return ExitRules.of(
            **{name: getattr(self, name) for name in self.exit_params},
            tick_size=product(symbol).tick_size,
            timeframe=self.base_timeframe,
        )

    def conditions(self, x: Values, there: Callable[[list], Any] = all_there) -> dict[str, Any]:
        "The four decisions on these values; False where one is not defined or read a value that is not there yet."
        return {name: self._ask(name, Values(x._known), there) for name in CONDITIONS}

    def _ask(self, name: str, x: Values, there: Callable[[list], Any]) -> Any:
        if getattr(type(self), name) is getattr(BaseStrategy, name):
            return False
        try:
            answer = getattr(self, name)(x)
        except (ValueError, TypeError) as error:
            raise _explained(error, f"{type(self).__name__}.{name}") from error
        if answer is None:
            return False
        if not isinstance(answer, (bool, np.bool_)) and (answer := np.asarray(answer)).dtype != bool:
            raise InputError(
                f"{type(self).__name__}.{name}",
                answer.dtype.name,
                "must be made of comparisons",
                "write x.cci > 0 rather than x.cci",
            )
        return answer & there(x._reads)

    # --- the seeds' interface: one strategy asked bar by bar, told its position

    def check_conditions(
        self,
        indicators: Mapping[str, Any],  # values by name: the base bar's prices and every indicator output
    ) -> str | None:  # one of core.ACTIONS
        """The action these values ask for, given the position set with `set_position`. Declared exits are
        `StrategyRunner`'s."""
        known = Known(
            {name: np.float64(value) for name, value in indicators.items()},
            prev=self._seen or Known(dict.fromkeys(indicators, np.float64(np.nan))),
        )
        self._seen = known._replace(prev=None)
        decide = self.conditions(Values(known))
        if self._side == "LONG":
            return "LONG_EXIT" if decide["exit"] else None
        if self._side == "SHORT":
            return "SHORT_EXIT" if decide["short_exit"] else None
        if decide["entry"]:
            return "LONG_ENTRY"
        return "SHORT_ENTRY" if decide["short_entry"] else None

    def update_parameters(self, new_config: Mapping[str, Any]) -> None:
        "Change parameters; all are checked before any is changed."
        self._set(flat_parameters(new_config), self.parameters())

    def get_position(self) -> str:
        return self._side

    def set_position(self, side: str) -> None:
        "Tell the strategy its position: FLAT, LONG or SHORT."
        if side not in POSITIONS:
            raise InputError("position", side, "must be FLAT, LONG or SHORT", did_you_mean(str(side), POSITIONS))
        self._side = side

    def get_metadata(self) -> dict[str, Any]:
        "Class, description, timeframes, parameters and their hash."
        return {
            "class": type(self).__name__,
            "description": (type(self).__doc__ or "").strip(),
            "symbol": self.symbol,
            "timeframes": list(map(str, self.timeframes)),
            "parameters": self.parameters(),
            "config_hash": self.config_hash(),
        }

    def __repr__(self) -> str:
        changed = {name: value for name, value in self.parameters().items() if value != self.params[name].default}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in changed.items())})"


BaseStrategy.params = _declared(BaseStrategy, {})


def _explained(error: Exception, where: str) -> Exception:
    "The same error, or what it means to whoever wrote the condition."
    if isinstance(error, InputError):
        return error
    if "truth value" in str(error):
        return InputError(
            where,
            "and, or, not, if",
            "must not be used on values, which are columns in research",
            "write (a > b) & (c < d), | and ~; np.where instead of if",
        )
    if "converted to Python scalar" in str(error) or "cannot convert the series" in str(error):
        return InputError(
            where,
            "math or float()",
            "must not be used on values, which are columns in research",
            "use numpy's functions: np.log, np.abs, np.maximum",
        )
    return error


def _refuse_shared_names(plan: Mapping[Timeframe, tuple[Indicator, ...]]) -> None:
    taken: dict[str, Any] = dict.fromkeys(FIELDS, "the bar")
    for timeframe, found in plan.items():
        for output in (o for one in found for o in one.outputs):
            if output in taken:
                raise InputError(
                    "output",
                    output,
                    f"must be unique, and {timeframe} and {taken[output]} both have it",
                    "give one of the indicators name='...'",
                )
            taken[output] = timeframe
