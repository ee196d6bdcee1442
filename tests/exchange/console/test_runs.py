"""Runs: the list, and one from its plan to its target's ledger."""

from __future__ import annotations

import re

import sqlalchemy as sa

from exchange.db.tables import ReceiptRow, RunRow
from tests.exchange.engine.town import SYNC, TAX, Town, person, wrong
from tests.exchange.site.people import People

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


def moved(town: Town) -> None:
    town.report(*(person(number) for number in range(1, 40)), wrong(40))
    town.run_both()


def test_a_run_from_the_list_to_its_ledger(town: Town, people: People) -> None:
    moved(town)
    browser = people.browser("auditadmin")
    name = town.runs(SYNC)[0].id
    assert f'href="/runs/{name}"' in browser.get("/runs", exchange=SYNC, state="settled").text
    page = browser.get(f"/runs/{name}").text
    sums = [int(text) for text in re.findall(r"<dd>(\d+)</dd></div>", page)]
    assert sums[:2] == [40, 0]
    assert sums[0] == sum(sums[1:])
    assert "平衡" in page
    assert "公民身份号码有误" in page
    assert "与签发时一致" in page
    assert "链头在日志中" in page
    for title in ("批次开始", "放行", "交付完成", "批次办结"):
        assert title in page
    assert "公民身份号码、姓名" in page
    asked = browser.get(f"/runs/{name}/ledger")
    assert asked.status_code == 200
    assert "一致" in asked.text
    assert "不一致" not in asked.text


def test_a_receipt_that_was_changed_is_shown_to_be(town: Town, people: People) -> None:
    moved(town)
    name = town.runs(SYNC)[0].id
    with people.hub.database.transaction() as session:
        row = session.scalars(sa.select(ReceiptRow).where(ReceiptRow.run == name)).one()
        row.body = {**row.body, "counts": {**row.body["counts"], "written": 1}}
    page = people.browser("auditadmin").get(f"/runs/{name}")
    assert page.status_code == 200
    assert "与签发时不一致" in page.text
    assert "回执编号" not in page.text


def test_books_that_do_not_balance_are_shown_not_to(town: Town, people: People) -> None:
    moved(town)
    name = town.runs(SYNC)[0].id
    with people.hub.database.transaction() as session:
        run = session.get_one(RunRow, name)
        run.counts = {**(run.counts or {}), "written": 1}
    assert "不平" in people.browser("auditadmin").get(f"/runs/{name}").text


def test_parties_follow_their_own_runs_and_no_others(town: Town, people: People) -> None:
    moved(town)
    sync, share = town.runs(SYNC)[0].id, town.runs(town.share)[0].id
    tax = people.browser("tax")
    listed = tax.get("/runs").text
    assert share in listed
    assert sync not in listed
    assert tax.get(f"/runs/{share}").status_code == 200
    for path in (f"/runs/{sync}", f"/runs/{SYNC}", f"/runs/{town.receipts(SYNC)[0].id}", f"/runs/{sync}/ledger"):
        answer = tax.get(path)
        assert answer.status_code == 403
        assert "账目" not in answer.text
    assert tax.get("/runs", exchange=SYNC).text.count("<tr>") == 0
    assert tax.get("/runs/none").status_code == 404
    assert tax.get(f"/runs/{share}/ledger").status_code == 403  # a clerk opens no endpoint


def test_what_cannot_be_asked_is_said_on_the_page(people: People) -> None:
    browser = people.browser("auditadmin")
    for asked, status in (
        ({"since": EVIL}, 422), ({"state": EVIL}, 422), ({"cursor": EVIL}, 422), ({"department": EVIL}, 404),
        ({"exchange": EVIL}, 200), ({"resource": EVIL}, 200),
    ):  # fmt: skip
        answer = browser.get("/runs", **asked)
        assert answer.status_code == status
        assert "<script>alert" not in answer.text
        assert "<img src=x" not in answer.text


def test_what_a_run_died_of_is_only_text(town: Town, people: People) -> None:
    moved(town)
    name = town.runs(town.share)[0].id
    with people.hub.database.transaction() as session:
        session.get_one(RunRow, name).error = EVIL
    browser = people.browser("auditadmin")
    for path in ("/runs", f"/runs/{name}"):
        page = browser.get(path, department=TAX).text
        assert "&lt;script&gt;alert(1)" in page
        assert "<script>alert" not in page
        assert "<img src=x" not in page
