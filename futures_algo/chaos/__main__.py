"`python -m futures_algo.chaos`: the broker as its own process, until its standard input ends or it is told to stop."

import argparse
import json
import secrets
import signal
import sys
import threading
import time

from futures_algo.chaos.broker import ChaosBroker
from futures_algo.chaos.clock import Clock, HandClock, ScaledClock
from futures_algo.chaos.control import steer
from futures_algo.chaos.settings import Settings


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--account", action="append", help="may be repeated; default Sim101")
    parser.add_argument("--token", default="chaos-token")
    parser.add_argument("--seed", default="0", help="of ids and of drawn settings")
    parser.add_argument("--drawn-settings", action="store_true", help="a version of the bridge drawn from the seed")
    parser.add_argument("--clock", default="real", help="real, hand, or a number: that many times as fast")
    return parser.parse_args()


def clock_of(text: str) -> Clock:
    if text == "real":
        return time.time_ns
    return HandClock() if text == "hand" else ScaledClock(float(text))


def main() -> None:
    given = arguments()
    settings = Settings.drawn(given.seed) if given.drawn_settings else Settings()
    broker = ChaosBroker(
        given.account or ["Sim101"], token=given.token, clock=clock_of(given.clock), settings=settings, seed=given.seed
    )
    key = secrets.token_hex(16)
    broker.wire.control = steer(broker, key)
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    broker.start(given.port)
    print(json.dumps({"url": broker.url, "host": broker.host, "token": given.token, "key": key}), flush=True)

    def end_with_input() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=end_with_input, daemon=True).start()
    ended.wait()
    broker.stop()


if __name__ == "__main__":
    main()
