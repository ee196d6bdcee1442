"""How the items of one delivery lie in the target's table, and the stage (暂存表) shaped after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from sqlalchemy.schema import CreateTableAs

from adapters.base import DELETE, OPERATION, Binding, Claim, RefusedRow
from adapters.database.dialects import Dialect
from adapters.database.dialects.types import plain
from adapters.database.fit import faults, fitted, written
from adapters.database.keys import KEY_LENGTH, key_text, row_text
from adapters.database.ledger import PREFIX
from adapters.database.refusal import KEY as KEY
from adapters.database.refusal import OPERATION_COLUMN as OPERATION_COLUMN
from adapters.database.refusal import REFUSED, load_all_but, refused_arrays, refused_row
from adapters.database.refusal import ROW as ROW
from adapters.database.shapes import Column, Expression, TableShape
from adapters.spool import short

if TYPE_CHECKING:
    from adapters.database.child_stage import ChildStage


@dataclass(frozen=True)
class Layout:
    """Items and columns of one target, found to fit.

    Attributes:
        binding: Where the resource lies.
        shape: The target's table.
        fields: The items of the delivery, in order.
    """

    binding: Binding
    shape: TableShape
    fields: Mapping[str, pa.Field]

    def column(self, item: str) -> Column:
        """The column of an item."""
        return self.shape.columns[self.binding.columns[item]]

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of all items, in order."""
        return tuple(self.column(item) for item in self.fields)

    @property
    def key_columns(self) -> tuple[str, ...]:
        """All columns that identify a row: those of the fixed values, then those of the key."""
        return (*self.binding.fixed, *(self.binding.columns[item] for item in self.binding.key))


@dataclass(frozen=True)
class Copy:
    """A table of ours with columns of the very types of some columns of another table.

    Attributes:
        create: The statement that makes it.
        table: The table for statements; copied columns are named ``c0``, ``c1``…
    """

    create: CreateTableAs
    table: sa.TableClause

    def __getitem__(self, place: int) -> Expression:
        return self.table.c[f"c{place}"]


def copy_of(
    dialect: Dialect,
    name: str,
    shape: TableShape,
    columns: Sequence[Column],
    service: Mapping[str, str],
    *,
    temporary: bool = False,
) -> Copy:
    """A table made from a query, as only that copies a type with its length, collation and all.

    Args:
        dialect: The product.
        name: Name of the new table.
        shape: The table to copy from.
        columns: Which of its columns.
        service: Further columns, by name: ``integer``, ``key`` or ``text``.
        temporary: It lives as long as the connection.
    """
    # The outer join takes NOT NULL off the copies: a deletion carries its key only.
    one, source = sa.select(sa.literal(1).label("one")).subquery("one"), shape.clause
    names = [f"c{number}" for number in range(len(columns))]
    blanks = [dialect.blank(what).label(label) for label, what in service.items()]
    copies = [source.c[column.name].label(label) for column, label in zip(columns, names, strict=True)]
    query = sa.select(*blanks, *copies).select_from(one.outerjoin(source, sa.false())).where(sa.false())
    namespace = None if temporary else shape.namespace
    return Copy(
        CreateTableAs(query, name, schema=namespace, temporary=temporary),
        sa.table(name, *map(sa.column, (*service, *names)), schema=namespace),
    )


class Stage:
    """What one claim has staged: rows numbered in the order of staging, from 0.

    Args:
        dialect: The product.
        layout: Where the rows are going.
        claim: Delivery key and the epoch staged under.
    """

    def __init__(self, dialect: Dialect, layout: Layout, claim: Claim) -> None:
        self.name = f"{stage_prefix(claim.key)}{claim.epoch}"
        self._dialect = dialect
        self.layout = layout
        # By name: whoever takes the stage up may have the items in another order.
        items = sorted(layout.fields)
        self._places = {item: number for number, item in enumerate(items)}
        self.distinct = False
        """No key is staged twice, as far as who staged it knows."""
        self.keyed = True
        """Every row is staged with its key text; otherwise deletions only, as there was no tombstone to find."""
        self.deleting: bool | None = None
        """Deletions are among the rows; None: it must be looked up."""
        service = {ROW: "integer", OPERATION_COLUMN: "integer", KEY: "key"}
        self.copy = copy_of(dialect, self.name, layout.shape, [layout.column(item) for item in items], service)
        self.children: tuple[ChildStage, ...] = ()
        """The stages of the parents' child tables."""

    @property
    def table(self) -> sa.TableClause:
        """The table for statements."""
        return self.copy.table

    @property
    def known_as(self) -> Mapping[str, str]:
        """The stage's columns by the names of the target's."""
        return {f"c{number}": self.layout.column(item).name for item, number in self._places.items()}

    def item(self, item: str, table: sa.FromClause | None = None) -> Expression:
        """The staged column of an item."""
        return (self.table if table is None else table).c[f"c{self._places[item]}"]

    def create(self, connection: sa.Connection) -> None:
        """Make it."""
        connection.execute(self.copy.create)
        self._dialect.ease(connection, self.table)
        for child in self.children:
            child.create(connection)

    def take_over(self, connection: sa.Connection, other: Stage, first: int) -> None:
        """Put the rows of another stage of the same layout behind the ones that are there, numbered from ``first``."""
        kept = [column for column in self.table.c if column.name != ROW]
        rows = sa.select(other.table.c[ROW] + first, *(other.table.c[column.name] for column in kept))
        names = [ROW, *(column.name for column in kept)]
        connection.execute(sa.insert(self.table).from_select(names, rows))

    def cut(self, connection: sa.Connection, first: int) -> None:
        """Take the rows from a number on away again, which a lost answer left in doubt."""
        connection.execute(sa.delete(self.table).where(self.table.c[ROW] >= first))
        for child in self.children:
            child.cut(connection, first)

    def load(self, connection: sa.Connection, batch: pa.RecordBatch, numbers: pa.Array, zone: str) -> None:
        """Put a batch's rows behind the ones that are there, under their numbers in the delivery.

        A row with a value that the target cannot hold stands there as refused, with the reason.
        """
        refused: list[RefusedRow] = []
        unfit = self._unfit(batch, zone)
        for child in self.children:
            unfit = child.load(connection, batch.column(child.item), numbers, zone) | unfit
        if unfit:
            refused += [RefusedRow(numbers[row].as_py(), *why) for row, why in unfit.items()]
            fit = pa.array([row not in unfit for row in range(batch.num_rows)], pa.bool_())
            batch, numbers = batch.filter(fit), numbers.filter(fit)
        values = {
            item: written(batch.column(item), self.layout.column(item), self._dialect, zone) for item in self._places
        }
        key = self.layout.binding.key
        arrays = {
            ROW: numbers,
            OPERATION_COLUMN: batch.column(OPERATION),
            KEY: self._key_texts(batch, [values[item] for item in key]),
        }
        arrays |= {f"c{number}": values[item] for item, number in self._places.items()}
        told = load_all_but(connection, self._dialect, self.table, arrays, self.known_as)
        refused += [RefusedRow(numbers[row].as_py(), *why) for row, why in told.items()]
        if refused:
            nothing = {f"c{number}": pa.nulls(len(refused), values[item].type) for item, number in self._places.items()}
            self._dialect.load(connection, self.table, refused_arrays(refused) | nothing)

    def _key_texts(self, batch: pa.RecordBatch, keys: Sequence[pa.Array]) -> pa.Array:
        """What a tombstone is found by; spared where there is neither a deletion nor a tombstone."""
        names = self.layout.binding.key
        deleting = pc.any(pc.equal(batch.column(OPERATION), DELETE)).as_py()
        if self.keyed or deleting or any(each.null_count or _long(each) for each in keys):
            return key_text(keys, names)
        return pa.nulls(batch.num_rows, pa.string())

    def unkeyed(self, connection: sa.Connection) -> bool:
        """Whether some rows were staged without their key text."""
        found = sa.select(sa.literal(1)).where(self.table.c[KEY].is_(None)).limit(1)
        return connection.execute(found).first() is not None

    def _unfit(self, batch: pa.RecordBatch, zone: str) -> dict[int, tuple[str, str]]:
        """Rows with a value that would become another in its column: rule and reason, by place."""
        found: dict[int, tuple[str, str]] = {}
        for item in self._places:
            for fault in faults(batch.column(item), self.layout.column(item), self._dialect, zone):
                for row in pc.indices_nonzero(pc.fill_null(fault.rows, fill_value=False)).to_pylist():
                    found.setdefault(row, (fault.rule, fault.reason))
        key = self.layout.binding.key
        over = too_long([written(batch.column(item), self.layout.column(item), self._dialect, zone) for item in key])
        for row in pc.indices_nonzero(over).to_pylist():
            found.setdefault(row, ("length", f"业务主键超过 {KEY_LENGTH} 个字符"))
        return found

    def give_up_refused(self, connection: sa.Connection, refusals: sa.Table, key: str) -> int:
        """Move what stands here as refused to the ledger's list of a delivery key, and say how many there were."""
        standing = self.table.c[OPERATION_COLUMN] == REFUSED
        found = connection.execute(sa.select(self.table.c[ROW], self.table.c[KEY]).where(standing)).all()
        rows = [refused_row(number, text) for number, text in found]
        if rows:
            names = ("delivery_key", "row_number", "rule", "reason")
            told = [dict(zip(names, (key, row.row, row.rule, row.reason), strict=True)) for row in rows]
            connection.execute(sa.insert(refusals), told)
            connection.execute(sa.delete(self.table).where(standing))
        return len(rows)

    def exists(self, connection: sa.Connection) -> bool:
        """Whether the table is there."""
        return sa.inspect(connection).has_table(self.name, schema=self.table.schema)

    def deletes(self, connection: sa.Connection) -> bool:
        """Whether deletions are among the rows."""
        if self.deleting is None:
            found = sa.select(sa.literal(1)).where(self.table.c[OPERATION_COLUMN] == DELETE).limit(1)
            self.deleting = connection.execute(found).first() is not None
        return self.deleting

    def filled(self, connection: sa.Connection) -> bool:
        """Whether any row is there."""
        return connection.execute(sa.select(sa.literal(1)).select_from(self.table).limit(1)).first() is not None

    def count(self, connection: sa.Connection) -> int:
        """How many rows are there."""
        return int(connection.execute(sa.select(sa.func.count()).select_from(self.table)).scalar_one())


def too_long(keys: Sequence[pa.Array]) -> pa.BooleanArray:
    """For which of the keys the tables beside the target, where deletions are noted, have no room."""
    if not any(map(_long, keys)):
        return pa.repeat(pa.scalar(value=False), len(keys[0]) if keys else 0)
    return pc.fill_null(pc.greater(pc.utf8_length(row_text(keys)), KEY_LENGTH), fill_value=False)


def _long(keys: pa.Array) -> bool:
    """Whether a key may be too long for the tables beside the target."""
    return pa.types.is_string(keys.type) and (pc.max(pc.binary_length(keys)).as_py() or 0) > KEY_LENGTH // 8


def stage_prefix(key: str) -> str:
    """What the names of all stages of a delivery key begin with."""
    return f"{PREFIX}stage_{short(key)}_"


def drop_stages(connection: sa.Connection, namespace: str | None, claim: Claim) -> None:
    """Drop what the claim's key staged under its epoch and lower ones."""
    prefix = stage_prefix(claim.key)
    for name in sa.inspect(connection).get_table_names(schema=namespace):
        epoch = name.removeprefix(prefix).partition("_")[0]
        if name.startswith(prefix) and epoch.isdigit() and int(epoch) <= claim.epoch:
            table = sa.Table(name, sa.MetaData(), schema=namespace)
            connection.execute(sa.schema.DropTable(table, if_exists=True))


def stamp(binding: Binding, shape: TableShape, dialect: Dialect, zone: str) -> str:
    """The time that all rows of one delivery bear; empty where their family has no place for one."""
    named = binding.profile.written_at if binding.profile else None
    return "" if named is None else now_text(shape.columns[named], dialect, zone)


def stamps(binding: Binding, shape: TableShape, dialect: Dialect, time: str, *, new: bool) -> dict[str, Expression]:
    """What the family of the target's table wants written beside the items: state, time, marks, constants.

    Args:
        binding: The target.
        shape: Its table.
        dialect: The product.
        time: What :func:`stamp` said once for the whole delivery.
        new: For rows that are inserted, not for rows that are replaced.
    """
    profile = binding.profile
    if profile is None:
        return {}
    texts: dict[str, str | None] = dict(profile.constants)
    if profile.delete is not None and profile.delete.column not in binding.columns.values():
        mark = profile.delete.inserted if new else profile.delete.updated
        texts |= {} if mark is None else {profile.delete.column: mark}
    if profile.state is not None:
        texts[profile.state.column] = profile.state.fresh
    if profile.written_at is not None:
        texts[profile.written_at] = time
    return {name: dialect.constant(text, shape.columns[name]) for name, text in texts.items()}


def now_text(column: Column, dialect: Dialect, zone: str) -> str:
    """This second, as it is written into a column."""
    now = pa.array([datetime.now(UTC).replace(microsecond=0)], pa.timestamp("us", tz="UTC"))
    return str(plain(fitted(now, column, dialect, zone))[0].as_py())
