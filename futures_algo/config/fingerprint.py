"""One identity of code: what a strategy, an indicator or a function is made of, followed wherever it leads.

Counted are methods, class defaults, closures and argument defaults, parents, every function, class, module and value of
the user's that the code names, and the shipped indicators and strategies it uses. Another library stands for itself by
its name and version. Comments, docstrings and layout do not count. What code reads at run time from a file, the
environment or by a name put together then is out of reach.
"""

import ast
import copyreg
import dis
import hashlib
import importlib
import importlib.metadata
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, cached_property, partial
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from futures_algo.config.classes import notebook_definitions
from futures_algo.core.types import InputError

PREFIX = "2:"  # of a fingerprint: the second way of making them; 16 hexadecimal digits without one are the first's
_PACKAGE = "futures_algo"
_WALKED = ("indicators", "strategies.library", "strategies.shipped")  # of this package: what may be chosen, not bases
_BASES = ("Indicator", "BaseStrategy", "LiveIndicator", "ResearchIndicator", "Parameter")
_SKIPPED = {
    "__module__",
    "__qualname__",
    "__name__",
    "__doc__",
    "__dict__",
    "__weakref__",
    "__annotations__",
    "__annotations_cache__",
    "__annotate__",
    "__annotate_func__",
    "__firstlineno__",
    "__static_attributes__",
    "__signature__",
    "__slotnames__",
    "__parameters__",
    "_abc_impl",
    "_identity",
}
_DESCRIBED = ("formula", "source", "equals", "overlay")  # of an indicator: words and looks


def fingerprint(*things: Any) -> str:
    "Identity of things: a strategy's class, an indicator, a function with all it reaches; `2:` and 16 digits."
    return Walk().of(*things).digest


def strategy_fingerprint(kind: type) -> str:
    "Identity of a strategy's class: its code, defaults and indicators with their parameters."
    return walk_of(kind).digest


def walk_of(kind: type) -> "Walk":
    "The walk over a strategy's class and the indicators of its defaults."
    return Walk().of(kind, _plan(kind))


def _plan(kind: Any) -> Any:
    "Its indicators by timeframe, of its defaults; None where those alone do not run."
    try:
        return {str(timeframe): found for timeframe, found in kind().plan.items()}
    except InputError:
        return None


class Walk:
    "A walk over code and values; `modules` are the user's that it met."

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=8)
        self._met: dict[int, int] = {}  # functions, classes and modules, in the order they were met
        self._values: dict[
            int, bytes
        ] = {}  # digests of the others: equal ones count alike, whether or not they are one
        self._held: list[Any] = []  # so that no id is given twice
        self.modules: dict[str, ModuleType] = {}

    def of(self, *things: Any) -> "Walk":
        for thing in things:
            self._add(thing)
        return self

    @property
    def digest(self) -> str:
        return PREFIX + self._hash.hexdigest()

    def _put(self, *parts: Any) -> None:
        for part in parts:
            data = part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogatepass")
            self._hash.update(len(data).to_bytes(8, "little") + data)

    def _add(self, value: Any) -> None:
        if _plain(value):
            return self._put(type(value).__name__, repr(value))
        if not isinstance(value, (FunctionType, type, ModuleType)):
            return self._put(self._digest_of(value))
        if id(value) in self._met:
            return self._put("met", self._met[id(value)])
        self._met[id(value)] = len(self._met)
        self._held.append(value)
        self._open(value)

    def _digest_of(self, value: Any) -> bytes:
        if id(value) not in self._values:
            outer, self._hash = self._hash, hashlib.blake2b(digest_size=16)
            self._values[id(value)] = b"around"  # met again inside itself
            self._held.append(value)
            self._open(value)
            self._values[id(value)], self._hash = self._hash.digest(), outer
        return self._values[id(value)]

    def _open(self, value: Any) -> None:
        if isinstance(value, (list, tuple)):
            self._put(type(value).__name__, len(value))
            self._each(value)
        elif isinstance(value, Mapping) and type(value).__module__ in ("builtins", "collections", "types"):
            self._put("mapping", len(value))
            self._each(part for pair in value.items() for part in pair)
        elif isinstance(value, (set, frozenset)):
            self._put("set", *sorted(Walk().of(one).digest for one in value))
        elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
            self._put("array", value.dtype.str, value.shape, np.ascontiguousarray(value).tobytes())
        elif isinstance(value, ModuleType):
            self._module(value)
        elif isinstance(value, type):
            self._class(value)
        else:
            self._callable(value)

    def _each(self, values: Iterable[Any]) -> None:
        for value in values:
            self._add(value)

    def _callable(self, value: Any) -> None:
        if isinstance(value, (staticmethod, classmethod, MethodType)):
            self._put(type(value).__name__)
            self._each([value.__func__, getattr(value, "__self__", None)])
        elif isinstance(value, property):
            self._each(["property", value.fget, value.fset, value.fdel])
        elif isinstance(value, cached_property):
            self._each(["cached_property", value.func])
        elif isinstance(value, partial):
            self._each(["partial", value.func, value.args, value.keywords])
        elif isinstance(value, FunctionType):
            self._function(value)
        elif isinstance(compiled := getattr(value, "py_func", None), FunctionType):
            self._compiled(value, compiled)
        elif isinstance(wrapped := getattr(value, "__wrapped__", None), FunctionType):
            self._each(["wrapped", type(value).__name__, wrapped])
        elif isinstance(value, (BuiltinFunctionType, np.ufunc)) or type(value).__name__.startswith("cython_function"):
            self._library(value)
        else:
            self._instance(value)

    # --- code

    def _compiled(self, value: Any, function: FunctionType) -> None:
        "What numba compiled: its Python and how it was asked to."
        if not _is_ours(function.__module__):
            self._put(_version_of(type(value).__module__), sorted(getattr(value, "targetoptions", {}).items()))
        self._add(function)

    def _function(self, value: FunctionType) -> None:
        if not self._walks(value.__module__):
            self._library(value)
            return self._each(map(_content, value.__closure__ or ()))  # the user's code may be inside
        self._put("function", _text_of(value.__code__))
        self._each([value.__defaults__, value.__kwdefaults__])
        self._each(map(_content, value.__closure__ or ()))
        for name in _read(value.__code__, ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")):
            if name in value.__globals__:
                self._put(name)
                self._add(value.__globals__[name])
        for name in _imports(value.__code__, value.__globals__.get("__package__") or ""):
            self._put("import", name)
            self._add(_imported(name))

    def _class(self, value: type) -> None:
        base = _is_ours(value.__module__) and value.__name__ in _BASES
        if base or not self._walks(value.__module__) and _is_found(value):
            return self._library(value)
        self._put("class", *(sorted(map(str, vars(value).get("__annotations__", {}).items()))))
        self._each(value.__bases__)
        for name, part in sorted(vars(value).items()):
            if name in _SKIPPED or name in _DESCRIBED or name == "params" or _is_slot(part):
                continue
            self._put(name)
            self._add(part)
        for name, part in sorted(getattr(value, "params", {}).items()) if _has_params(value) else ():
            self._put(name)
            self._add(part)

    def _module(self, value: ModuleType) -> None:
        "All of a user's module; of a library its name and version."
        if not _is_users(value) and value.__name__ != "__main__":
            return self._put("library", value.__name__, _version_of(value.__name__))
        self.modules[value.__name__] = value
        for name, part in sorted(vars(value).items()):
            if not (name.startswith("__") and name.endswith("__")):
                self._put(name)
                self._add(part)

    def _walks(self, name: str | None) -> bool:
        "Whether code of that module is opened; it is noted when it is the user's."
        module = sys.modules.get(name or "")
        if _is_ours(name):
            return name is not None and name.removeprefix(f"{_PACKAGE}.").startswith(_WALKED)
        if module is not None and _is_users(module):
            self.modules[module.__name__] = module
        return module is None or module.__name__ == "__main__" or _is_users(module)

    def _library(self, value: Any) -> None:
        owner = getattr(value, "__module__", None) or getattr(getattr(value, "__self__", None), "__name__", "")
        version = "" if _is_ours(owner) else _version_of(owner or type(value).__module__)
        self._put("library", owner, getattr(value, "__qualname__", getattr(value, "__name__", "")), version)
        if (module := sys.modules.get(owner)) is not None and _is_users(module):
            self._put(Path(str(module.__file__)).read_bytes())  # compiled by the user: the file is all there is
        if not isinstance(own := getattr(value, "__self__", None), (ModuleType, type(None))):
            self._add(own)

    # --- objects

    def _instance(self, value: Any) -> None:
        "Its class and what it holds: as it tells itself, as it would be pickled, or its attributes."
        self._add(type(value))
        if told := getattr(type(value), "__fingerprint__", None):
            return self._add(told(value))
        try:
            parts: Any = copyreg.dispatch_table.get(type(value), lambda one: one.__reduce_ex__(4))(value)
        except (TypeError, AttributeError, ValueError, RecursionError, NotImplementedError):
            parts = [sorted(getattr(value, "__dict__", {}).items()), _ADDRESS.sub("", repr(value))]
        if isinstance(parts, str):
            return self._put("named", parts)
        self._each(list(part) if isinstance(part, Iterator) else part for part in parts)


_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def _plain(value: Any) -> bool:
    return value is None or value is ... or type(value) in (bool, int, float, complex, str, bytes)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return "empty"  # assigned later


def _is_slot(part: Any) -> bool:
    return type(part).__name__ in ("member_descriptor", "getset_descriptor", "wrapper_descriptor")


def _has_params(kind: type) -> bool:
    return isinstance(vars(kind).get("params"), dict) and any(_is_ours(base.__module__) for base in kind.__mro__)


def _is_ours(name: str | None) -> bool:
    return (name or "").partition(".")[0] == _PACKAGE


@cache
def _library_folders() -> tuple[Path, ...]:
    return tuple({Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def _is_found(kind: type) -> bool:
    "Whether a class stands in its module under its name; one made at run time is told by what it holds."
    found: Any = sys.modules.get(kind.__module__)
    for name in kind.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is kind


def _is_users(module: ModuleType) -> bool:
    "Whether a module is a file or folder of the user's: not Python's, not an installed package's, not this package's."
    file = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), None)
    if _is_ours(module.__name__) or module.__name__.partition(".")[0] in sys.stdlib_module_names or not file:
        return False
    return not any(_within(str(file), folder) for folder in _library_folders())


@cache
def _within(file: str, folder: Path) -> bool:
    return Path(file).resolve().is_relative_to(folder)


@cache
def _version_of(name: str) -> str:
    "Version of the package a module belongs to; Python's own have none."
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names or not top:
        return ""
    try:
        return importlib.metadata.version(top)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return str(getattr(sys.modules.get(top), "__version__", ""))


def _imported(name: str) -> Any:
    "A module a function imports when it runs; its name where it cannot be imported."
    try:
        return importlib.import_module(name)
    except ImportError:
        return name


@cache
def _inner(code: CodeType) -> tuple[CodeType, ...]:
    "A function's code and that of the functions inside it."
    return (code, *(one for part in code.co_consts if isinstance(part, CodeType) for one in _inner(part)))


@cache
def _read(code: CodeType, operations: tuple[str, ...]) -> tuple[str, ...]:
    found = (one for part in _inner(code) for one in dis.get_instructions(part) if one.opname in operations)
    return tuple(sorted({one.argval for one in found}))


@cache
def _imports(code: CodeType, package: str) -> tuple[str, ...]:
    "Names of modules that are imported inside it, absolute."
    found = set()
    for part in _inner(code):
        steps = list(dis.get_instructions(part))
        for at, one in enumerate(steps):
            if one.opname == "IMPORT_NAME":
                level = next((s.argval for s in reversed(steps[max(0, at - 2) : at]) if type(s.argval) is int), 0)
                parents = package.split(".")[: len(package.split(".")) - level + 1] if level else []
                found.add(".".join([*parents, one.argval] if one.argval else parents))
    return tuple(sorted(found))


# --- a function's text


def _text_of(code: CodeType) -> str:
    """What a function says: its source without comments, where the file still says what runs; else its instructions,
    which hold for this version of Python."""
    known = _texts(code.co_filename, _stamp(code.co_filename)).get(_key(code), ())
    texts = [text for found, text in known if _same(found, code)]
    return "\n".join(sorted(set(texts))) if texts else f"{sys.version_info[:2]} {_instructions(code)}"


def _key(code: CodeType) -> tuple[str, int]:
    return code.co_name, code.co_firstlineno


def _stamp(file: str) -> tuple[int, int] | None:
    try:
        found = Path(file).stat()
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@cache
def _texts(file: str, stamp: tuple[int, int] | None) -> dict[tuple[str, int], list[tuple[CodeType, str]]]:
    "Functions of a file by name and first line: compiled, and as text."
    if stamp is None:
        return {}
    try:
        tree = _tree(Path(file))
        whole = compile(tree, file, "exec", dont_inherit=True)
    except (OSError, SyntaxError, ValueError, UnicodeError, KeyError):
        return {}
    texts: dict[tuple[str, int], list[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, _FUNCTIONS):
            first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))])
            texts.setdefault((getattr(node, "name", "<lambda>"), first), []).append(ast.unparse(_bare(node)))
    found: dict[tuple[str, int], list[tuple[CodeType, str]]] = {}
    for code in _inner(whole):
        found.setdefault(_key(code), []).append((code, "\n".join(texts.get(_key(code), []))))
    return {key: [one for one in known if one[1]] for key, known in found.items()}


def _tree(file: Path) -> ast.Module:
    return (
        ast.Module(notebook_definitions(file), [])
        if file.suffix == ".ipynb"
        else ast.parse(file.read_text(encoding="utf-8"))
    )


def _bare(node: ast.AST) -> ast.AST:
    "A copy of it without docstrings and annotations, which say nothing to the computer."
    node = ast.parse(ast.unparse(node)).body[0]
    for part in ast.walk(node):
        if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            if ast.get_docstring(part) is not None:
                part.body = part.body[1:] or [ast.Pass()]
        if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef)):
            part.returns = None
        if isinstance(part, ast.arg):
            part.annotation = None
    return node


def _same(one: CodeType, other: CodeType) -> bool:
    "Whether both do the same."
    return _instructions(one) == _instructions(other)


_HAS_DOCSTRING = 0x4000000  # a flag of Python 3.13; before, a docstring is the first constant


def _instructions(code: CodeType) -> str:
    constants = list(code.co_consts)
    documented = code.co_flags & _HAS_DOCSTRING if sys.version_info >= (3, 13) else True
    if constants and isinstance(constants[0], str) and documented:
        constants[0] = None
    parts = [_instructions(part) if isinstance(part, CodeType) else _constant(part) for part in constants]
    names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, code.co_argcount
    return repr((code.co_code.hex(), parts, names, code.co_kwonlyargcount, code.co_flags & ~_HAS_DOCSTRING))


def _constant(part: Any) -> str:
    "The same text in every process: a set has no order."
    return f"{type(part).__name__} {sorted(map(repr, part)) if isinstance(part, frozenset) else repr(part)}"


# --- the files behind it


def user_files(walk: Walk) -> dict[str, Path]:
    "Files by module whose change may change what was walked: those met, and those of the user's they import."
    waiting, found = list(walk.modules.values()), {}
    while waiting:
        module = waiting.pop()
        if module.__name__ in found or not _is_users(module) or not getattr(module, "__file__", None):
            continue
        found[module.__name__] = Path(str(module.__file__))
        waiting += _named_imports(module)
    return found


def imports_of_file(file: Path) -> list[ModuleType]:
    "The user's modules that a file, which need be no module itself, imports."
    try:
        return [one for one in _modules_named(_tree(file), "") if _is_users(one)]
    except (OSError, SyntaxError, ValueError, KeyError):
        return []


def _named_imports(module: ModuleType) -> list[ModuleType]:
    try:
        return _modules_named(_tree(Path(str(module.__file__))), getattr(module, "__package__", "") or "")
    except (OSError, SyntaxError, ValueError, KeyError):
        return []


def _modules_named(tree: ast.Module, package: str) -> list[ModuleType]:
    "Modules, already imported, that import statements anywhere in it name."
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    whole = {name.rsplit(".", cut)[0] for name in names for cut in range(name.count(".") + 1)}
    return [sys.modules[name] for name in sorted(whole) if name in sys.modules]
