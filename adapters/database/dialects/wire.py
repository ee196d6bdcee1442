"""Rows as PostgreSQL's binary COPY has them, made from Arrow columns without touching a single value.

A row is its number of fields (2 bytes), then for each field its length (4 bytes, -1 for null) and its
bytes; integers are big endian. Fields of a fixed width are laid out by numpy for all rows at once, and
texts are threaded between them by Arrow's own join. (PostgreSQL's documentation of COPY, "Binary Format";
the forms of the types are those of their ``…recv`` functions.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"

_Bytes = npt.NDArray[np.uint8]
_NULL = b"\xff\xff\xff\xff"
_DAYS = 10957
"""From 1970-01-01 to 2000-01-01, where the product's calendar begins."""
_MICROSECONDS = _DAYS * 86_400_000_000
_EASY_DIGITS = 18
"""Decimals of so many digits are reckoned with as 64-bit integers."""


def _words(column: pa.Array, dtype: str) -> npt.NDArray[np.generic]:
    size = np.dtype(dtype).itemsize
    return np.frombuffer(column.buffers()[1], dtype, len(column), column.offset * size)


def _swapped(values: npt.NDArray[np.generic], dtype: str) -> _Bytes:
    return np.ascontiguousarray(values, dtype).view(np.uint8).reshape(len(values), -1)


def _integers(dtype: str) -> Callable[[pa.Array], _Bytes]:
    return lambda column: _swapped(_words(pc.cast(column.fill_null(0), pa.int64()), "<i8"), dtype)


def _floats(dtype: str) -> Callable[[pa.Array], _Bytes]:
    return lambda column: _swapped(_words(column.fill_null(0.0), "<f8"), dtype)


def _truths(column: pa.Array) -> _Bytes:
    return _swapped(_words(pc.cast(pc.cast(column, pa.bool_()), pa.uint8()).fill_null(0), "u1"), "u1")


def _dates(column: pa.Array) -> _Bytes:
    return _swapped(_words(column.cast(pa.int32()).fill_null(0), "<i4") - _DAYS, ">i4")


def _times(column: pa.Array) -> _Bytes:
    return _swapped(_words(column.cast(pa.int64()).fill_null(0), "<i8") - _MICROSECONDS, ">i8")


def _decimals(column: pa.Array) -> _Bytes:
    """Number of groups, weight of the first, sign, digits after the point; then four digits to a group."""
    if not pa.types.is_decimal(column.type):
        column = column.cast(pa.decimal128(19, 0))
    precision, scale = column.type.precision, column.type.scale
    column = column.cast(pa.decimal128(precision, scale)).fill_null(0)
    after = -(-scale // 4)
    before = max(1, -(-(precision - scale) // 4))
    digits = _easy_groups if precision + 3 <= _EASY_DIGITS else _groups
    groups, negative = digits(column, before + after, after * 4 - scale)
    out = np.empty((len(column), 4 + before + after), ">i2")
    out[:, 0] = before + after
    out[:, 1] = before - 1
    out[:, 2] = np.where(negative, 0x4000, 0)
    out[:, 3] = scale
    out[:, 4:] = groups
    return out.view(np.uint8).reshape(len(column), -1)


def _easy_groups(column: pa.Array, groups: int, padding: int) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.bool_]]:
    unscaled = np.frombuffer(column.buffers()[1], "<i8", 2 * len(column), column.offset * 16)[::2]
    rest = np.abs(unscaled) * 10**padding
    out = np.empty((len(column), groups), np.int16)
    for place in reversed(range(groups)):
        rest, out[:, place] = np.divmod(rest, 10_000)
    return out, unscaled < 0


def _groups(column: pa.Array, groups: int, padding: int) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.bool_]]:
    whole = pa.Array.from_buffers(pa.decimal128(38, 0), len(column), column.buffers(), offset=column.offset)
    text = pc.cast(whole, pa.string())
    negative = pc.starts_with(text, "-")
    figures = pc.utf8_lpad(pc.utf8_ltrim(text, "-"), groups * 4 - padding, "0")
    data = np.frombuffer(pa.concat_arrays([figures]).buffers()[2], np.uint8).reshape(len(column), -1) - ord("0")
    if padding:
        data = np.concatenate([data, np.zeros((len(column), padding), np.uint8)], axis=1)
    weights = np.array([1000, 100, 10, 1], np.int16)
    return data.reshape(len(column), groups, 4) @ weights, np.asarray(negative)


_FIXED: Mapping[int, Callable[[pa.Array], _Bytes]] = {
    16: _truths,
    20: _integers(">i8"),
    21: _integers(">i2"),
    23: _integers(">i4"),
    700: _floats(">f4"),
    701: _floats(">f8"),
    1082: _dates,
    1114: _times,
    1184: _times,
    1700: _decimals,
}
_NARROW: Mapping[int, type[np.signedinteger[Any]]] = {21: np.int16, 23: np.int32}
_PLAIN = frozenset({17, 25, 1042, 1043})
"""bytea and the texts: what is sent is what they hold."""


def encodes(arrays: Sequence[pa.Array], types: Sequence[int]) -> bool:
    """Whether columns can be written so: of a usual type (its number in ``pg_type``), in range, not given as text."""
    return all(
        kind in _PLAIN or (kind in _FIXED and not pa.types.is_string(array.type) and _in_range(array, kind))
        for array, kind in zip(arrays, types, strict=True)
    )


def _in_range(array: pa.Array, kind: int) -> bool:
    if kind not in _NARROW or not pa.types.is_integer(array.type):
        return kind not in _NARROW
    limits, ends = np.iinfo(_NARROW[kind]), pc.min_max(array)
    return not ends["min"].is_valid or limits.min <= ends["min"].as_py() <= ends["max"].as_py() <= limits.max


def encoded(arrays: Sequence[pa.Array], types: Sequence[int]) -> memoryview:
    """Rows, without header and trailer.

    Args:
        arrays: Columns of one length, in order.
        types: The number of each column's type at the place.
    """
    rows = len(arrays[0])
    if rows == 0:
        return memoryview(b"")
    pieces: list[pa.Array] = []
    waiting: list[_Bytes] = [_same(len(arrays).to_bytes(2, "big"), rows)]

    def piece() -> None:
        if waiting:
            pieces.append(_as_binary(np.concatenate(waiting, axis=1) if len(waiting) > 1 else waiting[0]))
            waiting.clear()

    for array, kind in zip(arrays, types, strict=True):
        if kind in _PLAIN:
            text = array.cast(pa.binary()) if not pa.types.is_binary(array.type) else array
            waiting.append(_swapped(_lengths(text), ">i4"))
            piece()
            pieces.append(text.fill_null(b"") if text.null_count else text)
            continue
        value = _FIXED[kind](array)
        prefixed = [_same(value.shape[1].to_bytes(4, "big"), rows), value]
        if not array.null_count:
            waiting += prefixed
            continue
        piece()
        present = _as_binary(np.concatenate(prefixed, axis=1))
        pieces.append(pc.if_else(array.is_valid(), present, pa.scalar(_NULL, pa.binary())))
    piece()
    joined = pc.binary_join_element_wise(*pieces, pa.scalar(b"", pa.binary())) if len(pieces) > 1 else pieces[0]
    first, last = (int.from_bytes(joined.buffers()[1][4 * at : 4 * at + 4].to_pybytes(), "little") for at in (0, rows))
    return memoryview(joined.buffers()[2])[first:last]


def _same(raw: bytes, rows: int) -> _Bytes:
    return np.broadcast_to(np.frombuffer(raw, np.uint8), (rows, len(raw)))


def _lengths(text: pa.Array) -> npt.NDArray[np.generic]:
    lengths = np.diff(np.frombuffer(text.buffers()[1], np.int32, len(text) + 1, text.offset * 4))
    if text.null_count:
        lengths = np.where(np.asarray(text.is_valid()), lengths, -1)
    return lengths


def _as_binary(values: _Bytes) -> pa.Array:
    rows, width = values.shape
    offsets = np.arange(0, (rows + 1) * width, width, dtype=np.int32)
    return pa.Array.from_buffers(
        pa.binary(), rows, [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(values))]
    )
