"""The gate (放行): whether a delivery may pass at this moment, and the quota it takes with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Text, bindparam, cast, func, insert, select, update
from sqlalchemy.orm import Session

from exchange.db.tables import Base, GrantRow, UsageRow
from exchange.errors import Misplaced

GRANT_STATES: dict[str, str] = {"active": "有效", "suspended": "已中止", "revoked": "已撤销", "expired": "已到期"}
"""States of a grant in words."""


_GRANT, _USAGE = Base.metadata.tables["grant"], Base.metadata.tables["usage"]
# Made once: a delivery passes the gate now and then, single rows pass it many times in a second.
_HELD = (
    select(
        _GRANT.c.id, _GRANT.c.kind, _GRANT.c.resource, _GRANT.c.state, _GRANT.c.version,
        _GRANT.c.valid_from, _GRANT.c.valid_until, _GRANT.c.quota_rows, cast(_GRANT.c.body, Text),
    )
    .where(_GRANT.c.id == bindparam("grant"))
    .with_for_update()
)  # fmt: skip
_TAKEN = select(_USAGE.c.rows, _USAGE.c.grant).where(_USAGE.c.delivery == bindparam("which")).with_for_update()
_CORRECTED = (
    update(_USAGE)
    .where(_USAGE.c.delivery == bindparam("which"), _USAGE.c.grant == bindparam("whose"))
    .values(rows=bindparam("many"))
)


@dataclass(frozen=True, slots=True)
class Held:
    """A grant as it is committed now, held until the transaction ends; ``body`` as it is written."""

    id: str
    kind: str
    resource: str
    state: str
    version: int
    valid_from: datetime
    valid_until: datetime | None
    quota_rows: int | None
    body: str


def held(session: Session, grant: str) -> Held | None:
    """The grant, as it is committed now, held until the transaction ends; read and not to be changed."""
    row = session.connection().execute(_HELD, {"grant": grant}).first()
    return None if row is None else Held(*row)


def taken(session: Session, delivery: str) -> int | None:
    """The rows that a delivery has reserved, held until the transaction ends; None: none yet."""
    row = session.connection().execute(_TAKEN, {"which": delivery}).first()
    return None if row is None else int(row[0])


def locked(session: Session, grant: str) -> GrantRow | None:
    """The grant, as it is committed now, held until the transaction ends."""
    return session.get(GrantRow, grant, with_for_update=True, populate_existing=True)


def standing(grant: GrantRow | Held, now: datetime) -> list[str]:
    """Why a grant does not hold at a moment, by its own state and period; empty: it holds."""
    found = []
    if grant.state != "active":
        found.append(f"授权 {grant.id} {GRANT_STATES[grant.state]}")
    if now < grant.valid_from:
        found.append(f"授权 {grant.id} 尚未生效")
    if grant.valid_until is not None and now >= grant.valid_until:
        found.append(f"授权 {grant.id} 的使用期限已过")
    return found


def used(session: Session, grant: str, *, besides: str | None = None) -> int:
    """Rows delivered and reserved under a grant so far, those of one delivery left out."""
    statement = select(func.coalesce(func.sum(UsageRow.rows), 0)).where(UsageRow.grant == grant)
    if besides is not None:
        statement = statement.where(UsageRow.delivery != besides)
    return int(session.scalar(statement) or 0)


def over_quota(session: Session, grant: GrantRow | Held, rows: int, delivery: str | None = None) -> list[str]:
    """Why so many more rows are too many; empty: they are not."""
    if grant.quota_rows is None:
        return []
    before = used(session, grant.id, besides=delivery)
    if before + rows <= grant.quota_rows:
        return []
    return [f"授权 {grant.id} 的行数上限为 {grant.quota_rows}，已用 {before}，本次 {rows} 行超出上限"]


def reserve(session: Session, grant: GrantRow | Held, delivery: str, rows: int, now: datetime) -> None:
    """Take quota for a delivery; the same delivery again takes it once."""
    connection = session.connection()
    if connection.execute(_CORRECTED, {"which": delivery, "whose": grant.id, "many": rows}).rowcount:
        return
    before = connection.execute(_TAKEN, {"which": delivery}).first()
    if before is not None:
        raise Misplaced(f"交付 {delivery} 已在授权 {before.grant} 下放行", remedy="保全现场并报告缺陷")
    connection.execute(insert(_USAGE), {"delivery": delivery, "grant": grant.id, "rows": rows, "at": now})


def settle(session: Session, delivery: str, rows: int) -> None:
    """Correct what a delivery reserved to what it delivered.

    Raises:
        Misplaced: The delivery never passed the gate.
    """
    usage = session.get(UsageRow, delivery, with_for_update=True)
    if usage is None:
        raise Misplaced(f"交付 {delivery} 没有经过放行", remedy="保全现场并报告缺陷")
    usage.rows = rows
    session.flush()


def release(session: Session, delivery: str) -> None:
    """Give back what a delivery reserved that will never be made; repeatable."""
    usage = session.get(UsageRow, delivery)
    if usage is not None:
        session.delete(usage)
        session.flush()
