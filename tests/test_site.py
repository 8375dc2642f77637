"""Every page of the built documentation, in a browser: no error, no use of a network, nothing cut off."""

from pathlib import Path

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

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.skipif(not PAGES, reason="the documentation is not built: run tox -e docs"),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
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
