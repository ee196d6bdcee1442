"""XLSX (电子表格): one sheet of a workbook, read row by row in constant memory, and written as text throughout.

Read by the hardened parser, not by a library that makes a whole sheet of it first: a single cell in the last corner
would then be seventeen thousand million cells, and a formula's error an empty one. A blank row is no record. A cell
that holds an error, a formula without a result, a long number or no day refuses its row.

Written by XlsxWriter, every value as a text cell in the format for texts, so that identifiers keep their digits and
nothing that begins like a formula is ever one. A null is no cell; an empty text is a cell with nothing in it.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc
import xlsxwriter
from pydantic import Field, field_validator
from xlsxwriter.exceptions import FileCreateError

from adapters.base import Options
from adapters.errors import Malformed, Unsupported
from adapters.files.errors import put_aside
from adapters.files.formats.archive import Archive
from adapters.files.formats.base import (
    CHUNK,
    COLUMNS,
    Format,
    FormatName,
    Reader,
    Rows,
    Writer,
    closed_on_error,
    spooled,
    text_of,
)
from adapters.files.formats.sheet import LONGEST, ROWS, Sheet
from adapters.files.formats.workbook import PARTS, chosen, read_workbook

CHARACTERS = 32_767
"""Characters of a cell, as UTF-16 counts them."""
_BATCH = 8_192
_HELD = 16 << 20
"""What a batch may take, about, in bytes: many cells may share one long text."""
_CELL = 64
_TEXT = 49
"""The number format of texts, ``@``."""
_OLD = b"\xd0\xcf\x11\xe0"
"""How old workbooks begin, and those with a password."""
_NOT_IN_NAMES = re.compile(r"[\[\]:*?/\\]")


class XlsxReading(Options):
    """What a binding may say about XLSX to read.

    Attributes:
        sheet: Name of the sheet; by default the only one that can be seen and is not empty.
        head: Number of the row with the header; what stands above it is not read.
    """

    sheet: str | None = None
    head: int = Field(1, ge=1, le=1000)


class XlsxWriting(Options):
    """What a binding may say about XLSX to write.

    Attributes:
        sheet: Name of the sheet.
    """

    sheet: str = Field("数据", min_length=1, max_length=31)

    @field_validator("sheet")
    @classmethod
    def _a_sheet(cls, value: str) -> str:
        if _NOT_IN_NAMES.search(value) or value.startswith("'") or value.endswith("'") or value != value.strip():
            raise ValueError("工作表名不能含 [ ] : * ? / \\，首尾不能是单引号或空格")
        return value


class Xlsx(Format):
    """The format ``xlsx``."""

    name: ClassVar[FormatName] = "xlsx"
    endings: ClassVar[tuple[str, ...]] = (".xlsx",)
    reading: ClassVar[type[Options]] = XlsxReading
    writing: ClassVar[type[Options]] = XlsxWriting
    packed: ClassVar[bool] = True

    def reader(self, chunks: Iterable[bytes], name: str, options: Any, expected: Sequence[str] = ()) -> Reader:
        """Read a file."""
        file = spooled(chunks)
        with closed_on_error(file):
            return XlsxReader(file, name, options)

    def check(self, batch: pa.RecordBatch) -> None:
        """A cell takes so many characters, and the library would cut what is longer."""
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            text = text_of(column)
            if (pc.max(pc.binary_length(text)).as_py() or 0) <= CHARACTERS:
                continue
            longest = max(len(value.encode("utf-16-le")) // 2 for value in text.to_pylist() if value is not None)
            if longest > CHARACTERS:
                raise Unsupported(
                    f"列 {name} 有 {longest} 个字符的文字，一个单元格至多 {CHARACTERS} 个",
                    remedy="改用 csv、jsonl 或 parquet 交付",
                )

    def writer(self, schema: pa.Schema, options: Any, rows: int | None) -> Writer:
        """Write a file."""
        if rows is not None and rows >= ROWS:
            raise Unsupported(f"一个工作表至多 {ROWS - 1} 行数据", remedy="改用 csv、jsonl 或 parquet 交付")
        if len(schema) > COLUMNS:
            raise Unsupported(f"一个工作表至多 {COLUMNS} 列", remedy="改用 csv、jsonl 或 parquet 交付")
        return XlsxWriter(schema.names, options)


class XlsxReader(Reader):
    """The rows of one sheet, by their numbers.

    Raises:
        Malformed: naming file, sheet and row.
    """

    def __init__(self, file: IO[bytes], name: str, options: XlsxReading) -> None:
        self._bytes = file
        self._name = name
        self._head = options.head
        if file.read(4) == _OLD:
            raise Malformed(
                f"文件 {name} 是旧版工作簿（xls），或带有密码", remedy="由提供方去掉密码，存为 xlsx 后重新放入"
            )
        self._archive = Archive(file, name, PARTS)
        self._workbook = read_workbook(self._archive, name)
        self._sheet = chosen(self._workbook, options.sheet, name, lambda sheet: self._filled(sheet.part))
        self._rows = Sheet(name, self._sheet.name, self._workbook, options.head).rows(
            self._archive.chunks(self._sheet.part)
        )
        self.header: tuple[str, ...] = self._header()

    def place(self, number: int) -> str:
        """By sheet and row."""
        return f"工作表“{self._sheet.name}”第 {number} 行"

    def close(self) -> None:
        """Close the spool."""
        self._bytes.close()

    def batches(self, columns: Sequence[int]) -> Rows:
        """See :meth:`Reader.batches`."""
        names = [str(column) for column in columns]
        places: list[int] = []
        values: list[dict[int, str]] = []
        held = 0
        for number, row in self._body():
            size = _CELL * len(row) + sum(map(len, row.values()))
            if size > LONGEST:
                raise self._refused(number, f"超过 {LONGEST >> 20} MiB")
            if places and (len(places) == _BATCH or held + size > _HELD):
                yield self._batch(places, values, columns, names)
                places, values, held = [], [], 0
            places.append(number)
            values.append(row)
            held += size
        if places:
            yield self._batch(places, values, columns, names)

    def _batch(
        self, places: list[int], values: list[dict[int, str]], columns: Sequence[int], names: list[str]
    ) -> tuple[pa.Array, pa.RecordBatch]:
        self.records += len(places)
        arrays = [pa.array([row.get(column) for row in values], pa.string()) for column in columns]
        return pa.array(places, pa.int64()), pa.record_batch(arrays, names=names)

    def _header(self) -> tuple[str, ...]:
        for number, row in self._rows:
            if number == self._head:
                width = max(row) + 1
                texts = [row.get(column, "") for column in range(width)]
                if wrong := [text for text in texts if text.startswith("\0")]:
                    raise self._refused(number, f"的表头有 {len(wrong)} 个不能读取的单元格")
                return tuple(texts)
            if number > self._head:
                break
        raise self._refused(self._head, "是空的，没有表头")

    def _body(self) -> Iterator[tuple[int, dict[int, str]]]:
        width = len(self.header)
        for number, row in self._rows:
            if max(row) >= width and any(column >= width and row[column].strip() for column in row):
                raise self._refused(number, f"在表头的 {width} 列之外还有内容")
            yield number, row

    def _filled(self, part: str) -> bool:
        """Whether a sheet holds anything."""
        return next(Sheet(self._name, "", self._workbook, ROWS).rows(self._archive.chunks(part)), None) is not None

    def _refused(self, number: int, why: str) -> Malformed:
        return Malformed(f"文件 {self._name} {self.place(number)}{why}", remedy="由提供方改正后重新放入")


class XlsxWriter(Writer):
    """One sheet of text cells; the whole of it comes at the end."""

    def __init__(self, names: Sequence[str], options: XlsxWriting) -> None:
        # A folder of its own: the library leaves what it was making where that fails.
        self._folder = tempfile.TemporaryDirectory()
        self._file = tempfile.TemporaryFile(dir=self._folder.name)  # noqa: SIM115 - it is closed with the writer
        kept = {"constant_memory": True, "use_zip64": True, "tmpdir": self._folder.name}
        self._book = xlsxwriter.Workbook(self._file, kept)
        self._text = self._book.add_format({"num_format": _TEXT, "quote_prefix": True})
        self._plain = self._book.add_format()
        self._sheet = self._book.add_worksheet(options.sheet)
        self._sheet.freeze_panes(1, 0)
        self._row = 0
        self._finished = False
        self._put([pa.array([name], pa.string()) for name in names], 1)

    def header(self) -> bytes:
        """Nothing yet."""
        return b""

    def rows(self, batch: pa.RecordBatch) -> bytes:
        """Nothing yet."""
        with put_aside():
            self._put([text_of(column) for column in batch.columns], batch.num_rows)
        return b""

    def trailer(self) -> Iterator[bytes]:
        """The workbook."""
        self._finish()
        self._file.seek(0)
        while chunk := self._file.read(CHUNK):
            yield chunk

    def close(self) -> None:
        """Remove what the rows were kept in."""
        with contextlib.suppress(OSError):  # there may be no room for its last rows
            self._sheet.row_data_fh.close()
        self._file.close()
        self._folder.cleanup()

    def _finish(self) -> None:
        if not self._finished:
            self._finished = True
            with put_aside():
                try:
                    self._book.close()
                except FileCreateError as error:
                    raise error.args[0] from error  # the system's own

    def _put(self, texts: Sequence[pa.StringArray], count: int) -> None:
        columns = [text.to_pylist() for text in texts]
        write = self._sheet.write_string
        for number in range(count):
            for column, values in enumerate(columns):
                value = values[number]
                if value is None:
                    continue
                if value.startswith("<r>"):
                    # The library takes such a text for markup of its own; in two pieces it does not.
                    self._sheet.write_rich_string(
                        self._row, column, self._plain, "<", self._plain, value[1:], self._text
                    )
                else:
                    write(self._row, column, value, self._text)
            self._row += 1
