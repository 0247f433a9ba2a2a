"""A synthetic futures market: seeded one-second and one-minute bars that look like the real thing, for demos and tests.

Prices lie on the tick grid and follow one walk a symbol: volatility clusters, the day has its shape (quiet overnight,
peaks at the 08:30 open and the
15:00 close in Chicago), and symbols move together. It drifts so faintly that following
a move pays no more than it costs: an edge found here is noise. Seconds and minutes without a trade have no bar, as at
Databento; the daily halt and the holidays are those of the session calendar. Contracts roll with the first
session of their expiry week, where
volume moves on (Databento's own `.c` rule holds the old contract to its last day, when hardly anybody trades it).
"""

import datetime as dt
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from futures_algo.core.contracts import MONTH_CODES, Contract, product, root_of
from futures_algo.core.dbn import OHLCV_DTYPE, PRICE_SCALE, SymbolInterval, stable_id, write_records
from futures_algo.core.expiry import last_day
from futures_algo.core.sessions import EXCHANGE_ZONE, SessionCalendar
from futures_algo.core.types import GENERATED, MINUTE, SECOND, Bars, InputError, Timeframe

FIRST_SESSION = dt.date(2025, 9, 12)  # the Friday before the roll from September to December
# root -> price at the start (points), volatility of a day (fraction), contracts traded a second at the busiest time
_LEVELS = {
    "ES": (6550.0, 0.010, 45.0),
    "NQ": (23900.0, 0.013, 20.0),
    "RTY": (2380.0, 0.014, 8.0),
    "YM": (45800.0, 0.009, 6.0),
    "CL": (63.0, 0.020, 12.0),
    "NG": (3.0, 0.035, 6.0),
    "GC": (3650.0, 0.011, 10.0),
    "SI": (42.0, 0.018, 4.0),
    "6E": (1.175, 0.005, 6.0),
    "ZN": (112.5, 0.004, 40.0),
    "ZB": (116.0, 0.006, 15.0),
    "BTC": (115000.0, 0.025, 0.5),
}
_OTHER = (8000, 0.012, 5.0)  # the same for any other root, its price in ticks
_CARRY = 0.009  # price step from one contract to the next, fraction
_MARKET_WEIGHT = 0.85  # correlation of a symbol's minutes with the common factor
_ACTIVITY = (  # Chicago time, relative volatility; linear between the points
    ("17:00", 0.60),
    ("17:10", 0.30),
    ("19:00", 0.30),
    ("23:00", 0.22),
    ("02:00", 0.45),
    ("03:00", 0.50),
    ("07:00", 0.45),
    ("08:25", 0.60),
    ("08:30", 2.4),
    ("09:00", 1.6),
    ("10:30", 1.05),
    ("12:00", 0.80),
    ("13:30", 0.95),
    ("14:45", 1.4),
    ("14:59", 2.0),
    ("15:01", 0.70),
    ("15:15", 0.35),
    ("16:00", 0.30),
)


class GeneratedMarket(NamedTuple):
    "What `generate` wrote."

    files: dict[str, list[Path]]  # schema -> DBN files, for `LoopbackGateway(files, raw=...)`
    raw: dict[int, str]  # instrument id -> dated contract
    symbols: tuple[str, ...]  # feed symbols
    sessions: tuple[str, ...]  # session dates
    start: int  # ns UTC, open of the first session
    end: int  # ns UTC, close of the last one
    bars: int  # records in all files


def generate(
    folder: "Path | str",  # made when missing
    seed: int = 7,
    symbols: Sequence[str] = ("ES.c.0", "NQ.c.0"),
    sessions: int = 2,
    first_session: dt.date = FIRST_SESSION,
) -> GeneratedMarket:
    "Write a DBN file of one-second bars for consecutive sessions; equal arguments give equal bytes of bars."
    walks = [_Walk(symbol, _session_dates(symbol, first_session, sessions), seed) for symbol in symbols]
    rows = np.concatenate([walk.seconds() for walk in walks])
    rows = rows[np.lexsort((rows["instrument_id"], rows["ts_event"]))]
    days = walks[0].days
    path = Path(folder) / f"{'_'.join(walk.root for walk in walks)}_{days[0]}_{days[-1]}.ohlcv-1s.dbn.zst"
    path.parent.mkdir(parents=True, exist_ok=True)
    mappings = {walk.symbol: walk.intervals() for walk in walks}
    raw = {
        interval.instrument_id: contract.code
        for walk in walks
        for interval, contract in zip(walk.intervals(), walk.contracts)
    }
    mappings |= {raw[i.instrument_id]: [i] for intervals in list(mappings.values()) for i in intervals}
    write_records(path, rows, mappings)
    return GeneratedMarket(
        {"ohlcv-1s": [path]},
        raw,
        tuple(symbols),
        tuple(map(str, days)),
        min(w.opens[0] for w in walks),
        max(w.closes[-1] for w in walks),
        len(rows),
    )


def generate_minutes(
    symbol: str = "ES.c.0",
    sessions: int = 60,
    first_session: dt.date = dt.date(2025, 7, 28),
    seed: int = 7,
) -> Bars:
    "One-minute bars of many sessions, with halts, empty minutes at night, holidays and rolls."
    return _Walk(symbol, _session_dates(symbol, first_session, sessions), seed).minutes()


def _session_dates(symbol: str, first: dt.date, count: int) -> list[dt.date]:
    "The next `count` dates on which the product has a session."
    if count < 1:
        raise InputError("sessions", count, "must be at least 1")
    calendar, day = SessionCalendar.of(symbol), first
    found: list[dt.date] = []
    while len(found) < count:
        if calendar.session_bounds(day.isoformat()):
            found.append(day)
        day += dt.timedelta(days=1)
    return found


def roll_session(
    contract: Contract,
) -> dt.date:
    "First session on which the synthetic market no longer trades a contract: the Monday of its last week."
    last = last_day(contract)
    return last - dt.timedelta(days=last.weekday())


def _front(root: str, day: dt.date) -> Contract:
    "The contract the synthetic market trades in a session."
    contract = Contract(root, day.year - 1, 1 + MONTH_CODES.index(product(root).months[-1]))
    while roll_session(contract) <= day:
        contract = contract.next()
    return contract


class _Walk:
    "One symbol's price walk: minutes first, then the seconds inside them."

    def __init__(self, symbol: str, days: list[dt.date], seed: int):
        self.symbol, self.root, self.days = symbol, root_of(symbol), days
        self.tick = product(symbol).tick_size
        level, self.daily_volatility, self.busiest = _LEVELS.get(self.root, (_OTHER[0] * self.tick, *_OTHER[1:]))
        self.level = round(level / self.tick)  # ticks
        calendar = SessionCalendar.of(symbol)
        bounds = [found for day in days if (found := calendar.session_bounds(day.isoformat()))]
        self.opens, self.closes = [b[0] for b in bounds], [b[1] for b in bounds]
        segments = [
            s
            for s in calendar.segments(self.opens[0], self.closes[-1])
            if s.session in {day.isoformat() for day in days}
        ]
        self.minute = np.concatenate(
            [np.arange(s.open, s.close, MINUTE) for s in segments]
        )  # ns, start of every trading minute
        self.first_of_session = np.isin(self.minute, self.opens)
        fronts = [_front(self.root, day) for day in days]
        self.contracts = list(dict.fromkeys(fronts))
        session = np.searchsorted(np.array(self.opens[1:]), self.minute, side="right")  # index into `days`
        self.contract = np.array([self.contracts.index(front) for front in fronts])[session]  # index into `contracts`
        self.rng = np.random.default_rng([seed, zlib.crc32(symbol.encode())])
        self.market = np.random.default_rng(seed)  # the factor all symbols share
        self.activity = _activity(self.minute)
        self.path = self._path()

    def _path(self) -> np.ndarray:
        "Price at the start of every minute and at the end of the last, ticks, before the steps between contracts."
        count = len(self.minute)
        common, own = self.market.standard_normal(count), self.rng.standard_normal(count)
        shock = _MARKET_WEIGHT * common + (1 - _MARKET_WEIGHT**2) ** 0.5 * own
        scale = self.level * self.daily_volatility / np.sqrt((_activity(self.minute[:1380]) ** 2).sum())
        volatility = scale * self.activity * np.exp(_clustering(self.rng, count))
        self.volatility = volatility
        steps = volatility * (shock + _drift(self.market, count))
        return self.level + np.concatenate([[0.0], np.cumsum(steps)])

    def _steps(self) -> np.ndarray:
        "Ticks by which each contract stands above the first."
        return np.round(self.level * _CARRY * np.arange(len(self.contracts))).astype(np.int64)

    def intervals(self) -> list[SymbolInterval]:
        """Dates of each contract, as mapping intervals `[start, end)` of UTC dates that cover every session from its
        open."""
        first = [next(day for day in self.days if _front(self.root, day) == contract) for contract in self.contracts]
        opens = dict(zip(self.days, self.opens, strict=True))
        starts = [_utc_date(opens[day]) for day in first]
        ends = [*starts[1:], _utc_date(self.closes[-1]) + dt.timedelta(days=1)]
        return [
            SymbolInterval(start, end, stable_id(contract.code))
            for start, end, contract in zip(starts, ends, self.contracts)
        ]

    def minutes(self) -> Bars:
        "The walk as one-minute bars."
        traded = self.rng.random(len(self.minute)) < 1 - np.exp(-2.4 * self.busiest**0.5 * self.activity)
        prices = _ohlc(self.rng, self.path[:-1], self.path[1:], self.volatility, self._steps()[self.contract])
        volume = _volume(self.rng, self.busiest * self.activity * 60)
        bars = Bars(
            self.symbol,
            Timeframe("1min"),
            self.minute,
            self.minute + MINUTE,
            volume=volume,
            contract=self.contract.astype(np.int32),
            contracts=tuple(contract.code for contract in self.contracts),
            origin=GENERATED,
            **{
                name: column * _raw_tick(self.tick) / PRICE_SCALE
                for name, column in zip(("open", "high", "low", "close"), prices, strict=True)
            },
        )
        return bars[traded]

    def seconds(self) -> np.ndarray:
        "The walk as one-second records: a bridge from each minute's price to the next."
        count = len(self.minute)
        steps = self.rng.standard_normal((count, 60)) * (self.volatility / 60**0.5)[:, None]
        bridge = steps.cumsum(axis=1) - steps.sum(axis=1, keepdims=True) * np.arange(1, 61) / 60
        ends = (
            self.path[:-1, None] + (self.path[1:] - self.path[:-1])[:, None] * np.arange(1, 61) / 60 + bridge
        ).ravel()
        rate = np.repeat(self.busiest * self.activity**1.5, 60) * self.rng.gamma(0.8, 1.25, count * 60)
        traded = self.rng.random(count * 60) < 1 - np.exp(-rate / 6)
        traded |= np.repeat(self.first_of_session, 60) & (
            np.arange(count * 60) % 60 == 0
        )  # the opening auction always prints
        return self._records(np.concatenate([self.path[:1], ends]), np.flatnonzero(traded), rate)

    def _records(self, path: np.ndarray, at: np.ndarray, rate: np.ndarray) -> np.ndarray:
        "Records of the seconds `at` of a path by the second."
        contract = self.contract[at // 60]
        prices = _ohlc(
            self.rng, path[at], path[at + 1], np.repeat(self.volatility, 60)[at] / 60**0.5, self._steps()[contract]
        )
        rows = np.zeros(len(at), OHLCV_DTYPE)
        rows["length"], rows["rtype"], rows["publisher_id"] = OHLCV_DTYPE.itemsize // 4, 32, 1
        rows["instrument_id"] = np.array([stable_id(c.code) for c in self.contracts])[contract]
        rows["ts_event"] = self.minute[at // 60] + at % 60 * SECOND
        for name, column in zip(("open", "high", "low", "close"), prices):
            rows[name] = column * _raw_tick(self.tick)
        rows["volume"] = _volume(self.rng, rate[at])
        return rows


def _raw_tick(tick_size: float) -> int:
    return round(tick_size * PRICE_SCALE)


def _utc_date(when: int) -> dt.date:
    return dt.datetime.fromtimestamp(when // SECOND, dt.UTC).date()


def _activity(minute: np.ndarray) -> np.ndarray:
    "Relative volatility of each minute by its Chicago time."
    hours = np.unique(minute // (60 * MINUTE))
    offset = np.array(
        [
            (dt.datetime.fromtimestamp(int(hour) * 3600, EXCHANGE_ZONE).utcoffset() or dt.timedelta()).total_seconds()
            for hour in hours
        ]
    )
    local = minute // SECOND + offset[np.searchsorted(hours, minute // (60 * MINUTE))].astype(np.int64)
    clock = lambda text: (int(text[:2]) * 60 + int(text[3:]) - 17 * 60) % 1440
    return np.interp(
        (local // 60 - 17 * 60) % 1440, [clock(text) for text, _ in _ACTIVITY], [level for _, level in _ACTIVITY]
    )


def _clustering(rng: np.random.Generator, count: int) -> np.ndarray:
    "Logarithm of the volatility factor: an autoregression with a half-life of half an hour."
    level, found = 0.0, np.empty(count)
    for i, shock in enumerate((rng.standard_normal(count) * 0.07).tolist()):
        level = 0.977 * level + shock
        found[i] = level
    return found


DRIFT = 0.03  # standard deviations a minute: what a breakout gains by it in a year, its costs take


def _drift(rng: np.random.Generator, count: int) -> np.ndarray:
    "Drift in standard deviations a minute: none in three of five spells of one to five hours, else up or down."
    drift, at = np.zeros(count), 0
    while at < count:
        length, kind = int(rng.integers(60, 300)), rng.integers(0, 5)
        if kind >= 3:
            drift[at : at + length] = DRIFT if kind == 3 else -DRIFT
        at += length
    return drift


def _ohlc(
    rng: np.random.Generator, begin: np.ndarray, end: np.ndarray, volatility: np.ndarray, step: np.ndarray
) -> tuple[np.ndarray, ...]:
    "Whole ticks: open and close at the bid or the ask around the path, high and low beyond them."
    side = lambda: rng.uniform(-0.5, 0.5, len(begin))
    opens, closes = np.round(begin + side()).astype(np.int64), np.round(end + side()).astype(np.int64)
    reach = lambda: rng.exponential(0.35 * volatility).astype(np.int64)
    return (
        opens + step,
        np.maximum(opens, closes) + reach() + step,
        np.minimum(opens, closes) - reach() + step,
        closes + step,
    )


def _volume(rng: np.random.Generator, rate: np.ndarray) -> np.ndarray:
    "Contracts, at least one."
    return 1 + rng.poisson(rate * rng.gamma(1.5, 0.7, len(rate)))


def sample_bars(
    symbols: Sequence[str],
    sessions: int = 60,
    seed: int = 7,
) -> dict[str, Bars]:
    "Generated one-minute bars, for a first look without a key. Nothing found on them is worth anything in a market."
    return {symbol: generate_minutes(symbol, sessions, seed=seed) for symbol in symbols}
