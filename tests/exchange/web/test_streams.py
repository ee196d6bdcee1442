from __future__ import annotations

import asyncio
import threading
from typing import Any

from exchange.web.streams import EndingStreams


def served(accept: str, *, end_after: float | None) -> str:
    """What a call that listens for its caller hears within a second, if the server stops meanwhile."""
    heard: list[str] = []

    async def listening(_scope: Any, receive: Any, _send: Any) -> None:
        message = await receive()
        heard.append(message["type"])

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(1)
        return {"type": "nothing"}

    async def send(_message: Any) -> None:
        raise AssertionError

    streams = EndingStreams(listening)
    scope = {"type": "http", "headers": [(b"accept", accept.encode())]}
    if end_after is not None:
        threading.Timer(end_after, streams.end).start()
    asyncio.run(streams(scope, receive, send))
    return heard[0]


def test_a_stream_hears_that_its_caller_has_gone_when_the_server_stops() -> None:
    assert served("text/event-stream", end_after=0.2) == "http.disconnect"
    assert served("text/event-stream", end_after=None) == "nothing"


def test_whoever_waits_for_an_answer_gets_it() -> None:
    assert served("text/html", end_after=0.2) == "nothing"


def test_a_stream_that_is_asked_for_when_it_stops_ends_at_once() -> None:
    assert served("text/event-stream", end_after=0.0) == "http.disconnect"
