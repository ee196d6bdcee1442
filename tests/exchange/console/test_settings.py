"""Settings on a page: changed for a reason by one, seen by another, nobody else's business."""

from __future__ import annotations

from tests.exchange.console.stories import EVIL, harmless
from tests.exchange.site.people import People

HERE = "/settings/accounts.idle_minutes"


def test_one_is_changed_and_set_back(people: People) -> None:
    system = people.browser("sysadmin")
    assert "无操作多少分钟后退出" in system.get("/settings").text
    assert system.post(HERE, value="15", reason="从严").headers["location"] == "/settings"
    page = system.get("/settings").text
    assert "已变更" in page
    assert "从严" in page
    assert people.hub.current.accounts.idle_minutes == 15
    seen = people.browser("auditadmin").get("/settings").text
    assert "从严" in seen
    assert '<form method="post" action="/settings' not in seen
    assert system.post(f"{HERE}/reset", reason="结束").status_code == 303
    assert people.hub.current.accounts.idle_minutes == 30


def test_what_is_wrong_is_said_and_kept_where_it_was_written(people: People) -> None:
    system = people.browser("sysadmin")
    system.get("/settings")
    wrong = system.post(HERE, value="0", reason="从严")
    assert wrong.status_code == 422
    assert "不得小于 1" in wrong.text
    assert "<details open>" in wrong.text
    assert 'value="从严"' in wrong.text
    vile = system.post(HERE, value=EVIL, reason=EVIL)
    assert vile.status_code == 422
    harmless(vile)
    assert system.post("/settings/accounts.oidc", value="1", reason="x").status_code == 404
    assert system.post(f"{HERE}/reset", reason="x").status_code == 409


def test_nobody_else_changes_any(people: People) -> None:
    for login in ("auditadmin", "secadmin", "police"):
        browser = people.browser(login)
        browser.get("/me")
        assert browser.post(HERE, value="15", reason="x").status_code == 403
    assert people.browser("secadmin").get("/settings").status_code == 403


def test_the_rate_of_pages_goes_by_it(people: People) -> None:
    browser = people.fresh("police")
    people.hub.overrides.set("web.calls_per_minute", 10, reason="限流", by=people.actor("sysadmin"))
    statuses = [browser.get("/me").status_code for _ in range(4)]
    assert 429 in statuses
