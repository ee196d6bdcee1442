"""What the hub's other records say about the log (旁证): heads found elsewhere, and events that must be there."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from exchange.audit import Fault
from exchange.audit.chain import Stored, stored
from exchange.audit.events import (
    AnswersReceived,
    Event,
    GrantExpired,
    GrantIssued,
    GrantResumed,
    GrantRevoked,
    GrantSuspended,
    RunCommitted,
    RunStarted,
)
from exchange.db.tables import AddendumRow, EventRow, ExchangeRow, GrantRow, ReceiptRow, RunRow
from exchange.engine import RunState
from exchange.errors import Tampered
from exchange.receipts import seal_of

if TYPE_CHECKING:
    from exchange.hub.core import Hub

_STATES: dict[str, str] = {
    GrantIssued.__name__: "active",
    GrantResumed.__name__: "active",
    GrantSuspended.__name__: "suspended",
    GrantRevoked.__name__: "revoked",
    GrantExpired.__name__: "expired",
}
"""State a grant is in after an event."""
_HEAD = re.compile(r"[0-9]{1,18}:[0-9a-f]*")


@dataclass(frozen=True)
class Evidence:
    """What is known of the log from elsewhere.

    Attributes:
        heads: Heads of the log (``number:seal``), each with where it was found.
        faults: What the hub's own tables show to be missing or changed.
        warnings: Witnesses that could not be heard.
    """

    heads: tuple[tuple[str, str], ...]
    faults: tuple[Fault, ...]
    warnings: tuple[str, ...]


def evidence(hub: Hub) -> Evidence:
    """Hear receipts and ledgers, and compare runs and receipts with their events.

    Call it before the log is verified: every head found is then no younger than the log.

    Raises:
        Tampered: The tables cannot be read at all.
    """
    try:
        return _heard(hub)
    except DBAPIError as error:
        raise Tampered("日志或批次的表无法读取，结构或内容被改动", remedy="保全现场，从备份恢复后核对") from error


def _heard(hub: Hub) -> Evidence:
    key = hub.keyring.derive("receipt")
    heads: list[tuple[str, str]] = []
    with hub.database.reading() as session:
        faults = _without_events(session)
        for row in session.scalars(select(ReceiptRow).order_by(ReceiptRow.issued_at, ReceiptRow.id)):
            if hmac.compare_digest(row.digest, seal_of(row.body, key)):
                heads.append((f"回执 {row.id}", str(row.body["audit_head"])))
            else:
                faults.append(Fault("edited", f"回执 {row.id}", "内容与签发时不一致"))
        faults += _addenda(session, key)
        kept, warnings = hub.endpoints.ledger_heads(session)
    for place, head in kept:
        # A ledger lies in a department's hands: what is no head there says nothing about the log.
        if _HEAD.fullmatch(head):
            heads.append((place, head))
        elif head:
            warnings.append(f"{place}中的链头写法不对，没有采用")
    return Evidence(tuple(heads), tuple(faults), tuple(warnings))


def _addenda(session: Session, key: bytes) -> list[Fault]:
    """Addenda to receipts that are not as they were written, and such as the log knows more of or fewer."""
    faults = []
    told: dict[str, dict[str, str]] = {}
    for event in stored(session, _is(AnswersReceived), order=EventRow.id.asc()):
        if isinstance(event, Stored):
            body = event.body
            told.setdefault(str(body.get("receipt")), {})[str(body.get("number"))] = str(body.get("digest"))
    for row in session.scalars(select(AddendumRow).order_by(AddendumRow.receipt, AddendumRow.number)):
        place = f"回执 {row.receipt} 的附录 {row.number}"
        if not hmac.compare_digest(row.digest, seal_of(row.body, key)):
            faults.append(Fault("edited", place, "内容与写入时不一致"))
        if told.get(row.receipt, {}).pop(str(row.number), None) != row.digest:
            faults.append(Fault("removed", place, "日志中没有它的事件"))
    for receipt, numbers in sorted(told.items()):
        faults += [
            Fault("removed", f"回执 {receipt} 的附录 {number}", "日志中有它的事件") for number in sorted(numbers)
        ]
    return faults


def _without_events(session: Session) -> list[Fault]:
    """Grants, runs, receipts and deliveries without the events or rows that were written together with them."""
    started = select(EventRow.run).where(_is(RunStarted), EventRow.run.is_not(None))
    committed = select(EventRow.run).where(_is(RunCommitted), EventRow.run.is_not(None))
    runs = select(RunRow.id).where(RunRow.id.not_in(started)).order_by(RunRow.id)
    receipts = select(ReceiptRow.id).where(ReceiptRow.run.not_in(committed)).order_by(ReceiptRow.id)
    receipted = select(RunRow.delivery).join(ReceiptRow, ReceiptRow.run == RunRow.id)
    delivered = select(ExchangeRow.id).where(
        ExchangeRow.last_delivery.is_not(None), ExchangeRow.last_delivery.not_in(receipted)
    )
    settled = select(RunRow.id).where(
        RunRow.state.in_((RunState.COMMITTED, RunState.SETTLED)), RunRow.id.not_in(select(ReceiptRow.run))
    )
    return [
        *_grants(session),
        *(Fault("removed", f"批次 {name}", "日志中没有它的开始事件") for name in session.scalars(runs)),
        *(Fault("removed", f"回执 {name}", "日志中没有它的交付事件") for name in session.scalars(receipts)),
        *(Fault("removed", f"批次 {name}", "已交付而没有回执") for name in session.scalars(settled)),
        *(Fault("removed", f"交换 {name}", "最近一次交付的批次或回执已被删除") for name in session.scalars(delivered)),
    ]


def _grants(session: Session) -> list[Fault]:
    """Grants whose state is not what their last event made of it."""
    told: dict[str, str] = {}
    for event in stored(session, EventRow.type.in_(_STATES), order=EventRow.id.asc()):
        if isinstance(event, Stored):  # one that cannot be read is a fault of the log itself
            told[str(event.body.get("grant"))] = _STATES[event.type]
    rows = session.execute(select(GrantRow.id, GrantRow.state).order_by(GrantRow.id))
    return [
        Fault("removed", f"授权 {name}", "日志中没有使它成为现在状态的事件")
        for name, state in rows
        if told.get(name) != state
    ]


def _is(kind: type[Event]) -> ColumnElement[bool]:
    return EventRow.type == kind.__name__
