"""The documentation without quarto: nbdev's own processing of every page, each rendered to HTML, every link followed.

    python tests/documents/website.py FOLDER

writes the pages below FOLDER and ends with 1 and the list of links that lead nowhere.
"""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pages import NOTEBOOKS, ROOT, all_pages

PROCESS = "from nbdev.serve import proc_nbs\nif __name__ == '__main__':\n    print(proc_nbs(force=True, n_workers=2))"


def process() -> Path:
    "Run nbdev's processing, as `nbdev_docs` does before it calls quarto; the folder of what it made."
    done = subprocess.run([sys.executable, "-c", PROCESS], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"nbdev could not process the pages:\n{done.stderr[-4000:]}")
    return Path(done.stdout.strip().splitlines()[-1])


def render(processed: Path, folder: Path) -> None:
    "Every processed page as HTML below the folder, links between pages leading to the HTML."
    import nbformat
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(embed_images=False)
    for page in all_pages():
        body, _ = exporter.from_notebook_node(nbformat.read(processed / page, 4))
        target = folder / Path(page).with_suffix(".html")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(re.sub(r'(href="[^":]*)\.ipynb([#"])', r"\1.html\2", body), encoding="utf-8")


class Links(HTMLParser):
    "What a page refers to, and the places in it that can be referred to."

    def __init__(self, text: str):
        super().__init__()
        self.targets: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if (tag, name) in (("a", "href"), ("img", "src")) and value:
                self.targets.append(value)
            if name in ("id", "name") and value:
                self.places.add(value)


def leads_nowhere(folder: Path) -> list[str]:
    "`page: link` of each link to a page, a place in one, a file or an image that is not there."
    pages = {path: Links(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.html"))}
    return [
        f"{path.relative_to(folder)}: {link}"
        for path, links in pages.items()
        for link in dict.fromkeys(links.targets)
        if not _is_there(folder, path, link, pages)
    ]


def _is_there(folder: Path, page: Path, link: str, pages: dict[Path, Links]) -> bool:
    "Whether what the link names exists: a page of the site, or a file beside its notebook."
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return True  # the wide world is not ours to check
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if target in pages:
        return not parts.fragment or unquote(parts.fragment) in pages[target].places
    source = NOTEBOOKS / page.relative_to(folder).parent / unquote(parts.path)
    return source.exists() and source.resolve().is_relative_to(ROOT)


def untold(page: str) -> bool:
    "Whether a page shows no result of a cell."
    cells = json.loads((NOTEBOOKS / page).read_text(encoding="utf-8"))["cells"]
    return not any(cell.get("outputs") for cell in cells)


def main(folder: Path) -> int:
    "Build, follow the links, and say what is wrong."
    render(process(), folder.resolve())
    broken = leads_nowhere(folder.resolve())
    print(*broken, f"{len(all_pages())} pages, {len(broken)} links that lead nowhere", sep="\n")
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
