"""Pages, entity tags, moments: what all calls have in common."""

from __future__ import annotations

import threading
import time

import pytest

from exchange.api.calls import tag_of
from exchange.settings import Role
from tests.exchange.api.programmes import Programmes
from tests.exchange.console.stories import officer
from tests.exchange.engine.town import POLICE, TAX


def test_pages_lead_through_everything(calls: Programmes) -> None:
    every = [each["code"] for each in calls.get("police", "/departments")["items"]]
    found, cursor = [], None
    while True:
        asked = {"limit": 1} | ({"cursor": cursor} if cursor else {})
        answer = calls.ask("police", "GET", "/departments", params=asked)
        page = answer.json()
        found += [each["code"] for each in page["items"]]
        cursor = page["next"]
        if cursor is None:
            assert "link" not in answer.headers
            break
        assert answer.headers["link"] == f'</api/v1/departments?limit=1&cursor={cursor}>; rel="next"'
    assert found == every
    assert len(every) == 3


@pytest.mark.parametrize("path", ["/resources", "/applications", "/grants", "/exchanges", "/quarantine", "/notices"])
def test_a_list_page_by_page_is_the_whole_list(calls: Programmes, path: str) -> None:
    calls.collected()
    calls.town.run(calls.town.share)
    for who in ("police", "tax", "centre", "auditor"):
        every = calls.get(who, path, limit=200)["items"]
        found, cursor = [], None
        while len(found) <= len(every):
            page = calls.get(who, path, limit=1, **({"cursor": cursor} if cursor else {}))
            found += page["items"]
            cursor = page["next"]
            if cursor is None:
                break
        assert found == every
    assert calls.get("police", path)["items"]
    assert calls.ask("police", "GET", path, params={"cursor": "ü"}).status_code == 422


@pytest.mark.parametrize("cursor", ["x", "eHg", "ü", "===="])
def test_a_cursor_is_ours(calls: Programmes, cursor: str) -> None:
    assert calls.ask("police", "GET", "/departments", params={"cursor": cursor}).status_code == 422


def test_who_has_it_already_is_told_so(calls: Programmes) -> None:
    tag = calls.ask("police", "GET", f"/departments/{POLICE}").headers["etag"]
    answer = calls.ask("police", "GET", f"/departments/{POLICE}", headers={"If-None-Match": f"W/{tag}"})
    assert (answer.status_code, answer.content) == (304, b"")
    assert tag == tag_of(calls.get("police", f"/departments/{POLICE}"))


def test_of_two_who_saw_the_same_one_comes_second(calls: Programmes) -> None:
    path, given = f"/departments/{POLICE}", {"name": "公安局", "division": "321200"}
    answer = calls.ask("integrator", "PUT", path, json=given)
    assert answer.status_code == 428
    tag = answer.headers["etag"]
    statuses = []

    def change(number: int) -> None:
        document = {**given, "short_name": f"公安{number}"}
        changed = calls.ask("integrator", "PUT", path, json=document, headers={"If-Match": tag})
        statuses.append(changed.status_code)

    both = [threading.Thread(target=change, args=(number,)) for number in range(4)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert sorted(statuses) == [200, 412, 412, 412]


def test_what_is_there_is_not_made_anew(calls: Programmes) -> None:
    given = {"name": "民政局", "division": "321200"}
    code = "11321200014442028C"
    headers = {"If-None-Match": "*"}
    assert calls.ask("integrator", "PUT", f"/departments/{code}", json=given, headers=headers).status_code == 200
    assert calls.ask("integrator", "PUT", f"/departments/{code}", json=given, headers=headers).status_code == 412


@pytest.mark.parametrize(
    ("moment", "status"), [("2026-01-01T00:00:00", 200), ("0001-01-01T00:00:00Z", 422), ("9999-12-31T23:59:59", 422)]
)
def test_moments_are_within_reason(calls: Programmes, moment: str, status: int) -> None:
    assert calls.ask("police", "GET", "/runs", params={"since": moment}).status_code == status


def test_who_may_not_see_a_thing_is_refused_and_holds_nobody_up(calls: Programmes) -> None:
    """A refusal is logged in a transaction of its own, which the one that would have changed it must not wait for."""
    officer(calls.people, "taxes", TAX, Role.INTEGRATOR)
    given = {"department": TAX, "kind": "mailbox", "zone": "Asia/Shanghai", "options": {}}
    begun = time.monotonic()
    answer = calls.ask("taxes", "PUT", "/endpoints/police", json=given, headers={"If-Match": "*"})
    assert answer.status_code == 403, answer.text
    assert time.monotonic() - begun < 10
    assert calls.get("auditor", "/log", type="AccessDenied", actor="新taxes")["items"]
