"""Exchanges: looked at, run, paused, set."""

from __future__ import annotations

import threading

from tests.exchange.api.programmes import Programmes
from tests.exchange.engine.town import SYNC, person


def test_a_run_is_begun_and_followed(calls: Programmes) -> None:
    calls.town.report(*map(person, range(1, 5)))
    answer = calls.ask("integrator", "POST", f"/exchanges/{SYNC}/runs")
    assert answer.status_code == 202
    work = answer.json()
    assert answer.headers["location"] == f"/api/v1/works/{work['id']}"
    assert work["run"]
    ended = calls.done("integrator", work)
    assert (ended["state"], ended["result"]["state"], ended["result"]["counts"]["written"]) == ("done", "settled", 4)
    assert ended["run"] == ended["result"]["id"]
    assert calls.get("integrator", f"/exchanges/{SYNC}")["run"] == ended["run"]
    assert calls.ask("police", "GET", f"/works/{work['id']}").status_code == 404


def test_the_same_run_under_one_key_is_begun_once(calls: Programmes) -> None:
    calls.town.report(person(1))
    headers = {"Idempotency-Key": "run-1"}
    first = calls.ask("integrator", "POST", f"/exchanges/{SYNC}/runs", headers=headers)
    calls.done("integrator", first.json())
    again = calls.ask("integrator", "POST", f"/exchanges/{SYNC}/runs", headers=headers)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json()["id"] == first.json()["id"]
    assert len(calls.town.runs(SYNC)) == 1


def test_who_comes_when_it_is_under_way_comes_later(calls: Programmes) -> None:
    go = threading.Event()
    work = calls.people.app.state.working.start(f"run {SYNC}", lambda _tell: go.wait(30))
    answer = calls.ask("integrator", "POST", f"/exchanges/{SYNC}/runs")
    assert (answer.status_code, answer.json()["retry"]) == (503, True)
    assert "retry-after" in answer.headers
    go.set()
    work.wait(30)


def test_paused_set_and_resumed(calls: Programmes) -> None:
    share = calls.town.share
    assert calls.post("integrator", f"/exchanges/{share}/pause", reason="检修") == {"exchanges": [share]}
    answer = calls.ask("integrator", "POST", f"/exchanges/{share}/runs")
    assert answer.status_code == 409
    assert calls.get("tax", f"/exchanges/{share}")["resting"]
    assert calls.post("integrator", f"/exchanges/{share}/resume", reason="好了") == {"exchanges": [share]}
    looked = calls.ask("integrator", "GET", f"/exchanges/{share}/settings")
    given = {"schedule": "30 2 * * *", "tolerance": {"rows": 3}}
    put = calls.ask(
        "integrator", "PUT", f"/exchanges/{share}/settings", json=given, headers={"If-Match": looked.headers["etag"]}
    )
    assert put.status_code == 200, put.text
    assert calls.get("tax", f"/exchanges/{share}/settings")["schedule"] == "30 2 * * *"
    tag = put.headers["etag"]
    wrong = calls.ask(
        "integrator", "PUT", f"/exchanges/{share}/settings", json={"schedule": "x"}, headers={"If-Match": tag}
    )
    assert wrong.status_code == 422
    assert calls.ask("integrator", "PUT", f"/exchanges/{share}/settings", json=given).status_code == 428


def test_what_it_will_do_and_whether_it_fits(calls: Programmes) -> None:
    share = calls.town.share
    assert calls.get("tax", f"/exchanges/{share}/plan")["target"] == {"endpoint": "tax", "object": "person"}
    assert calls.get("tax", f"/exchanges/{share}/fit") == []
    script = calls.ask("tax", "GET", f"/exchanges/{share}/script")
    assert "CREATE TABLE" in script.text
    compared = calls.get("tax", f"/exchanges/{share}/structures")
    assert (compared["held"], [each["side"] for each in compared["sides"]]) == (False, ["source", "target"])
    assert [each["id"] for each in calls.get("police", "/exchanges", kind="sharing")["items"]] == [share]


def test_reconciled(calls: Programmes) -> None:
    calls.collected()
    share = calls.town.share
    assert calls.done("integrator", calls.post("integrator", f"/exchanges/{share}/runs", 202))["state"] == "done"
    found = calls.done("integrator", calls.post("integrator", f"/exchanges/{share}/reconciliations", 202))
    assert found["result"]["agrees"] is True
