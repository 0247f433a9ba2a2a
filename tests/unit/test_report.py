"Every difference of a session gets its cause, and what has none is unexplained."

import json
import shutil
import sqlite3
import subprocess
import sys
from html import escape
from pathlib import Path

import pytest
from report_world import SYMBOL, World, content, last_session, sql, whole, without

from futures_algo.core.types import HOUR, InputError, Signal, to_nanos
from futures_algo.execution.gate import Denial
from futures_algo.report.causes import Cause, gate_cause
from futures_algo.report.facts import code_now
from futures_algo.report.report import session_report


@pytest.fixture(scope="module")
def faultless(tmp_path_factory) -> World:
    return whole(tmp_path_factory.mktemp("whole") / "journal.db")


@pytest.fixture
def journal(faultless, tmp_path) -> Path:
    return Path(shutil.copy(faultless.path, tmp_path / "journal.db"))


def causes(report, kind: str = "") -> dict[str, int]:
    found: dict[str, int] = {}
    for one in report.differences:
        if not kind or one.kind == kind:
            found[one.cause] = found.get(one.cause, 0) + 1
    return found


def newest(path: Path, table: str = "signals", where: str = "1", offset: int = 5) -> dict:
    "A row near the end of the session."
    with sqlite3.connect(path) as connection:
        connection.row_factory = sqlite3.Row
        return dict(
            connection.execute(
                f"SELECT * FROM {table} WHERE {where} ORDER BY rowid DESC LIMIT 1 OFFSET {offset}"
            ).fetchone()
        )


# --- the list of causes


def test_the_list_is_closed_and_holds_every_denial_of_the_gate():
    codes = [code for code, _ in Cause.table()]
    assert (
        len(set(codes)) == len(codes)
        and {f"gate_{denial.name.lower()}" for denial in Denial} < set(codes)
        and "unexplained" in codes
    )
    assert gate_cause("LOCKED") is Cause.GATE_LOCKED and gate_cause("NEVER_HEARD") is Cause.UNEXPLAINED


# --- a session as it should be


def test_a_faultless_session_has_no_difference_with_and_without_the_recording(faultless):
    for data in (None, {SYMBOL: faultless.minutes}):
        report = session_report(faultless.path, data)
        assert report.ok and not report.differences and report.counts["fills"] > 20 and report.checked > 1500
        assert report.counts["lost_bars"] == report.counts["duplicate_bars"] == report.counts["duplicate_orders"] == 0


def test_the_model_and_the_account_made_the_same_before_commission(faultless):
    (row,) = session_report(faultless.path).pnl
    assert (
        row["model_usd"] == row["account_usd"] != 0
        and row["causes"] == {}
        and row["net_usd"] == pytest.approx(row["account_usd"] - row["commission_usd"])
    )


def test_dollars_are_those_of_the_fills(faultless):
    report = session_report(faultless.path)
    fills = sql(
        faultless.path,
        "SELECT side, quantity, price FROM fills WHERE at > ?",
        int(faultless.minutes.start[last_session(faultless.minutes)[0]]),
    )
    cash = sum((-1 if side == "BUY" else 1) * quantity * price for side, quantity, price in fills)
    held = sum((1 if side == "BUY" else -1) * quantity for side, quantity, _ in fills)
    assert report.pnl[0]["account_usd"] == pytest.approx((cash + held * faultless.minutes.close[-1]) * 50, abs=0.01)


def test_the_equity_curves_end_at_the_dollars_of_the_table(faultless):
    report = session_report(faultless.path)
    row, curve = report.pnl[0], report.equity
    assert (
        curve["model_usd"][-1] == pytest.approx(row["model_usd"])
        and curve["account_usd"][-1] == pytest.approx(row["account_usd"])
        and curve["net_usd"][-1] == pytest.approx(row["net_usd"])
    )
    assert curve["model_usd"] != curve["account_usd"] or len(set(curve["account_usd"])) > 100


def test_a_missed_trade_is_one_cause_though_its_exit_finds_nothing_to_close(tmp_path):
    denied = {"on": False}

    def verdict(signal):
        if signal.is_entry:
            denied["on"] = int(signal.id[0], 16) % 2 == 0
        why = "LOCKED" if signal.is_entry else "NOTHING_TO_EXIT"
        return ("denied", why, "") if denied["on"] else ("sent", "", "")

    report = session_report(whole(tmp_path / "journal.db", verdict=verdict).path)
    assert (
        {"gate_locked", "gate_nothing_to_exit"} == set(report.causes)
        and set(report.pnl[0]["causes"]) <= {"gate_locked", "carried_position"}
        and report.pnl[0]["left_usd"] == 0
    )


def test_the_pictures_are_drawn(tmp_path):
    import matplotlib

    matplotlib.use("Agg")
    from futures_algo.report import plots as report_plots

    report = session_report(whole(tmp_path / "journal.db", slip=0.25).path)
    assert len(report_plots.plot_equity(report).lines) >= 3
    assert [label.get_text() for label in report_plots.plot_money(report).get_xticklabels()] == [
        "model",
        "slippage",
        "commission",
        "net",
    ]
    assert len(report_plots.plot_slippage(report).patches) == 3 * len(report.slippage)


def test_an_earlier_session_is_asked_for_by_its_date(faultless):
    from futures_algo.core.sessions import SessionCalendar

    first = SessionCalendar.of(SYMBOL).session_date(int(faultless.minutes.start[0]))
    report = session_report(faultless.path, session=first)
    assert report.session == first and report.ok and report.counts["bars"] < 1400


@pytest.mark.parametrize(
    "date, words",
    [("2025-13-01", "YYYY-MM-DD"), ("2025-07-27", "day with a session"), ("2020-01-06", "journal has bars of")],
)
def test_a_session_that_is_not_there_is_refused(faultless, date, words):
    with pytest.raises(InputError, match=words):
        session_report(faultless.path, session=date)


# --- bars


def feed_event(path: Path, state: str, at: int) -> None:
    seq = sql(path, "SELECT max(seq) FROM events")[0][0] + 1
    sql(
        path,
        "INSERT INTO events (seq, at, level, kind, subject, message, data) VALUES (?, ?, 'warning', 'feed', ?, '',"
        " '{}')",
        seq,
        at,
        state,
    )


@pytest.fixture(scope="module")
def holed(tmp_path_factory) -> tuple[World, int, int]:
    "An engine that never got half an hour of the last session."
    world = World(tmp_path_factory.mktemp("holed") / "journal.db")
    rows = last_session(world.minutes)
    cut = rows[600:630]
    world.start(int(world.minutes.start[0]))
    world.play(without(world.minutes, cut))
    world.close()
    return world, int(world.minutes.start[cut[0]]), int(world.minutes.end[cut[-1]])


def test_bars_that_never_came_are_lost_and_unexplained(holed):
    world, begin, end = holed
    report = session_report(world.path, {SYMBOL: world.minutes})
    assert report.counts["lost_bars"] == 30 and not report.ok
    assert all(begin < to_nanos(one.at) <= end for one in report.unexplained)


def test_bars_missed_while_the_feed_was_down_say_so_and_signals_that_differ_for_it_name_them(holed, tmp_path):
    world, begin, end = holed
    path = Path(shutil.copy(world.path, tmp_path / "journal.db"))
    feed_event(path, "down", begin)
    feed_event(path, "live", end + 1)
    report = session_report(path, {SYMBOL: world.minutes})
    assert report.ok and report.counts["lost_bars"] == 0
    assert causes(report, "bar")["stale_feed"] == 30 and set(causes(report, "signal")) <= {"bar_missing"}


def test_a_bar_that_differs_from_the_recording_is_found(faultless, journal):
    row = newest(journal, "bars", "timeframe = '1min'", 100)
    sql(journal, "UPDATE bars SET high = high + 5 WHERE seq = ?", row["seq"])
    found = session_report(journal, {SYMBOL: faultless.minutes})
    changed = {(one.id, one.detail["what"]) for one in found.differences if one.kind == "bar"}
    assert (f"{SYMBOL} 1min", "bar_changed") in changed and not found.ok


def test_a_longer_bar_that_its_minutes_do_not_make_is_found(journal):
    row = newest(journal, "bars", "timeframe = '5min'", 20)
    sql(journal, "UPDATE bars SET close = close + 1 WHERE seq = ?", row["seq"])
    assert [one.detail["what"] for one in session_report(journal).unexplained if one.kind == "bar"] == ["changed"]


def test_a_bar_written_twice_is_a_duplicate(journal):
    row = newest(journal, "bars", "timeframe = '1min'", 40)
    columns = ", ".join(f'"{name}"' for name in row if name not in ("seq",))
    sql(journal, f"INSERT INTO bars ({columns}) SELECT {columns} FROM bars WHERE seq = ?", row["seq"])
    report = session_report(journal)
    assert report.counts["duplicate_bars"] == 1 and [one.detail for one in report.unexplained] == [
        {"what": "duplicate"}
    ]


def test_a_late_bar_is_late_and_one_after_a_stale_feed_is_stale(journal):
    late, stale = newest(journal, "bars", "timeframe = '1min'", 300), newest(journal, "bars", "timeframe = '1min'", 200)
    for row, seconds in ((late, 20), (stale, 90)):
        sql(journal, 'UPDATE bars SET received = "end" + ? WHERE seq = ?', seconds * 10**9, row["seq"])
    feed_event(journal, "stale", stale["end"] - 1)
    feed_event(journal, "live", stale["end"] + 60 * 10**9)
    report = session_report(journal)
    assert causes(report) == {"bar_late": 1, "stale_feed": 1} and report.ok
    assert session_report(journal, late_s=30).causes == {"stale_feed": 1}


# --- signals


def test_a_lost_signal_an_invented_one_and_a_changed_one_are_unexplained(journal):
    lost, changed = newest(journal, offset=6), newest(journal, offset=9)
    sql(journal, "DELETE FROM signals WHERE id = ?", lost["id"])
    sql(journal, "UPDATE signals SET price = price + 1 WHERE id = ?", changed["id"])
    sql(
        journal,
        "INSERT INTO signals (id, at, strategy, symbol, contract, action, bar_end, price, quantity, reason,"
        " config_hash, verdict, denial) SELECT 'made-up', at, strategy, symbol, contract, action, bar_end + 1, price,"
        " quantity, reason, config_hash, 'dry_run', 'DRY_RUN' FROM signals WHERE id = ?",
        changed["id"],
    )
    found = {one.id: one.detail["what"] for one in session_report(journal).unexplained if one.kind == "signal"}
    assert found == {lost["id"]: "missing", changed["id"]: "changed", "made-up": "extra"}


def test_what_a_person_closed_is_by_their_command(journal):
    row = newest(journal)
    sql(
        journal,
        "INSERT INTO signals (id, at, strategy, symbol, contract, action, bar_end, price, quantity, reason,"
        " config_hash, verdict, denial) SELECT 'flat', at, strategy, symbol, contract, 'LONG_EXIT', bar_end + 1, price,"
        " quantity, 'flatten', 'flatten', 'denied', 'NOTHING_TO_EXIT' FROM signals WHERE id = ?",
        row["id"],
    )
    report = session_report(journal)
    assert causes(report, "signal") == {"flatten": 1} and causes(report, "order") == {"gate_nothing_to_exit": 1}


@pytest.mark.parametrize(
    "reason, cause",
    [("align", "on_start"), ("on_start", "on_start"), ("reversal", "reversal"), ("on_remove", "config_change")],
)
def test_what_the_engine_decided_itself_says_why(journal, reason, cause):
    row = newest(journal)
    sql(
        journal,
        "INSERT INTO signals (id, at, strategy, symbol, contract, action, bar_end, price, quantity, reason,"
        " config_hash, verdict, denial) SELECT 'own', at, strategy, symbol, contract, 'LONG_EXIT', bar_end + 1, price,"
        " quantity, ?, config_hash, 'denied', 'NOTHING_TO_EXIT' FROM signals WHERE id = ?",
        reason,
        row["id"],
    )
    assert causes(session_report(journal), "signal") == {cause: 1}


# --- code that was loaded anew


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> tuple[World, str]:
    "A session of a strategy in a user's file, and the identity of its code."
    folder = tmp_path_factory.mktemp("own")
    file, config = folder / "own.py", content()
    file.write_text(
        "from futures_algo.strategies import SimpleBullishCCIStrategy\nclass Own(SimpleBullishCCIStrategy): pass\n"
    )
    config["strategies"]["cci"]["class"] = f"{file}:Own"
    return whole(folder / "journal.db", config=config), code_now(config["strategies"]["cci"])


@pytest.mark.parametrize(
    "reloads, expected",
    [
        ([("old", "NOW")], ["reload", "unexplained", "unexplained"]),  # what came before the reload ran with other code
        (
            [("NOW", "odd"), ("odd", "NOW")],
            ["unexplained", "reload", "unexplained"],
        ),  # put back: what ran with today's code has no such excuse
        ([("old", "odd")], ["reload", "code_change", "code_change"]),  # edited again since
        (
            [("old", "odd"), ("other", "NOW")],
            ["reload", "unexplained", "unexplained"],
        ),  # edited while no engine ran: in between nothing is known
    ],
)
def test_a_difference_is_blamed_on_code_only_where_the_journal_proves_that_another_ran(
    own, tmp_path, reloads, expected
):
    world, now = own
    path = Path(shutil.copy(world.path, tmp_path / "journal.db"))
    lost = [newest(path, offset=offset) for offset in (15, 9, 3)]
    seq = sql(path, "SELECT max(seq) FROM events")[0][0]
    moments = [(lost[n]["bar_end"] + lost[n + 1]["bar_end"]) // 2 for n in range(2)]
    for number, (pair, at) in enumerate(zip(reloads, moments), 1):
        data = json.dumps(
            {"changed": {"cci": {"code": [now if one == "NOW" else one for one in pair]}}, "before": "x", "after": "x"}
        )
        sql(
            path,
            "INSERT INTO events (seq, at, level, kind, subject, message, data) VALUES (?, ?, 'info', 'config',"
            " 'live.json', 'applied: code', ?)",
            seq + number,
            at,
            data,
        )
    sql(
        path, "UPDATE events SET at = ? WHERE message LIKE 'stopped%'", moments[0] - 1
    )  # events are read in their order
    for row in lost:
        sql(path, "DELETE FROM signals WHERE id = ?", row["id"])
    found = {one.id: one for one in session_report(path).differences if one.kind == "signal"}
    assert [found[row["id"]].cause for row in lost] == expected and len(found) == 3
    assert all(
        (f"is {now[:8]} now" in found[row["id"]].detail["why"]) == (cause != "unexplained")
        for row, cause in zip(lost, expected)
    )


def test_a_journal_that_begins_after_the_recording_had_less_to_warm_up_with(tmp_path):
    world = World(tmp_path / "journal.db", content(length=60))
    rows = last_session(world.minutes)
    world.start(int(world.minutes.start[rows[0]]))
    world.play(world.minutes[rows])
    world.close()
    report = session_report(world.path, {SYMBOL: world.minutes})
    signals = [one for one in report.differences if one.kind == "signal"]
    assert signals and {one.cause for one in signals} == {"warm_up"} and report.counts["lost_bars"] == 0


def test_a_restart_that_forgot_its_state_is_proven_by_replay(tmp_path):
    world = World(tmp_path / "journal.db", content(length=60))
    rows = last_session(world.minutes)
    cut = int(rows[500])
    world.start(int(world.minutes.start[0]))
    world.play(world.minutes[:cut])
    at = int(world.minutes.start[cut])
    world.start(at)
    world.play(world.minutes[(world.minutes.end > at - 2 * HOUR) & (world.minutes.end <= at)], quiet=True)
    world.play(world.minutes[cut:])
    world.close()
    report = session_report(world.path)
    signals = [one for one in report.differences if one.kind == "signal"]
    assert (
        signals
        and {one.cause for one in signals} == {"restart"}
        and all(one.detail["why"].startswith("proven by replay") for one in signals)
    ), str(report)
    assert not [one for one in report.unexplained if one.kind != "pnl"]
    sql(world.path, "DELETE FROM signals WHERE id = (SELECT id FROM signals ORDER BY bar_end DESC LIMIT 1)")
    assert [one.kind for one in session_report(world.path).unexplained].count("signal") == 1


def test_a_restart_with_its_state_restored_explains_nothing(journal):
    at = newest(journal, offset=12)["bar_end"]
    seq = sql(journal, "SELECT max(seq) FROM events")[0][0]
    for number, (kind, subject, message) in enumerate(
        [
            ("engine", "run2", "recovering"),
            ("warm-up", f"cci:{SYMBOL}", "continues from yesterday"),
            ("engine", "run2", "ready"),
        ],
        seq + 1,
    ):
        sql(
            journal,
            "INSERT INTO events (seq, at, level, kind, subject, message, data) VALUES (?, ?, 'info', ?, ?, ?, '{}')",
            number,
            at,
            kind,
            subject,
            message,
        )
    assert session_report(journal).ok
    sql(journal, "DELETE FROM signals WHERE id = ?", newest(journal, offset=6)["id"])
    assert [one.cause for one in session_report(journal).differences if one.kind == "signal"] == ["unexplained"]


def test_a_changed_config_is_judged_by_the_parameters_in_force(tmp_path):
    world = World(tmp_path / "journal.db")
    cut = int(last_session(world.minutes)[700])
    world.start(int(world.minutes.start[0]))
    world.play(world.minutes[:cut])
    at = int(world.minutes.start[cut])
    world.start(at, content(length=25))
    world.play(world.minutes[(world.minutes.end > at - 2 * HOUR) & (world.minutes.end <= at)], quiet=True)
    world.play(world.minutes[cut:])
    world.close()
    report = session_report(world.path)
    hashes = {row for (row,) in sql(world.path, "SELECT DISTINCT config_hash FROM signals")}
    assert (
        len(hashes) == 2
        and set(causes(report, "signal")) <= {"config_change", "restart"}
        and not [one for one in report.unexplained if one.kind == "signal"]
    )


def test_code_that_no_longer_gives_the_parameters_is_named(journal):
    hashed = newest(journal, "configs", offset=0)
    changed = json.loads(hashed["content"])
    changed["strategies"]["cci"]["class"] = "futures_algo.strategies.NoLongerThere"
    sql(journal, "UPDATE configs SET content = ?", json.dumps(changed))
    assert set(causes(session_report(journal), "signal")) == {"code_change"}


def test_a_repeat_inside_the_cooldown_is_explained_by_it(tmp_path):
    config = content() | {"engine": {"signal_cooldown_s": 3600}}
    world, last = World(tmp_path / "journal.db", config), {}
    keep = world._decide

    def cooled(signal: Signal) -> None:
        if signal.is_entry and signal.bar_end - last.get(signal.action, 0) < 3600 * 10**9:
            return
        last[signal.action] = signal.bar_end
        keep(signal)

    world._decide = cooled
    world.start(int(world.minutes.start[0]))
    world.play(world.minutes)
    world.close()
    assert causes(session_report(world.path), "signal").keys() == {"cooldown"}


# --- orders and fills


@pytest.mark.parametrize("denial", [Denial.STALE, Denial.LOCKED, Denial.DAILY_LOSS, Denial.DRY_RUN])
def test_a_denied_signal_carries_the_gates_reason_and_its_dollars(tmp_path, denial):
    verdict = ("dry_run" if denial is Denial.DRY_RUN else "denied", denial.name, "")
    report = session_report(whole(tmp_path / "journal.db", verdict=lambda signal: verdict).path)
    code = f"gate_{denial.name.lower()}"
    assert causes(report) == {code: report.counts["signals"]} and report.ok
    (row,) = report.pnl
    assert row["account_usd"] == 0 and row["causes"] == {code: pytest.approx(-row["model_usd"], abs=0.01)}


def test_a_denial_the_gate_does_not_know_explains_nothing(journal):
    row = newest(journal)
    sql(journal, "DELETE FROM intents WHERE signal_id = ?", row["id"])
    sql(journal, "DELETE FROM fills WHERE signal_id = ?", row["id"])
    sql(journal, "UPDATE signals SET verdict = 'denied', denial = 'BAD_MOOD' WHERE id = ?", row["id"])
    assert {one.kind for one in session_report(journal).unexplained} >= {"order"}


def test_a_sent_signal_without_an_order_is_unexplained(journal):
    row = newest(journal)
    sql(journal, "DELETE FROM intents WHERE signal_id = ?", row["id"])
    assert {one.kind for one in session_report(journal).unexplained} == {"order", "fill"}  # and its fill has no order


def test_a_signal_that_still_waits_says_so(journal):
    row = newest(journal, offset=0)
    sql(journal, "DELETE FROM intents WHERE signal_id = ?", row["id"])
    sql(journal, "DELETE FROM fills WHERE signal_id = ?", row["id"])
    sql(journal, "UPDATE signals SET verdict = 'pending' WHERE id = ?", row["id"])
    assert causes(session_report(journal), "order") == {"waiting": 1}


def test_a_signal_whose_order_went_out_after_the_session_waited(journal):
    row, week = newest(journal, offset=0), 7 * 24 * 3600 * 10**9
    sql(journal, "UPDATE intents SET at = at + ? WHERE signal_id = ?", week, row["id"])
    sql(journal, "UPDATE fills SET at = at + ? WHERE signal_id = ?", week, row["id"])
    assert causes(session_report(journal), "order") == {"waiting": 1}


@pytest.mark.parametrize(
    "state, cause",
    [
        ("Rejected", "broker_reject"),
        ("NotSent", "not_sent"),
        ("Cancelled", "cancelled"),
        ("Unknown", "outcome_unknown"),
        ("Working", "working"),
    ],
)
def test_an_order_without_its_fills_says_how_it_ended(journal, state, cause):
    row = newest(journal, "intents")
    sql(journal, "UPDATE intents SET state = ? WHERE order_id = ?", state, row["order_id"])
    sql(journal, "DELETE FROM fills WHERE order_id = ?", row["order_id"])
    report = session_report(journal)
    assert causes(report, "fill") == {cause: 1} and cause in report.pnl[0]["causes"]


def test_a_filled_order_whose_fills_do_not_add_up_is_unexplained(journal):
    sql(journal, "UPDATE intents SET quantity = 2 WHERE order_id = ?", newest(journal, "intents")["order_id"])
    assert {one.kind for one in session_report(journal).unexplained} == {"order", "fill"}


def test_a_partial_fill_is_named(tmp_path):
    config = content()
    config["strategies"]["cci"]["quantity"] = 3
    path = whole(tmp_path / "journal.db", config=config).path
    row = newest(path, "intents", "purpose = 'entry'")
    sql(path, "UPDATE intents SET state = 'Cancelled' WHERE order_id = ?", row["order_id"])
    sql(path, "UPDATE fills SET quantity = 2 WHERE order_id = ?", row["order_id"])
    report = session_report(path)
    assert (
        causes(report, "fill") == {"partial_fill": 1}
        and "partial_fill" in report.pnl[0]["causes"]
        and report.pnl[0]["left_usd"] == 0
    )


def test_an_exit_of_another_size_must_be_what_the_ledger_holds(journal):
    row = newest(journal, "intents", "purpose = 'exit'")
    sql(journal, "UPDATE signals SET quantity = 2 WHERE id = ?", row["signal_id"])
    assert causes(session_report(journal), "order") == {"ledger_held": 1}
    sql(journal, "UPDATE intents SET quantity = 3 WHERE order_id = ?", row["order_id"])
    assert causes(session_report(journal), "order") == {"unexplained": 1}


def test_an_entry_of_another_size_needs_a_risk_budget(journal):
    row = newest(journal, "intents", "purpose = 'entry'")
    for table, name in (("intents", "order_id"), ("fills", "order_id")):
        sql(journal, f"UPDATE {table} SET quantity = 2 WHERE {name} = ?", row["order_id"])
    assert causes(session_report(journal), "order")["unexplained"] == 1
    changed = json.loads(newest(journal, "configs", offset=0)["content"])
    changed["strategies"]["cci"]["risk_per_trade_usd"] = 500
    sql(journal, "UPDATE configs SET content = ?", json.dumps(changed))
    assert causes(session_report(journal), "order")["sizing"] == 1


def test_a_second_order_for_a_decision_is_a_duplicate_unless_the_first_failed(journal):
    row = newest(journal, "intents")
    columns = ", ".join(name for name in row if name not in ("order_id",))
    sql(
        journal,
        f"INSERT INTO intents (order_id, {columns}) SELECT substr(order_id, 1, 26) || '01', {columns} FROM intents"
        " WHERE order_id = ?",
        row["order_id"],
    )
    sql(journal, "UPDATE fills SET order_id = substr(order_id, 1, 26) || '01' WHERE order_id = ?", row["order_id"])
    doubled = session_report(journal)
    assert doubled.counts["duplicate_orders"] == 1 and not doubled.ok
    sql(journal, "UPDATE intents SET state = 'Rejected' WHERE order_id = ?", row["order_id"])
    again = session_report(journal)
    assert (
        again.counts["duplicate_orders"] == 0
        and causes(again, "order") == {"retry": 1}
        and causes(again, "fill") == {"broker_reject": 1}
        and again.ok
    )


def test_an_order_sent_twice_is_found(journal):
    row = newest(journal, "requests")
    sql(
        journal,
        "INSERT INTO requests (order_id, at, method, path, outcome) SELECT order_id, at, method, path, outcome FROM"
        " requests WHERE seq = ?",
        row["seq"],
    )
    report = session_report(journal)
    assert report.counts["duplicate_orders"] == 1 and [one.detail["what"] for one in report.unexplained] == [
        "sent 2 times"
    ]


@pytest.mark.parametrize(
    "purpose, strategy, cause", [("stop", "cci", "protective_leg"), ("entry", "manual", "by_hand")]
)
def test_an_order_without_a_signal_is_a_leg_or_a_persons(journal, purpose, strategy, cause):
    row = newest(journal, "intents")
    sql(
        journal,
        "INSERT INTO intents (order_id, signal_id, at, account, instrument, strategy, action, quantity, order_type,"
        " purpose, state) SELECT 'other', '', at, account, instrument, ?, action, quantity, 'STOPMARKET', ?, 'Working'"
        " FROM intents WHERE order_id = ?",
        strategy,
        purpose,
        row["order_id"],
    )
    assert cause in causes(session_report(journal), "order")


def test_slippage_is_split_and_adds_up(tmp_path):
    report = session_report(whole(tmp_path / "journal.db", slip=0.25).path)
    assert set(causes(report)) == {"slippage"} and report.ok
    for row in report.slippage:
        assert (
            row["gap_points"] + row["delay_points"] + row["execution_points"]
            == pytest.approx(row["total_points"])
            == pytest.approx(0.25)
        )
    assert report.pnl[0]["causes"] == {
        "slippage": pytest.approx(-sum(row["total_usd"] for row in report.slippage), abs=0.01)
    }


def test_a_price_that_never_traded_is_not_slippage(journal):
    row = newest(journal, "fills")
    sql(journal, "UPDATE fills SET price = price + 100 WHERE execution_id = ?", row["execution_id"])
    assert any(one.detail.get("what") == "the price did not trade then" for one in session_report(journal).unexplained)


# --- books


def test_a_ledger_the_fills_do_not_make_is_unexplained(journal):
    sql(
        journal,
        "UPDATE positions SET quantity = quantity + 1 WHERE seq = (SELECT max(seq) FROM positions WHERE source ="
        " 'ledger')",
    )
    assert [one.kind for one in session_report(journal).unexplained] == ["position"]


def test_a_broker_position_that_is_not_ours_needs_an_alarm_in_the_journal(journal):
    last = newest(journal, "positions", offset=0)
    sql(
        journal,
        "INSERT INTO positions (at, source, account, instrument, strategy, quantity) VALUES (?, 'broker', ?, ?, '', 7)",
        last["at"] + 1,
        last["account"],
        last["instrument"],
    )
    assert [one.kind for one in session_report(journal).unexplained] == ["position"]
    seq = sql(journal, "SELECT max(seq) FROM events")[0][0] + 1
    sql(
        journal,
        "INSERT INTO events (seq, at, level, kind, subject, message, data) VALUES (?, ?, 'alarm', 'reconcile', ?,"
        " 'books differ', '{}')",
        seq,
        last["at"] + 2,
        last["instrument"],
    )
    assert causes(session_report(journal), "position") == {"books_differ": 1}


def test_a_trade_taken_into_the_books_is_a_manual_trade(journal):
    last = newest(journal, "fills", offset=0)
    sql(
        journal,
        "INSERT INTO fills (execution_id, order_id, signal_id, strategy, account, instrument, side, quantity, price,"
        " at) VALUES ('adopt-x', '', '', 'manual', ?, ?, 'BUY', 1, ?, ?)",
        last["account"],
        last["instrument"],
        last["price"],
        last["at"] + 1,
    )
    assert "manual_trade" in causes(session_report(journal), "fill")


# --- the forms of a report


def run(*args: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "futures_algo", "report", *map(str, args)], capture_output=True, text=True, timeout=120
    )


def test_the_verb_prints_one_object_writes_a_page_and_ends_with_a_finding(journal, tmp_path):
    fine = run("--journal", journal, "--json", "--html", tmp_path / "report.html")
    document = json.loads(fine.stdout.splitlines()[-1])
    assert (
        fine.returncode == 0
        and document["differences"] == []
        and document["checked"] > 1000
        and document["session"] in (tmp_path / "report.html").read_text()
    )
    sql(journal, "DELETE FROM signals WHERE id = ?", newest(journal)["id"])
    found = run("--journal", journal, "--json")
    row = next(one for one in json.loads(found.stdout.splitlines()[-1])["differences"] if one["kind"] == "signal")
    assert (
        found.returncode == 1
        and row.keys() == {"kind", "id", "at", "cause", "detail"}
        and row["cause"] == "unexplained"
    )


def test_a_journal_that_is_not_there_ends_with_two(tmp_path):
    done = run("--journal", tmp_path / "none.db", "--json")
    assert done.returncode == 2 and "no journal" in json.loads(done.stdout.splitlines()[-1])["error"]


def test_the_page_names_each_cause_with_its_meaning(tmp_path):
    path = whole(tmp_path / "journal.db", verdict=lambda signal: ("denied", "LOCKED", "<script>")).path
    page = session_report(path).html()
    assert escape(Cause.GATE_LOCKED.value) in page and "<script>" not in page


def test_the_page_shows_dollars_with_a_legend_and_says_when_there_is_nothing_to_explain(tmp_path):
    page = session_report(whole(tmp_path / "journal.db").path).html()
    assert (
        "nothing to explain" in page
        and "the account after commission</b>" in page
        and " UTC</text>" in page
        and "{}" not in page
    )
