"The journal keeps what it is told, in order, through crashes, readers and a second engine."

import sqlite3
import subprocess
import sys

import pytest

from futures_algo.core.types import MINUTE, Bar, InputError, Signal
from futures_algo.journal.journal import GROUP_ROWS, Journal, JournalError

BAR = Bar("ES.c.0", "1min", 0, MINUTE, 5000.0, 5001.0, 4999.0, 5000.5, 10, "ESZ5")
SIGNAL = Signal("a1", "mine", "ES.c.0", "ESZ5", "LONG_ENTRY", MINUTE, "1min", 5000.5, "c0")


@pytest.fixture
def journal(tmp_path):
    with Journal(tmp_path / "live.db") as journal:
        yield journal


def test_rows_come_back_as_they_were_written(journal):
    journal.add_bar(BAR, received=5)
    journal.add_signal(SIGNAL, at=7, verdict="sent")
    assert journal.rows("bars")[0] | {"seq": 1} == journal.rows("bars")[0]
    assert journal.one("signals", "id", "a1")["price"] == 5000.5
    assert [row["end"] for row in journal.since("bars", 0)] == [MINUTE] and journal.since("bars", 1) == []


def test_the_same_decision_twice_keeps_the_first_row(journal):
    journal.add_signal(SIGNAL, at=7, verdict="sent")
    journal.add_signal(SIGNAL, at=8, verdict="denied")
    assert [row["verdict"] for row in journal.rows("signals")] == ["sent"]


def test_a_reader_in_another_process_sees_durable_rows_at_once(journal):
    journal.add_bar(BAR, received=5)
    journal.add_signal(SIGNAL, at=7, verdict="sent")
    code = (
        f"from futures_algo.journal.journal import Journal; j = Journal({str(journal.path)!r}, readonly=True);"
        " print(j.count('bars'), j.count('signals'))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == [
        "1",
        "1",
    ]


def test_a_killed_writer_loses_no_durable_row(tmp_path):
    code = f"""
import os, signal
from futures_algo.journal.journal import Journal
j = Journal({str(tmp_path / "live.db")!r})
j.add("intents", order_id="o1", at=1, state="journaled")
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    with Journal(tmp_path / "live.db") as journal:
        assert journal.one("intents", "order_id", "o1")["state"] == "journaled"


def test_a_second_engine_is_refused_until_the_first_ends(journal):
    journal.hold()
    other = Journal(journal.path)
    with pytest.raises(JournalError, match="Another engine"):
        other.hold()
    journal.close()
    other.hold()
    other.close()


def test_commands_are_answered_once(journal):
    identity = journal.command("halt", "ann", scope="account")
    assert [(c["verb"], c["args"]) for c in journal.new_commands()] == [("halt", {"scope": "account"})]
    journal.acknowledge(identity, "done", "halted")
    assert journal.new_commands() == [] and journal.one("commands", "id", identity)["answer"] == "halted"


def test_status_is_the_latest(journal):
    journal.set_status("feed", 1, state="down")
    journal.set_status("feed", 2, state="live")
    assert journal.status() == {"feed": {"state": "live", "at": 2}}


def test_a_missing_journal_and_a_foreign_file_are_explained(tmp_path):
    with pytest.raises(JournalError, match="no journal"):
        Journal(tmp_path / "none.db", readonly=True)
    (tmp_path / "text.db").write_text("hello " * 500)
    with pytest.raises(JournalError, match="not a journal"):
        Journal(tmp_path / "text.db", readonly=True)


@pytest.mark.parametrize("version, word", [("0", "older"), ("99", "newer")])
def test_another_schema_version_is_named(tmp_path, version, word):
    with Journal(tmp_path / "live.db") as journal:
        journal.update("meta", "key", "schema_version", value=version)
    with pytest.raises(JournalError, match=word):
        Journal(tmp_path / "live.db", readonly=True)


def test_an_unknown_table_gets_a_hint(journal):
    with pytest.raises(InputError, match="did you mean 'signals'"):
        journal.rows("signal")


def test_a_sound_file_has_no_damage(journal):
    assert journal.damage() == []


def test_rows_written_together_are_committed_once_and_together(journal):
    seen = []
    journal._connection.set_trace_callback(lambda sql: seen.append(sql) if sql == "COMMIT" else None)
    with journal.together():
        journal.add_signal(SIGNAL, at=7, verdict="sent")
        journal.add("intents", order_id="o1", at=7, state="Journaled")
        assert seen == []
    assert len(seen) == 1 and journal.count("intents") == journal.count("signals") == 1


def test_a_refused_row_does_not_take_its_group_with_it(journal):
    journal.add("intents", order_id="o1", at=7, state="Journaled")
    journal.add_bar(BAR, received=5)
    with pytest.raises(sqlite3.IntegrityError):
        journal.add("intents", order_id="o1", at=8, state="Journaled")
    assert journal.count("bars") == 1 and journal.one("intents", "order_id", "o1")["at"] == 7


def test_denied_signals_wait_for_their_group_and_sent_ones_do_not(journal):
    with Journal(journal.path, readonly=True) as reader:
        journal.add_signal(SIGNAL, at=7, verdict="denied", denial="STALE")
        assert reader.count("signals") == 0
        journal.add_signal(SIGNAL._replace(id="a2"), at=7, verdict="sent")
        assert reader.count("signals") == 2


def test_order_rows_reach_the_disk_and_bars_need_not(journal):
    pragmas = []
    journal._connection.set_trace_callback(lambda sql: pragmas.append(sql) if "synchronous" in sql else None)
    journal.add("intents", order_id="o1", at=7, state="Journaled")
    journal.add_bar(BAR, received=5)
    journal.flush()
    assert pragmas == ["PRAGMA synchronous=FULL", "PRAGMA synchronous=NORMAL"]


def test_a_group_is_committed_when_it_is_large(journal):
    with Journal(journal.path, readonly=True) as reader:
        for i in range(GROUP_ROWS):
            journal.add_bar(BAR._replace(start=i, end=i + 1), received=i)
        assert reader.count("bars") > 0


def test_many_processes_may_make_the_journal_and_append_commands_at_once(tmp_path):
    code = (
        f"from futures_algo.journal.journal import Journal; j = Journal({str(tmp_path / 'live.db')!r});"
        " [j.command('halt', 'p') for _ in range(20)]"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    with Journal(tmp_path / "live.db") as journal:
        assert len(journal.new_commands()) == 60


def test_a_damaged_file_is_told(tmp_path):
    with Journal(tmp_path / "live.db") as journal:
        for i in range(2000):
            journal.add_bar(BAR._replace(start=i, end=i + 1), received=i)
    blob = bytearray((tmp_path / "live.db").read_bytes())
    middle = len(blob) // 8192 * 4096
    blob[middle : middle + 4096] = b"\xff" * 4096
    (tmp_path / "live.db").write_bytes(blob)
    with Journal(tmp_path / "live.db", readonly=True) as journal:
        assert journal.damage() != []
