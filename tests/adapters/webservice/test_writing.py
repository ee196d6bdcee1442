from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from adapters.base import OPERATION
from adapters.webservice import writing
from adapters.webservice.faults import Fault
from adapters.webservice.writing import element_name, escape, generic, typed
from schemas import Item, arrow_schema

ITEMS = (
    Item(name="text", label="文", type="C"),
    Item(name="whole", label="整", type="I"),
    Item(name="small", label="小", type="N", length=38, scale=20),
    Item(name="day", label="日", type="D"),
    Item(name="moment", label="时", type="T"),
    Item(name="yes", label="是", type="L"),
    Item(name="bytes", label="字节", type="G"),
    Item(name="double", label="双", type="B"),
)
SHAPES = {"typed": typed(ITEMS), "generic": generic(ITEMS)}

sendable = st.text(
    st.characters(exclude_categories=["Cs"]).filter(lambda letter: letter >= " " and letter not in "\ufffe\uffff")
    | st.sampled_from("\t\n\r<>&'\"]")
)
row = st.fixed_dictionaries(
    {
        "text": st.none() | sendable,
        "whole": st.none() | st.integers(-(2**63), 2**63 - 1),
        "small": st.none() | st.decimals(-(10**17), 10**17, places=20, allow_nan=False, allow_infinity=False),
        "day": st.none() | st.dates(date(1, 1, 1)),
        "moment": st.none() | st.datetimes(timezones=st.just(UTC)),
        "yes": st.none() | st.booleans(),
        "bytes": st.none() | st.binary(max_size=20),
        "double": st.none() | st.floats(allow_nan=False),
    }
)


def batch(rows: list[dict[str, Any]], operations: list[int] | None = None) -> pa.RecordBatch:
    made = pa.RecordBatch.from_pylist(rows, arrow_schema(ITEMS))
    if operations is None:
        return made
    return made.append_column(OPERATION, pa.array(operations, pa.int8()))


def read_back(document: bytes) -> list[dict[str, str | None]]:
    found = []
    for each in etree.fromstring(b"<rows>" + document + b"</rows>"):
        found.append(
            {child.get("name") or child.tag: None if child.get("nil") == "true" else child.text or "" for child in each}
        )
    return found


def value(item: str, text: str) -> Any:
    """What a reader makes of a text form."""
    import base64

    return {
        "text": str,
        "whole": int,
        "small": Decimal,
        "day": date.fromisoformat,
        "moment": datetime.fromisoformat,
        "yes": {"true": True, "false": False}.get,
        "bytes": base64.b64decode,
        "double": lambda shown: float(shown.replace("INF", "inf")),
    }[item](text)


@settings(max_examples=150, deadline=None)
@given(st.lists(row, min_size=1, max_size=6))
def test_every_value_comes_back(rows: list[dict[str, Any]]) -> None:
    for shape, dress in SHAPES.items():
        whole = batch(rows)
        for cut in (whole, pa.concat_batches([whole, whole]).slice(len(rows))):
            found = read_back(b"".join(dress(cut)))
            assert len(found) == len(rows)
            for written, shown in zip(rows, found, strict=True):
                for item, was in written.items():
                    text = shown.get(item)
                    assert (item in shown) == (shape == "generic" or was is not None)
                    assert (None if text is None else value(item, text)) == was


def test_schema_processors_agree_with_the_text_forms() -> None:
    schema = etree.XMLSchema(
        etree.fromstring(
            '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="rows"><xs:complexType>'
            '<xs:sequence><xs:element name="row" maxOccurs="unbounded"><xs:complexType><xs:all>'
            '<xs:element name="small" type="xs:decimal" minOccurs="0"/>'
            '<xs:element name="moment" type="xs:dateTime" minOccurs="0"/>'
            '<xs:element name="double" type="xs:double" minOccurs="0"/>'
            "</xs:all></xs:complexType></xs:element></xs:sequence></xs:complexType></xs:element></xs:schema>"
        )
    )
    rows = [
        {"small": Decimal("1E-20"), "moment": datetime(2026, 1, 1, microsecond=1, tzinfo=UTC), "double": -math.inf},
        {"small": Decimal("-12345678901234567.00000000000000000001"), "double": 1e300},
        {"small": Decimal(0), "double": math.nan},
    ]
    document = b"".join(typed(ITEMS)(batch(rows)))
    schema.assertValid(etree.fromstring(b"<rows>" + document + b"</rows>"))
    assert b"<small>0.00000000000000000001</small>" in document
    assert b"<moment>2026-01-01T00:00:00.000001Z</moment>" in document
    assert b"<double>-INF</double>" in document
    assert b"<double>NaN</double>" in document


def test_a_deletion_says_so() -> None:
    document = b"".join(typed(ITEMS)(batch([{"whole": 1}, {"whole": 2}], [0, 1])))
    assert document == b'<row><whole>1</whole></row><row _operation="delete"><whole>2</whole></row>'


def test_a_carriage_return_is_a_reference() -> None:
    assert b"<text>a&#13;&#13;\nb</text>" in b"".join(typed(ITEMS)(batch([{"text": "a\r\r\nb"}])))


@pytest.mark.parametrize("bad", ["\x00", "\x1f", "\ufffe", "a\uffffb"])
@pytest.mark.parametrize("dress", SHAPES.values(), ids=SHAPES.keys())
def test_what_cannot_be_sent_is_named(dress: writing.Dress, bad: str) -> None:
    with pytest.raises(Fault) as caught:
        list(dress(batch([{"text": "good"}, {"text": bad}])))
    assert caught.value.code == "Server.Unsendable"
    assert "text" in caught.value.message
    assert writing.UNSENDABLE in caught.value.message
    with pytest.raises(Fault):
        escape(bad)


def test_what_lies_under_a_null_is_no_value() -> None:
    column = pa.StringArray.from_buffers(
        2, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pa.py_buffer(b"\x01a"), pa.py_buffer(b"\x02"), 1
    )
    whole = pa.RecordBatch.from_arrays([column], names=["text"])
    assert read_back(b"".join(generic(ITEMS[:1])(whole))) == [{"text": None}, {"text": "a"}]


def test_large_rows_are_made_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "LARGEST", 1000)
    pieces = list(typed(ITEMS)(batch([{"text": "x" * 600, "whole": number} for number in range(7)])))
    assert len(pieces) == 7
    assert [shown["whole"] for shown in read_back(b"".join(pieces))] == [str(number) for number in range(7)]


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("name", "name"), ("_a", "_a"), ("证照名称", "证照名称"), ("a-b.c", "a-b.c"), ("1a", "_x0031_a"),
        ("a b", "a_x0020_b"), ("䶮", "_x4DAE_"), ("a:b", "a_x003A_b"),
    ],
)  # fmt: skip
def test_names_of_elements(name: str, spelled: str) -> None:
    assert element_name(name) == spelled
    etree.XMLSchema(
        etree.fromstring(
            f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="{spelled}"/></xs:schema>'
        )
    )


@settings(max_examples=60)
@given(st.lists(st.tuples(row, st.sampled_from([0, 1])), min_size=1, max_size=4))
def test_a_few_rows_are_written_as_many_are(given_: list[tuple[dict[str, Any], int]]) -> None:
    few = batch([values for values, _ in given_], [operation for _, operation in given_])
    many = pa.Table.from_batches([few] * 5).combine_chunks().to_batches()[0]
    for dress in SHAPES.values():
        assert b"".join(dress(few)) * 5 == b"".join(dress(many))


def test_one_row_that_cannot_be_sent_is_refused_like_many() -> None:
    empty = dict.fromkeys((item.name for item in ITEMS), None)
    for text in ("a\x01", "\uffff"):
        one = batch([{**empty, "text": text}])
        many = pa.Table.from_batches([one] * 5).combine_chunks().to_batches()[0]
        for dress in SHAPES.values():
            for which in (one, many):
                with pytest.raises(Fault, match="text"):
                    list(dress(which))
