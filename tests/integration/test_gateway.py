"The loopback gateway behaves towards the bare databento client as Databento's does."

import threading
from collections import Counter

import databento
import numpy as np
import pytest
from databento_dbn import Compression, ErrorCode, ErrorMsg, OHLCVMsg, SymbolMappingMsg, SystemCode, SystemMsg
from feed_world import HEARTBEAT, KEY, MIDNIGHT, record

from futures_algo.core.dbn import OHLCV_DTYPE, write_records
from futures_algo.core.types import MINUTE, SECOND, DataError, InputError
from futures_algo.sim.gateway import LoopbackGateway
from futures_algo.sim.gateway_faults import Fault


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return record(tmp_path_factory.mktemp("gateway") / "roll.dbn.zst")


def _session(
    gateway: LoopbackGateway,
    symbols=("ES.c.0", "NQ.c.0"),
    stype="continuous",
    schema="ohlcv-1s",
    start=None,
    stop=None,
    **settings,
) -> list:
    "All records of a session that the gateway closes, or that `stop(record)` ends."
    client, records, done = (
        databento.Live(key=KEY, gateway="127.0.0.1", port=gateway.port, **settings),
        [],
        threading.Event(),
    )

    def take(record) -> None:
        records.append(record)
        if stop and stop(record):
            done.set()

    client.add_callback(take)
    client.subscribe(dataset="GLBX.MDP3", schema=schema, symbols=list(symbols), stype_in=stype, start=start)
    client.start()
    if stop:
        assert done.wait(10)
        client.terminate()
    else:
        client.block_for_close(timeout=10)
    return records


def _system(records: list, code: SystemCode) -> list:
    return [r for r in records if isinstance(r, SystemMsg) and r.code == code]


@pytest.mark.parametrize(
    "settings",
    [{}, {"ts_out": True}, {"compression": Compression.ZSTD}, {"ts_out": True, "compression": Compression.ZSTD}],
)
def test_a_session_as_the_client_sees_it(world, settings):
    with LoopbackGateway(
        {"ohlcv-1s": [world.path]}, [KEY], start_ns=world.start, end_ns=world.end, close_at_end=True
    ) as gateway:
        records = _session(gateway, ("NQZ5",), "raw_symbol", **settings)
    assert _system(records[:1], SystemCode.SUBSCRIPTION_ACK) and isinstance(records[1], SymbolMappingMsg)
    bars = [r for r in records if isinstance(r, OHLCVMsg)]
    assert [r.ts_event for r in bars] == [bar.start for bar in world.bars if bar.symbol == "NQ.c.0"]
    assert [r.ts_event for r in _system(records, SystemCode.END_OF_INTERVAL)] == list(
        range(world.start + SECOND, world.end + 1, SECOND)
    )


def test_a_mapping_says_the_contract_and_leaves_the_symbologies_unset(world):
    with LoopbackGateway({"ohlcv-1s": [world.path]}, [KEY]) as gateway:
        records = _session(
            gateway, ["ES.c.0"], start=MIDNIGHT, stop=lambda record: isinstance(record, SymbolMappingMsg)
        )
    mapping = next(record for record in records if isinstance(record, SymbolMappingMsg))
    assert (mapping.stype_in_symbol, mapping.stype_out_symbol, mapping.instrument_id, mapping.start_ts) == (
        "ES.c.0",
        "ESH6",
        202,
        MIDNIGHT,
    )
    assert {mapping.stype_in, mapping.stype_out} <= {
        None,
        255,
    }  # how an unset one reads depends on the version of databento_dbn


def test_a_replay_ends_with_its_own_message_and_markers_go_on(world):
    with LoopbackGateway({"ohlcv-1s": [world.path]}, [KEY], start_ns=MIDNIGHT, speed=20.0) as gateway:
        finished = lambda record: (
            isinstance(record, SystemMsg)
            and record.code == SystemCode.END_OF_INTERVAL
            and record.ts_event > MIDNIGHT + 2 * SECOND
        )
        records = _session(gateway, ["NQ.c.0"], start=world.start, stop=finished)
    done = records.index(_system(records, SystemCode.REPLAY_COMPLETED)[0])
    assert _system(records[:done], SystemCode.END_OF_INTERVAL) and _system(records[done:], SystemCode.END_OF_INTERVAL)


def test_a_running_session_is_never_rolled(world):
    past_midnight = lambda record: isinstance(record, SystemMsg) and record.ts_event >= MIDNIGHT + 3 * SECOND
    with LoopbackGateway({"ohlcv-1s": [world.path]}, [KEY], start_ns=MIDNIGHT - 5 * SECOND, speed=50.0) as gateway:
        records = _session(gateway, ["ES.c.0"], start=MIDNIGHT - 5 * SECOND, stop=past_midnight)
    assert {r.instrument_id for r in records if isinstance(r, OHLCVMsg)} == {101}


def test_heartbeats_when_there_is_nothing_to_say(world):
    with LoopbackGateway({"ohlcv-1s": [world.path]}, [KEY], heartbeat_s=HEARTBEAT) as gateway:
        records = _session(gateway, stop=lambda record: isinstance(record, SystemMsg) and record.is_heartbeat())
    assert _system(records, SystemCode.END_OF_INTERVAL)


def test_two_schemas_in_one_session(world, tmp_path):
    minute = np.zeros(2, OHLCV_DTYPE)
    minute["length"], minute["rtype"], minute["instrument_id"] = 14, 33, 303
    minute["ts_event"] = [MIDNIGHT - MINUTE, MIDNIGHT]
    write_records(tmp_path / "minute.dbn", minute, {}, schema="ohlcv-1m")
    with LoopbackGateway(
        {"ohlcv-1s": [world.path], "ohlcv-1m": [tmp_path / "minute.dbn"]}, [KEY], close_at_end=True
    ) as gateway:
        client, records = databento.Live(key=KEY, gateway="127.0.0.1", port=gateway.port), []
        client.add_callback(records.append)
        for schema in ("ohlcv-1s", "ohlcv-1m"):
            client.subscribe("GLBX.MDP3", schema, [303], "instrument_id", start=MIDNIGHT - MINUTE)
        client.start()
        client.block_for_close(timeout=10)
    counts = Counter(str(record.rtype) for record in records if isinstance(record, OHLCVMsg))
    assert sorted(counts.values()) == [2, sum(bar.symbol == "NQ.c.0" for bar in world.bars)]


@pytest.mark.parametrize(
    "key, dataset, says", [("db-wrong", "GLBX.MDP3", "Authentication failed"), (KEY, "XNAS.ITCH", "Unknown dataset")]
)
def test_refusals(world, key, dataset, says):
    with LoopbackGateway({"ohlcv-1s": [world.path]}, [KEY]) as gateway:
        client = databento.Live(key=key, gateway="127.0.0.1", port=gateway.port)
        with pytest.raises(databento.BentoError, match=says):
            client.subscribe(dataset, "ohlcv-1s", ["ES.c.0"], "continuous")


def test_a_start_before_the_window_is_aged_out(world):
    with LoopbackGateway(
        {"ohlcv-1s": [world.path]}, [KEY], speed=1.0, start_ns=MIDNIGHT, replay_window=5 * SECOND
    ) as gateway:
        records = _session(gateway, start=world.start, stop=lambda record: isinstance(record, ErrorMsg))
    assert records[-1].code == ErrorCode.REPLAY_DATA_AGED_OUT


def test_files_and_faults_that_cannot_be(world):
    with pytest.raises(DataError, match="must be ohlcv-1m here"):
        LoopbackGateway({"ohlcv-1m": [world.path]})
    with pytest.raises(InputError, match="did you mean 'stall'"):
        LoopbackGateway({"ohlcv-1s": [world.path]}, faults=[Fault(0, "stal")])


def test_a_port_that_is_taken_is_said(world):
    with LoopbackGateway({"ohlcv-1s": [world.path]}) as gateway, pytest.raises(OSError):
        LoopbackGateway({"ohlcv-1s": [world.path]}, port=gateway.port).start()


def test_an_empty_file_is_refused(tmp_path):
    write_records(tmp_path / "empty.dbn", np.zeros(0, OHLCV_DTYPE), {})
    with pytest.raises(DataError, match="must hold bars"):
        LoopbackGateway({"ohlcv-1s": [tmp_path / "empty.dbn"]})
