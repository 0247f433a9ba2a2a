"""Who may look at the page and who may act on it: users, passwords, and what an open address needs."""

import asyncio
import hashlib
import hmac
import html
import ipaddress
import json
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from futures_algo.core.paths import asset
from futures_algo.core.types import ConfigError, FuturesAlgoError, InputError

Users = Mapping[str, Mapping[str, str]]  # name -> role and password hash

_TRIES, _WINDOW = 8, 60.0  # failed logins from one address within so many seconds
_N, _R, _P = 2**15, 8, 3
_MEMORY = 128 * _N * _R * 2  # bytes scrypt may use


def hash_password(password: str) -> str:
    "The text to put into the users file: scrypt$salt$hash, both hexadecimal."
    if len(password) < 8:
        raise InputError("password", "*" * len(password), "must have at least 8 characters", "choose a longer one")
    salt = secrets.token_bytes(16)
    return f"scrypt${salt.hex()}${_derive(password, salt).hex()}"


def _derive(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=_N, r=_R, p=_P, maxmem=_MEMORY)


def password_fits(password: str, hashed: str) -> bool:
    "Whether the password has this hash."
    try:
        kind, salt, wanted = hashed.split("$")
    except ValueError:
        return False
    return kind == "scrypt" and hmac.compare_digest(_derive(password, bytes.fromhex(salt)).hex(), wanted)


def read_users(users: "Users | str | Path") -> dict[str, dict[str, str]]:
    "Checked users; a password that is not hashed is refused."
    if isinstance(users, (str, Path)):
        try:
            users = json.loads(Path(users).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(
                "users file",
                str(users),
                f"cannot be read ({error})",
                "write {name: {password: hash, role: trader or viewer}}",
            ) from None
    for name, entry in users.items():
        if not str(entry.get("password", "")).startswith("scrypt$"):
            raise ConfigError(
                "password",
                "(hidden)",
                "must be hashed",
                "use futures_algo.monitor.serving.hash_password",
                f"users.{name}.password",
            )
        if entry.get("role", "viewer") not in ("trader", "viewer"):
            raise ConfigError("role", entry.get("role"), "must be trader or viewer", "", f"users.{name}.role")
    return {name: {"role": "viewer"} | dict(entry) for name, entry in users.items()}


class Refused(FuturesAlgoError):
    "The page may not be served, or shown, this way."


def is_loopback(host: str) -> bool:
    "Whether only this computer can reach the address."
    try:
        return ipaddress.ip_address(host.split("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


def check_exposure(
    address: str,  # to listen on
    login: bool,  # users or OAuth are given
    encrypted: bool,  # a certificate is given, or a proxy that has one stands in front
) -> None:
    "Refuse an address others can reach without a login and encryption."
    if is_loopback(address):
        return
    remedy = (
        "give users= (see hash_password) or oauth=, and tls=(certificate, key) or behind_proxy=True; or stay on"
        " 127.0.0.1 and use an SSH tunnel"
    )
    if not login:
        raise Refused(
            f"address was {address!r}; the monitor can halt and flatten, so other computers need a password or OAuth;"
            f" {remedy}"
        )
    if not encrypted:
        raise Refused(f"address was {address!r}; a password must not travel unencrypted; {remedy}")


def refusal() -> Any:
    "A page that says no, when the reader of this session comes from elsewhere without a login; else None."
    import panel as pn

    context = pn.state.curdoc.session_context if pn.state.curdoc else None
    request = context.request if context else None
    if (
        request is None
        or pn.state.user not in (None, "guest")
        or is_loopback(getattr(request, "remote_ip", "127.0.0.1"))
    ):
        return None
    text = (
        "This monitor was started without a login, so it answers only to the computer it runs on. Start it with"
        " <code>futures-algo monitor --users FILE --tls CERT KEY</code>, or reach it through an SSH tunnel."
    )
    return pn.pane.HTML(f"<h3>Refused</h3><p>{text}</p>")


_LOGIN = asset("monitor", "login.html")


def login_provider(users: dict[str, dict[str, str]]) -> Any:
    "Panel's login with hashed passwords and a page that needs no other server."
    from panel.auth import BasicAuthProvider, BasicLoginHandler

    failures: dict[str, list[float]] = {}

    class Login(BasicLoginHandler):
        def get(self):
            self.write(_LOGIN)

        async def post(self):
            name, password, address = (
                self.get_argument("username", ""),
                self.get_argument("password", "", strip=False),
                self.request.remote_ip,
            )
            failures[address] = [at for at in failures.get(address, []) if at > time.monotonic() - _WINDOW]
            if len(failures[address]) >= _TRIES:
                return self._again(429, "Too many tries; wait a minute.")
            known = users.get(name, {"password": _DECOY})
            if await asyncio.to_thread(password_fits, password, known["password"]) and name in users:
                self.set_current_user(name)
                return self.redirect("/")
            failures[address].append(time.monotonic())
            self._again(403, "User or password is wrong.")

        def _again(self, status: int, text: str) -> None:
            self.set_status(status)
            self.write(_LOGIN.replace("<!-- problem -->", html.escape(text)))

    class Provider(BasicAuthProvider):
        login_handler = Login

    return Provider()


_DECOY = "scrypt$00$00"  # an unknown user costs as much time as a wrong password
