"""Reconciliation: what is told of two ends, and what is not."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from catalog import EndpointSpec
from exchange.engine import reconciliation
from exchange.engine.reconciliation import Difference, Reconciliation
from exchange.errors import Busy, Invalid
from tests.exchange.engine.town import (
    AWAY,
    SYNC,
    TAX,
    Town,
    at,
    build,
    grant,
    identity_number,
    person,
    prepare,
    publish,
    resource,
    wrong,
)


def reconciled(town: Town, exchange: str | None = None, **options: Any) -> Reconciliation:
    options = {"range_rows": 4, **options}
    with town.hub() as hub:
        return hub.reconciler.reconcile(exchange or town.share, **options)


def row(found: Reconciliation, number: int) -> Difference:
    """The row of the nth person."""
    (one,) = [each for each in found.rows if each.key == {"id_no": person(number)["id_no"]}]
    return one


def counts(**given: int) -> dict[str, int]:
    return {**dict.fromkeys(("missing", "surplus", "repeated", "older", "newer", "content"), 0), **given}


@pytest.fixture
def moved(town: Town) -> Town:
    """A town in which forty people were reported, one of them wrongly, and everything was delivered."""
    town.report(*(person(number) for number in range(40)), wrong(41))
    town.run_both()
    return town


def test_what_was_delivered_and_left_alone_agrees(moved: Town) -> None:
    for exchange, read in ((SYNC, 41), (moved.share, 40)):
        found = reconciled(moved, exchange)
        assert found.agrees
        assert found.counts == counts()
        assert found.expected_digest == found.held_digest
        assert (found.read, found.refused) == (read, read - 40)
        assert found.expected == found.held == len(moved.rows("library" if exchange == SYNC else "tax"))
        assert found.ranges > 3
        assert (found.differing_ranges, found.found_ranges, found.rows, found.remedies) == (0, (), (), ())


def test_every_way_to_differ_is_told_apart(moved: Town) -> None:
    table = "UPDATE person SET {change} WHERE id_no = '{key}'"
    moved.execute("tax", f"DELETE FROM person WHERE id_no = '{person(1)['id_no']}'")
    moved.execute("tax", table.format(change="born = '1999-01-01'", key=person(2)["id_no"]))
    moved.execute("tax", table.format(change="name = '测试4'", key=person(4)["id_no"]))
    moved.execute("tax", table.format(change="ver = 0", key=person(5)["id_no"]))
    moved.execute("tax", table.format(change="ver = 9, name = '谁'", key=person(8)["id_no"]))
    moved.execute("tax", "INSERT INTO person VALUES ('999999', '多*', '321202', NULL, 1)")
    found = reconciled(moved, keys=True)
    assert not found.agrees
    assert found.expected_digest != found.held_digest
    assert found.counts == counts(missing=1, surplus=1, older=1, newer=1, content=2)
    assert row(found, 1).kind == "missing"
    assert (row(found, 2).kind, row(found, 2).items) == ("content", ("born",))
    assert (row(found, 4).kind, row(found, 4).items) == ("content", ("name",))
    assert (row(found, 5).kind, row(found, 5).items) == ("older", ("ver",))
    assert (row(found, 8).kind, row(found, 8).items) == ("newer", ("name", "ver"))
    (surplus,) = [each for each in found.rows if each.kind == "surplus"]
    assert surplus.key == {"id_no": "999999"}
    assert all(each.why == () for each in found.rows)
    assert any("--redeliver" in remedy for remedy in found.remedies)
    assert any("接收方核实处理" in remedy for remedy in found.remedies)
    assert any("以更高的版本重报" in remedy for remedy in found.remedies)
    assert sum(sum(each.counts.values()) for each in found.found_ranges) == 6
    assert found.differing_ranges == len(found.found_ranges) < found.ranges
    for each in found.found_ranges:
        assert each.expected_digest != each.held_digest


def test_redelivery_mends_what_a_delivery_can(moved: Town) -> None:
    moved.execute("tax", f"DELETE FROM person WHERE id_no = '{person(1)['id_no']}'")
    moved.execute("tax", f"UPDATE person SET born = '1999-01-01' WHERE id_no = '{person(2)['id_no']}'")
    away = person(3)
    moved.execute("tax", f"INSERT INTO person VALUES ('{away['id_no']}', '别*', '{AWAY}', NULL, 1)")
    found = reconciled(moved, keys=True)
    assert row(found, 3).why == ("withdrawn",)
    assert found.counts == counts(missing=1, content=1, surplus=1)
    assert all("接收方核实处理" not in remedy for remedy in found.remedies)
    moved.run(moved.share, redeliver=True)
    assert reconciled(moved).agrees


def test_ranges_stand_still_when_rows_come_and_go(moved: Town) -> None:
    before = reconciled(moved)
    moved.execute("tax", f"DELETE FROM person WHERE id_no = '{person(1)['id_no']}'")
    after = reconciled(moved)
    assert after.ranges == before.ranges
    assert after.differing_ranges == 1
    (one,) = after.found_ranges
    assert one.expected == one.held + 1
    assert after.expected_digest == before.expected_digest


def test_what_the_next_run_will_bring_is_told(moved: Town) -> None:
    moved.report(person(1, version=2, name="新名字"), person(50), person(4, version=2, district=AWAY))
    found = reconciled(moved, SYNC, keys=True)
    assert found.counts == counts(missing=1, older=2)
    assert {each.why for each in found.rows} == {("pending",)}
    assert found.remedies == (f"来源已变而尚未送达的：执行 shutong run {SYNC}",)
    assert reconciled(moved).agrees
    moved.run(SYNC)
    assert reconciled(moved, SYNC).agrees
    found = reconciled(moved, keys=True)
    assert found.counts == counts(missing=1, older=1, surplus=1)
    assert (row(found, 1).why, row(found, 50).why) == (("pending",), ("pending",))
    assert row(found, 4).why == ("pending", "withdrawn")
    moved.run(moved.share)
    assert reconciled(moved).agrees


def test_rows_refused_and_rows_deleted_are_explained(moved: Town) -> None:
    library = "r_101001001_0001"
    bad = {**person(1, version=2), "district": None}
    moved.report(bad, person(38, version=2), person(39, version=2))
    found = reconciled(moved, SYNC, keys=True)
    assert row(found, 1).kind == "surplus"
    assert row(found, 1).why == ("pending", "refused")
    moved.run(SYNC)
    found = reconciled(moved, SYNC, keys=True)
    assert (row(found, 1).why, row(found, 1).rules) == (("refused",), ("mandatory",))
    assert any("quarantine list" in remedy for remedy in found.remedies)
    # The same version with other content is refused by the target.
    moved.execute("library", f"UPDATE {library} SET shutong_serial = 9, born = '1850-01-01' WHERE name = '测试2'")
    moved.execute("library", "UPDATE shutong_serial SET value = 9")
    moved.run(moved.share)
    found = reconciled(moved, keys=True)
    assert (row(found, 2).kind, row(found, 2).why, row(found, 2).rules) == ("content", ("refused",), ("conflict",))
    # A deletion that the library knows of, and a row that somebody put back at the recipient.
    gone = person(5)["id_no"]
    moved.execute("library", f"DELETE FROM {library} WHERE id_no = '{gone}'")
    scope = moved.query("library", f"SELECT shutong_provider FROM {library} LIMIT 1")[0][0]
    moved.execute(
        "library",
        "INSERT INTO shutong_tombstone (object, scope, key_text, version, serial) VALUES "
        f"""('{library}', '{{"shutong_provider":"{scope}"}}', '["{gone}"]', '1', 1)""",
    )
    found = reconciled(moved, keys=True)
    assert row(found, 5).why == ("deleted",)
    found = reconciled(moved, SYNC, keys=True)
    assert (row(found, 5).kind, row(found, 5).why) == ("missing", ("buried",))


def test_nothing_beyond_the_grant_is_told_to_the_recipient(moved: Town) -> None:
    moved.report({**person(1, version=2), "district": None}, person(2, version=2))
    moved.run(SYNC)
    away = person(3)
    moved.execute("tax", f"INSERT INTO person VALUES ('{away['id_no']}', '别*', '{AWAY}', NULL, 1)")
    found = reconciled(moved, keys=True, beyond_grant=False)
    assert row(found, 3).why == ()
    assert row(found, 2).why == ("pending",)
    assert isinstance(found.found_ranges[0].first, str)
    moved.execute("tax", f"DELETE FROM person WHERE id_no = '{person(2)['id_no']}'")
    (missing,) = [each for each in reconciled(moved, keys=True, beyond_grant=False).rows if each.kind == "missing"]
    assert missing.key is None
    refused = reconciled(moved, SYNC, keys=True, beyond_grant=False)
    assert (row(refused, 1).why, row(refused, 1).rules) == ((), ())


def test_keys_are_hashed_unless_asked_for(moved: Town) -> None:
    stolen = person(1)["id_no"]
    moved.execute("tax", f"DELETE FROM person WHERE id_no = '{stolen}'")
    hidden, shown = reconciled(moved), reconciled(moved, keys=True)
    assert not any(code in repr(hidden) for code in moved.rows("library"))
    assert hidden.rows[0].key is None
    assert hidden.rows[0].key_hash == shown.rows[0].key_hash
    assert shown.rows[0].key == {"id_no": stolen}
    assert isinstance(hidden.found_ranges[0].first, str)
    assert shown.found_ranges[0].first != hidden.found_ranges[0].first
    # The hash is that of the quarantine.
    moved.report({**person(2, version=2), "district": None}, person(38, version=2), person(39, version=2))
    moved.run(SYNC)
    (quarantined,) = [each for each in moved.quarantined(SYNC) if each.rule == "mandatory"]
    assert [each.key_hash for each in reconciled(moved, SYNC).rows] == [quarantined.key_hash]


def test_no_more_is_told_than_asked_for_and_all_is_counted(moved: Town) -> None:
    moved.execute("tax", "DELETE FROM person")
    found = reconciled(moved, most_rows=3, most_ranges=2)
    assert found.held == 0
    assert found.counts == counts(missing=found.expected)
    assert (len(found.rows), len(found.found_ranges)) == (3, 2)
    assert found.differing_ranges == found.ranges > 2


def test_before_the_first_delivery_everything_is_missing(town: Town) -> None:
    town.report(*(person(number) for number in range(6)))
    found = reconciled(town, SYNC)
    assert found.counts == counts(missing=6)
    assert found.remarks == ("平台没有该交换的交付记录",)
    assert found.remedies == (f"来源已变而尚未送达的：执行 shutong run {SYNC}",)
    empty = reconciled(town)
    assert empty.agrees
    assert (empty.ranges, empty.expected, empty.held) == (0, 0, 0)


def test_it_changes_nothing(moved: Town) -> None:
    def state() -> list[Any]:
        tables = {"police": "inf_person", "library": "r_101001001_0001", "tax": "person"}
        return [moved.query(place, f"SELECT * FROM {table}") for place, table in tables.items()] + [
            moved.query(place, "SELECT * FROM shutong_ledger") for place in ("library", "tax")
        ]

    moved.execute("tax", f"DELETE FROM person WHERE id_no = '{person(1)['id_no']}'")
    before, payload = state(), sorted((moved.home / "payload").iterdir())
    reconciled(moved)
    reconciled(moved, SYNC)
    assert state() == before
    assert sorted((moved.home / "payload").iterdir()) == payload
    assert moved.stages("tax") == moved.stages("library") == []


# --- what stands in the way ------------------------------------------------------------------------


def test_a_delivery_in_doubt_is_brought_to_its_end_first(moved: Town) -> None:
    moved.report(person(50))

    class Died(BaseException):
        pass

    def die() -> None:
        raise Died

    with pytest.raises(Died):
        moved.run(SYNC, observe=at("7.commit", die))
    with pytest.raises(Busy, match="正在提交"):
        reconciled(moved, SYNC)
    moved.run(SYNC)
    assert reconciled(moved, SYNC).agrees


def test_a_delivery_meanwhile_is_noticed(moved: Town) -> None:
    moved.report(person(50))
    moved.run(SYNC)
    with pytest.raises(Busy, match="对账期间有交付"):
        reconciled(moved, observe=at("compare", lambda: moved.run(moved.share)))
    assert reconciled(moved).agrees


def test_an_end_that_is_away(moved: Town) -> None:
    with moved.away("tax"), pytest.raises(Invalid, match="端点 tax"):
        reconciled(moved)


def test_files_cannot_be_reconciled(town: Town, tmp_path: Path) -> None:
    with town.hub() as hub:
        (tmp_path / "drop").mkdir()
        options = {"root": str(tmp_path / "drop")}
        spec = EndpointSpec(name="drop", department=TAX, kind="files", options=options)
        hub.registration.put_endpoint(spec, by=town.actor("integrator"))
        publish(town, hub, resource(share_ways=["database", "file"]))
        name = grant(town, hub, way="file", target={"endpoint": "drop", "object": "people.csv"})
    with pytest.raises(Invalid) as refused:
        reconciled(town, f"share-{name}")
    (problem,) = refused.value.problems
    assert "drop 是文件，没有可以全部读出的表" in problem.message
    assert "目标端" in problem.where


# --- keys without an order of their own ------------------------------------------------------------


def hashed(town: Town) -> str:
    """An exchange whose recipient knows people by keyed hashes alone."""
    with town.hub() as hub:
        masks = {"id_no": {"mask": "hmac"}, "name": {"mask": "name"}, "born": {"mask": "period", "unit": "year"}}
        target = {"endpoint": "tax", "object": "hashed", "columns": {"id_no": "who", "name": "name", "born": "born",
                  "district": "district", "ver": "ver"}}  # fmt: skip
        town.grant = grant(town, hub, masks=masks, target=target)
        prepare(town, hub)
    return town.share


def test_keys_that_were_hashed_on_the_way(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = hashed(town)
    town.report(*(person(number) for number in range(60)))
    town.run(SYNC)
    town.run(exchange)
    made = reconciliation.put_in_order
    monkeypatch.setattr(reconciliation, "put_in_order", lambda batches, spool: made(batches, spool, rows=5))
    found = reconciled(town, exchange)
    assert found.agrees
    assert (found.expected, found.held) == (40, 40)
    town.report(person(1, version=2))
    town.run(SYNC)
    assert [(each.kind, each.why) for each in reconciled(town, exchange).rows] == [("older", ("pending",))]
    town.run(exchange)
    who, other = (row[0] for row in town.query("tax", "SELECT who FROM hashed ORDER BY who LIMIT 2"))
    town.execute("tax", f"DELETE FROM hashed WHERE who = '{who}'")
    town.execute("tax", f"UPDATE hashed SET born = '1849-02-01' WHERE who = '{other}'")
    found = reconciled(town, exchange, keys=True)
    assert {each.kind: (each.key, each.items) for each in found.rows} == {
        "missing": ({"id_no": who}, ()),
        "content": ({"id_no": other}, ("born",)),
    }


def test_rows_that_come_in_another_order_than_expected(moved: Town) -> None:
    """Blanks around a key are noise to the hub, and order to the place."""
    with moved.databases["police"].begin() as connection:
        for number in (3, 20):
            code = identity_number(number)
            connection.execute(sa.text(f"UPDATE inf_person SET id_no = ' {code}' WHERE id_no = '{code}'"))
    assert reconciled(moved, SYNC).agrees
    moved.execute("tax", f"DELETE FROM person WHERE id_no = '{person(20)['id_no']}'")
    assert reconciled(moved, moved.share, keys=True).rows[0].key == {"id_no": person(20)["id_no"]}


# --- places of other kinds -------------------------------------------------------------------------

CODES = "101001001/0002"
CODES_SYNC = "sync-101001001-0002"
TEXTS = (
    "a1", "B2", "c3", "A4", "b5", "_6", "-7", "é8", "É9", "一10", "丁11", "𠮷12", "\uffee13", "Z14", "z15",
    "ａ16", "1", "10", "2",
)  # fmt: skip
CODE_ITEMS = (
    {"name": "code", "label": "编码", "type": "C", "length": 20, "mandatory": True},
    {"name": "part", "label": "分项", "type": "I", "mandatory": True},
    {"name": "text", "label": "说明", "type": "M"},
    {"name": "sum", "label": "金额", "type": "N", "length": 30, "scale": 4},
    {"name": "day", "label": "日期", "type": "D"},
    {"name": "at", "label": "时间", "type": "T"},
    {"name": "yes", "label": "是否", "type": "L"},
    {"name": "rate", "label": "比率", "type": "B"},
)
CODE_COLUMNS = {item["name"]: f"c_{item['name']}" for item in CODE_ITEMS}


def codes(code: str, part: int) -> dict[str, Any]:
    number = TEXTS.index(code) * 10 + part
    return {
        "c_code": code,
        "c_part": part,
        "c_text": None if number % 5 == 0 else f" 说明\n\t'\"\\\\{code} ",
        "c_sum": None if number % 7 == 0 else Decimal(number) / 8 - 10**20,
        "c_day": date(41 + number * 40, 2, 28),
        "c_at": datetime(2024, 1, 1, 12, number % 60, 59, 120_000),  # noqa: DTZ001 - as the place keeps it
        "c_yes": number % 2 == 0,
        "c_rate": number / 3,
    }


@pytest.fixture
def mixed_town(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Town]:
    """From one server to two databases of another, under three collations."""
    postgresql, mariadb = (request.getfixturevalue(f"{name}_server") for name in ("postgresql", "mariadb"))
    urls = {"library": mariadb.new_database(), "tax": mariadb.new_database(), "police": postgresql.new_database()}
    while len({sa.make_url(url).database for url in urls.values()}) < 3:  # their passwords lie under their names
        urls["police"] = postgresql.new_database()
    with closing(build(tmp_path / "home", urls)) as town:
        town.execute(
            "police",
            'CREATE TABLE codes (c_code varchar(20) COLLATE "und-x-icu", c_part integer, c_text text, '
            "c_sum numeric(30,4), c_day date, c_at timestamp, c_yes boolean, "
            "c_rate double precision, PRIMARY KEY (c_code, c_part))",
        )
        town.execute(
            "tax",
            "CREATE TABLE codes (code varchar(20) COLLATE utf8mb4_unicode_ci, part int, text longtext, "
            "sum decimal(34,4), day date, at datetime(6), yes boolean, "
            "rate double, PRIMARY KEY (code, part)) CHARSET utf8mb4",
        )
        town.execute(
            "tax", "ALTER TABLE codes MODIFY code varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL"
        )
        written = resource(
            code=CODES, name="编码表", items=CODE_ITEMS, key=["part", "code"], version_item=None,
            offer={"endpoint": "police", "object": "codes", "columns": CODE_COLUMNS, "capture": "snapshot"},
        )  # fmt: skip
        names = [item["name"] for item in CODE_ITEMS]
        with town.hub() as hub:
            publish(town, hub, written)
            target = {"endpoint": "tax", "object": "codes", "columns": {name: name for name in names}}
            town.grant = grant(town, hub, resource=CODES, items=names, filter=None, masks={}, target=target)
            prepare(town, hub)
        yield town


def test_across_products_and_collations(mixed_town: Town) -> None:
    town = mixed_town
    table = sa.table("codes", *map(sa.column, CODE_COLUMNS.values()))
    rows = [codes(code, part) for code in TEXTS for part in range(-1, 4)]
    with town.databases["police"].begin() as connection:
        connection.execute(sa.insert(table), rows)
    assert town.run(CODES_SYNC).counts["written"] == len(rows)
    assert town.run(town.share).counts["written"] == len(rows)
    for exchange in (CODES_SYNC, town.share):
        found = reconciled(town, exchange)
        assert found.agrees, found
        assert found.held == len(rows)
        assert found.ranges > 5
    town.execute("tax", "DELETE FROM codes WHERE code = '𠮷12' AND part = 2")
    town.execute("tax", "UPDATE codes SET text = CONCAT(text, ' ') WHERE code = 'B2' AND part = 3")
    town.execute("tax", "UPDATE codes SET at = at + INTERVAL 1 MICROSECOND WHERE code = '一10' AND part = -1")
    town.execute("tax", "UPDATE codes SET sum = sum + 0.0001 WHERE code = 'Z14' AND part = 1")
    town.execute("tax", "INSERT INTO codes (code, part) VALUES ('b2', 3)")
    found = reconciled(town, keys=True)
    assert found.counts == counts(missing=1, content=3, surplus=1)
    assert {(each.kind, each.key["code"], each.key["part"], each.items) for each in found.rows if each.key} == {
        ("missing", "𠮷12", "2", ()),
        ("content", "B2", "3", ("text",)),
        ("content", "一10", "-1", ("at",)),
        ("content", "Z14", "1", ("sum",)),
        ("surplus", "b2", "3", ()),
    }
    town.run(town.share, redeliver=True)
    assert reconciled(town).counts == counts(surplus=1)


def test_a_table_of_operations_counts_as_what_it_comes_to(town: Town) -> None:
    """Rows of the national family: each says what was done, the last one of a key holds."""
    town.execute(
        "police",
        "CREATE TABLE up_codes (row_guid varchar(36), code varchar(20), text varchar(60), cd_batch varchar(20), "
        "cd_operation varchar(1), cd_time varchar(20))",
    )
    town.execute("police", "CREATE TABLE dn_codes_error AS SELECT *, '' AS error_remark FROM up_codes")

    def told(*operations: tuple[str, str, str, int]) -> None:
        with town.databases["police"].begin() as connection:
            table = sa.table(
                "up_codes", *map(sa.column, ("row_guid", "code", "text", "cd_batch", "cd_operation", "cd_time"))
            )
            for code, text, operation, moment in operations:
                row = {"row_guid": f"{moment:036d}", "code": code, "text": text, "cd_batch": str(moment)}
                row |= {"cd_operation": operation, "cd_time": f"2024-01-{moment:02d} 00:00:00"}
                connection.execute(sa.insert(table), row)

    # Written in an order of its own: what counts is when it was done.
    told(("a", "新", "U", 5), ("b", "", "D", 4), ("c", "又来", "I", 6), ("d", "丁", "I", 1))
    told(("a", "旧", "I", 1), ("b", "乙", "I", 2), ("c", "", "D", 3), ("c", "丙", "I", 2))
    items = (
        {"name": "code", "label": "编码", "type": "C", "length": 20, "mandatory": True},
        {"name": "text", "label": "说明", "type": "C", "length": 60},
    )
    offer = {"endpoint": "police", "object": "up_codes", "columns": {"code": "code", "text": "text"}}
    offer |= {"capture": "batches", "profile": "national"}
    with town.hub() as hub:
        publish(
            town, hub, resource(code=CODES, name="编码表", items=items, key=["code"], version_item=None, offer=offer)
        )
    town.run(CODES_SYNC)
    held = dict(town.query("library", "SELECT code, text FROM r_101001001_0002"))
    assert held == {"a": "新", "c": "又来", "d": "丁"}
    found = reconciled(town, CODES_SYNC)
    assert found.agrees
    assert (found.read, found.expected) == (8, 3)
    town.execute("library", "UPDATE r_101001001_0002 SET text = '旧' WHERE code = 'a'")
    columns = "shutong_provider, shutong_serial, text"
    copied = f"SELECT 'b', {columns} FROM r_101001001_0002 WHERE code = 'd'"
    town.execute("library", f"INSERT INTO r_101001001_0002 (code, {columns}) {copied}")
    told(("d", "", "D", 7), ("e", "戊", "I", 8))
    found = reconciled(town, CODES_SYNC, keys=True)
    assert {each.key["code"]: (each.kind, each.items, "withdrawn" in each.why) for each in found.rows if each.key} == {
        "a": ("content", ("text",), False),
        "b": ("surplus", (), True),
        "d": ("surplus", (), True),
        "e": ("missing", (), False),
    }
    assert {each.key["code"] for each in found.rows if each.key and "pending" in each.why} >= {"d", "e"}


# --- many rows -------------------------------------------------------------------------------------

MANY = 200_000


@pytest.mark.long
@pytest.mark.parametrize("order", ["as it comes", "made"])
def test_many_rows_in_little_memory(
    order: str, postgresql_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = {name: postgresql_server.new_database() for name in ("police", "library", "tax")}
    with closing(build(tmp_path / "home", urls)) as town:
        settings = town.home / "shutong.toml"
        settings.write_text(re.sub(r"(?m)^batch_rows = .*$", "batch_rows = 16384", settings.read_text()))
        town.execute(
            "police",
            "CREATE TABLE codes AS SELECT lpad((n::bigint * 7919 % 1000003)::text, 18, '0') AS code, "
            "'名' || n AS name, repeat('路', 30) || n AS place, n + 0.25 AS sum, 1 AS ver "
            f"FROM generate_series(1, {MANY}) n",
        )
        town.execute("police", "ALTER TABLE codes ADD PRIMARY KEY (code)")
        items = (
            {"name": "code", "label": "编码", "type": "C", "length": 20, "mandatory": True},
            {"name": "name", "label": "名称", "type": "C", "length": 60},
            {"name": "place", "label": "地址", "type": "C", "length": 100},
            {"name": "sum", "label": "金额", "type": "N", "length": 20, "scale": 2},
            {"name": "ver", "label": "版本", "type": "I", "mandatory": True},
        )
        columns = {item["name"]: item["name"] for item in items}
        offer = {"endpoint": "police", "object": "codes", "columns": columns, "capture": "snapshot"}
        with town.hub() as hub:
            publish(town, hub, resource(code=CODES, name="编码表", items=items, key=["code"], offer=offer))
        running = time.monotonic()
        assert town.run(CODES_SYNC).counts["written"] == MANY
        running = time.monotonic() - running
        town.execute("library", "DELETE FROM r_101001001_0002 WHERE code LIKE '%7777'")
        if order == "made":
            ordered = reconciliation._Reading.ordered
            both = {"source", "target"}
            monkeypatch.setattr(
                reconciliation._Reading,
                "ordered",
                lambda _, end, *given: ordered(reconciliation._Reading(both), end, *given),
            )
        usual, pool = pa.default_memory_pool(), pa.proxy_memory_pool(pa.default_memory_pool())
        pa.set_memory_pool(pool)
        try:
            found = reconciled(town, CODES_SYNC, range_rows=4096)
        finally:
            pa.set_memory_pool(usual)
        assert found.counts == counts(missing=MANY - found.held)
        assert 0 < found.counts["missing"] < 40
        assert 25 < found.ranges < 100
        assert found.differing_ranges <= found.counts["missing"]
        assert pool.max_memory() < (64 if order == "as it comes" else 160) * 2**20
        assert found.seconds < running * (1 if order == "as it comes" else 2)
        print(f"{MANY} rows, order {order}: {found.seconds:.1f} s, run {running:.1f} s, {pool.max_memory() >> 20} MB")
