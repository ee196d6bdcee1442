"""The list of demand, as everybody sees it."""

from __future__ import annotations

import pytest

from tests.exchange.console.stories import EVIL, harmless
from tests.exchange.engine.town import CODE, POLICE, TAX, Town
from tests.exchange.site.people import People


@pytest.fixture
def demanding(people: People, town: Town) -> People:
    catalog = people.hub.catalog
    words = {"department": TAX, "basis": "《税收征收管理法》", "scene": "核定"}
    with people.hub.database.transaction() as session:
        met = catalog.put_demand(session, {**words, "title": "人口", "provider_code": POLICE}, "税务经办")
        catalog.answer_demand(session, met.id, "met", "公安审核", resource=CODE, reason="见目录")
        catalog.put_demand(session, {**words, "title": EVIL, "items": ["车牌"]}, "税务经办")
    return people


def test_each_with_its_answer(demanding: People) -> None:
    page = demanding.browser("police").get("/demands")
    assert "待响应" in page.text
    assert f'href="/directory/{CODE.replace("/", "%2F")}"' in page.text
    assert "见目录" in page.text
    assert "车牌" in page.text
    harmless(page)


def test_filters_find(demanding: People) -> None:
    browser = demanding.browser("tax")
    assert "车牌" not in browser.get("/demands", state="met").text
    assert "车牌" not in browser.get("/demands", provider=POLICE).text
    assert "车牌" in browser.get("/demands", department=TAX, state="open").text
    assert "没有这样的需求" in browser.get("/demands", state="declined").text
    # What is no state is none asked for; what is no department is not found.
    assert "车牌" in browser.get("/demands", state=EVIL).text
    unknown = browser.get("/demands", department=EVIL)
    assert unknown.status_code == 404
    harmless(unknown)
