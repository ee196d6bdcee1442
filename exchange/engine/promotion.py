"""Promotion of a committed delivery in the hub's own books, in one hub transaction.

Position, receipt, event, quarantine and everything still owed become true together, or not at all.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from adapters import Acknowledgement, RefusedRow
from catalog import Catalog
from exchange.audit import AuditLog, events
from exchange.authorisation import Authorisation
from exchange.db import now
from exchange.db.tables import ExchangeRow, GrantRow, OwedRow, QuarantineRow, RunRow
from exchange.engine import dispatch
from exchange.engine.answering import owe
from exchange.engine.files import FileBooks
from exchange.engine.handovers import Handovers
from exchange.engine.manifest import Header, Manifest
from exchange.engine.quarantine import RowState
from exchange.engine.replay import Replays, origin
from exchange.identity import Actor
from exchange.plan import Plan
from exchange.receipts import issue, receipt_body
from exchange.secrets import Keyring
from exchange.settings import Settings


def conflicts(manifest: Manifest, rows: Iterable[RefusedRow]) -> dict[int, tuple[str, int, str, str]]:
    """Rows the target refused: staged number to (reference, number read, rule, reason)."""
    refused = {row.row: row for row in rows}
    if not refused:
        return {}
    wanted = pa.array(list(refused), pa.int64())
    found = {}
    for batch in manifest.rows():
        hit = batch.filter(pc.is_in(batch.column("staged"), value_set=wanted))
        for row in hit.to_pylist():
            why = refused[row["staged"]]
            found[row["staged"]] = (row["reference"], row["number"], why.rule, why.reason)
    return found


_QUARANTINE = QuarantineRow.metadata.tables[QuarantineRow.__tablename__]
"""As a table: so many rows are no objects."""


class Promotion:
    """Writes what a committed delivery means for the hub."""

    def __init__(
        self,
        settings: Settings,
        keyring: Keyring,
        audit: AuditLog,
        authorisation: Authorisation,
        replays: Replays,
        handovers: Handovers,
        files: FileBooks,
        catalog: Catalog,
    ) -> None:
        self._handovers = handovers
        self._settings = settings
        self._catalog = catalog
        self._replays = replays
        self._files = files
        self._keyring = keyring
        self._audit = audit
        self._authorisation = authorisation

    def promote(
        self,
        session: Session,
        run: RunRow,
        plan: Plan,
        manifest: Manifest,
        header: Header,
        acknowledged: Acknowledgement,
        counts: dict[str, int],
        head: str,
        by: Actor,
    ) -> None:
        """Write position, receipt, quarantine, usage, event and what is owed."""
        moment = now(session)
        refused = conflicts(manifest, acknowledged.refused)
        report = dict(header.report)
        for _, _, rule, _ in refused.values():
            report[rule] = report.get(rule, 0) + 1
        body = receipt_body(
            plan,
            run=run.id,
            delivery=run.delivery,
            manifest=run.manifest_digest or "",
            counts=counts,
            report=report,
            content=header.content,
            acknowledged_at=acknowledged.at,
            place=acknowledged.place,
            head=head,
            refreshing=acknowledged.refreshing,
        )
        receipt = issue(session, body, key=self._keyring.derive("receipt"), at=moment)
        run.counts = counts
        run.ended_at = moment
        exchange = session.get_one(ExchangeRow, run.exchange)
        if not plan.aside:  # a replay or a resend leaves the reading of the source where it is
            exchange.position = run.after
            exchange.shape = plan.shape()
        exchange.last_delivery = run.delivery
        self._authorisation.settle_usage(session, run.delivery, counts["written"] - acknowledged.gone)
        self.quarantine(session, run, manifest, refused)
        self._replays.settled(session, run, plan, manifest, [reference for reference, *_ in refused.values()], by)
        self._handovers.promoted(session, run, plan, manifest, acknowledged, moment)
        self._files.record(session, run, plan, manifest, by, delivered=True)
        for kind in ("settle", "notify", "tidy"):
            session.add(OwedRow(run=run.id, kind=kind))
        owe(session, run, plan, acknowledged, moment)
        if plan.kind == "synchronisation" and counts["written"]:
            dispatch.owe(session, run, self._catalog, moment)
        elif plan.kind == "sharing" and not plan.aside:  # such a run has not read what is owed
            dispatch.carried(session, run, moment)
        about = {"resource": plan.resource, "exchange": plan.exchange, "run": run.id, "department": plan.recipient}
        committed = events.RunCommitted(counts=counts, receipt=receipt.id, digest=header.content)
        self._audit.record(session, committed, by=by, **about)
        if (how := acknowledged.refreshing) is not None:
            refreshed = events.TargetRefreshed(how=how.how, why=how.why, gone=acknowledged.gone)
            self._audit.record(session, refreshed, by=by, **about)
        grant = session.get_one(GrantRow, plan.grant)
        if grant.state == "revoked":
            late = events.RevocationAfterDelivery(grant=grant.id, delivery=run.delivery)
            self._audit.record(session, late, by=by, **about)

    def quarantine(
        self,
        session: Session,
        run: RunRow,
        manifest: Manifest,
        refused: dict[int, tuple[str, int, str, str]],
        *,
        stopped: bool = False,
    ) -> None:
        """List refused rows and those kept with a state: rule, reason, place, keyed hash.

        Their content stays in the manifest.

        Args:
            session: An open hub transaction.
            run: The run that refused them.
            manifest: Its manifest.
            refused: Rows that the target refused, of which no content is kept.
            stopped: The run delivers nothing, so that its source is read again.
        """
        moment = now(session)
        common = {"run": run.id, "exchange": run.exchange, "at": moment}
        state = RowState.STOPPED if stopped else RowState.OPEN
        for batches, file, each in (
            (manifest.refused(), run.manifest, state),
            (manifest.kept(), None, RowState.KEPT),
        ):
            for batch in batches:
                rows = batch.select(["number", "item", "rule", "reason", "key_hash"]).to_pylist()
                about = {**common, "file": file, "state": each.value}
                session.execute(insert(_QUARANTINE), [{**row, **about} for row in rows])
        key = self._keyring.derive("quarantine", run.plan["resource"])
        rows = [
            {
                "number": number,
                "item": None,
                "rule": rule,
                "reason": reason,
                "key_hash": hmac.new(key, _own(run, reference).encode(), hashlib.sha256).hexdigest(),
                "file": None,
                "state": state.value,
                **common,
            }
            for reference, number, rule, reason in refused.values()
        ]
        if rows:
            session.execute(insert(QuarantineRow), rows)
        if not stopped:
            self._refused_again(session, run)

    def _refused_again(self, session: Session, run: RunRow) -> None:
        """What is refused run after run waits once: the last refusal of a key stands for those before it."""
        new = select(QuarantineRow.key_hash, QuarantineRow.number).where(
            QuarantineRow.run == run.id, QuarantineRow.state == RowState.OPEN.value
        )
        # Rows whose key is missing have one hash and are not one row.
        nameless = select(QuarantineRow.number).where(QuarantineRow.run == run.id, QuarantineRow.rule == "key")
        keys = new.where(QuarantineRow.number.not_in(nameless)).with_only_columns(QuarantineRow.key_hash)
        session.execute(
            update(QuarantineRow)
            .where(QuarantineRow.exchange == run.exchange, QuarantineRow.run != run.id)
            .where(QuarantineRow.state == RowState.OPEN.value, QuarantineRow.key_hash.in_(keys))
            .values(state=RowState.AGAIN.value)
            .execution_options(synchronize_session=False)
        )


def _own(run: RunRow, reference: str) -> str:
    """The reference a row has at its source, also where it came from quarantine."""
    return origin(reference)[2] if run.plan.get("replay") else reference
