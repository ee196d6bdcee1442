"""Freshness (更新时效): each resource against the update cycle it was registered with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from catalog.vocabulary import UPDATE_CYCLES
from exchange.audit import events
from exchange.db import now
from exchange.db.tables import ExchangeRow, GrantRow, LateRow, NoticeRow, RunRow
from exchange.hub.roster import CYCLES, ZONE
from exchange.identity import PLATFORM
from exchange.plan import LIBRARY

if TYPE_CHECKING:
    from exchange.hub.core import Hub

_SLACK = timedelta(minutes=10)
"""How long a run may take beyond its cycle at least, before it is overdue; a tenth of the cycle, if that is longer."""
_SLICE = 200
"""Exchanges told of in one transaction."""
_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Freshness:
    """How an exchange that brings a resource stands against its update cycle (更新时效).

    Attributes:
        exchange: What refreshes it: into the base library, or straight to a recipient.
        cycle: The update cycle, as the catalogue has it.
        last: When it was refreshed last; None: never.
        age_hours: Hours since then, or since it is to be refreshed at all.
        due: When it is overdue.
        overdue: Whether it is; what rests is not.
        resting: Whether it or its grant rests.
        told_at: When its provider was told; None: there was nothing to tell.
    """

    exchange: str
    resource: str
    name: str
    provider: str
    recipient: str
    cycle: str
    last: datetime | None
    age_hours: float
    due: datetime
    overdue: bool
    resting: bool
    told_at: datetime | None


def freshness(hub: Hub) -> list[Freshness]:
    """Every exchange that brings a resource from its provider, the most overdue first."""
    with hub.told(), hub.database.reading() as session:
        return _found(hub, session)


def tell(hub: Hub) -> int:
    """Tell once of each that is overdue, until it is refreshed again; how many were told of now."""
    with hub.told(), hub.database.reading() as session:
        found = _found(hub, session)
        known = set(session.scalars(select(LateRow.exchange)))
    late = [each for each in found if each.overdue and each.exchange not in known]
    fresh = [each for each in found if not each.overdue and not each.resting and each.exchange in known]
    told = 0
    for start in range(0, len(late), _SLICE):
        with hub.database.transaction() as session:
            told += sum(_told(hub, session, each) for each in late[start : start + _SLICE])
    gone = known - {each.exchange for each in found}
    if fresh or gone:
        with hub.database.transaction() as session:
            for each in fresh:
                _recovered(hub, session, each)
            for row in session.scalars(select(LateRow).where(LateRow.exchange.in_(gone))):
                session.delete(row)
    return told


def _found(hub: Hub, session: Session) -> list[Freshness]:
    moment = now(session)
    rows = session.execute(
        select(
            ExchangeRow.id, ExchangeRow.resource, ExchangeRow.provider, ExchangeRow.recipient,
            ExchangeRow.state, ExchangeRow.created_at, GrantRow.state, GrantRow.resource_version,
            func.coalesce(RunRow.ended_at, RunRow.started_at), LateRow.told_at,
        )
        .join(GrantRow, GrantRow.id == ExchangeRow.grant)
        .outerjoin(RunRow, RunRow.delivery == ExchangeRow.last_delivery)
        .outerjoin(LateRow, LateRow.exchange == ExchangeRow.id)
        .where(
            ExchangeRow.state != "ended",
            GrantRow.state.in_(("active", "suspended")),
            # What is shared from the base library is as fresh as the library.
            or_(ExchangeRow.kind == "synchronisation", ExchangeRow.source["endpoint"].as_string() != LIBRARY),
        )
    ).all()  # fmt: skip
    outlines = hub.catalog.outlines(session, {row[1] for row in rows})
    found = []
    for name, resource, provider, recipient, state, created, granted, version, last, told_at in rows:
        outline = outlines[resource, version]
        cycle = CYCLES.get(outline.update_cycle, CYCLES["daily"])
        since = last or created
        due = since + cycle + max(_SLACK, cycle / 10)
        resting = state == "paused" or granted == "suspended"
        found.append(
            Freshness(
                exchange=name,
                resource=resource,
                name=outline.name,
                provider=provider,
                recipient=recipient,
                cycle=outline.update_cycle,
                last=last,
                age_hours=round((moment - since) / _HOUR, 2),
                due=due,
                overdue=due <= moment and not resting,
                resting=resting,
                told_at=told_at,
            )
        )
    return sorted(found, key=lambda each: (not each.overdue, each.due, each.exchange))


def _told(hub: Hub, session: Session, late: Freshness) -> bool:
    if session.get(LateRow, late.exchange) is not None:
        return False  # somebody else has just told
    moment = now(session)
    session.add(LateRow(exchange=late.exchange, since=late.due, told_at=moment))
    about = {"resource": late.resource, "exchange": late.exchange}
    last = None if late.last is None else late.last.isoformat(timespec="seconds")
    event = events.UpdateMissed(cycle=late.cycle, last=last, hours=int(late.age_hours))
    hub.audit.record(session, event, by=PLATFORM, department=late.provider, **about)
    word = UPDATE_CYCLES.get(late.cycle, late.cycle)  # type: ignore[call-overload]
    then = "从未更新" if late.last is None else f"上次更新于 {late.last.astimezone(ZONE):%Y-%m-%d %H:%M}"
    text = (
        f"《{late.name}》（{late.resource}）应{word}更新，{then}，已逾期；"
        f"原因见 shutong status 中的交换 {late.exchange}，恢复更新之前不再提醒"
    )
    for department in dict.fromkeys((late.provider, hub.settings.hub_department)):
        session.add(NoticeRow(department=department, run=None, text=text, at=moment))
        issued = events.NoticeIssued(department=department)
        hub.audit.record(session, issued, by=PLATFORM, department=department, **about)
    return True


def _recovered(hub: Hub, session: Session, fresh: Freshness) -> None:
    row = session.get(LateRow, fresh.exchange, with_for_update=True)
    if row is None:
        return
    hours = int((now(session) - row.since) / _HOUR)
    event = events.UpdateRecovered(cycle=fresh.cycle, hours=hours)
    about = {"resource": fresh.resource, "exchange": fresh.exchange, "department": fresh.provider}
    hub.audit.record(session, event, by=PLATFORM, **about)
    session.delete(row)
