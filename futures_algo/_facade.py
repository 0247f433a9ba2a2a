"""A room's front door: its public names, each loaded from its module the first time somebody asks for it."""

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any


def facade(
    room: str,  # the package's `__name__`
    homes: Mapping[str, Iterable[str]],  # module or room below it -> the public names it defines
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
        value = getattr(import_module(f"{room}.{home_of[name]}"), name)
        setattr(sys.modules[room], name, value)
        return value

    class Room(ModuleType):
        "Where a function has its module's name, as `backtest` has, the room's attribute is the function."

        def __setattr__(self, name: str, value: object) -> None:
            if name not in home_of or not isinstance(value, ModuleType):
                super().__setattr__(name, value)

    sys.modules[room].__class__ = Room
    return public, load, lambda: public
