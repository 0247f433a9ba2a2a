"""The class behind a path: of a package, a file or a notebook."""

import ast
import importlib
import importlib.util
import json
from pathlib import Path
from types import ModuleType

from futures_algo.core.named import did_you_mean
from futures_algo.core.types import ConfigError

_MODULE_OF_SEEDS = {
    "MACDCCIStrategy",
    "SimpleBullishCCIStrategy",
}  # older configs name modules that this package replaced


def _definitions(source: str, path: Path) -> list[ast.stmt]:
    "A notebook cell's imports, classes, functions and literal constants; its work is left out."
    try:
        body = ast.parse(
            "\n".join(line for line in source.splitlines() if not line.lstrip().startswith(("%", "!"))), str(path)
        ).body
    except SyntaxError as error:
        raise ConfigError(
            "notebook cell", source.splitlines()[0], f"must be Python ({error.msg})", "fix or remove it", str(path)
        ) from None
    literal = lambda node: (
        isinstance(node, ast.Assign)
        and not any(isinstance(part, (ast.Call, ast.Name)) for part in ast.walk(node.value))
    )
    return [
        node
        for node in body
        if isinstance(node, (ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef)) or literal(node)
    ]


def notebook_definitions(path: Path) -> list[ast.stmt]:
    "What all cells of a notebook define."
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    return [node for cell in cells for node in _definitions("".join(cell["source"]), path)]


def _module_from_notebook(path: Path) -> ModuleType:
    "What a notebook defines, without running its work."
    module = ModuleType(f"user_{path.stem}")
    exec(compile(ast.Module(notebook_definitions(path), []), str(path), "exec"), vars(module))
    return module


def _module_from_file(path: Path) -> ModuleType:
    if path.suffix == ".ipynb":
        return _module_from_notebook(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    spec = importlib.util.spec_from_file_location(f"user_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"{path} is not Python: it must end with .py or .ipynb")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def import_class(
    path: str,  # "package.module.Class", "path/to/file.py:Class" or "path/to/notebook.ipynb:Class"
) -> type:
    "The class behind a path."
    forms = "write 'futures_algo.strategies.MACDCCIStrategy' or 'my/file.py:MyStrategy'"
    if not isinstance(path, str):
        raise ConfigError("class", path, "must be a text", forms)
    file, _, name = path.rpartition(":") if ":" in path else path.rpartition(".")
    if name in _MODULE_OF_SEEDS and file.startswith("strategies."):
        file = "futures_algo.strategies"
    if not file or path.endswith((".py", ".ipynb")):
        raise ConfigError(
            "class",
            path,
            "must name a class and where it is",
            f"write '{path}:MyStrategy'" if file else f"write 'futures_algo.strategies.{path}' or 'my/file.py:{path}'",
        )
    try:
        module = _module_from_file(Path(file)) if file.endswith((".py", ".ipynb")) else importlib.import_module(file)
    except (
        ImportError,
        FileNotFoundError,
        ValueError,
        SyntaxError,
        NameError,
        TypeError,
        AttributeError,
    ) as error:  # what a file under work fails with
        if isinstance(error, (ImportError, FileNotFoundError)):
            raise ConfigError("class", path, f"must be importable ({error})", forms) from None
        raise ConfigError(
            "class", path, f"must be importable ({type(error).__name__}: {error})", "mend the file"
        ) from error
    if hasattr(module, name):
        return getattr(module, name)
    classes = [name for name in dir(module) if name.endswith("Strategy")]
    raise ConfigError("class", path, f"must be defined in {file}", did_you_mean(name, classes))
