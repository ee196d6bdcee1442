"""Rows as an Arrow IPC stream (压缩格式): what hubs hand each other in the place of XML rows.

Out: the items under their names and types, then ``_operation``, with zstd buffers. In: the same, or all texts.
What comes from outside is counted before it is unpacked: a few bytes may claim to be many.
"""

from __future__ import annotations

import base64
import io
import struct
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from adapters.base import DELETE, OPERATION, PUT
from adapters.webservice.faults import Fault
from adapters.webservice.spool import Spool
from adapters.webservice.writing import texts
from schemas import Item, arrow_schema

FORMAT = "arrow"
UNPACKED = 256 << 20
"""Bytes that one batch may have when it is unpacked."""
ROWS = 8192


def schema(items: Sequence[Item]) -> pa.Schema:
    """The schema of an answer's payload; a deletion has its key alone, whatever the contract says of rows."""
    fields = [field.with_nullable(nullable=True).remove_metadata() for field in arrow_schema(items)]
    return pa.schema([*fields, pa.field(OPERATION, pa.int8())])


class Base64:
    """A file that writes what it is given as base64 into a spool."""

    closed = False

    def __init__(self, into: Spool) -> None:
        self._into = into
        self._rest = b""

    def write(self, content: bytes) -> int:
        """Add to the end."""
        whole = self._rest + bytes(content)
        cut = len(whole) // 3 * 3
        self._into.write(base64.b64encode(whole[:cut]))
        self._rest = whole[cut:]
        return len(content)

    def flush(self) -> None:
        """What is held back waits for the end."""

    def close(self) -> None:
        """Write what was held back."""
        self._into.write(base64.b64encode(self._rest))
        self._rest = b""


def write(batches: Iterable[pa.RecordBatch], items: Sequence[Item], into: Spool) -> int:
    """Write rows as base64 of an Arrow stream.

    Returns:
        How many.
    """
    coded = Base64(into)
    rows = 0
    wanted = schema(items)
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(pa.PythonFile(coded, mode="w"), wanted, options=options) as stream:
        for batch in batches:
            whole = batch
            if OPERATION not in batch.schema.names:
                whole = batch.append_column(OPERATION, pa.array([PUT] * batch.num_rows, pa.int8()))
            columns = [whole.column(field.name).cast(field.type) for field in wanted]
            stream.write_batch(pa.RecordBatch.from_arrays(columns, schema=wanted))
            rows += batch.num_rows
    coded.close()
    return rows


def read(payload: Spool, items: Sequence[Item], most: int) -> Iterator[pa.RecordBatch]:
    """Rows out of a payload, as texts.

    Args:
        payload: What came.
        items: What a row may have.
        most: Rows at most.

    Raises:
        Fault: It is no such stream, or too large.
    """
    try:
        yield from _read(payload, items, most)
    except (pa.ArrowException, OSError, ValueError, struct.error, MemoryError, OverflowError) as error:
        raise _malformed("payload 不是可读的 Arrow 流") from error


def _read(payload: Spool, items: Sequence[Item], most: int) -> Iterator[pa.RecordBatch]:
    source = pa.PythonFile(io.BufferedReader(_Reading(payload)), mode="r")
    messages = pa.ipc.MessageReader.open_stream(source)
    first = next(messages, None)
    # Arrow reads a message of any other kind as a schema too, and dies of it.
    if first is None or first.type != "schema":
        raise _malformed("payload 不是可读的 Arrow 流")
    shape = pa.ipc.read_schema(first)
    names = {item.name for item in items}
    if len(set(shape.names)) < len(shape.names) or not names.issuperset(set(shape.names) - {OPERATION}):
        raise _malformed("payload 中有服务描述里没有的信息项")
    if not all(_flat(field.type) for field in shape):
        raise _malformed("payload 中有不支持的类型")
    rows = 0
    for message in messages:
        if message.type != "record batch":
            raise _malformed("payload 中有不支持的部分")
        if claimed(message) > UNPACKED:
            raise Fault("Client.TooLarge", "payload 的一批展开后过大", remedy="减小每批的行数")
        batch = pa.ipc.read_record_batch(message, shape)
        batch.validate(full=True)
        rows += batch.num_rows
        if rows > most:
            raise Fault("Client.TooLarge", f"一次推送不得超过 {most} 行", remedy="分几次发送")
        for start in range(0, batch.num_rows, ROWS):
            yield _plain(batch.slice(start, ROWS), items)


def _plain(batch: pa.RecordBatch, items: Sequence[Item]) -> pa.RecordBatch:
    names = batch.schema.names
    columns = [
        texts(batch.column(item.name)) if item.name in names else pa.nulls(batch.num_rows, pa.string())
        for item in items
    ]
    if OPERATION in names:
        operations = batch.column(OPERATION).cast(pa.int8())
        known = pc.is_in(operations, pa.array([PUT, DELETE], pa.int8()))
        if not pc.all(known, min_count=0).as_py():
            raise _malformed("payload 的 _operation 只能是 0（写入）或 1（删除）")
    else:
        operations = pa.array([PUT] * batch.num_rows, pa.int8())
    return pa.RecordBatch.from_arrays([*columns, operations], names=[*(item.name for item in items), OPERATION])


def _flat(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal128(kind)
        or pa.types.is_date32(kind)
        or pa.types.is_timestamp(kind)
        or pa.types.is_boolean(kind)
    )


class _Reading(io.RawIOBase):
    def __init__(self, payload: Spool) -> None:
        super().__init__()
        self._chunks = payload.chunks()
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, into: object) -> int:
        view = memoryview(into).cast("B")  # type: ignore[arg-type]  # whatever a buffered reader hands over
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = chunk
        size = min(len(view), len(self._rest))
        view[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


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
            raise _malformed("payload 不是可读的 Arrow 流")
        (says,) = struct.unpack("<q", body.slice(start, 8).to_pybytes())
        total += size if says == -1 else says
        if says < -1:
            raise _malformed("payload 不是可读的 Arrow 流")
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


def _malformed(message: str) -> Fault:
    return Fault("Client.Malformed", message, remedy="用 Arrow IPC 流格式，各列与服务描述的信息项同名")
