"The documentation can be made: nbdev processes every page, every page renders, every link leads somewhere."

import pytest
from pages import all_pages
from website import leads_nowhere, process, render


@pytest.fixture(scope="module")
def website(tmp_path_factory):
    "The rendered pages."
    pytest.importorskip("nbdev")
    folder = tmp_path_factory.mktemp("website")
    render(process(), folder)
    return folder


def test_every_page_is_processed_and_rendered_and_its_links_lead_somewhere(website):
    made = sorted(path.relative_to(website).with_suffix(".ipynb").as_posix() for path in website.rglob("*.html"))
    assert made == all_pages()
    assert leads_nowhere(website) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path):
    (tmp_path / "guides").mkdir()
    (tmp_path / "index.html").write_text(
        '<h2 id="here"></h2><a href="#here">a</a><a href="#gone">b</a><a href="guides/a.html#part">c</a>'
        '<a href="nowhere.html">d</a><img src="images/none.png"><a href="https://example.org/x">e</a>'
    )
    (tmp_path / "guides" / "a.html").write_text('<h2 id="part"></h2><a href="../index.html#lost">f</a>')
    assert leads_nowhere(tmp_path) == [
        "guides/a.html: ../index.html#lost",
        "index.html: #gone",
        "index.html: nowhere.html",
        "index.html: images/none.png",
    ]
