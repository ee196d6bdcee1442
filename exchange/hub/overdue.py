"""What should have been run and was not (漏办): the hub's books say it, whatever became of a scheduler's events."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, and_, exists, func, or_, select
from sqlalchemy.orm import Session

from exchange.db import clock, now
from exchange.db.tables import ExchangeRow, GrantRow, LeaseRow, RunRow
from exchange.engine import MAILBOX, PUSHED, UNFINISHED

if TYPE_CHECKING:
    from exchange.hub.core import Hub


AHEAD = timedelta(minutes=1)
"""How far in the future something may have been done before it is certain that the clock was set back."""


def timely(moment: datetime, present: datetime) -> ColumnElement[bool]:
    """Whether an exchange was due by a moment.

    One that was last tried in the future is due too: its next time was reckoned by a clock that has been set back.
    """
    reckoned = func.coalesce(ExchangeRow.due_at, ExchangeRow.created_at) <= moment
    return or_(reckoned, ExchangeRow.tried_at > present + AHEAD)


def lost(hub: Hub, grace: timedelta) -> list[str]:
    """Exchanges whose time came longer ago than the grace, synchronisations first, without those in somebody's hands.

    One whose worker died is among them once its lease has run out for so long. One that failed and may heal has its
    next time, and so has what is owed to a recipient.
    """
    with hub.database.reading() as session:
        present = now(session)
        moment = present - grace
        begun = exists().where(RunRow.exchange == ExchangeRow.id, RunRow.state.in_(UNFINISHED))
        late = timely(moment, present)
        rows = session.scalars(
            select(ExchangeRow)
            .join(GrantRow, GrantRow.id == ExchangeRow.grant)
            .where(
                or_(
                    and_(late, ExchangeRow.state == "active", GrantRow.state == "active"),
                    and_(late, begun),
                    and_(begun, _died(session, grace)),
                ),
                ExchangeRow.state != "paused",
                ~_in_hand(session),
            )
            .order_by(ExchangeRow.kind.desc(), ExchangeRow.id)
        ).all()
        unfinished = set(session.scalars(select(RunRow.exchange).where(RunRow.state.in_(UNFINISHED))))
        boxes = {each.name for each in hub.catalog.endpoints(session) if each.kind == MAILBOX}
        pushed = hub.engine.mailroom.waiting(session, since=moment)
        # What lives by what others do has no time of its own.
        found = [
            row.id
            for row in rows
            if row.id in unfinished or (row.target["endpoint"] not in boxes and row.source["capture"] != PUSHED)
        ]
        living = select(ExchangeRow.id).join(GrantRow, GrantRow.id == ExchangeRow.grant)
        living = living.where(ExchangeRow.state == "active", GrantRow.state == "active", ~_in_hand(session))
        messages = session.scalars(living.where(ExchangeRow.id.in_(pushed)).order_by(ExchangeRow.id))
        found += messages
    owed = hub.engine.dispatches.overdue(grace)
    return list(dict.fromkeys([*found, *owed]))


def _in_hand(session: Session) -> ColumnElement[bool]:
    held = LeaseRow.owner.is_not(None), LeaseRow.expires > clock(session)
    return exists().where(LeaseRow.exchange == ExchangeRow.id, *held)


def _died(session: Session, grace: timedelta) -> ColumnElement[bool]:
    """Whether somebody died over it: a lease that nobody gave back has run out."""
    over = LeaseRow.owner.is_not(None), LeaseRow.expires <= clock(session) - grace.total_seconds()
    return exists().where(LeaseRow.exchange == ExchangeRow.id, *over)
