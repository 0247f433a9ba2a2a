"""One client's session at the loopback gateway: authentication, subscriptions, and the pump that sends records."""

import asyncio
import hashlib
import secrets
import socket
import struct
import time
from typing import Any

import numpy as np
import zstandard
from databento_dbn import ErrorCode, ErrorMsg, Metadata, SType, SymbolMappingMsg, SystemCode, SystemMsg

from futures_algo.core.types import DAY
from futures_algo.sim.gateway_faults import Fault
from futures_algo.sim.tape import Tape, stamped, wire

_IDLE_POLL = 0.25  # s, longest sleep between two looks at the clock
_NO_RECORD = b"\xff" * 64


def _fields(line: bytes) -> dict[str, str]:
    return dict(part.partition("=")[::2] for part in line.decode().strip().split("|"))


def _system(at: int, message: str, code: SystemCode) -> SystemMsg:
    return SystemMsg(ts_event=at, msg=message, code=code)


def _symbol_mapping(at: int, symbol: str, stype: str, contract: str, mapping: tuple[int, int, int]) -> bytes:
    "The mapping record as the real gateway sends it: with the two symbology types unset."
    start, end, instrument = mapping
    record = bytearray(
        bytes(
            SymbolMappingMsg(
                publisher_id=0,
                instrument_id=instrument,
                ts_event=at,
                stype_in=SType.from_str(stype),
                stype_in_symbol=symbol,
                stype_out=SType.RAW_SYMBOL,
                stype_out_symbol=contract,
                start_ts=start,
                end_ts=end,
            )
        )
    )
    record[16] = record[88] = 255
    return bytes(record)


class Stream:
    "What a session was subscribed to in one schema, and how far it was sent."

    def __init__(self, tape: Tape, begin: int, replaying: bool):
        self.tape, self.replaying = tape, replaying
        # a replay starts with the first interval from `start` on, a live stream with the interval under way
        self.position = (-(-begin // tape.step) if replaying else begin // tape.step) * tape.step
        self.instruments: set[int] = set()
        self.rows = tape.rows[:0]
        self.limit: int | None = None  # ns the stream does not pass
        self.marker = bytes(_system(0, f"End of interval for {tape.schema}", SystemCode.END_OF_INTERVAL))

    def add(self, instruments: set[int]) -> None:
        self.instruments |= instruments
        self.rows = self.tape.select(self.instruments)

    def between(self, begin: int, end: int) -> np.ndarray:
        "The rows of [begin, end)."
        first, last = np.searchsorted(self.rows["ts_event"], np.array([begin, end], np.uint64))
        return self.rows[first:last]


class Session:
    "One connection, from the greeting to its end."

    def __init__(
        self,
        gateway: Any,  # LoopbackGateway, which makes this session
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        door: str,
    ):
        self.gateway, self.reader, self.writer, self.door = gateway, reader, writer, door
        self.id, self.handler = "", asyncio.current_task()
        self.pump: asyncio.Task[None] | None = None
        self.subscriptions: list[dict[str, str]] = []
        self.streams: dict[str, Stream] = {}
        self.started = self.ts_out = self.stalled = self.muted = False
        self.deflate: zstandard.ZstdCompressionObj | None = None

    async def run(self) -> None:
        "Serve the client until either side closes."
        if self.door == "hang_auth":
            await self.reader.read()
            return
        if not await self._authenticate():
            await self.writer.drain()
            return
        try:
            while line := await self.reader.readline():
                self.gateway.requests.append(request := _fields(line))
                if "start_session" in request:
                    if self.door == "close_before_metadata":
                        return
                    self._start()
                elif "schema" in request:
                    self._subscribe(request)
        finally:
            if self.pump:
                self.pump.cancel()

    async def _authenticate(self) -> bool:
        token = secrets.token_hex(16)
        self.writer.write(f"lsg_version=0.9.4\ncram={token}\n".encode())
        answer = _fields(await self.reader.readline())
        if self.door == "close_auth" or "auth" not in answer:
            return False
        digest = {hashlib.sha256(f"{token}|{key}".encode()).hexdigest() + "-" + key[-5:] for key in self.gateway.keys}
        refusal = ""
        if answer["auth"] not in digest:
            refusal = "Authentication failed."
        elif answer["dataset"] != self.gateway.dataset:
            refusal = "Unknown dataset."
        self.id = str(next(self.gateway.session_ids))
        self.writer.write(
            f"success=0|error={refusal}\n".encode() if refusal else f"success=1|session_id={self.id}\n".encode()
        )
        self.ts_out, self.compressed = answer.get("ts_out") == "1", answer.get("compression") == "zstd"
        self.heartbeat_s = self.gateway.heartbeat_s or float(answer.get("heartbeat_interval_s", 30))
        return not refusal

    def now(self) -> int:
        "Virtual time as this session lives it; without a pace it is as far as the session was sent."
        if self.gateway.paced:
            return self.gateway.now()
        return min((stream.position for stream in self.streams.values()), default=self.gateway.start_ns)

    def _start(self) -> None:
        if self.compressed:
            self.deflate = zstandard.ZstdCompressor().compressobj()
        starts = [int(s["start"]) for s in self.subscriptions if "start" in s]
        self._write(
            Metadata(
                dataset=self.gateway.dataset,
                start=min(starts, default=self.now()),
                end=None,
                schema=None,
                stype_in=None,
                stype_out=SType.INSTRUMENT_ID,
                ts_out=self.ts_out,
                version=3,
            ).encode()
        )
        self.started = True
        if self.door == "silent":
            return
        for subscription in self.subscriptions:
            self._acknowledge(subscription)
        self.pump = asyncio.create_task(self._pump())

    def _subscribe(self, request: dict[str, str]) -> None:
        if self.started:
            request.pop("start", None)  # the real gateway ignores it too
        self.subscriptions.append(request)
        if self.started:
            self._acknowledge(request)

    def _acknowledge(self, request: dict[str, str]) -> None:
        "Answer a subscription: acknowledgement, mappings, unresolved symbols; then its stream may flow."
        gateway, schema, stype = self.gateway, request["schema"], request["stype_in"]
        tape = gateway.tapes.get(schema)
        if tape is None:
            self._fail(f"No data for schema {schema}", ErrorCode.INVALID_SUBSCRIPTION)
            return
        begin = int(request["start"]) if "start" in request else self.now()
        oldest = gateway.now() - gateway.replay_window if gateway.paced else gateway.start_ns
        if begin == 0:
            begin = max(tape.start, oldest)  # 0 asks for all there is
        if gateway.paced and begin < oldest:
            self._fail("Replay data aged out", ErrorCode.REPLAY_DATA_AGED_OUT)
            return
        map_at = begin if gateway.mapped_by == "start" else self.now()
        stream = self.streams.setdefault(schema, Stream(tape, begin, "start" in request))
        self.send(
            _system(
                self.now(),
                f"Subscription request {request.get('id')} for {schema} data succeeded",
                SystemCode.SUBSCRIPTION_ACK,
            )
        )
        stream.add(
            {
                mapped
                for symbol in request["symbols"].split(",")
                if (mapped := self._map(tape, symbol, stype, map_at)) is not None
            }
        )
        if stype == "continuous" and not gateway.paced:
            stream.limit = (stream.position // DAY + 1) * DAY

    def _map(self, tape: Tape, symbol: str, stype: str, at: int) -> int | None:
        "Send the symbol's mapping, or say that it does not resolve."
        mapping = tape.resolve(symbol, stype, at)
        if mapping is None:
            self.send(
                ErrorMsg(
                    ts_event=self.now(),
                    err=f"Failed to resolve symbol {symbol}",
                    code=ErrorCode.SYMBOL_RESOLUTION_FAILED,
                )
            )
            return None
        self.send(_symbol_mapping(self.now(), symbol, stype, tape.names.get(mapping[2], str(mapping[2])), mapping))
        return mapping[2]

    async def _pump(self) -> None:
        "Send what is due, beat when there is nothing, until everything was sent."
        last = time.monotonic()
        while not self.writer.is_closing():
            sent = [self._advance(schema, stream) for schema, stream in list(self.streams.items())]
            if any(sent):
                last = time.monotonic()
                await self.writer.drain()
                continue
            if time.monotonic() - last >= self.heartbeat_s and not self.stalled:
                self.send(_system(self.now(), "Heartbeat", SystemCode.HEARTBEAT))
                last = time.monotonic()
            if self.gateway.close_at_end and all(
                stream.position >= self.gateway.end_ns for stream in self.streams.values()
            ):
                self.writer.close()
            await asyncio.sleep(self._until_due())

    def _until_due(self) -> float:
        "Seconds until the next interval ends, or the next heartbeat may be due."
        wait = min(_IDLE_POLL, self.heartbeat_s / 4)
        if not self.gateway.paced:
            return wait
        due = min((stream.position + stream.tape.step for stream in self.streams.values()), default=0)
        return min(wait, max(0.0005, (due - self.now()) / 1e9 / self.gateway.speed))

    def _advance(self, schema: str, stream: Stream) -> bool:
        "Send the next intervals of a stream; True when there were any."
        if self.stalled or self.muted:
            return False
        step, now = stream.tape.step, self.gateway.now()
        end = (
            min(now if stream.limit is None else min(now, stream.limit), stream.position + self.gateway.batch * step)
            // step
            * step
        )
        if self.gateway.faults and self.gateway.faults[0].at < end:
            self._strike_at(stream, self.gateway.faults.pop(0))
            return True
        if end > stream.position:
            self._send_until(stream, end)
            return True
        if stream.replaying and (self.gateway.paced or stream.position >= now):
            stream.replaying = False
            self.send(_system(self.now(), f"Finished {schema} replay", SystemCode.REPLAY_COMPLETED))
        return False

    def _records(self, stream: Stream, end: int) -> bytes:
        step, marker = stream.tape.step, stream.marker if self.gateway.markers else b""
        count = (end - stream.position) // step
        return wire(
            stream.between(stream.position, end),
            marker,
            stream.position,
            step,
            count,
            self.now() if self.ts_out else None,
        )

    def _send_until(self, stream: Stream, end: int) -> None:
        if not self.gateway.paced and not len(stream.between(stream.position, end)):
            stream.position = (
                end - stream.tape.step
            )  # nobody waits for the markers of a weekend: the last one closes them all
        records = self._records(stream, end)
        stream.position = end
        self._write(records)
        self.gateway.on_sent(end)

    def _strike_at(self, stream: Stream, fault: "Fault") -> None:
        """Send up to the fault's moment: whole intervals, then a part of the one under way, cut at a record unless the
        socket itself is to fail."""
        step = stream.tape.step
        whole = max(stream.position, fault.at // step * step)
        if whole > stream.position:
            self._send_until(stream, whole)
        size = len(
            part := wire(stream.between(whole, whole + step), b"", whole, step, 1, self.now() if self.ts_out else None)
        )
        record = 64 if self.ts_out else 56
        cut = int(size * (fault.at % step) / step)
        if fault.kind not in ("fin", "rst"):
            cut = cut // record * record
        if fault.kind not in ("skipped", "slow_reader", "unresolved"):
            self._write(part[:cut])
        if fault.kind == "skipped":
            stream.position = whole + step
        self.strike(fault)

    def strike(self, fault: "Fault") -> None:
        "Let a fault happen to this session."
        from futures_algo.sim.gateway_faults import DOOR_FAULTS

        self.gateway.struck.append(fault.kind)
        if fault.kind in DOOR_FAULTS:
            self.gateway.shut_door(fault)
            self.close()
        else:
            getattr(self, f"_strike_{fault.kind}")()

    def _strike_fin(self) -> None:
        self.close()

    def _strike_rst(self) -> None:
        self.abort()

    def _strike_error(self) -> None:
        self._fail("Internal error, please reconnect", ErrorCode.INTERNAL_ERROR)

    def _strike_garbage(self) -> None:
        self._write(_NO_RECORD)

    def _strike_stall(self) -> None:
        self.stalled = True

    def _strike_mute(self) -> None:
        self.muted = True

    def _strike_skipped(self) -> None:
        self._error("Skipped records after slow reading", ErrorCode.SKIPPED_RECORDS_AFTER_SLOW_READING)

    def _strike_slow_reader(self) -> None:
        self.send(_system(self.now(), "Warning: slow reading", SystemCode.SLOW_READER_WARNING))

    def _strike_unresolved(self) -> None:
        self._error("Failed to resolve symbol ZZ.c.0", ErrorCode.SYMBOL_RESOLUTION_FAILED)

    def _error(self, text: str, code: ErrorCode) -> None:
        self.send(ErrorMsg(ts_event=self.now(), err=text, code=code))

    def _fail(self, text: str, code: ErrorCode) -> None:
        self._error(text, code)
        self.close()

    def close(self) -> None:
        "Close cleanly, after what was sent."
        self.writer.close()

    def abort(self) -> None:
        "Reset the connection, dropping what was not sent yet; a session that is closing already goes its way."
        if self.writer.is_closing():
            return
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def send(self, record: "SystemMsg | ErrorMsg | bytes") -> None:
        self._write(stamped(bytes(record), self.now() if self.ts_out else None))

    def _write(self, data: bytes) -> None:
        if self.writer.is_closing():
            return
        if self.deflate is not None:
            data = self.deflate.compress(data) + self.deflate.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        self.writer.write(data)
