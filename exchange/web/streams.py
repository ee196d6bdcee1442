"""Streams that last (事件流): what a page follows ends with the server, and keeps no stop waiting."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.datastructures import Headers

KIND = "text/event-stream"


class EndingStreams:
    """Lets streams of events end when the server is told to stop; browsers ask again by themselves.

    Args:
        app: What answers.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._over = False
        self._open: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def end(self) -> None:
        """Tell those that stream that their caller has gone; from any thread."""
        self._over = True
        for loop, over in tuple(self._open):
            loop.call_soon_threadsafe(over.set)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a call on."""
        if scope["type"] != "http" or KIND not in Headers(scope=scope).get("accept", ""):
            await self._app(scope, receive, send)
            return
        over = asyncio.Event()
        mine = asyncio.get_running_loop(), over
        self._open.add(mine)
        if self._over:
            over.set()

        async def heard() -> Any:
            message, gone = asyncio.ensure_future(receive()), asyncio.ensure_future(over.wait())
            try:
                await asyncio.wait({message, gone}, return_when=asyncio.FIRST_COMPLETED)
                return message.result() if message.done() else {"type": "http.disconnect"}
            finally:
                message.cancel()
                gone.cancel()

        try:
            await self._app(scope, heard, send)
        finally:
            self._open.discard(mine)
