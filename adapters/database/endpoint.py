"""The endpoint kind ``database``: a department's front-end database (前置库)."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from ipaddress import ip_address
from typing import Any, ClassVar

import pyarrow as pa
import sqlalchemy as sa

from adapters.base import (
    Binding,
    Capabilities,
    Endpoint,
    FoundColumn,
    FoundObject,
    Options,
    Probe,
    Refreshing,
    Sink,
    Source,
)
from adapters.database.binding import children_of, table_options, without_children
from adapters.database.check import sink_misfits, source_misfits, watermark_misfits
from adapters.database.children import child_shapes, sink_children_misfits, source_children_misfits, unindexed
from adapters.database.dialects import DatabaseOptions, Dialect
from adapters.database.encoding import encoding_misfits
from adapters.database.ledger import PREFIX, SERIAL, Ledger
from adapters.database.place import Place
from adapters.database.proposal import proposals
from adapters.database.refresh import SWAPS, obstacles
from adapters.database.script import definitions, error_table_name, script
from adapters.database.shapes import FAMILIES, TableShape
from adapters.database.sink import DatabaseSink
from adapters.database.source import DatabaseSource
from adapters.errors import AdapterError, Misconfigured, Unsupported
from adapters.options import read_options
from adapters.structure import Lies, Structure, StructureColumn

_CAPABILITIES = Capabilities(
    way="database",
    notes=frozenset({"diff"}),
    captures=frozenset({"snapshot", "outbox", "batches", "journal", "watermark", "diff"}),
    delivers=True,
    transactional=True,
    merges=True,
    settles=True,
    answers=True,
    refreshes=True,
    looks_up=True,
)
_CLOCK_SECONDS = 60.0
_USUAL_SCHEMA = "public"
"""Where tables lie if no schema is named, on products that have any."""
_LETTERS = {
    "integer": "I",
    "decimal": "N",
    "float": "B",
    "boolean": "L",
    "date": "D",
    "time": "T",
    "instant": "T",
    "binary": "G",
    "other": "C",
}


class DatabaseEndpoint(Endpoint):
    """One database of a department, on any of the products we know."""

    kind: ClassVar[str] = "database"
    options_type: ClassVar[type[Options]] = DatabaseOptions

    def __init__(self, options: DatabaseOptions | Mapping[str, Any], *, zone: str = "Asia/Shanghai") -> None:
        read = (
            options if isinstance(options, DatabaseOptions) else read_options(DatabaseOptions, options, "database 端点")
        )
        self._place = Place(read, zone)

    @property
    def capabilities(self) -> Capabilities:
        """Everything the port knows."""
        return _CAPABILITIES

    def identity(self) -> str:
        """The file, links followed, or server, port, database and schema."""
        options, url = self._place.options, self._place.engine.url
        if options.path is not None:
            return f"{options.product} {os.path.realpath(options.path)}"
        schema = (self._place.namespace or _USUAL_SCHEMA).casefold()
        return f"{options.product} {_server(url.host or '')}:{url.port}/{(url.database or '').casefold()}/{schema}"

    def object_identity(self, name: str) -> str:
        """Names that differ in case alone are one table: on most products they are, and nowhere are they told apart."""
        return name.casefold()

    def dataset(self, object: str) -> tuple[str, str]:
        """As the product's tables are named there."""
        return self._place.dialect.dataset(self._place.options, object)

    def test(self) -> list[Probe]:
        """Connect, look at clock and character set, make a table and drop it, look for the ledger."""
        steps: list[tuple[str, Callable[[sa.Connection], list[Probe]]]] = [
            ("版本", lambda connection: [Probe("版本", passed=True, detail=self._place.dialect.version(connection))]),
            ("时钟", self._clock),
            ("字符集", self._place.dialect.probes),
            ("读取", self._tables),
            ("暂存", self._making),
            ("台账", self._ledger),
        ]
        try:
            with self._place.translating(), self._place.engine.connect():
                probes = [Probe("连接", passed=True, detail=self._place.name)]
        except AdapterError as error:
            return [Probe("连接", passed=False, detail=error.message, remedy=error.remedy)]
        for name, step in steps:
            try:
                with self._place.transaction() as connection:
                    probes += step(connection)
            except AdapterError as error:
                probes.append(Probe(name, passed=False, detail=error.message, remedy=error.remedy))
        return probes

    def inspect(self, object: str | None = None) -> list[FoundObject]:
        """Tables and views of the schema, ours left out; with a name, its columns and how it could be read too."""
        with self._place.translating(), self._place.engine.connect() as connection:
            if object is not None:
                shape = self._place.shape(connection, object)
                return [replace(_found(shape), proposals=proposals(connection, shape))]
            inspector = sa.inspect(connection)
            namespace = self._place.namespace
            names = sorted([*inspector.get_table_names(namespace), *inspector.get_view_names(namespace)])
            return [FoundObject(name) for name in names if not name.startswith(PREFIX)]

    def prepare(self, binding: Binding, schema: pa.Schema) -> str:
        """What the administrator runs: the ledger and the target, or the source's error-return table."""
        return script(self._place, binding, schema)

    def structure(self, object: str) -> Structure | None:
        """The table as reflection finds it."""
        place = self._place
        place.demand_ours(object)
        with place.translating(), place.engine.connect() as connection:
            shape = place.dialect.shape(connection, object, place.namespace)
            if shape is None:
                return Structure(name=object, lies="absent")
            view = place.dialect.is_view(connection, object, place.namespace)
            return _structure(shape, place.dialect, view=view)

    def install(self, binding: Binding, schema: pa.Schema) -> list[str]:
        """Run that script: for a database that is the hub's own, which is made if it is a file."""
        place = self._place
        with place.translating():
            engine = place.dialect.engine(place.options, create=True)
            with engine.connect() as connection:
                place.dialect.run_preamble(connection)
            with engine.connect() as connection:
                place.dialect.begin_write(connection)
                place.dialect.alone(connection)
                made = definitions(place, binding, schema, whole=True)
                if made.stuck:
                    return made.stuck
                # Where each statement commits itself, a second call finds what the first one left to do.
                for statement in (*made.widening, *made.statements):
                    connection.execute(statement)
                connection.commit()
        return []

    def check(self, binding: Binding, schema: pa.Schema, *, sink: bool) -> list[str]:
        """Everything that does not fit: table, columns, types, widths, keys, ledger."""
        place = self._place
        try:
            options, children = table_options(binding), children_of(binding)
            for table in (binding.object, *(child.table for child in children.values())):
                place.demand_ours(table)
        except Misconfigured as error:
            return [error.message]
        if sink:
            children = {item: child for item, child in children.items() if item in schema.names}
        binding = without_children(binding)
        with place.translating(), place.engine.connect() as connection:
            shape = place.dialect.shape(connection, binding.object, place.namespace)
            shapes = child_shapes(place, connection, children)
            missing = Ledger(place.dialect, place.namespace).missing(connection)
            name = error_table_name(binding)
            errors = place.dialect.shape(connection, name, place.namespace) if name else None
        if not sink:
            if shape is None:
                return [f"没有表 {binding.object}"]
            problems = [*source_misfits(binding, shape), *watermark_misfits(options, shape)]
            problems += source_children_misfits(binding, children, shape, shapes)
            problems += encoding_misfits(place.options.encoding, binding, sink=False)
            problems += [
                f"表 {shape.name} 没有按文本读取的列 {each}" for each in options.text if each not in shape.columns
            ]
            if name and binding.capture in ("outbox", "batches"):
                problems += _error_misfits(binding, name, errors)
            if binding.capture == "journal" and missing:
                problems.append(f"缺少交付台账的表 {'、'.join(missing)}")
            return problems
        problems = [f"缺少交付台账的表 {'、'.join(missing)}"] if missing else []
        if shape is None:
            return [*problems, f"没有表 {binding.object}"]
        if options.journal and SERIAL not in shape.columns:
            problems.append(f"表 {shape.name} 没有交付序号列 {SERIAL}")
        problems += encoding_misfits(place.options.encoding, binding, sink=True)
        own = pa.schema([field for field in schema if field.name not in children])
        problems += sink_misfits(binding, own, shape, place.dialect)
        return [*problems, *sink_children_misfits(binding, children, schema, shape, shapes, place.dialect)]

    def advise(self, binding: Binding) -> list[str]:
        """A watermark, or rows of a child table, that no index finds."""
        name, children = table_options(binding).watermark, children_of(binding)
        if name is None and not children:
            return []
        with self._place.translating(), self._place.engine.connect() as connection:
            shape = self._place.shape(connection, binding.object)
            advice = unindexed(children, child_shapes(self._place, connection, children))
        if name is None or name in shape.leading or name not in shape.columns:
            return advice
        return [*advice, f"水位列 {name} 没有索引，每次读取都要扫描表 {shape.name}：请提供方在该列上建索引"]

    def refreshing(self, binding: Binding) -> Refreshing | None:
        """By swap, if nothing about the table stands against it."""
        place = self._place
        with place.translating(), place.engine.connect() as connection:
            why = obstacles(connection, place.dialect, binding, place.shape(connection, binding.object))
        return Refreshing("reload", why) if why else Refreshing("swap", (SWAPS,))

    def source(self, binding: Binding) -> Source:
        """Read a table."""
        if binding.capture not in _CAPABILITIES.captures:
            raise Unsupported(
                f"数据库端点不能以 {binding.capture} 方式读取",
                remedy=f"改用 {'、'.join(sorted(_CAPABILITIES.captures))}",
            )
        return DatabaseSource(self._place, binding)

    def sink(self, binding: Binding) -> Sink:
        """Deliver to a table."""
        table_options(binding)
        if misfits := encoding_misfits(self._place.options.encoding, binding, sink=True):
            raise Misconfigured(f"{self._place.name}：{misfits[0]}", remedy="以数据库自己的编码另登记一个端点作目标")
        return DatabaseSink(self._place, binding)

    def _clock(self, connection: sa.Connection) -> list[Probe]:
        apart = abs(float(connection.execute(sa.select(self._place.dialect.clock())).scalar_one()) - time.time())
        passed = apart < _CLOCK_SECONDS
        return [Probe("时钟", passed, f"与本机相差 {apart:.1f} 秒", "" if passed else "请对方校准数据库服务器的时钟")]

    def _tables(self, connection: sa.Connection) -> list[Probe]:
        names = sa.inspect(connection).get_table_names(self._place.namespace)
        return [Probe("读取", passed=True, detail=f"{sum(not name.startswith(PREFIX) for name in names)} 张表")]

    def _making(self, connection: sa.Connection) -> list[Probe]:
        """A target's stage is a table of its own in each delivery."""
        metadata = sa.MetaData(schema=self._place.namespace)
        table = sa.Table(f"{PREFIX}probe_{secrets.token_hex(8)}", metadata, sa.Column("probe", sa.Integer))
        connection.execute(sa.schema.CreateTable(table))
        connection.execute(sa.schema.DropTable(table))
        return [Probe("暂存", passed=True, detail="可以建表和删表")]

    def _ledger(self, connection: sa.Connection) -> list[Probe]:
        missing = Ledger(self._place.dialect, self._place.namespace).missing(connection)
        if not missing:
            return [Probe("台账", passed=True, detail="齐全")]
        remedy = "作为交付目标时，先由对方管理员执行 endpoint prepare --sql 打印的脚本"
        # Not a fault: an endpoint that is only read from needs none, and a delivery says so itself.
        return [Probe("台账", passed=True, detail=f"没有表 {'、'.join(missing)}；只作来源时不需要", remedy=remedy)]


def _server(host: str) -> str:
    """A server's address, the same for every way to say this machine."""
    name = host.casefold().rstrip(".").strip("[]")
    if name == "localhost" or name.startswith("/"):  # a socket
        return "localhost"
    try:
        address = ip_address(name)
    except ValueError:
        return name
    return "localhost" if address.is_loopback else str(address)


def _found(shape: TableShape) -> FoundObject:
    columns = tuple(
        FoundColumn(
            column.name,
            ("C" if column.length else "M") if column.family == "text" else _LETTERS[column.family],
            length=column.length if column.family in ("text", "decimal") else None,
            scale=column.scale if column.family == "decimal" else None,
            nullable=column.nullable,
            label=column.label,
        )
        for column in shape.columns.values()
    )
    return FoundObject(shape.name, columns, shape.key, shape.label)


def _structure(shape: TableShape, dialect: Dialect, *, view: bool) -> Structure:
    columns = tuple(
        StructureColumn(
            name=column.name,
            family=FAMILIES[column.family],
            declared=column.declared,
            length=dialect.capacity(column),
            scale=column.scale,
            fraction=column.fraction if column.family in ("time", "instant") else None,
            nullable=column.nullable,
            filled=column.filled,
            computed=column.computed,
            exact=column.exact,
            unicode=column.unicode,
            charset=column.charset,
            collation=column.collation,
            label=column.label,
        )
        for column in shape.columns.values()
    )
    unique = sorted(tuple(sorted(names)) for names in shape.unique)
    lies: Lies = "view" if view else "table"
    return Structure(name=shape.name, lies=lies, columns=columns, key=shape.key, unique=tuple(unique))


def _error_misfits(binding: Binding, name: str, errors: TableShape | None) -> list[str]:
    if errors is None:
        return [f"没有错误回传表 {name}"]
    reason = binding.profile.error_column if binding.profile else ""
    return [] if reason in errors.columns else [f"错误回传表 {name} 没有异常说明列 {reason}"]
