"""Reverse proxies (反向代理): what they say of the caller is believed, what others say is not."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send


class Proxies:
    """Takes the caller's address and scheme from what a trusted proxy says.

    Args:
        app: What answers.
        trusted: Addresses or networks of proxies.
    """

    def __init__(self, app: ASGIApp, *, trusted: Sequence[str]) -> None:
        self._app = app
        self._trusted = [ipaddress.ip_network(each, strict=False) for each in trusted]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a call on."""
        if scope["type"] == "http" and self._trusted and scope.get("client") and self._trusts(scope["client"][0]):
            headers = Headers(scope=scope)
            if headers.get("x-forwarded-proto") in ("http", "https"):
                scope["scheme"] = headers["x-forwarded-proto"]
            # The last one that is no proxy of ours; what stands before it anybody may have written. A proxy may add
            # a line of its own to the one that came.
            through = ",".join(headers.getlist("x-forwarded-for")).split(",")
            for each in reversed([part.strip() for part in through]):
                if _is_address(each):
                    scope["client"] = (each, 0)
                    if self._trusts(each):
                        continue
                break
        await self._app(scope, receive, send)

    def _trusts(self, address: str) -> bool:
        if not _is_address(address):
            return False
        found = ipaddress.ip_address(address)
        # One that listens on IPv6 sees others so.
        plain = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
        return any((plain or found) in each for each in self._trusted)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
