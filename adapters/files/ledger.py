"""The ledger of a directory that is delivered to: hidden files, written whole, read under a lock.

A delivery is committed by one rename, of the staged file to its name. Documents that go with it lie in a folder that
gets its name just before. Before that the ledger holds the *intent*, with the answer that will be given; so whoever
comes later knows from the intent and from whether the staged file is still there what happened, and what is left to do:

====== =========== ==================================================================
intent staged file
====== =========== ==================================================================
no     any         nothing was committed
yes    there       not yet committed: rename folder and file, write the manifest, close the entry; or, where the folder
                   is not as it was staged, stage anew
yes    gone        committed: write the manifest unless the file was taken already, close the entry
====== =========== ==================================================================
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from adapters.base import Acknowledgement, RefusedRow
from adapters.errors import Malformed, StageLost
from adapters.files.enclosures import whole
from adapters.files.stage import accepted, frames
from adapters.files.transports.base import Directory
from adapters.spool import short
from schemas.documents import Document
from schemas.items import documents

Kind = TypeVar("Kind", bound=BaseModel)

FOLDER = ".shutong"


class Entry(BaseModel):
    """A ledger entry: the answer to a commit, and how far it has been carried out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str
    exchange: str
    epoch: int
    manifest: str
    head: str
    name: str
    """The file's name, empty if there was nothing to deliver."""
    part: str
    """The name it is staged under."""
    rows: int
    deleted: int
    sha256: str
    at: datetime
    stage: str = ""
    """The rows that the file was made of, where it was not staged as it is."""
    size: int = 0
    """Bytes of the file."""
    columns: tuple[dict[str, str], ...] = ()
    """What the columns of the file are: name, type and label."""
    schema_version: int | None = None
    """Version of the resource that they are of."""
    hidden: str = ""
    """The name under which the folder with the documents is staged; empty: there are none."""
    folder: str = ""
    """The name it gets."""
    refused: tuple[tuple[int, str, str], ...] = ()
    """Staged rows that are not in the file: number, rule, reason."""
    closed: bool = False

    def acknowledgement(self) -> Acknowledgement:
        """The answer: a file of changes, so every staged row counts as written."""
        return Acknowledgement(
            key=self.key,
            manifest=self.manifest,
            written=self.rows,
            deleted=self.deleted,
            at=self.at,
            refused=tuple(RefusedRow(*row) for row in self.refused),
            place=self.name,
            head=self.head,
            # The key itself is longer than a stamp may be.
            stamp=short(self.key) if self.name else "",
            stamped=self.rows,
        )


class Progress(BaseModel):
    """What is known of an exchange: the highest epoch seen, and the number of its last file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    exchange: str
    epoch: int = 0
    files: int = 0


class Ledger:
    """The ledger of one directory."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._folder = directory.folder(FOLDER)

    def lock(self) -> AbstractContextManager[None]:
        """Hold the ledger: one commit at a time."""
        return self._folder.lock("lock")

    def entry(self, key: str) -> Entry | None:
        """The entry of a delivery key, open or closed."""
        return self._load(f"delivery-{short(key)}.json", Entry)

    def stamped(self, stamp: str) -> Entry | None:
        """The entry of the delivery that a stamp stands for, once it has been carried out."""
        entry = self._load(f"delivery-{stamp}.json", Entry)
        return entry if entry is not None and not self.pending(entry) else None

    def put(self, entry: Entry) -> None:
        """Write an entry; it is on the disk when this returns."""
        self._folder.write(f"delivery-{short(entry.key)}.json", entry.model_dump_json(indent=1).encode())

    def withdraw(self, entry: Entry) -> None:
        """Take back an intent, before its staged file goes: never the other way round.

        Before that its folder loses its name again, so that nobody sees documents of no delivery.
        """
        if entry.folder and self._directory.exists(entry.folder):
            self._directory.rename(entry.folder, entry.hidden)
        self._folder.remove(f"delivery-{short(entry.key)}.json")

    def progress(self, exchange: str) -> Progress:
        """What is known of an exchange."""
        return self._load(f"exchange-{short(exchange)}.json", Progress) or Progress(exchange=exchange)

    def advance(self, progress: Progress) -> None:
        """Write what is known of an exchange now."""
        self._folder.write(f"exchange-{short(progress.exchange)}.json", progress.model_dump_json(indent=1).encode())

    def pending(self, entry: Entry) -> bool:
        """Whether an intent has not been carried out: its staged file still has no name."""
        return not entry.closed and self._directory.exists(entry.part)

    def carry_out(self, entry: Entry) -> Acknowledgement:
        """Finish an intent from wherever it was left."""
        if entry.closed:
            return entry.acknowledgement()
        if self._directory.exists(entry.part):
            if entry.folder:
                self._name_folder(entry)
            self._directory.rename(entry.part, entry.name)
        manifest = manifest_name(entry.name)
        if not self._directory.exists(entry.name):
            self._directory.unwrite(manifest)
        elif not entry.folder or self._directory.exists(entry.stage):
            # Where the rows have gone already, the manifest that tells of their documents was written before.
            self._write_manifest(entry, manifest)
        if entry.stage:
            self._directory.remove(entry.stage)
        self.put(entry.model_copy(update={"closed": True}))
        return entry.acknowledgement()

    def _name_folder(self, entry: Entry) -> None:
        """Give the folder its name, if it is as it was staged: it lies where others may clear up (临时文件清理).

        Raises:
            StageLost: It is not, or is gone; no name has been given to the rows yet.
        """
        if not self._directory.exists(entry.hidden) and self._directory.exists(entry.folder):
            return
        told = (Document.of(text) for texts in self._enclosed(entry) for text in texts)
        wanted = {document.name: document.size for document in told}
        if not whole(self._directory, entry.hidden, wanted):
            raise StageLost("暂存的附件被人动过或不在了", remedy="将自动重新读取")
        self._directory.rename(entry.hidden, entry.folder)

    def _write_manifest(self, entry: Entry, name: str) -> None:
        """Put the manifest in place whole; of its documents only those of one staged batch are in memory."""
        about: dict[str, Any] = {
            "file": entry.name,
            "rows": entry.rows,
            "sha256": entry.sha256,
            "key": entry.key,
            "size": entry.size,
            "schema": list(entry.columns),
            "schema_version": entry.schema_version,
        }
        if entry.folder:
            head = _json(about | {"documents": []}, indent=1).removesuffix(b"]\n}")
            self._directory.write(name, head, self._told(entry))
        else:
            self._directory.write(name, _json(about, indent=1))

    def _told(self, entry: Entry) -> Iterator[bytes]:
        before = b"\n"
        for texts in self._enclosed(entry):
            told = []
            for document in map(Document.of, texts):
                path = f"{entry.folder}/{document.name}"
                told.append(_json({"name": path, "size": document.size, "sha256": document.digest}))
            yield before + b",\n".join(told)
            before = b",\n"
        yield b"\n]\n}"

    def _enclosed(self, entry: Entry) -> Iterator[list[str]]:
        """References of what lies in the folder, as the staged rows tell, batch by batch."""
        for batch in frames(self._directory.chunks(entry.stage)):
            rows = accepted(batch)
            for name in documents(rows.schema):
                if texts := rows.column(name).drop_null().to_pylist():
                    yield texts

    def _load(self, name: str, kind: type[Kind]) -> Kind | None:
        content = self._folder.read(name)
        if content is None:
            return None
        try:
            return kind.model_validate_json(content)
        except ValidationError as error:
            raise Malformed(f"台账 {FOLDER}/{name} 已损坏", remedy="从备份恢复该文件，或清空目录后重新交付") from error


def _json(about: Mapping[str, Any], indent: int | None = None) -> bytes:
    return json.dumps(about, ensure_ascii=False, indent=indent).encode()


def manifest_name(name: str) -> str:
    """The name of a file's manifest (清单)."""
    return f"{name}.manifest.json"
