from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from exchange.db import now
from exchange.db.tables import ExchangeRow, GrantRow
from exchange.engine import RunResult
from exchange.errors import Denied, HubError, Unknown
from tests.exchange.engine.town import SYNC, Town, person, wrong


def people(town: Town) -> None:
    town.report(*(person(number) for number in range(40)), wrong(50))


def test_what_is_due_runs_in_order_and_then_waits_its_cycle(town: Town) -> None:
    people(town)
    with town.hub() as hub:
        assert hub.oversight.due() == [SYNC, town.share]
        (_, first), (_, second) = hub.oversight.run_due(by=town.actor("integrator"))
        assert isinstance(first, RunResult)
        assert isinstance(second, RunResult)
        assert (first.plan.exchange, second.plan.exchange) == (SYNC, town.share)
        assert second.counts["written"] > 0
        assert hub.oversight.due() == []
        waits = [each.due_at - each.ended_at for each in hub.oversight.status() if each.due_at and each.ended_at]
        assert all(timedelta(hours=23) < wait < timedelta(hours=25) for wait in waits)


def test_one_that_fails_does_not_keep_the_others_and_is_due_soon_again(town: Town) -> None:
    people(town)
    town.execute("police", "ALTER TABLE inf_person RENAME TO elsewhere")
    with town.hub() as hub:
        (_, failed), (_, shared) = hub.oversight.run_due(by=town.actor("integrator"))
        assert isinstance(failed, HubError)
        assert isinstance(shared, RunResult)


def test_a_grant_whose_period_is_over_is_ended_when_what_is_due_is_run(town: Town) -> None:
    people(town)
    with town.hub() as hub:
        with hub.database.transaction() as session:
            exchange = session.get_one(ExchangeRow, town.share)
            grant = session.get_one(GrantRow, exchange.grant)
            grant.valid_until = now(session) - timedelta(seconds=1)
        assert [name for name, _ in hub.oversight.run_due(by=town.actor("integrator"))] == [SYNC]
        with hub.database.reading() as session:
            assert session.get_one(GrantRow, exchange.grant).state == "expired"


def test_one_in_other_hands_is_left_to_them(town: Town) -> None:
    people(town)
    with town.hub() as hub, town.hub() as other:

        def meanwhile(step: str, _figures: object) -> None:
            if step == "6.gated":
                found.extend(name for name, _ in other.oversight.run_due(by=town.actor("integrator")))

        found: list[str] = []
        hub.oversight.run(SYNC, by=town.actor("integrator"), observe=meanwhile)
        assert found == [town.share]


def test_an_unfinished_run_is_due_whatever_became_of_its_grant(town: Town) -> None:
    class Death(BaseException):
        pass

    def dying(step: str, _figures: object) -> None:
        if step == "6.gated":
            raise Death

    people(town)
    town.run(SYNC)
    with pytest.raises(Death):
        town.run(town.share, observe=dying)
    town.change("revoke")
    with town.hub() as hub:
        assert town.share in hub.oversight.due()
    assert town.run(town.share).state == "settled"
    assert town.rows("tax") == town.granted()


def test_a_delivery_is_followed_from_grant_to_receipt_by_its_parties(town: Town) -> None:
    people(town)
    result, _ = town.run_both()
    with town.hub() as hub:
        for name in (result.id, result.receipt or "", SYNC):
            told = hub.oversight.trace(name, by=town.actor("police"))
            assert told["run"] == result.id
            assert told["receipt"]["counts"] == told["counts"]
            assert told["grant"].passes
            assert "RunCommitted" in {event.type for event in told["events"]}
        with pytest.raises(Denied):
            hub.oversight.trace(SYNC, by=town.actor("tax"))
        with pytest.raises(Unknown):
            hub.oversight.trace("nothing", by=town.actor("police"))


def test_refused_rows_are_shown_to_their_provider_without_content(town: Town) -> None:
    people(town)
    town.run_both()
    with town.hub() as hub:
        (refused,) = hub.oversight.quarantine(by=town.actor("police"))
        assert (refused.item, refused.rule, refused.kept) == ("id_no", "identity_number", False)
        assert wrong(50)["id_no"] not in str(refused)
        assert hub.oversight.quarantine(by=town.actor("tax")) == []
        assert hub.oversight.quarantine(by=town.actor("police"), exchange=town.share) == []
        assert [notice.department for notice in hub.oversight.notices(by=town.actor("police"))]


def test_the_log_is_the_audit_administrators(town: Town, tmp_path: Path) -> None:
    people(town)
    town.run_both()
    with town.hub() as hub:
        auditor = town.actor("auditor")
        for attempt in (
            lambda: hub.oversight.verify(by=town.actor("integrator")),
            lambda: hub.oversight.search(by=town.actor("police")),
            lambda: hub.oversight.export(tmp_path / "log.jsonl", by=town.actor("centre")),
        ):
            with pytest.raises(Denied):
                attempt()
        assert hub.oversight.verify(by=auditor).verified
        written = hub.oversight.export(tmp_path / "log.jsonl", by=auditor, exchange=SYNC)
        lines = (tmp_path / "log.jsonl").read_text().splitlines()
        assert len(lines) == written > 3
        assert {json.loads(line)["exchange"] for line in lines} == {SYNC}


def test_a_touched_log_is_named(town: Town) -> None:
    people(town)
    town.run_both()
    with sa.create_engine(f"sqlite:///{town.home / 'hub.db'}").begin() as connection:
        connection.exec_driver_sql("DELETE FROM event WHERE type = 'RunGated'")
    with town.hub() as hub:
        verification = hub.oversight.verify(by=town.actor("auditor"))
    assert not verification.verified
    assert verification.faults


def test_a_paused_exchange_is_not_due(town: Town) -> None:
    with town.hub() as hub:
        with hub.database.transaction() as session:
            session.get_one(ExchangeRow, SYNC).state = "paused"
        assert hub.oversight.due() == [town.share]
