"""Drives the indicators of a strategy bar by bar over its timeframes, says honestly when they are ready, and survives
a restart bit for bit."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

import numpy as np

from futures_algo.core.sessions import SessionCalendar
from futures_algo.core.types import Bar, ConfigError, DataError, InputError, Timeframe, did_you_mean
from futures_algo.indicators.base import Indicator, LiveIndicator, indicator, refuse_bad_bar
from futures_algo.indicators.kernel import BANK_COLUMNS, bank_runner

CONDITION_PARAMETERS = (
    "threshold",
    "oversold",
    "overbought",
)  # a config may keep these beside an indicator's; they belong to the strategy's rule


def indicators_by_timeframe(
    strategy_config: Mapping,  # either shape
    conditions: Iterable[str] = CONDITION_PARAMETERS,  # names that are the rule's, not the indicator's
) -> dict[Timeframe, tuple[Indicator, ...]]:
    "The indicators of each timeframe; every mistake is named with its path."
    if not isinstance(strategy_config, Mapping):
        raise ConfigError(
            "indicators",
            _named(strategy_config),
            "must be by timeframe",
            'return {"5min": [SMA(20)]} from indicators()',
        )
    content = strategy_config.get("indicators_by_timeframe", strategy_config)
    root = "indicators_by_timeframe." if content is not strategy_config else ""
    plan: dict[Timeframe, tuple[Indicator, ...]] = {}
    for timeframe, wanted in content.items():
        found = tuple(_wanted(wanted, f"{root}{timeframe}", tuple(conditions)))
        plan[Timeframe(timeframe)] = plan.get(Timeframe(timeframe), ()) + found
    for timeframe, found in plan.items():
        _refuse_collisions(found, f"{root}{timeframe}")
    return plan


def _wanted(wanted: Any, path: str, conditions: tuple[str, ...]) -> Iterable[Indicator]:
    if isinstance(wanted, Mapping):
        return [_from_config(key, spec, f"{path}.{key}", conditions) for key, spec in wanted.items()]
    several = list(wanted) if isinstance(wanted, (list, tuple)) else [wanted]
    for one in several:
        if not isinstance(one, Indicator):
            raise ConfigError("indicator", _named(one), "must be an indicator such as SMA(20)", _remedy(one), path)
    return several


def _named(value: Any) -> str:
    "A value by its name where it has one, not by its address."
    return f"{type(value).__name__} {value.__name__}" if hasattr(value, "__name__") else repr(value)


def _remedy(value: Any) -> str:
    if isinstance(value, type) and issubclass(value, Indicator):
        return f"write {value.__name__}(), with its parameters"
    if callable(value):
        return (
            "for research wrap it: ResearchIndicator('mine', ('mine',), lambda bars: [function(bars)]); to trade it,"
            " write an Indicator with a step"
        )
    return 'return {"5min": [SMA(20)]} from indicators(), an empty list for the bars alone'


_SPEC = ("indicator", "parameters")


def _from_config(key: str, spec: Mapping, path: str, conditions: tuple[str, ...]) -> Indicator:
    for given in spec:
        if given not in _SPEC:
            raise ConfigError(
                "key", given, "is not known beside an indicator", did_you_mean(given, _SPEC), f"{path}.{given}"
            )
    kind = spec.get("indicator", key)
    given = {name: value for name, value in spec.get("parameters", {}).items() if name not in conditions}
    try:
        return indicator(kind, **given, **({} if kind == key else {"name": key}))
    except InputError as error:
        where = f"{path}.parameters.{error.subject.split()[-1]}" if error.subject != "indicator" else path
        raise ConfigError(error.subject, error.value, error.rule, error.remedy, where) from None


def _refuse_collisions(indicators: tuple[Indicator, ...], path: str) -> None:
    taken: dict[str, Indicator] = {}
    for one in indicators:
        for output in one.outputs:
            if output in taken:
                raise ConfigError(
                    "output",
                    output,
                    f"must not come from both {taken[output]!r} and {one!r}",
                    "give one of them name='...'",
                    path,
                )
            taken[output] = one


def _as_bar(symbol: str, timeframe: Any, bar: Mapping) -> Bar:
    "A `Bar` from a mapping with at least open, high, low and close."
    missing = [name for name in ("open", "high", "low", "close") if name not in bar]
    if missing:
        raise DataError("bar", dict(bar), f"must have {', '.join(missing)}", path=f"{symbol} {timeframe}")
    start, end = int(bar.get("start", 0)), int(bar.get("end", 0))
    open, high, low, close = (float(bar[name]) for name in ("open", "high", "low", "close"))
    return Bar(
        symbol,
        timeframe,
        start,
        end,
        open,
        high,
        low,
        close,
        volume=int(bar.get("volume", 0)),
    )


class _Bank:
    "The live indicators of one timeframe, updated in one compiled call."

    def __init__(self, indicators: tuple[Indicator, ...], calendar: Any):
        self.names = tuple(name for one in indicators for name in one.outputs)
        self.out = np.full(len(self.names), np.nan)
        ends = np.cumsum([len(one.outputs) for one in indicators]).tolist()
        self.live = tuple(
            one.live(calendar, out=self.out[end - len(one.outputs) : end]) for one, end in zip(indicators, ends)
        )
        self.plain = np.concatenate(
            [live.table for live in self.live if not live.definition.anchored]
            or [np.empty((0, BANK_COLUMNS), np.int64)]
        )
        self.anchored = tuple(live for live in self.live if live.definition.anchored)
        self.run, self.last_end = bank_runner(), 0

    def step(self, bar: Bar) -> dict[str, float]:
        if bar.end <= self.last_end != 0:
            raise _not_after(bar, self.last_end)
        if not self.run(self.plain, *bar[2:9], 0, 0):
            refuse_bad_bar(bar)
        for live in self.anchored:
            live.step(bar)
        self.last_end = bar.end
        return self.values()

    def values(self) -> dict[str, float]:
        return dict(zip(self.names, self.out.tolist()))


def _not_after(bar: Bar, last_end: int) -> DataError:
    return DataError(
        "bar end",
        bar.end,
        f"must be after the last one, {last_end}",
        "feed each closed bar once, in order",
        f"{bar.symbol} {bar.timeframe}",
    )


class VBTIndicatorCalculator:
    "The latest indicator values of one symbol over all timeframes of a strategy."

    def __init__(
        self,
        symbol: str,  # feed symbol: "ES.c.0"
        strategy_config: Mapping,  # {timeframe: indicators} or a config with indicators_by_timeframe
        *,
        calendar: Any = None,  # a `SessionCalendar`; the symbol's own when omitted
    ):
        self.symbol = symbol
        self.indicators = indicators_by_timeframe(strategy_config)
        if "indicators_by_timeframe" in strategy_config:
            self.indicators = {Timeframe(one): () for one in strategy_config.get("timeframes", ())} | self.indicators
        anchored = any(one.anchored for found in self.indicators.values() for one in found)
        self._calendar = calendar or (SessionCalendar.of(symbol) if anchored else None)
        self.reset()

    def reset(self) -> None:
        "Forget every bar."
        self._banks = {timeframe: _Bank(found, self._calendar) for timeframe, found in self.indicators.items()}

    def update_bar(
        self,
        timeframe: "Timeframe | int | str",  # 27, "27min"
        bar: "Bar | Mapping",  # the closed bar
    ) -> dict[str, float]:  # by output name; NaN until there is a value
        "Take in one closed bar and return the timeframe's latest values."
        bank = self._banks.get(cast(Timeframe, timeframe)) or self._bank(timeframe)
        return bank.step(bar if isinstance(bar, Bar) else _as_bar(self.symbol, timeframe, bar))

    def get_indicators(self, timeframe: "Timeframe | int | str") -> dict[str, float]:
        "The timeframe's latest values, as `update_bar` returned them."
        return self._bank(timeframe).values()

    def _bank(self, timeframe: "Timeframe | int | str") -> _Bank:
        if (canonical := Timeframe(timeframe)) in self._banks:
            return self._banks[canonical]
        raise InputError(
            "timeframe",
            str(timeframe),
            f"must be one of {', '.join(self._banks)}",
            "these are the strategy's timeframes",
        )

    def _every(self) -> list[tuple[Timeframe, LiveIndicator]]:
        return [(timeframe, live) for timeframe, bank in self._banks.items() for live in bank.live]

    def is_ready(self) -> bool:
        "Every output of every timeframe has a value."
        return all(live.ready for _, live in self._every())

    def is_converged(self) -> bool:
        "Ready, and no value still shows where the stream began."
        return all(live.converged for _, live in self._every())

    def progress(self) -> list[dict]:
        "A row an indicator: bars seen, bars to the first value, bars to convergence."
        return [
            dict(
                timeframe=timeframe,
                indicator=repr(live.definition),
                seen=live.seen,
                first_valid=live.definition.first_valid + 1,
                converge=None if live.definition.converge is None else live.definition.converge + 1,
                ready=live.ready,
                converged=live.converged,
            )
            for timeframe, live in self._every()
        ]

    def save(self) -> bytes:
        "The whole state, to continue from after a restart."
        banks = {
            timeframe: dict(last_end=bank.last_end, live=[live.save().decode() for live in bank.live])
            for timeframe, bank in self._banks.items()
        }
        return json.dumps(dict(symbol=self.symbol, banks=banks)).encode()

    def restore(self, saved: bytes) -> "VBTIndicatorCalculator":
        "Continue where `save` was called; state of other indicators is refused and nothing changes."
        content = json.loads(saved)
        found = content["symbol"], {timeframe: len(bank["live"]) for timeframe, bank in content["banks"].items()}
        wanted = self.symbol, {timeframe: len(several) for timeframe, several in self.indicators.items()}
        if found != wanted:
            raise InputError("saved state", found, f"must be of {wanted}", "warm up from history instead")
        banks = {timeframe: _Bank(several, self._calendar) for timeframe, several in self.indicators.items()}
        for timeframe, bank in banks.items():
            bank.last_end = content["banks"][timeframe]["last_end"]
            for live, state in zip(bank.live, content["banks"][timeframe]["live"]):
                live.restore(state)
        self._banks = banks
        return self
