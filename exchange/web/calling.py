"""From where somebody calls (来源地址)."""

from __future__ import annotations

from starlette.requests import HTTPConnection


def address_of(call: HTTPConnection) -> str:
    """The caller's address, as far as those in between are trusted; see :class:`exchange.web.proxies.Proxies`."""
    return call.client.host if call.client is not None else ""
