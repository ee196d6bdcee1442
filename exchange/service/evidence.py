"""Receipts as callers ask for them (回执查询): of deliveries from the hub's receipts, of looks from the log."""

from __future__ import annotations

import hmac
import json

from sqlalchemy import select
from sqlalchemy.orm import Session

from adapters.errors import Refused
from adapters.webservice.desk import Caller, ReceiptAnswer
from exchange.audit import events
from exchange.db.tables import EventRow, ReceiptRow, RunRow
from exchange.errors import Tampered, Unknown
from exchange.hub import Hub
from exchange.receipts import receipt
from exchange.service.errors import answered

_LONGEST = 128


class Evidence:
    """Answers for what was handed over.

    Args:
        hub: The hub.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def receipt(self, caller: Caller, name: str) -> ReceiptAnswer:
        """A receipt by its id, its run's, its delivery's or its look's.

        Raises:
            Refused: There is none that concerns the caller's department.
        """
        found = None
        if 0 < len(name) <= _LONGEST and name.isprintable():
            with answered("回执"), self._hub.database.reading() as session:
                found = self._delivery(session, caller, name) or self._look(session, caller, name)
        if found is None:
            raise Refused("没有这张回执", remedy="核对编号：回执、批次、交付或单笔查询的编号")
        return found

    def _delivery(self, session: Session, caller: Caller, name: str) -> ReceiptAnswer | None:
        of_delivery = select(ReceiptRow.id).join(RunRow, RunRow.id == ReceiptRow.run).where(RunRow.delivery == name)
        try:
            row = receipt(session, session.scalar(of_delivery) or name, key=self._hub.keyring.derive("receipt"))
        except Unknown:
            return None
        if caller.department not in (row.body["provider"], row.body["recipient"]):
            return None
        return ReceiptAnswer(
            id=row.id,
            resource=row.body["resource"],
            issued_at=row.issued_at,
            counts=dict(row.body["counts"]),
            content=row.body["content"]["digest"],
            digest=row.digest,
        )

    def _look(self, session: Session, caller: Caller, name: str) -> ReceiptAnswer | None:
        wanted = select(EventRow).where(
            EventRow.run == name,
            EventRow.type == events.RowLookedUp.__name__,
            EventRow.department == caller.department,
        )
        row = session.scalar(wanted)
        if row is None:
            return None
        if row.body.get("look") != name:
            raise Tampered(f"单笔查询 {name} 的记录与写入时不一致", remedy="用 shutong audit verify 核对日志")
        body = json.dumps([row.id, row.body], ensure_ascii=False, sort_keys=True).encode()
        return ReceiptAnswer(
            id=name,
            resource=row.resource or "",
            issued_at=row.at,
            counts={"found": row.body["found"]},
            content=row.body["digest"],
            digest=hmac.digest(self._hub.keyring.derive("receipt"), body, "sha256").hex(),
        )
