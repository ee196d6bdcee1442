"""Recalls on pages: the parties read what was said, others how it stands, and the provider calls back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from exchange.settings import Role
from tests.exchange.console.stories import EVIL, harmless, officer
from tests.exchange.engine.town import POLICE, Town
from tests.exchange.hub.test_recalls import WORDS, recalled
from tests.exchange.site.people import People, people_of


@pytest.fixture
def recall_town(tmp_path: Path) -> Iterator[Town]:
    with recalled(tmp_path) as town:
        yield town


@pytest.fixture
def crowd(recall_town: Town) -> Iterator[People]:
    with people_of(recall_town) as people:
        yield people


def test_the_parties_read_what_was_said_and_others_how_it_stands(crowd: People, recall_town: Town) -> None:
    for login, hears in (("police", True), ("tax", True), ("auditadmin", False), ("integrator", False)):
        page = crowd.browser(login).get("/recalls")
        assert recall_town.share in page.text
        assert "未销毁" in page.text
        assert (WORDS in page.text) is hears
    assert "没有撤回" in crowd.browser("centre").get("/recalls").text


def test_filters_find(crowd: People, recall_town: Town) -> None:
    browser = crowd.browser("police")
    assert WORDS in browser.get("/recalls", exchange=recall_town.share, state="kept").text
    assert "没有撤回" in browser.get("/recalls", state="owed").text
    assert "没有撤回" in browser.get("/recalls", exchange="nothing").text
    harmless(browser.get("/recalls", exchange=EVIL, state=EVIL))


def test_the_provider_calls_back_for_a_reason(crowd: People, recall_town: Town) -> None:
    browser = crowd.browser("police")
    page = browser.get(f"/exchanges/{recall_town.share}")
    assert f'href="/recalls?exchange={recall_town.share}"' in page.text
    assert f'value="{recall_town.share}"' in browser.get("/recalls", exchange=recall_town.share).text
    kept = browser.post("/recalls", of=recall_town.share, document="", reason="")
    assert kept.status_code == 422
    assert f'value="{recall_town.share}"' in kept.text, "what was written stands there still"
    assert browser.post("/recalls", of=EVIL, document="", reason="误发").status_code == 404
    none = browser.post("/recalls", of=recall_town.share, document=EVIL, reason=EVIL)
    assert none.status_code == 404
    harmless(none)
    # It was called back and answered before: that can be asked once more.
    assert browser.post("/recalls", of=recall_town.share, document="", reason=EVIL).status_code == 303
    page = browser.get("/recalls")
    harmless(page)
    assert "已撤回 1 次交付" in page.text
    assert browser.post("/recalls", of=recall_town.share, document="", reason="误发").status_code == 409


def test_nobody_else_calls_back(crowd: People, recall_town: Town) -> None:
    integrator = officer(crowd, "wirer", POLICE, Role.INTEGRATOR)
    for browser in (crowd.browser("tax"), crowd.browser("auditadmin"), integrator):
        browser.get("/recalls")
        assert browser.post("/recalls", of=recall_town.share, document="", reason="误发").status_code == 403
    assert "撤回已送达的文件" not in integrator.get("/recalls").text
