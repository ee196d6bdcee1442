from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.base import OPERATION
from adapters.webservice.faults import Fault
from adapters.webservice.reading import BATCH_ROWS, Limits, Message
from adapters.webservice.writing import escape
from schemas import Item
from tests.adapters.webservice.knocking import envelope, pieces

ITEMS = (Item(name="id", label="编号", type="I"), Item(name="name", label="姓名", type="C"))
NAMES = {item.name: item.name for item in ITEMS}
text = st.text(st.characters(exclude_categories=["Cs"]).filter(lambda c: c >= " " and c not in "\ufffe\uffff"))


def message(inside: str, *, size: int = 1 << 16, generic: bool = False, limits: Limits | None = None) -> Message:
    body = envelope(f'<Push xmlns="urn:x"><messageId>m</messageId>{inside}</Push>')
    return Message(pieces(body, size), "1.1", limits or Limits(), generic=generic)


def rows(made: Message) -> list[dict[str, object]]:
    made.open()
    made.begin()
    return [row for batch in made.batches(ITEMS, NAMES) for row in batch.to_pylist()]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.none() | text, st.none() | text), max_size=5), st.integers(1, 50), st.booleans())
def test_whatever_the_pieces_the_rows_are_the_same(
    written: list[tuple[str | None, str | None]], size: int, generic: bool
) -> None:
    def element(name: str, value: str | None) -> str:
        if generic:
            return (
                f'<item name="{name}" nil="true"/>' if value is None else f'<item name="{name}">{escape(value)}</item>'
            )
        return "" if value is None else f"<{name}>{escape(value)}</{name}>"

    inside = "".join(f"<row>{element('name', name)}{element('id', key)}</row>" for key, name in written)
    found = rows(message(f"<rows>{inside}</rows>", size=size, generic=generic))
    assert found == [{"id": key, "name": name, OPERATION: 0} for key, name in written]


def test_header_and_arguments_are_known_before_the_rows() -> None:
    made = message("<rows>" + "<row><id>1</id></row>" * 100_000 + "</rows>")
    made.open()
    assert made.begin().name == "Push"
    assert [(node.name, node.text) for node in made.arguments] == [("messageId", "m")]
    assert made.has_rows
    assert made.rows_seen < 10_000
    assert sum(batch.num_rows for batch in made.batches(ITEMS, NAMES)) == 100_000


def test_memory_does_not_grow_with_the_rows() -> None:
    def body(count: int) -> Iterator[bytes]:
        yield envelope('<Push xmlns="urn:x"><rows>X').partition(b"X")[0]
        for _ in range(count // 1000):
            yield "<row><id>1</id><name>张三丰</name></row>".encode() * 1000
        yield b"</rows></Push></s:Body></s:Envelope>"

    def peak(count: int) -> int:
        made = Message(body(count), "1.1", Limits(rows=count))
        made.open()
        made.begin()
        tracemalloc.start()
        assert sum(batch.num_rows for batch in made.batches(ITEMS, NAMES)) == count
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(100_000) < peak(BATCH_ROWS * 3 // 1000 * 1000) * 1.5


def test_two_spellings_of_one_item_are_refused() -> None:
    with pytest.raises(Fault):
        rows(message('<rows><row><id>1</id></row><row><id xmlns="">2</id></row></rows>'))


def test_elements_without_a_namespace_are_taken() -> None:
    found = rows(message('<rows xmlns=""><row><id>1</id></row></rows>'))
    assert found == [{"id": "1", "name": None, OPERATION: 0}]


def test_a_tag_that_never_ends() -> None:
    def endless() -> Iterator[bytes]:
        yield envelope('<Push xmlns="urn:x"><rows>X').partition(b"X")[0]
        yield b"<row a='"
        while True:
            yield b"x" * 65536

    made = Message(endless(), "1.1", Limits())
    made.open()
    made.begin()
    with pytest.raises(Fault) as caught:
        list(made.batches(ITEMS, NAMES))
    assert caught.value.code == "Client.TooLarge"


def test_a_text_that_never_ends() -> None:
    def endless() -> Iterator[bytes]:
        yield envelope('<Push xmlns="urn:x"><rows><row><id>X').partition(b"X")[0]
        while True:
            yield b"x" * 65536

    made = Message(endless(), "1.1", Limits())
    made.open()
    made.begin()
    with pytest.raises(Fault) as caught:
        list(made.batches(ITEMS, NAMES))
    assert caught.value.code == "Client.TooLarge"


def test_a_payload_is_decoded_as_it_comes() -> None:
    made = message("<payload>AA E\nC\n Aw QF</payload>", size=3)
    made.open()
    made.begin()
    made.rest()
    assert made.payload is not None
    assert b"".join(made.payload.chunks()) == bytes([0, 1, 2, 3, 4, 5])
    made.close()


@pytest.mark.parametrize("opened", ["<!-- </row>", "<?x </row>", "<![CDATA[</row>"])
@pytest.mark.parametrize("before", range(12))
def test_what_no_parser_takes_for_a_row_is_none(monkeypatch: pytest.MonkeyPatch, opened: str, before: int) -> None:
    """What stands in a comment, instruction or section is never read at once, however it is dressed up."""
    monkeypatch.setattr("adapters.webservice.reading.PIECE", 300)
    row = "<row><id>1</id></row>"
    closed = {"<!-": "--", "<?x": "?", "<![": "]]"}[opened[:3]]
    ghosts = "<row><id>666</id></row>" * 20 + f"<row><id>666</id></row{closed}>"
    made = message(f"<rows>{row * (before + 1)}{opened}{ghosts}{row * 30}</rows>", size=64)
    if closed == "]]":
        with pytest.raises(Fault, match="不属于任何信息项"):
            rows(made)
    else:
        assert [row["id"] for row in rows(made)] == ["1"] * (before + 31)


XSI = 'xmlns:i="http://www.w3.org/2001/XMLSchema-instance"'


@pytest.mark.parametrize("value", ["true", "1", " true ", "\n1\t"])
def test_nil_is_null_however_it_is_spaced(value: str) -> None:
    typed = f"<rows {XSI}><row><id>1</id><name i:nil='{value}'> </name></row></rows>"
    assert rows(message(typed)) == [{"id": "1", "name": None, OPERATION: 0}]
    named = f'<rows><row><item name="id">1</item><item name="name" nil="{value}"/></row></rows>'
    assert rows(message(named, generic=True)) == [{"id": "1", "name": None, OPERATION: 0}]
    made = message(f"<cursor {XSI} i:nil='{value}'/><limit>5</limit>")
    made.open()
    made.begin()
    assert {"cursor": None, "limit": "5"}.items() <= {node.name: node.text for node in made.arguments}.items()


@pytest.mark.parametrize("value", ["true", "1", " true "])
def test_what_says_nil_and_holds_something(value: str) -> None:
    typed = f"<rows {XSI}><row><id>1</id><name i:nil='{value}'>4711</name></row></rows>"
    named = f'<rows><row><item name="id" nil="{value}">4711</item></row></rows>'
    for content, generic in ((typed, False), (named, True)):
        with pytest.raises(Fault, match="第 1 行：信息项既写 nil 又有内容") as caught:
            rows(message(content, generic=generic))
        assert "4711" not in str(caught.value)
    for name in ("cursor", "payload"):
        made = message(f"<{name} {XSI} i:nil='{value}'>NDcxMQ==</{name}>")
        with pytest.raises(Fault, match="既写 nil 又有内容"):
            made.open()
            made.begin()
            made.rest()
    assert rows(message(f"<rows {XSI}><row><id i:nil='0'>1</id></row></rows>"))[0]["id"] == "1"
