"""PostgreSQL under the hub."""

from __future__ import annotations

import threading

import psycopg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError

from exchange.db import HubDatabase
from exchange.db.postgresql import Postgresql
from exchange.errors import Busy, Failed, Invalid, Unavailable


@pytest.fixture
def url(postgresql_server):
    url = postgresql_server.new_database()
    yield url
    postgresql_server.drop_database(url)


@pytest.fixture
def database(url):
    database = HubDatabase(url, wait=1)
    database.migrate()
    yield database
    database.close()


def test_how_transactions_are_set(database):
    with database.transaction() as session:
        assert session.scalar(text("SHOW transaction_isolation")) == "read committed"
        assert session.scalar(text("SHOW transaction_read_only")) == "off"
        assert session.scalar(text("SHOW lock_timeout")) == "1s"
    with database.reading() as session:
        assert session.scalar(text("SHOW transaction_isolation")) == "repeatable read"
        assert session.scalar(text("SHOW transaction_read_only")) == "on"
    with database.transaction() as session:
        assert session.scalar(text("SHOW transaction_read_only")) == "off"


def test_the_usual_spelling_of_the_address_will_do(url, database):
    plain = make_url(url).set(drivername="postgresql")
    other = HubDatabase(plain)
    with other.reading() as session:
        assert session.scalar(text("SELECT count(*) FROM event")) == 0
    other.close()


def test_a_connection_that_was_cut_is_a_failure_that_may_pass(database):
    with pytest.raises(Failed) as raised, database.transaction() as session:
        own = session.scalar(text("SELECT pg_backend_pid()"))
        with database.transaction() as other:
            other.execute(text("SELECT pg_terminate_backend(:own, 5000)"), {"own": own})
        session.execute(text("SELECT 1"))
    assert raised.value.retry
    with database.transaction() as session:
        assert session.scalar(text("SELECT 1")) == 1


def test_a_deadlock_makes_one_of_the_two_busy(database):
    with database.transaction() as session:
        for number in (1, 2):
            session.execute(
                text("INSERT INTO notice (id, department, text, at) VALUES (:id, 'x', 'y', now())"), {"id": number}
            )
    meeting = threading.Barrier(2)
    outcomes = []

    def cross(first, second):
        try:
            with database.transaction() as session:
                session.execute(text("UPDATE notice SET text = 'z' WHERE id = :id"), {"id": first})
                meeting.wait(10)
                session.execute(text("UPDATE notice SET text = 'z' WHERE id = :id"), {"id": second})
        except Busy:
            outcomes.append("busy")
        else:
            outcomes.append("done")

    threads = [threading.Thread(target=cross, args=pair) for pair in [(1, 2), (2, 1)]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "busy" in outcomes


def test_a_refused_password_is_said_without_it(url):
    address = make_url(url).set(password="horse", database="postgres")
    database = HubDatabase(address, wait=2)
    with pytest.raises(Failed) as raised, database.reading():
        pass
    assert "horse" not in str(raised.value) + str(raised.value.__cause__)
    database.close()


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("40001", Busy),
        ("40P01", Busy),
        ("55P03", Busy),
        ("57P01", Failed),
        ("53300", Failed),
        ("08006", Failed),
        ("23505", None),
        ("42P01", None),
    ],
)
def test_what_the_server_says_is_translated(state, expected):
    cause = psycopg.errors.lookup(state)("the server's words")
    product = Postgresql(make_url("postgresql://hub@db/hub"), 1.0)
    translated = product.translated(DBAPIError("SELECT", {}, cause))
    assert (translated is None) if expected is None else (isinstance(translated, expected) and translated.retry)


def test_what_no_text_can_hold_is_the_caller_s_mistake(database):
    with pytest.raises(Invalid, match="不能保存的字符"), database.reading() as session:
        session.execute(text("SELECT CAST(:given AS TEXT)"), {"given": "a\x00b"})
    with database.reading() as session:
        assert session.scalar(text("SELECT 1")) == 1


def test_a_database_that_is_away_is_a_sort_of_its_own(database, url, postgresql_server):
    postgresql_server.execute(f"DROP DATABASE {make_url(url).database} WITH (FORCE)")
    with pytest.raises(Unavailable), database.reading() as session:
        session.execute(text("SELECT 1"))
    postgresql_server.execute(f"CREATE DATABASE {make_url(url).database}")
