"""Thrift's compact form (紧凑协议), read with no schema: a footer as it is, before a library believes it.

Parquet's own library ends the whole process over some footers as soon as it is asked about a column of theirs. So what
must be known of a stranger's footer is read here, where nothing worse can happen than an error.
"""

from __future__ import annotations

import struct
from typing import Any

DEPTH = 32
"""Structures within structures at most."""
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)


def structure(content: bytes) -> dict[int, Any]:
    """The fields of a structure by their numbers; lists as lists, structures in it as the same, texts as bytes.

    Raises:
        ValueError: It is none.
    """
    try:
        return _Reader(content).structure(0)
    except (IndexError, struct.error) as error:
        raise ValueError("cut off") from error


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def structure(self, depth: int) -> dict[int, Any]:
        if depth > DEPTH:
            raise ValueError("too deep")
        found: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._signed()
            kind = head & 15
            found[number] = kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind, depth)
        return found

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (_I16, _I32, _I64):
            return self._signed()
        if kind == _BINARY:
            return self._bytes(self._unsigned())
        if kind == _STRUCT:
            return self.structure(depth + 1)
        if kind in (_LIST, _SET):
            head = self._byte()
            size = head >> 4 if head >> 4 < 15 else self._unsigned()
            self._possible(size)
            return [self._value(head & 15, depth + 1) for _ in range(size)]
        if kind == _MAP:
            size = self._unsigned()
            self._possible(2 * size)
            kinds = self._byte() if size else 0
            return [(self._value(kinds >> 4, depth + 1), self._value(kinds & 15, depth + 1)) for _ in range(size)]
        if kind in (_TRUE, _FALSE, _BYTE):
            return self._byte()
        if kind == _DOUBLE:
            return self._bytes(8)
        raise ValueError("no such type")

    def _possible(self, size: int) -> None:
        """Each element takes a byte at least."""
        if size > len(self._content) - self._at:
            raise ValueError("cut off")

    def _byte(self) -> int:
        self._at += 1
        return self._content[self._at - 1]

    def _bytes(self, size: int) -> bytes:
        self._possible(size)
        self._at += size
        return self._content[self._at - size : self._at]

    def _unsigned(self) -> int:
        number = shift = 0
        while (byte := self._byte()) & 0x80:
            number |= (byte & 0x7F) << shift
            shift += 7
            if shift > 63:
                raise ValueError("no number")
        return number | byte << shift

    def _signed(self) -> int:
        number = self._unsigned()
        return (number >> 1) ^ -(number & 1)
