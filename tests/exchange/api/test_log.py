"""The log through the interface."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from pathlib import Path

from tests.exchange.api.programmes import Programmes


def test_searched_exported_and_verified(calls: Programmes) -> None:
    calls.collected()
    found = calls.get("auditor", "/log", type="RunCommitted", department="公安局", limit=1)
    assert [each["type"] for each in found["items"]] == ["RunCommitted"] or found["items"] == []
    page = calls.get("auditor", "/log", limit=2)
    assert page["next"]
    assert calls.get("auditor", "/log", limit=2, cursor=page["next"])["items"][0]["id"] < page["items"][-1]["id"]
    before = set(Path(tempfile.gettempdir()).glob("shutong-log-*"))
    answer = calls.ask("auditor", "GET", "/log/export", params={"format": "csv", "type": "RunStarted"})
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert {row["type"] for row in rows} == {"RunStarted"}
    lines = calls.ask("auditor", "GET", "/log/export").text.splitlines()
    assert len(lines) > len(rows)
    assert json.loads(lines[0])["type"]
    assert set(Path(tempfile.gettempdir()).glob("shutong-log-*")) <= before
    verified = calls.done("auditor", calls.post("auditor", "/log/verifications", 202))
    assert verified["result"]["verified"] is True
    assert calls.ask("auditor", "POST", "/log/acknowledgements", json={"reason": "无"}).status_code == 409


def test_how_fresh(calls: Programmes) -> None:
    assert calls.get("police", "/freshness")["items"]
    assert calls.get("police", "/freshness", overdue="true")["items"] == []
    assert calls.get("integrator", "/timetable")["broken"] == {}
