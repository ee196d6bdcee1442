"""Rows that come or go as lines of CSV: parsed and written by columns, not by values.

An empty field is null, a quoted empty field is the empty text; only texts need quotes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pyarrow as pa
from pyarrow import csv

from adapters.database.dialects.base import ROW_BYTES
from adapters.database.shapes import Reading
from adapters.errors import Malformed

_PLACE = re.compile(r"In CSV column #(\d+)")


def batched(lines: Iterable[bytes], batch_rows: int) -> Iterator[list[bytes]]:
    """Lines in groups of at most so many rows, and not much more than a batch's bytes."""
    group: list[bytes] = []
    size = 0
    for line in lines:
        group.append(line)
        size += len(line)
        if len(group) == batch_rows or size >= ROW_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def parsed(lines: Sequence[bytes], readings: Sequence[Reading], quote: str = '"') -> list[pa.Array]:
    """The finished arrays of some lines, each ended by a newline.

    Args:
        lines: The lines.
        readings: What the fields are.
        quote: What stands around a text, doubled within it.

    Raises:
        Malformed: A value is not of its column's type; names the column.
    """
    text = b"".join(lines)
    names = [str(number) for number in range(len(readings))]
    try:
        table = csv.read_csv(
            io.BytesIO(text),
            read_options=csv.ReadOptions(column_names=names, use_threads=False, block_size=len(text) + 1),
            parse_options=csv.ParseOptions(quote_char=quote, newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                # What is not UTF-8 is a refused row, found when the batch is typed.
                check_utf8=False,
                column_types={name: reading.wire for name, reading in zip(names, readings, strict=True)},
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                true_values=["t", "1"],
                false_values=["f", "0"],
            ),
        )
    except pa.ArrowInvalid as error:
        place = _PLACE.search(str(error))
        where = f"列 {readings[int(place[1])].column}" if place else "有一列"
        # Not chained: the parser's message quotes the value.
        raise Malformed(
            f"{where}有无法按其类型读取的值", remedy="请提供方改正该值，或在挂接选项 text 中列出该列，按文本读取"
        ) from None
    if table.num_rows != len(lines):
        raise Malformed("读到的行数与库中给出的不符", remedy="检查该表的文本中是否有不能传送的字符")
    return [finished(table.column(number), reading) for number, reading in enumerate(readings)]


def finished(values: pa.ChunkedArray | pa.Array, reading: Reading) -> pa.Array:
    """Values as parsed, made into what the reading promises."""
    whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    return reading.finish(whole) if reading.finish else whole


def written(arrays: Mapping[str, pa.Array]) -> memoryview:
    """Arrays as lines."""
    out = io.BytesIO()
    csv.write_csv(pa.table(arrays), out, csv.WriteOptions(include_header=False, quoting_style="all_valid"))
    return out.getbuffer()


def unhexed(values: pa.Array) -> pa.Array:
    """Bytes out of their hexadecimal text."""
    return pa.array([None if text is None else bytes.fromhex(text) for text in values.to_pylist()], pa.binary())


def hexed(values: pa.Array, mark: str) -> pa.Array:
    """Bytes as hexadecimal text behind a mark."""
    return pa.array([None if raw is None else mark + raw.hex() for raw in values.to_pylist()], pa.string())
