"Pages are lessons: each is checked by one of two tools, shows a result, and exports one idea a cell."

import ast
import json
import re

import pytest
from pages import NOTEBOOKS, RUN_ONLY, all_pages, compared, run_only_pattern
from website import untold

WIDEST, LONGEST_CLASS = 120, 40


def code_cells(page: str) -> list[str]:
    "Sources of a page's code cells."
    cells = json.loads((NOTEBOOKS / page).read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def exported(page: str) -> list[str]:
    return [source for source in code_cells(page) if re.search(r"^#\| exporti?$", source, re.M)]


def test_every_page_is_compared_by_nbval_or_run_by_nbdev_test():
    assert sorted([*compared(), *RUN_ONLY]) == all_pages()
    names = [page.rsplit("/", 1)[-1] for page in all_pages()]
    assert sorted(name for name in names if re.search(run_only_pattern(), name)) == sorted(RUN_ONLY)


@pytest.mark.parametrize("page", all_pages())
def test_a_page_shows_a_result(page):
    if page == "live.ipynb":
        pytest.skip("its result is the page of a running engine; a picture of it stands there")
    assert not untold(page)


@pytest.mark.parametrize("page", all_pages())
def test_an_export_cell_holds_no_class_that_fills_a_page(page):
    classes = [node for source in exported(page) for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    assert [(node.name, size) for node in classes if (size := node.end_lineno - node.lineno + 1) > LONGEST_CLASS] == []


@pytest.mark.parametrize("page", all_pages())
def test_code_keeps_to_the_width(page):
    assert [line for source in code_cells(page) for line in source.splitlines() if len(line) > WIDEST] == []


@pytest.mark.parametrize("page", all_pages())
def test_where_nbdev_runs_import_cells_they_hold_imports_alone(page):
    "A cell with an import is run when the documentation is made; the rest of it would be run too, without its past."
    if not exported(page):
        pytest.skip("nbdev runs no cell of a page that exports nothing")
    mixed = []
    for source in code_cells(page):
        body = ast.parse(source).body
        imports = [node for node in body if isinstance(node, (ast.Import, ast.ImportFrom))]
        if imports and len(imports) < len(body) and not source.startswith("#|"):
            mixed.append(source)
    assert mixed == []


def test_no_two_cells_of_a_page_have_one_id():
    for page in all_pages():
        ids = [cell["id"] for cell in json.loads((NOTEBOOKS / page).read_text(encoding="utf-8"))["cells"]]
        assert len(ids) == len(set(ids)), page
