"""What is owed to recipients of files on pages: seen by whom it concerns, tried again, withdrawn."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from exchange.settings import Role
from tests.exchange.console.stories import EVIL, harmless, officer
from tests.exchange.engine.drops import Drops
from tests.exchange.engine.town import Town
from tests.exchange.site.people import People, people_of


@pytest.fixture
def drops(town: Town) -> Drops:
    made = Drops(town, 2)
    made.collect(1)
    return made


@pytest.fixture
def crowd(drops: Drops) -> Iterator[People]:
    with people_of(drops.town) as people:
        yield people


def test_the_hub_s_people_see_all_and_a_recipient_its_own(crowd: People, drops: Drops) -> None:
    page = crowd.browser("integrator").get("/messages")
    assert all(share in page.text for share in drops.shares)
    assert "可用" in page.text
    own = crowd.browser("clerk0").get("/messages")
    assert drops.shares[0] in own.text
    assert drops.shares[1] not in own.text
    assert crowd.browser("clerk0").get("/messages", recipient=drops.recipients[1]).status_code == 403
    assert "什么都不欠" in crowd.browser("integrator").get("/messages", state="dead").text
    harmless(crowd.browser("integrator").get("/messages", state=EVIL, recipient=EVIL))


def test_one_is_withdrawn_for_a_reason_and_tried_again(crowd: People, drops: Drops) -> None:
    browser = crowd.browser("integrator")
    number = min(row.id for row in crowd.hub.messages.listed(by=crowd.actor("integrator")))
    here = f"/messages/{number}"
    assert "待发消息" in browser.get(here).text
    assert browser.post(f"{here}/withdraw", reason="").status_code == 422
    assert browser.post(f"{here}/withdraw", reason=EVIL).status_code == 303
    shown = browser.get(here)
    assert "已撤回" in shown.text
    harmless(shown)
    assert browser.post(f"{here}/withdraw", reason="又一次").status_code == 409
    assert browser.post(f"{here}/requeue").status_code == 303
    assert "待发消息" in browser.get(here).text
    assert browser.post("/messages/requeue").status_code == 303


def test_the_run_that_made_it_leads_to_its_page(crowd: People, drops: Drops) -> None:
    row = crowd.hub.messages.listed(by=crowd.actor("integrator"))[0]
    link = f'<a class="code" href="/runs/{row.run}">'
    assert link in crowd.browser("integrator").get(f"/messages/{row.id}").text
    # What was collected from a provider is not for recipients.
    own = officer(crowd, "carrier", row.recipient, Role.INTEGRATOR).get(f"/messages/{row.id}")
    assert row.run in own.text
    assert link not in own.text


def test_another_recipient_s_is_not_there(crowd: People, drops: Drops) -> None:
    own, other = drops.recipients
    foreign = officer(crowd, "carrier", own, Role.INTEGRATOR)
    rows = {row.recipient: row.id for row in crowd.hub.messages.listed(by=crowd.actor("integrator"))}
    assert foreign.get(f"/messages/{rows[own]}").status_code == 200
    assert foreign.get(f"/messages/{rows[other]}").status_code == 404
    assert foreign.post(f"/messages/{rows[other]}/withdraw", reason="x").status_code == 403
    assert foreign.post(f"/messages/{rows[other]}/requeue").status_code == 403
    assert drops.states() == ["owed", "owed"]
