from __future__ import annotations

import pytest

from adapters.base import FoundColumn
from adapters.structure import Structure
from adapters.webservice.contract import Element, Operation, columns_of, repeated


def _leaf(name: str, letter: str = "C", declared: str = "string", **more: bool) -> Element:
    return Element(name=name, letter=letter, declared=declared, **more)  # type: ignore[arg-type]


ROW = Element(
    name="record", many=True,
    elements=(
        _leaf("no", "I", "long"),
        Element(name="owner", elements=(_leaf("name", nillable=True), _leaf("born", "D", "date", optional=True))),
    ),
    attributes=(_leaf("id"),),
)  # fmt: skip
REPLY = Element(name="r", elements=(Element(name="result", elements=(ROW,)), _leaf("nextCursor"), _leaf("total", "I")))


def _operation(*arguments: str, reply: Element = REPLY, request: Element | None = None) -> Operation:
    asked = request or Element(name="q", elements=tuple(_leaf(name) for name in arguments))
    path, row = repeated(reply)
    return Operation("get", arguments, path.rpartition("/")[2], columns_of(row), request=asked, reply=reply)


def test_the_row_and_its_values_by_path() -> None:
    path, row = repeated(REPLY)
    assert (path, row) == ("result/record", ROW)
    assert columns_of(row) == (
        FoundColumn("@id", "C", nullable=False),
        FoundColumn("no", "I", nullable=False),
        FoundColumn("owner/name", "C"),
        FoundColumn("owner/born", "D"),
    )
    assert ROW.at("owner/born") is not None
    assert ROW.at("@id") is not None
    assert ROW.at("owner/none") is None
    assert ROW.at("none/none") is None


def test_a_reply_without_rows() -> None:
    assert repeated(Element(name="r", elements=(_leaf("return", many=True),))) == ("", None)
    assert columns_of(None) == ()


def test_the_tree_for_people() -> None:
    assert list(REPLY.words()) == [
        "result", "  record*", "    @id: string", "    no: long", "    owner", "      name: string",
        "      born?: date", "nextCursor: string", "total: string",
    ]  # fmt: skip
    assert _operation("a", "b").title() == "document/literal (a, b)"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("cursor", "limit"), {"cursor": "cursor", "next": "nextCursor", "limit": "limit"}),
        (("pageNo", "pageSize"), {"paging": "page", "page": "pageNo", "limit": "pageSize"}),
        (("head/offset", "head/count"), {"paging": "offset", "start": "head/offset", "limit": "head/count"}),
        (("area",), {"paging": "none", "limit": None}),
    ],
)
def test_a_way_of_reading_is_proposed(arguments: tuple[str, ...], expected: dict[str, str | None]) -> None:
    [proposal] = _operation(*arguments).proposals()
    assert proposal.options == {"row": "record"} | expected
    assert proposal.reasons


def test_windows_are_proposed_too() -> None:
    snapshot, changes = _operation("page", "startTime", "endTime").proposals()
    assert (snapshot.capture, changes.capture) == ("snapshot", "batches")
    assert changes.options["window"] == {"from": "startTime", "to": "endTime", "begin": "2000-01-01T00:00:00"}


def test_what_takes_rows_is_not_read() -> None:
    assert _operation(request=Element(name="q", elements=(ROW,))).proposals() == ()


CALLED = ("⇒ SOAPAction", "⇒ 风格")


def test_the_structure_names_rows_and_arguments() -> None:
    found = _operation("page").structure()
    assert [column.name for column in found.columns] == ["@id", "no", "owner/name", "owner/born", "→ page", *CALLED]
    assert Structure.read(found.document()) == found
    pushed = Element(name="q", elements=(_leaf("messageId"), Element(name="rows", elements=(ROW,))))
    found = _operation(request=pushed, reply=Element(name="r", elements=(_leaf("accepted", "I"),))).structure()
    assert [column.name for column in found.columns] == [
        "@id",
        "no",
        "owner/name",
        "owner/born",
        "→ messageId",
        *CALLED,
    ]
