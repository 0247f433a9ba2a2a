"""A room's front door: its public names, each loaded from its module the first time somebody asks for it."""

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any


def facade(
    room: str,  # the package's `__name__`
    homes: Mapping[str, Iterable[str]],  # module inside the room -> the public names it defines
) -> tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]:
    """`__all__`, `__getattr__` and `__dir__` of a package that costs nothing to import.

    >>> __all__, __getattr__, __dir__ = facade(__name__, {"types": ("Bar", "Bars")})
    """
    home_of = {name: module for module, names in homes.items() for name in names}
    public = sorted(home_of)

    def load(name: str) -> Any:
        "The public name, or the error that says it is none."
        if name not in home_of:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        return getattr(import_module(f"{room}.{home_of[name]}"), name)

    return public, load, lambda: public
