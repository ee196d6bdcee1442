"""How much is let in (上限): bytes of a body, seconds until it is here, calls of one caller a minute."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exchange.messages import _

_LARGE, _SLOW, _OFTEN = _("请求超过上限"), _("请求没有在时限内传完"), _("请求过于频繁，请稍后再试")
REMEMBERED = 10_000
"""Callers kept in mind; whoever called longest ago is forgotten first."""


class TooMuch(HTTPException):
    """More came than is let in: 413 for bytes, 408 for seconds."""


class TooOften(HTTPException):
    """A caller calls more often than is let in: 429, and when to come again."""

    def __init__(self, seconds: float) -> None:
        super().__init__(429, _OFTEN, {"Retry-After": str(math.ceil(seconds))})


class Bounds:
    """Counts a body while it comes, and lets nobody take for ever over it.

    Args:
        app: What answers.
        largest: Bytes of a body.
        seconds: Within which a body must be here.
    """

    def __init__(self, app: ASGIApp, *, largest: int, seconds: float) -> None:
        self._app = app
        self._largest = largest
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a call on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        said = Headers(scope=scope).get("content-length", "0")
        if not said.isdecimal() or int(said) > self._largest:
            await PlainTextResponse(_LARGE, 413, {"Connection": "close"})(scope, receive, send)
            return
        taken, until, complete = 0, time.monotonic() + self._seconds, False

        async def counted() -> Message:
            nonlocal taken, complete
            if complete:
                return await receive()  # what comes now is that the caller has gone
            try:
                message = await asyncio.wait_for(receive(), max(0.0, until - time.monotonic()))
            except TimeoutError:
                raise TooMuch(408, _SLOW) from None
            if message["type"] == "http.request":
                taken += len(message.get("body", b""))
                complete = not message.get("more_body", False)
                if taken > self._largest:
                    raise TooMuch(413, _LARGE)
            return message

        await self._app(scope, counted, send)


class Rate:
    """How often somebody may call: so many a minute, a tenth of them at once (令牌桶); of this process alone.

    Args:
        per_minute: Calls, as it holds now.
    """

    def __init__(self, per_minute: Callable[[], int]) -> None:
        self._per_minute = per_minute
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = Lock()

    def take(self, caller: str, now: float | None = None) -> float:
        """Take one call; 0.0 if it may be made, else the seconds until it may."""
        moment = time.monotonic() if now is None else now
        per_minute = self._per_minute()
        per_second, most = per_minute / 60, max(1.0, per_minute / 10)
        with self._lock:
            left, at = self._left.pop(caller, (most, moment))
            left = min(most, left + (moment - at) * per_second)
            wait = 0.0 if left >= 1 else (1 - left) / per_second
            self._left[caller] = (left - 1 if not wait else left, moment)
            while len(self._left) > REMEMBERED:
                self._left.popitem(last=False)
        return wait

    def demand(self, caller: str) -> None:
        """Take one call.

        Raises:
            TooOften: It may not be made now.
        """
        if wait := self.take(caller):
            raise TooOften(wait)
