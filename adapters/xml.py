"""The one place where XML is parsed (XML 的解析): no DTD, no entities, no network, no endless text or depth.

Messages of services and files come through the same door.

Two parsers with one set of limits: :func:`parse` makes a tree of what is small, :class:`Stream` calls back for what
is large. libxml2 has the limits of depth and text by itself; expat is given them here.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from pyexpat import ErrorString, ExpatError, ParserCreate, errors

from lxml import etree

from adapters.errors import Malformed, Unavailable

DEPTH = 256
"""Levels of elements at most."""
TEXT = 10_000_000
"""Bytes of one text at most, which are at least as many as its characters."""
TAG = 1 << 20
"""Bytes of one tag, comment or instruction at most."""

NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"

_DECLARED = re.compile(rb"^\s*<\?xml[^>]*\sencoding\s*=", re.IGNORECASE)


def parser(encoding: str | None = None) -> etree.XMLParser:
    """A parser that trusts nothing; comments and instructions vanish, so that they cannot split a text."""
    return etree.XMLParser(
        encoding=encoding,
        resolve_entities=False,
        load_dtd=False,
        dtd_validation=False,
        no_network=True,
        huge_tree=False,
        recover=False,
        remove_comments=True,
        remove_pis=True,
    )


def parse(content: bytes, what: str, *, charset: str | None = None) -> etree._Element:
    """Parse a document that came from outside.

    Args:
        content: The document.
        what: What it is, for the message.
        charset: The charset its HTTP header names; it counts where the document itself names none.

    Raises:
        Malformed: It is not well-formed, too deep, too long in one text, or has a DTD.
    """
    try:
        root = etree.fromstring(content, parser(None if _DECLARED.match(content) else charset))
    except (etree.LxmlError, LookupError, ValueError) as error:
        line = getattr(error, "lineno", None)
        where = f"（第 {line} 行）" if line else ""
        raise Malformed(f"{what}不是可读的 XML{where}", remedy="由提供方改正；过大的内容请减小每页行数") from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise Malformed(f"{what}带有 DTD，不予处理", remedy="由提供方去掉 DTD；这可能是攻击，请告知安全管理员")
    return root


class Stream:
    """A document as calls: what :func:`parse` refuses is refused here too.

    Names come as ``namespace}name``, or as the bare name where there is no namespace; attributes as a flat list of
    names and values. Texts are appended to ``texts``; who is called takes them out. The handlers may be exchanged while
    the document goes by.

    Args:
        what: What the document is, for the message.
        charset: The charset its HTTP header names; it counts where the document itself names none.
        given: Its charset, whatever the document says: it has been decoded before.
    """

    def __init__(self, what: str, *, charset: str | None = None, given: bool = False) -> None:
        self.texts: list[str] = []
        self._what = what
        self._charset = charset
        self._head = b""
        self._decode: Callable[[bytes, bool], str] | None = None
        self._begun = given
        self._fed = 0
        self.parser = ParserCreate("utf-8", "}")
        self.parser.buffer_text = True
        self.parser.buffer_size = 1 << 16
        self.parser.ordered_attributes = True
        self.parser.CharacterDataHandler = self.texts.append
        self.parser.StartDoctypeDeclHandler = self._doctype

    def feed(self, chunk: bytes) -> None:
        """Parse on.

        Raises:
            Malformed: It is not well-formed, too deep, too long in one text or tag, or has a DTD.
        """
        if not self._begun:
            self._head += chunk
            if len(self._head) < _HEAD and b">" not in self._head:
                return
            chunk = self._begin()
        self._parse(chunk, last=False)

    @property
    def as_it_came(self) -> bool:
        """The bytes are in the encoding that is parsed, and not decoded before."""
        return self._begun and self._decode is None

    @property
    def through(self) -> bool:
        """The parser has taken in all it was given: it is in no comment, instruction or tag."""
        return self.parser.CurrentByteIndex == self._fed

    def prove(self, piece: bytes) -> None:
        """Parse on and tell nobody: for a piece of whole elements whose content is read by other means.

        Raises:
            Malformed: As :meth:`feed`.
        """
        parser = self.parser
        told = parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler
        parser.StartElementHandler = parser.EndElementHandler = parser.CharacterDataHandler = None
        try:
            self.feed(piece)
        finally:
            parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = told

    def close(self) -> None:
        """The document has ended.

        Raises:
            Malformed: It is none.
            Unavailable: It was cut off.
        """
        self._parse(b"" if self._begun else self._begin(), last=True)

    def refused(self, why: str) -> Malformed:
        """The error for a document that is not taken."""
        return Malformed(f"{self._what}{why}", remedy="由提供方改正；过大的内容请减小每页行数")

    def _begin(self) -> bytes:
        head, self._head, self._begun = self._head, b"", True
        name = _charset(head, self._charset)
        if name is None:
            raise self.refused("的字符编码无法识别")
        if name != "utf-8":
            decoder = codecs.getincrementaldecoder(name)("strict")
            self._decode = lambda piece, last: decoder.decode(piece, last)
        return head

    def _parse(self, chunk: bytes, *, last: bool) -> None:
        parser = self.parser
        try:
            if self._decode is not None:
                chunk = self._decode(chunk, last).encode()
            self._fed += len(chunk)
            parser.Parse(chunk, last)
        except ExpatError as error:
            if last and error.code in _CUT and parser.CurrentByteIndex > 0:
                raise Unavailable(f"{self._what}中途断开", remedy="稍后再试；一直如此请联系对方") from error
            raise Malformed(
                f"{self._what}不是可读的 XML（第 {error.lineno} 行，{ErrorString(error.code)}）",
                remedy="由提供方改正；过大的内容请减小每页行数",
            ) from error
        except UnicodeError as error:
            raise self.refused("有不属于其字符编码的字节") from error
        # An expat of before 2.6 reads an unfinished tag again with every chunk.
        if self._fed - parser.CurrentByteIndex > TAG and not last:
            raise self.refused(f"有超过 {TAG} 字节的标记")
        if len(self.texts) > 1 and sum(map(len, self.texts)) > TEXT:
            raise self.refused(f"有超过 {TEXT} 字节的文本")

    def _doctype(self, *_: object) -> None:
        raise Malformed(f"{self._what}带有 DTD，不予处理", remedy="由提供方去掉 DTD；这可能是攻击，请告知安全管理员")


_HEAD = 256
_CUT = frozenset(
    errors.codes[text]
    for text in (
        errors.XML_ERROR_NO_ELEMENTS,
        errors.XML_ERROR_UNCLOSED_TOKEN,
        errors.XML_ERROR_PARTIAL_CHAR,
        errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
    )
)
_NAMED = re.compile(rb"^\s*<\?xml[^>]*?\sencoding\s*=\s*[\"']([A-Za-z0-9._-]{1,40})[\"']", re.IGNORECASE)
_CHARSETS = frozenset(
    ("utf-8", "ascii", "gb2312", "gbk", "gb18030", "big5", "big5hkscs", "utf-16", "utf-16-le", "utf-16-be", "cp1252")
) | {f"iso8859-{number}" for number in range(1, 17)}
_WIDER = {"gb2312": "gb18030", "gbk": "gb18030", "ascii": "utf-8"}
"""Charsets that are often named where the wider one is meant."""


def _charset(head: bytes, charset: str | None) -> str | None:
    """The charset of a document by its mark, its first bytes, its declaration or its header; None: not one of ours."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if head.startswith(b"\xef\xbb\xbf"):
        return "utf-8"
    if head.startswith((b"<\0", b"\0<")):
        return "utf-16-le" if head.startswith(b"<") else "utf-16-be"
    named = _NAMED.match(head)
    try:
        name = codecs.lookup(named[1].decode() if named else charset or "utf-8").name
    except LookupError:
        return None
    return _WIDER.get(name, name) if name in _CHARSETS else None
