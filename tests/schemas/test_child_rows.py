from __future__ import annotations

import json
import random
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import Item
from schemas.child_rows import EMPTY, packed, problems_of_children, quoted, texts_of, unpacked, values_of
from schemas.items import arrow_schema, row_items

NAMES = ("relation", "name")
TEXTS = st.one_of(
    st.none(), st.text(st.characters(exclude_categories=("Cs",)), max_size=4), st.sampled_from('"\\\x01𠮷')
)
PARENTS = st.lists(st.lists(st.fixed_dictionaries({"relation": TEXTS, "name": TEXTS}), max_size=3), max_size=4)


def repacked(*texts: str | None) -> list[str]:
    found = unpacked(pa.array(texts, pa.string()), NAMES)
    assert not found.wrong
    return packed(found.owners, len(texts), found.columns).to_pylist()  # type: ignore[no-any-return]


@settings(deadline=None)
@given(PARENTS, st.randoms(use_true_random=False))
def test_equal_rows_have_one_text_in_whatever_order_they_come(
    parents: list[list[dict[str, str | None]]], chance: random.Random
) -> None:
    def canonical(rows: list[dict[str, str | None]]) -> str:
        objects = [json.dumps(row, ensure_ascii=False, sort_keys=True, separators=(",", ":")) for row in rows]
        return f"[{','.join(sorted(objects, key=str.encode))}]"

    expected = [canonical(rows) for rows in parents]
    shuffled = [json.dumps(chance.sample(rows, len(rows)), indent=1) for rows in parents]
    assert repacked(*shuffled) == expected
    assert repacked(*expected) == expected


def test_no_text_is_no_rows_and_an_item_that_is_not_named_is_null() -> None:
    assert repacked(None, "", "  ", "[ ]") == [EMPTY] * 4
    assert repacked('[{"name": ""}, {}]') == ['[{"name":"","relation":null},{"name":null,"relation":null}]']


def test_numbers_and_truth_values_are_read_as_they_are_written() -> None:
    assert repacked('[{"name": 1.50, "relation": 12345678901234567890123}]') == [
        '[{"name":"1.50","relation":"12345678901234567890123"}]'
    ]
    assert repacked('[{"name": true, "relation": false}]') == ['[{"name":"true","relation":"false"}]']


def test_owners_and_places() -> None:
    found = unpacked(pa.array(['[{"name":"a"},{"name":"b"}]', None, '[{"name":"c"}]']), NAMES)
    assert found.owners.to_pylist() == [0, 0, 2]
    assert found.places.to_pylist() == [1, 2, 1]
    assert found.columns["name"].to_pylist() == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("张三", "不是 JSON 数组"),
        ("[", "不是 JSON 数组"),
        ("[" * 100_000, "不是 JSON 数组"),
        ('{"name": "a"}', "应为 JSON 数组"),
        ('["a"]', "应为 JSON 数组"),
        ('[{"nome": "a"}]', "没登记的信息项"),
        ('[{"name": {"a": 1}}]', "不是单个值"),
        ('[{"name": ["a"]}]', "不是单个值"),
        ('[{"name": "a", "name": "b"}]', "重名"),
        ('[{"name": "\\ud840"}]', "不成字符"),
    ],
)
def test_what_is_no_array_of_objects_of_known_items(text: str, why: str) -> None:
    found = unpacked(pa.array([EMPTY, text]), NAMES)
    assert list(found.wrong) == [1]
    assert why in found.wrong[1]
    assert "a" not in found.wrong[1].replace("name", "")
    assert len(found.owners) == 0


def test_characters_beyond_the_first_plane_may_be_escaped() -> None:
    assert repacked('[{"name": "\\ud842\\udfb7"}]') == ['[{"name":"𠮷","relation":null}]']


@pytest.mark.parametrize(
    ("type", "value", "text"),
    [
        ("D", date(1, 1, 1), "0001-01-01"),
        ("D", date(9999, 12, 31), "9999-12-31"),
        ("T", datetime(2024, 1, 1, 0, 0, 0, 5, tzinfo=UTC), "2024-01-01 00:00:00.000005Z"),
        ("Y", Decimal("12.50"), "12.50"),
        ("I", -(2**63), "-9223372036854775808"),
        ("L", True, "true"),
        ("B", 0.1, "0.1"),
        ("C", " 𠮷 ", " 𠮷 "),
    ],
)
def test_values_have_one_text_and_come_back_from_it(type: Any, value: Any, text: str) -> None:
    item = Item(name="x", label="某项", type=type)
    texts = texts_of(values_of(pa.array([text, None]), item))
    assert texts.to_pylist() == [text, None]
    assert values_of(texts, item).to_pylist() == [value, None]


def test_decimals_have_no_exponent() -> None:
    item = Item(name="x", label="某项", type="N", length=38, scale=10)
    assert texts_of(values_of(pa.array(["0.0000000001"]), item)).to_pylist() == ["0.0000000001"]


@pytest.mark.parametrize(
    "text",
    ['[]}{"n":1,"r":[]', '[],"n":7', '[]}\n{"n":1,"r":[{"name":"x"}]', '[{"name":"x"', "[]}", "[null]", "[[]]"],
)
def test_no_text_reaches_into_another_parent(text: str) -> None:
    found = unpacked(pa.array(['[{"name":"a"}]', text, '[{"name":"b"}]']), NAMES)
    assert list(found.wrong) == [1]
    assert list(zip(found.owners.to_pylist(), found.columns["name"].to_pylist(), strict=True)) == [(0, "a"), (2, "b")]


def test_more_parents_than_are_read_at_one_time() -> None:
    texts = [None, "[]", '[{"name":"a"},{"name":"b"}]', '[{"name":1}]'] * 1500
    found = unpacked(pa.array(texts), NAMES)
    assert found.places.to_pylist() == [1, 2, 1] * 1500
    assert found.columns["name"].to_pylist() == ["a", "b", "1"] * 1500
    assert found.owners.to_pylist()[-3:] == [5998, 5998, 5999]


def test_quoted() -> None:
    assert quoted(pa.array(["a", None, 'b"\\', "\n"])).to_pylist() == ['"a"', "null", '"b\\"\\\\"', '"\\n"']


SUB = (
    Item(name="relation", label="关系", type="C", length=2, mandatory=True),
    Item(name="name", label="姓名", type="C"),
)
FAMILY = Item(name="family", label="家庭成员", type="M", rows=SUB)
GIVEN = {"family": {"table": "t", "key": {"id": "parent"}, "columns": {"relation": "rel", "name": "nm"}}}


def test_the_items_of_child_rows_travel_with_the_field() -> None:
    schema = arrow_schema([FAMILY, SUB[0]])
    assert row_items(schema.field("family")) == SUB
    assert row_items(schema.field("relation")) == ()


def test_a_binding_of_child_tables_that_fits() -> None:
    assert problems_of_children(GIVEN, [FAMILY], ["id"]) == []
    assert problems_of_children(None, [], ["id"]) == []


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ([], ""),
        (["family"], "children 应为"),
        ({"nobody": GIVEN["family"]}, "nobody 不是有子表行的信息项"),
        ({"family": "t"}, "应写明 table"),
        ({"family": {"table": "t"}}, "应写明 table"),
        ({"family": {**GIVEN["family"], "key": {"other": "x"}}}, "恰好写明业务主键 id"),
        ({"family": {**GIVEN["family"], "columns": {"name": "nm"}}}, "没有写明子信息项 relation 的列"),
        ({"family": {**GIVEN["family"], "columns": {"relation": "r", "name": "n", "z": "z"}}}, "没有子信息项 z"),
    ],
)
def test_what_does_not_fit_a_binding_of_child_tables(given: object, why: str) -> None:
    found = problems_of_children(given, [FAMILY], ["id"])
    assert why in "；".join(found)
    assert bool(found) == bool(why)
