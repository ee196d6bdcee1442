"""Verification of the log by who reads it."""

from __future__ import annotations

import sqlalchemy as sa

from exchange.db.tables import EventRow
from tests.exchange.engine.town import Town, person
from tests.exchange.site.people import People


def test_a_log_as_it_was_written(town: Town, people: People) -> None:
    town.report(person(1))
    town.run_both()
    browser = people.browser("auditadmin")
    assert "还没有核验过" in browser.get("/log/verification").text
    answer = browser.post("/log/verification")
    assert answer.status_code == 200
    assert "日志完整，与写入时一致" in answer.text
    assert "首任审计管理员" in browser.get("/log/verification").text
    with people.hub.database.reading() as session:
        assert session.scalars(sa.select(EventRow.body).where(EventRow.type == "LogVerified")).all() == [
            {"verified": True, "faults": 0}
        ]


def test_what_was_changed_is_named(town: Town, people: People) -> None:
    town.report(person(1))
    town.run_both()
    people.hub.audit.seal()
    with people.hub.database.transaction() as session:
        session.execute(sa.update(EventRow).where(EventRow.number == 5).values(actor="<script>alert(1)</script>"))
        session.execute(sa.delete(EventRow).where(EventRow.number == 9))
    page = people.browser("auditadmin").post("/log/verification").text
    assert "日志被改动过" in page
    assert "第 5 号事件" in page
    assert "第 9 号事件" in page
    assert "被删除" in page
    assert "<script>alert" not in page


def test_what_a_backup_lost_is_answered_for_once(people: People) -> None:
    people.hub.audit.seal()
    browser = people.browser("auditadmin")
    browser.get("/log/verification")
    nothing = browser.post("/log/acknowledgement", reason="磁盘损坏")
    assert nothing.status_code == 409
    assert "没有随恢复备份而失的部分" in nothing.text
    assert "磁盘损坏" in nothing.text
    people.hub.audit.seal()
    with people.hub.database.transaction() as session:
        last = session.scalar(sa.select(sa.func.max(EventRow.number)))
        session.execute(sa.delete(EventRow).where(EventRow.number > (last or 0) - 2))
        session.execute(sa.delete(EventRow).where(EventRow.number.is_(None)))
    cut = browser.post("/log/verification").text
    assert "被截断" in cut or "被重写" in cut
    assert browser.post("/log/acknowledgement", reason="").status_code == 422
    done = browser.post("/log/acknowledgement", reason="磁盘损坏，从前一日备份恢复")
    assert (done.status_code, done.headers["location"]) == (303, "/log/verification")


def test_only_who_audits_may(people: People) -> None:
    for login in ("police", "integrator", "sysadmin", "secadmin"):
        browser = people.browser(login)
        assert browser.get("/log/verification").status_code == 403
        assert browser.post("/log/verification").status_code == 403
        assert browser.post("/log/acknowledgement", reason="x").status_code == 403


def test_a_form_from_elsewhere_does_nothing(people: People) -> None:
    browser = people.fresh("auditadmin")
    browser.csrf = "forged"
    assert browser.post("/log/verification").status_code == 403
    assert browser.post("/log/acknowledgement", reason="x").status_code == 403
    with people.hub.database.reading() as session:
        assert not session.scalars(sa.select(EventRow).where(EventRow.type == "LogVerified")).all()
