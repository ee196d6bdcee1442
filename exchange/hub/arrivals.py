"""What has arrived and waits to be taken (待收): pushed messages, what is owed to recipients, files in drops."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exchange.hub.core import Hub


class Arrivals:
    """Looks at what waits, as often as once a second."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def waiting(self) -> dict[str, str]:
        """Exchanges at whose source something waits, each with a mark of what it is."""
        marks: dict[str, list[str]] = {}
        with self._hub.database.reading() as session:
            for exchange, message in self._hub.engine.mailroom.lying(session):
                marks.setdefault(exchange, []).append(f"message {message}")
        for owed in self._hub.engine.dispatches.due():
            marks.setdefault(owed.exchange, []).append(f"dispatch {owed.id}")
        for exchange, files in self._hub.engine.watching.waiting().items():
            marks.setdefault(exchange, []).append(f"files {files}")
        return {exchange: _mark(parts) for exchange, parts in sorted(marks.items())}


def _mark(parts: list[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
