from __future__ import annotations

from collections.abc import Callable

import pytest

from adapters import xml
from adapters.errors import AdapterError, Malformed, Unavailable
from tests.adapters.webservice.test_xml import HOSTILE


def _streamed(content: bytes, step: int, *, charset: str | None = None) -> str:
    stream = xml.Stream("文件 a.xml ", charset=charset)
    for start in range(0, len(content), step):
        stream.feed(content[start : start + step])
    stream.close()
    return "".join(stream.texts)


def _parsed(content: bytes) -> str:
    return "".join(xml.parse(content, "文件 a.xml ").itertext())


@pytest.mark.parametrize("read", [_parsed, lambda content: _streamed(content, 1 << 16)], ids=["tree", "stream"])
@pytest.mark.parametrize("document", [HOSTILE[name] for name in HOSTILE if name != "depth"])
def test_both_parsers_refuse_what_is_hostile(document: str, read: Callable[[bytes], str]) -> None:
    # How deep a document may be, whoever is called back counts for himself.
    with pytest.raises(AdapterError) as caught:
        read(document.encode())
    assert isinstance(caught.value, Malformed | Unavailable)
    assert len(caught.value.message) < 200


def test_a_tree_is_not_too_deep() -> None:
    with pytest.raises(Malformed):
        xml.parse(("<a>" * 300 + "</a>" * 300).encode(), "文件 a.xml ")


@pytest.mark.parametrize("step", [1, 7, 1 << 16])
@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "gbk", "utf-16"])
def test_encodings(encoding: str, step: int) -> None:
    content = f'<?xml version="1.0" encoding="{encoding}"?><a>张三&amp;</a>'.encode(encoding)
    assert _streamed(content, step) == "张三&"


def test_a_doctype_is_named() -> None:
    for read in (_parsed, lambda content: _streamed(content, 5)):
        with pytest.raises(Malformed, match="DTD"):
            read(b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>')


def test_what_is_cut_off_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        _streamed(b"<a><b>x</b>", 4)
