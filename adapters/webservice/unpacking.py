"""Rows out of a payload: an Arrow stream, its buffers compressed by zstd, in base64 (压缩载荷); for bulk between hubs.

The columns have the items' names, and the types that the other hub gave them after its own checks.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from adapters.errors import Malformed
from adapters.webservice import arrow
from adapters.webservice.texts import texts
from adapters.webservice.xml import TEXT

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
    rows = 0
    try:
        _, batches = arrow.opened(pa.BufferReader(content), largest=INFLATED, together=INFLATED)
        for batch in batches:
            rows += batch.num_rows
            if rows > ROWS:
                raise Malformed(f"{what}的载荷行数过多，展开后过大", remedy=_REMEDY)
            fitted = _fitted(batch, columns)
            if any(_longest(column) > TEXT for column in fitted.columns):
                raise Malformed(f"{what}的载荷里有超过 {TEXT} 字节的文本", remedy=_REMEDY)
            yield fitted
    except (arrow.Unreadable, arrow.Oversized) as error:
        raise Malformed(f"{what}的载荷{error}", remedy=_REMEDY) from error


def _fitted(batch: pa.RecordBatch, columns: Sequence[str]) -> pa.RecordBatch:
    there = set(batch.schema.names)
    # What is an attribute of a row in XML is a column here.
    names = [name.removeprefix("@") for name in columns]
    arrays = [_typed(batch.column(name)) if name in there else pa.nulls(batch.num_rows, pa.string()) for name in names]
    return pa.record_batch(arrays, names=[str(place) for place in range(len(columns))])


def _longest(column: pa.Array) -> int:
    texts_or_bytes = pa.types.is_string(column.type) or pa.types.is_binary(column.type)
    return (pc.max(pc.binary_length(column)).as_py() or 0) if texts_or_bytes else 0


def _typed(column: pa.Array) -> pa.Array:
    kind = column.type
    kept = any(is_kind(kind) for is_kind in _TYPES) or (pa.types.is_timestamp(kind) and kind.tz and kind.unit == "us")
    return column if kept else texts(column)
