"""Values and types that are one product's own: carried as they are written, or refused by name."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from typing import Any

import pytest

from adapters.base import Selection
from adapters.database import DatabaseEndpoint
from schemas import Item, arrow_schema
from tests.adapters.database.conftest import options_of
from tests.adapters.database.pairs import CHINA, PRODUCTS, ZONE, Sides, bind, move
from tests.support.servers import Server

REFUSED = object()
"""The row stays behind, with a finding about its item."""
ID = Item(name="id", label="编号", type="I", mandatory=True)

ODD: dict[str, list[tuple[str, str, list[tuple[str, Any]]]]] = {
    "postgresql": [
        ("date", "D", [("'0044-03-15 BC'", REFUSED), ("'infinity'", REFUSED), ("'-infinity'", REFUSED),
                       ("'10000-01-01'", REFUSED), ("'9999-12-31'", date(9999, 12, 31)),
                       ("'0001-01-01'", date(1, 1, 1))]),
        ("timestamp", "T", [("'infinity'", REFUSED), ("'0044-03-15 00:00 BC'", REFUSED), ("'12024-01-01'", REFUSED),
                            ("'2024-01-01 08:00:00.000001'", datetime(2024, 1, 1, 8, 0, 0, 1, CHINA))]),
        ("timestamptz", "T", [("'-infinity'", REFUSED),
                              ("'2024-01-01 00:00+00'", datetime(2024, 1, 1, 8, tzinfo=CHINA)),
                              ("'2024-01-01 00:00:00.000001+05:45'", datetime(2024, 1, 1, 2, 15, 0, 1, CHINA))]),
        ("numeric", "Y", [("'NaN'", REFUSED), ("'1.005'", REFUSED), ("'1e17'", 10**17), ("'-0.10'", "-0.10")]),
        ("numeric(38,10)", "Y", [("'NaN'", REFUSED), ("'1.25'", "1.25")]),
        ("double precision", "B", [("'NaN'", REFUSED), ("'-infinity'", REFUSED), ("'1e-300'", 1e-300)]),
        ("char(5)", "C", [("'ab'", "ab"), ("'甲'", "甲")]),
        ("time", "C", [("'12:30'", "12:30:00")]),
        ("timetz", "C", [("'12:30+08'", "12:30:00+08")]),
        ("interval", "C", [("'1 year 2 days'", "P1Y2D")]),
        ("integer[]", "C", [("'{1,2}'", "{1,2}"), ("'{}'", "{}")]),
        ("text[]", "M", [("""'{"a,b",NULL,"NULL"}'""", '{"a,b",NULL,"NULL"}')]),
        ("jsonb", "M", [("""'{"b": 1, "a": [null]}'""", '{"a": [null], "b": 1}'), ("'null'", "null")]),
        ("mood", "C", [("'好'", "好")]),
        ("code", "C", [("'AB'", "AB")]),
        ("inet", "C", [("'10.0.0.1'", "10.0.0.1/32"), ("'10.0.0.0/8'", "10.0.0.0/8")]),
        ("uuid", "C", [("'A0000000-0000-0000-0000-000000000001'", "a0000000-0000-0000-0000-000000000001")]),
        ("money", "C", [("'12.34'", "$12.34")]),
        ("int4range", "C", [("'[1,3]'", "[1,4)")]),
        ("bit(3)", "C", [("B'101'", "101")]),
        ("xml", "M", [("'<a>甲</a>'", "<a>甲</a>")]),
        ("bytea", "G", [("'\\x'", b""), ("'\\x00ff0a22'", b'\x00\xff\n"')]),
        ("text", "M", [("''", ""), (r"E'\\N'", "\\N"), (r"E'a\n\r\t\"'',\\'", "a\n\r\t\"',\\"),
                       (r"E'\u0001'", "\x01")]),
    ],
    "mariadb": [
        ("date", "D", [("'0000-00-00'", REFUSED), ("'2024-00-00'", REFUSED), ("'2024-02-00'", REFUSED),
                       ("'0001-01-01'", date(1, 1, 1))]),
        ("datetime(6)", "T", [("'0000-00-00 00:00:00'", REFUSED), ("'9999-12-31 23:59:59.999999'",
                              datetime(9999, 12, 31, 23, 59, 59, 999_999, CHINA))]),
        ("timestamp(6)", "T", [("'2024-01-01 00:00:00.000001'", datetime(2024, 1, 1, 8, 0, 0, 1, CHINA))]),
        ("tinyint(1)", "L", [("7", REFUSED), ("1", True), ("0", False)]),
        ("tinyint(1)", "I", [("1", 1), ("0", 0)]),
        ("bigint unsigned", "I", [("18446744073709551615", REFUSED), ("9223372036854775807", 2**63 - 1)]),
        ("decimal(65,30)", "Y", [("'1.25'", "1.25"), ("'0.001'", REFUSED)]),
        ("enum('好','坏')", "C", [("'坏'", "坏")]),
        ("set('a','b')", "C", [("'a,b'", "a,b"), ("''", "")]),
        ("json", "M", [("""'{"b": 1}'""", '{"b": 1}')]),
        ("time(3)", "C", [("'-838:59:59.5'", "-838:59:59.500")]),
        ("year", "C", [("2024", "2024")]),
        ("bit(8)", "C", [("b'101'", "5")]),
        ("char(5)", "C", [("'ab'", "ab")]),
        ("longblob", "G", [("''", b""), ("x'00ff0a22'", b'\x00\xff\n"')]),
        ("text", "M", [("''", ""), (r"'\\N'", "\\N"), (r"'a\n\r\t\"\',\\'", "a\n\r\t\"',\\"), ("x'01'", "\x01")]),
    ],
    "sqlite": [
        ("date", "D", [("'0000-00-00'", REFUSED), ("'-0044-03-15'", REFUSED), ("20240101", date(2024, 1, 1))]),
        ("real", "B", [("9e999", REFUSED), ("1", 1.0)]),
        ("integer", "I", [("'x'", REFUSED), ("1.5", REFUSED), ("2", 2)]),
        ("text", "M", [("''", ""), ("x'41'", REFUSED), ("CAST(x'b5a5' AS TEXT)", REFUSED), ("'甲'", "甲")]),
        ("boolean", "L", [("2", REFUSED), ("1", True)]),
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def odd(sides: Sides) -> Sides:
    sides["postgresql"].run(
        "CREATE TYPE mood AS ENUM ('好', '坏')", "CREATE DOMAIN code AS varchar(2) CHECK (VALUE ~ '^[A-Z]+$')"
    )
    return sides


@pytest.mark.parametrize("product", PRODUCTS)
def test_odd_values_are_carried_or_their_row_is_refused(odd: Sides, product: str) -> None:
    source, target = odd[product], odd["sqlite" if product == "postgresql" else "postgresql"]
    for declared, kind, values in ODD[product]:
        item = Item(name="value", label="值", type=kind)  # type: ignore[arg-type]
        source.run(f"CREATE TABLE odd (id integer PRIMARY KEY, value {declared} NULL)")
        lax = {"mariadb": ["SET SESSION sql_mode = '', time_zone = '+00:00'"]}.get(product, [])
        source.run(*lax, *(f"INSERT INTO odd VALUES ({n}, {value})" for n, (value, _) in enumerate(values)))
        moved = move(source, target, "odd", (ID, item))
        found = {int(key): row for key, row in target.found(moved.table, (ID, item)).items()}
        refused = {number for number, (_, expected) in enumerate(values) if expected is REFUSED}
        assert (declared, {(each.row, each.item) for each in moved.findings}) == (
            declared, {(number, "value") for number in refused},
        )  # fmt: skip
        for number, (_, expected) in enumerate(values):
            if expected is not REFUSED:
                value = type(found[number]["value"])(expected) if kind == "Y" else expected
                assert (declared, found[number]["value"]) == (declared, value)
        assert moved.answer.refused == ()
        source.run("DROP TABLE odd")


@pytest.mark.parametrize(
    ("product", "declared"),
    [(product, each) for product, types in (
        ("postgresql", ("mood", "integer[]", "jsonb", "interval", "inet", "uuid", "money", "timetz", "int4range")),
        ("mariadb", ("enum('好','坏')", "set('a','b')", "year", "time", "bit(8)")),
    ) for each in types],
)  # fmt: skip
def test_columns_that_hold_no_item_are_refused_at_planning(odd: Sides, product: str, declared: str) -> None:
    side, item = odd[product], Item(name="value", label="值", type="C", length=5)
    side.run(f"CREATE TABLE odd (id bigint PRIMARY KEY, value {declared})")
    [problem] = [each for each in side.endpoint.check(bind((ID, item), "odd"), arrow_schema((ID, item)), sink=True)
                 if "value" in each]  # fmt: skip
    assert "装不下文本" in problem
    assert declared.partition("(")[0].removesuffix("[]")[:4] in problem or declared == "mood"
    side.run("DROP TABLE odd")


@pytest.mark.parametrize("encoding", ["gbk", "gb18030"])
def test_a_file_of_other_texts(sides: Sides, encoding: str) -> None:
    source = sides["sqlite"]
    items = (Item(name="id", label="编号", type="C", length=9), Item(name="name", label="姓名", type="M"))
    texts = {"甲": "中文廫\\", "b": "𠮷䶮" if encoding == "gb18030" else "镕", "c": "ascii", "d": None, "e": ""}
    source.run("CREATE TABLE coded (id TEXT PRIMARY KEY, name TEXT, size INTEGER)")
    with source.engine.begin() as connection:
        for key, name in texts.items():
            raw = [None if text is None else text.encode(encoding) for text in (key, name)]
            connection.exec_driver_sql("INSERT INTO coded VALUES (CAST(? AS TEXT), CAST(? AS TEXT), 5)", tuple(raw))
        for key, raw in ((b"x", b"\xff\xfe"), (b"y", "é".encode()[:1]), (b"z", b"ok\x80\xff")):
            connection.exec_driver_sql("INSERT INTO coded VALUES (CAST(? AS TEXT), CAST(? AS TEXT), 5)", (key, raw))
    options = options_of(source.url) | {"encoding": encoding}
    coded = replace(source)
    coded.endpoint = DatabaseEndpoint(options, zone=ZONE)
    assert coded.endpoint.check(bind(items, "coded"), arrow_schema(items), sink=False) == []
    for target in PRODUCTS:
        moved = move(coded, sides[target], "coded", items)
        assert [(each.item, each.rule) for each in moved.findings] == [("name", "text")] * 3
        assert dict(sides[target].rows(f"SELECT id, name FROM {moved.table}")) == texts  # type: ignore[arg-type]
    with coded.endpoint.source(bind(items, "coded")) as opened:
        [batch] = opened.batches(Selection())
    assert set(batch.column("_reference").to_pylist()) == {f'["{key}"]' for key in (*texts, "x", "y", "z")}
    source.run("DROP TABLE coded")


def test_a_server_that_keeps_bytes(sides: Sides, postgresql_server: Server) -> None:
    items = (Item(name="id", label="编号", type="C", length=9), Item(name="name", label="姓名", type="M"))
    postgresql_server.execute("CREATE DATABASE bytes ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    url = sides["postgresql"].url.rpartition("/")[0] + "/bytes"
    source = replace(sides["postgresql"], url=f"{url}?client_encoding=utf8")
    source.run("CREATE TABLE coded (id varchar(9) PRIMARY KEY, name text)")
    texts = {"1": '中文廫\\,"\n', "2": None, "3": ""}
    with source.engine.begin() as connection:
        raw = connection.connection.driver_connection
        for key, name in texts.items():
            spelled = "NULL" if name is None else "E'" + "".join(f"\\x{byte:02x}" for byte in name.encode("gbk")) + "'"
            raw.execute(f"INSERT INTO coded VALUES ('{key}', {spelled})".encode())  # type: ignore[union-attr]
        raw.execute(rb"INSERT INTO coded VALUES ('4', E'\xff\xfe')")  # type: ignore[union-attr]
    plain = move(source, sides["sqlite"], "coded", items)
    assert [(each.row, each.item, each.rule) for each in plain.findings] == [(0, "name", "text"), (3, "name", "text")]
    source.endpoint = DatabaseEndpoint(options_of(url) | {"encoding": "gbk"}, zone=ZONE)
    moved = move(source, sides["mariadb"], "coded", items)
    assert [(each.row, each.item, each.rule) for each in moved.findings] == [(3, "name", "text")]
    assert dict(sides["mariadb"].rows(f"SELECT id, name FROM {moved.table}")) == texts  # type: ignore[arg-type]
    postgresql_server.execute("DROP DATABASE bytes WITH (FORCE)")


def test_columns_of_the_third_know_their_character_set(sides: Sides) -> None:
    """Bytes that mean nothing in it come as question marks otherwise; real ones stay."""
    items = (Item(name="id", label="编号", type="C", length=9), Item(name="name", label="姓名", type="M"))
    source = sides["mariadb"]
    source.run("CREATE TABLE coded (id varchar(9) CHARACTER SET gbk PRIMARY KEY, name varchar(20) CHARACTER SET gbk)")
    source.run("INSERT INTO coded VALUES ('甲', '中文廫?'), ('b', ''), ('c', NULL), ('d', x'fea0'), ('e', '??')")
    moved = move(source, sides["postgresql"], "coded", items)
    lost = {each.row for each in moved.findings}
    kept = dict(sides["postgresql"].rows(f"SELECT id, name FROM {moved.table}"))  # type: ignore[arg-type]
    assert {key: kept[key] for key in kept if key != "d"} == {"甲": "中文廫?", "b": "", "c": None, "e": "??"}
    assert ("d" in kept) == (not lost)
    assert "?" not in kept.get("d", "")
    source.run("DROP TABLE coded")
