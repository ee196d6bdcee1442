"""Arrow columns as numpy sees them: offsets and bytes, without copying."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from exchange.checks.findings import Mask, Rows


def plain(values: pa.Array) -> pa.Array:
    """The same values without dictionary, view or extension encoding, text and bytes with 32-bit offsets."""
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    kind = values.type
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return values.cast(pa.string())
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind) or pa.types.is_fixed_size_binary(kind):
        return values.cast(pa.binary())
    return values


def text_parts(values: pa.Array) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """Offsets (one more than values) and the bytes they point into, of a text or binary column."""
    if len(values) == 0:
        return np.zeros(1, np.int32), np.zeros(0, np.uint8)
    _, offsets, data = values.buffers()
    places = np.frombuffer(offsets, np.int32, len(values) + 1, values.offset * 4)
    if data is None or data.size == 0:
        return places, np.zeros(0, np.uint8)
    return places, np.frombuffer(data, np.uint8)


def content(values: pa.Array) -> npt.NDArray[np.uint8]:
    """The bytes of a text or binary column, one value behind the other."""
    offsets, data = text_parts(values)
    return data[offsets[0] : offsets[-1]]


def byte_lengths(values: pa.Array) -> npt.NDArray[np.int32]:
    """Length in bytes of every text or binary value, -1 for null."""
    offsets, _ = text_parts(values)
    lengths = np.diff(offsets)
    if values.null_count:
        lengths[mask(pc.is_null(values))] = -1
    return lengths


def holds_only(values: pa.Array, allowed: npt.NDArray[np.bool_]) -> bool:
    """Whether every byte of a text column is among 256 flags' true ones."""
    return bool(allowed[content(values)].all())


def byte_set(characters: bytes) -> npt.NDArray[np.bool_]:
    """256 flags, true for the bytes given; for :func:`holds_only`."""
    flags = np.zeros(256, np.bool_)
    flags[list(characters)] = True
    return flags


def mask(chosen: pa.BooleanArray) -> Mask:
    """A boolean column as numpy flags; null is false."""
    if chosen.null_count:
        chosen = pc.fill_null(chosen, False)  # noqa: FBT003 - the value to fill in
    return np.asarray(chosen.to_numpy(zero_copy_only=False), np.bool_)


def flags(chosen: Mask) -> pa.BooleanArray:
    """Numpy flags as a boolean column."""
    bits = pa.py_buffer(np.packbits(chosen, bitorder="little"))
    return pa.Array.from_buffers(pa.bool_(), len(chosen), [None, bits])


def column(numbers: npt.NDArray[np.int32] | npt.NDArray[np.int64], kind: pa.DataType, null: Mask) -> pa.Array:
    """Numpy numbers as a column of a type of their width, null where flagged."""
    valid = pa.py_buffer(np.packbits(~null, bitorder="little")) if null.any() else None
    return pa.Array.from_buffers(kind, len(numbers), [valid, pa.py_buffer(np.ascontiguousarray(numbers))])


def indices(rows: Rows) -> pa.Int64Array:
    """Row numbers as a column, for ``take``."""
    return pa.Array.from_buffers(pa.int64(), len(rows), [None, pa.py_buffer(np.ascontiguousarray(rows))])


def rows_where(chosen: pa.BooleanArray | Mask) -> Rows:
    """Numbers of the rows whose flag is true."""
    chosen = chosen if isinstance(chosen, np.ndarray) else mask(chosen)
    return np.flatnonzero(chosen).astype(np.int64, copy=False)


def blank(values: pa.Array, rows: Rows) -> pa.Array:
    """The same column with null in the rows given."""
    if len(rows) == 0:
        return values
    chosen = np.zeros(len(values), np.bool_)
    chosen[rows] = True
    return pc.if_else(flags(chosen), pa.scalar(None, values.type), values)


def matrix(values: pa.StringArray, width: int) -> tuple[Rows, npt.NDArray[np.uint8]]:
    """The values of exactly so many bytes: their rows, and their bytes as ``width`` contiguous lines."""
    chosen = byte_lengths(values) == width
    rows = rows_where(chosen)
    if len(rows) < len(values):
        values = values.filter(flags(chosen))
    return rows, np.ascontiguousarray(content(values).reshape(len(rows), width).T)
