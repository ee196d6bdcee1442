"""Collecting what planning needs: directory, grant, exchange and its rivals."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from adapters import Capabilities
from catalog import Catalog
from exchange.db import now
from exchange.db.tables import ExchangeRow, GrantRow
from exchange.errors import Denied, Misplaced
from exchange.plan import End, Plan, Subject, Tolerance, make_plan
from exchange.settings import Settings


def plan_exchange(
    session: Session,
    row: ExchangeRow,
    source: Capabilities,
    target: Capabilities,
    settings: Settings,
    catalog: Catalog,
    *,
    redeliver: bool = False,
) -> Plan:
    """Plan the next run of an exchange.

    Raises:
        Misplaced: The exchange is paused or ended.
        Denied: Its grant does not hold now.
        Invalid: The registration does not allow it; every reason is listed.
    """
    if row.state != "active":
        word = {"paused": "已暂停", "ended": "已终止"}.get(row.state, row.state)
        raise Misplaced(f"交换 {row.id} {word}", remedy="用 shutong explain 查看原因")
    grant = session.get_one(GrantRow, row.grant)
    moment = now(session)
    reasons = []
    if grant.state != "active":
        word = {"suspended": "已中止", "revoked": "已撤销", "expired": "已到期"}.get(grant.state, grant.state)
        reasons.append(f"授权 {grant.id} {word}")
    if grant.valid_until is not None and moment >= grant.valid_until:
        reasons.append(f"授权 {grant.id} 的使用期限已过")
    if moment < grant.valid_from:
        reasons.append(f"授权 {grant.id} 尚未生效")
    if reasons:
        raise Denied(f"交换 {row.id} 没有有效授权", reasons, remedy=f"用 shutong explain {grant.id} 查看授权")
    resource = catalog.resource(session, row.resource, version=grant.resource_version).resource
    subject = Subject(
        exchange=row.id,
        kind=row.kind,
        record_class=resource.record_class or "",
        resource=row.resource,
        resource_version=grant.resource_version,
        resource_items=resource.items,
        key=resource.key,
        version=resource.version_item,
        grant=grant.id,
        grant_version=grant.version,
        grant_body=grant.body,
        provider=row.provider,
        recipient=row.recipient,
        source=End(**row.source),
        target=End(**row.target),
        previous_shape=row.shape,
        settings=row.settings,
    )
    return make_plan(
        subject,
        source,
        target,
        rival_readers=_rivals(session, row),
        rival_writers=_rival_writers(session, row),
        redeliver=redeliver,
        batch_rows=settings.batch_rows,
        tolerance=Tolerance(rows=settings.tolerance_rows, share=settings.tolerance_share),
        digest_algorithm=settings.digest,
    )


def _rivals(session: Session, row: ExchangeRow) -> list[str]:
    """Other living exchanges that read the same object by its status column."""
    here = row.source
    if here.get("capture") != "outbox":
        return []
    others = session.scalars(select(ExchangeRow).where(ExchangeRow.id != row.id, ExchangeRow.state != "ended"))
    return [
        other.id
        for other in others
        if (other.source["endpoint"], other.source["object"], other.source.get("capture"))
        == (here["endpoint"], here["object"], "outbox")
    ]


def predecessors(session: Session, row: ExchangeRow) -> list[ExchangeRow]:
    """Other exchanges that delivered into the same rows: the same object, under the same fixed values."""
    others = session.scalars(
        select(ExchangeRow).where(ExchangeRow.id != row.id, ExchangeRow.recipient == row.recipient)
    )
    return [other for other in others if other.last_delivery is not None and _place(other) == _place(row)]


def _rival_writers(session: Session, row: ExchangeRow) -> list[str]:
    """Other living exchanges whose grants still hold and that deliver into the same rows."""
    others = session.execute(
        select(ExchangeRow, GrantRow.state)
        .join(GrantRow, GrantRow.id == ExchangeRow.grant)
        .where(ExchangeRow.id != row.id, ExchangeRow.state != "ended")
    )
    return [other.id for other, state in others if state in ("active", "suspended") and _place(other) == _place(row)]


def _place(row: ExchangeRow) -> tuple[object, ...]:
    """Where an exchange delivers to; rows of other fixed values are none of its business."""
    target = row.target
    return target["endpoint"], target["object"], tuple(sorted(target.get("fixed", {}).items()))
