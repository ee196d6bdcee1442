"""Who is answered when many ask at once (排队): a few calls at a time, in the order in which they came.

Threads that make thirty pages at once take turns after every question to the database, and all thirty are late; made a
few at a time, most are there early and none is later.
"""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOGETHER = 2
"""Calls that are answered at once: while one waits for the database, others go on."""
PATIENCE = 1.0
"""Seconds after which a call that is still at it keeps nobody waiting any more: it waits for somebody else."""


class Turns:
    """Lets calls that only look in by turns; those that send something are let in as they come.

    A turn ends when the answer begins, so that nobody keeps it by reading slowly.

    Args:
        app: What answers.
        together: Calls at once.
        patience: Seconds after which a turn is over in any case.
    """

    def __init__(self, app: ASGIApp, *, together: int = TOGETHER, patience: float = PATIENCE) -> None:
        self._app = app
        self._together = together
        self._patience = patience
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a call on."""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        loop = asyncio.get_running_loop()
        turns = self._turns.setdefault(loop, asyncio.Semaphore(self._together))
        over = False

        def end() -> None:
            nonlocal over
            if not over:
                over = True
                turns.release()

        async def told(message: Message) -> None:
            end()
            await send(message)

        await turns.acquire()
        late = loop.call_later(self._patience, end)
        try:
            await self._app(scope, receive, told)
        finally:
            late.cancel()
            end()
