"""Accounts, tokens and credentials through the interface."""

from __future__ import annotations

from exchange.db.tables import AccountRow
from tests.exchange.api.programmes import Programmes
from tests.exchange.engine.town import POLICE


def test_made_given_roles_and_disabled(calls: Programmes) -> None:
    made = calls.post("sysadmin", "/accounts", 201, login="wang", name="王五", department=POLICE)
    assert made["password"]
    tag = calls.ask("secadmin", "GET", "/accounts/wang").headers["etag"]
    given = {"roles": ["clerk"], "reason": "任经办"}
    put = calls.ask("secadmin", "PUT", "/accounts/wang/roles", json=given, headers={"If-Match": tag})
    assert put.json()["roles"] == ["clerk"]
    given = {"roles": ["reviewer"], "reason": "任审核"}
    stale = calls.ask("secadmin", "PUT", "/accounts/wang/roles", json=given, headers={"If-Match": tag})
    assert stale.status_code == 412
    assert calls.post("sysadmin", "/accounts/wang/disabling", reason="离职")["state"] == "disabled"
    assert calls.post("sysadmin", "/accounts/wang/enabling", reason="返岗")["state"] == "active"
    assert calls.post("sysadmin", "/accounts/wang/password")["password"] != made["password"]
    assert calls.post("secadmin", "/accounts/wang/sign-out", reason="核查") == {"sessions": 0}
    assert calls.ask("sysadmin", "POST", "/accounts/wang/unlocking").status_code == 409
    assert calls.get("secadmin", "/sessions", login="police")["items"] == []


def test_untied_from_the_unified_identity(calls: Programmes) -> None:
    untied = {"json": {"reason": "换人"}}
    assert calls.ask("sysadmin", "POST", "/accounts/police/unlinking", **untied).status_code == 409
    with calls.hub.database.transaction() as session:
        session.get_one(AccountRow, "police").subject = "https://sso.example u-9"
    assert calls.get("sysadmin", "/accounts/police")["issuer"] == "https://sso.example"
    assert calls.post("sysadmin", "/accounts/police/unlinking", reason="换人")["issuer"] is None


def test_no_token_by_a_token(calls: Programmes) -> None:
    assert calls.ask("police", "POST", "/tokens", json={"purpose": "再来一个"}).status_code == 403


def test_credentials(calls: Programmes) -> None:
    made = calls.post("integrator", "/access", 201, department=POLICE, kind="token", purpose="推送")
    assert made["secret"]
    assert [each["id"] for each in calls.get("integrator", "/access")["items"]] == [made["id"]]
    revoked = calls.post("integrator", f"/access/{made['id']}/revocation", reason="泄露")
    assert revoked["state"] == "revoked"
