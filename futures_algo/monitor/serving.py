"""Who may open the page: this computer by default, anybody else only with a password and encryption."""

import asyncio
import logging
import secrets
import ssl
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from futures_algo.monitor.access import Refused, Users, check_exposure, is_loopback, login_provider, read_users

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
        host = f"[{address}]" if ":" in address else address
        if address == "0.0.0.0":
            host = "127.0.0.1"
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
    from futures_algo.monitor.page import monitor_app, release, shared_views

    known = read_users(users) if users else {}
    check_exposure(address, bool(known or oauth), bool(tls or behind_proxy))
    views = shared_views(journal_path)
    views.day(views.reader.view)  # read before the first browser asks

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
