"""Couriers in processes of their own, that die where they are told to."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from adapters.messaging import Transport
from adapters.messaging.broker import BrokerTransport
from adapters.messaging.embedded import EmbeddedTransport
from exchange.engine.dispatch import Dispatches
from exchange.errors import HubError
from exchange.hub import open_hub
from tests.exchange.engine.drops import courier

BOOKS = ("owed", "sending", "sent", "marked", "delivering", "promoted", "delivered", "acknowledging")
"""Points outside the run."""


def work(order: dict[str, Any]) -> dict[str, Any]:
    """Work until nothing is owed, or die at a point."""
    point = order.get("dies", "")

    def strike(name: str, _about: Any = None) -> None:
        if name == point:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(kind: type[Transport]) -> None:
        publish = kind.publish

        def published(self: Transport, *arguments: Any, **named: Any) -> bool:
            strike("sending")
            sent = publish(self, *arguments, **named)
            strike("sent")
            return sent

        kind.publish = published  # type: ignore[method-assign]

    marking = Dispatches.published

    def marked(self: Dispatches, ids: Any) -> None:
        marking(self, ids)
        strike("marked")

    Dispatches.published = marked  # type: ignore[method-assign]
    for kind in (EmbeddedTransport, BrokerTransport):
        around(kind)
    with closing(open_hub(Path(order["home"]))) as hub:
        strike("owed")
        hub.engine.run = partial(hub.engine.run, observe=strike)  # type: ignore[method-assign]
        try:
            return dict(courier(hub, notify=strike).work(once=True, seconds=order.get("seconds", 40)))
        except HubError as error:
            return {"error": error.message}
