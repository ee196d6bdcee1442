from __future__ import annotations

import pytest
import sqlalchemy as sa

from adapters.database import DatabaseEndpoint
from adapters.database.dialects import DatabaseOptions
from adapters.database.place import Place
from adapters.errors import Misconfigured, Refused, Unavailable
from tests.adapters.database.conftest import Hands, options_of


@pytest.fixture
def place(database_url: str) -> Place:
    return Place(DatabaseOptions.model_validate(options_of(database_url)), "Asia/Shanghai")


def test_a_transaction_is_whole_or_nothing(place: Place, hands: Hands) -> None:
    hands.run("CREATE TABLE t (a integer)")
    with place.transaction() as connection:
        connection.execute(sa.text("INSERT INTO t VALUES (1)"))
    with pytest.raises(Refused), place.transaction() as connection:
        connection.execute(sa.text("INSERT INTO t VALUES (2)"))
        raise Refused("changed my mind")
    with pytest.raises(KeyboardInterrupt), place.transaction() as connection:
        connection.execute(sa.text("INSERT INTO t VALUES (3)"))
        raise KeyboardInterrupt
    assert hands.rows("SELECT a FROM t") == [(1,)]


def test_a_snapshot_does_not_move(place: Place, hands: Hands) -> None:
    if hands.product == "sqlite":
        hands.run("PRAGMA journal_mode = WAL")
    hands.run("CREATE TABLE t (a integer)", "INSERT INTO t VALUES (1)")
    connection = place.snapshot()
    hands.run("INSERT INTO t VALUES (2)")
    assert connection.execute(sa.text("SELECT a FROM t")).all() == [(1,)]
    connection.close()
    connection = place.snapshot()
    assert len(connection.execute(sa.text("SELECT a FROM t")).all()) == 2
    connection.close()


def test_a_snapshot_cannot_write(place: Place, hands: Hands) -> None:
    if hands.product == "sqlite":
        return
    hands.run("CREATE TABLE t (a integer)")
    connection = place.snapshot()
    with pytest.raises((Refused, Unavailable)), place.translating():
        connection.execute(sa.text("INSERT INTO t VALUES (2)"))
    connection.close()


def test_a_table_that_is_not_there_is_told_by_name(place: Place, hands: Hands) -> None:
    hands.run("CREATE TABLE t (a integer)")
    with place.translating(), place.engine.connect() as connection:
        assert place.shape(connection, "t").name == "t"
        with pytest.raises(Misconfigured, match="没有表 absent") as caught:
            place.shape(connection, "absent")
    assert caught.value.remedy


def test_a_message_names_the_place_and_no_secret(database_url: str, hands: Hands) -> None:
    options = options_of(database_url)
    if hands.product == "sqlite":
        return
    endpoint = DatabaseEndpoint(options | {"password": "wr0ng-s3cret"})
    with pytest.raises(Refused) as caught:
        endpoint.inspect()
    said = caught.value.message + caught.value.remedy + repr(endpoint._place)
    assert options["database"] in said
    assert "wr0ng-s3cret" not in said
    assert str(options["password"]) not in said


def test_places_that_are_not_there(database_url: str, hands: Hands, tmp_path: object) -> None:
    options = options_of(database_url)
    if hands.product == "sqlite":
        with pytest.raises(Misconfigured, match=r"missing\.db"):
            DatabaseEndpoint({"product": "sqlite", "path": f"{tmp_path}/missing.db"}).inspect()
        return
    with pytest.raises(Misconfigured):
        DatabaseEndpoint(options | {"database": "absent"}).inspect()
    with pytest.raises(Unavailable) as caught:
        DatabaseEndpoint(options | {"port": 1}).inspect()
    assert caught.value.retry
    with pytest.raises(Refused):
        DatabaseEndpoint(options | {"user": "nobody_here"}).inspect()
