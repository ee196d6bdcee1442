"""SQLite: the only module that knows it.

A value here has a type of its own, whatever its column declares; the declaration only says what a
written value is turned into where that seems possible (its *affinity*). So everything is read as text,
and a column that would turn a written value into another one is named before the first run.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from adapters.database.dialects.base import ENGINE, LOCK_SECONDS, ROW_BYTES, Condition, Diagnosis, Dialect, Rows
from adapters.database.dialects.options import DatabaseOptions, Product
from adapters.database.dialects.rebuilding import rebuilding
from adapters.database.dialects.types import item_length
from adapters.database.encoding import NO_TEXT, as_text
from adapters.database.shapes import Column, Expression, Family, Reading, TableShape
from adapters.errors import AdapterError, Malformed, Misconfigured, Refused, Unavailable, Unsupported

_WRITE, _SHA256, _TALLY, _REPR = "shutong_write", "shutong_sha256", "shutong_tally", "shutong_repr"
_DAY = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*"
_ZONED = "??????????*[Zz+-]*"
_EXACT_DIGITS = 15
"""Digits of a number that survive being kept as a floating one."""

_CODES: tuple[tuple[str, type[AdapterError], str], ...] = (
    ("SQLITE_BUSY", Unavailable, "被其他程序锁住"),
    ("SQLITE_LOCKED", Unavailable, "被其他程序锁住"),
    ("SQLITE_PROTOCOL", Unavailable, "被其他程序锁住"),
    ("SQLITE_FULL", Unavailable, "磁盘已满"),
    ("SQLITE_NOMEM", Unavailable, "内存不足"),
    ("SQLITE_INTERRUPT", Unavailable, "操作被中断"),
    ("SQLITE_IOERR", Unavailable, "读写文件出错"),
    ("SQLITE_READONLY", Refused, "文件只读"),
    ("SQLITE_PERM", Refused, "没有读写文件的权限"),
    ("SQLITE_AUTH", Refused, "没有读写文件的权限"),
    ("SQLITE_CANTOPEN", Misconfigured, "文件打不开或不存在"),
    ("SQLITE_CORRUPT", Malformed, "文件已损坏"),
    ("SQLITE_NOTADB", Malformed, "文件不是 SQLite 数据库"),
    ("SQLITE_CONSTRAINT_NOTNULL", Refused, "不可为空的列没有值"),
    ("SQLITE_CONSTRAINT_UNIQUE", Refused, "违反唯一约束"),
    ("SQLITE_CONSTRAINT_PRIMARYKEY", Refused, "违反唯一约束"),
    ("SQLITE_CONSTRAINT", Refused, "违反约束"),
    ("SQLITE_MISMATCH", Refused, "有值放不进目标列"),
    ("SQLITE_TOOBIG", Refused, "有值放不进目标列"),
)
_NAMES = (
    ("列", re.compile(r"(?:UNIQUE|NOT NULL) constraint failed: (.+)\Z", re.DOTALL)),
    ("约束", re.compile(r"CHECK constraint failed: (.+)\Z", re.DOTALL)),
)


class SQLite(Dialect):
    """SQLite 3.35 and later."""

    product: ClassVar[Product] = "sqlite"
    longest_name: ClassVar[int] = 63
    reserved: ClassVar[str] = "sqlite_"
    not_a_number: ClassVar[bool] = False
    types_itself: ClassVar[bool] = False
    comments: ClassVar[bool] = False

    def engine(self, options: DatabaseOptions, *, create: bool = False) -> sa.Engine:
        """An engine that never makes a file unless told to, and begins transactions itself."""
        path = Path(options.path or "").absolute()
        if create:
            _make_private(path)
        url = sa.URL.create(
            "sqlite+pysqlite",
            database=f"file:{quote(str(path))}",
            query={"mode": "rwc" if create else "rw", "uri": "true"},
        )
        engine = sa.create_engine(
            url,
            connect_args={"timeout": LOCK_SECONDS, "check_same_thread": False},
            **ENGINE,
        )
        sa.event.listen(engine, "connect", _set_up)
        sa.event.listen(engine, "begin", _begin)
        return engine

    def dataset(self, options: DatabaseOptions, table: str) -> tuple[str, str]:
        """``sqlite://`` with the file's path, and the table; the rules are silent about files that are databases."""
        return f"sqlite://{Path(options.path or '').absolute()}", table

    def exists(self, options: DatabaseOptions) -> bool:
        """Whether the file is there."""
        return Path(options.path or "").is_file()

    def begin_snapshot(self, connection: sa.Connection, tables: Sequence[sa.TableClause] = ()) -> None:
        """The snapshot is taken by the first page read."""
        connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one()

    def begin_write(self, connection: sa.Connection) -> None:
        """The write lock is taken at once: a reader that turns writer could not wait for it."""
        connection.execution_options(**{_WRITE: True})

    def version(self, connection: sa.Connection) -> str:
        """Product and version."""
        return f"SQLite {connection.exec_driver_sql('SELECT sqlite_version()').scalar_one()}"

    def clock(self) -> Expression:
        """The clock of this machine, as there is no other."""
        return (sa.func.julianday("now") - sa.literal(2440587.5)) * sa.literal(86400.0)

    def keeps_bytes(self, connection: sa.Connection) -> bool:
        """Whatever was called text when it was written."""
        return True

    def extras(self, connection: sa.Connection, table: str, namespace: str | None) -> Mapping[str, Mapping[str, Any]]:
        """The declarations as they were written: what a value is turned into depends on their letters."""
        found = sa.func.pragma_table_xinfo(table).table_valued("name", "type")
        return {row.name: {"declared": row.type or ""} for row in connection.execute(sa.select(found))}

    def column(self, found: Mapping[str, Any], extra: Mapping[str, Any]) -> Column:
        """A reflected column, in the family that its declaration means to people."""
        declared = extra.get("declared", "")
        family = _family(declared)
        sizes = [int(size) for size in re.findall(r"\d+", declared.partition("(")[2])]
        return Column(
            name=found["name"],
            family=family,
            declared=declared.lower() or "无类型",
            length=sizes[0] if sizes and family in ("text", "decimal") else None,
            scale=(sizes[1] if len(sizes) > 1 else 0) if sizes and family == "decimal" else None,
            nullable=found["nullable"],
            filled=found["default"] is not None,
            computed=bool(found.get("computed")),
            exact=False,
            default=found["default"],
            type=found["type"],
        )

    def loses(self, field: pa.Field, column: Column, *, version: bool) -> str | None:
        """What the column's affinity would turn the item's values into."""
        affinity, kind = _affinity(column.declared), field.type
        numeric = affinity in ("INTEGER", "REAL", "NUMERIC")
        if pa.types.is_string(kind) and numeric:
            return "其中像数字的文本会变成数字（前导零丢失）"
        if pa.types.is_decimal(kind) and numeric and kind.precision > _EXACT_DIGITS:
            return f"超过 {_EXACT_DIGITS} 位的数值会变得不精确"
        if pa.types.is_integer(kind) and affinity == "REAL":
            return "大的整数会变得不精确"
        if pa.types.is_floating(kind) and affinity == "TEXT":
            return "浮点数会变得不精确"
        return None

    def reading(self, column: Column, expression: Expression, zone: str, *, as_text: bool) -> Reading:
        """As text, but bytes as bytes."""
        kind = pa.binary() if column.family == "binary" else pa.string()
        return Reading(expression, kind, kind, None, column.name)

    def told(self, column: Column, expression: Expression, zone: str) -> Expression:
        """As text; a floating number by a function of ours, to its last digit; bytes as what no text may hold."""
        kind = sa.func.typeof(expression)
        real = sa.Function(_REPR, expression, type_=sa.Text())
        return sa.case((kind == "real", real), (kind == "blob", sa.func.char(0)), else_=sa.cast(expression, sa.Text))

    def undated(self, column: Column, expression: Expression) -> Expression | None:
        """Whatever is not of the column's kind, as nothing keeps it out; a time that names its zone is not either."""
        if column.family in ("date", "time"):
            dated = sa.and_(expression.op("GLOB")(_DAY), sa.not_(expression.op("GLOB")(_ZONED)))
            return sa.not_(sa.func.coalesce(dated, sa.false()))
        return sa.func.typeof(expression).not_in(("integer", "real"))

    def read(
        self, connection: sa.Connection, rows: Rows, readings: Sequence[Reading], batch_rows: int
    ) -> Iterator[list[pa.Array]]:
        """From a cursor that steps through the table."""
        selected = (reading.expression.label(f"r{number}") for number, reading in enumerate(readings))
        result = connection.execute(rows.with_only_columns(*selected))
        big = any(pa.types.is_binary(reading.wire) or reading.finish is not None for reading in readings)
        step = min(batch_rows, 64) if big else batch_rows
        raw = connection.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)  # noqa: S101
        # The driver would stop at the first text that is not UTF-8.
        raw.text_factory = bytearray
        try:
            group: list[Any] = []
            size = 0
            while part := result.fetchmany(step):
                group += part
                if big:
                    size += sum(len(value) for row in part for value in row if isinstance(value, bytes | bytearray))
                if len(group) + step > batch_rows or size >= ROW_BYTES:
                    yield _arrays(group, readings)
                    group, size = [], 0
            if group:
                yield _arrays(group, readings)
        finally:
            raw.text_factory = str
            result.close()

    def insert_absent(self, table: sa.TableClause, values: Mapping[str, Any]) -> sa.Executable:
        """INSERT … ON CONFLICT DO NOTHING."""
        return sqlite.insert(table).values(**values).on_conflict_do_nothing()

    def locking(self, query: sa.Select[*tuple[Any, ...]], target: sa.FromClause) -> sa.Select[*tuple[Any, ...]]:
        """Nothing: the transaction holds the whole database."""
        return query

    def lock(self, connection: sa.Connection, target: sa.TableClause, condition: Expression) -> None:
        """Nothing: the transaction holds the whole database."""

    def delete_matching(self, target: sa.TableClause, key: Sequence[str], condition: Condition) -> sa.Delete:
        """Over a list of keys, as DELETE takes one table here."""
        again = target.alias("again")
        keys = sa.select(*(again.c[name] for name in key)).where(condition(again))
        return sa.delete(target).where(sa.tuple_(*(target.c[name] for name in key)).in_(keys))

    def bytewise(self, expression: Expression, column: Column) -> Expression:
        """Whatever the column declares."""
        return sa.collate(expression, "BINARY") if column.family != "binary" else expression

    def rank(self, expression: Expression, column: Column, type: pa.DataType) -> Expression:
        """A number kept as text is a number; one of very many digits may tie with its neighbours, never pass them."""
        if pa.types.is_decimal(type) or pa.types.is_integer(type):
            return sa.cast(expression, sa.Numeric)
        return self.bytewise(expression, column)

    def constant(self, value: str | None, column: Column) -> Expression:
        """As it is; the affinity of the column does the rest."""
        return sa.null() if value is None else sa.literal(value)

    def as_text(self, expression: Expression, column: Column) -> Expression:
        """A cast; bytes in hexadecimal."""
        return sa.func.hex(expression) if column.family == "binary" else sa.cast(expression, sa.Text)

    def from_text(self, expression: Expression, column: Column) -> Expression:
        """As it is; the affinity of the column it is compared with does the rest."""
        return sa.cast(expression, sa.Numeric) if column.family in ("integer", "boolean") else expression

    def json_array(self, texts: Sequence[Expression]) -> Expression:
        """JSON made by the library."""
        return sa.func.json_array(*texts)

    def digest(self, texts: Sequence[Expression]) -> Expression:
        """By a function of ours, given bytes: what is called text here may be none."""
        return sa.Function(_SHA256, sa.cast(self.json_array(texts), sa.LargeBinary), type_=sa.Text())

    def tally(self, digest: Expression) -> Expression:
        """By a function of ours, as whole numbers here have 64 bits."""
        return sa.Function(_TALLY, digest, type_=sa.Text())

    def blank(self, what: str) -> Expression:
        """Casts."""
        return sa.cast(sa.literal(0), sa.Integer) if what == "integer" else sa.cast(sa.literal(""), sa.Text)

    def type_for(self, field: pa.Field, *, key: bool = False, crowded: bool = False) -> sa.types.TypeEngine[Any]:
        """Text for all that must not be turned into a floating number."""
        kind = field.type
        if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
            return sa.Integer()
        if pa.types.is_floating(kind):
            return sa.REAL()
        if pa.types.is_binary(kind):
            return sa.LargeBinary()
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            length = item_length(field)
            return sa.String(length) if length else sa.Text()
        if pa.types.is_decimal(kind) or pa.types.is_date(kind) or pa.types.is_timestamp(kind):
            return sa.Text()
        raise Unsupported(f"信息项 {field.name} 的类型 {kind} 没有对应的列类型")

    def exact_text(self, length: int | None) -> sa.types.TypeEngine[Any]:
        """Texts are compared bytewise by default."""
        return sa.String(length) if length else sa.Text()

    def retyping(
        self, connection: sa.Connection, shape: TableShape, types: Mapping[str, sa.types.TypeEngine[Any]]
    ) -> list[sa.schema.ExecutableDDLElement]:
        """By making the table anew: a declared length is but a word here, yet it stays what people go by."""
        return rebuilding(connection, shape, types)

    def framed(self, statements: Sequence[str]) -> list[str]:
        """In one transaction."""
        return ["BEGIN IMMEDIATE", *statements, "COMMIT"] if statements else []

    def script_dialect(self) -> sa.Dialect:
        """Without a driver."""
        return sqlite.dialect()

    def preamble(self) -> tuple[str, ...]:
        """Readers and a writer do not lock each other out."""
        return ("PRAGMA journal_mode = WAL",)

    def run_preamble(self, connection: sa.Connection) -> None:
        """By the driver itself, as SQLAlchemy would begin a transaction first."""
        raw = connection.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)  # noqa: S101
        try:
            for statement in self.preamble():
                raw.execute(statement).close()
        except sqlite3.Error as error:
            raise sa.exc.DBAPIError.instance(None, None, error, sqlite3.Error, dialect=connection.dialect) from error

    def diagnose(self, error: BaseException) -> Diagnosis | None:
        """By error name."""
        if not isinstance(error, sqlite3.Error):
            return None
        name = getattr(error, "sqlite_errorname", None) or ""
        text = str(error)
        if "no such table" in text:
            return Diagnosis(Misconfigured, "缺少表")
        if "no such column" in text or "has no column" in text:
            return Diagnosis(Misconfigured, "缺少列")
        for start, kind, what in _CODES:
            if name.startswith(start):
                return Diagnosis(kind, what, _names(text), of_value=name in ("SQLITE_TOOBIG", "SQLITE_MISMATCH"))
        return None


def _affinity(declared: str) -> str:
    letters = declared.upper()
    if letters == "无类型":
        return "BLOB"
    if "INT" in letters:
        return "INTEGER"
    if any(word in letters for word in ("CHAR", "CLOB", "TEXT")):
        return "TEXT"
    if "BLOB" in letters:
        return "BLOB"
    if any(word in letters for word in ("REAL", "FLOA", "DOUB")):
        return "REAL"
    return "NUMERIC"


def _family(declared: str) -> Family:
    letters = declared.upper()
    kinds: tuple[tuple[tuple[str, ...], Family], ...] = (
        (("INT",), "integer"),
        (("CHAR", "CLOB", "TEXT"), "text"),
        (("BLOB", "BINARY"), "binary"),
        (("REAL", "FLOA", "DOUB"), "float"),
        (("BOOL",), "boolean"),
        (("DATETIME", "TIMESTAMP"), "time"),
        (("DATE",), "date"),
        (("DEC", "NUM", "MONEY"), "decimal"),
    )
    return next((family for words, family in kinds if any(word in letters for word in words)), "text")


def _arrays(rows: Sequence[Any], readings: Sequence[Reading]) -> list[pa.Array]:
    columns = zip(*rows, strict=True)
    return [_array(values, reading) for values, reading in zip(columns, readings, strict=True)]


def _array(values: Sequence[Any], reading: Reading) -> pa.Array:
    """Values as they lie there: texts in arrays of bytes, blobs in bytes, numbers."""
    wire = reading.wire
    if not (pa.types.is_binary(wire) or pa.types.is_string(wire)):
        return pa.array(values, wire)
    kinds = set(map(type, values)) - {type(None), bytearray}
    if pa.types.is_string(wire) and bytes in kinds:
        values = [NO_TEXT + value if isinstance(value, bytes) else value for value in values]
    if kinds - {bytes}:
        values = [repr(value).encode() if isinstance(value, int | float) else value for value in values]
    raw = pa.array(values, pa.binary())
    made = as_text(raw) if pa.types.is_string(wire) else raw
    return reading.finish(made) if reading.finish else made


def _names(text: str) -> tuple[tuple[str, str], ...]:
    return tuple((word, found[1]) for word, pattern in _NAMES if (found := pattern.match(text)))


def _make_private(path: Path) -> None:
    """An empty file, which is a database, that nobody else can read; what it lacks is told on connecting."""
    with suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _sha256(content: bytes | None) -> str | None:
    return None if content is None else hashlib.sha256(content).hexdigest()


class _Tally:
    """Adds the first fifteen digits of digests up."""

    def __init__(self) -> None:
        self._sum = 0

    def step(self, digest: str | None) -> None:
        """One more row."""
        self._sum += -(10**30) if digest is None else int(digest[:15], 16)

    def finalize(self) -> str:
        """The sum."""
        return str(self._sum)


def _set_up(connection: Any, _record: Any) -> None:
    connection.create_function(_SHA256, 1, _sha256, deterministic=True)
    connection.create_function(_REPR, 1, repr, deterministic=True)
    connection.create_aggregate(_TALLY, 1, _Tally)
    # The driver's own habit of beginning transactions before some statements and not before others.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON").close()


def _begin(connection: sa.Connection) -> None:
    write = connection.get_execution_options().get(_WRITE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN DEFERRED")
