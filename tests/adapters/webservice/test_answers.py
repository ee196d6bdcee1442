from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pyarrow as pa
import pytest
from lxml import etree

from adapters.webservice.answers import Arguments, page_body, pushed_body, receipt_body, resources_body
from adapters.webservice.desk import Page, Pushed, ReceiptAnswer, RefusedPush
from adapters.webservice.faults import Fault
from adapters.webservice.reading import Node
from adapters.webservice.spool import Spool
from tests.adapters.webservice.memory_desk import ITEMS, PEOPLE, rows

NS = "urn:x"


def node(name: str, text: str = "", space: str = NS, **named: object) -> Node:
    return Node(space, name, named.get("attributes", {}), [text], list(named.get("children", [])))  # type: ignore[arg-type, call-overload]


def parsed(spool: Spool) -> etree._Element:
    with spool:
        return etree.fromstring(b"".join(spool.chunks()))[0][0]


def test_arguments() -> None:
    given = Arguments([node("a", "x"), node("n", " 7 ", ""), node("e")], NS, ("a", "n", "e", "o"))
    assert (given.required("a"), given.number("n"), given.optional("e"), given.optional("o")) == ("x", 7, "", None)
    assert given.number("o") is None
    for name in ("e", "o"):
        with pytest.raises(Fault):
            given.required(name)


@pytest.mark.parametrize("nodes", [[node("b")], [node("a"), node("a")], [node("a", space="urn:y")]])
def test_arguments_that_do_not_fit(nodes: list[Node]) -> None:
    with pytest.raises(Fault) as caught:
        Arguments(nodes, NS, ("a",))
    assert caught.value.code == "Client.Malformed"


@pytest.mark.parametrize("text", ["0", "-1", "x", "1.0", "٣", "9999999999"])
def test_numbers_that_are_none(text: str) -> None:
    with pytest.raises(Fault):
        Arguments([node("n", text)], NS, ("n",)).number("n")


def test_named_arguments() -> None:
    items = [node("item", "1", attributes={"name": "id"}), node("item", "甲", attributes={"name": "name"})]
    assert Arguments([node("key", children=items)], NS, ("key",)).named("key") == {"id": "1", "name": "甲"}
    for bad in ([*items, items[0]], [node("item", "1")], [node("other", "1", attributes={"name": "id"})]):
        with pytest.raises(Fault):
            Arguments([node("key", children=bad)], NS, ("key",)).named("key")


class Batches:
    """An iterator that says whether it was closed."""

    def __init__(self, table: pa.Table, *, fail: bool = False) -> None:
        self._batches = iter(table.to_batches())
        self._fail = fail
        self.closed = False

    def __iter__(self) -> Batches:
        return self

    def __next__(self) -> pa.RecordBatch:
        if self._fail:
            raise RuntimeError
        return next(self._batches)

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("packed", [False, True])
def test_batches_are_closed_and_the_cursor_is_asked_last(packed: bool) -> None:
    batches = Batches(rows(3))
    asked: list[bool] = []

    def following() -> str:
        asked.append(next(batches, None) is None)
        return "<c>"

    page = Page(batches, following, "D1")
    body = parsed(page_body("1.2", NS, "R", page, ITEMS, generic=False, packed=packed, tick=lambda: None))
    assert asked == [True]
    assert batches.closed
    assert body.findtext(f"{{{NS}}}nextCursor") == "<c>"
    broken = Batches(rows(1), fail=True)
    with pytest.raises(RuntimeError):
        page_body("1.1", NS, "R", Page(broken, following, "D"), ITEMS, generic=True, packed=packed, tick=lambda: None)
    assert broken.closed


def test_what_became_of_a_message() -> None:
    refused = (RefusedPush(2, None, "r&", "why<"), RefusedPush(3, "id", "r", "w"))
    pushed = Pushed(message="m", state="stopped", rows=3, accepted=1, refused=refused)
    body = parsed(pushed_body("1.1", NS, "PushResponse", pushed))
    assert [etree.QName(child).localname for child in body] == [
        "messageId", "state", "total", "accepted", "refused", "refusals", "repeated",
    ]  # fmt: skip
    assert [refusal.findtext("{*}rule") for refusal in body.iter("{*}refusal")] == ["r&", "r"]
    assert body.findtext(f"{{{NS}}}refused") == "2"


def test_receipts_and_resources() -> None:
    moment = datetime(2026, 1, 1, 8, tzinfo=timezone(timedelta(hours=8)))
    receipt = ReceiptAnswer(id="R", resource="a/b", issued_at=moment, counts={"read": 1}, content="c", digest="d")
    assert parsed(receipt_body("1.1", NS, receipt)).findtext(f"{{{NS}}}issuedAt") == "2026-01-01T00:00:00Z"
    found = parsed(resources_body("1.1", NS, [(PEOPLE, "https://x")]))
    assert [item.findtext("{*}key") for item in found.iter("{*}item")] == ["true"] + ["false"] * 7
