"""What should have been run and was not."""

from __future__ import annotations

import signal
from datetime import timedelta

from exchange.db import clock, now
from exchange.db.tables import DispatchRow, ExchangeRow, GrantRow, LeaseRow, MessageRow
from tests.exchange.engine.drops import Drops
from tests.exchange.engine.town import SYNC, Town, person
from tests.exchange.engine.worker import Workers


def set_due(town: Town, exchange: str, seconds: float) -> None:
    with town.hub() as hub, hub.database.transaction() as session:
        session.get_one(ExchangeRow, exchange).due_at = now(session) + timedelta(seconds=seconds)


def lost(town: Town, grace: float = 60) -> list[str]:
    with town.hub() as hub:
        return hub.timetable.lost(grace)


def test_what_was_never_run_is_lost_after_the_grace(town: Town) -> None:
    assert lost(town, 3600) == []
    assert lost(town, 0) == [SYNC, town.share]


def test_what_is_due_longer_than_the_grace_is_lost_until_it_is_run(town: Town) -> None:
    town.report(person(1))
    town.run_both()
    assert lost(town, 0) == []
    set_due(town, SYNC, -30)
    assert lost(town, 60) == []
    assert lost(town, 10) == [SYNC]
    town.run(SYNC)
    assert lost(town, 0) == []
    set_due(town, town.share, -100)
    town.change("suspend")
    assert lost(town) == []
    town.change("resume")
    assert lost(town) == [town.share]


def test_what_was_reckoned_by_a_clock_that_was_set_back_is_due_once(town: Town) -> None:
    town.report(person(1))
    town.run_both()
    with town.hub() as hub:
        with hub.database.transaction() as session:
            row = session.get_one(ExchangeRow, SYNC)
            row.tried_at, row.due_at = now(session) + timedelta(days=30), now(session) + timedelta(days=31)
        assert hub.oversight.due() == [SYNC]
    assert lost(town) == [SYNC]
    town.run(SYNC)
    assert lost(town, 0) == []
    with town.hub() as hub:
        assert hub.oversight.due() == []


def test_what_somebody_is_at_is_not_lost(town: Town) -> None:
    set_due(town, SYNC, -100)
    set_due(town, town.share, 100)

    seen: list[list[str]] = []
    town.report(person(1))
    town.run(SYNC, observe=lambda step, _: seen.append(lost(town)) if step == "6.gated" else None)
    assert seen == [[]]


def test_what_somebody_died_over_is_lost_when_its_lease_has_run_out(town: Town, workers: Workers) -> None:
    town.report(person(1))
    town.run_both()
    town.report(person(2))
    assert workers.run(town.home, SYNC, "6.gated") == -signal.SIGKILL
    set_due(town, SYNC, 3600)
    assert lost(town) == []
    with town.hub() as hub, hub.database.transaction() as session:
        session.get_one(LeaseRow, SYNC).expires = clock(session) - 61
    assert lost(town) == [SYNC]
    # Whatever became of its grant: what was begun is ended.
    with town.hub() as hub, hub.database.transaction() as session:
        session.get_one(GrantRow, session.get_one(ExchangeRow, SYNC).grant).state = "revoked"
    assert lost(town) == [SYNC]
    town.run(SYNC)
    assert lost(town) == []


def test_what_is_owed_to_a_recipient_is_lost_when_no_message_is_on_its_way(town: Town) -> None:
    drops = Drops(town, 1)
    drops.collect(1, 2)
    for exchange in (SYNC, town.share, *drops.shares):
        set_due(town, exchange, 3600)
    assert lost(town) == []
    assert lost(town, 0) == drops.shares
    with town.hub() as hub, hub.database.transaction() as session:
        (owed,) = session.query(DispatchRow)
        owed.due_at = now(session) + timedelta(minutes=5)  # it failed, or a message says so
    assert lost(town, 0) == []


def test_a_pushed_message_is_lost_when_nobody_took_it_and_not_while_its_next_try_is_to_come(town: Town) -> None:
    with town.hub() as hub, hub.database.transaction() as session:
        row = session.get_one(ExchangeRow, SYNC)
        row.source, row.due_at = {**row.source, "capture": "pushed"}, now(session) - timedelta(days=3)
        session.get_one(ExchangeRow, town.share).due_at = now(session) + timedelta(days=1)
    assert lost(town, 0) == []  # a time of its own it has none
    with town.hub() as hub, hub.database.transaction() as session:
        for number in (1, 2):
            message = MessageRow(
                department="d", message=str(number), exchange=SYNC, endpoint="box", object="o", file=f"f{number}",
                digest="", rows=1, kept=True, received_at=now(session) - timedelta(seconds=90),
            )  # fmt: skip
            session.add(message)
        session.get_one(ExchangeRow, SYNC).due_at = now(session) + timedelta(days=1)
    assert lost(town) == [SYNC]
    assert lost(town, 120) == []
    with town.hub() as hub:
        assert hub.timetable.waiting().keys() == {SYNC}
        town.change("suspend")  # of the other exchange: it matters nothing
        assert lost(town) == [SYNC]
        hub.pausing.pause("exchange", SYNC, reason="x", by=town.actor("integrator"))
        assert lost(town) == []
