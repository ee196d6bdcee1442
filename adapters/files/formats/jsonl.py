"""JSON Lines (每行一个 JSON 对象): one object a line, in UTF-8, every value as the text that stands there.

Numbers keep the digits they are written with. What would be guessed at is refused: an object that names something
twice, a line that is no object, NaN, half a character. A nested value is read where the binding says that the column
holds child rows, as canonical JSON; elsewhere its row is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from adapters.base import Options
from adapters.errors import Malformed
from adapters.files.formats.base import Format, FormatName, NamedReader, Reader, Writer, names_of, text_of
from schemas.child_rows import quoted
from schemas.items import ROWS
from schemas.unreadable import unreadable

LONGEST = 64 << 20
"""Bytes of one line at most."""
VALUES = 1 << 20
"""Values in one line at most: each takes many times the room that it has in the line."""
_PLAIN_EXPONENT = 40
"""A larger exponent is left as it is written."""


class JsonLinesReading(Options):
    """What a binding may say about JSON Lines to read.

    Attributes:
        nested: Columns that hold child rows (子表行), as an array of objects.
    """

    nested: tuple[str, ...] = ()


class JsonLines(Format):
    """The format ``jsonl``."""

    name: ClassVar[FormatName] = "jsonl"
    endings: ClassVar[tuple[str, ...]] = (".jsonl", ".ndjson")
    reading: ClassVar[type[Options]] = JsonLinesReading
    appends: ClassVar[bool] = True

    def reader(self, chunks: Iterable[bytes], name: str, options: Any, expected: Sequence[str] = ()) -> Reader:
        """Read a file; its header is what the objects of the first piece name."""
        return NamedReader(_Lines(name, options.nested).pieces(chunks), name, expected)

    def writer(self, schema: pa.Schema, options: Any, rows: int | None) -> Writer:
        """Write a file: whole numbers, doubles and truth values as such, child rows as arrays, all else as strings."""
        return JsonLinesWriter(schema)


class _Lines:
    """Objects with their lines."""

    def __init__(self, name: str, nested: Sequence[str]) -> None:
        self._name = name
        self._nested = frozenset(nested)

    def pieces(self, chunks: Iterable[bytes]) -> Iterator[tuple[list[int], list[dict[str, str | None]]]]:
        rest: list[bytes] = []
        held, number = 0, 0
        for chunk in chunks:
            if b"\n" not in chunk:
                rest.append(chunk)
                held += len(chunk)
                if held > LONGEST:
                    raise self._broken(number + 1, f"超过 {LONGEST >> 20} MiB")
                continue
            *lines, last = b"".join([*rest, chunk]).split(b"\n")
            rest, held = [last], len(last)
            yield self._objects(lines, number)
            number += len(lines)
        yield self._objects([b"".join(rest)], number)

    def _objects(self, lines: list[bytes], number: int) -> tuple[list[int], list[dict[str, str | None]]]:
        places, records = [], []
        for place, line in enumerate(lines, number + 1):
            content = line.removeprefix(b"\xef\xbb\xbf") if place == 1 else line
            if content.strip():
                places.append(place)
                records.append(self._object(content, place))
        return places, records

    def _object(self, line: bytes, place: int) -> dict[str, str | None]:
        if len(line) > VALUES and sum(map(line.count, (b",", b"[", b"{"))) > VALUES:
            raise self._broken(place, f"有超过 {VALUES} 个值")
        try:
            found = _DECODER.decode(line.decode().strip())
        except UnicodeDecodeError:
            raise self._broken(place, "不是 utf-8 编码") from None
        except _Twice:
            raise self._broken(place, "同一个对象里有重名的项") from None
        except (ValueError, RecursionError):
            # The decoder's own error quotes the line.
            raise self._broken(place, "不是 JSON") from None
        if not isinstance(found, dict):
            raise self._broken(place, "不是 JSON 对象")
        for name, value in found.items():
            if not isinstance(value, str) and value is not None:
                found[name] = self._text(name, value)
        return found

    def _text(self, name: str, value: Any) -> str:
        if value is True or value is False:
            return "true" if value else "false"
        written = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        return written if name in self._nested else unreadable("nested", written)

    def _broken(self, place: int, what: str) -> Malformed:
        return Malformed(f"文件 {self._name} 第 {place} 行{what}", remedy="由提供方改正后重新放入：每行一个 JSON 对象")


class _Twice(ValueError):
    """An object names something twice."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise _Twice
    return made


def _plain(literal: str) -> str:
    if "e" not in literal and "E" not in literal:
        return literal
    try:
        value = Decimal(literal)
    except InvalidOperation:
        # Its exponent alone is a number of twenty digits.
        return literal
    return format(value, "f") if abs(value.adjusted()) <= _PLAIN_EXPONENT else literal


def _no_number(literal: str) -> str:
    raise ValueError(literal)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_float=_plain, parse_int=str, parse_constant=_no_number, strict=True
)


class JsonLinesWriter(Writer):
    """Objects, one a line; every column is named in each."""

    def __init__(self, schema: pa.Schema) -> None:
        self._names = [json.dumps(name, ensure_ascii=False) for name in schema.names]
        self._nested = names_of(schema, ROWS)

    def header(self) -> bytes:
        """Nothing."""
        return b""

    def rows(self, batch: pa.RecordBatch) -> bytes:
        """The lines of a batch."""
        if not batch.num_rows:
            return b""
        pieces: list[Any] = []
        for place, (name, column) in enumerate(zip(self._names, batch.columns, strict=True)):
            pieces += [pa.scalar(f"{',' if place else '{'}{name}:"), self._literal(place, column)]
        lines = pc.binary_join_element_wise(*pieces, pa.scalar("}\n"), "")
        return b"".join(memoryview(part) for part in _bytes_of(lines))

    def _literal(self, place: int, column: pa.Array) -> pa.StringArray:
        kind = column.type
        texts = text_of(column)
        if place in self._nested or pa.types.is_boolean(kind) or pa.types.is_integer(kind):
            return pc.fill_null(texts, "null")
        if pa.types.is_floating(kind):
            return pc.if_else(pc.is_finite(pc.fill_null(column, 0)), pc.fill_null(texts, "null"), quoted(texts))
        return quoted(texts)


def _bytes_of(lines: pa.StringArray) -> Iterator[pa.Buffer]:
    """What a column of texts holds, without a copy for each."""
    offsets, data = lines.buffers()[1:]
    begin, end = (int.from_bytes(offsets[at * 4 : at * 4 + 4].to_pybytes(), "little") for at in (
        lines.offset, lines.offset + len(lines)
    ))  # fmt: skip
    yield data.slice(begin, end - begin)
