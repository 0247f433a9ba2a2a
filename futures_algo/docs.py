"""Generated documents: README.md from `nbs/index.ipynb`, `config/schema.json` from the config model.

`python -m futures_algo.docs` writes them; CI fails when that changes anything.
"""

import json
import re
from pathlib import Path

from futures_algo.core.paths import PROJECT as ROOT

_DIRECTIVE = re.compile(r"^#\|.*\n?", re.M)


def readme(notebook: Path = ROOT / "nbs" / "index.ipynb") -> str:
    "The index notebook as Markdown, without hidden cells and nbdev's directives."
    import nbformat
    from nbconvert import MarkdownExporter

    book = nbformat.read(notebook, 4)
    book.cells = [cell for cell in book.cells if "#| hide" not in cell.source]
    book.metadata["language_info"] = {"name": "python"}
    for cell in book.cells:
        cell.source = _DIRECTIVE.sub("", cell.source)
    body, made = MarkdownExporter().from_notebook_node(book)
    for number, (name, content) in enumerate(sorted(made.get("outputs", {}).items())):
        picture = f"readme-{number}.png"
        (notebook.parent / "images" / picture).write_bytes(content)
        body = body.replace(name, f"images/{picture}")
    note = "<!-- Generated from nbs/index.ipynb by `python -m futures_algo.docs`; edit the notebook. -->\n\n"
    return (
        note
        + re.sub(
            r"\n{3,}",
            "\n\n",
            body.replace("](images/", "](nbs/images/").replace("](../", "](").replace("](guides/", "](nbs/guides/"),
        ).strip()
        + "\n"
    )


def schema() -> str:
    "JSON Schema of the live config, for editors."
    from futures_algo.config.model import LiveConfig

    return json.dumps(LiveConfig.model_json_schema(by_alias=True), indent=2) + "\n"


def write() -> None:
    "Write every generated document."
    (ROOT / "README.md").write_text(readme(), encoding="utf-8")
    (ROOT / "config" / "schema.json").write_text(schema(), encoding="utf-8")


if __name__ == "__main__":
    write()
