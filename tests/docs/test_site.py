"""The site: it builds without a warning, loads nothing from elsewhere, and fits a wide and a narrow window."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import ROOT

pytest.importorskip("mkdocstrings", reason="NO MKDOCS: the site was not built (the extra docs)")
PAGES = (
    "index",
    "first_result",
    "method",
    "measures",
    "guides/videos",
    "guides/methods",
    "api/models",
    "results/reproduction/report",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The built site, and what mkdocs warned of."""
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            warnings.append(record.getMessage())

    warnings: list[str] = []
    folder, handler = tmp_path_factory.mktemp("site"), Kept(logging.WARNING)
    logging.getLogger("mkdocs").addHandler(handler)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_MKDOCS_2_WARNING", "1")
        build(load_config(str(ROOT / "docs" / "mkdocs.yml"), site_dir=str(folder)))
    logging.getLogger("mkdocs").removeHandler(handler)
    return folder, warnings


class Loaded(HTMLParser):
    """What a browser fetches of a page by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        of = dict(attributes)
        fetched = [of.get("src")] + ([of.get("href")] if tag == "link" and of.get("rel") != "canonical" else [])
        self.addresses += [address for address in fetched if address]


def test_no_warning_and_nothing_is_loaded_from_elsewhere(site: tuple[Path, list[str]]) -> None:
    folder, warnings = site
    assert warnings == []
    pages = list(folder.rglob("*.html"))
    assert {f"{name}.html" for name in PAGES} <= {path.relative_to(folder).as_posix() for path in pages}
    for page in pages:
        loaded = Loaded()
        loaded.feed(page.read_text(encoding="utf-8"))
        outside = [address for address in loaded.addresses if re.match("(https?:)?//", address)]
        assert not outside, (page, outside)
    for sheet in folder.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet


def test_formulas_doctests_and_public_names_are_there(site: tuple[Path, list[str]]) -> None:
    import highlight_lit

    folder, _ = site
    method = (folder / "method.html").read_text(encoding="utf-8")
    source = (ROOT / "docs" / "pages" / "method.md").read_text(encoding="utf-8")
    assert method.count("<math ") == source.count("```math") > 10
    names = re.findall(r'id="highlight_lit\.(\w+)"', (folder / "api" / "index.html").read_text(encoding="utf-8"))
    assert sorted(set(names)) == sorted(highlight_lit.__all__)
    assert "&gt;&gt;&gt; " in re.sub(r"<[^>]*>", "", (folder / "api" / "models.html").read_text(encoding="utf-8"))


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    from tests.media.output import test_page as page

    if page.CHROMIUM is None:
        pytest.skip("NO CHROMIUM: the site is not looked at (apt-get install chromium)")
    opened = page.Browser(tmp_path / "profile")
    yield opened
    opened.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_no_page_is_wider_than_its_window(site: tuple[Path, list[str]], browser: Any, width: int) -> None:
    folder, _ = site
    browser.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    for name in PAGES:
        address = (folder / f"{name}.html").as_uri()
        browser.ask("Page.navigate", url=address)
        browser.wait(f"document.readyState === 'complete' && location.href.startsWith('{address}')")
        assert browser.value("document.documentElement.scrollWidth <= window.innerWidth"), name
    asked = {
        event["params"]["request"]["url"] for event in browser.events if event["method"] == "Network.requestWillBeSent"
    }
    assert asked
    assert all(url.startswith(("file:", "data:", "blob:")) for url in asked), asked


def test_the_search_finds_where_the_pages_are_opened_from_the_disk(site: tuple[Path, list[str]], browser: Any) -> None:
    browser.ask("Page.navigate", url=(site[0] / "guides" / "videos.html").as_uri())
    browser.wait("document.querySelector('.md-search__input')?.getClientRects().length > 0")
    browser.value(
        "document.getElementById('__search').click(); const asked = document.querySelector('.md-search__input');"
        " asked.focus(); asked.value = 'noisy-or'; asked.dispatchEvent(new KeyboardEvent('keyup', {key: 'r'}))"
    )
    browser.wait("[...document.querySelectorAll('.md-search-result a')].some(a => a.href.includes('/method.html'))")


def test_a_number_of_a_table_is_not_torn_and_its_row_stays_named_while_it_is_scrolled(
    site: tuple[Path, list[str]], browser: Any
) -> None:
    browser.ask("Emulation.setDeviceMetricsOverride", width=390, height=900, deviceScaleFactor=1, mobile=False)
    browser.ask("Page.navigate", url=(site[0] / "results" / "guided" / "report.html").as_uri())
    browser.wait("document.readyState === 'complete' && document.querySelector('.md-typeset__scrollwrap') !== null")
    cells = "[...document.querySelectorAll('td')].filter(cell => cell.textContent.includes('±'))"
    lines = "(r => (r.selectNodeContents(cell), new Set([...r.getClientRects()].map(b => b.top)).size))(document.createRange())"
    assert browser.value(f"Math.max(...{cells}.map(cell => {lines}))") == 2
    moved = "(b => (b.scrollLeft = 60, [b.scrollLeft, b.querySelector('td').getBoundingClientRect().left]))"
    by, left = browser.value(f"{moved}(document.querySelector('.md-typeset__scrollwrap'))")
    assert by == 60
    assert 0 <= left <= 16
