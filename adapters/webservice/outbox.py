"""What is staged for a service and what it has acknowledged, in the hub's spool (待发箱).

A service has no ledger of ours. A delivery is sent message by message, each under an id that never stands for anything
else; the entry of the delivery says how many of them were acknowledged, and whether one is on its way.

======== ======= =======================================================================
``sent`` begun   what a successor does
======== ======= =======================================================================
n        n       nothing is on its way: send message n
n        n + 1   message n may have arrived: send it again under its id
all      all     close the entry; the answer is in it
======== ======= =======================================================================
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TypeVar

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from adapters.base import Acknowledgement, RefusedRow
from adapters.errors import Malformed
from adapters.spool import Spool, short

Kind = TypeVar("Kind", bound=BaseModel)


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Stage(_Frozen):
    """A stage: under which claim, and the name of its own that its messages' ids carry."""

    epoch: int
    name: str


class Entry(_Frozen):
    """A delivery that has begun to be sent, or has been."""

    key: str
    exchange: str
    epoch: int
    manifest: str
    head: str
    stage: Stage
    place: str
    rows: int
    sent: int = 0
    begun: int = 0
    written: int = 0
    deleted: int = 0
    refused: tuple[tuple[int, str, str], ...] = ()
    at: datetime
    closed: bool = False

    def acknowledgement(self) -> Acknowledgement:
        """The answer: every row that was taken counts as written."""
        return Acknowledgement(
            key=self.key,
            manifest=self.manifest,
            written=self.written,
            deleted=self.deleted,
            refused=tuple(RefusedRow(*each) for each in self.refused),
            at=self.at,
            place=self.place,
            head=self.head,
        )


class Progress(_Frozen):
    """The highest epoch seen of an exchange."""

    exchange: str
    epoch: int = 0


class Outbox:
    """The outbox of one endpoint."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def lock(self, exchange: str) -> AbstractContextManager[None]:
        """Hold an exchange: one owner sends at a time."""
        return self._spool.lock(f"exchange-{short(exchange)}")

    def entry(self, key: str) -> Entry | None:
        """The entry of a delivery key, open or closed."""
        return self._load(f"delivery-{short(key)}", Entry)

    def put(self, entry: Entry) -> None:
        """Write an entry; it is durable when this returns."""
        self._spool.write(f"delivery-{short(entry.key)}", entry.model_dump_json().encode())

    def withdraw(self, entry: Entry) -> None:
        """Take back an entry of which nothing was sent."""
        self._spool.remove(f"delivery-{short(entry.key)}")

    def epoch(self, exchange: str) -> int:
        """The highest epoch seen of an exchange."""
        found = self._load(f"exchange-{short(exchange)}", Progress)
        return found.epoch if found else 0

    def advance(self, exchange: str, epoch: int) -> None:
        """Note a higher epoch."""
        content = Progress(exchange=exchange, epoch=epoch).model_dump_json().encode()
        self._spool.write(f"exchange-{short(exchange)}", content)

    # --- stages ---------------------------------------------------------------------------------

    def begin(self, key: str, stage: Stage) -> None:
        """Begin a stage."""
        self._spool.write(f"{_prefix(key, stage.epoch)}stage", stage.model_dump_json().encode())

    def stage(self, key: str, epoch: int) -> Stage | None:
        """The stage of a claim."""
        return self._load(f"{_prefix(key, epoch)}stage", Stage)

    def epochs(self, key: str) -> tuple[int, ...]:
        """The epochs under which something of a key lies staged."""
        names = self._spool.names(f"stage-{short(key)}.")
        return tuple(sorted({int(name.split(".")[1]) for name in names}))

    def drop(self, key: str, epoch: int) -> None:
        """Remove a stage, first what says that it is one."""
        prefix = _prefix(key, epoch)
        self._spool.remove(f"{prefix}stage")
        for name in self._spool.names(prefix):
            self._spool.remove(name)

    def add(self, key: str, epoch: int, number: int, batch: pa.RecordBatch) -> None:
        """Add a batch; it is durable when this returns."""
        content = io.BytesIO()
        with pa.ipc.new_stream(content, batch.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
            writer.write_batch(batch)
        self._spool.write(f"{_prefix(key, epoch)}{number:08d}", content.getvalue())

    def batches(self, key: str, epoch: int) -> Iterator[pa.RecordBatch]:
        """What lies staged, in the order in which it was added, one batch in memory at a time."""
        prefix = _prefix(key, epoch)
        for name in self._spool.names(prefix):
            if name.removeprefix(prefix).isdecimal() and (content := self._spool.read(name)) is not None:
                yield from pa.ipc.open_stream(content)

    def _load(self, name: str, kind: type[Kind]) -> Kind | None:
        content = self._spool.read(name)
        if content is None:
            return None
        try:
            return kind.model_validate_json(content)
        except ValidationError as error:
            raise Malformed(f"推送暂存 {name} 已损坏", remedy="从备份恢复平台的 spool 目录") from error


def _prefix(key: str, epoch: int) -> str:
    return f"stage-{short(key)}.{epoch}."
