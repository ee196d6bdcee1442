"""Tokens: shown once, one's own, and taken back."""

from __future__ import annotations

import pytest

from tests.exchange.console.test_accounts import EVIL, facing, secret
from tests.exchange.engine.town import TAX
from tests.exchange.site.people import People


def test_a_token_of_ones_own(people: People) -> None:
    tax = facing(people, "tax", "/tokens")
    issued = tax.post("/tokens", purpose="对账程序", scopes="read", days="30")
    assert issued.status_code == 200
    shown = secret(issued.text)
    assert "只显示这一次" in issued.text
    presence = people.hub.tokens.bearer(shown)
    assert presence is not None
    assert (presence.account, presence.may_write) == ("tax", False)
    page = tax.get("/tokens").text
    assert shown not in page
    assert "对账程序" in page
    token = presence.token or ""
    assert tax.post(f"/tokens/{token}/revoke", reason=" ").status_code == 422
    assert tax.post(f"/tokens/{token}/revoke", reason="不用了").status_code == 303
    assert people.hub.tokens.bearer(shown) is None
    assert tax.post(f"/tokens/{token}/revoke", reason="再一次").status_code == 409


def test_nobody_sees_or_revokes_anothers(people: People) -> None:
    issued = facing(people, "tax", "/tokens").post("/tokens", purpose="对账程序", scopes="write", days="30")
    token = (people.hub.tokens.bearer(secret(issued.text)) or people).token  # type: ignore[union-attr]  # there is one
    police = facing(people, "police", "/tokens")
    assert str(token) not in police.get("/tokens").text
    assert str(token) not in police.get("/tokens", all="1").text
    assert police.post(f"/tokens/{token}/revoke", reason="x").status_code == 403
    assert police.post("/tokens", purpose="x", scopes="read", days="1", login="tax").status_code == 403
    assert str(token) in people.browser("auditadmin").get("/tokens", all="1").text
    assert str(token) not in people.browser("auditadmin").get("/tokens").text
    auditor = facing(people, "auditadmin", "/tokens")
    assert auditor.post(f"/tokens/{token}/revoke", reason="x").status_code == 403
    security = facing(people, "secadmin", "/tokens")
    taken = security.post(f"/tokens/{token}/revoke", reason="泄露", back="/tokens?all=1")
    assert (taken.status_code, taken.headers["location"]) == (303, "/tokens?all=1")


def test_a_token_of_a_programme(people: People) -> None:
    system = facing(people, "sysadmin", "/accounts")
    made = system.post("/accounts", login="tax-app", name="税务程序", department=TAX, kind="programme")
    assert made.headers["location"] == "/accounts/tax-app"
    assert "为这个程序签发令牌" in system.get("/accounts/tax-app").text
    issued = system.post("/tokens", purpose="核验", scopes="read", days="30", login="tax-app")
    assert 'href="/accounts/tax-app"' in issued.text
    presence = people.hub.tokens.bearer(secret(issued.text))
    assert presence is not None
    assert presence.account == "tax-app"
    assert facing(people, "secadmin", "/tokens").post(
        "/tokens", purpose="x", scopes="read", days="1", login="tax-app"
    ).status_code == 403  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "beside"),
    [
        ({"purpose": "", "days": "30"}, "p-purpose"),
        ({"purpose": "x", "days": "0"}, "p-days"),
        ({"purpose": "x", "days": EVIL}, "p-days"),
        ({"purpose": "x", "days": "99999"}, "p-days"),
        ({"purpose": "x", "days": "3", "scopes": "root"}, "p-scopes"),
        ({"purpose": "x" * 300, "days": "3"}, "p-purpose"),
    ],
)
def test_what_is_wrong_stands_beside_its_field(people: People, fields: dict[str, str], beside: str) -> None:
    answer = facing(people, "tax", "/tokens").post("/tokens", **fields)
    assert answer.status_code == 422
    assert f'id="{beside}"' in answer.text
    assert "<script>alert" not in answer.text


def test_a_purpose_that_is_markup_is_only_text(people: People) -> None:
    tax = facing(people, "tax", "/tokens")
    issued = tax.post("/tokens", purpose=EVIL, scopes="read", days="1").text
    for page in (issued, tax.get("/tokens").text, people.browser("auditadmin").get("/accounts/tax").text):
        assert "&lt;script&gt;alert(1)" in page
        assert "<script>alert" not in page
        assert "<img src=x" not in page


def test_after_revoking_one_goes_nowhere_else(people: People) -> None:
    tax = facing(people, "tax", "/tokens")
    issued = tax.post("/tokens", purpose="x", scopes="read", days="1").text
    token = (people.hub.tokens.bearer(secret(issued)) or people).token  # type: ignore[union-attr]  # there is one
    answer = tax.post(f"/tokens/{token}/revoke", reason="x", back="//elsewhere.example/")
    assert answer.headers["location"] == "/tokens"
