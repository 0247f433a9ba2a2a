"""When the computer should start a session: systemd timers or Windows tasks, computed from the exchange calendar.

Every session has a line of its own, so holidays have none. systemd reads times in the exchange's zone; Windows reads UTC instants, which are computed
with the exchange's summer time. The end is not scheduled: a run asks the calendar, which knows early closes.
"""
import datetime as dt
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import NamedTuple
from xml.sax.saxutils import escape

from futures_algo.core import MINUTE, SECOND, ConfigError, FuturesAlgoError, InputError
from futures_algo.sessions import EXCHANGE_ZONE, SessionCalendar

NAME = "futures-algo-session"
TRIGGERS_A_TASK = 48    # Task Scheduler takes no more (learn.microsoft.com, "Task Triggers")
EARLY_MINUTES = 5       # before the open: the engine connects and warms up
SETTLE_SECONDS = 60     # after the close: last fills and the comparison of the books
SYSTEMS = ("systemd", "windows")


class Session(NamedTuple):
    "One trading session of all symbols of a config."
    date: str      # it closes on
    open: int      # ns UTC, the first of the symbols
    close: int     # ns UTC, the last of them


def sessions_between(
    symbols: Iterable[str],    # feed symbols
    start: int,                # ns UTC; sessions that open at or after it
    days: int,                 # calendar days looked ahead
) -> list[Session]:
    "Sessions in which any of the symbols trades, in order."
    calendars = {calendar.group: calendar for calendar in map(SessionCalendar.of, symbols)}.values()
    first = dt.datetime.fromtimestamp(start // SECOND, EXCHANGE_ZONE).date()
    found = []
    for day in (first + dt.timedelta(days=n) for n in range(days + 1)):
        bounds = [bounds for calendar in calendars if (bounds := calendar.session_bounds(day.isoformat()))]
        if bounds and min(opens for opens, _ in bounds) >= start: found.append(Session(day.isoformat(), min(b[0] for b in bounds), max(b[1] for b in bounds)))
    return found


def session_at(
    symbols: Iterable[str],
    now: int,                            # ns UTC
    early_minutes: float = EARLY_MINUTES * 2,   # a session that opens this soon counts as open
) -> Session | None:
    "The session under way or about to open; None while the market is closed. A break inside a session is not its end."
    early = int(early_minutes * MINUTE)
    today = dt.datetime.fromtimestamp(now // SECOND, EXCHANGE_ZONE).date()
    begin = dt.datetime.combine(today - dt.timedelta(days=1), dt.time(0), EXCHANGE_ZONE)
    return next((one for one in sessions_between(symbols, int((begin - dt.timedelta(days=1)).timestamp()) * SECOND, 4) if one.open - early <= now < one.close), None)


def next_session(symbols: Iterable[str], now: int) -> Session:
    "The first session that opens after a moment."
    return sessions_between(list(symbols), now, 14)[0]


def closed_message(symbols: Iterable[str], now: int) -> str:
    "What a run says that finds the market closed."
    coming = next_session(symbols, now)
    return f"the market is closed; the session of {coming.date} opens at {_exchange(coming.open):%Y-%m-%d %H:%M} exchange time: nothing to do"


def _exchange(at: int) -> dt.datetime: return dt.datetime.fromtimestamp(at // SECOND, EXCHANGE_ZONE)


# --- units

@dataclass(frozen=True)
class Job:
    "What is started, and where."
    config: Path                       # absolute
    dry_run: bool = True
    python: str = sys.executable

    @property
    def folder(self) -> Path:
        "The project's folder: the config lies in its config/."
        return self.config.parent.parent

    @property
    def arguments(self) -> list[str]:
        return ["-m", "futures_algo", "schedule", "run", "--config", str(self.config), "--dry-run" if self.dry_run else "--live"]


def unit_files(
    system: str,               # systemd or windows
    job: Job,
    sessions: list[Session],
    early_minutes: float = EARLY_MINUTES,
) -> dict[str, str]:           # file name -> content
    "The units of these sessions."
    if system not in SYSTEMS: raise InputError("system", system, "must be systemd or windows", "choose the computer the engine runs on")
    if not sessions: raise InputError("sessions", 0, "must be one at least", "look further ahead with --days")
    return (_systemd if system == "systemd" else _windows)(job, sessions, int(early_minutes * MINUTE))


def template(folder: Path, name: str) -> Template:
    "A unit's template: the project's own, else the one that came with the library."
    for base in (folder / "config", Path(__file__).resolve().parents[1] / "config"):
        if (base / name).is_file(): return Template((base / name).read_text(encoding="utf-8"))
    raise ConfigError("template", name, "must exist under config/", "copy it from the repository")


def _systemd(job: Job, sessions: list[Session], early: int) -> dict[str, str]:
    command = " ".join(_quoted(part) for part in (job.python, *job.arguments))
    calendar = "\n".join(f"OnCalendar={_exchange(one.open - early):%Y-%m-%d %H:%M:%S} {EXCHANGE_ZONE.key}" for one in sessions)
    timer = template(job.folder, f"systemd/{NAME}.timer").substitute(calendar=calendar, count=len(sessions), first=sessions[0].date, last=sessions[-1].date)
    service = template(job.folder, f"systemd/{NAME}.service").substitute(command=command, folder=str(job.folder).replace("%", "%%"))
    return {f"{NAME}.service": service, f"{NAME}.timer": timer}


def _quoted(part: str) -> str:
    "One argument of ExecStart: % and $ are specifiers there, and a space ends it."
    part = part.replace("\\", "\\\\").replace("%", "%%").replace("$", "$$").replace('"', '\\"')
    return f'"{part}"' if shlex.quote(part) != part else part


def _windows(job: Job, sessions: list[Session], early: int) -> dict[str, str]:
    "As many tasks as the limit of triggers asks for."
    parts = [sessions[at:at + TRIGGERS_A_TASK] for at in range(0, len(sessions), TRIGGERS_A_TASK)]
    form, arguments = template(job.folder, f"windows/{NAME}.xml"), subprocess.list2cmdline(job.arguments)
    return {f"{NAME}-{number}.xml": form.substitute(triggers="\n".join(_trigger(one.open - early) for one in part), program=escape(job.python), arguments=escape(arguments),
                                                    folder=escape(str(job.folder)), first=part[0].date, last=part[-1].date) for number, part in enumerate(parts, 1)}


def _trigger(at: int) -> str:
    moment = dt.datetime.fromtimestamp(at // SECOND, dt.UTC)
    return f"    <TimeTrigger><StartBoundary>{moment:%Y-%m-%dT%H:%M:%S}Z</StartBoundary><Enabled>true</Enabled></TimeTrigger>"


# --- installing

def target_folder(system: str, job: Job) -> Path:
    "Where the units are written: systemd's own folder of the user, or beside the config for Task Scheduler to import."
    if system == "windows": return job.folder / "config" / "windows" / "installed"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"


def write_units(files: dict[str, str], folder: Path) -> list[Path]:
    "Write the units; Task Scheduler wants UTF-16."
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"{NAME}-*.xml"): old.unlink()
    for name, content in files.items(): (folder / name).write_text(content, encoding="utf-16" if name.endswith(".xml") else "utf-8")
    return [folder / name for name in files]


def activation(system: str, paths: list[Path]) -> list[list[str]]:
    "The commands that make the computer read the units."
    if system == "windows": return [["schtasks", "/Create", "/F", "/TN", f"futures-algo\\{path.stem}", "/XML", str(path)] for path in paths]
    return [["systemctl", "--user", "daemon-reload"], ["systemctl", "--user", "enable", "--now", f"{NAME}.timer"]]


def activate(commands: list[list[str]]) -> None:
    "Run them; a computer that has no such scheduler is told what to do by hand."
    for command in commands:
        try: done = subprocess.run(command, capture_output=True, text=True)
        except FileNotFoundError: raise FuturesAlgoError(f"{command[0]} is not on this computer; the units are written: run {' '.join(command)!r} where they belong") from None
        if done.returncode: raise FuturesAlgoError(f"{' '.join(command)!r} failed: {(done.stderr or done.stdout).strip()}; the units are written, run it by hand")
