from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.errors import AdapterError
from adapters.webservice import reader
from adapters.webservice.plain import rows_of
from adapters.webservice.reader import RowReader, Shape

COLUMNS = ("id", "姓名", "@mark")
SHAPE = Shape(row="rows/r", columns=COLUMNS, watched=frozenset({"next"}))

TEXTS = st.sampled_from(
    ["", "1", "甲𠮷", "a&amp;lt;b", "&lt;&gt;&quot;&apos;", " x ", "]]&gt;", "\n", "&#65;", "a\r\nb", "x>y"]
)
NAMES = st.sampled_from(["id", "id", "姓名", "t:id", "t:姓名", "other", "t:other", "r"])
LEAVES = st.builds(lambda name, text: f"<{name}>{text}</{name}>", NAMES, TEXTS)
ODD = st.sampled_from(
    [
        '<id x:nil="true"/>', "<id/>", "<!-- </r> -->", "<![CDATA[</r>]]>", "<other><id>9</id></other>", "text",
        "&bad;",
        "<id>1<b>2</b></id>", '<id a="1">2</id>', "<id >1</id >", "</r><r>", "<y:id>1</y:id>", "<?p </r>?>",
    ]
)  # fmt: skip
ROWS = st.builds(
    lambda opening, inside, closing: f"<{opening}>{''.join(inside)}</{closing}>",
    st.sampled_from(["r", "r", "r", 'r mark="m"', "r "]),
    st.lists(st.one_of(LEAVES, LEAVES, LEAVES, LEAVES, LEAVES, LEAVES, ODD), max_size=4),
    st.sampled_from(["r", "r", "r", "r "]),
)
DOCUMENTS = st.builds(
    lambda rows, gap, tail: (
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" xmlns:t="urn:t"'
        ' xmlns:x="http://www.w3.org/2001/XMLSchema-instance"><s:Body><a><rows>'
        f"{gap.join(rows)}</rows>{tail}</a></s:Body></s:Envelope>"
    ).encode(),
    st.lists(ROWS, max_size=8),
    st.sampled_from(["", "", "\n  "]),
    st.sampled_from(["<next>7</next>", "<r><id>outside</id></r>", ""]),
)


def read(document: bytes, size: int, *, slowly: bool) -> object:
    found = RowReader(SHAPE, "应答")
    if slowly:
        found._closing = None
    try:
        for start in range(0, len(document), size):
            found.feed(document[start : start + size])
        found.close()
    except AdapterError as error:
        return type(error), error.message.partition("（")[0]
    rows = [row for batch in found.found.batches for row in batch.to_pylist()]
    return rows, found.found.rows, found.found.foreign, found.found.watched


@settings(max_examples=400, deadline=None)
@given(DOCUMENTS, st.integers(20, 400))
def test_what_is_read_at_once_is_what_is_read_one_by_one(document: bytes, size: int) -> None:
    whole = reader.PIECE
    reader.PIECE = 64
    try:
        assert read(document, size, slowly=False) == read(document, size, slowly=True)
    finally:
        reader.PIECE = whole


def test_plain_rows() -> None:
    piece = "<t:r><t:id>1</t:id><t:姓名>甲&amp;乙</t:姓名></t:r>\n<t:r><id>2</id><t:more>x</t:more></t:r>".encode()
    found = rows_of(piece, b"t:r", COLUMNS, foreign=10)
    assert found is not None
    assert found.batch.to_pylist() == [{"0": "1", "1": "甲&乙", "2": None}, {"0": "2", "1": None, "2": None}]
    assert found.batch.schema.types == [pa.string()] * 3
    assert found.foreign == Counter({"more": 1})
    assert rows_of(piece, b"t:r", COLUMNS, foreign=0) is None


@pytest.mark.parametrize(
    "piece",
    [
        "", "text", "<r></r>", "<r><id>1</id>", "<r><id>1</id></r></r>", "<x><id>1</id></x>",
        "<r><id>1</id></r><x>1</x>",
        "<r><id>1</id><id>2</id></r>", "<r><id>a>b</id></r>", "<r><id>1</id><!-- x --></r>", "<r><a><id>1</id></a></r>",
        '<r><id a="1">1</id></r>', "<r><id>&#49;</id></r>", "<r><id/></r>", "<r><id>1\r\n</id></r>",
        f"<r><{'n' * 300}>1</{'n' * 300}></r>",
    ],
)  # fmt: skip
def test_anything_else_is_left_to_others(piece: str) -> None:
    assert rows_of(piece.encode(), b"r", ("id",), foreign=10) is None
