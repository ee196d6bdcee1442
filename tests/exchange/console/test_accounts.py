"""Accounts: the three administrators share the work, and nobody else has any of it."""

from __future__ import annotations

import re

import sqlalchemy as sa

from exchange.db.tables import AccountRow, EventRow
from tests.exchange.console.stories import field_of
from tests.exchange.engine.town import HUB, TAX
from tests.exchange.site.people import Browser, People

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
SECRET = re.compile(r'<p class="secret code"[^>]*>([^<]+)</p>')


def secret(page: str) -> str:
    found = SECRET.search(page)
    assert found
    return found[1]


def facing(people: People, login: str, path: str) -> Browser:
    """A person's browser at a page, whose form it may send next."""
    browser = people.browser(login)
    browser.get(path)
    return browser


def test_an_account_from_its_making_to_its_end(people: People) -> None:
    system, security = facing(people, "sysadmin", "/accounts"), facing(people, "secadmin", "/accounts")
    made = system.post("/accounts", login="zhang.wei", name="张伟", department=TAX, kind="person")
    assert made.status_code == 200
    password = secret(made.text)
    assert "只显示这一次" in made.text
    assert made.headers["cache-control"] == "no-store"
    assert password not in system.get("/accounts/zhang.wei").text
    given = security.post("/accounts/zhang.wei/roles", roles=["clerk", "reviewer"], department=TAX, reason="新到任")
    assert (given.status_code, given.headers["location"]) == (303, "/accounts/zhang.wei")
    assert "审核员" in security.get("/accounts/zhang.wei").text

    new = people.stranger()
    assert new.sign_in("zhang.wei", password).headers["location"] == "/me"
    own = "a new Password of 2026"
    new.get("/me")
    assert new.post("/me/password", old=password, new=own, again=own).status_code == 303
    assert new.get("/accounts/zhang.wei").status_code == 200  # one's own
    assert new.get("/accounts/tax").status_code == 403
    assert new.get("/accounts").status_code == 403
    assert "zhang.wei" in security.get("/sign-ins").text
    security.get("/accounts/zhang.wei")
    assert security.post("/accounts/zhang.wei/sign-out", reason="测试").status_code == 303
    assert new.get("/me").headers["location"].startswith("/sign-in")

    assert new.sign_in("zhang.wei", own).status_code == 303
    reset = system.post("/accounts/zhang.wei/reset")
    assert new.get("/me").headers["location"].startswith("/sign-in")
    assert people.stranger().sign_in("zhang.wei", own).status_code == 403
    assert people.stranger().sign_in("zhang.wei", secret(reset.text)).status_code == 303
    assert system.post("/accounts/zhang.wei/disable", reason="调离").status_code == 303
    assert people.stranger().sign_in("zhang.wei", secret(reset.text)).status_code == 403
    assert "停用" in system.get("/accounts/zhang.wei").text
    assert system.post("/accounts/zhang.wei/disable", reason="再一次").status_code == 409
    assert system.post("/accounts/zhang.wei/enable", reason="回来").status_code == 303
    with people.hub.database.reading() as session:
        types = session.scalars(
            sa.select(EventRow.type).where(EventRow.body["account"].as_string() == "zhang.wei")
        ).all()
        bodies = session.scalars(sa.select(EventRow.body)).all()
    assert {"AccountCreated", "AccountAssigned", "SessionsEnded", "AccountDisabled"} <= set(types)
    assert [name for name in types if name.startswith("PasswordRe")]
    assert not [body for body in bodies if password in str(body)]


def test_somebody_locked_out_is_let_in_again(people: People) -> None:
    people.browser("tax")
    for _attempt in range(people.hub.settings.accounts.failures):
        people.stranger().sign_in("tax", "wrong")
    system = facing(people, "sysadmin", "/accounts/tax")
    assert "锁定" in system.get("/accounts/tax").text
    assert system.post("/accounts/tax/unlock").status_code == 303
    assert system.post("/accounts/tax/unlock").status_code == 409


def test_an_account_is_untied_from_its_unified_identity(people: People) -> None:
    system = facing(people, "sysadmin", "/accounts/tax")
    people.browser("tax")
    assert "解除统一身份绑定" not in system.get("/accounts/tax").text
    assert system.post("/accounts/tax/unlink", reason="没有绑定").status_code == 409
    with people.hub.database.transaction() as session:
        session.get_one(AccountRow, "tax").subject = "https://sso.example u-9"
    assert "解除统一身份绑定" in system.get("/accounts/tax").text
    assert system.post("/accounts/tax/unlink", reason=" ").status_code == 422
    assert system.post("/accounts/tax/unlink", reason="换人").status_code == 303
    assert people.browser("tax").get("/me").status_code == 303, "its sessions end"
    assert "解除统一身份绑定" not in system.get("/accounts/tax").text


def test_what_is_wrong_stands_beside_its_field(people: People) -> None:
    system = facing(people, "sysadmin", "/accounts")
    answer = system.post("/accounts", login="Ä !", name=EVIL, department=TAX, kind="person")
    assert answer.status_code == 422
    assert 'id="p-login"' in answer.text
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;alert(1)" in answer.text
    taken = system.post("/accounts", login="fresh", name="税务经办", department=TAX, kind="person")
    assert 'id="p-name"' in taken.text
    assert 'value="fresh"' in taken.text
    assert system.post("/accounts", login="", name="", department="", kind="").status_code == 422
    assert system.post("/accounts", login="fresh", name="新人", department="no such", kind="person").status_code == 404


def test_what_somebody_else_has_given_meanwhile_is_not_lost(people: People) -> None:
    facing(people, "sysadmin", "/accounts").post(
        "/accounts", login="li.na", name="李娜", department=TAX, kind="unified"
    )
    security = facing(people, "secadmin", "/accounts")
    seen, given = field_of(security.get("/accounts/li.na"), "begun"), {"department": TAX, "reason": "新到任"}
    assert security.post("/accounts/li.na/roles", roles=["clerk"], begun=seen, **given).status_code == 303
    late = security.post("/accounts/li.na/roles", roles=["reviewer"], begun=seen, **given)
    assert late.status_code == 409
    assert "已由他人改动" in late.text
    again = field_of(late, "begun")
    assert security.post("/accounts/li.na/roles", roles=["reviewer"], begun=again, **given).status_code == 303


def test_names_that_are_markup_are_only_text(people: People) -> None:
    system = facing(people, "sysadmin", "/accounts")
    name = "<b>x</b>\"'><img src=x>"
    assert system.post("/accounts", login="evil", name=name, department=TAX, kind="unified").status_code == 303
    for login, path in (("sysadmin", "/accounts"), ("sysadmin", "/accounts/evil"), ("auditadmin", "/log")):
        page = people.browser(login).get(path).text
        assert "&lt;b&gt;x&lt;/b&gt;" in page
        assert "<img src=x" not in page


def test_nobody_holds_two_of_the_three_nor_changes_himself(people: People) -> None:
    security, system = facing(people, "secadmin", "/accounts"), facing(people, "sysadmin", "/accounts")
    assert security.post("/accounts/sysadmin/roles", roles=["system", "security"], reason="x").status_code == 403
    assert security.post("/accounts/secadmin/roles", roles=["security", "clerk"], reason="x").status_code == 403
    assert security.post("/accounts/tax/roles", roles=["system"], department=TAX, reason="x").status_code == 403
    assert security.post("/accounts/tax/roles", roles=["root"], reason="x").status_code == 422
    assert security.post("/accounts/tax/roles", roles=["reviewer"], reason=" ").status_code == 422
    assert system.post("/accounts/sysadmin/disable", reason="x").status_code == 403
    assert system.post("/accounts/tax/roles", roles=["clerk"], reason="x").status_code == 403
    assert security.post("/accounts", login="a1", name="甲", department=HUB, kind="person").status_code == 403
    assert security.post("/accounts/tax/reset").status_code == 403
    auditor = facing(people, "auditadmin", "/accounts")
    for path in ("/accounts/tax/disable", "/accounts/tax/roles", "/accounts/tax/reset", "/accounts/tax/sign-out"):
        assert auditor.post(path, reason="x").status_code == 403


def test_an_account_that_there_is_not(people: People) -> None:
    system = facing(people, "sysadmin", "/accounts")
    for path in ("/accounts/nobody", "/accounts/..%2F..%2Fetc", "/accounts/%3Cscript%3E"):
        answer = system.get(path)
        assert answer.status_code == 404
        assert "<script>" not in answer.text.replace('<script src="/static/console.js" defer></script>', "")
    assert system.post("/accounts/nobody/reset").status_code == 404


def test_the_list_of_a_department(people: People) -> None:
    page = people.browser("auditadmin").get("/accounts", department=TAX).text
    assert "/accounts/tax" in page
    assert "/accounts/police" not in page
    assert "还没有账号" in people.browser("auditadmin").get("/accounts", department=EVIL).text


def test_forms_from_elsewhere_do_nothing(people: People) -> None:
    system = people.fresh("sysadmin")
    system.csrf = "forged"
    assert system.post("/accounts", login="x1", name="x", department=TAX, kind="person").status_code == 403
    assert system.post("/accounts/tax/disable", reason="x").status_code == 403
    system.get("/accounts")
    answer = system.client.post(
        "/accounts/tax/disable",
        data={"csrf": system.csrf, "reason": "x"},
        headers={"sec-fetch-site": "cross-site"},
        follow_redirects=False,
    )
    assert answer.status_code == 403
