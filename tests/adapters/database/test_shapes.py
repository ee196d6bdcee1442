from __future__ import annotations

import pyarrow as pa
import sqlalchemy as sa

from adapters.database.shapes import FAMILIES, Column, Reading, TableShape


def test_a_shape_makes_its_clause() -> None:
    column = Column(name="编 号", family="text", declared="varchar(5)", type=sa.String(5))
    shape = TableShape(name="t", namespace="front", columns={column.name: column})
    assert str(sa.select(shape.clause.c["编 号"])) == 'SELECT front.t."编 号" \nFROM front.t'


def test_every_family_has_its_word() -> None:
    assert set(Column.__annotations__) >= {"family", "exact", "unicode"}
    assert len(FAMILIES) == len(set(FAMILIES.values())) == 10


def test_a_reading_is_a_value() -> None:
    reading = Reading(sa.column("a"), pa.string(), pa.string(), None, "a")
    assert reading.finish is None
    assert reading.column == "a"
