"""Is this computer ready for a session? Every check says what it found and, where something is wrong, what to do about
it. No key is ever shown."""

import shutil
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from futures_algo.config.files import environment
from futures_algo.config.loading import parse_config, read_config
from futures_algo.config.model import LiveConfig
from futures_algo.core.types import DAY, FuturesAlgoError
from futures_algo.journal.journal import Journal, JournalError

PACKAGE = "futures_algo"
FREE_NEEDED, FREE_WANTED = 1.0, 5.0  # GiB: a session's journal and logs take well under one
SKEW_LIMIT, SKEW_WARNING = 1.0, 0.25  # seconds: the gate judges a signal's age by this clock
NTP_EPOCH = 2_208_988_800  # seconds from 1900 to 1970 (RFC 5905)
OK, WARN, FAIL = "ok", "warn", "fail"


class Check(NamedTuple):
    "One finding."

    name: str
    status: str  # ok, warn or fail
    detail: str
    remedy: str = ""


@dataclass
class Patient:
    "What is looked at."

    config_path: Path
    offline: bool = False  # ask no server
    port: int = 5006  # of the monitor's page
    ntp: str = "pool.ntp.org"  # time server, host or host:port; empty asks none
    content: dict[str, Any] = field(default_factory=dict)
    config: LiveConfig | None = None  # None when it cannot be read
    secrets: dict[str, str] = field(default_factory=dict)  # variable -> value, never shown

    @property
    def folder(self) -> Path:
        return self.config_path.parent.parent

    @property
    def journal(self) -> Path:
        return self.folder / (self.config.engine.journal if self.config else "journal/live.db")

    def hide(self, text: str) -> str:
        "Text without any secret in it."
        for value in self.secrets.values():
            if value:
                text = text.replace(value, "***")
        return text


def examine(
    config_path: Path,
    *,
    offline: bool = False,
    port: int = 5006,
    ntp: str = "pool.ntp.org",
) -> list[Check]:
    "All checks, in the order in which they should be mended."
    patient = Patient(config_path, offline, port, ntp)
    found = [one for check in CHECKS for one in check(patient)]
    return [one._replace(detail=patient.hide(one.detail)) for one in found]


# --- this computer


def python_version(patient: Patient) -> Iterator[Check]:
    from packaging.specifiers import SpecifierSet

    needed, found = (
        metadata.distribution(PACKAGE).metadata["Requires-Python"] or "",
        ".".join(map(str, sys.version_info[:3])),
    )
    fits = SpecifierSet(needed).contains(found, prereleases=True)
    yield Check(
        "python",
        OK if fits else FAIL,
        f"{found}, needs {needed}",
        "" if fits else "make the environment anew with a newer Python",
    )


def packages(patient: Patient) -> Iterator[Check]:
    "Every requirement of the library, by its installed version."
    from packaging.requirements import Requirement

    wrong = []
    for text in metadata.distribution(PACKAGE).requires or ():
        needed = Requirement(text)
        if needed.marker and not needed.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(needed.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{needed.name} is missing")
            continue
        if not needed.specifier.contains(version, prereleases=True):
            wrong.append(f"{needed.name} is {version}, needs {needed.specifier}")
    shown = (
        f"databento {metadata.version('databento')}, numpy {metadata.version('numpy')}, pandas"
        f" {metadata.version('pandas')}"
    )
    yield Check(
        "packages",
        FAIL if wrong else OK,
        "; ".join(wrong) or shown,
        "pip install -e . -c constraints.txt" if wrong else "",
    )


def disk(patient: Patient) -> Iterator[Check]:
    base = next(folder for folder in (patient.journal.parent, *patient.journal.parents) if folder.is_dir())
    free = shutil.disk_usage(base).free / 2**30
    status = WARN if free < FREE_WANTED else OK
    if free < FREE_NEEDED:
        status = FAIL
    yield Check(
        "disk",
        status,
        f"{free:.1f} GiB free for the journal",
        "" if status == OK else f"free some: a session should have {FREE_WANTED:g} GiB",
    )


def port_free(patient: Patient) -> Iterator[Check]:
    wanted = {"monitor port": patient.port}
    if patient.config and patient.config.watch.metrics_port:
        wanted["metrics port"] = patient.config.watch.metrics_port
    for name, port in wanted.items():
        with socket.socket() as probe:
            if sys.platform != "win32":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                yield Check(
                    name,
                    FAIL,
                    f"{port} is in use",
                    "end what listens there, or take another port (--port, watch.metrics_port)",
                )
            else:
                yield Check(name, OK, f"{port} is free")


def clock(patient: Patient) -> Iterator[Check]:
    "The computer's clock against a time server."
    if patient.offline or not patient.ntp:
        return
    try:
        skew, within = ask_time(patient.ntp)
    except (OSError, ValueError) as error:
        yield Check("clock", WARN, f"{patient.ntp} did not answer ({error})", "name a reachable time server with --ntp")
        return
    status = WARN if abs(skew) > SKEW_WARNING else OK
    if abs(skew) > SKEW_LIMIT:
        status = FAIL
    yield Check(
        "clock",
        status,
        f"{skew:+.3f} s against {patient.ntp}, known to {within:.3f} s",
        (
            ""
            if status == OK
            else "switch the computer's time synchronisation on (timedatectl set-ntp true, w32tm /resync)"
        ),
    )


def ask_time(server: str, timeout: float = 3.0) -> tuple[float, float]:
    "Seconds the computer's clock is ahead, and the uncertainty: one SNTP question (RFC 5905, section 8)."
    host, _, port = server.partition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.settimeout(timeout)
        sent = time.time()
        line.sendto(b"\x23" + 47 * b"\0", (host, int(port or 123)))
        answer, _ = line.recvfrom(512)
        known = time.time()
    if len(answer) < 48 or not answer[1]:
        raise ValueError("not a time server's answer")
    moments = struct.unpack("!IIII", answer[32:48])
    received, replied = (moments[k] - NTP_EPOCH + moments[k + 1] / 2**32 for k in (0, 2))
    return ((sent - received) + (known - replied)) / 2, max(0.0, ((known - sent) - (replied - received)) / 2)


def calendar(patient: Patient) -> Iterator[Check]:
    "The table of holidays must reach far enough."
    from futures_algo.core.calendar_file import calendar_warning
    from futures_algo.core.sessions import SessionCalendar
    from futures_algo.core.types import InputError, to_timestamp

    symbols = patient.config.databento.symbols if patient.config else ["ES.c.0"]
    now = time.time_ns()
    try:
        opening = min(SessionCalendar.of(symbol).next_open(now + 30 * DAY) for symbol in symbols)
        following = min(SessionCalendar.of(symbol).next_open(now) for symbol in symbols)
    except InputError as error:
        yield Check("calendar", FAIL, str(error), "update the library: its table of sessions has ended")
    else:
        yield Check(
            "calendar",
            OK,
            f"knows sessions beyond {to_timestamp(opening):%Y-%m-%d}; the next opens"
            f" {to_timestamp(following):%Y-%m-%d %H:%M} UTC",
        )
    if ending := calendar_warning(to_timestamp(now).date()):
        yield Check("calendar review", WARN, ending, "futures-algo sessions --update FILE, or a newer release")


def schedule(patient: Patient) -> Iterator[Check]:
    "Units that start sessions, where some are installed, must reach far enough."
    from futures_algo.core.types import to_timestamp
    from futures_algo.live.schedule import Job, ends_soon, installed, own_system

    moments = installed(own_system(), Job(patient.config_path.resolve()))
    if not moments:
        return
    warning = ends_soon(moments, time.time_ns())
    yield Check(
        "schedule",
        WARN if warning else OK,
        warning or f"sessions are scheduled to {to_timestamp(moments[-1]):%Y-%m-%d}",
        "run futures-algo schedule install again" if warning else "",
    )


# --- the config


def config(patient: Patient) -> Iterator[Check]:
    "Read with the keys' names alone, so that a missing key is said once, below."
    from futures_algo.config.mistakes import ConfigErrors
    from futures_algo.engine.build import check_config

    try:
        patient.content = read_config(patient.config_path)
        variables = environment(patient.config_path.parent)
        patient.secrets = {name: variables.get(name, "").strip() for name in variables_of(patient.content)}
        patient.config = parse_config(
            patient.content,
            variables | {name: value or "missing" for name, value in patient.secrets.items()},
            patient.config_path.name,
            patient.config_path.parent,
        )
        check_config(patient.config)
    except ConfigErrors as errors:
        yield Check(
            "config",
            FAIL,
            "; ".join(map(str, errors.errors)),
            f"mend {patient.config_path.name}; futures-algo validate-config shows the same",
        )
    except FuturesAlgoError as error:
        yield Check("config", FAIL, str(error), f"mend {patient.config_path.name}, or name another with --config")
    else:
        yield Check(
            "config",
            OK,
            f"{len(patient.config.strategies)} strategies on {', '.join(patient.config.databento.symbols)};"
            f" {'dry run' if patient.config.execution.dry_run else 'live orders allowed'}",
        )


def variables_of(content: Any) -> list[str]:
    "The ${VARIABLES} a config needs, the two keys always."
    import json

    from futures_algo.config.files import VARIABLE

    return list(dict.fromkeys(["DATABENTO_API_KEY", "CROSSTRADE_API_KEY", *VARIABLE.findall(json.dumps(content))]))


def keys(patient: Patient) -> Iterator[Check]:
    "Whether each variable is set; what it holds is nobody's business."
    literal = {"DATABENTO_API_KEY": ("databento", "api_key"), "CROSSTRADE_API_KEY": ("execution", "crosstrade_api_key")}
    for name, value in patient.secrets.items():
        section, entry = literal.get(name, ("", ""))
        given = patient.content.get(section, {}).get(entry, "")
        if given and not given.startswith("${"):
            patient.secrets[name] = given
            yield Check(
                f"key {name}",
                WARN,
                "is written in the config file itself",
                f'write "${{{name}}}" there and set the variable',
            )
        elif value:
            yield Check(f"key {name}", OK, "is set")
        else:
            yield Check(
                f"key {name}",
                FAIL,
                "is not set",
                f"export {name}=... or write it into {patient.config_path.parent.name}/.env",
            )


# --- the journal


def journal(patient: Patient) -> Iterator[Check]:
    path = patient.journal
    folder = next(found for found in (path.parent, *path.parents) if found.is_dir())
    try:
        with (folder / f".doctor-{time.time_ns()}").open("w") as probe:
            pass
        Path(probe.name).unlink()
    except OSError as error:
        yield Check(
            "journal folder",
            FAIL,
            f"{folder} cannot be written ({error.strerror})",
            "give this user the right, or name another file (engine.journal)",
        )
        return
    yield Check("journal folder", OK, f"{folder} can be written")
    if path.exists():
        yield _journal_file(path)


def _journal_file(path: Path) -> Check:
    "Its version, its soundness, and whether an engine writes it."
    try:
        with Journal(path, readonly=True) as book:
            damage, used = book.damage(), "an engine writes it now" if Journal.is_held(path) else "no engine writes it"
    except JournalError as error:
        return Check("journal", FAIL, str(error), "move the file away, or use the version that wrote it")
    if damage:
        return Check("journal", FAIL, f"damaged: {damage[0]}", "stop the engine, keep a copy, and move the file away")
    return Check("journal", OK, f"{path.name}, {path.stat().st_size / 2**20:.1f} MiB, sound; {used}")


# --- the two servers


def databento(patient: Patient) -> Iterator[Check]:
    "A session with Databento's live gateway: reachable, and the key is taken."
    if patient.offline or not patient.config or not _has_key(patient, "DATABENTO_API_KEY"):
        return
    from futures_algo.feed.databento_feed import DatabentoLiveFeed

    data = patient.config.databento
    where = f"{data.gateway or 'Databento'}, {data.dataset}, {data.schema_}"
    feed = DatabentoLiveFeed(
        data.api_key,
        data.symbols,
        schema=data.schema_,
        dataset=data.dataset,
        gateway=data.gateway,
        port=data.port,
        heartbeat_s=data.heartbeat_s,
    )
    began = time.monotonic()
    try:
        feed.connect()
    except FuturesAlgoError as error:
        yield Check(
            "databento",
            FAIL,
            str(error),
            "check the key, the plan of the data set, and that the network lets port 13000 out",
        )
    else:
        yield Check("databento", OK, f"{where}: authenticated in {time.monotonic() - began:.1f} s")
    finally:
        feed.shutdown()


def crosstrade(patient: Patient) -> Iterator[Check]:
    "CrossTrade answers, takes the token, reaches NinjaTrader, and the account is there."
    if patient.offline or not patient.config or not _has_key(patient, "CROSSTRADE_API_KEY"):
        return
    from futures_algo.broker.outcomes import QueryError, Unauthorized, Unreachable
    from futures_algo.core.types import InputError
    from futures_algo.crosstrade.client import CrossTradeClient

    execution = patient.config.execution
    remedies = {
        Unauthorized: "set the token of a plan with API access",
        Unreachable: "check the network and that NinjaTrader runs with the CrossTrade add-on",
    }
    with CrossTradeClient(
        execution.crosstrade_api_key, execution.crosstrade_base_url, execution.account, attempts=1
    ) as client:
        try:
            names = client.get_accounts()
        except QueryError as error:
            yield Check(
                "crosstrade",
                FAIL,
                str(error),
                remedies.get(type(error), "see the message; NinjaTrader must run with the CrossTrade add-on"),
            )
            return
        yield Check(
            "crosstrade",
            OK,
            f"{execution.crosstrade_base_url} answers; {len(names)} account{'' if len(names) == 1 else 's'}",
        )
        try:
            yield Check("account", OK, f"{client.check_account()} is there")
        except (InputError, QueryError) as error:
            yield Check("account", FAIL, str(error), "write the account's Name into execution.account")


def vectorbt(patient: Patient) -> Iterator[Check]:
    "The adapter with whichever vectorbt is here, against the model on the sample bars."
    from futures_algo.live.vectorbt_check import compare, installed

    if not installed():
        yield Check("vectorbt", OK, "neither vectorbtpro nor vectorbt is here; engine='model' needs neither")
        return
    same, detail = compare()
    remedy = "use engine='model', which needs neither, and report the version" if not same else ""
    yield Check("vectorbt", OK if same else WARN, detail, remedy)


def _has_key(patient: Patient, name: str) -> bool:
    return bool(patient.secrets.get(name))


CHECKS: tuple[Callable[[Patient], Iterator[Check]], ...] = (
    python_version,
    packages,
    config,
    keys,
    calendar,
    schedule,
    disk,
    journal,
    port_free,
    clock,
    databento,
    crosstrade,
    vectorbt,
)


def as_dict(found: list[Check]) -> dict[str, Any]:
    return {"ok": all(one.status != FAIL for one in found), "checks": [one._asdict() for one in found]}
