from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from adapters.base import Binding, Selection
from adapters.database import DatabaseEndpoint
from adapters.database.dialects.sqlite import SQLite, _affinity, _family
from adapters.errors import Malformed, Unavailable, Unsupported
from exchange.checks.normalise import normalise
from schemas import Item
from tests.adapters.database.conftest import PERSON, SCHEMA, Deliverer, person


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "前置 100%?#.db"


@pytest.fixture
def endpoint(file: Path) -> DatabaseEndpoint:
    return DatabaseEndpoint({"product": "sqlite", "path": str(file)})


def run(file: Path, *statements: str) -> None:
    with sqlite3.connect(file) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    ("declared", "family", "affinity"),
    [
        ("INTEGER", "integer", "INTEGER"),
        ("bigint unsigned", "integer", "INTEGER"),
        ("NVARCHAR(5)", "text", "TEXT"),
        ("BLOB", "binary", "BLOB"),
        ("VARBINARY(9)", "binary", "NUMERIC"),
        ("DOUBLE", "float", "REAL"),
        ("DECIMAL(10,2)", "decimal", "NUMERIC"),
        ("BOOLEAN", "boolean", "NUMERIC"),
        ("DATETIME", "time", "NUMERIC"),
        ("TIMESTAMP", "time", "NUMERIC"),
        ("DATE", "date", "NUMERIC"),
        ("STRING", "text", "NUMERIC"),
        ("无类型", "text", "BLOB"),
    ],
)
def test_what_a_declaration_means_and_does(declared: str, family: str, affinity: str) -> None:
    assert (_family(declared), _affinity(declared)) == (family, affinity)


def test_an_odd_file_name_is_a_file_name(file: Path, endpoint: DatabaseEndpoint) -> None:
    endpoint.install(PERSON, SCHEMA)
    assert file.is_file()
    assert [each.name for each in endpoint.inspect()] == ["person"]
    assert SQLite().exists(endpoint._place.options)


def test_values_of_any_type_in_any_column(file: Path, endpoint: DatabaseEndpoint) -> None:
    run(file, "CREATE TABLE t (id TEXT, n NUMERIC, b BLOB)")
    run(
        file,
        "INSERT INTO t VALUES (1, 'x', 'text'), ('2', 1e300, 5), (3.5, NULL, x'00'), ('4', 9007199254740993, NULL)",
    )
    with endpoint.source(Binding(object="t", columns={"id": "id", "n": "n", "b": "b"}, key=("id",))) as source:
        rows = [row for got in source.batches(Selection()) for row in got.to_pylist()]
    assert [(row["id"], row["n"], row["b"]) for row in rows] == [
        ("1", "x", b"text"),
        ("2", "1e+300", b"5"),
        ("3.5", None, b"\x00"),
        ("4", "9007199254740993", None),
    ]


def test_what_is_no_text_is_handed_over_as_none(file: Path, endpoint: DatabaseEndpoint) -> None:
    """Foreign bytes and blobs, for their row alone to be refused; the reference can be kept all the same."""
    run(file, "CREATE TABLE t (id TEXT)", "INSERT INTO t VALUES (CAST(x'b5a5' AS TEXT)), (x'41'), ('甲')")
    with endpoint.source(Binding(object="t", columns={"id": "id"}, key=("id",))) as source:
        [got] = source.batches(Selection())
    assert got.column("id").cast(pa.binary()).to_pylist() == [b"\xb5\xa5", "甲".encode(), b"\xffA"]
    assert got.column("_reference").to_pylist() == [r'["\\xb5\\xa5"]', '["甲"]', '["A"]']
    [item] = (Item(name="id", label="编号", type="C"),)
    assert [each.row for each in normalise(got, [item], "Asia/Shanghai", key=["id"]).findings] == [0, 2]


def test_big_values_make_small_batches(file: Path, endpoint: DatabaseEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.database.dialects.sqlite.ROW_BYTES", 100_000)
    run(file, "CREATE TABLE t (id INTEGER, b BLOB)")
    run(file, *(f"INSERT INTO t VALUES ({number}, zeroblob(1000))" for number in range(300)))
    with endpoint.source(Binding(object="t", columns={"id": "id", "b": "b"}, key=("id",))) as source:
        sizes = [got.num_rows for got in source.batches(Selection(batch_rows=1000))]
    assert sum(sizes) == 300
    assert max(sizes) <= 192


def test_locks_and_damage(file: Path, endpoint: DatabaseEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.database.dialects.sqlite.LOCK_SECONDS", 0.1)
    endpoint.install(PERSON, SCHEMA)
    deliver = Deliverer(endpoint)
    with sqlite3.connect(file, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="锁住"):
            deliver(person("1"))
        other.execute("ROLLBACK")
    other.close()
    file.write_bytes(b"this is not a database, but long enough to look at" * 50)
    with pytest.raises(Malformed):
        endpoint.inspect()


def test_constraints_are_told_by_name(file: Path, endpoint: DatabaseEndpoint) -> None:
    endpoint.install(PERSON, SCHEMA)
    run(file, "CREATE TABLE parent (id INTEGER PRIMARY KEY)")
    run(file, "CREATE TABLE t (id TEXT PRIMARY KEY, n INTEGER CONSTRAINT positive CHECK (n > 0) REFERENCES parent)")
    schema = pa.schema([("id", pa.string()), ("n", pa.int64())])
    deliver = Deliverer(endpoint, Binding(object="t", columns={"id": "id", "n": "n"}, key=("id",)), schema)
    [refused] = deliver({"id": "1", "n": -1, "_operation": 0}, key="1").refused
    assert "positive" in refused.reason
    [refused] = deliver({"id": "1", "n": 5, "_operation": 0}, key="2").refused
    assert refused.rule == "constraint"


@pytest.mark.parametrize(
    ("field", "type"),
    [
        (pa.field("a", pa.decimal128(38, 0)), "TEXT"),
        (pa.field("a", pa.timestamp("us", tz="UTC")), "TEXT"),
        (pa.field("a", pa.bool_()), "INTEGER"),
        (pa.field("a", pa.float64()), "REAL"),
        (pa.field("a", pa.binary()), "BLOB"),
        (pa.field("a", pa.string(), metadata={"length": "5"}), "VARCHAR(5)"),
    ],
)
def test_tables_of_ours_lose_nothing(field: pa.Field, type: str) -> None:
    dialect = SQLite()
    made: sa.types.TypeEngine[Any] = dialect.type_for(field)
    assert str(made.compile(dialect=dialect.script_dialect())) == type
    with pytest.raises(Unsupported):
        dialect.type_for(pa.field("a", pa.list_(pa.int8())))
