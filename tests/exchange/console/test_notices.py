"""What departments were told, each its own."""

from __future__ import annotations

from exchange.console import notices
from exchange.db import now
from exchange.db.tables import NoticeRow
from tests.exchange.console.stories import EVIL, harmless
from tests.exchange.engine.town import POLICE, TAX
from tests.exchange.site.people import People


def tell(people: People, department: str, *texts: str) -> None:
    with people.hub.database.transaction() as session:
        session.add_all(NoticeRow(department=department, run=None, text=text, at=now(session)) for text in texts)


def test_each_reads_what_his_department_was_told(people: People) -> None:
    tell(people, POLICE, EVIL, "公安知道了")
    tell(people, TAX, "税务知道了")
    page = people.browser("police").get("/notices")
    harmless(page)
    assert page.text.index("公安知道了") < page.text.index("&lt;script")
    assert "税务知道了" not in page.text
    assert 'href="/notices"' in people.browser("police").get("/").text
    assert "没有通知" in people.browser("auditor").get("/notices").text


def test_pages_lead_to_the_first(people: People) -> None:
    most = notices.ON_A_PAGE
    tell(people, TAX, *(f"第{number}件" for number in range(1, 2 * most + 2)))
    browser, path, seen = people.browser("tax"), "/notices", 0
    while path:
        page = browser.get(path).text
        seen += page.count("<td>第")
        path = page.partition('href="/notices?before=')[2].partition('"')[0]
        path = f"/notices?before={path}" if path else ""
    assert seen == 2 * most + 1
    for odd in ("x", "-1", "9" * 30, EVIL):
        assert browser.get("/notices", before=odd).status_code == 200
