"""What one gets by following the manuals: a service of plain spyne on wsgiref, called by plain zeep.

Run as ``python -m tests.bench.plain_soap ROWS`` it prints its port and serves until its standard input ends.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import requests

PAGE = 1000
NAMESPACE = "urn:bench:plain"


def row(number: int) -> dict[str, Any]:
    """Twelve items of the usual kinds."""
    return {
        "person_id": number,
        "id_no": f"32120219{50 + number % 50:02d}0101{number % 10000:04d}",
        "employer": f"91321202MA{number % 97:07d}X",
        "name": "张𠮷欧阳"[number % 3 : number % 3 + 2],
        "gender": str(1 + number % 2),
        "born": date(1950, 1, 1) + timedelta(days=number % 20000),
        "nation": "01",
        "district": "321202",
        "address": f"江苏省泰州市海陵区青年路{number}号",
        "base": Decimal(number % 1_000_000) / 100,
        "updated": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number),
        "ver": 1,
    }


def application() -> Any:
    """The service, as spyne's manual makes one."""
    # The import that makes spyne work on today's Python is the adapter's.
    from adapters.webservice import server as _  # noqa: F401

    # isort: split
    from spyne import Application, Array, ComplexModel, Date, DateTime, Decimal, Integer32, Long, ServiceBase, Unicode
    from spyne import rpc as operation
    from spyne.protocol.soap import Soap11
    from spyne.server.wsgi import WsgiApplication

    kinds: dict[str, Any] = dict.fromkeys(row(0), Unicode)
    kinds |= {"person_id": Long, "born": Date, "base": Decimal(12, 2), "updated": DateTime, "ver": Long}
    record = type("Row", (ComplexModel,), {"__namespace__": NAMESPACE, "_type_info": list(kinds.items())})
    rows = int(sys.argv[1])

    class Plain(ServiceBase):
        @operation(Unicode, Integer32, _returns=[Array(record), Unicode], _out_variable_names=["rows", "nextCursor"])
        def Query(self, cursor: str | None, limit: int) -> tuple[list[Any], str | None]:  # noqa: N802
            first = int(cursor or 0)
            last = min(first + limit, rows)
            return [record(**row(number)) for number in range(first, last)], str(last) if last < rows else None

        @operation(Unicode, Array(record), _returns=Integer32)
        def Push(self, messageId: str, rows: list[Any]) -> int:  # noqa: N802, N803
            return len(rows)

    made = Application([Plain], NAMESPACE, in_protocol=Soap11(validator="lxml"), out_protocol=Soap11())
    return WsgiApplication(made, max_content_length=64 << 20)


@contextmanager
def served(rows: int) -> Iterator[str]:
    """The service in a process of its own; the address of its description."""
    program = [sys.executable, "-W", "ignore", "-m", "tests.bench.plain_soap", str(rows)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline())
            yield f"http://127.0.0.1:{port}/?wsdl"
        finally:
            process.stdin.close()


@contextmanager
def client(url: str) -> Iterator[Any]:
    """zeep's own client."""
    import zeep

    with requests.Session() as session:
        yield zeep.Client(url, transport=zeep.Transport(session=session))


def read(service: Any, rows: int) -> float:
    """Seconds to read so many rows, page by page."""
    begun = time.perf_counter()
    cursor, found = None, 0
    while True:
        answer = service.service.Query(cursor, PAGE)
        found += len(answer.rows.Row)
        cursor = answer.nextCursor
        if cursor is None:
            break
    assert found == rows
    return time.perf_counter() - begun


def push(service: Any, rows: int) -> float:
    """Seconds to push so many rows, page by page."""
    pages = [[row(number) for number in range(first, first + PAGE)] for first in range(0, rows, PAGE)]
    begun = time.perf_counter()
    for number, page in enumerate(pages):
        assert service.service.Push(f"message-{number}", {"Row": page}) == len(page)
    return time.perf_counter() - begun


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def main() -> None:
    """Serve until standard input ends."""
    with make_server("127.0.0.1", 0, application(), handler_class=_Silent) as server:
        print(server.server_port, flush=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    main()
