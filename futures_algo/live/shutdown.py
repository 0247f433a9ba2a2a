"""What ends an engine from outside: signals, the closing of its terminal, and on Windows that of its console."""

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
)  # SIGHUP: a terminal closes; SIGBREAK: Windows' Ctrl-Break
CONSOLE_SECONDS = 4.5  # Windows ends the process 5 s after it announced a close
_CLOSING = {
    2: "the console was closed",
    5: "the user logs off",
    6: "the system shuts down",
}  # CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT, CTRL_SHUTDOWN_EVENT


def on_signals(stop: Callable[[int], None]) -> None:
    """Have `stop` called with the number of a signal that asks for the end; one that is ignored, as under nohup, stays
    so."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda received, frame: stop(int(received)))


def console_handler(
    stop: Callable[[str], None], ended: threading.Event, seconds: float = CONSOLE_SECONDS
) -> Callable[[int], bool]:
    """What Windows calls, in a thread of its own, when the console goes: the process is gone when this returns, so it
    waits for the end."""

    def handle(event: int) -> bool:
        if event not in _CLOSING:
            return False  # Ctrl-C and Ctrl-Break are signals
        stop(_CLOSING[event])
        ended.wait(seconds)
        return True

    return handle


def on_console_close(stop: Callable[[str], None], ended: threading.Event) -> Any:
    "Register `console_handler` with Windows; keep what is returned as long as it shall work. Nothing to do elsewhere."
    if os.name != "nt":
        return None
    import ctypes

    windows: Any = ctypes
    handler = windows.WINFUNCTYPE(ctypes.c_int, ctypes.c_uint)(console_handler(stop, ended))
    windows.windll.kernel32.SetConsoleCtrlHandler(handler, True)
    return handler


def when_alone(tell: Callable[[], None]) -> None:
    """Have `tell` called, in a thread, when the process that started this one is gone: it held the other end of our
    standard input."""

    def wait() -> None:
        try:
            while os.read(0, 64):
                pass
        except OSError:
            return  # there is no standard input to tell by
        tell()

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()
