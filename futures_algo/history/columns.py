"""Which column of a table is what, by the names vendors give; two columns with one claim are an error."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from futures_algo.core.named import did_you_mean
from futures_algo.core.types import DataError, InputError
from futures_algo.history.formats import FORMATS

ALIASES = {  # lower case, spaces as underscores; earlier names outrank later ones only for the time
    "time": (
        "ts_event", "timestamp", "timestamp_utc", "time_utc", "datetime_utc", "datetime", "date_time", "date/time",
        "date_&_time", "start", "ts", "caldt", "bar_time", "bartime", "open_time", "opentime", "time_stamp", "gmt_time",
        "local_time", "index",
    ),
    "date": ("date", "datum", "day", "trade_date", "tradedate", "fecha", "data", "jour", "tag"),
    "clock": ("time", "zeit", "uhrzeit", "hour", "hora", "ora", "heure", "time_of_day"),
    "open": ("open", "o", "first", "eröffnung", "eroeffnung", "opening", "ouverture", "apertura", "erster",
             "open_price", "openprice"),
    "high": ("high", "h", "max", "hoch", "haut", "plus_haut", "alto", "máximo", "maximo", "massimo", "high_price",
             "highprice"),
    "low": ("low", "l", "min", "tief", "bas", "plus_bas", "bajo", "mínimo", "minimo", "low_price", "lowprice"),
    "close": ("close", "c", "last", "schluss", "schlusskurs", "clôture", "cloture", "cierre", "chiusura", "closing",
              "close_price", "closeprice", "last_price", "latest"),
    "volume": ("volume", "vol", "v", "totalvolume", "total_volume", "volumen", "umsatz", "tick_volume", "tickvol",
               "total_vol", "menge"),
    "up": ("up", "up_volume", "upvolume", "upvol"),
    "down": ("down", "down_volume", "downvolume", "downvol", "dn"),
    "contract": ("contract", "raw_symbol"),
    "symbol": ("symbol", "ticker", "instrument"),
}  # fmt: skip
PRICES = ("open", "high", "low", "close")
OURS = ("time", "date", "clock", *PRICES, "volume", "up", "down", "contract", "symbol")
_SETTLED = ("time",)  # of several names the first known one is meant


class Table(NamedTuple):
    "A file's columns by our names."

    columns: dict[str, Any]  # Arrow texts, or pandas' columns
    names: list[str]  # the file's names, in the same order
    texts: bool

    def name(self, ours: str) -> str:
        "What the file calls a column."
        return self.names[list(self.columns).index(ours)]


def plain(name: str) -> str:
    "A column's name as the table of aliases spells it; MetaTrader's angle brackets and Databento's case go."
    return name.strip().strip("<>").strip().lower().replace(" ", "_")


def find_columns(
    names: Sequence[str],  # of the file, in order
    given: Mapping[str, str],  # ours -> the file's
    format: str,  # key of FORMATS, or nothing
    header: bool,
    path: str,
) -> dict[str, int]:
    "Ours -> position in the file."
    found = _given(names, given, path)
    if not header:
        found = _by_position(names, format) | found
    taken = set(found.values())
    for ours, aliases in ALIASES.items():
        if ours not in found and header:
            claims = [at for at, name in enumerate(names) if plain(name) in aliases and at not in taken]
            if len(claims) > 1 and ours in _SETTLED:
                claims = (
                    sorted(claims, key=lambda at: aliases.index(plain(names[at])))[:1] if ours == "time" else claims
                )
            if len(claims) > 1 and ours not in ("date", "clock"):
                _refuse_claims(ours, [names[at] for at in claims], path)
            if claims:
                found[ours] = claims[0]
    return _needed(_with_time(found), names, given, path)


def _given(names: Sequence[str], given: Mapping[str, str], path: str) -> dict[str, int]:
    found = {}
    for ours, theirs in given.items():
        if ours not in OURS:
            raise InputError("columns", ours, "must be one of " + ", ".join(OURS), did_you_mean(ours, OURS))
        at = [i for i, name in enumerate(names) if name == theirs] or [
            i for i, name in enumerate(names) if plain(name) == plain(str(theirs))
        ]
        if len(at) != 1:
            rule = "must be there" if not at else f"must name one column, and {len(at)} are called so"
            raise DataError(f"{ours} column", theirs, rule, f"the file has {', '.join(names)}", path)
        found[ours] = at[0]
    return found


def _by_position(names: Sequence[str], format: str) -> dict[str, int]:
    "Without a header: a moment, or a date and a time, then open, high, low, close, volume."
    preset = FORMATS[format].names if format else ()
    if preset and len(names) == len(preset):
        return {ours: at for at, ours in enumerate(preset)}
    return {}


def positions(first: Sequence[str], names: Sequence[str]) -> dict[str, int]:
    "Columns of a row without header, told by the row."
    two = len(first) > 5 and not _has_clock(first[0]) and _is_clock(first[1])
    lead = ("date", "clock") if two else ("time",)
    order = (*lead, *PRICES, "volume")
    return {ours: at for at, ours in enumerate(order) if at < len(names)}


def _has_clock(text: str) -> bool:
    text = text.strip()
    return ":" in text or (" " in text and text.replace(" ", "").isdigit()) or (text.isdigit() and len(text) != 8)


def _is_clock(text: str) -> bool:
    text = text.strip()
    return ":" in text or (text.isdigit() and len(text) <= 6)


def _refuse_claims(ours: str, claims: list[str], path: str) -> None:
    remedy = f"say which with columns={{{ours!r}: {claims[0]!r}}} (--columns {ours}={claims[0]})"
    raise DataError(f"{ours} column", " and ".join(map(repr, claims)), "can mean several columns", remedy, path)


def _with_time(found: dict[str, int]) -> dict[str, int]:
    "A date column alone, or a time column alone, is the moment."
    if "time" in found:
        found.pop("date", None)
        found.pop("clock", None)
    elif "date" in found and "clock" not in found:
        found["time"] = found.pop("date")
    elif "clock" in found and "date" not in found:
        found["time"] = found.pop("clock")
    return found


def _needed(found: dict[str, int], names: Sequence[str], given: Mapping[str, str], path: str) -> dict[str, int]:
    for ours in ("time", *PRICES):
        if ours in found or (ours == "time" and "date" in found):
            continue
        raise DataError(
            f"{ours} column",
            given.get(ours, "missing"),
            f"must be there, by a name such as {', '.join(map(repr, ALIASES[ours][:3]))}",
            f"the file has {', '.join(names)}; name it with columns={{{ours!r}: ...}} (--columns {ours}=...)",
            path,
        )
    return found
