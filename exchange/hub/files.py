"""Files (文件): followed from a provider's drop to the receipts, to those whom it concerns.

Deny by default. Which files came, how many rows of them and what became of those, the parties of an exchange and
those who were granted the resource see; other recipients they do not see. A file's name, and the reason why it was
refused, which tells the name, can hold a person's, and its digest tells who has it that it is here: these are shown
to the provider's people and to those who oversee the hub, the audit administrator and the hub's integrator. What
became of delivered documents a recipient sees of its own, and why it refused one the parties alone. Every look is an
event, and so is every refusal.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, and_, exists, func, or_, select
from sqlalchemy.orm import Session

from exchange.audit import events
from exchange.db import now
from exchange.db.tables import ExchangeRow, FileRow, GrantRow, HandoverRow, RecallRow, ReceiptRow, RunRow
from exchange.engine import FileState, RunResult, RunState
from exchange.errors import Denied, Misplaced, Unknown
from exchange.identity import Actor
from exchange.plan import Plan
from exchange.settings import Role

if TYPE_CHECKING:
    from exchange.hub.core import Hub

MOST = 200
"""Files that are listed at once, unless more are asked for."""
_SAME = 10
"""Other files of the same content that are told."""


@dataclass(frozen=True)
class ListedFile:
    """A file that a run took or refused (收取的文件).

    Attributes:
        name: None: the actor may not know it.
        digest: None: the same, as whoever has a document of his own could ask whether it is this one.
        reason: Why it was refused; None: it was not, or the actor may not know.
        same_as: Numbers of files of the same content that were taken under another name.
    """

    id: int
    exchange: str
    resource: str
    provider: str
    run: str
    name: str | None
    size: int
    digest: str | None
    rows: int | None
    kind: str
    state: str
    reason: str | None
    at: datetime
    same_as: tuple[int, ...] = ()


@dataclass(frozen=True)
class Onward:
    """What became of a file's rows at one recipient (后续送达).

    Attributes:
        run: The first run of the exchange that began after the file was taken and delivered; None: there is none yet.
        counts: The books of that whole run.
    """

    exchange: str
    recipient: str
    run: str | None
    state: str | None
    receipt: str | None
    counts: dict[str, int]
    at: datetime | None


@dataclass(frozen=True)
class Handover:
    """A document in a recipient's drop, and what has become of it there (附件交付).

    Attributes:
        name: What it is called there, without the folder of its delivery; None: the actor may not know it.
        state: One of :class:`exchange.engine.HandoverState`.
        reason: Why it could not be used, to the parties.
        recall: Id of the last recall that calls it back; None: there is none.
        recall_state: Where that stands.
    """

    exchange: str
    recipient: str
    run: str
    receipt: str | None
    name: str | None
    size: int
    digest: str
    state: str
    reason: str | None
    recall: str | None
    recall_state: str | None
    at: datetime


@dataclass(frozen=True)
class FollowedFile:
    """A file from its drop to the receipts (文件追溯).

    Attributes:
        handovers: Of a document, where its content was delivered; of a data file, what was delivered with the rows of
            the runs that are told.
        more: How many handovers there are besides.
    """

    file: ListedFile
    recipient: str
    """Of the run that took it."""
    run_state: str
    receipt: str | None
    counts: dict[str, int]
    onward: tuple[Onward, ...]
    handovers: tuple[Handover, ...] = ()
    more: int = 0


@dataclass(frozen=True)
class LyingFile:
    """A file that lies in a drop and is not taken yet (待收取的文件)."""

    exchange: str
    name: str
    size: int
    modified: datetime | None
    reason: str
    refused: bool


def oversees(hub: Hub, by: Actor) -> bool:
    """Whether somebody sees the files of every exchange: the audit administrator, and the hub's own integrator."""
    at_hub = by.department == hub.settings.hub_department
    return Role.AUDIT in by.roles or (at_hub and Role.INTEGRATOR in by.roles)


class FileDesk:
    """What people ask about files."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def found(
        self,
        *,
        by: Actor,
        exchange: str | None = None,
        resource: str | None = None,
        state: str | None = None,
        name: str | None = None,
        most: int = MOST,
    ) -> list[ListedFile]:
        """The files of runs, the last first (列出文件)."""
        hub = self._hub
        given = {FileRow.exchange: exchange, FileRow.resource: resource, FileRow.state: state, FileRow.name: name}
        query = select(FileRow).order_by(FileRow.id.desc()).limit(most)
        for column, value in given.items():
            if value is not None:
                query = query.where(column == value)
        if not oversees(self._hub, by):
            own = FileRow.provider == by.department
            # Who may not know a name is not told whether there is a file of it.
            query = query.where(own if name is not None else or_(own, self._granted(by)))
        with hub.database.transaction() as session:
            found = [self._listed(session, row, by) for row in session.scalars(query)]
            named = any(file.name is not None for file in found)
            event = events.FilesRead(files=len(found), named=named)
            hub.audit.record(session, event, by=by, exchange=exchange, resource=resource, department=by.department)
        return found

    def show(self, name: str, *, by: Actor) -> FollowedFile:
        """One file from its drop to the receipts (查看文件).

        Args:
            name: Its number, or its name; of several of one name the last.
            by: Somebody of the provider, of a department that was granted the resource, or who oversees the hub.

        Raises:
            Unknown: There is no such file.
            Denied: The actor may not.
        """
        hub = self._hub
        with hub.database.reading() as session:
            row = self._find(session, name, by)
            may = self._knows(by, row) or session.scalar(
                select(FileRow.id).where(FileRow.id == row.id, self._granted(by))
            )
            about = {"exchange": row.exchange, "run": row.run}
        if not may:
            error = Denied(f"{by.name} 不能查看文件 {row.id}", ["只有提供部门、获得授权的部门和管理员可以查看"])
            hub.denied(by, f"查看文件 {row.id}", error, **about)
            raise error
        with hub.database.transaction() as session:
            row = session.get_one(FileRow, row.id)
            found = self._followed(session, row, by)
            named = found.file.name is not None
            event = events.FilesRead(files=1 + len(found.handovers), named=named)
            hub.audit.record(session, event, by=by, department=by.department, **about)
        return found

    def waiting(self, name: str, *, by: Actor) -> list[LyingFile]:
        """What lies in a drop and is not taken yet, and why (待收取); nothing is read or changed.

        Args:
            name: An exchange, or an endpoint: then of all exchanges that read from it.
            by: Somebody of the provider, or who oversees the hub.

        Raises:
            Unknown: There is no such exchange or endpoint.
            Denied: The actor may not.
            Failed: The drop cannot be reached.
        """
        hub = self._hub
        with hub.database.reading() as session:
            rows = [
                row
                for row in session.scalars(select(ExchangeRow).order_by(ExchangeRow.id))
                if name in (row.id, row.source["endpoint"])
            ]
            exchanges = [(row.id, row.provider) for row in rows]
        if not exchanges:
            raise Unknown(f"没有读取 {name} 的交换", remedy="写交换或端点的名称，见 shutong status")
        if not oversees(self._hub, by) and any(provider != by.department for _, provider in exchanges):
            error = Denied(f"{by.name} 不能查看 {name} 的待收文件", ["只有提供部门和管理员可以查看"])
            hub.denied(by, f"查看 {name} 的待收文件", error)
            raise error
        found = [
            LyingFile(
                exchange=exchange,
                name=file.name,
                size=file.size,
                modified=datetime.fromtimestamp(file.modified, UTC) if file.modified else None,
                reason=file.reason,
                refused=file.refused,
            )
            for exchange, _ in exchanges
            for file in hub.engine.files.waiting(exchange)
        ]
        with hub.database.transaction() as session:
            event = events.FilesRead(files=len(found), named=bool(found))
            hub.audit.record(session, event, by=by, department=by.department, exchange=exchanges[0][0])
        return found

    def retry(self, exchange: str, name: str, *, by: Actor) -> int:
        """Have a refused file tried once more, as it is, with the next run (重试文件).

        Args:
            exchange: The exchange that refused it.
            name: Its name or its number.
            by: A clerk, integrator or system administrator of the provider or of the hub.

        Returns:
            Its number.

        Raises:
            Unknown: There is no such file.
            Denied: The actor may not.
            Misplaced: It is not refused, or not any more.
        """
        hub = self._hub
        with hub.database.reading() as session:
            row = session.get(ExchangeRow, exchange)
            provider = [row.provider] if row is not None else []
        what = f"重试交换 {exchange} 退回的文件"
        roles = (Role.CLERK, Role.INTEGRATOR, Role.SYSTEM)
        with hub.permitted(by, *roles, action=what, of=provider, exchange=exchange):
            with hub.database.transaction() as session:
                wanted = FileRow.id == int(name) if _is_number(name) else FileRow.name == name
                file = session.scalar(
                    select(FileRow).where(FileRow.exchange == exchange, wanted).order_by(FileRow.id.desc()).limit(1)
                )
                if file is None:
                    raise Unknown(f"交换 {exchange} 没有这个文件", remedy="用 shutong files list --state refused 查看")
                if file.state != FileState.REFUSED.value:
                    raise Misplaced(
                        f"文件 {file.id} 没有被退回，或后来已处理", remedy="无需重试；改动过的文件会自动重收"
                    )
                file.state = FileState.RETRY.value
                session.get_one(ExchangeRow, exchange).due_at = now(session)
                hub.audit.record(
                    session, events.FileRetried(file=file.id), by=by, exchange=exchange, run=file.run,
                    resource=file.resource, department=file.provider,
                )  # fmt: skip
                number = file.id
            hub.audit.seal()
        return number

    def delivery(self, name: str, *, by: Actor) -> tuple[str, str]:
        """The exchange and the run of a delivery, to somebody who may have it made once more.

        Args:
            name: Id of the run or of its receipt.
            by: An integrator or system administrator of a party or of the hub.

        Raises:
            Unknown: There is no such run.
            Denied: The actor may not.
        """
        hub = self._hub
        with hub.database.reading() as session:
            meant = select(RunRow.exchange, RunRow.id).outerjoin(ReceiptRow, ReceiptRow.run == RunRow.id)
            found = session.execute(meant.where(or_(RunRow.id == name, ReceiptRow.id == name))).first()
        if found is None:
            raise Unknown(f"没有批次或回执 {name}", remedy="用 shutong files show 或 shutong runs 查看")
        exchange, run = found
        hub.oversight.demand_may_run(exchange, by=by, resend=run)
        return exchange, run

    def resend(self, name: str, *, by: Actor, **options: Any) -> RunResult:
        """Deliver once more what one delivery of files gave its recipient, in a run of its own (重新送达).

        The rows are those of that delivery, as they stand now and as the grant allows now. Everything that an exchange
        ever delivered is sent again by a run with ``redeliver``.

        Args:
            name: Id of the run or of its receipt.
            by: An integrator or system administrator of a party or of the hub.
            options: Further ones of :meth:`exchange.engine.Engine.run`.

        Raises:
            Unknown: There is no such run.
            Denied: The actor may not.
            Misplaced: It delivered no files from the base library, or was called back, or is to come again anyway.
        """
        exchange, run = self.delivery(name, by=by)
        return self._hub.oversight.run(exchange, by=by, resend=run, **options)

    def _knows(self, by: Actor, row: FileRow) -> bool:
        """Whether the actor may know its name."""
        return by.department == row.provider or oversees(self._hub, by)

    def _granted(self, by: Actor) -> ColumnElement[bool]:
        """Files of exchanges that deliver to the actor's department, or of what it was granted."""
        theirs = ExchangeRow.recipient == by.department
        direct = select(ExchangeRow.id).where(theirs)
        # Of a grant that is no more they see what came to them while it was.
        delivered = (
            exists()
            .where(
                RunRow.exchange == ExchangeRow.id,
                RunRow.state.in_((RunState.COMMITTED.value, RunState.SETTLED.value)),
                RunRow.started_at >= FileRow.at,
            )
            .correlate(ExchangeRow, FileRow)
        )
        stands = exists().where(GrantRow.id == ExchangeRow.grant, GrantRow.state.in_(("active", "suspended")))
        granted = exists().where(
            theirs,
            ExchangeRow.kind == "sharing",
            ExchangeRow.resource == FileRow.resource,
            or_(and_(ExchangeRow.state != "ended", stands), delivered),
        )
        return or_(FileRow.exchange.in_(direct), granted)

    def _find(self, session: Session, name: str, by: Actor) -> FileRow:
        query = select(FileRow).order_by(FileRow.id.desc()).limit(1)
        if _is_number(name):
            query = query.where(FileRow.id == int(name))
        else:
            query = query.where(FileRow.name == name)
            if not oversees(self._hub, by):
                query = query.where(FileRow.provider == by.department)
        row = session.scalar(query)
        if row is None:
            raise Unknown("没有这个文件", remedy="用 shutong files list 查看；只有提供部门和管理员能按文件名查找")
        return row

    def _listed(self, session: Session, row: FileRow, by: Actor) -> ListedFile:
        knows = self._knows(by, row)
        same: Sequence[int] = ()
        if row.digest and row.state == FileState.TAKEN.value:
            others = select(FileRow.id).where(
                FileRow.exchange == row.exchange,
                FileRow.digest == row.digest,
                FileRow.name != row.name,
                FileRow.state == FileState.TAKEN.value,
            )
            same = session.scalars(others.order_by(FileRow.id).limit(_SAME)).all()
        return ListedFile(
            id=row.id,
            exchange=row.exchange,
            resource=row.resource,
            provider=row.provider,
            run=row.run,
            name=row.name if knows else None,
            size=row.size,
            digest=row.digest if knows else None,
            rows=row.rows,
            kind=row.kind,
            state=row.state,
            reason=row.reason if knows else None,
            at=row.at,
            same_as=tuple(same),
        )

    def _followed(self, session: Session, row: FileRow, by: Actor) -> FollowedFile:
        run = session.get_one(RunRow, row.run)
        exchange = session.get_one(ExchangeRow, row.exchange)
        onward: list[Onward] = []
        if row.state == FileState.TAKEN.value and exchange.kind == "synchronisation":
            query = (
                select(ExchangeRow)
                .where(ExchangeRow.kind == "sharing", ExchangeRow.resource == row.resource)
                .where(ExchangeRow.table == exchange.table)
                .order_by(ExchangeRow.id)
            )
            if not self._knows(by, row):
                query = query.where(ExchangeRow.recipient == by.department)
            onward = [self._onward(session, each, run) for each in session.scalars(query)]
        handovers, more = self._handovers(session, row, {run.id, *(each.run for each in onward if each.run)}, by)
        return FollowedFile(
            handovers=handovers,
            more=more,
            file=self._listed(session, row, by),
            recipient=exchange.recipient,
            run_state=run.state,
            receipt=session.scalar(select(ReceiptRow.id).where(ReceiptRow.run == run.id)),
            counts=dict(run.counts or {}),
            onward=tuple(onward),
        )

    def _handovers(
        self, session: Session, row: FileRow, runs: Collection[str], by: Actor
    ) -> tuple[tuple[Handover, ...], int]:
        """Where a document was delivered, or what was delivered with these runs; the last first, and how many more."""
        if row.kind == "document":
            of = select(ExchangeRow.id).where(ExchangeRow.resource == row.resource)
            which = [HandoverRow.digest == row.digest, HandoverRow.exchange.in_(of)]
        else:
            which = [HandoverRow.run.in_(runs)]
        if not self._knows(by, row):
            which.append(HandoverRow.recipient == by.department)
        found = session.scalars(select(HandoverRow).where(*which).order_by(HandoverRow.id.desc()).limit(MOST)).all()
        every = len(found)
        if every == MOST:
            every = session.scalar(select(func.count()).select_from(HandoverRow).where(*which)) or 0
        delivering = {each.run for each in found}
        issued = select(ReceiptRow.run, ReceiptRow.id).where(ReceiptRow.run.in_(delivering))
        receipts: dict[str, str] = dict(session.execute(issued).all())
        recalls: dict[str, list[RecallRow]] = {}
        ordered = select(RecallRow).where(RecallRow.run.in_(delivering))
        for recall in session.scalars(ordered.order_by(RecallRow.ordered_at.desc(), RecallRow.id)):
            recalls.setdefault(recall.run, []).append(recall)
        shown = (self._handover(each, receipts.get(each.run), recalls.get(each.run, ()), row, by) for each in found)
        return tuple(shown), every - len(found)

    def _handover(
        self, handed: HandoverRow, receipt: str | None, recalls: Iterable[RecallRow], row: FileRow, by: Actor
    ) -> Handover:
        meant = (
            each for each in recalls if not each.documents or handed.name in {one["name"] for one in each.documents}
        )
        recall = next(meant, None)
        party = by.department in (row.provider, handed.recipient)
        return Handover(
            exchange=handed.exchange,
            recipient=handed.recipient,
            run=handed.run,
            receipt=receipt,
            name=handed.name if self._knows(by, row) else None,
            size=handed.size,
            digest=handed.digest,
            state=handed.state,
            reason=self._hub.engine.handovers.reason(handed) if party else None,
            recall=recall.id if recall else None,
            recall_state=recall.state if recall else None,
            at=handed.at,
        )

    def _onward(self, session: Session, exchange: ExchangeRow, taken: RunRow) -> Onward:
        """The first delivery of an exchange that read after a file was taken."""
        after = and_(RunRow.exchange == exchange.id, RunRow.started_at >= (taken.ended_at or taken.started_at))
        found = session.execute(
            select(RunRow, ReceiptRow)
            .join(ReceiptRow, ReceiptRow.run == RunRow.id)
            .where(after)
            .order_by(RunRow.started_at, RunRow.id)
            .execution_options(yield_per=_SAME)
        )
        # Runs that left the reading where it was have not read what the file brought.
        brought = next(((run, receipt) for run, receipt in found if not Plan(**run.plan).aside), None)
        found.close()
        if brought is None:
            return Onward(exchange.id, exchange.recipient, None, None, None, {}, None)
        run, receipt = brought
        counts = dict(run.counts or {})
        return Onward(exchange.id, exchange.recipient, run.id, run.state, receipt.id, counts, receipt.issued_at)


def _is_number(name: str) -> bool:
    """Whether that is what a file is numbered by; a name of more digits is a name."""
    return name.isdecimal() and len(name) <= 18
