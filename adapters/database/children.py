"""Child tables (子表): the rows that belong to one row of a bound table, read and written together with it.

Read, they are one more expression of the parent's own statement, so that parent and children are of one snapshot
whatever the product. Written, they are taken apart when they are staged, and put in the place of those that are there
in the transaction, and under the savepoint, of their parent's own change.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from adapters.base import Binding
from adapters.database.binding import ChildTable
from adapters.database.dialects import Dialect
from adapters.database.encoding import as_text
from adapters.database.fit import faults, misfit
from adapters.database.ledger import PREFIX
from adapters.database.place import Place
from adapters.database.shapes import FAMILIES, Column, Expression, Reading, TableShape
from adapters.errors import Malformed
from schemas.child_rows import EMPTY
from schemas.items import arrow_schema, row_items

_NONE = b"[0]"


@dataclass(frozen=True)
class Child:
    """The child table of one item, as it lies there.

    Attributes:
        item: The item of the parent.
        bound: How it is bound.
        shape: The child table.
    """

    item: str
    bound: ChildTable
    shape: TableShape

    def column(self, item: str) -> Column:
        """The column of an item of the child rows."""
        return self.shape.columns[self.bound.columns[item]]

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The columns with the parent's key."""
        return tuple(self.bound.key.values())

    def of(self, dialect: Dialect, child: sa.FromClause, keys: Mapping[str, tuple[Expression, Column]]) -> Expression:
        """Child rows belong to the parent of these keys: for each item, its value and column at the parent."""
        return sa.and_(
            *(dialect.same_key(child.c[self.bound.key[item]], value, column) for item, (value, column) in keys.items())
        )

    def texts(self, dialect: Dialect, child: sa.FromClause) -> list[Expression]:
        """The values of a child row as the place writes them, for a comparison."""
        columns = [self.column(item) for item in sorted(self.bound.columns)]
        return [dialect.as_text(child.c[column.name], column) for column in columns]


def reading(place: Place, child: Child, binding: Binding, parent: sa.TableClause, shape: TableShape) -> Reading:
    """How all child rows of a parent are read: as one text, gathered by the database.

    Args:
        place: The database.
        child: The child table.
        binding: The parent's.
        parent: The parent's table, as the statement names it.
        shape: The parent's table.
    """
    # So no table is called that anybody binds.
    dialect, rows = place.dialect, child.shape.clause.alias(f"{PREFIX}child")
    names = sorted(child.bound.columns)
    texts = [dialect.told(child.column(item), rows.c[child.column(item).name], place.zone) for item in names]
    keys = {item: shape.columns[binding.columns[item]] for item in binding.key}
    belongs = child.of(dialect, rows, {item: (parent.c[column.name], column) for item, column in keys.items()})
    one = sa.type_coerce(dialect.json_array(texts), sa.Text)
    many = sa.cast(sa.func.count(), sa.String)
    # How many there are says whether all have come: what is gathered may be cut without a word.
    gathered = sa.func.coalesce(sa.func.aggregate_strings(sa.literal(",", sa.Text).concat(one), ""), "")
    text = sa.literal("[", sa.Text).concat(many).concat(gathered).concat("]")
    query = sa.select(text).select_from(rows).where(belongs).correlate(parent).scalar_subquery()
    finish = partial(_rows, names, child.shape.name)
    return Reading(query, pa.string(), pa.string(), finish, child.shape.name, sa.literal_column("1"))


def _rows(names: Sequence[str], table: str, gathered: pa.Array) -> pa.Array:
    """What was gathered, as texts of child rows."""
    made = [_objects(names, table, raw) for raw in gathered.cast(pa.binary()).to_pylist()]
    return as_text(pa.array(made, pa.binary()))


def _objects(names: Sequence[str], table: str, raw: bytes | None) -> bytes:
    if raw == _NONE:
        return EMPTY.encode()
    try:
        text = (raw or b"").decode()
    except UnicodeDecodeError:
        return raw or b""  # no text: the checks refuse its parent
    try:
        many, *rows = json.loads(text)
    except ValueError:
        many, rows = -1, []
    if many != len(rows):
        raise Malformed(
            f"子表 {table} 中同一上级行的子表行太多，读不完整", remedy="请对方调大 max_allowed_packet，或核对子表的数据"
        )
    return json.dumps([dict(zip(names, row, strict=True)) for row in rows], ensure_ascii=False).encode()


def child_shapes(
    place: Place, connection: sa.Connection, children: Mapping[str, ChildTable]
) -> Mapping[str, TableShape | None]:
    """What lies there under the names of child tables, by item; None: nothing."""
    return {item: place.dialect.shape(connection, bound.table, place.namespace) for item, bound in children.items()}


def source_children_misfits(
    binding: Binding, children: Mapping[str, ChildTable], shape: TableShape, shapes: Mapping[str, TableShape | None]
) -> Iterator[str]:
    """What does not fit of child tables that are read."""
    for item, bound in children.items():
        found = shapes[item]
        if found is None:
            yield f"没有子表 {bound.table}（信息项 {item}）"
            continue
        yield from _key_misfits(binding, bound, shape, found)
        for name, column_name in bound.columns.items():
            column = found.columns.get(column_name)
            if column is None:
                yield f"子表 {found.name} 没有列 {column_name}（信息项 {item}.{name}）"
            elif column.family == "binary":
                yield f"子表 {found.name} 的列 {column_name}（信息项 {item}.{name}）是二进制，不能随上级行共享"


def unindexed(children: Mapping[str, ChildTable], shapes: Mapping[str, TableShape | None]) -> list[str]:
    """Advice about child tables in which the rows of a parent are not found by an index."""
    return [
        f"子表 {found.name} 的列 {'、'.join(bound.key.values())} 没有索引，"
        "每个上级行都要扫描整张子表：请对方在这些列上建索引"
        for item, bound in children.items()
        if (found := shapes[item]) is not None and found.leading.isdisjoint(bound.key.values())
    ]


def sink_children_misfits(
    binding: Binding,
    children: Mapping[str, ChildTable],
    schema: pa.Schema,
    shape: TableShape,
    shapes: Mapping[str, TableShape | None],
    dialect: Dialect,
) -> Iterator[str]:
    """What does not fit of child tables that are delivered to."""
    for item, bound in children.items():
        found = shapes[item]
        fields = row_fields(schema.field(item))
        if not fields:
            yield f"信息项 {item} 没有登记子表行，不能写进子表 {bound.table}"
        elif fields.keys() != bound.columns.keys():
            yield f"子表 {bound.table} 的 columns 应恰好写明子信息项 {'、'.join(fields)} 各自的列"
        elif found is None:
            yield f"没有子表 {bound.table}（信息项 {item}）"
        else:
            yield from _key_misfits(binding, bound, shape, found)
            yield from _value_misfits(binding, item, bound, schema, found, dialect)


def _value_misfits(
    binding: Binding, item: str, bound: ChildTable, schema: pa.Schema, found: TableShape, dialect: Dialect
) -> Iterator[str]:
    fields = row_fields(schema.field(item))
    wanted = [(f"{item}.{name}", field, bound.columns[name], False) for name, field in fields.items()]
    wanted += [(name, schema.field(name), bound.key[name], True) for name in binding.key]
    for name, field, column_name, key in wanted:
        column = found.columns.get(column_name)
        if column is None:
            if not key:
                yield f"子表 {found.name} 没有列 {column_name}（信息项 {name}）"
        elif why := misfit(field, column, dialect, key=key, version=False):
            yield f"子表 {found.name} 的列 {column_name}（信息项 {name}）{why}"
    if not found.atomic:
        yield f"子表 {found.name} 的存储引擎没有事务，应改为有事务的引擎"
    written = {*bound.key.values(), *bound.columns.values()}
    for column in found.columns.values():
        if not (column.nullable or column.filled or column.computed or column.name in written):
            yield f"子表 {found.name} 的列 {column.name} 不可为空又无默认值，交付不写它"


def _key_misfits(binding: Binding, bound: ChildTable, shape: TableShape, found: TableShape) -> Iterator[str]:
    for item in binding.key:
        parent, column = shape.columns.get(binding.columns[item]), found.columns.get(bound.key[item])
        if column is None:
            yield f"子表 {found.name} 没有列 {bound.key[item]}（业务主键 {item}）"
        elif parent is None:
            continue  # said of the table itself
        elif parent.family != column.family:
            words = FAMILIES[column.family], FAMILIES[parent.family]
            yield f"子表 {found.name} 的列 {column.name} 是{words[0]}，上级表的列 {parent.name} 是{words[1]}，无从对应"
        elif (parent.exact, parent.charset, parent.collation) != (column.exact, column.charset, column.collation):
            yield f"子表 {found.name} 的列 {column.name} 与上级表的列 {parent.name} 的字符集或排序规则不同，无从对应"


def row_fields(field: pa.Field) -> Mapping[str, pa.Field]:
    """The fields of the child rows of an item; empty: it has none."""
    return {each.name: each for each in arrow_schema(row_items(field))}


def unfit_rows(
    item: str, name: str, values: pa.Array, column: Column, place: tuple[Dialect, str], places: pa.Array
) -> Iterator[tuple[int, str, str]]:
    """Child rows with a value that would become another in its column: the row, the rule and the reason."""
    for fault in faults(values, column, *place):
        for row in pc.indices_nonzero(pc.fill_null(fault.rows, fill_value=False)).to_pylist():
            yield row, fault.rule, f"{item}[{places[row].as_py()}].{name}：{fault.reason}"
