from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from lxml import etree

from adapters.errors import Malformed, Unsupported
from adapters.files.formats import xml as module
from adapters.files.formats.xml import Xml, XmlReading, XmlWriting
from schemas.unreadable import UNREADABLE, why_unreadable

NIL = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:nil="true"'


def _package(body: str, head: str = "", declared: str = "") -> str:
    return f"{declared}<Package><Head>{head}</Head><Body>{body}</Body></Package>"


def _read(
    text: str | bytes, step: int = 1 << 20, expected: tuple[str, ...] = (), **options: Any
) -> tuple[tuple[str, ...], list[tuple[int, list[str | None]]]]:
    content = text if isinstance(text, bytes) else text.encode()
    pieces = (content[start : start + step] for start in range(0, len(content), step))
    reader = Xml().reader(pieces, "a.xml", XmlReading(**options), expected)
    return reader.header, [
        (place, list(values.values()))
        for places, batch in reader.batches(range(len(reader.header)))
        for place, values in zip(places.to_pylist(), batch.to_pylist(), strict=True)
    ]


def _written(batch: pa.RecordBatch, **options: Any) -> bytes:
    Xml().check(batch)
    writer = Xml().writer(batch.schema, XmlWriting(**options), batch.num_rows)
    return b"".join([writer.header(), writer.rows(batch), *writer.trailer()])


@pytest.mark.parametrize("step", [1, 13, 1 << 20])
def test_records_by_their_numbers(step: int) -> None:
    body = (
        f"<证照 xmlns='urn:x'><编号>1</编号><姓名/></证照>\n <!-- x --> "
        f"<证照><姓名 {NIL}/><编号> a<![CDATA[<b>]]>&amp;&#x4e2d; </编号></证照>"
    )
    header, rows = _read(_package(body, "<来源>甲局</来源>"), step, ("编号", "姓名"))
    assert header == ("编号", "姓名")
    assert rows == [(1, ["1", ""]), (2, [" a<b>&中 ", None])]


def test_the_head_names_columns_and_counts_rows() -> None:
    head = "<Items><Item>a</Item><Item>b</Item></Items><Rows>1</Rows>"
    assert _read(_package("<r><a>1</a></r>", head)) == (("a", "b"), [(1, ["1", None])])
    with pytest.raises(Malformed, match="有 2 条记录，与报文头的 Rows 不符"):
        _read(_package("<r><a>1</a></r><r/>", head))


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "gbk", "utf-16"])
def test_encodings(encoding: str) -> None:
    text = _package("<r><姓名>張三</姓名></r>", declared=f'<?xml version="1.0" encoding="{encoding}"?>')
    assert _read(text.encode(encoding))[1] == [(1, ["張三"])]


def test_nested_elements_refuse_their_row() -> None:
    [(_, [first, second])] = _read(_package("<r><a><b>1</b></a><c>2</c></r>"))[1]
    assert (why_unreadable(first or ""), second) == (UNREADABLE["nested"], "2")


BOMB = "<!DOCTYPE Package [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>]>"
BROKEN = {
    "dtd": (_package("<r><a>1</a></r>", declared="<!DOCTYPE Package>"), "DTD"),
    "bomb": (_package("<r><a>&b;</a></r>", declared=BOMB), "DTD"),
    "file": (_package("<r><a>&x;</a></r>", declared='<!DOCTYPE p [<!ENTITY x SYSTEM "file:///etc/passwd">]>'), "DTD"),
    "network": (_package("", declared='<!DOCTYPE Package SYSTEM "http://127.0.0.1:1/x.dtd">'), "DTD"),
    "undeclared entity": (_package("<r><a>&nbsp;</a></r>"), "不是可读的 XML"),
    "cut": (_package("<r><a>1</a></r>")[:-3], "不是完整的"),
    "cut in a record": (_package("<r><a>1</a></r>")[:-25], "不是完整的"),
    "nothing": ("", "a.xml"),
    "csv": ("a,b\n1,2\n", "a.xml"),
    "another root": ("<Packet><Body/></Packet>", "应为 Package"),
    "no body": ("<Package><Head/></Package>", "没有 Body"),
    "two bodies": ("<Package><Body/><Body/></Package>", "不止一个 Body"),
    "twice": (_package("<r><a>1</a></r><r><a>1</a><a>2</a></r>"), "第 2 条记录有重名"),
    "another record": (_package("<r><a>1</a></r><s><a>1</a></s>"), "第 2 条记录不是 r"),
    "text between": (_package("<r>x<a>1</a></r>"), "第 1 条记录在元素之间有文字"),
    "text at the end": (_package("<r><a>1</a>x</r>"), "第 1 条记录在元素之间有文字"),
    "depth": (_package("<r><a>" + "<b>" * 300 + "</b>" * 300 + "</a></r>"), "嵌套"),
    "long text": (_package("<r><a>" + "x" * 11_000_000 + "</a></r>"), "10000000"),
    "mixed encodings": (_package("<r><a>姓</a></r>").encode() + "名".encode("gbk"), "a.xml"),
}


@pytest.mark.parametrize(("text", "words"), BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("step", [1 << 10, 1 << 20])
def test_broken_and_hostile_files(text: str | bytes, words: str, step: int) -> None:
    with pytest.raises(Malformed) as caught:
        _read(text, step)
    assert words in caught.value.message
    assert "a.xml" in caught.value.message
    assert caught.value.remedy
    assert len(caught.value.message) < 200


def test_the_record_may_be_named() -> None:
    assert _read(_package("<r><a>1</a></r>"), record="r")[1] == [(1, ["1"])]
    with pytest.raises(Malformed, match="第 1 条记录不是 证照"):
        _read(_package("<r><a>1</a></r>"), record="证照")


ROWS = pa.record_batch(
    {
        "证照编号": pa.array(["1", None, ""]),
        "a \"b\" <c>\n": pa.array(["<a>&amp;</a>]]>", "a\r\nb\rc\n\t", " 𠮷\u2028\x85 "]),
        "item": pa.array(["x", "y", None]),
        "1": pa.array(["x", "y", "z"]),
        "xmlns": pa.array(["x", "y", "z"]),
        "数": pa.array([1, None, 3]),
    }
)  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_what_is_written_is_read_again(encoding: str) -> None:
    header, rows = _read(_written(ROWS, encoding=encoding, record="证照"))
    assert list(header) == ROWS.schema.names
    numbers = [None if value is None else str(value) for value in ROWS.column("数").to_pylist()]
    expected = ROWS.set_column(5, "数", pa.array(numbers))
    assert [values for _, values in rows] == [list(row.values()) for row in expected.to_pylist()]


def test_others_can_read_what_we_write() -> None:
    root = etree.fromstring(_written(ROWS))
    assert root.findtext("Head/Rows") == "3"
    assert root.findtext("Body/record[1]/证照编号") == "1"
    assert root.find("Body/record[2]/证照编号") is None
    assert root.findtext("Body/record[2]/item[@name='item']") == "y"


def test_nothing_to_write() -> None:
    assert _read(_written(ROWS.slice(0, 0))) == (tuple(ROWS.schema.names), [])


@pytest.mark.parametrize("text", ["\0", "a\x1fb", "\ufffe", "\uffff"])
def test_what_xml_cannot_carry(text: str) -> None:
    with pytest.raises(Unsupported, match="列 值") as caught:
        _written(pa.record_batch({"值": [text]}))
    assert text not in caught.value.message


def test_more_columns_than_any_table_has() -> None:
    with pytest.raises(Malformed, match="Head 有超过 16384 列"):
        _read(_package("<r/>", "<Items>" + "<Item>a</Item>" * 16_385 + "</Items>"))
    with pytest.raises(Malformed, match="第 2 条记录有超过 16384 列"):
        _read(_package("<r/><r>" + "".join(f"<a{at}/>" for at in range(16_385)) + "</r>"))


def test_a_record_or_a_head_of_endless_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST", 1000)
    record = "<r>" + "".join(f"<a{at}>{'x' * 90}</a{at}>" for at in range(11)) + "</r>"
    assert len(_read(_package(record * 3))[1]) == 3
    with pytest.raises(Malformed, match="第 1 条记录超过"):
        _read(_package(record.replace("</r>", "<b>" + "x" * 90 + "</b></r>")))
    with pytest.raises(Malformed, match="Head 超过"):
        _read(_package("<r/>", "<Items>" + f"<Item>{'x' * 100}</Item>" * 11 + "</Items>"))


@pytest.mark.parametrize("inner", ["x", "<b/>", "<![CDATA[x]]>"])
def test_a_null_with_content_is_neither(inner: str) -> None:
    xsi = "http://www.w3.org/2001/XMLSchema-instance"
    with pytest.raises(Malformed, match="第 1 条记录的元素 a 写明没有值，却有内容"):
        _read(_package(f'<r xmlns:xsi="{xsi}"><a xsi:nil="true">{inner}</a></r>'))
    assert _read(_package(f'<r xmlns:xsi="{xsi}"><a xsi:nil="true"> </a></r>'))[1] == [(1, [None])]
