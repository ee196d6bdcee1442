"""How two structures of a table differ."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from adapters import Structure, StructureColumn, differences

ID = StructureColumn(name="id", family="文本", declared="varchar(18)", length=18, nullable=False)
NAME = StructureColumn(name="name", family="文本", declared="varchar(64)", length=64, label="姓名")
AMOUNT = StructureColumn(name="amount", family="定点数", declared="numeric(12, 2)", length=12, scale=2)
COUNT = StructureColumn(name="count", family="整数", declared="integer", length=9, scale=0)
SEEN = StructureColumn(name="seen", family="日期时间", declared="timestamp(3)", fraction=3)
PERSON = Structure(name="person", columns=(ID, NAME, AMOUNT, COUNT, SEEN), key=("id",), unique=(("id",),))


def table(*columns: StructureColumn, **changes: object) -> Structure:
    """The table with other columns in the place of those of their names."""
    other = {column.name: column for column in columns}
    kept = tuple(other.pop(column.name, column) for column in PERSON.columns)
    return replace(PERSON, columns=(*kept, *other.values()), **changes)  # type: ignore[arg-type]


def without(name: str, *columns: StructureColumn, **changes: object) -> Structure:
    kept = tuple(column for column in PERSON.columns if column.name != name)
    return replace(PERSON, columns=(*kept, *columns), **changes)  # type: ignore[arg-type]


def kinds(after: Structure, before: Structure = PERSON) -> list[tuple[str, str]]:
    return [(each.kind, each.column) for each in differences(before, after)]


def test_the_same_is_no_difference_whatever_the_order_and_the_comments() -> None:
    again = Structure.read(json.loads(json.dumps(PERSON.document())))
    assert again == PERSON
    columns = tuple(replace(column, label="另") for column in reversed(PERSON.columns))
    assert kinds(replace(PERSON, columns=columns)) == []


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (replace(NAME, declared="varchar(80)", length=80), "widened"),
        (replace(NAME, declared="text", length=None), "widened"),
        (replace(NAME, declared="varchar(20)", length=20), "narrowed"),
        (replace(NAME, declared="char(64)"), "spelling"),
        (replace(NAME, family="整数", declared="integer", length=9, scale=0), "type"),
        (replace(NAME, nullable=False), "not null"),
        (replace(ID, nullable=True), "nullable"),
        (replace(NAME, filled=True), "default"),
        (replace(NAME, computed=True), "computed"),
        (replace(NAME, charset="gbk", unicode=False), "characters"),
        (replace(NAME, collation="C"), "collation"),
        (replace(AMOUNT, declared="numeric(14, 2)", length=14), "widened"),
        (replace(AMOUNT, declared="numeric(14, 4)", length=14, scale=4), "widened"),
        (replace(AMOUNT, declared="numeric(12, 4)", length=12, scale=4), "narrowed"),
        (replace(COUNT, declared="bigint", length=18), "widened"),
        (replace(COUNT, declared="integer unsigned"), "type"),
        (replace(SEEN, declared="timestamp", fraction=6), "widened"),
        (replace(SEEN, declared="timestamp(0)", fraction=0), "narrowed"),
    ],
)
def test_each_sort_of_change(column: StructureColumn, kind: str) -> None:
    assert kinds(table(column)) == [(kind, column.name)]
    (told,) = differences(PERSON, table(column))
    assert column.name in str(told)


def test_a_display_width_is_no_difference_and_an_enumeration_is() -> None:
    wide = replace(COUNT, declared="integer(11)")
    assert kinds(table(wide)) == []
    one = StructureColumn(name="sex", family="其他", declared="enum('男','女')")
    assert kinds(table(replace(one, declared="enum('男')")), table(one)) == [("type", "sex")]


def test_added_dropped_and_renamed() -> None:
    new = replace(NAME, name="phone", declared="varchar(20)", length=20, label="")
    assert kinds(table(new)) == [("added", "phone")]
    assert kinds(without("name")) == [("dropped", "name")]
    assert kinds(without("name", new)) == [("dropped", "name"), ("added", "phone")]
    (told,) = differences(PERSON, without("name", replace(NAME, name="full_name")))
    assert (told.kind, told.column, told.after) == ("renamed", "name", "full_name")
    assert told.reasons == ("类型和长度相同", "说明相同")
    assert "推测" in str(told)


def test_of_two_that_could_be_it_the_better_reasoned_is() -> None:
    columns = [replace(NAME, name="alias", label=""), replace(NAME, name="full_name")]
    after = replace(PERSON, columns=(ID, *columns, *PERSON.columns[2:]))
    assert kinds(after) == [("renamed", "name"), ("added", "alias")]
    assert differences(PERSON, after)[0].after == "full_name"


def test_an_equal_type_is_not_enough() -> None:
    after = without("name", replace(NAME, name="full_name", label="全名"))
    assert kinds(after) == [("dropped", "name"), ("added", "full_name")]


def test_a_renamed_key_is_no_other_key_and_what_else_changed_is_told_too() -> None:
    new = replace(ID, name="code", nullable=True)
    after = replace(PERSON, columns=(new, *PERSON.columns[1:]), key=("code",), unique=(("code",),))
    assert kinds(after) == [("renamed", "id"), ("nullable", "id")]


def test_keys_and_indexes() -> None:
    assert kinds(table(key=("id", "name"), unique=(("id", "name"),))) == [("key", "")]
    assert kinds(table(key=(), unique=())) == [("key", "")]
    assert kinds(table(unique=(("id",), ("name",)))) == [("unique", "")]
    assert "无" in str(differences(PERSON, table(key=(), unique=()))[0])


def test_gone_and_a_view_in_its_place() -> None:
    gone = Structure(name="person", lies="absent")
    assert kinds(gone) == [("gone", "")]
    assert kinds(table(lies="view", key=(), unique=())) == [("lies", ""), ("key", "")]
    assert str(differences(PERSON, table(lies="view"))[0]) == "原来是表，现在是视图"
