"Faults by script and by seed: which strike a request, with what settings, how often."

import itertools
import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from futures_algo.chaos.catalogue import CATALOGUE, Kind
from futures_algo.chaos.records import Request


@dataclass(eq=False)
class Rule:
    "One scripted or drawn fault: `used` of `times` strikes, after letting `skip` matching requests pass."

    number: int
    name: str
    kind: Kind
    path: str | None  # endpoint name (PlaceOrder) or a pattern searched in the decoded path
    method: str | None
    times: int | None  # None is for ever
    skip: int
    only: Callable[[Request], bool] | None
    settings: dict[str, Any]
    used: int = 0
    passed: int = 0
    drawn: bool = False

    def matches(self, request: Request) -> bool:
        if self.times is not None and self.used >= self.times:
            return False
        if self.method and request.method != self.method.upper():
            return False
        if not (self._path_matches(request) and (self.only is None or self.only(request))):
            return False
        self.passed += 1
        return self.passed > self.skip

    def _path_matches(self, request: Request) -> bool:
        if self.path is None:
            return self.kind.rpcs is None or request.rpc in self.kind.rpcs
        return self.path == request.rpc or re.search(self.path, request.path) is not None


class Hits:
    "The rules reserved for one request; one that finds nothing to strike gives its turn back."

    def __init__(self, rules: list[Rule], struck: Callable[[Rule, dict[str, Any]], None]) -> None:
        self._open = rules
        self._struck = struck

    def take(self, name: str, **data: Any) -> dict[str, Any] | None:
        "The settings if `name` strikes now (logged with `data`), else None."
        rule = next((rule for rule in self._open if rule.name == name), None)
        return None if rule is None else self.strike(rule, **data)

    def strike(self, rule: Rule, **data: Any) -> dict[str, Any]:
        self._open.remove(rule)
        self._struck(rule, data)
        return rule.settings

    def of(self, phase: str) -> list[Rule]:
        return [rule for rule in self._open if rule.kind.phase == phase]

    def give_back(self) -> None:
        for rule in self._open:
            rule.used -= 1
        self._open = []


@dataclass
class Drawer:
    "Draws at most one fault a request; the n-th request of an endpoint draws the same whatever else runs beside it."

    seed: int | str
    rate: float  # 0..1, chance of a fault for one request
    weights: dict[str, float]  # only these names, by weight
    seen: Counter[str] = field(default_factory=Counter)

    def draw(self, request: Request) -> tuple[str, dict[str, Any]] | None:
        place = f"{request.method} {request.rpc or '?'}"
        self.seen[place] += 1
        dice = random.Random(f"{self.seed}:{place}:{self.seen[place]}")
        names = [name for name in self.weights if _fits(CATALOGUE[name], request)]
        if dice.random() >= self.rate or not names:
            return None
        name = dice.choices(names, [self.weights[one] for one in names])[0]
        return name, drawn_settings(name, dice)


def _fits(kind: Kind, request: Request) -> bool:
    return kind.rpcs is None or request.rpc in kind.rpcs


def drawn_settings(name: str, dice: random.Random) -> dict[str, Any]:
    "The kind's settings with what may be drawn, drawn: (low, high) evenly, a list by choice."
    kind = CATALOGUE[name]
    drawn = {
        key: dice.uniform(*span) if isinstance(span, tuple) else dice.choice(span) for key, span in kind.draw.items()
    }
    return kind.settings | drawn


class Faults:
    "The desk of faults. `note` receives every strike for the truth log."

    def __init__(self, note: Callable[..., Any]) -> None:
        self._note = note
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._drawer: Drawer | None = None
        self.counts: Counter[str] = Counter()  # struck, by name

    def add(
        self,
        name: str,
        *,
        path: str | None = None,
        method: str | None = None,
        times: int | None = 1,
        skip: int = 0,
        only: Callable[[Request], bool] | None = None,
        **settings: Any,
    ) -> Rule:
        "Scripts one fault. `path` is an endpoint's name or a pattern; `only` sees the request; raises ValueError."
        kind = _kind(name)
        if unknown := set(settings) - set(kind.settings):
            raise ValueError(f"{name} has no setting {sorted(unknown)}; it has {sorted(kind.settings)}")
        rule = Rule(next(self._numbers), name, kind, path, method, times, skip, only, kind.settings | settings)
        with self._lock:
            self._rules.append(rule)
        return rule

    def remove(self, rule: Rule) -> None:
        with self._lock:
            self._rules = [one for one in self._rules if one is not rule]

    def clear(self) -> None:
        "No more faults, scripted or drawn; counts stay."
        with self._lock:
            self._rules = []
            self._drawer = None

    def draw(self, seed: int | str, rate: float, weights: Mapping[str, float] | None = None) -> None:
        "From now on each request meets a fault with chance `rate`, chosen by weight (default: all alike)."
        weights = dict(weights or dict.fromkeys(CATALOGUE, 1.0))
        for name in weights:
            _kind(name)
        self._drawer = Drawer(seed, rate, weights)

    def plan(
        self, seed: int | str, count: int, weights: Mapping[str, float] | None = None, within: int = 20
    ) -> list[Rule]:
        "Scripts `count` drawn faults, each once, after 0..`within` matching requests; the rules made."
        dice = random.Random(f"plan:{seed}")
        weights = dict(weights or dict.fromkeys(CATALOGUE, 1.0))
        names = dice.choices(list(weights), list(weights.values()), k=count)
        return [self.add(name, skip=dice.randint(0, within), **drawn_settings(name, dice)) for name in names]

    def strike(self, request: Request) -> Hits:
        "The rules that strike this request, reserved."
        with self._lock:
            rules = [rule for rule in self._rules if rule.matches(request)]
            if self._drawer and (drawn := self._drawer.draw(request)):
                name, settings = drawn
                rules.append(Rule(next(self._numbers), name, _kind(name), None, None, 1, 0, None, settings, drawn=True))
            for rule in rules:
                rule.used += 1
            return Hits(rules, lambda rule, data: self._struck(rule, request, data))

    def _struck(self, rule: Rule, request: Request, data: dict[str, Any]) -> None:
        with self._lock:
            self.counts[rule.name] += 1
        self._note(
            "fault", name=rule.name, rule=rule.number, request=request.number, settings=dict(rule.settings), **data
        )


def _kind(name: str) -> Kind:
    if name not in CATALOGUE:
        raise ValueError(f"no fault named {name!r}; there are {', '.join(sorted(CATALOGUE))}")
    return CATALOGUE[name]
