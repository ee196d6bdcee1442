from __future__ import annotations

import html
from typing import Any

import pytest

from catalog import Resource
from tests.exchange.console.reading import form, text
from tests.exchange.engine.town import CODE, POLICE, Town, publish, resource
from tests.exchange.site.people import People

PUBLIC = f"/directory/{CODE.replace('/', '%2F')}"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, True),
        ({"q": "人口"}, True),
        ({"q": "出生 人口"}, True),
        ({"q": "公安"}, True),
        ({"q": "林木"}, False),
        ({"provider": POLICE}, True),
        ({"share": "2"}, True),
        ({"share": "1"}, False),
        ({"way": "database"}, True),
        ({"way": "file"}, False),
        ({"cycle": "daily", "q": "人口", "under": "101"}, True),
        ({"cycle": "yearly"}, False),
        ({"under": "2"}, False),
        ({"kind": "natural_person"}, False),
    ],
)
def test_words_and_facets_combine(people: People, given: dict[str, str], found: bool) -> None:
    page = people.browser("tax").get("/directory", **given)
    assert page.status_code == 200
    assert ("人口基本信息" in text(page)) is found
    kept = form(page, "/directory")
    assert all(kept[name] == value for name, value in given.items())


def test_facets_tell_how_many_there_are(people: People, town: Town) -> None:
    with town.hub() as hub:
        publish(town, hub, resource(code="101001001/0002", name="人口专题", offer=None))
    tax = people.browser("tax")
    page = html.unescape(tax.get("/directory").text)
    for told in ("公安局（2）", "税务局（0）", "数据库（2）", "每日（2）"):
        assert f">{told}</option>" in page
    narrowed = html.unescape(tax.get("/directory", way="file").text)
    assert ">公安局（0）</option>" in narrowed
    assert ">数据库（2）</option>" in narrowed, "one may change over"
    assert ">公安局</option>" in tax.get("/directory", q="人口").text


@pytest.mark.parametrize("given", [{"q": "人"}, {"share": "9"}, {"cursor": "x"}, {"provider": "没有这个部门"}])
def test_what_cannot_be_looked_for_is_told(people: People, given: dict[str, str]) -> None:
    page = people.browser("tax").get("/directory", **given)
    assert page.status_code in (404, 422)
    assert form(page, "/directory")["q"] == given.get("q", "")


def test_pages_follow_each_other(people: People, town: Town) -> None:
    with town.hub() as hub:
        for number in range(2, 24):
            changes: dict[str, Any] = {"code": f"101001001/{number:04}", "name": f"人口专题{number}", "offer": None}
            publish(town, hub, resource(**changes))
    tax = people.browser("tax")
    page = tax.get("/directory", q="人口")
    seen = set()
    for _page in range(2):
        seen |= {part.partition('"')[0] for part in page.text.split('<h2><a href="/directory/')[1:]}
        following = page.text.partition('<nav class="pager"')[2].partition('href="')[2].partition('"')[0]
        if following:
            page = tax.get(following.replace("&amp;", "&"))
    assert len(seen) == 23
    assert "下一页" not in page.text


def test_the_public_page_is_of_the_version_in_force(people: People, town: Town) -> None:
    with town.hub() as hub:
        hub.registration.register(Resource.model_validate(resource(abstract="新摘要")), by=town.actor("police"))
    for login in ("police", "tax"):
        page = people.browser(login).get(PUBLIC)
        assert "新摘要" not in text(page)
    assert "申请使用" in text(people.browser("tax").get(PUBLIC))
    assert "申请使用" not in text(people.browser("police").get(PUBLIC))
    assert "申请使用" not in text(people.browser("chief").get(PUBLIC))


def test_a_draft_has_no_public_page(people: People, town: Town) -> None:
    with town.hub() as hub:
        draft = resource(code="101001001/0002", offer=None)
        hub.registration.register(Resource.model_validate(draft), by=town.actor("police"))
    for login in ("police", "tax", "centre"):
        assert people.browser(login).get("/directory/101001001%2F0002").status_code == 404
