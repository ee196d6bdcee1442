"""Deliveries that are behind (落后的共享): what they read was refreshed, and nobody has delivered that yet.

Whoever schedules is told of each refresh; a message that was lost is found here, in the hub's own books.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from exchange.db import now
from exchange.db.tables import ExchangeRow, GrantRow, RunRow
from exchange.engine import MAILBOX
from exchange.errors import Invalid
from exchange.hub.rhythm import rhythm_of
from exchange.hub.roster import ZONE
from exchange.plan import LIBRARY

if TYPE_CHECKING:
    from exchange.hub.core import Hub

LOOKED_BACK = timedelta(days=7)
"""What is older is due by its update cycle anyway."""
DELIVERED = ("committed", "settled")


def behind(hub: Hub, grace_seconds: float) -> list[str]:
    """Deliveries from the library that nobody has set out to make since what they read was refreshed, by id.

    One that was given times of its own waits for them, and one that was never run is due anyway. One that failed is
    not among them: it has its next time, or waits for who mends it.

    Args:
        hub: The hub.
        grace_seconds: How long ago the refresh has to be: whoever schedules has his own time.
    """
    with hub.database.reading() as session:
        moment = now(session)
        late = moment - timedelta(seconds=grace_seconds)
        refreshed = _refreshed(session, moment - LOOKED_BACK)
        last = select(RunRow.exchange, func.max(RunRow.started_at)).group_by(RunRow.exchange)
        begun = {exchange: at for exchange, at in session.execute(last) if at is not None}
        boxes = {each.name for each in hub.catalog.endpoints(session) if each.kind == MAILBOX}
        rows = session.scalars(
            select(ExchangeRow)
            .join(GrantRow, GrantRow.id == ExchangeRow.grant)
            .where(ExchangeRow.kind == "sharing", ExchangeRow.state == "active", GrantRow.state == "active")
            .order_by(ExchangeRow.id)
        )
        return [
            row.id
            for row in rows
            if row.id in begun
            and row.source["endpoint"] == LIBRARY
            and row.target["endpoint"] not in boxes
            and _is_behind(row, max(begun[row.id], row.tried_at or begun[row.id]), late, refreshed)
        ]


def _refreshed(session: Session, since: datetime) -> dict[str, list[datetime]]:
    """When each resource was changed in the library, newest last."""
    found: dict[str, list[datetime]] = defaultdict(list)
    rows = session.execute(
        select(ExchangeRow.resource, RunRow.ended_at)
        .join(RunRow, RunRow.exchange == ExchangeRow.id)
        .where(
            ExchangeRow.kind == "synchronisation",
            RunRow.state.in_(DELIVERED),
            RunRow.ended_at >= since,
            RunRow.counts["written"].as_integer() > 0,
        )
        .order_by(RunRow.ended_at)
    )
    for resource, ended in rows:
        if ended is not None:
            found[resource].append(ended)
    return found


def _is_behind(row: ExchangeRow, begun: datetime, late: datetime, refreshed: dict[str, list[datetime]]) -> bool:
    try:
        rhythm = rhythm_of(row.id, row.settings)
    except Invalid:
        return False  # it is not scheduled at all, and the snapshot says why
    if rhythm.schedule is not None:
        return False
    if not rhythm.all_of:
        return any(begun < each <= late for each in refreshed.get(row.resource, ()))
    # All on one day, and the last of them since it was begun.
    days: dict[object, dict[str, datetime]] = defaultdict(dict)
    codes = {row.resource, *rhythm.all_of}
    for code in codes:
        for each in refreshed.get(code, ()):
            days[each.astimezone(ZONE).date()][code] = each
    return any(len(day) == len(codes) and begun < max(day.values()) <= late for day in days.values())
