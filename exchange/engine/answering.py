"""Answers (处理结果): what recipients' own systems made of delivered rows, read back and added to the receipt.

With the promotion of a delivery whose target keeps states it is owed that the recipient is asked. That is paid by
``run --due`` or on demand, first soon and then ever more seldom, until no row is unread or too much time has gone by.
What was found becomes an addendum to the receipt only where it differs from the last one.

The error texts are a stranger's words about people: they and the keys lie in the vault, those of the last addendum
only; the hub's database holds counts and a keyed digest.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from adapters import ERROR_CHARACTERS, Acknowledgement, Answers, Endpoint
from catalog import Catalog
from catalog.errors import UnknownEntry
from exchange.audit import AuditLog, events
from exchange.checks import key_hashes
from exchange.db import HubDatabase, alone, now
from exchange.db.tables import AddendumRow, AnswerRow, HandoverRow, NoticeRow, OwedRow, RunRow
from exchange.engine.handovers import Handovers
from exchange.engine.legible import legible
from exchange.engine.opening import binding, translated
from exchange.engine.pauses import demand_awake
from exchange.errors import Busy, HubError, Misplaced, Tampered, Unknown
from exchange.identity import Actor
from exchange.plan import End, Plan
from exchange.receipts import addenda, append, receipt
from exchange.secrets import Keyring, Vault
from exchange.settings import Settings

KIND = "answers"
"""Kind of the debt."""
FILES = "answers-"
"""Names of the files in the vault begin so."""
SOON, SELDOM = timedelta(minutes=5), timedelta(days=1)
"""How long after a delivery it is asked for the first time, and between two questions at most."""


@dataclass(frozen=True)
class FailedRow:
    """A delivered row that its recipient could not use, as it is kept.

    Attributes:
        number: Its place in the list, from 1.
        key: Its business key at the recipient, by item.
        key_hash: Keyed hash of that.
        text: What the recipient's system says, without what steers a terminal; None: nothing.
    """

    number: int
    key: dict[str, str | None]
    key_hash: str
    text: str | None


def owe(session: Session, run: RunRow, plan: Plan, acknowledged: Acknowledgement, moment: datetime) -> None:
    """Note, with the promotion, that the recipient is to be asked; nothing where it cannot be."""
    written = acknowledged.written - acknowledged.deleted
    if acknowledged.stamped is not None:
        written = acknowledged.stamped
    if not acknowledged.stamp or not written:
        return
    session.add(OwedRow(run=run.id, kind=KIND))
    session.add(
        AnswerRow(
            run=run.id,
            endpoint=plan.target.endpoint,
            object=plan.target.object,
            stamp=acknowledged.stamp,
            rows=written,
            delivered_at=moment,
            due_at=moment + SOON,
        )
    )


class Answering:
    """Asks recipients and keeps what they answer; who may do so is decided above."""

    def __init__(
        self,
        *,
        settings: Settings,
        database: HubDatabase,
        keyring: Keyring,
        audit: AuditLog,
        catalog: Catalog,
        vault: Vault,
        handovers: Handovers,
        endpoint: Callable[[Session, End], Endpoint],
    ) -> None:
        self._settings = settings
        self._database = database
        self._keyring = keyring
        self._audit = audit
        self._catalog = catalog
        self._vault = vault
        self._handovers = handovers
        self._endpoint = endpoint
        self._key = keyring.derive("receipt")

    def collect(self, *, by: Actor) -> int:
        """Ask every recipient whose time has come; one that cannot be reached is asked again later.

        What is older than the time of retention is removed, and files that belong to nothing.

        Returns:
            How many were asked and answered.
        """
        self._expire(by)
        owed = select(OwedRow.run).join(AnswerRow, AnswerRow.run == OwedRow.run)
        with self._database.reading() as session:
            owed = owed.where(OwedRow.kind == KIND, OwedRow.done_at.is_(None), AnswerRow.due_at <= now(session))
            runs = session.scalars(owed.order_by(AnswerRow.due_at, OwedRow.run)).all()
        asked = 0
        for run in runs:
            try:
                self.ask(run, by=by)
            except HubError:
                continue  # noted with the debt
            asked += 1
        return asked

    def ask(self, run: str, *, by: Actor) -> bool:
        """Ask the recipient of a delivery now, and keep what is new.

        Returns:
            Whether anything was.

        Raises:
            Misplaced: The place cannot be asked, or nothing was written.
            Failed: It cannot be reached.
            Invalid: The table is not what it was.
        """
        with self._database.reading() as session:
            answer = session.get(AnswerRow, run)
            if answer is None:
                raise Misplaced(
                    f"批次 {run} 的处理结果无从得知",
                    remedy="目标端是带状态列和写入时间列的前置库表，或是文件目录，且这次交付写入了行，才能读回处理结果",
                )
            plan = Plan(**session.get_one(RunRow, run).plan)
            others = self._sharing(session, answer)
        try:
            found = self._found(plan, answer.stamp)
        except HubError as error:
            self._note(run, error)
            raise
        with self._database.reading() as session:
            found = self._handovers.believed(session, run, found)
        rows = self._failed(plan, found)
        expected = answer.rows + sum(other.rows for other in others)
        total = found.new + found.done + (found.failed or 0) + found.other
        said = {
            "counts": {
                "new": found.new,
                "done": found.done,
                "failed": found.failed,
                "other": found.other,
                "gone": max(expected - total, 0),
            },
            "rows": len(rows),
            "content": self._content(rows),
            "shared_with": sorted(other.run for other in others),
            "advice": list(found.advice),
        }
        return self._keep(run, plan, said, rows, by, found)

    def look(self, session: Session, run: str) -> list[AddendumRow]:
        """The addenda of a delivery's receipt.

        Raises:
            Tampered: Receipt or addenda are not as they were written.
        """
        return addenda(session, receipt(session, run, key=self._key), key=self._key)

    def rows(self, addendum: AddendumRow) -> list[FailedRow]:
        """The failed rows of an addendum; empty where they are not kept any more.

        Raises:
            Tampered: They are not as they were written.
        """
        if addendum.file is None:
            return []
        rows = [FailedRow(**each) for each in json.loads(b"".join(self._vault.read(addendum.file)))]
        if not hmac.compare_digest(self._content(rows), str(addendum.body.get("content"))):
            raise Tampered(f"加密文件 {addendum.file} 与回执附录不符", remedy="保全现场，从备份恢复该文件")
        return rows

    # --- asking --------------------------------------------------------------------------------

    def _sharing(self, session: Session, answer: AnswerRow) -> Sequence[AnswerRow]:
        """Other deliveries into the same table whose rows bear the same time: they cannot be told apart."""
        same = select(AnswerRow).where(AnswerRow.endpoint == answer.endpoint, AnswerRow.stamp == answer.stamp)
        return session.scalars(same.where(AnswerRow.object == answer.object, AnswerRow.run != answer.run)).all()

    def _found(self, plan: Plan, stamp: str) -> Answers:
        try:
            with self._database.reading() as session:
                demand_awake(session, plan.target.endpoint)
                endpoint = self._endpoint(session, plan.target)
        except UnknownEntry as error:
            raise Unknown(error.message, remedy=error.remedy) from error
        target = binding(plan.target, plan.key, plan.version)
        with translated(f"目标端 {plan.target.endpoint}"), endpoint.sink(target) as sink:
            found = sink.answers(stamp, rows=self._settings.answers.rows)
        if found is None:
            remedy = "核对前置库表族是否改过，或文件目录的台账 .shutong 是否还在"
            raise Misplaced(f"目标端 {plan.target.endpoint} 没有可读的处理结果", remedy=remedy)
        return found

    def _failed(self, plan: Plan, found: Answers) -> list[FailedRow]:
        """The failed rows, and after them the documents that were refused."""
        rows = self._failed_rows(plan, found)
        for each in found.documents[: self._settings.answers.rows]:
            name, text = legible(each.name), legible(each.text)
            told = f"附件 {name}：{text}" if text else f"附件 {name}"
            rows.append(FailedRow(len(rows) + 1, {}, "", told[:ERROR_CHARACTERS]))
        return rows

    def _failed_rows(self, plan: Plan, found: Answers) -> list[FailedRow]:
        if not found.rows:
            return []
        columns = [pa.array(values, pa.string()) for values in zip(*(row.key for row in found.rows), strict=True)]
        batch = pa.RecordBatch.from_arrays(columns, names=list(plan.key))
        hashes = key_hashes(batch, plan.key, self._keyring.derive("quarantine", plan.resource))
        return [
            FailedRow(number, dict(zip(plan.key, row.key, strict=True)), key_hash, legible(row.text))
            for number, (row, key_hash) in enumerate(zip(found.rows, hashes, strict=True), 1)
        ]

    def _content(self, rows: Sequence[FailedRow]) -> str:
        """Keyed digest of the failed rows: what stands in them is personal data, and so would a plain one be."""
        return hmac.new(self._keyring.derive("answers"), _written(rows), hashlib.sha256).hexdigest() if rows else ""

    # --- keeping -------------------------------------------------------------------------------

    def _keep(
        self, run: str, plan: Plan, said: dict[str, Any], rows: Sequence[FailedRow], by: Actor, found: Answers
    ) -> bool:
        with self._database.transaction() as session:
            # Nobody else adds to a receipt, or sweeps a file away that is not named yet.
            alone(session, KIND)
            of = receipt(session, run, key=self._key)
            before = addenda(session, of, key=self._key)
            moment = now(session)
            old = before[-1] if before else None
            # What was expired is not kept again: the recipient has it.
            changed = old is None or any(old.body[name] != value for name, value in said.items())
            if changed:
                file = self._sealed(run, rows)
                added = append(session, of, said, key=self._key, file=file, at=moment)
                for each in before:
                    each.file = None
                counts = {name: count for name, count in said["counts"].items() if count is not None}
                event = events.AnswersReceived(
                    receipt=of.id, number=added.number, digest=added.digest, counts=counts, rows=len(rows)
                )
                self._record(session, event, plan, run, by)
            self._handovers.answered(session, run, found)
            self._settle(session, run, plan, found.new, moment, by, more=found.more)
        if changed and old is not None:
            self._sweep()
        return changed

    def _sealed(self, run: str, rows: Sequence[FailedRow]) -> str | None:
        """Whole and on disk before the transaction that names it ends; one that nobody names is swept away."""
        if not rows:
            return None
        name = f"{FILES}{run}-{secrets.token_hex(8)}"
        with self._vault.write(name) as writer:
            writer.append(_written(rows))
        return name

    def _settle(
        self, session: Session, run: str, plan: Plan, unread: int, moment: datetime, by: Actor, *, more: bool
    ) -> None:
        """The debt is paid when nothing is unread any more; else the recipient is told, once, and asked later.

        Whoever has the rows and has more to say of them is asked later too.
        """
        answer = session.get_one(AnswerRow, run, with_for_update=True)
        debt = self._debt(session, run)
        debt.attempts += 1
        debt.error = None
        if not unread:
            if more:
                self._later(answer, debt, moment)
            else:
                debt.done_at = debt.done_at or moment
            return
        hours = self._settings.answers.unread_hours
        overdue = answer.delivered_at + timedelta(hours=hours)
        if moment >= overdue and answer.noticed_at is None:
            answer.noticed_at = moment
            name = self._catalog.resource(session, plan.resource, version=plan.resource_version).resource.name
            text = f"《{name}》送达的行有 {unread} 行超过 {hours:g} 小时没有读取，或没有回执（批次 {run}）"
            session.add(NoticeRow(department=plan.recipient, run=run, text=text, at=moment))
            self._record(session, events.NoticeIssued(department=plan.recipient), plan, run, by)
        self._later(answer, debt, moment, overdue)

    def _later(self, answer: AnswerRow, debt: OwedRow, moment: datetime, overdue: datetime | None = None) -> None:
        """As long again as it has been, so that an old delivery costs little."""
        age = moment - answer.delivered_at
        if age > timedelta(days=self._settings.answers.days):
            debt.done_at = debt.done_at or moment
            return
        answer.due_at = moment + min(max(age, SOON), SELDOM)
        if overdue is not None and moment < overdue:
            answer.due_at = min(answer.due_at, overdue)

    def _note(self, run: str, error: HubError) -> None:
        """What went wrong, with the debt; somebody else being at it is nothing wrong."""
        if isinstance(error, Busy):
            return
        with self._database.transaction() as session:
            answer = session.get_one(AnswerRow, run, with_for_update=True)
            debt = self._debt(session, run)
            debt.attempts += 1
            debt.error = error.message
            self._later(answer, debt, now(session))

    def _debt(self, session: Session, run: str) -> OwedRow:
        return session.scalars(select(OwedRow).where(OwedRow.run == run, OwedRow.kind == KIND).with_for_update()).one()

    def _record(self, session: Session, event: events.Event, plan: Plan, run: str, by: Actor) -> None:
        about = {"resource": plan.resource, "exchange": plan.exchange, "run": run, "department": plan.recipient}
        self._audit.record(session, event, by=by, **about)

    # --- removing ------------------------------------------------------------------------------

    def _expire(self, by: Actor) -> None:
        with self._database.transaction() as session:
            alone(session, KIND)
            oldest = now(session) - timedelta(days=self._settings.retention.quarantine_days)
            old = (AddendumRow.file.is_not(None), AddendumRow.at < oldest)
            rows = sum(int(body["rows"]) for body in session.scalars(select(AddendumRow.body).where(*old)))
            if rows:
                runs = select(AddendumRow.run).where(*old)
                session.execute(update(HandoverRow).where(HandoverRow.run.in_(runs)).values(reason=None))
                session.execute(update(AddendumRow).where(*old).values(file=None))
                self._audit.record(session, events.AnswersExpired(rows=rows), by=by)
        self._sweep()

    def _sweep(self) -> None:
        """Remove files that no addendum names: replaced, expired, or written by who died before he could name them."""
        if not any(name.startswith(FILES) for name in self._vault.names()):
            return
        with self._database.transaction() as session:
            alone(session, KIND)
            named = set(session.scalars(select(AddendumRow.file).where(AddendumRow.file.is_not(None))))
            for name in self._vault.names():
                if name.startswith(FILES) and name not in named:
                    self._vault.remove(name)


def _written(rows: Sequence[FailedRow]) -> bytes:
    return json.dumps([asdict(row) for row in rows], ensure_ascii=False).encode("utf-8")
