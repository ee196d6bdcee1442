"""Documents on their way from a drop into the hub (附件收取): names in, references out.

A row of a data file names a document that lies in the same drop; a file of the format ``document`` is one. Each is
streamed into the hub's store, with its digest and size, before the row is handed over. A document that is not there,
cannot be opened, is too large or is not of its kind refuses its row, by a text that says why
(:mod:`schemas.unreadable`), and nobody else's. What is in a document is its provider's: an encrypted PDF or archive is
opaque like any other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from adapters.base import Binding
from adapters.documents import DocumentStore, Putting
from adapters.errors import AdapterError, Malformed, Misconfigured, Refused
from adapters.files.formats.document import Described, header_of, moment
from adapters.files.options import FileOptions
from adapters.files.transports.base import Directory, Entry, changed
from schemas.documents import Document
from schemas.unreadable import unreadable

LARGEST = 200 << 20
GRAIN = 2.0
"""Seconds within which a file may have been changed without its time of change telling."""
REMEMBERED = 200_000
"""Documents of which it is remembered what they were when they were taken; others are read again to be put away."""
_HEAD = 1024
_ARCHIVES = (b"PK\x03\x04", b"PK\x05\x06")
_BEGINNINGS: Mapping[str, tuple[bytes, ...]] = {
    ".ofd": _ARCHIVES,
    ".jpg": (b"\xff\xd8\xff",),
    ".jpeg": (b"\xff\xd8\xff",),
    ".png": (b"\x89PNG\r\n\x1a\n",),
    ".tif": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    ".tiff": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
}
After = Literal["leave", "move", "delete"]


class AttachmentOptions(FileOptions):
    """What a binding may say about documents to take.

    Attributes:
        document_bytes: How large one may be, 200 MiB unless it is said.
        document_digest: Header of the column with the SHA-256 of the row's document, if there is one.
        kinds: Endings that are taken beside those of PDF, OFD, JPEG, PNG and TIFF, whatever is in such files.
    """

    document_bytes: int = Field(LARGEST, ge=1, le=1 << 40)
    document_digest: str | None = None
    kinds: tuple[str, ...] = ()

    @field_validator("kinds")
    @classmethod
    def _endings(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        found = tuple("." + each.strip().lstrip(".").casefold() for each in value)
        if any(len(each) < 2 or "/" in each for each in found):
            raise ValueError("应为扩展名，如 .xml")
        return found


class Attachments:
    """Takes the documents of one binding.

    Args:
        directory: Where they lie.
        binding: Says which items are documents.
        options: What may be taken.
        store: Where they go.

    Raises:
        Misconfigured: There is no store, or the options do not fit the binding.
    """

    def __init__(
        self, directory: Directory, binding: Binding, options: AttachmentOptions, store: DocumentStore | None
    ) -> None:
        self._directory = directory
        self._options = options
        self._headers = {binding.columns[item] for item in binding.documents if item in binding.columns}
        self._store = store
        self._seen: dict[tuple[str, str], tuple[int, float]] = {}
        if options.document_digest is not None and len(self._headers) != 1:
            raise Misconfigured(
                "选项 document_digest 只用于恰有一个附件信息项的挂接", remedy="去掉该选项，或核对附件信息项"
            )

    @property
    def wanted(self) -> list[str]:
        """Headers that are needed beside the bound ones."""
        return [self._options.document_digest] if self._options.document_digest else []

    def __bool__(self) -> bool:
        return bool(self._headers)

    def taken(self, texts: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
        """The columns of a batch, with references in the place of names."""
        if not self._headers:
            return dict(texts)
        found = dict(texts)
        digests = found[self._options.document_digest] if self._options.document_digest else None
        with self._opened_store().together() as putting:
            for header in sorted(self._headers):
                found[header] = self._column(found[header], digests, putting)
        return found

    def _column(self, names: pa.Array, digests: pa.Array | None, putting: Putting) -> pa.StringArray:
        """References for the names of one column."""
        named = pc.if_else(pc.equal(pc.utf8_trim_whitespace(names), ""), None, names)
        distinct = [each for each in pc.unique(named).to_pylist() if each is not None]
        references: dict[str, str] = {}
        folders: dict[str, list[str]] = {}
        for written in distinct:
            parts = _parts(written)
            if written.startswith("\0"):
                references[written] = written
            elif parts is None:
                references[written] = unreadable("document_name", written)
            else:
                folders.setdefault(parts[0], []).append(written)
        for folder, several in folders.items():
            plain = [_parts(each) for each in several]
            found = self._put(putting, [each[1] for each in plain if each], folder=folder)
            references.update((each, told) for each, told in zip(several, found, strict=True) if told is not None)
        values = [None if each is None else references[each] for each in named.to_pylist()]
        if digests is not None:
            told = digests.to_pylist()
            values = [_agreeing(value, digest) for value, digest in zip(values, told, strict=True)]
        return pa.array(values, pa.string())

    def rows(
        self,
        entries: Sequence[Entry],
        naming: str,
        known: set[tuple[str | int, ...]],
        told: Mapping[str, str] | None = None,
    ) -> tuple[list[tuple[Entry, str]], dict[str, pa.Array], set[Entry]]:
        """Files that are rows: what was taken with its digest, the columns that can be bound, and what is changing.

        Args:
            entries: The files as they were listed; one that is another by now waits.
            naming: See :class:`~adapters.files.formats.document.DocumentReading`.
            known: Name, size and digest of those that are not to be taken again.
            told: Digests that their manifests say, by name; one of which nothing is said waits. None: there are none.
        """
        with self._opened_store().together() as putting:
            found = self._put(putting, [entry.name for entry in entries], listed=entries)
        taken, digests, references = [], [], []
        changing: set[Entry] = set()
        for entry, put in zip(entries, found, strict=True):
            if put is None or (told is not None and entry.name not in told):
                changing.add(entry)
                continue
            reference = put if told is None else _agreeing(put, told[entry.name] or "-") or put
            document = None if reference.startswith("\0") else Document.of(reference)
            digest = document.digest if document else ""
            if (entry.name, entry.size, digest) not in known:
                taken.append((entry, digest))
                digests.append(digest or None)
                references.append(reference)
        names = [entry.name for entry, _ in taken]
        columns = {
            "name": pa.array(names, pa.string()),
            "size": pa.array([str(entry.size) for entry, _ in taken], pa.string()),
            "modified": pa.array([moment(entry.modified) for entry, _ in taken], pa.string()),
            "sha256": pa.array(digests, pa.string()),
            "document": pa.array(references, pa.string()),
            **Described(naming).fields(names),
        }
        return taken, {name: columns[name] for name in header_of(naming)}, changing

    def settled(
        self,
        names: Sequence[str],
        after: After,
        taken: str,
        companion: str = "",
        digests: Mapping[str, str] | None = None,
    ) -> None:
        """Put documents away that are at the hub; what lies there with other content by now stays. Repeatable.

        Args:
            names: As the rows write them.
            after: What becomes of them.
            taken: The folder for those that are moved.
            companion: What the name of a file that goes with each of them adds to its own.
            digests: Beginnings of their digests, where they are known; else whatever the hub has may go.
        """
        if after == "leave":
            return
        store = self._opened_store()

        def known(_number: int, entry: Entry, chunks: Iterator[bytes]) -> bool:
            digest = _digest(chunks)
            return digest.startswith((digests or {}).get(entry.name, "")) and store.has(digest)

        folders: dict[str, list[str]] = {}
        for written in dict.fromkeys(names):
            parts = _parts(written)
            if parts is not None:
                folders.setdefault(parts[0], []).append(parts[1])
        for folder, plain in folders.items():
            place = self._directory.within(folder) if folder else self._directory
            if place is None:
                continue
            now = _listed(place)
            ours = [name for name in plain if name in now and self._seen.get((folder, name)) == now[name]]
            others = sorted(set(plain).difference(ours))
            ours += [name for name, same in zip(others, place.visit(others, known), strict=True) if same is True]
            # The document itself goes last: who repeats this finds what is left by it.
            theirs = [name + companion for name in ours] if companion else []
            if after == "delete":
                place.remove_all([*theirs, *ours])
            else:
                into = self._directory.folder(taken)
                into = into.folder(folder) if folder else into
                there = {entry.name for entry in into.entries("*")}
                moves = [(name, _beside(name, there)) for name in ours]
                if companion:
                    place.rename_all([(name + companion, to + companion) for name, to in moves], into=into)
                place.rename_all(moves, into=into)
            if folder:
                self._directory.remove_folder(folder)

    def _put(
        self, putting: Putting, names: Sequence[str], *, folder: str = "", listed: Sequence[Entry] | None = None
    ) -> list[str | None]:
        """References for files, or why there is none; None: it is not, or not any more, the one that was listed.

        Raises:
            Unavailable: One that a row names is being written.
        """
        options = self._options

        directory = self._directory
        clock = directory.clock()

        def use(number: int, entry: Entry, chunks: Iterator[bytes]) -> str | None:
            name = names[number]
            if listed is not None and entry != listed[number]:
                return None
            if entry.size > options.document_bytes:
                return unreadable("document_large", name)
            head, rest = _begun(chunks)
            if not _of_its_kind(name, head, options.kinds):
                return unreadable("document_kind", name)
            digest, found = putting.put(rest)
            if found > options.document_bytes:
                return unreadable("document_large", name)
            if listed is None and found != entry.size:
                raise changed(name)
            if listed is not None and (found != entry.size or (directory.near and directory.about(name) != entry)):
                return None
            if entry.modified < clock - GRAIN and len(self._seen) < REMEMBERED:
                self._seen[folder, name] = (entry.size, entry.modified)
            return Document(digest, found, name).text()

        result: list[str | None] = []
        for name, found in zip(names, directory.visit(names, use, folder=folder), strict=True):
            if not isinstance(found, AdapterError):
                result.append(found)
            elif isinstance(found, Refused | Malformed):
                result.append(unreadable("document_refused", name))
            elif isinstance(found, Misconfigured):
                result.append(unreadable("document_missing", name))
            else:
                raise found
        return result

    def _opened_store(self) -> DocumentStore:
        if self._store is None:
            raise Misconfigured("这里没有文件暂存处，不能收取附件", remedy="由平台执行交换时收取")
        return self._store


def _listed(place: Directory) -> dict[str, tuple[int, float]]:
    """Size and time of change of the files of a directory; nothing, where something lies there that must not be."""
    try:
        return {each.name: (each.size, each.modified) for each in place.entries("*")}
    except (Refused, Malformed):
        return {}


def _parts(written: str) -> tuple[str, str] | None:
    """Folder and name of a document as a row writes it, None if that may not be followed."""
    folder, _, name = written.strip().rpartition("/")
    if "/" in folder or not name or name.startswith(".") or folder.startswith("."):
        return None
    if any(not each.isprintable() or each in "\\/" for each in folder + name) or (not folder and "/" in written):
        return None
    return folder, name


def _begun(chunks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes, and all of them."""
    first = next(chunks, b"")

    def whole() -> Iterator[bytes]:
        yield first
        yield from chunks

    return first[:_HEAD], whole()


def _of_its_kind(name: str, head: bytes, further: Sequence[str]) -> bool:
    """Whether a file begins as its ending says."""
    _, point, last = name.casefold().rpartition(".")
    ending = point + last
    if ending == ".pdf":
        return b"%PDF-" in head
    if ending in _BEGINNINGS:
        return head.startswith(_BEGINNINGS[ending])
    return ending in further


def _agreeing(reference: str | None, digest: str | None) -> str | None:
    """A reference whose digest is the one that was told; nothing told is agreed with."""
    if reference is None or reference.startswith("\0") or digest is None or not digest.strip():
        return reference
    if Document.of(reference).digest == digest.strip().casefold():
        return reference
    return unreadable("document_digest", Document.of(reference).name)


def _digest(chunks: Iterator[bytes]) -> str:
    found = hashlib.sha256()
    for chunk in chunks:
        found.update(chunk)
    return found.hexdigest()


def _beside(name: str, there: set[str]) -> str:
    """A name that is not taken in the folder."""
    wanted, number = name, 1
    while wanted in there:
        number += 1
        stem, point, ending = name.rpartition(".")
        wanted = f"{stem}~{number}{point}{ending}" if stem else f"{name}~{number}"
    there.add(wanted)
    return wanted
