"""The port of the formats (文件格式): bytes to rows of texts, rows to bytes.

A reader is given the bytes of a file in pieces and says its header, then batches of texts, each with the place of its
records in the file. What cannot be read without jumping about in it goes to a spool first: a temporary file that has no
name and ends with the reader. A writer gives bytes for what goes before the rows, for each batch of rows, and for what
comes after them. Neither knows where bytes come from or go to, nor what the rows mean.
"""

from __future__ import annotations

import base64
import contextlib
import io
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, Any, ClassVar, Literal

import pyarrow as pa
import pyarrow.compute as pc

from adapters.base import Options
from adapters.errors import Malformed
from adapters.files.errors import put_aside

FormatName = Literal["csv", "xlsx", "jsonl", "xml", "parquet", "document"]
Rows = Iterator[tuple[pa.Array, pa.RecordBatch]]
"""Places (int64) and texts of some records; the columns of the batch are in the order that was asked for."""
CHUNK = 1 << 20
COLUMNS = 1 << 14
"""Columns of a file at most, as many as a sheet has: a stranger's million would cost hours."""
_IN_MEMORY = 8 << 20
"""Bytes up to which a spool is no file."""


class Reader(ABC):
    """The records of one file, once and in order.

    Attributes:
        header: What the columns are called.
        records: How many records have been read.
    """

    header: tuple[str, ...]
    records: int = 0

    @abstractmethod
    def batches(self, columns: Sequence[int]) -> Rows:
        """Places and texts of some columns, by their places in the header.

        Raises:
            Malformed: naming file, place and remedy.
        """

    def place(self, number: int) -> str:
        """Where a record stands, in words."""
        return f"第 {number} 行"

    def close(self) -> None:
        """Let go of what the bytes were spooled in."""


class Writer(ABC):
    """The bytes of one file."""

    @abstractmethod
    def header(self) -> bytes:
        """What goes before the rows."""

    @abstractmethod
    def rows(self, batch: pa.RecordBatch) -> bytes:
        """The bytes of some rows, typed as the schema says and checked; they may be kept back."""

    def trailer(self) -> Iterator[bytes]:
        """What comes after the rows, in pieces."""
        return iter(())

    def close(self) -> None:
        """Let go of everything; before the trailer, of an unfinished file."""


class Format(ABC):
    """One format.

    Attributes:
        name: What a binding calls it.
        endings: How names of its files end; the first is that of our own.
        reading: The options of a binding that reads it.
        writing: The options of a binding that writes it.
        appends: A file of it can be made by adding to it, without a word after its last row.
        packed: A file of it is an archive by itself.
        opaque: A file of it is not looked into: it is one row.
    """

    name: ClassVar[FormatName]
    endings: ClassVar[tuple[str, ...]]
    reading: ClassVar[type[Options]] = Options
    writing: ClassVar[type[Options]] = Options
    appends: ClassVar[bool] = False
    packed: ClassVar[bool] = False
    opaque: ClassVar[bool] = False

    @abstractmethod
    def reader(self, chunks: Iterable[bytes], name: str, options: Any, expected: Sequence[str] = ()) -> Reader:
        """Read a file.

        Args:
            chunks: Its bytes, piece by piece.
            name: Its name, for messages.
            options: Of the type :attr:`reading`.
            expected: What columns will be asked for, for formats whose records name their own: a column that only
                later records have is in the header if it is expected.

        Raises:
            Malformed: it has no header, or is none of this format.
        """

    def check(self, batch: pa.RecordBatch) -> None:
        """Prove that rows can be written, before they are staged.

        Raises:
            Unsupported: the format cannot carry a value.
        """

    @abstractmethod
    def writer(self, schema: pa.Schema, options: Any, rows: int | None) -> Writer:
        """Write a file.

        Args:
            schema: The columns under the names they get in the file.
            options: Of the type :attr:`writing`.
            rows: How many rows there will be; None: nobody knows yet, which only formats that append must bear.

        Raises:
            Unsupported: the format cannot carry so many.
        """


class NamedReader(Reader):
    """Records that name their own columns, so that one may leave out what is null.

    Args:
        pieces: Places and records, some at a time.
        name: The file's name.
        expected: See :meth:`Format.reader`.
    """

    def __init__(
        self, pieces: Iterator[tuple[list[int], list[dict[str, str | None]]]], name: str, expected: Sequence[str]
    ) -> None:
        self._file = name
        self._pieces = pieces
        self._first = next(pieces, ([], []))
        seen = dict.fromkeys([*self.announced(), *(key for record in self._first[1] for key in record)])
        known = {bare(text) for text in seen}
        self._awaited = {text for text in expected if bare(text) not in known}
        self.header = (*seen, *sorted(self._awaited))

    def announced(self) -> Sequence[str]:
        """Columns that the file names before its first record."""
        return ()

    def batches(self, columns: Sequence[int]) -> Rows:
        """See :meth:`Reader.batches`."""
        names = [self.header[column] for column in columns]
        awaited = self._awaited & set(names)
        piece: tuple[list[int], list[dict[str, str | None]]] | None = self._first
        while piece is not None:
            places, records = piece
            if records:
                self.records += len(records)
                awaited -= {text for text in awaited if any(text in record for record in records)}
                arrays = [self._column(places, records, name) for name in names]
                batch = pa.record_batch(arrays, names=[str(column) for column in columns])
                yield pa.array(places, pa.int64()), batch
            piece = next(self._pieces, None)
        if awaited and self.records:
            raise Malformed(
                f"文件 {self._file} 没有一条记录有{'、'.join(sorted(awaited))}", remedy="由提供方改正，或改正挂接的列名"
            )

    def _column(self, places: list[int], records: list[dict[str, str | None]], name: str) -> pa.StringArray:
        values = [record.get(name) for record in records]
        try:
            return pa.array(values, pa.string())
        except UnicodeEncodeError:
            place = next(at for at, value in zip(places, values, strict=True) if value and not _is_text(value))
        raise Malformed(f"文件 {self._file} {self.place(place)}含有不成字符的编码", remedy="由提供方改正后重新放入")


def bare(text: str) -> str:
    """A name without the blanks and line breaks that nobody sees."""
    return "".join(text.split())


def spooled(chunks: Iterable[bytes]) -> IO[bytes]:
    """The bytes of a file in a place where one can jump about in them; it goes when it is closed."""
    file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - it lives as long as its reader
    with closed_on_error(file):
        for chunk in chunks:
            with put_aside():
                file.write(chunk)
        file.seek(0)
    return file


@contextlib.contextmanager
def closed_on_error(file: IO[bytes]) -> Iterator[None]:
    """Close a file if what is done with it fails; who succeeds keeps it."""
    try:
        yield
    except BaseException:
        file.close()
        raise


class Drain(io.RawIOBase):
    """A file that is written to its end only, and emptied meanwhile: for libraries that want one."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._gone = 0

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, content: Any) -> int:
        """Hold it until it is taken."""
        before = len(self._held)
        self._held += content
        return len(self._held) - before

    def tell(self) -> int:
        """How much was written in all."""
        return self._gone + len(self._held)

    def taken(self) -> bytes:
        """What was written since."""
        content = bytes(self._held)
        self._gone += len(content)
        self._held.clear()
        return content


def text_of(column: pa.Array) -> pa.StringArray:
    """Values as text: ISO dates, instants in UTC with ``Z``, plain decimals, true and false, base64."""
    kind = column.type
    if pa.types.is_string(kind):
        return column
    if pa.types.is_binary(kind):
        return pa.array([None if v is None else base64.b64encode(v).decode() for v in column.to_pylist()], pa.string())
    text = pc.cast(column, pa.string())
    if pa.types.is_timestamp(kind):
        text = pc.replace_substring(text, " ", "T", max_replacements=1)
        return text if kind.unit == "ns" else pc.replace_substring(text, ".000000", "")
    if pa.types.is_decimal(kind) and pc.any(pc.match_substring(text, "E")).as_py():
        return pa.array([None if v is None else format(v, "f") for v in column.to_pylist()], pa.string())
    return text


def first_where(mask: pa.Array) -> int:
    """The number of the first row that a mask marks."""
    return int(pc.index(mask, value=pa.scalar(value=True)).as_py())


def names_of(schema: pa.Schema, metadata: bytes) -> Mapping[int, bytes]:
    """The columns whose field carries an entry of metadata, with it."""
    found = {place: (field.metadata or {}).get(metadata) for place, field in enumerate(schema)}
    return {place: entry for place, entry in found.items() if entry}


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
