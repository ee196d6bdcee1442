"""Reading requests (读请求): the laws of :mod:`adapters.webservice.xml` for messages too long for a tree.

The parser here builds nothing but what it is asked for. It takes no DTD, so that there are no entities, knows
no XInclude and no network, and counts as it goes: depth, elements, attributes, the length of a text and of a tag.
Rows become columns of texts, a batch at a time; how many there are does not matter to memory.
"""

from __future__ import annotations

import binascii
import codecs
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from xml.parsers import expat

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from adapters.base import DELETE, OPERATION, PUT
from adapters.webservice.faults import Fault, Soap
from adapters.webservice.plain import PIECE, rows_of
from adapters.webservice.spool import Spool
from adapters.webservice.xml import ENVELOPES, NIL
from schemas import Item

BATCH_ROWS = 8192
BATCH_BYTES = 4 << 20
"""A batch is handed on when it has so many rows, or was made of so many bytes."""

_DECLARED = re.compile(rb"^\s*<\?xml[^>]{0,200}\sencoding\s*=\s*[\"']([A-Za-z][A-Za-z0-9._-]{0,40})[\"']")
_DECLARATION = 512
"""Bytes within which a document says its encoding."""
_CODECS = {
    "utf-8": "", "utf8": "", "us-ascii": "", "ascii": "",
    "utf-16": "utf-16", "utf-16le": "utf-16", "utf-16be": "utf-16",
    "gb2312": "gb18030", "gbk": "gb18030", "gb18030": "gb18030",
}  # fmt: skip
"""Encodings that are read, by what the expat parser is handed: bytes as they are, or text decoded here."""
_OPERATIONS = {"put": PUT, "delete": DELETE}
_NIL = NIL.removeprefix("{").replace("}", " ")
_SPACES = " \t\r\n"
"""What XML Schema leaves away around a boolean."""
_ROW_ENDS = re.compile(rb"</((?:[^\s<>/:]{1,64}:)?row)>")
_HANDLERS = ("StartElementHandler", "EndElementHandler", "CharacterDataHandler")
_XOP = "http://www.w3.org/2004/08/xop/include"
"""The namespace of MTOM's references to attachments."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a request may have at most (上限).

    Attributes:
        body: Bytes of the body.
        rows: Rows of a push.
        text: Characters of one value.
        tag: Bytes of one tag, with its attributes.
        depth: Levels of elements.
        attributes: Attributes of one element.
        elements: Elements of one row, and of all that is no row.
        around: Characters of all that is neither row nor payload.
        page: Rows of one answer, and those of one that names no limit.
    """

    body: int = 64 << 20
    rows: int = 200_000
    text: int = 8 << 20
    tag: int = 256 << 10
    depth: int = 32
    attributes: int = 32
    elements: int = 1024
    around: int = 256 << 10
    page: int = 20_000
    usual_page: int = 1_000


@dataclass
class Node:
    """An element of the small part of a message."""

    space: str
    name: str
    attributes: Mapping[str, str]
    parts: list[str] = field(default_factory=list)
    children: list[Node] = field(default_factory=list)

    @property
    def nil(self) -> bool:
        """It says nil."""
        return _true(self.attributes.get(_NIL))

    @property
    def text(self) -> str | None:
        """Its text, None where it says nil."""
        return None if self.nil else "".join(self.parts)


class Message:
    """A request, read as far as it is needed.

    Args:
        chunks: Its bytes.
        soap: The version its address is for.
        limits: What it may have at most.
        charset: What its HTTP header says; it counts where the document itself says nothing.
        generic: Rows name their items by an attribute.

    Attributes:
        header: Blocks of the SOAP header, whole once :meth:`open` returned.
        operation: The element in the body.
        arguments: Its children but rows and payload, whole when rows or payload begin, or it ends.
        payload: What came as payload.
        rows_seen: Rows read so far.
    """

    def __init__(
        self,
        chunks: Iterator[bytes],
        soap: Soap,
        limits: Limits,
        *,
        charset: str | None = None,
        generic: bool = False,
    ) -> None:
        self.header: list[Node] = []
        self.operation: Node | None = None
        self.arguments: list[Node] = []
        self.payload: Spool | None = None
        self.rows_seen = 0
        self._chunks = chunks
        self._soap = soap
        self._limits = limits
        self._charset = charset
        self._generic = generic
        self._space = ENVELOPES[soap]
        self._stack: list[Node] = []
        self._where = ""  # Header or Body
        self._done: set[str] = set()  # of Header and Body, and the stages that were passed
        self._nodes = 0
        self._around = 0
        self._parts: list[str] = []
        self._rows: list[dict[str, str | None]] = []
        self._operations: list[int] = []
        self._names: dict[str, None] = {}
        self._coded = ""
        self._fed = 0  # bytes since the last batch
        self._read = 0  # bytes in all
        self._given = 0  # bytes the parser has had
        self._begun = False
        self._decode: codecs.IncrementalDecoder | None = None
        self._ended = False
        self._wanted: tuple[Sequence[Item], Mapping[str, str]] | None = None
        self._after_row = False
        self._row_name = b""  # of plain rows that follow one another
        self._waiting = b""
        self._ready: list[pa.RecordBatch] = []
        parser = expat.ParserCreate("utf-8", " ")
        parser.buffer_text = True
        parser.buffer_size = 64 << 10
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartCdataSectionHandler = self._section
        self._parser = parser
        self._outside()

    def open(self) -> None:
        """Read as far as the body: its header is whole then."""
        self._until("body")

    def begin(self) -> Node:
        """Read the operation and its arguments, as far as rows or payload.

        Returns:
            The operation's element.
        """
        self._until("arguments")
        assert self.operation is not None  # noqa: S101 - arguments have an operation
        return self.operation

    @property
    def has_rows(self) -> bool:
        """Whether rows begin here; asked after :meth:`begin`."""
        return "rows" in self._done

    def batches(self, items: Sequence[Item], elements: Mapping[str, str]) -> Iterator[pa.RecordBatch]:
        """The rows, and then the rest of the message: it is whole when they are through.

        Args:
            items: What a row may have.
            elements: Name of an element, or of an item in generic rows, to name of the item.
        """
        self._wanted = items, elements
        while self._advance():
            if len(self._rows) >= BATCH_ROWS or (self._rows and self._fed >= BATCH_BYTES):
                self._ready.append(self._batch(items, elements))
            yield from self._taken()
        yield from self._taken()
        self._closed()
        if self._rows:
            yield self._batch(items, elements)

    def _taken(self) -> Iterator[pa.RecordBatch]:
        ready, self._ready = self._ready, []
        yield from ready

    def rest(self) -> None:
        """Read to the end."""
        while self._advance():
            pass
        self._closed()

    def close(self) -> None:
        """Let go of it, and of what was read and not asked for."""
        # The parser knows us and we know it: nobody else would part us soon.
        for handler in (
            "StartElementHandler",
            "EndElementHandler",
            "CharacterDataHandler",
            "StartDoctypeDeclHandler",
            "StartCdataSectionHandler",
        ):
            setattr(self._parser, handler, None)
        self._rows.clear()
        self._parts.clear()
        if self.payload is not None:
            self.payload.close()

    def _until(self, stage: str) -> None:
        while stage not in self._done and self._advance():
            pass
        if stage not in self._done:
            self._closed()

    def _closed(self) -> None:
        if "Body" not in self._done:
            raise _malformed("SOAP 信封没有正文（Body）")
        if self.operation is None:
            raise _malformed("SOAP 正文是空的")

    def _advance(self) -> bool:
        """Read one more chunk; whether there was one."""
        if self._ended:
            return False
        chunk = next(self._chunks, None)
        if not self._begun:
            # The declaration of the encoding must be in one piece.
            while chunk is not None and len(chunk) < _DECLARATION and (more := next(self._chunks, None)) is not None:
                chunk += more
        try:
            if chunk is None:
                self._ended = True
                self._leap()
                if self._decode is not None:
                    self._parser.Parse(self._decode.decode(b"", final=True).encode())
                self._parser.Parse(b"", True)  # noqa: FBT003 - its own way
                return False
            if not self._begun:
                self._begun = True
                self._choose(chunk)
            text = chunk if self._decode is None else self._decode.decode(chunk).encode()
            self._read += len(text)
            self._fed += len(text)
            self._take(text)
        except expat.ExpatError as error:
            raise _malformed(f"请求不是可读的 XML（第 {error.lineno} 行）") from error
        except UnicodeDecodeError as error:
            raise _malformed("请求中有与所声明的编码不符的字节") from error
        # A tag that does not end is held by the parser, a text that does not end by us.
        if self._read - len(self._waiting) - self._parser.CurrentByteIndex > self._limits.tag + len(text):
            raise _too_large(f"一个标签（含属性）不得超过 {self._limits.tag} 字节")
        if len(self._parts) > 1 and sum(map(len, self._parts)) > self._limits.text:
            raise _too_large(f"一个值不得超过 {self._limits.text} 个字符")
        return True

    def _take(self, text: bytes) -> None:
        """Parse on; where plain rows follow one another, a large piece of them at once."""
        if self._row_name:
            self._waiting += text
            if len(self._waiting) >= PIECE:
                self._leap()
            return
        inside = self._wanted is not None and not self._generic and self._decode is None
        if not inside or not (end := _ROW_ENDS.search(text)):
            self._parse(text)
            return
        self._parse(text[: end.end()])
        if self._between_rows:
            self._row_name = end[1]
            self._take(text[end.end() :])
        else:
            self._parse(text[end.end() :])

    def _leap(self) -> None:
        """Parse what waits; the rows in it are taken out at once if they are plain."""
        if not self._row_name:
            return
        close = b"</" + self._row_name + b">"
        last = self._waiting.rfind(close)
        # A row that has no end within a piece is read on as it comes, under the limits of a text.
        end = last + len(close) if last >= 0 else len(self._waiting)
        piece, rest, self._waiting = self._waiting[:end], self._waiting[end:], b""
        if piece and not self._plain(piece):
            self._parse(piece)
        if self._between_rows and not self._ended:
            self._waiting = rest
        else:
            self._row_name = b""
            self._parse(rest)

    def _plain(self, piece: bytes) -> bool:
        """Take plain rows out of a piece, if that is what it is; the parser proves it without a call for each."""
        if self._wanted is None:
            return False
        items, elements = self._wanted
        read = rows_of(piece, self._row_name, tuple(elements), foreign=0, exact=True)
        if read is None or self.rows_seen + read.batch.num_rows > self._limits.rows:
            return False
        longest = (pc.max(pc.binary_length(column)).as_py() or 0 for column in read.batch.columns)
        if any(length > self._limits.text for length in longest):
            return False
        told = [getattr(self._parser, name) for name in _HANDLERS]
        for name in _HANDLERS:
            setattr(self._parser, name, None)
        self._parse(piece)
        for name, handler in zip(_HANDLERS, told, strict=True):
            setattr(self._parser, name, handler)
        if self._rows:
            self._ready.append(self._batch(items, elements))
        rows = read.batch.num_rows
        self.rows_seen += rows
        there = dict(zip(elements.values(), read.batch.columns, strict=True))
        columns = [there.get(item.name, pa.nulls(rows, pa.string())) for item in items]
        columns.append(pa.array(np.full(rows, _OPERATIONS["put"], np.int8)))
        self._ready.append(pa.RecordBatch.from_arrays(columns, names=[*(item.name for item in items), OPERATION]))
        return True

    def _parse(self, text: bytes) -> None:
        self._given += len(text)
        self._parser.Parse(text)

    @property
    def _between_rows(self) -> bool:
        """A row has just ended, and the parser is in no comment, instruction or section: what comes next is markup."""
        return self._after_row and self._parser.CurrentByteIndex == self._given

    def _choose(self, chunk: bytes) -> None:
        declared = _DECLARED.match(chunk)
        named = declared[1].decode() if declared else self._charset or "utf-8"
        if chunk[:2] in (b"\xff\xfe", b"\xfe\xff", b"<\x00", b"\x00<"):
            named = "utf-16" if chunk[0] > 0x80 else "utf-16-le" if chunk[0] else "utf-16-be"
            self._decode = codecs.getincrementaldecoder(named)()
            return
        codec = _CODECS.get(named.strip("\"' ").lower())
        if codec is None:
            raise Fault("Client.Unsupported", "请求的编码不受支持", remedy="请用 UTF-8，或 UTF-16、GB18030、GBK")
        if codec:
            self._decode = codecs.getincrementaldecoder(codec)()

    # What is around the rows.

    def _outside(self) -> None:
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text

    def _section(self) -> None:
        self._after_row = False

    def _doctype(self, *_: object) -> None:
        raise _malformed("请求带有 DTD，不予处理", "去掉 DTD；SOAP 不允许 DTD")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        space, _, name = tag.rpartition(" ")
        depth = len(self._stack)
        self._nodes += 1
        if depth >= self._limits.depth:
            raise _too_large(f"元素嵌套不得超过 {self._limits.depth} 层")
        if len(attributes) > self._limits.attributes:
            raise _too_large(f"一个元素的属性不得超过 {self._limits.attributes} 个")
        if self._nodes > self._limits.elements:
            raise _too_large(f"行以外的元素不得超过 {self._limits.elements} 个")
        node = Node(space, name, attributes)
        if depth == 0:
            self._root(node)
        elif depth == 1:
            self._part(node)
        elif depth == 2:
            self._block(node)
        elif depth == 3 and self._where == "Body":
            if self._argument(node):
                return
        elif space == _XOP:
            raise _mtom()
        else:
            self._stack[-1].children.append(node)
        self._stack.append(node)

    def _root(self, node: Node) -> None:
        if node.name != "Envelope":
            raise _malformed("请求不是 SOAP 信封")
        if node.space != self._space:
            raise Fault(
                "VersionMismatch",
                f"这个地址只收 SOAP {self._soap} 的信封",
                remedy="SOAP 1.1 用 /soap/ 下的地址，SOAP 1.2 用 /soap12/ 下的地址",
            )

    def _part(self, node: Node) -> None:
        order = ("Header", "Body")
        if node.space != self._space or node.name not in order:
            raise _malformed("SOAP 信封里只能有 Header 和 Body")
        if node.name in self._done or "Body" in self._done or "body" in self._done:
            raise _malformed("SOAP 信封里的 Header 和 Body 重复或次序不对")
        self._where = node.name
        if node.name == "Body":
            self._done.add("body")

    def _block(self, node: Node) -> None:
        if self._where == "Header":
            self.header.append(node)
            return
        if self.operation is not None:
            raise _malformed("SOAP 正文里只能有一个元素")
        self.operation = node

    def _argument(self, node: Node) -> bool:
        """An argument of the operation; whether it is the rows, which are read otherwise."""
        assert self.operation is not None  # noqa: S101 - its children have it
        if node.name in ("rows", "payload") and node.space in ("", self.operation.space):
            if "arguments" in self._done:
                raise _malformed("rows 和 payload 只能有一个，并且是最后一个参数")
            self._done.add("arguments")
            if node.name == "rows":
                self._done.add("rows")
                self._inside(self.operation.space)
                return True
            self.payload = Spool()
        elif "arguments" in self._done:
            raise _malformed("rows 或 payload 应是最后一个参数")
        else:
            self.arguments.append(node)
        return False

    def _text(self, text: str) -> None:
        if self._stack[-1].nil and text.strip():
            raise _malformed("元素既写 nil 又有内容")
        if self.payload is not None and len(self._stack) == 4 and self._stack[-1].name == "payload":
            self._decoded(text)
            return
        self._around += len(text)
        if self._around > self._limits.around:
            raise _too_large(f"行以外的文字不得超过 {self._limits.around} 个字符")
        if len(self._stack) > 2:
            self._stack[-1].parts.append(text)
        elif text.strip():
            raise _malformed("SOAP 信封里有多余的文字")

    def _decoded(self, text: str, *, last: bool = False) -> None:
        assert self.payload is not None  # noqa: S101 - asked before
        coded = self._coded + "".join(text.split())
        cut = len(coded) if last else len(coded) // 4 * 4
        try:
            self.payload.write(binascii.a2b_base64(coded[:cut], strict_mode=True))
        except (binascii.Error, ValueError) as error:
            raise _malformed("payload 不是正确的 base64") from error
        self._coded = coded[cut:]

    def _end(self, tag: str) -> None:
        node = self._stack.pop()
        depth = len(self._stack)
        if depth == 1:
            self._done.add(node.name)
        elif depth == 2 and self._where == "Body":
            self._done.add("arguments")
        elif depth == 3 and node.name == "payload" and self.payload is not None:
            if node.children:
                raise _malformed("payload 里只能有 base64 文字")
            self._decoded("", last=True)

    # Rows: most of the time is spent here, so what is written out below is not the shortest form.

    def _inside(self, space: str) -> None:
        parts, rows, operations, names = self._parts, self._rows, self._operations, self._names
        limits, generic = self._limits, self._generic
        row_tags = {f"{space} row", "row"}
        item_tags = {f"{space} item", "item"}
        level = 0
        current: dict[str, str | None] = {}
        key = ""
        nil = False

        def start(tag: str, attributes: dict[str, str]) -> None:
            nonlocal level, current, key, nil
            self._after_row = False
            if parts:
                if "".join(parts).strip():
                    raise self._in_row("行里有不属于任何信息项的文字")
                parts.clear()
            if level == 1:
                level = 2
                nil = False
                if len(attributes) > generic:
                    if len(attributes) > limits.attributes:
                        raise _too_large(f"一个元素的属性不得超过 {limits.attributes} 个")
                    nil = _true(attributes.get(_NIL)) or (generic and _true(attributes.get("nil")))
                if generic:
                    if tag not in item_tags or "name" not in attributes:
                        raise self._in_row("行里只能有带 name 的 item")
                    tag = attributes["name"]
                if tag not in names:
                    if len(names) >= limits.elements:
                        raise _too_large(f"一行不得超过 {limits.elements} 个元素")
                    names[tag] = None
                if tag in current:
                    raise self._in_row("同一信息项出现了不止一次")
                key = tag
            elif level == 0:
                if tag not in row_tags:
                    raise _malformed("rows 里只能有 row")
                self.rows_seen += 1
                if self.rows_seen > limits.rows:
                    raise _too_large(f"一次推送不得超过 {limits.rows} 行")
                level = 1
                current = {}
                operation = _OPERATIONS.get(attributes.get("_operation", "put"))
                if operation is None:
                    raise self._in_row("_operation 只能是 put 或 delete")
                operations.append(operation)
            else:
                if tag.startswith(_XOP):
                    raise _mtom()
                raise self._in_row("信息项里不能再有元素")

        def end(tag: str) -> None:
            nonlocal level
            if level == 2:
                level = 1
                if nil:
                    if "".join(parts).strip():
                        raise self._in_row("信息项既写 nil 又有内容")
                    current[key] = None
                else:
                    text = parts[0] if len(parts) == 1 else "".join(parts)
                    if len(text) > limits.text:
                        raise _too_large(f"一个值不得超过 {limits.text} 个字符")
                    current[key] = text
                parts.clear()
                return
            if parts:
                if "".join(parts).strip():
                    raise self._in_row("行里有不属于任何信息项的文字")
                parts.clear()
            if level == 1:
                level = 0
                rows.append(current)
                self._after_row = True
            else:
                self._after_row = False
                self._outside()

        self._parser.StartElementHandler = start
        self._parser.EndElementHandler = end
        # A list's own method: no step of ours for each text.
        self._parser.CharacterDataHandler = parts.append

    def _in_row(self, words: str) -> Fault:
        return _malformed(f"第 {self.rows_seen} 行：{words}")

    def _batch(self, items: Sequence[Item], elements: Mapping[str, str]) -> pa.RecordBatch:
        assert self.operation is not None  # noqa: S101 - rows have an operation
        prefix = f"{self.operation.space} "
        found: dict[str, str] = {}
        for tag in self._names:
            name = elements.get(tag if self._generic else tag.removeprefix(prefix))
            if name is None:
                raise _malformed(
                    f"前 {self.rows_seen} 行中有服务描述里没有的信息项", "按服务描述（?wsdl）填写；描述可能已有新的版本"
                )
            if name in found:
                raise _malformed("同一信息项有两种写法")
            found[name] = tag
        count = len(self._rows)
        columns = []
        for item in items:
            spelled = found.get(item.name)
            values = [None] * count if spelled is None else [row.get(spelled) for row in self._rows]
            columns.append(pa.array(values, pa.string()))
        columns.append(pa.array(self._operations[:count], pa.int8()))
        self._rows.clear()
        del self._operations[:count]
        self._fed = 0
        return pa.RecordBatch.from_arrays(columns, names=[*(item.name for item in items), OPERATION])


def _true(value: str | None) -> bool:
    """Whether an attribute says yes, as XML Schema writes a boolean."""
    return value is not None and value.strip(_SPACES) in ("true", "1")


def _malformed(message: str, remedy: str = "按服务描述（?wsdl）改正请求") -> Fault:
    return Fault("Client.Malformed", message, remedy=remedy)


def _mtom() -> Fault:
    return Fault("Client.Unsupported", "不接受 MTOM 附件", remedy="由调用方关闭 MTOM，把内容直接写在元素里")


def _too_large(message: str) -> Fault:
    return Fault("Client.TooLarge", message, remedy="分几次发送")
