"""Five sessions with everything that goes wrong in a week: feed faults, broker faults, config reloads, the notebook's
kernel killed and the engine killed.

The session reports at the end leave no difference without a cause, no order was sent twice and no bar is missing.
"""

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack

import psutil
import pytest
from test_engine_process import KEY, ROOT, TOKEN, Engine
from waiting import eventually

from futures_algo.aggregator.aggregator import aggregate
from futures_algo.core.sessions import SessionCalendar
from futures_algo.core.types import MINUTE, DataClock
from futures_algo.history import read_dbn
from futures_algo.live.demo import Recording
from futures_algo.sim.broker import PaperBroker
from futures_algo.sim.gateway import LoopbackGateway
from futures_algo.sim.gateway_faults import FAULTS, Fault
from futures_algo.sim.market import generate

FEED_FAULTS = sorted(
    set(FAULTS) - {"skipped", "unresolved", "hang_auth", "silent"}
)  # those that lose nothing; two more cost seconds of waiting each
BROKER_FAULTS = ("rate_limited", "addon_down", "lost_after", "lost_before", "late", "html")


@pytest.fixture(scope="module")
def week(tmp_path_factory) -> Recording:
    path = generate(tmp_path_factory.mktemp("week"), seed=13, sessions=5).files["ohlcv-1s"][0]
    return Recording(path, "ohlcv-1s", read_dbn(path))


def change(engine: Engine, length: int) -> None:
    "Another parameter in the config file, written as an editor does."
    content = json.loads(engine.config.read_text())
    content["strategies"]["bullish_cci_nq"]["parameters"]["length"] = length
    draft = engine.config.with_suffix(".draft")
    draft.write_text(json.dumps(content))
    os.replace(draft, engine.config)


def watch_and_lose_the_kernel(engine: Engine) -> None:
    "papermill attaches to the engine, and its kernel is killed."
    parameters = [
        "-p",
        "config",
        str(engine.config),
        "-p",
        "start_engine",
        "False",
        "-p",
        "session_end",
        str(engine.recording.end * 2),
    ]
    run = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "papermill",
            str(ROOT / "nbs/live.ipynb"),
            str(engine.folder / "night.ipynb"),
            "--cwd",
            str(engine.folder),
            *parameters,
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"DATABENTO_API_KEY": KEY, "CROSSTRADE_API_KEY": TOKEN, "PYTHONPATH": str(ROOT)},
    )
    kernels = eventually(
        lambda: [child for child in psutil.Process(run.pid).children() if "ipykernel" in " ".join(child.cmdline())]
    )
    for kernel in kernels:
        kernel.kill()
    run.wait(60)


def sessions_of(engine: Engine) -> list[str]:
    calendar = SessionCalendar.of("ES.c.0")
    bars = engine.recording.bars["ES.c.0"]
    return sorted({str(calendar.session_date(int(at))) for at in bars.start[::600]})


@pytest.mark.timeout(900)
def test_a_week_of_faults_is_explained_to_the_last_difference(week, tmp_path):
    chance, length = random.Random(17), week.end - week.start
    at = lambda low, high: week.start + int(chance.uniform(low, high) * length)
    faults = [Fault(at(0.02, 0.95), kind) for kind in FEED_FAULTS for _ in range(2)]
    with ExitStack() as stack:
        gateway = stack.enter_context(LoopbackGateway({week.schema: [week.path]}, [KEY], faults=faults))
        broker = stack.enter_context(PaperBroker(week.bars, DataClock(week.start), "Sim101", TOKEN))
        engine = Engine(tmp_path, week, gateway, broker)
        content = json.loads(engine.config.read_text())
        content["engine"]["reload_seconds"] = 0.2
        engine.config.write_text(json.dumps(content))
        stack.callback(engine.close)
        engine.start("--supervised")

        def wait(part: float) -> None:
            eventually(lambda: engine.reached() >= week.start + part * length, 180)

        for part, happening in (
            (0.08, "broker"),
            (0.16, "reload"),
            (0.24, "kill"),
            (0.34, "kernel"),
            (0.42, "broker"),
            (0.50, "reload"),
            (0.58, "kill"),
            (0.68, "broker"),
            (0.76, "reload"),
        ):
            wait(part)
            if happening == "broker":
                for kind in chance.sample(BROKER_FAULTS, 3):
                    broker.faults.add(kind, path="/place", method="POST", seconds=0.05, skip=chance.randrange(3))
            elif happening == "reload":
                change(engine, 18 + int(part * 10))
            elif happening == "kernel":
                watch_and_lose_the_kernel(engine)
            else:
                victim = eventually(engine.running)
                os.kill(victim, signal.SIGKILL)
                eventually(lambda victim=victim: engine.running() not in (0, victim))
        expected = {
            symbol: aggregate(bars, 1, through=int(bars.end[-1]) + MINUTE) for symbol, bars in week.bars.items()
        }  # the last minute is closed by its marker
        eventually(lambda: engine.reached() >= max(int(bars.end[-1]) for bars in expected.values()), 240)
        engine.process.send_signal(signal.SIGTERM)
        assert engine.process.wait(30) == 0
        orders, struck = list(broker.books.orders.values()), list(gateway.struck)
    with engine.journal() as journal:
        for symbol, bars in expected.items():
            ends = [
                row["end"] for row in journal.rows("bars", "symbol = ? AND timeframe = '1min'", symbol, order='"end"')
            ]
            assert ends == bars.end.tolist()  # every bar, once
        assert max(Counter(order.given_id for order in orders if order.given_id).values()) == 1  # every order, once
        entries = Counter(row["signal_id"] for row in journal.rows("intents", "purpose = 'entry' AND state = 'Filled'"))
        assert max(entries.values()) == 1
        assert len(journal.rows("runs")) == 3 and len(journal.rows("configs")) >= 4
    causes = report(engine)
    print(f"\nfeed faults {dict(Counter(struck))}\ncauses {causes}")
    assert len(set(struck)) >= 8 and "unexplained" not in causes


def report(engine: Engine) -> Counter:
    "Causes of all differences, session by session."
    causes: Counter = Counter()
    for session in sessions_of(engine):
        verb = subprocess.run(
            [
                sys.executable,
                "-m",
                "futures_algo",
                "report",
                "--journal",
                str(engine.path),
                "--session",
                session,
                "--data",
                str(engine.recording.path),
                "--json",
            ],
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert verb.returncode in (0, 1), verb.stderr
        document = json.loads(verb.stdout.splitlines()[-1])
        causes.update(one["cause"] for one in document["differences"])
        for one in document["differences"]:
            if one["cause"] == "unexplained":
                print(session, one)
    return causes
