"""Recalls (撤回): what a provider calls back of what was delivered, and what recipients say to that.

Deny by default: a clerk or reviewer of the provider, or the security administrator, calls back; the parties and the
administrators see how it stands; what a recipient says is shown to the parties alone. A look at that, or at names of
documents, is an event.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from exchange.audit import events
from exchange.db.tables import ExchangeRow, GrantRow, RecallRow, ReceiptRow, RunRow
from exchange.engine import RecallWords
from exchange.errors import Denied, Invalid, Misplaced, Unknown
from exchange.hub.files import oversees
from exchange.hub.reasons import read_reason
from exchange.identity import Actor
from exchange.plan import End
from exchange.settings import Role

if TYPE_CHECKING:
    from exchange.hub.core import Hub

MAY = (Role.CLERK, Role.REVIEWER, Role.SECURITY)
LONGEST = 600
"""Characters of a document's name."""
NAMED = 10
"""Documents that are named to who asked for another one."""


class _NotDelivered(Unknown):
    """No document of that name was delivered; so many others were named instead."""

    def __init__(self, message: str, *, remedy: str, exchange: str, named: int) -> None:
        super().__init__(message, remedy=remedy)
        self.exchange = exchange
        self.named = named


@dataclass(frozen=True)
class RecallEntry:
    """A recall as it stands (撤回).

    Attributes:
        place: Name of the data file; empty while it is not known.
        documents: Names of the documents called back; empty: everything of the delivery.
        state: One of :class:`exchange.engine.RecallState`.
        until: When an answer is expected.
        due_at: When it is seen to next; None: it has come to its end.
        words: What the recipient says, to those who may see it.
        error: What went wrong at the last look.
    """

    id: str
    run: str
    exchange: str
    grant: str
    recipient: str
    place: str
    documents: tuple[str, ...]
    reason: str
    ordered_by: str
    department: str
    state: str
    ordered_at: datetime
    until: datetime
    due_at: datetime | None
    notified_at: datetime | None
    answered_at: datetime | None
    words: RecallWords | None
    error: str | None


class RecallBook:
    """What those concerned do with recalls."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def recall(self, name: str, *, document: str | None = None, reason: str, by: Actor) -> list[str]:
        """Call back what was delivered (撤回), and put the notices in place as far as that can be done at once.

        Args:
            name: Id of a run or its receipt, or of an exchange or a grant, of which everything delivered is meant.
            document: Only this document of what was delivered, by its name in the drop, with its folder or without.
            reason: Why; the recipient reads it.
            by: A clerk or reviewer of the provider, or the security administrator.

        Returns:
            Ids of the recalls, in the order of the deliveries.

        Raises:
            Unknown: There is nothing of that name, or no document of its name was delivered.
            Denied: The actor may not.
            Misplaced: Nothing was delivered, it was called back before, or it did not go the way of files.
            Invalid: The reason or the name of the document will not do.
        """
        hub = self._hub
        action = f"撤回 {name} 的交付"
        with hub.permitted(by, *MAY, action=action):
            try:
                with hub.told(), hub.database.transaction() as session:
                    exchange, runs = self._named(session, name)
                    self._demand(by, action, exchange.provider)
                    only = None if document is None else _plain(document)
                    found = self._order(session, exchange, runs, document=only, reason=reason, by=by)
                    if not found:
                        remedy = "用 shutong files recalls 查看已有的撤回" if runs else "用 shutong trace 查看交付"
                        why = "已经撤回过" if runs else "没有送达过文件，没有可撤回的"
                        raise Misplaced(f"{name} {why}", remedy=remedy)
            except Denied as error:
                hub.denied(by, action, error)
                raise
            except _NotDelivered as error:
                self._shown(error, by)
                raise
        self.attend(found, by=by)
        return found

    def revoked(self, session: Session, grant: str, *, reason: str, by: Actor) -> list[str]:
        """Call back everything delivered under a grant, in the transaction that revokes it; attended to after it.

        Raises:
            Misplaced: The grant did not go the way of files; nothing is revoked then.
        """
        exchange = session.scalar(select(ExchangeRow).where(ExchangeRow.grant == grant))
        if exchange is None:
            raise Misplaced(f"授权 {grant} 没有交换，没有可撤回的", remedy="去掉 --recall，只撤销授权")
        runs = self._hub.engine.recalling.concerned(session, grant=grant)
        return self._order(session, exchange, runs, document=None, reason=reason, by=by)

    def attend(self, names: Sequence[str], *, by: Actor) -> None:
        """Put the notices in place as far as that can be done now; the rest is done by ``run --due``."""
        for name in names:
            self._hub.engine.recalling.attend(name, by=by)
        if names:
            self._hub.audit.seal()

    def entries(self, *, by: Actor, exchange: str | None = None, state: str | None = None) -> list[RecallEntry]:
        """Recalls, the latest first (查看撤回): to the parties and the administrators, each those that concern him."""
        hub = self._hub
        query = select(RecallRow).order_by(RecallRow.ordered_at.desc(), RecallRow.id)
        query = query if exchange is None else query.where(RecallRow.exchange == exchange)
        query = query if state is None else query.where(RecallRow.state == state)
        if not self._oversees(by):
            own = by.department
            query = query.where(or_(RecallRow.provider == own, RecallRow.recipient == own, RecallRow.department == own))
        with hub.database.transaction() as session:
            found = [self._entry(row, by) for row in session.scalars(query)]
            told = sum(each.words is not None or bool(each.documents) for each in found)
            if told:
                hub.audit.record(session, events.RecallsRead(recalls=told), by=by, department=by.department)
        return found

    def _oversees(self, by: Actor) -> bool:
        at_hub = by.department == self._hub.settings.hub_department
        return Role.AUDIT in by.roles or Role.SECURITY in by.roles or (at_hub and Role.INTEGRATOR in by.roles)

    def _named(self, session: Session, name: str) -> tuple[ExchangeRow, list[RunRow]]:
        """The exchange, and what was delivered of it under that name."""
        recalling = self._hub.engine.recalling
        run = session.scalar(
            select(RunRow)
            .outerjoin(ReceiptRow, ReceiptRow.run == RunRow.id)
            .where(or_(RunRow.id == name, ReceiptRow.id == name))
        )
        if run is not None:
            exchange = session.get_one(ExchangeRow, run.exchange)
            runs = [each for each in recalling.concerned(session, exchange=run.exchange) if each.id == run.id]
            return exchange, runs
        found = session.get(ExchangeRow, name)
        if found is not None:
            return found, recalling.concerned(session, exchange=name)
        grant = session.get(GrantRow, name)
        of = session.scalar(select(ExchangeRow).where(ExchangeRow.grant == name)) if grant is not None else None
        if of is None:
            raise Unknown(f"没有批次、回执、交换或授权 {name}", remedy="用 shutong status 或 shutong grant list 查看")
        return of, recalling.concerned(session, grant=name)

    def _order(
        self,
        session: Session,
        exchange: ExchangeRow,
        runs: Sequence[RunRow],
        *,
        document: str | None,
        reason: str,
        by: Actor,
    ) -> list[str]:
        recalling = self._hub.engine.recalling
        why = read_reason(reason, "撤回")
        if exchange.kind != "sharing":
            raise Misplaced(
                f"交换 {exchange.id} 归集到基础库，没有接收部门", remedy="在来源处改正或删除，下次归集即生效"
            )
        if not recalling.reaches(session, End(**exchange.target)):
            raise Misplaced(
                f"交换 {exchange.id} 不是以文件送达的，不能放撤回通知",
                remedy="去掉 --recall 撤销授权，从此不再交付；已送达的行，书面通知使用部门删除",
            )
        meant = [(run, [] if document is None else recalling.meant(session, run, document)) for run in runs]
        if document is not None:
            meant = [(run, documents) for run, documents in meant if documents]
            if runs and not meant:
                raise self._not_delivered(session, exchange, runs, document, by)
        found = (recalling.order(session, run, documents=documents, reason=why, by=by) for run, documents in meant)
        return [name for name in found if name is not None]

    def _not_delivered(
        self, session: Session, exchange: ExchangeRow, runs: Sequence[RunRow], document: str, by: Actor
    ) -> _NotDelivered:
        """Say so; what was delivered is named to those who may know the names of files."""
        names = sorted({each.name for run in runs for each in self._hub.engine.recalling.handed(session, run)})
        knows = by.department == exchange.provider or oversees(self._hub, by)
        remedy = "照交付清单（.manifest.json 的 documents）写"
        if not names:
            remedy = "这些交付没有附件，或者已过留存期限；去掉 --document 撤回整个文件"
        elif knows:
            more = f"等 {len(names)} 个" if len(names) > NAMED else ""
            remedy = f"送达过的附件：{'、'.join(names[:NAMED])}{more}"
        named = min(len(names), NAMED) if knows else 0
        return _NotDelivered(f"没有送达过附件 {document}", remedy=remedy, exchange=exchange.id, named=named)

    def _shown(self, error: _NotDelivered, by: Actor) -> None:
        """Whoever was told names has looked at them."""
        if error.named:
            hub = self._hub
            with hub.database.transaction() as session:
                event = events.FilesRead(files=error.named, named=True)
                hub.audit.record(session, event, by=by, department=by.department, exchange=error.exchange)

    def _demand(self, by: Actor, action: str, provider: str) -> None:
        if Role.SECURITY not in by.roles and by.department != provider:
            reasons = ["只有提供部门的经办员、审核员或安全管理员可以撤回"]
            raise Denied(f"{by.name} 不能{action}", reasons, remedy="请提供部门办理")

    def _entry(self, row: RecallRow, by: Actor) -> RecallEntry:
        party = by.department in (row.provider, row.recipient)
        return RecallEntry(
            id=row.id,
            run=row.run,
            exchange=row.exchange,
            grant=row.grant,
            recipient=row.recipient,
            place=row.place,
            documents=tuple(each["name"] for each in row.documents),
            reason=row.reason,
            ordered_by=row.ordered_by,
            department=row.department,
            state=row.state,
            ordered_at=row.ordered_at,
            until=row.until,
            due_at=row.due_at,
            notified_at=row.notified_at,
            answered_at=row.answered_at,
            words=self._hub.engine.recalling.words(row) if party else None,
            error=row.error,
        )


def _plain(name: str) -> str:
    """The name of a document, in which nothing steers what shows it.

    Raises:
        Invalid: It is none.
    """
    steering = any(unicodedata.category(each) in ("Cc", "Cf", "Zl", "Zp", "Cs") for each in name)
    if not name.strip() or len(name) > LONGEST or steering:
        raise Invalid("附件名称不能用", remedy="照交付清单（.manifest.json 的 documents）写")
    return name
