from __future__ import annotations

import base64
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

import schemas
from exchange.checks.findings import Finding
from exchange.checks.normalise import Normalised, deletions, normalise
from exchange.errors import Invalid, Unknown
from schemas import Item
from schemas.unreadable import unreadable
from tests.exchange.checks.rows import SHANGHAI, batch, code_lists, item

ID = "11010519491231002X"
CREDIT = "91350100M000100Y43"


def typed(given: Item, values: Any, **options: Any) -> tuple[list[Any], list[tuple[int, str]]]:
    options = {"key": ("value",)} | options
    found = normalise(batch(value=values), [given], SHANGHAI, **options)
    found.batch.validate(full=True)
    assert found.batch.schema.field(0).equals(schemas.arrow_schema([given]).field(0), check_metadata=True)
    assert found.batch.num_rows == len(values)
    return found.batch.column(0).to_pylist(), [(f.row, f.rule) for f in found.findings]


def test_characters_lose_the_blanks_around_them_and_nothing_else() -> None:
    values = ["  张 三\t", "　张三　", "", " ", None, "𠮷䶮", "ＡＢ（１）", "\u00a0甲", "NULL"]
    found = ["张 三", "张三", "", "", None, "𠮷䶮", "ＡＢ（１）", "甲", "NULL"]
    assert typed(item(), values) == (found, [])


def test_remarks_stay_as_they_are() -> None:
    values = ["　　第一段\n　　第二段 ", " ", None, ""]
    assert typed(item(type="M"), values) == (values, [])


def test_listed_codes() -> None:
    lists = code_lists(sex=["1", "2", "A"])
    values = [" 1 ", "２", "a", "", "9", None, "　"]
    assert typed(item(code_list="sex"), values, code_lists=lists) == (["1", "2", "a", None, "9", None, None], [])
    lists = code_lists(ignore_case=True, sex=["1", "2", "A"])
    assert typed(item(code_list="sex"), values, code_lists=lists)[0][2] == "A"


def test_the_code_lists_of_the_house_are_the_default() -> None:
    assert typed(item(code_list="sex"), ["１"]) == (["1"], [])
    with pytest.raises(Unknown, match="nowhere"):
        typed(item(code_list="nowhere"), ["1"])
    with pytest.raises(Unknown, match="sex"):
        typed(item(code_list="sex"), ["1"], code_lists={})


def test_codes_with_a_check() -> None:
    values = ["11010519491231002x", "１１０１０５１９４９１２３１００２Ｘ", f" {ID}", "", None]
    assert typed(item(check="identity_number"), values) == ([ID, ID, ID, None, None], [])
    assert typed(item(check="credit_code"), [CREDIT.lower(), f"　{CREDIT}"]) == ([CREDIT.lower(), CREDIT], [])


@pytest.mark.parametrize(
    ("given", "text", "value"),
    [
        (item(type="D"), " 2025年1月2日 ", date(2025, 1, 2)),
        (item(type="D"), "２０２５－０１－０２", date(2025, 1, 2)),
        (item(type="T"), "2025/1/2 13:05:00", datetime(2025, 1, 2, 5, 5, tzinfo=UTC)),
        (item(type="N", length=6, scale=2), "1,234.50", Decimal("1234.50")),
        (item(type="N", length=6, scale=2), "1，234", Decimal("1234.00")),
        (item(type="N"), "9" * 38, Decimal("9" * 38)),
        (item(type="Y"), "12.5", Decimal("12.50")),
        (item(type="I"), " 12 ", 12),
        (item(type="L"), "是", True),
        (item(type="B"), "1.5", 1.5),
        (item(type="F"), "1e-5", 1e-5),
        (item(type="G"), "5ZCN\n56m2", "名称"[:0].encode() + base64.b64decode("5ZCN56m2")),
    ],
)
def test_text_becomes_what_the_item_is(given: Item, text: str, value: Any) -> None:
    blanks = [None, ""] if given.type != "G" else [None]
    assert typed(given, [text, *blanks]) == ([value] + [None] * len(blanks), [])
    for encoded in (pa.array([text], pa.large_string()), pa.array([text]).dictionary_encode()):
        assert typed(given, encoded) == ([value], [])


@pytest.mark.parametrize("type", ["D", "T", "N", "Y", "I", "B", "F"])
def test_placeholders_and_nonsense(type: str) -> None:
    values = ["暂无", "无", "-", "NULL", "胡言乱语"]
    assert typed(item(type=type), values) == ([None] * 5, [(4, "type")])
    assert typed(item(type=type, mandatory=True), values) == ([None] * 5, [(row, "type") for row in range(5)])


def test_bytes() -> None:
    assert typed(item(type="G"), [b"\0\xff", None]) == ([b"\0\xff", None], [])
    assert typed(item(type="G"), ["不是", "QUJD", None, "QUJ"]) == (
        [None, b"ABC", None, None],
        [(0, "type"), (3, "type")],
    )
    assert typed(item(type="G"), [1, None]) == ([None, None], [(0, "type")])


at = datetime(2025, 1, 2, 5, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "source", "values", "rules"),
    [
        (item(), pa.array([1, None]), ["1", None], []),
        (item(), pa.array([True, False]), ["1", "0"], []),
        (item(), pa.array([Decimal("1.50")]), ["1.50"], []),
        (item(), pa.array([date(2025, 1, 2)]), ["2025-01-02"], []),
        (item(), pa.array([at]), ["2025-01-02 13:05:00"], []),
        (item(), pa.array(["张三".encode(), b"\xd5\xc5"]), ["张三", None], [(1, "text")]),
        (item(), pa.array([1.5, None]), [None, None], [(0, "type")]),
        (item(type="I"), pa.array([Decimal("2.00")]), [2], []),
        (item(type="I"), pa.array([True]), [1], []),
        (item(type="I"), pa.array([2.0, 2.5]), [2, None], [(1, "scale")]),
        (item(type="I"), pa.array([at]), [None], [(0, "type")]),
        (item(type="N", length=4, scale=1), pa.array([Decimal("1.50"), Decimal("1.55")]),
         [Decimal("1.5"), None], [(1, "scale")]),
        (item(type="N", length=4, scale=1), pa.array([999, 1000]), [Decimal(999), None], [(1, "length")]),
        (item(type="N", length=4, scale=1), pa.array([0.1, 1e20]), [Decimal("0.1"), None], [(1, "type")]),
        (item(type="B"), pa.array([1, 2]), [1.0, 2.0], []),
        (item(type="B"), pa.array([float("nan")]), [None], [(0, "type")]),
        (item(type="L"), pa.array([True, None]), [True, None], []),
        (item(type="L"), pa.array([1, 0, 2]), [True, False, None], [(2, "type")]),
        (item(type="L"), pa.array([at]), [None], [(0, "type")]),
        (item(type="D"), pa.array([20250102]), [date(2025, 1, 2)], []),
        (item(type="D"), pa.array([2025.0]), [None], [(0, "type")]),
        (item(type="D"), pa.array([True]), [None], [(0, "type")]),
        (item(type="D"), pa.array([date(2025, 1, 2)]), [date(2025, 1, 2)], []),
        (item(type="D"), pa.array([at]), [None], [(0, "type")]),
        (item(type="T"), pa.array([at]), [at], []),
        (item(type="T"), pa.array([date(2025, 1, 2)]), [datetime(2025, 1, 1, 16, tzinfo=UTC)], []),
        (item(type="T"), pa.array([1735794300]), [None], [(0, "type")]),
        (item(type="T"), pa.nulls(2), [None, None], []),
        (item(type="N"), pa.array([[1]]), [None], [(0, "type")]),
        (item(type="G"), pa.nulls(1), [None], []),
    ],
)  # fmt: skip
def test_native_values_are_converted_exactly_or_not_at_all(
    given: Item, source: pa.Array, values: list[Any], rules: list[tuple[int, str]]
) -> None:
    assert typed(given, source) == (values, rules)


def test_text_that_cannot_be_represented() -> None:
    assert typed(item(), ["a\0b", "c"]) == ([None, "c"], [(0, "text")])
    assert typed(item(type="D"), ["2025-01-02\0", "2025-01-02"]) == ([None, date(2025, 1, 2)], [(0, "text")])


def normalised(operations: list[int], **options: Any) -> Normalised:
    source = batch(operations, k=["x\0"] * 2, v=["甲"] * 2, a=["甲"] * 2)
    items = [item("k"), item("v", "I"), item("a", "I")]
    return normalise(source, items, SHANGHAI, key=("k",), **options)


def test_of_a_deletion_only_key_and_version_are_looked_at() -> None:
    found = [(f.row, f.item) for f in normalised([0, 1], version="v").findings]
    assert found == [(0, "k"), (0, "v"), (0, "a"), (1, "k"), (1, "v")]
    found = [(f.row, f.item) for f in normalised([1, 1]).findings]
    assert found == [(0, "k"), (1, "k")]


def test_reserved_columns_are_as_they_came_and_others_left_out() -> None:
    source = batch([1, 0], b=["1", "2"], other=["x", "y"], a=["3", "4"])
    found = normalise(source, [item("a", "I"), item("b", "I")], SHANGHAI, key=("a",)).batch
    assert found.schema.names == ["a", "b", "_operation", "_reference"]
    assert found.to_pylist() == [
        {"a": 3, "b": 1, "_operation": 1, "_reference": "r0"},
        {"a": 4, "b": 2, "_operation": 0, "_reference": "r1"},
    ]
    assert found.schema.field("_operation") == source.schema.field("_operation")
    assert deletions(found).tolist() == [True, False]


def test_everything_missing_is_said_at_once() -> None:
    source = pa.record_batch({"a": ["1"], "_operation": pa.array([0], pa.int8())})
    with pytest.raises(Invalid) as raised:
        normalise(source, [item("a"), item("b"), item("c")], SHANGHAI, key=("a",))
    assert [problem.where for problem in raised.value.problems] == ["信息项 b", "信息项 c", "_reference"]


def test_the_zone_is_checked() -> None:
    with pytest.raises(Invalid, match="时区"):
        normalise(batch(a=["1"]), [item("a")], "Asia/Nowhere", key=("a",))


def test_a_finding_says_what_was_expected() -> None:
    found = normalise(batch(a=["胡言乱语"]), [item("a", "I")], SHANGHAI, key=("a",)).findings
    assert found == [Finding(0, "a", "type", "标签a：应为数字")]


def test_empty_and_sliced_batches() -> None:
    source = batch(a=["x", "1", "2"])
    given = [item("a", "I")]
    assert normalise(source.slice(0, 0), given, SHANGHAI, key=("a",)).batch.num_rows == 0
    found = normalise(source.slice(1), given, SHANGHAI, key=("a",))
    assert (found.batch.column(0).to_pylist(), found.findings) == ([1, 2], [])


def test_documents_are_references_or_say_why_not() -> None:
    given = item(type="G", document=True)
    good = f"sha256:{'0' * 64}:12:甲.pdf"
    values = [good, None, "", "甲.pdf", unreadable("document_missing", "甲.pdf"), f"sha256:{'0' * 64}:12:../甲.pdf"]
    found = normalise(batch(value=values), [given], "Asia/Shanghai", key=())
    assert found.batch.column("value").to_pylist() == [good, None, None, None, None, None]
    assert [(each.row, each.rule) for each in found.findings] == [(3, "document"), (4, "document"), (5, "document")]
    assert "不在交换目录中" in found.findings[1].reason
    native = normalise(batch(value=pa.array([1, None])), [given], "Asia/Shanghai", key=())
    assert [each.rule for each in native.findings] == ["document"]
