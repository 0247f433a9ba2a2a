"No decision leaves twice, exits leave first, and every signal is one line of JSON."

import json
import logging

from futures_algo.core.types import SECOND, Signal, content_hash, signal_id
from futures_algo.signals.generator import SignalGenerator, log_line, signal_log

END = 1_760_000_040 * SECOND


def signal(action="LONG_ENTRY", end=END, strategy="mine", symbol="ES.c.0") -> Signal:
    return Signal(
        signal_id(strategy, "c0", "ESZ5", end, action), strategy, symbol, "ESZ5", action, end, "1min", 6701.25, "c0"
    )


class Collects:
    "An executor that keeps what it is given, in order."

    def __init__(self):
        self.given = []

    def submit_signal(self, one):
        self.given.append(one)


def test_the_same_decision_leaves_once():
    executor = Collects()
    generator = SignalGenerator(executor=executor)
    assert generator.process_signals([signal()]) and generator.process_signals([signal()]) == []
    assert len(executor.given) == 1 and generator.dropped[-1][1] == "the same decision again"


def test_exits_go_before_entries_and_entries_by_priority():
    executor = Collects()
    SignalGenerator(executor=executor, priority={"late": 1, "early": 0}).process_signals(
        [signal(strategy="late"), signal(strategy="early"), signal("SHORT_EXIT", strategy="late")]
    )
    assert [(s.action, s.strategy) for s in executor.given] == [
        ("SHORT_EXIT", "late"),
        ("LONG_ENTRY", "early"),
        ("LONG_ENTRY", "late"),
    ]


def test_the_cooldown_holds_entries_back_and_never_an_exit():
    generator = SignalGenerator(cooldown_s=60)
    generator.process_signals([signal(), signal("LONG_EXIT")])
    assert generator.process_signals([signal(end=END + 59 * SECOND)]) == []
    assert len(generator.process_signals([signal("LONG_EXIT", end=END + 59 * SECOND)])) == 1
    assert len(generator.process_signals([signal(end=END + 60 * SECOND)])) == 1


def test_memory_of_ids_is_bounded():
    generator = SignalGenerator(remember=10)
    for i in range(100):
        generator.process_signals([signal(end=END + i * SECOND)])
    assert len(generator._seen) == 10


def test_a_signal_is_one_line_of_json(caplog):
    with caplog.at_level(logging.INFO, logger=signal_log.name):
        signal_log.propagate = True
        SignalGenerator().process_signals([signal()])
    assert json.loads(log_line(signal()))["time"] == "2025-10-09T08:54:00+00:00" and "\n" not in log_line(signal())


def test_ids_depend_on_every_part_of_the_decision():
    parts = ("mine", "c0", "ESZ5", END, "LONG_ENTRY", 0)
    changed = ("other", "c1", "ESH6", END + 1, "LONG_EXIT", 1)
    ids = {signal_id(*parts[:i], changed[i], *parts[i + 1 :]) for i in range(6)} | {signal_id(*parts)}
    assert len(ids) == 7


def test_the_content_hash_ignores_the_order_of_keys():
    assert content_hash({"a": 1, "b": [2]}) == content_hash({"b": [2], "a": 1}) != content_hash({"a": 1, "b": [3]})
