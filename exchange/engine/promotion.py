"""Promotion of a committed delivery in the hub's own books, in one hub transaction.

Position, receipt, event, quarantine and everything still owed become true together, or not at all.
"""

from __future__ import annotations

import hashlib
import hmac
from itertools import chain

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import insert
from sqlalchemy.orm import Session

from adapters import Acknowledgement
from exchange.audit import AuditLog, events
from exchange.authorisation import Authorisation
from exchange.db import now
from exchange.db.tables import ExchangeRow, GrantRow, OwedRow, QuarantineRow, RunRow
from exchange.engine.manifest import Header, Manifest
from exchange.identity import Actor
from exchange.plan import Plan
from exchange.receipts import issue, receipt_body
from exchange.secrets import Keyring
from exchange.settings import Settings


def conflicts(manifest: Manifest, acknowledged: Acknowledgement) -> dict[int, tuple[str, int, str, str]]:
    """Rows the target refused: staged number to (reference, number read, rule, reason)."""
    refused = {row.row: row for row in acknowledged.refused}
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


class Promotion:
    """Writes what a committed delivery means for the hub."""

    def __init__(self, settings: Settings, keyring: Keyring, audit: AuditLog, authorisation: Authorisation) -> None:
        self._settings = settings
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
        refused = conflicts(manifest, acknowledged)
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
        )
        receipt = issue(session, body, key=self._keyring.derive("receipt"), at=moment)
        run.counts = counts
        run.ended_at = moment
        exchange = session.get_one(ExchangeRow, run.exchange)
        exchange.position = run.after
        exchange.shape = plan.shape()
        exchange.last_delivery = run.delivery
        self._authorisation.settle_usage(session, run.delivery, counts["written"])
        self.quarantine(session, run, manifest, refused)
        for kind in ("settle", "notify", "tidy"):
            session.add(OwedRow(run=run.id, kind=kind))
        about = {"resource": plan.resource, "exchange": plan.exchange, "run": run.id, "department": plan.recipient}
        committed = events.RunCommitted(counts=counts, receipt=receipt.id, digest=header.content)
        self._audit.record(session, committed, by=by, **about)
        grant = session.get_one(GrantRow, plan.grant)
        if grant.state == "revoked":
            late = events.RevocationAfterDelivery(grant=grant.id, delivery=run.delivery)
            self._audit.record(session, late, by=by, **about)

    def quarantine(
        self, session: Session, run: RunRow, manifest: Manifest, refused: dict[int, tuple[str, int, str, str]]
    ) -> None:
        """List refused rows and those kept with a state: rule, reason, place, keyed hash.

        Their content stays in the manifest.
        """
        moment = now(session)
        common = {"run": run.id, "exchange": run.exchange, "file": run.manifest, "at": moment}
        for batch in chain(manifest.refused(), manifest.kept()):
            rows = batch.select(["number", "item", "rule", "reason", "key_hash"]).to_pylist()
            session.execute(insert(QuarantineRow), [{**row, **common} for row in rows])
        key = self._keyring.derive("quarantine", run.plan["resource"])
        rows = [
            {
                "number": number,
                "item": None,
                "rule": rule,
                "reason": reason,
                "key_hash": hmac.new(key, reference.encode(), hashlib.sha256).hexdigest(),
                **common,
            }
            for reference, number, rule, reason in refused.values()
        ]
        if rows:
            session.execute(insert(QuarantineRow), rows)
