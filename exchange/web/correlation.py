"""Which call a line of a log belongs to (关联标识): one id in the answer's header and in every line."""

from __future__ import annotations

import re
import secrets
import time

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "X-Correlation-ID"
_GIVEN = re.compile(r"[A-Za-z0-9._-]{8,64}")
_log = structlog.get_logger("shutong.web")


class Correlation:
    """Gives each call an id, the caller's own if it is a decent one, and writes a line when the call has ended.

    The line has the route, never the address that was asked for: that may hold somebody's number.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a call on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        correlation = given if _GIVEN.fullmatch(given) else secrets.token_hex(8)
        scope.setdefault("state", {})["correlation"] = correlation
        began, status = time.monotonic(), 500

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = correlation
            await send(message)

        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(correlation=correlation)
        try:
            await self._app(scope, receive, told)
        finally:
            route = getattr(scope.get("route"), "path", None)
            seconds = round(time.monotonic() - began, 4)
            _log.info("call", method=scope["method"], route=route, status=status, seconds=seconds)
            watch = scope["app"].state.metrics if "app" in scope else None
            if watch is not None:
                watch.called(scope["method"], route, status, seconds)
