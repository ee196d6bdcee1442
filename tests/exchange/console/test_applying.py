from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from httpx import Response

from tests.exchange.console.reading import VILE, follow, form, harmless, text
from tests.exchange.engine.town import CODE, HERE, POLICE, TAX, Town
from tests.exchange.site.people import Browser, People

PATH = f"/directory/{CODE.replace('/', '%2F')}/apply"
UNTIL = (date.today() + timedelta(days=90)).isoformat()  # noqa: DTZ011
GOOD = {
    "basis": "《税收征收管理法》",
    "scene": "个人所得税核验",
    "scope": "本区纳税人",
    "until": UNTIL,
    "items": ["id_no", "name", "district", "ver"],
    "mask-id_no": "clear",
    "why-id_no": "按号码办理",
}


def send(browser: Browser, **changes: Any) -> Response:
    return browser.post(PATH, **form(browser.get(PATH), PATH) | GOOD | changes)


def test_what_is_missing_is_told_before_anything_is_entered(people: People, town: Town) -> None:
    tax = people.browser("tax")
    answer = tax.post(PATH, **form(tax.get(PATH), PATH) | {"scope": "本区"})
    assert answer.status_code == 422
    assert all(word in text(answer) for word in ("使用依据", "使用场景", "截止日期", "申请信息项"))
    assert form(answer, PATH)["scope"] == "本区"
    with town.hub() as hub:
        assert len(hub.directory.applications(by=town.actor("tax"))) == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"until": "明天"}, "until"),
        ({"quota_rows": "很多"}, "quota_rows"),
        ({"quota_rows": "0"}, "quota_rows"),
        ({"why-id_no": ""}, "why-id_no"),
        ({"object": "person"}, "endpoint"),
    ],
)
def test_what_is_wrong_stands_beside_its_field(people: People, changes: dict[str, str], field: str) -> None:
    answer = send(people.browser("tax"), **changes)
    assert answer.status_code == 422
    assert f'href="#f-{field}"' in answer.text
    assert "共享申请 ›" not in text(answer)


def test_conditions_come_and_go_without_script(people: People, town: Town) -> None:
    tax = people.browser("tax")
    page = send(tax, do="add")
    assert page.status_code == 200
    first = {"cond-0-item": "district", "cond-0-value": HERE}
    page = tax.post(PATH, **form(page, PATH) | first | {"do": "add"})
    second = {"cond-1-item": "born", "cond-1-op": "between", "cond-1-value": "1900-01-01；1950-01-01", "joined": "any"}
    page = tax.post(PATH, **form(page, PATH) | second | {"do": "add"})
    fields = form(page, PATH)
    assert (fields["cond-1-op"], fields["joined"]) == ("between", "any")
    told = follow(tax, tax.post(PATH, **fields | {"cond-2-item": "name", "cond-2-op": "not_null"}))
    assert "等待提供部门答复" in text(told)
    with town.hub() as hub:
        rows = hub.directory.applications(by=town.actor("tax"))[0].asked["filter"]
    assert rows == {
        "any": [
            {"item": "district", "is": HERE},
            {"item": "born", "between": ["1900-01-01", "1950-01-01"]},
            {"item": "name", "is_null": False},
        ]
    }
    left = tax.post(PATH, **fields | {"do": "remove-0"})
    assert form(left, PATH)["cond-0-item"] == "born"


def test_what_the_rules_would_say_is_told_without_a_trace(people: People, town: Town) -> None:
    tax = people.browser("tax")
    told = send(tax, do="assess")
    assert (told.status_code, "提交后由提供部门答复" in text(told)) == (200, True)
    yesterday = (date.today() - timedelta(days=2)).isoformat()  # noqa: DTZ011
    refused = send(tax, until=yesterday)
    assert (refused.status_code, "已经过去" in text(refused)) == (422, True)
    with town.hub() as hub:
        assert len(hub.directory.applications(by=town.actor("tax"))) == 1
    kept = follow(tax, tax.post(PATH, **form(refused, PATH) | {"accepted": "refused"}))
    assert "未同意" in text(kept)


def test_the_same_form_twice_is_one_application(people: People, town: Town) -> None:
    tax = people.browser("tax")
    fields = form(tax.get(PATH), PATH) | GOOD
    first, second = tax.post(PATH, **fields), tax.post(PATH, **fields)
    assert first.headers["location"] == second.headers["location"]
    with town.hub() as hub:
        assert len(hub.directory.applications(by=town.actor("tax"))) == 2


def test_nobody_asks_for_others_or_has_rows_sent_to_them(people: People, town: Town) -> None:
    tax = people.browser("tax")
    made = send(tax, department=POLICE, resource="101001001/9999")
    with town.hub() as hub:
        entry = hub.directory.application(made.headers["location"].rpartition("/")[2], by=town.actor("tax"))
    assert (entry.department, entry.resource) == (TAX, CODE)
    assert send(tax, endpoint="police", object="inf_person").status_code == 403
    assert send(tax, do="assess", endpoint="library", object="x").status_code == 403
    assert people.browser("chief").get(PATH).status_code == 403
    assert "不需要申请" in text(send(people.browser("police"), do="assess"))
    assert tax.get(PATH.replace("0001", "0404")).status_code == 404


def test_a_vile_application_is_quoted_everywhere(people: People) -> None:
    tax = people.browser("tax")
    vile = dict.fromkeys(("basis", "scene", "scope", "why-id_no", "to-name"), VILE)
    harmless(send(tax, **vile, until=VILE, quota_rows=VILE))
    page = send(tax, **vile, endpoint="tax", object=VILE)
    name = page.headers["location"]
    assert "&lt;script&gt;" in tax.get(name).text
    for login, path in (("tax", name), ("chief", name), ("tax", "/applications"), ("chief", "/")):
        harmless(people.browser(login).get(path))
    chief = people.browser("chief")
    action = f"{name}/decide"
    harmless(chief.post(action, **form(chief.get(name), action) | {"reasons": VILE, "until": VILE}, answer="approve"))
    follow(chief, chief.post(action, **form(chief.get(name), action) | {"reasons": VILE}, answer="approve"))
    grant = chief.get(name).text.partition('href="/grants/')[2].partition('"')[0]
    for login, path in (("tax", name), ("tax", f"/grants/{grant}"), ("chief", "/grants")):
        harmless(people.browser(login).get(path))
