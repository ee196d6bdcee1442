"""Rows of an answer as XML (应答行), built a column at a time: no object per row.

Two shapes of one row: *typed*, an element per item, and *generic*, ``<item name="…">`` for every item. In both,
text forms are those of XML Schema: true and false, plain decimals, ISO dates, instants in UTC with their Z.
A carriage return is written as a reference, for a reader may take it for the end of a line. What XML cannot
carry at all is never sent and never left out: the answer is refused, naming item and rule.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from adapters.base import DELETE, OPERATION, PUT
from adapters.webservice.faults import Fault
from adapters.webservice.texts import texts
from schemas import Item

ROWS = 4096
FEW = 4
"""Rows that are made into XML one by one: for so few, a step for each column costs more."""
LARGEST = 32 << 20
"""Rows and bytes that are made into XML at once."""

UNSENDABLE = "xml_characters"
"""The rule that a value breaks which XML cannot carry."""

_CONTROL = np.ones(256, dtype=bool)
_CONTROL[32:] = False
_CONTROL[[9, 10, 13]] = False
_UNSENDABLE = "[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]"
_NONCHARACTERS = (b"\xef\xbf\xbe", b"\xef\xbf\xbf")
_ESCAPES = ((b"&", "&amp;"), (b"<", "&lt;"), (b">", "&gt;"), (b"\r", "&#13;"))
_ODD = re.compile(_UNSENDABLE)
_NOTHING = pa.scalar("", pa.string())
_GONE, _HERE = '<row _operation="delete">', "<row>"
_DELETED = pa.scalar(DELETE, pa.int8())
_NAME = re.compile(r"[^\W\d][\w.\-]*")

Dress = Callable[[pa.RecordBatch], Iterator[bytes]]
"""Makes XML of the rows of a batch."""


@lru_cache(4096)
def element_name(name: str) -> str:
    """An item's name as an element's: itself, unless XML has no such name (then as ``_x0031_``, like .NET)."""
    if _NAME.fullmatch(name) and _simple(name):
        return name
    spelled = ""
    for letter in name:
        fits = _simple(letter) and _NAME.fullmatch(f"{spelled}{letter}")
        spelled += letter if fits else f"_x{ord(letter):04X}_"
    return spelled


def _simple(text: str) -> bool:
    # Schema processors keep to the letters of XML 1.0's fourth edition: the common ideographs, no later ones.
    return all(letter.isascii() or "\u4e00" <= letter <= "\u9fa5" for letter in text)


def escape(text: str) -> str:
    """A text as an element's content or an attribute's value.

    Raises:
        Fault: It has characters that XML cannot carry.
    """
    if re.search(f"[\ud800-\udfff]|{_UNSENDABLE}", text):
        raise unsendable("")
    for old, new in ((b"&", "&amp;"), (b"<", "&lt;"), (b">", "&gt;"), (b"\r", "&#13;"), (b'"', "&quot;")):
        text = text.replace(old.decode(), new)
    return text


def unsendable(item: str) -> Fault:
    """The refusal of an answer that XML cannot carry."""
    where = f"信息项 {item} " if item else "应答"
    return Fault(
        "Server.Unsendable",
        f"{where}有 XML 不能表示的字符（规则 {UNSENDABLE}），本页没有发出",
        remedy="由提供方更正该行；或以 format=arrow 读取，压缩格式可以表示",
    )


def typed(items: Sequence[Item]) -> Dress:
    """Rows as elements named like the items; what is null is not there."""
    names = [item.name for item in items]
    marks = [(f"<{element}>", f"</{element}>", "") for element in map(element_name, names)]
    return _dress(names, marks)


def generic(items: Sequence[Item]) -> Dress:
    """Rows as ``<item name="…">``; what is null says so, what is not granted is not there."""
    names = [item.name for item in items]
    spelled = map(escape, names)
    marks = [(f'<item name="{name}">', "</item>", f'<item name="{name}" nil="true"/>') for name in spelled]
    return _dress(names, marks)


def _dress(names: Sequence[str], marks: Sequence[tuple[str, str, str]]) -> Dress:
    def dress(batch: pa.RecordBatch) -> Iterator[bytes]:
        if batch.num_rows <= FEW:
            if batch.num_rows:
                yield _singly(batch, names, marks)
            return
        for start in range(0, batch.num_rows, ROWS):
            yield from _pieces(batch.slice(start, ROWS), names, marks)

    return dress


def _singly(batch: pa.RecordBatch, names: Sequence[str], marks: Sequence[tuple[str, str, str]]) -> bytes:
    """A few rows, one by one."""
    columns = []
    for name, (before, after, absent) in zip(names, marks, strict=True):
        column = batch.column(name)
        values = texts(column).to_pylist()
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            values = [None if value is None else _escaped(value, name) for value in values]
        columns.append([absent if value is None else f"{before}{value}{after}" for value in values])
    gone = batch.column(OPERATION).to_pylist() if OPERATION in batch.schema.names else [PUT] * batch.num_rows
    rows = zip(gone, zip(*columns, strict=True), strict=True)
    return "".join(
        f"{_GONE if operation == DELETE else _HERE}{''.join(values)}</row>" for operation, values in rows
    ).encode()


def _escaped(text: str, name: str) -> str:
    """A value as an element's content."""
    if _ODD.search(text):
        raise unsendable(name)
    for mark, reference in _ESCAPES:
        text = text.replace(mark.decode(), reference)
    return text


def _pieces(batch: pa.RecordBatch, names: Sequence[str], marks: Sequence[tuple[str, str, str]]) -> Iterator[bytes]:
    if batch.nbytes > LARGEST and batch.num_rows > 1:
        half = batch.num_rows // 2
        yield from _pieces(batch.slice(0, half), names, marks)
        yield from _pieces(batch.slice(half), names, marks)
        return
    parts: list[pa.Array | str] = [_opening(batch)]
    for name, (before, after, absent) in zip(names, marks, strict=True):
        column = _sendable(batch.column(name), name)
        if column.null_count:
            parts.append(pc.fill_null(pc.binary_join_element_wise(before, column, after, _NOTHING), absent))
        elif isinstance(parts[-1], str):
            # A literal between two columns is written once, in the one pass that joins them all.
            parts[-1] += before
            parts += [column, after]
        else:
            parts += [before, column, after]
    if isinstance(parts[-1], str):
        parts[-1] += "</row>"
    else:
        parts.append("</row>")
    yield _whole(pc.binary_join_element_wise(*parts, _NOTHING))


def _opening(batch: pa.RecordBatch) -> pa.Array | str:
    if OPERATION not in batch.schema.names:
        return _HERE
    gone = pc.equal(batch.column(OPERATION), _DELETED)
    if not pc.any(gone).as_py():
        return _HERE
    return pc.if_else(gone, _GONE, _HERE)


def _sendable(column: pa.Array, name: str) -> pa.Array:
    """A column as texts in which nothing is markup."""
    found = texts(column)
    if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
        return found
    raw = _whole(found)
    suspect = any(mark in raw for mark in _NONCHARACTERS) or _CONTROL[np.frombuffer(raw, np.uint8)].any()
    # The bytes of a null are no value's.
    if suspect and pc.any(pc.match_substring_regex(found, _UNSENDABLE)).as_py():
        raise unsendable(name)
    for mark, reference in _ESCAPES:
        if mark in raw:
            found = pc.replace_substring(found, mark.decode(), reference)
    return found


def _whole(column: pa.Array) -> bytes:
    """The bytes of all values of a column of texts, one after another."""
    if not len(column):
        return b""
    offsets = np.frombuffer(column.buffers()[1], np.int32)[column.offset : column.offset + len(column) + 1]
    data = column.buffers()[2]
    return b"" if data is None else data.slice(int(offsets[0]), int(offsets[-1] - offsets[0])).to_pybytes()
