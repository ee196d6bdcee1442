"""Applications, their answers and what follows."""

from __future__ import annotations

from tests.exchange.api.programmes import Programmes
from tests.exchange.engine.town import application


def test_applied_decided_and_suspended(calls: Programmes) -> None:
    answer = calls.ask("tax", "POST", "/applications", json=application(scene="另一项业务"))
    assert answer.status_code == 201, answer.text
    asked = answer.json()
    assert answer.headers["location"] == f"/api/v1/applications/{asked['id']}"
    assert asked["state"] == "pending"
    own = calls.ask("tax", "POST", f"/applications/{asked['id']}/decision", json={"approved": True})
    assert own.status_code == 403
    given = {"approved": True, "reasons": ["依法"], "items": ["id_no", "name", "ver"]}
    decided = calls.post("chief", f"/applications/{asked['id']}/decision", **given)
    grant = decided["grant"]
    assert grant
    looked = calls.ask("tax", "GET", f"/grants/{grant}")
    changes = f"/grants/{grant}/changes"
    given = {"action": "suspend", "reason": "核查"}
    moved = calls.ask("chief", "POST", changes, json=given, headers={"If-Match": looked.headers["etag"]})
    assert moved.json()["grant"]["state"] == "suspended"
    late = {"action": "revoke", "reason": "核查"}
    stale = calls.ask("chief", "POST", changes, json=late, headers={"If-Match": looked.headers["etag"]})
    assert stale.status_code == 412
    assert calls.get("tax", f"/grants/{grant}")["state"] == "suspended"
    assert calls.get("tax", f"/grants/{grant}/explanation")["passes"] is False


def test_what_an_application_would_come_to(calls: Programmes) -> None:
    before = calls.get("tax", "/applications")
    told = calls.post("tax", "/applications/checks", **application(scene="另一项业务"))
    assert told["outcome"] == "refer"
    assert told["reasons"]
    assert set(application()["items"]) >= set(told["items"]) >= {"id_no"}
    past = calls.post("tax", "/applications/checks", **application(until="2000-01-01"))
    assert past["outcome"] == "refused"
    assert calls.ask("chief", "POST", "/applications/checks", json=application()).status_code == 403
    assert calls.get("tax", "/applications") == before


def test_withdrawn(calls: Programmes) -> None:
    asked = calls.post("tax", "/applications", 201, **application(scene="另一项业务"))
    assert calls.post("tax", f"/applications/{asked['id']}/withdrawal", reason="不用了")["state"] == "withdrawn"
    assert {each["id"] for each in calls.get("tax", "/applications", state="withdrawn")["items"]} == {asked["id"]}
    assert calls.ask("tax", "GET", "/grants", params={"kind": "sharing"}).json()["items"]
