"""Sessions: how long they last, and what the hub keeps of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from exchange.db import now
from exchange.db.tables import AccountRow, AttemptRow, SessionRow
from exchange.errors import Busy
from exchange.hub import Hub
from exchange.hub.sessions import Presence
from tests.exchange.engine.town import Town
from tests.exchange.hub.people import HERE, People


def aged(hub: Hub, **by: float) -> None:
    """As if so much time had passed since somebody was there, or since the session began."""
    with hub.database.transaction() as session:
        row = session.scalars(sa.select(SessionRow)).one()
        row.seen_at -= timedelta(minutes=by.get("idle", 0))
        row.expires_at -= timedelta(hours=by.get("open", 0))


@pytest.mark.parametrize(
    ("by", "there"),
    [({"idle": 29}, True), ({"idle": 30}, False), ({"open": 11.9}, True), ({"open": 12}, False)],
)
def test_a_session_ends_idle_or_old(town: Town, by: dict[str, float], there: bool) -> None:
    with town.hub() as hub:
        made = People(hub).enter("sysadmin", hub.accounts.reset("sysadmin", by=town.actor("integrator")).password or "")
        aged(hub, **by)
        assert (hub.signing.present(made.secret) is not None) is there
        assert hub.signing.prune() == (0 if there else 1)
        with hub.database.reading() as session:
            assert len(session.scalars(sa.select(SessionRow)).all()) == there


def test_that_somebody_is_there_is_noted_once_a_minute(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    with town.hub() as hub:
        people = People(hub)
        made = people.enter("tax", people.given["tax"])
        written: list[str] = []
        real = hub.database.transaction
        monkeypatch.setattr(hub.database, "transaction", lambda: written.append("") or real())
        for _ in range(5):
            assert hub.signing.present(made.secret) is not None
        assert written == []
        aged(hub, idle=2)
        written.clear()
        for _ in range(5):
            assert hub.signing.present(made.secret) is not None
        assert len(written) == 1
        aged(hub, idle=2)

        def held() -> None:
            raise Busy("平台数据库被占用")

        # Whoever only looks does not wait for who writes.
        with monkeypatch.context() as patch:
            patch.setattr(hub.database, "transaction", held)
            assert hub.signing.present(made.secret) is not None


def test_the_hub_keeps_no_secret_of_a_session(town: Town) -> None:
    with town.hub() as hub:
        people = People(hub)
        made = people.enter("tax", people.given["tax"])
        secret = made.secret.get_secret_value()
        present = hub.signing.present(secret)
        assert present is not None
        with hub.database.reading() as session:
            row = session.scalars(sa.select(SessionRow)).one()
        assert row.id == present.session
        assert hub.signing.present(row.id) is None
        for shown in (repr(made), repr(present), repr(vars(row))):
            assert secret not in shown
            assert made.csrf not in shown
        # From one session's csrf follows neither its secret nor another's.
        assert people.enter("tax", people.given["tax"]).csrf != made.csrf


@pytest.mark.parametrize("secret", ["", "x", "x" * 100_000, "\x00", "ä", "\ud800"])
def test_a_secret_that_is_none(town: Town, secret: str) -> None:
    with town.hub() as hub:
        assert hub.signing.present(secret) is None
        hub.signing.sign_out(secret)


def test_what_is_over_is_forgotten(town: Town) -> None:
    with town.hub() as hub:
        hub.signing.attempts.begin("x", HERE)
        with hub.database.transaction() as session:
            for row in session.scalars(sa.select(AttemptRow)):
                row.since -= timedelta(minutes=31)
        assert hub.timetable.keep().done["sessions"] == 0
        with hub.database.reading() as session:
            assert session.scalars(sa.select(AttemptRow)).all() == []


def test_an_old_password_must_be_changed(town: Town) -> None:
    with town.hub() as hub:
        people = People(hub)
        made = people.enter("tax", people.given["tax"])
        with hub.database.transaction() as session:
            session.get_one(AccountRow, "tax").password_at = now(session) - timedelta(days=90)
        present = hub.signing.present(made.secret)
        assert present is not None
        assert present.must_change
        assert present.actor.roles == frozenset()
        assert people.enter("tax", people.given["tax"]).must_change


def test_what_a_token_may_be_used_for() -> None:
    from exchange.identity import PLATFORM

    present = Presence(PLATFORM, "x")
    assert present.may_write
    assert not replace(present, scopes=frozenset({"read"})).may_write
    assert replace(present, scopes=frozenset({"read", "write"})).may_write
