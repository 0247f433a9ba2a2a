"What the loopback gateway puts on the wire: the bars of each interval, then its marker."

import databento_dbn
import numpy as np
from databento_dbn import DBNDecoder, Metadata, SType, SystemCode, SystemMsg
from hypothesis import given
from hypothesis import strategies as st

from futures_algo.core.dbn import OHLCV_DTYPE
from futures_algo.core.types import SECOND
from futures_algo.sim.tape import wire

BEGIN = 1_765_800_000 * SECOND
MARKER = bytes(SystemMsg(ts_event=0, msg="End of interval for ohlcv-1s", code=SystemCode.END_OF_INTERVAL))


def _decoded(data: bytes, ts_out: bool) -> list:
    "The records as Databento's decoder sees them."
    metadata = Metadata(
        dataset="GLBX.MDP3",
        start=0,
        stype_in=None,
        stype_out=SType.INSTRUMENT_ID,
        schema=None,
        ts_out=ts_out,
        version=3,
    )
    return DBNDecoder().write_and_decode(metadata.encode() + data)[1:]


@given(per_interval=st.lists(st.integers(0, 3), min_size=1, max_size=20), ts_out=st.sampled_from([None, BEGIN]))
def test_bars_then_the_marker_of_their_interval(per_interval, ts_out):
    rows = np.zeros(sum(per_interval), OHLCV_DTYPE)
    rows["length"], rows["rtype"], rows["instrument_id"] = 14, 32, np.arange(len(rows))
    rows["ts_event"] = BEGIN + SECOND * np.repeat(np.arange(len(per_interval)), per_interval)
    records = _decoded(wire(rows, MARKER, BEGIN, SECOND, len(per_interval), ts_out), ts_out is not None)
    sent = [
        ("bar", r.instrument_id, r.ts_event) if isinstance(r, databento_dbn.OHLCVMsg) else ("marker", None, r.ts_event)
        for r in records
    ]
    ids = iter(range(len(rows)))
    expected = [
        item
        for k, count in enumerate(per_interval)
        for item in [
            *(("bar", next(ids), BEGIN + k * SECOND) for _ in range(count)),
            ("marker", None, BEGIN + (k + 1) * SECOND),
        ]
    ]
    assert sent == expected
    assert {r.ts_out for r in records} == {2**64 - 1 if ts_out is None else ts_out}
