from __future__ import annotations

import base64
import io
import time
import tracemalloc
from typing import Any

import pyarrow as pa
import pytest

from adapters.errors import AdapterError, Malformed, Misconfigured, Unavailable
from adapters.webservice import xml
from adapters.webservice.errors import Faulted
from adapters.webservice.reader import FOREIGN, RowReader, Shape
from tests.adapters.webservice.conftest import SOAP, envelope
from tests.adapters.webservice.test_xml import HOSTILE

XSI = 'xmlns:i="http://www.w3.org/2001/XMLSchema-instance"'


def _read(
    content: str | bytes, piece: int = 1 << 16, charset: str | None = None, **shape: Any
) -> tuple[Any, RowReader]:
    given = {"row": "record", "columns": ("no", "owner"), "watched": frozenset({"following"})} | shape
    reader = RowReader(Shape(**given), "应答", charset=charset)
    data = content if isinstance(content, bytes) else content.encode()
    for start in range(0, len(data), piece):
        reader.feed(data[start : start + piece])
    reader.close()
    return [list(row.values()) for batch in reader.found.batches for row in batch.to_pylist()], reader


def _rows(content: str | bytes, **shape: Any) -> Any:
    return _read(content, **shape)[0]


def _reply(*records: str, tail: str = "") -> str:
    rows = "".join(f"<t:record>{record}</t:record>" for record in records)
    return envelope(f"<t:Response {XSI}><t:result>{rows}</t:result>{tail}</t:Response>")


@pytest.mark.parametrize("piece", [1, 7, 1 << 16])
def test_rows_and_what_is_beside_them(piece: int) -> None:
    content = _reply(
        "<t:no>1</t:no><t:owner>张<!-- x -->三&amp;<![CDATA[<&>]]>𠮷</t:owner>",
        "<t:owner></t:owner><t:no> 2 </t:no>",
        "<t:no>3</t:no><t:owner i:nil='true'/>",
        "<t:no i:nil='1'> \n</t:no>",
        tail="<t:following>p2</t:following>",
    )
    rows, reader = _read(content, piece)
    assert rows == [["1", "张三&<&>𠮷"], [" 2 ", ""], ["3", None], [None, None]]
    assert reader.found.watched == {"following": "p2"}
    assert reader.found.rows == 4


@pytest.mark.parametrize("value", ["true", "1", " true "])
def test_what_says_nil_and_holds_something(value: str) -> None:
    with pytest.raises(Malformed, match="第 2 行元素 no 既写 nil 又有内容") as caught:
        _rows(_reply("<t:no>1</t:no>", f"<t:no i:nil='{value}'>4711</t:no>"))
    assert "4711" not in caught.value.message
    with pytest.raises(Malformed, match="following 既写 nil 又有内容"):
        _rows(_reply("<t:no>1</t:no>", tail=f"<t:following i:nil='{value}'>p2</t:following>"))
    with pytest.raises(Malformed, match="元素 no 既写 nil 又有内容"):
        _rows(envelope(f'<R><record {XSI}><item name="no" nil="{value}">4711</item></record></R>'), entry="item@name")
    assert _rows(_reply("<t:no i:nil='false'>4</t:no>")) == [["4", None]]


SPELLINGS = {
    "default namespace": f'''<x:Envelope xmlns:x="{SOAP}"><x:Body><R xmlns="urn:a">
        <record><no>1</no><owner>a</owner></record></R></x:Body></x:Envelope>''',
    "other prefixes": f'''<Envelope xmlns="{SOAP}"><Header><record><no>9</no></record></Header><Body>
        <q:R xmlns:q="urn:b"><q:record><q:owner>a</q:owner><z:no xmlns:z="urn:z">1</z:no></q:record></q:R></Body>
        </Envelope>''',
    "1.2": f'''<e:Envelope xmlns:e="{xml.ENVELOPES["1.2"]}"><e:Body><R><record><no>1</no><owner>a</owner></record></R>
        </e:Body></e:Envelope>''',
}


@pytest.mark.parametrize("content", SPELLINGS.values(), ids=SPELLINGS.keys())
@pytest.mark.parametrize("row", ["record", "R/record", "Body/R/record"])
def test_any_prefix_and_order(content: str, row: str) -> None:
    assert _rows(content, row=row) == [["1", "a"]]


@pytest.mark.parametrize("encoding", ["gbk", "gb18030", "utf-16", "utf-16-le", "utf-8-sig"])
def test_documents_in_other_charsets(encoding: str) -> None:
    declared = "gb18030" if encoding.startswith("gb") else "utf-16" if "16" in encoding else "utf-8"
    text = _reply("<t:no>1</t:no><t:owner>张三丰</t:owner>")
    assert _rows(f'<?xml version="1.0" encoding="{declared}"?>{text}'.encode(encoding)) == [["1", "张三丰"]]


def test_the_charset_of_the_header_counts_without_a_declaration() -> None:
    text = _reply("<t:no>1</t:no><t:owner>张三丰</t:owner>").encode("gbk")
    assert _rows(text, charset="GBK") == [["1", "张三丰"]]
    with pytest.raises(Malformed):
        _rows(text)


@pytest.mark.parametrize("name", ["utf-7", "idna", "base64", "no-such", "unicode_escape"])
def test_charsets_that_are_none(name: str) -> None:
    with pytest.raises(Malformed, match="编码"):
        _rows(_reply(), charset=name)


def test_paths_and_attributes() -> None:
    content = _reply('<t:no id="7">1</t:no><t:who><t:name k="v">甲</t:name><t:other>x</t:other></t:who>')
    assert _rows(content, columns=("who/name", "no/@id", "who/name/@k", "no", "@none")) == [["甲", "7", "v", "1", None]]
    assert _rows(envelope('<R><record no="1" owner="a"/><record no="2"/></R>'), columns=("@no", "@owner")) == [
        ["1", "a"], ["2", None],
    ]  # fmt: skip


def test_generic_rows() -> None:
    content = envelope(
        '<R><record><item name="owner">甲</item><item name="more">x</item><item name="no">1</item></record>'
        f'<record {XSI}><item name="no" nil="true"/><item name="owner" i:nil="true"/></record>'
        "<record><item>lost</item><other/></record></R>"
    )
    rows, reader = _read(content, entry="item@name")
    assert rows == [["1", "甲"], [None, None], [None, None]]
    assert reader.found.foreign == {"item": 2, "other": 1}


def test_generic_rows_that_say_of_themselves_what_is_to_be_done() -> None:
    content = envelope(
        '<R><record _operation="delete"><item name="no">1</item></record><record><item name="no">2</item></record></R>'
    )
    assert _rows(content, entry="item@name", columns=("no", "@_operation")) == [["1", "delete"], ["2", None]]


def test_foreign_elements_are_counted_or_refused() -> None:
    content = _reply("<t:no>1</t:no><t:new><t:deep>x</t:deep></t:new><t:owner>a</t:owner><t:new>y</t:new>")
    rows, reader = _read(content)
    assert rows == [["1", "a"]]
    assert reader.found.foreign == {"new": 2}
    with pytest.raises(Malformed, match="第 1 行有没有登记的元素 new"):
        _rows(content, strict=True)


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ("<t:no>1</t:no><t:no>2</t:no>", "元素 no 不止一个"),
        ("<t:no><t:part>110101199003070000</t:part></t:no>", "元素 no 里还有元素"),
        ('<t:no href="#id1"/>', "multiRef"),
    ],
)
def test_rows_that_are_not_as_bound(record: str, why: str) -> None:
    with pytest.raises(Malformed, match=why) as caught:
        _rows(_reply("<t:no>0</t:no>", record))
    assert "第 2 行" in caught.value.message
    assert "1101" not in caught.value.message


def test_a_reply_that_gives_its_rows_by_reference_is_not_taken_for_empty() -> None:
    content = envelope('<R><return href="#id0"/></R><multiRef id="id0"><no>1</no></multiRef>')
    with pytest.raises(Malformed, match="multiRef"):
        _rows(content)


def test_an_element_that_is_called_like_a_row_and_holds_nothing_is_none() -> None:
    assert _rows(envelope("<R><record/><record></record></R>")) == []


def test_a_document_in_a_string() -> None:
    inner = '<?xml version="1.0" encoding="GBK"?><list><record><no>1</no><owner>张&amp;</owner></record></list>'
    escaped = inner.replace("&", "&amp;").replace("<", "&lt;")
    assert _rows(envelope(f"<R><return>{escaped}</return></R>"), document="return") == [["1", "张&"]]
    assert _rows(envelope(f"<R><return><![CDATA[{inner}]]></return></R>"), document="return") == [["1", "张&"]]
    assert _rows(envelope("<R><return/></R>"), document="return") == []


@pytest.mark.parametrize("document", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_documents_in_a_string(document: str) -> None:
    if not document.strip():
        return
    escaped = document.replace("&", "&amp;").replace("<", "&lt;")
    with pytest.raises((Malformed, Unavailable)):
        _rows(envelope(f"<R><return>{escaped}</return></R>"), document="return")


def test_a_payload() -> None:
    table = pa.table(
        {"owner": ["甲", None], "no": pa.array([1, 2], pa.int64()), "_operation": pa.array([0, 1], pa.int8())}
    )
    content = io.BytesIO()
    with pa.ipc.new_stream(content, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    text = base64.encodebytes(content.getvalue()).decode()
    body = envelope(f"<R><payload>{text}</payload><following>p2</following></R>")
    rows, reader = _read(body, payload="payload", columns=("no", "owner", "_operation", "gone"))
    assert rows == [[1, "甲", "0", None], [2, None, "1", None]]
    assert (reader.found.rows, reader.found.watched) == (2, {"following": "p2"})


QUADRATIC = f'<!DOCTYPE a [<!ENTITY x "{"y" * 50_000}">]>' + _reply(f"<t:no>{'&x;' * 50_000}</t:no>")
LIMITS = {
    "depth": _reply("<t:x>" * 100_000),
    "depth outside": envelope("<a>" * 100_000),
    "20 MB text": _reply(f"<t:no>{'x' * 20_000_000}</t:no>"),
    "20 MB text outside": envelope(f"<following>{'x' * 20_000_000}</following>"),
    "20 MB of character references": _reply(f"<t:no>{'&#65;' * 11_000_000}</t:no>"),
    "20 MB tag": _reply(f'<t:no a="{"x" * 20_000_000}"/>'),
    "20 MB comment": _reply(f"<!--{'x' * 20_000_000}-->"),
    "many attributes": _reply("<t:no " + " ".join(f'a{n}="1"' for n in range(200_000)) + "/>"),
    "elements": _reply("<t:x/>" * (FOREIGN + 1)),
    "quadratic blow-up": QUADRATIC,
    "a half": _reply("<t:no>1</t:no>")[:-30],
}


@pytest.mark.parametrize("document", LIMITS.values(), ids=LIMITS.keys())
def test_limits_are_held_at_little_cost(document: str) -> None:
    data = document.encode()
    tracemalloc.start()
    begun = time.process_time()
    try:
        with pytest.raises((Malformed, Unavailable)):
            _rows(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.process_time() - begun < 10
    assert peak < 64 << 20


@pytest.mark.parametrize("document", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_the_other_parser_refuses_is_refused(document: str) -> None:
    with pytest.raises((Malformed, Unavailable)) as caught:
        _rows(document)
    assert len(caught.value.message) < 200


def test_xinclude_is_an_element_like_any_other() -> None:
    include = '<t:no><x:include xmlns:x="http://www.w3.org/2001/XInclude" href="/etc/hostname" parse="text"/></t:no>'
    with pytest.raises(Malformed, match="里还有元素"):
        _rows(_reply(include))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("<html><body>log in</body></html>", Malformed),
        ("<html><br>log in", Malformed),
        ("", Malformed),
        (envelope(""), Malformed),
        (f'<s:Envelope xmlns:s="{SOAP}"/>', Malformed),
        ('<s:Envelope xmlns:s="urn:x"><s:Body/></s:Envelope>', Malformed),
        (envelope("<s:Fault><faultcode>s:Client</faultcode><faultstring>110101</faultstring></s:Fault>"), Faulted),
        (envelope("<s:Fault><faultcode>s:Server.Busy</faultcode></s:Fault>"), Unavailable),
        (_reply("<t:no>1</t:no>")[:-5], Unavailable),
        (_reply("<t:no>1\x00</t:no>"), Malformed),
        (_reply("<t:no>1</t:owner>"), Malformed),
    ],
)
def test_what_is_no_reply(content: str, expected: type[AdapterError]) -> None:
    with pytest.raises(AdapterError) as caught:
        _rows(content)
    assert type(caught.value) is expected
    assert "110101" not in caught.value.message


def test_a_fault_of_1_2() -> None:
    space = xml.ENVELOPES["1.2"]
    content = (
        f'<e:Envelope xmlns:e="{space}"><e:Body><e:Fault><e:Code><e:Value>e:Sender</e:Value><e:Subcode><e:Value>x'
        "</e:Value></e:Subcode></e:Code></e:Fault></e:Body></e:Envelope>"
    )
    with pytest.raises(Faulted, match="Sender"):
        _rows(content)


@pytest.mark.parametrize("columns", [("a", "a/b"), ("a/", "b"), ("a", "a")])
def test_paths_that_contradict_each_other(columns: tuple[str, ...]) -> None:
    with pytest.raises(Misconfigured):
        RowReader(Shape(row="r", columns=columns), "应答")


def test_memory_does_not_grow_with_the_rows() -> None:
    row = b"<t:record><t:no>1</t:no><t:owner>x</t:owner></t:record>" * 2000
    head, _, tail = _reply("HERE").encode().partition(b"<t:record>HERE</t:record>")

    def peak(pages: int) -> int:
        reader = RowReader(Shape(row="record", columns=("no", "owner")), "应答")
        tracemalloc.start()
        reader.feed(head)
        for _ in range(pages):
            reader.feed(row)
            reader.found.batches.clear()
        reader.feed(tail)
        reader.close()
        assert reader.found.rows == pages * 2000
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(40) < peak(8) * 1.5 + (1 << 20)


@pytest.mark.parametrize("opened", ["<!-- </t:record>", "<?x </t:record>", "<![CDATA[</t:record>"])
@pytest.mark.parametrize("before", range(12))
def test_what_no_parser_takes_for_a_row_is_none(monkeypatch: pytest.MonkeyPatch, opened: str, before: int) -> None:
    """What stands in a comment, instruction or section is never read at once, however it is dressed up."""
    monkeypatch.setattr("adapters.webservice.reader.PIECE", 300)
    row = "<t:record><t:no>1</t:no></t:record>"
    closed = {"<!-": "--", "<?x": "?", "<![": "]]"}[opened[:3]]
    ghosts = "<t:record><t:no>666</t:no></t:record>" * 20 + f"<t:record><t:no>666</t:no></t:record{closed}>"
    content = envelope(f"<t:Response><t:result>{row * (before + 1)}{opened}{ghosts}{row * 30}</t:result></t:Response>")
    assert _read(content, piece=64, columns=("no",))[0] == [["1"]] * (before + 31)
