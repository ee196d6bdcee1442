"""What rests because somebody said so: refused with the reason, passed by, and carried on when it is resumed."""

from __future__ import annotations

import signal
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from exchange.db import clock, now
from exchange.db.tables import EventRow, ExchangeRow, LeaseRow, PauseRow
from exchange.errors import Denied, Invalid, Misplaced, Unknown
from exchange.identity import Actor
from exchange.settings import Role
from tests.exchange.engine.drops import Drops
from tests.exchange.engine.town import POLICE, SYNC, TAX, Town, person
from tests.exchange.engine.worker import Workers


def engineer(department: str) -> Actor:
    return Actor(name="工程师", established="os-user", department=department, roles=frozenset({Role.INTEGRATOR}))


def kinds(town: Town) -> list[str]:
    wanted = ("ExchangePaused", "ExchangeResumed", "EndpointPaused", "EndpointResumed")
    return town.all(sa.select(EventRow.type).where(EventRow.type.in_(wanted)).order_by(EventRow.id))


def test_a_paused_exchange_is_refused_with_who_why_and_until_when(town: Town) -> None:
    town.report(person(1))
    with town.hub() as hub:
        by = town.actor("integrator")
        until = now_of(town) + timedelta(days=1)
        assert hub.pausing.pause("exchange", SYNC, reason=" 核查 ", until=until, by=by) == (SYNC,)
        with pytest.raises(Misplaced) as caught:
            town.run(SYNC)
        assert all(text in caught.value.message for text in ("集成员", "核查", "暂停至"))
        assert hub.oversight.due() == [town.share]
        assert hub.timetable.lost(0) == [town.share]
        (found,) = (each for each in hub.oversight.status() if each.id == SYNC)
        assert (found.state, len(found.resting)) == ("paused", 1)
        assert {each.id: each.paused for each in hub.timetable.snapshot().exchanges} == {SYNC: True, town.share: None}
        assert hub.pausing.resume("exchange", SYNC, reason="好了", by=by) == (SYNC,)
    assert town.run(SYNC).state == "settled"
    assert kinds(town) == ["ExchangePaused", "ExchangeResumed"]


def now_of(town: Town):
    with town.hub() as hub, hub.database.reading() as session:
        return now(session)


def test_a_paused_endpoint_rests_with_everything_at_it_and_each_pause_counts(town: Town) -> None:
    with town.hub() as hub:
        by, police = town.actor("integrator"), engineer(POLICE)
        hub.timetable.publish()
        assert hub.pausing.pause("endpoint", "police", reason="检修", by=police) == (SYNC,)
        assert {each.name: each.slots for each in hub.timetable.snapshot().pools} == {"police": 0, "tax": 2}
        assert hub.pausing.pause("exchange", SYNC, reason="另查", by=by) == ()
        assert hub.pausing.resume("endpoint", "police", reason="好了", by=police) == ()
        with pytest.raises(Misplaced, match="另查"):
            town.run(SYNC)
        assert hub.pausing.pause("endpoint", "library", reason="升级", by=by) == (town.share,)
        assert hub.pausing.resume("exchange", SYNC, reason="好了", by=by) == ()
        assert set(hub.pausing.resume("endpoint", "library", reason="好了", by=by)) == {SYNC, town.share}
        assert {each.name: each.slots for each in hub.timetable.snapshot().pools} == {"police": 2, "tax": 2}


def test_who_may(town: Town) -> None:
    with town.hub() as hub:
        pause, resume = hub.pausing.pause, hub.pausing.resume
        with pytest.raises(Denied):
            pause("endpoint", "police", reason="x", by=engineer(TAX))
        with pytest.raises(Denied):
            pause("exchange", SYNC, reason="x", by=town.actor("police"))
        pause("exchange", town.share, reason="x", by=engineer(TAX))
        with pytest.raises(Denied):
            resume("exchange", town.share, reason="x", by=engineer(POLICE))
        with pytest.raises(Denied):
            pause("exchange", town.share, reason="y", by=engineer(POLICE))
        resume("exchange", town.share, reason="x", by=town.actor("integrator"))
        pause("exchange", town.share, reason="x", by=town.actor("integrator"))
        with pytest.raises(Denied):
            resume("exchange", town.share, reason="x", by=engineer(TAX))
    assert len(town.all(sa.select(EventRow).where(EventRow.type == "AccessDenied"))) == 5


def test_what_cannot_be_said_is_refused(town: Town) -> None:
    with town.hub() as hub:
        by, moment = town.actor("integrator"), now_of(town)
        with pytest.raises(Invalid) as caught:
            hub.pausing.pause("exchange", SYNC, reason=" ", until=moment, by=by)
        assert len(caught.value.problems) == 2
        with pytest.raises(Misplaced, match="没有暂停"):
            hub.pausing.resume("exchange", SYNC, reason="x", by=by)
        hub.pausing.pause("exchange", SYNC, reason="x", by=by)
        with pytest.raises(Invalid):
            hub.pausing.resume("exchange", SYNC, reason="", by=by)
        for kind in ("exchange", "endpoint"):
            with pytest.raises(Unknown):
                hub.pausing.pause(kind, "nothing", reason="x", by=by)  # type: ignore[arg-type]
        with hub.database.transaction() as session:
            session.get_one(ExchangeRow, town.share).state = "ended"
        with pytest.raises(Misplaced, match="已终止"):
            hub.pausing.pause("exchange", town.share, reason="x", by=by)


def test_housekeeping_resumes_what_was_to_rest_until_now(town: Town) -> None:
    with town.hub() as hub:
        until = now_of(town) + timedelta(hours=1)
        hub.pausing.pause("endpoint", "tax", reason="检修", until=until, by=town.actor("integrator"))
        assert hub.timetable.keep().done["pauses"] == 0
        with hub.database.transaction() as session:
            session.get_one(PauseRow, ("endpoint", "tax")).until = now(session)
        assert hub.timetable.keep().done["pauses"] == 1
        assert hub.oversight.due() == [SYNC, town.share]
    (event,) = town.all(sa.select(EventRow).where(EventRow.type == "EndpointResumed"))
    assert (event.actor, event.body["exchanges"]) == ("platform", 1)


def test_what_was_begun_waits_and_is_carried_to_its_end_when_it_is_resumed(town: Town, workers: Workers) -> None:
    town.report(*(person(number) for number in range(4)))
    assert workers.run(town.home, SYNC, "6.gated") == -signal.SIGKILL
    with town.hub() as hub:
        with hub.database.transaction() as session:
            session.get_one(LeaseRow, SYNC).expires = clock(session) - 100
        by = town.actor("integrator")
        hub.pausing.pause("endpoint", "police", reason="检修", by=by)
        assert SYNC not in hub.oversight.due()
        assert SYNC not in hub.timetable.lost(0)
        with pytest.raises(Misplaced, match="检修"):
            town.run(SYNC)
        hub.pausing.resume("endpoint", "police", reason="好了", by=by)
        assert SYNC in hub.timetable.lost(0)
    assert town.run(SYNC).state == "settled"
    assert town.run(SYNC).counts["read"] == 0
    assert len(town.rows("library")) == 4


def test_what_runs_already_is_carried_to_its_end(town: Town) -> None:
    town.report(person(1))

    def meanwhile(step: str, _figures: object) -> None:
        if step == "6.gated":
            with town.hub() as hub:
                hub.pausing.pause("exchange", SYNC, reason="x", by=town.actor("integrator"))

    assert town.run(SYNC, observe=meanwhile).state == "settled"
    with pytest.raises(Misplaced):
        town.run(SYNC)


def test_what_is_owed_to_a_paused_recipient_is_delivered_when_it_is_resumed(town: Town) -> None:
    drops = Drops(town, 1)
    with town.hub() as hub:
        by = town.actor("integrator")
        hub.pausing.pause("endpoint", "drop0", reason="检修", by=by)
        drops.collect(1, 2)
        assert hub.engine.dispatches.overdue() == []
        assert hub.timetable.waiting() == {}
        assert hub.messages.work(by=by, once=True).get("delivered", 0) == 0
        hub.pausing.resume("endpoint", "drop0", reason="好了", by=by)
        assert hub.timetable.waiting().keys() == set(drops.shares)
        hub.messages.work(by=by, once=True)
    assert len(drops.rows(0)) == 2


def test_a_new_exchange_at_a_paused_endpoint_rests(town: Town, tmp_path: Path) -> None:
    with town.hub() as hub:
        hub.pausing.pause("endpoint", "library", reason="升级", by=town.actor("integrator"))
    drops = Drops(town, 1)
    with town.hub() as hub, hub.database.reading() as session:
        assert session.get_one(ExchangeRow, drops.shares[0]).state == "paused"
        assert session.get_one(ExchangeRow, SYNC).state == "paused"  # published anew meanwhile
