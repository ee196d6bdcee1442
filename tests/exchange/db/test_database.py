"""Transactions, the clock, and what is said when the database is held or away."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from exchange.db import HubDatabase, alone, clock, now
from exchange.db.tables import LeaseRow, NoticeRow
from exchange.errors import Busy, Failed, Invalid, Misplaced


def notice(session, said="你好"):
    session.add(NoticeRow(department="1" * 18, text=said, at=now(session)))


def count(database) -> int:
    with database.reading() as session:
        return len(session.scalars(select(NoticeRow)).all())


def test_what_is_done_is_kept_and_what_fails_is_not(database):
    with database.transaction() as session:
        notice(session, "𠮷田 𬍤 '\"\\")
    with pytest.raises(ZeroDivisionError), database.transaction() as session:
        notice(session)
        raise ZeroDivisionError
    with database.reading() as session:
        found = session.scalars(select(NoticeRow)).one()
    assert found.text == "𠮷田 𬍤 '\"\\"
    assert found.at.tzinfo is UTC


def test_a_companion_commits_with_the_call_and_with_nothing_beside_it(database):
    class Companion:
        def began(self, session):
            assert count(database) == 0

        def ending(self, session):
            notice(session, "beside")

    with database.accompanied(Companion()):
        with pytest.raises(ZeroDivisionError), database.transaction():
            raise ZeroDivisionError
        assert count(database) == 0
        with database.accompanied(None), database.transaction():
            pass
        assert count(database) == 0
        with database.transaction() as session:
            notice(session)
    assert count(database) == 2
    with database.transaction():
        pass
    assert count(database) == 2


def test_a_reader_sees_one_state_and_keeps_nobody_waiting(database):
    with database.reading() as session:
        assert session.scalars(select(NoticeRow)).all() == []
        with database.transaction() as other:
            notice(other)
        assert session.scalars(select(NoticeRow)).all() == []
    assert count(database) == 1


def test_a_reader_cannot_write(database):
    with pytest.raises((Failed, SQLAlchemyError)), database.reading() as session:
        notice(session)
        session.flush()
    assert count(database) == 0


def test_a_look_aside_is_had_while_every_connection_is_taken(database):
    with ExitStack() as taken:
        taken.enter_context(database.transaction())
        for _ in range(14):
            taken.enter_context(database.reading())
        with database.aside() as session:
            assert session.scalar(text("SELECT 1")) == 1
    with pytest.raises((Failed, SQLAlchemyError)), database.aside() as session:
        notice(session)
        session.flush()
    assert count(database) == 0


def test_the_clock_is_the_database_s_and_moves_within_a_transaction(database):
    with database.transaction() as session:
        first, second = clock(session), now(session)
        time.sleep(0.05)
        third = clock(session)
    assert second.utcoffset() == timedelta(0)
    assert abs(second - datetime.now(UTC)) < timedelta(seconds=5)
    assert first <= second.timestamp() < third < first + 5
    assert third - first >= 0.045


def test_a_row_that_is_held_makes_the_other_wait_and_then_busy(database):
    with database.transaction() as session:
        notice(session)
    held = threading.Event()
    free = threading.Event()

    def hold():
        with database.transaction() as session:
            session.scalars(select(NoticeRow).with_for_update()).one().text = "held"
            session.flush()
            held.set()
            free.wait(10)

    with ThreadPoolExecutor() as pool:
        holder = pool.submit(hold)
        held.wait(10)
        began = time.monotonic()
        with pytest.raises(Busy) as raised, database.transaction() as session:
            session.scalars(select(NoticeRow).with_for_update()).one()
        waited = time.monotonic() - began
        free.set()
        holder.result()
    assert 0.9 < waited < 5
    assert raised.value.retry
    with database.transaction() as session:
        assert session.scalars(select(NoticeRow).with_for_update()).one().text == "held"


def test_counters_raised_by_many_lose_nothing(hub_url, database):
    with database.transaction() as session:
        notice(session, "0")
    patient = HubDatabase(hub_url, wait=60)

    def raise_it(_):
        with patient.transaction() as session:
            row = session.scalars(select(NoticeRow).with_for_update()).one()
            row.text = str(int(row.text) + 1)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(raise_it, range(80)))
    patient.close()
    with database.reading() as session:
        assert session.scalars(select(NoticeRow.text)).one() == "80"


def test_alone_is_alone(hub_url, database):
    patient = HubDatabase(hub_url, wait=60)
    inside = []
    most = []

    def enter(_):
        with patient.transaction() as session:
            alone(session, "test")
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(enter, range(12)))
    patient.close()
    assert most == [1] * 12


def test_mistakes_of_the_program_are_not_hidden_and_show_no_parameter(database, caplog):
    wrong = text("INSERT INTO notice (id, department, text) VALUES (1, :department, NULL)")
    caplog.set_level(logging.DEBUG, logger="sqlalchemy")
    with pytest.raises(IntegrityError) as raised, database.transaction() as session:
        session.execute(wrong, {"department": "battery"})
    assert "parameters hidden" in str(raised.value)
    assert "battery" not in caplog.text


def test_foreign_keys_hold(database):
    with pytest.raises(IntegrityError), database.transaction() as session:
        session.add(LeaseRow(exchange="none", epoch=1, owner=None, expires=0.0))


@pytest.mark.parametrize("url", ["mysql://a@b/c", "sqlite://", "sqlite:///:memory:"])
def test_other_databases_are_refused(url):
    with pytest.raises(Invalid):
        HubDatabase(url)


def test_a_password_is_not_shown():
    database = HubDatabase("postgresql://hub:horse@127.0.0.1:1/hub", wait=1)
    with pytest.raises(Failed) as raised, database.reading():
        pass
    assert raised.value.retry
    assert "127.0.0.1:1/hub" in raised.value.message
    assert "horse" not in "".join(traceback.format_exception(raised.value)) + repr(database)


def test_a_newer_database_is_refused(database):
    with database.transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Misplaced, match="更新版本") as raised:
        database.migrate()
    assert "升级" in raised.value.remedy


def test_many_may_migrate_at_once(hub_url):
    databases = [HubDatabase(hub_url, wait=60) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(HubDatabase.migrate, databases))
    assert count(databases[0]) == 0
    for database in databases:
        database.close()


def test_many_processes_may_migrate_at_once(hub_url):
    program = "import sys; from exchange.db import HubDatabase; HubDatabase(sys.argv[1], wait=60).migrate()"
    processes = [subprocess.Popen([sys.executable, "-c", program, hub_url]) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    database = HubDatabase(hub_url)
    assert count(database) == 0
    database.close()
