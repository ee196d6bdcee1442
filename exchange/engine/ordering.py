"""Batches in the order of their keys (按主键排序), whatever order they come in.

A key becomes one binary value whose bytes have the order of the key: text by its bytes in UTF-8, everything
else by value, the items of a composite key one after the other, null before all. Places order by collations
of their own, source rows are typed and masked after they were read: so the order is looked at, never believed,
and made where it is not there, on disk and in constant memory.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from exchange.checks.buffers import plain
from exchange.errors import Invalid, Problem
from exchange.secrets import Spool

KEY = "_key"
"""Column of a keyed batch: the key as bytes that have its order."""
PLACE = "_place"
"""Column of a keyed batch: the row's number in the order of reading."""

RUN_ROWS = 131_072
"""Rows that are ordered in memory."""
RUN_BYTES = 64 * 1024 * 1024
CHUNK_BYTES = 1024 * 1024

_NOTHING = pa.scalar(b"", pa.binary())
_SIGN = np.uint64(1 << 63)


class Disordered(Exception):
    """Rows that were read as being in the order of their keys are not."""


def keyed(batch: pa.RecordBatch, key: Sequence[str], first: int) -> pa.RecordBatch:
    """The batch with its keys as bytes and its places, counted from ``first``."""
    places = pa.array(np.arange(first, first + batch.num_rows, dtype=np.int64))
    names = [*batch.schema.names, KEY, PLACE]
    # By names alone: what a field says beside its type would keep batches of two ends apart.
    return pa.RecordBatch.from_arrays([*batch.columns, ordered_keys(batch, key), places], names=names)


def ordered_keys(batch: pa.RecordBatch, key: Sequence[str]) -> pa.BinaryArray:
    """Each row's key as bytes in the order of the keys; different keys have different bytes.

    Raises:
        Invalid: an item of the key has a type without an order.
    """
    columns = [plain(batch.column(name)) for name in key]
    if len(columns) == 1:
        return pc.fill_null(_bytes(key[0], columns[0]), _NOTHING)
    parts = []
    for name, column in zip(key, columns, strict=True):
        part = _bytes(name, column)
        if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
            # One text must not run on into the next: its end is lower than anything that could follow in it.
            part = pc.replace_substring(part, b"\0", b"\0\xff")
            part = _joined(part, pa.scalar(b"\0", pa.binary()))
        part = _joined(pa.scalar(b"\1", pa.binary()), part)
        parts.append(pc.fill_null(part, pa.scalar(b"\0", pa.binary())))
    return _joined(*parts)


def _joined(*parts: pa.Array | pa.Scalar) -> pa.BinaryArray:
    return pc.binary_join_element_wise(*parts, _NOTHING)


def _bytes(name: str, column: pa.Array) -> pa.BinaryArray:
    """A column's values as bytes in their order, null where they are."""
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return column.cast(pa.binary())
    valid = column.is_valid() if column.null_count else None
    if pa.types.is_decimal(kind):
        words = _words(column.cast(pa.decimal128(kind.precision, kind.scale)), np.uint64, 2)
        fixed = np.stack([words[:, 1] ^ _SIGN, words[:, 0]], axis=1).astype(">u8")
    elif pa.types.is_boolean(kind):
        fixed = _words(column.cast(pa.uint8()), np.uint8, 1)
    elif pa.types.is_integer(kind) or pa.types.is_date32(kind) or pa.types.is_timestamp(kind):
        wide = column.cast(pa.int32()) if pa.types.is_date32(kind) else column
        fixed = (_words(wide.cast(pa.int64()), np.uint64, 1) ^ _SIGN).astype(">u8")
    else:
        raise Invalid("业务主键不能排序", [Problem(f"信息项 {name}", f"类型 {kind} 没有次序", "换用别的业务主键")])
    width = fixed.dtype.itemsize * fixed.shape[1]
    made = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(column), [None, pa.py_buffer(fixed.tobytes())])
    found = made.cast(pa.binary())
    return found if valid is None else pc.if_else(valid, found, pa.scalar(None, pa.binary()))


def _words(column: pa.Array, dtype: Any, count: int) -> npt.NDArray[Any]:
    size = np.dtype(dtype).itemsize * count
    if not len(column):
        return np.zeros((0, count), dtype)
    return np.frombuffer(column.buffers()[1], dtype, len(column) * count, column.offset * size).reshape(-1, count)


def rows_up_to(keys: pa.BinaryArray, bound: bytes) -> int:
    """How many of the keys, in their order, are not above a bound."""
    return bisect_right(range(len(keys)), bound, key=_at(keys))


def _rows_below(keys: pa.BinaryArray, bound: bytes) -> int:
    return bisect_left(range(len(keys)), bound, key=_at(keys))


def _at(keys: pa.BinaryArray) -> Callable[[int], bytes]:
    return lambda row: keys[row].as_py()


# --- order -----------------------------------------------------------------------------------------


def watched(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Keyed batches as they come, as long as no key is below the one before it.

    Raises:
        Disordered: one is.
    """
    last = b""
    for batch in batches:
        if batch.num_rows == 0:
            continue
        keys = batch.column(KEY)
        if keys[0].as_py() < last or not pc.all(pc.less_equal(keys[:-1], keys[1:])).as_py():
            raise Disordered
        last = keys[-1].as_py()
        yield batch


def put_in_order(
    batches: Iterable[pa.RecordBatch], spool: Spool, *, rows: int = RUN_ROWS, size: int = RUN_BYTES
) -> Iterator[pa.RecordBatch]:
    """Keyed batches in the order of their keys, rows of one key in the order in which they were read.

    Args:
        batches: All of them are read before the first is given.
        spool: Where parts of them lie meanwhile.
        rows: How many rows are ordered in memory.
        size: How many bytes of them at most, more or less.
    """
    runs: list[list[int]] = []
    part: list[pa.RecordBatch] = []
    for batch in batches:
        part.append(batch)
        if sum(each.num_rows for each in part) >= rows or sum(each.nbytes for each in part) >= size:
            runs.append(_spooled(part, spool))
            part = []
    if not runs:
        if part:
            yield _in_order(part)
        return
    if part:
        runs.append(_spooled(part, spool))
    yield from _merged([_read_again(run, spool) for run in runs])


def _in_order(part: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    batch = pa.concat_batches(part)
    return batch.take(pc.sort_indices(batch, sort_keys=[(KEY, "ascending"), (PLACE, "ascending")]))


def _spooled(part: Sequence[pa.RecordBatch], spool: Spool) -> list[int]:
    batch = _in_order(part)
    step = max(1, batch.num_rows * CHUNK_BYTES // max(batch.nbytes, CHUNK_BYTES))
    numbers = []
    for start in range(0, batch.num_rows, step):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch.slice(start, step))
        numbers.append(spool.append(sink.getvalue().to_pybytes()))
    return numbers


def _read_again(run: Sequence[int], spool: Spool) -> Iterator[pa.RecordBatch]:
    for number in run:
        with pa.ipc.open_stream(spool.read(number)) as reader:
            yield reader.read_next_batch()


def _merged(runs: Sequence[Iterator[pa.RecordBatch]]) -> Iterator[pa.RecordBatch]:
    """Runs that are each in order, as one."""
    heads = {place: batch for place, run in enumerate(runs) if (batch := next(run, None)) is not None}
    while heads:
        bound = min(batch.column(KEY)[-1].as_py() for batch in heads.values())
        part = []
        for place, batch in list(heads.items()):
            count = rows_up_to(batch.column(KEY), bound)
            if count:
                part.append(batch.slice(0, count))
            rest = batch.slice(count) if count < batch.num_rows else next(runs[place], None)
            if rest is None:
                del heads[place]
            else:
                heads[place] = rest
        yield _in_order(part)


# --- rows of one key -------------------------------------------------------------------------------


def whole_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Ordered batches, cut so that the rows of one key stand in one of them."""
    held: pa.RecordBatch | None = None
    for batch in batches:
        if batch.num_rows == 0:
            continue
        together = batch if held is None else pa.concat_batches([held, batch])
        keys = together.column(KEY)
        start = _rows_below(keys, keys[-1].as_py())
        if start:
            yield together.slice(0, start)
        held = together.slice(start)
    if held is not None:
        yield held


def latest(batches: Iterable[pa.RecordBatch], version: str | None) -> Iterator[pa.RecordBatch]:
    """One row of each key: of the highest version, the last that was read; a missing version is the lowest.

    Args:
        batches: In whole groups.
        version: Item of the version, if there is one.
    """
    order = [(name, "ascending", "at_start") for name in (KEY, *([version] if version else []), PLACE)]
    for batch in batches:
        if not repeats(batch.column(KEY)).true_count:
            yield batch
            continue
        sorted_rows = batch.take(pc.sort_indices(batch, sort_keys=order))
        again = repeats(sorted_rows.column(KEY))
        # A row is beaten where the next one has its key.
        beaten = pa.concat_arrays([again[1:], pa.array([False])])
        yield sorted_rows.filter(pc.invert(beaten))


def repeats(keys: pa.BinaryArray) -> pa.BooleanArray:
    """For each of the ordered keys, whether it is that of the row before."""
    if len(keys) == 0:
        return pa.array([], pa.bool_())
    return pa.concat_arrays([pa.array([False]), pc.equal(keys[:-1], keys[1:])])
