"""Rows out of a payload: an Arrow stream, its buffers compressed by zstd, in base64 (压缩载荷); for bulk between hubs.

The columns have the items' names, and the types that the other hub gave them after its own checks. What comes from
outside is counted before it is unpacked: a few bytes may claim to be many.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Iterator, Sequence

import pyarrow as pa

from adapters.errors import Malformed
from adapters.webservice.texts import texts

_TYPES = (pa.types.is_string, pa.types.is_int64, pa.types.is_decimal128, pa.types.is_date32, pa.types.is_binary)
"""Types that say the same whoever wrote them; of the others, and of times without zone, only the text counts."""
INFLATED = 256 << 20
"""Bytes that the rows of one payload may have when they are unpacked."""
ROWS = 1_000_000
"""Rows of one payload at most."""

_REMEDY = "减小每页行数，或由提供方改正"


def unpacked(text: str, columns: Sequence[str], what: str) -> Iterator[pa.RecordBatch]:
    """The rows of a payload: the columns wanted in order, null where one is missing.

    Args:
        text: The payload.
        columns: Names of the columns wanted.
        what: Where it comes from, for messages.

    Raises:
        Malformed: It is none, or it is larger than it may be.
    """
    try:
        content = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed(f"{what}的载荷不是 base64", remedy=_REMEDY) from error
    if not content:
        return
    left, rows = INFLATED, 0
    try:
        # What it takes to unpack it is declared in it, and looked at before anything is unpacked.
        if sum(map(_declared, pa.ipc.MessageReader.open_stream(pa.BufferReader(content)))) > INFLATED:
            raise Malformed(f"{what}的载荷展开后过大", remedy=_REMEDY)
        reader = pa.ipc.open_stream(pa.BufferReader(content))
        _demand_plain(reader.schema, what)
        for batch in reader:
            batch.validate(full=True)
            left -= batch.nbytes
            rows += batch.num_rows
            if left < 0 or rows > ROWS:
                raise Malformed(f"{what}的载荷展开后过大", remedy=_REMEDY)
            yield _fitted(batch, columns)
    except (pa.ArrowException, OSError, ValueError, KeyError, struct.error, IndexError) as error:
        raise Malformed(f"{what}的载荷不是可读的 Arrow 数据流", remedy=_REMEDY) from error


_RECORD_BATCH = 3
_BUFFER = struct.Struct("<qq")


def _declared(message: pa.ipc.Message) -> int:
    """Bytes of the unpacked buffers of a message, as declared (Arrow format, ``Message.fbs``).

    A compressed buffer begins with its unpacked length, or with -1 where it is not compressed after all.
    """
    metadata, body = message.metadata.to_pybytes(), message.body
    root = struct.unpack_from("<I", metadata, 0)[0]
    kind, header = _field(metadata, root, 1), _field(metadata, root, 2)
    if header is None or body is None or kind is None or metadata[kind] != _RECORD_BATCH:
        return 0
    batch = header + struct.unpack_from("<I", metadata, header)[0]
    found, compressed = _field(metadata, batch, 2), _field(metadata, batch, 3)
    if found is None:
        return 0
    vector = found + struct.unpack_from("<I", metadata, found)[0]
    (count,) = struct.unpack_from("<I", metadata, vector)
    total = 0
    for number in range(count):
        offset, length = _BUFFER.unpack_from(metadata, vector + 4 + number * _BUFFER.size)
        unpacked_length = -1
        if compressed is not None and length >= 8:
            (unpacked_length,) = struct.unpack("<q", body.slice(offset, 8).to_pybytes())
        total += length if unpacked_length < 0 else unpacked_length
    return total


def _field(metadata: bytes, table: int, number: int) -> int | None:
    """Where a field of a flatbuffer's table lies; None: it is not there."""
    vtable = table - struct.unpack_from("<i", metadata, table)[0]
    (size,) = struct.unpack_from("<H", metadata, vtable)
    if 4 + 2 * number >= size:
        return None
    (offset,) = struct.unpack_from("<H", metadata, vtable + 4 + 2 * number)
    return table + offset if offset else None


def _demand_plain(schema: pa.Schema, what: str) -> None:
    for column in schema:
        if pa.types.is_nested(column.type) or pa.types.is_dictionary(column.type):
            raise Malformed(f"{what}的载荷有不是单个值的列", remedy=_REMEDY)
    if len(set(schema.names)) != len(schema.names):
        raise Malformed(f"{what}的载荷有同名的列", remedy=_REMEDY)


def _fitted(batch: pa.RecordBatch, columns: Sequence[str]) -> pa.RecordBatch:
    there = set(batch.schema.names)
    # What is an attribute of a row in XML is a column here.
    names = [name.removeprefix("@") for name in columns]
    arrays = [_typed(batch.column(name)) if name in there else pa.nulls(batch.num_rows, pa.string()) for name in names]
    return pa.record_batch(arrays, names=[str(place) for place in range(len(columns))])


def _typed(column: pa.Array) -> pa.Array:
    kind = column.type
    kept = any(is_kind(kind) for is_kind in _TYPES) or (pa.types.is_timestamp(kind) and kind.tz and kind.unit == "us")
    return column if kept else texts(column)
