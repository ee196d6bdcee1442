"""A row that the target cannot hold is refused, and the others arrive: by rule and reason, never changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from adapters.base import Claim, RefusedRow
from adapters.database import DatabaseEndpoint
from adapters.database.refusal import REFUSED, refused_arrays, refused_row
from adapters.errors import Refused
from schemas import Item, arrow_schema
from tests.adapters.database.conftest import PERSON, SCHEMA, Deliverer, Hands, batch, counts, person
from tests.adapters.database.pairs import Side, Sides, bind, move
from tests.support.servers import Server

ITEMS = (
    Item(name="id", label="编号", type="C", length=20, mandatory=True),
    Item(name="name", label="姓名", type="C", length=50),
)
NAMES = {"1": "张三", "2": "𠮷野家", "3": "李四", "4": "䶮", "5": None, "6": ""}


def names_in(side: Side, table: str) -> dict[str, Any]:
    return dict(side.rows(f"SELECT id, name FROM {table}"))  # type: ignore[arg-type]


@pytest.fixture
def people(sides: Sides) -> str:
    return sides["sqlite"].fill([{"id": key, "name": name} for key, name in NAMES.items()], ITEMS)


@pytest.mark.parametrize(("charset", "lost", "rule"), [("utf8mb3", "2", "text"), ("gbk", "24", "target")])
def test_a_narrow_column_of_the_one_product(sides: Sides, people: str, charset: str, lost: str, rule: str) -> None:
    target = sides["mariadb"]
    into = bind(ITEMS, f"narrow_{charset}")
    target.run(f"CREATE TABLE narrow_{charset} (id varchar(20) PRIMARY KEY, name varchar(50) CHARACTER SET {charset})")
    target.endpoint.install(into, arrow_schema(ITEMS))
    assert target.endpoint.check(into, arrow_schema(ITEMS), sink=True) == []
    answer = move(sides["sqlite"], target, people, ITEMS, into).answer
    assert [(each.row, each.rule) for each in answer.refused] == [(int(key) - 1, rule) for key in lost]
    assert all("列 name" in each.reason and "𠮷" not in each.reason for each in answer.refused)
    assert names_in(target, into.object) == {key: name for key, name in NAMES.items() if key not in lost}
    with target.endpoint.sink(into) as sink:
        assert sink.settled(answer.key) == answer


@pytest.mark.parametrize(("encoding", "lost"), [("EUC_CN", "24"), ("SQL_ASCII", "")])
def test_a_narrow_database_of_the_other(
    sides: Sides, people: str, postgresql_server: Server, encoding: str, lost: str
) -> None:
    name = f"narrow_{encoding.lower()}"
    postgresql_server.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    target = Side("postgresql", sides["postgresql"].url.rpartition("/")[0] + f"/{name}")
    answer = move(sides["sqlite"], target, people, ITEMS).answer
    assert [(each.row, each.rule) for each in answer.refused] == [(int(key) - 1, "target") for key in lost]
    kept = {key: name for key, name in NAMES.items() if key not in lost}
    [table] = [found.name for found in target.endpoint.inspect()]
    back = move(target, sides["sqlite"], table, ITEMS)
    assert back.findings == ()
    assert names_in(sides["sqlite"], back.table) == kept
    postgresql_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


WIDE = (
    ITEMS[0],
    Item(name="remark", label="备注", type="M"),
    Item(name="size", label="数量", type="I"),
    Item(name="seen", label="时间", type="T"),
)


@pytest.mark.parametrize("product", ["postgresql", "mariadb"])
def test_what_is_too_long_too_large_or_too_fine(sides: Sides, product: str) -> None:
    target = sides[product]
    moment = {"postgresql": "timestamptz(0)", "mariadb": "datetime"}[product]
    into = bind(WIDE, "small")
    target.endpoint.install(into, arrow_schema(WIDE))
    # Installing would widen a narrower table that is there.
    target.run(
        "DROP TABLE small",
        f"CREATE TABLE small (id varchar(20) PRIMARY KEY, remark varchar(300), size integer, seen {moment})",
    )
    noon = datetime(2024, 1, 1, 4, tzinfo=UTC)
    rows = [
        {"id": "1", "remark": "甲" * 300, "size": 2**31 - 1, "seen": noon},
        {"id": "2", "remark": "甲" * 301, "size": 0, "seen": noon},
        {"id": "3", "remark": "", "size": 2**31, "seen": noon},
        {"id": "4", "remark": "x", "size": 0, "seen": noon.replace(microsecond=1)},
        {"id": "5", "remark": None, "size": None, "seen": None},
        {"id": "6", "remark": "x" * 300 + " ", "size": 0, "seen": None},
    ]
    source = sides["sqlite"].fill(rows, WIDE)
    answer = move(sides["sqlite"], target, source, WIDE, into).answer
    assert [(each.row, each.rule) for each in answer.refused] == [
        (1, "length"), (2, "target"), (3, "time"), (5, "length"),
    ]  # fmt: skip
    assert [key for (key,) in target.rows("SELECT id FROM small ORDER BY id")] == ["1", "5"]
    target.run("DROP TABLE small")


def test_fixed_length_loses_no_blank_in_silence(sides: Sides) -> None:
    items = (ITEMS[0], Item(name="name", label="姓名", type="M"))
    for product in ("postgresql", "mariadb"):
        target, into = sides[product], bind(items, "fixed")
        target.endpoint.install(into, arrow_schema(items))
        target.run("DROP TABLE fixed", "CREATE TABLE fixed (id varchar(20) PRIMARY KEY, name char(255))")
        source = sides["sqlite"].fill([{"id": "1", "name": "a"}, {"id": "2", "name": "a "}], items)
        answer = move(sides["sqlite"], target, source, items, into).answer
        assert [(each.row, each.rule) for each in answer.refused] == [(1, "text")]
        target.run("DROP TABLE fixed")


@pytest.mark.parametrize("database_url", ["postgresql", "mariadb"], indirect=True)
def test_a_target_that_takes_nothing_is_no_matter_of_rows(installed: DatabaseEndpoint, hands: Hands) -> None:
    """A few rows are refused; where nearly all would be, the delivery is, with the column."""
    wide = replace(PERSON, columns={**PERSON.columns, "version": "small"})
    hands.run("ALTER TABLE person ADD small integer")
    rows = [person(str(number), 2**40 + number) for number in range(150)]
    with pytest.raises(Refused, match="放不进"):
        Deliverer(installed, wide)(*rows)
    good = [person(str(number), number) for number in range(150)]
    assert counts(Deliverer(installed, wide)(*good[:100], *rows[100:], key="2")) == (100, 0, 0, 0, 50)


def test_the_same_key_again_refuses_the_same(installed: DatabaseEndpoint, hands: Hands) -> None:
    if hands.product == "sqlite":
        return
    rows = [person("1"), person("2", name="长" * 51), person("3")]
    deliver = Deliverer(installed)
    first = deliver(*rows)
    assert [(each.row, each.rule) for each in first.refused] == [(1, "length")]
    assert deliver(*rows) == first
    with installed.sink(PERSON) as sink:
        claim = Claim(key="other", exchange="exchange", epoch=2)
        delivery = sink.begin(claim, SCHEMA)
        delivery.stage(batch(rows))
        # Taken up by another owner, who goes on where the first one stopped.
        other = sink.resume(claim, SCHEMA)
        other.stage(batch([person("4"), person("5", name="长" * 51)]))
        answer = other.commit(Deliverer.manifest(claim, 5))
    assert counts(answer) == (1, 0, 2, 0, 2)
    assert [each.row for each in answer.refused] == [1, 4]
    assert hands.persons("id") == [("1",), ("3",), ("4",)]


def test_refused_rows_lie_in_the_stage_by_number() -> None:
    rows = [RefusedRow(7, "text", "列 name"), RefusedRow(9, "length", "长" * 1000)]
    arrays = refused_arrays(rows)
    assert set(arrays["operation"].to_pylist()) == {REFUSED}
    read = [
        refused_row(*each)
        for each in zip(*(arrays[name].to_pylist() for name in ("row_number", "key_text")), strict=True)
    ]
    assert read == [rows[0], RefusedRow(9, "length", "长" * 400)]
