"The journal keeps what it is told, in order, through crashes, readers and a second engine."
import subprocess
import sys

import pytest

from futures_algo.core import MINUTE, Bar, InputError, Signal
from futures_algo.journal import Journal, JournalError

BAR = Bar("ES.c.0", "1min", 0, MINUTE, 5000.0, 5001.0, 4999.0, 5000.5, 10, "ESZ5")
SIGNAL = Signal("a1", "mine", "ES.c.0", "ESZ5", "LONG_ENTRY", MINUTE, "1min", 5000.5, "c0")


@pytest.fixture
def journal(tmp_path):
    with Journal(tmp_path / "live.db") as journal: yield journal


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
    code = f"from futures_algo.journal import Journal; j = Journal({str(journal.path)!r}, readonly=True); print(j.count('bars'), j.count('signals'))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == ["1", "1"]


def test_a_killed_writer_loses_no_durable_row(tmp_path):
    code = f"""
import os, signal
from futures_algo.journal import Journal
j = Journal({str(tmp_path / 'live.db')!r})
j.add("intents", order_id="o1", at=1, state="journaled")
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    with Journal(tmp_path / "live.db") as journal: assert journal.one("intents", "order_id", "o1")["state"] == "journaled"


def test_a_second_engine_is_refused_until_the_first_ends(journal):
    journal.hold()
    other = Journal(journal.path)
    with pytest.raises(JournalError, match="Another engine"): other.hold()
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
    with pytest.raises(JournalError, match="no journal"): Journal(tmp_path / "none.db", readonly=True)
    (tmp_path / "text.db").write_text("hello " * 500)
    with pytest.raises(JournalError, match="not a journal"): Journal(tmp_path / "text.db", readonly=True)


@pytest.mark.parametrize("version, word", [("0", "older"), ("99", "newer")])
def test_another_schema_version_is_named(tmp_path, version, word):
    with Journal(tmp_path / "live.db") as journal: journal.update("meta", "key", "schema_version", value=version)
    with pytest.raises(JournalError, match=word): Journal(tmp_path / "live.db", readonly=True)


def test_an_unknown_table_gets_a_hint(journal):
    with pytest.raises(InputError, match="did you mean 'signals'"): journal.rows("signal")


def test_a_sound_file_has_no_damage(journal):
    assert journal.damage() == []
