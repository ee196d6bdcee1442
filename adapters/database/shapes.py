"""What a table looks like, in terms that no database product owns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import sqlalchemy as sa

Family = Literal["text", "integer", "decimal", "float", "boolean", "date", "time", "instant", "binary", "other"]
"""What a column holds: ``time`` is a date and time without zone, ``instant`` one with; ``other`` is
anything that is read as its text and never written."""

FAMILIES: Mapping[str, str] = {
    "text": "文本",
    "integer": "整数",
    "decimal": "定点数",
    "float": "浮点数",
    "boolean": "逻辑",
    "date": "日期",
    "time": "日期时间",
    "instant": "带时区的日期时间",
    "binary": "二进制",
    "other": "其他",
}

Expression = sa.ColumnElement[Any]


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column as the place declares it (列).

    Attributes:
        name: Its name.
        family: What it holds.
        declared: The place's own word for its type, for messages.
        length: Characters of a text, digits of a number; None: as many as the product allows.
        scale: Digits after the point of a decimal.
        fraction: Digits of the second's fraction a time keeps.
        nullable: It may be null.
        filled: The place fills it when nothing is written.
        computed: The place computes it; nothing can be written.
        exact: Its own comparison tells every two texts apart (bytewise, without padding).
        unicode: It can hold every character; what it cannot hold is a refused row.
        plane: It can hold those of the first plane (基本多文种平面) only.
        label: Its comment.
        charset: Its character set, where the product has more than one.
        collation: Its collation, where the product tells it.
        default: What the place fills it with, as its own statement says it.
        type: Its type in SQLAlchemy's terms, for casts.
    """

    name: str
    family: Family
    declared: str
    length: int | None = None
    scale: int | None = None
    fraction: int = 6
    nullable: bool = True
    filled: bool = False
    computed: bool = False
    exact: bool = True
    unicode: bool = True
    plane: bool = False
    label: str = ""
    charset: str = ""
    collation: str = ""
    default: str | None = None
    type: sa.types.TypeEngine[Any]


@dataclass(frozen=True, kw_only=True)
class TableShape:
    """A table or view as it lies there.

    Attributes:
        name: Its name.
        namespace: Its schema, None for the account's own.
        columns: By name, in order.
        key: Columns of the primary key, else of a unique index, in order.
        unique: The column sets that some index keeps unique.
        leading: Columns that come first in an index over all rows: by them a part of the table is found.
        label: Its comment.
        atomic: What a transaction writes into it shows together or not at all.
    """

    name: str
    namespace: str | None
    columns: Mapping[str, Column]
    key: tuple[str, ...] = ()
    unique: frozenset[frozenset[str]] = frozenset()
    leading: frozenset[str] = frozenset()
    label: str = ""
    atomic: bool = True

    @property
    def clause(self) -> sa.TableClause:
        """The table for statements."""
        return sa.table(self.name, *(sa.column(name) for name in self.columns), schema=self.namespace)


@dataclass(frozen=True)
class Reading:
    """How one column is read into Arrow.

    Attributes:
        expression: What to select.
        wire: The Arrow type that what comes is parsed as.
        type: The Arrow type of the finished values.
        finish: From the parsed to the finished values; None: they are the same.
        column: The column's name, for messages.
        bare: The column itself, where the expression may be null though it is not.
    """

    expression: Expression
    wire: pa.DataType
    type: pa.DataType
    finish: Callable[[pa.Array], pa.Array] | None
    column: str
    bare: Expression | None = None
