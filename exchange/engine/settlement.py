"""Paying what is owed after a delivery: status back to the source, notification, tidying.

Each debt is a row written with the promotion; it is paid again and again until done, so every
payment is repeatable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session

from adapters import AdapterError, Claim, Outcome, Settled, Sink, Source
from catalog import Catalog
from exchange.audit import AuditLog, events
from exchange.checks import KEPT
from exchange.db import HubDatabase, now
from exchange.db.tables import NoticeRow, OwedRow, QuarantineRow, ReceiptRow, RunRow
from exchange.engine.manifest import Manifest
from exchange.engine.opening import translated
from exchange.engine.parts import Parts
from exchange.engine.passage import delivered_schema
from exchange.engine.states import RunState, moved
from exchange.identity import Actor
from exchange.plan import Plan


class Settlement:
    """Pays the debts of one run at a time."""

    def __init__(self, database: HubDatabase, audit: AuditLog, catalog: Catalog, parts: Parts) -> None:
        self._database = database
        self._audit = audit
        self._catalog = catalog
        self._parts = parts

    def pay(self, run: str, plan: Plan, source: Source, sink: Sink, manifest: Manifest, *, by: Actor) -> None:
        """Pay what is owed for a run, then call it settled.

        Raises:
            Failed: A side could not be reached; what was paid stays paid, the rest is still owed.
        """
        with self._database.reading() as session:
            owed = set(session.scalars(select(OwedRow.kind).where(OwedRow.run == run, OwedRow.done_at.is_(None))))
            row = session.get_one(RunRow, run)
            claim = Claim(key=row.delivery, exchange=row.exchange, epoch=row.stage_epoch or row.epoch)
            refused = self._refusals(session, run)
            settled = self._settled(session, run, plan)
        if "settle" in owed:
            told = outcomes(manifest, refused)
            self._attempt(run, "settle", lambda: source.settle(told, settled), plan.source.endpoint)
        if "notify" in owed:
            self._notify(run, plan, by)
        if "tidy" in owed:
            self._attempt(run, "tidy", lambda: self._tidied(row, claim, plan, sink), plan.target.endpoint)
        with self._database.transaction() as session:
            row = session.get_one(RunRow, run, with_for_update=True)
            if row.state == RunState.COMMITTED:
                row.state = moved(row.state, RunState.SETTLED)
                self._audit.record(
                    session, events.RunSettled(), by=by, resource=plan.resource, exchange=plan.exchange, run=run
                )

    def _tidied(self, run: RunRow, claim: Claim, plan: Plan, sink: Sink) -> None:
        schema = delivered_schema(plan)
        sink.resume(claim, schema).abort()
        self._parts.remove(run, sink, schema)

    def _settled(self, session: Session, run: str, plan: Plan) -> Settled | None:
        """What the provider may be told of the run itself.

        A grant that is served straight from the provider's place has no receipt there: there may be many such
        grants, their receipts would lie over one another, and each would tell of a recipient.
        """
        if plan.kind != "synchronisation":
            return None
        receipt = session.scalars(select(ReceiptRow).where(ReceiptRow.run == run)).one()
        return Settled(run=run, receipt=receipt.id, at=receipt.issued_at)

    def _refusals(self, session: Session, run: str) -> dict[int, str]:
        """Reasons by number of the row read: all reasons of a row in one sentence."""
        found: dict[int, str] = {}
        rows = session.execute(
            select(QuarantineRow.number, QuarantineRow.reason)
            .where(QuarantineRow.run == run, QuarantineRow.rule.not_in(KEPT))
            .order_by(QuarantineRow.id)
        )
        for number, reason in rows:
            found[number] = f"{found[number]}；{reason}" if number in found else reason
        return found

    def _attempt(self, run: str, kind: str, payment: Callable[[], object], endpoint: str) -> None:
        """Pay one debt; a failure is noted with the debt and raised."""
        try:
            payment()
        except AdapterError as error:
            with self._database.transaction() as session:
                debt = self._debt(session, run, kind)
                debt.attempts += 1
                debt.error = error.message
            with translated(f"端点 {endpoint}"):
                raise
        with self._database.transaction() as session:
            debt = self._debt(session, run, kind)
            debt.attempts += 1
            debt.error = None
            debt.done_at = now(session)

    def _debt(self, session: Session, run: str, kind: str) -> OwedRow:
        return session.scalars(select(OwedRow).where(OwedRow.run == run, OwedRow.kind == kind).with_for_update()).one()

    def _notify(self, run: str, plan: Plan, by: Actor) -> None:
        """Tell the recipient what came, and the provider what was refused, in the same breath as the debt."""
        with self._database.transaction() as session:
            debt = self._debt(session, run, "notify")
            if debt.done_at is not None:
                return
            counts = session.get_one(RunRow, run).counts or {}
            name = self._catalog.resource(session, plan.resource, version=plan.resource_version).resource.name
            notices = [(plan.recipient, f"《{name}》送达 {counts['written']} 行（其中删除 {counts['deleted']} 行）")]
            if counts["refused"]:
                notices.append((plan.provider, f"《{name}》有 {counts['refused']} 行被拒收，请核对后重报"))
            for department, text in notices:
                session.add(NoticeRow(department=department, run=run, text=text, at=now(session)))
                event = events.NoticeIssued(department=department)
                self._audit.record(session, event, by=by, exchange=plan.exchange, run=run, department=department)
            debt.attempts += 1
            debt.done_at = now(session)


def outcomes(manifest: Manifest, refused: dict[int, str]) -> Iterator[Outcome]:
    """What each file and each row read is to be told, from the durable manifest."""
    for page in manifest.files():
        for file in page:
            if file.reference:
                yield Outcome(file.reference, file.reason)
    for batch in manifest.rows():
        for number, reference in zip(
            batch.column("number").to_pylist(), batch.column("reference").to_pylist(), strict=True
        ):
            yield Outcome(reference, refused.get(number))
    told = set()
    for batch in manifest.refused():
        for number, reference in zip(
            batch.column("number").to_pylist(), batch.column("reference").to_pylist(), strict=True
        ):
            if number not in told:
                told.add(number)
                yield Outcome(reference, refused.get(number))
