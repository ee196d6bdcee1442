"""Recalls (撤回): what was delivered is called back, and what its recipient says to that is brought home.

A recall is a row written in the transaction of whatever caused it: a revocation, or an order of the provider. From
then on it is owed: the notice is put into the recipient's place, and its answer is looked for, soon and then ever more
seldom, by ``run --due`` or at once. A delivery that had passed the gate and was not known to be made is waited for.

What a recipient says are a stranger's words; they are kept sealed.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from adapters import Endpoint, Recall, RecallAnswer, RecalledDocument, Sink
from catalog import Catalog
from catalog.errors import CatalogError, UnknownEntry
from exchange.audit import AuditLog, events
from exchange.db import HubDatabase, now
from exchange.db.tables import ExchangeRow, NoticeRow, RecallRow, ReceiptRow, RunRow, UsageRow
from exchange.engine.handovers import Handovers
from exchange.engine.legible import legible
from exchange.engine.opening import binding, translated
from exchange.engine.pauses import demand_awake
from exchange.engine.states import DELIVERED, UNFINISHED, RunState
from exchange.errors import HubError, Unknown
from exchange.identity import Actor
from exchange.plan import End, Plan
from exchange.secrets import Keyring, seal, unseal
from exchange.settings import Settings

SOON, SELDOM = timedelta(minutes=5), timedelta(days=1)
"""How long after its notice a recall is seen to for the first time, and between two looks at most."""


class RecallState(StrEnum):
    """Where a recall stands (撤回状态)."""

    OWED = "owed"  # the notice is not there yet
    NOTIFIED = "notified"  # it is, and nobody has answered
    UNANSWERED = "unanswered"  # nor within the time; an answer is still looked for
    DESTROYED = "destroyed"  # the recipient has destroyed everything
    PARTLY = "partly"  # part of it; it may still destroy the rest
    KEPT = "kept"  # nothing
    VOID = "void"  # it was never delivered after all


_ENDED = (RecallState.DESTROYED, RecallState.VOID)
_DOUBTFUL = (RunState.RED, RunState.ABANDONED)
_SAID = {"destroyed": "答复已销毁", "partly": "答复部分销毁", "kept": "答复未销毁"}


@dataclass(frozen=True)
class RecallWords:
    """What a recipient says of a recall, in lines in which nothing steers a terminal."""

    reason: str | None
    by: str | None


class Recalling:
    """Notes recalls and carries them out; who may order one is decided above."""

    def __init__(
        self,
        *,
        settings: Settings,
        database: HubDatabase,
        keyring: Keyring,
        audit: AuditLog,
        catalog: Catalog,
        handovers: Handovers,
        endpoint: Callable[[Session, End], Endpoint],
    ) -> None:
        self._settings = settings
        self._database = database
        self._keyring = keyring
        self._audit = audit
        self._catalog = catalog
        self._handovers = handovers
        self._endpoint = endpoint

    # --- ordering ------------------------------------------------------------------------------

    def concerned(self, session: Session, *, grant: str | None = None, exchange: str | None = None) -> list[RunRow]:
        """The runs that delivered something under a grant or of an exchange, or may have, oldest first."""
        passed = select(UsageRow.delivery)
        query = (
            select(RunRow)
            .join(ExchangeRow, ExchangeRow.id == RunRow.exchange)
            .where(
                or_(
                    RunRow.state.in_((*DELIVERED, RunState.COMMITTING)),
                    and_(RunRow.state.in_(_DOUBTFUL), RunRow.delivery.in_(passed)),
                )
            )
        )
        if grant is not None:
            query = query.where(ExchangeRow.grant == grant)
        if exchange is not None:
            query = query.where(RunRow.exchange == exchange)
        runs = session.scalars(query.order_by(RunRow.started_at, RunRow.id))
        return [run for run in runs if run.state not in DELIVERED or (run.counts or {}).get("written")]

    def reaches(self, session: Session, end: End) -> bool:
        """Whether a notice can be put at an end; one that cannot be opened now is taken for such a place."""
        try:
            return self._endpoint(session, end).capabilities.recalls
        except (HubError, CatalogError):
            return True

    def handed(self, session: Session, run: RunRow) -> list[RecalledDocument]:
        """The documents that a run delivered, or is delivering or may have."""
        return self._handovers.handed(session, run)

    def meant(self, session: Session, run: RunRow, name: str) -> list[RecalledDocument]:
        """Those of them that somebody means, who writes the name as in the drop, with its folder or without."""
        folder, slash, bare = name.rpartition("/")
        # The folder is called like the data file beside it; which is not known while that is not known to be there.
        place = self._place(session, run.id)
        if slash and place is not None and not place.startswith(f"{folder}.") and not folder.startswith(f"{place}."):
            return []
        return [each for each in self.handed(session, run) if each.name == bare]

    def order(
        self, session: Session, run: RunRow, *, documents: Sequence[RecalledDocument] = (), reason: str, by: Actor
    ) -> str | None:
        """Note in the caller's transaction that a run's delivery is called back.

        Args:
            session: The caller's.
            run: The run.
            documents: Of those that it delivered, the ones that are meant; none: everything.
            reason: Why; the recipient reads it.
            by: Who orders it.

        Returns:
            Id of the recall; None: the same is called back already, and was not refused.
        """
        plan = Plan(**run.plan)
        earlier = select(RecallRow).where(RecallRow.run == run.id, RecallRow.state.not_in(("kept", "partly", "void")))
        for row in session.scalars(earlier):
            known = {each["name"] for each in row.documents}
            if not known or (documents and {each.name for each in documents} <= known):
                return None
        moment = now(session)
        name = f"{moment:%Y%m%d}-{secrets.token_hex(6)}"
        session.add(
            RecallRow(
                id=name,
                run=run.id,
                exchange=run.exchange,
                grant=plan.grant,
                provider=plan.provider,
                recipient=plan.recipient,
                endpoint=plan.target.endpoint,
                place=self._place(session, run.id) or "",
                documents=[asdict(each) for each in documents],
                reason=reason,
                ordered_by=by.name,
                department=by.department,
                state=RecallState.OWED.value,
                ordered_at=moment,
                until=moment + timedelta(days=self._settings.answers.recall_days),
                due_at=moment,
                attempts=0,
            )
        )
        session.flush()
        event = events.RecallOrdered(
            recall=name, grant=plan.grant, delivery=run.delivery, documents=len(documents), reason=reason
        )
        self._record(session, event, plan, run.id, by)
        return name

    def _place(self, session: Session, run: str) -> str | None:
        """What a delivery is called at its recipient, from its receipt."""
        body = session.scalar(select(ReceiptRow.body).where(ReceiptRow.run == run))
        return None if body is None else str(body["acknowledgement"]["place"])

    # --- carrying out --------------------------------------------------------------------------

    def collect(self, *, by: Actor) -> int:
        """See to every recall whose time has come; one whose recipient cannot be reached is seen to again later.

        Returns:
            How many came further.
        """
        with self._database.reading() as session:
            due = select(RecallRow.id).where(RecallRow.due_at <= now(session))
            names = session.scalars(due.order_by(RecallRow.due_at, RecallRow.id)).all()
        return sum(self.attend(name, by=by) for name in names)

    def attend(self, name: str, *, by: Actor) -> bool:
        """Put the notice of a recall in place if it is not there, else look for the answer; repeatable.

        What goes wrong is noted with the recall, and it is seen to again later.

        Returns:
            Whether it came further.
        """
        with self._database.reading() as session:
            row = session.get_one(RecallRow, name)
            run = session.get_one(RunRow, row.run)
            plan = Plan(**run.plan)
            place = self._place(session, run.id)
        if row.state in _ENDED:
            return False
        try:
            with self._sink(plan) as sink:
                if row.state != RecallState.OWED:
                    with translated(f"目标端 {row.endpoint}"):
                        answer = sink.recalled(name)
                    return self._heard(name, plan, answer, by)
                if place is None and run.state not in UNFINISHED:
                    # It ended in doubt: the place itself knows whether it was delivered.
                    with translated(f"目标端 {row.endpoint}"):
                        kept = sink.settled(run.delivery)
                    place = kept.place if kept else ""
                if place is None:
                    return self._later(name, None, by)
                if not place:
                    return self._void(name, plan, run, by)
                with translated(f"目标端 {row.endpoint}"):
                    notice = sink.recall(self._recall(row, run, plan, place))
            return self._notified(name, plan, place, notice, by)
        except HubError as error:
            return self._later(name, error, by)

    def words(self, row: RecallRow) -> RecallWords | None:
        """What the recipient says of a recall.

        Raises:
            Tampered: It is not as it was sealed.
        """
        if row.words is None:
            return None
        return RecallWords(**json.loads(unseal(row.words, self._key(row.id)).get_secret_value()))

    def _key(self, name: str) -> bytes:
        return self._keyring.derive("recall", name)

    def _sink(self, plan: Plan) -> Sink:
        try:
            with self._database.reading() as session:
                demand_awake(session, plan.target.endpoint)
                endpoint = self._endpoint(session, plan.target)
        except UnknownEntry as error:
            raise Unknown(error.message, remedy=error.remedy) from error
        with translated(f"目标端 {plan.target.endpoint}"):
            return endpoint.sink(binding(plan.target, plan.key, plan.version))

    def _recall(self, row: RecallRow, run: RunRow, plan: Plan, place: str) -> Recall:
        with self._database.reading() as session:
            # What is meant by everything, the hub's own books tell: what lies in the drop, others may have written.
            documents = [RecalledDocument(**each) for each in row.documents] or self.handed(session, run)
            subject = self._catalog.resource(session, plan.resource, version=plan.resource_version).resource.name
            department = self._catalog.department(session, row.department).name
        return Recall(
            id=row.id,
            key=run.delivery,
            place=place,
            subject=subject,
            documents=tuple(documents),
            whole=not row.documents,
            reason=row.reason,
            by=department,
            delivered=run.ended_at or run.started_at,
            at=row.ordered_at,
            until=row.until,
        )

    def _notified(self, name: str, plan: Plan, place: str, notice: str, by: Actor) -> bool:
        with self._database.transaction() as session:
            row = session.get_one(RecallRow, name, with_for_update=True)
            row.attempts += 1
            row.error = None
            if row.state != RecallState.OWED:
                return False  # somebody else was at it too, and put the very same there
            moment = now(session)
            row.state = RecallState.NOTIFIED.value
            row.place = place
            row.notified_at = moment
            row.due_at = moment + SOON
            self._record(session, events.RecallNotified(recall=name, notice=notice), plan, row.run, by)
        return True

    def _heard(self, name: str, plan: Plan, answer: RecallAnswer | None, by: Actor) -> bool:
        """Keep an answer, or note that there is none; the provider is told of either, once."""
        with self._database.transaction() as session:
            row = session.get_one(RecallRow, name, with_for_update=True)
            moment = now(session)
            row.attempts += 1
            row.error = None
            before, said = row.state, self._words_of(answer)
            changed = answer is not None and (answer.state != before or said != self.words(row))
            if answer is not None and changed:
                row.state = RecallState(answer.state).value
                row.words = seal(json.dumps(vars(said), ensure_ascii=False), self._key(name)) if said else None
                row.answered_at = moment
                if row.state == RecallState.DESTROYED:
                    self._handovers.destroyed(session, row.run, [each["name"] for each in row.documents])
                self._record(session, events.RecallAnswered(recall=name, state=answer.state), plan, row.run, by)
                self._tell(session, row, plan, _SAID[answer.state], moment, by)
            elif answer is None and before == RecallState.NOTIFIED and moment >= row.until:
                changed = True
                row.state = RecallState.UNANSWERED.value
                self._record(session, events.RecallUnanswered(recall=name), plan, row.run, by)
                self._tell(session, row, plan, "逾期没有答复", moment, by)
            self._again(row, moment)
        return changed

    def _words_of(self, answer: RecallAnswer | None) -> RecallWords | None:
        if answer is None:
            return None
        found = RecallWords(legible(answer.reason), legible(answer.by))
        return found if found.reason or found.by else None

    def _tell(self, session: Session, row: RecallRow, plan: Plan, what: str, moment: datetime, by: Actor) -> None:
        """Notify the provider, and whoever else called it back; the words themselves are looked up."""
        name = self._catalog.resource(session, plan.resource, version=plan.resource_version).resource.name
        text = f"撤回《{name}》的 {row.place}：接收方{what}（撤回 {row.id}，用 shutong files recalls 查看）"
        for department in sorted({row.provider, row.department}):
            session.add(NoticeRow(department=department, run=row.run, text=text, at=moment))
            self._record(session, events.NoticeIssued(department=department), plan, row.run, by)

    def _void(self, name: str, plan: Plan, run: RunRow, by: Actor) -> bool:
        with self._database.transaction() as session:
            row = session.get_one(RecallRow, name, with_for_update=True)
            if row.state != RecallState.OWED:
                return False
            row.attempts += 1
            row.error = None
            row.state = RecallState.VOID.value
            row.due_at = None
            self._record(session, events.RecallVoided(recall=name, state=run.state), plan, row.run, by)
        return True

    def _later(self, name: str, error: HubError | None, by: Actor) -> bool:
        with self._database.transaction() as session:
            row = session.get_one(RecallRow, name, with_for_update=True)
            row.attempts += 1
            row.error = error.message if error else None
            moment = now(session)
            if error is not None and row.state == RecallState.NOTIFIED and moment >= row.until:
                # What cannot be read or reached must not keep the provider from hearing that the time is over.
                plan = Plan(**session.get_one(RunRow, row.run).plan)
                row.state = RecallState.UNANSWERED.value
                self._record(session, events.RecallUnanswered(recall=name), plan, row.run, by)
                self._tell(session, row, plan, "逾期没有可读的答复", moment, by)
            self._again(row, moment)
        return False

    def _again(self, row: RecallRow, moment: datetime) -> None:
        """When it is seen to next: as long again as it has been, and soon after the time to answer is over."""
        if row.state in _ENDED:
            row.due_at = None
            return
        if row.state != RecallState.OWED and moment > row.until + timedelta(days=self._settings.answers.days):
            row.due_at = None
            return
        age = moment - (row.notified_at or row.ordered_at)
        due = moment + min(max(age, SOON), SELDOM)
        row.due_at = min(due, row.until) if moment < row.until else due

    def _record(self, session: Session, event: events.Event, plan: Plan, run: str, by: Actor) -> None:
        about: dict[str, Any] = {
            "resource": plan.resource, "exchange": plan.exchange, "run": run, "department": plan.recipient,
        }  # fmt: skip
        self._audit.record(session, event, by=by, **about)
