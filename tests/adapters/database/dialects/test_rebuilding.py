"""A table made anew keeps everything but the types that were to change, or is left alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from adapters.database.dialects import dialect
from adapters.database.dialects.rebuilding import rebuilding, uniques
from adapters.database.shapes import TableShape
from adapters.errors import Unsupported

DEFINITION = (
    'CREATE TABLE "per son" (id INTEGER PRIMARY KEY, "na""me" NVARCHAR2(8) DEFAULT \'a:b\'\'%\' NOT NULL, '
    "odd, n DEC(4, 2) DEFAULT (1 + 1), UNIQUE (odd, n), UNIQUE (n))"
)


@pytest.fixture
def connection() -> Iterator[sa.Connection]:
    with sa.create_engine("sqlite://", poolclass=sa.NullPool).connect() as connection:
        connection.exec_driver_sql(DEFINITION)
        connection.exec_driver_sql('CREATE UNIQUE INDEX some ON "per son" (odd) WHERE n > 1')
        connection.exec_driver_sql('CREATE INDEX "all" ON "per son" (lower("na""me") DESC)')
        connection.exec_driver_sql("INSERT INTO \"per son\" (id, odd, n) VALUES (7, x'00ff', 1.5), (9, NULL, 4)")
        yield connection


def shape(connection: sa.Connection, name: str = "per son") -> TableShape:
    found = dialect("sqlite").shape(connection, name, None)
    assert found is not None
    return found


def described(connection: sa.Connection) -> tuple[object, ...]:
    return (
        connection.exec_driver_sql("SELECT * FROM pragma_table_xinfo('per son')").all(),
        connection.exec_driver_sql(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name"
        ).all(),
        sorted(str(each["column_names"]) for each in uniques(connection, "per son")),
        connection.exec_driver_sql('SELECT *, typeof(odd) FROM "per son" ORDER BY id').all(),
    )


def test_only_the_type_is_another(connection: sa.Connection) -> None:
    before = described(connection)
    for statement in rebuilding(connection, shape(connection), {'na"me': sa.String(80)}):
        connection.execute(statement)
    columns, *rest = described(connection)
    assert rest == list(before[1:])
    expected = [tuple(row) for row in before[0]]  # type: ignore[attr-defined]
    changed = [tuple(row) for row in columns]  # type: ignore[attr-defined]
    assert changed[1][2] == "VARCHAR(80)"
    assert [row[:2] + row[3:] for row in changed] == [row[:2] + row[3:] for row in expected]
    assert [row[2] for row in changed if row[1] != 'na"me'] == [row[2] for row in expected if row[1] != 'na"me']
    connection.exec_driver_sql('INSERT INTO "per son" (odd) VALUES (3)')
    assert connection.exec_driver_sql('SELECT id, "na""me", n FROM "per son" WHERE odd = 3').all() == [(10, "a:b'%", 2)]


@pytest.mark.parametrize(
    ("statement", "word"),
    [
        ("CREATE TABLE t (a TEXT COLLATE NOCASE)", "COLLATE"),
        ("CREATE TABLE t (a TEXT CHECK (length(a) < 9))", "CHECK"),
        ("CREATE TABLE t (a TEXT PRIMARY KEY) WITHOUT ROWID", "WITHOUT"),
        ("CREATE TABLE t (a TEXT, b INTEGER GENERATED ALWAYS AS (length(a)))", "GENERATED"),
        ("CREATE TABLE t (a INTEGER PRIMARY KEY AUTOINCREMENT)", "AUTOINCREMENT"),
        ("CREATE TABLE t (a TEXT REFERENCES other (x))", "REFERENCES"),
    ],
)
def test_what_would_be_lost_is_named(connection: sa.Connection, statement: str, word: str) -> None:
    connection.exec_driver_sql(statement)
    with pytest.raises(Unsupported, match=word):
        rebuilding(connection, shape(connection, "t"), {"a": sa.Text()})


def test_a_word_in_a_name_is_a_name(connection: sa.Connection) -> None:
    connection.exec_driver_sql("CREATE TABLE t (\"check\" TEXT DEFAULT 'COLLATE')")
    assert rebuilding(connection, shape(connection, "t"), {"check": sa.String(9)})
