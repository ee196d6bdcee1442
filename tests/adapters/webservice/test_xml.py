from __future__ import annotations

import pytest

from adapters.errors import Malformed
from adapters.webservice import xml

BOMB = (
    '<!DOCTYPE a [<!ENTITY x0 "ha">'
    + "".join(f'<!ENTITY x{n} "{f"&x{n - 1};" * 10}">' for n in range(1, 10))
    + "]><a>&x9;</a>"
)

HOSTILE = {
    "bomb": BOMB,
    "external entity": '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><a>&x;</a>',
    "bare doctype": "<!DOCTYPE a><a/>",
    "external subset": '<!DOCTYPE a SYSTEM "http://127.0.0.1:1/a.dtd"><a/>',
    "parameter entity": '<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1:1/a.dtd">%x;]><a/>',
    "depth": "<a>" * 300 + "</a>" * 300,
    "long text": "<a>" + "x" * 11_000_000 + "</a>",
    "not closed": "<a><b></a>",
    "empty": "",
    "no xml": "hello",
    "undeclared entity": "<a>&nbsp;</a>",
}


@pytest.mark.parametrize("document", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_documents_are_malformed(document: str) -> None:
    with pytest.raises(Malformed) as caught:
        xml.parse(document.encode(), "应答")
    assert len(caught.value.message) < 200


def test_comments_and_instructions_do_not_split_a_text() -> None:
    root = xml.parse("<a>张<!-- x -->三<?y z?>丰</a>".encode(), "应答")
    assert xml.text(root) == "张三丰"


def test_nil_is_null_and_empty_is_empty() -> None:
    root = xml.parse(
        b'<a xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><b i:nil="true"/><c/><d>x</d><e i:nil="1"/></a>',
        "应答",
    )
    assert [xml.text(child) for child in root] == [None, "", "x", None]


@pytest.mark.parametrize(
    ("content", "charset"),
    [
        ("<a>𠮷䶮</a>".encode(), None),
        ("<a>𠮷䶮</a>".encode("gb18030"), "gb18030"),
        ('<?xml version="1.0" encoding="GB18030"?><a>𠮷䶮</a>'.encode("gb18030"), None),
        ('<?xml version="1.0" encoding="GB18030"?><a>𠮷䶮</a>'.encode("gb18030"), "utf-8"),
    ],
    ids=["utf-8", "header", "declaration", "declaration before header"],
)
def test_charset_of_declaration_or_header(content: bytes, charset: str | None) -> None:
    assert xml.text(xml.parse(content, "应答", charset=charset)) == "𠮷䶮"


def test_unknown_charset_is_malformed() -> None:
    with pytest.raises(Malformed):
        xml.parse(b"<a/>", "应答", charset="no-such-thing")


def test_fault_is_soap() -> None:
    root = xml.parse(xml.fault("Client", "不行 <&>"), "应答")
    assert root.findtext(".//faultcode") == "soap:Client"
    assert root.findtext(".//faultstring") == "不行 <&>"
