"""Failures to sign in: how they are counted, and what ends a lock."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from exchange.db.tables import AttemptRow
from exchange.hub import Hub
from exchange.hub.attempts import Attempts, Bounded, Counted, Waiting
from tests.exchange.engine.town import Town
from tests.exchange.hub.people import HERE


def later(hub: Hub, by: timedelta) -> None:
    """As if so much time had passed."""
    with hub.database.transaction() as session:
        for row in session.scalars(sa.select(AttemptRow)):
            row.since -= by
            row.until = row.until - by if row.until is not None else None


def test_the_last_one_locks_and_the_next_one_waits(town: Town) -> None:
    with town.hub() as hub:
        attempts = Attempts(hub)
        counted = [attempts.begin("x", HERE) for _ in range(6)]
        assert [each.last for each in counted[:5] if isinstance(each, Counted)] == [False] * 4 + [True]
        waiting = counted[5]
        assert isinstance(waiting, Waiting)
        assert (waiting.reason, 890 < waiting.seconds <= 900) == ("login", True)
        assert isinstance(attempts.begin("y", HERE), Counted)


@pytest.mark.parametrize(("minutes", "locks"), [(14, True), (16, False)])
def test_failures_count_for_as_long_as_a_lock_lasts(town: Town, minutes: int, locks: bool) -> None:
    with town.hub() as hub:
        for _ in range(4):
            hub.signing.attempts.begin("x", HERE)
        later(hub, timedelta(minutes=minutes))
        counted = hub.signing.attempts.begin("x", HERE)
        assert isinstance(counted, Counted)
        assert counted.last is locks


def test_an_address_waits_a_minute(town: Town) -> None:
    with town.hub() as hub:
        attempts = hub.signing.attempts
        for number in range(30):
            assert isinstance(attempts.begin(f"x{number}", HERE), Counted)
        waiting = attempts.begin("y", HERE)
        assert isinstance(waiting, Waiting)
        assert waiting.reason == "address"
        assert isinstance(attempts.begin("y", "192.0.2.8"), Counted)
        later(hub, timedelta(minutes=1))
        assert isinstance(attempts.begin("y", HERE), Counted)


def test_a_success_takes_back_what_it_counted_for_its_address(town: Town) -> None:
    with town.hub() as hub:
        attempts = hub.signing.attempts
        kept = [attempts.begin(f"x{number}", HERE) for number in range(30)]
        [counted] = [each for each in kept[-1:] if isinstance(each, Counted)]
        with hub.database.transaction() as session:
            attempts.succeeded(session, counted)
        assert isinstance(attempts.begin("y", HERE), Counted)
        assert isinstance(attempts.begin("z", HERE), Waiting)


def test_what_is_counted_does_not_say_whom(town: Town) -> None:
    with town.hub() as hub:
        hub.signing.attempts.begin("geheim", HERE)
        with hub.database.reading() as session:
            for row in session.scalars(sa.select(AttemptRow)):
                assert len(row.who) == 64
                assert "geheim" not in row.who


def test_a_storm_is_counted_and_not_let_through() -> None:
    bounded = Bounded(2)
    assert [bounded.through() for _ in range(4)] == [0, 0, None, None]
    bounded._minute -= 1
    assert bounded.through() == 2
