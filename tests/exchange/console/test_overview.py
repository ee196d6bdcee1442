from __future__ import annotations

from exchange.authorisation import Application
from exchange.console.overview import WAITING
from tests.exchange.console.reading import text
from tests.exchange.console.stories import ended
from tests.exchange.console.test_registering import register
from tests.exchange.console.test_structures import narrowed
from tests.exchange.engine.town import SYNC, Town, application
from tests.exchange.site.people import People


def test_everybody_finds_what_waits_for_him(people: People, town: Town) -> None:
    with town.hub() as hub:
        asked = hub.sharing.apply(Application.model_validate(application(scene="另一项")), by=town.actor("tax"))
    register(people.browser("police"))
    expected = {
        "tax": ("已提出、等待答复的申请 1", f"/applications/{asked}"),
        "chief": ("待答复的申请 1", f"/applications/{asked}"),
        "police": ("等待提交的资源 1", "/resources/101001001%2F0002"),
        "centre": ("待发布审核的资源 0", "/resources?state=publishing"),
    }
    for login, (words, path) in expected.items():
        page = people.browser(login).get("/")
        assert words in text(page)
        assert f'href="{path}"' in page.text


def test_who_has_nothing_to_do_with_it_is_not_told(people: People) -> None:
    page = text(people.browser("sysadmin").get("/"))
    assert "没有待办" in page
    assert "待答复的申请" not in page
    assert len(WAITING) == len(set(WAITING)) == 8


def test_an_integrator_finds_what_is_held(people: People, town: Town) -> None:
    browser = people.browser("integrator")
    assert "待批准的交换 0" in text(browser.get("/"))
    narrowed(town)
    browser.post(f"/exchanges/{SYNC}/run")
    ended(people, SYNC)
    page = browser.get("/")
    assert "待批准的交换 1" in text(page)
    assert f'href="/structures/{SYNC}"' in page.text


def test_the_front_page_is_whoever_s_it_is(people: People) -> None:
    assert people.stranger().get("/").headers["location"] == "/sign-in"
    page = people.browser("police").get("/")
    assert page.status_code == 200
    assert people.actor("police").name in page.text
    assert page.headers["cache-control"] == "no-store"
