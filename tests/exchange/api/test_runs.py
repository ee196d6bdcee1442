"""Runs: listed, traced, with their receipts."""

from __future__ import annotations

from pathlib import Path

from tests.exchange.api.programmes import Programmes
from tests.exchange.engine.test_resending import deliver, here, make
from tests.exchange.engine.town import SYNC


def test_listed_traced_and_receipted(calls: Programmes) -> None:
    run = calls.collected()
    listed = calls.get("police", "/runs", exchange=SYNC)
    assert [each["id"] for each in listed["items"]] == [run]
    assert calls.get("tax", "/runs")["items"] == []
    traced = calls.get("police", f"/runs/{run}")
    assert (traced["run"], traced["grant"]["kind"]) == (run, "collection")
    assert {"RunStarted", "RunCommitted"} <= {each["type"] for each in traced["events"]}
    receipt = calls.get("police", f"/runs/{run}/receipt")
    assert receipt["id"] == traced["receipt"]["id"]
    assert calls.ask("tax", "GET", f"/runs/{run}").status_code == 403
    assert calls.get("police", f"/runs/{run}/answers")["run"] == run
    assert "items" in calls.get("police", "/notices")


def test_pages_of_runs(calls: Programmes) -> None:
    first, second = calls.collected(), calls.collected()
    page = calls.get("police", "/runs", limit=1)
    assert [each["id"] for each in page["items"]] == [second]
    page = calls.get("police", "/runs", limit=1, cursor=page["next"])
    assert ([each["id"] for each in page["items"]], page["next"]) == ([first], None)
    assert calls.ask("police", "GET", "/runs", params={"state": "x"}).status_code == 422
    assert calls.ask("police", "GET", "/runs", params={"cursor": "x"}).status_code == 422


def test_a_delivery_of_files_is_made_once_more(calls: Programmes, tmp_path: Path) -> None:
    town = calls.town
    make(town, tmp_path / "drop")
    run = deliver(town, *here(1))
    assert calls.ask("tax", "POST", f"/runs/{run}/resends").status_code == 403
    ended = calls.done("integrator", calls.post("integrator", f"/runs/{run}/resends", 202))
    assert (ended["state"], ended["result"]["counts"]["written"]) == ("done", 1)
    traced = calls.get("integrator", f"/runs/{ended['run']}")
    assert traced["plan"]["resend"] == run
    one, two = sorted((tmp_path / "drop").glob("people_*.csv"))
    assert one.read_bytes() == two.read_bytes()
    [collected] = calls.get("integrator", "/runs", exchange=SYNC)["items"]
    assert calls.ask("integrator", "POST", f"/runs/{collected['id']}/resends").status_code == 409


def test_the_ledger_of_the_target_agrees(calls: Programmes) -> None:
    run = calls.collected()
    told = calls.get("integrator", f"/runs/{run}/ledger")
    assert (told["found"], told["written"], told["differences"]) == (True, 6, [])
    assert calls.ask("police", "GET", f"/runs/{run}/ledger").status_code == 403
