"Where the package and a checkout of the project lie."

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]  # futures_algo/
PROJECT = PACKAGE.parent  # a checkout's top, or site-packages
DATA = PACKAGE / "core" / "data"  # tables the package ships
