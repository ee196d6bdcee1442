"""Documents on their way to a recipient (附件交付): a folder beside the data file, staged and named like it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from adapters.documents import DocumentStore
from adapters.errors import Malformed
from adapters.files.options import inner_name
from adapters.files.stage import REFUSED
from adapters.files.transports.base import Directory, Opened, Strange
from schemas.documents import Document
from schemas.drop_names import DropNames
from schemas.items import documents

GONE = "平台暂存处没有这一行的附件，或已损坏"


class Enclosures:
    """The documents of one delivery.

    Args:
        directory: Where the delivery is made.
        name: The hidden name of the folder.
        schema: What is delivered.
        store: Where the documents are.
    """

    def __init__(self, directory: Directory, name: str, schema: pa.Schema, store: DocumentStore | None) -> None:
        self._directory = directory
        self._store = store
        self._names = DropNames()
        self._folder: Directory | None = None
        self._any = bool(documents(schema))
        self.name = name

    def __bool__(self) -> bool:
        return self._any

    def clear(self) -> None:
        """Remove the folder."""
        if self._any:
            self._directory.remove_folder(self.name, whole=True)
            self._folder = None

    def enclosed(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Bring the documents of rows beside them; durable.

        Returns:
            The rows, their references with the names that the documents have now, and why a row is not delivered: one
            whose document the hub has not got.
        """
        columns = documents(rows.schema)
        if not columns or self._store is None:
            return rows
        found = {name: rows.column(name).to_pylist() for name in columns}
        places: list[int] = []
        wanted: list[Document] = []
        for row in range(rows.num_rows):
            for name in columns:
                if (text := found[name][row]) is not None:
                    told = Document.of(text)
                    document = Document(told.digest, told.size, self._names.name(told.name))
                    found[name][row] = document.text()
                    wanted.append(document)
                    places.append(row)
        reasons: list[str | None] = [None] * rows.num_rows
        if wanted:
            if self._folder is None:
                self._folder = self._directory.folder(self.name)
            for place, wrong in zip(places, self._folder.fill(self._files(wanted, self._store)), strict=True):
                if wrong is not None:
                    reasons[place] = GONE
            # What lies there of a row that is not delivered, nobody is to find.
            refused = [each.name for each, place in zip(wanted, places, strict=True) if reasons[place] is not None]
            if refused:
                self._folder.remove_all(refused)
        arrays = [
            pa.array(found[field.name], pa.string()) if field.name in found else rows.column(place)
            for place, field in enumerate(rows.schema)
        ]
        schema = rows.schema.append(pa.field(REFUSED, pa.string()))
        return pa.RecordBatch.from_arrays([*arrays, pa.array(reasons, pa.string())], schema=schema)

    def _files(self, wanted: list[Document], store: DocumentStore) -> Iterator[tuple[str, int, Opened]]:
        for document in wanted:
            yield document.name, document.size, _opened(store, document)


def _opened(store: DocumentStore, document: Document) -> Opened:
    def pieces() -> Iterator[bytes]:
        size = 0
        for chunk in store.chunks(document.digest):
            size += len(chunk)
            yield chunk
        if size != document.size:
            raise Malformed(GONE)

    return pieces


def in_folder(rows: pa.RecordBatch, folder: str) -> pa.RecordBatch:
    """Rows as they stand in the file: in the place of a reference, where the document lies."""
    columns = documents(rows.schema)
    if not columns:
        return rows
    arrays = [
        pc.binary_join_element_wise(folder, _names(rows.column(place)), "/") if field.name in columns
        else rows.column(place)
        for place, field in enumerate(rows.schema)
    ]  # fmt: skip
    return pa.RecordBatch.from_arrays(arrays, schema=rows.schema)


def _names(references: pa.StringArray) -> pa.StringArray:
    """The names that stand at the end of references, which hold three colons before them and none in them."""
    return pc.replace_substring_regex(references, r"^sha256:[0-9a-f]{64}:[0-9]+:", "")


def folder_of(name: str) -> str:
    """What the folder with the documents of a data file is called."""
    stem, point, _ = inner_name(name).rpartition(".")
    return stem if point and stem else f"{name}.documents"


def whole(directory: Directory, name: str, wanted: Mapping[str, int]) -> bool:
    """Whether a staged folder still holds documents of these names and sizes, and nothing else."""
    folder = directory.within(name)
    if folder is None:
        return False
    strange: list[Strange] = []
    found = {entry.name: entry.size for entry in folder.entries("*", strange.append)}
    return found == wanted and not strange and not folder.hidden("")


def remove_hidden(directory: Directory, name: str) -> None:
    """Remove what an earlier owner staged, be it a file or a folder."""
    if name.endswith(".documents"):
        directory.remove_folder(name, whole=True)
    else:
        directory.remove(name)
