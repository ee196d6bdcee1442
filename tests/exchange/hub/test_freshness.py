"""A resource older than its update cycle is told of once, until it is refreshed."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from exchange.db import now
from exchange.db.tables import EventRow, ExchangeRow, LateRow, NoticeRow, RunRow
from exchange.hub.freshness import Freshness
from tests.exchange.engine.town import HUB, POLICE, SYNC, Town, person


def age(town: Town, hours: float) -> None:
    """Everything happened so many hours earlier."""
    with town.hub() as hub, hub.database.transaction() as session:
        moment = now(session) - timedelta(hours=hours)
        session.get_one(ExchangeRow, SYNC).created_at = moment
        for run in session.scalars(sa.select(RunRow).where(RunRow.exchange == SYNC)):
            run.started_at = run.ended_at = moment


def found(town: Town, by: str | None = None) -> list[Freshness]:
    with town.hub() as hub:
        return hub.timetable.freshness(by=town.actor(by)) if by else hub.timetable.freshness()


def told(town: Town) -> tuple[list[str], list[str]]:
    wanted = ("UpdateMissed", "UpdateRecovered")
    types = town.all(sa.select(EventRow.type).where(EventRow.type.in_(wanted)).order_by(EventRow.id))
    notices = sa.select(NoticeRow.department).where(NoticeRow.text.contains("逾期")).order_by(NoticeRow.id)
    return types, town.all(notices)


def test_what_was_refreshed_within_its_cycle_is_fresh(town: Town) -> None:
    town.report(person(1))
    town.run_both()
    age(town, 26)  # a day, and a tenth of it
    (only,) = found(town)
    assert (only.exchange, only.cycle, only.overdue, only.told_at) == (SYNC, "daily", False, None)
    assert only.last is not None
    assert 25.9 < only.age_hours < 26.1
    assert told(town) == ([], [])


def test_what_is_overdue_is_told_once_and_again_only_after_it_recovered(town: Town) -> None:
    town.report(person(1))
    town.run_both()
    age(town, 27)
    (late,) = found(town)
    assert late.overdue
    assert late.told_at is not None
    assert found(town)[0].overdue
    with town.hub() as hub:
        assert hub.timetable.keep().done["freshness"] == 0
    assert told(town) == (["UpdateMissed"], [POLICE, HUB])
    town.run(SYNC)
    (fresh,) = found(town)
    assert (fresh.overdue, fresh.told_at) == (False, None)
    assert told(town) == (["UpdateMissed", "UpdateRecovered"], [POLICE, HUB])
    age(town, 27)
    with town.hub() as hub:
        assert hub.timetable.keep().done["freshness"] == 1
    assert told(town)[0] == ["UpdateMissed", "UpdateRecovered", "UpdateMissed"]


def test_what_was_never_refreshed_is_overdue_from_its_beginning(town: Town) -> None:
    age(town, 27)
    (late,) = found(town)
    assert (late.overdue, late.last) == (True, None)
    late_notice = NoticeRow.department == POLICE, NoticeRow.text.contains("逾期")
    (notice,) = town.all(sa.select(NoticeRow.text).where(*late_notice))
    assert "从未更新" in notice


def test_what_rests_is_not_overdue_and_what_ended_is_forgotten(town: Town) -> None:
    age(town, 27)
    found(town)
    with town.hub() as hub:
        hub.pausing.pause("exchange", SYNC, reason="x", by=town.actor("integrator"))
    (rests,) = found(town)
    assert (rests.resting, rests.overdue) == (True, False)
    assert town.all(sa.select(LateRow.exchange)) == [SYNC]  # nor has it recovered
    with town.hub() as hub, hub.database.transaction() as session:
        session.get_one(ExchangeRow, SYNC).state = "ended"
    assert found(town) == []
    assert town.all(sa.select(LateRow.exchange)) == []
    assert told(town)[0] == ["UpdateMissed"]


def test_people_see_what_concerns_them_and_change_nothing(town: Town) -> None:
    age(town, 27)
    assert [each.exchange for each in found(town, "police")] == [SYNC]
    assert [each.exchange for each in found(town, "auditor")] == [SYNC]
    assert found(town, "tax") == []
    assert told(town) == ([], [])
