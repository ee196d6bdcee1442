"""What recipients made of delivered rows on pages: counts to both sides, their words to their own integrator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from exchange.settings import Role
from tests.exchange.console.stories import harmless, officer
from tests.exchange.engine.town import SYNC, TAX, Town, identity_number
from tests.exchange.hub.test_answers import answered
from tests.exchange.site.people import People, people_of

UNUSED = "查无此人"


@pytest.fixture
def answer_town(tmp_path: Path) -> Iterator[Town]:
    with answered(tmp_path) as town:
        yield town


@pytest.fixture
def crowd(answer_town: Town) -> Iterator[People]:
    with people_of(answer_town) as people:
        yield people


def test_counts_are_for_both_sides(crowd: People, answer_town: Town) -> None:
    run = answer_town.runs(answer_town.share)[0].id
    for login in ("police", "tax", "auditadmin"):
        assert f'href="/runs/{run}/answers"' in crowd.browser(login).get(f"/runs/{run}").text
        page = crowd.browser(login).get(f"/runs/{run}/answers")
        assert '<td class="number">1</td><td class="number">0</td><td class="number">1</td>' in page.text
        assert UNUSED not in page.text
        harmless(page)
        assert crowd.browser(login).get(f"/runs/{run}/answers", rows="1").status_code == 403


def test_failed_rows_are_for_the_recipient_s_integrator(crowd: People, answer_town: Town) -> None:
    browser = officer(crowd, "taxman", TAX, Role.INTEGRATOR)
    here = f"/runs/{answer_town.runs(answer_town.share)[0].id}/answers"
    assert f'href="{here}?rows=1"' in browser.get(here).text
    rows = browser.get(here, rows="1")
    assert UNUSED in rows.text
    assert f"id_no={identity_number(1)}" not in rows.text
    assert f"id_no={identity_number(1)}" in browser.get(here, rows="1", keys="1").text


def test_the_recipient_is_asked_now(crowd: People, answer_town: Town) -> None:
    here = f"/runs/{answer_town.runs(answer_town.share)[0].id}/answers"
    browser = crowd.browser("integrator")
    assert "现在读回" in browser.get(here).text
    assert browser.post(here).headers["location"] == here
    assert "没有新的结果" in browser.get(here).text
    assert crowd.browser("police").post(here).status_code == 403
    # The base library keeps no states: that is said, and there is nothing to ask.
    collected = f"/runs/{answer_town.runs(SYNC)[0].id}/answers"
    assert "没有能读回的状态" in browser.get(collected).text
    assert browser.post(collected).status_code == 409
    assert browser.get("/runs/nothing/answers").status_code == 404
