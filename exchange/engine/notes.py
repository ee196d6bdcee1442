"""What a source remembers between passes (读取记录): encrypted files beside the manifests.

A capture that compares needs to know what it saw last time, down to keys of single rows. The notes of a pass are
a file of the vault, written while reading and whole before the manifest is sealed. The position that is promoted with
the delivery names the file and its digest, so that notes come into force with the delivery they belong to, in the
same hub transaction, or never. What died stays without effect and is swept up by the next owner.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

from sqlalchemy import select

from adapters import Notebook, Position
from exchange.db import HubDatabase
from exchange.db.tables import ExchangeRow, RunRow
from exchange.engine.states import UNFINISHED
from exchange.errors import Failed
from exchange.secrets import Vault, VaultWriter

NOTES = "notes"
"""Field of a position, beside the source's own, that names the file and its digest."""


class NoteKeeper:
    """Keeps the notes of all exchanges.

    Args:
        vault: Where they lie.
        database: The hub's, where positions are.
    """

    def __init__(self, vault: Vault, database: HubDatabase) -> None:
        self._vault = vault
        self._database = database

    def intact(self, position: Position | None) -> bool:
        """Whether the notes that a position speaks of, if it speaks of any, are there and as they were written."""
        kept = _named(position)
        return kept is None or (self._vault.exists(kept["file"]) and self._vault.digest(kept["file"]) == kept["digest"])

    def open(self, exchange: str, epoch: int, position: Position | None, *, full: bool) -> OpenNotebook:
        """The notebook of one reading.

        Raises:
            Failed: The notes were lost after the run was planned to compare with them.
        """
        intact = self.intact(position)
        if not (intact or full):
            raise Failed(f"交换 {exchange} 上次读取的记录缺失或被改动", remedy="再执行一次：将重新全量读取")
        return OpenNotebook(self._vault, f"{_prefix(exchange)}{epoch}", _named(position) if intact else None)

    def drop(self, exchange: str, epoch: int) -> None:
        """Remove what an owner wrote under an epoch that came to nothing."""
        self._vault.remove(f"{_prefix(exchange)}{epoch}")

    def sweep(self, exchange: str, epoch: int) -> None:
        """Remove the notes of an exchange that are in force no more, or never were.

        Those of a higher epoch are left to their owner: who was paused may have been overtaken.
        """
        prefix = _prefix(exchange)
        files = [name for name in self._vault.names() if name.startswith(prefix) and int(name[len(prefix) :]) <= epoch]
        if not files:
            return
        with self._database.reading() as session:
            unfinished = select(RunRow.after).where(RunRow.exchange == exchange, RunRow.state.in_(UNFINISHED))
            positions = [*session.scalars(unfinished), session.get_one(ExchangeRow, exchange).position]
        kept = {named["file"] for named in map(_named, positions) if named is not None}
        for name in files:
            if name not in kept:
                self._vault.remove(name)


class OpenNotebook(Notebook):
    """The notebook of one reading, to be used in ``with``: what was not sealed then is gone.

    Args:
        vault: Where notes lie.
        name: File for the notes of this reading.
        earlier: File and digest of the notes in force, None if there are none.
    """

    def __init__(self, vault: Vault, name: str, earlier: Mapping[str, Any] | None) -> None:
        self._vault = vault
        self._name = name
        self._earlier = earlier
        self._writer: VaultWriter | None = None
        self._kept = False

    def __enter__(self) -> OpenNotebook:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            # Given up: a writer that is told of an error leaves nothing behind.
            self._writer.__exit__(Failed, None, None)
            self._writer = None

    def earlier(self) -> Iterator[bytes]:
        """The pages in force, none if they are lost."""
        if self._earlier is not None:
            yield from self._vault.read(self._earlier["file"])

    def write(self, page: bytes) -> None:
        """Write into the file of this reading."""
        if self._writer is None:
            self._writer = self._vault.write(self._name).__enter__()
        self._writer.append(page)

    def keep(self) -> None:
        """The file in force is that of this reading too."""
        self._kept = True

    def sealed(self, position: Position | None) -> dict[str, Any] | None:
        """Make the notes durable; the position with their name in it."""
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.__exit__(None, None, None)
            named: Mapping[str, Any] | None = {"file": self._name, "digest": self._vault.digest(self._name)}
        else:
            named = self._earlier if self._kept else None
        if position is None:
            return None
        own = {name: value for name, value in position.items() if name != NOTES}
        return own if named is None else {**own, NOTES: dict(named)}


def _named(position: Position | None) -> Mapping[str, Any] | None:
    named = (position or {}).get(NOTES)
    return named if isinstance(named, Mapping) else None


def _prefix(exchange: str) -> str:
    # An exchange's name may be longer than a file's.
    return f"notes.{hashlib.sha256(exchange.encode()).hexdigest()[:24]}."
