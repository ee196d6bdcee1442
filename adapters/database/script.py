"""What has to exist before the first delivery or settlement, as statements of definition (DDL)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex, CreateTable, SetColumnComment, SetTableComment

from adapters.base import Binding
from adapters.database.binding import ChildTable, answerable, children_of, table_options, without_children
from adapters.database.children import row_fields
from adapters.database.dialects import Dialect
from adapters.database.dialects.alterations import AddColumn
from adapters.database.dialects.types import item_label
from adapters.database.fit import fields_of
from adapters.database.ledger import PREFIX, SERIAL, Ledger
from adapters.database.place import Place
from adapters.database.shapes import TableShape
from adapters.database.watermark import TIMES
from adapters.database.widening import widenings
from adapters.errors import Misconfigured, Unsupported

_STATE_LENGTH = 16
_INDEXED_LENGTH = 256
_TIME = pa.field("time", pa.timestamp("us", tz="UTC"))


def script(place: Place, binding: Binding, schema: pa.Schema) -> str:
    """The statements as text, for a person with the rights to run them."""
    with place.translating():
        dialect = place.dialect.script_dialect()
        lines = [f"-- 数通：表 {' '.join(binding.object.split())} 交换前的准备，由数据库管理员执行", ""]
        lines += [f"{statement};" for statement in place.dialect.preamble()]
        made = definitions(place, binding, schema)
        lines += [f"-- 请人工处理：{' '.join(text.split())}" for text in made.stuck]

        def told(statements: Iterable[sa.schema.ExecutableDDLElement]) -> list[str]:
            return [str(each.compile(dialect=dialect)).strip() for each in statements]

        statements = [*place.dialect.framed(told(made.widening)), *told(made.statements)]
        lines += [f"{statement};" for statement in statements]
    return "\n".join(lines) + "\n"


@dataclass
class Definitions:
    """What has to be run, in this order.

    Attributes:
        widening: Statements that make columns that are there wider.
        statements: Those that make what is not there.
        stuck: In words, each column that is there, does not fit and cannot be made to.
    """

    widening: list[sa.schema.ExecutableDDLElement] = field(default_factory=list)
    statements: list[sa.schema.ExecutableDDLElement] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)


def definitions(place: Place, binding: Binding, schema: pa.Schema, *, whole: bool = False) -> Definitions:
    """The statements; what is there already and fits is left alone.

    A binding that settles its source (capture ``outbox`` or ``batches``) needs its error-return table;
    any other is taken for a target and needs the ledger, and the table itself.

    Args:
        place: The database.
        binding: What is to lie there.
        schema: The items.
        whole: The table is the hub's own, and no column of it is to be narrower than its item.

    Raises:
        Misconfigured: a name is longer than the product allows, or the product's own.
    """
    children = {item: child for item, child in children_of(binding).items() if item in schema.names}
    whose, binding = schema, without_children(binding)
    schema = pa.schema([field for field in schema if field.name not in children])
    tables = [binding.object, error_table_name(binding) or "", *(child.table for child in children.values())]
    for name in tables:
        place.demand_ours(name)
    columns = [name for child in children.values() for name in (*child.key.values(), *child.columns.values())]
    names = [*tables, *binding.columns.values(), *binding.fixed, *columns]
    if long := [name for name in names if not place.dialect.fits(name)]:
        raise Misconfigured(f"名称过长：{'、'.join(long)}", remedy=f"最长 {place.dialect.longest_name}")
    found = _found(place, binding)
    if binding.capture in ("outbox", "batches"):
        return Definitions(statements=list(_error_table(place, binding, found)))
    made = Definitions()
    for table in Ledger(place.dialect, place.namespace).tables:
        made.statements += _creation(table, place.dialect)
    if found is None:
        made.statements += _creation(_target(place, binding, schema), place.dialect)
        made.statements += _child_creations(place, binding, whose, children)
        return made
    made.statements += _additions(place, binding, schema, found)
    types, made.stuck = widenings(binding, schema, found, place.dialect, whole=whole)
    if types:
        try:
            with place.translating(), place.engine.connect() as connection:
                made.widening = place.dialect.retyping(connection, found, types)
        except Unsupported as error:
            made.stuck.append(error.message)
    made.statements += _child_creations(place, binding, whose, children)
    return made


def error_table_name(binding: Binding) -> str | None:
    """Name of the error-return table of a bound table, None if its family has none."""
    profile = binding.profile
    if profile is None or profile.error_table is None:
        return None
    stem = binding.object.removeprefix(profile.strip)
    return profile.error_table.replace("{table}", binding.object).replace("{stem}", stem)


def _found(place: Place, binding: Binding) -> TableShape | None:
    return _lies(place, binding.object)


def _lies(place: Place, table: str) -> TableShape | None:
    if not place.dialect.exists(place.options):
        return None
    with place.translating(), place.engine.connect() as connection:
        return place.dialect.shape(connection, table, place.namespace)


def _creation(table: sa.Table, dialect: Dialect) -> Iterator[sa.schema.ExecutableDDLElement]:
    yield CreateTable(table, if_not_exists=True)
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        yield CreateIndex(index, if_not_exists=True)
    if dialect.comments and not dialect.inline_comments:
        if table.comment:
            yield SetTableComment(table)
        yield from (SetColumnComment(column) for column in table.columns if column.comment)


def _target(place: Place, binding: Binding, schema: pa.Schema) -> sa.Table:
    dialect, fields = place.dialect, fields_of(schema)
    crowded = dialect.crowds(fields.values())
    columns = [sa.Column(name, dialect.exact_text(64), primary_key=True, autoincrement=False) for name in binding.fixed]
    for item in [*binding.key, *(item for item in fields if item not in binding.key)]:
        if item in fields and item in binding.columns:
            key = item in binding.key
            kind = dialect.type_for(fields[item], key=key, crowded=crowded)
            label = item_label(fields[item]) or None
            name = binding.columns[item]
            columns.append(sa.Column(name, kind, primary_key=key, nullable=not key, autoincrement=False, comment=label))
    bound = {column.name for column in columns}
    columns += [column for name, column in _state_columns(dialect, binding).items() if name not in bound]
    metadata = sa.MetaData(schema=place.namespace)
    table = sa.Table(binding.object, metadata, *columns, **dialect.table_options())
    if table_options(binding).journal:
        table.append_column(_serial_column())
        sa.Index(_index_name(binding.object, "serial"), table.c[SERIAL])
    if binding.profile is not None and answerable(binding):
        # By it the rows of one delivery are found again.
        sa.Index(_index_name(binding.object, "answer"), table.c[binding.profile.written_at or ""])
    return table


def _child_creations(
    place: Place, binding: Binding, schema: pa.Schema, children: Mapping[str, ChildTable]
) -> Iterator[sa.schema.ExecutableDDLElement]:
    """Child tables that are not there, with an index by the parent's key; one that is there is left as it is."""
    for item, child in children.items():
        if _lies(place, child.table) is None:
            yield from _creation(_child_table(place, binding, schema, item, child), place.dialect)


def _child_table(place: Place, binding: Binding, schema: pa.Schema, item: str, child: ChildTable) -> sa.Table:
    dialect, fields = place.dialect, row_fields(schema.field(item))
    keys = [(name, schema.field(name)) for name in binding.key]
    columns = [
        sa.Column(child.key[name], dialect.type_for(field, key=True), nullable=False, comment=item_label(field) or None)
        for name, field in keys
    ]
    crowded = dialect.crowds([field for _, field in keys] + list(fields.values()))
    columns += [
        sa.Column(child.columns[name], dialect.type_for(field, crowded=crowded), comment=item_label(field) or None)
        for name, field in fields.items()
        if name in child.columns
    ]
    comment = item_label(schema.field(item)) or None
    metadata = sa.MetaData(schema=place.namespace)
    table = sa.Table(child.table, metadata, *columns, comment=comment, **dialect.table_options())
    sa.Index(_index_name(child.table, "parent"), *(table.c[name] for name in child.key.values()))
    return table


def _state_columns(dialect: Dialect, binding: Binding) -> Mapping[str, sa.Column[Any]]:
    profile = binding.profile
    if profile is None:
        return {}
    time = dialect.type_for(_TIME)
    texts: dict[str, tuple[str, int]] = {
        name: ("表族常量", max(_STATE_LENGTH, len(text))) for name, text in profile.constants.items()
    }
    if profile.state is not None:
        texts[profile.state.column] = ("同步标志", _STATE_LENGTH)
    if profile.delete is not None:
        texts[profile.delete.column] = ("操作或有效标志", _STATE_LENGTH)
    if profile.error_text is not None:
        texts[profile.error_text] = ("同步错误原因", profile.error_length)
    made: dict[str, sa.Column[Any]] = {
        name: sa.Column(name, dialect.type_for(_text_field(name, length)), comment=label)
        for name, (label, length) in texts.items()
    }
    for name, label in ((profile.written_at, "写入时间"), (profile.read_at, "读取时间")):
        if name is not None:
            made[name] = sa.Column(name, time, comment=label)
    if profile.version is not None and profile.version.casefold() not in map(str.casefold, binding.columns.values()):
        made.setdefault(profile.version, sa.Column(profile.version, sa.BigInteger(), comment="重报版本"))
    return made


def _additions(
    place: Place, binding: Binding, schema: pa.Schema, found: TableShape
) -> Iterator[sa.schema.ExecutableDDLElement]:
    """What a table that is there lacks; what it has is not touched."""
    columns = [sa.Column(each.name, each.type) for each in found.columns.values()]
    table = sa.Table(found.name, sa.MetaData(schema=found.namespace), *columns)
    for wanted in _target(place, binding, schema).columns:
        if wanted.name not in found.columns:
            plain = sa.Column(wanted.name, wanted.type, comment=wanted.comment)
            added = _serial_column() if wanted.name == SERIAL else plain
            table.append_column(added)
            yield AddColumn(added)
            if added.comment and place.dialect.comments and not place.dialect.inline_comments:
                yield SetColumnComment(added)
    key = [*binding.fixed, *(binding.columns[item] for item in binding.key)]
    if frozenset(key) not in found.unique:
        index = sa.Index(_index_name(binding.object, "key"), *(table.c[name] for name in key), unique=True)
        yield CreateIndex(index, if_not_exists=True)
    if table_options(binding).journal:
        yield CreateIndex(sa.Index(_index_name(binding.object, "serial"), table.c[SERIAL]), if_not_exists=True)
    written_at = binding.profile.written_at if binding.profile and answerable(binding) else None
    if written_at is not None and written_at not in found.leading and _indexable(place.dialect, found, written_at):
        yield CreateIndex(sa.Index(_index_name(binding.object, "answer"), table.c[written_at]), if_not_exists=True)


def _indexable(dialect: Dialect, found: TableShape, name: str) -> bool:
    """Whether a time column can be indexed: not every product does that with a text of any length."""
    column, own = found.columns.get(name), type(dialect.type_for(_TIME))
    if column is None or column.family in TIMES or isinstance(column.type, own):
        return True
    return column.family == "text" and column.length is not None and column.length < _INDEXED_LENGTH


def _error_table(place: Place, binding: Binding, found: TableShape | None) -> Iterator[sa.schema.ExecutableDDLElement]:
    name, profile = error_table_name(binding), binding.profile
    if name is None or profile is None or found is None:
        return
    columns = [sa.Column(each.name, each.type, comment=each.label or None) for each in found.columns.values()]
    if profile.error_column not in found.columns:
        reason = place.dialect.type_for(_text_field(profile.error_column, profile.error_length))
        columns.append(sa.Column(profile.error_column, reason, nullable=False, comment="异常说明"))
    metadata = sa.MetaData(schema=place.namespace)
    table = sa.Table(name, metadata, *columns, comment="错误回传表", **place.dialect.table_options())
    yield from _creation(table, place.dialect)


def _serial_column() -> sa.Column[int]:
    return sa.Column(SERIAL, sa.BigInteger(), nullable=False, server_default=sa.text("0"), comment="交付序号")


def _text_field(name: str, length: int) -> pa.Field:
    return pa.field(name, pa.string(), metadata={"length": str(length)})


def _index_name(table: str, what: str) -> str:
    # Hashed, as a name that is cut for its length could fall on another table's index.
    return f"{PREFIX}{what}_{hashlib.sha256(table.encode()).hexdigest()[:16]}"
