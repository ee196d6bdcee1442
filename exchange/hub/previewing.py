"""Previews (脱敏预览): an integrator looks at the first rows of an exchange, as they would be delivered.

Rows are shown as they are delivered to those whose they are or are to be: integrators of the provider and of a
recipient. The hub's own people, who are neither, see items of a personal grade masked. Every look is an event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from exchange.audit import events
from exchange.db.tables import ExchangeRow
from exchange.engine import Preview
from exchange.identity import Actor
from exchange.settings import Role

if TYPE_CHECKING:
    from exchange.hub.core import Hub

ROWS = 20
"""Rows that are shown unless asked otherwise."""


class Previewing:
    """What an integrator sees before anything is delivered."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def look(self, exchange: str, *, by: Actor, rows: int = ROWS) -> Preview:
        """The first rows of an exchange after filter and masks, and what the checks find (脱敏预览); changes nothing.

        Args:
            exchange: Id of the exchange.
            by: An integrator of a party, or of the hub.
            rows: How many are shown at most.

        Raises:
            Denied: He is none; the refusal is logged.
            HubError: As :meth:`exchange.engine.Previews.look`.
        """
        hub = self._hub
        with hub.database.reading() as session:
            row = session.get(ExchangeRow, exchange)
            parties = [] if row is None else [row.provider, row.recipient]
        with hub.permitted(by, Role.INTEGRATOR, action=f"预览交换 {exchange}", of=parties, exchange=exchange):
            clear = by.department in parties and by.department != hub.settings.hub_department
            with hub.told():
                found = hub.engine.previews.look(exchange, rows=rows, clear=clear)
            with hub.database.transaction() as session:
                event = events.ExchangePreviewed(rows=len(found.rows), read=found.read)
                hub.audit.record(session, event, by=by, exchange=exchange, department=by.department)
        return found
