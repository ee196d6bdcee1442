"""Two ends compared, a range at a time."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from adapters import DELETE, OPERATION, PUT, REFERENCE
from exchange.engine.comparison import Comparison
from exchange.engine.ordering import keyed
from exchange.engine.readback import ODD

SCHEMA = pa.schema([("id", pa.string()), ("name", pa.string()), ("amount", pa.float64()), ("ver", pa.int64())])
NAMES = SCHEMA.names


def batch(rows: list[tuple[Any, ...]]) -> pa.RecordBatch:
    columns = list(zip(*rows, strict=True))
    return pa.record_batch([pa.array(each, field.type) for each, field in zip(columns, SCHEMA, strict=True)], SCHEMA)


def expected(*rows: tuple[Any, ...], deleted: tuple[str, ...] = ()) -> pa.RecordBatch:
    made = batch(list(rows))
    operations = [DELETE if row[0] in deleted else PUT for row in rows]
    made = made.append_column(OPERATION, pa.array(operations, pa.int8()))
    return keyed(made.append_column(REFERENCE, pa.array([f"at {row[0]}" for row in rows])), ["id"], 0)


def held(*rows: tuple[Any, ...], odd: dict[str, str] | None = None) -> pa.RecordBatch:
    names = [f",{odd[row[0]]}," if odd and row[0] in odd else None for row in rows]
    return keyed(batch(list(rows)).append_column(ODD, pa.array(names, pa.string())), ["id"], 0)


def compared(*pairs: tuple[Any, Any], most_rows: int = 100, most_ranges: int = 100, version: str | None = "ver") -> Any:
    comparison = Comparison(NAMES, ["id"], version, algorithm="sha256", most_ranges=most_ranges, most_rows=most_rows)
    for one, other in pairs:
        comparison.add(one, other)
    return comparison


def told(comparison: Any) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(each.kind, each.key.decode(), each.items) for each in comparison.found_rows]


A, B, C = ("a", "甲", 1.0, 1), ("b", "乙", None, 1), ("c", None, float("nan"), 1)


def test_the_same_rows_have_the_same_digest() -> None:
    found = compared((expected(A, B), held(A, B)), (expected(C), held(C)))
    assert told(found) == found.found_ranges == []
    assert (found.ranges, found.differing) == (2, 0)
    assert found.expected.root() == found.held.root()
    assert (found.expected.rows, found.held.rows) == (3, 3)


def test_zero_is_zero_and_no_number_is_no_number() -> None:
    assert told(compared((expected(("a", "x", 0.0, 1), C), held(("a", "x", -0.0, 1), C)))) == []


def test_each_way_to_differ() -> None:
    others = held(
        A,
        A,
        ("b", "丙", 2.0, 1),
        ("c", None, float("nan"), 0),
        ("d", "丁", 1.0, 5),
        ("e", "戊", 1.0, None),
        ("x", "", 1.0, 1),
    )
    found = compared(
        (expected(A, B, C, ("d", "丁", 1.0, 2), ("e", "戊", 1.0, 1), ("f", "己", 1.0, 1)), others),
    )
    assert told(found) == [
        ("missing", "f", ()),
        ("surplus", "x", ()),
        ("repeated", "a", ()),
        ("older", "c", ("ver",)),
        ("older", "e", ("ver",)),
        ("newer", "d", ("ver",)),
        ("content", "b", ("name", "amount")),
    ]
    assert found.counts == {"missing": 1, "surplus": 1, "repeated": 1, "older": 2, "newer": 1, "content": 1}
    (one,) = found.found_ranges
    assert (one.number, one.expected, one.held) == (1, 6, 7)
    assert [end.column("id").to_pylist() for end in one.ends] == [["a"], ["x"]]
    assert {each.kind: each.reference for each in found.found_rows}["content"] == "at b"
    assert {each.kind: each.reference for each in found.found_rows}["surplus"] == ""


def test_without_a_version_all_is_content() -> None:
    found = compared((expected(A), held(("a", "甲", 1.0, 9))), version=None)
    assert told(found) == [("content", "a", ("ver",))]


def test_rows_on_one_side_only() -> None:
    found = compared((expected(A, B), None), (None, held(C, C)))
    assert told(found) == [("missing", "a", ()), ("missing", "b", ()), ("surplus", "c", ()), ("repeated", "c", ())]
    assert [each.digests[1] == "" for each in found.found_ranges] == [True, False]


def test_what_should_not_be_there_is_known_for_it() -> None:
    found = compared(
        (expected(A, B, deleted=("b",)), held(A)),
        (expected(C, deleted=("c",)), None),
        (expected(("d", "", None, 1), deleted=("d",)), held(("d", "丁", 1.0, 1), ("e", "", None, 1))),
    )
    assert [(each.kind, each.key, each.withdrawn) for each in found.found_rows] == [
        ("surplus", b"d", True),
        ("surplus", b"e", False),
    ]
    assert (found.ranges, found.differing, found.expected.rows) == (2, 1, 1)


def test_a_value_that_is_none_of_its_type_is_not_null() -> None:
    found = compared((expected(B), held(B, odd={"b": "amount"})))
    assert told(found) == [("content", "b", ("amount",))]
    assert found.expected.root() != found.held.root()


def test_all_is_counted_and_some_is_told() -> None:
    rows = [(f"{number:03d}", "x", 1.0, 1) for number in range(50)]
    found = compared(*((expected(row), held((row[0], "y", 1.0, 1))) for row in rows), most_rows=7, most_ranges=3)
    assert (len(found.found_rows), len(found.found_ranges)) == (7, 3)
    assert (found.counts["content"], found.differing) == (50, 50)
