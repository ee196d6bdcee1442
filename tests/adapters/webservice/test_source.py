from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from adapters.base import DELETE, OPERATION, PUT, REFERENCE, Binding, Outcome, Selection, Source
from adapters.errors import Malformed, Unsupported
from adapters.registry import open_endpoint
from tests.adapters.webservice.conftest import Place, reply

OPTIONS: dict[str, Any] = {"row": "record", "cursor": "page", "next": "following", "limit": "size", "rows": 2}


def _source(place: Place, capture: Any = "snapshot", fixed: dict[str, str] | None = None, **options: Any) -> Source:
    binding = Binding(
        object="getRecords",
        columns={"number": "no", "holder": "owner"},
        key=("number",),
        capture=capture,
        fixed=fixed or {},
        options=OPTIONS | options,
    )
    return open_endpoint("webservice", {"url": place.url}).source(binding)


def _rows(source: Source, after: Any = None, size: int = 16_384) -> list[dict[str, Any]]:
    batches = list(source.batches(Selection(after=after, batch_rows=size)))
    assert all(batch.schema == source.schema() and 0 < batch.num_rows <= size for batch in batches)
    return [row for batch in batches for row in batch.to_pylist()]


def test_pages_one_after_another(place: Place) -> None:
    place.archive.answers = [
        reply("<t:no>1</t:no><t:owner>𠮷䶮</t:owner>", "<t:no>2</t:no><t:owner></t:owner>", following="p2"),
        reply("<t:no>x3</t:no>", "<t:owner>=1+1</t:owner>", following="p3"),
        reply(),
    ]
    with _source(place) as source:
        assert source.schema() == pa.schema(
            [
                pa.field("number", pa.string()),
                pa.field("holder", pa.string()),
                pa.field(OPERATION, pa.int8(), nullable=False),
                pa.field(REFERENCE, pa.string(), nullable=False),
            ]
        )
        assert _rows(source) == [
            {"number": "1", "holder": "𠮷䶮", OPERATION: PUT, REFERENCE: "1.1"},
            {"number": "2", "holder": "", OPERATION: PUT, REFERENCE: "1.2"},
            {"number": "x3", "holder": None, OPERATION: PUT, REFERENCE: "2.1"},
            {"number": None, "holder": "=1+1", OPERATION: PUT, REFERENCE: "2.2"},
        ]
        assert source.position() is None
        assert source.settle([Outcome("1.1")]) == 0
    assert place.archive.asked == [{"size": "2"}, {"page": "p2", "size": "2"}, {"page": "p3", "size": "2"}]


def test_nothing_there(place: Place) -> None:
    place.archive.answers = [reply()]
    assert _rows(_source(place)) == []


def test_batches_are_no_larger_than_wanted(place: Place) -> None:
    place.archive.answers = [reply(*(f"<t:no>{n}</t:no>" for n in range(7)))]
    assert [row["number"] for row in _rows(_source(place), size=3)] == [str(n) for n in range(7)]


def test_nil_is_null(place: Place) -> None:
    nil = '<t:owner xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:nil="true"/>'
    place.archive.answers = [reply(f"<t:no>1</t:no>{nil}")]
    assert _rows(_source(place))[0]["holder"] is None


def test_only_rows_that_carry_the_fixed_values(place: Place) -> None:
    place.archive.answers = [
        reply(
            "<t:no>1</t:no><t:area>甲</t:area>",
            "<t:no>2</t:no><t:area>乙</t:area>",
            "<t:no>3</t:no>",
            "<t:no>4</t:no><t:area>甲</t:area>",
        )
    ]
    rows = _rows(_source(place, fixed={"area": "甲"}))
    assert [(row["number"], row[REFERENCE]) for row in rows] == [("1", "1.1"), ("4", "1.4")]


def test_deletions_by_an_element(place: Place) -> None:
    place.archive.answers = [reply("<t:no>1</t:no><t:op>U</t:op>", "<t:no>2</t:no><t:op>D</t:op>")]
    assert [row[OPERATION] for row in _rows(_source(place, operation="op"))] == [PUT, DELETE]


@pytest.mark.parametrize("element", ["<t:op>X</t:op>", "<t:op></t:op>", ""])
def test_an_operation_nobody_registered(place: Place, element: str) -> None:
    place.archive.answers = [reply("<t:no>1</t:no><t:op>U</t:op>", f"<t:no>11010119900307</t:no>{element}")]
    with pytest.raises(Malformed, match="第 1 页第 2 行") as caught:
        _rows(_source(place, operation="op"))
    assert "11010119900307" not in caught.value.message


def test_changes_since_the_mark_of_the_first_page(place: Place) -> None:
    place.archive.answers = [
        reply("<t:no>1</t:no>", following="p2", mark="T1"),
        reply("<t:no>2</t:no>", mark="T2"),
        reply(mark=""),
        reply("<t:no>2</t:no>", mark="T3"),
    ]
    options = {"since": "changedSince", "mark": "asOf"}
    source = _source(place, "batches", **options)
    _rows(source)
    assert source.position() == {"since": "T1"}
    later = _source(place, "batches", **options)
    assert _rows(later, after={"since": "T1"}) == []
    assert later.position() == {"since": "T1"}
    _rows(later, after={"since": "T1"})
    assert later.position() == {"since": "T3"}
    assert [asked.get("changedSince") for asked in place.archive.asked] == [None, None, "T1", "T1"]


def test_changes_since_the_last_cursor(place: Place) -> None:
    place.archive.answers = [
        reply("<t:no>1</t:no>", following="c1"),
        reply("<t:no>2</t:no>"),
        reply("<t:no>2</t:no>", "<t:no>3</t:no>"),
    ]
    source = _source(place, "batches")
    _rows(source)
    assert source.position() == {"cursor": "c1"}
    later = _source(place, "batches")
    assert [row["number"] for row in _rows(later, after={"cursor": "c1"})] == ["2", "3"]
    assert later.position() == {"cursor": "c1"}
    assert [asked.get("page") for asked in place.archive.asked] == [None, "c1", "c1"]


def test_a_cursor_given_twice_ends_the_reading(place: Place) -> None:
    place.archive.answers = [reply("<t:no>1</t:no>", following="p2"), reply("<t:no>2</t:no>", following="p2")]
    with pytest.raises(Malformed, match="游标"):
        _rows(_source(place))


@pytest.mark.parametrize("record", ["<t:no>1</t:no><t:no>2</t:no>", "<t:no><t:part>1</t:part></t:no>"])
def test_a_row_that_is_not_flat(place: Place, record: str) -> None:
    place.archive.answers = [reply(record)]
    with pytest.raises(Malformed, match="元素 no"):
        _rows(_source(place))


def test_further_arguments_go_with_every_page(place: Place) -> None:
    place.archive.answers = [reply(following="p2"), reply()]
    _rows(_source(place, arguments={"area": "330281"}))
    assert [asked["area"] for asked in place.archive.asked] == ["330281", "330281"]


def _keys(*numbers: int) -> pa.RecordBatch:
    return pa.record_batch({"number": pa.array(numbers, pa.int64())})


def test_single_rows_are_asked_for_over_one_line(place: Place) -> None:
    asked = {"key": {"number": "page"}, "arguments": {"area": "321202"}}
    with _source(place, lookup=asked, codes={"number": {"一": "1"}}) as source:
        documents = len(place.archive.headers)
        for number in range(1, 4):
            place.archive.answers = [reply(f"<t:no>{number}</t:no><t:owner>张 {number}</t:owner>")]
            [row] = source.lookup(_keys(number)).to_pylist()
            assert row == {"number": str(number), "holder": f"张 {number}", OPERATION: PUT, REFERENCE: "1.1"}
        place.archive.answers = [reply()]
        nothing = source.lookup(_keys(9))
        assert (nothing.num_rows, nothing.schema) == (0, source.schema())
        place.archive.answers = [reply("<t:no>5</t:no>"), reply("<t:no>6</t:no>")]
        assert source.lookup(_keys(5, 6)).column("number").to_pylist() == ["5", "6"]
    pages = [each["page"] for each in place.archive.asked]
    assert pages == ["一", "2", "3", "9", "5", "6"]
    assert all(each == {"page": page, "area": "321202"} for each, page in zip(place.archive.asked, pages, strict=True))
    assert len(place.archive.headers) - documents == len(pages)
    assert {each.get("HTTP_CONNECTION") for each in place.archive.headers} <= {None, "keep-alive"}


def test_a_service_that_cannot_be_asked_for_single_rows(place: Place) -> None:
    with _source(place) as source, pytest.raises(Unsupported, match="没有参数 no") as caught:
        source.lookup(_keys(1))
    assert "lookup" in caught.value.remedy
    endpoint = open_endpoint("webservice", {"url": place.url})
    binding = Binding(
        object="getRecords", columns={"number": "no"}, key=("number",), options=OPTIONS | {"lookup": {"operation": "x"}}
    )
    assert any("没有操作 x" in problem for problem in endpoint.check(binding, pa.schema([]), sink=False))
    wrong = {**binding.options, "lookup": {"key": {"number": "nr"}}}
    told = endpoint.check(replace(binding, options=wrong), pa.schema([]), sink=False)
    assert told == ["操作 getRecords 没有参数 nr"]


def test_a_service_that_does_not_look_at_the_key(place: Place) -> None:
    place.archive.answers = [reply(*(f"<t:no>{number}</t:no>" for number in range(101)))]
    with _source(place, lookup={"key": {"number": "page"}}) as source, pytest.raises(Malformed, match="100 行以上"):
        source.lookup(_keys(1))
