"""The durable manifest of a delivery (交付清单): what was read, staged and refused, row by row.

An encrypted file beside the hub's database, written while reading and sealed before the gate. It
holds everything that must survive the worker: where each staged row came from, what each source
row is to be told, the refused rows' content, and the digests with their key bounds. Frames are
Arrow streams with a one-byte tag; the last frame is the header.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from adapters import TakenFile
from exchange.checks import Leaf
from exchange.errors import Tampered
from exchange.secrets import Vault, VaultWriter

ROWS = pa.schema(
    [
        pa.field("number", pa.int64(), nullable=False),  # order of reading, from 1
        pa.field("staged", pa.int64()),  # order of staging, from 0; null: not staged
        pa.field("reference", pa.string(), nullable=False),
    ]
)
REFUSED = pa.schema(
    [
        pa.field("number", pa.int64(), nullable=False),
        pa.field("item", pa.string()),
        pa.field("rule", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("key_hash", pa.string(), nullable=False),
        pa.field("reference", pa.string(), nullable=False),
    ]
)
DOCUMENTS = pa.schema(
    [
        pa.field("staged", pa.int64(), nullable=False),
        pa.field("item", pa.string(), nullable=False),
        pa.field("key_hash", pa.string(), nullable=False),
        pa.field("document", pa.string()),  # as it stands in the row; null: the row has none
        pa.field("name", pa.string()),  # what it is called where it is delivered
    ]
)
_FILES = 500
"""Files of a frame."""
NUMBER = "_number"
"""Column of a refused row's content with its number in the order of reading."""


@dataclass
class Header:
    """What the manifest says as a whole."""

    delivery: str
    read: int = 0
    filtered: int = 0
    refused: int = 0
    staged: int = 0
    report: dict[str, int] = field(default_factory=dict)
    content: str = ""
    position: dict[str, Any] | None = None
    seconds: float = 0.0


def _stream(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def _later(batch: pa.RecordBatch, name: str, read: int) -> pa.RecordBatch:
    place = batch.schema.get_field_index(name)
    return batch.set_column(place, batch.schema.field(place), pc.add(batch.column(name), read))


class ManifestWriter:
    """Writes one manifest; nothing of it is visible before :meth:`seal`."""

    def __init__(self, writer: VaultWriter) -> None:
        self._writer = writer

    def rows(self, batch: pa.RecordBatch) -> None:
        """Note rows that passed the checks, after the schema :data:`ROWS`."""
        if batch.num_rows:
            self._writer.append(b"R" + _stream(batch))

    def refused(self, batch: pa.RecordBatch, contents: pa.RecordBatch) -> None:
        """Note why rows were refused, after the schema :data:`REFUSED`, and the rows themselves.

        Args:
            batch: The findings, one for each thing wrong with a row.
            contents: Each row once, as its source typed it, with its :data:`NUMBER`.
        """
        if batch.num_rows:
            self._writer.append(b"Q" + _stream(batch))
            self._writer.append(b"C" + _stream(contents))

    def kept(self, batch: pa.RecordBatch) -> None:
        """Note rows that were accepted with a state, after the schema :data:`REFUSED`."""
        if batch.num_rows:
            self._writer.append(b"K" + _stream(batch))

    def documents(self, batch: pa.RecordBatch) -> None:
        """Note the files that go with staged rows, after the schema :data:`DOCUMENTS`."""
        if batch.num_rows:
            self._writer.append(b"D" + _stream(batch))

    def leaf(self, leaf: Leaf | None) -> None:
        """Note a leaf of the content digest with its key bounds, which are personal data like the keys."""
        if leaf is not None:
            bounds = {"first": leaf.first.hex(), "last": leaf.last.hex()}
            self._writer.append(b"L" + json.dumps({"rows": leaf.rows, "digest": leaf.digest, **bounds}).encode())

    def files(self, files: Iterable[TakenFile]) -> None:
        """Note the files that rows came from, and those that were refused whole."""
        each = iter(files)
        while page := [asdict(file) for file in islice(each, _FILES)]:
            self._writer.append(b"F" + json.dumps(page, ensure_ascii=False).encode())

    def take_over(self, part: Manifest, *, read: int, staged: int) -> None:
        """Note what another manifest says, as if its rows came after so many read and staged.

        Files and documents are not among what parts have.
        """
        for batch in part.rows():
            numbers, places = batch.column("number"), batch.column("staged")
            moved = [pc.add(numbers, read), pc.add(places, staged), batch.column("reference")]
            self.rows(pa.record_batch(moved, schema=ROWS))
        for batch, contents in zip(part.refused(), part.contents(), strict=True):
            self.refused(_later(batch, "number", read), _later(contents, NUMBER, read))
        for batch in part.kept():
            self.kept(_later(batch, "number", read))
        for leaf in part.leaves():
            self._writer.append(b"L" + json.dumps(leaf).encode())

    def seal(self, header: Header) -> None:
        """Write the header, the last frame."""
        self._writer.append(b"H" + json.dumps(asdict(header), ensure_ascii=False).encode())


class Manifest:
    """A sealed manifest, checked against the digest the hub's database keeps.

    Raises:
        Tampered: The file is not the one that was sealed.
    """

    def __init__(self, vault: Vault, name: str, digest: str) -> None:
        if not vault.exists(name) or vault.digest(name) != digest:
            raise Tampered(f"交付清单 {name} 缺失或被改动", remedy="从备份恢复该文件；恢复前不要重跑这个批次")
        self._vault = vault
        self._name = name

    def _frames(self, tag: bytes) -> Iterator[bytes]:
        for frame in self._vault.read(self._name):
            if frame[:1] == tag:
                yield frame[1:]

    def _batches(self, tag: bytes) -> Iterator[pa.RecordBatch]:
        for frame in self._frames(tag):
            yield from pa.ipc.open_stream(frame)

    def header(self) -> Header:
        """The header."""
        return Header(**json.loads(next(self._frames(b"H"))))

    def rows(self) -> Iterator[pa.RecordBatch]:
        """Rows that passed the checks, after :data:`ROWS`."""
        return self._batches(b"R")

    def kept(self) -> Iterator[pa.RecordBatch]:
        """Rows accepted with a state, after :data:`REFUSED`."""
        return self._batches(b"K")

    def documents(self) -> Iterator[pa.RecordBatch]:
        """Files that go with staged rows, after :data:`DOCUMENTS`."""
        return self._batches(b"D")

    def files(self) -> Iterator[list[TakenFile]]:
        """The files that rows came from, and those refused whole, some at a time."""
        for frame in self._frames(b"F"):
            yield [TakenFile(**one) for one in json.loads(frame)]

    def leaves(self) -> Iterator[dict[str, Any]]:
        """Leaves of the content digest: rows, digest, first and last key."""
        return map(json.loads, self._frames(b"L"))

    def refused(self) -> Iterator[pa.RecordBatch]:
        """Why rows were refused, after :data:`REFUSED`."""
        return self._batches(b"Q")

    def contents(self) -> Iterator[pa.RecordBatch]:
        """The refused rows themselves, as their source typed them, each with its :data:`NUMBER`."""
        return self._batches(b"C")
