"""A call under a key is carried out once, whenever whoever carries it out dies."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from exchange.api import once
from exchange.api.once import Answerless, Once, Reused, Underway, described
from exchange.db.tables import NoticeRow, OnceRow
from exchange.errors import Invalid
from exchange.hub import Hub
from tests.exchange.api.programmes import Programmes
from tests.exchange.engine.town import POLICE, Town

KEY = "5f0c6e1e-0001"


def asked(hub: Hub, call: bytes = b"POST /a", key: str = KEY) -> Once:
    return Once(hub.database, "police", key, call)


def do(hub: Hub, one: Once) -> None:
    """A use case of one transaction."""
    from exchange.db import now

    with hub.database.accompanied(one), hub.database.transaction() as session:
        session.add(NoticeRow(department=POLICE, run=None, text="once", at=now(session)))


def done(hub: Hub) -> int:
    with hub.database.reading() as session:
        wanted = sa.select(sa.func.count()).select_from(NoticeRow).where(NoticeRow.text == "once")
        return session.scalar(wanted) or 0


def test_the_answer_is_given_again(town: Town) -> None:
    with town.hub() as hub:
        one = asked(hub)
        assert one.begin() is None
        do(hub, one)
        one.end(201, {"location": "/x", "date": "today"}, b'{"a": 1}', secret=False)
        kept = asked(hub).begin()
        assert kept is not None
        assert (kept.status, kept.headers, kept.body) == (201, {"location": "/x"}, '{"a": 1}')
        with pytest.raises(Reused):
            asked(hub, b"POST /b").begin()
        assert Once(hub.database, "tax", KEY, b"POST /b").begin() is None  # another's key is another key


def test_who_died_before_the_commit_has_done_nothing_and_another_does_it(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    with town.hub() as hub:
        dead = asked(hub)
        assert dead.begin() is None
        with pytest.raises(Underway):
            asked(hub).begin()
        monkeypatch.setattr(once, "HELD", timedelta(0))
        other = asked(hub)
        assert other.begin() is None
        with pytest.raises(Underway):
            do(hub, dead)  # it was only slow
        assert done(hub) == 0
        do(hub, other)
        assert done(hub) == 1


def test_who_died_after_the_commit_has_done_it_and_nobody_does_it_again(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(once, "HELD", timedelta(0))
    with town.hub() as hub:
        one = asked(hub)
        assert one.begin() is None
        do(hub, one)
        with pytest.raises(Answerless, match="已经办理"):
            asked(hub).begin()
        assert done(hub) == 1


def test_what_did_nothing_may_be_tried_again(town: Town) -> None:
    with town.hub() as hub:
        one = asked(hub)
        assert one.begin() is None
        one.end(422, {}, b"{}", secret=False)
        assert asked(hub).begin() is None


def test_a_defect_after_a_commit_is_not_repeated(town: Town) -> None:
    with town.hub() as hub:
        one = asked(hub)
        one.begin()
        do(hub, one)
        one.end(500, {}, b"", secret=False)
        with pytest.raises(Answerless):
            asked(hub).begin()


def test_a_secret_is_not_kept(calls: Programmes) -> None:
    given = {"login": "helper", "name": "程序甲", "department": POLICE}
    headers = {"Idempotency-Key": KEY}
    first = calls.ask("sysadmin", "POST", "/accounts", json=given, headers=headers)
    assert first.status_code == 201
    password = first.json()["password"]
    again = calls.ask("sysadmin", "POST", "/accounts", json=given, headers=headers)
    assert again.status_code == 409
    assert "只告知一次" in again.json()["title"]
    with calls.hub.database.reading() as session:
        kept: Any = session.scalars(sa.select(OnceRow)).one()
        assert kept.body is None
        assert password not in str(vars(kept))


@pytest.mark.parametrize("key", ["", "a b", "ü", "x" * 256])
def test_a_key_is_plain(town: Town, key: str) -> None:
    with town.hub() as hub, pytest.raises(Invalid):
        asked(hub, key=key)


def test_keys_are_forgotten(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    with town.hub() as hub:
        asked(hub).begin()
        monkeypatch.setattr(once, "KEPT", timedelta(0))
        asked(hub, key="another").begin()
        with hub.database.reading() as session:
            assert session.scalar(sa.select(sa.func.count()).select_from(OnceRow)) == 1


def test_the_same_call_however_it_is_spaced() -> None:
    assert described("POST", "/a?", b'{"a": 1, "b": 2}') == described("POST", "/a?", b'{"b":2,"a":1}')
    assert described("POST", "/a?", b"{}") != described("POST", "/b?", b"{}")
    assert described("POST", "/a?", b"[" * 100_000) != described("POST", "/a?", b"")
