"""The door as an ASGI application (应用): bodies are taken in whole before anybody works at them.

A body goes into a :class:`~adapters.webservice.spool.Spool` as it comes, on the event loop, which a slow sender
does not hold up; only what is complete gets a thread. A sender must keep a least rate and a deadline, a
reader too. What all bodies may take together is bounded, and callers who have not said who they are get a quarter.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from adapters.webservice.credentials import Head
from adapters.webservice.door import Answer, Call, Door, too_long
from adapters.webservice.faults import Fault
from adapters.webservice.spool import Spool

_log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

DRAINED = 256 << 10
"""Bytes of a refused body that are still taken, so that the sender reads why."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How callers are kept moving (节奏).

    Attributes:
        seconds: Within which a body must be here.
        grace: Seconds before the least rate counts.
        rate: Bytes a second, at least.
        reading: Seconds within which a caller must take a piece of an answer.
        threads: Calls worked at together.
        waiting: Calls admitted together; beyond, they are told to come later. Of those whose callers have not said
            who they are, a quarter as many are admitted beside them.
        spooled: Bytes of all bodies together.
    """

    seconds: float = 60.0
    grace: float = 5.0
    rate: int = 4096
    reading: float = 30.0
    threads: int = 8
    waiting: int = 256
    spooled: int = 1 << 30


class _Gone(Exception):
    """The caller has gone; nobody is left to answer."""


class Application:
    """An ASGI application around a door.

    Args:
        door: What answers.
        pace: How callers are kept moving.
    """

    def __init__(self, door: Door, pace: Pace | None = None) -> None:
        self._door = door
        self._pace = pace or Pace()
        self._threads = ThreadPoolExecutor(self._pace.threads, "soap")
        self._admitted = {True: 0, False: 0}
        self._spooled = {True: 0, False: 0}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or take part in the server's start and end."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            with contextlib.suppress(_Gone):
                await self._answer(_head(scope), receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                self._threads.shutdown(wait=False, cancel_futures=True)
                return

    async def _answer(self, head: Head, receive: Receive, send: Send) -> None:
        if head.path == "/healthz":
            # Asked on the loop itself: it is well while others work.
            answer = self._door.admit(head)
            assert isinstance(answer, Answer)  # noqa: S101 - that address has no body
            await self._send(answer, send)
            return
        begun = time.monotonic()
        admitted = self._door.recalled(head) or await self._work(self._door.admit, head)
        if isinstance(admitted, Answer):
            if head.method == "POST":
                await self._drain(receive)
            await self._finish(head, admitted, send, begun)
            return
        known = admitted.caller is not None
        # Each kind has a share of its own: strangers who send slowly are not to keep those waiting whom we know.
        if self._admitted[known] >= (self._pace.waiting if known else max(1, self._pace.waiting // 4)):
            await self._drain(receive)
            await self._finish(head, self._door.refuse(admitted, _later()), send, begun)
            return
        self._admitted[known] += 1
        try:
            await self._finish(head, await self._called(admitted, receive), send, begun)
        finally:
            self._admitted[known] -= 1

    async def _finish(self, head: Head, answer: Answer, send: Send, begun: float) -> None:
        size = answer.size
        await self._send(answer, send)
        # Neither path nor body: a key may stand in them.
        _log.info("%s %d %d bytes %.3f s by %s", head.method, answer.status, size, time.monotonic() - begun, answer.by)

    async def _called(self, call: Call, receive: Receive) -> Answer:
        known = call.caller is not None
        with Spool() as body:
            try:
                fault = await self._take(body, receive, known=known)
                if fault is not None:
                    return self._door.refuse(call, fault)
                answer: Answer = await self._work(self._door.answer, call, body.chunks())
                return answer
            finally:
                self._spooled[known] -= body.size

    async def _take(self, body: Spool, receive: Receive, *, known: bool) -> Fault | None:
        """Take a body in; the refusal, if it is not to be had."""
        pace, begun = self._pace, time.monotonic()
        while True:
            left = min(pace.seconds, pace.grace + body.size / pace.rate) - (time.monotonic() - begun)
            try:
                message = await asyncio.wait_for(receive(), max(left, 0.001))
            except TimeoutError:
                return Fault("Client.Slow", "请求传得太慢，已停止接收", remedy="检查网络，或分几次发送")
            if message["type"] == "http.disconnect":
                raise _Gone
            piece = message.get("body", b"")
            body.write(piece)
            self._spooled[known] += len(piece)
            if body.size > self._door.limits.body:
                return too_long(self._door.limits)
            if sum(self._spooled.values()) > pace.spooled or self._spooled[False] > pace.spooled // 4:
                return _later()
            if not message.get("more_body", False):
                return None

    async def _drain(self, receive: Receive) -> None:
        size, until = 0, time.monotonic() + 2
        with contextlib.suppress(TimeoutError):
            while size <= DRAINED and time.monotonic() < until:
                message = await asyncio.wait_for(receive(), 0.2)
                size += len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return

    async def _work(self, work: Callable[..., Any], *given: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *given)

    async def _send(self, answer: Answer, send: Send) -> None:
        try:
            headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers]
            headers.append((b"content-length", str(answer.size).encode()))
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            pieces = answer.body.chunks()
            piece = next(pieces, b"")
            while piece:
                following = next(pieces, b"")
                event = {"type": "http.response.body", "body": piece, "more_body": bool(following)}
                await asyncio.wait_for(send(event), self._pace.reading)
                piece = following
        except (TimeoutError, RuntimeError, OSError) as error:
            _log.warning("an answer was not taken: %s", type(error).__name__)
            raise _Gone from error
        finally:
            answer.body.close()


def _later() -> Fault:
    return Fault("Server.Later", "服务正忙", remedy="5 秒后再试", retry_after=5)


def _head(scope: Scope) -> Head:
    client = scope.get("client") or ("", 0)
    headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]
    return Head(scope["method"], scope["path"], scope["query_string"].decode("latin-1"), headers, str(client[0]))
