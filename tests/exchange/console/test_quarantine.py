"""Refused rows on pages: listed without what they hold, shown to their provider's clerk alone, corrected, given up."""

from __future__ import annotations

import html

import pytest
import sqlalchemy as sa

from exchange.console import quarantine
from exchange.db.tables import EventRow
from exchange.settings import Role
from tests.exchange.console.stories import EVIL, ended, field_of, harmless, officer, text_of
from tests.exchange.engine.test_replay import refused
from tests.exchange.engine.town import POLICE, SYNC, TAX, Town, person, wrong
from tests.exchange.site.people import People


def test_the_list_says_rule_and_reason_and_nothing_else(people: People, town: Town) -> None:
    number, _other = refused(town, wrong(7), {**person(8), "name": None})
    browser = people.browser("police")
    listed = browser.get("/quarantine")
    assert f'href="/quarantine/{number}"' in listed.text
    assert "公民身份号码：校验码不符" in listed.text
    assert wrong(7)["id_no"] not in listed.text
    assert wrong(7)["name"] not in listed.text
    assert f'href="/quarantine/{number}"' not in people.browser("tax").get("/quarantine").text
    assert f'href="/quarantine/{number}"' in people.browser("auditor").get("/quarantine").text


def test_filters_and_pages(people: People, town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "MOST", 2)
    numbers = refused(town, wrong(7), wrong(8), {**person(9), "name": None})
    browser = people.browser("police")
    first = browser.get("/quarantine", state="open", exchange=SYNC)
    assert [f"/quarantine/{number}" in first.text for number in numbers] == [False, True, True]
    following = f"/quarantine?exchange={SYNC}&state=open&before={numbers[1]}"
    assert html.escape(following) in first.text
    assert [f"/quarantine/{number}" in browser.get(following).text for number in numbers] == [True, False, False]
    rule = town.quarantined(SYNC)[2].rule
    by_rule = browser.get("/quarantine", rule=rule)
    assert [f"/quarantine/{number}" in by_rule.text for number in numbers] == [False, False, True]
    assert "没有这样的行" in browser.get("/quarantine", state="dropped").text
    harmless(browser.get("/quarantine", rule=EVIL, exchange=EVIL, run=EVIL, state=EVIL))
    assert browser.get("/quarantine", before="x").status_code == 422


def test_a_row_is_corrected_beside_what_is_wrong_and_sent_again(people: People, town: Town) -> None:
    (number,) = refused(town, wrong(7))
    browser = people.browser("police")
    shown = browser.get(f"/quarantine/{number}")
    assert field_of(shown, "item-id_no") == wrong(7)["id_no"]
    assert wrong(7)["name"] not in shown.text  # what need not be mended need not be seen
    fields = {"was-id_no": wrong(7)["id_no"], "was-name": "", "item-name": ""}
    nothing = browser.post(f"/quarantine/{number}/repair", **fields, **{"item-id_no": wrong(7)["id_no"]})
    assert nothing.status_code == 422
    still = browser.post(f"/quarantine/{number}/repair", **fields, **{"item-id_no": "123"})
    assert still.status_code == 422
    assert 'id="p-item-id_no"' in still.text
    assert field_of(still, "item-id_no") == "123"
    right = person(7)["id_no"]
    done = browser.post(f"/quarantine/{number}/repair", **fields, **{"item-id_no": right, "reason": "核对档案"})
    assert done.status_code == 303
    mended = browser.get(f"/quarantine/{number}")
    assert "已更正，待重送" in mended.text
    assert "核对档案" in mended.text
    assert browser.post(f"/exchanges/{SYNC}/replay").status_code == 303
    attempt = ended(people, SYNC)
    assert attempt.result is not None
    assert attempt.result.counts["written"] == 1
    assert right in town.rows("library")
    assert "已重送" in browser.get(f"/quarantine/{number}").text
    assert browser.post(f"/quarantine/{number}/repair", **{"item-id_no": right}).status_code == 409


def test_an_item_may_be_emptied(people: People, town: Town) -> None:
    (number,) = refused(town, wrong(7))
    browser = people.browser("police")
    fields = {"was-id_no": "x", "item-id_no": person(7)["id_no"], "was-born": "", "item-born": "", "empty-born": "1"}
    browser.get(f"/quarantine/{number}")
    assert browser.post(f"/quarantine/{number}/repair", **fields).status_code == 303
    people.hub.mending.replay(SYNC, by=people.actor("police"))
    assert town.query("library", "SELECT count(*) FROM r_101001001_0001 WHERE born IS NULL")[0][0] == 1


def test_one_is_given_up_for_a_reason(people: People, town: Town) -> None:
    (number,) = refused(town, wrong(7))
    browser = people.browser("police")
    browser.get(f"/quarantine/{number}")
    assert browser.post(f"/quarantine/{number}/drop", why="").status_code == 422
    assert browser.post(f"/quarantine/{number}/drop", why="重复登记").status_code == 303
    assert "不再送" in text_of(browser.get(f"/quarantine/{number}"))
    assert browser.post(f"/quarantine/{number}/drop", why="重复登记").status_code == 409


def test_nobody_else_sees_or_touches_it_and_every_look_is_logged(people: People, town: Town) -> None:
    (number,) = refused(town, wrong(7))
    officer(people, "taxman", TAX, Role.CLERK)
    officer(people, "constable", POLICE, Role.INTEGRATOR)
    asked = 0
    for who in ("taxman", "constable", "chief", "integrator", "auditor", "security", "sysadmin"):
        browser = people.browser(who)
        browser.get("/")
        for answer in (
            browser.get(f"/quarantine/{number}"),
            browser.post(f"/quarantine/{number}/repair", **{"was-id_no": "", "item-id_no": "1"}),
            browser.post(f"/quarantine/{number}/drop", why="x"),
        ):
            assert answer.status_code == 403, who
            assert wrong(7)["id_no"] not in answer.text
            asked += 1
    people.browser("police").get(f"/quarantine/{number}")
    with people.hub.database.reading() as session:
        counted = sa.select(EventRow.type, sa.func.count()).group_by(EventRow.type)
        events = dict(session.execute(counted).all())  # type: ignore[arg-type]  # rows of two
    assert events["AccessDenied"] == asked
    assert events["QuarantineRowRead"] == 1


def test_what_a_row_holds_is_only_text(people: People, town: Town) -> None:
    number, _second = refused(
        town, {**person(8), "id_no": EVIL[:18]}, {**person(9), "name": EVIL[:64], "district": "x" * 7}
    )
    browser = people.browser("police")
    harmless(browser.get(f"/quarantine/{number}"))
    answer = browser.post(f"/quarantine/{number}/repair", **{"was-id_no": "", "item-id_no": EVIL, f"item-{EVIL}": EVIL})
    assert answer.status_code == 422
    harmless(answer)
