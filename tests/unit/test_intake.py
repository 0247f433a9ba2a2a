"Sessions that break anywhere become one stream: every bar once, in order, under its contract."

from databento_dbn import OHLCVMsg, SType, SymbolMappingMsg, SystemCode, SystemMsg
from hypothesis import given
from hypothesis import strategies as st

from futures_algo.core.types import SECOND, Bar, to_nanos
from futures_algo.feed.events import ContractMapped, IntervalEnd, Position
from futures_algo.feed.record_decoder import Demand, Intake

MIDNIGHT = to_nanos("2025-12-16T00:00:00Z")
BEGIN, SECONDS = MIDNIGHT - 6 * SECOND, 12
INSTRUMENTS = {"ESZ5": 101, "ESH6": 202, "NQZ5": 303}


def _contract(symbol: str, at: int) -> str:
    if symbol in INSTRUMENTS:
        return symbol
    if symbol.startswith("NQ"):
        return "NQZ5"
    return "ESZ5" if at < MIDNIGHT else "ESH6"


def _session(asked: tuple[str, ...], start: int, traded: dict[str, set[int]]) -> list:
    """What a gateway sends for a subscription: mappings by the date of its start, then bars and markers to the end of
    the world."""
    mapped = {symbol: _contract(symbol, start) for symbol in asked}
    records: list = [
        SymbolMappingMsg(
            publisher_id=0,
            instrument_id=INSTRUMENTS[name],
            ts_event=start,
            stype_in=SType.CONTINUOUS,
            stype_in_symbol=symbol,
            stype_out=SType.RAW_SYMBOL,
            stype_out_symbol=name,
            start_ts=0,
            end_ts=2**63,
        )
        for symbol, name in mapped.items()
    ]
    for at in range(start, BEGIN + SECONDS * SECOND, SECOND):
        for root, symbol in (("ES", "ES.c.0"), ("NQ", "NQ.c.0")):
            name = _contract(symbol, at)
            if (at - BEGIN) // SECOND in traded[root] and name in mapped.values():
                price = 5000 * SECOND + at % (100 * SECOND)
                records.append(
                    OHLCVMsg(
                        rtype=32,
                        publisher_id=1,
                        instrument_id=INSTRUMENTS[name],
                        ts_event=at,
                        open=price,
                        high=price,
                        low=price,
                        close=price,
                        volume=1,
                    )
                )
        records.append(
            SystemMsg(ts_event=at + SECOND, msg="End of interval for ohlcv-1s", code=SystemCode.END_OF_INTERVAL)
        )
    return records


def _stream(intake: Intake, breaks: list[int], traded: dict[str, set[int]]) -> list:
    "All events of sessions that break after so many records each, until the stream closes."
    events, breaks, demand = [], iter(breaks), None
    while demand is None or demand.action != "close":
        ask = intake.begin_session("GLBX.MDP3")
        for record in _session(ask.symbols, ask.start, traded)[: next(breaks, None)]:
            if demand := intake.readers[type(record)](record):
                break
        events += intake.take()
    return events


seconds = st.sets(st.integers(0, SECONDS - 1))


@given(es=seconds, nq=seconds, breaks=st.lists(st.integers(0, 30), max_size=12))
def test_breaks_anywhere_lose_and_double_nothing(es, nq, breaks):
    traded = {"ES": es, "NQ": nq}
    intake = Intake("ohlcv-1s", ("ES.c.0", "NQ.c.0"), Position(BEGIN, {}), BEGIN + SECONDS * SECOND, lambda: 0)
    events = _stream(intake, breaks, traded)
    for symbol in ("ES.c.0", "NQ.c.0"):
        bars = [(bar.start, bar.contract) for bar in events if isinstance(bar, Bar) and bar.symbol == symbol]
        assert bars == [(BEGIN + k * SECOND, _contract(symbol, BEGIN + k * SECOND)) for k in sorted(traded[symbol[:2]])]
    assert [event.end for event in events if isinstance(event, IntervalEnd)] == [
        BEGIN + (k + 1) * SECOND for k in range(SECONDS)
    ]
    assert sorted(event.contract for event in events if isinstance(event, ContractMapped)) == ["ESH6", "ESZ5", "NQZ5"]


@given(es=seconds, nq=seconds, handed=st.integers(0, 40))
def test_a_process_that_stops_anywhere_is_resumed_by_its_position(es, nq, handed):
    traded, end = {"ES": es, "NQ": nq}, BEGIN + SECONDS * SECOND
    first = Intake("ohlcv-1s", ("ES.c.0", "NQ.c.0"), Position(BEGIN, {}), end, lambda: 0)
    ask = first.begin_session("GLBX.MDP3")
    for record in _session(ask.symbols, ask.start, traded):
        if first.readers[type(record)](record):
            break
    taken = [event for _, event in zip(range(handed), first.take())]
    second = Intake("ohlcv-1s", ("ES.c.0", "NQ.c.0"), first.position, end, lambda: 0)
    bars = [
        bar.start for bar in [*taken, *_stream(second, [], traded)] if isinstance(bar, Bar) and bar.symbol == "ES.c.0"
    ]
    assert bars == [BEGIN + k * SECOND for k in sorted(es)]


def test_a_record_out_of_step_is_a_stream_that_cannot_be_decoded():
    intake = Intake("ohlcv-1s", ("ES.c.0",), Position(BEGIN, {}), None, lambda: 0)
    intake.begin_session("GLBX.MDP3")
    torn = SystemMsg(ts_event=BEGIN + SECOND // 3, msg="End of interval for ohlcv-1s", code=SystemCode.END_OF_INTERVAL)
    demand = intake.readers[SystemMsg](torn)
    assert isinstance(demand, Demand) and demand.action == "retry" and intake.closed_through == BEGIN
