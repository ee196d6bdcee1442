"""Refused rows in their provider's hands."""

from __future__ import annotations

from tests.exchange.api.programmes import Programmes
from tests.exchange.engine.town import SYNC, identity_number


def test_shown_repaired_and_replayed(calls: Programmes) -> None:
    calls.collected()
    row = calls.get("police", f"/exchanges/{SYNC}/quarantine")["items"][0]
    assert calls.get("police", "/quarantine", exchange=SYNC)["items"] == [row]
    assert calls.get("tax", "/quarantine")["items"] == []
    shown = calls.get("police", f"/quarantine/{row['id']}")
    assert [each["name"] for each in shown["items"] if each["reasons"]] == ["id_no"]
    changes = {"id_no": identity_number(1)}
    calls.post("police", f"/quarantine/{row['id']}/repair", 204, changes=changes, reason="录入错误")
    ended = calls.done("police", calls.post("police", f"/exchanges/{SYNC}/replays", 202))
    assert ended["result"]["counts"]["written"] == 1
    assert identity_number(1) in calls.town.rows("library")


def test_given_up_once(calls: Programmes) -> None:
    calls.collected()
    row = calls.get("police", "/quarantine")["items"][0]
    calls.post("police", f"/quarantine/{row['id']}/drop", 204, reason="查无此人")
    assert calls.ask("police", "POST", f"/quarantine/{row['id']}/drop", json={"reason": "x"}).status_code == 409
