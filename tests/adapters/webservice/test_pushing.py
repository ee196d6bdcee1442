from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from lxml import etree

from adapters.base import DELETE, OPERATION, PUT, Binding
from adapters.errors import Misconfigured
from adapters.options import read_options
from adapters.webservice import xml
from adapters.webservice.contract import Element, Operation
from adapters.webservice.pushing import PushOptions, RowWriter, answer, operations

T, U = "urn:t", "urn:u"


def _leaf(name: str, namespace: str | None = T, **more: Any) -> Element:
    return Element(name=name, namespace=namespace, letter="C", declared="string", **more)


ROW = Element(
    name="row", namespace=T, many=True,
    elements=(
        _leaf("no"),
        Element(name="owner", namespace=U, optional=True, elements=(
            _leaf("name", U, nillable=True), _leaf("note", None, optional=True))),
        _leaf("photo", None, optional=True),
    ),
    attributes=(_leaf("id", None, optional=True),),
)  # fmt: skip
ENTRY = Element(
    name="row", namespace=T, many=True,
    elements=(Element(name="item", namespace=T, letter="C", many=True, attributes=(_leaf("name", None),)),),
)  # fmt: skip


def _operation(row: Element = ROW, style: str = "document") -> Operation:
    head = Element(name="head", namespace=T, elements=(_leaf("id"), _leaf("zone", optional=True)))
    request = Element(name="push", namespace=T, elements=(head, Element(name="rows", namespace=T, elements=(row,))))
    return Operation("push", (), "", (), style=style, request=request)


def _writer(columns: dict[str, str], row: Element = ROW, **options: Any) -> RowWriter:
    given = PushOptions(**{"accepted": "n", "message": "head/id", **options})
    return RowWriter(_operation(row), Binding(object="push", columns=columns, key=("no",)), given)


def _batch(**columns: list[Any]) -> pa.RecordBatch:
    size = len(next(iter(columns.values())))
    return pa.record_batch({**columns, OPERATION: pa.array([PUT] * size, pa.int8())})


def _body(writer: RowWriter, batch: pa.RecordBatch) -> etree._Element:
    written = writer.written(batch, deletion=False)
    return xml.parse(b"".join(writer.body("m 1 <&>", written.rows)), "报文")


def test_elements_in_the_order_of_the_contract_with_their_namespaces() -> None:
    writer = _writer({"a": "photo", "b": "owner/name", "c": "@id", "d": "no", "e": "owner/note"})
    body = _body(
        writer,
        _batch(a=["p", None], b=["<&>\r\n", None], c=['"\t', None], d=["1", "2"], e=[None, "n"]),
    )
    assert body.tag == f"{{{T}}}push"
    assert body.findtext(f"{{{T}}}head/{{{T}}}id") == "m 1 <&>"
    first, second = body.find(f"{{{T}}}rows")
    assert [each.tag for each in first.iter()] == [
        f"{{{T}}}row", f"{{{T}}}no", f"{{{U}}}owner", f"{{{U}}}name", "photo",
    ]  # fmt: skip
    assert first.get("id") == '"\t'
    assert first.findtext(f"{{{U}}}owner/{{{U}}}name") == "<&>\r\n"
    assert second.get("id") is None
    assert second.find(f"{{{U}}}owner/{{{U}}}name").get(xml.NIL) == "true"
    assert second.findtext(f"{{{U}}}owner/note") == "n"
    assert second.find("photo") is None


def test_generic_rows() -> None:
    writer = _writer({"a": "姓名", "b": 'x "y"'}, ENTRY, entry="item@name")
    assert writer.problems() == []
    [row] = _body(writer, _batch(a=["甲"], b=[None])).find(f"{{{T}}}rows")
    assert [(each.get("name"), each.text) for each in row] == [("姓名", "甲")]


def test_generic_rows_that_say_of_themselves_what_is_to_be_done() -> None:
    row = Element(**{**vars(ENTRY), "attributes": (_leaf("_operation", None, optional=True),)})
    writer = _writer({"a": "a"}, row, entry="item@name", operation="@_operation", delete="delete")
    assert writer.problems() == []
    rows = writer.written(_batch(a=["1"]), deletion=True).rows
    [found] = etree.fromstring(b"".join(writer.body("m 1", rows))).find(f"{{{T}}}rows")
    assert (dict(found.attrib), [each.get("name") for each in found]) == ({"_operation": "delete"}, ["a"])
    [problem] = _writer({"a": "a"}, ENTRY, entry="item@name", operation="@_operation").problems()
    assert problem == "操作 push 的行里没有元素 @_operation"


def test_generic_rows_that_can_say_nil() -> None:
    item = ENTRY.elements[0]
    spoken = Element(**{**vars(item), "attributes": (*item.attributes, _leaf("nil", None, optional=True))})
    row = Element(**{**vars(ENTRY), "elements": (spoken,)})
    [found] = _body(_writer({"a": "a"}, row, entry="item@name"), _batch(a=[None])).find(f"{{{T}}}rows")
    assert [dict(each.attrib) for each in found] == [{"name": "a", "nil": "true"}]


def test_rows_that_cannot_be_written_are_refused_each_for_itself() -> None:
    writer = _writer({"d": "no", "b": "owner/name"})
    bad = ["\x00", "a\x0b", "\ufffe"]
    written = writer.written(_batch(d=["1", None, "3", "4", "5"], b=["x", "x", *bad]), deletion=False)
    assert written.numbers == [0]
    assert [(place, rule) for place, rule, _ in written.refused] == [
        (1, "null"), (2, "characters"), (3, "characters"), (4, "characters"),
    ]  # fmt: skip
    # A deletion knows its key alone.
    assert writer.written(_batch(d=[None], b=["x"]), deletion=True).numbers == [0]


def test_what_the_contract_has_no_place_for() -> None:
    binding = Binding(object="push", columns={}, key=())
    with pytest.raises(Misconfigured, match="rpc"):
        RowWriter(_operation(style="rpc"), binding, PushOptions(accepted="n"))
    with pytest.raises(Misconfigured, match="行元素 x"):
        RowWriter(_operation(), binding, PushOptions(accepted="n", row="x"))
    assert _writer({"d": "none", "c": "@none"}).problems() == [
        "操作 push 的行里没有元素 @none",
        "操作 push 的行里没有元素 none",
        "操作 push 的行要有元素 no，没有挂接",
    ]
    assert _writer({"d": "no"}, arguments={"head/zone": "1", "x": "2"}).problems() == ["操作 push 没有参数 x"]


@pytest.mark.parametrize(
    "options",
    [{}, {"accepted": "n", "operation": "op", "deletion": "Remove"}, {"accepted": "n", "rows": 0}, {"entry": "item"}],
)
def test_wrong_options(options: dict[str, Any]) -> None:
    with pytest.raises(Misconfigured):
        read_options(PushOptions, options, "挂接")


def test_runs_of_deletions() -> None:
    words = [PUT, PUT, DELETE, PUT, DELETE, DELETE]
    batch = pa.record_batch({OPERATION: pa.array(words, pa.int8())})
    assert list(operations(batch)) == [(False, 0, 2), (True, 2, 1), (False, 3, 1), (True, 4, 2)]


def test_answers() -> None:
    options = PushOptions(
        accepted="n", total="all", success="code", successes=("200",), duplicate="again", refused="bad",
        refused_row="at", refused_reason="why", refused_first=0,
    )  # fmt: skip
    reply = etree.fromstring(
        "<r><n>1</n><all> 3 </all><code>200</code><again>1</again><bad><at>0</at><why>x</why></bad>"
        "<bad><at>2</at></bad></r>"
    )
    found = answer(reply, options)
    assert (found.taken, found.received, found.fine, found.repeated) == (1, 3, True, True)
    assert found.refused == ((0, "x"), (2, ""))
    assert found.unreadable == ""
    found = answer(etree.fromstring("<r><n>-1</n><code>500</code><bad><at>one</at></bad></r>"), options)
    assert (found.taken, found.fine, found.repeated) == (None, False, False)
    assert found.unreadable == "拒收行没有行号（at）；没有用数字给出 n；没有用数字给出 all"


@pytest.mark.parametrize("number", ["9" * 5000, "٣", "1e3"])
def test_a_count_that_is_no_number_is_told(number: str) -> None:
    options = PushOptions(accepted="n", refused="bad", refused_row="at")
    found = answer(etree.fromstring(f"<r><n>{number}</n><bad><at>{number}</at></bad></r>"), options)
    assert (found.taken, found.refused) == (None, ())
    assert found.unreadable == "拒收行没有行号（at）；没有用数字给出 n"
