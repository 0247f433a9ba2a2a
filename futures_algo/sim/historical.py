"""Loopback historical server: answers the real `databento.Historical` client from DBN files, with the service's own
wire format and errors.

    with HistoricalServer({"ohlcv-1m": ["days.dbn.zst"]}, keys=["db-sim"]) as server:
        client = historical_client("db-sim", url=server.url)

Time series, cost, size, record count, symbology, dataset and schema lists are served. `fail(...)` scripts what the next
requests meet.
"""

import base64
import datetime as dt
import json
import re
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs, urlsplit

import numpy as np

from futures_algo.core.dbn import OHLCV_DTYPE
from futures_algo.core.named import did_you_mean
from futures_algo.core.types import DAY, InputError, to_nanos
from futures_algo.sim.tape import Tape, midnight

FAULTS = {  # what `fail` can script
    "server_error": "answers 500",
    "busy": "answers 429 with Retry-After",
    "cut": "closes the connection halfway through the body",
    "truncate": "sends a whole answer with half the data in it",
    "silence": "closes the connection without an answer",
}
DOLLARS_A_GIGABYTE = 280.0  # of OHLCV, so that costs look real
_ENDLESS = dt.date(1970, 1, 1), dt.date(2200, 1, 1)


class Refusal(Exception):
    "A request the service answers with an error."

    def __init__(self, status: int, case: str, message: str):
        super().__init__(message)
        self.status, self.detail = status, {"case": case, "message": message, "status_code": status}


class Interval(NamedTuple):
    "An instrument over `[start, end)` dates."

    start: dt.date
    end: dt.date
    instrument_id: int


class Selection(NamedTuple):
    "What a time series request selects."

    rows: np.ndarray  # OHLCV_DTYPE
    intervals: dict[str, list[Interval]]  # by requested symbol
    start: int  # ns UTC
    end: int


class HistoricalServer:
    "Databento's historical API on a loopback port, in threads of its own."

    def __init__(
        self,
        files: "Mapping[str, Iterable[Path | str]]",  # {"ohlcv-1s": [paths], "ohlcv-1m": [...]}
        keys: Iterable[str] = ("db-sim",),  # API keys that authenticate
        dataset: str = "GLBX.MDP3",
        raw: Mapping[int, str] | None = None,  # instrument id -> contract; files that map contracts need none
        *,
        host: str = "127.0.0.1",
        port: int = 0,  # 0 takes a free one
    ):
        self.tapes = {schema: Tape(schema, list(paths), raw or {}) for schema, paths in files.items()}
        self.keys, self.dataset = set(keys), dataset
        self.requests: list[tuple[str, dict[str, str]]] = []  # endpoint and parameters, in order of arrival
        self._faults: deque[tuple[str, str]] = deque()
        self._http = ThreadingHTTPServer((host, port), _handler(self))
        self._http.daemon_threads = True
        self.host, self.port = host, self._http.server_address[1]

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def start(self) -> Self:
        threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, name="loopback-historical", daemon=True
        ).start()
        return self

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def fail(
        self,
        kind: str,  # one of FAULTS
        endpoint: str = "timeseries.get_range",
        times: int = 1,
    ) -> None:
        "Let the next requests to an endpoint meet a fault."
        if kind not in FAULTS:
            raise InputError("fault", kind, "must be one of FAULTS", did_you_mean(kind, FAULTS))
        self._faults.extend([(endpoint, kind)] * times)

    def fault(self, endpoint: str) -> str | None:
        "The fault a request meets, taken off the script."
        if not self._faults or self._faults[0][0] != endpoint:
            return None
        return self._faults.popleft()[1]

    def answer(self, endpoint: str, params: dict[str, str]) -> "bytes | Any":
        "DBN as bytes, anything else as JSON."
        serve = _ENDPOINTS.get(endpoint)
        if serve is None:
            raise Refusal(404, "not_found", f"no such endpoint: {endpoint}")
        if (dataset := params.get("dataset", self.dataset)) != self.dataset:
            raise Refusal(422, "dataset_not_found", f"Dataset '{dataset}' was not found.")
        return serve(self, params)

    def tape(self, params: Mapping[str, str]) -> Tape:
        if params["schema"] not in self.tapes:
            raise Refusal(
                422, "schema_not_available", f"Schema '{params['schema']}' is not available for '{self.dataset}'."
            )
        return self.tapes[params["schema"]]

    def select(self, params: Mapping[str, str]) -> Selection:
        "The rows of a request, and what its symbols meant when."
        tape, symbols = self.tape(params), params.get("symbols", "ALL_SYMBOLS").split(",")
        start, end = _bounds(params)
        days = _day(start), _day(end - 1) + dt.timedelta(days=1)
        intervals = {
            symbol: resolve(tape, symbol, params.get("stype_in", "raw_symbol"), *days)
            for symbol in symbols
            if symbol != "ALL_SYMBOLS"
        }
        if intervals and not any(intervals.values()):
            raise Refusal(
                422, "symbology_invalid_request", f"None of the symbols could be resolved: {', '.join(symbols)}"
            )
        when = tape.rows["ts_event"]
        inside = (when >= start) & (when < end)
        if intervals:
            inside &= np.logical_or.reduce(
                [_claimed(tape.rows, interval) for spells in intervals.values() for interval in spells]
            )
        rows = tape.rows[inside]
        return Selection(rows[: int(params["limit"])] if params.get("limit") else rows, intervals, start, end)


def _day(when: int) -> dt.date:
    return dt.date(1970, 1, 1) + dt.timedelta(days=when // DAY)


def _claimed(rows: np.ndarray, interval: Interval) -> np.ndarray:
    when = rows["ts_event"]
    return (
        (rows["instrument_id"] == interval.instrument_id)
        & (when >= midnight(interval.start))
        & (when < midnight(interval.end))
    )


def _bounds(params: Mapping[str, str]) -> tuple[int, int]:
    "Start and end of a request; a time without a zone is UTC, a missing end is a day after the start."

    def moment(text: str) -> int:
        if re.fullmatch(r"\d{9,}", text):
            return int(text)
        whole = f"{text}T00:00" if len(text) == 10 else text
        if not re.search(r"(Z|[+-]\d\d:\d\d)$", whole):
            whole += "Z"
        try:
            return to_nanos(whole)
        except ValueError:
            raise Refusal(422, "data_time_range_invalid", f"'{text}' is no time") from None

    start = moment(params["start"])
    end = moment(params["end"]) if params.get("end") else start + DAY
    if not start < end:
        raise Refusal(422, "data_start_on_or_after_end", "The start of the request must be before its end.")
    return start, end


def resolve(
    tape: Tape,
    symbol: str,  # "ES.c.0", "ESZ5" or "5482"
    stype: str,  # continuous, raw_symbol or instrument_id
    start: dt.date,
    end: dt.date,  # exclusive
) -> list[Interval]:
    "Which instruments a symbol meant over some dates."
    if stype == "continuous":
        spells = [Interval(*interval) for interval in tape.mappings.get(symbol, ())]
    elif stype == "instrument_id":
        spells = [Interval(*_ENDLESS, int(symbol))] if symbol.isdigit() and int(symbol) in tape.names else []
    else:
        spells = [Interval(*_ENDLESS, number) for number, name in tape.names.items() if name == symbol]
    clipped = [Interval(max(spell.start, start), min(spell.end, end), spell.instrument_id) for spell in sorted(spells)]
    return [spell for spell in clipped if spell.start < spell.end]


def _get_range(server: HistoricalServer, params: Mapping[str, str]) -> bytes:
    "A DBN stream, zstd-compressed."
    import zstandard
    from databento_dbn import Metadata, Schema, SType

    found = server.select(params)
    mappings = [
        SimpleNamespace(
            raw_symbol=symbol,
            intervals=[
                SimpleNamespace(start_date=i.start, end_date=i.end, symbol=str(i.instrument_id)) for i in spells
            ],
        )
        for symbol, spells in found.intervals.items()
        if spells
    ]
    metadata = Metadata(
        dataset=server.dataset,
        start=found.start,
        end=found.end,
        schema=Schema.from_str(params["schema"]),
        stype_in=SType.from_str(params.get("stype_in", "raw_symbol")),
        stype_out=SType.INSTRUMENT_ID,
        symbols=list(found.intervals),
        partial=[],
        not_found=[s for s, spells in found.intervals.items() if not spells],
        mappings=mappings,
        limit=int(params["limit"]) if params.get("limit") else None,
        ts_out=False,
        version=3,
    )
    return zstandard.ZstdCompressor(level=1).compress(metadata.encode() + found.rows.tobytes())


def _resolve(server: HistoricalServer, params: Mapping[str, str]) -> dict[str, Any]:
    tape = next(iter(server.tapes.values()))
    start = dt.date.fromisoformat(params["start_date"])
    end = dt.date.fromisoformat(params["end_date"]) if params.get("end_date") else start + dt.timedelta(days=1)
    named = lambda number: tape.names.get(number, str(number)) if params["stype_out"] == "raw_symbol" else str(number)
    symbols = params["symbols"].split(",")
    spells = {symbol: resolve(tape, symbol, params["stype_in"], start, end) for symbol in symbols}
    result = {
        symbol: [{"d0": i.start.isoformat(), "d1": i.end.isoformat(), "s": named(i.instrument_id)} for i in found]
        for symbol, found in spells.items()
    }
    return {
        "result": result,
        "symbols": symbols,
        "stype_in": params["stype_in"],
        "stype_out": params["stype_out"],
        "start_date": str(start),
        "end_date": str(end),
        "partial": [],
        "not_found": [symbol for symbol in symbols if not result[symbol]],
        "message": "OK",
        "status": 0,
    }


def _record_count(server: HistoricalServer, params: Mapping[str, str]) -> int:
    return len(server.select(params).rows)


def _billable_size(server: HistoricalServer, params: Mapping[str, str]) -> int:
    return _record_count(server, params) * OHLCV_DTYPE.itemsize


def _cost(server: HistoricalServer, params: Mapping[str, str]) -> float:
    return _billable_size(server, params) / 2**30 * DOLLARS_A_GIGABYTE


def _dataset_range(server: HistoricalServer, _: Mapping[str, str]) -> dict[str, Any]:
    moment = lambda when: f"{np.datetime64(when, 'ns')}Z"
    ranges = {schema: {"start": moment(tape.start), "end": moment(tape.end)} for schema, tape in server.tapes.items()}
    return {
        "start": min(r["start"] for r in ranges.values()),
        "end": max(r["end"] for r in ranges.values()),
        "schema": ranges,
    }


_ENDPOINTS = {
    "timeseries.get_range": _get_range,
    "symbology.resolve": _resolve,
    "metadata.get_record_count": _record_count,
    "metadata.get_billable_size": _billable_size,
    "metadata.get_cost": _cost,
    "metadata.get_dataset_range": _dataset_range,
    "metadata.list_datasets": lambda server, _: [server.dataset],
    "metadata.list_schemas": lambda server, _: list(server.tapes),
}


def _handler(server: HistoricalServer) -> type[BaseHTTPRequestHandler]:
    "A request handler that answers for one server."

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            "Requests are kept in `server.requests`; nothing goes to standard error."

        def do_GET(self) -> None:
            self.serve(urlsplit(self.path).query)

        def do_POST(self) -> None:
            self.serve(self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode())

        def serve(self, form: str) -> None:
            endpoint = urlsplit(self.path).path.removeprefix("/v0/")
            params = {name: values[0] for name, values in parse_qs(form).items()}
            server.requests.append((endpoint, params))
            try:
                if not self.authenticated():
                    raise Refusal(401, "auth_authentication_failed", "Authentication failed.")
                self.reply(server.answer(endpoint, params), server.fault(endpoint))
            except Refusal as refusal:
                self.send(refusal.status, "application/json", json.dumps({"detail": refusal.detail}).encode())
            except KeyError as missing:
                self.send(422, "application/json", json.dumps({"detail": f"missing parameter {missing}"}).encode())

        def authenticated(self) -> bool:
            scheme, _, token = self.headers.get("Authorization", "").partition(" ")
            return scheme == "Basic" and base64.b64decode(token).decode().partition(":")[0] in server.keys

        def reply(self, content: "bytes | Any", fault: str | None) -> None:
            if fault == "server_error":
                return self.send(500, "application/json", b'{"detail": "Internal server error."}')
            if fault == "busy":
                return self.send(429, "application/json", b'{"detail": "Too many requests."}', {"Retry-After": "0"})
            if fault == "silence":
                return self.hang_up()
            if not isinstance(content, bytes):
                return self.send(200, "application/json", json.dumps(content).encode())
            if fault == "truncate":
                content = content[: len(content) // 2]
            self.send(200, "application/octet-stream", content, cut=fault == "cut")

        def send(
            self, status: int, kind: str, content: bytes, headers: Mapping[str, str] | None = None, cut: bool = False
        ) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if cut else content)
            if cut:
                self.hang_up()

        def hang_up(self) -> None:
            self.close_connection = True

    return Handler
