from __future__ import annotations

import pyarrow as pa
import pytest
from pydantic import ValidationError

from schemas import ITEM_TYPES, Item, arrow_schema, arrow_type
from schemas.items import documents


def item(**fields: object) -> Item:
    return Item.model_validate({"name": "x", "label": "某项", "type": "C", **fields})


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"type": "C", "length": 18}, pa.string()),
        ({"type": "M"}, pa.string()),
        ({"type": "N"}, pa.decimal128(38, 0)),
        ({"type": "N", "length": 20, "scale": 6}, pa.decimal128(20, 6)),
        ({"type": "Y"}, pa.decimal128(20, 2)),
        ({"type": "Y", "length": 10, "scale": 0}, pa.decimal128(10, 0)),
        ({"type": "D"}, pa.date32()),
        ({"type": "T"}, pa.timestamp("us", tz="UTC")),
        ({"type": "L"}, pa.bool_()),
        ({"type": "G"}, pa.binary()),
        ({"type": "I"}, pa.int64()),
        ({"type": "B"}, pa.float64()),
        ({"type": "F"}, pa.float64()),
    ],
)
def test_arrow_type(fields: dict[str, object], expected: pa.DataType) -> None:
    assert arrow_type(item(**fields)) == expected


def test_every_type_letter_has_an_arrow_type() -> None:
    assert all(arrow_type(item(type=letter)) for letter in ITEM_TYPES)


def test_arrow_schema_says_what_a_sink_needs() -> None:
    schema = arrow_schema([item(name="a", mandatory=True, length=5), item(name="b", type="T")])
    assert schema.names == ["a", "b"]
    assert not schema.field("a").nullable
    assert schema.field("b").nullable
    assert schema.field("a").metadata == {b"type": b"C", b"label": "某项".encode(), b"length": b"5"}
    assert b"length" not in schema.field("b").metadata


@pytest.mark.parametrize(
    "fields",
    [
        {"scale": 2},
        {"length": 0},
        {"type": "N", "length": 39},
        {"type": "I", "check": "identity_number"},
        {"type": "Z"},
        {"unknown": 1},
        {"grade": "secret"},
        {"check": "luhn"},
        {"share_type": 4},
    ],
)
def test_incoherent_items_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        item(**fields)


SUB = {"name": "relation", "label": "关系", "type": "C", "length": 2}


def test_an_item_with_child_rows() -> None:
    family = item(type="M", rows=[SUB], grade="personal")
    assert family.rows[0].name == "relation"
    assert Item.model_validate(family.model_dump()) == family
    assert "rows" not in item().model_dump()
    assert arrow_type(family) == pa.string()


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"type": "C"}, "备注型 M"),
        ({"length": 5}, "不写长度"),
        ({"rows": [SUB, SUB]}, "重复"),
        ({"rows": [{**SUB, "type": "G", "length": None}]}, "通用型"),
        ({"rows": [{**SUB, "share_type": 1}]}, "不写引用类别和共享类型"),
        ({"rows": [{**SUB, "grade": "sensitive"}]}, "低于子信息项"),
        ({"rows": [{**SUB, "type": "M", "length": None, "rows": [SUB]}]}, "不能再有子表行"),
    ],
)
def test_incoherent_child_rows_are_refused(fields: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        item(**{"type": "M", "rows": [SUB], **fields})


def test_a_document_travels_as_a_text() -> None:
    schema = arrow_schema([item(name="a", type="G", document=True), item(name="b", type="G")])
    assert schema.field("a").type == pa.string()
    assert schema.field("b").type == pa.binary()
    assert documents(schema) == ["a"]
    assert "document" not in item(type="G").model_dump()
    for wrong in ({"type": "C"}, {"type": "G", "length": 10}, {"type": "G", "code_list": "sex"}):
        with pytest.raises(ValidationError, match="附件用通用型 G"):
            item(document=True, **wrong)
