"""Who may open the page: this computer by default, anybody else only with a password and encryption."""

import asyncio
import hashlib
import hmac
import html
import ipaddress
import json
import logging
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from futures_algo.core.types import ConfigError, FuturesAlgoError, InputError

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


Users = Mapping[str, Mapping[str, str]]


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


_LOGIN = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>futures-algo monitor</title>
<style>:root{color-scheme:light dark}body{font:15px system-ui,sans-serif;display:grid;place-items:center;min-height:90vh}form{display:grid;gap:10px;width:260px}input,button{font:inherit;padding:8px}p{color:#b3322b;margin:0;min-height:1.4em}</style>
<form method="post"><b>futures-algo monitor</b><label for="u">User</label><input id="u" name="username" autocomplete="username" autofocus required><label for="p">Password</label>
<input id="p" name="password" type="password" autocomplete="current-password" required><button>Log in</button><p role="alert">%s</p></form></html>"""
_TRIES, _WINDOW = 8, 60.0  # failed logins from one address within so many seconds


def login_provider(users: dict[str, dict[str, str]]) -> Any:
    "Panel's login with hashed passwords and a page that needs no other server."
    from panel.auth import BasicAuthProvider, BasicLoginHandler

    failures: dict[str, list[float]] = {}

    class Login(BasicLoginHandler):
        def get(self):
            self.write(_LOGIN % "")

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
            self.write(_LOGIN % html.escape(text))

    class Provider(BasicAuthProvider):
        login_handler = Login

    return Provider()


_DECOY = "scrypt$00$00"  # an unknown user costs as much time as a wrong password


log = logging.getLogger("futures_algo.monitor.page")


class PageServer:
    "A served page: `.url`, `.port`, `.stop()`, `.wait()`."

    def __init__(
        self,
        build: Callable[[], Any],
        address: str,
        port: int,
        tls: "tuple[str | Path, str | Path] | None",
        options: dict[str, Any],
        on_stop: Callable[[], None],
    ):
        self._build, self._bind, self._tls, self._options, self._on_stop = build, (address, port), tls, options, on_stop
        self._ready = threading.Event()
        self._error: OSError | None = None
        self._loop: Any = None  # tornado's
        self.url, self.port = "", 0
        self._thread = threading.Thread(target=self._run, name="monitor server", daemon=True)

    def start(self) -> "PageServer":
        "Listen; an address that cannot be listened on is an error here, not in a thread."
        self._thread.start()
        self._ready.wait(60)
        if self._error:
            raise Refused(
                f"address was {self._bind[0]}:{self._bind[1]}; it cannot be listened on ({self._error}); choose another"
                " port, 0 is any free one"
            )
        return self

    def _run(self) -> None:
        from tornado.ioloop import IOLoop

        asyncio.set_event_loop(asyncio.new_event_loop())
        self._loop = IOLoop.current()
        try:
            server = self._listen()
        except OSError as error:
            self._error = error
            self._ready.set()
            return
        self._ready.set()
        self._loop.start()
        server.stop()
        self._loop.close(all_fds=True)

    def _listen(self) -> Any:
        import panel as pn

        address, port = self._bind
        context: dict[str, Any] = {}
        if self._tls:
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            tls.load_cert_chain(*self._tls)
            context = {"http_server_kwargs": {"ssl_options": tls}}
        server = pn.io.server.get_server(
            {"/": self._build},
            port=port,
            address=address,
            start=False,
            show=False,
            title="futures-algo monitor",
            **context,
            **self._options,
        )
        server.start()
        self.port = server.port
        if is_loopback(address):
            server._tornado.websocket_origins.update(
                {f"127.0.0.1:{self.port}", f"localhost:{self.port}", f"[::1]:{self.port}"}
            )
        host = f"[{address}]" if ":" in address else "127.0.0.1" if address == "0.0.0.0" else address
        self.url = f"{'https' if self._tls else 'http'}://{host}:{self.port}"
        return server

    def stop(self) -> None:
        "Stop serving; open pages say that the connection is gone."
        if self._loop and self._thread.is_alive():
            self._loop.add_callback(self._loop.stop)
            self._thread.join(10)
            self._on_stop()

    def wait(self) -> None:
        "Until the server stops or the process is interrupted."
        while self._thread.is_alive():
            self._thread.join(0.5)


def serve(
    journal_path: "str | Path",
    port: int = 0,  # 0 is any free one
    address: str = "127.0.0.1",
    *,
    role: str = "trader",  # of everybody, where there is no login
    users: "Users | str | Path | None" = None,  # logins with hashed passwords and roles, or the file they are in
    oauth: "dict[str, Any] | None" = None,  # Panel's oauth_provider, oauth_key, oauth_secret, ...
    tls: "tuple[str | Path, str | Path] | None" = None,  # certificate and key files
    behind_proxy: bool = False,  # a proxy in front encrypts
    origins: Sequence[str] = (),  # host:port the page is opened under, where not the address itself
    config_path: "str | Path | None" = None,
) -> PageServer:
    "Serve the monitor from a thread of this process."
    from futures_algo.monitor.page import monitor_app, release, shared_screens

    known = read_users(users) if users else {}
    check_exposure(address, bool(known or oauth), bool(tls or behind_proxy))
    screens = shared_screens(journal_path)
    screens.day(screens.reader.view)  # read before the first browser asks

    def build():
        import panel as pn

        mine = known.get(pn.state.user or "", {"role": "viewer"})["role"] if known else role
        return monitor_app(journal_path, mine, config_path=config_path)

    return PageServer(build, address, port, tls, _options(known, oauth, origins), lambda: release(journal_path)).start()


def _options(users: dict, oauth: "dict[str, Any] | None", origins: Sequence[str]) -> dict[str, Any]:
    "What Panel's server is told about logins and origins."
    options: dict[str, Any] = {"websocket_origin": list(origins)} if origins else {}
    if oauth:
        options |= oauth | {"cookie_secret": oauth.get("cookie_secret") or secrets.token_hex(32)}
    elif users:
        options |= {"auth_provider": login_provider(users), "cookie_secret": secrets.token_hex(32)}
    return options
