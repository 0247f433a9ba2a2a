"What is generated is what stands in the repository, and reads where it stands."

import re
from pathlib import Path

import pytest
from pages import ROOT

from futures_algo import docs


@pytest.fixture(scope="module")
def made():
    return docs.documents()


@pytest.mark.parametrize(
    "path", ["README.md", "docs/API_REFERENCE.md", "config/schema.json", *(f"docs/{name}.md" for name in docs.GUIDES)]
)
def test_a_generated_document_is_up_to_date(made, path):
    assert (ROOT / path).read_text(encoding="utf-8") == made[path], "run `python -m futures_algo.docs`"


@pytest.mark.parametrize("path", ["README.md", "docs/API_REFERENCE.md", *(f"docs/{name}.md" for name in docs.GUIDES)])
def test_a_generated_document_says_so_and_its_links_lead_somewhere(path):
    text = (ROOT / path).read_text(encoding="utf-8")
    assert text.startswith("<!-- Generated from ")
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text)
    assert [link for link in links if not ((ROOT / path).parent / link).exists()] == []


def test_the_reference_has_every_public_name():
    text = docs.api_reference()
    names = {name for room in docs.rooms() for homes in docs.doors(room).values() for name in homes}
    assert len(names) > 300
    assert sorted(name for name in names if f"\n### {name}\n" not in text) == []


def test_the_reference_tells_parameters_with_their_comments(tmp_path):
    module = tmp_path / "one.py"
    module.write_text('def move(\n    by: int = 2,  # ticks, at least 1\n) -> None:\n    "Moves it."\n')
    _, node = docs._found(module, "move")
    assert docs._function(node, docs._source(module)[1]) == [
        "```python\nmove(by: int=2) -> None\n```",
        "Moves it.",
        "- `by`: ticks, at least 1",
    ]


def test_the_picture_of_the_rooms_leaves_out_what_others_imply(monkeypatch):
    monkeypatch.setattr(docs, "imports", lambda: {"a": {"b", "c"}, "b": {"c"}, "c": set()})
    assert docs.rooms_picture() == "```mermaid\ngraph TD\n    a --> b\n    b --> c\n```"


def test_imports_inside_functions_and_of_the_package_itself_are_seen(monkeypatch, tmp_path):
    package = tmp_path / "futures_algo"
    for room in ("low", "high"):
        (package / room).mkdir(parents=True)
        (package / room / "__init__.py").write_text('"A room."\n')
    (package / "high" / "one.py").write_text("def f():\n    from .. import low\n    return low\n")
    (package / "low" / "two.py").write_text("import futures_algo.high.one\n")
    monkeypatch.setattr(docs, "PACKAGE", Path(package))
    assert docs.imports() == {"high": {"low"}, "low": {"high"}}
