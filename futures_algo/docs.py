"""Generated documents: README.md, `config/schema.json`, and `docs/` from guides, rooms' doors and imports.

`python -m futures_algo.docs` writes them; CI fails when that changes anything.
"""

import ast
import io
import json
import os
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from futures_algo.core.paths import PACKAGE
from futures_algo.core.paths import PROJECT as ROOT

GUIDES = {  # document -> the guide it is made from
    "ARCHITECTURE": "architecture",
    "CONFIG_GUIDE": "config",
    "DEPLOYMENT": "deployment",
    "TROUBLESHOOTING": "troubleshooting",
}
_DIRECTIVE = re.compile(r"^#\|.*\n?|^# NBVAL_.*\n?", re.M)
_LINK = re.compile(r"\]\(([^)#:\s]+)(#[^)]*)?\)")
_PICTURE = "<!-- the rooms -->"  # where ARCHITECTURE.md shows the graph of imports


# --- pages as Markdown


def markdown(
    notebook: Path,
    target: Path,  # the document it becomes; links are rewritten to start there
) -> tuple[str, dict[str, bytes]]:  # the text, and pictures by the name it uses
    "A notebook as Markdown, without hidden cells and directives."
    import nbformat
    from nbconvert import MarkdownExporter

    book = nbformat.read(notebook, 4)
    book.cells = [cell for cell in book.cells if "#| hide" not in cell.source]
    book.metadata["language_info"] = {"name": "python"}
    for cell in book.cells:
        cell.source = _DIRECTIVE.sub("", cell.source)
        if cell.cell_type == "markdown":
            cell.source = _LINK.sub(lambda link: _moved(link, notebook.parent, target.parent), cell.source)
    body, made = MarkdownExporter().from_notebook_node(book)
    source = notebook.relative_to(ROOT).as_posix()
    note = f"<!-- Generated from {source} by `python -m futures_algo.docs`; edit the notebook. -->"
    return f"{note}\n\n" + re.sub(r"\n{3,}", "\n\n", body).strip() + "\n", made.get("outputs", {})


def _moved(link: re.Match, old: Path, new: Path) -> str:
    "A relative link as it reads in another folder."
    return f"]({Path(os.path.relpath(old / link[1], new)).as_posix()}{link[2] or ''})"


def readme(notebook: Path = ROOT / "nbs" / "index.ipynb") -> str:
    "The index notebook as README.md; its pictures are written to nbs/images."
    body, pictures = markdown(notebook, ROOT / "README.md")
    for number, (name, content) in enumerate(sorted(pictures.items())):
        picture = f"readme-{number}.png"
        (notebook.parent / "images" / picture).write_bytes(content)
        body = body.replace(name, f"nbs/images/{picture}")
    return body


def guide(name: str) -> str:
    "A guide as a document of docs/."
    body, _ = markdown(ROOT / "nbs" / "guides" / f"{GUIDES[name]}.ipynb", ROOT / "docs" / f"{name}.md")
    return body.replace(_PICTURE, rooms_picture())


def schema() -> str:
    "JSON Schema of the live config, for editors."
    from futures_algo.config.model import LiveConfig

    return json.dumps(LiveConfig.model_json_schema(by_alias=True), indent=2) + "\n"


# --- the rooms


def rooms() -> dict[str, str]:
    "Every room and the first sentence of its door."
    doors = sorted(PACKAGE.glob("*/__init__.py"))
    return {door.parent.name: _sentence(ast.parse(door.read_text(encoding="utf-8"))) for door in doors}


def imports() -> dict[str, set[str]]:
    "Room -> the rooms any of its modules imports, at the top or inside a function."
    found: dict[str, set[str]] = {room: set() for room in rooms()}
    for room, others in found.items():
        for module in (PACKAGE / room).rglob("*.py"):
            others |= {name for name in _imported(module) if name in found and name != room}
    return found


def _imported(module: Path) -> Iterator[str]:
    "The rooms a module's import statements name."
    inside = module.relative_to(PACKAGE.parent).with_suffix("").parts
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (
                parts[1] for one in node.names if len(parts := one.name.split(".")) > 1 and parts[0] == inside[0]
            )
        if isinstance(node, ast.ImportFrom):
            base = inside[: -node.level] if node.level else ()
            parts = [*base, *(node.module or "").split(".")] if node.module else [*base]
            if parts[:1] == [inside[0]]:
                yield from parts[1:2] or [one.name for one in node.names]


def rooms_picture() -> str:
    "The graph of imports as Mermaid, without the arrows that others imply."
    arrows = imports()
    reach: dict[str, set[str]] = {}
    for room in arrows:
        reach[room], open_ = set(), list(arrows[room])
        while open_:
            if (one := open_.pop()) not in reach[room]:
                reach[room].add(one)
                open_ += arrows[one]
    kept = [
        f"    {room} --> {other}"
        for room, others in sorted(arrows.items())
        for other in sorted(others)
        if not any(_implied(room, between, other, reach) for between in others - {other})
    ]
    return "\n".join(["```mermaid", "graph TD", *kept, "```"])


def _implied(room: str, between: str, other: str, reach: dict[str, set[str]]) -> bool:
    "Whether the way over a third room says the same; in a circle every way would, so there it does not count."
    return other in reach[between] and room not in reach[between] and between not in reach[other]


# --- the API reference


def api_reference() -> str:
    "Every public name with its signature, docstring and parameters, as Markdown."
    parts = [
        "<!-- Generated from the rooms' `__init__.py` by `python -m futures_algo.docs`; edit the docstrings. -->",
        "# API reference",
        "What each room offers at its door, `from futures_algo.ROOM import name`. These names are importable from"
        f" `futures_algo` itself: {', '.join(f'`{name}`' for names in doors('').values() for name in names)}.",
    ]
    for room, sentence in rooms().items():
        if homes := doors(room):
            parts += [f"## {room}", sentence]
            parts += [_entry(room, home, name) for home, names in homes.items() for name in names]
    return "\n\n".join(parts) + "\n"


def doors(room: str) -> dict[str, tuple[str, ...]]:
    "Module -> public names, as the room's call of `facade` has them; nothing for a room without one."
    tree = ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "facade"]
    return ast.literal_eval(calls[0].args[1]) if calls else {}


@cache
def _source(path: Path) -> tuple[ast.Module, dict[int, str]]:
    "A module's tree, and its comments by line."
    text = path.read_text(encoding="utf-8")
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    notes = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    return ast.parse(text), notes


def _found(path: Path, name: str) -> tuple[Path, ast.AST | None]:
    "The module that defines a name, and its definition; an imported name is followed home."
    for node in _source(path)[0].body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names = {getattr(one, "id", None) for target in targets for one in getattr(target, "elts", [target])}
        if name in names | {getattr(node, "name", None)}:
            return path, node
        if isinstance(node, ast.ImportFrom) and name in {one.asname or one.name for one in node.names}:
            base = path.parents[node.level - 1] if node.level else PACKAGE.parent
            home = base.joinpath(*(node.module or "").split(".")).with_suffix(".py")
            return _found(home, name) if home.exists() else (path, None)
    return path, None


def _entry(room: str, home: str, name: str) -> str:
    "One name of a room."
    path = (PACKAGE / room).joinpath(*home.split(".")).with_suffix(".py")
    path, node = _found(path if path.exists() else PACKAGE / room / home / "__init__.py", name)
    place = path.relative_to(ROOT).as_posix()
    head = f"### {name}\n\n[`{place}`](../{place})"
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return "\n\n".join([head, *_function(node, _source(path)[1])])
    if isinstance(node, ast.ClassDef):
        return "\n\n".join([head, *_class(node, _source(path)[1])])
    text = ast.unparse(node) if node is not None else name
    return f"{head}\n\n```python\n{text if len(text) <= 200 else text[:200] + ' ...'}\n```"


def _function(node: "ast.FunctionDef | ast.AsyncFunctionDef", notes: dict[int, str], name: str = "") -> list[str]:
    "Signature, docstring, and the parameters that carry a comment."
    given = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    arguments = [one for one in ast.walk(node.args) if isinstance(one, ast.arg)]
    told = [
        f"- `{one.arg}`: {notes[one.lineno]}" for one in arguments if one.lineno != node.lineno and one.lineno in notes
    ]
    parts = [f"```python\n{name or node.name}({_arguments(node.args)}){given}\n```", ast.get_docstring(node) or ""]
    return [part for part in [*parts, "\n".join(told)] if part]


def _arguments(given: ast.arguments) -> str:
    "Parameters as a caller gives them."
    return re.sub(r"^(self|cls)(, |$)", "", ast.unparse(given))


def _class(node: ast.ClassDef, notes: dict[int, str]) -> list[str]:
    "Bases, docstring, fields, construction and public methods."
    bases = ", ".join(map(ast.unparse, node.bases))
    parts = [f"```python\nclass {node.name}({bases})\n```", ast.get_docstring(node) or ""]
    fields = [
        one for one in node.body if isinstance(one, ast.AnnAssign) and not ast.unparse(one.target).startswith("_")
    ]
    parts.append("\n".join(f"- `{ast.unparse(one)}`{_told(notes.get(one.lineno))}" for one in fields))
    for one in node.body:
        if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef)) and (one.name == "__init__" or one.name[0] != "_"):
            made = one.name == "__init__"
            parts += _function(one, notes, node.name if made else f"{node.name}.{one.name}")
    return [part for part in parts if part]


def _told(note: str | None) -> str:
    return f": {note}" if note else ""


def _sentence(tree: ast.Module) -> str:
    "The first paragraph of a module's docstring, on one line."
    return " ".join((ast.get_docstring(tree) or "").split("\n\n")[0].split())


def documents() -> dict[str, str]:
    "Path -> text of every generated document."
    made = {"README.md": readme(), "config/schema.json": schema(), "docs/API_REFERENCE.md": api_reference()}
    return made | {f"docs/{name}.md": guide(name) for name in GUIDES}


def write() -> None:
    "Write every generated document."
    (ROOT / "docs").mkdir(exist_ok=True)
    for path, text in documents().items():
        (ROOT / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
