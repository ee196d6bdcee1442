from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from adapters.base import Binding, Selection
from adapters.database import DatabaseEndpoint
from adapters.database.dialects.mariadb import MariaDB
from adapters.database.dialects.options import DatabaseOptions
from adapters.errors import Malformed, Refused, Unavailable, Unsupported
from tests.adapters.database.conftest import PERSON, SCHEMA, Deliverer, Hands, counts, options_of, person
from tests.support.servers import Server


@pytest.fixture
def database_url(mariadb_server: Server) -> Iterator[str]:
    url = mariadb_server.new_database()
    yield url
    mariadb_server.drop_database(url)


def read(endpoint: DatabaseEndpoint, *names: str) -> list[dict[str, Any]]:
    binding = Binding(object="t", columns={name: name for name in names}, key=names[:1])
    with endpoint.source(binding) as source:
        return [row for got in source.batches(Selection()) for row in got.to_pylist()]


def test_a_session_is_strict_whatever_the_server_is(
    endpoint: DatabaseEndpoint, hands: Hands, mariadb_server: Server
) -> None:
    """In a lax session a long text would be cut and a bad number made zero, with a warning only."""
    endpoint.install(PERSON, SCHEMA)
    mariadb_server.execute("SET GLOBAL sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT'")
    try:
        deliver = Deliverer(endpoint)
        assert counts(deliver(person("1", name='a\\"b|'), key="1")) == (1, 0, 0, 0, 0)
        bound = replace(PERSON, columns={**PERSON.columns, "version": "wide"})
        hands.run("ALTER TABLE person ADD wide integer")
        answer = Deliverer(endpoint, bound)(person("2", version=2**40), person("3", version=-(2**40)), key="2")
        assert [(each.row, each.rule) for each in answer.refused] == [(0, "target"), (1, "target")]
        assert hands.rows("SELECT id, name FROM person") == [("1", 'a\\"b|')]
    finally:
        mariadb_server.execute("SET GLOBAL sql_mode = DEFAULT")


def test_texts_full_of_any_sign_are_read_in_time(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    texts = ['"' * 300_000, "\x01\x01", "'\\\n\r\t,\x7f", '\x01"', "甲" * 100_000, ""]
    hands.run("CREATE TABLE t (id integer PRIMARY KEY, x longtext)")
    for number, text in enumerate(texts):
        hands.run("INSERT INTO t VALUES (:number, :text)", number=number, text=text)
    assert [row["x"] for row in read(endpoint, "id", "x")] == texts


def test_a_row_that_no_packet_holds_is_told(endpoint: DatabaseEndpoint, hands: Hands, mariadb_server: Server) -> None:
    hands.run("CREATE TABLE t (id integer PRIMARY KEY, x longblob)", "INSERT INTO t VALUES (1, repeat('x', 700000))")
    mariadb_server.execute("SET GLOBAL max_allowed_packet = 1048576")
    try:
        with pytest.raises(Malformed, match="max_allowed_packet"):
            read(endpoint, "id", "x")
    finally:
        mariadb_server.execute("SET GLOBAL max_allowed_packet = DEFAULT")


def test_other_character_sets_are_read_and_told(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    endpoint.install(PERSON, SCHEMA)
    hands.run("ALTER TABLE person MODIFY name varchar(50) CHARACTER SET gbk")
    assert endpoint.check(PERSON, SCHEMA, sink=True) == []
    answer = Deliverer(endpoint)(person("1"), person("2", name="张三"))
    assert [(row.row, row.rule) for row in answer.refused] == [(0, "target")]
    assert "列 name" in answer.refused[0].reason
    assert hands.persons("id", "name") == [("2", "张三")]
    hands.run(f"ALTER DATABASE {hands.engine.url.database} CHARACTER SET gbk")
    probe = next(probe for probe in endpoint.test() if probe.name == "字符集")
    assert (probe.passed, probe.detail) == (False, "gbk")


def test_no_warning_passes(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    """The server would rather tell of a digit that has no place, and store another number."""
    hands.run("CREATE TABLE t (amount decimal(5,1))")
    table = sa.table("t", sa.column("amount"))
    with pytest.raises(Refused, match="放不进"), endpoint._place.transaction() as connection:
        MariaDB().load(connection, table, {"amount": pa.array(["1.5", "1.25"])})
    assert hands.rows("SELECT * FROM t") == []
    with endpoint._place.transaction() as connection:
        MariaDB().load(connection, table, {"amount": pa.array(["1.5", "1.20"])})
    assert [str(amount) for (amount,) in hands.rows("SELECT * FROM t")] == ["1.5", "1.2"]


@pytest.mark.parametrize("place", [0, -1], ids=["first", "last"])
def test_no_warning_passes_among_many_rows(endpoint: DatabaseEndpoint, hands: Hands, place: int) -> None:
    """The driver sends them by several statements, of which the server remembers the warnings of the last."""
    hands.run("CREATE TABLE t (name text, amount decimal(5,1))")
    table = sa.table("t", sa.column("name"), sa.column("amount"))
    amounts = ["1.5"] * 3_000
    amounts[place] = "1.25"
    rows = {"name": pa.array(["x" * 1_000] * len(amounts)), "amount": pa.array(amounts)}
    with pytest.raises(Refused, match="放不进"), endpoint._place.transaction() as connection:
        MariaDB().load(connection, table, rows)
    assert hands.rows("SELECT * FROM t") == []


def test_keys_in_the_servers_own_collation_are_found_by_its_index(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    hands.run("CREATE TABLE t (id varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci PRIMARY KEY, v integer)")
    endpoint.install(PERSON, SCHEMA)
    schema = pa.schema([pa.field("id", pa.string(), metadata={"length": "20"}), ("v", pa.int64())])
    deliver = Deliverer(endpoint, Binding(object="t", columns={"id": "id", "v": "v"}, key=("id",), version="v"), schema)
    rows = [{"id": text, "v": 1, "_operation": 0} for text in ("a", "é", "甲", "𠮷")]
    assert counts(deliver(*rows, key="1")) == (4, 0, 0, 0, 0)
    assert counts(deliver(*rows, {"id": "b", "v": 1, "_operation": 0}, key="2")) == (1, 0, 4, 0, 0)
    [refused] = deliver({"id": "A", "v": 1, "_operation": 0}, key="3").refused
    assert "PRIMARY" in refused.reason


def test_a_lock_that_is_held_too_long(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    endpoint.install(PERSON, SCHEMA)
    deliver = Deliverer(endpoint)
    deliver(person("1"), key="1")

    def impatient(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION innodb_lock_wait_timeout = 1")

    sa.event.listen(endpoint._place.engine, "connect", impatient)
    with hands.engine.connect() as other:
        other.execute(sa.text("SELECT * FROM person FOR UPDATE")).close()
        with pytest.raises(Unavailable, match="占用"):
            deliver(person("1", 2), key="2")
    assert counts(deliver(person("1", 2), key="2")) == (1, 0, 0, 0, 0)


def test_encryption_is_asked_for(endpoint: DatabaseEndpoint, database_url: str) -> None:
    """Servers before 11.4 have none, later ones vouch for themselves: neither is enough to be verified."""
    with pytest.raises((Refused, Unavailable)):
        DatabaseEndpoint(options_of(database_url) | {"tls": "verify"}).inspect()
    for tls in ("prefer", "disable"):
        assert DatabaseEndpoint(options_of(database_url) | {"tls": tls}).inspect() == []
    required = options_of(database_url) | {"tls": "require"}
    engine = MariaDB().engine(DatabaseOptions(**required))
    try:
        with engine.connect() as connection:
            cipher = connection.exec_driver_sql("SHOW STATUS LIKE 'Ssl_cipher'").one()[1]
    except sa.exc.OperationalError:
        cipher = None
    if cipher is None:
        with pytest.raises((Refused, Unavailable)):
            DatabaseEndpoint(required).inspect()
    else:
        assert cipher
        assert DatabaseEndpoint(required).inspect() == []


def test_types_that_have_no_column() -> None:
    with pytest.raises(Unsupported):
        MariaDB().type_for(pa.field("a", pa.list_(pa.int8())))
    assert MariaDB().crowds([pa.field("a", pa.string(), metadata={"length": "400"})] * 31)
    assert not MariaDB().crowds([pa.field("a", pa.string())] * 1000)
    assert MariaDB().spelled("a``b") == "a`b"


def test_a_row_that_breaks_a_check_is_refused_alone(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    """The driver does not call it an error of integrity."""
    endpoint.install(PERSON, SCHEMA)
    hands.run("ALTER TABLE person ADD CONSTRAINT low CHECK (version < 5)")
    answer = Deliverer(endpoint)(person("1"), person("2", 7), person("3"))
    assert counts(answer) == (2, 0, 0, 0, 1)
    [refused] = answer.refused
    assert (refused.row, refused.rule) == (1, "constraint")
    assert hands.persons("id") == [("1",), ("3",)]
