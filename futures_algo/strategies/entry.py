"""A config's entry is what runs: its parameters and indicators are found in the strategy's own plan, or refused by path
with both plans shown."""

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Any

from futures_algo.core.named import did_you_mean
from futures_algo.core.types import ConfigError, InputError, Timeframe
from futures_algo.indicators.base import INDICATORS, Indicator, indicator, snake_case

ROOT = "indicators_by_timeframe"
CONDITIONS = ("entry", "exit", "short_entry", "short_exit")
_SPEC = ("indicator", "parameters")


def plan_text(plan: Mapping[str, Any]) -> str:
    "A plan as a person reads it: 27min MACD(...), 6min CCI(...)."
    return ", ".join(f"{timeframe} {one!r}" for timeframe, found in plan.items() for one in found) or "none"


class Placed:
    "A config's entry laid over a strategy's plan: the parameters it means, the indicators it names, its mistakes."

    def __init__(
        self,
        kind: Any,  # a `BaseStrategy` class
        entry: Mapping[str, Any],  # with `parameters`, `indicators_by_timeframe`, `timeframes`
        base: Mapping[str, Any] = MappingProxyType({}),  # parameters the entry goes over
    ):
        self.kind, self.entry, self.base = kind, entry, dict(base)
        self.mistakes: list[ConfigError] = []
        self.parameters: dict[str, Any] = {}  # by the strategy's names
        self.indicators: dict[Timeframe, list[Indicator]] = {}  # those the entry names, as the strategy has them
        self._where: dict[str, str] = {}  # parameter -> path
        self._take_parameters()
        specs = list(self._specs())
        if (strategy := self.strategy()) is None or strategy._is_only_asked:
            self._take_names(specs)
            return
        self._plan = strategy.plan
        self._fed = _fed(kind, tuple(sorted({**self.base, **self.parameters}.items())))
        found = [(path, one, given) for path, timeframe, key, kind_name, given in specs
                 if (one := self._match(path, timeframe, key, kind_name, given))]  # fmt: skip
        for path, (timeframe, at), given in found:
            self._take_spec(path, timeframe, at, given)
        self._check_whole(found)

    # --- what is given

    def _refuse(self, subject: str, value: Any, rule: str, remedy: str, path: str) -> None:
        self.mistakes.append(ConfigError(subject, value, rule, remedy, path))

    def _take(self, name: str, value: Any, path: str) -> None:
        "One of the strategy's parameters."
        if name not in self.kind.params:
            subject = f"{self.kind.__name__} parameter"
            return self._refuse(subject, name, "is not one it has", did_you_mean(name, self.kind.params), path)
        try:
            value = self.kind.params[name].check(value, f"{self.kind.__name__} {name}")
        except InputError as error:
            return self._refuse(error.subject, error.value, error.rule, error.remedy, path)
        if name in self.parameters and self.parameters[name] != value:
            rule = f"must not contradict {self.parameters[name]!r} given elsewhere"
            return self._refuse(name, value, rule, f"give it once; the other is {self._where[name]}", path)
        self.parameters[name] = value
        self._where.setdefault(name, path)
        return None

    def _take_parameters(self) -> None:
        given = self.entry.get("parameters") or {}
        if not isinstance(given, Mapping):
            return self._refuse("parameters", given, "must be an object", 'write {"length": 35}', "parameters")
        for name, value in given.items():
            self._take(name, value, f"parameters.{name}")
        return None

    def _specs(self) -> Iterator[tuple[str, Timeframe, str, str, Mapping]]:
        "Path, timeframe, key, indicator and parameters of every well-formed indicator of the entry."
        for name, indicators in (self.entry.get(ROOT) or {}).items():
            try:
                timeframe = Timeframe(name)
            except InputError as error:
                self._refuse(error.subject, error.value, error.rule, error.remedy, f"{ROOT}.{name}")
                continue
            for key, spec in indicators.items():
                path = f"{ROOT}.{name}.{key}"
                if self._is_spec(spec, path):
                    yield path, timeframe, key, str(spec.get("indicator", key)), spec.get("parameters", {})

    def _is_spec(self, spec: Any, path: str) -> bool:
        if not isinstance(spec, Mapping):
            self._refuse("indicator", spec, "must be an object", 'write {"parameters": {"length": 35}}', path)
            return False
        if not isinstance(spec.get("parameters", {}), Mapping):
            place = f"{path}.parameters"
            self._refuse("parameters", spec["parameters"], "must be an object", 'write {"length": 35}', place)
            return False
        strangers = [name for name in spec if name not in _SPEC]
        for name in strangers:
            rule = "is not known beside an indicator"
            self._refuse("key", name, rule, did_you_mean(name, _SPEC), f"{path}.{name}")
        return not strangers

    def _take_names(self, specs: list) -> None:
        "Of a strategy without a plan of its own the entry is the plan."
        for path, _, _, _, given in specs:
            for name, value in given.items():
                if name in self.kind.params:
                    self._take(name, value, f"{path}.parameters.{name}")

    # --- the strategy's plan

    def strategy(self, **more: Any) -> Any:
        "The strategy with what was taken so far; None while it cannot be made."
        try:
            return self.kind("", {**self.base, **self.parameters, **more})
        except InputError as error:
            if not more and not self.mistakes:
                self.mistakes.append(self._placed(error))
            return None

    def _placed(self, error: InputError) -> ConfigError:
        "The same mistake with its place in the entry."
        name = error.subject.rpartition(" ")[2]
        path = self._where.get(name, f"parameters.{name}" if name in self.kind.params else "parameters")
        return ConfigError(error.subject, error.value, error.rule, error.remedy, error.path or path)

    def _match(self, path: str, timeframe: Timeframe, key: str, kind: str, given: Mapping) -> Any:
        "Where in the strategy's plan the entry's indicator stands."
        plan, wanted = self._plan, snake_case(kind)
        several = [
            (timeframe, at)
            for at, one in enumerate(plan.get(timeframe, ()))
            if snake_case(type(one).__name__) == wanted and (key == kind or one.name == key)
        ]
        if len(several) > 1:
            agree = lambda place: sum(getattr(plan[place[0]][place[1]], n, None) == v for n, v in given.items())
            several.sort(key=agree, reverse=True)
        if several:
            return several[0]
        try:
            indicator(kind)
        except InputError as error:
            self._refuse(error.subject, error.value, error.rule, did_you_mean(wanted, INDICATORS), path)
            return None
        rule = f"must be in the plan of {self.kind.__name__}, which is {plan_text(plan)}"
        shown = ", ".join(f"{t} {k}" for t, found in (self.entry.get(ROOT) or {}).items() for k in found)
        place = f"{ROOT}.{path.split('.')[1]}" if timeframe not in plan else path
        self._refuse("indicator", f"{timeframe} {key}", rule, f"the config's plan is {shown}; write it as it is", place)
        return None

    def _take_spec(self, path: str, timeframe: Timeframe, at: int, given: Mapping) -> None:
        "The parameters beside one indicator: its own by what feeds them, the rule's by their names."
        one = self._plan[timeframe][at]
        feeders = {name: self._feeders(timeframe, at, name) for name in one.params}
        taken: dict[str, str] = {}  # the strategy's parameter -> how it is called here
        for name, value in given.items():
            where = f"{path}.parameters.{name}"
            meant = next(iter(feeders[name]), name) if name in one.params else name
            if (other := taken.setdefault(meant, name)) != name:
                self._refuse(name, value, f"must not stand beside {other}, which is the same", "keep one", where)
            elif name in one.params:
                self._feed(one, name, value, feeders[name], where)
            elif any(name in several for several in feeders.values()):
                self._take(name, value, where)  # the strategy's own name for it: exit_length of an SMA
            elif self._belongs(name, one):
                self._take(name, value, where)
            else:
                known = [*one.params, *(p for p in self.kind.params if self._belongs(p, one))]
                rule = f"belongs neither to {type(one).__name__} nor to the rule beside it"
                self._refuse(f"{type(one).__name__} parameter", name, rule, did_you_mean(name, known), where)

    def _feeders(self, timeframe: Timeframe, at: int, name: str) -> list[str]:
        "The strategy's parameters that set this one of an indicator; the one of the same name first."
        return sorted(
            (own for own, fed in self._fed.items() if (timeframe, at, name) in fed), key=lambda own: own != name
        )

    def _belongs(self, name: str, one: Indicator) -> bool:
        "Whether a parameter of the rule may stand beside this indicator: where the rule compares the two."
        if name not in self.kind.params or name in self.kind.exit_params or self._fed[name]:
            return False
        compared = _compared(self.kind).get(name)
        return not compared or bool(compared & set(one.outputs))

    def _feed(self, one: Indicator, name: str, value: Any, feeders: list[str], path: str) -> None:
        "An indicator's own parameter: the strategy's that feeds it takes the value; a constant must be as it is."
        subject = f"{type(one).__name__} {name}"
        try:
            value = one.params[name].check(value, subject)
        except InputError as error:
            return self._refuse(error.subject, error.value, error.rule, error.remedy, path)
        if feeders:
            return self._take(feeders[0], value, path)
        if getattr(one, name) != value:
            rule = f"must be {getattr(one, name)!r}, which {self.kind.__name__} fixes: {one!r}"
            return self._refuse(subject, value, rule, "leave it away, or change the class", path)
        return None

    def _check_whole(self, found: list) -> None:
        "The strategy as a whole: it can be made, and its plan is the entry's."
        if self.mistakes or (strategy := self.strategy()) is None:
            return
        self._check_timeframes(strategy.timeframes)
        for path, (timeframe, at), given in found:
            one = strategy.plan[timeframe][at] if len(strategy.plan.get(timeframe, ())) > at else None
            if one is not None:
                self.indicators.setdefault(timeframe, []).append(one)
            wrong = {n: v for n, v in given.items() if one is not None and n in one.params and getattr(one, n) != v}
            if one is None or wrong:
                rule = f"must be as {self.kind.__name__} makes it: {plan_text(strategy.plan)}"
                self._refuse("indicator", wrong or str(timeframe), rule, "give the parameters that make it so", path)

    def _check_timeframes(self, used: list[Timeframe]) -> None:
        "The timeframes the entry lists are the strategy's."
        named = [("timeframes", Timeframe(one)) for one in self.entry.get("timeframes") or ()]
        named += [
            (f"{ROOT}.{one}" if found else ROOT, Timeframe(one)) for one, found in (self.entry.get(ROOT) or {}).items()
        ]
        for path, timeframe in named:
            if timeframe not in used:
                rule = f"must be one the strategy's indicators use; they are {', '.join(used)}"
                self._refuse("timeframe", str(timeframe), rule, did_you_mean(timeframe, used), path)
        listed = [timeframe for path, timeframe in named if path == "timeframes"]
        if missing := [one for one in used if listed and one not in listed and not self.mistakes]:
            rule = f"must list all the strategy uses, {', '.join(used)}"
            self._refuse("timeframes", list(map(str, listed)), rule, f"add {', '.join(missing)}", "timeframes")


def _others(param: Any, now: Any) -> Iterator[Any]:
    "Values a parameter may have beside the one it has."
    if isinstance(now, bool):
        yield not now
    elif isinstance(now, str):
        yield from (choice for choice in param.choices if choice != now)
    else:
        tried = [now * factor for factor in (1.5, 0.75, 2, 1.1)] if now else [2, 1, 0.5]
        tried += [now + 1, now - 1, *(limit for limit in (param.low, param.high) if limit is not None)]
        yield from (value for one in tried if (value := type(param.default)(one)) != now)


@lru_cache(256)
def _fed(kind: Any, given: tuple[tuple[str, Any], ...]) -> dict[str, frozenset[tuple[Timeframe, int, str]]]:
    "Which parameters of which indicators each of the strategy's parameters feeds, found by trying other values."
    base = kind("", dict(given))
    found: dict[str, frozenset[tuple[Timeframe, int, str]]] = {}
    for name, param in kind.params.items():
        found[name] = frozenset()
        for value in _others(param, getattr(base, name)):
            try:
                plan = kind("", {**dict(given), name: value}).plan
            except InputError:
                continue
            found[name] = frozenset(_differences(base.plan, plan))
            break
    return found


def _differences(base: Mapping, plan: Mapping) -> set[tuple[Timeframe, int, str]]:
    return {
        (timeframe, at, name)
        for timeframe, several in base.items()
        for at, (one, other) in enumerate(zip(several, plan.get(timeframe, ()), strict=False))
        for name in one.params
        if type(one) is type(other) and getattr(one, name) != getattr(other, name)
    }


@cache
def _compared(kind: Any) -> dict[str, set[str]]:
    "By parameter the values its rule compares it with, read from the conditions' source."
    found: dict[str, set[str]] = {}
    for condition in (getattr(kind, name) for name in CONDITIONS):
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(condition)))
        except (OSError, TypeError, SyntaxError):
            continue
        for node in (node for node in ast.walk(tree) if isinstance(node, ast.Compare)):
            names = [part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)]
            for own in names:
                found.setdefault(own, set()).update(names)
    return {name: values for name, values in found.items() if name in kind.params}
