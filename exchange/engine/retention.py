"""Retention (留存): the content of refused rows is kept for so long and then removed; what was wrong stays known.

What is removed is first noted as owed in the transaction that says so in the log; the files go after it,
again and again until they are gone.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from exchange.audit import AuditLog, events
from exchange.db import HubDatabase, alone, now
from exchange.db.tables import OwedRow, QuarantineRow, RunRow
from exchange.engine.quarantine import REPAIR, RowState
from exchange.engine.states import UNFINISHED
from exchange.identity import Actor
from exchange.secrets import Vault

_REMOVED = (RowState.OPEN.value, RowState.STOPPED.value)
"""States of rows of which nothing can become without their content."""


class Retention:
    """Removes what has been kept long enough.

    Args:
        database: The hub's own.
        vault: Where manifests and corrections lie.
        audit: The log.
        days: How long contents are kept after the end of the run that refused them.
    """

    def __init__(self, database: HubDatabase, vault: Vault, audit: AuditLog, *, days: int) -> None:
        self._database = database
        self._vault = vault
        self._audit = audit
        self._days = days

    def expire(self, *, by: Actor) -> int:
        """Remove the contents of rows refused too long ago, and corrections that belong to no row any more.

        A run that is not at its end keeps its manifest, and so does one with a row that was corrected and waits
        to be replayed, or that a replay has in hand.

        Returns:
            How many rows lost their content.
        """
        with self._database.transaction() as session:
            # No correction is being written meanwhile.
            alone(session, "quarantine")
            removed = self._note(session, by)
            self._sweep(session)
        self._pay()
        return removed

    def _note(self, session: Session, by: Actor) -> int:
        unfinished = select(RunRow.id).where(RunRow.state.in_(UNFINISHED))
        needed = select(QuarantineRow.run).where(
            (QuarantineRow.state == RowState.REPAIRED.value) | QuarantineRow.replay.in_(unfinished)
        )
        noted = select(OwedRow.run).where(OwedRow.kind == "expire")
        refusing = select(QuarantineRow.run)
        aged = select(RunRow.id).where(
            RunRow.manifest.is_not(None),
            RunRow.state.not_in(UNFINISHED),
            RunRow.ended_at < now(session) - timedelta(days=self._days),
            RunRow.id.in_(refusing),
            RunRow.id.not_in(needed),
            RunRow.id.not_in(noted),
        )
        removed = 0
        for run in session.scalars(aged.order_by(RunRow.id)).all():
            held = select(QuarantineRow.number).where(QuarantineRow.run == run, QuarantineRow.file.is_not(None))
            removed += len(session.scalars(held.distinct()).all())
            rows = update(QuarantineRow).where(QuarantineRow.run == run, QuarantineRow.state.in_(_REMOVED))
            session.execute(rows.values(state=RowState.EXPIRED.value))
            session.add(OwedRow(run=run, kind="expire"))
        if removed:
            self._audit.record(session, events.QuarantineExpired(rows=removed), by=by)
        return removed

    def _sweep(self, session: Session) -> None:
        """Corrections that were replaced, or whose writer died before it could say that they are there."""
        there = {name for name in self._vault.names() if name.startswith(REPAIR)}
        if there:
            named = session.scalars(select(QuarantineRow.repair).where(QuarantineRow.repair.is_not(None)))
            for name in there.difference(map(str, named)):
                self._vault.remove(name)

    def _pay(self) -> None:
        """Remove the files of what is noted as expired."""
        owed = select(OwedRow.run).where(OwedRow.kind == "expire", OwedRow.done_at.is_(None))
        with self._database.reading() as session:
            runs = session.scalars(owed.order_by(OwedRow.id)).all()
        for run in runs:
            with self._database.reading() as session:
                row = session.get_one(RunRow, run)
                repairs = select(QuarantineRow.repair).where(QuarantineRow.run == run)
                files = {row.manifest, *session.scalars(repairs)} - {None}
            for name in sorted(map(str, files)):
                self._vault.remove(name)
            with self._database.transaction() as session:
                session.execute(update(QuarantineRow).where(QuarantineRow.run == run).values(file=None, repair=None))
                session.get_one(RunRow, run).manifest = None
                debt = session.scalars(select(OwedRow).where(OwedRow.run == run, OwedRow.kind == "expire")).one()
                debt.attempts += 1
                debt.done_at = now(session)
