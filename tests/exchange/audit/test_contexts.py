"""What events are found by is noted when they are sealed, and is no part of them."""

from __future__ import annotations

from sqlalchemy import func, select, update

from exchange.audit import events
from exchange.db.tables import ContextRow, EventRow
from exchange.identity import PLATFORM
from tests.exchange.audit.conftest import AUDITOR, write


def contexts(log):
    with log._database.reading() as session:
        return list(session.scalars(select(ContextRow).order_by(ContextRow.id)))


def test_events_that_have_everything_in_common_share_one(log):
    write(log, 5, resource="321200001/0001")
    write(log, 2, resource="321200001/0002")
    log.seal()
    write(log, 3, resource="321200001/0001")
    log.seal()
    first, second = contexts(log)
    assert (first.resource, first.type, first.actor, first.exchange) == ("321200001/0001", "GrantSuspended", "周审", "")
    with log._database.reading() as session:
        counts = dict(session.execute(select(EventRow.context, func.count()).group_by(EventRow.context)).all())
        newest = dict(session.execute(select(EventRow.context, func.max(EventRow.at)).group_by(EventRow.context)).all())
    assert counts == {first.id: 8, second.id: 2}
    assert newest == {each.id: each.newest for each in (first, second)}


def test_way_and_class_are_those_of_exchange_and_resource(log, registered):
    with log._database.transaction() as session:
        log.record(session, events.RunGated("G1", 1), PLATFORM, exchange="E")
        log.record(session, events.GrantExpired("G1"), PLATFORM, resource="321/1")
        log.record(session, events.RunGated("G1", 1), PLATFORM, exchange="gone", resource="gone/1")
    log.seal()
    told = [(each.exchange, each.resource, each.way, each.record_class) for each in contexts(log)]
    assert sorted(told) == [
        ("", "321/1", "", "natural_person"), ("E", "321/1", "file", "natural_person"), ("gone", "gone/1", "", ""),
    ]  # fmt: skip


def test_they_are_noted_once_however_often_events_are_sealed(log):
    for number in range(4):
        write(log, 2, first=2 * number + 1)
        assert log.seal() == 2
    assert len(contexts(log)) == 1


def test_whoever_changes_them_hides_nothing_from_verification(log):
    write(log, 3)
    log.seal()
    with log._database.transaction() as session:
        session.execute(update(ContextRow).values(type="LogRead"))
        session.execute(update(EventRow).values(context=None))
    assert log.verify().verified
    with log._database.transaction() as session:
        session.execute(update(EventRow).where(EventRow.number == 2).values(actor="他人"))
    assert not log.verify().verified


def test_what_nobody_of_the_hub_wrote_has_none(log):
    write(log, 2)
    with log._database.transaction() as session:
        session.execute(update(EventRow).where(EventRow.id == 2).values(tag="forged"))
    log.seal()
    assert log.arrange() == 0
    with log._database.reading() as session:
        assert [bool(each) for each in session.scalars(select(EventRow.context).order_by(EventRow.id))] == [True, False]
    assert len(log.search(by=AUDITOR, type="GrantSuspended").events) == 2
