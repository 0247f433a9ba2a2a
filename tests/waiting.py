"Waiting for what another thread, process or page does: polled with a deadline."

import time
from collections.abc import Callable
from typing import Any

PATIENCE = 180.0  # seconds; only a failure takes that long


def eventually(
    check: Callable[[], Any],
    seconds: float = PATIENCE,
    every: float = 0.02,  # seconds between looks
) -> Any:
    "The first true answer; fails with the last one."
    deadline = time.monotonic() + seconds
    while not (answer := check()):
        assert time.monotonic() < deadline, f"still {answer!r} after {seconds:g} s"
        time.sleep(every)
    return answer
