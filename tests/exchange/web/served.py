"""A server of the tests: hears, streams and waits. Run as a programme with a number of processes."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import Response, StreamingResponse

from exchange.web.limits import Bounds
from exchange.web.paths import WholeParts
from exchange.web.server import Listening, serve

LARGEST, SECONDS = 1 << 20, 2.0


def application() -> Any:
    """What is served."""
    app = FastAPI()

    @app.get("/steps")
    def steps() -> Response:
        def told() -> Iterator[bytes]:
            while True:
                yield b"data: step\n\n"
                time.sleep(0.2)

        return StreamingResponse(told(), media_type="text/event-stream")

    @app.get("/slow")
    def slow() -> str:
        time.sleep(1.5)
        return "done"

    @app.post("/take")
    async def take(request: Request) -> int:
        return len(await request.body())

    @app.get("/codes/{code:code}")
    def code(code: str) -> str:
        return code

    app.add_middleware(WholeParts)
    app.add_middleware(Bounds, largest=LARGEST, seconds=SECONDS)
    return app


if __name__ == "__main__":
    serve(
        Listening("probe", "127.0.0.1", 0, int(sys.argv[1])),
        lambda _address: application(),
        lambda address: print(address, flush=True),
    )
