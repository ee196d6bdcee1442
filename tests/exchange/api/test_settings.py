"""Settings through the interface."""

from __future__ import annotations

from tests.exchange.api.programmes import Programmes


def test_changed_and_set_back(calls: Programmes) -> None:
    put = calls.ask("sysadmin", "PUT", "/settings/accounts.failures", json={"value": 4, "reason": "从严"})
    assert put.status_code == 200
    assert (put.json()["value"], put.json()["own"]) == (4, 5)
    [found] = [each for each in calls.get("auditadmin", "/settings") if each["name"] == "accounts.failures"]
    assert found == put.json()
    assert calls.post("sysadmin", "/settings/accounts.failures/reset", reason="结束")["value"] == 5
    for value in (True, "4", 4.5, None, 2):
        put = calls.ask("sysadmin", "PUT", "/settings/accounts.failures", json={"value": value, "reason": "从严"})
        assert put.status_code == 422, value
    assert calls.ask("secadmin", "GET", "/settings").status_code == 403
