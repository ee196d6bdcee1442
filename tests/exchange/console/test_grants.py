from __future__ import annotations

from datetime import date, timedelta

from tests.exchange.console.reading import follow, form, text
from tests.exchange.engine.town import SYNC, Town
from tests.exchange.site.people import People


def test_what_may_move_and_why(people: People, town: Town) -> None:
    path = f"/grants/{town.grant}"
    page = text(people.browser("tax").get(path))
    for words in ("现在可以放行", "《税收征收管理法》", "姓名只留首字", "原值", "税务局使用人口基本信息", "321202"):
        assert words in page
    assert (date.today() + timedelta(days=300)).isoformat() in page  # noqa: DTZ011
    assert people.browser("centre").get(path).status_code == 403
    assert people.browser("centre").get("/grants/G0404").status_code == 404


def test_lists_by_side_state_and_kind(people: People, town: Town) -> None:
    tax, chief = people.browser("tax"), people.browser("chief")
    assert town.grant in text(tax.get("/grants", side="sent"))
    assert town.grant not in text(tax.get("/grants", side="received"))
    assert town.grant in text(chief.get("/grants", side="received", kind="sharing", state="active"))
    assert town.grant not in text(chief.get("/grants", kind="collection"))
    assert "归集" in text(chief.get("/grants", kind="collection"))
    assert town.grant not in text(people.browser("centre").get("/grants", kind="sharing"))
    assert tax.get("/grants", cursor="x").status_code == 422
    assert SYNC not in text(tax.get("/grants"))


def test_suspended_resumed_and_revoked_with_reasons(people: People, town: Town) -> None:
    chief, path = people.browser("chief"), f"/grants/{town.grant}"
    action = f"{path}/change"
    refused = chief.post(action, **form(chief.get(path), action), action="suspend")
    assert (refused.status_code, "须说明理由" in text(refused)) == (422, True)
    for change, said, then in (
        ("suspend", "已中止", "现在不能放行"), ("resume", "已恢复", "现在可以放行"),
        ("revoke", "已撤销", "现在不能放行"),
    ):  # fmt: skip
        answer = chief.post(action, **form(chief.get(path), action) | {"reason": "核查"}, action=change)
        page = text(follow(chief, answer))
        assert said in page
        assert then in page
    late = chief.post(action, reason="再来", action="resume")
    assert late.status_code == 409
    assert "变更授权" not in text(chief.get(path))


def test_nobody_changes_what_is_not_his(people: People, town: Town) -> None:
    path = f"/grants/{town.grant}/change"
    for login in ("tax", "police", "centre", "auditor", "sysadmin", "integrator"):
        browser = people.fresh(login)
        assert browser.post(path, action="revoke", reason="x").status_code == 403, login
    assert people.fresh("chief").post(path, action="dance", reason="x").status_code == 404
    assert people.fresh("security").post(path, action="suspend", reason="检查").status_code == 303
