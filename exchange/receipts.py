"""Receipts (回执): the evidence of one delivery, the same in all three ways.

A receipt names the plan, the grant, the counts, the digest of what was handed over, the target's
acknowledgement and the head of the audit log at that moment. It is issued in the hub transaction
that promotes the delivery, and carries a keyed digest, so that a changed one shows.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session

from exchange.db.tables import AddendumRow, EventRow, ReceiptRow
from exchange.errors import Tampered, Unknown
from exchange.plan import Plan


class Refreshed(Protocol):
    """How a target was refreshed (see the adapters)."""

    @property
    def how(self) -> str:
        """By ``swap`` or ``reload``."""

    @property
    def why(self) -> Sequence[str]:
        """In words."""


BALANCE = ("filtered", "refused", "unchanged", "superseded", "written")
"""What rows read can have become: ``read`` is their sum, each counted where it happens."""


def balanced(counts: dict[str, int]) -> bool:
    """Whether the books of a delivery balance: read = filtered + refused + unchanged + superseded + written."""
    return counts["read"] == sum(counts[name] for name in BALANCE)


def receipt_body(
    plan: Plan,
    *,
    run: str,
    delivery: str,
    manifest: str,
    counts: dict[str, int],
    report: dict[str, int],
    content: str,
    acknowledged_at: datetime,
    place: str,
    head: str,
    refreshing: Refreshed | None = None,
) -> dict[str, Any]:
    """What a receipt says.

    Args:
        plan: The plan carried out.
        run: Id of the run.
        delivery: Delivery key.
        manifest: Digest of the durable manifest.
        counts: The books: read, filtered, refused, unchanged, superseded, written, deleted.
        report: Refused rows by rule.
        content: Digest of the rows handed over, after masks.
        acknowledged_at: The target's time of commit.
        place: Where the target put it.
        head: Head of the audit log.
        refreshing: How everything at the target was replaced; None: it was merged.
    """
    refresh = {"refresh": {"how": refreshing.how, "why": list(refreshing.why)}} if refreshing else {}
    return {
        "run": run,
        "exchange": plan.exchange,
        "kind": plan.kind,
        "way": plan.way,
        "class": plan.record_class,
        "resource": plan.resource,
        "resource_version": plan.resource_version,
        "grant": plan.grant,
        "grant_version": plan.grant_version,
        "purpose": plan.purpose,
        "provider": plan.provider,
        "recipient": plan.recipient,
        "items": list(plan.deliver),
        "plan": plan.digest(),
        "delivery": delivery,
        "guarantee": plan.guarantee,
        "manifest": manifest,
        "counts": counts,
        "report": report,
        "content": {"algorithm": plan.digest_algorithm, "digest": content},
        "acknowledgement": {"at": acknowledged_at.isoformat(), "place": place},
        "audit_head": head,
        **refresh,
    }


def seal_of(body: dict[str, Any], key: bytes) -> str:
    """Keyed digest of a receipt's canonical JSON (HMAC-SHA256, hex)."""
    text = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def issue(session: Session, body: dict[str, Any], *, key: bytes, at: datetime) -> ReceiptRow:
    """Write the receipt of a run; its id is derived from the delivery key, so a delivery has one."""
    name = "R" + hashlib.sha256(body["delivery"].encode()).hexdigest()[:24]
    row = ReceiptRow(
        id=name, run=body["run"], exchange=body["exchange"], body=body, digest=seal_of(body, key), issued_at=at
    )
    session.add(row)
    return row


def receipt(session: Session, name: str, *, key: bytes) -> ReceiptRow:
    """The receipt of that id, or of that run.

    Raises:
        Unknown: There is none.
        Tampered: Its content is not what was issued.
    """
    row = session.scalar(select(ReceiptRow).where((ReceiptRow.id == name) | (ReceiptRow.run == name)))
    if row is None:
        raise Unknown(f"没有回执或批次 {name}", remedy="用 shutong status 查看已有的批次")
    return as_issued(row, key=key)


def as_issued(row: ReceiptRow, *, key: bytes) -> ReceiptRow:
    """A receipt that was found.

    Raises:
        Tampered: Its content is not what was issued.
    """
    if not hmac.compare_digest(row.digest, seal_of(row.body, key)):
        raise Tampered(f"回执 {row.id} 的内容与签发时不一致", remedy="保全数据库现场，用 shutong audit verify 核对日志")
    return row


def witnessed(session: Session, row: ReceiptRow) -> bool:
    """Whether the log still holds the head that a receipt names (链头比对)."""
    number, _colon, seal = str(row.body.get("audit_head", "")).partition(":")
    if not number.isdecimal() or not int(number):
        return True  # there was no log yet
    return session.scalar(select(EventRow.seal).where(EventRow.number == int(number))) == seal


def append(
    session: Session, of: ReceiptRow, said: dict[str, Any], *, key: bytes, file: str | None, at: datetime
) -> AddendumRow:
    """Add what became known after a delivery to its receipt (回执附录); the receipt itself stays as it was issued.

    Each addendum names the receipt and the addendum before it by their digests, so that one taken out shows.

    Args:
        session: An open hub transaction that keeps others from adding to the receipt.
        of: The receipt.
        said: What became known; no value of a record.
        key: That of the receipts.
        file: Encrypted file that belongs to it.
        at: When it became known.

    Raises:
        Tampered: The addenda before it are not as they were written.
    """
    before = addenda(session, of, key=key)
    about = {
        "receipt": of.id,
        "receipt_digest": of.digest,
        "number": len(before) + 1,
        "previous": before[-1].digest if before else "",
        "at": at.isoformat(),
    }
    body = {**said, **about}
    row = AddendumRow(
        receipt=of.id, run=of.run, number=len(before) + 1, body=body, digest=seal_of(body, key), file=file, at=at
    )
    session.add(row)
    return row


def addenda(session: Session, of: ReceiptRow, *, key: bytes) -> list[AddendumRow]:
    """The addenda of a receipt, in their order.

    Raises:
        Tampered: One is not as it was written, or is missing between two.
    """
    rows = list(session.scalars(select(AddendumRow).where(AddendumRow.receipt == of.id).order_by(AddendumRow.number)))
    previous = ""
    for number, row in enumerate(rows, 1):
        told = row.body.get("receipt"), row.body.get("receipt_digest"), row.body.get("number"), row.body.get("previous")
        whole = hmac.compare_digest(row.digest, seal_of(row.body, key))
        if not whole or row.number != number or told != (of.id, of.digest, number, previous):
            raise Tampered(
                f"回执 {of.id} 的附录 {number} 与写入时不一致",
                remedy="保全数据库现场，用 shutong audit verify 核对日志",
            )
        previous = row.digest
    return rows
