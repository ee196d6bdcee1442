"""A new table in the place of an old one, with everything the old one had (换表): PostgreSQL's own way.

Whatever would not come along stands against it and is found first; what was made is then compared with what was there,
so that a property nobody thought of is no property lost.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from adapters.database.dialects.base import LOCK_SECONDS
from adapters.database.shapes import TableShape
from adapters.errors import Unsupported

_WAIT = "5s"
"""For readers of the old table, before it is left where it is: whoever comes later waits behind us."""
_NOTE = re.compile(r"\s*\[数通交付 [0-9a-zA-Z-]+\]\Z")

# Among a column's options a server may keep notes of its own; what people set begins so.
_SPECIAL_COLUMN = """attnum > 0 AND NOT attisdropped AND (coalesce(attstattarget, -1) <> -1
    OR EXISTS (SELECT FROM unnest(attoptions) o WHERE o LIKE 'n\\_distinct%'))"""
_SPECIAL_INDEX = """indisclustered OR indisreplident OR NOT indisvalid OR EXISTS (
    SELECT FROM pg_class c WHERE c.oid = indexrelid AND c.reltablespace <> 0)"""
_DEPENDENT = """deptype = 'n' AND (refclassid = 'pg_class'::regclass AND refobjid = :table
    OR refclassid = 'pg_type'::regclass AND refobjid IN (
        SELECT unnest(ARRAY[t.oid, t.typarray]) FROM pg_type t WHERE t.typrelid = :table))
    AND NOT (classid = 'pg_attrdef'::regclass
        AND EXISTS (SELECT FROM pg_attrdef d WHERE d.oid = objid AND d.adrelid = :table))
    AND NOT (classid = 'pg_constraint'::regclass
        AND EXISTS (SELECT FROM pg_constraint c WHERE c.oid = objid AND c.conrelid = :table))"""
_NOT_MINE = "oid = :table AND NOT (pg_has_role(relowner, 'MEMBER') AND pg_has_role(relowner, 'USAGE'))"
_SPECIAL_STORAGE = """oid = :table AND (relpersistence <> 'p' OR reloftype <> 0 OR reltablespace <> 0
    OR relreplident <> 'd' OR relam <> (SELECT a.oid FROM pg_am a WHERE a.amname = 'heap')
    OR EXISTS (SELECT FROM pg_class t WHERE t.oid = pg_class.reltoastrelid AND t.reloptions IS NOT NULL))"""
_PUBLISHED = """(schemaname, tablename) = (
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = :table)"""
_GIVEN_ON = """pg_class c, LATERAL (
    SELECT * FROM aclexplode(c.relacl) UNION ALL
    SELECT e.* FROM pg_attribute a, aclexplode(a.attacl) e WHERE a.attrelid = c.oid) given"""

# What is asked, and why no new table comes in the old one's place if there is any such row.
_AGAINST: tuple[tuple[str, str, str], ...] = (
    ("账号不是表的属主", "pg_class", _NOT_MINE),
    ("表是分区或有分区", "pg_class", "oid = :table AND (relkind <> 'r' OR relispartition)"),
    ("表有继承关系", "pg_inherits", "inhrelid = :table OR inhparent = :table"),
    ("表的存储方式特别", "pg_class", _SPECIAL_STORAGE),
    ("表属于扩展", "pg_depend", "classid = 'pg_class'::regclass AND objid = :table AND deptype = 'e'"),
    ("列的设置特别", "pg_attribute", f"attrelid = :table AND {_SPECIAL_COLUMN}"),
    ("索引的设置特别", "pg_index", f"indrelid = :table AND ({_SPECIAL_INDEX})"),
    ("有自增列", "pg_attribute", "attrelid = :table AND attidentity <> ''"),
    ("有自增列", "pg_depend JOIN pg_class s ON s.oid = objid AND s.relkind = 'S'",
     "classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass AND refobjid = :table"),
    ("有外键", "pg_constraint", "contype = 'f' AND :table IN (conrelid, confrelid)"),
    ("有排他约束或约束触发器", "pg_constraint", "conrelid = :table AND contype IN ('x', 't')"),
    ("有触发器", "pg_trigger", "tgrelid = :table AND NOT tgisinternal"),
    ("有规则", "pg_rewrite", "ev_class = :table"),
    ("有行级安全策略", "pg_class", "oid = :table AND (relrowsecurity OR relforcerowsecurity)"),
    ("有行级安全策略", "pg_policy", "polrelid = :table"),
    ("表在逻辑复制的发布中", "pg_publication_tables", _PUBLISHED),
    ("有扩展统计信息", "pg_statistic_ext", "stxrelid = :table"),
    ("有安全标签", "pg_seclabel", "classoid = 'pg_class'::regclass AND objoid = :table"),
    ("有转授的权限", _GIVEN_ON, "c.oid = :table AND given.grantor <> c.relowner"),
    ("有视图等对象依赖它", "pg_depend", _DEPENDENT),
)  # fmt: skip

_INDEXES = """SELECT i.relname AS name, x.indisunique AS "unique", pg_get_indexdef(x.indexrelid) AS definition,
    format('CREATE %sINDEX %I ON %I.%I USING ', CASE WHEN x.indisunique THEN 'UNIQUE ' ELSE '' END,
        i.relname, n.nspname, t.relname) AS start,
    c.conname AS constraint, c.contype AS kind, c.condeferrable AS deferrable, c.condeferred AS deferred,
    obj_description(x.indexrelid, 'pg_class') AS comment, obj_description(c.oid, 'pg_constraint') AS remark
    FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
    JOIN pg_namespace n ON n.oid = i.relnamespace
    LEFT JOIN pg_constraint c ON c.conindid = x.indexrelid AND c.conrelid = x.indrelid AND c.contype IN ('p', 'u')
    WHERE x.indrelid = :table ORDER BY i.relname"""
_CLASS = """SELECT pg_get_userbyid(relowner) AS owner, pg_get_userbyid(relowner) = current_user AS ours,
    reloptions AS options, obj_description(oid, 'pg_class') AS comment FROM pg_class WHERE oid = :table"""
_GRANTS = """SELECT a.attname AS column, e.privilege_type AS privilege, e.is_grantable AS onward,
    CASE e.grantee WHEN 0 THEN NULL ELSE pg_get_userbyid(e.grantee) END AS grantee
    FROM (SELECT NULL::name AS attname, coalesce(relacl, acldefault('r', relowner)) AS acl
        FROM pg_class WHERE oid = :table
        UNION ALL SELECT attname, attacl FROM pg_attribute WHERE attrelid = :table AND attacl IS NOT NULL) a,
    aclexplode(a.acl) WITH ORDINALITY e(grantor, grantee, privilege_type, is_grantable, place)
    ORDER BY a.attname NULLS FIRST, e.place"""

_PORTRAIT = (
    """SELECT relowner, relpersistence, relkind, relam, relreplident, relrowsecurity,
    (SELECT array_agg(o ORDER BY o) FROM unnest(reloptions) o),
    (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(coalesce(relacl, acldefault('r', relowner))) a)
    FROM pg_class WHERE oid = :table""",
    """SELECT attname, format_type(atttypid, atttypmod), attnotnull, attcollation, attgenerated, attidentity,
    attstorage, col_description(attrelid, attnum), pg_get_expr(d.adbin, d.adrelid),
    (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(attacl) a)
    FROM pg_attribute LEFT JOIN pg_attrdef d ON d.adrelid = attrelid AND d.adnum = attnum
    WHERE attrelid = :table AND attnum > 0 AND NOT attisdropped ORDER BY attnum""",
    """SELECT conname, contype, pg_get_constraintdef(oid), convalidated, condeferrable, condeferred, connoinherit,
    obj_description(oid, 'pg_constraint') FROM pg_constraint WHERE conrelid = :table ORDER BY conname""",
    """SELECT pg_get_indexdef(indexrelid), indisprimary, indisunique, indimmediate, indisvalid,
    obj_description(indexrelid, 'pg_class') FROM pg_index WHERE indrelid = :table ORDER BY 1""",
)


def obstacles(connection: sa.Connection, shape: TableShape) -> tuple[str, ...]:
    """Why no new table may take the place of one, in words; none: it may."""
    table = _number(connection, shape)
    found = [
        words
        for words, place, condition in _AGAINST
        if connection.execute(sa.text(f"SELECT 1 FROM {place} WHERE {condition} LIMIT 1"), {"table": table}).first()  # noqa: S608
    ]
    return tuple(dict.fromkeys(found))


def swap(connection: sa.Connection, shape: TableShape, key: str, fill: Callable[[str], None]) -> None:
    """Make a table like the old one, fill it, then key and index it, and put it in the old one's place.

    Until the old one is dropped, whoever reads it goes on reading.

    Args:
        connection: In a transaction that holds the old table.
        shape: The old table.
        key: Delivery key, for the comment.
        fill: Fills the table of that name.

    Raises:
        Unsupported: The new one would not be like the old one.
    """
    table = _number(connection, shape)
    before, about = _portrait(connection, table), connection.execute(sa.text(_CLASS), {"table": table}).one()
    grants = connection.execute(sa.text(_GRANTS), {"table": table}).all()
    indexes = connection.execute(sa.text(_INDEXES), {"table": table}).all()
    token = f"shutong_swap_{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    prefix = f"{_quoted(shape.namespace)}." if shape.namespace else ""
    new, old = f"{prefix}{_quoted(token)}", f"{prefix}{_quoted(shape.name)}"

    def run(statement: str) -> None:
        # The sign means something to the driver.
        connection.exec_driver_sql(statement.replace("%", "%%"))

    run(f"CREATE TABLE {new} (LIKE {old} INCLUDING ALL EXCLUDING INDEXES EXCLUDING STATISTICS)")
    if about.options:
        named = (option.partition("=") for option in about.options)
        run(f"ALTER TABLE {new} SET ({', '.join(f'{_quoted(name)} = {_text(value)}' for name, _, value in named)})")
    fill(token)
    for number, index in enumerate(indexes):
        if not index.definition.startswith(index.start):
            raise Unsupported(f"索引 {index.name} 的定义不能照搬")
        unique = "UNIQUE " if index.unique else ""
        run(
            f"CREATE {unique}INDEX {_quoted(f'{token}_{number}')} ON {new} USING {index.definition[len(index.start) :]}"
        )
    run(f"ANALYZE {new}")
    run(f"SET LOCAL lock_timeout = '{_WAIT}'")
    run(f"DROP TABLE {old}")
    run(f"ALTER TABLE {new} RENAME TO {_quoted(shape.name)}")
    for number, index in enumerate(indexes):
        built = _quoted(f"{token}_{number}")
        if index.constraint is None:
            run(f"ALTER INDEX {prefix}{built} RENAME TO {_quoted(index.name)}")
        else:
            kind = "PRIMARY KEY" if index.kind in ("p", b"p") else "UNIQUE"
            late = f"{' DEFERRABLE' if index.deferrable else ''}{' INITIALLY DEFERRED' if index.deferred else ''}"
            run(f"ALTER TABLE {old} ADD CONSTRAINT {_quoted(index.constraint)} {kind} USING INDEX {built}{late}")
        if index.comment is not None:
            run(f"COMMENT ON INDEX {prefix}{_quoted(index.name)} IS {_text(index.comment)}")
        if index.remark is not None:
            run(f"COMMENT ON CONSTRAINT {_quoted(index.constraint)} ON {old} IS {_text(index.remark)}")
    if not about.ours:
        run(f"ALTER TABLE {old} OWNER TO {_quoted(about.owner)}")
    _give(connection, shape, old, grants, run)
    run(f"COMMENT ON TABLE {old} IS {_text(noted(about.comment, key))}")
    run(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
    if _portrait(connection, _number(connection, shape)) != before:
        raise Unsupported("新表与原表的定义不完全相同")


def noted(comment: str | None, key: str) -> str:
    """A table's comment with the key of the delivery that made it, in place of an earlier one's."""
    return f"{_NOTE.sub('', comment or '')} [数通交付 {key}]".lstrip()


def _give(connection: sa.Connection, shape: TableShape, table: str, grants: Any, run: Callable[[str], None]) -> None:
    """Grant what was granted on the old table, and nothing that new tables come with."""

    def named(role: str | None) -> str:
        return "PUBLIC" if role is None else _quoted(role)

    given = connection.execute(sa.text(_GRANTS), {"table": _number(connection, shape)}).all()
    if [tuple(row) for row in given] == [tuple(row) for row in grants]:
        return
    for role in dict.fromkeys(row.grantee for row in given):
        run(f"REVOKE ALL ON {table} FROM {named(role)}")
    for row in grants:
        column = f" ({_quoted(row.column)})" if row.column is not None else ""
        onward = " WITH GRANT OPTION" if row.onward else ""
        run(f"GRANT {row.privilege}{column} ON {table} TO {named(row.grantee)}{onward}")


def _portrait(connection: sa.Connection, table: int) -> list[list[tuple[Any, ...]]]:
    """Everything about a table that its users may rely on, but its content and its own comment."""
    return [[tuple(row) for row in connection.execute(sa.text(query), {"table": table})] for query in _PORTRAIT]


def _number(connection: sa.Connection, shape: TableShape) -> int:
    name = f"{_quoted(shape.namespace)}." if shape.namespace else ""
    query = sa.text("SELECT CAST(CAST(:name AS regclass) AS oid)::bigint")
    found = connection.execute(query, {"name": name + _quoted(shape.name)})
    return int(found.scalar_one())


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _text(value: str) -> str:
    """A text as the product's own statements quote it."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"E'{escaped}'"
