"""The stage of a child table: child rows by the number of their parent's staged row, and what puts them in place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex

from adapters.database.children import Child, row_fields, unfit_rows
from adapters.database.dialects import Dialect
from adapters.database.fit import written
from adapters.database.layout import ROW, Stage, copy_of
from adapters.database.ledger import PREFIX
from adapters.database.refusal import load_all_but
from adapters.database.shapes import Column, Expression
from schemas.child_rows import unpacked, values_of
from schemas.items import Item, row_items


class ChildStage:
    """What one claim has staged of one child table, beside the stage of the parents.

    Args:
        dialect: The product.
        child: The child table.
        field: The parent's item, with the items of its child rows.
        stage: The stage of the parents.
        number: Which of the parents' child tables it is.
    """

    def __init__(self, dialect: Dialect, child: Child, field: pa.Field, stage: Stage, number: int) -> None:
        self._dialect = dialect
        self._child = child
        self._items: dict[str, Item] = {item.name: item for item in row_items(field)}
        self._fields = row_fields(field)
        self._stage = stage
        names = sorted(child.bound.columns)
        self._columns = {name: f"c{place}" for place, name in enumerate(names)}
        columns = [child.column(name) for name in names]
        self.copy = copy_of(dialect, f"{stage.name}_{number}", child.shape, columns, {ROW: "integer"})

    @property
    def item(self) -> str:
        """The parent's item."""
        return self._child.item

    @property
    def target(self) -> sa.TableClause:
        """The child table for statements."""
        return self._child.shape.clause

    def create(self, connection: sa.Connection) -> None:
        """Make it, with an index by the parents' rows."""
        connection.execute(self.copy.create)
        self._dialect.ease(connection, self.copy.table)
        name, schema = self.copy.table.name, self.copy.table.schema
        table = sa.Table(name, sa.MetaData(schema=schema), sa.Column(ROW, sa.BigInteger))
        connection.execute(CreateIndex(sa.Index(f"{name}_i", table.c[ROW])))

    def cut(self, connection: sa.Connection, first: int) -> None:
        """Take the child rows of parents from a number on away again."""
        connection.execute(sa.delete(self.copy.table).where(self.copy.table.c[ROW] >= first))

    def load(
        self, connection: sa.Connection, texts: pa.Array, numbers: pa.Array, zone: str
    ) -> dict[int, tuple[str, str]]:
        """Put the child rows of a batch's parents there.

        Args:
            connection: In the stage's transaction.
            texts: The item of each parent, in its canonical form.
            numbers: The number of each parent in the delivery.
            zone: Zone of the place's zone-less times.

        Returns:
            Parents with a child row that the table cannot hold: rule and reason, by place in the batch.
        """
        found = unpacked(texts, list(self._items))
        refused = {row: ("type", f"{self.item}：{why}") for row, why in found.wrong.items()}
        place = self._dialect, zone
        arrays = {ROW: numbers.take(found.owners)}
        faulty: list[int] = []
        for name, item in self._items.items():
            values, column = values_of(found.columns[name], item), self._child.column(name)
            for row, rule, reason in unfit_rows(self.item, name, values, column, place, found.places):
                faulty.append(row)
                refused.setdefault(found.owners[row].as_py(), (rule, reason))
            arrays[self._columns[name]] = written(values.cast(self._fields[name].type), column, *place)
        owners, places = found.owners, found.places
        if faulty:
            fit = np.ones(len(owners), np.bool_)
            fit[faulty] = False
            arrays = {name: array.filter(pa.array(fit)) for name, array in arrays.items()}
            owners, places = owners.filter(pa.array(fit)), places.filter(pa.array(fit))
        known_as = {column: self._child.column(name).name for name, column in self._columns.items()}
        told = load_all_but(connection, self._dialect, self.copy.table, arrays, known_as)
        for row, (rule, reason) in told.items():
            named = f"{self.item}[{places[row].as_py()}]：{reason}"
            refused.setdefault(owners[row].as_py(), (rule, named))
        return refused

    # In the target transaction

    def remove(self, connection: sa.Connection, conditions: Sequence[Expression]) -> None:
        """Delete the child rows that lie there of staged parents that meet conditions."""

        def condition(child: sa.FromClause) -> Expression:
            return sa.and_(*conditions, self._of_staged(child))

        connection.execute(self._dialect.delete_matching(self.target, self._child.key_columns, condition))

    def put(self, connection: sa.Connection, conditions: Sequence[Expression], there: Expression) -> None:
        """Put the staged child rows of staged parents that meet conditions in the place of those that lie there.

        Args:
            connection: In the transaction, under the savepoint of the parents' own change.
            conditions: Which parents.
            there: The parent itself is there now; a trigger may have taken it away.
        """
        self.remove(connection, conditions)
        rows, parents, columns = self.copy.table, self._stage.table, self._child.bound.columns
        values = {column: self._stage.item(item) for item, column in self._child.bound.key.items()}
        values |= {columns[name]: rows.c[column] for name, column in self._columns.items()}
        query = sa.select(*values.values()).select_from(rows.join(parents, parents.c[ROW] == rows.c[ROW]))
        insert = sa.insert(self.target)
        connection.execute(insert.from_select(list(values), query.where(*conditions, there)))

    def same(self, parents: sa.FromClause, other: sa.FromClause | None = None) -> Expression:
        """The child rows of a staged parent are those that lie there, or those of another staged parent."""
        mine = self._sum_of_staged(parents)
        if other is not None:
            return mine.is_not_distinct_from(self._sum_of_staged(other))
        child = self.target.alias(f"{PREFIX}lying")
        digest = self._dialect.digest(self._child.texts(self._dialect, child))
        total = sa.select(self._dialect.tally(digest)).select_from(child).where(self._of_staged(child, parents))
        return mine.is_not_distinct_from(total.correlate(parents).scalar_subquery())

    def _sum_of_staged(self, parents: sa.FromClause) -> Expression:
        rows = self.copy.table.alias(f"{PREFIX}staged")
        columns = [(self._columns[name], self._child.column(name)) for name in sorted(self._columns)]
        digest = self._dialect.digest([self._dialect.as_text(rows.c[name], column) for name, column in columns])
        total = sa.select(self._dialect.tally(digest)).select_from(rows).where(rows.c[ROW] == parents.c[ROW])
        return total.correlate(parents).scalar_subquery()

    def _of_staged(self, child: sa.FromClause, parents: sa.FromClause | None = None) -> Expression:
        layout = self._stage.layout
        keys: dict[str, tuple[Expression, Column]] = {
            item: (self._stage.item(item, parents), layout.column(item)) for item in layout.binding.key
        }
        return self._child.of(self._dialect, child, keys)

    def remove_of(self, connection: sa.Connection, keys: Sequence[Expression]) -> None:
        """Delete the child rows of parents whose keys are listed in another table, in the order of the key."""
        layout = self._stage.layout
        pairs = zip(layout.binding.key, keys, strict=True)
        values = {item: (value, layout.column(item)) for item, value in pairs}

        def condition(child: sa.FromClause) -> Expression:
            return self._child.of(self._dialect, child, values)

        connection.execute(self._dialect.delete_matching(self.target, self._child.key_columns, condition))
