"""The dashboard: what moved, to those whom it concerns; each chart with its table."""

from __future__ import annotations

import csv
import io
import re
from xml.etree import ElementTree as ET

import pytest
import sqlalchemy as sa

from exchange.console.dashboard import SHADES, SIDE, _matrix
from exchange.db.tables import ExchangeRow, TallyRow
from exchange.engine import Tally
from exchange.hub.figures import Flow
from tests.exchange.engine.town import SYNC, Town, person, wrong
from tests.exchange.site.people import People

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
CHARTS = ("volume", "rates", "freshness")


def moved(town: Town) -> None:
    town.report(*(person(number) for number in range(1, 40)), wrong(40))
    town.run_both()


def test_what_moved_is_there_in_figures_charts_and_tables(town: Town, people: People) -> None:
    moved(town)
    page = people.browser("auditadmin").get("/dashboard")
    assert page.status_code == 200
    text = page.text
    assert "100.0%" in text
    with people.hub.database.reading() as session:
        written = session.scalar(sa.select(sa.func.sum(TallyRow.written)))
    assert f"<b>{written}</b>" in text
    assert re.search(r'class="number shade-5">39<', text)
    assert SYNC in text
    images = re.findall(r'<img src="([^"]+)"[^>]* alt="([^"]+)"', text)
    assert len(images) == len(CHARTS) == text.count("<img ")
    assert text.count("<summary>") == 2
    for path, alternative in images:
        assert len(alternative) > 10
        drawn = people.browser("auditadmin").get(path.replace("&amp;", "&"))
        assert drawn.headers["content-type"] == "image/svg+xml"
        assert b"<script" not in drawn.content
        assert "img-src 'self' data:" in page.headers["content-security-policy"]
        ET.fromstring(drawn.content)


def test_departments_see_what_concerns_them(town: Town, people: People) -> None:
    moved(town)
    police, tax = people.browser("police"), people.browser("tax")
    assert SYNC in police.get("/dashboard").text
    theirs = tax.get("/dashboard").text
    assert SYNC not in theirs
    assert town.share in theirs
    exported = tax.get("/dashboard/export", format="csv").content.decode("utf-8-sig")
    assert [row["exchange"] for row in csv.DictReader(io.StringIO(exported))] == [town.share]


def test_a_file_of_figures_is_an_event_and_no_formula(town: Town, people: People) -> None:
    moved(town)
    browser = people.browser("auditadmin")
    for wanted in ("csv", "xlsx", "parquet"):
        answer = browser.get("/dashboard/export", format=wanted)
        assert answer.status_code == 200
        assert answer.headers["content-disposition"].endswith(f".{wanted}")
    assert browser.get("/dashboard/export", format="exe").status_code == 422
    assert "导出统计" in browser.get("/log").text


@pytest.mark.parametrize("asked", [{"since": "x"}, {"until": EVIL}, {"since": "2026-02-01", "until": "2026-01-01"}])
def test_a_period_that_is_none(people: People, asked: dict[str, str]) -> None:
    browser = people.browser("tax")
    answer = browser.get("/dashboard", **asked)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert "<script>alert" not in answer.text
    assert browser.get("/dashboard/volume.svg", **asked).status_code == 422


def test_a_period_that_is_too_long(people: People) -> None:
    assert people.browser("tax").get("/dashboard", since="2000-01-01", until="2026-01-01").status_code == 422


def test_a_period_in_which_nothing_moved(people: People) -> None:
    browser = people.browser("tax")
    page = browser.get("/dashboard", since="2020-01-01", until="2020-01-31")
    assert page.status_code == 200
    assert "没有批次" in page.text
    assert browser.get("/dashboard/volume.svg", since="2020-01-01", until="2020-01-31").status_code == 200


def test_names_that_other_hands_wrote_are_only_text(town: Town, people: People) -> None:
    moved(town)
    with people.hub.database.transaction() as session:
        session.get_one(ExchangeRow, SYNC).provider = "<b>evil</b>"
        session.execute(sa.update(TallyRow).values(way="<b>way</b>"))
    browser = people.browser("auditadmin")
    page = browser.get("/dashboard").text
    assert "&lt;b&gt;evil&lt;/b&gt;" in page
    assert "<b>evil" not in page
    assert "<b>way" not in page
    assert b"<b>" not in browser.get("/dashboard/volume.svg").content


def test_the_matrix_is_darkest_where_most_moves() -> None:
    flows = [Flow("a", "x", 1, Tally(written=100)), Flow("b", "x", 1, Tally(written=1)), Flow("a", "y", 1, Tally())]
    providers, recipients, cells = _matrix(flows)
    assert (providers, recipients) == (["a", "b"], ["x", "y"])
    assert [[cell.shade for cell in row] for row in cells] == [[SHADES, 0], [1, 0]]
    assert cells[1][1].flow is None
    assert _matrix([]) == ([], [], [])


def test_the_matrix_of_a_large_city_can_be_read_and_loses_nothing() -> None:
    flows = [
        Flow(f"P{giver:03}", f"R{taker:03}", 1, Tally(written=(giver + 1) * (taker + 1)))
        for giver in range(40)
        for taker in range(30)
    ]
    providers, recipients, cells = _matrix(flows)
    assert (len(providers), len(recipients)) == (SIDE, SIDE)
    assert (providers[0], recipients[0]) == ("P039", "R029")
    shown = [cell.flow for row in cells for cell in row if cell.flow is not None]
    assert sum(flow.figures.written for flow in shown) == sum(flow.figures.written for flow in flows)
    assert sum(flow.exchanges for flow in shown) == len(flows)
    assert cells[0][0].shade == SHADES
    assert {row[-1].shade for row in cells} == {0}
