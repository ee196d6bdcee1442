from __future__ import annotations

import gc
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from adapters.base import DELETE, OPERATION, REFERENCE, Binding, Selection, Source
from adapters.database import DatabaseEndpoint
from adapters.database.place import Place
from adapters.database.shapes import TableShape
from adapters.errors import Malformed, Misconfigured, Restored, Unavailable
from exchange.checks.normalise import normalise
from schemas import DeleteMark, Item, Profile, StateColumn, arrow_schema
from tests.adapters.database.conftest import PERSON, SCHEMA, Deliverer, Hands, options_of, person

INSTANT = pa.timestamp("us", tz="UTC")
ZONE_LESS = pa.timestamp("us")


def bound(*columns: str, **more: Any) -> Binding:
    return Binding(**{"object": "t", "columns": {name: name for name in columns}, "key": (columns[0],)} | more)


def read(source: Source, after: Any = None, size: int = 1000) -> list[dict[str, Any]]:
    return [row for got in source.batches(Selection(after=after, batch_rows=size)) for row in got.to_pylist()]


def values(rows: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


TYPES = {
    "postgresql": [
        ("s", "smallint", "-32768", pa.int64(), -32768),
        ("i", "integer", "2147483647", pa.int64(), 2147483647),
        ("b", "bigint", "-9223372036854775808", pa.int64(), -(2**63)),
        ("n", "numeric(38,10)", "'1234567890123456789012345678.0000000001'", pa.decimal128(38, 10),
         Decimal("1234567890123456789012345678.0000000001")),
        ("w", "numeric", "'1.500'", pa.string(), "1.500"),
        ("d", "date", "'1582-10-10'", pa.date32(), date(1582, 10, 10)),
        ("t", "timestamp", "'2024-01-01 08:00:00.5'", ZONE_LESS,
         datetime.fromisoformat("2024-01-01T08:00:00.5")),
        ("z", "timestamptz", "'2024-01-01 08:00:00+08'", INSTANT, datetime(2024, 1, 1, tzinfo=UTC)),
        ("v", "varchar(5)", "E'a\\n\"b,'", pa.string(), 'a\n"b,'),
        ("c", "char(5)", "'ab'", pa.string(), "ab"),
        ("x", "text", "''", pa.string(), ""),
        ("y", "bytea", "'\\x00ff'", pa.binary(), b"\x00\xff"),
        ("l", "boolean", "false", pa.bool_(), False),
        ("f", "double precision", "0.1", pa.float64(), 0.1),
        ("r", "real", "'NaN'", pa.float64(), None),
        ("u", "uuid", "'00000000-0000-0000-0000-000000000001'", pa.string(), "00000000-0000-0000-0000-000000000001"),
        ("j", "jsonb", "'{\"a\": [1]}'", pa.string(), '{"a": [1]}'),
        ("a", "int[]", "'{1,2}'", pa.string(), "{1,2}"),
        ("h", "time", "'12:30'", pa.string(), "12:30:00"),
    ],
    "mariadb": [
        ("s", "smallint", "-32768", pa.int64(), -32768),
        ("i", "integer", "2147483647", pa.int64(), 2147483647),
        ("b", "bigint", "-9223372036854775808", pa.int64(), -(2**63)),
        ("g", "bigint unsigned", "18446744073709551615", pa.decimal128(20, 0), Decimal(2**64 - 1)),
        ("n", "decimal(38,10)", "'1234567890123456789012345678.0000000001'", pa.decimal128(38, 10),
         Decimal("1234567890123456789012345678.0000000001")),
        ("w", "decimal(65,2)", "'1.5'", pa.string(), "1.50"),
        ("d", "date", "'1582-10-10'", pa.date32(), date(1582, 10, 10)),
        ("t", "datetime(6)", "'2024-01-01 08:00:00.5'", ZONE_LESS,
         datetime.fromisoformat("2024-01-01T08:00:00.5")),
        ("z", "timestamp", "'2024-01-01 08:00:00'", INSTANT, datetime(2024, 1, 1, tzinfo=UTC)),
        ("v", "varchar(5)", "'a\\n\"b\\\\'", pa.string(), 'a\n"b\\'),
        ("c", "char(5)", "'ab'", pa.string(), "ab"),
        ("k", "varchar(20) character set gbk", "'中文'", pa.string(), "中文"),
        ("x", "text", "''", pa.string(), ""),
        ("y", "varbinary(9)", "x'00ff'", pa.binary(), b"\x00\xff"),
        ("l", "tinyint(1)", "0", pa.bool_(), False),
        ("m", "bit(1)", "b'1'", pa.bool_(), True),
        ("f", "double", "0.1", pa.float64(), 0.1),
        ("r", "float", "16777217.5", pa.float64(), 16777218.0),
        ("e", "enum('a','b')", "'b'", pa.string(), "b"),
        ("j", "json", "'{\"a\": [1]}'", pa.string(), '{"a": [1]}'),
        ("h", "time", "'12:30'", pa.string(), "12:30:00"),
        ("o", "year", "2024", pa.string(), "2024"),
    ],
    "sqlite": [
        ("i", "integer", "9223372036854775807", pa.string(), "9223372036854775807"),
        ("n", "decimal(38,10)", "12.5", pa.string(), "12.5"),
        ("d", "date", "'1582-10-10'", pa.string(), "1582-10-10"),
        ("t", "datetime", "'2024-01-01 08:00:00'", pa.string(), "2024-01-01 08:00:00"),
        ("v", "varchar(5)", "'a\n\"b,'", pa.string(), 'a\n"b,'),
        ("x", "text", "''", pa.string(), ""),
        ("y", "blob", "x'00ff'", pa.binary(), b"\x00\xff"),
        ("q", "blob", "'甲'", pa.binary(), "甲".encode()),
        ("l", "boolean", "0", pa.string(), "0"),
        ("f", "real", "0.1", pa.string(), "0.1"),
        ("a", "", "7", pa.string(), "7"),
    ],
}  # fmt: skip


def test_each_column_comes_in_its_own_type(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    types = TYPES[hands.product]
    made = ", ".join(f"{name} {declared}" for name, declared, *_ in types)
    zone = {"sqlite": "", "postgresql": "SET timezone = 'Asia/Shanghai'", "mariadb": "SET time_zone = '+08:00'"}
    hands.run(f"CREATE TABLE t (id varchar(9) primary key, {made})")
    with hands.engine.begin() as connection:
        if zone[hands.product]:
            connection.exec_driver_sql(zone[hands.product])
        connection.exec_driver_sql(f"INSERT INTO t VALUES ('1', {', '.join(value for _, _, value, *_ in types)})")
        connection.exec_driver_sql("INSERT INTO t (id) VALUES ('2')")
        if hands.product == "mariadb":
            # A timestamp that may not be null takes the moment instead.
            connection.exec_driver_sql("UPDATE t SET z = NULL WHERE id = '2'")
    names = [name for name, *_ in types]
    with endpoint.source(bound("id", *names)) as source:
        schema = source.schema()
        first, second = read(source)
    assert schema.names == ["id", *names, OPERATION, REFERENCE]
    assert [schema.field(name).type for name in names] == [kind for *_, kind, _ in types]
    for name, *_, expected in types:
        found = None if first[name] != first[name] else first[name]
        assert (name, found) == (name, expected)
    assert {name: second[name] for name in names if second[name] is not None} == {}
    assert (first[OPERATION], first[REFERENCE]) == (0, '["1"]')


MOMENT = {"postgresql": "timestamp", "mariadb": "datetime"}
STRANGE = {
    "postgresql": {
        "day date": ["'infinity'", "'0044-03-15 BC'", "'12024-01-01'"],
        "moment timestamp": ["'-infinity'", "'infinity'", "'12024-01-01 00:00'"],
        "instant timestamptz": ["'infinity'"],
        "amount numeric(10,2)": ["'NaN'"],
    },
    "mariadb": {
        "day date": ["'0000-00-00'", "'2024-00-00'", "'2024-01-00'"],
        "moment datetime": ["'0000-00-00 00:00:00'"],
        "small tinyint(1)": ["7", "-1"],
    },
}
GOOD = {
    "day": "'2024-01-01'",
    "moment": "'2024-01-01 08:00'",
    "instant": "'2024-01-01 08:00+08'",
    "amount": "1.5",
    "small": "1",
}


def test_a_value_that_cannot_be_carried_makes_its_column_text(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    """So that its row alone is refused; a column without such values keeps its type."""
    if hands.product == "sqlite":
        assert not endpoint._place.dialect.types_itself
        return
    for column, strange in STRANGE[hands.product].items():
        name = column.split()[0]
        hands.run(f"CREATE TABLE t (id integer primary key, flag varchar(1), {column} NULL)")
        hands.run(f"INSERT INTO t VALUES (0, '0', {GOOD[name]})")
        with endpoint.source(bound("id", name)) as source:
            assert not pa.types.is_string(source.schema().field(name).type)
            native = read(source)[0][name]
        for number, value in enumerate(strange, 1):
            hands.run(f"INSERT INTO t VALUES ({number}, 'x', {value})")
        with endpoint.source(bound("id", name)) as source:
            assert source.schema().field(name).type == pa.string()
            rows = read(source)
        assert len(rows) == len(strange) + 1
        assert not {row[name] for row in rows[1:]} & {None, str(native)}
        assert rows[0][name].startswith(("2024-01-01", "1.50", "1"))
        # Rows that are not read do not decide.
        profile = OUTBOX.model_copy(update={"version": None, "delete": None})
        with endpoint.source(bound("id", name, capture="outbox", profile=profile)) as source:
            assert read(source)[0][name] == native
        hands.run("DROP TABLE t")


def test_a_value_that_comes_after_the_look_is_told_by_column(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    if hands.product == "sqlite":
        return
    strange = {"postgresql": "infinity", "mariadb": "0000-00-00"}[hands.product]
    hands.run("CREATE TABLE t (id integer primary key, day date)", "INSERT INTO t VALUES (1, '2024-01-01')")
    with endpoint.source(bound("id", "day")) as source:
        assert len(read(source)) == 1
        hands.run(f"INSERT INTO t VALUES (2, '{strange}')")
        with pytest.raises(Malformed, match="day") as caught:
            read(source)
    assert strange not in str(caught.value)
    with endpoint.source(bound("id", "day", options={"text": ["day"]})) as source:
        assert values(read(source), "day")[0] == ("2024-01-01",)


def test_rows_come_by_key_and_by_bytes(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    ids = ["a", "B", "Z", "b", "甲", "𠮷", "ﾟ", "10", "9", "é", "e", "a b", "a-b"]
    exact = "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin" if hands.product == "mariadb" else ""
    hands.run(f"CREATE TABLE t (id varchar(9) {exact} NOT NULL, n integer NOT NULL, PRIMARY KEY (id, n))")
    for each in ids:
        hands.run("INSERT INTO t VALUES (:id, 10), (:id, 9)", id=each)
    with endpoint.source(bound("id", "n", key=("id", "n"))) as source:
        batches = list(source.batches(Selection(batch_rows=5)))
    assert [each.num_rows for each in batches] == [5, 5, 5, 5, 5, 1]
    found = [(row["id"], int(row["n"])) for each in batches for row in each.to_pylist()]
    assert found == [(each, n) for each in sorted(ids, key=str.encode) for n in (9, 10)]


def test_a_pass_sees_one_state(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    if hands.product == "sqlite":
        hands.run("PRAGMA journal_mode = WAL")
    hands.run("CREATE TABLE t (id varchar(9) primary key)")
    for number in range(20):
        hands.run(f"INSERT INTO t VALUES ('{number:02}')")
    with endpoint.source(bound("id")) as source:
        batches = source.batches(Selection(batch_rows=5))
        seen = [next(batches).num_rows]
        hands.run("DELETE FROM t WHERE id > '10'", "INSERT INTO t VALUES ('99')")
        seen += [each.num_rows for each in batches]
        assert seen == [5, 5, 5, 5]
        assert len(read(source)) == 12


@pytest.mark.parametrize("capture", ["snapshot", "diff"])
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_table_that_is_being_filled_anew_is_waited_for(
    endpoint: DatabaseEndpoint, hands: Hands, capture: str
) -> None:
    """To who looked round before it was emptied, and at it afterwards, it would be empty: every row deleted."""
    hands.run(
        "CREATE TABLE t (k int PRIMARY KEY, v text)", "INSERT INTO t SELECT n, 'old' FROM generate_series(1, 5) n"
    )
    binding = bound("k", "v", capture=capture)
    with hands.engine.connect() as provider, ThreadPoolExecutor(1) as pool, endpoint.source(binding) as source:
        provider.execute(sa.text("TRUNCATE t"))
        reading = pool.submit(read, source)
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = CAST('t' AS regclass)"
        while provider.execute(sa.text(waiting)).scalar_one() == 0 and not reading.done():
            time.sleep(0.05)
        provider.execute(sa.text("INSERT INTO t SELECT n, 'new' FROM generate_series(3, 9) n"))
        provider.commit()
        assert values(reading.result(20), "k", "v") == [(number, "new") for number in range(3, 10)]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_pass_gives_way_to_who_waits_between_its_two_connections(
    endpoint: DatabaseEndpoint, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.database.dialects.postgresql._SECOND", "SET lock_timeout = '500ms'")
    hands.run("CREATE TABLE t (k int PRIMARY KEY, v text)", "INSERT INTO t VALUES (1, 'old')")
    shape, rivals = Place.shape, []
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = CAST('t' AS regclass)"

    def emptied(self: Place, connection: sa.Connection, table: str) -> TableShape:
        found = shape(self, connection, table)
        if not rivals:
            rivals.append(pool.submit(hands.run, "TRUNCATE t"))
            while hands.rows(waiting) == [(0,)]:
                time.sleep(0.05)
        return found

    monkeypatch.setattr(Place, "shape", emptied)
    with ThreadPoolExecutor(1) as pool, endpoint.source(bound("k", "v")) as source:
        with pytest.raises(Unavailable, match="占用"):
            read(source)
        rivals[0].result(20)
        assert read(source) == []


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_what_cannot_be_locked_is_read_all_the_same(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    """Views, kept ones too, and tables of which an account may read some columns only."""
    role = f"some_{abs(hash(hands.engine.url.database)) % 10**8}"
    hands.run(
        "CREATE TABLE t (k int PRIMARY KEY, v text, secret text)",
        "INSERT INTO t VALUES (1, 'a', 's')",
        "CREATE VIEW seen AS SELECT k, v FROM t",
        "CREATE MATERIALIZED VIEW kept AS SELECT k, v FROM t",
        f"CREATE ROLE {role} LOGIN PASSWORD 'some'",
        f"GRANT SELECT (k, v) ON t TO {role}",
        f"GRANT SELECT ON seen, kept TO {role}",
    )
    options = options_of(hands.engine.url.render_as_string(hide_password=False))
    some = DatabaseEndpoint({**options, "user": role, "password": "some"})
    for place in (endpoint, some):
        for name in ("t", "seen", "kept"):
            with place.source(bound("k", "v", object=name)) as source:
                assert values(read(source), "k", "v") == [(1, "a")]
    hands.run(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


@pytest.mark.parametrize("capture", ["snapshot", "diff"])
@pytest.mark.parametrize("database_url", ["postgresql", "mariadb"], indirect=True)
def test_a_table_that_is_emptied_meanwhile_is_never_read_as_empty(
    endpoint: DatabaseEndpoint, hands: Hands, monkeypatch: pytest.MonkeyPatch, capture: str
) -> None:
    hands.run("CREATE TABLE t (k int PRIMARY KEY, v varchar(9), d date)", "INSERT INTO t VALUES (1, 'old', NULL)")
    shape, rivals = Place.shape, []

    def rival() -> None:
        with hands.engine.begin() as provider:
            if hands.product == "postgresql":
                provider.execute(sa.text("SET LOCAL lock_timeout = '200ms'"))
            provider.execute(sa.text("TRUNCATE TABLE t"))

    def emptied(self: Place, connection: sa.Connection, table: str) -> TableShape:
        found = shape(self, connection, table)
        if not rivals:
            rivals.append(rival)
            with suppress(sa.exc.OperationalError):
                rival()
        return found

    monkeypatch.setattr(Place, "shape", emptied)
    with endpoint.source(bound("k", "v", "d", capture=capture)) as source:
        if hands.product == "postgresql":
            assert values(read(source), "k", "v") == [(1, "old")]
        else:
            with pytest.raises(Unavailable, match="清空或改过"):
                read(source)
            assert read(source) == []


def test_a_reading_that_is_given_up_lets_go(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    hands.run("CREATE TABLE t (id integer primary key, filler varchar(1000))")
    hands.run(*(f"INSERT INTO t VALUES ({number}, '{'x' * 1000}')" for number in range(300)))
    many = "INSERT INTO t SELECT a.id * 300 + b.id + 300, a.filler FROM t a, t b WHERE a.id < 100"
    hands.run(many)
    with endpoint.source(bound("id", "filler")) as source:
        next(source.batches(Selection(batch_rows=10)))
        again = source.batches(Selection(batch_rows=10))
        next(again)
        del again
        gc.collect()
    hands.run("DROP TABLE t")


def test_memory_does_not_grow_with_the_table(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    hands.run("CREATE TABLE t (id integer primary key, filler varchar(200))")
    hands.run(*(f"INSERT INTO t VALUES ({number}, '{'x' * 200}')" for number in range(400)))
    hands.run("INSERT INTO t SELECT a.id * 400 + b.id + 400, a.filler FROM t a, t b WHERE a.id < 100")
    with endpoint.source(bound("id", "filler")) as source:
        source.schema()
        tracemalloc.start()
        before = pa.total_allocated_bytes()
        highest = 0
        rows = 0
        for got in source.batches(Selection(batch_rows=1000)):
            rows += got.num_rows
            highest = max(highest, pa.total_allocated_bytes() - before + tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
    assert rows == 40_400
    # The whole table is over eight megabytes.
    assert highest < 4_000_000


def test_only_rows_with_the_fixed_value(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    hands.run("CREATE TABLE t (id varchar(9) primary key, provider varchar(9), kind integer)")
    hands.run("INSERT INTO t VALUES ('1', 'a', 1), ('2', 'A', 1), ('3', 'a ', 1), ('4', 'a', 2), ('5', NULL, 1)")
    with endpoint.source(bound("id", fixed={"provider": "a", "kind": "1"})) as source:
        assert values(read(source), "id") == [("1",)]


def test_what_is_bound_wrongly_is_told_at_once(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    hands.run("CREATE TABLE t (id varchar(9) primary key)")
    with endpoint.source(bound("id", "one", "two", fixed={"three": "x"})) as source:
        with pytest.raises(Misconfigured) as caught:
            source.schema()
        assert all(name in str(caught.value) for name in ("one", "two", "three"))
    with endpoint.source(bound("id", object="missing")) as source, pytest.raises(Misconfigured, match="missing"):
        source.schema()
    with endpoint.source(bound("id", options={"text": ["no"]})) as source, pytest.raises(Misconfigured, match="no"):
        source.schema()


OUTBOX = Profile(
    name="p",
    label="",
    source="",
    capture="outbox",
    state=StateColumn(column="flag", new=(None, "0"), fresh="0", done="1", failed="2"),
    version="ver",
    delete=DeleteMark(column="datastate", values=("0", "d")),
)


def test_the_outbox_holds_what_is_unread(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    hands.run("CREATE TABLE t (id varchar(9), ver integer, flag varchar(2), datastate varchar(2))")
    hands.run(
        "INSERT INTO t VALUES ('4', 1, '0', '1'), ('3', 2, '0', '0'), ('3', 1, NULL, NULL), ('2', 1, '1', '1'), "
        "('1', 1, '2', '1'), ('5', 1, '0', 'D'), ('6', NULL, '0', 'd'), ('7', 1, '00', '1')"
    )
    with endpoint.source(bound("id", capture="outbox", profile=OUTBOX)) as source:
        rows = read(source)
        assert source.position() is None
    assert values(rows, "id", OPERATION) == [("3", 0), ("3", DELETE), ("4", 0), ("5", 0), ("6", DELETE)]
    assert rows[0][REFERENCE].replace(", ", ",") == '["3","1",null]'


BATCHES = Profile(
    name="p",
    label="",
    source="",
    capture="batches",
    batch="cd_batch",
    time="cd_time",
    row="row_guid",
    delete=DeleteMark(column="cd_operation", values=("D",)),
)


def test_operation_batches_come_in_their_order_and_reach_back(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    moment = {"sqlite": "datetime", "postgresql": "timestamp", "mariadb": "datetime"}[hands.product]
    texts = "id varchar(9), cd_batch varchar(9), cd_operation varchar(2), row_guid varchar(9)"
    hands.run(f"CREATE TABLE t ({texts}, cd_time {moment})")
    insert = "INSERT INTO t VALUES "
    binding = bound("id", "cd_time", capture="batches", profile=BATCHES)
    with endpoint.source(binding) as source:
        assert (read(source), source.position()) == ([], None)
        source.batches(Selection(after={"time": "2023-01-01 00:00:00"}))
        assert source.position() == {"time": "2023-01-01 00:00:00"}
    hands.run(
        insert + "('z', 'b1', 'I', 'r1', '2024-01-01 08:00:00'), ('a', 'b2', 'D', 'r4', '2024-01-01 08:30:00')",
        insert + "('y', 'b2', 'U', 'r3', '2024-01-01 08:30:00'), ('b', 'b1', 'I', 'r2', '2024-01-01 08:30:00')",
    )
    with endpoint.source(binding) as source:
        rows = read(source)
        assert values(rows, "id", OPERATION) == [("z", 0), ("b", 0), ("y", 0), ("a", DELETE)]
        assert rows[0]["cd_time"] == (
            "2024-01-01 08:00:00" if hands.product == "sqlite" else datetime(2024, 1, 1, 8)  # noqa: DTZ001
        )
        position = source.position()
        assert position == {"time": "2024-01-01 08:30:00", "batch": "b2", "row": "r4"}
        assert values(read(source, position), "id") == [("b",), ("y",), ("a",)]
    hands.run(insert + "('late', 'b3', 'I', 'r5', '2024-01-01 08:25:00')")
    with endpoint.source(binding) as source:
        assert values(read(source, position), "id") == [("late",), ("b",), ("y",), ("a",)]
        assert source.position() == position
    with endpoint.source(replace(binding, options={"overlap": 0})) as source:
        assert values(read(source, position), "id") == [("b",), ("y",), ("a",)]
    # As a whole table, the rows of one key stand in the order in which they were written.
    whole = replace(binding, capture="snapshot")
    hands.run(insert + "('b', 'b0', 'D', 'r0', '2024-01-01 08:20:00'), ('b', 'b9', 'D', 'r9', '2024-01-01 08:40:00')")
    with endpoint.source(whole) as source:
        rows = [(row["id"], row[OPERATION]) for row in read(source)]
        assert rows == [("a", DELETE), ("b", DELETE), ("b", 0), ("b", DELETE), ("late", 0), ("y", 0), ("z", 0)]
        assert source.position() is None
    hands.run("DELETE FROM t WHERE row_guid IN ('r0', 'r9')")
    # A clock that is ahead must not hide what comes later; a row without a time is always read.
    hands.run(insert + "('ahead', 'b4', 'I', 'r6', '2999-01-01 00:00:00'), ('never', 'b4', 'I', 'r7', NULL)")
    with endpoint.source(binding) as source:
        assert {row["id"] for row in read(source, position)} == {"never", "late", "b", "y", "a", "ahead"}
        assert source.position() == position


def test_the_journal_gives_what_changed_and_what_went(endpoint: DatabaseEndpoint) -> None:
    binding = replace(PERSON, capture="journal", options={"journal": True}, fixed={"provider": "A"})
    endpoint.install(binding, SCHEMA)
    other = replace(binding, fixed={"provider": "B"})
    deliver = Deliverer(endpoint, binding)
    deliver(person("1"), person("2"), person("3"), key="1")
    Deliverer(endpoint, other)(person("1"), person("9", operation=DELETE), key="2")
    with endpoint.source(binding) as source:
        assert values(read(source), "id", OPERATION) == [("1", 0), ("2", 0), ("3", 0)]
        position = source.position()
        assert position == {"serial": 2}
        assert read(source, position) == []
    deliver(person("2", 2), person("3", 5, operation=DELETE), person('"q\\', 7, operation=DELETE), key="3")
    with endpoint.source(binding) as source:
        rows = read(source, position)
        assert [(row["id"], int(row["version"]), row[OPERATION]) for row in rows] == [
            ("2", 2, 0),
            ("3", 5, DELETE),
            ('"q\\', 7, DELETE),
        ]
        assert {row["name"] for row in rows[1:]} == {None}
        assert source.schema() == next(source.batches(Selection(after=position))).schema
        # A full pass takes away again what its reader may still hold.
        assert values(read(source), "id", OPERATION) == [("1", 0), ("2", 0), ("3", DELETE), ('"q\\', DELETE)]
        with pytest.raises(Restored):
            source.batches(Selection(after={"serial": 9}))
        with pytest.raises(Malformed):
            source.batches(Selection(after={"time": "x"}))
    with endpoint.source(replace(binding, fixed={})) as source:
        assert len(read(source, {"serial": 0})) == 6


def test_deleted_keys_of_every_type_come_back_as_they_went(endpoint: DatabaseEndpoint) -> None:
    items = [
        Item(name="number", label="序号", type="I"),
        Item(name="day", label="日期", type="D"),
        Item(name="moment", label="时间", type="T"),
        Item(name="amount", label="金额", type="N", length=10, scale=2),
        Item(name="flag", label="标志", type="L"),
        Item(name="version", label="版本", type="T"),
    ]
    schema = arrow_schema(items)
    columns = {item.name: item.name for item in items}
    key = ("number", "day", "moment", "amount", "flag")
    binding = Binding(
        object="t", columns=columns, key=key, version="version", capture="journal", options={"journal": True}
    )
    endpoint.install(binding, schema)
    row = {
        "number": -5,
        "day": date(1960, 2, 29),
        "moment": datetime(2024, 1, 1, 0, 0, 0, 5, UTC),
        "amount": Decimal("-0.50"),
        "flag": True,
        "version": datetime(2024, 1, 1, tzinfo=UTC),
        OPERATION: 0,
    }
    deliver = Deliverer(endpoint, binding, schema)
    deliver(row, key="1")
    with endpoint.source(binding) as source:
        [there] = read(source)
    deliver(row | {OPERATION: DELETE}, key="2")
    with endpoint.source(binding) as source:
        [gone] = read(source, {"serial": 1})
    assert gone[OPERATION] == DELETE
    assert {name: gone[name] for name in columns} == {name: there[name] for name in columns}


def test_a_foreign_tombstone_is_told(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    if hands.product == "sqlite":
        return
    schema = arrow_schema([Item(name="id", label="编号", type="I")])
    binding = Binding(object="t", columns={"id": "id"}, key=("id",), capture="journal", options={"journal": True})
    endpoint.install(binding, schema)
    deliver = Deliverer(endpoint, binding, schema)
    deliver({"id": 1, OPERATION: DELETE})
    hands.run("UPDATE shutong_tombstone SET key_text = '[\"abc\"]'")
    with endpoint.source(binding) as source, pytest.raises(Malformed, match="id") as caught:
        read(source, {"serial": 0})
    assert "abc" not in str(caught.value)


def test_zone_less_times_come_without_a_zone(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    """Whoever types them knows the endpoint's zone, and that of some local times there was no instant."""
    if hands.product == "sqlite":
        return
    hands.run(f"CREATE TABLE t (id integer primary key, moment {MOMENT[hands.product]})")
    hands.run("INSERT INTO t VALUES (1, '1940-06-01 00:00:00')")
    with endpoint.source(bound("id", "moment")) as source:
        [batch] = source.batches(Selection())
    items = [Item(name="id", label="编号", type="I"), Item(name="moment", label="出生", type="D")]
    found = normalise(batch, items, "Asia/Shanghai", key=["id"])
    assert (found.findings, found.batch.to_pylist()[0]["moment"]) == ([], date(1940, 6, 1))
