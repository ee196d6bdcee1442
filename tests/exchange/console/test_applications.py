from __future__ import annotations

import pytest

from exchange.authorisation import Application
from tests.exchange.console.reading import follow, form, text
from tests.exchange.engine.town import Town, application
from tests.exchange.site.people import People


@pytest.fixture
def asked(town: Town) -> str:
    """An application nobody has answered."""
    with town.hub() as hub:
        return hub.sharing.apply(Application.model_validate(application(scene="另一项")), by=town.actor("tax"))


def test_both_sides_find_it_and_others_do_not(people: People, asked: str) -> None:
    path = f"/applications/{asked}"
    for login, side, other in (("tax", "sent", "received"), ("chief", "received", "sent")):
        browser = people.browser(login)
        assert asked in text(browser.get("/applications", side=side))
        assert asked not in text(browser.get("/applications", side=other))
        assert asked not in text(browser.get("/applications", side=side, state="granted"))
        assert browser.get(path).status_code == 200
    assert asked in text(people.browser("auditor").get("/applications"))
    centre = people.browser("centre")
    assert asked not in text(centre.get("/applications"))
    assert centre.get(path).status_code == 403
    assert centre.get("/applications/A0404").status_code == 404
    assert people.browser("tax").get("/applications", cursor="x").status_code == 422


def test_yes_but_less(people: People, town: Town, asked: str) -> None:
    chief, action = people.browser("chief"), f"/applications/{asked}/decide"
    page = chief.get(f"/applications/{asked}")
    assert "所在区" in text(page)
    less = {"items": ["id_no", "name", "district", "ver"], "quota_rows": "1000", "rows_per_minute": "10"}
    reasons = "依法履职所需\n\n限一千行"
    follow(chief, chief.post(action, **form(page, action) | less | {"reasons": reasons}, answer="approve"))
    with town.hub() as hub:
        entry = hub.directory.application(asked, by=town.actor("tax"))
        granted = hub.directory.grant(entry.grant or "", by=town.actor("tax"))
    assert entry.decisions[0].reasons[:2] == ("依法履职所需", "限一千行")
    assert granted.granted["items"] == ["id_no", "name", "district", "ver"]
    assert (granted.quota_rows, granted.granted["rows_per_minute"]) == (1000, 10)
    shown = people.browser("tax").get(f"/applications/{asked}")
    assert "限一千行" in text(shown)
    assert f"/grants/{granted.id}" in shown.text


def test_wider_than_asked_is_refused_and_what_was_written_is_kept(people: People, asked: str) -> None:
    chief, action = people.browser("chief"), f"/applications/{asked}/decide"
    fields = form(chief.get(f"/applications/{asked}"), action) | {"reasons": "写过的", "until": "2099-01-01"}
    answer = chief.post(action, **fields, answer="approve")
    assert answer.status_code == 403
    assert "不在所申请的" in text(answer)
    assert (form(answer, action)["reasons"], form(answer, action)["until"]) == ("写过的", "2099-01-01")
    assert chief.post(action, **fields | {"until": "", "quota_rows": "许多"}, answer="approve").status_code == 422
    assert chief.post(action, **fields).status_code == 422


def test_no_has_to_be_said_why(people: People, asked: str) -> None:
    chief, action = people.browser("chief"), f"/applications/{asked}/decide"
    fields = form(chief.get(f"/applications/{asked}"), action)
    assert chief.post(action, **fields, answer="refuse").status_code == 422
    page = follow(chief, chief.post(action, **fields | {"reasons": "使用依据不足"}, answer="refuse"))
    assert "使用依据不足" in text(page)
    late = chief.post(action, **fields | {"reasons": "再来"}, answer="refuse")
    assert late.status_code == 409


def test_nobody_answers_for_others(people: People, asked: str) -> None:
    for login, status in (("tax", 403), ("centre", 403), ("police", 403), ("auditor", 403), ("sysadmin", 403)):
        browser = people.fresh(login)
        assert browser.post(f"/applications/{asked}/decide", answer="approve").status_code == status
    assert "答复" not in form(people.browser("tax").get(f"/applications/{asked}"), f"/applications/{asked}/withdraw")


def test_what_is_not_answered_is_taken_back(people: People, asked: str) -> None:
    tax, action = people.browser("tax"), f"/applications/{asked}/withdraw"
    police = people.fresh("police")
    assert police.post(action).status_code == 403
    page = follow(tax, tax.post(action, **form(tax.get(f"/applications/{asked}"), action) | {"reason": "写错了"}))
    assert "已撤回" in text(page)
    assert tax.post(action).status_code == 409
