"""The engine's logs beside signals.log and executions.log: live_trading_DATE.log and scanner.log."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from futures_algo.config.model import LoggingConfig


@contextmanager
def daily_log(config: LoggingConfig) -> Iterator[None]:
    """What the library logs goes to live_trading_DATE.log (UTC), and what the feed and the strategies do to scanner.log
    as well."""
    config.folder.mkdir(parents=True, exist_ok=True)
    handlers = {
        "futures_algo": _file(config.folder / f"live_trading_{pd.Timestamp.now('UTC'):%Y-%m-%d}.log"),
        "futures_algo.scanner": _file(config.folder / "scanner.log"),
    }
    for name, handler in handlers.items():
        logging.getLogger(name).addHandler(handler)
        logging.getLogger(name).setLevel(config.level)
    try:
        yield
    finally:
        for name, handler in handlers.items():
            logging.getLogger(name).removeHandler(handler)
            handler.close()


def _file(path: Path) -> logging.Handler:
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    return handler
