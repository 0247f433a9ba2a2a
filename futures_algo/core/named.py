"""Rows that also answer like the dictionaries of older code: by name, with `in`, and as `dict(row)`."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar


def item(row: Any, key: "int | slice | str", aliases: Mapping[str, Any]) -> Any:
    "A field by its place, its name, or another name it goes by."
    if not isinstance(key, str):
        return tuple.__getitem__(row, key)
    if key in row._fields:
        return getattr(row, key)
    if key in aliases:
        return aliases[key](row)
    raise KeyError(f"{key!r} is none of its fields; {did_you_mean(key, [*row._fields, *aliases])}")


def answers_by_name(**aliases: Any) -> Any:
    "Give a named tuple the reading half of a dictionary; `aliases` are further names, each with how it is read."

    def getitem(self: Any, key: "int | slice | str") -> Any:
        return item(self, key, aliases)

    def contains(self: Any, key: object) -> bool:
        return key in self._fields or key in aliases if isinstance(key, str) else tuple.__contains__(self, key)

    def get(self: Any, key: str, default: Any = None) -> Any:
        "A field by name, or the default."
        return self[key] if key in self else default

    def keys(self: Any) -> list[str]:
        "The names of the fields."
        return list(self._fields)

    def items(self: Any) -> Iterator[tuple[str, Any]]:
        "Names and values."
        return zip(self._fields, tuple(self), strict=True)

    def values(self: Any) -> list[Any]:
        "The values of the fields."
        return list(self)

    def decorate(kind: type) -> type:
        methods = {"__getitem__": getitem, "__contains__": contains, "get": get, "keys": keys, "items": items}
        for name, method in (methods | {"values": values}).items():
            setattr(kind, name, method)
        return kind

    return decorate


class ByName:
    "The same for a dataclass."

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def keys(self) -> list[str]:
        "The names of the fields."
        return list(self.__dataclass_fields__)

    def __getitem__(self, key: str) -> Any:
        if key not in self.__dataclass_fields__:
            raise KeyError(f"{key!r} is none of its fields; {did_you_mean(str(key), self.keys())}")
        return getattr(self, key)

    def __contains__(self, key: object) -> bool:
        return key in self.__dataclass_fields__

    def get(self, key: str, default: Any = None) -> Any:
        "A field by name, or the default."
        return self[key] if key in self else default

    def items(self) -> list[tuple[str, Any]]:
        "Names and values."
        return [(name, self[name]) for name in self.keys()]  # noqa: SIM118


def did_you_mean(name: str, known: Iterable[str]) -> str:
    "A hint naming the closest known name, or the known ones when none is close."
    import difflib

    known = [str(k) for k in known]
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known))}"
