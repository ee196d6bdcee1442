"""Every page, in a real browser: it shows, it is accessible, it keeps to itself, and needs no script."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page
from starlette.routing import Route

from exchange.console.assembly import routers
from tests.exchange.site.pages import all_pages
from tests.exchange.site.pages.base import Shown
from tests.exchange.site.visited import Visit
from tests.support.browser import WIDTH, faults

LARGEST = 150_000
"""Bytes of a page with all it needs, when nothing is in the browser's cache."""
EXPECTED = re.compile(r"status of (404|409|422)")
"""What the browser itself says of a page that answers so."""

SPILT = """() => [...document.querySelectorAll(".card, .tile, .facts > div, .field")]
  .filter((each) => each.scrollWidth > each.clientWidth + 1).map((each) => each.outerHTML.slice(0, 200))"""
"""Boxes that are narrower than what they hold."""
TWICE = """() => [...document.querySelectorAll("[id]")].map((each) => each.id)
  .filter((id, place, all) => all.indexOf(id) < place)"""
"""Names of elements that are not theirs alone."""


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


def _exempt(path: str) -> bool:
    """What is not looked at as a page: files to take away, pictures that stand in one, and what one listens to."""
    return path.endswith((".csv", ".svg", "/export", "/progress"))


def test_every_page_is_looked_at() -> None:
    routes = [route for router in routers for route in router.routes if isinstance(route, Route)]
    pages = [route for route in routes if "GET" in (route.methods or ()) and not _exempt(route.path)]
    # The first that fits is the one that answers.
    looked_at = {re.sub(r"\{\w+\}", "1", shown.path).partition("?")[0] for shown in all_pages()}
    seen = {next((route.path for route in pages if route.path_regex.match(path)), None) for path in looked_at}
    assert {route.path for route in pages} - seen == set()


@pytest.mark.parametrize("shown", all_pages(), ids=lambda shown: shown.name)
def test_a_page(site: Visit, shown: Shown) -> None:
    """With script, all there is to see; without, the same page."""
    page = site.page(shown.login)
    heard = Heard(page, site.address)
    with shown.opened(page, site.town) as answer:
        assert answer.status == shown.status
        assert faults(page) == []
        # That a page was not found is a complaint of its own, and so is that a form was sent back.
        assert [each for each in heard.complaints if not EXPECTED.search(each)] == []
        assert heard.elsewhere == []
        assert heard.bytes < LARGEST
        assert page.evaluate("document.documentElement.scrollWidth") <= WIDTH, "nothing is cut off at the side"
        assert page.locator("h1").count() == 1
        assert page.locator("main").count() == 1
        assert page.evaluate(SPILT) == [], "nothing is cut off within the page"
        assert page.evaluate(TWICE) == [], "a label is of one field, a link leads to one place"
        heading = page.locator("h1").inner_text()
    page.close()
    without = site.page(shown.login, script=False)
    with shown.meanwhile(site.town):
        again = without.goto(shown.address(site.town))
    assert again is not None
    assert again.status == shown.status
    assert shown.then is not None or without.locator("h1").inner_text() == heading
    without.close()
