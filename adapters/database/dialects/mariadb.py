"""MariaDB: the only module that knows it, and pymysql."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

import pyarrow as pa
import pymysql
import sqlalchemy as sa
from pymysql.cursors import Cursor, SSCursor
from sqlalchemy.dialects import mysql
from sqlalchemy.dialects.mysql.mariadb import MariaDBDialect

from adapters.base import Probe
from adapters.database.dialects import lines
from adapters.database.dialects.alterations import Redefine
from adapters.database.dialects.base import CONNECT_SECONDS, ENGINE, LOCK_SECONDS, Diagnosis, Dialect, Rows, authority
from adapters.database.dialects.options import DatabaseOptions, Product
from adapters.database.dialects.types import arrow_decimal, declared, from_zone, item_length, number_digits
from adapters.database.shapes import Column, Expression, Family, Reading, TableShape
from adapters.errors import AdapterError, Malformed, Misconfigured, Refused, Unavailable, Unsupported

_PORT = 3306
_CHARSET = "utf8mb4"
_BYTES = "utf8mb4_nopad_bin"
_WHOLE, _FIRST_PLANE = ("utf16", "utf16le", "utf32"), ("utf8mb3", "utf8", "ucs2")
_IN_ROW, _IN_CROWDED_ROW = 500, 32
"""Longer texts stand outside the row, which may have 65,535 bytes in all, four for each character."""
_ROW_CHARACTERS = 12_000
_IN_TEXT = 16_000
_KEY = 255
_QUOTE = "\x01"
"""Stands around texts on their way: one that texts are full of would take REPLACE minutes for a mebibyte."""

# Strict, so that what does not fit is an error and not another value; zero dates stay readable.
_SESSION = (
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', "
    "time_zone = '+00:00', default_storage_engine = InnoDB, "
    f"innodb_lock_wait_timeout = {LOCK_SECONDS}, lock_wait_timeout = {LOCK_SECONDS}, "
    # Child rows come as one text for each parent: what is not longer than a packet is not cut.
    "group_concat_max_len = 4294967295, net_write_timeout = 3600, wait_timeout = 28800, max_statement_time = 0"
)

_CODES: tuple[tuple[tuple[int, ...], type[AdapterError], str], ...] = (
    ((1045, 1698, 1130, 1251), Refused, "账号或口令不被接受"),
    ((1044, 1142, 1143, 1227, 1370), Refused, "账号没有所需的权限"),
    ((1290, 1836), Refused, "数据库只读"),
    ((1049,), Misconfigured, "没有这个数据库"),
    ((1146, 1051), Misconfigured, "缺少表"),
    ((1054,), Misconfigured, "缺少列"),
    ((1118, 1071, 1059, 1069, 1170), Misconfigured, "表的定义超出数据库的限制"),
    ((1062, 1586, 1557), Refused, "违反唯一约束"),
    ((1048, 1364, 1263), Refused, "不可为空的列没有值"),
    ((1451, 1452, 1216, 1217, 4025), Refused, "违反约束"),
    ((1264, 1265, 1292, 1366, 1406, 1411, 1690, 1367, 1416, 3854, 4078), Refused, "有值放不进目标列"),
    ((1644,), Refused, "被表的触发器拒绝"),
    ((1153,), Refused, "一行的数据超过服务器的 max_allowed_packet"),
    ((1665, 1235), Unsupported, "数据库不支持此操作"),
    ((1205,), Unavailable, "被其他事务占用"),
    ((1412,), Unavailable, "表在读取时被清空或改过"),
    ((1213,), Unavailable, "与其他事务互相等待"),
    ((1040, 1203, 1226, 1041, 1021, 1114), Unavailable, "数据库资源不足"),
    ((0, 2002, 2003, 2006, 2013, 2014, 2055, 1053, 1152, 1158, 1159, 1160, 1161, 1927), Unavailable, "连接中断"),
    ((1317, 1969, 3024), Unavailable, "数据库中断了操作"),
)
_OF_VALUES = frozenset((1048, 1263, 1264, 1265, 1292, 1366, 1406, 1411, 1690, 1367, 1416, 3854, 4078, 4025, 1644))
"""Errors that one value is to blame for, to a trigger too."""
_NAMES = (
    ("列", re.compile(r".*for column [`'](?:[^`']*`\.`)*([^`']+)[`'] at row", re.DOTALL)),
    ("列", re.compile(r"(?:Column|Field) '([^']+)' (?:cannot|doesn't)")),
    ("列", re.compile(r"Unknown column '([^']+)'")),
    ("约束", re.compile(r".*for key '([^']+)'\Z", re.DOTALL)),
    ("约束", re.compile(r"CONSTRAINT `([^`]+)`")),
    ("表", re.compile(r"Table '([^']+)' doesn't exist")),
)


class MariaDB(Dialect):
    """MariaDB 10.6 and later."""

    product: ClassVar[Product] = "mariadb"
    longest_name: ClassVar[int] = 64
    not_a_number: ClassVar[bool] = False
    inline_comments: ClassVar[bool] = True

    def engine(self, options: DatabaseOptions, *, create: bool = False) -> sa.Engine:
        """An engine whose sessions are strict and speak UTC."""
        url = sa.URL.create(
            "mariadb+pymysql",
            username=options.user,
            password=options.password.get_secret_value() if options.password else None,
            host=options.host,
            port=options.port or _PORT,
            database=options.database,
            query={"charset": _CHARSET},
        )
        arguments: dict[str, Any] = {
            "connect_timeout": CONNECT_SECONDS,
            "init_command": _SESSION,
            "program_name": "shutong",
            "binary_prefix": True,
            "cursorclass": _Warned,
        }
        if options.tls == "disable":
            arguments["ssl_disabled"] = True
        elif options.tls != "prefer":
            context = ssl.create_default_context(cafile=options.tls_ca)
            if options.tls == "require":
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            arguments["ssl"] = context
        return sa.create_engine(url, connect_args=arguments, paramstyle="format", **ENGINE)

    def dataset(self, options: DatabaseOptions, table: str) -> tuple[str, str]:
        """``mysql://host:port`` and ``database.table``; the rules know the one family of products by one name."""
        return f"mysql://{authority(options.host or '', options.port or _PORT)}", f"{options.database}.{table}"

    def begin_snapshot(self, connection: sa.Connection, tables: Sequence[sa.TableClause] = ()) -> None:
        """A snapshot of all tables, taken now; one that is made anew meanwhile is told by an error."""
        with _driver_errors(connection):
            connection.execution_options(isolation_level="REPEATABLE READ")
        connection.exec_driver_sql("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")

    def begin_write(self, connection: sa.Connection) -> None:
        """Read committed: a statement that waited for a lock sees what it waited for."""
        # It is said with a statement and a commit of its own, past SQLAlchemy's translation of errors.
        with _driver_errors(connection):
            connection.execution_options(isolation_level="READ COMMITTED")

    def version(self, connection: sa.Connection) -> str:
        """Product and version."""
        return f"MariaDB {connection.exec_driver_sql('SELECT VERSION()').scalar_one()}"

    def clock(self) -> Expression:
        """The clock in UTC, as the session's zone is."""
        return sa.cast(sa.func.unix_timestamp(sa.func.sysdate(sa.literal_column("6"))), mysql.DOUBLE)

    def probes(self, connection: sa.Connection) -> list[Probe]:
        """Whether new tables of the database can hold every character."""
        charset = str(connection.exec_driver_sql("SELECT @@character_set_database").scalar_one())
        remedy = "" if charset == _CHARSET else "手工建表时须写明 CHARACTER SET utf8mb4，否则生僻字存不进去"
        return [Probe("字符集", charset == _CHARSET, charset, remedy)]

    def extras(self, connection: sa.Connection, table: str, namespace: str | None) -> Mapping[str, Mapping[str, Any]]:
        """Character sets and collations, which reflection leaves out where they are a default."""
        names = ("table_schema", "table_name", "column_name", "character_set_name", "collation_name")
        columns = sa.table("columns", *map(sa.column, names), schema="information_schema")
        query = sa.select(columns).where(
            columns.c.table_schema == sa.func.database(), columns.c.table_name == sa.literal(table)
        )
        return {
            row.column_name: {
                "exact": row.collation_name in (None, _BYTES),
                "charset": row.character_set_name or "",
                "collation": row.collation_name or "",
                "unicode": row.character_set_name in (None, _CHARSET, *_WHOLE),
                "plane": row.character_set_name in _FIRST_PLANE,
            }
            for row in connection.execute(query)
        }

    def atomic(self, connection: sa.Connection, table: str, namespace: str | None) -> bool:
        """By its engine; MyISAM, Aria and others write through at once. A view has none of its own."""
        names = ("table_schema", "table_name", "engine")
        tables = sa.table("tables", *map(sa.column, names), schema="information_schema")
        engines = sa.table("engines", sa.column("engine"), sa.column("transactions"), schema="information_schema")
        query = (
            sa.select(engines.c.transactions)
            .join(tables, tables.c.engine == engines.c.engine)
            .where(tables.c.table_schema == sa.func.database(), tables.c.table_name == sa.literal(table))
        )
        return connection.execute(query).scalar() != "NO"

    def spelled(self, name: str) -> str:
        """Reflection reads the statement that would make the table, in which the quoting sign is doubled."""
        return name.replace("``", "`")

    def column(self, found: Mapping[str, Any], extra: Mapping[str, Any]) -> Column:
        """A reflected column; ``tinyint(1)`` and ``bit(1)`` are booleans."""
        kind = found["type"]
        family = _family(kind)
        length: int | None = None
        scale: int | None = None
        if family in ("integer", "decimal"):
            length, scale = (2, 0) if isinstance(kind, mysql.TINYINT) else number_digits(kind)
            if isinstance(kind, mysql.BIGINT) and kind.unsigned:
                length = 19
        elif family == "text":
            # Those without a declared length count bytes, of which a character takes up to four.
            length = 63 if isinstance(kind, mysql.TINYTEXT) else getattr(kind, "length", None)
        return Column(
            name=found["name"],
            family=family,
            declared=declared(kind, self.script_dialect()),
            length=length,
            scale=scale,
            fraction=getattr(kind, "fsp", None) or 0,
            nullable=found["nullable"],
            filled=found["default"] is not None or found.get("autoincrement") is True,
            computed=bool(found.get("computed")),
            exact=extra.get("exact", True),
            unicode=extra.get("unicode", True),
            plane=extra.get("plane", False),
            label=found.get("comment") or "",
            charset=extra.get("charset", ""),
            collation=extra.get("collation", ""),
            default=found["default"],
            type=kind,
        )

    def capacity(self, column: Column) -> int | None:
        """Types without a length have one by their name, in bytes."""
        if column.length is not None or column.family not in ("text", "binary"):
            return column.length
        size = next((size for kind, size in _CAPACITIES if isinstance(column.type, kind)), None)
        if size is None:
            return getattr(column.type, "length", None)
        return size // 4 if column.family == "text" else size

    def reading(self, column: Column, expression: Expression, zone: str, *, as_text: bool) -> Reading:
        """Natively, each from its text."""
        text = self.as_text(expression, column)
        name = column.name
        if as_text:
            if column.family == "instant":
                text = sa.func.concat(text, "+00:00")
            return Reading(text, pa.string(), pa.string(), None, name, expression)
        match column.family:
            case "integer":
                unsigned = column.length is not None and column.length > 18
                kind = pa.decimal128(20, 0) if unsigned else pa.int64()
                return Reading(expression, kind, kind, None, name, expression)
            case "decimal" if (kind := arrow_decimal(column)) is not None:
                return Reading(expression, kind, kind, None, name, expression)
            case "float":
                # Single precision is written with six digits only.
                return Reading(sa.cast(expression, mysql.DOUBLE()), pa.float64(), pa.float64(), None, name, expression)
            case "boolean":
                return Reading(expression + sa.literal_column("0"), pa.bool_(), pa.bool_(), None, name, expression)
            case "date":
                return Reading(expression, pa.date32(), pa.date32(), None, name, expression)
            case "time":
                # Zone-less: what it is an instant of, whoever types it says, as some local times never were.
                return Reading(expression, pa.timestamp("us"), pa.timestamp("us"), None, name, expression)
            case "instant":
                return Reading(expression, pa.timestamp("us"), *from_zone("UTC"), name, expression)
            case "binary":
                return Reading(text, pa.string(), pa.binary(), lines.unhexed, name, expression)
            case _:
                if column.family == "text" and not column.unicode and not column.plane:
                    text = _convertible(text, expression)
                return Reading(text, pa.string(), pa.string(), None, name, expression)

    def told(self, column: Column, expression: Expression, zone: str) -> Expression:
        """As text; bytes that mean nothing in the column's character set as what no text may hold."""
        text = super().told(column, expression, zone)
        if column.family == "text" and not column.unicode and not column.plane:
            return sa.case((_unknown(text, expression), sa.literal("\0")), else_=text)
        return text

    def strange(self, column: Column, expression: Expression) -> Expression | None:
        """Zero dates, whole or in part, and small numbers in a column that is called a boolean."""
        if column.family in ("date", "time", "instant"):
            return sa.or_(
                sa.func.year(expression) == 0, sa.func.month(expression) == 0, sa.func.dayofmonth(expression) == 0
            )
        if column.family == "boolean":
            return (expression + sa.literal_column("0")).not_in((0, 1))
        return None

    def undated(self, column: Column, expression: Expression) -> Expression | None:
        """Null, and zero dates."""
        unknown = super().undated(column, expression)
        if column.family not in ("date", "time", "instant"):
            return unknown
        zero = expression < sa.cast(sa.literal("0001-01-01"), mysql.DATE())
        return zero if unknown is None else sa.or_(unknown, zero)

    def read(
        self, connection: sa.Connection, rows: Rows, readings: Sequence[Reading], batch_rows: int
    ) -> Iterator[list[pa.Array]]:
        """As one line for each row, made by the server: a value each would be five times slower."""
        # Not CONCAT_WS, which leaves out what is null: a value too long for a packet would be lost in silence.
        fields = [part for reading in readings for part in (sa.literal(","), _field(reading))]
        line = sa.cast(sa.func.concat(*fields[1:]), sa.LargeBinary)
        compiled = rows.with_only_columns(line).compile(
            dialect=connection.dialect, compile_kwargs={"render_postcompile": True}
        )
        values = tuple(compiled.params[name] for name in compiled.positiontup or ())
        with _driver_errors(connection), _stream(connection) as cursor:
            cursor.execute(str(compiled), values)
            for group in lines.batched(_lines(cursor), batch_rows):
                yield lines.parsed(group, readings, _QUOTE)

    def insert_absent(self, table: sa.TableClause, values: Mapping[str, Any]) -> sa.Executable:
        """INSERT IGNORE."""
        return sa.insert(table).values(**values).prefix_with("IGNORE")

    def locking(self, query: sa.Select[*tuple[Any, ...]], target: sa.FromClause) -> sa.Select[*tuple[Any, ...]]:
        """All sides of a join; the stage is ours anyway."""
        return query.with_for_update()

    def lock(self, connection: sa.Connection, target: sa.TableClause, condition: Expression) -> None:
        """Locks both sides of the join; the stage is ours anyway."""
        connection.execute(self.locking(sa.select(sa.func.count()).where(condition), target)).scalar_one()

    def lock_all(self, connection: sa.Connection, target: sa.TableClause) -> None:
        """Locks the rows that are there; new ones can still come, as there is no lock of a table in a transaction."""
        query = sa.select(sa.func.count()).select_from(target)
        connection.execute(self.locking(query, target)).scalar_one()

    def bytewise(self, expression: Expression, column: Column) -> Expression:
        """Code points without padding, which is the order of the bytes in UTF-8."""
        if column.family != "text" or column.exact:
            return expression
        return sa.collate(sa.func.convert(expression.op("USING")(sa.literal_column(_CHARSET))), _BYTES)

    def constant(self, value: str | None, column: Column) -> Expression:
        """A number as a number: compared with a text it would be taken for a floating one."""
        return sa.null() if value is None else self.from_text(sa.literal(value), column)

    def as_text(self, expression: Expression, column: Column) -> Expression:
        """Bytes in hexadecimal, bits as a number."""
        if column.family == "binary":
            return sa.func.hex(expression)
        if isinstance(column.type, mysql.BIT):
            return sa.cast(expression + sa.literal_column("0"), sa.String)
        return sa.cast(expression, sa.String)

    def from_text(self, expression: Expression, column: Column) -> Expression:
        """A cast to the widest of the column's family."""
        match column.family:
            case "integer" | "boolean":
                return sa.cast(expression, mysql.DECIMAL(20, 0))
            case "decimal":
                return sa.cast(expression, mysql.DECIMAL(65, 30 if column.scale is None else column.scale))
            case "float":
                return sa.cast(expression, mysql.DOUBLE())
            case "date":
                return sa.cast(expression, mysql.DATE())
            case "time" | "instant":
                return sa.cast(expression, mysql.DATETIME(fsp=6))
            case _:
                return expression

    def json_array(self, texts: Sequence[Expression]) -> Expression:
        """JSON made by the server."""
        return sa.func.json_array(*texts)

    def digest(self, texts: Sequence[Expression]) -> Expression:
        """By the server."""
        return sa.func.sha2(self.json_array(texts), sa.literal_column("256"))

    def tally(self, digest: Expression) -> Expression:
        """The digits in another base."""
        digits = sa.func.conv(
            sa.func.left(digest, sa.literal_column("15")), sa.literal_column("16"), sa.literal_column("10")
        )
        number = sa.cast(digits, mysql.DECIMAL(20, 0))
        return sa.cast(sa.func.sum(sa.func.coalesce(number, sa.literal_column("-1" + "0" * 30))), sa.String)

    def blank(self, what: str) -> Expression:
        """Casts that are wide enough for the server to choose the type we mean."""
        match what:
            case "integer":
                return sa.cast(sa.literal(2**63 - 1), sa.BigInteger)
            case "key":
                return sa.collate(sa.cast(sa.literal(""), sa.String(512)), _BYTES)
            case _:
                return sa.cast(sa.literal(""), sa.String(_IN_TEXT * 2))

    def type_for(self, field: pa.Field, *, key: bool = False, crowded: bool = False) -> sa.types.TypeEngine[Any]:
        """The nearest type; long texts stand outside the row."""
        kind = field.type
        if pa.types.is_decimal(kind):
            return mysql.DECIMAL(kind.precision, kind.scale)
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return _text_type(item_length(field), key=key, crowded=crowded)
        for holds, made in _DDL:
            if holds(kind):
                return made
        raise Unsupported(f"信息项 {field.name} 的类型 {kind} 没有对应的列类型")

    def crowds(self, fields: Iterable[pa.Field]) -> bool:
        """By the texts that would stand in the row."""
        lengths = [item_length(field) or 0 for field in fields if pa.types.is_string(field.type)]
        return sum(length for length in lengths if length <= _IN_ROW) > _ROW_CHARACTERS

    def exact_text(self, length: int | None) -> sa.types.TypeEngine[Any]:
        """A text in the collation of the bytes."""
        if length is None:
            return mysql.MEDIUMTEXT(charset=_CHARSET, collation=_BYTES)
        return mysql.VARCHAR(length, charset=_CHARSET, collation=_BYTES)

    def alone(self, connection: sa.Connection) -> None:
        """By a lock of the session on a name, as every definition ends its transaction."""
        name = sa.func.concat("shutong ", sa.func.md5(sa.func.database()))
        if connection.execute(sa.select(sa.func.get_lock(name, LOCK_SECONDS))).scalar_one() != 1:
            raise Unavailable("数据库的表正由另一处更改", remedy="稍后重试")

    def kept(self, type: sa.types.TypeEngine[Any], column: Column) -> sa.types.TypeEngine[Any]:
        """A text's character set and collation, which a new definition would set back to the table's."""
        if not isinstance(type, sa.String) or not column.charset:
            return type
        made: Any = type.__class__
        length = {} if type.length is None else {"length": type.length}
        again: sa.types.TypeEngine[Any] = made(**length, charset=column.charset, collation=column.collation)
        return again

    def retyping(
        self, connection: sa.Connection, shape: TableShape, types: Mapping[str, sa.types.TypeEngine[Any]]
    ) -> list[sa.schema.ExecutableDDLElement]:
        """By definitions that say everything again."""
        return [Redefine(shape, types)]

    def table_options(self) -> dict[str, Any]:
        """Every character, compared by its bytes, in the engine that has transactions."""
        return {"mariadb_engine": "InnoDB", "mariadb_charset": _CHARSET, "mariadb_collate": _BYTES}

    def script_dialect(self) -> sa.Dialect:
        """Without a driver."""
        return MariaDBDialect(paramstyle="named")

    def diagnose(self, error: BaseException) -> Diagnosis | None:
        """By error number."""
        if not isinstance(error, pymysql.err.Error):
            return None
        code = error.args[0] if error.args and isinstance(error.args[0], int) else None
        text = str(error.args[1]) if len(error.args) > 1 else ""
        if code == 2003 and "Name or service" in text:
            return Diagnosis(Misconfigured, "主机名无法解析")
        for codes, kind, what in _CODES:
            if code in codes:
                return Diagnosis(kind, what, _names(text), of_value=code in _OF_VALUES)
        return None


_DDL: tuple[tuple[Any, sa.types.TypeEngine[Any]], ...] = (
    (pa.types.is_boolean, mysql.TINYINT(1)),
    (pa.types.is_integer, mysql.BIGINT()),
    (pa.types.is_floating, mysql.DOUBLE()),
    (pa.types.is_date, mysql.DATE()),
    (pa.types.is_timestamp, mysql.DATETIME(fsp=6)),
    (pa.types.is_binary, mysql.LONGBLOB()),
)


_CAPACITIES: tuple[tuple[Any, int], ...] = (
    (mysql.TINYBLOB, 255),
    (mysql.MEDIUMTEXT, 2**24 - 1),
    (mysql.MEDIUMBLOB, 2**24 - 1),
    (mysql.TEXT, 2**16 - 1),
    (sa.BLOB, 2**16 - 1),
)
"""Bytes of the types that have no length of their own; the long ones have no bound that matters."""


def _family(type: sa.types.TypeEngine[Any]) -> Family:
    if isinstance(type, mysql.TINYINT) and type.display_width == 1 and not type.unsigned:
        return "boolean"
    if isinstance(type, mysql.BIT):
        return "boolean" if type.length in (None, 1) else "other"
    kinds: tuple[tuple[Any, Family], ...] = (
        (sa.Enum, "other"),
        (mysql.SET, "other"),
        (mysql.YEAR, "other"),
        (mysql.TIME, "other"),
        (mysql.JSON, "other"),
        (sa.Boolean, "boolean"),
        (sa.Integer, "integer"),
        (sa.Float, "float"),
        (sa.Numeric, "decimal"),
        (mysql.TIMESTAMP, "instant"),
        (sa.DateTime, "time"),
        (sa.Date, "date"),
        (sa.types._Binary, "binary"),  # noqa: SLF001
        (sa.String, "text"),
    )
    return next((family for kind, family in kinds if isinstance(type, kind)), "other")


def _text_type(length: int | None, *, key: bool, crowded: bool) -> sa.types.TypeEngine[Any]:
    if key or (length is not None and length <= (_IN_CROWDED_ROW if crowded else _IN_ROW)):
        return mysql.VARCHAR(length or _KEY)
    if length is None:
        return mysql.LONGTEXT()
    return mysql.TEXT() if length <= _IN_TEXT else mysql.MEDIUMTEXT()


def _field(reading: Reading) -> Expression:
    if not pa.types.is_string(reading.wire):
        return sa.func.coalesce(sa.cast(reading.expression, sa.String), "")
    doubled = sa.func.replace(reading.expression, _QUOTE, _QUOTE * 2)
    # A function whose result is too long for a packet answers null.
    bare = reading.expression if reading.bare is None else reading.bare
    return sa.case((bare.is_(None), ""), else_=sa.func.concat(_QUOTE, doubled, _QUOTE))


def _convertible(text: Expression, expression: Expression) -> Expression:
    """A text of another character set; bytes that mean nothing there, which would come as question marks, as bytes."""
    shown = sa.func.concat(sa.literal_column("X'FF'"), sa.cast(sa.func.hex(expression), sa.LargeBinary))
    return sa.case((_unknown(text, expression), shown), else_=sa.cast(text, sa.LargeBinary))


def _unknown(text: Expression, expression: Expression) -> Expression:
    # In none of these character sets is the question mark's byte a part of another character.
    return _marks(text) != _marks(sa.cast(expression, sa.LargeBinary))


def _marks(text: Expression) -> Expression:
    return sa.func.length(text) - sa.func.length(sa.func.replace(text, "?", ""))


def _lines(cursor: SSCursor) -> Iterator[bytes]:
    for (line,) in cursor:
        if line is None:
            raise Malformed(
                "有一行比服务器的 max_allowed_packet 还大，读不出来", remedy="请对方调大 max_allowed_packet"
            )
        yield line + b"\n"


def _names(text: str) -> tuple[tuple[str, str], ...]:
    return tuple((word, found[1]) for word, pattern in _NAMES if (found := pattern.match(text)))


class _Warned(Cursor):
    """Many rows go by several statements, and each takes the warnings of the one before away.

    A warning is an error, as it tells of a value that has become another.
    """

    _many = False

    def executemany(self, query: Any, args: Any) -> int | None:
        """Carry a statement out for many rows, and raise the first warning."""
        self._many = True
        try:
            return super().executemany(query, args)
        finally:
            self._many = False

    def execute(self, query: Any, args: Any = None) -> int:
        """Carry a statement out."""
        done = super().execute(query, args)
        if self._many and getattr(getattr(self, "_result", None), "warning_count", False):
            for _level, code, text in self.connection.show_warnings():  # type: ignore[no-untyped-call]
                raise pymysql.err.DataError(int(code), str(text))
        return done


@contextmanager
def _stream(connection: sa.Connection) -> Iterator[SSCursor]:
    raw = connection.connection.driver_connection
    assert isinstance(raw, pymysql.connections.Connection)  # noqa: S101
    cursor = raw.cursor(SSCursor)
    whole = False
    try:
        yield cursor
        whole = True
    finally:
        if not whole:
            # Closing an unread result reads all of it; the server has to be stopped first.
            with suppress(sa.exc.SQLAlchemyError), connection.engine.connect() as other:
                thread = int(raw.thread_id())  # type: ignore[no-untyped-call]
                other.exec_driver_sql(f"KILL QUERY {thread}")
            unread = getattr(raw, "_result", None)
            if not raw.open and unread is not None:
                # The driver would go on reading from a connection that is no more, now and when it tidies up.
                unread.unbuffered_active = False
        with suppress(pymysql.err.Error):
            cursor.close()


@contextmanager
def _driver_errors(connection: sa.Connection) -> Iterator[None]:
    """Errors of the bare driver, as SQLAlchemy would have raised them."""
    try:
        yield
    except pymysql.err.Error as error:
        raise sa.exc.DBAPIError.instance(
            None, None, error, pymysql.err.Error, hide_parameters=True, dialect=connection.dialect
        ) from error
