"""What a scheduler could not do (调度放弃): written into the hub's log, beside what the engine wrote there itself.

A worker that is killed, or takes too long, writes nothing: whoever watched it does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from exchange.audit import events
from exchange.db.tables import ExchangeRow
from exchange.identity import PLATFORM

if TYPE_CHECKING:
    from exchange.hub.core import Hub


def given_up(hub: Hub, exchange: str, *, attempt: str, reason: Literal["failed", "timed_out"]) -> None:
    """Write down that a scheduler gave up; of an exchange that is not there, nothing.

    Args:
        hub: The hub.
        exchange: Id of the exchange.
        attempt: The scheduler's name of its run.
        reason: Why it did.
    """
    with hub.told(), hub.database.transaction() as session:
        row = session.get(ExchangeRow, exchange)
        if row is None:
            return
        event = events.ScheduledRunAbandoned(attempt=attempt, reason=reason)
        hub.audit.record(session, event, by=PLATFORM, resource=row.resource, exchange=row.id, department=row.recipient)
    hub.audit.seal()
