"""Rows on their way into a file that cannot be added to (暂存): typed batches, one after another, each whole.

A workbook or a compressed file is made in one go, when all its rows are known. Until then they lie here, in frames of
eight bytes of length and a batch as Arrow writes it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from adapters.errors import Unbalanced

LONGEST = 2 << 30
"""Bytes of one batch at most."""
REFUSED = "_refused"
"""Column of staged rows with documents: why a row is not delivered, null where it is."""
_LENGTH = struct.Struct("<Q")


def frame(batch: pa.RecordBatch) -> bytes:
    """A batch as it is staged."""
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, batch.schema) as writer:
        writer.write_batch(batch)
    content: bytes = out.getvalue().to_pybytes()
    return _LENGTH.pack(len(content)) + content


def frames(chunks: Iterable[bytes]) -> Iterator[pa.RecordBatch]:
    """The batches that were staged, in order.

    Raises:
        Unbalanced: the stage ends in the middle of one, or is none.
    """
    held = bytearray()
    for chunk in chunks:
        held += chunk
        if len(held) >= _LENGTH.size and _LENGTH.unpack_from(held)[0] > LONGEST:
            raise _damaged()
        while len(held) >= _LENGTH.size and len(held) >= (end := _LENGTH.size + _LENGTH.unpack_from(held)[0]):
            yield from _batches(bytes(held[_LENGTH.size : end]))
            del held[:end]
    if held:
        raise _damaged()


def accepted(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The rows of a staged batch that are delivered, as they were before it was said which."""
    if REFUSED not in batch.schema.names:
        return batch
    return batch.filter(pc.is_null(batch.column(REFUSED))).drop_columns([REFUSED])


def _batches(content: bytes) -> Iterator[pa.RecordBatch]:
    try:
        with pa.ipc.open_stream(content) as reader:
            for batch in reader:
                # It lay in a directory of somebody else's: offsets that lead out of it must not be followed.
                batch.validate(full=True)
                yield batch
    except (pa.ArrowException, OSError) as error:
        raise _damaged() from error


def _damaged() -> Unbalanced:
    return Unbalanced("暂存文件已损坏", remedy="放弃此次暂存，重新读取")
