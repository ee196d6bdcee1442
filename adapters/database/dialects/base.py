"""What every database product must answer, and what most of them answer alike.

Everything that is true of one product only stands in its own module beside this one.
"""

from __future__ import annotations

import logging
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import pyarrow as pa
import sqlalchemy as sa

from adapters.base import Probe
from adapters.database.dialects.alterations import Retype
from adapters.database.dialects.options import DatabaseOptions, Product
from adapters.database.shapes import Column, Expression, Reading, TableShape
from adapters.errors import AdapterError, Unsupported

LOCK_SECONDS = 60
"""How long a statement waits for somebody else's lock before it is told to come again later."""
CONNECT_SECONDS = 10
ROW_BYTES = 64 * 1024 * 1024
"""A batch ends early at this size, so that attachments beside rows do not fill the memory."""

ENGINE: Mapping[str, Any] = {"poolclass": sa.NullPool, "hide_parameters": True, "logging_name": "department"}
"""What every engine is made with: nothing is kept open, and no value is shown in an error or a log."""
# Told to be verbose, SQLAlchemy logs the rows that it has fetched.
logging.getLogger("sqlalchemy.engine.Engine.department").addFilter(lambda record: record.levelno > logging.DEBUG)

Rows = sa.Select[*tuple[Any, ...]]
Read = Callable[[Rows, Sequence[Reading], int], Iterator[list[pa.Array]]]
"""Reads rows as :meth:`Dialect.read` does, over a connection it knows."""
Condition = Callable[[sa.FromClause], Expression]


@dataclass(frozen=True)
class Diagnosis:
    """What a product's error means: the class to raise and, in words without values, what it said."""

    error: type[AdapterError]
    what: str = ""
    names: tuple[tuple[str, str], ...] = ()
    """What is concerned: the word for it (表, 列, 约束) and its name."""
    remedy: str = ""
    of_value: bool = False
    """One value is to blame: without its row the others would go through."""


def authority(host: str, port: int) -> str:
    """Server and port as addresses have them."""
    return f"[{host.strip('[]')}]:{port}" if ":" in host else f"{host}:{port}"


class Dialect(ABC):
    """One database product (数据库产品)."""

    product: ClassVar[Product]
    longest_name: ClassVar[int]
    """Of an identifier."""
    reserved: ClassVar[str] = ""
    """What the names of the product's own tables begin with, in any case of its letters; empty: nothing."""
    not_a_number: ClassVar[bool] = True
    """A float column can hold NaN and the infinities."""
    types_itself: ClassVar[bool] = True
    """The place vouches for the types of its columns; otherwise everything is read as text."""
    takes_arrow: ClassVar[bool] = False
    """Dates, times and decimals are loaded as Arrow has them; otherwise as text."""
    inline_comments: ClassVar[bool] = False
    """Comments stand in CREATE TABLE; otherwise they are statements of their own, if there are any."""
    comments: ClassVar[bool] = True

    # Connections

    @abstractmethod
    def engine(self, options: DatabaseOptions, *, create: bool = False) -> sa.Engine:
        """An engine that pools nothing; ``create`` makes the database where that is a file."""

    @abstractmethod
    def dataset(self, options: DatabaseOptions, table: str) -> tuple[str, str]:
        """Namespace and name of a table by OpenLineage's rules for the product."""

    def exists(self, options: DatabaseOptions) -> bool:
        """Whether there is a place to connect to, as far as can be told without connecting."""
        return True

    @abstractmethod
    def begin_snapshot(self, connection: sa.Connection, tables: Sequence[sa.TableClause] = ()) -> None:
        """Begin reading one consistent state of the database, and of these tables what they hold in it."""

    @abstractmethod
    def begin_write(self, connection: sa.Connection) -> None:
        """Begin a transaction whose every statement sees what others have committed before it."""

    @abstractmethod
    def version(self, connection: sa.Connection) -> str:
        """Product and version in words."""

    @abstractmethod
    def clock(self) -> Expression:
        """Seconds since 1970 by the place's clock."""

    def begun(self) -> Expression | None:
        """Seconds since 1970 when the snapshot was about to be taken, to the microsecond; None: nobody knows."""
        return None

    def probes(self, connection: sa.Connection) -> list[Probe]:
        """What else is worth knowing about this product before the first run."""
        return []

    def keeps_bytes(self, connection: sa.Connection) -> bool:
        """Texts are bytes to it that it neither checks nor converts."""
        return False

    # What lies there

    @abstractmethod
    def column(self, found: Mapping[str, Any], extra: Mapping[str, Any]) -> Column:
        """A reflected column in our terms; ``extra`` is what :meth:`extras` found about it."""

    def extras(self, connection: sa.Connection, table: str, namespace: str | None) -> Mapping[str, Mapping[str, Any]]:
        """What reflection does not tell about a table's columns, by column."""
        return {}

    def atomic(self, connection: sa.Connection, table: str, namespace: str | None) -> bool:
        """Whether a table takes part in transactions."""
        return True

    def spelled(self, name: str) -> str:
        """A reflected name as it is."""
        return name

    def shape(self, connection: sa.Connection, table: str, namespace: str | None) -> TableShape | None:
        """A table or view of that name, None if there is none."""
        inspector = sa.inspect(connection)
        if not inspector.has_table(table, schema=namespace):
            return None
        with warnings.catch_warnings():
            # A type that SQLAlchemy does not know is one that we read as text.
            warnings.simplefilter("ignore", sa.exc.SAWarning)
            found = inspector.get_columns(table, schema=namespace)
            key = self._spelled(inspector.get_pk_constraint(table, schema=namespace)["constrained_columns"])
            unique, in_part, indexed = [], set(), []
            for index in inspector.get_indexes(table, schema=namespace):
                if None in index["column_names"] or _in_part(index.get("dialect_options", {})):
                    in_part.add(index["name"])
                    continue
                indexed.append(self._spelled(index["column_names"]))
                if index["unique"]:
                    unique.append(indexed[-1])
            constraints = inspector.get_unique_constraints(table, schema=namespace)
            unique += [self._spelled(each["column_names"]) for each in constraints if each["name"] not in in_part]
            label = self._label(inspector, table, namespace)
        extras = self.extras(connection, table, namespace)
        for each in found:
            each["name"] = self.spelled(each["name"])
        columns = [self.column(each, extras.get(each["name"], {})) for each in found]
        return TableShape(
            name=table,
            namespace=namespace,
            columns={each.name: each for each in columns},
            key=key or (unique[0] if unique else ()),
            unique=frozenset(frozenset(names) for names in [*unique, key] if names),
            leading=frozenset(names[0] for names in [*indexed, *unique, key] if names),
            label=label,
            atomic=self.atomic(connection, table, namespace),
        )

    def _spelled(self, names: Iterable[str | None]) -> tuple[str, ...]:
        return tuple(self.spelled(name) for name in names if name is not None)

    def _label(self, inspector: sa.Inspector, table: str, namespace: str | None) -> str:
        if not self.comments:
            return ""
        try:
            return inspector.get_table_comment(table, schema=namespace)["text"] or ""
        except sa.exc.NoSuchTableError:
            return ""  # a view

    def is_view(self, connection: sa.Connection, table: str, namespace: str | None) -> bool:
        """Whether what lies there under a name is a view (视图)."""
        return table in sa.inspect(connection).get_view_names(schema=namespace)

    def capacity(self, column: Column) -> int | None:
        """Characters, digits or bytes that a column holds in any case; None: as many as the product allows."""
        return column.length

    def loses(self, field: pa.Field, column: Column, *, version: bool) -> str | None:
        """What this product would change about an item's values in that column, in words."""
        return None

    # Reading

    @abstractmethod
    def reading(self, column: Column, expression: Expression, zone: str, *, as_text: bool) -> Reading:
        """How a column is read; ``as_text`` for one that holds values Arrow cannot carry."""

    def told(self, column: Column, expression: Expression, zone: str) -> Expression:
        """A column as text that is part of a JSON array, from which the same value is read as from any other text."""
        return self.reading(column, expression, zone, as_text=True).expression

    def strange(self, column: Column, expression: Expression) -> Expression | None:
        """True for a value that Arrow cannot carry in the column's type; None: there are none."""
        return None

    def undated(self, column: Column, expression: Expression) -> Expression | None:
        """True for a value that has no place in the order of times or numbers; None: there is no such value.

        What is greater than all others needs no mention: a window's end leaves it in.
        """
        return expression.is_(None) if column.nullable else None

    @abstractmethod
    def read(
        self, connection: sa.Connection, rows: Rows, readings: Sequence[Reading], batch_rows: int
    ) -> Iterator[list[pa.Array]]:
        """Stream the selected expressions in constant memory, as finished arrays."""

    @contextmanager
    def repeatedly(self, connection: sa.Connection) -> Iterator[Read]:
        """To read a few rows again and again, each time as they are then: what that needs is opened once."""
        yield partial(self.read, connection)

    # Writing

    def load(self, connection: sa.Connection, table: sa.TableClause, arrays: Mapping[str, pa.Array]) -> int:
        """Insert many rows; returns how many the product says it wrote."""
        names = [name for name in table.c.keys() if name in arrays]  # noqa: SIM118
        rows = list(zip(*(arrays[name].to_pylist() for name in names), strict=True))
        if not rows:
            return 0
        statement = sa.insert(table).compile(dialect=connection.dialect, column_keys=names)
        return connection.exec_driver_sql(str(statement), rows).rowcount

    @abstractmethod
    def insert_absent(self, table: sa.TableClause, values: Mapping[str, Any]) -> sa.Executable:
        """Insert a row unless its primary key is there; waits for a rival that is inserting it."""

    def locking(self, query: sa.Select[*tuple[Any, ...]], target: sa.FromClause) -> sa.Select[*tuple[Any, ...]]:
        """The same query, which locks the rows of the target that it finds until the transaction ends."""
        return query.with_for_update(of=target)

    def lock(self, connection: sa.Connection, target: sa.TableClause, condition: Expression) -> None:
        """Lock the rows of the target that meet a condition until the transaction ends."""
        rows = self.locking(sa.select(sa.literal(1).label("one")).where(condition), target).subquery("locked")
        connection.execute(sa.select(sa.func.count()).select_from(rows)).scalar_one()

    def place(self, target: sa.TableClause) -> tuple[sa.ColumnElement[Any], ...]:
        """Where a row of the target stands, by which it is found again while it is locked; empty: by its key only."""
        return ()

    def lock_all(self, connection: sa.Connection, target: sa.TableClause) -> None:
        """Lock every row of the target until the transaction ends."""
        self.lock(connection, target, sa.true())

    def demand_constraints(self, connection: sa.Connection) -> None:
        """Have constraints that wait for the commit checked now and after every further statement, where any may wait.

        Raises:
            sqlalchemy.exc.IntegrityError: One does not hold.
        """

    def swap_obstacles(self, connection: sa.Connection, shape: TableShape) -> tuple[str, ...]:
        """Why no new table may take the place of one within a transaction, in words; none: it may."""
        return ("这种数据库不在事务中换表",)

    def swap(self, connection: sa.Connection, shape: TableShape, key: str, fill: Callable[[str], None]) -> None:
        """Put a new table in the place of one against which nothing stands, with all that the old one had.

        Args:
            connection: In the transaction; what it raises leaves nothing that a savepoint does not take back.
            shape: The old table.
            key: Delivery key, for the new table's comment.
            fill: Fills a table of that name in the old one's schema.

        Raises:
            Unsupported: The new table would not be like the old one.
        """
        raise Unsupported(f"表 {shape.name} 不能换", remedy="改为就地更新")

    def ease(self, connection: sa.Connection, table: sa.TableClause) -> None:
        """Make a new table of ours that nothing depends on cheap to fill, where the product can."""

    def look_over(self, connection: sa.Connection, table: sa.TableClause) -> None:
        """Let the product look over a table that was just filled, where it plans its queries by what is there."""

    streams: ClassVar[bool] = False
    """A transaction may be kept open while rows come in, and hinders nobody."""

    def sign(self, connection: sa.Connection, name: str) -> None:
        """Have a transaction that is kept open found by a name: see :meth:`end`."""

    def end(self, connection: sa.Connection, signed: Callable[[str], bool]) -> None:
        """End other sessions of ours that keep a transaction open under such a name and wait for whoever began them."""

    def loads_as_inserted(self, connection: sa.Connection, table: sa.TableClause) -> bool:
        """Whether rows that are loaded into a table meet everything there that rows which are inserted meet."""
        return True

    def delete_matching(self, target: sa.TableClause, key: Sequence[str], condition: Condition) -> sa.Delete:
        """Delete the rows of the target that meet a condition over several tables."""
        return sa.delete(target).where(condition(target))

    # Expressions

    @abstractmethod
    def bytewise(self, expression: Expression, column: Column) -> Expression:
        """A text that is compared and ordered by its bytes in UTF-8; anything else as it is."""

    def rank(self, expression: Expression, column: Column, type: pa.DataType) -> Expression:
        """A version in the order of its versions."""
        return self.bytewise(expression, column)

    def same(self, one: Expression, other: Expression, column: Column) -> Expression:
        """Two values of a column are the same, nulls too."""
        if column.exact:
            return one.is_not_distinct_from(other)
        return self.bytewise(one, column).is_not_distinct_from(self.bytewise(other, column))

    def same_key(self, one: Expression, other: Expression, column: Column) -> Expression:
        """Two key values are the same, said so that an index on either can be used."""
        if column.exact:
            return one == other
        return sa.and_(one == other, self.bytewise(one, column) == self.bytewise(other, column))

    def equals(self, expression: Expression, column: Column, value: str) -> Expression:
        """A column has this value, exactly."""
        if column.family == "other":
            return self.as_text(expression, column) == sa.literal(value)
        plain = expression == self.constant(value, column)
        if column.exact or column.family != "text":
            return plain
        return sa.and_(plain, self.bytewise(expression, column) == sa.literal(value))

    @abstractmethod
    def constant(self, value: str | None, column: Column) -> Expression:
        """A text as a value of the column's type."""

    @abstractmethod
    def as_text(self, expression: Expression, column: Column) -> Expression:
        """A value as the place writes it."""

    @abstractmethod
    def from_text(self, expression: Expression, column: Column) -> Expression:
        """What :meth:`as_text` wrote, as a value again."""

    @abstractmethod
    def json_array(self, texts: Sequence[Expression]) -> Expression:
        """A JSON array of texts, as text."""

    @abstractmethod
    def digest(self, texts: Sequence[Expression]) -> Expression:
        """SHA-256 of the JSON array of texts, in hexadecimal."""

    @abstractmethod
    def tally(self, digest: Expression) -> Expression:
        """Over many rows: the sum of the first fifteen digits of their digests, as text; negative if one is null."""

    @abstractmethod
    def blank(self, what: str) -> Expression:
        """A typed expression for a column of a table made from a query: ``integer``, ``key`` or ``text``."""

    # Tables

    @abstractmethod
    def type_for(self, field: pa.Field, *, key: bool = False, crowded: bool = False) -> sa.types.TypeEngine[Any]:
        """The column type for an item.

        Args:
            field: The item.
            key: It stands in an index.
            crowded: It is one of so many that :meth:`crowds` was true of them.
        """

    def crowds(self, fields: Iterable[pa.Field]) -> bool:
        """Whether a row of these items in their usual types would be too long for the product."""
        return False

    @abstractmethod
    def exact_text(self, length: int | None) -> sa.types.TypeEngine[Any]:
        """A text type compared bytewise."""

    def table_options(self) -> dict[str, Any]:
        """Keywords for every table we make."""
        return {}

    def kept(self, type: sa.types.TypeEngine[Any], column: Column) -> sa.types.TypeEngine[Any]:
        """A new type for a column that is there, with the character set and collation it has."""
        return type

    def retyping(
        self, connection: sa.Connection, shape: TableShape, types: Mapping[str, sa.types.TypeEngine[Any]]
    ) -> list[sa.schema.ExecutableDDLElement]:
        """The statements that give columns of a table other types, with all else about them as it is.

        Death between two of them, or a second call after any, must leave nothing but what a further call completes.

        Raises:
            Unsupported: this table cannot be altered without losing something; says what.
        """
        return [Retype(shape, types)]

    def alone(self, connection: sa.Connection) -> None:
        """Wait until no other of us defines tables here, and keep them waiting until the connection is given back."""
        connection.execute(sa.select(sa.literal(1)))

    def framed(self, statements: Sequence[str]) -> list[str]:
        """The statements of :meth:`retyping` as text for a client that commits each: all of them or none."""
        return list(statements)

    def fits(self, name: str) -> bool:
        """Whether an identifier is short enough."""
        return len(name) <= self.longest_name

    def is_reserved(self, name: str) -> bool:
        """Whether a table of that name could only be the product's own."""
        return bool(self.reserved) and name.lower().startswith(self.reserved)

    @abstractmethod
    def script_dialect(self) -> sa.Dialect:
        """SQLAlchemy's dialect for text that people read: no sign in it is doubled for a driver."""

    def preamble(self) -> tuple[str, ...]:
        """Statements before the first table of a database of ours, outside any transaction."""
        return ()

    def run_preamble(self, connection: sa.Connection) -> None:
        """Run them on a connection that has not done anything yet."""
        for statement in self.preamble():
            connection.exec_driver_sql(statement)

    # Errors

    @abstractmethod
    def diagnose(self, error: BaseException) -> Diagnosis | None:
        """What a driver's exception means; None: its class says enough."""


def _in_part(options: Mapping[str, Any]) -> bool:
    """Whether an index is of some rows only, or of the first letters of a column."""
    some = any(name.endswith("_where") and value is not None for name, value in options.items())
    return some or any(name.endswith("_length") and bool(value) for name, value in options.items())
