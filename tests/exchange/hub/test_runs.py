"""Runs: found by those whom they concern, and held against what lies at their target."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from exchange.db.tables import ReceiptRow
from exchange.errors import Denied, Invalid, Unknown
from exchange.hub.runs import LARGEST_PAGE
from tests.exchange.engine.town import CODE, HUB, POLICE, SYNC, Town, person


def run(town: Town, times: int = 1) -> None:
    for number in range(1, times + 1):
        town.report(person(number))
        town.run_both()


def test_runs_are_found_by_what_is_known_of_them(town: Town) -> None:
    run(town)
    by = town.actor("auditor")
    with town.hub() as hub:
        found = {each.exchange: each for each in hub.runs.found(by=by).runs}
        assert found.keys() == {SYNC, town.share}
        mine = found[SYNC]
        assert (mine.provider, mine.recipient, mine.way, mine.state) == (POLICE, HUB, "database", "settled")
        assert mine.counts["read"] == 1
        alone = (mine,)
        assert hub.runs.found(by=by, exchange=SYNC).runs == alone
        assert (
            hub.runs.found(by=by, department=HUB, state="settled", resource=CODE, since=mine.started_at).runs == alone
        )
        assert hub.runs.found(by=by, exchange=SYNC, until=mine.started_at).runs == ()
        assert hub.runs.found(by=by, exchange=SYNC, until=mine.started_at + timedelta(seconds=1)).runs == alone
        assert hub.runs.found(by=by, state="failed").runs == ()


def test_pages_hold_every_run_once(town: Town) -> None:
    run(town, 3)
    by = town.actor("auditor")
    with town.hub() as hub:
        whole = hub.runs.found(by=by)
        assert whole.cursor is None
        assert len(whole.runs) == 6
        cursor, seen = None, []
        while True:
            page = hub.runs.found(by=by, limit=2, cursor=cursor)
            seen += page.runs
            if (cursor := page.cursor) is None:
                break
        assert tuple(seen) == whole.runs


def test_departments_see_their_own(town: Town) -> None:
    run(town)
    with town.hub() as hub:
        assert {each.exchange for each in hub.runs.found(by=town.actor("tax")).runs} == {town.share}
        assert {each.exchange for each in hub.runs.found(by=town.actor("security")).runs} == {SYNC}
        assert hub.runs.found(by=town.actor("tax"), exchange=SYNC).runs == ()
        theirs = town.runs(SYNC)[0].id
        with pytest.raises(Denied):
            hub.runs.ledger(theirs, by=town.actor("tax"))
        with pytest.raises(Denied):
            hub.runs.ledger(theirs, by=town.actor("police"))  # a clerk opens no endpoint


@pytest.mark.parametrize("wrong", [{"state": "x"}, {"limit": 0}, {"limit": LARGEST_PAGE + 1}, {"cursor": "x"}])
def test_what_cannot_be_asked(town: Town, wrong: dict[str, object]) -> None:
    with town.hub() as hub, pytest.raises(Invalid):
        hub.runs.found(by=town.actor("auditor"), **wrong)  # type: ignore[arg-type]  # that is the point


def test_a_ledger_says_what_the_receipt_says(town: Town) -> None:
    run(town)
    by = town.actor("auditor")
    with town.hub() as hub:
        for exchange in (SYNC, town.share):
            name = town.runs(exchange)[0].id
            answer = hub.runs.ledger(name, by=by)
            assert (answer.found, answer.differences, answer.written) == (True, (), 1)
            assert hub.oversight.trace(name, by=by, faulty=True)["witnessed"] is True
        with pytest.raises(Unknown):
            hub.runs.ledger("none", by=by)


def test_a_ledger_that_lost_or_changed_a_delivery_is_told_of(town: Town) -> None:
    run(town)
    by, name = town.actor("auditor"), town.runs(town.share)[0].id
    with town.hub() as hub:
        with town.away("tax"):
            away = hub.runs.ledger(name, by=by)
        assert (away.found, bool(away.why)) == (None, True)
        town.execute("tax", "UPDATE shutong_ledger SET manifest_digest = 'other'")
        assert [each.partition("：")[0] for each in hub.runs.ledger(name, by=by).differences] == ["清单摘要"]
        town.execute("tax", "DELETE FROM shutong_ledger")
        lost = hub.runs.ledger(name, by=by)
        assert (lost.found, len(lost.differences)) == (False, 1)


def test_a_head_that_the_log_does_not_hold_is_told_of(town: Town) -> None:
    run(town)
    by, name = town.actor("auditor"), town.runs(SYNC)[0].id
    with town.hub() as hub:
        with hub.database.transaction() as session:
            row = session.scalars(sa.select(ReceiptRow).where(ReceiptRow.run == name)).one()
            row.body = {**row.body, "audit_head": "1:" + "0" * 64}
        told = hub.oversight.trace(name, by=by, faulty=True)
        assert told["witnessed"] is False
        assert told["fault"]
