"""Answers (处理结果): what recipients made of what was delivered to them, to those whom it concerns.

Deny by default: the parties of an exchange and the administrators see the counts; the failed rows and what is said of
them are shown to an integrator of the recipient alone, whose rows they are. Every look is an event, and so is every
refusal.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from exchange.audit import events
from exchange.db.tables import AddendumRow, AnswerRow, ExchangeRow, OwedRow, ReceiptRow
from exchange.engine import ASKED, FailedRow
from exchange.errors import Denied, Unknown
from exchange.identity import Actor, require
from exchange.settings import Role

if TYPE_CHECKING:
    from exchange.hub.core import Hub

UNKNOWN = "目标端没有能读回的状态：不是带状态列和写入时间列的前置库表，也不是文件目录，或者这次交付没有写入行"


@dataclass(frozen=True)
class Addendum:
    """What a recipient had made of a delivery's rows at one time (回执附录).

    Attributes:
        number: Its place among those of the receipt, from 1.
        counts: Rows that are ``new`` (unread), ``done``, ``failed`` (None: the place does not tell), ``other`` and
            ``gone``: written again by a later delivery, or taken away or stamped anew by the recipient.
        rows: How many of the failed ones were read.
        shared_with: Other deliveries of the same second, whose rows are counted with these.
        advice: What the department could do to make the question cheaper.
    """

    number: int
    at: datetime
    counts: dict[str, int | None]
    rows: int
    shared_with: tuple[str, ...]
    advice: tuple[str, ...]
    digest: str


@dataclass(frozen=True)
class ShownFailure:
    """A failed row as the recipient's integrator sees it; ``key`` is None unless it was asked for."""

    number: int
    key: dict[str, str | None] | None
    key_hash: str
    text: str | None


@dataclass(frozen=True)
class Answered:
    """What is known of one delivery's rows (处理结果).

    Attributes:
        why: Why nothing can be known; None: it can.
        written: Rows that the delivery left at the target.
        addenda: What was found, oldest first.
        failures: The failed rows of the last addendum, if they were asked for.
        open: The recipient is going to be asked again.
        due_at: When.
        error: What went wrong with the last question.
    """

    receipt: str
    run: str
    exchange: str
    recipient: str
    why: str | None
    written: int
    addenda: tuple[Addendum, ...]
    failures: tuple[ShownFailure, ...]
    open: bool
    due_at: datetime | None
    error: str | None


class AnswerBook:
    """What those concerned do with recipients' answers."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def ask(self, name: str, *, by: Actor) -> bool:
        """Ask the recipient now what became of a delivery's rows (读回处理结果).

        Args:
            name: Id of the receipt, the run or the exchange; of an exchange its last delivery that left rows.
            by: An integrator or system administrator of the recipient or of the hub.

        Returns:
            Whether there was anything new.

        Raises:
            Unknown: There is no such delivery.
            Denied: The actor may not.
            Misplaced: Its target cannot be asked.
            Failed: The target cannot be reached.
        """
        hub = self._hub
        run, exchange, recipient = self._named(name)
        about = {"exchange": exchange, "run": run}
        with hub.permitted(
            by, Role.INTEGRATOR, Role.SYSTEM, action=f"读回批次 {run} 的处理结果", of=[recipient], **about
        ):
            with hub.told():
                new = hub.engine.answering.ask(run, by=by)
            hub.audit.seal()
        return new

    def show(self, name: str, *, by: Actor, rows: bool = False, keys: bool = False) -> Answered:
        """What is known of a delivery's rows (查看处理结果); nobody is asked.

        Args:
            name: As of :meth:`ask`.
            by: Somebody of the parties, or an administrator; for rows an integrator of the recipient.
            rows: Show the failed rows with what is said of them.
            keys: Show their keys in clear too.

        Raises:
            Unknown: There is no such delivery.
            Denied: The actor may not.
            Tampered: What is kept is not as it was written.
        """
        hub = self._hub
        run, exchange, recipient = self._named(name)
        rows = rows or keys
        about: dict[str, Any] = {"exchange": exchange, "run": run}
        action = f"查看批次 {run} {'处理失败的行' if rows else '的处理结果'}"
        try:
            self._demand(by, exchange, recipient, action, rows=rows)
        except Denied as error:
            hub.denied(by, action, error, **about)
            raise
        with hub.database.transaction() as session:
            shown = self._shown(session, run, rows=rows, keys=keys)
            event = events.AnswersRead(receipt=shown.receipt, rows=len(shown.failures))
            hub.audit.record(session, event, by=by, department=by.department, **about)
            if keys and shown.failures:
                revealed = events.KeysRevealed(rows=len(shown.failures))
                hub.audit.record(session, revealed, by=by, department=by.department, **about)
        return shown

    def _named(self, name: str) -> tuple[str, str, str]:
        """Run, exchange and recipient of a delivery."""
        with self._hub.database.reading() as session:
            row = session.scalar(
                select(ReceiptRow)
                .outerjoin(AnswerRow, AnswerRow.run == ReceiptRow.run)
                .where(or_(ReceiptRow.id == name, ReceiptRow.run == name, ReceiptRow.exchange == name))
                .order_by(AnswerRow.run.is_(None), ReceiptRow.issued_at.desc(), ReceiptRow.id)
                .limit(1)
            )
            if row is None:
                raise Unknown(f"没有回执、批次或交换 {name}，或者还没有交付过", remedy="用 shutong status 查看")
            return row.run, row.exchange, session.get_one(ExchangeRow, row.exchange).recipient

    def _demand(self, by: Actor, exchange: str, recipient: str, action: str, *, rows: bool) -> None:
        """Raise Denied unless the actor may look."""
        if rows:
            require(by, Role.INTEGRATOR, action=action)
            if by.department != recipient:
                reason = "处理失败的行和原因可能含个人信息，只给接收部门的集成工程师看"
                raise Denied(f"{by.name} 不能{action}", [reason], remedy="请接收部门的集成工程师查看")
            return
        with self._hub.database.reading() as session:
            row = session.get_one(ExchangeRow, exchange)
            parties = {row.provider, row.recipient}
        at_hub = by.department == self._hub.settings.hub_department and Role.INTEGRATOR in by.roles
        if by.department not in parties and not at_hub and Role.AUDIT not in by.roles:
            raise Denied(f"{by.name} 不能{action}", ["只有交换双方和管理员可以查看"])

    def _shown(self, session: Session, run: str, *, rows: bool, keys: bool) -> Answered:
        answering = self._hub.engine.answering
        of = session.scalars(select(ReceiptRow).where(ReceiptRow.run == run)).one()
        answer = session.get(AnswerRow, run)
        debt = session.scalar(select(OwedRow).where(OwedRow.run == run, OwedRow.kind == ASKED))
        added = answering.look(session, run)
        failures = answering.rows(added[-1]) if rows and added else []
        waits = debt is not None and debt.done_at is None
        return Answered(
            receipt=of.id,
            run=run,
            exchange=of.exchange,
            recipient=str(of.body["recipient"]),
            why=UNKNOWN if answer is None else None,
            written=answer.rows if answer is not None else 0,
            addenda=tuple(map(_addendum, added)),
            failures=tuple(_failure(each, keys=keys) for each in failures),
            open=waits,
            due_at=answer.due_at if answer is not None and waits else None,
            error=debt.error if debt is not None else None,
        )


def _addendum(row: AddendumRow) -> Addendum:
    body = row.body
    return Addendum(
        number=row.number,
        at=row.at,
        counts=dict(body["counts"]),
        rows=int(body["rows"]),
        shared_with=tuple(body["shared_with"]),
        advice=tuple(body["advice"]),
        digest=row.digest,
    )


def _failure(row: FailedRow, *, keys: bool) -> ShownFailure:
    return ShownFailure(row.number, row.key if keys else None, row.key_hash, row.text)
