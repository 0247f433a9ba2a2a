"""When the computer should start a session: systemd timers or Windows tasks, computed from the exchange calendar.

Every session has a line of its own, so holidays have none. systemd reads times in the exchange's zone; Windows reads
UTC instants, which are computed
with the exchange's summer time. The end is not scheduled: a run asks the calendar, which knows early closes. A calendar
has an end, so every run
first writes the units anew when they end soon. The weekly search for parameters has a unit of its own.
"""

import datetime as dt
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import NamedTuple
from xml.sax.saxutils import escape
from zoneinfo import ZoneInfo

from futures_algo.core.paths import PROJECT
from futures_algo.core.sessions import EXCHANGE_ZONE, SessionCalendar
from futures_algo.core.types import DAY, MINUTE, SECOND, ConfigError, FuturesAlgoError, InputError

NAME, WEEKLY = "futures-algo-session", "futures-algo-optimize"
TRIGGERS_A_TASK = 48  # Task Scheduler takes no more (learn.microsoft.com, "Task Triggers")
EARLY_MINUTES = 5  # before the open: the engine connects and warms up
SETTLE_SECONDS = 60  # after the close: last fills and the comparison of the books
RENEW_DAYS = 30  # units that end sooner are written anew by a run, and a reason for doctor to warn
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
SYSTEMS = ("systemd", "windows")


class Session(NamedTuple):
    "One trading session of all symbols of a config."

    date: str  # it closes on
    open: int  # ns UTC, the first of the symbols
    close: int  # ns UTC, the last of them


def sessions_between(
    symbols: Iterable[str],  # feed symbols
    start: int,  # ns UTC; sessions that open at or after it
    days: int,  # calendar days looked ahead
) -> list[Session]:
    "Sessions in which any of the symbols trades, in order."
    calendars = {calendar.group: calendar for calendar in map(SessionCalendar.of, symbols)}.values()
    first = dt.datetime.fromtimestamp(start // SECOND, EXCHANGE_ZONE).date()
    found = []
    for day in (first + dt.timedelta(days=n) for n in range(days + 1)):
        bounds = [bounds for calendar in calendars if (bounds := calendar.session_bounds(day.isoformat()))]
        if bounds and min(opens for opens, _ in bounds) >= start:
            found.append(Session(day.isoformat(), min(b[0] for b in bounds), max(b[1] for b in bounds)))
    return found


def session_at(
    symbols: Iterable[str],
    now: int,  # ns UTC
    early_minutes: float = EARLY_MINUTES * 2,  # a session that opens this soon counts as open
) -> Session | None:
    "The session under way or about to open; None while the market is closed. A break inside a session is not its end."
    early = int(early_minutes * MINUTE)
    today = dt.datetime.fromtimestamp(now // SECOND, EXCHANGE_ZONE).date()
    begin = dt.datetime.combine(today - dt.timedelta(days=1), dt.time(0), EXCHANGE_ZONE)
    return next(
        (
            one
            for one in sessions_between(symbols, int((begin - dt.timedelta(days=1)).timestamp()) * SECOND, 4)
            if one.open - early <= now < one.close
        ),
        None,
    )


def next_session(symbols: Iterable[str], now: int) -> Session:
    "The first session that opens after a moment."
    return sessions_between(list(symbols), now, 14)[0]


def closed_message(symbols: Iterable[str], now: int) -> str:
    "What a run says that finds the market closed."
    coming = next_session(symbols, now)
    return (
        f"the market is closed; the session of {coming.date} opens at {_exchange(coming.open):%Y-%m-%d %H:%M} exchange"
        " time: nothing to do"
    )


def _exchange(at: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(at // SECOND, EXCHANGE_ZONE)


class Weekly(NamedTuple):
    "When the weekly search starts, in exchange time."

    weekday: int  # 0 is Monday
    time: dt.time = dt.time(20)

    @classmethod
    def of(cls, text: str) -> "Weekly":
        "From `sat`, or `sat 20:00`."
        day, _, time = text.strip().lower().partition(" ")
        try:
            return cls(WEEKDAYS.index(day[:3]), dt.time.fromisoformat(time.strip()) if time else dt.time(20))
        except ValueError:
            raise InputError(
                "day of the weekly search",
                text,
                f"must be one of {', '.join(WEEKDAYS)}, and may have a time of the exchange",
                'write sat, or "sat 20:00"',
            ) from None

    def moments(self, start: int, count: int) -> list[int]:
        "The next ones, ns UTC."
        first = dt.datetime.fromtimestamp(start // SECOND, EXCHANGE_ZONE).date()
        days = (first + dt.timedelta(days=(self.weekday - first.weekday()) % 7 + 7 * n) for n in range(count + 1))
        found = [int(dt.datetime.combine(day, self.time, EXCHANGE_ZONE).timestamp()) * SECOND for day in days]
        return [at for at in found if at > start][:count]


# --- units


@dataclass(frozen=True)
class Job:
    "What is started, and where."

    config: Path  # absolute
    dry_run: bool = True
    python: str = sys.executable

    @property
    def folder(self) -> Path:
        "The project's folder: the config lies in its config/."
        return self.config.parent.parent

    @property
    def arguments(self) -> list[str]:
        "Of the session's run."
        return ["-m", "futures_algo", "schedule", "run", *self._same]

    def weekly(self, more: Sequence[str] = ()) -> list[str]:
        "Arguments of the weekly search."
        return ["-m", "futures_algo", "schedule", "optimize", "--config", str(self.config), *more]

    def renewal(self, system: str, days: int, early: float, more: Sequence[str] = ()) -> list[str]:
        "Arguments that write the same units anew when they end soon."
        return [
            "-m",
            "futures_algo",
            "schedule",
            "install",
            "--renew",
            *self._same,
            "--system",
            system,
            "--days",
            str(days),
            "--early",
            f"{early:g}",
            *more,
        ]

    @property
    def _same(self) -> list[str]:
        return ["--config", str(self.config), "--dry-run" if self.dry_run else "--live"]


def unit_files(
    system: str,  # systemd or windows
    job: Job,
    sessions: list[Session],
    early_minutes: float = EARLY_MINUTES,
    renewal: Sequence[str] = (),  # arguments of what runs beside each session; nothing when empty
) -> dict[str, str]:  # file name -> content
    "The units of these sessions."
    _known(system)
    if not sessions:
        raise InputError("sessions", 0, "must be one at least", "look further ahead with --days")
    return (_systemd if system == "systemd" else _windows)(job, sessions, int(early_minutes * MINUTE), renewal)


def weekly_files(
    system: str,
    job: Job,
    weekly: Weekly,
    start: int,  # ns UTC
    more: Sequence[str] = (),  # arguments of the search: --data FILE, --limits FILE
) -> dict[str, str]:
    "The units of the weekly search."
    _known(system)
    if system == "windows":  # as many weeks as a task takes triggers; the renewal goes on
        moments = weekly.moments(start, TRIGGERS_A_TASK)
        return {
            f"{WEEKLY}.xml": _task(
                job,
                moments,
                job.weekly(more),
                f"futures-algo's weekly search for parameters from {_exchange(moments[0]):%Y-%m-%d} to"
                f" {_exchange(moments[-1]):%Y-%m-%d}",
            )
        }
    when = f"{WEEKDAYS[weekly.weekday].capitalize()} *-*-* {weekly.time:%H:%M}:00 {EXCHANGE_ZONE.key}"
    service = template(job.folder, f"systemd/{WEEKLY}.service").substitute(
        command=_command(job, job.weekly(more)), folder=str(job.folder).replace("%", "%%")
    )
    return {
        f"{WEEKLY}.service": service,
        f"{WEEKLY}.timer": template(job.folder, f"systemd/{WEEKLY}.timer").substitute(calendar=f"OnCalendar={when}"),
    }


def _known(system: str) -> None:
    if system not in SYSTEMS:
        raise InputError("system", system, "must be systemd or windows", "choose the computer the engine runs on")


def template(folder: Path, name: str) -> Template:
    "A unit's template: the project's own, else the one that came with the library."
    for base in (folder / "config", PROJECT / "config"):
        if (base / name).is_file():
            return Template((base / name).read_text(encoding="utf-8"))
    raise ConfigError("template", name, "must exist under config/", "copy it from the repository")


def _systemd(job: Job, sessions: list[Session], early: int, renewal: Sequence[str]) -> dict[str, str]:
    calendar = "\n".join(
        f"OnCalendar={_exchange(one.open - early):%Y-%m-%d %H:%M:%S} {EXCHANGE_ZONE.key}" for one in sessions
    )
    timer = template(job.folder, f"systemd/{NAME}.timer").substitute(
        calendar=calendar, count=len(sessions), first=sessions[0].date, last=sessions[-1].date
    )
    before = (
        f"ExecStartPre=-{_command(job, renewal)}" if renewal else ""
    )  # the dash: a schedule that could not be renewed is no reason to miss a session
    service = template(job.folder, f"systemd/{NAME}.service").substitute(
        command=_command(job, job.arguments), renewal=before, folder=str(job.folder).replace("%", "%%")
    )
    return {f"{NAME}.service": service, f"{NAME}.timer": timer}


def _command(job: Job, arguments: Sequence[str]) -> str:
    return " ".join(_quoted(part) for part in (job.python, *arguments))


def _quoted(part: str) -> str:
    "One argument of ExecStart: % and $ are specifiers there, and a space ends it."
    part = part.replace("\\", "\\\\").replace("%", "%%").replace("$", "$$").replace('"', '\\"')
    return f'"{part}"' if shlex.quote(part) != part else part


def _windows(job: Job, sessions: list[Session], early: int, renewal: Sequence[str]) -> dict[str, str]:
    "As many tasks as the limit of triggers asks for."
    parts = [sessions[at : at + TRIGGERS_A_TASK] for at in range(0, len(sessions), TRIGGERS_A_TASK)]
    return {
        f"{NAME}-{number}.xml": _task(
            job,
            [one.open - early for one in part],
            job.arguments,
            f"futures-algo trading sessions from {part[0].date} to {part[-1].date}",
            renewal,
        )
        for number, part in enumerate(parts, 1)
    }


def _task(
    job: Job, moments: Sequence[int], arguments: Sequence[str], description: str, after: Sequence[str] = ()
) -> str:
    """A task of these moments; its actions run one after the other (the renewal last: it registers this very task
    again)."""
    actions = "\n".join(_action(job, one) for one in (arguments, after) if one)
    user = os.environ.get("USERNAME", "")
    domain = os.environ.get("USERDOMAIN", "")
    named = escape(f"{domain}\\{user}" if domain else user)
    return template(job.folder, f"windows/{NAME}.xml").substitute(
        user=f"      <UserId>{named}</UserId>\n" if user else "",
        triggers="\n".join(map(_trigger, moments)), actions=actions, description=description
    )


def _action(job: Job, arguments: Sequence[str]) -> str:
    program, given, folder = (
        escape(text) for text in (job.python, subprocess.list2cmdline(arguments), str(job.folder))
    )
    return (
        f"    <Exec>\n      <Command>{program}</Command>\n      <Arguments>{given}</Arguments>\n     "
        f" <WorkingDirectory>{folder}</WorkingDirectory>\n    </Exec>"
    )


def _trigger(at: int) -> str:
    moment = dt.datetime.fromtimestamp(at // SECOND, dt.UTC)
    begins = f"<StartBoundary>{moment:%Y-%m-%dT%H:%M:%S}Z</StartBoundary>"
    return f"    <TimeTrigger>{begins}<Enabled>true</Enabled></TimeTrigger>"


# --- installing


def target_folder(system: str, job: Job) -> Path:
    "Where the units are written: systemd's own folder of the user, or beside the config for Task Scheduler to import."
    if system == "windows":
        return job.folder / "config" / "windows" / "installed"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"


def write_units(files: dict[str, str], folder: Path) -> list[Path]:
    "Write the units; Task Scheduler wants UTF-16."
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"{NAME}-*.xml"):
        old.unlink()
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-16" if name.endswith(".xml") else "utf-8")
    return [folder / name for name in files]


def activation(system: str, paths: list[Path]) -> list[list[str]]:
    "The commands that make the computer read the units."
    if system == "windows":
        return [["schtasks", "/Create", "/F", "/TN", f"futures-algo\\{path.stem}", "/XML", str(path)] for path in paths]
    return [
        ["systemctl", "--user", "daemon-reload"],
        ["systemctl", "--user", "enable", "--now", *(path.name for path in paths if path.suffix == ".timer")],
    ]


def activate(commands: list[list[str]]) -> None:
    "Run them; a computer that has no such scheduler is told what to do by hand."
    for command in commands:
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except FileNotFoundError:
            raise FuturesAlgoError(
                f"{command[0]} is not on this computer; the units are written: run {' '.join(command)!r} where they"
                " belong"
            ) from None
        if done.returncode:
            raise FuturesAlgoError(
                f"{' '.join(command)!r} failed: {(done.stderr or done.stdout).strip()}; the units are written, run it"
                " by hand"
            )


# --- how far it reaches


def own_system() -> str:
    return "windows" if sys.platform == "win32" else "systemd"


def installed(system: str, job: Job) -> list[int]:
    "When the installed units start a session of this config, ns UTC; empty where there are none."
    folder = target_folder(system, job)
    if system == "windows":
        texts = [path.read_text(encoding="utf-16") for path in sorted(folder.glob(f"{NAME}-*.xml"))]
        return sorted(
            _nanos(dt.datetime.fromisoformat(found))
            for text in texts
            for found in re.findall(r"<StartBoundary>(.*?)</StartBoundary>", text)
        )
    timer, service = folder / f"{NAME}.timer", folder / f"{NAME}.service"
    if not (timer.is_file() and service.is_file() and _quoted(str(job.config)) in service.read_text(encoding="utf-8")):
        return []
    lines = re.findall(r"^OnCalendar=(\S+ \S+) (\S+)$", timer.read_text(encoding="utf-8"), re.MULTILINE)
    return sorted(_nanos(dt.datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo(zone))) for moment, zone in lines)


def _nanos(moment: dt.datetime) -> int:
    return int(moment.timestamp()) * SECOND


def ends_soon(moments: Sequence[int], now: int) -> str:
    "What to say of a schedule that ends soon; nothing of one that reaches further, or is not there."
    if not moments or moments[-1] - now >= RENEW_DAYS * DAY:
        return ""
    if moments[-1] < now:
        return f"the scheduled sessions ended on {_exchange(moments[-1]):%Y-%m-%d}"
    return f"sessions are scheduled to {_exchange(moments[-1]):%Y-%m-%d} only, {(moments[-1] - now) // DAY} days ahead"
