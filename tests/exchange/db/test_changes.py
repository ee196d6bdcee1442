"""Who follows changes is told after the commits that made some, and after no other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
import sqlalchemy as sa

from exchange.db import HubDatabase
from exchange.db.tables import NonceRow, PauseRow, RateRow


@pytest.fixture
def database(tmp_path: Path) -> Iterator[HubDatabase]:
    with closing(HubDatabase(f"sqlite:///{tmp_path}/hub.db")) as database:
        database.migrate()
        yield database


@pytest.fixture
def told(database: HubDatabase) -> list[int]:
    """How many rows there were each time somebody was told; from a transaction of his own."""
    told: list[int] = []

    def follow() -> None:
        with database.reading() as session:
            told.append(session.scalar(sa.select(sa.func.count()).select_from(RateRow)) or 0)

    database.changes.follow({RateRow: frozenset({"rows"})}, follow)
    return told


def rate(minute: int = 1) -> RateRow:
    return RateRow(department="d", minute=minute, calls=1, rows=1)


def test_rows_that_come_change_and_go(database: HubDatabase, told: list[int]) -> None:
    with database.transaction() as session:
        session.add_all([rate(1), rate(2)])
        session.flush()
        session.add(rate(3))
        assert told == []
    assert told == [3]
    with database.transaction() as session:
        session.get_one(RateRow, ("d", 1)).calls = 7
    with database.transaction() as session:
        session.delete(session.get_one(RateRow, ("d", 2)))
    assert told == [3, 3, 2]


def test_what_does_not_matter_or_is_the_same_or_another_table_tells_nothing(
    database: HubDatabase, told: list[int]
) -> None:
    with database.transaction() as session:
        session.add(rate())
    with database.transaction() as session:
        session.get_one(RateRow, ("d", 1)).rows = 99
    with database.transaction() as session:
        session.get_one(RateRow, ("d", 1)).calls = 1
    with database.transaction() as session:
        session.execute(sa.select(RateRow))
        session.execute(sa.delete(NonceRow))
    with database.reading() as session:
        session.get_one(RateRow, ("d", 1))
    assert told == [1]


def test_statements_over_many_rows_tell_too(database: HubDatabase, told: list[int]) -> None:
    with database.transaction() as session:
        session.execute(sa.insert(RateRow), [{"department": "d", "minute": n, "calls": 1, "rows": 1} for n in range(5)])
    with database.transaction() as session:
        session.execute(sa.update(RateRow).values(calls=2))
    with database.transaction() as session:
        session.execute(sa.delete(RateRow).where(RateRow.minute < 2))
    assert told == [5, 5, 3]


def test_what_is_rolled_back_tells_nothing(database: HubDatabase, told: list[int]) -> None:
    with suppress(RuntimeError), database.transaction() as session:
        session.add(rate())
        session.flush()
        raise RuntimeError
    assert told == []
    with database.transaction() as session:
        with suppress(RuntimeError), session.begin_nested():
            session.add(rate(1))
            session.flush()
            raise RuntimeError
        with session.begin_nested():
            session.add(rate(2))
    assert told == [1]


def test_several_follow_what_is_theirs(database: HubDatabase, told: list[int]) -> None:
    pauses: list[str] = []
    database.changes.follow({PauseRow: frozenset()}, lambda: pauses.append("pause"))
    with database.transaction() as session:
        session.add(rate())
    assert (told, pauses) == ([1], [])
