"""What a loopback gateway can do wrong, by name."""

from typing import NamedTuple

STREAM_FAULTS = {  # what befalls a running session
    "fin": "closes cleanly, possibly inside a record",
    "rst": "resets the connection",
    "error": "sends an ErrorMsg and closes",
    "garbage": "sends bytes that are no record",
    "stall": "stops sending anything, the socket stays open",
    "mute": "stops sending data, heartbeats go on",
    "skipped": "leaves out an interval and says so (SKIPPED_RECORDS_AFTER_SLOW_READING)",
    "slow_reader": "warns of slow reading and goes on",
    "unresolved": "reports a symbol that does not resolve and goes on",
}


DOOR_FAULTS = {  # what the next connection meets, after the running session was closed
    "refuse": "the port is closed for a while",
    "hang_auth": "accepts, then says nothing",
    "close_auth": "closes during authentication",
    "close_before_metadata": "closes when the session is started",
    "silent": "sends the metadata, then nothing",
}


FAULTS = STREAM_FAULTS | DOOR_FAULTS


class Fault(NamedTuple):
    "Something that goes wrong when the data reaches a moment."

    at: int  # ns, data time; the fraction of the interval decides how much of it still goes out
    kind: str  # one of FAULTS
    hold: float = 0.05  # s that a refused port stays closed
