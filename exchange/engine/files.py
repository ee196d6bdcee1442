"""Books of files (文件账): which files a run took, which it refused whole, and what lies at a source and waits.

The files of a pass are noted in the run's durable manifest; they are entered here in the transaction that promotes
the run, or that ends it without a delivery: then the refused ones alone, as the others are read again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from adapters import Endpoint, Selection, TakenFile, WaitingFile
from catalog import Catalog
from exchange.audit import AuditLog, events
from exchange.db import HubDatabase, now
from exchange.db.tables import ExchangeRow, FileRow, NoticeRow, RunRow
from exchange.engine.manifest import Manifest
from exchange.engine.notes import NoteKeeper
from exchange.engine.opening import binding, translated
from exchange.engine.subject import plan_exchange
from exchange.errors import Unknown
from exchange.identity import Actor
from exchange.plan import End, Plan
from exchange.settings import Settings

DROP = "files"
"""The kind of the endpoints where files are dropped; see :data:`adapters.registry.KINDS`."""
_EVENTS = 100
"""Refused files of one run that have an event each; their number is in the run's own."""


class FileState(StrEnum):
    """Where a file stands (收取状态)."""

    TAKEN = "taken"  # its rows were read and delivered, or refused one by one
    REFUSED = "refused"  # nothing of it was read; it waits to be changed
    RETRY = "retry"  # refused, and somebody wants it tried once more
    AGAIN = "again"  # refused, and its name was taken or refused once more since


_STANDING = (FileState.REFUSED.value, FileState.RETRY.value)
_FILE = FileRow.metadata.tables[FileRow.__tablename__]
"""As a table: so many rows are no objects."""


@dataclass
class _Counts:
    taken: int = 0
    again: int = 0
    refused: int = 0
    standing: int = 0


class FileBooks:
    """Enters the files of runs, and tells what waits.

    Args:
        settings: The hub's.
        database: Its own database.
        audit: Its log.
        catalog: Resources and endpoints.
        notes: What sources noted.
        endpoint: Opens one end of an exchange.
    """

    def __init__(
        self,
        settings: Settings,
        database: HubDatabase,
        audit: AuditLog,
        catalog: Catalog,
        notes: NoteKeeper,
        endpoint: Callable[[Session, End], Endpoint],
    ) -> None:
        self._settings = settings
        self._database = database
        self._audit = audit
        self._catalog = catalog
        self._notes = notes
        self._endpoint = endpoint

    def again(self, exchange: str) -> frozenset[str]:
        """Names of refused files that somebody wants tried once more."""
        with self._database.reading() as session:
            wanted = select(FileRow.name).where(FileRow.exchange == exchange, FileRow.state == FileState.RETRY.value)
            return frozenset(session.scalars(wanted))

    def again_by_exchange(self, session: Session) -> dict[str, frozenset[str]]:
        """The same of every exchange that has any."""
        found: dict[str, set[str]] = {}
        wanted = select(FileRow.exchange, FileRow.name).where(FileRow.state == FileState.RETRY.value)
        for exchange, name in session.execute(wanted):
            found.setdefault(exchange, set()).add(name)
        return {exchange: frozenset(names) for exchange, names in found.items()}

    def record(
        self, session: Session, run: RunRow, plan: Plan, manifest: Manifest, by: Actor, *, delivered: bool
    ) -> None:
        """Enter the files of a run, tell the provider of the refused ones, and log both."""
        counts = _Counts()
        first = session.scalar(select(func.max(FileRow.id))) or 0
        for page in manifest.files():
            refused = [file for file in page if file.reason is not None]
            fresh = self._fresh(session, run, refused)
            counts.standing += len(refused) - len(fresh)
            counts.refused += len(fresh)
            taken = [file for file in page if file.reason is None] if delivered else []
            counts.taken += len(taken)
            self._enter(session, run, plan, [*taken, *fresh])
            counts.again += self._known(session, run.exchange, taken)
        if not (counts.taken or counts.refused or counts.standing):
            return
        about = {"resource": plan.resource, "exchange": plan.exchange, "run": run.id, "department": plan.provider}
        told = events.FilesCollected(
            taken=counts.taken, again=counts.again, refused=counts.refused, standing=counts.standing
        )
        self._audit.record(session, told, by=by, **about)
        if not counts.refused:
            return
        rows = session.scalars(
            select(FileRow)
            .where(FileRow.run == run.id, FileRow.id > first, FileRow.state == FileState.REFUSED.value)
            .order_by(FileRow.id)
            .limit(_EVENTS)
        ).all()
        for row in rows:
            self._audit.record(session, events.FileRefused(file=row.id, size=row.size), by=by, **about)
        self._notify(session, run, plan, counts.refused, by)

    def waiting(self, exchange: str) -> list[WaitingFile]:
        """The files that lie at an exchange's source and are not taken yet, and why.

        Raises:
            Unknown: There is no such exchange.
            Failed: The source cannot be reached.
        """
        again = self.again(exchange)
        with self._database.reading() as session:
            row = session.get(ExchangeRow, exchange)
            if row is None:
                raise Unknown(f"没有交换 {exchange}", remedy="用 shutong status 查看已有的交换")
            ends = self._endpoint(session, End(**row.source)), self._endpoint(session, End(**row.target))
            able = ends[0].capabilities, ends[1].capabilities
            plan = plan_exchange(
                session, row, *able, self._settings, self._catalog, forgotten=not self._notes.intact(row.position)
            )
            position, epoch = row.position, 0
        after = None if plan.full else position
        with (
            translated(f"来源端 {plan.source.endpoint}"),
            self._notes.open(exchange, epoch, position, full=True) as notebook,
            ends[0].source(binding(plan.source, plan.key, plan.version)) as source,
        ):
            return list(source.waiting(Selection(after=after, notebook=notebook, again=again)))

    def _fresh(self, session: Session, run: RunRow, refused: list[TakenFile]) -> list[TakenFile]:
        """Those that were not refused before as they are; of the others the reason is brought up to date."""
        if not refused:
            return []
        names = [file.name for file in refused]
        standing = {
            row.name: row
            for row in session.scalars(
                select(FileRow).where(
                    FileRow.exchange == run.exchange, FileRow.name.in_(names), FileRow.state == FileState.REFUSED.value
                )
            )
        }
        fresh = []
        for file in refused:
            row = standing.get(file.name)
            if row is None or (row.size, row.digest) != (file.size, file.digest):
                fresh.append(file)
            else:
                row.reason = file.reason
        return fresh

    def _enter(self, session: Session, run: RunRow, plan: Plan, files: Iterable[TakenFile]) -> None:
        moment = now(session)
        rows = [
            {
                "exchange": plan.exchange,
                "resource": plan.resource,
                "provider": plan.provider,
                "run": run.id,
                "name": file.name,
                "size": file.size,
                "digest": file.digest,
                "rows": file.rows,
                "kind": "document" if file.document else "data",
                "state": (FileState.TAKEN if file.reason is None else FileState.REFUSED).value,
                "reason": file.reason,
                "at": moment,
            }
            for file in files
        ]
        if not rows:
            return
        session.flush()
        session.execute(
            update(FileRow)
            .where(FileRow.exchange == plan.exchange, FileRow.name.in_([row["name"] for row in rows]))
            .where(FileRow.state.in_(_STANDING))
            .values(state=FileState.AGAIN.value)
            .execution_options(synchronize_session="fetch")
        )
        session.execute(insert(_FILE), rows)

    def _known(self, session: Session, exchange: str, taken: list[TakenFile]) -> int:
        """How many of these have the content of a file that was taken under another name."""
        if not taken:
            return 0
        digests = {file.digest for file in taken}
        twice = (
            select(FileRow.digest)
            .where(FileRow.exchange == exchange, FileRow.digest.in_(digests), FileRow.state == FileState.TAKEN.value)
            .group_by(FileRow.digest)
            .having(func.count(func.distinct(FileRow.name)) > 1)
        )
        found = set(session.scalars(twice))
        return sum(file.digest in found for file in taken)

    def _notify(self, session: Session, run: RunRow, plan: Plan, count: int, by: Actor) -> None:
        """Tell the provider; without names, as whoever may follow the run reads its notices."""
        name = self._catalog.resource(session, plan.resource, version=plan.resource_version).resource.name
        text = (
            f"《{name}》有 {count} 个文件整份退回，留在原处，更正后自动重收；"
            f"原因见 shutong files list --exchange {plan.exchange} --state refused"
        )
        session.add(NoticeRow(department=plan.provider, run=run.id, text=text, at=now(session)))
        event = events.NoticeIssued(department=plan.provider)
        self._audit.record(session, event, by=by, exchange=plan.exchange, run=run.id, department=plan.provider)
