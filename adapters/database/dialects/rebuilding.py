"""A table of SQLite made anew with other declarations, as it cannot alter a column's type."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateTable

from adapters.database.shapes import TableShape
from adapters.errors import Unsupported

# Quoted names and texts in a statement, then the words whose meaning a table made anew would not keep.
_QUOTED = re.compile(r"\"(?:[^\"]|\"\")*\"|'(?:[^']|'')*'|`[^`]*`|\[[^\]]*\]")
_BEYOND = re.compile(
    r"\b(CHECK|COLLATE|REFERENCES|GENERATED|AUTOINCREMENT|STRICT|WITHOUT\s+ROWID|CONFLICT)\b", re.IGNORECASE
)


class _Declared(sa.types.UserDefinedType[Any]):
    """A type by the very letters of its declaration."""

    def __init__(self, letters: str) -> None:
        self.letters = letters

    def get_col_spec(self, **_: object) -> str:
        return self.letters


class _Text(sa.schema.ExecutableDDLElement):
    """A statement as it is, no sign of which means anything to the driver."""

    def __init__(self, text: str) -> None:
        self.text = text


@compiles(_Text)
def _text(element: _Text, compiler: sa.sql.compiler.DDLCompiler, **_: object) -> str:
    return element.text


def rebuilding(
    connection: sa.Connection, shape: TableShape, types: Mapping[str, sa.types.TypeEngine[Any]]
) -> list[sa.schema.ExecutableDDLElement]:
    """The statements, for one transaction: the new table, its rows, the old one's end, the name, the indexes.

    Raises:
        Unsupported: the table says or is bound to something that would be lost; names it.
    """
    _demand_plain(connection, shape.name)
    dialect = connection.dialect
    quote = dialect.identifier_preparer.quote
    temporary = f"shutong_anew_{hashlib.sha256(shape.name.encode()).hexdigest()[:16]}"
    table = sa.Table(temporary, sa.MetaData())
    info = sa.func.pragma_table_xinfo(shape.name).table_valued("name", "type", "notnull", "dflt_value", "pk")
    found = connection.execute(sa.select(info)).all()
    for row in found:
        letters = types[row.name].compile(dialect=dialect) if row.name in types else row.type or ""
        filling: Any = None if row.dflt_value is None else sa.literal_column(f"({row.dflt_value})")
        table.append_column(sa.Column(row.name, _Declared(letters), nullable=not row.notnull, server_default=filling))
    if key := [row.name for row in sorted(found, key=lambda row: row.pk) if row.pk]:
        table.append_constraint(_Key(*(table.c[name] for name in key)))
    for unique in uniques(connection, shape.name):
        table.append_constraint(sa.UniqueConstraint(*(table.c[name] for name in unique["column_names"] if name)))
    names = ", ".join(quote(row.name) for row in found)
    master = sa.table("sqlite_master", *map(sa.column, ("type", "name", "tbl_name", "sql")))
    ours = (master.c.type == "index", master.c.tbl_name == shape.name, master.c.sql.is_not(None))
    indexes = connection.execute(sa.select(master.c.sql).where(*ours).order_by(master.c.name)).scalars()
    return [
        _Text(f"DROP TABLE IF EXISTS {quote(temporary)}"),
        CreateTable(table),
        _Text(f"INSERT INTO {quote(temporary)} ({names}) SELECT {names} FROM {quote(shape.name)}"),  # noqa: S608
        _Text(f"DROP TABLE {quote(shape.name)}"),
        _Text(f"ALTER TABLE {quote(temporary)} RENAME TO {quote(shape.name)}"),
        *map(_Text, indexes),
    ]


def uniques(connection: sa.Connection, name: str) -> list[Any]:
    """The unique constraints of a table, as reflection has them."""
    with warnings.catch_warnings():
        # An index of expressions is kept by the statement that made it.
        warnings.simplefilter("ignore", sa.exc.SAWarning)
        return list(sa.inspect(connection).get_unique_constraints(name))


class _Key(sa.PrimaryKeyConstraint):
    """A primary key that leaves its columns as nullable as they are."""

    def _set_parent(self, parent: Any, **words: Any) -> None:
        before = {column.name: column.nullable for column in parent.columns}
        super()._set_parent(parent, **words)
        for column in self.columns:
            column.nullable = before[column.name]


def _demand_plain(connection: sa.Connection, name: str) -> None:
    """Raise Unsupported unless the table is nothing but columns, a key and indexes, and nothing else names it."""
    master = sa.table("sqlite_master", *map(sa.column, ("type", "name", "tbl_name", "sql")))
    rows = connection.execute(sa.select(master.c.type, master.c.name, master.c.tbl_name, master.c.sql)).all()
    reasons = []
    for row in rows:
        text = _QUOTED.sub("", row.sql or "")
        mine = row.tbl_name.casefold() == name.casefold()
        if row.type == "table" and mine:
            reasons += [f"建表语句中有 {word[0].upper()}" for word in _BEYOND.finditer(text)]
        elif (row.type == "trigger" and mine) or (row.type in ("trigger", "view") and _names(row.sql or "", name)):
            reasons.append(f"{'触发器' if row.type == 'trigger' else '视图'} {row.name} 用到它")
        elif row.type == "table" and "REFERENCES" in text.upper() and _names(row.sql or "", name):
            reasons.append(f"表 {row.name} 引用它")
    if reasons:
        raise Unsupported(
            f"表 {name} 不能重建：{'；'.join(dict.fromkeys(reasons))}", remedy="由数据库管理员手工加宽，再执行"
        )


def _names(text: str, name: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE) is not None
