"""Departments and endpoints through the interface."""

from __future__ import annotations

from tests.exchange.api.programmes import Programmes
from tests.exchange.engine.town import POLICE


def test_an_endpoint_is_looked_at_tested_and_changed(calls: Programmes) -> None:
    assert calls.post("integrator", "/endpoints/police/tests")["passed"] is True
    objects = calls.get("integrator", "/endpoints/police/objects")["items"]
    assert "inf_person" in [each["name"] for each in objects]
    one = calls.get("integrator", "/endpoints/police/objects/inf_person")[0]
    assert "id_no" in [each["name"] for each in one["columns"]]
    draft = calls.get("integrator", "/endpoints/police/objects/inf_person/draft", under="101001001")
    assert draft["code"] == "101001001/0002"
    looked = calls.ask("integrator", "GET", "/endpoints/police")
    given = {**looked.json(), "zone": "Asia/Urumqi"}
    put = calls.ask("integrator", "PUT", "/endpoints/police", json=given, headers={"If-Match": looked.headers["etag"]})
    assert put.json()["zone"] == "Asia/Urumqi"
    wrong = {**given, "options": {"product": "nothing"}}
    answer = calls.ask("integrator", "PUT", "/endpoints/police", json=wrong, headers={"If-Match": put.headers["etag"]})
    assert answer.status_code == 422
    elsewhere = calls.ask("integrator", "PUT", "/endpoints/other", json={**given, "name": "police"})
    assert elsewhere.status_code == 409
    others = {each["name"]: each for each in calls.get("tax", "/endpoints")["items"]}
    assert others["police"]["options"] == {}


def test_an_endpoint_rests(calls: Programmes) -> None:
    assert calls.town.share in calls.post("integrator", "/endpoints/tax/pause", reason="检修")["exchanges"]
    assert calls.town.share in calls.post("integrator", "/endpoints/tax/resume", reason="好了")["exchanges"]


def test_what_a_department_has_to_provide(calls: Programmes) -> None:
    told = calls.get("tax", f"/departments/{POLICE}/responsibility")
    assert [each["name"] for each in told["resources"]] == ["人口基本信息"]
