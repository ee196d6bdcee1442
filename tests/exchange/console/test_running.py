"""Running from a page: progress as it happens, with script and without, here and elsewhere."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
import sqlalchemy as sa

from exchange.console import running
from exchange.db.tables import LeaseRow
from exchange.settings import Role
from tests.exchange.console.stories import EVIL, ended, harmless, officer, text_of
from tests.exchange.engine.town import SYNC, TAX, Town, person
from tests.exchange.site.people import People

HERE = f"/exchanges/{SYNC}"


def told(text: str) -> list[tuple[str, dict[str, Any]]]:
    """The events of a stream."""
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found


def test_a_run_is_followed_to_its_end(people: People, town: Town) -> None:
    town.report(*map(person, range(4)))
    browser = people.browser("integrator")
    begun = browser.post(f"{HERE}/run")
    assert (begun.status_code, begun.headers["location"]) == (303, HERE)
    stream = browser.get(f"{HERE}/progress")
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert stream.headers["cache-control"] == "no-store"
    events = told(stream.text)
    assert events[-1] == ("end", {})
    assert {kind for kind, _data in events[:-1]} <= {"step"}
    assert all(data["words"] and (data["share"] is None or 0 <= data["share"] <= 1) for _kind, data in events[:-1])
    assert ended(people, SYNC).result is not None
    page = browser.get(HERE)
    assert "已办结" in text_of(page)
    assert "data-follow" not in page.text


def test_while_it_goes_on_the_page_says_so_also_without_script(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    held, begun = threading.Event(), threading.Event()
    real = people.hub.oversight.run

    def slow(exchange: str, *, observe: Any, **options: Any) -> Any:
        observe("3.read", {"read": 1234, "refused": 5})
        begun.set()
        held.wait(60)
        return real(exchange, observe=observe, **options)

    monkeypatch.setattr(people.hub.oversight, "run", slow)
    browser = people.browser("integrator")
    browser.post(f"{HERE}/run")
    assert begun.wait(10)
    page = browser.get(HERE)
    assert f'data-follow="{HERE}/progress"' in page.text
    assert '<noscript><meta http-equiv="refresh"' in page.text
    assert "读取 1,234" in page.text
    assert f'action="{HERE}/run"' not in page.text
    again = browser.post(f"{HERE}/run")
    assert again.status_code == 503
    assert again.headers["retry-after"]
    held.set()
    ended(people, SYNC)


def test_what_another_process_runs_is_told_from_the_books(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "OF_OTHERS", 0.05)
    with people.hub.database.transaction() as session:
        session.add(LeaseRow(exchange=SYNC, epoch=1, owner="elsewhere", expires=1e12))

    def let_go() -> None:
        with people.hub.database.transaction() as session:
            session.execute(sa.update(LeaseRow).values(owner=None))

    browser = people.browser("auditor")
    assert "由平台的另一个进程执行" in browser.get(HERE).text
    timer = threading.Timer(0.4, let_go)
    timer.start()
    events = told(browser.get(f"{HERE}/progress").text)
    timer.join()
    assert events == [("step", {"words": "准备", "share": None}), ("end", {})]


def test_a_stream_does_not_last_for_ever(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while the browser has to ask anew, and to be known anew; that it asks goes without an end."""
    monkeypatch.setattr(running, "OF_OTHERS", 0.02)
    monkeypatch.setattr(running, "LONGEST", 0.1)
    with people.hub.database.transaction() as session:
        session.add(LeaseRow(exchange=SYNC, epoch=1, owner="elsewhere", expires=1e12))
    stream = people.browser("auditor").get(f"{HERE}/progress")
    assert [kind for kind, _data in told(stream.text)] == ["step"]
    assert ": \n\n" in stream.text


def test_a_stranger_s_department_follows_and_runs_nothing(people: People) -> None:
    foreign = officer(people, "taxman", TAX, Role.INTEGRATOR)
    assert foreign.get(f"{HERE}/progress").status_code == 403
    assert foreign.post(f"{HERE}/run").status_code == 403
    assert foreign.post(f"{HERE}/replay").status_code == 403
    assert people.stranger().get(f"{HERE}/progress").status_code == 303


def test_why_it_did_not_run_is_on_the_page_as_text(people: People) -> None:
    browser = people.browser("integrator")
    browser.post(f"{HERE}/pause", reason=EVIL)
    browser.post(f"{HERE}/run")
    ended(people, SYNC)
    page = browser.get(HERE)
    assert "已暂停" in page.text
    harmless(page)


@pytest.mark.parametrize("rows", ["many", "-1", "１２"])
def test_a_number_of_rows_is_one(people: People, rows: str) -> None:
    assert people.browser("integrator").post(f"{HERE}/run", accept_fall=rows).status_code == 422


def test_all_is_delivered_again_where_that_is_asked_for(people: People, town: Town) -> None:
    town.report(*map(person, range(3)))
    browser = people.browser("integrator")
    for fields in ({}, {}, {"redeliver": "1"}):
        browser.post(f"{HERE}/run", **fields)
        ended(people, SYNC)
    runs = town.runs(SYNC)
    assert [run.plan["full"] for run in runs] == [True, False, True]
