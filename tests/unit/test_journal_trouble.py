"A journal that cannot be written: entries stop, exits go on with their rows in the side file, and nothing is lost."

import sqlite3
from contextlib import contextmanager

import pytest
from chaos_desk import chaos_desk  # noqa: F401

from futures_algo.journal import journal as journal_module
from futures_algo.journal.journal import Journal


@pytest.fixture
def it(chaos_desk, monkeypatch):  # noqa: F811
    "A desk whose engine holds its journal, and holds 1."
    monkeypatch.setattr(journal_module, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(journal_module, "RETRY_SECONDS", 0.0)
    desk = chaos_desk()
    desk.journal.hold()
    desk.submit()
    desk.wait(looks=2)
    assert desk.held() == 1
    return desk


@contextmanager
def locked(path):
    "Another program writes for a while."
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.close()


def test_an_exit_goes_and_an_entry_does_not_and_one_sentence_is_told(it):
    told = []
    it.journal.on_trouble = told.append
    with locked(it.path):
        it.submit("LONG_EXIT")
        it.wait(looks=3)
        assert it.submit(contract="NQZ5").denial == "JOURNAL"
        assert it.at_broker() == it.held() == 0 and len(told) == 1 and "locked" in told[0]
        assert it.journal.trouble
    it.wait(looks=2)
    it.journal.flush()
    assert not it.journal.trouble and len(it.journal.rows("fills")) == 2 and len(it.placed()) == 2
    assert it.journal.rows("events", "kind = 'journal'")
    assert it.submit(contract="NQZ5").verdict == "sent"


def test_what_stood_in_the_side_file_is_read_by_the_next_start(it):
    with locked(it.path):
        it.submit("LONG_EXIT")
        it.wait(looks=3)
        it.client.close()
        it.journal._connection.close()
        it.journal._held.close()
    with Journal(it.path) as journal:
        journal.hold()
        assert {row["purpose"] for row in journal.rows("intents")} == {"entry", "exit"}
        assert sum(row["quantity"] * (1 if row["side"] == "BUY" else -1) for row in journal.rows("fills")) == 0
    it.boot()
    it.wait(looks=2, compares=True)
    assert it.held() == it.at_broker() == 0 and len(it.placed()) == 2


def test_a_journal_nobody_holds_says_its_error(tmp_path):
    with Journal(tmp_path / "j.db") as journal:
        journal._connection.execute("PRAGMA busy_timeout = 0")
        with locked(journal.path), pytest.raises(sqlite3.OperationalError, match="locked"):
            journal.add("runs", run_id="x", started=1)
        journal._waiting = []
