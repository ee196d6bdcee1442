"""Cutting a table into ranges of its business key (按主键区间切分), for several to read side by side.

The order is that of the reading: text by its bytes, numbers by value. Bounds lie where one reading of the whole table
would end a batch, so that the ranges, one after the other, come in the very batches of that reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import sqlalchemy as sa

from adapters.base import Binding, KeyRange
from adapters.database.capture import Window
from adapters.database.dialects import Dialect
from adapters.database.shapes import Column, Expression, TableShape

CUT = frozenset({"snapshot", "journal", "watermark"})
"""Captures whose full pass hands rows over in the order of their key and needs nothing of the rows before."""
_FAMILIES = frozenset({"text", "integer"})


class KeyAxis:
    """The business key as an axis on which rows lie.

    Args:
        dialect: The product.
        binding: The table and its key.
        shape: The table as it lies there.
        table: The table for statements.
    """

    def __init__(self, dialect: Dialect, binding: Binding, shape: TableShape, table: sa.TableClause) -> None:
        self._dialect = dialect
        self._table = table
        self._columns: Sequence[Column] = [shape.columns[binding.columns[item]] for item in binding.key]

    @property
    def fit(self) -> bool:
        """Whether every row has its place: no part of the key may be missing, and each is text or a whole number."""
        return bool(self._columns) and all(
            column.family in _FAMILIES and not column.nullable for column in self._columns
        )

    def cut(self, connection: sa.Connection, window: Window, parts: int, batch_rows: int) -> tuple[KeyRange, ...]:
        """Ranges of about the same number of rows each; fewer than asked for where there are few batches."""
        standing = window.standing()
        rows = connection.execute(sa.select(sa.func.count()).select_from(self._table).where(*standing)).scalar_one()
        size = max(1, -(-rows // (parts * batch_rows))) * batch_rows
        keys = [self._table.c[column.name] for column in self._columns]
        number = sa.func.row_number().over(order_by=window.order()).label("shutong_number")
        numbered = sa.select(*keys, number).where(*standing).subquery("numbered")
        place = numbered.c.shutong_number
        texts = [self._dialect.as_text(numbered.c[column.name], column) for column in self._columns]
        firsts = sa.select(*texts).where(place > 1, place % size == 1 % size).order_by(place)
        found = [tuple(row) for row in connection.execute(firsts)]
        if not all(isinstance(text, str) for row in found for text in row):
            return (KeyRange(),)  # text that is bytes to its database, in whatever encoding
        # Several rows of one key may be more than a range.
        return tuple(KeyRange(first, beyond) for first, beyond in pairwise([None, *dict.fromkeys(found), None]))

    def within(self, range: KeyRange) -> list[Expression]:
        """Conditions for the rows of a range."""
        conditions = [] if range.first is None else [sa.not_(self._below(range.first))]
        return conditions if range.beyond is None else [*conditions, self._below(range.beyond)]

    def _below(self, key: Sequence[str]) -> Expression:
        """A row's key comes before this one."""
        *others, (here, value) = [self._compared(column, text) for column, text in zip(self._columns, key, strict=True)]
        below: Expression = here < value
        for here, value in reversed(others):
            below = sa.or_(here < value, sa.and_(here == value, below))
        return below

    def _compared(self, column: Column, text: str) -> tuple[Expression, Expression]:
        here = self._dialect.bytewise(self._table.c[column.name], column)
        return here, sa.literal(text) if column.family == "text" else self._dialect.constant(text, column)
