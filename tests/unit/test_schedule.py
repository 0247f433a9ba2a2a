"Sessions are started by the exchange calendar: holidays, early closes and summer time."

import datetime as dt
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as xml
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from futures_algo.core.sessions import EXCHANGE_ZONE
from futures_algo.core.types import DAY, SECOND, InputError, to_nanos
from futures_algo.live.schedule import (
    NAME,
    TRIGGERS_A_TASK,
    WEEKLY,
    Job,
    Weekly,
    activation,
    closed_message,
    ends_soon,
    installed,
    session_at,
    sessions_between,
    target_folder,
    unit_files,
    weekly_files,
    write_units,
)
from futures_algo.live.session import session_bounds

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "config" / "live_trading_config.json"
ES = ["ES.c.0"]
TASK = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"


def sessions(start: str, days: int, symbols: list[str] = ES):
    return sessions_between(symbols, to_nanos(start), days)


def timer_lines(start: str, days: int, symbols: list[str] = ES) -> list[str]:
    content = unit_files("systemd", Job(CONFIG), sessions(start, days, symbols))[f"{NAME}.timer"]
    return [line.split("=", 1)[1] for line in content.splitlines() if line.startswith("OnCalendar=")]


def task_times(start: str, days: int) -> list[dt.datetime]:
    found = []
    for content in unit_files("windows", Job(CONFIG), sessions(start, days)).values():
        found += [
            dt.datetime.fromisoformat(node.text)
            for node in xml.fromstring(content.replace('encoding="UTF-16"', "")).iter(f"{TASK}StartBoundary")
        ]
    return found


# --- the calendar


@pytest.mark.parametrize(
    "start, days, closed",
    [
        ("2025-12-22T00:00:00-06:00", 7, "2025-12-25"),
        ("2025-04-14T00:00:00-05:00", 7, "2025-04-18"),
        ("2025-12-29T00:00:00-06:00", 7, "2026-01-01"),
    ],
)
def test_a_holiday_has_no_session(start, days, closed):
    dates = [one.date for one in sessions(start, days)]
    assert (
        closed not in dates
        and len(dates) == len(set(dates)) >= 3
        and all(dt.date.fromisoformat(date).weekday() < 5 for date in dates)
    )


def test_sessions_of_products_that_open_together_are_one():
    assert sessions("2025-11-10T00:00:00-06:00", 10) == sessions(
        "2025-11-10T00:00:00-06:00", 10, ["ES.c.0", "NQ.c.0", "MES.c.0"]
    )


def test_the_session_of_two_products_begins_with_the_first_and_ends_with_the_last():
    both, grain = (
        session_at(["ES.c.0", "ZC.c.0"], to_nanos("2025-11-12T10:00:00-06:00")),
        session_at(["ZC.c.0"], to_nanos("2025-11-12T10:00:00-06:00")),
    )
    equity = session_at(ES, to_nanos("2025-11-12T10:00:00-06:00"))
    assert (
        both.open == min(equity.open, grain.open)
        and both.close == max(equity.close, grain.close)
        and grain.close < equity.close
    )


@pytest.mark.parametrize(
    "moment, date",
    [
        ("2025-11-12T10:00:00-06:00", "2025-11-12"),
        ("2025-11-12T16:30:00-06:00", None),
        ("2025-11-12T16:55:00-06:00", "2025-11-13"),
        ("2025-11-12T18:00:00-06:00", "2025-11-13"),
        ("2025-11-15T12:00:00-06:00", None),
        ("2025-11-16T16:00:00-06:00", None),
        ("2025-11-16T16:55:00-06:00", "2025-11-17"),
        ("2025-12-25T10:00:00-06:00", None),
    ],
)
def test_the_session_of_a_moment(moment, date):
    found = session_at(ES, to_nanos(moment))
    assert (found and found.date) == date


def test_a_break_inside_a_session_is_not_its_end():
    assert (
        session_at(["ZC.c.0"], to_nanos("2025-11-12T08:00:00-06:00")).date == "2025-11-12"
    )  # grains pause from 07:45 to 08:30


@pytest.mark.parametrize(
    "moment, close",
    [
        ("2025-11-26T09:00:00-06:00", "16:00"),
        ("2025-11-28T09:00:00-06:00", "12:15"),
        ("2025-07-03T09:00:00-05:00", "12:15"),
    ],
)
def test_a_run_ends_at_the_sessions_own_close_early_ones_known(moment, close):
    end, said = session_bounds(CONFIG, "close", to_nanos(moment))
    assert f"{dt.datetime.fromtimestamp(end // SECOND - 60, EXCHANGE_ZONE):%H:%M}" == close and "settle" in said


# --- systemd


def test_a_timer_has_one_line_a_session_in_exchange_time_so_summer_time_needs_no_care():
    lines = timer_lines("2025-10-27T00:00:00-05:00", 14)
    assert len(lines) == len(sessions("2025-10-27T00:00:00-05:00", 14)) and all(
        line.endswith(f"16:55:00 {EXCHANGE_ZONE.key}") for line in lines
    )
    instants = [
        dt.datetime.fromisoformat(line.rsplit(" ", 1)[0]).replace(tzinfo=ZoneInfo(line.rsplit(" ", 1)[1]))
        for line in lines
    ]
    assert {instant.astimezone(dt.UTC).hour for instant in instants} == {21, 22}  # before and after 2025-11-02


def test_each_line_is_five_minutes_before_an_open():
    lines, found = timer_lines("2025-12-20T00:00:00-06:00", 20), sessions("2025-12-20T00:00:00-06:00", 20)
    instants = [
        int(dt.datetime.fromisoformat(line.rsplit(" ", 1)[0]).replace(tzinfo=EXCHANGE_ZONE).timestamp()) * SECOND
        for line in lines
    ]
    assert instants == [one.open - 300 * SECOND for one in found]


def test_the_service_keeps_the_engine_when_it_ends_and_its_command_is_quoted(tmp_path):
    job = Job(tmp_path / "my project 100%" / "config" / "live.json", dry_run=False, python="/opt/py thon/bin/python")
    service = unit_files("systemd", job, sessions("2025-11-10T00:00:00-06:00", 3))[f"{NAME}.service"]
    assert "KillMode=process" in service and "--live" in service
    assert (
        '"/opt/py thon/bin/python" -m futures_algo schedule run' in service
        and "my project 100%%" in service
        and "100% " not in service.replace("100%%", "")
    )


def test_dry_run_is_what_is_scheduled_unless_live_is_asked_for():
    assert (
        "--dry-run" in unit_files("systemd", Job(CONFIG), sessions("2025-11-10T00:00:00-06:00", 3))[f"{NAME}.service"]
    )


# --- Windows


def test_a_task_has_at_most_the_triggers_windows_takes_and_together_they_have_every_session():
    files = unit_files("windows", Job(CONFIG), found := sessions("2025-09-01T00:00:00-05:00", 365))
    counts = [content.count("<TimeTrigger>") for content in files.values()]
    assert (
        max(counts) <= TRIGGERS_A_TASK == 48 and sum(counts) == len(found) > 240 and len(files) == -(-len(found) // 48)
    )


def test_windows_times_are_instants_and_move_with_the_exchanges_summer_time():
    times = task_times("2025-10-27T00:00:00-05:00", 14)
    assert all(moment.utcoffset() == dt.timedelta(0) for moment in times)
    assert {moment.astimezone(EXCHANGE_ZONE).strftime("%H:%M") for moment in times} == {"16:55"} and len(
        {moment.hour for moment in times}
    ) == 2


def test_a_task_is_valid_xml_whatever_the_path_holds(tmp_path):
    job = Job(tmp_path / "R&D <new>" / "config" / "live.json", python="C:\\Program Files\\Python\\python.exe")
    (content,) = unit_files("windows", job, sessions("2025-11-10T00:00:00-06:00", 3)).values()
    tree = xml.fromstring(content.replace('encoding="UTF-16"', ""))
    assert next(tree.iter(f"{TASK}Command")).text == job.python and next(
        tree.iter(f"{TASK}WorkingDirectory")
    ).text == str(job.folder)
    assert f'"{job.config}"' in next(tree.iter(f"{TASK}Arguments")).text


# --- writing and printing


def test_units_are_written_in_the_encoding_their_reader_wants_and_old_tasks_go(tmp_path):
    (tmp_path / f"{NAME}-9.xml").write_text("old")
    paths = write_units(unit_files("windows", Job(CONFIG), sessions("2025-11-10T00:00:00-06:00", 3)), tmp_path)
    assert (
        paths[0].read_bytes()[:2] in (b"\xff\xfe", b"\xfe\xff")
        and xml.parse(paths[0])
        and not (tmp_path / f"{NAME}-9.xml").exists()
    )


def test_the_commands_that_activate_the_units_name_them(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert target_folder("systemd", Job(CONFIG)) == tmp_path / "systemd" / "user"
    timers = [tmp_path / f"{NAME}.service", tmp_path / f"{NAME}.timer", tmp_path / f"{WEEKLY}.timer"]
    assert activation("systemd", timers)[-1] == [
        "systemctl",
        "--user",
        "enable",
        "--now",
        f"{NAME}.timer",
        f"{WEEKLY}.timer",
    ]
    assert activation("windows", [tmp_path / f"{NAME}-1.xml"])[0][:3] == ["schtasks", "/Create", "/F"]


def test_a_projects_own_template_is_used(tmp_path):
    (tmp_path / "config" / "systemd").mkdir(parents=True)
    (tmp_path / "config" / "systemd" / f"{NAME}.service").write_text("[Service]\nNice=5\nExecStart=${command}\n")
    assert (
        "Nice=5"
        in unit_files("systemd", Job(tmp_path / "config" / "live.json"), sessions("2025-11-10T00:00:00-06:00", 3))[
            f"{NAME}.service"
        ]
    )


@pytest.mark.parametrize("system, days, words", [("launchd", 3, "systemd or windows"), ("systemd", 0, "one at least")])
def test_what_cannot_be_scheduled_is_refused(system, days, words):
    with pytest.raises(InputError, match=words):
        unit_files(system, Job(CONFIG), sessions("2025-11-10T00:00:00-06:00", days) if days else [])


def run(*args: str, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "futures_algo", "schedule", *map(str, args)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | variables,
    )


def test_print_shows_the_units_and_writes_nothing(tmp_path):
    done = run("install", "--print", "--system", "windows", "--days", "10", "--folder", tmp_path, "--json")
    document = json.loads(done.stdout.splitlines()[-1])
    assert (
        done.returncode == 0
        and document["written"] == []
        and not list(tmp_path.iterdir())
        and document["units"][f"{NAME}-1.xml"].count("<TimeTrigger>") == document["sessions"]
    )


def test_install_writes_into_the_folder_asked_for(tmp_path):
    done = run("install", "--system", "systemd", "--days", "30", "--folder", tmp_path)
    assert (
        done.returncode == 0
        and {path.name for path in tmp_path.iterdir()} == {f"{NAME}.service", f"{NAME}.timer"}
        and "systemctl --user enable" in done.stdout
    )


def test_a_run_that_finds_the_market_closed_says_so_and_ends_with_zero(tmp_path):
    done = run("run", "--now", "2025-11-22T12:00:00-06:00", "--output", tmp_path / "reports", "--json")
    document = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0 and document["notebook"] is None and not (tmp_path / "reports").exists()
    assert (
        document["said"] == closed_message(["ES.c.0"], to_nanos("2025-11-22T12:00:00-06:00"))
        and "2025-11-23 17:00" in document["said"]
    )


# --- the weekly search


@pytest.mark.parametrize(
    "text, weekly", [("sat", (5, "20:00")), ("Sunday", (6, "20:00")), (" mon 07:30", (0, "07:30"))]
)
def test_the_day_of_the_weekly_search_may_have_a_time(text, weekly):
    found = Weekly.of(text)
    assert (found.weekday, f"{found.time:%H:%M}") == weekly


@pytest.mark.parametrize("text", ["", "samstag", "sat 25:00", "sat noon", "1"])
def test_a_day_there_is_not_is_refused(text):
    with pytest.raises(InputError, match="must be one of mon"):
        Weekly.of(text)


def test_the_weekly_search_is_one_timer_line_in_exchange_time():
    files = weekly_files(
        "systemd",
        Job(CONFIG),
        Weekly.of("sat 09:15"),
        to_nanos("2025-10-27T00:00:00-05:00"),
        ["--data", "/some where/bars.dbn.zst"],
    )
    assert "OnCalendar=Sat *-*-* 09:15:00 America/Chicago" in files[f"{WEEKLY}.timer"].splitlines()
    assert f'schedule optimize --config {CONFIG} --data "/some where/bars.dbn.zst"' in files[f"{WEEKLY}.service"]


def test_a_weekly_task_has_every_week_at_the_same_hour_of_the_exchange():
    (content,) = weekly_files("windows", Job(CONFIG), Weekly.of("sat"), to_nanos("2025-10-25T21:00:00-05:00")).values()
    tree = xml.fromstring(content.replace('encoding="UTF-16"', ""))
    moments = [
        dt.datetime.fromisoformat(node.text).astimezone(EXCHANGE_ZONE) for node in tree.iter(f"{TASK}StartBoundary")
    ]
    assert (
        {f"{moment:%a %H:%M}" for moment in moments} == {"Sat 20:00"}
        and moments[0].isoformat() == "2025-11-01T20:00:00-05:00"
        and len(moments) == TRIGGERS_A_TASK
    )
    assert {(later.date() - moment.date()).days for moment, later in zip(moments, moments[1:])} == {7}
    assert [node.text for node in tree.iter(f"{TASK}Arguments")] == [
        f"-m futures_algo schedule optimize --config {CONFIG}"
    ]


def test_print_shows_the_weekly_units_too():
    done = run(
        "install",
        "--print",
        "--system",
        "systemd",
        "--days",
        "10",
        "--optimize",
        "sun 10:00",
        "--data",
        "config",
        "--limits",
        '{"sharpe": 0.5}',
    )
    assert (
        done.returncode == 0
        and f"# --- {WEEKLY}.timer" in done.stdout
        and "OnCalendar=Sun *-*-* 10:00:00" in done.stdout
    )
    command = next(
        line for line in done.stdout.splitlines() if line.startswith("ExecStart=") and "schedule optimize" in line
    )
    assert shlex.split(command)[-4:] == ["--data", str(ROOT / "config"), "--limits", '{"sharpe": 0.5}']


@pytest.mark.parametrize(
    "words, said",
    [
        (("--optimize", "someday"), "must be one of mon"),
        (("--data", "config"), "must name a day"),
        (("--optimize", "sat", "--limits", "{"), "must be JSON"),
    ],
)
def test_a_weekly_search_that_cannot_be_is_refused_in_one_line(capsys, words, said):
    from futures_algo.cli import main

    with pytest.raises(SystemExit) as ended:
        main(["schedule", "install", "--config", str(CONFIG), "--print", *words])
    message = capsys.readouterr().err
    assert ended.value.code == 2 and said in message and len(message.strip().splitlines()) == 1


# --- a schedule has an end


def project(folder: Path) -> Path:
    "A config in a project's folder."
    (folder / "config").mkdir()
    shutil.copy(CONFIG, folder / "config" / "live.json")
    return folder / "config" / "live.json"


@pytest.mark.parametrize("system", ["systemd", "windows"])
def test_what_is_installed_says_how_far_it_reaches(tmp_path, monkeypatch, system):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    job, found = Job(project(tmp_path)), sessions("2025-10-27T00:00:00-05:00", 90)
    assert installed(system, job) == [] and ends_soon([], 0) == ""
    write_units(unit_files(system, job, found), target_folder(system, job))
    moments = installed(system, job)
    assert moments == [one.open - 300 * SECOND for one in found]
    assert (
        ends_soon(moments, moments[-1] - 30 * DAY) == ""
        and ends_soon(moments, moments[-1] - 29 * DAY).endswith("only, 29 days ahead")
        and "ended on 2026-01-2" in ends_soon(moments, moments[-1] + 1)
    )


def test_the_timer_of_another_project_is_not_ours(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    other = Job(tmp_path / "other" / "config" / "live.json")
    write_units(unit_files("systemd", other, sessions("2025-10-27T00:00:00-05:00", 9)), target_folder("systemd", other))
    assert installed("systemd", Job(CONFIG)) == [] and installed("systemd", other)


def test_a_unit_renews_itself_when_its_sessions_end_soon_and_only_then(tmp_path):
    "The command a unit runs before its session, with a stand-in for systemctl that notes what it is asked."
    config, asked = project(tmp_path), tmp_path / "asked"
    tool = tmp_path / "bin" / "systemctl"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\necho "$*" >> {asked}\n')
    tool.chmod(0o755)
    here = {"XDG_CONFIG_HOME": str(tmp_path), "PATH": f"{tool.parent}{os.pathsep}{os.environ['PATH']}"}
    at = lambda day: ("--now", f"{day}T12:00:00-06:00")
    assert (
        run(
            "install",
            "--system",
            "systemd",
            "--config",
            config,
            "--days",
            "90",
            "--early",
            "7",
            "--optimize",
            "sat 21:00",
            *at("2025-11-01"),
            **here,
        ).returncode
        == 0
    )
    timer, service = (tmp_path / "systemd" / "user" / f"{NAME}.{kind}" for kind in ("timer", "service"))
    first, unit = timer.read_text(), service.read_text()
    before = next(line for line in unit.splitlines() if line.startswith("ExecStartPre=-")).removeprefix(
        "ExecStartPre=-"
    )
    arguments = shlex.split(before)[shlex.split(before).index("schedule") + 1 :]
    asked.unlink()
    early = run(*arguments, *at("2025-12-01"), **here)
    assert (
        early.returncode == 0
        and "nothing to renew" in early.stdout
        and timer.read_text() == first
        and not asked.exists()
    )
    late = run(*arguments, *at("2026-01-05"), **here)
    assert late.returncode == 0 and service.read_text() == unit and "16:53:00" in timer.read_text()
    assert installed_days(timer)[-1] == "2026-04-02" and asked.read_text().splitlines() == [
        "--user daemon-reload",
        f"--user enable --now {NAME}.timer {WEEKLY}.timer",
    ]


def installed_days(timer: Path) -> list[str]:
    return [line.split("=")[1][:10] for line in timer.read_text().splitlines() if line.startswith("OnCalendar=")]


def test_a_run_and_the_doctor_say_when_the_schedule_ends_soon(tmp_path):
    config, here = project(tmp_path), {"XDG_CONFIG_HOME": str(tmp_path)}
    job, now = Job(config), to_nanos("2025-11-22T12:00:00-06:00")  # a Saturday
    folder = tmp_path / "systemd" / "user"
    write_units(unit_files("systemd", job, sessions_between(ES, now, 20)), folder)
    done = run("run", "--config", config, "--now", "2025-11-22T12:00:00-06:00", "--json", **here)
    assert (
        done.returncode == 0
        and "scheduled to 2025-12-11 only, 19 days ahead; run futures-algo schedule install again" in done.stderr
    )
    assert json.loads(done.stdout.splitlines()[-1])["schedule"].startswith("sessions are scheduled to")
    assert "ended on 2025-12-11" in doctors(config, here)["detail"]
    write_units(unit_files("systemd", job, sessions_between(ES, time.time_ns(), 60)), folder)
    assert doctors(config, here)["status"] == "ok"


def doctors(config: Path, variables: dict[str, str]) -> dict:
    "What the doctor finds of the schedule."
    done = subprocess.run(
        [sys.executable, "-m", "futures_algo", "doctor", "--config", str(config), "--offline", "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | variables,
    )
    return next(check for check in json.loads(done.stdout.splitlines()[-1])["checks"] if check["name"] == "schedule")


# --- systemd's own word


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not on this computer")
def test_systemd_reads_the_timers_lines():
    for line in timer_lines("2025-10-27T00:00:00-05:00", 14):
        assert subprocess.run(["systemd-analyze", "calendar", line], capture_output=True).returncode == 0


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not on this computer")
def test_systemd_finds_no_fault_in_the_units(tmp_path):
    done = run("install", "--system", "systemd", "--days", "30", "--optimize", "sat", "--folder", tmp_path)
    units = sorted(tmp_path.iterdir())
    verified = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True)
    assert done.returncode == 0 and len(units) == 4 and (verified.returncode, verified.stderr) == (0, "")


def test_a_windows_task_names_its_user_and_runs_at_normal_priority(tmp_path, monkeypatch):
    "Without both, Task Scheduler runs the engine below normal and asks whose task it is."
    import xml.etree.ElementTree as ElementTree

    monkeypatch.setenv("USERNAME", "anna & co")
    monkeypatch.setenv("USERDOMAIN", "DESK")
    config = tmp_path / "config" / "live.json"
    sessions = sessions_between(["ES.c.0"], 1_763_593_200 * 10**9, 5)
    text = next(iter(unit_files("windows", Job(config), sessions).values()))
    task = ElementTree.fromstring(text.replace('encoding="UTF-16"', 'encoding="UTF-8"').encode())
    space = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"
    assert [part.tag.removeprefix(space) for part in task] == [
        "RegistrationInfo",
        "Triggers",
        "Principals",
        "Settings",
        "Actions",
    ]
    assert task.findtext(f".//{space}UserId") == "DESK\\anna & co"
    assert task.findtext(f".//{space}Priority") == "4"
    assert task.find(f"{space}Actions").get("Context") == task.find(f".//{space}Principal").get("id")
