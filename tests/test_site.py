"""Every page of the built documentation: its links; in a browser, errors, network use, what is cut off."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from browser import CHROMIUM, Browser

SITE = Path(__file__).parent.parent / "docs" / "_build"
PAGES = sorted(page.relative_to(SITE) for page in SITE.rglob("*.html") if "_static" not in page.parts)
#: Elements that reach beyond the right edge of the window and cannot be scrolled to.
CUT_OFF = """
[...document.querySelectorAll("article *")].filter(element => {
    const {right, width} = element.getBoundingClientRect()
    if (width == 0 || right <= innerWidth + 1) return false
    for (let above = element; above; above = above.parentElement)
        if (["auto", "scroll", "hidden"].includes(getComputedStyle(above).overflowX)) return false
    return true
}).map(element => element.tagName + ": " + element.textContent.slice(0, 60))
"""
#: What stands in a page as it is written where something should have been made of it. (Not in code.)
RAW = r"""
[...document.querySelectorAll("article p, article li, article td, article dd")]
    .map(element => { const copy = element.cloneNode(true)
                      copy.querySelectorAll("code, pre, math").forEach(part => part.remove())
                      return copy.textContent })
    .filter(text =>
        /\\[a-z]+\{|\$[^ $]|`|\]\(|:(ref|class|doc|func):/.test(text))
    .map(text => text.slice(0, 80))
"""

pytestmark = pytest.mark.skipif(not PAGES, reason="the documentation is not built: run tox -e docs")


class Links(HTMLParser):
    """What a page links to, and the places in it that can be linked to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.places = {""}
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        del tag
        attributes = dict(attrs)
        self.targets += [attributes[name] for name in ("href", "src") if attributes.get(name)]
        self.places |= {attributes[name] for name in ("id", "name") if attributes.get(name)}


@pytest.fixture(scope="module")
def pages():
    return {(SITE / page).resolve(): Links(SITE / page) for page in PAGES}


def broken(page, links, pages):
    """The links of a page, within the site, that lead to no file or to no place in a page."""
    for target in links.targets:
        parts = urlsplit(target)
        if parts.scheme or parts.netloc:
            continue
        file = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        is_there = unquote(parts.fragment) in pages[file].places if file in pages else file.is_file()
        if not is_there:
            yield target


def test_links_within_the_site_lead_somewhere(pages):
    assert sum(len(links.targets) for links in pages.values()) > 1000
    found = {page.name: list(broken(page, links, pages)) for page, links in pages.items()}
    assert {name: targets for name, targets in found.items() if targets} == {}


def test_every_example_of_the_gallery_has_a_picture():
    examples = list(SITE.glob("gallery/plot_*.html"))
    assert len(examples) >= 15
    for page in examples:
        assert re.search(r"sphx-glr-(single|multi)-img", page.read_text(encoding="utf-8")), page


def test_a_broken_link_is_found(tmp_path):
    page = tmp_path / "page.html"
    page.write_text("<a id=here></a><a href='#here'></a><a href='#there'></a><img src='no.png'><a href=x:y>")
    links = Links(page)
    assert list(broken(page, links, {page: links})) == ["#there", "no.png"]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("page", PAGES, ids=str)
def test_page_is_shown_whole_and_without_errors(browser, page, width):
    browser.open((SITE / page).as_uri(), width)
    assert browser.problems() == []
    assert browser.value(CUT_OFF) == []
    assert browser.value(RAW) == []


@pytest.mark.parametrize(
    "words", ["cold start", "grid search", "implicit", "SVDpp", "cite", "install", "csv", "new users", "GPU"]
)
def test_search_finds(browser, words):
    browser.open(f"{(SITE / 'search.html').as_uri()}?q={words.replace(' ', '+')}", 1280)
    found = browser.value(
        """new Promise(done => { const look = () => {
            const titles = [...document.querySelectorAll("ul.search li a")].map(link => link.textContent)
            if (titles.length || Date.now() > start + 5000) done(titles); else setTimeout(look, 50) }
            const start = Date.now(); look() })"""
    )
    assert found
    assert "<no title>" not in found


def test_a_page_with_problems_has_them_found(browser, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(
        "<article><p>a `raw` word</p><div style='width: 2000px'>wide</div></article>"
        "<script src='https://example.org/x.js'></script><script>nothing()</script>"
    )
    browser.open(page.as_uri(), 390)
    problems = " ".join(browser.problems())
    assert "https://example.org/x.js" in problems
    assert "Uncaught" in problems
    assert browser.value(CUT_OFF) == ["DIV: wide"]
    assert browser.value(RAW) == ["a `raw` word"]
