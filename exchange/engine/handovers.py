"""Books of documents (附件台账): which were delivered to whom, and which the base library still has.

Both are written from the run's manifest in the transaction that promotes it. A *holding* says that a row of the library
has a document; it is known by the row's keyed hash, so that nobody has to look through the tables of the classes to
know what may go. A run after which the library holds exactly what was staged replaces the holdings of its rows; where
the library had newer rows than some of those staged, nobody says which, and the holdings are added to those before: a
document is then kept for longer than it need be, and never for shorter. Whatever no holding and no unfinished run names
is removed when it has not been put for the time of retention.

A *handover* goes on with what its recipient says of it, in the receipt of its data file or in the answer to a recall.
Only a document that was delivered is believed to have been refused; the reasons are a stranger's words, and sealed.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from enum import StrEnum

import pyarrow.compute as pc
from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.orm import Session

from adapters import Acknowledgement, Answers, RecalledDocument
from exchange.audit import AuditLog, events
from exchange.db import HubDatabase
from exchange.db.tables import HandoverRow, HoldingRow, RunRow
from exchange.engine.documents import DocumentSpool
from exchange.engine.legible import legible
from exchange.engine.manifest import Manifest
from exchange.engine.opening import translated
from exchange.engine.states import DELIVERED, UNFINISHED
from exchange.identity import Actor
from exchange.plan import LIBRARY, Plan
from exchange.secrets import Keyring, Vault, seal, unseal
from schemas.documents import Document

_SLICE = 400
"""Keys in one statement."""
_HANDOVER = HandoverRow.metadata.tables[HandoverRow.__tablename__]
_HOLDING = HoldingRow.metadata.tables[HoldingRow.__tablename__]


class HandoverState(StrEnum):
    """Where a document that was delivered stands (附件交付状态)."""

    DELIVERED = "delivered"  # it lies in the recipient's drop; nobody has said anything of it
    RECEIVED = "received"  # it was taken; whether it was used is not known
    STORED = "stored"  # it was used
    REFUSED = "refused"  # it could not be used
    DESTROYED = "destroyed"  # it was called back, and its recipient says that it has destroyed it


class Handovers:
    """Keeps the books of documents.

    Args:
        database: The hub's own.
        vault: Where manifests lie.
        spool: Where documents lie.
        audit: The log.
        keyring: Seals what recipients say.
    """

    def __init__(
        self, database: HubDatabase, vault: Vault, spool: DocumentSpool, audit: AuditLog, keyring: Keyring
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._vault = vault
        self._spool = spool
        self._audit = audit

    def promoted(
        self,
        session: Session,
        run: RunRow,
        plan: Plan,
        manifest: Manifest,
        acknowledged: Acknowledgement,
        moment: datetime,
    ) -> None:
        """Note what a committed delivery means for documents; rows that the target refused are none of it."""
        if not any(item.document for item in plan.items):
            return
        refused = {row.row for row in acknowledged.refused}
        for batch in manifest.documents():
            rows = [row for row in batch.to_pylist() if row["staged"] not in refused]
            if plan.target.endpoint == LIBRARY:
                self._hold(session, run.exchange, rows, surely=acknowledged.superseded == 0)
            else:
                self._hand_over(session, run, plan, rows, moment)

    def _hand_over(
        self, session: Session, run: RunRow, plan: Plan, rows: list[dict[str, str]], moment: datetime
    ) -> None:
        common = {"run": run.id, "exchange": run.exchange, "recipient": plan.recipient}
        common["state"] = HandoverState.DELIVERED.value
        entries = []
        for row in rows:
            document = Document.of(row["document"])
            about = {"digest": document.digest, "size": document.size, "name": row["name"], "item": row["item"]}
            entries.append({**common, **about, "reason": None, "at": moment})
        if entries:
            session.execute(insert(_HANDOVER), entries)

    # --- what became of them -------------------------------------------------------------------

    def handed(self, session: Session, run: RunRow) -> list[RecalledDocument]:
        """The documents that a run delivered, or is delivering or may have, as they are called in the drop."""
        query = select(HandoverRow.name, HandoverRow.size, HandoverRow.digest).where(HandoverRow.run == run.id)
        found = [RecalledDocument(*row) for row in session.execute(query.order_by(HandoverRow.id))]
        enclosing = any(item.document for item in Plan(**run.plan).items)
        if found or run.state in DELIVERED or run.manifest is None or not enclosing:
            return found
        # It is not promoted, and perhaps never will be: what was staged is what may lie there.
        for batch in Manifest(self._vault, run.manifest, run.manifest_digest or "").documents():
            for row in batch.to_pylist():
                document = Document.of(row["document"])
                found.append(RecalledDocument(row["name"], document.size, document.digest))
        return found

    def believed(self, session: Session, run: str, found: Answers) -> Answers:
        """What a recipient says, without the documents that were never delivered to it; how many says the advice."""
        told = {each.name: each for each in reversed(found.documents)}
        names = list(told)
        known: set[str] = set()
        for start in range(0, len(names), _SLICE):
            query = select(HandoverRow.name).where(HandoverRow.run == run)
            known.update(session.scalars(query.where(HandoverRow.name.in_(names[start : start + _SLICE]))))
        documents = tuple(each for name, each in reversed(told.items()) if name in known)
        if strange := len(told) - len(documents):
            advice = (*found.advice, f"回执写了 {strange} 个不是这次送达的附件，不予采信；附件照交付清单中的名称写")
            return replace(found, documents=documents, advice=advice)
        return replace(found, documents=documents)

    def answered(self, session: Session, run: str, found: Answers) -> None:
        """Note what a recipient says of the documents of a delivery, in the transaction that keeps its answer.

        Where rows were refused, nobody says which of the other documents belonged to them: they are no more than
        received.
        """
        reason, state = None, HandoverState.STORED
        if found.more:
            state = HandoverState.RECEIVED
        elif found.new:
            state = HandoverState.DELIVERED
        elif found.failed is None:
            return  # the files were taken away without a word
        elif found.rows and not any(found.rows[0].key):
            state, reason = HandoverState.REFUSED, found.rows[0].text
        elif found.failed:
            state = HandoverState.RECEIVED
        mine = (_HANDOVER.c.run == run, _HANDOVER.c.state != HandoverState.DESTROYED.value)
        session.execute(update(_HANDOVER).where(*mine).values(state=state.value, reason=self._sealed(run, reason)))
        if found.documents:
            one = update(_HANDOVER).where(*mine, _HANDOVER.c.name == bindparam("called"))
            session.execute(
                one.values(state=HandoverState.REFUSED.value, reason=bindparam("why")),
                [{"called": each.name, "why": self._sealed(run, each.text)} for each in found.documents],
            )

    def destroyed(self, session: Session, run: str, names: Collection[str]) -> None:
        """Note that a recipient has destroyed these documents of a delivery, or all of them."""
        rows = update(_HANDOVER).where(_HANDOVER.c.run == run)
        done = rows.values(state=HandoverState.DESTROYED.value)
        session.execute(done.where(_HANDOVER.c.name.in_(names)) if names else done)

    def reason(self, row: HandoverRow) -> str | None:
        """Why its recipient could not use a document, in a line in which nothing steers a terminal.

        Raises:
            Tampered: It is not as it was sealed.
        """
        return None if row.reason is None else unseal(row.reason, self._key(row.run)).get_secret_value()

    def _sealed(self, run: str, text: str | None) -> str | None:
        told = legible(text)
        return None if told is None else seal(told, self._key(run))

    def _key(self, run: str) -> bytes:
        return self._keyring.derive("handover", run)

    # --- what the library has ------------------------------------------------------------------

    def _hold(self, session: Session, exchange: str, rows: list[dict[str, str]], *, surely: bool) -> None:
        """Note what rows of the library have now; a later row of a key stands for an earlier one of the run."""
        wanted: dict[tuple[str, str], str | None] = {}
        further: set[tuple[str, str, str]] = set()
        for row in rows:
            text = row["document"]
            name = None if text is None else self._spool.name(Document.of(text).digest)
            wanted[row["key_hash"], row["item"]] = name
            if name is not None:
                further.add((row["key_hash"], row["item"], name))
        keys = sorted({key for key, _ in wanted})
        column = HoldingRow.key_hash
        there: set[tuple[str, str, str]] = set()
        for start in range(0, len(keys), _SLICE):
            mine = (HoldingRow.exchange == exchange, column.in_(keys[start : start + _SLICE]))
            found = session.execute(select(column, HoldingRow.item, HoldingRow.document).where(*mine))
            there.update((key, item, document) for key, item, document in found)
        kept = {(*place, name) for place, name in wanted.items() if name is not None} if surely else there | further
        gone = [each for each in there - kept if (each[0], each[1]) in wanted]
        for key, item, document in gone:
            session.execute(
                delete(HoldingRow).where(
                    HoldingRow.exchange == exchange, column == key, HoldingRow.item == item,
                    HoldingRow.document == document,
                )
            )  # fmt: skip
        new = [
            {"exchange": exchange, "key_hash": key, "item": item, "document": document}
            for key, item, document in sorted(kept - there)
        ]
        if new:
            session.execute(insert(_HOLDING), new)

    def expire(self, *, by: Actor, days: int) -> int:
        """Remove the documents that nothing needs and that were last put so many days ago.

        Returns:
            How many.
        """
        unfinished = self._unfinished()

        def needed(names: Collection[str]) -> set[str]:
            with self._database.reading() as session:
                held = session.scalars(select(HoldingRow.document).where(HoldingRow.document.in_(names)).distinct())
                return unfinished.union(held)

        with translated("文件暂存处"):
            removed, size = self._spool.sweep(days * 86400.0, needed)
        if removed:
            with self._database.transaction() as session:
                self._audit.record(session, events.DocumentsExpired(documents=removed, size=size), by=by)
        return removed

    def _unfinished(self) -> set[str]:
        """What the manifests of unfinished runs name; a run without one reads anew."""
        with self._database.reading() as session:
            query = select(RunRow.manifest, RunRow.manifest_digest)
            runs = session.execute(query.where(RunRow.state.in_(UNFINISHED), RunRow.manifest.is_not(None))).all()
        found: set[str] = set()
        for name, digest in runs:
            for batch in Manifest(self._vault, name or "", digest or "").documents():
                texts = pc.unique(batch.column("document").drop_null()).to_pylist()
                found.update(self._spool.name(Document.of(text).digest) for text in texts)
        return found
