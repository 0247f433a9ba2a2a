"Where the package and a checkout of the project lie."

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
