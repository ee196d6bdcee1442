"""The log: found by everything at once, taken away as a file, put on paper, and harmless whatever stands in it."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import fields
from datetime import UTC, datetime
from itertools import pairwise
from zipfile import ZipFile

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from exchange.audit import events
from exchange.audit.events import REGISTRY
from exchange.console import log
from exchange.console.views import environment
from exchange.db.tables import EventRow
from exchange.hub import Hub
from exchange.identity import PLATFORM
from tests.exchange.engine.town import CODE, POLICE, SYNC, TAX, Town, person, wrong
from tests.exchange.site.people import People

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
FORMULA = '=HYPERLINK("http://elsewhere.example","x")'


def moved(town: Town) -> None:
    town.report(*(person(number) for number in range(1, 40)), wrong(40))
    town.run_both()


def write(hub: Hub, text: str) -> None:
    """An event in which a stranger's text stands wherever one can."""
    with hub.database.transaction() as session:
        event = events.AccessDenied(action=text, reasons=(text, text))
        hub.audit.record(
            session, event, by=PLATFORM, department=POLICE, resource=text[:64], exchange=text[:80], run="r"
        )


def numbers(page: str) -> list[int]:
    """Numbers of the sealed events on a page, as they stand there."""
    return [int(text.replace(",", "")) for text in re.findall(r'<td class="number">([0-9,]+)</td>', page)]


def test_filters_combine(town: Town, people: People) -> None:
    moved(town)
    browser = people.browser("auditadmin")
    every = browser.get("/log")
    assert every.status_code == 200
    assert "批次办结" in every.text
    today = datetime.now(UTC).date()
    found = browser.get(
        "/log", department=POLICE, resource=CODE, way="database", record_class="person", outcome="succeeded",
        since=str(today.replace(day=1)), until="2999-01-01", exchange=SYNC,
    )  # fmt: skip
    titles = set(re.findall(r'<span class="badge (\w+)">', found.text))
    assert found.status_code == 200
    assert titles <= {"good"}
    assert browser.get("/log", department=TAX, exchange=SYNC, outcome="failed").text.count("<tr>") == 0
    assert "没有符合的事件" in browser.get("/log", until="2000-01-01").text
    refused = browser.get("/log", type="拒绝操作", text="没有这样的文字", since="2020-01-01")
    assert "没有符合的事件" in refused.text


def test_pages_lead_back_to_the_first_event_without_gap_or_repeat(
    town: Town, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved(town)
    people.hub.audit.seal()
    browser = people.browser("auditadmin")
    monkeypatch.setattr("exchange.console.log.ON_A_PAGE", 7)
    path, seen = "/log?until=2999-01-01", []
    while path:
        page = browser.get(path).text
        seen += numbers(page)
        following = re.search(r'href="(/log\?[^"]*cursor=[^"]*)" rel="next"', page)
        path = following[1].replace("&amp;", "&") if following else ""
    assert seen[-1] == 1
    assert all(before > after for before, after in pairwise(seen))
    assert len(seen) == seen[0]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"since": "gestern"}, "不是日期"),
        ({"type": "Nonsense"}, "没有审计事件类型"),
        ({"way": "brieftaube"}, "日志中没有方式"),
        ({"cursor": "x"}, "翻页标记不对"),
    ],
)
def test_what_cannot_be_asked_is_said_on_the_page(people: People, asked: dict[str, str], said: str) -> None:
    answer = people.browser("auditadmin").get("/log", **asked)
    assert answer.status_code == 422
    assert said in answer.text
    assert 'role="alert"' in answer.text


def test_a_department_that_there_is_not(people: People) -> None:
    answer = people.browser("auditadmin").get("/log", department=EVIL)
    assert answer.status_code == 404
    assert "<script>alert" not in answer.text
    assert "<img src=x" not in answer.text


@pytest.mark.parametrize("name", ["text", "resource", "actor", "exchange", "run", "cursor", "since", "type", "way"])
def test_nothing_that_is_asked_comes_back_as_markup(people: People, name: str) -> None:
    page = people.browser("auditadmin").get("/log", **{name: EVIL, "until": "2999-01-01"}).text
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "onerror=alert(2)>" not in page


def test_nothing_that_stands_in_an_event_becomes_markup(people: People) -> None:
    write(people.hub, EVIL)
    browser = people.browser("auditadmin")
    for path in ("/log", "/log?print=1"):
        page = browser.get(path).text
        assert "&lt;script&gt;alert(1)" in page
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert not re.search(r'href="[^"]*[<\']', page)


def test_every_field_of_every_event_is_only_text(people: People) -> None:
    """Whatever other hands write into the table."""
    browser = people.browser("auditadmin")
    with people.hub.database.transaction() as session:
        for name, kind in REGISTRY.items():
            body = {field.name: [EVIL, {EVIL: EVIL}] for field in fields(kind)}  # type: ignore[arg-type]  # dataclasses
            session.add(
                EventRow(type=name, at=datetime.now(UTC), actor=EVIL[:64], established="x", body=body, tag="x" * 64)
            )
    assert environment().autoescape is True
    assert log.ON_A_PAGE < len(REGISTRY) < log.ON_PAPER
    page = browser.get("/log?print=1").text
    assert page.count("&lt;script&gt;alert(1)") >= len(REGISTRY)
    assert len(browser.get("/log").content) < 150_000
    assert "<script>alert" not in page
    assert "<img src=x" not in page


def test_the_screen_as_a_file_in_three_formats(town: Town, people: People) -> None:
    moved(town)
    browser = people.browser("auditadmin")
    asked = {"exchange": SYNC, "outcome": "succeeded", "since": "2020-01-01"}
    on_screen = numbers(browser.get("/log", **asked).text)
    assert on_screen
    text = browser.get("/log/export", format="csv", **asked)
    assert text.status_code == 200
    assert text.headers["content-type"].startswith("text/csv")
    assert re.fullmatch(r"attachment; filename\*=UTF-8''[%0-9A-Za-z_.-]+\.csv", text.headers["content-disposition"])
    rows = list(csv.DictReader(io.StringIO(text.content.decode("utf-8-sig"))))
    assert [int(row["number"]) for row in rows] == sorted(on_screen)
    assert {row["exchange"] for row in rows} == {SYNC}
    table = pq.read_table(io.BytesIO(browser.get("/log/export", format="parquet", **asked).content))
    assert table["number"].to_pylist() == sorted(on_screen)
    sheet = browser.get("/log/export", format="xlsx", **asked)
    with ZipFile(io.BytesIO(sheet.content)) as book:
        assert len(re.findall(r"<row ", book.read("xl/worksheets/sheet1.xml").decode())) == len(on_screen) + 1
    with people.hub.database.reading() as session:
        exported = session.scalars(sa.select(EventRow.body).where(EventRow.type == "LogExported")).all()
    assert [body["format"] for body in exported] == ["csv", "parquet", "xlsx"]
    assert all(body["query"]["exchange"] == SYNC for body in exported)


def test_no_cell_is_a_formula(people: People) -> None:
    write(people.hub, FORMULA)
    browser = people.browser("auditadmin")
    text = browser.get("/log/export", format="csv", type="AccessDenied").content.decode("utf-8-sig")
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    assert f"'{FORMULA[:64]}" in cells
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    with ZipFile(io.BytesIO(browser.get("/log/export", format="xlsx", type="AccessDenied").content)) as book:
        written = book.read("xl/worksheets/sheet1.xml").decode()
    assert "<f>" not in written
    assert "<hyperlink" not in written


def test_a_format_that_there_is_not_is_refused_before_anything_is_read(people: People) -> None:
    browser = people.browser("auditadmin")
    for wanted in ("", "jsonl", "../../etc/passwd", EVIL):
        answer = browser.get("/log/export", format=wanted)
        assert answer.status_code == 422
        assert "<script>alert" not in answer.text


def test_too_much_for_one_file_is_said_on_a_page(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exchange.console.log.MOST", 1)
    answer = people.browser("auditadmin").get("/log/export", format="csv")
    assert answer.status_code == 422
    assert answer.headers["content-type"].startswith("text/html")
    assert "超过" in answer.text


def test_on_paper_there_is_what_was_asked_for_and_by_whom(town: Town, people: People) -> None:
    moved(town)
    browser = people.browser("auditadmin")
    page = browser.get("/log", print="1", exchange=SYNC, until="2999-01-01").text
    assert "首任审计管理员" in page
    assert SYNC in page
    assert '<form class="filters"' not in page
    assert "2999-01-01" in page


def test_nobody_else_reads_the_log_and_the_attempt_is_in_it(town: Town, people: People) -> None:
    moved(town)
    for login in ("police", "tax", "integrator", "sysadmin", "secadmin"):
        browser = people.browser(login)
        for path in (f"/log?exchange={SYNC}", f"/log/export?format=csv&exchange={SYNC}", "/log?print=1"):
            answer = browser.get(path)
            assert answer.status_code == 403
            assert "批次办结" not in answer.text
    denied = people.browser("auditadmin").get("/log", type="AccessDenied").text
    assert "公安经办" in denied
    assert "检索日志" in denied
