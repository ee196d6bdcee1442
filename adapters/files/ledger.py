"""The ledger of a directory that is delivered to: hidden files, written whole, read under a lock.

A delivery is committed by one rename, of the staged file to its name. Before it the ledger holds the
*intent*, with the answer that will be given; so whoever comes later knows from the intent and from
whether the staged file is still there what happened, and what is left to do:

====== =========== ==================================================================
intent staged file
====== =========== ==================================================================
no     any         nothing was committed
yes    there       not yet committed: rename, write the manifest, close the entry
yes    gone        committed: write the manifest unless the file was taken already, close the entry
====== =========== ==================================================================
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from adapters.base import Acknowledgement
from adapters.errors import Malformed
from adapters.files.transports.local import LocalDirectory
from adapters.spool import short

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
    closed: bool = False

    def acknowledgement(self) -> Acknowledgement:
        """The answer: a file of changes, so every staged row counts as written."""
        return Acknowledgement(
            key=self.key,
            manifest=self.manifest,
            written=self.rows,
            deleted=self.deleted,
            at=self.at,
            place=self.name,
            head=self.head,
        )


class Progress(BaseModel):
    """What is known of an exchange: the highest epoch seen, and the number of its last file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    exchange: str
    epoch: int = 0
    files: int = 0


class Ledger:
    """The ledger of one directory."""

    def __init__(self, directory: LocalDirectory) -> None:
        self._directory = directory
        self._folder = directory.folder(FOLDER)

    def lock(self) -> AbstractContextManager[None]:
        """Hold the ledger: one commit at a time."""
        return self._folder.lock("lock")

    def entry(self, key: str) -> Entry | None:
        """The entry of a delivery key, open or closed."""
        return self._load(f"delivery-{short(key)}.json", Entry)

    def put(self, entry: Entry) -> None:
        """Write an entry; it is on the disk when this returns."""
        self._folder.write(f"delivery-{short(entry.key)}.json", entry.model_dump_json(indent=1).encode())

    def withdraw(self, entry: Entry) -> None:
        """Take back an intent, before its staged file goes: never the other way round."""
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
            self._directory.rename(entry.part, entry.name)
        manifest = manifest_name(entry.name)
        if self._directory.exists(entry.name):
            about = {"file": entry.name, "rows": entry.rows, "sha256": entry.sha256, "key": entry.key}
            self._directory.write(manifest, json.dumps(about, ensure_ascii=False, indent=1).encode())
        else:
            self._directory.unwrite(manifest)
        self.put(entry.model_copy(update={"closed": True}))
        return entry.acknowledgement()

    def _load(self, name: str, kind: type[Kind]) -> Kind | None:
        content = self._folder.read(name)
        if content is None:
            return None
        try:
            return kind.model_validate_json(content)
        except ValidationError as error:
            raise Malformed(f"台账 {FOLDER}/{name} 已损坏", remedy="从备份恢复该文件，或清空目录后重新交付") from error


def manifest_name(name: str) -> str:
    """The name of a file's manifest (清单)."""
    return f"{name}.manifest.json"
