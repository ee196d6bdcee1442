"""CSV, read strictly: every record has its line, a null is not an empty text, and quoting is proven.

Arrow's reader is fast and tells ``,,`` (null) from ``,"",`` (empty text), but it accepts broken quoting,
knows no line numbers and quotes records in its errors. So each piece of a file is first scanned:
record ends, delimiters outside quotes and the places of quotes are found for the whole piece at once.
What Arrow then sees is known to be well formed. Memory is bounded by the longest record.

Not records: empty lines. A file of a single column therefore cannot carry nulls as empty lines.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
from pydantic import field_validator

from adapters.base import Options
from adapters.errors import Malformed
from adapters.files.formats.base import COLUMNS, Format, FormatName, Reader, Writer, text_of

Encoding = Literal["utf-8", "utf-8-sig", "gb18030", "gbk"]

PIECE = 1 << 20
LONGEST = 64 << 20
"""Bytes of one record beyond which it is taken for an unclosed quote."""

# A mark of byte order is no part of the first header, whether announced or not; GB 18030 contains GBK.
_DECODERS = {"utf-8": "utf-8-sig", "utf-8-sig": "utf-8-sig", "gb18030": "gb18030", "gbk": "gb18030"}
_QUOTE, _LF, _CR = 0x22, 0x0A, 0x0D


@dataclass(frozen=True)
class Layout:
    """How a CSV file is written: encoding, delimiter, and the text that means null if it is not quoted."""

    encoding: Encoding = "utf-8"
    delimiter: str = ","
    null: str = ""


class CsvOptions(Options):
    """How CSV files are written.

    Attributes:
        encoding: ``utf-8``, ``utf-8-sig``, ``gb18030`` or ``gbk``; a mark of byte order is read with each.
        delimiter: One character between fields.
    """

    encoding: Encoding = "utf-8"
    delimiter: str = ","

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str) -> str:
        if len(value) != 1 or not value.isascii() or value.isalnum() or value in '"\r\n\0.-+':
            raise ValueError("应为一个 ASCII 符号，不能是引号、字母、数字、正负号或小数点")
        return value


class CsvReading(CsvOptions):
    """What a binding may say about CSV to read.

    Attributes:
        null: The text that means null where it is not quoted.
    """

    null: str = ""


class CsvWriting(CsvOptions):
    """What a binding may say about CSV to write.

    Attributes:
        for_people: People open the files with spreadsheets: before texts that would be run as formulas stands ``'``.
    """

    for_people: bool = False

    @field_validator("encoding")
    @classmethod
    def _whole_of_unicode(cls, value: Encoding) -> Encoding:
        if value == "gbk":
            raise ValueError("gbk 写不出生僻字，交付请用 gb18030 或 utf-8")
        return value


class Csv(Format):
    """The format ``csv``."""

    name: ClassVar[FormatName] = "csv"
    endings: ClassVar[tuple[str, ...]] = (".csv",)
    reading: ClassVar[type[Options]] = CsvReading
    writing: ClassVar[type[Options]] = CsvWriting
    appends: ClassVar[bool] = True

    def reader(self, chunks: Iterable[bytes], name: str, options: Any, expected: Sequence[str] = ()) -> Reader:
        """Read a file."""
        return CsvReader(chunks, name, Layout(options.encoding, options.delimiter, options.null))

    def writer(self, schema: pa.Schema, options: Any, rows: int | None) -> Writer:
        """Write a file."""
        return CsvWriter(schema, options)


@dataclass(frozen=True)
class _Piece:
    """Whole records: their bytes, the line each begins on and its number of fields."""

    data: bytes
    starts: np.ndarray
    ends: np.ndarray
    lines: np.ndarray
    fields: np.ndarray
    newlines: int


class CsvReader(Reader):
    """The records of one file.

    Args:
        chunks: The file's bytes, piece by piece.
        name: The file's name, for messages.
        layout: How it is written.

    Raises:
        Malformed: naming file and line; while reading too.
    """

    def __init__(self, chunks: Iterable[bytes], name: str, layout: Layout) -> None:
        self._name = name
        self._layout = layout
        self._delimiter = ord(layout.delimiter)
        self._pieces = self._whole(self._decoded(chunks))
        self._first = next(self._pieces, None)
        self.header: tuple[str, ...] = self._header()
        self.records = 0

    def batches(self, columns: Sequence[int]) -> Iterator[tuple[pa.Array, pa.RecordBatch]]:
        """Lines and texts of some columns, by their places in the header; the file once, in order."""
        if self._first is None:
            return
        yield from self._read(self._first, columns, skip=1)
        for piece in self._pieces:
            yield from self._read(piece, columns, skip=0)

    def _header(self) -> tuple[str, ...]:
        if self._first is None:
            raise Malformed(f"文件 {self._name} 是空的，没有表头", remedy="第一行写列名")
        count = int(self._first.fields[0])
        if count > COLUMNS:
            raise self._broken(int(self._first.lines[0]), f"的表头有 {count} 列，至多 {COLUMNS} 列")
        names = [str(place) for place in range(count)]
        # Read as the rows are: Python's reader takes no long fields, and neither of the two is to be asked for both.
        head = self._table(self._first.data[: self._first.ends[0]] + b"\n", names, names, null=None)
        return tuple(column[0].as_py() for column in head.columns)

    def _read(self, piece: _Piece, columns: Sequence[int], *, skip: int) -> Iterator[tuple[pa.Array, pa.RecordBatch]]:
        wrong = np.flatnonzero(piece.fields != len(self.header))
        if wrong.size:
            raise self._broken(
                int(piece.lines[wrong[0]]), f"有 {piece.fields[wrong[0]]} 列，表头有 {len(self.header)} 列"
            )
        if len(piece.starts) == skip:
            return
        names = [str(place) for place in range(len(self.header))]
        wanted = [names[place] for place in columns]
        rows = pa.py_buffer(piece.data).slice(int(piece.starts[skip]))
        table = self._table(rows, names, wanted, null=self._layout.null)
        self.records += table.num_rows
        yield pa.array(piece.lines[skip:]), table.to_batches()[0]

    def _table(self, data: bytes | pa.Buffer, names: list[str], wanted: list[str], *, null: str | None) -> pa.Table:
        """Records that are known to be well formed; without a text for null there is none."""
        return arrow_csv.read_csv(
            pa.BufferReader(data),
            read_options=arrow_csv.ReadOptions(column_names=names, use_threads=False, block_size=len(data) + 1),
            parse_options=arrow_csv.ParseOptions(delimiter=self._layout.delimiter, newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                include_columns=wanted,
                strings_can_be_null=null is not None,
                quoted_strings_can_be_null=False,
                null_values=[] if null is None else [null],
                check_utf8=False,
            ),
        ).combine_chunks()

    def _whole(self, chunks: Iterable[bytes]) -> Iterator[_Piece]:
        """Cut the bytes where records end."""
        rest, wanted, line = b"", PIECE, 1
        for chunk in chunks:
            rest += chunk
            if len(rest) < wanted:
                continue
            piece, taken = self._scan(rest, line, last=False)
            if piece is None and len(rest) >= LONGEST:
                raise self._broken(line, f"起 {LONGEST >> 20} MiB 之内没有记录的结尾，引号可能没有闭合")
            # Scanning twice as much the next time keeps a long record's cost in proportion to its length.
            wanted = PIECE if taken else min(2 * len(rest), LONGEST)
            if piece is not None:
                yield piece
                line += piece.newlines
            rest = rest[taken:]
        piece, _ = self._scan(rest + (b"" if rest.endswith((b"\n", b"\r")) else b"\n"), line, last=True)
        if piece is not None and piece.starts.size:
            yield piece

    def _scan(self, data: bytes, line: int, *, last: bool) -> tuple[_Piece | None, int]:
        """Find the records that are whole, and how many bytes they take."""
        view = np.frombuffer(data, np.uint8)
        newline = view == _LF
        if b"\r" in data:
            following = np.append(view[1:], np.uint8(_LF if last else 0))
            newline |= (view == _CR) & (following != _LF)
            if not last:
                newline[-1] = view[-1] == _LF
            elif view[-1] == _CR:
                newline[-1] = True
        at_newline = np.flatnonzero(newline)
        inside = None
        ends = at_newline
        # Most files quote nothing.
        if b'"' in data:
            quotes = view == _QUOTE
            inside = np.bitwise_xor.accumulate(quotes.view(np.uint8)).view(bool)
            ends = np.flatnonzero(newline & ~inside)
            self._prove(view, np.flatnonzero(quotes), at_newline, line, last=last)
            if last and inside[-1]:
                begun = ends[-1] + 1 if ends.size else 0
                raise self._broken(line + int(np.searchsorted(at_newline, begun)), "起的记录引号没有闭合")
        if not ends.size:
            return None, 0
        taken = int(ends[-1]) + 1
        starts = np.concatenate(([0], ends[:-1] + 1))
        bare = ends - ((ends > starts) & (view[ends - 1] == _CR) & (view[ends] == _LF))
        between = view[:taken] == self._delimiter
        if inside is not None:
            between &= ~inside[:taken]
        delimiters = np.flatnonzero(between)
        fields = np.diff(np.searchsorted(delimiters, ends), prepend=0) + 1
        full = bare > starts
        return _Piece(
            data=data[:taken],
            starts=starts[full],
            ends=bare[full],
            lines=line + np.searchsorted(at_newline, starts[full]),
            fields=fields[full],
            newlines=int(np.searchsorted(at_newline, taken)),
        ), taken

    def _prove(self, view: np.ndarray, quotes: np.ndarray, at_newline: np.ndarray, line: int, *, last: bool) -> None:
        """A quote opens at the start of a field and closes at its end, or is one of a pair inside."""
        borders = np.zeros(256, bool)
        borders[[self._delimiter, _LF, _CR, _QUOTE]] = True
        opening, closing = quotes[::2], quotes[1::2]
        if not last and closing.size and closing[-1] == len(view) - 1:
            closing = closing[:-1]
        wrong = np.concatenate(
            (
                opening[(opening > 0) & ~borders[view[opening - 1]]],
                closing[(closing < len(view) - 1) & ~borders[view[np.minimum(closing + 1, len(view) - 1)]]],
            )
        )
        if wrong.size:
            raise self._broken(line + int(np.searchsorted(at_newline, wrong.min())), "引号的位置不对")

    def _decoded(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        decoder = codecs.getincrementaldecoder(_DECODERS[self._layout.encoding])("strict")
        lines, begun = 1, False
        pending = iter(chunks)
        while True:
            chunk = next(pending, b"")
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                line = lines + error.object[: error.start].count(b"\n")
                raise self._broken(line, f"不是 {self._layout.encoding} 编码") from error
            lines += text.count("\n")
            if text and not begun:
                text, begun = text.removeprefix("\ufeff"), True
            yield text.encode()
            if not chunk:
                return

    def _broken(self, line: int, what: str) -> Malformed:
        return Malformed(f"文件 {self._name} 第 {line} 行{what}", remedy="由提供方改正后重新放入")


class CsvWriter(Writer):
    """A header and lines."""

    def __init__(self, schema: pa.Schema, options: CsvWriting) -> None:
        self._schema = schema
        self._layout = Layout(options.encoding, options.delimiter)
        self._for_people = options.for_people

    def header(self) -> bytes:
        """The first line."""
        names = pa.array(self._schema.names, pa.string())
        return header((harmless(names) if self._for_people else names).to_pylist(), self._layout)

    def rows(self, batch: pa.RecordBatch) -> bytes:
        """The lines of a batch."""
        if self._for_people:
            # Bytes are written as letters, and a plus may be their first.
            columns = [
                harmless(text_of(each)) if pa.types.is_string(each.type) or pa.types.is_binary(each.type) else each
                for each in batch.columns
            ]
            batch = pa.record_batch(columns, names=batch.schema.names)
        return encode(batch, self._layout)


def harmless(texts: pa.StringArray) -> pa.StringArray:
    """Texts that no spreadsheet runs: before what one would take for a formula stands an apostrophe.

    Blanks and what nobody sees before it do not help, and some programs take full-width signs for the others.
    """
    runs = pc.match_substring_regex(texts, r"^[\p{Z}\p{C}]*[=+\-@＝＋－＠﹢﹣﹦﹫|%]|^[\t\r\n]")
    return pc.if_else(runs, pc.binary_join_element_wise("'", texts, ""), texts)


def header(names: Iterable[str], layout: Layout) -> bytes:
    """The first line of a file."""
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=layout.delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow(names)
    # utf-8-sig writes its mark here, once; encode() of the rows must not.
    return text.getvalue().encode(layout.encoding)


def encode(batch: pa.RecordBatch, layout: Layout) -> bytes:
    """The lines of a batch: every value as text in quotes, a null as nothing at all."""
    out = io.BytesIO()
    texts = pa.table([text_of(column) for column in batch.columns], names=batch.schema.names)
    arrow_csv.write_csv(
        texts, out, arrow_csv.WriteOptions(include_header=False, delimiter=layout.delimiter, quoting_style="needed")
    )
    content = out.getvalue()
    return content if layout.encoding.startswith("utf-8") else content.decode().encode(layout.encoding)
