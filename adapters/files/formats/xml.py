"""XML: a Package with a Head and a Body (报文头、报文体), one element a record, one element in it a value.

Read by the one hardened parser of :mod:`adapters.xml`. Our own files name their columns and count their rows in the
Head, so that what is missing at the end shows. A value may be left out or say ``xsi:nil``: then it is null; an empty
element is an empty text. A name that is none for an element is written ``<item name="…">``.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from adapters.base import Options
from adapters.errors import Malformed, Unavailable, Unsupported
from adapters.files.formats.base import COLUMNS, Format, FormatName, NamedReader, Reader, Writer, text_of
from adapters.xml import DEPTH, NIL, Stream
from schemas.unreadable import unreadable

LONGEST = 64 << 20
"""Characters of the Head, or of one record, at most."""
_NAME = re.compile(r"(?!xml)[A-Za-z_\u4e00-\u9fa5][A-Za-z0-9_.\u4e00-\u9fa5-]*", re.IGNORECASE)
_ITEM = "item"
_NIL = NIL.removeprefix("{")
_FORBIDDEN = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x{fffe}\x{ffff}]"
_ESCAPES = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\r", "&#13;"))


class XmlReading(Options):
    """What a binding may say about XML to read.

    Attributes:
        record: Name of the elements in the Body that are records; by default that of the first one.
    """

    record: str | None = None


class XmlWriting(Options):
    """What a binding may say about XML to write.

    Attributes:
        record: Name of the element of a record.
        encoding: ``utf-8`` or ``gb18030``.
    """

    record: str = Field("record", max_length=100)
    encoding: Literal["utf-8", "gb18030"] = "utf-8"

    @field_validator("record")
    @classmethod
    def _an_element(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError("应为一个元素名：字母、汉字或下划线开头，不含空格和冒号")
        return value


class Xml(Format):
    """The format ``xml``."""

    name: ClassVar[FormatName] = "xml"
    endings: ClassVar[tuple[str, ...]] = (".xml",)
    reading: ClassVar[type[Options]] = XmlReading
    writing: ClassVar[type[Options]] = XmlWriting

    def reader(self, chunks: Iterable[bytes], name: str, options: Any, expected: Sequence[str] = ()) -> Reader:
        """Read a file; its header is what the Head announces and the first records name."""
        return XmlReader(chunks, name, options.record, expected)

    def check(self, batch: pa.RecordBatch) -> None:
        """Control characters cannot be written, not even as references."""
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if pa.types.is_string(column.type) and pc.any(pc.match_substring_regex(column, _FORBIDDEN)).as_py():
                raise Unsupported(
                    f"列 {name} 有 XML 不能表示的控制字符", remedy="由提供方改正，或改用 csv、jsonl 等其他格式交付"
                )

    def writer(self, schema: pa.Schema, options: Any, rows: int | None) -> Writer:
        """Write a file."""
        return XmlWriter(schema.names, options, rows)


class XmlReader(NamedReader):
    """The records of a Body, by their numbers."""

    def __init__(self, chunks: Iterable[bytes], name: str, record: str | None, expected: Sequence[str]) -> None:
        self._package = _Package(name, record)
        super().__init__(self._package.pieces(chunks), name, expected)

    def announced(self) -> Sequence[str]:
        """The Items of the Head."""
        return self._package.items

    def place(self, number: int) -> str:
        """By the number of the record."""
        return f"第 {number} 条记录"


class _Package:
    """The calls of the parser, put together to records."""

    def __init__(self, name: str, record: str | None) -> None:
        self.items: list[str] = []
        self._name = name
        self._record = record
        self._rows: str | None = None
        self._stack: list[str] = []
        self._bodies = 0
        self._made: list[dict[str, str | None]] = []
        self._count = 0
        self._values: dict[str, str | None] = {}
        self._held = 0
        self._field, self._nil, self._nested = "", False, False
        self._stream = Stream(f"文件 {name} ")
        self._stream.parser.StartElementHandler = self._start
        self._stream.parser.EndElementHandler = self._end

    def pieces(self, chunks: Iterable[bytes]) -> Iterator[tuple[list[int], list[dict[str, str | None]]]]:
        for chunk in chunks:
            self._stream.feed(chunk)
            if self._made:
                yield self._taken()
        try:
            self._stream.close()
        except Unavailable as error:
            raise Malformed(f"文件 {self._name} 不是完整的 XML", remedy="由提供方重新放入") from error
        if not self._bodies:
            raise self._broken("没有 Body")
        if self._rows is not None and self._rows.strip() != str(self._count):
            raise self._broken(f"有 {self._count} 条记录，与报文头的 Rows 不符")
        yield self._taken()

    def _taken(self) -> tuple[list[int], list[dict[str, str | None]]]:
        made, self._made = self._made, []
        return list(range(self._count - len(made) + 1, self._count + 1)), made

    def _start(self, tag: str, attributes: list[str]) -> None:
        name = tag.rpartition("}")[2]
        stack = self._stack
        stack.append(name)
        depth = len(stack)
        if depth > DEPTH:
            raise self._broken(f"嵌套超过 {DEPTH} 层")
        if depth == 1:
            if name != "Package":
                raise self._broken(f"的根元素是 {name[:40]}，应为 Package")
        elif depth == 2:
            if name == "Body":
                self._bodies += 1
                if self._bodies > 1:
                    raise self._broken("有不止一个 Body")
        elif stack[1] == "Body":
            if depth == 3:
                self._begin(name)
            elif depth == 4:
                self._no_text()
                given = dict(zip(attributes[::2], attributes[1::2], strict=True)) if attributes else {}
                self._field = given.get("name", name) if name == _ITEM else name
                self._nil = given.get(_NIL) in ("true", "1")
                self._nested = False
            else:
                self._nested = True
        self._stream.texts.clear()

    def _begin(self, name: str) -> None:
        if self._record is None:
            self._record = name
        if name != self._record:
            raise self._broken(f"的第 {self._count + 1} 条记录不是 {self._record[:40]} 元素")
        self._values, self._held = {}, 0

    def _count_in(self, text: str, values: int, where: str) -> None:
        """Neither a record nor the Head has an end that could be waited for."""
        self._held += len(text)
        if values > COLUMNS:
            raise self._broken(f"{where}有超过 {COLUMNS} 列")
        if self._held > LONGEST:
            raise self._broken(f"{where}超过 {LONGEST >> 20} MiB")

    def _end(self, tag: str) -> None:
        stack, texts = self._stack, self._stream.texts
        depth = len(stack)
        if depth >= 3 and stack[1] == "Body":
            if depth == 4:
                text = "".join(texts)
                if self._field in self._values:
                    raise self._broken(f"第 {self._count + 1} 条记录有重名的元素 {self._field[:40]}")
                if self._nil and (text.strip() or self._nested):
                    raise self._broken(f"第 {self._count + 1} 条记录的元素 {self._field[:40]} 写明没有值，却有内容")
                if self._nested:
                    text = unreadable("nested", text)
                self._values[self._field] = None if self._nil else text
                self._count_in(text, len(self._values), f"第 {self._count + 1} 条记录")
            elif depth == 3:
                self._no_text()
                self._count += 1
                self._made.append(self._values)
        elif stack[1:] == ["Head", "Rows"]:
            self._rows = "".join(texts)
        elif stack[1:] == ["Head", "Items", "Item"]:
            self.items.append("".join(texts))
            self._count_in(self.items[-1], len(self.items), "的 Head ")
        stack.pop()
        if depth < 6:
            texts.clear()

    def _no_text(self) -> None:
        if self._stream.texts and "".join(self._stream.texts).strip():
            raise self._broken(f"第 {self._count + 1} 条记录在元素之间有文字")

    def _broken(self, what: str) -> Malformed:
        return Malformed(
            f"文件 {self._name} {what}", remedy="由提供方改正：Package 内一个 Head 和一个 Body，每条记录一个元素"
        )


class XmlWriter(Writer):
    """A Package."""

    def __init__(self, names: Sequence[str], options: XmlWriting, rows: int | None) -> None:
        self._names = tuple(names)
        self._options = options
        self._rows = rows
        self._tags = [_tags(name) for name in names]

    def header(self) -> bytes:
        """Everything up to the first record."""
        items = "".join(f"<Item>{_attribute(name)}</Item>" for name in self._names)
        rows = "" if self._rows is None else f"<Rows>{self._rows}</Rows>"
        declared = f'<?xml version="1.0" encoding="{self._options.encoding.upper()}"?>'
        return f"{declared}\n<Package>\n<Head><Items>{items}</Items>{rows}</Head>\n<Body>\n".encode(
            self._options.encoding
        )

    def rows(self, batch: pa.RecordBatch) -> bytes:
        """The elements of some records; what is null is left out."""
        if not batch.num_rows:
            return b""
        record = self._options.record
        pieces: list[Any] = [pa.repeat(f"<{record}>", batch.num_rows)]
        for (begin, end), column in zip(self._tags, batch.columns, strict=True):
            text = text_of(column)
            for sign, escape in _ESCAPES:
                text = pc.replace_substring(text, sign, escape)
            pieces.append(pc.fill_null(pc.binary_join_element_wise(begin, text, end, ""), ""))
        lines = pc.binary_join_element_wise(*pieces, f"</{record}>\n", "")
        content: str = pc.binary_join(pa.ListArray.from_arrays([0, len(lines)], lines), "")[0].as_py()
        return content.encode(self._options.encoding)

    def trailer(self) -> Iterator[bytes]:
        """The ends of Body and Package."""
        yield b"</Body>\n</Package>\n"


def _tags(name: str) -> tuple[str, str]:
    if name != _ITEM and _NAME.fullmatch(name):
        return f"<{name}>", f"</{name}>"
    return f'<{_ITEM} name="{_attribute(name)}">', f"</{_ITEM}>"


def _attribute(text: str) -> str:
    escaped = html.escape(text)
    for sign in "\t\n\r":
        escaped = escaped.replace(sign, f"&#{ord(sign)};")
    return escaped
