"The package as a whole: what it exports, what importing it costs, and that its two lists of facts agree."

import configparser
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

from fast import FAST

import futures_algo

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("pandas", "numba", "databento", "vectorbt", "panel", "httpx", "pydantic")


def test_every_public_name_loads_from_its_home():
    for name in futures_algo.__all__:
        assert getattr(futures_algo, name) is not None


def test_importing_the_package_loads_nothing_heavy():
    code = f"import sys, futures_algo; print([m for m in {HEAVY!r} if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_help_loads_nothing_heavy():
    code = (
        f"import sys; from futures_algo import cli; cli.load_verbs(); print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_version_stands_once_in_settings_and_once_in_the_package():
    settings = configparser.ConfigParser(delimiters=["="], interpolation=None)
    settings.read(ROOT / "settings.ini")
    assert settings["DEFAULT"]["version"] == futures_algo.__version__


def test_constraints_name_no_hosts_and_pin_every_requirement():
    settings = configparser.ConfigParser(delimiters=["="], interpolation=None)
    settings.read(ROOT / "settings.ini")
    pins = (ROOT / "constraints.txt").read_text()
    assert "://" not in pins and "@" not in pins
    import re

    norm = lambda name: re.sub(r"[-_.]+", "-", name).lower()
    pinned = {norm(line.split("==")[0]) for line in pins.splitlines() if "==" in line}
    wanted = [
        w
        for key in ("requirements", "dev_requirements", "bench_requirements", "cluster_requirements")
        for w in settings["DEFAULT"][key].split()
    ]
    assert not [w for w in wanted if norm(re.split(r"[<>=;]", w)[0]) not in pinned]
    assert importlib.import_module("futures_algo.core.types")


def test_the_linter_finds_nothing():
    "The rules are in pyproject.toml, with the reason of each that is left out."
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--no-cache", "futures_algo", "tests"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_link_between_pages_leads_somewhere():
    pages = {
        path: "\n".join(
            "".join(cell["source"]) for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "markdown"
        )
        for path in (ROOT / "nbs").rglob("*.ipynb")
        if ".ipynb_checkpoints" not in path.parts
    } | {ROOT / "README.md": (ROOT / "README.md").read_text()}
    links = [
        (path, link)
        for path, text in pages.items()
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
        if not re.match(r"https?:|attachment:|data:", link)
    ]
    assert (
        len(links) > 50 and [f"{path.name}: {link}" for path, link in links if not (path.parent / link).exists()] == []
    )


def test_every_file_of_the_fast_tier_is_there():
    assert [name for name in sorted(FAST) if not (ROOT / "tests" / name).is_file()] == []


def test_everything_the_package_reads_is_packaged():
    "Files beside the modules are in the wheel only where setup.py names them."
    named = re.search(r'package_data=\{"futures_algo": (\[.*?\])\}', (ROOT / "setup.py").read_text()).group(1)
    package = ROOT / "futures_algo"
    packed = {path for pattern in json.loads(named) for path in package.glob(pattern)}
    beside = {
        path
        for path in package.rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc", ".nbi", ".nbc") and "__pycache__" not in path.parts
    }
    assert beside - packed == set()


def test_changelog_names_the_golden_hash():
    golden = json.loads((ROOT / "tests" / "golden" / "golden.json").read_text())["hash"]
    assert golden in (ROOT / "CHANGELOG.md").read_text()
