"Sessions are started by the exchange calendar: holidays, early closes and summer time."
import datetime as dt
import json
import shutil
import subprocess
import sys
import xml.etree.ElementTree as xml
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from futures_algo.core import SECOND, InputError, to_nanos
from futures_algo.live_session import session_bounds
from futures_algo.schedule import (EXCHANGE_ZONE, NAME, TRIGGERS_A_TASK, Job, activation, closed_message, session_at, sessions_between, target_folder, unit_files,
                                   write_units)

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "config" / "live_trading_config.json"
ES = ["ES.c.0"]
TASK = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"


def sessions(start: str, days: int, symbols: list[str] = ES): return sessions_between(symbols, to_nanos(start), days)


def timer_lines(start: str, days: int, symbols: list[str] = ES) -> list[str]:
    content = unit_files("systemd", Job(CONFIG), sessions(start, days, symbols))[f"{NAME}.timer"]
    return [line.split("=", 1)[1] for line in content.splitlines() if line.startswith("OnCalendar=")]


def task_times(start: str, days: int) -> list[dt.datetime]:
    found = []
    for content in unit_files("windows", Job(CONFIG), sessions(start, days)).values():
        found += [dt.datetime.fromisoformat(node.text) for node in xml.fromstring(content.replace('encoding="UTF-16"', "")).iter(f"{TASK}StartBoundary")]
    return found


# --- the calendar

@pytest.mark.parametrize("start, days, closed", [("2025-12-22T00:00:00-06:00", 7, "2025-12-25"), ("2025-04-14T00:00:00-05:00", 7, "2025-04-18"), ("2025-12-29T00:00:00-06:00", 7, "2026-01-01")])
def test_a_holiday_has_no_session(start, days, closed):
    dates = [one.date for one in sessions(start, days)]
    assert closed not in dates and len(dates) == len(set(dates)) >= 3 and all(dt.date.fromisoformat(date).weekday() < 5 for date in dates)


def test_sessions_of_products_that_open_together_are_one():
    assert sessions("2025-11-10T00:00:00-06:00", 10) == sessions("2025-11-10T00:00:00-06:00", 10, ["ES.c.0", "NQ.c.0", "MES.c.0"])


def test_the_session_of_two_products_begins_with_the_first_and_ends_with_the_last():
    both, grain = session_at(["ES.c.0", "ZC.c.0"], to_nanos("2025-11-12T10:00:00-06:00")), session_at(["ZC.c.0"], to_nanos("2025-11-12T10:00:00-06:00"))
    equity = session_at(ES, to_nanos("2025-11-12T10:00:00-06:00"))
    assert both.open == min(equity.open, grain.open) and both.close == max(equity.close, grain.close) and grain.close < equity.close


@pytest.mark.parametrize("moment, date", [
    ("2025-11-12T10:00:00-06:00", "2025-11-12"), ("2025-11-12T16:30:00-06:00", None), ("2025-11-12T16:55:00-06:00", "2025-11-13"), ("2025-11-12T18:00:00-06:00", "2025-11-13"),
    ("2025-11-15T12:00:00-06:00", None), ("2025-11-16T16:00:00-06:00", None), ("2025-11-16T16:55:00-06:00", "2025-11-17"), ("2025-12-25T10:00:00-06:00", None),
])
def test_the_session_of_a_moment(moment, date):
    found = session_at(ES, to_nanos(moment))
    assert (found and found.date) == date


def test_a_break_inside_a_session_is_not_its_end():
    assert session_at(["ZC.c.0"], to_nanos("2025-11-12T08:00:00-06:00")).date == "2025-11-12"   # grains pause from 07:45 to 08:30


@pytest.mark.parametrize("moment, close", [("2025-11-26T09:00:00-06:00", "16:00"), ("2025-11-28T09:00:00-06:00", "12:15"), ("2025-07-03T09:00:00-05:00", "12:15")])
def test_a_run_ends_at_the_sessions_own_close_early_ones_known(moment, close):
    end, said = session_bounds(CONFIG, "close", to_nanos(moment))
    assert f"{dt.datetime.fromtimestamp(end // SECOND - 60, EXCHANGE_ZONE):%H:%M}" == close and "settle" in said


# --- systemd

def test_a_timer_has_one_line_a_session_in_exchange_time_so_summer_time_needs_no_care():
    lines = timer_lines("2025-10-27T00:00:00-05:00", 14)
    assert len(lines) == len(sessions("2025-10-27T00:00:00-05:00", 14)) and all(line.endswith(f"16:55:00 {EXCHANGE_ZONE.key}") for line in lines)
    instants = [dt.datetime.fromisoformat(line.rsplit(" ", 1)[0]).replace(tzinfo=ZoneInfo(line.rsplit(" ", 1)[1])) for line in lines]
    assert {instant.astimezone(dt.UTC).hour for instant in instants} == {21, 22}   # before and after 2025-11-02


def test_each_line_is_five_minutes_before_an_open():
    lines, found = timer_lines("2025-12-20T00:00:00-06:00", 20), sessions("2025-12-20T00:00:00-06:00", 20)
    instants = [int(dt.datetime.fromisoformat(line.rsplit(" ", 1)[0]).replace(tzinfo=EXCHANGE_ZONE).timestamp()) * SECOND for line in lines]
    assert instants == [one.open - 300 * SECOND for one in found]


def test_the_service_keeps_the_engine_when_it_ends_and_its_command_is_quoted(tmp_path):
    job = Job(tmp_path / "my project 100%" / "config" / "live.json", dry_run=False, python="/opt/py thon/bin/python")
    service = unit_files("systemd", job, sessions("2025-11-10T00:00:00-06:00", 3))[f"{NAME}.service"]
    assert "KillMode=process" in service and "--live" in service
    assert '"/opt/py thon/bin/python" -m futures_algo schedule run' in service and "my project 100%%" in service and "100% " not in service.replace("100%%", "")


def test_dry_run_is_what_is_scheduled_unless_live_is_asked_for():
    assert "--dry-run" in unit_files("systemd", Job(CONFIG), sessions("2025-11-10T00:00:00-06:00", 3))[f"{NAME}.service"]


# --- Windows

def test_a_task_has_at_most_the_triggers_windows_takes_and_together_they_have_every_session():
    files = unit_files("windows", Job(CONFIG), found := sessions("2025-09-01T00:00:00-05:00", 365))
    counts = [content.count("<TimeTrigger>") for content in files.values()]
    assert max(counts) <= TRIGGERS_A_TASK == 48 and sum(counts) == len(found) > 240 and len(files) == -(-len(found) // 48)


def test_windows_times_are_instants_and_move_with_the_exchanges_summer_time():
    times = task_times("2025-10-27T00:00:00-05:00", 14)
    assert all(moment.utcoffset() == dt.timedelta(0) for moment in times)
    assert {moment.astimezone(EXCHANGE_ZONE).strftime("%H:%M") for moment in times} == {"16:55"} and len({moment.hour for moment in times}) == 2


def test_a_task_is_valid_xml_whatever_the_path_holds(tmp_path):
    job = Job(tmp_path / "R&D <new>" / "config" / "live.json", python="C:\\Program Files\\Python\\python.exe")
    content, = unit_files("windows", job, sessions("2025-11-10T00:00:00-06:00", 3)).values()
    tree = xml.fromstring(content.replace('encoding="UTF-16"', ""))
    assert next(tree.iter(f"{TASK}Command")).text == job.python and next(tree.iter(f"{TASK}WorkingDirectory")).text == str(job.folder)
    assert f'"{job.config}"' in next(tree.iter(f"{TASK}Arguments")).text


# --- writing and printing

def test_units_are_written_in_the_encoding_their_reader_wants_and_old_tasks_go(tmp_path):
    (tmp_path / f"{NAME}-9.xml").write_text("old")
    paths = write_units(unit_files("windows", Job(CONFIG), sessions("2025-11-10T00:00:00-06:00", 3)), tmp_path)
    assert paths[0].read_bytes()[:2] in (b"\xff\xfe", b"\xfe\xff") and xml.parse(paths[0]) and not (tmp_path / f"{NAME}-9.xml").exists()


def test_the_commands_that_activate_the_units_name_them(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert target_folder("systemd", Job(CONFIG)) == tmp_path / "systemd" / "user"
    assert activation("systemd", [])[-1] == ["systemctl", "--user", "enable", "--now", f"{NAME}.timer"]
    assert activation("windows", [tmp_path / f"{NAME}-1.xml"])[0][:3] == ["schtasks", "/Create", "/F"]


def test_a_projects_own_template_is_used(tmp_path):
    (tmp_path / "config" / "systemd").mkdir(parents=True)
    (tmp_path / "config" / "systemd" / f"{NAME}.service").write_text("[Service]\nNice=5\nExecStart=${command}\n")
    assert "Nice=5" in unit_files("systemd", Job(tmp_path / "config" / "live.json"), sessions("2025-11-10T00:00:00-06:00", 3))[f"{NAME}.service"]


@pytest.mark.parametrize("system, days, words", [("launchd", 3, "systemd or windows"), ("systemd", 0, "one at least")])
def test_what_cannot_be_scheduled_is_refused(system, days, words):
    with pytest.raises(InputError, match=words): unit_files(system, Job(CONFIG), sessions("2025-11-10T00:00:00-06:00", days) if days else [])


def run(*args: str, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "futures_algo", "schedule", *map(str, args)], cwd=cwd, capture_output=True, text=True, timeout=60)


def test_print_shows_the_units_and_writes_nothing(tmp_path):
    done = run("install", "--print", "--system", "windows", "--days", "10", "--folder", tmp_path, "--json")
    document = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0 and document["written"] == [] and not list(tmp_path.iterdir()) and document["units"][f"{NAME}-1.xml"].count("<TimeTrigger>") == document["sessions"]


def test_install_writes_into_the_folder_asked_for(tmp_path):
    done = run("install", "--system", "systemd", "--days", "30", "--folder", tmp_path)
    assert done.returncode == 0 and {path.name for path in tmp_path.iterdir()} == {f"{NAME}.service", f"{NAME}.timer"} and "systemctl --user enable" in done.stdout


def test_a_run_that_finds_the_market_closed_says_so_and_ends_with_zero(tmp_path):
    done = run("run", "--now", "2025-11-22T12:00:00-06:00", "--output", tmp_path / "reports", "--json")
    document = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0 and document["notebook"] is None and not (tmp_path / "reports").exists()
    assert document["said"] == closed_message(["ES.c.0"], to_nanos("2025-11-22T12:00:00-06:00")) and "2025-11-23 17:00" in document["said"]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not on this computer")
def test_systemd_reads_the_timers_lines():
    for line in timer_lines("2025-10-27T00:00:00-05:00", 14): assert subprocess.run(["systemd-analyze", "calendar", line], capture_output=True).returncode == 0
