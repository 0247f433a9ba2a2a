"Style sheets, scripts and pages are files: each is shipped, each is used, and the pages hold every one of them."

import ast
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fixtures"))
from journal_maker import Day

from futures_algo.core.paths import PACKAGE, PROJECT, asset

ASSETS = sorted(path for path in PACKAGE.glob("*/assets/*") if path.is_file())
MODULES = sorted(PACKAGE.rglob("*.py"))
SCREEN = sorted(path.name for path in (PACKAGE / "monitor" / "assets").iterdir())


def texts_of(view) -> str:
    "All style sheets and scripts of a Panel object, as a browser gets them."
    found = []
    for model in view.get_root().references():
        found += [sheet for sheet in getattr(model, "stylesheets", ()) if isinstance(sheet, str)]
        found += [getattr(model, name) for name in ("code", "major_code") if hasattr(model, name)]
    return "\n".join(found)


@pytest.fixture(scope="module")
def monitor(tmp_path_factory) -> str:
    "Everything the monitor sends: the page with its controls, the frame around it, the first look, the login."
    from bokeh.core.templates import MACROS

    from futures_algo.monitor.access import _LOGIN
    from futures_algo.monitor.page import _CSS, _LOOK_CSS, _TOP_CSS, JournalViews, Page
    from futures_algo.monitor.page_shell import _template, shell_css

    day = Day(tmp_path_factory.mktemp("assets") / "live.db")
    day.run(30)
    views = JournalViews(day.journal.path)
    views.reader.look()
    page = Page(views, lambda verb, arguments: None)
    page.fill()
    page.equip()
    frame = _template().render(macros=MACROS, docs=[], shell_css=shell_css("\n".join((*_CSS, _TOP_CSS, _LOOK_CSS))))
    return "\n".join((texts_of(page.view), frame, _LOGIN))


# `shell.html` is filled in and `connection_lost.js` belongs to a served document: tests/browser sees both work
@pytest.mark.parametrize("name", [name for name in SCREEN if name not in ("shell.html", "connection_lost.js")])
def test_the_monitor_sends_each_of_its_files(monitor, name):
    text = asset("monitor", name).replace("SILENT *", "10 *")
    assert text.strip() in monitor


def test_the_frame_of_the_monitor_is_filled_in(monitor):
    assert '<div id="page"></div><div id="shell"' in monitor
    assert "STYLE" not in monitor and "SCRIPT" not in monitor and "SILENT" not in monitor


def test_palettes_that_should_agree_do():
    "The light one is the default and may be chosen; the dark one is the system's wish or chosen."
    rule = r"%s \{\s*(--bg[^}]*?color-scheme: \w+;)"
    found = lambda selector: [
        " ".join(text.split()) for text in re.findall(rule % selector, asset("monitor", "root.css"))
    ]
    plain, light, dark = found(r":host"), found(r":host\(\.light\)"), found(r":host\(\.dark\)")
    assert plain == [*light, *dark] and len(plain) == 2 and plain[0] != plain[1]


def test_the_explorer_and_the_report_hold_their_files():
    from futures_algo.explorer.bokeh_widget import BokehWidget
    from futures_algo.explorer.widget import STYLE

    assert asset("explorer", "explorer.css") in STYLE and STYLE.startswith("<style>")
    assert asset("explorer", "bokeh_widget.js") in BokehWidget().trait_values()["_esm"]


@pytest.mark.parametrize("path", ASSETS, ids=lambda path: f"{path.parts[-3]}/{path.name}")
def test_each_file_is_asked_for_by_its_own_room(path):
    room = path.parts[-3]
    call = f'asset("{room}", "{path.name}")'
    users = [module for module in MODULES if call in module.read_text(encoding="utf-8").replace("'", '"')]
    assert users and {module.parent.name for module in users} == {room}


def test_each_file_is_in_the_wheel():
    (call,) = (node for node in ast.walk(ast.parse((PROJECT / "setup.py").read_text())) if _is_setup(node))
    patterns = ast.literal_eval(next(word.value for word in call.keywords if word.arg == "package_data"))[
        "futures_algo"
    ]
    shipped = {path for pattern in patterns for path in PACKAGE.glob(pattern)}
    assert ASSETS and set(ASSETS) <= shipped


def _is_setup(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setup"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_style_sheet_or_script_hides_in_a_string(module):
    "Rules and functions long enough to be a file's; an attribute or a selector is none, nor is JSON's form."
    if module.relative_to(PACKAGE).parts[0] == "bench":  # drives a browser with one-liners, ships no page
        return
    tree = ast.parse(module.read_text(encoding="utf-8"))
    strings = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    rule = re.compile(r"[\w.#:)\]-]+\s*\{\s*[\w-]+\s*:[^{}]+;?\s*\}(?!\})|\bconst \w+ =|=> \{|\bfunction ?\w*\(")
    assert [text for text in strings if rule.search(text)] == []
