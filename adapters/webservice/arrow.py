"""Arrow streams that came from outside (来自外部的 Arrow 数据流): what they would unpack to is counted before it is.

A few bytes may claim to be many, and Arrow dies of some messages that are not what they should be; so messages are
looked at one by one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa


class Unreadable(ValueError):
    """It is no stream of plain columns."""


class Oversized(ValueError):
    """It would be larger than it may be."""


_PLAIN = (
    pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary, pa.types.is_integer,
    pa.types.is_floating, pa.types.is_decimal128, pa.types.is_date32, pa.types.is_timestamp, pa.types.is_boolean,
)  # fmt: skip
_BROKEN = (pa.ArrowException, OSError, ValueError, KeyError, IndexError, struct.error, MemoryError, OverflowError)
"""What Arrow and we make of bytes that mean nothing."""


def opened(
    source: pa.NativeFile, *, largest: int, together: int | None = None
) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """The schema of a stream and its batches, each proven to be what it says.

    Args:
        source: The stream.
        largest: Bytes that one batch may have when it is unpacked.
        together: Bytes that all of them may have; None: any number.

    Raises:
        Unreadable: Here or while batches are taken: it is no such stream.
        Oversized: While batches are taken.
    """
    with _readable():
        messages = pa.ipc.MessageReader.open_stream(source)
        first = next(messages, None)
        # Arrow reads a message of any other kind as a schema too, and dies of it.
        if first is None or first.type != "schema":
            raise Unreadable("不是可读的 Arrow 流")
        schema = pa.ipc.read_schema(first)
        if len(set(schema.names)) < len(schema.names):
            raise Unreadable("中有同名的列")
        if not all(any(plain(field.type) for plain in _PLAIN) for field in schema):
            raise Unreadable("中有不支持的类型")
    return schema, _batches(messages, schema, largest, together)


def _batches(
    messages: Iterator[pa.Message], schema: pa.Schema, largest: int, together: int | None
) -> Iterator[pa.RecordBatch]:
    claims = 0
    while True:
        with _readable():
            message = next(messages, None)
            if message is None:
                return
            if message.type != "record batch":
                raise Unreadable("中有不支持的部分")
            claim = claimed(message)
            claims += claim
            if claim > largest or (together is not None and claims > together):
                raise Oversized("展开后过大")
            batch = pa.ipc.read_record_batch(message, schema)
            batch.validate(full=True)
        yield batch


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (Unreadable, Oversized):
        raise
    except _BROKEN as error:
        raise Unreadable("不是可读的 Arrow 流") from error


def claimed(message: pa.Message) -> int:
    """Bytes that a batch says it has when it is unpacked: each packed buffer begins with its size.

    Read from the batch's own table of buffers (flatbuffers: Message, RecordBatch, Buffer of Arrow's format).
    """
    head = message.metadata.to_pybytes()
    body = message.body
    record = _offset(head, _field(head, _offset(head, 0), 2))
    packed = _field(head, record, 3)
    at = _field(head, record, 1) and _field(head, record, 2)
    if not at:
        return 0
    vector = _offset(head, at)
    total = 0
    for number in range(struct.unpack_from("<I", head, vector)[0]):
        start, size = struct.unpack_from("<qq", head, vector + 4 + 16 * number)
        if not packed or not size:
            total += size
            continue
        if start < 0 or size < 8 or start + size > len(body):
            raise Unreadable("不是可读的 Arrow 流")
        (says,) = struct.unpack("<q", body.slice(start, 8).to_pybytes())
        if says < -1:
            raise Unreadable("不是可读的 Arrow 流")
        total += size if says == -1 else says
    return total


def _offset(head: bytes, at: int) -> int:
    return int(at + struct.unpack_from("<I", head, at)[0])


def _field(head: bytes, table: int, number: int) -> int:
    """Where a table's field stands, 0 if it is left out."""
    vtable = table - struct.unpack_from("<i", head, table)[0]
    place = 4 + 2 * number
    if place >= struct.unpack_from("<H", head, vtable)[0]:
        return 0
    (found,) = struct.unpack_from("<H", head, vtable + place)
    return table + found if found else 0
