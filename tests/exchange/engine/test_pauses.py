from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from exchange.db import now
from exchange.db.tables import ExchangeRow, PauseRow
from exchange.engine.pauses import demand_active, demand_awake, over, resting, settle, settle_all
from exchange.errors import Failed, Misplaced
from tests.exchange.engine.town import SYNC, Town


@pytest.fixture
def session(town: Town) -> Iterator[Session]:
    with town.hub() as hub, hub.database.transaction() as session:
        yield session


def pause(session: Session, kind: str, name: str, until: datetime | None = None) -> PauseRow:
    row = PauseRow(kind=kind, name=name, reason="检修", by="集成员", department=None, at=now(session), until=until)
    session.add(row)
    session.flush()
    return row


def test_an_exchange_rests_as_long_as_one_pause_concerns_it(town: Town, session: Session) -> None:
    row = session.get_one(ExchangeRow, SYNC)
    assert settle(session, row) is False
    own, end = pause(session, "exchange", SYNC), pause(session, "endpoint", "library")
    assert [each.id for each in settle_all(session, "endpoint", "library")] == [town.share, SYNC]
    assert len(resting(session, row)) == 2
    session.delete(end)
    assert [each.id for each in settle_all(session, "endpoint", "library")] == [town.share]
    assert row.state == "paused"
    session.delete(own)
    assert [each.id for each in settle_all(session, "exchange", SYNC)] == [SYNC]
    assert (row.state, resting(session, row)) == ("active", [])


def test_a_name_of_the_other_kind_is_another(town: Town, session: Session) -> None:
    pause(session, "endpoint", SYNC)
    pause(session, "exchange", "police")
    assert settle_all(session, "endpoint", SYNC) == []
    assert settle(session, session.get_one(ExchangeRow, SYNC)) is False


def test_what_has_ended_stays_so(session: Session) -> None:
    row = session.get_one(ExchangeRow, SYNC)
    row.state = "ended"
    pause(session, "exchange", SYNC)
    assert settle(session, row) is False
    assert row.state == "ended"


def test_who_comes_is_told_who_why_and_until_when(session: Session) -> None:
    row = session.get_one(ExchangeRow, SYNC)
    demand_active(session, row)
    demand_awake(session, "police")
    pause(session, "endpoint", "police", datetime(2026, 12, 1, tzinfo=UTC))
    settle(session, row)
    with pytest.raises(Misplaced, match="端点 police 由 集成员 暂停至 2026-12-01 08:00：检修"):
        demand_active(session, row)
    with pytest.raises(Failed) as caught:
        demand_awake(session, "police")
    assert caught.value.retry


def test_those_whose_time_is_over(session: Session) -> None:
    moment = now(session)
    pause(session, "exchange", "a", moment - timedelta(seconds=1))
    pause(session, "exchange", "b", moment + timedelta(hours=1))
    pause(session, "exchange", "c")
    assert [each.name for each in over(session)] == ["a"]
