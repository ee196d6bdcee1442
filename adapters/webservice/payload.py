"""Rows as an Arrow IPC stream (压缩格式): what hubs hand each other in the place of XML rows.

Out: the items under their names and types, then ``_operation``, with zstd buffers. In: the same, or all texts.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from adapters.base import DELETE, OPERATION, PUT
from adapters.webservice import arrow
from adapters.webservice.faults import Fault
from adapters.webservice.spool import Spool
from adapters.webservice.texts import texts
from schemas import Item, arrow_schema

FORMAT = "arrow"
UNPACKED = 64 << 20
"""Bytes that one batch may have when it is unpacked."""
TOGETHER = 512 << 20
"""Bytes that all of them may have: a few thousand could else fill a disk."""
TEXT = 8 << 20
"""Bytes of one value, where nobody says otherwise."""
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


def read(payload: Spool, items: Sequence[Item], most: int, *, longest: int = TEXT) -> Iterator[pa.RecordBatch]:
    """Rows out of a payload, as texts.

    Args:
        payload: What came.
        items: What a row may have.
        most: Rows at most.
        longest: Bytes of one value at most.

    Raises:
        Fault: It is no such stream, or too large.
    """
    try:
        source = pa.PythonFile(io.BufferedReader(_Reading(payload)), mode="r")
        shape, batches = arrow.opened(source, largest=UNPACKED, together=TOGETHER)
        names = {item.name for item in items}
        if not names.issuperset(set(shape.names) - {OPERATION}):
            raise _malformed("payload 中有服务描述里没有的信息项")
        rows = 0
        for batch in batches:
            rows += batch.num_rows
            if rows > most:
                raise Fault("Client.TooLarge", f"一次推送不得超过 {most} 行", remedy="分几次发送")
            for start in range(0, batch.num_rows, ROWS):
                plain = _plain(batch.slice(start, ROWS), items)
                if any((pc.max(pc.binary_length(plain.column(item.name))).as_py() or 0) > longest for item in items):
                    raise Fault("Client.TooLarge", f"一个值不得超过 {longest} 字节", remedy="分几次发送")
                yield plain
    except arrow.Oversized as error:
        raise Fault("Client.TooLarge", "payload 展开后过大", remedy="减小每批的行数，或分几次发送") from error
    except arrow.Unreadable as error:
        raise _malformed(f"payload {error}") from error
    except (pa.ArrowException, UnicodeDecodeError) as error:
        # What it says of its columns may be broken too, and is looked at only when a value is.
        raise _malformed("payload 中有不能读取的值") from error


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


def _malformed(message: str) -> Fault:
    return Fault("Client.Malformed", message, remedy="用 Arrow IPC 流格式，各列与服务描述的信息项同名")
