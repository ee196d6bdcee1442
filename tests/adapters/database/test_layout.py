from __future__ import annotations

import pyarrow as pa
import pytest
import sqlalchemy as sa

from adapters.base import Claim
from adapters.database import DatabaseEndpoint
from adapters.database.fit import fields_of
from adapters.database.layout import Layout, Stage, copy_of, drop_stages, now_text, stage_prefix
from adapters.database.shapes import Column
from tests.adapters.database.conftest import PERSON, SCHEMA, Hands, batch, person

CLAIM = Claim(key="plan-digest/run-id", exchange="exchange", epoch=2**40)


@pytest.fixture
def layout(installed: DatabaseEndpoint) -> Layout:
    place = installed._place
    with place.engine.connect() as connection:
        return Layout(PERSON, place.shape(connection, "person"), fields_of(SCHEMA))


def test_the_stage_has_the_targets_types_but_not_its_constraints(
    installed: DatabaseEndpoint, layout: Layout, hands: Hands
) -> None:
    place = installed._place
    stage = Stage(place.dialect, layout, CLAIM)
    assert len(stage.name) <= place.dialect.longest_name
    with place.transaction() as connection:
        assert not stage.exists(connection)
        stage.create(connection)
        assert stage.exists(connection)
        stage.load(connection, batch([person("1"), person("2", operation=1)]), pa.array([0, 1]), place.zone)
        assert stage.count(connection) == 2
        shape = place.shape(connection, stage.name)
    assert all(column.nullable for name, column in shape.columns.items() if name.startswith("c"))
    if place.dialect.types_itself:
        kept = [
            (each.family, each.length, each.scale, each.fraction, each.exact)
            for each in sorted(layout.columns, key=lambda each: each.name)
        ]
        made = [shape.columns[f"c{number}"] for number in range(len(kept))]
        assert [(each.family, each.length, each.scale, each.fraction, each.exact) for each in made] == kept


def test_a_copy_keeps_length_collation_and_scale(installed: DatabaseEndpoint, hands: Hands) -> None:
    collate = {"sqlite": "", "postgresql": 'COLLATE "C"', "mariadb": "CHARACTER SET gbk COLLATE gbk_bin"}[hands.product]
    hands.run(f"CREATE TABLE t (a varchar(7) {collate} NOT NULL, b decimal(9,3) NOT NULL DEFAULT 1)")
    place = installed._place
    with place.transaction() as connection:
        shape = place.shape(connection, "t")
        copy = copy_of(place.dialect, "made", shape, [shape.columns["b"], shape.columns["a"]], {"n": "integer"})
        connection.execute(copy.create)
        made = place.shape(connection, "made")
    assert list(made.columns) == ["n", "c0", "c1"]
    if place.dialect.types_itself:
        assert (made.columns["c0"].length, made.columns["c0"].scale, made.columns["c1"].length) == (9, 3, 7)
        assert made.columns["c1"].unicode == shape.columns["a"].unicode
    assert all(made.columns[name].nullable for name in ("c0", "c1"))


def test_only_stages_of_the_key_and_older_ones_go(installed: DatabaseEndpoint, hands: Hands) -> None:
    prefix = stage_prefix("key")
    names = [f"{prefix}1", f"{prefix}2", f"{prefix}10", f"{prefix}x", f"{stage_prefix('other')}1", "stage_1"]
    hands.run(*(f"CREATE TABLE {name} (a integer)" for name in names))
    with installed._place.transaction() as connection:
        drop_stages(connection, None, Claim(key="key", exchange="e", epoch=2))
    assert hands.tables() & set(names) == set(names[2:])


def test_now_is_written_as_the_column_wants(installed: DatabaseEndpoint) -> None:
    dialect = installed._place.dialect

    def now(family: str) -> str:
        column = Column(name="c", family=family, declared="", fraction=0, type=sa.Text())  # type: ignore[arg-type]
        return now_text(column, dialect, "Asia/Shanghai")

    assert len(now("text")) == len(now("time")) == len("2024-01-01 08:00:00")
    assert now("time")[:13] != now("instant")[:13]
    assert pa.array([now("instant")]).cast(pa.timestamp("s")).type == pa.timestamp("s")
