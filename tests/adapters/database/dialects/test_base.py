from __future__ import annotations

import pytest
import sqlalchemy as sa

from adapters.database import DatabaseEndpoint
from adapters.database.dialects import DatabaseOptions, dialect
from adapters.database.shapes import Column
from tests.adapters.database.conftest import Hands


def test_shapes_tell_keys_and_indexes(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    hands.run(
        "CREATE TABLE t (a varchar(9) NOT NULL, b integer NOT NULL, c varchar(9), d integer DEFAULT 5, e varchar(9),"
        " PRIMARY KEY (b, a), UNIQUE (c))",
        "CREATE UNIQUE INDEX two ON t (d, c)",
        "CREATE INDEX not_unique ON t (e)",
    )
    if hands.product == "mariadb":
        hands.run("CREATE UNIQUE INDEX part ON t (e(3))")
    else:
        hands.run("CREATE UNIQUE INDEX part ON t (e) WHERE d > 3", "CREATE UNIQUE INDEX computed ON t (lower(e))")
    place = endpoint._place
    with place.engine.connect() as connection:
        shape = place.shape(connection, "t")
        assert place.dialect.shape(connection, "absent", None) is None
    assert shape.key == ("b", "a")
    assert shape.unique == {frozenset("ab"), frozenset("c"), frozenset("cd")}
    assert [column.filled for column in shape.columns.values()] == [False, False, False, True, False]
    assert [column.nullable for column in shape.columns.values()] == [False, False, True, True, True]


def test_computed_columns_are_not_written(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    hands.run("CREATE TABLE t (a integer, b integer GENERATED ALWAYS AS (a + 1) STORED)")
    place = endpoint._place
    with place.engine.connect() as connection:
        shape = place.shape(connection, "t")
    assert [column.computed for column in shape.columns.values()] == [False, True]


def test_clock_and_version(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    hands.run("CREATE TABLE t (a integer)")
    place = endpoint._place
    with place.engine.connect() as connection:
        seconds = connection.execute(sa.select(place.dialect.clock())).scalar_one()
        assert 1.7e9 < float(seconds) < 2e10
        assert place.dialect.version(connection).lower().startswith(hands.product)


@pytest.mark.parametrize("product", ["sqlite", "postgresql", "mariadb"])
def test_every_text_that_is_told_apart_by_bytes_is_compared_so(product: str) -> None:
    made = dialect(product)  # type: ignore[arg-type]
    blind = Column(name="c", family="text", declared="", exact=False, type=sa.String(5))
    number = Column(name="n", family="integer", declared="", type=sa.Integer())
    one, other = sa.column("a"), sa.column("b")

    def sql(clause: sa.ColumnElement[object]) -> str:
        return str(clause.compile(dialect=made.script_dialect()))

    assert sql(made.same(one, other, blind)).count("COLLATE") == 2
    assert "COLLATE" in sql(made.same_key(one, other, blind))
    assert sql(made.same_key(one, other, blind)).startswith("a = b AND")
    assert "COLLATE" in sql(made.equals(one, blind, "x"))
    if made.types_itself:
        exact = Column(name="c", family="text", declared="", type=sa.String(5))
        assert sql(made.same_key(one, other, exact)) == "a = b"
        assert sql(made.same_key(one, other, number)) == "a = b"


def test_a_dialect_asks_for_what_is_there_only(tmp_path: object) -> None:
    options = DatabaseOptions.model_validate({"product": "sqlite", "path": f"{tmp_path}/x.db"})
    assert not dialect("sqlite").exists(options)
    assert dialect("mariadb").exists(options)
    assert not dialect("postgresql").crowds([])
    assert dialect("postgresql").preamble() == ()
