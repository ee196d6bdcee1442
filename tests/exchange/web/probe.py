"""An application that tells what it was asked, and what asks it without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

Headers = Iterable[tuple[str, str]]


class Told:
    """An application that answers 200 and remembers the scope; it reads the body to its end first."""

    def __init__(self, headers: Headers = ()) -> None:
        self.scope: dict[str, Any] = {}
        self.body = b""
        self._headers = [(name.encode(), value.encode()) for name, value in headers]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope = scope
        more = True
        while more:
            message = await receive()
            self.body += message.get("body", b"")
            more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": list(self._headers)})
        await send({"type": "http.response.body", "body": b"ok"})


def asked(
    app: Any,
    path: str = "/",
    *,
    headers: Headers = (),
    client: str = "192.0.2.1",
    body: Iterable[bytes] = (b"",),
    scheme: str = "http",
    method: str = "GET",
) -> tuple[int, dict[str, str], bytes]:
    """Ask an application once: status, headers and content of the answer."""
    raw, _, query = path.partition("?")
    scope = {
        "type": "http", "http_version": "1.1", "method": method, "scheme": scheme, "path": raw,
        "query_string": query.encode(),
        "raw_path": raw.encode("latin-1"), "root_path": "", "client": (client, 4000), "server": ("hub.example", 80),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers], "state": {},
    }  # fmt: skip
    chunks, sent = list(body), []

    async def receive() -> dict[str, Any]:
        if not chunks:
            await asyncio.sleep(3600)
        chunk = chunks.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(chunks)}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    start = sent[0]
    found = {name.decode().lower(): value.decode("latin-1") for name, value in start["headers"]}
    return start["status"], found, b"".join(each.get("body", b"") for each in sent[1:])
