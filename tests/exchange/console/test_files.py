"""Files on pages: followed from drop to receipts; a name is for its provider and who oversees the hub."""

from __future__ import annotations

from pathlib import Path

import pytest

from exchange.settings import Role
from tests.exchange.console.stories import EVIL, ended, harmless, officer, text_of
from tests.exchange.engine.test_files import Desk
from tests.exchange.engine.test_resending import deliver, here, make
from tests.exchange.engine.town import SYNC, TAX, Town, person
from tests.exchange.site.people import People

NAME = "people_张某.csv"
STRANGE = "people_<script>alert('x')<.csv"


@pytest.fixture
def desk(town: Town, tmp_path: Path) -> Desk:
    """One file taken, one refused, one that waits; what was collected is shared."""
    root = tmp_path / "desk"
    root.mkdir()
    desk = Desk(town, root)
    desk.offer()
    desk.put(NAME, person(1), person(2))
    desk.put(STRANGE, person(3), broken=True)
    desk.run()
    town.run(town.share)
    desk.put("people_later.csv", person(4))
    return desk


def test_a_file_is_followed_to_its_receipts(desk: Desk, people: People, town: Town) -> None:
    browser = people.browser("police")
    listed = browser.get("/files")
    assert NAME in listed.text
    harmless(listed)
    taken, refused = sorted(row.id for row in people.hub.files.found(by=people.actor("police")))
    followed = text_of(browser.get(f"/files/{taken}"))
    assert town.receipts(SYNC)[0].id in followed
    assert town.receipts(town.share)[0].id in followed
    shown = browser.get(f"/files/{refused}")
    assert "已退回" in shown.text
    harmless(shown)
    assert browser.post(f"/files/{refused}/retry", exchange=SYNC).status_code == 303
    assert "待重试" in browser.get(f"/files/{refused}").text
    assert browser.post(f"/files/{taken}/retry", exchange=SYNC).status_code == 409


def test_runs_lead_to_their_pages_for_those_who_may_see_them(desk: Desk, people: People, town: Town) -> None:
    taken = min(row.id for row in people.hub.files.found(by=people.actor("police")))
    collected, shared = (f'href="/runs/{town.receipts(each)[0].run}"' for each in (SYNC, town.share))
    page = people.browser("police").get(f"/files/{taken}").text
    assert collected in page
    assert shared in page
    # The collection was between the police and the hub.
    page = people.browser("tax").get(f"/files/{taken}").text
    assert collected not in page
    assert shared in page


def test_a_delivery_is_sent_again_from_the_page_of_its_run(people: People, town: Town, tmp_path: Path) -> None:
    make(town, tmp_path / "drop")
    run = deliver(town, *here(1))
    browser = people.browser("integrator")
    assert f'action="/runs/{run}/resend"' in browser.get(f"/runs/{run}").text
    assert f'action="/runs/{run}/resend"' not in people.browser("police").get(f"/runs/{run}").text
    begun = browser.post(f"/runs/{run}/resend")
    assert (begun.status_code, begun.headers["location"]) == (303, f"/exchanges/{town.share}")
    again = ended(people, town.share).result
    assert again is not None
    assert len(list((tmp_path / "drop").glob("people_*.csv"))) == 2
    assert run in text_of(browser.get(f"/runs/{again.id}"))
    collected = town.runs(SYNC)[-1].id
    assert "/resend" not in browser.get(f"/runs/{collected}").text
    assert browser.post("/runs/nothing/resend").status_code == 404


def test_a_recipient_is_told_no_name(desk: Desk, people: People) -> None:
    browser = people.browser("tax")
    listed = browser.get("/files")
    taken = min(row.id for row in people.hub.files.found(by=people.actor("tax")))
    assert f'href="/files/{taken}"' in listed.text
    for page in (listed, browser.get(f"/files/{taken}")):
        assert page.status_code == 200
        assert "张某" not in page.text
    assert "没有这样的文件" in browser.get("/files", name=NAME).text
    assert browser.post(f"/files/{taken}/retry", exchange=SYNC).status_code == 403


def test_what_waits_is_seen_by_its_provider(desk: Desk, people: People) -> None:
    page = people.browser("police").get("/files/waiting", name=SYNC)
    assert "people_later.csv" in page.text
    harmless(page)
    foreign = officer(people, "taxman", TAX, Role.INTEGRATOR)
    assert foreign.get("/files/waiting", name=SYNC).status_code == 403
    assert people.browser("police").get("/files/waiting", name="none").status_code == 404
    harmless(people.browser("police").get("/files/waiting", name=EVIL))


def test_filters_find(desk: Desk, people: People) -> None:
    browser = people.browser("integrator")
    assert NAME not in browser.get("/files", state="refused").text
    assert NAME in browser.get("/files", state="taken", exchange=SYNC, name=NAME).text
    harmless(browser.get("/files", state=EVIL, exchange=EVIL, name=EVIL))
