"""The config as a file: JSON without repeated keys, and what its variables mean."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from futures_algo.core.types import ConfigError

VARIABLE = re.compile(r"\$\{(\w+)\}")


def _object(pairs: list[tuple[str, Any]], repeated: list[tuple[dict, str]]) -> dict:
    "JSON lets a key repeat and keeps the last; we note it."
    seen: dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            repeated.append((seen, key))
        seen[key] = value
    return seen


def _path_to(wanted: Any, content: Any, path: str = "") -> str | None:
    "Where in the content this very object stands."
    if content is wanted:
        return path
    parts: Any = enumerate(content) if isinstance(content, list) else ()
    if isinstance(content, dict):
        parts = content.items()
    return next((found for key, part in parts if (found := _path_to(wanted, part, f"{path}{key}.")) is not None), None)


def read_json(path: "str | Path") -> dict:
    "The file as a dictionary; a missing file, bad JSON or a repeated key is a `ConfigError` that says where."
    path = Path(path)
    repeated: list[Any] = []
    if path.exists() and not path.is_file():  # a pipe would be waited for, for ever
        raise ConfigError("config file", path.name, "must be a file", "name the JSON file itself")
    try:
        content = json.loads(
            path.read_text(encoding="utf-8-sig"), object_pairs_hook=lambda pairs: _object(pairs, repeated)
        )
    except FileNotFoundError:
        raise ConfigError(
            "config file", str(path), "must exist", "check the path, or name another (--config)"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            "config file", path.name, f"must be a readable UTF-8 file ({error})", "save it as UTF-8 text"
        ) from None
    except json.JSONDecodeError as error:
        raise ConfigError(
            "config file",
            path.name,
            f"must be valid JSON: {error.msg}",
            "fix it there",
            f"{path.name} line {error.lineno} column {error.colno}",
        ) from None
    except (RecursionError, ValueError) as error:  # brackets without end, a number of 5,000 digits
        words = "is nested too deep" if isinstance(error, RecursionError) else str(error)
        raise ConfigError("config file", path.name, f"must be valid JSON: {words}", "fix it there") from None
    for (
        holder,
        key,
    ) in repeated:  # in an object that was itself replaced by its twin the place cannot be told; its twin's can
        if (place := _path_to(holder, content)) is not None:
            raise ConfigError("key", key, "must not stand twice in one object", "rename or remove one", f"{place}{key}")
    if not isinstance(content, dict):
        raise ConfigError("config file", path.name, "must hold one JSON object", 'begin it with { "databento": ...')
    return content


def environment(folder: Path) -> dict[str, str]:
    """Variables of the process, over those of a `.env` file in the config's folder, over those of one in the project's,
    the folder above."""
    from dotenv import dotenv_values

    read = lambda file: (
        {name: value for name, value in dotenv_values(file).items() if value is not None} if file.is_file() else {}
    )
    return read(folder.resolve().parent / ".env") | read(folder / ".env") | dict(os.environ)


def resolve_variables(
    content: Any,
    variables: Mapping[str, str],
    path: str = "",
    mistakes: list[ConfigError] | None = None,  # takes the variables that are not set; the first is raised when omitted
) -> Any:
    "The same content with every ${VARIABLE} replaced."
    if isinstance(content, dict):
        return {k: resolve_variables(v, variables, f"{path}.{k}".lstrip("."), mistakes) for k, v in content.items()}
    if isinstance(content, list):
        return [resolve_variables(v, variables, f"{path}.{i}", mistakes) for i, v in enumerate(content)]
    if not isinstance(content, str):
        return content

    def value(match: re.Match) -> str:
        if found := variables.get(match[1], "").strip():
            return found
        remedy = f"export {match[1]}=... or write it into .env"
        mistake = ConfigError("variable", match[0], "must be set and not empty", remedy, path)
        if mistakes is None:
            raise mistake
        mistakes.append(mistake)
        return match[0]

    return VARIABLE.sub(value, content)


def merge(content: dict, changes: dict) -> dict:
    "A copy of `content` with nested `changes` laid over it."
    merged = dict(content)
    for key, value in changes.items():
        merged[key] = (
            merge(merged.get(key, {}), value)
            if isinstance(value, dict) and isinstance(merged.get(key, {}), dict)
            else value
        )
    return merged
