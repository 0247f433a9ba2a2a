"""The one boundary to the user's code: whatever it raises (`sys.exit()` too) or however long it takes, what runs around
it goes on."""

import ctypes
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from futures_algo.core.types import FuturesAlgoError

FIRST_SECONDS = 120.0  # an import, or a first call that compiles kernels
CALL_SECONDS = 5.0  # every other call


class UserCodeError(FuturesAlgoError):
    "The user's code raised, asked the process to end, or did not come back."

    def __init__(self, what: str, error: BaseException):
        self.what, self.error = what, error
        super().__init__(f"{type(error).__name__}: {error}".rstrip(": "))


class TookTooLong(BaseException):
    "Put into a thread whose call did not come back; no `except Exception` of the user's holds it."

    def __str__(self) -> str:
        return "it did not come back in time"


class _Watchdog:
    "One thread that interrupts calls past their deadline."

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: dict[int, float] = {}  # thread -> its deadline, monotonic seconds
        self._thread: threading.Thread | None = None

    def begin(self, seconds: float) -> None:
        with self._lock:
            self._calls[threading.get_ident()] = time.monotonic() + seconds
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="user-code", daemon=True)
                self._thread.start()

    def end(self) -> None:
        "The call is over; an interruption that was sent and has not arrived is taken back."
        with self._lock:
            if self._calls.pop(ident := threading.get_ident(), None) is None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), None)

    def _watch(self) -> None:
        while True:
            time.sleep(0.25)
            now = time.monotonic()
            with self._lock:
                for ident in [ident for ident, deadline in self._calls.items() if deadline < now]:
                    del self._calls[ident]
                    kind = ctypes.py_object(TookTooLong)
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), kind)


_watchdog = _Watchdog()


@contextmanager
def user_code(
    what: str,  # whose code, for the error
    seconds: float = CALL_SECONDS,  # it may take
) -> Iterator[None]:
    """Around every call into the user's code: raises `UserCodeError` for whatever comes out of it. Errors of this
    library that name a mistake pass as they are; so does Ctrl-C where no handler of ours takes it."""
    try:
        _watchdog.begin(seconds)
        try:
            yield
        finally:
            _watchdog.end()
    except FuturesAlgoError:
        raise
    except KeyboardInterrupt as error:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            raise  # a person at a terminal
        raise UserCodeError(what, error) from error
    # the boundary: other strategies' positions must stay looked after, whatever this one's code does
    except (Exception, SystemExit, TookTooLong) as error:
        raise UserCodeError(what, error) from error
