"""The REST interface (REST 接口): ``/api/v1``, everything the console does, for departments' programmes.

Callers show a token of theirs (``Authorization: Bearer …``); rules are the hub's. Failures are told as problem
details (RFC 9457).
"""

from __future__ import annotations

from exchange.api.assembly import router
from exchange.api.description import describe
from exchange.api.problems import problem

__all__ = ["describe", "problem", "router"]
