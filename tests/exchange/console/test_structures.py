"""A changed table on pages: as a difference, approved with a reason, never by whoever changed it."""

from __future__ import annotations

from exchange.settings import Role
from tests.exchange.console.stories import EVIL, ended, harmless, officer, text_of
from tests.exchange.engine.test_structures import redefined
from tests.exchange.engine.town import POLICE, SYNC, TAX, Town, person
from tests.exchange.site.people import People

HERE = f"/structures/{SYNC}"
NARROWED = redefined("police", "inf_person", "name VARCHAR(64)", "name VARCHAR(20)")


def narrowed(town: Town) -> None:
    town.report(*map(person, range(4)))
    town.run_both()
    NARROWED(town)


def test_a_change_is_shown_and_approved(people: People, town: Town) -> None:
    narrowed(town)
    browser = people.browser("integrator")
    assert "没有待批准的结构变更" in browser.get("/structures").text
    browser.post(f"/exchanges/{SYNC}/run")
    assert ended(people, SYNC).error is not None
    assert HERE in browser.get("/structures").text
    assert HERE in browser.get(f"/exchanges/{SYNC}").text
    shown = browser.get(HERE)
    assert "<del>varchar(64)</del>" in shown.text
    assert "<ins>varchar(20)</ins>" in shown.text
    assert "待批准" in text_of(shown)
    unsaid = browser.post(f"{HERE}/approve", reason=" ")
    assert unsaid.status_code == 422
    assert 'id="p-reason"' in unsaid.text
    assert browser.post(f"{HERE}/approve", reason="已核实").status_code == 303
    assert "没有待批准的变化" in browser.get(HERE).text
    assert browser.post(f"{HERE}/approve", reason="已核实").status_code == 409
    browser.post(f"/exchanges/{SYNC}/run")
    assert ended(people, SYNC).result is not None


def test_who_changed_it_does_not_approve_it(people: People, town: Town) -> None:
    narrowed(town)
    own = officer(people, "constable", POLICE, Role.INTEGRATOR)
    assert own.get(HERE).status_code == 200
    refused = own.post(f"{HERE}/approve", reason="没有问题")
    assert refused.status_code == 403
    assert "不能批准自己的变化" in refused.text
    foreign = officer(people, "taxman", TAX, Role.INTEGRATOR)
    assert foreign.get(HERE).status_code == 403
    assert foreign.post(f"{HERE}/approve", reason="x").status_code == 403


def test_names_of_new_columns_are_only_text(people: People, town: Town) -> None:
    town.report(*map(person, range(2)))
    town.run_both()
    town.execute("police", 'ALTER TABLE inf_person ADD COLUMN "<script>alert(1)</script>" VARCHAR(9)')
    shown = people.browser("integrator").get(HERE)
    assert "&lt;script&gt;" in shown.text
    harmless(shown)
    harmless(people.browser("integrator").post(f"{HERE}/approve", reason=EVIL))


def test_an_end_that_is_away_is_said(people: People, town: Town) -> None:
    with town.away("police"):
        answer = people.browser("integrator").get(HERE)
    assert answer.status_code in (422, 502)
    assert 'role="alert"' in answer.text
