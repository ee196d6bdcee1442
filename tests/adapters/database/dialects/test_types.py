from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from adapters.database.dialects.types import (
    INSTANT,
    arrow_decimal,
    declared,
    from_zone,
    item_label,
    item_length,
    number_digits,
)
from adapters.database.shapes import Column


def test_zone_less_times_become_instants() -> None:
    kind, step = from_zone("Asia/Shanghai")
    assert kind == INSTANT
    local = pa.array(["2024-01-01 08:00", "1991-09-15 01:30", "1986-05-04 02:30", None]).cast(pa.timestamp("us"))
    found = step(local).to_pylist()
    # In 1986 the hour from two to three did not happen; in 1991 the one from one to two came twice.
    assert found == [datetime(2024, 1, 1, tzinfo=UTC), datetime(1991, 9, 14, 16, 30, tzinfo=UTC), found[2], None]
    assert datetime(1986, 5, 3, 17, tzinfo=UTC) < found[2] <= datetime(1986, 5, 3, 18, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("length", "scale", "kind"),
    [
        (10, 2, pa.decimal128(10, 2)),
        (38, None, pa.decimal128(38, 0)),
        (39, 0, None),
        (None, None, None),
        (5, -2, None),
        (5, 7, None),
    ],
)
def test_decimals_that_arrow_can_carry(length: int | None, scale: int | None, kind: pa.DataType | None) -> None:
    column = Column(name="c", family="decimal", declared="", length=length, scale=scale, type=sa.Numeric())
    assert arrow_decimal(column) == kind


def test_digits_of_number_types() -> None:
    assert number_digits(sa.SmallInteger()) == (4, 0)
    assert number_digits(sa.Integer()) == (9, 0)
    assert number_digits(sa.BigInteger()) == (18, 0)
    assert number_digits(sa.Numeric(12, 2)) == (12, 2)
    assert number_digits(sa.Numeric(12)) == (12, 0)
    assert number_digits(sa.Numeric()) == (None, None)
    assert number_digits(sa.Text()) == (None, None)


def test_what_an_item_was_registered_with() -> None:
    field = pa.field("a", pa.string(), metadata={"length": "7", "label": "姓名"})
    assert (item_length(field), item_label(field)) == (7, "姓名")
    assert (item_length(pa.field("a", pa.string())), item_label(pa.field("a", pa.string()))) == (None, "")


def test_the_products_word_for_a_type() -> None:
    assert declared(sa.String(5), sqlite.dialect()) == "varchar(5)"
    assert declared(sa.types.NullType(), sqlite.dialect()) == "未知类型"
    assert declared(sa.Uuid(native_uuid=False), sqlite.dialect())
