"""The hub as its doors see it: every use case, with its actor, in its own transaction.

Doors (command line, SOAP, later console and REST) call this and nothing deeper, so that the same
rule holds whichever door somebody came through.
"""

from __future__ import annotations

from exchange.hub.core import Hub
from exchange.hub.home import create_home, open_hub

__all__ = ["Hub", "create_home", "open_hub"]
