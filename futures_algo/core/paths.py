"Where the package and a checkout of the project lie, and the texts the package ships."

from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]  # futures_algo/
PROJECT = PACKAGE.parent  # a checkout's top, or site-packages
DATA = PACKAGE / "core" / "data"  # tables the package ships


def found_upward(path: "str | Path") -> Path:
    "A relative path from this folder, or from the nearest one above it where it exists; itself where it does nowhere."
    path = Path(path)
    if path.is_absolute() or path.exists():
        return path
    here = Path.cwd()
    return next((base / path for base in here.parents if (base / path).exists()), path)


@cache
def asset(
    room: str,  # the package that owns it: monitor, explorer, report, research
    name: str,  # of the file in the room's `assets` folder: "card.css"
) -> str:
    "The text of a style sheet, script or page the package ships; `FileNotFoundError` names one that is not there."
    return (PACKAGE / room / "assets" / name).read_text(encoding="utf-8")
