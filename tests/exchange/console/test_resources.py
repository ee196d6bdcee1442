from __future__ import annotations

import pytest

from tests.exchange.console.reading import VILE, follow, form, harmless, text
from tests.exchange.console.test_registering import BASIC, NEW, SECOND, register
from tests.exchange.engine.town import CODE, Town
from tests.exchange.site.people import People

PLACE = f"/resources/{SECOND.replace('/', '%2F')}"
FIRST = f"/resources/{CODE.replace('/', '%2F')}"


@pytest.fixture
def draft(people: People) -> str:
    follow(people.browser("police"), register(people.browser("police")))
    return PLACE


def move(people: People, login: str, action: str, **fields: str) -> tuple[int, str]:
    browser = people.browser(login)
    shown = form(browser.get(PLACE), f"{PLACE}/move")
    answer = browser.post(f"{PLACE}/move", **shown | fields | {"action": action})
    page = browser.get(PLACE) if answer.status_code == 303 else answer
    return answer.status_code, text(page)


def test_my_resources_and_what_each_waits_for(people: People, draft: str) -> None:
    police = people.browser("police")
    assert "经办员核对后提交注册" in text(police.get("/resources"))
    assert SECOND not in text(police.get("/resources", state="published"))
    assert CODE not in text(police.get("/resources", state="open"))
    assert CODE not in text(police.get("/resources", q="户籍"))
    assert SECOND in text(police.get("/resources", q="101001001/0002"))
    assert "没有符合条件的资源" in text(police.get("/resources", q="没有这样的"))
    assert police.get("/resources", cursor="x").status_code == 422
    assert SECOND not in text(people.browser("tax").get("/resources"))
    assert SECOND in text(people.browser("centre").get("/resources"))
    assert SECOND not in text(people.browser("centre").get("/resources", state="published"))


def test_a_refusal_needs_its_reason_and_leads_back_to_the_clerk(people: People, draft: str) -> None:
    assert move(people, "police", "submit_registration")[0] == 303
    status, shown = move(people, "chief", "return_registration")
    assert (status, "缺少意见" in shown) == (422, True)
    status, shown = move(people, "chief", "return_registration", opinion="请补充来源")
    assert (status, "退回修改" in shown) == (303, True)
    police = people.browser("police")
    assert "请补充来源" in text(police.get(f"{draft}/history"))
    assert "退回或拒绝" in text(police.get("/"))
    assert move(people, "police", "submit_registration")[0] == 303
    assert move(people, "police", "recall")[0] == 303
    assert move(people, "police", "discard", opinion="重复")[0] == 303


def test_a_reviewer_agrees_only_to_what_he_has_seen(people: People, draft: str) -> None:
    move(people, "police", "submit_registration")
    chief, police = people.browser("chief"), people.browser("police")
    seen = form(chief.get(draft), f"{draft}/move")
    move(people, "police", "recall")
    page = police.get(f"{draft}/edit")
    police.post(f"{draft}/edit", **form(page, f"{draft}/edit") | {"abstract": "换了内容"})
    move(people, "police", "submit_registration")
    late = chief.post(f"{draft}/move", **seen | {"action": "agree_registration", "opinion": "同意的话"})
    assert late.status_code == 409
    assert "已由他人办理" in text(late)
    assert "换了内容" in text(late)
    assert form(late, f"{draft}/move")["opinion"] == "同意的话"


def test_one_person_does_not_do_two_peoples_work(people: People, draft: str) -> None:
    move(people, "police", "submit_registration")
    police = people.browser("police")
    begun = form(police.get(draft), f"{draft}/move")["begun"]
    answer = police.post(f"{draft}/move", action="agree_registration", begun=begun)
    assert answer.status_code == 403
    assert police.post(f"{draft}/move", action="dance", begun=begun).status_code == 404
    assert police.post(f"{draft}/move", action="agree_publication", begun="x" * 3000).status_code in (403, 409)


def test_a_resource_is_taken_down(people: People) -> None:
    centre = people.browser("centre")
    page = centre.get(FIRST)
    assert "下架" in text(page)
    refused = centre.post(f"{FIRST}/move", **form(page, f"{FIRST}/move") | {"action": "withdraw"})
    assert (refused.status_code, "缺少意见" in text(refused)) == (422, True)
    fields = form(refused, f"{FIRST}/move") | {"action": "withdraw", "opinion": "停止更新"}
    follow(centre, centre.post(f"{FIRST}/move", **fields))
    assert "下架" in text(people.browser("police").get(FIRST))
    assert people.browser("tax").get(FIRST).status_code == 404
    assert people.browser("tax").get(FIRST.replace("resources", "directory")).status_code == 404


def test_versions_are_looked_at_and_told_from_each_other(people: People, town: Town) -> None:
    police = people.browser("police")
    page = police.get(f"{FIRST}/edit")
    police.post(f"{FIRST}/edit", **form(page, f"{FIRST}/edit") | {"item-1-length": "128", "abstract": "新摘要"})
    assert "不是最新的" in text(police.get(FIRST, version="1"))
    shown = text(police.get(f"{FIRST}/difference", old="1", new="2"))
    assert "长度由“64”改为“128”" in shown
    assert "没有差别" in text(police.get(f"{FIRST}/difference", old="2", new="2"))
    for wrong in ("-1", "x", "99999999", "１"):
        assert police.get(FIRST, version=wrong).status_code == 422
        assert police.get(f"{FIRST}/difference", old=wrong).status_code == 422
    assert police.get(FIRST, version="7").status_code == 404
    assert "没有差别" in text(people.browser("tax").get(f"{FIRST}/difference"))
    assert people.browser("tax").get(f"{FIRST}/difference", new="2").status_code == 404


def test_whatever_is_registered_is_quoted_everywhere(people: People, town: Town) -> None:
    police = people.browser("police")
    # As vile as the directory lets it be: no line ends, no quotes that its names may not have.
    fields = BASIC | {
        "name": VILE, "abstract": VILE, "share_condition": VILE, "provider_unit": VILE, "item-1-label": VILE,
        "item-1-column": VILE, "offer-endpoint": "police", "offer-object": VILE, "item-0-column": "a",
    }  # fmt: skip
    page = police.get(NEW)
    answer = police.post(NEW, **form(page, NEW) | fields)
    if answer.status_code == 422:
        accepted = form(answer, NEW)
        token = answer.text.partition('name="accepted" value="')[2].partition('"')[0]
        answer = police.post(NEW, **accepted | {"accepted": token})
    harmless(follow(police, answer))
    move(people, "police", "submit_registration", opinion=VILE)
    for login, path in (
        ("police", PLACE), ("police", f"{PLACE}/history"), ("police", f"{PLACE}/difference"), ("police", "/resources"),
        ("chief", "/"), ("chief", PLACE), ("centre", PLACE),
    ):  # fmt: skip
        shown = people.browser(login).get(path)
        assert shown.status_code == 200
        harmless(shown)
        assert "&lt;script&gt;" in shown.text


def test_reflected_words_are_quoted(people: People) -> None:
    police = people.browser("police")
    for path in ("/resources", "/directory", "/applications", "/grants"):
        harmless(police.get(path, q=VILE, state=VILE, side=VILE, provider=VILE, cursor=VILE, kind=VILE, under=VILE))
    for path in ("/resources/%3Cscript%3Ealert(1)%3C%2Fscript%3E", "/directory/%22%3E%3Cimg%20src%3Dx%3E"):
        page = police.get(path)
        assert page.status_code == 404
        harmless(page)
