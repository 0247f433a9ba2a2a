"Log files that hold bare lines: signals.log, executions.log."

import logging
from pathlib import Path


def attach_log(logger: logging.Logger, path: Path) -> logging.Handler:
    "Write a logger's messages, bare, to a file; remove and close the handler that comes back."
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    return handler
