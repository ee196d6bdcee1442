"""Credentials on pages: issued by who may, shown once, taken back for a reason."""

from __future__ import annotations

import re

import pytest

from exchange.settings import Role
from tests.exchange.console.stories import EVIL, field_of, harmless, officer, text_of
from tests.exchange.engine.town import POLICE, TAX
from tests.exchange.site.people import People


def test_a_secret_is_shown_once(people: People) -> None:
    browser = people.browser("integrator")
    browser.get("/access")
    issued = browser.post("/access", department=POLICE, kind="token", purpose="人口推送", until="2099-01-01T00:00")
    assert issued.status_code == 200
    assert issued.headers["cache-control"] == "no-store"
    found = re.search(r'class="secret"><code>([^<]+)</code>', issued.text)
    assert found
    again = browser.get("/access")
    assert found[1] not in again.text
    assert "人口推送" in again.text
    assert "2099-01-01 00:00:00" in again.text


def test_one_is_taken_back_for_a_reason(people: People) -> None:
    browser = people.browser("integrator")
    issued = people.hub.access.issue(
        POLICE, "password", by=people.actor("integrator"), name="pusher", purpose=EVIL[:20]
    )
    page = browser.get("/access", department=POLICE)
    assert "pusher" in page.text
    assert browser.post(f"/access/{issued.id}/revoke", reason="").status_code == 422
    assert browser.post(f"/access/{issued.id}/revoke", reason="人员调离").status_code == 303
    assert "已吊销" in text_of(browser.get("/access"))
    assert browser.post(f"/access/{issued.id}/revoke", reason="人员调离").status_code == 409


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "password", "name": ""},
        {"kind": "talisman"},
        {"kind": ""},
        {"kind": "token", "until": "2000-01-01T00:00"},
        {"kind": "token", "until": "soon"},
        {"kind": "token", "name": "x"},
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_issued(people: People, fields: dict[str, str]) -> None:
    browser = people.browser("integrator")
    browser.get("/access")
    answer = browser.post("/access", department=POLICE, purpose="kept", **fields)
    assert answer.status_code == 422
    assert field_of(answer, "purpose") == "kept"
    assert 'class="secret"' not in answer.text
    assert people.hub.access.credentials(by=people.actor("integrator")) == []


def test_another_department_s_are_out_of_reach(people: People) -> None:
    issued = people.hub.access.issue(POLICE, "password", by=people.actor("integrator"), name="pusher")
    foreign = officer(people, "taxman", TAX, Role.INTEGRATOR)
    assert "pusher" not in foreign.get("/access", department=POLICE).text
    assert foreign.post("/access", department=POLICE, kind="token").status_code == 403
    assert foreign.post(f"/access/{issued.id}/revoke", reason="x").status_code == 403
    assert foreign.post("/access", department=TAX, kind="token").status_code == 200
    assert people.browser("police").get("/access").status_code == 403


def test_what_was_written_is_only_text(people: People) -> None:
    browser = people.browser("integrator")
    browser.get("/access")
    harmless(browser.post("/access", department=POLICE, kind="password", name=EVIL, purpose=EVIL))
    harmless(browser.get("/access"))
