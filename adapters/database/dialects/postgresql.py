"""PostgreSQL: the only module that knows it, and psycopg."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, ClassVar

import adbc_driver_manager as adbc
import psycopg
import psycopg.conninfo
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.base import PGDialect

from adapters.base import Probe
from adapters.database.dialects import lines, swapping, wire
from adapters.database.dialects.base import (
    CONNECT_SECONDS,
    ENGINE,
    LOCK_SECONDS,
    Diagnosis,
    Dialect,
    Read,
    Rows,
    authority,
)
from adapters.database.dialects.options import DatabaseOptions, Product
from adapters.database.dialects.types import arrow_decimal, declared, from_zone, item_length, number_digits, plain
from adapters.database.shapes import Column, Expression, Family, Reading, TableShape
from adapters.errors import AdapterError, Malformed, Misconfigured, Refused, Unavailable, Unsupported

if TYPE_CHECKING:
    from adbc_driver_postgresql import dbapi

_PORT, _SCHEMA = 5432, "public"
_TLS = {"prefer": "prefer", "require": "require", "verify": "verify-full", "disable": "disable"}

# Our own habits for the session: what a role or database may have set otherwise would change values.
_SESSION = (
    "SET timezone = 'UTC'",
    "SET datestyle = 'ISO, YMD'",
    "SET intervalstyle = 'iso_8601'",
    "SET bytea_output = 'hex'",
    "SET extra_float_digits = 1",
    f"SET lock_timeout = '{LOCK_SECONDS}s'",
    "SET statement_timeout = 0",
    "SET idle_in_transaction_session_timeout = 0",
    # Whoever has lost his network or his power keeps no lock for hours.
    "SET tcp_keepalives_idle = 60",
    "SET tcp_keepalives_interval = 10",
    "SET tcp_keepalives_count = 6",
)

_SECOND = "SET lock_timeout = '10s'"
"""Of a connection beside one that holds the table already: who keeps it waiting waits for the first one, and the server
cannot know that neither will go on. Longer than a refresh of ours waits, which then gives way."""

_STATES: tuple[tuple[str, type[AdapterError], str], ...] = (
    ("08", Unavailable, "连接中断"),
    ("28", Refused, "账号或口令不被接受"),
    ("3D000", Misconfigured, "没有这个数据库"),
    ("3F", Misconfigured, "没有这个模式"),
    ("42501", Refused, "账号没有所需的权限"),
    ("42P01", Misconfigured, "缺少表"),
    ("42703", Misconfigured, "缺少列"),
    ("42704", Misconfigured, "缺少对象"),
    ("23502", Refused, "不可为空的列没有值"),
    ("23505", Refused, "违反唯一约束"),
    ("23", Refused, "违反约束"),
    ("22", Refused, "有值放不进目标列"),
    ("P0001", Refused, "被表的触发器拒绝"),
    ("54", Refused, "超出数据库的限制"),
    ("25006", Refused, "数据库只读"),
    ("0A", Unsupported, "数据库不支持此操作"),
    ("40P01", Unavailable, "与其他事务互相等待"),
    ("40", Unavailable, "与其他事务冲突"),
    ("55", Unavailable, "被其他事务占用"),
    ("53300", Unavailable, "连接数已满"),
    ("53", Unavailable, "数据库资源不足"),
    ("57", Unavailable, "数据库中断了操作"),
    ("25P", Unavailable, "会话超时"),
    ("58", Unavailable, "数据库系统错误"),
    ("XX", Unavailable, "数据库内部错误"),
)

_DEFINING = 5_348_554_831
"""The number that whoever defines tables of ours locks; it means nothing else to anybody."""

_OF_VALUES = ("22", "23502", "23514", "P0001")
"""States that one value is to blame for: out of range, too long, not in the character set, refused by its domain or by
a trigger."""
_COPIED = re.compile(r"COPY \S+, line \d+, column (\w+)")
_SIZE = re.compile(r"\d+(?=[,)])")

# While connecting, the server's answer comes as words only; these are what it says in English and Chinese.
_GREETINGS: tuple[tuple[str, type[AdapterError], str], ...] = (
    (
        r"password authentication|no password supplied|认证失败|no pg_hba\.conf|没有用于主机",
        Refused,
        "账号或口令不被接受",
    ),
    (r"role .* (does not exist|is not permitted)|角色.*不存在", Refused, "账号不被接受"),
    (r"permission denied for database|访问数据库.*权限不够", Refused, "账号没有所需的权限"),
    (r"database .* does not exist|数据库.*不存在", Misconfigured, "没有这个数据库"),
    (r"certificate|does not support SSL|root\.crt", Refused, "加密连接没有建立"),
    (r"translate host name|not known", Misconfigured, "主机名无法解析"),
)


class _Place(sa.types.UserDefinedType[str]):
    """Where a row stands."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Its name."""
        return "tid"


_BATCH_BYTES = 4 * 1024 * 1024
"""What is read at a time, about."""


class PostgreSQL(Dialect):
    """PostgreSQL 13 and later."""

    product: ClassVar[Product] = "postgresql"
    longest_name: ClassVar[int] = 63
    takes_arrow: ClassVar[bool] = True
    streams: ClassVar[bool] = True

    def engine(self, options: DatabaseOptions, *, create: bool = False) -> sa.Engine:
        """An engine whose sessions all speak UTC, ISO dates and UTF-8."""
        url = sa.URL.create(
            "postgresql+psycopg",
            username=options.user,
            password=options.password.get_secret_value() if options.password else None,
            host=options.host,
            port=options.port or _PORT,
            database=options.database,
        )
        arguments: dict[str, Any] = {
            "sslmode": _TLS[options.tls],
            "connect_timeout": CONNECT_SECONDS,
            "client_encoding": "UTF8",
            "application_name": "shutong",
            "prepare_threshold": None,  # a connection pooler between us and the server may not keep them
        }
        if options.tls == "verify":
            arguments["sslrootcert"] = str(options.tls_ca or "system")
        engine = sa.create_engine(url, connect_args=arguments, **ENGINE)
        sa.event.listen(engine, "connect", _set_up)
        return engine

    def dataset(self, options: DatabaseOptions, table: str) -> tuple[str, str]:
        """``postgres://host:port`` and ``database.schema.table``."""
        schema = options.schema_name or _SCHEMA
        return (
            f"postgres://{authority(options.host or '', options.port or _PORT)}",
            f"{options.database}.{schema}.{table}",
        )

    def begin_snapshot(self, connection: sa.Connection, tables: Sequence[sa.TableClause] = ()) -> None:
        """Repeatable read, read only: the snapshot is taken by the first statement that is not a lock.

        A table that is emptied and filled again, or exchanged for another, after the snapshot and before the first look
        at it would seem to be empty: its lock comes first, and whoever would do that waits until all is read.
        """
        connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        locks: list[str] = []
        for table in tables:
            name = connection.dialect.identifier_preparer.format_table(table)
            try:
                connection.exec_driver_sql(lock := f"LOCK TABLE {name} IN ACCESS SHARE MODE")
                locks.append(lock)
            except sa.exc.ProgrammingError:
                # It is no table, is not there, or only some of its columns may be read. Not by a savepoint: whoever
                # goes back to one cannot show others his snapshot.
                connection.rollback()
                for known in locks:
                    connection.exec_driver_sql(known)
        connection.execute(sa.select(sa.literal(1)))

    def begin_write(self, connection: sa.Connection) -> None:
        """Read committed, whatever the database's default is."""
        connection.execution_options(isolation_level="READ COMMITTED")

    def version(self, connection: sa.Connection) -> str:
        """Product and version."""
        return f"PostgreSQL {connection.exec_driver_sql('SHOW server_version').scalar_one()}"

    def clock(self) -> Expression:
        """The clock, not the start of the transaction."""
        return sa.cast(sa.extract("epoch", sa.func.clock_timestamp()), sa.Double)

    def begun(self) -> Expression:
        """The start of the transaction, whose first statement takes the snapshot."""
        return sa.cast(sa.extract("epoch", sa.func.transaction_timestamp()), sa.Double)

    def probes(self, connection: sa.Connection) -> list[Probe]:
        """Whether the database can hold every character."""
        encoding = str(connection.exec_driver_sql("SHOW server_encoding").scalar_one())
        return [
            Probe(
                "字符集", encoding == "UTF8", encoding, "" if encoding == "UTF8" else "生僻字存不进去，应改用 UTF8 的库"
            )
        ]

    def keeps_bytes(self, connection: sa.Connection) -> bool:
        """A database in SQL_ASCII, which is none."""
        return bool(connection.exec_driver_sql("SHOW server_encoding").scalar_one() == "SQL_ASCII")

    def extras(self, connection: sa.Connection, table: str, namespace: str | None) -> Mapping[str, Mapping[str, Any]]:
        """Which columns have a collation that calls different texts equal, what domains are based on, the encoding."""

        def catalogue(name: str, *columns: str) -> sa.TableClause:
            return sa.table(name, *map(sa.column, columns), schema="pg_catalog")

        attribute = catalogue("pg_attribute", "attrelid", "attname", "attcollation", "atttypid")
        collation = catalogue("pg_collation", "oid", "collisdeterministic", "collname")
        kind = catalogue("pg_type", "oid", "typtype", "typbasetype", "typtypmod")
        name = connection.dialect.identifier_preparer.format_table(sa.table(table, schema=namespace))
        base = sa.case((kind.c.typtype == "d", sa.func.format_type(kind.c.typbasetype, kind.c.typtypmod)), else_="")
        query = (
            sa.select(attribute.c.attname, collation.c.collisdeterministic, collation.c.collname, base.label("base"))
            .join(kind, kind.c.oid == attribute.c.atttypid)
            .outerjoin(collation, collation.c.oid == attribute.c.attcollation)
            .where(attribute.c.attrelid == sa.cast(sa.literal(name.replace("%%", "%")), postgresql.REGCLASS))
        )
        unicode = connection.exec_driver_sql("SHOW server_encoding").scalar_one() == "UTF8"
        return {
            row.attname: {
                "exact": row.collisdeterministic is not False,
                "unicode": unicode,
                "base": row.base,
                "collation": row.collname or "",
            }
            for row in connection.execute(query)
        }

    def is_view(self, connection: sa.Connection, table: str, namespace: str | None) -> bool:
        """A materialised one too."""
        materialised = sa.inspect(connection).get_materialized_view_names(schema=namespace)
        return table in materialised or super().is_view(connection, table, namespace)

    def column(self, found: Mapping[str, Any], extra: Mapping[str, Any]) -> Column:
        """A reflected column; a domain counts as what it is based on."""
        kind = found["type"]
        while isinstance(kind, postgresql.DOMAIN):
            kind = kind.data_type
        family = _family(kind)
        length, scale = number_digits(kind) if family in ("integer", "decimal") else (None, None)
        if family == "text":
            length = getattr(kind, "length", None)
        fraction = getattr(kind, "precision", None) if family in ("time", "instant") else None
        # Reflection leaves the size out of a domain.
        if sizes := [int(size) for size in _SIZE.findall(extra.get("base", ""))]:
            length = sizes[0]
            scale = sizes[-1] if family == "decimal" and len(sizes) > 1 else 0
            fraction = sizes[0]
        return Column(
            name=found["name"],
            family=family,
            declared=extra.get("base") or declared(kind, self.script_dialect()),
            length=length,
            scale=scale,
            fraction=6 if fraction is None else fraction,
            nullable=found["nullable"],
            filled=found["default"] is not None or bool(found.get("identity")),
            computed=bool(found.get("computed")) or (found.get("identity") or {}).get("always", False),
            exact=extra.get("exact", True),
            unicode=extra.get("unicode", True),
            label=found.get("comment") or "",
            collation=extra.get("collation", ""),
            default=found["default"],
            type=kind,
        )

    def reading(self, column: Column, expression: Expression, zone: str, *, as_text: bool) -> Reading:
        """Natively, as COPY writes it."""

        def reading(expression: Expression, wire: pa.DataType, *finish: Any) -> Reading:
            made, step = finish or (wire, None)
            return Reading(expression, wire, made, step, column.name)

        text = sa.cast(expression, sa.Text)
        if as_text:
            return reading(text, pa.string())
        match column.family:
            case "integer":
                return reading(expression, pa.int64())
            case "decimal" if (kind := arrow_decimal(column)) is not None:
                return reading(text, kind)
            case "float":
                # By its text: the four bytes of a real are not the digits that it is written with.
                return reading(text, pa.float64())
            case "boolean":
                return reading(expression, pa.bool_())
            case "date":
                return reading(expression, pa.date32())
            case "time":
                # Zone-less: what it is an instant of, whoever types it says, as some local times never were.
                return reading(expression, pa.timestamp("us"))
            case "instant":
                return reading(sa.func.timezone("UTC", expression), pa.timestamp("us"), *from_zone("UTC"))
            case "binary":
                return reading(sa.func.encode(expression, "hex"), pa.string(), pa.binary(), lines.unhexed)
            case _:
                return reading(text, pa.string())

    def strange(self, column: Column, expression: Expression) -> Expression | None:
        """The infinities, years that four digits do not write, and what is not a number."""
        if column.family in ("date", "time", "instant"):
            least, beyond = (sa.cast(sa.literal(text), column.type) for text in ("0001-01-02", "9999-12-31"))
            return sa.or_(sa.not_(sa.func.isfinite(expression)), expression < least, expression >= beyond)
        if column.family == "decimal" and arrow_decimal(column) is not None:
            return expression == sa.cast(sa.literal("NaN"), sa.Numeric)
        return None

    def undated(self, column: Column, expression: Expression) -> Expression | None:
        """Null, and the infinite past."""
        unknown = super().undated(column, expression)
        if column.family not in ("date", "time", "instant"):
            return unknown
        past = expression == sa.cast(sa.literal("-infinity"), column.type)
        return past if unknown is None else sa.or_(unknown, past)

    def read(
        self, connection: sa.Connection, rows: Rows, readings: Sequence[Reading], batch_rows: int
    ) -> Iterator[list[pa.Array]]:
        """Through a second connection in the same snapshot, whose driver makes Arrow of a binary COPY itself."""
        with _driver_errors(connection), _columnar(connection, as_bytes=self.keeps_bytes(connection)) as cursor:
            yield from _read(connection, cursor, rows, readings, batch_rows)

    @contextmanager
    def repeatedly(self, connection: sa.Connection) -> Iterator[Read]:
        """Over a second connection that is kept: to open one takes many times as long as to ask for a row."""
        with _driver_errors(connection), _beside(connection, as_bytes=self.keeps_bytes(connection)) as cursor:

            def read(rows: Rows, readings: Sequence[Reading], batch_rows: int) -> Iterator[list[pa.Array]]:
                with _driver_errors(connection):
                    yield from _read(connection, cursor, rows, readings, batch_rows)

            yield read

    def load(self, connection: sa.Connection, table: sa.TableClause, arrays: Mapping[str, pa.Array]) -> int:
        """Through a binary COPY; through one of lines where a column's type is none of the usual ones."""
        quote = connection.dialect.identifier_preparer
        names = ", ".join(quote.quote(name) for name in arrays)
        target = quote.format_table(table).replace("%%", "%")
        kinds = self._kinds(connection, target)
        types = [kinds[name] for name in arrays]
        with _driver_errors(connection), _cursor(connection) as cursor:
            if wire.encodes(list(arrays.values()), types):
                rows = wire.encoded(list(arrays.values()), types)
                with cursor.copy(f"COPY {target} ({names}) FROM STDIN (FORMAT binary)".encode()) as copy:
                    for part in (wire.HEADER, rows, wire.TRAILER):
                        copy.write(part)
            else:
                texts = {
                    name: lines.hexed(array, "\\x") if pa.types.is_binary(array.type) else plain(array)
                    for name, array in arrays.items()
                }
                with cursor.copy(f"COPY {target} ({names}) FROM STDIN (FORMAT csv)".encode()) as copy:
                    copy.write(lines.written(texts))
            return cursor.rowcount

    def sign(self, connection: sa.Connection, name: str) -> None:
        """As the name of the application, until the transaction ends."""
        connection.execute(sa.select(sa.func.set_config("application_name", name, sa.true())))

    def end(self, connection: sa.Connection, signed: Callable[[str], bool]) -> None:
        """By the server, as whoever lies stopped or has lost his network does not hear us; who is at work is left."""
        others = sa.text(
            "SELECT pid, application_name AS name FROM pg_stat_activity WHERE datname = current_database()"
            " AND usename = current_user AND pid <> pg_backend_pid()"
            " AND (state LIKE 'idle in transaction%' OR wait_event_type = 'Client')"
        )
        for other in connection.execute(others).all():
            if signed(other.name or ""):
                connection.execute(sa.select(sa.func.pg_terminate_backend(other.pid)))

    def loads_as_inserted(self, connection: sa.Connection, table: sa.TableClause) -> bool:
        """COPY knows no rules, and no policies of row security."""
        name = connection.dialect.identifier_preparer.format_table(table).replace("%%", "%")
        query = sa.text(
            "SELECT NOT row_security_active(CAST(:name AS regclass)) AND NOT EXISTS"
            " (SELECT FROM pg_rewrite WHERE ev_class = CAST(:name AS regclass) AND ev_type = '3')"
        )
        return bool(connection.execute(query, {"name": name}).scalar_one())

    def place(self, target: sa.TableClause) -> tuple[sa.ColumnElement[Any], ...]:
        """The page and the place on it, and whose page: each part of a table has pages of its own."""
        places = sa.column("ctid", _Place()), sa.column("tableoid", postgresql.OID())
        for place in places:
            place.table = target
        return places

    def lock_all(self, connection: sa.Connection, target: sa.TableClause) -> None:
        """By a lock of the table, under which others go on reading."""
        name = connection.dialect.identifier_preparer.format_table(target)
        connection.exec_driver_sql(f"LOCK TABLE {name} IN SHARE ROW EXCLUSIVE MODE")

    def demand_constraints(self, connection: sa.Connection) -> None:
        """Those that are deferred."""
        connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")

    def swap_obstacles(self, connection: sa.Connection, shape: TableShape) -> tuple[str, ...]:
        """Whatever depends on the table, or is about it and would not come along."""
        return swapping.obstacles(connection, shape)

    def swap(self, connection: sa.Connection, shape: TableShape, key: str, fill: Callable[[str], None]) -> None:
        """Definitions are part of the transaction."""
        swapping.swap(connection, shape, key, fill)

    def ease(self, connection: sa.Connection, table: sa.TableClause) -> None:
        """Without a log of its own: what a crash of the server takes is read again."""
        name = connection.dialect.identifier_preparer.format_table(table)
        connection.exec_driver_sql(f"ALTER TABLE {name} SET UNLOGGED")

    def look_over(self, connection: sa.Connection, table: sa.TableClause) -> None:
        """Statistics, without which a million rows are planned as a handful."""
        connection.exec_driver_sql(f"ANALYZE {connection.dialect.identifier_preparer.format_table(table)}")

    def _kinds(self, connection: sa.Connection, table: str) -> Mapping[str, int]:
        """The number of each column's type, a domain's being that of what it is based on."""
        attribute, kind = (
            sa.table(name, *map(sa.column, columns), schema="pg_catalog")
            for name, columns in (
                ("pg_attribute", ("attrelid", "attname", "atttypid", "attnum")),
                ("pg_type", ("oid", "typtype", "typbasetype")),
            )
        )
        base = sa.case((kind.c.typtype == "d", kind.c.typbasetype), else_=kind.c.oid)
        query = (
            sa.select(attribute.c.attname, sa.cast(base, sa.BigInteger))
            .join(kind, kind.c.oid == attribute.c.atttypid)
            .where(attribute.c.attrelid == sa.cast(sa.literal(table), postgresql.REGCLASS), attribute.c.attnum > 0)
        )
        return {row[0]: row[1] for row in connection.execute(query)}

    def insert_absent(self, table: sa.TableClause, values: Mapping[str, Any]) -> sa.Executable:
        """INSERT … ON CONFLICT DO NOTHING."""
        return postgresql.insert(table).values(**values).on_conflict_do_nothing()

    def bytewise(self, expression: Expression, column: Column) -> Expression:
        """The collation of the bytes; without the padding of a fixed length."""
        if column.family != "text":
            return expression
        return sa.collate(self.as_text(expression, column), "C")

    def constant(self, value: str | None, column: Column) -> Expression:
        """Cast to the column's type; a text is not, as that would cut it silently."""
        if value is None:
            return sa.null()
        return sa.cast(sa.literal(value), sa.Text() if column.family == "text" else column.type)

    def as_text(self, expression: Expression, column: Column) -> Expression:
        """The cast drops the padding of a fixed length; an instant is written in UTC, without saying so."""
        if column.family == "instant":
            expression = sa.func.timezone("UTC", expression)
        return sa.cast(expression, sa.Text)

    def from_text(self, expression: Expression, column: Column) -> Expression:
        """Cast back to the very type."""
        return expression if column.family == "text" else sa.cast(expression, column.type)

    def json_array(self, texts: Sequence[Expression]) -> Expression:
        """JSON made by the server."""
        return sa.cast(sa.func.json_build_array(*texts), sa.Text)

    def digest(self, texts: Sequence[Expression]) -> Expression:
        """By the server."""
        return sa.func.encode(sa.func.sha256(sa.func.convert_to(self.json_array(texts), "UTF8")), "hex")

    def tally(self, digest: Expression) -> Expression:
        """The digits by way of bits."""
        bits = sa.cast(sa.literal("x").concat(sa.func.substr(digest, 1, 15)), postgresql.BIT(60))
        number = sa.func.coalesce(sa.cast(bits, sa.BigInteger), sa.literal_column("-1e30"))
        return sa.cast(sa.func.sum(number), sa.Text)

    def blank(self, what: str) -> Expression:
        """Casts, the key in the collation of the bytes."""
        match what:
            case "integer":
                return sa.cast(sa.literal(0), sa.BigInteger)
            case "key":
                return sa.collate(sa.cast(sa.literal(""), sa.String(512)), "C")
            case _:
                return sa.cast(sa.literal(""), sa.Text)

    def type_for(self, field: pa.Field, *, key: bool = False, crowded: bool = False) -> sa.types.TypeEngine[Any]:
        """The nearest type; times keep their zone."""
        kind = field.type
        if pa.types.is_decimal(kind):
            return sa.Numeric(kind.precision, kind.scale)
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            length = item_length(field)
            return sa.String(length) if length else sa.Text()
        for holds, made in _DDL:
            if holds(kind):
                return made
        raise Unsupported(f"信息项 {field.name} 的类型 {kind} 没有对应的列类型")

    def exact_text(self, length: int | None) -> sa.types.TypeEngine[Any]:
        """A text in the collation of the bytes."""
        return sa.String(length, collation="C") if length else sa.Text()

    def alone(self, connection: sa.Connection) -> None:
        """By a lock of the transaction on nothing but a number."""
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_DEFINING)))

    def kept(self, type: sa.types.TypeEngine[Any], column: Column) -> sa.types.TypeEngine[Any]:
        """A text's collation, which a new type would set back to the database's."""
        if isinstance(type, sa.String) and column.collation not in ("", "default"):
            return type.__class__(length=type.length, collation=column.collation)
        return type

    def fits(self, name: str) -> bool:
        """Names are cut after so many bytes, silently."""
        return len(name.encode()) <= self.longest_name

    def script_dialect(self) -> sa.Dialect:
        """Without a driver."""
        return PGDialect(paramstyle="named")  # type: ignore[no-untyped-call]

    def diagnose(self, error: BaseException) -> Diagnosis | None:
        """By SQLSTATE, and before there is a session by the words of the greeting."""
        if isinstance(error, adbc.Error):
            return _by_state(error.sqlstate, ())
        if not isinstance(error, psycopg.Error):
            return None
        state = error.sqlstate
        if state is None:
            # Only while connecting does the error know its connection.
            for pattern, kind, what in _GREETINGS:
                if error.pgconn is not None and re.search(pattern, str(error)):
                    return Diagnosis(kind, what)
            return None
        return _by_state(state, _names(error.diag))


_DDL: tuple[tuple[Any, sa.types.TypeEngine[Any]], ...] = (
    (pa.types.is_boolean, sa.Boolean()),
    (pa.types.is_integer, sa.BigInteger()),
    (pa.types.is_floating, sa.Double()),
    (pa.types.is_date, sa.Date()),
    (pa.types.is_timestamp, postgresql.TIMESTAMP(timezone=True)),
    (pa.types.is_binary, postgresql.BYTEA()),
)


def _family(type: sa.types.TypeEngine[Any]) -> Family:
    kinds: tuple[tuple[Any, Family], ...] = (
        (sa.Enum, "other"),
        (postgresql.CITEXT, "other"),
        (sa.Boolean, "boolean"),
        (postgresql.OID, "other"),
        (sa.Integer, "integer"),
        (sa.Float, "float"),
        (sa.Numeric, "decimal"),
        (sa.Date, "date"),
        (sa.LargeBinary, "binary"),
        (sa.String, "text"),
    )
    if isinstance(type, sa.DateTime):
        return "instant" if type.timezone else "time"
    return next((family for kind, family in kinds if isinstance(type, kind)), "other")


def _by_state(state: str | None, names: tuple[tuple[str, str], ...]) -> Diagnosis | None:
    for start, kind, what in _STATES:
        if (state or "").startswith(start):
            return Diagnosis(kind, what, names, of_value=(state or "").startswith(_OF_VALUES))
    return None


def _names(diag: Any) -> tuple[tuple[str, str], ...]:
    # A value that COPY cannot take is told of in the context only, behind its column.
    copied = _COPIED.match(diag.context or "")
    column = diag.column_name or (copied[1] if copied else None)
    found = (("表", diag.table_name), ("列", column), ("约束", diag.constraint_name))
    return tuple((word, name) for word, name in found if name)


def _set_up(connection: Any, _record: Any) -> None:
    with connection.cursor() as cursor:
        for statement in _SESSION:
            cursor.execute(statement)
    connection.commit()


def _literal(connection: sa.Connection, rows: Rows) -> str:
    """The statement with its values in it, quoted by the driver: COPY takes no parameters."""
    compiled = rows.compile(dialect=connection.dialect, compile_kwargs={"render_postcompile": True})
    return psycopg.ClientCursor(_raw(connection)).mogrify(str(compiled).encode(), compiled.params)


def _parsed(values: pa.Array, reading: Reading) -> pa.Array:
    try:
        parsed = values if values.type == reading.wire else pc.cast(values, reading.wire)
        if pa.types.is_temporal(parsed.type):
            # A value may have come after the look for strange ones: as text, it tells whether it is one.
            _demand_years(parsed)
    except pa.ArrowInvalid:
        # Not chained: the message quotes the value.
        raise Malformed(
            f"列 {reading.column}有无法按其类型读取的值",
            remedy="请提供方改正该值，或在挂接选项 text 中列出该列，按文本读取",
        ) from None
    return parsed


def _demand_years(values: pa.Array) -> None:
    """Raise ArrowInvalid for the infinities and years that four digits do not write."""
    kind = datetime if pa.types.is_timestamp(values.type) else date
    least, greatest = (pa.scalar(each, values.type).value for each in (kind.min, kind.max))
    ends = pc.min_max(values)
    if ends["min"].is_valid and not least <= ends["min"].value <= ends["max"].value <= greatest:
        raise pa.ArrowInvalid("not a year of the calendar")


def _raw(connection: sa.Connection) -> psycopg.Connection[Any]:
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)  # noqa: S101
    return raw


def _read(
    connection: sa.Connection, cursor: dbapi.Cursor, rows: Rows, readings: Sequence[Reading], batch_rows: int
) -> Iterator[list[pa.Array]]:
    cursor.execute(_literal(connection, rows.with_only_columns(*(r.expression for r in readings))))
    with cursor.fetch_record_batch() as found:
        for batch in found:
            for start in range(0, batch.num_rows, batch_rows):
                part = batch.slice(start, batch_rows)
                yield [
                    lines.finished(_parsed(column, reading), reading)
                    for column, reading in zip(part.columns, readings, strict=True)
                ]


def _address(connection: sa.Connection) -> str:
    """Where a connection is, for another one beside it."""
    raw = _raw(connection)
    known = psycopg.conninfo.make_conninfo(**raw.info.get_parameters(), password=raw.info.password)
    if connection.exec_driver_sql("SELECT reset_val FROM pg_settings WHERE name = 'statement_timeout'").scalar() != "0":
        # The driver looks round before it lets us say anything.
        known = psycopg.conninfo.make_conninfo(known, options="-c statement_timeout=0")
    return known


@contextmanager
def _beside(connection: sa.Connection, *, as_bytes: bool) -> Iterator[dbapi.Cursor]:
    """A cursor of a connection of its own, each of whose statements sees what is committed then."""
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(_address(connection), autocommit=True) as other, other.cursor() as cursor:
        cursor.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
        for statement in (*_SESSION, *(["SET client_encoding = 'SQL_ASCII'"] if as_bytes else [])):
            cursor.execute(statement)
        yield cursor


@contextmanager
def _columnar(connection: sa.Connection, *, as_bytes: bool) -> Iterator[dbapi.Cursor]:
    """A cursor of a connection of its own that sees what this one sees; texts as they are, or in UTF-8."""
    from adbc_driver_postgresql import dbapi

    known = _address(connection)
    snapshot = connection.execute(sa.select(sa.func.pg_export_snapshot())).scalar_one()
    with dbapi.connect(known) as other, other.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        cursor.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
        # Told to be sent as UTF-8, the first text that is none would end the reading.
        for statement in (*_SESSION, _SECOND, *(["SET client_encoding = 'SQL_ASCII'"] if as_bytes else [])):
            cursor.execute(statement)
        cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(_BATCH_BYTES)})
        try:
            yield cursor
        except GeneratorExit:
            cursor.adbc_cancel()
            raise


@contextmanager
def _cursor(connection: sa.Connection) -> Iterator[psycopg.Cursor[Any]]:
    with _raw(connection).cursor() as cursor:
        yield cursor


@contextmanager
def _driver_errors(connection: sa.Connection) -> Iterator[None]:
    """Errors of the bare driver, as SQLAlchemy would have raised them."""
    try:
        yield
    except OSError as error:
        # So says Arrow when the connection breaks while rows come in.
        raise sa.exc.OperationalError(None, None, error, hide_parameters=True, connection_invalidated=True) from error
    except (psycopg.Error, adbc.Error) as error:
        raise sa.exc.DBAPIError.instance(
            None, None, error, Exception, hide_parameters=True, dialect=connection.dialect
        ) from error
