"""Statements that alter a table that is there, which SQLAlchemy leaves to migration tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles

from adapters.database.shapes import TableShape


class AddColumn(sa.schema.ExecutableDDLElement):
    """ALTER TABLE … ADD COLUMN.

    Args:
        column: A column of a table that has it already in its definition.
    """

    def __init__(self, column: sa.Column[Any]) -> None:
        self.column = column


class Retype(sa.schema.ExecutableDDLElement):
    """ALTER TABLE … ALTER COLUMN … TYPE as the standard has it, all columns in one statement.

    Args:
        shape: The table.
        types: New types by column.
    """

    def __init__(self, shape: TableShape, types: Mapping[str, sa.types.TypeEngine[Any]]) -> None:
        self.table = sa.Table(
            shape.name, sa.MetaData(schema=shape.namespace), *(sa.Column(name, kind) for name, kind in types.items())
        )


class Redefine(sa.schema.ExecutableDDLElement):
    """ALTER TABLE … MODIFY COLUMN, which says the whole definition again, all columns in one statement.

    Args:
        shape: The table.
        types: New types by column.
    """

    def __init__(self, shape: TableShape, types: Mapping[str, sa.types.TypeEngine[Any]]) -> None:
        self.table = sa.Table(shape.name, sa.MetaData(schema=shape.namespace))
        for name, kind in types.items():
            column = shape.columns[name]
            filling: Any = None if column.default is None else sa.literal_column(column.default)
            self.table.append_column(
                sa.Column(name, kind, nullable=column.nullable, server_default=filling, comment=column.label or None)
            )


@compiles(AddColumn)
def _add_column(element: AddColumn, compiler: sa.sql.compiler.DDLCompiler, **_: object) -> str:
    column = element.column
    table = compiler.preparer.format_table(column.table)
    return f"ALTER TABLE {table} ADD COLUMN {compiler.get_column_specification(column)}"


@compiles(Retype)
def _retype(element: Retype, compiler: sa.sql.compiler.DDLCompiler, **_: object) -> str:
    steps = []
    for column in element.table.columns:
        kind = compiler.type_compiler.process(column.type, type_expression=column)
        steps.append(f"ALTER COLUMN {compiler.preparer.format_column(column)} TYPE {kind}")
    return f"ALTER TABLE {compiler.preparer.format_table(element.table)} {', '.join(steps)}"


@compiles(Redefine)
def _redefine(element: Redefine, compiler: sa.sql.compiler.DDLCompiler, **_: object) -> str:
    steps = [f"MODIFY COLUMN {compiler.get_column_specification(column)}" for column in element.table.columns]
    return f"ALTER TABLE {compiler.preparer.format_table(element.table)} {', '.join(steps)}"
