"""The console (控制台): pages for the clerk, the integrator and the administrator, made on the server.

A page asks the hub and shows what it says; rules are the hub's. Every page works without script.
"""

from __future__ import annotations

from exchange.console.assembly import routers

__all__ = ["routers"]
