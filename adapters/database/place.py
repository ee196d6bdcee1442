"""A database as the adapter holds it: engine, dialect, schema and zone, and the two ways to enter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property

import sqlalchemy as sa

from adapters.database.dialects import DatabaseOptions, Dialect, dialect
from adapters.database.errors import translating
from adapters.database.shapes import TableShape
from adapters.errors import Misconfigured


@dataclass(frozen=True)
class Place:
    """One database at a department.

    Attributes:
        options: Where it is.
        zone: Zone of its zone-less times.
    """

    options: DatabaseOptions
    zone: str

    @cached_property
    def dialect(self) -> Dialect:
        """The product's dialect."""
        return dialect(self.options.product)

    @cached_property
    def engine(self) -> sa.Engine:
        """Connects when asked, keeps nothing open."""
        return self.dialect.engine(self.options)

    @property
    def namespace(self) -> str | None:
        """Schema of all tables."""
        return self.options.schema_name

    @property
    def name(self) -> str:
        """The place in words."""
        return self.options.place

    @contextmanager
    def translating(self) -> Iterator[None]:
        """Errors of this place as the adapters' own."""
        with translating(self.dialect, self.name):
            yield

    def snapshot(self, *tables: str) -> sa.Connection:
        """A connection that sees one state of the database until it is closed, of these tables above all."""
        with self.translating():
            connection = self.engine.connect()
            try:
                self.dialect.begin_snapshot(connection, [sa.table(name, schema=self.namespace) for name in tables])
            except BaseException:
                connection.close()
                raise
            return connection

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """A writing transaction, committed at the end of the block, else rolled back."""
        with self.translating(), self.engine.connect() as connection:
            self.dialect.begin_write(connection)
            try:
                yield connection
                connection.commit()
            except BaseException:
                # What went wrong first is what matters; a dead connection has rolled back by itself.
                with suppress(sa.exc.SQLAlchemyError):
                    connection.rollback()
                raise

    def demand_ours(self, table: str) -> None:
        """Raise Misconfigured if a table's name is one that the product keeps for itself (保留名)."""
        if self.dialect.is_reserved(table):
            raise Misconfigured(
                f"{self.name}：表名 {table} 以 {self.dialect.reserved} 开头，是数据库自己的保留名",
                remedy="换一个表名，改正挂接",
            )

    def shape(self, connection: sa.Connection, table: str) -> TableShape:
        """A table that must be there.

        Raises:
            Misconfigured: it is not, or is one of the product's own.
        """
        self.demand_ours(table)
        found = self.dialect.shape(connection, table, self.namespace)
        if found is None:
            raise Misconfigured(
                f"{self.name}：没有表 {table}", remedy="改正挂接的表名，或先请对方执行 endpoint prepare --sql"
            )
        return found
