"""Making a table that is there fit further or longer items, where that loses nothing (加宽).

A column is only ever made to hold more of what it holds: a text longer, a number with more digits. A column of
another family is left as it is, and said to be in the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from adapters.base import Binding
from adapters.database.dialects import Dialect
from adapters.database.dialects.types import item_length
from adapters.database.fit import belongs, characters, fields_of, misfit
from adapters.database.shapes import Column, TableShape

_DECIMAL_DIGITS = 38


def widenings(
    binding: Binding, schema: pa.Schema, shape: TableShape, dialect: Dialect, *, whole: bool
) -> tuple[Mapping[str, sa.types.TypeEngine[Any]], list[str]]:
    """Wider types by column, and in words every column that no wider type would make fit.

    Args:
        binding: Where the items lie.
        schema: The items.
        shape: The table.
        dialect: The product.
        whole: The table is the hub's own: a text registered without a length gets a column without one.
    """
    fields = fields_of(schema)
    crowded = dialect.crowds(fields.values())
    types: dict[str, sa.types.TypeEngine[Any]] = {}
    stuck: list[str] = []
    for item, field in fields.items():
        column = shape.columns.get(binding.columns.get(item, ""))
        if column is None:
            continue
        key = item in binding.key
        found = misfit(field, column, dialect, key=key, version=item == binding.version)
        unbounded = whole and not key and _without_length(field) and column.family == "text" and column.length
        if not found and not unbounded:
            continue
        wider = _wider(field, column, dialect, key=key, crowded=crowded)
        if wider is None:
            stuck.append(f"列 {column.name}（信息项 {item}）{found}，不能在不丢数据的前提下改成能装下的")
        else:
            types[column.name] = dialect.kept(wider, column)
    return types, stuck


def _without_length(field: pa.Field) -> bool:
    return pa.types.is_string(field.type) and item_length(field) is None


def _wider(
    field: pa.Field, column: Column, dialect: Dialect, *, key: bool, crowded: bool
) -> sa.types.TypeEngine[Any] | None:
    """A type of the column's own family that holds all it holds and all the item needs."""
    if column.computed or not belongs(field, column):
        return None
    if column.family == "text" and column.length is not None and column.unicode:
        needed = characters(field)
        if needed <= column.length and not _without_length(field):
            return None  # it is not the length that does not fit
        if pa.types.is_string(field.type):
            return dialect.type_for(field, key=key, crowded=crowded)
        return dialect.type_for(pa.field(field.name, pa.string(), metadata={"length": str(needed)}), key=key)
    if column.family == "decimal" and column.length is not None and pa.types.is_decimal(field.type):
        scale = max(column.scale or 0, field.type.scale)
        whole = max(column.length - (column.scale or 0), field.type.precision - field.type.scale)
        if whole + scale > _DECIMAL_DIGITS:
            return None
        return dialect.type_for(pa.field(field.name, pa.decimal128(whole + scale, scale)))
    if column.family == "integer" and column.length is not None and pa.types.is_integer(field.type):
        return dialect.type_for(field)
    return None
