from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.base import OPERATION
from adapters.errors import AdapterError
from adapters.webservice import reader, reading
from adapters.webservice.plain import rows_of
from adapters.webservice.reader import RowReader, Shape
from adapters.webservice.reading import Limits
from schemas import Item

COLUMNS = ("id", "姓名", "@mark")
SHAPE = Shape(row="rows/r", columns=COLUMNS, watched=frozenset({"next"}))

TEXTS = st.sampled_from(
    ["", "1", "甲𠮷", "a&amp;lt;b", "&lt;&gt;&quot;&apos;", " x ", "]]&gt;", "\n", "&#65;", "a\r\nb", "x>y"]
)
NAMES = st.sampled_from(["id", "id", "姓名", "t:id", "t:姓名", "other", "t:other", "r"])
LEAVES = st.builds(lambda name, text: f"<{name}>{text}</{name}>", NAMES, TEXTS)
ODD = st.sampled_from(
    [
        '<id x:nil="true"/>', '<id x:nil="1">9</id>',
        "<id/>", "<!-- </r> -->", "<![CDATA[</r>]]>", "<other><id>9</id></other>", "text",
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


PUSHES = st.builds(
    lambda rows, gap: (
        (
            '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" xmlns:t="urn:t"'
            ' xmlns:x="http://www.w3.org/2001/XMLSchema-instance"><s:Body>'
            '<Push xmlns="urn:t"><messageId>m</messageId><rows>'
            f"{gap.join(rows)}</rows></Push></s:Body></s:Envelope>"
        )
        .replace("<r>", "<row>")
        .replace("</r>", "</row>")
        .encode()
    ),
    st.lists(ROWS, max_size=8),
    st.sampled_from(["", "", "\n  "]),
)
ITEMS = tuple(Item(name=name, label=name, type="C", length=20) for name in ("id", "姓名", "空"))


def taken(document: bytes, size: int, *, slowly: bool) -> object:
    pieces = (document[start : start + size] for start in range(0, len(document), size))
    message = reading.Message(pieces, "1.1", Limits())
    try:
        message.begin()
        if slowly:
            message._plain = lambda _: False  # type: ignore[method-assign]
        if not message.has_rows:
            return "no rows"
        batches = list(message.batches(ITEMS, {item.name: item.name for item in ITEMS}))
    except AdapterError as error:
        # Which row it is may be told later, when rows are read one by one.
        return type(error)
    finally:
        message.close()
    return [row for batch in batches for row in batch.to_pylist()], message.rows_seen


@settings(max_examples=300, deadline=None)
@given(PUSHES, st.integers(20, 400))
def test_what_is_pushed_at_once_is_what_is_pushed_one_by_one(document: bytes, size: int) -> None:
    whole = reading.PIECE
    reading.PIECE = 64
    try:
        assert taken(document, size, slowly=False) == taken(document, size, slowly=True)
    finally:
        reading.PIECE = whole


def test_most_of_a_plain_push_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PIECE", 256)
    read_at_once = []
    plain = reading.Message._plain
    monkeypatch.setattr(reading.Message, "_plain", lambda self, piece: read_at_once.append(plain(self, piece)) or True)
    inside = "".join(f"<row><id>{number}</id><姓名>甲&amp;</姓名></row>\n" for number in range(100))
    document = (
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><Push xmlns="urn:t">'
        f"<rows>{inside}</rows></Push></s:Body></s:Envelope>"
    ).encode()
    rows, seen = taken(document, 100, slowly=False)  # type: ignore[misc]
    assert rows == [{"id": str(n), "姓名": "甲&", "空": None, OPERATION: 0} for n in range(100)]
    assert seen == 100
    assert len(read_at_once) > 10
    assert all(read_at_once)


@pytest.mark.parametrize("opening", ["<row><id>", "<row><id>1</id>", ""])
def test_a_row_without_an_end_is_not_waited_for(opening: str) -> None:
    head = '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><Push xmlns="urn:t"><rows>'
    pieces = [head.encode(), b"<row><id>1</id></row>", opening.encode(), *([b"x" * (1 << 16)] * 100)]
    message = reading.Message(iter(pieces), "1.1", Limits(text=1 << 20))
    message.begin()
    with pytest.raises(AdapterError):
        list(message.batches(ITEMS, {item.name: item.name for item in ITEMS}))
    assert len(message._waiting) < 2 * reading.PIECE
    message.close()
    found = RowReader(SHAPE, "应答")
    with pytest.raises(AdapterError):
        for piece in [b"<s:Envelope" + pieces[0][11:].replace(b"<rows>", b"<a><rows>"), *pieces[1:]]:
            found.feed(piece.replace(b"row>", b"r>"))
        found.close()
    assert len(found._waiting) < 2 * reading.PIECE
