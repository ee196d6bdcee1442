"""Files, recalls and messages through the interface, in a town without any: what there is to say then."""

from __future__ import annotations

from tests.exchange.api.programmes import Programmes


def test_nothing_came_and_nothing_is_owed(calls: Programmes) -> None:
    for path in ("/files", "/recalls", "/messages"):
        assert calls.get("police", path) == {"items": [], "next": None}
    assert calls.get("integrator", "/messages/status")["transport"] == "embedded"
    assert calls.post("integrator", "/messages/requeue") == {"messages": []}
    for path in ("/files/1", "/messages/1"):
        assert calls.ask("integrator", "GET", path).status_code == 404
    share = calls.town.share
    assert calls.ask("integrator", "POST", f"/exchanges/{share}/files", json={"file": "a.csv"}).status_code == 404
    assert calls.ask("chief", "POST", "/recalls", json={"of": share, "reason": "有误"}).status_code == 409
