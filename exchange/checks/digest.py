r"""Canonical digests of record batches (数据摘要): the same rows give the same digest wherever they lie.

The bytes that are hashed for one batch, a *leaf*; integers are little endian, without signs unless said:

``shutong leaf 1\n``, number of columns (4 bytes), number of rows *n* (8 bytes), then for each column in order

- a type tag of two bytes: a letter and, where it says *w*, a width in bits or a decimal's scale;
- validity: one bit for each row, least significant first, filled up to a byte with zeros;
- the values:

  ========= ============================== ======================================================
  tag       Arrow                          bytes
  ========= ============================== ======================================================
  ``C`` 0   text, any encoding             *n* lengths (4 bytes, signed), then the UTF-8 bytes
  ``G`` 0   bytes                          *n* lengths (4 bytes, signed), then the bytes
  ``N`` *w* decimal with *w* decimals      the unscaled value, 16 bytes, signed
  ``I`` *w* integer of *w* bits            *w* / 8 bytes, signed
  ``F`` 64  double                         IEEE 754; one zero, one NaN
  ``D`` 0   date                           days since 1970-01-01, 4 bytes, signed
  ``T`` 0   instant                        microseconds since 1970 in UTC, 8 bytes, signed
  ``t`` 0   time without zone              microseconds since 1970, 8 bytes, signed
  ``L`` 0   truth value                    one bit for each row, filled up to a byte
  ========= ============================== ======================================================

  A null has length 0, or value 0.

The *root* over leaves hashes ``shutong root 1\n`` and for each leaf its number of rows (8 bytes) and its
digest. Empty batches leave no leaf. How rows are cut into leaves is part of what a root says; within a
leaf rows stand in the order of their key, text compared by its UTF-8 bytes.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from exchange.checks.buffers import mask, plain, text_parts
from exchange.errors import Invalid, Problem

ALGORITHMS = ("sha256", "sm3")

_LEAF = b"shutong leaf 1\n"
_ROOT = b"shutong root 1\n"
_INTEGERS = {pa.int8(): 8, pa.int16(): 16, pa.int32(): 32, pa.int64(): 64}


def new_hash(algorithm: str) -> hashlib._Hash:
    """A fresh hash.

    Raises:
        Invalid: the algorithm is not one of :data:`ALGORITHMS`, or this Python has no SM3.
    """
    if algorithm not in ALGORITHMS:
        raise Invalid(f"没有名为 {algorithm} 的摘要算法", remedy=f"可用：{'、'.join(ALGORITHMS)}")
    try:
        return hashlib.new(algorithm)
    except ValueError as error:
        raise Invalid(
            f"本机的 OpenSSL 没有摘要算法 {algorithm}", remedy="改用 sha256，或换用带 SM3 的 OpenSSL（1.1.1 以上）"
        ) from error


def available(algorithm: str) -> bool:
    """Whether this machine can compute the algorithm; asked once before the first run."""
    try:
        new_hash(algorithm)
    except Invalid:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Leaf:
    """One batch of a digest (叶).

    Attributes:
        rows: How many rows it covers.
        digest: Its digest in hex.
        first: Encoded key of its first row, personal data like the key itself; empty without a key.
        last: Encoded key of its last row.
    """

    rows: int
    digest: str
    first: bytes
    last: bytes


class Digest:
    """Digest of rows that come batch by batch.

    Args:
        algorithm: ``sha256`` or ``sm3``.
        key: Items by which each batch is put in order before it is hashed; empty: as it comes.
    """

    def __init__(self, algorithm: str = "sha256", key: Sequence[str] = ()) -> None:
        self._algorithm = algorithm
        self._key = tuple(key)
        self._root = new_hash(algorithm)
        self._root.update(_ROOT)
        self.rows = 0
        """Rows hashed so far."""

    def add(self, batch: pa.RecordBatch) -> Leaf | None:
        """Hash one batch; None if it is empty."""
        if batch.num_rows == 0:
            return None
        first = last = b""
        if self._key:
            batch = sort_by_key(batch, self._key)
            first, last = bounds(batch, self._key)
        digest = leaf(batch, self._algorithm)
        self.join(batch.num_rows, digest.hex())
        return Leaf(batch.num_rows, digest.hex(), first, last)

    def join(self, rows: int, digest: str) -> None:
        """Go on with a leaf that was hashed before, by its rows and its digest in hex."""
        self._root.update(struct.pack("<Q", rows) + bytes.fromhex(digest))
        self.rows += rows

    def root(self) -> str:
        """Digest in hex over everything added so far."""
        return self._root.hexdigest()


def leaf(batch: pa.RecordBatch, algorithm: str = "sha256") -> bytes:
    """Canonical digest of one batch, its columns and rows in the order they have.

    Raises:
        Invalid: a column has a type without canonical form.
    """
    running = new_hash(algorithm)
    running.update(_LEAF + struct.pack("<IQ", batch.num_columns, batch.num_rows))
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        _hash_column(running, name, plain(column))
    return running.digest()


def sort_by_key(batch: pa.RecordBatch, key: Sequence[str]) -> pa.RecordBatch:
    """The batch in the order of its key: text by UTF-8 bytes, everything else by value, nulls last."""
    columns = [plain(batch.column(name)) for name in key]
    if len(columns) == 1 and not columns[0].null_count and _ascending(columns[0]):
        return batch
    places = pc.sort_indices(
        pa.RecordBatch.from_arrays(columns, names=list(key)),
        sort_keys=[(name, "ascending") for name in key],
    )
    return batch.take(places)


def _ascending(column: pa.Array) -> bool:
    if len(column) < 2 or pa.types.is_boolean(column.type):
        return len(column) < 2
    return bool(pc.all(pc.less_equal(column[:-1], column[1:])).as_py())


def bounds(batch: pa.RecordBatch, key: Sequence[str]) -> tuple[bytes, bytes]:
    """Encoded keys of the first and the last row."""
    ends = pa.array([0, batch.num_rows - 1])
    first, last = encoded_keys(batch.select(list(key)).take(ends), key)
    return first, last


def encoded_keys(batch: pa.RecordBatch, key: Sequence[str]) -> list[bytes]:
    """Each row's key as bytes; different keys have different bytes, whatever the source typed them as.

    For each item: 0 for null, else 1, the length (4 bytes) and the value's text in UTF-8 without the blanks
    around it. Meant for the few rows that are named one by one.
    """
    columns = [_texts(plain(batch.column(name))) for name in key]
    return [b"".join(map(_framed, parts)) for parts in zip(*columns, strict=True)]


def key_hashes(batch: pa.RecordBatch, key: Sequence[str], hmac_key: bytes) -> list[str]:
    """Keyed hash of each row's business key: tells the same row again, and nothing to whoever lacks the key."""
    return [hmac.digest(hmac_key, encoded, "sha256").hex() for encoded in encoded_keys(batch, key)]


def _texts(column: pa.Array) -> list[bytes | None]:
    if not (pa.types.is_string(column.type) or pa.types.is_binary(column.type)):
        column = column.cast(pa.string())
    return [None if value is None else _stripped(value) for value in column.cast(pa.binary()).to_pylist()]


def _stripped(value: bytes) -> bytes:
    try:
        return value.decode().strip().encode()
    except UnicodeDecodeError:
        return value


def _framed(part: bytes | None) -> bytes:
    return b"\0" if part is None else b"\1" + struct.pack("<I", len(part)) + part


def _hash_column(running: hashlib._Hash, name: str, column: pa.Array) -> None:
    kind = column.type
    valid = mask(pc.is_valid(column)) if column.null_count else None
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        _begin(running, b"C\0" if pa.types.is_string(kind) else b"G\0", valid, len(column))
        _hash_texts(running, column, valid)
    elif pa.types.is_boolean(kind):
        _begin(running, b"L\0", valid, len(column))
        running.update(np.packbits(mask(column), bitorder="little").data)
    else:
        tag, values = _fixed(name, column)
        _begin(running, tag, valid, len(column))
        if valid is not None:
            values = values.copy()
            values[~valid] = np.zeros((), values.dtype)
        running.update(np.ascontiguousarray(values).data)


def _begin(running: hashlib._Hash, tag: bytes, valid: npt.NDArray[np.bool_] | None, rows: int) -> None:
    present = np.ones(rows, np.bool_) if valid is None else valid
    running.update(tag)
    running.update(np.packbits(present, bitorder="little").data)


def _hash_texts(running: hashlib._Hash, column: pa.Array, valid: npt.NDArray[np.bool_] | None) -> None:
    offsets, data = text_parts(column)
    lengths = np.diff(offsets)
    if valid is not None and lengths[~valid].any():
        # A null may still own bytes: leave them out.
        offsets, data = text_parts(pc.fill_null(column, pa.scalar(b"", pa.binary()).cast(column.type)))
        lengths = np.diff(offsets)
    running.update(np.ascontiguousarray(lengths, "<i4").data)
    running.update(data[offsets[0] : offsets[-1]].data)


def _fixed(name: str, column: pa.Array) -> tuple[bytes, npt.NDArray[np.generic]]:
    kind = column.type
    if pa.types.is_decimal(kind) and kind.precision <= 38:
        return b"N" + struct.pack("b", kind.scale), _words(
            column.cast(pa.decimal128(kind.precision, kind.scale)), "V16"
        )
    if kind in _INTEGERS:
        width = _INTEGERS[kind]
        return b"I" + bytes([width]), _words(column, f"<i{width // 8}")
    if pa.types.is_float64(kind):
        values = np.add(_words(column, "<f8"), 0.0, dtype="<f8")  # turns -0 into 0
        return b"F\x40", np.where(np.isnan(values), np.nan, values)
    if pa.types.is_date32(kind):
        return b"D\0", _words(column, "<i4")
    if pa.types.is_timestamp(kind) and kind.unit == "us":
        return (b"T\0" if kind.tz else b"t\0"), _words(column, "<i8")
    raise Invalid(
        "有的列没有规范形式，不能计算摘要",
        [Problem(f"信息项 {name}", f"类型 {kind} 没有规范形式", "先按信息项登记的类型规范化")],
    )


def _words(column: pa.Array, dtype: str) -> npt.NDArray[np.generic]:
    size = np.dtype(dtype).itemsize
    if len(column) == 0:
        return np.zeros(0, dtype)
    return np.frombuffer(column.buffers()[1], dtype, len(column), column.offset * size)
