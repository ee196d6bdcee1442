"""An integrator's day, page by page: from an endpoint to a structure that was approved."""

from __future__ import annotations

from tests.exchange.console.stories import ended, field_of, text_of
from tests.exchange.engine.test_structures import redefined
from tests.exchange.engine.town import SYNC, Town, person, wrong
from tests.exchange.site.people import People


def test_the_integrator_s_day(people: People, town: Town) -> None:
    town.report(*map(person, range(6)), wrong(7))
    integrator, clerk = people.browser("integrator"), people.browser("police")

    # The endpoint: as registered, tried, looked into.
    form = integrator.get("/endpoints/police/edit")
    fields = {
        "kind": "database", "department": field_of(form, "department"), "zone": field_of(form, "zone"),
        "mark": field_of(form, "mark"), "option-product": "sqlite", "option-path": field_of(form, "option-path"),
    }  # fmt: skip
    assert integrator.post("/endpoints/police", **fields).status_code == 303
    assert "全部通过" in integrator.post("/endpoints/police/test").text
    assert "首选" in integrator.get("/endpoints/police/inspect", object="inf_person").text

    # The exchange: tried, given a time of its own, run, followed.
    assert "可以执行" in integrator.get(f"/exchanges/{SYNC}/plan").text
    assert integrator.post(f"/exchanges/{SYNC}/settings", schedule="30 2 * * *").status_code == 303
    assert integrator.post(f"/exchanges/{SYNC}/run").status_code == 303
    stream = integrator.get(f"/exchanges/{SYNC}/progress").text
    assert stream.rstrip().endswith("event: end\ndata: {}")
    run = ended(people, SYNC).result
    assert run is not None
    assert (run.counts["written"], run.counts["refused"]) == (6, 1)
    page = integrator.get(f"/exchanges/{SYNC}")
    assert "有被拒收的行待处理" in page.text

    # The refused row: mended by its provider's clerk, and sent again.
    (row,) = town.quarantined(SYNC)
    clerk.get(f"/quarantine/{row.id}")
    given = {"was-id_no": wrong(7)["id_no"], "item-id_no": person(7)["id_no"], "reason": "核对档案"}
    assert clerk.post(f"/quarantine/{row.id}/repair", **given).status_code == 303
    assert clerk.post(f"/exchanges/{SYNC}/replay").status_code == 303
    again = ended(people, SYNC).result
    assert again is not None
    assert again.counts["written"] == 1
    assert len(town.rows("library")) == 7

    # The table changes: the exchange is held until that is approved.
    redefined("police", "inf_person", "name VARCHAR(64)", "name VARCHAR(20)")(town)
    town.report(person(20))
    integrator.post(f"/exchanges/{SYNC}/run")
    assert ended(people, SYNC).error is not None
    assert "待批准" in text_of(integrator.get("/exchanges", state="held"))
    assert integrator.post(f"/structures/{SYNC}/approve", reason="已与公安局核实").status_code == 303
    integrator.post(f"/exchanges/{SYNC}/run")
    assert ended(people, SYNC).result is not None
    assert len(town.rows("library")) == 8
    assert town.faults() == []
