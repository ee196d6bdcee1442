"""Types on their way between a product's columns and Arrow, where the products agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from adapters.database.shapes import Column

INSTANT = pa.timestamp("us", tz="UTC")
_DECIMAL_DIGITS = 38
_PLAIN_SCALE = 6
"""With more decimals, Arrow writes small ones with an exponent."""


def from_zone(zone: str) -> tuple[pa.DataType, Callable[[pa.Array], pa.Array]]:
    """The type of an instant, and the step from the zone-less times of a zone to it.

    Where clocks were put back, a time that was shown twice is taken for the earlier one; where they were put
    forward, one that never was is taken for the last before.
    """

    def step(values: pa.Array) -> pa.Array:
        local = pc.assume_timezone(values, zone, ambiguous="earliest", nonexistent="earliest")
        return pc.cast(local, INSTANT)

    return INSTANT, step


def plain(values: pa.Array) -> pa.Array:
    """Values as text: times to the second where none is finer than that, decimals without exponents."""
    kind = values.type
    if pa.types.is_string(kind):
        return values
    if pa.types.is_timestamp(kind):
        return pc.replace_substring_regex(pc.cast(values, pa.string()), r"\.0{6}$", "")
    if pa.types.is_decimal(kind) and kind.scale > _PLAIN_SCALE:
        return pa.array([None if value is None else f"{value:f}" for value in values.to_pylist()], pa.string())
    return pc.cast(values, pa.string())


def arrow_decimal(column: Column) -> pa.DataType | None:
    """The Arrow type of a decimal column, None if it is wider than Arrow's or has no declared width."""
    if column.length is None or column.length > _DECIMAL_DIGITS or not 0 <= (column.scale or 0) <= column.length:
        return None
    return pa.decimal128(column.length, column.scale or 0)


def number_digits(type: sa.types.TypeEngine[Any]) -> tuple[int | None, int | None]:
    """Digits in all and after the point that every value of a numeric type may have."""
    if isinstance(type, sa.SmallInteger):
        return 4, 0
    if isinstance(type, sa.BigInteger):
        return 18, 0
    if isinstance(type, sa.Integer):
        return 9, 0
    if isinstance(type, sa.Numeric):
        return type.precision, type.scale if type.scale is not None or type.precision is None else 0
    return None, None


def item_length(field: pa.Field) -> int | None:
    """The length an item was registered with."""
    length = (field.metadata or {}).get(b"length")
    return int(length) if length else None


def item_label(field: pa.Field) -> str:
    """The Chinese name an item was registered with."""
    return str((field.metadata or {}).get(b"label", b"").decode())


def declared(type: sa.types.TypeEngine[Any], dialect: sa.Dialect) -> str:
    """The product's own word for a type."""
    if isinstance(type, sa.types.NullType):
        return "未知类型"
    try:
        return str(type.compile(dialect=dialect)).lower()
    except sa.exc.CompileError:
        return type.__class__.__name__.lower()
