"""Every page, in a real browser: it shows, it is accessible, it keeps to itself, and needs no script."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from tests.exchange.engine.town import Town
from tests.exchange.site.pages import all_pages
from tests.exchange.site.pages.base import Shown
from tests.exchange.site.visited import Visit, visit
from tests.support.browser import WIDTH, chromium, faults

LARGEST = 150_000
"""Bytes of a page with all it needs, when nothing is in the browser's cache."""


@pytest.fixture(scope="module")
def site(shared_town: Town) -> Iterator[Visit]:
    with chromium() as browser, visit(shared_town, browser) as found:
        yield found


class Heard:
    """What a page did besides being shown."""

    def __init__(self, page: Page, address: str) -> None:
        self.complaints: list[str] = []
        self.elsewhere: list[str] = []
        self.bytes = 0
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda asked: None if _ours(asked.url, address) else self.elsewhere.append(asked.url))
        page.on("response", lambda answer: self._weigh(len(answer.body())) if answer.status == 200 else None)

    def _weigh(self, size: int) -> None:
        self.bytes += size


def _ours(url: str, address: str) -> bool:
    return url.startswith((f"{address}/", "data:"))


@pytest.mark.parametrize("shown", all_pages(), ids=lambda shown: shown.name)
def test_a_page(site: Visit, shown: Shown) -> None:
    page = site.page(shown.login)
    heard = Heard(page, site.address)
    answer = page.goto(shown.address(site.town), wait_until="load")
    assert answer is not None
    assert answer.status == shown.status
    assert faults(page) == []
    # That a page was not found is a complaint of its own.
    assert [each for each in heard.complaints if f"status of {shown.status}" not in each] == []
    assert heard.elsewhere == []
    assert heard.bytes < LARGEST
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTH, "nothing is cut off at the side"
    assert page.locator("h1").count() == 1
    assert page.locator("main").count() == 1
    page.keyboard.press("Tab")
    page.close()


@pytest.mark.parametrize("shown", all_pages(), ids=lambda shown: shown.name)
def test_a_page_without_script(site: Visit, shown: Shown) -> None:
    with_script, without = site.page(shown.login), site.page(shown.login, script=False)
    texts = []
    for page in (with_script, without):
        answer = page.goto(shown.address(site.town))
        assert answer is not None
        assert answer.status == shown.status
        texts.append(page.locator("h1").inner_text())
        page.close()
    assert texts[0] == texts[1]
