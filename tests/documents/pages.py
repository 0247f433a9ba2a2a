"""Which pages are checked how: nbval compares what a page's cells give with what it says, `nbdev_test` only runs them.

pytest --nbval $(python tests/documents/pages.py nbval)
nbdev_test --file_re "$(python tests/documents/pages.py nbdev_test)"
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "nbs"

RUN_ONLY = {  # page -> why its outputs do not repeat; by nbdev_test
    "live.ipynb": "shows an engine's journal and serves a page: what it says depends on where and when it runs",
    "report.ipynb": "plays a session through engine and broker and tells its latencies in milliseconds",
}


def all_pages() -> list[str]:
    "Every notebook, as its path under nbs/."
    found = (path.relative_to(NOTEBOOKS) for path in NOTEBOOKS.rglob("*.ipynb"))
    return sorted(path.as_posix() for path in found if not any(part.startswith((".", "_")) for part in path.parts))


def compared() -> list[str]:
    "The pages under nbval."
    return [page for page in all_pages() if page not in RUN_ONLY]


def run_only_pattern() -> str:
    "The pages under nbdev_test as the regular expression of file names it takes."
    return "^(" + "|".join(re.escape(page) for page in sorted(RUN_ONLY)) + ")$"


if __name__ == "__main__":
    answers = {"nbval": lambda: "\n".join(f"nbs/{page}" for page in compared()), "nbdev_test": run_only_pattern}
    print(answers[sys.argv[1]]())
