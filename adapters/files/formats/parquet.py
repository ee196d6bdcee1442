"""Parquet: typed columns, believed only after the footer has been held against the file.

The footer says how many rows there are and where the pages lie. It is compared with the size of the file and with
itself before a page is read; the rows that come out are counted against it. Dictionaries are read as their values.
Lists and structures are read where the binding says that the column holds child rows.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import IO, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from adapters.base import Options
from adapters.errors import Malformed
from adapters.files.formats.base import (
    Drain,
    Format,
    FormatName,
    Reader,
    Rows,
    Writer,
    closed_on_error,
    spooled,
    text_of,
)
from adapters.files.formats.thrift import structure
from schemas.unreadable import unreadable

FOOTER = 32 << 20
"""Bytes of the footer at most."""
GROUP = 1 << 30
"""Unpacked bytes of one column in one row group at most."""
ROWS_PER_BYTE = 64
"""Rows for each byte of the file at most: columns of one value take almost nothing."""
VALUES = 1 << 20
"""Values of a column in any file at most, however small it is: lists of nothing take nothing."""
HELD = 64 << 20
"""Bytes of one column in one batch, about: a dictionary may repeat one long value for every row."""
_BATCH = 8_192
_GROUP_ROWS = 1 << 16
_BYTE_ARRAY, _CODED = 6, frozenset({2, 8})
_MARK = b"PAR1"
_ENCRYPTED = b"PARE"


class ParquetReading(Options):
    """What a binding may say about Parquet to read.

    Attributes:
        nested: Columns that hold child rows (子表行), as lists of structures.
    """

    nested: tuple[str, ...] = ()


class Parquet(Format):
    """The format ``parquet``."""

    name: ClassVar[FormatName] = "parquet"
    endings: ClassVar[tuple[str, ...]] = (".parquet",)
    reading: ClassVar[type[Options]] = ParquetReading

    def reader(self, chunks: Iterable[bytes], name: str, options: Any, expected: Sequence[str] = ()) -> Reader:
        """Read a file."""
        file = spooled(chunks)
        with closed_on_error(file):
            return ParquetReader(file, name, options.nested)

    def writer(self, schema: pa.Schema, options: Any, rows: int | None) -> Writer:
        """Write a file, every column of its own type."""
        return ParquetWriter(schema)


class _Column:
    """What the footer says of one column in one row group, by the numbers of Parquet's own definition."""

    def __init__(self, chunk: dict[int, Any]) -> None:
        # With a key of its own a column's metadata may be elsewhere, and in the clear there may be some too.
        self.encrypted = 8 in chunk or 9 in chunk
        about = chunk.get(3, {})
        if 1 in chunk or not (about or self.encrypted):
            raise ValueError("a column in another file")
        self.values, self.unpacked, self.packed = (int(about.get(number, -1)) for number in (5, 6, 7))
        self.begin = min(int(about.get(9, -1)), int(about.get(11, 1 << 62)))
        self.name = b".".join(about.get(3, [])).decode()
        self.coded = about.get(1) == _BYTE_ARRAY and not _CODED.isdisjoint(about.get(2, []))


class _Group:
    """What the footer says of a row group."""

    def __init__(self, group: dict[int, Any]) -> None:
        self.rows = int(group[3])
        self.columns = [_Column(each) for each in group.get(1, [])]


class ParquetReader(Reader):
    """The rows of one file, by their numbers.

    Raises:
        Malformed: it is no Parquet, encrypted, or its footer does not fit it.
    """

    def __init__(self, file: IO[bytes], name: str, nested: Sequence[str]) -> None:
        self._bytes = file
        self._name = name
        self._nested = frozenset(nested)
        self._check_ends(file)
        self._check_footer()
        self._file = self._opened(())
        self._schema = self._file.schema_arrow
        widths = [each.type.byte_width for each in self._schema if pa.types.is_fixed_size_binary(each.type)]
        self._rows = max(1, min(_BATCH, HELD // max([1, *widths])))
        try:
            self.header: tuple[str, ...] = tuple(self._schema.names)
        except UnicodeDecodeError as error:
            raise self._refused("有的列名不成文字") from error
        self._check_groups()
        if repeated := self._repeated():
            self._file = self._opened(repeated)

    def close(self) -> None:
        """Close the spool."""
        self._bytes.close()

    def batches(self, columns: Sequence[int]) -> Rows:
        """See :meth:`Reader.batches`."""
        for column in columns:
            self._readable(column)
        names = [self.header[column] for column in columns]
        # Columns are asked for by name there, and a point in a name leads into a structure.
        plain = len(set(self.header)) == len(self.header) and not any("." in name for name in self.header)
        within = [sorted(set(columns)).index(column) for column in columns] if plain else list(columns)
        wanted = [self.header[column] for column in sorted(set(columns))] if plain else None
        for batch in self._read(wanted):
            texts = [self._texts(names[at], batch.column(place)) for at, place in enumerate(within)]
            places = pa.array(np.arange(self.records + 1, self.records + batch.num_rows + 1))
            self.records += batch.num_rows
            yield places, pa.record_batch(texts, names=[str(column) for column in columns])
        if self.records != self._file.metadata.num_rows:
            raise self._refused(f"有 {self.records} 行，文件尾记 {self._file.metadata.num_rows} 行")

    def _opened(self, repeated: Sequence[str]) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(
                self._bytes,
                read_dictionary=repeated,
                thrift_string_size_limit=FOOTER,
                thrift_container_size_limit=1_000_000,
                pre_buffer=False,
                # As nanoseconds, days before 1677 and after 2262 would silently be others.
                coerce_int96_timestamp_unit="us",
            )
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._refused("的文件尾不能读取") from error

    def _repeated(self) -> list[str]:
        """Columns with dictionaries of values so long that no batch may be made of them unseen."""
        suspects: dict[int, set[str]] = {}
        for number, group in enumerate(self._groups):
            # A name with a point in it may be another column's.
            names = {column.name for column in group.columns if column.coded} & set(self._schema.names)
            if names and group.rows:
                suspects[number] = names
        file = self._opened(sorted(set().union(*suspects.values()))) if suspects else self._file
        found: set[str] = set()
        for number, names in suspects.items():
            for name in names - found:
                if self._longest(file, number, name) * _BATCH > HELD:
                    found.add(name)
        return sorted(found)

    def _longest(self, file: pq.ParquetFile, group: int, name: str) -> int:
        """The length of the longest value in a dictionary."""
        longest = 0
        try:
            for batch in file.iter_batches(1, row_groups=[group], columns=[name], use_threads=False):
                for column in batch.columns:
                    if pa.types.is_dictionary(column.type):
                        longest = max(longest, pc.max(pc.binary_length(column.dictionary)).as_py() or 0)
                break
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._refused("与文件尾所记不符，或已损坏") from error
        return longest

    def _read(self, wanted: list[str] | None) -> Iterator[pa.RecordBatch]:
        try:
            for batch in self._file.iter_batches(self._rows, columns=wanted, use_threads=False):
                yield from _parts(batch)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._refused("与文件尾所记不符，或已损坏") from error

    def _texts(self, name: str, column: pa.Array) -> pa.StringArray:
        try:
            return _texts(column)
        except (pa.ArrowException, ValueError, UnicodeError, OverflowError, TypeError) as error:
            raise self._refused(f"的列 {name} 含有不能表示的值") from error

    def _readable(self, column: int) -> None:
        field = self._schema.field(column)
        if pa.types.is_nested(field.type) and field.name not in self._nested:
            raise Malformed(
                f"文件 {self._name} 的列 {field.name} 是嵌套类型", remedy="如为子表行，请把该列写进挂接选项 nested"
            )
        if pa.types.is_duration(field.type) or pa.types.is_interval(field.type):
            raise Malformed(f"文件 {self._name} 的列 {field.name} 是时长，不能读取", remedy="由提供方改为数值或文本")

    def _check_ends(self, file: IO[bytes]) -> None:
        size = file.seek(0, io.SEEK_END)
        if size < 12:
            raise self._refused("不是 Parquet 文件")
        file.seek(size - 8)
        tail = file.read(8)
        file.seek(0)
        head = file.read(4)
        file.seek(0)
        if _ENCRYPTED in (head, tail[4:]):
            raise self._encrypted()
        if head != _MARK or tail[4:] != _MARK:
            raise self._refused("不是完整的 Parquet 文件")
        length = struct.unpack("<I", tail[:4])[0]
        if length > min(size - 12, FOOTER):
            raise self._refused("的文件尾长度与文件不符")
        self._size, self._body = size, size - 8 - length

    def _check_footer(self) -> None:
        """Hold the footer against the file; read without the library, which some footers make end the process."""
        self._bytes.seek(self._body)
        try:
            about = structure(self._bytes.read(self._size - 8 - self._body))
            self._groups = [_Group(each) for each in about.get(4, [])]
            rows = int(about[3])
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise self._refused("的文件尾不能读取") from error
        self._bytes.seek(0)
        if any(column.encrypted for group in self._groups for column in group.columns):
            raise self._encrypted()
        if rows < 0 or any(group.rows < 0 for group in self._groups):
            raise self._refused("的文件尾所记行数是负的")
        if rows != sum(group.rows for group in self._groups):
            raise self._refused("的文件尾所记行数与各行组之和不符")
        if rows > ROWS_PER_BYTE * self._size:
            raise self._refused("的文件尾所记行数远多于文件所能容纳")

    def _check_groups(self) -> None:
        leaves = len(self._file.schema)
        flat = not any(pa.types.is_nested(field.type) for field in self._schema)
        for group in self._groups:
            if len(group.columns) != leaves:
                raise self._refused("的文件尾所记列数不一")
            for column in group.columns:
                self._check_column(column, group.rows if flat else None)

    def _check_column(self, column: _Column, rows: int | None) -> None:
        if column.begin < 4 or column.packed < 0 or column.begin + column.packed > self._body:
            raise self._refused("的文件尾所记数据位置在文件之外")
        if column.unpacked < 0 or column.unpacked > GROUP:
            raise self._refused(f"的一个行组中有一列解开后超过 {GROUP >> 20} MiB")
        if column.values > max(VALUES, ROWS_PER_BYTE * self._size):
            raise self._refused("的文件尾所记值数远多于文件所能容纳")
        if rows is not None and column.values != rows:
            raise self._refused("的文件尾所记各列行数不一")

    def _encrypted(self) -> Malformed:
        return Malformed(f"文件 {self._name} 是加密的 Parquet", remedy="由提供方不加密放入，保密交给传输")

    def _refused(self, why: str) -> Malformed:
        return Malformed(f"文件 {self._name} {why}", remedy="由提供方重新生成后放入")


def _parts(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """A batch in parts that are not much larger than they may be."""
    rows = batch.num_rows
    if not any(pa.types.is_dictionary(column.type) for column in batch.columns):
        yield batch
        return
    sizes = np.zeros(rows, np.int64)
    for column in batch.columns:
        if pa.types.is_dictionary(column.type):
            lengths = pc.take(pc.binary_length(column.dictionary), column.indices)
            sizes = np.maximum(sizes, pc.fill_null(lengths, 0).to_numpy(zero_copy_only=False))
    upto = np.cumsum(sizes)
    at = 0
    while at < rows:
        taken = int(np.searchsorted(upto, (upto[at - 1] if at else 0) + HELD, "right"))
        end = max(taken, at + 1)
        yield batch.slice(at, end - at)
        at = end


def _texts(column: pa.Array) -> pa.StringArray:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _texts(column.dictionary_decode())
    if pa.types.is_nested(kind):
        return pa.array([None if value is None else _written(value) for value in column.to_pylist()], pa.string())
    if pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind) or kind == pa.binary_view():
        column = column.cast(pa.binary())
    elif pa.types.is_timestamp(kind):
        # Nanoseconds that are more than zeros stay, and are refused where they cannot be kept.
        exact = pa.timestamp("us", kind.tz and "UTC")
        try:
            column = column.cast(exact)
        except pa.ArrowInvalid:
            column = column.cast(pa.timestamp(kind.unit, kind.tz and "UTC"))
    elif pa.types.is_date64(kind):
        column = column.cast(pa.date32())
    elif pa.types.is_float16(kind):
        column = column.cast(pa.float32())
    elif pa.types.is_decimal256(kind):
        return pa.array([None if v is None else format(v, "f") for v in column.to_pylist()], pa.string())
    texts = text_of(column)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view():
        # A file may call any bytes a text.
        texts.validate(full=True)
    elif pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        # A day beyond the calendar is another one in Arrow's text, or words of its own.
        texts = pc.if_else(_in_calendar(column), texts, unreadable("day"))
    return texts


def _in_calendar(column: pa.Array) -> pa.BooleanArray:
    kind = column.type
    first, last = (-62_135_596_800, 253_402_300_800)
    if pa.types.is_date(kind):
        first, last, numbers = first // 86_400, last // 86_400, column.cast(pa.int32())
    else:
        scale = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[kind.unit]
        most = (1 << 63) - 1
        first, last, numbers = max(first * scale, -most), min(last * scale, most), column.cast(pa.int64())
    return pc.and_(pc.greater_equal(numbers, first), pc.less(numbers, last))


def _written(value: Any) -> str:
    return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _plain(value: Any) -> Any:
    """A nested value as JSON has it, every single value a text."""
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return text_of(pa.array([value], pa.timestamp("us", "UTC" if value.tzinfo else None)))[0].as_py()
    if isinstance(value, date):
        return value.isoformat()
    return text_of(pa.array([value]))[0].as_py()


class ParquetWriter(Writer):
    """Row groups of many batches, compressed."""

    def __init__(self, schema: pa.Schema) -> None:
        self._out = Drain()
        # What is said of an item inside the hub does not leave it with the file.
        self._schema = pa.schema([pa.field(field.name, field.type) for field in schema])
        self._file = pq.ParquetWriter(self._out, self._schema, compression="zstd", store_schema=False)
        self._kept: list[pa.RecordBatch] = []

    def header(self) -> bytes:
        """The mark."""
        return self._out.taken()

    def rows(self, batch: pa.RecordBatch) -> bytes:
        """Row groups, once enough rows have come together."""
        if batch.num_rows:
            self._kept.append(pa.RecordBatch.from_arrays(batch.columns, schema=self._schema))
        large = sum(kept.nbytes for kept in self._kept) > _GROUP_ROWS << 9
        if large or sum(kept.num_rows for kept in self._kept) >= _GROUP_ROWS:
            self._flush()
        return self._out.taken()

    def trailer(self) -> Iterator[bytes]:
        """The last row group and the footer."""
        self._flush()
        self._file.close()
        yield self._out.taken()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _flush(self) -> None:
        if self._kept:
            table = pa.Table.from_batches(self._kept)
            self._file.write_table(table, row_group_size=table.num_rows)
            self._kept = []
