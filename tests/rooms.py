"""The house's floor plan, and a reader of imports that says where the house departs from it.

Every import counts: at the top of a file, inside a function, under `TYPE_CHECKING`, by `import_module("...")`, and the
modules that a front door (`facade`) opens when one of its names is asked for.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

FLOORS = (  # lowest first; a room imports only rooms of lower floors, rooms of one floor not each other
    ("_facade", "_modidx"),
    ("core",),
    ("config",),
    ("history",),
    ("aggregator",),
    ("feed",),
    ("broker",),
    ("journal",),
    ("indicators",),
    ("strategies",),
    ("risk",),
    ("research",),
    ("signals",),
    ("execution",),
    ("crosstrade",),
    ("sim",),
    ("engine",),
    ("live",),
    ("report", "monitor", "chaos"),
    ("explorer",),  # draws with the monitor's charts
    ("__init__",),  # the house's own front door opens rooms up to `explorer`
    ("bench", "docs"),
    ("cli",),  # the application that each verb is put into
    ("commands",),
    ("__main__",),
)
RANK = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


@dataclass(frozen=True)
class Import:
    "One arrow: `name` is what is taken of the module `target`, or None where the whole module is."

    source: str
    target: str
    name: str | None
    line: int


@dataclass(frozen=True)
class House:
    "The modules of one package by dotted name, and every import between them."

    package: str
    files: Mapping[str, Path]
    imports: tuple[Import, ...]

    def room(self, module: str) -> str:
        "The first name below the package: `core` of `futures_algo.core.types`; `__init__` of the package itself."
        return module.removeprefix(self.package).removeprefix(".").split(".")[0] or "__init__"


def read_house(folder: Path) -> House:
    "The package in `folder`, read as text: nothing is imported."
    files = {_dotted(path, folder): path for path in sorted(folder.rglob("*.py")) if "__pycache__" not in path.parts}
    return House(folder.name, files, tuple(arrow for module in files for arrow in _imports(module, files)))


def _dotted(path: Path, folder: Path) -> str:
    parts = path.relative_to(folder.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def _imports(module: str, files: Mapping[str, Path]) -> Iterator[Import]:
    tree = ast.parse(files[module].read_text(encoding="utf-8"))
    bound: dict[str, str] = {}  # local name -> module, to see what is taken of it later
    for node in ast.walk(tree):
        for target, name, local in _taken(node, module, files):
            yield Import(module, target, name, node.lineno)
            if name is None and local:
                bound[local] = target
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (base := bound.get(ast.unparse(node.value))):
            yield Import(module, base, node.attr, node.lineno)


def _taken(node: ast.AST, module: str, files: Mapping[str, Path]) -> Iterator[tuple[str, str | None, str | None]]:
    "(module of this package, name taken of it, local name it is bound to) for each part of one statement."
    if isinstance(node, ast.Import):
        for alias in node.names:
            if target := _known(alias.name, files):
                yield target, None, alias.asname or alias.name
    elif isinstance(node, ast.ImportFrom):
        base = _base(node, module, files)
        for alias in node.names:
            if f"{base}.{alias.name}" in files:
                yield f"{base}.{alias.name}", None, alias.asname or alias.name
            elif (target := _known(base, files)) and not _is_fact_of_the_house(target, alias.name):
                yield target, alias.name, None
    elif isinstance(node, ast.Call):
        for name in _named_in_call(node, module, files):
            if target := _known(name, files):
                yield target, None, None


def _is_fact_of_the_house(target: str, name: str) -> bool:
    "`from futures_algo import __version__`: a constant of the file that every import below the package runs anyway."
    return "." not in target and name.startswith("__") and name.endswith("__")


def _base(node: ast.ImportFrom, module: str, files: Mapping[str, Path]) -> str:
    "The module that `from ... import` reads, dots resolved."
    if not node.level:
        return node.module or ""
    package = module.split(".") if files[module].name == "__init__.py" else module.split(".")[:-1]
    return ".".join([*package[: len(package) - node.level + 1], *([node.module] if node.module else [])])


def _known(name: str, files: Mapping[str, Path]) -> str | None:
    "The longest part of a dotted name that is a module here: what `import a.b.c` loads."
    parts = name.split(".")
    return next((known for n in range(len(parts), 0, -1) if (known := ".".join(parts[:n])) in files), None)


def _named_in_call(call: ast.Call, module: str, files: Mapping[str, Path]) -> list[str]:
    "Modules named by text: `import_module('a.b')`, and the table of a front door."
    function = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    first = call.args[0] if call.args else None
    if function in ("import_module", "__import__") and isinstance(first, ast.Constant):
        name = str(first.value)
        dots = len(name) - len(name.lstrip("."))
        package = module.split(".") if files[module].name == "__init__.py" else module.split(".")[:-1]
        return [".".join([*package[: len(package) - dots + 1], name[dots:]]) if dots else name]
    if function == "facade" and len(call.args) == 2 and isinstance(call.args[1], ast.Dict):
        return [f"{module}.{key.value}" for key in call.args[1].keys if isinstance(key, ast.Constant)]
    return []


def departures(house: House, rank: Mapping[str, int] = RANK) -> list[str]:
    "Everything that breaks the floor plan, one sentence each: unranked rooms, arrows up, private names, circles."
    return [*_unranked(house, rank), *_arrows_up(house, rank), *_private(house), *_circles(house)]


def _unranked(house: House, rank: Mapping[str, int]) -> list[str]:
    rooms = {house.room(module) for module in house.files}
    return [f"{room} stands on no floor: give it one in FLOORS" for room in sorted(rooms - rank.keys())]


def _arrows_up(house: House, rank: Mapping[str, int]) -> list[str]:
    return _sentences(
        f"{arrow.source}:{arrow.line} imports {arrow.target}, which is not on a lower floor"
        for arrow in _between_rooms(house)
        if (own := rank.get(house.room(arrow.source))) is not None
        and (theirs := rank.get(house.room(arrow.target))) is not None
        and theirs >= own
    )


def _private(house: House) -> list[str]:
    own = f"{house.package}._facade"  # the one tool every room's front door is built with

    def is_private(arrow: Import) -> bool:
        below = [*arrow.target.split(".")[1:], arrow.name or ""]
        return any(part.startswith("_") and not part.endswith("__") for part in below)

    return _sentences(
        f"{arrow.source}:{arrow.line} uses {arrow.target}{'.' + arrow.name if arrow.name else ''}, private to its room"
        for arrow in _between_rooms(house)
        if is_private(arrow) and not (arrow.target == own and arrow.name == "facade")
    )


def _between_rooms(house: House) -> Iterator[Import]:
    return (arrow for arrow in house.imports if house.room(arrow.source) != house.room(arrow.target))


def _sentences(found: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(found))


def _circles(house: House) -> list[str]:
    "One sentence for each knot of modules that reach each other, with a shortest way round."
    ways: dict[str, set[str]] = {module: set() for module in house.files}
    for arrow in house.imports:
        ways[arrow.source].add(arrow.target)
    knots = {frozenset(knot) for module in ways if len(knot := _knot(module, ways)) > 1 or module in ways[module]}
    return [
        f"circle of {len(knot)}: {' -> '.join(_shortest_way_round(min(knot), ways))}" for knot in sorted(knots, key=min)
    ]


def _reached(start: str, ways: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    todo = list(ways[start])
    while todo:
        module = todo.pop()
        if module not in seen:
            seen.add(module)
            todo.extend(ways[module])
    return seen


def _knot(module: str, ways: Mapping[str, set[str]]) -> set[str]:
    "The module and all that it reaches and that reach it."
    return {module} | {other for other in _reached(module, ways) if module in _reached(other, ways)}


def _shortest_way_round(start: str, ways: Mapping[str, set[str]]) -> list[str]:
    paths = [[start]]
    seen: set[str] = set()
    for path in paths:  # grows while it is walked: breadth first
        for following in sorted(ways[path[-1]]):
            if following == start:
                return [*path, start]
            if following not in seen:
                seen.add(following)
                paths.append([*path, following])
    raise ValueError(f"{start} is in no circle")
